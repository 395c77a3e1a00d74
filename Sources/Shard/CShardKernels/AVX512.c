// The AVX-512 level: linear layers with 16 lanes in a register. The rest is AVX2's.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "Kernels.h"
#include "LaneTypes.h"

#if defined(__clang__)
#pragma clang attribute push( \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq"))), \
    apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c,avx512f,avx512bw,avx512vl,avx512dq")
#endif

#define LEVEL avx512
#define WIDE 1
#define DOT_BF16 0

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

#include "LinearBody.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
