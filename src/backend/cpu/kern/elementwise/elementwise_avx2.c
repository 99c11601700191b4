/* Row-by-row operators with AVX2 and FMA; see elementwise.h. */
#define MM__ISA MM__ISA_AVX2
#define MM__SUFFIX(name) name##_avx2
#define MM__SUFFIX_NAME(text) text "_avx2"
#include "elementwise.h"
