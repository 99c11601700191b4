/* LINEAR: a dispatch for each weight of the stack, writing its columns of the result. Weights are read as they lie in files. */
#include "../kern.h"

#define LANES_A_ROW 16

/* The shader for weights of a type, or -1. */
static int shader_of(mm__dtype t)
{
    switch (t) {
    case MM__F32: return MM__VK_SHADER_linear_f32;
    case MM__F16: return MM__VK_SHADER_linear_f16;
    case MM__BF16: return MM__VK_SHADER_linear_bf16;
    case MM__Q4_0: return MM__VK_SHADER_linear_q4_0;
    case MM__Q4_1: return MM__VK_SHADER_linear_q4_1;
    case MM__Q5_0: return MM__VK_SHADER_linear_q5_0;
    case MM__Q5_1: return MM__VK_SHADER_linear_q5_1;
    case MM__Q8_0: return MM__VK_SHADER_linear_q8_0;
    case MM__Q2_K: return MM__VK_SHADER_linear_q2_k;
    case MM__Q3_K: return MM__VK_SHADER_linear_q3_k;
    case MM__Q4_K: return MM__VK_SHADER_linear_q4_k;
    case MM__Q5_K: return MM__VK_SHADER_linear_q5_k;
    case MM__Q6_K: return MM__VK_SHADER_linear_q6_k;
    default: return -1;
    }
}

static bool accepts(const mm__vk_limits *l, const mm__call *c)
{
    for (int i = 3; i < 6; i++)
        if (mm__vk_has(c, i) && shader_of(c->in[i].dtype) < 0) return false;
    return mm__vk_flat(&c->out, NULL) && mm__vk_flat(&c->in[0], NULL) && mm__vk_flat(&c->in[2], NULL);
}

/* Rows of weight i, of which the first makes column `column` of the result. */
static mm_status multiply(mm__vk_recorder *r, const mm__call *c, int i, int64_t column, mm_error *err)
{
    const mm__view *w = &c->in[i];
    const int64_t t = mm__view_rows(&c->in[0]), k = mm__view_cols(w), n = w->shape.d[0], rows = MM__VK_LANES / LANES_A_ROW;
    mm__vk_draft j;
    mm__vk_begin(&j, (mm__vk_shader_id)shader_of(w->dtype), MM__VK_LANES);
    mm__vk_spec(&j, 1, LANES_A_ROW);
    mm__vk_flat_view(r, &j, &c->out);
    mm__vk_flat_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[1], NULL));
    mm__vk_u32(&j, mm__vk_has(c, 1));
    mm__vk_flat_view(r, &j, &c->in[2]);
    mm__vk_u32(&j, mm__vk_has(c, 2));
    mm__vk_weights(r, &j, w);
    mm__vk_u32(&j, c->args.act);
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, n);
    mm__vk_u32(&j, k);
    mm__vk_u32(&j, column);
    mm__vk_groups(r, &j, (n + rows - 1) / rows, (t + 3) / 4, 1);
    return mm__vk_emit(r, &j, (double)t * (double)n * (double)k, err);
}

static mm_status record(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    int64_t column = 0;
    mm_status s = MM_OK;
    for (int i = 3; i < 6 && mm__vk_has(c, i) && s >= 0; i++) {
        s = multiply(r, c, i, column, err);
        column += c->in[i].shape.d[0];
    }
    return s;
}

const mm__vk_kern mm__vk_kern_linear = {.name = "linear", .accepts = accepts, .record = record};
