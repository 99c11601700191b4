/* Damaged and contradicting model files: every format is cut short, has single bytes changed, and gets impossible numbers
 * in its hyper-parameters; then it is loaded and, if that works, answers two tokens. Expected: a documented status with one
 * sentence, or an answer; nothing left behind. Changed models are made in a temporary folder, the files they share with
 * the original are links.
 *
 * A seeded sample by default, about ten times as many cases with -a. */
#include "fault.h"

#include <limits.h>

#define MEMORY ((uint64_t)512 << 20)

static mm_engine *engine;
static char base[64], root[2048]; /* the temporary folder; the repository */

/* ---- files ---- */

typedef struct blob { unsigned char *p; size_t n; } blob;

static blob read_blob(const char *path)
{
    blob b = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return b;
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    rewind(f);
    b.p = malloc((size_t)n + 1);
    if (!b.p) exit(3);
    b.n = fread(b.p, 1, (size_t)n, f);
    b.p[b.n] = 0;
    fclose(f);
    return b;
}

static void write_blob(const char *path, const void *p, size_t n)
{
    unlink(path);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f) != 0) {
        perror(path);
        exit(3);
    }
}

static void clear_folder(const char *dir)
{
    char path[PATH_MAX];
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        unlink(path);
    }
    if (d) closedir(d);
}

/* Fills the temporary folder with links to the files of a test model. */
static void link_model(const char *family)
{
    char dir[PATH_MAX], from[PATH_MAX * 2], to[PATH_MAX];
    clear_folder(base);
    snprintf(dir, sizeof dir, "%s/" GOLDEN "/%s", root, family);
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.' || strncmp(e->d_name, "expected", 8) == 0) continue;
        snprintf(from, sizeof from, "%s/%s", dir, e->d_name);
        snprintf(to, sizeof to, "%s/%s", base, e->d_name);
        if (symlink(from, to) != 0) exit(3);
    }
    if (d) closedir(d);
}

static void link_folder(const char *family)
{
    char from[PATH_MAX], to[PATH_MAX];
    snprintf(from, sizeof from, "%s/" GOLDEN "/%s", root, family);
    snprintf(to, sizeof to, "%s/%s", base, family);
    if (symlink(from, to) != 0) exit(3);
}

/* ---- one case ---- */

/* Loads and answers; checks what comes of it. */
static void try_model(const char *path)
{
    const long before = atomic_load(&mem_live);
    mm_error err = {.size = sizeof err};
    mm_model *m = NULL;
    mm_session *s = NULL;
    uint64_t hash;
    mm_status st = mm_model_load(engine, path, NULL, &m, &err);
    if (st != MM_OK) {
        const bool fits = st == MM_E_FORMAT || st == MM_E_UNSUPPORTED || st == MM_E_LIMIT || st == MM_E_NOMEM || st == MM_E_IO;
        check(fits && described(st, &err) && !m, "load: %s \"%s\"", mm_status_name(st), err.text);
    } else {
        const facts f = facts_of(m);
        st = open_session(m, &f, 2, &s, &err);
        if (st == MM_OK) st = answer(engine, &f, s, &hash, &err);
        check(st == MM_OK || described(st, &err), "answer: %s \"%s\"", mm_status_name(st), err.text);
    }
    mm_session_release(s);
    mm_model_release(m);
    check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
}

typedef struct target {
    const char *family, *file, *model; /* model: what is loaded, "" the folder */
    size_t header;                     /* bytes at the front that most changes go to; 0: the whole file */
} target;

static void path_in(const char *file, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s%s%s", base, file[0] ? "/" : "", file);
}

static void try_bytes(const target *t, const void *p, size_t n)
{
    char path[PATH_MAX];
    path_in(t->file, path);
    write_blob(path, p, n);
    path_in(t->model, path);
    try_model(path);
}

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
    char path[PATH_MAX];
    snprintf(path, sizeof path, GOLDEN "/%s/%s", t->family, t->file);
    blob b = read_blob(path);
    if (!b.p) {
        snprintf(current, sizeof current, "%.500s", path);
        check(false, "cannot be read");
        return;
    }
    link_model(t->family);
    truncations(t, &b);
    changes(t, &b);
    free(b.p);
}

/* ---- numbers in JSON ---- */

static const char *const json_values[] = {"0", "-1", "1", "2147483647", "1000000000000000000000", "4294967296", "1e308", "-0.0", "null",
                                          "true", "\"x\"", "[]", "{}", "3", "65536", "0.5"};

/* Replaces every number (and true, false) of a JSON text in turn. */
static void json_numbers(const target *t)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, GOLDEN "/%s/%s", t->family, t->file);
    blob b = read_blob(path);
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
    char path[PATH_MAX];
    snprintf(path, sizeof path, GOLDEN "/%s/%s", t->family, t->file);
    blob b = read_blob(path);
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

static void speech_header(void)
{
    static const uint32_t values[] = {0, 1, UINT32_MAX, INT32_MAX, 3, 80, 1 << 14, 1 << 20};
    const target t = {"whisper", "ggml-f16.bin", "ggml-f16.bin", 0};
    blob b = read_blob(GOLDEN "/whisper/ggml-f16.bin");
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

/* ---- manifests ---- */

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
    static const char *const families[] = {"llama", "whisper", "clip", "blip2_opt", "siglip"};
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "generation_config.json",
                                        "preprocessor_config.json", "processor_config.json", "model.safetensors.index.json", "chat_template.jinja"};
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
        {"whisper", "generation_config.json", "", 0}, {"llama", "tokenizer_config.json", "", 0}};
    static const char *const gguf[][2] = {{"llama", "model-f16.gguf"}, {"gemma3", "model-f16.gguf"}, {"phi3_longrope", "model-f16.gguf"},
                                          {"bert", "model-f32.gguf"}, {"flan_t5", "model-f16.gguf"}, {"gpt2", "model-f32.gguf"},
                                          {"qwen3", "model-f16.gguf"}, {"mistral", "model-f16.gguf"}, {"llava", "model-f16.gguf"}, {"llava", "mmproj-f16.gguf"}};
    static const char *const numbers[] = {"config.json", "preprocessor_config.json", "generation_config.json", "tokenizer.json"};
    start(argc, argv);
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof base, "%.40s/libmm-fault-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (!getcwd(root, sizeof root) || !mkdtemp(base)) {
        perror(base);
        return 3;
    }
    const int files = open_files();
    engine = new_engine(1, MEMORY);
    int passed = 0;
#define SECTION(name)                                                                             \
    do {                                                                                          \
        printf("%-4s %-40s %6d checks\n", "ok", name, n_passed + n_failed - passed);              \
        fflush(stdout);                                                                           \
        passed = n_passed + n_failed;                                                             \
    } while (0)
    for (size_t i = 0; i < sizeof bytes / sizeof *bytes; i++) damage(&bytes[i]);
    SECTION("cut and changed files");
    for (size_t i = 0; i < sizeof gguf / sizeof *gguf; i++)
        gguf_numbers(&(target){gguf[i][0], gguf[i][1], strncmp(gguf[i][1], "mmproj", 6) == 0 ? "model-f16.gguf" : gguf[i][1], 0});
    SECTION("numbers in GGUF");
    speech_header();
    SECTION("sizes in a ggml .bin");
    manifests();
    SECTION("manifests");
    json_files();
    SECTION("JSON files of the wrong kind");
    model_list l = list_models();
    for (size_t i = 0; i < l.n; i++) {
        const char *family = strrchr(l.paths[i], '/') + 1;
        for (size_t k = 0; k < 4 && !strchr(family, '.'); k++) json_numbers(&(target){family, numbers[k], "", 0});
    }
    free(l.paths);
    SECTION("numbers in JSON files");
    mm_engine_release(engine);
    snprintf(current, sizeof current, "all files");
    check(atomic_load(&mem_live) == 0, "%ld bytes are left", atomic_load(&mem_live));
    check(open_files() == files, "files are left open");
    clear_folder(base);
    rmdir(base);
    return finish();
}
