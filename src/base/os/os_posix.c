/* The platform, POSIX with what Linux adds. Locks, conditions and threads live inside the opaque storage of os.h.
 *
 * Processor count: the affinity mask says which logical processors the process may use; siblings that share a core
 * (/sys/devices/system/cpu/cpuN/topology) count once; a CPU quota of the control group (cpu.max) caps the result,
 * because threads that meet at barriers stall each other when there are more of them than processors.
 *
 * Files are opened without blocking and read by position, so one descriptor serves many threads. */
#include "os.h"
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/random.h>
#endif

typedef struct thread {
    pthread_t id;
    void (*fn)(void *);
    void *arg;
} thread;
_Static_assert(sizeof(pthread_mutex_t) <= sizeof(mm__mutex), "a mutex fits its storage");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(mm__cond), "a condition fits its storage");
_Static_assert(sizeof(thread) <= sizeof(mm__thread), "a thread fits its storage");

static pthread_mutex_t *mutex_of(mm__mutex *m)
{
    return (pthread_mutex_t *)(void *)m->opaque;
}
static pthread_cond_t *cond_of(mm__cond *c)
{
    return (pthread_cond_t *)(void *)c->opaque;
}

int64_t mm__os_wall(void)
{
    struct timespec t;
    return clock_gettime(CLOCK_REALTIME, &t) == 0 ? (int64_t)t.tv_sec : 0;
}

double mm__os_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The first `cap` - 1 bytes of a small text file; an empty text when it cannot be read. */
static void small_file(const char *path, char *text, size_t cap)
{
    const int fd = mm__os_open(path);
    ssize_t n = fd < 0 ? 0 : read(fd, text, cap - 1);
    text[n < 0 ? 0 : n] = 0;
    if (fd >= 0) close(fd);
}

#ifdef __linux__
/* Processors that the control group's quota pays for, rounded up; `most` when there is none. */
static int quota(int most)
{
    char text[64];
    long long us, period;
    small_file("/sys/fs/cgroup/cpu.max", text, sizeof text);
    if (sscanf(text, "%lld %lld", &us, &period) != 2 || us <= 0 || period <= 0) return most;
    const long long n = us / period + (us % period != 0);
    return n < most ? (int)n : most;
}

/* Is `cpu` the first of the processors in `set` that share its core? A sibling list reads "0-1" or "0,32". */
static bool first_of_core(const cpu_set_t *set, int cpu)
{
    char path[96], text[256];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    small_file(path, text, sizeof text);
    for (const char *p = text; *p;) {
        int a, b, used = 0;
        if (sscanf(p, "%d-%d%n", &a, &b, &used) != 2) {
            if (sscanf(p, "%d%n", &a, &used) != 1) break;
            b = a;
        }
        for (int i = a < 0 ? 0 : a; i <= b && i < cpu; i++)
            if (i < CPU_SETSIZE && CPU_ISSET((size_t)i, set)) return false;
        p += used;
        if (*p == ',') p++;
    }
    return true;
}

static int count_cpus(bool cores)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) != 0) {
        const long n = sysconf(_SC_NPROCESSORS_ONLN);
        return quota(n < 1 ? 1 : (int)n);
    }
    int n = 0;
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET((size_t)i, &set) && (!cores || first_of_core(&set, i))) n++;
    return quota(n < 1 ? 1 : n);
}
#else
static int count_cpus(bool cores)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (int)n;
}
#endif

int mm__os_cores(void)
{
    return count_cpus(true);
}
int mm__os_cpus(void)
{
    return count_cpus(false);
}

int64_t mm__os_process(void)
{
    return (int64_t)getpid();
}

uint64_t mm__os_random(void)
{
    struct timespec t;
    uint64_t v = 0;
#ifdef __linux__
    if (getrandom(&v, sizeof v, GRND_NONBLOCK) == (ssize_t)sizeof v) return v;
#endif
    clock_gettime(CLOCK_REALTIME, &t);
    v = (uint64_t)t.tv_nsec << 32 ^ (uint64_t)t.tv_sec ^ (uint64_t)getpid() << 20;
    return v * 0x9E3779B97F4A7C15u ^ (uint64_t)(uintptr_t)&v;
}

bool mm__mutex_init(mm__mutex *m)
{
    return pthread_mutex_init(mutex_of(m), NULL) == 0;
}
void mm__mutex_destroy(mm__mutex *m)
{
    pthread_mutex_destroy(mutex_of(m));
}
void mm__mutex_lock(mm__mutex *m)
{
    pthread_mutex_lock(mutex_of(m));
}
void mm__mutex_unlock(mm__mutex *m)
{
    pthread_mutex_unlock(mutex_of(m));
}
bool mm__cond_init(mm__cond *c)
{
    pthread_condattr_t attr;
    if (pthread_condattr_init(&attr) != 0) return false;
    const bool ok = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0 && pthread_cond_init(cond_of(c), &attr) == 0;
    pthread_condattr_destroy(&attr);
    return ok;
}
void mm__cond_destroy(mm__cond *c)
{
    pthread_cond_destroy(cond_of(c));
}
void mm__cond_wait(mm__cond *c, mm__mutex *m)
{
    pthread_cond_wait(cond_of(c), mutex_of(m));
}
void mm__cond_wait_for(mm__cond *c, mm__mutex *m, double seconds)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)seconds;
    t.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (t.tv_nsec >= 1000000000L) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000L;
    }
    pthread_cond_timedwait(cond_of(c), mutex_of(m), &t);
}
void mm__cond_broadcast(mm__cond *c)
{
    pthread_cond_broadcast(cond_of(c));
}

static void *thread_main(void *p)
{
    thread *t = p;
    t->fn(t->arg);
    return NULL;
}

bool mm__thread_start(mm__thread *t, void (*fn)(void *), void *arg)
{
    thread *own = (thread *)(void *)t->opaque;
    sigset_t all, before;
    own->fn = fn;
    own->arg = arg;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool ok = pthread_create(&own->id, NULL, thread_main, own) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

void mm__thread_join(mm__thread *t)
{
    pthread_join(((thread *)(void *)t->opaque)->id, NULL);
}

void mm__os_large_pages(void *p, size_t bytes)
{
#if defined(MADV_HUGEPAGE)
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = ((uintptr_t)p + page - 1) & ~(page - 1), to = ((uintptr_t)p + bytes) & ~(page - 1);
    if (from < to) (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
    (void)p;
    (void)bytes;
#endif
}

void mm__os_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* The locale "C" has no block of its own, so this takes no memory. NULL: the host's stays. */
void *mm__os_point_begin(void)
{
    const locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return c ? (void *)uselocale(c) : NULL;
}

void mm__os_point_end(void *before)
{
    if (before) freelocale(uselocale((locale_t)before));
}

int mm__os_open(const char *path)
{
    int fd;
    do fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int open_new(const char *path, int how, mode_t mode)
{
    int fd;
    do fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOCTTY | how, mode);
    while (fd < 0 && errno == EINTR);
    return fd;
}

int mm__os_create(const char *path)
{
    return open_new(path, O_TRUNC, 0666);
}

int mm__os_create_like(const char *path, const char *other)
{
    struct stat st;
    const bool known = stat(other, &st) == 0 && S_ISREG(st.st_mode);
    const int fd = open_new(path, O_EXCL, known ? 0600 : 0666);
    if (fd >= 0 && known && fchmod(fd, st.st_mode & 0777) != 0) { /* readable to more than before is no choice of ours */
        const int error = errno;
        close(fd);
        unlink(path);
        errno = error;
        return -1;
    }
    return fd;
}

bool mm__os_write(int fd, const void *p, size_t n)
{
    const char *from = p;
    while (n > 0) {
        const ssize_t put = write(fd, from, n < (size_t)1 << 30 ? n : (size_t)1 << 30);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        from += put;
        n -= (size_t)put;
    }
    return true;
}

bool mm__os_close(int fd)
{
    return fd < 0 || close(fd) == 0;
}

bool mm__os_sync(int fd)
{
    return fsync(fd) == 0;
}

/* The directory is synchronised too, for the new name to outlive a power failure; where that is not possible the rename
 * stands all the same. */
bool mm__os_rename(const char *from, const char *to)
{
    char dir[4096];
    const char *slash = strrchr(to, '/');
    const size_t n = slash ? (size_t)(slash - to) + 1 : 1;
    if (rename(from, to) != 0) return false;
    if (n >= sizeof dir) return true;
    memcpy(dir, slash ? to : ".", n);
    dir[n] = 0;
    const int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    return true;
}

void mm__os_remove(const char *path)
{
    unlink(path);
}

int64_t mm__os_size(int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return -1;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : ESPIPE;
        return -1;
    }
    return (int64_t)st.st_size;
}

int64_t mm__os_pread(int fd, void *dst, size_t n, uint64_t offset)
{
    if (offset > INT64_MAX || n > INT64_MAX - offset) {
        errno = EINVAL;
        return -1;
    }
    size_t done = 0;
    while (done < n) {
        const size_t most = (size_t)1 << 30, piece = n - done < most ? n - done : most;
        const ssize_t got = pread(fd, (char *)dst + done, piece, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (int64_t)done;
}

int mm__os_is_dir(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) return errno == ENOENT || errno == ENOTDIR ? -1 : 0;
    return S_ISDIR(st.st_mode) ? 1 : 0;
}

bool mm__os_list(const char *dir, void (*each)(void *arg, const char *name), void *arg)
{
    DIR *d = opendir(dir);
    if (!d) return false;
    struct dirent *e;
    while (errno = 0, (e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) each(arg, e->d_name);
    const int error = errno;
    closedir(d);
    errno = error;
    return error == 0;
}

void *mm__os_library(const char *name) { return dlopen(name, RTLD_NOW | RTLD_LOCAL); }
void *mm__os_symbol(void *library, const char *name) { return dlsym(library, name); }

/* The list of loaded libraries, the newest last. */
typedef struct place_in_list {
    size_t wanted, at;
    char *path;                /* gets the wanted one's; NULL: all are counted */
    size_t cap;
} place_in_list;

static int visit(struct dl_phdr_info *info, size_t size, void *arg)
{
    place_in_list *p = arg;
    const bool found = p->path && p->at == p->wanted;
    if (found) snprintf(p->path, p->cap, "%s", info->dlpi_name ? info->dlpi_name : "");
    p->at++;
    return found;
}

size_t mm__os_libraries(void)
{
    place_in_list all = {0};
    dl_iterate_phdr(visit, &all);
    return all.at;
}

void mm__os_libraries_keep(size_t before)
{
    char path[4096];
    for (place_in_list p = {before, 0, path, sizeof path}; dl_iterate_phdr(visit, &p); p = (place_in_list){p.wanted + 1, 0, path, sizeof path}) {
        void *library = *path ? dlopen(path, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE) : NULL;
        if (library) dlclose(library);
    }
}

void mm__os_library_close(void *library)
{
    if (library) dlclose(library);
}
