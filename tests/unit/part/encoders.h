/* What the tests of encoders and bridges share: which parts of which checkpoint of tests/golden, a room with a backend, the
 * parts and the recorded tensors, and reading of the latter. */
#ifndef MM__TESTS_PART_ENCODERS_H
#define MM__TESTS_PART_ENCODERS_H

#include "../../../src/assembly/source.h"
#include "../../../src/part/part.h"
#include "../base/failing.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_NAME 256
#define F32_TOL 1e-4 /* of a tensor's largest magnitude */
#define F16_TOL 3e-4 /* where the stored weights are F16 */

enum { LAST = 1, POOLED, PROJECTED, PROJECTED_L2, BRIDGED, MEAN_L2 };

typedef struct output {
    const char *name;         /* as recorded, "out.<name>" */
    int what;
} output;

typedef struct subject {
    const char *dir, *file;   /* below tests/golden; file NULL: the folder's safetensors */
    int kind;                 /* MM__ENC_* */
    const char *json;         /* nested configuration of the encoder, "" the whole */
    const char *prefixes[3];
    const char *bridge;       /* or NULL */
    const char *scope;
    int32_t layer;            /* feature layer the bridge reads, 0: last */
    bool drop_cls;
    bool cut, hide;           /* ids with attention_mask 0: not fed; or fed and hidden from all rows */
    double tol;
    const char *cases[5];
    const char *skip[6];      /* beginnings of recorded stages that belong to other parts */
    const char *alias[5];     /* emitted, recorded, emitted, recorded */
    output outputs[3];
} subject;

typedef struct room {
    const subject *s;
    failing host;
    mm__mem *mem;
    uint64_t at_start;
    mm__backend *backend;
    mm__source *source;
    mm__json_doc *config;     /* for the forms without one */
    mm__weights *expected;
    mm__store *store;
    mm__encoder *enc;
    mm__bridge *bridge;
} room;

static mm_error err = {.size = sizeof err};
#define OK(call)                                                                        \
    do {                                                                                \
        if ((call) < 0) fail_msg("%s: %s", #call, err.text);                            \
    } while (0)

/* ---- fixtures ---- */

static const char speech_config[] =
    "{\"model_type\":\"whisper\",\"d_model\":32,\"encoder_layers\":2,\"encoder_attention_heads\":4,\"encoder_ffn_dim\":64,"
    "\"num_mel_bins\":80,\"max_source_positions\":100}";

static inline mm__loader loader_of(room *r, const char *json, const char *const *prefixes)
{
    mm__config whole = mm__source_config(r->source);
    if (r->source->kind == MM__SRC_CT2 || (!whole.json && !whole.gguf)) {
        whole.json = mm__json_root(r->config);
        whole.arch = "whisper";
    }
    mm__config config = json[0] && whole.json ? mm__config_sub(&whole, json) : whole;
    mm__loader base = {.store = r->store, .mem = r->mem, .weights = r->source->weights, .scheme = mm__source_scheme(r->source)};
    return mm__loader_for(&base, &config, prefixes);
}

static inline mm_status create_parts(room *r)
{
    static const char *const bridge_prefixes[] = {"", "model.", NULL};
    const subject *s = r->s;
    mm__loader ld = loader_of(r, s->json, s->prefixes), lb = loader_of(r, "", bridge_prefixes);
    mm_status st = mm__encoder_create(&ld, s->kind, &r->enc, &err);
    if (st == MM_OK && s->bridge) st = mm__bridge_create(&lb, s->bridge, &r->bridge, &err);
    return st;
}

static inline void destroy_parts(room *r)
{
    mm__encoder_destroy(r->enc);
    mm__bridge_destroy(r->bridge);
    r->enc = NULL;
    r->bridge = NULL;
}

static inline void open_room(room *r, const subject *s)
{
    char path[MAX_NAME];
    mm__log log = {0};
    *r = (room){.s = s};
    r->mem = failing_mem(&r->host, -1);
    r->at_start = mm__mem_live(r->mem);
    OK(mm__backend_create(r->mem, &log, "cpu", 2, NULL, true, &r->backend, &err));
    OK(mm__store_create(r->backend, NULL, NULL, 0, &r->store, &err));
    OK(mm__json_parse(r->mem, speech_config, sizeof speech_config - 1, "speech", &r->config, &err));
    snprintf(path, sizeof path, "tests/golden/%s%s%s", s->dir, s->file ? "/" : "", s->file ? s->file : "");
    OK(mm__source_open(&(mm__files){.mem = r->mem}, path, &r->source, &err));
    OK(mm__weights_create(r->mem, &r->expected, &err));
    snprintf(path, sizeof path, "tests/golden/%s/expected.safetensors", s->dir);
    OK(mm__safetensors_add(&(mm__files){.mem = r->mem}, path, r->expected, &err));
    OK(create_parts(r));
}

static inline void close_room(room *r)
{
    destroy_parts(r);
    mm__store_destroy(r->store);
    mm__source_close(r->source);
    mm__json_free(r->config);
    mm__weights_destroy(r->expected);
    mm__backend_destroy(r->backend);
    assert_int_equal(mm__mem_live(r->mem), r->at_start);
    mm__mem_destroy(r->mem);
}

static inline const mm__weight *recorded(room *r, const char *cs, const char *name)
{
    char key[2 * MAX_NAME];
    const int n = snprintf(key, sizeof key, "%s/%s", cs, name);
    return n > 0 && (size_t)n < sizeof key ? mm__weights_find(r->expected, key) : NULL;
}

static inline int64_t count_of(const mm__weight *w)
{
    int64_t n = 0;
    assert_true(mm__shape_count(&w->shape, &n));
    return n;
}

/* Sample `index` of `batch` of a recorded tensor as floats (integers by value); *n elements; mm__free it. */
static inline float *sample(room *r, const mm__weight *w, int64_t batch, int64_t index, int64_t *n)
{
    int64_t all = count_of(w);
    assert_int_equal(all % batch, 0);
    *n = all / batch;
    unsigned char *raw = mm__alloc(r->mem, w->bytes);
    float *v = mm__calloc(r->mem, (size_t)*n, sizeof *v);
    OK(mm__weight_read(w, 0, raw, w->bytes, &err));
    mm__unpack_row(w->dtype, raw + w->bytes / (size_t)batch * (size_t)index, v, *n);
    mm__free(r->mem, raw);
    return v;
}

/* A tensor of five axes, which weight sets leave out, with the first two folded into one. */
static inline const mm__weight *five_axes(room *r, const char *cs, const char *name, mm__weight *out)
{
    char key[2 * MAX_NAME], *text;
    uint64_t len;
    mm__json_doc *doc;
    mm__io *io = mm__weights_at(r->expected, 0)->io;
    snprintf(key, sizeof key, "%s/%s", cs, name);
    OK(mm__io_read(io, 0, &len, sizeof len, &err));
    text = mm__alloc(r->mem, len);
    OK(mm__io_read(io, sizeof len, text, len, &err));
    OK(mm__json_parse(r->mem, text, len, "record", &doc, &err));
    const mm__json *entry = mm__json_get(mm__json_root(doc), key), *d = mm__json_get(entry, "shape"), *at = mm__json_get(entry, "data_offsets");
    int64_t axis[5], begin = mm__json_int(mm__json_at(at, 0), 0);
    assert_int_equal(mm__json_count(d), 5);
    for (size_t i = 0; i < 5; i++) axis[i] = mm__json_int(mm__json_at(d, i), 0);
    *out = (mm__weight){.name = name, .dtype = MM__F32, .shape = mm__shape4(axis[0] * axis[1], axis[2], axis[3], axis[4]), .io = io,
                        .offset = sizeof len + len + (uint64_t)begin,
                        .bytes = (size_t)(mm__json_int(mm__json_at(at, 1), 0) - begin)};
    mm__json_free(doc);
    mm__free(r->mem, text);
    return out;
}

/* ---- subjects ---- */

static const subject clip_vision = {.dir = "clip", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {""}, .scope = "vision",
                                    .tol = F32_TOL, .cases = {"sim"}, .skip = {"text."},
                                    .outputs = {{"out.image_embeds", PROJECTED_L2}}};
static const subject clip_text = {.dir = "clip", .kind = MM__ENC_TEXT, .json = "text_config", .prefixes = {""}, .scope = "text", .cut = true,
                                  .tol = F32_TOL, .cases = {"sim"}, .skip = {"vision."}, .outputs = {{"out.text_embeds", PROJECTED_L2}}};
static const subject siglip_vision = {.dir = "siglip", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {""}, .scope = "vision",
                                      .tol = F16_TOL, .cases = {"sim"}, .skip = {"text."},
                                      .outputs = {{"out.image_embeds", PROJECTED_L2}}};
static const subject siglip_text = {.dir = "siglip", .kind = MM__ENC_TEXT, .json = "text_config", .prefixes = {""}, .scope = "text", .hide = true,
                                    .tol = F16_TOL, .cases = {"sim"}, .skip = {"vision."}, .outputs = {{"out.text_embeds", PROJECTED_L2}}};
static const subject vit = {.dir = "vit", .kind = MM__ENC_IMAGE, .json = "", .prefixes = {""}, .scope = "", .tol = F32_TOL,
                            .cases = {"photo", "wide", "grey"}, .outputs = {{"out.logits", PROJECTED}}};
static const subject dinov2 = {.dir = "dinov2", .kind = MM__ENC_IMAGE, .json = "", .prefixes = {""}, .scope = "", .tol = F16_TOL,
                               .cases = {"photo", "wide", "grey"},
                               .outputs = {{"out.last_hidden_state", LAST}, {"out.pooler_output", POOLED}}};
static const subject bert = {.dir = "bert", .kind = MM__ENC_TEXT, .json = "", .prefixes = {""}, .scope = "", .tol = F32_TOL,
                             .cases = {"text0", "pair", "unicode"},
                             .outputs = {{"out.last_hidden_state", LAST}, {"out.pooler_output", POOLED}}};
static const subject bert_mean = {.dir = "bert", .kind = MM__ENC_TEXT, .json = "", .prefixes = {""}, .scope = "", .tol = F32_TOL,
                                  .cases = {"mean_pool_l2"}, .outputs = {{"out.sentence_embedding", MEAN_L2}}};
static const subject bert_gguf = {.dir = "bert", .file = "model-f32.gguf", .kind = MM__ENC_TEXT, .json = "", .prefixes = {""}, .scope = "",
                                  .tol = F32_TOL, .cases = {"text0", "pair", "unicode"}, .outputs = {{"out.last_hidden_state", LAST}}};
static const subject whisper = {.dir = "whisper", .kind = MM__ENC_AUDIO, .json = "", .prefixes = {""}, .scope = "enc", .tol = F16_TOL,
                                .cases = {"speech"}, .skip = {"dec."}, .alias = {"enc.conv1", "conv1", "enc.conv2", "conv2"}};
static const subject whisper_ggml = {.dir = "whisper", .file = "ggml-f16.bin", .kind = MM__ENC_AUDIO, .json = "", .prefixes = {""}, .scope = "enc",
                                     .tol = F16_TOL, .cases = {"speech"}, .skip = {"dec."},
                                     .alias = {"enc.conv1", "conv1", "enc.conv2", "conv2"}};
static const subject whisper_ct2 = {.dir = "whisper", .file = "ct2", .kind = MM__ENC_AUDIO, .json = "", .prefixes = {""}, .scope = "enc",
                                    .tol = F16_TOL, .cases = {"speech"}, .skip = {"dec."},
                                    .alias = {"enc.conv1", "conv1", "enc.conv2", "conv2"}};
static const subject llava = {.dir = "llava", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {"vision_tower."}, .bridge = "mlp",
                              .scope = "vision", .layer = -2, .drop_cls = true, .tol = F16_TOL, .cases = {"photo", "grey", "two_images"},
                              .skip = {"final_norm"}, .outputs = {{"out.image_hidden_states", BRIDGED}}};
static const subject llava_gguf = {.dir = "llava", .file = "mmproj-f16.gguf", .kind = MM__ENC_IMAGE, .json = "", .prefixes = {""}, .bridge = "mlp",
                                   .scope = "vision", .layer = -1, .drop_cls = true, .tol = F16_TOL, .cases = {"photo", "grey", "two_images"},
                                   .skip = {"final_norm", "vision.hidden_last"},
                                   .alias = {"vision.layer_feature(-1)", "vision.layer_feature(-2)"},
                                   .outputs = {{"out.image_hidden_states", BRIDGED}}};
#define QFORMER(family)                                                                                                     \
    {.dir = family, .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {""}, .bridge = "qformer", .scope = "vision", \
     .tol = F16_TOL, .cases = {"vqa_photo"}}
static const subject blip2_opt = QFORMER("blip2_opt"), blip2_flan_t5 = QFORMER("blip2_flan_t5"), minigpt4 = QFORMER("minigpt4");
static const subject idefics = {.dir = "idefics", .kind = MM__ENC_IMAGE, .json = "vision_config", .prefixes = {"model."}, .bridge = "perceiver",
                                .scope = "vision", .tol = F16_TOL, .cases = {"one", "two_interleaved"},
                                .skip = {"final_norm", "layer0", "xattn."}, .outputs = {{"out.image_hidden_states", BRIDGED}}};

#endif
