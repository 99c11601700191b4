/* The two-layer projector of LLaVA-1.5 (Liu et al. 2023): linear, GELU (the exact one), linear. Widths are what the
 * stored matrices say. */
#include "../part/registry.h"
#include "../base/error.h"

static const mm__names names[] = {
    {"up", {"multi_modal_projector.linear_1|mm_projector.0", "mm.0|mm.1"}},
    {"down", {"multi_modal_projector.linear_2|mm_projector.2", "mm.2"}},
    {NULL, {NULL}}};

typedef struct mlp {
    mm__bridge base;
    mm__mlp net;
} mlp;

static void destroy(mm__bridge *b)
{
    if (b) mm__free(b->mem, b);
}

static bool usable(const mm__weight *w)
{
    return w && w->shape.n == 2 && w->shape.d[0] <= INT32_MAX && w->shape.d[1] <= INT32_MAX;
}

static mm_status create(mm__loader *ld, mm__bridge **out, mm_error *err)
{
    *out = NULL;
    ld->names = names;
    ld->roots[0] = "";
    ld->roots[1] = "model.";
    ld->roots[2] = NULL;
    const mm__weight *up = mm__loader_find(ld, "up", 0, ".weight"), *down = mm__loader_find(ld, "down", 0, ".weight");
    if (!usable(up) || !usable(down))
        return mm__fail(err, MM_E_FORMAT, "%s: the two matrices of the projector are not there", ld->config.source ? ld->config.source : "mlp");
    mlp *b = mm__zalloc(ld->mem, sizeof *b);
    if (!b) return mm__nomem(err, "a bridge");
    const int64_t in = up->shape.d[1], hidden = up->shape.d[0], to = down->shape.d[0];
    b->base = (mm__bridge){.ops = &mm__bridge_mlp, .mem = ld->mem, .info = {(int32_t)in, (int32_t)to, 0}};
    b->net.act = mm__loader_act(ld, "projector_hidden_act", "gelu");
    b->net.up = mm__load_linear(ld, "up", 0, in, hidden, 0);
    b->net.down = mm__load_linear(ld, "down", 0, hidden, to, 0);
    mm_status st = mm__loader_status(ld, err);
    if (st < 0) destroy(&b->base);
    else *out = &b->base;
    return st;
}

static mm__node *forward(mm__bridge *base, mm__graph *g, mm__node *x, mm__node *text_ids)
{
    const mlp *b = (const mlp *)base;
    if (text_ids) return mm__graph_fail(g, MM_E_ARG, "a projector reads no text");
    return mm__stage(g, mm__mlp_fwd(g, &b->net, x, NULL), "projector");
}

const mm__bridge_ops mm__bridge_mlp = {"mlp", create, destroy, forward};
