/* Snapshots through the public face: saved and loaded by memory, file and the host's files; a file replaced whole or not at
 * all; and bytes made by somebody who knows the format, with a checksum that holds. What loads of those has to survive being
 * used: asked, cancelled, fed, cut back, forked and saved again. */
#include "host.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#define HEADER 96              /* bytes in front of the compressed frame */
#define RECORD_AT 16           /* u64: bytes of the record; the state's follow */

static mm_session *talk_of(mm_model *m, uint32_t flags)
{
    mm_session *s = NULL;
    mm_session_options o;
    mm_session_options_init(&o, sizeof o);
    o.n_ctx = 256;
    o.max_tokens = 2;
    o.flags = flags;
    OK(mm_session_create(m, &o, &s, &err));
    return s;
}

static mm_status drain(mm_session *s)
{
    mm_event e = {.size = sizeof e};
    mm_status st;
    while ((st = mm_session_next(s, &e, &err)) == MM_OK) {}
    return st;
}

static mm_input *input_of(mm_engine *e, const char *text, const char *picture)
{
    mm_input *in = NULL;
    OK(mm_input_create(e, &in, &err));
    if (picture) OK(mm_input_image_file(in, picture, &err));
    if (text) OK(mm_input_text(in, text, strlen(text), &err));
    return in;
}

/* ---- files ---- */

static void files_whole_or_not(void **state)
{
    char dir[] = "/tmp/libmm-snapshot-XXXXXX", path[64], blocked[64], inside[80], longest[320];
    struct stat st;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(blocked, sizeof blocked, "%s/d", dir);
    snprintf(inside, sizeof inside, "%s/x", blocked);
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GGUF);
    mm_session *s = talk_of(m, MM_SESSION_RAW | MM_SESSION_IGNORE_EOS), *copy = NULL;
    OK(mm_session_save_file(s, path, &err));
    assert_int_equal(chmod(path, 0600), 0);
    OK(mm_session_save_file(s, path, &err)); /* what nobody else may read stays so */
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    OK(mm_session_load_file(m, path, &copy, &err));
    mm_session_release(copy);
    snprintf(longest, sizeof longest, "%s/%0250d", dir, 7);
    OK(mm_session_save_file(s, longest, &err));
    unlink(longest);
    assert_int_equal(mkdir(blocked, 0700), 0);
    assert_int_equal(mkdir(inside, 0700), 0);
    FAILS(MM_E_IO, blocked, mm_session_save_file(s, blocked, &err)); /* a folder with something in it stays */
    FAILS(MM_E_IO, "/nowhere", mm_session_save_file(s, "/nowhere/s", &err));
    int n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *x; (x = readdir(d)) != NULL;) n += x->d_name[0] != '.';
    closedir(d);
    assert_int_equal(n, 2); /* nothing half-written beside them */
    assert_int_equal(stat(path, &st), 0);
    FAILS(MM_E_FORMAT, DIRECTORY, mm_session_load_file(m, DIRECTORY "/config.json", &copy, &err));
    FAILS(MM_E_IO, "nowhere", mm_session_load_file(m, "/nowhere", &copy, &err));
    assert_null(copy);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
    rmdir(inside);
    rmdir(blocked);
    unlink(path);
    rmdir(dir);
}

typedef struct caller {
    mm_session *s;
    mm_status inside;
    int32_t give;
} caller;

static int32_t call_back(void *user, const void *p, size_t n)
{
    caller *c = user;
    double v;
    (void)p, (void)n;
    c->inside = mm_session_stat(c->s, "n_past", &v, NULL);
    return c->give;
}

static void writers(void **state)
{
    (void)state;
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GGUF);
    caller c = {.s = talk_of(m, MM_SESSION_RAW), .give = 0};
    OK(mm_session_save(c.s, call_back, &c, &err));
    assert_int_equal(c.inside, MM_E_STATE);
    c.give = 7;
    FAILS(MM_E_CANCELLED, "7", mm_session_save(c.s, call_back, &c, &err));
    assert_int_equal(err.os_code, 7);
    mm_session_release(c.s);
    mm_model_release(m);
    mm_engine_release(e);
}

/* ---- liars ---- */

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

/* A snapshot whose contents are `raw`, correctly packed. */
static saved_bytes packed(const saved_bytes *header, const unsigned char *raw, size_t n, uint64_t record)
{
    saved_bytes b = {.cap = HEADER + ZSTD_compressBound(n)};
    b.p = malloc(b.cap);
    assert_non_null(b.p);
    memcpy(b.p, header->p, HEADER);
    memcpy(b.p + RECORD_AT, &record, sizeof record);
    ZSTD_CCtx *z = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(z, ZSTD_c_checksumFlag, 1);
    const size_t got = ZSTD_compress2(z, b.p + HEADER, b.cap - HEADER, raw, n);
    ZSTD_freeCCtx(z);
    assert_false(ZSTD_isError(got));
    b.n = HEADER + got;
    return b;
}

static bool documented(mm_status st)
{
    return st == MM_E_FORMAT || st == MM_E_UNSUPPORTED || st == MM_E_LIMIT || st == MM_E_NOMEM;
}

/* Everything a host may do with what it was given. Errors are fine, other things are not. */
static void use(mm_engine *e, mm_session *s, int how, const char *picture)
{
    mm_session *copy = NULL;
    mm_input *in = input_of(e, "a", how & 1 ? picture : NULL);
    saved_bytes again = {0};
    if (how & 2) {
        mm_session_cancel(s);
        drain(s);
    }
    if (how & 4) drain(s);
    if (mm_session_fork(s, &copy, NULL) == MM_OK) mm_session_release(copy);
    mm_session_truncate(s, (uint64_t)(how % 3), NULL);
    if (mm_session_feed(s, in, NULL) == MM_OK) drain(s);
    mm_session_save(s, take_bytes, &again, NULL);
    mm_session_reset(s, NULL);
    if (mm_session_feed(s, in, NULL) == MM_OK) drain(s);
    free(again.p);
    mm_input_release(in);
}

typedef struct subject {
    const char *path, *task, *picture;
    bool fed;                 /* saved with a feed that was not answered */
} subject;

/* Bytes of the record that say how much follows, where a change goes deepest, come first in a snapshot: half of the changes
 * go to the first 400. */
static void lie(const subject *t, int cases)
{
    uint64_t x = 88172645463325252u, record;
    int loaded = 0;
    mm_engine_options o = engine_options();
    o.memory_limit = (uint64_t)256 << 20;
    mm_engine *e = engine_of(&o);
    mm_model *m = model_of(e, t->path);
    mm_session *s = talk_of(m, t->task ? 0 : MM_SESSION_IGNORE_EOS);
    if (t->task) OK(mm_session_set(s, "task", t->task, &err));
    for (int turn = 0; turn < 2; turn++) {
        mm_input *in = input_of(e, "a b", t->picture);
        OK(mm_session_feed(s, in, &err));
        mm_input_release(in);
        if (!t->fed || turn == 0) assert_int_equal(drain(s), MM_END);
    }
    saved_bytes b = saved_by(s);
    memcpy(&record, b.p + RECORD_AT, sizeof record);
    const size_t room = (size_t)record + ((size_t)16 << 20);
    unsigned char *raw = malloc(room), *copy = malloc(room);
    assert_true(raw && copy);
    const size_t n = ZSTD_decompress(raw, room, b.p + HEADER, b.n - HEADER);
    assert_false(ZSTD_isError(n));
    for (int i = 0; i < cases; i++) {
        mm_session *got = NULL;
        memcpy(copy, raw, n);
        for (int k = 0; k <= i % 3; k++) {
            const uint64_t r = next_random(&x);
            const size_t at = r % (r >> 60 & 1 || record < 400 ? record : 400);
            copy[at] = (unsigned char)(r >> 32 & 1 ? 0 : r >> 33 & 1 ? copy[at] + 1 : r >> 34 & 1 ? 0xff : copy[at] ^ 1 << (r >> 40 & 7));
        }
        saved_bytes lies = packed(&b, copy, n, record);
        const mm_status st = mm_session_load(m, lies.p, lies.n, &got, &err);
        if (st == MM_OK) use(e, got, i, t->picture), loaded++;
        else if (!documented(st) || !err.text[0]) fail_msg("%s, case %d: %s \"%s\"", t->path, i, mm_status_name(st), err.text);
        mm_session_release(got);
        free(lies.p);
    }
    assert_true(loaded > 0);
    free(raw);
    free(copy);
    free(b.p);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
}

static void liars(void **state)
{
    static const subject subjects[] = {{GGUF, NULL, NULL, false},
                                       {GOLDEN "llava", NULL, GOLDEN "_inputs/small.png", false},
                                       {GOLDEN "llava", NULL, GOLDEN "_inputs/small.png", true},
                                       {GOLDEN "idefics", NULL, GOLDEN "_inputs/small.png", true},
                                       {GOLDEN "t5", NULL, NULL, true},
                                       {GOLDEN "clip", "embed", GOLDEN "_inputs/small.png", false},
                                       {GOLDEN "bert", "embed", NULL, true}};
    (void)state;
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) lie(&subjects[i], 120);
}

/* Few bytes that claim to be many are refused before memory is taken for them. */
static void bombs(void **state)
{
    static unsigned char zeros[1 << 20];
    const uint64_t claimed = (uint64_t)3 << 30;
    char peak[2][32];
    (void)state;
    mm_engine *e = plain_engine();
    mm_model *m = model_of(e, GGUF);
    mm_session *s = talk_of(m, 0), *got = NULL;
    saved_bytes b = saved_by(s), bomb = packed(&b, zeros, sizeof zeros, claimed);
    OK(mm_engine_info(e, "memory_peak", peak[0], sizeof peak[0], NULL, &err));
    FAILS(MM_E_LIMIT, "refused", mm_session_load(m, bomb.p, bomb.n, &got, &err));
    OK(mm_engine_info(e, "memory_peak", peak[1], sizeof peak[1], NULL, &err));
    assert_string_equal(peak[0], peak[1]);
    free(b.p);
    free(bomb.p);
    mm_session_release(s);
    mm_model_release(m);
    mm_engine_release(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_whole_or_not), cmocka_unit_test(writers), cmocka_unit_test(liars),
                                       cmocka_unit_test(bombs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
