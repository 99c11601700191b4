/* Bytes to pixels: probe, decode within bounds, turn upright, hand over. JPEG goes to libjpeg-turbo, PNG and BMP to stb_image.
 * Also the life of mm__pixels. Any thread. */
#include "image.h"
#include "jpeg.h"
#include "orient.h"
#include "probe.h"
#include "stb.h"
#include "../base/ckd.h"
#include "../base/error.h"

#include <string.h>

#define MAX_SIDE (1 << 20) /* of a picture made by resizing; decoded ones are bound by the limit "image_side" */

mm_status mm__pixels_create(mm__mem *mem, int32_t w, int32_t h, int32_t channels, mm__pixels **out, mm_error *err)
{
    *out = NULL;
    if (w < 1 || h < 1 || channels < 1 || channels > 4)
        return mm__fail(err, MM_E_ARG, "picture: size %dx%d with %d channels is not possible", w, h, channels);
    if (w > MAX_SIDE || h > MAX_SIDE) return mm__fail(err, MM_E_LIMIT, "picture: %dx%d pixels; %d a side are possible", w, h, MAX_SIDE);
    const mm_status st = mm__limit_check(mem, MM__LIMIT_IMAGE_PIXELS, (uint64_t)w * (uint64_t)h, "picture", err);
    if (st != MM_OK) return st;
    mm__pixels *p = mm__zalloc(mem, sizeof *p);
    if (!p) return mm__nomem(err, "picture");
    p->mem = mem;
    p->width = w;
    p->height = h;
    p->channels = channels;
    p->data = mm__alloc(mem, (size_t)w * (size_t)h * (size_t)channels);
    if (!p->data) {
        mm__pixels_free(p);
        return mm__nomem(err, "picture");
    }
    *out = p;
    return MM_OK;
}

mm_status mm__image_check_size(mm__mem *mem, uint32_t w, uint32_t h, const char *what, mm_error *err)
{
    const mm_status st = mm__limit_check(mem, MM__LIMIT_IMAGE_SIDE, w > h ? w : h, what, err);
    return st == MM_OK ? mm__limit_check(mem, MM__LIMIT_IMAGE_PIXELS, (uint64_t)w * h, what, err) : st;
}

void mm__pixels_free(mm__pixels *p)
{
    if (!p) return;
    mm__free(p->mem, p->data);
    mm__free(p->mem, p);
}

/* What the largest single block of a decode can honestly be: the file itself while its pieces are joined, or the picture
 * in 16-bit RGBA with a filter byte a row, with room for one doubling. */
static size_t block_bound(const mm__probe *p, size_t len)
{
    size_t w = (size_t)p->width + 64, h = (size_t)p->height + 64;
    size_t picture = 2 * (w * h * 8 + h), file = 2 * len;
    return (picture > file ? picture : file) + 65536;
}

static mm_status decode_stored(mm__mem *mem, const mm__probe *p, const void *bytes, size_t len, const char *what, mm__pixels **out,
                               mm_error *err)
{
    mm__stb_result r;
    if (strcmp(p->kind, "JPEG") == 0) return mm__jpeg_decode(mem, bytes, len, p->width, p->height, what, out, err);
    if (!mm__stb_decode(mem, bytes, len, block_bound(p, len), &r)) {
        if (r.out_of_memory) return mm__nomem(err, what);
        return mm__fail(err, MM_E_MEDIA, "%s: damaged or unusual %s data; it cannot be decoded", what, p->kind);
    }
    if (r.width != p->width || r.height != p->height || r.channels < 1 || r.channels > 4) {
        mm__free(mem, r.data);
        return mm__fail(err, MM_E_MEDIA, "%s: %s header and data disagree about the size", what, p->kind);
    }
    mm__pixels *px = mm__zalloc(mem, sizeof *px);
    if (!px) {
        mm__free(mem, r.data);
        return mm__nomem(err, what);
    }
    *px = (mm__pixels){.mem = mem, .width = r.width, .height = r.height, .channels = r.channels, .data = r.data};
    *out = px;
    return MM_OK;
}

mm_status mm__image_decode(mm__mem *mem, const void *bytes, size_t len, const char *what, mm__pixels **out, mm_error *err)
{
    mm__probe p;
    *out = NULL;
    mm_status st = mm__image_probe(mem, bytes, len, what, &p, err);
    if (st == MM_OK) st = decode_stored(mem, &p, bytes, len, what, out, err);
    if (st == MM_OK && (st = mm__pixels_upright(out, p.orientation, err)) != MM_OK) {
        mm__pixels_free(*out);
        *out = NULL;
    }
    return st;
}
