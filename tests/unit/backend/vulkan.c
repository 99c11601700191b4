/* Every shader against the oracle of its operator, on the first Vulkan device (in automated checks an emulated one): random
 * shapes, strided rows, views that begin anywhere, in-place results, absent inputs; and the same with every limit of the
 * device forced down. Where there is no device the tests say so and pass. A failure prints operator and seed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/backend/cpu/cpu.h"
#include "../../../src/backend/vulkan/vulkan.h"
#include "edges.h"
#include "weights.h"

enum { CASES = 25 };

static mm__mem *mem;
static uint64_t empty; /* what the account itself takes */
static double worst[MM__N_OP];
static double bound = 1e-9; /* of the NMSE; two digits better than what is promised */

/* Products of rounded numbers, which devices that have them use unasked, only where a test asks for them. */
static mm__backend *open_device(const mm__vulkan_options *wanted)
{
    mm__vulkan_options o = wanted ? *wanted : (mm__vulkan_options){0};
    mm__backend *cpu, *b;
    mm__device d;
    mm_error err = {.size = sizeof err};
    if (!mm__vulkan_device(0, &d)) {
        print_message("skipped: there is no Vulkan device here\n");
        return NULL;
    }
    if (!(o.with & MM__VULKAN_F16)) o.without |= MM__VULKAN_F16;
    if (!(o.with & MM__VULKAN_DOT)) o.without |= MM__VULKAN_DOT;
    assert_int_equal(mm__cpu_create(mem, NULL, NULL, 1, NULL, true, &cpu, &err), MM_OK);
    if (mm__vulkan_create(mem, NULL, ":0", cpu, true, &o, &b, &err) != MM_OK) fail_msg("%s", err.text);
    return b;
}

/* ---- calls on the device ---- */

/* A view of memory of the device that begins `skip` bytes into it and holds what `host` shows. */
static mm__view on_device(mm__backend *b, mm__arena *a, const mm__view *host, size_t skip)
{
    mm__view v = *host;
    mm_error err = {.size = sizeof err};
    if (b->ops->arena_reserve(b, a, skip + bytes_of(host), &err) != MM_OK) fail_msg("%s", err.text);
    v.data = (unsigned char *)a->data + skip;
    assert_int_equal(b->ops->write(b, v.data, host->data, bytes_of(host), NULL), MM_OK);
    return v;
}

/* Runs c, whose views are the host's, on the device, and brings what its result's view spans back into c->out. */
static void run_on_device(mm__backend *b, maker *m, mm__call *c, bool in_place)
{
    mm__arena arenas[MM__MAX_IN + 1] = {0}, work = {0};
    mm__call d = *c;
    mm_error err = {.size = sizeof err};
    for (int i = 0; i < MM__MAX_IN; i++)
        if (c->in[i].data) d.in[i] = on_device(b, &arenas[i], &c->in[i], (mm__dtype_is_quant(c->in[i].dtype) ? 16 : 4) * (size_t)pick(m, 0, 20));
    d.out = in_place ? d.in[0] : on_device(b, &arenas[MM__MAX_IN], &c->out, 4 * (size_t)pick(m, 0, 20));
    const size_t scratch = b->ops->scratch(b, &d);
    if (scratch && b->ops->arena_reserve(b, &work, scratch, &err) != MM_OK) fail_msg("%s", err.text);
    if (b->ops->run(b, &d, 1, work.data, NULL, &err) != MM_OK) fail_msg("%s", err.text);
    assert_int_equal(b->ops->read(b, d.out.data, c->out.data, bytes_of(&c->out), NULL), MM_OK);
    for (int i = 0; i <= MM__MAX_IN; i++) b->ops->arena_free(&arenas[i]);
    b->ops->arena_free(&work);
}

/* Squared error over squared signal. */
static double nmse(const mm__view *want, const mm__view *got)
{
    double error = 0.0, signal = 0.0;
    for (int64_t r = 0; r < mm__view_rows(want); r++)
        for (int64_t i = 0; i < mm__view_cols(want); i++) {
            const double a = element(want, r, i), e = element(got, r, i) - a;
            error += e * e;
            signal += a * a;
        }
    return isfinite(error) ? error / (signal > 0.0 ? signal : 1.0) : INFINITY;
}

/* What lies between the rows must not change. */
static void gaps_untouched(mm__op op, uint64_t seed, const mm__view *before, const mm__view *after)
{
    mm__view a = *before, b = *after;
    const size_t bytes = bytes_of(before), each = mm__dtype_info_of(before->dtype)->bytes;
    for (int64_t r = 0; r < mm__view_rows(&a); r++) {
        int64_t at = 0, rest = r;
        for (int i = a.shape.n - 2; i >= 0; i--) {
            at += rest % a.shape.d[i] * a.stride[i];
            rest /= a.shape.d[i];
        }
        memset((unsigned char *)a.data + (size_t)at * each, 0, (size_t)mm__view_cols(&a) * each);
        memset((unsigned char *)b.data + (size_t)at * each, 0, (size_t)mm__view_cols(&a) * each);
    }
    if (memcmp(a.data, b.data, bytes)) fail_msg("%s, seed %llu: something outside the result was written", mm__op_name(op), (unsigned long long)seed);
}

static void finish_call(mm__call *c, maker *m)
{
    const mm__shape *shapes[MM__MAX_IN];
    mm__dtype types[MM__MAX_IN];
    mm__shape shape;
    mm_error err = {.size = sizeof err};
    for (int i = 0; i < MM__MAX_IN; i++) {
        shapes[i] = c->in[i].data ? &c->in[i].shape : NULL;
        types[i] = c->in[i].dtype;
    }
    if (mm__op_infer(c->op, &c->args, shapes, types, &shape, &err) != MM_OK) fail_msg("%s", err.text);
    c->out = c->op == MM__OP_KV_WRITE ? c->in[0] : values(m, MM__F32, shape);
}

static void check(mm__backend *b, maker *m, mm__call *c)
{
    const bool cache = c->op == MM__OP_KV_WRITE;
    finish_call(c, m);
    mm__call want = *c, got = *c;
    want.out = copy_of(m, &c->out);
    got.out = copy_of(m, &c->out);
    if (cache) want.in[0] = want.out;
    mm__ref_of(c->op)(&want, 0, mm__ref_units(&want));
    run_on_device(b, m, &got, cache);
    if (mm__dtype_is_quant(c->out.dtype)) { /* the processor's, on copies: block for block */
        assert_memory_equal(want.out.data, got.out.data, bytes_of(&want.out));
        return;
    }
    const double e = nmse(&want.out, &got.out);
    if (e > worst[c->op]) worst[c->op] = e;
    if (!(e <= bound)) fail_msg("%s, seed %llu: NMSE %.3g", mm__op_name(c->op), (unsigned long long)m->seed, e);
    gaps_untouched(c->op, m->seed, &want.out, &got.out);
    if (mm__op_in_place(c->op) != 0 || cache) return;
    got.in[0] = got.out = copy_of(m, &c->in[0]);
    if (!mm__shape_equal(&got.out.shape, &want.out.shape)) return;
    run_on_device(b, m, &got, true);
    mm__ref_of(c->op)(&want, 0, mm__ref_units(&want));
    if (!(nmse(&want.out, &got.out) <= 1e-9)) fail_msg("%s in place, seed %llu", mm__op_name(c->op), (unsigned long long)m->seed);
}

static void drop(maker *m)
{
    for (int i = 0; i < m->n_blocks; i++) free(m->blocks[i]);
}

static void every_operator(mm__backend *b, uint64_t cases)
{
    for (int op = 0; op < MM__N_OP; op++)
        for (uint64_t seed = 1; seed <= cases && op != MM__OP_LINEAR; seed++) {
            maker m = {.seed = seed};
            mm__call c = {0};
            make_call(&m, (mm__op)op, &c);
            check(b, &m, &c);
            drop(&m);
        }
}

/* What b has counted of `key`. */
static uint64_t counted(mm__backend *b, const char *key)
{
    mm__count c;
    for (unsigned i = 0; b->ops->counts(b, i, &c); i++)
        if (strcmp(c.key, key) == 0) return c.n;
    fail_msg("%s is not counted", key);
    return 0;
}

/* The processor did nothing because a shader was wrong: else all of this would pass without it. */
static void none_was_off(mm__backend *b)
{
    mm__count c;
    for (unsigned i = 0; b->ops->fallbacks(b, i, &c); i++)
        if (strstr(c.what, "self-test")) fail_msg("%s: %s, %llu times", c.key, c.what, (unsigned long long)c.n);
}

static void every_edge(mm__backend *b)
{
    for (int op = 0; op < MM__N_OP; op++)
        for (int kind = 0; kind < EDGES; kind++) {
            maker m = {.seed = 1000 + (uint64_t)kind};
            mm__call c = {0};
            if (make_edge(&m, (mm__op)op, kind, &c)) check(b, &m, &c);
            drop(&m);
        }
}

/* ---- LINEAR ---- */

static const mm__dtype weight_types[] = {MM__F32,  MM__F16,  MM__BF16, MM__Q4_0, MM__Q4_1, MM__Q5_0, MM__Q5_1,
                                         MM__Q8_0, MM__Q2_K, MM__Q3_K, MM__Q4_K, MM__Q5_K, MM__Q6_K};
enum { N_TYPES = sizeof weight_types / sizeof *weight_types };

static mm__view weights(maker *m, mm__dtype t, int64_t n, int64_t k)
{
    const mm__shape s = mm__shape2(n, k);
    size_t bytes;
    assert_true(mm__tensor_bytes(t, &s, &bytes));
    mm__view v = mm__view_of(t, s, block(m, bytes));
    random_weights(t, v.data, bytes, m->seed + (uint64_t)t);
    return v;
}

static void check_linear(mm__backend *b, mm__dtype t, uint64_t seed)
{
    maker m = {.seed = seed};
    const int64_t tokens = coin(&m) ? pick(&m, 1, 4) : pick(&m, 5, 70), blocks = mm__dtype_info_of(t)->block;
    const int64_t k = blocks > 1 ? blocks * pick(&m, 1, blocks > 32 ? 3 : 20) : pick(&m, 1, 300);
    mm__call c = {.op = MM__OP_LINEAR, .args.act = (mm__act)pick(&m, MM__ACT_NONE, MM__ACT_SIGMOID)};
    int64_t n = 0;
    c.in[0] = values(&m, MM__F32, coin(&m) ? mm__shape2(tokens, k) : mm__shape3(tokens, 1, k));
    for (int i = 3; i < 6 && (i == 3 || coin(&m)); i++) {
        c.in[i] = weights(&m, i == 3 || k % 32 || blocks > 1 ? t : weight_types[pick(&m, 0, 7)], pick(&m, 1, 75), k);
        n += c.in[i].shape.d[0];
    }
    if (coin(&m)) c.in[1] = values(&m, MM__F32, mm__shape1(n));
    if (coin(&m)) c.in[2] = values(&m, MM__F32, mm__shape2(tokens, n));
    check(b, &m, &c);
    drop(&m);
}

static void every_weight_type(mm__backend *b, uint64_t cases)
{
    for (int i = 0; i < N_TYPES; i++)
        for (uint64_t seed = 1; seed <= cases; seed++) check_linear(b, weight_types[i], seed);
}

/* ---- tests ---- */

static void shaders_equal_their_oracles(void **state)
{
    mm__backend *b = open_device(NULL);
    if (!b) return;
    every_operator(b, CASES);
    const uint64_t before = counted(b, "fallbacks");
    every_edge(b);
    assert_int_equal(counted(b, "fallbacks"), before); /* every one of these has a shader */
    every_weight_type(b, CASES / 3);
    none_was_off(b);
    for (int op = 0; op < MM__N_OP; op++) print_message("%-10s NMSE %.2g\n", mm__op_name((mm__op)op), worst[op]);
    mm__backend_destroy(b);
}

static void limits_forced_down(void **state)
{
    static const mm__vulkan_options all[] = {
        {.staged = true},         {.submit_work = 1.0}, {.binding_bytes = 4096}, {.block_bytes = 1024},
        {.shared_bytes = 16384},  {.parts = 3},         {.parts = 3, .binding_bytes = 16384}, {.with = MM__VULKAN_SUBGROUPS},
        {.with = MM__VULKAN_SUBGROUPS, .parts = 3, .submit_work = 1.0}, {.with = MM__VULKAN_SUBGROUPS, .busy = 512}, {.busy = 24},
        {.with = MM__VULKAN_WIDE, .busy = 1},
        {.without = MM__VULKAN_SUBGROUPS | MM__VULKAN_F16, .parts = 2, .shared_bytes = 16384, .submit_work = 1.0},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        mm__backend *b = open_device(&all[i]);
        if (!b) return;
        every_operator(b, 3);
        every_edge(b);
        every_weight_type(b, 2);
        none_was_off(b);
        mm__backend_destroy(b);
    }
}

/* Products of rounded numbers, where the caller does not ask for exact ones: another order of error, and another shader. False: the
 * device has nothing of the kind. */
static bool rounded_products(const mm__vulkan_options *o, double allowed)
{
    const double before = bound;
    mm__backend *b = open_device(o);
    if (!b) return false;
    bound = allowed;
    worst[MM__OP_LINEAR] = 0.0;
    every_weight_type(b, CASES / 3);
    bound = before;
    print_message("LINEAR     NMSE %.2g with rounded factors\n", worst[MM__OP_LINEAR]);
    mm__backend_destroy(b);
    return worst[MM__OP_LINEAR] > before;
}

static void f16_products(void **state)
{
    mm__device d;
    const bool ran = rounded_products(&(mm__vulkan_options){.with = MM__VULKAN_F16, .without = MM__VULKAN_MATRIX}, 1e-5);
    const bool wide = rounded_products(&(mm__vulkan_options){.with = MM__VULKAN_F16 | MM__VULKAN_WIDE, .without = MM__VULKAN_MATRIX}, 1e-5);
    assert_true(!mm__vulkan_device(0, &d) || (ran && wide));
}

/* As f16_products, by the matrix units of devices that have some; emulated ones have none. */
static void matrix_products(void **state)
{
    const bool ran = rounded_products(&(mm__vulkan_options){.with = MM__VULKAN_MATRIX | MM__VULKAN_F16}, 1e-5);
    const bool wide = rounded_products(&(mm__vulkan_options){.with = MM__VULKAN_MATRIX | MM__VULKAN_F16 | MM__VULKAN_WIDE}, 1e-5);
    assert_true(ran == wide);
}

/* Products of bytes, of few rows. Rounding x to 127 steps costs 4e-5 of normal values; more where a tanh of large sums changes its
 * sign. */
static void byte_products(void **state)
{
    mm__device d;
    const bool ran = rounded_products(&(mm__vulkan_options){.with = MM__VULKAN_DOT}, 2e-3);
    const bool busy = rounded_products(&(mm__vulkan_options){.with = MM__VULKAN_DOT, .busy = 1}, 2e-3);
    assert_true(!mm__vulkan_device(0, &d) || (ran && busy));
}

/* Weights, tables and results larger than a binding are cut, not left to the processor. */
static void large_tensors_are_cut(void **state)
{
    mm__backend *b = open_device(&(mm__vulkan_options){.binding_bytes = 65536});
    if (!b) return;
    const mm__dtype types[] = {MM__F32, MM__F16, MM__Q4_0, MM__Q6_K};
    for (int i = 0; i < 4; i++)
        for (int64_t tokens = 1; tokens < 120; tokens += 39) {
            maker m = {.seed = 7 + (uint64_t)tokens};
            mm__call c = {.op = MM__OP_LINEAR}, rows = {.op = MM__OP_ROWS, .args.scale = 1.0f};
            c.in[0] = values(&m, MM__F32, mm__shape2(tokens, 256));
            c.in[3] = weights(&m, types[i], 515, 256);
            c.in[2] = values(&m, MM__F32, mm__shape2(tokens, 515));
            check(b, &m, &c);
            rows.in[0] = weights(&m, types[i], 515, 256);
            rows.in[1] = integers(&m, mm__shape1(30), -1, 515);
            check(b, &m, &rows);
            drop(&m);
        }
    assert_int_equal(counted(b, "fallbacks"), 0);
    mm__backend_destroy(b);
}

/* A stack of weights that lie together costs one dispatch. */
static void stacks_are_one_dispatch(void **state)
{
    mm__backend *b = open_device(NULL);
    maker m = {.seed = 3};
    if (!b) return;
    mm__call c = {.op = MM__OP_LINEAR, .in[0] = values(&m, MM__F32, mm__shape2(1, 64))};
    for (int i = 3; i < 6; i++) c.in[i] = weights(&m, MM__Q8_0, 20 * i, 64);
    check(b, &m, &c);
    assert_int_equal(counted(b, "dispatches"), 1);
    drop(&m);
    mm__backend_destroy(b);
}

static void devices_are_named(void **state)
{
    mm_error err = {.size = sizeof err};
    mm__backend *b;
    mm__device d;
    assert_int_equal(mm__backend_create(mem, NULL, "vulkan:99", 1, NULL, true, &b, &err), MM_E_DEVICE);
    assert_int_equal(mm__backend_create(mem, NULL, "vulkan:x", 1, NULL, true, &b, &err), MM_E_DEVICE);
    if (!mm__vulkan_device(0, &d)) return;
    assert_string_equal(d.id, "vulkan:0");
    assert_true(d.name[0] && d.summary[0]);
    assert_int_equal(mm__backend_create(mem, NULL, "vulkan", 1, NULL, true, &b, &err), MM_OK);
    mm__backend_destroy(b);
}

static int open_memory(void **state)
{
    mem = mm__mem_create(NULL, 0);
    if (mem) empty = mm__mem_live(mem);
    return mem ? 0 : -1;
}

static int close_memory(void **state)
{
    const bool clean = mm__mem_live(mem) == empty;
    if (!clean) print_message("%llu bytes were not freed\n", (unsigned long long)(mm__mem_live(mem) - empty));
    mm__mem_destroy(mem);
    return clean ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(devices_are_named),
        cmocka_unit_test(shaders_equal_their_oracles),
        cmocka_unit_test(limits_forced_down),
        cmocka_unit_test(f16_products), cmocka_unit_test(matrix_products), cmocka_unit_test(byte_products),
        cmocka_unit_test(large_tensors_are_cut),
        cmocka_unit_test(stacks_are_one_dispatch),
    };
    return cmocka_run_group_tests(tests, open_memory, close_memory);
}
