#include "shim.h"

#include "_cgo_export.h"

static void log_line(void *user, int32_t level, const char *area, const char *line)
{
    libmmGoLog((uintptr_t)user, level, (char *)area, (char *)line);
}

static int32_t progress_step(void *user, const char *stage, uint64_t done, uint64_t total)
{
    return libmmGoProgress((uintptr_t)user, (char *)stage, done, total);
}

static int32_t write_bytes(void *user, const void *bytes, size_t n)
{
    return libmmGoWrite((uintptr_t)user, (void *)bytes, n);
}

static int32_t file_kind(void *user, const char *path)
{
    return libmmGoFileKind((uintptr_t)user, (char *)path);
}

static mm_status file_open(void *user, const char *path, void **file, uint64_t *bytes)
{
    uintptr_t handle = 0;
    const mm_status st = libmmGoFileOpen((uintptr_t)user, (char *)path, &handle, bytes);
    *file = (void *)handle;
    return st;
}

static mm_status file_read(void *user, void *file, uint64_t offset, void *dst, size_t n)
{
    (void)user;
    return libmmGoFileRead((uintptr_t)file, offset, dst, n);
}

static void file_close(void *user, void *file)
{
    (void)user;
    libmmGoFileClose((uintptr_t)file);
}

static mm_status file_list(void *user, const char *directory, uint32_t index, char *name, size_t cap)
{
    return libmmGoFileList((uintptr_t)user, (char *)directory, index, name, cap);
}

mm_status libmm_go_engine_create(const char *device, uint32_t n_threads, int32_t precision, int32_t log_level,
                                 uint64_t memory_limit, uintptr_t log, uintptr_t files, mm_engine **out, mm_error *err)
{
    const mm_files table = {.size = sizeof table, .user = (void *)files, .kind = file_kind, .open = file_open,
                            .read = file_read, .close = file_close, .list = file_list};
    mm_engine_options o;
    mm_engine_options_init(&o, sizeof o);
    o.device = device;
    o.n_threads = n_threads;
    o.precision = precision;
    o.log_level = log_level;
    o.memory_limit = memory_limit;
    if (log) {
        o.log = log_line;
        o.log_user = (void *)log;
    }
    if (files) o.files = &table;
    return mm_engine_create(&o, out, err);
}

mm_status libmm_go_model_load(mm_engine *engine, const char *path, const void *bytes, size_t n_bytes, uintptr_t progress,
                              mm_model **out, mm_error *err)
{
    mm_model_options o;
    mm_model_options_init(&o, sizeof o);
    o.bytes = bytes;
    o.n_bytes = n_bytes;
    if (progress) {
        o.progress = progress_step;
        o.progress_user = (void *)progress;
    }
    return mm_model_load(engine, path, &o, out, err);
}

mm_status libmm_go_input_image(mm_input *input, uint32_t width, uint32_t height, uint32_t stride, uint32_t format,
                               const void *pixels, mm_error *err)
{
    const mm_image image = {.size = sizeof image, .width = width, .height = height, .stride = stride, .format = format,
                            .pixels = pixels};
    return mm_input_image(input, &image, err);
}

mm_status libmm_go_input_audio(mm_input *input, uint32_t rate, uint32_t channels, uint32_t format, uint64_t frames,
                               const void *samples, mm_error *err)
{
    const mm_audio audio = {.size = sizeof audio, .rate = rate, .channels = channels, .format = format, .frames = frames,
                            .samples = samples};
    return mm_input_audio(input, &audio, err);
}

mm_status libmm_go_session_save(mm_session *session, uintptr_t writer, mm_error *err)
{
    return mm_session_save(session, write_bytes, (void *)writer, err);
}
