/* The public handles. A child holds a reference on its parent; the last release destroys. */
#ifndef MM__API_HANDLES_H
#define MM__API_HANDLES_H

#include "../backend/backend.h"
#include "../base/log.h"
#include "../run/run.h"
#include <stdatomic.h>

struct mm_engine {
    atomic_int refs;
    mm__mem *mem;
    mm__log log;
    mm__backend *backend;
};

struct mm_model {
    atomic_int refs;
    mm_engine *engine;
    mm__assembly *assembly;
};

struct mm_session {
    atomic_int refs;
    mm_model *model;
    mm__session *run;
};

struct mm_input {
    atomic_int refs;
    mm_engine *engine;
    mm__feed feed;
};

/* Copies a caller's size-first struct over defaults: `known` bytes at most; a larger struct must be zero behind them. */
mm_status mm__options_copy(void *dst, size_t known, size_t first_release, const void *src, const char *what, mm_error *err);
/* Clears the code and text of a caller's error, keeping its size. */
void mm__error_reset(mm_error *err);
/* The (buf, cap, need) convention. */
mm_status mm__give_text(const char *text, size_t len, char *buf, size_t cap, size_t *need, mm_error *err);

#endif
