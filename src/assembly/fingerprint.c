/* What tells one model from another: a hash of the product, its parts, the name, type and shape of every stored tensor with
 * the first bytes of each, the vocabulary's size, the chat template, and the precision it was loaded with. Two copies of the
 * same files have the same fingerprint wherever they lie. Reading a sample of each tensor instead of all keeps loading
 * fast; training changes every matrix from its first row on. */
#include "assembly.h"

#include "../base/error.h"
#include "../base/sha256.h"

#include <string.h>

#define SAMPLE_BYTES 4096

/* Length first, so that no two lists of texts look the same. */
static void add_text(mm__sha256 *h, const char *s)
{
    const uint64_t n = s ? strlen(s) : 0;
    mm__sha256_add(h, &n, sizeof n);
    if (n) mm__sha256_add(h, s, (size_t)n);
}

static void add_number(mm__sha256 *h, int64_t v)
{
    mm__sha256_add(h, &v, sizeof v);
}

static mm_status add_tensor(mm__sha256 *h, const mm__weight *w, mm_error *err)
{
    uint8_t sample[SAMPLE_BYTES];
    const size_t n = w->bytes < sizeof sample ? w->bytes : sizeof sample;
    add_text(h, w->name);
    add_text(h, mm__dtype_info_of(w->dtype)->name);
    add_number(h, w->shape.n);
    for (int i = 0; i < w->shape.n; i++) add_number(h, w->shape.d[i]);
    const mm_status st = mm__weight_read(w, 0, sample, n, err);
    if (st == MM_OK) mm__sha256_add(h, sample, n);
    return st;
}

static mm_status add_source(mm__sha256 *h, const mm__source *s, mm_error *err)
{
    mm_status st = MM_OK;
    const size_t n = mm__weights_count(s->weights);
    add_text(h, mm__source_format(s));
    add_text(h, mm__source_type(s));
    add_number(h, (int64_t)n);
    for (size_t i = 0; st == MM_OK && i < n; i++) st = add_tensor(h, mm__weights_at(s->weights, i), err);
    if (st == MM_OK && s->mmproj) st = add_source(h, s->mmproj, err);
    for (int i = 0; st == MM_OK && i < s->n_parts; i++) {
        add_text(h, s->part_role[i]);
        st = add_source(h, s->part[i], err);
    }
    return st;
}

static void add_parts(mm__sha256 *h, const mm__assembly *a)
{
    add_text(h, a->ops->name);
    add_text(h, a->decoder ? a->decoder->ops->name : NULL);
    add_text(h, a->memory ? a->memory->ops->name : NULL);
    add_text(h, a->vision ? a->vision->ops->name : NULL);
    add_text(h, a->speech ? a->speech->ops->name : NULL);
    add_text(h, a->text ? a->text->ops->name : NULL);
    add_text(h, a->bridge ? a->bridge->ops->name : NULL);
    add_number(h, a->decoder ? a->decoder->info.n_ctx : 0);
    add_number(h, a->tokenizer ? (int64_t)mm__tokenizer_size(a->tokenizer) : 0);
    add_text(h, a->chat_text);
    add_number(h, a->backend->exact);
}

mm_status mm__assembly_fingerprint(mm__assembly *a, mm_error *err)
{
    mm__sha256 h;
    uint8_t digest[32];
    mm__sha256_init(&h);
    add_text(&h, "libmm fingerprint 1");
    add_parts(&h, a);
    const mm_status st = add_source(&h, a->source, err);
    if (st != MM_OK) return st;
    mm__sha256_end(&h, digest);
    mm__sha256_hex(digest, a->fingerprint);
    return MM_OK;
}
