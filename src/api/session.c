/* mm_session: argument checks in front of run/. */
#include "handles.h"

#include <string.h>

void mm_session_options_init(mm_session_options *options, size_t size)
{
    mm_session_options d = {.top_p = 1, .repeat_penalty = 1};
    if (!options || size < sizeof options->size) return;
    memset(options, 0, size);
    d.size = (uint32_t)size;
    memcpy(options, &d, size < sizeof d ? size : sizeof d);
}

mm_status mm__session_begin(mm_model *model, mm_session **out, mm_error *err)
{
    mm__mem *mem = model->engine->mem;
    mm_session *s = mm__zalloc(mem, sizeof *s);
    if (!s) return mm__nomem(err, "a session");
    if (!mm__account_open(mem, mm__limit(mem, MM__LIMIT_SESSION_MEMORY), &s->account)) {
        mm__free(mem, s);
        return mm__nomem(err, "a session");
    }
    atomic_init(&s->refs, 1);
    atomic_init(&s->busy, false);
    atomic_fetch_add(&model->refs, 1);
    s->model = model;
    s->outer = mm__account_enter(s->account);
    *out = s;
    return MM_OK;
}

mm_status mm__session_end(mm_session *s, mm_status st, mm_session **out)
{
    mm__account_enter(s->outer);
    if (st != MM_OK) {
        mm_session_release(s);
        return st;
    }
    mm__session_use_cache(s->run, s->model->media);
    *out = s;
    return MM_OK;
}

static mm_status make(mm_model *model, const mm_session_options *o, mm_session **out, mm_error *err)
{
    mm_session *s;
    const mm__session_options options = {o->n_ctx, o->max_tokens, o->top_k, o->top_logprobs, o->flags, o->seed,
                                         o->temperature, o->top_p, o->min_p, o->repeat_penalty};
    const mm_status st = mm__session_begin(model, &s, err);
    if (st != MM_OK) return st;
    return mm__session_end(s, mm__session_create(model->engine->mem, &model->engine->log, model->assembly, &options, &s->run, err), out);
}

mm_status mm_session_create(mm_model *model, const mm_session_options *options, mm_session **out, mm_error *err)
{
    mm_session_options o;
    if (out) *out = NULL;
    mm_status st = mm__enter_model(model, out != NULL, "model and out", &err);
    if (st != MM_OK) return st;
    mm_session_options_init(&o, sizeof o);
    if (options) st = mm__options_copy(&o, sizeof o, MM__FIRST_SESSION_OPTIONS, options, "mm_session_options", err);
    return mm__leave_model(model, st == MM_OK ? make(model, &o, out, err) : st);
}

void mm_session_release(mm_session *session)
{
    if (!session || mm__foreign(session->model->engine) || atomic_fetch_sub(&session->refs, 1) != 1) return;
    mm_model *model = session->model;
    mm__session_destroy(session->run);
    mm__account_close(session->account);
    mm__free(model->engine->mem, session);
    mm_model_release(model);
}

mm_status mm_session_set(mm_session *session, const char *key, const char *value, mm_error *err)
{
    const mm_status st = mm__enter_session(session, key && value, "session, key and value", &err);
    return st == MM_OK ? mm__leave_session(session, mm__session_set(session->run, key, value, err)) : st;
}

mm_status mm_session_feed(mm_session *session, const mm_input *input, mm_error *err)
{
    const mm_status st = mm__enter_feed(session, input, input != NULL, "session and input", &err);
    return st == MM_OK ? mm__leave_feed(session, input, mm__session_feed(session->run, &input->feed, err)) : st;
}

/* An event may be larger than this library knows; what it does not know becomes zero, the default of every field. */
static mm_status next(mm_session *s, mm_event *event, mm_error *err)
{
    if (event->size < MM__FIRST_EVENT || event->size > MM__MAX_STRUCT)
        return mm__fail(err, MM_E_ARG, "mm_event.size is %u; set it to sizeof(mm_event)", event->size);
    if (event->size > sizeof *event) memset((char *)event + sizeof *event, 0, event->size - sizeof *event);
    return mm__session_next(s->run, event, err);
}

mm_status mm_session_next(mm_session *session, mm_event *event, mm_error *err)
{
    const mm_status st = mm__enter_session(session, event != NULL, "session and event", &err);
    return st == MM_OK ? mm__leave_session(session, next(session, event, err)) : st;
}

void mm_session_cancel(mm_session *session)
{
    if (session) mm__session_cancel(session->run);
}

mm_status mm_session_reset(mm_session *session, mm_error *err)
{
    const mm_status st = mm__enter_session(session, true, "session", &err);
    if (st != MM_OK) return st;
    mm__session_reset(session->run);
    return mm__leave_session(session, MM_OK);
}

mm_status mm_session_stat(const mm_session *session, const char *key, double *out, mm_error *err)
{
    const mm_status st = mm__enter_session(session, key && out, "session, key and out", &err);
    return st == MM_OK ? mm__leave_session(session, mm__session_stat(session->run, key, out, err)) : st;
}

mm_status mm_session_count(mm_session *session, const mm_input *input, uint64_t *positions, mm_error *err)
{
    if (positions) *positions = 0;
    const mm_status st = mm__enter_feed(session, input, positions != NULL, "session and positions", &err);
    if (st != MM_OK) return st;
    return mm__leave_feed(session, input, mm__session_count(session->run, input ? &input->feed : NULL, positions, err));
}

mm_status mm_session_truncate(mm_session *session, uint64_t entries, mm_error *err)
{
    const mm_status st = mm__enter_session(session, true, "session", &err);
    return st == MM_OK ? mm__leave_session(session, mm__session_truncate(session->run, entries, err)) : st;
}

static mm_status fork_session(const mm_session *from, mm_session **out, mm_error *err)
{
    mm_session *s;
    const mm_status st = mm__session_begin(from->model, &s, err);
    return st == MM_OK ? mm__session_end(s, mm__session_fork(from->run, &s->run, err), out) : st;
}

mm_status mm_session_fork(mm_session *session, mm_session **out, mm_error *err)
{
    if (out) *out = NULL;
    const mm_status st = mm__enter_session(session, out != NULL, "session and out", &err);
    return st == MM_OK ? mm__leave_session(session, fork_session(session, out, err)) : st;
}
