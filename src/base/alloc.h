/* The one way to memory. An mm__mem accounts every byte of an engine, enforces its limit, and forwards to the host's
 * allocator (or libc). Blocks are 64-byte aligned and carry a hidden header, so freeing needs no size. It also holds the
 * engine's other limits (limits.h).
 * Thread-safe. All functions accept NULL blocks. */
#ifndef MM__BASE_ALLOC_H
#define MM__BASE_ALLOC_H

#include "../../include/libmm.h"
#include <stdbool.h>

typedef struct mm__mem mm__mem;

/* `host` NULL: libc. limit 0: none, at most INT64_MAX counts. NULL when the first allocation already fails. */
mm__mem *mm__mem_create(const mm_allocator *host, uint64_t limit);
void mm__mem_destroy(mm__mem *mem);
uint64_t mm__mem_live(const mm__mem *mem);
uint64_t mm__mem_peak(const mm__mem *mem);

/* Books memory that a third-party library takes from elsewhere on the engine's behalf; false when the limit forbids it. */
bool mm__mem_charge(mm__mem *mem, uint64_t bytes);
void mm__mem_discharge(mm__mem *mem, uint64_t bytes);

/* Something that keeps memory it can do without, such as a cache. When the limit or the host refuses a request, `give` is called,
 * on the thread that asked, until the request is served or nothing is left: it parts with a block, which is freed then, and
 * returns it, or NULL. It must not allocate, nor take a lock that is ever held while something is allocated. The struct stays the
 * caller's, in place until it is taken off again; from then on `give` is not called. */
typedef struct mm__spare {
    void *(*give)(void *user);
    void *user;
    struct mm__spare *next;
} mm__spare;
void mm__mem_spare_add(mm__mem *mem, mm__spare *s);
void mm__mem_spare_remove(mm__mem *mem, mm__spare *s);
/* Frees all that can be spared. */
void mm__mem_spare_all(mm__mem *mem);

/* A part of an engine's memory with a limit of its own, for one session, or counted by itself, for one model: what a thread
 * allocates from `mem` between enter and leave is booked there, too, whoever frees it later. NULL stands for no account. An
 * account lives until it is closed and its last block is freed. */
typedef struct mm__account mm__account;
/* limit 0: *out is NULL. False when memory is short. */
bool mm__account_open(mm__mem *mem, uint64_t limit, mm__account **out);
void mm__account_close(mm__account *a);
/* Bytes of the blocks that are booked on it now. */
uint64_t mm__account_live(const mm__account *a);
/* The account of this thread from here on; returns the one before, to be entered again. */
mm__account *mm__account_enter(mm__account *a);

/* Uninitialised / zeroed memory; NULL on failure. 0 bytes gives a valid pointer. */
void *mm__alloc(mm__mem *mem, size_t bytes);
void *mm__zalloc(mm__mem *mem, size_t bytes);
/* The same for a weight: it is read in long streams and lives as long as its model, so it is put beside others, on large
 * pages where the system has them. Uninitialised. */
void *mm__alloc_weights(mm__mem *mem, size_t bytes);
/* n * each with overflow check, zeroed. */
void *mm__calloc(mm__mem *mem, size_t n, size_t each);
/* Keeps the first min(old, new) bytes; the old block stays valid on failure. */
void *mm__realloc(mm__mem *mem, void *p, size_t bytes);
void mm__free(mm__mem *mem, void *p);
char *mm__strdup(mm__mem *mem, const char *s);
char *mm__strndup(mm__mem *mem, const char *s, size_t n);

/* Makes room for one more element in a growing array: *items has *cap slots of `each` bytes, n in use. */
bool mm__grow(mm__mem *mem, void *items_ptr, size_t n, size_t *cap, size_t each);

#endif
