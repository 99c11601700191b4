/* Placeholders on this branch only, so that the bindings link: each is replaced by its implementation before the branch is
 * merged. */
#include "../base/error.h"
#include "handles.h"
#define P(...) { return mm__fail(err, MM_E_UNSUPPORTED, "pending"); }
mm_status mm_session_count(mm_session *session, const mm_input *input, uint64_t *positions, mm_error *err) P()
mm_status mm_session_truncate(mm_session *session, uint64_t entries, mm_error *err) P()
mm_status mm_session_fork(mm_session *session, mm_session **out, mm_error *err) P()
mm_status mm_session_save(mm_session *session, mm_write_fn write, void *user, mm_error *err) P()
mm_status mm_session_save_file(mm_session *session, const char *path, mm_error *err) P()
mm_status mm_session_load(mm_model *model, const void *bytes, size_t len, mm_session **out, mm_error *err) P()
mm_status mm_session_load_file(mm_model *model, const char *path, mm_session **out, mm_error *err) P()
