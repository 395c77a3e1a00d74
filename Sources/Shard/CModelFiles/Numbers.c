// Stored numbers to floats. The layouts of blocks are facts of the GGUF format; scales are fp16 and
// stand in front of the numbers (Q6_K: behind). Nothing is aligned, so everything is loaded by memcpy.
#include "CModelFiles.h"

#include <string.h>

static inline float from_bits(uint32_t bits) {
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

static inline uint16_t load16(const uint8_t *p) {
  uint16_t v;
  memcpy(&v, p, 2);
  return v;
}

static inline uint32_t load32(const uint8_t *p) {
  uint32_t v;
  memcpy(&v, p, 4);
  return v;
}

// Exact for every fp16. The exponent is rebased by one multiplication; numbers below 2^-14 are made
// by a subtraction instead, so that no step depends on subnormal floats.
static inline float from_f16(uint16_t half) {
  uint32_t word = (uint32_t)half << 16;
  uint32_t sign = word & 0x80000000u;
  uint32_t twice = word + word;
  float normal = from_bits((twice >> 4) + (0xe0u << 23)) * 0x1.0p-112f;
  float small = from_bits((twice >> 17) | (126u << 23)) - 0.5f;
  float magnitude = twice < (1u << 27) ? small : normal;
  uint32_t bits;
  memcpy(&bits, &magnitude, 4);
  return from_bits(sign | bits);
}

// Exact for every finite code; 0x7f and 0xff are NaN, as the format has it.
static inline float from_e4m3(uint8_t code) {
  uint32_t bits = (uint32_t)(code & 0x80) << 24 | (uint32_t)(code & 0x7f) << 20;
  float f = from_bits(bits) * 0x1.0p120f;
  return (code & 0x7f) == 0x7f ? from_bits(0x7fc00000u) : f;
}

// ---- Blocks ----------------------------------------------------------------------------------

static inline void block_q4_0(const uint8_t *b, float *out) {
  float d = from_f16(load16(b));
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)((int)(b[2 + i] & 15) - 8);
    out[16 + i] = d * (float)((int)(b[2 + i] >> 4) - 8);
  }
}

static inline void block_q4_1(const uint8_t *b, float *out) {
  float d = from_f16(load16(b));
  float m = from_f16(load16(b + 2));
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)(b[4 + i] & 15) + m;
    out[16 + i] = d * (float)(b[4 + i] >> 4) + m;
  }
}

static inline void block_q5_0(const uint8_t *b, float *out) {
  float d = from_f16(load16(b));
  uint32_t high = load32(b + 2);
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)((int)((b[6 + i] & 15) | (high >> i & 1) << 4) - 16);
    out[16 + i] = d * (float)((int)((b[6 + i] >> 4) | (high >> (i + 16) & 1) << 4) - 16);
  }
}

static inline void block_q5_1(const uint8_t *b, float *out) {
  float d = from_f16(load16(b));
  float m = from_f16(load16(b + 2));
  uint32_t high = load32(b + 4);
  for (int i = 0; i < 16; i++) {
    out[i] = d * (float)(int)((b[8 + i] & 15) | (high >> i & 1) << 4) + m;
    out[16 + i] = d * (float)(int)((b[8 + i] >> 4) | (high >> (i + 16) & 1) << 4) + m;
  }
}

static inline void block_q8_0(const uint8_t *b, float *out) {
  float d = from_f16(load16(b));
  for (int i = 0; i < 32; i++) out[i] = d * (float)(int8_t)b[2 + i];
}

// Scale and minimum `j` of eight, 6 bits each, in 12 bytes.
static inline void scale_and_minimum(const uint8_t *s, int j, float *scale, float *minimum) {
  if (j < 4) {
    *scale = (float)(s[j] & 63);
    *minimum = (float)(s[j + 4] & 63);
  } else {
    *scale = (float)((s[j + 4] & 15) | (s[j - 4] >> 6) << 4);
    *minimum = (float)((s[j + 4] >> 4) | (s[j] >> 6) << 4);
  }
}

static inline void block_q4_k(const uint8_t *b, float *out) {
  float d = from_f16(load16(b));
  float m = from_f16(load16(b + 2));
  const uint8_t *numbers = b + 16;
  for (int j = 0; j < 8; j += 2, numbers += 32, out += 64) {
    float s0, m0, s1, m1;
    scale_and_minimum(b + 4, j, &s0, &m0);
    scale_and_minimum(b + 4, j + 1, &s1, &m1);
    s0 *= d, m0 *= m, s1 *= d, m1 *= m;
    for (int i = 0; i < 32; i++) {
      out[i] = s0 * (float)(numbers[i] & 15) - m0;
      out[32 + i] = s1 * (float)(numbers[i] >> 4) - m1;
    }
  }
}

static inline void block_q5_k(const uint8_t *b, float *out) {
  float d = from_f16(load16(b));
  float m = from_f16(load16(b + 2));
  const uint8_t *high = b + 16;
  const uint8_t *numbers = b + 48;
  for (int j = 0; j < 8; j += 2, numbers += 32, out += 64) {
    float s0, m0, s1, m1;
    scale_and_minimum(b + 4, j, &s0, &m0);
    scale_and_minimum(b + 4, j + 1, &s1, &m1);
    s0 *= d, m0 *= m, s1 *= d, m1 *= m;
    for (int i = 0; i < 32; i++) {
      out[i] = s0 * (float)((numbers[i] & 15) | (high[i] >> j & 1) << 4) - m0;
      out[32 + i] = s1 * (float)((numbers[i] >> 4) | (high[i] >> (j + 1) & 1) << 4) - m1;
    }
  }
}

static inline void block_q6_k(const uint8_t *b, float *out) {
  float d = from_f16(load16(b + 208));
  const uint8_t *low = b;
  const uint8_t *high = b + 128;
  const int8_t *scales = (const int8_t *)b + 192;
  for (int half = 0; half < 2; half++, low += 64, high += 32, scales += 8, out += 128) {
    for (int part = 0; part < 2; part++) {
      float s[4];
      for (int k = 0; k < 4; k++) s[k] = d * (float)scales[part + 2 * k];
      for (int i = 16 * part; i < 16 * part + 16; i++) {
        out[i] = s[0] * (float)((int)((low[i] & 15) | (high[i] & 3) << 4) - 32);
        out[32 + i] = s[1] * (float)((int)((low[32 + i] & 15) | (high[i] >> 2 & 3) << 4) - 32);
        out[64 + i] = s[2] * (float)((int)((low[i] >> 4) | (high[i] >> 4 & 3) << 4) - 32);
        out[96 + i] = s[3] * (float)((int)((low[32 + i] >> 4) | (high[i] >> 6) << 4) - 32);
      }
    }
  }
}

// ---- Rows ------------------------------------------------------------------------------------

size_t pf_block_numbers(int type) {
  switch (type) {
    case PF_F32: case PF_F16: case PF_BF16: case PF_E4M3: return 1;
    case PF_Q4_0: case PF_Q4_1: case PF_Q5_0: case PF_Q5_1: case PF_Q8_0: return 32;
    case PF_Q4_K: case PF_Q5_K: case PF_Q6_K: return 256;
    default: return 0;
  }
}

size_t pf_block_bytes(int type) {
  switch (type) {
    case PF_F32: return 4;
    case PF_F16: case PF_BF16: return 2;
    case PF_E4M3: return 1;
    case PF_Q4_0: return 18;
    case PF_Q4_1: return 20;
    case PF_Q5_0: return 22;
    case PF_Q5_1: return 24;
    case PF_Q8_0: return 34;
    case PF_Q4_K: return 144;
    case PF_Q5_K: return 176;
    case PF_Q6_K: return 210;
    default: return 0;
  }
}

// Whole blocks go straight to `out`; the ones that the range cuts go by way of a block on the stack.
#define READ_BLOCKS(numbers, bytes, decode)                                     \
  do {                                                                          \
    const uint8_t *block = row + first / (numbers) * (bytes);                   \
    size_t skip = first % (numbers);                                            \
    while (count > 0) {                                                         \
      if (skip == 0 && count >= (numbers)) {                                    \
        decode(block, out);                                                     \
        out += (numbers);                                                       \
        count -= (numbers);                                                     \
      } else {                                                                  \
        float whole[numbers];                                                   \
        decode(block, whole);                                                   \
        size_t part = (numbers) - skip < count ? (numbers) - skip : count;      \
        memcpy(out, whole + skip, part * sizeof(float));                        \
        out += part;                                                            \
        count -= part;                                                          \
        skip = 0;                                                               \
      }                                                                         \
      block += (bytes);                                                         \
    }                                                                           \
  } while (0)

void pf_scale(float *x, size_t count, float scale) {
  for (size_t i = 0; i < count; i++) x[i] *= scale;
}

void pf_read(int type, const uint8_t *restrict row, size_t first, size_t count,
             float *restrict out) {
  switch (type) {
    case PF_F32: memcpy(out, row + first * 4, count * 4); break;
    case PF_F16:
      row += first * 2;
      for (size_t i = 0; i < count; i++) out[i] = from_f16(load16(row + 2 * i));
      break;
    case PF_BF16:
      row += first * 2;
      for (size_t i = 0; i < count; i++) out[i] = from_bits((uint32_t)load16(row + 2 * i) << 16);
      break;
    case PF_E4M3:
      row += first;
      for (size_t i = 0; i < count; i++) out[i] = from_e4m3(row[i]);
      break;
    case PF_Q4_0: READ_BLOCKS(32, 18, block_q4_0); break;
    case PF_Q4_1: READ_BLOCKS(32, 20, block_q4_1); break;
    case PF_Q5_0: READ_BLOCKS(32, 22, block_q5_0); break;
    case PF_Q5_1: READ_BLOCKS(32, 24, block_q5_1); break;
    case PF_Q8_0: READ_BLOCKS(32, 34, block_q8_0); break;
    case PF_Q4_K: READ_BLOCKS(256, 144, block_q4_k); break;
    case PF_Q5_K: READ_BLOCKS(256, 176, block_q5_k); break;
    case PF_Q6_K: READ_BLOCKS(256, 210, block_q6_k); break;
    default: break;
  }
}
