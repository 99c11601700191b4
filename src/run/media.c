/* Media become rows: preprocess, one encoder graph, read the result. Each medium is encoded once a session. Also the
 * delivery of watched stages, which every graph of a session shares. */
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

/* ---- pictures ---- */

typedef struct picture { float *pixels; int32_t w, h; } picture;

mm_status mm__emit_picture(mm__assembly *a, mm__graph *g, int32_t w, int32_t h, mm__picture_graph *out, mm_error *err)
{
    out->pixels = mm__input(g, MM__F32, mm__shape3(3, h, w), "pixel_values");
    mm__stage(g, out->pixels, "pixel_values");
    out->rows = mm__assembly_image_rows(a, g, out->pixels);
    if (out->rows) mm__output(g, out->rows);
    return mm__graph_status(g, err);
}

static mm_status run_picture(mm__session *s, mm__graph *g, const picture *pic, float **out, int32_t *n_rows, int32_t *width,
                             mm_error *err)
{
    mm__picture_graph e;
    mm_status st = mm__emit_picture(s->a, g, pic->w, pic->h, &e, err);
    if (st == MM_OK) st = mm__encoder_prepare(s, g, err);
    if (st == MM_OK) st = mm__graph_write(g, e.pixels, pic->pixels, (size_t)pic->w * (size_t)pic->h * 3 * sizeof(float), err);
    if (st == MM_OK) st = mm__watch_run(s, g, err);
    if (st != MM_OK) return st;
    const size_t n = (size_t)(mm__rows(e.rows) * mm__cols(e.rows));
    if (!(*out = mm__calloc(s->mem, n, sizeof **out))) return mm__nomem(err, "media rows");
    if ((st = mm__graph_read(g, e.rows, *out, n * sizeof **out, err)) != MM_OK) {
        mm__free(s->mem, *out);
        *out = NULL;
        return st;
    }
    *n_rows = (int32_t)mm__rows(e.rows);
    *width = (int32_t)mm__cols(e.rows);
    return MM_OK;
}

static mm_status encode_picture(mm__session *s, const mm__pixels *p, float **out, int32_t *n_rows, int32_t *width, mm_error *err)
{
    picture pic = {0};
    mm__graph *g = NULL;
    const double start = mm__os_now();
    mm_status st = mm__image_preprocess(p, &s->a->image, &pic.pixels, &pic.w, &pic.h, NULL, err);
    if (st == MM_OK) st = mm__graph_create(s->a->backend, &g, err);
    if (st == MM_OK) {
        mm__watch_apply(s, g);
        st = run_picture(s, g, &pic, out, n_rows, width, err);
    }
    mm__graph_destroy(g);
    mm__free(p->mem, pic.pixels);
    s->encode_s += mm__os_now() - start;
    return st;
}

mm_status mm__media_encode(mm__session *s, int32_t medium, mm_error *err)
{
    mm__medium *m = &s->line.media[medium];
    if (m->rows) return MM_OK;
    const mm__prompt_policy *p = &s->a->prompt;
    const int32_t want = mm__assembly_media_width(s->a);
    float *rows = NULL;
    int32_t n = 0, width = 0;
    mm_status st = encode_picture(s, m->pixels, &rows, &n, &width, err);
    if (st == MM_OK && (width != want || (p->media != MM__MEDIA_CROSS && n != p->rows_per_image)))
        st = mm__fail(err, MM_E_FORMAT, "a picture gave %d rows of %d columns where the prompt has %d places of %d", n, width,
                      p->rows_per_image, want);
    if (st != MM_OK) {
        mm__free(s->mem, rows);
        return st;
    }
    m->rows = rows;
    m->n_rows = n;
    m->width = width;
    return MM_OK;
}

mm_status mm__media_vector(mm__session *s, const mm__pixels *p, float **out, int32_t *n, mm_error *err)
{
    int32_t rows;
    return encode_picture(s, p, out, &rows, n, err);
}
