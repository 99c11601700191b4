/* The backend's own record, and what runs on the processor in its place. */
#ifndef MM__VK_FALLBACK_H
#define MM__VK_FALLBACK_H

#include "cache.h"
#include "prove.h"

/* Why the processor runs a call. */
typedef enum mm__vk_reason {
#define MM__VK_REASON(name, text) MM__VK_##name,
#include "reasons.def"
#undef MM__VK_REASON
    MM__VK_REASONS
} mm__vk_reason;

typedef struct mm__vulkan {
    mm__backend base;
    mm__vk_device device;
    mm__vk_memory memory;
    mm__vk_pipelines pipelines;
    mm__vk_stream stream;
    mm__vk_piece *nothing;     /* zeros */
    mm__backend *host;         /* runs what no shader does */
    mm__vk_proofs proofs;
    mm__vk_cache cache;
    atomic_int gpu_layers;     /* of a decoder; INT32_MAX: all */
    atomic_uint on_host;       /* parts that the host has, a bit each */
    atomic_uint reported;      /* operators whose fall-back was logged, a bit each */
    atomic_ullong fallen[MM__N_OP][MM__VK_REASONS]; /* calls that the processor ran */
} mm__vulkan;
_Static_assert(MM__N_OP <= 32, "operators fit the bits of a word");

/* Runs n calls on the host backend; the stream's turn is the caller's. What was recorded before is finished first. */
mm_status mm__vulkan_fallback(mm__vulkan *v, const mm__call *calls, size_t n, const atomic_int *cancel, mm_error *err);

#endif
