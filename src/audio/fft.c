/* Discrete Fourier transform of real frames, batched.
 *
 * Eight frames lie side by side, [sample][frame], so every inner loop runs over frames and further over the transform's
 * own stride: contiguous, and left to the compiler to vectorise. The n real samples of a frame are taken as n/2 complex
 * ones (even samples real, odd samples imaginary), transformed by Stockham's autosort method with radices 4, 2, 3, 5, and
 * separated again: X[k] = E[k] + exp(-2 pi i k / n) O[k] with E = (Z[k] + conj Z[N-k]) / 2, O = (Z[k] - conj Z[N-k]) / 2i.
 *
 * Doubles, because a spectrogram spans eight decades of power below its loudest bin: rounding of a float transform would
 * show in the quiet ones. Own code rather than a library: the one at hand keeps scratch memory inside its plan, which a
 * plan shared between threads must not have. Reference: Van Loan, Computational Frameworks for the FFT, 1.7 and 2.4. */
#include "fft.h"
#include "../base/error.h"
#include <math.h>
#include <string.h>

#define B MM__FFT_BATCH
#define MAX_STAGES 16

struct mm__fft {
    mm__mem *mem;
    int32_t n, half, n_stages;
    int32_t radix[MAX_STAGES];
    double *twiddle; /* exp(-2 pi i j / n), j = 0..n-1, as cos, sin pairs */
};

static bool factorise(mm__fft *f)
{
    static const int32_t radices[] = {4, 2, 3, 5};
    int32_t rest = f->half;
    for (int i = 0; i < 4; i++)
        while (rest % radices[i] == 0 && f->n_stages < MAX_STAGES) {
            f->radix[f->n_stages++] = radices[i];
            rest /= radices[i];
        }
    return rest == 1;
}

mm_status mm__fft_create(mm__mem *mem, int32_t n, mm__fft **out, mm_error *err)
{
    *out = NULL;
    mm__fft *f = mm__zalloc(mem, sizeof *f);
    if (!f) return mm__nomem(err, "Fourier transform");
    f->mem = mem;
    f->n = n;
    f->half = n / 2;
    if (n < 4 || n > 65536 || n % 2 != 0 || !factorise(f)) {
        mm__fft_destroy(f);
        return mm__fail(err, MM_E_UNSUPPORTED,
                        "Fourier transform of %d points: the size must be even, 4 to 65536, of factors 2, 3 and 5", n);
    }
    f->twiddle = mm__calloc(mem, (size_t)n * 2, sizeof *f->twiddle);
    if (!f->twiddle) {
        mm__fft_destroy(f);
        return mm__nomem(err, "Fourier transform");
    }
    for (size_t j = 0; j < (size_t)n; j++) {
        f->twiddle[2 * j] = cos(2.0 * M_PI * (double)j / n);
        f->twiddle[2 * j + 1] = -sin(2.0 * M_PI * (double)j / n);
    }
    *out = f;
    return MM_OK;
}

void mm__fft_destroy(mm__fft *f)
{
    if (!f) return;
    mm__free(f->mem, f->twiddle);
    mm__free(f->mem, f);
}

size_t mm__fft_work(const mm__fft *f)
{
    return (size_t)f->n * B;
}

/* One radix-r butterfly over s lanes: inputs at i[k * im], outputs at o[k * os], output k times w[k]. */
typedef struct lanes {
    const double *re, *im; /* input; element k of the butterfly at + k * step */
    double *ore, *oim;     /* output; element k at + k * s */
    size_t step, s;
    double wr[5], wi[5];
} lanes;

static inline void store(const lanes *l, size_t q, int k, double re, double im)
{
    l->ore[q + (size_t)k * l->s] = re * l->wr[k] - im * l->wi[k];
    l->oim[q + (size_t)k * l->s] = re * l->wi[k] + im * l->wr[k];
}

static void radix2(const lanes *l)
{
    for (size_t q = 0; q < l->s; q++) {
        double ar = l->re[q], ai = l->im[q], br = l->re[q + l->step], bi = l->im[q + l->step];
        l->ore[q] = ar + br;
        l->oim[q] = ai + bi;
        store(l, q, 1, ar - br, ai - bi);
    }
}

static void radix3(const lanes *l)
{
    const double h = sqrt(0.75);
    for (size_t q = 0; q < l->s; q++) {
        double ar = l->re[q], ai = l->im[q], br = l->re[q + l->step], bi = l->im[q + l->step];
        double cr = l->re[q + 2 * l->step], ci = l->im[q + 2 * l->step];
        double sr = br + cr, si = bi + ci, dr = h * (bi - ci), di = h * (cr - br);
        l->ore[q] = ar + sr;
        l->oim[q] = ai + si;
        store(l, q, 1, ar - 0.5 * sr + dr, ai - 0.5 * si + di);
        store(l, q, 2, ar - 0.5 * sr - dr, ai - 0.5 * si - di);
    }
}

static void radix4(const lanes *l)
{
    for (size_t q = 0; q < l->s; q++) {
        const double *r = l->re + q, *i = l->im + q;
        const size_t t = l->step;
        double acr = r[0] + r[2 * t], aci = i[0] + i[2 * t], adr = r[0] - r[2 * t], adi = i[0] - i[2 * t];
        double bdr = r[t] + r[3 * t], bdi = i[t] + i[3 * t], jr = i[t] - i[3 * t], ji = r[3 * t] - r[t];
        l->ore[q] = acr + bdr;
        l->oim[q] = aci + bdi;
        store(l, q, 1, adr + jr, adi + ji);
        store(l, q, 2, acr - bdr, aci - bdi);
        store(l, q, 3, adr - jr, adi - ji);
    }
}

static void radix5(const lanes *l)
{
    const double c1 = cos(0.4 * M_PI), c2 = cos(0.8 * M_PI), s1 = sin(0.4 * M_PI), s2 = sin(0.8 * M_PI);
    for (size_t q = 0; q < l->s; q++) {
        const double *r = l->re + q, *i = l->im + q;
        const size_t t = l->step;
        double pr = r[t] + r[4 * t], pi = i[t] + i[4 * t], mr = r[t] - r[4 * t], mi = i[t] - i[4 * t];
        double ur = r[2 * t] + r[3 * t], ui = i[2 * t] + i[3 * t], vr = r[2 * t] - r[3 * t], vi = i[2 * t] - i[3 * t];
        double er = r[0] + c1 * pr + c2 * ur, ei = i[0] + c1 * pi + c2 * ui, gr = r[0] + c2 * pr + c1 * ur,
               gi = i[0] + c2 * pi + c1 * ui;
        double xr = s1 * mi + s2 * vi, xi = -(s1 * mr + s2 * vr), yr = s2 * mi - s1 * vi, yi = -(s2 * mr - s1 * vr);
        l->ore[q] = r[0] + pr + ur;
        l->oim[q] = i[0] + pi + ui;
        store(l, q, 1, er + xr, ei + xi);
        store(l, q, 2, gr + yr, gi + yi);
        store(l, q, 3, gr - yr, gi - yi);
        store(l, q, 4, er - xr, ei - xi);
    }
}

/* Complex transform of `half` points, re and im in separate planes; the result is in one of the two pairs of planes. */
static void transform(const mm__fft *f, double **re, double **im, double **re2, double **im2)
{
    size_t n = (size_t)f->half, s = B, turn = 2;
    for (int32_t stage = 0; stage < f->n_stages; stage++) {
        const size_t r = (size_t)f->radix[stage], m = n / r;
        for (size_t p = 0; p < m; p++) {
            lanes l = {*re + s * p, *im + s * p, *re2 + s * r * p, *im2 + s * r * p, s * m, s, {0}, {0}};
            for (size_t k = 0; k < r; k++) {
                const double *w = f->twiddle + 2 * (p * k * turn % (size_t)f->n);
                l.wr[k] = w[0];
                l.wi[k] = w[1];
            }
            if (r == 4)
                radix4(&l);
            else if (r == 2)
                radix2(&l);
            else if (r == 3)
                radix3(&l);
            else
                radix5(&l);
        }
        double *t = *re;
        *re = *re2;
        *re2 = t;
        t = *im;
        *im = *im2;
        *im2 = t;
        n = m;
        s *= r;
        turn *= r;
    }
}

void mm__fft_power(const mm__fft *f, double *frames, double *work, double *power)
{
    const size_t half = (size_t)f->half, plane = half * B;
    /* even and odd samples into planes; rows move within `work`, then `frames` serves as the second pair */
    double *re = work, *im = work + plane, *re2 = frames, *im2 = frames + plane;
    for (size_t j = 0; j < half; j++) {
        memcpy(re + j * B, frames + 2 * j * B, B * sizeof *re);
        memcpy(im + j * B, frames + (2 * j + 1) * B, B * sizeof *im);
    }
    transform(f, &re, &im, &re2, &im2);
    for (size_t k = 0; k <= half; k++) {
        const size_t a = k < half ? k * B : 0, b = k ? (half - k) * B : 0;
        const double wr = f->twiddle[2 * k], wi = f->twiddle[2 * k + 1];
        for (size_t q = 0; q < B; q++) {
            double er = 0.5 * (re[a + q] + re[b + q]), ei = 0.5 * (im[a + q] - im[b + q]);
            double or = 0.5 * (im[a + q] + im[b + q]), oi = 0.5 * (re[b + q] - re[a + q]);
            double xr = er + wr * or -wi * oi, xi = ei + wr * oi + wi * or ;
            power[k * B + q] = xr * xr + xi * xi;
        }
    }
}
