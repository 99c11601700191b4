/* The ggml .bin layout of speech recognisers, little-endian:
 *
 *   u32 0x67676d6c; i32 n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer, n_text_ctx, n_text_state,
 *                       n_text_head, n_text_layer, n_mels, ftype
 *   i32 n_mels, n_freq; f32 filterbank[n_mels][n_freq]
 *   i32 n_tokens; n_tokens x { i32 length, bytes }
 *   to the end of the file: { i32 n_dims, name length, type; i32 dims[n_dims]; name; data }, unaligned
 *
 * Dims come fastest axis first and are turned; types are ggml's numbers. There is no tensor count, so the last tensor
 * must end exactly with the file. Tokens lie in one block, one behind the other and NUL-terminated; tokens[0] owns it.
 * Layout: whisper.cpp's converter and loader. */
#include "legacy_speech.h"
#include "ggml_type.h"
#include "reader.h"
#include "../base/buf.h"
#include "../base/error.h"
#include <inttypes.h>
#include <string.h>

enum {
    MAGIC = 0x67676d6c,
    MAX_VOCAB = 1 << 22, MAX_CTX = 1 << 16, MAX_STATE = 1 << 14, MAX_HEAD = 256, MAX_LAYER = 512, MAX_MELS = 512, MAX_FTYPE = 1 << 16,
    MAX_FREQ = 1 << 16, MAX_TOKEN = 65535, MAX_NAME = 255,
};

bool mm__ggml_bin_is(const uint8_t first[4], uint64_t bytes)
{
    return bytes >= 48 && !memcmp(first, "lmgg", 4);
}

static mm_status read_sizes(mm__reader *r, mm__ggml_bin *b, mm_error *err)
{
    const struct {
        const char *name;
        int32_t lo, hi, *out;
    } sizes[] = {
        {"n_vocab", 1, MAX_VOCAB, &b->n_vocab}, {"n_audio_ctx", 1, MAX_CTX, &b->n_audio_ctx},
        {"n_audio_state", 1, MAX_STATE, &b->n_audio_state}, {"n_audio_head", 1, MAX_HEAD, &b->n_audio_head},
        {"n_audio_layer", 1, MAX_LAYER, &b->n_audio_layer}, {"n_text_ctx", 1, MAX_CTX, &b->n_text_ctx},
        {"n_text_state", 1, MAX_STATE, &b->n_text_state}, {"n_text_head", 1, MAX_HEAD, &b->n_text_head},
        {"n_text_layer", 1, MAX_LAYER, &b->n_text_layer}, {"n_mels", 1, MAX_MELS, &b->n_mels}, {"ftype", 0, MAX_FTYPE, &b->ftype},
    };
    uint32_t magic = 0;
    mm_status st = mm__reader_u32(r, &magic, err);
    if (!st && magic != MAGIC) st = mm__fail(err, MM_E_FORMAT, "%s: is no ggml .bin file", mm__io_name(r->io));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes && !st; i++)
        st = mm__reader_i32(r, sizes[i].name, sizes[i].lo, sizes[i].hi, sizes[i].out, err);
    return st;
}

static mm_status read_filterbank(mm__reader *r, mm__ggml_bin *b, mm_error *err)
{
    int32_t n_mels;
    mm_status st = mm__reader_i32(r, "the filterbank's number of mels", b->n_mels, b->n_mels, &n_mels, err);
    if (!st) st = mm__reader_i32(r, "the filterbank's number of frequencies", 1, MAX_FREQ, &b->n_freq, err);
    if (st) return st;
    const size_t bytes = (size_t)n_mels * (size_t)b->n_freq * sizeof(float);
    if (bytes > mm__reader_left(r)) return mm__fail(err, MM_E_FORMAT, "%s: the filterbank is longer than the file", mm__io_name(r->io));
    b->mel = mm__alloc(b->mem, bytes);
    if (!b->mel) return mm__nomem(err, "a filterbank");
    return mm__reader_bytes(r, b->mel, bytes, err);
}

/* Reads the texts one behind the other into `all` and their lengths into token_len. */
static mm_status read_token_texts(mm__reader *r, mm__ggml_bin *b, mm__buf *all, mm_error *err)
{
    char text[256];
    for (size_t i = 0; i < b->n_tokens; i++) {
        int32_t len;
        mm_status st = mm__reader_i32(r, "a token's length", 0, MAX_TOKEN, &len, err);
        b->token_len[i] = st ? 0 : (size_t)len;
        for (size_t left = b->token_len[i]; left && !st;) {
            const size_t n = left < sizeof text ? left : sizeof text;
            st = mm__reader_bytes(r, text, n, err);
            if (!st) mm__buf_put(all, text, n);
            left -= n;
        }
        if (st) return st;
        mm__buf_putc(all, 0);
    }
    return all->failed ? mm__nomem(err, "the tokens of a ggml .bin file") : MM_OK;
}

static mm_status read_tokens(mm__reader *r, mm__ggml_bin *b, mm_error *err)
{
    int32_t n;
    mm__buf all;
    mm_status st = mm__reader_i32(r, "the number of tokens", 1, b->n_vocab, &n, err);
    if (st) return st;
    if ((uint64_t)n > mm__reader_left(r) / 4) return mm__fail(err, MM_E_FORMAT, "%s: claims %" PRId32 " tokens, more than the file holds", mm__io_name(r->io), n);
    char **tokens = mm__calloc(b->mem, (size_t)n, sizeof *tokens);
    b->token_len = mm__calloc(b->mem, (size_t)n, sizeof *b->token_len);
    b->n_tokens = (size_t)n;
    mm__buf_init(&all, b->mem);
    st = tokens && b->token_len ? read_token_texts(r, b, &all, err) : mm__nomem(err, "the tokens of a ggml .bin file");
    char *text = st ? NULL : mm__buf_take(&all, NULL);
    if (!st && !text) st = mm__nomem(err, "the tokens of a ggml .bin file");
    mm__buf_free(&all);
    if (st) {
        mm__free(b->mem, tokens);
        return st;
    }
    for (size_t i = 0; i < b->n_tokens; i++) {
        tokens[i] = text;
        text += b->token_len[i] + 1;
    }
    b->tokens = tokens;
    return MM_OK;
}

static mm_status read_tensor(mm__reader *r, mm__weights *w, mm_error *err)
{
    const char *file = mm__io_name(r->io), *type_name;
    int32_t n_dims, name_len, d;
    uint32_t type = 0;
    char name[MAX_NAME + 1];
    mm__shape shape = {0};
    mm__dtype dtype;
    size_t bytes;
    mm_status st = mm__reader_i32(r, "a tensor's number of axes", 1, MM__MAX_DIM, &n_dims, err);
    if (!st) st = mm__reader_i32(r, "the length of a tensor's name", 1, MAX_NAME, &name_len, err);
    if (!st) st = mm__reader_u32(r, &type, err);
    if (st) return st;
    shape.n = n_dims;
    for (int i = n_dims; i-- > 0;) {
        if ((st = mm__reader_i32(r, "an axis of a tensor", 1, INT32_MAX, &d, err)) != MM_OK) return st;
        shape.d[i] = d;
    }
    st = mm__reader_bytes(r, name, (size_t)name_len, err);
    if (st) return st;
    if (!mm__ggml_dtype(type, &dtype, &type_name))
        return mm__fail(err, MM_E_UNSUPPORTED, "%s: tensor %.*s is of type %s (%" PRIu32 "), which this build cannot read", file, (int)name_len, name, type_name, type);
    if (!mm__tensor_bytes(dtype, &shape, &bytes))
        return mm__fail(err, MM_E_FORMAT, "%s: tensor %.*s of type %s has an impossible shape", file, (int)name_len, name, type_name);
    st = mm__weights_add(w, name, (size_t)name_len, dtype, shape, r->io, r->at, bytes, err);
    return st ? st : mm__reader_skip(r, bytes, err);
}

mm_status mm__ggml_bin_open(const mm__files *files, const char *path, mm__weights *w, mm__ggml_bin **out, mm_error *err)
{
    mm__mem *mem = files->mem;
    mm__io *io = NULL;
    mm__reader *r = NULL;
    mm__ggml_bin *b = NULL;
    *out = NULL;
    mm_status st = mm__io_open_path(files, path, &io, err);
    if (!st) st = mm__weights_own_io(w, io, err);
    if (st) return st;
    r = mm__alloc(mem, sizeof *r);
    b = mm__zalloc(mem, sizeof *b);
    if (b) b->mem = mem;
    if (!r || !b) {
        st = mm__nomem(err, "a ggml .bin file");
        goto done;
    }
    mm__reader_init(r, io);
    st = read_sizes(r, b, err);
    if (!st) st = read_filterbank(r, b, err);
    if (!st) st = read_tokens(r, b, err);
    while (!st && mm__reader_left(r)) st = read_tensor(r, w, err);
done:
    mm__free(mem, r);
    if (st) {
        mm__ggml_bin_free(b);
        return st;
    }
    *out = b;
    return MM_OK;
}

void mm__ggml_bin_free(mm__ggml_bin *b)
{
    if (!b) return;
    mm__free(b->mem, b->mel);
    if (b->tokens) mm__free(b->mem, b->tokens[0]);
    mm__free(b->mem, b->tokens);
    mm__free(b->mem, b->token_len);
    mm__free(b->mem, b);
}
