/* A session: one timeline on one model. This header is private to the room; api/ uses run.h.
 *
 * The timeline (mm__timeline) is the whole memory of a session, in two layers:
 *
 *   what was said       messages -> pieces: a text, a medium, or token ids. A medium is named by its index in `media`, where
 *                       its pixels or samples lie and, once encoded, its rows. This layer is the truth: all else can be made
 *                       again from it. `fed_*` mark where the last feed began; a failed answer takes back what lies behind.
 *   where it stands     rows: one for each position of the prompt (a token, or one row of a medium), laid out by prompt.c
 *                       from the pieces. held: the positions whose keys and values the decoder's cache holds now, the rows
 *                       of the last prompt and the tokens of its answer; held[i] stands at position i. An encoder-decoder
 *                       model's cache begins with every answer anew and holds nothing of the rows: held is empty.
 *
 * A new prompt keeps the longest prefix that rows and held share and computes the rest. Media are compared by index, so what
 * is taken from `media` must go from `held` as well. An answer joins the messages as text, or as ids where ids were fed.
 *
 * Feeding appends messages and stores media. The first mm__session_next() after a feed lays the timeline out, computes what
 * the cache lacks, and then gives one event a call. Each task has its own player: generate.c, vectors.c, transcribe.c. */
#ifndef MM__RUN_SESSION_H
#define MM__RUN_SESSION_H

#include "../assembly/assembly.h"
#include "../base/buf.h"
#include "../text/plain.h"
#include "event.h"
#include "feed.h"
#include "lm.h"
#include "lookup.h"
#include "mediacache.h"
#include "run.h"
#include "sample.h"
#include "textout.h"

typedef struct mm__medium {
    mm__item_kind kind;
    mm__pixels *pixels;
    mm__samples *samples;
    float *rows;              /* [n_rows, width] encoded, NULL until needed */
    int32_t n_rows, width;
} mm__medium;

typedef enum mm__piece_kind { MM__PIECE_TEXT, MM__PIECE_MEDIUM, MM__PIECE_IDS } mm__piece_kind;

typedef struct mm__piece {
    mm__piece_kind kind;
    char *text;               /* TEXT */
    int32_t *ids;             /* IDS */
    size_t len;               /* bytes or ids */
    int32_t medium;           /* MEDIUM: index into the timeline's media; else -1 */
} mm__piece;

typedef struct mm__message {
    char *role;
    char *extra;              /* further members for the chat template, as JSON; or NULL */
    mm__piece *pieces;
    size_t n, cap;
} mm__message;

typedef struct mm__timeline {
    mm__message *messages;
    size_t n_messages, cap_messages, fed_messages;
    mm__medium *media;
    size_t n_media, cap_media, fed_media;
    mm__row *rows;
    size_t n_rows, cap_rows;
    mm__row *held;
    size_t n_held, cap_held;
} mm__timeline;

typedef enum mm__state { MM__IDLE, MM__FED, MM__ANSWERING, MM__DONE } mm__state;

struct mm__session {
    mm__mem *mem;
    mm__log log;
    mm__assembly *a;
    mm__session_options opt;
    unsigned task;
    atomic_int cancel;
    mm__state state;
    mm__queue events;

    mm__timeline line;

    mm__media_cache *media;   /* the model's, borrowed; NULL: none */
    mm__arena arena;          /* work memory of encoders' graphs */
    mm__lm *lm;               /* decoder side, NULL for tasks without one */
    mm__ids answer;
    mm__textout out;
    size_t n_generated;
    int32_t last_id;          /* reported, not yet in the KV cache; -1: none */
    float *logits;            /* of the last row */
    struct mm__transcription *speech; /* while a transcription is being given, else NULL */

    char **keys;              /* options set by key: key, value, key, value ...; what a snapshot sets again */
    size_t n_keys, cap_keys;
    char **stop;              /* stop strings */
    size_t n_stop, cap_stop;
    char **watch;             /* stage names */
    size_t n_watch, cap_watch;
    char language[8];
    char *decoder_prompt;
    char *tools;              /* JSON array for the chat template, or NULL */
    char *variables;          /* members of a JSON object for the chat template, or NULL */
    mm__ids forced;           /* ids the answer starts with */
    mm__dtype kv_type;        /* what the decoder side's caches are kept in */
    bool translate, no_timestamps, truncate, single_pass, use_history;
    mm__lookup lookup;        /* drafts of tokens that are tried together */

    double encode_s, prefill_s, decode_s;
    size_t prefill_rows, prompt_rows, media_hits;
};

/* Whether the host has not taken all of an answer yet: tokens, or events that wait. */
static inline bool mm__session_answering(const mm__session *s)
{
    return s->state == MM__ANSWERING || s->events.first != s->events.n;
}

/* plan.c: tells the log, where it listens to MM_LOG_DEBUG, what the session is going to take */
void mm__plan_log(const mm__session *s);

/* keys.c */
void mm__keys_free(mm__session *s);

/* conversation.c */
mm_status mm__conversation_add(mm__session *s, const mm__feed *in, mm_error *err);
void mm__conversation_rollback(mm__session *s);
/* Forgets the first messages and media, which no other message speaks of. */
void mm__conversation_forget(mm__session *s, size_t n_messages, size_t n_media);
void mm__conversation_free(mm__session *s);
/* Appends the answer that was given: its text, or its ids where the host feeds ids. */
mm_status mm__conversation_answer(mm__session *s, mm_error *err);
bool mm__conversation_has_ids(const mm__session *s);
/* Room for one more; a message takes its pieces' ownership over, on failure as well. */
mm__message *mm__conversation_message(mm__session *s, const char *role, const char *extra);
bool mm__conversation_piece(mm__session *s, mm__message *m, mm__piece p);
/* Keeps the first messages, and the media they speak of. */
void mm__conversation_keep(mm__session *s, size_t n_messages);

/* render.c: the conversation's text, through the chat template where there is one, for sessions that are not raw. Media
 * stand as the model's placeholder. `plain`, zeroed: where a text spells a special token or the placeholder, stand-ins keep
 * it from being taken for one. */
mm_status mm__render_conversation(mm__session *s, mm__plain *plain, mm__buf *out, mm_error *err);
/* Whether texts go through a template. */
bool mm__session_is_chat(const mm__session *s);

/* session.c: opens the decoder side when the task needs one */
mm_status mm__session_open_decoder(mm__session *s, mm_error *err);
/* Keeps the caches in another type from now on; what they hold is forgotten. The old ones make room for the new ones; on failure
 * the session goes on with the old type, as far as there is memory. */
mm_status mm__session_keep_in(mm__session *s, mm__dtype t, mm_error *err);
/* Takes out of what the cache holds everything that speaks of media which are gone. */
void mm__session_forget_media(mm__session *s);
/* snapshot.c: how many of the positions held are worth keeping in a copy */
size_t mm__session_held(const mm__session *s);
/* session.c: ids the decoder knows */
mm_status mm__session_check_ids(const mm__session *s, const int32_t *ids, size_t n, mm_error *err);

/* prompt.c: timeline -> its rows; mm__prompt_rows also makes them fit the context */
mm_status mm__prompt_lay_out(mm__session *s, mm_error *err);
mm_status mm__prompt_rows(mm__session *s, mm_error *err);

/* media.c: encodes a medium that was not encoded yet */
mm_status mm__media_encode(mm__session *s, int32_t medium, mm_error *err);
mm_status mm__media_vector(mm__session *s, const mm__pixels *p, float **out, int32_t *n, mm_error *err);
/* What an encoder makes of an input: the rows that the model's media cache holds for it, or those of the graph that `run` emits and
 * runs, whose node it leaves in *rows. The input's values are [rows, columns], `kind` says whose. *out is owned by the caller,
 * empty on failure. */
typedef struct mm__encoder_input {
    const char *kind;
    int64_t rows, columns;
    const float *values;
} mm__encoder_input;
typedef mm_status (*mm__encoder_run)(mm__session *s, mm__graph *g, const mm__encoder_input *in, mm__node **rows, mm_error *err);
mm_status mm__media_rows_of(mm__session *s, const mm__encoder_input *in, mm__encoder_run run, mm__media_rows *out, mm_error *err);
/* Runs a planned graph and delivers its watched stages. */
mm_status mm__watch_run(mm__session *s, mm__graph *g, mm_error *err);
/* Status, plan and bind of an encoder's graph. */
mm_status mm__encoder_prepare(mm__session *s, mm__graph *g, mm_error *err);
void mm__watch_apply(mm__session *s, mm__graph *g);
mm_status mm__watch_deliver(mm__session *s, mm__graph *g, mm_error *err);
/* The session's watch for decoder calls; NULL when nothing is watched. */
const mm__lm_watch *mm__watch_lm(mm__session *s, mm__lm_watch *w);

/* memory.c: encodes the prompt of an encoder-decoder model into the decoder's cross-attention memory */
mm_status mm__memory_encode(mm__session *s, const mm__lm_media *media, mm_error *err);

/* players: produce at least one event, or MM_END */
mm_status mm__generate_next(mm__session *s, mm_error *err);
mm_status mm__vectors_next(mm__session *s, mm_error *err);
mm_status mm__transcribe_next(mm__session *s, mm_error *err);
void mm__transcribe_free(mm__session *s);

#endif
