// How fast this machine reads memory: what single-stream decoding is measured against.
//
//   cc -O2 -pthread -o /tmp/read_bandwidth Tests/Bench/read_bandwidth.c && /tmp/read_bandwidth
//
// Sums a buffer of 512 MB (far beyond any cache here) with 1, 2, ... threads up to the machine's
// CPUs, each its own part, in small pages and in huge ones. Prints the best and the median of 7
// passes in GB/s (10^9 bytes).
#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PASSES = 7, MOST_THREADS = 64 };
static const size_t size = (size_t)512 << 20;
static const size_t huge = (size_t)2 << 20;

typedef uint64_t lanes __attribute__((vector_size(32)));

typedef struct {
  const char *from;
  size_t bytes;
  uint64_t sum;
} part;

// Eight sums at once: additions must not be what is waited for.
#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
static void *read_part(void *argument) {
  part *mine = argument;
  lanes sums[8] = {0};
  for (size_t at = 0; at + 256 <= mine->bytes; at += 256) {
    for (int i = 0; i < 8; i++) {
      lanes here;
      memcpy(&here, mine->from + at + i * 32, sizeof here);
      sums[i] += here;
    }
  }
  for (int i = 1; i < 8; i++) sums[0] += sums[i];
  mine->sum = sums[0][0] + sums[0][1] + sums[0][2] + sums[0][3];
  return NULL;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void measure(const char *memory, int threads, const char *pages) {
  double seconds[PASSES];
  uint64_t check = 0;
  for (int pass = 0; pass < PASSES; pass++) {
    pthread_t ids[MOST_THREADS];
    part parts[MOST_THREADS];
    double start = now();
    for (int i = 0; i < threads; i++) {
      size_t share = size / (size_t)threads / 4096 * 4096;
      parts[i] = (part){memory + (size_t)i * share, share, 0};
      if (i > 0 && pthread_create(&ids[i], NULL, read_part, &parts[i]) != 0) {
        fprintf(stderr, "no thread to be had\n");
        exit(1);
      }
    }
    read_part(&parts[0]);
    for (int i = 1; i < threads; i++) pthread_join(ids[i], NULL);
    seconds[pass] = now() - start;
    for (int i = 0; i < threads; i++) check += parts[i].sum;
  }
  qsort(seconds, PASSES, sizeof *seconds, ascending);
  double bytes = (double)(size / (size_t)threads / 4096 * 4096 * (size_t)threads);
  printf("%2d threads, %s pages: best %6.2f GB/s, median %6.2f GB/s  (sum %016llx)\n", threads,
         pages, bytes / seconds[0] * 1e-9, bytes / seconds[PASSES / 2] * 1e-9,
         (unsigned long long)check);
}

int main(void) {
  long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  for (int is_huge = 0; is_huge < 2; is_huge++) {
    char *map = mmap(NULL, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
      fprintf(stderr, "no 512 MB of memory to be had\n");
      return 1;
    }
    char *memory = (char *)(((uintptr_t)map + huge - 1) / huge * huge);
    madvise(memory, size, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    for (size_t at = 0; at < size; at += 8) memcpy(memory + at, &at, 8);
    for (int threads = 1; threads <= cpus && threads <= MOST_THREADS; threads *= 2)
      measure(memory, threads, is_huge ? "huge " : "small");
    munmap(map, size + huge);
  }
  return 0;
}
