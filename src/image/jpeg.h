/* JPEG behind one call. */
#ifndef MM__IMAGE_JPEG_H
#define MM__IMAGE_JPEG_H

#include "image.h"

/* Decodes a probed picture of w x h: grey, or RGB. */
mm_status mm__jpeg_decode(mm__mem *mem, const void *bytes, size_t len, int32_t w, int32_t h, const char *what, mm__pixels **out,
                          mm_error *err);

#endif
