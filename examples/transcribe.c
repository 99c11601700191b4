/* transcribe MODEL RECORDING: prints what is said, segment by segment while it works, with the times. */
#include <libmm.h>
#include <stdio.h>

static mm_status play(mm_session *session, mm_error *err)
{
    mm_event e = {.size = sizeof e};
    mm_status st;
    while ((st = mm_session_next(session, &e, err)) == MM_OK) {
        if (e.kind == MM_EVENT_LANGUAGE) printf("language %.*s (%.0f %%)\n", (int)e.len, e.data, 100 * e.value);
        if (e.kind == MM_EVENT_SEGMENT) printf("%7.2f - %7.2f %.*s\n", e.t0, e.t1, (int)e.len, e.data);
    }
    return st;
}

int main(int argc, char **argv)
{
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_error err = {.size = sizeof err};
    if (argc != 3) {
        fputs("usage: transcribe MODEL RECORDING\n", stderr);
        return 2;
    }
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, NULL, &session, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    if (st == MM_OK) st = mm_input_audio_file(input, argv[2], &err);
    if (st == MM_OK) st = mm_session_feed(session, input, &err);
    if (st == MM_OK) st = play(session, &err);
    if (st != MM_END) fprintf(stderr, "transcribe: %s\n", err.text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st == MM_END ? 0 : 1;
}
