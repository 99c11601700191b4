/* The shape of a LINEAR call, for every vector ISA: how work is cut, in which form activations are kept, and in which
 * order panels and tiles are visited. Arithmetic is behind mm__linear_isa.
 *
 * Unit of the multiplication: a panel of 16 output columns; panels of the stacked weights follow each other. A thread's
 * panels are walked once for each group of tiles whose activations stay in the L2 cache, so weights stream from memory
 * a few times and activations once. Raw rows are first turned into F32 panels in the thread's scratch, as many as stay in
 * that cache, which each tile meets one after the other; a packed panel may be widened there, for each group of tiles.
 *
 * Scratch: the converted activations, one area for each form that the weights of the call need, shared by all threads
 * (many rows) or the thread's own (few rows); then, always the thread's own, F32 panels and a piece of raw rows, or a widened panel. */
#include "linear_layout.h"

#define CACHE_BYTES (384 * 1024) /* of activations in L2, or of F32 panels */
#define MAX_PANELS 8             /* F32 panels that a tile meets in turn */
#define MIN_WIDE 2               /* tiles: for fewer a panel isn't widened */
#define MIN_GROUP 8              /* tiles: weights must not stream more often than once in this many tiles */
#define PIECE 256                /* columns of raw rows unpacked at a time; a multiple of every block */

typedef struct segment {
    const mm__view *w;
    const mm__linear_packed *packed; /* NULL: raw */
    mm__linear_form form;
    int64_t n, column, panel, panels; /* first output column and first unit */
} segment;

typedef struct plan {
    const mm__call *call;
    const mm__linear_isa *isa;
    int64_t t, k, panels;
    int n_segments;
    segment segments[3];
    bool few;
    size_t wide;                     /* bytes of the largest widened panel; 0: none */
    size_t at[MM__N_FORM], bytes;    /* areas of converted activations */
} plan;

static int64_t panels_of(int64_t n) { return (n + MM__LINEAR_PANEL - 1) / MM__LINEAR_PANEL; }
static size_t aligned(size_t n) { return (n + 63) & ~(size_t)63; }

/* Bytes of one row of a tile. */
static size_t row_bytes(mm__linear_form form, int64_t k)
{
    switch (form) {
    case MM__FORM_INT8: return (size_t)(k / MM__LINEAR_BLOCK) * MM__LINEAR_INT8_BYTES;
    case MM__FORM_COARSE: return (size_t)(k / MM__LINEAR_C8) * MM__LINEAR_C8_TILE(1);
    case MM__FORM_BF16: return (size_t)((k + 1) / 2) * 4;
    default: return (size_t)k * 4;
    }
}

static int width_for(const mm__linear_arith *a, int64_t rows)
{
    int i = 0;
    while (a->widths[i] < rows && a->widths[i] < a->tile) i++;
    return a->widths[i];
}

/* Bytes of a widened panel of the weight; 0 where the call meets packed ones. */
static size_t wide_bytes(const plan *p, const mm__linear_packed *packed)
{
    const mm__linear_arith *a = &p->isa->arith[packed->form];
    return a->wide_bytes && p->t >= MIN_WIDE * a->tile ? a->wide_bytes((mm__dtype)packed->from, p->k) : 0;
}

static void plan_call(plan *p, const mm__call *c, const mm__linear_isa *isa)
{
    *p = (plan){.call = c, .isa = isa, .t = mm__view_rows(&c->in[0]), .k = mm__view_cols(&c->in[0])};
    bool used[MM__N_FORM] = {false};
    int64_t column = 0;
    p->few = p->t <= MM__LINEAR_FEW;
    for (int i = 3; i < 6 && (c->in[i].data || c->packed[i]); i++) {
        const mm__linear_packed *packed = c->packed[i];
        const int64_t n = mm__view_rows(&c->in[i]);
        const mm__linear_form form = packed ? packed->form : MM__FORM_F32;
        p->segments[p->n_segments++] = (segment){&c->in[i], packed, form, n, column, p->panels, panels_of(n)};
        p->panels += panels_of(n);
        column += n;
        used[form] = true;
        const size_t wide = packed ? wide_bytes(p, packed) : 0;
        if (wide > p->wide) p->wide = wide;
    }
    for (int f = 0; f < MM__N_FORM; f++) {
        if (!used[f] || (p->few && f == MM__FORM_F32)) continue; /* few rows: F32 is read in place */
        const mm__linear_arith *a = &isa->arith[f];
        const int64_t whole = p->t / a->tile * a->tile;
        const int64_t rows = whole + (whole < p->t ? width_for(a, p->t - whole) : 0);
        p->at[f] = p->bytes;
        p->bytes = aligned(p->bytes + (size_t)rows * row_bytes((mm__linear_form)f, p->k));
    }
}

static bool raw(const plan *p)
{
    for (int i = 0; i < p->n_segments; i++)
        if (!p->segments[i].packed) return true;
    return false;
}

static bool uses(const plan *p, mm__linear_form form)
{
    for (int i = 0; i < p->n_segments; i++)
        if (p->segments[i].form == form) return true;
    return false;
}

/* Converts the rows of tiles that begin in [t0, t1) of x into `form`. */
static void convert(const plan *p, mm__linear_form form, int64_t t0, int64_t t1, uint8_t *areas)
{
    const mm__linear_arith *a = &p->isa->arith[form];
    const float *rows[MM__LINEAR_MAX_TILE];
    for (int64_t t = (t0 + a->tile - 1) / a->tile * a->tile; t < t1; t += a->tile) {
        const int n = (int)(p->t - t < a->tile ? p->t - t : a->tile);
        for (int i = 0; i < n; i++) rows[i] = mm__view_row(&p->call->in[0], t + i);
        a->convert(rows, n, width_for(a, n), p->k, areas + p->at[form] + (size_t)t * row_bytes(form, p->k));
    }
}

static const uint8_t *raw_row(const segment *s, int64_t row)
{
    const mm__dtype_info *type = mm__dtype_info_of(s->w->dtype);
    return (const uint8_t *)s->w->data + row * s->w->stride[0] / type->block * type->bytes;
}

/* The F32 panel of rows [row, row + 16) of a raw weight; `pieces` holds 16 x PIECE floats. */
static void build_panel(const plan *p, const segment *s, int64_t row, float *panel, float *pieces)
{
    const mm__dtype_info *type = mm__dtype_info_of(s->w->dtype);
    const int n = (int)(s->n - row < MM__LINEAR_PANEL ? s->n - row : MM__LINEAR_PANEL);
    const uint8_t *src[MM__LINEAR_PANEL];
    const float *from[MM__LINEAR_PANEL];
    for (int r = 0; r < n; r++) src[r] = raw_row(s, row + r);
    for (int64_t k = 0; k < p->k; k += PIECE) {
        const int64_t len = p->k - k < PIECE ? p->k - k : PIECE;
        for (int r = 0; r < n; r++) {
            const uint8_t *at = src[r] + k / type->block * type->bytes;
            from[r] = s->w->dtype == MM__F32 && (uintptr_t)at % 4 == 0 ? (const float *)(const void *)at : pieces + r * PIECE;
            if (from[r] == pieces + r * PIECE) p->isa->unpack(s->w->dtype, at, pieces + r * PIECE, len);
        }
        p->isa->interleave(from, n, MM__LINEAR_PANEL, len, panel + k * MM__LINEAR_PANEL);
    }
}

/* Adds bias, activation, residual to the sums of rows [t, t + rows) and one panel, and stores them. */
static void finish(const plan *p, const segment *s, int64_t panel, int64_t t, int rows, const float *sums)
{
    const mm__call *c = p->call;
    float *out[MM__LINEAR_MAX_TILE];
    const float *residual[MM__LINEAR_MAX_TILE];
    const int64_t in_segment = panel * MM__LINEAR_PANEL, column = s->column + in_segment;
    for (int i = 0; i < rows; i++) {
        out[i] = mm__view_row(&c->out, t + i) + column;
        if (c->in[2].data) residual[i] = mm__view_row(&c->in[2], t + i) + column;
    }
    const mm__linear_dest d = {
        .bias = c->in[1].data ? (const float *)c->in[1].data + column : NULL,
        .residual = c->in[2].data ? residual : NULL,
        .out = out,
        .rows = rows,
        .cols = (int)(s->n - in_segment < MM__LINEAR_PANEL ? s->n - in_segment : MM__LINEAR_PANEL),
        .act = c->args.act,
    };
    p->isa->finish(sums, &d);
}

/* Rows [t0, t1), t0 at the start of a tile, against one panel, widened or not. */
static void multiply(const plan *p, const segment *s, int64_t panel, const void *weights, bool wide, int64_t t0, int64_t t1, const uint8_t *areas)
{
    const mm__linear_arith *a = &p->isa->arith[s->form];
    void (*const f)(mm__dtype, const void *, int64_t, const void *, int, float *) = wide ? a->multiply_wide : a->multiply;
    const mm__dtype from = s->packed ? (mm__dtype)s->packed->from : MM__F32;
    _Alignas(64) float sums[MM__LINEAR_MAX_TILE * MM__LINEAR_PANEL];
    for (int64_t t = t0; t < t1; t += a->tile) {
        const int rows = (int)(t1 - t < a->tile ? t1 - t : a->tile);
        const uint8_t *tile = areas + p->at[s->form] + (size_t)t * row_bytes(s->form, p->k);
        f(from, weights, p->k, tile, width_for(a, rows), sums);
        finish(p, s, panel, t, rows, sums);
    }
}

/* Panels [first, last) of a segment with raw rows against few rows of x, read in place. */
static void dot_panels(const plan *p, const segment *s, int64_t first, int64_t last, float *row)
{
    const float *x[MM__LINEAR_FEW];
    _Alignas(64) float sums[MM__LINEAR_FEW * MM__LINEAR_PANEL];
    for (int64_t t = 0; t < p->t; t++) x[t] = mm__view_row(&p->call->in[0], t);
    for (int64_t panel = first; panel < last; panel++) {
        const int64_t n0 = panel * MM__LINEAR_PANEL;
        for (int64_t r = 0; r < MM__LINEAR_PANEL; r++) {
            if (n0 + r < s->n) p->isa->unpack(s->w->dtype, raw_row(s, n0 + r), row, p->k);
            for (int64_t t = 0; t < p->t; t++) sums[t * MM__LINEAR_PANEL + r] = n0 + r < s->n ? p->isa->dot(row, x[t], p->k) : 0;
        }
        finish(p, s, panel, 0, (int)p->t, sums);
    }
}

static int64_t panels_at_once(const plan *p)
{
    const int64_t fit = (int64_t)(CACHE_BYTES / ((size_t)p->k * MM__LINEAR_PANEL * 4));
    return fit < 1 ? 1 : fit < MAX_PANELS ? fit : MAX_PANELS;
}

/* Panels [first, last) of a segment with raw rows against many rows of x. */
static void run_raw(const plan *p, const segment *s, int64_t first, int64_t last, const uint8_t *areas, float *own)
{
    const int64_t size = p->k * MM__LINEAR_PANEL, most = panels_at_once(p), tile = p->isa->arith[MM__FORM_F32].tile;
    for (int64_t n; first < last; first += n) {
        n = last - first < most ? last - first : most;
        for (int64_t i = 0; i < n; i++) build_panel(p, s, (first + i) * MM__LINEAR_PANEL, own + i * size, own + most * size);
        for (int64_t t = 0; t < p->t; t += tile)
            for (int64_t i = 0; i < n; i++) multiply(p, s, first + i, own + i * size, false, t, t + tile < p->t ? t + tile : p->t, areas);
    }
}

/* Panels [first, last) of one segment. */
static void run_segment(const plan *p, const segment *s, int64_t first, int64_t last, const uint8_t *areas, float *own)
{
    if (s->form == MM__FORM_F32) {
        if (p->few) {
            dot_panels(p, s, first, last, own);
            return;
        }
        run_raw(p, s, first, last, areas, own);
        return;
    }
    const mm__linear_arith *a = &p->isa->arith[s->form];
    const size_t tile_bytes = (size_t)a->tile * row_bytes(s->form, p->k);
    const size_t fit = CACHE_BYTES / (tile_bytes ? tile_bytes : 1);
    const int64_t group = (int64_t)(fit > MIN_GROUP ? fit : MIN_GROUP) * a->tile;
    const bool wide = wide_bytes(p, s->packed) > 0;
    for (int64_t t = 0; t < p->t; t += group)
        for (int64_t panel = first; panel < last; panel++) {
            const void *weights = s->packed->panels + (size_t)panel * s->packed->panel_bytes;
            if (wide) a->widen((mm__dtype)s->packed->from, weights, p->k, own);
            multiply(p, s, panel, wide ? own : weights, wide, t, t + group < p->t ? t + group : p->t, areas);
        }
}

static void run_panels(const plan *p, int64_t begin, int64_t end, const uint8_t *areas, float *own)
{
    for (int i = 0; i < p->n_segments; i++) {
        const segment *s = &p->segments[i];
        const int64_t first = begin > s->panel ? begin - s->panel : 0;
        const int64_t last = (end < s->panel + s->panels ? end : s->panel + s->panels) - s->panel;
        if (first < last) run_segment(p, s, first, last, areas, own);
    }
}

static size_t own_bytes(const plan *p)
{
    if (!raw(p)) return p->wide;
    const size_t floats = p->few ? (size_t)p->k : (size_t)(p->k * panels_at_once(p)) * MM__LINEAR_PANEL + MM__LINEAR_PANEL * PIECE;
    return 4 * floats > p->wide ? 4 * floats : p->wide;
}

static int64_t units(const mm__call *c, int phase)
{
    int64_t panels = 0;
    if (phase == 0 && mm__view_rows(&c->in[0]) > MM__LINEAR_FEW)
        return (mm__view_rows(&c->in[0]) + MM__LINEAR_MAX_TILE - 1) / MM__LINEAR_MAX_TILE;
    for (int i = 3; i < 6 && (c->in[i].data || c->packed[i]); i++) panels += panels_of(mm__view_rows(&c->in[i]));
    return panels;
}

/* The ISA can run every form that the weights have. */
static bool runs(const mm__call *c, const mm__linear_isa *isa)
{
    for (int i = 3; i < 6; i++) {
        const mm__linear_packed *packed = c->packed[i];
        if (packed && (!isa->arith[packed->form].tile || packed->k != mm__view_cols(&c->in[0]))) return false;
    }
    return true;
}

static bool accepts_many(const mm__call *c, const mm__linear_isa *isa)
{
    return mm__view_rows(&c->in[0]) > MM__LINEAR_FEW && runs(c, isa);
}

static bool accepts_few(const mm__call *c, const mm__linear_isa *isa)
{
    return mm__view_rows(&c->in[0]) <= MM__LINEAR_FEW && runs(c, isa);
}

static size_t shared_many(const mm__call *c, const mm__linear_isa *isa)
{
    plan p;
    plan_call(&p, c, isa);
    return p.bytes;
}

static size_t own_many(const mm__call *c, const mm__linear_isa *isa)
{
    plan p;
    plan_call(&p, c, isa);
    return own_bytes(&p);
}

static size_t own_few(const mm__call *c, const mm__linear_isa *isa)
{
    plan p;
    plan_call(&p, c, isa);
    return p.bytes + own_bytes(&p);
}

static void run_many(const mm__call *c, const mm__linear_isa *isa, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    plan p;
    plan_call(&p, c, isa);
    if (phase == 1) {
        run_panels(&p, begin, end, shared, own);
        return;
    }
    const int64_t t1 = end * MM__LINEAR_MAX_TILE < p.t ? end * MM__LINEAR_MAX_TILE : p.t;
    for (int f = 0; f < MM__N_FORM; f++)
        if (uses(&p, (mm__linear_form)f)) convert(&p, (mm__linear_form)f, begin * MM__LINEAR_MAX_TILE, t1, shared);
}

static void run_few(const mm__call *c, const mm__linear_isa *isa, int64_t begin, int64_t end, void *own)
{
    plan p;
    plan_call(&p, c, isa);
    for (int f = MM__FORM_INT8; f < MM__N_FORM; f++)
        if (uses(&p, (mm__linear_form)f)) convert(&p, (mm__linear_form)f, 0, p.t, own);
    run_panels(&p, begin, end, own, (float *)(void *)((uint8_t *)own + p.bytes));
}

#define KERNELS(suffix, features)                                                                                      \
    static bool many_##suffix(const mm__call *c) { return accepts_many(c, &mm__linear_isa_##suffix); }                 \
    static bool few_##suffix(const mm__call *c) { return accepts_few(c, &mm__linear_isa_##suffix); }                   \
    static size_t shared_##suffix(const mm__call *c) { return shared_many(c, &mm__linear_isa_##suffix); }              \
    static size_t own_many_##suffix(const mm__call *c) { return own_many(c, &mm__linear_isa_##suffix); }               \
    static size_t own_few_##suffix(const mm__call *c) { return own_few(c, &mm__linear_isa_##suffix); }                 \
    static void run_many_##suffix(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)   \
    {                                                                                                                  \
        run_many(c, &mm__linear_isa_##suffix, phase, begin, end, shared, own);                                         \
    }                                                                                                                  \
    static void run_few_##suffix(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)    \
    {                                                                                                                  \
        run_few(c, &mm__linear_isa_##suffix, begin, end, own);                                                         \
    }                                                                                                                  \
    const mm__kern mm__kern_linear_##suffix = {                                                                        \
        "linear_" #suffix, features, many_##suffix, 2, units, shared_##suffix, own_many_##suffix, run_many_##suffix};  \
    const mm__kern mm__kern_linear_few_##suffix = {                                                                    \
        "linear_few_" #suffix, features, few_##suffix, 1, units, NULL, own_few_##suffix, run_few_##suffix};

KERNELS(avx2, MM__ISA_AVX2)
KERNELS(avxvnni, MM__ISA_AVX2 | MM__ISA_AVXVNNI)
KERNELS(avx512, MM__ISA_AVX2 | MM__ISA_AVX512)
KERNELS(avx512bf16, MM__ISA_AVX2 | MM__ISA_AVX512 | MM__ISA_AVX512BF16)
