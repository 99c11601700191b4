/* Drafts by looking back: text that repeats itself, or its prompt, goes on as it went on before. Finding costs next to nothing,
 * and the model's own choice decides what is taken, so a bad draft costs a part of a pass and never a word.
 *
 * How much is drafted follows what was taken. A first draft is one token, which rides along almost for free; while whole
 * drafts are taken they grow, up to what was asked for, to lengths that fill the tiles of the kernels with the token before
 * them: 1, 3, 7 ... A draft of which nothing is taken makes the next one wait, twice as long each time. */
#ifndef MM__RUN_LOOKUP_H
#define MM__RUN_LOOKUP_H

#include "../text/tokenizer.h"

#define MM__LOOKUP_MOST 16

typedef struct mm__lookup {
    uint32_t most;            /* tokens of a draft, at most MM__LOOKUP_MOST; 0: no drafts */
    mm__ids said;             /* the timeline in ids, -1 where a medium stands */
    int32_t draft[MM__LOOKUP_MOST];
    size_t n, taken;          /* tokens of the draft, and how many were right so far */
    size_t grown;             /* tokens of the next draft */
    unsigned misses, wait;    /* drafts in a row that were wrong at once; tokens to go without one */
    uint64_t n_drafted, n_taken; /* in this answer */
} mm__lookup;

/* Begins an answer; `said` is empty then. */
void mm__lookup_begin(mm__lookup *l);
/* The token is said: true when it is the next of the draft. False ends the draft. */
bool mm__lookup_hits(mm__lookup *l, int32_t id);
/* What may follow `said`, at most `most` tokens: leaves them in l->draft and l->n. */
void mm__lookup_draft(mm__lookup *l, size_t most);

/* What followed the latest earlier place of the last three ids, or else of the last two: at most `most` ids into draft, as far
 * as a token stands there. Where that place reaches the end, the period it shows goes on. Returns how many. */
size_t mm__lookup_find(const int32_t *ids, size_t n, int32_t *draft, size_t most);

#endif
