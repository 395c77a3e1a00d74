// A team of threads.
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "Kernels.h"

enum {
  SLOTS = 8,
  MOST_THREADS = 1024,
  // Kernels keep up to 130 KiB of panels and rows on the stack; the rest is the executor's.
  STACK_BYTES = 2 << 20,
  // How long a waiting thread spins. Barriers of a step are some microseconds apart, a sleep and a
  // wake cost about 50.
  SPIN_MICROSECONDS = 50,
};

// A word that is waited on, alone in its cache line.
typedef struct {
  _Alignas(64) _Atomic(uint32_t) value;
  _Atomic(uint32_t) sleepers;
} word;

typedef struct {
  _Alignas(64) _Atomic(int) next;
} counter;

typedef struct {
  pk_team *team;
  int index;
  pthread_t thread;
} member;

struct pk_team {
  int size;
  int spins;  // pauses before a sleep; 0 where there are more threads than CPUs
  member *members;
  pk_work work;  // NULL ends the threads
  void *context;
  word start;    // grows with every run
  word phase;    // grows with every barrier
  _Alignas(64) _Atomic(int) arrived;
  counter slots[SLOTS];
};

static void pause_cpu(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb");
#endif
}

// Waits until the word is no longer `old`.
static void await(word *w, uint32_t old, int spins) {
  for (int i = 0; i < spins; i++) {
    if (atomic_load_explicit(&w->value, memory_order_acquire) != old) return;
    pause_cpu();
  }
  atomic_fetch_add(&w->sleepers, 1);
  while (atomic_load(&w->value) == old)
    syscall(SYS_futex, &w->value, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
  atomic_fetch_sub(&w->sleepers, 1);
}

static void advance(word *w) {
  atomic_fetch_add(&w->value, 1);
  // A sleeper counted itself before it looked at the value again: it is seen here, or saw the new.
  if (atomic_load(&w->sleepers))
    syscall(SYS_futex, &w->value, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

void pk_team_barrier(pk_team *team, int thread) {
  (void)thread;
  if (team->size == 1) return;
  uint32_t phase = atomic_load_explicit(&team->phase.value, memory_order_relaxed);
  if (atomic_fetch_add(&team->arrived, 1) + 1 == team->size) {
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    advance(&team->phase);
  } else {
    await(&team->phase, phase, team->spins);
  }
}

static void *live(void *argument) {
  member *self = argument;
  pk_team *team = self->team;
  uint32_t seen = 0;
  while (1) {
    await(&team->start, seen, team->spins);
    seen++;
    if (!team->work) return NULL;
    team->work(team->context, self->index);
    pk_team_barrier(team, self->index);
  }
}

void pk_team_run(pk_team *team, pk_work work, void *context) {
  if (team->size > 1) {
    team->work = work;
    team->context = context;
    advance(&team->start);
  }
  work(context, 0);
  pk_team_barrier(team, 0);
}

// CPUs that this process may use.
static int cpus(cpu_set_t *set) {
  CPU_ZERO(set);
  if (sched_getaffinity(0, sizeof *set, set) != 0) return 0;
  return CPU_COUNT(set);
}

static void pin_thread(pthread_t thread, const cpu_set_t *set, int index) {
  int left = index % CPU_COUNT(set);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, set) || left-- > 0) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    // Only speed is lost where the kernel refuses.
    pthread_setaffinity_np(thread, sizeof one, &one);
    return;
  }
}

// Pauses that last as long as a spin should: they take 40 to 140 cycles, by the CPU.
static int measure_spins(void) {
  enum { SAMPLE = 2000 };
  int64_t least = INT64_MAX;
  for (int i = 0; i < 3; i++) {
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int j = 0; j < SAMPLE; j++) pause_cpu();
    clock_gettime(CLOCK_MONOTONIC, &after);
    int64_t took = (after.tv_sec - before.tv_sec) * 1000000000LL + after.tv_nsec - before.tv_nsec;
    if (took < least) least = took;
  }
  if (least < 1) least = 1;
  int64_t spins = (int64_t)SPIN_MICROSECONDS * 1000 * SAMPLE / least;
  return spins < 100 ? 100 : spins > 1000000 ? 1000000 : (int)spins;
}

static void end(pk_team *team, int started) {
  team->work = NULL;
  advance(&team->start);
  for (int i = 1; i < started; i++) pthread_join(team->members[i].thread, NULL);
  free(team->members);
  free(team);
}

pk_team *pk_team_create(int threads, int pin) {
  if (threads < 1 || threads > MOST_THREADS) return NULL;
  pk_team *team = aligned_alloc(64, (sizeof *team + 63) / 64 * 64);
  if (!team) return NULL;
  *team = (pk_team){.size = threads};
  team->members = calloc((size_t)threads, sizeof *team->members);
  if (!team->members) {
    free(team);
    return NULL;
  }
  cpu_set_t set;
  int available = cpus(&set);
  team->spins = threads > 1 && threads <= available ? measure_spins() : 0;
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  int started = 1;
  for (; started < threads; started++) {
    member *next = &team->members[started];
    *next = (member){.team = team, .index = started};
    if (pthread_create(&next->thread, &attributes, live, next) != 0) break;
    if (pin && available > 0) pin_thread(next->thread, &set, started);
  }
  pthread_attr_destroy(&attributes);
  if (started < threads) {
    end(team, started);
    return NULL;
  }
  if (pin && available > 0) pin_thread(pthread_self(), &set, 0);
  return team;
}

void pk_team_destroy(pk_team *team) {
  if (team) end(team, team->size);
}

int pk_team_size(const pk_team *team) { return team->size; }

int pk_team_take(pk_team *team, int slot, int count, int grain) {
  _Atomic(int) *next = &team->slots[slot].next;
  if (atomic_load_explicit(next, memory_order_relaxed) >= count) return count;
  int first = atomic_fetch_add_explicit(next, grain, memory_order_relaxed);
  return first < count ? first : count;
}

void pk_team_rewind(pk_team *team, int slot) {
  atomic_store_explicit(&team->slots[slot].next, 0, memory_order_relaxed);
}
