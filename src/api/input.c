/* mm_input: what a host appends, checked and handed to run/. */
#include "handles.h"

#include <string.h>

static mm_status add_text(mm_input *input, const char *text, size_t len, mm_error *err)
{
    const mm_status st = mm__limit_check(input->engine->mem, MM__LIMIT_PROMPT_BYTES, len, "text", err);
    if (st != MM_OK) return st;
    if (len && memchr(text, 0, len)) return mm__fail(err, MM_E_ARG, "the text holds a NUL byte");
    return mm__feed_add_text(&input->feed, MM__ITEM_TEXT, text, len, err);
}

mm_status mm_input_text(mm_input *input, const char *text, size_t len, mm_error *err)
{
    const mm_status st = mm__enter_input(input, text || !len, "input and text", &err);
    return st == MM_OK ? mm__leave_input(input, add_text(input, text, len, err)) : st;
}

mm_status mm_input_role(mm_input *input, const char *role, mm_error *err)
{
    mm_status st = mm__enter_input(input, role != NULL, "input and role", &err);
    if (st != MM_OK) return st;
    if (!role[0]) st = mm__fail(err, MM_E_ARG, "a role must not be empty");
    return mm__leave_input(input, st == MM_OK ? mm__feed_add_text(&input->feed, MM__ITEM_ROLE, role, strlen(role), err) : st);
}

mm_status mm_input_messages(mm_input *input, const char *json, size_t len, const char *base_dir, mm_error *err)
{
    const mm_status st = mm__enter_input(input, json || !len, "input and json", &err);
    return st == MM_OK ? mm__leave_input(input, mm__feed_add_messages(&input->feed, json, len, base_dir, err)) : st;
}

mm_status mm_input_tokens(mm_input *input, const int32_t *ids, size_t n, mm_error *err)
{
    const mm_status st = mm__enter_input(input, ids || !n, "input and ids", &err);
    return st == MM_OK ? mm__leave_input(input, mm__feed_add_ids(&input->feed, ids, n, err)) : st;
}

static mm_status add_file(mm_input *input, mm__item_kind kind, const char *path, mm_error *err)
{
    const mm_status st = mm__enter_input(input, path != NULL, "input and path", &err);
    return st == MM_OK ? mm__leave_input(input, mm__feed_add_file(&input->feed, kind, path, err)) : st;
}

mm_status mm_input_image_file(mm_input *input, const char *path, mm_error *err)
{
    return add_file(input, MM__ITEM_IMAGE, path, err);
}

mm_status mm_input_audio_file(mm_input *input, const char *path, mm_error *err)
{
    return add_file(input, MM__ITEM_AUDIO, path, err);
}

static mm_status add_encoded(mm_input *input, mm__item_kind kind, const void *bytes, size_t len, const char *what, mm_error *err)
{
    const mm_status st = mm__enter_input(input, bytes || !len, "input and bytes", &err);
    return st == MM_OK ? mm__leave_input(input, mm__feed_add_media(&input->feed, kind, bytes, len, what, err)) : st;
}

mm_status mm_input_image_encoded(mm_input *input, const void *bytes, size_t len, mm_error *err)
{
    return add_encoded(input, MM__ITEM_IMAGE, bytes, len, "picture", err);
}

mm_status mm_input_audio_encoded(mm_input *input, const void *bytes, size_t len, mm_error *err)
{
    return add_encoded(input, MM__ITEM_AUDIO, bytes, len, "sound", err);
}

static void copy_row(uint8_t *dst, const uint8_t *src, uint32_t width, uint32_t channels, bool bgr)
{
    memcpy(dst, src, (size_t)width * channels);
    for (size_t x = 0; bgr && x < width; x++) {
        const uint8_t blue = dst[3 * x];
        dst[3 * x] = dst[3 * x + 2];
        dst[3 * x + 2] = blue;
    }
}

static mm_status add_image(mm_input *input, const mm_image *image, mm_error *err)
{
    static const uint32_t channels_of[] = {[MM_PIXELS_RGB] = 3, [MM_PIXELS_RGBA] = 4, [MM_PIXELS_BGR] = 3, [MM_PIXELS_GREY] = 1};
    mm_image im = {0};
    mm_status st = mm__options_copy(&im, sizeof im, MM__FIRST_IMAGE, image, "mm_image", err);
    if (st == MM_OK) st = mm__check_reserved(im.reserved, "mm_image", err);
    if (st != MM_OK) return st;
    if (!im.pixels || im.format > MM_PIXELS_GREY) return mm__fail(err, MM_E_ARG, "mm_image: pixels is NULL or format %u is unknown", im.format);
    if (!im.width || !im.height) return mm__fail(err, MM_E_ARG, "mm_image: a picture of %u x %u pixels is empty", im.width, im.height);
    if ((st = mm__image_check_size(input->engine->mem, im.width, im.height, "mm_image", err)) != MM_OK) return st;
    const uint32_t channels = channels_of[im.format], packed = im.width * channels;
    if (im.stride && im.stride < packed) return mm__fail(err, MM_E_ARG, "mm_image.stride %u is below a row of %u bytes", im.stride, packed);
    mm__pixels *p;
    st = mm__pixels_create(input->engine->mem, (int32_t)im.width, (int32_t)im.height, (int32_t)channels, &p, err);
    if (st != MM_OK) return st;
    for (uint32_t y = 0; y < im.height; y++)
        copy_row(p->data + (size_t)y * packed, (const uint8_t *)im.pixels + (size_t)y * (im.stride ? im.stride : packed), im.width,
                 channels, im.format == MM_PIXELS_BGR);
    return mm__feed_add_pixels(&input->feed, p, err);
}

mm_status mm_input_image(mm_input *input, const mm_image *image, mm_error *err)
{
    const mm_status st = mm__enter_input(input, image != NULL, "input and image", &err);
    return st == MM_OK ? mm__leave_input(input, add_image(input, image, err)) : st;
}

static mm_status add_audio(mm_input *input, const mm_audio *audio, mm_error *err)
{
    mm_audio au = {0};
    mm_status st = mm__options_copy(&au, sizeof au, MM__FIRST_AUDIO, audio, "mm_audio", err);
    if (st != MM_OK) return st;
    if ((!au.samples && au.frames) || au.format > MM_SAMPLES_I16 || au.channels < 1 || au.channels > 8 || au.rate < 1000 ||
        au.rate > 768000 || au.frames > INT64_MAX / 64)
        return mm__fail(err, MM_E_ARG, "mm_audio: rate 1000..768000, channels 1..8 and a known format are needed");
    mm__samples *s;
    const bool is_float = au.format == MM_SAMPLES_F32;
    st = mm__audio_from_pcm(input->engine->mem, is_float ? au.samples : NULL, is_float ? NULL : au.samples, (int64_t)au.frames,
                            (int32_t)au.channels, (int32_t)au.rate, 0, &s, err);
    return st == MM_OK ? mm__feed_add_samples(&input->feed, s, err) : st;
}

mm_status mm_input_audio(mm_input *input, const mm_audio *audio, mm_error *err)
{
    const mm_status st = mm__enter_input(input, audio != NULL, "input and audio", &err);
    return st == MM_OK ? mm__leave_input(input, add_audio(input, audio, err)) : st;
}
