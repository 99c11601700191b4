/* A model with other rotary angles for long contexts turns a whole sequence by one kind: whatever its length was reached by
 * (a prompt of several chunks, tokens of an answer, a timeline cut back, a snapshot), the logits are those of one pass. */
#include "bench.h"

#include <math.h>

#define ORIGINAL 32 /* positions of tests/golden/phi3_longrope */

static int32_t id_at(size_t i)
{
    return i ? (int32_t)((7 * (i - 1) * (i - 1) + 3 * (i - 1)) % 380 + 5) : 1;
}

static void feed_ids(bench *b, const int32_t *ids, size_t n, mm_event *end)
{
    mm__feed in;
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    assert_int_equal(mm__feed_add_ids(&in, ids, n, NULL), MM_OK);
    answer(b, &in, end);
}

/* The logits behind the ids, computed at once. */
static void whole(bench *b, const int32_t *ids, size_t n, float *out)
{
    mm__lm *lm;
    mm_error err = {.size = sizeof err};
    const size_t n_vocab = (size_t)b->a->decoder->info.n_vocab;
    float *all = mm__calloc(b->mem, n, n_vocab * sizeof *all);
    assert_non_null(all);
    assert_int_equal(mm__lm_create(b->a, (int32_t)n, mm__kv_default(b->backend), &lm, &err), MM_OK);
    if (mm__lm_logits_from(lm, ids, n, 0, NULL, "", NULL, all, &err) != MM_OK) fail_msg("%s", err.text);
    memcpy(out, all + (n - 1) * n_vocab, n_vocab * sizeof *out);
    mm__lm_destroy(lm);
    mm__free(b->mem, all);
}

/* Furthest distance of the session's logits from those of one pass over prompt and answer. */
static void check(bench *b, const int32_t *ids, size_t n, const char *what)
{
    float want[512];
    whole(b, ids, n, want);
    for (int32_t i = 0; i < b->a->decoder->info.n_vocab; i++)
        if (!(fabsf(want[i] - b->s->logits[i]) < 1e-4f))
            fail_msg("%s, %zu positions: logit %d is %g, in one pass %g", what, n, (int)i, (double)b->s->logits[i], (double)want[i]);
}

/* Prompts around the boundary and answers across it, whose last token needs no computing. */
static void across(void **state)
{
    (void)state;
    for (size_t n = ORIGINAL - 3; n <= ORIGINAL + 2; n++)
        for (uint32_t said = 1; said <= 6; said++) {
            bench b;
            mm_event end;
            int32_t ids[64];
            bench_open(&b, "phi3_longrope", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, said);
            for (size_t i = 0; i < n; i++) ids[i] = id_at(i);
            feed_ids(&b, ids, n, &end);
            assert_int_equal(end.n_ids, said);
            memcpy(ids + n, end.ids, said * sizeof *ids);
            check(&b, ids, n + said - 1, "an answer");
            bench_close(&b);
        }
}

/* transformers 4.57.1 (float32, eager): log-probabilities behind the last position the short angles serve, and the first
 * that they do not. */
static void boundary(void **state)
{
    static const struct { size_t n; int32_t id; double logprob; } recorded[] = {{32, 301, -3.209169387817383}, {33, 185, -2.8336896896362305}};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        bench b;
        mm_event end;
        int32_t ids[64];
        bench_open(&b, "phi3_longrope", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, 1);
        for (size_t i = 0; i < recorded[k].n; i++) ids[i] = id_at(i);
        feed_ids(&b, ids, recorded[k].n, &end);
        const double got = b.s->logits[recorded[k].id] - mm__log_sum_exp(b.s->logits, b.a->decoder->info.n_vocab);
        if (fabs(got - recorded[k].logprob) > 1e-5) fail_msg("%zu positions: %.7f, recorded %.7f", recorded[k].n, got, recorded[k].logprob);
        bench_close(&b);
    }
}

/* A long timeline cut back, copied or loaded, and fed a little: it is short again. */
static mm_status keep(void *user, const void *bytes, size_t n, mm_error *err)
{
    mm__buf_put(user, bytes, n);
    return ((mm__buf *)user)->failed ? mm__nomem(err, "test") : MM_OK;
}

static void cut_back(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        bench b;
        mm__log log = {0};
        mm__buf bytes;
        mm_event end;
        mm__session *other = NULL;
        int32_t ids[64];
        bench_open(&b, "phi3_longrope", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, 1);
        mm__buf_init(&bytes, b.mem);
        for (size_t i = 0; i < 64; i++) ids[i] = id_at(i);
        feed_ids(&b, ids, 40, &end);
        check(&b, ids, 40, "a long prompt");
        assert_int_equal(mm__session_truncate(b.s, 0, NULL), MM_OK);
        b.s->line.n_held = 20;
        if (way == 1) assert_int_equal(mm__session_fork(b.s, &other, NULL), MM_OK);
        if (way == 2) {
            assert_int_equal(mm__session_save(b.s, keep, &bytes, NULL), MM_OK);
            assert_int_equal(mm__session_load(b.mem, &log, b.a, bytes.data, bytes.len, &other, NULL), MM_OK);
        }
        if (other) {
            mm__session_destroy(b.s);
            b.s = other;
        }
        feed_ids(&b, ids, 25, &end);
        check(&b, ids, 25, way == 0 ? "cut back" : way == 1 ? "copied" : "loaded");
        assert_int_equal(b.s->prefill_rows, 25);
        ids[25] = end.ids[0];
        feed_ids(&b, ids + 26, 20, &end);
        check(&b, ids, 46, "long again");
        mm__buf_free(&bytes);
        bench_close(&b);
    }
}

/* A long session that is loaded keeps what it holds. */
static void loaded(void **state)
{
    bench b;
    mm__log log = {0};
    mm__buf bytes;
    mm_event end;
    mm__session *other;
    int32_t ids[64];
    (void)state;
    bench_open(&b, "phi3_longrope", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, 1);
    mm__buf_init(&bytes, b.mem);
    for (size_t i = 0; i < 64; i++) ids[i] = id_at(i);
    feed_ids(&b, ids, 40, &end);
    ids[40] = end.ids[0];
    assert_int_equal(mm__session_save(b.s, keep, &bytes, NULL), MM_OK);
    assert_int_equal(mm__session_load(b.mem, &log, b.a, bytes.data, bytes.len, &other, NULL), MM_OK);
    mm__session_destroy(b.s);
    b.s = other;
    feed_ids(&b, ids + 41, 5, &end);
    check(&b, ids, 46, "loaded");
    assert_int_equal(b.s->prefill_rows, 6);
    mm__buf_free(&bytes);
    bench_close(&b);
}

/* Two chunks of one prompt, the boundary in the second. */
static void chunks(void **state)
{
    bench b;
    float want[512], got[512];
    mm__lm *lm;
    enum { N = 1100 };
    static int32_t ids[N];
    static mm__row rows[N];
    mm_error err = {.size = sizeof err};
    (void)state;
    bench_open(&b, "phi3_longrope", MM_SESSION_RAW, 1);
    b.a->decoder->info.ctx_original = 600;
    for (size_t i = 0; i < N; i++) rows[i] = (mm__row){ids[i] = id_at(i), -1, 0, -1};
    whole(&b, ids, N, want);
    assert_int_equal(mm__lm_create(b.a, N, mm__kv_default(b.backend), &lm, &err), MM_OK);
    assert_int_equal(mm__lm_prefill(lm, rows, N, NULL, NULL, "", NULL, got, &err), MM_OK);
    for (int32_t i = 0; i < b.a->decoder->info.n_vocab; i++)
        if (!(fabsf(want[i] - got[i]) < 1e-4f)) fail_msg("logit %d is %g, in one pass %g", (int)i, (double)got[i], (double)want[i]);
    mm__lm_destroy(lm);
    bench_close(&b);
}

/* A position that has neither a token nor a medium is a mistake of the library, not token 0. */
static void nothing(void **state)
{
    bench b;
    float logits[512];
    mm_error err = {.size = sizeof err};
    const mm__row row = {-1, -1, 0, -1};
    (void)state;
    bench_open(&b, "phi3_longrope", MM_SESSION_RAW, 1);
    assert_int_equal(mm__lm_prefill(b.s->lm, &row, 1, NULL, NULL, "", NULL, logits, &err), MM_E_INTERNAL);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(across),   cmocka_unit_test(boundary), cmocka_unit_test(cut_back),
                                       cmocka_unit_test(loaded),   cmocka_unit_test(chunks),   cmocka_unit_test(nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
