/* Token ids are pieces of the timeline as texts and media are: they keep their place, and their history. */
#include "bench.h"

static void add_ids(mm__feed *in, const int32_t *ids, size_t n)
{
    assert_int_equal(mm__feed_add_ids(in, ids, n, NULL), MM_OK);
}

static void expect_ids(const mm__session *s, size_t from, const int32_t *ids, size_t n)
{
    assert_true(from + n <= s->line.n_rows);
    for (size_t i = 0; i < n; i++) assert_int_equal(s->line.rows[from + i].id, ids[i]);
}

/* ids, answer, ids, answer: the second prompt is the first, its answer and the second's ids, and only what is new is
 * computed. */
static void history(void **state)
{
    static const int32_t first[] = {5, 6, 7, 8}, second[] = {9, 10};
    int32_t said[3];
    bench b;
    mm__feed in;
    mm_event end;
    (void)state;
    bench_open(&b, "gpt2", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, 3);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_ids(&in, first, 4);
    answer(&b, &in, &end);
    assert_int_equal(b.s->line.n_rows, 4);
    expect_ids(b.s, 0, first, 4);
    assert_int_equal(end.n_ids, 3);
    memcpy(said, end.ids, sizeof said);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_ids(&in, second, 2);
    answer(&b, &in, NULL);
    assert_int_equal(b.s->line.n_rows, 9);
    expect_ids(b.s, 0, first, 4);
    expect_ids(b.s, 4, said, 3);
    expect_ids(b.s, 7, second, 2);
    assert_int_equal(b.s->prefill_rows, 3); /* the last token of the answer and the new ids */
    bench_close(&b);
}

/* A text, ids, a picture and a text in one input, in that order. */
static void mixed(void **state)
{
    static const int32_t ids[] = {5, 6, 7};
    bench b;
    mm__feed in;
    mm__ids head, tail;
    size_t at = 0;
    (void)state;
    bench_open(&b, "llava", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, 1);
    mm__ids_init(&head, b.mem);
    mm__ids_init(&tail, b.mem);
    assert_int_equal(mm__tokenize(b.a->tokenizer, "Look:", 5, MM__TOKENIZE_AROUND, &head, NULL), MM_OK);
    assert_int_equal(mm__tokenize(b.a->tokenizer, "What is it?", 11, 0, &tail, NULL), MM_OK);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_text(&in, "Look:");
    add_ids(&in, ids, 3);
    add_picture(&in);
    add_ids(&in, ids, 2);
    add_text(&in, "What is it?");
    answer(&b, &in, NULL);
    expect_ids(b.s, at, head.data, head.len);
    expect_ids(b.s, at += head.len, ids, 3);
    const size_t n = media_rows(b.s, &at);
    assert_int_equal(at, head.len + 3);
    assert_int_equal(n, b.a->prompt.rows_per_image);
    expect_ids(b.s, at += n, ids, 2);
    expect_ids(b.s, at += 2, tail.data, tail.len);
    assert_int_equal(b.s->line.n_rows, at + tail.len);
    mm__ids_free(&head);
    mm__ids_free(&tail);
    bench_close(&b);
}

/* Texts before ids: the answer to the text is kept, and the ids come behind it. */
static void after_text(void **state)
{
    static const int32_t ids[] = {5, 6};
    bench b;
    mm__feed in;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, 2);
    say(&b, "The dog");
    const size_t before = b.s->line.n_rows;
    mm__row *rows = mm__calloc(b.mem, before, sizeof *rows);
    memcpy(rows, b.s->line.rows, before * sizeof *rows);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_ids(&in, ids, 2);
    answer(&b, &in, NULL);
    assert_true(b.s->line.n_rows > before + 2);
    for (size_t i = 0; i < before; i++) assert_int_equal(b.s->line.rows[i].id, rows[i].id);
    expect_ids(b.s, b.s->line.n_rows - 2, ids, 2);
    mm__free(b.mem, rows);
    bench_close(&b);
}

/* A feed that fails takes its ids back. */
static void taken_back(void **state)
{
    static const int32_t ids[] = {5, 6, 7};
    bench b;
    mm__feed in;
    mm_event e = {.size = sizeof e};
    (void)state;
    bench_open(&b, "gpt2", MM_SESSION_RAW, 2);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_ids(&in, ids, 3);
    assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
    mm__session_cancel(b.s);
    assert_int_equal(mm__session_next(b.s, &e, NULL), MM_E_CANCELLED);
    answer(&b, &in, NULL);
    assert_int_equal(b.s->line.n_rows, 3);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(history), cmocka_unit_test(mixed), cmocka_unit_test(after_text),
                                       cmocka_unit_test(taken_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
