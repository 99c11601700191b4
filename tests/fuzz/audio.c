/* WAV, FLAC, OGG and MP3, resampled as a model asks for it. */
#include "fuzz.h"

#include "../../src/audio/audio.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    fuzz_case c = fuzz_begin(bytes, n);
    mm__samples *s = NULL;
    mm__limit_set(c.mem, MM__LIMIT_AUDIO_SECONDS, 60);
    mm__limit_set(c.mem, MM__LIMIT_AUDIO_SAMPLES, 1 << 20);
    const mm_status st = mm__audio_decode(c.mem, bytes, n, "sound", n & 1 ? 16000 : 0, &s, &c.err);
    for (int64_t i = 0; st == MM_OK && i < s->n; i++) fuzz_expect(isfinite(s->data[i]), "a sample is not finite", NULL);
    mm__samples_free(s);
    return fuzz_end(&c, st);
}
