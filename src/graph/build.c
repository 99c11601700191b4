/* Building: the graph itself, its memory, inputs, tensors, views, and the names of stages. */
#include "graph_impl.h"

#include "../base/ckd.h"
#include "../base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define BLOCK_BYTES 32768u

struct mm__block_of_nodes {
    struct mm__block_of_nodes *next;
    size_t used, cap;
    _Alignas(16) unsigned char data[];
};

mm_status mm__graph_create(mm__backend *backend, mm__graph **out, mm_error *err)
{
    *out = NULL;
    mm__graph *g = mm__zalloc(backend->mem, sizeof *g);
    if (!g) return mm__nomem(err, "graph");
    g->backend = backend;
    g->mem = backend->mem;
    g->error.size = sizeof g->error;
    *out = g;
    return MM_OK;
}

void mm__graph_destroy(mm__graph *g)
{
    if (!g) return;
    while (g->blocks) {
        struct mm__block_of_nodes *next = g->blocks->next;
        mm__free(g->mem, g->blocks);
        g->blocks = next;
    }
    mm__free(g->mem, g->watched);
    mm__free(g->mem, g->calls);
    mm__free(g->mem, g->call_nodes);
    mm__free(g->mem, g);
}

mm_status mm__graph_status(const mm__graph *g, mm_error *err)
{
    return g->error.code == MM_OK ? MM_OK : mm__fail(err, g->error.code, "%s", g->error.text);
}

mm__node *mm__graph_fail(mm__graph *g, mm_status code, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    if (g->error.code != MM_OK) return NULL;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mm__fail(&g->error, code, "%s%s%s", g->scope, g->scope[0] ? ": " : "", text);
    return NULL;
}

void *mm__graph_alloc(mm__graph *g, size_t bytes)
{
    size_t need, whole;
    if (mm__ckd_align(bytes, 16, &need)) {
        struct mm__block_of_nodes *b = g->blocks;
        if (!b || b->cap - b->used < need) {
            const size_t cap = need > BLOCK_BYTES ? need : BLOCK_BYTES;
            b = mm__ckd_add(sizeof *b, cap, &whole) ? mm__zalloc(g->mem, whole) : NULL;
            if (b) {
                b->cap = cap;
                b->next = g->blocks;
                g->blocks = b;
            }
        }
        if (b) {
            b->used += need;
            return b->data + b->used - need;
        }
    }
    mm__graph_fail(g, MM_E_NOMEM, "out of memory while building the graph");
    return NULL;
}

/* ---- nodes ---- */

static mm__node *make(mm__graph *g, mm__node_kind kind, mm__dtype t, const mm__shape *s)
{
    mm__node *x = mm__graph_alloc(g, sizeof *x);
    if (!x) return NULL;
    const mm__view v = mm__view_of(t, *s, NULL);
    x->kind = kind;
    x->dtype = t;
    x->shape = *s;
    memcpy(x->stride, v.stride, sizeof x->stride);
    x->root = x->source = x->home = x;
    return x;
}

mm__node *mm__node_new(mm__graph *g, mm__node_kind kind, mm__dtype t, const mm__shape *s)
{
    mm__node *x = make(g, kind, t, s);
    if (!x || kind == MM__NODE_TENSOR || kind == MM__NODE_VIEW) return x;
    mm__node_list *list = kind == MM__NODE_INPUT ? &g->inputs : &g->calls_emitted;
    if (list->tail) list->tail->next = x;
    else list->head = x;
    list->tail = x;
    list->n++;
    return x;
}

mm__node *mm__input(mm__graph *g, mm__dtype t, mm__shape s, const char *name)
{
    size_t bytes;
    char str[96];
    if (!mm__graph_open(g)) return NULL;
    if (s.n < 1 || !mm__tensor_bytes(t, &s, &bytes) || bytes == 0 || bytes > SIZE_MAX / 4)
        return mm__graph_fail(g, MM_E_ARG, "input %s: impossible shape %s", name, mm__shape_str(&s, str));
    mm__node *x = mm__node_new(g, MM__NODE_INPUT, t, &s);
    char *copy = x ? mm__graph_alloc(g, strlen(name) + 1) : NULL;
    if (!copy) return NULL;
    memcpy(copy, name, strlen(name) + 1);
    x->name = copy;
    x->bytes = bytes;
    return x;
}

mm__node *mm__tensor_node(mm__graph *g, const mm__tensor *t)
{
    if (!t || !mm__graph_open(g)) return NULL;
    mm__node *x = mm__node_new(g, MM__NODE_TENSOR, t->dtype, &t->shape);
    if (x) x->tensor = t;
    return x;
}

const mm__shape *mm__node_shape(const mm__node *x)
{
    static const mm__shape nothing;
    return x ? &x->shape : &nothing;
}

mm__dtype mm__node_dtype(const mm__node *x) { return x ? x->dtype : MM__F32; }
int64_t mm__rows(const mm__node *x) { return x ? mm__shape_rows(&x->shape) : 0; }
int64_t mm__cols(const mm__node *x) { return x ? mm__shape_cols(&x->shape) : 0; }

bool mm__node_contiguous(const mm__node *x)
{
    int64_t expect = 1;
    for (int i = x->shape.n - 1; i >= 0; i--) {
        if (x->shape.d[i] != 1 && x->stride[i] != expect) return false;
        expect *= x->shape.d[i];
    }
    return true;
}

static size_t elements_to_bytes(mm__dtype t, int64_t n)
{
    const mm__dtype_info *type = mm__dtype_info_of(t);
    return (size_t)(n / type->block) * type->bytes;
}

size_t mm__node_byte_offset(const mm__node *x) { return elements_to_bytes(x->dtype, x->offset); }

size_t mm__node_extent(const mm__node *x)
{
    int64_t end = mm__shape_cols(&x->shape);
    for (int i = 0; i + 1 < x->shape.n; i++) end += (x->shape.d[i] - 1) * x->stride[i];
    return elements_to_bytes(x->dtype, end);
}

/* ---- views ---- */

/* A copy of x that only differs in how it is looked at. */
static mm__node *view_of(mm__graph *g, mm__node *x)
{
    if (!x || !mm__graph_open(g)) return NULL;
    if (mm__only_packed(x->root->tensor)) return mm__graph_fail(g, MM_E_ARG, "a view of a tensor that exists only packed");
    mm__node *v = mm__node_new(g, MM__NODE_VIEW, x->dtype, &x->shape);
    if (!v) return NULL;
    memcpy(v->stride, x->stride, sizeof v->stride);
    v->offset = x->offset;
    v->root = x->root;
    v->source = x->source;
    return v;
}

mm__node *mm__reshape(mm__graph *g, mm__node *x, mm__shape s)
{
    int64_t have = 0, want = 0;
    size_t row;
    char a[96], b[96];
    mm__node *v = view_of(g, x);
    if (!v) return NULL;
    if (!mm__node_contiguous(x) || !mm__shape_count(&x->shape, &have) || !mm__shape_count(&s, &want) || have != want ||
        !mm__dtype_row_bytes(x->dtype, mm__shape_cols(&s), &row))
        return mm__graph_fail(g, MM_E_ARG, "reshape of %s%s to %s", mm__node_contiguous(x) ? "" : "strided ",
                              mm__shape_str(&x->shape, a), mm__shape_str(&s, b));
    const mm__view flat = mm__view_of(x->dtype, s, NULL);
    v->shape = s;
    memcpy(v->stride, flat.stride, sizeof v->stride);
    return v;
}

static mm__node *split(mm__graph *g, mm__node *x, int axis, int64_t from, int64_t n)
{
    char a[96];
    mm__node *v = view_of(g, x);
    if (!v) return NULL;
    const int64_t block = axis == x->shape.n - 1 ? mm__dtype_info_of(x->dtype)->block : 1;
    if (axis < 0 || from < 0 || n < 1 || from > x->shape.d[axis] || n > x->shape.d[axis] - from || from % block || n % block)
        return mm__graph_fail(g, MM_E_ARG, "%lld elements from %lld on do not fit axis %d of %s", (long long)n, (long long)from, axis,
                              mm__shape_str(&x->shape, a));
    v->shape.d[axis] = n;
    v->offset += from * x->stride[axis];
    return v;
}

mm__node *mm__split_cols(mm__graph *g, mm__node *x, int64_t from, int64_t n) { return split(g, x, x ? x->shape.n - 1 : 0, from, n); }
mm__node *mm__split_rows(mm__graph *g, mm__node *x, int64_t from, int64_t n) { return split(g, x, 0, from, n); }

mm__node *mm__heads(mm__graph *g, mm__node *x, int64_t n_head)
{
    char a[96];
    mm__node *v = view_of(g, x);
    if (!v) return NULL;
    if (x->shape.n != 2 || n_head < 1 || x->shape.d[1] % n_head)
        return mm__graph_fail(g, MM_E_ARG, "%s cannot be cut into %lld heads", mm__shape_str(&x->shape, a), (long long)n_head);
    const int64_t d = x->shape.d[1] / n_head;
    v->shape = mm__shape3(x->shape.d[0], n_head, d);
    v->stride[1] = d;
    v->stride[2] = 1;
    return v;
}

mm__node *mm__swap01(mm__graph *g, mm__node *x)
{
    char a[96];
    mm__node *v = view_of(g, x);
    if (!v) return NULL;
    if (x->shape.n < 3) return mm__graph_fail(g, MM_E_ARG, "%s has no two leading axes to swap", mm__shape_str(&x->shape, a));
    v->shape.d[0] = x->shape.d[1];
    v->shape.d[1] = x->shape.d[0];
    v->stride[0] = x->stride[1];
    v->stride[1] = x->stride[0];
    return v;
}

/* ---- names ---- */

/* Appends ".text" (or "text" at the start) to name, which has MM__SCOPE_CAP bytes; false when it does not fit. */
static bool append_name(char *name, const char *fmt, va_list ap)
{
    const size_t at = strlen(name);
    if (at + 2 >= MM__SCOPE_CAP) return false;
    if (at) name[at] = '.';
    const size_t from = at ? at + 1 : 0;
    const int n = vsnprintf(name + from, MM__SCOPE_CAP - from, fmt, ap);
    if (n <= 0) name[at] = 0;
    return n >= 0 && (size_t)n < MM__SCOPE_CAP - from;
}

void mm__scope_push(mm__graph *g, const char *fmt, ...)
{
    va_list ap;
    const size_t end = strlen(g->scope);
    va_start(ap, fmt);
    const bool fits = g->depth < MM__SCOPE_DEPTH && append_name(g->scope, fmt, ap);
    va_end(ap);
    if (!fits) g->scope[end] = 0;
    if (!fits) mm__graph_fail(g, MM_E_INTERNAL, "scopes are nested too deeply");
    if (g->depth < MM__SCOPE_DEPTH) g->scope_ends[g->depth] = end;
    g->depth++;
}

void mm__scope_pop(mm__graph *g)
{
    if (g->depth == 0) return;
    if (--g->depth < MM__SCOPE_DEPTH) g->scope[g->scope_ends[g->depth]] = 0;
}

static bool wanted(const mm__graph *g, const char *name)
{
    for (size_t i = 0; i < g->n_patterns; i++)
        if (!strcmp(g->patterns[i], "*") || !strcmp(g->patterns[i], name)) return true;
    return false;
}

mm__node *mm__stage(mm__graph *g, mm__node *x, const char *fmt, ...)
{
    char name[MM__SCOPE_CAP];
    va_list ap;
    if (!x || !g->n_patterns || !mm__graph_open(g)) return x;
    memcpy(name, g->scope, sizeof name);
    va_start(ap, fmt);
    const bool fits = append_name(name, fmt, ap);
    va_end(ap);
    if (!fits) return mm__graph_fail(g, MM_E_INTERNAL, "the name of a stage is too long");
    if (!wanted(g, name)) return x;
    char *copy = mm__graph_alloc(g, strlen(name) + 1);
    if (!copy) return NULL;
    if (!mm__grow(g->mem, &g->watched, g->n_watched, &g->cap_watched, sizeof *g->watched))
        return mm__graph_fail(g, MM_E_NOMEM, "out of memory while building the graph");
    memcpy(copy, name, strlen(name) + 1);
    g->watched[g->n_watched++] = (mm__watched){copy, x};
    mm__output(g, x);
    return x;
}

void mm__graph_watch(mm__graph *g, const char *const *patterns, size_t n)
{
    g->patterns = patterns;
    g->n_patterns = n;
    g->watching = true;
}

bool mm__graph_watching(const mm__graph *g) { return g->watching; }
size_t mm__graph_watched(const mm__graph *g) { return g->n_watched; }

mm__node *mm__graph_watched_at(const mm__graph *g, size_t i, const char **name)
{
    if (i >= g->n_watched) return NULL;
    if (name) *name = g->watched[i].name;
    return g->watched[i].node;
}

void mm__output(mm__graph *g, mm__node *x)
{
    if (!x || !mm__graph_open(g)) return;
    x->source->needed = true;
    x->root->pinned = true;
}
