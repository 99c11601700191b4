/* The Vulkan backend while the driver fails: functions that stand between the library and the driver return an error at the
 * N-th call, for every N of a short life of a device, and for every kind of error. Each time the status must be a documented
 * one, nothing may be lost, and the device must open again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/backend/cpu/cpu.h"
#include "../../fault/vulkan.h"
#include "driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- a short life ---- */

enum { T = 5, K = 64, N = 48 };

static float expected[T * N];

static float x_at(int i) { return (float)((i * 37) % 19 - 9) * 0.125f; }
static float w_at(int i) { return (float)((i * 53) % 23 - 11) * 0.0625f; }

static mm_status read_weights(void *ctx, int64_t row, int64_t n, void *dst, mm_error *err)
{
    for (int64_t i = 0; i < n * K; i++) ((float *)dst)[i] = w_at((int)(row * K + i));
    return MM_OK;
}

/* Multiplies, activates on top, and copies out. */
static mm_status compute(mm__backend *b, const mm__tensor *w, mm__arena *a, float *out, mm_error *err)
{
    float x[T * K];
    unsigned char *base = a->data;
    for (int i = 0; i < T * K; i++) x[i] = x_at(i);
    mm_status s = b->ops->write(b, base, x, sizeof x, err);
    if (s < 0) return s;
    const mm__view y = mm__view_of(MM__F32, mm__shape2(T, N), base + sizeof x);
    const mm__call calls[] = {
        {.op = MM__OP_LINEAR, .in = {[0] = mm__view_of(MM__F32, mm__shape2(T, K), base), [3] = mm__view_of(w->dtype, w->shape, w->data)}, .out = y},
        {.op = MM__OP_ACT, .args.act = MM__ACT_RELU, .in = {y}, .out = y, .wait = true},
        {.op = MM__OP_SCALE, .args.scale = 2.0f, .in = {y}, .out = y, .wait = true},
    };
    s = b->ops->run(b, calls, 3, NULL, NULL, err);
    return s < 0 ? s : b->ops->read(b, y.data, out, T * N * sizeof *out, err);
}

/* Opens the device, loads, computes, closes. */
static mm_status life(bool staged, double wait_seconds, float *out, mm_error *err)
{
    const mm__vulkan_options o = {.get_proc = shim_proc, .staged = staged, .wait_seconds = wait_seconds, .submit_work = 1.0};
    const mm__upload u = {.name = "w", .dtype = MM__F32, .shape = mm__shape2(N, K), .use = MM__USE_LINEAR, .read = read_weights};
    mm__backend *cpu, *b;
    mm__tensor *w = NULL, *cache = NULL;
    mm__arena a = {0};
    assert_int_equal(mm__cpu_create(mem, NULL, NULL, 1, NULL, true, &cpu, NULL), MM_OK);
    mm_status s = mm__vulkan_create(mem, NULL, ":0", cpu, true, &o, &b, err);
    if (s < 0) {
        mm__backend_destroy(cpu);
        return s;
    }
    s = b->ops->upload(b, &u, &w, err);
    if (s >= 0) s = b->ops->state(b, (mm__where){0}, MM__F16, mm__shape3(2, 8, 16), &cache, err);
    if (s >= 0) s = b->ops->arena_reserve(b, &a, (T * K + T * N) * sizeof(float), err);
    if (s >= 0) s = compute(b, w, &a, out, err);
    b->ops->arena_free(&a);
    b->ops->tensor_free(cache);
    b->ops->tensor_free(w);
    mm__backend_destroy(b);
    return s;
}

static bool right(const float *y)
{
    for (int i = 0; i < T * N; i++)
        if (!(fabsf(y[i] - expected[i]) <= 1e-4f)) return false;
    return true;
}

/* ---- tests ---- */

static void every_call_may_fail(void **state)
{
    static const VkResult errors[] = {VK_ERROR_DEVICE_LOST, VK_ERROR_OUT_OF_DEVICE_MEMORY, VK_ERROR_INITIALIZATION_FAILED, VK_TIMEOUT};
    float y[T * N];
    mm_error err = {.size = sizeof err};
    if (!driver) return;
    for (int staged = 0; staged < 2; staged++) {
        shim.fail_at = 0;
        for (int warm = 0; warm < 2; warm++) { /* the first may wait more often, for the driver compiles */
            shim.at = 0;
            if (life(staged, 0.0, y, &err) != MM_OK) fail_msg("undisturbed: %s", err.text);
            assert_true(right(y));
        }
        const int calls = shim.at;
        int failed = 0;
        for (int n = 1; n <= calls; n++)
            for (size_t e = 0; e < sizeof errors / sizeof *errors; e++) {
                shim.at = 0;
                shim.fail_at = n;
                shim.error = errors[e];
                const mm_status s = life(staged, 0.0, y, &err);
                if (s == MM_OK && !right(y)) fail_msg("call %d, error %d: success, and a wrong result", n, (int)errors[e]);
                if (s != MM_OK && s != MM_E_DEVICE && s != MM_E_NOMEM) fail_msg("call %d, error %d: status %d, %s", n, (int)errors[e], (int)s, err.text);
                if (s != MM_OK && !err.text[0]) fail_msg("call %d, error %d: no reason given", n, (int)errors[e]);
                if (mm__mem_live(mem) != empty) fail_msg("call %d, error %d: memory was not freed", n, (int)errors[e]);
                if (shim.memories) fail_msg("call %d, error %d: memory of the device was not freed", n, (int)errors[e]);
                failed += s != MM_OK;
            }
        print_message("%d calls, %d of %d lives ended early\n", calls, failed, calls * 4);
        assert_true(failed > calls);
    }
    shim.fail_at = 0;
    assert_int_equal(life(false, 0.0, y, &err), MM_OK);
    assert_true(right(y));
}

/* The device counts as lost, and what it might still use is left alone: so this leaks, on purpose and within the driver. */
static void no_wait_is_endless(void **state)
{
    float y[T * N];
    mm_error err = {.size = sizeof err};
    const char *sanitized = getenv("MM_TEST_SLOW");
    if (!driver || (sanitized && *sanitized)) return;
    const double start = mm__os_now();
    shim.never_done = shim.from_on = true;
    shim.fail_at = 1;
    assert_int_equal(life(false, 0.2, y, &err), MM_E_DEVICE);
    shim.never_done = shim.from_on = false;
    shim.fail_at = 0;
    if (!strstr(err.text, "not answered")) fail_msg("%s", err.text);
    assert_true(mm__os_now() - start < 30.0);
    assert_int_equal(life(false, 0.0, y, &err), MM_OK);
    assert_true(right(y));
}

static int open_shim(void **state)
{
    for (int t = 0; t < T; t++)
        for (int n = 0; n < N; n++) {
            float sum = 0.0f;
            for (int k = 0; k < K; k++) sum += x_at(t * K + k) * w_at(n * K + k);
            expected[t * N + n] = sum > 0.0f ? 2.0f * sum : 0.0f;
        }
    const int status = open_driver(state);
    shim.driver = driver;
    return status;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(no_wait_is_endless),
    };
    return cmocka_run_group_tests(tests, open_shim, close_driver);
}
