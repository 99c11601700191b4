/* Chat templates: the reference families' renderings byte for byte, a battery of constructs with what Jinja makes of them
 * (template_cases.json, recorded from the original with Hugging Face's settings), and templates that mean harm. */
#include "../base/failing.h"
#include "../image/golden.h"
#include "../../../src/text/template.h"
#include <stdlib.h>
#include <time.h>

static mm__mem *mem;
static mm_error err = {.size = sizeof err};

/* Renders into *out (mm__buf_free it). */
static mm_status render(mm__mem *m, const char *text, size_t len, const mm__json *context, mm__buf *out)
{
    mm__template *t = NULL;
    mm__buf_init(out, m);
    mm_status st = mm__template_compile(m, text, len, &t, &err);
    if (st == MM_OK) st = mm__template_render(t, context, 1700000000, out, &err);
    mm__template_free(t);
    return st;
}

static void constructs_equal_jinja(void **state)
{
    (void)state;
    mm__json_doc *doc = golden_json(mem, "tests/unit/text/template_cases.json");
    const mm__json *context = mm__json_get(mm__json_root(doc), "context"), *cases = mm__json_get(mm__json_root(doc), "cases");
    size_t bad = 0;
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        size_t len, want_len;
        const char *text = mm__json_str(mm__json_get(c, "template"), &len, ""),
                   *want = mm__json_str(mm__json_get(c, "rendered"), &want_len, NULL);
        mm__buf out;
        mm_status st = render(mem, text, len, context, &out);
        if (want ? st != MM_OK || out.len != want_len || memcmp(mm__buf_str(&out), want, want_len) != 0 : st == MM_OK) {
            print_message("case %zu: %s\n  got  (%d) %s\n  want %s\n", i, text, st, st == MM_OK ? mm__buf_str(&out) : err.text,
                          want ? want : "an error");
            bad++;
        }
        if (st != MM_OK) assert_int_equal(out.len, 0);
        mm__buf_free(&out);
    }
    assert_true(mm__json_count(cases) > 50);
    assert_int_equal(bad, 0);
    mm__json_free(doc);
}

/* A context document from a case's fields and a family's special tokens. */
static mm__json_doc *context_of(const mm__json *c, const char *family)
{
    static const char *const tokens[] = {"bos_token", "eos_token"};
    char path[160];
    mm__buf b;
    mm__json_doc *doc;
    snprintf(path, sizeof path, "tests/golden/%s/tokenizer_config.json", family);
    mm__json_doc *config = golden_json(mem, path);
    mm__buf_init(&b, mem);
    mm__buf_puts(&b, "{");
    for (int i = 0; i < 2; i++) {
        const mm__json *t = mm__json_get(mm__json_root(config), tokens[i]);
        size_t len;
        const char *s = mm__json_str(mm__json_kind(t) == MM__JSON_OBJECT ? mm__json_get(t, "content") : t, &len, "");
        mm__buf_printf(&b, "\"%s\":", tokens[i]);
        mm__buf_json_string(&b, s, len);
        mm__buf_puts(&b, ",");
    }
    const mm__json *add = mm__json_get(c, "add_generation_prompt");
    mm__buf_printf(&b, "\"add_generation_prompt\":%s}", mm__json_bool(add, true) ? "true" : "false");
    if (mm__json_parse(mem, b.data, b.len, family, &doc, &err) != MM_OK) fail_msg("%s", err.text);
    mm__buf_free(&b);
    mm__json_free(config);
    return doc;
}

/* JSON text of a value, so that two documents can be joined into one context. */
static void write_json(mm__buf *b, const mm__json *v)
{
    size_t len;
    const char *s;
    switch (mm__json_kind(v)) {
    case MM__JSON_BOOL:
        mm__buf_puts(b, mm__json_bool(v, false) ? "true" : "false");
        break;
    case MM__JSON_INT:
        mm__buf_printf(b, "%lld", (long long)mm__json_int(v, 0));
        break;
    case MM__JSON_REAL:
        mm__buf_printf(b, "%.17g", mm__json_num(v, 0));
        break;
    case MM__JSON_STRING:
        s = mm__json_str(v, &len, "");
        mm__buf_json_string(b, s, len);
        break;
    case MM__JSON_ARRAY:
        mm__buf_putc(b, '[');
        for (size_t i = 0; i < mm__json_count(v); i++) {
            if (i) mm__buf_putc(b, ',');
            write_json(b, mm__json_at(v, i));
        }
        mm__buf_putc(b, ']');
        break;
    case MM__JSON_OBJECT:
        mm__buf_putc(b, '{');
        for (size_t i = 0; i < mm__json_count(v); i++) {
            const mm__json *m = mm__json_member(v, i, &s, &len);
            if (i) mm__buf_putc(b, ',');
            mm__buf_json_string(b, s, len);
            mm__buf_putc(b, ':');
            write_json(b, m);
        }
        mm__buf_putc(b, '}');
        break;
    default:
        mm__buf_puts(b, "null");
        break;
    }
}

static void check_rendering(const char *what, const char *text, size_t len, const mm__json *tokens, const mm__json *messages,
                            bool add, const mm__json *want)
{
    mm__buf b, out;
    mm__json_doc *doc;
    size_t want_len;
    const char *expected = mm__json_str(want, &want_len, NULL);
    assert_non_null(expected);
    mm__buf_init(&b, mem);
    mm__buf_puts(&b, "{\"messages\":");
    write_json(&b, messages);
    mm__buf_printf(&b, ",\"add_generation_prompt\":%s", add ? "true" : "false");
    for (int i = 0; i < 2; i++) {
        const char *key = i ? "eos_token" : "bos_token";
        mm__buf_printf(&b, ",\"%s\":", key);
        mm__buf_json_string(&b, mm__json_str(mm__json_get(tokens, key), NULL, ""),
                            strlen(mm__json_str(mm__json_get(tokens, key), NULL, "")));
    }
    mm__buf_puts(&b, "}");
    if (mm__json_parse(mem, b.data, b.len, what, &doc, &err) != MM_OK) fail_msg("%s", err.text);
    if (render(mem, text, len, mm__json_root(doc), &out) != MM_OK) fail_msg("%s: %s", what, err.text);
    if (out.len != want_len || memcmp(mm__buf_str(&out), expected, want_len) != 0)
        fail_msg("%s:\n%s\ninstead of\n%s", what, mm__buf_str(&out), expected);
    mm__buf_free(&out);
    mm__buf_free(&b);
    mm__json_free(doc);
}

static void families_render_as_the_reference(void **state)
{
    (void)state;
    static const char *const families[] = {"llama", "llama_spm_bf16", "mistral", "qwen2", "qwen3", "gemma3", "phi3", "llava"};
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        char path[160], *text;
        size_t len, checked = 0;
        snprintf(path, sizeof path, "tests/golden/%s/chat_template.jinja", families[i]);
        assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, &err), MM_OK);
        snprintf(path, sizeof path, "tests/golden/%s/expected.json", families[i]);
        mm__json_doc *doc = golden_json(mem, path);
        const mm__json *cases = mm__json_get(mm__json_root(doc), "cases");
        for (size_t j = 0; j < mm__json_count(cases); j++) {
            const mm__json *c = mm__json_at(cases, j), *messages = mm__json_get(c, "messages");
            const mm__json *want =
                mm__json_path(c, "result.rendered") ? mm__json_path(c, "result.rendered") : mm__json_get(c, "rendered");
            if (!messages || !want) continue;
            mm__json_doc *context = context_of(c, families[i]);
            check_rendering(families[i], text, len, mm__json_root(context), messages,
                            mm__json_bool(mm__json_get(mm__json_root(context), "add_generation_prompt"), true), want);
            mm__json_free(context);
            checked++;
        }
        if (!checked) fail_msg("%s: no case has a rendering", families[i]);
        mm__json_free(doc);
        mm__free(mem, text);
    }
}

static void a_published_template_renders_as_recorded(void **state)
{
    (void)state;
    mm__json_doc *doc = golden_json(mem, "tests/real/smollm2_chat.json");
    const mm__json *root = mm__json_root(doc), *cases = mm__json_get(root, "cases");
    size_t len;
    const char *text = mm__json_str(mm__json_get(root, "template"), &len, NULL);
    assert_true(mm__json_count(cases) > 0);
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        check_rendering("published", text, len, NULL, mm__json_get(c, "messages"),
                        mm__json_bool(mm__json_get(c, "add_generation_prompt"), false), mm__json_get(c, "rendered"));
    }
    mm__json_free(doc);
}

static mm_status run(const char *text, size_t len)
{
    mm__buf out;
    const double limit = 4 * slowdown();
    const clock_t start = clock();
    mm_status st = render(mem, text, len, NULL, &out);
    mm__buf_free(&out);
    if ((double)(clock() - start) / CLOCKS_PER_SEC > limit) fail_msg("took too long");
    return st;
}

/* Equal strings at two places, and a mapping by one of them. */
#define TWO \
    "{% set s = '1' * 8000000 %}{% set t = '1' * 4000000 + '1' * 4000000 %}{% set d = {s: 1} %}{% for i in range(30000) %}"

/* What honest templates may use, and that looking for a name among many is paid for. */
static void budgets_leave_room(void **state)
{
    static const char enough[] = "{% for a in range(300) %}{% for b in range(1000) %}{% endfor %}{% endfor %}";
    mm__buf b;
    (void)state;
    assert_int_equal(run(enough, sizeof enough - 1), MM_OK);
    mm__buf_init(&b, mem);
    mm__buf_puts(&b, "{% for i in range(1) %}");
    for (int i = 0; i < 3900; i++) mm__buf_printf(&b, "{%% set x%d = 1 %%}", i);
    mm__buf_puts(&b, "{% for k in range(60000) %}{% if x3899 %}{% endif %}{% endfor %}{% endfor %}");
    assert_int_equal(run(mm__buf_str(&b), b.len), MM_E_LIMIT);
    mm__buf_free(&b);
}

static void budgets_end_harmful_templates(void **state)
{
    (void)state;
    static const char *const limits[] = {
        "{% for x in range(1000000000) %}{% endfor %}",
        "{% for a in range(65536) %}{% for b in range(65536) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(60000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(60000) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
        "{{ 'x' * 1000000000 }}",
        "{{ [1] * 1000000000 }}",
        "{% set s = 'x' * 16000000 %}{% for i in range(60000) %}{{ s }}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{% set x = m() %}{% endmacro %}{{ m() }}",
        "{% set ns = namespace(x=1) %}{% for i in range(60000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}",
        "{% set ns = namespace(x=1) %}{% for i in range(60000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=1, y=1) %}{% for i in range(900) %}{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor "
        "%}{{ ns.x == ns.y }}",
        "{% set s = 'b' * 8000000 %}{% for i in range(60000) %}{{ s.replace('a', 'bb') | length }}{% endfor %}",
        "{% set s = 'ab' * 4000000 %}{% for i in range(60000) %}{% if s[::-1] == s %}{% endif %}{% endfor %}",
        "{% set s = range(60000) | list %}{% for i in range(60000) %}{{ s | sort | length }}{% endfor %}",
        "{{ range(60000) | map('string') | list | unique | list | length }}",
        "{% set s = '1' * 16000000 %}{% for i in range(60000) %}{{ s[99999999] }}{% endfor %}",
        TWO "{% if s == t %}{% endif %}{% endfor %}",
        TWO "{% if s < t %}{% endif %}{% endfor %}",
        TWO "{% if d[t] %}{% endif %}{% endfor %}",
        TWO "{% if s.startswith(t) %}{% endif %}{% endfor %}",
        TWO "{% set x = s.split('2') %}{% endfor %}",
        TWO "{% set x = s.count('2') %}{% endfor %}",
        TWO "{% set x = s.isdigit() %}{% endfor %}",
        TWO "{% set x = s | int %}{% endfor %}",
        TWO "{% set x = s | float %}{% endfor %}",
        TWO "{% set x = ' '.strip(s) %}{% endfor %}",
        "{% set s = ' ' * 8000000 %}{% for i in range(60000) %}{% set x = s.strip() %}{% endfor %}",
        "{% set s = '1' * 8000000 %}{% set t = '1' * 4000000 %}{{ s.rfind(t) }}",
        "{% for a in range(1200) %}{% for b in range(1000) %}{% endfor %}{% endfor %}", /* no eightfold budget either */
        "{{ 9223372036854775807 + 1 }}",
        "{{ 10 ** 100 }}",
        "{{ range(0, 9223372036854775807, 1) }}",
        "{{ [{}] | tojson(indent=1000000) if false else range(-9223372036854775807, 9223372036854775807) }}",
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        mm_status st = run(limits[i], strlen(limits[i]));
        if (st != MM_E_LIMIT) fail_msg("%s: %d (%s)", limits[i], st, err.text);
    }
}

static void repeated(const char *open, const char *middle, const char *close, size_t n, mm_status want)
{
    mm__buf b;
    mm__buf_init(&b, mem);
    for (size_t i = 0; i < n; i++) mm__buf_puts(&b, open);
    mm__buf_puts(&b, middle);
    for (size_t i = 0; i < n; i++) mm__buf_puts(&b, close);
    mm_status st = run(mm__buf_str(&b), b.len);
    if (st != want) fail_msg("%zu times %s: %d (%s)", n, open, st, err.text);
    mm__buf_free(&b);
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    repeated("{% if true %}", "x", "{% endif %}", 60, MM_OK);
    repeated("{% if true %}", "x", "{% endif %}", 5000, MM_E_LIMIT);
    repeated("{% for x in [1] %}", "x", "{% endfor %}", 5000, MM_E_LIMIT);
    mm__buf b;
    static const struct {
        const char *open, *middle, *close;
    } kinds[] = {{"(", "1", ")"},   {"[", "1", "]"},      {"{'a':", "1", "}"},  {"-", "1", ""},
                 {"not ", "1", ""}, {"a[", "1", "]"},     {"range(", "1", ")"}, {"1 if 1 else ", "1", ""},
                 {"", "x", ".a"},   {"", "x", "|string"}, {"", "x", "[0]"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        mm__buf_init(&b, mem);
        mm__buf_puts(&b, "{{ ");
        for (size_t k = 0; k < 20000; k++) mm__buf_puts(&b, kinds[i].open);
        mm__buf_puts(&b, kinds[i].middle);
        for (size_t k = 0; k < 20000; k++) mm__buf_puts(&b, kinds[i].close);
        mm__buf_puts(&b, " }}");
        if (run(b.data, b.len) != MM_E_LIMIT) fail_msg("%s: %s", kinds[i].open, err.text);
        mm__buf_free(&b);
    }
    /* long, not deep: must work */
    mm__buf_init(&b, mem);
    mm__buf_puts(&b, "{{ 1");
    for (int k = 0; k < 20000; k++) mm__buf_puts(&b, k % 2 ? " + 1" : " - 1");
    mm__buf_puts(&b, " }}{% if false %}");
    for (int k = 0; k < 5000; k++) mm__buf_puts(&b, "{% elif 0 or 0 %}");
    mm__buf_puts(&b, "{% endif %}");
    assert_int_equal(run(b.data, b.len), MM_OK);
    mm__buf_free(&b);
    char *big = calloc(1, (1 << 20) + 1);
    memset(big, 'x', (1 << 20) + 1);
    assert_int_equal(run(big, (1 << 20) + 1), MM_E_LIMIT);
    assert_int_equal(run(big, 1 << 20), MM_OK);
    free(big);
}

static void errors_have_their_codes(void **state)
{
    (void)state;
    assert_int_equal(run("{{ raise_exception('no system role') }}", 39), MM_E_ARG);
    assert_non_null(strstr(err.text, "no system role"));
    assert_int_equal(run("\n\n{{ x.y }}", 11), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "line 3"));
    assert_int_equal(run("{% include 'a' %}", 17), MM_E_UNSUPPORTED);
    assert_int_equal(run("{{ 1 | attr('x') }}", 19), MM_E_UNSUPPORTED);
    assert_int_equal(run("{% if x %}", 10), MM_E_FORMAT);
    assert_int_equal(run("", 0), MM_OK);
    /* What Jinja has and this subset has not must be refused, not left out. */
    static const struct { const char *text; mm_status want; } beyond[] = {
        {"{% filter upper %}a{% endfilter %}", MM_E_UNSUPPORTED}, {"{% call m() %}a{% endcall %}", MM_E_UNSUPPORTED},
        {"{% with a = 7 %}{{ a }}{% endwith %}", MM_E_UNSUPPORTED}, {"{% block x %}a{% endblock %}", MM_E_UNSUPPORTED},
        {"{{ 'a b' | wordcount }}", MM_E_UNSUPPORTED}, {"{{ [1] | batch(2) }}", MM_E_UNSUPPORTED}, {"{{ 1 is nope }}", MM_E_UNSUPPORTED},
        {"{% for i in [1] recursive %}{% endfor %}", MM_E_FORMAT}, {"{% for a, (b, c) in [] %}{% endfor %}", MM_E_FORMAT},
        {"{{ cycler('a') }}", MM_E_FORMAT}, {"{{ lipsum() }}", MM_E_FORMAT}, {"{{ 'a%s' % 'x' }}", MM_E_FORMAT}, {"{{ 'a{}'.format(1) }}", MM_E_FORMAT},
        {"{{ 0x10 }}", MM_E_FORMAT}, {"{{ 99999999999999999999 }}", MM_E_FORMAT}, {"{{ 5[1:] }}", MM_E_FORMAT}, {"{{ [1]['a':] }}", MM_E_FORMAT},
        {"{{ strftime_now('%e') }}", MM_E_FORMAT}, {"{{ 'A'.isupper() }}", MM_E_FORMAT}, {"{% for x in [1] %}{{ loop.changed(x) }}{% endfor %}", MM_E_FORMAT}};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        const mm_status st = run(beyond[i].text, strlen(beyond[i].text));
        if (st != beyond[i].want) fail_msg("%s: %s (%s)", beyond[i].text, mm_status_name(st), err.text);
    }
}

/* Wherever the budget of steps ends, so does the run, with what it has written taken back; and one step later it goes on. */
static void budgets_end_anywhere(void **state)
{
    (void)state;
    mm__json_doc *doc = golden_json(mem, "tests/unit/text/template_cases.json");
    const mm__json *context = mm__json_get(mm__json_root(doc), "context"), *cases = mm__json_get(mm__json_root(doc), "cases");
    mm__mem *small = mm__mem_create(NULL, 0);
    size_t ended = 0;
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        const mm__json *c = mm__json_at(cases, i);
        size_t len, want_len;
        const char *text = mm__json_str(mm__json_get(c, "template"), &len, ""), *want = mm__json_str(mm__json_get(c, "rendered"), &want_len, NULL);
        mm_status st = MM_E_LIMIT;
        for (uint64_t steps = 0; st == MM_E_LIMIT && steps < 100000; steps += 1 + steps / 16) {
            mm__buf out;
            mm__limit_set(small, MM__LIMIT_TEMPLATE_STEPS, steps);
            st = render(small, text, len, context, &out);
            if (st == MM_OK && (!want || out.len != want_len || memcmp(mm__buf_str(&out), want, want_len) != 0)) fail_msg("%s: another text within %llu steps", text, (unsigned long long)steps);
            if (st != MM_OK) assert_int_equal(out.len, 0);
            ended += st == MM_E_LIMIT;
            mm__buf_free(&out);
        }
        if (want && st != MM_OK) fail_msg("%s: %s (%s)", text, mm_status_name(st), err.text);
    }
    assert_true(ended > mm__json_count(cases));
    mm__mem_destroy(small);
    mm__json_free(doc);
}

/* Every prefix of the battery's templates, and the same with bytes changed, must end in some status. */
static void damaged_templates_never_crash(void **state)
{
    (void)state;
    mm__json_doc *doc = golden_json(mem, "tests/unit/text/template_cases.json");
    const mm__json *context = mm__json_get(mm__json_root(doc), "context"), *cases = mm__json_get(mm__json_root(doc), "cases");
    uint32_t seed = 7;
    for (size_t i = 0; i < mm__json_count(cases); i++) {
        size_t len;
        const char *text = mm__json_str(mm__json_get(mm__json_at(cases, i), "template"), &len, "");
        for (size_t k = 0; k < len + 200; k++) {
            const size_t n = k < len ? k : len;
            char *copy = malloc(n ? n : 1);
            mm__buf out;
            memcpy(copy, text, n);
            for (int m = 0; k >= len && n && m < 3; m++) {
                seed = seed * 1664525u + 1013904223u;
                copy[(seed >> 8) % n] = "{}%#-+()[]'\".,|~ \nxin0\xc3"[(seed >> 3) % 24];
            }
            render(mem, copy, n, context, &out);
            mm__buf_free(&out);
            free(copy);
        }
    }
    mm__json_free(doc);
}

static bool render_once(mm__mem *m)
{
    static const char text[] = "{% macro f(x, y=2) %}{{ x ~ y }}{% endmacro %}{% set ns = namespace(a=1) %}{% for k, v in "
                               "{'a': 1, 'b': [1, 2]}.items() %}"
                               "{% set ns.q = k %}{{ f(v | tojson) }}{{ loop.index }}{% set b %}z{{ k }}{% endset %}{{ b | "
                               "upper }}{% endfor %}{{ [3, 1] | sort }}";
    mm__buf out;
    mm_status st = render(m, text, sizeof text - 1, NULL, &out);
    if (st != MM_OK)
        assert_int_equal(st, MM_E_NOMEM);
    else
        assert_string_equal(mm__buf_str(&out), "121ZA[1, 2]22ZB[1, 3]");
    mm__buf_free(&out);
    return st == MM_OK;
}

static void running_out_of_memory_is_reported(void **state)
{
    (void)state;
    assert_true(sweep(render_once) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constructs_equal_jinja),
        cmocka_unit_test(families_render_as_the_reference),
        cmocka_unit_test(a_published_template_renders_as_recorded),
        cmocka_unit_test(budgets_end_harmful_templates), cmocka_unit_test(budgets_end_anywhere), cmocka_unit_test(budgets_leave_room),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(errors_have_their_codes),
        cmocka_unit_test(damaged_templates_never_crash),
        cmocka_unit_test(running_out_of_memory_is_reported),
    };
    mem = mm__mem_create(NULL, 0);
    const uint64_t before = mm__mem_live(mem);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (mm__mem_live(mem) != before) failed++;
    mm__mem_destroy(mem);
    return failed;
}
