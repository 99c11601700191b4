/* The Vulkan backend while the driver fails: functions that stand between the library and the driver return an error at the
 * N-th call, for every N of a short life of a device, and for every kind of error. Each time the status must be a documented
 * one, nothing may be lost, and the device must open again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/backend/cpu/cpu.h"
#include "driver.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- the shim ---- */

static struct {
    PFN_vkGetDeviceProcAddr get_device;
    PFN_vkFreeMemory free_memory;
    int at, fail_at;     /* calls so far; the one that fails, 0: none */
    VkResult error;
    bool never_done;     /* every wait times out */
    int memories;        /* allocated and not freed */
} shim;

static bool fails(void) { return ++shim.at == shim.fail_at; }

/* Every function that reports errors: name, parameters, arguments. */
#define FALLIBLE(X)                                                                                                                          \
    X(CreateInstance, (const VkInstanceCreateInfo *a, const VkAllocationCallbacks *b, VkInstance *c), (a, b, c))                             \
    X(EnumeratePhysicalDevices, (VkInstance a, uint32_t *b, VkPhysicalDevice *c), (a, b, c))                                                 \
    X(CreateDevice, (VkPhysicalDevice a, const VkDeviceCreateInfo *b, const VkAllocationCallbacks *c, VkDevice *d), (a, b, c, d))            \
    X(MapMemory, (VkDevice a, VkDeviceMemory b, VkDeviceSize c, VkDeviceSize d, VkMemoryMapFlags e, void **f), (a, b, c, d, e, f))           \
    X(CreateBuffer, (VkDevice a, const VkBufferCreateInfo *b, const VkAllocationCallbacks *c, VkBuffer *d), (a, b, c, d))                    \
    X(BindBufferMemory, (VkDevice a, VkBuffer b, VkDeviceMemory c, VkDeviceSize d), (a, b, c, d))                                            \
    X(CreateShaderModule, (VkDevice a, const VkShaderModuleCreateInfo *b, const VkAllocationCallbacks *c, VkShaderModule *d), (a, b, c, d))  \
    X(CreatePipelineCache, (VkDevice a, const VkPipelineCacheCreateInfo *b, const VkAllocationCallbacks *c, VkPipelineCache *d), (a, b, c, d)) \
    X(CreateDescriptorSetLayout, (VkDevice a, const VkDescriptorSetLayoutCreateInfo *b, const VkAllocationCallbacks *c, VkDescriptorSetLayout *d), (a, b, c, d)) \
    X(CreatePipelineLayout, (VkDevice a, const VkPipelineLayoutCreateInfo *b, const VkAllocationCallbacks *c, VkPipelineLayout *d), (a, b, c, d)) \
    X(CreateComputePipelines, (VkDevice a, VkPipelineCache b, uint32_t c, const VkComputePipelineCreateInfo *d, const VkAllocationCallbacks *e, VkPipeline *f), (a, b, c, d, e, f)) \
    X(CreateDescriptorPool, (VkDevice a, const VkDescriptorPoolCreateInfo *b, const VkAllocationCallbacks *c, VkDescriptorPool *d), (a, b, c, d)) \
    X(ResetDescriptorPool, (VkDevice a, VkDescriptorPool b, VkDescriptorPoolResetFlags c), (a, b, c))                                        \
    X(AllocateDescriptorSets, (VkDevice a, const VkDescriptorSetAllocateInfo *b, VkDescriptorSet *c), (a, b, c))                             \
    X(CreateCommandPool, (VkDevice a, const VkCommandPoolCreateInfo *b, const VkAllocationCallbacks *c, VkCommandPool *d), (a, b, c, d))     \
    X(AllocateCommandBuffers, (VkDevice a, const VkCommandBufferAllocateInfo *b, VkCommandBuffer *c), (a, b, c))                             \
    X(BeginCommandBuffer, (VkCommandBuffer a, const VkCommandBufferBeginInfo *b), (a, b))                                                    \
    X(EndCommandBuffer, (VkCommandBuffer a), (a))                                                                                            \
    X(CreateFence, (VkDevice a, const VkFenceCreateInfo *b, const VkAllocationCallbacks *c, VkFence *d), (a, b, c, d))                       \
    X(ResetFences, (VkDevice a, uint32_t b, const VkFence *c), (a, b, c))                                                                    \
    X(QueueSubmit, (VkQueue a, uint32_t b, const VkSubmitInfo *c, VkFence d), (a, b, c, d))

#define WRAPPER(name, parameters, arguments)                       \
    static PFN_vk##name real_##name;                               \
    static VKAPI_ATTR VkResult VKAPI_CALL shim_##name parameters   \
    {                                                              \
        return fails() ? shim.error : real_##name arguments;       \
    }
FALLIBLE(WRAPPER)
#undef WRAPPER

static PFN_vkAllocateMemory real_AllocateMemory;
static VKAPI_ATTR VkResult VKAPI_CALL shim_AllocateMemory(VkDevice a, const VkMemoryAllocateInfo *b, const VkAllocationCallbacks *c, VkDeviceMemory *d)
{
    const VkResult r = fails() ? shim.error : real_AllocateMemory(a, b, c, d);
    if (r == VK_SUCCESS) shim.memories++;
    return r;
}

static VKAPI_ATTR void VKAPI_CALL shim_FreeMemory(VkDevice a, VkDeviceMemory b, const VkAllocationCallbacks *c)
{
    shim.memories--;
    shim.free_memory(a, b, c);
}

static PFN_vkWaitForFences real_WaitForFences;
static VKAPI_ATTR VkResult VKAPI_CALL shim_WaitForFences(VkDevice a, uint32_t b, const VkFence *c, VkBool32 d, uint64_t e)
{
    if (shim.never_done) return VK_TIMEOUT;
    return fails() ? shim.error : real_WaitForFences(a, b, c, d, e);
}

static PFN_vkVoidFunction replace(const char *name, PFN_vkVoidFunction real);

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL shim_GetDeviceProcAddr(VkDevice device, const char *name)
{
    return replace(name, shim.get_device(device, name));
}

/* Ours in place of the driver's. */
static PFN_vkVoidFunction replace(const char *name, PFN_vkVoidFunction real)
{
#define REPLACE(function, parameters, arguments)                \
    if (strcmp(name, "vk" #function) == 0) {                    \
        real_##function = (PFN_vk##function)real;               \
        return (PFN_vkVoidFunction)shim_##function;             \
    }
    FALLIBLE(REPLACE)
    REPLACE(AllocateMemory, , )
    REPLACE(WaitForFences, , )
#undef REPLACE
    if (strcmp(name, "vkFreeMemory") == 0) {
        shim.free_memory = (PFN_vkFreeMemory)real;
        return (PFN_vkVoidFunction)shim_FreeMemory;
    }
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
        shim.get_device = (PFN_vkGetDeviceProcAddr)real;
        return (PFN_vkVoidFunction)shim_GetDeviceProcAddr;
    }
    return real;
}

static void (*get_proc(void *instance, const char *name))(void)
{
    return replace(name, driver((VkInstance)instance, name));
}

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
    const mm__vulkan_options o = {.get_proc = get_proc, .staged = staged, .wait_seconds = wait_seconds, .submit_work = 1.0};
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
            assert_int_equal(life(staged, 0.0, y, &err), MM_OK);
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
    shim.never_done = true;
    assert_int_equal(life(false, 0.2, y, &err), MM_E_DEVICE);
    shim.never_done = false;
    assert_non_null(strstr(err.text, "not answered"));
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
    return open_driver(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_fail),
        cmocka_unit_test(no_wait_is_endless),
    };
    return cmocka_run_group_tests(tests, open_shim, close_driver);
}
