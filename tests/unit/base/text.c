/* Errors, log lines, buffers and UTF-8: everything that becomes text for people. */
#include "../../../src/base/buf.h"
#include "../../../src/base/error.h"
#include "../../../src/base/log.h"
#include "../../../src/base/utf8.h"
#include "failing.h"
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void error_text(void **state)
{
    mm_error e = {.size = sizeof e};
    assert_int_equal(mm__fail(&e, MM_E_FORMAT, "%s: bad %d", "a.gguf", 7), MM_E_FORMAT);
    assert_string_equal(e.text, "a.gguf: bad 7");
    assert_int_equal(e.code, MM_E_FORMAT);
    assert_int_equal(e.os_code, 0);
    assert_int_equal(mm__fail_prefix(&e, MM_E_FORMAT, "model.json"), MM_E_FORMAT);
    assert_string_equal(e.text, "model.json: a.gguf: bad 7");
    assert_int_equal(e.code, MM_E_FORMAT);
    assert_int_equal(mm__fail_os(&e, MM_E_IO, ENOENT, "x"), MM_E_IO);
    assert_int_equal(e.os_code, ENOENT);
    assert_non_null(strstr(e.text, "x (error 2: "));
    assert_int_equal(mm__nomem(&e, "a cache"), MM_E_NOMEM);
    assert_non_null(strstr(e.text, "a cache"));
    assert_int_equal(mm__fail(NULL, MM_E_ARG, "nobody listens"), MM_E_ARG);
    assert_int_equal(mm__fail_prefix(NULL, MM_E_ARG, "p"), MM_E_ARG);
}

static void error_text_is_clean(void **state)
{
    mm_error e = {.size = sizeof e};
    mm__fail(&e, MM_E_FORMAT, "a\nb\x1b[31m\xff \xc3\xa9 \xc2\x85");
    assert_string_equal(e.text, "a?b?[31m? \xc3\xa9 ??");
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text);
    long_text[sizeof long_text - 1] = 0;
    memcpy(long_text + sizeof e.text - 3, "\xe2\x82\xac", 3); /* would be cut in the middle */
    mm__fail(&e, MM_E_FORMAT, "%s", long_text);
    assert_int_equal(strlen(e.text), sizeof e.text - 3);
    for (int i = 0; i < 3; i++) mm__fail_prefix(&e, MM_E_FORMAT, long_text);
    assert_true(strlen(e.text) < sizeof e.text);
    mm__fail_os(&e, MM_E_IO, EIO, "%s", long_text);
    assert_true(strlen(e.text) < sizeof e.text);
}

static char last_line[2048];
static int n_lines;

static void sink(void *user, int32_t level, const char *area, const char *line)
{
    n_lines++;
    strcpy(last_line, line);
}

static void log_filters(void **state)
{
    mm__log quiet = {0}, log = {sink, NULL, MM_LOG_WARN};
    mm__logf(&quiet, MM_LOG_ERROR, "t", "no");
    mm__logf(NULL, MM_LOG_ERROR, "t", "no");
    mm__logf(&log, MM_LOG_INFO, "t", "no");
    assert_int_equal(n_lines, 0);
    mm__logf(&log, MM_LOG_WARN, "t", "two\nlines %s", "\xf0\x9f");
    assert_int_equal(n_lines, 1);
    assert_string_equal(last_line, "two?lines ??");
    mm__logf(&log, MM_LOG_ERROR, "t", "%05000d", 1);
    assert_int_equal(strlen(last_line), 1023);
}

static void buf_grows(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__buf b;
    mm__buf_init(&b, mem);
    assert_string_equal(mm__buf_str(&b), "");
    for (int i = 0; i < 1000; i++) mm__buf_printf(&b, "%d,", i);
    assert_false(b.failed);
    assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
    assert_int_equal(b.data[b.len], 0);
    assert_non_null(strstr(b.data, ",998,999,"));
    mm__buf_clear(&b);
    mm__buf_putc(&b, 'a');
    mm__buf_puts(&b, "bc");
    mm__buf_put(&b, "\0d", 2);
    mm__buf_put(&b, NULL, 0);
    assert_int_equal(b.len, 5);
    size_t n;
    char *p = mm__buf_take(&b, &n);
    assert_int_equal(n, 5);
    assert_memory_equal(p, "abc\0d", 6);
    assert_null(b.data);
    mm__free(mem, p);
    p = mm__buf_take(&b, NULL); /* an empty buffer still gives a text */
    assert_string_equal(p, "");
    mm__free(mem, p);
    mm__mem_destroy(mem);
}

static void buf_limit(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    mm__buf b;
    mm__buf_init(&b, mem);
    b.limit = 5;
    mm__buf_puts(&b, "1234");
    mm__buf_printf(&b, "%d", 567);
    assert_true(b.failed && b.over_limit);
    assert_string_equal(mm__buf_str(&b), "1234");
    mm__buf_putc(&b, 'x');
    assert_int_equal(b.len, 4);
    assert_null(mm__buf_take(&b, NULL));
    mm__buf_free(&b);
    mm__buf_init(&b, mem);
    b.limit = 5;
    mm__buf_puts(&b, "12345");
    assert_false(b.failed);
    mm__buf_free(&b);
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
}

static void buf_json(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__buf b;
    mm__buf_init(&b, mem);
    const char text[] = "a\"\\\n\t\r\x01\0\xc3\xa9\xff\xed\xa0\x80";
    mm__buf_json_string(&b, text, sizeof text - 1);
    assert_string_equal(mm__buf_str(&b),
                        "\"a\\\"\\\\\\n\\t\\r\\u0001\\u0000\xc3\xa9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    mm__buf_free(&b);
    mm__mem_destroy(mem);
}

static bool fill_buffer(mm__mem *mem)
{
    mm__buf b;
    mm__buf_init(&b, mem);
    for (int i = 0; i < 300; i++) {
        mm__buf_printf(&b, "%d ", i);
        mm__buf_json_string(&b, "text\n", 5);
    }
    const bool failed = b.failed;
    char *p = mm__buf_take(&b, NULL);
    const bool ok = p && !failed && strstr(p, "299 ");
    assert_true(failed == !p);
    mm__free(mem, p);
    return ok;
}

static void buf_without_memory(void **state)
{
    assert_true(sweep(fill_buffer) >= 4);
}

static void utf8_round_trip(void **state)
{
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF) continue;
        char s[4];
        uint32_t back;
        bool ok;
        const size_t n = mm__utf8_encode(cp, s);
        if (mm__utf8_decode(s, n, &back, &ok) != n || !ok || back != cp || !mm__utf8_valid(s, n)) fail_msg("U+%04X", cp);
        for (size_t cut = 1; cut < n; cut++) {
            if (mm__utf8_complete(s, cut) != 0 || mm__utf8_valid(s, cut)) fail_msg("U+%04X cut at %zu", cp, cut);
            if (mm__utf8_decode(s, cut, &back, &ok) != 1 || ok || back != 0xFFFD) fail_msg("U+%04X cut at %zu", cp, cut);
        }
        if (mm__utf8_complete(s, n) != n) fail_msg("U+%04X is complete", cp);
    }
    char s[4];
    assert_int_equal(mm__utf8_encode(0xD800, s), 3);
    assert_memory_equal(s, "\xEF\xBF\xBD", 3);
    assert_int_equal(mm__utf8_encode(0x110000, s), 3);
}

/* What Python's decode("utf-8", "replace") makes of the same bytes. */
static void buf_repairs(void **state)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"caf\xC3\xA9", "caf\xC3\xA9"},
        {"\xF0\x93\x80" "a", "\xEF\xBF\xBD" "a"},
        {"\xE2\x82\xE2\x82\xAC", "\xEF\xBF\xBD\xE2\x82\xAC"},
        {"\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"a\xED\xA0\x80", "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xFF" "b\xC3", "\xEF\xBF\xBD" "b\xEF\xBF\xBD"},
    };
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__buf b;
    (void)state;
    mm__buf_init(&b, mem);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mm__buf_clear(&b);
        mm__buf_put_repaired(&b, cases[i][0], strlen(cases[i][0]));
        assert_string_equal(mm__buf_str(&b), cases[i][1]);
    }
    mm__buf_free(&b);
    mm__mem_destroy(mem);
}

static void utf8_refuses(void **state)
{
    static const char *const bad[] = {"\x80",
                                      "\xC0\x80",
                                      "\xC1\xBF",
                                      "\xE0\x9F\xBF",
                                      "\xED\xA0\x80",
                                      "\xF0\x8F\xBF\xBF",
                                      "\xF4\x90\x80\x80",
                                      "\xF5\x80\x80\x80",
                                      "\xFE",
                                      "\xC3("};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        uint32_t cp;
        bool ok = true;
        assert_int_equal(mm__utf8_decode(bad[i], strlen(bad[i]), &cp, &ok), 1);
        assert_false(ok);
        assert_int_equal(cp, 0xFFFD);
        assert_false(mm__utf8_valid(bad[i], strlen(bad[i])));
    }
    assert_false(mm__utf8_valid("plain text, then \xff", 18));
    assert_true(mm__utf8_valid("plain text, then \xc3\xbf", 19));
    assert_int_equal(mm__utf8_complete("ab\xE0\x9F", 4), 4); /* can never become a character */
    assert_int_equal(mm__utf8_complete("ab\xE2\x82", 4), 2);
    assert_int_equal(mm__utf8_complete("ab\x82\x82\x82\x82", 6), 6);
    assert_int_equal(mm__utf8_complete("", 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_text),      cmocka_unit_test(error_text_is_clean), cmocka_unit_test(log_filters),
        cmocka_unit_test(buf_grows),       cmocka_unit_test(buf_limit),           cmocka_unit_test(buf_json),
        cmocka_unit_test(utf8_round_trip), cmocka_unit_test(utf8_refuses),        cmocka_unit_test(buf_without_memory),
        cmocka_unit_test(buf_repairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
