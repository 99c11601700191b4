/* Decoders and bad input: every allocation of a load failing once, hyper-parameters that contradict the tensors or each
 * other, and settings this build does not know. Each gives an error and leaves nothing behind. */
#include "../../../src/base/buf.h"
#include "../../../src/part/part.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "recorder.h"

static mm_error err = {.size = sizeof err};

/* Loads tests/golden/<dir> with the configuration `text` (NULL: the file's) through `mem`. */
static mm_status load(mm__mem *mem, const char *dir, const char *text)
{
    char path[256];
    mm__backend b = {.ops = &keep_ops, .mem = mem, .exact = true};
    mm__weights *weights = NULL;
    mm__json_doc *doc = NULL;
    mm__store *store = NULL;
    mm__decoder *dec = NULL;
    mm__encoder *enc = NULL;
    char *own = NULL;
    size_t len = text ? strlen(text) : 0;
    snprintf(path, sizeof path, "tests/golden/%s/config.json", dir);
    mm_status st = text ? MM_OK : mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &own, &len, &err);
    if (st >= 0) st = mm__json_parse(mem, text ? text : own, len, path, &doc, &err);
    if (st >= 0) st = mm__weights_create(mem, &weights, &err);
    snprintf(path, sizeof path, "tests/golden/%s", dir);
    if (st >= 0) st = mm__safetensors_add_dir(&(mm__files){.mem = mem}, path, weights, &err);
    if (st >= 0) st = mm__store_create(&b, NULL, NULL, 0, &store, &err);
    if (st >= 0) {
        mm__loader base = {.store = store, .mem = mem, .weights = weights};
        mm__config config = {.source = path, .json = mm__json_root(doc), .arch = "none"};
        mm__loader ld = mm__loader_for(&base, &config, NULL), ld2 = ld;
        st = mm__decoder_create(&ld, &dec, &err);
        if (st >= 0 && strcmp(dec->ops->name, "t5") == 0) st = mm__encoder_create(&ld2, MM__ENC_TEXT, &enc, &err);
    }
    mm__encoder_destroy(enc);
    mm__decoder_destroy(dec);
    mm__store_destroy(store);
    mm__weights_destroy(weights);
    mm__json_free(doc);
    mm__free(mem, own);
    return st;
}

static void test_allocation_failures(void **state)
{
    const char *dir = *state;
    bool done = false;
    for (int k = 1; k < 20000 && !done; k += 1 + k / 16) {
        failing fail = {.left = 1 << 30};
        mm_allocator host = {.size = sizeof host, .user = &fail, .alloc = fail_alloc, .release = fail_release};
        mm__mem *mem = mm__mem_create(&host, 0);
        const uint64_t at_start = mm__mem_live(mem);
        fail.left = k;
        mm_status st = load(mem, dir, NULL);
        done = st >= 0 && fail.left > 0;
        if (!done && st != MM_E_NOMEM) fail_msg("%s: allocation %d failing gives %d: %s", dir, k, st, err.text);
        assert_int_equal(mm__mem_live(mem), at_start);
        mm__mem_destroy(mem);
    }
    assert_true(done);
}

/* One changed setting of a configuration and the status it must give. */
typedef struct change {
    const char *dir, *key, *value;
    mm_status want;
} change;

/* The configuration with member `key` replaced (or added). */
static char *changed(mm__mem *mem, const change *c)
{
    char path[256], member[128];
    char *text;
    size_t len;
    mm__buf out;
    snprintf(path, sizeof path, "tests/golden/%s/config.json", c->dir);
    assert_int_equal(mm__read_file(&(mm__files){.mem = mem}, path, MM__LIMIT_SIDE_FILE_BYTES, &text, &len, &err), MM_OK);
    snprintf(member, sizeof member, "\"%s\":", c->key);
    mm__buf_init(&out, mem);
    char *at = strstr(text, member);
    if (at) { /* scalars, and flat objects or arrays */
        char *end = at + strlen(member);
        while (*end == ' ') end++;
        end += *end == '{' ? strcspn(end, "}") + 1 : *end == '[' ? strcspn(end, "]") + 1 : strcspn(end, ",\n}");
        mm__buf_put(&out, text, (size_t)(at - text));
        mm__buf_printf(&out, "%s %s%s", member, c->value, end);
    } else {
        mm__buf_printf(&out, "{%s %s,%s", member, c->value, strchr(text, '{') + 1);
    }
    mm__free(mem, text);
    return mm__buf_take(&out, NULL);
}

static void test_settings(void **state)
{
    static const change changes[] = {
        {"llama", "hidden_size", "32", MM_OK},
        {"llama", "hidden_size", "40", MM_E_FORMAT},
        {"llama", "hidden_size", "\"wide\"", MM_E_FORMAT},
        {"llama", "hidden_size", "-1", MM_E_FORMAT},
        {"llama", "num_hidden_layers", "3", MM_E_FORMAT},
        {"llama", "num_hidden_layers", "1000000000", MM_E_FORMAT},
        {"llama", "num_attention_heads", "0", MM_E_FORMAT},
        {"llama", "num_key_value_heads", "3", MM_E_FORMAT},
        {"llama", "head_dim", "9223372036854775807", MM_E_FORMAT},
        {"llama", "rms_norm_eps", "-1", MM_E_FORMAT},
        {"llama", "hidden_act", "\"mish\"", MM_E_UNSUPPORTED},
        {"llama", "rope_scaling", "{\"rope_type\": \"unheard_of\", \"factor\": 2.0}", MM_E_UNSUPPORTED},
        {"llama", "rope_scaling", "{\"rope_type\": \"linear\"}", MM_E_FORMAT},
        {"llama", "rope_scaling", "{\"rope_type\": \"yarn\"}", MM_E_FORMAT},
        {"llama", "model_type", "\"unheard_of\"", MM_E_UNSUPPORTED},
        {"phi3_longrope", "rope_scaling", "{\"type\": \"longrope\", \"long_factor\": [1], \"short_factor\": [1, 1, 1, 1]}",
         MM_E_FORMAT},
        {"phi3_longrope", "rope_scaling",
         "{\"type\": \"longrope\", \"long_factor\": [1, 0, 1, 1], \"short_factor\": [1, 1, 1, 1]}", MM_E_FORMAT},
        {"gpt2", "n_positions", "161", MM_E_FORMAT},
        {"gpt2", "n_head", "5", MM_E_FORMAT},
        {"opt", "word_embed_proj_dim", "16", MM_E_FORMAT},
        {"t5", "feed_forward_proj", "\"gated-mish\"", MM_E_UNSUPPORTED},
        {"t5", "relative_attention_num_buckets", "16", MM_E_FORMAT},
        {"whisper", "max_target_positions", "50", MM_E_FORMAT},
        {"idefics", "cross_layer_interval", "1", MM_E_FORMAT},
        {"idefics", "cross_layer_interval", "0", MM_E_FORMAT},
        {"gemma3", "query_pre_attn_scalar", "0", MM_E_FORMAT},
        {"gemma3", "use_bidirectional_attention", "true", MM_E_UNSUPPORTED},
        {"gemma3", "layer_types", "[\"sliding_attention\", \"chunked_attention\"]", MM_E_UNSUPPORTED},
        {"gpt2", "scale_attn_by_inverse_layer_idx", "true", MM_E_UNSUPPORTED},
        {"gpt2", "add_cross_attention", "true", MM_E_UNSUPPORTED}};
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        mm__mem *mem = mm__mem_create(NULL, 0);
        const uint64_t at_start = mm__mem_live(mem);
        char *text = changed(mem, &changes[i]);
        mm_status st = load(mem, changes[i].dir, text);
        if (st != changes[i].want)
            fail_msg("%s with %s = %s gives %d (%s), not %d", changes[i].dir, changes[i].key, changes[i].value, st, err.text,
                     changes[i].want);
        mm__free(mem, text);
        assert_int_equal(mm__mem_live(mem), at_start);
        mm__mem_destroy(mem);
    }
}

int main(void)
{
    static char llama[] = "llama", phi[] = "phi3_longrope", t5[] = "flan_t5", gpt2[] = "gpt2", idefics[] = "idefics",
                opt[] = "opt_350m";
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_allocation_failures, llama),
                                       cmocka_unit_test_prestate(test_allocation_failures, phi),
                                       cmocka_unit_test_prestate(test_allocation_failures, t5),
                                       cmocka_unit_test_prestate(test_allocation_failures, gpt2),
                                       cmocka_unit_test_prestate(test_allocation_failures, idefics),
                                       cmocka_unit_test_prestate(test_allocation_failures, opt),
                                       cmocka_unit_test(test_settings)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
