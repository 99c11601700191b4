/* mm_engine_set: the table of the header is the one of the library; every limit refuses what is above it and lets pass what is
 * not, and says its name; the limits of memory. */
#include "host.h"

#include <inttypes.h>
#include <stdlib.h>

#define LIMITS 28

typedef struct limit { char key[32], counts[96]; uint64_t value, usual, most; } limit;

static size_t limits_of(mm_engine *e, limit l[LIMITS])
{
    char text[8192];
    size_t n = 0;
    OK(mm_engine_info(e, "limits", text, sizeof text, NULL, &err));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), n++) {
        assert_true(n < LIMITS);
        assert_int_equal(sscanf(line, "%31[^\t]\t%" SCNu64 "\t%" SCNu64 "\t%" SCNu64 "\t%95[^\n]", l[n].key, &l[n].value, &l[n].usual,
                                &l[n].most, l[n].counts), 5);
    }
    return n;
}

static const char *number(uint64_t n)
{
    static char text[24];
    snprintf(text, sizeof text, "%" PRIu64, n);
    return text;
}

static void set(mm_engine *e, const char *key, uint64_t value)
{
    OK(mm_engine_set(e, key, number(value), &err));
}

/* "none", "65536", "2^20", "2^63 - 1" */
static uint64_t value_in_header(const char *s, const char **end)
{
    char *after;
    s += strspn(s, " ");
    if (strncmp(s, "none", 4) == 0) return *end = s + 4, 0;
    if (strncmp(s, "2^63 - 1", 8) == 0) return *end = s + 8, INT64_MAX;
    uint64_t v = strtoull(s, &after, 10);
    if (*after == '^') v = (uint64_t)1 << strtoul(after + 1, &after, 10);
    *end = after;
    return v;
}

static void the_header_says_the_same(void **state)
{
    mm_engine *e = plain_engine();
    limit l[LIMITS];
    assert_int_equal(limits_of(e, l), LIMITS);
    FILE *f = fopen("include/libmm.h", "r");
    assert_non_null(f);
    char line[256], key[32];
    size_t n = 0;
    while (fgets(line, sizeof line, f)) {
        if (n == LIMITS || sscanf(line, " * \"%31[^\"]\"", key) != 1 || strcmp(key, l[n].key) != 0) continue;
        const char *at = strrchr(line, '"') + 1;
        if (n < 3) at = strstr(line, l[n].key) + strlen(l[n].key) + 1; /* their text holds quotes of its own */
        assert_true(value_in_header(at, &at) == l[n].usual);
        assert_true(value_in_header(at, &at) == l[n].most);
        at += strspn(at, " ");
        if (n >= 3) assert_int_equal(strncmp(at, l[n].counts, strlen(l[n].counts)), 0);
        n++;
    }
    fclose(f);
    assert_int_equal(n, LIMITS);
    mm_engine_release(e);
}

static void values_are_checked(void **state)
{
    mm_engine *e = plain_engine();
    limit l[LIMITS];
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x10", "1e3", "18446744073709551616", "99999999999999999999999", "many"};
    limits_of(e, l);
    for (size_t i = 0; i < LIMITS; i++) {
        assert_true(l[i].value == l[i].usual && l[i].usual <= l[i].most);
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) FAILS(MM_E_ARG, l[i].key, mm_engine_set(e, l[i].key, bad[k], &err));
        FAILS(MM_E_ARG, l[i].key, mm_engine_set(e, l[i].key, number(l[i].most + 1), &err));
        if (l[i].usual) FAILS(MM_E_ARG, l[i].key, mm_engine_set(e, l[i].key, "0", &err));
        set(e, l[i].key, l[i].most);
    }
    FAILS(MM_E_KEY, "colour", mm_engine_set(e, "colour", "1", &err));
    limits_of(e, l);
    for (size_t i = 0; i < LIMITS; i++) assert_true(l[i].value == l[i].most);
    set(e, "memory", 0);
    mm_engine_release(e);
}

/* ---- each limit, met by a file, a medium or a text ---- */

static mm_status load(mm_engine *e, const char *path)
{
    mm_model *m = NULL;
    const mm_status st = mm_model_load(e, path, NULL, &m, &err);
    mm_model_release(m);
    return st;
}

static mm_status load_gguf(mm_engine *e) { return load(e, GGUF); }
static mm_status load_folder(mm_engine *e) { return load(e, DIRECTORY); }
static mm_status load_shards(mm_engine *e) { return load(e, GOLDEN "llama_sharded_f16"); }

static mm_status add_picture(mm_engine *e)
{
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    const mm_status st = mm_input_image_file(in, GOLDEN "_inputs/small.png", &err);
    mm_input_release(in);
    return st;
}

static mm_status add_pixels(mm_engine *e)
{
    static const unsigned char pixels[64 * 2 * 3];
    const mm_image im = {.size = sizeof im, .width = 64, .height = 2, .pixels = pixels};
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    const mm_status st = mm_input_image(in, &im, &err);
    mm_input_release(in);
    return st;
}

static mm_status add_sound(mm_engine *e)
{
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    const mm_status st = mm_input_audio_file(in, GOLDEN "_inputs/speech_16k.wav", &err);
    mm_input_release(in);
    return st;
}

static mm_status add_samples(mm_engine *e)
{
    static const float samples[8001];
    const mm_audio au = {.size = sizeof au, .rate = 8000, .channels = 1, .frames = 8001, .samples = samples};
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    const mm_status st = mm_input_audio(in, &au, &err);
    mm_input_release(in);
    return st;
}

static mm_status add_text(mm_engine *e)
{
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    const mm_status st = mm_input_text(in, "twelve bytes", 12, &err);
    mm_input_release(in);
    return st;
}

static mm_model *model;

static mm_status render(mm_engine *e)
{
    static const char json[] = "[{\"role\":\"user\",\"content\":\"What is this?\"}]";
    return mm_model_apply_template(model, json, sizeof json - 1, 1, NULL, 0, NULL, &err);
}

static mm_status open_session(mm_engine *e)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_session_options_init(&o, sizeof o);
    o.n_ctx = 64;
    const mm_status st = mm_session_create(model, &o, &s, &err);
    mm_session_release(s);
    return st;
}

static mm_status restore(mm_engine *e)
{
    mm_session *s = session_of(model, 1), *again = NULL;
    const saved_bytes file = saved_by(s);
    const mm_status st = mm_session_load(model, file.p, file.n, &again, &err);
    free(file.p);
    mm_session_release(again);
    mm_session_release(s);
    return st;
}

/* At `enough` the work is done, at `enough - step` it is refused. */
static const struct met {
    const char *key;
    mm_status (*work)(mm_engine *e);
    uint64_t least, most; /* where the border is looked for */
} met[] = {
    {"metadata_keys", load_gguf, 1, 1000},       {"metadata_bytes", load_gguf, 1, 1 << 20},  {"string_bytes", load_gguf, 1, 1 << 20},
    {"array_elements", load_gguf, 1, 1 << 20},   {"tensors", load_gguf, 1, 10000},           {"tensors", load_folder, 1, 10000},
    {"header_bytes", load_folder, 1, 1 << 20},   {"side_file_bytes", load_folder, 1, 1 << 20}, {"json_depth", load_folder, 1, 64},
    {"json_values", load_folder, 1, 1 << 20},    {"vocabulary", load_folder, 1, 1 << 20},    {"template_bytes", load_folder, 1, 1 << 20},
    {"shards", load_shards, 1, 100},             {"media_bytes", add_picture, 1, 1 << 20},   {"image_side", add_picture, 1, 16384},
    {"image_pixels", add_picture, 1, 1 << 26},   {"image_side", add_pixels, 1, 16384},       {"image_pixels", add_pixels, 1, 1 << 26},
    {"media_bytes", add_sound, 1, 1 << 20},      {"audio_seconds", add_sound, 1, 14400},     {"audio_samples", add_sound, 1, 1 << 29},
    {"audio_seconds", add_samples, 1, 14400},    {"audio_samples", add_samples, 1, 1 << 29}, {"prompt_bytes", add_text, 1, 1 << 20},
    {"template_steps", render, 1, 1 << 20},      {"template_depth", render, 1, 64},          {"template_output", render, 1, 1 << 20},
    {"template_memory", render, 1, 1 << 27},     {"context", open_session, 1, 1 << 20},      {"snapshot_bytes", restore, 1, 1 << 20},
    {"snapshot_timeline", restore, 1, 1 << 20},
};

static void each_limit_is_met(void **state)
{
    mm_engine *e = plain_engine();
    limit all[LIMITS];
    const size_t n_limits = limits_of(e, all);
    model = model_of(e, DIRECTORY);
    for (size_t i = 0; i < sizeof met / sizeof *met; i++) {
        uint64_t least = met[i].least, most = met[i].most;
        set(e, met[i].key, least);
        FAILS(MM_E_LIMIT, met[i].key, met[i].work(e));
        while (least + 1 < most) { /* refused at least, done at most */
            const uint64_t middle = least + (most - least) / 2;
            set(e, met[i].key, middle);
            const mm_status st = met[i].work(e);
            if (st == MM_OK) most = middle;
            else least = middle;
            if (st != MM_OK) FAILS(MM_E_LIMIT, met[i].key, met[i].work(e));
        }
        set(e, met[i].key, most);
        OK(met[i].work(e));
        for (size_t k = 0; k < n_limits; k++)
            if (strcmp(all[k].key, met[i].key) == 0) set(e, all[k].key, all[k].usual);
        OK(met[i].work(e));
    }
    for (size_t k = 0; k < n_limits; k++) { /* none was left out */
        size_t i = 0;
        while (i < sizeof met / sizeof *met && strcmp(met[i].key, all[k].key) != 0) i++;
        if (i == sizeof met / sizeof *met) assert_non_null(strstr(all[k].key, "memory"));
    }
    mm_model_release(model);
    mm_engine_release(e);
}

/* The border is where the header says: what has exactly as much passes. */
static void borders_are_exact(void **state)
{
    mm_engine *e = plain_engine();
    model = model_of(e, DIRECTORY);
    static const struct { const char *key; uint64_t enough; mm_status (*work)(mm_engine *e); } exact[] = {
        {"prompt_bytes", 12, add_text}, {"image_side", 64, add_pixels}, {"image_pixels", 128, add_pixels}, {"audio_samples", 8001, add_samples},
        {"audio_seconds", 2, add_samples}, {"context", 64, open_session}, {"shards", 3, load_shards}};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        set(e, exact[i].key, exact[i].enough);
        OK(exact[i].work(e));
        set(e, exact[i].key, exact[i].enough - 1);
        FAILS(MM_E_LIMIT, exact[i].key, exact[i].work(e));
        set(e, exact[i].key, exact[i].enough);
    }
    mm_model_release(model);
    mm_engine_release(e);
}

/* ---- memory ---- */

static uint64_t live(mm_engine *e)
{
    char text[32];
    OK(mm_engine_info(e, "memory_bytes", text, sizeof text, NULL, &err));
    return strtoull(text, NULL, 10);
}

static void memory_may_change_while_an_engine_lives(void **state)
{
    mm_engine *e = plain_engine();
    char text[32];
    set(e, "memory", live(e) + 4096);
    OK(mm_engine_info(e, "memory_limit", text, sizeof text, NULL, &err));
    assert_string_equal(text, number(live(e) + 4096));
    FAILS(MM_E_NOMEM, "\"memory\"", load_folder(e));
    set(e, "memory", 1); /* below what is held: nothing more, and nothing is lost */
    FAILS(MM_E_NOMEM, "\"memory\"", load_folder(e));
    set(e, "memory", 0);
    OK(load_folder(e));
    mm_engine_release(e);
}

static mm_status ask(mm_engine *e, mm_session *s, const char *text)
{
    mm_input *in = text_input(e, text);
    mm_event ev = {.size = sizeof ev};
    mm_status st = mm_session_feed(s, in, &err);
    mm_input_release(in);
    while (st == MM_OK) st = mm_session_next(s, &ev, &err);
    return st == MM_END ? MM_OK : st;
}

/* What a session takes, from its making to its first answer. */
static void a_session_keeps_within_its_memory(void **state)
{
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, DIRECTORY);
    static char long_text[200001];
    mm_session *s = session_of(m, 4), *other, *copy;
    memset(long_text, 'a', sizeof long_text - 1);
    const uint64_t before = live(e);
    mm_session_release(s);
    const uint64_t one = before - live(e); /* a session without an answer */
    set(e, "session_memory", one / 2);
    mm_session *none = NULL;
    mm_session_options o;
    mm_session_options_init(&o, sizeof o);
    FAILS(MM_E_NOMEM, "session_memory", mm_session_create(m, &o, &none, &err));
    assert_null(none);
    assert_true(live(e) == before - one);
    set(e, "session_memory", 4 << 20);
    s = session_of(m, 4);
    other = session_of(m, 4); /* the limit is for each */
    OK(ask(e, s, "the little dog"));
    OK(ask(e, other, "the little dog"));
    OK(mm_session_fork(s, &copy, &err));
    OK(ask(e, copy, "ran"));
    FAILS(MM_E_NOMEM, "session_memory", ask(e, s, long_text));
    OK(ask(e, s, "ran")); /* usable afterwards */
    set(e, "session_memory", 0);
    mm_session *wide = session_of(m, 4);
    FAILS(MM_E_CONTEXT, "context", ask(e, wide, long_text)); /* without a limit only the context refuses it */
    mm_session_release(wide);
    mm_session_release(s);
    mm_session_release(other);
    mm_session_release(copy);
    assert_true(live(e) == before - one);
    mm_model_release(m);
    mm_engine_release(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_header_says_the_same), cmocka_unit_test(values_are_checked), cmocka_unit_test(each_limit_is_met),
        cmocka_unit_test(borders_are_exact), cmocka_unit_test(memory_may_change_while_an_engine_lives),
        cmocka_unit_test(a_session_keeps_within_its_memory)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
