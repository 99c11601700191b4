/* The workloads of bench_kernels: what is computed, how much of it there is, and which limit it should come close to. */
#ifndef MM__BENCH_WORK_H
#define MM__BENCH_WORK_H

#include "probe.h"

#define WORK_NAME 64
#define WORK_TENSORS 512

typedef struct work {
    char name[WORK_NAME];   /* "linear Q4_K 512x4096x4096 fast" */
    mm__call *calls;
    size_t n;
    double units;           /* of all calls: operations or bytes, as the limit counts them */
    probe limit;
    /* owned */
    mm__mem *mem;
    mm__tensor *tensors[WORK_TENSORS];
    void *values[MM__MAX_IN + 2]; /* inputs, output, the raw rows of the weights */
    int n_tensors, n_values;
} work;

int work_count(void);
/* False: workload i does not differ between precisions, and `exact` has had it. */
bool work_name(int i, bool exact, char name[WORK_NAME]);
/* t, n, k: shape of LINEAR with many rows. False: memory is short. */
bool work_make(int i, mm__backend *b, unsigned isa, int64_t t, int64_t n, int64_t k, work *w);
void work_free(work *w);
size_t work_scratch(mm__backend *b, const work *w);
/* Runs the first call and compares some of its units with the oracle: sum (y - oracle)^2 / sum oracle^2. */
double work_error(mm__backend *b, const work *w);

#endif
