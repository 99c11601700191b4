/* CONCAT: the inputs below each other, along the first axis. */
#include "ref.h"

#include <string.h>

void mm__ref_CONCAT(const mm__call *c, int64_t begin, int64_t end)
{
    const size_t bytes = (size_t)mm__view_cols(&c->out) * sizeof(float);
    int64_t first = 0;
    for (int i = 0; i < 4; i++) {
        if (!mm__call_has(c, i)) continue;
        const int64_t rows = mm__view_rows(&c->in[i]);
        for (int64_t r = begin > first ? begin : first; r < end && r < first + rows; r++)
            memcpy(mm__view_row(&c->out, r), mm__view_row(&c->in[i], r - first), bytes);
        first += rows;
    }
}
