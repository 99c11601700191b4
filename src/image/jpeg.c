/* JPEG through libjpeg-turbo, the decoder the reference pipelines use: its IDCT and chroma interpolation differ from
 * other decoders' by up to a level, enough to turn a close choice of a token. Pictures in four inks become RGB as the pipelines
 * make it: ink and black multiplied, the Adobe marker saying that inks are stored inverted.
 *
 * The library reports errors by calling back; the callback jumps out to the one setjmp below, so nothing that must be
 * released may be held in registers across it - everything sits in `decode`. It takes memory from libc: a picture of several
 * scans is kept as coefficients, two bytes for each, and these are booked on the engine's account; the rest is some rows.
 * Truncated files are refused; so are, by probe.c beforehand, files with more scans than any honest progressive picture has. */
#include "jpeg.h"

#include "../base/error.h"

#include <setjmp.h>
#include <stdio.h>
#include <jerror.h>
#include <jpeglib.h>

typedef struct decode {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
    bool truncated;
    mm__pixels *pixels;
    uint8_t *inks; /* one row of C, M, Y, K */
    uint64_t booked;
} decode;

static void on_error(j_common_ptr info)
{
    longjmp(((decode *)info->client_data)->failed, 1);
}

static void on_message(j_common_ptr info, int level)
{
    decode *d = info->client_data;
    if (level < 0 && (info->err->msg_code == JWRN_JPEG_EOF || info->err->msg_code == JWRN_HIT_MARKER)) d->truncated = true;
}

static void ignore(j_common_ptr info)
{
}

/* a * b / 255, rounded. */
static uint8_t multiply(unsigned a, unsigned b)
{
    const unsigned t = a * b + 128;
    return (uint8_t)((t + (t >> 8)) >> 8);
}

static void inks_to_rgb(const uint8_t *inks, size_t width, bool inverted, uint8_t *rgb)
{
    const unsigned flip = inverted ? 0 : 255;
    for (size_t x = 0; x < width; x++, inks += 4, rgb += 3)
        for (int c = 0; c < 3; c++) rgb[c] = multiply(inks[c] ^ flip, inks[3] ^ flip);
}

/* What libjpeg is going to keep of a picture whose scans come one behind the other. */
static uint64_t coefficient_bytes(j_decompress_ptr info)
{
    uint64_t n = 0;
    if (!jpeg_has_multiple_scans(info)) return 0;
    for (int i = 0; i < info->num_components; i++) {
        const jpeg_component_info *c = &info->comp_info[i];
        n += ((uint64_t)c->width_in_blocks + (uint64_t)c->h_samp_factor) * ((uint64_t)c->height_in_blocks + (uint64_t)c->v_samp_factor) * sizeof(JBLOCK);
    }
    return n;
}

static mm_status read_rows(decode *d, mm__mem *mem, int32_t w, int32_t h, mm_error *err)
{
    j_decompress_ptr info = &d->info;
    if (jpeg_read_header(info, TRUE) != JPEG_HEADER_OK) return MM_E_MEDIA;
    const bool inks = info->num_components == 4;
    info->out_color_space = inks ? JCS_CMYK : info->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    const uint64_t coefficients = coefficient_bytes(info);
    if (!mm__mem_charge(mem, coefficients)) return mm__nomem(err, "a picture of several scans");
    d->booked = coefficients;
    jpeg_start_decompress(info);
    if (info->output_width != (JDIMENSION)w || info->output_height != (JDIMENSION)h) return MM_E_MEDIA;
    const int32_t channels = inks ? 3 : info->output_components;
    mm_status st = mm__pixels_create(mem, w, h, channels, &d->pixels, err);
    if (st == MM_OK && inks && !(d->inks = mm__calloc(mem, (size_t)w, 4))) st = mm__nomem(err, "a picture");
    while (st == MM_OK && info->output_scanline < info->output_height) {
        uint8_t *to = d->pixels->data + (size_t)info->output_scanline * (size_t)w * (size_t)channels;
        JSAMPROW row = inks ? d->inks : to;
        jpeg_read_scanlines(info, &row, 1);
        if (inks) inks_to_rgb(d->inks, (size_t)w, info->saw_Adobe_marker, to);
    }
    if (st == MM_OK) jpeg_finish_decompress(info);
    return st == MM_OK && d->truncated ? MM_E_MEDIA : st;
}

mm_status mm__jpeg_decode(mm__mem *mem, const void *bytes, size_t len, int32_t w, int32_t h, const char *what, mm__pixels **out,
                          mm_error *err)
{
    *out = NULL;
    decode *d = mm__zalloc(mem, sizeof *d);
    if (!d) return mm__nomem(err, what);
    volatile mm_status st = MM_E_MEDIA;
    d->info.err = jpeg_std_error(&d->errors);
    d->errors.error_exit = on_error;
    d->errors.emit_message = on_message;
    d->errors.output_message = ignore;
    d->info.client_data = d;
    if (!setjmp(d->failed)) {
        jpeg_create_decompress(&d->info);
        jpeg_mem_src(&d->info, bytes, (unsigned long)len);
        st = read_rows(d, mem, w, h, err);
    } else {
        st = MM_E_MEDIA;
    }
    jpeg_destroy_decompress(&d->info);
    mm__mem_discharge(mem, d->booked);
    if (st == MM_OK) *out = d->pixels;
    else mm__pixels_free(d->pixels);
    mm__free(mem, d->inks);
    mm__free(mem, d);
    return st == MM_E_MEDIA ? mm__fail(err, st, "%s: damaged or truncated JPEG data; it cannot be decoded", what) : st;
}
