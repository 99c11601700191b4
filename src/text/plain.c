/* Stand-ins for characters that open special tokens: see plain.h. */
#include "plain.h"
#include "tokenizer_impl.h"

#define FIRST 0xFDD0u /* U+FDD0 .. U+FDEF are EF B7 90 .. EF B7 AF */

/* Slot of the noncharacter at s[0..n), -1 when there is another character. */
static int slot_at(const char *s, size_t n)
{
    if (n < 3 || memcmp(s, "\xEF\xB7", 2) != 0) return -1;
    const int slot = (uint8_t)s[2] - 0x90;
    return slot >= 0 && slot < MM__PLAIN_SLOTS ? slot : -1;
}

void mm__plain_note(mm__plain *p, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        const int slot = slot_at(text + i, len - i);
        if (slot >= 0) p->used |= 1u << slot;
    }
}

mm_status mm__plain_spells(const mm__tokenizer *t, const char *also, const char *text, size_t len, bool *yes, mm_error *err)
{
    mm__buf fixed, norm, spare;
    uint64_t steps = MM__REGEX_STEPS(len);
    *yes = false;
    mm__buf_init(&fixed, t->mem);
    mm__buf_init(&norm, t->mem);
    mm__buf_init(&spare, t->mem);
    mm_status st = mm__text_repair(t, &text, &len, &fixed, err);
    if (st != MM_OK) goto done;
    *yes = mm__added_spelled(t, &t->raw, text, len) || (also && memmem(text, len, also, strlen(also)));
    if (*yes || !t->has_normal) goto done;
    if (t->n_norm) {
        st = mm__normalize(t->mem, t->norm, t->n_norm, text, len, &norm, &spare, &steps, err);
        text = mm__buf_str(&norm);
        len = norm.len;
    }
    if (st == MM_OK) *yes = mm__added_spelled(t, &t->normal, text, len);
done:
    mm__buf_free(&fixed);
    mm__buf_free(&norm);
    mm__buf_free(&spare);
    return st;
}

static int slot_of(const mm__plain *p, uint32_t cp)
{
    for (int i = 0; i < MM__PLAIN_SLOTS; i++)
        if (p->of[i] == cp) return i;
    return -1;
}

static bool take_slot(mm__plain *p, const char *s, size_t n)
{
    uint32_t cp;
    bool valid;
    mm__utf8_decode(s, n, &cp, &valid);
    if (!valid || !cp || slot_of(p, cp) >= 0) return true;
    for (int i = 0; i < MM__PLAIN_SLOTS; i++)
        if (!(p->used & 1u << i)) {
            p->used |= 1u << i;
            p->of[i] = cp;
            return true;
        }
    return false;
}

mm_status mm__plain_open(mm__plain *p, const mm__tokenizer *t, const char *also, mm_error *err)
{
    bool ok = !also || !also[0] || take_slot(p, also, strlen(also));
    for (size_t i = 0; ok && i < t->n_added; i++) {
        size_t n;
        const char *s = mm__tokens_str(&t->tokens, t->added[i].id, &n);
        if (t->added[i].special && n) ok = take_slot(p, s, n);
    }
    p->open = ok;
    return ok ? MM_OK : mm__fail(err, MM_E_LIMIT, "a text spells a special token, and too few of the noncharacters U+FDD0 to U+FDEF "
                                                  "are free to keep them apart; leave out one or the other");
}

void mm__plain_hide(const mm__plain *p, const char *text, size_t len, mm__buf *out)
{
    for (size_t i = 0, step; i < len; i += step) {
        uint32_t cp;
        bool valid;
        char to[4];
        step = mm__utf8_decode(text + i, len - i, &cp, &valid);
        const int slot = valid && cp ? slot_of(p, cp) : -1;
        if (slot < 0) mm__buf_put(out, text + i, step);
        else mm__buf_put(out, to, mm__utf8_encode(FIRST + (uint32_t)slot, to));
    }
}

void mm__plain_show(const mm__plain *p, const char *text, size_t len, mm__buf *out)
{
    size_t from = 0;
    for (size_t i = 0; i < len; i++) {
        const int slot = slot_at(text + i, len - i);
        if (slot < 0 || !p->of[slot]) continue;
        char to[4];
        mm__buf_put(out, text + from, i - from);
        mm__buf_put(out, to, mm__utf8_encode(p->of[slot], to));
        from = i + 3;
    }
    mm__buf_put(out, text + from, len - from);
}
