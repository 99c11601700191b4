/* A host with a decimal comma: names of tokens, numbers of configurations and of templates are what they are anywhere. The
 * locale is made for the test where the system has its source; else the test is left out. */
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

#include <cmocka.h>

#define DIR "build/locale"
#define NAME "de_DE.UTF-8"

/* False where there is no such locale. */
static bool with_comma(void)
{
    if (!setlocale(LC_ALL, NAME)) {
        if (system("mkdir -p " DIR " && localedef -c -i de_DE -f UTF-8 " DIR "/" NAME " >/dev/null 2>&1")) {}
        setenv("LOCPATH", DIR, 1);
        if (!setlocale(LC_ALL, NAME)) return false;
    }
    return strcmp(localeconv()->decimal_point, ",") == 0;
}

#define NEED_COMMA()                                                                      \
    do {                                                                                  \
        if (!with_comma()) {                                                              \
            print_message("no locale " NAME ": localedef or its sources are not there\n"); \
            skip();                                                                       \
        }                                                                                 \
    } while (0)

static int back(void **state)
{
    (void)state;
    setlocale(LC_ALL, "C");
    return 0;
}

static void names_of_timestamps(void **state)
{
    mm__backend *backend;
    mm__assembly *a;
    mm__log log = {0};
    mm_error err = {.size = sizeof err};
    int found = 0;
    (void)state;
    NEED_COMMA();
    mm__mem *mem = mm__mem_create(NULL, 0);
    assert_int_equal(mm__backend_create(mem, &log, "cpu", 1, NULL, true, &backend, &err), MM_OK);
    if (mm__assembly_load(&(mm__files){.mem = mem}, backend, "tests/golden/whisper/ggml-f16.bin", NULL, NULL, &a, &err) != MM_OK) fail_msg("%s", err.text);
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

static void numbers(void **state)
{
    static const char json[] = "{\"a\":1.5,\"b\":[2.5e-1,-0.125]}", source[] = "{{ a }} {{ 0.25 + a }} {{ (a / 7) | round(2) }} {{ b | tojson }}";
    mm__json_doc *doc;
    mm__template *t;
    mm__buf out;
    mm_error err = {.size = sizeof err};
    (void)state;
    NEED_COMMA();
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
    const struct CMUnitTest tests[] = {cmocka_unit_test_teardown(names_of_timestamps, back), cmocka_unit_test_teardown(numbers, back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
