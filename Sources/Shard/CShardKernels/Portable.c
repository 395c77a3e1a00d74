// The portable level: what the compiler makes of plain C, with the C library's fmaf where there is
// no instruction, so that it gives the same bits as the others. On x86-64 it is slow: it is there
// for other machines and as the oracle of the other levels.
#include <math.h>
#include <string.h>

#include "Kernels.h"
#include "LaneTypes.h"

// Vectors are only passed to functions that are inlined: there is no ABI to warn of.
#pragma GCC diagnostic ignored "-Wpsabi"

#define LEVEL portable
#define WIDE 0
#define DOT_BF16 0

static inline __attribute__((always_inline)) v8 fma8(v8 a, v8 b, v8 c) {
  for (int i = 0; i < 8; i++) c[i] = fmaf(a[i], b[i], c[i]);
  return c;
}

// The lower byte of every word, as a signed number times 16.
static inline __attribute__((always_inline)) s8x16 even_bytes8(v8 v) {
  return (s8x16)((u8x16)v << 8) >> 4;
}

#include "Lanes.h"

#include "LinearBody.h"

#include "AttentionBody.h"

#include "VectorBody.h"

const pk_kernels pk_portable_kernels = {
    .linear = pk_linear_portable,
    .gated = pk_gated_portable,
    .attention = attention_portable,
    .attention_full = attention_full_portable,
    .rms_norm = rms_norm_portable,
    .layer_norm = layer_norm_portable,
    .rope = rope_portable,
    .add = add_portable,
    .add_scaled = add_scaled_portable,
    .gelu = gelu_portable,
    .softmax = softmax_portable,
    .argmax = argmax_portable,
    .log_sum_exp = log_sum_exp_portable,
    .from_bf16 = from_bf16_portable,
    .from_fp16 = from_fp16_portable,
    .from_e4m3 = from_e4m3_portable,
    .to_bf16 = to_bf16_portable,
    .to_e4m3 = to_e4m3_portable,
    .largest = largest_portable,
    .all_finite = all_finite_portable,
};
