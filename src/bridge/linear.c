/* One linear layer from the columns of an encoder to those of a decoder (LLaVA-1.0, Liu et al. 2023). Both widths are
 * what the stored matrix says. */
#include "../part/registry.h"
#include "../base/error.h"

static const mm__names names[] = {
    {"proj", {"multi_modal_projector|multi_modal_projector.linear|multi_modal_projector.linear_1|mm_projector|language_projection|llama_proj|proj",
              "mm.0|mm.1|mm.projection"}},
    {NULL, {NULL}}};

typedef struct linear {
    mm__bridge base;
    mm__linear proj;
} linear;

static void destroy(mm__bridge *b)
{
    if (b) mm__free(b->mem, b);
}

static mm_status create(mm__loader *ld, mm__bridge **out, mm_error *err)
{
    *out = NULL;
    ld->names = names;
    ld->roots[0] = "";
    ld->roots[1] = "model.";
    ld->roots[2] = NULL;
    const mm__weight *w = mm__loader_find(ld, "proj", 0, ".weight");
    if (!w || w->shape.n != 2 || w->shape.d[0] > INT32_MAX || w->shape.d[1] > INT32_MAX)
        return mm__fail(err, MM_E_FORMAT, "%s: no matrix maps the encoder's columns to the decoder's", ld->config.source ? ld->config.source : "linear");
    linear *b = mm__zalloc(ld->mem, sizeof *b);
    if (!b) return mm__nomem(err, "a bridge");
    b->base = (mm__bridge){.ops = &mm__bridge_linear, .mem = ld->mem, .info = {(int32_t)w->shape.d[1], (int32_t)w->shape.d[0], 0}};
    b->proj = mm__load_linear(ld, "proj", 0, w->shape.d[1], w->shape.d[0], 0);
    mm_status st = mm__loader_status(ld, err);
    if (st < 0) destroy(&b->base);
    else *out = &b->base;
    return st;
}

static mm__node *forward(mm__bridge *base, mm__graph *g, mm__node *x, mm__node *text_ids)
{
    const linear *b = (const linear *)base;
    if (text_ids) return mm__graph_fail(g, MM_E_ARG, "a linear bridge reads no text");
    return mm__stage(g, mm__linear_fwd(g, &b->proj, x, MM__ACT_NONE, NULL), "projector");
}

const mm__bridge_ops mm__bridge_linear = {"linear", create, destroy, forward};
