/* The type that keys and values are kept in: what it saves, what it costs, and that copies keep it. */
#include "bench.h"

#include "../../../src/nn/kvcache.h"

#include <math.h>
#include <stdlib.h>

#define EIGHTS "llama_quant/model-Q8_0.gguf" /* heads of 64 */
#define FLAGS (MM_SESSION_RAW | MM_SESSION_IGNORE_EOS)

static const char story[] = "The little dog sees the red ball and runs after it. The cat sits on the mat and looks at the dog. ";

static double figure(const bench *b, const char *key)
{
    double v;
    assert_int_equal(mm__session_stat(b->s, key, &v, NULL), MM_OK);
    return v;
}

static void set_type(bench *b, const char *type)
{
    mm_error err = {.size = sizeof err};
    if (mm__session_set(b->s, "kv_type", type, &err) != MM_OK) fail_msg("%s", err.text);
}

/* The scores behind the story, in *out, which the caller frees. */
static size_t scores(bench *b, float **out)
{
    const float *x;
    size_t n;
    say(b, story);
    assert_int_equal(mm__session_logits(b->s, &x, &n, NULL), MM_OK);
    assert_non_null(*out = malloc(n * sizeof **out));
    memcpy(*out, x, n * sizeof **out);
    return n;
}

/* Squared difference over squared signal around its mean. */
static double distance(const float *want, const float *got, size_t n)
{
    double mean = 0, wrong = 0, all = 0;
    for (size_t i = 0; i < n; i++) mean += want[i] / (double)n;
    for (size_t i = 0; i < n; i++) {
        wrong += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        all += (want[i] - mean) * (want[i] - mean);
    }
    return wrong / all;
}

static void types_cost_what_they_hold(void **state)
{
    static const struct { const char *type; double bytes, most; } types[] = {{"f32", 4, 0}, {"f16", 2, 1e-6}, {"q8_0", 34.0 / 32, 3e-4}};
    float *exact = NULL, *got;
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        bench b;
        bench_open(&b, EIGHTS, FLAGS, 1);
        set_type(&b, types[i].type);
        const mm__lm_info *info = &b.a->decoder->info;
        const double numbers = figure(&b, "n_ctx") * 2 * info->n_layer * info->kv[0].n_head_kv * info->kv[0].head_dim;
        assert_int_equal(info->kv[0].head_dim % 32, 0);
        assert_true(figure(&b, "kv_bytes") == numbers * types[i].bytes);
        const size_t n = scores(&b, &got);
        if (!exact) exact = got;
        else {
            const double d = distance(exact, got, n);
            printf("# %s: %.3g\n", types[i].type, d);
            if (!(d > 0 && d <= types[i].most)) fail_msg("%s: scores differ by %.3g", types[i].type, d);
            free(got);
        }
        bench_close(&b);
    }
    free(exact);
}

/* Between two answers what was held is computed again, and the answer is that of a session that always had the type. */
static void changes_between_answers(void **state)
{
    bench a, b;
    float *x, *y;
    (void)state;
    bench_open(&a, EIGHTS, FLAGS, 4);
    bench_open(&b, EIGHTS, FLAGS, 4);
    set_type(&a, "q8_0");
    for (int turn = 0; turn < 2; turn++) {
        if (turn) set_type(&b, "q8_0");
        const size_t n = scores(&a, &x);
        scores(&b, &y);
        if (turn) {
            assert_true(b.s->prefill_rows > a.s->prefill_rows);
            if (!(distance(x, y, n) <= 1e-9)) fail_msg("scores differ by %.3g", distance(x, y, n));
        }
        free(x);
        free(y);
    }
    set_type(&b, "q8_0"); /* which it has: what is held stays */
    assert_true(b.s->line.n_held > 0);
    bench_close(&a);
    bench_close(&b);
}

static mm_status keep(void *user, const void *bytes, size_t n, mm_error *err)
{
    mm__buf_put(user, bytes, n);
    return MM_OK;
}

static void copies_keep_it(void **state)
{
    bench b;
    mm__buf saved;
    mm__log log = {0};
    mm__session *copies[3];
    mm_error err = {.size = sizeof err};
    float *want = NULL, *got;
    (void)state;
    bench_open(&b, EIGHTS, FLAGS, 4);
    set_type(&b, "q8_0");
    say(&b, story);
    mm__buf_init(&saved, b.mem);
    if (mm__session_fork(b.s, &copies[0], &err) != MM_OK) fail_msg("%s", err.text);
    if (mm__session_save(b.s, keep, &saved, &err) != MM_OK) fail_msg("%s", err.text);
    if (mm__session_load(b.mem, &log, b.a, saved.data, saved.len, &copies[1], &err) != MM_OK) fail_msg("%s", err.text);
    copies[2] = b.s;
    size_t computed = 0;
    for (int i = 0; i < 3; i++) {
        b.s = copies[i];
        assert_true(b.s->kv_type == MM__Q8_0);
        const size_t n = scores(&b, &got);
        if (i) {
            assert_int_equal(b.s->prefill_rows, computed);
            assert_memory_equal(want, got, n * sizeof *got);
            free(got);
        } else {
            want = got;
            computed = b.s->prefill_rows;
        }
    }
    assert_true(computed < b.s->prompt_rows);
    for (int i = 0; i < 2; i++) mm__session_destroy(copies[i]);
    free(want);
    mm__buf_free(&saved);
    bench_close(&b);
}

static void is_refused(void **state)
{
    static const struct { const char *family, *type, *why; mm_status status; } cases[] = {
        {EIGHTS, "q4_0", "f32, f16 or q8_0", MM_E_ARG},
        {EIGHTS, "", "f32, f16 or q8_0", MM_E_ARG},
        {"llama", "q8_0", "blocks of 32 numbers, and this model's have 8", MM_E_UNSUPPORTED},
        {"bert", "f16", "keeps no cache", MM_E_UNSUPPORTED},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bench b;
        mm_error err = {.size = sizeof err};
        bench_open(&b, cases[i].family, FLAGS, 4);
        const mm__dtype was = b.s->kv_type;
        assert_int_equal(mm__session_set(b.s, "kv_type", cases[i].type, &err), cases[i].status);
        if (!strstr(err.text, cases[i].why)) fail_msg("%s", err.text);
        assert_true(b.s->kv_type == was);
        if (b.a->decoder) say(&b, "The dog"); /* goes on as it was */
        bench_close(&b);
    }
}

static void plans_know_it(void **state)
{
    bench b;
    mm__plan p;
    (void)state;
    bench_open(&b, EIGHTS, FLAGS, 4);
    set_type(&b, "q8_0");
    assert_int_equal(mm__session_plan(b.a, (uint32_t)figure(&b, "n_ctx"), MM__Q8_0, &p, NULL), MM_OK);
    assert_true((double)p.kv == figure(&b, "kv_bytes"));
    bench_close(&b);
    bench_open(&b, "llama", FLAGS, 4);
    assert_int_equal(mm__session_plan(b.a, 0, MM__Q8_0, &p, NULL), MM_E_UNSUPPORTED);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_cost_what_they_hold), cmocka_unit_test(changes_between_answers), cmocka_unit_test(copies_keep_it),
        cmocka_unit_test(is_refused),                cmocka_unit_test(plans_know_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
