/* A host allocator that counts its calls and refuses the one numbered `at` (from 0) and all after it, or none when
 * `at` is negative. `balance` is what the library still holds. `sweep` runs a scenario with every possible first
 * failure until one run gets through without meeting it. */
#ifndef TEST_FAILING_H
#define TEST_FAILING_H

#include "../../../src/base/alloc.h"
#include <stdatomic.h>
#include <stdlib.h>

typedef struct failing {
    _Atomic long calls, balance;
    long at;
} failing;

static inline void *failing_alloc(void *user, size_t bytes, size_t align)
{
    failing *f = user;
    const long n = atomic_fetch_add(&f->calls, 1);
    if (f->at >= 0 && n >= f->at) return NULL;
    void *p = aligned_alloc(align, (bytes + align - 1) / align * align);
    if (p) atomic_fetch_add(&f->balance, (long)bytes);
    return p;
}

static inline void failing_release(void *user, void *ptr, size_t bytes, size_t align)
{
    failing *f = user;
    (void)align;
    atomic_fetch_sub(&f->balance, (long)bytes);
    free(ptr);
}

/* What a sanitizer multiplies times by, 1 without one (tests/run.sh). */
static inline double slowdown(void)
{
    const char *slow = getenv("MM_TEST_SLOW");
    return slow && slow[0] ? atof(slow) : 1;
}

static inline mm__mem *failing_mem(failing *f, long at)
{
    const mm_allocator host = {sizeof host, 0, f, failing_alloc, failing_release};
    f->at = at;
    return mm__mem_create(&host, 0);
}

/* `scenario` returns true when it succeeded, false when it reported lack of memory. Returns how many failures were
 * tried before success; -1 when memory was left over or success never came. */
static inline long sweep(bool (*scenario)(mm__mem *mem))
{
    for (long at = 1; at < 10000; at++) {
        failing f = {0};
        mm__mem *mem = failing_mem(&f, at);
        const bool ok = scenario(mem);
        const bool clean = f.balance == (long)mm__mem_live(mem);
        mm__mem_destroy(mem);
        if (f.balance != 0 || !clean) return -1;
        if (ok) return f.calls <= at ? at - 1 : -1;
    }
    return -1;
}

#endif
