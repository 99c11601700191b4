/* The table of limits, and the one way of saying that one was exceeded. The values of an engine lie in its mm__mem
 * (alloc.c). */
#include "limits.h"
#include "error.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const mm__limit_info table[MM__N_LIMITS] = {
#define MM__LIMIT(name, key, usual, most, counts) {key, usual, most, counts},
#include "limits.def"
#undef MM__LIMIT
};

const mm__limit_info *mm__limit_info_of(mm__limit_id which)
{
    return &table[which];
}

mm__limit_id mm__limit_find(const char *key)
{
    int i = 0;
    while (i < MM__N_LIMITS && strcmp(table[i].key, key) != 0) i++;
    return (mm__limit_id)i;
}

/* `found`: "70000" or "too many". */
static mm_status over(const mm__mem *mem, mm__limit_id which, const char *found, const char *what, mm_error *err)
{
    const mm__limit_info *l = &table[which];
    const uint64_t limit = mm__limit(mem, which);
    if (limit == l->most)
        return mm__fail(err, MM_E_LIMIT, "%s: %s %s; the limit \"%s\" is %" PRIu64, what, found, l->counts, l->key, limit);
    return mm__fail(err, MM_E_LIMIT, "%s: %s %s; the limit \"%s\" is %" PRIu64 ", and mm_engine_set() can raise it to %" PRIu64, what,
                    found, l->counts, l->key, limit, l->most);
}

mm_status mm__limit_check(const mm__mem *mem, mm__limit_id which, uint64_t n, const char *what, mm_error *err)
{
    char found[24];
    if (n <= mm__limit(mem, which)) return MM_OK;
    snprintf(found, sizeof found, "%" PRIu64, n);
    return over(mem, which, found, what, err);
}

mm_status mm__limit_fail(const mm__mem *mem, mm__limit_id which, const char *what, mm_error *err)
{
    return over(mem, which, "too many", what, err);
}
