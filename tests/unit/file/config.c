/* Hyper-parameters from JSON objects and from GGUF keys. */
#include "files.h"
#include "../../../src/file/config.h"
#include <math.h>

static mm__mem *mem;

static const char text[] =
    "{\"model_type\":\"top\",\"a\":3,\"r\":2.5,\"whole\":4.0,\"null\":null,\"big\":1e30,\"s\":\"x\",\"yes\":true,\"one\":1,"
    "\"list\":[1,2.5,3],\"names\":[\"p\",\"q\"],\"deep\":{\"model_type\":\"inner\",\"a\":7,\"deeper\":{\"b\":9}}}";

static mm__json_doc *doc;

static mm__config json_config(void)
{
    return (mm__config){.source = "some.json", .json = mm__json_root(doc), .arch = "top"};
}

static void json_numbers(void **state)
{
    const mm__config c = json_config();
    mm_error err = {.size = sizeof err};
    int64_t v;
    double d;
    assert_int_equal(mm__config_int(&c, "a", ".a", -1, 1, 10, &v, NULL), MM_OK);
    assert_int_equal(v, 3);
    assert_int_equal(mm__config_int(&c, "zz|deep.deeper.b|a", NULL, -1, 1, 10, &v, NULL), MM_OK);
    assert_int_equal(v, 9);
    assert_int_equal(mm__config_int(&c, "whole", NULL, -1, 1, 10, &v, NULL), MM_OK);
    assert_int_equal(v, 4);
    assert_int_equal(mm__config_int(&c, "null|zz", NULL, 5, 1, 10, &v, NULL), MM_OK);
    assert_int_equal(v, 5);
    assert_int_equal(mm__config_int(&c, NULL, ".a", 5, 1, 10, &v, NULL), MM_OK);
    assert_int_equal(v, 5);
    assert_int_equal(mm__config_int(&c, "zz", NULL, 0, 1, 10, &v, &err), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "some.json"));
    assert_non_null(strstr(err.text, "zz"));
    assert_int_equal(mm__config_int(&c, "a", NULL, 0, 4, 10, &v, &err), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "some.json"));
    assert_non_null(strstr(err.text, "outside 4..10"));
    assert_int_equal(mm__config_int(&c, "r", NULL, 1, 1, 10, &v, NULL), MM_E_FORMAT);
    assert_int_equal(mm__config_int(&c, "big", NULL, 1, 1, INT64_MAX, &v, NULL), MM_E_FORMAT);
    assert_int_equal(mm__config_int(&c, "s", NULL, 1, 1, 10, &v, NULL), MM_E_FORMAT);
    assert_int_equal(mm__config_int(&c, "list", NULL, 1, 1, 10, &v, NULL), MM_E_FORMAT);
    assert_int_equal(mm__config_num(&c, "r", NULL, NAN, 0, 10, &d, NULL), MM_OK);
    assert_true(d == 2.5);
    assert_int_equal(mm__config_num(&c, "a", NULL, NAN, 0, 10, &d, NULL), MM_OK);
    assert_true(d == 3);
    assert_int_equal(mm__config_num(&c, "zz", NULL, 0.5, 0, 10, &d, NULL), MM_OK);
    assert_true(d == 0.5);
    assert_int_equal(mm__config_num(&c, "zz", NULL, NAN, 0, 10, &d, NULL), MM_E_FORMAT);
    assert_int_equal(mm__config_num(&c, "big", NULL, NAN, 0, 10, &d, NULL), MM_E_FORMAT);
    assert_int_equal(mm__config_num(&c, "s", NULL, 1, 0, 10, &d, NULL), MM_E_FORMAT);
}

static void json_others(void **state)
{
    const mm__config c = json_config(), deep = mm__config_sub(&c, "zz|deep"), none = mm__config_sub(&c, "zz");
    double d[4];
    int64_t v;
    assert_true(mm__config_has(&c, "a", NULL) && !mm__config_has(&c, "null", NULL) && !mm__config_has(&c, "zz", "a"));
    assert_true(mm__config_bool(&c, "yes", NULL, false) && mm__config_bool(&c, "one", NULL, false) && mm__config_bool(&c, "zz", NULL, true));
    assert_string_equal(mm__config_str(&c, "s", NULL, "d"), "x");
    assert_string_equal(mm__config_str(&c, "a", NULL, "d"), "d");
    assert_int_equal(mm__config_array(&c, "list", NULL, d, 4), 3);
    assert_true(d[0] == 1 && d[1] == 2.5 && d[2] == 3);
    assert_int_equal(mm__config_array(&c, "list", NULL, d, 2), 2);
    assert_int_equal(mm__config_array(&c, "a", NULL, d, 4), 1);
    assert_int_equal(mm__config_array(&c, "zz", NULL, d, 4), 0);
    assert_int_equal(mm__config_array(&c, "names", NULL, d, 4), 0);
    assert_string_equal(mm__config_str_at(&c, "names", NULL, 1), "q");
    assert_null(mm__config_str_at(&c, "names", NULL, 2));
    assert_null(mm__config_str_at(&c, "zz", NULL, 0));
    assert_string_equal(deep.arch, "inner");
    assert_int_equal(mm__config_int(&deep, "a", NULL, -1, 1, 10, &v, NULL), MM_OK);
    assert_int_equal(v, 7);
    assert_false(mm__config_has(&none, "a", "a"));
    const mm__config not_object = mm__config_sub(&c, "a");
    assert_false(mm__config_has(&not_object, "a", NULL));
}

static void gguf(void **state)
{
    mm__gguf *g;
    mm_error err = {.size = sizeof err};
    int64_t v;
    double d[8];
    assert_int_equal(mm__gguf_open(&(mm__files){.mem = mem}, "tests/golden/llava/model-f16.gguf", &g, NULL), MM_OK);
    const mm__config c = {.source = mm__gguf_path(g), .gguf = g, .arch = mm__gguf_get(g, "general.architecture").s};
    assert_int_equal(mm__config_int(&c, "hidden_size", ".embedding_length", -1, 1, 1024, &v, NULL), MM_OK);
    assert_int_equal(v, 32);
    assert_int_equal(mm__config_int(&c, "hidden_size", ".embedding_length", -1, 64, 1024, &v, &err), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "model-f16.gguf"));
    assert_non_null(strstr(err.text, "llama.embedding_length"));
    assert_int_equal(mm__config_int(&c, "x", "none|llama.embedding_length", -1, 1, 1024, &v, NULL), MM_OK);
    assert_int_equal(mm__config_int(&c, "x", "tokenizer.ggml.tokens", 1, 1, 1024, &v, NULL), MM_E_FORMAT);
    assert_string_equal(mm__config_str(&c, NULL, "general.architecture", NULL), "llama");
    assert_non_null(mm__config_str_at(&c, NULL, "tokenizer.ggml.tokens", 5));
    assert_null(mm__config_str_at(&c, NULL, "tokenizer.ggml.tokens", 1u << 24));
    assert_int_equal(mm__config_array(&c, NULL, "tokenizer.ggml.scores", d, 8), 8);
    assert_int_equal(mm__config_array(&c, NULL, ".embedding_length", d, 8), 1);
    assert_true(d[0] == 32);
    assert_false(mm__config_has(&c, "x", NULL));
    const mm__config sub = mm__config_sub(&c, "text_config");
    assert_true(mm__config_has(&sub, "x", ".embedding_length"));
    mm__gguf_close(g);
}

static int setup(void **state)
{
    mem = mm__mem_create(NULL, 0);
    return mem && !mm__json_parse(mem, text, sizeof text - 1, "text", &doc, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
    mm__json_free(doc);
    mm__mem_destroy(mem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(json_numbers), cmocka_unit_test(json_others), cmocka_unit_test(gguf)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
