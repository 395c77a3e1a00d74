/* What ranks share, where Swift has no words for it: atomics and futexes in memory that several
 * processes map, and an MPI library that is found at run time.
 *
 * Functions return their result, or -errno:
 *   -ETIMEDOUT   a rank did not come in time
 *   -EOWNERDEAD  a rank has died
 *   -ECANCELED   a rank has given the group up
 *   -EPROTO      a rank came with another count
 *   -EBADMSG     a step is damaged, or not the next one
 *   -EMSGSIZE    more than there is room for
 * `culprit` is the rank in question, or -1.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

/* Ranks of one group. A choice: more cards than one machine has, and the table stays small. */
#define RANK_LIMIT 64

/* How long to wait. Nanoseconds. `spin_ns` may be spent looking before the first sleep. `limit_ns` is
 * counted in slices, so a process that was stopped and goes on is not late; negative for no limit. */
struct rank_patience {
  int64_t spin_ns, limit_ns;
};

/* ---- shared memory ---- */

struct rank_group;

/* A memfd, laid out; -EINVAL when the numbers make no sense. Nothing in the file system names it,
 * so it is gone with the last process that has it, and /dev/shm may be as small as it likes. Memory
 * is taken as it is written to. */
int rank_group_create(int count, size_t floats, size_t step_bytes);
/* Maps it. The descriptor may be closed afterwards. */
int rank_group_attach(int fd, int rank, struct rank_group **group);
/* Unmaps. Never while another thread is inside. */
void rank_group_detach(struct rank_group *group);
int rank_group_count(const struct rank_group *group);
size_t rank_group_floats(const struct rank_group *group);
size_t rank_group_step_bytes(const struct rank_group *group);
/* Waits until all ranks are here; gives the least of their values. */
int rank_group_meet(struct rank_group *group, int64_t value, struct rank_patience patience,
                    int64_t *least, int *culprit);
/* Where this rank's part of the next exchange goes. */
float *rank_group_next(struct rank_group *group);
/* A rank's part of the last exchange. */
const float *rank_group_part(const struct rank_group *group, int rank);
int rank_group_exchange(struct rank_group *group, size_t count, struct rank_patience patience,
                        int *culprit);
/* Rank 0: a step for the others. Waits only when one of them is two steps behind. */
int rank_group_lead(struct rank_group *group, const void *bytes, size_t count,
                    struct rank_patience patience, int *culprit);
/* The others: waits for the next step, gives its length, and keeps it until `followed`. */
int rank_group_follow(struct rank_group *group, struct rank_patience patience, const void **bytes,
                      size_t *count, int *culprit);
/* The step has been copied; -EBADMSG when it is damaged. */
int rank_group_followed(struct rank_group *group, const void *copy, size_t count);
/* All waits of all ranks end with -ECANCELED. */
void rank_group_break(struct rank_group *group);

/* y[i] += part 0 [i] + part 1 [i] + ..., in that order, for i in from ..< to. */
void rank_add_sum(float *y, const float *parts, size_t stride, int count, size_t from, size_t to);
/* CRC-32C. */
uint32_t rank_checksum(const void *bytes, size_t count);

/* ---- life ---- */

/* Starts a thread that ends this process when nobody holds the other end of `life` any more, or when
 * `parent` is not our parent any more. In a group of shared memory it is also what the other ranks
 * know this one alive by. `life`, `parent` and `group` may be -1, 0 and NULL.
 *
 * With both `life` and `parent`, that is mpirun: it is ended first, so that it cleans up. */
int rank_watch_life(int life, int parent, struct rank_group *group);

/* ---- MPI ---- */

/* Finds Open MPI and joins the world. On failure `problem` says why. */
int rank_mpi_join(char *problem, size_t problem_size);
int rank_mpi_rank(void);
int rank_mpi_count(void);
/* Every rank's `bytes` end up in `all`, in order of ranks. */
int rank_mpi_gather(const void *bytes, void *all, size_t count, struct rank_patience patience);
/* Rank 0 to all others. */
int rank_mpi_lead(const void *bytes, size_t count, struct rank_patience patience);
/* The length of the next step. Sleeps in between, up to 1 ms, since MPI itself would spin. */
int rank_mpi_await(size_t *count, struct rank_patience patience);
int rank_mpi_receive(void *bytes, size_t count);
void rank_mpi_leave(void);
