/* The decoder side of a session: KV caches, the work arena, and graphs over them. Rows go in, logits come out; what the
 * rows mean is the caller's business. */
#ifndef MM__RUN_LM_H
#define MM__RUN_LM_H

#include "../assembly/assembly.h"

/* One position of a prompt: a token, or row `media_row` of a medium standing at a token's place. */
typedef struct mm__row {
    int32_t id;               /* -1: no token stands here */
    int32_t medium;           /* -1: none */
    int32_t media_row;
    int32_t sees;             /* cross-attended media: index of the most recent medium, -1: none */
} mm__row;

typedef struct mm__lm mm__lm;

/* type: what the caches are kept in. */
mm_status mm__lm_create(mm__assembly *a, int32_t n_ctx, mm__dtype type, mm__lm **out, mm_error *err);
void mm__lm_destroy(mm__lm *lm);
int32_t mm__lm_past(const mm__lm *lm);      /* positions held */
int32_t mm__lm_context(const mm__lm *lm);
void mm__lm_truncate(mm__lm *lm, int32_t n_past);
size_t mm__lm_kv_bytes(const mm__lm *lm);

/* Some models rotate a sequence longer than they were first trained for by other angles, all of it. Whether n positions more
 * make the sequence one of the other kind: what is held is of no use then; truncate to 0 and append everything again. */
bool mm__lm_must_restart(const mm__lm *lm, size_t n);
/* Whether the first n positions held are what a sequence of that length has, and are not lost with their device. */
bool mm__lm_keeps(const mm__lm *lm, size_t n);

/* What the cache holds of the first n positions, as bytes in a fixed order. A mover gets them piece by piece: to take them
 * (save), or to fill them in (restore, which leaves n positions held). Save only what mm__lm_keeps(). */
typedef mm_status (*mm__mover)(void *user, void *bytes, size_t n, mm_error *err);
size_t mm__lm_state_bytes(const mm__lm *lm, int32_t n);
mm_status mm__lm_save(const mm__lm *lm, int32_t n, mm__mover take, void *user, mm_error *err);
mm_status mm__lm_restore(mm__lm *lm, int32_t n, mm__mover fill, void *user, mm_error *err);
/* The same from another decoder side of the same model. */
mm_status mm__lm_copy(mm__lm *lm, const mm__lm *from, int32_t n, mm_error *err);
size_t mm__lm_arena_bytes(const mm__lm *lm);

/* What the decoder side takes in bytes; nothing of it is allocated to find out. */
typedef struct mm__lm_use {
    int32_t n_ctx;
    mm__dtype type;           /* of the caches */
    int32_t n_rows, n_media;  /* of a prompt, and how many of them are rows of media */
    int32_t n_cross;          /* rows of the memory that cross-attention reads */
    bool all_logits;          /* the prompt goes through mm__lm_logits_from */
} mm__lm_use;
typedef struct mm__lm_bytes { size_t kv, cross, arena; } mm__lm_bytes;
mm_status mm__lm_measure(mm__assembly *a, const mm__lm_use *use, mm__lm_bytes *out, mm_error *err);

/* Called with a run graph when stages are watched; delivers them. */
typedef mm_status (*mm__watch_fn)(void *user, mm__graph *g, mm_error *err);
typedef struct mm__lm_watch { const char *const *patterns; size_t n; mm__watch_fn deliver; void *user; } mm__lm_watch;

/* Media rows of one call: data[medium] is [rows, n_embd]. spans: for cross-attended media, first memory row and count by
 * medium. */
typedef struct mm__lm_media { const float **data; int32_t (*spans)[2]; size_t n; } mm__lm_media;

/* Appends n rows in chunks and leaves the logits of the last row in `logits` [n_vocab]. On cancellation the positions of
 * completed chunks stay. scope: "decoder" or "" around the stages. */
mm_status mm__lm_prefill(mm__lm *lm, const mm__row *rows, size_t n, const mm__lm_media *media, const mm__lm_watch *watch,
                         const char *scope, const atomic_int *cancel, float *logits, mm_error *err);
/* Appends one token; its graph is built once and re-bound. */
mm_status mm__lm_step(mm__lm *lm, int32_t id, const atomic_int *cancel, float *logits, mm_error *err);

#define MM__LM_STEP 4         /* the most tokens of one try */
/* Appends ids[0] as mm__lm_step() does, and computes in the same pass what the n - 1 ids behind it would give; these are not
 * held. 1 <= n <= mm__lm_can_try(). */
mm_status mm__lm_try(mm__lm *lm, const int32_t *ids, int32_t n, const atomic_int *cancel, float *logits, mm_error *err);
/* Appends the next id that was tried, whose logits are known: bit for bit what mm__lm_step() would give. Directly after a try
 * or a take only. */
mm_status mm__lm_take(mm__lm *lm, float *logits, mm_error *err);
/* How many tokens a try can have now: as many as give each the bits that it has alone, fit, and are of the same kind of context. */
int32_t mm__lm_can_try(const mm__lm *lm);
/* Appends tokens and leaves the logits of those from `first` on, [n - first, n_vocab]. watch may be NULL. */
mm_status mm__lm_logits_from(mm__lm *lm, const int32_t *ids, size_t n, size_t first, const mm__lm_watch *watch, const char *scope,
                             const atomic_int *cancel, float *logits, mm_error *err);
/* Makes rows [n, cross_width] the memory that cross-attention reads, replacing what was there. */
mm_status mm__lm_cross(mm__lm *lm, const float *rows, int32_t n, const atomic_int *cancel, mm_error *err);

#endif
