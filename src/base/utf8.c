/* UTF-8 after RFC 3629: the well-formed byte sequences of the Unicode Standard, table 3-7. The second byte's range
 * depends on the first; that alone excludes overlong forms, surrogates and values above U+10FFFF. */
#include "utf8.h"
#include <string.h>

/* Length a first byte announces (0: not a first byte) and the range of the byte that follows. */
static size_t lead(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c < 0x80) return 1;
    if (c < 0xC2) return 0;
    if (c < 0xE0) return 2;
    if (c < 0xF0) {
        if (c == 0xE0) *lo = 0xA0;
        if (c == 0xED) *hi = 0x9F;
        return 3;
    }
    if (c < 0xF5) {
        if (c == 0xF0) *lo = 0x90;
        if (c == 0xF4) *hi = 0x8F;
        return 4;
    }
    return 0;
}

size_t mm__utf8_decode(const char *s, size_t n, uint32_t *cp, bool *valid)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned char lo, hi;
    const size_t len = lead(p[0], &lo, &hi);
    bool ok = len != 0 && len <= n;
    uint32_t v = len <= 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; ok && i < len; i++) {
        ok = p[i] >= lo && p[i] <= hi;
        v = v << 6 | (p[i] & 0x3Fu);
        lo = 0x80;
        hi = 0xBF;
    }
    if (valid) *valid = ok;
    *cp = ok ? v : 0xFFFD;
    return ok ? len : 1;
}

size_t mm__utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp <= 0xDFFF)) cp = 0xFFFD;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    const size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3F));
        cp >>= 6;
    }
    out[0] = (char)((0xF00u >> len) | cp);
    return len;
}

bool mm__utf8_valid(const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint64_t w;
        if (n - i >= 8) { /* eight ASCII bytes at a time */
            memcpy(&w, s + i, 8);
            if (!(w & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        uint32_t cp;
        bool ok;
        i += mm__utf8_decode(s + i, n - i, &cp, &ok);
        if (!ok) return false;
    }
    return true;
}

size_t mm__utf8_complete(const char *s, size_t n)
{
    const unsigned char *p = (const unsigned char *)s;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const unsigned char *q = p + n - back;
        if ((*q & 0xC0) == 0x80) continue;
        unsigned char lo, hi;
        const size_t len = lead(*q, &lo, &hi);
        const bool open = len > back && (back < 2 || (q[1] >= lo && q[1] <= hi));
        return open ? n - back : n;
    }
    return n;
}

void mm__utf8_printable(char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool ok;
        const size_t len = mm__utf8_decode(s + i, n - i, &cp, &ok);
        if (!ok || cp < 0x20 || (cp >= 0x7F && cp < 0xA0)) memset(s + i, '?', len);
        i += len;
    }
}
