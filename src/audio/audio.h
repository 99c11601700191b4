/* Sound: decoding (WAV, FLAC, OGG/Vorbis/Opus, MP3; any rate, 1-8 channels), mixing to mono, resampling, and log-mel
 * spectrograms. NaN and infinite samples are refused. Limits: 4 hours or 2 GiB of samples. */
#ifndef MM__AUDIO_AUDIO_H
#define MM__AUDIO_AUDIO_H

#include "../base/io.h"
#include "../base/json.h"

typedef struct mm__samples {
    mm__mem *mem;
    int32_t rate;
    int64_t n;
    float *data; /* mono */
    bool cut;    /* the file holds less than its headers said */
} mm__samples;

void mm__samples_free(mm__samples *s);
/* Decodes, averages the channels, resamples to `rate` (0: keep). MM_E_MEDIA names what is wrong. */
mm_status mm__audio_decode(mm__mem *mem, const void *bytes, size_t len, const char *what, int32_t rate, mm__samples **out,
                           mm_error *err);
/* The same from interleaved samples in memory. Exactly one of f32 / i16 is not NULL. */
mm_status mm__audio_from_pcm(mm__mem *mem, const float *f32, const int16_t *i16, int64_t frames, int32_t channels,
                             int32_t rate_in, int32_t rate, mm__samples **out, mm_error *err);

/* Log-mel of the Whisper kind: periodic Hann window, reflect padding of n_fft/2, power spectrum, Slaney filterbank,
 * log10 clamped at 1e-10, then max(x, max - 8), (x + 4) / 4; the last frame is dropped. */
typedef struct mm__mel_policy {
    int32_t rate, n_fft, hop, n_mels;
    int64_t n_samples;    /* pad or cut to this many samples (one window); 0: as it is */
    const float *filters; /* [n_mels, n_fft/2+1], or NULL: Slaney, 0..rate/2 */
} mm__mel_policy;

mm_status mm__mel_policy_from_json(const mm__json *doc, const char *what, mm__mel_policy *out, mm_error *err);

typedef struct mm__mel mm__mel; /* plan: window, FFT tables, filters; immutable */
mm_status mm__mel_create(mm__mem *mem, const mm__mel_policy *p, mm__mel **out, mm_error *err);
void mm__mel_destroy(mm__mel *m);
/* Spectrogram of samples[0..n): float32 [n_mels, *frames] in a new block of `mem`. Honours n_samples. */
mm_status mm__mel_run(const mm__mel *m, mm__mem *mem, const float *samples, int64_t n, float **out, int64_t *frames,
                      mm_error *err);
/* The Slaney-scale, Slaney-normalised filterbank, [n_mels, n_fft/2+1]. */
void mm__mel_slaney(int32_t n_mels, int32_t n_fft, int32_t rate, float *out);

#endif
