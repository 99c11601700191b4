/* The limits of an engine (limits.def): what files, media and texts may ask for. They live in the engine's mm__mem, which
 * every parser has at hand, and may change at any time: a parser asks where it needs one. Thread-safe. */
#ifndef MM__BASE_LIMITS_H
#define MM__BASE_LIMITS_H

#include "alloc.h"

typedef enum mm__limit_id {
#define MM__LIMIT(name, key, usual, most, counts) MM__LIMIT_##name,
#include "limits.def"
#undef MM__LIMIT
    MM__N_LIMITS
} mm__limit_id;

typedef struct mm__limit_info {
    const char *key;
    uint64_t usual, most; /* default, ceiling */
    const char *counts;   /* what: "keys of a GGUF file" */
} mm__limit_info;

const mm__limit_info *mm__limit_info_of(mm__limit_id which);
/* MM__N_LIMITS when there is no such key. */
mm__limit_id mm__limit_find(const char *key);

uint64_t mm__limit(const mm__mem *mem, mm__limit_id which);
/* `value` is at most the ceiling. */
void mm__limit_set(mm__mem *mem, mm__limit_id which, uint64_t value);

/* MM_E_LIMIT, naming `what` (a path, say), the number and the limit, when n is above it. */
mm_status mm__limit_check(const mm__mem *mem, mm__limit_id which, uint64_t n, const char *what, mm_error *err);
/* The error of mm__limit_check for a number that is only known to be above the limit. */
mm_status mm__limit_fail(const mm__mem *mem, mm__limit_id which, const char *what, mm_error *err);

#endif
