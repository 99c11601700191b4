/* The system's Vulkan driver, for tests that stand functions of their own before it, and the memory that must be empty again when
 * they end. */
#ifndef MM_UNIT_DRIVER_H
#define MM_UNIT_DRIVER_H

#include "../../../src/backend/vulkan/api.h"
#include "../../../src/backend/vulkan/vulkan.h"
#include "../../../src/base/os/os.h"

static mm__mem *mem;
static uint64_t empty;
static PFN_vkGetInstanceProcAddr driver; /* NULL: there is no device, and nothing to test */

static int open_driver(void **state)
{
    mm__device d;
    mem = mm__mem_create(NULL, 0);
    if (!mem) return -1;
    empty = mm__mem_live(mem);
    if (!mm__vulkan_device(0, &d)) {
        print_message("skipped: there is no Vulkan device here\n");
        return 0;
    }
    void *library = mm__os_library("libvulkan.so.1");
    if (library) driver = (PFN_vkGetInstanceProcAddr)mm__os_symbol(library, "vkGetInstanceProcAddr");
    return driver ? 0 : -1;
}

static int close_driver(void **state)
{
    const bool clean = mm__mem_live(mem) == empty;
    mm__mem_destroy(mem);
    return clean ? 0 : -1;
}

#endif
