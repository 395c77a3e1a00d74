/* Counts what a process asks of the heap, for a test that preloads it:

     cc -O2 -shared -fPIC -o count_mallocs.so count_mallocs.c
     COUNT_MALLOCS=/path/of/a/file LD_PRELOAD=./count_mallocs.so portico run ...

   The count stands in the first eight bytes of the file, which others may read at any time. */

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static _Atomic unsigned long early;
static _Atomic unsigned long *count = &early;

__attribute__((constructor)) static void begin(void) {
  const char *path = getenv("COUNT_MALLOCS");
  if (!path) return;
  int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file < 0 || ftruncate(file, sizeof *count) < 0) return;
  void *shared = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (shared != MAP_FAILED) count = shared;
}

void *malloc(size_t size) {
  atomic_fetch_add(count, 1);
  return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
  atomic_fetch_add(count, 1);
  return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
  atomic_fetch_add(count, 1);
  return __libc_realloc(old, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
  atomic_fetch_add(count, 1);
  *result = __libc_memalign(alignment, size);
  return *result ? 0 : ENOMEM;
}

void *aligned_alloc(size_t alignment, size_t size) {
  atomic_fetch_add(count, 1);
  return __libc_memalign(alignment, size);
}
