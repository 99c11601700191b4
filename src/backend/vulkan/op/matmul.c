/* MATMUL: a workgroup per square of 32 x 32 results. */
#include "../kern.h"

#define TILE 32

static bool accepts(const mm__vk_limits *l, const mm__call *c) { return mm__vk_countable(&c->in[0]) && mm__vk_countable(&c->in[1]); }

static mm_status record(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const int64_t t = mm__view_rows(&c->in[0]), s = mm__view_rows(&c->in[1]), k = mm__view_cols(&c->in[0]);
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_matmul, 128);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_view(r, &j, &c->in[1]);
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, s);
    mm__vk_u32(&j, k);
    mm__vk_f32(&j, c->args.scale);
    mm__vk_groups(r, &j, (s + TILE - 1) / TILE, (t + TILE - 1) / TILE, 1);
    return mm__vk_emit(r, &j, (double)t * (double)s * (double)k, err);
}

const mm__vk_kern mm__vk_kern_matmul = {.name = "matmul", .accepts = accepts, .record = record};
