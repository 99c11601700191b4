/* Errors are described once, where most is known. `mm__fail` fills the caller's mm_error (NULL allowed) and returns
 * the code, so a failing function reads `return mm__fail(err, MM_E_FORMAT, "%s: ...", path)`.
 * The text is one sentence without newline; non-printable bytes of file content are replaced by '?'. */
#ifndef MM__BASE_ERROR_H
#define MM__BASE_ERROR_H

#include "../../include/libmm.h"

mm_status mm__fail(mm_error *err, mm_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* As mm__fail, with a number from outside in os_code: what a callback of the host returned, an errno that needs no words. */
mm_status mm__fail_code(mm_error *err, mm_status code, int os_code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* As mm__fail, with errno's number and text appended. */
mm_status mm__fail_os(mm_error *err, mm_status code, int os_code, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* "out of memory" with what was being made. */
mm_status mm__nomem(mm_error *err, const char *what);
/* Hands an error on as it is. Returns its code. */
mm_status mm__fail_as(mm_error *err, const mm_error *from);
/* Prepends "prefix: " to a message already in err; keeps the code. Returns the code. */
mm_status mm__fail_prefix(mm_error *err, mm_status code, const char *prefix);

#endif
