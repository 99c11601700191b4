/* mm_session: argument checks in front of run/. */
#include "handles.h"

#include <math.h>
#include <string.h>

void mm_session_options_init(mm_session_options *options, size_t size)
{
    mm_session_options d = {.top_p = 1, .repeat_penalty = 1};
    if (!options || size < sizeof options->size) return;
    memset(options, 0, size);
    d.size = (uint32_t)size;
    memcpy(options, &d, size < sizeof d ? size : sizeof d);
}

static mm_status check_options(const mm_session_options *o, mm_error *err)
{
    if (!(o->temperature >= 0) || !isfinite(o->temperature))
        return mm__fail(err, MM_E_ARG, "temperature %g is not a number from 0 up", (double)o->temperature);
    if (!(o->top_p > 0 && o->top_p <= 1)) return mm__fail(err, MM_E_ARG, "top_p %g is outside (0, 1]", (double)o->top_p);
    if (!(o->min_p >= 0 && o->min_p <= 1)) return mm__fail(err, MM_E_ARG, "min_p %g is outside [0, 1]", (double)o->min_p);
    if (!(o->repeat_penalty > 0) || !isfinite(o->repeat_penalty))
        return mm__fail(err, MM_E_ARG, "repeat_penalty %g is not a number above 0", (double)o->repeat_penalty);
    if (o->top_logprobs > 20) return mm__fail(err, MM_E_ARG, "top_logprobs %u is above 20", o->top_logprobs);
    if (o->n_ctx > 1u << 24) return mm__fail(err, MM_E_LIMIT, "n_ctx %u is above 2^24", o->n_ctx);
    return MM_OK;
}

static mm_status make(mm_model *model, const mm_session_options *o, mm_session **out, mm_error *err)
{
    mm__mem *mem = model->engine->mem;
    mm_session *s = mm__zalloc(mem, sizeof *s);
    if (!s) return mm__nomem(err, "a session");
    atomic_init(&s->refs, 1);
    atomic_init(&s->busy, false);
    atomic_fetch_add(&model->refs, 1);
    s->model = model;
    const mm__session_options run = {o->n_ctx, o->max_tokens, o->top_k, o->top_logprobs, o->flags, o->seed,
                                     o->temperature, o->top_p, o->min_p, o->repeat_penalty};
    const mm_status st = mm__session_create(mem, &model->engine->log, model->assembly, &run, &s->run, err);
    if (st != MM_OK) mm_session_release(s);
    else *out = s;
    return st;
}

mm_status mm_session_create(mm_model *model, const mm_session_options *options, mm_session **out, mm_error *err)
{
    mm_session_options o;
    if (out) *out = NULL;
    mm_status st = mm__enter_model(model, out != NULL, "model and out", &err);
    if (st != MM_OK) return st;
    mm_session_options_init(&o, sizeof o);
    if (options) st = mm__options_copy(&o, sizeof o, MM__FIRST_SESSION_OPTIONS, options, "mm_session_options", err);
    if (st == MM_OK) st = check_options(&o, err);
    return mm__leave_model(model, st == MM_OK ? make(model, &o, out, err) : st);
}

void mm_session_release(mm_session *session)
{
    if (!session || mm__foreign(session->model->engine) || atomic_fetch_sub(&session->refs, 1) != 1) return;
    mm_model *model = session->model;
    mm__session_destroy(session->run);
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

/* An event may be larger than this library knows; what it does not know stays as it is. */
static mm_status next(mm_session *s, mm_event *event, mm_error *err)
{
    if (event->size < MM__FIRST_EVENT)
        return mm__fail(err, MM_E_ARG, "mm_event.size is %u; set it to sizeof(mm_event)", event->size);
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
