/* Every encoder and bridge against the reference's tensors: the checkpoints of tests/golden are loaded, fed the recorded
 * pixels, spectrograms or ids, and each recorded stage and output of the parts is compared in precision `exact`. A
 * recorded stage that a part does not emit is a failure; stages are compared in the order of computation, so the first
 * that diverges is the one named. */
#include "../../../src/assembly/source.h"
#include "../../../src/part/part.h"
#include "../base/failing.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_NAME 256
#define MAX_SEEN 512
#define F32_TOL 1e-4 /* of a tensor's largest magnitude */
#define F16_TOL 3e-4 /* where the stored weights are F16 */

enum { LAST = 1, POOLED, PROJECTED, PROJECTED_L2, BRIDGED, MEAN_L2 };

typedef struct output {
    const char *name;         /* as recorded, "out.<name>" */
    int what;
} output;

typedef struct subject {
    const char *dir, *file;   /* below tests/golden; file NULL: the folder's safetensors */
    int kind;                 /* MM__ENC_* */
    const char *json;         /* nested configuration of the encoder, "" the whole */
    const char *prefixes[3];
    const char *bridge;       /* or NULL */
    const char *scope;
    int32_t layer;            /* feature layer the bridge reads, 0: last */
    bool drop_cls;
    bool cut, hide;           /* ids with attention_mask 0: not fed; or fed and hidden from all rows */
    double tol;
    const char *cases[5];
    const char *skip[6];      /* beginnings of recorded stages that belong to other parts */
    const char *alias[5];     /* emitted, recorded, emitted, recorded */
    output outputs[3];
} subject;

typedef struct room {
    const subject *s;
    failing host;
    mm__mem *mem;
    uint64_t at_start;
    mm__backend *backend;
    mm__source *source;
    mm__json_doc *config;     /* for the form without one */
    mm__weights *expected;
    mm__store *store;
    mm__encoder *enc;
    mm__bridge *bridge;
} room;

typedef struct seen {
    char *name[MAX_SEEN];
    size_t n;
    int diverged;
    char first[MAX_NAME];     /* first diverging stage */
} seen;

static mm_error err = {.size = sizeof err};
#define OK(call)                                                                        \
    do {                                                                                \
        if ((call) < 0) fail_msg("%s: %s", #call, err.text);                            \
    } while (0)

/* ---- fixtures ---- */

static const char speech_config[] =
    "{\"model_type\":\"whisper\",\"d_model\":32,\"encoder_layers\":2,\"encoder_attention_heads\":4,\"encoder_ffn_dim\":64,"
    "\"num_mel_bins\":80,\"max_source_positions\":100}";

static mm__loader loader_of(room *r, const char *json, const char *const *prefixes)
{
    mm__config whole = mm__source_config(r->source);
    if (!whole.json && !whole.gguf) {
        whole.json = mm__json_root(r->config);
        whole.arch = "whisper";
    }
    mm__config config = json[0] && whole.json ? mm__config_sub(&whole, json) : whole;
    mm__loader base = {.store = r->store, .mem = r->mem, .weights = r->source->weights, .scheme = mm__source_scheme(r->source)};
    return mm__loader_for(&base, &config, prefixes);
}

static mm_status create_parts(room *r)
{
    static const char *const bridge_prefixes[] = {"", "model.", NULL};
    const subject *s = r->s;
    mm__loader ld = loader_of(r, s->json, s->prefixes), lb = loader_of(r, "", bridge_prefixes);
    mm_status st = mm__encoder_create(&ld, s->kind, &r->enc, &err);
    if (st == MM_OK && s->bridge) st = mm__bridge_create(&lb, s->bridge, &r->bridge, &err);
    return st;
}

static void destroy_parts(room *r)
{
    mm__encoder_destroy(r->enc);
    mm__bridge_destroy(r->bridge);
    r->enc = NULL;
    r->bridge = NULL;
}

static void open_room(room *r, const subject *s)
{
    char path[MAX_NAME];
    mm__log log = {0};
    *r = (room){.s = s};
    r->mem = failing_mem(&r->host, -1);
    r->at_start = mm__mem_live(r->mem);
    OK(mm__backend_create(r->mem, &log, "cpu", 2, true, &r->backend, &err));
    OK(mm__store_create(r->backend, NULL, NULL, 0, &r->store, &err));
    OK(mm__json_parse(r->mem, speech_config, sizeof speech_config - 1, "speech", &r->config, &err));
    snprintf(path, sizeof path, "tests/golden/%s%s%s", s->dir, s->file ? "/" : "", s->file ? s->file : "");
    OK(mm__source_open(&(mm__files){.mem = r->mem}, path, &r->source, &err));
    OK(mm__weights_create(r->mem, &r->expected, &err));
    snprintf(path, sizeof path, "tests/golden/%s/expected.safetensors", s->dir);
    OK(mm__safetensors_add(&(mm__files){.mem = r->mem}, path, r->expected, &err));
    OK(create_parts(r));
}

static void close_room(room *r)
{
    destroy_parts(r);
    mm__store_destroy(r->store);
    mm__source_close(r->source);
    mm__json_free(r->config);
    mm__weights_destroy(r->expected);
    mm__backend_destroy(r->backend);
    assert_int_equal(mm__mem_live(r->mem), r->at_start);
    mm__mem_destroy(r->mem);
}

static const mm__weight *recorded(room *r, const char *cs, const char *name)
{
    char key[2 * MAX_NAME];
    const int n = snprintf(key, sizeof key, "%s/%s", cs, name);
    return n > 0 && (size_t)n < sizeof key ? mm__weights_find(r->expected, key) : NULL;
}

static int64_t count_of(const mm__weight *w)
{
    int64_t n = 0;
    assert_true(mm__shape_count(&w->shape, &n));
    return n;
}

/* Sample `index` of `batch` of a recorded tensor as floats (integers by value); *n elements; mm__free it. */
static float *sample(room *r, const mm__weight *w, int64_t batch, int64_t index, int64_t *n)
{
    int64_t all = count_of(w);
    assert_int_equal(all % batch, 0);
    *n = all / batch;
    unsigned char *raw = mm__alloc(r->mem, w->bytes);
    float *v = mm__calloc(r->mem, (size_t)*n, sizeof *v);
    OK(mm__weight_read(w, 0, raw, w->bytes, &err));
    mm__unpack_row(w->dtype, raw + w->bytes / (size_t)batch * (size_t)index, v, *n);
    mm__free(r->mem, raw);
    return v;
}

/* A tensor of five axes, which weight sets leave out, with the first two folded into one. */
static const mm__weight *five_axes(room *r, const char *cs, const char *name, mm__weight *out)
{
    char key[2 * MAX_NAME], *text;
    uint64_t len;
    mm__json_doc *doc;
    mm__io *io = mm__weights_at(r->expected, 0)->io;
    snprintf(key, sizeof key, "%s/%s", cs, name);
    OK(mm__io_read(io, 0, &len, sizeof len, &err));
    text = mm__alloc(r->mem, len);
    OK(mm__io_read(io, sizeof len, text, len, &err));
    OK(mm__json_parse(r->mem, text, len, "record", &doc, &err));
    const mm__json *entry = mm__json_get(mm__json_root(doc), key), *d = mm__json_get(entry, "shape"), *at = mm__json_get(entry, "data_offsets");
    int64_t axis[5], begin = mm__json_int(mm__json_at(at, 0), 0);
    assert_int_equal(mm__json_count(d), 5);
    for (size_t i = 0; i < 5; i++) axis[i] = mm__json_int(mm__json_at(d, i), 0);
    *out = (mm__weight){.name = name, .dtype = MM__F32, .shape = mm__shape4(axis[0] * axis[1], axis[2], axis[3], axis[4]), .io = io,
                        .offset = sizeof len + len + (uint64_t)begin,
                        .bytes = (size_t)(mm__json_int(mm__json_at(at, 1), 0) - begin)};
    mm__json_free(doc);
    mm__free(r->mem, text);
    return out;
}

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

/* ---- subjects ---- */

static const subject clip_vision = {.dir = "clip", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {""}, .scope = "vision",
                                    .tol = F32_TOL, .cases = {"sim"}, .skip = {"text."},
                                    .outputs = {{"out.image_embeds", PROJECTED_L2}}};
static const subject clip_text = {.dir = "clip", .kind = MM__ENC_TEXT, .json = "text_config", .prefixes = {""}, .scope = "text", .cut = true,
                                  .tol = F32_TOL, .cases = {"sim"}, .skip = {"vision."}, .outputs = {{"out.text_embeds", PROJECTED_L2}}};
static const subject siglip_vision = {.dir = "siglip", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {""}, .scope = "vision",
                                      .tol = F16_TOL, .cases = {"sim"}, .skip = {"text."},
                                      .outputs = {{"out.image_embeds", PROJECTED_L2}}};
static const subject siglip_text = {.dir = "siglip", .kind = MM__ENC_TEXT, .json = "text_config", .prefixes = {""}, .scope = "text", .hide = true,
                                    .tol = F16_TOL, .cases = {"sim"}, .skip = {"vision."}, .outputs = {{"out.text_embeds", PROJECTED_L2}}};
static const subject vit = {.dir = "vit", .kind = MM__ENC_IMAGE, .json = "", .prefixes = {""}, .scope = "", .tol = F32_TOL,
                            .cases = {"photo", "wide", "grey"}, .outputs = {{"out.logits", PROJECTED}}};
static const subject dinov2 = {.dir = "dinov2", .kind = MM__ENC_IMAGE, .json = "", .prefixes = {""}, .scope = "", .tol = F16_TOL,
                               .cases = {"photo", "wide", "grey"},
                               .outputs = {{"out.last_hidden_state", LAST}, {"out.pooler_output", POOLED}}};
static const subject bert = {.dir = "bert", .kind = MM__ENC_TEXT, .json = "", .prefixes = {""}, .scope = "", .tol = F32_TOL,
                             .cases = {"text0", "pair", "unicode"},
                             .outputs = {{"out.last_hidden_state", LAST}, {"out.pooler_output", POOLED}}};
static const subject bert_mean = {.dir = "bert", .kind = MM__ENC_TEXT, .json = "", .prefixes = {""}, .scope = "", .tol = F32_TOL,
                                  .cases = {"mean_pool_l2"}, .outputs = {{"out.sentence_embedding", MEAN_L2}}};
static const subject bert_gguf = {.dir = "bert", .file = "model-f32.gguf", .kind = MM__ENC_TEXT, .json = "", .prefixes = {""}, .scope = "",
                                  .tol = F32_TOL, .cases = {"text0", "pair", "unicode"}, .outputs = {{"out.last_hidden_state", LAST}}};
static const subject whisper = {.dir = "whisper", .kind = MM__ENC_AUDIO, .json = "", .prefixes = {""}, .scope = "enc", .tol = F16_TOL,
                                .cases = {"speech"}, .skip = {"dec."}, .alias = {"enc.conv1", "conv1", "enc.conv2", "conv2"}};
static const subject whisper_ggml = {.dir = "whisper", .file = "ggml-f16.bin", .kind = MM__ENC_AUDIO, .json = "", .prefixes = {""}, .scope = "enc",
                                     .tol = F16_TOL, .cases = {"speech"}, .skip = {"dec."},
                                     .alias = {"enc.conv1", "conv1", "enc.conv2", "conv2"}};
static const subject llava = {.dir = "llava", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {"vision_tower."}, .bridge = "mlp",
                              .scope = "vision", .layer = -2, .drop_cls = true, .tol = F16_TOL, .cases = {"photo", "grey", "two_images"},
                              .skip = {"final_norm"}, .outputs = {{"out.image_hidden_states", BRIDGED}}};
static const subject llava_gguf = {.dir = "llava", .file = "mmproj-f16.gguf", .kind = MM__ENC_IMAGE, .json = "", .prefixes = {""}, .bridge = "mlp",
                                   .scope = "vision", .layer = -1, .drop_cls = true, .tol = F16_TOL, .cases = {"photo", "grey", "two_images"},
                                   .skip = {"final_norm", "vision.hidden_last"},
                                   .alias = {"vision.layer_feature(-1)", "vision.layer_feature(-2)"},
                                   .outputs = {{"out.image_hidden_states", BRIDGED}}};
#define QFORMER(family)                                                                                                     \
    {.dir = family, .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {""}, .bridge = "qformer", .scope = "vision", \
     .tol = F16_TOL, .cases = {"vqa_photo"}}
static const subject blip2_opt = QFORMER("blip2_opt"), blip2_flan_t5 = QFORMER("blip2_flan_t5"), minigpt4 = QFORMER("minigpt4");
static const subject idefics = {.dir = "idefics", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {"model."}, .bridge = "perceiver",
                                .scope = "vision", .tol = F16_TOL, .cases = {"one", "two_interleaved"},
                                .skip = {"final_norm", "layer0", "xattn."}, .outputs = {{"out.image_hidden_states", BRIDGED}}};

/* ---- beyond the record ---- */

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

/* Emits a picture of h x w; the status and, in *rows, the rows of the result. */
static mm_status emit_picture(room *r, int64_t h, int64_t w, int32_t layer, int64_t *rows)
{
    mm__graph *g;
    mm__features f;
    OK(mm__graph_create(r->backend, &g, &err));
    mm__encoder_in in = {.pixels = mm__input(g, MM__F32, mm__shape3(3, h, w), "pixels"), .layer = layer};
    mm_status st = r->enc->ops->forward(r->enc, g, &in, &f);
    mm__graph_status(g, &err);
    if (st == MM_OK) *rows = mm__rows(f.last);
    mm__graph_destroy(g);
    return st;
}

static void other_sizes(void **state)
{
    room r;
    int64_t rows;
    open_room(&r, &clip_vision);
    assert_int_equal(emit_picture(&r, 35, 28, 0, &rows), MM_E_ARG);
    assert_non_null(strstr(err.text, "resize it to 28 x 28"));
    assert_int_equal(emit_picture(&r, 34, 28, 0, &rows), MM_OK); /* left-over pixels are dropped */
    assert_int_equal(emit_picture(&r, 28, 28, 4, &rows), MM_E_ARG);
    assert_int_equal(emit_picture(&r, 28, 28, -4, &rows), MM_E_ARG);
    assert_int_equal(emit_picture(&r, 28, 28, 3, &rows), MM_OK);
    assert_int_equal(rows, 17);
    assert_int_equal(emit_picture(&r, 3, 3, 0, &rows), MM_E_ARG);
    close_room(&r);
    open_room(&r, &vit);
    assert_int_equal(emit_picture(&r, 56, 21, 0, &rows), MM_OK);
    assert_int_equal(rows, 1 + 8 * 3);
    close_room(&r);
}

/* Builds the parts and their graph in a store of their own. */
static mm_status parts_and_graph(room *r)
{
    mm__graph *g = NULL;
    mm__features f = {0};
    mm_status st = mm__store_create(r->backend, NULL, NULL, 0, &r->store, &err);
    if (st == MM_OK) st = create_parts(r);
    if (st == MM_OK) st = mm__graph_create(r->backend, &g, &err);
    if (st == MM_OK) {
        const bool text = r->s->kind == MM__ENC_TEXT;
        mm__encoder_in in = {.layer = r->s->layer};
        *(text ? &in.ids : &in.pixels) = mm__input(g, text ? MM__I32 : MM__F32, text ? mm__shape1(9) : mm__shape3(3, 28, 28), "in");
        r->enc->ops->forward(r->enc, g, &in, &f);
        if (r->bridge) r->bridge->ops->forward(r->bridge, g, r->s->layer ? f.layer : f.last, NULL);
        st = mm__graph_status(g, &err);
    }
    mm__graph_destroy(g);
    destroy_parts(r);
    mm__store_destroy(r->store);
    r->store = NULL;
    return st;
}

/* Every allocation of loading and building may fail: that is an error, and nothing is left behind. */
static void allocations_fail(void **state)
{
    const subject *const all[] = {&vit, &clip_text, &siglip_vision, &bert, &llava, &blip2_opt, &idefics};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        room r;
        mm_status st = MM_E_NOMEM;
        open_room(&r, all[i]);
        destroy_parts(&r);
        mm__store_destroy(r.store);
        const uint64_t live = mm__mem_live(r.mem);
        long k = 0;
        for (; st != MM_OK && k < 10000; k++) {
            r.host.at = atomic_load(&r.host.calls) + k;
            st = parts_and_graph(&r);
            r.host.at = -1;
            if (st != MM_OK && st != MM_E_NOMEM) fail_msg("%s, allocation %ld: status %d, %s", all[i]->dir, k, (int)st, err.text);
            assert_int_equal(mm__mem_live(r.mem), live);
        }
        assert_true(st == MM_OK && k > 50);
        close_room(&r);
    }
}

/* A configuration that contradicts itself or the tensors is refused with a sentence. */
static void bad_configurations(void **state)
{
    static const struct { const char *json, *why; } bad[] = {
        {"{\"model_type\":\"vit\",\"hidden_size\":32,\"num_attention_heads\":5,\"intermediate_size\":64,\"num_hidden_layers\":3}", "do not divide"},
        {"{\"model_type\":\"vit\",\"hidden_size\":32,\"num_attention_heads\":4,\"intermediate_size\":64,\"num_hidden_layers\":3,"
         "\"image_size\":28,\"patch_size\":56}", "do not fit"},
        {"{\"model_type\":\"vit\",\"hidden_size\":32,\"num_attention_heads\":4,\"intermediate_size\":64,\"num_hidden_layers\":4,"
         "\"image_size\":28,\"patch_size\":7}", "layer.3"},
        {"{\"model_type\":\"vit\",\"hidden_size\":64,\"num_attention_heads\":4,\"intermediate_size\":64,\"num_hidden_layers\":3,"
         "\"image_size\":28,\"patch_size\":7}", "shape"},
        {"{\"model_type\":\"vit\",\"hidden_act\":\"snake\"}", "snake"},
        {"{\"model_type\":\"vit\",\"num_hidden_layers\":100000}", "num_hidden_layers"}};
    static const char *const prefixes[] = {"", NULL};
    room r;
    open_room(&r, &vit);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mm__json_doc *doc;
        mm__encoder *e = NULL;
        OK(mm__json_parse(r.mem, bad[i].json, strlen(bad[i].json), "bad", &doc, &err));
        mm__config config = {.source = "bad", .json = mm__json_root(doc), .arch = "vit"};
        mm__loader base = loader_of(&r, "", prefixes), ld = mm__loader_for(&base, &config, prefixes);
        assert_true(mm__encoder_create(&ld, MM__ENC_IMAGE, &e, &err) < 0);
        assert_null(e);
        if (!strstr(err.text, bad[i].why)) fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].why);
        mm__json_free(doc);
    }
    close_room(&r);
}

#define GOLDEN(subject) {"golden: " #subject, golden, NULL, NULL, (void *)(uintptr_t)&subject}

int main(void)
{
    const struct CMUnitTest tests[] = {GOLDEN(vit), GOLDEN(dinov2), GOLDEN(clip_vision), GOLDEN(clip_text), GOLDEN(siglip_vision),
                                       GOLDEN(siglip_text), GOLDEN(bert), GOLDEN(bert_mean), GOLDEN(bert_gguf), GOLDEN(whisper),
                                       GOLDEN(whisper_ggml), GOLDEN(llava), GOLDEN(llava_gguf), GOLDEN(blip2_opt), GOLDEN(blip2_flan_t5),
                                       GOLDEN(minigpt4), GOLDEN(idefics), cmocka_unit_test(divergence_is_found),
                                       cmocka_unit_test(other_sizes), cmocka_unit_test(bad_configurations),
                                       cmocka_unit_test(allocations_fail)};
    return cmocka_run_group_tests_name("encoders and bridges", tests, NULL, NULL);
}
