// Memory for weights and caches.
#define _GNU_SOURCE
#include <sys/mman.h>

#include "Kernels.h"

// A huge page of x86-64 and of most arm64 kernels.
static const size_t huge = (size_t)2 << 20;

// What a mapping of `bytes` takes: whole huge pages, or 0 where that overflows.
static size_t whole(size_t bytes) {
  if (bytes == 0) bytes = 1;
  return bytes > SIZE_MAX - huge ? 0 : (bytes + huge - 1) / huge * huge;
}

void *pk_memory_map(size_t bytes) {
  size_t size = whole(bytes);
  if (size == 0 || size > SIZE_MAX - huge) return 0;
  // One huge page more than needed, so that the beginning can be moved to a page's border.
  char *memory = mmap(0, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 0;
  size_t before = (huge - (uintptr_t)memory % huge) % huge;
  if (before) munmap(memory, before);
  munmap(memory + before + size, huge - before);
  memory += before;
  // Only speed is lost where the kernel refuses.
  madvise(memory, size, MADV_HUGEPAGE);
  return memory;
}

void pk_memory_unmap(void *memory, size_t bytes) {
  if (memory) munmap(memory, whole(bytes));
}
