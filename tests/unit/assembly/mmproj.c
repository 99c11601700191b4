/* Numbers a vision GGUF states about its pictures: what no picture can be divided by, and what is no number, is refused. */
#include "../../../src/assembly/assembly.h"
#include "../../../src/base/error.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DIR "build/mmproj"

/* Copies a file of the reference folder. With `key`, the middle one of that array's three floats becomes `value`. */
static void copy(mm__mem *mem, const char *name, const char *key, float value)
{
    char path[128], *bytes;
    size_t len;
    snprintf(path, sizeof path, "tests/golden/llava/%s", name);
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &bytes, &len, NULL), MM_OK);
    if (key) {
        char *at = memmem(bytes, len, key, strlen(key));
        assert_non_null(at); /* then: array, of float, of three */
        assert_memory_equal(at + strlen(key), "\x09\0\0\0\x06\0\0\0\x03\0\0\0\0\0\0\0", 16);
        memcpy(at + strlen(key) + 16 + sizeof value, &value, sizeof value);
    }
    snprintf(path, sizeof path, DIR "/%s", name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    mm__free(mem, bytes);
}

static mm_status load(mm__mem *mem, float *mean, float *std, mm_error *err)
{
    mm__log log = {0};
    mm__backend *b;
    mm__assembly *a;
    assert_int_equal(mm__backend_create(mem, &log, "cpu", 1, NULL, true, &b, err), MM_OK);
    const mm_status st = mm__assembly_load(&(mm__files){.mem = mem}, b, DIR "/model-f16.gguf", NULL, NULL, &a, err);
    if (st == MM_OK) {
        *mean = a->image.mean[1];
        *std = a->image.std[1];
    }
    mm__assembly_destroy(a);
    mm__backend_destroy(b);
    return st;
}

static void ranges(void **state)
{
    static const struct { const char *key; float value; mm_status want; } cases[] = {
        {"clip.vision.image_std", 0.25f, MM_OK},      {"clip.vision.image_std", 0, MM_E_FORMAT},          {"clip.vision.image_std", -0.5f, MM_E_FORMAT},
        {"clip.vision.image_std", NAN, MM_E_FORMAT},  {"clip.vision.image_std", INFINITY, MM_E_FORMAT},   {"clip.vision.image_std", 1e-9f, MM_E_FORMAT},
        {"clip.vision.image_mean", -0.5f, MM_OK},     {"clip.vision.image_mean", NAN, MM_E_FORMAT},       {"clip.vision.image_mean", -INFINITY, MM_E_FORMAT},
        {"clip.vision.image_mean", 1e5f, MM_E_FORMAT}};
    (void)state;
    mkdir("build", 0777);
    mkdir(DIR, 0777);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mm_error err = {.size = sizeof err};
        float mean = 0, std = 0;
        mm__mem *mem = mm__mem_create(NULL, 0);
        copy(mem, "model-f16.gguf", NULL, 0);
        copy(mem, "mmproj-f16.gguf", cases[i].key, cases[i].value);
        const mm_status st = load(mem, &mean, &std, &err);
        if (st != cases[i].want) fail_msg("%s = %g: %s %s", cases[i].key, (double)cases[i].value, mm_status_name(st), err.text);
        if (st == MM_OK) assert_true((strstr(cases[i].key, "std") ? std : mean) == cases[i].value);
        else assert_non_null(strstr(err.text, "image_mean or image_std"));
        mm__mem_destroy(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ranges)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
