/* In place of everything else in this folder where a build finds no glslc or no headers of Vulkan. */
#include "vulkan.h"

#include "../../base/error.h"

const char *mm__vulkan_isa(void) { return NULL; }
bool mm__vulkan_device(uint32_t index, mm__device *out) { return false; }

mm_status mm__vulkan_create(mm__mem *mem, const mm__log *log, const char *name, mm__backend *host, bool exact,
                            const mm__vulkan_options *options, mm__backend **out, mm_error *err)
{
    *out = NULL;
    return mm__fail(err, MM_E_DEVICE, "this build has no Vulkan: it was made without glslc or without Vulkan's headers");
}
