/* Calls whose arguments are structs: Go may not hand out memory that holds pointers into its own, so the structs are
 * filled here, on the C stack. Callbacks get a number (a cgo.Handle) as `user`; 0 stands for no callback. */
#ifndef LIBMM_GO_SHIM_H
#define LIBMM_GO_SHIM_H

#include <libmm.h>

mm_status libmm_go_engine_create(const char *device, uint32_t n_threads, int32_t precision, int32_t log_level,
                                 uint64_t memory_limit, uintptr_t log, uintptr_t files, mm_engine **out, mm_error *err);
mm_status libmm_go_model_load(mm_engine *engine, const char *path, const void *bytes, size_t n_bytes, uintptr_t progress,
                              mm_model **out, mm_error *err);
mm_status libmm_go_input_image(mm_input *input, uint32_t width, uint32_t height, uint32_t stride, uint32_t format,
                               const void *pixels, mm_error *err);
mm_status libmm_go_input_audio(mm_input *input, uint32_t rate, uint32_t channels, uint32_t format, uint64_t frames,
                               const void *samples, mm_error *err);
mm_status libmm_go_session_save(mm_session *session, uintptr_t writer, mm_error *err);

#endif
