/* Facts about the library and the machine, by key: no engine is needed. */
#include "handles.h"

#include "../base/buf.h"

#include <jansson.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sndfile.h>
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>
#include <zstd.h>
#include <jpeglib.h>

typedef void (*writer)(mm__buf *b);

typedef struct fact {
    const char *name;
    writer write;
} fact;

static void word(mm__buf *b, const char *s)
{
    mm__buf_printf(b, "%s%s", b->len ? " " : "", s);
}

/* ---- the library ---- */

static void write_version(mm__buf *b)
{
    mm__buf_printf(b, "%d.%d.%d", MM_VERSION_MAJOR, MM_VERSION_MINOR, MM_VERSION_PATCH);
}

static void write_compiler(mm__buf *b)
{
#if defined(__clang__)
    mm__buf_puts(b, "clang " __clang_version__);
#else
    mm__buf_puts(b, "gcc " __VERSION__);
#endif
}

static void write_kernels(mm__buf *b)
{
    const char *s;
    for (uint32_t i = 0; (s = mm__backend_isa(i)); i++) word(b, s);
}

/* Those that say their version at run time say the one that runs. */
static void write_libraries(mm__buf *b)
{
    char pcre[64] = "";
    pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    mm__buf_printf(b, "libjpeg-%d %s libzstd-%s utf8proc-%s pcre2-%.*s jansson-%s", JPEG_LIB_VERSION, sf_version_string(),
                   ZSTD_versionString(), utf8proc_version(), (int)strcspn(pcre, " "), pcre, jansson_version_str());
}

static void write_formats(mm__buf *b)
{
    const char *s;
    for (unsigned i = 0; (s = mm__source_format_at(i)); i++) word(b, s);
}

static void write_dtypes(mm__buf *b)
{
    for (int t = 0; t < MM__N_DTYPE; t++) word(b, mm__dtype_info_of((mm__dtype)t)->name);
}

static void write_assemblies(mm__buf *b)
{
    const char *s;
    for (unsigned i = 0; (s = mm__assembly_name_at(i)); i++) word(b, s);
}

static void write_parts(mm__buf *b)
{
    const char *s, *room;
    for (size_t i = 0; (s = mm__part_at(i, &room)); i++) mm__buf_printf(b, "%s%s:%s", i ? " " : "", room, s);
}

static void write_build_keys(mm__buf *b);

static const fact build_keys[] = {{"version", write_version},       {"compiler", write_compiler},     {"kernels", write_kernels},
                                 {"libraries", write_libraries},   {"formats", write_formats},       {"dtypes", write_dtypes},
                                 {"assemblies", write_assemblies}, {"parts", write_parts},           {"keys", write_build_keys}};

static void write_build_keys(mm__buf *b)
{
    for (size_t i = 0; i < sizeof build_keys / sizeof *build_keys; i++) word(b, build_keys[i].name);
}

static mm_status write_key(const char *name, mm__buf *b, mm_error *err)
{
    for (size_t i = 0; i < sizeof build_keys / sizeof *build_keys; i++)
        if (strcmp(build_keys[i].name, name) == 0) {
            build_keys[i].write(b);
            return MM_OK;
        }
    return mm__fail(err, MM_E_KEY, "\"%s\" is no build key; \"keys\" lists them", name);
}

mm_status mm_build_info(const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = 0;
    mm__buf b;
    mm_status st = mm__enter(key != NULL, "key", &err);
    if (st != MM_OK) return st;
    mm__mem *mem = mm__mem_create(NULL, 0);
    if (!mem) return mm__nomem(err, "a text");
    mm__buf_init(&b, mem);
    st = write_key(key, &b, err);
    st = mm__give_buf(&b, st, buf, cap, need, err);
    mm__mem_destroy(mem);
    return st;
}

/* ---- the machine ---- */

static mm_status device_info(const mm__device *d, const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    char threads[16], all[512];
    snprintf(threads, sizeof threads, "%d", d->threads);
    const struct {
        const char *key, *value;
    } facts[] = {{"id", d->id},           {"name", d->name},       {"kind", d->kind},
                 {"features", d->features}, {"threads", threads}, {"summary", d->summary},
                 {"all", all},            {"keys", "id name kind features threads summary all keys"}};
    snprintf(all, sizeof all, "id\t%s\nname\t%s\nkind\t%s\nfeatures\t%s\nthreads\t%s\nsummary\t%s\n", d->id, d->name, d->kind, d->features, threads,
             d->summary);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (strcmp(facts[i].key, key) == 0) return mm__give_text(facts[i].value, strlen(facts[i].value), buf, cap, need, err);
    return mm__fail(err, MM_E_KEY, "\"%s\" is no device key; \"keys\" lists them", key);
}

mm_status mm_device_info(uint32_t index, const char *key, char *buf, size_t cap, size_t *need, mm_error *err)
{
    if (need) *need = 0;
    mm__device d;
    const mm_status st = mm__enter(key != NULL, "key", &err);
    if (st != MM_OK) return st;
    return mm__backend_device(index, &d) ? device_info(&d, key, buf, cap, need, err) : MM_END;
}
