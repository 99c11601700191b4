/* Life of a session: creation, options by key, feeding, and which player answers. On a failed answer everything since the
 * last feed is taken back, so the session can be fed again. */
#include "session.h"

#include "../base/error.h"
#include "../base/os/os.h"

#include <stdlib.h>
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

static mm_status open_decoder(mm__session *s, mm_error *err)
{
    if (s->lm || !needs_decoder(s->task)) return MM_OK;
    mm_status st = choose_context(s, err);
    if (st == MM_OK && !s->logits && !(s->logits = mm__calloc(s->mem, (size_t)s->a->decoder->info.n_vocab, sizeof *s->logits)))
        st = mm__nomem(err, "logits");
    return st == MM_OK ? mm__lm_create(s->a, (int32_t)s->opt.n_ctx, &s->lm, err) : st;
}

mm_status mm__session_create(mm__mem *mem, const mm__log *log, mm__assembly *a, const mm__session_options *opt,
                             mm__session **out, mm_error *err)
{
    *out = NULL;
    mm__session *s = mm__zalloc(mem, sizeof *s);
    if (!s) return mm__nomem(err, "a session");
    s->mem = mem;
    s->log = *log;
    s->a = a;
    s->opt = *opt;
    s->task = first_task(a);
    s->last_id = -1;
    s->arena.backend = a->backend;
    atomic_init(&s->cancel, 0);
    mm__queue_init(&s->events, mem);
    mm__ids_init(&s->answer, mem);
    mm__ids_init(&s->forced, mem);
    mm_status st = open_decoder(s, err);
    if (st == MM_OK) mm__plan_log(s);
    if (st != MM_OK) mm__session_destroy(s);
    else *out = s;
    return st;
}

static void strings_free(mm__mem *mem, char **list, size_t n)
{
    for (size_t i = 0; i < n; i++) mm__free(mem, list[i]);
    mm__free(mem, list);
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
    mm__ids_free(&s->forced);
    strings_free(s->mem, s->stop, s->n_stop);
    strings_free(s->mem, s->watch, s->n_watch);
    s->arena.backend->ops->arena_free(&s->arena);
    mm__free(s->mem, s->decoder_prompt);
    mm__free(s->mem, s->logits);
    mm__free(s->mem, s);
}

/* ---- options by key ---- */

static mm_status add_string(mm__session *s, char ***list, size_t *n, size_t *cap, const char *value, mm_error *err)
{
    if (!value[0]) return mm__fail(err, MM_E_ARG, "an empty string cannot be watched for");
    char *copy = mm__strdup(s->mem, value);
    if (!copy || !mm__grow(s->mem, list, *n, cap, sizeof **list)) {
        mm__free(s->mem, copy);
        return mm__nomem(err, "an option");
    }
    (*list)[(*n)++] = copy;
    return MM_OK;
}

static mm_status set_task(mm__session *s, const char *value, mm_error *err)
{
    static const char *const names[] = {"generate", "embed", "score", "transcribe"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(names[i], value) != 0) continue;
        if (!(s->a->tasks & 1u << i)) return mm__fail(err, MM_E_UNSUPPORTED, "this model cannot %s", value);
        const unsigned was = s->task;
        s->task = 1u << i;
        mm_status st = open_decoder(s, err);
        if (st != MM_OK) s->task = was;
        return st;
    }
    return mm__fail(err, MM_E_ARG, "\"%s\" is no task; use generate, embed, score or transcribe", value);
}

mm_status mm__session_check_ids(const mm__session *s, const int32_t *ids, size_t n, mm_error *err)
{
    const int32_t n_vocab = s->a->decoder ? s->a->decoder->info.n_vocab : 0;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= n_vocab)
            return mm__fail(err, MM_E_ARG, "token id %d is outside the model's vocabulary of %d", ids[i], n_vocab);
    return MM_OK;
}

static mm_status set_ids(mm__session *s, mm__ids *ids, const char *value, mm_error *err)
{
    mm__ids_clear(ids);
    for (const char *p = value; *p;) {
        char *end;
        const long v = strtol(p, &end, 10);
        if (end == p || v < 0 || v > INT32_MAX) return mm__fail(err, MM_E_ARG, "\"%s\" is no list of token ids", value);
        if (!mm__ids_push(ids, (int32_t)v)) return mm__nomem(err, "token ids");
        for (p = end; *p == ' ' || *p == ','; p++) {}
    }
    mm_status st = mm__session_check_ids(s, ids->data, ids->len, err);
    if (st != MM_OK) mm__ids_clear(ids);
    return st;
}

static mm_status set_flag(bool *flag, const char *key, const char *value, mm_error *err)
{
    if (strcmp(value, "0") != 0 && strcmp(value, "1") != 0)
        return mm__fail(err, MM_E_ARG, "\"%s\" takes \"0\" or \"1\", not \"%s\"", key, value);
    *flag = value[0] == '1';
    return MM_OK;
}

static mm_status set_text(mm__session *s, char **field, const char *value, mm_error *err)
{
    char *copy = mm__strdup(s->mem, value);
    if (!copy) return mm__nomem(err, "an option");
    mm__free(s->mem, *field);
    *field = copy;
    return MM_OK;
}

static mm_status set_language(mm__session *s, const char *value, mm_error *err)
{
    const size_t n = strlen(value);
    if (n >= sizeof s->language) return mm__fail(err, MM_E_ARG, "\"%s\" is no language code", value);
    memcpy(s->language, value, n + 1);
    return MM_OK;
}

mm_status mm__session_set(mm__session *s, const char *key, const char *value, mm_error *err)
{
    if (s->state == MM__ANSWERING || s->state == MM__FED)
        return mm__fail(err, MM_E_STATE, "option \"%s\" cannot change while an answer is being given", key);
    bool timestamps = !s->no_timestamps;
    mm_status st = MM_OK;
    if (strcmp(key, "task") == 0) return set_task(s, value, err);
    if (strcmp(key, "stop") == 0) return add_string(s, &s->stop, &s->n_stop, &s->cap_stop, value, err);
    if (strcmp(key, "watch") == 0) return add_string(s, &s->watch, &s->n_watch, &s->cap_watch, value, err);
    if (strcmp(key, "language") == 0) return set_language(s, value, err);
    if (strcmp(key, "translate") == 0) return set_flag(&s->translate, key, value, err);
    if (strcmp(key, "truncate") == 0) return set_flag(&s->truncate, key, value, err);
    if (strcmp(key, "single_pass") == 0) return set_flag(&s->single_pass, key, value, err);
    if (strcmp(key, "history") == 0) return set_flag(&s->use_history, key, value, err);
    if (strcmp(key, "decoder_prompt") == 0) return set_text(s, &s->decoder_prompt, value, err);
    if (strcmp(key, "force_ids") == 0) return set_ids(s, &s->forced, value, err);
    if (strcmp(key, "timestamps") == 0) {
        if ((st = set_flag(&timestamps, key, value, err)) == MM_OK) s->no_timestamps = !timestamps;
        return st;
    }
    return mm__fail(err, MM_E_KEY, "\"%s\" is no session option", key);
}

/* ---- feed and next ---- */

mm_status mm__session_feed(mm__session *s, const mm__feed *in, mm_error *err)
{
    if (s->state == MM__ANSWERING)
        return mm__fail(err, MM_E_STATE, "an answer is being given; take its events, or cancel it, before feeding");
    if (!in->n) return mm__fail(err, MM_E_ARG, "the input is empty");
    /* Only a chat looks back; other tasks are done with what they were fed. */
    if (s->state == MM__DONE && s->task != MM__TASK_GENERATE) mm__conversation_clear(s);
    mm_status st = mm__conversation_add(s, in, err);
    if (st == MM_OK) s->state = MM__FED;
    return st;
}

static mm_status play(mm__session *s, mm_error *err)
{
    if (s->task == MM__TASK_GENERATE) return mm__generate_next(s, err);
    if (s->task == MM__TASK_TRANSCRIBE) return mm__transcribe_next(s, err);
    return mm__vectors_next(s, err);
}

/* Takes the last feed back. What the KV cache holds of its media goes too: the next medium will have the same index. */
static void roll_back(mm__session *s)
{
    mm__queue_clear(&s->events);
    mm__conversation_rollback(s);
    size_t keep = 0;
    while (keep < s->line.n_held && s->line.held[keep].medium < (int32_t)s->line.n_media && s->line.held[keep].sees < (int32_t)s->line.n_media) keep++;
    s->line.n_held = keep;
}

/* A cancel that finds nothing to stop is over with the call that says so. */
mm_status mm__session_next(mm__session *s, mm_event *out, mm_error *err)
{
    for (;;) {
        const bool waiting = mm__queue_pop(&s->events, out), idle = s->state == MM__IDLE || s->state == MM__DONE;
        if (idle && (!waiting || out->kind == MM_EVENT_END)) atomic_store(&s->cancel, 0);
        if (waiting) return MM_OK;
        if (idle) return MM_END;
        mm_status st = atomic_load(&s->cancel) ? mm__fail(err, MM_E_CANCELLED, "cancelled by the host") : play(s, err);
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
                 {"n_past", s->lm ? mm__lm_past(s->lm) : 0},
                 {"kv_bytes", s->lm ? (double)mm__lm_kv_bytes(s->lm) : 0},
                 {"arena_bytes", (double)(s->arena.bytes + (s->lm ? mm__lm_arena_bytes(s->lm) : 0))},
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
