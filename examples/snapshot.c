/* snapshot MODEL FILE QUESTION [PICTURE...]: a conversation that survives its program. Without FILE a new one begins, with the
 * pictures; with it the old one goes on, pictures and all. Saves it again after the answer. */
#include <errno.h>
#include <libmm.h>
#include <stdio.h>
#include <string.h>

/* The conversation in the file; a new one when there is no file. One that is there and cannot be read must not be replaced. */
static mm_status open_session(mm_model *model, const char *path, mm_session **out, int *is_new, mm_error *err)
{
    mm_session_options options;
    mm_status st = mm_session_load_file(model, path, out, err);
    *is_new = st == MM_E_IO && err->os_code == ENOENT;
    if (!*is_new) return st;
    mm_session_options_init(&options, sizeof options);
    options.max_tokens = 200;
    return mm_session_create(model, &options, out, err);
}

int main(int argc, char **argv)
{
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_error err = MM_ERROR_INIT;
    mm_event event = {.size = sizeof event};
    double computed = 0, held = 0;
    int is_new = 1;
    if (argc < 4) {
        fprintf(stderr, "usage: snapshot MODEL FILE QUESTION [PICTURE...]\n");
        return 2;
    }
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = open_session(model, argv[2], &session, &is_new, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    for (int i = 4; i < argc && st == MM_OK && is_new; i++) st = mm_input_image_file(input, argv[i], &err);
    if (st == MM_OK) st = mm_input_text(input, argv[3], strlen(argv[3]), &err);
    if (st == MM_OK) st = mm_session_feed(session, input, &err);
    while (st == MM_OK && (st = mm_session_next(session, &event, &err)) == MM_OK)
        if (event.kind == MM_EVENT_TEXT) fwrite(event.data, 1, event.len, stdout);
    if (st == MM_END) st = mm_session_save_file(session, argv[2], &err);
    if (st == MM_OK && mm_session_stat(session, "prefill_tokens", &computed, &err) == MM_OK &&
        mm_session_stat(session, "n_past", &held, &err) == MM_OK)
        printf("\n(%s; %.0f of %.0f positions were computed for the question)\n", is_new ? "new" : "continued", computed, held);
    if (st < 0) fprintf(stderr, "snapshot: %s\n", err.text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st < 0;
}
