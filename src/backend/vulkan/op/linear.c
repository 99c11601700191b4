/* LINEAR. Weights are read as they lie in files. Neighbours of the stack that have one type and lie near each other, as those
 * do that were loaded one after the other, are multiplied by one dispatch. What is larger than a binding is cut: a weight
 * by rows, that is, columns of the result; x and the result by their rows. */
#include "../kern.h"

/* What linear_vec.comp has room for: rows of W, sums, blocks of x of a team's invocations; of linear_dot.comp, rows of x. */
enum { ROWS = 4, MAX_SUMS = 8, X_BLOCKS = 64, DOT_X_ROWS = 4 };

enum { WIDE_PART = 8 };        /* wide tiles must be an eighth of the workgroups that keep a device busy */

typedef struct shaders { int vec, mat; } shaders;

/* The shaders for weights of a type, or -1. */
static shaders shaders_of(mm__dtype t)
{
    switch (t) {
    case MM__F32: return (shaders){MM__VK_SHADER_linear_vec_f32, MM__VK_SHADER_linear_mat_f32};
    case MM__F16: return (shaders){MM__VK_SHADER_linear_vec_f16, MM__VK_SHADER_linear_mat_f16};
    case MM__BF16: return (shaders){MM__VK_SHADER_linear_vec_bf16, MM__VK_SHADER_linear_mat_bf16};
    case MM__Q4_0: return (shaders){MM__VK_SHADER_linear_vec_q4_0, MM__VK_SHADER_linear_mat_q4_0};
    case MM__Q4_1: return (shaders){MM__VK_SHADER_linear_vec_q4_1, MM__VK_SHADER_linear_mat_q4_1};
    case MM__Q5_0: return (shaders){MM__VK_SHADER_linear_vec_q5_0, MM__VK_SHADER_linear_mat_q5_0};
    case MM__Q5_1: return (shaders){MM__VK_SHADER_linear_vec_q5_1, MM__VK_SHADER_linear_mat_q5_1};
    case MM__Q8_0: return (shaders){MM__VK_SHADER_linear_vec_q8_0, MM__VK_SHADER_linear_mat_q8_0};
    case MM__Q2_K: return (shaders){MM__VK_SHADER_linear_vec_q2_k, MM__VK_SHADER_linear_mat_q2_k};
    case MM__Q3_K: return (shaders){MM__VK_SHADER_linear_vec_q3_k, MM__VK_SHADER_linear_mat_q3_k};
    case MM__Q4_K: return (shaders){MM__VK_SHADER_linear_vec_q4_k, MM__VK_SHADER_linear_mat_q4_k};
    case MM__Q5_K: return (shaders){MM__VK_SHADER_linear_vec_q5_k, MM__VK_SHADER_linear_mat_q5_k};
    case MM__Q6_K: return (shaders){MM__VK_SHADER_linear_vec_q6_k, MM__VK_SHADER_linear_mat_q6_k};
    default: return (shaders){-1, -1};
    }
}

static bool accepts(const mm__vk_limits *l, const mm__call *c)
{
    for (int i = 3; i < 6; i++)
        if (mm__vk_has(c, i) && shaders_of(c->in[i].dtype).vec < 0) return false;
    return mm__vk_flat(&c->out, NULL) && mm__vk_flat(&c->in[0], NULL) && mm__vk_flat(&c->in[2], NULL);
}

/* ---- few rows of x ---- */

/* How linear_vec divides its work: `share` invocations, a team, go along `rows` rows of W and `together` rows of x. */
typedef struct team { uint32_t share, rows, together; } team;

/* Whether a device would have less to do than it can, with workgroups of such teams for n rows of W. */
static bool too_few(const mm__vk_limits *l, int64_t n, team t) { return l->parts > 1 || n * t.share / (MM__VK_LANES * t.rows) < l->busy; }

static team fewer_rows(const mm__vk_limits *l, int64_t n, team t)
{
    while (t.rows > 1 && too_few(l, n, t)) t.rows /= 2;
    return t;
}

/* A share that leaves few without work at the rows' end. Where W has so few rows that workgroups would be few, K is split
 * further: teams become larger, then have fewer rows, for each of which x is read again; then larger still. */
static team team_of(const mm__vk_limits *l, int64_t n, int64_t k)
{
    const int64_t pieces = (k + 31) / 32;
    team t = {16, ROWS, 1};
    while (t.share > 4 && (pieces + t.share - 1) / t.share * t.share > pieces + pieces / 8) t.share /= 2;
    while (t.share < 32 && pieces >= 2 * t.share && too_few(l, n, t)) t.share *= 2;
    t = fewer_rows(l, n, t);
    while (t.share < X_BLOCKS && pieces >= 2 * t.share && too_few(l, n, t)) t.share *= 2;
    return t;
}

/* As many rows of x as there is room for, and as the team has invocations to end their sums with. */
static team with_x(team t, int64_t rows, uint32_t most)
{
    const uint32_t sums = (t.share < MAX_SUMS ? t.share : MAX_SUMS) / t.rows;
    while (t.together < rows && 2 * t.together <= most && 2 * t.together <= sums) t.together *= 2;
    return t;
}

/* Subgroups are teams when few of a subgroup have no work, and none is needed beyond it. */
static bool subgroups_suit(const mm__vk_limits *l, const mm__call *c)
{
    const int64_t k = mm__view_cols(&c->in[0]), pieces = (k + 31) / 32, size = l->subgroup;
    return team_of(l, mm__view_cols(&c->out), k).share <= size && (pieces + size - 1) / size * size <= pieces + pieces / 8;
}

/* Bytes where the caller does not ask for exact products, except where a processor emulates them. */
static bool dot_suits(const mm__vk_limits *l, const mm__call *c)
{
    for (int i = 3; i < 6; i++)
        if (mm__vk_has(c, i) && !mm__dtype_is_quant(c->in[i].dtype)) return false;
    return (l->has & MM__VULKAN_DOT) && !c->exact && (!l->emulated || l->forced & MM__VULKAN_DOT);
}

static unsigned vec_uses(const mm__vk_limits *l, const mm__call *c)
{
    if (dot_suits(l, c)) return MM__VULKAN_DOT;
    if (l->subgroup > X_BLOCKS) return 0;
    return l->forced & MM__VULKAN_SUBGROUPS || subgroups_suit(l, c) ? l->has & MM__VULKAN_SUBGROUPS : 0;
}

static void divide_vec(mm__vk_recorder *r, mm__vk_draft *j, int64_t t, int64_t n, int64_t k)
{
    const mm__vk_limits *l = &r->stream->device->limits;
    const bool dot = r->with & MM__VULKAN_DOT, subgroups = dot || r->with & MM__VULKAN_SUBGROUPS;
    const team alone = subgroups ? fewer_rows(l, n, (team){l->subgroup, ROWS, 1}) : team_of(l, n, k);
    const team by = with_x(alone, t, dot ? DOT_X_ROWS : X_BLOCKS / alone.share);
    const uint32_t rows = MM__VK_LANES / by.share * by.rows;
    mm__vk_spec(j, 1, by.rows);
    mm__vk_u32(j, by.share);
    mm__vk_u32(j, by.together);
    mm__vk_groups(r, j, (n + rows - 1) / rows, (t + by.together - 1) / by.together, 1);
}

/* ---- many rows of x ---- */

/* Rows of W and of x of a workgroup of linear_mat. */
typedef struct tile { uint32_t n, t; } tile;

static tile tile_of(unsigned with) { return with & MM__VULKAN_WIDE ? (tile){128, 64} : (tile){64, 32}; }

static int64_t tiles(tile by, int64_t t, int64_t n) { return (n + by.n - 1) / by.n * ((t + by.t - 1) / by.t); }

/* Products of numbers rounded to F16 where the caller does not ask for exact ones, except where a processor emulates them; wide
 * tiles where these are enough for a device, whose workgroups are larger then. */
static unsigned mat_uses(const mm__vk_limits *l, const mm__call *c)
{
    const unsigned halves = MM__VULKAN_F16 | MM__VULKAN_MATRIX, wide = l->has & MM__VULKAN_WIDE;
    const bool rounds = !c->exact && (!l->emulated || l->forced & halves), forced = l->forced & wide;
    const bool suits = !l->emulated && tiles(tile_of(wide), mm__view_rows(&c->in[0]), mm__view_cols(&c->out)) >= l->busy / WIDE_PART;
    const unsigned with = !rounds ? 0 : l->has & MM__VULKAN_MATRIX ? MM__VULKAN_MATRIX : l->has & MM__VULKAN_F16;
    return with | (forced || suits ? wide : 0);
}


static void divide_mat(mm__vk_recorder *r, mm__vk_draft *j, int64_t t, int64_t n)
{
    const tile by = tile_of(r->with);
    mm__vk_spec(j, 0, r->with & MM__VULKAN_MATRIX ? by.n : by.n / 8 * (by.t / 4));
    mm__vk_spec(j, 1, by.t);
    mm__vk_spec(j, 2, by.n);
    mm__vk_groups(r, j, (n + by.n - 1) / by.n, (t + by.t - 1) / by.t, 1);
}

static unsigned uses(const mm__vk_limits *l, const mm__call *c)
{
    return mm__view_rows(&c->in[0]) > MM__VK_VEC_ROWS ? mat_uses(l, c) : vec_uses(l, c);
}

/* ---- both ---- */

/* The variants of either shader, in the order of variants.def. */
static int variant_of(unsigned with) { return with & (MM__VULKAN_MATRIX | MM__VULKAN_DOT) ? 2 : with & (MM__VULKAN_F16 | MM__VULKAN_SUBGROUPS) ? 1 : 0; }

/* Up to three weights of one type, one below the other. */
typedef struct stack {
    mm__view w[3];
    int n;
} stack;

static int64_t stack_rows(const stack *s)
{
    int64_t rows = 0;
    for (int i = 0; i < s->n; i++) rows += s->w[i].shape.d[0];
    return rows;
}

/* Pushes the distance of rows, where each weight begins, and at which row of the stack the second and third do. */
static void push_stack(mm__vk_recorder *r, mm__vk_draft *j, const stack *s)
{
    const mm__dtype_info *type = mm__dtype_info_of(s->w[0].dtype);
    int64_t at[3] = {0}, begin[2] = {INT32_MAX, INT32_MAX}, row = 0;
    mm__vk_bind_together(r, j, s->w, s->n, at);
    for (int i = 0; i + 1 < s->n; i++) begin[i] = row += s->w[i].shape.d[0];
    mm__vk_u32(j, s->w[0].stride[0] / type->block * type->bytes);
    for (int i = 0; i < 3; i++) mm__vk_u32(j, at[i]);
    for (int i = 0; i < 2; i++) mm__vk_u32(j, begin[i]);
}

/* Whether x, whose first element is word `off` of its binding, can be read by fours. */
static bool by_fours(const mm__view *x, uint32_t off)
{
    uint32_t stride;
    return mm__vk_flat(x, &stride) && off % 4 == 0 && stride % 4 == 0 && mm__view_cols(x) % 4 == 0;
}

/* Multiplies with a stack whose first row makes column `column` of the result. */
static mm_status multiply(mm__vk_recorder *r, const mm__call *c, const stack *s, int64_t column, mm_error *err)
{
    const int64_t t = mm__view_rows(&c->in[0]), k = mm__view_cols(&c->in[0]), n = stack_rows(s);
    const shaders shader = shaders_of(s->w[0].dtype);
    const bool vec = t <= MM__VK_VEC_ROWS;
    mm__vk_draft j;
    mm__vk_begin(&j, (mm__vk_shader_id)((vec ? shader.vec : shader.mat) + variant_of(r->with)), MM__VK_LANES);
    mm__vk_flat_view(r, &j, &c->out);
    const uint32_t x_off = mm__vk_flat_view(r, &j, &c->in[0]);
    mm__vk_u32(&j, mm__vk_bind(r, &j, &c->in[1], NULL));
    mm__vk_u32(&j, mm__vk_has(c, 1));
    mm__vk_flat_view(r, &j, &c->in[2]);
    mm__vk_u32(&j, mm__vk_has(c, 2));
    push_stack(r, &j, s);
    mm__vk_u32(&j, c->args.act);
    mm__vk_u32(&j, t);
    mm__vk_u32(&j, n);
    mm__vk_u32(&j, k);
    mm__vk_u32(&j, column);
    mm__vk_u32(&j, by_fours(&c->in[0], x_off));
    if (vec) divide_vec(r, &j, t, n, k);
    else divide_mat(r, &j, t, n);
    return mm__vk_emit(r, &j, (double)t * (double)n * (double)k, err);
}

/* All weights with the rows of x and the result that c has. */
static mm_status multiply_all(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    int64_t column = 0;
    mm_status st = MM_OK;
    for (int i = 3; i < 6 && mm__vk_has(c, i);) {
        stack s = {.w = {c->in[i++]}, .n = 1};
        const int64_t all = s.w[0].shape.d[0], most = mm__vk_rows_bound(r, &s.w[0]);
        for (; i < 6 && mm__vk_has(c, i) && c->in[i].dtype == s.w[0].dtype; i++) {
            s.w[s.n++] = c->in[i];
            if (mm__vk_together(r, s.w, s.n)) continue;
            s.n--;
            break;
        }
        for (int64_t row = 0; row < all && st >= 0; row += most) {
            stack piece = s;
            if (most < all) piece.w[0] = mm__vk_slice(&s.w[0], row, all - row < most ? all - row : most);
            st = multiply(r, c, &piece, column + row, err);
        }
        if (st < 0) return st;
        column += stack_rows(&s);
    }
    return st;
}

static mm_status record(mm__vk_recorder *r, const mm__call *c, mm_error *err)
{
    const int64_t all = mm__view_rows(&c->out);
    int64_t most = mm__vk_rows_bound(r, &c->out);
    mm_status s = MM_OK;
    for (int i = 0; i < 3; i += 2)
        if (mm__vk_has(c, i) && mm__vk_rows_bound(r, &c->in[i]) < most) most = mm__vk_rows_bound(r, &c->in[i]);
    if (most >= all) return multiply_all(r, c, err);
    for (int64_t t = 0; t < all && s >= 0; t += most) {
        const int64_t n = all - t < most ? all - t : most;
        mm__call part = *c;
        part.out = mm__vk_slice(&c->out, t, n);
        part.in[0] = mm__vk_slice(&c->in[0], t, n);
        if (mm__vk_has(c, 2)) part.in[2] = mm__vk_slice(&c->in[2], t, n);
        s = multiply_all(r, &part, err);
    }
    return s;
}

const mm__vk_kern mm__vk_kern_linear = {.name = "linear", .accepts = accepts, .record = record, .uses = uses};
