/* What a host wants to feed: text, media and messages in order. Media are decoded when they are added, so a bad file fails
 * at the call that names it; preparing them for a model happens in the session. */
#ifndef MM__RUN_FEED_H
#define MM__RUN_FEED_H

#include "../audio/audio.h"
#include "../base/io.h"
#include "../base/json.h"
#include "../base/log.h"
#include "../image/image.h"

typedef enum mm__item_kind { MM__ITEM_ROLE, MM__ITEM_TEXT, MM__ITEM_IMAGE, MM__ITEM_AUDIO, MM__ITEM_IDS } mm__item_kind;

typedef struct mm__item {
    mm__item_kind kind;
    char *text;               /* ROLE, TEXT */
    char *extra;              /* ROLE: other members of the message, as JSON ("name":"x",...), or NULL */
    size_t len;               /* bytes of text, or count of ids */
    mm__pixels *pixels;
    mm__samples *samples;     /* mono, at the rate it came with */
    int32_t *ids;
} mm__item;

typedef struct mm__feed {
    mm__mem *mem;
    const mm__files *files;   /* what paths name; of the engine */
    const mm__log *log;       /* what it is told of media; NULL: nobody */
    mm__item *items;
    size_t n, cap;
} mm__feed;

void mm__feed_init(mm__feed *in, const mm__files *files);
void mm__feed_free(mm__feed *in);
void mm__feed_drop(mm__feed *in, size_t keep); /* items from `keep` on */
mm_status mm__feed_add_text(mm__feed *in, mm__item_kind kind, const char *text, size_t len, mm_error *err);
mm_status mm__feed_add_ids(mm__feed *in, const int32_t *ids, size_t n, mm_error *err);
/* Encoded bytes; `what` names them in messages. */
mm_status mm__feed_add_media(mm__feed *in, mm__item_kind kind, const void *bytes, size_t len, const char *what, mm_error *err);
mm_status mm__feed_add_file(mm__feed *in, mm__item_kind kind, const char *path, mm_error *err);
/* Decoded media; ownership passes on success and on failure. */
mm_status mm__feed_add_pixels(mm__feed *in, mm__pixels *p, mm_error *err);
mm_status mm__feed_add_samples(mm__feed *in, mm__samples *s, mm_error *err);
/* A conversation in the OpenAI layout. All or nothing. */
mm_status mm__feed_add_messages(mm__feed *in, const char *json, size_t len, const char *base_dir, mm_error *err);

#endif
