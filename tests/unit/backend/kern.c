/* Every kernel of kern.def that this processor can run against the oracle of its operator: random shapes (whole vectors
 * and odd ones), padded rows, in-place calls, absent inputs, spans, and any cut into units. LINEAR has a test of its own.
 * A failure prints the kernel and the seed; the cases of one seed are always the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/backend/cpu/cpu.h"
#include "../../../src/base/rng.h"
#include "../normal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CASES = 60, MAX_BLOCKS = 32 };

typedef struct maker {
    uint64_t seed, at;
    void *blocks[MAX_BLOCKS];
    int n_blocks;
} maker;

static int64_t pick(maker *m, int64_t lo, int64_t hi) { return lo + (int64_t)(mm__rng_u64(m->seed, m->at++) % (uint64_t)(hi - lo + 1)); }
static bool coin(maker *m) { return pick(m, 0, 1); }

static void *block(maker *m, size_t bytes)
{
    void *p = calloc(1, bytes + 64);
    assert_non_null(p);
    assert_true(m->n_blocks < MAX_BLOCKS);
    m->blocks[m->n_blocks++] = p;
    return p;
}

/* Random values with rows padded at random; F32 or F16. */
static mm__view values(maker *m, mm__dtype t, mm__shape s)
{
    mm__view v = mm__view_of(t, s, NULL);
    int64_t stride = mm__shape_cols(&s);
    for (int i = s.n - 2; i >= 0; i--) {
        stride += coin(m) ? pick(m, 0, 9) : 0;
        v.stride[i] = stride;
        stride *= s.d[i];
    }
    v.data = block(m, (size_t)stride * 4);
    for (int64_t i = 0; i < stride; i++) {
        const float x = 1.5f * random_normal(m->seed, m->at++);
        if (t == MM__F16) ((uint16_t *)v.data)[i] = mm__f32_to_f16(x);
        else ((float *)v.data)[i] = x;
    }
    return v;
}

static mm__view integers(maker *m, mm__shape s, int64_t lo, int64_t hi)
{
    mm__view v = mm__view_of(MM__I32, s, NULL);
    int64_t n = 0;
    mm__shape_count(&s, &n);
    v.data = block(m, (size_t)n * 4);
    for (int64_t i = 0; i < n; i++) ((int32_t *)v.data)[i] = (int32_t)pick(m, lo, hi);
    return v;
}

static int64_t some_cols(maker *m) { return coin(m) ? 16 * pick(m, 1, 12) : pick(m, 1, 150); }

static mm__view swap01(mm__view v)
{
    const int64_t d = v.shape.d[0], s = v.stride[0];
    v.shape.d[0] = v.shape.d[1];
    v.stride[0] = v.stride[1];
    v.shape.d[1] = d;
    v.stride[1] = s;
    return v;
}

static void make_attention(maker *m, mm__call *c)
{
    const int64_t t = coin(m) ? pick(m, 1, 5) : pick(m, 1, 150), s = pick(m, 1, 300), hk = pick(m, 1, 3);
    const bool bias = pick(m, 0, 3) == 0;
    const int64_t h = bias ? hk : hk * pick(m, 1, 4), d = coin(m) ? 64 : pick(m, 1, 90), dv = coin(m) ? d : pick(m, 1, 90);
    const mm__dtype type = coin(m) ? MM__F16 : MM__F32;
    c->in[0] = values(m, MM__F32, mm__shape3(t, h, d));
    c->in[1] = coin(m) ? values(m, type, mm__shape3(hk, s, d)) : swap01(values(m, type, mm__shape3(s, hk, d)));
    c->in[2] = coin(m) ? values(m, type, mm__shape3(hk, s, dv)) : swap01(values(m, type, mm__shape3(s, hk, dv)));
    c->args.scale = 1.0f / sqrtf((float)d);
    if (coin(m)) {
        c->in[3] = integers(m, mm__shape2(t, 2), 0, s + 3);
        const int kind = (int)pick(m, 0, 2);
        for (int64_t i = 0; i < t && kind; i++) {
            int32_t *pair = (int32_t *)c->in[3].data + 2 * i;
            pair[0] = kind == 1 ? 0 : (int32_t)(i > 20 ? i - 20 : 0);
            pair[1] = (int32_t)(s - t + i + 1);
        }
    }
    if (bias) {
        c->args.bidirectional = coin(m);
        c->args.max_distance = (int32_t)pick(m, 20, 130);
        c->in[4] = values(m, MM__F32, mm__shape2(32, h));
        c->in[5] = integers(m, mm__shape1(t), 0, s);
    }
    if (pick(m, 0, 3) == 0) c->args.softcap = 5.0f;
}

/* Inputs of a random call of operator op. */
static void make_call(maker *m, mm__op op, mm__call *c)
{
    const int64_t t = pick(m, 1, 40), d = some_cols(m);
    c->op = op;
    c->args.act = (mm__act)pick(m, MM__ACT_NONE, MM__ACT_SIGMOID);
    c->args.eps = 1e-5f;
    c->args.scale = 0.75f;
    c->args.offset = -0.25f;
    c->in[0] = values(m, MM__F32, coin(m) ? mm__shape2(t, d) : mm__shape3(t, 3, d));
    switch (op) {
    case MM__OP_ADD:
    case MM__OP_MUL: {
        const int kind = (int)pick(m, 0, 3);
        if (kind == 0) c->in[1] = values(m, MM__F32, c->in[0].shape);
        if (kind == 1) c->in[1] = values(m, MM__F32, mm__shape1(d));
        if (kind == 2) c->in[1] = values(m, MM__F32, mm__shape2(t, d));
        if (kind == 3) c->in[1] = values(m, MM__F32, mm__shape1(1));
        break;
    }
    case MM__OP_GLU: c->in[0] = values(m, MM__F32, mm__shape2(t, 2 * d)); break;
    case MM__OP_NORM:
        if (coin(m)) c->in[2] = values(m, MM__F32, mm__shape1(d));
        if (coin(m)) c->in[1] = values(m, MM__F32, mm__shape1(d));
        break;
    case MM__OP_RMSNORM:
        if (coin(m)) c->in[1] = values(m, MM__F32, mm__shape1(d));
        break;
    case MM__OP_ROPE: {
        const int64_t half = pick(m, 1, 40);
        c->in[0] = values(m, MM__F32, mm__shape3(t, pick(m, 1, 9), 2 * half + (coin(m) ? pick(m, 0, 20) : 0)));
        c->in[1] = integers(m, mm__shape1(t), 0, 3000);
        c->in[2] = values(m, MM__F32, mm__shape1(half));
        c->args.interleaved = coin(m);
        break;
    }
    case MM__OP_KV_WRITE:
        c->in[1] = values(m, MM__F32, mm__shape3(t, pick(m, 1, 4), d));
        c->in[0] = values(m, coin(m) ? MM__F16 : MM__F32, mm__shape3(c->in[1].shape.d[1], 50, d));
        c->in[2] = integers(m, mm__shape1(t), -1, 51);
        break;
    case MM__OP_ATTENTION: make_attention(m, c); break;
    default: break;
    }
}

static mm__view copy_of(maker *m, const mm__view *v)
{
    mm__view out = *v;
    int64_t n = mm__shape_cols(&v->shape);
    for (int i = 0; i + 1 < v->shape.n; i++) n += (v->shape.d[i] - 1) * v->stride[i];
    out.data = block(m, (size_t)n * 4);
    memcpy(out.data, v->data, (size_t)n * (v->dtype == MM__F16 ? 2 : 4));
    return out;
}

/* Runs all phases of k in units of `step`. */
static void run_kernel(maker *m, const mm__kern *k, const mm__call *c, int64_t step)
{
    void *shared = k->shared_bytes ? block(m, k->shared_bytes(c)) : NULL, *own = k->thread_bytes ? block(m, k->thread_bytes(c)) : NULL;
    for (int phase = 0; phase < k->phases; phase++) {
        const int64_t units = k->units(c, phase);
        for (int64_t u = 0; u < units; u += step) k->run(c, phase, u, u + step < units ? u + step : units, shared, own);
    }
}

static double element(const mm__view *v, int64_t row, int64_t col)
{
    int64_t at = col;
    for (int i = v->shape.n - 2; i >= 0; i--) {
        at += row % v->shape.d[i] * v->stride[i];
        row /= v->shape.d[i];
    }
    return v->dtype == MM__F16 ? mm__f16_to_f32(((uint16_t *)v->data)[at]) : ((float *)v->data)[at];
}

static void compare(const mm__kern *k, uint64_t seed, const mm__view *want, const mm__view *got, double tolerance)
{
    for (int64_t r = 0; r < mm__view_rows(want); r++)
        for (int64_t i = 0; i < mm__view_cols(want); i++) {
            const double a = element(want, r, i), b = element(got, r, i);
            if (fabs(a - b) <= tolerance * fmax(1.0, fabs(a))) continue;
            fail_msg("%s, seed %llu: row %lld column %lld is %.9g, the oracle says %.9g", k->name, (unsigned long long)seed, (long long)r,
                     (long long)i, b, a);
        }
}

static void check(const mm__kern *k, mm__op op, uint64_t seed)
{
    maker m = {.seed = seed};
    mm__call c = {0};
    const mm__shape *shapes[MM__MAX_IN];
    mm__dtype types[MM__MAX_IN];
    mm__shape shape;
    mm_error err = {.size = sizeof err};
    make_call(&m, op, &c);
    c.exact = coin(&m);
    for (int i = 0; i < MM__MAX_IN; i++) {
        shapes[i] = c.in[i].data ? &c.in[i].shape : NULL;
        types[i] = c.in[i].dtype;
    }
    if (mm__op_infer(op, &c.args, shapes, types, &shape, &err) != MM_OK) fail_msg("%s, seed %llu: %s", k->name, (unsigned long long)seed, err.text);
    c.out = op == MM__OP_KV_WRITE ? c.in[0] : values(&m, MM__F32, shape);
    mm__call want = c;
    if (op == MM__OP_KV_WRITE) want.in[0] = want.out = copy_of(&m, &c.in[0]);
    else want.out = copy_of(&m, &c.out);
    mm__ref_of(op)(&want, 0, mm__ref_units(&want));
    if (!k->accepts || k->accepts(&c)) {
        /* attention: BF16 products round scores and weights to 8 bits */
        const double tolerance = op != MM__OP_ATTENTION ? 3e-6 : c.exact || !(k->isa & MM__ISA_AVX512BF16) ? 5e-6 : 5e-2;
        run_kernel(&m, k, &c, INT64_MAX / 2);
        compare(k, seed, &want.out, &c.out, tolerance);
        mm__view whole = copy_of(&m, &c.out);
        run_kernel(&m, k, &c, 1);
        compare(k, seed, &whole, &c.out, 0.0);
        if (mm__op_in_place(op) == 0 && op != MM__OP_KV_WRITE) {
            c.in[0] = c.out = copy_of(&m, &c.in[0]);
            run_kernel(&m, k, &c, INT64_MAX / 2);
            compare(k, seed, &whole, &c.out, 0.0);
        }
    }
    for (int i = 0; i < m.n_blocks; i++) free(m.blocks[i]);
}

static void kernels_equal_their_oracles(void **state)
{
    mm__op op;
    int checked = 0;
    for (size_t i = 0; i < mm__cpu_kernels(); i++) {
        const mm__kern *k = mm__cpu_kernel(i, &op);
        if ((k->isa & ~mm__cpu_features()) || op == MM__OP_LINEAR) continue;
        for (uint64_t seed = 1; seed <= CASES; seed++) check(k, op, seed);
        checked++;
    }
    print_message("%d kernels\n", checked);
    assert_null(mm__cpu_kernel(mm__cpu_kernels(), NULL));
}

static void tiers_can_be_asked_for(void **state)
{
    char line[200];
    mm_error err = {.size = sizeof err};
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__backend *b = NULL;
    assert_int_equal(mm__backend_create(mem, NULL, "cpu:c", 2, NULL, true, &b, NULL), MM_OK);
    b->ops->describe(b, line, sizeof line);
    assert_non_null(strstr(line, "portable C, 2 threads"));
    assert_string_equal(b->isa, "c");
    assert_int_equal(b->threads, 2);
    mm__backend_destroy(b);
    assert_int_equal(mm__backend_create(mem, NULL, "cpu:mmx", 1, NULL, true, &b, &err), MM_E_DEVICE);
    assert_int_equal(mm__backend_create(mem, NULL, "abacus", 1, NULL, true, &b, &err), MM_E_DEVICE);
    assert_non_null(strstr(err.text, "abacus"));
    mm__device d;
    assert_true(mm__backend_device(0, &d));
    assert_string_equal(d.id, "cpu");
    assert_true(d.threads >= 1 && d.name[0] && strstr(d.summary, d.name));
    assert_false(mm__backend_device(1, &d));
    assert_string_equal(mm__backend_isa(0), "c");
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_equal_their_oracles),
        cmocka_unit_test(tiers_can_be_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
