/* libmm - multimodal models inside your own process.
 *
 * This header is the contract. Everything a host may rely on is written here; what is not here is private.
 *
 * Nouns
 *   mm_engine   memory, log, threads, device. Thread-safe.
 *   mm_model    weights and everything derived from them. Immutable after load, shareable between threads.
 *   mm_input    an ordered list of text, pictures, sound and chat messages. Reusable.
 *   mm_session  one timeline on one model: what was fed, what was answered. One thread at a time.
 *
 * A child holds a reference on its parent, so handles may be released in any order.
 *
 * Conventions
 *   - Every function that can fail returns mm_status: 0 ok, > 0 ok with a note, < 0 error.
 *   - `mm_error *err` is optional (NULL allowed), owned by the caller, and filled on failure only.
 *     Set err->size = sizeof(mm_error) before the first call.
 *   - Out-handles are set to NULL on failure.
 *   - Option structs start with their size; fill them with the matching *_init function, then change fields.
 *   - Text is UTF-8. Lengths are bytes. Strings returned by getters are borrowed and live as long as the handle,
 *     unless the comment says "until the next call".
 *   - (buf, cap, need): at most cap bytes are written including a NUL; *need is the full length without the NUL.
 *     MM_E_SPACE when cap is too small; cap 0 with buf NULL only measures and returns MM_OK.
 *   - Nothing here prints, exits, aborts, reads the environment, or changes locale or signal handlers.
 *
 * Thread classes: [any] any thread, any time; [handle] one thread at a time per handle.
 */
#ifndef LIBMM_H
#define LIBMM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MM_VERSION_MAJOR 0
#define MM_VERSION_MINOR 1
#define MM_VERSION_PATCH 0
#define MM_VERSION ((MM_VERSION_MAJOR << 16) | (MM_VERSION_MINOR << 8) | MM_VERSION_PATCH)

#if defined(__GNUC__)
#define MM_API __attribute__((visibility("default")))
#else
#define MM_API
#endif

/* ---- status ------------------------------------------------------------------------------------------------ */

typedef int32_t mm_status;

#define MM_OK 0
#define MM_END 1              /* the answer is complete; nothing more until the next feed */

/* usage, 1..99 */
#define MM_E_ARG (-1)         /* an argument is NULL, out of range or contradicts another */
#define MM_E_STATE (-2)       /* the call does not fit the handle's state */
#define MM_E_SPACE (-3)       /* the caller's buffer is too small; *need says how much */
#define MM_E_KEY (-4)         /* unknown option or info key */
#define MM_E_NOMEM (-5)       /* the allocator, or the engine's memory limit, refused */
#define MM_E_LIMIT (-6)       /* a documented limit was exceeded; the text names it */
#define MM_E_INTERNAL (-7)    /* a broken invariant: please report it */
/* files, 100..199 */
#define MM_E_IO (-101)        /* the file is missing or cannot be read */
#define MM_E_FORMAT (-102)    /* the file is damaged or is not what it claims */
#define MM_E_UNSUPPORTED (-103) /* a valid file that needs something this build does not have */
#define MM_E_MEDIA (-104)     /* a picture or sound cannot be decoded */
/* devices, 200..299 */
#define MM_E_DEVICE (-201)    /* no such device, or it failed */
/* running, 300..399 */
#define MM_E_CANCELLED (-301) /* mm_session_cancel() or a callback asked to stop */
#define MM_E_CONTEXT (-302)   /* the input does not fit the context */
#define MM_E_NUMERIC (-303)   /* the model produced NaN or infinity */

/* Name of a status ("MM_E_IO"), or "MM_?" for an unknown number. Static string. [any] since 0.1 */
MM_API const char *mm_status_name(mm_status status);

/* One sentence that names file, place and remedy. */
typedef struct mm_error {
    uint32_t size;
    mm_status code;
    int32_t os_code; /* errno where one applies, else 0 */
    uint32_t reserved;
    char text[496];
} mm_error;

/* ---- version and devices ----------------------------------------------------------------------------------- */

/* Version of the library that runs, laid out as MM_VERSION. [any] since 0.1 */
MM_API uint32_t mm_version(void);

/* Describes device `index` as one line: "cpu  AMD EPYC, avx512-bf16, 2 threads". MM_E_ARG past the last one. [any] */
MM_API mm_status mm_device_info(uint32_t index, char *buf, size_t cap, size_t *need, mm_error *err);

/* ---- engine ------------------------------------------------------------------------------------------------ */

typedef struct mm_engine mm_engine;
typedef struct mm_model mm_model;
typedef struct mm_session mm_session;
typedef struct mm_input mm_input;

/* Memory for everything the library does. Must be thread-safe. `align` is a power of two. */
typedef struct mm_allocator {
    uint32_t size, reserved;
    void *user;
    void *(*alloc)(void *user, size_t bytes, size_t align);
    void (*release)(void *user, void *ptr, size_t bytes, size_t align);
} mm_allocator;

#define MM_LOG_ERROR 1
#define MM_LOG_WARN 2
#define MM_LOG_INFO 3
#define MM_LOG_DEBUG 4

/* `line` is UTF-8 without newline, valid during the call only. May be called from any thread. What is told, by `area`:
 *   "backend"   INFO: processor, kernels, threads, precision of an engine. WARN: fewer threads than asked for
 *   "assembly"  INFO: a model that was opened: path, format, parts, size, time. WARN: what was guessed or ignored
 *   "run"       DEBUG: a session that was created, and its memory plan
 * Errors are returned, not logged; nothing is logged while an answer is given. */
typedef void (*mm_log_fn)(void *user, int32_t level, const char *area, const char *line);

/* Called on the thread that made the call. Non-zero stops the work with MM_E_CANCELLED. */
typedef int32_t (*mm_progress_fn)(void *user, const char *stage, uint64_t done, uint64_t total);

#define MM_PRECISION_FAST 0  /* quantised or BF16 activations */
#define MM_PRECISION_EXACT 1 /* F32 activations and arithmetic */

typedef struct mm_engine_options {
    uint32_t size;
    uint32_t n_threads;          /* 0: one per physical core */
    const mm_allocator *allocator; /* NULL: the C library. Copied */
    mm_log_fn log;               /* NULL: silent */
    void *log_user;
    const char *device;          /* NULL or "auto", "cpu", "vulkan:0". Copied */
    int32_t precision;           /* MM_PRECISION_* */
    int32_t log_level;           /* most verbose level that is delivered; 0: MM_LOG_WARN */
    uint64_t memory_limit;       /* bytes; 0: none. MM_E_NOMEM beyond it */
} mm_engine_options;

MM_API void mm_engine_options_init(mm_engine_options *options, size_t size);

/* MM_E_ARG, MM_E_NOMEM, MM_E_DEVICE. `options` may be NULL (defaults). [any] since 0.1 */
MM_API mm_status mm_engine_create(const mm_engine_options *options, mm_engine **out, mm_error *err);

/* Drops the caller's reference; NULL is a no-op. [any] since 0.1 */
MM_API void mm_engine_release(mm_engine *engine);

/* ---- model ------------------------------------------------------------------------------------------------- */

/* Opens a GGUF file (an mmproj file beside it is found by name), a Hugging Face directory, a whisper.cpp .bin file,
 * a faster-whisper directory or a *.mm.json manifest, and makes it ready to run.
 * A manifest names the files of its parts, and may name any the process can read: its paths are relative to its own folder
 * and may climb out of it by "../" at their front (elsewhere, and absolute paths, they are refused with MM_E_FORMAT). All
 * other kinds read files of the given folder only. A host that takes models from others looks at a manifest's paths first.
 * `progress` may be NULL. MM_E_IO, MM_E_FORMAT, MM_E_UNSUPPORTED, MM_E_NOMEM, MM_E_LIMIT, MM_E_CANCELLED.
 * [any] since 0.1 */
MM_API mm_status mm_model_load(mm_engine *engine, const char *path, mm_progress_fn progress, void *progress_user,
                               mm_model **out, mm_error *err);

MM_API void mm_model_release(mm_model *model);

/* Facts about a model, by key, as text:
 *   "name" "assembly" "format" "modalities_in" "modalities_out" "tasks" "context" "vocab" "parameters"
 *   "weights_bytes" "kv_bytes_per_token" "parts" "dtypes" "chat_template" "chat_template_sha256" "prompt_layout"
 *   "placeholder" "sample_rate" "tensors" (one line each: name, dtype, shape, bytes) "summary" (the whole as JSON)
 *   "plan:N" (JSON memory plan, in bytes, computed without taking the memory, for a session of N positions, 0: all the
 *            model was made for: weights; kv and cross, the caches; encoder_arena and decoder_arena, work memory; total.
 *            It holds for a full context with one picture or window of sound and plain options; decoded media, the
 *            conversation's text, events, watched stages and "history" come on top)
 * MM_E_KEY for another key. [any] since 0.1 */
MM_API mm_status mm_model_info(const mm_model *model, const char *key, char *buf, size_t cap, size_t *need, mm_error *err);

/* Token ids of `text`. `flags`: MM_TOKENIZE_*. Writes at most cap ids; *need is the full count. [any] since 0.1 */
#define MM_TOKENIZE_BOS 1u     /* add what the tokenizer adds around a text of its own */
#define MM_TOKENIZE_SPECIAL 2u /* recognise special tokens in the text; never set this for untrusted text */
MM_API mm_status mm_model_tokenize(const mm_model *model, const char *text, size_t len, uint32_t flags, int32_t *ids,
                                   size_t cap, size_t *need, mm_error *err);

/* Text of ids; special tokens are written only with MM_TOKENIZE_SPECIAL. Bytes that are no UTF-8 stay as they are. */
MM_API mm_status mm_model_detokenize(const mm_model *model, const int32_t *ids, size_t n, uint32_t flags, char *buf,
                                     size_t cap, size_t *need, mm_error *err);

/* Renders `messages_json` (an OpenAI-style array of {role, content}) with the model's chat template. */
MM_API mm_status mm_model_apply_template(const mm_model *model, const char *messages_json, size_t len,
                                         int32_t add_generation_prompt, char *buf, size_t cap, size_t *need, mm_error *err);

/* ---- input ------------------------------------------------------------------------------------------------- */

#define MM_PIXELS_RGB 0
#define MM_PIXELS_RGBA 1
#define MM_PIXELS_BGR 2
#define MM_PIXELS_GREY 3

typedef struct mm_image {
    uint32_t size;
    uint32_t width, height; /* pixels, 1..16384 each */
    uint32_t stride;        /* bytes from row to row; 0: tightly packed */
    uint32_t format;        /* MM_PIXELS_* */
    uint32_t reserved;
    const void *pixels;     /* 8 bits a channel, borrowed during the call */
} mm_image;

#define MM_SAMPLES_F32 0
#define MM_SAMPLES_I16 1

typedef struct mm_audio {
    uint32_t size;
    uint32_t rate;          /* Hz, 1000..768000 */
    uint32_t channels;      /* 1..8, interleaved */
    uint32_t format;        /* MM_SAMPLES_* */
    uint64_t frames;
    const void *samples;    /* borrowed during the call */
} mm_audio;

MM_API mm_status mm_input_create(mm_engine *engine, mm_input **out, mm_error *err);
MM_API void mm_input_release(mm_input *input);
MM_API void mm_input_clear(mm_input *input);

/* Appends content to the message being built (an input without mm_input_role() calls is one user message).
 * The text may hold "<image>" and "<audio>": each takes the next medium of that kind of the message at that place; media
 * without a place come first. Where the message has no medium left they are text, as are special tokens that a text
 * spells, except in raw sessions. Data are copied. */
MM_API mm_status mm_input_text(mm_input *input, const char *text, size_t len, mm_error *err);
MM_API mm_status mm_input_image(mm_input *input, const mm_image *image, mm_error *err);
MM_API mm_status mm_input_image_file(mm_input *input, const char *path, mm_error *err);
MM_API mm_status mm_input_image_encoded(mm_input *input, const void *bytes, size_t len, mm_error *err);
MM_API mm_status mm_input_audio(mm_input *input, const mm_audio *audio, mm_error *err);
MM_API mm_status mm_input_audio_file(mm_input *input, const char *path, mm_error *err);
MM_API mm_status mm_input_audio_encoded(mm_input *input, const void *bytes, size_t len, mm_error *err);

/* Starts a new message of `role` ("system", "user", "assistant", ...); what follows belongs to it. */
MM_API mm_status mm_input_role(mm_input *input, const char *role, mm_error *err);

/* Appends a conversation in the OpenAI layout: [{"role":..,"content":"..."|[{"type":"text"|"image_url"|"image"|
 * "input_audio"|"audio", ...}]}]. Files are resolved against `base_dir` (NULL: the working directory). */
MM_API mm_status mm_input_messages(mm_input *input, const char *json, size_t len, const char *base_dir, mm_error *err);

/* Appends token ids as they are, in their place between texts and media. Only for raw sessions that generate. The session
 * then keeps its answers as ids, too, and puts nothing around texts but the begin-of-text token where a text comes first. */
MM_API mm_status mm_input_tokens(mm_input *input, const int32_t *ids, size_t n, mm_error *err);

/* ---- session ----------------------------------------------------------------------------------------------- */

typedef struct mm_session_options {
    uint32_t size;
    uint32_t n_ctx;        /* positions; 0: the smaller of the model's context and 4096 */
    uint32_t max_tokens;   /* per answer (speech: per window); 0: until the context is full */
    uint32_t top_k;        /* 0: off */
    uint64_t seed;
    float temperature;     /* 0: greedy */
    float top_p;           /* 1: off */
    float min_p;           /* 0: off */
    float repeat_penalty;  /* 1: off */
    uint32_t top_logprobs; /* alternatives reported with each text event, 0..20 */
    uint32_t flags;        /* MM_SESSION_* */
} mm_session_options;

#define MM_SESSION_RAW 1u        /* text is used as it is: no template; special tokens are recognised, and the model's
                                    placeholder stands for "<image>"; never for untrusted text */
#define MM_SESSION_IGNORE_EOS 2u /* go on after the end-of-text token */
#define MM_SESSION_LOGPROBS 4u   /* report the log-probability of each token */

MM_API void mm_session_options_init(mm_session_options *options, size_t size);
MM_API mm_status mm_session_create(mm_model *model, const mm_session_options *options, mm_session **out, mm_error *err);
MM_API void mm_session_release(mm_session *session);

/* Rare options by key, before the first feed:
 *   "task"      "generate" "embed" "score" "transcribe"; default: the model's first task
 *   "stop"      adds a stop string
 *   "language"  speech: ISO code of the spoken language; default: detected
 *   "translate" speech: "1" translates to English
 *   "timestamps" speech: "0" plain text only
 *   "history"   speech: "1" lets each window read the text of earlier ones (more even style, but errors may carry over)
 *   "single_pass" speech: "1" never decodes a window again at a higher temperature
 *   "watch"     adds a stage name: its tensor is delivered as MM_EVENT_TENSOR ("*" for all)
 *   "decoder_prompt"  encoder-decoder models: text the answer starts with
 *   "force_ids" space-separated ids the answer (speech: each window) starts with, after the prompt
 *   "truncate"  "1": a too long text prompt loses its middle instead of failing
 * MM_E_KEY for another key, MM_E_ARG for a bad value. [handle] */
MM_API mm_status mm_session_set(mm_session *session, const char *key, const char *value, mm_error *err);

/* Appends `input` to the timeline. Media are decoded and checked here; the heavy work happens in mm_session_next().
 * MM_E_STATE while an answer is being given, MM_E_UNSUPPORTED for a modality the model lacks. A prompt that does not fit
 * the context is MM_E_CONTEXT of the next mm_session_next(). */
MM_API mm_status mm_session_feed(mm_session *session, const mm_input *input, mm_error *err);

#define MM_EVENT_TEXT 1     /* data: UTF-8 text of one or more tokens (never half a character) */
#define MM_EVENT_SEGMENT 2  /* data: UTF-8 text spoken from t0 to t1 seconds; ids: its tokens */
#define MM_EVENT_LANGUAGE 3 /* data: ISO code; value: probability */
#define MM_EVENT_VECTOR 4   /* values: float32 vector */
#define MM_EVENT_SCORES 5   /* values: one probability for each text, for image `index` */
#define MM_EVENT_TENSOR 6   /* data: stage name; values: float32, shape dims[0..n_dims) */
#define MM_EVENT_END 7      /* data: reason: "stop" "length" (max_tokens or the context; speech: in some window) "done";
                               ids: every token of the answer, forced ones too (speech: window by window, no end tokens) */

typedef struct mm_logprob {
    int32_t id;
    float logprob;
} mm_logprob;

/* Everything pointed to is borrowed until the next call on the session. */
typedef struct mm_event {
    uint32_t size;
    uint32_t kind;              /* MM_EVENT_* */
    uint32_t index;             /* which vector, image or segment, from 0 */
    int32_t id;                 /* token id of a text event (the last one when several), else -1 */
    const char *data;
    size_t len;
    const float *values;
    size_t n_values;
    const int32_t *ids;
    size_t n_ids;
    const mm_logprob *top;      /* alternatives, most likely first */
    size_t n_top;
    double t0, t1;              /* seconds */
    double value;               /* TEXT: log-probability (with MM_SESSION_LOGPROBS); LANGUAGE: probability */
    int64_t dims[4];
    uint32_t n_dims;
    uint32_t prompt_tokens;     /* END: positions the prompt took */
} mm_event;

/* Runs until the next event. MM_OK: *event is filled; MM_END: nothing left. On an error, or MM_E_CANCELLED, the
 * session keeps everything fed before the last feed and can be fed again. event->size must be set. [handle] */
MM_API mm_status mm_session_next(mm_session *session, mm_event *event, mm_error *err);

/* Makes the running or next mm_session_next() return MM_E_CANCELLED soon. [any], also from a signal handler */
MM_API void mm_session_cancel(mm_session *session);

/* Forgets the timeline, keeps the options. */
MM_API mm_status mm_session_reset(mm_session *session, mm_error *err);

typedef int32_t (*mm_write_fn)(void *user, const void *bytes, size_t n);

/* Milliseconds and counts of the last answer, by key: "encode_ms" "prefill_ms" "decode_ms" "prefill_tokens"
 * "decode_tokens" "n_past" "arena_bytes" "kv_bytes" "peak_bytes". MM_E_KEY for another key. */
MM_API mm_status mm_session_stat(const mm_session *session, const char *key, double *out, mm_error *err);

#ifdef __cplusplus
}
#endif

#endif
