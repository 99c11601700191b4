/* Layer normalisation (Ba et al. 2016) and root-mean-square normalisation (Zhang and Sennrich 2019) over the last axis. */
#include "nn.h"

mm__node *mm__norm_fwd(mm__graph *g, const mm__norm *n, mm__node *x)
{
    if (!n->w && !n->b && n->eps == 0.0f) return x;
    mm__node *w = mm__tensor_node(g, n->w);
    if (n->kind == MM__NORM_RMS) return mm__rms_norm(g, x, w, n->eps);
    return mm__layer_norm(g, x, w, mm__tensor_node(g, n->b), n->eps);
}
