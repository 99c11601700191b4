/* The feed-forward half of a transformer block. Plain: down(act(up x)). Gated (Shazeer 2020): down(act(gate x) * up x),
 * gate and up computed by one linear layer whose first half of the columns is the gate. */
#include "nn.h"

mm__node *mm__mlp_hidden(mm__graph *g, const mm__mlp *m, mm__node *x)
{
    if (!m->gated) return mm__linear_fwd(g, &m->up, x, m->act, NULL);
    return mm__glu(g, mm__linear_fwd(g, &m->up, x, MM__ACT_NONE, NULL), m->act);
}

mm__node *mm__mlp_fwd(mm__graph *g, const mm__mlp *m, mm__node *x, mm__node *residual)
{
    return mm__linear_fwd(g, &m->down, mm__mlp_hidden(g, m, x), MM__ACT_NONE, residual);
}
