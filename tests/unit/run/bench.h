/* Shared by the tests of this room: a reference model, a session on it, feeding and answering, and the rows it laid out. */
#ifndef TESTS_RUN_BENCH_H
#define TESTS_RUN_BENCH_H

#include "../../../src/base/error.h"
#include "../../../src/run/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/"
#define PICTURE GOLDEN "_inputs/small.png"

typedef struct bench {
    mm__mem *mem;
    mm__backend *backend;
    mm__assembly *a;
    mm__session *s;
} bench;

static inline void bench_open_on(bench *b, const char *device, bool exact, const char *family, const mm__session_options *o)
{
    char path[256];
    mm__log log = {0};
    mm_error err = {.size = sizeof err};
    snprintf(path, sizeof path, GOLDEN "%s", family);
    b->mem = mm__mem_create(NULL, 0);
    if (mm__backend_create(b->mem, &log, device, 1, NULL, exact, &b->backend, &err) != MM_OK) fail_msg("%s: %s", device, err.text);
    if (mm__assembly_load(&(mm__files){.mem = b->mem}, b->backend, path, NULL, NULL, &b->a, &err) != MM_OK) fail_msg("%s: %s", family, err.text);
    if (mm__session_create(b->mem, &log, b->a, o, &b->s, &err) != MM_OK) fail_msg("%s: %s", family, err.text);
}

static inline void bench_open(bench *b, const char *family, uint32_t flags, uint32_t max_tokens)
{
    bench_open_on(b, "cpu", true, family,
                  &(mm__session_options){.max_tokens = max_tokens, .flags = flags, .top_p = 1, .repeat_penalty = 1});
}

static inline void bench_close(bench *b)
{
    mm__session_destroy(b->s);
    mm__assembly_destroy(b->a);
    mm__backend_destroy(b->backend);
    mm__mem_destroy(b->mem);
}

static inline void add_text(mm__feed *in, const char *text)
{
    assert_int_equal(mm__feed_add_text(in, MM__ITEM_TEXT, text, strlen(text), NULL), MM_OK);
}

static inline void add_picture(mm__feed *in)
{
    assert_int_equal(mm__feed_add_file(in, MM__ITEM_IMAGE, PICTURE, NULL), MM_OK);
}

/* Feeds, frees the feed, takes the whole answer. `last`: the END event, whose ids stay valid until the next feed; NULL: not
 * wanted. */
static inline void answer(bench *b, mm__feed *in, mm_event *last)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    if (mm__session_feed(b->s, in, &err) != MM_OK) fail_msg("%s", err.text);
    mm__feed_free(in);
    do {
        if (mm__session_next(b->s, &e, &err) != MM_OK) fail_msg("%s", err.text);
    } while (e.kind != MM_EVENT_END);
    if (last) *last = e;
}

/* Feeds one text and takes the answer. */
static inline void say(bench *b, const char *text)
{
    mm__feed in;
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    add_text(&in, text);
    answer(b, &in, NULL);
}

/* Rows of media, and the first of them. */
static inline size_t media_rows(const mm__session *s, size_t *first)
{
    size_t n = 0;
    for (size_t i = s->line.n_rows; i-- > 0;)
        if (s->line.rows[i].medium >= 0) {
            *first = i;
            n++;
        }
    return n;
}

/* Rows [from, to) that are no media, as text; special tokens are left out, or spelled. */
static inline void rows_text(const bench *b, size_t from, size_t to, unsigned flags, mm__buf *out)
{
    mm__detok state = {0};
    for (size_t i = from; i < to; i++)
        if (b->s->line.rows[i].medium < 0)
            assert_int_equal(mm__detokenize_next(b->a->tokenizer, &state, b->s->line.rows[i].id, flags, out), MM_OK);
}

#endif
