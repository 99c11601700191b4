/* The ggml .bin and CTranslate2 containers. */
#include "files.h"
#include "../../../src/file/legacy_speech.h"
#include <math.h>

static mm__mem *mem;

/* ---- ggml .bin ---------------------------------------------------------------------------------------------------- */

static const char golden[] = "tests/golden/whisper/ggml-f16.bin";

static size_t read_golden(uint8_t *all, size_t cap)
{
    FILE *f = fopen(golden, "rb");
    assert_non_null(f);
    const size_t n = fread(all, 1, cap, f);
    fclose(f);
    return n;
}

static void ggml_golden(void **state)
{
    mm__io *io;
    mm__weights *w;
    mm__ggml_bin *g;
    mm_error err = {.size = sizeof err};
    const uint64_t live = mm__mem_live(mem);
    assert_int_equal(mm__io_open_path(&(mm__files){.mem = mem}, golden, &io, NULL), MM_OK);
    uint8_t first[4];
    assert_int_equal(mm__io_read(io, 0, first, 4, NULL), MM_OK);
    assert_true(mm__ggml_bin_is(first, mm__io_size(io)));
    assert_false(mm__ggml_bin_is(first, 47));
    mm__io_close(io);
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    if (mm__ggml_bin_open(&(mm__files){.mem = mem}, golden, w, &g, &err)) fail_msg("%s", err.text);
    const int32_t want[] = {431, 100, 32, 4, 2, 48, 32, 4, 2, 80, 1};
    const int32_t got[] = {g->n_vocab, g->n_audio_ctx, g->n_audio_state, g->n_audio_head, g->n_audio_layer, g->n_text_ctx,
                           g->n_text_state, g->n_text_head, g->n_text_layer, g->n_mels, g->ftype};
    assert_memory_equal(got, want, sizeof want);
    assert_int_equal(g->n_freq, 201);
    float sum = 0;
    for (int i = 0; i < 80 * 201; i++) {
        assert_true(isfinite(g->mel[i]) && g->mel[i] >= 0);
        sum += g->mel[i];
    }
    assert_true(sum > 0);
    assert_true(g->n_tokens > 256 && g->n_tokens <= 431);
    for (size_t i = 0; i < g->n_tokens; i++) assert_int_equal(g->tokens[i][g->token_len[i]], 0);
    const mm__weight *t = mm__weights_find(w, "encoder.conv1.weight");
    const mm__shape conv = mm__shape3(32, 80, 3), bias = mm__shape2(32, 1), embedding = mm__shape2(431, 32);
    assert_true(t && t->dtype == MM__F16 && mm__shape_equal(&t->shape, &conv));
    t = mm__weights_find(w, "encoder.conv1.bias");
    assert_true(t && t->dtype == MM__F32 && mm__shape_equal(&t->shape, &bias));
    t = mm__weights_find(w, "decoder.token_embedding.weight");
    assert_true(t && mm__shape_equal(&t->shape, &embedding));
    mm__ggml_bin_free(g);
    mm__weights_destroy(w);
    assert_int_equal(mm__mem_live(mem), live);
}

/* Cut anywhere, the file is refused; only a cut exactly between two tensors goes unseen, as the format has no count. */
static void ggml_prefixes(void **state)
{
    static uint8_t all[1 << 18], whole[1 << 18];
    char path[64];
    mm__weights *w;
    mm__ggml_bin *g;
    const size_t n = read_golden(all, sizeof all);
    write_temp(all, n, path, ".bin");
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    assert_int_equal(mm__ggml_bin_open(&(mm__files){.mem = mem}, path, w, &g, NULL), MM_OK);
    for (size_t i = 0; i < mm__weights_count(w); i++) {
        const mm__weight *t = mm__weights_at(w, i);
        whole[t->offset - strlen(t->name) - 4 * (size_t)t->shape.n - 12] = 1;
    }
    mm__ggml_bin_free(g);
    mm__weights_destroy(w);
    for (size_t k = n; k-- > 0; k -= k > 300 && !whole[k] && k % 7 ? k % 7 : 0) {
        assert_int_equal(truncate(path, (off_t)k), 0);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        const mm_status st = mm__ggml_bin_open(&(mm__files){.mem = mem}, path, w, &g, NULL);
        if (st != (whole[k] ? MM_OK : MM_E_FORMAT)) fail_msg("%zu bytes gave %d", k, (int)st);
        mm__ggml_bin_free(g);
        mm__weights_destroy(w);
    }
    unlink(path);
}

/* Bytes before the first tensor's data changed in turn; the filterbank and the token texts are sampled. */
static void ggml_mutations(void **state)
{
    static uint8_t all[1 << 18];
    char path[64];
    size_t refused = 0;
    const size_t n = read_golden(all, sizeof all), filterbank = 14 * 4, tokens = filterbank + 80 * 201 * 4;
    write_temp(all, n, path, ".bin");
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    for (size_t k = 0; k < tokens + 4000; k += k >= filterbank && k < tokens - 200 ? 97 : 1) {
        mm__weights *w;
        mm__ggml_bin *g;
        const uint8_t c = (uint8_t)(all[k] ^ (k % 2 ? 0xff : 0x80));
        fseek(f, (long)k, SEEK_SET);
        fwrite(&c, 1, 1, f);
        fflush(f);
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        refused += mm__ggml_bin_open(&(mm__files){.mem = mem}, path, w, &g, NULL) != MM_OK;
        mm__ggml_bin_free(g);
        mm__weights_destroy(w);
        fseek(f, (long)k, SEEK_SET);
        fwrite(&all[k], 1, 1, f);
    }
    fclose(f);
    unlink(path);
    assert_true(refused > 1000);
}

/* A tensor's type that is unknown, one that its rows are no whole blocks of, and so many values that no size holds them. */
static void ggml_bad_tensors(void **state)
{
    static uint8_t all[1 << 18];
    static const struct { uint32_t type, axis; mm_status want; const char *word; } cases[] = {
        {1, 3, MM_OK, ""}, {99, 3, MM_E_UNSUPPORTED, "is of type"}, {8, 3, MM_E_FORMAT, "impossible shape"},
        {1, INT32_MAX, MM_E_FORMAT, ""}};
    char path[64];
    mm__weights *w;
    mm__ggml_bin *g;
    mm_error err = {.size = sizeof err};
    const size_t n = read_golden(all, sizeof all);
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    assert_int_equal(mm__ggml_bin_open(&(mm__files){.mem = mem}, golden, w, &g, NULL), MM_OK);
    const mm__weight *t = mm__weights_find(w, "encoder.conv1.weight");
    const size_t at = t->offset - strlen(t->name) - 4 * (size_t)t->shape.n - 4; /* the type, then the axes, the last one first */
    mm__ggml_bin_free(g);
    mm__weights_destroy(w);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(all + at, &cases[i].type, 4);
        memcpy(all + at + 4, &cases[i].axis, 4);
        write_temp(all, n, path, ".bin");
        assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
        assert_int_equal(mm__ggml_bin_open(&(mm__files){.mem = mem}, path, w, &g, &err), cases[i].want);
        if (cases[i].want && !strstr(err.text, cases[i].word)) fail_msg("%s", err.text);
        unlink(path);
        mm__ggml_bin_free(g);
        mm__weights_destroy(w);
    }
}

/* ---- CTranslate2 -------------------------------------------------------------------------------------------------- */

static bytes b;

static void str(const char *s)
{
    put_u(&b, strlen(s) + 1, 2);
    put(&b, s, strlen(s) + 1);
}

static void head(uint32_t version, uint32_t variables)
{
    b.n = 0;
    put_u(&b, version, 4);
    str("SomeSpec");
    put_u(&b, 3, 4);
    put_u(&b, variables, 4);
}

static void variable(const char *name, int rank, uint32_t d0, uint32_t d1, int type, uint32_t n)
{
    str(name);
    put_u(&b, (uint64_t)rank, 1);
    if (rank > 0) put_u(&b, d0, 4);
    if (rank > 1) put_u(&b, d1, 4);
    put_u(&b, (uint64_t)type, 1);
    put_u(&b, n, 4);
}

/* Status of opening what was built; the set stays open in *w when asked for. */
static mm_status try_open(char spec[64], mm__weights **out)
{
    char path[64];
    mm__weights *w;
    const uint64_t live = mm__mem_live(mem);
    write_temp(b.data, b.n, path, ".bin");
    assert_int_equal(mm__weights_create(mem, &w, NULL), MM_OK);
    const mm_status st = mm__ct2_open(&(mm__files){.mem = mem}, path, w, spec, NULL);
    unlink(path);
    if (out && !st) {
        *out = w;
        return st;
    }
    mm__weights_destroy(w);
    assert_int_equal(mm__mem_live(mem), live);
    return st;
}

static void good_file(void)
{
    head(6, 3);
    variable("a/scale", 0, 0, 0, 2, 2);
    put_u(&b, 8, 2);
    variable("a/weight", 2, 2, 3, 4, 12);
    put_zeros(&b, 12);
    variable("b", 1, 4, 0, 0, 16);
    put_zeros(&b, 16);
    put_u(&b, 1, 4);
    str("c/weight");
    str("a/weight");
}

static void ct2_good(void **state)
{
    char spec[64];
    int16_t scale;
    mm__weights *w = NULL;
    good_file();
    assert_int_equal(try_open(spec, &w), MM_OK);
    assert_string_equal(spec, "SomeSpec");
    assert_int_equal(mm__weights_count(w), 3);
    const mm__weight *t = mm__weights_find(w, "c/weight");
    const mm__shape want = mm__shape2(2, 3);
    assert_ptr_equal(t, mm__weights_find(w, "a/weight"));
    assert_true(t->dtype == MM__F16 && mm__shape_equal(&t->shape, &want));
    t = mm__weights_find(w, "a/scale");
    assert_true(t->dtype == MM__I16 && t->shape.n == 0 && t->bytes == 2);
    assert_int_equal(mm__weight_read(t, 0, &scale, 2, NULL), MM_OK);
    assert_int_equal(scale, 8);
    mm__weights_destroy(w);
}

static void ct2_bad(void **state)
{
    char spec[64];
    good_file();
    const size_t n = b.n;
    for (b.n = 0; b.n < n; b.n++) assert_int_equal(try_open(spec, NULL), MM_E_FORMAT);
    put_u(&b, 0, 1); /* a byte too many */
    assert_int_equal(try_open(spec, NULL), MM_E_FORMAT);
    for (size_t k = 0; k < n; k++) {
        for (int flip = 1; flip < 256; flip *= 2) {
            good_file();
            b.data[k] ^= (uint8_t)flip;
            try_open(spec, NULL);
        }
    }
    head(5, 0);
    put_u(&b, 0, 4);
    assert_int_equal(try_open(spec, NULL), MM_E_UNSUPPORTED);
    head(6, UINT32_MAX);
    put_u(&b, 0, 4);
    assert_int_equal(try_open(spec, NULL), MM_E_FORMAT);
    head(6, 0);
    put_u(&b, UINT32_MAX, 4);
    assert_int_equal(try_open(spec, NULL), MM_E_FORMAT);
    static const struct {
        int rank;
        uint32_t d0, d1;
        int type;
        uint32_t n;
        mm_status want;
    } cases[] = {
        {1, 4, 0, 0, 16, MM_OK},        {1, 4, 0, 6, 16, MM_E_UNSUPPORTED},           {1, 4, 0, 0, 15, MM_E_FORMAT}, {1, 4, 0, 1, 16, MM_E_FORMAT},
        {5, 1, 1, 0, 4, MM_E_FORMAT},   {2, UINT32_MAX, UINT32_MAX, 0, 4, MM_E_FORMAT}, {1, 1u << 30, 0, 0, 0, MM_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        head(6, 1);
        variable("a", cases[i].rank, cases[i].d0, cases[i].d1, cases[i].type, cases[i].n);
        put_zeros(&b, 16);
        put_u(&b, 0, 4);
        const mm_status st = try_open(spec, NULL);
        if (st != cases[i].want) fail_msg("case %zu gave %d", i, (int)st);
    }
    head(6, 2);
    variable("a", 0, 0, 0, 1, 1);
    put_zeros(&b, 1);
    variable("a", 0, 0, 0, 1, 1);
    put_zeros(&b, 5);
    assert_int_equal(try_open(spec, NULL), MM_E_FORMAT); /* one name twice */
    head(6, 0);
    put_u(&b, 1, 4);
    str("x");
    str("y");
    assert_int_equal(try_open(spec, NULL), MM_E_FORMAT); /* an alias of nothing */
}

static void failing_memory(void **state)
{
    char path[64], spec[64];
    good_file();
    write_temp(b.data, b.n, path, ".bin");
    for (int which = 0; which < 2; which++) {
        for (long fail = 2;; fail++) {
            meter m = {0, fail};
            const mm_allocator host = {.size = sizeof host, .user = &m, .alloc = meter_alloc, .release = meter_release};
            mm__mem *poor = mm__mem_create(&host, 0);
            mm__weights *w = NULL;
            mm__ggml_bin *g = NULL;
            assert_non_null(poor);
            const uint64_t live = mm__mem_live(poor);
            mm_status st = mm__weights_create(poor, &w, NULL);
            if (!st) st = which ? mm__ggml_bin_open(&(mm__files){.mem = poor}, golden, w, &g, NULL) : mm__ct2_open(&(mm__files){.mem = poor}, path, w, spec, NULL);
            mm__ggml_bin_free(g);
            mm__weights_destroy(w);
            assert_int_equal(mm__mem_live(poor), live);
            mm__mem_destroy(poor);
            if (st == MM_OK) break;
            assert_int_equal(st, MM_E_NOMEM);
        }
    }
    unlink(path);
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
        cmocka_unit_test(ggml_golden), cmocka_unit_test(ggml_prefixes), cmocka_unit_test(ggml_mutations),
        cmocka_unit_test(ggml_bad_tensors), cmocka_unit_test(ct2_good), cmocka_unit_test(ct2_bad),
        cmocka_unit_test(failing_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
