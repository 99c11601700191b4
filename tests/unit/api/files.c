/* The host's files in place of the system's, and a model from memory: the same answers, every path through the callbacks,
 * every file closed again, and each kind of refusal. */
#include "host.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

/* Files that lie below GOLDEN, named "box:...": the system has no such path. Counts, and fails on demand. */
typedef struct box {
    int opened, closed, reads, listed, kinds;
    int fail_read, fail_open; /* the call with this number fails, from 1 */
    mm_status status;         /* with this */
} box;

static void real_path(const char *path, char out[512])
{
    assert_true(strncmp(path, "box:", 4) == 0);
    snprintf(out, 512, GOLDEN "%s", path + 4);
}

static int32_t box_kind(void *user, const char *path)
{
    char real[512];
    struct stat st;
    ((box *)user)->kinds++;
    real_path(path, real);
    if (stat(real, &st) != 0) return MM_FILE_NONE;
    return S_ISDIR(st.st_mode) ? MM_FILE_DIRECTORY : MM_FILE_REGULAR;
}

static mm_status box_open(void *user, const char *path, void **file, uint64_t *bytes)
{
    box *b = user;
    char real[512];
    struct stat st;
    if (++b->opened == b->fail_open) return b->opened--, b->status;
    real_path(path, real);
    FILE *f = fopen(real, "rb");
    if (!f || fstat(fileno(f), &st) != 0) return b->opened--, MM_E_IO;
    *file = f;
    *bytes = (uint64_t)st.st_size;
    return MM_OK;
}

static mm_status box_read(void *user, void *file, uint64_t offset, void *dst, size_t n)
{
    box *b = user;
    if (++b->reads == b->fail_read) return b->status;
    return fseek(file, (long)offset, SEEK_SET) == 0 && fread(dst, 1, n, file) == n ? MM_OK : MM_E_IO;
}

static void box_close(void *user, void *file)
{
    ((box *)user)->closed++;
    fclose(file);
}

static mm_status box_list(void *user, const char *directory, uint32_t index, char *name, size_t cap)
{
    char real[512];
    mm_status st = MM_END;
    ((box *)user)->listed++;
    real_path(directory, real);
    DIR *d = opendir(real);
    struct dirent *e = NULL;
    for (uint32_t i = 0; d && i <= index; i++) e = readdir(d);
    if (e) {
        snprintf(name, cap, "%s", e->d_name);
        st = MM_OK;
    }
    if (d) closedir(d);
    return st;
}

static mm_engine *box_engine(box *b, bool list)
{
    mm_files files = {.size = sizeof files, .user = b, .kind = box_kind, .open = box_open, .read = box_read, .close = box_close};
    if (list) files.list = box_list;
    mm_engine_options o = engine_options();
    o.files = &files;
    mm_engine *e = engine_of(&o);
    memset(&files, 0, sizeof files); /* it was copied */
    return e;
}

/* Everything a model directory, a GGUF, its mmproj, a CTranslate2 folder ... need comes through the callbacks. */
static void every_format_from_the_host(void **state)
{
    static const char *const paths[] = {"llama", "llama/model-f16.gguf", "llama_sharded_f16", "llava/model-f16.gguf",
                                        "whisper/ggml-f16.bin", "bert", "minigpt4", "siglip", "t5"};
    mm_engine *plain = plain_engine();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        box b = {0};
        char here[256], there[256], a[65], c[65];
        mm_engine *e = box_engine(&b, true);
        snprintf(here, sizeof here, GOLDEN "%s", paths[i]);
        snprintf(there, sizeof there, "box:%s", paths[i]);
        mm_model *m = model_of(plain, here), *n = model_of(e, there);
        assert_true(b.opened > 0 && b.reads > 0);
        assert_int_equal(b.opened, b.closed); /* closed on return of the load */
        model_text(m, "fingerprint", a, sizeof a);
        model_text(n, "fingerprint", c, sizeof c);
        assert_string_equal(a, c);
        model_text(m, "format", a, sizeof a);
        model_text(n, "format", c, sizeof c);
        assert_string_equal(a, c);
        mm_model_release(m);
        mm_model_release(n);
        mm_engine_release(e);
    }
    mm_engine_release(plain);
}

static void answers_and_media_from_the_host(void **state)
{
    static const char json[] = "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"path\":\"small.png\"}]}]";
    box b = {0};
    int32_t want[8], got[8];
    mm_engine *plain = plain_engine(), *e = box_engine(&b, true);
    mm_model *m = model_of(plain, DIRECTORY), *n = model_of(e, "box:llama");
    mm_input *in = NULL;
    answer_of(plain, m, want);
    answer_of(e, n, got);
    assert_memory_equal(want, got, sizeof want);
    OK(mm_input_create(e, &in, &err));
    const int before = b.opened;
    OK(mm_input_image_file(in, "box:_inputs/small.png", &err));
    OK(mm_input_audio_file(in, "box:_inputs/speech_16k.wav", &err));
    OK(mm_input_messages(in, json, sizeof json - 1, "box:_inputs", &err));
    assert_int_equal(b.opened, before + 3);
    FAILS(MM_E_IO, "box:_inputs/nothing.png", mm_input_image_file(in, "box:_inputs/nothing.png", &err));
    assert_int_equal(err.os_code, MM_E_IO);
    assert_int_equal(b.opened, b.closed);
    mm_input_release(in);
    mm_model_release(m);
    mm_model_release(n);
    mm_engine_release(plain);
    mm_engine_release(e);
}

static void names_are_listed_or_not(void **state)
{
    char format[64];
    for (int list = 0; list < 2; list++) {
        box b = {0};
        mm_engine *e = box_engine(&b, list);
        mm_model *m = NULL;
        const mm_status st = mm_model_load(e, "box:llava/model-f16.gguf", NULL, &m, &err);
        assert_int_equal(b.opened, b.closed);
        if (st == MM_OK) {
            model_text(m, "format", format, sizeof format);
            assert_string_equal(format, list ? "gguf+mmproj" : "gguf");
        }
        assert_true(list ? st == MM_OK && b.listed > 0 : b.listed == 0);
        mm_model_release(m);
        mm_engine_release(e);
    }
}

/* Every read and every open refused in turn. */
static void refusals_are_errors(void **state)
{
    static const mm_status with[] = {MM_E_IO, MM_E_CANCELLED, 7, -12345};
    for (int open = 0; open < 2; open++)
        for (int i = 1;; i++) {
            box b = {.status = with[i % 4]};
            *(open ? &b.fail_open : &b.fail_read) = i;
            mm_engine *e = box_engine(&b, true);
            mm_model *m = NULL;
            const mm_status st = mm_model_load(e, "box:llama/model-f16.gguf", NULL, &m, &err);
            assert_int_equal(b.opened, b.closed);
            mm_model_release(m);
            mm_engine_release(e);
            if (st == MM_OK) {
                assert_true(i > 2);
                break;
            }
            assert_int_equal(st, b.status == MM_E_CANCELLED ? MM_E_CANCELLED : MM_E_IO);
            assert_int_equal(err.code, st);
            assert_int_equal(err.os_code, b.status);
            assert_null(m);
        }
}

static void *file_bytes(const char *path, size_t *n)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *n = (size_t)ftell(f);
    rewind(f);
    void *p = malloc(*n);
    assert_int_equal(fread(p, 1, *n, f), *n);
    fclose(f);
    return p;
}

static void models_from_memory(void **state)
{
    static const char *const paths[] = {GGUF, GOLDEN "whisper/ggml-f16.bin"};
    mm_engine *e = plain_engine();
    for (size_t i = 0; i < 2; i++) {
        char a[65], b[65], name[64];
        mm_model_options o;
        mm_model *m = NULL, *n = model_of(e, paths[i]);
        mm_model_options_init(&o, sizeof o);
        void *bytes = file_bytes(paths[i], &o.n_bytes);
        o.bytes = bytes;
        OK(mm_model_load(e, "a name of its own", &o, &m, &err));
        memset(bytes, 0, o.n_bytes); /* not read after the load */
        free(bytes);
        model_text(m, "fingerprint", a, sizeof a);
        model_text(n, "fingerprint", b, sizeof b);
        assert_string_equal(a, b);
        model_text(m, "name", name, sizeof name);
        assert_true(name[0] != 0);
        if (i == 0) {
            int32_t want[8], got[8];
            answer_of(e, n, want);
            answer_of(e, m, got);
            assert_memory_equal(want, got, sizeof want);
        }
        mm_model_release(m);
        mm_model_release(n);
    }
    mm_engine_release(e);
}

static void bad_memory_and_bad_tables(void **state)
{
    mm_engine *e = plain_engine(), *none;
    mm_model *m;
    mm_model_options o;
    mm_model_options_init(&o, sizeof o);
    o.n_bytes = 4;
    FAILS(MM_E_ARG, "n_bytes", mm_model_load(e, "x", &o, &m, &err));
    o.bytes = "GGUF";
    FAILS(MM_E_FORMAT, "x: ", mm_model_load(e, "x", &o, &m, &err));
    o.bytes = "none";
    FAILS(MM_E_FORMAT, "x: ", mm_model_load(e, "x", &o, &m, &err));
    FAILS(MM_E_ARG, "path", mm_model_load(e, NULL, &o, &m, &err));
    assert_null(m);
    const mm_files whole = {.size = sizeof whole, .kind = box_kind, .open = box_open, .read = box_read, .close = box_close};
    mm_engine_options eo = engine_options();
    for (int i = 0; i < 5; i++) {
        mm_files f = whole;
        if (i == 0) f.kind = NULL;
        if (i == 1) f.open = NULL;
        if (i == 2) f.read = NULL;
        if (i == 3) f.close = NULL;
        if (i == 4) f.size = 8;
        eo.files = &f;
        FAILS(MM_E_ARG, "mm_files", mm_engine_create(&eo, &none, &err));
        assert_null(none);
    }
    mm_engine_release(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_from_the_host),     cmocka_unit_test(answers_and_media_from_the_host),
        cmocka_unit_test(names_are_listed_or_not),        cmocka_unit_test(refusals_are_errors),
        cmocka_unit_test(models_from_memory),             cmocka_unit_test(bad_memory_and_bad_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
