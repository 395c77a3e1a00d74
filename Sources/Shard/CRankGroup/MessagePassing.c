#define _GNU_SOURCE 1
#include "CRankGroup.h"
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Open MPI's binary interface, version 40 (Open MPI 3 and 4; 5 kept it), from its public mpi.h:
 * handles are addresses of objects in the library, a status is four ints and a size_t. */
struct status {
  int source, tag, error, cancelled;
  size_t count;
};
typedef void *handle;
enum { THREAD_SERIALIZED = 2, STEP_TAG = 7, OK = 0 };

static struct {
  handle world, byte, errors_return;
  int (*Init_thread)(int *, char ***, int, int *);
  int (*Initialized)(int *);
  int (*Comm_rank)(handle, int *);
  int (*Comm_size)(handle, int *);
  int (*Comm_set_errhandler)(handle, handle);
  int (*Iallgather)(const void *, int, handle, void *, int, handle, handle, handle *);
  int (*Test)(handle *, int *, struct status *);
  int (*Isend)(const void *, int, handle, int, int, handle, handle *);
  int (*Iprobe)(int, int, handle, int *, struct status *);
  int (*Get_count)(const struct status *, handle, int *);
  int (*Recv)(void *, int, handle, int, int, handle, struct status *);
  int (*Finalize)(void);
} mpi;
static int own_rank, own_count;

static const struct {
  const char *name;
  void **place;
} symbols[] = {
    {"ompi_mpi_comm_world", (void **)&mpi.world},
    {"ompi_mpi_byte", (void **)&mpi.byte},
    {"ompi_mpi_errors_return", (void **)&mpi.errors_return},
    {"MPI_Init_thread", (void **)&mpi.Init_thread},
    {"MPI_Initialized", (void **)&mpi.Initialized},
    {"MPI_Comm_rank", (void **)&mpi.Comm_rank},
    {"MPI_Comm_size", (void **)&mpi.Comm_size},
    {"MPI_Comm_set_errhandler", (void **)&mpi.Comm_set_errhandler},
    {"MPI_Iallgather", (void **)&mpi.Iallgather},
    {"MPI_Test", (void **)&mpi.Test},
    {"MPI_Isend", (void **)&mpi.Isend},
    {"MPI_Iprobe", (void **)&mpi.Iprobe},
    {"MPI_Get_count", (void **)&mpi.Get_count},
    {"MPI_Recv", (void **)&mpi.Recv},
    {"MPI_Finalize", (void **)&mpi.Finalize},
};

int rank_mpi_join(char *problem, size_t problem_size) {
  /* Global: its plugins look for symbols of the library that loads them. */
  void *library = dlopen("libmpi.so.40", RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    snprintf(problem, problem_size, "%s", dlerror());
    return -ENOENT;
  }
  for (size_t i = 0; i < sizeof symbols / sizeof *symbols; i++) {
    if ((*symbols[i].place = dlsym(library, symbols[i].name))) continue;
    snprintf(problem, problem_size, "it has no %s, so it is not Open MPI", symbols[i].name);
    return -ENOENT;
  }
  int is_running = 0, level;
  mpi.Initialized(&is_running);
  /* Serialized: thread 0 of the team talks, whichever thread of the process that is. */
  if (!is_running && mpi.Init_thread(NULL, NULL, THREAD_SERIALIZED, &level) != OK) {
    snprintf(problem, problem_size, "MPI_Init_thread failed");
    return -EIO;
  }
  mpi.Comm_set_errhandler(mpi.world, mpi.errors_return);
  mpi.Comm_rank(mpi.world, &own_rank);
  mpi.Comm_size(mpi.world, &own_count);
  return 0;
}

int rank_mpi_rank(void) { return own_rank; }
int rank_mpi_count(void) { return own_count; }

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* One wait: eager at first, then polite. */
struct pause {
  int64_t start, last, waited;
  struct rank_patience patience;
};

static struct pause begin(struct rank_patience patience) {
  int64_t now = now_ns();
  return (struct pause){now, now, 0, patience};
}

/* False when the time is up. Of a gap between two calls at most 100 ms count: we were stopped. */
static bool rest(struct pause *p) {
  int64_t now = now_ns(), gap = now - p->last;
  p->waited += gap < 100000000 ? gap : 100000000;
  p->last = now;
  if (p->patience.limit_ns >= 0 && p->waited >= p->patience.limit_ns) return false;
  if (p->waited < p->patience.spin_ns) return true;
  if (p->waited < 1000000) {
    /* Others on this core may be the ones that we wait for. */
    sched_yield();
    return true;
  }
  /* A hundredth of what was waited already, up to 1 ms: late by 1 % at most. */
  int64_t sleep = p->waited / 100;
  struct timespec t = {.tv_nsec = sleep < 1000000 ? sleep : 1000000};
  nanosleep(&t, NULL);
  return true;
}

static int finish(handle *request, struct rank_patience patience) {
  struct pause p = begin(patience);
  for (;;) {
    int done = 0;
    if (mpi.Test(request, &done, NULL) != OK) return -EIO;
    if (done) return 0;
    if (!rest(&p)) return -ETIMEDOUT;
  }
}

int rank_mpi_gather(const void *bytes, void *all, size_t count, struct rank_patience patience) {
  if (count > INT_MAX) return -EMSGSIZE;
  handle request;
  /* Not the blocking kind: that one would spin for ever beside a rank that is stuck. */
  if (mpi.Iallgather(bytes, (int)count, mpi.byte, all, (int)count, mpi.byte, mpi.world, &request))
    return -EIO;
  return finish(&request, patience);
}

int rank_mpi_lead(const void *bytes, size_t count, struct rank_patience patience) {
  if (count > INT_MAX) return -EMSGSIZE;
  for (int i = 1; i < own_count; i++) {
    handle request;
    if (mpi.Isend(bytes, (int)count, mpi.byte, i, STEP_TAG, mpi.world, &request)) return -EIO;
    int e = finish(&request, patience);
    if (e) return e;
  }
  return 0;
}

int rank_mpi_await(size_t *count, struct rank_patience patience) {
  struct pause p = begin(patience);
  for (;;) {
    struct status status = {0};
    int is_here = 0, n = 0;
    if (mpi.Iprobe(0, STEP_TAG, mpi.world, &is_here, &status) != OK) return -EIO;
    if (is_here) {
      if (mpi.Get_count(&status, mpi.byte, &n) != OK || n < 0) return -EIO;
      *count = (size_t)n;
      return 0;
    }
    if (!rest(&p)) return -ETIMEDOUT;
  }
}

int rank_mpi_receive(void *bytes, size_t count) {
  return mpi.Recv(bytes, (int)count, mpi.byte, 0, STEP_TAG, mpi.world, NULL) == OK ? 0 : -EIO;
}

void rank_mpi_leave(void) { mpi.Finalize(); }
