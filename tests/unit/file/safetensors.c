/* safetensors and the weight set: real checkpoints, shards, the writer, hostile files, failing memory. */
#include "files.h"
#include "../../../src/file/weights.h"

static mm__mem *mem;

/* Status of loading these bytes; the set is thrown away. */
static mm_status load(const void *data, size_t n, size_t *count)
{
    char path[64];
    mm__weights *w;
    mm_error err = {.size = sizeof err};
    const uint64_t live = mm__mem_live(mem);
    write_temp(data, n, path, ".safetensors");
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    const mm_status st = mm__safetensors_add(&(mm__files){.mem = mem}, path, w, &err);
    if (count) *count = mm__weights_count(w);
    if (st) assert_true(err.code == st && err.text[0]);
    mm__weights_destroy(w);
    unlink(path);
    assert_int_equal(mm__mem_live(mem), live);
    return st;
}

/* The same for a header text and a number of data bytes. */
static mm_status load_header(const char *header, size_t data, size_t *count)
{
    static bytes b;
    b.n = 0;
    put_u(&b, strlen(header), 8);
    put(&b, header, strlen(header));
    put_zeros(&b, data);
    return load(b.data, b.n, count);
}

static void checkpoints(void **state)
{
    static const struct {
        const char *dir;
        size_t count;
        const char *name;
        mm__dtype dtype;
        mm__shape shape;
    } cases[] = {
        {"bert", 39, "encoder.layer.0.output.dense.bias", MM__F32, {1, {32}}},
        {"blip2_flan_t5", 129, "qformer.encoder.layer.0.crossattention.attention.key.bias", MM__F16, {1, {32}}},
        {"blip2_opt", 113, "qformer.encoder.layer.0.crossattention.output.dense.bias", MM__F16, {1, {32}}},
        {"clip", 94, "vision_model.encoder.layers.0.mlp.fc2.bias", MM__F32, {1, {32}}},
        {"dinov2", 61, "encoder.layer.1.attention.output.dense.weight", MM__F16, {2, {32, 32}}},
        {"flan_t5", 52, "decoder.block.1.layer.2.DenseReluDense.wi_1.weight", MM__F16, {2, {64, 32}}},
        {"gemma3", 54, "model.layers.2.input_layernorm.weight", MM__F16, {1, {32}}},
        {"gpt2", 28, "transformer.h.1.attn.c_proj.bias", MM__F32, {1, {32}}},
        {"idefics", 137, "model.perceiver_resampler.blocks.0.0.latents_layer_norm.bias", MM__F16, {1, {32}}},
        {"llama", 21, "model.layers.0.self_attn.v_proj.weight", MM__F32, {2, {16, 32}}},
        {"llama_quant", 11, "model.layers.0.post_attention_layernorm.weight", MM__F16, {1, {256}}},
        {"llama_sharded_f16", 35, "lm_head.weight", MM__F16, {2, {340, 32}}},
        {"llama_spm_bf16", 20, "model.layers.1.input_layernorm.weight", MM__BF16, {1, {32}}},
        {"llava", 80, "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.bias", MM__F16, {1, {32}}},
        {"minigpt4", 98, "qformer.encoder.layer.1.attention.attention.key.bias", MM__F16, {1, {32}}},
        {"mistral", 21, "model.layers.0.self_attn.v_proj.weight", MM__F16, {2, {24, 32}}},
        {"opt", 36, "model.decoder.layers.0.self_attn_layer_norm.bias", MM__F16, {1, {32}}},
        {"opt_350m", 36, "model.decoder.layers.1.fc1.bias", MM__F16, {1, {64}}},
        {"phi3", 15, "model.layers.0.self_attn.qkv_proj.weight", MM__F16, {2, {64, 32}}},
        {"phi3_longrope", 15, "model.layers.0.self_attn.qkv_proj.weight", MM__F16, {2, {64, 32}}},
        {"qwen2", 26, "model.layers.1.input_layernorm.weight", MM__F32, {1, {32}}},
        {"qwen3", 25, "model.layers.0.self_attn.v_proj.weight", MM__F16, {2, {32, 32}}},
        {"siglip", 88, "vision_model.encoder.layers.0.layer_norm1.weight", MM__F16, {1, {32}}},
        {"t5", 47, "decoder.block.1.layer.1.layer_norm.weight", MM__F16, {1, {32}}},
        {"vit", 56, "vit.encoder.layer.1.attention.output.dense.bias", MM__F32, {1, {32}}},
        {"whisper", 89, "model.decoder.layers.1.self_attn.out_proj.bias", MM__F16, {1, {32}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char dir[96];
        mm__weights *w;
        mm_error err = {.size = sizeof err};
        const uint64_t live = mm__mem_live(mem);
        snprintf(dir, sizeof dir, "tests/golden/%s", cases[i].dir);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        if (mm__safetensors_add_dir(&(mm__files){.mem = mem}, dir, w, &err)) fail_msg("%s", err.text);
        if (mm__weights_count(w) != cases[i].count) fail_msg("%s: %zu tensors", dir, mm__weights_count(w));
        const mm__weight *t = mm__weights_find(w, cases[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, cases[i].dtype);
        assert_true(mm__shape_equal(&t->shape, &cases[i].shape));
        assert_null(mm__weights_find(w, "no.such.tensor"));
        assert_true(mm__weights_any(w, "") && !mm__weights_any(w, "no.such"));
        mm__weights_destroy(w);
        assert_int_equal(mm__mem_live(mem), live);
    }
}

static void good_headers(void **state)
{
    size_t n;
    assert_int_equal(load_header("{}", 0, &n), MM_OK);
    assert_int_equal(n, 0);
    assert_int_equal(load_header("{\"__metadata__\":{\"a\":\"b\"},\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}   ", 8, &n), MM_OK);
    assert_int_equal(n, 1);
    /* a scalar, an empty tensor, any order */
    assert_int_equal(load_header("{\"s\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[4,6]},\"e\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[4,4]},"
                                 "\"a\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 6, &n), MM_OK);
    assert_int_equal(n, 3);
    /* types and ranks we lack are validated and left out */
    assert_int_equal(load_header("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[3],\"data_offsets\":[0,3]},\"b\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[3,4]},"
                                 "\"c\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[4,12]},\"d\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1],\"data_offsets\":[12,13]},"
                                 "\"e\":{\"dtype\":\"NEW\",\"shape\":[9],\"data_offsets\":[13,14]}}", 14, &n), MM_OK);
    assert_int_equal(n, 2);
}

static void bad_headers(void **state)
{
    static const struct {
        const char *header;
        size_t data;
    } cases[] = {
        {"", 0}, {"[]", 0}, {"{", 0}, {" {}", 0}, {"{}x", 0}, {"{}", 1}, {"null", 0},
        {"{\"a\":1}", 0}, {"{\"a\":{}}", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4},       /* extent too small */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8},       /* extent too large */
        {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8},   /* also for types we lack */
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1},        /* half a byte */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3},       /* cut off */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5},       /* trailing byte */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8},       /* hole at the start */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}}", 12}, /* hole */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[2,6]}}", 6},   /* overlap */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4},   /* shared */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8},   /* one name twice */
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4},        /* no name */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", 0}, /* wraps to 0 */
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]}}", 0},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 4},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const mm_status st = load_header(cases[i].header, cases[i].data, NULL);
        if (st != MM_E_FORMAT && st != MM_E_LIMIT) fail_msg("case %zu gave %d: %s", i, (int)st, cases[i].header);
    }
}

static void bad_lengths(void **state)
{
    static const uint64_t lengths[] = {0, 1, 3, 100000001, UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX - 7, UINT64_MAX};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        bytes b = {.n = 0};
        put_u(&b, lengths[i], 8);
        put(&b, "{}", 2);
        assert_int_equal(load(b.data, b.n, NULL), MM_E_FORMAT);
    }
}

/* Every prefix of a file is refused. */
static void prefixes(void **state)
{
    char path[64];
    static uint8_t data[1 << 18];
    FILE *f = fopen("tests/golden/phi3/model.safetensors", "rb");
    assert_non_null(f);
    const size_t n = fread(data, 1, sizeof data, f);
    fclose(f);
    uint64_t header = 0;
    memcpy(&header, data, 8);
    write_temp(data, n, path, ".safetensors");
    for (size_t k = n; k-- > 0;) {
        mm__weights *w;
        if (k > header + 16 && k < n - 64) k = (size_t)header + 16;
        assert_int_equal(truncate(path, (off_t)k), 0);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        assert_int_equal(mm__safetensors_add(&(mm__files){.mem = mem}, path, w, NULL), MM_E_FORMAT);
        mm__weights_destroy(w);
    }
    unlink(path);
}

static void bad_index(void **state)
{
    static const char *const texts[] = {
        "", "[]", "{}", "{\"weight_map\":{}}", "{\"weight_map\":[\"a\"]}", "{\"weight_map\":{\"a\":1}}", "{\"weight_map\":{\"a\":\"../model.safetensors\"}}",
        "{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "{\"weight_map\":{\"a\":\"\"}}", "{\"weight_map\":{\"a\":\"..\"}}", "{\"weight_map\":{\"a\":\"absent.safetensors\"}}",
    };
    char dir[] = "/tmp/mm-test-XXXXXX", path[96];
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        mm__weights *w;
        FILE *f = fopen(path, "wb");
        fputs(texts[i], f);
        fclose(f);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        const mm_status st = mm__safetensors_add_dir(&(mm__files){.mem = mem}, dir, w, NULL);
        if (st != MM_E_FORMAT && !(st == MM_E_IO && strstr(texts[i], "absent"))) fail_msg("case %zu gave %d", i, (int)st);
        mm__weights_destroy(w);
    }
    unlink(path);
    mm__weights *w;
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    assert_int_equal(mm__safetensors_add_dir(&(mm__files){.mem = mem}, dir, w, NULL), MM_E_IO);
    mm__weights_destroy(w);
    rmdir(dir);
}

static void writing(void **state)
{
    float x[12];
    const char *const names[] = {"plain \"name\"", "turned", "scalar", "empty"};
    for (int i = 0; i < 12; i++) x[i] = (float)i;
    const mm__view views[] = {
        mm__view_of(MM__F32, mm__shape2(3, 4), x), {MM__F32, mm__shape3(2, 2, 2), {2, 4, 1, 0}, x},
        mm__view_of(MM__F32, (mm__shape){0}, x + 7), mm__view_of(MM__F32, mm__shape2(2, 0), x),
    };
    char path[64];
    mm__weights *w;
    float y[12];
    write_temp("", 0, path, ".safetensors");
    assert_int_equal(mm__safetensors_write(mem, path, names, views, 4, NULL), MM_OK);
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    assert_int_equal(mm__safetensors_add(&(mm__files){.mem = mem}, path, w, NULL), MM_OK);
    assert_int_equal(mm__weights_count(w), 4);
    assert_int_equal(mm__weight_read(mm__weights_find(w, names[0]), 0, y, 48, NULL), MM_OK);
    assert_memory_equal(x, y, 48);
    const float turned[] = {0, 1, 4, 5, 2, 3, 6, 7};
    assert_int_equal(mm__weight_read(mm__weights_find(w, "turned"), 0, y, 32, NULL), MM_OK);
    assert_memory_equal(turned, y, 32);
    assert_int_equal(mm__weight_read(mm__weights_find(w, "scalar"), 0, y, 4, NULL), MM_OK);
    assert_true(y[0] == 7);
    mm__weights_destroy(w);
    unlink(path);
    assert_int_equal(mm__safetensors_write(mem, "/no/such/place", names, views, 1, NULL), MM_E_IO);
    const mm__view half = mm__view_of(MM__F16, mm__shape1(4), x);
    assert_int_equal(mm__safetensors_write(mem, path, names, &half, 1, NULL), MM_E_ARG);
}

static void weight_set(void **state)
{
    char path[64];
    uint8_t data[64] = {0}, out[64];
    mm__io *io;
    mm__weights *w;
    mm_error err = {.size = sizeof err};
    write_temp(data, sizeof data, path, ".bin");
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    assert_int_equal(mm__io_open_path(&(mm__files){.mem = mem}, path, &io, NULL), MM_OK);
    assert_int_equal(mm__weights_own_io(w, io, NULL), MM_OK);
    assert_int_equal(mm__weights_add(w, "a", 1, MM__F32, mm__shape2(2, 4), io, 0, 32, NULL), MM_OK);
    assert_int_equal(mm__weights_add(w, "a", 1, MM__F32, mm__shape1(1), io, 32, 4, NULL), MM_E_FORMAT);
    assert_int_equal(mm__weights_add(w, "b", 1, MM__F32, mm__shape1(8), io, 32, 31, NULL), MM_E_FORMAT);
    assert_int_equal(mm__weights_add(w, "b", 1, MM__F32, mm__shape1(8), io, 33, 32, NULL), MM_E_FORMAT);
    assert_int_equal(mm__weights_add(w, "b", 1, MM__F32, mm__shape1(8), io, UINT64_MAX - 3, 32, NULL), MM_E_FORMAT);
    assert_int_equal(mm__weights_add(w, "b\0c", 3, MM__F32, mm__shape1(8), io, 32, 32, NULL), MM_E_FORMAT);
    assert_int_equal(mm__weights_add(w, "b", 0, MM__F32, mm__shape1(8), io, 32, 32, NULL), MM_E_FORMAT);
    assert_int_equal(mm__weights_count(w), 1);
    assert_int_equal(mm__weights_alias(w, "second", "a", NULL), MM_OK);
    assert_int_equal(mm__weights_alias(w, "second", "a", NULL), MM_E_FORMAT);
    assert_int_equal(mm__weights_alias(w, "third", "none", NULL), MM_E_FORMAT);
    assert_ptr_equal(mm__weights_find(w, "second"), mm__weights_at(w, 0));
    assert_true(mm__weights_any(w, "sec"));
    assert_null(mm__weights_at(w, 1));
    const mm__weight *a = mm__weights_find(w, "a");
    assert_int_equal(mm__weight_read(a, 0, out, 32, NULL), MM_OK);
    assert_int_equal(mm__weight_read(a, 32, out, 0, NULL), MM_OK);
    assert_int_equal(mm__weight_read(a, 1, out, 32, NULL), MM_E_ARG);
    assert_int_equal(mm__weight_read(a, SIZE_MAX, out, 2, NULL), MM_E_ARG);
    assert_int_equal(truncate(path, 8), 0); /* the file shrinks under us */
    assert_true(mm__weight_read(a, 0, out, 32, &err) < 0);
    assert_true(err.text[0]);
    mm__weights_destroy(w);
    unlink(path);
}

static void failing_memory(void **state)
{
    for (long fail = 2;; fail++) {
        meter m = {0, fail};
        const mm_allocator host = {.size = sizeof host, .user = &m, .alloc = meter_alloc, .release = meter_release};
        mm__mem *poor = mm__mem_create(&host, 0);
        mm__weights *w = NULL;
        assert_non_null(poor);
        const uint64_t live = mm__mem_live(poor);
        mm_status st = mm__weights_create(poor, &w, NULL);
        if (!st) st = mm__safetensors_add_dir(&(mm__files){.mem = poor}, "tests/golden/llama_sharded_f16", w, NULL);
        mm__weights_destroy(w);
        assert_int_equal(mm__mem_live(poor), live);
        mm__mem_destroy(poor);
        if (st == MM_OK) break;
        assert_int_equal(st, MM_E_NOMEM);
    }
}

static int setup(void **state)
{
    mem = mm__mem_create(NULL, 0);
    return mem ? 0 : -1;
}

static int teardown(void **state)
{
    mm__mem_destroy(mem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints), cmocka_unit_test(good_headers), cmocka_unit_test(bad_headers), cmocka_unit_test(bad_lengths),
        cmocka_unit_test(prefixes), cmocka_unit_test(bad_index), cmocka_unit_test(writing), cmocka_unit_test(weight_set),
        cmocka_unit_test(failing_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
