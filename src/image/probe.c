/* Structure checks on picture files, done before decoding and without allocating.
 *
 * PNG: the chunk list up to IEND; JPEG: the marker list up to EOI, entropy-coded data included, because a decoder that
 * meets a second frame header or an oversized Huffman table there is as exposed as at the start of the file; BMP: header
 * and extent of the pixel array. All numbers are compared with what is left of the file; nothing is added to a position
 * before that. References: PNG specification (2nd ed.) chapter 5 and 11, ITU-T T.81 annex B, the BITMAPINFOHEADER layout.
 *
 * A file cut short is refused, not filled with grey: half a picture is a wrong answer nobody notices. */
#include "probe.h"
#include "orient.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <string.h>

#define MAX_SCANS 100 /* of a progressive JPEG; encoders write about ten */
#define MAX_CODES 256 /* of one Huffman table */

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}
static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}
static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}
static uint32_t le32(const uint8_t *p)
{
    return le16(p + 2) << 16 | le16(p);
}

static mm_status truncated(const mm__probe *p, const char *what, mm_error *err)
{
    return mm__fail(err, MM_E_MEDIA, "%s: %s picture ends early; the file is incomplete", what, p->kind);
}

static mm_status set_size(mm__probe *p, uint32_t w, uint32_t h, const char *what, mm_error *err)
{
    if (w == 0 || h == 0) return mm__fail(err, MM_E_MEDIA, "%s: %s picture of size %ux%u has no pixels", what, p->kind, w, h);
    const mm_status st = mm__image_check_size(p->mem, w, h, what, err);
    if (st != MM_OK) return st;
    p->width = (int32_t)w;
    p->height = (int32_t)h;
    return MM_OK;
}

static mm_status probe_png(const uint8_t *b, size_t len, const char *what, mm__probe *p, mm_error *err)
{
    size_t at = 8;
    bool data = false;
    if (len < 33) return truncated(p, what, err);
    if (be32(b + 8) != 13 || memcmp(b + 12, "IHDR", 4) != 0)
        return mm__fail(err, MM_E_MEDIA, "%s: PNG does not start with a header chunk", what);
    mm_status st = set_size(p, be32(b + 16), be32(b + 20), what, err);
    if (st != MM_OK) return st;
    for (;;) {
        if (len - at < 12) return truncated(p, what, err);
        uint32_t n = be32(b + at);
        if (n > len - at - 12) return truncated(p, what, err);
        if (memcmp(b + at + 4, "IEND", 4) == 0) return MM_OK;
        if (memcmp(b + at + 4, "IDAT", 4) == 0) {
            if (!data && n == 0) /* the decoder would copy nothing to a null pointer, which C does not define */
                return mm__fail(err, MM_E_MEDIA, "%s: PNG begins its pixels with an empty chunk; write it anew with another program", what);
            data = true;
        }
        if (memcmp(b + at + 4, "eXIf", 4) == 0) p->orientation = mm__exif_orientation(b + at + 8, n);
        at += (size_t)n + 12;
    }
}

/* One DHT segment's payload: tables of 16 counts followed by that many symbols. */
static bool huffman_ok(const uint8_t *s, size_t n)
{
    while (n > 0) {
        size_t codes = 0;
        if (n < 17 || (s[0] & 0x0f) > 3 || s[0] >> 4 > 1) return false;
        for (int i = 1; i <= 16; i++) codes += s[i];
        if (codes > MAX_CODES || codes > n - 17) return false;
        s += 17 + codes;
        n -= 17 + codes;
    }
    return true;
}

static mm_status frame_header(const uint8_t *s, size_t n, const char *what, mm__probe *p, mm_error *err)
{
    if (p->width) return mm__fail(err, MM_E_MEDIA, "%s: JPEG has two frame headers", what);
    if (n < 6) return truncated(p, what, err);
    if (s[0] != 8) return mm__fail(err, MM_E_MEDIA, "%s: JPEG with %d-bit samples; only 8-bit ones are read", what, s[0]);
    return set_size(p, be16(s + 3), be16(s + 1), what, err);
}

/* Next marker at or after `at`: skips bytes until 0xFF, then fill bytes. In entropy-coded data stuffed zeros and restart
 * markers belong to the data. Returns the position behind the marker code, 0 at the end of the file. */
static size_t next_marker(const uint8_t *b, size_t len, size_t at, bool entropy, uint8_t *marker)
{
    while (at + 1 < len) {
        if (b[at] != 0xff) {
            at++;
            continue;
        }
        while (at < len && b[at] == 0xff) at++;
        if (at == len) return 0;
        *marker = b[at++];
        if (!entropy || (*marker != 0 && (*marker < 0xd0 || *marker > 0xd7))) return at;
    }
    return 0;
}

static mm_status probe_jpeg(const uint8_t *b, size_t len, const char *what, mm__probe *p, mm_error *err)
{
    size_t at = 2;
    bool entropy = false;
    int scans = 0;
    bool exif = false;
    for (;;) {
        uint8_t m = 0;
        at = next_marker(b, len, at, entropy, &m);
        if (at == 0) return truncated(p, what, err);
        if (m == 0xd9) break;
        if (m == 0 || m == 0x01 || (m >= 0xd0 && m <= 0xd8))
            return mm__fail(err, MM_E_MEDIA, "%s: JPEG marker 0x%02x at byte %zu is out of place", what, m, at - 1);
        if (len - at < 2) return truncated(p, what, err);
        size_t n = be16(b + at);
        if (n < 2 || n > len - at) return truncated(p, what, err);
        const uint8_t *body = b + at + 2;
        mm_status st = MM_OK;
        if (m >= 0xc0 && m <= 0xc2)
            st = frame_header(body, n - 2, what, p, err);
        else if (m == 0xc4 && !huffman_ok(body, n - 2))
            st = mm__fail(err, MM_E_MEDIA, "%s: JPEG has a damaged Huffman table at byte %zu", what, at);
        else if (m > 0xc2 && m <= 0xcf && m != 0xc4)
            st = mm__fail(err, MM_E_MEDIA,
                          "%s: JPEG of a lossless, hierarchical or arithmetic kind is not read; save it as baseline", what);
        else if (m == 0xda && ++scans > MAX_SCANS)
            st = mm__fail(err, MM_E_LIMIT, "%s: JPEG has more than %d scans", what, MAX_SCANS);
        else if (m == 0xe1 && !exif && n >= 8 && memcmp(body, "Exif\0\0", 6) == 0) {
            exif = true;
            p->orientation = mm__exif_orientation(body + 6, n - 8);
        }
        if (st != MM_OK) return st;
        entropy = m == 0xda;
        at += n;
    }
    if (!p->width || !scans) return mm__fail(err, MM_E_MEDIA, "%s: JPEG holds no picture", what);
    return MM_OK;
}

static mm_status probe_bmp(const uint8_t *b, size_t len, const char *what, mm__probe *p, mm_error *err)
{
    if (len < 26) return truncated(p, what, err);
    uint32_t start = le32(b + 10), head = le32(b + 14), w, h, bits;
    if (head == 12) {
        w = le16(b + 18);
        h = le16(b + 20);
        bits = le16(b + 24);
    } else if (len < 54) {
        return truncated(p, what, err);
    } else {
        uint32_t compression = le32(b + 30);
        w = le32(b + 18);
        h = le32(b + 22);
        if (h > INT32_MAX && h != (uint32_t)INT32_MIN) h = 0u - h; /* negative: stored top down */
        bits = le16(b + 28);
        if (compression != 0 && compression != 3)
            return mm__fail(err, MM_E_MEDIA, "%s: compressed BMP (method %u) is not read; save it uncompressed", what,
                            compression);
    }
    if (bits != 1 && bits != 4 && bits != 8 && bits != 16 && bits != 24 && bits != 32)
        return mm__fail(err, MM_E_MEDIA, "%s: BMP with %u bits a pixel", what, bits);
    mm_status st = set_size(p, w, h, what, err);
    if (st != MM_OK) return st;
    uint64_t row = ((uint64_t)w * bits + 31) / 32 * 4;
    if (start > len || row * h > len - start) return truncated(p, what, err);
    return MM_OK;
}

mm_status mm__image_probe(mm__mem *mem, const uint8_t *b, size_t len, const char *what, mm__probe *p, mm_error *err)
{
    *p = (mm__probe){.mem = mem, .orientation = 1};
    const mm_status st = mm__limit_check(mem, MM__LIMIT_MEDIA_BYTES, len, what, err);
    if (st != MM_OK) return st;
    if (len > INT32_MAX) return mm__fail(err, MM_E_LIMIT, "%s: picture file of %zu bytes; %d are possible", what, len, INT32_MAX);
    if (len >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0) {
        p->kind = "PNG";
        return probe_png(b, len, what, p, err);
    }
    if (len >= 3 && memcmp(b, "\xff\xd8\xff", 3) == 0) {
        p->kind = "JPEG";
        return probe_jpeg(b, len, what, p, err);
    }
    if (len >= 2 && memcmp(b, "BM", 2) == 0) {
        p->kind = "BMP";
        return probe_bmp(b, len, what, p, err);
    }
    return mm__fail(err, MM_E_MEDIA, "%s: not a PNG, JPEG or BMP picture; convert it to one of these", what);
}
