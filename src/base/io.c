/* Exact reads by absolute position, from a file of the system or the host, or from borrowed bytes.
 *
 * The size is taken once, at open. A read has to lie inside it, checked without overflow; when the file has shrunk since,
 * the short read is an error too. There is no shared position and no buffer, so any number of threads may read one
 * handle. Two kinds of trouble are told apart: a range beyond the end means that the content lies about itself
 * (MM_E_FORMAT), a failing system call means that the medium does (MM_E_IO). */
#include "io.h"
#include "ckd.h"
#include "error.h"
#include "host.h"
#include "os/os.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MAX_LISTED 1000000u /* names taken from one directory of the host */

struct mm__io {
    mm__mem *mem;
    const unsigned char *bytes; /* not NULL: read from here */
    mm_files host;              /* open not NULL: read from `file` of the host */
    void *file;
    int fd;                     /* else */
    bool shut;
    uint64_t size;
    char *name;
};

/* What a function of the host's files returned, as an error of ours. */
static mm_status host_failed(mm_error *err, mm_status status, const char *path, const char *what)
{
    const mm_status code = status == MM_E_CANCELLED ? MM_E_CANCELLED : MM_E_IO;
    return mm__fail_code(err, code, status, "%s: the host's files %s %s it (status %d)", path,
                         code == MM_E_IO ? "failed to" : "stopped to", what, (int)status);
}

/* A handle without source. NULL when memory is short. */
static mm__io *make(mm__mem *mem, const char *name)
{
    mm__io *io = mm__zalloc(mem, sizeof *io);
    if (!io) return NULL;
    io->mem = mem;
    io->fd = -1;
    io->name = mm__strdup(mem, name);
    if (io->name) return io;
    mm__io_close(io);
    return NULL;
}

static mm_status open_host(mm__io *io, const mm_files *host, mm_error *err)
{
    mm__host_enter();
    const mm_status st = host->open(host->user, io->name, &io->file, &io->size);
    mm__host_leave();
    if (st != MM_OK) return host_failed(err, st, io->name, "open");
    io->host = *host;
    return MM_OK;
}

static mm_status open_system(mm__io *io, mm_error *err)
{
    int64_t size;
    io->fd = mm__os_open(io->name);
    if (io->fd < 0) return mm__fail_os(err, MM_E_IO, errno, "%s: cannot be opened; check the path and its permissions", io->name);
    if ((size = mm__os_size(io->fd)) < 0)
        return mm__fail(err, MM_E_IO, "%s: is not a regular file; give the path of a file", io->name);
    io->size = (uint64_t)size;
    return MM_OK;
}

mm_status mm__io_open_path(const mm__files *files, const char *path, mm__io **out, mm_error *err)
{
    *out = NULL;
    if (files->name) {
        if (strcmp(path, files->name) == 0) return mm__io_open_memory(files->mem, files->bytes, files->n, path, out, err);
        return mm__fail(err, MM_E_IO, "%s: is not in memory; only %s is", path, files->name);
    }
    if (!path[0]) return mm__fail(err, MM_E_IO, "an empty text is no path; give the path of a file");
    mm__io *io = make(files->mem, path);
    if (!io) return mm__nomem(err, "a file handle");
    const mm_status st = files->host.open ? open_host(io, &files->host, err) : open_system(io, err);
    if (st != MM_OK) mm__io_close(io);
    else *out = io;
    return st;
}

mm_status mm__io_open_memory(mm__mem *mem, const void *bytes, size_t len, const char *name, mm__io **out, mm_error *err)
{
    *out = NULL;
    mm__io *io = make(mem, name ? name : "memory");
    if (!io) return mm__nomem(err, "a memory handle");
    io->bytes = len ? bytes : (const void *)"";
    io->size = len;
    *out = io;
    return MM_OK;
}

void mm__io_shut(mm__io *io)
{
    if (!io || io->shut) return;
    io->shut = true;
    mm__os_close(io->fd);
    if (!io->host.open) return;
    mm__host_enter();
    io->host.close(io->host.user, io->file);
    mm__host_leave();
}

void mm__io_close(mm__io *io)
{
    if (!io) return;
    mm__io_shut(io);
    mm__free(io->mem, io->name);
    mm__free(io->mem, io);
}

uint64_t mm__io_size(const mm__io *io)
{
    return io->size;
}
const char *mm__io_name(const mm__io *io)
{
    return io->name;
}

mm_status mm__io_read(mm__io *io, uint64_t offset, void *dst, size_t n, mm_error *err)
{
    uint64_t end;
    if (!mm__ckd_add64(offset, n, &end) || end > io->size)
        return mm__fail(err, MM_E_FORMAT,
                        "%s: %zu bytes at offset %" PRIu64 " are needed but the file ends at %" PRIu64
                        "; it is damaged or was not copied completely",
                        io->name, n, offset, io->size);
    if (io->shut) return mm__fail(err, MM_E_INTERNAL, "%s: is read after it was closed", io->name);
    if (n == 0) return MM_OK;
    if (io->bytes) {
        memcpy(dst, io->bytes + offset, n);
        return MM_OK;
    }
    if (io->host.open) {
        mm__host_enter();
        const mm_status st = io->host.read(io->host.user, io->file, offset, dst, n);
        mm__host_leave();
        return st == MM_OK ? MM_OK : host_failed(err, st, io->name, "read");
    }
    const int64_t got = mm__os_pread(io->fd, dst, n, offset);
    if (got < 0)
        return mm__fail_os(err, MM_E_IO, errno, "%s: reading %zu bytes at offset %" PRIu64 " failed", io->name, n, offset);
    if ((uint64_t)got != n)
        return mm__fail(err, MM_E_IO, "%s: became shorter while being read (%" PRId64 " of %zu bytes at offset %" PRIu64 ")",
                        io->name, got, n, offset);
    return MM_OK;
}

mm_status mm__io_read_all(mm__mem *mem, mm__io *io, mm__limit_id limit, char **out, size_t *len, mm_error *err)
{
    *out = NULL;
    if (len) *len = 0;
    mm_status st = mm__limit_check(mem, limit, io->size, io->name, err);
    if (st != MM_OK) return st;
    const size_t n = (size_t)io->size;
    char *data = mm__alloc(mem, n + 1);
    if (!data) return mm__nomem(err, io->name);
    st = mm__io_read(io, 0, data, n, err);
    if (st != MM_OK) {
        mm__free(mem, data);
        return st;
    }
    data[n] = 0;
    *out = data;
    if (len) *len = n;
    return MM_OK;
}

mm_status mm__read_file(const mm__files *files, const char *path, mm__limit_id limit, char **out, size_t *len, mm_error *err)
{
    mm__io *io;
    *out = NULL;
    if (len) *len = 0;
    mm_status st = mm__io_open_path(files, path, &io, err);
    if (st != MM_OK) return st;
    st = mm__io_read_all(files->mem, io, limit, out, len, err);
    mm__io_close(io);
    return st;
}

int mm__path_kind(const mm__files *files, const char *path)
{
    if (files->name) return strcmp(path, files->name) == 0 ? MM__PATH_FILE : MM__PATH_NONE;
    if (files->host.open) {
        mm__host_enter();
        const int32_t kind = files->host.kind(files->host.user, path);
        mm__host_leave();
        if (kind < 0) return MM__PATH_FILE; /* what cannot be looked at is there: opening it tells why */
        return kind == MM_FILE_REGULAR || kind == MM_FILE_DIRECTORY ? kind : MM__PATH_NONE;
    }
    const int dir = mm__os_is_dir(path);
    return dir < 0 ? MM__PATH_NONE : dir ? MM__PATH_DIR : MM__PATH_FILE;
}

char *mm__path_join(mm__mem *mem, const char *dir, const char *name)
{
    const size_t a = strlen(dir), b = strlen(name);
    const size_t slash = a && dir[a - 1] != '/' ? 1 : 0;
    size_t bytes;
    if (!mm__ckd_add(a, b, &bytes) || !mm__ckd_add(bytes, slash + 1, &bytes)) return NULL;
    char *path = mm__alloc(mem, bytes);
    if (!path) return NULL;
    memcpy(path, dir, a);
    if (slash) path[a] = '/';
    memcpy(path + a + slash, name, b + 1);
    return path;
}

char *mm__path_dir(mm__mem *mem, const char *path)
{
    const char *base = mm__path_base(path);
    size_t n = (size_t)(base - path);
    if (n == 0) return mm__strdup(mem, ".");
    while (n > 1 && path[n - 1] == '/') n--;
    return mm__strndup(mem, path, n);
}

const char *mm__path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool mm__path_safe_name(const char *name)
{
    if (!name || !name[0] || name[0] == '.') return false;
    size_t n = 0;
    for (; name[n]; n++) {
        const char c = name[n];
        const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (n >= 255 || !(word || c == '.' || c == '_' || c == '-')) return false;
    }
    return true;
}

typedef struct finder {
    mm__mem *mem;
    const char *prefix, *suffix;
    char *best;
    bool failed;
} finder;

static void consider(void *arg, const char *name)
{
    finder *f = arg;
    const size_t n = strlen(name), a = strlen(f->prefix), b = strlen(f->suffix);
    if (f->failed || n < a || n - a < b) return;
    if (memcmp(name, f->prefix, a) != 0 || memcmp(name + n - b, f->suffix, b) != 0) return;
    if (f->best && strcmp(name, f->best) >= 0) return;
    char *copy = mm__strdup(f->mem, name);
    f->failed = !copy;
    mm__free(f->mem, f->best);
    f->best = copy;
}

static mm_status list_host(const mm__files *files, const char *dir, finder *f, mm_error *err)
{
    const mm_files *host = &files->host;
    char name[256];
    for (uint32_t i = 0; host->list && i < MAX_LISTED && !f->failed; i++) {
        name[0] = 0;
        mm__host_enter();
        const mm_status st = host->list(host->user, dir, i, name, sizeof name);
        mm__host_leave();
        if (st == MM_END) break;
        if (st != MM_OK) return host_failed(err, st, dir, "list");
        name[sizeof name - 1] = 0;
        consider(f, name);
    }
    return MM_OK;
}

/* A directory that is not there, or that this process may not list, has no names. */
static mm_status list_system(const char *dir, finder *f, mm_error *err)
{
    const bool whole = mm__os_list(dir, consider, f);
    const int error = errno;
    if (f->failed || whole || error == ENOENT || error == ENOTDIR || error == EACCES) return MM_OK;
    return mm__fail_os(err, MM_E_IO, error, "%s: the files in it cannot be listed", dir);
}

mm_status mm__path_find(const mm__files *files, const char *dir, const char *prefix, const char *suffix, char **out, mm_error *err)
{
    finder f = {files->mem, prefix ? prefix : "", suffix ? suffix : "", NULL, false};
    mm_status st = MM_OK;
    *out = NULL;
    if (files->host.open) st = list_host(files, dir, &f, err);
    else if (!files->name) st = list_system(dir, &f, err);
    if (st == MM_OK && f.failed) st = mm__nomem(err, "a file name");
    if (st == MM_OK) *out = f.best;
    else mm__free(files->mem, f.best);
    return st;
}
