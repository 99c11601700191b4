/* One file for each attack of the record on model runtimes and the decoders under them: what an attacker sent elsewhere, in
 * miniature. The names say which; what is expected is the same as of every case of corpus.c. Known identifiers are those of the
 * public record (CVE, or project and number). */
#ifndef MM_FUZZ_MUSEUM_H
#define MM_FUZZ_MUSEUM_H

#include "damage.h"

typedef struct exhibit {
    char name[256], path[256], model[256];
    int medium; /* 0: a file of a model; 1: a picture; 2: a sound; 3: a snapshot */
    bytes file;
} exhibit;

/* ---- GGUF made by hand ---- */

static void put32(bytes *b, uint32_t v)
{
    unsigned char x[4];
    put_number(x, 4, false, v);
    more(b, x, 4);
}

static void put64(bytes *b, uint64_t v)
{
    unsigned char x[8];
    put_number(x, 8, false, v);
    more(b, x, 8);
}

static void put_string(bytes *b, const char *s)
{
    put64(b, strlen(s));
    more(b, s, strlen(s));
}

static void put_head(bytes *b, uint64_t tensors, uint64_t keys)
{
    more(b, "GGUF", 4);
    put32(b, 3);
    put64(b, tensors);
    put64(b, keys);
}

static void put_tensor(bytes *b, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type, uint64_t offset)
{
    put_string(b, name);
    put32(b, n_dims);
    for (uint32_t i = 0; i < n_dims && i < 8; i++) put64(b, dims[i]);
    put32(b, type);
    put64(b, offset);
}

typedef struct tensor_row { const char *name; uint32_t n_dims, type; uint64_t dims[8], offset; } tensor_row;

static const tensor_row tensor_rows[] = {
    {"CVE-2026-33298: axes whose product wraps to a small size", 4, 0, {1ull << 42, 1ull << 20, 4, 1}, 0},
    {"llama.cpp 27200: a quantised row whose size wraps", 1, 2, {0xE38E38E38E38E40}, 0},
    {"CVE-2025-53630, CVE-2026-27940: sizes whose sum wraps", 2, 0, {1ull << 31, 1ull << 30}, UINT64_MAX - 31},
    {"ggml c2cdd2b2: an axis of length 0", 2, 0, {0, 4}, 0},
    {"TALOS-2024-1912: more axes than a tensor has", 0x7fffffff, 0, {1, 1, 1, 1, 1, 1, 1, 1}, 0},
    {"whisper.cpp 3787: five axes where four fit", 5, 0, {1, 1, 1, 1, 1}, 0},
    {"an axis above 2^63", 1, 0, {1ull << 63}, 0},
    {"a block type with a row of no whole block", 1, 2, {33}, 0},
    {"a tensor type that does not exist", 1, 4000000000u, {32}, 0},
    {"CVE-2026-7482: data that lie behind the end of the file", 1, 0, {1024}, 0},
    {"a tensor at the last byte of the address space", 1, 0, {8}, UINT64_MAX},
    {"a tensor off its alignment", 1, 0, {4}, 1},
};
#define N_TENSOR_ROWS (sizeof tensor_rows / sizeof *tensor_rows)

static void make_tensor_row(size_t i, exhibit *e)
{
    const tensor_row *r = &tensor_rows[i];
    put_head(&e->file, 1, 1);
    put_string(&e->file, "general.architecture");
    put32(&e->file, 8);
    put_string(&e->file, "llama");
    put_tensor(&e->file, "token_embd.weight", r->n_dims, r->dims, r->type, r->offset);
    for (int k = 0; k < 20; k++) put64(&e->file, 0);
    snprintf(e->name, sizeof e->name, "%s", r->name);
}

/* A head, then one key of a type with raw bytes behind it. */
typedef struct key_row { const char *name; uint64_t tensors, keys; const char *key; uint32_t type, elem; uint64_t count; } key_row;

static const key_row key_rows[] = {
    {"CVE-2024-25664: as many keys as 64 bits count", 0, UINT64_MAX, "a", 4, 0, 0},
    {"CVE-2024-25665: as many tensors as 64 bits count", UINT64_MAX, 1, "a", 4, 0, 0},
    {"CVE-2024-25666: keys times their size wraps", 0, (UINT64_MAX / 48) + 2, "a", 4, 0, 0},
    {"CVE-2024-25667: an array whose bytes wrap", 0, 1, "a", 9, 10, (UINT64_MAX / 8) + 2},
    {"CVE-2024-21802: an array of strings whose table wraps", 0, 1, "a", 9, 8, (UINT64_MAX / 16) + 2},
    {"CVE-2024-21825, CVE-2024-23496: a string of 2^64 - 1 bytes", 0, 1, "a", 8, 0, UINT64_MAX},
    {"CVE-2024-23605: a string one byte longer than the file", 0, 1, "a", 8, 0, 161},
    {"ggml 64b07822: a key without a name", 0, 1, "", 4, 0, 0},
    {"a type of value that does not exist", 0, 1, "a", 13, 0, 0},
    {"an array of arrays", 0, 1, "a", 9, 9, 2},
    {"an array of a type that does not exist", 0, 1, "a", 9, 4000000000u, 1},
    {"ggml c2cdd2b2: the alignment is a string", 0, 1, "general.alignment", 8, 0, 3},
    {"ggml 24997: an alignment of 2 GiB", 0, 1, "general.alignment", 4, 0x80000000u, 0},
    {"an alignment of 0", 0, 1, "general.alignment", 4, 0, 0},
    {"an alignment of 24", 0, 1, "general.alignment", 4, 24, 0},
    {"the architecture is a number", 0, 1, "general.architecture", 4, 7, 0},
    {"one of four thousand million shards", 0, 1, "split.count", 4, UINT32_MAX, 0},
    {"a truth value of 7", 0, 1, "a", 7, 7, 0},
};
#define N_KEY_ROWS (sizeof key_rows / sizeof *key_rows)

static void make_key_row(size_t i, exhibit *e)
{
    const key_row *r = &key_rows[i];
    put_head(&e->file, r->tensors, r->keys);
    put_string(&e->file, r->key);
    put32(&e->file, r->type);
    if (r->type == 9 || r->type < 8) put32(&e->file, r->elem);
    if (r->type >= 8) put64(&e->file, r->count);
    for (int k = 0; k < 20; k++) put64(&e->file, 0);
    snprintf(e->name, sizeof e->name, "%s", r->name);
}

/* Many keys of one byte each: loading must not take the square of their number. */
static void make_many_keys(exhibit *e, bool tensors)
{
    const uint64_t one = 1;
    char key[16];
    snprintf(e->name, sizeof e->name, "ggml d99724f2: forty thousand %s", tensors ? "tensors" : "keys of a byte");
    put_head(&e->file, tensors ? 40000 : 0, tensors ? 0 : 40000);
    for (int i = 0; i < 40000; i++) {
        snprintf(key, sizeof key, "%05d", i);
        if (tensors) {
            put_tensor(&e->file, key, 1, &one, 0, 32ull * (uint64_t)i);
        } else {
            put_string(&e->file, key);
            put32(&e->file, 0);
            more(&e->file, "", 1);
        }
    }
    if (tensors)
        for (int i = 0; i < 4 * 40000 + 8; i++) put64(&e->file, 0);
}

/* ---- one value of a JSON file of a test model ---- */

typedef struct json_row { const char *name, *family, *file, *key, *value; } json_row;

static const json_row json_rows[] = {
    {"llama.cpp 25821: more blocks than a fixed table holds", "llama", "config.json", "num_hidden_layers", "513"},
    {"layers without number", "llama", "config.json", "num_hidden_layers", "2147483647"},
    {"no heads at all: a division by zero", "llama", "config.json", "num_attention_heads", "0"},
    {"a negative number of key-value heads", "llama", "config.json", "num_key_value_heads", "-1"},
    {"a vocabulary smaller than its own end token", "llama", "config.json", "vocab_size", "3"},
    {"whisper.cpp 4059: special tokens behind the vocabulary", "whisper", "config.json", "vocab_size", "300"},
    {"an end token of -1", "llama", "generation_config.json", "eos_token_id", "-1"},
    {"lmstudio 2289: token ids far outside", "llama", "config.json", "bos_token_id", "4294967295"},
    {"llama.cpp 27166: a picture size that makes 2^31 patches", "llava", "config.json", "image_size", "1073741824"},
    {"patches larger than the picture", "llava", "config.json", "patch_size", "100000"},
    {"patches of nothing", "clip", "config.json", "patch_size", "0"},
    {"llama.cpp 27224: a picture resized to 6 GiB", "llava", "preprocessor_config.json", "shortest_edge", "46340"},
    {"a crop of 2^31 pixels", "clip", "preprocessor_config.json", "height", "2147483647"},
    {"llama.cpp 27223: a window of sound whose square wraps", "whisper", "preprocessor_config.json", "chunk_length", "1000000000"},
    {"whisper.cpp 3879: a hop of 0", "whisper", "preprocessor_config.json", "hop_length", "0"},
    {"a Fourier transform of length 1", "whisper", "preprocessor_config.json", "n_fft", "1"},
    {"no mel bands", "whisper", "config.json", "num_mel_bins", "0"},
    {"positions below the prompt", "whisper", "config.json", "max_target_positions", "1"},
    {"an epsilon that is not a number", "llama", "config.json", "rms_norm_eps", "1e999"},
    {"a frequency base of 0", "llama", "config.json", "rope_theta", "0"},
    {"CVE-2024-27318: weights in the parent folder", "llama_sharded_f16", "model.safetensors.index.json", "model.embed_tokens.weight", "\"../llama/model.safetensors\""},
    {"CVE-2022-25882: weights at an absolute path", "llama_sharded_f16", "model.safetensors.index.json", "model.embed_tokens.weight", "\"/etc/passwd\""},
    {"CVE-2026-34447: weights behind a hidden name", "llama_sharded_f16", "model.safetensors.index.json", "model.embed_tokens.weight", "\".git\""},
    {"CVE-2024-37032: weights named by dots", "llama_sharded_f16", "model.safetensors.index.json", "model.embed_tokens.weight", "\"..\""},
    {"a pattern that backtracks for ever", "llama", "tokenizer.json", "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a|a|ab)*(x+x+)+y\"},\"behavior\":\"Isolated\",\"invert\":false},\"_\":0"},
    {"llama.cpp 26966: a pattern that recurses for each character", "llama", "tokenizer.json", "pre_tokenizer",
     "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?:(?:[a-z]|\\\\s)+?)+$\"},\"behavior\":\"Isolated\",\"invert\":false},\"_\":0"},
};
#define N_JSON_ROWS (sizeof json_rows / sizeof *json_rows)

/* The value of the first member of that name becomes another one; a member that is not there is put in front. */
static void make_json_row(size_t i, exhibit *e)
{
    const json_row *r = &json_rows[i];
    char key[128];
    snprintf(e->model, sizeof e->model, GOLDEN "/%s", r->family);
    snprintf(e->path, sizeof e->path, GOLDEN "/%s/%s", r->family, r->file);
    snprintf(e->name, sizeof e->name, "%s", r->name);
    snprintf(key, sizeof key, "\"%s\"", r->key);
    const folder_file *f = folder_keep(e->path);
    if (!f || !f->there) exit(3);
    bytes text = {0};
    more(&text, f->bytes, f->n);
    more(&text, "", 1);
    const char *whole = (const char *)text.p, *at = strstr(whole, key), *from = at ? strchr(at, ':') + 1 : strchr(whole, '{') + 1, *to = from;
    for (int depth = 0; at && *to && (depth || !strchr(",}]", *to)); to++) depth += strchr("{[", *to) ? 1 : strchr("}]", *to) ? -1 : 0;
    more(&e->file, whole, (size_t)(from - whole));
    if (!at) {
        more(&e->file, key, strlen(key));
        more(&e->file, ":", 1);
    }
    more(&e->file, r->value, strlen(r->value));
    if (!at) more(&e->file, ",", 1);
    more(&e->file, to, strlen(to));
    free(text.p);
}

/* ---- chat templates ---- */

static const char *const template_rows[][2] = {
    {"CVE-2024-34359: a template that reaches for the interpreter", "{{ messages.__class__.__base__.__subclasses__() }}"},
    {"CVE-2024-56326: a method taken by attr and format", "{{ ('%s' | attr('format'))('x') }}{{ 'a' | attr('__init__') }}"},
    {"CVE-2025-27516, CVE-2026-5760: an import", "{% import 'os' as os %}{{ os.popen('id') }}"},
    {"an include", "{% include '/etc/passwd' %}"},
    {"llama.cpp 24140: a range of a thousand million", "{% for i in range(1000000000) %}x{% endfor %}"},
    {"loops in loops", "{% for i in range(60000) %}{% for j in range(60000) %}{% for k in range(60000) %}{% endfor %}{% endfor %}{% endfor %}"},
    {"llama.cpp 19085: a macro that calls itself", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}"},
    {"CVE-2025-61620: a text doubled forty times", "{% set ns = namespace(s='ab') %}{% for i in range(40) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}"},
    {"a text of 2^62 bytes", "{{ 'a' * 4611686018427387904 }}"},
    {"a list of lists that holds itself", "{% set a = [1] %}{% for i in range(50) %}{% set a = [a, a] %}{% endfor %}{{ a }}{{ a | tojson }}"},
    {"division by zero", "{{ 1 / 0 }}{{ 1 % 0 }}{{ 1 // 0 }}"},
    {"the smallest integer divided by -1", "{{ (-9223372036854775807 - 1) // -1 }}{{ (-9223372036854775807 - 1) % -1 }}"},
    {"an indent of 2^31", "{{ 'a\nb' | indent(2147483648) }}"},
    {"a replacement that grows", "{% set ns = namespace(s='a') %}{% for i in range(30) %}{% set ns.s = ns.s | replace('a', 'a' * 4096) %}{% endfor %}"},
    {"a template that never ends", "{% if true %}{% for x in"},
};
#define N_TEMPLATE_ROWS (sizeof template_rows / sizeof *template_rows)

static void make_template(const char *name, const char *open, size_t times, const char *close, exhibit *e)
{
    snprintf(e->name, sizeof e->name, "%s", name);
    snprintf(e->path, sizeof e->path, GOLDEN "/llama/chat_template.jinja");
    snprintf(e->model, sizeof e->model, GOLDEN "/llama");
    for (size_t k = 0; k < times; k++) more(&e->file, open, strlen(open));
    for (size_t k = 0; k < times; k++) more(&e->file, close, strlen(close));
}

/* ---- deep texts ---- */

static void make_deep(const char *name, const char *path, const char *model, const char *front, const char *open, size_t times, exhibit *e)
{
    snprintf(e->name, sizeof e->name, "%s", name);
    snprintf(e->path, sizeof e->path, GOLDEN "/%s", path);
    snprintf(e->model, sizeof e->model, GOLDEN "/%s", model);
    more(&e->file, front, strlen(front));
    for (size_t k = 0; k < times; k++) more(&e->file, open, strlen(open));
}

/* ---- media ---- */

/* CRC-32 of PNG chunks (ISO 3309). */
static uint32_t crc(const unsigned char *p, size_t n)
{
    uint32_t c = UINT32_MAX;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ c >> 1 : c >> 1;
    }
    return ~c;
}

static void put_chunk(bytes *b, const char *type, const void *p, size_t n)
{
    unsigned char x[4];
    put_number(x, 4, true, n);
    more(b, x, 4);
    const size_t at = b->n;
    more(b, type, 4);
    more(b, p, n);
    put_number(x, 4, true, crc(b->p + at, n + 4));
    more(b, x, 4);
}

static void make_png(const char *name, uint32_t w, uint32_t h, unsigned char depth, unsigned char colour, exhibit *e)
{
    /* one row of nothing, deflated and stored: the decoder ends early, the size was checked before */
    static const unsigned char data[] = {0x78, 0x01, 0x01, 0x01, 0x00, 0xFE, 0xFF, 0x00, 0x00, 0x01, 0x00, 0x01};
    unsigned char head[13] = {0};
    put_number(head, 4, true, w);
    put_number(head + 4, 4, true, h);
    head[8] = depth;
    head[9] = colour;
    snprintf(e->name, sizeof e->name, "%s", name);
    e->medium = 1;
    more(&e->file, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&e->file, "IHDR", head, 13);
    put_chunk(&e->file, "IDAT", data, sizeof data);
    put_chunk(&e->file, "IEND", "", 0);
}

typedef struct wave_row { const char *name; uint32_t tag, channels, rate, bits, align, length; } wave_row;

static const wave_row wave_rows[] = {
    {"CVE-2021-3246: MS ADPCM", 2, 1, 8000, 4, 256, 256},
    {"CVE-2022-33065, CVE-2026-37555: IMA ADPCM", 0x11, 1, 8000, 4, 0xFFFF, 256},
    {"CVE-2017-16942: a rate of 0", 1, 1, 0, 16, 2, 64},
    {"CVE-2017-14634: no channels", 3, 0, 8000, 64, 0, 64},
    {"65535 channels", 1, 65535, 8000, 16, 0xFFFE, 64},
    {"no bits in a sample", 1, 1, 8000, 0, 0, 64},
    {"CVE-2017-14245: samples that are not numbers", 3, 1, 8000, 32, 4, 64},
    {"four thousand million bytes of sound in a hundred", 1, 1, 8000, 16, 2, UINT32_MAX},
    {"a sound of no sample", 1, 1, 8000, 16, 2, 0},
    {"a sound of one sample", 1, 1, 16000, 16, 2, 2},
    {"a rate of 4 GHz", 1, 1, UINT32_MAX, 16, 2, 64},
};
#define N_WAVE_ROWS (sizeof wave_rows / sizeof *wave_rows)

static void make_wave(size_t i, exhibit *e)
{
    const wave_row *r = &wave_rows[i];
    const uint32_t there = r->length > 256 ? 64 : r->length;
    snprintf(e->name, sizeof e->name, "%s", r->name);
    e->medium = 2;
    more(&e->file, "RIFF", 4);
    put32(&e->file, 36 + there);
    more(&e->file, "WAVEfmt ", 8);
    put32(&e->file, 16);
    put32(&e->file, r->tag | r->channels << 16);
    put32(&e->file, r->rate);
    put32(&e->file, r->rate * r->align);
    put32(&e->file, r->align | r->bits << 16);
    more(&e->file, "data", 4);
    put32(&e->file, r->length);
    for (uint32_t k = 0; k < there; k++) more(&e->file, r->tag == 3 ? "\xff" : "\0", 1);
}

/* ---- the list ---- */

static void make_other(size_t i, exhibit *e)
{
    static const char deep_json[] = "{\"model_type\":\"llama\",\"a\":";
    switch (i) {
    case 0: make_many_keys(e, false); return;
    case 1: make_many_keys(e, true); return;
    case 2: make_template("llama.cpp 26387: brackets without end", "{{ ((((((((", 20000, "", e); return;
    case 3: make_template("blocks ten thousand deep", "{% if a %}", 10000, "{% endif %}", e); return;
    case 4: make_template("a filter of a filter, fifty thousand times", "{{ 'a'", 1, "", e);
        for (int k = 0; k < 50000; k++) more(&e->file, "|trim", 5);
        more(&e->file, " }}", 3);
        return;
    case 5: make_deep("CVE-2026-2069: arrays a million deep", "llama/config.json", "llama", deep_json, "[", 1000000, e); return;
    case 6: make_deep("objects a million deep", "llama/tokenizer.json", "llama", "", "{\"a\":", 1000000, e); return;
    case 7: make_deep("a safetensors header of 2^63 bytes", "llama/model.safetensors", "llama", "\xff\xff\xff\xff\xff\xff\xff\x7f{", "{", 64, e); return;
    case 8: make_png("an image bomb: 16384 x 16384", 16384, 16384, 8, 2, e); return;
    case 9: make_png("a picture of 2^31 - 1 pixels a side", INT32_MAX, INT32_MAX, 16, 6, e); return;
    case 10: make_png("a picture without pixels", 0, 1, 8, 2, e); return;
    case 11: make_png("CVE-2023-45661: a picture that ends in its first row", 300, 300, 8, 6, e); return;
    case 12: make_png("a depth of 7 bits", 4, 4, 7, 2, e); return;
    case 13: make_png("vLLM CVE-2026-22773: one pixel", 1, 1, 8, 0, e); return;
    case 14: snprintf(e->name, sizeof e->name, "CVE-2023-45664: a GIF"), e->medium = 1, more(&e->file, "GIF89a\xff\xff\xff\xff\0\0\0,", 14); return;
    case 15: snprintf(e->name, sizeof e->name, "CVE-2023-45667: a PSD"), e->medium = 1, more(&e->file, "8BPS\0\1\0\0\0\0\0\0\0\4\xff\xff\xff\xff\xff\xff", 20); return;
    case 16: snprintf(e->name, sizeof e->name, "a playlist that names files"), e->medium = 2, more(&e->file, "#EXTM3U\nfile:///etc/passwd\n", 27); return;
    case 17: snprintf(e->name, sizeof e->name, "CVE-2024-50612: a page of Ogg with an impossible table"), e->medium = 2,
             more(&e->file, "OggS\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff", 30);
        return;
    default: snprintf(e->name, sizeof e->name, "CVE-2024-39720: a GGUF of four bytes"), more(&e->file, "GGUF", 4); return;
    }
}
#define N_OTHER 19

static size_t museum_count(void)
{
    return N_TENSOR_ROWS + N_KEY_ROWS + N_JSON_ROWS + N_TEMPLATE_ROWS + N_WAVE_ROWS + N_OTHER;
}

static void museum_make(size_t i, exhibit *e)
{
    *e = (exhibit){.path = GOLDEN "/museum.gguf", .model = GOLDEN "/museum.gguf"};
    if (i < N_TENSOR_ROWS) make_tensor_row(i, e);
    else if ((i -= N_TENSOR_ROWS) < N_KEY_ROWS) make_key_row(i, e);
    else if ((i -= N_KEY_ROWS) < N_JSON_ROWS) make_json_row(i, e);
    else if ((i -= N_JSON_ROWS) < N_TEMPLATE_ROWS) make_template(template_rows[i][0], template_rows[i][1], 1, "", e);
    else if ((i -= N_TEMPLATE_ROWS) < N_WAVE_ROWS) make_wave(i, e);
    else make_other(i - N_WAVE_ROWS, e);
}

#endif
