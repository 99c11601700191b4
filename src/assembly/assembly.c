/* Loading: open the source, ask each registered product whether it matches, let it create its parts, tell the log. Also what several
 * products share: loaders for parts, the default way of a picture (encoder -> feature layer -> bridge). Tokenizers and
 * templates are in text_side.c. */
#include "assembly.h"

#include "../base/error.h"
#include "../base/os/os.h"
#include "report.h"

#include <string.h>

#define MM__ASSEMBLY(name) extern const mm__assembly_ops mm__assembly_##name;
#include "registry.def"
#undef MM__ASSEMBLY

static const mm__assembly_ops *const registry[] = {
#define MM__ASSEMBLY(name) &mm__assembly_##name,
#include "registry.def"
#undef MM__ASSEMBLY
};

bool mm__assembly_part_at(const mm__assembly *a, unsigned index, const char **role, const char **name)
{
    const struct {
        const char *role, *name;
    } parts[] = {{"vision", a->vision ? a->vision->ops->name : NULL}, {"speech", a->speech ? a->speech->ops->name : NULL},
                 {"text", a->text ? a->text->ops->name : NULL},       {"bridge", a->bridge ? a->bridge->ops->name : NULL},
                 {"memory", a->memory ? a->memory->ops->name : NULL}, {"decoder", a->decoder ? a->decoder->ops->name : NULL}};
    if (index >= sizeof parts / sizeof *parts) return false;
    *role = parts[index].role;
    *name = parts[index].name;
    return true;
}

const char *mm__assembly_name_at(unsigned index)
{
    return index < sizeof registry / sizeof *registry ? registry[index]->name : NULL;
}

const char *mm__source_type(const mm__source *s)
{
    return mm__source_config(s).arch;
}

/* A manifest names its product; anything else is recognised by content. */
static mm_status find_product(const mm__source *s, const mm__assembly_ops **out, mm_error *err)
{
    const size_t n = sizeof registry / sizeof *registry;
    if (s->kind == MM__SRC_MANIFEST) {
        const char *name = mm__json_str(mm__json_get(s->config.root, "assembly"), NULL, "");
        for (size_t i = 0; i < n; i++)
            if (strcmp(registry[i]->name, name) == 0) {
                *out = registry[i];
                return MM_OK;
            }
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: no assembly is called \"%s\"", s->path, name);
    }
    for (size_t i = 0; i < n; i++)
        if (registry[i]->match(s)) {
            *out = registry[i];
            return MM_OK;
        }
    return mm__fail(err, MM_E_UNSUPPORTED, "%s: no model is known for these files; check model_type and architectures in config.json", s->path);
}

static mm_status load(const mm__files *files, mm__backend *backend, const char *path, mm_progress_fn progress, void *user,
                      mm__assembly **out, mm_error *err)
{
    mm__mem *mem = files->mem;
    mm_status st;
    const double start = mm__os_now();
    mm__assembly *a = mm__zalloc(mem, sizeof *a);
    if (!a) return mm__nomem(err, "a model");
    a->mem = mem;
    a->backend = backend;
    a->prompt.placeholder_id = -1;
    if ((st = mm__source_open(files, path, &a->source, err)) != MM_OK) goto fail;
    if ((st = find_product(a->source, &a->ops, err)) != MM_OK) goto fail;
    st = mm__store_create(backend, progress, user, mm__source_bytes(a->source), &a->store, err);
    if (st != MM_OK) goto fail;
    a->loader = (mm__loader){.store = a->store, .mem = mem, .prefixes = {""}, .roots = {""}};
    if ((st = a->ops->create(a, a->source, err)) != MM_OK) goto fail;
    if ((st = mm__assembly_check(a, err)) != MM_OK) goto fail;
    if ((st = mm__assembly_fingerprint(a, err)) != MM_OK) goto fail;
    mm__source_shut(a->source);
    mm__assembly_report(a, &backend->log, mm__os_now() - start);
    *out = a;
    return MM_OK;
fail:
    mm__assembly_destroy(a);
    return st;
}

mm_status mm__assembly_load(const mm__files *files, mm__backend *backend, const char *path, mm_progress_fn progress, void *user,
                            mm__assembly **out, mm_error *err)
{
    mm__account *account;
    *out = NULL;
    if (!mm__account_open(files->mem, UINT64_MAX, &account)) return mm__nomem(err, "a model");
    mm__account *before = mm__account_enter(account);
    const mm_status st = load(files, backend, path, progress, user, out, err);
    mm__account_enter(before);
    if (st == MM_OK) (*out)->table_bytes = mm__account_live(account);
    mm__account_close(account);
    return st;
}

static void speech_free(mm__mem *mem, mm__speech_policy *p)
{
    mm__mel_destroy(p->mel);
    mm__free(mem, p->language_ids);
    mm__free(mem, p->language_codes);
    mm__free(mem, p->suppress);
    mm__free(mem, p->begin_suppress);
}

void mm__assembly_destroy(mm__assembly *a)
{
    if (!a) return;
    mm__decoder_destroy(a->decoder);
    mm__encoder_destroy(a->memory);
    mm__encoder_destroy(a->vision);
    mm__encoder_destroy(a->speech);
    mm__encoder_destroy(a->text);
    mm__bridge_destroy(a->bridge);
    speech_free(a->mem, &a->audio);
    mm__tokenizer_destroy(a->tokenizer);
    mm__template_free(a->chat);
    mm__free(a->mem, a->chat_text);
    mm__free(a->mem, a->bos_token);
    mm__free(a->mem, a->eos_token);
    mm__store_destroy(a->store);
    mm__source_close(a->source);
    mm__free(a->mem, a);
}

mm__loader mm__assembly_loader(mm__assembly *a, const mm__source *s, const char *json_path, const char *const *prefixes)
{
    mm__config whole = mm__source_config(s);
    mm__config config = json_path[0] && !whole.gguf ? mm__config_sub(&whole, json_path) : whole;
    mm__loader ld = mm__loader_for(&a->loader, &config, prefixes);
    ld.weights = s->weights;
    ld.scheme = mm__source_scheme(s);
    return ld;
}

mm__image_policy mm__assembly_policy(int fit, int32_t size, mm__pixel_stats stats)
{
    static const float mean[][3] = {[MM__STATS_WEB] = {0.48145466f, 0.4578275f, 0.40821073f},
                                    [MM__STATS_IMAGENET] = {0.485f, 0.456f, 0.406f},
                                    [MM__STATS_HALF] = {0.5f, 0.5f, 0.5f}};
    static const float std[][3] = {[MM__STATS_WEB] = {0.26862954f, 0.26130258f, 0.27577711f},
                                   [MM__STATS_IMAGENET] = {0.229f, 0.224f, 0.225f},
                                   [MM__STATS_HALF] = {0.5f, 0.5f, 0.5f}};
    mm__image_policy p = {.fit = fit, .resample = MM__RESAMPLE_BICUBIC, .rescale = 1.0f / 255, .normalize = 1};
    if (fit == MM__FIT_SHORTEST) p.shortest = p.crop_width = p.crop_height = size;
    else p.width = p.height = size;
    memcpy(p.mean, mean[stats], sizeof p.mean);
    memcpy(p.std, std[stats], sizeof p.std);
    return p;
}

mm_status mm__assembly_image_policy(mm__assembly *a, const mm__source *s, const mm__image_policy *fallback, mm_error *err)
{
    a->image = *fallback;
    if (!s->preprocessor.root) return MM_OK;
    const char *what = s->preprocessor.path ? s->preprocessor.path : s->path;
    return mm__image_policy_from_json(s->preprocessor.root, &mm__assembly_image_classes, fallback, what, &a->image, err);
}

static mm__node *default_image_rows(mm__assembly *a, mm__graph *g, mm__node *pixels)
{
    mm__encoder_in in = {.pixels = pixels, .layer = a->feature_layer};
    mm__features f = {0};
    mm__scope_push(g, "vision");
    mm_status st = a->vision->ops->forward(a->vision, g, &in, &f);
    mm__scope_pop(g);
    if (st != MM_OK) return mm__graph_fail(g, st, "the image encoder failed");
    mm__node *x = a->feature_layer ? f.layer : f.last;
    if (a->drop_first && x) x = mm__split_rows(g, x, 1, mm__rows(x) - 1);
    return a->bridge ? a->bridge->ops->forward(a->bridge, g, x, NULL) : x;
}

mm__node *mm__assembly_image_rows(mm__assembly *a, mm__graph *g, mm__node *pixels)
{
    return a->ops->image_rows ? a->ops->image_rows(a, g, pixels) : default_image_rows(a, g, pixels);
}
