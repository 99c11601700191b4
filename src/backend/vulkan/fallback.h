/* The backend's own record, and what runs on the processor in its place. */
#ifndef MM__VK_FALLBACK_H
#define MM__VK_FALLBACK_H

#include "kern.h"

typedef struct mm__vulkan {
    mm__backend base;
    mm__vk_device device;
    mm__vk_memory memory;
    mm__vk_pipelines pipelines;
    mm__vk_stream stream;
    mm__vk_piece *nothing;     /* zeros */
    mm__backend *host;         /* runs what no shader does */
    atomic_uint reported;      /* operators whose fall-back was logged, a bit each */
} mm__vulkan;
_Static_assert(MM__N_OP <= 32, "operators fit the bits of a word");

/* Runs one call on the host backend; the stream's turn is the caller's. What was recorded before is finished first. */
mm_status mm__vulkan_fallback(mm__vulkan *v, const mm__call *c, const atomic_int *cancel, mm_error *err);

#endif
