/* Whisper (Radford et al. 2022): log-mel front end, audio encoder, text decoder. Forms on disk: a Hugging Face
 * directory, a ggml .bin, a CTranslate2 directory. The last two carry no config.json of the usual kind,
 * so one in Hugging Face spelling is written from what they state, and the parts read all forms alike. */
#include "assembly.h"

#include "../base/buf.h"
#include "../base/error.h"

#include <stdio.h>
#include <string.h>

#define SAMPLE_RATE 16000
#define N_FFT 400
#define HOP 160
#define MAX_WINDOW (1 << 24) /* samples: 17 minutes at 16 kHz */
#define HUNDREDTHS_PER_TIMESTAMP 2 /* of a second */

/* Language order of the released vocabularies: id = start of transcript + 1 + index. */
static const char language_order[][4] = {
    "en", "zh", "de", "es", "ru", "ko", "fr", "ja", "pt", "tr", "pl", "ca", "nl", "ar",  "sv", "it", "id", "hi", "fi", "vi",
    "he", "uk", "el", "ms", "cs", "ro", "da", "hu", "ta", "no", "th", "ur", "hr", "bg",  "lt", "la", "mi", "ml", "cy", "sk",
    "te", "fa", "lv", "bn", "sr", "az", "sl", "kn", "et", "mk", "br", "eu", "is", "hy",  "ne", "mn", "bs", "kk", "sq", "sw",
    "gl", "mr", "pa", "si", "km", "sn", "yo", "so", "af", "oc", "ka", "be", "tg", "sd",  "gu", "am", "yi", "lo", "uz", "fo",
    "ht", "ps", "tk", "nn", "mt", "sa", "lb", "my", "bo", "tl", "mg", "as", "tt", "haw", "ln", "ha", "ba", "jw", "su", "yue"};
#define N_LANGUAGE_ORDER ((int32_t)(sizeof language_order / sizeof *language_order))

static bool match(const mm__source *s)
{
    if (s->kind == MM__SRC_GGML) return true;
    if (s->kind == MM__SRC_CT2) return strcmp(s->spec, "WhisperSpec") == 0;
    return s->kind == MM__SRC_HF && strcmp(mm__source_type(s), "whisper") == 0;
}

/* ---- configuration of the forms without one ---- */

static mm_status adopt_config(mm__source *s, mm__buf *text, mm_error *err)
{
    if (text->failed) return mm__nomem(err, "a configuration");
    mm__json_doc *doc;
    mm_status st = mm__json_parse(s->mem, mm__buf_str(text), text->len, s->path, &doc, err);
    if (st != MM_OK) return st;
    mm__json_free(s->config.doc);
    s->config.doc = doc;
    s->config.root = mm__json_root(doc);
    return MM_OK;
}

typedef struct sizes {
    int64_t vocab, mels, audio_ctx, text_ctx, width, audio_layers, text_layers, audio_heads, text_heads, audio_ffn, text_ffn;
} sizes;

static void write_config(mm__buf *b, const sizes *z)
{
    mm__buf_printf(b,
                   "{\"model_type\":\"whisper\",\"vocab_size\":%lld,\"num_mel_bins\":%lld,\"max_source_positions\":%lld,"
                   "\"max_target_positions\":%lld,\"d_model\":%lld,\"encoder_layers\":%lld,\"decoder_layers\":%lld,"
                   "\"encoder_attention_heads\":%lld,\"decoder_attention_heads\":%lld,\"encoder_ffn_dim\":%lld,"
                   "\"decoder_ffn_dim\":%lld,\"activation_function\":\"gelu\",\"scale_embedding\":false}",
                   (long long)z->vocab, (long long)z->mels, (long long)z->audio_ctx, (long long)z->text_ctx,
                   (long long)z->width, (long long)z->audio_layers, (long long)z->text_layers, (long long)z->audio_heads,
                   (long long)z->text_heads, (long long)z->audio_ffn, (long long)z->text_ffn);
}

static mm_status adopt_sizes(mm__source *s, const sizes *z, mm_error *err)
{
    mm__buf b;
    mm__buf_init(&b, s->mem);
    write_config(&b, z);
    mm_status st = adopt_config(s, &b, err);
    mm__buf_free(&b);
    return st;
}

static int64_t dim(const mm__weights *w, const char *name, int axis)
{
    const mm__weight *t = mm__weights_find(w, name);
    return t && t->shape.n > axis ? t->shape.d[axis] : 0;
}

static mm_status config_from_ggml(mm__source *s, mm_error *err)
{
    const mm__ggml_bin *h = s->bin;
    const sizes z = {.vocab = h->n_vocab, .mels = h->n_mels, .audio_ctx = h->n_audio_ctx, .text_ctx = h->n_text_ctx,
                     .width = h->n_audio_state, .audio_layers = h->n_audio_layer, .text_layers = h->n_text_layer,
                     .audio_heads = h->n_audio_head, .text_heads = h->n_text_head,
                     .audio_ffn = dim(s->weights, "encoder.blocks.0.mlp.0.weight", 0),
                     .text_ffn = dim(s->weights, "decoder.blocks.0.mlp.0.weight", 0)};
    return adopt_sizes(s, &z, err);
}

static int64_t count_layers(const mm__weights *w, const char *side)
{
    char name[64];
    int64_t n = 0;
    for (; n < 1024; n++) {
        snprintf(name, sizeof name, "%s/layer_%lld/", side, (long long)n);
        if (!mm__weights_any(w, name)) break;
    }
    return n;
}

static int64_t scalar_i16(const mm__weights *w, const char *name)
{
    const mm__weight *t = mm__weights_find(w, name);
    int16_t v = 0;
    if (!t || t->dtype != MM__I16 || t->bytes != 2 || mm__weight_read(t, 0, &v, 2, NULL) != MM_OK) return 0;
    return v;
}

static mm_status config_from_ct2(mm__source *s, mm_error *err)
{
    const mm__weights *w = s->weights;
    const sizes z = {.vocab = dim(w, "decoder/embeddings/weight", 0), .width = dim(w, "decoder/embeddings/weight", 1),
                     .mels = dim(w, "encoder/conv1/weight", 1), .audio_ctx = dim(w, "encoder/position_encodings/encodings", 0),
                     .text_ctx = dim(w, "decoder/position_encodings/encodings", 0),
                     .audio_layers = count_layers(w, "encoder"), .text_layers = count_layers(w, "decoder"),
                     .audio_heads = scalar_i16(w, "encoder/num_heads"), .text_heads = scalar_i16(w, "decoder/num_heads"),
                     .audio_ffn = dim(w, "encoder/layer_0/ffn/linear_0/weight", 0),
                     .text_ffn = dim(w, "decoder/layer_0/ffn/linear_0/weight", 0)};
    return adopt_sizes(s, &z, err);
}

/* ---- vocabulary of a ggml .bin: stored tokens, then special ones by rule ---- */

typedef struct special_ids {
    int32_t eot, sot, first_language, n_languages, translate, transcribe, prev, no_speech, no_timestamps, timestamps;
} special_ids;

/* After the text tokens come: end, start, languages, translate, transcribe, startoflm, startofprev, nospeech,
 * notimestamps, and one timestamp for each encoder row plus one. */
static special_ids ids_by_rule(const mm__ggml_bin *h)
{
    static const char end[] = "<|endoftext|>";
    special_ids r;
    const size_t n = h->n_tokens;
    const bool stored_end = n && h->token_len[n - 1] == sizeof end - 1 && memcmp(h->tokens[n - 1], end, sizeof end - 1) == 0;
    r.eot = (int32_t)n - stored_end;
    r.sot = r.eot + 1;
    r.first_language = r.sot + 1;
    r.n_languages = h->n_vocab - (h->n_audio_ctx + 1) - r.first_language - 6;
    r.translate = r.first_language + r.n_languages;
    r.transcribe = r.translate + 1;
    r.prev = r.translate + 3;
    r.no_speech = r.translate + 4;
    r.no_timestamps = r.translate + 5;
    r.timestamps = r.translate + 6;
    return r;
}

static const char *special_name(const special_ids *r, int32_t id, char buf[32])
{
    if (id == r->eot) return "<|endoftext|>";
    if (id == r->sot) return "<|startoftranscript|>";
    const int32_t language = id - r->first_language;
    if (language >= 0 && language < r->n_languages) {
        if (language < N_LANGUAGE_ORDER) snprintf(buf, 32, "<|%s|>", language_order[language]);
        else snprintf(buf, 32, "<|language-%d|>", language);
        return buf;
    }
    static const char *const tail[] = {"<|translate|>",   "<|transcribe|>", "<|startoflm|>",
                                       "<|startofprev|>", "<|nospeech|>",   "<|notimestamps|>"};
    const int32_t t = id - r->translate;
    if (t >= 0 && t < 6) return tail[t];
    const int32_t hundredths = (id - r->timestamps) * HUNDREDTHS_PER_TIMESTAMP; /* %f would write the host's decimal comma */
    snprintf(buf, 32, "<|%d.%02d|>", hundredths / 100, hundredths % 100);
    return buf;
}

static mm_status tokenizer_from_ggml(mm__assembly *a, const mm__source *s, mm_error *err)
{
    const mm__ggml_bin *h = s->bin;
    const special_ids r = ids_by_rule(h);
    const size_t n = (size_t)h->n_vocab;
    if (r.n_languages < 0 || h->n_tokens > n)
        return mm__fail(err, MM_E_FORMAT, "%s: %d vocabulary entries do not leave room for the special tokens", s->path, h->n_vocab);
    const char **tokens = mm__calloc(a->mem, n, sizeof *tokens);
    size_t *len = mm__calloc(a->mem, n, sizeof *len);
    int32_t *types = mm__calloc(a->mem, n, sizeof *types);
    char(*names)[32] = mm__calloc(a->mem, n, sizeof *names);
    mm_status st = MM_OK;
    if (!tokens || !len || !types || !names) {
        st = mm__nomem(err, "a vocabulary");
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        const bool text = i < h->n_tokens && (int32_t)i < r.eot;
        tokens[i] = text ? h->tokens[i] : special_name(&r, (int32_t)i, names[i]);
        len[i] = text ? h->token_len[i] : strlen(tokens[i]);
        types[i] = text ? MM__TOK_NORMAL : MM__TOK_CONTROL;
    }
    const mm__vocab v = {.model = MM__VOCAB_BPE, .n = n, .tokens = tokens, .token_len = len, .types = types, .pre = "gpt-2",
                         .raw_bytes = true, .bos = -1, .eos = r.eot, .unk = -1, .pad = -1, .cls = -1, .sep = -1,
                         .add_bos = 0, .add_eos = 0, .add_space_prefix = 0, .remove_extra_spaces = 0};
    st = mm__tokenizer_from_vocab(a->mem, &v, s->path, &a->tokenizer, err);
done:
    mm__free(a->mem, tokens);
    mm__free(a->mem, len);
    mm__free(a->mem, types);
    mm__free(a->mem, names);
    return st;
}

/* ---- special ids, by name ---- */

static int32_t id_of(const mm__assembly *a, const char *name)
{
    return mm__tokenizer_id(a->tokenizer, name, strlen(name));
}

static mm_status find_languages(mm__assembly *a, mm_error *err)
{
    mm__speech_policy *p = &a->audio;
    p->language_ids = mm__calloc(a->mem, (size_t)N_LANGUAGE_ORDER, sizeof *p->language_ids);
    p->language_codes = mm__calloc(a->mem, (size_t)N_LANGUAGE_ORDER, sizeof *p->language_codes);
    if (!p->language_ids || !p->language_codes) return mm__nomem(err, "a language table");
    for (int32_t i = 0; i < N_LANGUAGE_ORDER; i++) {
        char name[16];
        snprintf(name, sizeof name, "<|%.3s|>", language_order[i]);
        const int32_t id = id_of(a, name);
        if (id < 0 || id >= a->decoder->info.n_vocab) continue;
        p->language_ids[p->n_languages] = id;
        memcpy(p->language_codes[p->n_languages++], language_order[i], sizeof *language_order);
    }
    return MM_OK;
}

static mm_status find_specials(mm__assembly *a, const mm__source *s, mm_error *err)
{
    mm__speech_policy *p = &a->audio;
    p->sot = id_of(a, "<|startoftranscript|>");
    p->eot = id_of(a, "<|endoftext|>");
    p->prev = id_of(a, "<|startofprev|>");
    p->no_timestamps = id_of(a, "<|notimestamps|>");
    p->no_speech = id_of(a, "<|nospeech|>");
    if (p->no_speech < 0) p->no_speech = id_of(a, "<|nocaptions|>");
    p->transcribe = id_of(a, "<|transcribe|>");
    p->translate = id_of(a, "<|translate|>");
    if (p->sot < 0 || p->eot < 0 || p->no_timestamps < 0)
        return mm__fail(err, MM_E_FORMAT, "%s: the vocabulary has no start-of-transcript, end or no-timestamps token", s->path);
    p->timestamp_begin = p->no_timestamps + 1;
    const int64_t n_vocab = a->decoder->info.n_vocab;
    const int32_t ids[] = {p->sot, p->eot, p->prev, p->no_speech, p->transcribe, p->translate, p->timestamp_begin};
    bool outside = false;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) outside |= ids[i] >= n_vocab;
    if (outside)
        return mm__fail(err, MM_E_FORMAT, "%s: special token ids lie outside the %lld logits", s->path, (long long)n_vocab);
    /* English-only models have no use for language tokens, although the vocabulary lists them: their end token is one lower. */
    p->multilingual = mm__json_bool(mm__json_get(s->generation.root, "is_multilingual"), n_vocab != 51864 && p->transcribe >= 0);
    if (p->multilingual && (p->transcribe < 0 || p->translate < 0))
        return mm__fail(err, MM_E_FORMAT, "%s: a multilingual vocabulary needs the tokens <|transcribe|> and <|translate|>", s->path);
    /* A generation configuration that states no bound sets none. */
    const int64_t first = mm__json_int(mm__json_get(s->generation.root, "max_initial_timestamp_index"),
                                       s->generation.root ? -1 : 100 / HUNDREDTHS_PER_TIMESTAMP);
    p->max_initial_timestamp = (int32_t)(first < 0 ? -1 : first > n_vocab ? n_vocab : first);
    return find_languages(a, err);
}

/* ---- suppressed tokens ---- */

static mm_status copy_ids(mm__assembly *a, const mm__json *v, int32_t **ids, int32_t *n, mm_error *err)
{
    const size_t count = mm__json_count(v);
    if (mm__json_kind(v) != MM__JSON_ARRAY || !count) return MM_OK;
    if (!(*ids = mm__calloc(a->mem, count, sizeof **ids))) return mm__nomem(err, "a token list");
    for (size_t i = 0; i < count; i++) {
        const int64_t id = mm__json_int(mm__json_at(v, i), -1);
        if (id >= 0 && id < a->decoder->info.n_vocab) (*ids)[(*n)++] = (int32_t)id;
    }
    return MM_OK;
}

/* Appends the first id of `text` when it is the only one, or always. */
static bool add_symbol(mm__assembly *a, const char *text, bool always, mm__ids *out)
{
    mm__ids ids;
    mm__ids_init(&ids, a->mem);
    bool ok = mm__tokenize(a->tokenizer, text, strlen(text), 0, &ids, NULL) == MM_OK;
    if (ok && ids.len && (always || ids.len == 1)) {
        bool known = false;
        for (size_t i = 0; i < out->len; i++) known |= out->data[i] == ids.data[0];
        ok = known || mm__ids_push(out, ids.data[0]);
    }
    mm__ids_free(&ids);
    return ok;
}

/* Symbols that annotate instead of being spoken (brackets, quotes, music), as the reference derives them from any
 * vocabulary: each as a single token, bare and after a space; musical signs by their first token. */
static mm_status default_suppress(mm__assembly *a, mm_error *err)
{
    static const char *const symbols[] = {
        "\"", "#", "(", ")", "*", "+", "/", ":", ";", "<", "=", ">", "@", "[", "\\", "]", "^", "_", "`", "{", "|", "}", "~",
        "「", "」", "『", "』", "<<", ">>", "<<<", ">>>", "--", "---", "-(", "-[", "('", "(\"", "((", "))", "(((", ")))",
        "[[", "]]", "{{", "}}", "♪♪", "♪♪♪"};
    static const char *const music[] = {"♩", "♪", "♫", "♬", "♭", "♮", "♯"};
    mm__ids ids;
    mm__ids_init(&ids, a->mem);
    char spaced[16];
    bool ok = add_symbol(a, " -", true, &ids) && add_symbol(a, " '", true, &ids);
    for (size_t i = 0; ok && i < sizeof symbols / sizeof *symbols; i++) {
        snprintf(spaced, sizeof spaced, " %s", symbols[i]);
        ok = add_symbol(a, symbols[i], false, &ids) && add_symbol(a, spaced, false, &ids);
    }
    for (size_t i = 0; ok && i < sizeof music / sizeof *music; i++) {
        snprintf(spaced, sizeof spaced, " %s", music[i]);
        ok = add_symbol(a, music[i], true, &ids) && add_symbol(a, spaced, true, &ids);
    }
    if (!ok) {
        mm__ids_free(&ids);
        return mm__nomem(err, "a token list");
    }
    a->audio.suppress = ids.data;
    a->audio.n_suppress = (int32_t)ids.len;
    return MM_OK;
}

/* The lists of the file; a container without a place for them (`stated` false) gets the reference's own. */
static mm_status find_suppressed(mm__assembly *a, const mm__json *all, const mm__json *begin, bool stated, mm_error *err)
{
    mm__speech_policy *p = &a->audio;
    mm_status st = copy_ids(a, all, &p->suppress, &p->n_suppress, err);
    if (st == MM_OK) st = copy_ids(a, begin, &p->begin_suppress, &p->n_begin_suppress, err);
    if (st == MM_OK && !p->n_suppress && !stated) st = default_suppress(a, err);
    if (st != MM_OK || p->n_begin_suppress || stated) return st;
    mm__ids ids;
    mm__ids_init(&ids, a->mem);
    if (!add_symbol(a, " ", true, &ids) || !mm__ids_push(&ids, p->eot)) {
        mm__ids_free(&ids);
        return mm__nomem(err, "a token list");
    }
    p->begin_suppress = ids.data;
    p->n_begin_suppress = (int32_t)ids.len;
    return MM_OK;
}

/* ---- front end ---- */

static mm_status front_end(mm__assembly *a, const mm__source *s, mm_error *err)
{
    mm__speech_policy *p = &a->audio;
    mm__mel_policy mel = {.rate = SAMPLE_RATE, .n_fft = N_FFT, .hop = HOP, .n_mels = a->speech->info.n_mels};
    mm_status st;
    if (s->preprocessor.root && (st = mm__mel_policy_from_json(s->preprocessor.root, s->preprocessor.path, &mel, err)) != MM_OK)
        return st;
    if (mel.n_mels != a->speech->info.n_mels)
        return mm__fail(err, MM_E_FORMAT, "%s: the front end makes %d mel bands, the encoder reads %d", s->path, mel.n_mels,
                        a->speech->info.n_mels);
    if (s->bin && s->bin->n_freq == mel.n_fft / 2 + 1) mel.filters = s->bin->mel;
    p->rate = mel.rate;
    p->hop = mel.hop;
    const int64_t frames = 2 * (int64_t)a->speech->info.max_rows, samples = frames * mel.hop;
    if (samples > MAX_WINDOW)
        return mm__fail(err, MM_E_LIMIT, "%s: a window of %lld samples is over the limit of %d", s->path, (long long)samples, MAX_WINDOW);
    p->window_frames = (int32_t)frames;
    p->window_samples = (int32_t)samples;
    mel.n_samples = 0;
    p->seconds_per_timestamp = 2.0 * mel.hop / mel.rate;
    p->max_text = a->decoder->info.n_ctx;
    p->sample_len = p->max_text / 2;
    return mm__mel_create(a->mem, &mel, &p->mel, err);
}

static mm_status create(mm__assembly *a, mm__source *s, mm_error *err)
{
    static const char *const prefixes[] = {"", NULL};
    mm__doc side_config = {0};
    mm_status st = MM_OK;
    if (s->kind == MM__SRC_CT2) { /* its config.json holds token lists, not sizes: keep it aside */
        side_config = s->config;
        s->config = (mm__doc){0};
        st = config_from_ct2(s, err);
    }
    if (s->kind == MM__SRC_GGML) st = config_from_ggml(s, err);
    a->tasks = MM__TASK_TRANSCRIBE;
    a->modalities = MM__IN_AUDIO;
    mm__loader ld = mm__assembly_loader(a, s, "", prefixes), ld2 = ld;
    if (st == MM_OK) st = mm__encoder_create(&ld, MM__ENC_AUDIO, &a->speech, err);
    if (st == MM_OK) st = mm__decoder_create(&ld2, &a->decoder, err);
    if (st == MM_OK) st = s->bin ? tokenizer_from_ggml(a, s, err) : mm__assembly_text(a, s, err);
    if (st == MM_OK) st = find_specials(a, s, err);
    const mm__json *gen = s->generation.root;
    if (st == MM_OK)
        st = find_suppressed(a, gen ? mm__json_get(gen, "suppress_tokens") : mm__json_get(side_config.root, "suppress_ids"),
                             gen ? mm__json_get(gen, "begin_suppress_tokens") : mm__json_get(side_config.root, "suppress_ids_begin"),
                             gen != NULL, err);
    if (st == MM_OK) st = front_end(a, s, err);
    mm__json_free(side_config.doc);
    mm__free(s->mem, side_config.path);
    return st;
}

const mm__assembly_ops mm__assembly_whisper = {.name = "whisper", .match = match, .create = create};
