/* What all fault programs share: counting, an allocator that can refuse, the list of test models, and one way to play
 * any model through the public header. Everything is deterministic; `-s SEED` moves the samples, `-v` prints every case
 * before it runs. A crash or a case that hangs prints the case it happened in. */
#ifndef MM_FAULT_H
#define MM_FAULT_H

#include "blob.h"
#include "libmm.h"

#include <dirent.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/times.h>
#include <unistd.h>

#define GOLDEN "tests/golden"
#define CASE_SECONDS 20 /* of the processor for one case, ten times as many of the clock; times MM_TEST_SLOW, for sanitizers */

/* ---- counting and reporting ---- */

static int n_passed, n_failed;
static bool all_cases, verbose;
static uint64_t seed = 1;
static const char *only; /* a part of the names of cases, or NULL */
static char current[512], program[256];

static void __attribute__((unused, format(printf, 2, 3))) check(bool ok, const char *fmt, ...)
{
    if (ok) {
        n_passed++;
        return;
    }
    n_failed++;
    va_list ap;
    va_start(ap, fmt);
    printf("FAIL %s: ", current);
    vprintf(fmt, ap);
    va_end(ap);
    printf("\n     repeat: %s%s -s %llu -v -o '%s'\n", program, all_cases ? " -a" : "", (unsigned long long)seed, current);
    fflush(stdout);
}

static long case_began, case_seconds, case_waits;

/* May be called in a signal handler. */
static long processor_seconds(void)
{
    struct tms t;
    times(&t);
    return (long)(t.tms_utime + t.tms_stime) / sysconf(_SC_CLK_TCK);
}

/* A machine that is busy, or that stood still for a while, makes no case fail. */
static void __attribute__((unused)) allow_time(void)
{
    const char *slow = getenv("MM_TEST_SLOW");
    case_seconds = CASE_SECONDS * (slow && slow[0] ? atoi(slow) : 1);
    case_waits = 0;
    case_began = processor_seconds();
    alarm((unsigned)case_seconds);
}

/* Names the case that runs now; false when -o chose others. */
static bool __attribute__((unused, format(printf, 1, 2))) begin(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(current, sizeof current, fmt, ap);
    va_end(ap);
    if (only && !strstr(current, only)) return false;
    if (verbose) {
        printf("     %s\n", current);
        fflush(stdout);
    }
    allow_time();
    return true;
}

static void put(const char *s)
{
    if (write(1, s, strlen(s)) < 0) _exit(3);
}

static void on_death(void)
{
    put("FAIL ");
    put(current);
    put(": the process died here\n");
}

static void on_signal(int sig)
{
    if (sig == SIGALRM) {
        if (processor_seconds() - case_began < case_seconds && ++case_waits < 10) {
            alarm((unsigned)case_seconds);
            return;
        }
        put("FAIL ");
        put(current);
        put(": took too long\n");
        _exit(1);
    }
    on_death();
    signal(sig, SIG_DFL);
    raise(sig);
}

extern void __sanitizer_set_death_callback(void (*)(void)) __attribute__((weak));

static bool flag_value(int argc, char **argv, int *i, const char *flag, const char **value)
{
    if (strcmp(argv[*i], flag) != 0 || *i + 1 >= argc) return false;
    *value = argv[++*i];
    return true;
}

static void __attribute__((unused)) start(int argc, char **argv)
{
    const char *v;
    snprintf(program, sizeof program, "%s", argv[0]);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-a") == 0) all_cases = true;
        else if (strcmp(argv[i], "-v") == 0) verbose = true;
        else if (flag_value(argc, argv, &i, "-s", &v)) seed = strtoull(v, NULL, 10);
        else if (flag_value(argc, argv, &i, "-o", &v)) only = v;
        else {
            fprintf(stderr, "usage: %s [-a] [-v] [-s SEED] [-o CASE]\n  run from the root of the repository\n", argv[0]);
            exit(2);
        }
    }
    signal(SIGALRM, on_signal);
    signal(SIGPIPE, SIG_IGN);
    if (__sanitizer_set_death_callback) {
        __sanitizer_set_death_callback(on_death);
    } else {
        signal(SIGSEGV, on_signal);
        signal(SIGBUS, on_signal);
        signal(SIGFPE, on_signal);
        signal(SIGILL, on_signal);
        signal(SIGABRT, on_signal);
    }
}

static int __attribute__((unused)) finish(void)
{
    alarm(0);
    printf("%d passed, %d failed%s, seed %llu\n", n_passed, n_failed, all_cases ? ", every case" : "", (unsigned long long)seed);
    return n_failed ? 1 : 0;
}

/* SplitMix64 (Steele et al. 2014), for samples that `seed` chooses. */
static uint64_t __attribute__((unused)) mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Of `total` cases that are numbered from 0, a sixteenth runs by default, every one with -a. */
static long __attribute__((unused)) n_chosen(long total)
{
    return all_cases ? total : (total + 15) / 16;
}

/* The i-th case that runs: one of each sixteen, where the seed says. */
static long __attribute__((unused)) choose(long total, long i)
{
    const long from = 16 * i, n = total - from < 16 ? total - from : 16;
    return all_cases ? i : from + (long)(mix(seed * 7919 + (uint64_t)i) % (uint64_t)n);
}

/* ---- statuses ---- */

static bool __attribute__((unused)) documented(mm_status st)
{
    return st != MM_E_INTERNAL && strcmp(mm_status_name(st), "MM_?") != 0;
}

/* A failure must be documented and described: the code in the error, one sentence, no control bytes. */
static bool __attribute__((unused)) described(mm_status st, const mm_error *err)
{
    if (!documented(st) || err->code != st || !err->text[0]) return false;
    for (const char *p = err->text; *p; p++)
        if ((unsigned char)*p < 32) return false;
    return true;
}

/* ---- an allocator that refuses the `at`-th request, or all from there on, and keeps accounts ---- */

static atomic_long mem_live, mem_calls, mem_at = -1;
static atomic_bool mem_from_on, mem_refused;

/* A place for a debugger to stop at. */
static void *__attribute__((noinline)) mem_refuse(void)
{
    atomic_store(&mem_refused, true);
    return NULL;
}

static void *mem_alloc(void *user, size_t bytes, size_t align)
{
    (void)user;
    const long i = atomic_fetch_add(&mem_calls, 1), at = atomic_load(&mem_at);
    if (at >= 0 && (i == at || (i > at && atomic_load(&mem_from_on)))) return mem_refuse();
    if (bytes > (size_t)2 << 30) return NULL; /* tests stay small whatever a file asks for */
    void *p = aligned_alloc(align, (bytes + align - 1) & ~(align - 1));
    if (p) atomic_fetch_add(&mem_live, (long)bytes);
    return p;
}

static void mem_release(void *user, void *ptr, size_t bytes, size_t align)
{
    (void)user;
    (void)align;
    atomic_fetch_sub(&mem_live, (long)bytes);
    free(ptr);
}

static const mm_allocator counting = {sizeof counting, 0, NULL, mem_alloc, mem_release};

/* at < 0: refuse nothing. Counting starts again. */
static void __attribute__((unused)) refuse(long at, bool from_on)
{
    atomic_store(&mem_calls, 0);
    atomic_store(&mem_from_on, from_on);
    atomic_store(&mem_refused, false);
    atomic_store(&mem_at, at);
}

static __attribute__((unused)) mm_engine *new_engine(uint32_t threads, uint64_t limit)
{
    mm_engine_options o;
    mm_engine *e = NULL;
    mm_engine_options_init(&o, sizeof o);
    o.n_threads = threads;
    o.allocator = &counting;
    o.memory_limit = limit;
    o.precision = MM_PRECISION_EXACT;
    if (mm_engine_create(&o, &e, NULL) != MM_OK) {
        put("FAIL no engine\n");
        exit(1);
    }
    return e;
}

/* A number of /proc/self/status, in KiB where the kernel says kB; 0 when it has none of that name. */
static int64_t __attribute__((unused)) process_status(const char *key)
{
    char line[256];
    const size_t n = strlen(key);
    int64_t v = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, key, n) == 0 && line[n] == ':') v = strtoll(line + n + 1, NULL, 10);
    if (f) fclose(f);
    return v;
}

static int __attribute__((unused)) open_files(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

/* ---- the test models: every folder of tests/golden, and the twins in it ---- */

typedef struct model_list { char (*paths)[256]; size_t n; } model_list;

static bool ends(const char *s, const char *suffix)
{
    const size_t n = strlen(s), m = strlen(suffix);
    return n >= m && strcmp(s + n - m, suffix) == 0;
}

static void list_add(model_list *l, const char *dir, const char *file)
{
    void *p = realloc(l->paths, (l->n + 1) * sizeof *l->paths);
    if (!p) exit(3);
    l->paths = p;
    snprintf(l->paths[l->n++], sizeof *l->paths, GOLDEN "/%.100s%s%.100s", dir, file ? "/" : "", file ? file : "");
}

static model_list __attribute__((unused)) list_models(void)
{
    model_list l = {0};
    struct dirent **dirs, **files;
    const int n = scandir(GOLDEN, &dirs, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char path[512];
        snprintf(path, sizeof path, GOLDEN "/%s/config.json", dirs[i]->d_name);
        if (access(path, R_OK) == 0) {
            list_add(&l, dirs[i]->d_name, NULL);
            snprintf(path, sizeof path, GOLDEN "/%s", dirs[i]->d_name);
            const int m = scandir(path, &files, NULL, alphasort);
            for (int j = 0; j < m; j++) {
                const char *f = files[j]->d_name;
                if ((ends(f, ".gguf") && strncmp(f, "mmproj", 6) != 0) || ends(f, ".bin") || strcmp(f, "ct2") == 0) list_add(&l, dirs[i]->d_name, f);
                free(files[j]);
            }
            if (m >= 0) free(files);
        }
        free(dirs[i]);
    }
    if (n >= 0) free(dirs);
    if (!l.n) put("FAIL no models below " GOLDEN "; run from the root of the repository\n");
    return l;
}

/* ---- playing ---- */

/* What a model is asked and takes. */
typedef struct facts { bool text, image, audio, generate, transcribe; } facts;

static bool __attribute__((unused)) model_has(const mm_model *m, const char *key, const char *word)
{
    char text[128] = "";
    mm_model_info(m, key, text, sizeof text, NULL, NULL);
    return strstr(text, word) != NULL;
}

static facts __attribute__((unused)) facts_of(const mm_model *m)
{
    return (facts){model_has(m, "modalities_in", "text"), model_has(m, "modalities_in", "image"),
                   model_has(m, "modalities_in", "audio"), model_has(m, "tasks", "generate"), model_has(m, "tasks", "transcribe")};
}

/* What fits the model: a sentence and a picture, or a sound. */
static mm_status __attribute__((unused)) fill_input(const facts *f, mm_input *in, mm_error *err)
{
    static const char text[] = "The little dog ran home. What now?";
    mm_status st = MM_OK;
    if (f->audio) st = mm_input_audio_file(in, GOLDEN "/_inputs/speech_16k.wav", err);
    if (st == MM_OK && f->image) st = mm_input_image_file(in, GOLDEN "/_inputs/small.png", err);
    if (st == MM_OK && f->text) st = mm_input_text(in, text, sizeof text - 1, err);
    return st;
}

static uint64_t hash_bytes(uint64_t h, const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * 0x100000001b3u;
    return h;
}

/* Takes all events; *hash tells two answers apart. Touches everything an event points to. */
static mm_status __attribute__((unused)) take_events(mm_session *s, uint64_t *hash, mm_error *err)
{
    mm_event e = {.size = sizeof e};
    mm_status st;
    uint64_t h = 0xcbf29ce484222325u;
    volatile int64_t touched = 0; /* log-probabilities may differ in the last bit when a session keeps a prefix */
    while ((st = mm_session_next(s, &e, err)) == MM_OK) {
        h = hash_bytes(h, &e.kind, sizeof e.kind);
        h = hash_bytes(h, e.data, e.len);
        h = hash_bytes(h, e.values, e.n_values * sizeof *e.values);
        h = hash_bytes(h, e.ids, e.n_ids * sizeof *e.ids);
        for (size_t i = 0; i < e.n_top; i++) touched += e.top[i].id;
    }
    *hash = h;
    return st == MM_END ? MM_OK : st;
}

static void __attribute__((unused)) play_options(mm_session_options *o, uint32_t tokens)
{
    mm_session_options_init(o, sizeof *o);
    o->max_tokens = tokens;
    o->flags = MM_SESSION_IGNORE_EOS | MM_SESSION_LOGPROBS;
    o->top_logprobs = 2;
}

static mm_status __attribute__((unused)) open_session(mm_model *m, const facts *f, uint32_t tokens, mm_session **s, mm_error *err)
{
    mm_session_options o;
    play_options(&o, tokens);
    mm_status st = mm_session_create(m, &o, s, err);
    if (st == MM_OK && !f->transcribe) st = mm_session_set(*s, "stop", "\n\n\n", err);
    if (st == MM_OK && !f->transcribe) st = mm_session_set(*s, "lookup", "3", err);
    if (st != MM_OK) {
        mm_session_release(*s);
        *s = NULL;
    }
    return st;
}

/* Feeds what fits and takes the answer. */
static mm_status __attribute__((unused)) answer(mm_engine *e, const facts *f, mm_session *s, uint64_t *hash, mm_error *err)
{
    mm_input *in = NULL;
    mm_status st = mm_input_create(e, &in, err);
    if (st == MM_OK) st = fill_input(f, in, err);
    if (st == MM_OK) st = mm_session_feed(s, in, err);
    mm_input_release(in);
    return st == MM_OK ? take_events(s, hash, err) : st;
}

/* An mm_write_fn: adds to a blob. */
static int32_t __attribute__((unused)) keep_written(void *user, const void *p, size_t n)
{
    blob *to = user;
    unsigned char *more = realloc(to->p, to->n + n + 1);
    if (!more) exit(3);
    memcpy(more + to->n, p, n);
    *to = (blob){more, to->n + n};
    return 0;
}

/* Ids of a text, into the hash; a model without a tokenizer has none. */
static mm_status hash_ids(const mm_model *m, const facts *f, uint64_t *hash, mm_error *err)
{
    static const char text[] = "The little dog ran home. Caf\xc3\xa9!";
    int32_t ids[256];
    size_t n = 0;
    if (!f->text && !f->transcribe) return MM_OK;
    const mm_status st = mm_model_tokenize(m, text, sizeof text - 1, MM_TOKENIZE_AROUND, ids, 256, &n, err);
    if (st == MM_OK) *hash = hash_bytes(*hash, ids, n * sizeof *ids);
    return st;
}

#define TOKENS 8 /* of an answer of life() */

/* What a loaded model goes through: tokenises, encodes and answers with 8 tokens (or its vectors), is saved and opened again. *s
 * is a session to go on with, or NULL; one that was made stays in it. *hash is that of the ids and the events. */
static mm_status __attribute__((unused)) life(mm_engine *e, mm_model *m, const facts *f, mm_session **s, uint64_t *hash, mm_error *err)
{
    blob file = {0};
    uint64_t all = 0xcbf29ce484222325u, events = 0;
    mm_session *again = NULL;
    *hash = 0;
    mm_status st = hash_ids(m, f, &all, err);
    if (st == MM_OK && !*s) st = open_session(m, f, TOKENS, s, err);
    if (st == MM_OK) st = answer(e, f, *s, &events, err);
    if (st == MM_OK) st = mm_session_save(*s, keep_written, &file, err);
    if (st == MM_OK) st = mm_session_load(m, file.p, file.n, &again, err);
    if (st == MM_OK) *hash = hash_bytes(all, &events, sizeof events);
    mm_session_release(again);
    free(file.p);
    return st;
}

#endif
