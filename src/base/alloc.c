/* Memory with accounts.
 *
 * Every block is one allocation of the host (or of libc, used in this file only), 64-byte aligned:
 *
 *     | head: bytes, total (64 bytes) | the caller's bytes, padded to a multiple of 64 |
 *
 * so vector loads on a block never straddle a line, freeing needs no size, and the host's `release` gets back exactly
 * the size it was asked for. The accounts count whole blocks, head and padding included: the limit is about what the
 * process pays, not about what was requested.
 *
 * Threads: `live` is reserved by compare-and-swap before the host is asked, so the limit holds under contention;
 * `peak` follows it. There is no lock. */
#include "alloc.h"
#include "ckd.h"
#include "host.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN ((size_t)64)

struct mm__mem {
    mm_allocator host;
    uint64_t limit;
    _Atomic uint64_t live, peak;
};

typedef struct head {
    size_t bytes; /* asked for */
    size_t total; /* head + bytes, rounded up to ALIGN */
} head;
_Static_assert(sizeof(head) <= ALIGN, "the head fits its line");

static void *libc_alloc(void *user, size_t bytes, size_t align)
{
    return aligned_alloc(align, bytes);
}
static void libc_release(void *user, void *ptr, size_t bytes, size_t align)
{
    free(ptr);
}

static head *head_of(void *p)
{
    return (head *)((unsigned char *)p - ALIGN);
}

_Thread_local int mm__host_depth;

static void host_put(const mm_allocator *host, void *p, size_t total)
{
    mm__host_enter();
    host->release(host->user, p, total, ALIGN);
    mm__host_leave();
}

/* A block of the host, or NULL; a misaligned one counts as a refusal. */
static void *host_get(const mm_allocator *host, size_t total)
{
    mm__host_enter();
    void *p = host->alloc(host->user, total, ALIGN);
    mm__host_leave();
    if (p && ((uintptr_t)p & (ALIGN - 1))) {
        host_put(host, p, total);
        p = NULL;
    }
    return p;
}

mm__mem *mm__mem_create(const mm_allocator *host, uint64_t limit)
{
    const mm_allocator libc = {sizeof libc, 0, NULL, libc_alloc, libc_release};
    const size_t total = (sizeof(mm__mem) + ALIGN - 1) & ~(ALIGN - 1);
    if (!host) host = &libc;
    if (!host->alloc || !host->release || (limit && total > limit)) return NULL;
    mm__mem *mem = host_get(host, total);
    if (!mem) return NULL;
    mem->host = *host;
    mem->limit = limit;
    atomic_init(&mem->live, total);
    atomic_init(&mem->peak, total);
    return mem;
}

void mm__mem_destroy(mm__mem *mem)
{
    if (!mem) return;
    const mm_allocator host = mem->host;
    host_put(&host, mem, (sizeof(mm__mem) + ALIGN - 1) & ~(ALIGN - 1));
}

uint64_t mm__mem_live(const mm__mem *mem)
{
    return mem ? atomic_load(&mem->live) : 0;
}
uint64_t mm__mem_peak(const mm__mem *mem)
{
    return mem ? atomic_load(&mem->peak) : 0;
}

bool mm__mem_charge(mm__mem *mem, uint64_t total)
{
    uint64_t live = atomic_load(&mem->live), next;
    do {
        if (!mm__ckd_add64(live, total, &next)) return false;
        if (mem->limit && next > mem->limit) return false;
    } while (!atomic_compare_exchange_weak(&mem->live, &live, next));
    uint64_t peak = atomic_load(&mem->peak);
    while (peak < next && !atomic_compare_exchange_weak(&mem->peak, &peak, next)) {
    }
    return true;
}

void mm__mem_discharge(mm__mem *mem, uint64_t bytes)
{
    atomic_fetch_sub(&mem->live, bytes);
}

void *mm__alloc(mm__mem *mem, size_t bytes)
{
    size_t total;
    if (!mm__ckd_add(bytes, ALIGN, &total) || !mm__ckd_align(total, ALIGN, &total)) return NULL;
    if (total > PTRDIFF_MAX || !mm__mem_charge(mem, total)) return NULL;
    head *h = host_get(&mem->host, total);
    if (!h) {
        mm__mem_discharge(mem, total);
        return NULL;
    }
    h->bytes = bytes;
    h->total = total;
    return (unsigned char *)h + ALIGN;
}

void *mm__zalloc(mm__mem *mem, size_t bytes)
{
    void *p = mm__alloc(mem, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

void *mm__calloc(mm__mem *mem, size_t n, size_t each)
{
    size_t bytes;
    return mm__ckd_mul(n, each, &bytes) ? mm__zalloc(mem, bytes) : NULL;
}

void *mm__realloc(mm__mem *mem, void *p, size_t bytes)
{
    if (!p) return mm__alloc(mem, bytes);
    head *h = head_of(p);
    const size_t room = h->total - ALIGN;
    if (bytes <= room && bytes >= room / 2) {
        h->bytes = bytes;
        return p;
    }
    void *q = mm__alloc(mem, bytes);
    if (!q) {
        if (bytes > room) return NULL;
        h->bytes = bytes; /* shrinking never fails: the larger block stays */
        return p;
    }
    memcpy(q, p, bytes < h->bytes ? bytes : h->bytes);
    mm__free(mem, p);
    return q;
}

void mm__free(mm__mem *mem, void *p)
{
    if (!p) return;
    head *h = head_of(p);
    const size_t total = h->total;
    host_put(&mem->host, h, total);
    mm__mem_discharge(mem, total);
}

char *mm__strdup(mm__mem *mem, const char *s)
{
    return s ? mm__strndup(mem, s, strlen(s)) : NULL;
}

char *mm__strndup(mm__mem *mem, const char *s, size_t n)
{
    size_t bytes;
    if (!mm__ckd_add(n, 1, &bytes)) return NULL;
    char *p = mm__alloc(mem, bytes);
    if (!p) return NULL;
    if (n) memcpy(p, s, n);
    p[n] = 0;
    return p;
}

bool mm__grow(mm__mem *mem, void *items_ptr, size_t n, size_t *cap, size_t each)
{
    if (n < *cap) return true;
    size_t next, bytes;
    if (!mm__ckd_add(n, n / 2 + 8, &next) || !mm__ckd_mul(next, each, &bytes)) return false;
    void *items;
    memcpy(&items, items_ptr, sizeof items);
    items = mm__realloc(mem, items, bytes);
    if (!items) return false;
    memcpy(items_ptr, &items, sizeof items);
    *cap = next;
    return true;
}
