/* Resampling that gives Pillow's bytes (libImaging/Resample.c describes the method; the formulas are the usual ones).
 *
 * Two separable passes, columns first, rounded to 8 bits between them. For one axis and output o, with scale = in / out,
 * fs = max(scale, 1) and S = support * fs: centre c = (o + 0.5) * scale, inputs lo = (int)(c - S + 0.5) up to
 * hi = (int)(c + S + 0.5), weights f((k + lo - c + 0.5) / fs) normalised to sum 1. Widening by fs is the antialiasing.
 * Weights are fixed point with 22 fractional bits; a sum starts at one half and is clipped to 0..255 after the shift.
 * An axis whose size does not change is not filtered. Nearest takes the pixel at scale / 2, moved by scale for
 * each output: a sum, not a product, which decides where the point lies on the edge of two pixels. The order of the passes
 * is that of Pillow up to 12; its later releases take rows first for some tall pictures, which moves a byte by 1.
 *
 * Channels are filtered independently; alpha is not multiplied in. Only a window of the result is made, and only the
 * source rows that window needs are filtered in the first pass. Weights: at most 6 * in + 3 * out integers an axis. */
#include "resize.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <math.h>
#include <string.h>

#define FRACTION 22

typedef struct kernel {
    double support;
    double (*f)(double);
} kernel;

/* Weights for one axis: output i of the window uses inputs first[i] .. first[i] + count[i). */
typedef struct axis {
    int32_t *first, *count, *weights; /* weights: [n, stride] */
    int32_t n, stride;
} axis;

static double box(double x)
{
    return x > -0.5 && x <= 0.5 ? 1.0 : 0.0;
}

static double bilinear(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static double hamming(double x)
{
    x = fabs(x);
    if (x == 0.0) return 1.0;
    if (x >= 1.0) return 0.0;
    x *= M_PI;
    return sin(x) / x * (0.54 + 0.46 * cos(x));
}

static double bicubic(double x) /* Keys, a = -0.5 */
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0) return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static double sinc(double x)
{
    return x == 0.0 ? 1.0 : sin(x * M_PI) / (x * M_PI);
}
static double lanczos(double x)
{
    return x >= -3.0 && x < 3.0 ? sinc(x) * sinc(x / 3.0) : 0.0;
}

static const kernel kernels[] = {
    [MM__RESAMPLE_LANCZOS] = {3.0, lanczos}, [MM__RESAMPLE_BILINEAR] = {1.0, bilinear}, [MM__RESAMPLE_BICUBIC] = {2.0, bicubic},
    [MM__RESAMPLE_BOX] = {0.5, box},         [MM__RESAMPLE_HAMMING] = {1.0, hamming},
};

static void axis_free(mm__mem *mem, axis *a)
{
    mm__free(mem, a->first);
    mm__free(mem, a->weights);
    memset(a, 0, sizeof *a);
}

static mm_status axis_make(mm__mem *mem, int32_t in, int32_t out, int32_t from, int32_t n, int resample, axis *a, mm_error *err)
{
    const kernel *k = &kernels[resample];
    const double scale = (double)in / out, fs = scale < 1.0 ? 1.0 : scale, support = k->support * fs, inv = 1.0 / fs;
    a->n = n;
    a->stride = (int32_t)ceil(support) * 2 + 1;
    double *w = mm__calloc(mem, (size_t)a->stride, sizeof *w);
    a->first = mm__calloc(mem, (size_t)n * 2, sizeof *a->first);
    size_t total;
    if (mm__ckd_mul((size_t)n, (size_t)a->stride, &total)) a->weights = mm__calloc(mem, total, sizeof *a->weights);
    if (!w || !a->first || !a->weights) {
        mm__free(mem, w);
        axis_free(mem, a);
        return mm__nomem(err, "resize weights");
    }
    a->count = a->first + n;
    for (int32_t i = 0; i < n; i++) {
        const double c = (from + i + 0.5) * scale;
        int32_t lo = (int32_t)(c - support + 0.5), hi = (int32_t)(c + support + 0.5),
                *q = a->weights + (size_t)i * (size_t)a->stride;
        double sum = 0.0;
        if (lo < 0) lo = 0;
        if (hi > in) hi = in;
        for (int32_t j = 0; j < hi - lo; j++) sum += w[j] = k->f((j + lo - c + 0.5) * inv);
        for (int32_t j = 0; j < hi - lo; j++) {
            double v = (sum != 0.0 ? w[j] / sum : w[j]) * (1 << FRACTION);
            q[j] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        a->first[i] = lo;
        a->count[i] = hi - lo;
    }
    mm__free(mem, w);
    return MM_OK;
}

static uint8_t clip(int32_t sum)
{
    sum >>= FRACTION;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* Filters rows [row0, row0 + dst->height) of src along x into dst. */
static void pass_columns(const mm__pixels *src, int32_t row0, const axis *a, mm__pixels *dst)
{
    const int32_t ch = src->channels;
    for (int32_t y = 0; y < dst->height; y++) {
        const uint8_t *in = src->data + (size_t)(row0 + y) * (size_t)src->width * (size_t)ch;
        uint8_t *out = dst->data + (size_t)y * (size_t)dst->width * (size_t)ch;
        for (int32_t x = 0; x < dst->width; x++) {
            const int32_t *w = a->weights + (size_t)x * (size_t)a->stride, n = a->count[x];
            const uint8_t *p = in + (size_t)a->first[x] * (size_t)ch;
            int32_t s[4] = {1 << (FRACTION - 1), 1 << (FRACTION - 1), 1 << (FRACTION - 1), 1 << (FRACTION - 1)};
            if (ch == 3)
                for (int32_t j = 0; j < n; j++, p += 3) {
                    s[0] += p[0] * w[j];
                    s[1] += p[1] * w[j];
                    s[2] += p[2] * w[j];
                }
            else
                for (int32_t j = 0; j < n; j++)
                    for (int32_t c = 0; c < ch; c++) s[c] += *p++ * w[j];
            for (int32_t c = 0; c < ch; c++) *out++ = clip(s[c]);
        }
    }
}

/* Filters along y; row 0 of src is row `row0` of the picture the axis was made for. sums: one integer a byte of a row. */
static void pass_rows(const mm__pixels *src, int32_t row0, const axis *a, mm__pixels *dst, int32_t *sums)
{
    const size_t n = (size_t)src->width * (size_t)src->channels;
    for (int32_t y = 0; y < dst->height; y++) {
        const int32_t *w = a->weights + (size_t)y * (size_t)a->stride;
        for (size_t i = 0; i < n; i++) sums[i] = 1 << (FRACTION - 1);
        for (int32_t j = 0; j < a->count[y]; j++) {
            const uint8_t *in = src->data + (size_t)(a->first[y] - row0 + j) * n;
            const int32_t wj = w[j];
            for (size_t i = 0; i < n; i++) sums[i] += in[i] * wj;
        }
        uint8_t *out = dst->data + (size_t)y * n;
        for (size_t i = 0; i < n; i++) out[i] = clip(sums[i]);
    }
}

/* The source pixel of each of n outputs from `from` on, for an axis of `in` pixels. */
static void nearest_axis(int32_t in, double scale, int32_t from, int32_t n, int32_t *at)
{
    double p = scale * 0.5;
    for (int32_t i = 0; i < from + n; i++) {
        if (i >= from) at[i - from] = p < in ? (int32_t)p : in - 1;
        p += scale;
    }
}

static mm_status nearest(const mm__pixels *src, int32_t w, int32_t h, int32_t x0, int32_t y0, mm__pixels *dst, mm_error *err)
{
    const size_t ch = (size_t)src->channels;
    int32_t *xs = mm__calloc(src->mem, (size_t)dst->width + (size_t)dst->height, sizeof *xs);
    if (!xs) return mm__nomem(err, "resize positions");
    int32_t *ys = xs + dst->width;
    nearest_axis(src->width, (double)src->width / w, x0, dst->width, xs);
    nearest_axis(src->height, (double)src->height / h, y0, dst->height, ys);
    uint8_t *out = dst->data;
    for (int32_t y = 0; y < dst->height; y++) {
        const uint8_t *row = src->data + (size_t)ys[y] * (size_t)src->width * ch;
        for (int32_t x = 0; x < dst->width; x++, out += ch) memcpy(out, row + (size_t)xs[x] * ch, ch);
    }
    mm__free(src->mem, xs);
    return MM_OK;
}

static void copy_window(const mm__pixels *src, int32_t x0, int32_t y0, mm__pixels *dst)
{
    const size_t ch = (size_t)src->channels, row = (size_t)dst->width * ch;
    for (int32_t y = 0; y < dst->height; y++)
        memcpy(dst->data + (size_t)y * row, src->data + ((size_t)(y0 + y) * (size_t)src->width + (size_t)x0) * ch, row);
}

/* Rows of the source the window's second pass reads: [*row0, *row0 + *rows). */
static void rows_needed(const axis *ay, int32_t *row0, int32_t *rows)
{
    *row0 = ay->first[0];
    *rows = ay->first[ay->n - 1] + ay->count[ay->n - 1] - *row0;
}

static mm_status resample_window(const mm__pixels *src, int32_t w, int32_t h, int resample, int32_t x0, int32_t y0,
                                 mm__pixels *dst, mm_error *err)
{
    mm__mem *mem = src->mem;
    axis ax = {0}, ay = {0};
    mm__pixels *mid = NULL;
    int32_t *sums = NULL, row0 = y0, rows = dst->height;
    mm_status st = axis_make(mem, src->width, w, x0, dst->width, resample, &ax, err);
    if (st == MM_OK) st = axis_make(mem, src->height, h, y0, dst->height, resample, &ay, err);
    if (st != MM_OK) goto done;
    if (h != src->height) rows_needed(&ay, &row0, &rows);
    st = mm__pixels_create(mem, dst->width, rows, src->channels, &mid, err);
    if (st != MM_OK) goto done;
    if (w != src->width)
        pass_columns(src, row0, &ax, mid);
    else
        copy_window(src, x0, row0, mid);
    if (h == src->height) {
        memcpy(dst->data, mid->data, (size_t)dst->width * (size_t)dst->height * (size_t)dst->channels);
        goto done;
    }
    sums = mm__calloc(mem, (size_t)dst->width * (size_t)dst->channels, sizeof *sums);
    if (!sums) {
        st = mm__nomem(err, "resize row");
        goto done;
    }
    pass_rows(mid, row0, &ay, dst, sums);
done:
    mm__free(mem, sums);
    mm__pixels_free(mid);
    axis_free(mem, &ax);
    axis_free(mem, &ay);
    return st;
}

mm_status mm__image_resize_window(const mm__pixels *src, int32_t w, int32_t h, int resample, int32_t x0, int32_t y0, int32_t cw,
                                  int32_t ch, mm__pixels **out, mm_error *err)
{
    *out = NULL;
    if (resample < MM__RESAMPLE_NEAREST || resample > MM__RESAMPLE_HAMMING)
        return mm__fail(err, MM_E_ARG, "resize: unknown filter %d", resample);
    if (w < 1 || h < 1 || x0 < 0 || y0 < 0 || cw < 1 || ch < 1 || cw > w - x0 || ch > h - y0)
        return mm__fail(err, MM_E_ARG, "resize: window %dx%d at %d,%d of %dx%d is not inside", cw, ch, x0, y0, w, h);
    mm__pixels *dst;
    mm_status st = mm__pixels_create(src->mem, cw, ch, src->channels, &dst, err);
    if (st != MM_OK) return st;
    if (w == src->width && h == src->height)
        copy_window(src, x0, y0, dst);
    else if (resample == MM__RESAMPLE_NEAREST)
        st = nearest(src, w, h, x0, y0, dst, err);
    else
        st = resample_window(src, w, h, resample, x0, y0, dst, err);
    if (st != MM_OK) {
        mm__pixels_free(dst);
        return st;
    }
    *out = dst;
    return MM_OK;
}

mm_status mm__image_resize(const mm__pixels *src, int32_t w, int32_t h, int resample, mm__pixels **out, mm_error *err)
{
    return mm__image_resize_window(src, w, h, resample, 0, 0, w, h, out, err);
}
