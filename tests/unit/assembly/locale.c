/* A host that writes 1,5 or puts a character of two bytes there: names of tokens, numbers of configurations, manifests and
 * templates are what they are anywhere, and the host's locale stays. The locales are made here. */
#include "../../../src/assembly/assembly.h"
#include "../../../src/base/error.h"
#include "../../../src/text/template.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DIR "build/locale"

typedef struct place {
    const char *name, *point;
} place;

/* One byte, and two: U+066B, as in Pashto. */
static place comma = {"mm_comma", ","}, momayyez = {"mm_momayyez", "\xD9\xAB"};

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) p[i] = (uint8_t)(v >> 8 * i);
}

/* Writes DIR/name/LC_NUMERIC as glibc's localedef does: a magic number, the count of items, where each begins; the point and
 * the separator of thousands as text, the grouping, both as wide characters, the name of the encoding. */
static void make_locale(const place *p)
{
    uint8_t b[64] = {0};
    char path[128];
    const uint32_t n = (uint32_t)strlen(p->point), wide = n == 1 ? ',' : 0x66B, text = 8 + 6 * 4, at[6] = {text, text + 4, text + 5, text + 8, text + 12, text + 16};
    put32(b, 0x20031114);
    put32(b + 4, 6);
    for (int i = 0; i < 6; i++) put32(b + 8 + 4 * i, at[i]);
    memcpy(b + at[0], p->point, n);
    b[at[2]] = 0x7f;
    put32(b + at[3], wide);
    memcpy(b + at[5], "UTF-8", 5);
    mkdir("build", 0777);
    mkdir(DIR, 0777);
    snprintf(path, sizeof path, DIR "/%s", p->name);
    mkdir(path, 0777);
    snprintf(path, sizeof path, DIR "/%s/LC_NUMERIC", p->name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b, 1, at[5] + 6, f), at[5] + 6);
    assert_int_equal(fclose(f), 0);
}

/* Makes `p` the process's locale for numbers; a C library with other files leaves the test out. */
static void go_to(const place *p)
{
    make_locale(p);
    setenv("LOCPATH", DIR, 1);
    if (!setlocale(LC_NUMERIC, p->name) || strcmp(localeconv()->decimal_point, p->point) != 0) {
        print_message("this C library does not take the locale the test has made\n");
        skip();
    }
}

static int back(void **state)
{
    (void)state;
    const bool global = uselocale((locale_t)0) == LC_GLOBAL_LOCALE; /* no locale of this thread's own is left */
    setlocale(LC_NUMERIC, "C");
    return global ? 0 : -1;
}

static mm__assembly *load(mm__mem *mem, const char *path, mm__backend **backend)
{
    mm__assembly *a;
    mm__log log = {0};
    mm_error err = {.size = sizeof err};
    assert_int_equal(mm__backend_create(mem, &log, "cpu", 1, NULL, true, backend, &err), MM_OK);
    if (mm__assembly_load(&(mm__files){.mem = mem}, *backend, path, NULL, NULL, &a, &err) != MM_OK) fail_msg("%s", err.text);
    return a;
}

static void names_of_timestamps(void **state)
{
    mm__backend *backend;
    int found = 0;
    go_to(*state);
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__assembly *a = load(mem, "tests/golden/whisper/ggml-f16.bin", &backend);
    const int32_t begin = a->audio.timestamp_begin, n = (int32_t)mm__tokenizer_size(a->tokenizer);
    for (int32_t id = begin; id < n; id++, found++) {
        char want[32];
        size_t len;
        const int hundredths = 2 * (id - begin);
        const char *token = mm__tokenizer_token(a->tokenizer, id, &len);
        snprintf(want, sizeof want, "<|%d.%02d|>", hundredths / 100, hundredths % 100);
        assert_string_equal(token, want);
    }
    assert_true(found > 10);
    mm__assembly_destroy(a);
    mm__backend_destroy(backend);
    mm__mem_destroy(mem);
}

static void numbers_of_configurations(void **state)
{
    mm__backend *backend;
    go_to(*state);
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__assembly *a = load(mem, "tests/golden/llava", &backend);
    assert_float_equal(a->image.rescale * 255, 1, 1e-6);
    assert_float_equal(a->image.mean[0], 0.48145466, 1e-7);
    mm__assembly_destroy(a);
    mm__backend_destroy(backend);
    mm__mem_destroy(mem);
}

static void numbers_of_texts(void **state)
{
    static const char json[] = "{\"a\":1.5,\"b\":[2.5e-1,-0.125]}", source[] = "{{ a }} {{ 0.25 + a }} {{ (a / 7) | round(2) }} {{ b | tojson }}";
    mm__json_doc *doc;
    mm__template *t;
    mm__buf out;
    mm_error err = {.size = sizeof err};
    go_to(*state);
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__buf_init(&out, mem);
    assert_int_equal(mm__json_parse(mem, json, sizeof json - 1, "test", &doc, &err), MM_OK);
    assert_true(mm__json_num(mm__json_path(mm__json_root(doc), "b.0"), 0) == 0.25);
    mm__json_write(mm__json_root(doc), &out);
    assert_string_equal(mm__buf_str(&out), "{\"a\":1.5,\"b\":[0.25,-0.125]}");
    mm__buf_clear(&out);
    assert_int_equal(mm__template_compile(mem, source, sizeof source - 1, &t, &err), MM_OK);
    if (mm__template_render(t, mm__json_root(doc), 0, &out, &err) != MM_OK) fail_msg("%s", err.text);
    assert_string_equal(mm__buf_str(&out), "1.5 1.75 0.21 [0.25, -0.125]");
    mm__template_free(t);
    mm__json_free(doc);
    mm__buf_free(&out);
    mm__mem_destroy(mem);
}

int main(void)
{
#define IN(p, test) {#test ", " #p, test, NULL, back, &p}
    const struct CMUnitTest tests[] = {IN(comma, names_of_timestamps),    IN(comma, numbers_of_configurations),    IN(comma, numbers_of_texts),
                                       IN(momayyez, names_of_timestamps), IN(momayyez, numbers_of_configurations), IN(momayyez, numbers_of_texts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
