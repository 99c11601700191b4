/* Pipelines by shader and specialisation constants. */
#include "pipeline.h"

#include "../../base/error.h"

#include <stdio.h>
#include <string.h>

static mm_status make_layouts(mm__vk_pipelines *p, mm_error *err)
{
    mm__vk_device *d = p->device;
    VkDescriptorSetLayoutBinding bindings[MM__VK_BINDINGS];
    for (uint32_t i = 0; i < MM__VK_BINDINGS; i++)
        bindings[i] = (VkDescriptorSetLayoutBinding){.binding = i, .descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, .descriptorCount = 1,
                                                     .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    const VkDescriptorSetLayoutCreateInfo set = {.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = MM__VK_BINDINGS,
                                                 .pBindings = bindings};
    mm_status s = mm__vk_check(d, d->api.CreateDescriptorSetLayout(d->device, &set, NULL, &p->set), "vkCreateDescriptorSetLayout", err);
    if (s < 0) {
        p->set = VK_NULL_HANDLE;
        return s;
    }
    const VkPushConstantRange push = {VK_SHADER_STAGE_COMPUTE_BIT, 0, MM__VK_PUSH};
    const VkPipelineLayoutCreateInfo layout = {.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &p->set,
                                               .pushConstantRangeCount = 1, .pPushConstantRanges = &push};
    s = mm__vk_check(d, d->api.CreatePipelineLayout(d->device, &layout, NULL, &p->layout), "vkCreatePipelineLayout", err);
    if (s < 0) p->layout = VK_NULL_HANDLE;
    return s;
}

mm_status mm__vk_pipelines_recall(mm__vk_pipelines *p, const void *data, size_t n, mm_error *err)
{
    mm__vk_device *d = p->device;
    const VkPipelineCacheCreateInfo info = {.sType = VK_STRUCTURE_TYPE_PIPELINE_CACHE_CREATE_INFO, .initialDataSize = n, .pInitialData = data};
    VkPipelineCache cache;
    const mm_status s = mm__vk_check(d, d->api.CreatePipelineCache(d->device, &info, NULL, &cache), "vkCreatePipelineCache", err);
    if (s < 0) return s;
    if (p->cache) {
        d->api.MergePipelineCaches(d->device, cache, 1, &p->cache); /* what fails is compiled again some day */
        d->api.DestroyPipelineCache(d->device, p->cache, NULL);
    }
    p->cache = cache;
    return MM_OK;
}

void mm__vk_pipelines_data(mm__vk_pipelines *p, mm__buf *out)
{
    mm__vk_device *d = p->device;
    size_t n = 0;
    if (d->api.GetPipelineCacheData(d->device, p->cache, &n, NULL) != VK_SUCCESS || !n) return;
    void *data = mm__alloc(d->mem, n);
    if (data && d->api.GetPipelineCacheData(d->device, p->cache, &n, data) == VK_SUCCESS) mm__buf_put(out, data, n);
    mm__free(d->mem, data);
}

mm_status mm__vk_pipelines_open(mm__vk_pipelines *p, mm__vk_device *d, mm_error *err)
{
    *p = (mm__vk_pipelines){.device = d};
    const mm_status s = make_layouts(p, err);
    return s < 0 ? s : mm__vk_pipelines_recall(p, NULL, 0, err);
}

void mm__vk_pipelines_close(mm__vk_pipelines *p)
{
    mm__vk_device *d = p->device;
    if (!d) return;
    for (int i = 0; i < MM__VK_N_SHADER; i++)
        while (p->of[i]) {
            mm__vk_pipeline *x = p->of[i];
            p->of[i] = x->next;
            if (!d->hung) d->api.DestroyPipeline(d->device, x->handle, NULL);
            mm__free(d->mem, x);
        }
    if (!d->hung) {
        if (p->cache) d->api.DestroyPipelineCache(d->device, p->cache, NULL);
        if (p->layout) d->api.DestroyPipelineLayout(d->device, p->layout, NULL);
        if (p->set) d->api.DestroyDescriptorSetLayout(d->device, p->set, NULL);
    }
    *p = (mm__vk_pipelines){0};
}

static mm_status make(mm__vk_pipelines *p, const mm__vk_shader *shader, const uint32_t spec[MM__VK_SPECS], VkPipeline *out, mm_error *err)
{
    mm__vk_device *d = p->device;
    VkSpecializationMapEntry entries[MM__VK_SPECS];
    char what[96];
    VkShaderModule module;
    for (uint32_t i = 0; i < MM__VK_SPECS; i++) entries[i] = (VkSpecializationMapEntry){i, i * (uint32_t)sizeof *spec, sizeof *spec};
    const VkSpecializationInfo values = {MM__VK_SPECS, entries, MM__VK_SPECS * sizeof *spec, spec};
    const VkShaderModuleCreateInfo code = {.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = shader->bytes, .pCode = shader->code};
    snprintf(what, sizeof what, "shader %s", shader->name);
    mm_status s = mm__vk_check(d, d->api.CreateShaderModule(d->device, &code, NULL, &module), what, err);
    if (s < 0) return s;
    const VkComputePipelineCreateInfo info = {
        .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO, .layout = p->layout,
        .stage = {.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT, .module = module, .pName = "main",
                  .pSpecializationInfo = &values}};
    s = mm__vk_check(d, d->api.CreateComputePipelines(d->device, p->cache, 1, &info, NULL, out), what, err);
    d->api.DestroyShaderModule(d->device, module, NULL);
    return s;
}

mm_status mm__vk_pipeline_get(mm__vk_pipelines *p, mm__vk_shader_id shader, const uint32_t spec[MM__VK_SPECS], VkPipeline *out, mm_error *err)
{
    mm__vk_pipeline *x = p->of[shader];
    while (x && memcmp(x->spec, spec, sizeof x->spec)) x = x->next;
    if (!x) {
        x = mm__zalloc(p->device->mem, sizeof *x);
        if (!x) return mm__nomem(err, "a pipeline");
        const mm_status s = make(p, &mm__vk_shaders[shader], spec, &x->handle, err);
        if (s < 0) {
            mm__free(p->device->mem, x);
            return s;
        }
        memcpy(x->spec, spec, sizeof x->spec);
        x->next = p->of[shader];
        p->of[shader] = x;
    }
    *out = x->handle;
    return MM_OK;
}
