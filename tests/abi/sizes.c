/* Every struct a caller fills, at every size it ever had and at sizes it never had. Prints ok/FAIL lines. */
#include "libmm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL 64
#define MODEL "tests/golden/llama"

static mm_engine *engine;
static mm_model *model;
static mm_input *input;
static int bad;

/* A way to hand over a struct: the status of a call that reads `s`. */
typedef mm_status (*taker)(void *s, mm_error *err);

static mm_status take_engine(void *s, mm_error *err)
{
    mm_engine *e;
    const mm_status st = mm_engine_create(s, &e, err);
    mm_engine_release(e);
    return st;
}

static mm_status take_allocator(void *s, mm_error *err)
{
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.allocator = s;
    return take_engine(&o, err);
}

static mm_status take_files(void *s, mm_error *err)
{
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.files = s;
    return take_engine(&o, err);
}

static mm_status take_executor(void *s, mm_error *err)
{
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.executor = s;
    return take_engine(&o, err);
}

static mm_status take_model(void *s, mm_error *err)
{
    mm_model *m;
    const mm_status st = mm_model_load(engine, MODEL, s, &m, err);
    mm_model_release(m);
    return st;
}

static mm_status take_session(void *s, mm_error *err)
{
    mm_session *session;
    const mm_status st = mm_session_create(model, s, &session, err);
    mm_session_release(session);
    return st;
}

static mm_status take_image(void *s, mm_error *err)
{
    return mm_input_image(input, s, err);
}

static mm_status take_audio(void *s, mm_error *err)
{
    return mm_input_audio(input, s, err);
}

static void *host_alloc(void *user, size_t bytes, size_t align)
{
    void *p = NULL;
    (void)user;
    return posix_memalign(&p, align, bytes ? bytes : 1) == 0 ? p : NULL;
}

static void host_release(void *user, void *p, size_t bytes, size_t align)
{
    (void)user, (void)bytes, (void)align;
    free(p);
}

static int32_t host_kind(void *user, const char *path)
{
    (void)user, (void)path;
    return MM_FILE_NONE;
}

static mm_status host_open(void *user, const char *path, void **file, uint64_t *bytes)
{
    (void)user, (void)path, (void)file, (void)bytes;
    return MM_E_IO;
}

static mm_status host_read(void *user, void *file, uint64_t offset, void *dst, size_t n)
{
    (void)user, (void)file, (void)offset, (void)dst, (void)n;
    return MM_E_IO;
}

static void host_close(void *user, void *file)
{
    (void)user, (void)file;
}

static int32_t host_run(void *user, mm_task_fn fn, void *task, uint32_t count)
{
    (void)user, (void)count;
    fn(task, 0, 1);
    return 0;
}

static const unsigned char grey[4];
static const float silence[16];

static const mm_allocator an_allocator = {sizeof an_allocator, 0, NULL, host_alloc, host_release};
static const mm_files some_files = {sizeof some_files, 0, NULL, host_kind, host_open, host_read, host_close, NULL};
static const mm_executor an_executor = {sizeof an_executor, 1, NULL, host_run};
static const mm_image an_image = {sizeof an_image, 2, 2, 0, MM_PIXELS_GREY, 0, grey};
static const mm_audio some_audio = {sizeof some_audio, 16000, 1, MM_SAMPLES_F32, 16, silence};

static void expect(const char *what, uint32_t size, const char *tail, mm_status want, mm_status got, const char *text)
{
    const int described = want == MM_OK || text[0];
    if (got == want && described) return;
    printf("FAIL %s of %u bytes%s: %s, not %s (%s)\n", what, (unsigned)size, tail, mm_status_name(got), mm_status_name(want), text);
    bad = 1;
}

/* `good` is a valid struct of `known` bytes; `sizes` are those of the releases, the first one the smallest. */
static void try_struct(const char *what, taker take, const void *good, uint32_t known, const uint32_t *sizes, size_t n_sizes)
{
    unsigned char *s = calloc(1, known + TAIL);
    uint32_t size;
    mm_error err = MM_ERROR_INIT;
    const int failed = bad;
    bad = 0;
    for (size = 0; s && size <= known + TAIL; size++) {
        size_t i = 0;
        memset(s, 0, known + TAIL);
        memcpy(s, good, size < known ? size : known);
        memcpy(s, &size, sizeof size);
        while (i < n_sizes && sizes[i] != size) i++;
        if (size < sizes[0]) expect(what, size, "", MM_E_ARG, take(s, &err), err.text);
        else if (i < n_sizes || size > known) expect(what, size, "", MM_OK, take(s, &err), err.text);
        if (size > known) {
            s[size - 1] = 1;
            expect(what, size, " with a tail", MM_E_UNSUPPORTED, take(s, &err), err.text);
        }
    }
    if (!bad) printf("ok abi: %s at every size\n", what);
    bad |= failed || !s;
    free(s);
}

/* Output structs: filled up to the size the caller knows, and no byte further. */
static void try_event(void)
{
    unsigned char room[sizeof(mm_event) + TAIL];
    mm_session *s;
    mm_error err = MM_ERROR_INIT;
    uint32_t size;
    mm_session_create(model, NULL, &s, &err);
    for (size = 0; size <= sizeof room; size++) {
        mm_session_reset(s, &err);
        mm_input_clear(input, NULL);
        mm_input_text(input, "a", 1, &err);
        mm_session_feed(s, input, &err);
        memset(room, 0x5a, sizeof room);
        memcpy(room, &size, sizeof size);
        const mm_status st = mm_session_next(s, (mm_event *)(void *)room, &err);
        if (st != (size < sizeof(mm_event) ? MM_E_ARG : MM_OK)) expect("mm_event", size, "", MM_OK, st, err.text);
        for (size_t i = size < sizeof(mm_event) ? sizeof size : sizeof(mm_event); i < sizeof room; i++)
            if (room[i] != (size > sizeof(mm_event) && i < size ? 0 : 0x5a)) /* zeroed up to its size, not touched behind it */
                expect("mm_event, behind what is known,", size, "", MM_OK, MM_E_INTERNAL, ""), i = sizeof room;
    }
    mm_session_release(s);
    if (!bad) puts("ok abi: mm_event at every size");
}

/* Sizes that were never set. */
static void try_garbage(void)
{
    mm_event e;
    mm_error garbage = MM_ERROR_INIT;
    mm_session *s;
    mm_error err = MM_ERROR_INIT;
    mm_model *m;
    mm_session_create(model, NULL, &s, &err);
    memset(&e, 0xcc, sizeof e);
    expect("mm_event", e.size, "", MM_E_ARG, mm_session_next(s, &e, &err), err.text);
    garbage.size = 0xcccccccc;
    garbage.text[0] = 'x';
    mm_model_load(engine, "tests/nowhere", NULL, &m, &garbage);
    if (garbage.text[0] != 'x') expect("mm_error", garbage.size, ", written", MM_OK, MM_E_INTERNAL, "");
    mm_session_release(s);
    if (!bad) puts("ok abi: sizes that were never set");
}

/* What is kept for later releases is refused by this one. */
static void try_reserved(void)
{
    mm_error err = MM_ERROR_INIT;
    mm_allocator a = an_allocator;
    mm_files f = some_files;
    mm_image i = an_image;
    mm_model_options m;
    mm_session_options s;
    size_t need;
    mm_model_options_init(&m, sizeof m);
    mm_session_options_init(&s, sizeof s);
    a.reserved = f.reserved = i.reserved = m.reserved = 1;
    s.flags = 1u << 31;
    expect("mm_allocator", a.size, ", reserved set", MM_E_UNSUPPORTED, take_allocator(&a, &err), err.text);
    expect("mm_files", f.size, ", reserved set", MM_E_UNSUPPORTED, take_files(&f, &err), err.text);
    expect("mm_image", i.size, ", reserved set", MM_E_UNSUPPORTED, take_image(&i, &err), err.text);
    expect("mm_model_options", m.size, ", reserved set", MM_E_UNSUPPORTED, take_model(&m, &err), err.text);
    expect("mm_session_options", s.size, ", unknown flags", MM_E_UNSUPPORTED, take_session(&s, &err), err.text);
    expect("flags to tokenize", 4, "", MM_E_UNSUPPORTED, mm_model_tokenize(model, "a", 1, 1u << 31, NULL, 0, &need, &err), err.text);
    expect("flags to detokenize", 4, "", MM_E_UNSUPPORTED, mm_model_detokenize(model, NULL, 0, 1u << 31, NULL, 0, &need, &err), err.text);
    if (!bad) puts("ok abi: reserved fields and unknown flags");
}

static void try_error(void)
{
    unsigned char room[sizeof(mm_error) + TAIL];
    mm_model *m;
    uint32_t size;
    for (size = 0; size <= sizeof room; size++) {
        memset(room, 0x5a, sizeof room);
        memcpy(room, &size, sizeof size);
        mm_model_load(engine, "tests/nowhere", NULL, &m, (mm_error *)(void *)room);
        for (size_t i = size < sizeof(mm_error) ? sizeof size : sizeof(mm_error); i < sizeof room; i++)
            if (room[i] != (size > sizeof(mm_error) && i < size ? 0 : 0x5a)) expect("mm_error, behind what is known,", size, "", MM_OK, MM_E_INTERNAL, ""), i = sizeof room;
    }
    if (!bad) puts("ok abi: mm_error at every size");
}

int main(void)
{
    /* Sizes of the releases, first to last. */
    static const uint32_t engine_sizes[] = {72}, model_sizes[] = {40}, session_sizes[] = {48}, allocator_sizes[] = {32},
                          files_sizes[] = {56}, executor_sizes[] = {24}, image_sizes[] = {32}, audio_sizes[] = {32};
    mm_engine_options eo;
    mm_model_options mo;
    mm_session_options so;
    mm_error err = MM_ERROR_INIT;
    mm_engine_options_init(&eo, sizeof eo);
    mm_model_options_init(&mo, sizeof mo);
    mm_session_options_init(&so, sizeof so);
    if (mm_engine_create(NULL, &engine, &err) != MM_OK || mm_model_load(engine, MODEL, NULL, &model, &err) != MM_OK ||
        mm_input_create(engine, &input, &err) != MM_OK) {
        printf("FAIL abi: %s\n", err.text);
        return 1;
    }
#define TRY(type, taker, good, sizes) try_struct(#type, taker, &good, sizeof(type), sizes, sizeof sizes / sizeof *sizes)
    TRY(mm_engine_options, take_engine, eo, engine_sizes);
    TRY(mm_allocator, take_allocator, an_allocator, allocator_sizes);
    TRY(mm_files, take_files, some_files, files_sizes);
    TRY(mm_executor, take_executor, an_executor, executor_sizes);
    TRY(mm_model_options, take_model, mo, model_sizes);
    TRY(mm_session_options, take_session, so, session_sizes);
    TRY(mm_image, take_image, an_image, image_sizes);
    TRY(mm_audio, take_audio, some_audio, audio_sizes);
    try_event();
    try_error();
    try_garbage();
    try_reserved();
    mm_input_release(input);
    mm_model_release(model);
    mm_engine_release(engine);
    return bad;
}
