/* Resampling of a window of the result: what a centre crop keeps, without making the rest. */
#ifndef MM__IMAGE_RESIZE_H
#define MM__IMAGE_RESIZE_H

#include "image.h"

/* Columns [x0, x0 + cw) and rows [y0, y0 + ch) of the w x h result. The window must lie inside. */
mm_status mm__image_resize_window(const mm__pixels *src, int32_t w, int32_t h, int resample, int32_t x0, int32_t y0, int32_t cw,
                                  int32_t ch, mm__pixels **out, mm_error *err);

#endif
