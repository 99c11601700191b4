/* kern.def as a table, and the part of it that a processor can run. */
#include "cpu.h"

#define MM__KERN(op, name) extern const mm__kern mm__kern_##name;
#include "kern.def"
#undef MM__KERN

static const struct entry {
    mm__op op;
    const mm__kern *kern;
} entries[] = {
#define MM__KERN(op, name) {MM__OP_##op, &mm__kern_##name},
#include "kern.def"
#undef MM__KERN
    {MM__N_OP, NULL},
};

size_t mm__cpu_kernels(void) { return sizeof entries / sizeof entries[0] - 1; }

const mm__kern *mm__cpu_kernel(size_t index, mm__op *op)
{
    if (index >= mm__cpu_kernels()) return NULL;
    if (op) *op = entries[index].op;
    return entries[index].kern;
}

bool mm__cpu_table_init(mm__mem *mem, unsigned isa, mm__cpu_table *t)
{
    unsigned n = 0;
    t->list = mm__calloc(mem, mm__cpu_kernels() + 1, sizeof *t->list);
    if (!t->list) return false;
    for (int op = 0; op < MM__N_OP; op++) {
        t->first[op] = (uint16_t)n;
        for (size_t i = mm__cpu_kernels(); i-- > 0;)
            if (entries[i].op == (mm__op)op && (entries[i].kern->isa & ~isa) == 0) t->list[n++] = entries[i].kern;
    }
    t->first[MM__N_OP] = (uint16_t)n;
    return true;
}

void mm__cpu_table_free(mm__mem *mem, mm__cpu_table *t)
{
    mm__free(mem, t->list);
    t->list = NULL;
}
