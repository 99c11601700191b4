/* Image features: one vision transformer without a partner (Dosovitskiy et al. 2021, Oquab et al. 2023). The vector of a
 * picture is its class row after the final norm. */
#include "assembly.h"

#include <string.h>

static bool match(const mm__source *s)
{
    const char *t = mm__source_type(s);
    return s->kind == MM__SRC_HF && (strcmp(t, "vit") == 0 || strncmp(t, "dinov2", 6) == 0);
}

static mm__node *image_rows(mm__assembly *a, mm__graph *g, mm__node *pixels)
{
    mm__encoder_in in = {.pixels = pixels};
    mm__features f = {0};
    mm_status st = a->vision->ops->forward(a->vision, g, &in, &f);
    if (st != MM_OK) return mm__graph_fail(g, st, "the image encoder failed");
    mm__stage(g, f.last, "last_hidden_state");
    if (f.pooled) mm__stage(g, f.pooled, "pooler_output");
    if (f.projected) mm__stage(g, f.projected, "logits");
    return mm__split_rows(g, f.last, 0, 1);
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader ld = mm__assembly_loader(a, s, "", prefixes);
    a->tasks = MM__TASK_EMBED;
    a->modalities = MM__IN_IMAGE;
    mm_status st = mm__encoder_create(&ld, MM__ENC_IMAGE, &a->vision, err);
    if (st != MM_OK) return st;
    const mm__image_policy fallback = mm__assembly_policy(MM__FIT_EXACT, a->vision->info.image_size, MM__STATS_IMAGENET);
    return mm__assembly_image_policy(a, s, &fallback, err);
}

const mm__assembly_ops mm__assembly_image_features = {
    .name = "image_features", .match = match, .create = create, .image_rows = image_rows};
