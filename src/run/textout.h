/* Text on its way out: bytes of tokens become whole characters, bytes that become none become U+FFFD, and nothing that may be the
 * beginning of a stop string is let go before it is decided. */
#ifndef MM__RUN_TEXTOUT_H
#define MM__RUN_TEXTOUT_H

#include "../base/buf.h"
#include "../text/tokenizer.h"

typedef struct mm__textout {
    const mm__tokenizer *tokenizer;
    mm__detok state;
    mm__buf text;             /* everything said so far, held-back bytes included */
    size_t whole;             /* bytes of it that are whole characters; at most three more, of one that is not complete yet */
    size_t sent;              /* bytes already given out */
    const char *const *stop;
    size_t n_stop;
    bool stopped;             /* a stop string was met; text ends before it */
} mm__textout;

void mm__textout_init(mm__textout *o, mm__mem *mem, const mm__tokenizer *t, const char *const *stop, size_t n_stop);
void mm__textout_free(mm__textout *o);
/* Takes one token; *from and *len say which bytes of o->text may now be given out. */
mm_status mm__textout_push(mm__textout *o, int32_t id, unsigned flags, size_t *from, size_t *len, mm_error *err);
/* What is still held back at the end of the answer. */
void mm__textout_flush(mm__textout *o, size_t *from, size_t *len);

#endif
