/* WordPiece: greedy longest match from the left. The first part of a word comes from the entries that start words, every
 * other from the continuations; a word with an uncovered remainder, or too long a word, is one unknown token. */
#include "tokenizer_impl.h"

mm_status mm__wordpiece_encode(mm__encode *e, const char *s, size_t n)
{
    const mm__wordpiece *w = &e->t->wordpiece;
    size_t first = e->out->len, chars = 0, len;
    uint32_t cp;
    bool bad = false;
    for (size_t i = 0; i < n && chars <= w->max_chars; chars++) i += mm__char_at(s + i, n - i, &cp);
    if (chars > w->max_chars) bad = true;
    for (size_t i = 0; i < n && !bad; i += len) {
        int32_t id = mm__trie_longest(i ? &w->inner : &w->start, s + i, n - i, &len);
        if (id < 0) bad = true;
        else if (!mm__ids_push(e->out, id)) return mm__nomem(e->err, "token ids");
    }
    if (!bad) return MM_OK;
    e->out->len = first;
    if (w->unk < 0 || mm__ids_push(e->out, w->unk)) return MM_OK;
    return mm__nomem(e->err, "token ids");
}
