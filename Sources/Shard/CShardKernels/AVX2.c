// The AVX2 level: AVX2, FMA and F16C.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "Kernels.h"
#include "LaneTypes.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#define LEVEL avx2
#define WIDE 0
#define DOT_BF16 0

static inline __attribute__((always_inline)) v8 fma8(v8 a, v8 b, v8 c) {
  return (v8)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
}

// The lower byte of every word, as a signed number times 16. A multiplication, since shifts
// and multiply-adds share a pipe of Zen 3's four: 22.4 GB/s of weights decoded in cache by one
// thread, against 20 with shifts for this byte, or with multiplications for both bytes of a word.
static inline __attribute__((always_inline)) s8x16 even_bytes8(v8 v) {
  return (s8x16)_mm256_maddubs_epi16(_mm256_set1_epi16(16), (__m256i)v);
}

#include "Lanes.h"

#include "LinearBody.h"

#include "AttentionBody.h"

#include "VectorBody.h"

const pk_kernels pk_avx2_kernels = {
    .linear = pk_linear_avx2,
    .gated = pk_gated_avx2,
    .attention = attention_avx2,
    .attention_full = attention_full_avx2,
    .rms_norm = rms_norm_avx2,
    .layer_norm = layer_norm_avx2,
    .rope = rope_avx2,
    .add = add_avx2,
    .add_scaled = add_scaled_avx2,
    .gelu = gelu_avx2,
    .softmax = softmax_avx2,
    .argmax = argmax_avx2,
    .log_sum_exp = log_sum_exp_avx2,
    .from_bf16 = from_bf16_avx2,
    .from_fp16 = from_fp16_avx2,
    .from_e4m3 = from_e4m3_avx2,
    .to_bf16 = to_bf16_avx2,
    .to_e4m3 = to_e4m3_avx2,
    .largest = largest_avx2,
    .all_finite = all_finite_avx2,
};

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
