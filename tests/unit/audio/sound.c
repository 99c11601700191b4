/* Sound against reference samples and spectrograms; formats; damaged files; sizes from zero samples up. */
#include "../base/failing.h"
#include "../image/golden.h"
#include "../../../src/audio/audio.h"
#include "../../../src/audio/fft.h"
#include <math.h>
#include <sndfile.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static mm__mem *mem;
static mm_error err = {.size = sizeof err};

static mm__samples *load(const char *path, int32_t rate)
{
    char *bytes;
    size_t len;
    mm__samples *s = NULL;
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &bytes, &len, &err), MM_OK);
    if (mm__audio_decode(mem, bytes, len, path, rate, &s, &err) != MM_OK) fail_msg("%s", err.text);
    mm__free(mem, bytes);
    return s;
}

static mm__mel *front_end(const char *config, mm__mel_policy *p)
{
    mm__mel *mel;
    mm__json_doc *doc = golden_json(mem, config);
    assert_int_equal(mm__mel_policy_from_json(mm__json_root(doc), config, p, &err), MM_OK);
    mm__json_free(doc);
    assert_int_equal(mm__mel_create(mem, p, &mel, &err), MM_OK);
    return mel;
}

static double worst_of(const float *a, const float *b, size_t n)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) worst = fabs((double)a[i] - b[i]) > worst ? fabs((double)a[i] - b[i]) : worst;
    return worst;
}

static void decoding_equals_the_reference(void **state)
{
    (void)state;
    size_t n;
    golden g = golden_open(mem, "tests/golden/_inputs/decoded.safetensors");
    const float *want = golden_tensor(&g, "speech_16k.wav.f32", &n);
    mm__samples *s = load("tests/golden/_inputs/speech_16k.wav", 16000);
    assert_int_equal(n, s->n * 4);
    assert_memory_equal(s->data, want, n);
    mm__samples_free(s);
    want = golden_tensor(&g, "stereo_44k.wav.f32", &n);
    s = load("tests/golden/_inputs/stereo_44k.wav", 0);
    assert_true(s->rate == 44100 && (size_t)s->n * 8 == n);
    for (int64_t i = 0; i < s->n; i++) assert_true(fabsf(s->data[i] - 0.5f * (want[2 * i] + want[2 * i + 1])) < 1e-7f);
    mm__samples_free(s);
    golden_close(&g);
}

/* Two good resamplers differ near half the sample rate and at the ends; the middle of the band must agree. */
static void resampling_is_close_to_the_reference(void **state)
{
    (void)state;
    size_t n;
    golden g = golden_open(mem, "tests/golden/_inputs/decoded.safetensors");
    const float *want = golden_tensor(&g, "stereo_44k.wav.mono16k_soxr_hq", &n);
    mm__samples *s = load("tests/golden/_inputs/stereo_44k.wav", 16000);
    assert_int_equal(n, s->n * 4);
    double error = 0, power = 0;
    for (int64_t i = 0; i < s->n; i++) {
        error += pow(s->data[i] - want[i], 2);
        power += pow(want[i], 2);
    }
    const double ratio = 10 * log10(error / power), worst = worst_of(s->data, want, (size_t)s->n);
    if (ratio > -45 || worst > 0.01) fail_msg("resampled sound: error %.1f dB, worst sample %.5f", ratio, worst);
    print_message("resampled: error %.1f dB, worst sample %.5f\n", ratio, worst);
    mm__samples_free(s);
    golden_close(&g);
}

static void mel_equals_the_reference(void **state)
{
    (void)state;
    mm__mel_policy p;
    size_t n;
    float *out;
    int64_t frames;
    mm__mel *mel = front_end("tests/golden/whisper/preprocessor_config.json", &p);
    golden g = golden_open(mem, "tests/golden/whisper/expected.safetensors"),
           in = golden_open(mem, "tests/golden/_inputs/decoded.safetensors");
    assert_true(p.n_samples == 32000 && p.n_mels == 80);

    mm__samples *s = load("tests/golden/_inputs/speech_16k.wav", 16000);
    const float *want = golden_tensor(&g, "speech/in.input_features", &n);
    assert_int_equal(mm__mel_run(mel, mem, s->data, s->n, &out, &frames, &err), MM_OK);
    assert_true(frames == 200 && n == 200 * 80 * 4);
    double worst = worst_of(out, want, 200 * 80);
    if (worst > 1e-4) fail_msg("mel off by %g", worst);
    print_message("mel: worst %.2g\n", worst);
    mm__free(mem, out);
    mm__samples_free(s);

    const float *x = golden_tensor(&in, "stereo_44k.wav.mono16k_soxr_hq", &n);
    assert_int_equal(mm__mel_run(mel, mem, x, (int64_t)(n / 4), &out, &frames, &err), MM_OK);
    want = golden_tensor(&g, "stereo44k/in.input_features", &n);
    worst = worst_of(out, want, 200 * 80);
    if (worst > 1e-4) fail_msg("mel of the reference's resampling off by %g", worst);
    mm__free(mem, out);

    s = load("tests/golden/_inputs/stereo_44k.wav", 16000); /* through our own resampler: bands up to 7 kHz are close */
    assert_int_equal(mm__mel_run(mel, mem, s->data, s->n, &out, &frames, &err), MM_OK);
    worst = worst_of(out, want, 76 * 200);
    if (worst > 0.1) fail_msg("mel through our resampler off by %g", worst);
    print_message("mel through our resampler: worst %.3g below 7 kHz, %.3g in all\n", worst, worst_of(out, want, 80 * 200));
    mm__free(mem, out);
    mm__samples_free(s);
    golden_close(&g);
    golden_close(&in);
    mm__mel_destroy(mel);
}

static void mel_of_a_recording_equals_the_reference(void **state)
{
    (void)state;
    static const char wav[] = "examples/demo/jfk.wav";
    mm__json_doc *doc = golden_json(mem, "tests/real/whisper_base_jfk.json");
    const mm__json *want = mm__json_path(mm__json_root(doc), "transformers.log_mel"), *values = mm__json_get(want, "values");
    mm__mel_policy p = {.rate = 16000, .n_fft = 400, .hop = 160, .n_mels = 80, .n_samples = 480000};
    mm__mel *mel;
    float *out;
    int64_t frames;
    mm__samples *s = load(wav, 16000);
    assert_int_equal(s->n, 176000);
    assert_int_equal(mm__mel_create(mem, &p, &mel, &err), MM_OK);
    const clock_t start = clock();
    assert_int_equal(mm__mel_run(mel, mem, s->data, s->n, &out, &frames, &err), MM_OK);
    print_message("mel of 30 s: %.1f ms\n", (double)(clock() - start) * 1000.0 / CLOCKS_PER_SEC);
    assert_int_equal(frames, 3000);
    double sum = 0, worst = 0;
    for (int i = 0; i < 240000; i++) sum += out[i];
    assert_true(fabs(sum / 240000 - mm__json_num(mm__json_get(want, "mean"), 0)) < 1e-5);
    assert_true(mm__json_count(values) > 10);
    for (size_t i = 0; i < mm__json_count(values); i++) {
        const mm__json *v = mm__json_at(values, i);
        const int64_t band = mm__json_int(mm__json_at(v, 0), 0), frame = mm__json_int(mm__json_at(v, 1), 0);
        const double d = fabs(out[band * 3000 + frame] - mm__json_num(mm__json_at(v, 2), NAN));
        worst = d > worst ? d : worst;
    }
    if (worst > 1e-4) fail_msg("off by %g", worst);
    mm__free(mem, out);
    mm__samples_free(s);
    mm__mel_destroy(mel);
    mm__json_free(doc);
}

static void the_filterbank_has_its_known_values(void **state)
{
    (void)state;
    static float w[128 * 201];
    mm__mel_slaney(80, 400, 16000, w);
    assert_true(fabsf(w[1] - 0.02486259f) < 1e-7f);
    size_t used = 0;
    for (int i = 0; i < 80 * 201; i++) used += w[i] != 0.0f;
    assert_int_equal(used, 391);
    mm__mel_slaney(128, 400, 16000, w);
    assert_true(fabsf(w[1] - 0.01237399f) < 1e-7f);
}

static void very_short_sound_is_heard(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 2, 159, 160, 161, 199, 200, 201, 400};
    mm__mel_policy p = {.rate = 16000, .n_fft = 400, .hop = 160, .n_mels = 80};
    mm__mel *mel;
    assert_int_equal(mm__mel_create(mem, &p, &mel, &err), MM_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        float *x = malloc((size_t)lengths[i] * 4 + 1), *out;
        int64_t frames;
        for (int64_t j = 0; j < lengths[i]; j++) x[j] = j % 2 ? NAN : 0.5f;
        assert_int_equal(mm__mel_run(mel, mem, x, lengths[i], &out, &frames, &err), MM_OK);
        assert_int_equal(frames, lengths[i] < 160 ? 1 : lengths[i] / 160);
        for (int64_t j = 0; j < frames * 80; j++) assert_true(isfinite(out[j]));
        if (lengths[i] == 0) assert_true(out[0] == -1.5f);
        mm__free(mem, out);
        free(x);
    }
    mm__mel_destroy(mel);
}

static void transforms_equal_the_sum(void **state)
{
    (void)state;
    static const int32_t sizes[] = {4, 6, 10, 30, 48, 360, 400, 512, 1024, 1920};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const size_t n = (size_t)sizes[i], b = MM__FFT_BATCH;
        mm__fft *f;
        assert_int_equal(mm__fft_create(mem, sizes[i], &f, &err), MM_OK);
        double *x = malloc(n * b * 8), *keep = malloc(n * b * 8), *work = malloc(mm__fft_work(f) * 8),
               *power = malloc((n / 2 + 1) * b * 8);
        for (size_t j = 0; j < n * b; j++) x[j] = keep[j] = sin((double)(j * j % 1009));
        mm__fft_power(f, x, work, power);
        for (size_t k = 0; k <= n / 2; k += 1 + n / 16)
            for (size_t q = 0; q < b; q++) {
                double re = 0, im = 0;
                for (size_t j = 0; j < n; j++) {
                    re += keep[j * b + q] * cos(2 * M_PI * (double)(j * k % n) / (double)n);
                    im -= keep[j * b + q] * sin(2 * M_PI * (double)(j * k % n) / (double)n);
                }
                assert_true(fabs(power[k * b + q] - (re * re + im * im)) < 1e-9 * (double)n);
            }
        mm__fft_destroy(f);
        free(x);
        free(keep);
        free(work);
        free(power);
    }
    mm__fft *f;
    assert_int_equal(mm__fft_create(mem, 14, &f, &err), MM_E_UNSUPPORTED);
    assert_int_equal(mm__fft_create(mem, 401, &f, &err), MM_E_UNSUPPORTED);
}

/* A file in memory, written by libsndfile. */
typedef struct sink {
    uint8_t bytes[1 << 20];
    sf_count_t len, at;
} sink;
static sink made;
static sf_count_t sink_len(void *u)
{
    return made.len;
}
static sf_count_t sink_tell(void *u)
{
    return made.at;
}
static sf_count_t sink_seek(sf_count_t o, int w, void *u)
{
    return made.at = o + (w == SEEK_SET ? 0 : w == SEEK_CUR ? made.at : made.len);
}
static sf_count_t sink_read(void *p, sf_count_t n, void *u)
{
    n = n > made.len - made.at ? made.len - made.at : n;
    memcpy(p, made.bytes + made.at, (size_t)n);
    made.at += n;
    return n;
}
static sf_count_t sink_write(const void *p, sf_count_t n, void *u)
{
    assert_true(made.at + n <= (sf_count_t)sizeof made.bytes);
    memcpy(made.bytes + made.at, p, (size_t)n);
    made.at += n;
    made.len = made.at > made.len ? made.at : made.len;
    return n;
}

static void make_file(int format, int channels, int rate, int frames)
{
    SF_VIRTUAL_IO io = {sink_len, sink_seek, sink_read, sink_write, sink_tell};
    SF_INFO info = {.format = format, .channels = channels, .samplerate = rate};
    made.len = made.at = 0;
    SNDFILE *f = sf_open_virtual(&io, SFM_WRITE, &info, NULL);
    assert_non_null(f);
    for (int i = 0; i < frames; i++) {
        float x[8];
        for (int c = 0; c < channels; c++) x[c] = 0.5f * sinf((float)(2 * M_PI * 440.0 * i / rate));
        sf_writef_float(f, x, 1);
    }
    sf_close(f);
}

static void every_format_is_read(void **state)
{
    (void)state;
    static const struct {
        int format, channels, rate;
        double tolerance;
    } kinds[] = {
        {SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 16000, 1e-4},   {SF_FORMAT_WAV | SF_FORMAT_PCM_U8, 2, 8000, 1e-2},
        {SF_FORMAT_WAV | SF_FORMAT_PCM_24, 8, 96000, 2e-5},   {SF_FORMAT_WAV | SF_FORMAT_PCM_32, 1, 22050, 2e-5},
        {SF_FORMAT_WAV | SF_FORMAT_FLOAT, 3, 48000, 2e-5},    {SF_FORMAT_WAV | SF_FORMAT_DOUBLE, 1, 16000, 2e-5},
        {SF_FORMAT_WAV | SF_FORMAT_ULAW, 1, 8000, 3e-2},      {SF_FORMAT_WAV | SF_FORMAT_ALAW, 1, 8000, 3e-2},
        {SF_FORMAT_WAVEX | SF_FORMAT_PCM_16, 2, 44100, 1e-4}, {SF_FORMAT_RF64 | SF_FORMAT_PCM_16, 1, 16000, 1e-4},
        {SF_FORMAT_FLAC | SF_FORMAT_PCM_16, 2, 44100, 1e-4},  {SF_FORMAT_OGG | SF_FORMAT_VORBIS, 1, 44100, 5e-2},
        {SF_FORMAT_OGG | SF_FORMAT_OPUS, 1, 48000, 5e-2},     {SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 1, 44100, 5e-2}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const int rate = kinds[i].rate, frames = rate / 5;
        mm__samples *s;
        make_file(kinds[i].format, kinds[i].channels, rate, frames);
        if (mm__audio_decode(mem, made.bytes, (size_t)made.len, "made", 0, &s, &err) != MM_OK)
            fail_msg("format %zu: %s", i, err.text);
        assert_int_equal(s->rate, rate);
        assert_true(llabs(s->n - frames) < 2500);
        double worst = 0;
        for (int j = frames / 4; j < frames / 2; j++)
            worst = fmax(worst, fabs(s->data[j] - 0.5 * sin(2 * M_PI * 440.0 * j / rate)));
        if (worst > kinds[i].tolerance) fail_msg("format %zu: off by %g", i, worst);
        mm__samples_free(s);
    }
}

static void a_tone_survives_resampling(void **state)
{
    (void)state;
    static const int32_t rates[] = {8000, 11025, 22050, 44100, 44101, 48000, 96000, 767999}; /* the odd ones between rows of the table */
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        const int64_t n = rates[i];
        int16_t *x = malloc((size_t)n * 4);
        mm__samples *s;
        for (int64_t j = 0; j < n; j++) {
            x[2 * j] = (int16_t)lrint(20000 * sin(2 * M_PI * 1000.0 * (double)j / rates[i]));
            x[2 * j + 1] = 0;
        }
        assert_int_equal(mm__audio_from_pcm(mem, NULL, x, n, 2, rates[i], 16000, &s, &err), MM_OK);
        assert_true(s->n == 16000 && s->rate == 16000);
        for (int64_t j = 1000; j < 15000; j++)
            assert_true(fabs(s->data[j] - 10000.0 / 32768 * sin(2 * M_PI * 1000.0 * (double)j / 16000)) < 2e-4);
        mm__samples_free(s);
        free(x);
    }
}

static void what_the_lower_rate_cannot_hold_vanishes(void **state)
{
    (void)state;
    static const int32_t rates[] = {22050, 44100, 44101, 48000};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        float *x = malloc((size_t)rates[i] * sizeof *x);
        mm__samples *s;
        for (int64_t j = 0; j < rates[i]; j++) x[j] = (float)(0.5 * sin(2 * M_PI * 8200.0 * (double)j / rates[i]));
        assert_int_equal(mm__audio_from_pcm(mem, x, NULL, rates[i], 1, rates[i], 16000, &s, &err), MM_OK);
        for (int64_t j = 1000; j < 15000; j++) assert_true(fabs(s->data[j]) < 0.5 * 3.2e-5); /* 90 dB */
        mm__samples_free(s);
        free(x);
    }
}

/* From the highest rate to the lowest, and one sample. */
static void rates_may_be_far_apart(void **state)
{
    (void)state;
    static const float x[768] = {0};
    mm__samples *s;
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 768, 1, 768000, 1000, &s, &err), MM_OK);
    assert_true(s->n == 1 && s->rate == 1000);
    mm__samples_free(s);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 1, 1, 1000, 768000, &s, &err), MM_OK);
    assert_true(s->n == 768 && s->rate == 768000);
    mm__samples_free(s);
}

static mm_status decode_copy(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    mm__samples *s = NULL;
    memcpy(copy, bytes, len);
    mm_status st = mm__audio_decode(mem, copy, len, "damaged", 16000, &s, &err);
    assert_true((st == MM_OK) == (s != NULL));
    mm__samples_free(s);
    free(copy);
    return st;
}

static void unwanted_and_damaged_files_are_refused(void **state)
{
    (void)state;
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16,
                                  SF_FORMAT_OGG | SF_FORMAT_VORBIS};
    make_file(SF_FORMAT_WAV | SF_FORMAT_IMA_ADPCM, 1, 16000, 4000);
    assert_int_equal(decode_copy(made.bytes, (size_t)made.len), MM_E_MEDIA);
    assert_non_null(strstr(err.text, "PCM"));
    make_file(SF_FORMAT_AIFF | SF_FORMAT_PCM_16, 1, 16000, 400);
    assert_int_equal(decode_copy(made.bytes, (size_t)made.len), MM_E_MEDIA);
    make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 16000, 0);
    assert_int_equal(decode_copy(made.bytes, (size_t)made.len), MM_E_MEDIA);
    assert_int_equal(decode_copy((const uint8_t *)"", 0), MM_E_MEDIA);
    uint32_t seed = 99;
    for (size_t i = 0; i < 3; i++) {
        make_file(formats[i], 2, 16000, 1500);
        const size_t len = (size_t)made.len;
        uint8_t *work = malloc(len);
        for (size_t cut = 0; cut < 44 && cut < len; cut++) assert_int_equal(decode_copy(made.bytes, cut), MM_E_MEDIA);
        for (size_t cut = 44; cut < len; cut += 97) decode_copy(made.bytes, cut);
        for (int round = 0; round < 400; round++) {
            memcpy(work, made.bytes, len);
            for (int k = 0; k <= round % 4; k++) {
                seed = seed * 1664525u + 1013904223u;
                work[(seed >> 8) % (round % 2 ? len : 64)] = (uint8_t)(seed >> 3);
            }
            decode_copy(work, len);
        }
        free(work);
    }
}

/* Half a file is read as far as it goes, and marked. */
static void files_cut_short_are_marked(void **state)
{
    (void)state;
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_OGG | SF_FORMAT_VORBIS,
                                  SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        mm__samples *s;
        make_file(formats[i], 1, 44100, 300000);
        const size_t len = (size_t)made.len;
        assert_int_equal(mm__audio_decode(mem, made.bytes, len, "whole", 0, &s, &err), MM_OK);
        if (s->cut) fail_msg("format %zu: a whole file is called cut", i);
        const int64_t whole = s->n;
        mm__samples_free(s);
        if (mm__audio_decode(mem, made.bytes, len / 2, "half", 0, &s, &err) != MM_OK) fail_msg("format %zu: %s", i, err.text);
        if (!s->cut || s->n > whole * 3 / 4) fail_msg("format %zu: half a file gives %lld of %lld samples", i, (long long)s->n, (long long)whole);
        mm__samples_free(s);
    }
}

static bool called_cut(const uint8_t *bytes, size_t len)
{
    mm__samples *s;
    uint8_t *exact = malloc(len); /* so that reading past the end is seen */
    memcpy(exact, bytes, len);
    if (mm__audio_decode(mem, exact, len, "mp3", 0, &s, &err) != MM_OK) fail_msg("%s", err.text);
    const bool cut = s->cut;
    mm__samples_free(s);
    free(exact);
    return cut;
}

/* Without a header that says how long it is, a file is known to be cut unless it ends between two frames. */
static void mp3_without_a_length_ends_inside_a_frame(void **state)
{
    static const char *const tails[] = {"TAG", "APETAGEX", "LYRICSBEGIN", ""};
    (void)state;
    make_file(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 1, 44100, 30000);
    const size_t len = (size_t)made.len, id3 = 10 + 300;
    uint8_t *header = memmem(made.bytes, 100, "Info", 4), *work = calloc(1, id3 + len + 200);
    if (!header) header = memmem(made.bytes, 100, "Xing", 4);
    assert_non_null(header);
    memcpy(header, "None", 4);
    memcpy(work, "ID3\x04\0\0\0\0\x02\x2c", 10); /* 2 * 128 + 44 = 300 bytes follow */
    memcpy(work + id3, made.bytes, len);
    for (int front = 0; front < 2; front++) {
        uint8_t *file = work + (front ? 0 : id3);
        const size_t n = len + (front ? id3 : 0);
        int unseen = 0;
        for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
            memset(file + n, 0, 200);
            memcpy(file + n, tails[i], strlen(tails[i]));
            if (called_cut(file, n + 200)) fail_msg("a file that ends in \"%s\" is called cut", tails[i]);
        }
        assert_false(called_cut(file, n));
        assert_true(called_cut(file, n - 1));
        for (size_t cut = n / 2; cut < n / 2 + 300; cut++) unseen += !called_cut(file, cut);
        if (unseen < 1 || unseen > 3) fail_msg("%d of 300 cuts are not seen", unseen); /* frames take 104 bytes or more */
    }
    free(work);
}

/* Streams written to a pipe do not know their length. */
static void unknown_lengths_are_no_damage(void **state)
{
    (void)state;
    mm__samples *s;
    make_file(SF_FORMAT_WAV | SF_FORMAT_PCM_16, 1, 16000, 4000);
    uint8_t *data = memmem(made.bytes, (size_t)made.len, "data", 4);
    memset(data + 4, 0xff, 4);
    assert_int_equal(mm__audio_decode(mem, made.bytes, (size_t)made.len, "piped", 0, &s, &err), MM_OK);
    assert_true(!s->cut && s->n == 4000);
    mm__samples_free(s);
}

/* The decoder of MP3 has opinions of damage, and must keep them to itself. */
static void damaged_mp3_prints_nothing(void **state)
{
    (void)state;
    uint32_t seed = 5;
    make_file(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 2, 44100, 30000);
    const size_t len = (size_t)made.len;
    uint8_t *work = malloc(len);
    FILE *seen = tmpfile();
    fflush(stderr);
    const int saved = dup(2);
    dup2(fileno(seen), 2);
    int read = 0;
    for (size_t cut = 0; cut < len; cut += 211) decode_copy(made.bytes, cut);
    for (int round = 0; round < 300; round++) {
        memcpy(work, made.bytes, len);
        for (int k = 0; k <= round % 16; k++) {
            seed = seed * 1664525u + 1013904223u;
            const size_t at = (seed >> 8) % (round % 2 ? len : 512);
            if (round % 3) work[at] = (uint8_t)(seed >> 3);
            else memset(work + at, (int)(seed >> 3), len - at < 700 ? len - at : 700);
        }
        read += decode_copy(work, len) == MM_OK;
    }
    dup2(saved, 2);
    close(saved);
    fseek(seen, 0, SEEK_END);
    const long printed = ftell(seen);
    fclose(seen);
    free(work);
    print_message("damaged MP3: %d of 300 are read\n", read);
    assert_int_equal(printed, 0);
}

static void sound_that_is_no_number_is_refused(void **state)
{
    (void)state;
    float x[4000] = {0};
    mm__samples *s;
    x[2001] = NAN;
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 2000, 2, 16000, 0, &s, &err), MM_E_MEDIA);
    assert_non_null(strstr(err.text, "sample 1000 "));
    x[2001] = INFINITY;
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 4000, 1, 16000, 0, &s, &err), MM_E_MEDIA);
    make_file(SF_FORMAT_WAV | SF_FORMAT_FLOAT, 1, 16000, 4000);
    memcpy(made.bytes + made.len - 400, &x[2001], 4);
    assert_int_equal(decode_copy(made.bytes, (size_t)made.len), MM_E_MEDIA);
    assert_non_null(strstr(err.text, "not a number"));
}

static void bad_arguments_are_refused(void **state)
{
    (void)state;
    static const float x[8] = {0};
    mm__samples *s;
    mm__mel *mel;
    mm__mel_policy p = {.rate = 16000, .n_fft = 398, .hop = 160, .n_mels = 80};
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 8, 9, 16000, 0, &s, &err), MM_E_MEDIA);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 8, 1, 999, 0, &s, &err), MM_E_MEDIA);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 0, 1, 16000, 0, &s, &err), MM_E_ARG);
    assert_int_equal(mm__audio_from_pcm(mem, NULL, NULL, 8, 1, 16000, 0, &s, &err), MM_E_ARG);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, (int64_t)1 << 40, 1, 16000, 0, &s, &err), MM_E_LIMIT);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 8, 1, 16000, 999, &s, &err), MM_E_ARG);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 8, 1, 16000, 768001, &s, &err), MM_E_ARG);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 8, 0, 16000, 0, &s, &err), MM_E_MEDIA);
    assert_int_equal(mm__audio_from_pcm(mem, x, NULL, 8, 1, 768001, 0, &s, &err), MM_E_MEDIA);
    assert_int_equal(mm__audio_decode(mem, "RIFF", 4, "rate", 999, &s, &err), MM_E_ARG);
    assert_int_equal(mm__audio_decode(mem, "RIFF", 4, "rate", 768001, &s, &err), MM_E_ARG);
    assert_int_equal(mm__mel_create(mem, &p, &mel, &err), MM_E_UNSUPPORTED);
    p.n_fft = 399;
    assert_int_equal(mm__mel_create(mem, &p, &mel, &err), MM_E_UNSUPPORTED);
    const mm__mel_policy bad[] = {
        {.rate = 999, .n_fft = 400, .hop = 160, .n_mels = 80}, {.rate = 768001, .n_fft = 400, .hop = 160, .n_mels = 80},
        {.rate = 16000, .n_fft = 0, .hop = 160, .n_mels = 80}, {.rate = 16000, .n_fft = 16385, .hop = 160, .n_mels = 80},
        {.rate = 16000, .n_fft = 400, .hop = 0, .n_mels = 80}, {.rate = 16000, .n_fft = 400, .hop = 16385, .n_mels = 80},
        {.rate = 16000, .n_fft = 400, .hop = 160, .n_mels = 0}, {.rate = 16000, .n_fft = 400, .hop = 160, .n_mels = 1025},
        {.rate = 16000, .n_fft = 400, .hop = 160, .n_mels = 80, .n_samples = -1},
        {.rate = 16000, .n_fft = 400, .hop = 160, .n_mels = 80, .n_samples = INT64_MAX}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(mm__mel_create(mem, &bad[i], &mel, &err), MM_E_FORMAT);
    float *out;
    int64_t frames;
    p.n_fft = 400;
    assert_int_equal(mm__mel_create(mem, &p, &mel, &err), MM_OK);
    assert_int_equal(mm__mel_run(mel, mem, x, -1, &out, &frames, &err), MM_E_LIMIT);
    assert_int_equal(mm__mel_run(mel, mem, x, INT64_MAX, &out, &frames, &err), MM_E_LIMIT);
    mm__mel_destroy(mel);
    static const int32_t points[] = {0, 2, 7, 14, 65538, -4};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++) {
        mm__fft *f;
        assert_int_equal(mm__fft_create(mem, points[i], &f, &err), MM_E_UNSUPPORTED);
        assert_null(f);
    }
}

/* One MP3 behind another: heard as one when they agree, refused when the rate or the channels change. */
static void mp3_that_changes_is_refused(void **state)
{
    static const struct { int channels, rate; mm_status want; } second[] = {{1, 44100, MM_OK}, {1, 22050, MM_E_MEDIA}, {2, 44100, MM_E_MEDIA}};
    (void)state;
    for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
        make_file(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 1, 44100, 30000);
        const size_t n = (size_t)made.len;
        uint8_t *both = malloc(n + sizeof made.bytes);
        memcpy(both, made.bytes, n);
        make_file(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, second[i].channels, second[i].rate, 30000);
        memcpy(both + n, made.bytes, (size_t)made.len);
        mm__samples *s = NULL;
        const mm_status st = mm__audio_decode(mem, both, n + (size_t)made.len, "two", 0, &s, &err);
        if (st != second[i].want) fail_msg("%d channels at %d Hz: %d (%s)", second[i].channels, second[i].rate, st, err.text);
        if (st != MM_OK) assert_non_null(strstr(err.text, "change at 0."));
        mm__samples_free(s);
        free(both);
    }
}

/* Tags in front of an MP3 that are cut, or say that they are longer than the file. */
static void damaged_tags_are_survived(void **state)
{
    (void)state;
    make_file(SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III, 1, 44100, 30000);
    static const char *const tags[] = {"ID3", "ID3\x04\0\0\0\0", "ID3\x04\0\0\x7f\x7f\x7f\x7f", "ID3\x04\0\0\0\0\0\x20"};
    static const size_t lens[] = {3, 8, 10, 10};
    for (size_t i = 0; i < 4; i++) {
        uint8_t *file = malloc(10 + (size_t)made.len);
        memcpy(file, tags[i], lens[i]);
        memcpy(file + lens[i], made.bytes, (size_t)made.len);
        for (size_t n = 0; n < 64; n++) (void)decode_copy(file, lens[i] + n);
        const mm_status st = decode_copy(file, lens[i] + (size_t)made.len);
        if (st != MM_OK && st != MM_E_MEDIA) fail_msg("tag %zu: %d (%s)", i, st, err.text);
        free(file);
    }
}

static bool whole_way(mm__mem *m)
{
    mm__mel_policy p = {.rate = 16000, .n_fft = 400, .hop = 160, .n_mels = 80};
    mm__samples *s = NULL;
    mm__mel *mel = NULL;
    float *out = NULL;
    int64_t frames;
    mm_status st = mm__audio_decode(m, made.bytes, (size_t)made.len, "swept", 16000, &s, &err);
    if (st == MM_OK) st = mm__mel_create(m, &p, &mel, &err);
    if (st == MM_OK) st = mm__mel_run(mel, m, s->data, s->n, &out, &frames, &err);
    if (st != MM_OK) assert_int_equal(st, MM_E_NOMEM);
    mm__free(m, out);
    mm__mel_destroy(mel);
    mm__samples_free(s);
    return st == MM_OK;
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    static const int formats[] = {SF_FORMAT_WAV | SF_FORMAT_PCM_16, SF_FORMAT_FLAC | SF_FORMAT_PCM_16, SF_FORMAT_OGG | SF_FORMAT_VORBIS,
                                  SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        make_file(formats[i], 2, 32000, 9000);
        if (sweep(whole_way) <= 0) fail_msg("format 0x%x", (unsigned)formats[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_equals_the_reference),
        cmocka_unit_test(resampling_is_close_to_the_reference),
        cmocka_unit_test(mel_equals_the_reference),
        cmocka_unit_test(mel_of_a_recording_equals_the_reference),
        cmocka_unit_test(the_filterbank_has_its_known_values),
        cmocka_unit_test(very_short_sound_is_heard),
        cmocka_unit_test(transforms_equal_the_sum),
        cmocka_unit_test(every_format_is_read),
        cmocka_unit_test(a_tone_survives_resampling),
        cmocka_unit_test(what_the_lower_rate_cannot_hold_vanishes),
        cmocka_unit_test(rates_may_be_far_apart),
        cmocka_unit_test(unwanted_and_damaged_files_are_refused),
        cmocka_unit_test(files_cut_short_are_marked),
        cmocka_unit_test(mp3_without_a_length_ends_inside_a_frame),
        cmocka_unit_test(unknown_lengths_are_no_damage),
        cmocka_unit_test(damaged_mp3_prints_nothing),
        cmocka_unit_test(sound_that_is_no_number_is_refused),
        cmocka_unit_test(bad_arguments_are_refused),
        cmocka_unit_test(mp3_that_changes_is_refused),
        cmocka_unit_test(damaged_tags_are_survived),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    mem = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (mm__mem_live(mem) != before) failed++;
    mm__mem_destroy(mem);
    return failed;
}
