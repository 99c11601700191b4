/* Sentence vectors, image features, speech and the demo vision-language model. */
#include "real.h"

#include "../../src/base/io.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- sentences ---- */

void test_sentences(real *r)
{
    mm_error err = {.size = sizeof err};
    mm_model *m = open_model(r, r->exact, "all-MiniLM-L6-v2");
    if (!m) return;
    mm__json_doc *doc = read_doc(r, "tests/real/minilm.json");
    const mm__json *cases = mm__json_get(mm__json_root(doc), "cases"), *cosine = mm__json_get(mm__json_root(doc), "cosine");
    mm_session *s = NULL;
    mm_input *in = NULL;
    said a;
    mm_session_create(m, NULL, &s, &err);
    mm_input_create(r->exact, &in, &err);
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        size_t len;
        const char *text = mm__json_str(mm__json_get(mm__json_at(cases, i), "sentence"), &len, "");
        mm_input_text(in, text, len, &err);
    }
    if (play(r, "minilm", s, in, &a)) {
        double worst = 0;
        for (size_t i = 0; i < a.n_vectors; i++)
            for (size_t j = 0; j < a.n_vectors; j++) {
                double dot = 0;
                for (size_t k = 0; k < a.width; k++) dot += (double)a.vectors[i][k] * (double)a.vectors[j][k];
                worst = fmax(worst, fabs(dot - mm__json_num(mm__json_at(mm__json_at(cosine, i), j), 9)));
            }
        check(r, "minilm", "cosines", a.n_vectors == mm__json_count(cases) && worst <= 1e-4, "within %.1e", worst);
    }
    said_free(r, &a);
    mm_input_release(in);
    mm_session_release(s);
    mm_model_release(m);
    mm__json_free(doc);
}

/* ---- image features ---- */

/* The recorded pictures are already 224 x 224; the model's own policy would resize to 256 and crop. A folder beside the
 * weights says so. */
static bool make_folder(const char *weights, const char *dir)
{
    char from[2048], to[2048];
    mkdir(dir, 0777);
    static const char *const files[] = {"model.safetensors", "config.json"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(from, sizeof from, "%s/%s", weights, files[i]);
        snprintf(to, sizeof to, "%s/%s", dir, files[i]);
        char *absolute = realpath(from, NULL);
        unlink(to);
        const bool ok = absolute && symlink(absolute, to) == 0;
        free(absolute);
        if (!ok) return false;
    }
    snprintf(to, sizeof to, "%s/preprocessor_config.json", dir);
    FILE *f = fopen(to, "w");
    if (!f) return false;
    fputs("{\"image_processor_type\":\"BitImageProcessor\",\"size\":{\"height\":224,\"width\":224},\"do_center_crop\":false,"
          "\"resample\":3,\"image_mean\":[0.485,0.456,0.406],\"image_std\":[0.229,0.224,0.225]}\n", f);
    return fclose(f) == 0;
}

static double row_gap(const tensor *t, size_t row, const mm__json *want)
{
    double gap = 0;
    for (size_t i = 0; i < mm__json_count(want); i++)
        gap = fmax(gap, fabs(mm__json_num(mm__json_at(want, i), 0) - (double)t->v[row * t->cols + i]));
    return gap;
}

void test_image_features(real *r)
{
    mm_error err = {.size = sizeof err};
    char weights[1024];
    snprintf(weights, sizeof weights, "%s/dinov2-small", r->models);
    if (mm__path_kind(&(mm__files){0}, weights) != MM__PATH_DIR || !make_folder(weights, "build/dinov2-224")) return;
    mm_model *m = open_model(r, r->exact, "build/dinov2-224");
    if (!m) return;
    mm__json_doc *doc = read_doc(r, "tests/real/dinov2_small.json");
    const mm__json *cases = mm__json_get(mm__json_root(doc), "cases");
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        const char *image = mm__json_str(mm__json_get(c, "image_224"), NULL, NULL);
        char path[256];
        mm_session *s = NULL;
        mm_input *in = NULL;
        said a;
        if (!image) continue;
        snprintf(path, sizeof path, "tests/real/%s", image);
        mm_session_create(m, NULL, &s, &err);
        mm_session_set(s, "watch", "last_hidden_state", &err);
        mm_input_create(r->exact, &in, &err);
        mm_input_image_file(in, path, &err);
        if (play(r, "dinov2", s, in, &a)) {
            const tensor *t = stage_of(&a, "last_hidden_state");
            const double scale = 5; /* magnitude of the recorded rows; the bar is 1e-3 of it */
            const double gap = t ? fmax(row_gap(t, 0, mm__json_get(c, "cls_first16")), row_gap(t, 1, mm__json_get(c, "patch0_first8"))) : 9;
            check(r, "dinov2", image, gap <= 1e-3 * scale, "within %.1e", gap);
        }
        said_free(r, &a);
        mm_input_release(in);
        mm_session_release(s);
    }
    mm_model_release(m);
    mm__json_free(doc);
}

/* ---- speech ---- */

/* Words without case and punctuation. */
static void words(const char *s, size_t n, mm__buf *out)
{
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (isalnum(c) || c >= 0x80) mm__buf_putc(out, (char)tolower(c));
        else if (out->len && out->data[out->len - 1] != ' ' && c == ' ') mm__buf_putc(out, ' ');
    }
}

static bool same_words(real *r, const mm__buf *got, const char *want)
{
    mm__buf a, b;
    mm__buf_init(&a, r->mem);
    mm__buf_init(&b, r->mem);
    words(mm__buf_str(got), got->len, &a);
    words(want, strlen(want), &b);
    const bool same = strcmp(mm__buf_str(&a), mm__buf_str(&b)) == 0;
    mm__buf_free(&a);
    mm__buf_free(&b);
    return same;
}

static bool transcribe(real *r, mm_engine *e, mm_model *m, const char *name, bool stages, said *out)
{
    mm_error err = {.size = sizeof err};
    mm_session *s = NULL;
    mm_input *in = NULL;
    mm_session_create(m, NULL, &s, &err);
    if (stages) mm_session_set(s, "watch", "input_features", &err);
    if (stages) mm_session_set(s, "watch", "enc.out", &err);
    mm_input_create(e, &in, &err);
    const mm_status st = mm_input_audio_file(in, "examples/demo/jfk.wav", &err);
    if (st != MM_OK) check(r, name, "audio", false, "%s", err.text);
    const bool ok = st == MM_OK && play(r, name, s, in, out);
    mm_input_release(in);
    mm_session_release(s);
    return ok;
}

/* Recorded samples [row, column, value] of a stage. */
static double samples_gap(const tensor *t, const mm__json *samples)
{
    double gap = 0;
    for (size_t i = 0; i < mm__json_count(samples); i++) {
        const mm__json *p = mm__json_at(samples, i);
        const size_t at = (size_t)mm__json_int(mm__json_at(p, 0), 0) * t->cols + (size_t)mm__json_int(mm__json_at(p, 1), 0);
        gap = fmax(gap, at < t->n ? fabs(mm__json_num(mm__json_at(p, 2), 0) - (double)t->v[at]) : 9);
    }
    return gap;
}

void test_speech(real *r, const char *name, const char *expected, const char *const *forms)
{
    mm__json_doc *doc = read_doc(r, expected);
    const mm__json *ref = mm__json_get(mm__json_root(doc), "transformers"), *want = mm__json_path(ref, "generate_return_timestamps.tokens");
    const char *text = mm__json_str(mm__json_path(ref, "generate_return_timestamps.text"), NULL, "");
    for (size_t f = 0; forms[f]; f++)
        for (int fast = 0; fast < 2; fast++) {
            mm_engine *e = fast ? r->fast : r->exact;
            mm_model *m = open_model(r, e, forms[f]);
            said a;
            if (!m) continue;
            if (transcribe(r, e, m, forms[f], !fast, &a)) {
                check(r, forms[f], fast ? "words fast" : "words exact", same_words(r, &a.text, text), "%s", mm__buf_str(&a.text));
                const tensor *mel = stage_of(&a, "input_features"), *enc = stage_of(&a, "enc.out");
                if (!fast) {
                    size_t same = 0;
                    while (same < a.n_ids && mm__json_int(mm__json_at(want, same), -1) == a.ids[same]) same++;
                    check(r, forms[f], "ids", same == mm__json_count(want), "%zu of %zu", same, mm__json_count(want));
                    const double gap = mel ? samples_gap(mel, mm__json_path(ref, "log_mel.values")) : 9;
                    check(r, forms[f], "log-mel", gap <= 1e-4, "within %.1e", gap);
                    const double top = mm__json_num(mm__json_path(ref, "encoder.max"), 1);
                    const double enc_gap = enc ? samples_gap(enc, mm__json_path(ref, "encoder.values")) / fabs(top) : 9;
                    check(r, forms[f], "encoder", enc_gap <= 3e-4, "within %.1e of the largest", enc_gap);
                }
            }
            said_free(r, &a);
            mm_model_release(m);
        }
    mm__json_free(doc);
    (void)name;
}

/* ---- demo vision-language model ---- */

static void ask(real *r, mm_engine *e, mm_model *m, const char *image, const mm__json *qa)
{
    mm_error err = {.size = sizeof err};
    mm_session_options o;
    mm_session *s = NULL;
    mm_input *in = NULL;
    said a;
    size_t len, same = 0;
    char path[256];
    const char *question = mm__json_str(mm__json_get(qa, "question"), &len, "");
    const mm__json *want = mm__json_get(qa, "answer_ids");
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = (uint32_t)mm__json_count(want);
    snprintf(path, sizeof path, "tests/real/demo/%s", image);
    mm_session_create(m, &o, &s, &err);
    mm_input_create(e, &in, &err);
    mm_input_image_file(in, path, &err);
    mm_input_text(in, question, len, &err);
    if (play(r, image, s, in, &a)) {
        while (same < a.n_ids && mm__json_int(mm__json_at(want, same), -1) == a.ids[same]) same++;
        const double margin = mm__json_num(mm__json_get(qa, "min_margin"), 0), sure = e == r->exact ? 0.05 : 0.1; /* logits shift more in fast */
        const bool equal = same == mm__json_count(want) && a.n_prompt == mm__json_count(mm__json_get(qa, "prompt_ids"));
        if (margin > sure || equal)
            check(r, image, question, equal, "%s (%zu of %zu ids, margin %.3f)", mm__buf_str(&a.text), same, mm__json_count(want), margin);
    }
    said_free(r, &a);
    mm_input_release(in);
    mm_session_release(s);
}

static void demo_in(real *r, mm_engine *e, const char *manifest, const mm__json *pictures)
{
    mm_model *m = open_model(r, e, manifest);
    if (!m) return;
    for (size_t i = 0; i < mm__json_count(pictures); i++) {
        const mm__json *p = mm__json_at(pictures, i), *qa = mm__json_get(p, "qa");
        for (size_t j = 0; j < mm__json_count(qa); j++) ask(r, e, m, mm__json_str(mm__json_get(p, "file"), NULL, ""), mm__json_at(qa, j));
    }
    mm_model_release(m);
}

void test_demo(real *r, const char *manifest)
{
    mm__json_doc *doc = read_doc(r, "tests/real/demo/expected.json");
    const mm__json *pictures = mm__json_get(mm__json_root(doc), "pictures");
    demo_in(r, r->exact, manifest, pictures);
    demo_in(r, r->fast, manifest, pictures);
    mm__json_free(doc);
}
