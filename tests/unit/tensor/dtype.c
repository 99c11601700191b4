/* Float formats, sizes and views. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/tensor/shape.h"
#include <math.h>
#include <string.h>

static float f32(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static uint32_t bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static void f16_round_trip(void **state)
{
    for (uint32_t h = 0; h < 65536; h++) assert_int_equal(mm__f32_to_f16(mm__f16_to_f32((uint16_t)h)), h);
}

/* The F32 numbers around each midpoint of two F16 neighbours: below, on, above. */
static void f16_rounds_to_even(void **state)
{
    for (uint32_t h = 0; h < 0x7bff; h++) {
        const float low = mm__f16_to_f32((uint16_t)h), high = mm__f16_to_f32((uint16_t)(h + 1)), mid = low + (high - low) / 2;
        assert_int_equal(mm__f32_to_f16(mid), h & 1 ? h + 1 : h);
        assert_int_equal(mm__f32_to_f16(nextafterf(mid, 0)), h);
        assert_int_equal(mm__f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
        assert_int_equal(mm__f32_to_f16(-mid), (h & 1 ? h + 1 : h) | 0x8000);
    }
}

static void f16_edges(void **state)
{
    assert_int_equal(bits(mm__f16_to_f32(0x3c00)), bits(1.0f));
    assert_int_equal(bits(mm__f16_to_f32(0x0001)), bits(0x1p-24f));
    assert_int_equal(bits(mm__f16_to_f32(0x03ff)), bits(0x3ffp-24f));
    assert_int_equal(bits(mm__f16_to_f32(0x7bff)), bits(65504.0f));
    assert_int_equal(bits(mm__f16_to_f32(0x8000)), 0x80000000);
    assert_int_equal(mm__f32_to_f16(65519.99f), 0x7bff);
    assert_int_equal(mm__f32_to_f16(65520.0f), 0x7c00);
    assert_int_equal(mm__f32_to_f16(INFINITY), 0x7c00);
    assert_int_equal(mm__f32_to_f16(-INFINITY), 0xfc00);
    assert_int_equal(mm__f32_to_f16(0x1p-25f), 0);
    assert_int_equal(mm__f32_to_f16(nextafterf(0x1p-25f, 1)), 1);
    assert_true(isnan(mm__f16_to_f32(mm__f32_to_f16(f32(0x7f800001)))));
    assert_true(isnan(mm__f16_to_f32(mm__f32_to_f16(f32(0xffc00000)))));
}

static void bf16(void **state)
{
    for (uint32_t b = 0; b < 65536; b++) {
        const float f = mm__bf16_to_f32((uint16_t)b);
        if (isnan(f)) assert_true(isnan(mm__bf16_to_f32(mm__f32_to_bf16(f))));
        else assert_int_equal(mm__f32_to_bf16(f), b);
    }
    assert_int_equal(mm__f32_to_bf16(f32(0x3f808000)), 0x3f80); /* ties go to even */
    assert_int_equal(mm__f32_to_bf16(f32(0x3f818000)), 0x3f82);
    assert_int_equal(mm__f32_to_bf16(f32(0x3f808001)), 0x3f81);
    assert_int_equal(mm__f32_to_bf16(f32(0x7f7fffff)), 0x7f80);
    assert_true(isnan(mm__bf16_to_f32(mm__f32_to_bf16(f32(0x7f800001)))));
}

static void integers_unpack_by_value(void **state)
{
    const uint8_t raw[] = {0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}; /* minus one, unaligned */
    const mm__dtype types[] = {MM__I8, MM__I16, MM__I32, MM__I64};
    float v;
    for (int i = 0; i < 4; i++) {
        mm__unpack_row(types[i], raw + 1, &v, 1);
        assert_true(v == -1.0f);
    }
    mm__unpack_row(MM__U8, raw + 1, &v, 1);
    assert_true(v == 255.0f);
    const double d = -2.5;
    uint8_t at[9];
    memcpy(at + 1, &d, 8);
    mm__unpack_row(MM__F64, at + 1, &v, 1);
    assert_true(v == -2.5f);
}

static void packing(void **state)
{
    float x[64], y[64];
    uint8_t packed[256];
    for (int i = 0; i < 64; i++) x[i] = (float)(i - 20) * 0.37f;
    const mm__dtype types[] = {MM__F32, MM__F16, MM__BF16, MM__Q8_0};
    const float step[] = {0, 0x1p-11f, 0x1p-8f, 0.5f / 127 * 1.002f};
    for (int t = 0; t < 4; t++) {
        assert_true(mm__pack_row(types[t], x, packed, 64));
        mm__unpack_row(types[t], packed, y, 64);
        for (int i = 0; i < 64; i++) assert_true(fabsf(x[i] - y[i]) <= step[t] * 43 * 0.37f);
    }
    assert_false(mm__pack_row(MM__Q8_0, x, packed, 33));
    assert_false(mm__pack_row(MM__Q4_K, x, packed, 256));
    x[0] = NAN;
    x[1] = INFINITY;
    assert_true(mm__pack_row(MM__Q8_0, x, packed, 32));
    /* d = 1 exactly: halves round away from zero */
    for (int i = 0; i < 32; i++) x[i] = 0;
    x[0] = 127;
    x[1] = 2.5f;
    x[2] = -2.5f;
    assert_true(mm__pack_row(MM__Q8_0, x, packed, 32));
    assert_int_equal(packed[1], 0x3c);
    assert_int_equal((int8_t)packed[3], 3);
    assert_int_equal((int8_t)packed[4], -3);
}

static void sizes(void **state)
{
    size_t n;
    mm__shape s = mm__shape2(3, 512);
    char text[96];
    for (int t = 0; t < MM__N_DTYPE; t++) {
        const mm__dtype_info *info = mm__dtype_info_of((mm__dtype)t);
        assert_non_null(info->name);
        assert_true(mm__tensor_bytes((mm__dtype)t, &s, &n));
        assert_int_equal(n, 3 * 512 / info->block * info->bytes);
    }
    assert_string_equal(mm__shape_str(&s, text), "[3, 512]");
    s = mm__shape2(2, 100);
    assert_false(mm__tensor_bytes(MM__Q4_0, &s, &n)); /* no multiple of the block */
    s = (mm__shape){0};
    assert_true(mm__tensor_bytes(MM__F32, &s, &n) && n == 4);
    s = mm__shape2(0, 7);
    assert_true(mm__tensor_bytes(MM__F32, &s, &n) && n == 0);
    s = mm__shape2(7, 0);
    assert_true(mm__tensor_bytes(MM__F32, &s, &n) && n == 0);
    s = mm__shape2(-1, 4);
    assert_false(mm__tensor_bytes(MM__F32, &s, &n));
    s = mm__shape4(INT64_MAX, 2, 1, 1);
    assert_false(mm__tensor_bytes(MM__U8, &s, &n));
    s = mm__shape2((int64_t)1 << 42, (int64_t)1 << 20);
    assert_false(mm__tensor_bytes(MM__F32, &s, &n));
    s = mm__shape4(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX);
    assert_string_equal(mm__shape_str(&s, text), "[9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807]");
    s.n = 5;
    assert_false(mm__tensor_bytes(MM__U8, &s, &n));
}

static void views(void **state)
{
    float data[24];
    mm__view v = mm__view_of(MM__F32, mm__shape3(2, 3, 4), data);
    assert_int_equal(v.stride[0], 12);
    assert_int_equal(v.stride[1], 4);
    assert_int_equal(v.stride[2], 1);
    assert_int_equal(mm__view_rows(&v), 6);
    assert_ptr_equal(mm__view_row(&v, 4), data + 16);
    const mm__view turned = {MM__F32, mm__shape3(3, 2, 4), {4, 12, 1, 0}, data};
    assert_ptr_equal(mm__view_row(&turned, 1), data + 12);
    assert_ptr_equal(mm__view_row(&turned, 2), data + 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f16_round_trip), cmocka_unit_test(f16_rounds_to_even), cmocka_unit_test(f16_edges), cmocka_unit_test(bf16),
        cmocka_unit_test(integers_unpack_by_value), cmocka_unit_test(packing), cmocka_unit_test(sizes), cmocka_unit_test(views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
