/* Parts that do not fit are refused when they are joined: a projector narrower than the text part, text vectors narrower
 * than picture vectors, a vocabulary that cannot place a picture. Each case is a copy of a reference folder with one thing
 * changed. */
#include "../../../src/assembly/assembly.h"
#include "../../../src/base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DIR "build/join"

static const char *const sides[] = {"config.json",           "tokenizer.json",          "tokenizer_config.json",
                                    "preprocessor_config.json", "special_tokens_map.json", "generation_config.json"};

/* Copies the side files; in tokenizer.json every `from` becomes `to`, which is as long. */
static void copy_sides(mm__mem *mem, const char *family, const char *from, const char *to)
{
    char path[256];
    mkdir("build", 0777);
    mkdir(DIR, 0777);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        char *text;
        size_t len;
        snprintf(path, sizeof path, DIR "/%s", sides[i]);
        remove(path);
        snprintf(path, sizeof path, "tests/golden/%s/%s", family, sides[i]);
        if (mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, NULL) != MM_OK) continue;
        for (char *p = text; from && (p = strstr(p, from)); p += strlen(from)) memcpy(p, to, strlen(to));
        snprintf(path, sizeof path, DIR "/%s", sides[i]);
        FILE *f = fopen(path, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(text, 1, len, f), len);
        fclose(f);
        mm__free(mem, text);
    }
}

/* Writes the tensors as F32; those whose name holds `narrow` keep only `rows` rows. */
static void copy_tensors(mm__mem *mem, const char *family, const char *narrow, int64_t rows)
{
    char path[256];
    mm__weights *w;
    snprintf(path, sizeof path, "tests/golden/%s", family);
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    assert_int_equal(mm__safetensors_add_dir(&(mm__files){.mem = mem}, path, w, NULL), MM_OK);
    const size_t n = mm__weights_count(w);
    const char **names = calloc(n, sizeof *names);
    mm__view *views = calloc(n, sizeof *views);
    for (size_t i = 0; i < n; i++) {
        const mm__weight *t = mm__weights_at(w, i);
        int64_t count;
        assert_true(mm__shape_count(&t->shape, &count));
        void *raw = malloc(t->bytes + 1);
        float *v = malloc((size_t)count * sizeof *v + 1);
        assert_int_equal(mm__weight_read(t, 0, raw, t->bytes, NULL), MM_OK);
        mm__unpack_row(t->dtype, raw, v, count);
        free(raw);
        mm__shape s = t->shape;
        if (narrow && strstr(t->name, narrow)) s.d[0] = rows;
        names[i] = t->name;
        views[i] = mm__view_of(MM__F32, s, v);
    }
    assert_int_equal(mm__safetensors_write(mem, DIR "/model.safetensors", names, views, n, NULL), MM_OK);
    for (size_t i = 0; i < n; i++) free(views[i].data);
    free(views);
    free(names);
    mm__weights_destroy(w);
}

static void expect(mm__mem *mem, mm_status want, const char *part_of_text)
{
    mm__log log = {0};
    mm__backend *b;
    mm__assembly *a;
    mm_error err = {.size = sizeof err};
    assert_int_equal(mm__backend_create(mem, &log, "cpu", 1, NULL, true, &b, &err), MM_OK);
    const mm_status st = mm__assembly_load(&(mm__files){.mem = mem}, b, DIR, NULL, NULL, &a, &err);
    if (st != want) fail_msg("%s: %s", mm_status_name(st), err.text);
    if (part_of_text && !strstr(err.text, part_of_text)) fail_msg("unexpected sentence: %s", err.text);
    mm__assembly_destroy(a);
    mm__backend_destroy(b);
}

static void seams(void **state)
{
    static const struct {
        const char *family, *narrow, *from, *to, *text;
        int64_t rows;
        mm_status want;
    } cases[] = {
        {"llava", NULL, NULL, NULL, NULL, 0, MM_OK},
        {"llava", "multi_modal_projector.linear_2", NULL, NULL, "do not fit", 4, MM_E_FORMAT},
        {"clip", NULL, NULL, NULL, NULL, 0, MM_OK},
        {"clip", "text_projection", NULL, NULL, "do not fit", 2, MM_E_FORMAT},
        {"idefics", NULL, NULL, NULL, NULL, 0, MM_OK},
        {"idefics", NULL, "\"<image>\"", "\"<imaxx>\"", "places a picture", 0, MM_E_FORMAT},
        {"whisper", NULL, NULL, NULL, NULL, 0, MM_OK},
        {"whisper", NULL, "<|transcribe|>", "<|transcribxx>", "needs the tokens <|transcribe|>", 0, MM_E_FORMAT},
        {"whisper", NULL, "<|translate|>", "<|translatxx>", "needs the tokens <|transcribe|>", 0, MM_E_FORMAT},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mm__mem *mem = mm__mem_create(NULL, 0);
        copy_sides(mem, cases[i].family, cases[i].from, cases[i].to);
        copy_tensors(mem, cases[i].family, cases[i].narrow, cases[i].rows);
        expect(mem, cases[i].want, cases[i].text);
        mm__mem_destroy(mem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seams)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
