/* Recorded tensors against delivered ones. A recorded tensor may hold several pictures or texts (its first axis) where the
 * library delivers one stage for each; texts may be padded, and then only the rows that exist are compared. */
#include "runner.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reference names whose stage is called otherwise here. */
static const struct { const char *recorded, *ours; } aliases[] = {
    {"in.pixel_values", "pixel_values"},
    {"in.input_features", "input_features"},
    {"out.logits", "logits"},
    {"out.logits_last", "logits"},
    {"out.logits_stat", "logits"},
    {"out.last_hidden_state", "last_hidden_state"},
    {"out.pooler_output", "pooler_output"},
    {"out.encoder_last_hidden_state", "encoder_last_hidden_state"},
    {"out.image_hidden_states", "projector|perceiver"},
    {"out.image_embeds", "vector:image"},
    {"out.text_embeds", "vector:text"},
    {"out.sentence_embedding", "vector:text"},
    {"st.conv1", "enc.conv1"},
    {"st.conv2", "enc.conv2"},
};

static const char *const not_compared[] = {"in.attention_mask", "in.input_ids", "in.decoder_input_ids", "in.token_type_ids",
                                           "in.image_attention_mask", "gen.", "out.sequence", "out.top5", "out.prompt_logits",
                                           "out.logits_per_"};

static bool skipped(const char *key)
{
    for (size_t i = 0; i < sizeof not_compared / sizeof *not_compared; i++)
        if (strncmp(key, not_compared[i], strlen(not_compared[i])) == 0) return true;
    return false;
}

/* Whether one of the '|' alternatives is `name`. */
static bool one_of(const char *alternatives, const char *name)
{
    const size_t n = strlen(name);
    for (const char *p = alternatives; (p = strstr(p, name)); p += n)
        if ((p == alternatives || p[-1] == '|') && (p[n] == 0 || p[n] == '|')) return true;
    return false;
}

static void our_name(const char *key, char out[128])
{
    for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
        if (strcmp(aliases[i].recorded, key) == 0) {
            snprintf(out, 128, "%s", aliases[i].ours);
            return;
        }
    const char *name = strncmp(key, "st.", 3) == 0 ? key + 3 : key;
    if (strncmp(name, "encoder_hidden", 14) == 0) snprintf(out, 128, "encoder.%s", name + 8);
    else if (strncmp(name, "decoder_hidden", 14) == 0) snprintf(out, 128, "decoder.%s", name + 8);
    else snprintf(out, 128, "%s", name);
}

typedef struct gap { double worst, scale; size_t n; } gap;

static void widen(gap *g, const float *want, const float *have, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)want[i] - (double)have[i]);
        if (!(d <= g->worst)) g->worst = isnan(d) ? INFINITY : d;
        if (fabs((double)want[i]) > g->scale) g->scale = fabs((double)want[i]);
    }
    g->n += n;
}

/* argmax, max, logsumexp, mean and the first four logits of each row. */
static void stat_rows(const got *logits, float *out, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        const float *x = logits->values + r * (size_t)logits->cols;
        size_t best = 0;
        double sum = 0, mean = 0;
        for (int64_t i = 0; i < logits->cols; i++)
            if (x[i] > x[best]) best = (size_t)i;
        for (int64_t i = 0; i < logits->cols; i++) {
            sum += exp((double)x[i] - (double)x[best]);
            mean += (double)x[i];
        }
        float *o = out + 8 * r;
        o[0] = (float)best;
        o[1] = x[best];
        o[2] = (float)((double)x[best] + log(sum));
        o[3] = (float)(mean / (double)logits->cols);
        memcpy(o + 4, x, 4 * sizeof *o);
    }
}

static bool measure_stat(const float *want, size_t n, const got *x, gap *g)
{
    const size_t rows = x->n / (size_t)x->cols; /* of a recorded batch, the first text is the one that was fed */
    if (!rows || n / 8 % rows) return false;
    float *stat = malloc(n * sizeof *stat + 1);
    if (!stat) return false;
    stat_rows(x, stat, rows);
    for (size_t r = 0; r < rows; r++) widen(g, want + 8 * r + 1, stat + 8 * r + 1, 7); /* ties may move the argmax */
    free(stat);
    return true;
}

/* All deliveries of a name, in order, against the recorded tensor. */
static bool measure(const char *key, const mm__weight *w, const float *want, const char *name, const answer *a, gap *g)
{
    size_t total = 0, times = 0, at = 0;
    const size_t n = w->bytes / sizeof *want;
    for (size_t i = 0; i < a->n; i++)
        if (one_of(name, a->items[i].name)) {
            total += a->items[i].n;
            times++;
        }
    if (!times) return false;
    const bool last_row = strcmp(key, "out.logits_last") == 0, stat = strcmp(key, "out.logits_stat") == 0;
    const bool padded = total != n && w->shape.n && w->shape.d[0] == (int64_t)times;
    for (size_t i = 0; i < a->n; i++) {
        const got *x = &a->items[i];
        if (!one_of(name, x->name)) continue;
        if (stat) return measure_stat(want, n, x, g);
        if (last_row) {
            if (x->n < (size_t)x->cols || n < (size_t)x->cols) return false;
            widen(g, want, x->values + x->n - (size_t)x->cols, (size_t)x->cols);
            return true;
        }
        const size_t room = padded ? n / times : n - at;
        if (x->n > room || (!padded && total != n)) return false;
        widen(g, want + at, x->values, x->n);
        at += padded ? n / times : x->n;
    }
    return true;
}

static float *read_floats(bench *b, const mm__weight *w)
{
    float *p = mm__alloc(b->mem, w->bytes);
    mm_error err = {.size = sizeof err};
    if (p && mm__weight_read(w, 0, p, w->bytes, &err) == MM_OK) return p;
    mm__free(b->mem, p);
    return NULL;
}

static void compare(bench *b, const char *case_name, const mm__weight *w, const char *key, const char *name, const answer *a)
{
    gap g = {0};
    char detail[200];
    float *want = w->dtype == MM__F32 ? read_floats(b, w) : NULL;
    if (!want) return;
    if (!measure(key, w, want, name, a, &g)) {
        snprintf(detail, sizeof detail, "no stage \"%s\" of that size", name);
        report(b, case_name, key, false, detail);
    } else {
        const double relative = g.scale > 0 ? g.worst / g.scale : g.worst;
        const bool pixels = strcmp(key, "in.pixel_values") == 0;
        /* Pixels: one level of 255 after un-normalising; deviations of the usual normalisations are at least 0.22. */
        const bool ok = pixels ? g.worst <= 1.0 / 255 / 0.22 : relative <= b->tolerance;
        if (!pixels && relative > b->worst) b->worst = relative;
        snprintf(detail, sizeof detail, "%.2e of %.3g", relative, g.scale);
        report(b, case_name, key, ok, detail);
    }
    mm__free(b->mem, want);
}

void compare_tensors(bench *b, const char *case_name, const answer *a)
{
    const size_t len = strlen(case_name);
    for (size_t i = 0; i < mm__weights_count(b->expected); i++) {
        const mm__weight *w = mm__weights_at(b->expected, i);
        if (strncmp(w->name, case_name, len) != 0 || w->name[len] != '/') continue;
        const char *key = w->name + len + 1;
        char name[128];
        if (skipped(key)) continue;
        our_name(key, name);
        compare(b, case_name, w, key, name, a);
    }
}

void compare_named(bench *b, const char *case_name, const char *key, const char *name, const answer *a)
{
    const mm__weight *w = mm__weights_find(b->expected, key);
    if (w) compare(b, case_name, w, key, name, a);
}

void compare_ids(bench *b, const char *case_name, const char *what, const mm__json *want, const int32_t *ids, size_t n)
{
    char detail[120];
    size_t same = 0;
    const size_t count = mm__json_count(want);
    while (same < count && same < n && mm__json_int(mm__json_at(want, same), -1) == ids[same]) same++;
    snprintf(detail, sizeof detail, "%zu of %zu equal", same, count);
    report(b, case_name, what, same == count && n == count, detail);
}
