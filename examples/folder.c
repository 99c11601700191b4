/* folder MODEL DIRECTORY [QUESTION]: describes every picture of a folder, one line each. One model serves all; a picture that
 * cannot be read is reported and the others go on. */
#include <dirent.h>
#include <libmm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int is_picture(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && (!strcmp(dot, ".png") || !strcmp(dot, ".jpg") || !strcmp(dot, ".jpeg") || !strcmp(dot, ".bmp"));
}

/* MM_OK also for a picture that is no picture. */
static mm_status describe(mm_session *session, mm_input *input, const char *path, const char *question, mm_error *err)
{
    mm_event event = {.size = sizeof event};
    mm_status st = mm_input_clear(input, err);
    if (st == MM_OK) st = mm_input_image_file(input, path, err);
    if (st != MM_OK) {
        printf("%s: %s\n", path, mm_status_name(st));
        return st == MM_E_NOMEM ? st : MM_OK;
    }
    printf("%s: ", path);
    st = mm_input_text(input, question, strlen(question), err);
    if (st == MM_OK) st = mm_session_reset(session, err);
    if (st == MM_OK) st = mm_session_feed(session, input, err);
    while (st == MM_OK && (st = mm_session_next(session, &event, err)) == MM_OK)
        if (event.kind == MM_EVENT_TEXT) fwrite(event.data, 1, event.len, stdout);
    puts("");
    return st == MM_END ? MM_OK : st;
}

int main(int argc, char **argv)
{
    const char *question = argc > 3 ? argv[3] : "What is in the picture?";
    struct dirent **names = NULL;
    char path[4096];
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_session_options options;
    mm_error err = MM_ERROR_INIT;
    const int n = argc > 2 ? scandir(argv[2], &names, is_picture, alphasort) : -1;
    if (n < 0) {
        fprintf(stderr, "usage: folder MODEL DIRECTORY [QUESTION]\n");
        return 2;
    }
    mm_session_options_init(&options, sizeof options);
    options.max_tokens = 64;
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, &options, &session, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    for (int i = 0; i < n; i++) {
        const int len = snprintf(path, sizeof path, "%s/%s", argv[2], names[i]->d_name);
        if (st == MM_OK && len > 0 && (size_t)len < sizeof path) st = describe(session, input, path, question, &err);
        free(names[i]);
    }
    free(names);
    if (st != MM_OK) fprintf(stderr, "folder: %s\n", err.text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st != MM_OK;
}
