/* The host's log: what is told at which level, by which area, as lines; and that answering tells nothing. */
#include "../../../include/libmm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define LM "tests/golden/llama"
#define DIR "build/log"

typedef struct heard { size_t n; struct { int32_t level; char area[16], line[1024]; } lines[32]; } heard;

static heard log_of;
static mm_error err = {.size = sizeof err};

static void listen(void *user, int32_t level, const char *area, const char *line)
{
    heard *h = user;
    assert_true(h->n < 32);
    assert_null(strpbrk(line, "\r\n"));
    assert_true(line[0] && strlen(line) < sizeof h->lines[0].line);
    h->lines[h->n].level = level;
    snprintf(h->lines[h->n].area, sizeof h->lines[0].area, "%s", area);
    strcpy(h->lines[h->n++].line, line);
}

static void ok(mm_status st)
{
    if (st < 0) fail_msg("%s: %s", mm_status_name(st), err.text);
}

/* The only line of that area and level, or NULL. */
static const char *line_of(const char *area, int32_t level)
{
    const char *found = NULL;
    for (size_t i = 0; i < log_of.n; i++)
        if (log_of.lines[i].level == level && strcmp(log_of.lines[i].area, area) == 0) {
            assert_null(found);
            found = log_of.lines[i].line;
        }
    return found;
}

static void expect(const char *area, int32_t level, const char *const *words)
{
    const char *line = line_of(area, level);
    if (!line) fail_msg("nothing of %s at level %d", area, (int)level);
    for (; line && *words; words++)
        if (!strstr(line, *words)) fail_msg("no \"%s\" in \"%s\"", *words, line);
}

/* Engine, model, session and a short answer, with a log of this level. */
static void work(const char *path, int32_t level)
{
    mm_engine_options eo;
    mm_session_options so;
    mm_engine *e;
    mm_model *m;
    mm_session *s;
    mm_input *in;
    mm_event ev = {.size = sizeof ev};
    mm_status st;
    memset(&log_of, 0, sizeof log_of);
    mm_engine_options_init(&eo, sizeof eo);
    eo.n_threads = 2;
    eo.log = listen;
    eo.log_user = &log_of;
    eo.log_level = level;
    ok(mm_engine_create(&eo, &e, &err));
    ok(mm_model_load(e, path, NULL, &m, &err));
    mm_session_options_init(&so, sizeof so);
    so.max_tokens = 5;
    so.n_ctx = 64;
    so.flags = MM_SESSION_RAW | MM_SESSION_IGNORE_EOS;
    ok(mm_session_create(m, &so, &s, &err));
    const size_t before = log_of.n;
    ok(mm_input_create(e, &in, &err));
    ok(mm_input_text(in, "hello", 5, &err));
    ok(mm_session_feed(s, in, &err));
    while ((st = mm_session_next(s, &ev, &err)) == MM_OK) {}
    ok(st);
    assert_int_equal(log_of.n, before);
    mm_input_release(in);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
    for (size_t i = 0; i < log_of.n; i++) assert_true(log_of.lines[i].level <= (level ? level : MM_LOG_WARN));
}

static void tells_what_was_opened(void **state)
{
    char device[256];
    ok(mm_device_info(0, "summary", device, sizeof device, NULL, &err));
    work(LM, MM_LOG_INFO);
    assert_int_equal(log_of.n, 2);
    expect("backend", MM_LOG_INFO, (const char *const[]){device, "2 threads", "fast precision", NULL});
    expect("assembly", MM_LOG_INFO, (const char *const[]){LM ": huggingface, lm of decoder:llama; ", " tensors, ", " MiB", " ms", NULL});
}

static void tells_the_plan_to_those_who_debug(void **state)
{
    work(LM, MM_LOG_DEBUG);
    assert_int_equal(log_of.n, 3);
    expect("run", MM_LOG_DEBUG, (const char *const[]){"a session of 64 positions", "caches 8192 ", "in all ", NULL});
}

static void is_silent_when_all_is_well(void **state)
{
    work(LM, 0);
    assert_int_equal(log_of.n, 0);
    work(LM, MM_LOG_ERROR);
    assert_int_equal(log_of.n, 0);
}

static void write_file(const char *name, const char *text)
{
    mkdir("build", 0777);
    mkdir(DIR, 0777);
    FILE *f = fopen(name, "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* Unknown keys at every level of a manifest, and pictures whose preparation it does not describe. The file's words are data:
 * they cannot begin a line of their own. */
static void warns_of_what_it_passes_over(void **state)
{
    write_file(DIR "/m.mm.json", "{\"libmm\": 1, \"assembly\": \"blip2\", \"wrong\\nerror\": 1, \"prompt\": {\"plaec\": \"x\"}, \"parts\": {"
                                 "\"vision\": {\"path\": \"../../tests/golden/blip2_opt\", \"prefix\": \"v.\"},"
                                 "\"bridge\": {\"path\": \"../../tests/golden/blip2_opt\"},"
                                 "\"text\": {\"path\": \"../../tests/golden/blip2_opt\"}}}");
    work(DIR "/m.mm.json", MM_LOG_WARN);
    static const char *const parts[] = {"\"wrong?error\" is no key", "prompt.\"plaec\" is no key", "parts.vision.\"prefix\" is no key",
                                        "no preprocessor_config.json"};
    assert_int_equal(log_of.n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(log_of.lines[i].level, MM_LOG_WARN);
        assert_string_equal(log_of.lines[i].area, "assembly");
        if (!strstr(log_of.lines[i].line, parts[i])) fail_msg("no \"%s\" in \"%s\"", parts[i], log_of.lines[i].line);
        assert_non_null(strstr(log_of.lines[i].line, DIR "/m.mm.json: "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_what_was_opened),
        cmocka_unit_test(tells_the_plan_to_those_who_debug),
        cmocka_unit_test(is_silent_when_all_is_well),
        cmocka_unit_test(warns_of_what_it_passes_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
