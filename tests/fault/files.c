/* Damaged and contradicting model files: every format is cut short and has single bytes changed, side files are of the
 * wrong kind or absent, shards are exchanged, manifests ask for nonsense; then the model is loaded and, if that works,
 * answers two tokens. What is expected stands in damage.h.
 *
 * A seeded sample by default, about ten times as many cases with -a. */
#include "damage.h"

/* ---- cutting and changing ---- */

static void truncations(const target *t, const blob *b)
{
    const size_t parts = all_cases ? 64 : 12, header = t->header && t->header < b->n ? t->header : b->n;
    for (size_t i = 0; i < parts; i++)
        if (begin("%s/%s cut at %zu/%zu", t->family, t->file, i, parts)) try_bytes(t, b->p, b->n * i / parts);
    for (size_t n = 1; n < 64; n += all_cases ? 1 : 9)
        if (begin("%s/%s cut at byte %zu", t->family, t->file, n)) try_bytes(t, b->p, n < b->n ? n : b->n);
    for (size_t i = 1; i < parts; i++)
        if (begin("%s/%s cut at header %zu/%zu", t->family, t->file, i, parts)) try_bytes(t, b->p, header * i / parts);
    if (begin("%s/%s without its last byte", t->family, t->file)) try_bytes(t, b->p, b->n - 1);
    if (begin("%s/%s twice", t->family, t->file)) {
        unsigned char *two = malloc(2 * b->n);
        if (!two) exit(3);
        memcpy(two, b->p, b->n);
        memcpy(two + b->n, b->p, b->n);
        try_bytes(t, two, 2 * b->n);
        free(two);
    }
}

static void changes(const target *t, const blob *b)
{
    static const unsigned char bytes[] = {0, 0xFF, 0x7F, 0x80, 1, '"', '[', '{', '9', '-', '\\', ','};
    const size_t header = t->header && t->header < b->n ? t->header : b->n;
    unsigned char *copy = malloc(b->n);
    if (!copy) exit(3);
    for (size_t i = 0; i < (all_cases ? 600 : 60); i++) {
        if (!begin("%s/%s change %zu", t->family, t->file, i)) continue;
        const uint64_t r = mix(seed * 100003 + i), at = i % 8 == 7 ? r % b->n : i % 4 == 3 ? r % (header < 256 ? header : 256) : r % header;
        memcpy(copy, b->p, b->n);
        if (r >> 62 == 0) copy[at] = bytes[(r >> 50) % sizeof bytes];
        else if (r >> 62 == 1) copy[at] = (unsigned char)(r >> 40);
        else copy[at] ^= (unsigned char)(1u << (r >> 40) % 8);
        if (i % 16 == 5) /* four bytes: sizes and counts */
            for (size_t k = 0; k < 4 && at + k < b->n; k++) copy[at + k] = bytes[(r >> 45) % 5];
        try_bytes(t, copy, b->n);
    }
    free(copy);
}

static void damage(const target *t)
{
    blob b = read_target(t);
    if (!b.p) return;
    link_model(t->family);
    truncations(t, &b);
    changes(t, &b);
    free(b.p);
}

/* ---- manifests ---- */

static void link_folder(const char *family)
{
    char from[PATH_MAX], to[PATH_MAX];
    snprintf(from, sizeof from, "%s/" GOLDEN "/%s", root, family);
    snprintf(to, sizeof to, "%s/%s", base, family);
    if (symlink(from, to) != 0) exit(3);
}

static void manifests(void)
{
    static const char whole[] = "{\"libmm\":1,\"name\":\"x\",\"assembly\":\"blip2\",\"parts\":{\"vision\":{\"path\":\"blip2_opt\"},"
                                "\"bridge\":{\"path\":\"blip2_opt\"},\"text\":{\"path\":\"blip2_opt\"}},"
                                "\"image\":\"blip2_opt/preprocessor_config.json\",\"prompt\":{\"placeholder\":\"<image>\",\"media\":\"first\"}}";
    static const char *const bad[] = {
        "{}", "[]", "7", "{\"libmm\":2}", "{\"libmm\":1}", "{\"libmm\":1,\"assembly\":\"blip2\"}", "{\"libmm\":1,\"assembly\":7,\"parts\":7}",
        "{\"libmm\":1,\"assembly\":\"nothing\",\"parts\":{}}", "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":[1,2]}",
        "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":{\"vision\":{\"path\":\"/etc/passwd\"}}}",
        "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":{\"vision\":{\"path\":\"x.mm.json\"}}}",
        "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":{\"vision\":{\"path\":\"\"}}}", "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":{\"vision\":{}}}",
        "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":{\"vision\":{\"path\":\"blip2_opt\",\"config\":\"nowhere.json\"}}}",
        "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":{\"vision\":{\"path\":\"blip2_opt\",\"config\":{}},\"bridge\":{\"path\":\"blip2_opt\",\"config\":{}},\"text\":{\"path\":\"blip2_opt\"}}}",
        "{\"libmm\":1,\"assembly\":\"llava\",\"parts\":{\"text\":{\"path\":\"blip2_opt\"}}}",
        "{\"libmm\":1,\"assembly\":\"whisper\",\"parts\":{}}", "{\"libmm\":1,\"assembly\":\"lm\",\"parts\":{}}",
        "{\"libmm\":1,\"assembly\":\"lm\",\"parts\":{\"text\":{\"path\":\"blip2_opt\"}}}",
        "{\"libmm\":1,\"assembly\":\"clip\",\"parts\":{}}", "{\"libmm\":1,\"assembly\":\"dual_encoder\",\"parts\":{}}",
        "{\"libmm\":1,\"assembly\":\"idefics\",\"parts\":{}}", "{\"libmm\":1,\"assembly\":\"seq2seq\",\"parts\":{}}",
        "{\"libmm\":1,\"assembly\":\"text_embedding\",\"parts\":{}}", "{\"libmm\":1,\"assembly\":\"image_features\",\"parts\":{}}",
        "{\"libmm\":1,\"assembly\":\"blip2\",\"parts\":{\"a\":{\"path\":\"blip2_opt\"},\"b\":{\"path\":\"blip2_opt\"},\"c\":{\"path\":\"blip2_opt\"},"
        "\"d\":{\"path\":\"blip2_opt\"},\"e\":{\"path\":\"blip2_opt\"},\"f\":{\"path\":\"blip2_opt\"},\"g\":{\"path\":\"blip2_opt\"},\"h\":{\"path\":\"blip2_opt\"},\"i\":{\"path\":\"blip2_opt\"}}}"};
    const target t = {"manifest", "x.mm.json", "x.mm.json", 0};
    const blob b = {(unsigned char *)whole, sizeof whole - 1};
    clear_folder(base);
    link_folder("blip2_opt");
    if (begin("the manifest as it is")) {
        char path[PATH_MAX];
        mm_error err = {.size = sizeof err};
        mm_model *m = NULL;
        path_in(t.file, path);
        write_blob(path, b.p, b.n);
        const mm_status st = mm_model_load(engine, path, NULL, &m, &err);
        check(st == MM_OK, "%s \"%s\"", mm_status_name(st), err.text);
        mm_model_release(m);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (begin("manifest %s", bad[i])) try_bytes(&t, bad[i], strlen(bad[i]));
    truncations(&t, &b);
    changes(&t, &b);
}

/* ---- JSON files as a whole ---- */

static void json_files(void)
{
    static const char *const texts[] = {"", "{}", "[]", "7", "null", "\"x\"", "{\"a\":1,\"a\":2}", "\xff\xfe{}", "{} {}", "nan", "[[[[", "{\"model_type\":7}",
                                        "{\"model_type\":\"llama\"}", "{\"model_type\":\"no such model\"}", "{\"architectures\":[]}"};
    static const char *const families[] = {"llama", "whisper", "clip", "blip2_opt", "siglip", "whisper/ct2"};
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
                                        "preprocessor_config.json", "processor_config.json", "model.safetensors.index.json", "chat_template.jinja",
                                        "model.bin"};
    char *deep = malloc(100000);
    if (!deep) exit(3);
    memset(deep, '[', 100000);
    for (size_t f = 0; f < sizeof families / sizeof *families; f++)
        for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
            const target t = {families[f], files[i], "", 0};
            link_model(families[f]);
            for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
                if (begin("%s/%s text %zu", families[f], files[i], k)) try_bytes(&t, texts[k], strlen(texts[k]));
            if (begin("%s/%s nested", families[f], files[i])) try_bytes(&t, deep, 100000);
            char path[PATH_MAX];
            path_in(t.file, path);
            unlink(path);
            if (begin("%s without %s", families[f], files[i])) try_model(base);
        }
    free(deep);
}

/* ---- shards ---- */

/* Folders whose shards and index contradict each other: none may load. */
static void shards(void)
{
    enum { N = 3 };
    static const char index_name[] = "model.safetensors.index.json";
    static const char *const names[N] = {"model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"};
    static const char *const elsewhere[] = {"model-00004-of-00003.safetensors", "../x.safetensors", "/etc/passwd", "", ".", "config.json",
                                            "model-00001-of-00003.safetensor", "a\\u0000b.safetensors", "model.safetensors.index.json"};
    const target index = {"llama_sharded_f16", index_name, "", 0};
    blob b = read_target(&index), part[N];
    if (!b.p) return;
    for (int i = 0; i < N; i++) part[i] = read_target(&(target){index.family, names[i], "", 0});
    for (int i = 0; i < N; i++)
        for (int k = -3; k < N; k++) { /* shard i is another one, is absent, is a folder, is a pipe */
            if (k == i || !begin("shard %d as %d", i, k)) continue;
            char path[PATH_MAX];
            link_model(index.family);
            path_in(names[i], path);
            unlink(path);
            if (k >= 0) write_blob(path, part[k].p, part[k].n);
            if ((k == -2 && mkdir(path, 0700) != 0) || (k == -3 && mkfifo(path, 0600) != 0)) exit(3);
            check(try_model(base) != MM_OK, "it loaded");
            if (k == -2) rmdir(path);
        }
    char *text = malloc(2 * b.n + 128);
    if (!text) exit(3);
    for (size_t k = 0; k < sizeof elsewhere / sizeof *elsewhere; k++) { /* the first tensor is said to be elsewhere */
        if (!begin("a tensor in \"%s\"", elsewhere[k])) continue;
        link_model(index.family);
        char *at = strstr((char *)b.p, names[2]);
        if (!at) exit(3);
        const int n = snprintf(text, 2 * b.n, "%.*s%s%s", (int)(at - (char *)b.p), (char *)b.p, elsewhere[k], at + strlen(names[2]));
        const mm_status st = try_bytes(&index, text, (size_t)n);
        check(st != MM_OK, "it loaded");
    }
    for (int i = 0; i < N; i++) free(part[i].p);
    free(text);
    free(b.p);
}

int main(int argc, char **argv)
{
    static const target bytes[] = {
        {"llama", "model-f16.gguf", "model-f16.gguf", 20000}, {"llama_quant", "model-Q4_K_M.gguf", "model-Q4_K_M.gguf", 20000},
        {"llama_quant", "model-Q3_K_M.gguf", "model-Q3_K_M.gguf", 2000}, {"gemma3", "model-f16.gguf", "model-f16.gguf", 20000},
        {"phi3_longrope", "model-f16.gguf", "model-f16.gguf", 20000}, {"bert", "model-f32.gguf", "model-f32.gguf", 20000},
        {"flan_t5", "model-f16.gguf", "model-f16.gguf", 20000}, {"llava", "model-f16.gguf", "model-f16.gguf", 20000},
        {"llava", "mmproj-f16.gguf", "model-f16.gguf", 8000}, {"whisper", "ggml-f16.bin", "ggml-f16.bin", 8000},
        {"llama", "model.safetensors", "", 4000}, {"whisper", "model.safetensors", "", 8000}, {"clip", "model.safetensors", "", 8000},
        {"llama_sharded_f16", "model-00002-of-00003.safetensors", "", 2000}, {"llama_sharded_f16", "model.safetensors.index.json", "", 0},
        {"llama", "tokenizer.json", "", 0}, {"llama_spm_bf16", "tokenizer.json", "", 0}, {"bert", "tokenizer.json", "", 0},
        {"clip", "tokenizer.json", "", 0}, {"whisper", "tokenizer.json", "", 0}, {"flan_t5", "tokenizer.json", "", 4000},
        {"siglip", "spiece.model", "", 4000}, {"llama", "chat_template.jinja", "", 0}, {"gemma3", "chat_template.jinja", "", 0},
        {"llama", "config.json", "", 0}, {"whisper", "config.json", "", 0}, {"blip2_flan_t5", "config.json", "", 0},
        {"llava", "preprocessor_config.json", "", 0}, {"idefics", "preprocessor_config.json", "", 0}, {"whisper", "preprocessor_config.json", "", 0},
        {"whisper", "generation_config.json", "", 0}, {"llama", "tokenizer_config.json", "", 0},
        {"whisper/ct2", "model.bin", "", 12000}, {"whisper/ct2", "config.json", "", 0}, {"whisper/ct2", "tokenizer.json", "", 0},
        {"whisper/ct2", "preprocessor_config.json", "", 0}};
    open_damage(argc, argv);
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) damage(&bytes[i]);
    section("cut and changed files");
    manifests();
    section("manifests");
    json_files();
    section("side files of the wrong kind");
    shards();
    section("shards");
    return close_damage();
}
