/* What a CPU kernel is. One operator has one or more kernels, one per instruction set; the dispatch table (kern.def) lists
 * them in rising order and the backend takes the last one that the processor has and that accepts the call. An operator
 * without a kernel runs its scalar oracle.
 *
 * A kernel works in one or more phases with a meeting of all threads between them (quantise the input, then multiply).
 * Each phase is cut into units; a thread gets a contiguous range. Results must not depend on the cut. Pure functions on
 * pointers and sizes: no allocation, no logging, no other room. */
#ifndef MM__CPU_KERN_H
#define MM__CPU_KERN_H

#include "../../op/op.h"

#define MM__ISA_C 0u
#define MM__ISA_AVX2 1u        /* AVX2 + FMA + F16C */
#define MM__ISA_AVX512 2u      /* + AVX-512 F BW DQ VL VNNI */
#define MM__ISA_AVX512BF16 4u  /* + AVX-512 BF16 */
#define MM__ISA_AVXVNNI 8u     /* AVX2 + AVX-VNNI */

typedef struct mm__kern {
    const char *name;          /* "linear_avx512" */
    unsigned isa;              /* features it needs */
    bool (*accepts)(const mm__call *c);           /* NULL: every call of the operator */
    int phases;
    int64_t (*units)(const mm__call *c, int phase);
    size_t (*shared_bytes)(const mm__call *c);    /* scratch all threads see; NULL: none */
    size_t (*thread_bytes)(const mm__call *c);    /* scratch of each thread; NULL: none */
    void (*run)(const mm__call *c, int phase, int64_t begin, int64_t end, void *shared, void *own);
} mm__kern;

#endif
