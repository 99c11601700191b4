/* Published vocabularies against recorded ids: 121 strings and 14 broken byte sequences per model (tests/real/). The
 * models are large, so they are looked for in $MM_TEST_MODELS (default build/models) and the test is skipped, saying so,
 * when they are not there. Timings are printed and bounded generously: they catch a lost complexity, not a slow day. */
#include "helpers.h"
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool find_model(const char *name, char *path, size_t cap)
{
    const char *dir = getenv("MM_TEST_MODELS");
    snprintf(path, cap, "%s/%s", dir ? dir : "build/models", name);
    if (mm__path_kind(&(mm__files){0}, path) != MM__PATH_NONE) return true;
    print_message("%s is not there: skipped\n", path);
    return false;
}

static void put_hex(const char *hex, mm__buf *out)
{
    unsigned v;
    for (size_t i = 0; hex[i] && hex[i + 1] && sscanf(hex + i, "%2x", &v) == 1; i += 2) mm__buf_putc(out, (char)v);
}

static int check(mm__mem *mem, const mm__tokenizer *t, const mm__buf *text, unsigned flags, const mm__json *row, const char *where)
{
    mm__ids got, want;
    mm_error err = {.size = sizeof err};
    mm__ids_init(&got, mem);
    mm__ids_init(&want, mem);
    ids_of_json(row, &want);
    if (mm__tokenize(t, mm__buf_str(text), text->len, flags, &got, &err) != MM_OK) fail_msg("%s: %s", where, err.text);
    int bad = compare_ids(where, got.data, got.len, want.data, want.len);
    mm__ids_free(&got);
    mm__ids_free(&want);
    return bad;
}

static int check_detok(mm__mem *mem, const mm__tokenizer *t, const mm__json *c, const char *where)
{
    mm__ids ids;
    mm__buf got, want;
    mm__ids_init(&ids, mem);
    mm__buf_init(&got, mem);
    mm__buf_init(&want, mem);
    ids_of_json(mm__json_get(c, "ids"), &ids);
    put_hex(mm__json_str(mm__json_get(c, "detokenized_hex"), NULL, ""), &want);
    assert_int_equal(mm__detokenize(t, ids.data, ids.len, MM__TOKENIZE_SPECIAL, &got), MM_OK);
    int bad = got.len != want.len || memcmp(mm__buf_str(&got), mm__buf_str(&want), got.len) != 0;
    if (bad) print_error("%s: decoded <%s> not <%s>\n", where, mm__buf_str(&got), mm__buf_str(&want));
    mm__ids_free(&ids);
    mm__buf_free(&got);
    mm__buf_free(&want);
    return bad;
}

/* Byte sequences where the record shows a lenient decoder at work: an overlong slash taken for a slash, a value beyond
 * U+10FFFF dropped, a surrogate passed on. Here every byte of them becomes U+FFFD, as everywhere in the library. */
static size_t repaired_bytes(const mm__tokenizer *t, const char *hex)
{
    static const char *const lenient[] = {"f5808080", "eda080", "c0af"};
    if (mm__tokenizer_id(t, "<0xFF>", 6) >= 0) return 0; /* byte tokens hold them */
    for (size_t i = 0; i < 3; i++)
        if (!strcmp(hex, lenient[i])) return strlen(hex) / 2;
    return 0;
}

static int check_repaired(mm__mem *mem, const mm__tokenizer *t, const mm__buf *text, size_t n)
{
    mm__ids got, one;
    mm_error err = {.size = sizeof err};
    mm__ids_init(&got, mem);
    mm__ids_init(&one, mem);
    assert_int_equal(mm__tokenize(t, mm__buf_str(text), text->len, 0, &got, &err), MM_OK);
    assert_int_equal(mm__tokenize(t, "\xEF\xBF\xBD", 3, 0, &one, &err), MM_OK);
    int bad = one.len != 1 || got.len != n;
    for (size_t i = 0; i < got.len && !bad; i++) bad = got.data[i] != one.data[0];
    mm__ids_free(&got);
    mm__ids_free(&one);
    return bad;
}

static int check_record(mm__mem *mem, const mm__tokenizer *t, const char *path)
{
    mm__json_doc *doc = load_json_file(mem, path);
    assert_non_null(doc);
    const mm__json *root = mm__json_root(doc), *cases = mm__json_get(root, "cases"), *broken = mm__json_get(root, "invalid_utf8_cases");
    const mm__json *around = mm__json_get(root, "with_add_special");
    int bad = 0;
    mm__buf text;
    mm__buf_init(&text, mem);
    assert_int_equal(mm__json_count(cases), 121);
    assert_int_equal(mm__json_count(broken), 14);
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        const char *hex = mm__json_str(mm__json_get(c, "utf8_hex"), NULL, "");
        /* where the two recorded tokenizers disagree, the one that follows the file's token types is right */
        bool agree = mm__json_bool(mm__json_get(c, "second_tokenizer_equal"), true);
        mm__buf_clear(&text);
        put_hex(hex, &text);
        bad += check(mem, t, &text, 0, mm__json_get(c, agree ? "ids" : "second_tokenizer_ids"), hex);
        bad += check(mem, t, &text, MM__TOKENIZE_SPECIAL, mm__json_get(c, "ids_parse_special"), hex);
        if (agree) bad += check_detok(mem, t, c, hex);
    }
    for (size_t i = 0; i < mm__json_count(broken); i++) {
        const mm__json *c = mm__json_at(broken, i);
        const char *hex = mm__json_str(mm__json_get(c, "utf8_hex"), NULL, "");
        size_t repaired = repaired_bytes(t, hex);
        mm__buf_clear(&text);
        put_hex(hex, &text);
        bad += repaired ? check_repaired(mem, t, &text, repaired) : check(mem, t, &text, 0, mm__json_get(c, "ids"), hex);
    }
    for (size_t i = 0; i < mm__json_count(around); i++) {
        const char *key = "";
        const mm__json *row = mm__json_member(around, i, &key, NULL);
        mm__buf_clear(&text);
        mm__buf_puts(&text, key);
        bad += check(mem, t, &text, MM__TOKENIZE_AROUND, row, key);
    }
    mm__buf_free(&text);
    mm__json_free(doc);
    return bad;
}

static double encode_seconds(mm__mem *mem, const mm__tokenizer *t, const char *s, size_t n, size_t *ids_out)
{
    mm__ids ids;
    mm_error err = {.size = sizeof err};
    mm__ids_init(&ids, mem);
    double t0 = now();
    if (mm__tokenize(t, s, n, 0, &ids, &err) != MM_OK) fail_msg("%s", err.text);
    t0 = now() - t0;
    *ids_out = ids.len;
    mm__ids_free(&ids);
    return t0;
}

static void speed(mm__mem *mem, const mm__tokenizer *t, const char *name)
{
    static const char sentence[] = "The quick brown fox isn't as quick as it was in 1987; na\xC3\xAFve caf\xC3\xA9s cost 42.50 more.\n\n";
    const size_t n = (size_t)1 << 20;
    char *text = mm__alloc(mem, n);
    size_t ids;
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) text[i] = sentence[i % (sizeof sentence - 1)];
    double plain = encode_seconds(mem, t, text, n - n % (sizeof sentence - 1), &ids);
    print_message("%s: 1 MiB of prose in %.0f ms (%.1f MB/s, %zu ids)\n", name, plain * 1e3, (double)n / 1e6 / plain, ids);
    static const char runs[] = {'a', ' ', '\n', '7', '!'};
    for (size_t k = 0; k < sizeof runs; k++) {
        memset(text, runs[k], n);
        double one = encode_seconds(mem, t, text, n, &ids);
        print_message("%s: 1 MiB of 0x%02x in %.0f ms (%zu ids)\n", name, runs[k], one * 1e3, ids);
        assert_true(one < 10);
    }
    assert_true(plain < 10);
    mm__free(mem, text);
}

static void gguf_model(const char *file, const char *record)
{
    char path[512];
    if (!find_model(file, path, sizeof path)) skip();
    mm__mem *mem = mm__mem_create(NULL, 0);
    uint64_t before = mm__mem_live(mem);
    mm__gguf *g = NULL;
    mm_error err = {.size = sizeof err};
    double t0 = now();
    if (mm__gguf_open(&(mm__files){.mem = mem}, path, &g, &err) != MM_OK) fail_msg("%s", err.text);
    double t1 = now();
    mm__tokenizer *t = tokenizer_of_gguf_mem(mem, g, path, -1);
    print_message("%s: opened in %.0f ms, tokenizer in %.0f ms\n", file, (t1 - t0) * 1e3, (now() - t1) * 1e3);
    mm__gguf_close(g);
    int bad = check_record(mem, t, record);
    speed(mem, t, file);
    mm__tokenizer_destroy(t);
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
    assert_int_equal(bad, 0);
}

static void smollm2(void **state) { gguf_model("smollm2-135m-instruct-q4_1.gguf", "tests/real/smollm2_tokenizer.json"); }
static void gemma3(void **state) { gguf_model("gemma-3-270m-q4_k_m.gguf", "tests/real/gemma3_tokenizer.json"); }

static void expect(mm__mem *mem, const mm__tokenizer *t, const char *text, unsigned flags, const int32_t *want, size_t n)
{
    mm__ids got;
    mm_error err = {.size = sizeof err};
    mm__ids_init(&got, mem);
    if (mm__tokenize(t, text, strlen(text), flags, &got, &err) != MM_OK) fail_msg("%s", err.text);
    assert_int_equal(compare_ids(text, got.data, got.len, want, n), 0);
    mm__ids_free(&got);
}

/* Both spellings of merges ("a b" and ["a", "b"]) and the published ids of the speech vocabularies. */
static void speech(void **state)
{
    static const struct { const char *dir; int32_t space, eot, sot, first_time; } models[] = {
        {"whisper-base-hf", 220, 50257, 50258, 50364}, {"whisper-tiny.en-hf", 220, 50256, 50257, 50363}};
    char path[512];
    for (size_t i = 0; i < 2; i++) {
        if (!find_model(models[i].dir, path, sizeof path)) continue;
        mm__mem *mem = mm__mem_create(NULL, 0);
        double t0 = now();
        mm__tokenizer *t = tokenizer_of_dir(mem, path);
        print_message("%s: tokenizer in %.0f ms\n", path, (now() - t0) * 1e3);
        assert_int_equal(mm__tokenizer_id(t, "<|endoftext|>", 13), models[i].eot);
        assert_int_equal(mm__tokenizer_id(t, "<|startoftranscript|>", 21), models[i].sot);
        expect(mem, t, " ", 0, &models[i].space, 1);
        int32_t times[] = {models[i].first_time, models[i].first_time + 1500};
        expect(mem, t, "<|0.00|><|30.00|>", MM__TOKENIZE_SPECIAL, times, 2);
        static const int32_t base[] = {400, 370, 452, 7177, 6280}, en[] = {843, 523, 616, 5891, 3399};
        expect(mem, t, " And so my fellow Americans", 0, i ? en : base, 5);
        mm__tokenizer_destroy(t);
        mm__mem_destroy(mem);
    }
}

/* The best known ids of all: an uncased BERT vocabulary. */
static void bert(void **state)
{
    char path[512];
    if (!find_model("all-MiniLM-L6-v2", path, sizeof path)) skip();
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t = tokenizer_of_dir(mem, path);
    static const int32_t hello[] = {101, 7592, 1010, 2088, 999, 102};
    static const int32_t long_word[] = {101, 19204, 17629, 2015, 2024, 4569, 102};
    expect(mem, t, "Hello, World!", MM__TOKENIZE_AROUND, hello, 6);
    expect(mem, t, "Tokenizers are FUN", MM__TOKENIZE_AROUND, long_word, 7);
    mm__buf out;
    mm__buf_init(&out, mem);
    assert_int_equal(mm__detokenize(t, long_word, 7, 0, &out), MM_OK);
    assert_string_equal(mm__buf_str(&out), "tokenizers are fun");
    mm__buf_free(&out);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(smollm2), cmocka_unit_test(gemma3), cmocka_unit_test(speech),
                                       cmocka_unit_test(bert)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
