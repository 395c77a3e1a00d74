// The arithmetic of the shard runner on CPUs. Every kernel has a portable version and versions for
// AVX2 + FMA, AVX-512 and AVX-512-BF16, chosen once at start by what the machine has.
//
// One rule holds for all: what comes out for a row depends on that row alone, bit for bit. The order
// of every sum is fixed by the layout, never by how many rows, threads or neighbours there are.
#ifndef PORTICO_SHARD_KERNELS_H
#define PORTICO_SHARD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// ---- Which version ---------------------------------------------------------------------------

enum { PK_PORTABLE = 0, PK_AVX2 = 1, PK_AVX512 = 2, PK_AVX512BF16 = 3 };

// The best that this machine has.
int pk_best_level(void);
// Uses that level from now on; returns the one that is used, which is never above the best.
int pk_use_level(int level);
int pk_level(void);
const char *pk_level_name(int level);

// ---- A team of threads that runs one function together ---------------------------------------

typedef struct pk_team pk_team;
typedef void (*pk_work)(void *context, int thread);

// `threads` includes the caller's own, which is number 0. NULL when threads cannot be made.
// `pin` binds thread i to the i-th CPU of the process's own set.
pk_team *pk_team_create(int threads, int pin);
void pk_team_destroy(pk_team *team);
int pk_team_size(const pk_team *team);
// Runs `work` on all threads, and returns when all have returned. Called by one thread only.
void pk_team_run(pk_team *team, pk_work work, void *context);
// Inside `work`: waits for all of the team. Spins for some microseconds, then sleeps on a futex.
void pk_team_barrier(pk_team *team, int thread);
// Inside `work`, after a barrier: takes the next `grain` of `count` items for this thread; returns the
// first, or `count` when there are none left. `slot` names the loop: use 0 and 1 in turn, with a
// barrier between one loop's end and the next loop's start.
int pk_team_take(pk_team *team, int slot, int count, int grain);
// Makes a loop's counter start at 0 again. By one thread, between two barriers.
void pk_team_rewind(pk_team *team, int slot);

// ---- Weights of linear layers -----------------------------------------------------------------

enum { PK_FP32 = 0, PK_BF16 = 1, PK_FP8 = 2 };

// W[rows][columns], as y = W x, packed into panels of 16 rows:
//   FP32  [panel][column][16] floats
//   BF16  [panel][column / 2][16][2], columns padded with zeros to a multiple of 2
//   FP8   [panel][column / 4][16][4] e4m3 bytes, the columns of each scale block padded with zeros
//         to a multiple of 4, and behind all panels one float a panel and block of 128 columns: the
//         scale that the bytes are multiplied by
// So a step of 64 bytes holds 1, 2 or 4 columns of 16 rows, and takes shifts and masks to decode.
// Rows are padded with zeros to a multiple of 16. Lanes are rows: a sum runs over columns in their
// order, one fused multiply-add after the other, in segments of 128 columns (FP8: scale blocks)
// whose sums are added in their order to what y starts from: zero or what it holds, and the bias.
// So the bits are the same for one row of x and for many, and at all levels but one: PK_AVX512BF16
// multiplies BF16 matrices by vdpbf16ps, with x rounded to bf16, for one row as for many.
typedef struct {
  void *data;
  int type;
  int rows;      // as the model has them
  int columns;
  float *scales; // FP8 only; points into the same memory, [panels][scale_blocks]
  int scale_blocks;
  int first_block; // columns in the first scale block: 128, or fewer where a slice starts inside one
} pk_matrix;

// Bytes of such a matrix, scales included; 2^60 where it would be more.
size_t pk_matrix_bytes(int type, int rows, int columns, int first_block);
// Lays `matrix` out over `memory` (64-byte aligned, zeroed, pk_matrix_bytes long). Writes nothing.
void pk_matrix_place(pk_matrix *matrix, void *memory, int type, int rows, int columns,
                     int first_block);
// Packs rows [first, first + count) from `source`, `count` rows of `columns` floats with `stride`
// floats from row to row. `first` is a multiple of 16. FP8 quantises: the scale of
// a panel and block is its largest magnitude / 448, so `count` covers whole panels or ends at the last
// row. NaN or an infinity makes the
// scale of its block the same.
void pk_matrix_pack_f32(pk_matrix *matrix, int first, int count, const float *source,
                        size_t stride);
// The same from bf16 bits, for BF16 and FP32 matrices (no detour over floats).
void pk_matrix_pack_bf16(pk_matrix *matrix, int first, int count, const uint16_t *source,
                         size_t stride);
// The same from e4m3 bytes with their own scales, for FP8 matrices: the caller sets
// scales[panel * scale_blocks + b]. 0 when there is a code for NaN: kernels would take it for 480.
int pk_matrix_pack_fp8(pk_matrix *matrix, int first, int count, const uint8_t *source,
                       size_t stride);
// A row back as floats. For embeddings that are tied to the head, and for tests.
void pk_matrix_row(const pk_matrix *matrix, int row, float *out);

// y[m][row] (+)= W[row] . x[m] for panels [first_panel, last_panel) and m rows of x.
// x_stride and y_stride count floats. `add` adds to what y holds; `bias` (may be NULL) is indexed by
// row. For one row of x it streams the weights once; for many it blocks.
void pk_linear(const pk_matrix *w, int first_panel, int last_panel, const float *x, size_t x_stride,
               int m, float *y, size_t y_stride, const float *bias, int add);
// The gated feed-forward's first half: out[m][row] = silu(gate[row] . x[m]) * (up[row] . x[m]).
void pk_gated(const pk_matrix *gate, const pk_matrix *up, int first_panel, int last_panel,
              const float *x, size_t x_stride, int m, float *out, size_t out_stride,
              const float *gate_bias, const float *up_bias);

// ---- Attention over paged keys and values -----------------------------------------------------

// The KV pool of one layer: blocks of `block_tokens` tokens; a block holds [kv head][token][size].
typedef struct {
  void *keys;
  void *values;       // may be the keys' own memory (MLA: the latent is the first part of the key)
  int type;           // PK_FP32 or PK_BF16
  int block_tokens;
  int kv_heads;
  int key_size;       // elements of a key
  int value_size;     // elements of a value that are read
  int value_stride;   // elements from one value to the next: value_size, or key_size for MLA
} pk_kv;

size_t pk_kv_block_bytes(int type, int block_tokens, int kv_heads, int size);
// Stores the key and value of one token and kv head. value may be NULL (MLA).
void pk_kv_store(const pk_kv *kv, int32_t block, int slot, int kv_head, const float *key,
                 const float *value);
// out[r] = softmax(scale * q[r] . K) V for `count` rows of one query head at consecutive positions:
// row r sees positions 0 ... position + r. `scratch` holds pk_attention_scratch floats.
// Rows are q + r * q_stride and out + r * out_stride.
void pk_attention(const pk_kv *kv, const int32_t *blocks, int kv_head, const float *q,
                  size_t q_stride, int count, int position, float scale, float *out,
                  size_t out_stride, float *scratch);
// The same for one position and `heads` query heads that share a kv head: keys and values are loaded
// once for all of them. Rows are heads; each gets the bits that pk_attention gives it.
void pk_attention_group(const pk_kv *kv, const int32_t *blocks, int kv_head, const float *q,
                        size_t q_stride, int heads, int position, float scale, float *out,
                        size_t out_stride, float *scratch);
size_t pk_attention_scratch(int count, int last_position);

// Attention of an encoder: every row sees all `count` rows. q, k and v are `stride` floats from row
// to row. `scratch` holds pk_attention_scratch(count, count - 1).
void pk_attention_full(const float *q, const float *k, const float *v, size_t stride, int count,
                       int size, float scale, float *out, size_t out_stride, float *scratch);

// ---- Small things ------------------------------------------------------------------------------

// out = x / sqrt(mean(x^2) + epsilon) * weight
void pk_rms_norm(const float *x, const float *weight, int size, float epsilon, float *out);
// out = (x - mean) / sqrt(variance + epsilon) * weight + bias
void pk_layer_norm(const float *x, const float *weight, const float *bias, int size, float epsilon,
                   float *out);
// Turns pairs (i, i + half), or (2i, 2i + 1) where interleaved, by cos[i] and sin[i], in place.
// x has 2 * half elements.
void pk_rope(float *x, const float *cos, const float *sin, int half, int interleaved);
void pk_add(float *y, const float *x, size_t count);              // y += x
void pk_add_scaled(float *y, const float *x, float scale, size_t count); // y += scale * x
void pk_gelu(float *x, size_t count);                             // exact, by erf
void pk_softmax(float *x, size_t count);                          // in place
// The index of the greatest, the lowest index on ties, 0 where there is none; *is_finite becomes 0
// if any is NaN or +inf, and stays as it is otherwise.
size_t pk_argmax(const float *x, size_t count, int *is_finite);
// The greatest, and log(sum(exp(x))), the greatest included: what log probabilities are made of.
void pk_log_sum_exp(const float *x, size_t count, float *max, float *lse);
// Rows of numbers to floats.
void pk_from_bf16(const uint16_t *source, size_t count, float *out);
void pk_from_fp16(const uint16_t *source, size_t count, float *out);
void pk_from_e4m3(const uint8_t *source, size_t count, float *out);
void pk_to_bf16(const float *source, size_t count, uint16_t *out);  // to nearest even
// 1 when none is NaN or infinite.
int pk_all_finite(const float *x, size_t count);

// ---- Memory ------------------------------------------------------------------------------------

// Zeroed memory at a border of 2 MiB, in huge pages where the kernel gives them: whole ones, so
// that small things had better share a mapping. NULL when there is none.
void *pk_memory_map(size_t bytes);
void pk_memory_unmap(void *memory, size_t bytes);

#endif
