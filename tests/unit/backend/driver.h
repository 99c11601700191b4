/* The system's Vulkan driver, for tests that stand functions of their own before it; what the library logged; and the memory that
 * must be empty again when they end. */
#ifndef MM_UNIT_DRIVER_H
#define MM_UNIT_DRIVER_H

#include "../../../src/backend/vulkan/api.h"
#include "../../../src/backend/vulkan/vulkan.h"
#include "../../../src/base/os/os.h"

#include <stdio.h>
#include <string.h>

static mm__mem *mem;
static uint64_t empty;
static PFN_vkGetInstanceProcAddr driver; /* NULL: there is no device, and nothing to test */

static inline int open_driver(void **state)
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

static inline int close_driver(void **state)
{
    const bool clean = mm__mem_live(mem) == empty;
    mm__mem_destroy(mem);
    return clean ? 0 : -1;
}

/* ---- functions before the driver's ---- */

/* A function of a test, and the driver's that it stands for, once the library has asked for it. */
typedef struct stand_in {
    const char *name;
    PFN_vkVoidFunction ours, real;
} stand_in;

static stand_in *stand_ins;    /* the test's; one without a name ends them */
static PFN_vkGetDeviceProcAddr device_functions;

static inline PFN_vkVoidFunction before_driver(const char *name, PFN_vkVoidFunction real);

static inline VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice d, const char *name)
{
    return before_driver(name, device_functions(d, name));
}

static inline PFN_vkVoidFunction before_driver(const char *name, PFN_vkVoidFunction real)
{
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) {
        device_functions = (PFN_vkGetDeviceProcAddr)real;
        return (PFN_vkVoidFunction)device_function;
    }
    for (stand_in *s = stand_ins; s->name; s++) {
        if (strcmp(s->name, name) != 0) continue;
        s->real = real;
        return s->ours;
    }
    return real;
}

/* For mm__vulkan_options.get_proc. */
static inline void (*get_proc(void *instance, const char *name))(void) { return before_driver(name, driver((VkInstance)instance, name)); }

/* ---- what was logged ---- */

static char logged[4096];

static inline void keep_line(void *user, int32_t level, const char *area, const char *line)
{
    const size_t at = strlen(logged);
    snprintf(logged + at, sizeof logged - at, "%s: %s\n", area, line);
}

#endif
