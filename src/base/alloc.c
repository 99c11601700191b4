/* Memory with accounts.
 *
 * Every block is one allocation of the host (or of libc, used in this file only) or a part of a slab, 64-byte aligned:
 *
 *     | head: bytes, total, account (64 bytes) | the caller's bytes, padded to a multiple of 64, never none |
 *
 * so vector loads on a block never straddle a line, freeing needs no size, and the host's `release` gets back exactly
 * the size it was asked for. An empty block's address lies inside the block too: finders of leaks take a block for lost
 * when all that is kept is the address behind it. The accounts count whole blocks, head and padding included: the limit is
 * about what the process pays, not about what was requested.
 *
 * Blocks of weights that are too small for large pages of their own (mm__alloc_weights) lie one behind the other in slabs of
 * libc's; an allocator of the host gets each one asked for. Nothing in a slab is used twice: it goes back when its last block
 * does. What is left of it was never touched, costs address space only, and is not counted.
 *
 * Threads: `live` is reserved by compare-and-swap before the host is asked, so the limit holds under contention;
 * `peak` follows it. Slabs have a lock, and so have the spares, which give memory back when it is short: theirs is held while one
 * gives, so that none is taken off under it. Which account a thread books to is the thread's own; see handles.h for who sets it. */
#include "alloc.h"
#include "ckd.h"
#include "host.h"
#include "limits.h"
#include "os/os.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN ((size_t)64)
#define LARGE ((size_t)4 << 20) /* blocks from here on are worth large pages */
#define PAGE ((size_t)2 << 20)  /* a large page */
#define SLAB ((size_t)32 << 20)
#define LEAST ((size_t)32 << 10) /* smaller blocks stay out of slabs */

/* The first line of a slab. */
typedef struct slab {
    size_t used;   /* bytes from its start */
    size_t blocks; /* that live */
} slab;

struct mm__mem {
    mm_allocator host;
    mm__mutex lock; /* for slabs */
    slab *slab;     /* the one being filled, or NULL */
    mm__mutex spare_lock;
    mm__spare *spares;
    _Atomic uint64_t live, peak;
    _Atomic uint64_t limits[MM__N_LIMITS];
};

struct mm__account {
    mm__mem *mem;
    uint64_t limit;
    _Atomic uint64_t live, refs; /* refs: blocks, and the one who opened it */
};

typedef struct head {
    size_t bytes; /* asked for */
    size_t total; /* head + bytes, rounded up to ALIGN */
    mm__account *account;
    slab *slab;   /* where it lies, or NULL */
} head;
_Static_assert(sizeof(head) <= ALIGN, "the head fits its line");

static void *libc_alloc(void *user, size_t bytes, size_t align)
{
    void *p = aligned_alloc(align, bytes);
    if (p && bytes >= LARGE) mm__os_large_pages(p, bytes);
    return p;
}
static void libc_release(void *user, void *ptr, size_t bytes, size_t align)
{
    free(ptr);
}

/* Makes an empty slab the one being filled; the full one lives on with its blocks. */
static void slab_next(mm__mem *mem)
{
    slab *s = aligned_alloc(PAGE, SLAB);
    if (!s) return;
    mm__os_large_pages(s, SLAB);
    *s = (slab){.used = ALIGN};
    mem->slab = s;
}

/* `total` bytes of *in; NULL: a slab is no place for them, or none could be had. */
static void *slab_get(mm__mem *mem, size_t total, slab **in)
{
    void *p = NULL;
    if (mem->host.alloc != libc_alloc || total < LEAST || total >= LARGE) return NULL;
    mm__mutex_lock(&mem->lock);
    if (!mem->slab || SLAB - mem->slab->used < total) slab_next(mem);
    if (mem->slab && SLAB - mem->slab->used >= total) {
        *in = mem->slab;
        p = (unsigned char *)mem->slab + mem->slab->used;
        mem->slab->used += total;
        mem->slab->blocks++;
    }
    mm__mutex_unlock(&mem->lock);
    return p;
}

static void slab_put(mm__mem *mem, slab *s)
{
    mm__mutex_lock(&mem->lock);
    if (--s->blocks == 0) {
        if (mem->slab == s) mem->slab = NULL;
        free(s);
    }
    mm__mutex_unlock(&mem->lock);
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
    mem->slab = NULL;
    mem->spares = NULL;
    const bool locks = mm__mutex_init(&mem->lock);
    if (!locks || !mm__mutex_init(&mem->spare_lock)) {
        if (locks) mm__mutex_destroy(&mem->lock);
        host_put(host, mem, total);
        return NULL;
    }
    for (int i = 0; i < MM__N_LIMITS; i++) atomic_init(&mem->limits[i], mm__limit_info_of((mm__limit_id)i)->usual);
    mm__limit_set(mem, MM__LIMIT_MEMORY, limit);
    atomic_init(&mem->live, total);
    atomic_init(&mem->peak, total);
    return mem;
}

void mm__mem_destroy(mm__mem *mem)
{
    if (!mem) return;
    const mm_allocator host = mem->host;
    mm__mutex_destroy(&mem->spare_lock);
    mm__mutex_destroy(&mem->lock);
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

/* Adds to a count that must not pass `limit` (0: none). */
static bool reserve(_Atomic uint64_t *live, uint64_t bytes, uint64_t limit, uint64_t *after)
{
    uint64_t now = atomic_load(live);
    do {
        if (!mm__ckd_add64(now, bytes, after)) return false;
        if (limit && *after > limit) return false;
    } while (!atomic_compare_exchange_weak(live, &now, *after));
    return true;
}

void mm__mem_spare_add(mm__mem *mem, mm__spare *s)
{
    mm__mutex_lock(&mem->spare_lock);
    s->next = mem->spares;
    mem->spares = s;
    mm__mutex_unlock(&mem->spare_lock);
}

void mm__mem_spare_remove(mm__mem *mem, mm__spare *s)
{
    mm__mutex_lock(&mem->spare_lock);
    for (mm__spare **at = &mem->spares; *at; at = &(*at)->next)
        if (*at == s) {
            *at = s->next;
            break;
        }
    mm__mutex_unlock(&mem->spare_lock);
}

/* Frees a block that could be spared, without the lock: the host may release handles from inside its allocator, and so take a
 * spare off. False: there is none. */
static bool spare(mm__mem *mem)
{
    void *block = NULL;
    mm__mutex_lock(&mem->spare_lock);
    for (mm__spare *s = mem->spares; s && !block; s = s->next) block = s->give(s->user);
    mm__mutex_unlock(&mem->spare_lock);
    mm__free(mem, block);
    return block != NULL;
}

void mm__mem_spare_all(mm__mem *mem)
{
    while (spare(mem)) {}
}

bool mm__mem_charge(mm__mem *mem, uint64_t bytes)
{
    uint64_t after;
    while (!reserve(&mem->live, bytes, mm__limit(mem, MM__LIMIT_MEMORY), &after))
        if (!spare(mem)) return false;
    uint64_t peak = atomic_load(&mem->peak);
    while (peak < after && !atomic_compare_exchange_weak(&mem->peak, &peak, after)) {
    }
    return true;
}

void mm__mem_discharge(mm__mem *mem, uint64_t bytes)
{
    atomic_fetch_sub(&mem->live, bytes);
}

uint64_t mm__limit(const mm__mem *mem, mm__limit_id which)
{
    return atomic_load_explicit(&mem->limits[which], memory_order_relaxed);
}

void mm__limit_set(mm__mem *mem, mm__limit_id which, uint64_t value)
{
    const uint64_t most = mm__limit_info_of(which)->most;
    atomic_store_explicit(&mem->limits[which], value < most ? value : most, memory_order_relaxed);
}

/* ---- accounts ---- */

static _Thread_local mm__account *current;

mm__account *mm__account_enter(mm__account *a)
{
    mm__account *before = current;
    current = a;
    return before;
}

bool mm__account_open(mm__mem *mem, uint64_t limit, mm__account **out)
{
    *out = NULL;
    if (!limit) return true;
    mm__account *before = mm__account_enter(NULL), *a = mm__alloc(mem, sizeof *a);
    mm__account_enter(before);
    if (!a) return false;
    a->mem = mem;
    a->limit = limit;
    atomic_init(&a->live, 0);
    atomic_init(&a->refs, 1);
    *out = a;
    return true;
}

void mm__account_close(mm__account *a)
{
    if (a && atomic_fetch_sub(&a->refs, 1) == 1) mm__free(a->mem, a);
}

uint64_t mm__account_live(const mm__account *a)
{
    return atomic_load(&a->live);
}

/* Books a block on the account of this thread, which *out becomes. */
static bool book(mm__mem *mem, size_t total, mm__account **out)
{
    mm__account *a = current && current->mem == mem ? current : NULL;
    uint64_t after;
    *out = a;
    if (!a) return true;
    if (!reserve(&a->live, total, a->limit, &after)) return false;
    atomic_fetch_add(&a->refs, 1);
    return true;
}

static void unbook(mm__account *a, size_t total)
{
    if (!a) return;
    atomic_fetch_sub(&a->live, total);
    mm__account_close(a);
}

/* ---- blocks ---- */

static void *alloc(mm__mem *mem, size_t bytes, bool weights)
{
    size_t total;
    slab *in = NULL;
    mm__account *account;
    if (!mm__ckd_add(bytes ? bytes : 1, ALIGN, &total) || !mm__ckd_align(total, ALIGN, &total)) return NULL;
    if (total > PTRDIFF_MAX || !book(mem, total, &account)) return NULL;
    const bool charged = mm__mem_charge(mem, total);
    head *h = charged && weights ? slab_get(mem, total, &in) : NULL;
    if (charged && !h) h = host_get(&mem->host, total);
    while (charged && !h && spare(mem)) h = host_get(&mem->host, total);
    if (!h) {
        if (charged) mm__mem_discharge(mem, total);
        unbook(account, total);
        return NULL;
    }
    *h = (head){bytes, total, account, in};
    return (unsigned char *)h + ALIGN;
}

void *mm__alloc(mm__mem *mem, size_t bytes) { return alloc(mem, bytes, false); }
void *mm__alloc_weights(mm__mem *mem, size_t bytes) { return alloc(mem, bytes, true); }

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
    mm__account *account = h->account;
    if (h->slab) slab_put(mem, h->slab);
    else host_put(&mem->host, h, total);
    mm__mem_discharge(mem, total);
    unbook(account, total);
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
