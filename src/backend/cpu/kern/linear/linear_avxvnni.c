/* LINEAR for AVX2 with AVX-VNNI: four products and their sum are one instruction, where AVX2 takes three. */
#ifndef TABLE
#define TABLE mm__linear_isa_avxvnni
#endif
#include "linear_avx2.h"
