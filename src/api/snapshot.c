/* Saving and loading sessions: to and from the host's callbacks, memory and files. */
#include "handles.h"

#include "../base/newfile.h"

/* ---- save ---- */

typedef struct host_writer {
    mm_write_fn write;
    void *user;
} host_writer;

static mm_status to_host(void *user, const void *bytes, size_t n, mm_error *err)
{
    const host_writer *w = user;
    mm__host_enter();
    const int32_t code = w->write(w->user, bytes, n);
    mm__host_leave();
    return code ? mm__fail_code(err, MM_E_CANCELLED, code, "the host stopped the saving with %d", code) : MM_OK;
}

mm_status mm_session_save(mm_session *session, mm_write_fn write, void *user, mm_error *err)
{
    host_writer w = {write, user};
    const mm_status st = mm__enter_session(session, write != NULL, "session and write", &err);
    return st == MM_OK ? mm__leave_session(session, mm__session_save(session->run, to_host, &w, err)) : st;
}

static mm_status to_file(void *user, const void *bytes, size_t n, mm_error *err)
{
    return mm__newfile_write(user, bytes, n, err);
}

static mm_status save_file(const mm_session *s, const char *path, mm_error *err)
{
    mm__newfile file;
    const mm_status st = mm__newfile_open(s->model->engine->mem, path, &file, err);
    return st == MM_OK ? mm__newfile_close(&file, mm__session_save(s->run, to_file, &file, err), err) : st;
}

mm_status mm_session_save_file(mm_session *session, const char *path, mm_error *err)
{
    const mm_status st = mm__enter_session(session, path != NULL, "session and path", &err);
    return st == MM_OK ? mm__leave_session(session, save_file(session, path, err)) : st;
}

/* ---- load ---- */

static mm_status load(mm_model *model, const void *bytes, size_t len, mm_session **out, mm_error *err)
{
    mm_session *s;
    const mm_engine *e = model->engine;
    mm_status st = mm__limit_check(e->mem, MM__LIMIT_SNAPSHOT_BYTES, len, "snapshot", err);
    if (st == MM_OK) st = mm__session_begin(model, &s, err);
    if (st != MM_OK) return st;
    return mm__session_end(s, mm__session_load(e->mem, &e->log, model->assembly, bytes, len, &s->run, err), out);
}

mm_status mm_session_load(mm_model *model, const void *bytes, size_t len, mm_session **out, mm_error *err)
{
    if (out) *out = NULL;
    const mm_status st = mm__enter_model(model, bytes && out, "model, bytes and out", &err);
    return st == MM_OK ? mm__leave_model(model, load(model, bytes, len, out, err)) : st;
}

static mm_status load_file(mm_model *model, const char *path, mm_session **out, mm_error *err)
{
    char *bytes;
    size_t len;
    mm_status st = mm__read_file(&model->engine->files, path, MM__LIMIT_SNAPSHOT_BYTES, &bytes, &len, err);
    if (st != MM_OK) return st;
    st = load(model, bytes, len, out, err);
    mm__free(model->engine->mem, bytes);
    return st < 0 ? mm__fail_prefix(err, st, path) : st;
}

mm_status mm_session_load_file(mm_model *model, const char *path, mm_session **out, mm_error *err)
{
    if (out) *out = NULL;
    const mm_status st = mm__enter_model(model, path && out, "model, path and out", &err);
    return st == MM_OK ? mm__leave_model(model, load_file(model, path, out, err)) : st;
}
