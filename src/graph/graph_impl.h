/* Inside the graph room. A node is a value: an input, a tensor of the backend, the result of a call, or a view of one of
 * these. Every node knows
 *   root    the node whose memory it lies in (itself for inputs, tensors and most calls; the cache for KV_WRITE),
 *   offset  where in that memory, in elements,
 *   source  the node that must have been computed before it can be read (itself but for views).
 * Nodes live in blocks owned by the graph and never move. Emission order is execution order.
 *
 * Files: build.c nodes, views, names; emit.c operators; plan.c liveness, placement, waits; exec.c memory and running. */
#ifndef MM__GRAPH_IMPL_H
#define MM__GRAPH_IMPL_H

#include "graph.h"

typedef enum mm__node_kind { MM__NODE_INPUT, MM__NODE_TENSOR, MM__NODE_VIEW, MM__NODE_CALL } mm__node_kind;

struct mm__node {
    mm__node_kind kind;
    mm__dtype dtype;
    mm__shape shape;
    int64_t stride[MM__MAX_DIM];
    int64_t offset;
    mm__node *root, *source;
    const mm__tensor *tensor;    /* TENSOR */
    const char *name;            /* INPUT */
    mm__node *next;              /* INPUT and CALL: the next one emitted */
    mm__op op;                   /* CALL */
    mm__args args;
    mm__node *in[MM__MAX_IN];
    /* planning; the last five of roots only */
    bool needed;
    bool aside;                  /* CALL: as mm__call says */
    bool pinned;                 /* readable after a run */
    mm__node *home;              /* whose place it shares after in-place reuse, or itself */
    size_t bytes, at;            /* size; offset in the arena */
    int64_t first, last;         /* calls between which the memory is in use */
};

typedef struct mm__watched {
    const char *name;
    mm__node *node;
} mm__watched;

typedef struct mm__node_list {
    mm__node *head, *tail;
    size_t n;
} mm__node_list;

#define MM__SCOPE_CAP 256
#define MM__SCOPE_DEPTH 16

struct mm__graph {
    mm__backend *backend;
    mm__mem *mem;
    struct mm__block_of_nodes *blocks; /* bump allocation */
    mm__node_list inputs, calls_emitted;
    mm_error error;              /* first failure; code MM_OK: none */
    char scope[MM__SCOPE_CAP];
    size_t scope_ends[MM__SCOPE_DEPTH];
    int depth;
    const char *const *patterns;
    size_t n_patterns;
    bool watching;
    mm__watched *watched;
    size_t n_watched, cap_watched;
    /* planned */
    bool planned;
    mm__call *calls;
    mm__node **call_nodes;       /* node of each call */
    size_t n_calls;
    size_t bytes, scratch_at;
    /* bound */
    mm__arena *arena;
    void *base;
};

/* Zeroed memory that lives as long as the graph; NULL with the graph failed. */
void *mm__graph_alloc(mm__graph *g, size_t bytes);
bool mm__node_contiguous(const mm__node *x);
/* Byte offset of x in its root's memory, and the bytes from there to the end of its last element. */
size_t mm__node_byte_offset(const mm__node *x);
size_t mm__node_extent(const mm__node *x);
/* A node in emission order, contiguous, its own root; NULL with the graph failed. */
mm__node *mm__node_new(mm__graph *g, mm__node_kind kind, mm__dtype t, const mm__shape *s);
/* True when emission may go on. */
static inline bool mm__graph_open(const mm__graph *g) { return g->error.code == MM_OK && !g->planned; }

#endif
