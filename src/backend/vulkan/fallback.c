/* A call on the processor: the views are copied out as they lie, gaps between rows included, the call runs on the copies, and
 * the result's copy goes back. The result is copied out as well, because what lies between its rows must survive. */
#include "fallback.h"

#include "../../base/error.h"

/* A copy of what v shows, in *block, and v led to it. */
static mm_status copy_out(mm__vulkan *v, mm__view *view, void **block, mm_error *err)
{
    mm__vk_place from;
    const uint64_t bytes = mm__vk_extent(view);
    if (!mm__vk_find(&v->memory, view->data, &from) || bytes > from.end - from.offset)
        return mm__fail(err, MM_E_INTERNAL, "a view lies outside the device's memory");
    *block = mm__alloc(v->base.mem, bytes);
    if (!*block) return mm__nomem(err, "a call on the processor");
    view->data = *block;
    return mm__vk_fetch(&v->stream, &from, *block, bytes, err);
}

static mm_status run_copy(mm__vulkan *v, mm__call *copy, const atomic_int *cancel, mm_error *err)
{
    const mm__backend_ops *ops = v->host->ops;
    const size_t bytes = ops->scratch(v->host, copy);
    void *scratch = bytes ? mm__alloc(v->base.mem, bytes) : NULL;
    if (bytes && !scratch) return mm__nomem(err, "a call on the processor");
    const mm_status s = ops->run(v->host, copy, 1, scratch, cancel, err);
    mm__free(v->base.mem, scratch);
    return s;
}

mm_status mm__vulkan_fallback(mm__vulkan *v, const mm__call *c, const atomic_int *cancel, mm_error *err)
{
    void *blocks[MM__MAX_IN + 1] = {0};
    mm__call copy = *c;
    mm__vk_place to;
    copy.exact = true; /* as shaders compute */
    mm_status s = mm__vk_finish(&v->stream, err);
    if (s >= 0) s = copy_out(v, &copy.out, &blocks[MM__MAX_IN], err);
    for (int i = 0; i < MM__MAX_IN && s >= 0; i++) {
        if (!mm__vk_has(c, i)) continue;
        if (c->op == MM__OP_KV_WRITE && i == 0) copy.in[0].data = copy.out.data; /* the cache is input and result */
        else s = copy_out(v, &copy.in[i], &blocks[i], err);
    }
    if (s >= 0) s = run_copy(v, &copy, cancel, err);
    if (s >= 0 && !mm__vk_find(&v->memory, c->out.data, &to)) s = mm__fail(err, MM_E_INTERNAL, "a result lies outside the device's memory");
    if (s >= 0) s = mm__vk_put(&v->stream, &to, copy.out.data, mm__vk_extent(&c->out), err);
    for (int i = 0; i <= MM__MAX_IN; i++) mm__free(v->base.mem, blocks[i]);
    mm__vk_count_up(&v->stream, MM__VK_FALLBACKS, 1);
    return s;
}
