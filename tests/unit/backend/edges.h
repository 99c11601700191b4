/* Calls at the ends of what occurs, for operators whose random calls (calls.h) are small and tame: rows longer than any
 * workgroup, a single column, all four axes, values far from zero. */
#ifndef MM__TEST_EDGES_H
#define MM__TEST_EDGES_H

#include "calls.h"

/* The value `factor * x + shift` in place of every x. */
static mm__view moved(mm__view v, float factor, float shift)
{
    int64_t n = mm__shape_cols(&v.shape);
    for (int i = 0; i + 1 < v.shape.n; i++) n += (v.shape.d[i] - 1) * v.stride[i];
    for (int64_t i = 0; i < n; i++) ((float *)v.data)[i] = factor * ((float *)v.data)[i] + shift;
    return v;
}

enum { EDGES = 4 };

/* Inputs of the call `kind` (below EDGES) of operator op; false for operators without such cases. */
static bool make_edge(maker *m, mm__op op, int kind, mm__call *c)
{
    const mm__shape shapes[EDGES] = {mm__shape2(1, 4999), mm__shape2(700, 1), mm__shape4(2, 3, 5, 33), mm__shape3(5, 2, 260)};
    static const int32_t grids[EDGES][5] = {{37, 37, 16, 16, 1}, {3, 2, 50, 41, 0}, {1, 1, 7, 1, 0}, {9, 40, 40, 9, 1}}; /* h, w, out_h, out_w, antialias */
    static const int32_t windows[EDGES][6] = {{1000, 80, 3, 2, 1, 1}, {2, 3, 5, 1, 7, 0}, {1, 300, 1, 1, 0, 1}, {64, 5, 64, 3, 0, 0}}; /* positions, channels, kernel, step, pad, channels first */
    c->op = op;
    c->args.eps = 1e-6f;
    c->args.scale = -1.25f;
    c->in[0] = values(m, MM__F32, shapes[kind]);
    switch (op) {
    case MM__OP_NORM:
        if (kind > 1) c->in[0] = moved(c->in[0], 1.0f, 300.0f);
        return true;
    case MM__OP_SOFTMAX:
        if (kind > 1) c->in[0] = moved(c->in[0], 40.0f, -500.0f);
        return true;
    case MM__OP_L2NORM: /* all rows longer than eps, all shorter, nothing but zeros */
        if (kind == 2) c->args.eps = 1e6f;
        if (kind == 3) c->in[0] = moved(c->in[0], c->args.eps = 0.0f, 0.0f);
        return true;
    case MM__OP_MEAN:
    case MM__OP_COPY: return true;
    case MM__OP_CONCAT:
        for (int i = 1; i < 4; i++) {
            mm__shape s = shapes[kind];
            s.d[0] = i;
            c->in[i] = values(m, MM__F32, s);
        }
        return true;
    case MM__OP_SPLICE:
        c->in[1] = values(m, MM__F32, mm__shape2(400, shapes[kind].d[shapes[kind].n - 1]));
        c->in[2] = integers(m, mm__shape1(400), -3, 9);
        return true;
    case MM__OP_PATCHES:
        c->in[0] = values(m, MM__F32, mm__shape3(kind + 1, 30, 61));
        c->args.kernel = c->args.step = kind == 0 ? 30 : 14 - kind;
        return true;
    case MM__OP_UNFOLD1D: {
        const int32_t *w = windows[kind];
        c->args.kernel = w[2];
        c->args.step = w[3];
        c->args.pad = w[4];
        c->args.channels_first = w[5];
        c->in[0] = values(m, MM__F32, w[5] ? mm__shape2(w[1], w[0]) : mm__shape2(w[0], w[1]));
        return true;
    }
    case MM__OP_RESIZE: {
        const int32_t *g = grids[kind];
        c->in[0] = values(m, MM__F32, mm__shape3(g[0], g[1], 150));
        c->args.out_h = g[2];
        c->args.out_w = g[3];
        c->args.antialias = g[4];
        return true;
    }
    case MM__OP_MATMUL: c->in[1] = values(m, MM__F32, mm__shape3(3, kind == 1 ? 1 : 23, shapes[kind].d[shapes[kind].n - 1])); return true;
    default: return false;
    }
}

#endif
