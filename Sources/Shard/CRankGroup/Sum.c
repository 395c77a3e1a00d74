#include "CRankGroup.h"

/* Each element is ((part 0 + part 1) + part 2) + ..., and then y + that: the same bits on every
 * rank, whatever the range or the width of the vectors. */
#define SUM_OF(n, expression)                     \
  case n:                                         \
    for (size_t i = from; i < to; i++) {          \
      y[i] += (expression);                       \
    }                                             \
    return;
#define P(r) parts[(r) * stride + i]

void rank_add_sum(float *restrict y, const float *restrict parts, size_t stride, int count,
                  size_t from, size_t to) {
  switch (count) {
    SUM_OF(1, P(0))
    SUM_OF(2, P(0) + P(1))
    SUM_OF(3, P(0) + P(1) + P(2))
    SUM_OF(4, P(0) + P(1) + P(2) + P(3))
    SUM_OF(8, P(0) + P(1) + P(2) + P(3) + P(4) + P(5) + P(6) + P(7))
  }
  /* Floats at a time: 2 KiB of sums stay in the first cache. */
  enum { TILE = 512 };
  float sum[TILE];
  for (size_t tile = from; tile < to; tile += TILE) {
    size_t n = to - tile < TILE ? to - tile : TILE;
    for (size_t i = 0; i < n; i++) sum[i] = parts[tile + i];
    for (int r = 1; r < count; r++) {
      const float *part = parts + (size_t)r * stride + tile;
      for (size_t i = 0; i < n; i++) sum[i] += part[i];
    }
    for (size_t i = 0; i < n; i++) y[tile + i] += sum[i];
  }
}

/* CRC-32C, reflected polynomial 0x82f63b78, half a byte at a time: steps are a few KiB at most. */
uint32_t rank_checksum(const void *bytes, size_t count) {
  static const uint32_t table[16] = {
      0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3,
      0x61c69362, 0x7198540d, 0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9,
      0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75};
  const uint8_t *b = bytes;
  uint32_t crc = ~0u;
  for (size_t i = 0; i < count; i++) {
    crc ^= b[i];
    crc = (crc >> 4) ^ table[crc & 15];
    crc = (crc >> 4) ^ table[crc & 15];
  }
  return ~crc;
}
