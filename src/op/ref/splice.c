/* SPLICE: x, with row index[m] replaced by rows[m]; the last of equal indices wins, an index outside x replaces nothing. */
#include "ref.h"

#include <string.h>

void mm__ref_SPLICE(const mm__call *c, int64_t begin, int64_t end)
{
    const size_t bytes = (size_t)mm__view_cols(&c->out) * sizeof(float);
    const mm__view *index = &c->in[2];
    for (int64_t t = begin; t < end; t++) {
        const float *src = mm__view_row(&c->in[0], t);
        for (int64_t m = 0; m < index->shape.d[0]; m++)
            if (((const int32_t *)index->data)[m * index->stride[0]] == t) src = mm__view_row(&c->in[1], m);
        memmove(mm__view_row(&c->out, t), src, bytes);
    }
}
