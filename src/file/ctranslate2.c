/* CTranslate2's model.bin, binary version 6, little-endian:
 *
 *   u32 version; str spec name; u32 spec revision; u32 n_variables
 *   n_variables x { str name; u8 rank; u32 dims[rank]; u8 dtype; u32 bytes; data[bytes] }, unaligned
 *   u32 n_aliases; n_aliases x { str alias; str target }
 *   end of file
 *
 * str = u16 length that counts a closing NUL, bytes, NUL. Dims are row-major. A variable of rank 0 is a scalar. The
 * parser must end exactly at the end of the file. Layout: CTranslate2's model writer (model_spec.py) and files in use. */
#include "legacy_speech.h"
#include "reader.h"
#include "../base/error.h"
#include <inttypes.h>
#include <string.h>

enum { VERSION = 6, MAX_NAME = 255, MIN_VARIABLE_BYTES = 2 + 2 + 1 + 1 + 4, MIN_ALIAS_BYTES = 2 * (2 + 2) };

static const mm__dtype dtypes[] = {MM__F32, MM__I8, MM__I16, MM__I32, MM__F16, MM__BF16};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

static mm_status read_name(mm__reader *r, char name[MAX_NAME + 1], mm_error *err)
{
    uint16_t n = 0;
    const uint64_t at = r->at;
    mm_status st = mm__reader_u16(r, &n, err);
    if (st) return st;
    if (n < 2 || n > MAX_NAME + 1) return mm__fail(err, MM_E_FORMAT, "%s: the name at byte %" PRIu64 " has an impossible length", mm__io_name(r->io), at);
    st = mm__reader_bytes(r, name, n, err);
    if (!st && strnlen(name, n) + 1 != n) st = mm__fail(err, MM_E_FORMAT, "%s: the name at byte %" PRIu64 " is not closed by a NUL", mm__io_name(r->io), at);
    return st;
}

static mm_status read_variable(mm__reader *r, mm__weights *w, mm_error *err)
{
    char name[MAX_NAME + 1];
    uint8_t rank = 0, type = 0;
    uint32_t bytes = 0;
    mm__shape shape = {0};
    mm_status st = read_name(r, name, err);
    if (!st) st = mm__reader_u8(r, &rank, err);
    if (!st && rank > MM__MAX_DIM) st = mm__fail(err, MM_E_FORMAT, "%s: variable %s has %d axes, more than %d", mm__io_name(r->io), name, rank, MM__MAX_DIM);
    if (st) return st;
    shape.n = rank;
    for (int i = 0; i < rank && !st; i++) {
        uint32_t d;
        st = mm__reader_u32(r, &d, err);
        shape.d[i] = d;
    }
    if (!st) st = mm__reader_u8(r, &type, err);
    if (!st) st = mm__reader_u32(r, &bytes, err);
    if (!st && type >= N_DTYPES) st = mm__fail(err, MM_E_UNSUPPORTED, "%s: variable %s has unknown dtype %d", mm__io_name(r->io), name, type);
    if (!st) st = mm__weights_add(w, name, strlen(name), dtypes[type], shape, r->io, r->at, bytes, err);
    return st ? st : mm__reader_skip(r, bytes, err);
}

static mm_status read_variables(mm__reader *r, mm__weights *w, mm_error *err)
{
    uint32_t n = 0;
    mm_status st = mm__reader_u32(r, &n, err);
    if (!st && n > mm__reader_left(r) / MIN_VARIABLE_BYTES)
        st = mm__fail(err, MM_E_FORMAT, "%s: claims %" PRIu32 " variables, more than the file holds", mm__io_name(r->io), n);
    for (uint32_t i = 0; i < n && !st; i++) st = read_variable(r, w, err);
    return st;
}

static mm_status read_aliases(mm__reader *r, mm__weights *w, mm_error *err)
{
    char alias[MAX_NAME + 1], target[MAX_NAME + 1];
    uint32_t n = 0;
    mm_status st = mm__reader_u32(r, &n, err);
    if (!st && n > mm__reader_left(r) / MIN_ALIAS_BYTES)
        st = mm__fail(err, MM_E_FORMAT, "%s: claims %" PRIu32 " aliases, more than the file holds", mm__io_name(r->io), n);
    for (uint32_t i = 0; i < n && !st; i++) {
        st = read_name(r, alias, err);
        if (!st) st = read_name(r, target, err);
        if (!st) st = mm__weights_alias(w, alias, target, err);
    }
    if (!st && mm__reader_left(r)) st = mm__fail(err, MM_E_FORMAT, "%s: %" PRIu64 " bytes follow the last alias", mm__io_name(r->io), mm__reader_left(r));
    return st;
}

static mm_status read_head(mm__reader *r, char spec[64], mm_error *err)
{
    uint32_t version = 0, revision = 0;
    char name[MAX_NAME + 1];
    mm_status st = mm__reader_u32(r, &version, err);
    if (!st && version != VERSION)
        st = mm__fail(err, MM_E_UNSUPPORTED, "%s: CTranslate2 binary version %" PRIu32 "; version %d is read: convert the model again", mm__io_name(r->io), version, (int)VERSION);
    if (!st) st = read_name(r, name, err);
    if (!st && strlen(name) >= 64) st = mm__fail(err, MM_E_FORMAT, "%s: the spec name is too long", mm__io_name(r->io));
    if (!st) st = mm__reader_u32(r, &revision, err);
    if (!st) memcpy(spec, name, strlen(name) + 1);
    return st;
}

mm_status mm__ct2_open(const mm__files *files, const char *path, mm__weights *w, char spec[64], mm_error *err)
{
    mm__mem *mem = files->mem;
    mm__io *io = NULL;
    mm__reader *r = NULL;
    spec[0] = 0;
    char *file = mm__path_kind(files, path) == MM__PATH_DIR ? mm__path_join(mem, path, "model.bin") : mm__strdup(mem, path);
    mm_status st = file ? mm__io_open_path(files, file, &io, err) : mm__nomem(err, "a path");
    mm__free(mem, file);
    if (!st) st = mm__weights_own_io(w, io, err);
    if (st) return st;
    r = mm__alloc(mem, sizeof *r);
    if (!r) return mm__nomem(err, "a CTranslate2 file");
    mm__reader_init(r, io);
    st = read_head(r, spec, err);
    if (!st) st = read_variables(r, w, err);
    if (!st) st = read_aliases(r, w, err);
    mm__free(mem, r);
    return st;
}
