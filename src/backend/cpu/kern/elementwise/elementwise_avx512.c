/* Row-by-row operators with AVX-512; see elementwise.h. */
#define MM__ISA MM__ISA_AVX512
#define MM__SUFFIX(name) name##_avx512
#define MM__SUFFIX_NAME(text) text "_avx512"
#include "elementwise.h"
