#define _GNU_SOURCE 1
#include "CLinux.h"
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

/* Descriptors that a child may be given, and the numbers that it may find them under. */
enum { PASS_LIMIT = 16, NUMBER_LIMIT = 32 };

int portico_pipe(int ends[2]) {
  if (pipe2(ends, O_CLOEXEC) < 0) return -errno;
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return 0;
}

int portico_socketpair(int ends[2]) {
  return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0 ? -errno : 0;
}

int portico_is_writable(int fd) {
  struct pollfd p = {.fd = fd, .events = POLLOUT};
  int n = PORTICO_RETRY(poll(&p, 1, 0));
  return n == 1 && (p.revents & (POLLOUT | POLLERR | POLLNVAL)) == POLLOUT;
}

int portico_pidfd_signal(int pidfd, int signal) {
  return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int portico_reap(int pidfd, int is_waiting) {
  siginfo_t info = {0};
  int how = WEXITED | (is_waiting ? 0 : WNOHANG);
  int r = PORTICO_RETRY(waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, how));
  if (r < 0) return r;
  if (info.si_pid == 0) return -EAGAIN;
  return info.si_code == CLD_EXITED ? info.si_status : 256 + info.si_status;
}

int portico_die_with_parent(int parent, int signal) {
  if (prctl(PR_SET_PDEATHSIG, signal) < 0) return -errno;
  /* It may have ended before the call, and then no signal comes. */
  return getppid() == parent ? 0 : -ESRCH;
}

int portico_temporary_directory(char *template) { return mkdtemp(template) ? 0 : -errno; }

/* One child to start. Lives on the stack of the caller, who waits. */
struct spawn {
  const char *path;
  char *const *arguments, *const *environment;
  const struct portico_pass *passes;
  int count, death_signal;
  int pid, pidfd;
  bool done;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct spawn *wanted;
static bool has_thread;

/* Between fork and exec: system calls only, since other threads' locks are frozen as they were. */
static _Noreturn void become(const struct spawn *s, int report, int parent) {
  struct sigaction plain = {.sa_handler = SIG_DFL};
  for (int i = 1; i < 65; i++) sigaction(i, &plain, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  /* Of its own, so that an interrupt from the terminal comes to us only, and we end it in order. */
  setpgid(0, 0);
  int e = -portico_die_with_parent(parent, s->death_signal);
  if (e) goto failed;

  /* First out of the way of the numbers that are wanted, then to them. */
  int moved[PASS_LIMIT];
  bool has_input = false;
  report = fcntl(report, F_DUPFD_CLOEXEC, NUMBER_LIMIT);
  if (report < 0) _exit(127);
  for (int i = 0; i < s->count; i++) {
    moved[i] = fcntl(s->passes[i].from, F_DUPFD_CLOEXEC, NUMBER_LIMIT);
    if (moved[i] < 0) goto failed_errno;
  }
  /* 3 and up: whatever is open without close-on-exec is no business of the child's. */
  if (syscall(SYS_close_range, 3, NUMBER_LIMIT - 1, 0) < 0 && errno != ENOSYS) goto failed_errno;
  for (int i = 0; i < s->count; i++) {
    if (s->passes[i].to == 0) has_input = true;
    if (dup2(moved[i], s->passes[i].to) < 0) goto failed_errno;
    close(moved[i]);
  }
  if (!has_input) {
    int nothing = open("/dev/null", O_RDONLY);
    if (nothing < 0 || (nothing != 0 && dup2(nothing, 0) < 0)) goto failed_errno;
    if (nothing != 0) close(nothing);
  }
  /* The rest too, but the report closes by the exec itself. CLOEXEC is 1 << 2. */
  syscall(SYS_close_range, NUMBER_LIMIT, ~0U, 1U << 2);
  execve(s->path, s->arguments, s->environment);
failed_errno:
  e = errno;
failed:;
  ssize_t ignored = write(report, &e, sizeof e);
  (void)ignored;
  _exit(127);
}

static void run(struct spawn *s) {
  int report[2], parent = getpid();
  if (pipe2(report, O_CLOEXEC) < 0) {
    s->pid = -errno;
    return;
  }
  int pid = fork();
  if (pid == 0) become(s, report[1], parent);
  int e = pid < 0 ? errno : 0;
  close(report[1]);
  if (pid > 0) {
    /* The end of the pipe is the exec; bytes are why there was none. */
    if (PORTICO_RETRY(read(report[0], &e, sizeof e)) != sizeof e) e = 0;
    if (!e) {
      s->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
      if (s->pidfd < 0) {
        e = errno;
        kill(pid, SIGKILL);
      }
    }
    if (e) waitpid(pid, NULL, 0);
  }
  close(report[0]);
  s->pid = e ? -e : pid;
}

static void *spawner(void *nothing) {
  pthread_mutex_lock(&lock);
  for (;;) {
    while (!wanted) pthread_cond_wait(&changed, &lock);
    run(wanted);
    wanted->done = true;
    wanted = NULL;
    pthread_cond_broadcast(&changed);
  }
  return nothing;
}

static int start_thread(void) {
  sigset_t all, before;
  pthread_t thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int e = pthread_create(&thread, NULL, spawner, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!e) pthread_detach(thread);
  has_thread = !e;
  return -e;
}

int portico_spawn(const char *path, char *const arguments[], char *const environment[],
                  const struct portico_pass *passes, int count, int death_signal, int *pidfd) {
  if (count < 0 || count > PASS_LIMIT) return -EINVAL;
  for (int i = 0; i < count; i++)
    if (passes[i].to < 0 || passes[i].to >= NUMBER_LIMIT) return -EINVAL;
  struct spawn s = {path, arguments, environment, passes, count, death_signal, 0, -1, false};
  pthread_mutex_lock(&lock);
  int e = has_thread ? 0 : start_thread();
  if (e) {
    pthread_mutex_unlock(&lock);
    return e;
  }
  while (wanted) pthread_cond_wait(&changed, &lock);
  wanted = &s;
  pthread_cond_broadcast(&changed);
  while (!s.done) pthread_cond_wait(&changed, &lock);
  pthread_mutex_unlock(&lock);
  *pidfd = s.pidfd;
  return s.pid;
}
