/* The list of backends and the way to open one by name. */
#include "backend.h"

#include "../base/error.h"
#include "cpu/cpu.h"

#include <string.h>

mm_status mm__backend_create(mm__mem *mem, const mm__log *log, const char *device, int n_threads,
                             const mm_executor *host, bool exact, mm__backend **out, mm_error *err)
{
    mm_status st;
    *out = NULL;
    if (!device || !strcmp(device, "auto")) device = "cpu";
    if (!strcmp(device, "cpu") || !strncmp(device, "cpu:", 4))
        st = mm__cpu_create(mem, log, device[3] ? device + 4 : NULL, n_threads, host, exact, out, err);
    else
        return mm__fail(err, MM_E_DEVICE, "device %s is not known; this build has \"auto\" and \"cpu\"", device);
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

bool mm__backend_device(uint32_t index, mm__device *out)
{
    *out = (mm__device){0};
    if (index == 0) mm__cpu_device(out);
    return index == 0;
}

const char *mm__backend_isa(uint32_t index)
{
    return mm__cpu_tier(index, NULL);
}
