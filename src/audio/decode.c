/* Sound files to mono samples.
 *
 * libsndfile reads the formats but MP3 (mp3.c), from memory through callbacks. It knows many more than we want to be exposed
 * to, so a file is let in by its first bytes (RIFF/RF64 WAVE, fLaC, OggS, MP3), a WAVE file also by the encoding its fmt
 * chunk states (PCM, float, A-law, mu-law: the ADPCM readers have a record of overflows), and what the library then says it
 * opened is checked again. Its frame count is never believed: blocks are read until there are no more, or the limit is met.
 * A file that ends before its headers said it would is read as far as it goes, and marked as cut. Channels are averaged;
 * a sample that is not finite is refused, for it says that all of the sound may be wrong. */
#include "audio.h"
#include "mp3.h"
#include "resample.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <math.h>
#include <sndfile.h>
#include <string.h>

#define MAX_CHANNELS 8
#define MIN_RATE 1000
#define MAX_RATE 768000
#define BLOCK 4096

void mm__samples_free(mm__samples *s)
{
    if (!s) return;
    mm__free(s->mem, s->data);
    mm__free(s->mem, s);
}

/* A number of samples at a rate against the two limits of length. */
static mm_status check_length(const mm__mem *mem, int64_t n, int32_t rate, const char *what, mm_error *err)
{
    const mm_status st = mm__limit_check(mem, MM__LIMIT_AUDIO_SAMPLES, (uint64_t)n, what, err);
    return st == MM_OK ? mm__limit_check(mem, MM__LIMIT_AUDIO_SECONDS, (uint64_t)(n / rate + (n % rate != 0)), what, err) : st;
}

static mm_status check_shape(int64_t channels, int64_t rate, const char *what, mm_error *err)
{
    if (channels < 1 || channels > MAX_CHANNELS)
        return mm__fail(err, MM_E_MEDIA, "%s: %lld channels; 1 to %d are read", what, (long long)channels, MAX_CHANNELS);
    if (rate < MIN_RATE || rate > MAX_RATE)
        return mm__fail(err, MM_E_MEDIA, "%s: sample rate %lld; %d to %d Hz are read", what, (long long)rate, MIN_RATE,
                        MAX_RATE);
    return MM_OK;
}

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}
static uint32_t le32(const uint8_t *p)
{
    return le16(p + 2) << 16 | le16(p);
}

/* A chunk of a WAVE file: its content, the bytes it claims and those the file has from there on. */
typedef struct chunk { const uint8_t *p; size_t n, left; } chunk;

/* False when there is none: the file ends before it, or (*past) in a chunk that claims all the rest or more. */
static bool find_chunk(const uint8_t *b, size_t len, const char *id, chunk *out, bool *past)
{
    size_t at = 12;
    *past = false;
    while (len - at >= 8) {
        *out = (chunk){b + at + 8, le32(b + at + 4), len - at - 8};
        if (memcmp(b + at, id, 4) == 0) return true;
        if ((*past = out->n >= out->left)) return false;
        at += 8 + out->n + (out->n & 1);
    }
    return false;
}

/* Whether a WAVE file's data chunk promises more than there is. Programs that write to a pipe leave 0xffffffff there. */
static bool wave_cut(const uint8_t *b, size_t len)
{
    chunk c;
    bool past;
    return find_chunk(b, len, "data", &c, &past) ? c.n > c.left && c.n < 0xffffff00u : past;
}

/* A WAVE file's encoding tag, the extensible form resolved; 0 when there is no usable fmt chunk. */
static uint32_t wave_tag(const uint8_t *b, size_t len)
{
    chunk c;
    bool past;
    if (!find_chunk(b, len, "fmt ", &c, &past) || c.n < 16 || c.n > c.left) return 0;
    const uint32_t tag = le16(c.p);
    return tag != 0xfffe ? tag : c.n >= 26 ? le16(c.p + 24) : 0;
}

/* Bytes of the Ogg page at p by its own segment table; more than `left` when it is cut off. */
static size_t ogg_page(const uint8_t *p, size_t left)
{
    if (left < 27) return 27;
    size_t n = 27 + p[26];
    if (n <= left)
        for (size_t i = 0; i < p[26]; i++) n += p[27 + i];
    return n;
}

/* Whether the last complete page of an Ogg file is not marked as the last of its stream, or a part of one follows it. */
static bool ogg_cut(const uint8_t *b, size_t len)
{
    bool last = false;
    for (size_t at = 0; at < len;) {
        const uint8_t *p = b + at;
        const size_t n = ogg_page(p, len - at);
        if (n > len - at || memcmp(p, "OggS", 4) != 0) return true;
        last = p[5] & 4;
        at += n;
    }
    return !last;
}

/* Ogg pages carry checksums (RFC 3533, section 6): a page that fails its own is damage, and the library leaks memory on
 * headers that are damaged. A page cut off by the end of the file is left to the library. */
static bool ogg_pages_ok(const uint8_t *b, size_t len)
{
    uint32_t table[256];
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i << 24;
        for (int k = 0; k < 8; k++) c = c & 0x80000000u ? c << 1 ^ 0x04c11db7u : c << 1;
        table[i] = c;
    }
    for (size_t at = 0, pages = 0;; pages++) {
        const uint8_t *p = b + at;
        const size_t n = ogg_page(p, len - at);
        if (len - at >= 27 && memcmp(p, "OggS", 4) != 0) return false;
        if (n > len - at) return pages > 1;
        uint32_t sum = 0;
        for (size_t i = 0; i < n; i++) sum = sum << 8 ^ table[(sum >> 24 ^ (i >= 22 && i < 26 ? 0 : p[i])) & 0xff];
        if (sum != le32(p + 22)) return false;
        at += n;
    }
}

/* SF_FORMAT_* container of a file we let in; 0 and an error otherwise. */
static int admitted(const uint8_t *b, size_t len, const char *what, mm_error *err)
{
    if (len >= 12 && (memcmp(b, "RIFF", 4) == 0 || memcmp(b, "RF64", 4) == 0) && memcmp(b + 8, "WAVE", 4) == 0) {
        const uint32_t tag = wave_tag(b, len);
        if (tag == 1 || tag == 3 || tag == 6 || tag == 7) return SF_FORMAT_WAV;
        mm__fail(err, MM_E_MEDIA, "%s: WAVE encoding 0x%x is not read; save it as PCM or float", what, tag);
        return 0;
    }
    if (len >= 4 && memcmp(b, "fLaC", 4) == 0) return SF_FORMAT_FLAC;
    if (len >= 4 && memcmp(b, "OggS", 4) == 0) {
        if (ogg_pages_ok(b, len)) return SF_FORMAT_OGG;
        mm__fail(err, MM_E_MEDIA, "%s: damaged or incomplete OGG file", what);
        return 0;
    }
    if (len >= 4 && (memcmp(b, "ID3", 3) == 0 || (b[0] == 0xff && (b[1] & 0xe0) == 0xe0 && (b[1] & 0x06) != 0)))
        return SF_FORMAT_MPEG;
    mm__fail(err, MM_E_MEDIA, "%s: not a WAV, FLAC, OGG or MP3 file; convert it to one of these", what);
    return 0;
}

static bool format_agrees(int format, int container)
{
    const int type = format & SF_FORMAT_TYPEMASK, sub = format & SF_FORMAT_SUBMASK;
    if (container == SF_FORMAT_WAV && type != SF_FORMAT_WAV && type != SF_FORMAT_WAVEX && type != SF_FORMAT_RF64) return false;
    if (container != SF_FORMAT_WAV && type != container) return false;
    switch (sub) {
    case SF_FORMAT_PCM_S8:
    case SF_FORMAT_PCM_U8:
    case SF_FORMAT_PCM_16:
    case SF_FORMAT_PCM_24:
    case SF_FORMAT_PCM_32:
        return container == SF_FORMAT_WAV || container == SF_FORMAT_FLAC;
    case SF_FORMAT_FLOAT:
    case SF_FORMAT_DOUBLE:
    case SF_FORMAT_ULAW:
    case SF_FORMAT_ALAW:
        return container == SF_FORMAT_WAV;
    case SF_FORMAT_VORBIS:
    case SF_FORMAT_OPUS:
        return container == SF_FORMAT_OGG;
    case SF_FORMAT_MPEG_LAYER_I:
    case SF_FORMAT_MPEG_LAYER_II:
    case SF_FORMAT_MPEG_LAYER_III:
        return container == SF_FORMAT_MPEG;
    default:
        return false;
    }
}

typedef struct source {
    const uint8_t *bytes;
    sf_count_t len, at;
} source;

static sf_count_t source_length(void *user)
{
    return ((source *)user)->len;
}
static sf_count_t source_tell(void *user)
{
    return ((source *)user)->at;
}

static sf_count_t source_seek(sf_count_t offset, int whence, void *user)
{
    source *s = user;
    const sf_count_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? s->at : s->len;
    if (offset < -base || offset > s->len - base) return -1;
    return s->at = base + offset;
}

static sf_count_t source_read(void *to, sf_count_t n, void *user)
{
    source *s = user;
    if (n > s->len - s->at) n = s->len - s->at;
    if (n <= 0) return 0;
    memcpy(to, s->bytes + s->at, (size_t)n);
    s->at += n;
    return n;
}

static sf_count_t source_write(const void *from, sf_count_t n, void *user)
{
    return 0;
}

/* False when a sample is not finite. */
static bool mean(const float *frame, int32_t channels, float *out)
{
    double sum = 0.0;
    for (int32_t c = 0; c < channels; c++) sum += frame[c];
    *out = (float)(sum / channels);
    return isfinite(*out);
}

static mm_status not_finite(const mm__samples *s, const char *what, mm_error *err)
{
    return mm__fail(err, MM_E_MEDIA, "%s: sample %lld (at %.3f s) is not a number; make the recording again", what, (long long)s->n,
                    (double)s->n / s->rate);
}

/* Whether the first packet of an Ogg file is the head of a codec that is read. It lies behind a page header of 27 bytes and
 * one of lengths. */
static bool ogg_is_read(const source *s)
{
    return s->len >= 36 && (memcmp(s->bytes + 28, "\1vorbis", 7) == 0 || memcmp(s->bytes + 28, "OpusHead", 8) == 0);
}

/* An open file of either decoder. */
typedef struct reader {
    SNDFILE *file;
    mm__mp3 *mp3;
    int32_t rate, channels;
    int64_t promised;         /* frames, by a header; 0: unknown */
} reader;

static mm_status open_file(reader *r, mm__mem *mem, source *src, int container, const char *what, mm_error *err)
{
    SF_VIRTUAL_IO io = {source_length, source_seek, source_read, source_write, source_tell};
    SF_INFO info = {0};
    if (container == SF_FORMAT_MPEG) return mm__mp3_open(mem, src->bytes, (size_t)src->len, what, &r->mp3, &r->rate, &r->channels, err);
    r->file = sf_open_virtual(&io, SFM_READ, &info, src);
    if (!r->file && container == SF_FORMAT_OGG && !ogg_is_read(src))
        return mm__fail(err, MM_E_MEDIA, "%s: an OGG file whose sound is not Vorbis or Opus; convert it to one of these, or to WAV or FLAC", what);
    if (!r->file) return mm__fail(err, MM_E_MEDIA, "%s: damaged sound file: %s", what, sf_strerror(NULL));
    if (!format_agrees(info.format, container))
        return mm__fail(err, MM_E_MEDIA, "%s: sound format 0x%x is not read", what, (unsigned)info.format);
    r->rate = info.samplerate;
    r->channels = info.channels;
    if (container == SF_FORMAT_FLAC && info.frames < SF_COUNT_MAX) r->promised = info.frames;
    return MM_OK;
}

static void close_file(reader *r)
{
    mm__mp3_close(r->mp3);
    if (r->file) sf_close(r->file);
}

/* Reads blocks until the end into s->data, which grows by half each time. */
static mm_status read_blocks(const reader *r, mm__samples *s, const char *what, mm_error *err)
{
    float block[BLOCK];
    const int64_t per_block = BLOCK / r->channels;
    int64_t cap = 0, got;
    while ((got = r->mp3 ? mm__mp3_read(r->mp3, block, per_block) : sf_readf_float(r->file, block, per_block)) > 0) {
        if (got > per_block) return mm__fail(err, MM_E_MEDIA, "%s: the sound decoder broke its promise", what);
        const mm_status st = check_length(s->mem, s->n + got, s->rate, what, err);
        if (st != MM_OK) return st;
        if (s->n + got > cap) {
            cap = s->n + got + s->n / 2 + BLOCK;
            float *grown = mm__realloc(s->mem, s->data, (size_t)cap * sizeof *grown);
            if (!grown) return mm__nomem(err, what);
            s->data = grown;
        }
        for (int64_t i = 0; i < got; i++, s->n++)
            if (!mean(block + i * r->channels, r->channels, &s->data[s->n])) return not_finite(s, what, err);
    }
    if (got < 0) return mm__fail(err, MM_E_MEDIA, "%s: its sample rate or channels change at %.3f s; convert it", what, (double)s->n / s->rate);
    return s->n > 0 ? MM_OK : mm__fail(err, MM_E_MEDIA, "%s: holds no samples", what);
}

static bool ends_early(const reader *r, int container, const uint8_t *bytes, size_t len, int64_t frames)
{
    switch (container) {
    case SF_FORMAT_WAV: return wave_cut(bytes, len);
    case SF_FORMAT_OGG: return ogg_cut(bytes, len);
    case SF_FORMAT_MPEG: return mm__mp3_cut(r->mp3, frames);
    default: return frames < r->promised;
    }
}

mm_status mm__audio_decode(mm__mem *mem, const void *bytes, size_t len, const char *what, int32_t rate, mm__samples **out,
                           mm_error *err)
{
    reader r = {0};
    mm__samples *s = NULL;
    *out = NULL;
    mm_status st = mm__limit_check(mem, MM__LIMIT_MEDIA_BYTES, len, what, err);
    if (st != MM_OK) return st;
    if (rate != 0 && (rate < MIN_RATE || rate > MAX_RATE))
        return mm__fail(err, MM_E_ARG, "%s: cannot be read at %d Hz", what, rate);
    const int container = admitted(bytes, len, what, err);
    if (!container) return MM_E_MEDIA;
    source src = {bytes, (sf_count_t)len, 0};
    st = open_file(&r, mem, &src, container, what, err);
    if (st == MM_OK) st = check_shape(r.channels, r.rate, what, err);
    if (st != MM_OK) goto done;
    if (!(s = mm__zalloc(mem, sizeof *s))) {
        st = mm__nomem(err, what);
        goto done;
    }
    s->mem = mem;
    s->rate = r.rate;
    st = read_blocks(&r, s, what, err);
    if (st == MM_OK) s->cut = ends_early(&r, container, bytes, len, s->n);
    if (st == MM_OK && rate) st = mm__audio_resample(s, rate, err);
    if (st != MM_OK) goto done;
    *out = s;
    s = NULL;
done:
    mm__samples_free(s);
    close_file(&r);
    return st;
}

mm_status mm__audio_from_pcm(mm__mem *mem, const float *f32, const int16_t *i16, int64_t frames, int32_t channels,
                             int32_t rate_in, int32_t rate, mm__samples **out, mm_error *err)
{
    static const char what[] = "samples";
    *out = NULL;
    if ((f32 != NULL) == (i16 != NULL) || frames < 1) return mm__fail(err, MM_E_ARG, "samples: none given");
    if (rate != 0 && (rate < MIN_RATE || rate > MAX_RATE))
        return mm__fail(err, MM_E_ARG, "samples: cannot be read at %d Hz", rate);
    mm_status st = check_shape(channels, rate_in, what, err);
    if (st != MM_OK) return st;
    if ((st = check_length(mem, frames, rate_in, what, err)) != MM_OK) return st;
    mm__samples *s = mm__zalloc(mem, sizeof *s);
    if (!s) return mm__nomem(err, what);
    s->mem = mem;
    s->rate = rate_in;
    s->data = mm__calloc(mem, (size_t)frames, sizeof *s->data);
    if (!s->data) {
        st = mm__nomem(err, what);
        goto done;
    }
    for (; s->n < frames; s->n++) {
        float frame[MAX_CHANNELS];
        for (int32_t c = 0; c < channels; c++) frame[c] = f32 ? f32[s->n * channels + c] : (float)i16[s->n * channels + c] / 32768.0f;
        if (!mean(frame, channels, &s->data[s->n])) {
            st = not_finite(s, what, err);
            goto done;
        }
    }
    if (rate) st = mm__audio_resample(s, rate, err);
    if (st != MM_OK) goto done;
    *out = s;
    s = NULL;
done:
    mm__samples_free(s);
    return st;
}
