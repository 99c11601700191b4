/* Calls in any order: each byte is a call, on one of four handles of each kind, with arguments from the bytes behind it. Every
 * status must be documented; NULL handles, wrong states and small numbers are part of it. */
#include "folder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define KEPT 4
#define CALLS 200 /* of one input */

typedef struct play { const uint8_t *at, *end; mm_model *models[KEPT]; mm_session *sessions[KEPT]; mm_input *inputs[KEPT]; mm_error err; } play;

static mm_engine *engine;
static unsigned char saved[1 << 18];
static size_t n_saved;

static uint8_t take(play *p)
{
    return p->at < p->end ? *p->at++ : 0;
}

static int32_t keep(void *user, const void *bytes, size_t n)
{
    if (n > sizeof saved - n_saved) return 7;
    memcpy(saved + n_saved, bytes, n);
    n_saved += n;
    return 0;
}

/* Loading takes most of the time, so a model is kept from input to input, and loaded anew one time in four. */
enum { N_FOLDERS = 8 };
static mm_model *ready[N_FOLDERS];

static void drop_model(mm_model **m)
{
    bool kept = false;
    for (int i = 0; i < N_FOLDERS; i++) kept = kept || (*m && *m == ready[i]);
    if (!kept) mm_model_release(*m);
    *m = NULL;
}

static mm_status load_folder(uint8_t which, mm_model **m, mm_error *err)
{
    static const char *const folders[N_FOLDERS] = {"llama", "gpt2", "blip2_opt", "clip", "whisper", "bert", "flan_t5", "no such folder"};
    char path[256];
    snprintf(path, sizeof path, GOLDEN "/%s", folders[which]);
    return mm_model_load(engine, path, NULL, m, err);
}

static mm_status make_model(play *p)
{
    mm_model **m = &p->models[take(p) % KEPT];
    const uint8_t which = take(p);
    drop_model(m);
    if (which & 0xC0) *m = ready[which % N_FOLDERS];
    return *m ? MM_OK : load_folder(which % N_FOLDERS, m, &p->err);
}

static mm_status make_session(play *p)
{
    mm_session_options o;
    mm_session **s = &p->sessions[take(p) % KEPT];
    mm_session_release(*s);
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = 1 + take(p) % 4;
    o.flags = take(p) & 7;
    o.n_ctx = take(p);
    o.top_k = take(p) % 8;
    o.temperature = (float)(take(p) % 3);
    o.top_logprobs = take(p) % 24;
    *s = NULL;
    mm_model *m = p->models[take(p) % KEPT];
    return m ? mm_session_create(m, &o, s, &p->err) : MM_OK;
}

static mm_status set_option(play *p, mm_session *s)
{
    static const char *const keys[] = {"task", "stop", "tools", "variables", "language", "translate", "timestamps", "history", "single_pass", "watch", "decoder_prompt", "force_ids", "truncate", "lookup", "?", "kv_type"};
    static const char *const values[] = {"", "1", "0", "generate", "embed", "score", "transcribe", "a", "en", "*", "5 6", "[]", "{}", "{\"a\":1}", "[{\"x\":[]}]", "-1", "f16", "f32", "q8_0"};
    const uint8_t k = take(p);
    return mm_session_set(s, keys[k % 16], values[take(p) % 19], &p->err);
}

static mm_status append(play *p, mm_input *in)
{
    static const char messages[] = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a <image> b\"}]}]";
    static const unsigned char pixels[12];
    static const float samples[1600];
    const mm_image im = {.size = sizeof im, .width = 2, .height = 2, .pixels = pixels};
    const mm_audio au = {.size = sizeof au, .rate = 16000, .channels = 1, .frames = 1600, .samples = samples};
    const int32_t ids[] = {take(p), take(p)};
    switch (take(p) % 9) {
    case 0: return mm_input_text(in, "The little <image> dog", 22, &p->err);
    case 1: return mm_input_text(in, (const char *)p->at, (size_t)(p->end - p->at) < 16 ? (size_t)(p->end - p->at) : 16, &p->err);
    case 2: return mm_input_role(in, take(p) & 1 ? "user" : "assistant", &p->err);
    case 3: return mm_input_messages(in, messages, sizeof messages - 1, NULL, &p->err);
    case 4: return mm_input_tokens(in, ids, 2, &p->err);
    case 5: return mm_input_image(in, &im, &p->err);
    case 6: return mm_input_audio(in, &au, &p->err);
    case 7: return mm_input_image_file(in, GOLDEN "/_inputs/small.png", &p->err);
    default: return mm_input_clear(in, &p->err);
    }
}

static mm_status next(play *p, mm_session *s)
{
    mm_event e = {.size = sizeof e};
    volatile size_t touched = 0;
    const mm_status st = mm_session_next(s, &e, &p->err);
    for (size_t i = 0; st == MM_OK && i < e.len; i++) touched += (unsigned char)e.data[i];
    for (size_t i = 0; st == MM_OK && i < e.n_ids; i++) touched += (size_t)e.ids[i];
    for (size_t i = 0; st == MM_OK && i < e.n_top; i++) touched += (size_t)e.top[i].id;
    return st;
}

static mm_status fork_one(play *p, mm_session *s)
{
    mm_session *copy = NULL, **to = &p->sessions[take(p) % KEPT];
    const mm_status st = mm_session_fork(s, &copy, &p->err);
    if (st != MM_OK) return st;
    mm_session_release(*to);
    *to = copy;
    return st;
}

static mm_status load_one(play *p)
{
    mm_session **s = &p->sessions[take(p) % KEPT];
    mm_model *m = p->models[take(p) % KEPT];
    mm_session_release(*s);
    *s = NULL;
    return m && n_saved ? mm_session_load(m, saved, n_saved, s, &p->err) : MM_OK;
}

static mm_status call_session(play *p, uint8_t which)
{
    mm_session *s = p->sessions[take(p) % KEPT];
    mm_input *in = p->inputs[take(p) % KEPT];
    uint64_t positions;
    double stat;
    switch (which) {
    case 0: return set_option(p, s);
    case 1: return mm_session_feed(s, in, &p->err);
    case 2: return mm_session_count(s, in, &positions, &p->err);
    case 3: return mm_session_reset(s, &p->err);
    case 4: return mm_session_truncate(s, take(p) % 5, &p->err);
    case 5: return fork_one(p, s);
    case 6: return n_saved = 0, mm_session_save(s, keep, NULL, &p->err);
    case 7: return mm_session_stat(s, "n_past", &stat, &p->err);
    case 8: return mm_session_cancel(s), MM_OK;
    default: return next(p, s);
    }
}

static mm_status call(play *p)
{
    const uint8_t which = take(p);
    size_t need;
    uint8_t k;
    switch (which % 32) {
    case 0: return make_model(p);
    case 1:
    case 2: return make_session(p);
    case 3: k = take(p) % KEPT; mm_input_release(p->inputs[k]); return mm_input_create(engine, &p->inputs[k], &p->err);
    case 4: k = take(p) % KEPT; mm_session_release(p->sessions[k]); p->sessions[k] = NULL; return MM_OK;
    case 5: drop_model(&p->models[take(p) % KEPT]); return MM_OK;
    case 6: return load_one(p);
    case 7: return mm_model_info(p->models[take(p) % KEPT], take(p) & 1 ? "summary" : "plan:9", NULL, 0, &need, &p->err);
    case 8: {
        static const char *const keys[] = {"session_memory", "prompt_bytes", "session_memory", "media_cache_bytes"};
        return mm_engine_set(engine, keys[take(p) & 3], take(p) & 1 ? "10" : "67108864", &p->err);
    }
    case 9:
    case 10:
    case 11:
    case 12: return append(p, p->inputs[take(p) % KEPT]);
    default: return call_session(p, (which % 32) - 13 < 9 ? (which % 32) - 13 : 9);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    play p = {.at = bytes, .end = bytes + n, .err = {.size = sizeof p.err}};
    if (!engine) {
        engine = folder_engine((uint64_t)512 << 20);
        mm_engine_set(engine, "media_cache_bytes", "0", NULL); /* models that are kept would hold what one input made */
        for (uint8_t i = 0; i < N_FOLDERS; i++) folder_status(load_folder(i, &ready[i], &p.err), &p.err);
    }
    const long before = atomic_load(&mem_live);
    for (int i = 0; i < CALLS && p.at < p.end; i++) {
        p.err.code = 0;
        p.err.text[0] = 0;
        folder_status(call(&p), &p.err);
    }
    for (int i = 0; i < KEPT; i++) { /* parents first: a child holds on to them */
        drop_model(&p.models[i]);
        mm_input_release(p.inputs[i]);
        mm_session_release(p.sessions[i]);
    }
    mm_engine_set(engine, "prompt_bytes", "67108864", NULL);
    mm_engine_set(engine, "session_memory", "0", NULL);
    mm_engine_set(engine, "media_cache_bytes", "67108864", NULL);
    folder_expect(atomic_load(&mem_live) == before, "memory is left", MM_OK, &p.err);
    return 0;
}
