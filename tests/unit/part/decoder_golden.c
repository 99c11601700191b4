/* Every decoder against the reference's tensors: the checkpoints of tests/golden are loaded, fed the recorded ids, and each
 * recorded stage, the logits and the greedy continuation (through the key-value cache, one row at a time) are compared in
 * precision `exact`. What a decoder reads beside ids - encoder rows, picture rows - is taken from the record, or from the
 * text encoder of the same file. The first stage that diverges is named. */
#include "../../../src/base/error.h"
#include "../../../src/file/gguf.h"
#include "../../../src/file/legacy_speech.h"
#include "../../../src/part/part.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_NAME 256

typedef struct family {
    const char *dir;  /* below tests/golden */
    const char *file; /* a GGUF or ggml .bin file of the same checkpoint, or NULL: the safetensors folder */
    double tol;       /* of each stage, relative to its largest magnitude; 0: only loading is tested */
    bool greedy;      /* compare the continuation too */
} family;

typedef struct room {
    const family *f;
    mm__mem *mem;
    uint64_t at_start;
    mm__backend *backend;
    mm__weights *weights, *expected;
    mm__gguf *gguf;
    mm__json_doc *config, *cases;
    mm__store *store;
    mm__decoder *dec;
    mm__encoder *enc;
} room;

/* One timeline: caches, and the graph of one-row steps, built once. */
typedef struct line {
    mm__kv *kv, *cross;
    mm__graph *g;
    mm__arena arena;
    mm__step step;
    mm__node *ids, *logits;
    int32_t n_cross;
} line;

static mm_error err = {.size = sizeof err};
#define OK(call)                                                                                                               \
    do {                                                                                                                       \
        if ((call) < 0) fail_msg("%s: %s", #call, err.text);                                                                   \
    } while (0)

/* ---- fixtures ---- */

static const char *path_of(const family *f, const char *name, char buf[MAX_NAME])
{
    snprintf(buf, MAX_NAME, "tests/golden/%s/%s", f->dir, name);
    return buf;
}

static mm__json_doc *read_json(room *r, const char *name)
{
    char path[MAX_NAME];
    char *text;
    size_t len;
    mm__json_doc *doc;
    OK(mm__read_file(&(mm__files){.mem = r->mem}, path_of(r->f, name, path), MM__LIMIT_SIDE_FILE_BYTES, &text, &len, &err));
    OK(mm__json_parse(r->mem, text, len, path, &doc, &err));
    mm__free(r->mem, text);
    return doc;
}

static void open_room(room *r, const family *f)
{
    char path[MAX_NAME];
    static const char *const prefixes[] = {"", NULL};
    mm__log log = {0};
    *r = (room){.f = f};
    r->mem = mm__mem_create(NULL, 0);
    r->at_start = mm__mem_live(r->mem);
    OK(mm__backend_create(r->mem, &log, "cpu", 2, NULL, true, &r->backend, &err));
    OK(mm__weights_create(r->mem, &r->weights, &err));
    OK(mm__weights_create(r->mem, &r->expected, &err));
    OK(mm__safetensors_add(&(mm__files){.mem = r->mem}, path_of(f, "expected.safetensors", path), r->expected, &err));
    r->cases = read_json(r, "expected.json");
    r->config = read_json(r, "config.json");
    mm__config config = {.source = f->dir, .json = mm__json_root(r->config)};
    config.arch = mm__json_str(mm__json_get(config.json, "model_type"), NULL, "");
    mm__scheme scheme = MM__NAMES_HF;
    if (f->file && strstr(f->file, ".gguf")) {
        scheme = MM__NAMES_GGUF;
        OK(mm__gguf_open(&(mm__files){.mem = r->mem}, path_of(f, f->file, path), &r->gguf, &err));
        OK(mm__gguf_add_weights(r->gguf, r->weights, &err));
        config = (mm__config){.source = f->file, .gguf = r->gguf, .arch = mm__gguf_get(r->gguf, "general.architecture").s};
    } else if (f->file) {
        mm__ggml_bin *bin;
        scheme = MM__NAMES_GGML;
        OK(mm__ggml_bin_open(&(mm__files){.mem = r->mem}, path_of(f, f->file, path), r->weights, &bin, &err));
        mm__ggml_bin_free(bin);
    } else {
        snprintf(path, sizeof path, "tests/golden/%s", f->dir);
        OK(mm__safetensors_add_dir(&(mm__files){.mem = r->mem}, path, r->weights, &err));
    }
    OK(mm__store_create(r->backend, NULL, NULL, 0, &r->store, &err));
    mm__loader base = {.store = r->store, .mem = r->mem, .weights = r->weights, .scheme = scheme};
    mm__loader ld = mm__loader_for(&base, &config, prefixes), ld2 = ld;
    OK(mm__decoder_create(&ld, &r->dec, &err));
    if (strcmp(r->dec->ops->name, "t5") == 0) OK(mm__encoder_create(&ld2, MM__ENC_TEXT, &r->enc, &err));
}

static void close_room(room *r)
{
    mm__encoder_destroy(r->enc);
    mm__decoder_destroy(r->dec);
    mm__store_destroy(r->store);
    mm__json_free(r->config);
    mm__json_free(r->cases);
    mm__weights_destroy(r->weights);
    mm__weights_destroy(r->expected);
    mm__gguf_close(r->gguf);
    mm__backend_destroy(r->backend);
    assert_int_equal(mm__mem_live(r->mem), r->at_start);
    mm__mem_destroy(r->mem);
}

/* A recorded tensor as floats, NULL when it was not recorded; mm__free it. */
static float *recorded(room *r, const char *cs, const char *name, mm__shape *shape)
{
    char key[MAX_NAME];
    int64_t n;
    snprintf(key, sizeof key, "%s/%s", cs, name);
    const mm__weight *w = mm__weights_find(r->expected, key);
    if (!w) return NULL;
    void *raw = mm__alloc(r->mem, w->bytes);
    assert_true(mm__shape_count(&w->shape, &n));
    float *v = mm__calloc(r->mem, (size_t)n, sizeof *v);
    OK(mm__weight_read(w, 0, raw, w->bytes, &err));
    mm__unpack_row(w->dtype, raw, v, n);
    mm__free(r->mem, raw);
    *shape = w->shape;
    return v;
}

/* ---- comparison ---- */

static bool same(room *r, const char *cs, const char *what, const float *got, const float *want, int64_t n)
{
    double worst = 0, top = 1e-30;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)got[i] - want[i]);
        if (fabs(want[i]) > top) top = fabs(want[i]);
        if (!(d <= worst)) worst = d;
    }
    bool ok = worst / top <= r->f->tol;
    if (!ok)
        print_error("%s %s %s: stage %s differs by %.3g of its largest magnitude (%.3g allowed)\n", r->f->dir,
                    r->f->file ? r->f->file : "safetensors", cs, what, worst / top, r->f->tol);
    return ok;
}

/* The record's name of a stage. */
static void record_name(const char *stage, char buf[MAX_NAME])
{
    if (strncmp(stage, "decoder.hidden_states", 21) == 0 || strncmp(stage, "encoder.hidden_states", 21) == 0)
        snprintf(buf, MAX_NAME, "st.%.7s_%s", stage, stage + 8);
    else if (strncmp(stage, "decoder.", 8) == 0)
        snprintf(buf, MAX_NAME, "st.dec.%s", stage + 8);
    else
        snprintf(buf, MAX_NAME, "st.%s", stage);
}

/* Compares watched stages in order of emission; true when all that were recorded agree. Counts them. */
static bool compare_stages(room *r, mm__graph *g, const char *cs, int *compared)
{
    for (size_t i = 0; i < mm__graph_watched(g); i++) {
        const char *name;
        char key[MAX_NAME];
        mm__shape s;
        mm__node *x = mm__graph_watched_at(g, i, &name);
        record_name(name, key);
        float *want = recorded(r, cs, key, &s);
        if (!want) continue;
        int64_t n = mm__rows(x) * mm__cols(x), have;
        assert_true(mm__shape_count(&s, &have));
        assert_int_equal(have, n);
        float *got = mm__calloc(r->mem, (size_t)n, sizeof *got);
        OK(mm__graph_read(g, x, got, (size_t)n * sizeof *got, &err));
        bool ok = same(r, cs, name, got, want, n);
        mm__free(r->mem, got);
        mm__free(r->mem, want);
        ++*compared;
        if (!ok) return false;
    }
    return true;
}

/* ---- running ---- */

static void run_graph(room *r, mm__graph *g, mm__arena *arena)
{
    OK(mm__graph_status(g, &err));
    OK(mm__graph_plan(g, &err));
    *arena = (mm__arena){.backend = r->backend};
    OK(mm__graph_bind(g, arena, &err));
}

/* Encoder rows into the cross cache: computed by the file's encoder, or as recorded. Returns the number of rows. */
static int32_t fill_cross(room *r, const char *cs, line *l, bool *ok, int *compared)
{
    mm__shape s;
    mm__graph *g;
    mm__arena arena;
    float *rows = NULL;
    int32_t n, width = r->dec->info.cross_width;
    static const char *const all[] = {"*"};
    OK(mm__graph_create(r->backend, &g, &err));
    mm__graph_watch(g, all, 1);
    mm__node *memory, *in;
    int32_t *ids = NULL;
    if (r->enc) {
        rows = recorded(r, cs, "in.input_ids", &s);
        n = (int32_t)s.d[1];
        ids = mm__calloc(r->mem, (size_t)n, sizeof *ids);
        for (int32_t i = 0; i < n; i++) ids[i] = (int32_t)rows[i];
        in = mm__input(g, MM__I32, mm__shape1(n), "ids");
        mm__encoder_in ei = {.ids = in};
        mm__features feat;
        mm__scope_push(g, "encoder");
        OK(r->enc->ops->forward(r->enc, g, &ei, &feat));
        mm__scope_pop(g);
        memory = feat.last;
    } else {
        rows = recorded(r, cs, "out.image_hidden_states", &s);
        if (!rows) rows = recorded(r, "speech", "st.enc.out", &s);
        assert_non_null(rows);
        int64_t count;
        assert_true(mm__shape_count(&s, &count));
        n = (int32_t)(count / width);
        memory = in = mm__input(g, MM__F32, mm__shape2(n, width), "memory");
    }
    OK(mm__kv_create(r->backend, mm__kv_default(r->backend), r->dec->info.cross, r->dec->info.n_layer, n, &l->cross, &err));
    mm__node *slot = mm__input(g, MM__I32, mm__shape1(n), "slot");
    r->dec->ops->cross(r->dec, g, memory, l->cross, slot);
    run_graph(r, g, &arena);
    int32_t *slots = mm__calloc(r->mem, (size_t)n, sizeof *slots);
    for (int32_t i = 0; i < n; i++) slots[i] = i;
    OK(mm__graph_write(g, slot, slots, (size_t)n * sizeof *slots, &err));
    if (ids)
        OK(mm__graph_write(g, in, ids, (size_t)n * sizeof *ids, &err));
    else
        OK(mm__graph_write(g, in, rows, (size_t)n * (size_t)width * sizeof *rows, &err));
    OK(mm__graph_run(g, NULL, &err));
    *ok = compare_stages(r, g, cs, compared);
    mm__free(r->mem, slots);
    mm__free(r->mem, ids);
    mm__free(r->mem, rows);
    mm__graph_destroy(g);
    r->backend->ops->arena_free(&arena);
    return n;
}

static void open_line(room *r, line *l, int32_t n_ctx)
{
    mm__lm_info *info = &r->dec->info;
    OK(mm__kv_create(r->backend, mm__kv_default(r->backend), info->kv, info->n_layer, n_ctx, &l->kv, &err));
}

static void close_line(room *r, line *l)
{
    mm__graph_destroy(l->g);
    if (l->g) r->backend->ops->arena_free(&l->arena);
    mm__kv_destroy(l->kv);
    mm__kv_destroy(l->cross);
}

static mm__node *emit(room *r, mm__graph *g, line *l, int32_t n_rows, bool is_long, mm__step *step, mm__node **ids)
{
    mm__decoder *d = r->dec;
    *ids = mm__input(g, MM__I32, mm__shape1(n_rows), "ids");
    OK(mm__step_emit(g, l->kv, l->cross, n_rows, d->info.window > 0, step, &err));
    step->long_context = is_long;
    if (r->enc || l->n_cross) mm__scope_push(g, strcmp(d->ops->name, "idefics") ? "decoder" : "");
    mm__node *h = d->ops->forward(d, g, d->ops->embed(d, g, *ids), step);
    mm__node *logits = d->ops->head(d, g, h);
    if (r->enc || l->n_cross) mm__scope_pop(g);
    mm__output(g, logits);
    return logits;
}

/* Prefill of n rows: logits [n, V] (mm__free them). cs NULL: stages are not compared. */
static float *prefill(room *r, line *l, const int32_t *ids, int32_t n, const int32_t *spans, const char *cs, bool *ok,
                      int *compared)
{
    static const char *const all[] = {"*"};
    mm__lm_info *info = &r->dec->info;
    mm__graph *g;
    mm__arena arena;
    mm__step step;
    mm__node *in;
    OK(mm__graph_create(r->backend, &g, &err));
    if (cs) mm__graph_watch(g, all, 1);
    mm__node *logits = emit(r, g, l, n, info->ctx_original > 0 && n > info->ctx_original, &step, &in);
    run_graph(r, g, &arena);
    OK(mm__graph_write(g, in, ids, (size_t)n * sizeof *ids, &err));
    OK(mm__step_write(g, &step, 0, 0, info->window, l->n_cross, spans, &err));
    OK(mm__graph_run(g, NULL, &err));
    if (cs) *ok = compare_stages(r, g, cs, compared) && *ok;
    size_t bytes = (size_t)n * (size_t)info->n_vocab * sizeof(float);
    float *out = mm__alloc(r->mem, bytes);
    OK(mm__graph_read(g, logits, out, bytes, &err));
    mm__graph_destroy(g);
    r->backend->ops->arena_free(&arena);
    return out;
}

static void one_step(room *r, line *l, int32_t id, int32_t pos, const int32_t *span, float *logits)
{
    mm__lm_info *info = &r->dec->info;
    if (!l->g) {
        OK(mm__graph_create(r->backend, &l->g, &err));
        l->logits = emit(r, l->g, l, 1, info->ctx_original > 0 && pos >= info->ctx_original, &l->step, &l->ids);
        run_graph(r, l->g, &l->arena);
    }
    OK(mm__graph_write(l->g, l->ids, &id, sizeof id, &err));
    OK(mm__step_write(l->g, &l->step, pos, 0, info->window, l->n_cross, span, &err));
    OK(mm__graph_run(l->g, NULL, &err));
    OK(mm__graph_read(l->g, l->logits, logits, (size_t)info->n_vocab * sizeof *logits, &err));
}

static int32_t argmax(const float *v, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (v[i] > v[best]) best = i;
    return best;
}

/* The recorded continuation, followed while its margin allows. */
static bool compare_greedy(room *r, line *l, const char *cs, const char *prefix, float *logits, int32_t pos,
                           const int32_t *span)
{
    mm__shape s;
    char name[MAX_NAME];
    snprintf(name, sizeof name, "%s.top5_ids", prefix);
    float *ids = recorded(r, cs, name, &s);
    snprintf(name, sizeof name, "%s.top5_logits", prefix);
    float *top = recorded(r, cs, name, &s);
    bool ok = ids && top;
    for (int64_t i = 0; ok && i < s.d[0]; i++) {
        if (top[5 * i] - top[5 * i + 1] < 1e-3) break;
        int32_t got = argmax(logits, r->dec->info.n_vocab), want = (int32_t)ids[5 * i];
        ok = got == want;
        if (!ok) print_error("%s %s: greedy token %d is %d, the record has %d\n", r->f->dir, cs, (int)i, got, want);
        if (ok && i + 1 < s.d[0]) one_step(r, l, got, pos++, span, logits);
    }
    mm__free(r->mem, ids);
    mm__free(r->mem, top);
    return ok;
}

/* ---- cases ---- */

/* Picture rows each token sees, from image_attention_mask [T, n_images]: the last picture that is not masked. */
static int32_t *spans_of(room *r, const char *cs, int32_t n_cross)
{
    mm__shape s;
    float *mask = recorded(r, cs, "in.image_attention_mask", &s);
    if (!mask) return NULL;
    int32_t n_images = (int32_t)s.d[2], each = n_cross / n_images;
    int32_t *spans = mm__calloc(r->mem, (size_t)s.d[1] * 2, sizeof *spans);
    for (int64_t t = 0; t < s.d[1]; t++)
        for (int32_t i = 0; i < n_images; i++)
            if (mask[t * n_images + i] > 0) spans[2 * t] = each * i, spans[2 * t + 1] = each * (i + 1);
    mm__free(r->mem, mask);
    return spans;
}

static bool compare_logits(room *r, const char *cs, const float *logits, int32_t n, int64_t row)
{
    static const char *const names[] = {"out.logits", "out.prompt_logits", "out.logits_last"};
    bool ok = true;
    int found = 0;
    for (int k = 0; k < 3; k++) {
        mm__shape s;
        float *want = recorded(r, cs, names[k], &s);
        if (!want) continue;
        const int32_t v = r->dec->info.n_vocab, from = k == 2 ? n - 1 : 0, count = k == 2 ? 1 : n;
        ok = same(r, cs, names[k], logits + (int64_t)from * v, want + row * count * v, (int64_t)count * v) && ok;
        mm__free(r->mem, want);
        found++;
    }
    if (!found) print_error("%s %s: no recorded logits\n", r->f->dir, cs);
    return ok && found;
}

static bool case_of_ids(room *r, const char *cs, const int32_t *ids, int32_t n, int64_t row, bool stages, const char *gen,
                        int *compared)
{
    line l = {0};
    bool ok = true, with_cross = r->dec->info.cross != NULL;
    open_line(r, &l, n + 64);
    if (with_cross) l.n_cross = fill_cross(r, cs, &l, &ok, compared);
    int32_t *spans = with_cross ? spans_of(r, cs, l.n_cross) : NULL;
    float *logits = prefill(r, &l, ids, n, spans, stages ? cs : NULL, &ok, compared);
    ok = ok && compare_logits(r, cs, logits, n, row);
    if (ok && gen) {
        const int32_t v = r->dec->info.n_vocab;
        const int32_t *last = spans ? spans + 2 * (n - 1) : NULL;
        int32_t at = n;
        if (r->enc) { /* generation starts anew from the start token */
            one_step(r, &l, r->dec->info.start_id, 0, last, logits);
            at = 1;
        } else {
            memmove(logits, logits + (int64_t)(n - 1) * v, (size_t)v * sizeof *logits);
        }
        ok = compare_greedy(r, &l, cs, gen, logits, at, last);
    }
    mm__free(r->mem, logits);
    mm__free(r->mem, spans);
    close_line(r, &l);
    return ok;
}

static bool run_case(room *r, const char *cs, int *compared)
{
    mm__shape s, ms;
    bool ok = true;
    float *in = recorded(r, cs, "in.decoder_input_ids", &s);
    float *mask = in ? NULL : recorded(r, cs, "in.attention_mask", &ms);
    const char *gen = r->f->greedy ? "gen" : NULL;
    if (!in) in = recorded(r, cs, "in.input_ids", &s);
    if (!in) return true;
    char key[MAX_NAME];
    snprintf(key, sizeof key, "%s/gen.top5_ids", cs);
    if (gen && !mm__weights_find(r->expected, key)) {
        snprintf(key, sizeof key, "%s/out.top5_ids", cs);
        gen = mm__weights_find(r->expected, key) ? "out" : NULL;
    }
    bool positions_from_left = strcmp(r->dec->ops->name, "gpt2") == 0; /* the reference counts padding there */
    int32_t *ids = mm__calloc(r->mem, (size_t)s.d[1], sizeof *ids);
    for (int64_t row = 0; ok && row < s.d[0]; row++) {
        int32_t n = 0;
        for (int64_t t = 0; t < s.d[1]; t++)
            if (!mask || mask[row * s.d[1] + t] > 0) ids[n++] = (int32_t)in[row * s.d[1] + t];
        if (n < s.d[1] && positions_from_left) continue;
        ok = case_of_ids(r, cs, ids, n, row, s.d[0] == 1, gen, compared);
    }
    mm__free(r->mem, ids);
    mm__free(r->mem, in);
    mm__free(r->mem, mask);
    return ok;
}

static void test_family(void **state)
{
    room r;
    int compared = 0, failed = 0;
    open_room(&r, *state);
    const mm__json *cases = mm__json_get(mm__json_root(r.cases), "cases");
    size_t n = r.f->tol > 0 ? mm__json_count(cases) : 1;
    for (size_t i = 0; r.f->tol > 0 && i < n; i++) {
        const char *cs = mm__json_str(mm__json_get(mm__json_at(cases, i), "name"), NULL, "");
        if (strcmp(cs, "greedy_timestamps") == 0 || strcmp(cs, "stereo44k") == 0) continue; /* need sound and rules */
        if (!run_case(&r, cs, &compared)) failed++;
    }
    assert_true(n > 0);
    print_message("%s %s: %zu cases, %d stages\n", r.f->dir, r.f->file ? r.f->file : "safetensors", n, compared);
    close_room(&r);
    assert_int_equal(failed, 0);
}

int main(void)
{
    static const family families[] = {{"llama", NULL, 1e-4, true},
                                      {"llama", "model-f32.gguf", 1e-4, true},
                                      {"llama_sharded_f16", NULL, 3e-4, true},
                                      {"llama_spm_bf16", NULL, 3e-4, true},
                                      {"llama_spm_bf16", "model-bf16.gguf", 3e-4, true},
                                      {"mistral", NULL, 3e-4, true},
                                      {"qwen2", NULL, 1e-4, true},
                                      {"qwen2", "model-f32.gguf", 1e-4, true},
                                      {"qwen3", NULL, 3e-4, true},
                                      {"qwen3", "model-f16.gguf", 3e-4, true},
                                      {"gemma3", NULL, 3e-4, true},
                                      {"phi3", NULL, 3e-4, true},
                                      {"phi3_longrope", NULL, 3e-4, true},
                                      {"phi3_longrope", "model-f16.gguf", 3e-4, true},
                                      {"gpt2", NULL, 1e-4, true},
                                      {"gpt2", "model-f32.gguf", 1e-4, true},
                                      {"opt", NULL, 3e-4, true},
                                      {"opt_350m", NULL, 3e-4, true},
                                      {"llama_quant", NULL, 3e-4, true},
                                      {"t5", NULL, 3e-4, true},
                                      {"t5", "model-f16.gguf", 3e-4, true},
                                      {"flan_t5", NULL, 3e-4, true},
                                      {"flan_t5", "model-f16.gguf", 3e-4, true},
                                      {"whisper", NULL, 3e-4, true},
                                      {"whisper", "ggml-f16.bin", 3e-4, true},
                                      {"idefics", NULL, 3e-4, true},
                                      /* Rounded copies of the checkpoint: looser by the rounding. */
                                      {"llama", "model-f16.gguf", 4e-3, true},
                                      {"llama_quant", "model-Q8_0.gguf", 0.05, false},
                                      {"llama_quant", "model-Q6_K.gguf", 0.15, false},
                                      {"llama_quant", "model-Q5_K_M.gguf", 0.25, false},
                                      {"llama_quant", "model-Q4_K_M.gguf", 0.4, false},
                                      {"llama_quant", "model-Q4_1.gguf", 0.4, false},
                                      /* Twins that lack a hyper-parameter of the checkpoint. */
                                      {"mistral", "model-f16.gguf", 0, false},
                                      {"gemma3", "model-f16.gguf", 0, false},
                                      {"phi3", "model-f16.gguf", 0, false}};
    struct CMUnitTest tests[sizeof families / sizeof *families];
    char names[sizeof families / sizeof *families][MAX_NAME];
    size_t n = sizeof families / sizeof *families;
    for (size_t i = 0; i < n; i++) {
        snprintf(names[i], MAX_NAME, "%s %s", families[i].dir, families[i].file ? families[i].file : "safetensors");
        tests[i] = (struct CMUnitTest){names[i], test_family, NULL, NULL, (void *)(uintptr_t)&families[i]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
