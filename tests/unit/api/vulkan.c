/* Models on a Vulkan device through the public face: parts of them placed on the processor, several engines and sessions on one
 * device from several threads, uploads that are stopped, and a device that is lost in the middle of a conversation. Answers are
 * those of the processor. The engines with a changed device are the only ones made past libmm.h. */
#include "../../../src/api/handles.h"
#include "../../../src/backend/cpu/cpu.h"
#include "host.h"
#include "../backend/driver.h"

#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

static int32_t expected[8];

static mm_engine *device_engine(void)
{
    mm_engine_options o = engine_options();
    o.device = "vulkan:0";
    return engine_of(&o);
}

/* An engine whose device was opened with options that only tests have. */
static mm_engine *engine_with(const mm__vulkan_options *o)
{
    mm_engine *e = plain_engine();
    mm__backend *b;
    if (mm__vulkan_create(e->mem, &e->log, ":0", e->backend, true, o, &b, &err) != MM_OK) fail_msg("%s", err.text);
    e->backend = b;
    return e;
}

static void check_answer(mm_engine *e, mm_model *m)
{
    int32_t ids[8];
    answer_of(e, m, ids);
    assert_memory_equal(ids, expected, sizeof ids);
}

static void check_load_and_answer(mm_engine *e)
{
    mm_model *m = model_of(e, DIRECTORY);
    check_answer(e, m);
    mm_model_release(m);
}

/* ---- placement ---- */

/* Calls of an operator that the processor ran because they are placed there. */
static unsigned long placed(mm_engine *e, const char *op)
{
    char text[4096], line[64];
    OK(mm_engine_info(e, "fallbacks", text, sizeof text, NULL, &err));
    snprintf(line, sizeof line, "%s\t", op);
    const char *at = strstr(text, line);
    return at && strstr(at, "placed") ? strtoul(at + strlen(line), NULL, 10) : 0;
}

static void parts_can_be_placed(void **state)
{
    static const char *const settings[][2] = {{"gpu_layers", "0"}, {"gpu_layers", "1"}, {"gpu_layers", "all"}, {"place", "decoder=cpu"}, {"place", "encoder=cpu"}};
    if (!driver) return;
    for (int staged = 0; staged < 2; staged++)
        for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
            mm_engine *e = engine_with(&(mm__vulkan_options){.staged = staged});
            OK(mm_engine_set(e, settings[i][0], settings[i][1], &err));
            check_load_and_answer(e);
            if (i == 2 || i == 4) assert_int_equal(placed(e, "LINEAR"), 0);
            else assert_true(placed(e, "LINEAR") > 0 && placed(e, "ATTENTION") > 0);
            mm_engine_release(e);
        }
}

/* The fewer layers a device has, the more calls are the processor's; the answer stays. */
static void layers_can_be_placed(void **state)
{
    int32_t want[8], got[8];
    unsigned long before = ULONG_MAX;
    if (!driver) return;
    mm_engine *cpu = plain_engine();
    mm_model *m = model_of(cpu, GOLDEN "gemma3");
    answer_of(cpu, m, want);
    mm_model_release(m);
    mm_engine_release(cpu);
    for (int n = 0; n <= 4; n++) {
        char value[16];
        mm_engine *e = engine_with(&(mm__vulkan_options){.staged = n % 2});
        snprintf(value, sizeof value, "%d", n);
        OK(mm_engine_set(e, "gpu_layers", value, &err));
        m = model_of(e, GOLDEN "gemma3");
        answer_of(e, m, got);
        assert_memory_equal(got, want, sizeof want);
        assert_true(placed(e, "LINEAR") < before);
        before = placed(e, "LINEAR");
        mm_model_release(m);
        mm_engine_release(e);
    }
    assert_int_equal(before, 0);
}

/* What is placed on the processor runs in the engine's precision, as it does on an engine without a device. */
static void placement_keeps_the_precision(void **state)
{
    int32_t want[8], got[8];
    if (!driver) return;
    mm_engine_options o = engine_options();
    o.precision = MM_PRECISION_FAST;
    for (int device = 0; device < 2; device++) {
        o.device = device ? "vulkan:0" : NULL;
        mm_engine *e = engine_of(&o);
        if (device) OK(mm_engine_set(e, "place", "decoder=cpu", &err));
        mm_model *m = model_of(e, GOLDEN "llama_quant/model-Q4_K_M.gguf");
        answer_of(e, m, device ? got : want);
        mm_model_release(m);
        mm_engine_release(e);
    }
    assert_memory_equal(got, want, sizeof want);
}

/* What a model says to a picture or a sound, and a text: its ids and segments. */
static void media_answer(mm_engine *e, mm_model *m, bool sound, char *out, size_t cap)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_input *in = NULL;
    mm_event ev = {.size = sizeof ev};
    mm_status st;
    size_t n = 0;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = 8;
    o.flags = MM_SESSION_IGNORE_EOS;
    OK(mm_session_create(m, &o, &s, &err));
    OK(mm_input_create(e, &in, &err));
    if (sound) OK(mm_input_audio_file(in, GOLDEN "_inputs/speech_16k.wav", &err));
    else OK(mm_input_image_file(in, GOLDEN "_inputs/small.png", &err));
    if (!sound) OK(mm_input_text(in, "the little dog", 14, &err));
    OK(mm_session_feed(s, in, &err));
    while ((st = mm_session_next(s, &ev, &err)) == MM_OK) {
        if (ev.kind == MM_EVENT_SEGMENT) n += (size_t)snprintf(out + n, cap - n, "%.*s", (int)ev.len, (const char *)ev.data);
        for (size_t i = 0; i < ev.n_ids; i++) n += (size_t)snprintf(out + n, cap - n, " %d", (int)ev.ids[i]);
        assert_true(n < cap);
    }
    if (st != MM_END) fail_msg("%s", err.text);
    assert_true(n > 0);
    mm_input_release(in);
    mm_session_release(s);
}

/* Values cross between encoder, bridge and decoder wherever these are. */
static void parts_of_all_kinds_can_be_placed(void **state)
{
    static const struct { const char *model; bool sound; const char *settings[4][2]; } cases[] = {
        {GOLDEN "llava", false, {{"place", "decoder=cpu"}, {"place", "encoder=cpu,bridge=cpu"}, {"place", "bridge=cpu"}, {"gpu_layers", "1"}}},
        {GOLDEN "blip2_flan_t5", false, {{"place", "decoder=cpu"}, {"place", "encoder=cpu"}, {"place", "bridge=cpu"}, {"gpu_layers", "1"}}},
        {GOLDEN "idefics", false, {{"place", "decoder=cpu"}, {"place", "encoder=cpu"}, {"gpu_layers", "1"}, {"gpu_layers", "2"}}},
        {GOLDEN "whisper", true, {{"place", "decoder=cpu"}, {"place", "encoder=cpu"}, {"gpu_layers", "1"}, {"gpu_layers", "0"}}},
    };
    char want[4096], got[4096];
    if (!driver) return;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mm_engine *cpu = plain_engine();
        mm_model *m = model_of(cpu, cases[i].model);
        media_answer(cpu, m, cases[i].sound, want, sizeof want);
        mm_model_release(m);
        mm_engine_release(cpu);
        for (size_t k = 0; k < 4; k++) {
            mm_engine *e = engine_with(&(mm__vulkan_options){.staged = k % 2});
            OK(mm_engine_set(e, cases[i].settings[k][0], cases[i].settings[k][1], &err));
            m = model_of(e, cases[i].model);
            media_answer(e, m, cases[i].sound, got, sizeof got);
            assert_string_equal(got, want);
            assert_true(placed(e, "LINEAR") > 0);
            mm_model_release(m);
            mm_engine_release(e);
        }
    }
}

static void placements_are_checked(void **state)
{
    if (!driver) return;
    mm_engine *e = device_engine(), *cpu = plain_engine();
    FAILS(MM_E_ARG, "decoder=cpu", mm_engine_set(e, "place", "decoder", &err));
    FAILS(MM_E_ARG, "decoder=cpu", mm_engine_set(e, "place", "decoder=cpu,heart=cpu", &err));
    FAILS(MM_E_ARG, "gpu_layers", mm_engine_set(e, "gpu_layers", "", &err));
    FAILS(MM_E_ARG, "gpu_layers", mm_engine_set(e, "gpu_layers", "-1", &err));
    FAILS(MM_E_UNSUPPORTED, "option of devices", mm_engine_set(cpu, "place", "decoder=cpu", &err));
    FAILS(MM_E_KEY, "no option", mm_engine_set(e, "places", "", &err));
    OK(mm_engine_set(e, "place", "decoder=device,encoder=cpu,bridge=cpu", &err));
    OK(mm_engine_set(e, "place", "", &err));
    check_load_and_answer(e);
    mm_engine_release(e);
    mm_engine_release(cpu);
}

static void the_budget_is_kept(void **state)
{
    mm_model *m;
    if (!driver) return;
    mm_engine *e = engine_with(&(mm__vulkan_options){.block_bytes = 65536});
    OK(mm_engine_set(e, "device_memory", "131072", &err));
    FAILS(MM_E_NOMEM, "device_memory", mm_model_load(e, DIRECTORY, NULL, &m, &err));
    OK(mm_engine_set(e, "device_memory", "0", &err));
    check_load_and_answer(e);
    mm_engine_release(e);
}

/* ---- uploads ---- */

typedef struct stopper { int calls, stop_at; } stopper;

static int32_t stop(void *user, const char *stage, uint64_t done, uint64_t total)
{
    stopper *s = user;
    return ++s->calls == s->stop_at ? 77 : 0;
}

static void uploads_can_be_stopped(void **state)
{
    stopper s = {0};
    mm_model *m;
    mm_model_options o;
    char before[32], after[32];
    if (!driver) return;
    mm_engine *e = engine_with(&(mm__vulkan_options){.staged = true});
    mm_model_options_init(&o, sizeof o);
    o.progress = stop;
    o.progress_user = &s;
    OK(mm_model_load(e, DIRECTORY, &o, &m, &err));
    mm_model_release(m);
    const int all = s.calls;
    assert_true(all > 10);
    OK(mm_engine_info(e, "memory_bytes", before, sizeof before, NULL, &err));
    for (s.stop_at = 1; s.stop_at <= all; s.stop_at += 5) {
        s.calls = 0;
        FAILS(MM_E_CANCELLED, "stopped", mm_model_load(e, DIRECTORY, &o, &m, &err));
        assert_int_equal(err.os_code, 77);
        assert_int_equal(s.calls, s.stop_at);
    }
    OK(mm_engine_info(e, "memory_bytes", after, sizeof after, NULL, &err));
    assert_string_equal(before, after);
    check_load_and_answer(e);
    mm_engine_release(e);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 3 };

typedef struct worker {
    pthread_t thread;
    mm_engine *engine;
    mm_model *model;
    int32_t ids[ROUNDS][8];
    int n, failed;
} worker;

/* Without cmocka, which knows one thread only. */
static void *work(void *arg)
{
    worker *w = arg;
    for (; w->n < ROUNDS && !w->failed; w->n++) {
        mm_session_options o;
        mm_session *s = NULL;
        mm_input *in = NULL;
        mm_event ev = {.size = sizeof ev};
        mm_session_options_init(&o, sizeof o);
        o.max_tokens = 8;
        o.n_ctx = 128;
        o.flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS;
        w->failed |= mm_session_create(w->model, &o, &s, NULL) != MM_OK || mm_input_create(w->engine, &in, NULL) != MM_OK ||
                     mm_input_text(in, "the little dog", 14, NULL) != MM_OK || mm_session_feed(s, in, NULL) != MM_OK;
        while (!w->failed && mm_session_next(s, &ev, NULL) == MM_OK)
            if (ev.kind == MM_EVENT_END && ev.n_ids == 8) memcpy(w->ids[w->n], ev.ids, sizeof w->ids[0]);
        mm_input_release(in);
        mm_session_release(s);
    }
    return NULL;
}

static void threads_share_a_device(void **state)
{
    worker w[THREADS] = {0};
    if (!driver) return;
    mm_engine *e[2] = {device_engine(), device_engine()};
    mm_model *m[2] = {model_of(e[0], DIRECTORY), model_of(e[1], DIRECTORY)};
    for (int i = 0; i < THREADS; i++) {
        w[i].engine = e[i % 2];
        w[i].model = m[i % 2];
        assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(w[i].thread, NULL);
    for (int i = 0; i < THREADS; i++) {
        assert_false(w[i].failed);
        for (int r = 0; r < ROUNDS; r++) assert_memory_equal(w[i].ids[r], expected, sizeof expected);
    }
    for (int i = 0; i < 2; i++) {
        mm_model_release(m[i]);
        mm_engine_release(e[i]);
    }
}

/* ---- loss ---- */

static bool lost;              /* from here on, to all that submit */

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue q, uint32_t n, const VkSubmitInfo *info, VkFence f);
static stand_in replaced[] = {{.name = "vkQueueSubmit", .ours = (PFN_vkVoidFunction)submit}, {0}};

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue q, uint32_t n, const VkSubmitInfo *info, VkFence f)
{
    return lost ? VK_ERROR_DEVICE_LOST : ((PFN_vkQueueSubmit)replaced[0].real)(q, n, info, f);
}

/* Ids of what follows another text in a conversation that has begun. */
static void go_on(mm_engine *e, mm_session *s, int32_t ids[8])
{
    mm_event ev = {.size = sizeof ev};
    feed_text(e, s, " and the cat");
    while (mm_session_next(s, &ev, &err) == MM_OK)
        if (ev.kind == MM_EVENT_END && ev.n_ids == 8) memcpy(ids, ev.ids, 8 * sizeof *ids);
}

static mm_session *begun(mm_engine *e, mm_model *m)
{
    mm_session *s = session_of(m, 8);
    mm_event ev = {.size = sizeof ev};
    feed_text(e, s, "the little dog");
    while (mm_session_next(s, &ev, &err) == MM_OK) {}
    return s;
}

static void a_session_outlives_its_device(void **state)
{
    int32_t want[8] = {0}, got[8] = {0};
    mm_event ev = {.size = sizeof ev};
    if (!driver) return;
    mm_engine *cpu = plain_engine();
    mm_model *cpu_model = model_of(cpu, DIRECTORY);
    mm_session *s = begun(cpu, cpu_model);
    go_on(cpu, s, want);
    mm_session_release(s);
    for (int staged = 0; staged < 2; staged++) {
        mm_engine *e = engine_with(&(mm__vulkan_options){.get_proc = get_proc, .staged = staged});
        mm_model *m = model_of(e, DIRECTORY);
        mm_session *here = begun(e, m);
        lost = true;
        feed_text(e, here, " and the cat");
        FAILS(MM_E_DEVICE, "LOST", mm_session_next(here, &ev, &err));
        lost = false;
        feed_text(e, here, " and the cat");
        FAILS(MM_E_DEVICE, "was lost", mm_session_next(here, &ev, &err)); /* for good */
        const saved_bytes file = saved_by(here);
        OK(mm_session_load(cpu_model, file.p, file.n, &s, &err));
        free(file.p);
        go_on(cpu, s, got);
        assert_memory_equal(got, want, sizeof want);
        mm_session_release(s);
        mm_session_release(here);
        mm_model_release(m);
        mm_engine_release(e);
        check_load_and_answer(e = engine_with(&(mm__vulkan_options){.get_proc = get_proc, .staged = staged})); /* it opens again */
        mm_engine_release(e);
    }
    mm_model_release(cpu_model);
    mm_engine_release(cpu);
}

static int find_device(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, DIRECTORY);
    answer_of(e, m, expected);
    mm_model_release(m);
    mm_engine_release(e);
    stand_ins = replaced;
    return open_driver(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_can_be_placed),    cmocka_unit_test(layers_can_be_placed),             cmocka_unit_test(placement_keeps_the_precision),
        cmocka_unit_test(parts_of_all_kinds_can_be_placed), cmocka_unit_test(placements_are_checked), cmocka_unit_test(the_budget_is_kept),
        cmocka_unit_test(uploads_can_be_stopped), cmocka_unit_test(threads_share_a_device),           cmocka_unit_test(a_session_outlives_its_device),
    };
    return cmocka_run_group_tests(tests, find_device, close_driver);
}
