/* Sessions in every state: fed twice, cancelled at any time, asked again, full, and with ids given by hand. Expected: the
 * documented status, and a session that answers afterwards as a fresh one does. */
#include "api.h"

#include <pthread.h>
#include <time.h>

/* ---- states ---- */

static void states(void)
{
    const struct { const char *path, *text, *picture, *sound; } all[] = {
        {LM, "the dog", NULL, NULL}, {T5, "the dog", NULL, NULL}, {VLM, "the dog", PICTURE, NULL}, {CLIP, "the dog", PICTURE, NULL},
        {BERT, "the dog", NULL, NULL}, {SPEECH, NULL, NULL, SOUND}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!begin("states of %s", all[i].path)) continue;
        mm_model *m = load(all[i].path);
        mm_session *s = session(m, 6, MM_SESSION_IGNORE_EOS, 0);
        mm_input *empty = input_of(NULL, NULL, NULL);
        uint64_t first = 0, again = 0;
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_E_ARG, mm_session_feed(s, empty, &err));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_OK, take_events(s, &first, &err));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_END, end_of(s));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        if (model_has(m, "tasks", "generate")) {
            EXPECT(MM_OK, end_of(s));
            EXPECT(MM_E_STATE, feed(s, "more", NULL, NULL));
            EXPECT(MM_E_STATE, mm_session_set(s, "stop", "x", &err));
            mm_session_cancel(s);
            EXPECT(MM_E_CANCELLED, end_of(s));
            EXPECT(MM_END, end_of(s));
            EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        }
        EXPECT(MM_OK, take_events(s, &again, &err));
        check(first == again, "another answer after a reset");
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound)); /* a second turn, and a feed that is never answered */
        EXPECT(MM_OK, take_events(s, &again, &err));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        mm_input_release(empty);
        mm_session_release(s);
        mm_model_release(m);
    }
}

/* What was held for a picture that was taken back must not answer for the next one. */
static void another_picture(void)
{
    const char *paths[] = {VLM, GOLDEN "/llava", GOLDEN "/idefics", GOLDEN "/minigpt4", GOLDEN "/blip2_flan_t5"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        if (!begin("another picture after a cancelled one, %s", paths[i])) continue;
        mm_model *m = load(paths[i]);
        mm_session *fresh = session(m, 8, MM_SESSION_IGNORE_EOS, 0), *s = session(m, 8, MM_SESSION_IGNORE_EOS, 0);
        uint64_t want, other, got;
        EXPECT(MM_OK, mm_session_set(fresh, "watch", "logits", &err));
        EXPECT(MM_OK, ask(fresh, "What is this?", OTHER_PICTURE, &want));
        EXPECT(MM_OK, mm_session_reset(fresh, &err));
        EXPECT(MM_OK, ask(fresh, "What is this?", PICTURE, &other));
        check(want != other, "the test says nothing: both pictures give the same logits");
        mm_session_release(fresh);
        fresh = session(m, 8, MM_SESSION_IGNORE_EOS, 0);
        EXPECT(MM_OK, ask(fresh, "What is this?", OTHER_PICTURE, &want));
        EXPECT(MM_OK, feed(s, "What is this?", PICTURE, NULL));
        EXPECT(MM_OK, end_of(s));
        double n_past = 0, prefilled = 0;
        mm_session_stat(s, "n_past", &n_past, NULL);
        mm_session_cancel(s);
        EXPECT(MM_E_CANCELLED, end_of(s));
        EXPECT(MM_OK, ask(s, "What is this?", OTHER_PICTURE, &got));
        check(got == want, "the answer is not that of a fresh session");
        mm_session_stat(s, "prefill_tokens", &prefilled, NULL);
        check(prefilled > 1, "%g of %g positions were computed: the rows of the first picture were kept", prefilled, n_past);
        mm_session_release(s);
        mm_session_release(fresh);
        mm_model_release(m);
    }
}

/* ---- cancelling ---- */

typedef struct canceller { mm_session *s; atomic_int stop; uint64_t seed; } canceller;

static void *cancel_now_and_then(void *arg)
{
    canceller *c = arg;
    for (uint64_t i = 0; !atomic_load(&c->stop); i++) {
        const struct timespec t = {0, (long)(mix(c->seed + i) % 400000)};
        nanosleep(&t, NULL);
        mm_session_cancel(c->s);
    }
    return NULL;
}

static void cancels(void)
{
    const struct { const char *path, *text, *picture, *sound; } all[] = {
        {LM, "the dog", NULL, NULL}, {T5, "the dog", NULL, NULL}, {VLM, "the dog", PICTURE, NULL}, {CLIP, "the dog", PICTURE, NULL},
        {SPEECH, NULL, NULL, SOUND}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (!begin("cancelling %s", all[i].path)) continue;
        mm_model *m = load(all[i].path);
        mm_session *s = session(m, 24, MM_SESSION_IGNORE_EOS, 0);
        uint64_t want = 0, got = 0;
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_OK, take_events(s, &want, &err));
        EXPECT(MM_OK, mm_session_reset(s, &err));
        mm_session_cancel(s); /* with nothing to cancel: the next call says so or says the end, and that is that */
        const mm_status st = end_of(s);
        check(st == MM_END || st == MM_E_CANCELLED, "cancelled without an answer: %s", mm_status_name(st));
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        mm_session_cancel(s);
        EXPECT(MM_E_CANCELLED, end_of(s));
        canceller c = {.s = s, .seed = seed};
        pthread_t thread;
        if (pthread_create(&thread, NULL, cancel_now_and_then, &c) != 0) exit(3);
        for (int k = 0; k < 25; k++) {
            EXPECT(MM_OK, mm_session_reset(s, &err));
            EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
            const mm_status end = take_events(s, &got, &err);
            check(end == MM_OK ? got == want : end == MM_E_CANCELLED && described(end, &err), "%s \"%s\"", mm_status_name(end), err.text);
        }
        atomic_store(&c.stop, 1);
        pthread_join(thread, NULL);
        end_of(s);
        EXPECT(MM_OK, mm_session_reset(s, &err));
        end_of(s); /* takes a cancel that came late */
        EXPECT(MM_OK, feed(s, all[i].text, all[i].picture, all[i].sound));
        EXPECT(MM_OK, take_events(s, &got, &err));
        check(got == want, "another answer after all the cancelling");
        mm_session_release(s);
        mm_model_release(m);
    }
}

/* The answer fills the context and ends there; the next turn does not fit. */
static void full_context(void)
{
    const char *paths[] = {LM, T5, CHAT};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("a full context, %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        mm_session *s = session(m, 0, MM_SESSION_IGNORE_EOS | MM_SESSION_RAW, 24);
        uint64_t hash;
        double n = 0;
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        EXPECT(MM_OK, mm_session_stat(s, "n_past", &n, &err));
        check(n <= 24, "%g positions", n);
        if (!model_has(m, "parts", "memory:")) {
            EXPECT(MM_OK, feed(s, "the dog sat on the mat and looked at the cat", NULL, NULL));
            EXPECT(MM_E_CONTEXT, end_of(s));
        }
        EXPECT(MM_OK, mm_session_reset(s, &err));
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        mm_session_release(s);
        mm_model_release(m);
    }
}

static void raw_ids(void)
{
    const char *paths[] = {LM, T5, VLM, CHAT};
    const int32_t odd[][3] = {{-1, 5, 6}, {5, INT32_MIN, 6}, {5, 6, INT32_MAX}, {5, 1 << 20, 6}};
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++) {
        if (!begin("raw ids for %s", paths[p])) continue;
        mm_model *m = load(paths[p]);
        char text[16] = "";
        EXPECT(MM_OK, mm_model_info(m, "vocab", text, sizeof text, NULL, &err));
        mm_session *s = session(m, 3, MM_SESSION_RAW | MM_SESSION_LOGPROBS, 0), *cooked = session(m, 3, 0, 0);
        mm_input *in = input_of(NULL, NULL, NULL);
        uint64_t hash;
        EXPECT(MM_OK, mm_input_tokens(in, NULL, 0, &err));
        mm_status st = mm_session_feed(s, in, &err);
        if (st == MM_OK) st = take_events(s, &hash, &err);
        check(st == MM_E_ARG && described(st, &err), "no ids: %s \"%s\"", mm_status_name(st), err.text);
        for (size_t i = 0; i < 5; i++) {
            const int32_t past[3] = {5, (int32_t)strtol(text, NULL, 10) + 1000, 6};
            mm_input_clear(in, NULL);
            EXPECT(MM_OK, mm_input_tokens(in, i < 4 ? odd[i] : past, 3, &err));
            st = mm_session_feed(s, in, &err);
            if (st == MM_OK) st = take_events(s, &hash, &err);
            check(st == MM_E_ARG && described(st, &err), "ids %zu: %s \"%s\"", i, mm_status_name(st), err.text);
        }
        mm_input_clear(in, NULL);
        EXPECT(MM_OK, mm_input_tokens(in, (const int32_t[]){5, 6, 7}, 3, &err));
        EXPECT(MM_E_ARG, mm_session_feed(cooked, in, &err));
        EXPECT(MM_OK, mm_session_feed(s, in, &err));
        EXPECT(MM_OK, take_events(s, &hash, &err));
        EXPECT(MM_OK, mm_input_text(in, "x", 1, &err));
        EXPECT(MM_OK, mm_session_feed(s, in, &err));
        EXPECT(MM_OK, take_events(s, &hash, &err));
        EXPECT(MM_OK, mm_session_set(s, "force_ids", "5 6", &err));
        EXPECT(MM_OK, ask(s, "the dog", NULL, &hash));
        mm_input_release(in);
        mm_session_release(s);
        mm_session_release(cooked);
        mm_model_release(m);
    }
}

int main(int argc, char **argv)
{
    static void (*const tests[])(void) = {states, another_picture, cancels, full_context, raw_ids};
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
