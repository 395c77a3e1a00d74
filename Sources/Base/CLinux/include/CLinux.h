/* The system calls that Swift cannot see, or whose errno it must not lose.
 *
 * Every function returns its result, or -errno. EINTR is retried here, so no caller ever sees it.
 */
#pragma once
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PORTICO_RETRY(call)                          \
  ({                                                 \
    __typeof__(call) r_;                             \
    do {                                             \
      r_ = (call);                                   \
    } while (r_ < 0 && errno == EINTR);              \
    r_ < 0 ? (__typeof__(call)) - errno : r_;        \
  })

/* An address as the kernel takes it. */
struct portico_address {
  union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
  };
  socklen_t length;
};

static inline int64_t portico_monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t portico_realtime_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int portico_epoll_create(void) { return PORTICO_RETRY(epoll_create1(EPOLL_CLOEXEC)); }

static inline int portico_epoll_add(int set, int fd, uint32_t events, uint64_t data) {
  struct epoll_event e = {.events = events, .data.u64 = data};
  return PORTICO_RETRY(epoll_ctl(set, EPOLL_CTL_ADD, fd, &e));
}

static inline int portico_epoll_modify(int set, int fd, uint32_t events, uint64_t data) {
  struct epoll_event e = {.events = events, .data.u64 = data};
  return PORTICO_RETRY(epoll_ctl(set, EPOLL_CTL_MOD, fd, &e));
}

static inline int portico_epoll_remove(int set, int fd) {
  struct epoll_event e = {0};
  return PORTICO_RETRY(epoll_ctl(set, EPOLL_CTL_DEL, fd, &e));
}

static inline int portico_epoll_wait(int set, struct epoll_event *events, int limit, int timeout_ms) {
  int n = epoll_wait(set, events, limit, timeout_ms);
  return n < 0 ? (errno == EINTR ? 0 : -errno) : n;
}

static inline uint64_t portico_event_data(const struct epoll_event *e) { return e->data.u64; }
static inline uint32_t portico_event_flags(const struct epoll_event *e) { return e->events; }

static inline int portico_eventfd(void) {
  return PORTICO_RETRY(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
}
static inline int portico_timerfd(void) {
  return PORTICO_RETRY(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}
/* Absolute monotonic time; 0 disarms. */
static inline int portico_timerfd_set(int fd, int64_t at_ns) {
  struct itimerspec t = {.it_value = {.tv_sec = at_ns / 1000000000, .tv_nsec = at_ns % 1000000000}};
  return PORTICO_RETRY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL));
}

/* Non-blocking; a read gives whole events, or -EAGAIN. */
static inline int portico_inotify(void) {
  return PORTICO_RETRY(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}
/* The number under which the events of this directory come; the same one when asked again. */
static inline int portico_inotify_add(int fd, const char *directory, uint32_t events) {
  return PORTICO_RETRY(inotify_add_watch(fd, directory, events | IN_ONLYDIR | IN_MASK_ADD));
}
static inline int portico_inotify_remove(int fd, int watch) {
  return PORTICO_RETRY(inotify_rm_watch(fd, watch));
}

static inline ssize_t portico_read(int fd, void *to, size_t count) {
  return PORTICO_RETRY(read(fd, to, count));
}
static inline ssize_t portico_receive(int fd, void *to, size_t count) {
  return PORTICO_RETRY(recv(fd, to, count, MSG_DONTWAIT));
}
static inline ssize_t portico_write(int fd, const void *from, size_t count) {
  return PORTICO_RETRY(write(fd, from, count));
}
/* MSG_NOSIGNAL: a peer that left must not end the process. */
static inline ssize_t portico_send(int fd, const void *from, size_t count) {
  return PORTICO_RETRY(send(fd, from, count, MSG_NOSIGNAL | MSG_DONTWAIT));
}
static inline ssize_t portico_send_gathered(int fd, const struct iovec *parts, int count) {
  struct msghdr m = {.msg_iov = (struct iovec *)parts, .msg_iovlen = (size_t)count};
  return PORTICO_RETRY(sendmsg(fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT));
}
/* 1: a byte waits, 0: the peer has closed, -EAGAIN: nothing to read. */
static inline int portico_peek(int fd) {
  char byte;
  return (int)PORTICO_RETRY(recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT));
}
/* close is not retried after EINTR: on Linux the descriptor is gone either way. */
static inline int portico_close(int fd) { return close(fd) < 0 ? -errno : 0; }
static inline int portico_shutdown_write(int fd) { return PORTICO_RETRY(shutdown(fd, SHUT_WR)); }
/* The next close sends RST and forgets what was not sent. */
static inline int portico_arm_reset(int fd) {
  struct linger l = {.l_onoff = 1, .l_linger = 0};
  return PORTICO_RETRY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
}
static inline int portico_socket_error(int fd) {
  int e = 0;
  socklen_t n = sizeof e;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0) return errno;
  return e;
}

/* A listening socket; see CLinux.c for the options and why. */
int portico_listen(const struct portico_address *address, int backlog, int reuse_port);
/* A non-blocking socket on its way to the address: >= 0, also while the connect is under way. */
int portico_connect(const struct portico_address *address);
/* The next connection, non-blocking and close-on-exec, with its peer. */
int portico_accept(int listener, struct portico_address *peer);
int portico_local_address(int fd, struct portico_address *address);
/* Raises the soft limit of descriptors to the hard one; returns it. */
int64_t portico_raise_descriptor_limit(void);
/* Notes the signals down from now on, in whichever thread they come, and returns a descriptor that
 * reads them: the same one for every call, never to be closed.
 *
 * A handler and a pipe, not a signalfd: that one needs the signals blocked in every thread, but the
 * main thread in dispatch_main (and so every async main) waits with none blocked, and dies of them;
 * and children would inherit the mask. */
int portico_signal_descriptor(const int *signals, int count);
/* The number of the next signal, or -EAGAIN. */
int portico_signal_read(int fd);
/* Sends a state to systemd; 0 where nobody listens. */
int portico_notify(const char *state);

/* Both ends close-on-exec; the read end does not block. */
int portico_pipe(int ends[2]);
/* Two stream sockets, close-on-exec, that do not block. */
int portico_socketpair(int ends[2]);
/* 1: writing now does not block, 0: it would, or the reader has left. */
int portico_is_writable(int fd);

/* A descriptor that a child finds under another number. */
struct portico_pass {
  int from, to;
};
/* Starts a program in a process group of its own and gives its pid and pidfd.
 *
 * The child has the descriptors given (at most 16, `to` below 32) and no others, except that 0 is
 * /dev/null and 1 and 2 are ours where none are given for them; its signals are as at login. It
 * gets `death_signal` (0 for none) when we end, however we end, and perhaps more than once: that is
 * tied to the thread that forks, so all children are started by one thread, which never ends. An
 * `exec` that fails is an error here. */
int portico_spawn(const char *path, char *const arguments[], char *const environment[],
                  const struct portico_pass *passes, int count, int death_signal, int *pidfd);
/* Signals the process and no other that may have got its number. */
int portico_pidfd_signal(int pidfd, int signal);
/* How it ended: the exit code, or 256 + the signal; -EAGAIN while it runs, unless it is waited for. */
int portico_reap(int pidfd, int is_waiting);
/* We get the signal when our parent ends; -ESRCH when it is gone already. `parent` is its pid. */
int portico_die_with_parent(int parent, int signal);
/* Makes a directory for us alone; the X of `template`, which ends in XXXXXX, become its name. */
int portico_temporary_directory(char *template);
