/* Memory of the device. Blocks are taken from the driver, each with one buffer over all of it, and cut into pieces by first
 * fit; what does not fit a block gets a block of its own.
 *
 * Keys. The graph works with pointers, so a piece has an address range of its own: `key`, counted up from the middle of the
 * address space and never used twice. A key is no memory of the process; nothing reads through it. mm__vk_place turns any
 * address within a piece back into buffer and offset by binary search. Ranges are separated by unused addresses, so that one
 * past the end of a tensor is not the next tensor.
 *
 * Where the host sees the memory (`mapped`), it is read and written directly; else through the stream's staging buffer.
 * Thread-safe. */
#ifndef MM__VK_MEMORY_H
#define MM__VK_MEMORY_H

#include "device.h"
#include "../../base/os/os.h"

typedef enum mm__vk_kind {
    MM__VK_OWN,                /* fastest for the device */
    MM__VK_STAGING,            /* always mapped */
    MM__VK_KINDS
} mm__vk_kind;

typedef struct mm__vk_block mm__vk_block;

typedef struct mm__vk_piece {
    mm__vk_block *block;
    uint64_t offset, bytes;    /* in the block */
    uintptr_t key;
} mm__vk_piece;

/* Where an address lies. */
typedef struct mm__vk_place {
    VkBuffer buffer;
    uint64_t offset;           /* in the buffer */
    uint64_t begin, end;       /* of the piece in the buffer */
    unsigned char *mapped;     /* the same place as the host sees it, or NULL */
} mm__vk_place;

typedef struct mm__vk_memory {
    mm__vk_device *device;
    mm__mutex lock;
    bool locked_ok;            /* the lock exists */
    bool staged;
    uint64_t block_bytes, used;
    uint32_t type[MM__VK_KINDS];
    bool visible[MM__VK_KINDS];
    bool quick;                /* the host reads the device's own memory as fast as its own */
    mm__vk_block *blocks;
    mm__vk_piece **pieces;     /* by rising key */
    size_t n_pieces, cap_pieces;
    uintptr_t next_key;
} mm__vk_memory;

mm_status mm__vk_memory_open(mm__vk_memory *m, mm__vk_device *d, const mm__vulkan_options *o, mm_error *err);
void mm__vk_memory_close(mm__vk_memory *m);
/* Uninitialised. `what` for the message. MM_E_NOMEM: the device, or the budget, has no more. */
mm_status mm__vk_piece_new(mm__vk_memory *m, mm__vk_kind kind, uint64_t bytes, const char *what, mm__vk_piece **out, mm_error *err);
void mm__vk_piece_free(mm__vk_memory *m, mm__vk_piece *p);
/* False when `address` is in no piece. */
bool mm__vk_find(mm__vk_memory *m, const void *address, mm__vk_place *out);
/* Whether an address is one of keys, be it of a piece that is there or not; others are memory of the process. */
bool mm__vk_is_key(mm__vk_memory *m, const void *address);
/* The piece that begins at this address, or NULL. */
mm__vk_piece *mm__vk_piece_at(mm__vk_memory *m, const void *address);
static inline void *mm__vk_address(const mm__vk_piece *p) { return (void *)p->key; }

#endif
