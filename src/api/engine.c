/* mm_engine and mm_model: creation, loading, references. Facts about models are in info.c. */
#include "handles.h"

#include "../base/error.h"
#include "../base/os/os.h"

#include <string.h>

void mm_engine_options_init(mm_engine_options *options, size_t size)
{
    if (!options || size < sizeof options->size) return;
    memset(options, 0, size);
    options->size = (uint32_t)size;
}

static mm_status check_options(const mm_engine_options *o, mm_error *err)
{
    if (o->precision != MM_PRECISION_FAST && o->precision != MM_PRECISION_EXACT)
        return mm__fail(err, MM_E_ARG, "precision %d is neither MM_PRECISION_FAST nor MM_PRECISION_EXACT", o->precision);
    if (o->n_threads > 1024) return mm__fail(err, MM_E_ARG, "%u threads were asked for; the most is 1024", o->n_threads);
    if (o->allocator && (!o->allocator->alloc || !o->allocator->release))
        return mm__fail(err, MM_E_ARG, "the allocator lacks alloc or release");
    return MM_OK;
}

mm_status mm_engine_create(const mm_engine_options *options, mm_engine **out, mm_error *err)
{
    mm__error_reset(err);
    if (!out) return mm__fail(err, MM_E_ARG, "out is NULL");
    *out = NULL;
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    mm_status st = options ? mm__options_copy(&o, sizeof o, sizeof o, options, "mm_engine_options", err) : MM_OK;
    if (st == MM_OK) st = check_options(&o, err);
    if (st != MM_OK) return st;
    mm__mem *mem = mm__mem_create(o.allocator, o.memory_limit);
    if (!mem) return mm__nomem(err, "an engine");
    mm_engine *e = mm__zalloc(mem, sizeof *e);
    if (!e) {
        mm__mem_destroy(mem);
        return mm__nomem(err, "an engine");
    }
    atomic_init(&e->refs, 1);
    e->mem = mem;
    e->log = (mm__log){o.log, o.log_user, o.log_level ? o.log_level : MM_LOG_WARN};
    const int threads = o.n_threads ? (int)o.n_threads : mm__os_cores();
    st = mm__backend_create(mem, &e->log, o.device ? o.device : "auto", threads, o.precision == MM_PRECISION_EXACT, &e->backend, err);
    if (st != MM_OK) mm_engine_release(e);
    else *out = e;
    return st;
}

static mm_engine *engine_ref(mm_engine *e)
{
    atomic_fetch_add(&e->refs, 1);
    return e;
}

void mm_engine_release(mm_engine *engine)
{
    if (!engine || atomic_fetch_sub(&engine->refs, 1) != 1) return;
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

mm_status mm_model_load(mm_engine *engine, const char *path, const mm_model_options *options, mm_model **out, mm_error *err)
{
    mm_model_options o;
    mm_model_options_init(&o, sizeof o);
    mm__error_reset(err);
    if (out) *out = NULL;
    if (!engine || !path || !out) return mm__fail(err, MM_E_ARG, "engine, path and out must not be NULL");
    mm_status st = options ? mm__options_copy(&o, sizeof o, sizeof o, options, "mm_model_options", err) : MM_OK;
    if (st != MM_OK) return st;
    mm_model *m = mm__zalloc(engine->mem, sizeof *m);
    if (!m) return mm__nomem(err, "a model");
    atomic_init(&m->refs, 1);
    m->engine = engine_ref(engine);
    st = mm__assembly_load(engine->mem, engine->backend, path, o.progress, o.progress_user, &m->assembly, err);
    if (st != MM_OK) mm_model_release(m);
    else *out = m;
    return st;
}

void mm_model_release(mm_model *model)
{
    if (!model || atomic_fetch_sub(&model->refs, 1) != 1) return;
    mm_engine *engine = model->engine;
    mm__assembly_destroy(model->assembly);
    mm__free(engine->mem, model);
    mm_engine_release(engine);
}

/* ---- inputs ---- */

mm_status mm_input_create(mm_engine *engine, mm_input **out, mm_error *err)
{
    mm__error_reset(err);
    if (out) *out = NULL;
    if (!engine || !out) return mm__fail(err, MM_E_ARG, "engine and out must not be NULL");
    mm_input *in = mm__zalloc(engine->mem, sizeof *in);
    if (!in) return mm__nomem(err, "an input");
    atomic_init(&in->refs, 1);
    in->engine = engine_ref(engine);
    mm__feed_init(&in->feed, engine->mem);
    *out = in;
    return MM_OK;
}

void mm_input_release(mm_input *input)
{
    if (!input || atomic_fetch_sub(&input->refs, 1) != 1) return;
    mm_engine *engine = input->engine;
    mm__feed_free(&input->feed);
    mm__free(engine->mem, input);
    mm_engine_release(engine);
}

void mm_input_clear(mm_input *input)
{
    if (input) mm__feed_drop(&input->feed, 0);
}
