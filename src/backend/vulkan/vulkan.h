/* The Vulkan backend as the backend room's list and the tests see it. No type of Vulkan appears here, so a build without
 * its headers compiles absent.c in place of this folder. */
#ifndef MM__VULKAN_VULKAN_H
#define MM__VULKAN_VULKAN_H

#include "../backend.h"

/* What shaders use only where the device reports it, and nothing needs. */
#define MM__VULKAN_SUBGROUPS 1u /* sums over a subgroup */
#define MM__VULKAN_F16 2u       /* F16 as a type to compute with */
#define MM__VULKAN_MATRIX 4u    /* matrices of F16 that a subgroup multiplies */
#define MM__VULKAN_DOT 16u      /* sums of four products of bytes, beside sums over a subgroup */
#define MM__VULKAN_WIDE 8u      /* room for wide tiles: workgroups of 256 and 32 KiB of shared memory */

/* What tests change; zeros: the device's own limits. */
typedef struct mm__vulkan_options {
    void (*(*get_proc)(void *, const char *))(void); /* vkGetInstanceProcAddr of a test, in place of libvulkan's */
    uint64_t binding_bytes;   /* as if the device's maxStorageBufferRange were this */
    uint64_t block_bytes;     /* memory taken from the driver at once */
    double submit_work;       /* most work in one submission, in multiply-adds; 1: one dispatch each */
    double wait_seconds;      /* after which a device that does not answer counts as lost */
    uint32_t shared_bytes;    /* as if the device's workgroups shared no more memory than this */
    uint32_t busy;            /* as if so many workgroups kept the device at work */
    uint32_t parts;           /* into which ATTENTION cuts keys, and LINEAR the rows of one vector; 0: by size */
    unsigned without, with;   /* MM__VULKAN_*: as if not reported; used wherever there is a shader for it */
    bool staged;              /* copy through a staging buffer even where the host can see the device's memory */
} mm__vulkan_options;

/* What shaders are written in, for the list of instruction sets; NULL in a build without Vulkan. */
const char *mm__vulkan_isa(void);
/* Describes the index-th Vulkan device; false past the last, and where there is no Vulkan. */
bool mm__vulkan_device(uint32_t index, mm__device *out);
/* `name`: what follows "vulkan" in the device's name, "" or ":N". `host` runs the calls that the device cannot; it is owned
 * by the new backend on success. `options` may be NULL. MM_E_DEVICE: no such device, or it lacks what is needed. */
mm_status mm__vulkan_create(mm__mem *mem, const mm__log *log, const char *name, mm__backend *host, bool exact,
                            const mm__vulkan_options *options, mm__backend **out, mm_error *err);

#endif
