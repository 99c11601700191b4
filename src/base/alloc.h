/* The one way to memory. An mm__mem accounts every byte of an engine, enforces its limit, and forwards to the host's
 * allocator (or libc). Blocks are 64-byte aligned and carry a hidden header, so freeing needs no size.
 * Thread-safe. All functions accept NULL blocks. */
#ifndef MM__BASE_ALLOC_H
#define MM__BASE_ALLOC_H

#include "../../include/libmm.h"
#include <stdbool.h>

typedef struct mm__mem mm__mem;

/* `host` NULL: libc. limit 0: none. NULL when the first allocation already fails. */
mm__mem *mm__mem_create(const mm_allocator *host, uint64_t limit);
void mm__mem_destroy(mm__mem *mem);
uint64_t mm__mem_live(const mm__mem *mem);
uint64_t mm__mem_peak(const mm__mem *mem);

/* Books memory that a third-party library takes from elsewhere on the engine's behalf; false when the limit forbids it. */
bool mm__mem_charge(mm__mem *mem, uint64_t bytes);
void mm__mem_discharge(mm__mem *mem, uint64_t bytes);

/* Uninitialised / zeroed memory; NULL on failure. 0 bytes gives a valid pointer. */
void *mm__alloc(mm__mem *mem, size_t bytes);
void *mm__zalloc(mm__mem *mem, size_t bytes);
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
