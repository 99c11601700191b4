/* Loaded, used and unloaded: argv[1] times dlopen, a model answering, dlclose. Memory, threads and descriptors must stay what
 * they were. Then two copies of the library (argv[2], argv[3]) side by side in one process, taking turns. */
#include "libmm.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODEL "tests/golden/llama/model-f16.gguf"
#define GROWTH_KIB 2048 /* what the C library may keep */

typedef struct library {
    void *handle;
    mm_status (*engine_create)(const mm_engine_options *, mm_engine **, mm_error *);
    void (*engine_release)(mm_engine *);
    mm_status (*model_load)(mm_engine *, const char *, const mm_model_options *, mm_model **, mm_error *);
    void (*model_release)(mm_model *);
    mm_status (*session_create)(mm_model *, const mm_session_options *, mm_session **, mm_error *);
    void (*session_release)(mm_session *);
    void (*options_init)(mm_session_options *, size_t);
    mm_status (*input_create)(mm_engine *, mm_input **, mm_error *);
    void (*input_release)(mm_input *);
    mm_status (*input_text)(mm_input *, const char *, size_t, mm_error *);
    mm_status (*feed)(mm_session *, const mm_input *, mm_error *);
    mm_status (*next)(mm_session *, mm_event *, mm_error *);
} library;

typedef struct host {
    mm_engine *engine;
    mm_model *model;
    mm_session *session;
    mm_input *input;
} host;

static int open_library(library *l, const char *path)
{
    int all = 1;
    memset(l, 0, sizeof *l);
    l->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!l->handle) {
        printf("FAIL abi: %s\n", dlerror());
        return 0;
    }
#define FIND(field, name) all &= (*(void **)(void *)&l->field = dlsym(l->handle, name)) != NULL
    FIND(engine_create, "mm_engine_create");
    FIND(engine_release, "mm_engine_release");
    FIND(model_load, "mm_model_load");
    FIND(model_release, "mm_model_release");
    FIND(session_create, "mm_session_create");
    FIND(session_release, "mm_session_release");
    FIND(options_init, "mm_session_options_init");
    FIND(input_create, "mm_input_create");
    FIND(input_release, "mm_input_release");
    FIND(input_text, "mm_input_text");
    FIND(feed, "mm_session_feed");
    FIND(next, "mm_session_next");
    return all;
}

static int open_host(const library *l, host *h)
{
    mm_error err = MM_ERROR_INIT;
    mm_engine_options eo;
    mm_session_options so;
    memset(&eo, 0, sizeof eo);
    eo.size = sizeof eo;
    eo.n_threads = 2;
    l->options_init(&so, sizeof so);
    so.max_tokens = 2;
    so.n_ctx = 64;
    so.flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS;
    memset(h, 0, sizeof *h);
    const int ok = l->engine_create(&eo, &h->engine, &err) == MM_OK && l->model_load(h->engine, MODEL, NULL, &h->model, &err) == MM_OK &&
                   l->session_create(h->model, &so, &h->session, &err) == MM_OK &&
                   l->input_create(h->engine, &h->input, &err) == MM_OK && l->input_text(h->input, "The", 3, &err) == MM_OK;
    if (!ok) printf("FAIL abi: %s\n", err.text);
    return ok;
}

/* Feeds and takes one answer; its last id. */
static int32_t answer(const library *l, host *h)
{
    mm_event e;
    int32_t id = -1;
    memset(&e, 0, sizeof e);
    e.size = sizeof e;
    if (l->feed(h->session, h->input, NULL) != MM_OK) return -1;
    while (l->next(h->session, &e, NULL) == MM_OK)
        if (e.kind == MM_EVENT_END && e.n_ids) id = e.ids[e.n_ids - 1];
    return id;
}

static void close_host(const library *l, host *h)
{
    l->input_release(h->input);
    l->session_release(h->session);
    l->model_release(h->model);
    l->engine_release(h->engine);
}

static long entries(const char *path)
{
    DIR *d = opendir(path);
    long n = 0;
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static long resident_kib(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%*d %ld", &pages) != 1) pages = 0;
    if (f) fclose(f);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static int cycle(const char *path)
{
    library l;
    host h;
    if (!open_library(&l, path) || !open_host(&l, &h) || answer(&l, &h) < 0) return 0;
    close_host(&l, &h);
    return dlclose(l.handle) == 0;
}

static int cycles(const char *path, int n)
{
    const int warm = n / 10 + 1;
    long memory = 0, threads = 0, files = 0;
    for (int i = 0; i < n; i++) {
        if (i == warm) memory = resident_kib(), threads = entries("/proc/self/task"), files = entries("/proc/self/fd");
        if (!cycle(path)) return 0;
    }
    const long grown = resident_kib() - memory;
    printf("%d cycles: memory %+ld KiB, threads %+ld, descriptors %+ld\n", n, grown, entries("/proc/self/task") - threads,
           entries("/proc/self/fd") - files);
    if (dlopen(path, RTLD_NOW | RTLD_NOLOAD)) return 0;
    return grown < GROWTH_KIB && entries("/proc/self/task") == threads && entries("/proc/self/fd") == files;
}

static int side_by_side(const char *one, const char *two)
{
    library a, b;
    host x, y;
    if (!open_library(&a, one) || !open_library(&b, two) || (void *)a.next == (void *)b.next) return 0;
    if (!open_host(&a, &x) || !open_host(&b, &y)) return 0;
    int same = 1;
    for (int i = 0; i < 4; i++) {
        const int32_t first = answer(&a, &x), second = answer(&b, &y);
        same &= first >= 0 && first == second;
    }
    close_host(&a, &x);
    same &= answer(&b, &y) >= 0;
    close_host(&b, &y);
    return same && dlclose(a.handle) == 0 && dlclose(b.handle) == 0;
}

static int verdict(const char *what, int ok)
{
    printf("%s abi: %s\n", ok ? "ok" : "FAIL", what);
    return ok;
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    const int a = verdict("loaded, used and unloaded again and again", cycles(argv[2], atoi(argv[1])));
    return !(verdict("two copies in one process", side_by_side(argv[2], argv[3])) && a);
}
