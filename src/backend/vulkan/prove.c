/* The cases, and how one is run: all of its views lie in one block of memory, which is made up on the host, copied to the device
 * as it is, and computed on both. */
#include "prove.h"

#include "../../base/error.h"
#include "../../base/rng.h"
#include "fallback.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define ALIGN 256u                     /* of a view in the block */

/* ---- cases ---- */

/* Inputs: v values, w values of the family's type, i integers 0, step, 2 step ..; - none. A first axis of -1 is the number
 * of rows, a last one of -1 two blocks of the type, or 520. */
typedef struct recipe {
    mm__op op;
    const char *kinds;
    int16_t dims[MM__MAX_IN][3];
    int step;
    mm__args args;
} recipe;

static const recipe recipes[] = {
    {MM__OP_LINEAR, "vvvw", {{-1, -1}, {70}, {-1, 70}, {70, -1}}, 0, {.act = MM__ACT_GELU}},
    {MM__OP_MATMUL, "vv", {{7, 100}, {11, 100}}, 0, {.scale = 0.75f}},
    {MM__OP_ROWS, "wi", {{19, -1}, {6}}, 3, {.scale = 1.5f}},
    {MM__OP_NORM, "vvv", {{5, 300}, {300}, {300}}, 0, {.eps = 1e-5f}},
    {MM__OP_RMSNORM, "vv", {{5, 300}, {300}}, 0, {.eps = 1e-5f}},
    {MM__OP_ADD, "vv", {{5, 300}, {300}}, 0, {0}},
    {MM__OP_MUL, "vv", {{5, 300}, {5, 300}}, 0, {0}},
    {MM__OP_SCALE, "v", {{5, 300}}, 0, {.scale = 0.75f, .offset = -0.25f}},
    {MM__OP_ACT, "v", {{5, 300}}, 0, {.act = MM__ACT_SILU}},
    {MM__OP_GLU, "v", {{5, 600}}, 0, {.act = MM__ACT_GELU_TANH}},
    {MM__OP_ROPE, "viv", {{5, 3, 80}, {5}, {32}}, 211, {.scale = 1.0f}},
    {MM__OP_KV_WRITE, "wvi", {{2, 16, 64}, {5, 2, 64}, {5}}, 3, {0}},
    {MM__OP_ATTENTION, "vww", {{-1, 4, 64}, {2, 300, 64}, {2, 300, 64}}, 0, {.scale = 0.125f}},
    {MM__OP_PATCHES, "v", {{3, 28, 29}}, 0, {.kernel = 7, .step = 7}},
    {MM__OP_UNFOLD1D, "v", {{20, 12}}, 0, {.kernel = 3, .step = 2, .pad = 1}},
    {MM__OP_CONCAT, "vv", {{5, 300}, {3, 300}}, 0, {0}},
    {MM__OP_SPLICE, "vvi", {{9, 300}, {3, 300}, {3}}, 4, {0}},
    {MM__OP_RESIZE, "v", {{6, 5, 40}}, 0, {.out_h = 9, .out_w = 4}},
    {MM__OP_MEAN, "v", {{5, 300}}, 0, {0}},
    {MM__OP_L2NORM, "v", {{5, 300}}, 0, {.eps = 1e-6f}},
    {MM__OP_SOFTMAX, "v", {{5, 300}}, 0, {0}},
    {MM__OP_COPY, "v", {{5, 3, 100}}, 0, {0}},
};

static const int row_counts[MM__VK_ROWS] = {[MM__VK_ONE] = 1, [MM__VK_FEW] = 5, [MM__VK_MANY] = 37};

/* Where a block of a quantised type has its factors, and values for them that lead to numbers of about 1. Everything else
 * in a block may be anything. */
static const struct { mm__dtype type; uint16_t at; float value; } factors[] = {
    {MM__Q4_0, 0, 0.2f},    {MM__Q4_1, 0, 0.2f},    {MM__Q4_1, 2, -1.5f},   {MM__Q5_0, 0, 0.1f},    {MM__Q5_1, 0, 0.1f},   {MM__Q5_1, 2, -1.5f},
    {MM__Q8_0, 0, -0.02f},  {MM__Q2_K, 80, 0.1f},   {MM__Q2_K, 82, 0.15f},  {MM__Q3_K, 108, 0.02f}, {MM__Q4_K, 0, 0.006f}, {MM__Q4_K, 2, 0.04f},
    {MM__Q5_K, 0, 0.003f},  {MM__Q5_K, 2, 0.04f},   {MM__Q6_K, 208, 0.001f},
};

typedef struct proof_case {
    mm__call call;             /* its views are offsets into the block; then pointers */
    unsigned char *block;
    size_t bytes;
    size_t out_at, out_bytes;
    unsigned with;             /* MM__VULKAN_* */
} proof_case;

static const recipe *recipe_of(mm__op op)
{
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++)
        if (recipes[i].op == op) return &recipes[i];
    return NULL;
}

static mm__shape shape_of(const recipe *r, int i, const mm__vk_family *f)
{
    mm__shape s = {0};
    const int64_t block = mm__dtype_info_of(f->type)->block;
    while (s.n < 3 && r->dims[i][s.n]) {
        s.d[s.n] = r->dims[i][s.n];
        s.n++;
    }
    if (s.n && s.d[s.n - 1] < 0) s.d[s.n - 1] = block > 1 ? 2 * block : 520;
    if (s.n && s.d[0] < 0) s.d[0] = row_counts[f->rows];
    return s;
}

/* Gives a view its place behind what is there. */
static void add_view(proof_case *p, mm__view *v, mm__dtype type, mm__shape s)
{
    size_t bytes = 0;
    mm__tensor_bytes(type, &s, &bytes);
    *v = mm__view_of(type, s, (void *)(uintptr_t)p->bytes);
    p->bytes += (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

/* The call of a family, without memory; false: there is no case for it. */
static bool lay_out(const mm__vk_family *f, bool exact, proof_case *p)
{
    const recipe *r = recipe_of(f->op);
    const mm__shape *shapes[MM__MAX_IN] = {0};
    mm__dtype types[MM__MAX_IN] = {0};
    mm__shape out;
    *p = (proof_case){.with = f->with};
    if (!r) return false;
    p->call = (mm__call){.op = f->op, .args = r->args, .exact = exact};
    for (int i = 0; r->kinds[i]; i++) {
        types[i] = r->kinds[i] == 'w' ? f->type : r->kinds[i] == 'i' ? MM__I32 : MM__F32;
        add_view(p, &p->call.in[i], types[i], shape_of(r, i, f));
        shapes[i] = &p->call.in[i].shape;
    }
    if (mm__op_infer(f->op, &p->call.args, shapes, types, &out, NULL) < 0) return false;
    if (f->op == MM__OP_KV_WRITE) p->call.out = p->call.in[0];
    else add_view(p, &p->call.out, MM__F32, out);
    p->out_at = (size_t)(uintptr_t)p->call.out.data;
    mm__tensor_bytes(p->call.out.dtype, &p->call.out.shape, &p->out_bytes);
    if (f->op == MM__OP_COPY) { /* a permuted view becomes contiguous */
        mm__view *x = &p->call.in[0];
        x->stride[0] = x->shape.d[1] * x->shape.d[2];
        x->stride[1] = x->shape.d[2];
    }
    return true;
}

static void fill_weights(mm__dtype type, unsigned char *p, size_t bytes, uint64_t seed)
{
    const size_t each = mm__dtype_info_of(type)->bytes;
    for (size_t i = 0; i < bytes; i++) p[i] = (unsigned char)mm__rng_u64(seed, i);
    for (size_t i = 0; i < bytes; i += each)
        for (size_t k = 0; k < sizeof factors / sizeof *factors; k++) {
            const uint16_t h = mm__f32_to_f16(factors[k].value);
            if (factors[k].type == type) memcpy(p + i + factors[k].at, &h, sizeof h);
        }
}

static void fill_view(const mm__view *v, unsigned char *p, int step, uint64_t seed)
{
    size_t bytes = 0;
    int64_t n = 0;
    mm__shape_count(&v->shape, &n);
    mm__tensor_bytes(v->dtype, &v->shape, &bytes);
    if (mm__dtype_is_quant(v->dtype)) {
        fill_weights(v->dtype, p, bytes, seed);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const float x = (float)(3.0 * mm__rng_unit(seed, (uint64_t)i) - 1.5);
        if (v->dtype == MM__I32) ((int32_t *)(void *)p)[i] = (int32_t)i * step;
        else mm__pack_row(v->dtype, &x, p + (size_t)i * mm__dtype_info_of(v->dtype)->bytes, 1);
    }
}

/* Leads the views from offsets to memory. */
static mm__call call_at(const proof_case *p, void *base)
{
    mm__call c = p->call;
    c.out.data = (unsigned char *)base + (uintptr_t)c.out.data;
    for (int i = 0; i < MM__MAX_IN; i++)
        if (mm__vk_has(&c, i)) c.in[i].data = (unsigned char *)base + (uintptr_t)c.in[i].data;
    return c;
}

/* ---- running one ---- */

/* Squared error over squared signal. */
static double compare(const mm__view *v, const unsigned char *want, const unsigned char *got)
{
    const size_t each = mm__dtype_info_of(v->dtype)->bytes;
    double error = 0.0, signal = 0.0;
    int64_t n = 0;
    mm__shape_count(&v->shape, &n);
    for (int64_t i = 0; i < n; i++) {
        float a, b;
        mm__unpack_row(v->dtype, want + (size_t)i * each, &a, 1);
        mm__unpack_row(v->dtype, got + (size_t)i * each, &b, 1);
        error += ((double)b - a) * ((double)b - a);
        signal += (double)a * a;
    }
    return isfinite(error) ? error / (signal > 0.0 ? signal : 1.0) : INFINITY;
}

/* The block to the device, the call there, its result to `got`. */
static mm_status run_there(mm__vulkan *v, const mm__vk_kern *k, proof_case *p, size_t scratch, unsigned char *got, mm_error *err)
{
    mm__vk_piece *piece;
    mm__vk_place place;
    mm_status s = mm__vk_piece_new(&v->memory, MM__VK_OWN, p->bytes + scratch, "a self-test", &piece, err);
    if (s < 0) return s;
    unsigned char *base = mm__vk_address(piece);
    const mm__call c = call_at(p, base);
    mm__vk_recorder r = {.stream = &v->stream, .nothing = v->nothing, .scratch = scratch ? base + p->bytes : NULL, .with = p->with};
    if (!mm__vk_find(&v->memory, base, &place)) s = mm__fail(err, MM_E_INTERNAL, "the memory of a self-test is lost");
    if (s >= 0) s = mm__vk_put(&v->stream, &place, p->block, p->bytes, err);
    if (s >= 0) s = k->record(&r, &c, err);
    const mm_status done = mm__vk_finish(&v->stream, s < 0 ? NULL : err);
    if (s >= 0) s = done;
    if (s >= 0 && mm__vk_find(&v->memory, base + p->out_at, &place)) s = mm__vk_fetch(&v->stream, &place, got, p->out_bytes, err);
    mm__vk_piece_free(&v->memory, piece);
    return s;
}

static mm_status run_case(mm__vulkan *v, const mm__vk_kern *k, proof_case *p, double *error, mm_error *err)
{
    const recipe *r = recipe_of(p->call.op);
    unsigned char *got = mm__alloc(v->base.mem, p->out_bytes);
    mm_status s = MM_OK;
    p->block = mm__zalloc(v->base.mem, p->bytes);
    if (!p->block || !got) s = mm__nomem(err, "a self-test");
    for (int i = 0; r->kinds[i] && s >= 0; i++)
        fill_view(&p->call.in[i], p->block + (uintptr_t)p->call.in[i].data, r->step, (uint64_t)i + 1);
    if (s >= 0) s = run_there(v, k, p, k->scratch ? k->scratch(&v->device.limits, &p->call) : 0, got, err);
    if (s >= 0) {
        const mm__call c = call_at(p, p->block);
        mm__ref_of(c.op)(&c, 0, mm__ref_units(&c));
        *error = compare(&c.out, c.out.data, got);
    }
    mm__free(v->base.mem, got);
    mm__free(v->base.mem, p->block);
    return s;
}

/* ---- verdicts ---- */

void mm__vk_family_name(const mm__vk_family *f, char *buf, size_t cap)
{
    static const struct { unsigned bit; const char *name; } variants[] = {
        {MM__VULKAN_SUBGROUPS, "subgroups"}, {MM__VULKAN_F16, "F16"}, {MM__VULKAN_DOT, "bytes"}, {MM__VULKAN_MATRIX, "matrix units"}, {MM__VULKAN_WIDE, "wide"}};
    static const char *const rows[MM__VK_ROWS] = {", one row", ", few rows", ", many rows"};
    const char *kinds = recipe_of(f->op) ? recipe_of(f->op)->kinds : "";
    const bool counted = f->op == MM__OP_LINEAR || f->op == MM__OP_ATTENTION;
    snprintf(buf, cap, "%s%s%s%s", mm__op_name(f->op), strchr(kinds, 'w') ? " " : "", strchr(kinds, 'w') ? mm__dtype_info_of(f->type)->name : "",
             counted ? rows[f->rows] : "");
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const size_t at = strlen(buf);
        if (f->with & variants[i].bit) snprintf(buf + at, cap - at, ", %s", variants[i].name);
    }
}

mm__vk_proof *mm__vk_proof_of(mm__vulkan *v, const mm__vk_family *f) { return &v->proofs[f->op][f->type][f->rows][f->with]; }

static int verdict_of(mm__vulkan *v, const mm__vk_family *f) { return atomic_load_explicit(&mm__vk_proof_of(v, f)->verdict, memory_order_acquire); }

static void settle(mm__vulkan *v, const mm__vk_family *f, mm__vk_verdict verdict, double error)
{
    mm__vk_proof *p = mm__vk_proof_of(v, f);
    p->error = (float)error;
    atomic_store_explicit(&p->verdict, (int)verdict, memory_order_release);
}

/* What does the work of a family that is off. */
static const char *instead_of(const mm__vk_family *f) { return f->with ? "the plain shader" : "the processor"; }

static void warn(mm__vulkan *v, const mm__vk_kern *k, const mm__vk_family *f, double error, const char *why)
{
    const char *instead = instead_of(f);
    char name[64];
    mm__vk_family_name(f, name, sizeof name);
    if (why)
        mm__logf(&v->base.log, MM_LOG_WARN, "backend", "self-test: %s does not run on %s, so %s does it: %s", name, v->device.name, instead, why);
    else
        mm__logf(&v->base.log, MM_LOG_WARN, "backend", "self-test: %s differs on %s by %.2g of the signal's power, where %.2g is allowed, so %s does it",
                 name, v->device.name, error, mm__vk_tolerance(k, f->with), instead);
}

void mm__vk_recall(mm__vulkan *v, const mm__vk_family *f, mm__vk_verdict verdict, double error)
{
    const char *instead = instead_of(f);
    char name[64];
    if (verdict_of(v, f) != MM__VK_UNTRIED) return;
    settle(v, f, verdict, error);
    mm__vk_family_name(f, name, sizeof name);
    if (verdict == MM__VK_WRONG)
        mm__logf(&v->base.log, MM_LOG_WARN, "backend", "self-test: %s differed on %s by %.2g of the signal's power, as its cache says, so %s does it",
                 name, v->device.name, error, instead);
}

/* What is counted says what calls cost, not what proofs do. MM_E_DEVICE: the device was lost meanwhile. */
static mm_status try_family(mm__vulkan *v, const mm__vk_kern *k, const mm__vk_family *f, mm_error *err)
{
    unsigned long long before[MM__VK_COUNTS];
    proof_case p;
    double error = INFINITY;
    mm_error why = {.size = sizeof why};
    if (!lay_out(f, v->base.exact, &p) || (k->accepts && !k->accepts(&v->device.limits, &p.call))) {
        settle(v, f, MM__VK_UNPROVABLE, 0.0);
        return MM_OK;
    }
    for (int i = 0; i < MM__VK_COUNTS; i++) before[i] = atomic_load_explicit(&v->stream.counts[i], memory_order_relaxed);
    const mm_status s = run_case(v, k, &p, &error, &why);
    for (int i = 0; i < MM__VK_COUNTS; i++) atomic_store_explicit(&v->stream.counts[i], before[i], memory_order_relaxed);
    if (v->device.lost) return mm__fail_as(err, &why);
    if (s == MM_E_UNSUPPORTED) settle(v, f, MM__VK_UNPROVABLE, 0.0);
    else if (s >= 0 && error <= mm__vk_tolerance(k, f->with)) settle(v, f, MM__VK_RIGHT, error);
    else if (s >= 0 || s == MM_E_DEVICE) {
        settle(v, f, MM__VK_WRONG, error);
        warn(v, k, f, error, s < 0 ? why.text : NULL);
    }
    return MM_OK;
}

mm_status mm__vk_prove(mm__vulkan *v, const mm__vk_kern *k, const mm__vk_family *f, mm_error *err)
{
    if (verdict_of(v, f) != MM__VK_UNTRIED) return MM_OK;
    mm_status s = mm__vk_turn(&v->stream, NULL, err);
    if (s < 0) return s;
    if (verdict_of(v, f) == MM__VK_UNTRIED) s = try_family(v, k, f, err);
    mm__vk_turn_end(&v->stream);
    return s;
}

/* The families of a call, up to three. */
static int families_of(const mm__call *c, unsigned with, mm__vk_family out[3])
{
    const int64_t rows = mm__vk_has(c, 0) ? c->op == MM__OP_ATTENTION ? c->in[0].shape.d[0] : mm__view_rows(&c->in[0]) : 1;
    const mm__vk_rows class = rows <= 1 ? MM__VK_ONE : rows <= MM__VK_VEC_ROWS ? MM__VK_FEW : MM__VK_MANY;
    int n = 0;
    if (c->op == MM__OP_LINEAR) {
        for (int i = 3; i < 6; i++)
            if (mm__vk_has(c, i)) out[n++] = (mm__vk_family){c->op, c->in[i].dtype, class, with};
    } else if (c->op == MM__OP_ATTENTION) {
        out[n++] = (mm__vk_family){c->op, c->in[1].dtype, class, with};
    } else if (c->op == MM__OP_ROWS || c->op == MM__OP_KV_WRITE) {
        out[n++] = (mm__vk_family){c->op, c->in[0].dtype, MM__VK_ONE, with};
    } else {
        out[n++] = (mm__vk_family){c->op, MM__F32, MM__VK_ONE, with};
    }
    return n;
}

/* With the turn. */
static mm_status try_now(mm__vulkan *v, const mm__vk_kern *k, const mm__vk_family *f, mm_error *err)
{
    const mm_status s = mm__vk_finish(&v->stream, err);
    return s < 0 ? s : try_family(v, k, f, err);
}

mm_status mm__vk_proven(mm__vulkan *v, const mm__vk_kern *k, const mm__call *c, unsigned with, bool turn, bool *good, mm_error *err)
{
    mm__vk_family f[3];
    mm_status s = MM_OK;
    *good = true;
    for (int i = 0, n = families_of(c, with, f); i < n && s >= 0; i++) {
        if (verdict_of(v, &f[i]) == MM__VK_UNTRIED) s = turn ? try_now(v, k, &f[i], err) : mm__vk_prove(v, k, &f[i], err);
        *good = *good && verdict_of(v, &f[i]) != MM__VK_WRONG;
    }
    return s;
}

mm__vk_family mm__vk_family_numbered(unsigned i)
{
    const unsigned with = i % MM__VK_VARIANTS, rows = i / MM__VK_VARIANTS % MM__VK_ROWS, kind = i / (MM__VK_VARIANTS * MM__VK_ROWS);
    return (mm__vk_family){(mm__op)(kind / MM__N_DTYPE), (mm__dtype)(kind % MM__N_DTYPE), (mm__vk_rows)rows, with};
}

bool mm__vk_family_at(const mm__vulkan *v, unsigned index, mm__vk_family *out, const mm__vk_kern **k)
{
    mm__vk_limits one = v->device.limits;
    for (unsigned i = 0; i < MM__VK_FAMILIES; i++) {
        const mm__vk_family f = mm__vk_family_numbered(i);
        const recipe *r = recipe_of(f.op);
        proof_case p;
        if (!r || (!strchr(r->kinds, 'w') && f.type != MM__F32)) continue;
        if (f.rows != MM__VK_ONE && f.op != MM__OP_LINEAR && f.op != MM__OP_ATTENTION) continue;
        if (!lay_out(&f, v->base.exact, &p) || !(*k = mm__vk_pick(&v->device.limits, &p.call))) continue;
        one.has = one.forced = f.with; /* so that it is used where there is such a shader */
        if (f.with && ((f.with & ~v->device.limits.has) || !(*k)->uses || (*k)->uses(&one, &p.call) != f.with)) continue;
        if (index-- > 0) continue;
        *out = f;
        return true;
    }
    return false;
}
