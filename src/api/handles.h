/* The public handles, and how every exported function begins and ends.
 *
 * A child holds a reference on its parent; the last release destroys. A function that takes a handle reads
 *
 *     mm_status st = mm__enter_session(session, key && value, "session, key and value", &err);
 *     return st == MM_OK ? mm__leave_session(session, <the work>) : st;
 *
 * so that all check the same things in the same order: (1) the caller's error is usable, and emptied; (2) the call does not
 * come from inside a callback of the host; (3) no argument is NULL that must not be; (4) the handle belongs to this process;
 * (5) nobody else is in a handle that serves one thread at a time. While a call runs it holds a reference, so a release from
 * another thread, or from a callback, takes effect when the call is over. */
#ifndef MM__API_HANDLES_H
#define MM__API_HANDLES_H

#include "../backend/backend.h"
#include "../base/error.h"
#include "../base/host.h"
#include "../base/io.h"
#include "../base/limits.h"
#include "../base/log.h"
#include "../run/run.h"
#include <stdatomic.h>

struct mm_engine {
    atomic_int refs;
    int64_t process;          /* that made it */
    mm__mem *mem;
    mm__files files;
    mm__log log;
    mm__backend *backend;
    _Atomic uint64_t media_cache_bytes; /* most that a model's media cache may hold */
};

struct mm_model {
    atomic_int refs;
    mm_engine *engine;
    mm__assembly *assembly;
    mm__media_cache *media;   /* of all its sessions */
};

struct mm_session {
    atomic_int refs;
    atomic_bool busy;
    mm_model *model;
    mm__session *run;
    mm__account *account;     /* of the limit "session_memory"; NULL: none */
    mm__account *outer;       /* the thread's account outside the call that runs */
};

struct mm_input {
    atomic_int refs;
    atomic_bool busy;
    mm_engine *engine;
    mm__feed feed;
};

/* ---- entry.c ---- */

/* Steps 1 and 2. */
mm_status mm__enter_call(mm_error **err);
/* Whether this process is a fork of the one that made the engine. */
bool mm__foreign(const mm_engine *engine);
/* Step 5. */
mm_status mm__take(atomic_bool *busy, const char *what, mm_error *err);

/* Steps 1 to 3, for functions without a handle. Inline, so that an analyser of one file sees what cannot be NULL after it. */
static inline mm_status mm__enter(bool given, const char *names, mm_error **err)
{
    const mm_status st = mm__enter_call(err);
    if (st != MM_OK) return st;
    return given ? MM_OK : mm__fail(*err, MM_E_ARG, "%s must not be NULL", names);
}

/* Steps 1 to 4; what is given includes the engine. */
static inline mm_status mm__enter_process(const mm_engine *engine, bool given, const char *names, mm_error **err)
{
    const mm_status st = mm__enter(engine && given, names, err);
    if (st != MM_OK || !mm__foreign(engine)) return st;
    return mm__fail(*err, MM_E_STATE, "the handle was made before fork(); make an engine of its own in the child process");
}

static inline mm_status mm__enter_engine(const mm_engine *engine, bool given, const char *names, mm_error **err)
{
    const mm_status st = mm__enter_process(engine, given, names, err);
    if (st == MM_OK) atomic_fetch_add(&((mm_engine *)engine)->refs, 1);
    return st;
}

static inline mm_status mm__leave_engine(const mm_engine *engine, mm_status st)
{
    mm_engine_release((mm_engine *)engine);
    return st;
}

static inline mm_status mm__enter_model(const mm_model *model, bool given, const char *names, mm_error **err)
{
    const mm_status st = mm__enter_process(model ? model->engine : NULL, given, names, err);
    if (st == MM_OK) atomic_fetch_add(&((mm_model *)model)->refs, 1);
    return st;
}

static inline mm_status mm__leave_model(const mm_model *model, mm_status st)
{
    mm_model_release((mm_model *)model);
    return st;
}

static inline mm_status mm__enter_input(const mm_input *input, bool given, const char *names, mm_error **err)
{
    mm_input *in = (mm_input *)input;
    mm_status st = mm__enter_process(in ? in->engine : NULL, given, names, err);
    if (st == MM_OK) st = mm__take(&in->busy, "input", *err);
    if (st == MM_OK) atomic_fetch_add(&in->refs, 1);
    return st;
}

static inline mm_status mm__leave_input(const mm_input *input, mm_status st)
{
    mm_input *in = (mm_input *)input;
    atomic_store(&in->busy, false);
    mm_input_release(in);
    return st;
}

static inline mm_status mm__enter_session(const mm_session *session, bool given, const char *names, mm_error **err)
{
    mm_session *s = (mm_session *)session;
    mm_status st = mm__enter_process(s ? s->model->engine : NULL, given, names, err);
    if (st == MM_OK) st = mm__take(&s->busy, "session", *err);
    if (st != MM_OK) return st;
    atomic_fetch_add(&s->refs, 1);
    s->outer = mm__account_enter(s->account);
    return MM_OK;
}

static inline mm_status mm__leave_session(const mm_session *session, mm_status st)
{
    mm_session *s = (mm_session *)session;
    mm__account_enter(s->outer);
    atomic_store(&s->busy, false);
    mm_session_release(s);
    return st;
}

/* A session and an input that it reads; `input` may be NULL. */
mm_status mm__enter_feed(const mm_session *session, const mm_input *input, bool given, const char *names, mm_error **err);
mm_status mm__leave_feed(const mm_session *session, const mm_input *input, mm_status st);

/* ---- session.c ---- */

/* Making a session: a handle without its `run`, and this thread on its account; then, with the status of making `run`, the
 * thread back on the account before, and the handle in *out or gone. */
mm_status mm__session_begin(mm_model *model, mm_session **s, mm_error *err);
mm_status mm__session_end(mm_session *s, mm_status st, mm_session **out);

/* ---- options.c ---- */

/* Bytes of a struct up to and including a member: what it measured in the release whose last member that was. */
#define MM__THROUGH(type, member) (offsetof(type, member) + sizeof((type *)0)->member)
/* Of any release; more is a size that was never set. */
#define MM__MAX_STRUCT 4096u
/* Of the first release: the least a caller's struct measures. */
#define MM__FIRST_ERROR MM__THROUGH(mm_error, text)
#define MM__FIRST_EVENT MM__THROUGH(mm_event, prompt_tokens)
#define MM__FIRST_ALLOCATOR MM__THROUGH(mm_allocator, release)
#define MM__FIRST_FILES MM__THROUGH(mm_files, list)
#define MM__FIRST_EXECUTOR MM__THROUGH(mm_executor, run)
#define MM__FIRST_ENGINE_OPTIONS MM__THROUGH(mm_engine_options, executor)
#define MM__FIRST_MODEL_OPTIONS MM__THROUGH(mm_model_options, n_bytes)
#define MM__FIRST_SESSION_OPTIONS MM__THROUGH(mm_session_options, flags)
#define MM__FIRST_IMAGE MM__THROUGH(mm_image, pixels)
#define MM__FIRST_AUDIO MM__THROUGH(mm_audio, samples)

/* Copies a caller's size-first struct over defaults: `known` bytes at most; a larger struct must be zero behind them. */
mm_status mm__options_copy(void *dst, size_t known, size_t first_release, const void *src, const char *what, mm_error *err);
/* A field that is kept for later releases. */
mm_status mm__check_reserved(uint32_t reserved, const char *what, mm_error *err);
/* The (buf, cap, need) convention. */
mm_status mm__give_text(const char *text, size_t len, char *buf, size_t cap, size_t *need, mm_error *err);
/* The same for what a buffer holds, which is freed. `st` is how the writing went. */
mm_status mm__give_buf(mm__buf *b, mm_status st, char *buf, size_t cap, size_t *need, mm_error *err);

#endif
