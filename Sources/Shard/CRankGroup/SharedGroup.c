#define _GNU_SOURCE 1
#include "CRankGroup.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("yield")
#else
#define PAUSE() ((void)0)
#endif

/* The longest sleep without a look at who is alive. What a rank's death costs at most where no
 * supervisor kills the rest first. */
static const int64_t slice_ns = 50000000;
static const uint64_t magic = 0x31756f7267636f50; /* "Pocgrou1": processes of one build share it. */

/* A number that counts up, and how many sleep until it does. */
struct word {
  alignas(64) _Atomic uint32_t value;
  _Atomic uint32_t sleepers;
};

struct member {
  /* Exchanges this rank has its part ready for, steps it has copied, meetings it came to. */
  struct word arrived, followed, met;
  /* What the last two exchanges and meetings are about. */
  uint64_t counts[2];
  int64_t values[2];
  /* Held by a thread of the rank as long as it lives: the kernel tells when its owner died. */
  alignas(64) pthread_mutex_t alive;
  _Atomic uint32_t is_known;
};

struct step {
  uint64_t sequence, length;
  uint32_t checksum;
};

struct shared {
  uint64_t magic, total, floats, step_bytes, steps_at, parts_at, part_stride;
  uint32_t count;
  _Atomic uint32_t broken; /* 1 + the rank that gave up */
  struct word led;
  struct step steps[2];
  struct member members[RANK_LIMIT];
};

/* Whether looking before sleeping has paid of late. Where ranks have a core each it does: 0.5 µs for
 * an exchange instead of 7. Where they share cores it keeps the very rank that is waited for from its
 * core (four ranks on two cores: 220 µs instead of 17), so each failure doubles the waits that go
 * without. */
struct eagerness {
  uint32_t skips, left;
};
/* One look in so many waits finds out whether it would pay again. */
enum { SKIP_LIMIT = 127 };

struct rank_group {
  struct shared *shared;
  /* Copies of what the layout says: the shared ones are not to be believed twice. */
  size_t total, floats, step_bytes;
  char *steps;
  float *parts;
  size_t part_stride; /* floats */
  int rank, count;
  uint32_t exchanges, meetings;
  uint64_t steps_seen;
  struct eagerness at_exchanges, at_steps;
};

static int64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* ---- layout ---- */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Where things are; false when it would not fit into an address space. */
static bool lay_out(struct shared *s, uint32_t count, uint64_t floats, uint64_t step_bytes) {
  if (count < 1 || count > RANK_LIMIT || !floats || !step_bytes) return false;
  if (floats > (1ULL << 40) || step_bytes > (1ULL << 40)) return false;
  s->count = count;
  s->floats = floats;
  s->step_bytes = step_bytes;
  s->steps_at = round_up(sizeof(struct shared), 4096);
  s->parts_at = s->steps_at + 2 * round_up(step_bytes, 4096);
  /* Not a multiple of a page: parts that are read side by side would meet in one cache set. */
  s->part_stride = round_up(floats * sizeof(float), 4096) + 192;
  s->total = round_up(s->parts_at + 2 * count * s->part_stride, 4096);
  return s->total < (1ULL << 46);
}

int rank_group_create(int count, size_t floats, size_t step_bytes) {
  struct shared layout = {0};
  if (!lay_out(&layout, (uint32_t)count, floats, step_bytes)) return -EINVAL;
  int fd = memfd_create("portico-ranks", MFD_CLOEXEC | MFD_ALLOW_SEALING), e;
  if (fd < 0) return -errno;
  if (ftruncate(fd, (off_t)layout.total) < 0) goto failed;
  /* A file that cannot shrink cannot end its readers with SIGBUS. */
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) goto failed;
  struct shared *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (s == MAP_FAILED) goto failed;
  lay_out(s, (uint32_t)count, floats, step_bytes);
  pthread_mutexattr_t kind;
  pthread_mutexattr_init(&kind);
  pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
  for (int i = 0; i < count; i++) pthread_mutex_init(&s->members[i].alive, &kind);
  pthread_mutexattr_destroy(&kind);
  s->magic = magic;
  munmap(s, sizeof *s);
  return fd;
failed:
  e = errno;
  close(fd);
  return -e;
}

int rank_group_attach(int fd, int rank, struct rank_group **group) {
  struct stat facts;
  if (fstat(fd, &facts) < 0) return -errno;
  if (facts.st_size < (off_t)sizeof(struct shared)) return -EBADMSG;
  struct shared *s =
      mmap(NULL, (size_t)facts.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (s == MAP_FAILED) return -errno;
  struct shared layout = {0};
  struct rank_group *g = NULL;
  int e = EBADMSG;
  if (s->magic != magic || !lay_out(&layout, s->count, s->floats, s->step_bytes) ||
      layout.total != (uint64_t)facts.st_size || rank < 0 || (uint32_t)rank >= layout.count)
    goto failed;
  e = ENOMEM;
  if (!(g = calloc(1, sizeof *g))) goto failed;
  *g = (struct rank_group){.shared = s,
                           .total = layout.total,
                           .floats = layout.floats,
                           .step_bytes = layout.step_bytes,
                           .steps = (char *)s + layout.steps_at,
                           .parts = (float *)((char *)s + layout.parts_at),
                           .part_stride = layout.part_stride / sizeof(float),
                           .rank = rank,
                           .count = (int)layout.count};
  *group = g;
  return 0;
failed:
  munmap(s, (size_t)facts.st_size);
  return -e;
}

void rank_group_detach(struct rank_group *g) {
  munmap(g->shared, g->total);
  free(g);
}

int rank_group_count(const struct rank_group *g) { return g->count; }
size_t rank_group_floats(const struct rank_group *g) { return g->floats; }
size_t rank_group_step_bytes(const struct rank_group *g) { return g->step_bytes; }

/* ---- waiting ---- */

static void publish(struct word *w, uint32_t value) {
  atomic_store(&w->value, value);
  /* Both sides are sequentially consistent: either we see the sleeper, or it sees the value. */
  if (atomic_load(&w->sleepers)) syscall(SYS_futex, &w->value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Wraps around: what counts is the distance. */
static bool has_come(const struct word *w, uint32_t goal) {
  return (int32_t)(atomic_load_explicit(&w->value, memory_order_acquire) - goal) >= 0;
}

/* Whether a rank that was here is not any more. */
static bool is_dead(struct member *m) {
  if (!atomic_load(&m->is_known)) return false;
  int e = pthread_mutex_trylock(&m->alive);
  if (e == EBUSY) return false;
  /* Given back without being made consistent, it is never locked again: dead for all others too. */
  if (e == 0 || e == EOWNERDEAD) pthread_mutex_unlock(&m->alive);
  return true;
}

static int look_around(struct rank_group *g, int *culprit) {
  uint32_t broken = atomic_load(&g->shared->broken);
  if (broken) {
    *culprit = (int)broken - 1;
    return -ECANCELED;
  }
  for (int i = 0; i < g->count; i++) {
    if (i == g->rank || !is_dead(&g->shared->members[i])) continue;
    *culprit = i;
    return -EOWNERDEAD;
  }
  return 0;
}

static bool spin(struct word *w, uint32_t goal, int64_t spin_ns, struct eagerness *eagerness) {
  if (spin_ns <= 0) return false;
  if (eagerness->left) {
    eagerness->left--;
    return false;
  }
  int64_t end = now_ns() + spin_ns;
  do {
    for (int i = 0; i < 16; i++) {
      PAUSE();
      if (!has_come(w, goal)) continue;
      eagerness->skips = 0;
      return true;
    }
  } while (now_ns() < end);
  eagerness->skips = eagerness->skips * 2 + 1;
  if (eagerness->skips > SKIP_LIMIT) eagerness->skips = SKIP_LIMIT;
  eagerness->left = eagerness->skips;
  return false;
}

/* Until `w`, which rank `owner` counts, has come to `goal`. */
static int await(struct rank_group *g, struct word *w, uint32_t goal, int owner,
                 struct rank_patience patience, struct eagerness *eagerness, int *culprit) {
  if (has_come(w, goal) || spin(w, goal, patience.spin_ns, eagerness)) return 0;
  int64_t waited = 0;
  for (;;) {
    int64_t slice = slice_ns, start = now_ns();
    if (patience.limit_ns >= 0 && patience.limit_ns - waited < slice)
      slice = patience.limit_ns - waited;
    atomic_fetch_add(&w->sleepers, 1);
    uint32_t seen = atomic_load(&w->value);
    if ((int32_t)(seen - goal) < 0 && slice > 0) {
      struct timespec t = {.tv_nsec = slice};
      syscall(SYS_futex, &w->value, FUTEX_WAIT, seen, &t, NULL, 0);
    }
    atomic_fetch_sub(&w->sleepers, 1);
    /* What has come has come, whoever died since. */
    if (has_come(w, goal)) return 0;
    int e = look_around(g, culprit);
    if (e) return e;
    int64_t spent = now_ns() - start;
    waited += spent < 2 * slice_ns ? spent : slice_ns;
    if (patience.limit_ns >= 0 && waited >= patience.limit_ns) {
      *culprit = owner;
      return -ETIMEDOUT;
    }
  }
}

void rank_group_break(struct rank_group *g) {
  uint32_t nobody = 0;
  atomic_compare_exchange_strong(&g->shared->broken, &nobody, (uint32_t)g->rank + 1);
  /* Sleepers look around when they wake; those who are not woken do so within a slice. */
  syscall(SYS_futex, &g->shared->led.value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  for (int i = 0; i < g->count; i++) {
    struct member *m = &g->shared->members[i];
    syscall(SYS_futex, &m->arrived.value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    syscall(SYS_futex, &m->met.value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    syscall(SYS_futex, &m->followed.value, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
  }
}

/* ---- meeting and exchanging ---- */

int rank_group_meet(struct rank_group *g, int64_t value, struct rank_patience patience,
                    int64_t *least, int *culprit) {
  struct member *members = g->shared->members;
  uint32_t meeting = ++g->meetings;
  members[g->rank].values[meeting & 1] = value;
  publish(&members[g->rank].met, meeting);
  *least = value;
  for (int i = 0; i < g->count; i++) {
    int e = await(g, &members[i].met, meeting, i, patience, &g->at_steps, culprit);
    if (e) return e;
    int64_t other = members[i].values[meeting & 1];
    if (other < *least) *least = other;
  }
  return 0;
}

/* Two buffers: a rank that is ahead writes its next part while others still read the last one, and
 * cannot come to the one after that before all of them have come to the next. */
static float *part(const struct rank_group *g, int rank, uint32_t exchange) {
  return g->parts + ((size_t)(exchange & 1) * g->count + rank) * g->part_stride;
}

float *rank_group_next(struct rank_group *g) { return part(g, g->rank, g->exchanges + 1); }

const float *rank_group_part(const struct rank_group *g, int rank) {
  return part(g, rank, g->exchanges);
}

int rank_group_exchange(struct rank_group *g, size_t count, struct rank_patience patience,
                        int *culprit) {
  struct member *members = g->shared->members;
  uint32_t exchange = ++g->exchanges;
  members[g->rank].counts[exchange & 1] = count;
  publish(&members[g->rank].arrived, exchange);
  for (int i = 0; i < g->count; i++) {
    int e = await(g, &members[i].arrived, exchange, i, patience, &g->at_exchanges, culprit);
    if (e) return e;
    if (members[i].counts[exchange & 1] != count) {
      *culprit = i;
      return -EPROTO;
    }
  }
  return 0;
}

/* ---- steps ---- */

int rank_group_lead(struct rank_group *g, const void *bytes, size_t count,
                    struct rank_patience patience, int *culprit) {
  if (count > g->step_bytes) return -EMSGSIZE;
  uint64_t sequence = ++g->steps_seen;
  for (int i = 1; i < g->count; i++) {
    int e = await(g, &g->shared->members[i].followed, (uint32_t)(sequence - 2), i, patience,
                  &g->at_steps, culprit);
    if (e) return e;
  }
  size_t slot = sequence & 1;
  if (count) memcpy(g->steps + slot * round_up(g->step_bytes, 4096), bytes, count);
  g->shared->steps[slot] = (struct step){sequence, count, rank_checksum(bytes, count)};
  publish(&g->shared->led, (uint32_t)sequence);
  return 0;
}

int rank_group_follow(struct rank_group *g, struct rank_patience patience, const void **bytes,
                      size_t *count, int *culprit) {
  uint64_t sequence = g->steps_seen + 1;
  int e = await(g, &g->shared->led, (uint32_t)sequence, 0, patience, &g->at_steps, culprit);
  if (e) return e;
  struct step *step = &g->shared->steps[sequence & 1];
  *culprit = 0;
  if (step->sequence != sequence || step->length > g->step_bytes) return -EBADMSG;
  *bytes = g->steps + (sequence & 1) * round_up(g->step_bytes, 4096);
  *count = step->length;
  return 0;
}

int rank_group_followed(struct rank_group *g, const void *copy, size_t count) {
  uint64_t sequence = ++g->steps_seen;
  if (rank_checksum(copy, count) != g->shared->steps[sequence & 1].checksum) return -EBADMSG;
  publish(&g->shared->members[g->rank].followed, (uint32_t)sequence);
  return 0;
}

/* ---- life, as the other ranks see it ---- */

void rank_group_hold_life(struct rank_group *g) {
  struct member *m = &g->shared->members[g->rank];
  pthread_mutex_lock(&m->alive);
  atomic_store(&m->is_known, 1);
}
