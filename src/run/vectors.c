/* Playing encoders: unit vectors of texts and pictures (embed), and probabilities of texts for pictures (score). */
#include "emit.h"
#include "session.h"

#include "../base/error.h"

#include <math.h>
#include <string.h>

static mm_status normalise(float *v, int32_t n, mm_error *err)
{
    double sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (double)v[i] * v[i];
    const double norm = sqrt(sum);
    if (!isfinite(norm)) return mm__fail(err, MM_E_NUMERIC, "the model produced a vector that is not finite");
    for (int32_t i = 0; norm > 0 && i < n; i++) v[i] = (float)(v[i] / norm);
    return MM_OK;
}

/* ---- texts ---- */

/* Ids of a text as the encoder wants them: cut to its positions with the end token kept, padded when it always pads. */
static mm_status text_ids(mm__session *s, const char *text, size_t len, mm__ids *ids, int32_t *pool_row, int32_t *n_real,
                          mm_error *err)
{
    const mm__encoder_info *info = &s->a->text->info;
    mm__buf lower;
    mm__buf_init(&lower, s->mem);
    if (s->a->lower_case) {
        mm__text_lower(text, len, &lower);
        text = mm__buf_str(&lower);
        len = lower.len;
    }
    mm_status st = lower.failed ? mm__nomem(err, "a text in lower case") : mm__tokenize(s->a->tokenizer, text, len, MM__TOKENIZE_AROUND, ids, err);
    mm__buf_free(&lower);
    if (st != MM_OK) return st;
    if (!ids->len) return mm__fail(err, MM_E_ARG, "the text is empty; feed some text");
    if (ids->len > (size_t)info->max_rows) {
        ids->data[info->max_rows - 1] = ids->data[ids->len - 1];
        ids->len = (size_t)info->max_rows;
    }
    *n_real = (int32_t)ids->len;
    while (ids->len < (size_t)info->pad_to)
        if (!mm__ids_push(ids, info->pad_id)) return mm__nomem(err, "token ids");
    *pool_row = (int32_t)ids->len - 1;
    for (size_t i = 0; info->pool_id >= 0 && i < ids->len; i++)
        if (ids->data[i] == info->pool_id) {
            *pool_row = (int32_t)i;
            break;
        }
    return MM_OK;
}

/* One pooling of rows [t, d] -> [d]; `mode` is one of MM__POOL_*. */
static void pool_one(const float *rows, int64_t t, int64_t d, unsigned mode, float *out)
{
    for (int64_t j = 0; j < d; j++) {
        double sum = 0, weights = 0, top = -INFINITY;
        for (int64_t i = 0; i < t; i++) {
            const double x = rows[i * d + j], weight = mode == MM__POOL_WEIGHTED ? (double)(i + 1) : 1;
            sum += weight * x;
            weights += weight;
            if (x > top) top = x;
        }
        switch (mode) {
        case MM__POOL_FIRST: out[j] = rows[j]; break;
        case MM__POOL_LAST: out[j] = rows[(t - 1) * d + j]; break;
        case MM__POOL_MAX: out[j] = (float)top; break;
        case MM__POOL_ROOT: out[j] = (float)(sum / sqrt(weights)); break;
        default: out[j] = (float)(sum / weights);
        }
    }
}

/* The vector of a text, in a new block: every pooling the assembly names, one behind the other. Without one the only row is
 * the vector. */
static mm_status pool_rows(mm__session *s, const float *rows, int64_t t, int64_t d, float **out, int32_t *n, mm_error *err)
{
    const unsigned modes = s->a->pool ? s->a->pool : MM__POOL_FIRST;
    size_t count = 0;
    for (unsigned bit = 1; bit <= MM__POOL_LAST; bit <<= 1) count += (modes & bit) != 0;
    if (!(*out = mm__calloc(s->mem, count * (size_t)d, sizeof **out))) return mm__nomem(err, "a vector");
    *n = (int32_t)count * (int32_t)d;
    float *at = *out;
    for (unsigned bit = 1; bit <= MM__POOL_LAST; bit <<= 1) {
        if (!(modes & bit)) continue;
        pool_one(rows, t, d, bit, at);
        at += d;
    }
    return MM_OK;
}

/* Every row sees the first n_real rows. */
static mm_status write_span(mm__session *s, mm__graph *g, mm__node *span, size_t rows, int32_t n_real, mm_error *err)
{
    int32_t *p = mm__calloc(s->mem, rows, 2 * sizeof *p);
    if (!p) return mm__nomem(err, "spans");
    for (size_t i = 0; i < rows; i++) p[2 * i + 1] = n_real;
    mm_status st = mm__graph_write(g, span, p, rows * 2 * sizeof *p, err);
    mm__free(s->mem, p);
    return st;
}

mm_status mm__emit_text(mm__assembly *a, mm__graph *g, int64_t n, mm__text_graph *out, mm_error *err)
{
    mm__encoder *e = a->text;
    mm__encoder_in *in = &out->in;
    *in = (mm__encoder_in){.ids = mm__input(g, MM__I32, mm__shape1(n), "input_ids")};
    if (e->info.pool_id != -2) in->pool_row = mm__input(g, MM__I32, mm__shape1(1), "pool_row");
    if (a->hide_padding) in->span = mm__input(g, MM__I32, mm__shape2(n, 2), "span");
    mm__features f = {0};
    mm__scope_push(g, "%s", a->vision ? "text" : "");
    e->ops->forward(e, g, in, &f);
    mm__scope_pop(g);
    if (f.last) mm__stage(g, f.last, "last_hidden_state");
    if (f.pooled) mm__stage(g, f.pooled, "pooler_output");
    out->rows = a->pool ? f.last : f.projected ? f.projected : f.pooled;
    if (out->rows) mm__output(g, out->rows);
    return mm__graph_status(g, err);
}

static mm_status run_text(mm__session *s, mm__graph *g, const mm__ids *ids, int32_t pool_row, int32_t n_real, float **out, int32_t *n,
                          mm_error *err)
{
    mm__text_graph e;
    mm_status st = mm__emit_text(s->a, g, (int64_t)ids->len, &e, err);
    if (st == MM_OK) st = mm__encoder_prepare(s, g, err);
    if (st == MM_OK) st = mm__graph_write(g, e.in.ids, ids->data, ids->len * sizeof *ids->data, err);
    if (st == MM_OK && e.in.pool_row) st = mm__graph_write(g, e.in.pool_row, &pool_row, sizeof pool_row, err);
    if (st == MM_OK && e.in.span) st = write_span(s, g, e.in.span, ids->len, n_real, err);
    if (st == MM_OK) st = mm__watch_run(s, g, err);
    if (st != MM_OK) return st;
    const size_t t = (size_t)mm__rows(e.rows), d = (size_t)mm__cols(e.rows);
    float *rows = mm__calloc(s->mem, t * d, sizeof *rows);
    if (!rows) return mm__nomem(err, "rows of a text");
    st = mm__graph_read(g, e.rows, rows, t * d * sizeof *rows, err);
    if (st == MM_OK) st = pool_rows(s, rows, (int64_t)t, (int64_t)d, out, n, err);
    mm__free(s->mem, rows);
    return st;
}

static mm_status text_vector(mm__session *s, const char *text, size_t len, float **out, int32_t *n, mm_error *err)
{
    mm__ids ids;
    mm__graph *g = NULL;
    int32_t pool_row = 0, n_real = 0;
    *out = NULL;
    if (!s->a->text) return mm__fail(err, MM_E_UNSUPPORTED, "this model makes no vectors of text");
    mm__ids_init(&ids, s->mem);
    mm_status st = text_ids(s, text, len, &ids, &pool_row, &n_real, err);
    if (st == MM_OK) st = mm__graph_create(s->a->backend, &g, err);
    if (st == MM_OK) {
        mm__watch_apply(s, g);
        st = run_text(s, g, &ids, pool_row, n_real, out, n, err);
    }
    mm__graph_destroy(g);
    mm__ids_free(&ids);
    return st == MM_OK ? normalise(*out, *n, err) : st;
}

static mm_status piece_vector(mm__session *s, const mm__piece *p, float **out, int32_t *n, mm_error *err)
{
    *out = NULL;
    if (p->kind == MM__PIECE_IDS) return mm__fail(err, MM_E_ARG, "token ids have no vector; feed a text");
    if (p->kind == MM__PIECE_TEXT) return text_vector(s, p->text, p->len, out, n, err);
    const mm__medium *m = &s->line.media[p->medium];
    if (m->kind != MM__ITEM_IMAGE || !s->a->vision) return mm__fail(err, MM_E_UNSUPPORTED, "this model makes no vectors of sound");
    mm_status st = mm__media_vector(s, m->pixels, out, n, err);
    return st == MM_OK ? normalise(*out, *n, err) : st;
}

/* ---- tasks ---- */

typedef struct vector { float *v; int32_t n; bool image; } vector;

static mm_status all_vectors(mm__session *s, vector **out, size_t *count, mm_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < s->line.n_messages; i++) n += s->line.messages[i].n;
    *count = 0;
    if (!n) return mm__fail(err, MM_E_ARG, "the input is empty; feed a text or a picture");
    if (!(*out = mm__calloc(s->mem, n, sizeof **out))) return mm__nomem(err, "vectors");
    for (size_t i = 0; i < s->line.n_messages; i++)
        for (size_t j = 0; j < s->line.messages[i].n; j++) {
            const mm__piece *p = &s->line.messages[i].pieces[j];
            vector *v = &(*out)[(*count)++];
            v->image = p->kind == MM__PIECE_MEDIUM;
            mm_status st = piece_vector(s, p, &v->v, &v->n, err);
            if (st != MM_OK) return st;
        }
    return MM_OK;
}

static mm_status push_vectors(mm__session *s, const vector *v, size_t n, mm_error *err)
{
    for (size_t i = 0; i < n; i++) {
        mm__event *e = mm__queue_push(&s->events, MM_EVENT_VECTOR, v[i].image ? "image" : "text", v[i].image ? 5 : 4);
        if (!mm__event_values(&s->events, e, v[i].v, (size_t)v[i].n)) return mm__nomem(err, "an event");
        e->pub.index = (uint32_t)i;
    }
    return MM_OK;
}

/* logit = scale * cosine + bias; softmax over the texts, or a sigmoid of each. */
static void probabilities(const mm__score_policy *p, const vector *image, const vector *v, size_t n, float *out)
{
    double top = -INFINITY, sum = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (v[i].image) continue;
        double dot = 0;
        for (int32_t j = 0; j < image->n; j++) dot += (double)image->v[j] * v[i].v[j];
        out[k] = (float)(p->scale * dot + p->bias);
        if (out[k] > top) top = out[k];
        k++;
    }
    for (size_t i = 0; i < k && !p->sigmoid; i++) sum += exp(out[i] - top);
    for (size_t i = 0; i < k; i++) out[i] = (float)(p->sigmoid ? 1 / (1 + exp(-(double)out[i])) : exp(out[i] - top) / sum);
}

static mm_status push_scores(mm__session *s, const vector *v, size_t n, mm_error *err)
{
    size_t texts = 0, image = 0;
    for (size_t i = 0; i < n; i++) texts += !v[i].image;
    if (!texts || texts == n) return mm__fail(err, MM_E_ARG, "scoring needs at least one picture and one text");
    float *p = mm__calloc(s->mem, texts, sizeof *p);
    if (!p) return mm__nomem(err, "scores");
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i < n; i++) {
        if (!v[i].image) continue;
        for (size_t j = 0; j < n; j++)
            if (v[j].n != v[i].n) st = mm__fail(err, MM_E_FORMAT, "vectors of %d and %d columns cannot be compared", v[i].n, v[j].n);
        if (st != MM_OK) break;
        probabilities(&s->a->score, &v[i], v, n, p);
        mm__event *e = mm__queue_push(&s->events, MM_EVENT_SCORES, NULL, 0);
        if (mm__event_values(&s->events, e, p, texts)) e->pub.index = (uint32_t)image++;
        else st = mm__nomem(err, "an event");
    }
    mm__free(s->mem, p);
    return st;
}

mm_status mm__vectors_next(mm__session *s, mm_error *err)
{
    vector *v = NULL;
    size_t n = 0;
    s->encode_s = 0;
    s->media_hits = 0;
    mm_status st = all_vectors(s, &v, &n, err);
    if (st == MM_OK) st = s->task == MM__TASK_SCORE ? push_scores(s, v, n, err) : push_vectors(s, v, n, err);
    if (st == MM_OK && !mm__queue_push(&s->events, MM_EVENT_END, "done", 4)) st = mm__nomem(err, "an event");
    for (size_t i = 0; i < n; i++) mm__free(s->mem, v[i].v);
    mm__free(s->mem, v);
    if (st == MM_OK) s->state = MM__DONE;
    return st;
}
