/* Own threads or the host's, fixed partition. mm__pool_run calls fn(arg, ith, nth) once on each of nth threads at the same time (the
 * caller is thread 0) and returns when all are done. Inside a run, mm__pool_barrier makes all threads meet; waiting
 * threads spin briefly, then sleep. Runs from different host threads on one pool take turns, first come, first served. */
#ifndef MM__BASE_POOL_H
#define MM__BASE_POOL_H

#include "alloc.h"
#include <stdatomic.h>

typedef struct mm__pool mm__pool;
typedef void (*mm__pool_fn)(void *arg, int ith, int nth);

/* n_threads >= 1. When fewer threads can be created the pool has fewer, down to the caller alone. */
mm_status mm__pool_create(mm__mem *mem, int n_threads, mm__pool **out, mm_error *err);
/* A pool that runs on threads of the host. */
mm_status mm__pool_create_on(mm__mem *mem, const mm_executor *host, mm__pool **out, mm_error *err);
void mm__pool_destroy(mm__pool *pool);
int mm__pool_size(const mm__pool *pool);
/* MM_E_CANCELLED, and nothing ran, when *cancel (may be NULL) was set while others had their turn; it is looked at every
 * 10 ms. MM_E_DEVICE, and nothing ran: the host's threads refused. */
mm_status mm__pool_run(mm__pool *pool, mm__pool_fn fn, void *arg, const atomic_int *cancel, mm_error *err);
/* As mm__pool_run while nobody has a turn; otherwise, and when the host's threads refuse, fn(arg, 0, 1) on the caller alone:
 * for work beside the computing, like loading, that must neither wait for it nor hold it up for long. Without barriers. */
void mm__pool_run_or_alone(mm__pool *pool, mm__pool_fn fn, void *arg);
void mm__pool_barrier(mm__pool *pool);

#endif
