/* Text that must stay text: with stand-ins, special tokens are spelled out exactly as they are when nobody looks for them,
 * beside special tokens that are meant, on every reference tokenizer. */
#include "helpers.h"

#include "../../../src/text/plain.h"

static const char *const families[] = {"llama", "llama_spm_bf16", "mistral", "qwen2", "qwen3", "gemma3", "phi3", "gpt2", "opt",
                                       "t5", "clip", "bert", "llava", "minigpt4", "idefics", "whisper"};

static void ids_of(const mm__tokenizer *t, const char *text, size_t len, unsigned flags, const mm__plain *plain, mm__ids *out)
{
    mm_error err = {.size = sizeof err};
    mm__ids_clear(out);
    if (mm__tokenize_plain(t, text, len, flags, plain, out, &err) != MM_OK) fail_msg("%s", err.text);
}

static void same(const char *where, const char *text, const mm__ids *a, const mm__ids *b)
{
    if (a->len == b->len && memcmp(a->data, b->data, a->len * sizeof *a->data) == 0) return;
    fail_msg("%s: \"%s\" gives %zu ids, %zu are right", where, text, a->len, b->len);
}

/* One special token inside a text: hidden, it is text; not hidden, it is itself. */
static void one_token(mm__mem *mem, const char *family, const mm__tokenizer *t, const mm__plain *plain, int32_t id)
{
    size_t len;
    const char *spelling = mm__tokenizer_token(t, id, &len);
    char text[256];
    mm__buf hidden, shown;
    mm__ids a, b;
    bool yes = false;
    mm__buf_init(&hidden, mem);
    mm__buf_init(&shown, mem);
    mm__ids_init(&a, mem);
    mm__ids_init(&b, mem);
    snprintf(text, sizeof text, "one %s two%s", spelling, spelling);
    assert_int_equal(mm__plain_spells(t, NULL, text, strlen(text), &yes, NULL), MM_OK);
    ids_of(t, spelling, len, MM__TOKENIZE_SPECIAL, NULL, &a);
    if (a.len == 1 && a.data[0] == id && !yes) fail_msg("%s: \"%s\" is not noticed", family, text);
    mm__plain_hide(plain, text, strlen(text), &hidden);
    mm__plain_show(plain, mm__buf_str(&hidden), hidden.len, &shown);
    assert_string_equal(mm__buf_str(&shown), text);
    ids_of(t, mm__buf_str(&hidden), hidden.len, MM__TOKENIZE_SPECIAL, plain, &a);
    ids_of(t, text, strlen(text), 0, NULL, &b);
    same(family, text, &a, &b);
    mm__ids_free(&a);
    mm__ids_free(&b);
    mm__buf_free(&hidden);
    mm__buf_free(&shown);
}

static void every_special_token(void **state)
{
    int tried = 0;
    (void)state;
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        mm__mem *mem = mm__mem_create(NULL, 0);
        char dir[256];
        snprintf(dir, sizeof dir, "tests/golden/%s", families[f]);
        mm__tokenizer *t = tokenizer_of_dir(mem, dir);
        mm__plain plain = {0};
        if (!t) fail_msg("%s: no tokenizer", dir);
        assert_int_equal(mm__plain_open(&plain, t, NULL, NULL), MM_OK);
        for (int32_t id = 0; id < (int32_t)mm__tokenizer_size(t); id++)
            if (mm__tokenizer_is_special(t, id)) {
                one_token(mem, families[f], t, &plain, id);
                tried++;
            }
        mm__tokenizer_destroy(t);
        mm__mem_destroy(mem);
    }
    assert_true(tried > 60);
}

static mm__tokenizer *small(mm__mem *mem, const char *added)
{
    char text[2048];
    mm__json_doc *doc = NULL;
    mm__tokenizer *t = NULL;
    mm_error err = {.size = sizeof err};
    snprintf(text, sizeof text,
             "{\"added_tokens\":[%s],\"normalizer\":{\"type\":\"Lowercase\"},\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
             "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[U]\",\"continuing_subword_prefix\":\"##\",\"vocab\":{\"[U]\":0,"
             "\"<\":1,\"s\":2,\">\":3,\"a\":4,\"##s\":5,\"##>\":6,\"b\":7}}}", added);
    assert_int_equal(mm__json_parse(mem, text, strlen(text), "small", &doc, &err), MM_OK);
    if (mm__tokenizer_from_json(mem, mm__json_root(doc), NULL, "small", &t, &err) != MM_OK) fail_msg("%s", err.text);
    mm__json_free(doc);
    return t;
}

/* A token that is looked for after normalisation, meant once and spelled once. */
static void after_normalisation(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t = small(mem, "{\"id\":8,\"content\":\"<S>\",\"special\":true,\"normalized\":true}");
    mm__plain plain = {0};
    mm__buf text;
    mm__ids ids;
    bool yes = false;
    (void)state;
    mm__buf_init(&text, mem);
    mm__ids_init(&ids, mem);
    assert_int_equal(mm__plain_spells(t, NULL, "a <s>", 5, &yes, NULL), MM_OK);
    assert_true(yes);
    assert_int_equal(mm__plain_spells(t, NULL, "a < s>", 6, &yes, NULL), MM_OK);
    assert_false(yes);
    assert_int_equal(mm__plain_open(&plain, t, NULL, NULL), MM_OK);
    mm__buf_puts(&text, "<S>a");
    mm__plain_hide(&plain, "<s>", 3, &text);
    mm__buf_puts(&text, "b<s>");
    ids_of(t, mm__buf_str(&text), text.len, MM__TOKENIZE_SPECIAL, &plain, &ids);
    const int32_t first = ids.len ? ids.data[0] : -1, last = ids.len ? ids.data[ids.len - 1] : -1;
    size_t n = 0;
    for (size_t i = 0; i < ids.len; i++) n += ids.data[i] == 8;
    assert_int_equal(first, 8);
    assert_int_equal(last, 8);
    assert_int_equal(n, 2);
    mm__ids_free(&ids);
    mm__buf_free(&text);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

/* Noncharacters of the texts themselves stay what they are; when none is left, that is said. */
static void noncharacters(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t = small(mem, "{\"id\":8,\"content\":\"<S>\",\"special\":true},{\"id\":9,\"content\":\"\xE2\x82\xAC\",\"special\":true}");
    mm__plain plain = {0};
    mm__buf hidden, shown;
    char all[32 * 3], few[] = "\xEF\xB7\x90 <S> \xE2\x82\xAC \xEF\xB7\x92\xEF\xB7\xB0\xEF\xB7";
    mm_error err = {.size = sizeof err};
    (void)state;
    mm__buf_init(&hidden, mem);
    mm__buf_init(&shown, mem);
    mm__plain_note(&plain, few, strlen(few));
    assert_int_equal(mm__plain_open(&plain, t, "[here]", &err), MM_OK);
    mm__plain_hide(&plain, few, strlen(few), &hidden);
    assert_null(strchr(mm__buf_str(&hidden), '<'));
    assert_null(strstr(mm__buf_str(&hidden), "\xE2\x82\xAC"));
    mm__plain_show(&plain, mm__buf_str(&hidden), hidden.len, &shown);
    assert_string_equal(mm__buf_str(&shown), few);
    plain = (mm__plain){0};
    for (int i = 0; i < 32; i++) memcpy(all + 3 * i, (char[]){'\xEF', '\xB7', (char)(0x90 + i)}, 3);
    mm__plain_note(&plain, all, sizeof all - 3); /* room for one, three are wanted */
    assert_int_equal(mm__plain_open(&plain, t, "[here]", &err), MM_E_LIMIT);
    assert_true(strlen(err.text) > 0);
    mm__buf_free(&hidden);
    mm__buf_free(&shown);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_special_token), cmocka_unit_test(after_normalisation),
                                       cmocka_unit_test(noncharacters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
