/* What encoders made of media: the rows that a picture or a window of sound became, kept so that the same one fed again - to the
 * same session or to another of the same model - is not encoded again.
 *
 * One cache serves one model and all its sessions. So the key is the SHA-256 of what went into the encoder - kind, shape and
 * values after preprocessing - and nothing else: weights, precision, device and placement are the model's, fixed when it was
 * loaded, and the number of threads changes no result. Only what an encoder made in this process enters; rows out of a snapshot,
 * which may be anybody's, do not.
 *
 * The cache holds copies, up to a number of bytes that may change at any time; what was not used for the longest time goes first.
 * It is a spare of its mm__mem (base/alloc.h): when memory is short, rows go until there is enough. It never fails a caller:
 * what cannot be kept is encoded again. Thread-safe. */
#ifndef MM__RUN_MEDIACACHE_H
#define MM__RUN_MEDIACACHE_H

#include "../base/alloc.h"

#include <stdatomic.h>

typedef struct mm__media_cache mm__media_cache;

/* Rows [n, width] of one medium. */
typedef struct mm__media_rows {
    float *data;
    int32_t n, width;
} mm__media_rows;

typedef struct mm__media_key { uint8_t digest[32]; } mm__media_key;

/* `most`: bytes it may hold, borrowed for its life, 0: none. NULL when memory is short. */
mm__media_cache *mm__media_cache_create(mm__mem *mem, const _Atomic uint64_t *most);
void mm__media_cache_destroy(mm__media_cache *c);

/* Whether rows are to be looked for and kept at all; false for NULL. */
bool mm__media_cache_on(mm__media_cache *c);
/* The key of an encoder's input: `kind` says whose, values are [rows, columns]. */
void mm__media_key_of(const char *kind, int64_t rows, int64_t columns, const float *values, mm__media_key *out);
/* A copy of the rows kept under the key, in *out, owned by the caller and booked on its account; false: none there, or no memory
 * for the copy. Counts as a hit or a miss. */
bool mm__media_cache_find(mm__media_cache *c, const mm__media_key *key, mm__media_rows *out);
/* Keeps a copy, on nobody's account, if there is room for it. */
void mm__media_cache_keep(mm__media_cache *c, const mm__media_key *key, const mm__media_rows *rows);

typedef struct mm__media_counts { uint64_t bytes, hits, misses; } mm__media_counts;
mm__media_counts mm__media_cache_counts(mm__media_cache *c);

#endif
