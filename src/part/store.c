/* The constants of a model: a list of device tensors that is freed as one, and the stream that fills them. A source is up
 * to three runs of rows (a query, a key and a value matrix, say) that a backend pulls in order as one tensor; rows come
 * from the file at the moment they are pulled, so no second copy of the weights exists. Progress counts file bytes.
 * One thread at a time. */
#include "store.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include "../base/host.h"
#include <string.h>

struct mm__store {
    mm__backend *backend;
    mm_progress_fn progress;
    void *user;
    uint64_t done, total;
    mm__tensor **items;
    size_t n, cap, bytes;
};

mm_status mm__store_create(mm__backend *backend, mm_progress_fn progress, void *user, uint64_t total_bytes, mm__store **out,
                           mm_error *err)
{
    mm__store *s = mm__zalloc(backend->mem, sizeof *s);
    *out = s;
    if (!s) return mm__nomem(err, "list of weights");
    *s = (mm__store){.backend = backend, .progress = progress, .user = user, .total = total_bytes};
    return MM_OK;
}

void mm__store_destroy(mm__store *s)
{
    if (!s) return;
    for (size_t i = 0; i < s->n; i++) s->items[i]->backend->ops->tensor_free(s->items[i]);
    mm__free(s->backend->mem, s->items);
    mm__free(s->backend->mem, s);
}

size_t mm__store_bytes(const mm__store *s)
{
    return s->bytes;
}
mm__backend *mm__store_backend(const mm__store *s)
{
    return s->backend;
}

mm_status mm__store_advance(mm__store *s, size_t bytes, mm_error *err)
{
    s->done += bytes;
    if (s->done > s->total) s->total = s->done;
    mm__host_enter();
    const int32_t code = s->progress ? s->progress(s->user, "weights", s->done, s->total) : 0;
    mm__host_leave();
    return code ? mm__fail_code(err, MM_E_CANCELLED, code, "loading was stopped by the progress callback with %d", code) : MM_OK;
}

void mm__source_free(mm__source *s)
{
    for (int i = 0; i < s->n; i++) {
        mm__free(s->store->backend->mem, s->piece[i].host);
        s->piece[i].host = NULL;
    }
}

static mm_status read_rows(void *ctx, int64_t row, int64_t n, void *dst, mm_error *err)
{
    mm__source *s = ctx;
    unsigned char *p = dst;
    mm_status st = MM_OK;
    for (int i = 0; i < s->n && n > 0; i++) {
        mm__piece *piece = &s->piece[i];
        if (row >= piece->rows) {
            row -= piece->rows;
            continue;
        }
        int64_t take = piece->rows - row < n ? piece->rows - row : n;
        size_t from = (size_t)row * s->row_bytes, len = (size_t)take * s->row_bytes;
        if (piece->host) {
            memcpy(p, (unsigned char *)piece->host + from, len);
        } else {
            st = mm__weight_read(piece->weight, piece->base + from, p, len, err);
            if (st >= 0) st = mm__store_advance(s->store, len, err);
            if (st < 0) return st;
        }
        p += len;
        n -= take;
        row = 0;
    }
    return n == 0 ? MM_OK : mm__fail(err, MM_E_INTERNAL, "a backend asked for rows beyond the end of a tensor");
}

const mm__tensor *mm__store_add(mm__source *s, const char *name, mm__shape shape, unsigned use, mm_error *err)
{
    mm__store *store = s->store;
    mm__tensor *t = NULL;
    mm__upload up = {.name = name, .dtype = s->dtype, .shape = shape, .use = use, .where = s->where, .read = read_rows, .ctx = s};
    if (!mm__grow(store->backend->mem, &store->items, store->n, &store->cap, sizeof *store->items)) {
        mm__nomem(err, "list of weights");
        return NULL;
    }
    mm__account *account = mm__account_enter(NULL); /* of what a model holds beside its weights */
    const mm_status st = store->backend->ops->upload(store->backend, &up, &t, err);
    mm__account_enter(account);
    if (st < 0) return NULL;
    store->items[store->n++] = t;
    store->bytes += t->bytes;
    return t;
}
