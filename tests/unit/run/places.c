/* Where pictures stand, and that only pictures stand there: what earlier messages or the rest of a text spell takes no
 * picture's place, in chats, without a template and in raw sessions, with a placeholder token and without. */
#include "bench.h"

/* A message that spells the placeholder and has no picture, then one with a picture. The picture stands in the second, and
 * the first is read as it was written. */
static void later_picture(const char *family, uint32_t flags, bool spelled_out)
{
    bench b;
    mm__feed in;
    mm__buf text;
    size_t first = 0;
    bench_open(&b, family, flags, 1);
    mm__buf_init(&text, b.mem);
    say(&b, "Where does <image> stand?");
    const size_t before = b.s->line.n_rows;
    assert_int_equal(media_rows(b.s, &first), 0);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_text(&in, "Here <image> it is, not <image> there.");
    add_picture(&in);
    answer(&b, &in, NULL);
    const size_t n = media_rows(b.s, &first);
    if (b.a->prompt.media == MM__MEDIA_CROSS) { /* the rows themselves say what they see */
        while (first < b.s->line.n_rows && b.s->line.rows[first].sees < 0) first++;
        assert_true(first < b.s->line.n_rows);
    } else {
        assert_int_equal(n, b.a->prompt.rows_per_image);
        for (size_t i = 0; i < n; i++) assert_int_equal(b.s->line.rows[first + i].media_row, i);
    }
    if (b.a->prompt.media == MM__MEDIA_FIRST) assert_int_equal(first, 0);
    else if (first < before - 2) fail_msg("%s: the picture stands at %zu, the first message ended at about %zu", family, first, before);
    rows_text(&b, 0, b.s->line.n_rows, flags & MM_SESSION_RAW ? MM__TOKENIZE_SPECIAL : 0, &text);
    if (spelled_out && (!strstr(mm__buf_str(&text), "<image> stand?") || !strstr(mm__buf_str(&text), "not <image> there")))
        fail_msg("%s: \"%s\"", family, mm__buf_str(&text));
    mm__buf_free(&text);
    bench_close(&b);
}

static void chats(void **state)
{
    (void)state;
    later_picture("llava", 0, true);
    later_picture("idefics", 0, true);
}

static void no_template(void **state)
{
    (void)state;
    later_picture("minigpt4", 0, false);
    later_picture("blip2_opt", 0, false);
    later_picture("blip2_flan_t5", 0, false);
}

static void raw(void **state)
{
    (void)state;
    later_picture("llava", MM_SESSION_RAW, false);
    later_picture("idefics", MM_SESSION_RAW, false);
    later_picture("minigpt4", MM_SESSION_RAW, false);
    later_picture("blip2_opt", MM_SESSION_RAW, false);
}

/* The mark that the host writes still places its picture, between the words around it. */
static void marked(void **state)
{
    bench b;
    mm__feed in;
    mm__buf text;
    size_t first = 0;
    (void)state;
    bench_open(&b, "idefics", 0, 1);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_text(&in, "left <image> right");
    add_picture(&in);
    answer(&b, &in, NULL);
    while (first < b.s->line.n_rows && b.s->line.rows[first].sees < 0) first++;
    mm__buf_init(&text, b.mem);
    rows_text(&b, 0, first, 0, &text);
    assert_non_null(strstr(mm__buf_str(&text), "left"));
    assert_null(strstr(mm__buf_str(&text), "right"));
    mm__buf_clear(&text);
    rows_text(&b, first, b.s->line.n_rows, 0, &text);
    assert_non_null(strstr(mm__buf_str(&text), "right"));
    assert_int_equal(b.s->line.rows[first].id, b.a->prompt.placeholder_id);
    mm__buf_free(&text);
    bench_close(&b);
}

/* Too long a prompt loses its middle alone, and leaves room for the answer. */
static void shortened(void **state)
{
    bench b;
    mm__feed in;
    mm__buf words;
    mm_error err = {.size = sizeof err};
    (void)state;
    for (uint32_t max = 0; max <= 9; max += 9) {
        bench_open(&b, "llama", 0, 1);
        b.s->opt.n_ctx = 64;
        b.s->opt.max_tokens = max;
        mm__buf_init(&words, b.mem);
        mm__buf_puts(&words, "First ");
        for (int i = 0; i < 300; i++) mm__buf_puts(&words, "and more ");
        mm__buf_puts(&words, "last?");
        mm__feed_init(&in, &(mm__files){.mem = b.mem});
        add_text(&in, mm__buf_str(&words));
        assert_int_equal(mm__session_feed(b.s, &in, &err), MM_OK);
        assert_int_equal(mm__prompt_rows(b.s, &err), MM_E_CONTEXT);
        b.s->truncate = true;
        assert_int_equal(mm__prompt_lay_out(b.s, &err), MM_OK);
        const size_t whole = b.s->line.n_rows;
        mm__row *rows = mm__calloc(b.mem, whole, sizeof *rows);
        memcpy(rows, b.s->line.rows, whole * sizeof *rows);
        assert_int_equal(mm__prompt_rows(b.s, &err), MM_OK);
        const size_t n = b.s->line.n_rows, head = n / 4;
        assert_int_equal(n, 64 - (max ? max : 16));
        for (size_t i = 0; i < n; i++) assert_int_equal(b.s->line.rows[i].id, rows[i < head ? i : whole - n + i].id);
        mm__free(b.mem, rows);
        mm__feed_free(&in);
        mm__buf_free(&words);
        bench_close(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(chats), cmocka_unit_test(no_template), cmocka_unit_test(raw),
                                       cmocka_unit_test(marked), cmocka_unit_test(shortened)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
