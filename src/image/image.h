/* Pixels: decoding (PNG, JPEG, BMP), resizing equal to Pillow's, and the preprocessing policies encoders ask for.
 * Sizes are checked before anything is decoded: at most 16384 a side and 64 Mpx. */
#ifndef MM__IMAGE_IMAGE_H
#define MM__IMAGE_IMAGE_H

#include "../base/io.h"
#include "../base/json.h"

typedef struct mm__pixels {
    mm__mem *mem;
    int32_t width, height, channels; /* 1 grey, 2 grey+alpha, 3 RGB, 4 RGBA */
    uint8_t *data;                   /* [height, width, channels], packed */
} mm__pixels;

/* A size against the limits on pictures that come from outside. */
mm_status mm__image_check_size(mm__mem *mem, uint32_t w, uint32_t h, const char *what, mm_error *err);
mm_status mm__pixels_create(mm__mem *mem, int32_t w, int32_t h, int32_t channels, mm__pixels **out, mm_error *err);
void mm__pixels_free(mm__pixels *p);
/* Keeps the file's channels; turned upright where Exif says how. MM_E_MEDIA names what is wrong. */
mm_status mm__image_decode(mm__mem *mem, const void *bytes, size_t len, const char *what, mm__pixels **out, mm_error *err);

#define MM__RESAMPLE_NEAREST 0 /* numbers as Pillow's and preprocessor_config.json's */
#define MM__RESAMPLE_LANCZOS 1
#define MM__RESAMPLE_BILINEAR 2
#define MM__RESAMPLE_BICUBIC 3
#define MM__RESAMPLE_BOX 4
#define MM__RESAMPLE_HAMMING 5

/* Pillow's two-pass fixed-point resampling with antialias: 8-bit results, exact up to +-1. */
mm_status mm__image_resize(const mm__pixels *src, int32_t w, int32_t h, int resample, mm__pixels **out, mm_error *err);

#define MM__FIT_NONE 0          /* keep the size */
#define MM__FIT_EXACT 1         /* width x height, aspect ignored */
#define MM__FIT_SHORTEST 2      /* shortest edge = shortest, long edge truncated */
#define MM__FIT_PAD_SQUARE 3    /* pad to a square of pad_color, then exact */

#define MM__RGB_DROP_ALPHA 0    /* Pillow's convert("RGB") */
#define MM__RGB_OVER_WHITE 1    /* composite over white */

typedef struct mm__image_policy {
    int fit;
    int32_t width, height, shortest;
    int resample;
    int32_t crop_width, crop_height;  /* 0: no centre crop; smaller pictures are padded with zeros */
    int rgb;
    uint8_t pad_color[3];
    float rescale;                    /* 1/255 */
    float mean[3], std[3];            /* (x * rescale - mean) / std */
    int normalize;
} mm__image_policy;

#define MM__IMAGE_CROPS 1
#define MM__IMAGE_PADS 2

/* What a class of preprocessors does where a file says nothing. */
typedef struct mm__image_class {
    const char *name;                 /* without ImageProcessor */
    int32_t size, crop;
    int can;                          /* MM__IMAGE_CROPS, MM__IMAGE_PADS */
    int fit, resample, rgb;
    float mean[3], std[3];
} mm__image_class;

typedef struct mm__image_classes { const mm__image_class *list; size_t n; } mm__image_classes;

/* Reads a preprocessor_config.json object. Fields it leaves out come from the class named by image_processor_type (or the
 * older feature_extractor_type), one of `known`; from `fallback` where none is named. Refuses values out of range. */
mm_status mm__image_policy_from_json(const mm__json *doc, const mm__image_classes *known, const mm__image_policy *fallback,
                                     const char *what, mm__image_policy *out, mm_error *err);
/* Refuses means and deviations out of the same range, wherever they were read. */
mm_status mm__image_policy_check(const mm__image_policy *p, const char *what, mm_error *err);
/* Size in pixels the policy's result has for a given picture. */
void mm__image_policy_size(const mm__image_policy *p, int32_t w, int32_t h, int32_t *out_w, int32_t *out_h);

/* What happened to the geometry, so coordinates can be mapped back: x_src = (x_dst + off_x) * scale_x. */
typedef struct mm__image_transform { double scale_x, scale_y, off_x, off_y; } mm__image_transform;

/* Runs the policy: float32 [3, height, width] in a new block (mm__free(src->mem, ...)). transform may be NULL. */
mm_status mm__image_preprocess(const mm__pixels *src, const mm__image_policy *p, float **out, int32_t *out_w, int32_t *out_h,
                               mm__image_transform *transform, mm_error *err);

#endif
