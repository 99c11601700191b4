/* MEAN: the mean of all rows. Unit: column. */
#include "ref.h"

void mm__ref_MEAN(const mm__call *c, int64_t begin, int64_t end)
{
    const int64_t n = mm__view_rows(&c->in[0]);
    for (int64_t i = begin; i < end; i++) {
        double sum = 0.0;
        for (int64_t t = 0; t < n; t++) sum += mm__view_row(&c->in[0], t)[i];
        ((float *)c->out.data)[i] = (float)(sum / (double)n);
    }
}
