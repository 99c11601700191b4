/* JSON documents over jansson, which parses, checks UTF-8 and refuses duplicate keys.
 *
 * jansson leaves five things to do. (1) Its parser is recursive with a depth limit of its own, so brackets are counted
 * before it runs. (2) An integer beyond 64 bits makes it refuse the whole file, yet tokenizer settings hold
 * "no limit" numbers like 10^30: such a number gets an exponent in a copy of the text and becomes a real. (3) Its
 * tree comes from libc, so what a text will cost is counted before it runs and booked on the engine's account as long as
 * the document lives (bill). (4) It reads and writes numbers in the host's locale and ends the process where the decimal
 * point there takes more than one byte, so this thread gets a point while it runs. (5) Objects cannot be entered by
 * position, so after parsing the tree is mirrored into flat arrays:
 *
 *     nodes   one per value; the members of an object or the elements of an array lie side by side, in file order
 *     groups  one per non-empty array or object: where its nodes lie and, for objects above SMALL members, its hash slots
 *     slots   open addressing tables of member numbers + 1
 *
 * All three are sized by a counting pass, so there are three allocations whatever the document. A parsed document is never
 * written, so any number of threads may read it. The recursions below are bounded by the limit "json_depth". */
#include "json.h"
#include "ckd.h"
#include "error.h"
#include "limits.h"
#include "map.h"
#include "os/os.h"
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#define SMALL 8

typedef struct group {
    const mm__json *kids;
    size_t n;
    const uint32_t *slots; /* NULL: search one by one */
    size_t mask;
    const mm__json_doc *doc;
} group;

struct mm__json {
    const json_t *v;
    const char *key; /* of an object's member, else NULL */
    size_t key_len;
    const group *group; /* NULL for scalars and empty containers */
};

struct mm__json_doc {
    mm__mem *mem;
    json_t *tree;
    uint64_t charged; /* for `tree` */
    mm__json *nodes;
    group *groups;
    uint32_t *slots;
    size_t n_nodes, n_groups, n_slots; /* counted first, then used as write positions */
    uint64_t k0, k1;
};

/* ---- before parsing ------------------------------------------------------------------------------------------ */

/* Behind the string whose opening quote is at text[i]. */
static size_t skip_string(const char *text, size_t len, size_t i)
{
    for (i++; i < len && text[i] != '"'; i++)
        if (text[i] == '\\') i++;
    return i < len ? i + 1 : len;
}

/* Behind the number at text[i]; *huge tells whether it is an integer beyond 64 bits. */
static size_t skip_number(const char *text, size_t len, size_t i, bool *huge)
{
    const bool negative = text[i] == '-';
    int64_t v = 0;
    bool fits = true;
    if (negative) i++;
    for (; i < len && text[i] >= '0' && text[i] <= '9'; i++) {
        const int64_t digit = text[i] - '0';
        fits = fits && !__builtin_mul_overflow(v, 10, &v) && !__builtin_add_overflow(v, negative ? -digit : digit, &v);
    }
    const bool real = i < len && (text[i] == '.' || text[i] == 'e' || text[i] == 'E');
    *huge = !fits && !real;
    while (real && i < len && text[i] && strchr("0123456789.eE+-", text[i])) i++;
    return i;
}

/* What a text holds, before anything is known about its validity. */
typedef struct census {
    int depth;
    size_t huge; /* integers beyond 64 bits */
    size_t strings, string_bytes, longest, numbers, words, arrays, objects, members;
} census;

static bool is_letter(char c)
{
    return c >= 'a' && c <= 'z';
}

/* Takes the census. With `out`, also copies the text with "e0" behind each huge integer. */
static census scan(const char *text, size_t len, char *out)
{
    census c = {0};
    int level = 0;
    for (size_t i = 0; i < len;) {
        const size_t from = i;
        const char ch = text[i];
        bool huge = false;
        if (ch == '"') {
            i = skip_string(text, len, i);
            c.strings++;
            c.string_bytes += i - from;
            if (i - from > c.longest) c.longest = i - from;
        } else if (ch == '-' || (ch >= '0' && ch <= '9')) {
            i = skip_number(text, len, i, &huge);
            c.numbers++;
        } else if (is_letter(ch)) { /* true, false, null */
            while (i < len && is_letter(text[i])) i++;
            c.words++;
        } else {
            if ((ch == '[' || ch == '{') && ++level > c.depth) c.depth = level;
            if ((ch == ']' || ch == '}') && level > 0) level--;
            c.arrays += ch == '[';
            c.objects += ch == '{';
            c.members += ch == ':';
            i++;
        }
        if (out) {
            memcpy(out, text + from, i - from);
            out += i - from;
            if (huge) {
                memcpy(out, "e0", 2);
                out += 2;
            }
        }
        c.huge += huge;
    }
    return c;
}

/* Values of a valid text; keys are strings too. */
static size_t n_values(const census *c)
{
    const size_t scalars = c->strings + c->numbers + c->words;
    return c->arrays + c->objects + (scalars > c->members ? scalars - c->members : 0);
}

/* What jansson's tree takes, from above: blocks as libc rounds them (16 bytes of head and padding), tables at the moment
 * when they double, and a string's two blocks. */
static uint64_t bill(const census *c)
{
    const uint64_t array = 48 + 80, object = 80 + 144, member = 80 + 48, slot = 24, string = 48 + 32, number = 32;
    return array * c->arrays + object * c->objects + member * c->members + slot * n_values(c) + string * c->strings +
           c->string_bytes + number * c->numbers + 4096;
}

/* What the parser takes on top until it returns: its copies of the string it reads. */
static uint64_t parser_bill(const census *c)
{
    return 4 * (uint64_t)c->longest;
}

/* Counts, and refuses what is beyond the limits. *text becomes what jansson gets: the caller's text, or a new block at
 * *copy; *passing: bytes booked for the time of parsing only. */
static mm_status prepare(mm__json_doc *doc, const char **text, size_t *len, char **copy, uint64_t *passing, const char *what,
                         mm_error *err)
{
    size_t bytes;
    const census c = scan(*text, *len, NULL);
    mm_status st = mm__limit_check(doc->mem, MM__LIMIT_JSON_DEPTH, (uint64_t)c.depth, what, err);
    if (st == MM_OK) st = mm__limit_check(doc->mem, MM__LIMIT_JSON_VALUES, n_values(&c), what, err);
    if (st != MM_OK) return st;
    doc->charged = bill(&c) + parser_bill(&c);
    if (!mm__mem_charge(doc->mem, doc->charged)) {
        doc->charged = 0;
        return mm__nomem(err, what);
    }
    *passing = parser_bill(&c);
    if (c.huge == 0) return MM_OK;
    if (!mm__ckd_mul(c.huge, 2, &bytes) || !mm__ckd_add(bytes, *len, &bytes)) return mm__nomem(err, what);
    *copy = mm__alloc(doc->mem, bytes);
    if (!*copy) return mm__nomem(err, what);
    scan(*text, *len, *copy);
    *text = *copy;
    *len = bytes;
    return MM_OK;
}

static mm_status parse_tree(mm__json_doc *doc, const char *text, size_t len, const char *what, mm_error *err)
{
    char *copy = NULL;
    uint64_t passing = 0;
    json_error_t e;
    mm_status st = prepare(doc, &text, &len, &copy, &passing, what, err);
    if (st != MM_OK) return st;
    void *locale = mm__os_point_begin();
    doc->tree = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    mm__os_point_end(locale);
    mm__free(doc->mem, copy);
    mm__mem_discharge(doc->mem, passing);
    doc->charged -= passing;
    if (doc->tree) return MM_OK;
    if (json_error_code(&e) == json_error_out_of_memory) return mm__nomem(err, what);
    return mm__fail(err, MM_E_FORMAT, "%s: not valid JSON at line %d, column %d: %s", what, e.line, e.column, e.text);
}

/* ---- mirroring ----------------------------------------------------------------------------------------------- */

static size_t children(const json_t *v)
{
    return json_is_array(v) ? json_array_size(v) : json_is_object(v) ? json_object_size(v) : 0;
}

/* Power of two, at most half full. 0 for small objects. */
static size_t slots_for(const json_t *v, size_t n)
{
    if (!json_is_object(v) || n <= SMALL) return 0;
    size_t cap = 32;
    while (cap < 2 * n) cap *= 2;
    return cap;
}

static void count(mm__json_doc *doc, const json_t *v)
{
    const size_t n = children(v);
    if (n == 0) return;
    doc->n_nodes += n;
    doc->n_groups++;
    doc->n_slots += slots_for(v, n);
    if (json_is_array(v)) {
        for (size_t i = 0; i < n; i++) count(doc, json_array_get(v, i));
        return;
    }
    json_t *obj = (json_t *)v;
    for (void *it = json_object_iter(obj); it; it = json_object_iter_next(obj, it)) count(doc, json_object_iter_value(it));
}

static size_t home(const group *g, const char *key, size_t len)
{
    return (size_t)mm__map_hash(g->doc->k0, g->doc->k1, key, len) & g->mask;
}

/* Reserves the children of `node`, then fills them one by one. */
static void mirror(mm__json_doc *doc, mm__json *node)
{
    const size_t n = children(node->v), cap = slots_for(node->v, n);
    if (n == 0) return;
    mm__json *kids = doc->nodes + doc->n_nodes;
    uint32_t *slots = cap ? doc->slots + doc->n_slots : NULL;
    group *g = &doc->groups[doc->n_groups++];
    *g = (group){kids, n, slots, cap ? cap - 1 : 0, doc};
    node->group = g;
    doc->n_nodes += n;
    doc->n_slots += cap;
    json_t *obj = json_is_object(node->v) ? (json_t *)node->v : NULL;
    void *it = obj ? json_object_iter(obj) : NULL;
    for (size_t i = 0; i < n; i++) {
        mm__json *kid = &kids[i];
        *kid = (mm__json){.v = obj ? json_object_iter_value(it) : json_array_get(node->v, i)};
        if (obj) {
            kid->key = json_object_iter_key(it);
            kid->key_len = json_object_iter_key_len(it);
            it = json_object_iter_next(obj, it);
        }
        if (slots) {
            size_t at = home(g, kid->key, kid->key_len);
            while (slots[at]) at = (at + 1) & g->mask;
            slots[at] = (uint32_t)(i + 1);
        }
        mirror(doc, kid);
    }
}

/* `len` bounds every count, because a value takes at least one byte of text. */
static mm_status build(mm__json_doc *doc, size_t len, const char *what, mm_error *err)
{
    if (len > UINT32_MAX / 8) return mm__fail(err, MM_E_LIMIT, "%s: JSON text of %zu bytes is too large", what, len);
    doc->n_nodes = 1;
    count(doc, doc->tree);
    doc->nodes = mm__calloc(doc->mem, doc->n_nodes, sizeof *doc->nodes);
    doc->groups = mm__calloc(doc->mem, doc->n_groups, sizeof *doc->groups);
    doc->slots = mm__calloc(doc->mem, doc->n_slots, sizeof *doc->slots);
    if (!doc->nodes || !doc->groups || !doc->slots) return mm__nomem(err, what);
    doc->k0 = mm__os_random();
    doc->k1 = mm__os_random();
    doc->n_nodes = 1;
    doc->n_groups = doc->n_slots = 0;
    doc->nodes[0].v = doc->tree;
    mirror(doc, &doc->nodes[0]);
    return MM_OK;
}

mm_status mm__json_parse(mm__mem *mem, const char *text, size_t len, const char *what, mm__json_doc **out, mm_error *err)
{
    *out = NULL;
    mm__json_doc *doc = mm__zalloc(mem, sizeof *doc);
    if (!doc) return mm__nomem(err, what);
    doc->mem = mem;
    mm_status st = parse_tree(doc, text, len, what, err);
    if (st == MM_OK) st = build(doc, len, what, err);
    if (st != MM_OK) {
        mm__json_free(doc);
        return st;
    }
    *out = doc;
    return MM_OK;
}

void mm__json_free(mm__json_doc *doc)
{
    if (!doc) return;
    json_decref(doc->tree);
    mm__mem_discharge(doc->mem, doc->charged);
    mm__free(doc->mem, doc->nodes);
    mm__free(doc->mem, doc->groups);
    mm__free(doc->mem, doc->slots);
    mm__free(doc->mem, doc);
}

/* ---- reading ------------------------------------------------------------------------------------------------- */

const mm__json *mm__json_root(const mm__json_doc *doc)
{
    return doc ? &doc->nodes[0] : NULL;
}

int mm__json_kind(const mm__json *v)
{
    if (!v) return MM__JSON_NULL;
    switch (json_typeof(v->v)) {
    case JSON_OBJECT:
        return MM__JSON_OBJECT;
    case JSON_ARRAY:
        return MM__JSON_ARRAY;
    case JSON_STRING:
        return MM__JSON_STRING;
    case JSON_INTEGER:
        return MM__JSON_INT;
    case JSON_REAL:
        return MM__JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return MM__JSON_BOOL;
    case JSON_NULL:
        break;
    }
    return MM__JSON_NULL;
}

static bool has_key(const mm__json *v, const char *key, size_t len)
{
    return v->key_len == len && memcmp(v->key, key, len) == 0;
}

static const mm__json *find(const mm__json *obj, const char *key, size_t len)
{
    if (mm__json_kind(obj) != MM__JSON_OBJECT || !obj->group) return NULL;
    const group *g = obj->group;
    if (!g->slots) {
        for (size_t i = 0; i < g->n; i++)
            if (has_key(&g->kids[i], key, len)) return &g->kids[i];
        return NULL;
    }
    for (size_t at = home(g, key, len); g->slots[at]; at = (at + 1) & g->mask) {
        const mm__json *kid = &g->kids[g->slots[at] - 1];
        if (has_key(kid, key, len)) return kid;
    }
    return NULL;
}

const mm__json *mm__json_get(const mm__json *obj, const char *key)
{
    return find(obj, key, strlen(key));
}

/* The decimal number in s[0..n), or SIZE_MAX. */
static size_t as_index(const char *s, size_t n)
{
    size_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return SIZE_MAX;
        if (!mm__ckd_mul(v, 10, &v) || !mm__ckd_add(v, (size_t)(s[i] - '0'), &v)) return SIZE_MAX;
    }
    return n ? v : SIZE_MAX;
}

const mm__json *mm__json_path(const mm__json *obj, const char *path)
{
    for (;;) {
        const size_t n = strcspn(path, ".");
        obj = mm__json_kind(obj) == MM__JSON_ARRAY ? mm__json_at(obj, as_index(path, n)) : find(obj, path, n);
        if (!obj || !path[n]) return obj;
        path += n + 1;
    }
}

size_t mm__json_count(const mm__json *v)
{
    return v && v->group ? v->group->n : 0;
}

const mm__json *mm__json_at(const mm__json *array, size_t i)
{
    if (mm__json_kind(array) != MM__JSON_ARRAY || i >= mm__json_count(array)) return NULL;
    return &array->group->kids[i];
}

const mm__json *mm__json_member(const mm__json *obj, size_t i, const char **key, size_t *key_len)
{
    const bool ok = mm__json_kind(obj) == MM__JSON_OBJECT && i < mm__json_count(obj);
    const mm__json *kid = ok ? &obj->group->kids[i] : NULL;
    if (key) *key = kid ? kid->key : NULL;
    if (key_len) *key_len = kid ? kid->key_len : 0;
    return kid;
}

const char *mm__json_str(const mm__json *v, size_t *len, const char *fallback)
{
    if (mm__json_kind(v) == MM__JSON_STRING) {
        if (len) *len = json_string_length(v->v);
        return json_string_value(v->v);
    }
    if (len) *len = fallback ? strlen(fallback) : 0;
    return fallback;
}

int64_t mm__json_int(const mm__json *v, int64_t fallback)
{
    const int kind = mm__json_kind(v);
    if (kind == MM__JSON_INT) return json_integer_value(v->v);
    if (kind != MM__JSON_REAL) return fallback;
    const double d = json_real_value(v->v);
    return d >= -0x1p63 && d < 0x1p63 && d == floor(d) ? (int64_t)d : fallback;
}

double mm__json_num(const mm__json *v, double fallback)
{
    const int kind = mm__json_kind(v);
    return kind == MM__JSON_INT || kind == MM__JSON_REAL ? json_number_value(v->v) : fallback;
}

bool mm__json_bool(const mm__json *v, bool fallback)
{
    return mm__json_kind(v) == MM__JSON_BOOL ? json_is_true(v->v) : fallback;
}

static int write_some(const char *text, size_t n, void *out)
{
    mm__buf_put(out, text, n);
    return 0;
}

void mm__json_write(const mm__json *v, mm__buf *out)
{
    void *locale = mm__os_point_begin();
    if (!v) mm__buf_puts(out, "null");
    else if (json_dump_callback(v->v, write_some, out, JSON_COMPACT | JSON_ENCODE_ANY) != 0) out->failed = true;
    mm__os_point_end(locale);
}

void mm__json_write_members(const mm__json *obj, mm__buf *out)
{
    const char *key;
    size_t len;
    for (size_t i = 0; i < mm__json_count(obj); i++) {
        const mm__json *v = mm__json_member(obj, i, &key, &len);
        if (i) mm__buf_putc(out, ',');
        mm__buf_json_string(out, key, len);
        mm__buf_putc(out, ':');
        mm__json_write(v, out);
    }
}
