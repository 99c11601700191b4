/* What an engine learns of a driver, kept in a file for the next one: compiled pipelines, in the driver's own form, and the
 * verdicts of self-tests. The host says in which folder ("device_cache"). The file's name and first bytes hold a digest of the
 * device, its driver, the version of the library, its shaders and the precision; another of these is another file.
 *
 *   magic[8]  key[32]  digest[32] of the rest | u32 records, u32 bytes | records | bytes of the driver
 *
 * A file that is damaged or belongs to something else counts as none. It is written as a whole or not at all, when the host sets
 * the option again and when the engine ends, unless nothing is new. A driver believes what it is given: the digest finds damage,
 * not malice, so the folder must be one that only the host writes to. */
#ifndef MM__VK_CACHE_H
#define MM__VK_CACHE_H

#include "../../../include/libmm.h"

#include <stdint.h>

struct mm__vulkan;

typedef struct mm__vk_cache {
    char *path;                /* NULL: there is none */
    uint8_t key[32];
    uint8_t digest[32];        /* of what the file holds; zeros: of nothing */
} mm__vk_cache;

/* Keeps what is new in the cache before, then reads that of the folder; "": none from here on. Takes the stream's turn. */
mm_status mm__vk_cache_use(struct mm__vulkan *v, const char *folder, mm_error *err);
/* Keeps what is new and frees. */
void mm__vk_cache_close(struct mm__vulkan *v);

#endif
