/* libmm - multimodal models inside your own process.
 *
 * This header is the contract and the manual. Everything a host may rely on is written here; what is not here is private.
 * include/ABI.md of the source says what is promised for how long; libmm_experimental.h holds what is not promised yet.
 *
 * Nouns
 *   mm_engine   memory, log, files, threads, device.
 *   mm_model    weights and everything derived from them. Immutable after load, shareable between threads.
 *   mm_input    an ordered list of text, pictures, sound and chat messages. Reusable.
 *   mm_session  one timeline on one model: what was fed, what was answered.
 * A child holds a reference on its parent, so handles may be released in any order.
 *
 * A picture described:
 *   engine -> model -> session; input <- picture, text; feed; next until MM_END
 *
 * Conventions
 *   - Every function that can fail returns mm_status: 0 ok, > 0 ok with a note, < 0 error. Its comment lists the errors that
 *     mean something special there; besides these every one may return MM_E_ARG (a handle, string or out-pointer that must
 *     not be NULL is NULL, a struct's size is wrong, a value is out of range), MM_E_NOMEM, MM_E_STATE (see Threads) and
 *     MM_E_INTERNAL.
 *   - `mm_error *err` is optional (NULL allowed) and owned by the caller. A failure leaves the status and one sentence that
 *     names file, place and remedy there, a success code 0 and an empty text. Set err->size = sizeof(mm_error) before the
 *     first call.
 *   - Out-handles are set to NULL on failure; the handles given in are as they were.
 *   - Structs a host fills start with their size. Option structs are filled by their *_init function, then fields are
 *     changed; the others (mm_image, mm_audio, mm_allocator, ...) are zeroed and their size set. A struct larger than this
 *     library knows is accepted when the surplus is zero; a surplus that is not, a `reserved` that is not 0 and flags that
 *     are unknown are MM_E_UNSUPPORTED.
 *   - Text is UTF-8. Lengths are bytes. Strings returned by getters are borrowed and live as long as the handle, unless the
 *     comment says otherwise. Data passed in are copied, unless the comment says "borrowed".
 *   - (buf, cap, need): at most cap bytes are written including a NUL; *need (may be NULL) is the full length without the
 *     NUL. MM_E_SPACE when cap is too small; cap 0 with buf NULL only measures and returns MM_OK.
 *   - Nothing here prints, exits, aborts, reads the environment, or changes locale or signal handlers. No thread outlives
 *     its engine.
 *   - Numbers of constants never change their meaning and are never used again. New event kinds, statuses and keys may come
 *     with a minor version: skip an event kind you do not know, treat an unknown negative status as an error.
 *
 * Threads
 *   [any]     any thread, any time.
 *   [handle]  one thread at a time for each handle; a second one gets MM_E_STATE, not a race.
 *   From inside a callback of the host (allocator, log, files, executor, progress, write) only mm_session_cancel(),
 *   mm_status_name(), mm_status_at(), mm_version(), the *_init and the *_release functions may be called; other calls return
 *   MM_E_STATE. Callbacks return: they must not jump or throw out of the library.
 *   After fork() the child may only release handles, which frees nothing there; every other call with a handle of the parent
 *   returns MM_E_STATE. An engine of the child's own works.
 */
#ifndef LIBMM_H
#define LIBMM_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MM_VERSION_MAJOR 0
#define MM_VERSION_MINOR 2
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
#define MM_END 1                /* nothing more: the answer is complete, the list is at its end */

/* usage, 1..99 */
#define MM_E_ARG (-1)           /* an argument is NULL, out of range or contradicts another */
#define MM_E_STATE (-2)         /* the call does not fit the handle's state, thread or process */
#define MM_E_SPACE (-3)         /* the caller's buffer is too small; *need says how much */
#define MM_E_KEY (-4)           /* unknown option or info key */
#define MM_E_NOMEM (-5)         /* the allocator, or the engine's memory limit, refused */
#define MM_E_LIMIT (-6)         /* a documented limit was exceeded; the text names it */
#define MM_E_INTERNAL (-7)      /* a broken invariant: please report it */
/* files, 100..199 */
#define MM_E_IO (-101)          /* the file is missing or cannot be read or written */
#define MM_E_FORMAT (-102)      /* the file is damaged or is not what it claims */
#define MM_E_UNSUPPORTED (-103) /* a valid request that needs something this model or build does not have */
#define MM_E_MEDIA (-104)       /* a picture or sound cannot be decoded */
/* devices, 200..299 */
#define MM_E_DEVICE (-201)      /* no such device, or it failed */
/* running, 300..399 */
#define MM_E_CANCELLED (-301)   /* mm_session_cancel() or a callback asked to stop */
#define MM_E_CONTEXT (-302)     /* the input does not fit the context */
#define MM_E_NUMERIC (-303)     /* the model produced NaN or infinity */

/* Name of a status ("MM_E_IO"), or "MM_?" for an unknown number. Static string, never NULL. [any] since 0.1 */
MM_API const char *mm_status_name(mm_status status);

/* The statuses as a list: number, name and meaning of the `index`-th. Each out-pointer may be NULL; the strings are
 * static. MM_END past the last. [any] since 0.1 */
MM_API mm_status mm_status_at(uint32_t index, mm_status *status, const char **name, const char **meaning);

/* Why a call failed. Not written when size is below the size this struct has here; a larger one is zeroed behind what this
 * library knows. */
typedef struct mm_error {
    uint32_t size;
    mm_status code;
    int32_t os_code;            /* errno, or what the host's callback returned, where one applies; else 0 */
    uint32_t reserved;
    char text[496];             /* one sentence, UTF-8 without control characters, NUL-terminated */
} mm_error;
#define MM_ERROR_INIT {(uint32_t)sizeof(mm_error), 0, 0, 0, {0}}

/* ---- version, build, devices ------------------------------------------------------------------------------- */

/* Version of the library that runs, laid out as MM_VERSION. [any] since 0.1 */
MM_API uint32_t mm_version(void);

/* How the library was built, by key, as text:
 *   "version" "compiler" "kernels" (instruction sets it has kernels for) "libraries" (what it is linked with) "formats"
 *   "dtypes" "assemblies" "parts" "keys" (these keys); lists are separated by spaces.
 * MM_E_KEY for another key, MM_E_SPACE. [any] since 0.1 */
MM_API mm_status mm_build_info(const char *key, char *buf, size_t cap, size_t *need, mm_error *err);

/* Facts about device `index` (from 0), by key, as text:
 *   "id" (what mm_engine_options.device takes: "cpu", "vulkan:0") "name" "kind" ("cpu", "gpu"; "cpu" is also what a Vulkan
 *   device is that the processor emulates) "features" "threads" (0 on a Vulkan device) "summary" (one line) "keys"
 *   "all" (since 0.2: a line for each of the above but "keys": key and value, with a tab between them. Each call looks for the
 *         devices afresh, which takes Vulkan some milliseconds; this one does it once)
 * MM_END past the last device, MM_E_KEY, MM_E_SPACE. [any] since 0.1 */
MM_API mm_status mm_device_info(uint32_t index, const char *key, char *buf, size_t cap, size_t *need, mm_error *err);

/* ---- engine ------------------------------------------------------------------------------------------------ */

typedef struct mm_engine mm_engine;
typedef struct mm_model mm_model;
typedef struct mm_session mm_session;
typedef struct mm_input mm_input;

/* Memory for what the library keeps: weights, caches, work memory, inputs, sessions. What it is built on (JSON, sound, picture
 * and compression libraries) takes its working memory from the C library during a call; of that, the trees of JSON documents
 * count against mm_engine_options.memory_limit, too. Both functions must be thread-safe. `align` is a power of two. alloc
 * returns NULL when there is none; release gets the size and alignment that alloc was given. */
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

/* `area` names the part of the library; `line` is UTF-8 without newline; both are valid during the call only. May be
 * called from any thread, also from several at once. What is told, by `area`:
 *   "backend"   INFO: processor, kernels, threads, precision of an engine; an operator that a device has no kernel for.
 *               WARN: fewer threads than asked for; a kernel that failed its self-test on this driver, and by how much; a
 *               "device_cache" that cannot be written
 *   "assembly"  INFO: a model that was opened: path, format, parts, size, time. WARN: what was guessed or ignored
 *   "media"     WARN: a sound file that ends before its headers say
 *   "run"       DEBUG: a session that was created, and its memory plan
 * Errors are returned, not logged (MM_LOG_ERROR is kept for later); while an answer is given only "backend" may speak, of what a
 * device does for the first time. */
typedef void (*mm_log_fn)(void *user, int32_t level, const char *area, const char *line);

#define MM_FILE_NONE 0
#define MM_FILE_REGULAR 1
#define MM_FILE_DIRECTORY 2

/* The host's files in place of the operating system's: an archive, a database, a network store. Paths are the ones the host
 * gave, or these, or their directory ("." when there is none), with "/name" appended. Functions may be called from any
 * thread, also several at once; a status other than MM_OK becomes MM_E_IO (MM_E_CANCELLED stays what it is) with
 * mm_error.os_code set to it. */
typedef struct mm_files {
    uint32_t size, reserved;
    void *user;
    /* MM_FILE_* of what lies at the path; a negative value where that cannot be told (opening it then says why). */
    int32_t (*kind)(void *user, const char *path);
    /* *file identifies the open file in the calls below, *bytes is its length. */
    mm_status (*open)(void *user, const char *path, void **file, uint64_t *bytes);
    /* Exactly n bytes from `offset`, which lie inside the length open gave. */
    mm_status (*read)(void *user, void *file, uint64_t offset, void *dst, size_t n);
    void (*close)(void *user, void *file);
    /* The `index`-th name in a directory, in any fixed order, NUL-terminated within cap; MM_END past the last. NULL: names
     * are never listed, so an mmproj beside a GGUF is not found. */
    mm_status (*list)(void *user, const char *directory, uint32_t index, char *name, size_t cap);
} mm_files;

/* One of `count` calls that together do a piece of work. */
typedef void (*mm_task_fn)(void *task, uint32_t index, uint32_t count);

/* The host's threads in place of the engine's own. run calls fn(task, i, count) once for each i in [0, count), all at the
 * same time on different threads, for they wait for each other, and returns 0 when all have returned. A non-zero result
 * means that none was called, and ends the work with MM_E_DEVICE. */
typedef struct mm_executor {
    uint32_t size;
    uint32_t n_threads;         /* the count, 1..1024 */
    void *user;
    int32_t (*run)(void *user, mm_task_fn fn, void *task, uint32_t count);
} mm_executor;

/* Called on the thread that made the call. `stage` says what is being done: "weights", in bytes; there may be others. `total`
 * may be 0 (unknown), and may grow. Non-zero stops the work with MM_E_CANCELLED; mm_error.os_code is set to it. */
typedef int32_t (*mm_progress_fn)(void *user, const char *stage, uint64_t done, uint64_t total);

#define MM_PRECISION_FAST 0     /* quantised or BF16 activations */
#define MM_PRECISION_EXACT 1    /* F32 activations and arithmetic */

typedef struct mm_engine_options {
    uint32_t size;
    uint32_t n_threads;            /* 0: one per physical core; at most 1024. Ignored with an executor */
                                   /* what the pointers below lead to must work until the last handle is released */
    const mm_allocator *allocator; /* NULL: the C library. Copied */
    mm_log_fn log;                 /* NULL: silent */
    void *log_user;
    const char *device;            /* NULL or "auto": the processor; "cpu", "cpu:avx2" (at most these instructions),
                                    * "vulkan:0" (mm_device_info lists them). Copied */
    int32_t precision;             /* MM_PRECISION_* */
    int32_t log_level;             /* most verbose level that is delivered; 0: MM_LOG_WARN */
    uint64_t memory_limit;         /* bytes; 0: none. MM_E_NOMEM beyond it */
    const mm_files *files;         /* NULL: the operating system's. Copied */
    const mm_executor *executor;   /* NULL: threads of the engine's own. Copied */
} mm_engine_options;

/* Writes the defaults; `size` is sizeof(mm_engine_options). [any] since 0.1 */
MM_API void mm_engine_options_init(mm_engine_options *options, size_t size);

/* Makes an engine in *out, owned by the caller. `options` may be NULL (defaults). MM_E_DEVICE: the device is unknown or
 * failed. [any] since 0.1 */
MM_API mm_status mm_engine_create(const mm_engine_options *options, mm_engine **out, mm_error *err);

/* Drops the caller's reference; NULL is a no-op. [any] since 0.1 */
MM_API void mm_engine_release(mm_engine *engine);

/* Limits: what the files, media and texts of strangers may ask for, and what an engine may spend. A value is a whole number,
 * as text; what is above a limit is refused with MM_E_LIMIT, and the error names the limit; of the first three, MM_E_NOMEM.
 *
 *   key               default    at most    counts
 *   "memory"          none       2^63 - 1   bytes of memory the engine takes (mm_engine_options.memory_limit); "0": no limit
 *   "session_memory"  none       2^63 - 1   bytes of memory one session takes, of sessions made from here on; "0": no limit
 *   "device_memory"   none       2^63 - 1   bytes of memory the engine takes from the driver of a device; "0": no limit
 *   "metadata_keys"   65536      2^20       keys of a GGUF file
 *   "metadata_bytes"  2^30       2^30       bytes in front of the data of a GGUF file
 *   "string_bytes"    2^24       2^28       bytes of one string of a GGUF file
 *   "array_elements"  2^24       2^26       elements of one array of a GGUF file
 *   "header_bytes"    100000000  100000000  bytes of a header or an index of safetensors
 *   "tensors"         2^20       2^22       tensors of a model
 *   "shards"          4096       65535      files that one set of weights is split into
 *   "side_file_bytes" 104857600  419430400  bytes of a JSON or tokenizer file beside the weights
 *   "json_depth"      64         256        nested arrays and objects of a JSON text
 *   "json_values"     2^23       2^25       values of a JSON text
 *   "vocabulary"      2^24       2^24       tokens of a tokenizer
 *   "template_bytes"  2^20       2^24       bytes of a chat template
 *   "template_steps"  2^20       2^28       steps of one rendering of a chat template
 *   "template_depth"  64         64         nested blocks, brackets and macro calls of a chat template
 *   "template_output" 2^24       2^28       bytes of a text or a string that a chat template makes
 *   "template_memory" 2^27       2^32       bytes of the values that a rendering holds
 *   "prompt_bytes"    2^26       2^26       bytes of one text
 *   "context"         2^24       2^24       positions of a session
 *   "media_bytes"     2^31       2^31       bytes of a picture or sound file
 *   "image_side"      16384      16384      pixels of a side of a picture
 *   "image_pixels"    2^26       2^26       pixels of a picture
 *   "audio_seconds"   14400      86400      seconds of a sound
 *   "audio_samples"   2^29       2^29       samples of a sound, channels mixed
 *   "snapshot_bytes"  2^40       2^40       bytes of a snapshot file
 *   "snapshot_timeline" 2^32     2^32       bytes of the timeline in a snapshot, unpacked
 *
 * What the engine may spend to save work:
 *
 *   "media_cache_bytes"  a whole number, 67108864 by default: bytes that each model may hold of what its encoder made of pictures and
 *                     windows of sound, so that the same one fed again, to any session of the model, is not encoded again; what was
 *                     not used for the longest time goes first, and all of it rather than that a request fails for lack of memory.
 *                     Answers are the same with and without, bit for bit. It counts against "memory", not "session_memory". Vectors
 *                     and watched stages are always computed. 0: nothing is kept. Setting it drops what is held
 *
 * Options of a device, for models that are loaded and sessions that are made from here on:
 *
 *   "gpu_layers"      a whole number: only this many layers of a decoder, the first ones, run on the device, and the others on
 *                     the processor, weights and caches included; 0: nothing of a decoder. "all", the default: all of them
 *   "place"           pairs of a part and a place, separated by commas: the parts are "encoder" "bridge" "decoder", the places
 *                     "cpu" and "device" ("encoder=device,decoder=cpu"); parts that are not named are on the device. A value
 *                     replaces the one before; "" is the default
 *   "device_cache"    a folder that is there, of the operating system, and that nobody writes to whom the host does not trust:
 *                     keeps compiled kernels and the verdicts of self-tests for later engines, a file for each device, driver
 *                     and version of the library. Read now; written when this is set again and when the last handle of the
 *                     engine is released. A damaged file counts as none. "", the default: nothing is kept. MM_E_IO: no folder
 *
 * A call with a weight or a cache that is on the processor runs there, and so do the small ones between such calls.
 *
 * Holds for what is read or made from here on, on every thread. MM_E_KEY for another key, MM_E_ARG for another value,
 * MM_E_UNSUPPORTED for an option of devices where the engine runs on the processor alone. [any] since 0.2 */
MM_API mm_status mm_engine_set(mm_engine *engine, const char *key, const char *value, mm_error *err);

/* Facts about an engine, by key, as text:
 *   "device" "isa" "threads" "precision" ("fast", "exact") "memory_bytes" "memory_peak" "memory_limit" "keys"
 *   "limits" (since 0.2: of each limit a line: key, value, default, most, what it counts, with tabs between them)
 *   "counts" (since 0.2: of each thing that a device counts from the engine's creation on, such as its dispatches, a line:
 *            key, value, what it counts, with tabs between them; empty on the processor)
 *   "fallbacks" (since 0.2: of each operator that the processor ran in the device's place, and each reason, a line: operator,
 *            calls, reason, with tabs between them; empty on the processor)
 *   "self_test" (since 0.2: tests every kind of call that has a kernel of the device, where that was not done yet - of its
 *            own accord that happens before the first call of a kind - and gives a line for each: kind; "right", "off" (the
 *            processor does such calls), "unprovable" (the device's limits leave no room) or "untried"; squared error and the
 *            largest one allowed, over the squared signal, with tabs between them; empty on the processor. MM_E_DEVICE)
 * MM_E_KEY, MM_E_SPACE. [any] since 0.1 */
MM_API mm_status mm_engine_info(const mm_engine *engine, const char *key, char *buf, size_t cap, size_t *need, mm_error *err);

/* ---- model ------------------------------------------------------------------------------------------------- */

typedef struct mm_model_options {
    uint32_t size, reserved;
    mm_progress_fn progress;    /* NULL: none */
    void *progress_user;
    const void *bytes;          /* content of a single-file model (GGUF, whisper.cpp), borrowed during the load; the path
                                 * then only names it in messages. NULL: the path is opened */
    size_t n_bytes;
} mm_model_options;

/* Writes the defaults; `size` is sizeof(mm_model_options). [any] since 0.1 */
MM_API void mm_model_options_init(mm_model_options *options, size_t size);

/* Opens a GGUF file (an mmproj file beside it is found by name), a Hugging Face directory, a whisper.cpp .bin file, a
 * faster-whisper directory or a *.mm.json manifest, and makes it ready to run; files are closed again on return.
 * A manifest names the files of its parts, and may name any the process can read: its paths are relative to its own folder
 * and may climb out of it by "../" at their front (elsewhere, and absolute paths, they are refused with MM_E_FORMAT). All
 * other kinds read files of the given folder only. A host that takes models from others looks at a manifest's paths first.
 * `options` may be NULL. *out is owned by the caller. MM_E_IO, MM_E_FORMAT, MM_E_UNSUPPORTED (the architecture or tensor type
 * is named), MM_E_LIMIT, MM_E_CANCELLED. [any] since 0.1 */
MM_API mm_status mm_model_load(mm_engine *engine, const char *path, const mm_model_options *options, mm_model **out,
                               mm_error *err);

/* Drops the caller's reference; NULL is a no-op. [any] since 0.1 */
MM_API void mm_model_release(mm_model *model);

/* Facts about a model, by key, as text:
 *   "name" "assembly" "format" "modalities_in" "modalities_out" "tasks" "context" "vocab" "parameters"
 *   "weights_bytes" "kv_bytes_per_token" "parts" "dtypes" "chat_template" "chat_template_sha256" "prompt_layout"
 *   "placeholder" "sample_rate" "fingerprint" (what a saved session checks) "tensors" (one line each: name, dtype, shape,
 *   bytes) "layers" (since 0.2: of the decoder; of a model without one, of its first encoder) "summary" (the whole as JSON)
 *   "keys"
 *   "plan:N" (JSON memory plan, in bytes, computed without taking the memory, for a session of N positions, 0: all the
 *            model was made for: weights; tables (since 0.2), what the model holds beside them; kv and cross, the caches;
 *            encoder_arena and decoder_arena, work memory; total.
 *            It holds for a full context with one picture or window of sound and plain options; decoded media, the
 *            conversation's text, events, watched stages, "history" and "lookup" come on top, and what "media_cache_bytes"
 *            allows. While a model loads, its tokenizer's file takes memory for a moment that no plan counts)
 *   "plan:N:T" "kv_bytes_per_token:T" (since 0.2: with caches of T, a "kv_type" of mm_session_set())
 *   "media_cache" (since 0.2: as JSON, what the cache of "media_cache_bytes" holds in bytes, and its hits and misses from the
 *            load on; not in the summary)
 * MM_E_KEY, MM_E_SPACE. [any] since 0.1 */
MM_API mm_status mm_model_info(const mm_model *model, const char *key, char *buf, size_t cap, size_t *need, mm_error *err);

#define MM_TOKENIZE_AROUND 1u   /* add what the tokenizer puts around a text of its own: begin and end tokens */
#define MM_TOKENIZE_SPECIAL 2u  /* recognise special tokens in the text; never set this for untrusted text */

/* Token ids of the `len` bytes at `text`. `flags`: MM_TOKENIZE_*. Writes at most `cap` ids into `ids` (may be NULL with cap
 * 0); *need (may be NULL) is the full count. MM_E_SPACE, MM_E_UNSUPPORTED: no tokenizer. [any] since 0.1 */
MM_API mm_status mm_model_tokenize(const mm_model *model, const char *text, size_t len, uint32_t flags, int32_t *ids,
                                   size_t cap, size_t *need, mm_error *err);

/* Text of `n` ids; special tokens are written only with MM_TOKENIZE_SPECIAL. Bytes that are no UTF-8 stay as they are.
 * MM_E_SPACE, MM_E_UNSUPPORTED. [any] since 0.1 */
MM_API mm_status mm_model_detokenize(const mm_model *model, const int32_t *ids, size_t n, uint32_t flags, char *buf,
                                     size_t cap, size_t *need, mm_error *err);

/* Renders a chat with the model's own template. `json` is an array of messages in the OpenAI layout, or an object with
 * "messages" and, if wanted, "tools" (an array of definitions) and further variables of the template
 * ("enable_thinking": false). `add_generation_prompt`: non-zero opens the assistant's turn at the end.
 * Texts are rendered as they are: a special token that one spells is in the result like the template's own, and becomes that
 * token where the result is tokenised with MM_TOKENIZE_SPECIAL or fed to a raw session. Sessions hide such texts; feed untrusted
 * ones to them. A "\u0000" in a text is a NUL byte of the result, within *need; sessions refuse it.
 * MM_E_FORMAT: the JSON is damaged; MM_E_ARG: the template refuses these messages (its own words are in the error);
 * MM_E_UNSUPPORTED: the model has no template; MM_E_LIMIT, MM_E_SPACE. [any] since 0.1 */
MM_API mm_status mm_model_apply_template(const mm_model *model, const char *json, size_t len, int32_t add_generation_prompt,
                                         char *buf, size_t cap, size_t *need, mm_error *err);

/* ---- input ------------------------------------------------------------------------------------------------- */

#define MM_PIXELS_RGB 0
#define MM_PIXELS_RGBA 1
#define MM_PIXELS_BGR 2
#define MM_PIXELS_GREY 3

typedef struct mm_image {
    uint32_t size;
    uint32_t width, height;     /* pixels, 1 and up; see the limits */
    uint32_t stride;            /* bytes from row to row; 0: tightly packed */
    uint32_t format;            /* MM_PIXELS_*; what becomes of alpha is the model's habit: dropped, or laid on white */
    uint32_t reserved;
    const void *pixels;         /* 8 bits a channel, top row first, borrowed during the call */
} mm_image;

#define MM_SAMPLES_F32 0
#define MM_SAMPLES_I16 1

typedef struct mm_audio {
    uint32_t size;
    uint32_t rate;              /* Hz, 1000..768000 */
    uint32_t channels;          /* 1..8, interleaved */
    uint32_t format;            /* MM_SAMPLES_* */
    uint64_t frames;            /* samples of one channel */
    const void *samples;        /* F32 in -1..1, finite, or I16; borrowed during the call */
} mm_audio;

/* An empty input in *out, owned by the caller. [any] since 0.1 */
MM_API mm_status mm_input_create(mm_engine *engine, mm_input **out, mm_error *err);
/* Drops the caller's reference; NULL is a no-op. [any] since 0.1 */
MM_API void mm_input_release(mm_input *input);
/* Empties the input for another use. [handle] since 0.1 */
MM_API mm_status mm_input_clear(mm_input *input, mm_error *err);

/* The functions below append to the message being built; an input without mm_input_role() calls is one user message. Data
 * are copied, media decoded and checked at once. All are [handle] since 0.1; a failed one leaves the input as it was. */

/* Text without NUL bytes. Bytes that are no UTF-8 become U+FFFD, or stay what they are where the tokenizer knows single bytes.
 * The text may hold "<image>" and "<audio>": each takes the next medium of that kind of the same message at that place; media
 * without a place come first. Where the message has no medium left they are text, as are special tokens that a text spells,
 * except in raw sessions. MM_E_LIMIT */
MM_API mm_status mm_input_text(mm_input *input, const char *text, size_t len, mm_error *err);
/* Pixels in memory. MM_E_LIMIT */
MM_API mm_status mm_input_image(mm_input *input, const mm_image *image, mm_error *err);
/* A PNG, JPEG or BMP file; turned upright where its Exif orientation says how. MM_E_IO, MM_E_MEDIA, MM_E_LIMIT */
MM_API mm_status mm_input_image_file(mm_input *input, const char *path, mm_error *err);
/* The bytes of such a file. MM_E_MEDIA, MM_E_LIMIT */
MM_API mm_status mm_input_image_encoded(mm_input *input, const void *bytes, size_t len, mm_error *err);
/* Samples in memory. MM_E_MEDIA: one is NaN or infinite; MM_E_LIMIT: too long */
MM_API mm_status mm_input_audio(mm_input *input, const mm_audio *audio, mm_error *err);
/* A WAV, FLAC, OGG (Vorbis, Opus) or MP3 file; of one that was cut off, what there is is used, and the log told (of an MP3
 * file cut between two frames only where the first of them states the length). MM_E_IO, MM_E_MEDIA, MM_E_LIMIT */
MM_API mm_status mm_input_audio_file(mm_input *input, const char *path, mm_error *err);
/* The bytes of such a file. MM_E_MEDIA, MM_E_LIMIT */
MM_API mm_status mm_input_audio_encoded(mm_input *input, const void *bytes, size_t len, mm_error *err);

/* Starts a new message of `role` ("system", "user", "assistant", "tool" ...); what follows belongs to it. */
MM_API mm_status mm_input_role(mm_input *input, const char *role, mm_error *err);

/* Appends a conversation in the OpenAI layout: [{"role":..,"content":"..."|[{"type":"text"|"image_url"|"image"|
 * "input_audio"|"audio", ...}]}]; other members ("tool_calls", "name" ...) reach the chat template. Media are local files,
 * resolved against `base_dir` (NULL: the working directory), or data: URLs. base_dir is no fence: an absolute path or one
 * with "../" names any file the process can read, so a host that takes messages from others looks at their paths first.
 * MM_E_FORMAT, MM_E_IO, MM_E_MEDIA, MM_E_LIMIT, MM_E_UNSUPPORTED: a remote URL or unknown part */
MM_API mm_status mm_input_messages(mm_input *input, const char *json, size_t len, const char *base_dir, mm_error *err);

/* Appends `n` token ids as they are, in their place between texts and media. Only raw sessions that generate take them. Such
 * a session then keeps its answers as ids, too, and puts nothing around texts but the begin-of-text token where a text comes
 * first. */
MM_API mm_status mm_input_tokens(mm_input *input, const int32_t *ids, size_t n, mm_error *err);

/* ---- session ----------------------------------------------------------------------------------------------- */

typedef struct mm_session_options {
    uint32_t size;
    uint32_t n_ctx;             /* positions; 0: the smaller of the model's context and 4096 */
    uint32_t max_tokens;        /* per answer (speech: per window); 0: until the context is full */
    uint32_t top_k;             /* only the k most likely tokens; 0: off */
    uint64_t seed;              /* the same seed and options give the same answer */
    float temperature;          /* 0 and up; 0: greedy */
    float top_p;                /* above 0, at most 1; 1: off */
    float min_p;                /* 0..1; 0: off */
    float repeat_penalty;       /* above 0; 1: off. Applies to tokens of the answer, once each */
    uint32_t top_logprobs;      /* alternatives reported with each text event, 0..20 */
    uint32_t flags;             /* MM_SESSION_* */
} mm_session_options;

#define MM_SESSION_RAW 1u        /* text is used as it is: no template; special tokens are recognised, and the model's
                                  * placeholder stands for "<image>"; never for untrusted text */
#define MM_SESSION_IGNORE_EOS 2u /* go on after the end-of-text token */
#define MM_SESSION_LOGPROBS 4u   /* report the log-probability of each token */

/* Writes the defaults; `size` is sizeof(mm_session_options). [any] since 0.1 */
MM_API void mm_session_options_init(mm_session_options *options, size_t size);

/* Makes an empty session in *out, owned by the caller, and takes its memory (see mm_model_info "plan:N"). `options` may be
 * NULL. MM_E_CONTEXT: n_ctx is beyond what the model was made for; MM_E_LIMIT. [any] since 0.1 */
MM_API mm_status mm_session_create(mm_model *model, const mm_session_options *options, mm_session **out, mm_error *err);

/* Drops the caller's reference; NULL is a no-op. [any] since 0.1 */
MM_API void mm_session_release(mm_session *session);

/* Rare options by key; a value is text:
 *   "task"      "generate" "embed" "score" "transcribe"; default: the model's first task. For embed and score a text
 *               longer than the encoder's positions is cut at its end, as the models' reference programs do
 *   "stop"      adds a stop string
 *   "tools"     JSON array of tool definitions for the chat template; "" for none
 *   "variables" JSON object of further variables for the chat template; "" for none
 *   "language"  speech: ISO code of the spoken language; default: detected
 *   "translate" speech: "1" translates to English
 *   "timestamps" speech: "0" plain text only
 *   "history"   speech: "1" lets each window read the text of earlier ones (more even style, but errors may carry over)
 *   "single_pass" speech: "1" never decodes a window again at a higher temperature
 *   "watch"     adds a stage name: its tensor is delivered as MM_EVENT_TENSOR ("*" for all)
 *   "decoder_prompt"  encoder-decoder models: text the answer starts with
 *   "force_ids" space-separated ids the answer starts with, after the prompt
 *   "kv_type"   "f16" "f32" "q8_0" (since 0.2): what keys and values of the timeline, and of the memory that cross-attention
 *               reads, are kept in; default: "f16", in precision "exact" "f32". "q8_0" takes about half of "f16" and rounds to
 *               8 bits in blocks of 32; MM_E_UNSUPPORTED where heads are no whole blocks, or the device is not the CPU. The
 *               new caches take the place of the old ones, which mm_session_create() had room for; what those held is
 *               computed again
 *   "truncate"  "1": a text prompt that leaves no room for an answer of max_tokens (0: of a quarter of the context; of
 *               half of it at most) loses its middle instead of failing
 *   "lookup"    generate: so many tokens (0..16; default 0) are drafted, where the last two or three tokens stand earlier in the
 *               timeline, from what followed there, and computed in one pass with the token before them. What is taken are
 *               the tokens that the sampler chooses from the model's scores in any case, so tokens, scores and random state are
 *               to the bit those without drafts, and events still come one a token; an answer that repeats itself or its
 *               prompt comes sooner. At most as many are drafted as a device computes together without a change in any bit:
 *               3 on the processor, none yet on Vulkan devices. since 0.2
 * MM_E_KEY for another key, MM_E_ARG for a bad value, MM_E_UNSUPPORTED for a task the model lacks, MM_E_STATE while an answer
 * is due or being given. [handle] since 0.1 */
MM_API mm_status mm_session_set(mm_session *session, const char *key, const char *value, mm_error *err);

/* Appends `input` to the timeline; the input may be changed or released afterwards. The heavy work happens in
 * mm_session_next(), for what is new: positions at the front of the prompt that the session's cache holds from before, as they
 * are in the next turn of a conversation, are not computed again (the stat "prefill_tokens" counts those that are). MM_E_STATE while an answer is being given, MM_E_UNSUPPORTED for a modality the model lacks, MM_E_ARG
 * for an input of another engine. A prompt that does not fit the context is MM_E_CONTEXT of the next mm_session_next().
 * [handle], of both handles, since 0.1 */
MM_API mm_status mm_session_feed(mm_session *session, const mm_input *input, mm_error *err);

/* The positions that the timeline would take if `input` (NULL: nothing) were fed, template and media included, in *positions;
 * nothing is encoded or kept. It has to stay below the stat "n_ctx", since an answer needs a position, too. Errors as
 * mm_session_feed().
 * [handle], of both handles, since 0.1 */
MM_API mm_status mm_session_count(mm_session *session, const mm_input *input, uint64_t *positions, mm_error *err);

#define MM_EVENT_TEXT 1         /* data: UTF-8 text, never half a character: one event a token, empty where a character is not
                                   complete yet, U+FFFD for bytes that are none; id -1: a rest of text without a token of its
                                   own, `value` means nothing */
#define MM_EVENT_SEGMENT 2      /* data: UTF-8 text spoken from t0 to t1 seconds; ids: its tokens */
#define MM_EVENT_LANGUAGE 3     /* data: ISO code; value: probability */
#define MM_EVENT_VECTOR 4       /* values: float32 vector of length 1; index: which text or picture of the feed; data: "text" or
                                   "image", what it is of */
#define MM_EVENT_SCORES 5       /* values: one probability for each text, for image `index` */
#define MM_EVENT_TENSOR 6       /* data: stage name; values: float32, shape dims[0..n_dims) */
#define MM_EVENT_END 7          /* data: reason: "stop" "length" (max_tokens or the context; speech: in some window)
                                   "done", and others that may come; ids: every token of the answer, forced ones too
                                   (speech: window by window, no
                                   end tokens) */

/* Never grows: it comes in arrays. */
typedef struct mm_logprob {
    int32_t id;
    float logprob;              /* natural logarithm */
} mm_logprob;

/* Everything pointed to is borrowed until the next call on the session. */
typedef struct mm_event {
    uint32_t size;              /* set by the caller; a larger one is zeroed behind what this library knows */
    uint32_t kind;              /* MM_EVENT_* */
    uint32_t index;             /* which vector, image or segment, from 0 */
    int32_t id;                 /* token id of a text event (the last one when several), else -1 */
    const char *data;           /* NUL-terminated behind len */
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

/* Runs until the next event. MM_OK: *event is filled; MM_END: nothing left. On an error the session keeps everything fed before
 * the last feed and can be fed again. MM_E_CANCELLED; MM_E_CONTEXT: the prompt does not fit; MM_E_ARG: the prompt is empty, or
 * the chat template refuses it; MM_E_LIMIT; MM_E_FORMAT, MM_E_UNSUPPORTED: the model's own files do not serve this prompt;
 * MM_E_MEDIA; MM_E_NUMERIC; MM_E_DEVICE: a device that is lost stays lost for its engine; the session can still be saved, without
 * what the device held, and goes on where it is loaded in another engine, on the same device or the processor, which computes
 * that again. [handle] since 0.1 */
MM_API mm_status mm_session_next(mm_session *session, mm_event *event, mm_error *err);

/* Ends the answer that is due or being given: the running or next mm_session_next() returns MM_E_CANCELLED soon. Without such
 * an answer nothing happens, and the next feed starts afresh; NULL is a no-op. [any], also from a signal
 * handler or a callback. since 0.1 */
MM_API void mm_session_cancel(mm_session *session);

/* Forgets the timeline, keeps the options. MM_E_STATE never for an answer that is under way: it is dropped.
 * [handle] since 0.1 */
MM_API mm_status mm_session_reset(mm_session *session, mm_error *err);

/* The timeline is a list of entries: each fed message and each answer is one; the stat "entries"
 * counts them. Keeps the first `entries` of them. The cache may hold on to what is gone: the stat "n_past" need not shrink.
 * MM_E_ARG: there are fewer; MM_E_STATE: an answer is due or being given.
 * [handle] since 0.1 */
MM_API mm_status mm_session_truncate(mm_session *session, uint64_t entries, mm_error *err);

/* A second session in *out, owned by the caller, with the same options, timeline and random state; from here on both go
 * their own ways. MM_E_STATE: an answer is being given. [handle] since 0.1 */
MM_API mm_status mm_session_fork(mm_session *session, mm_session **out, mm_error *err);

/* Takes the next `n` bytes of a snapshot. Non-zero stops the saving with MM_E_CANCELLED. */
typedef int32_t (*mm_write_fn)(void *user, const void *bytes, size_t n);

/* Saves options, timeline, media and state, compressed, for a later mm_session_load() on the same model.
 * MM_E_STATE: an answer is being given. [handle] since 0.1 */
MM_API mm_status mm_session_save(mm_session *session, mm_write_fn write, void *user, mm_error *err);
/* The same into a file of the operating system. An existing file is replaced as a whole or not at all, and keeps its
 * permissions; a symbolic link is replaced itself. MM_E_IO.
 * [handle] since 0.1 */
MM_API mm_status mm_session_save_file(mm_session *session, const char *path, mm_error *err);
/* Makes a session in *out, owned by the caller, from the bytes of a snapshot (checked like any foreign file).
 * MM_E_FORMAT: damaged; MM_E_UNSUPPORTED: saved by a newer format, on another model or with another precision; MM_E_LIMIT.
 * [any] since 0.1 */
MM_API mm_status mm_session_load(mm_model *model, const void *bytes, size_t len, mm_session **out, mm_error *err);
/* The same from a file, through the engine's files. MM_E_IO besides. [any] since 0.1 */
MM_API mm_status mm_session_load_file(mm_model *model, const char *path, mm_session **out, mm_error *err);

/* Numbers by key, of the last answer: "encode_ms" "prefill_ms" "decode_ms" "prefill_tokens" "decode_tokens" "media_cache_hits" (since
 * 0.2: pictures and windows of sound that were not encoded, see "media_cache_bytes") "draft_tokens" "draft_taken" (since 0.2: tokens
 * drafted by "lookup", and those of them that the answer has); of the session: "n_past" (positions held)
 * "n_ctx" "entries" "arena_bytes" "kv_bytes" "media_cache_bytes" (since 0.2: that the model holds) "peak_bytes" (of the engine).
 * MM_E_KEY for another key. [handle] since 0.1 */
MM_API mm_status mm_session_stat(const mm_session *session, const char *key, double *out, mm_error *err);

#ifdef __cplusplus
}
#endif

#endif
