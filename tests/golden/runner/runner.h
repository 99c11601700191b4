/* Comparing a folder of reference data with the library: what the runner's files share. */
#ifndef MM_GOLDEN_RUNNER_H
#define MM_GOLDEN_RUNNER_H

#include "../../../include/libmm.h"
#include "../../../src/base/buf.h"
#include "../../../src/base/json.h"
#include "../../../src/file/weights.h"

/* A stage or vector that the library delivered. */
typedef struct got { char *name; float *values; size_t n; int64_t cols; } got;

typedef struct answer {
    got *items;
    size_t n;
    int32_t *ids;
    size_t n_ids;
    uint32_t prompt_tokens;
} answer;

typedef struct bench {
    mm__mem *mem;
    mm_engine *engine;
    mm_model *model;
    const char *family, *inputs;      /* name for messages; folder of pictures and sounds */
    mm__weights *expected;
    const char *device;               /* NULL: the engine's choice */
    bool unwatched;                   /* answers without stages */
    double tolerance;                 /* relative to each tensor's largest magnitude */
    double worst;                     /* difference of this folder, relative likewise; pixels not counted */
    int passed, failed, diverged;     /* diverged: a stage of this case already failed */
} bench;

void answer_free(answer *a);
/* One line for each check; counts it. */
void report(bench *b, const char *case_name, const char *what, bool ok, const char *detail);

/* main.c: whether no public call makes this case. */
bool is_private(const mm__json *c);

/* play.c: runs one case through the public interface. Returns MM_OK, or the status of the failing call with err filled. */
bool is_task(const bench *b, const char *task);
mm_status play(bench *b, const mm__json *c, answer *a, mm_error *err); /* by the model's task: one of these */
mm_status play_text(bench *b, const mm__json *c, answer *a, mm_error *err);
mm_status play_vectors(bench *b, const mm__json *c, answer *a, mm_error *err);
mm_status play_speech(bench *b, const mm__json *c, answer *a, mm_error *err);

/* threads.c: all cases of the model at `path` with several numbers of threads. */
void compare_threads(bench *b, const char *path, const mm__json *cases);

/* compare.c */
/* Every recorded tensor of a case that the answer can be compared with. */
void compare_tensors(bench *b, const char *case_name, const answer *a);
/* The recorded tensor `key` with our stage `name`. */
void compare_named(bench *b, const char *case_name, const char *key, const char *name, const answer *a);
void compare_ids(bench *b, const char *case_name, const char *what, const mm__json *want, const int32_t *got, size_t n);

#endif
