/* Functions that stand between the library and a Vulkan driver. They count every call that can report an error; the N-th one, or
 * all from there on, report one in place of being made; or the device never finishes anything from there on. The program leads
 * the library to shim_proc, in place of the driver's vkGetInstanceProcAddr, which it puts into shim.driver. */
#ifndef MM_FAULT_VULKAN_H
#define MM_FAULT_VULKAN_H

#define VK_NO_PROTOTYPES
#include <stdbool.h>
#include <string.h>
#include <vulkan/vulkan_core.h>

static struct {
    PFN_vkGetInstanceProcAddr driver;
    PFN_vkGetDeviceProcAddr get_device;
    PFN_vkFreeMemory free_memory;
    int at, fail_at;          /* calls so far; the one that fails, from 1; 0: none */
    VkResult error;
    bool from_on;             /* all later ones fail, too */
    bool never_done;          /* in place of failing, waits from there on time out */
    int memories;             /* allocated and not freed */
    double waited;            /* seconds that such waits would have taken */
    VkInstance instance;      /* the last ones made */
    VkDevice device;
} shim;

/* Counts a call; whether its turn to fail has come. */
static bool shim_struck(void)
{
    shim.at++;
    return shim.fail_at && (shim.from_on ? shim.at >= shim.fail_at : shim.at == shim.fail_at);
}

static bool shim_fails(void) { return shim_struck() && !shim.never_done; }

/* The functions: name, parameters, arguments. */
#define FALLIBLE(X)                                                                                                                          \
    X(EnumeratePhysicalDevices, (VkInstance a, uint32_t *b, VkPhysicalDevice *c), (a, b, c))                                                 \
    X(MapMemory, (VkDevice a, VkDeviceMemory b, VkDeviceSize c, VkDeviceSize d, VkMemoryMapFlags e, void **f), (a, b, c, d, e, f))           \
    X(CreateBuffer, (VkDevice a, const VkBufferCreateInfo *b, const VkAllocationCallbacks *c, VkBuffer *d), (a, b, c, d))                    \
    X(BindBufferMemory, (VkDevice a, VkBuffer b, VkDeviceMemory c, VkDeviceSize d), (a, b, c, d))                                            \
    X(CreateShaderModule, (VkDevice a, const VkShaderModuleCreateInfo *b, const VkAllocationCallbacks *c, VkShaderModule *d), (a, b, c, d))  \
    X(CreatePipelineCache, (VkDevice a, const VkPipelineCacheCreateInfo *b, const VkAllocationCallbacks *c, VkPipelineCache *d), (a, b, c, d)) \
    X(GetPipelineCacheData, (VkDevice a, VkPipelineCache b, size_t *c, void *d), (a, b, c, d))                                               \
    X(MergePipelineCaches, (VkDevice a, VkPipelineCache b, uint32_t c, const VkPipelineCache *d), (a, b, c, d))                              \
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
        return shim_fails() ? shim.error : real_##name arguments;  \
    }
FALLIBLE(WRAPPER)
#undef WRAPPER

static PFN_vkCreateInstance real_CreateInstance;
static VKAPI_ATTR VkResult VKAPI_CALL shim_CreateInstance(const VkInstanceCreateInfo *a, const VkAllocationCallbacks *b, VkInstance *c)
{
    const VkResult r = shim_fails() ? shim.error : real_CreateInstance(a, b, c);
    if (r == VK_SUCCESS) shim.instance = *c;
    return r;
}

static PFN_vkCreateDevice real_CreateDevice;
static VKAPI_ATTR VkResult VKAPI_CALL shim_CreateDevice(VkPhysicalDevice a, const VkDeviceCreateInfo *b, const VkAllocationCallbacks *c, VkDevice *d)
{
    const VkResult r = shim_fails() ? shim.error : real_CreateDevice(a, b, c, d);
    if (r == VK_SUCCESS) shim.device = *d;
    return r;
}

static PFN_vkAllocateMemory real_AllocateMemory;
static VKAPI_ATTR VkResult VKAPI_CALL shim_AllocateMemory(VkDevice a, const VkMemoryAllocateInfo *b, const VkAllocationCallbacks *c, VkDeviceMemory *d)
{
    const VkResult r = shim_fails() ? shim.error : real_AllocateMemory(a, b, c, d);
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
    if (!shim_struck()) return real_WaitForFences(a, b, c, d, e);
    if (!shim.never_done) return shim.error;
    shim.waited += (double)e * 1e-9;
    return VK_TIMEOUT;
}

static PFN_vkVoidFunction shim_replace(const char *name, PFN_vkVoidFunction real);

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL shim_GetDeviceProcAddr(VkDevice device, const char *name)
{
    return shim_replace(name, shim.get_device(device, name));
}

/* Ours in place of the driver's. */
static PFN_vkVoidFunction shim_replace(const char *name, PFN_vkVoidFunction real)
{
#define REPLACE(function, parameters, arguments)                \
    if (strcmp(name, "vk" #function) == 0) {                    \
        real_##function = (PFN_vk##function)real;               \
        return (PFN_vkVoidFunction)shim_##function;             \
    }
    FALLIBLE(REPLACE)
    REPLACE(CreateInstance, , )
    REPLACE(CreateDevice, , )
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

static void (*shim_proc(void *instance, const char *name))(void)
{
    return shim_replace(name, shim.driver((VkInstance)instance, name));
}

#endif
