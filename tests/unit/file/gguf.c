/* GGUF: real files, every type of value, split files, hostile files, failing memory. */
#include "files.h"
#include "../../../src/file/gguf.h"

static mm__mem *mem;

/* ---- a builder ---------------------------------------------------------------------------------------------------- */

enum { U8, I8, U16, I16, U32, I32, F32, BOOL, STR, ARR, U64, I64, F64 };

static bytes b;

static void str(const char *s)
{
    put_u(&b, strlen(s), 8);
    put(&b, s, strlen(s));
}

static void start(uint64_t tensors, uint64_t keys)
{
    b.n = 0;
    put(&b, "GGUF", 4);
    put_u(&b, 3, 4);
    put_u(&b, tensors, 8);
    put_u(&b, keys, 8);
}

static void key_u(const char *key, int type, uint64_t v, size_t n)
{
    str(key);
    put_u(&b, (uint64_t)type, 4);
    put_u(&b, v, n);
}

static void key_array(const char *key, int elem, uint64_t count)
{
    key_u(key, ARR, (uint64_t)elem, 4);
    put_u(&b, count, 8);
}

static void tensor(const char *name, int n_dims, uint64_t d0, uint64_t d1, uint32_t type, uint64_t offset)
{
    str(name);
    put_u(&b, (uint64_t)n_dims, 4);
    if (n_dims > 0) put_u(&b, d0, 8);
    if (n_dims > 1) put_u(&b, d1, 8);
    for (int i = 2; i < n_dims && i < 6; i++) put_u(&b, 1, 8);
    put_u(&b, type, 4);
    put_u(&b, offset, 8);
}

static void data(size_t align, size_t n)
{
    while (b.n % align) put_u(&b, 0, 1);
    put_zeros(&b, n);
}

static mm_status open_file(const char *path, mm__gguf **g)
{
    mm_error err = {.size = sizeof err};
    const mm_status st = mm__gguf_open(&(mm__files){.mem = mem}, path, g, &err);
    if (st) assert_true(!*g && err.code == st && err.text[0]);
    return st;
}

/* Status of opening what was built. */
static mm_status try_open(void)
{
    char path[64];
    mm__gguf *g;
    const uint64_t live = mm__mem_live(mem);
    write_temp(b.data, b.n, path, ".gguf");
    const mm_status st = open_file(path, &g);
    mm__gguf_close(g);
    unlink(path);
    assert_int_equal(mm__mem_live(mem), live);
    return st;
}

/* ---- real files --------------------------------------------------------------------------------------------------- */

static void checkpoints(void **state)
{
    static const struct {
        const char *path;
        size_t count;
        const char *name;
        mm__dtype dtype;
        mm__shape shape;
    } cases[] = {
        {"bert/model-f32.gguf", 37, "blk.0.layer_output_norm.weight", MM__F32, {1, {32}}},
        {"flan_t5/model-f16.gguf", 52, "dec.blk.1.ffn_up.weight", MM__F16, {2, {64, 32}}},
        {"gemma3/model-f16.gguf", 54, "blk.2.attn_norm.weight", MM__F32, {1, {32}}},
        {"gpt2/model-f32.gguf", 28, "blk.1.attn_output.bias", MM__F32, {1, {32}}},
        {"llama/model-f16.gguf", 22, "blk.0.attn_v.weight", MM__F16, {2, {16, 32}}},
        {"llama/model-f32.gguf", 22, "blk.0.attn_v.weight", MM__F32, {2, {16, 32}}},
        {"llama_quant/model-Q2_K.gguf", 11, "blk.0.attn_q.weight", MM__Q2_K, {2, {256, 256}}},
        {"llama_quant/model-Q3_K_M.gguf", 11, "blk.0.attn_q.weight", MM__Q3_K, {2, {256, 256}}},
        {"llama_quant/model-Q4_0.gguf", 11, "blk.0.attn_q.weight", MM__Q4_0, {2, {256, 256}}},
        {"llama_quant/model-Q4_1.gguf", 11, "blk.0.attn_q.weight", MM__Q4_1, {2, {256, 256}}},
        {"llama_quant/model-Q4_K_M.gguf", 11, "blk.0.attn_q.weight", MM__Q4_K, {2, {256, 256}}},
        {"llama_quant/model-Q5_0.gguf", 11, "blk.0.attn_q.weight", MM__Q5_0, {2, {256, 256}}},
        {"llama_quant/model-Q5_1.gguf", 11, "blk.0.attn_q.weight", MM__Q5_1, {2, {256, 256}}},
        {"llama_quant/model-Q5_K_M.gguf", 11, "blk.0.attn_q.weight", MM__Q5_K, {2, {256, 256}}},
        {"llama_quant/model-Q6_K.gguf", 11, "blk.0.attn_q.weight", MM__Q6_K, {2, {256, 256}}},
        {"llama_quant/model-Q8_0.gguf", 11, "blk.0.attn_q.weight", MM__Q8_0, {2, {256, 256}}},
        {"llama_spm_bf16/model-bf16.gguf", 20, "blk.1.attn_norm.weight", MM__F32, {1, {32}}},
        {"llava/mmproj-f16.gguf", 41, "v.blk.0.attn_q.weight", MM__F16, {2, {32, 32}}},
        {"llava/model-f16.gguf", 21, "blk.0.attn_v.weight", MM__F16, {2, {16, 32}}},
        {"mistral/model-f16.gguf", 21, "blk.0.attn_v.weight", MM__F16, {2, {24, 32}}},
        {"phi3/model-f16.gguf", 15, "blk.0.attn_qkv.weight", MM__F16, {2, {64, 32}}},
        {"phi3_longrope/model-f16.gguf", 17, "blk.0.attn_output.weight", MM__F16, {2, {32, 32}}},
        {"qwen2/model-f32.gguf", 26, "blk.1.attn_norm.weight", MM__F32, {1, {32}}},
        {"qwen3/model-f16.gguf", 25, "blk.0.attn_v.weight", MM__F16, {2, {32, 32}}},
        {"t5/model-f16.gguf", 47, "dec.blk.1.cross_attn_norm.weight", MM__F32, {1, {32}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[96];
        mm__gguf *g;
        mm__weights *w;
        mm_error err = {.size = sizeof err};
        const uint64_t live = mm__mem_live(mem);
        snprintf(path, sizeof path, "tests/golden/%s", cases[i].path);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        if (mm__gguf_open(&(mm__files){.mem = mem}, path, &g, &err) || mm__gguf_add_weights(g, w, &err)) fail_msg("%s", err.text);
        assert_string_equal(mm__gguf_path(g), path);
        assert_int_equal(mm__weights_count(w), cases[i].count);
        const mm__weight *t = mm__weights_find(w, cases[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, cases[i].dtype);
        assert_true(mm__shape_equal(&t->shape, &cases[i].shape));
        assert_int_equal(mm__gguf_get(g, "general.architecture").kind, MM__GGUF_STR);
        assert_int_equal(mm__gguf_add_weights(g, w, NULL), MM_E_STATE);
        mm__weights_destroy(w);
        mm__gguf_close(g);
        assert_int_equal(mm__mem_live(mem), live);
    }
}

static void real_values(void **state)
{
    mm__gguf *g;
    assert_int_equal(open_file("tests/golden/llama/model-f16.gguf", &g), MM_OK);
    assert_string_equal(mm__gguf_get(g, "general.architecture").s, "llama");
    assert_int_equal(mm__gguf_get(g, "llama.embedding_length").i, 32);
    const mm__gguf_value tokens = mm__gguf_get(g, "tokenizer.ggml.tokens");
    assert_int_equal(tokens.kind, MM__GGUF_ARRAY);
    assert_int_equal(tokens.elem, MM__GGUF_STR);
    assert_true(tokens.n >= 256);
    for (size_t i = 0; i < tokens.n; i++) {
        const mm__gguf_value t = mm__gguf_elem(&tokens, i);
        assert_int_equal(t.kind, MM__GGUF_STR);
        assert_int_equal(strlen(t.s), t.n);
    }
    assert_int_equal(mm__gguf_elem(&tokens, tokens.n).kind, MM__GGUF_ABSENT);
    assert_int_equal(mm__gguf_get(g, "no.such.key").kind, MM__GGUF_ABSENT);
    mm__gguf_close(g);
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static void all_values(void **state)
{
    char path[64];
    mm__gguf *g;
    start(0, 15);
    key_u("u8", U8, 200, 1);
    key_u("i8", I8, 200, 1);
    key_u("u16", U16, 65535, 2);
    key_u("i16", I16, 65535, 2);
    key_u("u32", U32, UINT32_MAX, 4);
    key_u("i32", I32, UINT32_MAX, 4);
    key_u("f32", F32, 0x3fc00000, 4);
    key_u("bool", BOOL, 1, 1);
    str("str");
    put_u(&b, STR, 4);
    str("");
    key_u("u64", U64, INT64_MAX, 8);
    key_u("i64", I64, UINT64_MAX, 8);
    key_u("f64", F64, 0xbff8000000000000, 8);
    key_array("strings", STR, 3);
    str("one");
    put_u(&b, 3, 8);
    put(&b, "a\0b", 3);
    str("");
    key_array("halves", F32, 2);
    put_u(&b, 0x3f000000, 4);
    put_u(&b, 0xbf000000, 4);
    key_array("none", STR, 0);
    write_temp(b.data, b.n, path, ".gguf");
    assert_int_equal(open_file(path, &g), MM_OK);
    assert_int_equal(mm__gguf_get(g, "u8").i, 200);
    assert_int_equal(mm__gguf_get(g, "i8").i, -56);
    assert_int_equal(mm__gguf_get(g, "u16").i, 65535);
    assert_int_equal(mm__gguf_get(g, "i16").i, -1);
    assert_true(mm__gguf_get(g, "u32").i == UINT32_MAX && mm__gguf_get(g, "u32").f == UINT32_MAX);
    assert_int_equal(mm__gguf_get(g, "i32").i, -1);
    assert_int_equal(mm__gguf_get(g, "f32").kind, MM__GGUF_REAL);
    assert_true(mm__gguf_get(g, "f32").f == 1.5);
    assert_int_equal(mm__gguf_get(g, "bool").kind, MM__GGUF_BOOL);
    assert_int_equal(mm__gguf_get(g, "bool").i, 1);
    assert_string_equal(mm__gguf_get(g, "str").s, "");
    assert_true(mm__gguf_get(g, "u64").i == INT64_MAX);
    assert_true(mm__gguf_get(g, "i64").i == -1);
    assert_true(mm__gguf_get(g, "f64").f == -1.5);
    mm__gguf_value v = mm__gguf_get(g, "strings");
    assert_int_equal(v.n, 3);
    assert_string_equal(mm__gguf_elem(&v, 0).s, "one");
    assert_int_equal(mm__gguf_elem(&v, 1).n, 3);
    assert_memory_equal(mm__gguf_elem(&v, 1).s, "a\0b", 4);
    assert_int_equal(mm__gguf_elem(&v, 2).n, 0);
    assert_int_equal(mm__gguf_elem(&v, 3).kind, MM__GGUF_ABSENT);
    v = mm__gguf_get(g, "halves");
    assert_int_equal(v.elem, MM__GGUF_REAL);
    assert_true(mm__gguf_elem(&v, 1).f == -0.5);
    v = mm__gguf_get(g, "none");
    assert_int_equal(v.n, 0);
    assert_int_equal(mm__gguf_elem(&v, 0).kind, MM__GGUF_ABSENT);
    v = mm__gguf_get(g, "u8");
    assert_int_equal(mm__gguf_elem(&v, 0).kind, MM__GGUF_ABSENT);
    mm__gguf_close(g);
    unlink(path);
}

static void good_directories(void **state)
{
    start(2, 0);
    tensor("a", 2, 32, 3, 2, 0); /* Q4_0: 54 bytes, padded to 64 */
    tensor("b", 0, 0, 0, 0, 64);
    data(32, 68);
    assert_int_equal(try_open(), MM_OK);
    start(1, 1);
    key_u("general.alignment", U32, 65536, 4);
    tensor("a", 1, 4, 0, 0, 0);
    assert_int_equal(try_open(), MM_E_FORMAT); /* data are missing */
    start(1, 1);
    key_u("general.alignment", U16, 8, 2);
    tensor("a", 1, 4, 0, 0, 0);
    data(8, 16);
    assert_int_equal(try_open(), MM_OK);
}

/* ---- hostile files ------------------------------------------------------------------------------------------------ */

static void bad_heads(void **state)
{
    static const uint64_t counts[] = {65537, UINT32_MAX, (uint64_t)1 << 60, UINT64_MAX / 8, UINT64_MAX};
    static const uint32_t versions[] = {0, 1, 4, 0x03000000, UINT32_MAX};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        start(counts[i], 0);
        assert_int_equal(try_open(), MM_E_FORMAT);
        start(0, counts[i]);
        assert_int_equal(try_open(), MM_E_FORMAT);
        start(0, 1);
        put_u(&b, counts[i], 8); /* length of a key */
        put_zeros(&b, 64);
        assert_int_equal(try_open(), MM_E_FORMAT);
        start(0, 1);
        key_u("k", STR, counts[i], 8);
        assert_int_equal(try_open(), MM_E_FORMAT);
        for (int t = 0; t < 13; t++) {
            start(0, 1);
            key_array("k", t, counts[i]);
            put_zeros(&b, 64);
            assert_int_equal(try_open(), t == ARR ? MM_E_UNSUPPORTED : MM_E_FORMAT);
        }
    }
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        start(0, 0);
        for (int k = 0; k < 4; k++) b.data[4 + k] = (uint8_t)(versions[i] >> (8 * k));
        assert_int_equal(try_open(), MM_E_UNSUPPORTED);
    }
    start(0, 0);
    assert_int_equal(try_open(), MM_OK);
    b.data[0] = 'g';
    assert_int_equal(try_open(), MM_E_FORMAT);
}

static void bad_keys(void **state)
{
    start(0, 2);
    key_u("k", U8, 1, 1);
    key_u("k", U8, 1, 1);
    assert_int_equal(try_open(), MM_E_FORMAT); /* twice */
    start(0, 1);
    key_u("", U8, 1, 1);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(0, 1);
    put_u(&b, 2, 8);
    put(&b, "a\0", 2);
    put_u(&b, U8, 4);
    put_u(&b, 1, 1);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(0, 1);
    key_u("k", 13, 0, 8);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(0, 1);
    key_array("k", 13, 1);
    put_zeros(&b, 8);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(0, 1);
    key_u("k", BOOL, 2, 1);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(0, 1);
    key_u("k", U64, UINT64_MAX, 8);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(0, 1);
    key_array("k", U64, 1);
    put_u(&b, UINT64_MAX, 8);
    assert_int_equal(try_open(), MM_E_FORMAT);
    static const uint64_t aligns[] = {0, 1, 4, 12, 24, 131072, (uint64_t)1 << 31};
    for (size_t i = 0; i < sizeof aligns / sizeof *aligns; i++) {
        start(0, 1);
        key_u("general.alignment", U32, aligns[i], 4);
        assert_int_equal(try_open(), MM_E_FORMAT);
    }
    start(0, 1);
    key_u("general.alignment", F32, 0x42000000, 4);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(0, 1);
    str("general.alignment");
    put_u(&b, STR, 4);
    str("32");
    assert_int_equal(try_open(), MM_E_FORMAT);
}

static void bad_tensors(void **state)
{
    static const struct {
        int n_dims;
        uint64_t d0, d1;
        uint32_t type;
        uint64_t offset;
        mm_status want;
    } cases[] = {
        {1, 4, 0, 0, 0, MM_OK},
        {5, 1, 1, 0, 0, MM_E_FORMAT},
        {-1, 1, 1, 0, 0, MM_E_FORMAT},
        {1, 0, 0, 0, 0, MM_E_FORMAT},                        /* no elements */
        {2, 4, 0, 0, 0, MM_E_FORMAT},
        {1, 17, 0, 0, 0, MM_E_FORMAT},                       /* more than the file holds */
        {1, 4, 0, 0, 64, MM_E_FORMAT},
        {1, 4, 0, 0, 4, MM_E_FORMAT},                        /* not aligned */
        {1, 4, 0, 0, UINT64_MAX - 31, MM_E_FORMAT},          /* wraps */
        {1, UINT64_MAX, 0, 0, 0, MM_E_FORMAT},
        {1, INT64_MAX, 0, 0, 0, MM_E_FORMAT},
        {2, (uint64_t)1 << 42, (uint64_t)1 << 20, 0, 0, MM_E_FORMAT}, /* 2^64 bytes */
        {2, (uint64_t)1 << 62, 4, 24, 0, MM_E_FORMAT},
        {2, (uint64_t)1 << 37, (uint64_t)1 << 30, 2, 0, MM_E_FORMAT}, /* the same with blocks */
        {1, 16, 0, 2, 0, MM_E_FORMAT},                       /* half a block */
        {1, 32, 0, 4, 0, MM_E_UNSUPPORTED},
        {1, 32, 0, 20, 0, MM_E_UNSUPPORTED},
        {1, 32, 0, 99, 0, MM_E_UNSUPPORTED},
        {1, 32, 0, UINT32_MAX, 0, MM_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        start(1, 0);
        tensor("a", cases[i].n_dims, cases[i].d0, cases[i].d1, cases[i].type, cases[i].offset);
        data(32, 64);
        const mm_status st = try_open();
        if (st != cases[i].want) fail_msg("case %zu gave %d", i, (int)st);
    }
    start(2, 0);
    tensor("a", 1, 16, 0, 0, 0);
    tensor("b", 1, 16, 0, 0, 32); /* inside a */
    data(32, 128);
    assert_int_equal(try_open(), MM_E_FORMAT);
    start(2, 0);
    tensor("a", 1, 8, 0, 0, 0);
    tensor("a", 1, 8, 0, 0, 32);
    data(32, 128);
    assert_int_equal(try_open(), MM_E_FORMAT);
}

static void prefixes(void **state)
{
    char path[64];
    mm__gguf *g;
    static uint8_t all[1 << 18];
    FILE *f = fopen("tests/golden/llama_quant/model-Q2_K.gguf", "rb");
    assert_non_null(f);
    const size_t n = fread(all, 1, sizeof all, f);
    fclose(f);
    write_temp(all, n, path, ".gguf");
    for (size_t k = n - 32; k-- > 0;) {
        if (k > 8192 && k < n - 128) k = 8192;
        assert_int_equal(truncate(path, (off_t)k), 0);
        assert_int_equal(open_file(path, &g), MM_E_FORMAT);
    }
    unlink(path);
}

/* Each byte of the metadata changed in turn: an error or a file that can be read through, never a crash. */
static void mutations(void **state)
{
    char path[64];
    static uint8_t all[1 << 18];
    FILE *f = fopen("tests/golden/llama_quant/model-Q2_K.gguf", "rb");
    assert_non_null(f);
    const size_t n = fread(all, 1, sizeof all, f);
    fclose(f);
    write_temp(all, n, path, ".gguf");
    f = fopen(path, "r+b");
    assert_non_null(f);
    size_t refused = 0;
    for (size_t k = 0; k < 6016; k++) {
        static const uint8_t flips[] = {0xff, 0x01, 0x80};
        mm__gguf *g;
        mm__weights *w;
        const uint8_t c = all[k] ^ flips[k % 3];
        fseek(f, (long)k, SEEK_SET);
        fwrite(&c, 1, 1, f);
        fflush(f);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        if (open_file(path, &g)) refused++;
        else assert_int_equal(mm__gguf_add_weights(g, w, NULL), MM_OK);
        mm__gguf_close(g);
        mm__weights_destroy(w);
        fseek(f, (long)k, SEEK_SET);
        fwrite(&all[k], 1, 1, f);
    }
    fclose(f);
    unlink(path);
    assert_true(refused > 1000);
}

/* ---- split files -------------------------------------------------------------------------------------------------- */

static void write_shard(const char *dir, unsigned no, unsigned claims, unsigned count, const char *name)
{
    char path[96];
    start(1, 3);
    key_u("split.no", U16, claims, 2);
    key_u("split.count", U16, count, 2);
    key_u("marker", U8, no, 1);
    tensor(name, 1, 8, 0, 0, 0);
    data(32, 32);
    snprintf(path, sizeof path, "%s/m-%05u-of-00002.gguf", dir, no);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fwrite(b.data, 1, b.n, f);
    fclose(f);
}

static void splits(void **state)
{
    char dir[] = "/tmp/mm-test-XXXXXX", one[96], two[96], other[96];
    mm__gguf *g;
    mm__weights *w;
    assert_non_null(mkdtemp(dir));
    snprintf(one, sizeof one, "%s/m-00001-of-00002.gguf", dir);
    snprintf(two, sizeof two, "%s/m-00002-of-00002.gguf", dir);
    snprintf(other, sizeof other, "%s/other.gguf", dir);
    write_shard(dir, 1, 0, 2, "a");
    assert_int_equal(open_file(one, &g), MM_E_IO); /* the second is missing */
    write_shard(dir, 2, 1, 2, "b");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(open_file(i ? two : one, &g), MM_OK);
        assert_int_equal(mm__gguf_get(g, "marker").i, 1);
        assert_string_equal(mm__gguf_path(g), one);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        assert_int_equal(mm__gguf_add_weights(g, w, NULL), MM_OK);
        assert_int_equal(mm__weights_count(w), 2);
        assert_non_null(mm__weights_find(w, "a"));
        assert_non_null(mm__weights_find(w, "b"));
        mm__gguf_close(g);
        mm__weights_destroy(w);
    }
    write_shard(dir, 2, 1, 2, "a"); /* one name in two shards */
    assert_int_equal(open_file(one, &g), MM_OK);
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    assert_int_equal(mm__gguf_add_weights(g, w, NULL), MM_E_FORMAT);
    mm__gguf_close(g);
    mm__weights_destroy(w);
    write_shard(dir, 2, 0, 2, "b"); /* claims to be the first */
    assert_int_equal(open_file(one, &g), MM_E_FORMAT);
    write_shard(dir, 2, 1, 3, "b"); /* of three */
    assert_int_equal(open_file(one, &g), MM_E_FORMAT);
    assert_int_equal(rename(one, other), 0);
    assert_int_equal(open_file(other, &g), MM_E_FORMAT); /* not named as a shard */
    unlink(other);
    unlink(two);
    rmdir(dir);
}

static void failing_memory(void **state)
{
    for (long fail = 2;; fail++) {
        meter m = {0, fail};
        const mm_allocator host = {.size = sizeof host, .user = &m, .alloc = meter_alloc, .release = meter_release};
        mm__mem *poor = mm__mem_create(&host, 0);
        mm__weights *w = NULL;
        mm__gguf *g = NULL;
        assert_non_null(poor);
        const uint64_t live = mm__mem_live(poor);
        mm_status st = mm__weights_create(poor, &w, NULL);
        if (!st) st = mm__gguf_open(&(mm__files){.mem = poor}, "tests/golden/llama/model-f16.gguf", &g, NULL);
        if (!st) st = mm__gguf_add_weights(g, w, NULL);
        mm__gguf_close(g);
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
        cmocka_unit_test(checkpoints), cmocka_unit_test(real_values), cmocka_unit_test(all_values), cmocka_unit_test(good_directories),
        cmocka_unit_test(bad_heads), cmocka_unit_test(bad_keys), cmocka_unit_test(bad_tensors), cmocka_unit_test(prefixes),
        cmocka_unit_test(mutations), cmocka_unit_test(splits), cmocka_unit_test(failing_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
