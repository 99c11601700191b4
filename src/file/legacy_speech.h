/* Two containers in which speech recognisers are common on disk besides safetensors: the ggml `.bin` layout and
 * CTranslate2's model.bin. Each reader fills a weight set (names as the file has them) and states the hyper-parameters,
 * vocabulary and filterbank the file carries in the neutral form below. */
#ifndef MM__FILE_LEGACY_SPEECH_H
#define MM__FILE_LEGACY_SPEECH_H

#include "../base/json.h"
#include "weights.h"

typedef struct mm__ggml_bin {
    /* As stored, each in a documented range. */
    int32_t n_vocab, n_audio_ctx, n_audio_state, n_audio_head, n_audio_layer;
    int32_t n_text_ctx, n_text_state, n_text_head, n_text_layer, n_mels, ftype;
    float *mel;               /* [n_mels, n_freq] filterbank */
    int32_t n_freq;
    char **tokens;            /* n_tokens byte strings */
    size_t *token_len;
    size_t n_tokens;
    mm__mem *mem;
} mm__ggml_bin;

/* Whether a file of so many bytes that starts with these four is one. */
bool mm__ggml_bin_is(const uint8_t first[4], uint64_t bytes);
mm_status mm__ggml_bin_open(const mm__files *files, const char *path, mm__weights *w, mm__ggml_bin **out, mm_error *err);
void mm__ggml_bin_free(mm__ggml_bin *b);

/* CTranslate2 directory: model.bin (variables become weights under their own names; scalars stay readable as 1-element
 * tensors). config.json, vocabulary.* and tokenizer.json are read by the caller. `spec` receives the spec name. */
mm_status mm__ct2_open(const mm__files *files, const char *path, mm__weights *w, char spec[64], mm_error *err);

#endif
