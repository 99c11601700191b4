/* The memory of a timeline: one K and one V state per decoder layer, [n_head_kv, n_ctx, head_dim], by default F16 in fast
 * precision and F32 in exact; Q8_0, half of F16, where heads are whole blocks of it. A second cache of the same kind holds what
 * cross-attention reads (encoder output, media).
 *
 * A step is one forward pass over T new rows. Everything that varies from step to step sits in four small input tensors
 * (positions, slots, visible spans), so a graph is built once per T and re-bound, never rebuilt for each token. */
#ifndef MM__NN_KVCACHE_H
#define MM__NN_KVCACHE_H

#include "nn.h"

typedef struct mm__kv_layer { int32_t n_head_kv, head_dim; } mm__kv_layer;

typedef struct mm__kv {
    mm__mem *mem;
    int32_t n_layer, n_ctx;
    mm__tensor **k, **v;      /* [n_layer]; NULL for a layer with n_head_kv == 0 */
    size_t bytes;
} mm__kv;

/* What the precision asks for. */
mm__dtype mm__kv_default(const mm__backend *backend);
/* The type that hosts call `name`: "f32", "f16", "q8_0"; false for another. */
bool mm__kv_named(const char *name, mm__dtype *out);
/* MM_E_UNSUPPORTED: heads of these layers are no whole blocks of t. */
mm_status mm__kv_check(mm__dtype t, const mm__kv_layer *layers, int32_t n_layer, mm_error *err);
/* t: F32, F16 or Q8_0. As mm__kv_check(), and what the backend's state() refuses. */
mm_status mm__kv_create(mm__backend *backend, mm__dtype t, const mm__kv_layer *layers, int32_t n_layer, int32_t n_ctx, mm__kv **out,
                        mm_error *err);
/* The same without memory: graphs that use it can be emitted and planned, not run. */
mm_status mm__kv_sketch(mm__backend *backend, mm__dtype t, const mm__kv_layer *layers, int32_t n_layer, int32_t n_ctx, mm__kv **out,
                        mm_error *err);
void mm__kv_destroy(mm__kv *kv);
size_t mm__kv_row_bytes(mm__dtype t, const mm__kv_layer *layers, int32_t n_layer); /* per position; layers that pass mm__kv_check() */

/* The first n positions of a cache as runs of bytes on the device, in a fixed order: what a snapshot keeps. */
typedef struct mm__kv_run { unsigned char *at; size_t bytes; } mm__kv_run;
size_t mm__kv_runs(const mm__kv *kv);
mm__kv_run mm__kv_run_at(const mm__kv *kv, size_t i, int32_t n);

typedef struct mm__step {
    int32_t n_rows;           /* T */
    mm__kv *kv;
    mm__node *pos;            /* I32 [T] */
    mm__node *slot;           /* I32 [T]: where K and V of each row go */
    mm__node *span;           /* I32 [T,2]: visible keys */
    mm__node *window;         /* I32 [T,2]: span clipped to the sliding window, or NULL */
    mm__kv *cross;            /* NULL: no cross-attention */
    mm__node *cross_span;     /* I32 [T,2], or NULL */
    bool long_context;        /* sequence longer than the original training context */
} mm__step;

/* Emits the step's inputs. with_window / cross as the decoder's info says. */
mm_status mm__step_emit(mm__graph *g, mm__kv *kv, mm__kv *cross, int32_t n_rows, bool with_window, mm__step *out, mm_error *err);
/* Values of one step. Rows are positions first .. first + T - 1; causal. window <= 0: none.
 * prefix > 0: rows below `prefix` are visible to all (bidirectional prompt). cross_span: T pairs, or NULL: [0, n_cross) for
 * all rows. */
mm_status mm__step_write(mm__graph *g, const mm__step *s, int32_t first, int32_t prefix, int32_t window, int32_t n_cross,
                         const int32_t *cross_span, mm_error *err);

/* Writes k and v [T,Hk,d] of layer i into the cache and attends with q [T,H,d] over it. local: use step->window.
 * bias: T5 table or NULL (args of the table in `args`, which also carries scale and softcap). */
mm__node *mm__attend_cached(mm__graph *g, const mm__step *s, int32_t layer, mm__node *q, mm__node *k, mm__node *v, bool local,
                            mm__node *bias, const mm__args *args);
/* Attends over the cross cache, which mm__cross_write filled. */
mm__node *mm__attend_cross(mm__graph *g, const mm__step *s, int32_t layer, mm__node *q, const mm__args *args);
/* Emits the write of k, v [M,Hk,d] into slots of the cross cache. */
void mm__cross_write(mm__graph *g, mm__kv *cross, int32_t layer, mm__node *k, mm__node *v, mm__node *slot);

#endif
