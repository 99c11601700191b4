/* embed MODEL TEXT TEXT: how alike two texts are, -1 to 1. Vectors have length 1, so their dot product is the cosine. */
#include <libmm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The vector of one text; the caller frees it. */
static mm_status embed(mm_session *session, mm_input *input, const char *text, float **out, size_t *n, mm_error *err)
{
    mm_event e = {.size = sizeof e};
    mm_status st = mm_input_clear(input, err);
    if (st == MM_OK) st = mm_input_text(input, text, strlen(text), err);
    if (st == MM_OK) st = mm_session_reset(session, err);
    if (st == MM_OK) st = mm_session_feed(session, input, err);
    while (st == MM_OK && (st = mm_session_next(session, &e, err)) == MM_OK) {
        if (e.kind != MM_EVENT_VECTOR || *out) continue;
        *n = e.n_values;
        *out = malloc(*n * sizeof **out);
        if (*out) memcpy(*out, e.values, *n * sizeof **out);
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
    float *a = NULL, *b = NULL, dot = 0;
    size_t n = 0;
    if (argc != 4) return puts("usage: embed MODEL TEXT TEXT"), 2;
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, NULL, &session, &err);
    if (st == MM_OK) st = mm_session_set(session, "task", "embed", &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    if (st == MM_OK) st = embed(session, input, argv[2], &a, &n, &err);
    if (st == MM_END) st = embed(session, input, argv[3], &b, &n, &err);
    for (size_t i = 0; a && b && i < n; i++) dot += a[i] * b[i];
    if (a && b) printf("%.4f\n", dot);
    else fprintf(stderr, "embed: %s\n", err.text);
    const int status = a && b ? 0 : 1;
    free(a);
    free(b);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return status;
}
