/* The part file lies in the same folder under a name of its own for each writer, so two that save to one path do not mix; the
 * later one wins. It gets the permissions of the file that it replaces. Where the path is a symbolic link the link is replaced. */
#include "newfile.h"

#include "buf.h"
#include "error.h"
#include "io.h"
#include "os/os.h"

#include <errno.h>
#include <inttypes.h>

mm_status mm__newfile_open(mm__mem *mem, const char *path, mm__newfile *out, mm_error *err)
{
    mm__buf part;
    mm__buf_init(&part, mem);
    mm__buf_put(&part, path, (size_t)(mm__path_base(path) - path));
    mm__buf_printf(&part, ".libmm-%016" PRIx64 ".part", mm__os_random());
    *out = (mm__newfile){.mem = mem, .path = mm__strdup(mem, path), .part = mm__buf_take(&part, NULL), .fd = -1};
    mm__buf_free(&part);
    mm_status st = out->path && out->part ? MM_OK : mm__nomem(err, "a path");
    if (st == MM_OK && (out->fd = mm__os_create_like(out->part, path)) < 0)
        st = mm__fail_os(err, MM_E_IO, errno, "%s: cannot be written; check the folder and its permissions", path);
    if (st == MM_OK) return MM_OK;
    mm__free(mem, out->path);
    mm__free(mem, out->part);
    return st;
}

mm_status mm__newfile_write(mm__newfile *out, const void *bytes, size_t n, mm_error *err)
{
    if (mm__os_write(out->fd, bytes, n)) return MM_OK;
    return mm__fail_os(err, MM_E_IO, errno, "%s: writing failed", out->path);
}

mm_status mm__newfile_close(mm__newfile *out, mm_status st, mm_error *err)
{
    if (st == MM_OK && !mm__os_sync(out->fd)) st = mm__fail_os(err, MM_E_IO, errno, "%s: writing failed", out->path);
    if (!mm__os_close(out->fd) && st == MM_OK) st = mm__fail_os(err, MM_E_IO, errno, "%s: writing failed", out->path);
    if (st == MM_OK && !mm__os_rename(out->part, out->path))
        st = mm__fail_os(err, MM_E_IO, errno, "%s: cannot be replaced", out->path);
    if (st != MM_OK) mm__os_remove(out->part);
    mm__free(out->mem, out->path);
    mm__free(out->mem, out->part);
    return st;
}
