/* The CPU backend as the rest of the backend room sees it. */
#ifndef MM__CPU_CPU_H
#define MM__CPU_CPU_H

#include "../backend.h"
#include "kern.h"

/* features.c: MM__ISA_* bits of this processor under this operating system. */
unsigned mm__cpu_features(void);
/* Name of the processor, "processor" when it does not say. */
void mm__cpu_brand(char out[49]);
/* "cpu  <brand>, <instruction set>[, n threads]". n_threads 0: left out. */
void mm__cpu_describe(unsigned isa, int n_threads, char *buf, size_t cap);

/* dispatch.c. Kernel `index` of kern.def and its operator; NULL past the last. */
const mm__kern *mm__cpu_kernel(size_t index, mm__op *op);
/* Number of kernels in kern.def. */
size_t mm__cpu_kernels(void);

/* The kernels that a processor has, by operator, best first; built once per backend. */
typedef struct mm__cpu_table {
    const mm__kern **list;             /* all operators one after the other */
    uint16_t first[MM__N_OP + 1];
} mm__cpu_table;
bool mm__cpu_table_init(mm__mem *mem, unsigned isa, mm__cpu_table *t);
void mm__cpu_table_free(mm__mem *mem, mm__cpu_table *t);
/* NULL: the oracle runs. */
static inline const mm__kern *mm__cpu_pick(const mm__cpu_table *t, const mm__call *c)
{
    for (unsigned i = t->first[c->op]; i < t->first[c->op + 1]; i++)
        if (!t->list[i]->accepts || t->list[i]->accepts(c)) return t->list[i];
    return NULL;
}

static inline bool mm__cpu_has_kernels(const mm__cpu_table *t, mm__op op) { return t->first[op] < t->first[op + 1]; }

/* run.c: the call list on the pool. */
struct mm__pool;
mm_status mm__cpu_run(struct mm__pool *pool, const mm__cpu_table *table, const mm__call *calls, size_t n, void *scratch,
                      const atomic_int *cancel, mm_error *err);
size_t mm__cpu_scratch(const struct mm__pool *pool, const mm__cpu_table *table, const mm__call *call);

/* cpu.c. The `index`-th tier, by rising instruction set, and its MM__ISA_* bits (may be NULL); NULL past the last. */
const char *mm__cpu_tier(unsigned index, unsigned *isa);
void mm__cpu_device(mm__device *out);
/* `tier` caps the instruction set: "c", "avx2", "avxvnni", "avx512", "avx512bf16"; NULL: everything there is. n_threads < 1: one
 * per core. MM_E_DEVICE: the processor lacks the tier. */
mm_status mm__cpu_create(mm__mem *mem, const mm__log *log, const char *tier, int n_threads, const mm_executor *host, bool exact,
                         mm__backend **out, mm_error *err);

#endif
