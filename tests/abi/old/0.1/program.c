/* A host of libmm 0.1, frozen: it is compiled with the header of that release and has to run, with the same results, on every
 * later library of the epoch. Prints one line for each thing it did; tests/abi/run.sh compares them with program.txt. */
#include "libmm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static mm_error err = MM_ERROR_INIT;
static size_t held; /* bytes the library has of ours */

static void say(const char *what, mm_status st)
{
    printf("%s: %s%s%s\n", what, mm_status_name(st), st < 0 ? " " : "", st < 0 ? "described" : "");
    if (st < 0 && !err.text[0]) puts("not described");
}

static void *take(void *user, size_t bytes, size_t align)
{
    void *p = NULL;
    (void)user;
    if (posix_memalign(&p, align, bytes ? bytes : 1) != 0) return NULL;
    __atomic_fetch_add(&held, bytes, __ATOMIC_SEQ_CST);
    return p;
}

static void give(void *user, void *p, size_t bytes, size_t align)
{
    (void)user, (void)align;
    __atomic_fetch_sub(&held, bytes, __ATOMIC_SEQ_CST);
    free(p);
}

static int32_t progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage;
    if (done <= total) ++*(int *)user;
    return 0;
}

static void answer(mm_session *s)
{
    mm_event e;
    mm_status st;
    memset(&e, 0, sizeof e);
    e.size = sizeof e;
    while ((st = mm_session_next(s, &e, &err)) == MM_OK)
        if (e.kind == MM_EVENT_END) {
            printf("answer: %s", e.data);
            for (size_t i = 0; i < e.n_ids; i++) printf(" %d", e.ids[i]);
            puts("");
        }
    say("next", st);
}

static void timeline(mm_engine *engine, mm_model *model)
{
    mm_session_options o;
    mm_session *s, *copy;
    mm_input *in;
    double n;
    uint64_t positions;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = 6;
    o.n_ctx = 128;
    o.flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS;
    say("session", mm_session_create(model, &o, &s, &err));
    say("input", mm_input_create(engine, &in, &err));
    say("text", mm_input_text(in, "The quick brown fox", 19, &err));
    say("count", mm_session_count(s, in, &positions, &err));
    printf("positions %lu\n", (unsigned long)positions);
    say("feed", mm_session_feed(s, in, &err));
    answer(s);
    say("fork", mm_session_fork(s, &copy, &err));
    say("feed the fork", mm_session_feed(copy, in, &err));
    answer(copy);
    say("truncate", mm_session_truncate(copy, 2, &err));
    say("feed it again", mm_session_feed(copy, in, &err));
    answer(copy);
    say("entries", mm_session_stat(s, "entries", &n, &err));
    printf("entries %g\n", n);
    say("an unknown option", mm_session_set(s, "no such key", "1", &err));
    mm_session_cancel(s);
    say("reset", mm_session_reset(s, &err));
    mm_session_release(s);
    mm_session_release(copy);
    mm_input_release(in);
}

int main(int argc, char **argv)
{
    mm_engine_options eo;
    mm_model_options mo;
    mm_allocator a = {sizeof a, 0, NULL, take, give};
    mm_engine *engine;
    mm_model *model, *none;
    char text[256];
    size_t need;
    int32_t ids[16];
    int steps = 0;
    if (argc != 2) return 2;
    mm_engine_options_init(&eo, sizeof eo);
    eo.allocator = &a;
    eo.n_threads = 2;
    eo.precision = MM_PRECISION_EXACT;
    say("engine", mm_engine_create(&eo, &engine, &err));
    mm_model_options_init(&mo, sizeof mo);
    mo.progress = progress;
    mo.progress_user = &steps;
    say("model", mm_model_load(engine, argv[1], &mo, &model, &err));
    printf("progress %s\n", steps > 0 ? "was reported" : "was not reported");
    say("info", mm_model_info(model, "assembly", text, sizeof text, &need, &err));
    printf("assembly %s, %d bytes\n", text, (int)need);
    say("tokenize", mm_model_tokenize(model, "The quick", 9, 0, ids, 16, &need, &err));
    say("detokenize", mm_model_detokenize(model, ids, need, 0, text, sizeof text, &need, &err));
    printf("text \"%s\"\n", text);
    say("too small", mm_model_detokenize(model, ids, 2, 0, text, 1, &need, &err));
    timeline(engine, model);
    say("no such file", mm_model_load(engine, "tests/nowhere", NULL, &none, &err));
    printf("no handle: %d\n", none == NULL);
    mm_engine_release(engine); /* the model holds on to it */
    say("tokenize without the engine", mm_model_tokenize(model, "The", 3, 0, ids, 16, &need, &err));
    mm_model_release(model);
    printf("bytes held: %lu\n", (unsigned long)held);
    return 0;
}
