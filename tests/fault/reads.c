/* Failing files: while a model loads, tokenises, encodes a picture or a sound, answers and is saved, the N-th open, fstat,
 * stat, pread, opendir or readdir of the library fails, gives less than was asked, or gives bytes that changed. The program
 * is linked with --wrap for these calls (Makefile), so nothing of the library changes. And threads: of those an engine wants,
 * the N-th is refused, or all from there on.
 *
 * Expected of a failure: MM_E_IO or MM_E_FORMAT with one sentence, no memory and no file left behind, and the same answer
 * when asked again. The library may do without what failed only if the answer stays the same. An interrupted call, a pread
 * that gives a part and a thread that is missing are no failures; after a change anything documented may come. A sixteenth of all N
 * by default, which the seed chooses; every N with -a. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

/* ---- the calls ---- */

enum { OPEN, FSTAT, STAT, PREAD, OPENDIR, READDIR, N_CALLS };
static const char *const call_names[] = {"open", "fstat", "stat", "pread", "opendir", "readdir"};

#define CHANGED (-2) /* one bit of what comes is another */

typedef struct way {
    int call;
    int error;     /* errno; 0: nothing more comes; -1: a part comes; CHANGED */
    bool from_on;  /* that call and all later ones */
    bool harmless; /* the answer must be the usual one */
    bool other;    /* it looks like another file: any documented answer */
    const char *what;
} way;

static const way ways[] = {
    {OPEN, EIO, .what = "EIO"}, {OPEN, EMFILE, .from_on = true, .what = "EMFILE from there on"}, {OPEN, EACCES, .what = "EACCES"},
    {OPEN, ENOENT, .what = "vanished"}, {OPEN, EINTR, .harmless = true, .what = "interrupted"}, {FSTAT, EIO, .what = "EIO"},
    {FSTAT, 0, .other = true, .what = "an empty file"}, {STAT, EIO, .what = "EIO"}, {STAT, EACCES, .from_on = true, .what = "EACCES from there on"},
    {PREAD, EIO, .what = "EIO"}, {PREAD, EIO, .from_on = true, .what = "EIO from there on"},
    {PREAD, 0, .from_on = true, .what = "the end of a file that shrank"}, {PREAD, EINTR, .harmless = true, .what = "interrupted"},
    {PREAD, -1, .from_on = true, .harmless = true, .what = "one half each time"},
    {PREAD, CHANGED, .other = true, .what = "a changed bit"}, {PREAD, CHANGED, .from_on = true, .other = true, .what = "changed bits from there on"}, {OPENDIR, EMFILE, .what = "EMFILE"},
    {READDIR, EIO, .what = "EIO"}};

static const way *armed;
static atomic_long counts[N_CALLS], hits, fail_at;

/* Whether this call is the one; sets errno. */
static bool struck(int call)
{
    const long i = atomic_fetch_add(&counts[call], 1), at = atomic_load(&fail_at);
    if (!armed || armed->call != call || (armed->from_on ? i < at : i != at)) return false;
    atomic_fetch_add(&hits, 1);
    if (armed->error > 0) errno = armed->error;
    return true;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __real_stat(const char *path, struct stat *st);
int __wrap_stat(const char *path, struct stat *st);
ssize_t __real_pread(int fd, void *dst, size_t n, off_t offset);
ssize_t __wrap_pread(int fd, void *dst, size_t n, off_t offset);
DIR *__real_opendir(const char *path);
DIR *__wrap_opendir(const char *path);
struct dirent *__real_readdir(DIR *d);
struct dirent *__wrap_readdir(DIR *d);

int __wrap_open(const char *path, int flags, ...)
{
    return struck(OPEN) ? -1 : __real_open(path, flags, 0);
}

int __wrap_fstat(int fd, struct stat *st)
{
    const bool now = struck(FSTAT);
    if (now && armed->error) return -1;
    const int rc = __real_fstat(fd, st);
    if (now && rc == 0) st->st_size = 0;
    return rc;
}

int __wrap_stat(const char *path, struct stat *st)
{
    return struck(STAT) ? -1 : __real_stat(path, st);
}

ssize_t __wrap_pread(int fd, void *dst, size_t n, off_t offset)
{
    if (!struck(PREAD)) return __real_pread(fd, dst, n, offset);
    if (armed->error > 0) return -1;
    if (armed->error == CHANGED) {
        const ssize_t got = __real_pread(fd, dst, n, offset);
        const uint64_t r = mix(seed + (uint64_t)offset);
        if (got > 0) ((unsigned char *)dst)[r % (uint64_t)got] ^= (unsigned char)(1u << (r >> 60 & 7));
        return got;
    }
    return armed->error == 0 ? 0 : __real_pread(fd, dst, n > 1 ? n / 2 : n, offset);
}

DIR *__wrap_opendir(const char *path)
{
    return struck(OPENDIR) ? NULL : __real_opendir(path);
}

struct dirent *__wrap_readdir(DIR *d)
{
    return struck(READDIR) ? NULL : __real_readdir(d);
}

/* w NULL: no call fails. Counting starts again. */
static void arm(const way *w, long at)
{
    armed = w;
    atomic_store(&fail_at, at);
    atomic_store(&hits, 0);
    for (int i = 0; i < N_CALLS; i++) atomic_store(&counts[i], 0);
}

/* ---- one case ---- */

/* From loading to closing; *hash tells two answers apart. */
static mm_status play(mm_engine *e, const char *path, uint64_t *hash, mm_error *err)
{
    mm_model *m = NULL;
    mm_session *s = NULL;
    *hash = 0;
    mm_status st = mm_model_load(e, path, NULL, &m, err);
    const facts f = st == MM_OK ? facts_of(m) : (facts){0};
    if (st == MM_OK) st = life(e, m, &f, &s, hash, err);
    mm_session_release(s);
    mm_model_release(m);
    return st;
}

static void try_failure(mm_engine *e, const char *path, const way *w, long at, uint64_t want)
{
    const long before = atomic_load(&mem_live);
    const int files = open_files();
    mm_error err = {.size = sizeof err};
    uint64_t hash = 0;
    arm(w, at);
    mm_status st = play(e, path, &hash, &err);
    const long met = atomic_load(&hits);
    arm(NULL, 0);
    check(met > 0, "the call was not made");
    const bool fits = st == MM_E_IO || st == MM_E_FORMAT || w->other;
    check(st == MM_OK ? hash == want || w->other : fits && described(st, &err) && !w->harmless, "%s \"%s\"%s", mm_status_name(st), err.text,
          st == MM_OK ? ", another answer" : "");
    check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
    check(open_files() == files, "files are left open");
    st = play(e, path, &hash, &err);
    check(st == MM_OK && hash == want, "again: %s \"%s\"%s", mm_status_name(st), err.text, st == MM_OK ? ", another answer" : "");
}

/* ---- threads ---- */

#define THREADS 4

static atomic_long thread_calls, thread_at = -1;
static bool thread_from_on;

int __real_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);
int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg);

int __wrap_pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*fn)(void *), void *arg)
{
    const long i = atomic_fetch_add(&thread_calls, 1), at = atomic_load(&thread_at);
    return at >= 0 && (thread_from_on ? i >= at : i == at) ? EAGAIN : __real_pthread_create(t, a, fn, arg);
}

/* The fewer threads there are the slower; nothing else may change. */
static void missing_threads(const char *path, uint64_t want)
{
    for (int at = 0; at < THREADS - 1; at++)
        for (int from_on = 0; from_on < 2; from_on++) {
            if (!begin("%s thread %d%s is refused", path, at, from_on ? " and later" : "")) continue;
            const long before = atomic_load(&mem_live);
            mm_error err = {.size = sizeof err};
            char threads[16] = "";
            uint64_t hash = 0;
            thread_from_on = from_on;
            atomic_store(&thread_calls, 0);
            atomic_store(&thread_at, at);
            mm_engine *e = new_engine(THREADS, 0);
            mm_engine_info(e, "threads", threads, sizeof threads, NULL, NULL);
            check(atoi(threads) >= 1 && atoi(threads) < THREADS, "%s threads", threads);
            const mm_status st = play(e, path, &hash, &err);
            atomic_store(&thread_at, -1);
            check(st == MM_OK && hash == want, "%s \"%s\"%s", mm_status_name(st), err.text, st == MM_OK ? ", another answer" : "");
            mm_engine_release(e);
            check(atomic_load(&mem_live) == before, "%ld bytes are left", atomic_load(&mem_live) - before);
        }
}

/* ---- all of them ---- */

static void failures(mm_engine *e, const char *path, const long total[N_CALLS], uint64_t want)
{
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        const way *w = &ways[k];
        for (long i = 0; i < n_chosen(total[w->call]); i++) {
            const long at = choose(total[w->call], i);
            if (begin("%s %s %ld: %s", path, call_names[w->call], at, w->what)) try_failure(e, path, w, at, want);
        }
    }
}

static void family(const char *path)
{
    const int failed = n_failed, passed = n_passed;
    mm_error err = {.size = sizeof err};
    if (!begin("%s", path) && !strstr(only, path)) return;
    mm_engine *e = new_engine(1, 0);
    uint64_t want = 0;
    long total[N_CALLS];
    arm(NULL, 0);
    const mm_status st = play(e, path, &want, &err);
    for (int i = 0; i < N_CALLS; i++) total[i] = atomic_load(&counts[i]);
    check(st == MM_OK, "without failures: %s \"%s\"", mm_status_name(st), err.text);
    check(total[OPEN] > 0 && total[FSTAT] > 0 && total[STAT] > 0 && total[PREAD] > 0, "the calls of the library are not seen");
    if (st == MM_OK) failures(e, path, total, want);
    if (st == MM_OK) missing_threads(path, want);
    mm_engine_release(e);
    snprintf(current, sizeof current, "%s", path);
    check(atomic_load(&mem_live) == 0, "%ld bytes are left at the end", atomic_load(&mem_live));
    printf("%-4s %-45s %4ld open %4ld stat %5ld pread, %d checks\n", n_failed == failed ? "ok" : "FAIL", path, total[OPEN], total[STAT], total[PREAD],
           n_passed - passed + n_failed - failed);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    start(argc, argv);
    model_list l = list_models();
    for (size_t i = 0; i < l.n; i++) family(l.paths[i]);
    free(l.paths);
    return finish();
}
