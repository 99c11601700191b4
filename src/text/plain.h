/* Text that must stay text: what a user writes in a chat may spell special tokens, and goes through a template that writes
 * real ones around it. Characters that open a special token are therefore replaced by stand-ins before the template sees
 * them, and the tokenizer puts them back once special tokens have been looked for.
 *
 * A stand-in is a noncharacter, U+FDD0 + i, that none of the texts holds: one character for one, so templates that trim, cut
 * or count do the same as ever, and nothing that a template joins, cuts out or leaves over can spell a special token anew.
 * Only templates that compare could see a difference; so only texts that do spell a special token are hidden. */
#ifndef MM__TEXT_PLAIN_H
#define MM__TEXT_PLAIN_H

#include "tokenizer.h"

#define MM__PLAIN_SLOTS 32

typedef struct mm__plain {    /* starts zeroed */
    uint32_t used;            /* bit i: U+FDD0 + i is in one of the texts, or stands for a character */
    uint32_t of[MM__PLAIN_SLOTS]; /* the character that U+FDD0 + i stands for; 0: it is itself */
    bool open;                /* characters have got their stand-ins */
} mm__plain;

/* Keeps the noncharacters of a text from becoming stand-ins. Every text is noted before mm__plain_open(). */
void mm__plain_note(mm__plain *p, const char *text, size_t len);
/* Whether the text spells a special token anywhere, or `also` (a placeholder that may be no token; NULL: none). */
mm_status mm__plain_spells(const mm__tokenizer *t, const char *also, const char *text, size_t len, bool *yes, mm_error *err);
/* Chooses stand-ins for the characters that open special tokens and `also`. MM_E_LIMIT when the texts leave too few. */
mm_status mm__plain_open(mm__plain *p, const mm__tokenizer *t, const char *also, mm_error *err);
/* Append the text with stand-ins; with characters. */
void mm__plain_hide(const mm__plain *p, const char *text, size_t len, mm__buf *out);
void mm__plain_show(const mm__plain *p, const char *text, size_t len, mm__buf *out);

#endif
