/* Which paths a manifest may write: one rule for every key that holds one, whatever the file is then used for. And what it may
 * not leave empty. */
#include "../../../src/assembly/assembly.h"
#include "../../../src/assembly/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DIR "build/manifest"
#define MODEL "../../tests/golden/gpt2"
#define PICTURES "../../tests/golden/blip2_opt"

static const char *const keys[] = {"parts.text.path", "parts.text.config", "image"};

static void write_manifest(const char *name, const char *path, const char *config, const char *image)
{
    char file[128];
    mkdir("build", 0777);
    mkdir(DIR, 0777);
    snprintf(file, sizeof file, DIR "/%s", name);
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    fprintf(f, "{\"libmm\": 1, \"assembly\": \"lm\", \"parts\": {\"text\": {\"path\": %s, \"config\": %s}}, \"image\": %s}", path, config, image);
    assert_int_equal(fclose(f), 0);
}

static mm_status load(const char *path, const char *config, const char *image, mm_error *err)
{
    mm__mem *mem = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    mm__source *s;
    write_manifest("m.mm.json", path, config, image);
    *err = (mm_error){.size = sizeof *err};
    const mm_status st = mm__source_open(&(mm__files){.mem = mem}, DIR "/m.mm.json", &s, err);
    mm__source_close(s);
    assert_int_equal(mm__mem_live(mem), before);
    mm__mem_destroy(mem);
    return st;
}

/* `value`, as JSON, under key k; the other keys are good. */
static mm_status load_with(int k, const char *value, mm_error *err)
{
    return load(k == 0 ? value : "\"" MODEL "\"", k == 1 ? value : "\"" MODEL "/config.json\"", k == 2 ? value : "{}", err);
}

static void climbs_only_at_the_front(void **state)
{
    static const char *const bad[] = {"\"\"",           "\"/etc/hostname\"", "\"..\"",         "\"../..\"",        "\"a/../b\"",
                                      "\"../a/../b\"",  "\"a/..\"",          "\"./../x\"",     "\"a\\\\b\"",       "\"..\\\\x\"",
                                      "\"../" MODEL "/../gpt2\""};
    mm_error e;
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
            const mm_status st = load_with(k, bad[i], &e);
            if (st != MM_E_FORMAT || !strstr(e.text, keys[k]) || !strstr(e.text, "relative"))
                fail_msg("%s: %s gave %d \"%s\"", keys[k], bad[i], (int)st, e.text);
        }
}

static void takes_relative_paths(void **state)
{
    static const char *const good[] = {"\"side.json\"", "\"./side.json\"", "\"../manifest/side.json\"", "\"..json\"", "\"...\""};
    mm_error e;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        char name[64];
        snprintf(name, sizeof name, DIR "/%.*s", (int)strlen(good[i]) - 2, good[i] + 1);
        mkdir("build", 0777);
        mkdir(DIR, 0777);
        FILE *f = fopen(name, "wb");
        assert_non_null(f);
        fputs("{}", f);
        assert_int_equal(fclose(f), 0);
        for (int k = 1; k < 3; k++)
            if (load_with(k, good[i], &e) != MM_OK) fail_msg("%s: %s gave \"%s\"", keys[k], good[i], e.text);
    }
    if (load("\"" MODEL "\"", "null", "null", &e) != MM_OK) fail_msg("%s", e.text);
}

static void wants_regular_files(void **state)
{
    mm_error e;
    mkdir("build", 0777);
    mkdir(DIR, 0777);
    remove(DIR "/pipe");
    assert_int_equal(mkfifo(DIR "/pipe", 0600), 0);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(load_with(k, "\"pipe\"", &e), MM_E_IO);
        assert_non_null(strstr(e.text, "pipe: is not a regular file"));
        assert_int_equal(load_with(k, "\"nowhere\"", &e), MM_E_IO);
        assert_non_null(strstr(e.text, DIR "/nowhere"));
    }
    for (int k = 1; k < 3; k++) {
        assert_int_equal(load_with(k, "7", &e), MM_E_FORMAT);
        assert_int_equal(load_with(k, "\"../manifest\"", &e), MM_E_IO); /* a directory */
    }
    remove(DIR "/pipe");
}

/* An empty placeholder would stand everywhere in a text. */
static void placeholder_is_not_empty(void **state)
{
    static const char parts[] = "{\"libmm\": 1, \"assembly\": \"blip2\", \"prompt\": {\"placeholder\": \"\", \"media\": \"splice\"}, \"parts\": {"
                                "\"vision\": {\"path\": \"" PICTURES "\"}, \"bridge\": {\"path\": \"" PICTURES "\"}, "
                                "\"text\": {\"path\": \"" PICTURES "\"}}}";
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__log log = {0};
    mm__backend *backend;
    mm__assembly *a;
    mm_error e = {.size = sizeof e};
    mkdir("build", 0777);
    mkdir(DIR, 0777);
    FILE *f = fopen(DIR "/empty.mm.json", "wb");
    assert_non_null(f);
    fputs(parts, f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(mm__backend_create(mem, &log, "cpu", 1, NULL, true, &backend, &e), MM_OK);
    const mm_status st = mm__assembly_load(&(mm__files){.mem = mem}, backend, DIR "/empty.mm.json", NULL, NULL, &a, &e);
    if (st != MM_E_FORMAT || !strstr(e.text, "prompt.placeholder")) fail_msg("%d \"%s\"", (int)st, e.text);
    mm__backend_destroy(backend);
    mm__mem_destroy(mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(climbs_only_at_the_front),
        cmocka_unit_test(takes_relative_paths),
        cmocka_unit_test(wants_regular_files),
        cmocka_unit_test(placeholder_is_not_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
