/* golden [-q] [--device NAME] [--threads] DIR...: compares folders of reference data (expected.json, expected.safetensors and a
 * checkpoint) with the library, in precision `exact`, one line for each case and stage, and names the first stage that
 * diverges. Twins in the folder (GGUF, .bin, a CTranslate2 folder "ct2") must give the same tokens, unless unequal_twins.txt
 * says why not. NAME is a device as mm_engine_options has it; then the largest relative difference of each folder is printed,
 * and what the device left to the processor. With --threads the results of different numbers of threads are compared with each
 * other instead. Exit status 1 when a check fails. */
#include "runner.h"

#include "../../../src/base/io.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool quiet, threads;

void report(bench *b, const char *case_name, const char *what, bool ok, const char *detail)
{
    if (ok) b->passed++;
    else b->failed++;
    const char *note = !ok && !b->diverged ? "   <- first to diverge" : "";
    if (!ok) b->diverged = 1;
    if (!ok || !quiet) printf("%-4s %s/%s %s  %s%s\n", ok ? "ok" : "FAIL", b->family, case_name, what, detail, note);
}

static void report_error(bench *b, const char *case_name, const char *what, mm_status st, const mm_error *err)
{
    char detail[560];
    snprintf(detail, sizeof detail, "%s: %s", mm_status_name(st), err->text);
    report(b, case_name, what, false, detail);
}

/* ---- checks without a session ---- */

static void check_tokens(bench *b, const mm__json *c, const char *name)
{
    mm_error err = {.size = sizeof err};
    size_t len, n = 0;
    const char *text = mm__json_str(mm__json_get(c, "text"), &len, NULL);
    const mm__json *want = mm__json_at(mm__json_path(c, "result.input_ids"), 0);
    if (!text || !want || mm__json_get(c, "images")) return;
    int32_t *ids = calloc(len + 64, sizeof *ids);
    const mm_status st = mm_model_tokenize(b->model, text, len, MM_TOKENIZE_AROUND | MM_TOKENIZE_SPECIAL, ids, len + 64, &n, &err);
    if (st != MM_OK) report_error(b, name, "tokens", st, &err);
    else compare_ids(b, name, "tokens", want, ids, n);
    free(ids);
}

static void write_json(const mm__json *v, mm__buf *out)
{
    size_t len;
    switch (mm__json_kind(v)) {
    case MM__JSON_STRING: {
        const char *s = mm__json_str(v, &len, "");
        mm__buf_json_string(out, s, len);
        break;
    }
    case MM__JSON_ARRAY:
        mm__buf_putc(out, '[');
        for (size_t i = 0; i < mm__json_count(v); i++) {
            if (i) mm__buf_putc(out, ',');
            write_json(mm__json_at(v, i), out);
        }
        mm__buf_putc(out, ']');
        break;
    case MM__JSON_OBJECT:
        mm__buf_putc(out, '{');
        for (size_t i = 0; i < mm__json_count(v); i++) {
            const char *key;
            const mm__json *m = mm__json_member(v, i, &key, &len);
            if (i) mm__buf_putc(out, ',');
            mm__buf_json_string(out, key, len);
            mm__buf_putc(out, ':');
            write_json(m, out);
        }
        mm__buf_putc(out, '}');
        break;
    case MM__JSON_BOOL: mm__buf_puts(out, mm__json_bool(v, false) ? "true" : "false"); break;
    case MM__JSON_NULL: mm__buf_puts(out, "null"); break;
    default: mm__buf_printf(out, "%.17g", mm__json_num(v, 0));
    }
}

static void check_template(bench *b, const mm__json *c, const char *name)
{
    mm_error err = {.size = sizeof err};
    size_t len, need = 0;
    const char *want = mm__json_str(mm__json_path(c, "result.rendered"), &len, NULL);
    if (!want || !mm__json_get(c, "messages")) return;
    mm__buf messages;
    mm__buf_init(&messages, b->mem);
    write_json(mm__json_get(c, "messages"), &messages);
    char *text = calloc(len + 4096, 1);
    const mm_status st = mm_model_apply_template(b->model, mm__buf_str(&messages), messages.len, 1, text, len + 4096, &need, &err);
    if (st != MM_OK) report_error(b, name, "template", st, &err);
    else report(b, name, "template", need == len && memcmp(text, want, len) == 0, "rendered text");
    free(text);
    mm__buf_free(&messages);
}

/* ---- cases ---- */

/* Cases no public call makes: sentence pairs (no model here reads two texts at once), decoding without the recogniser's rules, and sound that the reference has
 * resampled with its own filter. The part tests cover the first two. */
bool is_private(const mm__json *c)
{
    const char *call = mm__json_str(mm__json_get(c, "call"), NULL, "");
    const char *audio = mm__json_str(mm__json_get(c, "audio"), NULL, "");
    return mm__json_get(c, "pair") || strcmp(call, "custom:whisper_greedy") == 0 || strchr(audio, ':');
}

/* Tokens of a transcription, all windows. */
static void check_sequence(bench *b, const char *name, const answer *a)
{
    char key[160];
    mm_error err = {.size = sizeof err};
    snprintf(key, sizeof key, "%s/out.sequence", name);
    const mm__weight *w = mm__weights_find(b->expected, key);
    const size_t n = w ? w->bytes / sizeof(int64_t) : 0;
    int64_t *want = calloc(n + 1, sizeof *want);
    char detail[80];
    if (!w || !want || mm__weight_read(w, 0, want, w->bytes, &err) != MM_OK) {
        free(want);
        return;
    }
    size_t same = 0;
    while (same < n && same < a->n_ids && want[same] == a->ids[same]) same++;
    snprintf(detail, sizeof detail, "%zu of %zu equal", same, n);
    report(b, name, "sequence", same == n && a->n_ids == n, detail);
    free(want);
}

static void check_prompt_length(bench *b, const mm__json *c, const char *name, const answer *a)
{
    char detail[64];
    const size_t want = mm__json_count(mm__json_at(mm__json_path(c, "result.input_ids"), 0));
    if (!want || mm__json_get(c, "batch")) return;
    snprintf(detail, sizeof detail, "%u of %zu", (unsigned)a->prompt_tokens, want);
    report(b, name, "prompt length", a->prompt_tokens == want, detail);
}

static void run_case(bench *b, const mm__json *c, bool tokens_only)
{
    const char *name = mm__json_str(mm__json_get(c, "name"), NULL, "?");
    mm_error err = {.size = sizeof err};
    answer a = {0};
    b->diverged = 0;
    if (is_private(c)) return;
    const bool generate = is_task(b, "generate"), speech = is_task(b, "transcribe");
    const mm__json *greedy = mm__json_path(c, "result.greedy");
    if (tokens_only && !(greedy || (speech && mm__json_get(c, "steps")))) return;
    if (!tokens_only) {
        check_tokens(b, c, name);
        check_template(b, c, name);
    }
    const mm_status st = generate ? play_text(b, c, &a, &err) : speech ? play_speech(b, c, &a, &err) : play_vectors(b, c, &a, &err);
    if (st != MM_OK) report_error(b, name, "run", st, &err);
    else {
        if (generate) check_prompt_length(b, c, name, &a);
        if (!tokens_only) compare_tensors(b, name, &a);
        if (greedy) compare_ids(b, name, "greedy", greedy, a.ids, a.n_ids);
        if (speech && mm__json_get(c, "steps")) check_sequence(b, name, &a);
    }
    answer_free(&a);
}

/* ---- folders ---- */

/* What the backend reports: an operator that the device left to the processor. */
static void say(void *user, int32_t level, const char *area, const char *line)
{
    if (strcmp(area, "backend") == 0) printf("     %s\n", line);
}

static mm_status load(bench *b, const char *path, mm_error *err)
{
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.precision = MM_PRECISION_EXACT;
    o.device = b->device;
    if (b->device) {
        o.log = say;
        o.log_level = MM_LOG_INFO;
    }
    mm_status st = b->engine ? MM_OK : mm_engine_create(&o, &b->engine, err);
    return st == MM_OK ? mm_model_load(b->engine, path, NULL, &b->model, err) : st;
}

static void run_cases(bench *b, const char *path, const mm__json *doc, bool tokens_only)
{
    mm_error err = {.size = sizeof err};
    const mm_status st = load(b, path, &err);
    const mm__json *cases = mm__json_get(doc, "cases");
    b->diverged = 0;
    if (st != MM_OK) report_error(b, "-", "load", st, &err);
    for (size_t i = 0; st == MM_OK && i < mm__json_count(cases); i++) run_case(b, mm__json_at(cases, i), tokens_only);
    mm_model_release(b->model);
    b->model = NULL;
}

/* A quantised twin has logits of its own, recorded from its dequantised weights. */
static void run_quantised(bench *b, const char *path, const char *type, const mm__json *doc)
{
    mm_error err = {.size = sizeof err};
    char key[64];
    answer a = {0};
    b->diverged = 0;
    mm_status st = load(b, path, &err);
    if (st == MM_OK) st = play_text(b, mm__json_at(mm__json_get(doc, "cases"), 0), &a, &err);
    if (st != MM_OK) report_error(b, type, "run", st, &err);
    snprintf(key, sizeof key, "%s/logits", type);
    if (st == MM_OK) compare_named(b, type, key, "logits", &a);
    answer_free(&a);
    mm_model_release(b->model);
    b->model = NULL;
}

static bool listed_unequal(const char *dir, const char *file)
{
    char path[4096], line[512], key[512];
    const char *family = mm__path_base(dir);
    snprintf(path, sizeof path, "%s/../unequal_twins.txt", dir);
    snprintf(key, sizeof key, "%s/%s ", family, file);
    FILE *f = fopen(path, "r");
    bool found = false;
    while (f && fgets(line, sizeof line, f)) found |= strncmp(line, key, strlen(key)) == 0;
    if (f) fclose(f);
    return found;
}

static void run_twin(bench *b, const char *dir, const char *file, const mm__json *doc)
{
    char path[4096], family[256];
    const char *was = b->family;
    const size_t n = strlen(file);
    const bool model = (n > 5 && strcmp(file + n - 5, ".gguf") == 0) || (n > 4 && strcmp(file + n - 4, ".bin") == 0);
    if ((!model && strcmp(file, "ct2") != 0) || strncmp(file, "mmproj", 6) == 0 || listed_unequal(dir, file)) return;
    snprintf(path, sizeof path, "%s/%s", dir, file);
    snprintf(family, sizeof family, "%s/%s", was, file);
    b->family = family;
    if (threads) {
        compare_threads(b, path, mm__json_get(doc, "cases"));
    } else if (mm__json_get(doc, "quantised")) {
        char type[64] = "";
        snprintf(type, sizeof type, "%.*s", (int)(n - 6 - 5), file + 6); /* model-TYPE.gguf */
        run_quantised(b, path, type, doc);
    } else {
        run_cases(b, path, doc, true);
    }
    b->family = was;
}

static int by_name(const struct dirent **x, const struct dirent **y)
{
    return strcmp((*x)->d_name, (*y)->d_name);
}

static void run_twins(bench *b, const char *dir, const mm__json *doc)
{
    struct dirent **names;
    const int n = scandir(dir, &names, NULL, by_name);
    for (int i = 0; i < n; i++) {
        run_twin(b, dir, names[i]->d_name, doc);
        free(names[i]);
    }
    if (n >= 0) free(names);
}

static mm_status open_expected(bench *b, const char *dir, mm__json_doc **doc, mm_error *err)
{
    char path[4096], *text;
    size_t len;
    snprintf(path, sizeof path, "%s/expected.json", dir);
    mm_status st = mm__read_file(&(mm__files){.mem = b->mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, err);
    if (st != MM_OK) return st;
    st = mm__json_parse(b->mem, text, len, path, doc, err);
    mm__free(b->mem, text);
    if (st == MM_OK) st = mm__weights_create(b->mem, &b->expected, err);
    snprintf(path, sizeof path, "%s/expected.safetensors", dir);
    return st == MM_OK ? mm__safetensors_add(&(mm__files){.mem = b->mem}, path, b->expected, err) : st;
}

/* All of the folder's work must have been done by the device itself. */
static void check_device(bench *b)
{
    char counts[4096] = "", detail[64];
    mm_engine_info(b->engine, "counts", counts, sizeof counts, NULL, NULL);
    const char *line = strstr(counts, "fallbacks\t");
    const long n = line ? strtol(line + strlen("fallbacks\t"), NULL, 10) : 0;
    printf("     %s on %s: largest relative difference %.2e\n", b->family, b->device, b->worst);
    snprintf(detail, sizeof detail, "%ld", n);
    report(b, "-", "calls left to the processor:", n == 0, detail);
}

static void run_folder(bench *b, const char *dir)
{
    mm_error err = {.size = sizeof err};
    mm__json_doc *doc = NULL;
    char inputs[4096];
    b->family = mm__path_base(dir);
    snprintf(inputs, sizeof inputs, "%s/../_inputs", dir);
    b->inputs = inputs;
    b->worst = 0.0;
    const mm_status st = open_expected(b, dir, &doc, &err);
    if (st != MM_OK) report_error(b, "-", "expected data", st, &err);
    else if (threads) {
        compare_threads(b, dir, mm__json_get(mm__json_root(doc), "cases"));
        run_twins(b, dir, mm__json_root(doc));
    } else {
        const mm__json *root = mm__json_root(doc);
        const char *stored = mm__json_str(mm__json_get(root, "stored_dtype"), NULL, "");
        b->tolerance = strcmp(stored, "torch.float32") == 0 ? 1e-4 : 3e-4;
        run_cases(b, dir, root, false);
        run_twins(b, dir, root);
        if (b->device) check_device(b);
    }
    mm__json_free(doc);
    mm__weights_destroy(b->expected);
    b->expected = NULL;
}

int main(int argc, char **argv)
{
    bench b = {.mem = mm__mem_create(NULL, 0)};
    for (int i = 1; i < argc; i++) {
        char dir[4096];
        if (strcmp(argv[i], "-q") == 0) {
            quiet = true;
            continue;
        }
        if (strcmp(argv[i], "--threads") == 0) {
            threads = true;
            continue;
        }
        if (strcmp(argv[i], "--device") == 0 && i + 1 < argc) {
            b.device = argv[++i];
            continue;
        }
        snprintf(dir, sizeof dir, "%s", argv[i]);
        for (size_t n = strlen(dir); n > 1 && dir[n - 1] == '/';) dir[--n] = 0;
        run_folder(&b, dir);
    }
    if (argc < 2) fputs("usage: golden [-q] [--device NAME] [--threads] DIR...\n", stderr);
    mm_engine_release(b.engine);
    mm__mem_destroy(b.mem);
    printf("%d passed, %d failed\n", b.passed, b.failed);
    return argc < 2 ? 2 : b.failed ? 1 : 0;
}
