/* chat MODEL PICTURE...: a conversation about several pictures. Reads one question a line, answers each; the pictures and
 * all that was said stay in the session, so nothing is computed twice. */
#include <libmm.h>
#include <stdio.h>
#include <string.h>

/* Feeds a question, with the pictures in front when it is the first, and prints the answer as it comes. */
static mm_status ask(mm_session *session, mm_input *input, const char *question, char **pictures, mm_error *err)
{
    mm_event event = {.size = sizeof event};
    mm_status st = mm_input_clear(input, err);
    for (char **p = pictures; p && *p && st == MM_OK; p++) st = mm_input_image_file(input, *p, err);
    if (st == MM_OK) st = mm_input_text(input, question, strlen(question), err);
    if (st == MM_OK) st = mm_session_feed(session, input, err);
    while (st == MM_OK && (st = mm_session_next(session, &event, err)) == MM_OK) {
        if (event.kind != MM_EVENT_TEXT) continue;
        fwrite(event.data, 1, event.len, stdout);
        fflush(stdout);
    }
    if (st == MM_END) puts("");
    return st;
}

int main(int argc, char **argv)
{
    char line[4096];
    double held = 0;
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_session_options options;
    mm_error err = MM_ERROR_INIT;
    char **pictures = argv + 2;
    if (argc < 3) {
        fprintf(stderr, "usage: chat MODEL PICTURE... < questions\n");
        return 2;
    }
    mm_session_options_init(&options, sizeof options);
    options.max_tokens = 200;
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, &options, &session, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    while (st >= 0 && fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        st = ask(session, input, line, pictures, &err);
        pictures = NULL;
    }
    if (st < 0) fprintf(stderr, "chat: %s\n", err.text);
    else if (mm_session_stat(session, "n_past", &held, &err) == MM_OK) printf("(%.0f positions held)\n", held);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st < 0;
}
