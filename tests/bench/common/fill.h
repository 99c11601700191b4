/* Numbers to compute with: random, of ordinary size, the same in every run. */
#ifndef MM__BENCH_FILL_H
#define MM__BENCH_FILL_H

#include "../../../src/tensor/dtype.h"

/* n elements (a multiple of the type's block): floats in [-0.5, 0.5), blocks of random quants with scales of about 0.01. */
void fill_weights(mm__dtype t, void *dst, size_t n);
/* n floats in [-1, 1). */
void fill_values(float *dst, size_t n);

#endif
