/* Language models: greedy tokens while the recorded margin allows, last logits, perplexity of a passage in both
 * precisions, agreement of fast with exact, answers with drafts; the same with keys and values of 8 bits. */
#include "real.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MARGIN 0.02           /* below it another summation order may choose otherwise */
#define LOGIT_TOLERANCE 2e-2
#define PPL_EXACT 0.005
#define PPL_FAST 0.015
#define AGREEMENT 0.98
#define DRAFTED 1.3           /* tokens a pass where a text is repeated, greedy */
/* Keys and values of Q8_0. */
#define MARGIN_8 0.2
#define PPL_8 0.004           /* beside the perplexity of the same precision */
#define AGREEMENT_8 0.96

static int32_t *ids_of(const mm__json *v, size_t *n)
{
    *n = mm__json_count(v);
    int32_t *ids = calloc(*n + 1, sizeof *ids);
    for (size_t i = 0; ids && i < *n; i++) ids[i] = (int32_t)mm__json_int(mm__json_at(v, i), 0);
    return ids;
}

/* Feeds ids; max tokens are answered; the logits stage is kept when asked for. kv: the "kv_type", or NULL. */
static bool run_ids(real *r, mm_engine *e, mm_model *m, const char *name, const char *kv, const mm__json *ids_json, uint32_t max_tokens,
                    bool logits, said *out)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_input *in = NULL;
    mm_error err = {.size = sizeof err};
    size_t n;
    int32_t *ids = ids_of(ids_json, &n);
    mm_session_options_init(&o, sizeof o);
    o.flags = MM_SESSION_RAW;
    o.max_tokens = max_tokens;
    o.n_ctx = (uint32_t)(n + max_tokens + 1);
    mm_status st = mm_session_create(m, &o, &s, &err);
    if (st == MM_OK && kv) st = mm_session_set(s, "kv_type", kv, &err);
    if (st == MM_OK && logits) st = mm_session_set(s, "watch", "logits", &err);
    if (st == MM_OK) st = mm_input_create(e, &in, &err);
    if (st == MM_OK) st = mm_input_tokens(in, ids, n, &err);
    if (st != MM_OK) check(r, name, "session", false, "%s", err.text);
    const bool ok = st == MM_OK && play(r, name, s, in, out);
    mm_input_release(in);
    mm_session_release(s);
    free(ids);
    return ok;
}

static void greedy(real *r, mm_model *m, const char *name, const char *kv, double least, const char *expected)
{
    char path[128], what[32];
    snprintf(path, sizeof path, "tests/real/%s_greedy_transformers.json", expected);
    mm__json_doc *doc = read_doc(r, path);
    const mm__json *cases = mm__json_get(mm__json_root(doc), "cases");
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i), *want = mm__json_get(c, "tokens"), *margin = mm__json_get(c, "top1_minus_top2");
        const size_t n = mm__json_count(want);
        said a;
        snprintf(what, sizeof what, kv ? "greedy %zu %s" : "greedy %zu", i, kv);
        if (run_ids(r, r->exact, m, name, kv, mm__json_get(c, "prompt_ids"), (uint32_t)n, false, &a)) {
            size_t safe = 0, same = 0;
            while (safe < n && mm__json_num(mm__json_at(margin, safe), 0) > least) safe++;
            while (same < n && same < a.n_ids && mm__json_int(mm__json_at(want, same), -1) == a.ids[same]) same++;
            check(r, name, what, same >= safe, "%zu of %zu equal, %zu before the margin falls to %g", same, n, safe, least);
        }
        said_free(r, &a);
    }
    mm__json_free(doc);
}

static void last_logits(real *r, mm_model *m, const char *name, const char *expected)
{
    char path[128], what[32];
    snprintf(path, sizeof path, "tests/real/%s_logits.json", expected);
    mm__json_doc *doc = read_doc(r, path);
    const mm__json *cases = mm__json_get(mm__json_root(doc), "cases");
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i), *top = mm__json_get(c, "transformers_float32_top10");
        said a;
        double worst = 0;
        snprintf(what, sizeof what, "logits %zu", i);
        if (!top) continue;
        if (run_ids(r, r->exact, m, name, NULL, mm__json_get(c, "ids"), 1, true, &a)) {
            const tensor *t = stage_of(&a, "logits");
            for (size_t j = 0; t && t->v && j < mm__json_count(top); j++) {
                const mm__json *pair = mm__json_at(top, j);
                const float got = t->v[t->n - t->cols + (size_t)mm__json_int(mm__json_at(pair, 0), 0)];
                worst = fmax(worst, fabs(mm__json_num(mm__json_at(pair, 1), 0) - (double)got));
            }
            check(r, name, what, t && worst <= LOGIT_TOLERANCE, "top 10 within %.4f", worst);
        }
        said_free(r, &a);
    }
    mm__json_free(doc);
}

static size_t best(const float *x, size_t n)
{
    size_t b = 0;
    for (size_t i = 1; i < n; i++)
        if (x[i] > x[b]) b = i;
    return b;
}

static double perplexity(const tensor *t, const mm__json *ids)
{
    double nll = 0;
    const size_t rows = t->n / t->cols;
    for (size_t i = 0; i + 1 < rows; i++) {
        const float *x = t->v + i * t->cols;
        const double top = (double)x[best(x, t->cols)];
        double sum = 0;
        for (size_t j = 0; j < t->cols; j++) sum += exp((double)x[j] - top);
        nll += top + log(sum) - (double)x[mm__json_int(mm__json_at(ids, i + 1), 0)];
    }
    return exp(nll / (double)(rows - 1));
}

/* Positions whose most likely token is the same. */
static size_t agreeing(const tensor *x, const tensor *y)
{
    size_t same = 0;
    for (size_t i = 0; i < x->n; i += x->cols) same += best(x->v + i, x->cols) == best(y->v + i, x->cols);
    return same;
}

/* The passage with keys and values of Q8_0 beside `plain`, the same precision's logits without. */
static void passage_8(real *r, mm_engine *e, mm_model *m, const char *name, const char *what, const mm__json *ids, const tensor *plain)
{
    said a = {0};
    if (run_ids(r, e, m, name, "q8_0", ids, 1, true, &a)) {
        const tensor *x = stage_of(&a, "logits");
        const bool ok = x && x->v && x->n == plain->n;
        const double want = perplexity(plain, ids), got = ok ? perplexity(x, ids) : 0;
        const size_t rows = plain->n / plain->cols, same = ok ? agreeing(x, plain) : 0;
        check(r, name, what, fabs(got / want - 1) <= PPL_8 && (double)same >= AGREEMENT_8 * (double)rows, "%.4f beside %.4f, %zu of %zu positions agree",
              got, want, same, rows);
    }
    said_free(r, &a);
}

static void passage(real *r, mm_model *exact, mm_model *fast, const char *name, const char *expected)
{
    char path[128];
    snprintf(path, sizeof path, "tests/real/%s_perplexity.json", expected);
    mm__json_doc *doc = read_doc(r, path);
    const mm__json *root = mm__json_root(doc), *ids = mm__json_get(root, "ids");
    const double want = mm__json_num(mm__json_path(root, "transformers_float32.perplexity"), 0);
    said a = {0}, b = {0};
    if (run_ids(r, r->exact, exact, name, NULL, ids, 1, true, &a) && run_ids(r, r->fast, fast, name, NULL, ids, 1, true, &b)) {
        const tensor *x = stage_of(&a, "logits"), *y = stage_of(&b, "logits");
        if (x && y && x->v && y->v && x->n == y->n) {
            const double px = perplexity(x, ids), py = perplexity(y, ids);
            const size_t rows = x->n / x->cols, same = agreeing(x, y);
            check(r, name, "perplexity exact", fabs(px / want - 1) <= PPL_EXACT, "%.4f, recorded %.4f", px, want);
            check(r, name, "perplexity fast", fabs(py / want - 1) <= PPL_FAST, "%.4f, recorded %.4f", py, want);
            check(r, name, "fast agrees with exact", (double)same >= AGREEMENT * (double)rows, "%zu of %zu positions", same, rows);
            passage_8(r, r->exact, exact, name, "perplexity exact q8_0", ids, x);
            passage_8(r, r->fast, fast, name, "perplexity fast q8_0", ids, y);
        } else {
            check(r, name, "perplexity", false, "no logits");
        }
    }
    said_free(r, &a);
    said_free(r, &b);
    mm__json_free(doc);
}

/* A text, and its beginning again: any model goes on with it. */
#define OPENING "The harbour of the old town opens to the south. "
static const char to_repeat[] = OPENING
    "Every morning the fishing boats leave before the sun is up, and every evening they come back with crates of herring, mackerel and "
    "cod. The market women wait on the quay with their scales and their knives. When the wind turns to the north, the boats stay in the "
    "harbour and the men mend their nets.\n\n" OPENING;

/* Answers the text with drafts of so many tokens; *passes: of the decoder behind the prompt. */
static bool repeat(real *r, mm_engine *e, mm_model *m, const char *name, float temperature, const char *lookup, said *out, double *passes)
{
    mm_session_options o;
    mm_session *s = NULL;
    mm_input *in = NULL;
    mm_error err = {.size = sizeof err};
    double tokens = 0, taken = 0;
    mm_session_options_init(&o, sizeof o);
    o.max_tokens = 64;
    o.flags = MM_SESSION_RAW;
    o.temperature = temperature;
    o.seed = 3;
    mm_status st = mm_session_create(m, &o, &s, &err);
    if (st == MM_OK) st = mm_session_set(s, "lookup", lookup, &err);
    if (st == MM_OK) st = mm_input_create(e, &in, &err);
    if (st == MM_OK) st = mm_input_text(in, to_repeat, sizeof to_repeat - 1, &err);
    if (st != MM_OK) check(r, name, "drafts", false, "%s", err.text);
    const bool ok = st == MM_OK && play(r, name, s, in, out);
    if (ok) mm_session_stat(s, "decode_tokens", &tokens, NULL);
    if (ok) mm_session_stat(s, "draft_taken", &taken, NULL);
    *passes = tokens - 1 - taken;
    mm_input_release(in);
    mm_session_release(s);
    return ok;
}

/* The same answer in fewer passes, greedy and drawn. */
static void drafts(real *r, mm_engine *e, mm_model *m, const char *name, const char *precision)
{
    for (int drawn = 0; drawn < 2; drawn++) {
        said plain = {0}, drafted = {0};
        double all = 0, few = 0;
        char what[64];
        snprintf(what, sizeof what, "drafts, %s, %s", drawn ? "drawn" : "greedy", precision);
        if (repeat(r, e, m, name, drawn ? 0.5f : 0, "0", &plain, &all) & repeat(r, e, m, name, drawn ? 0.5f : 0, "3", &drafted, &few)) {
            const bool same = plain.n_ids == drafted.n_ids && memcmp(plain.ids, drafted.ids, plain.n_ids * sizeof *plain.ids) == 0;
            check(r, name, what, same && few > 0 && (drawn || all / few > DRAFTED), "%zu tokens, %s, %.2f a pass", drafted.n_ids,
                  same ? "the same" : "others than without", few > 0 ? all / few : 0);
        }
        said_free(r, &plain);
        said_free(r, &drafted);
    }
}

static void chat_templates(real *r, mm_model *m, const char *name, const char *path)
{
    mm__json_doc *doc = read_doc(r, path);
    const mm__json *cases = mm__json_get(mm__json_root(doc), "cases");
    size_t same = 0, total = 0;
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i), *messages = mm__json_get(c, "messages");
        size_t len, need = 0;
        const char *want = mm__json_str(mm__json_get(c, "rendered"), &len, NULL);
        mm__buf b;
        mm__buf_init(&b, r->mem);
        mm__buf_putc(&b, '[');
        for (size_t j = 0; j < mm__json_count(messages); j++) {
            size_t n;
            const char *role = mm__json_str(mm__json_get(mm__json_at(messages, j), "role"), &n, "");
            mm__buf_puts(&b, j ? ",{\"role\":" : "{\"role\":");
            mm__buf_json_string(&b, role, n);
            const char *content = mm__json_str(mm__json_get(mm__json_at(messages, j), "content"), &n, "");
            mm__buf_puts(&b, ",\"content\":");
            mm__buf_json_string(&b, content, n);
            mm__buf_putc(&b, '}');
        }
        mm__buf_putc(&b, ']');
        if (want) {
            char *got = calloc(len + 4096, 1);
            const int32_t prompt = mm__json_bool(mm__json_get(c, "add_generation_prompt"), true);
            const mm_status st = mm_model_apply_template(m, mm__buf_str(&b), b.len, prompt, got, len + 4096, &need, NULL);
            same += st == MM_OK && need == len && memcmp(got, want, len) == 0;
            total++;
            free(got);
        }
        mm__buf_free(&b);
    }
    check(r, name, "chat template", same == total && total, "%zu of %zu rendered alike", same, total);
    mm__json_free(doc);
}

void test_language_model(real *r, const char *file, const char *expected)
{
    mm_model *exact = open_model(r, r->exact, file), *fast = exact ? open_model(r, r->fast, file) : NULL;
    if (exact && fast) {
        greedy(r, exact, expected, NULL, MARGIN, expected);
        greedy(r, exact, expected, "q8_0", MARGIN_8, expected);
        last_logits(r, exact, expected, expected);
        passage(r, exact, fast, expected, expected);
        drafts(r, r->exact, exact, expected, "exact");
        drafts(r, r->fast, fast, expected, "fast");
        if (strcmp(expected, "smollm2") == 0) chat_templates(r, exact, expected, "tests/real/smollm2_chat.json");
    }
    mm_model_release(exact);
    mm_model_release(fast);
}
