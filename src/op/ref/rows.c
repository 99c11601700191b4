/* ROWS: out[t] = scale * table[ids[t]]. An id outside the table gives zeros. */
#include "ref.h"

void mm__ref_ROWS(const mm__call *c, int64_t begin, int64_t end)
{
    const mm__view *table = &c->in[0];
    const mm__dtype_info *type = mm__dtype_info_of(table->dtype);
    const int64_t d = mm__view_cols(table);
    for (int64_t t = begin; t < end; t++) {
        const int32_t id = ((const int32_t *)c->in[1].data)[t * c->in[1].stride[0]];
        float *out = mm__view_row(&c->out, t);
        if (id < 0 || id >= table->shape.d[0]) {
            for (int64_t i = 0; i < d; i++) out[i] = 0.0f;
            continue;
        }
        mm__unpack_row(table->dtype, (const uint8_t *)table->data + id * table->stride[0] / type->block * type->bytes, out, d);
        for (int64_t i = 0; i < d; i++) out[i] *= c->args.scale;
    }
}
