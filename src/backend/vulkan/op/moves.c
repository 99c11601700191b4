/* COPY, CONCAT, SPLICE, PATCHES, UNFOLD1D: values go to other places unchanged. */
#include "../kern.h"

/* ---- COPY, CONCAT ---- */

static mm_status copy(mm__vk_recorder *r, const mm__view *to, const mm__view *from, mm_error *err)
{
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_copy, MM__VK_LANES);
    mm__vk_view(r, &j, to);
    mm__vk_view(r, &j, from);
    mm__vk_u32(&j, mm__view_rows(to));
    mm__vk_u32(&j, mm__view_cols(to));
    mm__vk_by_elements(r, &j, to);
    return mm__vk_emit(r, &j, 2.0 * mm__vk_elements(to), err);
}

static mm_status record_copy(mm__vk_recorder *r, const mm__call *c, mm_error *err) { return copy(r, &c->out, &c->in[0], err); }

/* A copy of each input into its part of the result. */
static mm_status record_concat(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__view part = c->out;
    mm_status s = MM_OK;
    for (int i = 0; i < 4 && s >= 0; i++) {
        if (!mm__vk_has(c, i)) continue;
        part.shape = c->in[i].shape;
        s = copy(r, &part, &c->in[i], err);
        part.data = (float *)part.data + part.shape.d[0] * part.stride[0];
    }
    return s;
}

/* ---- SPLICE ---- */

static mm_status record_splice(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_splice, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_view(r, &j, &c->in[1]);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[2], NULL));
    mm__vk_u32(&j, c->in[2].shape.d[0]);
    mm__vk_u32(&j, mm__view_rows(&c->out));
    mm__vk_u32(&j, mm__view_cols(&c->out));
    mm__vk_groups(r, &j, mm__view_rows(&c->out), 1, 1);
    return mm__vk_emit(r, &j, 2.0 * mm__vk_elements(&c->out) + (double)c->in[2].shape.d[0] * (double)mm__view_rows(&c->out), err);
}

/* ---- PATCHES, UNFOLD1D ---- */

static mm_status record_patches(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const mm__view *x = &c->in[0];
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_patches, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, x);
    mm__vk_u32(&j, mm__view_rows(&c->out));
    mm__vk_u32(&j, mm__view_cols(&c->out));
    mm__vk_u32(&j, c->args.kernel);
    mm__vk_u32(&j, x->shape.d[1]);
    mm__vk_u32(&j, x->shape.d[2] / c->args.kernel);
    mm__vk_by_elements(r, &j, &c->out);
    return mm__vk_emit(r, &j, 2.0 * mm__vk_elements(&c->out), err);
}

static mm_status record_unfold1d(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const mm__view *x = &c->in[0];
    const int position = c->args.channels_first ? 1 : 0; /* the axis of positions */
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_unfold1d, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_u32(&j, mm__vk_bind(r, &j, x, NULL));
    mm__vk_u32(&j, x->stride[position]);
    mm__vk_u32(&j, x->stride[1 - position]);
    mm__vk_u32(&j, mm__view_rows(&c->out));
    mm__vk_u32(&j, mm__view_cols(&c->out));
    mm__vk_u32(&j, x->shape.d[position]);
    mm__vk_u32(&j, c->args.kernel);
    mm__vk_u32(&j, c->args.step);
    mm__vk_u32(&j, c->args.pad);
    mm__vk_by_elements(r, &j, &c->out);
    return mm__vk_emit(r, &j, 2.0 * mm__vk_elements(&c->out), err);
}

const mm__vk_kern mm__vk_kern_copy = {.name = "copy", .record = record_copy};
const mm__vk_kern mm__vk_kern_concat = {.name = "concat", .record = record_concat};
const mm__vk_kern mm__vk_kern_splice = {.name = "splice", .record = record_splice};
const mm__vk_kern mm__vk_kern_patches = {.name = "patches", .record = record_patches};
const mm__vk_kern mm__vk_kern_unfold1d = {.name = "unfold1d", .record = record_unfold1d};
