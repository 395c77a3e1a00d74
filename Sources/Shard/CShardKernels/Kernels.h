// What a level of SIMD provides, and what all levels share. Private to this room.
#ifndef PORTICO_KERNELS_H
#define PORTICO_KERNELS_H

#include "CShardKernels.h"

enum {
  // Rows of a panel: the lanes of a sum.
  PANEL = 16,
  // Columns whose products are summed before they are added to the rest: a scale block of FP8.
  SEGMENT = 128,
};

// One set of versions. All sets give the same bits, but for BF16 matrices at PK_AVX512BF16.
typedef struct {
  void (*linear)(const pk_matrix *w, int first_panel, int last_panel, const float *x,
                 size_t x_stride, int m, float *y, size_t y_stride, const float *bias, int add);
  void (*gated)(const pk_matrix *gate, const pk_matrix *up, int first_panel, int last_panel,
                const float *x, size_t x_stride, int m, float *out, size_t out_stride,
                const float *gate_bias, const float *up_bias);
  void (*attention)(const pk_kv *kv, const int32_t *blocks, int kv_head, const float *q,
                    size_t q_stride, int count, int position, float scale, float *out,
                    size_t out_stride, float *scratch);
  void (*attention_full)(const float *q, const float *k, const float *v, size_t stride, int count,
                         int size, float scale, float *out, size_t out_stride, float *scratch);
  void (*rms_norm)(const float *x, const float *weight, int size, float epsilon, float *out);
  void (*layer_norm)(const float *x, const float *weight, const float *bias, int size,
                     float epsilon, float *out);
  void (*rope)(float *x, const float *cos, const float *sin, int half, int interleaved);
  void (*add)(float *y, const float *x, size_t count);
  void (*add_scaled)(float *y, const float *x, float scale, size_t count);
  void (*gelu)(float *x, size_t count);
  void (*softmax)(float *x, size_t count);
  size_t (*argmax)(const float *x, size_t count, int *is_finite);
  void (*log_sum_exp)(const float *x, size_t count, float *max, float *lse);
  void (*from_bf16)(const uint16_t *source, size_t count, float *out);
  void (*from_fp16)(const uint16_t *source, size_t count, float *out);
  void (*from_e4m3)(const uint8_t *source, size_t count, float *out);
  void (*to_bf16)(const float *source, size_t count, uint16_t *out);
  // out = source / scale, rounded to the nearest e4m3 (even on ties), at most 448 in magnitude.
  void (*to_e4m3)(const float *source, size_t count, float scale, uint8_t *out);
  // The largest magnitude, or NaN when any is.
  float (*largest)(const float *source, size_t count);
  int (*all_finite)(const float *x, size_t count);
} pk_kernels;

extern const pk_kernels pk_portable_kernels;
#if defined(__x86_64__)
extern const pk_kernels pk_avx2_kernels;
// The AVX-512 levels' own; the rest is AVX2's.
void pk_linear_avx512(const pk_matrix *w, int first_panel, int last_panel, const float *x,
                      size_t x_stride, int m, float *y, size_t y_stride, const float *bias,
                      int add);
void pk_gated_avx512(const pk_matrix *gate, const pk_matrix *up, int first_panel, int last_panel,
                     const float *x, size_t x_stride, int m, float *out, size_t out_stride,
                     const float *gate_bias, const float *up_bias);
void pk_linear_avx512bf16(const pk_matrix *w, int first_panel, int last_panel, const float *x,
                          size_t x_stride, int m, float *y, size_t y_stride, const float *bias,
                          int add);
void pk_gated_avx512bf16(const pk_matrix *gate, const pk_matrix *up, int first_panel,
                         int last_panel, const float *x, size_t x_stride, int m, float *out,
                         size_t out_stride, const float *gate_bias, const float *up_bias);
#endif

// The set in use.
const pk_kernels *pk_current(void);

// Floats from one row of attention's scores to the next.
static inline size_t attention_pitch(int tokens) { return ((size_t)tokens + 15) / 16 * 16; }

// ---- The layout of a matrix ---------------------------------------------------------------------

// Panels of a matrix.
static inline int matrix_panels(const pk_matrix *w) { return (w->rows + PANEL - 1) / PANEL; }

// Columns of the first segment. Only FP8 matrices may begin inside one.
static inline int first_segment(const pk_matrix *w) {
  int first = w->type == PK_FP8 ? w->first_block : SEGMENT;
  return first < w->columns ? first : w->columns;
}

static inline int matrix_segments(const pk_matrix *w) {
  int first = first_segment(w);
  return w->columns == 0 ? 0 : 1 + (w->columns - first + SEGMENT - 1) / SEGMENT;
}

// Where segment `index` begins, in columns.
static inline int segment_start(const pk_matrix *w, int index) {
  return index == 0 ? 0 : first_segment(w) + (index - 1) * SEGMENT;
}

static inline int segment_columns(const pk_matrix *w, int index) {
  if (index == 0) return first_segment(w);
  int rest = w->columns - segment_start(w, index);
  return rest < SEGMENT ? rest : SEGMENT;
}

// Columns that share a step of 64 bytes in a panel: 1, 2 or 4.
static inline int columns_per_step(int type) {
  return type == PK_FP32 ? 1 : type == PK_BF16 ? 2 : 4;
}

static inline size_t steps_of(int type, int columns) {
  int per = columns_per_step(type);
  return ((size_t)columns + (size_t)per - 1) / (size_t)per;
}

// Bytes of `columns` columns of a segment of a panel.
static inline size_t span_bytes(int type, int columns) { return steps_of(type, columns) * 64; }

// Bytes from a panel's beginning to its segment `index`.
static inline size_t segment_offset(const pk_matrix *w, int index) {
  if (index == 0) return 0;
  return span_bytes(w->type, first_segment(w)) +
         (size_t)(index - 1) * span_bytes(w->type, SEGMENT);
}

static inline size_t panel_bytes(const pk_matrix *w) {
  int first = first_segment(w);
  return span_bytes(w->type, first) + span_bytes(w->type, w->columns - first);
}

#endif
