/* Which part a file asks for. The lists come from registry.def of each room, one line per part; every part defines
 * mm__<room>_<name>. A JSON configuration states model_type, a GGUF file general.architecture. */
#include "registry.h"
#include "../base/error.h"
#include <string.h>

static const mm__decoder_ops *const decoders[] = {
#define MM__PART(name) &mm__decoder_##name,
#include "../decoder/registry.def"
#undef MM__PART
    NULL};
static const mm__encoder_ops *const encoders[] = {
#define MM__PART(name) &mm__encoder_##name,
#include "../encoder/registry.def"
#undef MM__PART
    NULL};
static const mm__bridge_ops *const bridges[] = {
#define MM__PART(name) &mm__bridge_##name,
#include "../bridge/registry.def"
#undef MM__PART
    NULL};

static bool listed(const char *const *list, const char *name)
{
    for (; list && name && *list; list++)
        if (strcmp(*list, name) == 0) return true;
    return false;
}

/* The identifier the loader's configuration states, or NULL. */
static const char *identifier(const mm__loader *ld)
{
    const char *fallback = ld->config.arch;
    return mm__config_str(&ld->config, "model_type", "general.architecture", fallback);
}

static mm_status unknown(const mm__loader *ld, const char *what, const char *id, mm_error *err)
{
    const char *source = ld->config.source ? ld->config.source : "model";
    if (!id || !id[0]) return mm__fail(err, MM_E_FORMAT, "%s: no model_type or general.architecture says which %s this is; write it into the configuration", source, what);
    return mm__fail(err, MM_E_UNSUPPORTED, "%s: '%s' is not among the %ss this build knows", source, id, what);
}

mm_status mm__decoder_create(mm__loader *ld, mm__decoder **out, mm_error *err)
{
    const char *id = identifier(ld);
    *out = NULL;
    ld->part = MM__PART_DECODER;
    for (size_t i = 0; decoders[i]; i++)
        if (listed(ld->config.gguf ? decoders[i]->gguf_archs : decoders[i]->json_types, id))
            return decoders[i]->create(ld, out, err);
    return unknown(ld, "decoder", id, err);
}

mm_status mm__encoder_create(mm__loader *ld, int kind, mm__encoder **out, mm_error *err)
{
    const char *id = identifier(ld);
    *out = NULL;
    ld->part = MM__PART_ENCODER;
    for (size_t i = 0; encoders[i]; i++)
        if (encoders[i]->kind == kind && listed(ld->config.gguf ? encoders[i]->gguf_archs : encoders[i]->json_types, id))
            return encoders[i]->create(ld, out, err);
    return unknown(ld, "encoder", id, err);
}

mm_status mm__bridge_create(mm__loader *ld, const char *name, mm__bridge **out, mm_error *err)
{
    *out = NULL;
    ld->part = MM__PART_BRIDGE;
    for (size_t i = 0; bridges[i]; i++)
        if (strcmp(bridges[i]->name, name) == 0) return bridges[i]->create(ld, out, err);
    return unknown(ld, "bridge", name, err);
}

const char *mm__part_at(size_t index, const char **room)
{
    const size_t n_decoders = sizeof decoders / sizeof *decoders - 1, n_encoders = sizeof encoders / sizeof *encoders - 1;
    const size_t n_bridges = sizeof bridges / sizeof *bridges - 1;
    *room = "decoder";
    if (index < n_decoders) return decoders[index]->name;
    index -= n_decoders;
    *room = "encoder";
    if (index < n_encoders) return encoders[index]->name;
    index -= n_encoders;
    *room = "bridge";
    return index < n_bridges ? bridges[index]->name : NULL;
}

void mm__decoder_destroy(mm__decoder *d)
{
    if (d) d->ops->destroy(d);
}

void mm__encoder_destroy(mm__encoder *e)
{
    if (e) e->ops->destroy(e);
}

void mm__bridge_destroy(mm__bridge *b)
{
    if (b) b->ops->destroy(b);
}
