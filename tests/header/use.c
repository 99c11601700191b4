/* Compiled, not run, as C and as C++: the header twice, every function by address, and the layout that programs built
 * against this epoch rely on. */
#include <libmm.h>
#include <libmm.h>

#ifdef __cplusplus
#define BARE(f) reinterpret_cast<bare>(f)
#else
#define BARE(f) ((bare)(f))
#endif

typedef void (*bare)(void);
#define SAME(name, condition) typedef char name[(condition) ? 1 : -1]

SAME(error_size, sizeof(mm_error) == 512);
SAME(event_size_first, offsetof(mm_event, size) == 0);
SAME(session_size_first, offsetof(mm_session_options, size) == 0);
SAME(engine_size_first, offsetof(mm_engine_options, size) == 0);
SAME(image_size_first, offsetof(mm_image, size) == 0);
SAME(audio_size_first, offsetof(mm_audio, size) == 0);
SAME(allocator_size_first, offsetof(mm_allocator, size) == 0);
SAME(status_size, sizeof(mm_status) == 4);
#if UINTPTR_MAX == 0xffffffffffffffffu
SAME(engine_size, sizeof(mm_engine_options) == 56);
SAME(session_size, sizeof(mm_session_options) == 48);
SAME(image_size, sizeof(mm_image) == 32);
SAME(audio_size, sizeof(mm_audio) == 32);
SAME(allocator_size, sizeof(mm_allocator) == 32);
SAME(event_values, offsetof(mm_event, values) == 32);
SAME(event_t0, offsetof(mm_event, t0) == 80);
SAME(event_size, sizeof(mm_event) == 144);
#endif

extern const bare libmm_functions[];
const bare libmm_functions[] = {
    BARE(mm_status_name),
    BARE(mm_version),
    BARE(mm_device_info),
    BARE(mm_engine_options_init),
    BARE(mm_engine_create),
    BARE(mm_engine_release),
    BARE(mm_model_load),
    BARE(mm_model_release),
    BARE(mm_model_info),
    BARE(mm_model_tokenize),
    BARE(mm_model_detokenize),
    BARE(mm_model_apply_template),
    BARE(mm_input_create),
    BARE(mm_input_release),
    BARE(mm_input_clear),
    BARE(mm_input_text),
    BARE(mm_input_image),
    BARE(mm_input_image_file),
    BARE(mm_input_image_encoded),
    BARE(mm_input_audio),
    BARE(mm_input_audio_file),
    BARE(mm_input_audio_encoded),
    BARE(mm_input_role),
    BARE(mm_input_messages),
    BARE(mm_input_tokens),
    BARE(mm_session_options_init),
    BARE(mm_session_create),
    BARE(mm_session_release),
    BARE(mm_session_set),
    BARE(mm_session_feed),
    BARE(mm_session_next),
    BARE(mm_session_cancel),
    BARE(mm_session_reset),
    BARE(mm_session_stat),
};
