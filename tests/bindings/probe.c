/* probe: prints what this compiler makes of libmm.h as one JSON object: {"constants":{name:value},"structs":{name:{"size":n,
 * "fields":{name:[offset,size]}}}}. The bindings compare their own declarations with it; tests/bindings/python/test_parity.py
 * sees to it that nothing of the header is missing here. */
#include <libmm.h>

#include <stdio.h>

static const char *sep = "";

static void constant(const char *name, long long value)
{
    printf("%s\"%s\":%lld", sep, name, value);
    sep = ",\n";
}

static void open_struct(const char *name, size_t size)
{
    printf("%s\"%s\":{\"size\":%zu,\"fields\":{", sep, name, size);
    sep = "";
}

static void field(const char *name, size_t offset, size_t size)
{
    printf("%s\"%s\":[%zu,%zu]", sep, name, offset, size);
    sep = ",";
}

static void close_struct(void)
{
    fputs("}}", stdout);
    sep = ",\n";
}

#define C(name) constant(#name, name);
#define S(type) open_struct(#type, sizeof(type));
#define F(type, name) field(#name, offsetof(type, name), sizeof(((type *)0)->name));
#define E() close_struct();

int main(void)
{
    fputs("{\"constants\":{\n", stdout);
    C(MM_VERSION_MAJOR) C(MM_VERSION_MINOR) C(MM_VERSION_PATCH) C(MM_VERSION) C(MM_OK) C(MM_END) C(MM_E_ARG)
    C(MM_E_STATE) C(MM_E_SPACE) C(MM_E_KEY) C(MM_E_NOMEM) C(MM_E_LIMIT) C(MM_E_INTERNAL) C(MM_E_IO) C(MM_E_FORMAT)
    C(MM_E_UNSUPPORTED) C(MM_E_MEDIA) C(MM_E_DEVICE) C(MM_E_CANCELLED) C(MM_E_CONTEXT) C(MM_E_NUMERIC)
    C(MM_LOG_ERROR) C(MM_LOG_WARN) C(MM_LOG_INFO) C(MM_LOG_DEBUG) C(MM_FILE_NONE) C(MM_FILE_REGULAR)
    C(MM_FILE_DIRECTORY) C(MM_PRECISION_FAST) C(MM_PRECISION_EXACT) C(MM_TOKENIZE_AROUND) C(MM_TOKENIZE_SPECIAL)
    C(MM_PIXELS_RGB) C(MM_PIXELS_RGBA) C(MM_PIXELS_BGR) C(MM_PIXELS_GREY) C(MM_SAMPLES_F32) C(MM_SAMPLES_I16)
    C(MM_SESSION_RAW) C(MM_SESSION_IGNORE_EOS) C(MM_SESSION_LOGPROBS) C(MM_EVENT_TEXT) C(MM_EVENT_SEGMENT)
    C(MM_EVENT_LANGUAGE) C(MM_EVENT_VECTOR) C(MM_EVENT_SCORES) C(MM_EVENT_TENSOR) C(MM_EVENT_END)
    fputs("\n},\"structs\":{\n", stdout);
    sep = "";
    S(mm_error) F(mm_error, size) F(mm_error, code) F(mm_error, os_code) F(mm_error, reserved) F(mm_error, text) E()
    S(mm_allocator) F(mm_allocator, size) F(mm_allocator, reserved) F(mm_allocator, user) F(mm_allocator, alloc)
        F(mm_allocator, release) E()
    S(mm_files) F(mm_files, size) F(mm_files, reserved) F(mm_files, user) F(mm_files, kind) F(mm_files, open)
        F(mm_files, read) F(mm_files, close) F(mm_files, list) E()
    S(mm_executor) F(mm_executor, size) F(mm_executor, n_threads) F(mm_executor, user) F(mm_executor, run) E()
    S(mm_engine_options) F(mm_engine_options, size) F(mm_engine_options, n_threads) F(mm_engine_options, allocator)
        F(mm_engine_options, log) F(mm_engine_options, log_user) F(mm_engine_options, device)
        F(mm_engine_options, precision) F(mm_engine_options, log_level) F(mm_engine_options, memory_limit)
        F(mm_engine_options, files) F(mm_engine_options, executor) E()
    S(mm_model_options) F(mm_model_options, size) F(mm_model_options, reserved) F(mm_model_options, progress)
        F(mm_model_options, progress_user) F(mm_model_options, bytes) F(mm_model_options, n_bytes) E()
    S(mm_image) F(mm_image, size) F(mm_image, width) F(mm_image, height) F(mm_image, stride) F(mm_image, format)
        F(mm_image, reserved) F(mm_image, pixels) E()
    S(mm_audio) F(mm_audio, size) F(mm_audio, rate) F(mm_audio, channels) F(mm_audio, format) F(mm_audio, frames)
        F(mm_audio, samples) E()
    S(mm_session_options) F(mm_session_options, size) F(mm_session_options, n_ctx) F(mm_session_options, max_tokens)
        F(mm_session_options, top_k) F(mm_session_options, seed) F(mm_session_options, temperature)
        F(mm_session_options, top_p) F(mm_session_options, min_p) F(mm_session_options, repeat_penalty)
        F(mm_session_options, top_logprobs) F(mm_session_options, flags) E()
    S(mm_logprob) F(mm_logprob, id) F(mm_logprob, logprob) E()
    S(mm_event) F(mm_event, size) F(mm_event, kind) F(mm_event, index) F(mm_event, id) F(mm_event, data)
        F(mm_event, len) F(mm_event, values) F(mm_event, n_values) F(mm_event, ids) F(mm_event, n_ids)
        F(mm_event, top) F(mm_event, n_top) F(mm_event, t0) F(mm_event, t1) F(mm_event, value) F(mm_event, dims)
        F(mm_event, n_dims) F(mm_event, prompt_tokens) E()
    fputs("\n}}\n", stdout);
    return 0;
}
