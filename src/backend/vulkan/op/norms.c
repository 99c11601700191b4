/* NORM, L2NORM, SOFTMAX: a workgroup per row. MEAN: a workgroup per 32 columns. */
#include "../kern.h"

/* The beginning of all three: result, x; the rest of the push constants follows. */
static void begin(mm__vk_recorder *r, mm__vk_draft *j, const mm__call *c, mm__vk_shader_id shader)
{
    mm__vk_begin(j, shader, MM__VK_LANES);
    mm__vk_view(r, j, &c->out);
    mm__vk_view(r, j, &c->in[0]);
}

static void end(mm__vk_recorder *r, mm__vk_draft *j, const mm__call *c)
{
    mm__vk_u32(j, mm__view_rows(&c->out));
    mm__vk_u32(j, mm__view_cols(&c->out));
    mm__vk_groups(r, j, mm__view_rows(&c->out), 1, 1);
}

static mm_status record_norm(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    begin(r, &j, c, mm__vk_reducing(r, MM__VK_SHADER_norm));
    for (int i = 1; i < 3; i++) {
        mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[i], NULL));
        mm__vk_u32(&j, mm__vk_has(c, i));
    }
    end(r, &j, c);
    mm__vk_f32(&j, c->args.eps);
    return mm__vk_emit(r, &j, 4.0 * mm__vk_elements(&c->out), err);
}

static mm_status record_l2norm(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    begin(r, &j, c, mm__vk_reducing(r, MM__VK_SHADER_l2norm));
    end(r, &j, c);
    mm__vk_f32(&j, c->args.eps);
    return mm__vk_emit(r, &j, 3.0 * mm__vk_elements(&c->out), err);
}

static mm_status record_softmax(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    begin(r, &j, c, mm__vk_reducing(r, MM__VK_SHADER_softmax));
    end(r, &j, c);
    return mm__vk_emit(r, &j, 12.0 * mm__vk_elements(&c->out), err);
}

static bool accepts_mean(const mm__vk_limits *l, const mm__call *c) { return mm__vk_countable(&c->in[0]); }

static mm_status record_mean(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_mean, MM__VK_LANES);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->out, NULL));
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, mm__view_rows(&c->in[0]));
    mm__vk_u32(&j, mm__view_cols(&c->in[0]));
    mm__vk_groups(r, &j, (mm__view_cols(&c->in[0]) + 31) / 32, 1, 1);
    return mm__vk_emit(r, &j, mm__vk_elements(&c->in[0]), err);
}

const mm__vk_kern mm__vk_kern_norm = {.name = "norm", .record = record_norm, .uses = mm__vk_uses_subgroups};
const mm__vk_kern mm__vk_kern_l2norm = {.name = "l2norm", .record = record_l2norm, .uses = mm__vk_uses_subgroups};
const mm__vk_kern mm__vk_kern_softmax = {.name = "softmax", .record = record_softmax, .uses = mm__vk_uses_subgroups};
const mm__vk_kern mm__vk_kern_mean = {.name = "mean", .accepts = accepts_mean, .record = record_mean};
