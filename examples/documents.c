/* documents MODEL FILE QUERY: the lines of a text file that are closest in meaning to a query. All lines are fed as one input,
 * one message each, and come back as one vector each. */
#include <libmm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHOWN 3
#define MOST 4096

typedef struct document {
    char *text;
    float score;
} document;

static int by_score(const void *a, const void *b)
{
    const float x = ((const document *)a)->score, y = ((const document *)b)->score;
    return (x < y) - (x > y);
}

/* Lines that are not empty; their number. */
static size_t read_lines(const char *path, document *documents)
{
    char line[8192];
    size_t n = 0;
    FILE *f = fopen(path, "r");
    while (f && n < MOST && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = 0;
        if (line[0] && (documents[n].text = strdup(line))) n++;
    }
    if (f) fclose(f);
    return n;
}

/* Feeds the query and then every document; the first vector is the query's. */
static mm_status compare(mm_session *session, mm_input *input, const char *query, document *documents, size_t n, mm_error *err)
{
    mm_event event = {.size = sizeof event};
    float *first = NULL;
    mm_status st = mm_input_text(input, query, strlen(query), err);
    for (size_t i = 0; st == MM_OK && i < n; i++) {
        st = mm_input_role(input, "user", err);
        if (st == MM_OK) st = mm_input_text(input, documents[i].text, strlen(documents[i].text), err);
    }
    if (st == MM_OK) st = mm_session_feed(session, input, err);
    while (st == MM_OK && (st = mm_session_next(session, &event, err)) == MM_OK) {
        if (event.kind != MM_EVENT_VECTOR) continue;
        if (event.index == 0) {
            first = malloc(event.n_values * sizeof *first);
            if (first) memcpy(first, event.values, event.n_values * sizeof *first);
        } else if (first && event.index <= n) {
            for (size_t j = 0; j < event.n_values; j++) documents[event.index - 1].score += first[j] * event.values[j];
        }
    }
    free(first);
    return st == MM_END ? MM_OK : st;
}

int main(int argc, char **argv)
{
    static document documents[MOST];
    mm_engine *engine = NULL;
    mm_model *model = NULL;
    mm_session *session = NULL;
    mm_input *input = NULL;
    mm_error err = MM_ERROR_INIT;
    const size_t n = argc == 4 ? read_lines(argv[2], documents) : 0;
    if (!n) {
        fprintf(stderr, "usage: documents MODEL FILE QUERY (the file has one document a line)\n");
        return 2;
    }
    mm_status st = mm_engine_create(NULL, &engine, &err);
    if (st == MM_OK) st = mm_model_load(engine, argv[1], NULL, &model, &err);
    if (st == MM_OK) st = mm_session_create(model, NULL, &session, &err);
    if (st == MM_OK) st = mm_session_set(session, "task", "embed", &err);
    if (st == MM_OK) st = mm_input_create(engine, &input, &err);
    if (st == MM_OK) st = compare(session, input, argv[3], documents, n, &err);
    if (st == MM_OK) {
        qsort(documents, n, sizeof *documents, by_score);
        for (size_t i = 0; i < n && i < SHOWN; i++) printf("%6.3f  %s\n", documents[i].score, documents[i].text);
    } else {
        fprintf(stderr, "documents: %s\n", err.text);
    }
    for (size_t i = 0; i < n; i++) free(documents[i].text);
    mm_input_release(input);
    mm_session_release(session);
    mm_model_release(model);
    mm_engine_release(engine);
    return st != MM_OK;
}
