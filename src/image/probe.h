/* Walks a picture file's structure before a decoder sees it: kind, size, and everything a decoder must not be trusted
 * with (segment lengths, table sizes, truncation). */
#ifndef MM__IMAGE_PROBE_H
#define MM__IMAGE_PROBE_H

#include "image.h"

typedef struct mm__probe {
    mm__mem *mem;
    const char *kind; /* "PNG", "JPEG", "BMP" */
    int32_t width, height; /* as stored */
    int orientation;       /* of Exif, 1..8; 1: stored upright */
} mm__probe;

/* The limits are those of `mem`. */
mm_status mm__image_probe(mm__mem *mem, const uint8_t *bytes, size_t len, const char *what, mm__probe *out, mm_error *err);

#endif
