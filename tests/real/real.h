/* Real models against recorded results: what the test's files share. */
#ifndef MM_TEST_REAL_H
#define MM_TEST_REAL_H

#include "../../include/libmm.h"
#include "../../src/base/buf.h"
#include "../../src/base/json.h"

typedef struct real {
    mm__mem *mem;
    const char *models;       /* folder of the assembled weights */
    mm_engine *exact, *fast;
    int passed, failed;
} real;

typedef struct tensor { char name[64]; float *v; size_t n, cols; } tensor;

/* What a session delivered. */
typedef struct said {
    int32_t *ids;
    size_t n_ids, n_prompt;
    mm__buf text;
    float *vectors[16];
    size_t n_vectors, width;
    tensor stages[8];
    size_t n_stages;
} said;

void check(real *r, const char *model, const char *what, bool ok, const char *fmt, ...) __attribute__((format(printf, 5, 6)));
mm__json_doc *read_doc(real *r, const char *path); /* exits when the file is missing: it belongs to the tests */
/* Opens models/NAME; NULL when it is not there (the check is left out) or fails (counted). */
mm_model *open_model(real *r, mm_engine *e, const char *name);
/* Feeds and collects; prints and counts an error. */
bool play(real *r, const char *model, mm_session *s, mm_input *in, said *out);
void said_free(real *r, said *s);
const tensor *stage_of(const said *s, const char *name);

void test_language_model(real *r, const char *file, const char *expected);
void test_sentences(real *r);
void test_image_features(real *r);
void test_speech(real *r, const char *name, const char *expected, const char *const *forms);
void test_demo(real *r, const char *manifest);

#endif
