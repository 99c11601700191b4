/* What must not happen: user text spelling control tokens, runs that take quadratic time, crashes on damaged documents,
 * leaks or crashes when memory runs out, bytes lost in streaming. */
#include "helpers.h"
#include "../base/failing.h"
#include <stdlib.h>
#include <time.h>

static const char small_bpe[] =
    "{\"added_tokens\":[{\"id\":5,\"content\":\"<end>\",\"special\":true,\"normalized\":false},"
    "{\"id\":6,\"content\":\"[img]\",\"special\":false,\"normalized\":false}],"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"a\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<end>\":5,\"<\":3,\"aa\":4,"
    "\"e\":7,\"<e\":8},\"merges\":[\"a b\",\"a a\",\"< e\"]}}";

static mm__tokenizer *of_text(mm__mem *mem, const char *text, size_t len, mm_status *status)
{
    mm__json_doc *doc = NULL;
    mm__tokenizer *t = NULL;
    mm_error err = {.size = sizeof err};
    *status = mm__json_parse(mem, text, len, "test", &doc, &err);
    if (*status == MM_OK) *status = mm__tokenizer_from_json(mem, mm__json_root(doc), NULL, "test", &t, &err);
    mm__json_free(doc);
    return t;
}

static size_t count_of(mm__mem *mem, const mm__tokenizer *t, const char *s, unsigned flags, int32_t id)
{
    mm__ids ids;
    size_t n = 0;
    mm_error err = {.size = sizeof err};
    mm__ids_init(&ids, mem);
    assert_int_equal(mm__tokenize(t, s, strlen(s), flags, &ids, &err), MM_OK);
    for (size_t i = 0; i < ids.len; i++) n += ids.data[i] == id;
    mm__ids_free(&ids);
    return n;
}

static void special_needs_permission(void **state)
{
    mm_status st;
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t = of_text(mem, small_bpe, strlen(small_bpe), &st);
    assert_int_equal(st, MM_OK);
    assert_int_equal(count_of(mem, t, "ab<end>ab", 0, 5), 0);
    assert_int_equal(count_of(mem, t, "ab<end>ab", MM__TOKENIZE_SPECIAL, 5), 1);
    assert_int_equal(count_of(mem, t, "ab[img]ab", 0, 6), 1);
    assert_true(mm__tokenizer_is_special(t, 5));
    assert_false(mm__tokenizer_is_special(t, 6));
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

/* Every family: text made of all special spellings gives none of their ids. */
static void families_keep_control(void **state)
{
    static const char *const names[] = {"llama", "llama_spm_bf16", "qwen2", "gemma3", "phi3", "gpt2", "opt", "t5", "clip",
                                        "bert", "whisper", "llava", "idefics"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char dir[256];
        mm_error err = {.size = sizeof err};
        mm__mem *mem = mm__mem_create(NULL, 0);
        mm__buf text;
        mm__ids ids;
        size_t seen = 0;
        snprintf(dir, sizeof dir, "tests/golden/%s", names[k]);
        mm__tokenizer *t = tokenizer_of_dir(mem, dir);
        assert_non_null(t);
        mm__buf_init(&text, mem);
        mm__ids_init(&ids, mem);
        for (size_t i = 0; i < mm__tokenizer_size(t); i++) {
            size_t n = 0;
            const char *s = mm__tokenizer_token(t, (int32_t)i, &n);
            if (!s || !mm__tokenizer_is_special(t, (int32_t)i)) continue;
            mm__buf_put(&text, s, n);
            mm__buf_putc(&text, ' ');
            seen++;
        }
        assert_true(seen > 0);
        assert_int_equal(mm__tokenize(t, mm__buf_str(&text), text.len, 0, &ids, &err), MM_OK);
        for (size_t i = 0; i < ids.len; i++) {
            bool unknown = ids.data[i] == mm__tokenizer_special(t, "unk");
            if (mm__tokenizer_is_special(t, ids.data[i]) && !unknown) fail_msg("%s: id %d slipped in", names[k], (int)ids.data[i]);
        }
        mm__ids_free(&ids);
        mm__buf_free(&text);
        mm__tokenizer_destroy(t);
        mm__mem_destroy(mem);
    }
}

/* One megabyte of one character: linear stages, n log n merging. A sixteenth of that under a sanitizer, which looks at all
 * the rest of a text whenever memmem is called with it. */
static void runs_stay_cheap(void **state)
{
    static const char *const names[] = {"gpt2", "llama", "llama_spm_bf16", "gemma3", "t5", "clip", "bert"};
    static const char letters[] = {'a', ' ', '\n', '7', '!', '\'', '\xCC'};
    const double slow = slowdown();
    const size_t n = (size_t)1 << (slow > 1 ? 16 : 20);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char dir[256];
        mm_error err = {.size = sizeof err};
        mm__mem *mem = mm__mem_create(NULL, 0);
        char *text = mm__alloc(mem, n);
        assert_non_null(text);
        snprintf(dir, sizeof dir, "tests/golden/%s", names[k]);
        mm__tokenizer *t = tokenizer_of_dir(mem, dir);
        for (size_t i = 0; i < sizeof letters; i++) {
            mm__ids ids;
            mm__ids_init(&ids, mem);
            memset(text, letters[i], n);
            const clock_t start = clock();
            assert_int_equal(mm__tokenize(t, text, n, MM__TOKENIZE_SPECIAL, &ids, &err), MM_OK);
            const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
            if (seconds > 5 * slow) fail_msg("%s: %.1f s for a run of 0x%02x", names[k], seconds, (unsigned char)letters[i]);
            mm__ids_free(&ids);
        }
        mm__tokenizer_destroy(t);
        mm__free(mem, text);
        mm__mem_destroy(mem);
    }
}

/* Damaged documents and models: every truncation and many byte flips end in a status, never in a crash or a leak. */
static void damage_is_refused(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    uint64_t before = mm__mem_live(mem);
    size_t len = 0;
    char *bytes = NULL, *copy;
    mm_error err = {.size = sizeof err};
    mm_status st;
    unsigned seed = 1;
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, "tests/golden/siglip/spiece.model", MM__LIMIT_SIDE_FILE_BYTES, &bytes, &len, &err), MM_OK);
    copy = mm__alloc(mem, len);
    assert_non_null(copy);
    for (size_t i = 0; i < 1500; i++) {
        size_t n = i < 500 ? len * i / 500 : len;
        mm__tokenizer *t = NULL;
        memcpy(copy, bytes, len);
        for (size_t k = 0; i >= 500 && k < 1 + i % 5; k++) {
            seed = seed * 1103515245u + 12345u;
            copy[(seed >> 8) % len] = (char)(seed >> 24);
        }
        st = mm__tokenizer_from_spm(mem, copy, n, NULL, i % 2 != 0, "test", &t, &err);
        if (st == MM_OK) count_of(mem, t, "a photo of <unk> \xE2\x96\x81 x", MM__TOKENIZE_AROUND, 0);
        mm__tokenizer_destroy(t);
    }
    mm__free(mem, copy);
    mm__free(mem, bytes);
    bytes = mm__strdup(mem, small_bpe);
    for (size_t i = 0; i < 3000; i++) {
        memcpy(bytes, small_bpe, sizeof small_bpe);
        seed = seed * 1103515245u + 12345u;
        bytes[(seed >> 8) % (sizeof small_bpe - 1)] = (char)("09{}[],:\"ab<"[(seed >> 24) % 12]);
        mm__tokenizer *t = of_text(mem, bytes, sizeof small_bpe - 1, &st);
        if (st == MM_OK) count_of(mem, t, "ab<end>a[img]", MM__TOKENIZE_SPECIAL | MM__TOKENIZE_AROUND, 0);
        else assert_null(t);
        mm__tokenizer_destroy(t);
    }
    mm__free(mem, bytes);
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
}

static void documents_out_of_range(void **state)
{
    static const char *const bad[] = {
        "{}", "[]", "{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1}}}",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":16777215}}}", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}",
        "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[7]}}", "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1}}",
        "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[1]]}}", "{\"model\":{\"type\":\"Other\",\"vocab\":{\"a\":0}}}",
        "{\"normalizer\":{\"type\":\"Secret\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}",
        "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":\"Isolated\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}",
        "{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////////////w==\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}",
        "{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"x\",9],\"cls\":[\"y\",0]},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}"};
    mm__mem *mem = mm__mem_create(NULL, 0);
    uint64_t before = mm__mem_live(mem);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mm_status st;
        mm__tokenizer *t = of_text(mem, bad[i], strlen(bad[i]), &st);
        if (st == MM_OK || t) fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
}

/* A pattern that explodes ends with MM_E_LIMIT instead of hanging. */
static void regex_is_limited(void **state)
{
    static const char doc[] = "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},\"behavior\":\"Isolated\"},"
                              "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}";
    mm_status st;
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__tokenizer *t = of_text(mem, doc, strlen(doc), &st);
    mm__ids ids;
    mm_error err = {.size = sizeof err};
    assert_int_equal(st, MM_OK);
    mm__ids_init(&ids, mem);
    assert_int_equal(mm__tokenize(t, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", 56, 0, &ids, &err), MM_E_LIMIT);
    mm__ids_free(&ids);
    mm__tokenizer_destroy(t);
    mm__mem_destroy(mem);
}

/* ---- memory that runs out after k allocations ---- */

static long budget;
static void *give(void *user, size_t n, size_t align)
{
    void *p = NULL;
    return budget-- > 0 && posix_memalign(&p, align < sizeof p ? sizeof p : align, n) == 0 ? p : NULL;
}
static void take(void *user, void *p, size_t n, size_t align) { free(p); }

static bool try_all(mm__mem *mem, const char *path)
{
    mm_error err = {.size = sizeof err};
    char *text = NULL;
    size_t len;
    mm__json_doc *doc = NULL;
    mm__tokenizer *t = NULL;
    mm__ids ids;
    mm__ids_init(&ids, mem);
    mm_status st = mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, &err);
    if (st == MM_OK) st = mm__json_parse(mem, text, len, path, &doc, &err);
    if (st == MM_OK) st = mm__tokenizer_from_json(mem, mm__json_root(doc), NULL, path, &t, &err);
    static const char s[] = "Na\xC3\xAFve caf\xC3\xA9 isn't 42  cheap";
    if (st == MM_OK) st = mm__tokenize(t, s, sizeof s - 1, MM__TOKENIZE_AROUND, &ids, &err);
    mm__ids_free(&ids);
    mm__tokenizer_destroy(t);
    mm__json_free(doc);
    mm__free(mem, text);
    return st == MM_OK;
}

static void memory_may_run_out(void **state)
{
    static const char *const paths[] = {"tests/golden/llama/tokenizer.json", "tests/golden/clip/tokenizer.json",
                                        "tests/golden/bert/tokenizer.json", "tests/golden/flan_t5/tokenizer.json"};
    const mm_allocator host = {.size = sizeof host, .alloc = give, .release = take};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        bool done = false;
        for (long k = 1; !done && k < 4000; k = k < 200 ? k + 1 : k + k / 16) {
            budget = 1 << 30;
            mm__mem *mem = mm__mem_create(&host, 0);
            uint64_t before = mm__mem_live(mem);
            budget = k;
            done = try_all(mem, paths[i]);
            assert_int_equal(mm__mem_live(mem), before);
            mm__mem_destroy(mem);
        }
        assert_true(done);
    }
}

/* Any cut of the id list into single steps gives the bytes of the whole. */
static void streaming_loses_nothing(void **state)
{
    static const char text[] = "\xF0\x9F\x99\x82 na\xC3\xAFve \xE6\xBC\xA2\xE5\xAD\x97, done";
    static const char *const names[] = {"llama", "llama_spm_bf16", "gemma3", "qwen2"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char dir[256];
        mm_error err = {.size = sizeof err};
        mm__mem *mem = mm__mem_create(NULL, 0);
        mm__ids ids;
        mm__buf out;
        mm__detok state_of = {0};
        snprintf(dir, sizeof dir, "tests/golden/%s", names[k]);
        mm__tokenizer *t = tokenizer_of_dir(mem, dir);
        mm__ids_init(&ids, mem);
        mm__buf_init(&out, mem);
        assert_int_equal(mm__tokenize(t, text, sizeof text - 1, MM__TOKENIZE_AROUND, &ids, &err), MM_OK);
        for (size_t i = 0; i < ids.len; i++) {
            size_t before = out.len;
            assert_int_equal(mm__detokenize_next(t, &state_of, ids.data[i], 0, &out), MM_OK);
            assert_true(out.len >= before && !memcmp(mm__buf_str(&out), text, out.len)); /* always a prefix */
        }
        assert_string_equal(mm__buf_str(&out), text);
        assert_int_equal(mm__detokenize_next(t, &state_of, 1 << 28, 0, &out), MM_OK);
        assert_int_equal(mm__detokenize_next(t, &state_of, -1, 0, &out), MM_OK);
        mm__buf_free(&out);
        mm__ids_free(&ids);
        mm__tokenizer_destroy(t);
        mm__mem_destroy(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(special_needs_permission), cmocka_unit_test(families_keep_control), cmocka_unit_test(runs_stay_cheap),
        cmocka_unit_test(damage_is_refused), cmocka_unit_test(documents_out_of_range), cmocka_unit_test(regex_is_limited),
        cmocka_unit_test(memory_may_run_out), cmocka_unit_test(streaming_loses_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
