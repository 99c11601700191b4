/* Shaders and pipelines. shaders/variants.def lists the shaders: MM__VK_SHADER_<name> numbers them, and mm__vk_shaders, which
 * the build generates, holds the SPIR-V of each. A pipeline is a shader with values for its specialisation constants 0..5 (0 is
 * always the number of invocations of a workgroup); it is made when first asked for and kept.
 *
 * All shaders share one layout: storage buffers 0..7 of set 0 and 128 bytes of push constants. */
#ifndef MM__VK_PIPELINE_H
#define MM__VK_PIPELINE_H

#include "device.h"
#include "../../base/buf.h"

#define MM__VK_SPECS 6

typedef enum mm__vk_shader_id {
#define MM__VK_SHADER(name, source, definitions) MM__VK_SHADER_##name,
#include "../../../shaders/variants.def"
#undef MM__VK_SHADER
    MM__VK_N_SHADER
} mm__vk_shader_id;

typedef struct mm__vk_shader {
    const char *name;
    const uint32_t *code;      /* SPIR-V */
    size_t bytes;
} mm__vk_shader;
extern const mm__vk_shader mm__vk_shaders[MM__VK_N_SHADER];

typedef struct mm__vk_pipeline {
    struct mm__vk_pipeline *next; /* of the same shader */
    uint32_t spec[MM__VK_SPECS];
    VkPipeline handle;
} mm__vk_pipeline;

typedef struct mm__vk_pipelines {
    mm__vk_device *device;
    VkDescriptorSetLayout set;
    VkPipelineLayout layout;
    VkPipelineCache cache;
    mm__vk_pipeline *of[MM__VK_N_SHADER];
} mm__vk_pipelines;

mm_status mm__vk_pipelines_open(mm__vk_pipelines *p, mm__vk_device *d, mm_error *err);
void mm__vk_pipelines_close(mm__vk_pipelines *p);
/* These are not thread-safe: the stream's turn protects them.
 * What the driver has compiled, added to `out`; nothing where it does not tell. */
void mm__vk_pipelines_data(mm__vk_pipelines *p, mm__buf *out);
/* The driver finds n bytes of such data beside its own when it compiles from here on. */
mm_status mm__vk_pipelines_recall(mm__vk_pipelines *p, const void *data, size_t n, mm_error *err);
mm_status mm__vk_pipeline_get(mm__vk_pipelines *p, mm__vk_shader_id shader, const uint32_t spec[MM__VK_SPECS], VkPipeline *out, mm_error *err);

#endif
