/* Rate conversion with a windowed sinc (Smith, "Digital Audio Resampling"; Kaiser's window). Output j lies at the time
 * x = j from / to, in samples of the input:
 *
 *   y[j] = sum_i s[i] h(i - x),   h(t) = c sinc(c t) kaiser(t / w),   w = ZEROS max(1, from / to)
 *
 * where c is CUTOFF times the lower of the two rates' bandwidths. Linear phase: sample 0 stays at time 0. Aliases are 90 dB
 * down, and frequencies up to 0.9 of that bandwidth are kept.
 *
 * The fraction of x takes only to / gcd values. Where these are few there is a row of h for each; else rows at equal steps,
 * between which h is interpolated. A wider h is smoother and needs fewer, so the table never has more than about
 * 2 ZEROS STEPS numbers. Each row is scaled to a sum of 1, so that silence with an offset stays what it is. */
#include "resample.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <math.h>

#define ZEROS 64      /* of the sinc, on each side */
#define STEPS 1024    /* rows for a sample of the lower rate */
#define CUTOFF 0.95
#define BETA 9.0      /* Kaiser's: stop band 90 dB down, from CUTOFF to 1.0 for this many zeros */

typedef struct bank {
    int64_t from, to;         /* rates, without their common factor */
    int64_t half, taps, rows; /* taps = 2 half; row r: h(k - half + 1 - r / rows), and one row more than `rows` */
    float *h;
} bank;

static double bessel_i0(double x)
{
    double sum = 1, term = 1;
    for (int k = 1; term > 1e-12 * sum; k++) {
        term *= x / (2 * k) * (x / (2 * k));
        sum += term;
    }
    return sum;
}

static double kernel(double t, double width, double cutoff)
{
    const double u = t / width, x = M_PI * cutoff * t;
    if (u <= -1 || u >= 1) return 0;
    return (fabs(x) < 1e-9 ? 1 : sin(x) / x) * bessel_i0(BETA * sqrt(1 - u * u));
}

static void fill_row(const bank *b, int64_t row, double width, double cutoff)
{
    float *h = b->h + row * b->taps;
    double sum = 0;
    for (int64_t k = 0; k < b->taps; k++) {
        const double v = kernel((double)(k - b->half + 1) - (double)row / (double)b->rows, width, cutoff);
        sum += v;
        h[k] = (float)v;
    }
    for (int64_t k = 0; k < b->taps; k++) h[k] = (float)(h[k] / sum);
}

static int64_t common_factor(int64_t a, int64_t b)
{
    while (b) {
        const int64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static mm_status make_bank(mm__mem *mem, int32_t from, int32_t to, bank *b, mm_error *err)
{
    const int64_t factor = common_factor(from, to);
    const double slower = from > to ? (double)from / to : 1, width = ZEROS * slower;
    b->from = from / factor;
    b->to = to / factor > 0 ? to / factor : 1; /* it always is, which analysers do not see */
    b->half = (int64_t)ceil(width);
    b->taps = 2 * b->half;
    b->rows = (int64_t)ceil(STEPS / slower);
    if (b->to <= b->rows) b->rows = b->to;
    size_t n;
    b->h = mm__ckd_mul((size_t)b->taps, (size_t)b->rows + 1, &n) ? mm__calloc(mem, n, sizeof *b->h) : NULL;
    if (!b->h) return mm__nomem(err, "resampler");
    for (int64_t r = 0; r <= b->rows; r++) fill_row(b, r, width, CUTOFF / slower);
    return MM_OK;
}

static float dot(const float *a, const float *b, int64_t n)
{
    float s[16] = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16)
        for (int j = 0; j < 16; j++) s[j] += a[i + j] * b[i + j];
    for (; i < n; i++) s[0] += a[i] * b[i];
    for (int step = 8; step > 0; step /= 2)
        for (int j = 0; j < step; j++) s[j] += s[j + step];
    return s[0];
}

/* The output at sample i + phase / b->to; beyond both ends there is silence. */
static float at(const bank *b, const float *data, int64_t n, int64_t i, int64_t phase)
{
    const int64_t start = i - b->half + 1, lo = start < 0 ? -start : 0, hi = n - start < b->taps ? n - start : b->taps;
    if (lo >= hi) return 0;
    const int64_t row = phase * b->rows / b->to;
    const float *x = data + start + lo, *h = b->h + row * b->taps + lo;
    const float here = dot(x, h, hi - lo);
    if (b->rows == b->to) return here;
    const float part = (float)((double)(phase * b->rows % b->to) / (double)b->to);
    return here + part * (dot(x, h + b->taps, hi - lo) - here);
}

static void convert(const bank *b, const mm__samples *s, float *to, int64_t n)
{
    int64_t i = 0, phase = 0;
    for (int64_t j = 0; j < n; j++) {
        const float y = at(b, s->data, s->n, i, phase);
        to[j] = isfinite(y) ? y : 0.0f;
        phase += b->from % b->to;
        i += b->from / b->to + (phase >= b->to);
        if (phase >= b->to) phase -= b->to;
    }
}

mm_status mm__audio_resample(mm__samples *s, int32_t rate, mm_error *err)
{
    if (rate == s->rate) return MM_OK;
    const int64_t n = (s->n * rate + s->rate - 1) / s->rate;
    bank b = {0};
    float *to = mm__calloc(s->mem, (size_t)n, sizeof *to);
    const mm_status st = to ? make_bank(s->mem, s->rate, rate, &b, err) : mm__nomem(err, "resampled sound");
    if (st == MM_OK) {
        convert(&b, s, to, n);
        mm__free(s->mem, s->data);
        s->data = to;
        s->n = n;
        s->rate = rate;
    } else {
        mm__free(s->mem, to);
    }
    mm__free(s->mem, b.h);
    return st;
}
