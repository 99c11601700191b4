/* Which way up a picture is. */
#ifndef MM__IMAGE_ORIENT_H
#define MM__IMAGE_ORIENT_H

#include "image.h"

/* The orientation tag in an Exif block of n bytes (from its byte order mark on), 1..8; 1 when it has none that can be read. */
int mm__exif_orientation(const uint8_t *exif, size_t n);
/* Replaces *p, which was stored in that orientation, by the picture as it is to be seen. On failure *p stays. */
mm_status mm__pixels_upright(mm__pixels **p, int orientation, mm_error *err);

#endif
