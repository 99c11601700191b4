/* The growing byte buffer. Data lie in one block that doubles; `cap` counts usable bytes, one more is kept for the
 * terminating NUL. After a failure `data` still holds what was there before, and every later call does nothing. */
#include "buf.h"
#include "ckd.h"
#include "utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void mm__buf_init(mm__buf *b, mm__mem *mem)
{
    *b = (mm__buf){.mem = mem};
}

void mm__buf_free(mm__buf *b)
{
    mm__free(b->mem, b->data);
    mm__buf_init(b, b->mem);
}

void mm__buf_clear(mm__buf *b)
{
    b->len = 0;
    b->failed = b->over_limit = false;
    if (b->data) b->data[0] = 0;
}

/* Room for n more bytes and the NUL. */
static bool reserve(mm__buf *b, size_t n)
{
    size_t need, bytes;
    if (b->failed) return false;
    b->failed = true;
    if (!mm__ckd_add(b->len, n, &need)) return false;
    if (b->limit && need > b->limit) {
        b->over_limit = true;
        return false;
    }
    if (!b->data || need > b->cap) {
        size_t cap = b->cap > SIZE_MAX / 2 ? need : b->cap * 2;
        if (cap < need) cap = need;
        if (cap < 63) cap = 63;
        if (!mm__ckd_add(cap, 1, &bytes)) return false;
        char *data = mm__realloc(b->mem, b->data, bytes);
        if (!data) return false;
        b->data = data;
        b->cap = cap;
        b->data[b->len] = 0;
    }
    b->failed = false;
    return true;
}

void mm__buf_put(mm__buf *b, const void *p, size_t n)
{
    if (n == 0 || !reserve(b, n)) return;
    memcpy(b->data + b->len, p, n);
    b->len += n;
    b->data[b->len] = 0;
}

void mm__buf_puts(mm__buf *b, const char *s)
{
    mm__buf_put(b, s, strlen(s));
}

void mm__buf_put_repaired(mm__buf *b, const char *s, size_t n)
{
    size_t from = 0;
    for (size_t i = 0, step; i < n; i += step) {
        uint32_t cp;
        bool valid;
        step = mm__utf8_decode(s + i, n - i, &cp, &valid);
        if (valid) continue;
        while (step < 3 && i + step < n && mm__utf8_complete(s + i, step + 1) == 0) step++;
        mm__buf_put(b, s + from, i - from);
        mm__buf_put(b, "\xEF\xBF\xBD", 3);
        from = i + step;
    }
    mm__buf_put(b, s + from, n - from);
}

void mm__buf_putc(mm__buf *b, char c)
{
    mm__buf_put(b, &c, 1);
}

void mm__buf_printf(mm__buf *b, const char *fmt, ...)
{
    if (!reserve(b, 0)) return;
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    const size_t room = b->cap - b->len + 1;
    const int n = vsnprintf(b->data + b->len, room, fmt, ap);
    if (n < 0) {
        b->failed = true;
    } else if ((size_t)n < room && (!b->limit || b->len + (size_t)n <= b->limit)) {
        b->len += (size_t)n;
    } else if (reserve(b, (size_t)n)) {
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    b->data[b->len] = 0;
    va_end(again);
    va_end(ap);
}

/* One character of a JSON string, of `n` bytes at s. */
static void put_escaped(mm__buf *b, const char *s, size_t n, bool valid)
{
    const unsigned char c = (unsigned char)*s;
    if (!valid)
        mm__buf_put(b, "\xEF\xBF\xBD", 3);
    else if (c == '"' || c == '\\')
        mm__buf_printf(b, "\\%c", c);
    else if (c == '\n')
        mm__buf_put(b, "\\n", 2);
    else if (c == '\r')
        mm__buf_put(b, "\\r", 2);
    else if (c == '\t')
        mm__buf_put(b, "\\t", 2);
    else if (c < 0x20 || c == 0x7F)
        mm__buf_printf(b, "\\u%04x", c);
    else
        mm__buf_put(b, s, n);
}

void mm__buf_json_string(mm__buf *b, const char *s, size_t n)
{
    mm__buf_putc(b, '"');
    for (size_t i = 0; i < n && !b->failed;) {
        uint32_t cp;
        bool valid;
        const size_t step = mm__utf8_decode(s + i, n - i, &cp, &valid);
        put_escaped(b, s + i, step, valid);
        i += step;
    }
    mm__buf_putc(b, '"');
}

const char *mm__buf_str(const mm__buf *b)
{
    return b->data ? b->data : "";
}

char *mm__buf_take(mm__buf *b, size_t *len)
{
    char *data = reserve(b, 0) ? b->data : NULL;
    if (len) *len = data ? b->len : 0;
    if (!data) mm__free(b->mem, b->data);
    mm__buf_init(b, b->mem);
    return data;
}
