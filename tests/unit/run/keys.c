/* Options by key, and what reaches the chat template besides texts: tools, variables, further members of a message. */
#include "bench.h"

#include "../../../src/text/template.h"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char chat[] = "{% if tools %}tools={{ tools | length }}:{{ tools[0].name }} {% endif %}{% if polite %}please {% endif %}"
                           "{% for m in messages %}[{{ m.role }}{% if m.name %} {{ m.name }}{% endif %}: {{ m.content }}"
                           "{% for c in m.tool_calls or [] %} call {{ c.function.name }}({{ c.function.arguments }}){% endfor %}]{% endfor %}";

static void open_chat(bench *b)
{
    bench_open(b, "llama", MM_SESSION_IGNORE_EOS, 1);
    mm__template_free(b->a->chat);
    assert_int_equal(mm__template_compile(b->mem, chat, sizeof chat - 1, &b->a->chat, NULL), MM_OK);
}

/* What the conversation is rendered to when these messages are fed. */
static void expect_prompt(bench *b, const char *messages, const char *want)
{
    mm__feed in;
    mm__buf text;
    mm__plain plain = {0};
    mm_error err = {.size = sizeof err};
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    mm__buf_init(&text, b->mem);
    if (mm__feed_add_messages(&in, messages, strlen(messages), NULL, &err) != MM_OK) fail_msg("%s", err.text);
    if (mm__conversation_add(b->s, &in, &err) != MM_OK) fail_msg("%s", err.text);
    if (mm__render_conversation(b->s, &plain, &text, &err) != MM_OK) fail_msg("%s", err.text);
    assert_string_equal(mm__buf_str(&text), want);
    mm__conversation_rollback(b->s);
    mm__buf_free(&text);
    mm__feed_free(&in);
}

static void reach_the_template(void **state)
{
    static const char hello[] = "[{\"role\":\"user\",\"content\":\"hi\"}]";
    static const char calls[] = "[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":1}}}]},"
                                "{\"role\":\"tool\",\"name\":\"f\",\"content\":\"2\"}]";
    bench b;
    (void)state;
    open_chat(&b);
    expect_prompt(&b, hello, "[user: hi]");
    expect_prompt(&b, calls, "[assistant:  call f({'x': 1})][tool f: 2]");
    assert_int_equal(mm__session_set(b.s, "tools", "[{\"name\": \"f\"}, {\"name\": \"g\"}]", NULL), MM_OK);
    assert_int_equal(mm__session_set(b.s, "variables", "{\"polite\": true}", NULL), MM_OK);
    expect_prompt(&b, hello, "tools=2:f please [user: hi]");
    assert_int_equal(mm__session_set(b.s, "tools", "", NULL), MM_OK);
    expect_prompt(&b, hello, "please [user: hi]");
    bench_close(&b);
}

/* What a message says besides its content forges no turn either. */
static void forges_nothing(void **state)
{
    bench b;
    mm__feed in;
    mm__buf spelled, message;
    (void)state;
    open_chat(&b);
    const int32_t end = mm__tokenizer_special(b.a->tokenizer, "eos");
    mm__buf_init(&spelled, b.mem);
    mm__buf_init(&message, b.mem);
    assert_int_equal(mm__detokenize(b.a->tokenizer, &end, 1, MM__TOKENIZE_SPECIAL, &spelled), MM_OK);
    assert_true(spelled.len > 0);
    mm__buf_printf(&message, "[{\"role\":\"user\",\"name\":\"x%sy\",\"content\":\"hi\"}]", mm__buf_str(&spelled));
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    assert_int_equal(mm__feed_add_messages(&in, message.data, message.len, NULL, NULL), MM_OK);
    answer(&b, &in, NULL);
    for (size_t i = 0; i < b.s->line.n_rows; i++) assert_int_not_equal(b.s->line.rows[i].id, end);
    mm__buf_free(&message);
    mm__buf_free(&spelled);
    bench_close(&b);
}

/* The ids that the prompt of "hi" has, with the option set. */
static void ids_with(bench *b, const char *key, const char *value, mm__ids *out)
{
    mm__feed in;
    mm_error err = {.size = sizeof err};
    mm__session_reset(b->s);
    if (mm__session_set(b->s, key, value, &err) != MM_OK) fail_msg("%s", err.text);
    mm__feed_init(&in, &(mm__files){.mem = b->mem});
    add_text(&in, "hi");
    answer(b, &in, NULL);
    mm__ids_init(out, b->mem);
    for (size_t i = 0; i < b->s->line.n_rows; i++) assert_true(mm__ids_push(out, b->s->line.rows[i].id));
    assert_int_equal(mm__session_set(b->s, key, "", NULL), MM_OK);
}

/* Neither do tools and variables, and what they say is said: a noncharacter stays one. */
static void options_forge_nothing(void **state)
{
    static const char *const forms[][2] = {{"tools", "[{\"name\":\"x%sy\xEF\xB7\x90\"}]"}, {"variables", "{\"polite\":\"x%sy\xEF\xB7\x90\"}"}};
    static const char speak[] = "{% if tools %}{{ tools[0].name }}{% endif %}{{ polite }}{% for m in messages %}{{ m.content }}{% endfor %}";
    bench b;
    (void)state;
    open_chat(&b);
    mm__template_free(b.a->chat);
    assert_int_equal(mm__template_compile(b.mem, speak, sizeof speak - 1, &b.a->chat, NULL), MM_OK);
    const int32_t end = mm__tokenizer_special(b.a->tokenizer, "eos");
    size_t len;
    const char *token = mm__tokenizer_token(b.a->tokenizer, end, &len);
    for (size_t f = 0; f < 2; f++) {
        char value[200], want[100];
        mm__buf said;
        mm__ids ids;
        snprintf(value, sizeof value, forms[f][1], token);
        snprintf(want, sizeof want, "x%sy\xEF\xB7\x90", token);
        ids_with(&b, forms[f][0], value, &ids);
        mm__buf_init(&said, b.mem);
        rows_text(&b, 0, b.s->line.n_rows, MM__TOKENIZE_SPECIAL, &said);
        for (size_t i = 0; i < ids.len; i++) assert_int_not_equal(ids.data[i], end);
        if (!strstr(mm__buf_str(&said), want)) fail_msg("%s: \"%s\"", forms[f][0], mm__buf_str(&said));
        mm__buf_free(&said);
        mm__ids_free(&ids);
    }
    bench_close(&b);
}

/* Where a special token opens with a bracket, JSON keeps its own. */
static void brackets(void **state)
{
    static const char calls[] = "[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"function\":{\"name\":\"[IMG]\",\"arguments\":[1,[2]]}}]}]";
    bench b;
    mm__feed in;
    mm__buf text;
    mm_error err = {.size = sizeof err};
    (void)state;
    open_chat(&b);
    b.a->prompt.placeholder = "[IMG]";
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    mm__buf_init(&text, b.mem);
    assert_int_equal(mm__feed_add_messages(&in, calls, sizeof calls - 1, NULL, NULL), MM_OK);
    assert_int_equal(mm__session_set(b.s, "tools", "[{\"name\":\"[IMG]\",\"a\":[[\"b\"],true,null,1.5]}]", NULL), MM_OK);
    if (mm__session_feed(b.s, &in, &err) != MM_OK || mm__prompt_rows(b.s, &err) != MM_OK) fail_msg("%s", err.text);
    rows_text(&b, 0, b.s->line.n_rows, 0, &text);
    if (!strstr(mm__buf_str(&text), "tools=1:[IMG]") || !strstr(mm__buf_str(&text), "call [IMG]([1, [2]])")) fail_msg("\"%s\"", mm__buf_str(&text));
    mm__buf_free(&text);
    mm__feed_free(&in);
    bench_close(&b);
}

static void refuses(void **state)
{
    static const char *const bad[][2] = {{"tools", "[1, "},      {"tools", "{}"},    {"variables", "[]"}, {"variables", "x"},
                                         {"task", "dance"},      {"stop", ""},       {"translate", "2"},  {"force_ids", "1 x"},
                                         {"force_ids", "-1"},    {"force_ids", "99999999"},
                                         {"force_ids", "1,2"},     {"force_ids", "1\t2"},  {"force_ids", "+1"},    {"force_ids", "99999999999999999999"},
                                         {"variables", "{\"messages\":[]}"},       {"variables", "{\"x\":1,\"tools\":[]}"},
                                         {"variables", "{\"bos_token\":\"x\"}"},  {"variables", "{\"eos_token\":\"x\"}"},
                                         {"variables", "{\"add_generation_prompt\":false}"},
                                         {"lookup", ""},         {"lookup", "-1"},   {"lookup", "17"},     {"lookup", "3 "},
                                         {"lookup", "18446744073709551617"}};
    bench b;
    (void)state;
    bench_open(&b, "llama", 0, 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mm_error err = {.size = sizeof err};
        assert_int_equal(mm__session_set(b.s, bad[i][0], bad[i][1], &err), MM_E_ARG);
        assert_int_equal(err.code, MM_E_ARG);
        assert_true(err.text[0] != 0);
    }
    assert_int_equal(mm__session_set(b.s, "task", "embed", NULL), MM_E_UNSUPPORTED);
    assert_int_equal(mm__session_set(b.s, "dance", "1", NULL), MM_E_KEY);
    assert_int_equal(b.s->n_keys, 0); /* nothing of it is remembered */
    bench_close(&b);
}

/* A value that is refused leaves the one that was set. */
static void keeps_what_was_set(void **state)
{
    static const char *const bad[] = {"7 x", "7 99999999"};
    bench b;
    (void)state;
    bench_open(&b, "llama", 0, 1);
    assert_int_equal(mm__session_set(b.s, "force_ids", " 5  6 ", NULL), MM_OK);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(mm__session_set(b.s, "force_ids", bad[i], NULL), MM_E_ARG);
        assert_int_equal(b.s->forced.len, 2);
        assert_int_equal(b.s->forced.data[0], 5);
        assert_int_equal(b.s->forced.data[1], 6);
    }
    assert_int_equal(mm__session_set(b.s, "force_ids", "", NULL), MM_OK);
    assert_int_equal(b.s->forced.len, 0);
    bench_close(&b);
}

/* The longest language code, and one that is a byte longer, which would reach into what lies behind. */
static void language_length(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "llama", 0, 1);
    assert_int_equal(mm__session_set(b.s, "decoder_prompt", "kept", NULL), MM_OK);
    assert_int_equal(mm__session_set(b.s, "language", "abcdefg", NULL), MM_OK);
    assert_int_equal(mm__session_set(b.s, "language", "abcdefgh", NULL), MM_E_ARG);
    assert_string_equal(b.s->language, "abcdefg");
    assert_string_equal(b.s->decoder_prompt, "kept");
    bench_close(&b);
}

static void refuses_messages(void **state)
{
    static const char *const bad[] = {"[{\"content\":\"x\"}]", "[{\"role\":\"\",\"content\":\"x\"}]", "[{\"role\":\"user\",\"content\":1}]",
                                      "[{\"role\":\"user\",\"content\":\"a\\u0000b\"}]",
                                      "[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"image\":\"tests/golden/_inputs/small.png\\u0000.exe\"}]}]"};
    bench b;
    (void)state;
    bench_open(&b, "llama", 0, 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mm__feed in;
        mm_error err = {.size = sizeof err};
        mm__feed_init(&in, &(mm__files){.mem = b.mem});
        assert_int_equal(mm__feed_add_messages(&in, bad[i], strlen(bad[i]), NULL, &err), MM_E_FORMAT);
        assert_int_equal(in.n, 0);
        mm__feed_free(&in);
    }
    bench_close(&b);
}

/* Where a part's medium may lie. The file's name holds a space and a percent sign; MM_E_MEDIA: the bytes were looked at. */
static void reads_urls(void **state)
{
    static const char dir[] = "build/urls";
    static const struct { const char *url; mm_status want; } cases[] = {
        {"a b%.png", MM_OK}, {"file://a%20b%25.png", MM_OK}, {"file://localhost%s/a%%20b%%25.png", MM_OK}, {"file://%s/a%%20b%%25.png", MM_OK},
        {"file://a b%.png", MM_E_FORMAT}, {"file://a%2", MM_E_FORMAT}, {"file://a%00b", MM_E_FORMAT}, {"file://elsewhere/a%20b%25.png", MM_E_IO},
        {"http://a/b.png", MM_E_UNSUPPORTED}, {"data:image/png;base64,AAAA", MM_E_MEDIA}, {"data:;base64,AAAA", MM_E_MEDIA},
        {"data:image/png;base64,A*AA", MM_E_FORMAT}, {"data:image/png,AAAA", MM_E_UNSUPPORTED}, {"data:base64,AAAA", MM_E_UNSUPPORTED},
        {"data:image/png;base64", MM_E_FORMAT}};
    char here[PATH_MAX], path[PATH_MAX + 16], url[2 * PATH_MAX], doc[2 * PATH_MAX + 128];
    bench b;
    (void)state;
    bench_open(&b, "llama", 0, 1);
    (void)mkdir("build", 0777);
    assert_non_null(realpath("build", here));
    (void)mkdir(dir, 0777);
    snprintf(path, sizeof path, "%s/a b%%.png", dir);
    (void)unlink(path);
    assert_non_null(realpath(PICTURE, url));
    assert_int_equal(symlink(url, path), 0);
    snprintf(path, sizeof path, "%s/urls", here);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        mm__feed in;
        mm_error err = {.size = sizeof err};
        const char *hole = strstr(cases[i].url, "%s");
        snprintf(url, sizeof url, hole ? cases[i].url : "%s", hole ? path : cases[i].url);
        snprintf(doc, sizeof doc, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{\"url\":\"%s\"}}]}]", url);
        mm__feed_init(&in, &(mm__files){.mem = b.mem});
        const mm_status st = mm__feed_add_messages(&in, doc, strlen(doc), dir, &err);
        if (st != cases[i].want) fail_msg("%s: %d (%s)", url, st, err.text);
        mm__feed_free(&in);
    }
    bench_close(&b);
}

/* A cancel ends the answer that is due; one that finds none is not kept for the next. */
static void cancels_what_is_due(void **state)
{
    bench b;
    mm__feed in;
    mm_event e = {.size = sizeof e};
    (void)state;
    bench_open(&b, "llama", MM_SESSION_IGNORE_EOS, 1);
    mm__session_cancel(b.s);
    say(&b, "one");
    mm__session_cancel(b.s);
    mm__feed_init(&in, &(mm__files){.mem = b.mem});
    add_text(&in, "two");
    assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK);
    mm__session_cancel(b.s);
    assert_int_equal(mm__session_feed(b.s, &in, NULL), MM_OK); /* more of the same: still to be cancelled */
    mm__feed_free(&in);
    assert_int_equal(mm__session_next(b.s, &e, NULL), MM_E_CANCELLED);
    say(&b, "three");
    bench_close(&b);
}

static void remembers_once(void **state)
{
    bench b;
    (void)state;
    bench_open(&b, "llama", 0, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(mm__session_set(b.s, "truncate", i % 2 ? "0" : "1", NULL), MM_OK);
        assert_int_equal(mm__session_set(b.s, "stop", "x", NULL), MM_OK);
    }
    assert_int_equal(b.s->n_keys, 2 * (1 + 3));
    assert_string_equal(b.s->keys[0], "truncate");
    assert_string_equal(b.s->keys[1], "1");
    assert_true(b.s->truncate);
    assert_int_equal(mm__session_set(b.s, "truncate", "0", NULL), MM_OK);
    assert_int_equal(b.s->n_keys, 2 * (1 + 3));
    assert_string_equal(b.s->keys[1], "0"); /* the new value in place of the old */
    assert_int_equal(mm__session_set(b.s, "decoder_prompt", "translate", NULL), MM_OK);
    assert_int_equal(mm__session_set(b.s, "translate", "1", NULL), MM_OK); /* a value is no key */
    assert_int_equal(b.s->n_keys, 2 * (1 + 3 + 2));
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reach_the_template), cmocka_unit_test(forges_nothing),
                                       cmocka_unit_test(options_forge_nothing), cmocka_unit_test(brackets),
                                       cmocka_unit_test(refuses), cmocka_unit_test(keeps_what_was_set),
                                       cmocka_unit_test(language_length), cmocka_unit_test(remembers_once),
                                       cmocka_unit_test(refuses_messages), cmocka_unit_test(reads_urls),
                                       cmocka_unit_test(cancels_what_is_due)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
