#define _GNU_SOURCE 1 /* accept4; not in the header, where it would disagree with other modules */
#include "CLinux.h"
#include <stddef.h>
#include <stdlib.h>
#include <sys/resource.h>

int portico_listen(const struct portico_address *address, int backlog, int reuse_port) {
  int family = address->any.sa_family, on = 1;
  int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family != AF_UNIX) {
    if (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0) goto failed;
    /* Accepted sockets inherit it: one system call less for each connection. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  if (bind(fd, &address->any, address->length) < 0) goto failed;
  if (listen(fd, backlog) < 0) goto failed;
  return fd;
failed:;
  int e = errno;
  close(fd);
  return -e;
}

int portico_connect(const struct portico_address *address) {
  int on = 1;
  int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (address->any.sa_family != AF_UNIX) {
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  }
  int r = PORTICO_RETRY(connect(fd, &address->any, address->length));
  if (r == 0 || r == -EINPROGRESS) return fd;
  close(fd);
  return r;
}

int portico_accept(int listener, struct portico_address *peer) {
  peer->length = sizeof *peer - offsetof(struct portico_address, any);
  if (peer->length > sizeof(struct sockaddr_un)) peer->length = sizeof(struct sockaddr_un);
  return PORTICO_RETRY(accept4(listener, &peer->any, &peer->length, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

int portico_local_address(int fd, struct portico_address *address) {
  address->length = sizeof(struct sockaddr_un);
  return PORTICO_RETRY(getsockname(fd, &address->any, &address->length));
}

int64_t portico_raise_descriptor_limit(void) {
  struct rlimit l;
  if (getrlimit(RLIMIT_NOFILE, &l) < 0) return -errno;
  l.rlim_cur = l.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &l) < 0) return -errno;
  return (int64_t)l.rlim_cur;
}

/* Read end and write end; made once, since a handler has no context. */
static int signal_pipe[2] = {-1, -1};

static void note_signal(int number) {
  int e = errno;
  char byte = (char)number;
  /* A full pipe holds thousands of them already. */
  if (write(signal_pipe[1], &byte, 1) < 0) errno = e;
}

int portico_signal_descriptor(const int *signals, int count) {
  sigset_t set;
  sigemptyset(&set);
  struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
  if (signal_pipe[0] < 0 && pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) < 0) return -errno;
  for (int i = 0; i < count; i++) {
    sigaddset(&set, signals[i]);
    if (sigaction(signals[i], &action, NULL) < 0) return -errno;
  }
  /* Whoever started us may have blocked them. */
  int e = pthread_sigmask(SIG_UNBLOCK, &set, NULL);
  return e ? -e : signal_pipe[0];
}

int portico_signal_read(int fd) {
  unsigned char number;
  ssize_t n = PORTICO_RETRY(read(fd, &number, 1));
  return n == 1 ? number : n == 0 ? -EPIPE : (int)n;
}

int portico_notify(const char *state) {
  const char *path = getenv("NOTIFY_SOCKET");
  if (!path || (path[0] != '/' && path[0] != '@')) return 0;
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length >= sizeof to.sun_path) return -ENAMETOOLONG;
  memcpy(to.sun_path, path, length);
  if (path[0] == '@') to.sun_path[0] = 0; /* an abstract name */
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  ssize_t n = PORTICO_RETRY(sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                                   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
  close(fd);
  return n < 0 ? (int)n : 1;
}
