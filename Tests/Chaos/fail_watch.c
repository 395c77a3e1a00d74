/* Preloaded into portico: while the file FAIL_WATCH names exists, every third socket that is to be
 * watched is refused, as the kernel does when fs.epoll.max_user_watches or its memory is used up.
 *
 * strace cannot do this: it would refuse changes of what is watched too, which never fail in a
 * kernel, and on which libdispatch relies. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

static atomic_uint calls;

int epoll_ctl(int set, int op, int fd, struct epoll_event *event) {
  static int (*real)(int, int, int, struct epoll_event *);
  if (!real) real = (int (*)(int, int, int, struct epoll_event *))dlsym(RTLD_NEXT, "epoll_ctl");
  const char *file = getenv("FAIL_WATCH");
  struct stat status;
  if (op == EPOLL_CTL_ADD && file && access(file, F_OK) == 0 && fstat(fd, &status) == 0 &&
      S_ISSOCK(status.st_mode) && atomic_fetch_add(&calls, 1) % 3 == 2) {
    errno = atomic_load(&calls) % 2 ? ENOSPC : ENOMEM;
    return -1;
  }
  return real(set, op, fd, event);
}
