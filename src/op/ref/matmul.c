/* MATMUL: out[t, s] = scale * sum_k a[t, k] b[s, k]. */
#include "ref.h"

void mm__ref_MATMUL(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t k = mm__view_cols(&c->in[0]), n = mm__view_rows(&c->in[1]);
    for (int64_t t = begin; t < end; t++)
        for (int64_t s = 0; s < n; s++)
            mm__view_row(&c->out, t)[s] = (float)(c->args.scale * mm__ref_dot(mm__view_row(&c->in[0], t), mm__view_row(&c->in[1], s), k));
}
