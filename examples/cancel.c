/* cancel MODEL PROMPT MILLISECONDS: stops an answer from another thread after a time. The session survives and can be fed
 * again. */
#include <libmm.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct alarm_clock {
    mm_session *session;
    long milliseconds;
} alarm_clock;

static void *ring(void *arg)
{
    const alarm_clock *a = arg;
    const struct timespec wait = {a->milliseconds / 1000, a->milliseconds % 1000 * 1000000};
    nanosleep(&wait, NULL);
    mm_session_cancel(a->session);
    return NULL;
}

/* Takes events until the answer ends or is cancelled; prints its text. */
static mm_status answer(mm_session *session, mm_input *input, const char *prompt, mm_error *err)
{
    mm_event event = {.size = sizeof event};
    mm_status st = mm_input_clear(input, err);
    if (st == MM_OK) st = mm_input_text(input, prompt, strlen(prompt), err);
    if (st == MM_OK) st = mm_session_feed(session, input, err);
    while (st == MM_OK && (st = mm_session_next(session, &event, err)) == MM_OK)
        if (event.kind == MM_EVENT_TEXT) fwrite(event.data, 1, event.len, stdout);
    puts("");
    return st;
}

int main(int argc, char **argv)
{
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_session_options options;
    mm_error err = MM_ERROR_INIT;
    pthread_t thread;
    if (argc != 4) {
        fprintf(stderr, "usage: cancel MODEL PROMPT MILLISECONDS\n");
        return 2;
    }
    mm_session_options_init(&options, sizeof options);
    options.flags = MM_SESSION_IGNORE_EOS; /* go on until somebody says stop, or the context is full */
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, &options, &session, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    alarm_clock a = {session, strtol(argv[3], NULL, 10)};
    if (st == MM_OK && pthread_create(&thread, NULL, ring, &a) == 0) {
        st = answer(session, input, argv[2], &err);
        pthread_join(thread, NULL);
        printf("(%s)\n", mm_status_name(st));
        if (st == MM_E_CANCELLED) st = mm_session_reset(session, &err); /* as new */
    }
    if (st < 0) fprintf(stderr, "cancel: %s\n", err.text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st < 0;
}
