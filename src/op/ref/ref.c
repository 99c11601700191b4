/* The table of oracles and how their work is cut: rows of the result, except where a comment says otherwise. */
#include "ref.h"

static const mm__ref_fn table[MM__N_OP] = {
#define MM__OP(name, n_in, in_place) mm__ref_##name,
#include "../op.def"
#undef MM__OP
};

mm__ref_fn mm__ref_of(mm__op op) { return (unsigned)op < MM__N_OP ? table[op] : 0; }

int64_t mm__ref_units(const mm__call *c)
{
    switch (c->op) {
    case MM__OP_LINEAR: return mm__view_cols(&c->out);                        /* output columns: a weight row is unpacked once */
    case MM__OP_MEAN: return mm__view_cols(&c->out);                          /* columns */
    case MM__OP_ROPE: return mm__view_rows(&c->out);                          /* (t, head) */
    case MM__OP_KV_WRITE: return c->in[1].shape.d[1];                         /* heads: rows of one head stay in order */
    case MM__OP_ATTENTION: return c->in[0].shape.d[0] * c->in[0].shape.d[1]; /* (t, head) */
    default: return mm__view_rows(&c->out);
    }
}
