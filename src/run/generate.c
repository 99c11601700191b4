/* Playing a language model: lay out, encode media, prefill what the cache does not hold, then one token a call. */
#include "session.h"

#include "../base/error.h"
#include "../base/os/os.h"

#include <string.h>

/* ---- the prompt ---- */

static bool same_row(const mm__row *a, const mm__row *b)
{
    return a->id == b->id && a->medium == b->medium && a->media_row == b->media_row && a->sees == b->sees;
}

/* Rows of the new prompt that the cache already holds; at least one row is always computed, for its logits. Watched stages
 * want the whole prompt. */
static size_t common_prefix(const mm__session *s)
{
    size_t n = 0;
    if (s->n_watch) return 0;
    while (n + 1 < s->line.n_rows && n < s->line.n_held && same_row(&s->line.rows[n], &s->line.held[n])) n++;
    return n;
}

static mm_status hold(mm__session *s, const mm__row *rows, size_t n, mm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!mm__grow(s->mem, &s->line.held, s->line.n_held, &s->line.cap_held, sizeof *s->line.held)) return mm__nomem(err, "a timeline");
        s->line.held[s->line.n_held++] = rows[i];
    }
    return MM_OK;
}

/* Encoded media by index; spans of each when they are cross-attended. */
static mm_status collect_media(mm__session *s, mm__lm_media *out, mm_error *err)
{
    const bool cross = s->a->prompt.media == MM__MEDIA_CROSS;
    *out = (mm__lm_media){.n = s->line.n_media};
    if (!s->line.n_media) return MM_OK;
    out->data = mm__calloc(s->mem, s->line.n_media, sizeof *out->data);
    if (cross) out->spans = mm__calloc(s->mem, s->line.n_media, sizeof *out->spans);
    if (!out->data || (cross && !out->spans)) return mm__nomem(err, "media");
    int32_t first = 0;
    for (size_t i = 0; i < s->line.n_media; i++) {
        mm_status st = mm__media_encode(s, (int32_t)i, err);
        if (st != MM_OK) return st;
        out->data[i] = s->line.media[i].rows;
        if (!cross) continue;
        out->spans[i][0] = first;
        out->spans[i][1] = s->line.media[i].n_rows;
        first += s->line.media[i].n_rows;
    }
    return MM_OK;
}

/* All media in one block, as the memory cross-attention reads. */
static mm_status write_cross(mm__session *s, mm_error *err)
{
    size_t rows = 0, at = 0;
    const size_t width = (size_t)s->a->decoder->info.cross_width;
    for (size_t i = 0; i < s->line.n_media; i++) rows += (size_t)s->line.media[i].n_rows;
    float *all = mm__calloc(s->mem, rows, width * sizeof *all);
    if (!all) return mm__nomem(err, "media");
    for (size_t i = 0; i < s->line.n_media; i++) {
        memcpy(all + at * width, s->line.media[i].rows, (size_t)s->line.media[i].n_rows * width * sizeof *all);
        at += (size_t)s->line.media[i].n_rows;
    }
    mm_status st = mm__lm_cross(s->lm, all, (int32_t)rows, &s->cancel, err);
    mm__free(s->mem, all);
    return st;
}

static mm_status prefill_decoder_only(mm__session *s, const mm__lm_media *media, mm_error *err)
{
    mm__lm_watch w;
    if (s->a->decoder->info.cross) {
        mm_status st = write_cross(s, err);
        if (st != MM_OK) return st;
    }
    size_t keep = common_prefix(s);
    mm__lm_truncate(s->lm, (int32_t)keep);
    if (mm__lm_must_restart(s->lm, s->line.n_rows - keep)) mm__lm_truncate(s->lm, (int32_t)(keep = 0));
    s->line.n_held = keep;
    s->prefill_rows = s->line.n_rows - keep;
    mm_status st = mm__lm_prefill(s->lm, s->line.rows + keep, s->line.n_rows - keep, media, mm__watch_lm(s, &w), "", &s->cancel, s->logits, err);
    return st == MM_OK ? hold(s, s->line.rows + keep, s->line.n_rows - keep, err) : st;
}

/* The decoder of an encoder-decoder model starts with its start token and whatever text the host wants first. */
static mm_status prefill_with_memory(mm__session *s, const mm__lm_media *media, mm_error *err)
{
    mm__ids ids;
    mm__lm_watch w;
    mm__ids_init(&ids, s->mem);
    mm__lm_truncate(s->lm, 0);
    s->line.n_held = 0;
    s->prefill_rows = s->line.n_rows;
    mm_status st = mm__memory_encode(s, media, err);
    if (st == MM_OK && !mm__ids_push(&ids, s->a->decoder->info.start_id)) st = mm__nomem(err, "token ids");
    if (st == MM_OK && s->decoder_prompt)
        st = mm__tokenize(s->a->tokenizer, s->decoder_prompt, strlen(s->decoder_prompt), 0, &ids, err);
    mm__row *rows = st == MM_OK ? mm__calloc(s->mem, ids.len, sizeof *rows) : NULL;
    if (st == MM_OK && !rows) st = mm__nomem(err, "token ids");
    for (size_t i = 0; st == MM_OK && i < ids.len; i++) rows[i] = (mm__row){ids.data[i], -1, 0, -1};
    if (st == MM_OK)
        st = mm__lm_prefill(s->lm, rows, ids.len, NULL, mm__watch_lm(s, &w), "decoder", &s->cancel, s->logits, err);
    mm__free(s->mem, rows);
    mm__ids_free(&ids);
    return st;
}

/* What drafts are looked for in begins with the prompt. */
static mm_status begin_lookup(mm__session *s, mm_error *err)
{
    mm__lookup_begin(&s->lookup);
    for (size_t i = 0; s->lookup.most && i < s->line.n_rows; i++)
        if (!mm__ids_push(&s->lookup.said, s->line.rows[i].id)) return mm__nomem(err, "token ids");
    return MM_OK;
}

static mm_status start(mm__session *s, mm_error *err)
{
    mm__lm_media media;
    s->encode_s = s->prefill_s = s->decode_s = 0;
    s->media_hits = 0;
    mm_status st = mm__prompt_rows(s, err);
    if (st == MM_OK) st = collect_media(s, &media, err);
    else media = (mm__lm_media){0};
    const double t = mm__os_now();
    if (st == MM_OK) st = s->a->memory ? prefill_with_memory(s, &media, err) : prefill_decoder_only(s, &media, err);
    s->prefill_s = mm__os_now() - t;
    s->prompt_rows = s->line.n_rows;
    if (st == MM_OK) st = begin_lookup(s, err);
    mm__free(s->mem, media.data);
    mm__free(s->mem, media.spans);
    if (st != MM_OK) return st;
    mm__textout_free(&s->out);
    mm__textout_init(&s->out, s->mem, s->a->tokenizer, (const char *const *)s->stop, s->n_stop);
    mm__ids_clear(&s->answer);
    s->last_id = -1;
    s->n_generated = 0;
    s->state = MM__ANSWERING;
    return MM_OK;
}

/* ---- the answer ---- */

static bool is_eos(const mm__session *s, int32_t id)
{
    if (s->opt.flags & MM_SESSION_IGNORE_EOS) return false;
    for (int i = 0; i < s->a->n_eos; i++)
        if (s->a->eos[i] == id) return true;
    return false;
}

static mm_status finish(mm__session *s, const char *reason, mm_error *err)
{
    size_t from, len;
    mm__textout_flush(&s->out, &from, &len);
    if (s->out.text.failed) return mm__nomem(err, "the answer's text");
    if (len && !mm__queue_push(&s->events, MM_EVENT_TEXT, s->out.text.data + from, len)) return mm__nomem(err, "an event");
    mm__event *e = mm__queue_push(&s->events, MM_EVENT_END, reason, strlen(reason));
    if (!mm__event_ids(&s->events, e, s->answer.data, s->answer.len)) return mm__nomem(err, "an event");
    e->pub.prompt_tokens = (uint32_t)s->prompt_rows;
    s->state = MM__DONE;
    return mm__conversation_answer(s, err);
}

static mm_status choose(mm__session *s, int32_t *id, mm_error *err)
{
    if (s->n_generated < s->forced.len) {
        *id = s->forced.data[s->n_generated];
        return MM_OK;
    }
    const mm__sampler p = {s->opt.temperature, s->opt.top_p, s->opt.min_p, s->opt.repeat_penalty, s->opt.top_k, s->opt.seed};
    return mm__sample(s->mem, &p, s->logits, s->a->decoder->info.n_vocab, s->answer.data, s->answer.len, s->n_generated, id, err);
}

static mm_status report(mm__session *s, int32_t id, mm_error *err)
{
    mm_logprob top[20];
    size_t from, len, n_top = 0;
    const bool special = (s->opt.flags & MM_SESSION_RAW) != 0 && mm__tokenizer_is_special(s->a->tokenizer, id);
    mm_status st = mm__textout_push(&s->out, id, special ? MM__TOKENIZE_SPECIAL : 0, &from, &len, err);
    if (st != MM_OK) return st;
    mm__event *e = mm__queue_push(&s->events, MM_EVENT_TEXT, s->out.text.data ? s->out.text.data + from : "", len);
    if (!e) return mm__nomem(err, "an event");
    e->pub.id = id;
    if (!(s->opt.flags & MM_SESSION_LOGPROBS) && !s->opt.top_logprobs) return MM_OK;
    const int32_t n = s->a->decoder->info.n_vocab;
    const double lse = mm__log_sum_exp(s->logits, n);
    e->pub.value = s->logits[id] - lse;
    n_top = mm__top_logprobs(s->logits, n, lse, top, s->opt.top_logprobs);
    return mm__event_top(&s->events, e, top, n_top) ? MM_OK : mm__nomem(err, "an event");
}

/* Computes all that is held, whose last row is new, once more. */
static mm_status recompute(mm__session *s, mm_error *err)
{
    mm__lm_media media;
    mm_status st = collect_media(s, &media, err);
    mm__lm_truncate(s->lm, 0);
    if (st == MM_OK) st = mm__lm_prefill(s->lm, s->line.held, s->line.n_held, &media, NULL, "", &s->cancel, s->logits, err);
    s->line.n_held = (size_t)mm__lm_past(s->lm);
    mm__free(s->mem, media.data);
    mm__free(s->mem, media.spans);
    return st;
}

/* Tokens that may be tried behind the one that is due: with one of the model's own choice, no more than the answer may have. */
static size_t room_for_draft(const mm__session *s)
{
    const size_t most = (size_t)mm__lm_can_try(s->lm) - 1;
    if (!s->opt.max_tokens) return most;
    const size_t left = s->opt.max_tokens - s->n_generated - 1;
    return most < left ? most : left;
}

/* The scores behind the last token: known where a draft had it, else computed, with what a draft says behind it. */
static mm_status step(mm__session *s, mm_error *err)
{
    mm__lookup *l = &s->lookup;
    int32_t ids[MM__LM_STEP] = {s->last_id};
    if (!l->most) return mm__lm_step(s->lm, s->last_id, &s->cancel, s->logits, err);
    if (!mm__ids_push(&l->said, s->last_id)) return mm__nomem(err, "token ids");
    if (mm__lookup_hits(l, s->last_id)) return mm__lm_take(s->lm, s->logits, err);
    mm__lookup_draft(l, room_for_draft(s));
    memcpy(ids + 1, l->draft, l->n * sizeof *ids);
    return mm__lm_try(s->lm, ids, 1 + (int32_t)l->n, &s->cancel, s->logits, err);
}

static mm_status advance(mm__session *s, mm_error *err)
{
    if (s->last_id < 0) return MM_OK;
    const double t = mm__os_now();
    const int32_t sees = s->line.n_held ? s->line.held[s->line.n_held - 1].sees : -1;
    const mm__row row = {s->last_id, -1, 0, sees};
    mm_status st;
    if (!s->a->memory && mm__lm_must_restart(s->lm, 1)) {
        if ((st = hold(s, &row, 1, err)) == MM_OK) st = recompute(s, err);
    } else {
        st = step(s, err);
        if (st == MM_OK && !s->a->memory) st = hold(s, &row, 1, err);
    }
    s->last_id = -1;
    s->decode_s += mm__os_now() - t;
    return st;
}

mm_status mm__generate_next(mm__session *s, mm_error *err)
{
    mm_status st = MM_OK;
    int32_t id;
    if (s->state == MM__FED) {
        st = start(s, err);
        if (st != MM_OK || s->events.first != s->events.n) return st; /* watched stages come first */
    }
    if ((st = advance(s, err)) != MM_OK) return st;
    if ((st = choose(s, &id, err)) != MM_OK) return st;
    if (!mm__ids_push(&s->answer, id)) return mm__nomem(err, "token ids");
    s->n_generated++;
    if (is_eos(s, id)) return finish(s, "stop", err);
    if ((st = report(s, id, err)) != MM_OK) return st;
    if (s->out.stopped) return finish(s, "stop", err);
    const bool full = mm__lm_past(s->lm) >= mm__lm_context(s->lm);
    if (full || (s->opt.max_tokens && s->n_generated >= s->opt.max_tokens)) return finish(s, "length", err);
    s->last_id = id;
    return MM_OK;
}
