/* Filling the table of functions. Vulkan's own loader looks at files and variables of the system to find drivers; that is
 * the only thing here the process's surroundings can change. */
#include "api.h"

#include "../../base/error.h"
#include "../../base/os/os.h"

mm_status mm__vk_load(mm__vk_api *api, PFN_vkGetInstanceProcAddr get, mm_error *err)
{
    *api = (mm__vk_api){.get = get};
    if (!get) {
        api->library = mm__os_library("libvulkan.so.1");
        if (!api->library) return mm__fail(err, MM_E_DEVICE, "there is no Vulkan on this machine: libvulkan.so.1 cannot be opened");
        api->get = (PFN_vkGetInstanceProcAddr)mm__os_symbol(api->library, "vkGetInstanceProcAddr");
    }
    const char *missing = api->get ? NULL : "vkGetInstanceProcAddr";
#define MM__VK_GLOBAL(name) \
    if (!missing && !(api->name = (PFN_vk##name)api->get(NULL, "vk" #name))) missing = "vk" #name;
#define MM__VK_INSTANCE(name)
#define MM__VK_DEVICE(name)
#include "api.def"
#undef MM__VK_GLOBAL
#undef MM__VK_INSTANCE
    if (!missing) return MM_OK;
    mm__vk_unload(api);
    return mm__fail(err, MM_E_DEVICE, "libvulkan.so.1 is older than Vulkan 1.1: it has no %s", missing);
}

void mm__vk_unload(mm__vk_api *api)
{
    mm__os_library_close(api->library);
    *api = (mm__vk_api){0};
}

mm_status mm__vk_load_instance(mm__vk_api *api, VkInstance instance, mm_error *err)
{
    const char *missing = NULL;
#define MM__VK_GLOBAL(name)
#define MM__VK_INSTANCE(name) \
    if (!(api->name = (PFN_vk##name)api->get(instance, "vk" #name))) missing = "vk" #name;
#include "api.def"
#undef MM__VK_INSTANCE
#undef MM__VK_DEVICE
    return missing ? mm__fail(err, MM_E_DEVICE, "Vulkan's loader has no %s", missing) : MM_OK;
}

mm_status mm__vk_load_device(mm__vk_api *api, VkDevice device, mm_error *err)
{
    const char *missing = NULL;
#define MM__VK_INSTANCE(name)
#define MM__VK_DEVICE(name) \
    if (!(api->name = (PFN_vk##name)api->GetDeviceProcAddr(device, "vk" #name))) missing = "vk" #name;
#include "api.def"
#undef MM__VK_GLOBAL
#undef MM__VK_INSTANCE
#undef MM__VK_DEVICE
    return missing ? mm__fail(err, MM_E_DEVICE, "the Vulkan driver has no %s", missing) : MM_OK;
}

const char *mm__vk_result_name(VkResult r)
{
    static const struct { VkResult r; const char *name; } names[] = {
#define NAME(r) {r, #r}
        NAME(VK_SUCCESS), NAME(VK_NOT_READY), NAME(VK_TIMEOUT), NAME(VK_INCOMPLETE), NAME(VK_ERROR_OUT_OF_HOST_MEMORY),
        NAME(VK_ERROR_OUT_OF_DEVICE_MEMORY), NAME(VK_ERROR_INITIALIZATION_FAILED), NAME(VK_ERROR_DEVICE_LOST),
        NAME(VK_ERROR_MEMORY_MAP_FAILED), NAME(VK_ERROR_LAYER_NOT_PRESENT), NAME(VK_ERROR_EXTENSION_NOT_PRESENT),
        NAME(VK_ERROR_FEATURE_NOT_PRESENT), NAME(VK_ERROR_INCOMPATIBLE_DRIVER), NAME(VK_ERROR_TOO_MANY_OBJECTS),
        NAME(VK_ERROR_FRAGMENTED_POOL), NAME(VK_ERROR_UNKNOWN), NAME(VK_ERROR_OUT_OF_POOL_MEMORY), NAME(VK_ERROR_FRAGMENTATION),
#undef NAME
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].r == r) return names[i].name;
    return "VK_?";
}
