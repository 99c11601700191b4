/* A growing byte buffer, always NUL-terminated behind its length. Failure is sticky: after a failed growth every call
 * is a no-op and `failed` stays set, so callers check once at the end. */
#ifndef MM__BASE_BUF_H
#define MM__BASE_BUF_H

#include "alloc.h"

typedef struct mm__buf {
    mm__mem *mem;
    char *data;   /* NULL until the first byte */
    size_t len, cap;
    size_t limit; /* 0: none; exceeding it sets `failed` and `over_limit` */
    bool failed, over_limit;
} mm__buf;

void mm__buf_init(mm__buf *b, mm__mem *mem);
void mm__buf_free(mm__buf *b);
void mm__buf_clear(mm__buf *b);                         /* keeps the memory */
void mm__buf_put(mm__buf *b, const void *p, size_t n);
void mm__buf_puts(mm__buf *b, const char *s);
/* Text that may be broken: each sequence that is no character becomes one U+FFFD, a character that was begun well all its bytes
 * together (the Unicode Standard, section 3.9, "maximal subpart"). */
void mm__buf_put_repaired(mm__buf *b, const char *s, size_t n);
void mm__buf_putc(mm__buf *b, char c);
void mm__buf_printf(mm__buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mm__buf_json_string(mm__buf *b, const char *s, size_t n); /* quoted and escaped; invalid UTF-8 becomes U+FFFD */
const char *mm__buf_str(const mm__buf *b);              /* "" when empty */
/* Hands the block over to the caller (mm__free it); the buffer is empty afterwards. NULL when failed. */
char *mm__buf_take(mm__buf *b, size_t *len);

#endif
