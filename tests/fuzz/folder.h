/* The test models as a host's files in memory, with one file replaced, added or taken away: a damaged model costs no file system,
 * and nothing outside tests/golden can be reached. Files are read once and kept; one thread at a time. */
#ifndef MM_FUZZ_FOLDER_H
#define MM_FUZZ_FOLDER_H

#include "../fault/fault.h"

#define FOLDER_FILES 1024

typedef struct folder_file { char path[256]; unsigned char *bytes; size_t n; bool there; } folder_file;

static folder_file folder_kept[FOLDER_FILES];
static size_t folder_n;
static folder_file folder_changed; /* path "" : none; `there` false: taken away */

static inline folder_file *folder_keep(const char *path)
{
    for (size_t i = 0; i < folder_n; i++)
        if (strcmp(folder_kept[i].path, path) == 0) return &folder_kept[i];
    if (folder_n == FOLDER_FILES || strlen(path) >= sizeof folder_kept->path) return NULL;
    folder_file *f = &folder_kept[folder_n++];
    struct stat st;
    snprintf(f->path, sizeof f->path, "%s", path);
    FILE *in = strncmp(path, GOLDEN "/", sizeof GOLDEN) == 0 && !strstr(path, "..") && stat(path, &st) == 0 && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    if (!in) return f;
    f->n = (size_t)st.st_size;
    f->bytes = malloc(f->n ? f->n : 1);
    f->there = f->bytes && fread(f->bytes, 1, f->n, in) == f->n;
    fclose(in);
    return f;
}

static inline folder_file *folder_find(const char *path)
{
    if (folder_changed.path[0] && strcmp(path, folder_changed.path) == 0) return &folder_changed;
    return folder_keep(path);
}

/* `bytes` are borrowed; NULL takes the file away. */
static inline void folder_change(const char *path, const void *bytes, size_t n)
{
    snprintf(folder_changed.path, sizeof folder_changed.path, "%s", path);
    folder_changed.bytes = (unsigned char *)(size_t)bytes;
    folder_changed.n = n;
    folder_changed.there = bytes != NULL;
}

static inline int32_t folder_kind(void *user, const char *path)
{
    struct stat st;
    const folder_file *f = folder_find(path);
    if (f && f->there) return MM_FILE_REGULAR;
    return strncmp(path, GOLDEN, sizeof GOLDEN - 1) == 0 && stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? MM_FILE_DIRECTORY : MM_FILE_NONE;
}

static inline mm_status folder_open(void *user, const char *path, void **file, uint64_t *bytes)
{
    folder_file *f = folder_find(path);
    if (!f || !f->there) return MM_E_IO;
    *file = f;
    *bytes = f->n;
    return MM_OK;
}

static inline mm_status folder_read(void *user, void *file, uint64_t offset, void *dst, size_t n)
{
    const folder_file *f = file;
    if (offset > f->n || n > f->n - offset) return MM_E_IO;
    memcpy(dst, f->bytes + offset, n);
    return MM_OK;
}

static inline void folder_close(void *user, void *file) {}

/* Names as the system lists them, kept for one folder. */
static inline mm_status folder_list(void *user, const char *directory, uint32_t index, char *name, size_t cap)
{
    static char listed[256];
    static struct dirent **names;
    static int n;
    if (strcmp(listed, directory) != 0) {
        for (int i = 0; i < n; i++) free(names[i]);
        if (n > 0) free(names);
        n = scandir(directory, &names, NULL, alphasort);
        snprintf(listed, sizeof listed, "%s", directory);
    }
    if (n < 0 || index >= (uint32_t)n) return MM_END;
    snprintf(name, cap, "%s", names[index]->d_name);
    return MM_OK;
}

static const mm_files folder_files = {sizeof folder_files, 0, NULL, folder_kind, folder_open, folder_read, folder_close, folder_list};

static inline mm_engine *folder_engine(uint64_t memory)
{
    mm_engine_options o;
    mm_engine *e = NULL;
    mm_engine_options_init(&o, sizeof o);
    o.n_threads = 1;
    o.allocator = &counting;
    o.memory_limit = memory;
    o.precision = MM_PRECISION_EXACT;
    o.files = &folder_files;
    if (mm_engine_create(&o, &e, NULL) != MM_OK) {
        put("FAIL no engine\n");
        exit(1);
    }
    return e;
}

/* ---- for fuzz targets ---- */

static inline void folder_expect(bool ok, const char *what, mm_status st, const mm_error *err)
{
    if (ok) return;
    fprintf(stderr, "FAIL %s: %s \"%s\"\n", what, mm_status_name(st), err->text);
    abort();
}

static inline void folder_status(mm_status st, const mm_error *err)
{
    folder_expect(documented(st) && (st >= 0 || described(st, err)), "the status is not as promised", st, err);
}

/* Loads a model and, if that works, has it answer with two tokens. */
static inline void folder_play(mm_engine *e, const char *path)
{
    const long before = atomic_load(&mem_live);
    mm_error err = {.size = sizeof err};
    mm_model *m = NULL;
    mm_session *s = NULL;
    uint64_t hash;
    mm_status st = mm_model_load(e, path, NULL, &m, &err);
    folder_status(st, &err);
    if (st == MM_OK) {
        const facts f = facts_of(m);
        st = open_session(m, &f, 2, &s, &err);
        if (st == MM_OK) st = answer(e, &f, s, &hash, &err);
        folder_status(st, &err);
    }
    mm_session_release(s);
    mm_model_release(m);
    folder_expect(atomic_load(&mem_live) == before, "memory is left", st, &err);
}

#endif
