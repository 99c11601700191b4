/* The forward reader: small requests are served from a buffer refilled by one read, large ones go straight through. */
#include "reader.h"
#include "../base/error.h"
#include <inttypes.h>
#include <string.h>

void mm__reader_init(mm__reader *r, mm__io *io)
{
    r->io = io;
    r->at = 0;
    r->size = mm__io_size(io);
    r->have = r->have_n = 0;
}

static mm_status check_left(const mm__reader *r, uint64_t n, mm_error *err)
{
    if (n <= mm__reader_left(r)) return MM_OK;
    return mm__fail(err, MM_E_FORMAT, "%s: %" PRIu64 " bytes are wanted at byte %" PRIu64 " but the file has %" PRIu64 "; it may be incomplete",
                    mm__io_name(r->io), n, r->at, r->size);
}

mm_status mm__reader_bytes(mm__reader *r, void *dst, size_t n, mm_error *err)
{
    mm_status st = check_left(r, n, err);
    if (st) return st;
    if (n >= sizeof r->buf) {
        st = mm__io_read(r->io, r->at, dst, n, err);
    } else {
        if (r->at < r->have || r->at + n > r->have + r->have_n) {
            const uint64_t left = mm__reader_left(r), fill = left < sizeof r->buf ? left : sizeof r->buf;
            r->have_n = 0;
            st = mm__io_read(r->io, r->at, r->buf, (size_t)fill, err);
            if (st) return st;
            r->have = r->at;
            r->have_n = fill;
        }
        memcpy(dst, r->buf + (r->at - r->have), n);
    }
    if (!st) r->at += n;
    return st;
}

mm_status mm__reader_skip(mm__reader *r, uint64_t n, mm_error *err)
{
    const mm_status st = check_left(r, n, err);
    if (!st) r->at += n;
    return st;
}

mm_status mm__reader_u8(mm__reader *r, uint8_t *out, mm_error *err)
{
    return mm__reader_bytes(r, out, 1, err);
}

mm_status mm__reader_u16(mm__reader *r, uint16_t *out, mm_error *err)
{
    uint8_t b[2] = {0};
    const mm_status st = mm__reader_bytes(r, b, 2, err);
    *out = (uint16_t)(b[0] | b[1] << 8);
    return st;
}

mm_status mm__reader_u32(mm__reader *r, uint32_t *out, mm_error *err)
{
    uint8_t b[4] = {0};
    const mm_status st = mm__reader_bytes(r, b, 4, err);
    *out = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return st;
}

mm_status mm__reader_i32(mm__reader *r, const char *what, int32_t lo, int32_t hi, int32_t *out, mm_error *err)
{
    uint32_t u = 0;
    const mm_status st = mm__reader_u32(r, &u, err);
    if (st) return st;
    const int32_t v = (int32_t)u;
    if (v < lo || v > hi)
        return mm__fail(err, MM_E_FORMAT, "%s: %s is %" PRId32 ", outside %" PRId32 "..%" PRId32, mm__io_name(r->io), what, v, lo, hi);
    *out = v;
    return MM_OK;
}
