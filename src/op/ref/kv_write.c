/* KV_WRITE: cache[h, slot[t], :] = x[t, h, :]. Unit: head, so that equal slots keep the last row. A slot outside the cache
 * is skipped. */
#include "ref.h"

void mm__ref_KV_WRITE(const mm__call *c, int64_t begin, int64_t end)
{
    const mm__view *cache = &c->in[0], *x = &c->in[1], *slots = &c->in[2];
    const mm__dtype_info *type = mm__dtype_info_of(cache->dtype);
    const int64_t d = x->shape.d[2];
    for (int64_t h = begin; h < end; h++) {
        for (int64_t t = 0; t < x->shape.d[0]; t++) {
            const int32_t slot = ((const int32_t *)slots->data)[t * slots->stride[0]];
            const float *src = (const float *)x->data + t * x->stride[0] + h * x->stride[1];
            if (slot < 0 || slot >= cache->shape.d[1]) continue;
            uint8_t *dst = (uint8_t *)cache->data + (h * cache->stride[0] + slot * cache->stride[1]) / type->block * type->bytes;
            mm__pack_row(cache->dtype, src, dst, d);
        }
    }
}
