/* Roofline probes: what this machine can do at most, measured seconds apart from what is compared with it. Each is one
 * unrolled loop over registers (arithmetic) or over memory (reading), per instruction set, chosen at run time as kernels are. */
#ifndef MM__BENCH_PROBE_H
#define MM__BENCH_PROBE_H

#include "../../../src/backend/cpu/cpu.h"
#include "../../../src/base/pool.h"

typedef enum probe {
    PROBE_F32,   /* multiply-add of F32: FLOP/s */
    PROBE_BF16,  /* dot product of BF16 pairs into F32: FLOP/s */
    PROBE_INT16, /* dot product of 16-bit pairs into 32 bits: operations per second */
    PROBE_INT8,  /* dot product of four unsigned by four signed bytes into 32 bits: operations per second */
    PROBE_L2,    /* reading 256 KiB per thread again and again: bytes per second */
    PROBE_DRAM,  /* reading through 512 MiB, dealt to the threads: bytes per second */
    PROBES
} probe;

const char *probe_name(probe p);
const char *probe_unit(probe p); /* "GFLOP/s", "GOP/s" or "GB/s": what probe_run's number times 1e-9 is */

/* The fastest of `reps` runs of the best loop that `isa` (MM__ISA_*) has, on all threads of the pool, in units per second;
 * *median (may be NULL): the middle one. Runs are of a few milliseconds, so that some fall between what others do on the
 * machine. 0: the instruction set has no such arithmetic, or memory is short. */
double probe_run(mm__pool *pool, mm__mem *mem, unsigned isa, probe p, int reps, double *median);

#endif
