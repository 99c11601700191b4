/* Encoder-decoder models: the prompt's rows go through the text encoder, and its output becomes what the decoder attends
 * to. Media rows replace the embeddings of their placeholders before the first block. */
#include "emit.h"
#include "session.h"

#include "../base/error.h"

#include <string.h>

mm_status mm__emit_memory(mm__assembly *a, mm__graph *g, int32_t n_rows, mm__memory_graph *m, mm_error *err)
{
    mm__encoder *e = a->memory;
    mm__scope_push(g, "encoder");
    m->ids = mm__input(g, MM__I32, mm__shape1(n_rows), "input_ids");
    mm__node *x = e->ops->embed(e, g, m->ids);
    if (m->n_media) {
        m->media = mm__input(g, MM__F32, mm__shape2(m->n_media, e->info.width), "media_rows");
        m->media_at = mm__input(g, MM__I32, mm__shape1(m->n_media), "media_at");
        x = mm__splice(g, x, m->media, m->media_at);
    }
    mm__encoder_in in = {.ids = m->ids, .rows = x};
    mm__features f = {0};
    e->ops->forward(e, g, &in, &f);
    mm__scope_pop(g);
    m->out = mm__stage(g, f.last, "encoder_last_hidden_state");
    if (m->out) mm__output(g, m->out);
    return mm__graph_status(g, err);
}

/* Ids with placeholders zeroed, then media rows and their places. */
static mm_status fill(mm__session *s, mm__graph *g, const mm__memory_graph *m, const mm__lm_media *media, mm_error *err)
{
    const size_t n = s->line.n_rows, width = (size_t)s->a->memory->info.width;
    int32_t *ids = mm__calloc(s->mem, n, sizeof *ids), *at = mm__calloc(s->mem, n, sizeof *at);
    float *data = mm__calloc(s->mem, (size_t)m->n_media, width * sizeof *data);
    mm_status st = MM_OK;
    if (!ids || !at || !data) {
        st = mm__nomem(err, "prompt rows");
        goto done;
    }
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        const mm__row *r = &s->line.rows[i];
        if (r->medium < 0) {
            ids[i] = r->id;
            continue;
        }
        memcpy(data + k * width, media->data[r->medium] + (size_t)r->media_row * width, width * sizeof *data);
        at[k++] = (int32_t)i;
    }
    st = mm__graph_write(g, m->ids, ids, n * sizeof *ids, err);
    if (st == MM_OK && k) st = mm__graph_write(g, m->media, data, k * width * sizeof *data, err);
    if (st == MM_OK && k) st = mm__graph_write(g, m->media_at, at, k * sizeof *at, err);
done:
    mm__free(s->mem, ids);
    mm__free(s->mem, at);
    mm__free(s->mem, data);
    return st;
}

static mm_status read_into_decoder(mm__session *s, mm__graph *g, const mm__memory_graph *m, mm_error *err)
{
    const size_t n = s->line.n_rows * (size_t)mm__cols(m->out);
    float *rows = mm__calloc(s->mem, n, sizeof *rows);
    if (!rows) return mm__nomem(err, "an encoder's output");
    mm_status st = mm__graph_read(g, m->out, rows, n * sizeof *rows, err);
    if (st == MM_OK) st = mm__lm_cross(s->lm, rows, (int32_t)s->line.n_rows, &s->cancel, err);
    mm__free(s->mem, rows);
    return st;
}

mm_status mm__memory_encode(mm__session *s, const mm__lm_media *media, mm_error *err)
{
    mm__graph *g;
    mm__memory_graph m = {0};
    for (size_t i = 0; i < s->line.n_rows; i++) m.n_media += s->line.rows[i].medium >= 0;
    mm_status st = mm__graph_create(s->a->backend, &g, err);
    if (st != MM_OK) return st;
    mm__watch_apply(s, g);
    st = mm__emit_memory(s->a, g, (int32_t)s->line.n_rows, &m, err);
    if (st == MM_OK) st = mm__encoder_prepare(s, g, err);
    if (st == MM_OK) st = fill(s, g, &m, media, err);
    if (st == MM_OK) st = mm__watch_run(s, g, err);
    if (st == MM_OK) st = read_into_decoder(s, g, &m, err);
    mm__graph_destroy(g);
    return st;
}
