/* Log-mel spectrograms.
 *
 * Frames overlap; they are windowed eight at a time into the transform's batch, their power is weighted by the filterbank
 * (each band touches a short run of bins, kept as first and count), and log10 is taken. The maximum runs over everything
 * one call makes. The window and sums are doubles; stored values are float32, [n_mels, frames].
 * Slaney's scale: m = 3 f / 200 below 1 kHz, 15 + ln(f / 1000) / (ln 6.4 / 27) above; triangles of equal area. */
#include "audio.h"
#include "fft.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <math.h>
#include <string.h>

#define B MM__FFT_BATCH
#define MAX_SAMPLES ((int64_t)4 * 3600 * 48000)

struct mm__mel {
    mm__mem *mem;
    mm__mel_policy p;
    int32_t n_bins;
    mm__fft *fft;
    double *window;
    float *filters;         /* [n_mels, n_bins] */
    int32_t *first, *count; /* bins a band touches */
};

static double hz_to_mel(double f)
{
    return f < 1000.0 ? f * 3.0 / 200.0 : 15.0 + log(f / 1000.0) / (log(6.4) / 27.0);
}
static double mel_to_hz(double m)
{
    return m < 15.0 ? m * 200.0 / 3.0 : 1000.0 * exp((log(6.4) / 27.0) * (m - 15.0));
}

void mm__mel_slaney(int32_t n_mels, int32_t n_fft, int32_t rate, float *out)
{
    const int32_t n_bins = n_fft / 2 + 1;
    const double top = hz_to_mel(rate / 2.0);
    for (int32_t m = 0; m < n_mels; m++) {
        const double f0 = mel_to_hz(top * m / (n_mels + 1)), f1 = mel_to_hz(top * (m + 1) / (n_mels + 1)),
                     f2 = mel_to_hz(top * (m + 2) / (n_mels + 1));
        for (int32_t k = 0; k < n_bins; k++) {
            const double f = (double)k * rate / n_fft, up = (f - f0) / (f1 - f0), down = (f2 - f) / (f2 - f1);
            const double w = up < down ? up : down;
            out[(size_t)m * (size_t)n_bins + (size_t)k] = w > 0.0 ? (float)(w * 2.0 / (f2 - f0)) : 0.0f;
        }
    }
}

static mm_status read_field(const mm__json *doc, const char *key, int64_t lo, int64_t hi, const char *what, int64_t *v,
                            mm_error *err)
{
    const mm__json *j = mm__json_get(doc, key);
    if (mm__json_kind(j) == MM__JSON_NULL) return MM_OK;
    *v = mm__json_int(j, INT64_MIN);
    if (*v < lo || *v > hi)
        return mm__fail(err, MM_E_FORMAT, "%s: %s must be a number from %lld to %lld", what, key, (long long)lo, (long long)hi);
    return MM_OK;
}

mm_status mm__mel_policy_from_json(const mm__json *doc, const char *what, mm__mel_policy *out, mm_error *err)
{
    int64_t rate = 16000, n_fft = 400, hop = 160, mels = 80, seconds = 30, samples = 0;
    if (mm__json_kind(doc) != MM__JSON_OBJECT) return mm__fail(err, MM_E_FORMAT, "%s: not a JSON object", what);
    mm_status st = read_field(doc, "sampling_rate", 1000, 768000, what, &rate, err);
    if (st == MM_OK) st = read_field(doc, "n_fft", 16, 16384, what, &n_fft, err);
    if (st == MM_OK) st = read_field(doc, "hop_length", 1, 16384, what, &hop, err);
    if (st == MM_OK) st = read_field(doc, "feature_size", 1, 1024, what, &mels, err);
    if (st == MM_OK) st = read_field(doc, "chunk_length", 1, 3600, what, &seconds, err);
    if (st == MM_OK) samples = seconds * rate;
    if (st == MM_OK) st = read_field(doc, "n_samples", 1, MAX_SAMPLES, what, &samples, err);
    if (st != MM_OK) return st;
    *out = (mm__mel_policy){
        .rate = (int32_t)rate, .n_fft = (int32_t)n_fft, .hop = (int32_t)hop, .n_mels = (int32_t)mels, .n_samples = samples};
    return MM_OK;
}

static void find_runs(mm__mel *m)
{
    for (int32_t i = 0; i < m->p.n_mels; i++) {
        const float *w = m->filters + (size_t)i * (size_t)m->n_bins;
        int32_t lo = 0, hi = m->n_bins;
        while (lo < hi && w[lo] == 0.0f) lo++;
        while (hi > lo && w[hi - 1] == 0.0f) hi--;
        m->first[i] = lo;
        m->count[i] = hi - lo;
    }
}

mm_status mm__mel_create(mm__mem *mem, const mm__mel_policy *p, mm__mel **out, mm_error *err)
{
    *out = NULL;
    if (p->rate < 1000 || p->rate > 768000 || p->n_fft < 16 || p->n_fft > 16384 || p->hop < 1 || p->hop > 16384 ||
        p->n_mels < 1 || p->n_mels > 1024 || p->n_samples < 0 || p->n_samples > MAX_SAMPLES)
        return mm__fail(err, MM_E_FORMAT, "mel front end: rate %d, n_fft %d, hop %d or %d bands out of range", p->rate,
                        p->n_fft, p->hop, p->n_mels);
    mm__mel *m = mm__zalloc(mem, sizeof *m);
    if (!m) return mm__nomem(err, "mel front end");
    m->mem = mem;
    m->p = *p;
    m->n_bins = p->n_fft / 2 + 1;
    mm_status st = mm__fft_create(mem, p->n_fft, &m->fft, err);
    if (st != MM_OK) goto done;
    const size_t cells = (size_t)p->n_mels * (size_t)m->n_bins;
    m->window = mm__calloc(mem, (size_t)p->n_fft, sizeof *m->window);
    m->filters = mm__calloc(mem, cells, sizeof *m->filters);
    m->first = mm__calloc(mem, (size_t)p->n_mels, sizeof *m->first);
    m->count = mm__calloc(mem, (size_t)p->n_mels, sizeof *m->count);
    if (!m->window || !m->filters || !m->first || !m->count) {
        st = mm__nomem(err, "mel front end");
        goto done;
    }
    for (int32_t i = 0; i < p->n_fft; i++) m->window[i] = 0.5 - 0.5 * cos(2.0 * M_PI * i / p->n_fft);
    if (p->filters)
        memcpy(m->filters, p->filters, cells * sizeof *m->filters);
    else
        mm__mel_slaney(p->n_mels, p->n_fft, p->rate, m->filters);
    m->p.filters = m->filters;
    find_runs(m);
    *out = m;
done:
    if (st != MM_OK) mm__mel_destroy(m);
    return st;
}

void mm__mel_destroy(mm__mel *m)
{
    if (!m) return;
    mm__fft_destroy(m->fft);
    mm__free(m->mem, m->window);
    mm__free(m->mem, m->filters);
    mm__free(m->mem, m->first);
    mm__free(m->mem, m->count);
    mm__free(m->mem, m);
}

/* The signal a call sees: samples, zeros up to `length`, mirrored at both ends without repeating the end sample. */
typedef struct signal {
    const float *x;
    int64_t n, length;
} signal;

static double sample_at(const signal *s, int64_t i)
{
    if (i < 0 || i >= s->length) {
        const int64_t period = 2 * (s->length - 1);
        if (period == 0)
            i = 0;
        else {
            i %= period;
            if (i < 0) i += period;
            if (i >= s->length) i = period - i;
        }
    }
    if (i >= s->n) return 0.0;
    const float v = s->x[i];
    return isfinite(v) ? (double)v : 0.0;
}

/* Frames from .. from + B into the batch, windowed; those past the last are zero. */
static void gather(const mm__mel *m, const signal *s, int64_t from, int64_t frames, double *batch)
{
    for (size_t q = 0; q < B; q++) {
        const int64_t start = (from + (int64_t)q) * m->p.hop - m->p.n_fft / 2;
        const bool real = from + (int64_t)q < frames;
        for (int32_t i = 0; i < m->p.n_fft; i++) batch[(size_t)i * B + q] = real ? sample_at(s, start + i) * m->window[i] : 0.0;
    }
}

static double bands(const mm__mel *m, const double *power, int64_t from, int64_t frames, float *out)
{
    double top = -HUGE_VAL;
    const size_t live = (size_t)(frames - from < B ? frames - from : B);
    for (int32_t i = 0; i < m->p.n_mels; i++) {
        double sum[B] = {0};
        const float *w = m->filters + (size_t)i * (size_t)m->n_bins + m->first[i];
        const double *p = power + (size_t)m->first[i] * B;
        for (int32_t k = 0; k < m->count[i]; k++)
            for (size_t q = 0; q < B; q++) sum[q] += w[k] * p[(size_t)k * B + q];
        for (size_t q = 0; q < live; q++) {
            const double v = log10(sum[q] > 1e-10 ? sum[q] : 1e-10);
            if (v > top) top = v;
            out[(size_t)i * (size_t)frames + (size_t)from + q] = (float)v;
        }
    }
    return top;
}

mm_status mm__mel_run(const mm__mel *m, mm__mem *mem, const float *samples, int64_t n, float **out, int64_t *frames,
                      mm_error *err)
{
    *out = NULL;
    *frames = 0;
    if (n < 0 || n > MAX_SAMPLES) return mm__fail(err, MM_E_LIMIT, "sound of %lld samples is over the limit", (long long)n);
    /* less than one hop still makes one frame, of zeros where there is no sound */
    signal s = {samples, n, m->p.n_samples ? m->p.n_samples : n};
    if (s.length < m->p.hop) s.length = m->p.hop;
    if (s.n > s.length) s.n = s.length;
    const int64_t count = s.length / m->p.hop;
    const size_t points = (size_t)m->p.n_fft * B;
    size_t cells;
    mm_status st = MM_OK;
    float *mel = mm__ckd_mul((size_t)count, (size_t)m->p.n_mels, &cells) ? mm__calloc(mem, cells, sizeof *mel) : NULL;
    double *batch = mm__calloc(mem, points + mm__fft_work(m->fft) + (size_t)m->n_bins * B, sizeof *batch);
    if (!mel || !batch) {
        st = mm__nomem(err, "spectrogram");
        goto done;
    }
    double *work = batch + points, *power = work + mm__fft_work(m->fft), top = -HUGE_VAL;
    for (int64_t from = 0; from < count; from += B) {
        gather(m, &s, from, count, batch);
        mm__fft_power(m->fft, batch, work, power);
        const double v = bands(m, power, from, count, mel);
        if (v > top) top = v;
    }
    const float floor_value = (float)top - 8.0f;
    for (size_t i = 0; i < cells; i++) mel[i] = ((mel[i] > floor_value ? mel[i] : floor_value) + 4.0f) / 4.0f;
    *out = mel;
    *frames = count;
    mel = NULL;
done:
    mm__free(mem, mel);
    mm__free(mem, batch);
    return st;
}
