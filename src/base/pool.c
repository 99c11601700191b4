/* The thread pool: n - 1 workers and the caller, one barrier for everything.
 *
 *     worker:  meet; fn(arg, ith, n); meet; meet; ...      (waiting for work is waiting at the barrier)
 *     caller:  set fn, arg; meet; fn(arg, 0, n); meet
 *
 * The barrier counts arrivals; the last one turns `phase`, everybody else waits for the turn. They spin for SPIN_SECONDS
 * (operators of a decode step follow each other within microseconds), then sleep on a condition, so an idle pool costs
 * nothing. Whoever goes to sleep first announces itself in `sleepers` and then looks at `phase` again; the last arrival
 * turns `phase` and then looks at `sleepers`. All four accesses are sequentially consistent, so one of the two sees the
 * other, and the system call is saved when nobody sleeps. With more threads than processors nobody spins.
 *
 * Callers from different threads queue up in a list of nodes on their own stacks. A waiting caller wakes to look at its
 * cancel flag, because whoever sets that may be a signal handler and can wake nobody.
 *
 * On threads of the host there are no workers and no meetings around the work: the host starts all n calls and returns when
 * they have. Inside the work the barrier is the same.
 *
 * The partition is fixed by (ith, nth) alone: nothing is stolen, nothing depends on timing. */
#include "pool.h"
#include "ckd.h"
#include "error.h"
#include "host.h"
#include "stop.h"
#include "os/os.h"

#define SPIN_SECONDS 40e-6
#define LOOK_SECONDS 10e-3 /* between two looks at the cancel flag of a waiting caller */
#define MAX_THREADS 1024

typedef struct worker {
    mm__pool *pool;
    int ith;
    mm__thread thread;
} worker;

typedef struct caller {
    struct caller *next;
} caller;

struct mm__pool {
    mm__mem *mem;
    worker *workers; /* n - 1 of them */
    int n;           /* threads, the caller included; fixed once the workers pass `lock` for the first time */
    mm_executor host; /* run not NULL: it starts all n, there are no workers */
    bool spin;
    bool quit; /* written and read between meetings */
    mm__pool_fn fn;
    void *arg;
    mm__mutex door; /* for the four below */
    mm__cond opened;
    bool busy; /* a caller has its turn */
    caller *first, **last;
    mm__mutex lock; /* for `awake` */
    mm__cond awake;
    _Alignas(64) _Atomic int arrived;
    _Alignas(64) _Atomic unsigned phase;
    _Alignas(64) _Atomic int sleepers;
};

/* Waits until `phase` has left `seen`. */
static void await_turn(mm__pool *pool, unsigned seen)
{
    if (pool->spin) {
        const double until = mm__os_now() + SPIN_SECONDS;
        do {
            for (int i = 0; i < 32; i++) {
                if (atomic_load_explicit(&pool->phase, memory_order_acquire) != seen) return;
                mm__os_pause();
            }
        } while (mm__os_now() < until);
    }
    mm__mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->sleepers, 1);
    while (atomic_load(&pool->phase) == seen) mm__cond_wait(&pool->awake, &pool->lock);
    atomic_fetch_sub(&pool->sleepers, 1);
    mm__mutex_unlock(&pool->lock);
}

void mm__pool_barrier(mm__pool *pool)
{
    if (pool->n == 1) return;
    const unsigned seen = atomic_load(&pool->phase);
    if (atomic_fetch_add(&pool->arrived, 1) + 1 < pool->n) {
        await_turn(pool, seen);
        return;
    }
    atomic_store(&pool->arrived, 0);
    atomic_store(&pool->phase, seen + 1);
    if (atomic_load(&pool->sleepers) > 0) {
        mm__mutex_lock(&pool->lock);
        mm__cond_broadcast(&pool->awake);
        mm__mutex_unlock(&pool->lock);
    }
}

static void worker_main(void *arg)
{
    worker *w = arg;
    mm__pool *pool = w->pool;
    mm__mutex_lock(&pool->lock); /* held by the creator until n is known */
    mm__mutex_unlock(&pool->lock);
    for (;;) {
        mm__pool_barrier(pool);
        if (pool->quit) return;
        pool->fn(pool->arg, w->ith, pool->n);
        mm__pool_barrier(pool);
    }
}

static void start_workers(mm__pool *pool, int n_threads)
{
    mm__mutex_lock(&pool->lock);
    for (int i = 1; i < n_threads; i++) {
        worker *w = &pool->workers[i - 1];
        w->pool = pool;
        w->ith = i;
        if (!mm__thread_start(&w->thread, worker_main, w)) break;
        pool->n = i + 1;
    }
    pool->spin = pool->n <= mm__os_cpus();
    mm__mutex_unlock(&pool->lock);
}

/* Without threads yet. */
static mm_status make(mm__mem *mem, int n_threads, mm__pool **out, mm_error *err)
{
    bool door = false, opened = false, lock = false;
    *out = NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return mm__fail(err, MM_E_ARG, "thread pool: %d threads asked for, 1 to %d are possible", n_threads, MAX_THREADS);
    mm__pool *pool = mm__zalloc(mem, sizeof *pool);
    if (!pool) return mm__nomem(err, "the thread pool");
    pool->mem = mem;
    pool->n = 1;
    pool->workers = mm__calloc(mem, (size_t)n_threads, sizeof *pool->workers);
    if (!pool->workers) goto fail;
    pool->last = &pool->first;
    if (!(door = mm__mutex_init(&pool->door)) || !(opened = mm__cond_init(&pool->opened))) goto fail;
    if (!(lock = mm__mutex_init(&pool->lock))) goto fail;
    if (!mm__cond_init(&pool->awake)) goto fail;
    *out = pool;
    return MM_OK;
fail:
    if (lock) mm__mutex_destroy(&pool->lock);
    if (opened) mm__cond_destroy(&pool->opened);
    if (door) mm__mutex_destroy(&pool->door);
    mm__free(mem, pool->workers);
    mm__free(mem, pool);
    return mm__nomem(err, "the thread pool");
}

mm_status mm__pool_create(mm__mem *mem, int n_threads, mm__pool **out, mm_error *err)
{
    const mm_status st = make(mem, n_threads, out, err);
    if (st == MM_OK) start_workers(*out, n_threads);
    return st;
}

mm_status mm__pool_create_on(mm__mem *mem, const mm_executor *host, mm__pool **out, mm_error *err)
{
    const mm_status st = make(mem, host->n_threads > MAX_THREADS ? -1 : (int)host->n_threads, out, err);
    if (st != MM_OK) return st;
    (*out)->host = *host;
    (*out)->n = (int)host->n_threads;
    (*out)->spin = (*out)->n <= mm__os_cpus();
    return MM_OK;
}

static void stop_workers(mm__pool *pool)
{
    pool->quit = true;
    mm__pool_barrier(pool);
    for (int i = 1; i < pool->n; i++) mm__thread_join(&pool->workers[i - 1].thread);
}

void mm__pool_destroy(mm__pool *pool)
{
    if (!pool) return;
    if (!pool->host.run) stop_workers(pool);
    mm__cond_destroy(&pool->awake);
    mm__mutex_destroy(&pool->lock);
    mm__cond_destroy(&pool->opened);
    mm__mutex_destroy(&pool->door);
    mm__free(pool->mem, pool->workers);
    mm__free(pool->mem, pool);
}

int mm__pool_size(const mm__pool *pool)
{
    return pool->n;
}

static void leave_queue(mm__pool *pool, caller *c)
{
    caller **at = &pool->first;
    while (*at != c) at = &(*at)->next;
    *at = c->next;
    if (!*at) pool->last = at;
}

/* False: cancelled while waiting. */
static bool take_turn(mm__pool *pool, const atomic_int *cancel)
{
    caller self = {0};
    mm__mutex_lock(&pool->door);
    *pool->last = &self;
    pool->last = &self.next;
    bool stop = false;
    while ((pool->busy || pool->first != &self) && !stop) {
        mm__cond_wait_for(&pool->opened, &pool->door, LOOK_SECONDS);
        stop = mm__told_to_stop(cancel);
    }
    leave_queue(pool, &self);
    if (!stop) pool->busy = true;
    else if (!pool->busy) mm__cond_broadcast(&pool->opened);
    mm__mutex_unlock(&pool->door);
    return !stop;
}

static void end_turn(mm__pool *pool)
{
    mm__mutex_lock(&pool->door);
    pool->busy = false;
    if (pool->first) mm__cond_broadcast(&pool->opened);
    mm__mutex_unlock(&pool->door);
}

static void host_task(void *task, uint32_t index, uint32_t count)
{
    mm__pool *pool = task;
    pool->fn(pool->arg, (int)index, pool->n);
}

static mm_status run_on_host(mm__pool *pool, mm_error *err)
{
    mm__host_enter();
    const int32_t rc = pool->host.run(pool->host.user, host_task, pool, (uint32_t)pool->n);
    mm__host_leave();
    return rc ? mm__fail_code(err, MM_E_DEVICE, rc, "the host's executor did not run the work (it returned %d)", (int)rc) : MM_OK;
}

/* False: it is somebody's turn already. */
static bool take_free_turn(mm__pool *pool)
{
    mm__mutex_lock(&pool->door);
    const bool is_free = !pool->busy && !pool->first;
    if (is_free) pool->busy = true;
    mm__mutex_unlock(&pool->door);
    return is_free;
}

/* The caller has its turn, and gives it back. */
static mm_status run_turn(mm__pool *pool, mm__pool_fn fn, void *arg, mm_error *err)
{
    mm_status st = MM_OK;
    pool->fn = fn;
    pool->arg = arg;
    if (pool->host.run) {
        st = run_on_host(pool, err);
    } else {
        mm__pool_barrier(pool);
        fn(arg, 0, pool->n);
        mm__pool_barrier(pool);
    }
    end_turn(pool);
    return st;
}

mm_status mm__pool_run(mm__pool *pool, mm__pool_fn fn, void *arg, const atomic_int *cancel, mm_error *err)
{
    if (!take_turn(pool, cancel)) return mm__fail(err, MM_E_CANCELLED, "cancelled while others were computing");
    return run_turn(pool, fn, arg, err);
}

void mm__pool_run_or_alone(mm__pool *pool, mm__pool_fn fn, void *arg)
{
    if (!take_free_turn(pool) || run_turn(pool, fn, arg, NULL) != MM_OK) fn(arg, 0, 1);
}
