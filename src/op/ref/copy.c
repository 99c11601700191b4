/* COPY: a strided view becomes a contiguous value. */
#include "ref.h"

#include <string.h>

void mm__ref_COPY(const mm__call *c, int64_t begin, int64_t end)
{
    const size_t bytes = (size_t)mm__view_cols(&c->out) * sizeof(float);
    for (int64_t r = begin; r < end; r++) memcpy(mm__view_row(&c->out, r), mm__view_row(&c->in[0], r), bytes);
}
