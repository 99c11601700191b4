/* Options by key, and what reaches the chat template besides texts: tools, variables, further members of a message. */
#include "bench.h"

#include "../../../src/text/template.h"

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

static void refuses(void **state)
{
    static const char *const bad[][2] = {{"tools", "[1, "},      {"tools", "{}"},    {"variables", "[]"}, {"variables", "x"},
                                         {"task", "dance"},      {"stop", ""},       {"translate", "2"},  {"force_ids", "1 x"},
                                         {"force_ids", "-1"},    {"force_ids", "99999999"}};
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
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reach_the_template), cmocka_unit_test(forges_nothing), cmocka_unit_test(refuses),
                                       cmocka_unit_test(remembers_once)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
