/* caption MODEL PICTURE [QUESTION]: describes a picture. */
#include <libmm.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
    const char *question = argc > 3 ? argv[3] : "What is in the picture?";
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_error err = {.size = sizeof err};
    mm_event event = {.size = sizeof event};
    if (argc < 3) return puts("usage: caption MODEL PICTURE [QUESTION]"), 2;
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, NULL, &session, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    if (st == MM_OK) st = mm_input_image_file(input, argv[2], &err);
    if (st == MM_OK) st = mm_input_text(input, question, strlen(question), &err);
    if (st == MM_OK) st = mm_session_feed(session, input, &err);
    while (st == MM_OK && (st = mm_session_next(session, &event, &err)) == MM_OK)
        if (event.kind == MM_EVENT_TEXT) fwrite(event.data, 1, event.len, stdout);
    puts(st == MM_END ? "" : err.text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st == MM_END ? 0 : 1;
}
