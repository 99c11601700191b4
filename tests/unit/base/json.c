/* JSON documents: access, hostile texts, lack of memory. */
#include "../../../src/base/json.h"
#include "../../../src/base/buf.h"
#include "../../../src/base/error.h"
#include "failing.h"
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static mm__mem *mem;
static mm__json_doc *doc;

static const mm__json *parse(const char *text)
{
    mm_error e = {.size = sizeof e};
    mm__json_free(doc);
    if (mm__json_parse(mem, text, strlen(text), "test", &doc, &e) != MM_OK) fail_msg("%s", e.text);
    return mm__json_root(doc);
}

static uint64_t empty; /* what an mm__mem takes for itself */

static int set_up(void **state)
{
    mem = mm__mem_create(NULL, 0);
    empty = mm__mem_live(mem);
    return mem ? 0 : -1;
}

static int tear_down(void **state)
{
    mm__json_free(doc);
    doc = NULL;
    const bool clean = mm__mem_live(mem) == empty;
    mm__mem_destroy(mem);
    return clean ? 0 : -1;
}

static void reads_values(void **state)
{
    const mm__json *r = parse("{\"a\": 1, \"b\": {\"c\": [10, 2.5, \"x\", true, null, {\"d\": -3e2}]}, \"e\": \"\\u0000z\"}");
    size_t n;
    assert_int_equal(mm__json_kind(r), MM__JSON_OBJECT);
    assert_int_equal(mm__json_count(r), 3);
    assert_int_equal(mm__json_int(mm__json_get(r, "a"), 9), 1);
    assert_int_equal(mm__json_int(mm__json_path(r, "b.c.0"), 9), 10);
    assert_true(mm__json_num(mm__json_path(r, "b.c.1"), 0) == 2.5);
    assert_int_equal(mm__json_int(mm__json_path(r, "b.c.1"), 9), 9);
    assert_string_equal(mm__json_str(mm__json_path(r, "b.c.2"), NULL, ""), "x");
    assert_true(mm__json_bool(mm__json_path(r, "b.c.3"), false));
    assert_int_equal(mm__json_kind(mm__json_path(r, "b.c.4")), MM__JSON_NULL);
    assert_non_null(mm__json_path(r, "b.c.4"));
    assert_int_equal(mm__json_int(mm__json_path(r, "b.c.5.d"), 9), -300);
    assert_int_equal(mm__json_kind(mm__json_path(r, "b.c.5.d")), MM__JSON_REAL);
    assert_memory_equal(mm__json_str(mm__json_get(r, "e"), &n, ""), "\0z", 3);
    assert_int_equal(n, 2);
}

static void forgives_wrong_questions(void **state)
{
    const mm__json *r = parse("{\"a\": [1], \"s\": \"t\", \"o\": {}}");
    size_t n = 7;
    const char *key;
    assert_null(mm__json_get(NULL, "a"));
    assert_null(mm__json_get(mm__json_get(r, "a"), "a"));
    assert_null(mm__json_path(r, "a.1"));
    assert_null(mm__json_path(r, "a.x"));
    assert_null(mm__json_path(r, "a."));
    assert_null(mm__json_path(r, "a.99999999999999999999999999"));
    assert_null(mm__json_path(r, "s.t"));
    assert_null(mm__json_path(r, "o.t"));
    assert_null(mm__json_path(r, ""));
    assert_null(mm__json_at(r, 0));
    assert_null(mm__json_at(mm__json_get(r, "a"), 1));
    assert_null(mm__json_member(mm__json_get(r, "a"), 0, &key, &n));
    assert_null(mm__json_member(r, 3, NULL, NULL));
    assert_null(key);
    assert_int_equal(mm__json_count(mm__json_get(r, "s")), 0);
    assert_int_equal(mm__json_count(NULL), 0);
    assert_int_equal(mm__json_int(mm__json_get(r, "s"), -1), -1);
    assert_int_equal(mm__json_int(NULL, -1), -1);
    assert_true(mm__json_num(NULL, 0.5) == 0.5);
    assert_true(mm__json_bool(mm__json_get(r, "s"), true));
    assert_string_equal(mm__json_str(NULL, &n, "abc"), "abc");
    assert_int_equal(n, 3);
    assert_null(mm__json_str(NULL, &n, NULL));
    assert_int_equal(n, 0);
    assert_null(mm__json_root(NULL));
}

static void members_in_file_order(void **state)
{
    mm__buf b;
    mm__buf_init(&b, mem);
    const int counts[] = {1, 8, 9, 5000};
    for (size_t c = 0; c < 4; c++) {
        mm__buf_clear(&b);
        for (int i = 0; i < counts[c]; i++) mm__buf_printf(&b, "%c\"k%d\":%d", i ? ',' : '{', i * 7919 % 10007, i);
        mm__buf_putc(&b, '}');
        const mm__json *r = parse(mm__buf_str(&b));
        assert_int_equal(mm__json_count(r), counts[c]);
        for (int i = 0; i < counts[c]; i++) {
            const char *key;
            size_t n;
            const mm__json *v = mm__json_member(r, (size_t)i, &key, &n);
            assert_int_equal(mm__json_int(v, -1), i);
            assert_int_equal(n, strlen(key));
            assert_ptr_equal(mm__json_get(r, key), v);
        }
        assert_null(mm__json_get(r, "k"));
        assert_null(mm__json_get(r, "absent"));
    }
    mm__buf_free(&b);
}

static void numbers_at_the_edge(void **state)
{
    const mm__json *r =
        parse("[9223372036854775807, -9223372036854775808, 9223372036854775808, 1000000000000000019884624838656,"
              " -1e3, 1e30, 4.0, 0.1, \"1000000000000000019884624838656\\\"7777777777777777777777\", 1E-2]");
    assert_true(mm__json_int(mm__json_at(r, 0), 0) == INT64_MAX);
    assert_true(mm__json_int(mm__json_at(r, 1), 0) == INT64_MIN);
    assert_int_equal(mm__json_kind(mm__json_at(r, 1)), MM__JSON_INT);
    assert_int_equal(mm__json_kind(mm__json_at(r, 2)), MM__JSON_REAL);
    assert_int_equal(mm__json_int(mm__json_at(r, 2), 5), 5);
    assert_true(mm__json_num(mm__json_at(r, 3), 0) == 1e30);
    assert_int_equal(mm__json_int(mm__json_at(r, 4), 0), -1000);
    assert_int_equal(mm__json_int(mm__json_at(r, 5), 5), 5);
    assert_int_equal(mm__json_int(mm__json_at(r, 6), 0), 4);
    assert_string_equal(mm__json_str(mm__json_at(r, 8), NULL, ""), "1000000000000000019884624838656\"7777777777777777777777");
    assert_true(mm__json_num(mm__json_at(r, 9), 0) == 0.01);
}

static void check_refused(const char *text, size_t len, mm_status code)
{
    mm_error e = {.size = sizeof e};
    mm__json_doc *d = (mm__json_doc *)&e;
    const mm_status st = mm__json_parse(mem, text, len, "evil.json", &d, &e);
    if (st != code) fail_msg("%.60s: %d instead of %d", text, (int)st, (int)code);
    assert_null(d);
    assert_int_equal(e.code, code);
    assert_int_equal(strncmp(e.text, "evil.json: ", 11), 0);
}

static void refuses_bad_texts(void **state)
{
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "[",
        "}",
        "[1,]",
        "{\"a\":1,}",
        "{\"a\"}",
        "{a:1}",
        "[1] x",
        "[1][2]",
        "{\"a\":1,\"a\":2}",
        "{\"o\":{\"x\":1,\"x\":1}}",
        "\"",
        "\"\\",
        "\"\\\"",
        "nul",
        "[01]",
        "[+1]",
        "[-]",
        "[1e]",
        "[.5]",
        "[NaN]",
        "[Infinity]",
        "'a'",
        "[\"\n\"]",
        "[\"\\x41\"]",
        "[\"\xff\"]",
        "[\"\xc0\x80\"]",
        "[\"\xed\xa0\x80\"]",
        "[\"\\ud800\"]",
        "[\"\\udc00x\"]",
        "\xef\xbb\xbf{}",
        "[1e999]",
        "[99999999999999999999x]",
        "[-99999999999999999999-]",
        "{\"a\\u0000b\":1}",
        "/* c */ 1",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) check_refused(bad[i], strlen(bad[i]), MM_E_FORMAT);
    check_refused("[1]\0", 4, MM_E_FORMAT);
    check_refused("[1]\0[2]", 7, MM_E_FORMAT);
    check_refused("[\"a\0b\"]", 7, MM_E_FORMAT);
    check_refused("\0", 1, MM_E_FORMAT);
}

static void bounds_the_depth(void **state)
{
    char text[200001];
    for (int depth = 1; depth <= 64; depth += 63) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = 0;
        assert_int_equal(mm__json_kind(parse(text)), MM__JSON_ARRAY);
    }
    memset(text, '[', 65);
    memset(text + 65, ']', 65);
    check_refused(text, 130, MM_E_LIMIT);
    memset(text, '[', 200000);
    check_refused(text, 200000, MM_E_LIMIT);
    for (int i = 0; i < 200000; i += 5) memcpy(text + i, "{\"a\":", 5);
    check_refused(text, 200000, MM_E_LIMIT);
    memset(text, '"', 1);
    memset(text + 1, '[', 199998); /* brackets inside a string do not nest */
    text[199999] = '"';
    text[200000] = 0;
    assert_int_equal(mm__json_kind(parse(text)), MM__JSON_STRING);
    assert_int_equal(mm__json_kind(parse("[[],[],[],{\"a\":[]}]")), MM__JSON_ARRAY);
}

/* Every truncation and many single-byte changes of a real file: accepted or refused, never worse. */
static void survives_damage(void **state)
{
    static const char good[] =
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"<s>\":0,\"\\u0120a\":1,\"\xc4\xa0t\":2},\"merges\":[[\"a\",\"b\"],"
        "\"c d\"],\"x\":1000000000000000019884624838656},\"f\":[true,false,null,-0.5e-3]}";
    const size_t n = sizeof good - 1;
    char text[sizeof good];
    mm_error e = {.size = sizeof e};
    mm__json_doc *d;
    for (size_t i = 0; i < n; i++) check_refused(good, i, MM_E_FORMAT);
    static const char replacements[] = "\"\\{}[]:,0e.-\xff\x01 ";
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < sizeof replacements; k++) {
            memcpy(text, good, sizeof good);
            text[i] = replacements[k];
            const mm_status st = mm__json_parse(mem, text, n, "damaged", &d, &e);
            assert_true(st == MM_OK || st == MM_E_FORMAT);
            assert_true((st == MM_OK) == (d != NULL));
            mm__json_free(d);
        }
    }
}

/* `n` copies of `unit`, joined by commas, between brackets. */
static void repeat(mm__buf *b, const char *open, const char *unit, size_t n, const char *close)
{
    mm__buf_clear(b);
    mm__buf_puts(b, open);
    for (size_t i = 0; i < n; i++) {
        if (i) mm__buf_putc(b, ',');
        mm__buf_puts(b, unit);
    }
    mm__buf_puts(b, close);
}

static void bounds_the_values(void **state)
{
    mm__buf b;
    mm__buf_init(&b, mem);
    repeat(&b, "[", "1", ((size_t)1 << 23), "]"); /* with the array itself, one too many */
    check_refused(mm__buf_str(&b), b.len, MM_E_LIMIT);
    mm__buf_free(&b);
}

static size_t libc_bytes(void)
{
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* What the parser takes from libc is on the account, not much more is, and it goes with the document. */
static void books_the_tree(void **state)
{
    static const struct {
        const char *open, *unit, *close;
    } shapes[] = {{"[", "1", "]"},      {"[", "\"ab\"", "]"},     {"[", "[]", "]"},        {"[", "{}", "]"},
                  {"[", "null", "]"},   {"[", "{\"a\":1}", "]"}, {"[", "[1.5,\"x\"]", "]"}, {"[\"", "abcdefghijklmn", "\"]"}};
    const size_t n = 100000;
    mm__buf b;
    mm__buf_init(&b, mem);
    for (size_t i = 0; i <= sizeof shapes / sizeof *shapes; i++) {
        if (i < sizeof shapes / sizeof *shapes) {
            repeat(&b, shapes[i].open, shapes[i].unit, n, shapes[i].close);
        } else { /* one large object, as a vocabulary is */
            mm__buf_clear(&b);
            for (size_t k = 0; k < n; k++) mm__buf_printf(&b, "%c\"key%zu\":%zu", k ? ',' : '{', k, k);
            mm__buf_putc(&b, '}');
        }
        const size_t libc_before = libc_bytes();
        const uint64_t before = mm__mem_live(mem);
        parse(mm__buf_str(&b));
        const uint64_t booked = mm__mem_live(mem) - before;
        const size_t taken = libc_bytes() - libc_before; /* our own blocks come from libc too */
        if (libc_before && taken > booked) fail_msg("shape %zu: %zu bytes taken, %zu booked", i, taken, (size_t)booked);
        if (libc_before && booked > 3 * (uint64_t)taken) fail_msg("shape %zu: %zu bytes taken, %zu booked", i, taken, (size_t)booked);
        mm__json_free(doc);
        doc = NULL;
        assert_int_equal(mm__mem_live(mem), before);
    }
    mm__buf_free(&b);
}

static void obeys_the_memory_limit(void **state)
{
    mm_error e = {.size = sizeof e};
    mm__json_doc *d;
    mm__buf b;
    mm__buf_init(&b, mem);
    repeat(&b, "[", "{}", 100000, "]"); /* 300 KB of text, over 20 MB of tree */
    mm__mem *small = mm__mem_create(NULL, (uint64_t)16 << 20);
    assert_non_null(small);
    const uint64_t before = mm__mem_live(small);
    assert_int_equal(mm__json_parse(small, mm__buf_str(&b), b.len, "big.json", &d, &e), MM_E_NOMEM);
    assert_non_null(strstr(e.text, "big.json"));
    assert_null(d);
    assert_int_equal(mm__mem_live(small), before);
    assert_int_equal(mm__json_parse(small, "[{}]", 4, "small.json", &d, &e), MM_OK);
    mm__json_free(d);
    assert_int_equal(mm__mem_live(small), before);
    mm__mem_destroy(small);
    mm__buf_free(&b);
}

static bool parse_big(mm__mem *m)
{
    static const char text[] =
        "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"e\":5,\"f\":6,\"g\":7,\"h\":8,\"i\":[1,{\"x\":123456789012345678901234567890}]}";
    mm_error e = {.size = sizeof e};
    mm__json_doc *d = NULL;
    const mm_status st = mm__json_parse(m, text, sizeof text - 1, "test", &d, &e);
    assert_true(st == MM_OK || (st == MM_E_NOMEM && e.code == MM_E_NOMEM && !d));
    if (d) assert_true(mm__json_num(mm__json_path(mm__json_root(d), "i.1.x"), 0) > 1e29);
    mm__json_free(d);
    return st == MM_OK;
}

static void json_without_memory(void **state)
{
    assert_int_equal(sweep(parse_big), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgives_wrong_questions, set_up, tear_down),
        cmocka_unit_test_setup_teardown(members_in_file_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(numbers_at_the_edge, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refuses_bad_texts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_the_depth, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bounds_the_values, set_up, tear_down),
        cmocka_unit_test_setup_teardown(books_the_tree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(obeys_the_memory_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(survives_damage, set_up, tear_down),
        cmocka_unit_test(json_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
