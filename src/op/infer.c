/* Shape rules: what each operator accepts and the shape of its result. op.def states the rules; this file checks all of
 * them, so that oracles and kernels may trust every call they get. Only values in tensors (ids, slots, spans) remain
 * unchecked here; oracles and kernels tolerate any.
 *
 * Axes are limited to [1, 2^31 - 1]; products of two axes therefore fit 64 bits, and the size of the result is checked
 * as a whole. A refusal names the operator, the broken rule, and the shape and type of every input. */
#include "op.h"

#include "../base/error.h"

#include <stdio.h>
#include <string.h>

typedef struct infer {
    mm__op op;
    const mm__args *args;
    const mm__shape *const *in;
    const mm__dtype *dtypes;
    mm_error *err;
} infer;

static const char *const input_names[MM__N_OP][MM__MAX_IN] = {
    [MM__OP_LINEAR] = {"x", "bias", "residual", "w0", "w1", "w2"},
    [MM__OP_MATMUL] = {"a", "b"},
    [MM__OP_ROWS] = {"table", "ids"},
    [MM__OP_NORM] = {"x", "w", "b"},
    [MM__OP_RMSNORM] = {"x", "w"},
    [MM__OP_ADD] = {"a", "b"},
    [MM__OP_MUL] = {"a", "b"},
    [MM__OP_ROPE] = {"x", "pos", "inv_freq"},
    [MM__OP_KV_WRITE] = {"cache", "x", "slot"},
    [MM__OP_ATTENTION] = {"q", "k", "v", "span", "bias", "pos"},
    [MM__OP_CONCAT] = {"a", "b", "c", "d"},
    [MM__OP_SPLICE] = {"x", "rows", "index"},
};

static const char *input_name(mm__op op, int i) { return input_names[op][i] ? input_names[op][i] : "x"; }

/* Refuses, with the shapes. */
static mm_status refuse(const infer *f, const char *rule)
{
    char shapes[400], one[96];
    size_t at = 0;
    shapes[0] = 0;
    for (int i = 0; i < mm__op_inputs(f->op); i++) {
        if (!f->in[i]) continue;
        const mm__dtype_info *t = mm__dtype_info_of(f->dtypes[i]);
        const int n = snprintf(shapes + at, sizeof shapes - at, "%s%s %s %s", at ? ", " : "", input_name(f->op, i),
                               mm__shape_str(f->in[i], one), t ? t->name : "?");
        if (n < 0 || (size_t)n >= sizeof shapes - at) break;
        at += (size_t)n;
    }
    return mm__fail(f->err, MM_E_ARG, "%s: %s; given %s", mm__op_name(f->op), rule, at ? shapes : "nothing");
}

static bool is_f32(const infer *f, int i) { return f->dtypes[i] == MM__F32; }
static int64_t cols(const infer *f, int i) { return mm__shape_cols(f->in[i]); }
static int64_t rows(const infer *f, int i) { return mm__shape_rows(f->in[i]); }
static bool is_vector(const infer *f, int i, mm__dtype t, int64_t n)
{
    return f->dtypes[i] == t && f->in[i]->n == 1 && f->in[i]->d[0] == n;
}
/* Absent, or an F32 vector of n. */
static bool vector_or_absent(const infer *f, int i, int64_t n) { return !f->in[i] || is_vector(f, i, MM__F32, n); }

static mm_status infer_linear(const infer *f, mm__shape *out)
{
    if (!f->in[3]) return refuse(f, "at least one weight is needed");
    if (f->in[5] && !f->in[4]) return refuse(f, "w2 needs w1");
    int64_t n = 0;
    for (int i = 3; i < 6; i++) {
        size_t bytes;
        if (!f->in[i]) continue;
        if (f->in[i]->n != 2 || cols(f, i) != cols(f, 0)) return refuse(f, "a weight must be [N, K] with the K of x [.., K]");
        if (!mm__dtype_row_bytes(f->dtypes[i], cols(f, i), &bytes)) return refuse(f, "K is no multiple of the weight's block");
        n += f->in[i]->d[0];
    }
    *out = *f->in[0];
    out->d[out->n - 1] = n;
    if (!vector_or_absent(f, 1, n)) return refuse(f, "the bias must be F32 [N], N the sum over all weights");
    if (f->in[2] && (!is_f32(f, 2) || rows(f, 2) != rows(f, 0) || cols(f, 2) != n))
        return refuse(f, "the residual must be F32 with the shape of the result");
    return MM_OK;
}

static mm_status infer_broadcast(const infer *f, mm__shape *out)
{
    int64_t n = 0;
    *out = *f->in[0];
    if (!is_f32(f, 1)) return refuse(f, "values must be F32");
    if (mm__shape_count(f->in[1], &n) && n == 1) return MM_OK;
    if (cols(f, 0) != cols(f, 1) || rows(f, 0) % rows(f, 1) != 0)
        return refuse(f, "b must have the shape of a, [D], R rows that divide the rows of a, or one element");
    return MM_OK;
}

static mm_status infer_rope(const infer *f, mm__shape *out)
{
    *out = *f->in[0];
    if (f->in[0]->n != 3) return refuse(f, "x must be [T, H, d]");
    if (!is_vector(f, 1, MM__I32, f->in[0]->d[0])) return refuse(f, "pos must be I32 [T]");
    if (!is_f32(f, 2) || f->in[2]->n != 1 || 2 * f->in[2]->d[0] > f->in[0]->d[2])
        return refuse(f, "inv_freq must be F32 [r/2] with r <= d");
    return MM_OK;
}

/* Input i has a type of caches, in whole blocks. */
static bool is_cache(const infer *f, int i)
{
    size_t bytes;
    const mm__dtype t = f->dtypes[i];
    return (t == MM__F32 || t == MM__F16 || t == MM__Q8_0) && mm__dtype_row_bytes(t, cols(f, i), &bytes);
}

static mm_status infer_kv_write(const infer *f, mm__shape *out)
{
    const mm__shape *c = f->in[0], *x = f->in[1];
    *out = *c;
    if (!is_cache(f, 0)) return refuse(f, "the cache must be F32, F16 or, with d a multiple of 32, Q8_0");
    if (c->n != 3 || x->n != 3 || x->d[1] != c->d[0] || x->d[2] != c->d[2] || !is_f32(f, 1))
        return refuse(f, "the cache must be [H, C, d] and x F32 [T, H, d]");
    if (!is_vector(f, 2, MM__I32, x->d[0])) return refuse(f, "slot must be I32 [T]");
    return MM_OK;
}

static mm_status infer_attention(const infer *f, mm__shape *out)
{
    const mm__shape *q = f->in[0], *k = f->in[1], *v = f->in[2];
    if (q->n != 3 || k->n != 3 || v->n != 3) return refuse(f, "q must be [T, H, d], k [Hk, S, d] and v [Hk, S, dv]");
    if (k->d[2] != q->d[2] || v->d[0] != k->d[0] || v->d[1] != k->d[1] || q->d[1] % k->d[0] != 0)
        return refuse(f, "q [T, H, d], k [Hk, S, d] and v [Hk, S, dv] must agree, and Hk must divide H");
    if (f->dtypes[1] != f->dtypes[2] || !is_cache(f, 1) || !is_cache(f, 2))
        return refuse(f, "k and v must both be F32, both be F16 or, with d and dv multiples of 32, both be Q8_0");
    if (f->in[3] && (f->dtypes[3] != MM__I32 || f->in[3]->n != 2 || f->in[3]->d[0] != q->d[0] || f->in[3]->d[1] != 2))
        return refuse(f, "span must be I32 [T, 2]");
    if (f->in[4]) {
        const int32_t both = f->args->bidirectional ? 2 : 1;
        if (!is_f32(f, 4) || f->in[4]->n != 2 || f->in[4]->d[1] != q->d[1]) return refuse(f, "bias must be F32 [buckets, H]");
        if (!f->in[5]) return refuse(f, "a bias needs pos");
        if (f->in[4]->d[0] % both || f->in[4]->d[0] / both < 2 || f->args->max_distance <= f->in[4]->d[0] / both / 2)
            return refuse(f, "a bias needs at least two buckets a side and a max_distance beyond the exact ones");
    }
    if (f->in[5] && !is_vector(f, 5, MM__I32, q->d[0])) return refuse(f, "pos must be I32 [T]");
    *out = mm__shape2(q->d[0], q->d[1] * v->d[2]);
    return MM_OK;
}

static mm_status infer_patches(const infer *f, mm__shape *out)
{
    const mm__shape *x = f->in[0];
    const int64_t p = f->args->kernel;
    if (x->n != 3 || p < 1 || x->d[1] < p || x->d[2] < p) return refuse(f, "x must be [C, h, w], at least one patch large");
    if (p > 4096 || x->d[0] > 4096) return refuse(f, "patches and channels are limited to 4096");
    *out = mm__shape2((x->d[1] / p) * (x->d[2] / p), x->d[0] * p * p);
    return MM_OK;
}

static mm_status infer_unfold1d(const infer *f, mm__shape *out)
{
    const mm__shape *x = f->in[0];
    const mm__args *a = f->args;
    if (x->n != 2) return refuse(f, "x must have two axes");
    if (a->kernel < 1 || a->step < 1 || a->pad < 0) return refuse(f, "kernel and step must be positive, pad not negative");
    const int64_t len = a->channels_first ? x->d[1] : x->d[0], chan = a->channels_first ? x->d[0] : x->d[1];
    const int64_t span = len + 2 * (int64_t)a->pad - a->kernel;
    if (span < 0) return refuse(f, "the padded x is shorter than the kernel");
    *out = mm__shape2(span / a->step + 1, chan * a->kernel);
    return MM_OK;
}

static mm_status infer_concat(const infer *f, mm__shape *out)
{
    *out = *f->in[0];
    if (out->n < 2) return refuse(f, "inputs must have at least two axes");
    for (int i = 1; i < 4; i++) {
        if (!f->in[i]) continue;
        bool same = f->in[i]->n == out->n && is_f32(f, i);
        for (int k = 1; same && k < out->n; k++) same = f->in[i]->d[k] == out->d[k];
        if (!same) return refuse(f, "inputs must be F32 and agree in every axis but the first");
        out->d[0] += f->in[i]->d[0];
    }
    return MM_OK;
}

static mm_status infer_splice(const infer *f, mm__shape *out)
{
    *out = *f->in[0];
    if (!is_f32(f, 1) || cols(f, 0) != cols(f, 1)) return refuse(f, "rows must be F32 [M, D] with the D of x [T, D]");
    if (!is_vector(f, 2, MM__I32, rows(f, 1))) return refuse(f, "index must be I32 [M]");
    return MM_OK;
}

static mm_status infer_rows(const infer *f, mm__shape *out)
{
    size_t bytes;
    if (f->in[0]->n != 2) return refuse(f, "the table must be [V, D]");
    if (f->dtypes[1] != MM__I32 || f->in[1]->n != 1) return refuse(f, "ids must be I32 [T]");
    if (!mm__dtype_row_bytes(f->dtypes[0], cols(f, 0), &bytes)) return refuse(f, "D is no multiple of the table's block");
    *out = mm__shape2(f->in[1]->d[0], cols(f, 0));
    return MM_OK;
}

static mm_status infer_one(const infer *f, mm__shape *out)
{
    const mm__shape *x = f->in[0];
    *out = *x;
    switch (f->op) {
    case MM__OP_LINEAR: return infer_linear(f, out);
    case MM__OP_MATMUL:
        if (!is_f32(f, 1) || cols(f, 0) != cols(f, 1)) return refuse(f, "a [T, K] and b [S, K] must be F32 with one K");
        *out = mm__shape2(rows(f, 0), rows(f, 1));
        return MM_OK;
    case MM__OP_ROWS: return infer_rows(f, out);
    case MM__OP_NORM:
        return vector_or_absent(f, 1, cols(f, 0)) && vector_or_absent(f, 2, cols(f, 0)) ? MM_OK : refuse(f, "w and b must be F32 [D]");
    case MM__OP_RMSNORM: return vector_or_absent(f, 1, cols(f, 0)) ? MM_OK : refuse(f, "w must be F32 [D]");
    case MM__OP_ADD:
    case MM__OP_MUL: return infer_broadcast(f, out);
    case MM__OP_GLU:
        if (cols(f, 0) % 2) return refuse(f, "x must have an even number of columns");
        out->d[out->n - 1] /= 2;
        return MM_OK;
    case MM__OP_ROPE: return infer_rope(f, out);
    case MM__OP_KV_WRITE: return infer_kv_write(f, out);
    case MM__OP_ATTENTION: return infer_attention(f, out);
    case MM__OP_PATCHES: return infer_patches(f, out);
    case MM__OP_UNFOLD1D: return infer_unfold1d(f, out);
    case MM__OP_CONCAT: return infer_concat(f, out);
    case MM__OP_SPLICE: return infer_splice(f, out);
    case MM__OP_RESIZE:
        if (x->n != 3 || f->args->out_h < 1 || f->args->out_w < 1) return refuse(f, "x must be [h, w, D] and the result not empty");
        *out = mm__shape3(f->args->out_h, f->args->out_w, x->d[2]);
        return MM_OK;
    case MM__OP_MEAN: *out = mm__shape2(1, cols(f, 0)); return MM_OK;
    default: return MM_OK;
    }
}

/* Inputs that op.def marks optional. */
static bool optional(mm__op op, int i)
{
    switch (op) {
    case MM__OP_LINEAR: return i != 0 && i != 3;
    case MM__OP_NORM:
    case MM__OP_RMSNORM:
    case MM__OP_CONCAT: return i > 0;
    case MM__OP_ATTENTION: return i > 2;
    default: return false;
    }
}

mm_status mm__op_infer(mm__op op, const mm__args *args, const mm__shape *const in[MM__MAX_IN], const mm__dtype dtypes[MM__MAX_IN],
                       mm__shape *out, mm_error *err)
{
    const infer f = {op, args, in, dtypes, err};
    memset(out, 0, sizeof *out);
    if ((unsigned)op >= MM__N_OP) return mm__fail(err, MM_E_ARG, "operator %d does not exist", (int)op);
    for (int i = 0; i < mm__op_inputs(op); i++) {
        if (!in[i]) {
            if (optional(op, i)) continue;
            return mm__fail(err, MM_E_ARG, "%s: input %s is missing", mm__op_name(op), input_name(op, i));
        }
        if (in[i]->n < 1 || in[i]->n > MM__MAX_DIM) return refuse(&f, "inputs must have 1 to 4 axes");
        for (int k = 0; k < in[i]->n; k++)
            if (in[i]->d[k] < 1 || in[i]->d[k] > INT32_MAX) return refuse(&f, "axes must be between 1 and 2^31 - 1");
        int64_t count;
        if (!mm__shape_count(in[i], &count)) return refuse(&f, "an input has more elements than 64 bits count");
    }
    if (op != MM__OP_ROWS && op != MM__OP_KV_WRITE && !is_f32(&f, 0)) return refuse(&f, "values must be F32");
    const mm_status s = infer_one(&f, out);
    if (s) return s;
    size_t bytes;
    bool fits = mm__tensor_bytes(MM__F32, out, &bytes) && bytes <= INT64_MAX / 2;
    for (int k = 0; k < out->n; k++) fits = fits && out->d[k] <= INT32_MAX;
    return fits ? MM_OK : refuse(&f, "the result is too large");
}
