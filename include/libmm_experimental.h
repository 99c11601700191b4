/* libmm - what is not promised yet.
 *
 * These functions may change or go in any release; their symbols carry the version node LIBMM_EXPERIMENTAL, so a program that
 * needs one that went fails when it is loaded, not when it calls. Conventions and threads are those of libmm.h. */
#ifndef LIBMM_EXPERIMENTAL_H
#define LIBMM_EXPERIMENTAL_H

#include "libmm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The scores that the latest text event was chosen from, for sampling of one's own: *n numbers, one for each id of the
 * vocabulary, before temperature, penalties and softmax. *logits is borrowed until the next call on the session.
 * MM_E_STATE: no token was chosen since the last feed; MM_E_UNSUPPORTED: the session's task does not generate text.
 * [handle] since 0.1 */
MM_API mm_status mm_x_session_logits(const mm_session *session, const float **logits, size_t *n, mm_error *err);

#ifdef __cplusplus
}
#endif

#endif
