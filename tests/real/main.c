/* real MODELS MANIFEST: the assembled real weights against what reference programs recorded. Models that are not there
 * are left out. Exit status 1 when a check fails. */
#include "real.h"

#include "../../src/base/io.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void check(real *r, const char *model, const char *what, bool ok, const char *fmt, ...)
{
    char detail[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    if (ok) r->passed++;
    else r->failed++;
    printf("%-4s %s %s  %s\n", ok ? "ok" : "FAIL", model, what, detail);
    fflush(stdout);
}

mm__json_doc *read_doc(real *r, const char *path)
{
    mm_error err = {.size = sizeof err};
    char *text;
    size_t len;
    mm__json_doc *doc = NULL;
    mm_status st = mm__read_file(&(mm__files){.mem = r->mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, &err);
    if (st == MM_OK) {
        st = mm__json_parse(r->mem, text, len, path, &doc, &err);
        mm__free(r->mem, text);
    }
    if (st == MM_OK) return doc;
    fprintf(stderr, "real: %s\n", err.text);
    exit(2);
}

mm_model *open_model(real *r, mm_engine *e, const char *name)
{
    mm_error err = {.size = sizeof err};
    mm_model *m = NULL;
    char *path = name[0] == '/' || strchr(name, '/') ? mm__strdup(r->mem, name) : mm__path_join(r->mem, r->models, name);
    if (mm__path_kind(&(mm__files){0}, path) == MM__PATH_NONE) {
        printf("     %s is not there: left out\n", path);
    } else if (mm_model_load(e, path, NULL, &m, &err) != MM_OK) {
        check(r, name, "load", false, "%s", err.text);
    }
    mm__free(r->mem, path);
    return m;
}

static void keep_stage(said *out, const mm_event *e)
{
    if (out->n_stages == 8) return;
    tensor *t = &out->stages[out->n_stages++];
    snprintf(t->name, sizeof t->name, "%.*s", (int)e->len, e->data);
    t->n = e->n_values;
    t->cols = e->n_dims ? (size_t)e->dims[e->n_dims - 1] : 1;
    t->v = malloc(t->n * sizeof *t->v + 1);
    if (t->v) memcpy(t->v, e->values, t->n * sizeof *t->v);
}

static void take(said *out, const mm_event *e)
{
    if (e->kind == MM_EVENT_TEXT || e->kind == MM_EVENT_SEGMENT) mm__buf_put(&out->text, e->data, e->len);
    if (e->kind == MM_EVENT_TENSOR) keep_stage(out, e);
    if (e->kind == MM_EVENT_VECTOR && out->n_vectors < 16) {
        float *v = malloc(e->n_values * sizeof *v + 1);
        if (v) memcpy(v, e->values, e->n_values * sizeof *v);
        out->vectors[out->n_vectors++] = v;
        out->width = e->n_values;
    }
    if (e->kind != MM_EVENT_END) return;
    out->ids = malloc(e->n_ids * sizeof *out->ids + 1);
    if (out->ids && e->n_ids) memcpy(out->ids, e->ids, e->n_ids * sizeof *out->ids);
    out->n_ids = e->n_ids;
    out->n_prompt = e->prompt_tokens;
}

bool play(real *r, const char *model, mm_session *s, mm_input *in, said *out)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    *out = (said){0};
    mm__buf_init(&out->text, r->mem);
    mm_status st = mm_session_feed(s, in, &err);
    if (st == MM_OK)
        while ((st = mm_session_next(s, &e, &err)) == MM_OK) take(out, &e);
    if (st != MM_END) check(r, model, "run", false, "%s", err.text);
    return st == MM_END;
}

void said_free(real *r, said *s)
{
    (void)r;
    for (size_t i = 0; i < s->n_vectors; i++) free(s->vectors[i]);
    for (size_t i = 0; i < s->n_stages; i++) free(s->stages[i].v);
    free(s->ids);
    mm__buf_free(&s->text);
    *s = (said){0};
}

const tensor *stage_of(const said *s, const char *name)
{
    for (size_t i = 0; i < s->n_stages; i++)
        if (strcmp(s->stages[i].name, name) == 0) return &s->stages[i];
    return NULL;
}

static mm_engine *engine(int precision)
{
    mm_engine_options o;
    mm_error err = {.size = sizeof err};
    mm_engine *e;
    mm_engine_options_init(&o, sizeof o);
    o.precision = precision;
    if (mm_engine_create(&o, &e, &err) == MM_OK) return e;
    fprintf(stderr, "real: %s\n", err.text);
    exit(2);
}

int main(int argc, char **argv)
{
    static const char *const base[] = {"whisper-base-hf", "whisper-base-ct2", "ggml-base.bin", NULL};
    static const char *const tiny[] = {"whisper-tiny.en-hf", "whisper-tiny.en-ct2", "ggml-tiny.en.bin", NULL};
    if (argc != 3) {
        fputs("usage: real MODELS MANIFEST\n", stderr);
        return 2;
    }
    real r = {.mem = mm__mem_create(NULL, 0), .models = argv[1], .exact = engine(MM_PRECISION_EXACT), .fast = engine(MM_PRECISION_FAST)};
    test_language_model(&r, "smollm2-135m-instruct-q4_1.gguf", "smollm2");
    test_language_model(&r, "gemma-3-270m-q4_k_m.gguf", "gemma3");
    test_sentences(&r);
    test_image_features(&r);
    test_speech(&r, "whisper-base", "tests/real/whisper_base_jfk.json", base);
    test_speech(&r, "whisper-tiny.en", "tests/real/whisper_tiny.en_jfk.json", tiny);
    test_demo(&r, argv[2]);
    mm_engine_release(r.exact);
    mm_engine_release(r.fast);
    mm__mem_destroy(r.mem);
    printf("%d passed, %d failed\n", r.passed, r.failed);
    return r.failed ? 1 : 0;
}
