/* What a session refuses, and when: an answer lasts until its END is taken, and a call that fails leaves no trace. */
#include "bench.h"

#include <math.h>

/* A feed borrows the files it names media by. */
#define feed_init(b, in) mm__feed_init(in, &(mm__files){.mem = (b)->mem})

static mm_status feed_text(bench *b, const char *text)
{
    mm__feed in;
    feed_init(b, &in);
    add_text(&in, text);
    const mm_status st = mm__session_feed(b->s, &in, NULL);
    mm__feed_free(&in);
    return st;
}

/* A text, and a picture behind it, for a model that takes none. */
static mm_status feed_picture(bench *b)
{
    mm__feed in;
    feed_init(b, &in);
    add_text(&in, "b");
    add_picture(&in);
    const mm_status st = mm__session_feed(b->s, &in, NULL);
    mm__feed_free(&in);
    return st;
}

static uint32_t next_kind(bench *b)
{
    mm_event e = {.size = sizeof e};
    assert_int_equal(mm__session_next(b->s, &e, NULL), MM_OK);
    return e.kind;
}

static mm_status nothing(void *user, const void *bytes, size_t n, mm_error *err)
{
    (void)user, (void)bytes, (void)n, (void)err;
    return MM_OK;
}

static void expect_busy(bench *b)
{
    mm__session *copy;
    uint64_t n;
    assert_int_equal(feed_text(b, "too early"), MM_E_STATE);
    assert_int_equal(mm__session_set(b->s, "truncate", "1", NULL), MM_E_STATE);
    assert_int_equal(mm__session_truncate(b->s, 0, NULL), MM_E_STATE);
    assert_int_equal(mm__session_count(b->s, NULL, &n, NULL), MM_E_STATE);
    assert_int_equal(mm__session_fork(b->s, &copy, NULL), MM_E_STATE);
    assert_int_equal(mm__session_save(b->s, nothing, NULL, NULL), MM_E_STATE);
}

/* ---- an answer lasts until its END is taken ---- */

static void after_the_last_text(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 2);
    assert_int_equal(feed_text(&b, "one"), MM_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(next_kind(&b), MM_EVENT_TEXT);
        expect_busy(&b);
    }
    assert_int_equal(next_kind(&b), MM_EVENT_END);
    assert_int_equal(mm__session_set(b.s, "truncate", "1", NULL), MM_OK);
    say(&b, "two");
    assert_int_equal(b.s->line.n_messages, 4);
    bench_close(&b);
}

static void between_vectors(void **state)
{
    bench b;
    mm__feed in;
    (void)state;
    bench_open(&b, "bert", 0, 0);
    feed_init(&b, &in);
    add_text(&in, "one");
    add_text(&in, "two");
    assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
    mm__feed_free(&in);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(next_kind(&b), MM_EVENT_VECTOR);
        expect_busy(&b);
    }
    assert_int_equal(next_kind(&b), MM_EVENT_END);
    assert_int_equal(feed_text(&b, "three"), MM_OK);
    bench_close(&b);
}

static void reset_drops_all(void **state)
{
    bench b;
    mm_event e = {.size = sizeof e};
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 1);
    assert_int_equal(feed_text(&b, "one"), MM_OK);
    assert_int_equal(next_kind(&b), MM_EVENT_TEXT);
    mm__session_reset(b.s);
    assert_int_equal(mm__session_next(b.s, &e, NULL), MM_END);
    assert_int_equal(b.s->line.n_messages, 0);
    say(&b, "two");
    bench_close(&b);
}

/* Options do not change under an answer that is due. */
static void set_while_fed(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 1);
    assert_int_equal(feed_text(&b, "one"), MM_OK);
    assert_int_equal(mm__session_set(b.s, "stop", "x", NULL), MM_E_STATE);
    assert_int_equal(b.s->n_stop, 0);
    bench_close(&b);
}

/* ---- a call that fails leaves no trace ---- */

static void cancel(bench *b)
{
    mm_event e = {.size = sizeof e};
    mm__session_cancel(b->s);
    assert_int_equal(mm__session_next(b->s, &e, NULL), MM_E_CANCELLED);
}

/* What a cancel takes back is the last feed that succeeded. */
static void failed_feed(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 1);
    assert_int_equal(feed_text(&b, "a"), MM_OK);
    assert_int_equal(feed_picture(&b), MM_E_UNSUPPORTED);
    assert_int_equal(b.s->line.n_messages, 1);
    cancel(&b);
    assert_int_equal(b.s->line.n_messages, 0);
    assert_int_equal(feed_text(&b, "a"), MM_OK);
    assert_int_equal(feed_text(&b, "b"), MM_OK);
    cancel(&b);
    assert_int_equal(b.s->line.n_messages, 1);
    bench_close(&b);
}

static void failed_feed_of_an_encoder(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "bert", 0, 0);
    say(&b, "one");
    assert_int_equal(feed_picture(&b), MM_E_UNSUPPORTED);
    assert_int_equal(b.s->line.n_messages, 1);
    assert_string_equal(b.s->line.messages[0].pieces[0].text, "one");
    say(&b, "two");
    assert_int_equal(b.s->line.n_messages, 1);
    assert_string_equal(b.s->line.messages[0].pieces[0].text, "two");
    bench_close(&b);
}

/* The pictures of a new timeline are its own, whatever the old one had. */
static void new_pictures(void **state)
{
    bench b;
    mm__feed in;
    mm_event e = {.size = sizeof e};
    float first[2] = {0};
    (void)state;
    bench_open(&b, "clip", 0, 0);
    assert_int_equal(mm__session_set(b.s, "task", "embed", NULL), MM_OK);
    for (int i = 0; i < 2; i++) {
        feed_init(&b, &in);
        add_picture(&in);
        add_text(&in, "a dog");
        if (i) add_picture(&in);
        assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
        mm__feed_free(&in);
        assert_int_equal(b.s->line.n_messages, 1);
        assert_int_equal(b.s->line.n_media, 1 + i);
        assert_int_equal(b.s->line.messages[0].pieces[0].medium, 0);
        assert_int_equal(b.s->line.fed_messages, 0);
        assert_int_equal(b.s->line.fed_media, 0);
        assert_int_equal(mm__session_next(b.s, &e, NULL), MM_OK);
        assert_int_equal(e.kind, MM_EVENT_VECTOR);
        first[i] = e.values[0];
        while (mm__session_next(b.s, &e, NULL) == MM_OK) {}
    }
    assert_true(first[0] == first[1]);
    bench_close(&b);
}

static void messages_all_or_none(void **state)
{
    static const char json[] = "[{\"role\":\"user\",\"content\":\"hi\"},{\"role\":\"user\",\"content\":7}]";
    bench b;
    mm__feed in;
    (void)state;
    bench_open(&b, "llama", 0, 1);
    feed_init(&b, &in);
    add_text(&in, "before");
    assert_int_equal(mm__feed_add_messages(&in, json, sizeof json - 1, NULL, NULL), MM_E_FORMAT);
    assert_int_equal(in.n, 1);
    mm__feed_free(&in);
    bench_close(&b);
}

/* ---- counting and cutting ---- */

static uint64_t count_of(bench *b, const char *text)
{
    mm__feed in;
    uint64_t n = 0;
    feed_init(b, &in);
    if (text) add_text(&in, text);
    assert_int_equal(mm__session_count(b->s, text ? &in : NULL, &n, NULL), MM_OK);
    mm__feed_free(&in);
    return n;
}

static void counting_keeps_the_marks(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 1);
    assert_int_equal(feed_text(&b, "a"), MM_OK);
    assert_true(count_of(&b, "b") > count_of(&b, NULL));
    cancel(&b);
    assert_int_equal(b.s->line.n_messages, 0);
    bench_close(&b);
}

/* Encoders forget with the next feed, and counting knows. */
static void counting_for_encoders(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "bert", 0, 0);
    const uint64_t one = count_of(&b, "one"), three = count_of(&b, "one two three");
    assert_true(one > 0 && three > one);
    assert_int_equal(feed_text(&b, "one two three"), MM_OK);
    assert_int_equal(count_of(&b, "one"), three + one); /* not answered yet: both will be */
    while (next_kind(&b) != MM_EVENT_END) {}
    assert_int_equal(count_of(&b, NULL), three);
    assert_int_equal(count_of(&b, "one"), one);
    assert_int_equal(feed_text(&b, "one"), MM_OK);
    assert_int_equal(count_of(&b, NULL), one);
    bench_close(&b);
}

static void copies_after_truncate(void **state)
{
    bench b;
    mm__session *copy;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 1);
    say(&b, "one");
    say(&b, "two");
    assert_int_equal(mm__session_truncate(b.s, 1, NULL), MM_OK);
    assert_int_equal(b.s->line.fed_messages, 1);
    assert_int_equal(mm__session_fork(b.s, &copy, NULL), MM_OK);
    mm__session_destroy(copy);
    bench_close(&b);
}

/* ---- what is kept ---- */

/* The cache of an encoder-decoder model is made anew for every answer: a copy has no use for it. */
static void nothing_held(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "t5", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, 4);
    say(&b, "abc");
    assert_true(mm__lm_past(b.s->lm) > 0);
    assert_int_equal(b.s->line.n_held, 0);
    bench_close(&b);
}

/* A token that is the first byte of a character. */
static int32_t half_character(const bench *b)
{
    for (int32_t id = 0; id < (int32_t)mm__tokenizer_size(b->a->tokenizer); id++) {
        mm__buf text;
        mm__buf_init(&text, b->mem);
        assert_int_equal(mm__detokenize(b->a->tokenizer, &id, 1, 0, &text), MM_OK);
        const bool half = text.len == 1 && (uint8_t)text.data[0] >= 0xE0 && (uint8_t)text.data[0] < 0xF0;
        mm__buf_free(&text);
        if (half) return id;
    }
    fail_msg("no token is half a character");
    return -1;
}

static void cut_inside_a_character(void **state)
{
    bench b;
    mm_event e = {.size = sizeof e};
    char ids[16], said[16] = "";
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 1);
    snprintf(ids, sizeof ids, "%d", half_character(&b));
    assert_int_equal(mm__session_set(b.s, "force_ids", ids, NULL), MM_OK);
    assert_int_equal(feed_text(&b, "one"), MM_OK);
    while (mm__session_next(b.s, &e, NULL) == MM_OK && e.kind == MM_EVENT_TEXT) strncat(said, e.data, sizeof said - 1 - strlen(said));
    assert_string_equal(said, "\xEF\xBF\xBD");
    assert_string_equal(b.s->line.messages[1].pieces[0].text, "\xEF\xBF\xBD");
    bench_close(&b);
}

static void penalty_once(void **state)
{
    static const float logits[] = {2.0f, 1.5f, -1.0f};
    static const int32_t history[] = {0, 2, 0, 0};
    const mm__sampler p = {.top_p = 1, .repeat_penalty = 1.2f};
    mm__mem *mem = mm__mem_create(NULL, 0);
    int32_t id = -1;
    (void)state;
    assert_int_equal(mm__sample(mem, &p, logits, 3, history, 4, 0, &id, NULL), MM_OK);
    assert_int_equal(id, 0); /* 2 / 1.2 is above 1.5, 2 / 1.44 is not */
    mm__mem_destroy(mem);
}

/* One logit that is not a number spoils a distribution, wherever it stands; -infinity does not. */
static void not_numbers(void **state)
{
    static const mm__sampler greedy = {.top_p = 1, .repeat_penalty = 1}, drawn = {.temperature = 1, .top_p = 1, .repeat_penalty = 1};
    static const float bad[] = {NAN, INFINITY};
    mm__mem *mem = mm__mem_create(NULL, 0);
    int32_t id = -1;
    (void)state;
    for (int i = 0; i < 2 * 2 * 3; i++) {
        float logits[3] = {1, 2, 0};
        logits[i % 3] = bad[i / 3 % 2];
        assert_int_equal(mm__sample(mem, i < 6 ? &greedy : &drawn, logits, 3, NULL, 0, 0, &id, NULL), MM_E_NUMERIC);
    }
    assert_int_equal(mm__sample(mem, &drawn, (const float[]){-INFINITY, 2, -INFINITY}, 3, NULL, 0, 0, &id, NULL), MM_OK);
    assert_int_equal(id, 1);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_the_last_text),      cmocka_unit_test(between_vectors),       cmocka_unit_test(reset_drops_all),
        cmocka_unit_test(set_while_fed),            cmocka_unit_test(failed_feed),           cmocka_unit_test(failed_feed_of_an_encoder),
        cmocka_unit_test(new_pictures),             cmocka_unit_test(messages_all_or_none),  cmocka_unit_test(counting_keeps_the_marks),
        cmocka_unit_test(counting_for_encoders),    cmocka_unit_test(copies_after_truncate), cmocka_unit_test(nothing_held),
        cmocka_unit_test(cut_inside_a_character),   cmocka_unit_test(penalty_once),          cmocka_unit_test(not_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
