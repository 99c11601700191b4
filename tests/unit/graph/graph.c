/* The graph: shapes and errors on emission, views of views, what planning drops and shares, waits, states, binding. The
 * values of a planned graph with reused memory are compared with those of the same graph with every stage kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../normal.h"
#include "../../../src/graph/graph_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T = 5, D = 24, HEADS = 3, CTX = 11, FF = 40 };

typedef struct fixture {
    mm__mem *mem;
    mm__backend *b;
    mm__tensor *w[8];
    mm__tensor *k, *v;
    uint64_t live; /* of an empty mm__mem */
    size_t n_w;
} fixture;

typedef struct source { uint64_t seed; int64_t cols; } source;

static mm_status read_random(void *ctx, int64_t row, int64_t n, void *dst, mm_error *err)
{
    const source *s = ctx;
    for (int64_t i = 0; i < n * s->cols; i++) ((float *)dst)[i] = 0.3f * random_normal(s->seed, (uint64_t)(row * s->cols + i));
    return MM_OK;
}

static mm__tensor *random_tensor(fixture *f, mm__shape s, unsigned use)
{
    source src = {f->n_w + 1, mm__shape_cols(&s)};
    const mm__upload u = {.name = "w", .dtype = MM__F32, .shape = s, .use = use, .read = read_random, .ctx = &src};
    assert_int_equal(f->b->ops->upload(f->b, &u, &f->w[f->n_w], NULL), MM_OK);
    return f->w[f->n_w++];
}

static void open_fixture(fixture *f, int threads)
{
    memset(f, 0, sizeof *f);
    f->mem = mm__mem_create(NULL, 0);
    f->live = mm__mem_live(f->mem);
    assert_int_equal(mm__backend_create(f->mem, NULL, "cpu", threads, NULL, true, &f->b, NULL), MM_OK);
    random_tensor(f, mm__shape2(3 * D, D), MM__USE_LINEAR);
    random_tensor(f, mm__shape2(D, D), MM__USE_LINEAR);
    random_tensor(f, mm__shape2(2 * FF, D), MM__USE_LINEAR);
    random_tensor(f, mm__shape2(D, FF), MM__USE_LINEAR);
    random_tensor(f, mm__shape1(D), MM__USE_VECTOR);
    random_tensor(f, mm__shape1(D / HEADS / 2), MM__USE_VECTOR);
    assert_int_equal(f->b->ops->state(f->b, (mm__where){0}, MM__F32, mm__shape3(HEADS, CTX, D / HEADS), &f->k, NULL), MM_OK);
    assert_int_equal(f->b->ops->state(f->b, (mm__where){0}, MM__F32, mm__shape3(HEADS, CTX, D / HEADS), &f->v, NULL), MM_OK);
}

static void close_fixture(fixture *f)
{
    for (size_t i = 0; i < f->n_w; i++) f->b->ops->tensor_free(f->w[i]);
    f->b->ops->tensor_free(f->k);
    f->b->ops->tensor_free(f->v);
    mm__backend_destroy(f->b);
    assert_int_equal(mm__mem_live(f->mem), f->live);
    mm__mem_destroy(f->mem);
}

typedef struct block { mm__node *x, *pos, *slot, *span, *out; } block;

/* Two decoder layers over the cache. */
static block emit_decoder(mm__graph *g, fixture *f)
{
    block b;
    b.x = mm__input(g, MM__F32, mm__shape2(T, D), "x");
    b.pos = mm__input(g, MM__I32, mm__shape1(T), "pos");
    b.slot = mm__input(g, MM__I32, mm__shape1(T), "slot");
    b.span = mm__input(g, MM__I32, mm__shape2(T, 2), "span");
    mm__node *h = b.x;
    const mm__args args = {.scale = 0.35f};
    for (int i = 0; i < 2; i++) {
        mm__scope_push(g, "layer.%d", i);
        mm__node *w = mm__tensor_node(g, f->w[0]), *y = mm__rms_norm(g, h, mm__tensor_node(g, f->w[4]), 1e-5f);
        mm__node *qkv = mm__stage(g, mm__linear_node(g, y, &w, 1, NULL, MM__ACT_NONE, NULL), "qkv");
        mm__node *q = mm__rotate(g, mm__heads(g, mm__split_cols(g, qkv, 0, D), HEADS), b.pos, mm__tensor_node(g, f->w[5]), false, 1.0f);
        mm__node *k = mm__rotate(g, mm__heads(g, mm__split_cols(g, qkv, D, D), HEADS), b.pos, mm__tensor_node(g, f->w[5]), false, 1.0f);
        mm__node *v = mm__heads(g, mm__split_cols(g, qkv, 2 * D, D), HEADS);
        mm__node *kc = mm__kv_write(g, mm__tensor_node(g, f->k), k, b.slot), *vc = mm__kv_write(g, mm__tensor_node(g, f->v), v, b.slot);
        mm__node *a = mm__stage(g, mm__attend(g, q, kc, vc, b.span, NULL, NULL, &args), "attn");
        w = mm__tensor_node(g, f->w[1]);
        h = mm__stage(g, mm__linear_node(g, a, &w, 1, NULL, MM__ACT_NONE, h), "mid");
        w = mm__tensor_node(g, f->w[2]);
        y = mm__linear_node(g, mm__rms_norm(g, h, mm__tensor_node(g, f->w[4]), 1e-5f), &w, 1, NULL, MM__ACT_NONE, NULL);
        w = mm__tensor_node(g, f->w[3]);
        h = mm__stage(g, mm__linear_node(g, mm__stage(g, mm__glu(g, y, MM__ACT_SILU), "glu"), &w, 1, NULL, MM__ACT_NONE, h), "out");
        mm__scope_pop(g);
    }
    b.out = mm__scale(g, mm__rms_norm(g, h, mm__tensor_node(g, f->w[4]), 1e-5f), 2.0f, 0.0f);
    mm__softmax(g, b.out); /* dropped: nobody needs it */
    mm__output(g, b.out);
    return b;
}

static void run_decoder(mm__graph *g, const block *b, mm__arena *arena, float out[T * D])
{
    float x[T * D];
    int32_t pos[T], slot[T], span[T][2];
    for (int i = 0; i < T * D; i++) x[i] = random_normal(99, (uint64_t)i);
    for (int t = 0; t < T; t++) {
        pos[t] = slot[t] = 2 + t;
        span[t][0] = 2;
        span[t][1] = 3 + t;
    }
    assert_int_equal(mm__graph_bind(g, arena, NULL), MM_OK);
    assert_int_equal(mm__graph_write(g, b->x, x, sizeof x, NULL), MM_OK);
    assert_int_equal(mm__graph_write(g, b->pos, pos, sizeof pos, NULL), MM_OK);
    assert_int_equal(mm__graph_write(g, b->slot, slot, sizeof slot, NULL), MM_OK);
    assert_int_equal(mm__graph_write(g, b->span, span, sizeof span, NULL), MM_OK);
    assert_int_equal(mm__graph_run(g, NULL, NULL), MM_OK);
    assert_int_equal(mm__graph_read(g, b->out, out, T * D * sizeof(float), NULL), MM_OK);
}

/* Runs the decoder twice with `threads`, everything watched or nothing. */
static size_t decoder_result(int threads, bool watch, float out[T * D])
{
    static const char *const all[] = {"*"};
    fixture f;
    mm__graph *g;
    mm__arena arena = {0};
    float again[T * D];
    open_fixture(&f, threads);
    assert_int_equal(mm__graph_create(f.b, &g, NULL), MM_OK);
    if (watch) mm__graph_watch(g, all, 1);
    const block b = emit_decoder(g, &f);
    assert_int_equal(mm__graph_status(g, NULL), MM_OK);
    assert_int_equal(mm__graph_plan(g, NULL), MM_OK);
    assert_int_equal(mm__graph_calls(g), 2 * 12 + 2);
    run_decoder(g, &b, &arena, again);
    run_decoder(g, &b, &arena, out);
    assert_memory_equal(again, out, sizeof again);
    if (watch) {
        const char *name;
        float row[T * 3 * D];
        assert_int_equal(mm__graph_watched(g), 10);
        assert_non_null(mm__graph_watched_at(g, 5, &name));
        assert_string_equal(name, "layer.1.qkv");
        assert_int_equal(mm__graph_read(g, mm__graph_watched_at(g, 5, NULL), row, sizeof row, NULL), MM_OK);
    }
    const size_t bytes = g->scratch_at; /* without the kernels' scratch */
    f.b->ops->arena_free(&arena);
    mm__graph_destroy(g);
    close_fixture(&f);
    return bytes;
}

static void reuse_of_memory_changes_nothing(void **state)
{
    float kept[T * D], packed[T * D], threads[T * D];
    const size_t large = decoder_result(1, true, kept), small = decoder_result(1, false, packed);
    decoder_result(3, false, threads);
    assert_memory_equal(kept, packed, sizeof kept);
    assert_memory_equal(kept, threads, sizeof kept);
    assert_true(small * 2 < large);
    for (int i = 0; i < T * D; i++) assert_true(isfinite(kept[i]));
}

static void views_of_views(void **state)
{
    fixture f;
    mm__graph *g;
    mm__arena arena = {0};
    float x[4 * 12], got[2 * 3 * 2], flat[4 * 12];
    open_fixture(&f, 2);
    assert_int_equal(mm__graph_create(f.b, &g, NULL), MM_OK);
    mm__node *in = mm__input(g, MM__F32, mm__shape2(4, 12), "x");
    mm__node *y = mm__scale(g, in, 1.0f, 0.5f);
    mm__node *part = mm__split_rows(g, mm__split_cols(g, y, 4, 6), 1, 2);     /* rows 1, 2; columns 4..9 */
    mm__node *swapped = mm__swap01(g, mm__heads(g, part, 3));                 /* [3, 2, 2] */
    mm__node *copy = mm__contiguous(g, swapped);
    assert_null(mm__graph_fail(g, MM_OK, "no error"));
    mm__output(g, y);
    mm__output(g, swapped);
    mm__output(g, copy);
    mm__output(g, mm__reshape(g, y, mm__shape3(2, 2, 12)));
    assert_int_equal(mm__graph_plan(g, NULL), MM_OK);
    assert_int_equal(mm__graph_write(g, in, x, sizeof x, NULL), MM_E_STATE);
    assert_int_equal(mm__graph_bind(g, &arena, NULL), MM_OK);
    for (int i = 0; i < 48; i++) x[i] = (float)i;
    assert_int_equal(mm__graph_write(g, in, x, sizeof x - 4, NULL), MM_E_ARG);
    assert_int_equal(mm__graph_write(g, in, x, sizeof x, NULL), MM_OK);
    assert_int_equal(mm__graph_run(g, NULL, NULL), MM_OK);
    mm__node *const both[] = {swapped, copy};
    for (int k = 0; k < 2; k++) {
        memset(got, 0, sizeof got);
        assert_int_equal(mm__graph_read(g, both[k], got, sizeof got, NULL), MM_OK);
        for (int h = 0; h < 3; h++)
            for (int t = 0; t < 2; t++)
                for (int i = 0; i < 2; i++) assert_float_equal(got[(h * 2 + t) * 2 + i], (float)(12 * (t + 1) + 4 + 2 * h + i) + 0.5f, 0);
    }
    assert_int_equal(mm__graph_read(g, y, flat, sizeof flat, NULL), MM_OK);
    assert_float_equal(flat[47], 47.5f, 0);
    f.b->ops->arena_free(&arena);
    mm__graph_destroy(g);
    close_fixture(&f);
}

static void errors_are_remembered(void **state)
{
    fixture f;
    mm__graph *g;
    mm_error err = {.size = sizeof err};
    open_fixture(&f, 1);
    assert_int_equal(mm__graph_create(f.b, &g, NULL), MM_OK);
    mm__node *a = mm__input(g, MM__F32, mm__shape2(3, 7), "a"), *b = mm__input(g, MM__F32, mm__shape2(2, 7), "b");
    mm__scope_push(g, "part");
    assert_null(mm__add(g, a, b));
    assert_null(mm__activate(g, a, MM__ACT_RELU));
    mm__scope_pop(g);
    assert_int_equal(mm__graph_status(g, &err), MM_E_ARG);
    assert_non_null(strstr(err.text, "part: ADD"));
    assert_non_null(strstr(err.text, "[3, 7]"));
    assert_int_equal(mm__graph_plan(g, &err), MM_E_ARG);
    assert_int_equal(mm__graph_bind(g, &(mm__arena){0}, &err), MM_E_STATE);
    mm__graph_destroy(g);
    assert_int_equal(mm__graph_create(f.b, &g, NULL), MM_OK);
    assert_null(mm__add(g, NULL, NULL));
    assert_int_equal(mm__graph_status(g, &err), MM_E_ARG);
    mm__graph_destroy(g);
    close_fixture(&f);
}

/* Independent calls do not wait, dependent ones do, and a result takes over a dead input. */
static void waits_and_sharing(void **state)
{
    fixture f;
    mm__graph *g;
    open_fixture(&f, 1);
    assert_int_equal(mm__graph_create(f.b, &g, NULL), MM_OK);
    mm__node *x = mm__input(g, MM__F32, mm__shape2(4, 16), "x");
    mm__node *a = mm__scale(g, x, 2.0f, 0.0f), *b = mm__scale(g, x, 3.0f, 0.0f);
    mm__node *c = mm__add(g, a, b), *d = mm__activate(g, c, MM__ACT_RELU);
    mm__output(g, d);
    assert_int_equal(mm__graph_plan(g, NULL), MM_OK);
    assert_false(g->calls[0].wait);
    assert_false(g->calls[1].wait);
    assert_true(g->calls[2].wait);
    assert_true(g->calls[3].wait);
    assert_ptr_equal(c->home, a);
    assert_ptr_equal(d->home, a);
    assert_int_equal(mm__graph_bytes(g), 3 * 256);
    mm__graph_destroy(g);

    assert_int_equal(mm__graph_create(f.b, &g, NULL), MM_OK);
    x = mm__input(g, MM__F32, mm__shape3(1, HEADS, D / HEADS), "x");
    mm__node *slot = mm__input(g, MM__I32, mm__shape1(1), "slot");
    mm__kv_write(g, mm__tensor_node(g, f.k), x, slot);
    mm__kv_write(g, mm__tensor_node(g, f.v), x, slot);
    mm__kv_write(g, mm__tensor_node(g, f.k), x, slot);
    assert_int_equal(mm__graph_plan(g, NULL), MM_OK);
    assert_int_equal(mm__graph_calls(g), 3);
    assert_false(g->calls[1].wait);
    assert_true(g->calls[2].wait);
    mm__graph_destroy(g);
    close_fixture(&f);
}

static void cancelled_runs_stop(void **state)
{
    fixture f;
    mm__graph *g;
    mm__arena arena = {0};
    atomic_int cancel = 1;
    float out[T * D];
    open_fixture(&f, 3);
    assert_int_equal(mm__graph_create(f.b, &g, NULL), MM_OK);
    const block b = emit_decoder(g, &f);
    assert_int_equal(mm__graph_plan(g, NULL), MM_OK);
    run_decoder(g, &b, &arena, out);
    assert_int_equal(mm__graph_run(g, &cancel, NULL), MM_E_CANCELLED);
    cancel = 0;
    assert_int_equal(mm__graph_run(g, &cancel, NULL), MM_OK);
    f.b->ops->arena_free(&arena);
    mm__graph_destroy(g);
    close_fixture(&f);
}

/* Every allocation of building, planning and binding fails once. */
static int fail_after;
static void *failing_alloc(void *user, size_t bytes, size_t align)
{
    return fail_after-- <= 0 ? NULL : aligned_alloc(align, (bytes + align - 1) / align * align);
}
static void failing_release(void *user, void *p, size_t bytes, size_t align) { free(p); }

static void memory_may_fail(void **state)
{
    const mm_allocator host = {.size = sizeof host, .alloc = failing_alloc, .release = failing_release};
    int reached = 0;
    for (int n = 0; !reached; n++) {
        fixture f = {0};
        mm__graph *g = NULL;
        mm__arena arena = {0};
        fail_after = 1 << 20;
        f.mem = mm__mem_create(&host, 0);
        f.live = mm__mem_live(f.mem);
        assert_int_equal(mm__backend_create(f.mem, NULL, "cpu", 1, NULL, true, &f.b, NULL), MM_OK);
        random_tensor(&f, mm__shape2(D, D), MM__USE_LINEAR);
        fail_after = n;
        mm_status s = mm__graph_create(f.b, &g, NULL);
        if (s == MM_OK) {
            static const char *const all[] = {"*"};
            mm__graph_watch(g, all, 1);
            mm__node *x = mm__input(g, MM__F32, mm__shape2(T, D), "x"), *w = mm__tensor_node(g, f.w[0]);
            for (int i = 0; i < 200; i++) x = mm__stage(g, mm__linear_node(g, x, &w, 1, NULL, MM__ACT_TANH, NULL), "x%d", i);
            mm__output(g, x);
            s = mm__graph_plan(g, NULL);
        }
        if (s == MM_OK) s = mm__graph_bind(g, &arena, NULL);
        if (s == MM_OK) reached = n;
        else assert_int_equal(s, MM_E_NOMEM);
        fail_after = 1 << 20;
        if (f.b) f.b->ops->arena_free(&arena);
        mm__graph_destroy(g);
        f.b->ops->tensor_free(f.w[0]);
        mm__backend_destroy(f.b);
        assert_int_equal(mm__mem_live(f.mem), f.live);
        mm__mem_destroy(f.mem);
    }
    assert_true(reached > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reuse_of_memory_changes_nothing), cmocka_unit_test(views_of_views),
        cmocka_unit_test(errors_are_remembered),           cmocka_unit_test(waits_and_sharing),
        cmocka_unit_test(cancelled_runs_stop),             cmocka_unit_test(memory_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
