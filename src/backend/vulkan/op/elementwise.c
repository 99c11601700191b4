/* ADD, MUL, SCALE, ACT: one invocation per element. */
#include "../kern.h"

static mm_status binary(mm__vk_recorder *r, const mm__call *c, mm__vk_shader_id shader, mm_error *err)
{
    const int64_t cols = mm__view_cols(&c->out);
    mm__vk_draft j;
    mm__vk_begin(&j, shader, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_view(r, &j, &c->in[1]);
    mm__vk_u32(&j, mm__view_rows(&c->out));
    mm__vk_u32(&j, cols);
    mm__vk_u32(&j, mm__view_rows(&c->in[1]));
    mm__vk_u32(&j, mm__view_cols(&c->in[1]) == cols);
    mm__vk_by_elements(r, &j, &c->out);
    return mm__vk_emit(r, &j, 3.0 * mm__vk_elements(&c->out), err);
}

static mm_status record_add(mm__vk_recorder *r, const mm__call *c, mm_error *err) { return binary(r, c, MM__VK_SHADER_add, err); }
static mm_status record_mul(mm__vk_recorder *r, const mm__call *c, mm_error *err) { return binary(r, c, MM__VK_SHADER_mul, err); }

static mm_status record_scale(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_scale, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, mm__view_rows(&c->out));
    mm__vk_u32(&j, mm__view_cols(&c->out));
    mm__vk_f32(&j, c->args.scale);
    mm__vk_f32(&j, c->args.offset);
    mm__vk_by_elements(r, &j, &c->out);
    return mm__vk_emit(r, &j, 2.0 * mm__vk_elements(&c->out), err);
}

static mm_status record_act(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_act, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, mm__view_rows(&c->out));
    mm__vk_u32(&j, mm__view_cols(&c->out));
    mm__vk_u32(&j, c->args.act);
    mm__vk_by_elements(r, &j, &c->out);
    return mm__vk_emit(r, &j, 8.0 * mm__vk_elements(&c->out), err);
}

const mm__vk_kern mm__vk_kern_add = {.name = "add", .record = record_add};
const mm__vk_kern mm__vk_kern_mul = {.name = "mul", .record = record_mul};
const mm__vk_kern mm__vk_kern_scale = {.name = "scale", .record = record_scale};
const mm__vk_kern mm__vk_kern_act = {.name = "act", .record = record_act};
