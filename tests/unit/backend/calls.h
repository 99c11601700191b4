/* Random calls of every operator, for the tests that compare a backend with the oracles. Include after cmocka.h. The calls of
 * one seed are always the same. */
#ifndef MM__TEST_CALLS_H
#define MM__TEST_CALLS_H

#include "../../../src/base/rng.h"
#include "../../../src/op/op.h"
#include "../normal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BLOCKS = 32 };

typedef struct maker {
    uint64_t seed, at;
    void *blocks[MAX_BLOCKS];
    int n_blocks;
} maker;

static int64_t pick(maker *m, int64_t lo, int64_t hi) { return lo + (int64_t)(mm__rng_u64(m->seed, m->at++) % (uint64_t)(hi - lo + 1)); }
static bool coin(maker *m) { return pick(m, 0, 1); }

static void *block(maker *m, size_t bytes)
{
    void *p = calloc(1, bytes + 64);
    assert_non_null(p);
    assert_true(m->n_blocks < MAX_BLOCKS);
    m->blocks[m->n_blocks++] = p;
    return p;
}

/* Bytes of n elements, whole blocks. */
static size_t bytes_for(mm__dtype t, int64_t n)
{
    size_t bytes;
    assert_true(mm__dtype_row_bytes(t, n, &bytes));
    return bytes;
}

/* Random values with rows padded at random; F32, F16 or, in rows of whole blocks, Q8_0. */
static mm__view values(maker *m, mm__dtype t, mm__shape s)
{
    mm__view v = mm__view_of(t, s, NULL);
    int64_t stride = mm__shape_cols(&s);
    for (int i = s.n - 2; i >= 0; i--) {
        stride += coin(m) ? pick(m, 0, 9) * mm__dtype_info_of(t)->block : 0;
        v.stride[i] = stride;
        stride *= s.d[i];
    }
    v.data = block(m, bytes_for(t, stride));
    for (int64_t i = 0, n = mm__dtype_info_of(t)->block; i < stride; i += n) {
        float x[32];
        for (int64_t k = 0; k < n; k++) x[k] = 1.5f * random_normal(m->seed, m->at++);
        mm__pack_row(t, x, (uint8_t *)v.data + bytes_for(t, i), n);
    }
    return v;
}

static mm__view integers(maker *m, mm__shape s, int64_t lo, int64_t hi)
{
    mm__view v = mm__view_of(MM__I32, s, NULL);
    int64_t n = 0;
    mm__shape_count(&s, &n);
    v.data = block(m, (size_t)n * 4);
    for (int64_t i = 0; i < n; i++) ((int32_t *)v.data)[i] = (int32_t)pick(m, lo, hi);
    return v;
}

static mm__dtype some_cache(maker *m)
{
    static const mm__dtype types[] = {MM__F32, MM__F16, MM__Q8_0};
    return types[pick(m, 0, 2)];
}

static int64_t some_cols(maker *m) { return coin(m) ? 16 * pick(m, 1, 12) : pick(m, 1, 150); }

static mm__view swap01(mm__view v)
{
    const int64_t d = v.shape.d[0], s = v.stride[0];
    v.shape.d[0] = v.shape.d[1];
    v.stride[0] = v.stride[1];
    v.shape.d[1] = d;
    v.stride[1] = s;
    return v;
}

static void make_attention(maker *m, mm__call *c)
{
    const int64_t t = coin(m) ? pick(m, 1, 5) : pick(m, 1, 150), s = pick(m, 1, 300), hk = pick(m, 1, 3);
    const bool bias = pick(m, 0, 3) == 0;
    const mm__dtype type = some_cache(m);
    const int64_t of = mm__dtype_info_of(type)->block, most = of > 1 ? 5 : 90;
    const int64_t h = bias ? hk : hk * pick(m, 1, 4), d = coin(m) ? 64 : of * pick(m, 1, most), dv = coin(m) ? d : of * pick(m, 1, most);
    c->in[0] = values(m, MM__F32, mm__shape3(t, h, d));
    c->in[1] = coin(m) ? values(m, type, mm__shape3(hk, s, d)) : swap01(values(m, type, mm__shape3(s, hk, d)));
    c->in[2] = coin(m) ? values(m, type, mm__shape3(hk, s, dv)) : swap01(values(m, type, mm__shape3(s, hk, dv)));
    c->args.scale = 1.0f / sqrtf((float)d);
    if (coin(m)) {
        c->in[3] = integers(m, mm__shape2(t, 2), 0, s + 3);
        const int kind = (int)pick(m, 0, 2);
        for (int64_t i = 0; i < t && kind; i++) {
            int32_t *pair = (int32_t *)c->in[3].data + 2 * i;
            pair[0] = kind == 1 ? 0 : (int32_t)(i > 20 ? i - 20 : 0);
            pair[1] = (int32_t)(s - t + i + 1);
        }
    }
    if (bias) {
        c->args.bidirectional = coin(m);
        c->args.max_distance = (int32_t)pick(m, 20, 130);
        c->in[4] = values(m, MM__F32, mm__shape2(32, h));
        c->in[5] = integers(m, mm__shape1(t), 0, s);
    }
    if (pick(m, 0, 3) == 0) c->args.softcap = 5.0f;
}

/* What a row that is packed may bring: halves between two steps, nothing, tiny and endless numbers, none. */
static void spoil(maker *m, const mm__view *x)
{
    static const float odd[] = {0.0f, -0.0f, 1e-42f, 3e-7f, 1e30f, INFINITY, -INFINITY, NAN};
    for (int64_t r = 0; r < mm__view_rows(x); r++) {
        float *row = mm__view_row(x, r);
        const int kind = (int)pick(m, 0, 4);
        for (int64_t i = 0; i < mm__view_cols(x) && kind < 3; i++) {
            if (kind == 0) row[i] = i % 32 ? 0.5f * (float)pick(m, -254, 254) : 127.0f;
            if (kind == 1) row[i] = 1e-41f * (float)pick(m, -9, 9);
            if (kind == 2 && pick(m, 0, 31) == 0) row[i] = odd[pick(m, 0, 7)];
        }
    }
}

/* Inputs of a random call of operator op. */
static void make_call(maker *m, mm__op op, mm__call *c)
{
    const int64_t t = pick(m, 1, 40), d = some_cols(m);
    c->op = op;
    c->args.act = (mm__act)pick(m, MM__ACT_NONE, MM__ACT_SIGMOID);
    c->args.eps = 1e-5f;
    c->args.scale = 0.75f;
    c->args.offset = -0.25f;
    c->in[0] = values(m, MM__F32, coin(m) ? mm__shape2(t, d) : mm__shape3(t, 3, d));
    switch (op) {
    case MM__OP_ADD:
    case MM__OP_MUL: {
        const int kind = (int)pick(m, 0, 3);
        if (kind == 0) c->in[1] = values(m, MM__F32, c->in[0].shape);
        if (kind == 1) c->in[1] = values(m, MM__F32, mm__shape1(d));
        if (kind == 2) c->in[1] = values(m, MM__F32, mm__shape2(t, d));
        if (kind == 3) c->in[1] = values(m, MM__F32, mm__shape1(1));
        break;
    }
    case MM__OP_GLU: c->in[0] = values(m, MM__F32, mm__shape2(t, 2 * d)); break;
    case MM__OP_NORM:
        if (coin(m)) c->in[2] = values(m, MM__F32, mm__shape1(d));
        if (coin(m)) c->in[1] = values(m, MM__F32, mm__shape1(d));
        break;
    case MM__OP_RMSNORM:
        if (coin(m)) c->in[1] = values(m, MM__F32, mm__shape1(d));
        break;
    case MM__OP_ROPE: {
        const int64_t half = pick(m, 1, 40);
        c->in[0] = values(m, MM__F32, mm__shape3(t, pick(m, 1, 9), 2 * half + (coin(m) ? pick(m, 0, 20) : 0)));
        c->in[1] = integers(m, mm__shape1(t), 0, 3000);
        c->in[2] = values(m, MM__F32, mm__shape1(half));
        c->args.interleaved = coin(m);
        break;
    }
    case MM__OP_KV_WRITE:
        c->in[1] = values(m, MM__F32, mm__shape3(t, pick(m, 1, 4), d));
        if (pick(m, 0, 2)) {
            c->in[0] = values(m, coin(m) ? MM__F16 : MM__F32, mm__shape3(c->in[1].shape.d[1], 50, d));
        } else {
            c->in[1] = values(m, MM__F32, mm__shape3(t, c->in[1].shape.d[1], 32 * pick(m, 1, 5)));
            c->in[0] = values(m, MM__Q8_0, mm__shape3(c->in[1].shape.d[1], 50, c->in[1].shape.d[2]));
            spoil(m, &c->in[1]);
        }
        c->in[2] = integers(m, mm__shape1(t), -1, 51);
        break;
    case MM__OP_ATTENTION: make_attention(m, c); break;
    case MM__OP_MATMUL:
        c->in[0] = values(m, MM__F32, mm__shape2(t, d));
        c->in[1] = values(m, MM__F32, mm__shape2(pick(m, 1, 40), d));
        break;
    case MM__OP_ROWS:
        c->in[0] = values(m, coin(m) ? MM__F16 : MM__F32, mm__shape2(pick(m, 1, 30), d));
        c->in[1] = integers(m, mm__shape1(t), -1, c->in[0].shape.d[0]);
        break;
    case MM__OP_PATCHES:
        c->args.kernel = (int32_t)pick(m, 1, 5);
        c->args.step = c->args.kernel;
        c->in[0] = values(m, MM__F32, mm__shape3(pick(m, 1, 4), pick(m, 5, 30), pick(m, 5, 30)));
        break;
    case MM__OP_UNFOLD1D:
        c->args.kernel = (int32_t)pick(m, 1, 5);
        c->args.step = (int32_t)pick(m, 1, 3);
        c->args.pad = (int32_t)pick(m, 0, 2);
        c->args.channels_first = coin(m);
        c->in[0] = values(m, MM__F32, mm__shape2(pick(m, 5, 30), pick(m, 5, 30)));
        break;
    case MM__OP_CONCAT:
        c->in[0] = values(m, MM__F32, mm__shape3(t, 3, d));
        for (int i = 1; i < 4 && coin(m); i++) c->in[i] = values(m, MM__F32, mm__shape3(pick(m, 1, 9), 3, d));
        break;
    case MM__OP_SPLICE:
        c->in[0] = values(m, MM__F32, mm__shape2(t, d));
        c->in[1] = values(m, MM__F32, mm__shape2(pick(m, 1, 9), d));
        c->in[2] = integers(m, mm__shape1(c->in[1].shape.d[0]), -1, t);
        break;
    case MM__OP_RESIZE:
        c->in[0] = values(m, MM__F32, mm__shape3(pick(m, 1, 12), pick(m, 1, 12), d));
        c->args.out_h = (int32_t)pick(m, 1, 15);
        c->args.out_w = (int32_t)pick(m, 1, 15);
        c->args.antialias = coin(m);
        break;
    case MM__OP_COPY:
        c->in[0] = swap01(values(m, MM__F32, mm__shape3(t, pick(m, 1, 5), d)));
        break;
    default: break;
    }
}

/* Bytes from the first element of a view to its last. */
static size_t bytes_of(const mm__view *v)
{
    int64_t n = mm__shape_cols(&v->shape);
    for (int i = 0; i + 1 < v->shape.n; i++) n += (v->shape.d[i] - 1) * v->stride[i];
    return bytes_for(v->dtype, n);
}

static mm__view copy_of(maker *m, const mm__view *v)
{
    mm__view out = *v;
    out.data = block(m, bytes_of(v));
    memcpy(out.data, v->data, bytes_of(v));
    return out;
}

static double element(const mm__view *v, int64_t row, int64_t col)
{
    int64_t at = col;
    for (int i = v->shape.n - 2; i >= 0; i--) {
        at += row % v->shape.d[i] * v->stride[i];
        row /= v->shape.d[i];
    }
    const int64_t n = mm__dtype_info_of(v->dtype)->block;
    float x[32];
    mm__unpack_row(v->dtype, (uint8_t *)v->data + bytes_for(v->dtype, at / n * n), x, n);
    return x[at % n];
}

#endif
