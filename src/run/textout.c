/* Streaming text: see textout.h. */
#include "textout.h"

#include "../base/error.h"
#include "../base/utf8.h"

#include <string.h>

void mm__textout_init(mm__textout *o, mm__mem *mem, const mm__tokenizer *t, const char *const *stop, size_t n_stop)
{
    *o = (mm__textout){.tokenizer = t, .stop = stop, .n_stop = n_stop};
    mm__buf_init(&o->text, mem);
}

void mm__textout_free(mm__textout *o)
{
    mm__buf_free(&o->text);
    *o = (mm__textout){0};
}

/* Makes characters of what came in, up to one that is not complete yet. */
static void complete(mm__textout *o)
{
    mm__buf repaired;
    const char *fresh = mm__buf_str(&o->text) + o->whole;
    const size_t n = o->text.len - o->whole, done = mm__utf8_complete(fresh, n);
    if (mm__utf8_valid(fresh, done)) {
        o->whole += done;
        return;
    }
    mm__buf_init(&repaired, o->text.mem);
    mm__buf_put_repaired(&repaired, fresh, done);
    const size_t whole = o->whole + repaired.len;
    mm__buf_put(&repaired, fresh + done, n - done);
    o->text.len = o->whole;
    mm__buf_put(&o->text, mm__buf_str(&repaired), repaired.len);
    o->text.failed |= repaired.failed;
    o->whole = whole;
    mm__buf_free(&repaired);
}

/* Cuts the text at the first stop string that begins at or after `sent`. */
static void find_stop(mm__textout *o)
{
    size_t cut = o->text.len;
    for (size_t i = 0; i < o->n_stop; i++) {
        const char *hit = memmem(mm__buf_str(&o->text) + o->sent, o->text.len - o->sent, o->stop[i], strlen(o->stop[i]));
        if (hit && (size_t)(hit - o->text.data) < cut) cut = (size_t)(hit - o->text.data);
    }
    if (cut == o->text.len) return;
    o->text.len = cut;
    o->text.data[cut] = 0;
    o->stopped = true;
}

/* Longest tail of the unsent text that a stop string begins with. */
static size_t held_back(const mm__textout *o)
{
    size_t held = 0;
    for (size_t i = 0; i < o->n_stop; i++) {
        size_t n = strlen(o->stop[i]);
        if (n > o->text.len - o->sent) n = o->text.len - o->sent;
        for (; n > held; n--)
            if (memcmp(o->text.data + o->text.len - n, o->stop[i], n) == 0) held = n;
    }
    return held;
}

mm_status mm__textout_push(mm__textout *o, int32_t id, unsigned flags, size_t *from, size_t *len, mm_error *err)
{
    mm_status st = mm__detokenize_next(o->tokenizer, &o->state, id, flags, &o->text);
    if (st == MM_E_LIMIT) return mm__fail(err, st, "token %d stands for more text than one token may", (int)id);
    if (st == MM_OK) complete(o);
    if (st != MM_OK || o->text.failed) return mm__nomem(err, "the answer's text");
    find_stop(o);
    *from = o->sent;
    *len = 0;
    if (o->text.len == o->sent) return MM_OK;
    const size_t limit = o->stopped ? o->text.len : o->text.len - held_back(o);
    *len = mm__utf8_complete(o->text.data + o->sent, limit - o->sent);
    o->sent += *len;
    return MM_OK;
}

void mm__textout_flush(mm__textout *o, size_t *from, size_t *len)
{
    const size_t whole = mm__utf8_complete(o->text.data ? o->text.data + o->sent : "", o->text.len - o->sent);
    if (o->sent + whole < o->text.len) { /* the answer ended inside a character */
        o->text.len = o->sent + whole;
        mm__buf_puts(&o->text, "\xEF\xBF\xBD");
    }
    *from = o->sent;
    *len = o->text.len - o->sent;
    o->sent = o->text.len;
}
