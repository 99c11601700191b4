/* From names in files to constants: finds the entry a canonical key stands for, checks its shape, and turns it into one
 * constant - plain, a run of rows, transposed, stacked with others, or with one added. Weights keep their element type on
 * the way to the backend; only what has to be computed on (offsets, integer weights with a scale) becomes float here.
 *
 * Names. Name = prefix + root + alternative + suffix, all combinations in order, first hit wins. Suffixes are written
 * ".weight" and ".bias" (an alternative ending with '=' takes none); the CT2 scheme separates with '/', and old normalisation
 * layers say gamma and beta. Integer weights (CT2): row r of w is q / scale[r], the scale stored beside the weight under its
 * name + "_scale". */
#include "store.h"
#include "../base/ckd.h"
#include "../base/error.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 256

/* ---- status and hyper-parameters ---- */

mm__loader mm__loader_for(const mm__loader *ld, const mm__config *config, const char *const *prefixes)
{
    mm__loader to = {.store = ld->store, .mem = ld->mem, .config = *config, .weights = ld->weights, .scheme = ld->scheme};
    int n = 0;
    for (; prefixes && prefixes[n] && n < 7; n++) to.prefixes[n] = prefixes[n];
    if (n == 0) to.prefixes[0] = "";
    to.roots[0] = "";
    to.error.size = sizeof to.error;
    return to;
}

mm_status mm__loader_status(const mm__loader *ld, mm_error *err)
{
    return ld->status < 0 ? mm__fail_as(err, &ld->error) : MM_OK;
}

void mm__loader_fail(mm__loader *ld, mm_status code, const char *fmt, ...)
{
    char text[sizeof ld->error.text];
    va_list ap;
    if (ld->status < 0) return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ld->error.size = sizeof ld->error;
    ld->status = mm__fail(&ld->error, code, "%s", text);
}

/* Makes a failed call's error stick; returns true when all is well. */
static bool note(mm__loader *ld, mm_status st, const mm_error *err)
{
    if (st < 0 && ld->status >= 0) ld->status = mm__fail_as(&ld->error, err);
    return st >= 0;
}

static const char *source_name(const mm__loader *ld)
{
    return ld->config.source ? ld->config.source : "model";
}

int32_t mm__loader_int(mm__loader *ld, const char *json, const char *gguf, int32_t fallback, int32_t lo, int32_t hi)
{
    mm_error e = {.size = sizeof e};
    int64_t v = lo;
    if (ld->status < 0 || !note(ld, mm__config_int(&ld->config, json, gguf, fallback, lo, hi, &v, &e), &e)) return lo;
    return (int32_t)v;
}

double mm__loader_num(mm__loader *ld, const char *json, const char *gguf, double fallback, double lo, double hi)
{
    mm_error e = {.size = sizeof e};
    double v = lo;
    if (ld->status < 0 || !note(ld, mm__config_num(&ld->config, json, gguf, fallback, lo, hi, &v, &e), &e)) return lo;
    return v;
}

mm_status mm__act_from_name(const char *name, mm__act *out, mm_error *err)
{
    static const struct {
        const char *name;
        mm__act act;
    } table[] = {{"gelu", MM__ACT_GELU},           {"gelu_python", MM__ACT_GELU},
                 {"gelu_new", MM__ACT_GELU_TANH},  {"gelu_pytorch_tanh", MM__ACT_GELU_TANH},
                 {"gelu_fast", MM__ACT_GELU_TANH}, {"quick_gelu", MM__ACT_GELU_QUICK},
                 {"silu", MM__ACT_SILU},           {"swish", MM__ACT_SILU},
                 {"relu", MM__ACT_RELU},           {"tanh", MM__ACT_TANH},
                 {"sigmoid", MM__ACT_SIGMOID},     {"linear", MM__ACT_NONE}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strcmp(name, table[i].name) != 0) continue;
        *out = table[i].act;
        return MM_OK;
    }
    return mm__fail(err, MM_E_UNSUPPORTED, "activation '%s' is not known", name);
}

mm__act mm__loader_act(mm__loader *ld, const char *json, const char *fallback)
{
    mm_error e = {.size = sizeof e};
    mm__act act = MM__ACT_NONE;
    if (mm__act_from_name(mm__config_str(&ld->config, json, NULL, fallback), &act, &e) < 0)
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "%s: %s: %s", source_name(ld), json, e.text);
    return act;
}

/* ---- names ---- */

static const mm__names *names_of(const mm__loader *ld, const char *key)
{
    for (const mm__names *n = ld->names; n && n->key; n++)
        if (strcmp(n->key, key) == 0) return n;
    return NULL;
}

/* Appends text with "%d" replaced by the layer; stops at '|' and '='. False when it does not fit. */
static bool put(char *buf, size_t *at, const char *text, int32_t layer)
{
    while (*text && *text != '|' && *text != '=') {
        if (text[0] == '%' && text[1] == 'd') {
            int k = snprintf(buf + *at, NAME_MAX_BYTES - *at, "%d", (int)layer);
            if (k < 0 || (size_t)k >= NAME_MAX_BYTES - *at) return false;
            *at += (size_t)k;
            text += 2;
        } else {
            if (*at + 1 >= NAME_MAX_BYTES) return false;
            buf[(*at)++] = *text++;
        }
    }
    buf[*at] = 0;
    return true;
}

/* The ways a suffix is written; both may be the same. */
static void suffixes(mm__scheme scheme, const char *suffix, const char *out[2])
{
    bool w = strcmp(suffix, ".weight") == 0, b = strcmp(suffix, ".bias") == 0;
    out[0] = out[1] = suffix;
    if (scheme == MM__NAMES_CT2 && (w || b)) out[0] = w ? "/weight" : "/bias", out[1] = w ? "/gamma" : "/beta";
    if (scheme == MM__NAMES_HF && (w || b)) out[1] = w ? ".gamma" : ".beta";
}

/* Looks an alternative up under every prefix and root. `first` (may be NULL) receives the first name tried. */
static const mm__weight *find_alternative(const mm__loader *ld, const char *alt, int32_t layer, const char *suffix, char *first)
{
    char name[NAME_MAX_BYTES];
    static const char *const no_root[2] = {"", NULL};
    const char *const *roots = ld->scheme == MM__NAMES_HF && ld->roots[0] ? ld->roots : no_root;
    const char *sfx[2];
    suffixes(ld->scheme, alt[strcspn(alt, "|=")] == '=' ? "" : suffix, sfx);
    for (int p = 0; p < 8 && ld->prefixes[p]; p++)
        for (int r = 0; r < 8 && roots[r]; r++)
            for (int i = 0; i < (sfx[0] == sfx[1] ? 1 : 2); i++) {
                size_t at = 0;
                if (!put(name, &at, ld->prefixes[p], layer) || !put(name, &at, roots[r], layer) ||
                    !put(name, &at, alt, layer) || !put(name, &at, sfx[i], layer))
                    continue;
                const mm__weight *w = mm__weights_find(ld->weights, name);
                if (w) return w;
                if (first && !first[0]) memcpy(first, name, at + 1);
            }
    return NULL;
}

static const mm__weight *find_named(const mm__loader *ld, const char *key, int32_t layer, const char *suffix, char *first)
{
    const mm__names *n = names_of(ld, key);
    const char *alt = n ? n->in[ld->scheme] : NULL;
    while (alt) {
        const mm__weight *w = find_alternative(ld, alt, layer, suffix, first);
        if (w) return w;
        alt = strchr(alt, '|');
        if (alt) alt++;
    }
    return NULL;
}

const mm__weight *mm__loader_find(const mm__loader *ld, const char *key, int32_t layer, const char *suffix)
{
    return find_named(ld, key, layer, suffix, NULL);
}

bool mm__loader_has(const mm__loader *ld, const char *key, int32_t layer, const char *suffix)
{
    return mm__loader_find(ld, key, layer, suffix) != NULL;
}

/* As mm__loader_find, with the error "missing" unless optional. NULL after an error. */
static const mm__weight *need(mm__loader *ld, const char *key, int32_t layer, const char *suffix, unsigned flags)
{
    char name[NAME_MAX_BYTES] = "";
    if (ld->status < 0) return NULL;
    const mm__weight *w = find_named(ld, key, layer, suffix, name);
    if (!w && !(flags & MM__LOAD_OPTIONAL))
        mm__loader_fail(ld, MM_E_FORMAT, "%s: the tensor '%s' (%s) is missing", source_name(ld), name[0] ? name : key, key);
    return w;
}

/* ---- pieces ---- */

static bool wrong_shape(mm__loader *ld, const mm__weight *w, const mm__shape *want)
{
    char a[96], b[96];
    mm__loader_fail(ld, MM_E_FORMAT, "%s: tensor '%s' has shape %s where %s is expected", mm__io_name(w->io), w->name,
                    mm__shape_str(&w->shape, a), mm__shape_str(want, b));
    return false;
}

static bool check_shape(mm__loader *ld, const mm__weight *w, const mm__shape *want, unsigned flags)
{
    int64_t have_n, want_n;
    if (mm__shape_equal(&w->shape, want)) return true;
    if ((flags & MM__LOAD_RESHAPE) && mm__shape_count(&w->shape, &have_n) && mm__shape_count(want, &want_n) && have_n == want_n)
        return true;
    return wrong_shape(ld, w, want);
}

/* The scale of an integer weight: F32 [rows] (or one for all rows), NULL when there is none. */
static float *read_scale(mm__loader *ld, const mm__weight *w, int64_t rows, int64_t *n)
{
    char name[NAME_MAX_BYTES];
    if (snprintf(name, sizeof name, "%s_scale", w->name) >= (int)sizeof name) return NULL;
    const mm__weight *s = mm__weights_find(ld->weights, name);
    if (!s || s->dtype != MM__F32 || !mm__shape_count(&s->shape, n) || (*n != 1 && (*n < 1 || rows % *n != 0))) {
        mm__loader_fail(ld, MM_E_FORMAT, "%s: the integer tensor '%s' has no usable scale", mm__io_name(w->io), w->name);
        return NULL;
    }
    mm_error e = {.size = sizeof e};
    float *v = mm__calloc(ld->mem, (size_t)*n, sizeof *v);
    if (!note(ld, v ? mm__weight_read(s, 0, v, s->bytes, &e) : mm__nomem(&e, name), &e)) {
        mm__free(ld->mem, v);
        return NULL;
    }
    return v;
}

/* Rows [row, row + rows) of w as F32 in host memory, integers divided by their scale. */
static float *read_float(mm__loader *ld, const mm__weight *w, int64_t row, int64_t rows, int64_t cols)
{
    mm_error e = {.size = sizeof e};
    size_t row_bytes, raw_bytes, n_out;
    int64_t n_scale = 0, all = mm__shape_rows(&w->shape), stored = mm__shape_cols(&w->shape);
    float *out = NULL, *scale = NULL;
    void *raw = NULL;
    bool integer = w->dtype == MM__I8 || w->dtype == MM__I16, ok = false;
    if (!mm__dtype_row_bytes(w->dtype, cols, &row_bytes) || !mm__ckd_mul(row_bytes, (size_t)rows, &raw_bytes) ||
        !mm__ckd_mul((size_t)rows, (size_t)cols, &n_out)) {
        mm__loader_fail(ld, MM_E_FORMAT, "%s: rows of tensor '%s' cannot be read alone", mm__io_name(w->io), w->name);
        return NULL;
    }
    raw = mm__alloc(ld->mem, raw_bytes);
    out = mm__calloc(ld->mem, n_out, sizeof *out);
    if (!note(ld, raw && out ? MM_OK : mm__nomem(&e, w->name), &e)) goto done;
    if (!note(ld, mm__weight_read(w, (size_t)row * row_bytes, raw, raw_bytes, &e), &e)) goto done;
    if (!note(ld, mm__store_advance(ld->store, raw_bytes, &e), &e)) goto done;
    if (integer && !(scale = read_scale(ld, w, all, &n_scale))) goto done;
    for (int64_t r = 0; r < rows; r++) {
        float *o = out + r * cols;
        mm__unpack_row(w->dtype, (unsigned char *)raw + (size_t)r * row_bytes, o, cols);
        /* Rows here may be cut otherwise than in the file; a scale belongs to a stored row. */
        for (int64_t c = 0; integer && c < cols; c++)
            o[c] /= scale[n_scale == 1 ? 0 : ((row + r) * cols + c) / stored / (all / n_scale)];
    }
    ok = true;
done:
    mm__free(ld->mem, raw);
    mm__free(ld->mem, scale);
    if (!ok) {
        mm__free(ld->mem, out);
        out = NULL;
    }
    return out;
}

/* A stored [in, out] matrix turned to [out, in], in its own element type. */
static void *read_transposed(mm__loader *ld, const mm__weight *w)
{
    mm_error e = {.size = sizeof e};
    size_t each = mm__dtype_info_of(w->dtype)->bytes;
    int64_t in = w->shape.d[0], out = w->shape.d[1];
    if (w->dtype != MM__F32 && w->dtype != MM__F16 && w->dtype != MM__BF16) {
        mm__loader_fail(ld, MM_E_UNSUPPORTED, "%s: tensor '%s' of type %s would have to be transposed", mm__io_name(w->io),
                        w->name, mm__dtype_info_of(w->dtype)->name);
        return NULL;
    }
    unsigned char *raw = mm__alloc(ld->mem, w->bytes), *turned = mm__alloc(ld->mem, w->bytes);
    bool ok = note(ld, raw && turned ? MM_OK : mm__nomem(&e, w->name), &e) &&
              note(ld, mm__weight_read(w, 0, raw, w->bytes, &e), &e) &&
              note(ld, mm__store_advance(ld->store, w->bytes, &e), &e);
    for (int64_t i = 0; ok && i < in; i++)
        for (int64_t o = 0; o < out; o++)
            memcpy(turned + (size_t)(o * in + i) * each, raw + (size_t)(i * out + o) * each, each);
    mm__free(ld->mem, raw);
    if (!ok) mm__free(ld->mem, turned);
    return ok ? turned : NULL;
}

/* Float values that stay on the host side until upload, in the type the source wants. */
static void *as_type(mm__loader *ld, float *v, int64_t n, mm__dtype to)
{
    if (!v || to == MM__F32) return v;
    size_t bytes;
    void *p = mm__ckd_mul((size_t)n, mm__dtype_info_of(to)->bytes, &bytes) ? mm__alloc(ld->mem, bytes) : NULL;
    mm_error e = {.size = sizeof e};
    if (note(ld, p ? MM_OK : mm__nomem(&e, "weights"), &e)) mm__pack_row(to, v, p, n);
    mm__free(ld->mem, v);
    return p;
}

/* Fills piece i of a source with rows [from, from + shape rows) of w; checks w against shape with `of` as first axis. */
static bool make_piece(mm__loader *ld, mm__source *s, int i, const mm__weight *w, mm__shape shape, int64_t from, int64_t of,
                       unsigned flags)
{
    bool turn = (flags & MM__LOAD_TRANSPOSE) && ld->scheme == MM__NAMES_HF;
    bool one = (flags & MM__LOAD_ADD_ONE) && ld->scheme == MM__NAMES_HF;
    mm__shape full = shape;
    mm__piece *p = &s->piece[i];
    int64_t cols = mm__shape_cols(&shape), rows = mm__shape_rows(&shape), n = rows * cols;
    if (full.n > 0) full.d[0] = of;
    if (turn) full = mm__shape2(full.d[1], full.d[0]);
    if (!check_shape(ld, w, &full, flags)) return false;
    p->weight = w;
    p->rows = rows;
    s->n = i + 1;
    s->dtype = w->dtype;
    if (turn) {
        p->host = read_transposed(ld, w);
    } else if (one || w->dtype == MM__I8 || w->dtype == MM__I16) {
        int64_t first = shape.n > 0 && of > 0 ? from * (mm__shape_rows(&full) / of) : 0;
        float *v = read_float(ld, w, first, rows, cols);
        for (int64_t k = 0; v && one && k < n; k++) v[k] += 1.0f;
        s->dtype = one || mm__store_backend(ld->store)->exact ? MM__F32 : MM__F16;
        p->host = as_type(ld, v, n, s->dtype);
    } else {
        p->base = of > 0 ? w->bytes / (size_t)of * (size_t)from : 0;
    }
    if (!mm__dtype_row_bytes(s->dtype, cols, &s->row_bytes)) return wrong_shape(ld, w, &shape);
    return ld->status >= 0;
}

/* ---- single tensors ---- */

static unsigned use_of(unsigned flags)
{
    return (flags & MM__LOAD_ROWS ? MM__USE_ROWS : 0u) | (flags & MM__LOAD_COARSE ? MM__USE_COARSE : 0u);
}

const mm__tensor *mm__load_part(mm__loader *ld, const char *key, int32_t layer, const char *suffix, mm__shape shape,
                                int64_t from, int64_t of, unsigned use, unsigned flags)
{
    mm_error e = {.size = sizeof e};
    mm__source s = {.store = ld->store, .where = {ld->part, layer}};
    const mm__tensor *t = NULL;
    const mm__weight *w = need(ld, key, layer, suffix, flags);
    if (!w) return NULL;
    if (shape.n > 0 && (from < 0 || from > of - shape.d[0])) {
        mm__loader_fail(ld, MM_E_INTERNAL, "rows %lld.. of '%s' are outside its %lld rows", (long long)from, w->name,
                        (long long)of);
        return NULL;
    }
    use |= use_of(flags);
    if (make_piece(ld, &s, 0, w, shape, from, of, flags)) {
        t = mm__store_add(&s, w->name, shape, use, &e);
        note(ld, t ? MM_OK : e.code, &e);
    }
    mm__source_free(&s);
    return t;
}

const mm__tensor *mm__load(mm__loader *ld, const char *key, int32_t layer, const char *suffix, mm__shape shape, unsigned use,
                           unsigned flags)
{
    return mm__load_part(ld, key, layer, suffix, shape, 0, shape.n > 0 ? shape.d[0] : 1, use, flags);
}

float *mm__load_host(mm__loader *ld, const char *key, int32_t layer, const char *suffix, int64_t n, unsigned flags)
{
    mm__shape want = mm__shape1(n);
    int64_t have;
    const mm__weight *w = need(ld, key, layer, suffix, flags);
    if (!w) return NULL;
    if (!mm__shape_count(&w->shape, &have) || have != n) {
        wrong_shape(ld, w, &want);
        return NULL;
    }
    float *v = read_float(ld, w, 0, mm__shape_rows(&w->shape), mm__shape_cols(&w->shape));
    for (int64_t i = 0; v && (flags & MM__LOAD_ADD_ONE) && ld->scheme == MM__NAMES_HF && i < n; i++) v[i] += 1.0f;
    return v;
}

const mm__tensor *mm__store_vector(mm__loader *ld, const char *name, int32_t layer, const float *data, mm__shape shape)
{
    mm_error e = {.size = sizeof e};
    mm__source s = {.store = ld->store, .n = 1, .dtype = MM__F32, .where = {ld->part, layer}};
    size_t bytes;
    const mm__tensor *t = NULL;
    if (ld->status < 0) return NULL;
    s.piece[0].rows = mm__shape_rows(&shape);
    if (mm__tensor_bytes(MM__F32, &shape, &bytes) && mm__dtype_row_bytes(MM__F32, mm__shape_cols(&shape), &s.row_bytes))
        s.piece[0].host = mm__alloc(mm__store_backend(ld->store)->mem, bytes);
    if (note(ld, s.piece[0].host ? MM_OK : mm__nomem(&e, name), &e)) {
        memcpy(s.piece[0].host, data, bytes);
        t = mm__store_add(&s, name, shape, MM__USE_VECTOR, &e);
        note(ld, t ? MM_OK : e.code, &e);
    }
    mm__source_free(&s);
    return t;
}

/* ---- layers ---- */

mm__linear mm__load_linear(mm__loader *ld, const char *key, int32_t layer, int64_t in, int64_t out, unsigned flags)
{
    mm__linear l = {.in = in, .out = out, .n_w = 1};
    l.w[0] = mm__load(ld, key, layer, ".weight", mm__shape2(out, in), MM__USE_LINEAR, flags);
    if (l.w[0] && !(flags & MM__LOAD_NO_BIAS)) {
        unsigned bias = (flags & MM__LOAD_NEED_BIAS ? 0u : MM__LOAD_OPTIONAL) | MM__LOAD_RESHAPE;
        l.bias = mm__load(ld, key, layer, ".bias", mm__shape1(out), MM__USE_VECTOR, bias);
    }
    return l;
}

/* The biases of a stack as one vector, zero where one is missing; NULL when all are. */
static const mm__tensor *stack_bias(mm__loader *ld, const char *const *keys, int n, int32_t layer, const int64_t *outs,
                                    int64_t sum)
{
    bool any = false;
    const mm__tensor *t = NULL;
    mm_error e = {.size = sizeof e};
    for (int i = 0; i < n; i++) any = any || mm__loader_has(ld, keys[i], layer, ".bias");
    if (!any || ld->status < 0) return NULL;
    float *all = mm__calloc(ld->mem, (size_t)sum, sizeof *all);
    note(ld, all ? MM_OK : mm__nomem(&e, keys[0]), &e);
    int64_t at = 0;
    for (int i = 0; i < n && ld->status >= 0; i++) {
        float *b = mm__load_host(ld, keys[i], layer, ".bias", outs[i], MM__LOAD_OPTIONAL);
        if (b) memcpy(all + at, b, (size_t)outs[i] * sizeof *b);
        mm__free(ld->mem, b);
        at += outs[i];
    }
    if (ld->status >= 0) t = mm__store_vector(ld, keys[0], layer, all, mm__shape1(sum));
    mm__free(ld->mem, all);
    return t;
}

/* Weights of one element type become one constant. */
static bool one_type(mm__loader *ld, const char *const *keys, int n, int32_t layer)
{
    const mm__weight *first = mm__loader_find(ld, keys[0], layer, ".weight");
    for (int i = 1; i < n; i++) {
        const mm__weight *w = mm__loader_find(ld, keys[i], layer, ".weight");
        if (!first || !w || w->dtype != first->dtype) return false;
    }
    return first != NULL;
}

mm__linear mm__load_linear_stack(mm__loader *ld, const char *fused, const char *const *keys, int n, int32_t layer, int64_t in,
                                 const int64_t *outs, unsigned flags)
{
    mm__linear l = {.in = in};
    mm_error e = {.size = sizeof e};
    for (int i = 0; i < n; i++) l.out += outs[i];
    if (fused && mm__loader_has(ld, fused, layer, ".weight")) return mm__load_linear(ld, fused, layer, in, l.out, flags);
    if (one_type(ld, keys, n, layer)) {
        mm__source s = {.store = ld->store, .where = {ld->part, layer}};
        bool ok = ld->status >= 0;
        for (int i = 0; i < n && ok; i++) {
            const mm__weight *w = need(ld, keys[i], layer, ".weight", 0);
            ok = w && make_piece(ld, &s, i, w, mm__shape2(outs[i], in), 0, outs[i], flags);
        }
        if (ok) {
            l.w[l.n_w++] = mm__store_add(&s, s.piece[0].weight->name, mm__shape2(l.out, in), MM__USE_LINEAR | use_of(flags), &e);
            note(ld, l.w[0] ? MM_OK : e.code, &e);
        }
        mm__source_free(&s);
    } else {
        for (int i = 0; i < n; i++)
            l.w[l.n_w++] = mm__load(ld, keys[i], layer, ".weight", mm__shape2(outs[i], in), MM__USE_LINEAR, flags);
    }
    if (!(flags & MM__LOAD_NO_BIAS)) l.bias = stack_bias(ld, keys, n, layer, outs, l.out);
    return l;
}

mm__norm mm__load_norm(mm__loader *ld, const char *key, int32_t layer, mm__norm_kind kind, int64_t width, double eps,
                       unsigned flags)
{
    mm__norm n = {.kind = kind, .eps = (float)eps};
    n.w = mm__load(ld, key, layer, ".weight", mm__shape1(width), MM__USE_VECTOR, flags);
    if (!n.w) n.eps = 0;
    if (n.w && kind == MM__NORM_LAYER && !(flags & MM__LOAD_NO_BIAS))
        n.b = mm__load(ld, key, layer, ".bias", mm__shape1(width), MM__USE_VECTOR, flags & MM__LOAD_OPTIONAL);
    return n;
}
