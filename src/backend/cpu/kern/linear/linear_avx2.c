/* LINEAR for AVX2. */
#define TABLE mm__linear_isa_avx2
#include "linear_avx2.h"
