/* Playing a speech recogniser (Radford et al. 2022, openai/whisper transcribe.py): one window a call. The window is
 * encoded, its tokens are decoded greedily or, when the result looks wrong, again at rising temperatures; timestamps cut it
 * into segments and say where the next window begins.
 *
 * A recording that fits one window is padded with silence before the spectrogram is made, and transcribed to the end of the
 * window; a longer one is transformed as a whole and its last window padded with zeros (transformers'
 * generation_whisper.py). What lies wholly in the padding is dropped unless the model hears speech there. */
#include "emit.h"
#include "session.h"
#include "speech_rules.h"

#include "../base/error.h"
#include "../base/os/os.h"

#include <math.h>
#include <string.h>
#include <zstd.h>

#define REPETITION_LIMIT 2.4   /* text bytes over compressed bytes above which an answer is a loop */
#define LOGPROB_LIMIT (-1.0)   /* mean log-probability below which an answer is a guess */
#define NO_SPEECH_LIMIT 0.6
#define HISTORY_MAX_TEMPERATURE 0.5

typedef struct mm__transcription {
    float *mel;               /* [n_mels, n_frames] */
    int64_t n_frames, content, sound, seek; /* frames: all; to transcribe; that hold sound; done */
    int32_t language;         /* index, -1: none yet */
    mm__ids history, all;     /* text of earlier windows; every token of the answer, forced ones before those of each window */
    uint32_t n_segments;
    bool cut_short;           /* a window was said up to its limit of tokens */
} transcription;

typedef struct window {
    mm__ids said;             /* without the end token */
    double sum_logprob, avg_logprob, no_speech, repetition;
    float temperature;
    bool cut_short;           /* the limit of tokens came before the end token */
} window;

void mm__transcribe_free(mm__session *s)
{
    transcription *t = s->speech;
    if (!t) return;
    mm__free(s->mem, t->mel);
    mm__ids_free(&t->history);
    mm__ids_free(&t->all);
    mm__free(s->mem, t);
    s->speech = NULL;
}

/* ---- sound in ---- */

static mm_status make_mel(mm__session *s, transcription *t, const float *samples, int64_t n, mm_error *err)
{
    const mm__speech_policy *p = &s->a->audio;
    t->sound = n / p->hop + (n % p->hop != 0);
    t->content = n > p->window_samples ? n / p->hop : p->window_frames; /* the reference drops a frame that is not full */
    if (n > p->window_samples) return mm__mel_run(p->mel, s->mem, samples, n, &t->mel, &t->n_frames, err);
    float *padded = mm__calloc(s->mem, (size_t)p->window_samples, sizeof *padded);
    if (!padded) return mm__nomem(err, "samples");
    memcpy(padded, samples, (size_t)n * sizeof *samples);
    mm_status st = mm__mel_run(p->mel, s->mem, padded, p->window_samples, &t->mel, &t->n_frames, err);
    mm__free(s->mem, padded);
    return st;
}

static mm_status gather_samples(mm__session *s, float **out, int64_t *n, mm_error *err)
{
    *n = 0;
    *out = NULL;
    for (size_t i = 0; i < s->line.n_media; i++)
        if (s->line.media[i].samples) *n += s->line.media[i].samples->n;
    if (*n == 0) return mm__fail(err, MM_E_MEDIA, "the recording is empty; feed some sound");
    if (!(*out = mm__calloc(s->mem, (size_t)*n, sizeof **out))) return mm__nomem(err, "samples");
    int64_t at = 0;
    for (size_t i = 0; i < s->line.n_media; i++) {
        const mm__samples *x = s->line.media[i].samples;
        if (!x) continue;
        memcpy(*out + at, x->data, (size_t)x->n * sizeof **out);
        at += x->n;
    }
    return MM_OK;
}

static mm_status begin(mm__session *s, mm_error *err)
{
    float *samples;
    int64_t n;
    s->encode_s = s->prefill_s = s->decode_s = 0;
    s->n_generated = s->prefill_rows = s->media_hits = 0;
    mm__transcribe_free(s);
    transcription *t = mm__zalloc(s->mem, sizeof *t);
    if (!t) return mm__nomem(err, "a transcription");
    s->speech = t;
    t->language = -1;
    mm__ids_init(&t->history, s->mem);
    mm__ids_init(&t->all, s->mem);
    mm_status st = gather_samples(s, &samples, &n, err);
    if (st == MM_OK) st = make_mel(s, t, samples, n, err);
    mm__free(s->mem, samples);
    if (st == MM_OK) s->state = MM__ANSWERING;
    return st;
}

/* ---- encoder ---- */

/* Frames [seek, seek + window) of the spectrogram, zeros behind its end. */
static void slice(const mm__session *s, const transcription *t, float *out)
{
    const int64_t want = s->a->audio.window_frames, left = t->n_frames > t->seek ? t->n_frames - t->seek : 0;
    const int64_t have = left < want ? left : want;
    for (int32_t m = 0; m < s->a->speech->info.n_mels; m++) {
        memcpy(out + m * want, t->mel + m * t->n_frames + t->seek, (size_t)have * sizeof *out);
        memset(out + m * want + have, 0, (size_t)(want - have) * sizeof *out);
    }
}

mm_status mm__emit_speech(mm__assembly *a, mm__graph *g, mm__speech_graph *out, mm_error *err)
{
    mm__encoder *e = a->speech;
    out->mel = mm__input(g, MM__F32, mm__shape2(e->info.n_mels, a->audio.window_frames), "input_features");
    mm__encoder_in in = {.mel = out->mel};
    mm__features f = {0};
    mm__stage(g, in.mel, "input_features");
    mm__scope_push(g, "enc");
    e->ops->forward(e, g, &in, &f);
    mm__scope_pop(g);
    if (f.last) mm__output(g, f.last);
    out->rows = f.last;
    return mm__graph_status(g, err);
}

/* Only the first window's stages can be watched. */
static mm_status run_encoder(mm__session *s, mm__graph *g, const mm__encoder_input *in, mm__node **rows, mm_error *err)
{
    const bool first = s->speech->seek == 0;
    mm__speech_graph e;
    if (first) mm__watch_apply(s, g);
    mm_status st = mm__emit_speech(s->a, g, &e, err);
    if (st == MM_OK) st = mm__encoder_prepare(s, g, err);
    if (st == MM_OK) st = mm__graph_write(g, e.mel, in->values, (size_t)in->rows * (size_t)in->columns * sizeof *in->values, err);
    if (st == MM_OK) st = first ? mm__watch_run(s, g, err) : mm__graph_run(g, &s->cancel, err);
    *rows = e.rows;
    return st;
}

static mm_status encode_window(mm__session *s, mm_error *err)
{
    const double start = mm__os_now();
    const int64_t n_mels = s->a->speech->info.n_mels, n_frames = s->a->audio.window_frames;
    mm__media_rows rows = {0};
    float *frames = mm__calloc(s->mem, (size_t)(n_mels * n_frames), sizeof *frames);
    mm_status st = frames ? MM_OK : mm__nomem(err, "a window");
    if (st == MM_OK) {
        const mm__encoder_input in = {"sound", n_mels, n_frames, frames};
        slice(s, s->speech, frames);
        st = mm__media_rows_of(s, &in, run_encoder, &rows, err);
    }
    mm__free(s->mem, frames);
    if (st == MM_OK) st = mm__lm_cross(s->lm, rows.data, rows.n, &s->cancel, err);
    mm__free(s->mem, rows.data);
    s->encode_s += mm__os_now() - start;
    return st;
}

/* ---- language ---- */

static double softmax_at(const float *logits, int32_t n, int32_t id)
{
    return exp(logits[id] - mm__log_sum_exp(logits, n));
}

/* One decoder step on the start token, all but the language ids masked. */
static mm_status detect(mm__session *s, double *probability, mm_error *err)
{
    const mm__speech_policy *p = &s->a->audio;
    mm__lm_truncate(s->lm, 0);
    mm_status st = mm__lm_step(s->lm, p->sot, &s->cancel, s->logits, err);
    if (st != MM_OK) return st;
    double sum = 0;
    int32_t best = 0;
    for (int32_t i = 1; i < p->n_languages; i++)
        if (s->logits[p->language_ids[i]] > s->logits[p->language_ids[best]]) best = i;
    for (int32_t i = 0; i < p->n_languages; i++)
        sum += exp((double)s->logits[p->language_ids[i]] - s->logits[p->language_ids[best]]);
    s->speech->language = best;
    *probability = 1 / sum;
    return MM_OK;
}

static mm_status find_language(mm__session *s, mm_error *err)
{
    const mm__speech_policy *p = &s->a->audio;
    double probability = 1;
    if (!p->multilingual || !p->n_languages) {
        if (!s->translate && (!s->language[0] || strcmp(s->language, "en") == 0)) return MM_OK;
        return mm__fail(err, MM_E_UNSUPPORTED, "this model transcribes English only; leave out language and translate");
    }
    for (int32_t i = 0; s->language[0] && i < p->n_languages; i++)
        if (strcmp(p->language_codes[i], s->language) == 0) s->speech->language = i;
    if (s->language[0] && s->speech->language < 0)
        return mm__fail(err, MM_E_ARG, "the model knows no language \"%s\"; give an ISO code such as \"en\"", s->language);
    if (!s->language[0]) {
        mm_status st = detect(s, &probability, err);
        if (st != MM_OK) return st;
    }
    const char *code = p->language_codes[s->speech->language];
    mm__event *e = mm__queue_push(&s->events, MM_EVENT_LANGUAGE, code, strlen(code));
    if (!e) return mm__nomem(err, "an event");
    e->pub.value = probability;
    return MM_OK;
}

/* ---- decoding one window ---- */

static bool push_prompt(mm__session *s, mm__ids *ids, size_t *sot_at)
{
    const mm__speech_policy *p = &s->a->audio;
    const mm__ids *h = &s->speech->history;
    bool ok = true;
    if (s->use_history && h->len && p->prev >= 0) {
        const size_t most = (size_t)(p->max_text / 2 - 1), n = h->len < most ? h->len : most;
        ok = mm__ids_push(ids, p->prev) && mm__ids_append(ids, h->data + h->len - n, n);
    }
    *sot_at = ids->len;
    ok = ok && mm__ids_push(ids, p->sot);
    if (s->speech->language >= 0) {
        ok = ok && mm__ids_push(ids, p->language_ids[s->speech->language]);
        ok = ok && mm__ids_push(ids, s->translate ? p->translate : p->transcribe);
    }
    if (s->no_timestamps) ok = ok && mm__ids_push(ids, p->no_timestamps);
    return ok && mm__ids_append(ids, s->forced.data, s->forced.len);
}

static mm_status prompt_logits(mm__session *s, window *w, size_t *n_prompt, mm_error *err)
{
    const mm__speech_policy *p = &s->a->audio;
    const size_t n_vocab = (size_t)s->a->decoder->info.n_vocab;
    mm__lm_watch watch;
    mm__ids ids;
    size_t sot_at;
    mm__ids_init(&ids, s->mem);
    float *all = NULL;
    mm_status st = push_prompt(s, &ids, &sot_at) ? MM_OK : mm__nomem(err, "token ids");
    if (st == MM_OK && !(all = mm__calloc(s->mem, ids.len - sot_at, n_vocab * sizeof *all))) st = mm__nomem(err, "logits");
    mm__lm_truncate(s->lm, 0);
    const bool first = s->speech->seek == 0 && w->temperature == 0;
    const double start = mm__os_now();
    if (st == MM_OK)
        st = mm__lm_logits_from(s->lm, ids.data, ids.len, sot_at, first ? mm__watch_lm(s, &watch) : NULL, "dec", &s->cancel, all, err);
    s->prefill_s += mm__os_now() - start;
    if (st == MM_OK) {
        if (p->no_speech >= 0) w->no_speech = softmax_at(all, (int32_t)n_vocab, p->no_speech);
        memcpy(s->logits, all + (ids.len - sot_at - 1) * n_vocab, n_vocab * sizeof *all);
        *n_prompt = ids.len;
        s->prefill_rows += ids.len;
    }
    mm__free(s->mem, all);
    mm__ids_free(&ids);
    return st;
}

/* Appends the text of ids, timestamps left out. Tokens may be parts of a character; what becomes none is U+FFFD. */
static mm_status spell(mm__session *s, const int32_t *ids, size_t n, mm__buf *out, mm_error *err)
{
    mm__buf bytes;
    mm__detok state = {0};
    mm_status st = MM_OK;
    mm__buf_init(&bytes, s->mem);
    for (size_t i = 0; st == MM_OK && i < n; i++)
        if (ids[i] < s->a->audio.eot) st = mm__detokenize_next(s->a->tokenizer, &state, ids[i], 0, &bytes);
    mm__buf_put_repaired(out, mm__buf_str(&bytes), bytes.len);
    if (st == MM_E_LIMIT) st = mm__fail(err, st, "a token of the answer stands for more text than one token may");
    else if (st != MM_OK || bytes.failed || out->failed) st = mm__nomem(err, "the answer's text");
    mm__buf_free(&bytes);
    return st;
}

/* How repetitive the text is: bytes over compressed bytes. The reference uses zlib; zstd at a high level agrees closely on
 * texts of this length and its constant overhead is of the same size. */
static mm_status repetition(mm__session *s, const mm__ids *said, double *ratio, mm_error *err)
{
    mm__buf text;
    mm__buf_init(&text, s->mem);
    mm_status st = spell(s, said->data, said->len, &text, err);
    const size_t bound = ZSTD_compressBound(text.len);
    void *tmp = st == MM_OK ? mm__alloc(s->mem, bound) : NULL;
    if (st == MM_OK && !tmp) st = mm__nomem(err, "the answer's text");
    *ratio = 0;
    if (st == MM_OK && text.len) {
        const size_t n = ZSTD_compress(tmp, bound, text.data, text.len, 19);
        if (!ZSTD_isError(n) && n) *ratio = (double)text.len / (double)n;
    }
    mm__free(s->mem, tmp);
    mm__buf_free(&text);
    return st;
}

static mm_status decode(mm__session *s, window *w, mm_error *err)
{
    const mm__speech_policy *p = &s->a->audio;
    const int32_t n_vocab = s->a->decoder->info.n_vocab;
    const mm__sampler sampler = {.temperature = w->temperature, .top_p = 1, .repeat_penalty = 1, .seed = s->opt.seed};
    size_t n_prompt = 0, limit = (size_t)p->sample_len;
    mm_status st = prompt_logits(s, w, &n_prompt, err);
    if (s->opt.max_tokens && s->opt.max_tokens < limit) limit = s->opt.max_tokens;
    const double start = mm__os_now();
    int32_t id = -1;
    size_t steps = 0;
    while (st == MM_OK && steps < limit) {
        mm__speech_filter(p, s->logits, n_vocab, w->said.data, w->said.len, !s->no_timestamps);
        st = mm__sample(s->mem, &sampler, s->logits, n_vocab, NULL, 0, (uint64_t)s->speech->seek * 4096 + steps, &id, err);
        if (st != MM_OK) break;
        steps++;
        w->sum_logprob += s->logits[id] - mm__log_sum_exp(s->logits, n_vocab);
        if (id == p->eot) break;
        if (!mm__ids_push(&w->said, id)) st = mm__nomem(err, "token ids");
        if (st != MM_OK || steps == limit || mm__lm_past(s->lm) >= mm__lm_context(s->lm)) break;
        st = mm__lm_step(s->lm, id, &s->cancel, s->logits, err);
    }
    s->decode_s += mm__os_now() - start;
    s->n_generated += steps;
    w->cut_short = id != p->eot;
    w->avg_logprob = w->sum_logprob / (double)(w->said.len + 1);
    return st == MM_OK ? repetition(s, &w->said, &w->repetition, err) : st;
}

/* Rising temperatures until the answer neither loops nor guesses, or is silence. When none passes, the coolest that does
 * not loop is kept: the reference keeps the hottest, which is noise. */
static mm_status decode_with_fallback(mm__session *s, window *best, mm_error *err)
{
    mm_status st = MM_OK;
    for (int i = 0; st == MM_OK && i <= 5; i++) {
        window w = {.temperature = 0.2f * (float)i};
        mm__ids_init(&w.said, s->mem);
        st = decode(s, &w, err);
        const bool silent = w.no_speech > NO_SPEECH_LIMIT && w.avg_logprob < LOGPROB_LIMIT;
        const bool loops = w.repetition > REPETITION_LIMIT, good = !loops && w.avg_logprob >= LOGPROB_LIMIT;
        const bool take = i == 0 || good || (!loops && best->repetition > REPETITION_LIMIT);
        mm__ids_free(take ? &best->said : &w.said);
        if (take) *best = w;
        if (good || silent || s->single_pass) break;
    }
    return st;
}

/* ---- segments ---- */

static mm_status push_segment(mm__session *s, const int32_t *ids, size_t n, double t0, double t1, mm_error *err)
{
    mm__buf text;
    mm__buf_init(&text, s->mem);
    mm_status st = spell(s, ids, n, &text, err);
    bool blank = true;
    for (size_t i = 0; i < text.len; i++) blank &= text.data[i] == ' ' || text.data[i] == '\n';
    if (st == MM_OK && !blank && t1 > t0) {
        mm__event *e = mm__queue_push(&s->events, MM_EVENT_SEGMENT, text.data, text.len);
        if (mm__event_ids(&s->events, e, ids, n)) {
            e->pub.t0 = t0;
            e->pub.t1 = t1;
            e->pub.index = s->speech->n_segments++;
        } else {
            st = mm__nomem(err, "an event");
        }
    }
    mm__buf_free(&text);
    return st;
}

/* Cuts the window's tokens at pairs of timestamps. *advance: by how many frames to go on. Tokens behind the last pair are
 * dropped: the next window says them again. */
static mm_status cut(mm__session *s, window *w, int64_t size, int64_t *advance, mm_error *err)
{
    const mm__speech_policy *p = &s->a->audio;
    const int32_t begin = p->timestamp_begin, *id = w->said.data;
    const size_t n = w->said.len;
    const double frame = (double)p->hop / p->rate, base = (double)s->speech->seek * frame, unit = p->seconds_per_timestamp;
    const bool single_ending = n >= 2 && id[n - 1] >= begin && id[n - 2] < begin;
    size_t from = 0;
    bool pairs = false;
    mm_status st = MM_OK;
    for (size_t i = 1; st == MM_OK && i <= n; i++) {
        const bool pair = i < n && id[i - 1] >= begin && id[i] >= begin;
        if (!pair && !(i == n && pairs && single_ending)) continue;
        pairs |= pair;
        if (i > from) st = push_segment(s, id + from, i - from, base + (id[from] - begin) * unit, base + (id[i - 1] - begin) * unit, err);
        from = i;
    }
    *advance = size;
    if (pairs) {
        if (!single_ending) {
            *advance = (int64_t)llround((id[from - 1] - begin) * unit / frame);
            w->said.len = from + 1;
        }
        return st;
    }
    double end = (double)size * frame;
    for (size_t i = n; i-- > 0;)
        if (id[i] >= begin) {
            if (id[i] != begin) end = (id[i] - begin) * unit;
            break;
        }
    return st == MM_OK && n ? push_segment(s, id, n, base, base + end, err) : st;
}

static mm_status remember(mm__session *s, const window *w, mm_error *err)
{
    transcription *t = s->speech;
    if (w->temperature > HISTORY_MAX_TEMPERATURE) t->history.len = 0;
    t->cut_short |= w->cut_short;
    bool ok = mm__ids_append(&t->all, s->forced.data, s->forced.len) && mm__ids_append(&t->all, w->said.data, w->said.len);
    if (w->temperature <= HISTORY_MAX_TEMPERATURE) ok = ok && mm__ids_append(&t->history, w->said.data, w->said.len);
    return ok ? MM_OK : mm__nomem(err, "token ids");
}

static mm_status next_window(mm__session *s, mm_error *err)
{
    transcription *t = s->speech;
    const int64_t left = t->content - t->seek, most = s->a->audio.window_frames, size = left < most ? left : most;
    window w = {0};
    mm__ids_init(&w.said, s->mem);
    mm_status st = encode_window(s, err);
    if (st == MM_OK && t->seek == 0) st = find_language(s, err);
    if (st == MM_OK) st = decode_with_fallback(s, &w, err);
    int64_t advance = size;
    const bool silent = w.no_speech > NO_SPEECH_LIMIT && (w.avg_logprob <= LOGPROB_LIMIT || t->seek >= t->sound);
    if (st == MM_OK && !silent) {
        st = cut(s, &w, size, &advance, err);
        if (st == MM_OK) st = remember(s, &w, err);
    }
    t->seek += advance > 0 ? advance : size;
    mm__ids_free(&w.said);
    return st;
}

mm_status mm__transcribe_next(mm__session *s, mm_error *err)
{
    mm_status st = MM_OK;
    if (s->state == MM__FED && (st = begin(s, err)) != MM_OK) return st;
    transcription *t = s->speech;
    while (t->seek < t->content) {
        if ((st = next_window(s, err)) != MM_OK) return st;
        if (s->events.first != s->events.n) return MM_OK;
    }
    const char *reason = t->cut_short ? "length" : "done";
    mm__event *e = mm__queue_push(&s->events, MM_EVENT_END, reason, strlen(reason));
    if (!mm__event_ids(&s->events, e, t->all.data, t->all.len)) return mm__nomem(err, "an event");
    mm__transcribe_free(s);
    s->state = MM__DONE;
    return MM_OK;
}
