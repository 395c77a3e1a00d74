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
