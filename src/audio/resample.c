/* Rate conversion with libsamplerate's windowed sinc, linear phase: sample 0 stays at time 0. Sound is converted in
 * pieces so that one call holds input and output and nothing else; the converter's own state is the library's. */
#include "resample.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <math.h>
#include <samplerate.h>
#include <string.h>

#define PIECE ((int64_t)1 << 16)

static mm_status convert(SRC_STATE *state, const mm__samples *s, double ratio, float *to, int64_t room, int64_t *made,
                         const char *what, mm_error *err)
{
    int64_t used = 0;
    *made = 0;
    for (;;) {
        const int64_t left = s->n - used, space = room - *made;
        SRC_DATA d = {.data_in = s->data + used,
                      .input_frames = (long)(left < PIECE ? left : PIECE),
                      .data_out = to + *made,
                      .output_frames = (long)(space < PIECE ? space : PIECE),
                      .src_ratio = ratio,
                      .end_of_input = left <= PIECE};
        const int code = src_process(state, &d);
        if (code) return mm__fail(err, MM_E_MEDIA, "%s: cannot be resampled: %s", what, src_strerror(code));
        used += d.input_frames_used;
        *made += d.output_frames_gen;
        if (*made >= room || (d.input_frames_used == 0 && d.output_frames_gen == 0)) return MM_OK;
    }
}

mm_status mm__audio_resample(mm__samples *s, int32_t rate, const char *what, mm_error *err)
{
    if (rate == s->rate) return MM_OK;
    const double ratio = (double)rate / s->rate;
    if (!src_is_valid_ratio(ratio))
        return mm__fail(err, MM_E_MEDIA, "%s: %d Hz is too far from the %d Hz the model hears", what, s->rate, rate);
    const int64_t n = (s->n * rate + s->rate - 1) / s->rate;
    int64_t made;
    int code = 0;
    float *to = mm__calloc(s->mem, (size_t)n, sizeof *to);
    if (!to) return mm__nomem(err, "resampled sound");
    SRC_STATE *state = src_new(SRC_SINC_BEST_QUALITY, 1, &code);
    mm_status st = state ? MM_OK : mm__nomem(err, "resampler");
    if (st == MM_OK) st = convert(state, s, ratio, to, n, &made, what, err);
    src_delete(state);
    if (st != MM_OK) {
        mm__free(s->mem, to);
        return st;
    }
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(to[i])) to[i] = 0.0f;
    mm__free(s->mem, s->data);
    s->data = to;
    s->n = n;
    s->rate = rate;
    return MM_OK;
}
