/* Cameras store what their sensor saw and note in Exif how the camera was held; the pixels are turned here, once, after
 * decoding, so that a photo is upright for every model. (The pipelines that load pictures for a user do the same; those that
 * are given an opened picture leave it as stored.)
 *
 * Exif is a TIFF block: a byte order mark, 42, the position of the first directory; the directory is a count and entries of
 * 12 bytes: tag, type, count, value (TIFF 6.0, section 2; the tag's values: Exif 2.3, section 4.6.4). Every position comes
 * from the file and is compared with the block's length before it is used; anything odd means "no tag", never an error. */
#include "orient.h"
#include <string.h>

#define ORIENTATION 0x0112
#define SHORT 3

static uint32_t number(const uint8_t *p, int bytes, bool big)
{
    uint32_t v = 0;
    for (int i = 0; i < bytes; i++) v = v << 8 | p[big ? i : bytes - 1 - i];
    return v;
}

int mm__exif_orientation(const uint8_t *b, size_t n)
{
    if (n < 10 || (memcmp(b, "II", 2) != 0 && memcmp(b, "MM", 2) != 0)) return 1;
    const bool big = b[0] == 'M';
    const size_t at = number(b + 4, 4, big);
    if (number(b + 2, 2, big) != 42 || at > n - 2) return 1;
    const size_t entries = number(b + at, 2, big), room = (n - at - 2) / 12;
    for (size_t i = 0; i < entries && i < room; i++) {
        const uint8_t *e = b + at + 2 + 12 * i;
        if (number(e, 2, big) != ORIENTATION) continue;
        const uint32_t v = number(e + 8, 2, big);
        return number(e + 2, 2, big) == SHORT && number(e + 4, 4, big) == 1 && v >= 1 && v <= 8 ? (int)v : 1;
    }
    return 1;
}

/* Where the first pixel of the result lies in the source, and how far to go for the next column and row. */
typedef struct walk { ptrdiff_t start, column, row; } walk;

static walk walk_of(int orientation, ptrdiff_t w, ptrdiff_t h)
{
    switch (orientation) {
    case 2: return (walk){w - 1, -1, w};
    case 3: return (walk){w * h - 1, -1, -w};
    case 4: return (walk){w * (h - 1), 1, -w};
    case 5: return (walk){0, w, 1};
    case 6: return (walk){w * (h - 1), -w, 1};
    case 7: return (walk){w * h - 1, -w, -1};
    case 8: return (walk){w - 1, w, -1};
    default: return (walk){0, 1, w};
    }
}

mm_status mm__pixels_upright(mm__pixels **p, int orientation, mm_error *err)
{
    const mm__pixels *src = *p;
    mm__pixels *dst;
    if (orientation < 2 || orientation > 8) return MM_OK;
    const bool turned = orientation >= 5;
    const int32_t w = turned ? src->height : src->width, h = turned ? src->width : src->height;
    const mm_status st = mm__pixels_create(src->mem, w, h, src->channels, &dst, err);
    if (st != MM_OK) return st;
    const walk go = walk_of(orientation, src->width, src->height);
    const size_t channels = (size_t)src->channels;
    uint8_t *to = dst->data;
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++, to += channels)
            memcpy(to, src->data + (size_t)(go.start + go.column * x + go.row * y) * channels, channels);
    mm__pixels_free(*p);
    *p = dst;
    return MM_OK;
}
