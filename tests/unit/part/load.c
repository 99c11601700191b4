/* The loader: names to constants. Weights lie in memory, the backend is a recorder that keeps what was uploaded. */
#include "../../../src/part/load.h"
#include "../../../src/base/buf.h"
#include "../../../src/base/error.h"
#include "../../../src/part/plain.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "recorder.h"

/* ---- fixture ---- */

typedef struct fixture {
    mm__mem *mem;
    mm__backend backend;
    mm__weights *weights;
    mm__store *store;
    mm__loader ld;
    unsigned char bytes[4096];
    size_t used;
    uint64_t at_start;
    mm__io *io;
} fixture;

static mm_error err = {.size = sizeof err};

static void add(fixture *f, const char *name, mm__dtype t, mm__shape s, const void *data)
{
    size_t bytes;
    assert_true(mm__tensor_bytes(t, &s, &bytes));
    assert_true(f->used + bytes <= sizeof f->bytes);
    memcpy(f->bytes + f->used, data, bytes);
    assert_int_equal(mm__weights_add(f->weights, name, strlen(name), t, s, f->io, f->used, bytes, &err), MM_OK);
    f->used += bytes;
}

static const mm__names names[] = {{"q", {"layers.%d.q", "blk.%d.attn_q", NULL, "layer_%d/q"}},
                                  {"k", {"layers.%d.k", "blk.%d.attn_k", NULL, "layer_%d/k"}},
                                  {"norm", {"layers.%d.norm|layers.%d.old_norm", "blk.%d.norm", NULL, "layer_%d/norm"}},
                                  {"table", {"table=", NULL, NULL, "table"}},
                                  {"head", {"lm_head", NULL, NULL, NULL}},
                                  {NULL, {NULL}}};

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->mem = mm__mem_create(NULL, 0);
    f->at_start = mm__mem_live(f->mem);
    f->backend = (mm__backend){.ops = &keep_ops, .mem = f->mem, .exact = true};
    mm__weights_create(f->mem, &f->weights, &err);
    mm__io_open_memory(f->mem, f->bytes, sizeof f->bytes, "memory", &f->io, &err);
    mm__weights_own_io(f->weights, f->io, &err);
    mm__store_create(&f->backend, NULL, NULL, 0, &f->store, &err);
    f->ld = (mm__loader){
        .store = f->store, .mem = f->mem, .weights = f->weights, .names = names, .prefixes = {""}, .roots = {"model.", ""}};
    f->ld.config.source = "test";
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    mm__store_destroy(f->store);
    mm__weights_destroy(f->weights);
    assert_int_equal(mm__mem_live(f->mem), f->at_start);
    mm__mem_destroy(f->mem);
    free(f);
    return 0;
}

static const float six[6] = {1, 2, 3, 4, 5, 6};

/* ---- tests ---- */

static void test_names(void **state)
{
    fixture *f = *state;
    add(f, "lang.model.layers.3.q.weight", MM__F32, mm__shape2(2, 3), six);
    add(f, "lang.layers.3.old_norm.gamma", MM__F32, mm__shape1(3), six);
    add(f, "table", MM__F32, mm__shape1(6), six);
    f->ld.prefixes[0] = "language_model.";
    f->ld.prefixes[1] = "lang.";
    f->ld.prefixes[2] = "";
    assert_true(mm__loader_has(&f->ld, "q", 3, ".weight"));
    assert_false(mm__loader_has(&f->ld, "q", 4, ".weight"));
    assert_true(mm__loader_has(&f->ld, "norm", 3, ".weight"));
    assert_true(mm__loader_has(&f->ld, "table", 0, ".weight"));
    assert_false(mm__loader_has(&f->ld, "unknown", 0, ".weight"));
    f->ld.scheme = MM__NAMES_GGUF;
    assert_false(mm__loader_has(&f->ld, "q", 3, ".weight"));
}

static void test_missing(void **state)
{
    fixture *f = *state;
    assert_null(mm__load(&f->ld, "q", 0, ".weight", mm__shape2(2, 3), MM__USE_LINEAR, MM__LOAD_OPTIONAL));
    assert_int_equal(f->ld.status, MM_OK);
    assert_null(mm__load(&f->ld, "q", 7, ".weight", mm__shape2(2, 3), MM__USE_LINEAR, 0));
    assert_int_equal(mm__loader_status(&f->ld, &err), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "layers.7.q.weight"));
    mm__loader_fail(&f->ld, MM_E_NOMEM, "a later error");
    assert_int_equal(f->ld.status, MM_E_FORMAT);
}

static void test_wrong_shape(void **state)
{
    fixture *f = *state;
    add(f, "layers.0.q.weight", MM__F32, mm__shape2(2, 3), six);
    assert_null(mm__load(&f->ld, "q", 0, ".weight", mm__shape2(3, 2), MM__USE_LINEAR, 0));
    assert_int_equal(mm__loader_status(&f->ld, &err), MM_E_FORMAT);
    assert_non_null(strstr(err.text, "layers.0.q.weight"));
    assert_non_null(strstr(err.text, "[2, 3]"));
    assert_non_null(strstr(err.text, "[3, 2]"));
}

static void test_reshape_and_part(void **state)
{
    fixture *f = *state;
    add(f, "layers.0.q.weight", MM__F32, mm__shape2(3, 2), six);
    const mm__tensor *t = mm__load(&f->ld, "q", 0, ".weight", mm__shape2(2, 3), MM__USE_LINEAR, MM__LOAD_RESHAPE);
    assert_non_null(t);
    assert_memory_equal(t->data, six, sizeof six);
    t = mm__load_part(&f->ld, "q", 0, ".weight", mm__shape2(2, 2), 1, 3, MM__USE_LINEAR, 0);
    assert_non_null(t);
    assert_memory_equal(t->data, six + 2, 4 * sizeof *six);
    assert_null(mm__load_part(&f->ld, "q", 0, ".weight", mm__shape2(2, 2), 2, 3, MM__USE_LINEAR, 0));
    assert_int_equal(f->ld.status, MM_E_INTERNAL);
}

static void test_transpose(void **state)
{
    fixture *f = *state;
    uint16_t half[6];
    const uint16_t *got;
    for (int i = 0; i < 6; i++) half[i] = mm__f32_to_f16(six[i]);
    add(f, "layers.0.q.weight", MM__F16, mm__shape2(2, 3), half);
    add(f, "blk.0.attn_q.weight", MM__F16, mm__shape2(3, 2), half);
    const mm__tensor *t = mm__load(&f->ld, "q", 0, ".weight", mm__shape2(3, 2), MM__USE_LINEAR, MM__LOAD_TRANSPOSE);
    assert_non_null(t);
    got = t->data;
    assert_int_equal(t->dtype, MM__F16);
    const int order[6] = {0, 3, 1, 4, 2, 5};
    for (int i = 0; i < 6; i++) assert_int_equal(got[i], half[order[i]]);
    f->ld.scheme = MM__NAMES_GGUF; /* stored the right way round there */
    t = mm__load(&f->ld, "q", 0, ".weight", mm__shape2(3, 2), MM__USE_LINEAR, MM__LOAD_TRANSPOSE);
    assert_non_null(t);
    assert_memory_equal(t->data, half, sizeof half);
}

static void test_add_one(void **state)
{
    fixture *f = *state;
    add(f, "layers.0.norm.weight", MM__F32, mm__shape1(6), six);
    add(f, "blk.0.norm.weight", MM__F32, mm__shape1(6), six);
    mm__norm n = mm__load_norm(&f->ld, "norm", 0, MM__NORM_RMS, 6, 1e-6, MM__LOAD_ADD_ONE);
    for (int i = 0; i < 6; i++) assert_float_equal(((float *)n.w->data)[i], six[i] + 1, 0);
    f->ld.scheme = MM__NAMES_GGUF;
    n = mm__load_norm(&f->ld, "norm", 0, MM__NORM_RMS, 6, 1e-6, MM__LOAD_ADD_ONE);
    assert_memory_equal(n.w->data, six, sizeof six);
}

static void test_stack(void **state)
{
    static const char *const keys[] = {"q", "k"};
    const int64_t outs[2] = {2, 1};
    fixture *f = *state;
    uint16_t half[3] = {0};
    add(f, "layers.0.q.weight", MM__F32, mm__shape2(2, 3), six);
    add(f, "layers.0.k.weight", MM__F32, mm__shape2(1, 3), six + 3);
    add(f, "layers.0.k.bias", MM__F32, mm__shape1(1), six + 5);
    mm__linear l = mm__load_linear_stack(&f->ld, NULL, keys, 2, 0, 3, outs, 0);
    assert_int_equal(f->ld.status, MM_OK);
    assert_int_equal(l.n_w, 1);
    assert_int_equal(l.out, 3);
    assert_memory_equal(l.w[0]->data, six, sizeof six);
    assert_memory_equal((float *)l.w[0]->data + 6, six + 3, 3 * sizeof *six);
    const float bias[3] = {0, 0, 6};
    assert_memory_equal(l.bias->data, bias, sizeof bias);
    add(f, "layers.1.q.weight", MM__F32, mm__shape2(2, 3), six);
    add(f, "layers.1.k.weight", MM__F16, mm__shape2(1, 3), half);
    l = mm__load_linear_stack(&f->ld, NULL, keys, 2, 1, 3, outs, 0);
    assert_int_equal(f->ld.status, MM_OK);
    assert_int_equal(l.n_w, 2); /* different types stay apart */
    assert_int_equal(l.w[1]->dtype, MM__F16);
    assert_null(l.bias);
}

static void test_integer_weights(void **state)
{
    fixture *f = *state;
    const int8_t q[6] = {10, -20, 30, 40, 50, -60};
    const float scale[2] = {10, 20}, want[6] = {1, -2, 3, 2, 2.5f, -3};
    f->ld.scheme = MM__NAMES_CT2;
    add(f, "layer_0/q/weight", MM__I8, mm__shape2(2, 3), q);
    assert_null(mm__load(&f->ld, "q", 0, ".weight", mm__shape2(2, 3), MM__USE_LINEAR, 0));
    assert_int_equal(f->ld.status, MM_E_FORMAT); /* no scale */
    f->ld.status = MM_OK;
    add(f, "layer_0/q/weight_scale", MM__F32, mm__shape1(2), scale);
    const mm__tensor *t = mm__load(&f->ld, "q", 0, ".weight", mm__shape2(2, 3), MM__USE_LINEAR, 0);
    assert_non_null(t);
    assert_memory_equal(t->data, want, sizeof want);
    t = mm__load_part(&f->ld, "q", 0, ".weight", mm__shape2(1, 3), 1, 2, MM__USE_LINEAR, 0);
    assert_non_null(t);
    assert_memory_equal(t->data, want + 3, 3 * sizeof *want);
}

static int32_t stop(void *user, const char *stage, uint64_t done, uint64_t total)
{
    ++*(int *)user;
    return done > 12;
}

static void test_progress_stops(void **state)
{
    fixture *f = *state;
    int calls = 0;
    mm__store_destroy(f->store);
    assert_int_equal(mm__store_create(&f->backend, stop, &calls, 24, &f->store, &err), MM_OK);
    f->ld.store = f->store;
    add(f, "layers.0.q.weight", MM__F32, mm__shape2(2, 3), six);
    assert_null(mm__load(&f->ld, "q", 0, ".weight", mm__shape2(2, 3), MM__USE_LINEAR, 0));
    assert_int_equal(f->ld.status, MM_E_CANCELLED);
    assert_int_equal(calls, 2);
}

/* ---- rotary positions a GGUF file has scaled ---- */

#define YARN "build/yarn.gguf"

static void put_u(mm__buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) mm__buf_putc(b, (char)(v >> 8 * i));
}

static void put_key(mm__buf *b, const char *key, uint32_t type)
{
    put_u(b, strlen(key), 8);
    mm__buf_puts(b, key);
    put_u(b, type, 4);
}

static void put_f32(mm__buf *b, const char *key, float v)
{
    put_key(b, key, 6);
    mm__buf_put(b, &v, sizeof v);
}

/* A file of YaRN by a factor of 4, and with `key` one number more. */
static void write_yarn(mm__mem *mem, const char *key, float v)
{
    mm__buf b;
    mm__buf_init(&b, mem);
    mm__buf_puts(&b, "GGUF");
    put_u(&b, 3, 4);
    put_u(&b, 0, 8);
    put_u(&b, key ? 4 : 3, 8);
    put_key(&b, "x.rope.scaling.type", 8);
    put_u(&b, 4, 8);
    mm__buf_puts(&b, "yarn");
    put_f32(&b, "x.rope.scaling.factor", 4);
    put_key(&b, "x.rope.scaling.original_context_length", 4);
    put_u(&b, 64, 4);
    if (key) put_f32(&b, key, v);
    mkdir("build", 0777);
    FILE *f = fopen(YARN, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(b.data, 1, b.len, f), b.len);
    assert_int_equal(fclose(f), 0);
    mm__buf_free(&b);
}

/* The factor of cosine and sine that such a file asks for. */
static double yarn_scale(fixture *f, const char *key, float v)
{
    const mm__sizes s = {.n_ctx = 256, .rope_base = 1e4};
    mm__gguf *g;
    mm__loader ld = f->ld;
    write_yarn(f->mem, key, v);
    if (mm__gguf_open(&(mm__files){.mem = f->mem}, YARN, &g, &err) != MM_OK) fail_msg("%s", err.text);
    ld.scheme = MM__NAMES_GGUF;
    ld.config.gguf = g;
    ld.config.arch = "x";
    const mm__rope r = mm__plain_rope(&ld, &s, 16, false);
    f->ld.status = ld.status;
    mm__gguf_close(g);
    return r.scale;
}

static void test_yarn_attention_factor(void **state)
{
    fixture *f = *state;
    const double usual = 0.1 * log(4) + 1;
    assert_float_equal(yarn_scale(f, NULL, 0), usual, 1e-6);
    assert_int_equal(f->ld.status, MM_OK);
    assert_float_equal(yarn_scale(f, "x.rope.scaling.yarn_attn_factor", 0.5f), 0.5 * usual, 1e-6);
    assert_int_equal(f->ld.status, MM_OK);
    yarn_scale(f, "x.rope.scaling.yarn_attn_factor", -1);
    assert_int_equal(f->ld.status, MM_E_FORMAT);
}

static void test_activations(void **state)
{
    mm__act act;
    assert_int_equal(mm__act_from_name("gelu_pytorch_tanh", &act, &err), MM_OK);
    assert_int_equal(act, MM__ACT_GELU_TANH);
    assert_int_equal(mm__act_from_name("mish", &act, &err), MM_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "mish"));
}

/* Every allocation fails once; nothing leaks and the error is out of memory. */
static void test_allocation_failures(void **state)
{
    static const char *const keys[] = {"q", "k"};
    const int64_t outs[2] = {2, 1};
    fixture *f = *state;
    add(f, "layers.0.q.weight", MM__F32, mm__shape2(2, 3), six);
    add(f, "layers.0.k.weight", MM__F32, mm__shape2(1, 3), six);
    add(f, "layers.0.k.bias", MM__F32, mm__shape1(1), six);
    add(f, "layers.0.norm.weight", MM__F32, mm__shape1(6), six);
    bool done = false;
    for (int k = 0; k < 100 && !done; k++) {
        failing fail = {.left = 1 << 30};
        mm_allocator host = {.size = sizeof host, .user = &fail, .alloc = fail_alloc, .release = fail_release};
        mm__mem *mem = mm__mem_create(&host, 0);
        const uint64_t at_start = mm__mem_live(mem);
        mm__backend b = {.ops = &keep_ops, .mem = mem, .exact = true};
        mm__store *store;
        fail.left = k;
        if (mm__store_create(&b, NULL, NULL, 0, &store, &err) >= 0) {
            mm__loader ld = f->ld;
            ld.store = store;
            ld.mem = mem;
            mm__load_linear_stack(&ld, NULL, keys, 2, 0, 3, outs, 0);
            mm__load_linear(&ld, "q", 0, 2, 3, MM__LOAD_TRANSPOSE);
            mm__load_norm(&ld, "norm", 0, MM__NORM_RMS, 6, 1e-6, MM__LOAD_ADD_ONE);
            done = ld.status >= 0;
            if (!done) assert_int_equal(ld.status, MM_E_NOMEM);
            mm__store_destroy(store);
        }
        assert_int_equal(mm__mem_live(mem), at_start);
        mm__mem_destroy(mem);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_names, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_missing, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_wrong_shape, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_reshape_and_part, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_transpose, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_add_one, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_stack, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_integer_weights, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_progress_stops, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_yarn_attention_factor, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_activations, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_allocation_failures, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
