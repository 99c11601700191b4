/* A snapshot. The first byte says what follows: 0, the file as it is; else two bytes, how long the timeline's record is, and then
 * record and state unpacked: they get the header of a true snapshot and are compressed, so that changes reach the reader of
 * records. What opens is saved, fed and answers. */
#include "folder.h"

#include <zstd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

#define HEADER 96 /* magic, version, precision, sizes of record and state (at 16 and 24), fingerprint */
#define MOST ((size_t)1 << 20)

static unsigned char file[MOST + 65536 + HEADER];
static size_t file_n;

static int32_t keep(void *user, const void *bytes, size_t n)
{
    if (n > sizeof file - file_n) return 1;
    memcpy(file + file_n, bytes, n);
    file_n += n;
    return 0;
}

static mm_engine *engine;
static mm_model *model;
static facts can;

static void set_up(void)
{
    mm_error err = {.size = sizeof err};
    mm_session *s = NULL;
    engine = folder_engine((uint64_t)256 << 20);
    mm_status st = mm_model_load(engine, GOLDEN "/llama", NULL, &model, &err);
    if (st == MM_OK) can = facts_of(model);
    if (st == MM_OK) st = open_session(model, &can, 2, &s, &err);
    if (st == MM_OK) st = mm_session_save(s, keep, NULL, &err);
    folder_expect(st == MM_OK && file_n > HEADER, "no snapshot", st, &err);
    mm_session_release(s);
}

/* Fills `file`. */
static void pack(const uint8_t *bytes, size_t n)
{
    const uint64_t record = n < 2 ? 0 : (uint64_t)(bytes[0] | bytes[1] << 8), body = n < 2 ? 0 : n - 2, state = body > record ? body - record : 0;
    memcpy(file + 16, &record, 8);
    memcpy(file + 24, &state, 8);
    const size_t packed = ZSTD_compress(file + HEADER, sizeof file - HEADER, bytes + (n < 2 ? 0 : 2), body, 1);
    file_n = HEADER + (ZSTD_isError(packed) ? 0 : packed);
}

static void use(mm_session *s)
{
    mm_error err = {.size = sizeof err};
    uint64_t hash;
    mm_session *copy = NULL;
    mm_status st = mm_session_fork(s, &copy, &err);
    folder_status(st, &err);
    mm_session_release(copy);
    st = take_events(s, &hash, &err); /* an answer that was due */
    folder_status(st, &err);
    st = answer(engine, &can, s, &hash, &err);
    folder_status(st, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    if (!engine) set_up();
    if (!n || n > MOST) return 0;
    const long before = atomic_load(&mem_live);
    mm_error err = {.size = sizeof err};
    mm_session *s = NULL;
    if (bytes[0]) pack(bytes + 1, n - 1);
    const mm_status st = bytes[0] ? mm_session_load(model, file, file_n, &s, &err) : mm_session_load(model, bytes + 1, n - 1, &s, &err);
    folder_status(st, &err);
    if (s) use(s);
    mm_session_release(s);
    folder_expect(atomic_load(&mem_live) == before, "memory is left", st, &err);
    return 0;
}
