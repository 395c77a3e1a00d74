// The AVX-512-BF16 level: as AVX-512, but BF16 matrices are multiplied by vdpbf16ps, two columns at
// once, with x rounded to bf16 whether there is one row of it or many: a row still depends on itself
// alone, but its bits differ from those of the other levels.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "Kernels.h"
#include "LaneTypes.h"

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16"))), \
    apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq,avx512bf16")
#endif

#define LEVEL avx512bf16
#define WIDE 1
#define DOT_BF16 1

static inline __attribute__((always_inline)) v8 fma8(v8 a, v8 b, v8 c) {
  return (v8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

static inline __attribute__((always_inline)) v16 fma16(v16 a, v16 b, v16 c) {
  return (v16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

// The lower byte of every word, as a signed number times 16.
static inline __attribute__((always_inline)) s16x16 even_bytes16(v16 v) {
  return (s16x16)_mm512_maddubs_epi16(_mm512_set1_epi16(16), (__m512i)v);
}

#include "Lanes.h"

// Two columns' products added to 16 sums. The pair of bf16 lies in a float's place.
static inline __attribute__((always_inline)) v16 dot_bf16(v16 sums, v16 weights, float pair) {
  return (v16)_mm512_dpbf16_ps((__m512)sums, (__m512bh)(__m512)weights,
                               (__m512bh)_mm512_set1_ps(pair));
}

// Rounds `columns` (even) floats to bf16, two to a float's place.
static void round_bf16(const float *x, int columns, float *pairs) {
  for (int c = 0; c < columns; c += 2) {
    uint32_t low, high;
    memcpy(&low, x + c, sizeof low);
    memcpy(&high, x + c + 1, sizeof high);
    low = (low + 0x7fff + (low >> 16 & 1)) >> 16;
    high = (high + 0x7fff + (high >> 16 & 1)) & 0xffff0000;
    uint32_t pair = low | high;
    memcpy(pairs + c / 2, &pair, sizeof pair);
  }
}

#include "LinearBody.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
