/* Running one recorded case through the public interface, with every stage watched. */
#include "runner.h"

#include "../../../src/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void answer_free(answer *a)
{
    for (size_t i = 0; i < a->n; i++) {
        free(a->items[i].name);
        free(a->items[i].values);
    }
    free(a->items);
    free(a->ids);
    memset(a, 0, sizeof *a);
}

static bool keep(answer *a, const char *name, size_t len, const float *values, size_t n, int64_t cols)
{
    got *grown = realloc(a->items, (a->n + 1) * sizeof *grown);
    if (!grown) return false;
    a->items = grown;
    got *g = &a->items[a->n];
    *g = (got){.name = calloc(len + 1, 1), .values = malloc(n * sizeof(float) + 1), .n = n, .cols = cols};
    if (!g->name || !g->values) return false;
    memcpy(g->name, name, len);
    memcpy(g->values, values, n * sizeof(float));
    a->n++;
    return true;
}

static bool take(answer *a, const mm_event *e)
{
    if (e->kind == MM_EVENT_TENSOR) return keep(a, e->data, e->len, e->values, e->n_values, e->n_dims ? e->dims[e->n_dims - 1] : 1);
    if (e->kind == MM_EVENT_VECTOR) {
        char name[32];
        const int n = snprintf(name, sizeof name, "vector:%.*s", (int)e->len, e->data);
        return keep(a, name, (size_t)n, e->values, e->n_values, (int64_t)e->n_values);
    }
    if (e->kind == MM_EVENT_SCORES) return keep(a, "scores", 6, e->values, e->n_values, (int64_t)e->n_values);
    if (e->kind != MM_EVENT_END) return true;
    a->prompt_tokens = e->prompt_tokens;
    a->n_ids = e->n_ids;
    a->ids = malloc(e->n_ids * sizeof *a->ids + 1);
    if (a->ids && e->n_ids) memcpy(a->ids, e->ids, e->n_ids * sizeof *a->ids);
    return a->ids != NULL;
}

static mm_status drain(mm_session *s, answer *a, mm_error *err)
{
    mm_event e = {.size = sizeof e};
    mm_status st;
    while ((st = mm_session_next(s, &e, err)) == MM_OK)
        if (!take(a, &e)) return MM_E_NOMEM;
    return st == MM_END ? MM_OK : st;
}

static mm_status add_file(bench *b, mm_input *in, const char *name, bool image, mm_error *err)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", b->inputs, name);
    return image ? mm_input_image_file(in, path, err) : mm_input_audio_file(in, path, err);
}

static mm_status add_images(bench *b, mm_input *in, const mm__json *c, mm_error *err)
{
    mm_status st = MM_OK;
    const mm__json *images = mm__json_get(c, "images");
    for (size_t i = 0; st == MM_OK && i < mm__json_count(images); i++)
        st = add_file(b, in, mm__json_str(mm__json_at(images, i), NULL, ""), true, err);
    return st;
}

/* A recorded chat: message by message; pictures in the order of the case's list. */
static mm_status add_messages(bench *b, mm_input *in, const mm__json *c, mm_error *err)
{
    const mm__json *messages = mm__json_get(c, "messages");
    size_t image = 0, len;
    mm_status st = MM_OK;
    for (size_t i = 0; st == MM_OK && i < mm__json_count(messages); i++) {
        const mm__json *m = mm__json_at(messages, i), *content = mm__json_get(m, "content");
        st = mm_input_role(in, mm__json_str(mm__json_get(m, "role"), NULL, "user"), err);
        const char *text = mm__json_str(content, &len, NULL);
        if (st == MM_OK && text) st = mm_input_text(in, text, len, err);
        for (size_t j = 0; st == MM_OK && !text && j < mm__json_count(content); j++) {
            const mm__json *part = mm__json_at(content, j);
            const char *t = mm__json_str(mm__json_get(part, "text"), &len, NULL);
            if (t) st = mm_input_text(in, t, len, err);
            else st = add_file(b, in, mm__json_str(mm__json_at(mm__json_get(c, "images"), image++), NULL, ""), true, err);
        }
    }
    return st;
}

/* An interleaved prompt of strings and pictures. The reference processor strips blanks around each string and puts its
 * end-of-utterance token between two that touch. */
static mm_status add_interleaved(bench *b, mm_input *in, const mm__json *prompt, mm_error *err)
{
    mm_status st = MM_OK;
    bool text_before = false;
    for (size_t i = 0; st == MM_OK && i < mm__json_count(prompt); i++) {
        const mm__json *p = mm__json_at(prompt, i);
        size_t len;
        const char *text = mm__json_str(p, &len, NULL);
        if (!text) {
            st = add_file(b, in, mm__json_str(mm__json_get(p, "image"), NULL, ""), true, err);
            text_before = false;
            continue;
        }
        while (len && *text == ' ') text++, len--;
        while (len && text[len - 1] == ' ') len--;
        if (text_before) st = mm_input_text(in, "<end_of_utterance>", 18, err);
        if (st == MM_OK) st = mm_input_text(in, text, len, err);
        text_before = true;
    }
    return st;
}

static mm_status add_prompt(bench *b, mm_input *in, const mm__json *c, mm_error *err)
{
    size_t len;
    if (mm__json_get(c, "messages")) return add_messages(b, in, c, err);
    if (mm__json_get(c, "prompt")) return add_interleaved(b, in, mm__json_get(c, "prompt"), err);
    const char *text = mm__json_str(mm__json_get(c, "text"), &len, NULL);
    if (!text) text = mm__json_str(mm__json_at(mm__json_get(c, "batch"), 0), &len, "");
    mm_status st = add_images(b, in, c, err);
    return st == MM_OK && len ? mm_input_text(in, text, len, err) : st;
}

static mm_status watch(const bench *b, mm_session *s, mm_error *err)
{
    return b->unwatched ? MM_OK : mm_session_set(s, "watch", "*", err);
}

static mm_status run(mm_session *s, mm_input *in, answer *a, mm_error *err)
{
    mm_status st = mm_session_feed(s, in, err);
    return st == MM_OK ? drain(s, a, err) : st;
}

mm_status play_text(bench *b, const mm__json *c, answer *a, mm_error *err)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_input *in = NULL;
    mm_session_options_init(&o, sizeof o);
    const int64_t greedy = mm__json_int(mm__json_get(c, "greedy"), 0);
    o.max_tokens = greedy > 0 ? (uint32_t)greedy : 1;
    o.flags = MM_SESSION_IGNORE_EOS | (mm__json_get(c, "messages") ? 0 : MM_SESSION_RAW);
    mm_status st = mm_session_create(b->model, &o, &s, err);
    if (st == MM_OK) st = watch(b, s, err);
    if (st == MM_OK) st = mm_input_create(b->engine, &in, err);
    if (st == MM_OK) st = add_prompt(b, in, c, err);
    if (st == MM_OK) st = run(s, in, a, err);
    /* Encoder-decoders record their decoder on a given text and generate without it. */
    const char *dec = mm__json_str(mm__json_get(c, "dec_text"), NULL, NULL);
    if (st == MM_OK && dec) {
        int32_t *ids = a->ids;
        const size_t n_ids = a->n_ids;
        a->ids = NULL;
        answer_free(a);
        if ((st = mm_session_reset(s, err)) == MM_OK) st = mm_session_set(s, "decoder_prompt", dec, err);
        if (st == MM_OK) st = run(s, in, a, err);
        free(a->ids);
        a->ids = ids;
        a->n_ids = n_ids;
    }
    mm_input_release(in);
    mm_session_release(s);
    return st;
}

mm_status play_vectors(bench *b, const mm__json *c, answer *a, mm_error *err)
{
    mm_session *s = NULL;
    mm_input *in = NULL;
    size_t len;
    mm_status st = mm_session_create(b->model, NULL, &s, err);
    if (st == MM_OK) st = mm_session_set(s, "task", "embed", err);
    if (st == MM_OK) st = watch(b, s, err);
    if (st == MM_OK) st = mm_input_create(b->engine, &in, err);
    if (st == MM_OK) st = add_images(b, in, c, err);
    const mm__json *batch = mm__json_get(c, "batch");
    for (size_t i = 0; st == MM_OK && i < mm__json_count(batch); i++) {
        const char *text = mm__json_str(mm__json_at(batch, i), &len, "");
        st = mm_input_text(in, text, len, err);
    }
    const char *text = mm__json_str(mm__json_get(c, "text"), &len, NULL);
    if (st == MM_OK && text) st = mm_input_text(in, text, len, err);
    if (st == MM_OK) st = run(s, in, a, err);
    mm_input_release(in);
    mm_session_release(s);
    return st;
}

/* The ids behind the start token: language and task, where the model has several; "no timestamps"; then forced ones. */
static mm_status speech_options(bench *b, mm_session *s, const mm__json *ids, mm_error *err)
{
    char forced[1024] = "";
    size_t at = 0;
    bool timestamps = true;
    mm_status st = mm_session_set(s, "single_pass", "1", err);
    for (size_t i = 1; st == MM_OK && i < mm__json_count(ids); i++) {
        char token[64];
        size_t need;
        const int32_t id = (int32_t)mm__json_int(mm__json_at(ids, i), 0);
        st = mm_model_detokenize(b->model, &id, 1, MM_TOKENIZE_SPECIAL, token, sizeof token, &need, err);
        if (st != MM_OK) break;
        if (!timestamps) at += (size_t)snprintf(forced + at, sizeof forced - at, "%d ", (int)id);
        else if (strcmp(token, "<|notimestamps|>") == 0) timestamps = false;
        else if (strcmp(token, "<|translate|>") == 0) st = mm_session_set(s, "translate", "1", err);
        else if (i == 1 && need > 4) {
            token[need - 2] = 0; /* "<|en|>" */
            st = mm_session_set(s, "language", token + 2, err);
        }
    }
    if (st == MM_OK && !timestamps) st = mm_session_set(s, "timestamps", "0", err);
    return st == MM_OK ? mm_session_set(s, "force_ids", forced, err) : st;
}

mm_status play_speech(bench *b, const mm__json *c, answer *a, mm_error *err)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_input *in = NULL;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = (uint32_t)mm__json_int(mm__json_get(c, "steps"), 1);
    mm_status st = mm_session_create(b->model, &o, &s, err);
    if (st == MM_OK) st = watch(b, s, err);
    if (st == MM_OK) st = speech_options(b, s, mm__json_get(c, "dec_ids"), err);
    if (st == MM_OK) st = mm_input_create(b->engine, &in, err);
    if (st == MM_OK) st = add_file(b, in, mm__json_str(mm__json_get(c, "audio"), NULL, ""), false, err);
    if (st == MM_OK) st = run(s, in, a, err);
    mm_input_release(in);
    mm_session_release(s);
    return st;
}

bool is_task(const bench *b, const char *task)
{
    char tasks[64] = "";
    mm_model_info(b->model, "tasks", tasks, sizeof tasks, NULL, NULL);
    return strstr(tasks, task) != NULL;
}

mm_status play(bench *b, const mm__json *c, answer *a, mm_error *err)
{
    if (is_task(b, "generate")) return play_text(b, c, a, err);
    return is_task(b, "transcribe") ? play_speech(b, c, a, err) : play_vectors(b, c, a, err);
}
