/* Exif orientation: all eight, in both byte orders, in JPEG and PNG; damaged Exif never matters. */
#include "golden.h"
#include "../base/failing.h"
#include "../../../src/image/image.h"
#include "../../../src/image/orient.h"
#include <stdlib.h>

static mm__mem *mem;
static mm_error err = {.size = sizeof err};
static uint8_t file[1 << 16];

/* An Exif block with one other tag in front. */
static size_t exif(uint8_t *to, bool big, int orientation)
{
    static const uint8_t le[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 2, 0, 0, 1, 3, 0, 1, 0, 0, 0, 9, 0, 0, 0, 0x12, 1, 3, 0, 1, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t be[] = {'M', 'M', 0, 42, 0, 0, 0, 8, 0, 2, 1, 0, 0, 3, 0, 0, 0, 1, 0, 9, 0, 0, 1, 0x12, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0};
    memcpy(to, big ? be : le, sizeof le);
    to[30 + big] = (uint8_t)orientation;
    return sizeof le;
}

static size_t jpeg_with(const char *plain, size_t len, bool big, int orientation)
{
    memcpy(file, "\xff\xd8\xff\xe1\0\0Exif\0\0", 12);
    const size_t n = exif(file + 12, big, orientation);
    file[5] = (uint8_t)(n + 8);
    memcpy(file + 12 + n, plain + 2, len - 2);
    return 12 + n + len - 2;
}

static mm__pixels *decode(size_t len)
{
    mm__pixels *p = NULL;
    if (mm__image_decode(mem, file, len, "made", &p, &err) != MM_OK) fail_msg("%s", err.text);
    return p;
}

/* The steps that bring a stored picture upright, as Exif describes them: mirrored or not, then turned clockwise. */
static void check(const mm__pixels *stored, const mm__pixels *p, int orientation)
{
    static const int mirrored[] = {0, 0, 1, 0, 1, 1, 0, 1, 0}, quarters[] = {0, 0, 0, 2, 2, 3, 1, 1, 3};
    const int w = stored->width, h = stored->height;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int px = mirrored[orientation] ? w - 1 - x : x, py = y, pw = w, ph = h;
            for (int q = 0; q < quarters[orientation]; q++) {
                const int t = px;
                px = ph - 1 - py;
                py = t;
                const int s = pw;
                pw = ph;
                ph = s;
            }
            assert_true(p->width == pw && p->height == ph);
            const size_t c = (size_t)stored->channels;
            if (memcmp(stored->data + (size_t)(y * w + x) * c, p->data + (size_t)(py * pw + px) * c, c) != 0)
                fail_msg("orientation %d: pixel %d,%d is not at %d,%d", orientation, x, y, px, py);
        }
}

static void read_plain(const char *path, char **bytes, size_t *len)
{
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, bytes, len, &err), MM_OK);
}

static void photographs_are_upright(void **state)
{
    (void)state;
    char *plain;
    size_t len;
    read_plain("tests/golden/_inputs/photo.jpg", &plain, &len);
    memcpy(file, plain, len);
    mm__pixels *stored = decode(len);
    assert_int_not_equal(stored->width, stored->height);
    for (int o = 0; o <= 9; o++)
        for (int big = 0; big < 2; big++) {
            mm__pixels *p = decode(jpeg_with(plain, len, big, o));
            check(stored, p, o >= 1 && o <= 8 ? o : 1);
            mm__pixels_free(p);
        }
    mm__pixels_free(stored);
    mm__free(mem, plain);
}

static void so_are_png_pictures(void **state)
{
    (void)state;
    char *plain;
    size_t len;
    read_plain("tests/golden/_inputs/small.png", &plain, &len);
    memcpy(file, plain, len);
    mm__pixels *stored = decode(len);
    memcpy(file + 33, "\0\0\0\0eXIf", 8);
    const size_t n = exif(file + 41, true, 6);
    file[36] = (uint8_t)n;
    memset(file + 41 + n, 0, 4);
    memcpy(file + 45 + n, plain + 33, len - 33);
    mm__pixels *p = decode(12 + n + len);
    check(stored, p, 6);
    mm__pixels_free(p);
    mm__pixels_free(stored);
    mm__free(mem, plain);
}

static void damaged_blocks_say_nothing(void **state)
{
    (void)state;
    uint8_t good[64], *copy;
    const size_t n = exif(good, false, 6);
    assert_int_equal(mm__exif_orientation(good, n), 6);
    for (size_t cut = 0; cut < n; cut++) { /* in a block of exactly its size */
        copy = malloc(cut ? cut : 1);
        memcpy(copy, good, cut);
        assert_int_equal(mm__exif_orientation(copy, cut), 1);
        free(copy);
    }
    uint32_t seed = 7;
    copy = malloc(n);
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, good, n);
        for (int k = 0; k <= round % 5; k++) {
            seed = seed * 1664525u + 1013904223u;
            copy[(seed >> 8) % n] = (uint8_t)(seed >> 24);
        }
        const int o = mm__exif_orientation(copy, n);
        assert_true(o >= 1 && o <= 8);
    }
    free(copy);
    memcpy(good + 4, "\xff\xff\xff\xff", 4);
    assert_int_equal(mm__exif_orientation(good, n), 1);
}

static size_t made_len;
static bool whole_way(mm__mem *m)
{
    mm__pixels *p = NULL;
    const mm_status st = mm__image_decode(m, file, made_len, "swept", &p, &err);
    if (st != MM_OK) assert_true(st == MM_E_NOMEM && !p);
    mm__pixels_free(p);
    return st == MM_OK;
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    char *plain;
    size_t len;
    read_plain("tests/golden/_inputs/photo.jpg", &plain, &len);
    made_len = jpeg_with(plain, len, false, 8);
    mm__free(mem, plain);
    assert_true(sweep(whole_way) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(photographs_are_upright),
        cmocka_unit_test(so_are_png_pictures),
        cmocka_unit_test(damaged_blocks_say_nothing),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    mem = mm__mem_create(NULL, 0);
    const uint64_t empty = mm__mem_live(mem);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (mm__mem_live(mem) != empty) failed++;
    mm__mem_destroy(mem);
    return failed;
}
