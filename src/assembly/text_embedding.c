/* Sentence vectors: a text encoder that looks both ways, its rows pooled and scaled to unit length.
 *
 * A sentence-transformers folder says how, in up to three side files: modules.json lists the steps and the folder each has
 * its configuration in; the pooling step's says what becomes of the rows, sentence_bert_config.json how many ids a text may
 * have and whether it is put into lower case first. A folder without them averages the rows, as a GGUF does that has no
 * key <architecture>.pooling_type. A step or a pooling that we do not compute is refused: its vectors would be wrong. */
#include "assembly.h"

#include "../base/error.h"

#include <string.h>

#define MIN_IDS 3             /* one between those put around a text */

static bool match(const mm__source *s)
{
    return strcmp(mm__source_type(s), "bert") == 0;
}

/* ---- GGUF ---- */

static mm_status pooling_from_gguf(mm__assembly *a, const mm__source *s, mm_error *err)
{
    static const unsigned modes[] = {[1] = MM__POOL_MEAN, [2] = MM__POOL_FIRST, [3] = MM__POOL_LAST}; /* 0: none, 4: rank */
    const mm__config config = mm__source_config(s);
    int64_t type;
    mm_status st = mm__config_int(&config, NULL, ".pooling_type", 1, 0, INT32_MAX, &type, err);
    if (st != MM_OK) return st;
    if (type < (int64_t)(sizeof modes / sizeof *modes)) a->pool = modes[type];
    if (a->pool) return MM_OK;
    return mm__fail(err, MM_E_UNSUPPORTED, "%s: %s.pooling_type %lld makes no vector of a text; take a file with 1 (mean), 2 (first) or 3 (last)",
                    s->path, config.arch, (long long)type);
}

/* ---- sentence-transformers ---- */

static const struct {
    const char *key, *name;   /* the switch below "pooling_mode_", and its short name under "pooling_mode" */
    unsigned mode;
    bool otherwise;
} poolings[] = {{"cls_token", "cls", MM__POOL_FIRST, false},
                {"max_tokens", "max", MM__POOL_MAX, false},
                {"mean_tokens", "mean", MM__POOL_MEAN, true},
                {"mean_sqrt_len_tokens", "mean_sqrt_len_tokens", MM__POOL_ROOT, false},
                {"weightedmean_tokens", "weightedmean", MM__POOL_WEIGHTED, false},
                {"lasttoken", "lasttoken", MM__POOL_LAST, false}};
#define N_POOLINGS (sizeof poolings / sizeof *poolings)

static mm_status unknown_pooling(const mm__doc *d, const char *key, const char *value, mm_error *err)
{
    return mm__fail(err, MM_E_UNSUPPORTED, "%s: %s \"%s\" is not supported; cls, max, mean, mean_sqrt_len, weightedmean and lasttoken are",
                    d->path, key, value);
}

/* Which of the modes "pooling_mode_<mode>" are on. */
static mm_status read_switches(const mm__doc *d, unsigned *pool, mm_error *err)
{
    static const char prefix[] = "pooling_mode_";
    for (size_t i = 0; i < N_POOLINGS; i++)
        if (poolings[i].otherwise) *pool |= poolings[i].mode;
    for (size_t i = 0, k; i < mm__json_count(d->root); i++) {
        const char *key = "";
        const mm__json *v = mm__json_member(d->root, i, &key, NULL);
        if (strncmp(key, prefix, sizeof prefix - 1) != 0) continue;
        const bool on = mm__json_bool(v, false);
        for (k = 0; k < N_POOLINGS && strcmp(key + sizeof prefix - 1, poolings[k].key) != 0;) k++;
        if (k < N_POOLINGS) *pool = on ? *pool | poolings[k].mode : *pool & ~poolings[k].mode;
        else if (on) return unknown_pooling(d, "the switch", key, err);
    }
    if (*pool) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "%s: every pooling_mode_... is off, so nothing makes a vector; set pooling_mode_mean_tokens", d->path);
}

static mm_status pooling_from_json(const mm__doc *d, unsigned *pool, mm_error *err)
{
    const mm__json *v = mm__json_get(d->root, "pooling_mode");
    if (mm__json_kind(v) == MM__JSON_NULL) return read_switches(d, pool, err);
    const char *name = mm__json_str(v, NULL, "");
    for (size_t i = 0; i < N_POOLINGS; i++)
        if (strcmp(name, poolings[i].name) == 0) *pool = poolings[i].mode;
    return *pool ? MM_OK : unknown_pooling(d, "pooling_mode", name, err);
}

static mm_status text_limits(mm__assembly *a, const mm__source *s, const mm__doc *d, mm_error *err)
{
    mm__config file = {.source = d->path, .json = d->root, .arch = ""};
    int64_t n = 0, stated = mm__json_int(mm__json_get(s->tokenizer_config.root, "model_max_length"), 0);
    mm_status st = mm__config_int(&file, "max_seq_length", NULL, 0, 0, INT32_MAX, &n, err);
    if (st != MM_OK) return st;
    if (n && n < MIN_IDS) return mm__fail(err, MM_E_FORMAT, "%s: max_seq_length must be %d or more, not %lld", d->path, MIN_IDS, (long long)n);
    if (!n) n = stated >= MIN_IDS ? stated : INT32_MAX;
    if (n < a->text->info.max_rows) a->text->info.max_rows = (int32_t)n;
    a->lower_case = mm__json_bool(mm__json_get(d->root, "do_lower_case"), false);
    return MM_OK;
}

/* A side file of a step, which keeps its files in `folder` ("": beside the model). */
static mm_status read_beside(const mm__source *s, const char *folder, const char *name, mm__doc *out, mm_error *err)
{
    char *path = folder[0] ? mm__path_join(s->mem, folder, name) : mm__strdup(s->mem, name);
    mm_status st = path ? mm__source_read(s, path, out, err) : mm__nomem(err, "a path");
    mm__free(s->mem, path);
    return st;
}

/* Where modules.json says that the encoder's and the pooling's configurations are; the usual places stay when it is absent. */
static mm_status read_steps(const mm__doc *d, const char **encoder, const char **pooling, mm_error *err)
{
    for (size_t i = 0; i < mm__json_count(d->root); i++) {
        const mm__json *step = mm__json_at(d->root, i);
        const char *type = mm__json_str(mm__json_get(step, "type"), NULL, ""), *dot = strrchr(type, '.');
        const char *name = dot ? dot + 1 : type, *folder = mm__json_str(mm__json_get(step, "path"), NULL, "");
        if (strcmp(name, "Transformer") == 0) *encoder = folder;
        else if (strcmp(name, "Pooling") == 0) *pooling = folder;
        else if (strcmp(name, "Normalize") != 0 && strcmp(name, "Dropout") != 0) /* vectors get unit length anyway */
            return mm__fail(err, MM_E_UNSUPPORTED, "%s: the step \"%s\" is not supported, only Transformer, Pooling and Normalize are; take a model without it",
                            d->path, type);
    }
    return MM_OK;
}

static mm_status read_folder(mm__assembly *a, const mm__source *s, mm_error *err)
{
    mm__doc steps = {0}, text = {0}, pooling = {0};
    const char *encoder = "", *pooled = "1_Pooling";
    mm_status st = mm__source_read(s, "modules.json", &steps, err);
    if (st == MM_OK) st = read_steps(&steps, &encoder, &pooled, err);
    if (st == MM_OK) st = read_beside(s, encoder, "sentence_bert_config.json", &text, err);
    if (st == MM_OK) st = text_limits(a, s, &text, err);
    if (st == MM_OK) st = read_beside(s, pooled, "config.json", &pooling, err);
    if (st == MM_OK && pooling.root) st = pooling_from_json(&pooling, &a->pool, err);
    else if (st == MM_OK) a->pool = MM__POOL_MEAN;
    mm__doc_free(s->mem, &steps);
    mm__doc_free(s->mem, &text);
    mm__doc_free(s->mem, &pooling);
    return st;
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__loader ld = mm__assembly_loader(a, s, "", prefixes);
    a->tasks = MM__TASK_EMBED;
    a->modalities = MM__IN_TEXT;
    mm_status st = mm__encoder_create(&ld, MM__ENC_TEXT, &a->text, err);
    if (st == MM_OK) st = mm__assembly_text(a, s, err);
    if (st != MM_OK) return st;
    return s->gguf ? pooling_from_gguf(a, s, err) : read_folder(a, s, err);
}

const mm__assembly_ops mm__assembly_text_embedding = {.name = "text_embedding", .match = match, .create = create};
