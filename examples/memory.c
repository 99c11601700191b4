/* memory MODEL.gguf PROMPT: a model that is no file. The host reads it (or has it in its own archive, in its program, from a
 * network) and hands over the bytes; they are needed during the load only. */
#include <libmm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The whole file; freed by the caller. */
static void *read_all(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    char *bytes = NULL;
    long size;
    if (f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 0 && fseek(f, 0, SEEK_SET) == 0 && (bytes = malloc((size_t)size)))
        *n = fread(bytes, 1, (size_t)size, f);
    if (f) fclose(f);
    return bytes;
}

int main(int argc, char **argv)
{
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_model_options mo;
    mm_session_options so;
    mm_error err = MM_ERROR_INIT;
    mm_event event = {.size = sizeof event};
    if (argc != 3) {
        fprintf(stderr, "usage: memory MODEL.gguf PROMPT\n");
        return 2;
    }
    mm_model_options_init(&mo, sizeof mo);
    void *bytes = read_all(argv[1], &mo.n_bytes);
    if (!bytes) {
        fprintf(stderr, "memory: %s cannot be read\n", argv[1]);
        return 1;
    }
    mo.bytes = bytes;
    mm_session_options_init(&so, sizeof so);
    so.max_tokens = 32;
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, "a model in memory", &mo, &model, &err);
    free(bytes);
    if (st == MM_OK) st = mm_session_create(model, &so, &session, &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    if (st == MM_OK) st = mm_input_text(input, argv[2], strlen(argv[2]), &err);
    if (st == MM_OK) st = mm_session_feed(session, input, &err);
    while (st == MM_OK && (st = mm_session_next(session, &event, &err)) == MM_OK)
        if (event.kind == MM_EVENT_TEXT) fwrite(event.data, 1, event.len, stdout);
    puts(st == MM_END ? "" : err.text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st != MM_END;
}
