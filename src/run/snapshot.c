/* Sessions copied, saved and loaded.
 *
 * A snapshot is a header and one zstd frame, whose checksum finds damage:
 *
 *   8 bytes "libmmses", u32 version, u32 precision (0 fast, 1 exact), u64 bytes of the record, u64 bytes of the state,
 *   64 bytes fingerprint of the model; then compressed: the record (record.h), the state (mm__lm_save)
 *
 * What it says is believed only as far as it is checked: the sizes before anything is allocated for them, the record as any
 * foreign file, the state by its size, for any bytes are numbers. */
#include "record.h"

#include "../base/error.h"

#include <inttypes.h>
#include <string.h>
#include <zstd.h>

#define VERSION 1
#define FREE_RECORD ((uint64_t)64 << 20) /* what a record may take whatever its compressed size; beyond it ... */
#define MAX_RATIO 1024                  /* ... it may be so many times as large: photographs, not bombs */
#define LEVEL 1            /* states hardly shrink; speed matters more */
#define WINDOW_LOG_MAX 27  /* memory a foreign frame may ask for: 128 MiB */

typedef struct header {
    char magic[8];
    uint32_t version, exact;
    uint64_t record_bytes, state_bytes;
    char fingerprint[64];
} header;

static const char magic[8] = {'l', 'i', 'b', 'm', 'm', 's', 'e', 's'};

size_t mm__session_held(const mm__session *s)
{
    return s->lm && mm__lm_keeps(s->lm, s->line.n_held) ? s->line.n_held : 0;
}

static int32_t held(const mm__session *s)
{
    return (int32_t)mm__session_held(s);
}

/* ---- fork ---- */

mm_status mm__session_fork(const mm__session *s, mm__session **out, mm_error *err)
{
    mm__buf record;
    mm__session *copy = NULL;
    *out = NULL;
    mm__buf_init(&record, s->mem);
    mm_status st = mm__record_write(s, &record, err);
    if (st == MM_OK) st = mm__record_read(s->mem, &s->log, s->a, record.data, record.len, &copy, err);
    if (st == MM_OK && held(s)) st = mm__lm_copy(copy->lm, s->lm, held(s), err);
    mm__buf_free(&record);
    if (st == MM_OK) *out = copy;
    else mm__session_destroy(copy);
    return st;
}

/* ---- save ---- */

typedef struct saver {
    ZSTD_CCtx *z;
    unsigned char *room;
    size_t cap;
    mm__writer write;
    void *user;
} saver;

static mm_status compress(saver *v, const void *bytes, size_t n, ZSTD_EndDirective end, mm_error *err)
{
    ZSTD_inBuffer in = {bytes, n, 0};
    size_t left;
    do {
        ZSTD_outBuffer out = {v->room, v->cap, 0};
        left = ZSTD_compressStream2(v->z, &out, &in, end);
        if (ZSTD_isError(left)) return mm__fail(err, MM_E_NOMEM, "the snapshot cannot be compressed: %s", ZSTD_getErrorName(left));
        const mm_status st = out.pos ? v->write(v->user, v->room, out.pos, err) : MM_OK;
        if (st != MM_OK) return st;
    } while (end == ZSTD_e_end ? left != 0 : in.pos < in.size);
    return MM_OK;
}

static mm_status take_state(void *user, void *bytes, size_t n, mm_error *err)
{
    return compress(user, bytes, n, ZSTD_e_continue, err);
}

static mm_status save(saver *v, const mm__session *s, const mm__buf *record, mm_error *err)
{
    header h = {.version = VERSION, .exact = s->a->backend->exact, .record_bytes = record->len};
    memcpy(h.magic, magic, sizeof magic);
    memcpy(h.fingerprint, s->a->fingerprint, sizeof h.fingerprint);
    if (held(s)) h.state_bytes = mm__lm_state_bytes(s->lm, held(s));
    ZSTD_CCtx_setParameter(v->z, ZSTD_c_compressionLevel, LEVEL);
    ZSTD_CCtx_setParameter(v->z, ZSTD_c_checksumFlag, 1);
    mm_status st = v->write(v->user, &h, sizeof h, err);
    if (st == MM_OK) st = compress(v, record->data, record->len, ZSTD_e_continue, err);
    if (st == MM_OK && held(s)) st = mm__lm_save(s->lm, held(s), take_state, v, err);
    return st == MM_OK ? compress(v, NULL, 0, ZSTD_e_end, err) : st;
}

mm_status mm__session_save(const mm__session *s, mm__writer write, void *user, mm_error *err)
{
    saver v = {.write = write, .user = user, .cap = ZSTD_CStreamOutSize()};
    mm__buf record;
    mm__buf_init(&record, s->mem);
    mm_status st = mm__record_write(s, &record, err);
    if (st == MM_OK) {
        v.z = ZSTD_createCCtx();
        v.room = mm__alloc(s->mem, v.cap);
        st = v.z && v.room ? save(&v, s, &record, err) : mm__nomem(err, "a snapshot");
    }
    ZSTD_freeCCtx(v.z);
    mm__free(s->mem, v.room);
    mm__buf_free(&record);
    return st;
}

/* ---- load ---- */

typedef struct loader {
    mm__mem *mem;
    uint64_t booked;          /* of what zstd takes from libc */
    ZSTD_DCtx *z;
    ZSTD_inBuffer in;
    size_t left;              /* of the frame; 0: at its end */
} loader;

/* One turn of the decompressor. */
static mm_status turn(loader *l, ZSTD_outBuffer *out, mm_error *err)
{
    l->left = ZSTD_decompressStream(l->z, out, &l->in);
    const uint64_t has = ZSTD_sizeof_DCtx(l->z); /* grows once, by the window that the frame asks for */
    if (has > l->booked) {
        if (!mm__mem_charge(l->mem, has - l->booked)) return mm__nomem(err, "a snapshot");
        l->booked = has;
    }
    if (!ZSTD_isError(l->left)) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "snapshot: it is damaged (%s); save the session again", ZSTD_getErrorName(l->left));
}

/* Exactly n bytes. */
static mm_status expand(loader *l, void *dst, size_t n, mm_error *err)
{
    ZSTD_outBuffer out = {dst, n, 0};
    while (out.pos < out.size) {
        const size_t before_in = l->in.pos, before_out = out.pos;
        const mm_status st = turn(l, &out, err);
        if (st != MM_OK) return st;
        if (out.pos == out.size) break;
        if (l->left == 0 || (l->in.pos == before_in && out.pos == before_out))
            return mm__fail(err, MM_E_FORMAT, "snapshot: it ends too early; it is damaged or was not copied completely");
    }
    return MM_OK;
}

static mm_status fill_state(void *user, void *bytes, size_t n, mm_error *err)
{
    return expand(user, bytes, n, err);
}

/* The frame ends here, with a checksum that holds, and so do the bytes. */
static mm_status expect_end(loader *l, mm_error *err)
{
    char more;
    ZSTD_outBuffer out = {&more, 1, 0};
    while (l->left != 0 && l->in.pos < l->in.size && out.pos == 0) {
        const mm_status st = turn(l, &out, err);
        if (st != MM_OK) return st;
    }
    if (l->left == 0 && out.pos == 0 && l->in.pos == l->in.size) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "snapshot: it does not end where it should; it is damaged");
}

static mm_status check_header(const mm__assembly *a, const header *h, size_t len, mm_error *err)
{
    if (memcmp(h->magic, magic, sizeof magic) != 0) return mm__fail(err, MM_E_FORMAT, "snapshot: these bytes are no saved session");
    if (h->version != VERSION)
        return mm__fail(err, MM_E_UNSUPPORTED, "snapshot: it has format %u, this library reads %d", h->version, VERSION);
    if (memcmp(h->fingerprint, a->fingerprint, sizeof h->fingerprint) != 0)
        return mm__fail(err, MM_E_UNSUPPORTED, "snapshot: it was saved on another model; load it on the one it came from");
    if (h->exact != a->backend->exact)
        return mm__fail(err, MM_E_UNSUPPORTED, "snapshot: it was saved in precision %s; open an engine with that", h->exact ? "\"exact\"" : "\"fast\"");
    const mm_status st = mm__limit_check(a->mem, MM__LIMIT_SNAPSHOT_TIMELINE, h->record_bytes, "snapshot", err);
    if (st != MM_OK) return st;
    if (h->record_bytes > FREE_RECORD + MAX_RATIO * (uint64_t)len)
        return mm__fail(err, MM_E_LIMIT, "snapshot: %zu bytes that claim to hold %" PRIu64 " are refused", len, h->record_bytes);
    return MM_OK;
}

/* Grows with what arrives, not with what the header says. */
static mm_status expand_record(loader *l, uint64_t n, mm__buf *out, mm_error *err)
{
    char piece[1 << 16];
    mm_status st = MM_OK;
    while (st == MM_OK && out->len < n) {
        const size_t some = n - out->len < sizeof piece ? (size_t)(n - out->len) : sizeof piece;
        st = expand(l, piece, some, err);
        if (st == MM_OK) mm__buf_put(out, piece, some);
        if (out->failed) st = mm__nomem(err, "a snapshot");
    }
    return st;
}

static mm_status load(loader *l, const mm__log *log, mm__assembly *a, const header *h, mm__session **out, mm_error *err)
{
    mm__session *s = NULL;
    mm__buf record;
    mm__buf_init(&record, l->mem);
    mm_status st = expand_record(l, h->record_bytes, &record, err);
    if (st == MM_OK) st = mm__record_read(l->mem, log, a, record.data, record.len, &s, err);
    mm__buf_free(&record);
    const int32_t n = st == MM_OK ? (int32_t)s->line.n_held : 0;
    if (st == MM_OK && h->state_bytes != (n ? mm__lm_state_bytes(s->lm, n) : 0))
        st = mm__fail(err, MM_E_FORMAT, "snapshot: its state does not have the size of its positions; it is damaged");
    if (st == MM_OK && n) st = mm__lm_restore(s->lm, n, fill_state, l, err);
    if (st == MM_OK) st = expect_end(l, err);
    if (st == MM_OK) *out = s;
    else mm__session_destroy(s);
    return st;
}

mm_status mm__session_load(mm__mem *mem, const mm__log *log, mm__assembly *a, const void *bytes, size_t len, mm__session **out,
                           mm_error *err)
{
    header h;
    *out = NULL;
    if (len < sizeof h) return mm__fail(err, MM_E_FORMAT, "snapshot: %zu bytes are no saved session", len);
    memcpy(&h, bytes, sizeof h);
    mm_status st = check_header(a, &h, len, err);
    if (st != MM_OK) return st;
    loader l = {.mem = mem, .z = ZSTD_createDCtx(), .in = {(const char *)bytes + sizeof h, len - sizeof h, 0}, .left = 1};
    if (!l.z) return mm__nomem(err, "a snapshot");
    ZSTD_DCtx_setParameter(l.z, ZSTD_d_windowLogMax, WINDOW_LOG_MAX);
    st = load(&l, log, a, &h, out, err);
    ZSTD_freeDCtx(l.z);
    mm__mem_discharge(mem, l.booked);
    return st;
}
