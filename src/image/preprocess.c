/* Runs a policy: colour -> pad -> resize and crop in one step -> numbers.
 *
 * Colour first, because an encoder's pictures were made that way: grey is repeated, alpha dropped or composited over
 * white with Pillow's 7-bit fixed-point arithmetic. The crop is folded into the resize as a window, so a picture of
 * extreme aspect never exists at full resized size. Pixels the crop adds around a smaller picture are 0 before scaling,
 * as the reference pads with zeros. x * rescale and (x - mean) / std take one value per byte and channel: a table. */
#include "image.h"
#include "probe.h"
#include "resize.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <math.h>
#include <string.h>

/* The resized picture, and where the result lies in it: left/top may be negative (zeros are added). */
typedef struct layout {
    int64_t w, h;
    int64_t left, top;
    int64_t out_w, out_h;
} layout;

static layout plan(const mm__image_policy *p, int32_t w, int32_t h)
{
    layout l = {.w = w, .h = h};
    if (p->fit == MM__FIT_EXACT || p->fit == MM__FIT_PAD_SQUARE) {
        l.w = p->width;
        l.h = p->height;
    } else if (p->fit == MM__FIT_SHORTEST) {
        int64_t small = w < h ? w : h, large = w < h ? h : w, size = p->shortest;
        int64_t longer = (int64_t)((double)(size * large) / (double)small);
        l.w = w <= h ? size : longer;
        l.h = w <= h ? longer : size;
    }
    l.out_w = l.w;
    l.out_h = l.h;
    if (p->crop_width > 0) {
        /* floor((size - crop) / 2), which for a smaller picture is minus the ceiling of half the padding */
        l.out_w = p->crop_width;
        l.out_h = p->crop_height;
        l.left = (l.w - l.out_w) >> 1;
        l.top = (l.h - l.out_h) >> 1;
    }
    return l;
}

void mm__image_policy_size(const mm__image_policy *p, int32_t w, int32_t h, int32_t *out_w, int32_t *out_h)
{
    layout l = plan(p, w, h);
    *out_w = (int32_t)l.out_w;
    *out_h = (int32_t)l.out_h;
}

static uint8_t over_white(uint8_t v, uint8_t alpha)
{
    uint32_t a = (uint32_t)alpha * 128, t = v * a + 255u * (255u * 128 - a) + (0x80u << 7);
    return (uint8_t)(((t >> 8) + t) >> 8 >> 7);
}

/* The picture as RGB inside a w x h canvas of `fill`, at (left, top). */
static mm_status to_rgb(const mm__pixels *src, int rgb, int32_t w, int32_t h, int32_t left, int32_t top, const uint8_t fill[3],
                        mm__pixels **out, mm_error *err)
{
    mm__pixels *dst;
    mm_status st = mm__pixels_create(src->mem, w, h, 3, &dst, err);
    if (st != MM_OK) return st;
    if (w != src->width || h != src->height)
        for (size_t i = 0, n = (size_t)w * (size_t)h; i < n; i++) memcpy(dst->data + 3 * i, fill, 3);
    const bool colour = src->channels >= 3, blend = rgb == MM__RGB_OVER_WHITE && src->channels % 2 == 0;
    for (int32_t y = 0; y < src->height; y++) {
        const uint8_t *in = src->data + (size_t)y * (size_t)src->width * (size_t)src->channels;
        uint8_t *to = dst->data + ((size_t)(top + y) * (size_t)w + (size_t)left) * 3;
        for (int32_t x = 0; x < src->width; x++, in += src->channels, to += 3)
            for (int c = 0; c < 3; c++) {
                uint8_t v = in[colour ? c : 0];
                to[c] = blend ? over_white(v, in[src->channels - 1]) : v;
            }
    }
    *out = dst;
    return MM_OK;
}

static void to_numbers(const mm__pixels *px, const layout *l, const mm__image_policy *p, float *out)
{
    float table[3][256];
    const double rescale = p->rescale == 1.0f / 255.0f ? 1.0 / 255.0 : (double)p->rescale;
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            float x = (float)(v * rescale);
            table[c][v] = p->normalize ? (x - p->mean[c]) / p->std[c] : x;
        }
    const size_t n = (size_t)l->out_w * (size_t)l->out_h, dx = l->left < 0 ? (size_t)-l->left : 0,
                 dy = l->top < 0 ? (size_t)-l->top : 0;
    for (size_t c = 0; c < 3; c++) {
        float *plane = out + c * n;
        if ((size_t)px->width * (size_t)px->height < n)
            for (size_t i = 0; i < n; i++) plane[i] = table[c][0];
        for (size_t y = 0; y < (size_t)px->height; y++) {
            const uint8_t *in = px->data + y * (size_t)px->width * 3 + c;
            float *to = plane + (dy + y) * (size_t)l->out_w + dx;
            for (size_t x = 0; x < (size_t)px->width; x++) to[x] = table[c][in[3 * x]];
        }
    }
}

mm_status mm__image_preprocess(const mm__pixels *src, const mm__image_policy *p, float **out, int32_t *out_w, int32_t *out_h,
                               mm__image_transform *transform, mm_error *err)
{
    mm__pixels *rgb = NULL, *px = NULL;
    float *numbers = NULL;
    int32_t w = src->width, h = src->height, pad_x = 0, pad_y = 0;
    *out = NULL;
    if (p->fit == MM__FIT_PAD_SQUARE) {
        int32_t side = w > h ? w : h;
        pad_x = (side - w) / 2;
        pad_y = (side - h) / 2;
        w = h = side;
    }
    layout l = plan(p, w, h);
    if (l.out_w < 1 || l.out_h < 1 || l.w > INT32_MAX || l.h > INT32_MAX || l.out_w * l.out_h > (int64_t)mm__limit_info_of(MM__LIMIT_IMAGE_PIXELS)->most)
        return mm__fail(err, MM_E_LIMIT, "picture of %dx%d pixels cannot be brought to %lldx%lld", src->width, src->height,
                        (long long)l.out_w, (long long)l.out_h);
    int64_t x0 = l.left > 0 ? l.left : 0, y0 = l.top > 0 ? l.top : 0;
    int64_t cw = l.w < l.out_w ? l.w : l.out_w, ch = l.h < l.out_h ? l.h : l.out_h;
    mm_status st = to_rgb(src, p->rgb, w, h, pad_x, pad_y, p->pad_color, &rgb, err);
    if (st == MM_OK)
        st = mm__image_resize_window(rgb, (int32_t)l.w, (int32_t)l.h, p->resample, (int32_t)x0, (int32_t)y0, (int32_t)cw,
                                     (int32_t)ch, &px, err);
    if (st != MM_OK) goto done;
    numbers = mm__calloc(src->mem, 3 * (size_t)l.out_w * (size_t)l.out_h, sizeof *numbers);
    if (!numbers) {
        st = mm__nomem(err, "picture numbers");
        goto done;
    }
    to_numbers(px, &l, p, numbers);
    *out = numbers;
    *out_w = (int32_t)l.out_w;
    *out_h = (int32_t)l.out_h;
    if (transform) {
        transform->scale_x = (double)w / (double)l.w;
        transform->scale_y = (double)h / (double)l.h;
        transform->off_x = (double)l.left - pad_x / transform->scale_x;
        transform->off_y = (double)l.top - pad_y / transform->scale_y;
    }
done:
    mm__pixels_free(rgb);
    mm__pixels_free(px);
    return st;
}
