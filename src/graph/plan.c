/* Planning, once per graph:
 *   1. keep: calls that outputs (or states: every KV_WRITE) need, found backwards; the rest is dropped.
 *   2. live: the first and last call that touches each piece of memory. Inputs live through the whole list, so that a
 *      graph can run again; outputs live from their call to the end.
 *   3. share: a call may take over the memory of an input that nobody reads later (op.def says which input).
 *   4. place: larger pieces first, each at the lowest offset that is free of pieces with overlapping lives.
 *   5. order: a call waits when it touches memory that a call since the last wait writes, or writes memory that one reads.
 *      This is computed on the placed memory, so reuse of memory can never race.
 * Costs: pieces^2 comparisons; a thousand pieces take about a millisecond. */
#include "graph_impl.h"

#include "../base/ckd.h"
#include "../base/error.h"

#include <stdlib.h>
#include <string.h>

#define ALIGN 64u

static size_t max_size(size_t a, size_t b) { return a > b ? a : b; }

/* ---- 1 ---- */

/* Marks needed calls and lists them in order; false when memory is short. */
static bool keep(mm__graph *g)
{
    const size_t n = g->calls_emitted.n;
    size_t at = n;
    mm__node **all = mm__calloc(g->mem, n + 1, sizeof *all);
    if (!all) return false;
    mm__node *x = g->calls_emitted.head;
    for (size_t i = 0; i < n; i++, x = x->next) all[i] = x;
    for (size_t i = n; i-- > 0;) {
        x = all[i];
        if (!x->needed && x->op != MM__OP_KV_WRITE) continue;
        for (int k = 0; k < MM__MAX_IN; k++)
            if (x->in[k]) x->in[k]->source->needed = true;
        all[--at] = x;
    }
    g->n_calls = n - at;
    memmove(all, all + at, g->n_calls * sizeof *all);
    g->call_nodes = all;
    return true;
}

/* ---- 2, 3 ---- */

static void live(mm__graph *g)
{
    const int64_t end = (int64_t)g->n_calls;
    for (mm__node *x = g->inputs.head; x; x = x->next) x->last = end;
    for (int64_t i = 0; i < end; i++) {
        mm__node *x = g->call_nodes[i];
        if (x->root == x) {
            x->first = i;
            x->last = x->pinned ? end : i;
            mm__tensor_bytes(x->dtype, &x->shape, &x->bytes);
        }
        for (int k = 0; k < MM__MAX_IN; k++)
            if (x->in[k] && x->in[k]->root->last < i) x->in[k]->root->last = i;
    }
}

/* Whether call i may write its result over input k. */
static bool can_take(const mm__node *x, int64_t i, int k)
{
    const mm__node *p = x->in[k], *home = p->root->home;
    if (p->root->kind != MM__NODE_CALL || home->last != i || home->bytes != x->bytes) return false;
    if (p->offset != 0 || !mm__node_contiguous(p) || mm__node_extent(p) != x->bytes) return false;
    for (int j = 0; j < MM__MAX_IN; j++)
        if (j != k && x->in[j] && x->in[j]->root->home == home) return false;
    return true;
}

static void share(mm__graph *g)
{
    for (int64_t i = 0; i < (int64_t)g->n_calls; i++) {
        mm__node *x = g->call_nodes[i];
        const int k = mm__op_in_place(x->op);
        if (x->root != x || k < 0 || !can_take(x, i, k)) continue;
        x->home = x->in[k]->root->home;
        x->home->last = x->last;
    }
}

/* ---- 4 ---- */

static int larger_first(const void *pa, const void *pb)
{
    const mm__node *a = *(mm__node *const *)pa, *b = *(mm__node *const *)pb;
    if (a->bytes != b->bytes) return a->bytes > b->bytes ? -1 : 1;
    return (a->first > b->first) - (a->first < b->first);
}

/* Puts x into the lowest gap among placed[0..n), which is sorted by offset, and inserts it there. */
static bool place_one(mm__node **placed, size_t n, mm__node *x, size_t *end)
{
    size_t at = 0, limit, i;
    for (i = 0; i < n; i++) {
        const mm__node *p = placed[i];
        if (p->last < x->first || p->first > x->last) continue;
        if (p->at >= at && p->at - at >= x->bytes) break;
        if (!mm__ckd_add(p->at, p->bytes, &limit) || !mm__ckd_align(limit, ALIGN, &limit)) return false;
        at = max_size(at, limit);
    }
    x->at = at;
    if (!mm__ckd_add(at, x->bytes, &limit) || !mm__ckd_align(limit, ALIGN, &limit)) return false;
    *end = max_size(*end, limit);
    for (i = n; i > 0 && placed[i - 1]->at > at; i--) placed[i] = placed[i - 1];
    placed[i] = x;
    return true;
}

static mm_status place(mm__graph *g, mm_error *err)
{
    size_t n = 0, end = 0;
    mm_status s = MM_OK;
    mm__node **pieces = mm__calloc(g->mem, g->inputs.n + g->n_calls + 1, sizeof *pieces);
    mm__node **placed = mm__calloc(g->mem, g->inputs.n + g->n_calls + 1, sizeof *placed);
    if (!pieces || !placed) {
        s = mm__nomem(err, "memory plan");
        goto done;
    }
    for (mm__node *x = g->inputs.head; x; x = x->next) pieces[n++] = x;
    for (size_t i = 0; i < g->n_calls; i++) {
        mm__node *x = g->call_nodes[i];
        if (x->root == x && x->home == x) pieces[n++] = x;
    }
    qsort(pieces, n, sizeof *pieces, larger_first);
    for (size_t i = 0; i < n && s == MM_OK; i++)
        if (!place_one(placed, i, pieces[i], &end)) s = mm__fail(err, MM_E_LIMIT, "graph: intermediates exceed the address space");
    g->scratch_at = end;
done:
    mm__free(g->mem, pieces);
    mm__free(g->mem, placed);
    return s;
}

/* ---- 5 ---- */

/* A range of bytes: of the arena (owner NULL) or anywhere in a tensor. */
typedef struct range {
    const mm__tensor *owner;
    size_t lo, hi;
} range;

static range range_of(const mm__node *x)
{
    if (x->root->tensor) return (range){x->root->tensor, 0, SIZE_MAX};
    const size_t lo = x->root->home->at + mm__node_byte_offset(x);
    return (range){NULL, lo, lo + mm__node_extent(x)};
}

static bool meet(range a, range b) { return a.owner == b.owner && a.lo < b.hi && b.lo < a.hi; }

/* Whether call b must not run at the same time as the earlier call a. */
static bool conflict(const mm__node *a, const mm__node *b)
{
    const range a_out = range_of(a), b_out = range_of(b);
    if (meet(a_out, b_out)) return true;
    for (int k = 0; k < MM__MAX_IN; k++) {
        if (b->in[k] && meet(a_out, range_of(b->in[k]))) return true;
        if (a->in[k] && meet(b_out, range_of(a->in[k]))) return true;
    }
    return false;
}

static void order(mm__graph *g)
{
    size_t since = 0;
    for (size_t i = 0; i < g->n_calls; i++) {
        for (size_t j = since; j < i && !g->calls[i].wait; j++) g->calls[i].wait = conflict(g->call_nodes[j], g->call_nodes[i]);
        if (g->calls[i].wait) since = i;
    }
}

/* ---- calls ---- */

static mm__view view_of(const mm__node *x)
{
    mm__view v = {.dtype = x->dtype, .shape = x->shape};
    memcpy(v.stride, x->stride, sizeof v.stride);
    return v;
}

/* Whether x runs on the host beside the device. A call goes where its weights or its cache are; one without, and one whose small
 * tables could be anywhere, goes where its first input was made, so that values cross as seldom as layers do. */
static bool is_aside(const mm__graph *g, const mm__node *x)
{
    const bool heavy = x->op == MM__OP_LINEAR || x->op == MM__OP_ROWS || x->op == MM__OP_KV_WRITE || x->op == MM__OP_ATTENTION;
    bool bound = false;
    for (int k = 0; k < MM__MAX_IN; k++) {
        const mm__tensor *t = x->in[k] ? x->in[k]->root->tensor : NULL;
        if (!t || !t->backend) continue;
        if (t->backend != g->backend) return true;
        bound = bound || heavy;
    }
    return !bound && x->in[0] && x->in[0]->source->aside;
}

/* Everything of a call but the pointers, which exec.c fills. Constants get theirs now, so that the backend can see which
 * forms of a weight there are. */
static void fill_call(const mm__graph *g, mm__call *c, mm__node *x)
{
    x->aside = c->aside = is_aside(g, x);
    c->op = x->op;
    c->args = x->args;
    c->exact = g->backend->exact;
    c->out = view_of(x);
    for (int k = 0; k < MM__MAX_IN; k++) {
        const mm__node *p = x->in[k];
        if (!p) continue;
        c->in[k] = view_of(p);
        if (p->kind != MM__NODE_TENSOR) continue;
        c->in[k].data = p->tensor->data;
        c->packed[k] = p->tensor->packed;
    }
}

static mm_status make_calls(mm__graph *g, mm_error *err)
{
    const mm__backend_ops *ops = g->backend->ops;
    size_t scratch = 0;
    g->calls = mm__calloc(g->mem, g->n_calls + 1, sizeof *g->calls);
    if (!g->calls) return mm__nomem(err, "calls of a graph");
    for (size_t i = 0; i < g->n_calls; i++) {
        fill_call(g, &g->calls[i], g->call_nodes[i]);
        if (!ops->supports(g->backend, &g->calls[i]))
            return mm__fail(err, MM_E_UNSUPPORTED, "%s: %s is not supported on this device", ops->name, mm__op_name(g->calls[i].op));
        scratch = max_size(scratch, ops->scratch(g->backend, &g->calls[i]));
    }
    if (!mm__ckd_add(g->scratch_at, scratch, &g->bytes)) return mm__fail(err, MM_E_LIMIT, "graph: scratch exceeds the address space");
    return MM_OK;
}

mm_status mm__graph_plan(mm__graph *g, mm_error *err)
{
    mm_status s = mm__graph_status(g, err);
    if (s < 0) return s;
    if (g->planned) return mm__fail(err, MM_E_STATE, "graph: planned twice");
    g->planned = true;
    if (!keep(g)) return mm__nomem(err, "plan of a graph");
    live(g);
    share(g);
    if ((s = place(g, err)) < 0 || (s = make_calls(g, err)) < 0) {
        mm__fail(&g->error, s, "the graph could not be planned");
        return s;
    }
    order(g);
    return MM_OK;
}

size_t mm__graph_bytes(const mm__graph *g) { return g->bytes; }
size_t mm__graph_calls(const mm__graph *g) { return g->n_calls; }
