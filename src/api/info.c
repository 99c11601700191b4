/* Facts about an engine and about a model, by key. */
#include "handles.h"

#include "../base/buf.h"
#include "../base/sha256.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PLAN (1ul << 24) /* positions */

typedef mm_status (*writer)(const mm_model *m, mm__buf *b, mm_error *err);

static void write_flags(mm__buf *b, unsigned flags, const char *const *names, size_t n)
{
    const char *sep = "";
    for (size_t i = 0; i < n; i++)
        if (flags & 1u << i) {
            mm__buf_printf(b, "%s%s", sep, names[i]);
            sep = " ";
        }
}

static mm_status write_tasks(const mm_model *m, mm__buf *b, mm_error *err)
{
    static const char *const names[] = {"generate", "embed", "score", "transcribe"};
    write_flags(b, m->assembly->tasks, names, 4);
    return MM_OK;
}

static mm_status write_in(const mm_model *m, mm__buf *b, mm_error *err)
{
    static const char *const names[] = {"text", "image", "audio"};
    write_flags(b, m->assembly->modalities, names, 3);
    return MM_OK;
}

static mm_status write_out(const mm_model *m, mm__buf *b, mm_error *err)
{
    static const char *const names[] = {"text", "vector", "scores", "text"};
    unsigned flags = m->assembly->tasks;
    if (flags & MM__TASK_GENERATE) flags &= ~MM__TASK_TRANSCRIBE;
    write_flags(b, flags, names, 4);
    return MM_OK;
}

static mm_status write_name(const mm_model *m, mm__buf *b, mm_error *err)
{
    const mm__source *s = m->assembly->source;
    const char *name = mm__path_base(s->path);
    if (s->gguf) {
        mm__gguf_value v = mm__gguf_get(s->gguf, "general.name");
        if (v.kind == MM__GGUF_STR && v.n) name = v.s;
    }
    if (s->kind == MM__SRC_MANIFEST) name = mm__json_str(mm__json_get(s->config.root, "name"), NULL, name);
    mm__buf_puts(b, name);
    return MM_OK;
}

static mm_status write_assembly(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_puts(b, m->assembly->ops->name);
    return MM_OK;
}

static mm_status write_format(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_puts(b, mm__source_format(m->assembly->source));
    return MM_OK;
}

static mm_status write_context(const mm_model *m, mm__buf *b, mm_error *err)
{
    const mm__assembly *a = m->assembly;
    mm__buf_printf(b, "%d", a->decoder ? a->decoder->info.n_ctx : a->text ? a->text->info.max_rows : 0);
    return MM_OK;
}

/* Of the decoder; of a model without one, of its first encoder. */
static mm_status write_layers(const mm_model *m, mm__buf *b, mm_error *err)
{
    const mm__assembly *a = m->assembly;
    const mm__encoder *e = a->vision ? a->vision : a->text;
    mm__buf_printf(b, "%d", a->decoder ? a->decoder->info.n_layer : e ? e->info.n_layer : 0);
    return MM_OK;
}

static mm_status write_vocab(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_printf(b, "%zu", m->assembly->tokenizer ? mm__tokenizer_size(m->assembly->tokenizer) : 0);
    return MM_OK;
}

static void add_count(void *ctx, const mm__weight *w)
{
    int64_t n;
    if (mm__shape_count(&w->shape, &n)) *(int64_t *)ctx += n;
}

static mm_status write_parameters(const mm_model *m, mm__buf *b, mm_error *err)
{
    int64_t n = 0;
    mm__source_each(m->assembly->source, add_count, &n);
    mm__buf_printf(b, "%" PRId64, n);
    return MM_OK;
}

static void add_tensor(void *ctx, const mm__weight *w)
{
    char shape[96];
    mm__buf_printf(ctx, "%s\t%s\t%s\t%zu\n", w->name, mm__dtype_info_of(w->dtype)->name, mm__shape_str(&w->shape, shape), w->bytes);
}

static mm_status write_tensors(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__source_each(m->assembly->source, add_tensor, b);
    return MM_OK;
}

static void add_dtype(void *ctx, const mm__weight *w)
{
    ((uint64_t *)ctx)[w->dtype] += w->bytes;
}

static mm_status write_dtypes(const mm_model *m, mm__buf *b, mm_error *err)
{
    uint64_t bytes[MM__N_DTYPE] = {0};
    const char *sep = "";
    mm__source_each(m->assembly->source, add_dtype, bytes);
    for (int t = 0; t < MM__N_DTYPE; t++)
        if (bytes[t]) {
            mm__buf_printf(b, "%s%s:%" PRIu64, sep, mm__dtype_info_of((mm__dtype)t)->name, bytes[t]);
            sep = " ";
        }
    return MM_OK;
}

static mm_status write_weights_bytes(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_printf(b, "%zu", mm__store_bytes(m->assembly->store));
    return MM_OK;
}

/* Bytes that a position takes in caches of type t. */
static mm_status write_kv_of(const mm_model *m, mm__dtype t, mm__buf *b, mm_error *err)
{
    const mm__decoder *d = m->assembly->decoder;
    const mm_status st = d ? mm__kv_check(t, d->info.kv, d->info.n_layer, err) : MM_OK;
    if (st == MM_OK) mm__buf_printf(b, "%zu", d ? mm__kv_row_bytes(t, d->info.kv, d->info.n_layer) : 0);
    return st;
}

static mm_status write_kv(const mm_model *m, mm__buf *b, mm_error *err)
{
    return write_kv_of(m, mm__kv_default(m->assembly->backend), b, err);
}

static mm_status write_parts(const mm_model *m, mm__buf *b, mm_error *err)
{
    const char *name, *role, *sep = "";
    for (unsigned i = 0; mm__assembly_part_at(m->assembly, i, &role, &name); i++) {
        if (!name) continue;
        mm__buf_printf(b, "%s%s:%s", sep, role, name);
        sep = " ";
    }
    return MM_OK;
}

static mm_status write_template(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_puts(b, m->assembly->chat_text ? m->assembly->chat_text : "");
    return MM_OK;
}

static mm_status write_template_hash(const mm_model *m, mm__buf *b, mm_error *err)
{
    const char *t = m->assembly->chat_text;
    if (!t) return MM_OK;
    mm__sha256 h;
    uint8_t digest[32];
    char hex[65];
    mm__sha256_init(&h);
    mm__sha256_add(&h, t, strlen(t));
    mm__sha256_end(&h, digest);
    mm__sha256_hex(digest, hex);
    mm__buf_puts(b, hex);
    return MM_OK;
}

static mm_status write_layout(const mm_model *m, mm__buf *b, mm_error *err)
{
    const mm__prompt_policy *p = &m->assembly->prompt;
    switch (p->media) {
    case MM__MEDIA_SPLICE: mm__buf_printf(b, "%d rows at each %s", p->rows_per_image, p->placeholder); break;
    case MM__MEDIA_FIRST: mm__buf_printf(b, "%d rows before the text", p->rows_per_image); break;
    case MM__MEDIA_CROSS: mm__buf_printf(b, "cross-attention to the last %s", p->placeholder); break;
    default: mm__buf_puts(b, "text"); break;
    }
    return MM_OK;
}

static mm_status write_placeholder(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_puts(b, m->assembly->prompt.placeholder ? m->assembly->prompt.placeholder : "");
    return MM_OK;
}

static mm_status write_rate(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_printf(b, "%d", m->assembly->audio.rate);
    return MM_OK;
}

static mm_status write_plan(const mm_model *m, uint32_t n_ctx, mm__dtype kv_type, mm__buf *b, mm_error *err)
{
    mm__plan p;
    mm_status st = mm__session_plan(m->assembly, n_ctx, kv_type, &p, err);
    mm__buf_printf(b, "{\"weights\":%" PRIu64 ",\"tables\":%" PRIu64 ",\"kv\":%" PRIu64 ",\"cross\":%" PRIu64
                   ",\"encoder_arena\":%" PRIu64 ",\"decoder_arena\":%" PRIu64 ",\"total\":%" PRIu64 "}",
                   p.weights, p.tables, p.kv, p.cross, p.encoder, p.decoder, p.total);
    return st;
}

static mm_status write_media_cache(const mm_model *m, mm__buf *b, mm_error *err)
{
    const mm__media_counts c = mm__media_cache_counts(m->media);
    mm__buf_printf(b, "{\"bytes\":%" PRIu64 ",\"hits\":%" PRIu64 ",\"misses\":%" PRIu64 "}", c.bytes, c.hits, c.misses);
    return MM_OK;
}

static mm_status write_fingerprint(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm__buf_puts(b, m->assembly->fingerprint);
    return MM_OK;
}

static mm_status write_summary(const mm_model *m, mm__buf *b, mm_error *err);
static mm_status write_keys(const mm_model *m, mm__buf *b, mm_error *err);

static const struct info_key {
    const char *key;
    writer write;
    bool number;
} info_keys[] = {
    {"name", write_name, false},           {"assembly", write_assembly, false},
    {"format", write_format, false},       {"modalities_in", write_in, false},
    {"modalities_out", write_out, false},  {"tasks", write_tasks, false},
    {"parts", write_parts, false},         {"context", write_context, true},
    {"vocab", write_vocab, true},          {"parameters", write_parameters, true},
    {"layers", write_layers, true},
    {"weights_bytes", write_weights_bytes, true}, {"kv_bytes_per_token", write_kv, true},
    {"dtypes", write_dtypes, false},       {"prompt_layout", write_layout, false},
    {"placeholder", write_placeholder, false}, {"sample_rate", write_rate, true},
    {"chat_template_sha256", write_template_hash, false}, {"chat_template", write_template, false},
    {"fingerprint", write_fingerprint, false}, {"tensors", write_tensors, false},
    {"media_cache", write_media_cache, false},
    {"summary", write_summary, false},     {"keys", write_keys, false},
};

static mm_status write_keys(const mm_model *m, mm__buf *b, mm_error *err)
{
    for (size_t i = 0; i < sizeof info_keys / sizeof *info_keys; i++) mm__buf_printf(b, "%s ", info_keys[i].key);
    mm__buf_puts(b, "plan:N plan:N:T kv_bytes_per_token:T");
    return MM_OK;
}

/* All keys but the long ones and what changes, as one JSON object. */
static mm_status write_summary(const mm_model *m, mm__buf *b, mm_error *err)
{
    mm_status st = MM_OK;
    mm__buf_putc(b, '{');
    for (size_t i = 0; st == MM_OK && i < sizeof info_keys / sizeof *info_keys; i++) {
        const struct info_key *k = &info_keys[i];
        if (k->write == write_summary || k->write == write_tensors || k->write == write_template || k->write == write_keys ||
            k->write == write_media_cache)
            continue;
        mm__buf value;
        mm__buf_init(&value, m->engine->mem);
        st = k->write(m, &value, err);
        mm__buf_printf(b, "%s\"%s\":", i ? "," : "", k->key);
        if (k->number) mm__buf_puts(b, mm__buf_str(&value));
        else mm__buf_json_string(b, mm__buf_str(&value), value.len);
        b->failed |= value.failed;
        mm__buf_free(&value);
    }
    mm__buf_putc(b, '}');
    return st;
}

static mm_status write_key(const mm_model *m, const char *key, mm__buf *b, mm_error *err)
{
    static const char per_token[] = "kv_bytes_per_token:";
    mm__dtype t = mm__kv_default(m->assembly->backend);
    if (strncmp(key, per_token, sizeof per_token - 1) == 0 && mm__kv_named(key + sizeof per_token - 1, &t)) return write_kv_of(m, t, b, err);
    if (strncmp(key, "plan:", 5) == 0) {
        const size_t digits = strspn(key + 5, "0123456789");
        const unsigned long n = digits && digits < 10 ? strtoul(key + 5, NULL, 10) : MAX_PLAN + 1;
        const char *rest = key + 5 + digits;
        if ((!*rest || (*rest == ':' && mm__kv_named(rest + 1, &t))) && n <= MAX_PLAN) return write_plan(m, (uint32_t)n, t, b, err);
    }
    for (size_t i = 0; i < sizeof info_keys / sizeof *info_keys; i++)
        if (strcmp(info_keys[i].key, key) == 0) return info_keys[i].write(m, b, err);
    return mm__fail(err, MM_E_KEY, "\"%s\" is no model key; \"keys\" lists them", key);
}

static mm_status model_info(const mm_model *m, const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    mm__buf b;
    mm__buf_init(&b, m->engine->mem);
    return mm__give_buf(&b, write_key(m, key, &b, err), buf, cap, need, err);
}

mm_status mm_model_info(const mm_model *model, const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = 0;
    const mm_status st = mm__enter_model(model, key != NULL, "model and key", &err);
    return st == MM_OK ? mm__leave_model(model, model_info(model, key, buf, cap, need, err)) : st;
}

/* ---- engines ---- */

static void write_limits(const mm_engine *e, mm__buf *b)
{
    for (int i = 0; i < MM__N_LIMITS; i++) {
        const mm__limit_info *l = mm__limit_info_of((mm__limit_id)i);
        mm__buf_printf(b, "%s\t%" PRIu64 "\t%" PRIu64 "\t%" PRIu64 "\t%s\n", l->key, mm__limit(e->mem, (mm__limit_id)i), l->usual,
                       l->most, l->counts);
    }
}

static void write_counts(mm__backend *k, bool (*list)(mm__backend *k, unsigned i, mm__count *out), mm__buf *b)
{
    mm__count c;
    for (unsigned i = 0; list && list(k, i, &c); i++) mm__buf_printf(b, "%s\t%" PRIu64 "\t%s\n", c.key, c.n, c.what);
}

static mm_status write_self_test(mm__backend *k, mm__buf *b, mm_error *err)
{
    mm__proof p;
    mm_status st = k->ops->prove ? MM_OK : MM_END;
    for (unsigned i = 0; st == MM_OK && (st = k->ops->prove(k, i, &p, err)) == MM_OK; i++)
        mm__buf_printf(b, "%s\t%s\t%.2g\t%.2g\n", p.name, p.verdict, p.error, p.tolerance);
    return st == MM_END ? MM_OK : st;
}

static mm_status write_engine_key(const mm_engine *e, const char *key, mm__buf *b, mm_error *err)
{
    mm__backend *k = e->backend;
    if (strcmp(key, "device") == 0) mm__buf_puts(b, k->ops->name);
    else if (strcmp(key, "isa") == 0) mm__buf_puts(b, k->isa);
    else if (strcmp(key, "threads") == 0) mm__buf_printf(b, "%d", k->threads);
    else if (strcmp(key, "precision") == 0) mm__buf_puts(b, k->exact ? "exact" : "fast");
    else if (strcmp(key, "memory_bytes") == 0) mm__buf_printf(b, "%" PRIu64, mm__mem_live(e->mem));
    else if (strcmp(key, "memory_peak") == 0) mm__buf_printf(b, "%" PRIu64, mm__mem_peak(e->mem));
    else if (strcmp(key, "memory_limit") == 0) mm__buf_printf(b, "%" PRIu64, mm__limit(e->mem, MM__LIMIT_MEMORY));
    else if (strcmp(key, "limits") == 0) write_limits(e, b);
    else if (strcmp(key, "counts") == 0) write_counts(k, k->ops->counts, b);
    else if (strcmp(key, "fallbacks") == 0) write_counts(k, k->ops->fallbacks, b);
    else if (strcmp(key, "self_test") == 0) return write_self_test(k, b, err);
    else if (strcmp(key, "keys") == 0) mm__buf_puts(b, "device isa threads precision memory_bytes memory_peak memory_limit limits counts fallbacks self_test keys");
    else return mm__fail(err, MM_E_KEY, "\"%s\" is no engine key; \"keys\" lists them", key);
    return MM_OK;
}

static mm_status engine_info(const mm_engine *e, const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    mm__buf b;
    mm__buf_init(&b, e->mem);
    return mm__give_buf(&b, write_engine_key(e, key, &b, err), buf, cap, need, err);
}

mm_status mm_engine_info(const mm_engine *engine, const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = 0;
    const mm_status st = mm__enter_engine(engine, key != NULL, "engine and key", &err);
    return st == MM_OK ? mm__leave_engine(engine, engine_info(engine, key, buf, cap, need, err)) : st;
}
