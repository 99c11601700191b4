/* The seams between parts. Each part checks its own tensors; whether what one gives is what the next takes is checked here,
 * once, for every product, before anything runs: columns of features, of media rows, of cross-attention memory and of
 * vectors that are compared, and the number of rows a picture gives. */
#include "assembly.h"

#include "../base/error.h"

static mm_status same(const mm__assembly *a, const char *gives, int32_t given, const char *takes, int32_t taken, mm_error *err)
{
    if (given == taken && given > 0) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "%s: the parts do not fit: the %s gives %d columns, the %s takes %d", a->source->path, gives,
                    given, takes, taken);
}

/* Columns the text side takes for a row of a medium. */
int32_t mm__assembly_media_width(const mm__assembly *a)
{
    if (a->prompt.media == MM__MEDIA_CROSS) return a->decoder->info.cross_width;
    return a->memory ? a->memory->info.width : a->decoder->info.n_embd;
}

/* Rows of a picture of the policy's fixed size, as many as the prompt has places. */
static mm_status check_rows(const mm__assembly *a, mm_error *err)
{
    const mm__encoder_info *v = &a->vision->info;
    int32_t w, h;
    if (a->prompt.media == MM__MEDIA_CROSS) return MM_OK;
    int64_t rows = a->bridge ? a->bridge->info.n_query : 0;
    if (!rows) {
        mm__image_policy_size(&a->image, v->image_size, v->image_size, &w, &h);
        rows = (int64_t)(w / v->patch) * (h / v->patch) + v->has_cls - a->drop_first;
    }
    if (rows == a->prompt.rows_per_image) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "%s: a prepared picture gives %lld rows, but the prompt has %d places for it", a->source->path,
                    (long long)rows, a->prompt.rows_per_image);
}

static mm_status check_pictures(const mm__assembly *a, mm_error *err)
{
    const mm__bridge *b = a->bridge;
    mm_status st = b ? same(a, "image encoder", a->vision->info.width, "bridge", b->info.in, err) : MM_OK;
    if (st != MM_OK || !a->decoder) return st;
    if (a->prompt.media == MM__MEDIA_CROSS && a->prompt.placeholder_id < 0)
        return mm__fail(err, MM_E_FORMAT, "%s: the vocabulary has no token \"%s\" that places a picture", a->source->path,
                        a->prompt.placeholder);
    st = same(a, b ? "bridge" : "image encoder", b ? b->info.out : a->vision->info.width, "text part", mm__assembly_media_width(a), err);
    return st == MM_OK ? check_rows(a, err) : st;
}

mm_status mm__assembly_check(const mm__assembly *a, mm_error *err)
{
    mm_status st = MM_OK;
    if (a->vision) st = check_pictures(a, err);
    if (st == MM_OK && a->memory) st = same(a, "text encoder", a->memory->info.width, "decoder", a->decoder->info.cross_width, err);
    if (st == MM_OK && a->speech) st = same(a, "audio encoder", a->speech->info.width, "decoder", a->decoder->info.cross_width, err);
    if (st == MM_OK && (a->tasks & MM__TASK_SCORE))
        st = same(a, "image encoder", a->vision->info.projected, "comparison with text vectors", a->text->info.projected, err);
    return st;
}
