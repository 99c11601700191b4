/* ADD and MUL: out = a + b, a * b. b is one element, or R rows of which row t % R meets row t of a. */
#include "ref.h"

static void combine(const mm__call *c, int64_t begin, int64_t end, bool product)
{
    const mm__view *b_view = &c->in[1];
    const int64_t d = mm__view_cols(&c->out), b_rows = mm__view_rows(b_view), step = mm__view_cols(b_view) == d ? 1 : 0;
    for (int64_t t = begin; t < end; t++) {
        const float *a = mm__view_row(&c->in[0], t), *b = mm__view_row(b_view, t % b_rows);
        float *out = mm__view_row(&c->out, t);
        for (int64_t i = 0; i < d; i++) out[i] = product ? a[i] * b[i * step] : a[i] + b[i * step];
    }
}

void mm__ref_ADD(const mm__call *c, int64_t begin, int64_t end) { combine(c, begin, end, false); }
void mm__ref_MUL(const mm__call *c, int64_t begin, int64_t end) { combine(c, begin, end, true); }
