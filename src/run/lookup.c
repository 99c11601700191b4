/* Drafts by looking back: see lookup.h. */
#include "lookup.h"

#include <string.h>

#define LONGEST 3
#define SHORTEST 2
#define MAX_MISSES 5 /* then one token in 32 has a draft */

size_t mm__lookup_find(const int32_t *ids, size_t n, int32_t *draft, size_t most)
{
    for (size_t gram = LONGEST; gram >= SHORTEST; gram--)
        for (size_t at = n; at-- > gram;) {
            if (memcmp(ids + at - gram, ids + n - gram, gram * sizeof *ids) != 0) continue;
            size_t found = 0;
            for (; found < most; found++) {
                const int32_t id = at + found < n ? ids[at + found] : draft[at + found - n];
                if (id < 0) break;
                draft[found] = id;
            }
            return found;
        }
    return 0;
}

void mm__lookup_begin(mm__lookup *l)
{
    mm__ids_clear(&l->said);
    l->n = l->taken = 0;
    l->grown = 1;
    l->misses = l->wait = 0;
    l->n_drafted = l->n_taken = 0;
}

/* What a draft that is over says about the next. */
static void learn(mm__lookup *l)
{
    if (l->taken == 0) {
        if (l->misses < MAX_MISSES) l->misses++;
        l->wait = (1u << l->misses) - 1;
        l->grown = 1;
        return;
    }
    l->misses = 0;
    if (l->taken == l->n) l->grown = 2 * l->n + 1;
}

bool mm__lookup_hits(mm__lookup *l, int32_t id)
{
    if (l->taken < l->n && l->draft[l->taken] == id) {
        l->taken++;
        l->n_taken++;
        return true;
    }
    if (l->n) learn(l);
    l->n = 0;
    return false;
}

void mm__lookup_draft(mm__lookup *l, size_t most)
{
    if (most > l->most) most = l->most;
    if (most > l->grown) most = l->grown;
    l->n = l->taken = 0;
    if (l->wait) l->wait--;
    else if (most) l->n = mm__lookup_find(l->said.data, l->said.len, l->draft, most);
    l->n_drafted += l->n;
}
