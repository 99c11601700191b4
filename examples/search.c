/* search MODEL QUERY PICTURE...: the pictures that fit a text best. A model of the CLIP class puts texts and pictures into one
 * space; every vector has length 1, so the dot product is the cosine, and the search is exact: all pictures are compared. */
#include <libmm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 5

typedef struct found {
    const char *name;
    float *vector; /* [n] */
    float score;
} found;

/* The vector of what `input` holds, as long as the caller needs it: to be freed. */
static mm_status embed(mm_session *session, const mm_input *input, float **out, size_t *n, mm_error *err)
{
    mm_event event = {.size = sizeof event};
    mm_status st = mm_session_reset(session, err);
    if (st == MM_OK) st = mm_session_feed(session, input, err);
    while (st == MM_OK && (st = mm_session_next(session, &event, err)) == MM_OK) {
        if (event.kind != MM_EVENT_VECTOR || *out) continue;
        *n = event.n_values;
        *out = malloc(*n * sizeof **out);
        if (*out) memcpy(*out, event.values, *n * sizeof **out);
    }
    return st == MM_END ? MM_OK : st;
}

static int by_score(const void *a, const void *b)
{
    const float x = ((const found *)a)->score, y = ((const found *)b)->score;
    return (x < y) - (x > y);
}

int main(int argc, char **argv)
{
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_error err = MM_ERROR_INIT;
    float *query = NULL;
    size_t n = 0, n_pictures = argc > 3 ? (size_t)argc - 3 : 0;
    found *all = calloc(n_pictures + 1, sizeof *all);
    if (!n_pictures || !all) {
        fprintf(stderr, "usage: search MODEL QUERY PICTURE...\n");
        free(all);
        return 2;
    }
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, NULL, &session, &err);
    if (st == MM_OK) st = mm_session_set(session, "task", "embed", &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    if (st == MM_OK) st = mm_input_text(input, argv[2], strlen(argv[2]), &err);
    if (st == MM_OK) st = embed(session, input, &query, &n, &err);
    for (size_t i = 0; st == MM_OK && i < n_pictures; i++) {
        all[i].name = argv[3 + i];
        st = mm_input_clear(input, &err);
        if (st == MM_OK) st = mm_input_image_file(input, all[i].name, &err);
        if (st == MM_OK) st = embed(session, input, &all[i].vector, &n, &err);
        for (size_t j = 0; st == MM_OK && query && all[i].vector && j < n; j++) all[i].score += query[j] * all[i].vector[j];
    }
    if (st == MM_OK) {
        qsort(all, n_pictures, sizeof *all, by_score);
        for (size_t i = 0; i < n_pictures && i < SHOWN; i++) printf("%6.3f  %s\n", all[i].score, all[i].name);
    } else {
        fprintf(stderr, "search: %s\n", err.text);
    }
    for (size_t i = 0; i < n_pictures; i++) free(all[i].vector);
    free(all);
    free(query);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st != MM_OK;
}
