/* LINEAR: out[t, n] = act(sum_k x[t, k] W[n, k] + bias[n]) + residual[t, n], W the stack of w0, w1, w2.
 * Unit: column n. Its weight row is unpacked in pieces, for up to 64 rows of x at a time. */
#include "ref.h"

enum { PIECE = 1024, /* a multiple of every block */ ROWS = 64 };

static const uint8_t *weight_row(const mm__view *w, int64_t row)
{
    const mm__dtype_info *t = mm__dtype_info_of(w->dtype);
    return (const uint8_t *)w->data + row * w->stride[0] / t->block * t->bytes;
}

static void column(const mm__call *c, const mm__view *w, int64_t row, int64_t n)
{
    const mm__view *x = &c->in[0];
    const mm__dtype_info *type = mm__dtype_info_of(w->dtype);
    const int64_t k_all = mm__view_cols(x), t_all = mm__view_rows(x);
    const uint8_t *src = weight_row(w, row);
    float piece[PIECE];
    for (int64_t t0 = 0; t0 < t_all; t0 += ROWS) {
        const int64_t t1 = t0 + ROWS < t_all ? t0 + ROWS : t_all;
        double sum[ROWS] = {0};
        for (int64_t k = 0; k < k_all; k += PIECE) {
            const int64_t len = k_all - k < PIECE ? k_all - k : PIECE;
            mm__unpack_row(w->dtype, src + k / type->block * type->bytes, piece, len);
            for (int64_t t = t0; t < t1; t++) sum[t - t0] += mm__ref_dot(mm__view_row(x, t) + k, piece, len);
        }
        for (int64_t t = t0; t < t1; t++) {
            const double biased = sum[t - t0] + (mm__call_has(c, 1) ? mm__ref_vector(c, 1)[n] : 0.0f);
            const float y = mm__act_apply(c->args.act, (float)biased);
            mm__view_row(&c->out, t)[n] = mm__call_has(c, 2) ? y + mm__view_row(&c->in[2], t)[n] : y;
        }
    }
}

void mm__ref_LINEAR(const mm__call *c, int64_t begin, int64_t end)
{
    int64_t first = 0;
    for (int i = 3; i < 6 && mm__call_has(c, i); i++) {
        const int64_t rows = c->in[i].shape.d[0];
        for (int64_t n = begin > first ? begin : first; n < end && n < first + rows; n++) column(c, &c->in[i], n - first, n);
        first += rows;
    }
}
