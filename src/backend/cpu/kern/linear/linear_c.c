/* LINEAR in portable C, for processors without a vector kernel and for the tests: raw rows of any type, float32 sums in
 * a fixed order (four interleaved chains over the columns). Unit: an output column, whose weight row is unpacked once
 * into the thread's scratch. */
#include "linear.h"

static float dot(const float *a, const float *b, int64_t n)
{
    float s[4] = {0};
    int64_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++) s[j] += a[i + j] * b[i + j];
    for (; i < n; i++) s[0] += a[i] * b[i];
    return (s[0] + s[1]) + (s[2] + s[3]);
}

static bool accepts(const mm__call *c)
{
    for (int i = 3; i < 6; i++)
        if (c->packed[i] && !c->in[i].data) return false;
    return true;
}

static int64_t units(const mm__call *c, int phase)
{
    int64_t n = 0;
    for (int i = 3; i < 6 && c->in[i].data; i++) n += mm__view_rows(&c->in[i]);
    return n;
}

static size_t own_bytes(const mm__call *c) { return (size_t)mm__view_cols(&c->in[0]) * 4; }

static void column(const mm__call *c, const mm__view *w, int64_t row, int64_t n, float *unpacked)
{
    const mm__dtype_info *type = mm__dtype_info_of(w->dtype);
    const int64_t k = mm__view_cols(&c->in[0]), rows = mm__view_rows(&c->in[0]);
    const float bias = c->in[1].data ? ((const float *)c->in[1].data)[n] : 0;
    mm__unpack_row(w->dtype, (const uint8_t *)w->data + row * w->stride[0] / type->block * type->bytes, unpacked, k);
    for (int64_t t = 0; t < rows; t++) {
        const float y = mm__act_apply(c->args.act, dot(mm__view_row(&c->in[0], t), unpacked, k) + bias);
        mm__view_row(&c->out, t)[n] = c->in[2].data ? y + mm__view_row(&c->in[2], t)[n] : y;
    }
}

static void run(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own)
{
    int64_t first = 0;
    for (int i = 3; i < 6 && c->in[i].data; i++) {
        const int64_t rows = mm__view_rows(&c->in[i]);
        for (int64_t n = begin > first ? begin : first; n < end && n < first + rows; n++)
            column(c, &c->in[i], n - first, n, own);
        first += rows;
    }
}

const mm__kern mm__kern_linear_c = {"linear_c", MM__ISA_C, accepts, 1, units, NULL, own_bytes, run};
