// Which set of versions is used, and the doors to it.
#include <stdatomic.h>

#include "Kernels.h"

static pk_kernels levels[PK_AVX512BF16 + 1];
static _Atomic(int) best_level = PK_PORTABLE;
static _Atomic(int) used_level = PK_PORTABLE;
static _Atomic(const pk_kernels *) used = &pk_portable_kernels;

const pk_kernels *pk_current(void) { return atomic_load_explicit(&used, memory_order_relaxed); }

// Before main: nobody can ask earlier.
__attribute__((constructor)) static void find_best(void) {
  levels[PK_PORTABLE] = pk_portable_kernels;
  int best = PK_PORTABLE;
#if defined(__x86_64__)
  __builtin_cpu_init();
  levels[PK_AVX2] = pk_avx2_kernels;
  levels[PK_AVX512] = pk_avx2_kernels;
  levels[PK_AVX512].linear = pk_linear_avx512;
  levels[PK_AVX512].gated = pk_gated_avx512;
  levels[PK_AVX512BF16] = pk_avx2_kernels;
  levels[PK_AVX512BF16].linear = pk_linear_avx512bf16;
  levels[PK_AVX512BF16].gated = pk_gated_avx512bf16;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
      __builtin_cpu_supports("f16c")) {
    best = PK_AVX2;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq")) {
      best = PK_AVX512;
      if (__builtin_cpu_supports("avx512bf16")) best = PK_AVX512BF16;
    }
  }
#endif
  atomic_store(&best_level, best);
  pk_use_level(best);
}

int pk_best_level(void) { return atomic_load(&best_level); }

int pk_use_level(int level) {
  int best = atomic_load(&best_level);
  if (level > best) level = best;
  if (level < PK_PORTABLE) level = PK_PORTABLE;
  atomic_store(&used_level, level);
  atomic_store(&used, &levels[level]);
  return level;
}

int pk_level(void) { return atomic_load(&used_level); }

const char *pk_level_name(int level) {
  switch (level) {
    case PK_PORTABLE: return "portable";
    case PK_AVX2: return "AVX2";
    case PK_AVX512: return "AVX-512";
    case PK_AVX512BF16: return "AVX-512-BF16";
    default: return "unknown";
  }
}

void pk_linear(const pk_matrix *w, int first_panel, int last_panel, const float *x, size_t x_stride,
               int m, float *y, size_t y_stride, const float *bias, int add) {
  pk_current()->linear(w, first_panel, last_panel, x, x_stride, m, y, y_stride, bias, add);
}

void pk_gated(const pk_matrix *gate, const pk_matrix *up, int first_panel, int last_panel,
              const float *x, size_t x_stride, int m, float *out, size_t out_stride,
              const float *gate_bias, const float *up_bias) {
  pk_current()->gated(gate, up, first_panel, last_panel, x, x_stride, m, out, out_stride,
                      gate_bias, up_bias);
}

void pk_attention(const pk_kv *kv, const int32_t *blocks, int kv_head, const float *q,
                  size_t q_stride, int count, int position, float scale, float *out,
                  size_t out_stride, float *scratch) {
  pk_current()->attention(kv, blocks, kv_head, q, q_stride, count, position, scale, out,
                          out_stride, scratch);
}

void pk_attention_full(const float *q, const float *k, const float *v, size_t stride, int count,
                       int size, float scale, float *out, size_t out_stride, float *scratch) {
  pk_current()->attention_full(q, k, v, stride, count, size, scale, out, out_stride, scratch);
}

void pk_rms_norm(const float *x, const float *weight, int size, float epsilon, float *out) {
  pk_current()->rms_norm(x, weight, size, epsilon, out);
}

void pk_layer_norm(const float *x, const float *weight, const float *bias, int size, float epsilon,
                   float *out) {
  pk_current()->layer_norm(x, weight, bias, size, epsilon, out);
}

void pk_rope(float *x, const float *cos, const float *sin, int half, int interleaved) {
  pk_current()->rope(x, cos, sin, half, interleaved);
}

void pk_add(float *y, const float *x, size_t count) { pk_current()->add(y, x, count); }

void pk_add_scaled(float *y, const float *x, float scale, size_t count) {
  pk_current()->add_scaled(y, x, scale, count);
}

void pk_gelu(float *x, size_t count) { pk_current()->gelu(x, count); }

void pk_softmax(float *x, size_t count) { pk_current()->softmax(x, count); }

size_t pk_argmax(const float *x, size_t count, int *is_finite) {
  return pk_current()->argmax(x, count, is_finite);
}

void pk_log_sum_exp(const float *x, size_t count, float *max, float *lse) {
  pk_current()->log_sum_exp(x, count, max, lse);
}

void pk_from_bf16(const uint16_t *source, size_t count, float *out) {
  pk_current()->from_bf16(source, count, out);
}

void pk_from_fp16(const uint16_t *source, size_t count, float *out) {
  pk_current()->from_fp16(source, count, out);
}

void pk_from_e4m3(const uint8_t *source, size_t count, float *out) {
  pk_current()->from_e4m3(source, count, out);
}

void pk_to_bf16(const float *source, size_t count, uint16_t *out) {
  pk_current()->to_bf16(source, count, out);
}

int pk_all_finite(const float *x, size_t count) { return pk_current()->all_finite(x, count); }
