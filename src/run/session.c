/* Life of a session: creation, feeding, which player answers, and cutting back. On a failed answer everything since the last
 * feed is taken back, so the session can be fed again. */
#include "session.h"

#include "../base/error.h"
#include "../base/os/os.h"
#include "../base/stop.h"

#include <math.h>
#include <string.h>

#define DEFAULT_CONTEXT 4096

static bool needs_decoder(unsigned task)
{
    return task == MM__TASK_GENERATE || task == MM__TASK_TRANSCRIBE;
}

static unsigned first_task(const mm__assembly *a)
{
    for (unsigned t = MM__TASK_GENERATE; t <= MM__TASK_TRANSCRIBE; t <<= 1)
        if (a->tasks & t) return t;
    return 0;
}

static mm_status choose_context(mm__session *s, mm_error *err)
{
    const mm__lm_info *info = &s->a->decoder->info;
    if (s->a->speech || !s->opt.n_ctx) {
        const uint32_t most = s->a->speech ? (uint32_t)info->n_ctx : DEFAULT_CONTEXT;
        s->opt.n_ctx = (uint32_t)info->n_ctx < most ? (uint32_t)info->n_ctx : most;
    }
    if (s->opt.n_ctx > (uint32_t)info->n_ctx)
        return mm__fail(err, MM_E_CONTEXT, "a context of %u positions was asked for, the model was made for %d", s->opt.n_ctx, info->n_ctx);
    return MM_OK;
}

mm_status mm__session_open_decoder(mm__session *s, mm_error *err)
{
    if (s->lm || !needs_decoder(s->task)) return MM_OK;
    mm_status st = choose_context(s, err);
    if (st == MM_OK && !s->logits && !(s->logits = mm__calloc(s->mem, (size_t)s->a->decoder->info.n_vocab, sizeof *s->logits)))
        st = mm__nomem(err, "logits");
    return st == MM_OK ? mm__lm_create(s->a, (int32_t)s->opt.n_ctx, s->kv_type, &s->lm, err) : st;
}

mm_status mm__session_keep_in(mm__session *s, mm__dtype t, mm_error *err)
{
    const mm__lm_info *info = &s->a->decoder->info;
    const mm__dtype was = s->kv_type;
    if (t == was) return MM_OK;
    mm_status st = mm__kv_check(t, info->kv, info->n_layer, err);
    if (st == MM_OK && info->cross) st = mm__kv_check(t, info->cross, info->n_layer, err);
    if (st != MM_OK) return st;
    const bool open = s->lm != NULL;
    mm__lm_destroy(s->lm);
    s->lm = NULL;
    s->line.n_held = 0;
    s->kv_type = t;
    if (open && (st = mm__session_open_decoder(s, err)) != MM_OK) {
        s->kv_type = was;
        mm__session_open_decoder(s, NULL); /* should it fail, the next answer tries again */
    }
    return st;
}

static mm_status check_options(const mm__mem *mem, const mm__session_options *o, mm_error *err)
{
    if (!(o->temperature >= 0) || !isfinite(o->temperature))
        return mm__fail(err, MM_E_ARG, "temperature %g is not a number from 0 up", (double)o->temperature);
    if (!(o->top_p > 0 && o->top_p <= 1)) return mm__fail(err, MM_E_ARG, "top_p %g is outside (0, 1]", (double)o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1)) return mm__fail(err, MM_E_ARG, "min_p %g is outside [0, 1]", (double)o->min_p);
    if (!(o->repeat_penalty > 0) || !isfinite(o->repeat_penalty))
        return mm__fail(err, MM_E_ARG, "repeat_penalty %g is not a number above 0", (double)o->repeat_penalty);
    if (o->top_logprobs > 20) return mm__fail(err, MM_E_ARG, "top_logprobs %u is above 20", o->top_logprobs);
    const uint32_t unknown = o->flags & ~(MM_SESSION_RAW | MM_SESSION_IGNORE_EOS | MM_SESSION_LOGPROBS);
    if (unknown) return mm__fail(err, MM_E_UNSUPPORTED, "session flags 0x%x are not known to this library", unknown);
    return mm__limit_check(mem, MM__LIMIT_CONTEXT, o->n_ctx, "n_ctx", err);
}

mm_status mm__session_create(mm__mem *mem, const mm__log *log, mm__assembly *a, const mm__session_options *opt,
                             mm__session **out, mm_error *err)
{
    *out = NULL;
    mm_status st = check_options(mem, opt, err);
    if (st != MM_OK) return st;
    mm__session *s = mm__zalloc(mem, sizeof *s);
    if (!s) return mm__nomem(err, "a session");
    s->mem = mem;
    s->log = *log;
    s->a = a;
    s->opt = *opt;
    s->task = first_task(a);
    s->last_id = -1;
    s->kv_type = mm__kv_default(a->backend);
    s->arena.backend = a->backend;
    atomic_init(&s->cancel, 0);
    mm__queue_init(&s->events, mem);
    mm__ids_init(&s->answer, mem);
    mm__ids_init(&s->forced, mem);
    mm__ids_init(&s->lookup.said, mem);
    st = mm__session_open_decoder(s, err);
    if (st == MM_OK) mm__plan_log(s);
    if (st != MM_OK) mm__session_destroy(s);
    else *out = s;
    return st;
}

void mm__session_use_cache(mm__session *s, mm__media_cache *media)
{
    s->media = media;
}

void mm__session_destroy(mm__session *s)
{
    if (!s) return;
    mm__transcribe_free(s);
    mm__lm_destroy(s->lm);
    mm__conversation_free(s);
    mm__queue_free(&s->events);
    mm__textout_free(&s->out);
    mm__ids_free(&s->answer);
    mm__ids_free(&s->lookup.said);
    mm__keys_free(s);
    s->arena.backend->ops->arena_free(&s->arena);
    mm__free(s->mem, s->logits);
    mm__free(s->mem, s);
}

mm_status mm__session_check_ids(const mm__session *s, const int32_t *ids, size_t n, mm_error *err)
{
    const int32_t n_vocab = s->a->decoder ? s->a->decoder->info.n_vocab : 0;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return mm__fail(err, MM_E_ARG, "token id %d is outside the model's vocabulary of %d", ids[i], n_vocab);
    return MM_OK;
}

/* ---- feed and next ---- */

/* Only a chat looks back; other tasks are done with what they were fed once they have answered. */
static bool starts_anew(const mm__session *s)
{
    return s->state == MM__DONE && s->task != MM__TASK_GENERATE;
}

mm_status mm__session_feed(mm__session *s, const mm__feed *in, mm_error *err)
{
    const size_t n_messages = s->line.n_messages, n_media = s->line.n_media;
    if (mm__session_answering(s))
        return mm__fail(err, MM_E_STATE, "an answer is being given; take its events up to the last, or reset the session, before feeding");
    if (!in->n) return mm__fail(err, MM_E_ARG, "the input is empty; append a text or media before feeding it");
    mm_status st = mm__conversation_add(s, in, err);
    if (st != MM_OK) return st;
    if (starts_anew(s)) mm__conversation_forget(s, n_messages, n_media);
    if (s->state != MM__FED) atomic_store(&s->cancel, 0); /* a cancel of earlier had no answer to end */
    s->state = MM__FED;
    return MM_OK;
}

static mm_status play(mm__session *s, mm_error *err)
{
    const mm_status st = mm__session_open_decoder(s, err);
    if (st != MM_OK) return st;
    if (s->task == MM__TASK_GENERATE) return mm__generate_next(s, err);
    if (s->task == MM__TASK_TRANSCRIBE) return mm__transcribe_next(s, err);
    return mm__vectors_next(s, err);
}

/* The next medium will have the index of one that is gone. */
void mm__session_forget_media(mm__session *s)
{
    const mm__timeline *t = &s->line;
    size_t keep = 0;
    while (keep < t->n_held && t->held[keep].medium < (int32_t)t->n_media && t->held[keep].sees < (int32_t)t->n_media) keep++;
    s->line.n_held = keep;
}

/* Takes the last feed back. */
static void roll_back(mm__session *s)
{
    mm__queue_clear(&s->events);
    mm__transcribe_free(s);
    mm__conversation_rollback(s);
    mm__session_forget_media(s);
}

/* A cancel that finds nothing to stop is over with the call that says so. */
mm_status mm__session_next(mm__session *s, mm_event *out, mm_error *err)
{
    for (;;) {
        const bool waiting = mm__queue_pop(&s->events, out), idle = s->state == MM__IDLE || s->state == MM__DONE;
        if (idle && (!waiting || out->kind == MM_EVENT_END)) atomic_store(&s->cancel, 0);
        if (waiting) return MM_OK;
        if (idle) return MM_END;
        mm_status st = mm__told_to_stop(&s->cancel) ? mm__fail(err, MM_E_CANCELLED, "cancelled by the host") : play(s, err);
        if (st == MM_OK) continue;
        atomic_store(&s->cancel, 0);
        roll_back(s);
        s->state = MM__IDLE;
        return st;
    }
}

void mm__session_cancel(mm__session *s)
{
    atomic_store(&s->cancel, 1);
}

void mm__session_reset(mm__session *s)
{
    atomic_store(&s->cancel, 0);
    s->line.fed_messages = s->line.fed_media = 0;
    roll_back(s);
    s->line.n_held = 0;
    if (s->lm) mm__lm_truncate(s->lm, 0);
    s->state = MM__IDLE;
}

mm_status mm__session_truncate(mm__session *s, uint64_t entries, mm_error *err)
{
    if (mm__session_answering(s) || s->state == MM__FED)
        return mm__fail(err, MM_E_STATE, "an answer is due; take it, or reset the session, before cutting the timeline");
    if (entries > s->line.n_messages)
        return mm__fail(err, MM_E_ARG, "the timeline has %zu entries, fewer than the %llu to keep", s->line.n_messages, (unsigned long long)entries);
    mm__conversation_keep(s, (size_t)entries);
    mm__session_forget_media(s);
    return MM_OK;
}

/* ---- counting ---- */

/* Positions of the texts of tasks whose timeline is no prompt: what the tokenizer makes of each. */
static mm_status count_texts(mm__session *s, size_t first, uint64_t *positions, mm_error *err)
{
    mm_status st = MM_OK;
    mm__ids ids;
    mm__ids_init(&ids, s->mem);
    for (size_t i = first; st == MM_OK && i < s->line.n_messages; i++)
        for (size_t j = 0; st == MM_OK && j < s->line.messages[i].n; j++) {
            const mm__piece *p = &s->line.messages[i].pieces[j];
            if (p->kind == MM__PIECE_TEXT) st = mm__tokenize(s->a->tokenizer, p->text, p->len, MM__TOKENIZE_AROUND, &ids, err);
        }
    *positions = ids.len;
    mm__ids_free(&ids);
    return st;
}

/* Of the messages from `first` on. */
static mm_status count(mm__session *s, size_t first, uint64_t *positions, mm_error *err)
{
    if (s->task == MM__TASK_TRANSCRIBE) return mm__fail(err, MM_E_UNSUPPORTED, "a recording takes no positions of a timeline");
    if (!s->line.n_messages) return MM_OK;
    if (s->task != MM__TASK_GENERATE) return s->a->tokenizer ? count_texts(s, first, positions, err) : MM_OK;
    const mm_status st = mm__prompt_lay_out(s, err);
    *positions = s->line.n_rows;
    return st;
}

mm_status mm__session_count(mm__session *s, const mm__feed *in, uint64_t *positions, mm_error *err)
{
    const size_t fed_messages = s->line.fed_messages, fed_media = s->line.fed_media;
    const size_t first = in && starts_anew(s) ? s->line.n_messages : 0;
    *positions = 0;
    if (mm__session_answering(s))
        return mm__fail(err, MM_E_STATE, "an answer is being given; take its events up to the last before counting");
    mm_status st = in ? mm__conversation_add(s, in, err) : MM_OK;
    if (st == MM_OK) {
        st = count(s, first, positions, err);
        if (in) mm__conversation_rollback(s);
    }
    s->line.fed_messages = fed_messages;
    s->line.fed_media = fed_media;
    return st;
}

/* ---- figures ---- */

mm_status mm__session_stat(const mm__session *s, const char *key, double *out, mm_error *err)
{
    const struct {
        const char *key;
        double value;
    } table[] = {{"encode_ms", s->encode_s * 1e3},
                 {"prefill_ms", s->prefill_s * 1e3},
                 {"decode_ms", s->decode_s * 1e3},
                 {"prefill_tokens", (double)s->prefill_rows},
                 {"decode_tokens", (double)s->n_generated},
                 {"media_cache_hits", (double)s->media_hits},
                 {"draft_tokens", (double)s->lookup.n_drafted},
                 {"draft_taken", (double)s->lookup.n_taken},
                 {"n_past", s->lm ? mm__lm_past(s->lm) : 0},
                 {"n_ctx", s->lm ? mm__lm_context(s->lm) : 0},
                 {"entries", (double)s->line.n_messages},
                 {"kv_bytes", s->lm ? (double)mm__lm_kv_bytes(s->lm) : 0},
                 {"arena_bytes", (double)(s->arena.bytes + (s->lm ? mm__lm_arena_bytes(s->lm) : 0))},
                 {"media_cache_bytes", s->media ? (double)mm__media_cache_counts(s->media).bytes : 0},
                 {"peak_bytes", (double)mm__mem_peak(s->mem)}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].key, key) == 0) {
            *out = table[i].value;
            return MM_OK;
        }
    *out = 0;
    return mm__fail(err, MM_E_KEY, "\"%s\" is no session figure", key);
}

mm_status mm__session_logits(const mm__session *s, const float **logits, size_t *n, mm_error *err)
{
    if (s->task != MM__TASK_GENERATE) return mm__fail(err, MM_E_UNSUPPORTED, "only generating sessions have logits");
    if ((s->state != MM__ANSWERING && s->state != MM__DONE) || !s->n_generated)
        return mm__fail(err, MM_E_STATE, "no token was chosen since the last feed; take an event first");
    *logits = s->logits;
    *n = (size_t)s->a->decoder->info.n_vocab;
    return MM_OK;
}
