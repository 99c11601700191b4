/* Character properties the tokenizer needs, on top of utf8proc: general categories folded into a few bits, the
 * White_Space property, the CJK blocks BERT isolates, and the byte alphabet of byte-level vocabularies.
 *
 * ASCII goes through a table because nearly all text is ASCII; everything else asks utf8proc (a two-level table). */
#include "tokenizer_impl.h"
#include <utf8proc.h>

static bool is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == 0x20 || cp == 0x85 || cp == 0xA0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202F || cp == 0x205F || cp == 0x3000;
}

static unsigned ascii_class(uint32_t c)
{
    if (c >= 'A' && c <= 'Z') return MM__CH_L | MM__CH_UP;
    if (c >= 'a' && c <= 'z') return MM__CH_L | MM__CH_LOW;
    if (c >= '0' && c <= '9') return MM__CH_N;
    if (c == '\r' || c == '\n') return MM__CH_S | MM__CH_NL;
    if (c == ' ' || (c >= 9 && c <= 13)) return MM__CH_S;
    return c > 32 && c < 127 ? MM__CH_P : 0;
}

unsigned mm__char_class(uint32_t cp)
{
    if (cp < 0x80) return ascii_class(cp);
    unsigned space = is_space(cp) ? MM__CH_S : 0;
    switch (utf8proc_category((utf8proc_int32_t)cp)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LT: return MM__CH_L | MM__CH_UP;
    case UTF8PROC_CATEGORY_LL: return MM__CH_L | MM__CH_LOW;
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: return MM__CH_L | MM__CH_UP | MM__CH_LOW;
    case UTF8PROC_CATEGORY_MN: case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: return MM__CH_M | MM__CH_UP | MM__CH_LOW;
    case UTF8PROC_CATEGORY_ND: case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_NO: return MM__CH_N;
    case UTF8PROC_CATEGORY_PC: case UTF8PROC_CATEGORY_PD: case UTF8PROC_CATEGORY_PS: case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI: case UTF8PROC_CATEGORY_PF: case UTF8PROC_CATEGORY_PO: return MM__CH_P | space;
    default: return space;
    }
}

bool mm__char_is_word(uint32_t cp)
{
    if (cp == '_' || (mm__char_class(cp) & (MM__CH_L | MM__CH_M))) return true;
    utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_PC;
}

bool mm__char_is_cjk(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B820 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

uint32_t mm__char_lower(uint32_t cp)
{
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp);
}

size_t mm__char_before(const char *s, size_t n, uint32_t *cp)
{
    for (size_t k = 1; k <= 4 && k <= n; k++) {
        if (((unsigned char)s[n - k] & 0xC0) == 0x80) continue;
        if (mm__char_at(s + n - k, k, cp) == k) return k;
        break;
    }
    *cp = 0xFFFD;
    return 1;
}

void mm__buf_put_char(mm__buf *b, uint32_t cp)
{
    char c[4];
    mm__buf_put(b, c, mm__utf8_encode(cp, c));
}

void mm__utf8_repair(const char *s, size_t n, mm__buf *out)
{
    size_t start = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool valid = true;
        size_t k = mm__utf8_decode(s + i, n - i, &cp, &valid);
        if (!valid) {
            mm__buf_put(out, s + start, i - start);
            mm__buf_put(out, "\xEF\xBF\xBD", 3);
            start = i + k;
        }
        i += k;
    }
    mm__buf_put(out, s + start, n - start);
}

static bool stands_for_itself(uint32_t b)
{
    return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255);
}

uint32_t mm__letter_of_byte(uint8_t byte)
{
    if (stands_for_itself(byte)) return byte;
    if (byte <= 32) return 256u + byte;                    /* 0 .. 32: the first 33 of the others */
    if (byte <= 160) return 256u + 33u + (byte - 127u);    /* 127 .. 160: the next 34 */
    return 256u + 67u;                                     /* 173: the last */
}

int mm__byte_of_letter(uint32_t cp)
{
    if (cp < 256) return stands_for_itself(cp) ? (int)cp : -1;
    uint32_t k = cp - 256;
    if (k <= 32) return (int)k;
    if (k <= 66) return (int)(k - 33 + 127);
    return k == 67 ? 173 : -1;
}

void mm__buf_put_letters(mm__buf *b, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) mm__buf_put_char(b, mm__letter_of_byte((uint8_t)bytes[i]));
}

bool mm__buf_put_spelled(mm__buf *b, const char *letters, size_t n)
{
    uint32_t cp;
    for (size_t i = 0; i < n;) {
        i += mm__char_at(letters + i, n - i, &cp);
        if (mm__byte_of_letter(cp) < 0) return false;
    }
    for (size_t i = 0; i < n;) {
        i += mm__char_at(letters + i, n - i, &cp);
        mm__buf_putc(b, (char)mm__byte_of_letter(cp));
    }
    return true;
}
