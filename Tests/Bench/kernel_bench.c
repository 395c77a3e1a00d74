// How near the kernels come to what this machine can do, on the linear layers of SmolLM2-135M: 30
// layers of hidden 576 and feed-forward 1536, and the head of 49,152 rows.
//
//   cc -O3 -fno-math-errno -ffp-contract=off -ISources/Shard/CShardKernels/include -pthread \
//     -o /tmp/kernel_bench Tests/Bench/kernel_bench.c Sources/Shard/CShardKernels/*.c -lm
//   /tmp/kernel_bench [threads] [passes] [level]
//
// Takes the kernels through all layers as one step of m tokens does (head: one row of the m, as in
// prefill, or all where m is at most 8), with a barrier after each. For m = 1 prints GB/s of weights
// and the fraction of the read bandwidth, measured in the same pass over the same memory; for all m
// GFLOP/s and the fraction of the peak of fused multiply-adds, measured in registers. The best of
// the passes: the machine may have other things to do. Attention is timed beside it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "CShardKernels.h"

enum { LAYERS = 30, HIDDEN = 576, WIDE = 1536, QKV = 960, VOCABULARY = 49152, MOST_ROWS = 512 };
enum { HEADS = 9, KV_HEADS = 3, HEAD = 64, BLOCK = 16 };

typedef struct {
  pk_matrix qkv, out, gate, up, down;
} layer;

static layer layers[LAYERS];
static pk_matrix head;
static size_t weight_bytes;
static char *weights;
static float *x, *wide, *y, *logits;
static pk_team *team;
static int threads, rows, head_rows;
static volatile float sink;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int part(int count, int thread) { return (int)((long)count * thread / threads); }

static void linear(const pk_matrix *w, const float *from, int stride, int m, float *to, int add,
                   int thread) {
  int panels = (w->rows + 15) / 16;
  pk_linear(w, part(panels, thread), part(panels, thread + 1), from, (size_t)stride, m, to,
            (size_t)w->rows, 0, add);
}

static void step(void *context, int thread) {
  (void)context;
  for (int i = 0; i < LAYERS; i++) {
    const layer *l = &layers[i];
    linear(&l->qkv, x, HIDDEN, rows, wide, 0, thread);
    pk_team_barrier(team, thread);
    linear(&l->out, x, HIDDEN, rows, y, 0, thread);
    pk_team_barrier(team, thread);
    pk_gated(&l->gate, &l->up, part(WIDE / 16, thread), part(WIDE / 16, thread + 1), x, HIDDEN,
             rows, wide, WIDE, 0, 0);
    pk_team_barrier(team, thread);
    linear(&l->down, wide, WIDE, rows, y, 0, thread);
    pk_team_barrier(team, thread);
  }
  linear(&head, x, HIDDEN, head_rows, logits, 0, thread);
}

typedef float lanes __attribute__((vector_size(32)));

#if defined(__x86_64__)
__attribute__((target("avx2,fma")))
#endif
static void read_all(void *context, int thread) {
  (void)context;
  size_t share = weight_bytes / (size_t)threads / 4096 * 4096;
  const char *from = weights + (size_t)thread * share;
  typedef uint64_t bits __attribute__((vector_size(32)));
  bits sums[8] = {0};
  for (size_t at = 0; at + 256 <= share; at += 256) {
    for (int i = 0; i < 8; i++) {
      bits here;
      memcpy(&here, from + at + i * 32, sizeof here);
      sums[i] += here;
    }
  }
  for (int i = 1; i < 8; i++) sums[0] += sums[i];
  sink = (float)sums[0][0];
}

enum { TURNS = 4000000 };

// 12 sums of 8 lanes in registers: nothing but multiply-adds. Twice as wide where AVX-512 is used.
#if defined(__x86_64__)
#include <immintrin.h>
__attribute__((target("avx2,fma"))) static void multiply_all(void *context, int thread) {
  (void)context;
  (void)thread;
  __m256 sums[12], a = _mm256_set1_ps(sink), b = _mm256_set1_ps(sink + 1);
  for (int i = 0; i < 12; i++) sums[i] = a;
  for (int turn = 0; turn < TURNS / 2; turn++) {
    for (int i = 0; i < 12; i++) sums[i] = _mm256_fmadd_ps(a, b, sums[i]);
    __asm__ volatile("" : "+x"(a));
  }
  for (int i = 1; i < 12; i++) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  sink = _mm256_cvtss_f32(sums[0]);
}
static const double multiply_flop = 12. * 8 * 2 * (TURNS / 2);
#else
static void multiply_all(void *context, int thread) {
  (void)context;
  (void)thread;
  float sums[32] = {0};
  for (int turn = 0; turn < TURNS; turn++)
    for (int i = 0; i < 32; i++) sums[i] = __builtin_fmaf(sink, sink, sums[i]);
  sink = sums[3];
}
static const double multiply_flop = 32. * 2 * TURNS;
#endif

static double timed(pk_work work) {
  double start = now();
  pk_team_run(team, work, 0);
  return now() - start;
}

static pk_matrix place(int type, int n, int columns, char **cursor, const float *source) {
  pk_matrix w;
  pk_matrix_place(&w, *cursor, type, n, columns, 128);
  pk_matrix_pack_f32(&w, 0, n, source, (size_t)columns);
  *cursor += (pk_matrix_bytes(type, n, columns, 128) + 63) / 64 * 64;
  return w;
}

static void load(int type) {
  const float *source = logits;  // random numbers by now
  weight_bytes = 64 + pk_matrix_bytes(type, VOCABULARY, HIDDEN, 128) +
                 LAYERS * (pk_matrix_bytes(type, QKV, HIDDEN, 128) +
                           pk_matrix_bytes(type, HIDDEN, HIDDEN, 128) +
                           2 * pk_matrix_bytes(type, WIDE, HIDDEN, 128) +
                           pk_matrix_bytes(type, HIDDEN, WIDE, 128) + 320);
  weights = pk_memory_map(weight_bytes);
  if (!weights) exit(1);
  char *cursor = weights;
  for (int i = 0; i < LAYERS; i++) {
    layers[i].qkv = place(type, QKV, HIDDEN, &cursor, source);
    layers[i].out = place(type, HIDDEN, HIDDEN, &cursor, source);
    layers[i].gate = place(type, WIDE, HIDDEN, &cursor, source);
    layers[i].up = place(type, WIDE, HIDDEN, &cursor, source);
    layers[i].down = place(type, HIDDEN, WIDE, &cursor, source);
  }
  head = place(type, VOCABULARY, HIDDEN, &cursor, source);
}

static void attention(int kv_type, int count, int position, int passes) {
  int blocks_needed = (position + count + BLOCK - 1) / BLOCK;
  size_t bytes = pk_kv_block_bytes(kv_type, BLOCK, KV_HEADS, HEAD) * (size_t)blocks_needed;
  pk_kv kv = {pk_memory_map(bytes), pk_memory_map(bytes), kv_type, BLOCK, KV_HEADS, HEAD, HEAD, HEAD};
  int32_t *blocks = malloc((size_t)blocks_needed * sizeof *blocks);
  for (int i = 0; i < blocks_needed; i++) blocks[i] = blocks_needed - 1 - i;
  for (int t = 0; t < position + count; t++)
    for (int h = 0; h < KV_HEADS; h++)
      pk_kv_store(&kv, blocks[t / BLOCK], t % BLOCK, h, logits + t * 7, logits + t * 5);
  float *scratch = malloc(pk_attention_scratch(count, position + count - 1) * sizeof *scratch);
  double best = 1e9;
  for (int pass = 0; pass < passes * 10; pass++) {
    double start = now();
    for (int h = 0; h < HEADS; h++)
      pk_attention(&kv, blocks, h / 3, x + h * HEAD, HIDDEN, count, position, 0.125f,
                   y + h * HEAD, HIDDEN, scratch);
    double took = now() - start;
    if (took < best) best = took;
  }
  double flop = 4. * HEADS * HEAD * count * (position + (count + 1) / 2.);
  printf("  attention %s KV, %3d rows after %5d tokens, 9 heads: %8.1f us, %6.1f GFLOP/s\n",
         kv_type == PK_FP32 ? "FP32" : "BF16", count, position, best * 1e6, flop / best * 1e-9);
  pk_memory_unmap(kv.keys, bytes);
  pk_memory_unmap(kv.values, bytes);
  free(blocks);
  free(scratch);
}

int main(int argc, char **argv) {
  threads = argc > 1 ? atoi(argv[1]) : 1;
  int passes = argc > 2 ? atoi(argv[2]) : 7;
  if (argc > 3) pk_use_level(atoi(argv[3]));
  team = pk_team_create(threads, 1);
  size_t most = (size_t)VOCABULARY * HIDDEN;
  x = malloc(MOST_ROWS * HIDDEN * sizeof *x);
  wide = malloc(MOST_ROWS * WIDE * sizeof *wide);
  y = malloc(MOST_ROWS * HIDDEN * sizeof *y);
  logits = malloc(most * sizeof *logits);
  if (!team || !x || !wide || !y || !logits) return 1;
  uint32_t state = 1;
  for (size_t i = 0; i < most; i++) {
    state = state * 1664525 + 1013904223;
    logits[i] = (float)(int32_t)state * 0x1p-33f;
  }
  for (int i = 0; i < MOST_ROWS * HIDDEN; i++) x[i] = logits[i];
  for (int i = 0; i < MOST_ROWS * WIDE; i++) wide[i] = logits[i];
  printf("%s, %d threads\n", pk_level_name(pk_level()), threads);
  double multiply = 1e9;
  for (int pass = 0; pass < passes; pass++) {
    double took = timed(multiply_all);
    if (took < multiply) multiply = took;
  }
  double peak = multiply_flop * threads / multiply;
  printf("peak of multiply-adds: %.1f GFLOP/s\n", peak * 1e-9);
  static const char *names[] = {"FP32", "BF16", "FP8"};
  static const int sizes[] = {1, 2, 4, 8, 64, 512};
  for (int type = PK_FP32; type <= PK_FP8; type++) {
    load(type);
    for (int s = 0; s < 6; s++) {
      rows = sizes[s];
      head_rows = rows <= 8 ? rows : 1;
      double best = 1e9, read = 1e9;
      for (int pass = 0; pass < (rows > 64 ? (passes + 1) / 2 : passes * 2); pass++) {
        double took = timed(step);
        if (took < best) best = took;
        if (rows == 1) {
          took = timed(read_all);
          if (took < read) read = took;
        }
      }
      double layers_flop =
          2. * LAYERS * ((double)QKV * HIDDEN + (double)HIDDEN * HIDDEN + 3. * WIDE * HIDDEN) * rows;
      double flop = layers_flop + 2. * VOCABULARY * HIDDEN * head_rows;
      printf("%s m %3d: %9.3f ms, %6.1f GFLOP/s, %.2f of peak", names[type], rows, best * 1e3,
             flop / best * 1e-9, flop / best / peak);
      if (rows == 1)
        printf("; %5.2f GB/s, %.2f of %5.2f GB/s read", (double)weight_bytes / best * 1e-9,
               read / best, (double)weight_bytes / read * 1e-9);
      printf("\n");
    }
    pk_memory_unmap(weights, weight_bytes);
  }
  for (int type = PK_FP32; type <= PK_BF16; type++) {
    attention(type, 1, 511, passes);
    attention(type, 1, 4095, passes);
    attention(type, 16, 240, passes);
    attention(type, 16, 2032, passes);
  }
  pk_team_destroy(team);
  return 0;
}
