/* The decoder side: two kinds of graphs over one pair of caches. A prompt goes through graphs of up to CHUNK rows, built
 * for the chunk and dropped; a token, with those that are tried behind it, goes through a step graph, which lives as long as
 * the session. Both read what varies (ids, positions, spans) from small inputs.
 *
 * Tried tokens have written their keys and values behind the positions that are held, where nothing looks at them: taking one
 * is to count its position, and to take none back there is nothing to do. */
#include "lm.h"

#include "../base/error.h"

#include <stdio.h>
#include <string.h>

#define CHUNK 512

typedef struct forward {
    mm__graph *g;
    mm__step step;
    mm__node *ids, *media, *media_at, *logits;
    int32_t n_rows, n_media;
} forward;

struct mm__lm {
    mm__mem *mem;
    mm__assembly *a;
    mm__decoder *d;
    mm__kv *kv, *cross;
    mm__dtype type;           /* of both */
    int32_t n_ctx, n_past, n_cross;
    mm__arena arena;
    forward steps[MM__LM_STEP]; /* by rows - 1; g NULL until the first step of so many */
    const forward *tried;     /* whose rows behind n_past can be taken, or NULL */
    int32_t taken;            /* rows of it that are held */
    int32_t *scratch;         /* ids [n_scratch], then spans [n_scratch, 2] of one chunk */
    size_t n_scratch;
    int32_t seen[2];          /* memory the last prompt row attends to; tokens that follow see the same */
    bool has_seen;
    bool is_long;             /* held positions were computed as a long context */
};

/* For what they point to, or what they were built for, changes. */
static void drop_steps(mm__lm *lm)
{
    for (size_t i = 0; i < MM__LM_STEP; i++) {
        mm__graph_destroy(lm->steps[i].g);
        lm->steps[i].g = NULL;
    }
    lm->tried = NULL;
}

void mm__lm_destroy(mm__lm *lm)
{
    if (!lm) return;
    drop_steps(lm);
    mm__kv_destroy(lm->kv);
    mm__kv_destroy(lm->cross);
    if (lm->arena.backend) lm->arena.backend->ops->arena_free(&lm->arena);
    mm__free(lm->mem, lm->scratch);
    mm__free(lm->mem, lm);
}

mm_status mm__lm_create(mm__assembly *a, int32_t n_ctx, mm__dtype type, mm__lm **out, mm_error *err)
{
    *out = NULL;
    mm__lm *lm = mm__zalloc(a->mem, sizeof *lm);
    if (!lm) return mm__nomem(err, "a session");
    lm->mem = a->mem;
    lm->a = a;
    lm->d = a->decoder;
    lm->type = type;
    lm->n_ctx = n_ctx;
    lm->arena.backend = a->backend;
    mm_status st = mm__kv_create(a->backend, type, lm->d->info.kv, lm->d->info.n_layer, n_ctx, &lm->kv, err);
    if (st != MM_OK) mm__lm_destroy(lm);
    else *out = lm;
    return st;
}

int32_t mm__lm_past(const mm__lm *lm) { return lm->n_past; }
int32_t mm__lm_context(const mm__lm *lm) { return lm->n_ctx; }
size_t mm__lm_arena_bytes(const mm__lm *lm) { return lm->arena.bytes; }

size_t mm__lm_kv_bytes(const mm__lm *lm)
{
    return lm->kv->bytes + (lm->cross ? lm->cross->bytes : 0);
}

void mm__lm_truncate(mm__lm *lm, int32_t n_past)
{
    if (n_past >= lm->n_past) return;
    lm->n_past = n_past;
    lm->tried = NULL;
}

/* ---- short and long contexts ---- */

/* A model whose rotary factors depend on the length chooses once for a whole sequence: keys of both kinds do not mix. */
static bool is_long(const mm__lm *lm, size_t n_positions)
{
    const int32_t original = lm->d->info.ctx_original;
    return original > 0 && n_positions > (size_t)original;
}

bool mm__lm_must_restart(const mm__lm *lm, size_t n)
{
    return lm->n_past > 0 && is_long(lm, (size_t)lm->n_past + n) != lm->is_long;
}

/* Whether the device still gives what it holds. */
static bool readable(const mm__lm *lm)
{
    char byte;
    mm__backend *b = lm->a->backend;
    return !mm__kv_runs(lm->kv) || b->ops->read(b, mm__kv_run_at(lm->kv, 0, 1).at, &byte, sizeof byte, NULL) == MM_OK;
}

bool mm__lm_keeps(const mm__lm *lm, size_t n)
{
    return is_long(lm, n) == lm->is_long && (!n || readable(lm));
}

/* ---- saving ---- */

size_t mm__lm_state_bytes(const mm__lm *lm, int32_t n)
{
    return (size_t)n * mm__kv_row_bytes(lm->type, lm->d->info.kv, lm->d->info.n_layer);
}

static size_t longest_run(const mm__lm *lm, int32_t n)
{
    size_t most = 1;
    for (size_t i = 0; i < mm__kv_runs(lm->kv); i++) {
        const mm__kv_run r = mm__kv_run_at(lm->kv, i, n);
        if (r.bytes > most) most = r.bytes;
    }
    return most;
}

/* The first n positions, run by run: read from one cache, shown to the mover, written to the other; each may be NULL. */
static mm_status walk(const mm__lm *from, mm__lm *to, int32_t n, mm__mover move, void *user, mm_error *err)
{
    const mm__lm *any = from ? from : to;
    mm__backend *b = any->a->backend;
    mm_status st = MM_OK;
    void *host = mm__alloc(any->mem, longest_run(any, n));
    if (!host) return mm__nomem(err, "a copy of the cache");
    for (size_t i = 0; st == MM_OK && i < mm__kv_runs(any->kv); i++) {
        const size_t bytes = mm__kv_run_at(any->kv, i, n).bytes;
        if (from) st = b->ops->read(b, mm__kv_run_at(from->kv, i, n).at, host, bytes, err);
        if (st == MM_OK && move) st = move(user, host, bytes, err);
        if (st == MM_OK && to) st = b->ops->write(b, mm__kv_run_at(to->kv, i, n).at, host, bytes, err);
    }
    mm__free(any->mem, host);
    if (to) {
        to->tried = NULL;
        to->n_past = st == MM_OK ? n : 0;
        to->is_long = from ? from->is_long : is_long(to, (size_t)n);
    }
    return st;
}

mm_status mm__lm_save(const mm__lm *lm, int32_t n, mm__mover take, void *user, mm_error *err)
{
    return walk(lm, NULL, n, take, user, err);
}

mm_status mm__lm_restore(mm__lm *lm, int32_t n, mm__mover fill, void *user, mm_error *err)
{
    return walk(NULL, lm, n, fill, user, err);
}

mm_status mm__lm_copy(mm__lm *lm, const mm__lm *from, int32_t n, mm_error *err)
{
    return walk(from, lm, n, NULL, NULL, err);
}

/* ---- building ---- */

/* Rows from `first` on get logits. */
static mm_status emit(mm__lm *lm, forward *f, int32_t first, const char *scope, mm_error *err)
{
    mm__graph *g = f->g;
    const mm__lm_info *info = &lm->d->info;
    mm_status st = mm__step_emit(g, lm->kv, lm->cross, f->n_rows, info->window > 0, &f->step, err);
    if (st != MM_OK) return st;
    f->step.long_context = lm->is_long;
    mm__scope_push(g, "%s", scope);
    f->ids = mm__input(g, MM__I32, mm__shape1(f->n_rows), "input_ids");
    mm__node *x = lm->d->ops->embed(lm->d, g, f->ids);
    if (f->n_media) {
        f->media = mm__input(g, MM__F32, mm__shape2(f->n_media, info->n_embd), "media_rows");
        f->media_at = mm__input(g, MM__I32, mm__shape1(f->n_media), "media_at");
        x = mm__splice(g, x, f->media, f->media_at);
    }
    mm__node *h = lm->d->ops->forward(lm->d, g, x, &f->step);
    if (h && first) h = mm__split_rows(g, h, first, f->n_rows - first);
    mm__scope_pop(g);
    f->logits = lm->d->ops->head(lm->d, g, h);
    if (f->logits) mm__output(g, f->logits);
    return mm__graph_status(g, err);
}

static mm_status build(mm__lm *lm, forward *f, int32_t n_rows, int32_t n_media, int32_t first, const mm__lm_watch *watch,
                       const char *scope, mm_error *err)
{
    *f = (forward){.n_rows = n_rows, .n_media = n_media};
    mm_status st = mm__graph_create(lm->a->backend, &f->g, err);
    if (st != MM_OK) return st;
    if (watch) mm__graph_watch(f->g, watch->patterns, watch->n);
    if ((st = emit(lm, f, first, scope, err)) == MM_OK) st = mm__graph_plan(f->g, err);
    if (st != MM_OK) {
        mm__graph_destroy(f->g);
        f->g = NULL;
    }
    return st;
}

/* ---- filling ---- */

static mm_status need_scratch(mm__lm *lm, size_t rows, mm_error *err)
{
    if (rows <= lm->n_scratch) return MM_OK;
    int32_t *p = mm__calloc(lm->mem, rows, 3 * sizeof *p);
    if (!p) return mm__nomem(err, "a chunk");
    mm__free(lm->mem, lm->scratch);
    lm->scratch = p;
    lm->n_scratch = rows;
    return MM_OK;
}

/* Spans of the cross-attention memory for each row: the most recent medium, all of it, or nothing. */
static const int32_t *cross_spans(mm__lm *lm, const mm__row *rows, int32_t n, const mm__lm_media *media)
{
    if (!lm->cross) return NULL;
    int32_t *span = lm->scratch + lm->n_scratch;
    if (!media || !media->spans) { /* tokens of an answer */
        for (int32_t i = 0; i < n; i++) memcpy(span + 2 * i, lm->seen, sizeof lm->seen);
        return lm->has_seen ? span : NULL;
    }
    for (int32_t i = 0; i < n; i++) {
        const int32_t m = rows[i].sees;
        span[2 * i] = m >= 0 ? media->spans[m][0] : 0;
        span[2 * i + 1] = m >= 0 ? media->spans[m][0] + media->spans[m][1] : 0;
    }
    memcpy(lm->seen, span + 2 * (n - 1), sizeof lm->seen);
    lm->has_seen = true;
    return span;
}

static mm_status write_media(mm__lm *lm, const forward *f, const mm__row *rows, const mm__lm_media *media, mm_error *err)
{
    const size_t width = (size_t)lm->d->info.n_embd;
    float *data = mm__calloc(lm->mem, (size_t)f->n_media, width * sizeof *data);
    int32_t *at = mm__calloc(lm->mem, (size_t)f->n_media, sizeof *at);
    mm_status st = MM_OK;
    if (!data || !at) {
        st = mm__nomem(err, "media rows");
        goto done;
    }
    size_t m = 0;
    for (int32_t i = 0; i < f->n_rows; i++) {
        if (rows[i].medium < 0) continue;
        memcpy(data + m * width, media->data[rows[i].medium] + (size_t)rows[i].media_row * width, width * sizeof *data);
        at[m++] = i;
    }
    st = mm__graph_write(f->g, f->media, data, m * width * sizeof *data, err);
    if (st == MM_OK) st = mm__graph_write(f->g, f->media_at, at, m * sizeof *at, err);
done:
    mm__free(lm->mem, data);
    mm__free(lm->mem, at);
    return st;
}

static mm_status run(mm__lm *lm, forward *f, const mm__row *rows, const mm__lm_media *media, const atomic_int *cancel, mm_error *err)
{
    lm->tried = NULL; /* its scores lie where this graph works */
    mm_status st = need_scratch(lm, (size_t)f->n_rows, err);
    if (st == MM_OK) st = mm__graph_bind(f->g, &lm->arena, err);
    if (st != MM_OK) return st;
    const int32_t n_vocab = lm->d->info.n_vocab;
    for (int32_t i = 0; i < f->n_rows; i++) {
        lm->scratch[i] = rows[i].medium >= 0 ? 0 : rows[i].id;
        if (lm->scratch[i] < 0) return mm__fail(err, MM_E_INTERNAL, "decoder: position %d has neither a token nor a medium", lm->n_past + i);
        if (lm->scratch[i] >= n_vocab)
            return mm__fail(err, MM_E_ARG, "token id %d is outside the model's vocabulary of %d", rows[i].id, n_vocab);
    }
    st = mm__graph_write(f->g, f->ids, lm->scratch, (size_t)f->n_rows * sizeof *lm->scratch, err);
    if (st == MM_OK && f->n_media) st = write_media(lm, f, rows, media, err);
    const int32_t *spans = cross_spans(lm, rows, f->n_rows, media);
    if (st == MM_OK) st = mm__step_write(f->g, &f->step, lm->n_past, 0, lm->d->info.window, lm->n_cross, spans, err);
    if (st == MM_OK) st = mm__graph_run(f->g, cancel, err);
    if (st == MM_OK) lm->n_past += f->n_rows;
    return st;
}

static mm_status read_logits(const mm__lm *lm, const forward *f, int64_t row, float *out, mm_error *err)
{
    return mm__graph_read_rows(f->g, f->logits, row, 1, out, (size_t)lm->d->info.n_vocab * sizeof *out, err);
}

/* Room for n positions more, and their kind of context. */
static mm_status make_room(mm__lm *lm, size_t n, mm_error *err)
{
    if (n > (size_t)(lm->n_ctx - lm->n_past))
        return mm__fail(err, MM_E_CONTEXT,
                        "the context of %d positions is full (%d held, %zu more needed); open a session with a larger one", lm->n_ctx,
                        lm->n_past, n);
    if (mm__lm_must_restart(lm, n))
        return mm__fail(err, MM_E_INTERNAL, "decoder: %d positions of another kind of context are held", lm->n_past);
    lm->is_long = is_long(lm, (size_t)lm->n_past + n);
    return MM_OK;
}

static bool watches_logits(const mm__lm_watch *w)
{
    for (size_t i = 0; w && i < w->n; i++)
        if (strcmp(w->patterns[i], "*") == 0 || strcmp(w->patterns[i], "logits") == 0) return true;
    return false;
}

mm_status mm__lm_prefill(mm__lm *lm, const mm__row *rows, size_t n, const mm__lm_media *media, const mm__lm_watch *watch,
                         const char *scope, const atomic_int *cancel, float *logits, mm_error *err)
{
    mm_status st = make_room(lm, n, err);
    const size_t chunk = watch ? n : CHUNK; /* a watched stage is one tensor over the whole prompt */
    for (size_t at = 0; st == MM_OK && at < n; at += chunk) {
        const int32_t t = (int32_t)(n - at < chunk ? n - at : chunk);
        int32_t n_media = 0;
        for (int32_t i = 0; i < t; i++) n_media += rows[at + (size_t)i].medium >= 0;
        forward f;
        if ((st = build(lm, &f, t, n_media, watches_logits(watch) ? 0 : t - 1, watch, scope, err)) != MM_OK) break;
        st = run(lm, &f, rows + at, media, cancel, err);
        if (st == MM_OK && at + chunk >= n) st = read_logits(lm, &f, mm__rows(f.logits) - 1, logits, err);
        if (st == MM_OK && watch) st = watch->deliver(watch->user, f.g, err);
        mm__graph_destroy(f.g);
    }
    return st;
}

mm_status mm__lm_step(mm__lm *lm, int32_t id, const atomic_int *cancel, float *logits, mm_error *err)
{
    return mm__lm_try(lm, &id, 1, cancel, logits, err);
}

mm_status mm__lm_try(mm__lm *lm, const int32_t *ids, int32_t n, const atomic_int *cancel, float *logits, mm_error *err)
{
    mm__row rows[MM__LM_STEP];
    mm_status st = make_room(lm, (size_t)n, err);
    if (st != MM_OK) return st;
    forward *f = &lm->steps[n - 1];
    if (f->g && f->step.long_context != lm->is_long) drop_steps(lm);
    if (!f->g && (st = build(lm, f, n, 0, 0, NULL, "", err)) != MM_OK) return st;
    for (int32_t i = 0; i < n; i++) rows[i] = (mm__row){ids[i], -1, 0, -1};
    if ((st = run(lm, f, rows, NULL, cancel, err)) != MM_OK) return st;
    lm->n_past -= n - 1;
    lm->tried = f;
    lm->taken = 1;
    return read_logits(lm, f, 0, logits, err);
}

int32_t mm__lm_can_try(const mm__lm *lm)
{
    const int32_t room = lm->n_ctx - lm->n_past;
    int32_t n = lm->a->backend->alike < MM__LM_STEP ? lm->a->backend->alike : MM__LM_STEP;
    if (n > room) n = room;
    while (n > 1 && mm__lm_must_restart(lm, (size_t)n)) n--;
    return n;
}

mm_status mm__lm_take(mm__lm *lm, float *logits, mm_error *err)
{
    if (!lm->tried || lm->taken >= lm->tried->n_rows) return mm__fail(err, MM_E_INTERNAL, "decoder: no token was tried at position %d", lm->n_past);
    const mm_status st = read_logits(lm, lm->tried, lm->taken, logits, err);
    if (st != MM_OK) return st;
    lm->taken++;
    lm->n_past++;
    return MM_OK;
}

mm_status mm__lm_logits_from(mm__lm *lm, const int32_t *ids, size_t n, size_t first, const mm__lm_watch *watch, const char *scope,
                             const atomic_int *cancel, float *logits, mm_error *err)
{
    mm_status st = make_room(lm, n, err);
    if (st != MM_OK) return st;
    mm__row *rows = mm__calloc(lm->mem, n, sizeof *rows);
    if (!rows) return mm__nomem(err, "rows");
    for (size_t i = 0; i < n; i++) rows[i] = (mm__row){ids[i], -1, 0, -1};
    forward f;
    if ((st = build(lm, &f, (int32_t)n, 0, (int32_t)first, watch, scope, err)) == MM_OK) {
        st = run(lm, &f, rows, NULL, cancel, err);
        if (st == MM_OK) st = mm__graph_read(f.g, f.logits, logits, (n - first) * (size_t)lm->d->info.n_vocab * sizeof *logits, err);
        if (st == MM_OK && watch) st = watch->deliver(watch->user, f.g, err);
        mm__graph_destroy(f.g);
    }
    mm__free(lm->mem, rows);
    return st;
}

/* ---- cross-attention memory ---- */

static mm_status need_cross(mm__lm *lm, int32_t n, mm_error *err)
{
    if (lm->cross && lm->cross->n_ctx >= n) return MM_OK;
    drop_steps(lm); /* they point into the old cache */
    mm__kv_destroy(lm->cross);
    lm->cross = NULL;
    return mm__kv_create(lm->a->backend, lm->type, lm->d->info.cross, lm->d->info.n_layer, n, &lm->cross, err);
}

static mm_status cross_emit(mm__lm *lm, mm__graph *g, int32_t n, mm__node **memory, mm__node **slot, mm_error *err)
{
    *memory = mm__input(g, MM__F32, mm__shape2(n, lm->d->info.cross_width), "memory");
    *slot = mm__input(g, MM__I32, mm__shape1(n), "slot");
    lm->d->ops->cross(lm->d, g, *memory, lm->cross, *slot);
    mm_status st = mm__graph_status(g, err);
    return st == MM_OK ? mm__graph_plan(g, err) : st;
}

static mm_status cross_run(mm__lm *lm, mm__graph *g, const float *rows, int32_t n, const atomic_int *cancel, mm_error *err)
{
    const size_t width = (size_t)lm->d->info.cross_width;
    mm__node *memory, *slot;
    mm_status st = cross_emit(lm, g, n, &memory, &slot, err);
    if (st == MM_OK) st = mm__graph_bind(g, &lm->arena, err);
    if (st == MM_OK) st = need_scratch(lm, (size_t)n, err);
    if (st != MM_OK) return st;
    for (int32_t i = 0; i < n; i++) lm->scratch[i] = i;
    st = mm__graph_write(g, memory, rows, (size_t)n * width * sizeof *rows, err);
    if (st == MM_OK) st = mm__graph_write(g, slot, lm->scratch, (size_t)n * sizeof *lm->scratch, err);
    return st == MM_OK ? mm__graph_run(g, cancel, err) : st;
}

mm_status mm__lm_cross(mm__lm *lm, const float *rows, int32_t n, const atomic_int *cancel, mm_error *err)
{
    mm_status st = need_cross(lm, n > 0 ? n : 1, err);
    lm->n_cross = 0;
    lm->has_seen = false;
    if (st != MM_OK || n == 0) return st;
    mm__graph *g;
    if ((st = mm__graph_create(lm->a->backend, &g, err)) != MM_OK) return st;
    st = cross_run(lm, g, rows, n, cancel, err);
    if (st == MM_OK) lm->n_cross = n;
    mm__graph_destroy(g);
    return st;
}

/* ---- measuring ---- */

static mm_status measure_chunk(mm__lm *lm, int32_t n_rows, int32_t n_media, bool all_logits, size_t *most, mm_error *err)
{
    forward f;
    mm_status st = build(lm, &f, n_rows, n_media, all_logits ? 0 : n_rows - 1, NULL, "", err);
    if (st != MM_OK) return st;
    if (mm__graph_bytes(f.g) > *most) *most = mm__graph_bytes(f.g);
    mm__graph_destroy(f.g);
    return MM_OK;
}

static mm_status measure_cross(mm__lm *lm, int32_t n, size_t *most, mm_error *err)
{
    mm__graph *g;
    mm__node *memory, *slot;
    mm_status st = mm__graph_create(lm->a->backend, &g, err);
    if (st != MM_OK) return st;
    st = cross_emit(lm, g, n, &memory, &slot, err);
    if (st == MM_OK && mm__graph_bytes(g) > *most) *most = mm__graph_bytes(g);
    mm__graph_destroy(g);
    return st;
}

mm_status mm__lm_measure(mm__assembly *a, const mm__lm_use *use, mm__lm_bytes *out, mm_error *err)
{
    const mm__lm_info *info = &a->decoder->info;
    mm__lm lm = {.mem = a->mem, .a = a, .d = a->decoder, .n_ctx = use->n_ctx};
    const int32_t chunk = use->all_logits || use->n_rows < CHUNK ? use->n_rows : CHUNK;
    *out = (mm__lm_bytes){0};
    mm_status st = mm__kv_sketch(a->backend, use->type, info->kv, info->n_layer, use->n_ctx, &lm.kv, err);
    if (st == MM_OK && info->cross) st = mm__kv_sketch(a->backend, use->type, info->cross, info->n_layer, use->n_cross, &lm.cross, err);
    if (st == MM_OK && lm.cross) st = measure_cross(&lm, use->n_cross, &out->arena, err);
    if (st == MM_OK) st = measure_chunk(&lm, chunk, use->n_media < chunk ? use->n_media : chunk, use->all_logits, &out->arena, err);
    if (st == MM_OK) st = measure_chunk(&lm, 1, 0, true, &out->arena, err);
    if (st == MM_OK) {
        out->kv = lm.kv->bytes;
        out->cross = lm.cross ? lm.cross->bytes : 0;
    }
    mm__kv_destroy(lm.kv);
    mm__kv_destroy(lm.cross);
    return st;
}
