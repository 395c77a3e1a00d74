#define _GNU_SOURCE 1
#include "CRankGroup.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

void rank_group_hold_life(struct rank_group *group);

/* How often to look whether the parent is still the same. Milliseconds. The pipe and the signal of
 * the parent's death are at once; this is for ranks that mpirun started and that have neither. */
static const int look_ms = 200;
/* EX_UNAVAILABLE: whoever we worked for is gone. */
static const int code = 69;

struct watch {
  int life, parent;
  struct rank_group *group;
  sem_t begun;
};

/* Of the end in good order, and then of mpirun's after SIGTERM. Seconds. */
enum { ORDER_SECONDS = 2, MPIRUN_SECONDS = 5 };

/* Whoever started mpirun is gone. Rank 0's step loop sees that too and ends in good order, after which
 * mpirun removes its files; but it may be loading weights, or hang. */
static _Noreturn void end_mpirun(int mpirun) {
  sleep(ORDER_SECONDS);
  if (getppid() == mpirun) kill(mpirun, SIGTERM);
  sleep(MPIRUN_SECONDS);
  if (getppid() == mpirun) kill(mpirun, SIGKILL);
  _exit(code);
}

static void *watch_life(void *argument) {
  struct watch *w = argument;
  int life = w->life, parent = w->parent;
  if (w->group) rank_group_hold_life(w->group);
  sem_post(&w->begun);
  for (;;) {
    /* No events: that the other end is closed is said in any case. */
    struct pollfd p = {.fd = life};
    int n = poll(&p, life >= 0, parent <= 0 ? -1 : look_ms);
    if (parent > 0 && getppid() != parent) _exit(code);
    if (n <= 0) continue;
    if (parent > 0) end_mpirun(parent);
    _exit(code);
  }
  return NULL;
}

int rank_watch_life(int life, int parent, struct rank_group *group) {
  struct watch w = {.life = life, .parent = parent, .group = group};
  sigset_t all, before;
  pthread_t thread;
  if (sem_init(&w.begun, 0, 0) < 0) return -errno;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int e = pthread_create(&thread, NULL, watch_life, &w);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (e) return -e;
  pthread_detach(thread);
  while (sem_wait(&w.begun) < 0) {
  }
  sem_destroy(&w.begun);
  return 0;
}
