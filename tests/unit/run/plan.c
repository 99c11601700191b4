/* The memory plan against what sessions then take, for every test model and the real ones that are there, each with a prompt
 * that fills the context: caches and work memory by themselves, and the total against the most that the engine has of the host
 * once the model is there. */
#include "../../../include/libmm.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/"
#define CTX 96
#define NEAR 0.05               /* of the measured value */
#define BESIDE (384.0 * 1024)   /* what a plan leaves out, as the header says: the media and texts of the tests, events, handles */

static mm_error err = {.size = sizeof err};

static void ok(mm_status st)
{
    if (st < 0) fail_msg("%s: %s", mm_status_name(st), err.text);
}

/* A number of the plan's JSON. */
static double plan_value(const char *plan, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    const char *p = strstr(plan, quoted);
    if (!p) fail_msg("no %s in %s", key, plan);
    return p ? strtod(p + strlen(quoted), NULL) : 0;
}

static double stat(mm_session *s, const char *key)
{
    double v = 0;
    ok(mm_session_stat(s, key, &v, &err));
    return v;
}

typedef struct subject { const char *path, *task, *picture, *sound; bool fixed, mute; } subject; /* mute: takes no text */

/* Fills the context to the last position but `spare`; false when the text is too long for it. */
static bool play(mm_session *s, mm_engine *e, const subject *m, size_t n_words)
{
    char text[4096] = "";
    mm_input *in;
    mm_event ev = {.size = sizeof ev};
    mm_status st;
    for (size_t i = 0; i < n_words; i++) strcat(text, i ? " a" : "a");
    ok(mm_input_create(e, &in, &err));
    if (m->picture) ok(mm_input_image_file(in, m->picture, &err));
    if (m->sound) ok(mm_input_audio_file(in, m->sound, &err));
    else if (!m->mute) ok(mm_input_text(in, text, strlen(text), &err));
    ok(mm_session_feed(s, in, &err));
    mm_input_release(in);
    while ((st = mm_session_next(s, &ev, &err)) == MM_OK) {}
    if (st == MM_E_CONTEXT) return false;
    ok(st);
    return true;
}

typedef struct meter { size_t live, peak; } meter;

static void *meter_alloc(void *user, size_t bytes, size_t align)
{
    meter *m = user;
    m->live += bytes;
    if (m->live > m->peak) m->peak = m->live;
    return aligned_alloc(align, bytes);
}

static void meter_release(void *user, void *ptr, size_t bytes, size_t align)
{
    ((meter *)user)->live -= bytes;
    free(ptr);
}

/* A value that must not lie above what was planned, nor far below. */
static void near(const char *path, const char *what, double real, double planned)
{
    if (real > planned || real < planned * (1 - NEAR)) fail_msg("%s: %s of %.0f bytes, planned %.0f", path, what, real, planned);
}

static void check_model(const subject *m, bool exact, uint32_t n_ctx)
{
    char plan[512], key[32];
    mm_engine *e;
    mm_model *model;
    mm_session *s;
    mm_session_options o;
    mm_engine_options eo;
    mm_engine_options_init(&eo, sizeof eo);
    eo.n_threads = 2;
    eo.precision = exact ? MM_PRECISION_EXACT : MM_PRECISION_FAST;
    meter used = {0};
    const mm_allocator metered = {.size = sizeof metered, .user = &used, .alloc = meter_alloc, .release = meter_release};
    eo.allocator = &metered;
    ok(mm_engine_create(&eo, &e, &err));
    const size_t before = used.live;
    ok(mm_model_load(e, m->path, NULL, &model, &err));
    used.peak = used.live; /* what loading took for a moment is not the session's */
    snprintf(key, sizeof key, "plan:%u", (unsigned)n_ctx);
    ok(mm_model_info(model, key, plan, sizeof plan, NULL, &err));
    mm_session_options_init(&o, sizeof o);
    o.n_ctx = n_ctx;
    o.max_tokens = 2;
    o.flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS;
    ok(mm_session_create(model, &o, &s, &err));
    ok(mm_session_set(s, "task", m->task, &err));
    const bool embeds = strcmp(m->task, "embed") == 0; /* the tokenizer puts a token on either side */
    for (size_t n = m->fixed ? 1 : embeds ? n_ctx - 2 : n_ctx; n > 0 && !play(s, e, m, n); n--) {}
    const double kv = plan_value(plan, "kv") + plan_value(plan, "cross");
    const double arena = plan_value(plan, "encoder_arena") + plan_value(plan, "decoder_arena");
    const double total = plan_value(plan, "weights") + plan_value(plan, "tables") + kv + arena, peak = (double)(used.peak - before);
    const double real_kv = stat(s, "kv_bytes"), real_arena = stat(s, "arena_bytes");
    printf("# %s%s: caches %.0f of %.0f, work memory %.0f of %.0f, in all %.0f of %.0f (%.3f)\n", m->path, exact ? " exact" : "", real_kv, kv, real_arena,
           arena, peak, total, total / peak);
    if (plan_value(plan, "total") != total) fail_msg("%s: the plan's total is not the sum: %s", m->path, plan);
    near(m->path, "caches", real_kv, kv);
    near(m->path, "work memory", real_arena, arena);
    if (total > peak * (1 + NEAR) || total < (peak - BESIDE) * (1 - NEAR)) fail_msg("%s: %.0f bytes at most, planned %.0f", m->path, peak, total);
    mm_session_release(s);
    mm_model_release(model);
    mm_engine_release(e);
}

#define PICTURE GOLDEN "_inputs/photo.jpg"
#define SOUND GOLDEN "_inputs/speech_16k.wav"

static void plans_are_what_sessions_take(void **state)
{
    static const char *const texts[] = {"gemma3", "gpt2", "llama", "llama_quant", "llama_sharded_f16", "llama_spm_bf16", "mistral", "opt", "opt_350m",
                                        "phi3", "phi3_longrope", "qwen2", "qwen3", "t5", "flan_t5"};
    static const char *const seeing[] = {"llava", "minigpt4", "blip2_opt", "blip2_flan_t5", "idefics"}, *const vectors[] = {"clip", "siglip", "vit", "dinov2"};
    char path[128];
    subject m = {.path = path, .task = "generate"};
    for (int exact = 0; exact < 2; exact++) {
        m = (subject){.path = path, .task = "generate"};
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
            snprintf(path, sizeof path, GOLDEN "%s", texts[i]);
            check_model(&m, exact, CTX);
        }
        m.picture = PICTURE;
        for (size_t i = 0; i < sizeof seeing / sizeof *seeing; i++) {
            snprintf(path, sizeof path, GOLDEN "%s", seeing[i]);
            check_model(&m, exact, CTX);
        }
        m.task = "embed";
        for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
            snprintf(path, sizeof path, GOLDEN "%s", vectors[i]);
            m.mute = i > 1;
            check_model(&m, exact, CTX);
        }
        m = (subject){.path = GOLDEN "bert", .task = "embed"};
        check_model(&m, exact, CTX);
        m = (subject){.path = GOLDEN "whisper", .task = "transcribe", .sound = SOUND, .fixed = true};
        check_model(&m, exact, CTX);
    }
}

/* What is beside a plan is small beside these. */
static void plans_of_real_models(void **state)
{
    static const subject subjects[] = {
        {.path = "smollm2-135m-instruct-q4_1.gguf", .task = "generate"}, {.path = "gemma-3-270m-q4_k_m.gguf", .task = "generate"},
        {.path = "all-MiniLM-L6-v2", .task = "embed"}, {.path = "dinov2-small", .task = "embed", .picture = PICTURE, .mute = true},
        {.path = "whisper-tiny.en-hf", .task = "transcribe", .sound = SOUND, .fixed = true}, {.path = "whisper-tiny.en-ct2", .task = "transcribe", .sound = SOUND, .fixed = true},
        {.path = "ggml-tiny.en.bin", .task = "transcribe", .sound = SOUND, .fixed = true}, {.path = "whisper-base-hf", .task = "transcribe", .sound = SOUND, .fixed = true},
        {.path = "whisper-base-ct2", .task = "transcribe", .sound = SOUND, .fixed = true}, {.path = "ggml-base.bin", .task = "transcribe", .sound = SOUND, .fixed = true}};
    const char *models = getenv("MM_TEST_MODELS");
    char path[512];
    size_t there = 0;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        subject m = subjects[i];
        snprintf(path, sizeof path, "%s/%s", models ? models : "models", m.path);
        m.path = path;
        if (access(path, R_OK) != 0) continue;
        there++;
        check_model(&m, false, 512);
    }
    if (access("models/demo-vlm-vision.safetensors", R_OK) == 0) {
        const subject demo = {.path = "examples/demo/demo-vlm.mm.json", .task = "generate", .picture = PICTURE};
        there++;
        check_model(&demo, false, 512);
    }
    printf("# %zu real models\n", there);
}

/* Planning takes less memory than the caches it speaks of, let alone the work memory, and leaves none behind. */
static void planning_is_cheap(void **state)
{
    char plan[512];
    mm_engine *e;
    mm_model *m;
    meter used = {0};
    const mm_allocator metered = {.size = sizeof metered, .user = &used, .alloc = meter_alloc, .release = meter_release};
    mm_engine_options eo;
    mm_engine_options_init(&eo, sizeof eo);
    eo.n_threads = 1;
    eo.allocator = &metered;
    ok(mm_engine_create(&eo, &e, &err));
    ok(mm_model_load(e, GOLDEN "t5", NULL, &m, &err));
    const size_t before = used.peak = used.live;
    ok(mm_model_info(m, "plan:0", plan, sizeof plan, NULL, &err));
    const double caches = plan_value(plan, "kv") + plan_value(plan, "cross");
    assert_true(caches > 0 && (double)(used.peak - before) < caches);
    assert_true(used.live == before);
    mm_model_release(m);
    mm_engine_release(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_what_sessions_take),
        cmocka_unit_test(plans_of_real_models),
        cmocka_unit_test(planning_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
