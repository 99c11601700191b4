/* A session: one timeline on one model. This header is private to the room; api/ uses run.h.
 *
 * Feeding appends messages to the conversation and stores media. The first mm__session_next() after a feed lays out the
 * whole conversation as rows (token ids, and rows of media), keeps the prefix that the KV cache already holds, computes the
 * rest, and then gives one event a call. Each task has its own player: generate.c, vectors.c, transcribe.c. */
#ifndef MM__RUN_SESSION_H
#define MM__RUN_SESSION_H

#include "../assembly/assembly.h"
#include "../base/buf.h"
#include "event.h"
#include "feed.h"
#include "lm.h"
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

/* A message is a run of pieces; a piece is text or one medium. */
typedef struct mm__piece { char *text; size_t len; int32_t medium; } mm__piece; /* medium -1: text */
typedef struct mm__message { char *role; mm__piece *pieces; size_t n, cap; } mm__message;

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

    mm__message *messages;
    size_t n_messages, cap_messages, fed_messages; /* fed_messages: before the last feed */
    mm__medium *media;
    size_t n_media, cap_media, fed_media;

    mm__arena arena;          /* work memory of encoders' graphs */
    mm__lm *lm;               /* decoder side, NULL for tasks without one */
    mm__row *rows;            /* the prompt as rows */
    size_t n_rows, cap_rows;
    mm__row *held;            /* what the KV cache holds */
    size_t n_held, cap_held;
    mm__ids answer;
    mm__textout out;
    size_t n_generated;
    int32_t last_id;          /* reported, not yet in the KV cache; -1: none */
    float *logits;            /* of the last row */
    struct mm__transcription *speech;

    char **stop;              /* stop strings */
    size_t n_stop, cap_stop;
    char **watch;             /* stage names */
    size_t n_watch, cap_watch;
    char language[8];
    char *decoder_prompt;
    mm__ids forced;           /* ids the answer starts with */
    mm__ids given_ids;        /* a prompt given as ids */
    bool translate, no_timestamps, truncate, single_pass, use_history;

    double encode_s, prefill_s, decode_s;
    size_t prefill_rows, prompt_rows;
};

/* conversation.c */
mm_status mm__conversation_add(mm__session *s, const mm__feed *in, mm_error *err);
void mm__conversation_rollback(mm__session *s);
void mm__conversation_clear(mm__session *s);
void mm__conversation_free(mm__session *s);
mm_status mm__conversation_answer(mm__session *s, const char *text, size_t len, mm_error *err);
/* The text of the conversation: rendered, or as it is in raw sessions. *order: media in order of their places. */
mm_status mm__conversation_text(mm__session *s, mm__buf *out, mm__ids *order, mm_error *err);

/* prompt.c: conversation -> s->rows */
mm_status mm__prompt_rows(mm__session *s, mm_error *err);

/* media.c: encodes what `order` names and was not encoded yet */
mm_status mm__media_encode(mm__session *s, int32_t medium, mm_error *err);
mm_status mm__media_vector(mm__session *s, const mm__pixels *p, float **out, int32_t *n, mm_error *err);
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
