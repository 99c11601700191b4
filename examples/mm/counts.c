/* mm bench --counts: what a device counted up to the first event of an answer, and for each token after it. Speed on a device
 * that is emulated says nothing; starts of shaders, bytes and multiply-adds are the same on every one. */
#include "mm.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 16, POINTS = 3 }; /* points: the beginning, the first event, the end */

static char keys[MOST][24];
static double seen[POINTS][MOST], tokens[POINTS];
static size_t n_keys;
static int at; /* points passed */
static bool wanted;

static void take(const host *h)
{
    mm_error err = {.size = sizeof err};
    static char text[4096];
    n_keys = 0;
    if (mm_engine_info(h->engine, "counts", text, sizeof text, NULL, &err) != MM_OK) return;
    for (char *line = strtok(text, "\n"); line && n_keys < MOST; line = strtok(NULL, "\n"), n_keys++) {
        char *tab = strchr(line, '\t');
        if (!tab) return;
        *tab = 0;
        snprintf(keys[n_keys], sizeof keys[n_keys], "%s", line);
        seen[at][n_keys] = strtod(tab + 1, NULL);
    }
}

static void pass(const host *h)
{
    take(h);
    tokens[at] = 0;
    mm_session_stat(h->session, "decode_tokens", &tokens[at], NULL);
    at++;
}

int counts_open(const host *h)
{
    take(h);
    wanted = n_keys > 0;
    if (!wanted) fprintf(stderr, "mm: --counts: the processor counts nothing; --device names another device (mm devices lists them)\n");
    return wanted ? 0 : EXIT_USAGE;
}

void counts_begin(const host *h)
{
    if (!wanted) return;
    at = 0;
    pass(h);
    tokens[0] = 0; /* those of the answer before */
}

void counts_event(const host *h)
{
    if (at == 1) pass(h);
}

void counts_end(const host *h)
{
    if (at == 1) pass(h);
    if (at == 2) pass(h);
}

/* Key k, of the part before the first event and of each token; the first token is made from what came before it. */
static void split(size_t k, double *first, double *each)
{
    const double later = tokens[2] - tokens[1];
    *each = later > 0 ? (seen[2][k] - seen[1][k]) / later : 0;
    *first = seen[1][k] - seen[0][k] - (tokens[1] > 1 ? tokens[1] - 1 : 0) * *each;
}

static double layers(const host *h)
{
    char *text = info_text(h->model, "layers");
    const double n = strtod(text, NULL);
    free(text);
    return n > 0 ? n : 1;
}

void counts_print(const host *h, bool json)
{
    double first, each;
    if (at < POINTS) return;
    if (json) {
        printf("\"counts\":{\"layers\":%.0f", layers(h));
        for (size_t k = 0; k < n_keys; k++) {
            split(k, &first, &each);
            printf(",\"%s\":[%.1f,%.1f]", keys[k], first, each);
        }
        printf("},");
        return;
    }
    printf("%-12s %16s %16s %16s\n", "", "to first event", "each token", "... and layer");
    for (size_t k = 0; k < n_keys; k++) {
        split(k, &first, &each);
        printf("%-12s %16.1f %16.1f %16.1f\n", keys[k], first, each, each / layers(h));
    }
}
