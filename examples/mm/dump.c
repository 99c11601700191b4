/* --dump STAGE=FILE: stages arrive as events and are written as safetensors files when the command ends, one file for
 * each FILE, tensors named after their stage ("stage.1", "stage.2" when one comes again: a second picture, say). */
#include "mm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

typedef struct stage {
    char *name;               /* in the file */
    size_t base;              /* bytes of it that are the stage's own name */
    float *values;
    size_t n;
    int64_t dims[4];
    uint32_t n_dims;
} stage;

static stage *stages;
static size_t n_stages;

int dump_watch(mm_session *s, const options *o)
{
    mm_error err = {.size = sizeof err};
    for (size_t i = 0; i < o->dumps.n; i++) {
        const char *spec = o->dumps.items[i];
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)(strchr(spec, '=') - spec), spec);
        const mm_status st = mm_session_set(s, "watch", name, &err);
        if (st != MM_OK) return fail(&err, st);
    }
    return 0;
}

static size_t times_seen(const char *name, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < n_stages; i++) n += stages[i].base == len && memcmp(stages[i].name, name, len) == 0;
    return n;
}

void dump_take(const mm_event *e)
{
    const size_t seen = times_seen(e->data, e->len);
    stage st = {.n = e->n_values, .n_dims = e->n_dims, .base = e->len};
    stage *grown = realloc(stages, (n_stages + 1) * sizeof *stages);
    if (grown) stages = grown;
    st.values = malloc(e->n_values * sizeof *st.values + 1);
    st.name = malloc(e->len + 24);
    if (!grown || !st.values || !st.name) {
        fputs("mm: out of memory for a dump\n", stderr);
        exit(EXIT_RUN);
    }
    memcpy(st.values, e->values, e->n_values * sizeof *st.values);
    memcpy(st.dims, e->dims, sizeof st.dims);
    if (seen) snprintf(st.name, e->len + 24, "%.*s.%zu", (int)e->len, e->data, seen);
    else snprintf(st.name, e->len + 24, "%.*s", (int)e->len, e->data);
    stages[n_stages++] = st;
}

/* Whether a stage goes into the file of spec "STAGE=FILE". */
static bool belongs(const stage *st, const char *spec, const char *file)
{
    const char *eq = strchr(spec, '=');
    const size_t len = (size_t)(eq - spec);
    if (strcmp(eq + 1, file) != 0) return false;
    if (len == 1 && spec[0] == '*') return true;
    return st->base == len && memcmp(st->name, spec, len) == 0;
}

static bool wanted(const options *o, const stage *st, const char *file)
{
    for (size_t i = 0; i < o->dumps.n; i++)
        if (belongs(st, o->dumps.items[i], file)) return true;
    return false;
}

static bool any_wanted(const options *o, const char *file)
{
    for (size_t i = 0; i < n_stages; i++)
        if (wanted(o, &stages[i], file)) return true;
    return false;
}

/* The header of a safetensors file of the stages that go into path, padded to 8 bytes. NULL where memory is short. */
static char *header_of(const options *o, const char *path, size_t *len)
{
    char *text = NULL;
    const char *sep = "{";
    uint64_t offset = 0;
    FILE *h = open_memstream(&text, len);
    if (!h) return NULL;
    for (size_t i = 0; i < n_stages; i++) {
        if (!wanted(o, &stages[i], path)) continue;
        fputs(sep, h);
        sep = ",";
        json_string(h, stages[i].name, strlen(stages[i].name));
        fputs(":{\"dtype\":\"F32\",\"shape\":[", h);
        for (uint32_t d = 0; d < stages[i].n_dims; d++) fprintf(h, "%s%" PRId64, d ? "," : "", stages[i].dims[d]);
        const uint64_t end = offset + stages[i].n * sizeof(float);
        fprintf(h, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset, end);
        offset = end;
    }
    putc('}', h);
    for (long at = ftell(h); at % 8; at++) putc(' ', h);
    if (fclose(h) == 0) return text;
    free(text);
    return NULL;
}

static int write_file(const options *o, const char *path)
{
    if (!any_wanted(o, path)) {
        fprintf(stderr, "mm: %s: not written, for no stage of that name came by; use --dump '*=FILE' to see all names\n", path);
        return EXIT_RUN;
    }
    size_t len = 0;
    char *header = header_of(o, path, &len);
    if (!header) {
        fprintf(stderr, "mm: %s: out of memory\n", path);
        return EXIT_RUN;
    }
    FILE *f = fopen(path, "wb");
    if (!f) {
        fprintf(stderr, "mm: %s: cannot be written; check the path\n", path);
        free(header);
        return EXIT_RUN;
    }
    const uint64_t n = len;
    bool ok = fwrite(&n, sizeof n, 1, f) == 1 && fwrite(header, 1, len, f) == len;
    for (size_t i = 0; ok && i < n_stages; i++)
        if (wanted(o, &stages[i], path)) ok = fwrite(stages[i].values, sizeof(float), stages[i].n, f) == stages[i].n;
    ok = fclose(f) == 0 && ok;
    free(header);
    if (!ok) fprintf(stderr, "mm: %s: writing failed; is the disk full?\n", path);
    return ok ? 0 : EXIT_RUN;
}

int dump_write(const options *o)
{
    int status = 0;
    for (size_t i = 0; i < o->dumps.n && !status; i++) {
        const char *file = strchr(o->dumps.items[i], '=') + 1;
        bool done = false;
        for (size_t j = 0; j < i; j++) done |= strcmp(strchr(o->dumps.items[j], '=') + 1, file) == 0;
        if (!done) status = write_file(o, file);
    }
    return status;
}
