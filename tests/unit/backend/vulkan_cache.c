/* The cache of a Vulkan device: verdicts and the driver's own data come back in the next engine; a file with any byte changed or
 * missing, or of another precision, is no cache; it is written only when there is news, as a whole, and a folder that goes away
 * is told and hinders nothing. The driver's data are made up by functions that stand before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../../src/backend/cpu/cpu.h"
#include "../../../src/backend/vulkan/fallback.h"
#include "driver.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a driver that tells what it compiled ---- */

static struct {
    const char *tells;                /* its data; NULL: it has none */
    char given[64];                   /* data it got last, as a text */
    bool refuses;                     /* what it is given */
} shim;

static VKAPI_ATTR VkResult VKAPI_CALL create_cache(VkDevice d, const VkPipelineCacheCreateInfo *info, const VkAllocationCallbacks *a, VkPipelineCache *out);
static VKAPI_ATTR VkResult VKAPI_CALL cache_data(VkDevice d, VkPipelineCache c, size_t *n, void *data);
static stand_in replaced[] = {{.name = "vkCreatePipelineCache", .ours = (PFN_vkVoidFunction)create_cache},
                            {.name = "vkGetPipelineCacheData", .ours = (PFN_vkVoidFunction)cache_data}, {0}};

static VKAPI_ATTR VkResult VKAPI_CALL create_cache(VkDevice d, const VkPipelineCacheCreateInfo *info, const VkAllocationCallbacks *a, VkPipelineCache *out)
{
    VkPipelineCacheCreateInfo bare = *info;
    if (info->initialDataSize) snprintf(shim.given, sizeof shim.given, "%.*s", (int)info->initialDataSize, (const char *)info->pInitialData);
    if (info->initialDataSize && shim.refuses) return VK_ERROR_OUT_OF_HOST_MEMORY;
    bare.initialDataSize = 0;
    return ((PFN_vkCreatePipelineCache)replaced[0].real)(d, &bare, a, out);
}

static VKAPI_ATTR VkResult VKAPI_CALL cache_data(VkDevice d, VkPipelineCache c, size_t *n, void *data)
{
    if (!data) *n = shim.tells ? strlen(shim.tells) : 0;
    else memcpy(data, shim.tells, *n);
    return VK_SUCCESS;
}

/* ---- helpers ---- */

static char folder[64], file[512];

static mm__backend *open_with(bool exact, const char *where)
{
    const mm__vulkan_options o = {.get_proc = get_proc};
    const mm__log log = {.fn = keep_line, .level = MM_LOG_INFO};
    mm__backend *cpu, *b;
    mm_error err = {.size = sizeof err};
    stand_ins = replaced;
    logged[0] = shim.given[0] = 0;
    assert_int_equal(mm__cpu_create(mem, NULL, NULL, 1, NULL, exact, &cpu, &err), MM_OK);
    if (mm__vulkan_create(mem, &log, ":0", cpu, exact, &o, &b, &err) != MM_OK) fail_msg("%s", err.text);
    if (where && b->ops->set(b, "device_cache", where, &err) != MM_OK) fail_msg("%s", err.text);
    return b;
}

static const mm__vk_family mul = {MM__OP_MUL, MM__F32, MM__VK_ONE, 0};

static mm__vk_proof *proof(mm__backend *b) { return mm__vk_proof_of((mm__vulkan *)b, &mul); }

/* Pretends that the self-test of MUL failed: a good driver would not find that again. */
static void spoil(mm__backend *b)
{
    proof(b)->error = 0.5;
    atomic_store(&proof(b)->verdict, MM__VK_WRONG);
}

/* Number of files, the last one's path in `file`. */
static int list(void)
{
    int n = 0;
    DIR *d = opendir(folder);
    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d));) {
        if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.')) continue;
        snprintf(file, sizeof file, "%s/%s", folder, e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

static void empty_folder(void)
{
    while (list()) assert_int_equal(unlink(file), 0);
}

static size_t load(unsigned char *to, size_t cap)
{
    assert_int_equal(list(), 1);
    FILE *f = fopen(file, "rb");
    assert_non_null(f);
    const size_t n = fread(to, 1, cap, f);
    fclose(f);
    assert_true(n > 0 && n < cap);
    return n;
}

static void store(const unsigned char *from, size_t n)
{
    FILE *f = fopen(file, "wb");
    assert_non_null(f);
    assert_true(fwrite(from, 1, n, f) == n);
    assert_int_equal(fclose(f), 0);
}

static long inode(void)
{
    struct stat s;
    assert_int_equal(list(), 1);
    assert_int_equal(stat(file, &s), 0);
    return (long)s.st_ino;
}

/* A file with one verdict and data of the driver. */
static void make_file(void)
{
    empty_folder();
    shim.tells = "compiled by a driver";
    mm__backend *b = open_with(true, folder);
    spoil(b);
    mm__backend_destroy(b);
    assert_int_equal(list(), 1);
}

/* ---- tests ---- */

static void what_was_learnt_comes_back(void **state)
{
    if (!driver) return;
    make_file();
    const long before = inode();
    mm__backend *b = open_with(true, folder);
    assert_int_equal(atomic_load(&proof(b)->verdict), MM__VK_WRONG);
    assert_true(proof(b)->error == 0.5);
    assert_non_null(strstr(logged, "MUL differed on "));
    assert_string_equal(shim.given, "compiled by a driver");
    mm__backend_destroy(b);
    assert_int_equal(inode(), before); /* there was no news */
    b = open_with(true, folder);
    shim.tells = "more";
    assert_int_equal(b->ops->set(b, "device_cache", folder, NULL), MM_OK); /* written at once */
    assert_int_not_equal(inode(), before);
    mm__backend_destroy(b);
    b = open_with(true, folder);
    assert_string_equal(shim.given, "more");
    mm__backend_destroy(b);
    b = open_with(false, folder); /* another precision, another cache */
    assert_int_equal(atomic_load(&proof(b)->verdict), MM__VK_UNTRIED);
    assert_string_equal(shim.given, "");
    mm__backend_destroy(b);
    assert_int_equal(list(), 2);
}

/* What self-tests find goes in, be it by one call. */
static void verdicts_are_kept(void **state)
{
    mm__proof p;
    if (!driver) return;
    empty_folder();
    shim.tells = NULL;
    mm__backend *b = open_with(true, folder);
    for (unsigned i = 0; b->ops->prove(b, i, &p, NULL) == MM_OK && strcmp(p.name, "MUL") != 0; i++) {}
    assert_string_equal(p.verdict, "right");
    mm__backend_destroy(b);
    b = open_with(true, folder);
    assert_int_equal(atomic_load(&proof(b)->verdict), MM__VK_RIGHT);
    assert_string_equal(logged, "");
    mm__backend_destroy(b);
}

static void expect_none(mm__backend *b)
{
    shim.given[0] = 0;
    assert_int_equal(b->ops->set(b, "device_cache", folder, NULL), MM_OK);
    assert_int_equal(atomic_load(&proof(b)->verdict), MM__VK_UNTRIED);
    assert_string_equal(shim.given, "");
    assert_int_equal(b->ops->set(b, "device_cache", "", NULL), MM_OK);
}

static void damaged_files_are_none(void **state)
{
    unsigned char good[4096], bad[4096];
    if (!driver) return;
    make_file();
    const size_t n = load(good, sizeof good);
    shim.tells = NULL;
    mm__backend *b = open_with(true, NULL);
    for (size_t i = 0; i < n; i++) {
        memcpy(bad, good, n);
        bad[i] ^= 1u << i % 8;
        store(bad, n);
        expect_none(b);
        store(good, i);
        expect_none(b);
    }
    assert_non_null(strstr(logged, "is damaged"));
    memcpy(bad, good, n);
    bad[n] = 0;
    store(bad, n + 1);
    expect_none(b);
    assert_int_equal(unlink(file), 0); /* none, and a folder of its name */
    expect_none(b);
    assert_int_equal(mkdir(file, 0700), 0);
    expect_none(b);
    assert_int_equal(rmdir(file), 0);
    mm__backend_destroy(b);
}

static void drivers_may_refuse_their_data(void **state)
{
    if (!driver) return;
    make_file();
    shim.refuses = true;
    mm__backend *b = open_with(true, folder);
    assert_string_equal(shim.given, "compiled by a driver");
    assert_int_equal(atomic_load(&proof(b)->verdict), MM__VK_WRONG);
    shim.refuses = false;
    mm__backend_destroy(b);
}

static void folders_may_go(void **state)
{
    mm_error err = {.size = sizeof err};
    if (!driver) return;
    make_file();
    mm__backend *b = open_with(true, folder);
    shim.tells = "news";
    assert_int_equal(b->ops->set(b, "device_cache", file, &err), MM_E_IO);
    assert_non_null(strstr(err.text, "no folder"));
    empty_folder();
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(b->ops->set(b, "device_cache", folder, &err), MM_E_IO);
    logged[0] = 0;
    mm__backend_destroy(b);
    assert_non_null(strstr(logged, "is not kept: "));
    assert_int_equal(mkdir(folder, 0700), 0);
}

static int open_folder(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/libmm-cache-XXXXXX");
    return mkdtemp(folder) ? open_driver(state) : -1;
}

static int close_folder(void **state)
{
    empty_folder();
    return rmdir(folder) == 0 ? close_driver(state) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_learnt_comes_back),     cmocka_unit_test(verdicts_are_kept), cmocka_unit_test(damaged_files_are_none),
        cmocka_unit_test(drivers_may_refuse_their_data), cmocka_unit_test(folders_may_go),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
