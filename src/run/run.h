/* The room's face towards api/: sessions and what they take. */
#ifndef MM__RUN_RUN_H
#define MM__RUN_RUN_H

#include "../assembly/assembly.h"
#include "feed.h"
#include "mediacache.h"

typedef struct mm__session mm__session;

typedef struct mm__session_options {
    uint32_t n_ctx, max_tokens, top_k, top_logprobs, flags;
    uint64_t seed;
    float temperature, top_p, min_p, repeat_penalty;
} mm__session_options;

mm_status mm__session_create(mm__mem *mem, const mm__log *log, mm__assembly *a, const mm__session_options *opt,
                             mm__session **out, mm_error *err);
/* The model's, which outlives the session; without one every medium is encoded. */
void mm__session_use_cache(mm__session *s, mm__media_cache *media);
void mm__session_destroy(mm__session *s);
mm_status mm__session_set(mm__session *s, const char *key, const char *value, mm_error *err);
mm_status mm__session_feed(mm__session *s, const mm__feed *in, mm_error *err);
mm_status mm__session_next(mm__session *s, mm_event *out, mm_error *err);
void mm__session_cancel(mm__session *s);
void mm__session_reset(mm__session *s);
mm_status mm__session_truncate(mm__session *s, uint64_t entries, mm_error *err);
/* Positions of the timeline with `in` (NULL: nothing) behind it. */
mm_status mm__session_count(mm__session *s, const mm__feed *in, uint64_t *positions, mm_error *err);

/* snapshot.c */
mm_status mm__session_fork(const mm__session *s, mm__session **out, mm_error *err);
typedef mm_status (*mm__writer)(void *user, const void *bytes, size_t n, mm_error *err);
mm_status mm__session_save(const mm__session *s, mm__writer write, void *user, mm_error *err);
mm_status mm__session_load(mm__mem *mem, const mm__log *log, mm__assembly *a, const void *bytes, size_t len, mm__session **out,
                           mm_error *err);

mm_status mm__session_stat(const mm__session *s, const char *key, double *out, mm_error *err);
/* The scores that the last token was chosen from, [*n], borrowed until the next call. */
mm_status mm__session_logits(const mm__session *s, const float **logits, size_t *n, mm_error *err);

/* plan.c: bytes that a session of n_ctx positions (0: all the model was made for) will take with caches of kv_type. tables:
 * what the model holds beside its weights; kv and cross: the caches; encoder and decoder: work memory of either side. */
typedef struct mm__plan { uint64_t weights, tables, kv, cross, encoder, decoder, total; } mm__plan;
mm_status mm__session_plan(mm__assembly *a, uint32_t n_ctx, mm__dtype kv_type, mm__plan *out, mm_error *err);
/* Renders messages (OpenAI layout) with the model's chat template. */
mm_status mm__render_messages(mm__mem *mem, mm__assembly *a, const char *json, size_t len, bool add_prompt, mm__buf *out, mm_error *err);

#endif
