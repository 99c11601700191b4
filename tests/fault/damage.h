/* What the programs share that damage model files: files and folders, one case from the damaged bytes to the answer, and how
 * a program begins and ends. Damaged models are made in a temporary folder; the files they share with the original are
 * links. Expected of every case: a documented status with one sentence, or an answer; nothing left behind. */
#ifndef MM_FAULT_DAMAGE_H
#define MM_FAULT_DAMAGE_H

#include "fault.h"

#include <limits.h>

#define MEMORY ((uint64_t)512 << 20)

static mm_engine *engine;
static char base[64], root[2048]; /* the temporary folder; the repository */
static int files_at_start, section_start;

/* ---- files ---- */

static inline bool is_file(const char *dir, const char *name)
{
    char path[PATH_MAX * 2];
    struct stat st;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* Fills the temporary folder with links to the files of a test model. */
static inline void link_model(const char *family)
{
    char dir[PATH_MAX], from[PATH_MAX * 2], to[PATH_MAX];
    clear_folder(base);
    snprintf(dir, sizeof dir, "%s/" GOLDEN "/%s", root, family);
    DIR *d = opendir(dir);
    struct dirent *e;
    while (d && (e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.' || strncmp(e->d_name, "expected", 8) == 0 || !is_file(dir, e->d_name)) continue;
        snprintf(from, sizeof from, "%s/%s", dir, e->d_name);
        snprintf(to, sizeof to, "%s/%s", base, e->d_name);
        if (symlink(from, to) != 0) exit(3);
    }
    if (d) closedir(d);
}

/* ---- one case ---- */

/* Loads and answers; checks what comes of it and returns it. */
static inline mm_status try_model(const char *path)
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
    return st;
}

typedef struct target {
    const char *family, *file, *model; /* model: what is loaded, "" the folder */
    size_t header;                     /* bytes at the front that most changes go to; 0: the whole file */
} target;

static inline void path_in(const char *file, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s%s%s", base, file[0] ? "/" : "", file);
}

static inline mm_status try_bytes(const target *t, const void *p, size_t n)
{
    char path[PATH_MAX];
    path_in(t->file, path);
    write_blob(path, p, n);
    path_in(t->model, path);
    return try_model(path);
}

static inline blob read_target(const target *t)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, GOLDEN "/%s/%s", t->family, t->file);
    const blob b = read_blob(path);
    if (!b.p) {
        snprintf(current, sizeof current, "%.500s", path);
        check(false, "cannot be read");
    }
    return b;
}

/* ---- the program ---- */

static inline void open_damage(int argc, char **argv)
{
    start(argc, argv);
    const char *tmp = getenv("TMPDIR");
    snprintf(base, sizeof base, "%.40s/libmm-fault-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (!getcwd(root, sizeof root) || !mkdtemp(base)) {
        perror(base);
        exit(3);
    }
    files_at_start = open_files();
    engine = new_engine(1, MEMORY);
}

/* Reports what was checked since the last section. */
static inline void section(const char *name)
{
    static int failed_before;
    printf("%-4s %-40s %6d checks\n", n_failed == failed_before ? "ok" : "FAIL", name, n_passed + n_failed - section_start);
    fflush(stdout);
    section_start = n_passed + n_failed;
    failed_before = n_failed;
}

static inline int close_damage(void)
{
    mm_engine_release(engine);
    snprintf(current, sizeof current, "all files");
    check(atomic_load(&mem_live) == 0, "%ld bytes are left", atomic_load(&mem_live));
    check(open_files() == files_at_start, "files are left open");
    clear_folder(base);
    rmdir(base);
    return finish();
}

#endif
