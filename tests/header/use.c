/* Compiled, not run, as C and as C++: the header twice, and every function by address. */
#include <libmm_experimental.h>
#include <libmm.h>
#include <libmm_experimental.h>
#include <libmm.h>

#ifdef __cplusplus
#define BARE(f) reinterpret_cast<bare>(f)
#else
#define BARE(f) ((bare)(f))
#endif

typedef void (*bare)(void);
extern const bare libmm_functions[];
const bare libmm_functions[] = {
    BARE(mm_status_name),
    BARE(mm_status_at),
    BARE(mm_version),
    BARE(mm_build_info),
    BARE(mm_device_info),
    BARE(mm_engine_options_init),
    BARE(mm_engine_create),
    BARE(mm_engine_release),
    BARE(mm_engine_info),
    BARE(mm_model_options_init),
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
    BARE(mm_session_count),
    BARE(mm_session_next),
    BARE(mm_session_cancel),
    BARE(mm_session_reset),
    BARE(mm_session_truncate),
    BARE(mm_session_fork),
    BARE(mm_session_save),
    BARE(mm_session_save_file),
    BARE(mm_session_load),
    BARE(mm_session_load_file),
    BARE(mm_session_stat),
    BARE(mm_x_session_logits),
};
