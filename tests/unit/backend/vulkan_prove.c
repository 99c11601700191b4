/* The self-test of the Vulkan backend: every family passes on a driver that works, and one whose shader the driver gets wrong is
 * turned off, reported, and done by the processor, so that answers stay right. The driver errs because functions that stand
 * before it give it the code of another shader, or refuse one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/backend/cpu/cpu.h"
#include "../../../src/backend/vulkan/pipeline.h"
#include "driver.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- a driver that errs ---- */

static struct {
    const char *wrong, *in_place; /* shader whose code is replaced, and by which; NULL: none. The same: it is refused */
    int made;                     /* shader modules */
} shim;

static const mm__vk_shader *shader_named(const char *name)
{
    for (int i = 0; i < MM__VK_N_SHADER; i++)
        if (strcmp(mm__vk_shaders[i].name, name) == 0) return &mm__vk_shaders[i];
    fail_msg("there is no shader %s", name);
    return NULL;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_module(VkDevice d, const VkShaderModuleCreateInfo *info, const VkAllocationCallbacks *a, VkShaderModule *out);
static stand_in replaced[] = {{.name = "vkCreateShaderModule", .ours = (PFN_vkVoidFunction)create_module}, {0}};

static VKAPI_ATTR VkResult VKAPI_CALL create_module(VkDevice d, const VkShaderModuleCreateInfo *info, const VkAllocationCallbacks *a, VkShaderModule *out)
{
    VkShaderModuleCreateInfo other = *info;
    shim.made++;
    if (shim.wrong && info->pCode == shader_named(shim.wrong)->code) {
        if (shim.wrong == shim.in_place) return VK_ERROR_INITIALIZATION_FAILED;
        other.pCode = shader_named(shim.in_place)->code;
        other.codeSize = shader_named(shim.in_place)->bytes;
    }
    return ((PFN_vkCreateShaderModule)replaced[0].real)(d, &other, a, out);
}

/* ---- helpers ---- */

static mm__backend *open_device(const char *wrong, const char *in_place)
{
    const mm__vulkan_options o = {.get_proc = get_proc};
    const mm__log log = {.fn = keep_line, .level = MM_LOG_WARN};
    mm__backend *cpu, *b;
    mm_error err = {.size = sizeof err};
    if (!driver) return NULL;
    stand_ins = replaced;
    shim.wrong = wrong;
    shim.in_place = in_place;
    shim.made = 0;
    logged[0] = 0;
    assert_int_equal(mm__cpu_create(mem, NULL, NULL, 1, NULL, true, &cpu, &err), MM_OK);
    if (mm__vulkan_create(mem, &log, ":0", cpu, false, &o, &b, &err) != MM_OK) fail_msg("%s", err.text);
    return b;
}

static mm__proof proof_named(mm__backend *b, const char *name)
{
    mm__proof p;
    for (unsigned i = 0; b->ops->prove(b, i, &p, NULL) == MM_OK; i++)
        if (strcmp(p.name, name) == 0) return p;
    fail_msg("there is no self-test of %s", name);
    return p;
}

static uint64_t fallen(mm__backend *b, const char *op, const char *why)
{
    mm__count c;
    for (unsigned i = 0; b->ops->fallbacks(b, i, &c); i++)
        if (strcmp(c.key, op) == 0 && strstr(c.what, why)) return c.n;
    return 0;
}

enum { ROWS = 3, COLS = 40 };

/* a * b where the shim spoils the shader of MUL. */
static void multiply(mm__backend *b)
{
    float x[2][ROWS * COLS], y[ROWS * COLS];
    mm__arena a = {0};
    for (int i = 0; i < ROWS * COLS; i++) x[0][i] = 0.25f * (float)(i % 9 - 4), x[1][i] = 0.5f * (float)(i % 7 - 3);
    assert_int_equal(b->ops->arena_reserve(b, &a, 3 * sizeof y, NULL), MM_OK);
    unsigned char *base = a.data;
    assert_int_equal(b->ops->write(b, base, x, sizeof x, NULL), MM_OK);
    const mm__shape s = mm__shape2(ROWS, COLS);
    const mm__call c = {.op = MM__OP_MUL, .in = {mm__view_of(MM__F32, s, base), mm__view_of(MM__F32, s, base + sizeof y)}, .out = mm__view_of(MM__F32, s, base + 2 * sizeof y)};
    assert_true(b->ops->supports(b, &c));
    assert_int_equal(b->ops->run(b, &c, 1, NULL, NULL, NULL), MM_OK);
    assert_int_equal(b->ops->read(b, base + 2 * sizeof y, y, sizeof y, NULL), MM_OK);
    for (int i = 0; i < ROWS * COLS; i++) assert_true(y[i] == x[0][i] * x[1][i]);
    b->ops->arena_free(&a);
}

/* ---- tests ---- */

static void every_family_passes(void **state)
{
    mm__backend *b = open_device(NULL, NULL);
    mm__proof p;
    mm_error err = {.size = sizeof err};
    unsigned n = 0;
    if (!b) return;
    for (; b->ops->prove(b, n, &p, &err) == MM_OK; n++) {
        if (strcmp(p.verdict, "right") != 0) fail_msg("%s: %s, NMSE %.3g", p.name, p.verdict, p.error);
        assert_true(p.error <= p.tolerance && p.tolerance <= 1e-4);
    }
    print_message("%u families\n", n);
    assert_true(n >= 70);
    assert_string_equal(logged, "");
    mm__backend_destroy(b);
}

static void a_wrong_shader_is_turned_off(void **state)
{
    mm__backend *b = open_device("mul", "add");
    if (!b) return;
    multiply(b);
    multiply(b);
    assert_int_equal(fallen(b, "MUL", "self-test"), 2);
    const mm__proof mul = proof_named(b, "MUL"), add = proof_named(b, "ADD");
    assert_string_equal(mul.verdict, "off");
    assert_true(mul.error > 0.1);
    assert_string_equal(add.verdict, "right");
    assert_non_null(strstr(logged, "backend: self-test: MUL differs on "));
    assert_null(strstr(strstr(logged, "MUL") + 3, "MUL")); /* said once */
    mm__backend_destroy(b);
}

static void a_refused_shader_is_turned_off(void **state)
{
    static const char name[] = "mul";
    mm__backend *b = open_device(name, name);
    if (!b) return;
    multiply(b);
    assert_string_equal(proof_named(b, "MUL").verdict, "off");
    assert_non_null(strstr(logged, "MUL does not run on "));
    mm__backend_destroy(b);
}

/* One type of weights is off, the others are not. */
static void families_are_apart(void **state)
{
    mm__backend *b = open_device("linear_vec_q4_0", "linear_vec_q4_1");
    if (!b) return;
    assert_string_equal(proof_named(b, "LINEAR Q4_0, one row").verdict, "off");
    assert_string_equal(proof_named(b, "LINEAR Q4_1, one row").verdict, "right");
    assert_string_equal(proof_named(b, "LINEAR Q4_0, many rows").verdict, "right");
    mm__backend_destroy(b);
}

static bool listed(mm__backend *b, const char *name)
{
    mm__proof p;
    for (unsigned i = 0; b->ops->prove(b, i, &p, NULL) == MM_OK; i++)
        if (strcmp(p.name, name) == 0) return true;
    return false;
}

/* Variants are families of their own. Where one is wrong, the shader without it does its work, and the processor does not. */
static void a_wrong_variant_is_replaced(void **state)
{
    mm__backend *b = open_device("l2norm_sg", "softmax_sg");
    mm__arena a = {0};
    float x[8] = {3.0f, 0.0f, 4.0f}, y[8];
    if (!b) return;
    if (listed(b, "LINEAR Q4_0, many rows, F16")) assert_true(proof_named(b, "LINEAR Q4_0, many rows, F16").tolerance > proof_named(b, "LINEAR Q4_0, many rows").tolerance);
    if (!listed(b, "L2NORM, subgroups")) {
        print_message("skipped: this device has no sums over subgroups\n");
        mm__backend_destroy(b);
        return;
    }
    assert_string_equal(proof_named(b, "L2NORM, subgroups").verdict, "off");
    assert_string_equal(proof_named(b, "L2NORM").verdict, "right");
    assert_string_equal(proof_named(b, "LINEAR Q4_0, one row, subgroups").verdict, "right");
    assert_string_equal(proof_named(b, "ATTENTION F16, one row, subgroups").verdict, "right");
    assert_non_null(strstr(logged, "so the plain shader does it"));
    assert_int_equal(b->ops->arena_reserve(b, &a, sizeof x + sizeof y, NULL), MM_OK);
    assert_int_equal(b->ops->write(b, a.data, x, sizeof x, NULL), MM_OK);
    const mm__call c = {.op = MM__OP_L2NORM, .args.eps = 1e-12f, .in = {mm__view_of(MM__F32, mm__shape2(1, 8), a.data)},
                        .out = mm__view_of(MM__F32, mm__shape2(1, 8), (unsigned char *)a.data + sizeof x)};
    assert_int_equal(b->ops->run(b, &c, 1, NULL, NULL, NULL), MM_OK);
    assert_int_equal(b->ops->read(b, c.out.data, y, sizeof y, NULL), MM_OK);
    assert_true(fabsf(y[0] - 0.6f) < 1e-6f && fabsf(y[2] - 0.8f) < 1e-6f);
    assert_int_equal(fallen(b, "L2NORM", ""), 0);
    b->ops->arena_free(&a);
    mm__backend_destroy(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family_passes),
        cmocka_unit_test(a_wrong_shader_is_turned_off),
        cmocka_unit_test(a_refused_shader_is_turned_off),
        cmocka_unit_test(families_are_apart),
        cmocka_unit_test(a_wrong_variant_is_replaced),
    };
    return cmocka_run_group_tests(tests, open_driver, close_driver);
}
