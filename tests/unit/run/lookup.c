/* Drafts found by looking back: where they come from, how they grow and rest, and that an answer with them is the answer
 * without, token by token and score by score. */
#include "bench.h"

#include "../../../src/base/utf8.h"

/* ---- the finder ---- */

static void expect_draft(const int32_t *ids, size_t n, size_t most, const int32_t *want, size_t n_want)
{
    int32_t draft[MM__LOOKUP_MOST];
    const size_t got = mm__lookup_find(ids, n, draft, most);
    assert_int_equal(got, n_want);
    assert_memory_equal(draft, want, n_want * sizeof *want);
}

#define EXPECT(most, n_want, want, ...)                                                      \
    do {                                                                                     \
        const int32_t ids_[] = {__VA_ARGS__};                                                \
        expect_draft(ids_, sizeof ids_ / sizeof *ids_, most, (const int32_t[]) want, n_want); \
    } while (0)
#define LIST(...) {__VA_ARGS__}

static void finds(void **state)
{
    (void)state;
    EXPECT(3, 0, LIST(0), 1, 2, 3, 4);                                 /* nothing comes twice */
    EXPECT(3, 0, LIST(0), 7);
    EXPECT(3, 0, LIST(0), 7, 8);                                       /* shorter than what is looked for */
    EXPECT(3, 3, LIST(4, 5, 6), 1, 2, 3, 4, 5, 6, 1, 2, 3);
    EXPECT(2, 2, LIST(4, 5), 1, 2, 3, 4, 5, 6, 1, 2, 3);               /* no more than asked for */
    EXPECT(1, 1, LIST(9), 1, 2, 3, 8, 1, 2, 3, 9, 1, 2, 3);            /* the latest of two places */
    EXPECT(1, 1, LIST(4), 1, 2, 3, 4, 5, 2, 3, 6, 1, 2, 3);            /* three ids rather than two, though further back */
    EXPECT(1, 1, LIST(6), 9, 2, 3, 6, 1, 2, 3);                        /* else two */
    EXPECT(2, 0, LIST(0), 9, 3, 6, 1, 2, 3);                           /* one is not enough */
    EXPECT(4, 4, LIST(7, 7, 7, 7), 1, 7, 7, 7);                        /* a period that reaches the end goes on */
    EXPECT(5, 5, LIST(1, 2, 1, 2, 1), 1, 2, 1, 2);
    EXPECT(3, 1, LIST(4), 1, 2, 3, 4, -1, -1, 1, 2, 3);                /* a medium is no token */
    EXPECT(3, 0, LIST(0), 1, 2, 3, -1, 5, 1, 2, 3);
    EXPECT(0, 0, LIST(0), 1, 2, 3, 4, 1, 2, 3);
}

/* ---- growing and resting ---- */

static void lookup_init(mm__lookup *l, mm__mem *mem, uint32_t most)
{
    *l = (mm__lookup){.most = most};
    mm__ids_init(&l->said, mem);
    mm__lookup_begin(l);
}

/* Length of the draft behind `id`; SIZE_MAX: it was in the draft. */
static size_t say_id(mm__lookup *l, int32_t id)
{
    assert_true(mm__ids_push(&l->said, id));
    if (mm__lookup_hits(l, id)) return SIZE_MAX;
    mm__lookup_draft(l, MM__LOOKUP_MOST);
    return l->n;
}

static void grows(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__lookup l;
    size_t longest = 0;
    (void)state;
    lookup_init(&l, mem, 7);
    for (int32_t i = 0; i < 40; i++) {
        const size_t n = say_id(&l, i % 4);
        if (n == SIZE_MAX) continue;
        assert_true(n == 0 || n == 1 || n == 3 || n == 7);
        assert_true(n >= longest);
        longest = n;
    }
    assert_int_equal(longest, 7);
    mm__ids_free(&l.said);
    mm__mem_destroy(mem);
}

/* 1 2 comes again and again, never with the same behind it. */
static void rests(void **state)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__lookup l;
    uint64_t early = 0;
    (void)state;
    lookup_init(&l, mem, 7);
    for (int32_t i = 0; i < 3000; i++) {
        const size_t n = say_id(&l, i % 3 < 2 ? 1 + i % 3 : 100 + i);
        assert_true(n <= 1);
        if (i == 299) early = l.n_drafted;
    }
    assert_int_equal(l.n_taken, 0);
    assert_true(early > 0);
    assert_true(l.n_drafted - early > 2700 / 96); /* it does not give up ... */
    assert_true(l.n_drafted - early < 2700 / 30); /* ... but nearly */
    for (int32_t i = 0; i < 64; i++) say_id(&l, i % 4);
    assert_true(l.n_taken > 16);                  /* and sees it when it pays again */
    mm__ids_free(&l.said);
    mm__mem_destroy(mem);
}

/* ---- several rows at once ---- */

/* Tokens that are tried together have the scores that each has alone, bit for bit: what a draft may rely on. */
static void same_bits(const char *device, bool exact, const char *family)
{
    enum { PAST = 21, MOST = MM__LM_STEP };
    bench b;
    mm_error err = {.size = sizeof err};
    mm__row rows[PAST];
    int32_t ids[MOST];
    bench_open_on(&b, device, exact, family, &(mm__session_options){.top_p = 1, .repeat_penalty = 1});
    const size_t n_vocab = (size_t)b.a->decoder->info.n_vocab;
    float *alone = mm__calloc(b.mem, MOST * n_vocab, sizeof *alone), *row = mm__calloc(b.mem, n_vocab, sizeof *row);
    assert_true(alone && row);
    for (int32_t i = 0; i < PAST; i++) rows[i] = (mm__row){5 + 7 * i % 90, -1, 0, -1};
    for (int32_t i = 0; i < MOST; i++) ids[i] = 9 + 11 * i;
    if (mm__lm_prefill(b.s->lm, rows, PAST, NULL, NULL, "", NULL, row, &err) != MM_OK) fail_msg("%s", err.text);
    const int32_t most = mm__lm_can_try(b.s->lm);
    assert_int_equal(most, MOST);
    for (int32_t i = 0; i < most; i++) assert_int_equal(mm__lm_step(b.s->lm, ids[i], NULL, alone + (size_t)i * n_vocab, &err), MM_OK);
    for (int32_t n = 1; n <= most; n++) {
        mm__lm_truncate(b.s->lm, PAST);
        assert_int_equal(mm__lm_try(b.s->lm, ids, n, NULL, row, &err), MM_OK);
        for (int32_t i = 0; i < n; i++) {
            if (i) assert_int_equal(mm__lm_take(b.s->lm, row, &err), MM_OK);
            assert_int_equal(mm__lm_past(b.s->lm), PAST + i + 1);
            if (memcmp(row, alone + (size_t)i * n_vocab, n_vocab * sizeof *row) != 0)
                fail_msg("%s on %s, %s: row %d of %d differs from the same token alone", family, device, exact ? "exact" : "fast", (int)i, (int)n);
        }
        assert_int_equal(mm__lm_take(b.s->lm, row, &err), MM_E_INTERNAL);
    }
    mm__free(b.mem, alone);
    mm__free(b.mem, row);
    bench_close(&b);
}

static void rows_are_alike(void **state)
{
    static const char *const families[] = {"llama", "llama_quant/model-Q4_K_M.gguf", "gemma3", "qwen3", "opt", "gpt2", "phi3"};
    mm__backend *probe;
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__log log = {0};
    (void)state;
    for (uint32_t i = 0; mm__backend_isa(i); i++) {
        char device[32];
        snprintf(device, sizeof device, "cpu:%s", mm__backend_isa(i));
        if (mm__backend_create(mem, &log, device, 1, NULL, true, &probe, NULL) != MM_OK) continue; /* not this processor's */
        mm__backend_destroy(probe);
        for (size_t k = 0; k < sizeof families / sizeof *families; k++)
            for (int exact = 0; exact < 2; exact++) same_bits(device, exact, families[k]);
    }
    mm__mem_destroy(mem);
}

/* ---- answers ---- */

typedef struct said {
    int32_t ids[400];
    double logprobs[400];
    size_t n, n_text;
    char text[4096], reason[16];
    double drafted, taken, past;
} said;

static void listen(bench *b, said *out)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    memset(out, 0, sizeof *out);
    do {
        if (mm__session_next(b->s, &e, &err) != MM_OK) fail_msg("%s", err.text);
        if (e.kind == MM_EVENT_TEXT) {
            strncat(out->text, e.data, sizeof out->text - 1 - strlen(out->text));
            if (e.id >= 0) out->logprobs[out->n_text++] = e.value;
        }
    } while (e.kind != MM_EVENT_END);
    assert_true(e.n_ids <= 400);
    memcpy(out->ids, e.ids, e.n_ids * sizeof *e.ids);
    out->n = e.n_ids;
    snprintf(out->reason, sizeof out->reason, "%s", e.data);
    assert_int_equal(mm__session_stat(b->s, "draft_tokens", &out->drafted, NULL), MM_OK);
    assert_int_equal(mm__session_stat(b->s, "draft_taken", &out->taken, NULL), MM_OK);
    assert_int_equal(mm__session_stat(b->s, "n_past", &out->past, NULL), MM_OK);
}

static void ask(bench *b, const char *text, bool picture, said *out)
{
    mm__feed in;
    mm_error err = {.size = sizeof err};
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    if (picture) add_picture(&in);
    add_text(&in, text);
    if (mm__session_feed(b->s, &in, &err) != MM_OK) fail_msg("%s", err.text);
    mm__feed_free(&in);
    listen(b, out);
}

static void expect_same(const said *a, const said *b, const char *what)
{
    if (a->n != b->n || memcmp(a->ids, b->ids, a->n * sizeof *a->ids) != 0) fail_msg("%s: other tokens with drafts", what);
    if (a->n_text != b->n_text || memcmp(a->logprobs, b->logprobs, a->n_text * sizeof *a->logprobs) != 0) fail_msg("%s: other scores with drafts", what);
    if (strcmp(a->text, b->text) != 0 || strcmp(a->reason, b->reason) != 0) fail_msg("%s: other text or end with drafts", what);
    if (a->past != b->past) fail_msg("%s: %g positions held with drafts, %g without", what, b->past, a->past);
}

static const char prompt[] = "ab ab ab ab ab ab";
#define LOOPING "llama_quant/model-Q4_K_M.gguf" /* repeats itself behind this prompt */

/* Two turns with and without drafts. Returns how many tokens of drafts were taken. */
static double both(const char *family, bool exact, bool picture, const mm__session_options *o, const char *stop)
{
    said plain[2], drafted[2];
    for (int on = 0; on < 2; on++) {
        bench b;
        bench_open_on(&b, "cpu", exact, family, o);
        if (on) assert_int_equal(mm__session_set(b.s, "lookup", "3", NULL), MM_OK);
        if (stop) assert_int_equal(mm__session_set(b.s, "stop", stop, NULL), MM_OK);
        for (int turn = 0; turn < 2; turn++) ask(&b, prompt, picture && !turn, on ? &drafted[turn] : &plain[turn]);
        bench_close(&b);
    }
    for (int turn = 0; turn < 2; turn++) expect_same(&plain[turn], &drafted[turn], family);
    assert_true(plain[0].drafted == 0 && plain[1].taken == 0);
    return drafted[0].taken + drafted[1].taken;
}

/* Decoders of all kinds, sliding windows, cross-attention to a text and to pictures, pictures in a token's place. */
static void same_answers(void **state)
{
    static const struct { const char *family; bool picture; } models[] = {
        {"llama", false}, {"llama_quant/model-Q4_K_M.gguf", false}, {"gemma3", false}, {"mistral", false}, {"qwen3", false}, {"opt", false},
        {"t5", false}, {"phi3_longrope", false}, {"llava", true}, {"idefics", true}, {"blip2_flan_t5", true}};
    const uint32_t flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS | MM_SESSION_LOGPROBS;
    double taken[3] = {0};
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++)
        for (int exact = 0; exact < 2; exact++) {
            const mm__session_options ways[] = {
                {.max_tokens = 40, .flags = flags, .top_p = 1, .repeat_penalty = 1},
                {.max_tokens = 40, .flags = flags, .top_p = 0.9f, .repeat_penalty = 1, .temperature = 0.3f, .seed = 7},
                {.max_tokens = 40, .flags = flags, .top_p = 1, .repeat_penalty = 1.1f, .temperature = 0.2f, .top_k = 4, .seed = 8}};
            for (size_t k = 0; k < 3; k++) taken[k] += both(models[i].family, exact, models[i].picture, &ways[k], NULL);
        }
    for (size_t k = 0; k < 3; k++)
        if (!(taken[k] > 10)) fail_msg("way %zu of sampling: only %g tokens of drafts were taken", k, taken[k]);
}

/* Every length of an answer, up to a context that is full: drafts never say a token too many. */
static void ends(void **state)
{
    double taken = 0;
    (void)state;
    for (uint32_t most = 1; most <= 24; most++) {
        const mm__session_options o = {.max_tokens = most, .flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, .top_p = 1, .repeat_penalty = 1};
        taken += both(LOOPING, true, false, &o, NULL);
    }
    assert_true(taken > 10);
    for (uint32_t n_ctx = 40; n_ctx < 48; n_ctx++) {
        said plain, drafted;
        for (int on = 0; on < 2; on++) {
            bench b;
            bench_open_on(&b, "cpu", true, LOOPING,
                          &(mm__session_options){.n_ctx = n_ctx, .flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, .top_p = 1, .repeat_penalty = 1});
            if (on) assert_int_equal(mm__session_set(b.s, "lookup", "3", NULL), MM_OK);
            ask(&b, prompt, false, on ? &drafted : &plain);
            bench_close(&b);
        }
        assert_string_equal(plain.reason, "length");
        assert_true(drafted.taken > 0);
        expect_same(&plain, &drafted, "a full context");
    }
}

/* A stop string inside what was drafted. */
static void stops(void **state)
{
    const mm__session_options o = {.max_tokens = 40, .flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, .top_p = 1, .repeat_penalty = 1};
    bench b;
    said whole, cut;
    (void)state;
    bench_open_on(&b, "cpu", true, LOOPING, &o);
    ask(&b, prompt, false, &whole);
    bench_close(&b);
    const size_t len = strlen(whole.text);
    assert_true(len > 12);
    for (size_t at = 4; at + 6 < len; at += 5) {
        char stop[7] = "";
        memcpy(stop, whole.text + at, 6);
        if (!mm__utf8_valid(stop, 6)) continue;
        both(LOOPING, true, false, &o, stop);
    }
    bench_open_on(&b, "cpu", true, LOOPING, &o);
    assert_int_equal(mm__session_set(b.s, "lookup", "3", NULL), MM_OK);
    ask(&b, prompt, false, &cut);
    assert_true(cut.taken > 0);
    bench_close(&b);
}

/* What is behind a draft that was not heard to its end is gone with the answer: cancelled, forgotten, or copied. */
static void left_in_the_middle(void **state)
{
    const mm__session_options o = {.max_tokens = 40, .flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, .top_p = 1, .repeat_penalty = 1};
    said want[2];
    bench b;
    (void)state;
    bench_open_on(&b, "cpu", true, LOOPING, &o);
    for (int turn = 0; turn < 2; turn++) ask(&b, turn ? "cd" : prompt, false, &want[turn]);
    bench_close(&b);
    bool middle = false;
    for (int tokens = 1; tokens < 30; tokens++) {
        mm__feed in;
        mm_event e = {.size = sizeof e};
        said got;
        mm__session *copy;
        bench_open_on(&b, "cpu", true, LOOPING, &o);
        assert_int_equal(mm__session_set(b.s, "lookup", "3", NULL), MM_OK);
        mm__feed_init(&in, &(mm__files){.mem = b.mem});
        add_text(&in, prompt);
        assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
        mm__feed_free(&in);
        for (int i = 0; i < tokens; i++) assert_int_equal(mm__session_next(b.s, &e, NULL), MM_OK);
        middle |= b.s->lookup.taken < b.s->lookup.n;
        if (tokens % 2) {
            mm__session_cancel(b.s);
            assert_int_equal(mm__session_next(b.s, &e, NULL), MM_E_CANCELLED);
        } else {
            mm__session_reset(b.s);
        }
        ask(&b, prompt, false, &got);
        expect_same(&want[0], &got, "after a cancel");
        assert_int_equal(mm__session_fork(b.s, &copy, NULL), MM_OK);
        assert_int_equal(copy->lookup.most, 3);
        mm__session_destroy(b.s);
        b.s = copy;
        ask(&b, "cd", false, &got);
        expect_same(&want[1], &got, "a copy");
        bench_close(&b);
    }
    assert_true(middle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(finds), cmocka_unit_test(grows), cmocka_unit_test(rests), cmocka_unit_test(rows_are_alike),
                                       cmocka_unit_test(same_answers), cmocka_unit_test(ends), cmocka_unit_test(stops),
                                       cmocka_unit_test(left_in_the_middle)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
