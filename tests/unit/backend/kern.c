/* Every kernel of kern.def that this processor can run against the oracle of its operator: random shapes (whole vectors
 * and odd ones), padded rows, in-place calls, absent inputs, spans, and any cut into units. LINEAR has a test of its own.
 * A failure prints the kernel and the seed; the cases of one seed are always the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/backend/cpu/cpu.h"
#include "calls.h"

enum { CASES = 60 };

/* Runs all phases of k in units of `step`. */
static void run_kernel(maker *m, const mm__kern *k, const mm__call *c, int64_t step)
{
    void *shared = k->shared_bytes ? block(m, k->shared_bytes(c)) : NULL, *own = k->thread_bytes ? block(m, k->thread_bytes(c)) : NULL;
    for (int phase = 0; phase < k->phases; phase++) {
        const int64_t units = k->units(c, phase);
        for (int64_t u = 0; u < units; u += step) k->run(c, phase, u, u + step < units ? u + step : units, shared, own);
    }
}

/* A quantised result, with all that lies between its rows, bit for bit. */
static void compare_blocks(const mm__kern *k, uint64_t seed, const mm__view *want, const mm__view *got)
{
    const uint8_t *a = want->data, *b = got->data;
    for (size_t i = 0, n = bytes_of(want); i < n; i++)
        if (a[i] != b[i]) fail_msg("%s, seed %llu: byte %zu is %u, the oracle says %u", k->name, (unsigned long long)seed, i, b[i], a[i]);
}

static void compare(const mm__kern *k, uint64_t seed, const mm__view *want, const mm__view *got, double tolerance)
{
    if (mm__dtype_is_quant(want->dtype)) {
        compare_blocks(k, seed, want, got);
        return;
    }
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
    assert_false(mm__backend_device(1000, &d));
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
