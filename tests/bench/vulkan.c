/* Speed of LINEAR on a device: build/bench_vulkan DEVICE TYPE T N K [CALLS [fast]], for example "vulkan:0 Q4_0 64 576 1536". A run
 * is so many calls one after the other, as a graph makes them; of one, most may be the way to the device and back. "fast" is the
 * precision, exact otherwise. Prints the time of a call by the median of nine runs, GFLOP/s, GB/s of weights read, the processor's time for a run (what counts where the processor
 * emulates the device), and the same for all up to the first result, the driver's compilation included. */
#include "../../src/backend/backend.h"
#include "../../src/base/os/os.h"
#include "../unit/backend/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static mm_status zeros(void *ctx, int64_t row, int64_t n, void *dst, mm_error *err)
{
    const mm__view *w = ctx;
    size_t bytes = 0;
    mm__dtype_row_bytes(w->dtype, mm__view_cols(w), &bytes);
    random_weights(w->dtype, dst, bytes * (size_t)n, (uint64_t)row);
    return MM_OK;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    enum { RUNS = 9 };
    mm_error err = {.size = sizeof err};
    mm__mem *mem = mm__mem_create(NULL, 0);
    mm__backend *b;
    mm__tensor *w;
    mm__arena a = {0};
    double times[RUNS], first = 0.0;
    clock_t cpu = 0;
    int type = 0;
    if (argc < 6) return 2;
    while (type < MM__N_DTYPE && strcmp(mm__dtype_info_of((mm__dtype)type)->name, argv[2])) type++;
    const int64_t t = atoll(argv[3]), n = atoll(argv[4]), k = atoll(argv[5]);
    const size_t calls = argc > 6 ? (size_t)atoll(argv[6]) : 1;
    const bool exact = argc < 8;
    if (type == MM__N_DTYPE || mm__backend_create(mem, NULL, argv[1], 0, NULL, exact, &b, &err) != MM_OK) return fprintf(stderr, "%s\n", err.text), 1;
    mm__view wv = mm__view_of((mm__dtype)type, mm__shape2(n, k), NULL);
    const mm__upload u = {.name = "w", .dtype = wv.dtype, .shape = wv.shape, .use = MM__USE_LINEAR, .read = zeros, .ctx = &wv};
    if (b->ops->upload(b, &u, &w, &err) != MM_OK || b->ops->arena_reserve(b, &a, (size_t)(t * (k + n)) * 4, &err) != MM_OK) return fprintf(stderr, "%s\n", err.text), 1;
    wv.data = w->data;
    const mm__call c = {.op = MM__OP_LINEAR, .exact = exact, .wait = true, .in = {[0] = mm__view_of(MM__F32, mm__shape2(t, k), a.data), [3] = wv},
                  .packed = {[3] = w->packed}, .out = mm__view_of(MM__F32, mm__shape2(t, n), (float *)a.data + t * k)};
    const size_t scratch_bytes = b->ops->scratch(b, &c);
    mm__call *list = mm__calloc(mem, calls, sizeof *list);
    for (size_t i = 0; list && i < calls; i++) list[i] = c;
    if (!list) return 2;
    void *scratch = strncmp(argv[1], "cpu", 3) ? NULL : mm__alloc(mem, scratch_bytes);
    for (int i = -2; i < RUNS; i++) {
        const double start = mm__os_now();
        if (i == 0) cpu = clock();
        if (b->ops->run(b, list, calls, scratch, NULL, &err) != MM_OK) return fprintf(stderr, "%s\n", err.text), 1;
        if (i >= 0) times[i] = (mm__os_now() - start) / (double)calls;
        if (i == -2) first = (double)clock() / CLOCKS_PER_SEC;
    }
    qsort(times, RUNS, sizeof *times, by_size);
    const double s = times[RUNS / 2], used = (double)(clock() - cpu) / CLOCKS_PER_SEC / (double)(RUNS * calls);
    printf("%s %s T %lld N %lld K %lld: %.3f ms, %.2f GFLOP/s, %.2f GB/s of weights; processor time %.3f ms; first run %.0f ms of it\n", argv[1], argv[2], (long long)t, (long long)n, (long long)k, s * 1e3,
           2.0 * (double)t * (double)n * (double)k / s * 1e-9, (double)w->bytes / s * 1e-9, used * 1e3, first * 1e3);
    mm__free(mem, scratch);
    mm__free(mem, list);
    b->ops->tensor_free(w);
    b->ops->arena_free(&a);
    mm__backend_destroy(b);
    mm__mem_destroy(mem);
    return 0;
}
