/* Encoders and bridges beyond the record: pictures of other sizes, configurations that contradict themselves or the
 * tensors, and every allocation of loading and building failing in turn. */
#include "encoders.h"

/* Emits a picture of h x w; the status and, in *rows, the rows of the result. */
static mm_status emit_picture(room *r, int64_t h, int64_t w, int32_t layer, int64_t *rows)
{
    mm__graph *g;
    mm__features f;
    OK(mm__graph_create(r->backend, &g, &err));
    mm__encoder_in in = {.pixels = mm__input(g, MM__F32, mm__shape3(3, h, w), "pixels"), .layer = layer};
    mm_status st = r->enc->ops->forward(r->enc, g, &in, &f);
    mm__graph_status(g, &err);
    if (st == MM_OK) *rows = mm__rows(f.last);
    mm__graph_destroy(g);
    return st;
}

static void other_sizes(void **state)
{
    room r;
    int64_t rows;
    open_room(&r, &clip_vision);
    assert_int_equal(emit_picture(&r, 35, 28, 0, &rows), MM_E_ARG);
    assert_non_null(strstr(err.text, "resize it to 28 x 28"));
    assert_int_equal(emit_picture(&r, 34, 28, 0, &rows), MM_OK); /* left-over pixels are dropped */
    assert_int_equal(emit_picture(&r, 28, 28, 4, &rows), MM_E_ARG);
    assert_int_equal(emit_picture(&r, 28, 28, -5, &rows), MM_E_ARG);
    assert_int_equal(emit_picture(&r, 28, 28, -4, &rows), MM_OK); /* before the first block */
    assert_int_equal(rows, 17);
    assert_int_equal(emit_picture(&r, 28, 28, 3, &rows), MM_OK);
    assert_int_equal(rows, 17);
    assert_int_equal(emit_picture(&r, 3, 3, 0, &rows), MM_E_ARG);
    close_room(&r);
    open_room(&r, &vit);
    assert_int_equal(emit_picture(&r, 56, 21, 0, &rows), MM_OK);
    assert_int_equal(rows, 1 + 8 * 3);
    close_room(&r);
}

/* Builds the parts and their graph in a store of their own. */
static mm_status parts_and_graph(room *r)
{
    mm__graph *g = NULL;
    mm__features f = {0};
    mm_status st = mm__store_create(r->backend, NULL, NULL, 0, &r->store, &err);
    if (st == MM_OK) st = create_parts(r);
    if (st == MM_OK) st = mm__graph_create(r->backend, &g, &err);
    if (st == MM_OK) {
        const bool text = r->s->kind == MM__ENC_TEXT;
        mm__encoder_in in = {.layer = r->s->layer};
        *(text ? &in.ids : &in.pixels) = mm__input(g, text ? MM__I32 : MM__F32, text ? mm__shape1(9) : mm__shape3(3, 28, 28), "in");
        r->enc->ops->forward(r->enc, g, &in, &f);
        if (r->bridge) r->bridge->ops->forward(r->bridge, g, r->s->layer ? f.layer : f.last, NULL);
        st = mm__graph_status(g, &err);
    }
    mm__graph_destroy(g);
    destroy_parts(r);
    mm__store_destroy(r->store);
    r->store = NULL;
    return st;
}

/* Every allocation of loading and building may fail: that is an error, and nothing is left behind. */
static void allocations_fail(void **state)
{
    const subject *const all[] = {&vit, &clip_text, &siglip_vision, &bert, &llava, &blip2_opt, &idefics};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        room r;
        mm_status st = MM_E_NOMEM;
        open_room(&r, all[i]);
        destroy_parts(&r);
        mm__store_destroy(r.store);
        const uint64_t live = mm__mem_live(r.mem);
        long k = 0;
        for (; st != MM_OK && k < 10000; k++) {
            r.host.at = atomic_load(&r.host.calls) + k;
            st = parts_and_graph(&r);
            r.host.at = -1;
            if (st != MM_OK && st != MM_E_NOMEM) fail_msg("%s, allocation %ld: status %d, %s", all[i]->dir, k, (int)st, err.text);
            assert_int_equal(mm__mem_live(r.mem), live);
        }
        assert_true(st == MM_OK && k > 50);
        close_room(&r);
    }
}

/* A configuration that contradicts itself or the tensors is refused with a sentence. */
static void bad_configurations(void **state)
{
    static const struct { const char *json, *why; } bad[] = {
        {"{\"model_type\":\"vit\",\"hidden_size\":32,\"num_attention_heads\":5,\"intermediate_size\":64,\"num_hidden_layers\":3}", "do not divide"},
        {"{\"model_type\":\"vit\",\"hidden_size\":32,\"num_attention_heads\":4,\"intermediate_size\":64,\"num_hidden_layers\":3,"
         "\"image_size\":28,\"patch_size\":56}", "do not fit"},
        {"{\"model_type\":\"vit\",\"hidden_size\":32,\"num_attention_heads\":4,\"intermediate_size\":64,\"num_hidden_layers\":4,"
         "\"image_size\":28,\"patch_size\":7}", "layer.3"},
        {"{\"model_type\":\"vit\",\"hidden_size\":64,\"num_attention_heads\":4,\"intermediate_size\":64,\"num_hidden_layers\":3,"
         "\"image_size\":28,\"patch_size\":7}", "shape"},
        {"{\"model_type\":\"vit\",\"hidden_act\":\"snake\"}", "snake"},
        {"{\"model_type\":\"vit\",\"num_hidden_layers\":100000}", "num_hidden_layers"}};
    static const char *const prefixes[] = {"", NULL};
    room r;
    open_room(&r, &vit);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mm__json_doc *doc;
        mm__encoder *e = NULL;
        OK(mm__json_parse(r.mem, bad[i].json, strlen(bad[i].json), "bad", &doc, &err));
        mm__config config = {.source = "bad", .json = mm__json_root(doc), .arch = "vit"};
        mm__loader base = loader_of(&r, "", prefixes), ld = mm__loader_for(&base, &config, prefixes);
        assert_true(mm__encoder_create(&ld, MM__ENC_IMAGE, &e, &err) < 0);
        assert_null(e);
        if (!strstr(err.text, bad[i].why)) fail_msg("\"%s\" does not say \"%s\"", err.text, bad[i].why);
        mm__json_free(doc);
    }
    close_room(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(other_sizes), cmocka_unit_test(bad_configurations), cmocka_unit_test(allocations_fail)};
    return cmocka_run_group_tests_name("building encoders and bridges", tests, NULL, NULL);
}
