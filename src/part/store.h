/* Inside of the loader: the store's list of constants and the pieces a constant is made of. Parts include load.h only. */
#ifndef MM__PART_STORE_H
#define MM__PART_STORE_H

#include "load.h"

#define MM__MAX_PIECES 3

/* A run of rows of one stored tensor, or rows already in host memory. */
typedef struct mm__piece {
    const mm__weight *weight;
    size_t base; /* byte of its first row */
    int64_t rows;
    void *host; /* owned; replaces the file when set */
} mm__piece;

/* Rows of all pieces, one after another, as one constant. */
typedef struct mm__source {
    mm__store *store;
    mm__piece piece[MM__MAX_PIECES];
    int n;
    mm__dtype dtype;
    size_t row_bytes;
    mm__where where;
} mm__source;

void mm__source_free(mm__source *s);
/* Uploads the source under `name` and keeps the constant; NULL with err filled on failure. */
const mm__tensor *mm__store_add(mm__source *s, const char *name, mm__shape shape, unsigned use, mm_error *err);
/* Bytes of the file that were consumed without an upload. */
mm_status mm__store_advance(mm__store *s, size_t bytes, mm_error *err);

#endif
