/* A graph of operator calls, built by parts as if they computed: each function below emits one node, infers its shape and
 * returns it. A failed emission (shape, memory) is remembered by the graph and returns NULL; every function accepts NULL
 * values and passes NULL on, so parts check once, at the end (mm__graph_status).
 *
 * Life: create -> emit -> mark outputs -> plan (drops nodes no output needs, places intermediates in one arena by
 * liveness, decides in-place reuse and waits) -> any number of { write inputs, run, read outputs }. Nothing is allocated
 * while running. One thread at a time. */
#ifndef MM__GRAPH_GRAPH_H
#define MM__GRAPH_GRAPH_H

#include "../backend/backend.h"

typedef struct mm__graph mm__graph;
typedef struct mm__node mm__node;

mm_status mm__graph_create(mm__backend *backend, mm__graph **out, mm_error *err);
void mm__graph_destroy(mm__graph *g);
/* First error of the emissions so far. */
mm_status mm__graph_status(const mm__graph *g, mm_error *err);
/* Lets a part report an error of its own through the graph. Returns NULL. */
mm__node *mm__graph_fail(mm__graph *g, mm_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Values. */
mm__node *mm__input(mm__graph *g, mm__dtype t, mm__shape s, const char *name);
mm__node *mm__tensor_node(mm__graph *g, const mm__tensor *t); /* constant or state; NULL gives NULL without an error */
const mm__shape *mm__node_shape(const mm__node *x);
mm__dtype mm__node_dtype(const mm__node *x);
int64_t mm__rows(const mm__node *x);
int64_t mm__cols(const mm__node *x);

/* Views: no work, no memory. */
mm__node *mm__reshape(mm__graph *g, mm__node *x, mm__shape s);              /* contiguous x */
mm__node *mm__split_cols(mm__graph *g, mm__node *x, int64_t from, int64_t n); /* [.., D] -> [.., n] */
mm__node *mm__split_rows(mm__graph *g, mm__node *x, int64_t from, int64_t n); /* first axis */
mm__node *mm__heads(mm__graph *g, mm__node *x, int64_t n_head);             /* [T, H*d] -> [T,H,d], strided x allowed */
mm__node *mm__swap01(mm__graph *g, mm__node *x);                            /* [A,B,d] -> [B,A,d] */

/* Operators; op.def defines them. */
mm__node *mm__linear_node(mm__graph *g, mm__node *x, mm__node *const *w, int n_w, mm__node *bias, mm__act act, mm__node *residual);
mm__node *mm__matmul(mm__graph *g, mm__node *a, mm__node *b, float scale);
mm__node *mm__gather(mm__graph *g, mm__node *table, mm__node *ids, float scale);
mm__node *mm__layer_norm(mm__graph *g, mm__node *x, mm__node *w, mm__node *b, float eps);
mm__node *mm__rms_norm(mm__graph *g, mm__node *x, mm__node *w, float eps);
mm__node *mm__add(mm__graph *g, mm__node *a, mm__node *b);
mm__node *mm__mul(mm__graph *g, mm__node *a, mm__node *b);
mm__node *mm__scale(mm__graph *g, mm__node *x, float scale, float offset);
mm__node *mm__activate(mm__graph *g, mm__node *x, mm__act act);
mm__node *mm__glu(mm__graph *g, mm__node *x, mm__act act);
mm__node *mm__rotate(mm__graph *g, mm__node *x, mm__node *pos, mm__node *inv_freq, bool interleaved, float scale);
mm__node *mm__kv_write(mm__graph *g, mm__node *cache, mm__node *x, mm__node *slot);
mm__node *mm__attend(mm__graph *g, mm__node *q, mm__node *k, mm__node *v, mm__node *span, mm__node *bias, mm__node *pos,
                     const mm__args *args);
mm__node *mm__patches(mm__graph *g, mm__node *image, int32_t patch);
mm__node *mm__unfold1d(mm__graph *g, mm__node *x, int32_t kernel, int32_t step, int32_t pad, bool channels_first);
mm__node *mm__concat(mm__graph *g, mm__node *const *x, int n);
mm__node *mm__splice(mm__graph *g, mm__node *x, mm__node *rows, mm__node *index);
mm__node *mm__resize_grid(mm__graph *g, mm__node *x, int32_t out_h, int32_t out_w, bool antialias);
mm__node *mm__mean_rows(mm__graph *g, mm__node *x);
mm__node *mm__l2_norm(mm__graph *g, mm__node *x, float eps);
mm__node *mm__softmax(mm__graph *g, mm__node *x);
mm__node *mm__contiguous(mm__graph *g, mm__node *x);

/* Names. A stage is a place whose value can be watched: "<scope>.<name>", scopes nested with dots; an empty scope adds
 * nothing. Stages cost nothing when nobody watches. Returns x. */
void mm__scope_push(mm__graph *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mm__scope_pop(mm__graph *g);
mm__node *mm__stage(mm__graph *g, mm__node *x, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Keeps every stage whose full name equals one of the patterns ("*": all) readable after a run. Before planning. The
 * array is borrowed until planning is done. */
void mm__graph_watch(mm__graph *g, const char *const *patterns, size_t n);
/* True once mm__graph_watch was called: parts then emit what fusion would hide. Call mm__graph_watch before emitting. */
bool mm__graph_watching(const mm__graph *g);
size_t mm__graph_watched(const mm__graph *g);
mm__node *mm__graph_watched_at(const mm__graph *g, size_t i, const char **name);

/* Marks x as readable after a run. */
void mm__output(mm__graph *g, mm__node *x);
mm_status mm__graph_plan(mm__graph *g, mm_error *err);
/* Arena bytes a planned graph needs, scratch included. */
size_t mm__graph_bytes(const mm__graph *g);
size_t mm__graph_calls(const mm__graph *g);
/* Uses (and grows) `arena` for intermediates; inputs and outputs live there too, so write, run and read belong together
 * when several graphs share an arena. */
mm_status mm__graph_bind(mm__graph *g, mm__arena *arena, mm_error *err);
mm_status mm__graph_write(mm__graph *g, mm__node *input, const void *data, size_t bytes, mm_error *err);
mm_status mm__graph_run(mm__graph *g, const atomic_int *cancel, mm_error *err);
/* Contiguous copy of an output's (or watched stage's) value. bytes must equal its size. */
mm_status mm__graph_read(mm__graph *g, mm__node *x, void *dst, size_t bytes, mm_error *err);
/* The same of n of its rows, from `first` on. */
mm_status mm__graph_read_rows(mm__graph *g, mm__node *x, int64_t first, int64_t n, void *dst, size_t bytes, mm_error *err);

#endif
