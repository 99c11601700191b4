/* MP3 through libmpg123 itself. libsndfile reads MP3 with the same library, so nothing new is linked, but it opens it
 * without the switch that keeps it from writing its opinions of damaged files to stderr, and a library inside somebody's
 * process must not print. Besides that the settings are libsndfile's: float samples, no resampling, the encoder's padding
 * taken off where the file states it, and the search for the next frame behind damage never given up.
 *
 * The bytes are read through callbacks, so nothing is copied. Tags in front (ID3v2) are skipped unread. How long a file
 * should be is known only from the header that encoders of variable rate, and LAME always, put into the first frame: "Xing"
 * or "Info", flags, and with flag 1 the number of frames (the VBR header as LAME documents it). Without it, a file that ends
 * inside a frame is known to be cut; one that ends between two looks whole. */
#include "mp3.h"
#include "../base/error.h"
#include <mpg123.h>
#include <stdio.h>
#include <string.h>

struct mm__mp3 {
    mm__mem *mem;
    mpg123_handle *handle;
    const uint8_t *bytes;
    off_t len, at;
    long rate;
    int channels;
    bool broken;         /* the decoder lost its way before the end */
    bool other;          /* what is read next has another format */
    int64_t promised;    /* samples of a channel by the header; 0: it says nothing */
    int64_t frame_size;
};

static mpg123_ssize_t read_bytes(void *user, void *to, size_t n)
{
    mm__mp3 *m = user;
    if (n > (size_t)(m->len - m->at)) n = (size_t)(m->len - m->at);
    memcpy(to, m->bytes + m->at, n);
    m->at += (off_t)n;
    return (mpg123_ssize_t)n;
}

static off_t seek_bytes(void *user, off_t offset, int whence)
{
    mm__mp3 *m = user;
    const off_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? m->at : m->len;
    if (offset < -base || offset > m->len - base) return -1;
    return m->at = base + offset;
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads the header of the first frame, where it lies behind an ID3v2 tag at most. */
static void read_promise(mm__mp3 *m, const uint8_t *b, size_t len)
{
    size_t at = 0;
    if (len >= 10 && memcmp(b, "ID3", 3) == 0)
        at = 10 + ((size_t)(b[6] & 0x7f) << 21 | (size_t)(b[7] & 0x7f) << 14 | (size_t)(b[8] & 0x7f) << 7 | (b[9] & 0x7f));
    if (at >= len || len - at < 48 || b[at] != 0xff || (b[at + 1] & 0xe6) != 0xe2) return; /* layer III only */
    const bool mpeg1 = (b[at + 1] & 0x18) == 0x18, mono = b[at + 3] >> 6 == 3;
    const size_t tag = at + 4 + (mpeg1 ? mono ? 17 : 32 : mono ? 9 : 17);
    if (memcmp(b + tag, "Xing", 4) != 0 && memcmp(b + tag, "Info", 4) != 0) return;
    m->frame_size = mpeg1 ? 1152 : 576;
    if (b[tag + 7] & 1) m->promised = be32(b + tag + 8) * m->frame_size;
}

mm_status mm__mp3_open(mm__mem *mem, const uint8_t *bytes, size_t len, const char *what, mm__mp3 **out, int32_t *rate,
                       int32_t *channels, mm_error *err)
{
    int encoding;
    *out = NULL;
    mm__mp3 *m = mm__zalloc(mem, sizeof *m);
    if (!m) return mm__nomem(err, what);
    *m = (mm__mp3){.mem = mem, .bytes = bytes, .len = (off_t)len};
    m->handle = mpg123_new(NULL, NULL);
    if (!m->handle) {
        mm__mp3_close(m);
        return mm__nomem(err, what);
    }
    const long flags = MPG123_QUIET | MPG123_FORCE_FLOAT | MPG123_GAPLESS | MPG123_SKIP_ID3V2;
    const bool opened = mpg123_param(m->handle, MPG123_ADD_FLAGS, flags, 0) == MPG123_OK &&
                        mpg123_param(m->handle, MPG123_REMOVE_FLAGS, MPG123_AUTO_RESAMPLE, 0) == MPG123_OK &&
                        mpg123_param(m->handle, MPG123_RESYNC_LIMIT, -1, 0) == MPG123_OK &&
                        mpg123_replace_reader_handle(m->handle, read_bytes, seek_bytes, NULL) == MPG123_OK &&
                        mpg123_open_handle(m->handle, m) == MPG123_OK &&
                        mpg123_getformat(m->handle, &m->rate, &m->channels, &encoding) == MPG123_OK;
    if (!opened || encoding != MPG123_ENC_FLOAT_32 || m->rate < 1 || m->rate > INT32_MAX || m->channels < 1) {
        mm__mp3_close(m);
        return mm__fail(err, MM_E_MEDIA, "%s: damaged MP3 file: no sound is found in it", what);
    }
    read_promise(m, bytes, len);
    *rate = (int32_t)m->rate;
    *channels = m->channels;
    *out = m;
    return MM_OK;
}

void mm__mp3_close(mm__mp3 *m)
{
    if (!m) return;
    mpg123_delete(m->handle);
    mm__free(m->mem, m);
}

/* Whether what follows is of another rate, number of channels or encoding. */
static bool is_other(mm__mp3 *m)
{
    long rate;
    int channels, encoding;
    return mpg123_getformat(m->handle, &rate, &channels, &encoding) != MPG123_OK || rate != m->rate || channels != m->channels ||
           encoding != MPG123_ENC_FLOAT_32;
}

/* A new format is announced once, maybe together with the last samples of the old one. A damaged header looks like one too, so
 * frames of another format are passed over where the old one is back within a block; what goes on for longer is a change. */
int64_t mm__mp3_read(mm__mp3 *m, float *to, int64_t frames)
{
    const size_t frame = (size_t)m->channels * sizeof *to;
    for (;;) {
        size_t done = 0;
        const bool other = m->other;
        const int st = mpg123_read(m->handle, to, (size_t)frames * frame, &done);
        if (st == MPG123_NEW_FORMAT) m->other = is_other(m);
        else if (other && st == MPG123_OK) return -1;
        if (done && !other) return (int64_t)(done / frame);
        if (st != MPG123_OK && st != MPG123_NEW_FORMAT) {
            m->broken = st != MPG123_DONE || other;
            return 0;
        }
    }
}

/* Whether the file ends inside a frame: behind the last one read begins another of the same version, layer and sample rate.
 * Tags and padding at the end of a file do not look like that. */
static bool ends_inside(const mm__mp3 *m)
{
    static const uint8_t stays[4] = {0xff, 0xfe, 0x0c, 0};
    struct mpg123_frameinfo info;
    const off_t at = mpg123_framepos(m->handle);
    if (at < 0 || mpg123_info(m->handle, &info) != MPG123_OK || info.framesize < 4 || at >= m->len - info.framesize) return false;
    const uint8_t *last = m->bytes + at, *next = last + info.framesize;
    bool same = true;
    for (off_t i = 0; i < 4 && i < m->len - at - info.framesize; i++) same &= (last[i] & stays[i]) == (next[i] & stays[i]);
    return same && last[0] == 0xff;
}

/* The encoder's delay and padding, which the promise counts, are less than four frames. */
bool mm__mp3_cut(const mm__mp3 *m, int64_t frames)
{
    return m->broken || frames + 4 * m->frame_size < m->promised || ends_inside(m);
}
