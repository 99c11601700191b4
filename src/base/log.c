/* One line to the host's sink. The line is built on the stack, cut between characters when longer than 1 KiB, and
 * cleaned like an error text, so a file's content can never break the host's log. Thread-safe when the sink is. */
#include "log.h"
#include "host.h"
#include "utf8.h"
#include <stdarg.h>
#include <stdio.h>

void mm__logf(const mm__log *log, int32_t level, const char *area, const char *fmt, ...)
{
    if (!log || !log->fn || level > log->level) return;
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    const int len = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    size_t n = len < 0 ? 0 : (size_t)len;
    if (n >= sizeof line) n = mm__utf8_complete(line, sizeof line - 1);
    line[n] = 0;
    mm__utf8_printable(line, n);
    mm__host_enter();
    log->fn(log->user, level, area, line);
    mm__host_leave();
}
