/* Impossible numbers: every size, count, offset, rank and hyper-parameter of each format takes values at the edges of its type
 * and of the file. What is expected stands in damage.h. A seeded sample by default, all with -a. */
#include "damage.h"

/* ---- numbers in JSON ---- */

static const char *const json_values[] = {"0", "-1", "1", "2147483647", "1000000000000000000000", "4294967296", "1e308", "-0.0", "null",
                                          "true", "\"x\"", "[]", "{}", "3", "65536", "0.5"};

/* Replaces every number (and true, false) of a JSON text in turn. */
static void json_numbers(const target *t)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, GOLDEN "/%s/%s", t->family, t->file);
    blob b = read_blob(path); /* not every family has every file */
    if (!b.p) return;
    link_model(t->family);
    char *text = malloc(b.n + 64);
    if (!text) exit(3);
    bool in_string = false;
    size_t number = 0;
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] == '\\' && in_string) i++;
        else if (b.p[i] == '"') in_string = !in_string;
        if (in_string || (b.p[i] != '-' && (b.p[i] < '0' || b.p[i] > '9') && b.p[i] != 't' && b.p[i] != 'f')) continue;
        size_t end = i;
        while (end < b.n && !strchr(",]} \n\r\t", b.p[end])) end++;
        for (size_t k = 0; k < sizeof json_values / sizeof *json_values; k++) {
            const bool key = k < 5, chosen = all_cases || (key && b.n < 4096) || mix(seed * 31 + number * 64 + k) % 8 == 0;
            if (!chosen || (!all_cases && number > 60 && mix(seed + number) % 16 != 0)) continue;
            if (!begin("%s/%s number %zu as %s", t->family, t->file, number, json_values[k])) continue;
            const int n = snprintf(text, b.n + 64, "%.*s%s%.*s", (int)i, (const char *)b.p, json_values[k], (int)(b.n - end), (const char *)b.p + end);
            try_bytes(t, text, (size_t)n);
        }
        number++;
        i = end;
        if (i < b.n && b.p[i] == '"') i--;
    }
    free(text);
    free(b.p);
}

/* ---- numbers in GGUF: the values of the keys that hold one number ---- */

static size_t gguf_skip(const blob *b, size_t at, uint32_t type)
{
    static const unsigned char width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t n = 0;
    if (at + 12 > b->n) return b->n;
    if (type == 8) {
        memcpy(&n, b->p + at, 8);
        return at + 8 + n;
    }
    if (type == 9) {
        uint32_t elem;
        memcpy(&elem, b->p + at, 4);
        memcpy(&n, b->p + at + 4, 8);
        at += 12;
        if (elem < 13 && width[elem]) return at + n * width[elem];
        for (uint64_t i = 0; i < n && at < b->n; i++) at = gguf_skip(b, at, elem);
        return at;
    }
    return at + (type < 13 ? width[type] : 0);
}

static void gguf_numbers(const target *t)
{
    static const uint32_t values[] = {0, 1, UINT32_MAX, INT32_MAX, 3, 1 << 16, 0x7F800000 /* infinity */, 0xFFC00000 /* NaN */, 0xBF800000};
    blob b = read_target(t);
    if (!b.p) return;
    link_model(t->family);
    uint64_t n_keys = 0;
    memcpy(&n_keys, b.p + 16, 8);
    size_t at = 24;
    for (uint64_t i = 0; i < n_keys && at + 12 < b.n; i++) {
        uint64_t len;
        uint32_t type;
        memcpy(&len, b.p + at, 8);
        const char *key = (const char *)b.p + at + 8;
        at += 8 + len;
        memcpy(&type, b.p + at, 4);
        at += 4;
        for (size_t k = 0; type >= 4 && type <= 6 && k < sizeof values / sizeof *values; k++) {
            if (!begin("%s/%s %.*s as %x", t->family, t->file, (int)len, key, values[k])) continue;
            uint32_t was;
            memcpy(&was, b.p + at, 4);
            memcpy(b.p + at, &values[k], 4);
            try_bytes(t, b.p, b.n);
            memcpy(b.p + at, &was, 4);
        }
        for (uint32_t other = 0; all_cases && other < 14; other++) { /* another type for the same bytes */
            if (!begin("%s/%s %.*s of type %u", t->family, t->file, (int)len, key, other)) continue;
            memcpy(b.p + at - 4, &other, 4);
            try_bytes(t, b.p, b.n);
            memcpy(b.p + at - 4, &type, 4);
        }
        at = gguf_skip(&b, at, type);
    }
    free(b.p);
}

/* ---- sizes in a ggml .bin ---- */

static void speech_header(void)
{
    static const uint32_t values[] = {0, 1, UINT32_MAX, INT32_MAX, 3, 80, 1 << 14, 1 << 20};
    const target t = {"whisper", "ggml-f16.bin", "ggml-f16.bin", 0};
    blob b = read_target(&t);
    if (!b.p) return;
    link_model("whisper");
    for (size_t field = 0; field < 15; field++)
        for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
            if (!begin("whisper/ggml-f16.bin field %zu as %u", field, values[k])) continue;
            uint32_t was;
            memcpy(&was, b.p + 4 * field, 4);
            memcpy(b.p + 4 * field, &values[k], 4);
            try_bytes(&t, b.p, b.n);
            memcpy(b.p + 4 * field, &was, 4);
        }
    free(b.p);
}

/* ---- numbers in safetensors: shapes and offsets of the header, and its length ---- */

/* Writes a file whose header is the text of n bytes; b: the original, whose header has `was` bytes. */
static void try_header(const target *t, const blob *b, size_t was, const char *text, size_t n)
{
    unsigned char *whole = malloc(8 + n + b->n);
    if (!whole) exit(3);
    for (int i = 0; i < 8; i++) whole[i] = (unsigned char)((uint64_t)n >> 8 * i);
    memcpy(whole + 8, text, n);
    memcpy(whole + 8 + n, b->p + 8 + was, b->n - 8 - was);
    try_bytes(t, whole, n + b->n - was);
    free(whole);
}

static void header_lengths(const target *t, blob *b, uint64_t was)
{
    const uint64_t rest = b->n - 8, values[] = {0, 1, 2, was - 1, was + 1, was + 8, rest - 1, rest, rest + 1, INT32_MAX, (uint64_t)INT32_MAX + 1,
                                                UINT32_MAX, (uint64_t)UINT32_MAX + 1, INT64_MAX, (uint64_t)INT64_MAX + 1, UINT64_MAX - 8, UINT64_MAX};
    for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
        if (!begin("%s/%s header of %llu bytes", t->family, t->file, (unsigned long long)values[k])) continue;
        memcpy(b->p, &values[k], 8);
        check(try_bytes(t, b->p, b->n) != MM_OK, "it loaded");
    }
    memcpy(b->p, &was, 8);
}

static void safetensors_numbers(const target *t)
{
    static const char *const values[] = {"0", "1", "-1", "2147483647", "2147483648", "4294967295", "4294967296", "9223372036854775807",
                                         "9223372036854775808", "-9223372036854775808", "18446744073709551615", "0.5", "1e308", "null", "[]",
                                         "\"1\""};
    blob b = read_target(t);
    uint64_t was = 0;
    if (!b.p) return;
    link_model(t->family);
    memcpy(&was, b.p, 8);
    header_lengths(t, &b, was);
    const char *header = (const char *)b.p + 8;
    char *text = malloc(was + 64);
    if (!text) exit(3);
    size_t number = 0;
    for (size_t i = 0; i < was; i++) {
        const bool starts = header[i] >= '0' && header[i] <= '9' && (header[i - 1] == '[' || header[i - 1] == ',' || header[i - 1] == ' ');
        if (!starts) continue;
        const size_t end = i + strspn(header + i, "0123456789");
        const long long value = strtoll(header + i, NULL, 10);
        for (size_t k = 0; k < sizeof values / sizeof *values + 2; k++) {
            char near[32];
            snprintf(near, sizeof near, "%lld", value + (k & 1 ? 1 : -1));
            const char *v = k < sizeof values / sizeof *values ? values[k] : near;
            if (!all_cases && number > 8 && mix(seed * 131 + number * 64 + k) % 24 != 0) continue;
            if (!begin("%s/%s number %zu as %s", t->family, t->file, number, v)) continue;
            const int n = snprintf(text, was + 64, "%.*s%s%.*s", (int)i, header, v, (int)(was - end), header + end);
            try_header(t, &b, was, text, (size_t)n);
        }
        number++;
        i = end;
    }
    free(text);
    free(b.p);
}

/* ---- numbers in CTranslate2: lengths, ranks, axes, types and counts ---- */

static uint64_t le(const unsigned char *p, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = bytes; i-- > 0;) v = v << 8 | p[i];
    return v;
}

/* Puts impossible numbers at `at`; returns where the field ends. */
static size_t ct2_field(const target *t, blob *b, size_t at, size_t bytes, const char *what, size_t index)
{
    const uint64_t was = le(b->p + at, bytes), left = b->n - at - bytes,
                   values[] = {0, 1, was - 1, was + 1, 5, 0xFF, 0xFFFF, INT32_MAX, (uint64_t)INT32_MAX + 1, UINT32_MAX, left, left + 1};
    for (size_t k = 0; k < sizeof values / sizeof *values; k++) {
        const uint64_t r = mix(seed * 977 + at * 16 + k);
        if (le((const unsigned char *)&values[k], bytes) == was || (!all_cases && index > 2 && r % 16 != 0)) continue;
        if (!begin("%s/%s %s %zu as %llu", t->family, t->file, what, index, (unsigned long long)values[k])) continue;
        memcpy(b->p + at, &values[k], bytes);
        try_bytes(t, b->p, b->n);
        memcpy(b->p + at, &was, bytes);
    }
    return at + bytes;
}

static void ct2_numbers(void)
{
    const target t = {"whisper/ct2", "model.bin", "", 0};
    blob b = read_target(&t);
    if (!b.p) return;
    link_model(t.family);
    size_t at = ct2_field(&t, &b, 0, 4, "version", 0), n, length;
    length = le(b.p + at, 2);
    at = ct2_field(&t, &b, at, 2, "length of the name", 0) + length;
    at = ct2_field(&t, &b, at, 4, "revision", 0);
    n = le(b.p + at, 4);
    at = ct2_field(&t, &b, at, 4, "number of variables", 0);
    for (size_t i = 0; i < n && at < b.n; i++) {
        length = le(b.p + at, 2);
        at = ct2_field(&t, &b, at, 2, "length of name", i) + length;
        const size_t rank = b.p[at];
        at = ct2_field(&t, &b, at, 1, "rank of", i);
        for (size_t d = 0; d < rank; d++) at = ct2_field(&t, &b, at, 4, d ? "columns of" : "rows of", i);
        at = ct2_field(&t, &b, at, 1, "type of", i);
        length = le(b.p + at, 4);
        at = ct2_field(&t, &b, at, 4, "bytes of", i);
        if (length <= 2) ct2_field(&t, &b, at, length, "value of", 0);
        at += length;
    }
    at = ct2_field(&t, &b, at, 4, "number of aliases", 0);
    ct2_field(&t, &b, at, 2, "length of an alias", 0);
    check(at + 2 < b.n, "the walk ended at %zu of %zu bytes", at, b.n);
    free(b.p);
}

int main(int argc, char **argv)
{
    static const char *const gguf[][2] = {{"llama", "model-f16.gguf"}, {"gemma3", "model-f16.gguf"}, {"phi3_longrope", "model-f16.gguf"},
                                          {"bert", "model-f32.gguf"}, {"flan_t5", "model-f16.gguf"}, {"gpt2", "model-f32.gguf"},
                                          {"qwen3", "model-f16.gguf"}, {"mistral", "model-f16.gguf"}, {"llava", "model-f16.gguf"}, {"llava", "mmproj-f16.gguf"}};
    static const char *const headers[][2] = {{"llama", "model.safetensors"}, {"clip", "model.safetensors"}, {"whisper", "model.safetensors"},
                                             {"llama_sharded_f16", "model-00002-of-00003.safetensors"}};
    static const char *const json[] = {"config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json"};
    open_damage(argc, argv);
    for (size_t i = 0; i < sizeof gguf / sizeof *gguf; i++)
        gguf_numbers(&(target){gguf[i][0], gguf[i][1], strncmp(gguf[i][1], "mmproj", 6) == 0 ? "model-f16.gguf" : gguf[i][1], 0});
    section("numbers in GGUF");
    speech_header();
    section("sizes in a ggml .bin");
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) safetensors_numbers(&(target){headers[i][0], headers[i][1], "", 0});
    section("numbers in safetensors");
    ct2_numbers();
    section("numbers in CTranslate2");
    model_list l = list_models();
    for (size_t i = 0; i < l.n; i++) {
        const char *family = l.paths[i] + sizeof GOLDEN;
        for (size_t k = 0; k < 4 && !strchr(family, '.'); k++) json_numbers(&(target){family, json[k], "", 0});
    }
    free(l.paths);
    section("numbers in JSON files");
    return close_damage();
}
