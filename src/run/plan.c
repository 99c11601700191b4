/* The memory plan of a session before there is one: the graphs that a session would run are emitted over caches without
 * memory, and measured. It is the plan of the model's first task with plain options and
 *   - a prompt that fills the context, one picture in it where the model takes pictures,
 *   - one window of sound,
 *   - a text that fills the context, for models that make vectors,
 * so it bounds shorter prompts from above. The text of a conversation, decoded media and events come on top, as do stages
 * that are watched (their values stay), a recogniser's "history" (its prompts are longer) and, in a context of a few positions,
 * the scores of drafts that "lookup" has tried. */
#include "emit.h"
#include "session.h"

#include <inttypes.h>

#define SPEECH_PROMPT 4 /* start, language, task, no timestamps */

static int32_t smaller(int32_t a, int32_t b) { return a < b ? a : b; }

/* Plans a graph that was emitted with status `st` and drops it. */
static mm_status measure(mm__graph *g, mm_status st, uint64_t *most, mm_error *err)
{
    if (st == MM_OK) st = mm__graph_plan(g, err);
    if (st == MM_OK && mm__graph_bytes(g) > *most) *most = mm__graph_bytes(g);
    mm__graph_destroy(g);
    return st;
}

/* *rows: what one picture gives. */
static mm_status plan_picture(mm__assembly *a, uint64_t *most, int32_t *rows, mm_error *err)
{
    mm__graph *g;
    mm__picture_graph e;
    int32_t w, h;
    mm__image_policy_size(&a->image, a->vision->info.image_size, a->vision->info.image_size, &w, &h);
    mm_status st = mm__graph_create(a->backend, &g, err);
    if (st != MM_OK) return st;
    st = mm__emit_picture(a, g, w, h, &e, err);
    if (st == MM_OK) *rows = (int32_t)mm__rows(e.rows);
    return measure(g, st, most, err);
}

static mm_status plan_sound(mm__assembly *a, uint64_t *most, int32_t *rows, mm_error *err)
{
    mm__graph *g;
    mm__speech_graph e;
    mm_status st = mm__graph_create(a->backend, &g, err);
    if (st != MM_OK) return st;
    st = mm__emit_speech(a, g, &e, err);
    if (st == MM_OK) *rows = (int32_t)mm__rows(e.rows);
    return measure(g, st, most, err);
}

static mm_status plan_memory(mm__assembly *a, int32_t n_rows, int32_t n_media, uint64_t *most, mm_error *err)
{
    mm__graph *g;
    mm__memory_graph m = {.n_media = smaller(n_media, n_rows)};
    mm_status st = mm__graph_create(a->backend, &g, err);
    return st == MM_OK ? measure(g, mm__emit_memory(a, g, n_rows, &m, err), most, err) : st;
}

static mm_status plan_text(mm__assembly *a, uint32_t n, uint64_t *most, mm_error *err)
{
    mm__graph *g;
    mm__text_graph e;
    int32_t rows = a->text->info.max_rows;
    if (n && n < (uint32_t)rows) rows = (int32_t)n;
    if (rows < a->text->info.pad_to) rows = a->text->info.pad_to;
    mm_status st = mm__graph_create(a->backend, &g, err);
    return st == MM_OK ? measure(g, mm__emit_text(a, g, rows, &e, err), most, err) : st;
}

static mm_status plan_decoder(mm__assembly *a, uint32_t n_ctx, mm__dtype kv_type, int32_t media_rows, mm__plan *out, mm_error *err)
{
    const int32_t most = a->decoder->info.n_ctx;
    const int32_t ctx = n_ctx && n_ctx < (uint32_t)most && !a->speech ? (int32_t)n_ctx : most;
    const bool spliced = a->prompt.media == MM__MEDIA_SPLICE || a->prompt.media == MM__MEDIA_FIRST;
    mm__lm_use use = {.n_ctx = ctx, .type = kv_type, .n_rows = ctx, .n_media = spliced ? media_rows : 0, .n_cross = media_rows};
    mm__lm_bytes b;
    mm_status st = MM_OK;
    if (a->speech) {
        use.n_rows = smaller(SPEECH_PROMPT, ctx);
        use.all_logits = true;
    }
    if (a->memory) { /* the prompt is the encoder's; the decoder starts with its start token */
        st = plan_memory(a, ctx, use.n_media, &out->encoder, err);
        use.n_rows = 1;
        use.n_media = 0;
        use.n_cross = ctx;
    }
    if (use.n_cross < 1) use.n_cross = 1;
    if (st == MM_OK) st = mm__lm_measure(a, &use, &b, err);
    if (st != MM_OK) return st;
    out->kv = b.kv;
    out->cross = b.cross;
    out->decoder = b.arena;
    return MM_OK;
}

mm_status mm__session_plan(mm__assembly *a, uint32_t n_ctx, mm__dtype kv_type, mm__plan *out, mm_error *err)
{
    mm_status st = MM_OK;
    int32_t media_rows = 0;
    *out = (mm__plan){.weights = mm__store_bytes(a->store), .tables = a->table_bytes};
    if (a->vision) st = plan_picture(a, &out->encoder, &media_rows, err);
    if (st == MM_OK && a->speech) st = plan_sound(a, &out->encoder, &media_rows, err);
    if (st == MM_OK && a->text && !a->decoder) st = plan_text(a, n_ctx, &out->encoder, err);
    if (st == MM_OK && a->decoder) st = plan_decoder(a, n_ctx, kv_type, media_rows, out, err);
    out->total = out->weights + out->tables + out->kv + out->cross + out->encoder + out->decoder;
    return st;
}

void mm__plan_log(const mm__session *s)
{
    mm__plan p;
    if (!s->log.fn || s->log.level < MM_LOG_DEBUG || mm__session_plan(s->a, s->opt.n_ctx, s->kv_type, &p, NULL) != MM_OK) return;
    mm__logf(&s->log, MM_LOG_DEBUG, "run",
             "a session of %u positions: weights %" PRIu64 ", tables %" PRIu64 ", caches %" PRIu64 " + %" PRIu64
             ", work memory %" PRIu64 " + %" PRIu64 ", in all %" PRIu64 " bytes",
             s->opt.n_ctx, p.weights, p.tables, p.kv, p.cross, p.encoder, p.decoder, p.total);
}
