/* The checks that every exported function begins with; handles.h says in which order. */
#include "handles.h"

#include "../base/os/os.h"

#include <string.h>

/* The caller's error, emptied, also behind what this library knows; NULL when its size is none it can have. */
static mm_error *usable(mm_error *err)
{
    if (!err || err->size < MM__FIRST_ERROR || err->size > MM__MAX_STRUCT) return NULL;
    err->code = MM_OK;
    err->os_code = 0;
    err->text[0] = 0;
    if (err->size > sizeof *err) memset((char *)err + sizeof *err, 0, err->size - sizeof *err);
    return err;
}

mm_status mm__enter_call(mm_error **err)
{
    *err = usable(*err);
    if (mm__host_inside())
        return mm__fail(*err, MM_E_STATE, "this function cannot be called from inside a callback of the host; return from it first");
    return MM_OK;
}

bool mm__foreign(const mm_engine *engine)
{
    return engine->process != mm__os_process();
}

mm_status mm__take(atomic_bool *busy, const char *what, mm_error *err)
{
    if (!atomic_exchange(busy, true)) return MM_OK;
    return mm__fail(err, MM_E_STATE, "another thread is in a call with this %s; it serves one thread at a time", what);
}

mm_status mm__enter_feed(const mm_session *session, const mm_input *input, bool given, const char *names, mm_error **err)
{
    mm_status st = mm__enter_session(session, given, names, err);
    if (st != MM_OK || !input) return st;
    if (input->engine != session->model->engine)
        return mm__leave_session(session, mm__fail(*err, MM_E_ARG, "the input belongs to another engine than the session"));
    st = mm__enter_input(input, true, names, err);
    return st == MM_OK ? MM_OK : mm__leave_session(session, st);
}

mm_status mm__leave_feed(const mm_session *session, const mm_input *input, mm_status st)
{
    if (input) mm__leave_input(input, st);
    return mm__leave_session(session, st);
}
