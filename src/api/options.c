/* What exported functions share beside their entry: size-first copying, text out; and the statuses as a list. */
#include "handles.h"

#include "../base/buf.h"

#include <string.h>

static const struct status {
    mm_status number;
    const char *name, *meaning;
} statuses[] = {
#define MM__STATUS(name, meaning) {name, #name, meaning},
#include "status.def"
#undef MM__STATUS
};
#define N_STATUS (sizeof statuses / sizeof *statuses)

const char *mm_status_name(mm_status status)
{
    for (size_t i = 0; i < N_STATUS; i++)
        if (statuses[i].number == status) return statuses[i].name;
    return "MM_?";
}

mm_status mm_status_at(uint32_t index, mm_status *status, const char **name, const char **meaning)
{
    const bool there = index < N_STATUS;
    if (status) *status = there ? statuses[index].number : MM_OK;
    if (name) *name = there ? statuses[index].name : NULL;
    if (meaning) *meaning = there ? statuses[index].meaning : NULL;
    return there ? MM_OK : MM_END;
}

uint32_t mm_version(void)
{
    return MM_VERSION;
}

mm_status mm__options_copy(void *dst, size_t known, size_t first_release, const void *src, const char *what, mm_error *err)
{
    uint32_t size;
    memcpy(&size, src, sizeof size);
    if (size < first_release || size > MM__MAX_STRUCT)
        return mm__fail(err, MM_E_ARG, "%s.size is %u; set it to sizeof(%s), or with the init function", what, size, what);
    for (size_t i = known; i < size; i++)
        if (((const unsigned char *)src)[i])
            return mm__fail(err, MM_E_UNSUPPORTED, "%s sets a field at byte %zu that this library does not know", what, i);
    memcpy(dst, src, size < known ? size : known);
    return MM_OK;
}

mm_status mm__check_reserved(uint32_t reserved, const char *what, mm_error *err)
{
    return reserved ? mm__fail(err, MM_E_UNSUPPORTED, "%s.reserved is %u; it must be 0 for this library", what, reserved) : MM_OK;
}

mm_status mm__give_text(const char *text, size_t len, char *buf, size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = 0;
    if (need) *need = len;
    if (!buf && !cap) return MM_OK;
    if (!buf) return mm__fail(err, MM_E_ARG, "buf is NULL but cap is %zu", cap);
    if (cap <= len) return mm__fail(err, MM_E_SPACE, "the text needs %zu bytes, the buffer has %zu", len + 1, cap);
    memcpy(buf, text, len);
    buf[len] = 0;
    return MM_OK;
}

mm_status mm__give_buf(mm__buf *b, mm_status st, char *buf, size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = 0;
    if (st == MM_OK && b->failed) st = mm__nomem(err, "a text");
    if (st == MM_OK) st = mm__give_text(mm__buf_str(b), b->len, buf, cap, need, err);
    mm__buf_free(b);
    return st;
}
