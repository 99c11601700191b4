/* Finding, describing and opening devices. */
#include "device.h"

#include "../../base/error.h"
#include "../../base/os/os.h"
#include "../../base/sha256.h"

#include <stdio.h>
#include <string.h>

enum {
    MAX_DEVICES = 16, MAX_MATRICES = 64,
    MATRIX_SUBGROUP = 32,                  /* that shaders for matrices are written for */
    WIDE_SHARED = 32768, WIDE_LANES = 256,
    MIN_SUBGROUP = 4, MAX_SUBGROUP = 128   /* that shaders make use of: a workgroup at most */
};

/* ---- errors ---- */

mm_status mm__vk_alive(const mm__vk_device *d, mm_error *err)
{
    return d->lost ? mm__fail(err, MM_E_DEVICE, "device %s was lost; a new engine opens it again", d->name) : MM_OK;
}

mm_status mm__vk_check(mm__vk_device *d, VkResult r, const char *what, mm_error *err)
{
    if (r == VK_SUCCESS) return MM_OK;
    if (r == VK_ERROR_DEVICE_LOST) d->lost = true;
    const bool memory = r == VK_ERROR_OUT_OF_HOST_MEMORY || r == VK_ERROR_OUT_OF_DEVICE_MEMORY || r == VK_ERROR_OUT_OF_POOL_MEMORY ||
                        r == VK_ERROR_FRAGMENTED_POOL || r == VK_ERROR_FRAGMENTATION;
    return mm__fail_code(err, memory ? MM_E_NOMEM : MM_E_DEVICE, (int)r, "%s: %s on %s", what, mm__vk_result_name(r),
                         d->name[0] ? d->name : "Vulkan");
}

/* ---- instance ---- */

/* The loader, the drivers it opens and what these open stay loaded. A driver that is unloaded may not give back its thread-local
 * storage, of which a process has little, and NVIDIA's could be loaded a few times only; a host opens engines for years. */

static mm_status open_instance(mm__vk_device *d, PFN_vkGetInstanceProcAddr get, mm_error *err)
{
    const VkApplicationInfo app = {.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .pEngineName = "libmm", .apiVersion = VK_API_VERSION_1_1};
    const VkInstanceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &app};
    uint32_t version = 0;
    d->libraries = mm__os_libraries();
    mm_status s = mm__vk_load(&d->api, get, err);
    if (s < 0) return s;
    s = mm__vk_check(d, d->api.EnumerateInstanceVersion(&version), "vkEnumerateInstanceVersion", err);
    if (s >= 0 && version < VK_API_VERSION_1_1) s = mm__fail(err, MM_E_DEVICE, "Vulkan on this machine is older than 1.1");
    if (s >= 0) s = mm__vk_check(d, d->api.CreateInstance(&info, NULL, &d->instance), "vkCreateInstance", err);
    if (s < 0) d->instance = VK_NULL_HANDLE;
    else s = mm__vk_load_instance(&d->api, d->instance, err);
    mm__os_libraries_keep(d->libraries);
    return s;
}

/* ---- choosing ---- */

/* A family of queues that computes; one that does nothing else is preferred, for it runs beside a desktop's graphics. */
static bool find_family(const mm__vk_api *api, VkPhysicalDevice p, uint32_t *family)
{
    VkQueueFamilyProperties f[16];
    uint32_t n = sizeof f / sizeof *f;
    bool found = false;
    api->GetPhysicalDeviceQueueFamilyProperties(p, &n, f);
    for (uint32_t i = 0; i < n; i++) {
        const bool alone = !(f[i].queueFlags & VK_QUEUE_GRAPHICS_BIT);
        if (!f[i].queueCount || !(f[i].queueFlags & VK_QUEUE_COMPUTE_BIT) || (found && !alone)) continue;
        *family = i;
        found = true;
        if (alone) break;
    }
    return found;
}

typedef struct facts {
    VkPhysicalDeviceProperties2 all;
    bool f16, matrix, dot, dot_quick; /* find_extensions */
    VkPhysicalDeviceMaintenance3Properties memory;
    VkPhysicalDeviceSubgroupProperties subgroup;
    VkPhysicalDeviceIDProperties id;
    uint32_t family;
} facts;

/* False: the device cannot run this backend. */
static bool look(const mm__vk_api *api, VkPhysicalDevice p, facts *f)
{
    *f = (facts){.all.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2,
                 .memory.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES,
                 .subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES,
                 .id.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES};
    f->all.pNext = &f->memory;
    f->memory.pNext = &f->subgroup;
    f->subgroup.pNext = &f->id;
    api->GetPhysicalDeviceProperties2(p, &f->all);
    const VkPhysicalDeviceLimits *l = &f->all.properties.limits;
    return f->all.properties.apiVersion >= VK_API_VERSION_1_1 && l->maxPerStageDescriptorStorageBuffers >= MM__VK_BINDINGS &&
           l->maxPushConstantsSize >= MM__VK_PUSH && l->maxComputeWorkGroupInvocations >= 128 && l->maxComputeSharedMemorySize >= 16384 &&
           find_family(api, p, &f->family);
}

/* Whether subgroups multiply matrices of 16 x 16 F16 numbers and add them up in F32, which shaders ask for. */
static bool multiplies_matrices(const mm__vk_device *d)
{
    const PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV get = (PFN_vkGetPhysicalDeviceCooperativeMatrixPropertiesNV)d->api.get(
        d->instance, "vkGetPhysicalDeviceCooperativeMatrixPropertiesNV");
    VkCooperativeMatrixPropertiesNV list[MAX_MATRICES];
    uint32_t n = MAX_MATRICES;
    for (int i = 0; i < MAX_MATRICES; i++) list[i] = (VkCooperativeMatrixPropertiesNV){.sType = VK_STRUCTURE_TYPE_COOPERATIVE_MATRIX_PROPERTIES_NV};
    if (!get || get(d->physical, &n, list) < 0) return false;
    for (uint32_t i = 0; i < n; i++) {
        const VkCooperativeMatrixPropertiesNV *m = &list[i];
        if (m->MSize == 16 && m->NSize == 16 && m->KSize == 16 && m->AType == VK_COMPONENT_TYPE_FLOAT16_NV && m->BType == VK_COMPONENT_TYPE_FLOAT16_NV &&
            m->CType == VK_COMPONENT_TYPE_FLOAT32_NV && m->DType == VK_COMPONENT_TYPE_FLOAT32_NV && m->scope == VK_SCOPE_SUBGROUP_NV)
            return true;
    }
    return false;
}

static bool listed(const VkExtensionProperties *list, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(list[i].extensionName, name) == 0) return true;
    return false;
}

/* Whether four products of bytes can be added up by one operation, and whether the device has one for it. */
static void ask_for_dot(const mm__vk_device *d, facts *f)
{
    VkPhysicalDeviceShaderIntegerDotProductFeatures dots = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &dots};
    VkPhysicalDeviceShaderIntegerDotProductProperties quick = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES};
    VkPhysicalDeviceProperties2 all = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2, .pNext = &quick};
    d->api.GetPhysicalDeviceFeatures2(d->physical, &features);
    d->api.GetPhysicalDeviceProperties2(d->physical, &all);
    f->dot = dots.shaderIntegerDotProduct;
    f->dot_quick = quick.integerDotProduct4x8BitPackedSignedAccelerated;
}

static void ask_for_f16(const mm__vk_device *d, facts *f)
{
    VkPhysicalDeviceShaderFloat16Int8Features types = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &types};
    d->api.GetPhysicalDeviceFeatures2(d->physical, &features);
    f->f16 = types.shaderFloat16;
}

static void ask_for_matrices(const mm__vk_device *d, facts *f)
{
    VkPhysicalDeviceCooperativeMatrixFeaturesNV matrices = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV};
    VkPhysicalDeviceFeatures2 features = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &matrices};
    d->api.GetPhysicalDeviceFeatures2(d->physical, &features);
    f->matrix = f->f16 && matrices.cooperativeMatrix && f->subgroup.subgroupSize == MATRIX_SUBGROUP && multiplies_matrices(d);
}

/* What shaders may use by extensions: each is an extension and a feature. */
static mm_status find_extensions(mm__vk_device *d, facts *f, mm_error *err)
{
    const char *const what = "vkEnumerateDeviceExtensionProperties";
    uint32_t n = 0;
    mm_status s = mm__vk_check(d, d->api.EnumerateDeviceExtensionProperties(d->physical, NULL, &n, NULL), what, err);
    if (s < 0 || n == 0) return s;
    VkExtensionProperties *list = mm__calloc(d->mem, n, sizeof *list);
    if (!list) return mm__nomem(err, "a list of extensions");
    s = mm__vk_check(d, d->api.EnumerateDeviceExtensionProperties(d->physical, NULL, &n, list), what, err);
    if (s < 0) n = 0;
    if (listed(list, n, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME)) ask_for_f16(d, f);
    if (listed(list, n, VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME)) ask_for_matrices(d, f);
    if (listed(list, n, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) ask_for_dot(d, f);
    mm__free(d->mem, list);
    return s;
}

/* The index-th device that can run this backend; false past the last. */
static bool nth(mm__vk_device *d, uint32_t index, facts *f, mm_status *s, mm_error *err)
{
    VkPhysicalDevice list[MAX_DEVICES];
    uint32_t n = MAX_DEVICES;
    const VkResult r = d->api.EnumeratePhysicalDevices(d->instance, &n, list);
    *s = r == VK_INCOMPLETE ? MM_OK : mm__vk_check(d, r, "vkEnumeratePhysicalDevices", err);
    if (*s < 0) return false;
    for (uint32_t i = 0; i < n; i++)
        if (look(&d->api, list[i], f) && index-- == 0) {
            d->physical = list[i];
            d->family = f->family;
            snprintf(d->name, sizeof d->name, "%.63s", f->all.properties.deviceName);
            return true;
        }
    return false;
}

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }

static mm__vk_limits limits_of(const facts *f, const mm__vulkan_options *o)
{
    const VkPhysicalDeviceLimits *l = &f->all.properties.limits;
    const VkSubgroupFeatureFlags adds = VK_SUBGROUP_FEATURE_BASIC_BIT | VK_SUBGROUP_FEATURE_ARITHMETIC_BIT;
    mm__vk_limits out = {
        .binding = l->maxStorageBufferRange,
        .allocation = f->memory.maxMemoryAllocationSize,
        .align = (uint32_t)l->minStorageBufferOffsetAlignment,
        .groups = l->maxComputeWorkGroupCount[0],
        .invocations = l->maxComputeWorkGroupInvocations,
        .shared = l->maxComputeSharedMemorySize,
    };
    if ((f->subgroup.supportedStages & VK_SHADER_STAGE_COMPUTE_BIT) && (f->subgroup.supportedOperations & adds) == adds)
        out.subgroup = f->subgroup.subgroupSize;
    if (out.subgroup >= MIN_SUBGROUP && out.subgroup <= MAX_SUBGROUP) out.has |= MM__VULKAN_SUBGROUPS;
    if (f->f16) out.has |= MM__VULKAN_F16;
    if (f->matrix && !(o->without & MM__VULKAN_F16)) out.has |= MM__VULKAN_MATRIX;
    if (o->shared_bytes) out.shared = (uint32_t)least(out.shared, o->shared_bytes);
    if (out.shared >= WIDE_SHARED && out.invocations >= WIDE_LANES) out.has |= MM__VULKAN_WIDE;
    if (f->dot && (f->dot_quick || o->with & MM__VULKAN_DOT) && (out.has & ~o->without & MM__VULKAN_SUBGROUPS)) out.has |= MM__VULKAN_DOT;
    out.has &= ~o->without;
    out.forced = out.has & o->with;
    out.emulated = f->all.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU;
    out.busy = o->busy ? o->busy : out.emulated ? 8 : f->all.properties.deviceType == VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU ? 2048 : 512;
    out.parts = o->parts;
    for (int i = 1; i < 3; i++) out.groups = (uint32_t)least(out.groups, l->maxComputeWorkGroupCount[i]);
    if (out.align < 16) out.align = 16;
    if (o->binding_bytes) out.binding = least(out.binding, o->binding_bytes);
    return out;
}

static void identify(const facts *f, uint8_t out[32])
{
    const VkPhysicalDeviceProperties *p = &f->all.properties;
    const uint32_t numbers[] = {p->vendorID, p->deviceID, p->driverVersion, p->apiVersion};
    mm__sha256 s;
    mm__sha256_init(&s);
    mm__sha256_add(&s, numbers, sizeof numbers);
    mm__sha256_add(&s, p->pipelineCacheUUID, sizeof p->pipelineCacheUUID);
    mm__sha256_add(&s, f->id.driverUUID, sizeof f->id.driverUUID);
    mm__sha256_add(&s, f->id.deviceUUID, sizeof f->id.deviceUUID);
    mm__sha256_end(&s, out);
}

/* ---- opening ---- */

static mm_status open_device(mm__vk_device *d, mm_error *err)
{
    const float priority = 0.5f;
    const VkDeviceQueueCreateInfo queue = {.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueFamilyIndex = d->family,
                                           .queueCount = 1, .pQueuePriorities = &priority};
    VkPhysicalDeviceShaderFloat16Int8Features types = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_FLOAT16_INT8_FEATURES, .shaderFloat16 = VK_TRUE};
    VkPhysicalDeviceCooperativeMatrixFeaturesNV matrices = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_COOPERATIVE_MATRIX_FEATURES_NV,
                                                            .cooperativeMatrix = VK_TRUE};
    VkPhysicalDeviceShaderIntegerDotProductFeatures dots = {.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES,
                                                            .shaderIntegerDotProduct = VK_TRUE};
    const struct { unsigned by; const char *name; void *features; } extensions[] = {
        {MM__VULKAN_F16 | MM__VULKAN_MATRIX, VK_KHR_SHADER_FLOAT16_INT8_EXTENSION_NAME, &types},
        {MM__VULKAN_MATRIX, VK_NV_COOPERATIVE_MATRIX_EXTENSION_NAME, &matrices},
        {MM__VULKAN_DOT, VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME, &dots},
    };
    const char *names[sizeof extensions / sizeof *extensions];
    VkDeviceCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .queueCreateInfoCount = 1, .pQueueCreateInfos = &queue,
                               .ppEnabledExtensionNames = names};
    for (size_t i = 0; i < sizeof extensions / sizeof *extensions; i++) {
        VkBaseOutStructure *features = extensions[i].features;
        if (!(d->limits.has & extensions[i].by)) continue;
        features->pNext = (VkBaseOutStructure *)info.pNext;
        info.pNext = features;
        names[info.enabledExtensionCount++] = extensions[i].name;
    }
    mm_status s = mm__vk_check(d, d->api.CreateDevice(d->physical, &info, NULL, &d->device), "vkCreateDevice", err);
    if (s < 0) d->device = VK_NULL_HANDLE;
    else s = mm__vk_load_device(&d->api, d->device, err);
    mm__os_libraries_keep(d->libraries);
    if (s < 0) return s;
    d->api.GetDeviceQueue(d->device, d->family, 0, &d->queue);
    return MM_OK;
}

mm_status mm__vk_device_open(mm__vk_device *d, mm__mem *mem, const mm__log *log, uint32_t index, const mm__vulkan_options *o, mm_error *err)
{
    facts f;
    *d = (mm__vk_device){.mem = mem, .log = log, .wait_seconds = o->wait_seconds > 0.0 ? o->wait_seconds : MM__VK_WAIT};
    mm_status s = open_instance(d, (PFN_vkGetInstanceProcAddr)o->get_proc, err);
    if (s >= 0 && !nth(d, index, &f, &s, err) && s >= 0)
        s = mm__fail(err, MM_E_DEVICE, "device vulkan:%u: there is no such device that has what is needed; mm_device_info lists them", index);
    if (s >= 0) s = find_extensions(d, &f, err);
    if (s >= 0) {
        const uint32_t v = f.all.properties.driverVersion;
        snprintf(d->driver, sizeof d->driver, "%x:%x driver %u.%u.%u", f.all.properties.vendorID, f.all.properties.deviceID, VK_VERSION_MAJOR(v),
                 VK_VERSION_MINOR(v), VK_VERSION_PATCH(v));
        identify(&f, d->identity);
        d->limits = limits_of(&f, o);
        d->api.GetPhysicalDeviceMemoryProperties(d->physical, &d->memory);
        s = open_device(d, err);
    }
    if (s < 0) mm__vk_device_close(d);
    return s;
}

void mm__vk_device_close(mm__vk_device *d)
{
    if (d->hung) return;
    if (d->device && d->api.DestroyDevice) d->api.DestroyDevice(d->device, NULL);
    if (d->instance && d->api.DestroyInstance) d->api.DestroyInstance(d->instance, NULL);
    mm__vk_unload(&d->api);
    *d = (mm__vk_device){0};
}

/* ---- listing ---- */

static const char *kind_of(VkPhysicalDeviceType t)
{
    return t == VK_PHYSICAL_DEVICE_TYPE_CPU ? "cpu" : "gpu";
}

static const char *const ids[MAX_DEVICES] = {"vulkan:0",  "vulkan:1",  "vulkan:2",  "vulkan:3",  "vulkan:4",  "vulkan:5",  "vulkan:6",  "vulkan:7",
                                             "vulkan:8",  "vulkan:9",  "vulkan:10", "vulkan:11", "vulkan:12", "vulkan:13", "vulkan:14", "vulkan:15"};

bool mm__vulkan_device(uint32_t index, mm__device *out)
{
    mm__vk_device d = {0};
    facts f;
    mm_status s;
    if (index >= MAX_DEVICES) return false;
    const bool found = open_instance(&d, NULL, NULL) >= 0 && nth(&d, index, &f, &s, NULL);
    if (found) {
        const VkPhysicalDeviceProperties *p = &f.all.properties;
        const mm__vk_limits l = limits_of(&f, &(mm__vulkan_options){0});
        *out = (mm__device){.id = ids[index], .kind = kind_of(p->deviceType)};
        snprintf(out->name, sizeof out->name, "%s", d.name);
        snprintf(out->features, sizeof out->features, "vulkan%u.%u subgroup%u", VK_VERSION_MAJOR(p->apiVersion), VK_VERSION_MINOR(p->apiVersion), l.subgroup);
        snprintf(out->summary, sizeof out->summary, "%s  %s, Vulkan %u.%u%s", out->id, d.name, VK_VERSION_MAJOR(p->apiVersion),
                 VK_VERSION_MINOR(p->apiVersion), p->deviceType == VK_PHYSICAL_DEVICE_TYPE_CPU ? ", emulated by the processor" : "");
    }
    mm__vk_device_close(&d);
    return found;
}
