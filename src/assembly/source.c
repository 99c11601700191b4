/* Opening a model path: recognise the kind, open weights, read the JSON side files that exist. Nothing is interpreted
 * here; a missing optional file leaves an empty mm__doc. One cleanup path: mm__source_close accepts half-made sources. */
#include "source.h"

#include "../base/error.h"

#include <errno.h>
#include <string.h>

#define MANIFEST ".mm.json"

void mm__doc_free(mm__mem *mem, mm__doc *d)
{
    mm__json_free(d->doc);
    mm__free(mem, d->path);
    *d = (mm__doc){0};
}

void mm__source_close(mm__source *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_parts; i++) mm__source_close(s->part[i]);
    mm__source_close(s->mmproj);
    mm__weights_destroy(s->weights);
    mm__gguf_close(s->gguf);
    mm__ggml_bin_free(s->bin);
    mm__doc *docs[] = {&s->config,  &s->preprocessor, &s->tokenizer, &s->tokenizer_config, &s->special_tokens,
                       &s->generation, &s->processor};
    for (size_t i = 0; i < sizeof docs / sizeof *docs; i++) mm__doc_free(s->mem, docs[i]);
    mm__free(s->mem, s->chat_template);
    mm__free(s->mem, s->spm_path);
    mm__free(s->mem, s->path);
    mm__free(s->mem, s->dir);
    mm__free(s->mem, s);
}

void mm__source_shut(mm__source *s)
{
    if (!s) return;
    for (int i = 0; i < s->n_parts; i++) mm__source_shut(s->part[i]);
    mm__source_shut(s->mmproj);
    mm__weights_shut(s->weights);
    mm__gguf_shut(s->gguf);
}

static mm_status doc_read(const mm__source *s, const char *dir, const char *name, mm__doc *out, mm_error *err)
{
    mm_status st = MM_OK;
    char *text = NULL;
    size_t len;
    out->path = mm__path_join(s->mem, dir, name);
    if (!out->path) return mm__nomem(err, name);
    if (mm__path_kind(&s->files, out->path) != MM__PATH_FILE) return MM_OK;
    if ((st = mm__read_file(&s->files, out->path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, err)) != MM_OK) return st;
    st = mm__json_parse(s->mem, text, len, out->path, &out->doc, err);
    mm__free(s->mem, text);
    if (st == MM_OK) out->root = mm__json_root(out->doc);
    return st;
}

/* The path of a file in the source's directory, NULL when it is not there. */
static mm_status find_file(mm__source *s, const char *name, char **out, mm_error *err)
{
    if (!(*out = mm__path_join(s->mem, s->dir, name))) return mm__nomem(err, "a path");
    if (mm__path_kind(&s->files, *out) == MM__PATH_FILE) return MM_OK;
    mm__free(s->mem, *out);
    *out = NULL;
    return MM_OK;
}

static mm_status read_template(mm__source *s, mm_error *err)
{
    char *p;
    size_t len;
    mm_status st = find_file(s, "chat_template.jinja", &p, err);
    if (st == MM_OK && p) st = mm__read_file(&s->files, p, MM__LIMIT_TEMPLATE_BYTES, &s->chat_template, &len, err);
    mm__free(s->mem, p);
    return st;
}

static mm_status read_side_files(mm__source *s, mm_error *err)
{
    const struct {
        const char *name;
        mm__doc *doc;
    } files[] = {{"config.json", &s->config},
                 {"preprocessor_config.json", &s->preprocessor},
                 {"tokenizer.json", &s->tokenizer},
                 {"tokenizer_config.json", &s->tokenizer_config},
                 {"special_tokens_map.json", &s->special_tokens},
                 {"generation_config.json", &s->generation},
                 {"processor_config.json", &s->processor}};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        mm_status st = doc_read(s, s->dir, files[i].name, files[i].doc, err);
        if (st != MM_OK) return st;
    }
    const char *spm[] = {"spiece.model", "tokenizer.model"};
    for (size_t i = 0; i < 2 && !s->spm_path; i++) {
        mm_status st = find_file(s, spm[i], &s->spm_path, err);
        if (st != MM_OK) return st;
    }
    return read_template(s, err);
}

static mm_status open_dir(mm__source *s, mm_error *err)
{
    char *p;
    mm_status st = read_side_files(s, err);
    if (st == MM_OK) st = find_file(s, "model.bin", &p, err);
    if (st != MM_OK) return st;
    if (p) {
        s->kind = MM__SRC_CT2;
        st = mm__ct2_open(&s->files, p, s->weights, s->spec, err);
        mm__free(s->mem, p);
        return st;
    }
    s->kind = MM__SRC_HF;
    if (!s->config.root)
        return mm__fail(err, MM_E_FORMAT, "%s: the directory has no config.json, so it is no model directory", s->path);
    return mm__safetensors_add_dir(&s->files, s->dir, s->weights, err);
}

/* The projector file of a GGUF: "mmproj*.gguf" in the same directory. */
static mm_status open_mmproj(mm__source *s, mm_error *err)
{
    char *name;
    mm_status st = mm__path_find(&s->files, s->dir, "mmproj", ".gguf", &name, err);
    if (st != MM_OK || !name) return st;
    char *p = mm__path_join(s->mem, s->dir, name);
    st = p ? mm__source_open(&s->files, p, &s->mmproj, err) : mm__nomem(err, "a path");
    mm__free(s->mem, p);
    mm__free(s->mem, name);
    return st;
}

static mm_status open_gguf(mm__source *s, mm_error *err)
{
    s->kind = MM__SRC_GGUF;
    mm_status st = mm__gguf_open(&s->files, s->path, &s->gguf, err);
    if (st == MM_OK) st = mm__gguf_add_weights(s->gguf, s->weights, err);
    if (st != MM_OK) return st;
    if (strncmp(mm__path_base(s->path), "mmproj", 6) == 0) return MM_OK;
    return open_mmproj(s, err);
}

static bool ends_with(const char *s, const char *suffix)
{
    size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

/* Which paths a manifest may write: relative ones that leave its folder, if at all, by "../" at their front, so that
 * whoever reads the manifest sees at once how far it reaches. */
static bool may_name(const char *path)
{
    if (!path[0] || path[0] == '/' || strchr(path, '\\')) return false;
    while (strncmp(path, "../", 3) == 0) path += 3;
    for (const char *at = path;; at++) {
        const size_t n = strcspn(at, "/");
        if (n == 2 && at[0] == '.' && at[1] == '.') return false;
        at += n;
        if (!*at) return true;
    }
}

/* Every path of a manifest goes through here. `role` is the part whose key it is, or NULL. */
static mm_status check_path(const mm__source *s, const char *role, const char *key, const char *path, mm_error *err)
{
    if (may_name(path)) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "%s: %s%s%s%s must be a relative path with \"../\" only at its front, not \"%s\"", s->path,
                    role ? "parts." : "", role ? role : "", role ? "." : "", key, path);
}

mm_status mm__source_read(const mm__source *s, const char *name, mm__doc *out, mm_error *err)
{
    if (may_name(name) && strncmp(name, "../", 3) != 0) return doc_read(s, s->dir, name, out, err);
    return mm__fail(err, MM_E_FORMAT, "%s: the model names the file \"%s\", which must be a relative path inside its folder", s->path, name);
}

/* What a manifest says under `key`: an object, or the name of a file that holds one. Absent: *out stays. */
static mm_status read_named(mm__source *s, const char *role, const char *key, const mm__json *v, mm__doc *out, mm_error *err)
{
    const int kind = mm__json_kind(v);
    if (kind == MM__JSON_NULL) return MM_OK;
    if (kind != MM__JSON_OBJECT && kind != MM__JSON_STRING)
        return mm__fail(err, MM_E_FORMAT, "%s: \"%s\" must be an object or the path of a file", s->path, key);
    mm__doc_free(s->mem, out);
    if (kind == MM__JSON_OBJECT) {
        out->root = v;
        return MM_OK;
    }
    const char *name = mm__json_str(v, NULL, "");
    mm_status st = check_path(s, role, key, name, err);
    if (st == MM_OK) st = doc_read(s, s->dir, name, out, err);
    if (st == MM_OK && !out->root) st = mm__fail(err, MM_E_IO, "%s: no such file, yet %s names it", out->path, s->path);
    return st;
}

static mm_status open_part(mm__source *s, const char *role, const mm__json *spec, mm_error *err)
{
    const int max = (int)(sizeof s->part / sizeof *s->part);
    if (s->n_parts == max) return mm__fail(err, MM_E_LIMIT, "%s: a manifest has at most %d parts", s->path, max);
    const char *rel = mm__json_str(mm__json_get(spec, "path"), NULL, "");
    mm_status st = check_path(s, role, "path", rel, err);
    if (st != MM_OK) return st;
    if (ends_with(rel, MANIFEST)) /* it might name itself */
        return mm__fail(err, MM_E_FORMAT, "%s: parts.%s.path names a manifest; a part is a model file or directory", s->path, role);
    char *p = mm__path_join(s->mem, s->dir, rel);
    if (!p) return mm__nomem(err, "a path");
    st = mm__source_open(&s->files, p, &s->part[s->n_parts], err);
    mm__free(s->mem, p);
    if (st != MM_OK) return st;
    mm__source *part = s->part[s->n_parts];
    s->part_role[s->n_parts] = role;
    s->part_json[s->n_parts] = spec;
    s->n_parts++;
    return read_named(s, role, "config", mm__json_get(spec, "config"), &part->config, err);
}

static mm_status open_manifest(mm__source *s, mm_error *err)
{
    s->kind = MM__SRC_MANIFEST;
    mm_status st = doc_read(s, s->dir, mm__path_base(s->path), &s->config, err);
    if (st != MM_OK) return st;
    if (mm__json_int(mm__json_get(s->config.root, "libmm"), 0) != 1)
        return mm__fail(err, MM_E_FORMAT, "%s: a manifest starts with \"libmm\": 1", s->path);
    const mm__json *parts = mm__json_get(s->config.root, "parts");
    for (size_t i = 0; i < mm__json_count(parts); i++) {
        const char *role;
        const mm__json *spec = mm__json_member(parts, i, &role, NULL);
        if (!spec) return mm__fail(err, MM_E_FORMAT, "%s: \"parts\" must be an object", s->path);
        if ((st = open_part(s, role, spec, err)) != MM_OK) return st;
    }
    return read_named(s, NULL, "image", mm__json_get(s->config.root, "image"), &s->preprocessor, err);
}

static mm_status open_file(mm__source *s, mm_error *err)
{
    if (ends_with(s->path, MANIFEST)) return open_manifest(s, err);
    mm__io *io;
    mm_status st = mm__io_open_path(&s->files, s->path, &io, err);
    if (st != MM_OK) return st;
    uint8_t magic[4] = {0};
    if (mm__io_size(io) >= 4) st = mm__io_read(io, 0, magic, 4, err);
    bool ggml = st == MM_OK && mm__ggml_bin_is(magic, mm__io_size(io));
    mm__io_close(io);
    if (st != MM_OK) return st;
    if (memcmp(magic, "GGUF", 4) == 0) return open_gguf(s, err);
    if (ggml) {
        s->kind = MM__SRC_GGML;
        return mm__ggml_bin_open(&s->files, s->path, s->weights, &s->bin, err);
    }
    if (ends_with(s->path, ".safetensors")) {
        s->kind = MM__SRC_TENSORS;
        return mm__safetensors_add(&s->files, s->path, s->weights, err);
    }
    return mm__fail(err, MM_E_FORMAT,
                    "%s: not a model file (expected GGUF, a ggml .bin, .safetensors or a *.mm.json manifest)", s->path);
}

mm_status mm__source_open(const mm__files *files, const char *path, mm__source **out, mm_error *err)
{
    mm__mem *mem = files->mem;
    *out = NULL;
    int kind = mm__path_kind(files, path);
    if (kind == MM__PATH_NONE) return mm__fail_code(err, MM_E_IO, ENOENT, "%s: no such file or directory; check the path", path);
    mm__source *s = mm__zalloc(mem, sizeof *s);
    if (!s) return mm__nomem(err, "a model source");
    mm_status st;
    s->mem = mem;
    s->files = *files;
    s->path = mm__strdup(mem, path);
    s->dir = kind == MM__PATH_DIR ? mm__strdup(mem, path) : mm__path_dir(mem, path);
    if (!s->path || !s->dir) {
        st = mm__nomem(err, "a model source");
        goto fail;
    }
    if ((st = mm__weights_create(mem, &s->weights, err)) != MM_OK) goto fail;
    st = kind == MM__PATH_DIR ? open_dir(s, err) : open_file(s, err);
    if (st != MM_OK) goto fail;
    *out = s;
    return MM_OK;
fail:
    mm__source_close(s);
    return st;
}

mm__scheme mm__source_scheme(const mm__source *s)
{
    switch (s->kind) {
    case MM__SRC_GGUF: return MM__NAMES_GGUF;
    case MM__SRC_GGML: return MM__NAMES_GGML;
    case MM__SRC_CT2: return MM__NAMES_CT2;
    default: return MM__NAMES_HF;
    }
}

mm__config mm__source_config(const mm__source *s)
{
    mm__config c = {.source = s->path, .json = s->config.root, .gguf = s->gguf, .arch = ""};
    if (s->gguf) {
        mm__gguf_value v = mm__gguf_get(s->gguf, "general.architecture");
        if (v.kind == MM__GGUF_STR) c.arch = v.s;
    } else {
        c.arch = mm__json_str(mm__json_get(s->config.root, "model_type"), NULL, "");
    }
    return c;
}

static const char *const formats[] = {[MM__SRC_HF] = "huggingface", [MM__SRC_GGUF] = "gguf",
                                      [MM__SRC_GGML] = "ggml",      [MM__SRC_CT2] = "ctranslate2",
                                      [MM__SRC_TENSORS] = "safetensors", [MM__SRC_MANIFEST] = "manifest"};

const char *mm__source_format(const mm__source *s)
{
    return s->mmproj ? "gguf+mmproj" : formats[s->kind];
}

const char *mm__source_format_at(unsigned index)
{
    return index < sizeof formats / sizeof *formats ? formats[index] : NULL;
}

int mm__source_part(const mm__source *s, const char *role)
{
    for (int i = 0; i < s->n_parts; i++)
        if (strcmp(s->part_role[i], role) == 0) return i;
    return -1;
}

void mm__source_each(const mm__source *s, void (*fn)(void *ctx, const mm__weight *w), void *ctx)
{
    for (size_t i = 0; i < mm__weights_count(s->weights); i++) fn(ctx, mm__weights_at(s->weights, i));
    if (s->mmproj) mm__source_each(s->mmproj, fn, ctx);
    for (int i = 0; i < s->n_parts; i++) mm__source_each(s->part[i], fn, ctx);
}

static void add_bytes(void *ctx, const mm__weight *w)
{
    *(uint64_t *)ctx += w->bytes;
}

uint64_t mm__source_bytes(const mm__source *s)
{
    uint64_t total = 0;
    mm__source_each(s, add_bytes, &total);
    return total;
}
