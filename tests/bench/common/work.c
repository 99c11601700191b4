/* The list of workloads and how each is built. Weights go through the backend's own upload, so kernels see the form that
 * models give them; the raw rows stay beside them for the oracle.
 *
 * LINEAR with many rows counts multiply-adds against the arithmetic that the precision allows: INT8 for quantised weights
 * in "fast", BF16 for float weights there, F32 in "exact". What only moves data counts bytes: one row and one query against memory, small
 * operators, whose values come from a cache when a model runs, against the second-level cache. */
#include "work.h"

#include "fill.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define BIG (520ull << 20)   /* a working set that no cache holds */
#define REPEATS 16           /* calls of a small operator in a row, so that starting the threads does not count */
#define ROWS 128             /* of a small operator, with COLS columns: in and out fit the second-level caches */
#define COLS 1024
#define CHECKED 12           /* units compared with the oracle */

typedef enum kind { LINEAR_MANY, LINEAR_ONE, ATTEND_MANY, ATTEND_ONE, SMALL } kind;

static const struct item {
    kind kind;
    const char *name;
    int type;                 /* of weights, or of keys and values */
    int t, s, heads, kv, d;   /* attention */
    mm__op op;
    mm__act act;
} items[] = {
#define OF(k, n, ty) {.kind = k, .name = n, .type = MM__##ty}
#define EACH_TYPE(k, n)                                                                                                    \
    OF(k, n, F32), OF(k, n, F16), OF(k, n, BF16), OF(k, n, Q4_0), OF(k, n, Q4_1), OF(k, n, Q5_0), OF(k, n, Q5_1),          \
    OF(k, n, Q8_0), OF(k, n, Q2_K), OF(k, n, Q3_K), OF(k, n, Q4_K), OF(k, n, Q5_K), OF(k, n, Q6_K)
    EACH_TYPE(LINEAR_MANY, "linear"),
    EACH_TYPE(LINEAR_ONE, "one row"),
    {.kind = ATTEND_MANY, .name = "attention 577x577 16x64", .type = MM__F32, .t = 577, .s = 577, .heads = 16, .kv = 16, .d = 64},
    {.kind = ATTEND_MANY, .name = "attention 1500x1500 8x64", .type = MM__F32, .t = 1500, .s = 1500, .heads = 8, .kv = 8, .d = 64},
    {.kind = ATTEND_MANY, .name = "attention 512x2048 32x128 cache", .type = MM__F16, .t = 512, .s = 2048, .heads = 32, .kv = 32, .d = 128},
    {.kind = ATTEND_MANY, .name = "attention 512x2048 32x128 Q8_0", .type = MM__Q8_0, .t = 512, .s = 2048, .heads = 32, .kv = 32, .d = 128},
    {.kind = ATTEND_ONE, .name = "one query 4096 keys 32x128", .type = MM__F16, .t = 1, .s = 4096, .heads = 32, .kv = 32, .d = 128},
    {.kind = ATTEND_ONE, .name = "one query 4096 keys 32/8x128", .type = MM__F16, .t = 1, .s = 4096, .heads = 32, .kv = 8, .d = 128},
    {.kind = ATTEND_ONE, .name = "one query 4096 keys 32x128 Q8_0", .type = MM__Q8_0, .t = 1, .s = 4096, .heads = 32, .kv = 32, .d = 128},
    {.kind = ATTEND_ONE, .name = "one query 4096 keys 32/8x128 Q8_0", .type = MM__Q8_0, .t = 1, .s = 4096, .heads = 32, .kv = 8, .d = 128},
    {.kind = SMALL, .name = "rmsnorm", .op = MM__OP_RMSNORM},
    {.kind = SMALL, .name = "norm", .op = MM__OP_NORM},
    {.kind = SMALL, .name = "l2norm", .op = MM__OP_L2NORM},
    {.kind = SMALL, .name = "softmax", .op = MM__OP_SOFTMAX},
    {.kind = SMALL, .name = "add", .op = MM__OP_ADD},
    {.kind = SMALL, .name = "mul", .op = MM__OP_MUL},
    {.kind = SMALL, .name = "scale", .op = MM__OP_SCALE},
    {.kind = SMALL, .name = "gelu", .op = MM__OP_ACT, .act = MM__ACT_GELU},
    {.kind = SMALL, .name = "gelu_tanh", .op = MM__OP_ACT, .act = MM__ACT_GELU_TANH},
    {.kind = SMALL, .name = "silu", .op = MM__OP_ACT, .act = MM__ACT_SILU},
    {.kind = SMALL, .name = "glu silu", .op = MM__OP_GLU, .act = MM__ACT_SILU},
    {.kind = SMALL, .name = "rope", .op = MM__OP_ROPE},
    {.kind = SMALL, .name = "kv_write", .op = MM__OP_KV_WRITE},
    {.kind = SMALL, .name = "unfold1d", .op = MM__OP_UNFOLD1D},
    {.kind = SMALL, .name = "patches", .op = MM__OP_PATCHES},
};

int work_count(void) { return (int)(sizeof items / sizeof *items); }

bool work_name(int i, bool exact, char name[WORK_NAME])
{
    const struct item *it = &items[i];
    const char *precision = exact ? "exact" : "fast";
    if (it->kind == LINEAR_MANY || it->kind == LINEAR_ONE)
        snprintf(name, WORK_NAME, "%s %s %s", it->name, mm__dtype_info_of((mm__dtype)it->type)->name, precision);
    else if (it->kind == SMALL) snprintf(name, WORK_NAME, "%s", it->name);
    else snprintf(name, WORK_NAME, "%s %s", it->name, precision);
    return it->kind != SMALL || !exact;
}

/* ---- memory ---- */

static void *keep(work *w, size_t bytes)
{
    void *p = mm__zalloc(w->mem, bytes);
    if (p) w->values[w->n_values++] = p;
    return p;
}

static float *keep_values(work *w, size_t n)
{
    float *p = keep(w, n * sizeof *p);
    if (p) fill_values(p, n);
    return p;
}

void work_free(work *w)
{
    for (int i = 0; i < w->n_tensors; i++) w->tensors[i]->backend->ops->tensor_free(w->tensors[i]);
    for (int i = 0; i < w->n_values; i++) mm__free(w->mem, w->values[i]);
    mm__free(w->mem, w->calls);
    memset(w, 0, sizeof *w);
}

static bool calls_new(work *w, size_t n)
{
    w->calls = mm__calloc(w->mem, n, sizeof *w->calls);
    w->n = n;
    return w->calls != NULL;
}

/* ---- LINEAR ---- */

typedef struct source { const uint8_t *rows; size_t row_bytes; } source;

static mm_status read_rows(void *ctx, int64_t row, int64_t n, void *dst, mm_error *err)
{
    const source *s = ctx;
    memcpy(dst, s->rows + (size_t)row * s->row_bytes, (size_t)n * s->row_bytes);
    return MM_OK;
}

static bool make_linear(work *w, mm__backend *b, const struct item *it, int64_t t, int64_t n, int64_t k)
{
    const mm__dtype type = (mm__dtype)it->type;
    const mm__shape shape = mm__shape2(n, k);
    size_t bytes, row_bytes;
    if (!mm__tensor_bytes(type, &shape, &bytes) || !mm__dtype_row_bytes(type, k, &row_bytes)) return false;
    const size_t copies = it->kind == LINEAR_MANY ? 1 : (BIG + bytes - 1) / bytes;
    uint8_t *raw = keep(w, bytes);
    float *x = keep_values(w, (size_t)(t * k)), *out = keep(w, (size_t)(t * n) * sizeof *out);
    if (copies > WORK_TENSORS || !raw || !x || !out || !calls_new(w, copies)) return false;
    fill_weights(type, raw, (size_t)(n * k));
    source s = {raw, row_bytes};
    const mm__upload up = {.name = "weights", .dtype = type, .shape = shape, .use = MM__USE_LINEAR, .read = read_rows, .ctx = &s};
    for (size_t i = 0; i < copies; i++) {
        mm__call *c = &w->calls[i];
        mm__tensor *tensor;
        if (b->ops->upload(b, &up, &tensor, NULL) < 0) return false;
        w->tensors[w->n_tensors++] = tensor;
        *c = (mm__call){.op = MM__OP_LINEAR, .exact = b->exact, .wait = true};
        c->in[0] = mm__view_of(MM__F32, mm__shape2(t, k), x);
        c->in[3] = mm__view_of(tensor->dtype, shape, tensor->data);
        c->packed[3] = tensor->packed;
        c->out = mm__view_of(MM__F32, mm__shape2(t, n), out);
    }
    w->units = it->kind == LINEAR_MANY ? 2.0 * (double)t * (double)n * (double)k : (double)copies * (double)bytes;
    return true;
}

/* ---- ATTENTION ---- */

static bool make_attention(work *w, mm__backend *b, const struct item *it)
{
    const mm__dtype_info *type = mm__dtype_info_of((mm__dtype)it->type);
    const bool cache = it->type != MM__F32;
    const size_t n_kv = (size_t)it->kv * (size_t)it->s * (size_t)it->d, bytes = 2 * (n_kv / type->block * type->bytes);
    const size_t copies = it->kind == ATTEND_ONE ? (BIG + bytes - 1) / bytes : 1, width = (size_t)it->heads * (size_t)it->d;
    float *q = keep_values(w, (size_t)it->t * width), *out = keep(w, (size_t)it->t * width * sizeof *out);
    uint8_t *kv = keep(w, copies * bytes);
    int32_t *span = keep(w, (size_t)it->t * 2 * sizeof *span);
    if (!q || !out || !kv || !span || !calls_new(w, copies)) return false;
    fill_weights((mm__dtype)it->type, kv, copies * 2 * n_kv);
    for (int i = 0; i < it->t; i++) span[2 * i + 1] = it->s - it->t + i + 1; /* causal: the last query sees all */
    for (size_t i = 0; i < copies; i++) {
        mm__call *c = &w->calls[i];
        *c = (mm__call){.op = MM__OP_ATTENTION, .exact = b->exact, .wait = true, .args.scale = 1.0f / sqrtf((float)it->d)};
        c->in[0] = mm__view_of(MM__F32, mm__shape3(it->t, it->heads, it->d), q);
        c->in[1] = mm__view_of((mm__dtype)it->type, mm__shape3(it->kv, it->s, it->d), kv + i * bytes);
        c->in[2] = mm__view_of((mm__dtype)it->type, mm__shape3(it->kv, it->s, it->d), kv + i * bytes + bytes / 2);
        if (cache) c->in[3] = mm__view_of(MM__I32, mm__shape2(it->t, 2), span);
        c->out = mm__view_of(MM__F32, mm__shape2(it->t, (int64_t)width), out);
        for (int v = 1; v < 3 && !cache; v++) { /* values of an encoder: position, then head */
            c->in[v].stride[0] = it->d;
            c->in[v].stride[1] = (int64_t)it->kv * it->d;
        }
    }
    const double seen = cache ? it->s - (it->t - 1) / 2.0 : it->s;
    w->units = it->kind == ATTEND_ONE ? (double)copies * (double)bytes : 4.0 * it->t * seen * (double)width;
    return true;
}

/* ---- small operators ---- */

static bool make_small(work *w, mm__backend *b, const struct item *it)
{
    mm__call c = {.op = it->op, .exact = b->exact, .wait = true};
    mm__shape x = mm__shape2(ROWS, COLS), out;
    mm__dtype types[MM__MAX_IN] = {MM__F32};
    const mm__shape *shapes[MM__MAX_IN] = {NULL};
    float *v = keep_values(w, ROWS * COLS), *v2 = keep_values(w, ROWS * COLS);
    int32_t *index = keep(w, ROWS * sizeof *index);
    if (!v || !v2 || !index || !calls_new(w, REPEATS)) return false;
    for (int32_t i = 0; i < ROWS; i++) index[i] = i;
    c.args = (mm__args){.act = it->act, .eps = 1e-5f, .scale = 1.0f, .offset = 0.5f};
    if (it->op == MM__OP_ROPE) x = mm__shape3(ROWS, COLS / 64, 64);
    if (it->op == MM__OP_PATCHES) {
        x = mm__shape3(2, 256, 256);
        c.args.kernel = 16;
    }
    if (it->op == MM__OP_UNFOLD1D) c.args.kernel = 3, c.args.step = 1, c.args.pad = 1;
    c.in[0] = mm__view_of(MM__F32, x, v);
    if (it->op == MM__OP_RMSNORM || it->op == MM__OP_NORM) c.in[1] = mm__view_of(MM__F32, mm__shape1(COLS), v2);
    if (it->op == MM__OP_NORM) c.in[2] = mm__view_of(MM__F32, mm__shape1(COLS), v2 + COLS);
    if (it->op == MM__OP_ADD || it->op == MM__OP_MUL) c.in[1] = mm__view_of(MM__F32, x, v2);
    if (it->op == MM__OP_ROPE) {
        c.in[1] = mm__view_of(MM__I32, mm__shape1(ROWS), index);
        c.in[2] = mm__view_of(MM__F32, mm__shape1(32), v2);
    }
    if (it->op == MM__OP_KV_WRITE) { /* the cache is its first input and its result */
        c.in[1] = mm__view_of(MM__F32, mm__shape3(ROWS, COLS / 64, 64), v);
        c.in[2] = mm__view_of(MM__I32, mm__shape1(ROWS), index);
        c.in[0] = mm__view_of(MM__F16, mm__shape3(COLS / 64, ROWS, 64), v2);
    }
    for (int i = 0; i < MM__MAX_IN; i++)
        if (c.in[i].data) shapes[i] = &c.in[i].shape, types[i] = c.in[i].dtype;
    size_t bytes, total = 0;
    if (mm__op_infer(it->op, &c.args, shapes, types, &out, NULL) < 0 || !mm__tensor_bytes(MM__F32, &out, &bytes)) return false;
    void *result = it->op == MM__OP_KV_WRITE ? (void *)v2 : keep(w, bytes);
    if (!result) return false;
    c.out = mm__view_of(c.in[0].dtype, out, result);
    for (int i = it->op == MM__OP_KV_WRITE; i < MM__MAX_IN; i++)
        if (c.in[i].data && mm__tensor_bytes(c.in[i].dtype, &c.in[i].shape, &bytes)) total += bytes;
    if (mm__tensor_bytes(c.out.dtype, &out, &bytes)) total += bytes;
    for (int i = 0; i < REPEATS; i++) w->calls[i] = c;
    w->units = (double)total * REPEATS;
    return true;
}

/* ---- one workload ---- */

static probe limit_of(const struct item *it, bool exact, unsigned isa)
{
    const bool quantised = mm__dtype_is_quant((mm__dtype)it->type);
    if (it->kind == SMALL) return PROBE_L2;
    if (it->kind == LINEAR_ONE || it->kind == ATTEND_ONE) return PROBE_DRAM;
    if (!exact && it->kind == LINEAR_MANY && quantised && (isa & MM__ISA_AVX2)) return PROBE_INT8;
    return !exact && (isa & MM__ISA_AVX512BF16) ? PROBE_BF16 : PROBE_F32;
}

bool work_make(int i, mm__backend *b, unsigned isa, int64_t t, int64_t n, int64_t k, work *w)
{
    const struct item *it = &items[i];
    bool ok;
    *w = (work){.mem = b->mem, .limit = limit_of(it, b->exact, isa)};
    work_name(i, b->exact, w->name);
    switch (it->kind) {
    case LINEAR_MANY: ok = make_linear(w, b, it, t, n, k); break;
    case LINEAR_ONE: ok = make_linear(w, b, it, 1, 4096, 4096); break;
    case SMALL: ok = make_small(w, b, it); break;
    default: ok = make_attention(w, b, it);
    }
    if (!ok) work_free(w);
    return ok;
}

size_t work_scratch(mm__backend *b, const work *w)
{
    size_t most = 0;
    for (size_t i = 0; i < w->n; i++) {
        const size_t need = b->ops->scratch(b, &w->calls[i]);
        if (need > most) most = need;
    }
    return most;
}

/* Elements that the oracle did not write are still NaN in `ref` and do not count. */
static double error_of(const mm__view *out, const void *ref)
{
    const int64_t cols = mm__view_cols(out), rows = mm__view_rows(out);
    const size_t each = mm__dtype_info_of(out->dtype)->bytes;
    double wrong = 0, all = 0;
    for (int64_t i = 0; i < rows * cols; i++) {
        float y, r;
        mm__unpack_row(out->dtype, (const uint8_t *)ref + (size_t)i * each, &r, 1);
        if (isnan(r)) continue;
        mm__unpack_row(out->dtype, (const uint8_t *)out->data + (size_t)i * each, &y, 1);
        wrong += ((double)y - r) * ((double)y - r);
        all += (double)r * r;
    }
    return all > 0 ? wrong / all : 0;
}

double work_error(mm__backend *b, const work *w)
{
    mm__call c = w->calls[0];
    size_t bytes;
    double error = NAN;
    if (!mm__tensor_bytes(c.out.dtype, &c.out.shape, &bytes)) return NAN;
    void *ref = mm__alloc(w->mem, bytes), *scratch = mm__alloc(w->mem, work_scratch(b, w));
    if (ref && scratch && b->ops->run(b, &c, 1, scratch, NULL, NULL) >= 0) {
        memset(ref, 0xff, bytes);
        if (c.in[0].data == c.out.data) c.in[0].data = ref;
        c.out.data = ref;
        if (c.op == MM__OP_LINEAR) c.in[3].data = w->values[0], c.packed[3] = NULL;
        const int64_t units = mm__ref_units(&c), step = units > CHECKED ? units / CHECKED : 1;
        for (int64_t u = 0; u < units; u += step) mm__ref_of(c.op)(&c, u, u + 1);
        error = error_of(&w->calls[0].out, ref);
    }
    mm__free(w->mem, ref);
    mm__free(w->mem, scratch);
    return error;
}
