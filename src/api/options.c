/* What every exported function shares: size-first copying, text out, status names, version. */
#include "handles.h"

#include "../base/error.h"

#include <string.h>

const char *mm_status_name(mm_status status)
{
    switch (status) {
#define NAME(s) case s: return #s
        NAME(MM_OK);
        NAME(MM_END);
        NAME(MM_E_ARG);
        NAME(MM_E_STATE);
        NAME(MM_E_SPACE);
        NAME(MM_E_KEY);
        NAME(MM_E_NOMEM);
        NAME(MM_E_LIMIT);
        NAME(MM_E_INTERNAL);
        NAME(MM_E_IO);
        NAME(MM_E_FORMAT);
        NAME(MM_E_UNSUPPORTED);
        NAME(MM_E_MEDIA);
        NAME(MM_E_DEVICE);
        NAME(MM_E_CANCELLED);
        NAME(MM_E_CONTEXT);
        NAME(MM_E_NUMERIC);
#undef NAME
    default: return "MM_?";
    }
}

uint32_t mm_version(void)
{
    return MM_VERSION;
}

void mm__error_reset(mm_error *err)
{
    if (!err) return;
    err->code = MM_OK;
    err->os_code = 0;
    err->text[0] = 0;
}

mm_status mm__options_copy(void *dst, size_t known, size_t first_release, const void *src, const char *what, mm_error *err)
{
    uint32_t size;
    memcpy(&size, src, sizeof size);
    if (size < first_release) return mm__fail(err, MM_E_ARG, "%s.size is %u; fill it with the init function", what, size);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)src)[i])
            return mm__fail(err, MM_E_UNSUPPORTED, "%s sets a field at byte %zu that this library does not know", what, i);
    memcpy(dst, src, size < known ? size : known);
    return MM_OK;
}

mm_status mm__give_text(const char *text, size_t len, char *buf, size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = len;
    if (!buf && !cap) return MM_OK;
    if (!buf) return mm__fail(err, MM_E_ARG, "buf is NULL but cap is %zu", cap);
    if (cap <= len) return mm__fail(err, MM_E_SPACE, "the text needs %zu bytes, the buffer has %zu", len + 1, cap);
    memcpy(buf, text, len);
    buf[len] = 0;
    return MM_OK;
}

mm_status mm_device_info(uint32_t index, const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    char line[256];
    mm__error_reset(err);
    if (!key) return mm__fail(err, MM_E_ARG, "key is NULL");
    if (!mm__backend_list(index, line, sizeof line)) return MM_END;
    if (strcmp(key, "summary") != 0) return mm__fail(err, MM_E_KEY, "\"%s\" is no device key", key);
    return mm__give_text(line, strlen(line), buf, cap, need, err);
}
