/* What lies at a model path, opened but not interpreted: which kind it is, its configuration documents, its tensors.
 *
 *   Hugging Face directory   config.json + safetensors + side documents
 *   GGUF file                one file (or shards), and an mmproj GGUF beside it when there is exactly one
 *   ggml .bin                speech
 *   CTranslate2 directory    model.bin + side documents
 *   manifest                 *.mm.json: parts, each with a source of its own
 *
 * A manifest is an object:
 *   { "libmm": 1, "assembly": "blip2",            which product the parts make
 *     "parts": { "text":   { "path": "x.gguf" },
 *                "vision": { "path": "dir-or-file", "config": {..} | "file.json", "config_path": "vision_config" },
 *                "bridge": { "path": "bridge.safetensors", "config": {..} } },
 *     "image": {..} | "preprocessor_config.json", "prompt": { "placeholder": "<reponame>", ... } }
 * Other keys are ignored with a warning in the log. Every path (parts' path and config, image) is relative to the manifest's directory and leaves it, if at all, by "../" at
 * its front. What it names must be a regular file, or a directory where a model may be one. */
#ifndef MM__ASSEMBLY_SOURCE_H
#define MM__ASSEMBLY_SOURCE_H

#include "../file/gguf.h"
#include "../file/legacy_speech.h"
#include "../part/load.h"

typedef enum mm__source_kind { MM__SRC_HF, MM__SRC_GGUF, MM__SRC_GGML, MM__SRC_CT2, MM__SRC_TENSORS, MM__SRC_MANIFEST } mm__source_kind;

typedef struct mm__doc {      /* a JSON side file */
    mm__json_doc *doc;
    const mm__json *root;     /* NULL: the file is absent */
    char *path;
} mm__doc;

typedef struct mm__source mm__source;
struct mm__source {
    mm__mem *mem;
    mm__files files;          /* what paths name */
    mm__source_kind kind;
    char *path, *dir;
    mm__weights *weights;     /* NULL for a manifest */
    mm__gguf *gguf;
    mm__ggml_bin *bin;
    char spec[64];            /* CTranslate2 */
    mm__doc config, preprocessor, tokenizer, tokenizer_config, special_tokens, generation, processor;
    char *chat_template;      /* chat_template.jinja, or NULL */
    char *spm_path;           /* spiece.model / tokenizer.model, or NULL */
    mm__source *mmproj;       /* beside a GGUF, or NULL */
    mm__source *part[8];      /* manifest */
    const mm__json *part_json[8];
    const char *part_role[8];
    int n_parts;
};

/* Reads the JSON side file `name`, a path inside the source's folder, as one of its documents names it; absent: no root. The
 * caller frees the document. */
mm_status mm__source_read(const mm__source *s, const char *name, mm__doc *out, mm_error *err);
void mm__doc_free(mm__mem *mem, mm__doc *d);
mm_status mm__source_open(const mm__files *files, const char *path, mm__source **out, mm_error *err);
void mm__source_close(mm__source *s);
/* Gives every file back; what was read stays. */
void mm__source_shut(mm__source *s);
mm__scheme mm__source_scheme(const mm__source *s);
/* The whole configuration of the source: config.json's object, or the GGUF's keys with its architecture as prefix. */
mm__config mm__source_config(const mm__source *s);
/* Index of a manifest's part by role, -1 when absent. */
int mm__source_part(const mm__source *s, const char *role);
const char *mm__source_format(const mm__source *s);
/* The `index`-th format that can be opened; NULL past the last. */
const char *mm__source_format_at(unsigned index);
/* Visits every tensor of a source and of its parts. */
void mm__source_each(const mm__source *s, void (*fn)(void *ctx, const mm__weight *w), void *ctx);
/* Sum of all tensors, parts included. */
uint64_t mm__source_bytes(const mm__source *s);

#endif
