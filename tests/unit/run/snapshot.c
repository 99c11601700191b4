/* Copies of a session go on as the original would: forked, cut back, saved and loaded; and no bytes that claim to be a
 * snapshot do harm. */
#include "bench.h"

#include "../../../src/run/record.h"

typedef struct blob {
    mm__mem *mem;
    mm__buf bytes;
    size_t refuse_at;         /* calls until the writer refuses; 0: never */
} blob;

static mm_status keep(void *user, const void *bytes, size_t n, mm_error *err)
{
    blob *b = user;
    if (b->refuse_at && --b->refuse_at == 0) return mm__fail(err, MM_E_CANCELLED, "enough");
    mm__buf_put(&b->bytes, bytes, n);
    return b->bytes.failed ? mm__nomem(err, "test") : MM_OK;
}

static void save(const bench *b, blob *out)
{
    mm_error err = {.size = sizeof err};
    *out = (blob){.mem = b->mem};
    mm__buf_init(&out->bytes, b->mem);
    if (mm__session_save(b->s, keep, out, &err) != MM_OK) fail_msg("%s", err.text);
}

static mm_status load(const bench *b, const void *bytes, size_t len, mm__session **out, mm_error *err)
{
    mm__log log = {0};
    return mm__session_load(b->mem, &log, b->a, bytes, len, out, err);
}

/* What the session says next, as ids; also how much of the prompt it had to compute. */
static void continue_with(bench *b, mm__session *s, const char *text, mm__ids *out, size_t *computed)
{
    mm__session *was = b->s;
    mm__feed in;
    mm_event end;
    b->s = s;
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    add_text(&in, text);
    answer(b, &in, &end);
    mm__ids_init(out, b->mem);
    assert_true(mm__ids_append(out, end.ids, end.n_ids));
    *computed = s->prefill_rows;
    b->s = was;
}

/* same_cache: the copy's holds what the original's does. */
static void same_answer(bench *b, mm__session *copy, const char *text, bool same_cache)
{
    mm__ids one, two;
    size_t first, second;
    continue_with(b, b->s, text, &one, &first);
    continue_with(b, copy, text, &two, &second);
    assert_int_equal(one.len, two.len);
    assert_memory_equal(one.data, two.data, one.len * sizeof *one.data);
    if (same_cache) assert_int_equal(first, second);
    mm__ids_free(&one);
    mm__ids_free(&two);
}

static void talk(bench *b, bool picture)
{
    mm__feed in;
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    if (picture) add_picture(&in);
    add_text(&in, "What is it?");
    answer(b, &in, NULL);
}

static const struct family {
    const char *name;
    uint32_t flags;
    bool picture;
} families[] = {{"llama", MM_SESSION_IGNORE_EOS, false},      {"gpt2", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, false},
                {"gemma3", MM_SESSION_IGNORE_EOS, false},     {"t5", MM_SESSION_RAW | MM_SESSION_IGNORE_EOS, false},
                {"llava", MM_SESSION_IGNORE_EOS, true},       {"blip2_opt", MM_SESSION_IGNORE_EOS, true},
                {"idefics", MM_SESSION_IGNORE_EOS, true}};

#define EACH_FAMILY(f) for (const struct family *f = families; f < families + sizeof families / sizeof *families; f++)

static void forks(void **state)
{
    (void)state;
    EACH_FAMILY(f) {
        bench b;
        mm__session *copy;
        bench_open(&b, f->name, f->flags, 4);
        talk(&b, f->picture);
        assert_int_equal(mm__session_fork(b.s, &copy, NULL), MM_OK);
        same_answer(&b, copy, "And now?", true);
        mm__session_destroy(copy);
        bench_close(&b);
    }
}

static void loads(void **state)
{
    (void)state;
    EACH_FAMILY(f) {
        bench b;
        blob saved;
        mm__session *copy;
        mm_error err = {.size = sizeof err};
        bench_open(&b, f->name, f->flags, 4);
        assert_int_equal(mm__session_set(b.s, "stop", "\nnever\n", NULL), MM_OK);
        talk(&b, f->picture);
        save(&b, &saved);
        if (load(&b, saved.bytes.data, saved.bytes.len, &copy, &err) != MM_OK) fail_msg("%s: %s", f->name, err.text);
        assert_int_equal(copy->n_stop, 1);
        assert_memory_equal(&copy->opt, &b.s->opt, sizeof copy->opt);
        same_answer(&b, copy, "And now?", true);
        mm__session_destroy(copy);
        mm__buf_free(&saved.bytes);
        bench_close(&b);
    }
}

/* A model may say a NUL byte; what it said is kept like any other text, in a fork and in a snapshot. */
static void keeps_a_nul(void **state)
{
    bench b;
    blob saved;
    mm__session *copies[2];
    mm_error err = {.size = sizeof err};
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 4);
    talk(&b, false);
    mm__piece *said = &b.s->line.messages[1].pieces[0];
    assert_true(said->len > 2);
    said->text[1] = 0;
    save(&b, &saved);
    if (load(&b, saved.bytes.data, saved.bytes.len, &copies[0], &err) != MM_OK) fail_msg("%s", err.text);
    if (mm__session_fork(b.s, &copies[1], &err) != MM_OK) fail_msg("%s", err.text);
    for (int i = 0; i < 2; i++) {
        const mm__piece *copy = &copies[i]->line.messages[1].pieces[0];
        assert_int_equal(copy->len, said->len);
        assert_memory_equal(copy->text, said->text, said->len + 1);
        mm__session_destroy(copies[i]);
    }
    mm__buf_free(&saved.bytes);
    bench_close(&b);
}

/* A session that was fed and not yet asked answers the same from its copy. */
static void forks_before_the_answer(void **state)
{
    bench b;
    mm__feed in;
    mm__session *copy, *was;
    mm_event e = {.size = sizeof e};
    int32_t ids[2][4];
    (void)state;
    bench_open(&b, "llava", MM_SESSION_IGNORE_EOS, 4);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_picture(&in);
    add_text(&in, "What is it?");
    assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
    mm__feed_free(&in);
    assert_int_equal(mm__session_fork(b.s, &copy, NULL), MM_OK);
    was = b.s;
    for (int k = 0; k < 2; k++) {
        b.s = k ? copy : was;
        do assert_int_equal(mm__session_next(b.s, &e, NULL), MM_OK);
        while (e.kind != MM_EVENT_END);
        assert_int_equal(e.n_ids, 4);
        memcpy(ids[k], e.ids, sizeof ids[k]);
    }
    assert_memory_equal(ids[0], ids[1], sizeof ids[0]);
    b.s = was;
    mm__session_destroy(copy);
    bench_close(&b);
}

static void refuses_in_an_answer(void **state)
{
    bench b;
    mm__feed in;
    mm__session *copy;
    mm_event e = {.size = sizeof e};
    blob saved = {0};
    uint64_t n;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 4);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_text(&in, "one");
    assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
    assert_int_equal(mm__session_truncate(b.s, 0, NULL), MM_E_STATE); /* an answer is due */
    assert_int_equal(mm__session_next(b.s, &e, NULL), MM_OK);
    assert_int_equal(mm__session_fork(b.s, &copy, NULL), MM_E_STATE);
    assert_int_equal(mm__session_save(b.s, keep, &saved, NULL), MM_E_STATE);
    assert_int_equal(mm__session_count(b.s, &in, &n, NULL), MM_E_STATE);
    mm__feed_free(&in);
    bench_close(&b);
}

/* Cut back to the first turn, a session answers the second as one that never went further, and keeps what it computed. */
static void truncates(void **state)
{
    (void)state;
    EACH_FAMILY(f) {
        bench b;
        mm__session *short_one;
        bench_open(&b, f->name, f->flags, 4);
        talk(&b, f->picture);
        assert_int_equal(mm__session_fork(b.s, &short_one, NULL), MM_OK);
        talk(&b, f->picture);
        assert_int_equal(b.s->line.n_messages, 4);
        assert_int_equal(mm__session_truncate(b.s, 5, NULL), MM_E_ARG);
        assert_int_equal(mm__session_truncate(b.s, 2, NULL), MM_OK);
        assert_int_equal(b.s->line.n_media, f->picture ? 1 : 0);
        same_answer(&b, short_one, "And now?", false);
        assert_int_equal(mm__session_truncate(b.s, 0, NULL), MM_OK);
        assert_int_equal(b.s->line.n_messages, 0);
        mm__session_destroy(short_one);
        bench_close(&b);
    }
}

/* Counting says what feeding will take, and leaves no trace. */
static void counts(void **state)
{
    (void)state;
    EACH_FAMILY(f) {
        bench b;
        mm__feed in;
        uint64_t before, with, again;
        bench_open(&b, f->name, f->flags, 2);
        assert_int_equal(mm__session_count(b.s, NULL, &before, NULL), MM_OK);
        assert_int_equal(before, 0);
        for (int turn = 0; turn < 2; turn++) {
            mm__feed_init(&in, &(mm__files){.mem = b.mem});
            if (f->picture) add_picture(&in);
            add_text(&in, "What is it?");
            assert_int_equal(mm__session_count(b.s, &in, &with, NULL), MM_OK);
            assert_int_equal(mm__session_count(b.s, &in, &again, NULL), MM_OK);
            assert_int_equal(with, again);
            answer(&b, &in, NULL);
            assert_int_equal(b.s->prompt_rows, with);
        }
        bench_close(&b);
    }
}

/* ---- foreign bytes ---- */

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static void expect_refused(const bench *b, const void *bytes, size_t len)
{
    mm__session *s;
    mm_error err = {.size = sizeof err};
    const mm_status st = load(b, bytes, len, &s, &err);
    assert_true(st == MM_E_FORMAT || st == MM_E_UNSUPPORTED || st == MM_E_LIMIT);
    assert_null(s);
    assert_true(err.text[0] != 0);
}

static void damaged(void **state)
{
    bench b;
    blob saved;
    uint64_t x = 88172645463325252u;
    (void)state;
    bench_open(&b, "llava", MM_SESSION_IGNORE_EOS, 2);
    talk(&b, true);
    save(&b, &saved);
    const size_t n = saved.bytes.len;
    char *copy = mm__alloc(b.mem, n + 1);
    for (size_t cut = 0; cut < n; cut += 1 + cut / 16) expect_refused(&b, saved.bytes.data, cut);
    for (int i = 0; i < 300; i++) {
        const size_t at = i < 96 ? (size_t)i : next_random(&x) % n; /* the header byte by byte */
        memcpy(copy, saved.bytes.data, n);
        copy[at] ^= (char)(1 << next_random(&x) % 8);
        expect_refused(&b, copy, n);
    }
    memcpy(copy, saved.bytes.data, n);
    copy[n] = 0;
    expect_refused(&b, copy, n + 1);
    mm__free(b.mem, copy);
    mm__buf_free(&saved.bytes);
    bench_close(&b);
}

/* What a liar with a good checksum writes: the record itself, damaged. It is refused, or makes a session that works. */
static void lying_records(void **state)
{
    bench b;
    mm__buf record;
    mm__log log = {0};
    uint64_t x = 362436069362436069u;
    int made = 0;
    (void)state;
    bench_open(&b, "llava", MM_SESSION_IGNORE_EOS, 2);
    talk(&b, true);
    mm__buf_init(&record, b.mem);
    assert_int_equal(mm__record_write(b.s, &record, NULL), MM_OK);
    const size_t n = record.len;
    for (int i = 0; i < 3000; i++) {
        mm__session *s;
        mm_error err = {.size = sizeof err};
        const size_t at = next_random(&x) % (i % 2 ? n : 600 < n ? 600 : n);
        const unsigned char was = (unsigned char)record.data[at];
        record.data[at] = (char)(i % 3 == 0 ? 0xff : i % 3 == 1 ? was ^ 1u << next_random(&x) % 8 : 0);
        const mm_status st = mm__record_read(b.mem, &log, b.a, record.data, i % 5 ? n : at, &s, &err);
        if (st == MM_OK) {
            mm__ids ids;
            size_t computed;
            s->line.n_held = 0; /* its cache was not filled in */
            made++;
            if (s->state != MM__FED && s->opt.n_ctx > 200 && !s->opt.flags) { /* tests/unit/api/snapshot.c plays the others */
                s->opt.max_tokens = 1;
                continue_with(&b, s, "And now?", &ids, &computed);
                mm__ids_free(&ids);
            }
            mm__session_destroy(s);
        } else {
            assert_true(err.text[0] != 0);
        }
        record.data[at] = (char)was;
    }
    assert_true(made > 10); /* pixels and numbers may be anything */
    mm__buf_free(&record);
    bench_close(&b);
}

/* More positions than the context has, media and rows that are not there: refused, whatever the cache would hold. */
static void impossible_positions(void **state)
{
    static const mm__row bad[] = {{-2, -1, 0, -1}, {1 << 30, -1, 0, -1}, {1, 1, 0, -1}, {1, 0, 1 << 20, -1}, {1, 0, -1, -1}, {1, -1, 0, 1}};
    bench b;
    mm__buf record;
    mm__session *s;
    mm__log log = {0};
    (void)state;
    bench_open(&b, "llava", MM_SESSION_IGNORE_EOS, 2);
    talk(&b, true);
    mm__buf_init(&record, b.mem);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const mm__row was = b.s->line.held[3];
        b.s->line.held[3] = bad[i];
        mm__buf_clear(&record);
        assert_int_equal(mm__record_write(b.s, &record, NULL), MM_OK);
        assert_int_equal(mm__record_read(b.mem, &log, b.a, record.data, record.len, &s, NULL), MM_E_FORMAT);
        b.s->line.held[3] = was;
    }
    while (b.s->line.n_held <= b.s->opt.n_ctx) {
        assert_true(mm__grow(b.mem, &b.s->line.held, b.s->line.n_held, &b.s->line.cap_held, sizeof *b.s->line.held));
        b.s->line.held[b.s->line.n_held++] = (mm__row){1, -1, 0, -1};
    }
    mm__buf_clear(&record);
    assert_int_equal(mm__record_write(b.s, &record, NULL), MM_OK);
    assert_int_equal(mm__record_read(b.mem, &log, b.a, record.data, record.len, &s, NULL), MM_E_FORMAT);
    mm__buf_free(&record);
    bench_close(&b);
}

static void stopped(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 2);
    talk(&b, false);
    for (size_t at = 1; at < 3; at++) {
        blob saved = {.mem = b.mem, .refuse_at = at};
        mm__buf_init(&saved.bytes, b.mem);
        assert_int_equal(mm__session_save(b.s, keep, &saved, NULL), MM_E_CANCELLED);
        mm__buf_free(&saved.bytes);
    }
    bench_close(&b);
}

static void another_model(void **state)
{
    bench b, other;
    blob saved;
    mm__session *s;
    (void)state;
    bench_open(&b, "llama", 0, 2);
    bench_open(&other, "gemma3", 0, 2);
    talk(&b, false);
    save(&b, &saved);
    assert_int_equal(load(&other, saved.bytes.data, saved.bytes.len, &s, NULL), MM_E_UNSUPPORTED);
    assert_null(s);
    mm__buf_free(&saved.bytes);
    bench_close(&other);
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forks),     cmocka_unit_test(loads), cmocka_unit_test(keeps_a_nul),         cmocka_unit_test(forks_before_the_answer),
        cmocka_unit_test(counts),    cmocka_unit_test(truncates),     cmocka_unit_test(refuses_in_an_answer),
        cmocka_unit_test(damaged),   cmocka_unit_test(lying_records), cmocka_unit_test(impossible_positions), cmocka_unit_test(stopped),
        cmocka_unit_test(another_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
