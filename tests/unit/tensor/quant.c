/* Every block format against recorded values: rows 0, 1 and last of the tensors of one checkpoint in each type, bit by
 * bit. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/file/gguf.h"
#include "../../../src/base/alloc.h"
#include <stdio.h>
#include <string.h>

#define DIR "tests/golden/llama_quant/"

static const char *const files[] = {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K"};
static const char *const tensors[] = {"blk.0.attn_k.weight", "blk.0.attn_v.weight", "blk.0.ffn_down.weight", "token_embd.weight"};

static void compare_tensor(const mm__weight *t, const mm__weight *want, const char *label)
{
    const int64_t cols = mm__shape_cols(&t->shape), rows[] = {0, 1, mm__shape_rows(&t->shape) - 1};
    size_t bytes;
    uint8_t packed[2048];
    float got[512], expected[512];
    assert_true(mm__dtype_row_bytes(t->dtype, cols, &bytes) && bytes <= sizeof packed && cols <= 512);
    for (int r = 0; r < 3; r++) {
        assert_int_equal(mm__weight_read(t, (size_t)rows[r] * bytes, packed, bytes, NULL), MM_OK);
        assert_int_equal(mm__weight_read(want, (size_t)r * (size_t)cols * 4, expected, (size_t)cols * 4, NULL), MM_OK);
        mm__unpack_row(t->dtype, packed, got, cols);
        if (memcmp(got, expected, (size_t)cols * 4)) fail_msg("%s: %s: row %d differs", label, t->name, (int)rows[r]);
    }
}

static void golden(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    const uint64_t live = mm__mem_live(mem);
    bool seen[MM__N_DTYPE] = {false};
    mm_error err = {.size = sizeof err};
    mm__weights *expected, *w;
    mm__gguf *g;
    assert_int_equal(mm__weights_create(mem, &expected, NULL), MM_OK);
    if (mm__safetensors_add(&(mm__files){.mem = mem}, DIR "expected.safetensors", expected, &err)) fail_msg("%s", err.text);
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        char path[96], name[96];
        snprintf(path, sizeof path, DIR "model-%s.gguf", files[f]);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        if (mm__gguf_open(&(mm__files){.mem = mem}, path, &g, &err) || mm__gguf_add_weights(g, w, &err)) fail_msg("%s", err.text);
        for (size_t k = 0; k < sizeof tensors / sizeof *tensors; k++) {
            snprintf(name, sizeof name, "%s/dequant.%s.rows_0_1_last", files[f], tensors[k]);
            const mm__weight *t = mm__weights_find(w, tensors[k]), *want = mm__weights_find(expected, name);
            assert_non_null(t);
            assert_non_null(want);
            seen[t->dtype] = true;
            compare_tensor(t, want, files[f]);
        }
        mm__gguf_close(g);
        mm__weights_destroy(w);
    }
    mm__weights_destroy(expected);
    for (int t = MM__Q4_0; t < MM__N_DTYPE; t++)
        if (!seen[t]) fail_msg("no tensor of type %s was compared", mm__dtype_info_of((mm__dtype)t)->name);
    assert_int_equal(mm__mem_live(mem), live);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
