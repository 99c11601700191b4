/* Filling the caller's mm_error.
 *
 * The structure of version 0.1 is the smallest there will ever be (later versions append), so its fields are written
 * whatever `size` says. Text that does not fit is cut between characters. Everything that could disturb a terminal or
 * a log - control bytes, broken UTF-8 from a file - becomes '?'. No state, no allocation: an error can be described
 * when memory is short. */
#include "error.h"
#include "utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Ends the text of `len` bytes that snprintf produced (perhaps more than there was room for). */
static void finish(mm_error *err, int len)
{
    size_t n = len < 0 ? 0 : (size_t)len;
    if (n >= sizeof err->text) n = mm__utf8_complete(err->text, sizeof err->text - 1);
    err->text[n] = 0;
    mm__utf8_printable(err->text, n);
}

static void fill(mm_error *err, mm_status code, int os_code, const char *fmt, va_list ap)
{
    err->code = code;
    err->os_code = os_code;
    finish(err, vsnprintf(err->text, sizeof err->text, fmt, ap));
}

mm_status mm__fail(mm_error *err, mm_status code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        fill(err, code, 0, fmt, ap);
        va_end(ap);
    }
    return code;
}

mm_status mm__fail_code(mm_error *err, mm_status code, int os_code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        fill(err, code, os_code, fmt, ap);
        va_end(ap);
    }
    return code;
}

mm_status mm__fail_os(mm_error *err, mm_status code, int os_code, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        fill(err, code, os_code, fmt, ap);
        va_end(ap);
        char why[128] = "unknown error";
        const char *text = strerror_r(os_code, why, sizeof why); /* the GNU form: returns the text */
        const size_t at = strlen(err->text), room = sizeof err->text - at;
        const int more = snprintf(err->text + at, room, " (error %d: %s)", os_code, text);
        finish(err, more < 0 ? (int)at : (int)at + more);
    }
    return code;
}

mm_status mm__nomem(mm_error *err, const char *what)
{
    return mm__fail(err, MM_E_NOMEM, "out of memory for %s: free memory, or raise the engine's limit \"memory\" or \"session_memory\" where one is set", what);
}

mm_status mm__fail_as(mm_error *err, const mm_error *from)
{
    mm__fail(err, from->code, "%s", from->text);
    if (err) err->os_code = from->os_code;
    return from->code;
}

mm_status mm__fail_prefix(mm_error *err, mm_status code, const char *prefix)
{
    if (err) {
        char text[sizeof err->text];
        memcpy(text, err->text, sizeof text);
        text[sizeof text - 1] = 0;
        finish(err, snprintf(err->text, sizeof err->text, "%s: %s", prefix, text));
    }
    return code;
}
