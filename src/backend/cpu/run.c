/* Running a list of calls. All threads walk the whole list; each does its share of every phase. They meet
 *   - between the phases of a call,
 *   - before a call that must wait,
 *   - before a call that needs scratch while one since the last meeting used it too (scratch is shared),
 * except while only thread 0 has had anything to do since the last meeting and again is the only one: a decoder's chain of
 * small calls costs no meetings. A meeting left out is owed, and paid before the next phase that several threads share.
 *
 * Units of a phase are dealt in contiguous ranges, the first threads getting one more; kernels do not depend on the cut.
 *
 * Cancelling: threads look at the flag between slices of a few milliseconds; who sees it leaves out the rest of the work
 * but keeps meeting the others. At each meeting thread 0 decides for all whether to stop. The decision is kept in two
 * alternating places: thread 0 can be one meeting ahead of a reader, never two. A list that waits for another's turn on the
 * pool is cancelled there. */
#include "cpu.h"

#include "../../base/ckd.h"
#include "../../base/error.h"
#include "../../base/pool.h"
#include "../../base/stop.h"

#define SLICE_ORACLE 2000000.0  /* multiply-adds between two looks at the cancel flag, scalar code */
#define SLICE_VECTOR 100000000.0

typedef struct run {
    mm__pool *pool;
    const mm__cpu_table *table;
    const mm__call *calls;
    size_t n;
    unsigned char *scratch;
    const atomic_int *cancel;
    atomic_int abandoned; /* some work was left out: the results are worthless */
    atomic_int stop[2];
} run;

/* What one thread knows; all threads come to the same values. */
typedef struct walker {
    run *r;
    int ith, nth;
    unsigned meetings;
    bool wide;            /* since the last meeting several threads had work */
    bool scratch;         /* since the last meeting scratch was used */
    bool owed;            /* a meeting was left out */
} walker;

static size_t align64(size_t n) { return (n + 63) & ~(size_t)63; }
static size_t shared_bytes(const mm__kern *k, const mm__call *c) { return k && k->shared_bytes ? align64(k->shared_bytes(c)) : 0; }
static size_t thread_bytes(const mm__kern *k, const mm__call *c) { return k && k->thread_bytes ? align64(k->thread_bytes(c)) : 0; }

size_t mm__cpu_scratch(const mm__pool *pool, const mm__cpu_table *table, const mm__call *c)
{
    const mm__kern *k = mm__cpu_pick(table, c);
    size_t all;
    if (!mm__ckd_mul(thread_bytes(k, c), (size_t)mm__pool_size(pool), &all) || !mm__ckd_add(all, shared_bytes(k, c), &all)) return SIZE_MAX;
    return all;
}

/* False: stop. */
static bool meet(walker *w)
{
    run *r = w->r;
    atomic_int *stop = &r->stop[w->meetings++ & 1];
    if (w->ith == 0) {
        if (mm__told_to_stop(r->cancel)) atomic_store(&r->abandoned, 1);
        atomic_store(stop, atomic_load(&r->abandoned));
    }
    mm__pool_barrier(r->pool);
    w->wide = w->scratch = w->owed = false;
    return !atomic_load(stop);
}

/* Multiply-adds of a call, roughly. */
static double work(const mm__call *c)
{
    const double out = (double)mm__view_rows(&c->out) * (double)mm__view_cols(&c->out);
    switch (c->op) {
    case MM__OP_LINEAR:
    case MM__OP_MATMUL: return out * (double)mm__view_cols(&c->in[0]);
    case MM__OP_ATTENTION: return out * 2.0 * (double)c->in[1].shape.d[1];
    case MM__OP_MEAN: return out * (double)mm__view_rows(&c->in[0]);
    case MM__OP_SPLICE: return out + (double)mm__view_rows(&c->out) * (double)c->in[2].shape.d[0];
    case MM__OP_RESIZE: return out * 16.0;
    case MM__OP_KV_WRITE: return (double)mm__view_rows(&c->in[1]) * (double)mm__view_cols(&c->in[1]);
    default: return out * 4.0;
    }
}

static void do_units(walker *w, const mm__kern *k, const mm__call *c, int phase, int64_t begin, int64_t end)
{
    run *r = w->r;
    const size_t shared = shared_bytes(k, c);
    unsigned char *own = r->scratch ? r->scratch + shared + (size_t)w->ith * thread_bytes(k, c) : NULL;
    const double slices = work(c) / w->nth / (k ? SLICE_VECTOR : SLICE_ORACLE) + 1.0;
    int64_t step = (int64_t)((double)(end - begin) / slices);
    if (step < 1) step = 1;
    for (; begin < end; begin += step) {
        const int64_t to = end - begin < step ? end : begin + step;
        if (mm__told_to_stop(r->cancel) || atomic_load_explicit(&r->abandoned, memory_order_relaxed)) {
            atomic_store(&r->abandoned, 1);
            return;
        }
        if (k) k->run(c, phase, begin, to, r->scratch, own);
        else mm__ref_of(c->op)(c, begin, to);
    }
}

/* One phase of a call; false: stop. */
static bool do_phase(walker *w, const mm__kern *k, const mm__call *c, int phase)
{
    const int64_t units = k ? k->units(c, phase) : mm__ref_units(c), share = units / w->nth, more = units % w->nth;
    const bool alone = units <= 1, scratch = shared_bytes(k, c) + thread_bytes(k, c) > 0;
    if (phase > 0 || c->wait || w->owed || (scratch && w->scratch)) {
        if (alone && !w->wide) w->owed = true;
        else if (!meet(w)) return false;
    }
    w->wide |= !alone;
    w->scratch |= scratch;
    const int64_t begin = share * w->ith + (w->ith < more ? w->ith : more);
    do_units(w, k, c, phase, begin, begin + share + (w->ith < more ? 1 : 0));
    return true;
}

static void walk(void *arg, int ith, int nth)
{
    walker w = {.r = arg, .ith = ith, .nth = nth};
    for (size_t i = 0; i < w.r->n; i++) {
        const mm__call *c = &w.r->calls[i];
        const mm__kern *k = mm__cpu_pick(w.r->table, c);
        for (int phase = 0; phase < (k ? k->phases : 1); phase++)
            if (!do_phase(&w, k, c, phase)) return;
    }
}

mm_status mm__cpu_run(mm__pool *pool, const mm__cpu_table *table, const mm__call *calls, size_t n, void *scratch,
                      const atomic_int *cancel, mm_error *err)
{
    run r = {.pool = pool, .table = table, .calls = calls, .n = n, .scratch = scratch, .cancel = cancel};
    const mm_status st = mm__pool_run(pool, walk, &r, cancel, err);
    if (st != MM_OK) return st;
    return atomic_load(&r.abandoned) ? mm__fail(err, MM_E_CANCELLED, "cancelled while computing") : MM_OK;
}
