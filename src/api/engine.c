/* mm_engine, mm_model and mm_input: creation, loading, references. Facts about them are in info.c. */
#include "handles.h"

#include "../base/ckd.h"
#include "../base/os/os.h"

#include <inttypes.h>
#include <string.h>

#define MAX_THREADS 1024u
#define MEDIA_CACHE_BYTES ((uint64_t)64 << 20) /* some pictures of the largest models, hundreds of small ones */

void mm_engine_options_init(mm_engine_options *options, size_t size)
{
    if (!options || size < sizeof options->size) return;
    memset(options, 0, size);
    options->size = (uint32_t)size;
}

/* The host's tables, copied over zeros and checked: what the options point to. */
typedef struct tables {
    mm_allocator allocator;
    mm_files files;
    mm_executor executor;
} tables;

static mm_status check_tables(const mm_engine_options *o, tables *t, mm_error *err)
{
    mm_status st = MM_OK;
    if (o->allocator) st = mm__options_copy(&t->allocator, sizeof t->allocator, MM__FIRST_ALLOCATOR, o->allocator, "mm_allocator", err);
    if (st == MM_OK && o->files) st = mm__options_copy(&t->files, sizeof t->files, MM__FIRST_FILES, o->files, "mm_files", err);
    if (st == MM_OK && o->executor)
        st = mm__options_copy(&t->executor, sizeof t->executor, MM__FIRST_EXECUTOR, o->executor, "mm_executor", err);
    if (st == MM_OK) st = mm__check_reserved(t->allocator.reserved, "mm_allocator", err);
    if (st == MM_OK) st = mm__check_reserved(t->files.reserved, "mm_files", err);
    if (st != MM_OK) return st;
    if (o->allocator && (!t->allocator.alloc || !t->allocator.release))
        return mm__fail(err, MM_E_ARG, "mm_allocator lacks alloc or release");
    if (o->files && (!t->files.kind || !t->files.open || !t->files.read || !t->files.close))
        return mm__fail(err, MM_E_ARG, "mm_files lacks kind, open, read or close");
    if (o->executor && (!t->executor.run || t->executor.n_threads < 1 || t->executor.n_threads > MAX_THREADS))
        return mm__fail(err, MM_E_ARG, "mm_executor lacks run, or its %u threads are not 1..%u", t->executor.n_threads, MAX_THREADS);
    return MM_OK;
}

static mm_status check_options(const mm_engine_options *o, tables *t, mm_error *err)
{
    if (o->precision != MM_PRECISION_FAST && o->precision != MM_PRECISION_EXACT)
        return mm__fail(err, MM_E_ARG, "precision %d is neither MM_PRECISION_FAST nor MM_PRECISION_EXACT", o->precision);
    if (o->n_threads > MAX_THREADS)
        return mm__fail(err, MM_E_ARG, "%u threads were asked for; the most is %u", o->n_threads, MAX_THREADS);
    if (o->log_level < 0 || o->log_level > MM_LOG_DEBUG)
        return mm__fail(err, MM_E_ARG, "log_level %d is not 0 or MM_LOG_ERROR..MM_LOG_DEBUG", o->log_level);
    return check_tables(o, t, err);
}

mm_status mm_engine_create(const mm_engine_options *options, mm_engine **out, mm_error *err)
{
    tables t = {0};
    mm_engine_options o;
    if (out) *out = NULL;
    mm_status st = mm__enter(out != NULL, "out", &err);
    if (st != MM_OK) return st;
    mm_engine_options_init(&o, sizeof o);
    if (options) st = mm__options_copy(&o, sizeof o, MM__FIRST_ENGINE_OPTIONS, options, "mm_engine_options", err);
    if (st == MM_OK) st = check_options(&o, &t, err);
    if (st != MM_OK) return st;
    mm__mem *mem = mm__mem_create(o.allocator ? &t.allocator : NULL, o.memory_limit);
    if (!mem) return mm__nomem(err, "an engine");
    mm_engine *e = mm__zalloc(mem, sizeof *e);
    if (!e) {
        mm__mem_destroy(mem);
        return mm__nomem(err, "an engine");
    }
    atomic_init(&e->refs, 1);
    atomic_init(&e->media_cache_bytes, MEDIA_CACHE_BYTES);
    e->process = mm__os_process();
    e->mem = mem;
    e->files = (mm__files){.mem = mem, .host = t.files};
    e->log = (mm__log){o.log, o.log_user, o.log_level ? o.log_level : MM_LOG_WARN};
    const int threads = o.n_threads ? (int)o.n_threads : mm__os_cores();
    st = mm__backend_create(mem, &e->log, o.device ? o.device : "auto", threads, o.executor ? &t.executor : NULL,
                            o.precision == MM_PRECISION_EXACT, &e->backend, err);
    if (st != MM_OK) mm_engine_release(e);
    else *out = e;
    return st;
}

static mm_status set_media_cache(mm_engine *engine, const char *value, mm_error *err)
{
    uint64_t n;
    if (!mm__ckd_whole(value, &n) || n > INT64_MAX)
        return mm__fail(err, MM_E_ARG, "media_cache_bytes \"%s\" is no whole number from 0 to %" PRId64, value, INT64_MAX);
    atomic_store(&engine->media_cache_bytes, n);
    mm__mem_spare_all(engine->mem); /* at once, also from models that nobody uses any more */
    return MM_OK;
}

static mm_status set(mm_engine *engine, const char *key, const char *value, mm_error *err)
{
    uint64_t n;
    if (strcmp(key, "media_cache_bytes") == 0) return set_media_cache(engine, value, err);
    const mm__limit_id which = mm__limit_find(key);
    if (which == MM__N_LIMITS) return mm__backend_set(engine->backend, key, value, err);
    const mm__limit_info *l = mm__limit_info_of(which);
    const uint64_t least = l->usual ? 1 : 0; /* 0: no limit, where there is none by default */
    if (!mm__ckd_whole(value, &n) || n < least || n > l->most)
        return mm__fail(err, MM_E_ARG, "%s \"%s\" is no whole number from %" PRIu64 " to %" PRIu64, key, value, least, l->most);
    mm__limit_set(engine->mem, which, n);
    return MM_OK;
}

mm_status mm_engine_set(mm_engine *engine, const char *key, const char *value, mm_error *err)
{
    const mm_status st = mm__enter_engine(engine, key && value, "engine, key and value", &err);
    return st == MM_OK ? mm__leave_engine(engine, set(engine, key, value, err)) : st;
}

static mm_engine *engine_ref(mm_engine *e)
{
    atomic_fetch_add(&e->refs, 1);
    return e;
}

/* In a child process nothing is taken apart: the threads are not there, locks may be held for ever, and whatever another
 * thread was changing at the fork is half-made. The memory is shared with the parent until either writes to it. */
void mm_engine_release(mm_engine *engine)
{
    if (!engine || mm__foreign(engine) || atomic_fetch_sub(&engine->refs, 1) != 1) return;
    mm__mem *mem = engine->mem;
    mm__backend_destroy(engine->backend);
    mm__free(mem, engine);
    mm__mem_destroy(mem);
}

void mm_model_options_init(mm_model_options *options, size_t size)
{
    if (!options || size < sizeof options->size) return;
    memset(options, 0, size);
    options->size = (uint32_t)size;
}

static mm_status load(mm_engine *engine, const char *path, const mm_model_options *o, mm_model **out, mm_error *err)
{
    mm__files files = engine->files;
    if (o->bytes) {
        files.name = path;
        files.bytes = o->bytes;
        files.n = o->n_bytes;
    }
    mm_model *m = mm__zalloc(engine->mem, sizeof *m);
    if (!m) return mm__nomem(err, "a model");
    atomic_init(&m->refs, 1);
    m->engine = engine_ref(engine);
    m->media = mm__media_cache_create(engine->mem, &engine->media_cache_bytes);
    const mm_status st = m->media ? mm__assembly_load(&files, engine->backend, path, o->progress, o->progress_user, &m->assembly, err)
                                  : mm__nomem(err, "a model");
    if (st != MM_OK) mm_model_release(m);
    else *out = m;
    return st;
}

mm_status mm_model_load(mm_engine *engine, const char *path, const mm_model_options *options, mm_model **out, mm_error *err)
{
    mm_model_options o;
    if (out) *out = NULL;
    mm_status st = mm__enter_engine(engine, path && out, "engine, path and out", &err);
    if (st != MM_OK) return st;
    mm_model_options_init(&o, sizeof o);
    if (options) st = mm__options_copy(&o, sizeof o, MM__FIRST_MODEL_OPTIONS, options, "mm_model_options", err);
    if (st == MM_OK) st = mm__check_reserved(o.reserved, "mm_model_options", err);
    if (st == MM_OK && !o.bytes && o.n_bytes)
        st = mm__fail(err, MM_E_ARG, "mm_model_options.bytes is NULL but n_bytes is %zu", o.n_bytes);
    return mm__leave_engine(engine, st == MM_OK ? load(engine, path, &o, out, err) : st);
}

void mm_model_release(mm_model *model)
{
    if (!model || mm__foreign(model->engine) || atomic_fetch_sub(&model->refs, 1) != 1) return;
    mm_engine *engine = model->engine;
    mm__media_cache_destroy(model->media);
    mm__assembly_destroy(model->assembly);
    mm__free(engine->mem, model);
    mm_engine_release(engine);
}

/* ---- inputs ---- */

static mm_status make_input(mm_engine *engine, mm_input **out, mm_error *err)
{
    mm_input *in = mm__zalloc(engine->mem, sizeof *in);
    if (!in) return mm__nomem(err, "an input");
    atomic_init(&in->refs, 1);
    atomic_init(&in->busy, false);
    in->engine = engine_ref(engine);
    mm__feed_init(&in->feed, &engine->files);
    in->feed.log = &engine->log;
    *out = in;
    return MM_OK;
}

mm_status mm_input_create(mm_engine *engine, mm_input **out, mm_error *err)
{
    if (out) *out = NULL;
    const mm_status st = mm__enter_engine(engine, out != NULL, "engine and out", &err);
    return st == MM_OK ? mm__leave_engine(engine, make_input(engine, out, err)) : st;
}

void mm_input_release(mm_input *input)
{
    if (!input || mm__foreign(input->engine) || atomic_fetch_sub(&input->refs, 1) != 1) return;
    mm_engine *engine = input->engine;
    mm__feed_free(&input->feed);
    mm__free(engine->mem, input);
    mm_engine_release(engine);
}

mm_status mm_input_clear(mm_input *input, mm_error *err)
{
    const mm_status st = mm__enter_input(input, true, "input", &err);
    if (st != MM_OK) return st;
    mm__feed_drop(&input->feed, 0);
    return mm__leave_input(input, MM_OK);
}
