/* Results do not depend on the number of threads: every case of a model is played with 1, 2, 3, 4 and 8 threads in both
 * precisions, and each stage, vector and token must be the same to the last bit. Stages are watched in one round; in another
 * nothing is, because watching keeps operators apart that are fused otherwise. */
#include "runner.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint32_t counts[] = {1, 2, 3, 4, 8};

static bool same(const answer *a, const answer *b, char *detail, size_t cap)
{
    if (a->n != b->n || a->n_ids != b->n_ids || a->prompt_tokens != b->prompt_tokens) {
        snprintf(detail, cap, "%zu stages and %zu tokens, not %zu and %zu", b->n, b->n_ids, a->n, a->n_ids);
        return false;
    }
    for (size_t i = 0; i < a->n; i++) {
        const got *x = &a->items[i], *y = &b->items[i];
        if (strcmp(x->name, y->name) == 0 && x->n == y->n && memcmp(x->values, y->values, x->n * sizeof *x->values) == 0) continue;
        snprintf(detail, cap, "%s differs", x->name);
        return false;
    }
    snprintf(detail, cap, "%zu stages, %zu tokens", a->n, a->n_ids);
    return a->n_ids == 0 || memcmp(a->ids, b->ids, a->n_ids * sizeof *a->ids) == 0;
}

static mm_status load(bench *b, const char *path, int32_t precision, uint32_t n, mm_error *err)
{
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.precision = precision;
    o.n_threads = n;
    o.device = "cpu";
    const mm_status st = mm_engine_create(&o, &b->engine, err);
    return st == MM_OK ? mm_model_load(b->engine, path, NULL, &b->model, err) : st;
}

static void unload(bench *b)
{
    mm_model_release(b->model);
    mm_engine_release(b->engine);
    b->model = NULL;
    b->engine = NULL;
}

/* All cases with n threads: into first[], or compared with it when n is not the first count. */
static void play_all(bench *b, const char *path, const mm__json *cases, int32_t precision, uint32_t n, answer *first)
{
    mm_error err = {.size = sizeof err};
    char what[64], detail[160];
    snprintf(what, sizeof what, "%s, %u threads", precision == MM_PRECISION_EXACT ? "exact" : "fast", (unsigned)n);
    if (load(b, path, precision, n, &err) != MM_OK) report(b, "-", what, false, err.text);
    for (size_t i = 0; b->model && i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        answer a = {0};
        b->diverged = 0;
        if (is_private(c)) continue;
        const mm_status st = play(b, c, &a, &err);
        if (n == counts[0]) {
            first[i] = a;
            if (st != MM_OK) report(b, mm__json_str(mm__json_get(c, "name"), NULL, "?"), what, false, err.text);
            continue;
        }
        report(b, mm__json_str(mm__json_get(c, "name"), NULL, "?"), what, st == MM_OK && same(&first[i], &a, detail, sizeof detail), st == MM_OK ? detail : err.text);
        answer_free(&a);
    }
    unload(b);
}

void compare_threads(bench *b, const char *path, const mm__json *cases)
{
    const size_t n = mm__json_count(cases);
    answer *first = calloc(n + 1, sizeof *first);
    for (int round = 0; first && round < 4; round++) {
        b->unwatched = round >= 2;
        for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++)
            play_all(b, path, cases, round % 2 ? MM_PRECISION_EXACT : MM_PRECISION_FAST, counts[k], first);
        for (size_t i = 0; i < n; i++) answer_free(&first[i]);
    }
    free(first);
}
