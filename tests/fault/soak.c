/* A long life of one engine: mixed operations in an order that the seed chooses, on models of every kind, some of which go wrong on
 * purpose. 1,250 operations by default, 20,000 with -a. Expected: resident memory, open files and threads stay where they were
 * after the first quarter, by when every kind of thing has been held at once; and nothing is left in the end. */
#include "api.h"

#include <pthread.h>

enum { MODELS = 3, SESSIONS = 6, GROWTH = 8 << 20 };

static const char *const kinds[] = {LM, CHAT "/model-f16.gguf", T5, VLM, CLIP, BERT, SPEECH, GOLDEN "/llava", GOLDEN "/siglip", SPEECH "/ct2"};

typedef struct place { mm_model *model; facts facts; } place;
typedef struct chair { mm_session *session; facts facts; } chair;

static place places[MODELS];
static chair chairs[SESSIONS];
static uint64_t drawn;

static size_t below(size_t n)
{
    return (size_t)(mix(seed * 977 + ++drawn) % n);
}

/* ---- operations; a status that the header does not know, or one that has no sentence, is a failure ---- */

static void fine(const char *what, mm_status st)
{
    check(st >= 0 || described(st, &err), "operation %llu, %s: %s \"%s\"", (unsigned long long)drawn, what, mm_status_name(st), err.text);
}

static void leave(chair *c)
{
    mm_session_release(c->session);
    *c = (chair){0};
}

static void change_model(place *p, chair *c)
{
    (void)c;
    mm_model_release(p->model);
    p->model = load(kinds[below(sizeof kinds / sizeof *kinds)]);
    p->facts = facts_of(p->model);
}

/* The model may leave its place before the session does, which then holds it alone. */
static void sit_down(place *p, chair *c)
{
    leave(c);
    if (!p->model) return;
    fine("session", open_session(p->model, &p->facts, 1 + (uint32_t)below(6), &c->session, &err));
    c->facts = p->facts;
}

static void talk(place *p, chair *c)
{
    (void)p;
    uint64_t hash;
    if (c->session) fine("answer", answer(engine, &c->facts, c->session, &hash, &err));
}

static void *cancel_it(void *session)
{
    mm_session_cancel(session);
    return NULL;
}

static void interrupt(place *p, chair *c)
{
    pthread_t t;
    if (!c->session || pthread_create(&t, NULL, cancel_it, c->session) != 0) return;
    talk(p, c);
    pthread_join(t, NULL);
}

static void start_again(place *p, chair *c)
{
    (void)p;
    if (c->session) fine("reset", mm_session_reset(c->session, &err));
}

static void take_back(place *p, chair *c)
{
    (void)p;
    if (c->session) fine("truncate", mm_session_truncate(c->session, below(3), &err));
}

static void fork_it(place *p, chair *c)
{
    (void)p;
    chair *to = &chairs[below(SESSIONS)];
    mm_session *other = NULL;
    if (!c->session || c == to) return;
    const facts f = c->facts;
    fine("fork", mm_session_fork(c->session, &other, &err));
    leave(to);
    *to = (chair){.session = other, .facts = f};
}

static void save_and_load(place *p, chair *c)
{
    blob file = {0};
    mm_session *other = NULL;
    if (!c->session) return;
    fine("save", mm_session_save(c->session, keep_written, &file, &err));
    if (file.n && below(4) == 0) file.p[below(file.n)] ^= (unsigned char)(1 + below(255));
    if (p->model) fine("load of a snapshot", mm_session_load(p->model, file.p, file.n, &other, &err)); /* often of another model */
    mm_session_release(other);
    free(file.p);
}

static void count_text(place *p, chair *c)
{
    (void)c;
    uint64_t hash = 0;
    char text[2048];
    static const char chat[] = "[{\"role\":\"user\",\"content\":\"the dog\"}]";
    if (!p->model) return;
    fine("ids", hash_ids(p->model, &p->facts, &hash, &err));
    fine("template", mm_model_apply_template(p->model, chat, sizeof chat - 1, 1, text, sizeof text, NULL, &err));
}

/* A file of the tree that is no model, and one whose end is cut off. */
static void load_rubbish(place *p, chair *c)
{
    (void)p, (void)c;
    mm_model *m = NULL;
    mm_model_options o;
    mm_model_options_init(&o, sizeof o);
    blob b = read_blob(CHAT "/model-f16.gguf");
    o.bytes = b.p;
    o.n_bytes = below(b.n);
    fine("a cut file", mm_model_load(engine, "cut.gguf", &o, &m, &err));
    mm_model_release(m);
    fine("no model", mm_model_load(engine, GOLDEN, NULL, &m, &err));
    mm_model_release(m);
    free(b.p);
}

static void look_at_media(place *p, chair *c)
{
    (void)p, (void)c;
    mm_input *in = NULL;
    blob b = read_blob(below(2) ? PICTURE : SOUND);
    if (b.n > 100 && below(2)) b.p[below(100)] ^= 0x10;
    fine("input", mm_input_create(engine, &in, &err));
    fine("picture", mm_input_image_encoded(in, b.p, b.n, &err));
    fine("sound", mm_input_audio_encoded(in, b.p, b.n, &err));
    mm_input_release(in);
    free(b.p);
}

/* ---- the life ---- */

typedef struct use { long rss; int files, threads; } use;

static use use_now(void)
{
    return (use){1024 * (long)process_status("VmRSS"), open_files(), (int)process_status("Threads")};
}

static void soak(void)
{
    static void (*const operations[])(place *, chair *) = {talk, talk, talk, interrupt, sit_down, sit_down, change_model, start_again, take_back,
                                                           fork_it, save_and_load, count_text, load_rubbish, look_at_media};
    const char *slow = getenv("MM_TEST_SLOW");
    const int n = all_cases ? 20000 : 1250;
    use before = {0}, most = {0};
    if (!begin("%d mixed operations", n)) return;
    for (int i = 0; i < n; i++) {
        allow_time();
        operations[below(sizeof operations / sizeof *operations)](&places[below(MODELS)], &chairs[below(SESSIONS)]);
        if (i < n / 4 ? i % 16 != 0 : i % 256 != 0) continue;
        const use u = use_now();
        if (i < n / 4) {
            if (u.rss > before.rss) before.rss = u.rss;
            if (u.threads > before.threads) before.threads = u.threads;
            before.files = u.files;
        } else {
            if (u.rss > most.rss) most.rss = u.rss;
            check(u.threads <= before.threads, "%d threads, %d before", u.threads, before.threads);
            check(u.files == before.files, "%d open files, %d before", u.files, before.files);
        }
    }
    printf("     %d operations: at most %.1f MiB resident in the first quarter, %.1f MiB after it\n", n, (double)before.rss / 1048576,
           (double)most.rss / 1048576);
    if (!slow || !*slow) check(most.rss <= before.rss + GROWTH, "resident memory grew by %ld bytes", most.rss - before.rss);
    for (int i = 0; i < SESSIONS; i++) leave(&chairs[i]);
    for (int i = 0; i < MODELS; i++) mm_model_release(places[i].model);
}

int main(int argc, char **argv)
{
    static void (*const tests[])(void) = {soak};
    return run_tests(tests, 1, argc, argv);
}
