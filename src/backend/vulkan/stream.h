/* The one way to the queue. Work is recorded into one of two command buffers; when enough is in it, it is submitted and the
 * other one is filled meanwhile, so the device stays busy and no submission is long: operating systems reset a device that
 * does not answer for a second or two, and a cancel waits for what is submitted. How much is enough is learnt from the
 * submissions before.
 *
 * Order: a submission begins with a barrier against all before it; within one, mm__vk_barrier stands only where the caller
 * says that calls depend. Descriptor sets come from pools that are reset with their command buffer.
 *
 * Waits are finite: a device that has not finished after MM__VK_WAIT seconds counts as lost, and what it may still use is
 * not destroyed.
 *
 * One thread at a time: take a turn (mm__vk_turn) before anything else here. */
#ifndef MM__VK_STREAM_H
#define MM__VK_STREAM_H

#include "memory.h"
#include "pipeline.h"

#include <stdatomic.h>

/* Part of a buffer that a shader sees. */
typedef struct mm__vk_window {
    VkBuffer buffer;
    uint64_t offset, bytes;
} mm__vk_window;

/* One dispatch. Push constants are 32-bit words in the order of the shader's block. */
typedef struct mm__vk_job {
    mm__vk_shader_id shader;
    uint32_t spec[MM__VK_SPECS];
    mm__vk_window bind[MM__VK_BINDINGS];
    uint32_t n_bind;
    uint32_t push[MM__VK_PUSH / 4];
    uint32_t n_push;
    uint32_t groups[3];
    double work;               /* multiply-adds, or words moved, roughly */
} mm__vk_job;

typedef enum mm__vk_count {
#define MM__VK_COUNT(name, key, what) MM__VK_##name,
#include "counts.def"
#undef MM__VK_COUNT
    MM__VK_COUNTS
} mm__vk_count;

typedef struct mm__vk_slot {
    VkCommandBuffer commands;
    VkFence fence;
    VkDescriptorPool *pools;
    size_t n_pools, cap_pools;
    size_t sets;               /* handed out since the last reset */
    double work, submitted_at;
    bool recording, running;
} mm__vk_slot;

typedef struct mm__vk_stream {
    mm__vk_device *device;
    mm__vk_memory *memory;
    mm__vk_pipelines *pipelines;
    mm__mutex lock;
    mm__cond free;
    bool lock_ok, free_ok;
    bool busy;                 /* somebody has the turn */
    VkCommandPool pool;
    mm__vk_slot slots[2];
    int at;                    /* slot being filled */
    double work_limit;         /* of one submission */
    double fixed_limit;        /* set by a test, or 0 */
    mm__vk_piece *staging;
    atomic_ullong counts[MM__VK_COUNTS]; /* since opening; read by anybody */
} mm__vk_stream;

mm_status mm__vk_stream_open(mm__vk_stream *s, mm__vk_device *d, mm__vk_memory *m, mm__vk_pipelines *p, const mm__vulkan_options *o, mm_error *err);
void mm__vk_stream_close(mm__vk_stream *s);

/* Waits for the turn; MM_E_CANCELLED when *cancel (may be NULL) is set meanwhile, MM_E_DEVICE when the device is lost. */
mm_status mm__vk_turn(mm__vk_stream *s, const atomic_int *cancel, mm_error *err);
void mm__vk_turn_end(mm__vk_stream *s);

static inline void mm__vk_count_up(mm__vk_stream *s, mm__vk_count c, double n)
{
    atomic_fetch_add_explicit(&s->counts[c], (unsigned long long)n, memory_order_relaxed);
}

/* Records one dispatch, submitting first what is enough. */
mm_status mm__vk_dispatch(mm__vk_stream *s, const mm__vk_job *job, mm_error *err);
/* What follows sees what came before. */
mm_status mm__vk_barrier(mm__vk_stream *s, mm_error *err);
/* Submits what was recorded and waits until the device is idle. Also after a failure, so that memory can be freed. */
mm_status mm__vk_finish(mm__vk_stream *s, mm_error *err);
/* Copies. The device is idle afterwards. */
mm_status mm__vk_put(mm__vk_stream *s, const mm__vk_place *to, const void *host, uint64_t bytes, mm_error *err);
mm_status mm__vk_fetch(mm__vk_stream *s, const mm__vk_place *from, void *host, uint64_t bytes, mm_error *err);
mm_status mm__vk_clear(mm__vk_stream *s, const mm__vk_place *to, uint64_t bytes, mm_error *err);

#endif
