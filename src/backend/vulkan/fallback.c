/* Calls on the processor. Where the host sees the device's memory, and reads it as fast as its own, they run on it where it lies,
 * as one list. Elsewhere each call runs on copies: its views are copied out as they lie, gaps between rows included, and the
 * result's copy goes back; the result is copied out as well, because what lies between its rows must survive. Weights and caches
 * that the host has are used as they are. */
#include "fallback.h"

#include "../../base/error.h"

/* As shaders compute, where it is not the host's own weights that are computed with. */
static mm__call for_host(const mm__call *c)
{
    mm__call out = *c;
    out.exact = c->exact || !c->aside;
    return out;
}

/* ---- where it lies ---- */

/* *ok: whether the host sees what the view shows. */
static void lead_to_memory(mm__vulkan *v, mm__view *view, bool *ok)
{
    mm__vk_place place;
    if (!view->data || !mm__vk_is_key(&v->memory, view->data)) return;
    *ok = mm__vk_find(&v->memory, view->data, &place) && place.mapped && mm__vk_extent(view) <= place.end - place.offset;
    if (*ok) view->data = place.mapped;
}

static mm_status run_host(mm__vulkan *v, const mm__call *calls, size_t n, const atomic_int *cancel, mm_error *err)
{
    const mm__backend_ops *ops = v->host->ops;
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t need = ops->scratch(v->host, &calls[i]);
        if (need > bytes) bytes = need;
    }
    void *scratch = bytes ? mm__alloc(v->base.mem, bytes) : NULL;
    if (bytes && !scratch) return mm__nomem(err, "a call on the processor");
    const mm_status s = ops->run(v->host, calls, n, scratch, cancel, err);
    mm__free(v->base.mem, scratch);
    return s;
}

static mm_status run_in_place(mm__vulkan *v, const mm__call *calls, size_t n, const atomic_int *cancel, mm_error *err)
{
    bool ok = true;
    mm__call *list = mm__calloc(v->base.mem, n, sizeof *list);
    if (!list) return mm__nomem(err, "calls on the processor");
    for (size_t i = 0; i < n && ok; i++) {
        list[i] = for_host(&calls[i]);
        lead_to_memory(v, &list[i].out, &ok);
        for (int k = 0; k < MM__MAX_IN && ok; k++)
            if (mm__vk_has(&calls[i], k)) lead_to_memory(v, &list[i].in[k], &ok);
    }
    const mm_status s = ok ? run_host(v, list, n, cancel, err) : mm__fail(err, MM_E_INTERNAL, "a view lies outside the device's memory");
    mm__free(v->base.mem, list);
    return s;
}

/* ---- on copies ---- */

/* A copy of what v shows, in *block, and v led to it. */
static mm_status copy_out(mm__vulkan *v, mm__view *view, void **block, mm_error *err)
{
    mm__vk_place from;
    const uint64_t bytes = mm__vk_extent(view);
    if (!view->data || !mm__vk_is_key(&v->memory, view->data)) return MM_OK;
    if (!mm__vk_find(&v->memory, view->data, &from) || bytes > from.end - from.offset)
        return mm__fail(err, MM_E_INTERNAL, "a view lies outside the device's memory");
    *block = mm__alloc(v->base.mem, bytes);
    if (!*block) return mm__nomem(err, "a call on the processor");
    view->data = *block;
    return mm__vk_fetch(&v->stream, &from, *block, bytes, err);
}

static mm_status run_on_copies(mm__vulkan *v, const mm__call *c, const atomic_int *cancel, mm_error *err)
{
    void *blocks[MM__MAX_IN + 1] = {0};
    mm__call copy = for_host(c);
    mm__vk_place to;
    mm_status s = copy_out(v, &copy.out, &blocks[MM__MAX_IN], err);
    for (int i = 0; i < MM__MAX_IN && s >= 0; i++) {
        if (!mm__vk_has(c, i)) continue;
        if (c->op == MM__OP_KV_WRITE && i == 0) copy.in[0].data = copy.out.data; /* the cache is input and result */
        else s = copy_out(v, &copy.in[i], &blocks[i], err);
    }
    if (s >= 0) s = run_host(v, &copy, 1, cancel, err);
    if (s >= 0 && blocks[MM__MAX_IN] && !mm__vk_find(&v->memory, c->out.data, &to)) s = mm__fail(err, MM_E_INTERNAL, "a result lies outside the device's memory");
    if (s >= 0 && blocks[MM__MAX_IN]) s = mm__vk_put(&v->stream, &to, copy.out.data, mm__vk_extent(&c->out), err);
    for (int i = 0; i <= MM__MAX_IN; i++) mm__free(v->base.mem, blocks[i]);
    return s;
}

mm_status mm__vulkan_fallback(mm__vulkan *v, const mm__call *calls, size_t n, const atomic_int *cancel, mm_error *err)
{
    mm_status s = mm__vk_finish(&v->stream, err);
    if (s >= 0 && v->memory.quick) return run_in_place(v, calls, n, cancel, err);
    for (size_t i = 0; i < n && s >= 0; i++) s = run_on_copies(v, &calls[i], cancel, err);
    return s;
}
