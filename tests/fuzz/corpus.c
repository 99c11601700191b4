/* The corpus of damaged files, made as it is run: every case of damage.h over small valid files of every format, and one file for
 * each attack on a model runtime that became known (museum.h). Each file is opened through the public header, and what opens is
 * run: a model answers with two tokens, a medium is fed, a snapshot goes on. Expected: a documented status with one sentence, or an
 * answer; nothing left; at most ten times the processor time of the undamaged file (or half a second); no more memory
 * than the engine's limit.
 *
 *   corpus [-n CASES] [-s SEED] [-o CASE] [-v]
 *
 * -n 200000 spreads so many cases over files and kinds, chosen by the seed; "all" runs every one; the museum is always whole. The
 * work is done in a child process: when one ends badly its case is reported and the next child goes on behind it. */
#include "damage.h"
#include "museum.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define MEMORY ((uint64_t)256 << 20)
#define QUICK 0.5 /* seconds that are never too long */

typedef struct source { const char *family, *file, *model; format format; } source;

static const source sources[] = {
    {"llama", "model-f16.gguf", "model-f16.gguf", GGUF}, {"llama_quant", "model-Q4_K_M.gguf", "model-Q4_K_M.gguf", GGUF},
    {"gemma3", "model-f16.gguf", "model-f16.gguf", GGUF}, {"phi3_longrope", "model-f16.gguf", "model-f16.gguf", GGUF},
    {"bert", "model-f32.gguf", "model-f32.gguf", GGUF}, {"flan_t5", "model-f16.gguf", "model-f16.gguf", GGUF},
    {"gpt2", "model-f32.gguf", "model-f32.gguf", GGUF}, {"qwen3", "model-f16.gguf", "model-f16.gguf", GGUF},
    {"mistral", "model-f16.gguf", "model-f16.gguf", GGUF}, {"llava", "mmproj-f16.gguf", "model-f16.gguf", GGUF},
    {"whisper", "ggml-f16.bin", "ggml-f16.bin", GGML_BIN}, {"whisper/ct2", "model.bin", "", CT2},
    {"llama", "model.safetensors", "", SAFETENSORS}, {"clip", "model.safetensors", "", SAFETENSORS},
    {"llama_sharded_f16", "model-00002-of-00003.safetensors", "", SAFETENSORS}, {"llama_sharded_f16", "model.safetensors.index.json", "", JSON},
    {"llama", "config.json", "", JSON}, {"gpt2", "config.json", "", JSON}, {"opt", "config.json", "", JSON}, {"opt_350m", "config.json", "", JSON},
    {"mistral", "config.json", "", JSON}, {"qwen2", "config.json", "", JSON}, {"qwen3", "config.json", "", JSON}, {"gemma3", "config.json", "", JSON},
    {"phi3", "config.json", "", JSON}, {"phi3_longrope", "config.json", "", JSON}, {"bert", "config.json", "", JSON},
    {"flan_t5", "config.json", "", JSON}, {"t5", "config.json", "", JSON}, {"clip", "config.json", "", JSON}, {"siglip", "config.json", "", JSON},
    {"vit", "config.json", "", JSON}, {"dinov2", "config.json", "", JSON}, {"llava", "config.json", "", JSON}, {"blip2_opt", "config.json", "", JSON},
    {"blip2_flan_t5", "config.json", "", JSON}, {"minigpt4", "config.json", "", JSON}, {"idefics", "config.json", "", JSON},
    {"whisper", "config.json", "", JSON}, {"whisper/ct2", "config.json", "", JSON}, {"llava", "preprocessor_config.json", "", JSON},
    {"clip", "preprocessor_config.json", "", JSON}, {"idefics", "preprocessor_config.json", "", JSON}, {"whisper", "preprocessor_config.json", "", JSON},
    {"siglip", "preprocessor_config.json", "", JSON}, {"whisper", "generation_config.json", "", JSON}, {"llama", "tokenizer_config.json", "", JSON},
    {"llama", "tokenizer.json", "", JSON}, {"bert", "tokenizer.json", "", JSON}, {"clip", "tokenizer.json", "", JSON}, {"flan_t5", "tokenizer.json", "", JSON},
    {"siglip", "spiece.model", "", BYTES}, {"llama", "chat_template.jinja", "", TEXT}, {"gemma3", "chat_template.jinja", "", TEXT},
    {"", "x.mm.json", "x.mm.json", JSON}};
#define N_SOURCES (sizeof sources / sizeof *sources)

static const char manifest[] = "{\"libmm\":1,\"name\":\"x\",\"assembly\":\"blip2\",\"parts\":{\"vision\":{\"path\":\"blip2_opt\"},"
                               "\"bridge\":{\"path\":\"blip2_opt\"},\"text\":{\"path\":\"blip2_opt\"}},"
                               "\"image\":\"blip2_opt/preprocessor_config.json\",\"prompt\":{\"placeholder\":\"<image>\",\"media\":\"first\"}}";

/* ---- what is damaged: a file of a model, a medium, a snapshot ---- */

typedef enum use { MODEL, PICTURE, SOUND, SNAPSHOT } use;

typedef struct subject {
    char name[128], path[256], model[256]; /* path: of the file that is replaced, model: what is loaded */
    use use;
    original o;
    double clean;
} subject;

static subject *subjects;
static size_t n_subjects;
static mm_engine *engine;
static mm_model *host; /* of snapshots */

static void add_subject(use u, const char *name, const char *path, const char *model, const unsigned char *p, size_t n, format f)
{
    if (!(subjects = realloc(subjects, (n_subjects + 1) * sizeof *subjects))) exit(3);
    subject *s = &subjects[n_subjects++];
    *s = (subject){.use = u, .o = walk(p, n, f)};
    snprintf(s->name, sizeof s->name, "%s", name);
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->model, sizeof s->model, "%s", model);
}

static void add_sources(void)
{
    for (size_t i = 0; i < N_SOURCES; i++) {
        const source *s = &sources[i];
        char folder[128], path[300], model[300], title[200];
        snprintf(folder, sizeof folder, GOLDEN "%s%s", s->family[0] ? "/" : "", s->family);
        snprintf(path, sizeof path, "%s/%s", folder, s->file);
        snprintf(model, sizeof model, "%s%s%s", folder, s->model[0] ? "/" : "", s->model);
        snprintf(title, sizeof title, "%s%s%s", s->family, s->family[0] ? "/" : "", s->file);
        const folder_file *f = folder_keep(path);
        const bool ours = !s->family[0];
        if (!ours && (!f || !f->there)) {
            printf("FAIL %s cannot be read\n", path);
            exit(3);
        }
        add_subject(MODEL, title, path, model, ours ? (const unsigned char *)manifest : f->bytes, ours ? sizeof manifest - 1 : f->n, s->format);
    }
}

/* The seeds of a fuzz target. */
static void add_seeds(use u, const char *target, const char *suffix)
{
    struct dirent **files;
    char folder[128], path[400];
    snprintf(folder, sizeof folder, "tests/fuzz/corpus/%s", target);
    const int n = scandir(folder, &files, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *name = files[i]->d_name;
        snprintf(path, sizeof path, "%s/%s", folder, name);
        FILE *f = strncmp(name, "seed-", 5) == 0 && ends(name, suffix) ? fopen(path, "rb") : NULL;
        unsigned char *p = f ? malloc(1 << 20) : NULL;
        if (p) {
            const size_t skip = u == SNAPSHOT, got = fread(p, 1, 1 << 20, f); /* snapshots stand behind a byte for the target */
            add_subject(u, path + strlen("tests/fuzz/corpus/"), "", "", p + skip, got - skip, BYTES);
        }
        if (f) fclose(f);
        free(files[i]);
    }
    if (n >= 0) free(files);
}

/* ---- running one ---- */

static mm_status run_medium(use u, const void *p, size_t n, mm_error *err)
{
    mm_input *in = NULL;
    mm_status st = mm_input_create(engine, &in, err);
    if (st == MM_OK) st = u == PICTURE ? mm_input_image_encoded(in, p, n, err) : mm_input_audio_encoded(in, p, n, err);
    mm_input_release(in);
    return st;
}

static mm_status run_snapshot(const void *p, size_t n, mm_error *err)
{
    mm_session *s = NULL;
    uint64_t hash;
    const facts f = facts_of(host);
    mm_status st = mm_session_load(host, p, n, &s, err);
    if (st == MM_OK) st = take_events(s, &hash, err);
    if (st == MM_OK) st = answer(engine, &f, s, &hash, err);
    mm_session_release(s);
    return st;
}

static mm_status run_model(const subject *s, const void *p, size_t n, mm_error *err)
{
    mm_model *m = NULL;
    mm_session *session = NULL;
    uint64_t hash;
    folder_change(s->path, p, n);
    mm_status st = mm_model_load(engine, s->model, NULL, &m, err);
    if (st == MM_OK) {
        const facts f = facts_of(m);
        st = open_session(m, &f, 2, &session, err);
        if (st == MM_OK) st = answer(engine, &f, session, &hash, err);
    } else if (m) {
        st = MM_E_INTERNAL;
    }
    mm_session_release(session);
    mm_model_release(m);
    folder_change("", NULL, 0);
    return st;
}

static mm_status run(const subject *s, const void *p, size_t n, mm_error *err)
{
    err->code = 0;
    err->text[0] = 0;
    switch (s->use) {
    case MODEL: return run_model(s, p, n, err);
    case SNAPSHOT: return run_snapshot(p, n, err);
    default: return run_medium(s->use, p, n, err);
    }
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double slow = 1;
static size_t n_ran, n_opened;

/* Runs and judges. */
static void try_case(const subject *s, const void *p, size_t n, double most)
{
    mm_error err = {.size = sizeof err};
    const long before = atomic_load(&mem_live);
    unsigned char *exact = malloc(n ? n : 1); /* no larger than the file, so that a sanitizer sees what lies behind it */
    if (!exact) exit(3);
    if (n) memcpy(exact, p, n);
    const double start = seconds();
    const mm_status st = run(s, exact, n, &err);
    const double took = seconds() - start;
    free(exact);
    check(documented(st) && (st >= 0 || described(st, &err)), "%s \"%s\"", mm_status_name(st), err.text);
    check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
    check(took <= most * slow, "%.2f s, more than %.2f s", took, most * slow);
    n_ran++;
    n_opened += st >= 0;
}

static void measure(subject *s)
{
    mm_error err = {.size = sizeof err};
    if (!begin("%s as it is", s->name)) return;
    for (int i = 0; i < 2; i++) { /* the second time without what is done once */
        const double start = seconds();
        const mm_status st = run(s, s->o.p, s->o.n, &err);
        check(st == MM_OK, "%s \"%s\"", mm_status_name(st), err.text);
        s->clean = seconds() - start;
    }
}

static double most_of(const subject *s)
{
    return 10 * s->clean > QUICK ? 10 * s->clean : QUICK;
}

/* ---- choosing ---- */

/* Cases of one file and kind: `quota` of `count`, spread evenly from a place that the seed chooses. */
typedef struct bucket { size_t subject, count, quota; kind kind; } bucket;

static bucket *buckets;
static size_t n_buckets, n_cases;

static void share(size_t wanted)
{
    size_t total = 0;
    buckets = calloc(n_subjects * N_KINDS, sizeof *buckets);
    if (!buckets) exit(3);
    for (size_t i = 0; i < n_subjects; i++)
        for (int k = 0; k < N_KINDS; k++) {
            const size_t n = count_cases(&subjects[i].o, (kind)k);
            buckets[n_buckets++] = (bucket){i, n, n, (kind)k};
            total += n;
        }
    /* The smaller a bucket the larger its part: what is left is shared by those that want more. */
    size_t left = wanted < total ? wanted : total, open = n_buckets;
    for (bool again = true; again && open;) {
        const size_t each = left / open;
        again = false;
        for (size_t i = 0; i < n_buckets; i++)
            if (buckets[i].quota == buckets[i].count && buckets[i].count <= each && buckets[i].kind < N_KINDS && buckets[i].count) {
                left -= buckets[i].count;
                open--;
                n_cases += buckets[i].count;
                buckets[i].kind = (kind)(buckets[i].kind + N_KINDS); /* settled */
                again = true;
            } else if (!buckets[i].count && buckets[i].kind < N_KINDS) {
                open--;
                buckets[i].kind = (kind)(buckets[i].kind + N_KINDS);
            }
    }
    const size_t each = open ? left / open : 0, over = left - each * open;
    for (size_t i = 0, nth = 0; i < n_buckets; i++) {
        if (buckets[i].kind < N_KINDS) n_cases += buckets[i].quota = each + (nth++ < over);
        else buckets[i].kind = (kind)(buckets[i].kind - N_KINDS);
    }
}

/* ---- the child, and what the parent sees of it ---- */

typedef struct progress { size_t next, passed, failed, ran, opened; long rss_kib; char name[512]; } progress;

static progress *shared;

static void publish(size_t next)
{
    shared->next = next;
    shared->passed += (size_t)n_passed;
    shared->failed += (size_t)n_failed;
    shared->ran += n_ran;
    shared->opened += n_opened;
    n_passed = n_failed = 0;
    n_ran = n_opened = 0;
}

static void child(void)
{
    size_t at = 0;
    bytes file = {0};
    for (size_t i = 0; i < n_buckets; i++) {
        const bucket *b = &buckets[i];
        const subject *s = &subjects[b->subject];
        if (!b->quota || at + b->quota <= shared->next) {
            at += b->quota;
            continue;
        }
        const size_t first = mix(seed * 7919 + i) % b->count;
        for (size_t j = 0; j < b->quota; j++, at++) {
            if (at < shared->next) continue;
            const size_t which = (first + (size_t)((double)j * (double)b->count / (double)b->quota)) % b->count;
            if (!begin("%s %s %zu", s->name, kind_names[b->kind], which)) continue;
            memcpy(shared->name, current, sizeof current);
            shared->next = at + 1;
            file.n = 0;
            make_case(&s->o, b->kind, which, &file);
            try_case(s, file.p, file.n, most_of(s));
            publish(at + 1);
        }
    }
    free(file.p);
    for (size_t i = at > shared->next ? 0 : shared->next - at; i < museum_count(); i++) {
        exhibit e = {0};
        museum_make(i, &e);
        if (begin("museum %s", e.name)) {
            const subject s = {.use = e.medium == 1 ? PICTURE : e.medium == 2 ? SOUND : e.medium == 3 ? SNAPSHOT : MODEL, .path = "", .model = ""};
            subject t = s;
            snprintf(t.path, sizeof t.path, "%s", e.path);
            snprintf(t.model, sizeof t.model, "%s", e.model);
            memcpy(shared->name, current, sizeof current);
            shared->next = at + i + 1;
            try_case(&t, e.file.p, e.file.n, 5);
            publish(at + i + 1);
        }
        free(e.file.p);
    }
    snprintf(shared->name, sizeof shared->name, "the end of the process");
    shared->next = at + museum_count();
}

static void set_up(size_t wanted)
{
    mm_error err = {.size = sizeof err};
    const char *times = getenv("MM_TEST_SLOW");
    slow = times && times[0] ? atof(times) : 1;
    add_sources();
    add_seeds(PICTURE, "image", "");
    add_seeds(SOUND, "audio", "");
    add_seeds(SNAPSHOT, "snapshot", "-file");
    share(wanted);
}

/* In the child: an engine of its own. */
static void open_up(void)
{
    mm_error err = {.size = sizeof err};
    engine = folder_engine(MEMORY);
    const mm_status st = mm_model_load(engine, GOLDEN "/llama", NULL, &host, &err);
    check(st == MM_OK, "the host of snapshots: %s", err.text);
    for (size_t i = 0; i < n_subjects; i++) measure(&subjects[i]);
    if (shared->next) n_passed = n_failed = 0; /* counted by the first child */
    publish(shared->next);
}

static void close_down(void)
{
    struct rusage r;
    mm_model_release(host);
    mm_engine_release(engine);
    check(atomic_load(&mem_live) == 0, "%ld bytes are left", atomic_load(&mem_live));
    if (getrusage(RUSAGE_SELF, &r) == 0 && r.ru_maxrss > shared->rss_kib) shared->rss_kib = r.ru_maxrss;
    publish(shared->next);
}

static int run_children(void)
{
    const size_t all = n_cases + museum_count();
    for (int deaths = 0; deaths < 1000; deaths++) {
        fflush(stdout);
        const pid_t pid = fork();
        if (pid < 0) return perror("fork"), 3;
        if (pid == 0) {
            open_up();
            child();
            close_down();
            fflush(stdout);
            exit(0); /* a leak checker ends it otherwise */
        }
        int status = 0;
        if (waitpid(pid, &status, 0) < 0) return perror("waitpid"), 3;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return 0;
        shared->failed++;
        printf("FAIL %s: the process ended with status %d\n     repeat: %s -n all -o '%s'\n", shared->name, status, program, shared->name);
        if (shared->next >= all) return 1;
    }
    return 1;
}

int main(int argc, char **argv)
{
    size_t wanted = 10000;
    char *rest[16] = {argv[0]};
    int n = 1;
    for (int i = 1; i < argc && n < 15; i++) {
        if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) wanted = strcmp(argv[++i], "all") == 0 ? SIZE_MAX : strtoull(argv[i], NULL, 10);
        else rest[n++] = argv[i];
    }
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) return 3;
    start(n, rest);
    set_up(wanted);
    if (run_children() != 0 && !shared->failed) shared->failed = 1;
    printf("%s corpus: %zu cases, %zu of the museum; %zu opened and ran, %zu were refused; at most %ld MiB\n", shared->failed ? "FAIL" : "ok", shared->ran,
           museum_count(), shared->opened, shared->ran - shared->opened, shared->rss_kib >> 10);
    printf("%zu checks passed, %zu failed\n", shared->passed, shared->failed);
    return shared->failed != 0;
}
