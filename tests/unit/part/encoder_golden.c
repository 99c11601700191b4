/* Every encoder and bridge against the reference's tensors: the checkpoints of tests/golden are loaded, fed the recorded
 * pixels, spectrograms or ids, and each recorded stage and output of the parts is compared in precision `exact`. A
 * recorded stage that a part does not emit is a failure; stages are compared in the order of computation, so the first
 * that diverges is the one named. */
#include "encoders.h"

#define MAX_SEEN 512

typedef struct seen {
    char *name[MAX_SEEN];
    size_t n;
    int diverged;
    char first[MAX_NAME];     /* first diverging stage */
} seen;

/* ---- running ---- */

typedef struct line {
    mm__graph *g;
    mm__arena arena;
    mm__encoder_in in;
    float *values;            /* pixels or spectrogram */
    int32_t *ids, *types, *span, row;
    int64_t n;                /* elements of values, or ids */
} line;

static void line_close(room *r, line *l)
{
    mm__graph_destroy(l->g);
    r->backend->ops->arena_free(&l->arena);
    mm__free(r->mem, l->values);
    mm__free(r->mem, l->ids);
    mm__free(r->mem, l->types);
    mm__free(r->mem, l->span);
}

static int32_t *as_ids(room *r, const char *cs, const char *name, int64_t batch, int64_t index, int64_t *n)
{
    const mm__weight *w = recorded(r, cs, name);
    if (!w) return NULL;
    float *v = sample(r, w, batch, index, n);
    int32_t *ids = mm__calloc(r->mem, (size_t)*n, sizeof *ids);
    for (int64_t i = 0; i < *n; i++) ids[i] = (int32_t)v[i];
    mm__free(r->mem, v);
    return ids;
}

static void text_inputs(room *r, const char *cs, int64_t batch, int64_t index, line *l)
{
    int64_t n_mask = 0, n_types = 0;
    l->ids = as_ids(r, cs, "in.input_ids", batch, index, &l->n);
    l->types = as_ids(r, cs, "in.token_type_ids", batch, index, &n_types);
    int32_t *mask = as_ids(r, cs, "in.attention_mask", batch, index, &n_mask), visible = 0;
    for (int64_t i = 0; i < n_mask; i++) visible += mask[i];
    mm__free(r->mem, mask);
    if (r->s->cut) l->n = visible;
    if (r->s->hide) {
        l->span = mm__calloc(r->mem, (size_t)l->n, 2 * sizeof *l->span);
        for (int64_t i = 0; i < l->n; i++) l->span[2 * i + 1] = visible;
        l->in.span = mm__input(l->g, MM__I32, mm__shape2(l->n, 2), "span");
    }
    l->in.ids = mm__input(l->g, MM__I32, mm__shape1(l->n), "ids");
    if (l->types) l->in.types = mm__input(l->g, MM__I32, mm__shape1(l->n), "types");
    if (r->enc->info.pool_id >= 0) {
        while (l->row < l->n && l->ids[l->row] != r->enc->info.pool_id) l->row++;
        assert_true(l->row < l->n);
        l->in.pool_row = mm__input(l->g, MM__I32, mm__shape1(1), "pool_row");
    }
}

/* Samples in the case. */
static int64_t make_inputs(room *r, const char *cs, int64_t index, line *l)
{
    const bool text = r->s->kind == MM__ENC_TEXT, image = r->s->kind == MM__ENC_IMAGE;
    mm__weight folded;
    const mm__weight *w = recorded(r, cs, text ? "in.input_ids" : image ? "in.pixel_values" : "in.input_features");
    if (!w && image) w = five_axes(r, cs, "in.pixel_values", &folded);
    assert_non_null(w);
    const mm__shape *s = &w->shape;
    int64_t batch = 1;
    for (int i = 0; i < s->n - (text ? 1 : image ? 3 : 2); i++) batch *= s->d[i];
    if (text) {
        text_inputs(r, cs, batch, index, l);
        return batch;
    }
    l->values = sample(r, w, batch, index, &l->n);
    mm__shape in = image ? mm__shape3(3, s->d[s->n - 2], s->d[s->n - 1]) : mm__shape2(s->d[s->n - 2], s->d[s->n - 1]);
    *(image ? &l->in.pixels : &l->in.mel) = mm__input(l->g, MM__F32, in, "values");
    return batch;
}

static mm__node *output_node(mm__graph *g, const mm__features *f, mm__node *bridged, int what)
{
    switch (what) {
    case LAST: return f->last;
    case POOLED: return f->pooled;
    case PROJECTED: return f->projected;
    case PROJECTED_L2: return mm__l2_norm(g, f->projected, 1e-12f);
    case MEAN_L2: return mm__l2_norm(g, mm__mean_rows(g, f->last), 1e-12f);
    default: return bridged;
    }
}

static void emit(room *r, line *l)
{
    const subject *s = r->s;
    mm__features f = {0};
    mm__node *bridged = NULL;
    l->in.layer = s->layer;
    mm__scope_push(l->g, "%s", s->scope);
    r->enc->ops->forward(r->enc, l->g, &l->in, &f);
    mm__scope_pop(l->g);
    OK(mm__graph_status(l->g, &err));
    assert_non_null(f.last);
    mm__output(l->g, f.last);
    if (r->bridge) {
        mm__node *x = s->layer ? f.layer : f.last;
        if (s->drop_cls) x = mm__split_rows(l->g, x, 1, mm__rows(x) - 1);
        bridged = r->bridge->ops->forward(r->bridge, l->g, x, NULL);
        OK(mm__graph_status(l->g, &err));
        mm__output(l->g, bridged);
    }
    for (const output *o = s->outputs; o->name; o++) {
        mm__node *x = output_node(l->g, &f, bridged, o->what);
        if (!x) fail_msg("%s: nothing gives %s", s->dir, o->name);
        mm__stage(l->g, x, "%s", o->name);
    }
}

static void run(room *r, line *l)
{
    OK(mm__graph_status(l->g, &err));
    OK(mm__graph_plan(l->g, &err));
    l->arena.backend = r->backend;
    OK(mm__graph_bind(l->g, &l->arena, &err));
    size_t ids = (size_t)l->n * sizeof(int32_t);
    if (l->in.ids) OK(mm__graph_write(l->g, l->in.ids, l->ids, ids, &err));
    if (l->in.types) OK(mm__graph_write(l->g, l->in.types, l->types, ids, &err));
    if (l->in.span) OK(mm__graph_write(l->g, l->in.span, l->span, 2 * ids, &err));
    if (l->in.pool_row) OK(mm__graph_write(l->g, l->in.pool_row, &l->row, sizeof l->row, &err));
    mm__node *x = l->in.pixels ? l->in.pixels : l->in.mel;
    if (x) OK(mm__graph_write(l->g, x, l->values, (size_t)l->n * sizeof *l->values, &err));
    OK(mm__graph_run(l->g, NULL, &err));
}

/* ---- comparison ---- */

/* What the record calls an emitted stage: its name below the case, "st." or "out." first. */
static void recorded_name(const subject *s, const char *emitted, char out[2 * MAX_NAME])
{
    for (int i = 0; i < 4 && s->alias[i]; i += 2)
        if (strcmp(s->alias[i], emitted) == 0) emitted = s->alias[i + 1];
    snprintf(out, 2 * MAX_NAME, "%s%s", strncmp(emitted, "out.", 4) == 0 ? "" : "st.", emitted);
}

static bool skipped(const subject *s, const char *name)
{
    for (int i = 0; i < 6 && s->skip[i]; i++)
        if (strncmp(name, s->skip[i], strlen(s->skip[i])) == 0) return true;
    return false;
}

/* Largest difference over largest magnitude; only the first n_got elements of the record when the ids were cut. */
static double relative_error(const float *got, const float *want, int64_t n)
{
    double diff = 0, top = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        diff = d > diff || d != d ? d : diff;
        top = fmax(top, fabs((double)want[i]));
    }
    return diff == 0 ? 0 : diff / top;
}

static void compare_one(room *r, mm__graph *g, mm__node *x, const char *name, const mm__weight *w, int64_t batch, int64_t index, seen *out)
{
    int64_t n_want, n_got = mm__rows(x) * mm__cols(x);
    float *want = sample(r, w, batch, index, &n_want), *got = mm__calloc(r->mem, (size_t)n_got, sizeof *got);
    if (n_got > n_want || (n_got < n_want && !r->s->cut))
        fail_msg("%s %s: %lld elements where %lld are recorded", r->s->dir, w->name, (long long)n_got, (long long)n_want);
    OK(mm__graph_read(g, x, got, (size_t)n_got * sizeof *got, &err));
    double e = relative_error(got, want, n_got);
    if (!(e <= r->s->tol)) {
        if (!out->diverged) snprintf(out->first, sizeof out->first, "%.180s of sample %lld by %.3g", name, (long long)index, e);
        out->diverged++;
    }
    if (getenv("MM_TEST_VERBOSE")) print_message("  %-14s %-32s %.2e\n", r->s->dir, w->name, e);
    mm__free(r->mem, want);
    mm__free(r->mem, got);
}

static void compare(room *r, const char *cs, mm__graph *g, int64_t batch, int64_t index, seen *out)
{
    for (size_t i = 0; i < mm__graph_watched(g); i++) {
        const char *emitted;
        char name[2 * MAX_NAME];
        mm__node *x = mm__graph_watched_at(g, i, &emitted);
        recorded_name(r->s, emitted, name);
        const mm__weight *w = recorded(r, cs, name);
        if (!w || skipped(r->s, strncmp(name, "st.", 3) == 0 ? name + 3 : name)) continue;
        compare_one(r, g, x, name, w, batch, index, out);
        assert_true(out->n < MAX_SEEN);
        out->name[out->n++] = (char *)w->name;
    }
}

/* Every recorded stage of the parts must have been seen. */
static void check_all_seen(room *r, const char *cs, const seen *s)
{
    char start[MAX_NAME];
    size_t len = (size_t)snprintf(start, sizeof start, "%s/st.", cs);
    for (size_t i = 0; i < mm__weights_count(r->expected); i++) {
        const char *name = mm__weights_at(r->expected, i)->name;
        bool found = strncmp(name, start, len) != 0 || skipped(r->s, name + len);
        for (size_t k = 0; k < s->n && !found; k++) found = strcmp(s->name[k], name) == 0;
        if (!found) fail_msg("%s: the recorded stage %s was not emitted", r->s->dir, name);
    }
    for (const output *o = r->s->outputs; o->name; o++) {
        const mm__weight *w = recorded(r, cs, o->name);
        bool found = !w;
        for (size_t k = 0; w && k < s->n; k++) found = found || strcmp(s->name[k], w->name) == 0;
        if (!found) fail_msg("%s: the recorded output %s was not compared", r->s->dir, o->name);
    }
}

/* Runs sample `feed` of a case and compares with sample `against` of case `as`; returns the batch. */
static int64_t run_sample(room *r, const char *cs, int64_t feed, const char *as, int64_t against, seen *out)
{
    static const char *const all[] = {"*"};
    line l = {0};
    OK(mm__graph_create(r->backend, &l.g, &err));
    mm__graph_watch(l.g, all, 1);
    int64_t batch = make_inputs(r, cs, feed, &l);
    emit(r, &l);
    run(r, &l);
    compare(r, as, l.g, batch, against, out);
    line_close(r, &l);
    return batch;
}

static void golden(void **state)
{
    const subject *s = *state;
    room r;
    open_room(&r, s);
    for (int c = 0; c < 5 && s->cases[c]; c++) {
        int64_t batch = 1;
        for (int64_t i = 0; i < batch; i++) {
            seen out = {0};
            batch = run_sample(&r, s->cases[c], i, s->cases[c], i, &out);
            if (out.diverged)
                fail_msg("%s/%s %s: %d tensors diverge, first %s", s->dir, s->file ? s->file : "", s->cases[c], out.diverged, out.first);
            assert_true(out.n > 0);
            check_all_seen(&r, s->cases[c], &out);
        }
    }
    close_room(&r);
}

/* ---- the test itself ---- */

/* The comparison can fail: one picture's tensors against those of another, and one case against another. */
static void divergence_is_found(void **state)
{
    room r;
    seen out = {0};
    open_room(&r, &clip_vision);
    run_sample(&r, "sim", 0, "sim", 1, &out);
    assert_true(out.diverged >= 4);
    assert_non_null(strstr(out.first, "vision.embeddings"));
    close_room(&r);
    open_room(&r, &vit);
    out = (seen){0};
    run_sample(&r, "grey", 0, "photo", 0, &out);
    assert_true(out.diverged == 4);
    assert_non_null(strstr(out.first, "embeddings"));
    close_room(&r);
}

/* The rows of one feature layer, in a new block. */
static float *layer_rows(room *r, const subject *s, int32_t layer, float **last, int64_t *n)
{
    line l = {0};
    mm__features f = {0};
    OK(mm__graph_create(r->backend, &l.g, &err));
    make_inputs(r, s->cases[0], 0, &l);
    l.in.layer = layer;
    r->enc->ops->forward(r->enc, l.g, &l.in, &f);
    OK(mm__graph_status(l.g, &err));
    assert_non_null(f.layer);
    mm__output(l.g, f.layer);
    mm__output(l.g, f.last);
    run(r, &l);
    *n = mm__rows(f.layer) * mm__cols(f.layer);
    float *rows = mm__calloc(r->mem, (size_t)*n, sizeof *rows);
    *last = mm__calloc(r->mem, (size_t)*n, sizeof **last);
    OK(mm__graph_read(l.g, f.layer, rows, (size_t)*n * sizeof *rows, &err));
    OK(mm__graph_read(l.g, f.last, *last, (size_t)*n * sizeof **last, &err));
    line_close(r, &l);
    return rows;
}

/* Whether the reference's hidden_states end with the rows behind the final norm differs from model to model (transformers
 * 4.57.1: output_hidden_states=True, compared with last_hidden_state). Counted from either end, it is the same layer. */
static void last_layer_as_the_reference(void **state)
{
    static const struct {
        const subject *s;
        bool normed;
    } cases[] = {{&siglip_vision, true}, {&vit, true}, {&clip_vision, true /* it has no norm over all rows */}, {&dinov2, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        room r;
        open_room(&r, cases[i].s);
        const int32_t layers[] = {-1, r.enc->info.n_layer, -2};
        for (int k = 0; k < 3; k++) {
            int64_t n;
            float *last, *rows = layer_rows(&r, cases[i].s, layers[k], &last, &n);
            if ((relative_error(rows, last, n) == 0) != (cases[i].normed && k < 2))
                fail_msg("%s: feature layer %d is %s the last hidden state", cases[i].s->dir, layers[k], cases[i].normed && k < 2 ? "not" : "like");
            mm__free(r.mem, rows);
            mm__free(r.mem, last);
        }
        close_room(&r);
    }
}

#define GOLDEN(subject) {"golden: " #subject, golden, NULL, NULL, (void *)(uintptr_t)&subject}

int main(void)
{
    const struct CMUnitTest tests[] = {GOLDEN(vit), GOLDEN(dinov2), GOLDEN(clip_vision), GOLDEN(clip_text), GOLDEN(siglip_vision),
                                       GOLDEN(siglip_text), GOLDEN(bert), GOLDEN(bert_mean), GOLDEN(bert_gguf), GOLDEN(whisper),
                                       GOLDEN(whisper_ggml), GOLDEN(whisper_ct2), GOLDEN(llava), GOLDEN(llava_gguf), GOLDEN(blip2_opt),
                                       GOLDEN(blip2_flan_t5), GOLDEN(minigpt4), GOLDEN(idefics), cmocka_unit_test(last_layer_as_the_reference),
                                       cmocka_unit_test(divergence_is_found)};
    return cmocka_run_group_tests_name("encoders and bridges", tests, NULL, NULL);
}
