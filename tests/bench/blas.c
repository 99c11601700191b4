/* OpenBLAS's sgemm where it is installed (libopenblas0-pthread), beside the F32 probe: what `build/bench_kernels "linear F32 exact"`
 * is compared with. Usage: bench_blas [TxNxK], 512x4096x4096 by default: T rows of x, weights [N, K]. */
#include "common/fill.h"
#include "common/machine.h"
#include "common/probe.h"
#include "../../src/base/os/os.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112, REPS = 10 };

typedef void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                      float beta, float *c, int ldc);

int main(int argc, char **argv)
{
    int t = 512, n = 4096, k = 4096;
    void (*set_threads)(int) = NULL;
    sgemm f = NULL;
    if (argc > 1 && (sscanf(argv[1], "%dx%dx%d", &t, &n, &k) != 3 || t < 1 || n < 1 || k < 1)) return 2;
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    if (lib) {
        *(void **)&set_threads = dlsym(lib, "openblas_set_num_threads");
        *(void **)&f = dlsym(lib, "cblas_sgemm");
    }
    if (!set_threads || !f) return puts("OpenBLAS is not installed"), 1;
    mm__mem *mem = mm__mem_create(NULL, 0);
    const size_t tk = (size_t)t * (size_t)k, nk = (size_t)n * (size_t)k;
    float *x = mm__alloc(mem, tk * 4), *w = mm__alloc(mem, nk * 4), *out = mm__alloc(mem, (size_t)t * (size_t)n * 4);
    if (!x || !w || !out) return 1;
    fill_values(x, tk);
    fill_values(w, nk);
    for (int threads = 1; threads <= mm__os_cores(); threads += threads < mm__os_cores() ? mm__os_cores() - threads : 1) {
        mm__pool *pool = NULL;
        if (mm__pool_create(mem, threads, &pool, NULL) < 0) return 1;
        const double limit = probe_run(pool, mem, mm__cpu_features(), PROBE_F32, 20, NULL);
        double best = 0;
        set_threads(threads);
        for (int i = 0; i < REPS; i++) {
            const double start = machine_clock(threads);
            f(ROW_MAJOR, PLAIN, TRANSPOSED, t, n, k, 1, x, k, w, k, 0, out, n);
            const double rate = 2.0 * t * (double)nk / (machine_clock(threads) - start);
            if (rate > best) best = rate;
        }
        printf("sgemm %dx%dx%d, %d thread%s: %.1f GFLOP/s, %.1f %% of the probe\n", t, n, k, threads, threads == 1 ? "" : "s", best * 1e-9, 100 * best / limit);
        mm__pool_destroy(pool);
    }
    mm__free(mem, x);
    mm__free(mem, w);
    mm__free(mem, out);
    mm__mem_destroy(mem);
    return 0;
}
