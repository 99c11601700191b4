/* libmm_experimental.h. */
#include "../../include/libmm_experimental.h"

#include "handles.h"

mm_status mm_x_session_logits(const mm_session *session, const float **logits, size_t *n, mm_error *err)
{
    if (logits) *logits = NULL;
    if (n) *n = 0;
    const mm_status st = mm__enter_session(session, logits && n, "session, logits and n", &err);
    return st == MM_OK ? mm__leave_session(session, mm__session_logits(session->run, logits, n, err)) : st;
}
