/* The pre-compiled character map of SentencePiece: u32 byte size of a Darts double array, its units, then a pool of
 * NUL-terminated replacements; the value of a key is an offset into the pool.
 *
 * Unit layout (Darts-clone): bit 31 set = leaf, value in the low 31 bits; else label in bits 0-7, bit 8 = a leaf hangs
 * below, offset in bits 10-30 shifted left by 8 when bit 9 is set. Every index is checked, so a damaged array only
 * yields "no match". The pool is UTF-8, and keys and values begin and end with characters: valid text stays valid. */
#include "tokenizer_impl.h"
#include <utf8proc.h>

static uint32_t unit_label(uint32_t u) { return u & 0x800000FFu; }
static uint32_t unit_offset(uint32_t u) { return (u >> 10) << ((u & 0x200u) >> 6); }

static uint32_t unit_at(const mm__charsmap *m, size_t i)
{
    const uint8_t *p = m->units + 4 * i;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

mm_status mm__charsmap_init(mm__charsmap *m, mm__mem *mem, const uint8_t *bytes, size_t len, const char *what, mm_error *err)
{
    memset(m, 0, sizeof *m);
    if (len < 8) return mm__fail(err, MM_E_FORMAT, "%s: the character map has %zu bytes, too few for one", what, len);
    size_t size = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    if (size > len - 4 || size < 4 || size % 4)
        return mm__fail(err, MM_E_FORMAT, "%s: the character map of %zu bytes claims an index of %zu", what, len, size);
    if (!mm__utf8_valid((const char *)bytes + 4 + size, len - 4 - size))
        return mm__fail(err, MM_E_FORMAT, "%s: the character map replaces characters by bytes that are not UTF-8", what);
    m->bytes = mm__alloc(mem, len + 1);
    if (!m->bytes) return mm__nomem(err, "a character map");
    memcpy(m->bytes, bytes, len);
    m->bytes[len] = 0;
    m->units = m->bytes + 4;
    m->n_units = size / 4;
    m->text = (const char *)m->bytes + 4 + size;
    m->text_len = len - 4 - size;
    return MM_OK;
}

void mm__charsmap_free(mm__charsmap *m, mm__mem *mem)
{
    mm__free(mem, m->bytes);
    memset(m, 0, sizeof *m);
}

static bool inside_char(char c) { return ((unsigned char)c & 0xC0) == 0x80; }

const char *mm__charsmap_find(const mm__charsmap *m, const char *s, size_t n, bool longest, size_t *used)
{
    const char *hit = NULL;
    size_t at = unit_offset(unit_at(m, 0));
    for (size_t i = 0; i < n; i++) {
        uint8_t c = (uint8_t)s[i];
        at ^= c;
        if (!c || at >= m->n_units) break;
        uint32_t unit = unit_at(m, at);
        if (unit_label(unit) != c) break;
        at ^= unit_offset(unit);
        if (!(unit & 0x100u)) continue;
        if (at >= m->n_units) break;
        size_t value = unit_at(m, at) & 0x7FFFFFFFu;
        if (value >= m->text_len || inside_char(m->text[value])) break;
        if (i + 1 < n && inside_char(s[i + 1])) continue;
        hit = m->text + value;
        *used = i + 1;
        if (!longest) break;
    }
    return hit;
}

/* End of the grapheme cluster that starts at pos. */
static size_t cluster_end(const char *s, size_t n, size_t pos)
{
    uint32_t a, b;
    size_t k = mm__char_at(s + pos, n - pos, &a);
    utf8proc_int32_t state = 0;
    for (pos += k; pos < n; pos += k, a = b) {
        k = mm__char_at(s + pos, n - pos, &b);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)a, (utf8proc_int32_t)b, &state)) break;
    }
    return pos;
}

void mm__charsmap_apply(const mm__charsmap *m, const char *s, size_t n, mm__buf *out)
{
    size_t used;
    uint32_t cp;
    for (size_t pos = 0; pos < n;) {
        size_t end = cluster_end(s, n, pos);
        const char *hit = end - pos < 6 ? mm__charsmap_find(m, s + pos, end - pos, false, &used) : NULL;
        if (hit) {
            mm__buf_puts(out, hit);
            pos = end;
            continue;
        }
        while (pos < end) {
            size_t k = mm__char_at(s + pos, end - pos, &cp);
            hit = mm__charsmap_find(m, s + pos, k, false, &used);
            if (hit) mm__buf_puts(out, hit);
            else mm__buf_put(out, s + pos, k);
            pos += k;
        }
    }
}
