/* What a host may want to read in its log about a model: one line that says what was opened, and a warning for everything
 * that was guessed or passed over. Nothing here changes the model. */
#include "report.h"

#include "../base/log.h"

#include <stdio.h>
#include <string.h>

#define AREA "assembly"

static void count(void *ctx, const mm__weight *w)
{
    ++*(size_t *)ctx;
}

/* " vision:vit bridge:qformer decoder:llama", cut when it does not fit. */
static void list_parts(const mm__assembly *a, char *buf, size_t cap)
{
    const char *role, *name;
    size_t at = 0;
    buf[0] = 0;
    for (unsigned i = 0; at < cap && mm__assembly_part_at(a, i, &role, &name); i++) {
        if (!name) continue;
        const int n = snprintf(buf + at, cap - at, " %s:%s", role, name);
        at += n > 0 ? (size_t)n : 0;
    }
}

/* A manifest's keys that nobody reads: misspelt, or of a later version. */
static void warn_of_keys(const mm__log *log, const mm__source *s, const char *where, const mm__json *obj, const char *const *known)
{
    for (size_t i = 0; i < mm__json_count(obj); i++) {
        const char *key;
        const char *const *k = known;
        if (!mm__json_member(obj, i, &key, NULL)) return;
        while (*k && strcmp(*k, key) != 0) k++;
        if (!*k) mm__logf(log, MM_LOG_WARN, AREA, "%s: %s\"%s\" is no key of a manifest and was ignored", s->path, where, key);
    }
}

static void warn_of_manifest(const mm__log *log, const mm__source *s)
{
    static const char *const top[] = {"libmm", "name", "assembly", "parts", "image", "prompt", NULL};
    static const char *const part[] = {"path", "config", "config_path", NULL};
    static const char *const prompt[] = {"placeholder", "media", NULL};
    warn_of_keys(log, s, "", s->config.root, top);
    warn_of_keys(log, s, "prompt.", mm__json_get(s->config.root, "prompt"), prompt);
    for (int i = 0; i < s->n_parts; i++) {
        char where[64];
        snprintf(where, sizeof where, "parts.%.48s.", s->part_role[i]);
        warn_of_keys(log, s, where, s->part_json[i], part);
    }
}

static void warn_of_guesses(const mm__log *log, const mm__assembly *a)
{
    const mm__source *s = a->source;
    const mm__gguf_value none = {0}, model = s->gguf ? mm__gguf_get(s->gguf, "tokenizer.ggml.model") : none;
    const bool bpe = model.kind == MM__GGUF_STR && strcmp(model.s, "gpt2") == 0;
    if (bpe && mm__gguf_get(s->gguf, "tokenizer.ggml.pre").kind != MM__GGUF_STR)
        mm__logf(log, MM_LOG_WARN, AREA, "%s: tokenizer.ggml.pre is missing; words are cut the default way, perhaps not as in training",
                 s->path);
    if (a->vision && !s->gguf && !s->preprocessor.root)
        mm__logf(log, MM_LOG_WARN, AREA, "%s: no preprocessor_config.json; pictures are prepared in the way usual for %s", s->path,
                 a->ops->name);
    if (a->decoder && !a->speech && !a->n_eos)
        mm__logf(log, MM_LOG_WARN, AREA, "%s: no end-of-text token is known; answers end at max_tokens or with the context", s->path);
}

void mm__assembly_report(const mm__assembly *a, const mm__log *log, double seconds)
{
    char parts[160];
    size_t n = 0;
    list_parts(a, parts, sizeof parts);
    mm__source_each(a->source, count, &n);
    mm__logf(log, MM_LOG_INFO, AREA, "%s: %s, %s of%s; %zu tensors, %.1f MiB in memory, %.0f ms", a->source->path,
             mm__source_format(a->source), a->ops->name, parts, n, (double)mm__store_bytes(a->store) / 1048576,
             seconds * 1e3);
    if (a->source->kind == MM__SRC_MANIFEST) warn_of_manifest(log, a->source);
    warn_of_guesses(log, a);
}
