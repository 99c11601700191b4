/* Operators without a backend: shape rules with their refusals, the buckets of T5, and oracles on inputs whose results
 * can be worked out by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/op/op.h"

#include <math.h>
#include <string.h>

/* Infers op over n inputs of the given shapes; an axis count of 0 is an absent input. */
static mm_status infer(mm__op op, const mm__args *args, const mm__shape *s, const mm__dtype *t, int n, mm__shape *out, mm_error *err)
{
    const mm__shape *in[MM__MAX_IN] = {0};
    mm__dtype types[MM__MAX_IN] = {0};
    for (int i = 0; i < n; i++) {
        in[i] = s[i].n ? &s[i] : NULL;
        types[i] = t ? t[i] : MM__F32;
    }
    *err = (mm_error){.size = sizeof *err};
    return mm__op_infer(op, args, in, types, out, err);
}

static void shapes_follow_the_rules(void **state)
{
    const mm__args none = {0}, unfold = {.kernel = 3, .step = 2, .pad = 1}, patch = {.kernel = 4}, grid = {.out_h = 5, .out_w = 7};
    mm__shape out;
    mm_error err;
    const mm__shape linear[] = {mm__shape3(2, 3, 64), mm__shape1(50), {0}, mm__shape2(20, 64), mm__shape2(30, 64)};
    const mm__dtype types[] = {MM__F32, MM__F32, MM__F32, MM__Q4_0, MM__BF16};
    assert_int_equal(infer(MM__OP_LINEAR, &none, linear, types, 5, &out, &err), MM_OK);
    assert_true(mm__shape_equal(&out, &(mm__shape){3, {2, 3, 50}}));
    const mm__shape attention[] = {mm__shape3(7, 6, 8), mm__shape3(2, 9, 8), mm__shape3(2, 9, 5), mm__shape2(7, 2)};
    const mm__dtype cached[] = {MM__F32, MM__F16, MM__F16, MM__I32};
    assert_int_equal(infer(MM__OP_ATTENTION, &none, attention, cached, 4, &out, &err), MM_OK);
    assert_true(mm__shape_equal(&out, &(mm__shape){2, {7, 30}}));
    assert_int_equal(infer(MM__OP_UNFOLD1D, &unfold, &(mm__shape){2, {10, 4}}, NULL, 1, &out, &err), MM_OK);
    assert_true(mm__shape_equal(&out, &(mm__shape){2, {5, 12}}));
    assert_int_equal(infer(MM__OP_PATCHES, &patch, &(mm__shape){3, {3, 9, 12}}, NULL, 1, &out, &err), MM_OK);
    assert_true(mm__shape_equal(&out, &(mm__shape){2, {6, 48}}));
    assert_int_equal(infer(MM__OP_RESIZE, &grid, &(mm__shape){3, {2, 3, 4}}, NULL, 1, &out, &err), MM_OK);
    assert_true(mm__shape_equal(&out, &(mm__shape){3, {5, 7, 4}}));
}

static void wrong_shapes_are_refused(void **state)
{
    const mm__args none = {0};
    static const struct { mm__op op; int n; mm__shape s[4]; } wrong[] = {
        {MM__OP_LINEAR, 4, {{2, {3, 8}}, {0}, {0}, {2, {5, 9}}}},
        {MM__OP_LINEAR, 4, {{2, {3, 8}}, {1, {4}}, {0}, {2, {5, 8}}}},
        {MM__OP_LINEAR, 4, {{2, {3, 8}}, {0}, {2, {3, 4}}, {2, {5, 8}}}},
        {MM__OP_LINEAR, 3, {{2, {3, 8}}, {0}, {0}}},
        {MM__OP_ADD, 2, {{2, {3, 8}}, {2, {2, 8}}}},
        {MM__OP_ADD, 2, {{2, {3, 8}}, {1, {7}}}},
        {MM__OP_ADD, 1, {{2, {3, 8}}}},
        {MM__OP_GLU, 1, {{2, {3, 7}}}},
        {MM__OP_CONCAT, 2, {{2, {3, 8}}, {2, {3, 7}}}},
        {MM__OP_CONCAT, 2, {{1, {3}}, {1, {3}}}},
        {MM__OP_MATMUL, 2, {{2, {3, 8}}, {2, {3, 7}}}},
        {MM__OP_NORM, 2, {{2, {3, 8}}, {1, {3}}}},
        {MM__OP_PATCHES, 1, {{3, {3, 8, 8}}}},
        {MM__OP_UNFOLD1D, 1, {{2, {8, 8}}}},
        {MM__OP_ACT, 1, {{2, {0, 8}}}},
        {MM__OP_ACT, 1, {{4, {1 << 30, 1 << 30, 1 << 30, 8}}}},
        {MM__OP_SPLICE, 3, {{2, {3, 8}}, {2, {2, 8}}, {1, {2}}}}, /* the index is F32 */
        {MM__OP_ATTENTION, 3, {{3, {4, 3, 8}}, {3, {2, 9, 8}}, {3, {2, 9, 8}}}},
        {MM__OP_ATTENTION, 3, {{3, {4, 4, 8}}, {3, {2, 9, 7}}, {3, {2, 9, 8}}}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        mm__shape out;
        mm_error err;
        assert_int_equal(infer(wrong[i].op, &none, wrong[i].s, NULL, wrong[i].n, &out, &err), MM_E_ARG);
        assert_non_null(strstr(err.text, mm__op_name(wrong[i].op)));
    }
    mm__shape out;
    mm_error err;
    infer(MM__OP_ADD, &none, (mm__shape[]){mm__shape2(3, 8), mm__shape1(7)}, NULL, 2, &out, &err);
    assert_non_null(strstr(err.text, "a [3, 8] F32, b [7] F32"));
}

static void buckets_of_t5(void **state)
{
    static const struct { int64_t rel; int32_t want; } both[] = {{0, 0}, {-1, 1}, {-7, 7}, {-8, 8}, {-15, 9}, {-16, 10}, {-127, 15}, {-1000000, 15},
                                                                {1, 17}, {7, 23}, {8, 24}, {32, 28}, {64, 30}, {128, 31}};
    for (size_t i = 0; i < sizeof both / sizeof both[0]; i++) assert_int_equal(mm__t5_bucket(both[i].rel, 32, 128, true), both[i].want);
    assert_int_equal(mm__t5_bucket(5, 32, 128, false), 0);
    assert_int_equal(mm__t5_bucket(-15, 32, 128, false), 15);
    assert_int_equal(mm__t5_bucket(-16, 32, 128, false), 16);
    assert_int_equal(mm__t5_bucket(-500, 32, 128, false), 31);
}

static void activations(void **state)
{
    assert_float_equal(mm__act_apply(MM__ACT_GELU, 1.0f), 0.84134475f, 1e-7);
    assert_float_equal(mm__act_apply(MM__ACT_GELU, -6.0f), -5.919526e-9f, 1e-14);
    assert_float_equal(mm__act_apply(MM__ACT_GELU_TANH, 1.0f), 0.84119199f, 1e-7);
    assert_float_equal(mm__act_apply(MM__ACT_SILU, 2.0f), 1.76159416f, 1e-6);
    assert_float_equal(mm__act_apply(MM__ACT_GELU_QUICK, 1.0f), 0.84579577f, 1e-6);
    assert_float_equal(mm__act_apply(MM__ACT_RELU, -2.0f), 0.0f, 0);
}

static void run(mm__call *c) { mm__ref_of(c->op)(c, 0, mm__ref_units(c)); }

/* One visible key gives its value; none gives zeros; equal scores give the mean. */
static void attention_by_hand(void **state)
{
    float q[3 * 2] = {0}, k[4 * 2] = {1, 2, 3, 4, 5, 6, 7, 8}, v[4 * 3] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, out[3 * 3];
    int32_t span[3][2] = {{2, 3}, {3, 3}, {1, 3}};
    mm__call c = {.op = MM__OP_ATTENTION, .args = {.scale = 1.0f}};
    c.in[0] = mm__view_of(MM__F32, mm__shape3(3, 1, 2), q);
    c.in[1] = mm__view_of(MM__F32, mm__shape3(1, 4, 2), k);
    c.in[2] = mm__view_of(MM__F32, mm__shape3(1, 4, 3), v);
    c.in[3] = mm__view_of(MM__I32, mm__shape2(3, 2), span);
    c.out = mm__view_of(MM__F32, mm__shape2(3, 3), out);
    run(&c);
    const float want[9] = {7, 8, 9, 0, 0, 0, 5.5f, 6.5f, 7.5f};
    for (int i = 0; i < 9; i++) assert_float_equal(out[i], want[i], 1e-6);
}

static void rope_by_hand(void **state)
{
    float x[4] = {1, 0, 0, 2}, freq[2] = {1, 0}, out[4];
    int32_t pos[1] = {2};
    mm__call c = {.op = MM__OP_ROPE, .args = {.scale = 1.0f}};
    c.in[0] = mm__view_of(MM__F32, mm__shape3(1, 1, 4), x);
    c.in[1] = mm__view_of(MM__I32, mm__shape1(1), pos);
    c.in[2] = mm__view_of(MM__F32, mm__shape1(2), freq);
    c.out = mm__view_of(MM__F32, mm__shape3(1, 1, 4), out);
    run(&c);
    const float halves[4] = {cosf(2), 0, sinf(2), 2};
    for (int i = 0; i < 4; i++) assert_float_equal(out[i], halves[i], 1e-6);
    c.args.interleaved = 1;
    run(&c);
    const float pairs[4] = {cosf(2), sinf(2), 0, 2};
    for (int i = 0; i < 4; i++) assert_float_equal(out[i], pairs[i], 1e-6);
}

static void linear_by_hand(void **state)
{
    float x[2 * 2] = {1, 2, 3, 4}, w0[2] = {1, 1}, w1[4] = {2, 0, 0, -2}, bias[3] = {0.5f, 0, 0}, residual[6] = {10, 20, 30, 40, 50, 60}, out[6];
    mm__call c = {.op = MM__OP_LINEAR, .args = {.act = MM__ACT_RELU}};
    c.in[0] = mm__view_of(MM__F32, mm__shape2(2, 2), x);
    c.in[1] = mm__view_of(MM__F32, mm__shape1(3), bias);
    c.in[2] = mm__view_of(MM__F32, mm__shape2(2, 3), residual);
    c.in[3] = mm__view_of(MM__F32, mm__shape2(1, 2), w0);
    c.in[4] = mm__view_of(MM__F32, mm__shape2(2, 2), w1);
    c.out = mm__view_of(MM__F32, mm__shape2(2, 3), out);
    run(&c);
    const float want[6] = {13.5f, 22, 30, 47.5f, 56, 60};
    for (int i = 0; i < 6; i++) assert_float_equal(out[i], want[i], 1e-6);
}

static void windows_and_patches(void **state)
{
    float x[3 * 2] = {1, 2, 3, 4, 5, 6}, out[16];
    mm__call c = {.op = MM__OP_UNFOLD1D, .args = {.kernel = 3, .step = 2, .pad = 1}};
    c.in[0] = mm__view_of(MM__F32, mm__shape2(3, 2), x);
    c.out = mm__view_of(MM__F32, mm__shape2(2, 6), out);
    run(&c);
    const float rows[12] = {0, 1, 3, 0, 2, 4, 3, 5, 0, 4, 6, 0};
    for (int i = 0; i < 12; i++) assert_float_equal(out[i], rows[i], 0);
    c.args.channels_first = 1;
    c.in[0] = mm__view_of(MM__F32, mm__shape2(2, 3), x);
    run(&c);
    const float first[12] = {0, 1, 2, 0, 4, 5, 2, 3, 0, 5, 6, 0};
    for (int i = 0; i < 12; i++) assert_float_equal(out[i], first[i], 0);
    float image[2 * 2 * 4];
    for (int i = 0; i < 16; i++) image[i] = (float)i;
    mm__call p = {.op = MM__OP_PATCHES, .args = {.kernel = 2}};
    p.in[0] = mm__view_of(MM__F32, mm__shape3(2, 2, 4), image);
    p.out = mm__view_of(MM__F32, mm__shape2(2, 8), out);
    run(&p);
    const float second[8] = {2, 3, 6, 7, 10, 11, 14, 15};
    for (int i = 0; i < 8; i++) assert_float_equal(out[8 + i], second[i], 0);
}

/* Bicubic weights sum to one, and a doubled grid of a constant slope keeps its values at the centre. */
static void resize_keeps_constants(void **state)
{
    float x[4 * 4], out[8 * 8];
    for (int i = 0; i < 16; i++) x[i] = 3.0f;
    mm__call c = {.op = MM__OP_RESIZE, .args = {.out_h = 8, .out_w = 8}};
    c.in[0] = mm__view_of(MM__F32, mm__shape3(4, 4, 1), x);
    c.out = mm__view_of(MM__F32, mm__shape3(8, 8, 1), out);
    run(&c);
    for (int i = 0; i < 64; i++) assert_float_equal(out[i], 3.0f, 1e-6);
    for (int i = 0; i < 16; i++) x[i] = i % 4 == 1 ? 1.0f : 0.0f;
    run(&c);
    /* output column 3 lies at 1.25: its neighbour 1 is 0.25 away; (a + 2) t^3 - (a + 3) t^2 + 1 with a = -0.75 */
    assert_float_equal(out[3 * 8 + 3], 1.25 * 0.015625 - 2.25 * 0.0625 + 1.0, 1e-6);
}

/* A shrinking and a growing axis at once, against PyTorch 2.8's interpolate(mode="bicubic", antialias=True). */
static void resize_antialiased(void **state)
{
    static const float want[18] = {-1.7883f, 2.9035f,  8.3905f,  13.6257f, 19.1127f, 23.8045f, 12.9439f, 15.9313f, 19.4249f,
                                   22.7582f, 26.2519f, 29.2392f, 57.7188f, 59.0017f, 60.5020f, 61.9335f, 63.4338f, 64.7166f};
    float x[7 * 5], out[3 * 6];
    for (int i = 0; i < 7; i++)
        for (int j = 0; j < 5; j++) x[5 * i + j] = (float)(3 * i * i - 5 * i + 7 * j - i * j);
    mm__call c = {.op = MM__OP_RESIZE, .args = {.out_h = 3, .out_w = 6, .antialias = 1}};
    c.in[0] = mm__view_of(MM__F32, mm__shape3(7, 5, 1), x);
    c.out = mm__view_of(MM__F32, mm__shape3(3, 6, 1), out);
    run(&c);
    for (int i = 0; i < 18; i++) assert_float_equal(out[i], want[i], 1e-4);
}

/* Rows named by ids, spliced, out of range. */
static void rows_and_splices(void **state)
{
    float table[3 * 2] = {1, 2, 3, 4, 5, 6}, out[3 * 2], rows[2 * 2] = {7, 7, 8, 8};
    int32_t ids[3] = {2, -1, 0}, index[2] = {1, 9};
    mm__call c = {.op = MM__OP_ROWS, .args = {.scale = 2.0f}};
    c.in[0] = mm__view_of(MM__F32, mm__shape2(3, 2), table);
    c.in[1] = mm__view_of(MM__I32, mm__shape1(3), ids);
    c.out = mm__view_of(MM__F32, mm__shape2(3, 2), out);
    run(&c);
    const float want[6] = {10, 12, 0, 0, 2, 4};
    for (int i = 0; i < 6; i++) assert_float_equal(out[i], want[i], 0);
    mm__call s = {.op = MM__OP_SPLICE};
    s.in[0] = c.in[0];
    s.in[1] = mm__view_of(MM__F32, mm__shape2(2, 2), rows);
    s.in[2] = mm__view_of(MM__I32, mm__shape1(2), index);
    s.out = c.out;
    run(&s);
    const float spliced[6] = {1, 2, 7, 7, 5, 6};
    for (int i = 0; i < 6; i++) assert_float_equal(out[i], spliced[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_follow_the_rules), cmocka_unit_test(wrong_shapes_are_refused), cmocka_unit_test(buckets_of_t5),
        cmocka_unit_test(activations),             cmocka_unit_test(attention_by_hand),        cmocka_unit_test(rope_by_hand),
        cmocka_unit_test(linear_by_hand),          cmocka_unit_test(windows_and_patches),      cmocka_unit_test(resize_keeps_constants),
        cmocka_unit_test(resize_antialiased),
        cmocka_unit_test(rows_and_splices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
