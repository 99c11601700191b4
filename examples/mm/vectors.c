/* mm embed and mm score: vectors, their cosines, and probabilities of texts for pictures. */
#include "mm.h"

#include <stdlib.h>
#include <string.h>

typedef struct vectors { float **v; size_t n, width; } vectors;

static void keep(vectors *all, const mm_event *e)
{
    float **grown = realloc(all->v, (all->n + 1) * sizeof *grown);
    float *copy = malloc(e->n_values * sizeof *copy + 1);
    if (!grown || !copy) {
        fputs("mm: out of memory\n", stderr);
        exit(EXIT_RUN);
    }
    memcpy(copy, e->values, e->n_values * sizeof *copy);
    all->v = grown;
    all->v[all->n++] = copy;
    all->width = e->n_values;
}

static double cosine(const vectors *all, size_t i, size_t j)
{
    double dot = 0;
    for (size_t k = 0; k < all->width; k++) dot += (double)all->v[i][k] * (double)all->v[j][k];
    return dot;
}

static void print_cosines(const vectors *all, bool json)
{
    if (all->n < 2) return;
    if (json) fputs("{\"kind\":\"cosines\",\"values\":[", stdout);
    else puts("cosines:");
    for (size_t i = 0; i < all->n; i++) {
        if (json) fputs(i ? ",[" : "[", stdout);
        for (size_t j = 0; j < all->n; j++) {
            if (json) printf("%s%.6f", j ? "," : "", cosine(all, i, j));
            else printf("%s%9.6f", j ? " " : "", cosine(all, i, j));
        }
        fputs(json ? "]" : "\n", stdout);
    }
    if (json) puts("]}");
}

static void print_scores(const options *o, const mm_event *e)
{
    size_t k = 0, images = 0;
    const char *image = "";
    for (size_t i = 0; i < o->n_items; i++)
        if (o->items[i].kind == 'i' && images++ == e->index) image = o->items[i].value;
    if (images > 1) printf("%s%s:\n", e->index ? "\n" : "", image);
    for (size_t i = 0; i < o->n_items; i++)
        if (o->items[i].kind == 't' && k < e->n_values) printf("%.4f  %s\n", (double)e->values[k++], o->items[i].value);
}

static int play(host *h, const options *o)
{
    mm_error err = {.size = sizeof err};
    mm_event e = {.size = sizeof e};
    vectors all = {0};
    mm_status st = MM_OK;
    while (!ferror(stdout) && (st = mm_session_next(h->session, &e, &err)) == MM_OK) {
        if (e.kind == MM_EVENT_TENSOR) dump_take(&e);
        else if (o->json) json_event(stdout, h->session, &e);
        else if (e.kind == MM_EVENT_SCORES) print_scores(o, &e);
        else if (e.kind == MM_EVENT_VECTOR) {
            json_floats(stdout, e.values, e.n_values);
            putchar('\n');
        }
        if (e.kind == MM_EVENT_VECTOR) keep(&all, &e);
    }
    if (st == MM_END) print_cosines(&all, o->json);
    for (size_t i = 0; i < all.n; i++) free(all.v[i]);
    free(all.v);
    return st == MM_OK || st == MM_END ? 0 : fail(&err, st);
}

static int encode(const options *o, const char *task)
{
    host h;
    mm_error err = {.size = sizeof err};
    mm_input *in = NULL;
    int status = host_open(&h, o);
    if (!status) status = host_session(&h, o, task);
    if (!status) {
        mm_status st = mm_input_create(h.engine, &in, &err);
        for (size_t i = 0; st == MM_OK && i < o->n_items; i++) {
            const item *it = &o->items[i];
            if (it->kind == 't') st = mm_input_text(in, it->value, strlen(it->value), &err);
            else if (it->kind == 'i') st = mm_input_image_file(in, it->value, &err);
            else st = mm_input_audio_file(in, it->value, &err);
        }
        if (st == MM_OK) st = mm_session_feed(h.session, in, &err);
        status = st == MM_OK ? play(&h, o) : fail(&err, st);
        if (!status) status = dump_write(o);
    }
    mm_input_release(in);
    host_close(&h);
    return status;
}

int cmd_embed(const options *o)
{
    if (o->n_items) return encode(o, "embed");
    fputs("mm: embed needs --text, --image or --audio; see mm --help\n", stderr);
    return EXIT_USAGE;
}

int cmd_score(const options *o)
{
    size_t texts = 0;
    for (size_t i = 0; i < o->n_items; i++) texts += o->items[i].kind == 't';
    if (texts && texts < o->n_items) return encode(o, "score");
    fputs("mm: score needs at least one --image and one --text; see mm --help\n", stderr);
    return EXIT_USAGE;
}
