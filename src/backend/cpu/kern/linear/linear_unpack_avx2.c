/* Weights to float32 with AVX2. */
#include "linear_layout.h"
#include <immintrin.h>

void mm__linear_unpack_avx2(mm__dtype t, const void *src, float *dst, int64_t n)
{
    mm__unpack_row(t, src, dst, n);
}
