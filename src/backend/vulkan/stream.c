/* Recording, submitting, waiting. */
#include "stream.h"

#include "../../base/error.h"
#include "../../base/stop.h"

#include <string.h>

#define POOL_SETS 64u
#define STAGING_BYTES (4u << 20)
#define WORK_START 3e7                 /* of the first submission: a few ms on the slowest devices */
#define WORK_LEAST 1e5
#define WORK_LAUNCH 2e4                /* what a dispatch costs beside its work */
#define SECONDS_WANTED 0.01            /* of one submission */
#define TICK_NS 100000000ull           /* of one wait */

/* ---- turns ---- */

mm_status mm__vk_turn(mm__vk_stream *s, const atomic_int *cancel, mm_error *err)
{
    bool cancelled = false;
    mm__mutex_lock(&s->lock);
    while (s->busy && !cancelled) {
        mm__cond_wait_for(&s->free, &s->lock, 0.01);
        cancelled = mm__told_to_stop(cancel);
    }
    if (!cancelled) s->busy = true;
    mm__mutex_unlock(&s->lock);
    if (cancelled) return mm__fail(err, MM_E_CANCELLED, "cancelled while the device was busy");
    const mm_status st = mm__vk_alive(s->device, err);
    if (st < 0) mm__vk_turn_end(s);
    return st;
}

void mm__vk_turn_end(mm__vk_stream *s)
{
    mm__mutex_lock(&s->lock);
    s->busy = false;
    mm__cond_broadcast(&s->free);
    mm__mutex_unlock(&s->lock);
}

/* ---- waiting ---- */

/* The more a submission exceeded or missed its time, the more the next ones change; by no more than a factor of two. */
static void learn(mm__vk_stream *s, const mm__vk_slot *slot)
{
    if (s->fixed_limit > 0.0 || slot->work < s->work_limit / 2) return;
    const double seconds = mm__os_now() - slot->submitted_at, ratio = SECONDS_WANTED / (seconds > 1e-6 ? seconds : 1e-6);
    s->work_limit *= ratio < 0.5 ? 0.5 : ratio > 2.0 ? 2.0 : ratio;
    if (s->work_limit < WORK_LEAST) s->work_limit = WORK_LEAST;
}

/* A wait that fails, for want of memory maybe, says nothing of the work: the next one may tell. A device that fails that, too,
 * may use its memory for ever, and is as good as lost. */
static mm_status wait_slot(mm__vk_stream *s, mm__vk_slot *slot, mm_error *err)
{
    mm__vk_device *d = s->device;
    const double until = mm__os_now() + d->wait_seconds;
    VkResult r = VK_TIMEOUT;
    if (!slot->running) return MM_OK;
    for (int failures = 0; failures < 2 && r != VK_SUCCESS && r != VK_ERROR_DEVICE_LOST && mm__os_now() < until; failures += r != VK_TIMEOUT)
        r = d->api.WaitForFences(d->device, 1, &slot->fence, VK_TRUE, TICK_NS);
    if (r == VK_SUCCESS) {
        slot->running = false;
        learn(s, slot);
        return MM_OK;
    }
    d->lost = true;
    if (r == VK_TIMEOUT) {
        d->hung = true;
        return mm__fail(err, MM_E_DEVICE, "%s has not answered for %.0f seconds and counts as lost", d->name, d->wait_seconds);
    }
    /* Whether what was submitted has ended is still to be known before its memory goes. */
    slot->running = d->api.WaitForFences(d->device, 1, &slot->fence, VK_TRUE, TICK_NS) == VK_TIMEOUT;
    return mm__vk_check(d, r, "vkWaitForFences", err);
}

/* ---- command buffers ---- */

static void memory_barrier(const mm__vk_stream *s, VkCommandBuffer commands, VkPipelineStageFlags to, VkAccessFlags access)
{
    const VkPipelineStageFlags from = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
    const VkMemoryBarrier b = {.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                               .srcAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT,
                               .dstAccessMask = access};
    s->device->api.CmdPipelineBarrier(commands, from, to, 0, 1, &b, 0, NULL, 0, NULL);
}

static void barrier_between(const mm__vk_stream *s, VkCommandBuffer commands)
{
    memory_barrier(s, commands, VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT,
                   VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT);
}

/* The slot that records, begun if it does not yet. */
static mm_status open_slot(mm__vk_stream *s, mm__vk_slot **out, mm_error *err)
{
    mm__vk_device *d = s->device;
    mm__vk_slot *slot = &s->slots[s->at];
    *out = slot;
    if (slot->recording) return MM_OK;
    mm_status st = wait_slot(s, slot, err);
    for (size_t i = 0; i * POOL_SETS < slot->sets && st >= 0; i++)
        st = mm__vk_check(d, d->api.ResetDescriptorPool(d->device, slot->pools[i], 0), "vkResetDescriptorPool", err);
    if (st < 0) return st;
    slot->sets = 0;
    slot->work = 0.0;
    const VkCommandBufferBeginInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO, .flags = VK_COMMAND_BUFFER_USAGE_ONE_TIME_SUBMIT_BIT};
    st = mm__vk_check(d, d->api.BeginCommandBuffer(slot->commands, &info), "vkBeginCommandBuffer", err);
    if (st < 0) return st;
    slot->recording = true;
    barrier_between(s, slot->commands);
    return MM_OK;
}

static mm_status submit(mm__vk_stream *s, mm_error *err)
{
    mm__vk_device *d = s->device;
    mm__vk_slot *slot = &s->slots[s->at];
    if (!slot->recording) return MM_OK;
    slot->recording = false;
    memory_barrier(s, slot->commands, VK_PIPELINE_STAGE_HOST_BIT, VK_ACCESS_HOST_READ_BIT);
    mm_status st = mm__vk_check(d, d->api.EndCommandBuffer(slot->commands), "vkEndCommandBuffer", err);
    if (st < 0) d->api.ResetCommandBuffer(slot->commands, 0); /* what is left of it must not be begun */
    if (st >= 0) st = mm__vk_check(d, d->api.ResetFences(d->device, 1, &slot->fence), "vkResetFences", err);
    if (st < 0) return st;
    const VkSubmitInfo info = {.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO, .commandBufferCount = 1, .pCommandBuffers = &slot->commands};
    st = mm__vk_check(d, d->api.QueueSubmit(d->queue, 1, &info, slot->fence), "vkQueueSubmit", err);
    if (st < 0) return st;
    slot->running = true;
    slot->submitted_at = mm__os_now();
    mm__vk_count_up(s, MM__VK_SUBMISSIONS, 1);
    s->at ^= 1;
    return MM_OK;
}

mm_status mm__vk_finish(mm__vk_stream *s, mm_error *err)
{
    mm_status st = submit(s, err);
    if (s->slots[0].running || s->slots[1].running) mm__vk_count_up(s, MM__VK_WAITS, 1);
    for (int i = 0; i < 2; i++) {
        const mm_status waited = wait_slot(s, &s->slots[s->at ^ i], st < 0 ? NULL : err);
        if (st >= 0) st = waited;
    }
    return st;
}

/* ---- dispatches ---- */

static mm_status new_pool(mm__vk_stream *s, mm__vk_slot *slot, mm_error *err)
{
    mm__vk_device *d = s->device;
    const VkDescriptorPoolSize size = {VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, POOL_SETS * MM__VK_BINDINGS};
    const VkDescriptorPoolCreateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO, .maxSets = POOL_SETS, .poolSizeCount = 1, .pPoolSizes = &size};
    if (!mm__grow(d->mem, &slot->pools, slot->n_pools, &slot->cap_pools, sizeof *slot->pools)) return mm__nomem(err, "descriptors");
    const mm_status st = mm__vk_check(d, d->api.CreateDescriptorPool(d->device, &info, NULL, &slot->pools[slot->n_pools]), "vkCreateDescriptorPool", err);
    if (st >= 0) slot->n_pools++;
    return st;
}

static mm_status new_set(mm__vk_stream *s, mm__vk_slot *slot, VkDescriptorSet *out, mm_error *err)
{
    mm__vk_device *d = s->device;
    mm_status st = MM_OK;
    if (slot->sets / POOL_SETS == slot->n_pools) st = new_pool(s, slot, err);
    if (st < 0) return st;
    const VkDescriptorSetAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO, .descriptorPool = slot->pools[slot->sets / POOL_SETS],
                                              .descriptorSetCount = 1, .pSetLayouts = &s->pipelines->set};
    st = mm__vk_check(d, d->api.AllocateDescriptorSets(d->device, &info, out), "vkAllocateDescriptorSets", err);
    if (st >= 0) slot->sets++;
    return st;
}

static void fill_set(const mm__vk_stream *s, VkDescriptorSet set, const mm__vk_job *job)
{
    VkDescriptorBufferInfo buffers[MM__VK_BINDINGS];
    for (uint32_t i = 0; i < job->n_bind; i++) buffers[i] = (VkDescriptorBufferInfo){job->bind[i].buffer, job->bind[i].offset, job->bind[i].bytes};
    const VkWriteDescriptorSet w = {.sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET, .dstSet = set, .descriptorCount = job->n_bind,
                                    .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .pBufferInfo = buffers};
    s->device->api.UpdateDescriptorSets(s->device->device, 1, &w, 0, NULL);
}

static void count(mm__vk_stream *s, const mm__vk_job *job)
{
    double bytes = 0.0;
    for (uint32_t i = 0; i < job->n_bind; i++) bytes += (double)job->bind[i].bytes;
    mm__vk_count_up(s, MM__VK_DISPATCHES, 1);
    mm__vk_count_up(s, MM__VK_INVOCATIONS, (double)job->groups[0] * job->groups[1] * job->groups[2] * job->spec[0]);
    mm__vk_count_up(s, MM__VK_WORK, job->work);
    mm__vk_count_up(s, MM__VK_BYTES, bytes);
}

mm_status mm__vk_dispatch(mm__vk_stream *s, const mm__vk_job *job, mm_error *err)
{
    const mm__vk_api *api = &s->device->api;
    mm__vk_slot *slot = &s->slots[s->at];
    VkDescriptorSet set;
    VkPipeline pipeline;
    mm_status st = MM_OK;
    if (slot->recording && slot->work + job->work > s->work_limit) st = submit(s, err);
    if (st >= 0) st = mm__vk_pipeline_get(s->pipelines, job->shader, job->spec, &pipeline, err);
    if (st >= 0) st = open_slot(s, &slot, err);
    if (st >= 0) st = new_set(s, slot, &set, err);
    if (st < 0) return st;
    fill_set(s, set, job);
    api->CmdBindPipeline(slot->commands, VK_PIPELINE_BIND_POINT_COMPUTE, pipeline);
    api->CmdBindDescriptorSets(slot->commands, VK_PIPELINE_BIND_POINT_COMPUTE, s->pipelines->layout, 0, 1, &set, 0, NULL);
    if (job->n_push) api->CmdPushConstants(slot->commands, s->pipelines->layout, VK_SHADER_STAGE_COMPUTE_BIT, 0, job->n_push * 4, job->push);
    api->CmdDispatch(slot->commands, job->groups[0], job->groups[1], job->groups[2]);
    slot->work += job->work + WORK_LAUNCH;
    count(s, job);
    return MM_OK;
}

mm_status mm__vk_barrier(mm__vk_stream *s, mm_error *err)
{
    mm__vk_slot *slot = &s->slots[s->at];
    if (!slot->recording || slot->work <= 0.0) return MM_OK; /* what begins a submission waits anyway */
    barrier_between(s, slot->commands);
    mm__vk_count_up(s, MM__VK_BARRIERS, 1);
    return MM_OK;
}

/* ---- copies ---- */

static mm_status copy(mm__vk_stream *s, VkBuffer from, uint64_t from_at, VkBuffer to, uint64_t to_at, uint64_t bytes, mm_error *err)
{
    mm__vk_slot *slot;
    const VkBufferCopy region = {from_at, to_at, bytes};
    const mm_status st = open_slot(s, &slot, err);
    if (st < 0) return st;
    barrier_between(s, slot->commands);
    s->device->api.CmdCopyBuffer(slot->commands, from, to, 1, &region);
    return mm__vk_finish(s, err);
}

mm_status mm__vk_put(mm__vk_stream *s, const mm__vk_place *to, const void *host, uint64_t bytes, mm_error *err)
{
    mm__vk_place by;
    mm_status st = MM_OK;
    if (to->mapped) {
        memcpy(to->mapped, host, bytes);
        return MM_OK;
    }
    if (!mm__vk_find(s->memory, mm__vk_address(s->staging), &by)) return mm__fail(err, MM_E_INTERNAL, "the staging buffer is lost");
    for (uint64_t at = 0; at < bytes && st >= 0; at += STAGING_BYTES) {
        const uint64_t n = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        memcpy(by.mapped, (const unsigned char *)host + at, n);
        st = copy(s, by.buffer, by.offset, to->buffer, to->offset + at, n, err);
    }
    return st;
}

mm_status mm__vk_fetch(mm__vk_stream *s, const mm__vk_place *from, void *host, uint64_t bytes, mm_error *err)
{
    mm__vk_place by;
    mm_status st = MM_OK;
    if (from->mapped) {
        memcpy(host, from->mapped, bytes);
        return MM_OK;
    }
    if (!mm__vk_find(s->memory, mm__vk_address(s->staging), &by)) return mm__fail(err, MM_E_INTERNAL, "the staging buffer is lost");
    for (uint64_t at = 0; at < bytes && st >= 0; at += STAGING_BYTES) {
        const uint64_t n = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
        st = copy(s, from->buffer, from->offset + at, by.buffer, by.offset, n, err);
        if (st >= 0) memcpy((unsigned char *)host + at, by.mapped, n);
    }
    return st;
}

mm_status mm__vk_clear(mm__vk_stream *s, const mm__vk_place *to, uint64_t bytes, mm_error *err)
{
    mm__vk_slot *slot;
    if (to->mapped) {
        memset(to->mapped, 0, bytes);
        return MM_OK;
    }
    const mm_status st = open_slot(s, &slot, err);
    if (st < 0) return st;
    s->device->api.CmdFillBuffer(slot->commands, to->buffer, to->offset, (bytes + 3) & ~3ull, 0);
    return mm__vk_finish(s, err);
}

/* ---- life ---- */

static mm_status make_slot(mm__vk_stream *s, mm__vk_slot *slot, mm_error *err)
{
    mm__vk_device *d = s->device;
    const VkCommandBufferAllocateInfo info = {.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO, .commandPool = s->pool,
                                              .level = VK_COMMAND_BUFFER_LEVEL_PRIMARY, .commandBufferCount = 1};
    const VkFenceCreateInfo fence = {.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO};
    mm_status st = mm__vk_check(d, d->api.AllocateCommandBuffers(d->device, &info, &slot->commands), "vkAllocateCommandBuffers", err);
    if (st >= 0) st = mm__vk_check(d, d->api.CreateFence(d->device, &fence, NULL, &slot->fence), "vkCreateFence", err);
    if (st < 0) slot->fence = VK_NULL_HANDLE;
    return st;
}

mm_status mm__vk_stream_open(mm__vk_stream *s, mm__vk_device *d, mm__vk_memory *m, mm__vk_pipelines *p, const mm__vulkan_options *o, mm_error *err)
{
    const VkCommandPoolCreateInfo pool = {.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO,
                                          .flags = VK_COMMAND_POOL_CREATE_RESET_COMMAND_BUFFER_BIT, .queueFamilyIndex = d->family};
    *s = (mm__vk_stream){.device = d, .memory = m, .pipelines = p, .fixed_limit = o->submit_work,
                         .work_limit = o->submit_work > 0.0 ? o->submit_work : WORK_START};
    s->lock_ok = mm__mutex_init(&s->lock);
    s->free_ok = mm__cond_init(&s->free);
    if (!s->lock_ok || !s->free_ok) return mm__nomem(err, "a stream");
    mm_status st = mm__vk_check(d, d->api.CreateCommandPool(d->device, &pool, NULL, &s->pool), "vkCreateCommandPool", err);
    if (st < 0) s->pool = VK_NULL_HANDLE;
    for (int i = 0; i < 2 && st >= 0; i++) st = make_slot(s, &s->slots[i], err);
    if (st >= 0) st = mm__vk_piece_new(m, MM__VK_STAGING, STAGING_BYTES, "a staging buffer", &s->staging, err);
    return st;
}

void mm__vk_stream_close(mm__vk_stream *s)
{
    mm__vk_device *d = s->device;
    if (!d) return;
    for (int i = 0; i < 2; i++) wait_slot(s, &s->slots[i], NULL);
    for (int i = 0; i < 2; i++) {
        mm__vk_slot *slot = &s->slots[i];
        for (size_t k = 0; k < slot->n_pools && !d->hung; k++) d->api.DestroyDescriptorPool(d->device, slot->pools[k], NULL);
        if (slot->fence && !d->hung) d->api.DestroyFence(d->device, slot->fence, NULL);
        mm__free(d->mem, slot->pools);
    }
    if (s->pool && !d->hung) d->api.DestroyCommandPool(d->device, s->pool, NULL);
    if (s->staging) mm__vk_piece_free(s->memory, s->staging);
    if (s->free_ok) mm__cond_destroy(&s->free);
    if (s->lock_ok) mm__mutex_destroy(&s->lock);
    *s = (mm__vk_stream){0};
}
