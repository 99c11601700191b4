/* Saving snapshots to a disk that is full or fails, and by a process that is killed. The N-th write, fsync, close or rename of the
 * library fails (linked with --wrap, Makefile), a limit stands for a full disk, and processes that save without end are
 * killed with SIGKILL after a random time.
 *
 * Expected of a failure: MM_E_IO with one sentence, the old file as it was and no other file beside it, and a session that can
 * be saved again. Of a kill: the file is one of those that were being saved, whole; a part file that is left over is in
 * nobody's way. 200 kills by default, 1,000 with -a. */
#include "api.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

/* ---- calls that fail ---- */

enum { CREATE, WRITE, FSYNC, CLOSE, RENAME, N_CALLS };
static const char *const call_names[] = {"open", "write", "fsync", "close", "rename"};

static bool watching;
static int armed_call = -1, armed_error;
static long armed_at, counts[N_CALLS];

static bool struck(int call)
{
    if (!watching || counts[call]++ != armed_at || call != armed_call) return false;
    errno = armed_error;
    return true;
}

int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
ssize_t __real_write(int fd, const void *p, size_t n);
ssize_t __wrap_write(int fd, const void *p, size_t n);
int __real_fsync(int fd);
int __wrap_fsync(int fd);
int __real_close(int fd);
int __wrap_close(int fd);
int __real_rename(const char *from, const char *to);
int __wrap_rename(const char *from, const char *to);

int __wrap_open(const char *path, int flags, ...)
{
    return struck(CREATE) ? -1 : __real_open(path, flags, 0600);
}

/* A disk that fills up takes a part first. */
ssize_t __wrap_write(int fd, const void *p, size_t n)
{
    if (!struck(WRITE)) return __real_write(fd, p, n);
    if (n > 1 && __real_write(fd, p, n / 2) < 0) exit(3);
    errno = armed_error;
    return -1;
}

int __wrap_fsync(int fd) { return struck(FSYNC) ? -1 : __real_fsync(fd); }
int __wrap_rename(const char *from, const char *to) { return struck(RENAME) ? -1 : __real_rename(from, to); }

int __wrap_close(int fd)
{
    const bool now = struck(CLOSE);
    const int error = errno, rc = __real_close(fd);
    if (now) errno = error;
    return now ? -1 : rc;
}

static mm_status save_with(mm_session *s, const char *path, int call, long at, int error)
{
    memset(counts, 0, sizeof counts);
    armed_call = call;
    armed_at = at;
    armed_error = error;
    watching = true;
    const mm_status st = mm_session_save_file(s, path, &err);
    watching = false;
    return st;
}

/* ---- the folder ---- */

static char folder[128], path[200];

static void open_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.90s/libmm-saving-XXXXXX", tmp && tmp[0] ? tmp : "/tmp");
    if (!mkdtemp(folder)) {
        perror(folder);
        exit(3);
    }
    snprintf(path, sizeof path, "%s/snapshot", folder);
}

static void close_folder(void)
{
    clear_folder(folder);
    rmdir(folder);
}

static int files_in_folder(void)
{
    int n = -2; /* "." and ".." */
    DIR *d = opendir(folder);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static bool same(const blob *a, const blob *b)
{
    return a->p && b->p && a->n == b->n && memcmp(a->p, b->p, a->n) == 0;
}

/* A session with a timeline of its own, and its snapshot. */
static mm_session *spoken(mm_model *m, const char *text, const char *picture)
{
    mm_session *s = session(m, 8, MM_SESSION_IGNORE_EOS, 0);
    uint64_t hash;
    EXPECT(MM_OK, ask(s, text, picture, &hash));
    return s;
}

static blob snapshot_of(mm_session *s)
{
    EXPECT(MM_OK, mm_session_save_file(s, path, &err));
    return read_blob(path);
}

/* What every test begins with: two sessions, the folder, and the snapshot of each; the file is that of s. */
typedef struct pair { mm_model *m; mm_session *s, *other; blob old, new; } pair;

static pair open_pair(void)
{
    pair p = {.m = load(VLM)};
    p.s = spoken(p.m, "What is this?", PICTURE);
    p.other = spoken(p.m, "the dog", OTHER_PICTURE);
    open_folder();
    p.new = snapshot_of(p.other);
    p.old = snapshot_of(p.s);
    check(!same(&p.old, &p.new), "both snapshots are the same");
    return p;
}

static void close_pair(pair *p)
{
    free(p->old.p);
    free(p->new.p);
    close_folder();
    mm_session_release(p->s);
    mm_session_release(p->other);
    mm_model_release(p->m);
}

static void check_refused(mm_status st, const blob *old)
{
    blob now = read_blob(path);
    check(st == MM_E_IO && described(st, &err), "%s \"%s\"", mm_status_name(st), err.text);
    check(same(&now, old), "the old file is not what it was");
    check(files_in_folder() == 1, "%d files in the folder", files_in_folder());
    free(now.p);
}

/* ---- tests ---- */

static void failing_calls(void)
{
    static const int errors[N_CALLS] = {ENOSPC, ENOSPC, EIO, EDQUOT, EACCES};
    if (!begin("calls that fail while saving")) return;
    pair p = open_pair();
    EXPECT(MM_OK, save_with(p.other, path, -1, 0, 0));
    long total[N_CALLS];
    memcpy(total, counts, sizeof total);
    total[CREATE] = total[FSYNC] = total[CLOSE] = 1; /* the second ones are the folder's, after the rename: no failures */
    for (int call = 0; call < N_CALLS; call++) {
        check(total[call] > 0, "%s is not seen", call_names[call]);
        for (long at = 0; at < total[call]; at++) {
            if (!begin("%s %ld fails while saving", call_names[call], at)) continue;
            EXPECT(MM_OK, mm_session_save_file(p.s, path, &err));
            check_refused(save_with(p.other, path, call, at, errors[call]), &p.old);
            EXPECT(MM_OK, mm_session_save_file(p.other, path, &err));
            blob now = read_blob(path);
            check(same(&now, &p.new), "saved again, it is another file");
            free(now.p);
        }
    }
    if (!only) begin("calls that fail while saving");
    close_pair(&p);
}

/* No file can grow beyond some bytes, as on a disk with so many left; of each size up to the whole. */
static void full_disk(void)
{
    if (!begin("a full disk")) return;
    pair p = open_pair();
    struct rlimit was, now;
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    for (size_t left = 0; left < p.new.n; left += 1 + p.new.n / (all_cases ? 512 : 32)) {
        if (!begin("a disk with %zu bytes left", left)) continue;
        now = (struct rlimit){left, was.rlim_max};
        setrlimit(RLIMIT_FSIZE, &now);
        const mm_status st = mm_session_save_file(p.other, path, &err);
        setrlimit(RLIMIT_FSIZE, &was);
        check_refused(st, &p.old);
    }
    if (!only) begin("a full disk");
    EXPECT(MM_OK, mm_session_save_file(p.other, path, &err));
    close_pair(&p);
}

/* Saves one and the other until it is killed; *n_saved counts for the parent. */
static void save_for_ever(volatile long *n_saved)
{
    engine = new_engine(1, 0);
    mm_model *m = load(VLM);
    mm_session *s[2] = {spoken(m, "What is this?", PICTURE), spoken(m, "the dog", OTHER_PICTURE)};
    for (;;) {
        if (mm_session_save_file(s[*n_saved & 1], path, &err) != MM_OK) _exit(1);
        ++*n_saved;
    }
}

static void kills(void)
{
    const int rounds = all_cases ? 1000 : 200;
    if (!begin("kills while saving")) return;
    pair p = open_pair();
    volatile long *n_saved = mmap(NULL, sizeof *n_saved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (n_saved == MAP_FAILED) exit(3);
    int left_over = 0;
    for (int i = 0; i < rounds && begin("kill %d while saving", i); i++) {
        const long start = *n_saved;
        fflush(stdout);
        const pid_t pid = fork();
        if (pid < 0) exit(3);
        if (pid == 0) save_for_ever(n_saved);
        int status = 0;
        while (*n_saved == start && waitpid(pid, &status, WNOHANG) == 0) nanosleep(&(struct timespec){0, 100000}, NULL);
        nanosleep(&(struct timespec){0, (long)(mix(seed + (uint64_t)i) % 20000000)}, NULL);
        kill(pid, SIGKILL);
        check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the child ended by itself");
        blob now = read_blob(path);
        check(same(&now, &p.new) || same(&now, &p.old), "the file is neither of the two");
        free(now.p);
        const int n = files_in_folder();
        left_over += n > 1;
        mm_session *loaded = NULL;
        EXPECT(MM_OK, mm_session_load_file(p.m, path, &loaded, &err));
        EXPECT(MM_OK, mm_session_save_file(loaded, path, &err)); /* beside whatever is left over */
        mm_session_release(loaded);
        check(files_in_folder() == n, "saving beside a part file changed the folder");
        EXPECT(MM_OK, mm_session_save_file(p.s, path, &err));
    }
    printf("     %d kills, a part file was left over %d times, %ld snapshots were saved\n", rounds, left_over, *n_saved);
    check(only || left_over > rounds / 20, "hardly a kill came while a file was being written: %d", left_over);
    if (!only) begin("kills while saving");
    munmap((void *)n_saved, sizeof *n_saved);
    close_pair(&p);
}

int main(int argc, char **argv)
{
    static void (*const tests[])(void) = {failing_calls, full_disk, kills};
    return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
