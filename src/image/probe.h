/* Walks a picture file's structure before a decoder sees it: kind, size, and everything a decoder must not be trusted
 * with (segment lengths, table sizes, truncation). */
#ifndef MM__IMAGE_PROBE_H
#define MM__IMAGE_PROBE_H

#include "image.h"

#define MM__IMAGE_MAX_SIDE 16384
#define MM__IMAGE_MAX_PIXELS (64u << 20)

typedef struct mm__probe {
    const char *kind; /* "PNG", "JPEG", "BMP" */
    int32_t width, height; /* as stored */
    int orientation;       /* of Exif, 1..8; 1: stored upright */
} mm__probe;

mm_status mm__image_probe(const uint8_t *bytes, size_t len, const char *what, mm__probe *out, mm_error *err);

#endif
