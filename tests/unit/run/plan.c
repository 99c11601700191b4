/* The memory plan against what sessions then take: a decoder alone, encoder-decoders, pictures spliced and cross-attended,
 * speech, vectors - each with a prompt that fills the context. */
#include "../../../include/libmm.h"

#include <setjmp.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define GOLDEN "tests/golden/"
#define CTX 96

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

typedef struct subject { const char *path, *task, *picture, *sound; bool fixed; } subject;

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
    else ok(mm_input_text(in, text, strlen(text), &err));
    ok(mm_session_feed(s, in, &err));
    mm_input_release(in);
    while ((st = mm_session_next(s, &ev, &err)) == MM_OK) {}
    if (st == MM_E_CONTEXT) return false;
    ok(st);
    return true;
}

static void check_model(mm_engine *e, const subject *m, uint32_t n_ctx)
{
    char plan[512], key[32];
    mm_model *model;
    mm_session *s;
    mm_session_options o;
    ok(mm_model_load(e, m->path, NULL, &model, &err));
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
    const double total = plan_value(plan, "weights") + kv + arena, real_kv = stat(s, "kv_bytes"), real_arena = stat(s, "arena_bytes");
    printf("# %s: caches %.0f of %.0f, work memory %.0f of %.0f\n", m->path, real_kv, kv, real_arena, arena);
    if (plan_value(plan, "total") != total) fail_msg("%s: the plan's total is not the sum: %s", m->path, plan);
    if (real_kv > kv || real_kv < 0.9 * kv) fail_msg("%s: caches of %.0f bytes, planned %.0f", m->path, real_kv, kv);
    if (real_arena > arena || real_arena < 0.9 * arena) fail_msg("%s: work memory of %.0f bytes, planned %.0f", m->path, real_arena, arena);
    mm_session_release(s);
    mm_model_release(model);
}

static void plans_are_what_sessions_take(void **state)
{
    static const subject subjects[] = {
        {.path = GOLDEN "llama", .task = "generate"},
        {.path = GOLDEN "gpt2", .task = "generate"},
        {.path = GOLDEN "gemma3", .task = "generate"},
        {.path = GOLDEN "t5", .task = "generate"},
        {.path = GOLDEN "llava", .task = "generate", .picture = GOLDEN "_inputs/photo.jpg"},
        {.path = GOLDEN "blip2_opt", .task = "generate", .picture = GOLDEN "_inputs/photo.jpg"},
        {.path = GOLDEN "blip2_flan_t5", .task = "generate", .picture = GOLDEN "_inputs/photo.jpg"},
        {.path = GOLDEN "idefics", .task = "generate", .picture = GOLDEN "_inputs/photo.jpg"},
        {.path = GOLDEN "whisper", .task = "transcribe", .sound = GOLDEN "_inputs/speech_16k.wav", .fixed = true},
        {.path = GOLDEN "bert", .task = "embed"},
        {.path = GOLDEN "clip", .task = "embed", .picture = GOLDEN "_inputs/photo.jpg"},
    };
    for (int exact = 0; exact < 2; exact++) {
        mm_engine *e;
        mm_engine_options eo;
        mm_engine_options_init(&eo, sizeof eo);
        eo.n_threads = 2;
        eo.precision = exact ? MM_PRECISION_EXACT : MM_PRECISION_FAST;
        ok(mm_engine_create(&eo, &e, &err));
        for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) check_model(e, &subjects[i], CTX);
        mm_engine_release(e);
    }
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
        cmocka_unit_test(planning_is_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
