/* Pictures against reference pixels: decoding, resizing and every preprocessing policy of the golden families. */
#include "golden.h"
#include "../../../src/assembly/assembly.h"
#include "../../../src/image/resize.h"
#include <math.h>
#include <stdlib.h>

static mm__mem *mem;
static mm_error err = {.size = sizeof err};

static mm__pixels *load(const char *name)
{
    char path[256], *bytes;
    size_t len;
    mm__pixels *px = NULL;
    snprintf(path, sizeof path, "tests/golden/_inputs/%s", name);
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &bytes, &len, &err), MM_OK);
    if (mm__image_decode(mem, bytes, len, path, &px, &err) != MM_OK) fail_msg("%s", err.text);
    mm__free(mem, bytes);
    return px;
}

static void decoding_equals_the_reference(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int tolerance;
    } files[] = {{"grey.png", 0}, {"rgba.png", 0}, {"small.png", 0}, {"wide.png", 0}, {"photo.jpg", 3}};
    golden g = golden_open(mem, "tests/golden/_inputs/decoded.safetensors");
    for (size_t i = 0; i < 5; i++) {
        char key[64];
        size_t n;
        snprintf(key, sizeof key, "%s.raw", files[i].name);
        const uint8_t *want = golden_tensor(&g, key, &n);
        mm__pixels *px = load(files[i].name);
        assert_int_equal(n, (size_t)px->width * (size_t)px->height * (size_t)px->channels);
        int worst = 0;
        for (size_t j = 0; j < n; j++) worst = abs(px->data[j] - want[j]) > worst ? abs(px->data[j] - want[j]) : worst;
        if (worst > files[i].tolerance) fail_msg("%s: off by %d", files[i].name, worst);
        mm__pixels_free(px);
    }
    golden_close(&g);
}

/* The reference's own decoding, so that JPEG decoders do not enter the comparison. */
static mm__pixels *reference_pixels(const golden *decoded, const char *name)
{
    char key[64];
    size_t n;
    mm__pixels *px = load(name);
    snprintf(key, sizeof key, "%s.raw", name);
    memcpy(px->data, golden_tensor(decoded, key, &n), (size_t)px->width * (size_t)px->height * (size_t)px->channels);
    return px;
}

static double worst_levels(const float *got, const float *want, size_t n, const mm__image_policy *p, double *exact)
{
    double worst = 0;
    size_t same = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs(got[i] - want[i]) * p->std[i / (n / 3)] * 255.0;
        if (d > worst) worst = d;
        if (d < 0.01) same++;
    }
    *exact = (double)same / (double)n;
    return worst;
}

/* Compares every picture of a case; `names` is a list of files. */
static void check_case(const char *family, const char *name, const mm__json *names, bool interleaved, const mm__image_policy *p)
{
    char path[128], key[128];
    golden decoded = golden_open(mem, "tests/golden/_inputs/decoded.safetensors");
    snprintf(path, sizeof path, "tests/golden/%s/expected.safetensors", family);
    golden g = golden_open(mem, path);
    size_t bytes, at = 0;
    snprintf(key, sizeof key, "%s/in.pixel_values", name);
    const float *want = golden_tensor(&g, key, &bytes);
    for (size_t i = 0; i < mm__json_count(names); i++) {
        const mm__json *v = mm__json_at(names, i);
        if (interleaved && !(v = mm__json_get(v, "image"))) continue;
        const char *file = mm__json_str(v, NULL, NULL);
        for (int own = 0; own < 2; own++) {
            mm__pixels *px = own ? load(file) : reference_pixels(&decoded, file);
            float *got;
            int32_t w, h, pw, ph;
            double exact;
            if (mm__image_preprocess(px, p, &got, &w, &h, NULL, &err) != MM_OK) fail_msg("%s: %s", family, err.text);
            mm__image_policy_size(p, px->width, px->height, &pw, &ph);
            assert_int_equal(w, pw);
            assert_int_equal(h, ph);
            size_t n = 3 * (size_t)w * (size_t)h;
            assert_true((at + n) * 4 <= bytes);
            double worst = worst_levels(got, want + at, n, p, &exact);
            double allowed = own && strstr(file, ".jpg") ? 2.01 : 0.01;
            if (worst > allowed)
                fail_msg("%s/%s %s: off by %.3f of 255 (%.1f %% exact)", family, name, file, worst, exact * 100);
            if (own) at += n;
            mm__free(mem, got);
            mm__pixels_free(px);
        }
    }
    assert_int_equal(at * 4, bytes);
    golden_close(&g);
    golden_close(&decoded);
}

static void preprocessing_equals_the_reference(void **state)
{
    (void)state;
    static const char *const families[] = {"clip",      "siglip",        "vit",      "dinov2", "llava",
                                           "blip2_opt", "blip2_flan_t5", "minigpt4", "idefics"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char path[128];
        mm__image_policy p;
        snprintf(path, sizeof path, "tests/golden/%s/preprocessor_config.json", families[i]);
        mm__json_doc *config = golden_json(mem, path);
        if (mm__image_policy_from_json(mm__json_root(config), &mm__assembly_image_classes, NULL, path, &p, &err) != MM_OK) fail_msg("%s", err.text);
        snprintf(path, sizeof path, "tests/golden/%s/expected.json", families[i]);
        mm__json_doc *doc = golden_json(mem, path);
        const mm__json *cases = mm__json_get(mm__json_root(doc), "cases");
        size_t checked = 0;
        for (size_t j = 0; j < mm__json_count(cases); j++) {
            const mm__json *c = mm__json_at(cases, j), *images = mm__json_get(c, "images"), *prompt = mm__json_get(c, "prompt");
            bool interleaved = mm__json_kind(prompt) == MM__JSON_ARRAY;
            if (!images && !interleaved) continue;
            check_case(families[i], mm__json_str(mm__json_get(c, "name"), NULL, ""), images ? images : prompt, !images, &p);
            checked++;
        }
        assert_true(checked > 0);
        mm__json_free(doc);
        mm__json_free(config);
    }
}

static void resizing_gives_pillows_bytes(void **state)
{
    (void)state;
    golden g = golden_open(mem, "tests/unit/image/pillow.safetensors");
    mm__pixels *src = load("wide.png"), *out;
    for (int f = 0; f <= MM__RESAMPLE_HAMMING; f++) {
        static const int32_t sizes[][2] = {{28, 28}, {7, 61}, {100, 45}, {1, 1}, {90, 20}};
        for (size_t i = 0; i < 5; i++) {
            char key[64];
            size_t n;
            snprintf(key, sizeof key, "%d_%dx%d", f, sizes[i][0], sizes[i][1]);
            const uint8_t *want = golden_tensor(&g, key, &n);
            assert_int_equal(mm__image_resize(src, sizes[i][0], sizes[i][1], f, &out, &err), MM_OK);
            assert_int_equal(n, (size_t)out->width * (size_t)out->height * 3);
            if (memcmp(out->data, want, n) != 0) fail_msg("filter %s differs", key);
            mm__pixels_free(out);
        }
    }
    assert_int_equal(mm__image_resize(src, 0, 5, MM__RESAMPLE_BICUBIC, &out, &err), MM_E_ARG);
    assert_int_equal(mm__image_resize(src, 5, 5, 6, &out, &err), MM_E_ARG);
    mm__pixels_free(src);
    golden_close(&g);
}

static void a_window_is_part_of_the_whole(void **state)
{
    (void)state;
    mm__pixels *src = load("photo.jpg"), *whole, *part;
    for (int f = 0; f <= MM__RESAMPLE_HAMMING; f++) {
        assert_int_equal(mm__image_resize(src, 60, 131, f, &whole, &err), MM_OK);
        assert_int_equal(mm__image_resize_window(src, 60, 131, f, 11, 40, 17, 50, &part, &err), MM_OK);
        for (size_t y = 0; y < 50; y++)
            assert_memory_equal(part->data + y * 17 * 3, whole->data + ((y + 40) * 60 + 11) * 3, 17 * 3);
        mm__pixels_free(part);
        mm__pixels_free(whole);
    }
    assert_int_equal(mm__image_resize_window(src, 60, 131, 3, 50, 0, 11, 10, &part, &err), MM_E_ARG);
    mm__pixels_free(src);
}

static mm__image_policy clip_policy(int32_t size)
{
    return (mm__image_policy){.fit = MM__FIT_SHORTEST,
                              .shortest = size,
                              .resample = MM__RESAMPLE_BICUBIC,
                              .crop_width = size,
                              .crop_height = size,
                              .rescale = 1.0f / 255.0f,
                              .mean = {0.5f, 0.5f, 0.5f},
                              .std = {0.5f, 0.5f, 0.5f},
                              .normalize = 1};
}

static void extreme_shapes_work_or_are_refused(void **state)
{
    (void)state;
    static const int32_t shapes[][2] = {{1, 1},      {1, 2},      {2, 1},   {16384, 1}, {1, 16384},
                                        {10000, 10}, {10, 10000}, {27, 28}, {28, 29}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int fit = MM__FIT_NONE; fit <= MM__FIT_PAD_SQUARE; fit++) {
            mm__pixels *px;
            float *out;
            int32_t w, h;
            mm__image_policy p = clip_policy(28);
            p.fit = fit;
            p.width = p.height = 28;
            assert_int_equal(mm__pixels_create(mem, shapes[i][0], shapes[i][1], 1, &px, &err), MM_OK);
            memset(px->data, 255, (size_t)px->width * (size_t)px->height);
            mm_status st = mm__image_preprocess(px, &p, &out, &w, &h, NULL, &err);
            if (fit == MM__FIT_PAD_SQUARE && (shapes[i][0] > 8192 || shapes[i][1] > 8192)) {
                assert_int_equal(st, MM_E_LIMIT);
            } else {
                assert_int_equal(st, MM_OK);
                assert_true(w == 28 && h == 28);
                if (fit == MM__FIT_SHORTEST || fit == MM__FIT_EXACT)
                    for (int j = 0; j < 28 * 28 * 3; j++) assert_true(fabsf(out[j] - 1.0f) < 1e-6f);
                mm__free(mem, out);
            }
            mm__pixels_free(px);
        }
}

static void a_small_picture_is_centred_in_zeros(void **state)
{
    (void)state;
    mm__pixels *px;
    float *out;
    int32_t w, h;
    mm__image_policy p = clip_policy(4);
    mm__image_transform t;
    p.fit = MM__FIT_NONE;
    p.crop_height = 5;
    assert_int_equal(mm__pixels_create(mem, 3, 2, 4, &px, &err), MM_OK);
    memset(px->data, 255, 3 * 2 * 4);
    assert_int_equal(mm__image_preprocess(px, &p, &out, &w, &h, &t, &err), MM_OK);
    assert_true(w == 4 && h == 5);
    for (int y = 0; y < 5; y++)
        for (int x = 0; x < 4; x++) assert_true(out[y * 4 + x] == (y >= 2 && y < 4 && x >= 1 ? 1.0f : -1.0f));
    assert_true(t.off_x == -1 && t.off_y == -2 && t.scale_x == 1 && t.scale_y == 1);
    mm__free(mem, out);
    mm__pixels_free(px);
}

static void transparency_goes_over_white(void **state)
{
    (void)state;
    mm__pixels *px;
    float *out;
    int32_t w, h;
    mm__image_policy p = {.fit = MM__FIT_NONE, .rgb = MM__RGB_OVER_WHITE, .rescale = 1.0f};
    static const uint8_t rgba[12] = {10, 20, 30, 0, 10, 20, 30, 255, 10, 20, 30, 128};
    static const float want[9] = {255, 10, 132, 255, 20, 137, 255, 30, 142};
    assert_int_equal(mm__pixels_create(mem, 3, 1, 4, &px, &err), MM_OK);
    memcpy(px->data, rgba, sizeof rgba);
    assert_int_equal(mm__image_preprocess(px, &p, &out, &w, &h, NULL, &err), MM_OK);
    for (int i = 0; i < 9; i++) assert_true(out[i] == want[i]);
    mm__free(mem, out);
    mm__pixels_free(px);
}

/* Seven pixels from two: the fourth point lies on the edge, where Pillow's running sum is still in the first pixel. */
static void nearest_breaks_ties_as_pillow_does(void **state)
{
    static const uint8_t want[7] = {10, 10, 10, 10, 20, 20, 20};
    mm__pixels *two, *seven;
    assert_int_equal(mm__pixels_create(mem, 2, 1, 1, &two, &err), MM_OK);
    two->data[0] = 10;
    two->data[1] = 20;
    assert_int_equal(mm__image_resize(two, 7, 1, MM__RESAMPLE_NEAREST, &seven, &err), MM_OK);
    assert_memory_equal(seven->data, want, sizeof want);
    mm__pixels_free(seven);
    mm__pixels_free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoding_equals_the_reference),      cmocka_unit_test(preprocessing_equals_the_reference),
        cmocka_unit_test(resizing_gives_pillows_bytes),       cmocka_unit_test(a_window_is_part_of_the_whole),
        cmocka_unit_test(extreme_shapes_work_or_are_refused), cmocka_unit_test(a_small_picture_is_centred_in_zeros),
        cmocka_unit_test(transparency_goes_over_white), cmocka_unit_test(nearest_breaks_ties_as_pillow_does),
    };
    mem = mm__mem_create(NULL, 0);
    const uint64_t empty = mm__mem_live(mem);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (mm__mem_live(mem) != empty) failed++;
    mm__mem_destroy(mem);
    return failed;
}
