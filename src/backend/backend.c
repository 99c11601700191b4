/* The list of backends and the way to open one by name. */
#include "backend.h"

#include "../base/error.h"
#include "cpu/cpu.h"
#include "vulkan/vulkan.h"

#include <string.h>

/* The device falls back to the processor, so it owns a CPU backend; what is placed there runs in the engine's precision. */
static mm_status create_vulkan(mm__mem *mem, const mm__log *log, const char *name, int n_threads, const mm_executor *host, bool exact,
                               mm__backend **out, mm_error *err)
{
    mm__backend *cpu;
    mm_status st = mm__cpu_create(mem, log, NULL, n_threads, host, exact, &cpu, err);
    if (st < 0) return st;
    st = mm__vulkan_create(mem, log, name, cpu, exact, NULL, out, err);
    if (st < 0) mm__backend_destroy(cpu);
    return st;
}

mm_status mm__backend_create(mm__mem *mem, const mm__log *log, const char *device, int n_threads,
                             const mm_executor *host, bool exact, mm__backend **out, mm_error *err)
{
    mm_status st;
    *out = NULL;
    if (!device || !strcmp(device, "auto")) device = "cpu";
    if (!strcmp(device, "cpu") || !strncmp(device, "cpu:", 4))
        st = mm__cpu_create(mem, log, device[3] ? device + 4 : NULL, n_threads, host, exact, out, err);
    else if (!strcmp(device, "vulkan") || !strncmp(device, "vulkan:", 7))
        st = create_vulkan(mem, log, device + 6, n_threads, host, exact, out, err);
    else
        return mm__fail(err, MM_E_DEVICE, "device %s is not known; there are \"auto\", \"cpu\" and \"vulkan:0\"", device);
    if (st != MM_OK) return st;
    char line[128];
    (*out)->ops->describe(*out, line, sizeof line);
    mm__logf(log, MM_LOG_INFO, "backend", "%s, %s precision", line, exact ? "exact" : "fast");
    return MM_OK;
}

void mm__backend_destroy(mm__backend *b)
{
    if (b) b->ops->destroy(b);
}

mm_status mm__backend_set(mm__backend *b, const char *key, const char *value, mm_error *err)
{
    static const char *const keys[] = {"gpu_layers", "place", "device_cache"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (strcmp(keys[i], key) != 0) continue;
        if (!b->ops->set) return mm__fail(err, MM_E_UNSUPPORTED, "\"%s\" is an option of devices such as \"vulkan:0\"; this engine runs on \"%s\"", key, b->ops->name);
        return b->ops->set(b, key, value, err);
    }
    return mm__fail(err, MM_E_KEY, "\"%s\" is no option of an engine; libmm.h says which there are, mm_engine_info() lists the limits as \"limits\"", key);
}

bool mm__backend_device(uint32_t index, mm__device *out)
{
    *out = (mm__device){0};
    if (index > 0) return mm__vulkan_device(index - 1, out);
    mm__cpu_device(out);
    return true;
}

const char *mm__backend_isa(uint32_t index)
{
    uint32_t n = 0;
    while (n < index && mm__cpu_tier(n, NULL)) n++;
    const char *tier = mm__cpu_tier(n, NULL);
    return tier ? tier : n == index ? mm__vulkan_isa() : NULL;
}
