/* LINEAR kernels against the operator's oracle: every weight type, precision and instruction set of this processor, on
 * random shapes (odd N, strided x, 1 to 3 stacked weights of mixed types, bias, activation, residual). Also: results do
 * not depend on the cut into units or on the other rows, and packing keeps its promises. */
#include "../../../src/backend/cpu/cpu.h"
#include "../../../src/backend/cpu/kern/linear/linear_layout.h"
#include "../../../src/base/rng.h"
#include "weights.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static mm__mem *mem;
static uint64_t counter;

static uint64_t draw(void) { return mm__rng_u64(42, counter++); }
static int64_t between(int64_t lo, int64_t hi) { return lo + (int64_t)(draw() % (uint64_t)(hi - lo + 1)); }
static float normal(void) { return random_normal(43, counter++); }

static const mm__dtype types[] = {MM__F32,  MM__F16,  MM__BF16, MM__Q4_0, MM__Q4_1, MM__Q5_0, MM__Q5_1,
                                  MM__Q8_0, MM__Q2_K, MM__Q3_K, MM__Q4_K, MM__Q5_K, MM__Q6_K};
#define N_TYPES ((int)(sizeof types / sizeof *types))

static const mm__kern *const kernels[] = {
    &mm__kern_linear_c,          &mm__kern_linear_avx2,       &mm__kern_linear_few_avx2,      &mm__kern_linear_avxvnni,
    &mm__kern_linear_few_avxvnni, &mm__kern_linear_avx512,
    &mm__kern_linear_few_avx512, &mm__kern_linear_avx512bf16, &mm__kern_linear_few_avx512bf16};

/* The feature sets to test: from none to all this processor has. */
static int levels(unsigned out[5])
{
    int n = 0;
    __builtin_cpu_init();
    out[n++] = MM__ISA_C;
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return n;
    out[n++] = MM__ISA_AVX2;
    if (mm__cpu_features() & MM__ISA_AVXVNNI) out[n++] = MM__ISA_AVX2 | MM__ISA_AVXVNNI;
    if (!__builtin_cpu_supports("avx512vnni") || !__builtin_cpu_supports("avx512bw")) return n;
    out[n++] = MM__ISA_AVX2 | MM__ISA_AVX512;
    if (__builtin_cpu_supports("avx512bf16")) out[n++] = MM__ISA_AVX2 | MM__ISA_AVX512 | MM__ISA_AVX512BF16;
    return n;
}

static const mm__kern *choose(unsigned isa, const mm__call *c)
{
    const mm__kern *best = NULL;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if ((kernels[i]->isa & ~isa) == 0 && (!kernels[i]->accepts || kernels[i]->accepts(c))) best = kernels[i];
    return best;
}

/* Runs a call in `cuts` pieces, in reverse, each with fresh scratch filled with NaN patterns. */
static void run(const mm__kern *k, const mm__call *c, int cuts)
{
    const size_t shared_bytes = k->shared_bytes ? k->shared_bytes(c) : 0, own_bytes = k->thread_bytes ? k->thread_bytes(c) : 0;
    uint8_t *shared = mm__alloc(mem, shared_bytes), *own = mm__alloc(mem, own_bytes);
    memset(shared, 0xff, shared_bytes);
    for (int phase = 0; phase < k->phases; phase++) {
        const int64_t units = k->units(c, phase);
        for (int i = cuts - 1; i >= 0; i--) {
            memset(own, 0xff, own_bytes);
            if (units * i / cuts < units * (i + 1) / cuts) k->run(c, phase, units * i / cuts, units * (i + 1) / cuts, shared, own);
        }
    }
    mm__free(mem, shared);
    mm__free(mem, own);
}

typedef struct problem {
    mm__call call;
    mm__tensor w[3];
    void *raw[3];     /* what the oracle reads */
    float *memory[4]; /* x, bias, residual, out */
    int64_t columns;
} problem;

static void make(problem *p, const mm__dtype *dtypes, int n_weights, int64_t t, int64_t k, mm__linear_grade grade, unsigned isa)
{
    *p = (problem){0};
    const int64_t x_stride = k + between(0, 9);
    for (int i = 0; i < n_weights; i++) {
        mm__tensor *w = &p->w[i];
        size_t bytes;
        *w = (mm__tensor){.dtype = dtypes[i], .shape = mm__shape2(between(1, 75), k)};
        assert_true(mm__tensor_bytes(w->dtype, &w->shape, &bytes));
        w->data = mm__alloc(mem, bytes);
        p->raw[i] = mm__alloc(mem, bytes);
        random_weights(w->dtype, w->data, bytes, draw());
        memcpy(p->raw[i], w->data, bytes);
        assert_int_equal(mm__linear_pack(mem, isa, grade, w, draw() % 2, NULL), MM_OK);
        p->call.in[3 + i] = mm__view_of(w->dtype, w->shape, w->data);
        p->call.packed[3 + i] = w->packed;
        p->columns += w->shape.d[0];
    }
    const int64_t sizes[4] = {t * x_stride, p->columns, t * p->columns, t * p->columns};
    for (int i = 0; i < 4; i++) {
        p->memory[i] = mm__alloc(mem, (size_t)sizes[i] * 4);
        for (int64_t j = 0; j < sizes[i]; j++) p->memory[i][j] = normal() * (i == 0 && draw() % 200 == 0 ? 100 : 1); /* x has outliers */
    }
    p->call.op = MM__OP_LINEAR;
    p->call.exact = grade == MM__LINEAR_EXACT;
    p->call.args.act = (mm__act)between(MM__ACT_NONE, MM__ACT_SIGMOID);
    p->call.in[0] = mm__view_of(MM__F32, mm__shape2(t, k), p->memory[0]);
    p->call.in[0].stride[0] = x_stride;
    if (draw() % 2) p->call.in[1] = mm__view_of(MM__F32, mm__shape1(p->columns), p->memory[1]);
    if (draw() % 2) p->call.in[2] = mm__view_of(MM__F32, mm__shape2(t, p->columns), p->memory[2]);
    p->call.out = mm__view_of(MM__F32, mm__shape2(t, p->columns), p->memory[3]);
}

static void drop(problem *p)
{
    for (int i = 0; i < 3; i++) {
        mm__linear_pack_free(mem, &p->w[i]);
        mm__free(mem, p->w[i].data);
        mm__free(mem, p->raw[i]);
    }
    for (int i = 0; i < 4; i++) mm__free(mem, p->memory[i]);
}

static void oracle(const problem *p, bool product, float *out)
{
    mm__call c = p->call;
    c.out.data = out;
    for (int i = 0; i < 3; i++) {
        c.packed[3 + i] = NULL;
        if (p->raw[i]) c.in[3 + i].data = p->raw[i];
    }
    if (product) {
        c.args.act = MM__ACT_NONE;
        c.in[1] = c.in[2] = (mm__view){0};
    }
    mm__ref_of(MM__OP_LINEAR)(&c, 0, mm__ref_units(&c));
}

static double power(const float *a, const float *less, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (less ? (double)less[i] : 0);
        sum += d * d;
    }
    return sum;
}

/* The largest error power allowed. BF16: of that of the result, activations that level off keep the error of their steep part
 * only. Else of that of the bare product, as the slope of no activation is above 1.13: F32 differs by rounding; for quantised
 * weights, blocks of x without a low plane are rounded in steps of d = m / 127 with m at most 3.2 times the root mean square of
 * the row, so d^2 / 12 is at most 5.3e-5 of its power. Float weights that become Q8_0 are rounded as well; of normal ones, none
 * of a block is likely above 4.5 times the root mean square: 1.05e-4. Coarse blocks of x are rounded in steps of half their range
 * / 127, which is below 3 on average: no more than blocks of int8. */
static double allowed(const problem *p, const float *want, float *room, int64_t n)
{
    const double shaped = p->call.args.act >= MM__ACT_TANH ? 10 : p->call.args.act ? 2 : 1;
    double most = 1e-11, rounded = 1e-11;
    for (int i = 0; i < 3; i++) {
        if (!p->w[i].packed) continue;
        const bool is_quant = mm__dtype_is_quant(p->w[i].dtype);
        const mm__linear_form form = ((const mm__linear_packed *)p->w[i].packed)->form;
        if (form != MM__FORM_BF16) {
            const double e = (is_quant ? 5.3e-5 : 5.3e-5 + 1.05e-4) * 1.13 * 1.13;
            if (e > rounded) rounded = e;
        } else {
            most = 2e-5 * shaped;
        }
    }
    oracle(p, true, room);
    return most * power(want, NULL, n) + rounded * power(room, NULL, n) + 1e-30;
}

static void check(const problem *p, unsigned isa)
{
    const int64_t t = p->call.out.shape.d[0], n = t * p->columns;
    float *want = mm__alloc(mem, (size_t)n * 4), *first = mm__alloc(mem, (size_t)n * 4);
    const mm__kern *k = choose(isa, &p->call);
    assert_non_null(k);
    oracle(p, false, want);
    run(k, &p->call, 1);
    const double e = power(p->memory[3], want, n), most = allowed(p, want, first, n);
    if (!(e <= most))
        fail_msg("%s, %s, T %d K %d N %d: error power %g, allowed %g", k->name, mm__dtype_info_of(p->w[0].dtype)->name, (int)t,
                 (int)p->call.in[0].shape.d[1], (int)p->columns, e, most);
    memcpy(first, p->memory[3], (size_t)n * 4);
    for (int cuts = 2; cuts <= 7; cuts += 5) {
        memset(p->memory[3], 0xff, (size_t)n * 4);
        run(k, &p->call, cuts);
        assert_memory_equal(first, p->memory[3], (size_t)n * 4);
    }
    mm__free(mem, want);
    mm__free(mem, first);
}

static int64_t random_k(const mm__dtype *dtypes, int n)
{
    int64_t block = 1;
    for (int i = 0; i < n; i++)
        if (mm__dtype_info_of(dtypes[i])->block > block) block = mm__dtype_info_of(dtypes[i])->block;
    return block == 1 ? between(1, 700) : block * between(1, block == 32 ? 20 : 4);
}

/* Coarse weights become Q8_0 where K is a multiple of 32 only. */
static int64_t random_k_for(mm__linear_grade grade, mm__dtype t)
{
    const int64_t k = random_k(&t, 1);
    return grade == MM__LINEAR_COARSE && !mm__dtype_is_quant(t) && draw() % 2 ? (k + 255) / 256 * 256 - 32 * between(0, 7) : k;
}

static void each_type(mm__linear_grade grade)
{
    unsigned isa[5];
    const int n = levels(isa);
    for (int l = 0; l < n; l++)
        for (int i = 0; i < N_TYPES; i++)
            for (int round = 0; round < 6; round++) {
                problem p;
                make(&p, &types[i], 1, round < 3 ? between(1, 8) : between(9, 70), random_k_for(grade, types[i]), grade, isa[l]);
                check(&p, isa[l]);
                drop(&p);
            }
}

static void every_type_exact(void **state) { each_type(MM__LINEAR_EXACT); }
static void every_type_fast(void **state) { each_type(MM__LINEAR_FAST); }
static void every_type_coarse(void **state) { each_type(MM__LINEAR_COARSE); }

static void stacked_mixed_types(void **state)
{
    unsigned isa[5];
    const int n = levels(isa);
    for (int l = 0; l < n; l++)
        for (int round = 0; round < 40; round++) {
            mm__dtype dtypes[3];
            problem p;
            for (int i = 0; i < 3; i++) dtypes[i] = types[draw() % N_TYPES];
            const int count = (int)between(2, 3);
            make(&p, dtypes, count, between(1, 40), random_k(dtypes, count), (mm__linear_grade)(round % 3), isa[l]);
            check(&p, isa[l]);
            drop(&p);
        }
}

/* A value that is no number makes its row of the result so, and no other. */
static void numbers_that_are_none(void **state)
{
    unsigned isa[5];
    const int n = levels(isa);
    for (int l = 0; l < n; l++) {
        const mm__dtype type = MM__F32;
        problem p;
        make(&p, &type, 1, 20, l % 2 ? 320 : 300, MM__LINEAR_COARSE, isa[l]);
        p.call.args.act = MM__ACT_NONE;
        ((float *)mm__view_row(&p.call.in[0], 11))[200] = NAN;
        run(choose(isa[l], &p.call), &p.call, 1);
        for (int64_t t = 0; t < 20; t++)
            for (int64_t i = 0; i < p.columns; i++) assert_int_equal(isnan(mm__view_row(&p.call.out, t)[i]) != 0, t == 11);
        drop(&p);
    }
}

/* A row alone and the same row among others give the same bits wherever the arithmetic is the packed one. */
static void rows_are_independent(void **state)
{
    unsigned isa[5];
    const int n = levels(isa);
    for (int l = 1; l < n; l++)
        for (int i = 0; i < 2 * N_TYPES; i++) {
            problem p;
            const mm__dtype type = types[i / 2];
            make(&p, &type, 1, 29, random_k_for(i % 2 ? MM__LINEAR_COARSE : MM__LINEAR_FAST, type), i % 2 ? MM__LINEAR_COARSE : MM__LINEAR_FAST, isa[l]);
            if (p.w[0].packed) {
                run(choose(isa[l], &p.call), &p.call, 1);
                for (int64_t t = 0; t < 29; t += 7) {
                    mm__call one = p.call;
                    float *out = mm__alloc(mem, (size_t)p.columns * 4);
                    one.in[0] = mm__view_of(MM__F32, mm__shape2(1, p.call.in[0].shape.d[1]), mm__view_row(&p.call.in[0], t));
                    if (one.in[2].data) one.in[2] = mm__view_of(MM__F32, mm__shape2(1, p.columns), mm__view_row(&p.call.in[2], t));
                    one.out = mm__view_of(MM__F32, mm__shape2(1, p.columns), out);
                    run(choose(isa[l], &one), &one, 3);
                    assert_memory_equal(out, mm__view_row(&p.call.out, t), (size_t)p.columns * 4);
                    mm__free(mem, out);
                }
            }
            drop(&p);
        }
}

/* Each activation over a wide range of inputs: x times the unit matrix, exact. */
static void activations(void **state)
{
    unsigned isa[5];
    const int n = levels(isa);
    enum { COLUMNS = 16, ROWS = 500 };
    static float x[ROWS * COLUMNS], w[COLUMNS * COLUMNS], out[ROWS * COLUMNS];
    for (int i = 0; i < COLUMNS; i++) w[i * COLUMNS + i] = 1;
    for (int i = 0; i < ROWS * COLUMNS; i++) x[i] = (float)(i - ROWS * COLUMNS / 2) / (ROWS * COLUMNS / 2) * (i % 3 ? 8.0f : 100.0f);
    for (int l = 1; l < n; l++)
        for (int act = MM__ACT_NONE; act <= MM__ACT_SIGMOID; act++) {
            mm__call c = {.op = MM__OP_LINEAR, .args = {.act = (mm__act)act}, .exact = true};
            c.in[0] = mm__view_of(MM__F32, mm__shape2(ROWS, COLUMNS), x);
            c.in[3] = mm__view_of(MM__F32, mm__shape2(COLUMNS, COLUMNS), w);
            c.out = mm__view_of(MM__F32, mm__shape2(ROWS, COLUMNS), out);
            run(choose(isa[l], &c), &c, 1);
            for (int i = 0; i < ROWS * COLUMNS; i++) {
                const double want = mm__act_apply((mm__act)act, x[i]);
                if (!(fabs(out[i] - want) <= 1e-6 * fabs(want) + 1.5e-7 * fmin(fabs(x[i]), 8)))
                    fail_msg("activation %d of %g: %.9g, not %.9g", act, x[i], out[i], want);
            }
        }
}

static void unpacking_is_bit_exact(void **state)
{
    unsigned isa[5];
    if (levels(isa) == 1) skip();
    for (int i = 0; i < N_TYPES; i++) {
        enum { N = 1024 };
        static uint8_t raw[N * 4 + 1];
        static float want[N], got[N];
        mm__shape s = mm__shape1(N);
        size_t bytes;
        assert_true(mm__tensor_bytes(types[i], &s, &bytes));
        random_weights(types[i], raw + 1, bytes, draw());
        mm__unpack_row(types[i], raw + 1, want, N);
        mm__linear_unpack_avx2(types[i], raw + 1, got, N);
        for (int j = 0; j < N; j++)
            if (want[j] != got[j]) fail_msg("%s, element %d: %g, not %g", mm__dtype_info_of(types[i])->name, j, got[j], want[j]);
    }
}

/* Panels packed one by one, backwards, are the panels of the whole. */
static void panels_in_any_order(void **state)
{
    unsigned isa[5];
    const unsigned best = isa[levels(isa) - 1];
    if (best == MM__ISA_C) skip();
    for (int i = 0; i < N_TYPES; i++) {
        mm__tensor w = {.dtype = types[i], .shape = mm__shape2(75, 768)};
        mm__linear_packed *p;
        size_t bytes;
        assert_true(mm__tensor_bytes(types[i], &w.shape, &bytes));
        w.data = mm__alloc(mem, bytes);
        random_weights(types[i], w.data, bytes, draw());
        assert_int_equal(mm__linear_packed_new(mem, best, false, types[i], &w.shape, &p, NULL), MM_OK);
        if (!p) {
            mm__free(mem, w.data);
            continue;
        }
        assert_int_equal(mm__linear_panels(p), 5);
        for (int64_t n = 4; n >= 0; n--) mm__linear_pack_panel(p, n, (const uint8_t *)w.data + (size_t)n * MM__LINEAR_PANEL * (bytes / 75));
        assert_int_equal(mm__linear_pack(mem, best, false, &w, true, NULL), MM_OK);
        assert_int_equal(mm__linear_packed_bytes(p), mm__linear_packed_bytes(w.packed));
        assert_memory_equal(p->panels, ((const mm__linear_packed *)w.packed)->panels, 5 * p->panel_bytes);
        mm__free(mem, p);
        mm__linear_pack_free(mem, &w);
        mm__free(mem, w.data);
    }
}

static void packing(void **state)
{
    unsigned isa[5];
    const unsigned best = isa[levels(isa) - 1];
    const mm__dtype type = MM__Q8_0;
    size_t bytes;
    if (best == MM__ISA_C) skip();
    for (int keep = 0; keep < 2; keep++) {
        mm__tensor w = {.dtype = type, .shape = mm__shape2(33, 64)};
        assert_true(mm__tensor_bytes(type, &w.shape, &bytes));
        w.data = mm__alloc(mem, bytes);
        random_weights(type, w.data, bytes, draw());
        w.bytes = bytes;
        assert_int_equal(mm__linear_pack(mem, best, true, &w, keep, NULL), MM_OK);
        assert_null(w.packed);
        assert_non_null(w.data);
        assert_int_equal(mm__linear_pack(mem, best, false, &w, keep, NULL), MM_OK);
        assert_non_null(w.packed);
        assert_int_equal(w.data != NULL, keep);
        assert_true(w.bytes > (keep ? 2 * bytes : bytes));
        mm__linear_pack_free(mem, &w);
        assert_null(w.packed);
        mm__free(mem, w.data);
    }
    mm__mem *small = mm__mem_create(NULL, 16384);
    mm__tensor w = {.dtype = type, .shape = mm__shape2(100, 64)};
    assert_true(mm__tensor_bytes(type, &w.shape, &bytes));
    w.data = mm__zalloc(small, bytes);
    assert_non_null(w.data);
    mm__tensor_bytes(type, &w.shape, &w.bytes);
    void *filler = mm__alloc(small, 6000);
    assert_non_null(filler);
    assert_int_equal(mm__linear_pack(small, best, false, &w, false, NULL), MM_E_NOMEM);
    assert_null(w.packed);
    assert_non_null(w.data);
    mm__free(small, filler);
    mm__free(small, w.data);
    mm__mem_destroy(small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_exact),     cmocka_unit_test(every_type_fast), cmocka_unit_test(stacked_mixed_types),
        cmocka_unit_test(every_type_coarse),    cmocka_unit_test(numbers_that_are_none),
        cmocka_unit_test(rows_are_independent), cmocka_unit_test(activations),     cmocka_unit_test(unpacking_is_bit_exact),
        cmocka_unit_test(panels_in_any_order),  cmocka_unit_test(packing),
    };
    mem = mm__mem_create(NULL, 0);
    if (!mem) return 1;
    const uint64_t before = mm__mem_live(mem);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    const bool leaked = mm__mem_live(mem) != before;
    if (leaked) fprintf(stderr, "leaked %llu bytes\n", (unsigned long long)(mm__mem_live(mem) - before));
    mm__mem_destroy(mem);
    return failed || leaked;
}
