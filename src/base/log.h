/* The host's log sink with a level filter. Copyable; a zeroed mm__log is silent. */
#ifndef MM__BASE_LOG_H
#define MM__BASE_LOG_H

#include "../../include/libmm.h"

typedef struct mm__log {
    mm_log_fn fn;
    void *user;
    int32_t level;
} mm__log;

void mm__logf(const mm__log *log, int32_t level, const char *area, const char *fmt, ...) __attribute__((format(printf, 4, 5)));

#endif
