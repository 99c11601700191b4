/* Checked arithmetic. Every size that comes from a file or a caller goes through these; true means the result is valid. */
#ifndef MM__BASE_CKD_H
#define MM__BASE_CKD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool mm__ckd_add(size_t a, size_t b, size_t *r) { return !__builtin_add_overflow(a, b, r); }
static inline bool mm__ckd_sub(size_t a, size_t b, size_t *r) { return !__builtin_sub_overflow(a, b, r); }
static inline bool mm__ckd_mul(size_t a, size_t b, size_t *r) { return !__builtin_mul_overflow(a, b, r); }
static inline bool mm__ckd_add64(uint64_t a, uint64_t b, uint64_t *r) { return !__builtin_add_overflow(a, b, r); }
static inline bool mm__ckd_mul64(uint64_t a, uint64_t b, uint64_t *r) { return !__builtin_mul_overflow(a, b, r); }
/* Rounds up to a multiple of `align` (a power of two). */
static inline bool mm__ckd_align(size_t a, size_t align, size_t *r)
{
    size_t t;
    if (!mm__ckd_add(a, align - 1, &t)) return false;
    *r = t & ~(align - 1);
    return true;
}
/* A whole number, of digits only. */
static inline bool mm__ckd_whole(const char *text, uint64_t *r)
{
    *r = 0;
    for (const char *c = text; *c; c++)
        if (*c < '0' || *c > '9' || !mm__ckd_mul64(*r, 10, r) || !mm__ckd_add64(*r, (uint64_t)(*c - '0'), r)) return false;
    return text[0] != 0;
}

#endif
