/* The linear layer: y = act(x W^T + b) + residual. W may be split over up to three stacked matrices of different element
 * types (fused query, key and value of a quantised file, say), which the operator reads as one. */
#include "nn.h"

mm__node *mm__linear_fwd(mm__graph *g, const mm__linear *l, mm__node *x, mm__act act, mm__node *residual)
{
    mm__node *w[3] = {NULL, NULL, NULL};
    if (!x) return NULL;
    if (l->n_w < 1 || l->n_w > 3) return mm__graph_fail(g, MM_E_INTERNAL, "linear layer with %d matrices", l->n_w);
    for (int i = 0; i < l->n_w; i++) w[i] = mm__tensor_node(g, l->w[i]);
    return mm__linear_node(g, x, w, l->n_w, mm__tensor_node(g, l->bias), act, residual);
}

mm__node *mm__linear_staged(mm__graph *g, const mm__linear *l, mm__node *x, mm__node *residual, const char *stage)
{
    if (!residual || !mm__graph_watching(g)) {
        mm__node *y = mm__linear_fwd(g, l, x, MM__ACT_NONE, residual);
        return residual ? y : mm__stage(g, y, "%s", stage);
    }
    return mm__add(g, residual, mm__stage(g, mm__linear_fwd(g, l, x, MM__ACT_NONE, NULL), "%s", stage));
}
