/* Media become rows: preprocess, one encoder graph, read the result. Each medium is encoded once a session, and not at all where
 * the model's media cache knows it. Also the delivery of watched stages, which every graph of a session shares. */
#include "emit.h"
#include "session.h"

#include "../base/error.h"
#include "../base/os/os.h"

#include <string.h>

/* ---- watched stages ---- */

void mm__watch_apply(mm__session *s, mm__graph *g)
{
    if (s->n_watch) mm__graph_watch(g, (const char *const *)s->watch, s->n_watch);
}

mm_status mm__watch_deliver(mm__session *s, mm__graph *g, mm_error *err)
{
    for (size_t i = 0; i < mm__graph_watched(g); i++) {
        const char *name;
        mm__node *x = mm__graph_watched_at(g, i, &name);
        const mm__shape *shape = mm__node_shape(x);
        int64_t n;
        if (mm__node_dtype(x) != MM__F32 || !mm__shape_count(shape, &n)) continue;
        float *values = mm__calloc(s->mem, (size_t)n, sizeof *values);
        if (!values) return mm__nomem(err, "a stage");
        mm_status st = mm__graph_read(g, x, values, (size_t)n * sizeof *values, err);
        mm__event *e = st == MM_OK ? mm__queue_push(&s->events, MM_EVENT_TENSOR, name, strlen(name)) : NULL;
        if (e && mm__event_values(&s->events, e, values, (size_t)n)) {
            e->pub.n_dims = (uint32_t)shape->n;
            memcpy(e->pub.dims, shape->d, sizeof e->pub.dims);
        } else if (st == MM_OK) {
            st = mm__nomem(err, "a stage");
        }
        mm__free(s->mem, values);
        if (st != MM_OK) return st;
    }
    return MM_OK;
}

static mm_status deliver(void *user, mm__graph *g, mm_error *err)
{
    return mm__watch_deliver(user, g, err);
}

const mm__lm_watch *mm__watch_lm(mm__session *s, mm__lm_watch *w)
{
    if (!s->n_watch) return NULL;
    *w = (mm__lm_watch){(const char *const *)s->watch, s->n_watch, deliver, s};
    return w;
}

mm_status mm__encoder_prepare(mm__session *s, mm__graph *g, mm_error *err)
{
    mm_status st = mm__graph_status(g, err);
    if (st == MM_OK) st = mm__graph_plan(g, err);
    return st == MM_OK ? mm__graph_bind(g, &s->arena, err) : st;
}

mm_status mm__watch_run(mm__session *s, mm__graph *g, mm_error *err)
{
    mm_status st = mm__graph_run(g, &s->cancel, err);
    return st == MM_OK ? mm__watch_deliver(s, g, err) : st;
}

/* ---- rows of an encoder ---- */

/* Vectors are answers, which the host has: it sees to their repetition, and hashing would cost a small encoder much. Watched
 * stages come out of a run only, and a graph that keeps them may round elsewhere. */
static bool use_cache(const mm__session *s)
{
    return (s->task == MM__TASK_GENERATE || s->task == MM__TASK_TRANSCRIBE) && !s->n_watch && mm__media_cache_on(s->media);
}

static mm_status read_rows(mm__session *s, mm__graph *g, mm__node *rows, mm__media_rows *out, mm_error *err)
{
    const size_t n = (size_t)mm__rows(rows), width = (size_t)mm__cols(rows);
    float *data = mm__calloc(s->mem, n, width * sizeof *data);
    mm_status st = data ? mm__graph_read(g, rows, data, n * width * sizeof *data, err) : mm__nomem(err, "media rows");
    if (st == MM_OK) *out = (mm__media_rows){data, (int32_t)n, (int32_t)width};
    else mm__free(s->mem, data);
    return st;
}

static mm_status encode(mm__session *s, const mm__encoder_input *in, mm__encoder_run run, mm__media_rows *out, mm_error *err)
{
    mm__graph *g;
    mm__node *rows = NULL;
    mm_status st = mm__graph_create(s->a->backend, &g, err);
    if (st != MM_OK) return st;
    st = run(s, g, in, &rows, err);
    if (st == MM_OK) st = read_rows(s, g, rows, out, err);
    mm__graph_destroy(g);
    return st;
}

mm_status mm__media_rows_of(mm__session *s, const mm__encoder_input *in, mm__encoder_run run, mm__media_rows *out, mm_error *err)
{
    mm__media_key key;
    const bool cached = use_cache(s);
    *out = (mm__media_rows){0};
    if (cached) {
        mm__media_key_of(in->kind, in->rows, in->columns, in->values, &key);
        if (mm__media_cache_find(s->media, &key, out)) {
            s->media_hits++;
            return MM_OK;
        }
    }
    const mm_status st = encode(s, in, run, out, err);
    if (st == MM_OK && cached) mm__media_cache_keep(s->media, &key, out);
    return st;
}

/* ---- pictures ---- */

mm_status mm__emit_picture(mm__assembly *a, mm__graph *g, int32_t w, int32_t h, mm__picture_graph *out, mm_error *err)
{
    out->pixels = mm__input(g, MM__F32, mm__shape3(3, h, w), "pixel_values");
    mm__stage(g, out->pixels, "pixel_values");
    out->rows = mm__assembly_image_rows(a, g, out->pixels);
    if (out->rows) mm__output(g, out->rows);
    return mm__graph_status(g, err);
}

/* The input's rows are those of the three planes. */
static mm_status run_picture(mm__session *s, mm__graph *g, const mm__encoder_input *in, mm__node **rows, mm_error *err)
{
    mm__picture_graph e;
    mm__watch_apply(s, g);
    mm_status st = mm__emit_picture(s->a, g, (int32_t)in->columns, (int32_t)(in->rows / 3), &e, err);
    if (st == MM_OK) st = mm__encoder_prepare(s, g, err);
    if (st == MM_OK) st = mm__graph_write(g, e.pixels, in->values, (size_t)in->rows * (size_t)in->columns * sizeof *in->values, err);
    if (st == MM_OK) st = mm__watch_run(s, g, err);
    *rows = e.rows;
    return st;
}

static mm_status encode_picture(mm__session *s, const mm__pixels *p, mm__media_rows *out, mm_error *err)
{
    float *pixels = NULL;
    int32_t w = 0, h = 0;
    const double start = mm__os_now();
    *out = (mm__media_rows){0};
    mm_status st = mm__image_preprocess(p, &s->a->image, &pixels, &w, &h, NULL, err);
    const mm__encoder_input in = {"picture", (int64_t)3 * h, w, pixels};
    if (st == MM_OK) st = mm__media_rows_of(s, &in, run_picture, out, err);
    mm__free(p->mem, pixels);
    s->encode_s += mm__os_now() - start;
    return st;
}

mm_status mm__media_encode(mm__session *s, int32_t medium, mm_error *err)
{
    mm__medium *m = &s->line.media[medium];
    if (m->rows) return MM_OK;
    const mm__prompt_policy *p = &s->a->prompt;
    const int32_t want = mm__assembly_media_width(s->a);
    mm__media_rows rows;
    mm_status st = encode_picture(s, m->pixels, &rows, err);
    if (st == MM_OK && (rows.width != want || (p->media != MM__MEDIA_CROSS && rows.n != p->rows_per_image)))
        st = mm__fail(err, MM_E_FORMAT, "a picture gave %d rows of %d columns where the prompt has %d places of %d", rows.n, rows.width,
                      p->rows_per_image, want);
    if (st != MM_OK) {
        mm__free(s->mem, rows.data);
        return st;
    }
    m->rows = rows.data;
    m->n_rows = rows.n;
    m->width = rows.width;
    return MM_OK;
}

mm_status mm__media_vector(mm__session *s, const mm__pixels *p, float **out, int32_t *n, mm_error *err)
{
    mm__media_rows rows;
    const mm_status st = encode_picture(s, p, &rows, err);
    *out = rows.data;
    *n = rows.width;
    return st;
}
