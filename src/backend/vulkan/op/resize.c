/* RESIZE: a workgroup per point of the result. */
#include "../kern.h"

#define MOST 16384             /* points an axis: what the shader's integers hold */

static bool accepts(const mm__vk_limits *l, const mm__call *c)
{
    const mm__view *x = &c->in[0];
    return x->shape.d[0] <= MOST && x->shape.d[1] <= MOST && c->args.out_h <= MOST && c->args.out_w <= MOST;
}

/* Points of the source that one point of the result reads along an axis. */
static double taps(const mm__call *c, int64_t n, int64_t from)
{
    return c->args.antialias && from > n ? 4.0 * (double)from / (double)n : 4.0;
}

static mm_status record(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const mm__view *x = &c->in[0];
    const int32_t h = c->args.out_h, w = c->args.out_w;
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_resize, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_u32(&j, mm__vk_bind(r, &j, x, NULL));
    mm__vk_u32(&j, x->stride[0]);
    mm__vk_u32(&j, x->stride[1]);
    mm__vk_u32(&j, x->shape.d[2]);
    mm__vk_u32(&j, x->shape.d[0]);
    mm__vk_u32(&j, x->shape.d[1]);
    mm__vk_u32(&j, h);
    mm__vk_u32(&j, w);
    mm__vk_u32(&j, c->args.antialias != 0);
    mm__vk_groups(r, &j, (int64_t)h * w, 1, 1);
    return mm__vk_emit(r, &j, 8.0 * mm__vk_elements(&c->out) * taps(c, h, x->shape.d[0]) * taps(c, w, x->shape.d[1]), err);
}

const mm__vk_kern mm__vk_kern_resize = {.name = "resize", .accepts = accepts, .record = record};
