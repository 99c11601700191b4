/* One opened device: instance, queue, limits. Every backend opens its own, so a device that is lost for one engine is not
 * lost for another, and nothing is shared between engines but the driver.
 *
 * Needed: Vulkan 1.1, a compute queue, eight storage buffers a stage, 128 bytes of push constants, workgroups of 128
 * invocations and 16 KiB of shared memory, which every driver of a GPU has. Used where reported: sums over subgroups,
 * computing with F16 (VK_KHR_shader_float16_int8), matrices of it (VK_NV_cooperative_matrix), products of bytes
 * (VK_KHR_shader_integer_dot_product), 32 KiB of shared memory. Not needed: 16-bit or 8-bit storage, descriptor indexing. */
#ifndef MM__VK_DEVICE_H
#define MM__VK_DEVICE_H

#include "api.h"
#include "vulkan.h"

#include <stdatomic.h>

#define MM__VK_BINDINGS 8      /* storage buffers of every shader; unused ones stay empty */
#define MM__VK_PUSH 128        /* bytes of push constants */
#define MM__VK_WAIT 60.0       /* seconds after which a device that does not answer counts as lost */

typedef struct mm__vk_limits {
    uint64_t binding;          /* bytes that one binding can show */
    uint64_t allocation;       /* bytes of one allocation */
    uint32_t align;            /* of the offset of a binding, a power of two */
    uint32_t groups;           /* workgroups along one axis */
    uint32_t invocations;      /* of a workgroup */
    uint32_t shared;           /* bytes of shared memory */
    uint32_t subgroup;         /* invocations of a subgroup that can add up; 0: none */
    unsigned has, forced;      /* MM__VULKAN_*: what may be used; what is used wherever there is a shader for it */
    bool emulated;             /* by a processor */
    uint32_t busy;             /* workgroups that keep the device at work; a guess, for Vulkan tells no number of units */
    uint32_t parts;            /* what a test wants instead of a choice by size, or 0 */
} mm__vk_limits;

typedef struct mm__vk_device {
    mm__mem *mem;
    const mm__log *log;
    mm__vk_api api;
    VkInstance instance;
    VkPhysicalDevice physical;
    VkDevice device;
    VkQueue queue;
    size_t libraries;          /* of the process, before there was this device */
    uint32_t family;           /* of the queue */
    mm__vk_limits limits;
    VkPhysicalDeviceMemoryProperties memory;
    char name[64], driver[64];
    uint8_t identity[32];      /* digest of everything that tells this device and its driver from others */
    double wait_seconds;       /* MM__VK_WAIT */
    atomic_bool lost;          /* once true, nothing but destruction is called */
    atomic_bool hung;          /* work may still be running: nothing is destroyed */
} mm__vk_device;

/* `index` counts the devices as mm__vulkan_device does. */
mm_status mm__vk_device_open(mm__vk_device *d, mm__mem *mem, const mm__log *log, uint32_t index, const mm__vulkan_options *o, mm_error *err);
void mm__vk_device_close(mm__vk_device *d);
/* MM_OK for VK_SUCCESS; otherwise the status that belongs to r, described as "what: name". A lost device is remembered. */
mm_status mm__vk_check(mm__vk_device *d, VkResult r, const char *what, mm_error *err);
/* MM_E_DEVICE once the device is lost. */
mm_status mm__vk_alive(const mm__vk_device *d, mm_error *err);

#endif
