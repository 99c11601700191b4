/* The loader: libvulkan.so.1 is opened at run time, and every function goes through one table. The library links nothing
 * of Vulkan, so it runs where there is none; and a test puts its own functions into the table by giving mm__vk_load another
 * way to look names up. */
#ifndef MM__VK_API_H
#define MM__VK_API_H

#include "../../../include/libmm.h"

#include <stdbool.h>
#define VK_NO_PROTOTYPES
#include <vulkan/vulkan_core.h>

typedef struct mm__vk_api {
    void *library;                         /* NULL when a test looks names up */
    PFN_vkGetInstanceProcAddr get;
#define MM__VK_GLOBAL(name) PFN_vk##name name;
#define MM__VK_INSTANCE(name) PFN_vk##name name;
#define MM__VK_DEVICE(name) PFN_vk##name name;
#include "api.def"
#undef MM__VK_GLOBAL
#undef MM__VK_INSTANCE
#undef MM__VK_DEVICE
} mm__vk_api;

/* Opens the library (unless `get` is given) and fills the global functions. MM_E_DEVICE: there is no Vulkan here. */
mm_status mm__vk_load(mm__vk_api *api, PFN_vkGetInstanceProcAddr get, mm_error *err);
void mm__vk_unload(mm__vk_api *api);
/* MM_E_DEVICE: the driver lacks a function of Vulkan 1.1. */
mm_status mm__vk_load_instance(mm__vk_api *api, VkInstance instance, mm_error *err);
mm_status mm__vk_load_device(mm__vk_api *api, VkDevice device, mm_error *err);
/* "VK_ERROR_DEVICE_LOST", or "VK_?" for a result that no function here returns. */
const char *mm__vk_result_name(VkResult r);

#endif
