#define _GNU_SOURCE
#include "CModelFiles.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int64_t pf_map(const char *path, const void **bytes) {
  *bytes = NULL;
  int fd;
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  do {
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return -errno;
  struct stat facts;
  int64_t result;
  if (fstat(fd, &facts) < 0) {
    result = -errno;
  } else if (S_ISDIR(facts.st_mode)) {
    result = -EISDIR;
  } else if (!S_ISREG(facts.st_mode)) {
    result = -ENOTSUP;
  } else if (facts.st_size == 0) {
    result = 0;
  } else {
    void *memory = mmap(NULL, (size_t)facts.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (memory == MAP_FAILED) {
      result = -errno;
    } else {
      *bytes = memory;
      result = facts.st_size;
    }
  }
  close(fd);
  return result;
}

void pf_unmap(const void *bytes, size_t size) {
  if (bytes) munmap((void *)bytes, size);
}

void pf_release(const void *bytes, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = ((uintptr_t)bytes + page - 1) & ~(page - 1);
  uintptr_t last = ((uintptr_t)bytes + size) & ~(page - 1);
  if (first < last) madvise((void *)first, last - first, MADV_DONTNEED);
}

void pf_prefetch(const void *bytes, size_t size) {
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = (uintptr_t)bytes & ~(page - 1);
  if (size > 0) madvise((void *)first, (uintptr_t)bytes + size - first, MADV_WILLNEED);
}
