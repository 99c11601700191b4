/* Every kind of file the decoder reads against Pillow's pixels, and the same files damaged: truncated at every length,
 * with bytes changed, with forged headers. files.safetensors holds the files and what Pillow makes of them. */
#include "golden.h"
#include "../base/failing.h"
#include "../../../src/assembly/assembly.h"
#include "../../../src/image/probe.h"
#include "../../../src/image/resize.h"
#include <stdlib.h>

#define FILES "tests/unit/image/files.safetensors"

static const char *const names[] = {"png_rgb16",   "png_rgba16",       "png_grey16", "png_grey", "png_la",     "png_1bit",
                                    "png_palette", "png_palette_trns", "bmp_24",     "bmp_8",    "bmp_1",      "jpg_444",
                                    "jpg_420",     "jpg_progressive",  "jpg_grey",   "jpg_cmyk", "jpg_restart"};
#define N (sizeof names / sizeof *names)

static mm__mem *mem;
static mm_error err = {.size = sizeof err};

static void every_kind_equals_pillow(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    for (size_t i = 0; i < N; i++) {
        char key[64];
        size_t len, n;
        mm__pixels *px;
        snprintf(key, sizeof key, "%s.rgb", names[i]);
        const uint8_t *file = golden_tensor(&g, names[i], &len), *want = golden_tensor(&g, key, &n);
        if (mm__image_decode(mem, file, len, names[i], &px, &err) != MM_OK) fail_msg("%s", err.text);
        assert_true(px->width == 26 && px->height == 21 && n == 26 * 21 * 3);
        int worst = 0;
        for (size_t j = 0; j < n; j++) {
            int v = px->data[j / 3 * (size_t)px->channels + (px->channels >= 3 ? j % 3 : 0)];
            worst = abs(v - want[j]) > worst ? abs(v - want[j]) : worst;
        }
        if (worst > (names[i][0] == 'j' ? 1 : 0)) fail_msg("%s: off by %d", names[i], worst);
        mm__pixels_free(px);
    }
    golden_close(&g);
}

/* The bytes in a block of exactly their size, so that reading past them is seen. */
static mm_status decode_copy(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    mm__pixels *px = NULL;
    memcpy(copy, bytes, len);
    mm_status st = mm__image_decode(mem, copy, len, "damaged", &px, &err);
    assert_true((st == MM_OK) == (px != NULL));
    mm__pixels_free(px);
    free(copy);
    return st;
}

static void truncated_files_are_refused(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    for (size_t i = 0; i < N; i++) {
        size_t len;
        const uint8_t *file = golden_tensor(&g, names[i], &len);
        for (size_t cut = 0; cut < len; cut++)
            if (decode_copy(file, cut) != MM_E_MEDIA) fail_msg("%s cut to %zu of %zu bytes: %s", names[i], cut, len, err.text);
    }
    golden_close(&g);
}

static void damaged_files_never_crash(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    uint32_t seed = 12345;
    for (size_t i = 0; i < N; i++) {
        size_t len;
        const uint8_t *file = golden_tensor(&g, names[i], &len);
        uint8_t *work = malloc(len);
        for (int round = 0; round < 1500; round++) {
            memcpy(work, file, len);
            for (int k = 0; k <= round % 4; k++) {
                seed = seed * 1664525u + 1013904223u;
                work[(seed >> 8) % len] = (uint8_t)(seed >> 3);
            }
            decode_copy(work, len);
        }
        free(work);
    }
    assert_int_equal(mm__mem_live(mem) > 0, 1);
    golden_close(&g);
}

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void forged_headers_are_refused(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    size_t len;
    const uint8_t *file = golden_tensor(&g, "png_grey", &len);
    uint8_t *work = malloc(4096);
    static const struct {
        uint32_t w, h;
        mm_status st;
    } sizes[] = {{0, 5, MM_E_MEDIA},
                 {16385, 1, MM_E_LIMIT},
                 {1, 0xffffffff, MM_E_LIMIT},
                 {16384, 4097, MM_E_LIMIT},
                 {16384, 4096, MM_E_MEDIA}};
    for (size_t i = 0; i < 5; i++) {
        memcpy(work, file, len);
        put32(work + 16, sizes[i].w);
        put32(work + 20, sizes[i].h);
        assert_int_equal(decode_copy(work, len), sizes[i].st);
    }
    memcpy(work, file, len);
    put32(work + 33, 0xfffffff0u); /* the first data chunk claims 4 GiB */
    assert_int_equal(decode_copy(work, len), MM_E_MEDIA);
    file = golden_tensor(&g, "jpg_444", &len);
    for (size_t at = 2; at + 20 < len; at++) /* a Huffman table with more codes than there are symbols */
        if (file[at] == 0xff && file[at + 1] == 0xc4) {
            memcpy(work, file, len);
            memset(work + at + 5, 0xff, 16);
            assert_int_equal(decode_copy(work, len), MM_E_MEDIA);
            assert_non_null(strstr(err.text, "Huffman"));
            break;
        }
    assert_int_equal(decode_copy((const uint8_t *)"GIF89a..........", 16), MM_E_MEDIA);
    assert_non_null(strstr(err.text, "PNG, JPEG or BMP"));
    free(work);
    golden_close(&g);
}

static void put_le(uint8_t *p, int bytes, uint32_t v)
{
    for (int i = 0; i < bytes; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* A BMP of two by two pixels, their values from 1; head 12 is OS/2's, with sizes of 16 bits. Returns its length. */
static size_t small_bmp(uint8_t *b, uint32_t head, int32_t height, uint32_t bits, uint32_t method)
{
    const size_t start = 14 + head;
    memset(b, 0, 256);
    memcpy(b, "BM", 2);
    put_le(b + 2, 4, (uint32_t)start + 16);
    put_le(b + 10, 4, (uint32_t)start);
    put_le(b + 14, 4, head);
    if (head == 12) {
        put_le(b + 18, 2, 2);
        put_le(b + 20, 2, (uint32_t)height);
        put_le(b + 22, 2, 1);
        put_le(b + 24, 2, bits);
    } else {
        put_le(b + 18, 4, 2);
        put_le(b + 22, 4, (uint32_t)height);
        put_le(b + 26, 2, 1);
        put_le(b + 28, 2, bits);
        put_le(b + 30, 4, method);
    }
    for (int y = 0; y < 2; y++)
        for (int i = 0; i < 6; i++) b[start + (size_t)y * 8 + (size_t)i] = (uint8_t)(y * 6 + i + 1);
    return start + 16;
}

/* Both kinds of headers, stored bottom up and top down; and headers that lie. */
static void bitmaps_of_every_header(void **state)
{
    static const uint8_t up[12] = {9, 8, 7, 12, 11, 10, 3, 2, 1, 6, 5, 4}, down[12] = {3, 2, 1, 6, 5, 4, 9, 8, 7, 12, 11, 10};
    static const struct { uint32_t head; int32_t height; uint32_t bits, method; const uint8_t *want; } kinds[] = {
        {12, 2, 24, 0, up}, {40, 2, 24, 0, up}, {40, -2, 24, 0, down}, {12, 2, 7, 0, NULL}, {40, 2, 0, 0, NULL}, {40, 2, 24, 1, NULL},
        {40, 2, 24, 2, NULL}, {40, 0, 24, 0, NULL}, {40, INT32_MIN, 24, 0, NULL}, {12, 200, 24, 0, NULL}};
    uint8_t b[256];
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        mm__pixels *px = NULL;
        const size_t n = small_bmp(b, kinds[i].head, kinds[i].height, kinds[i].bits, kinds[i].method);
        const mm_status st = mm__image_decode(mem, b, n, "bitmap", &px, &err);
        if ((st == MM_OK) != (kinds[i].want != NULL) || (st != MM_OK && st != MM_E_MEDIA && st != MM_E_LIMIT)) fail_msg("kind %zu: %d (%s)", i, st, err.text);
        if (px) {
            assert_true(px->width == 2 && px->height == 2 && px->channels == 3);
            assert_memory_equal(px->data, kinds[i].want, 12);
        }
        mm__pixels_free(px);
    }
    for (size_t n = 0; n < 40; n++) { /* cut in either header */
        small_bmp(b, n & 1 ? 12 : 40, 2, 24, 0);
        assert_int_equal(decode_copy(b, n), MM_E_MEDIA);
    }
}

/* The coefficients of a picture of several scans are the engine's memory, too, whoever allocates them. */
static void scans_are_counted(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    size_t len;
    const uint8_t *file = golden_tensor(&g, "jpg_progressive", &len);
    mm__pixels *px;
    mm__mem *counted = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(counted);
    assert_int_equal(mm__image_decode(counted, file, len, "scans", &px, &err), MM_OK);
    const uint64_t peak = mm__mem_peak(counted), pixels = (uint64_t)px->width * (uint64_t)px->height * 3;
    assert_true(peak - before > 2 * pixels); /* at least three bytes a pixel by half sampled colour, behind the picture itself */
    mm__pixels_free(px);
    assert_int_equal(mm__mem_live(counted), before);
    mm__mem_destroy(counted);
    counted = mm__mem_create(NULL, peak - 1);
    assert_int_equal(mm__image_decode(counted, file, len, "scans", &px, &err), MM_E_NOMEM);
    mm__mem_destroy(counted);
    golden_close(&g);
}

static void impossible_pictures_are_refused(void **state)
{
    static const struct { int32_t w, h, channels; mm_status want; } sizes[] = {{0, 1, 3, MM_E_ARG}, {1, 0, 3, MM_E_ARG}, {1, 1, 0, MM_E_ARG},
        {1, 1, 5, MM_E_ARG}, {INT32_MAX, 1, 3, MM_E_LIMIT}, {1, INT32_MAX, 3, MM_E_LIMIT}, {-1, 1, 3, MM_E_ARG}};
    mm__pixels *px, *out;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        assert_int_equal(mm__pixels_create(mem, sizes[i].w, sizes[i].h, sizes[i].channels, &px, &err), sizes[i].want);
    assert_int_equal(mm__pixels_create(mem, 4, 4, 3, &px, &err), MM_OK);
    static const struct { int32_t w, h; int resample; } wrong[] = {{0, 4, MM__RESAMPLE_BILINEAR}, {4, 0, MM__RESAMPLE_BILINEAR}, {-1, 4, MM__RESAMPLE_NEAREST},
        {4, 4, -1}, {4, 4, 99}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(mm__image_resize(px, wrong[i].w, wrong[i].h, wrong[i].resample, &out, &err), MM_E_ARG);
    assert_int_equal(mm__image_resize(px, INT32_MAX, 1, MM__RESAMPLE_BILINEAR, &out, &err), MM_E_LIMIT);
    /* the window of a resized picture: inside it, on every side */
    static const int32_t windows[][4] = {{-1, 0, 4, 4}, {0, -1, 4, 4}, {0, 0, 0, 4}, {0, 0, 4, 0}, {5, 0, 4, 4}, {0, 5, 4, 4}};
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        assert_int_equal(mm__image_resize_window(px, 8, 8, MM__RESAMPLE_BILINEAR, windows[i][0], windows[i][1], windows[i][2], windows[i][3], &out, &err), MM_E_ARG);
    mm__pixels_free(px);
}

static mm__pixels *sized;

static bool resize_once(mm__mem *m)
{
    mm__pixels *out = NULL;
    const mm__pixels in = {.mem = m, .width = sized->width, .height = sized->height, .channels = sized->channels, .data = sized->data};
    mm_status st = MM_OK;
    for (int kind = MM__RESAMPLE_NEAREST; st == MM_OK && kind <= MM__RESAMPLE_HAMMING; kind++) {
        st = mm__image_resize(&in, 7, 5, kind, &out, &err);
        mm__pixels_free(out);
        out = NULL;
    }
    if (st != MM_OK) assert_int_equal(st, MM_E_NOMEM);
    return st == MM_OK;
}

static void resizing_without_memory(void **state)
{
    (void)state;
    for (int channels = 1; channels <= 4; channels++) {
        assert_int_equal(mm__pixels_create(mem, 11, 13, channels, &sized, &err), MM_OK);
        memset(sized->data, 100, 11 * 13 * (size_t)channels);
        assert_true(sweep(resize_once) > 0);
        mm__pixels_free(sized);
    }
}

/* 4 KiB that inflate to 4 MiB behind a header of one pixel: the decoder must not be given that much. */
static void data_cannot_outgrow_the_picture(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    size_t len;
    const uint8_t *file = golden_tensor(&g, "png_bomb", &len);
    const uint64_t before = mm__mem_live(mem);
    mm__mem *small = mm__mem_create(NULL, 0);
    mm__pixels *px = NULL;
    assert_int_equal(mm__image_decode(small, file, len, "bomb", &px, &err), MM_E_MEDIA);
    assert_true(mm__mem_peak(small) < 1 << 20);
    mm__mem_destroy(small);
    assert_true(mm__mem_live(mem) == before);
    golden_close(&g);
}

/* The first scan of a JPEG file: its header at *from, its data in [*data, *end). */
static void first_scan(const uint8_t *file, size_t *from, size_t *data, size_t *end)
{
    for (*from = 2; file[*from + 1] != 0xda; *from += 2 + (size_t)(file[*from + 2] << 8 | file[*from + 3])) assert_int_equal(file[*from], 0xff);
    *data = *from + 2 + (size_t)(file[*from + 2] << 8 | file[*from + 3]);
    for (*end = *data; file[*end] != 0xff || file[*end + 1] == 0; ++*end) {}
}

/* A progressive picture with its first scan standing there again until there are `scans`. */
static mm_status repeat_scan(const uint8_t *file, size_t len, int scans)
{
    size_t from, data, end;
    int have = 0;
    for (size_t at = 0; at + 1 < len; at++) have += file[at] == 0xff && file[at + 1] == 0xda;
    first_scan(file, &from, &data, &end);
    const size_t scan = end - from;
    uint8_t *work = malloc(len + scan * (size_t)scans);
    size_t n = end;
    memcpy(work, file, end);
    for (; have < scans; have++, n += scan) memcpy(work + n, file + from, scan);
    memcpy(work + n, file + end, len - end);
    const mm_status st = decode_copy(work, n + len - end);
    free(work);
    return st;
}

/* Each scan costs the work of the whole picture and may take a few bytes only. */
static void more_scans_than_a_picture_needs_are_refused(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    size_t len;
    const uint8_t *file = golden_tensor(&g, "jpg_progressive", &len);
    assert_int_equal(repeat_scan(file, len, 100), MM_OK);
    assert_int_equal(repeat_scan(file, len, 101), MM_E_LIMIT);
    assert_non_null(strstr(err.text, "more than 100 scans"));
    golden_close(&g);
}

/* Bytes missing from the middle of the data: markers and end are in place, so only the decoder can tell. */
static void pictures_with_a_hole_are_refused(void **state)
{
    static const char *const kinds[] = {"jpg_444", "jpg_420", "jpg_progressive", "jpg_grey"};
    (void)state;
    golden g = golden_open(mem, FILES);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len, from, data, end;
        const uint8_t *file = golden_tensor(&g, kinds[i], &len);
        uint8_t *work = malloc(len);
        first_scan(file, &from, &data, &end);
        assert_true(end - data > 12);
        size_t keep = data + (end - data) / 2;
        if (file[keep - 1] == 0xff) keep--;
        memcpy(work, file, keep);
        memcpy(work + keep, file + end, len - end);
        if (decode_copy(work, keep + len - end) != MM_E_MEDIA) fail_msg("%s with a hole is decoded", kinds[i]);
        free(work);
    }
    golden_close(&g);
}

static const uint8_t *swept;
static size_t swept_len;

static bool decode_once(mm__mem *m)
{
    mm__pixels *px = NULL;
    mm_status st = mm__image_decode(m, swept, swept_len, "swept", &px, &err);
    if (st != MM_OK) assert_int_equal(st, MM_E_NOMEM);
    mm__pixels_free(px);
    return st == MM_OK;
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    golden g = golden_open(mem, FILES);
    for (size_t i = 0; i < N; i++) {
        swept = golden_tensor(&g, names[i], &swept_len);
        if (sweep(decode_once) <= 0) fail_msg("%s", names[i]);
    }
    golden_close(&g);
}

static void policy(const char *text, mm_status want, mm__image_policy *p)
{
    mm__json_doc *doc;
    assert_int_equal(mm__json_parse(mem, text, strlen(text), "policy", &doc, &err), MM_OK);
    mm_status st = mm__image_policy_from_json(mm__json_root(doc), &mm__assembly_image_classes, NULL, "policy", p, &err);
    if (st != want) fail_msg("%s: %d instead of %d (%s)", text, st, want, err.text);
    mm__json_free(doc);
}

static void policies_fill_in_the_class_and_check_ranges(void **state)
{
    (void)state;
    mm__image_policy p;
    policy("{\"image_processor_type\":\"CLIPImageProcessorFast\"}", MM_OK, &p);
    assert_true(p.fit == MM__FIT_SHORTEST && p.shortest == 224 && p.crop_width == 224 && p.resample == MM__RESAMPLE_BICUBIC);
    policy("{\"feature_extractor_type\":\"CLIPFeatureExtractor\",\"size\":336,\"crop_size\":300}", MM_OK, &p);
    assert_true(p.shortest == 336 && p.crop_width == 300 && p.crop_height == 300);
    policy("{\"image_processor_type\":\"ViTFeatureExtractor\",\"size\":384,\"image_std\":null}", MM_OK, &p);
    assert_true(p.fit == MM__FIT_EXACT && p.width == 384 && p.crop_width == 0 && p.std[0] == 0.5f);
    policy(
        "{\"image_processor_type\":\"LlavaImageProcessor\",\"do_pad\":true,\"size\":{\"shortest_edge\":336},\"crop_size\":336}",
        MM_OK, &p);
    assert_true(p.fit == MM__FIT_PAD_SQUARE && p.width == 336 && p.pad_color[0] == 122 && p.pad_color[1] == 116 &&
                p.pad_color[2] == 104);
    policy("{\"image_processor_type\":\"LlavaImageProcessor\",\"do_pad\":true,\"image_mean\":[7,-7,0.5]}", MM_OK, &p);
    assert_true(p.pad_color[0] == 255 && p.pad_color[1] == 0 && p.pad_color[2] == 127); /* no colour lies outside 0..255 */
    policy("{\"image_processor_type\":\"BlipImageProcessor\",\"do_resize\":false,\"do_rescale\":false,\"do_normalize\":false}",
           MM_OK, &p);
    assert_true(p.fit == MM__FIT_NONE && p.rescale == 1.0f && !p.normalize);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"do_pad\":true,\"do_center_crop\":null,"
           "\"do_normalize\":null}",
           MM_OK, &p);
    assert_true(p.fit == MM__FIT_SHORTEST && p.crop_width == 0 && !p.normalize); /* this class cannot pad; null is off */
    policy("{\"image_processor_type\":\"CLIPImageProcessorFast\",\"do_center_crop\":null,\"do_normalize\":null}", MM_OK, &p);
    assert_true(p.crop_width == 224 && p.normalize);
    policy("{\"image_processor_type\":\"ViTImageProcessor\",\"do_center_crop\":true,\"crop_size\":200}", MM_OK, &p);
    assert_int_equal(p.crop_width, 0);
    policy("{\"image_processor_type\":\"DeiTImageProcessor\"}", MM_OK, &p);
    assert_true(p.width == 256 && p.crop_width == 224 && p.mean[0] == 0.5f);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"image_mean\":0.5,\"image_std\":2}", MM_OK, &p); /* one number for all three */
    assert_true(p.mean[0] == 0.5f && p.mean[2] == 0.5f && p.std[1] == 2);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":{\"height\":30,\"width\":20},\"do_center_crop\":false}", MM_OK, &p);
    assert_true(p.fit == MM__FIT_EXACT && p.width == 20 && p.height == 30 && p.crop_width == 0);
    policy("{}", MM_E_UNSUPPORTED, &p);
    policy("[]", MM_E_FORMAT, &p);
    policy("{\"image_processor_type\":\"NoSuchImageProcessor\"}", MM_E_UNSUPPORTED, &p);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":0}", MM_E_FORMAT, &p);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":{\"height\":20000,\"width\":3}}", MM_E_FORMAT, &p);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"size\":{\"longest_edge\":980}}", MM_E_UNSUPPORTED, &p);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"image_std\":[0.5,0,0.5]}", MM_E_FORMAT, &p);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"image_mean\":[0.5,0.5]}", MM_E_FORMAT, &p);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"resample\":9}", MM_E_FORMAT, &p);
    policy("{\"image_processor_type\":\"CLIPImageProcessor\",\"rescale_factor\":\"x\"}", MM_E_FORMAT, &p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_equals_pillow),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(damaged_files_never_crash),
        cmocka_unit_test(forged_headers_are_refused),
        cmocka_unit_test(bitmaps_of_every_header),
        cmocka_unit_test(scans_are_counted),
        cmocka_unit_test(impossible_pictures_are_refused),
        cmocka_unit_test(resizing_without_memory),
        cmocka_unit_test(data_cannot_outgrow_the_picture),
        cmocka_unit_test(more_scans_than_a_picture_needs_are_refused),
        cmocka_unit_test(pictures_with_a_hole_are_refused),
        cmocka_unit_test(running_out_of_memory_is_reported),
        cmocka_unit_test(policies_fill_in_the_class_and_check_ranges),
    };
    mem = mm__mem_create(NULL, 0);
    const uint64_t empty = mm__mem_live(mem);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (mm__mem_live(mem) != empty) failed++;
    mm__mem_destroy(mem);
    return failed;
}
