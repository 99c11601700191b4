/* LINEAR alone: GFLOP/s of many rows (one weight, cache-warm) and GB/s of one row (weights of more than 0.5 GB walked in
 * turn, so memory is read), for every type and number of threads. Where OpenBLAS is installed (libopenblas0-pthread) its sgemm
 * does the same work beside F32. Usage: bench_linear [threads [type]] */
#include "../../src/backend/cpu/kern/linear/linear.h"
#include "../../src/base/pool.h"
#include "../../src/base/rng.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static mm__mem *mem;
static mm__pool *pool;
static int threads = 2;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static unsigned features(void)
{
    __builtin_cpu_init();
    unsigned isa = MM__ISA_C;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) isa |= MM__ISA_AVX2;
    if (__builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bw")) isa |= MM__ISA_AVX512;
    if (__builtin_cpu_supports("avx512bf16")) isa |= MM__ISA_AVX512BF16;
    if (getenv("ISA")) isa &= (unsigned)atoi(getenv("ISA"));
    return isa;
}

static const mm__kern *const kernels[] = {
    &mm__kern_linear_c,          &mm__kern_linear_avx2,           &mm__kern_linear_few_avx2,          &mm__kern_linear_avx512,
    &mm__kern_linear_few_avx512, &mm__kern_linear_avx512bf16, &mm__kern_linear_few_avx512bf16};

static const mm__kern *choose(unsigned isa, const mm__call *c)
{
    const mm__kern *best = NULL;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if ((kernels[i]->isa & ~isa) == 0 && (!kernels[i]->accepts || kernels[i]->accepts(c))) best = kernels[i];
    return best;
}

typedef struct job {
    const mm__call *calls;
    int n;
    const mm__kern *kern;
    void *shared, *own[64];
} job;

static void work(void *arg, int ith, int nth)
{
    const job *j = arg;
    for (int i = 0; i < j->n; i++)
        for (int phase = 0; phase < j->kern->phases; phase++) {
            const int64_t units = j->kern->units(&j->calls[i], phase);
            j->kern->run(&j->calls[i], phase, units * ith / nth, units * (ith + 1) / nth, j->shared, j->own[ith]);
            mm__pool_barrier(pool);
        }
}

/* A tensor of small random weights: raw blocks with sane scales. */
static mm__tensor weights(mm__dtype t, int64_t n, int64_t k, uint64_t *rng)
{
    const mm__dtype_info *info = mm__dtype_info_of(t);
    mm__tensor w = {.dtype = t, .shape = mm__shape2(n, k)};
    size_t bytes = 0;
    if (!mm__tensor_bytes(t, &w.shape, &bytes) || !(w.data = mm__alloc(mem, bytes))) abort();
    uint8_t *p = w.data;
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
        const uint64_t r = mm__rng_u64(1, (*rng)++);
        memcpy(p + i, &r, 8);
    }
    if (!mm__dtype_is_quant(t)) {
        for (size_t i = 0; i < bytes; i += info->bytes) {
            const float f = (float)p[i] / 256 - 0.5f;
            mm__pack_row(t, &f, p + i, 1);
        }
        return w;
    }
    const int at = t == MM__Q2_K ? 80 : t == MM__Q3_K ? 108 : t == MM__Q6_K ? 208 : 0;
    const bool two = t == MM__Q4_1 || t == MM__Q5_1 || t == MM__Q2_K || t == MM__Q4_K || t == MM__Q5_K;
    for (size_t i = 0; i < bytes; i += info->bytes)
        for (int f = 0; f <= (int)two; f++) {
            const uint16_t h = mm__f32_to_f16(0.01f);
            memcpy(p + i + at + 2 * f, &h, 2);
        }
    return w;
}

/* Seconds of the fastest of a few runs of n calls, the first of each of `copies` tensors in turn. */
static double measure(unsigned isa, bool exact, mm__dtype t, int64_t rows, int64_t n, int64_t k, int copies, size_t *bytes)
{
    uint64_t rng = 0;
    mm__tensor *w = mm__calloc(mem, (size_t)copies, sizeof *w);
    mm__call *calls = mm__calloc(mem, (size_t)copies, sizeof *calls);
    float *x = mm__alloc(mem, (size_t)(rows * k) * 4), *out = mm__alloc(mem, (size_t)(rows * n) * 4);
    if (!w || !calls || !x || !out) abort();
    for (int64_t i = 0; i < rows * k; i++) x[i] = (float)(mm__rng_u64(1, rng++) >> 40) / (1 << 24) - 0.5f;
    *bytes = 0;
    for (int i = 0; i < copies; i++) {
        w[i] = weights(t, n, k, &rng);
        mm__tensor_bytes(t, &w[i].shape, &w[i].bytes);
        if (mm__linear_pack(mem, isa, exact, &w[i], false, NULL)) abort();
        *bytes += w[i].bytes;
        mm__call *c = &calls[i];
        c->op = MM__OP_LINEAR;
        c->exact = exact;
        c->in[0] = mm__view_of(MM__F32, mm__shape2(rows, k), x);
        c->in[3] = mm__view_of(t, w[i].shape, w[i].data);
        c->packed[3] = w[i].packed;
        c->out = mm__view_of(MM__F32, mm__shape2(rows, n), out);
    }
    job j = {.calls = calls, .n = copies, .kern = choose(isa, calls)};
    j.shared = mm__alloc(mem, j.kern->shared_bytes ? j.kern->shared_bytes(calls) : 0);
    for (int i = 0; i < threads; i++) j.own[i] = mm__alloc(mem, j.kern->thread_bytes ? j.kern->thread_bytes(calls) : 0);
    double best = 1e9, begun = now();
    for (int i = 0; i < 3 || (i < 200 && now() - begun < 0.3); i++) {
        const double start = now();
        mm__pool_run(pool, work, &j, NULL, NULL);
        const double took = now() - start;
        if (took < best) best = took;
    }
    for (int i = 0; i < threads; i++) mm__free(mem, j.own[i]);
    for (int i = 0; i < copies; i++) {
        mm__linear_pack_free(mem, &w[i]);
        mm__free(mem, w[i].data);
    }
    mm__free(mem, j.shared);
    mm__free(mem, w);
    mm__free(mem, calls);
    mm__free(mem, x);
    mm__free(mem, out);
    return best;
}

typedef void (*sgemm)(int order, int ta, int tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b, int ldb,
                      float beta, float *c, int ldc);

/* sgemm with as many threads as ours has; NULL where there is none. */
static sgemm find_blas(void)
{
    void *lib = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
    void (*set_threads)(int);
    sgemm f;
    if (!lib) return NULL;
    *(void **)&set_threads = dlsym(lib, "openblas_set_num_threads");
    *(void **)&f = dlsym(lib, "cblas_sgemm");
    if (set_threads) set_threads(threads);
    return f;
}

static double measure_blas(sgemm f, int64_t rows, int64_t n, int64_t k)
{
    enum { ROW_MAJOR = 101, PLAIN = 111, TRANSPOSED = 112 };
    float *x = mm__zalloc(mem, (size_t)(rows * k) * 4), *w = mm__zalloc(mem, (size_t)(n * k) * 4), *out = mm__zalloc(mem, (size_t)(rows * n) * 4);
    double best = 1e9, begun = now();
    if (!x || !w || !out) abort();
    for (int64_t i = 0; i < rows * k; i++) x[i] = (float)(i % 17) - 8;
    for (int64_t i = 0; i < n * k; i++) w[i] = (float)(i % 13) - 6;
    for (int i = 0; i < 3 || (i < 200 && now() - begun < 0.3); i++) {
        const double start = now();
        f(ROW_MAJOR, PLAIN, TRANSPOSED, (int)rows, (int)n, (int)k, 1, x, (int)k, w, (int)k, 0, out, (int)n);
        const double took = now() - start;
        if (took < best) best = took;
    }
    mm__free(mem, x);
    mm__free(mem, w);
    mm__free(mem, out);
    return best;
}

int main(int argc, char **argv)
{
    static const mm__dtype types[] = {MM__F32,  MM__F16,  MM__BF16, MM__Q4_0, MM__Q4_1, MM__Q5_0, MM__Q5_1,
                                      MM__Q8_0, MM__Q2_K, MM__Q3_K, MM__Q4_K, MM__Q5_K, MM__Q6_K};
    static const int64_t shapes[][3] = {{512, 768, 768}, {512, 576, 1536}, {1500, 2048, 512}, {512, 4096, 4096}, {50, 768, 768}};
    if (argc > 1) threads = atoi(argv[1]);
    if (threads < 1 || threads > 64) return 2;
    mem = mm__mem_create(NULL, 0);
    if (mm__pool_create(mem, threads, &pool, NULL)) return 1;
    const unsigned isa = features();
    printf("isa %u, %d threads; GFLOP/s for T x N x K, GB/s for one row\n%-6s %-5s", isa, threads, "type", "mode");
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        printf(" %5d x%5d x%5d", (int)shapes[s][0], (int)shapes[s][1], (int)shapes[s][2]);
    printf("   GB/s T=1   T=4\n");
    const sgemm blas = argc > 2 && strcmp(argv[2], "F32") ? NULL : find_blas();
    if (blas) {
        printf("%-6s %-5s", "F32", "BLAS");
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            printf(" %19.0f", 2e-9 * (double)(shapes[s][0] * shapes[s][1] * shapes[s][2]) / measure_blas(blas, shapes[s][0], shapes[s][1], shapes[s][2]));
        printf("\n");
    }
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (int exact = 0; exact < 2; exact++) {
            const char *name = mm__dtype_info_of(types[i])->name;
            size_t bytes;
            if (argc > 2 && strcmp(argv[2], name)) continue;
            printf("%-6s %-5s", name, exact ? "exact" : "fast");
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                const int64_t t = shapes[s][0], n = shapes[s][1], k = shapes[s][2];
                printf(" %19.0f", 2e-9 * (double)(t * n * k) / measure(isa, exact, types[i], t, n, k, 1, &bytes));
                fflush(stdout);
            }
            const int copies = (int)(600e6 / (1024 * 4096 * (double)mm__dtype_info_of(types[i])->bytes / mm__dtype_info_of(types[i])->block)) + 1;
            for (int64_t t = 1; t <= 4; t += 3) {
                const double s = measure(isa, exact, types[i], t, 1024, 4096, copies, &bytes);
                printf(" %8.1f", 1e-9 * (double)bytes / s);
                fflush(stdout);
            }
            printf("\n");
        }
    mm__pool_destroy(pool);
    mm__mem_destroy(mem);
    return 0;
}
