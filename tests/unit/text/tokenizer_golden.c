/* Tokenizer ids, token spellings and decoded text of every reference family, from tokenizer.json, from the GGUF twin's
 * keys and from the SentencePiece model where the family has one. Fixtures: tests/golden/<family>/. */
#include "helpers.h"

typedef struct family {
    const char *name, *gguf, *spm;
    int prefix;           /* GGUF and .model: overrides the dummy prefix when >= 0 */
    const char *skip;     /* case the GGUF twin and the .model cannot reproduce */
} family;

/* The T5 twins: the reference tokenizer was configured without dummy prefix, so their blanks behind an extra id differ
 * (and the GGUF does not hold the extra ids at all). */
static const family families[] = {
    {"llama", "model-f32.gguf", NULL, -1, NULL}, {"llama_quant", "model-Q2_K.gguf", NULL, -1, NULL},
    {"llama_sharded_f16", NULL, NULL, -1, NULL}, {"llama_spm_bf16", "model-bf16.gguf", "tokenizer.model", -1, NULL},
    {"mistral", "model-f16.gguf", "tokenizer.model", -1, NULL}, {"qwen2", "model-f32.gguf", NULL, -1, NULL},
    {"qwen3", "model-f16.gguf", NULL, -1, NULL}, {"gemma3", "model-f16.gguf", "tokenizer.model", -1, NULL},
    {"phi3", "model-f16.gguf", "tokenizer.model", -1, NULL}, {"phi3_longrope", "model-f16.gguf", "tokenizer.model", -1, NULL},
    {"gpt2", "model-f32.gguf", NULL, -1, NULL}, {"opt", NULL, NULL, -1, NULL}, {"opt_350m", NULL, NULL, -1, NULL},
    {"t5", "model-f16.gguf", "spiece.model", 0, "span"}, {"flan_t5", "model-f16.gguf", "spiece.model", 0, "span"},
    {"clip", NULL, NULL, -1, NULL}, {"siglip", NULL, "spiece.model", -1, NULL}, {"bert", "model-f32.gguf", NULL, -1, NULL},
    {"llava", "model-f16.gguf", "tokenizer.model", -1, NULL}, {"blip2_opt", NULL, NULL, -1, NULL},
    {"blip2_flan_t5", NULL, "spiece.model", 0, NULL}, {"minigpt4", NULL, "tokenizer.model", -1, NULL},
    {"idefics", NULL, "tokenizer.model", -1, NULL},
};

typedef struct run {
    mm__mem *mem;
    const char *where;
    const mm__tokenizer *t;
    int32_t image;        /* id that stands for picture positions, -1: none */
    int compared, failed;
} run;

static void without(mm__ids *ids, int32_t id)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->len; i++)
        if (ids->data[i] != id) ids->data[n++] = ids->data[i];
    ids->len = n;
}

/* Batches are padded on either side with one id. */
static void trim_padding(mm__ids *want, size_t n)
{
    if (want->len <= n) return;
    size_t extra = want->len - n, front = 1, back = 1;
    for (size_t i = 0; i < extra; i++) {
        if (want->data[i] != want->data[0]) front = 0;
        if (want->data[n + i] != want->data[want->len - 1]) back = 0;
    }
    if (back) want->len = n;
    else if (front) memmove(want->data, want->data + extra, n * sizeof *want->data), want->len = n;
}

static void check_ids(run *r, const char *name, const mm__ids *got_all, const mm__json *row, bool padded)
{
    char where[256];
    mm__ids want, got;
    mm__ids_init(&want, r->mem);
    mm__ids_init(&got, r->mem);
    ids_of_json(row, &want);
    mm__ids_append(&got, got_all->data, got_all->len);
    if (r->image >= 0) {
        without(&want, r->image);
        without(&got, r->image);
    }
    if (padded) trim_padding(&want, got.len);
    snprintf(where, sizeof where, "%s %s", r->where, name);
    r->failed += compare_ids(where, got.data, got.len, want.data, want.len);
    r->compared++;
    mm__ids_free(&want);
    mm__ids_free(&got);
}

static void check_text(run *r, const char *name, const char *s, size_t n, unsigned flags, const mm__json *row, bool padded)
{
    mm__ids ids;
    mm_error err = {.size = sizeof err};
    mm__ids_init(&ids, r->mem);
    if (mm__tokenize(r->t, s, n, flags, &ids, &err) != MM_OK) fail_msg("%s %s: %s", r->where, name, err.text);
    check_ids(r, name, &ids, row, padded);
    mm__ids_free(&ids);
}

/* The interleaved prompt as its processor writes it: texts trimmed, pictures between guard tokens, utterance ends thrice. */
static void prompt_text(const mm__json *prompt, mm__buf *out)
{
    for (size_t i = 0; i < mm__json_count(prompt); i++) {
        size_t n = 0;
        const char *s = mm__json_str(mm__json_at(prompt, i), &n, NULL);
        if (!s) {
            mm__buf_puts(out, "<fake_token_around_image><image><fake_token_around_image>");
            continue;
        }
        while (n && *s == ' ') s++, n--;
        while (n && s[n - 1] == ' ') n--;
        for (int k = strcmp(s, "<end_of_utterance>") ? 2 : 0; k < 3; k++) mm__buf_put(out, s, n);
    }
}

/* Ends a run of byte tokens (judged as a whole: broken, every byte becomes U+FFFD) or of other text. */
static void flush_run(mm__buf *part, bool bytes, mm__buf *out)
{
    if (bytes && !mm__utf8_valid(part->data, part->len))
        for (size_t k = 0; k < part->len; k++) mm__buf_puts(out, "\xEF\xBF\xBD");
    else put_lossy(mm__buf_str(part), part->len, out);
    mm__buf_clear(part);
}

/* Text as the recorded decoders show it: streamed bytes with the reference's way of marking broken UTF-8. */
static void lossy_text(run *r, const mm__json *ids, mm__buf *out)
{
    mm__detok state = {0};
    mm__buf part, piece;
    bool was_byte = false;
    mm__buf_init(&part, r->mem);
    mm__buf_init(&piece, r->mem);
    for (size_t i = 0; i < mm__json_count(ids); i++) {
        int32_t id = (int32_t)mm__json_int(mm__json_at(ids, i), -1);
        size_t n = 0;
        const char *s = mm__tokenizer_token(r->t, id, &n);
        bool byte = s && n == 6 && !memcmp(s, "<0x", 3);
        mm__buf_clear(&part);
        assert_int_equal(mm__detokenize_next(r->t, &state, id, 0, &part), MM_OK);
        if (mm__tokenizer_is_special(r->t, id)) continue;
        if (piece.len && byte != was_byte) flush_run(&piece, was_byte, out);
        was_byte = byte;
        mm__buf_put(&piece, mm__buf_str(&part), part.len);
    }
    if (piece.len) flush_run(&piece, was_byte, out);
    mm__buf_free(&part);
    mm__buf_free(&piece);
}

static void check_greedy(run *r, const char *name, const mm__json *result)
{
    size_t n = 0;
    const char *want = mm__json_str(mm__json_get(result, "greedy_text"), &n, NULL);
    mm__buf got;
    if (!want) return;
    mm__buf_init(&got, r->mem);
    lossy_text(r, mm__json_get(result, "greedy"), &got);
    if (got.len != n || memcmp(mm__buf_str(&got), want, n)) {
        print_error("%s %s: decoded text differs\n  got  <%s>\n  want <%s>\n", r->where, name, mm__buf_str(&got), want);
        r->failed++;
    }
    r->compared++;
    mm__buf_free(&got);
}

static void check_spelling(run *r, const char *name, const mm__json *result)
{
    const mm__json *tokens = mm__json_get(result, "tokens"), *row = mm__json_path(result, "input_ids.0");
    for (size_t i = 0; i < mm__json_count(tokens); i++) {
        size_t n = 0, m = 0;
        const char *want = mm__json_str(mm__json_at(tokens, i), &n, ""), *got;
        got = mm__tokenizer_token(r->t, (int32_t)mm__json_int(mm__json_at(row, i), -1), &m);
        if (got && n == m && !memcmp(got, want, n)) continue;
        print_error("%s %s: token %zu is <%s>, not <%s>\n", r->where, name, i, got ? got : "(none)", want);
        r->failed++;
    }
}

static void check_case(run *r, const mm__json *c, bool chat_plain, bool spelling)
{
    const mm__json *result = mm__json_get(c, "result"), *ids = mm__json_get(result, "input_ids"), *batch = mm__json_get(c, "batch");
    const char *name = mm__json_str(mm__json_get(c, "name"), NULL, "?");
    size_t n = 0;
    const char *text = mm__json_str(mm__json_get(c, "rendered"), &n, NULL);
    unsigned flags = MM__TOKENIZE_SPECIAL | (text && chat_plain ? 0 : MM__TOKENIZE_AROUND);
    if (!text) text = mm__json_str(mm__json_get(c, "text"), &n, NULL);
    if (!ids) return;
    if (batch) {
        for (size_t i = 0; i < mm__json_count(batch); i++) {
            text = mm__json_str(mm__json_at(batch, i), &n, "");
            check_text(r, name, text, n, flags, mm__json_at(ids, i), true);
        }
    } else if (mm__json_get(c, "prompt")) {
        mm__buf b;
        mm__buf_init(&b, r->mem);
        prompt_text(mm__json_get(c, "prompt"), &b);
        check_text(r, name, mm__buf_str(&b), b.len, flags, mm__json_at(ids, 0), false);
        mm__buf_free(&b);
    } else if (text) {
        check_text(r, name, text, n, flags, mm__json_at(ids, 0), false);
    }
    if (spelling) check_spelling(r, name, result);
    check_greedy(r, name, result);
}

static int check_family(mm__mem *mem, const family *f, const mm__tokenizer *t, const char *source, const char *skip, bool spelling)
{
    char where[256], path[512];
    snprintf(path, sizeof path, "tests/golden/%s/expected.json", f->name);
    snprintf(where, sizeof where, "%s (%s)", f->name, source);
    mm__json_doc *doc = load_json_file(mem, path);
    assert_non_null(doc);
    const mm__json *cases = mm__json_get(mm__json_root(doc), "cases");
    run r = {.mem = mem, .where = where, .t = t, .image = -1};
    bool image_family = false;
    for (size_t i = 0; i < mm__json_count(cases); i++) image_family = image_family || mm__json_path(mm__json_at(cases, i), "images.0");
    if (image_family) r.image = mm__tokenizer_id(t, "<image>", 7);
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        if (skip && !strcmp(skip, mm__json_str(mm__json_get(c, "name"), NULL, ""))) continue;
        check_case(&r, c, !image_family, spelling);
    }
    if (!r.compared) print_error("%s: nothing compared\n", where);
    int bad = r.failed + (r.compared == 0);
    mm__json_free(doc);
    return bad;
}

static void from_tokenizer_json(void **state)
{
    int bad = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char dir[256];
        mm__mem *mem = mm__mem_create(NULL, 0);
        uint64_t before = mm__mem_live(mem);
        snprintf(dir, sizeof dir, "tests/golden/%s", families[i].name);
        mm__tokenizer *t = tokenizer_of_dir(mem, dir);
        if (t) bad += check_family(mem, &families[i], t, "tokenizer.json", NULL, true);
        else assert_string_equal(families[i].name, "siglip");
        mm__tokenizer_destroy(t);
        assert_int_equal(mm__mem_live(mem), before);
        mm__mem_destroy(mem);
    }
    assert_int_equal(bad, 0);
}

static void from_gguf(void **state)
{
    int bad = 0, seen = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const family *f = &families[i];
        char path[256];
        mm__mem *mem = mm__mem_create(NULL, 0);
        uint64_t before = mm__mem_live(mem);
        snprintf(path, sizeof path, "tests/golden/%s/%s", f->name, f->gguf ? f->gguf : "");
        if (f->gguf && mm__path_kind(&(mm__files){0}, path) == MM__PATH_FILE) {
            mm__tokenizer *t = tokenizer_of_gguf(mem, path, f->prefix);
            if (t) bad += check_family(mem, f, t, f->gguf, f->skip, false);
            seen += t != NULL;
            mm__tokenizer_destroy(t);
        }
        assert_int_equal(mm__mem_live(mem), before);
        mm__mem_destroy(mem);
    }
    assert_true(seen >= 12);
    assert_int_equal(bad, 0);
}

static void from_sentencepiece(void **state)
{
    int bad = 0, seen = 0;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        const family *f = &families[i];
        char dir[256];
        if (!f->spm) continue;
        mm__mem *mem = mm__mem_create(NULL, 0);
        uint64_t before = mm__mem_live(mem);
        snprintf(dir, sizeof dir, "tests/golden/%s", f->name);
        mm__tokenizer *t = tokenizer_of_spm(mem, dir, f->spm);
        if (t) bad += check_family(mem, f, t, f->spm, f->skip, false);
        seen += t != NULL;
        mm__tokenizer_destroy(t);
        assert_int_equal(mm__mem_live(mem), before);
        mm__mem_destroy(mem);
    }
    assert_true(seen >= 4);
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(from_tokenizer_json), cmocka_unit_test(from_gguf),
                                       cmocka_unit_test(from_sentencepiece)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
