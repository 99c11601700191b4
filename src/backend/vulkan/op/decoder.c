/* ROWS, RMSNORM, GLU, ROPE, KV_WRITE: a decoder's small operators. */
#include "../kern.h"

static double elements(const mm__view *v) { return (double)mm__view_rows(v) * (double)mm__view_cols(v); }

static int64_t groups_for(int64_t n) { return (n + MM__VK_LANES - 1) / MM__VK_LANES; }

/* ---- ROWS ---- */

static int rows_shader(mm__dtype t)
{
    switch (t) {
    case MM__F32: return MM__VK_SHADER_rows_f32;
    case MM__F16: return MM__VK_SHADER_rows_f16;
    case MM__BF16: return MM__VK_SHADER_rows_bf16;
    case MM__Q4_0: return MM__VK_SHADER_rows_q4_0;
    case MM__Q4_1: return MM__VK_SHADER_rows_q4_1;
    case MM__Q5_0: return MM__VK_SHADER_rows_q5_0;
    case MM__Q5_1: return MM__VK_SHADER_rows_q5_1;
    case MM__Q8_0: return MM__VK_SHADER_rows_q8_0;
    case MM__Q2_K: return MM__VK_SHADER_rows_q2_k;
    case MM__Q3_K: return MM__VK_SHADER_rows_q3_k;
    case MM__Q4_K: return MM__VK_SHADER_rows_q4_k;
    case MM__Q5_K: return MM__VK_SHADER_rows_q5_k;
    case MM__Q6_K: return MM__VK_SHADER_rows_q6_k;
    default: return -1;
    }
}

static bool accepts_rows(const mm__vk_limits *l, const mm__call *c) { return rows_shader(c->in[0].dtype) >= 0; }

/* The rows of the result whose ids lie in n rows of the table from `first` on. */
static mm_status gather(mm__vk_recorder *r, const mm__call *c, int64_t first, int64_t n, mm_error *err)
{
    const mm__view *table = &c->in[0], part = mm__vk_slice(table, first, n);
    const int64_t t = mm__view_rows(&c->out), d = mm__view_cols(table);
    mm__vk_draft j;
    mm__vk_begin(&j, (mm__vk_shader_id)rows_shader(table->dtype), MM__VK_LANES);
    mm__vk_flat_view(r, &j, &c->out);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[1], NULL));
    mm__vk_u32(&j, c->in[1].stride[0]);
    mm__vk_weights(r, &j, &part);
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, n);
    mm__vk_u32(&j, d);
    mm__vk_u32(&j, first);
    mm__vk_u32(&j, table->shape.d[0]);
    mm__vk_f32(&j, c->args.scale);
    mm__vk_groups(r, &j, groups_for(t * ((d + 31) / 32)), 1, 1);
    return mm__vk_emit(r, &j, elements(&c->out), err);
}

/* A table larger than a binding is looked through piece by piece. */
static mm_status record_rows(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const int64_t all = c->in[0].shape.d[0], most = mm__vk_rows_bound(r, &c->in[0]);
    mm_status s = MM_OK;
    for (int64_t v = 0; v < all && s >= 0; v += most) s = gather(r, c, v, all - v < most ? all - v : most, err);
    return s;
}

/* ---- RMSNORM ---- */

static mm_status record_rmsnorm(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    mm__vk_draft j;
    mm__vk_begin(&j, mm__vk_reducing(r, MM__VK_SHADER_rmsnorm), MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[1], NULL));
    mm__vk_u32(&j, mm__vk_has(c, 1));
    mm__vk_u32(&j, mm__view_rows(&c->out));
    mm__vk_u32(&j, mm__view_cols(&c->out));
    mm__vk_f32(&j, c->args.eps);
    mm__vk_groups(r, &j, mm__view_rows(&c->out), 1, 1);
    return mm__vk_emit(r, &j, 3.0 * elements(&c->out), err);
}

/* ---- GLU ---- */

static mm_status record_glu(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const int64_t rows = mm__view_rows(&c->out), cols = mm__view_cols(&c->out);
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_glu, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, rows);
    mm__vk_u32(&j, cols);
    mm__vk_u32(&j, c->args.act);
    mm__vk_groups(r, &j, groups_for(rows * cols), 1, 1);
    return mm__vk_emit(r, &j, 8.0 * elements(&c->out), err);
}

/* ---- ROPE ---- */

static mm_status record_rope(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const int64_t rows = mm__view_rows(&c->out), d = c->out.shape.d[2], half = c->in[2].shape.d[0];
    mm__vk_draft j;
    mm__vk_begin(&j, MM__VK_SHADER_rope, MM__VK_LANES);
    mm__vk_view(r, &j, &c->out);
    mm__vk_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[1], NULL));
    mm__vk_u32(&j, c->in[1].stride[0]);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[2], NULL));
    mm__vk_u32(&j, rows);
    mm__vk_u32(&j, c->out.shape.d[1]);
    mm__vk_u32(&j, d);
    mm__vk_u32(&j, half);
    mm__vk_u32(&j, c->args.interleaved != 0);
    mm__vk_f32(&j, c->args.scale);
    mm__vk_groups(r, &j, groups_for(rows * (d - half)), 1, 1);
    return mm__vk_emit(r, &j, 30.0 * elements(&c->out), err);
}

/* ---- KV_WRITE ---- */

/* A word holds two F16, so rows must begin at words and have whole ones. */
static bool accepts_kv_write(const mm__vk_limits *l, const mm__call *c)
{
    const mm__view *cache = &c->in[0];
    if (mm__dtype_is_quant(cache->dtype)) return false;
    return cache->dtype == MM__F32 || (cache->shape.d[2] % 2 == 0 && cache->stride[0] % 2 == 0 && cache->stride[1] % 2 == 0);
}

static mm_status record_kv_write(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const mm__view *cache = &c->in[0], *x = &c->in[1];
    const int64_t in_word = cache->dtype == MM__F16 ? 2 : 1, t = x->shape.d[0], h = x->shape.d[1];
    mm__vk_draft j;
    mm__vk_begin(&j, cache->dtype == MM__F16 ? MM__VK_SHADER_kv_write_f16 : MM__VK_SHADER_kv_write_f32, 32);
    mm__vk_u32(&j, mm__vk_bind(r, &j, cache, NULL));
    mm__vk_u32(&j, cache->stride[0] / in_word);
    mm__vk_u32(&j, cache->stride[1] / in_word);
    mm__vk_u32(&j, mm__vk_bind(r, &j, x, NULL));
    mm__vk_u32(&j, x->stride[0]);
    mm__vk_u32(&j, x->stride[1]);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[2], NULL));
    mm__vk_u32(&j, c->in[2].stride[0]);
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, h);
    mm__vk_u32(&j, cache->shape.d[1]);
    mm__vk_u32(&j, x->shape.d[2]);
    mm__vk_groups(r, &j, t * h, 1, 1);
    return mm__vk_emit(r, &j, 2.0 * elements(x), err);
}

const mm__vk_kern mm__vk_kern_rows = {.name = "rows", .accepts = accepts_rows, .record = record_rows};
const mm__vk_kern mm__vk_kern_rmsnorm = {.name = "rmsnorm", .record = record_rmsnorm, .uses = mm__vk_uses_subgroups};
const mm__vk_kern mm__vk_kern_glu = {.name = "glu", .record = record_glu};
const mm__vk_kern mm__vk_kern_rope = {.name = "rope", .record = record_rope};
const mm__vk_kern mm__vk_kern_kv_write = {.name = "kv_write", .accepts = accepts_kv_write, .record = record_kv_write};
