/* The loops of the probes. Arithmetic: CHAINS independent accumulators, enough to cover latency x ports of every processor
 * known (4 cycles x 2), operands in registers and of ordinary size, so nothing is denormal, zero or known when compiled.
 * Reading: four streams of whole vectors, xor-ed together so that no load can be left out. */
#include "probe.h"

#include "machine.h"
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHAINS 12
#define UNROLL _Pragma("GCC unroll 16")
#define L2_BYTES (256u << 10)
#define DRAM_BYTES (512u << 20)
#define DRAM_RUN (64u << 20) /* of one run; runs walk through all in turn, so nothing is in a cache when its turn comes */
#define SHORTEST 0.003       /* seconds of a run */
#define MOST_RUNS 256

/* What a loop leaves behind, so that it is computed. */
static _Thread_local volatile float sink_f; /* one a thread: all threads run a loop at once */
static _Thread_local volatile int sink_i;
static const volatile float seed_f = 0.37f;
static const volatile int seed_i = 0x01020304;

/* Each runs `rounds` rounds; the operations of a round stand beside it in the table. */
typedef void (*arithmetic)(long rounds);
/* Reads n bytes (a multiple of 1024). */
typedef void (*reading)(const unsigned char *p, size_t n);

static void f32_c(long rounds)
{
    typedef float v4 __attribute__((vector_size(16)));
    const v4 a = {seed_f, seed_f, seed_f, seed_f}, b = a + 0.1f;
    v4 acc[CHAINS];
    UNROLL for (int i = 0; i < CHAINS; i++) acc[i] = a * (float)i;
    while (rounds-- > 0) {
        UNROLL for (int i = 0; i < CHAINS; i++) {
            acc[i] = acc[i] * a + b;
            __asm__ volatile("" : "+x"(acc[i]));
        }
    }
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] += acc[i];
    sink_f = acc[0][0];
}

static void read_c(const unsigned char *p, size_t n)
{
    const uint64_t *w = (const uint64_t *)(const void *)p;
    uint64_t s[4] = {0};
    for (size_t i = 0; i < n / 8; i += 8)
        UNROLL for (size_t j = 0; j < 8; j++) s[j & 3] ^= w[i + j];
    sink_i = (int)(s[0] ^ s[1] ^ s[2] ^ s[3]);
}

#if defined(__x86_64__)
#include <immintrin.h>

/* acc[i] of every chain steps once a round; the empty assembly keeps the compiler from seeing through it. */
#define CHAIN_LOOP(type, reg, start, step)                       \
    type acc[CHAINS];                                            \
    UNROLL for (int i = 0; i < CHAINS; i++) acc[i] = (start);    \
    while (rounds-- > 0) {                                       \
        UNROLL for (int i = 0; i < CHAINS; i++) {                \
            acc[i] = step;                                       \
            __asm__ volatile("" : "+" reg(acc[i]));              \
        }                                                        \
    }

#define AVX2_TARGET __attribute__((target("avx2,fma")))
#define AVXVNNI_TARGET __attribute__((target("avx2,fma,avxvnni")))
#define AVX512_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512vnni")))
#define AVX512BF16_TARGET __attribute__((target("avx2,fma,avx512f,avx512bw,avx512vl,avx512bf16")))

AVX2_TARGET static void f32_avx2(long rounds)
{
    const __m256 a = _mm256_set1_ps(seed_f), b = _mm256_set1_ps(seed_f + 0.1f);
    CHAIN_LOOP(__m256, "x", a, _mm256_fmadd_ps(acc[i], a, b))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm256_add_ps(acc[0], acc[i]);
    sink_f = _mm256_cvtss_f32(acc[0]);
}

/* Multiply, then add: here the operand is hidden from the compiler, too, or the product would leave the loop. */
AVX2_TARGET static void int16_avx2(long rounds)
{
    __m256i a = _mm256_set1_epi32(seed_i);
    const __m256i b = _mm256_set1_epi32(seed_i + 1);
    CHAIN_LOOP(__m256i, "x", b, _mm256_add_epi32(acc[i], _mm256_madd_epi16(a, b)); __asm__ volatile("" : "+x"(a)))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm256_xor_si256(acc[0], acc[i]);
    sink_i = _mm256_cvtsi256_si32(acc[0]);
}

AVX2_TARGET static void int8_avx2(long rounds)
{
    __m256i a = _mm256_set1_epi32(seed_i);
    const __m256i b = _mm256_set1_epi32(seed_i + 1), one = _mm256_set1_epi16(1);
    CHAIN_LOOP(__m256i, "x", b, _mm256_add_epi32(acc[i], _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), one)); __asm__ volatile("" : "+x"(a)))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm256_xor_si256(acc[0], acc[i]);
    sink_i = _mm256_cvtsi256_si32(acc[0]);
}

AVXVNNI_TARGET static void int8_avxvnni(long rounds)
{
    const __m256i a = _mm256_set1_epi32(seed_i), b = _mm256_set1_epi32(seed_i + 1);
    CHAIN_LOOP(__m256i, "x", a, _mm256_dpbusd_avx_epi32(acc[i], a, b))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm256_xor_si256(acc[0], acc[i]);
    sink_i = _mm256_cvtsi256_si32(acc[0]);
}

AVX2_TARGET static void read_avx2(const unsigned char *p, size_t n)
{
    __m256i s[4];
    UNROLL for (int j = 0; j < 4; j++) s[j] = _mm256_setzero_si256();
    for (size_t i = 0; i < n; i += 256)
        UNROLL for (size_t j = 0; j < 8; j++) s[j & 3] = _mm256_xor_si256(s[j & 3], _mm256_load_si256((const __m256i *)(const void *)(p + i + 32 * j)));
    s[0] = _mm256_xor_si256(_mm256_xor_si256(s[0], s[1]), _mm256_xor_si256(s[2], s[3]));
    sink_i = _mm256_cvtsi256_si32(s[0]);
}

AVX512_TARGET static void f32_avx512(long rounds)
{
    const __m512 a = _mm512_set1_ps(seed_f), b = _mm512_set1_ps(seed_f + 0.1f);
    CHAIN_LOOP(__m512, "v", a, _mm512_fmadd_ps(acc[i], a, b))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm512_add_ps(acc[0], acc[i]);
    sink_f = _mm512_cvtss_f32(acc[0]);
}

AVX512_TARGET static void int16_avx512(long rounds)
{
    const __m512i a = _mm512_set1_epi32(seed_i), b = _mm512_set1_epi32(seed_i + 1);
    CHAIN_LOOP(__m512i, "v", a, _mm512_dpwssd_epi32(acc[i], a, b))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm512_xor_si512(acc[0], acc[i]);
    sink_i = _mm512_cvtsi512_si32(acc[0]);
}

AVX512_TARGET static void int8_avx512(long rounds)
{
    const __m512i a = _mm512_set1_epi32(seed_i), b = _mm512_set1_epi32(seed_i + 1);
    CHAIN_LOOP(__m512i, "v", a, _mm512_dpbusd_epi32(acc[i], a, b))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm512_xor_si512(acc[0], acc[i]);
    sink_i = _mm512_cvtsi512_si32(acc[0]);
}

AVX512_TARGET static void read_avx512(const unsigned char *p, size_t n)
{
    __m512i s[4];
    UNROLL for (int j = 0; j < 4; j++) s[j] = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 512)
        UNROLL for (size_t j = 0; j < 8; j++) s[j & 3] = _mm512_xor_si512(s[j & 3], _mm512_load_si512(p + i + 64 * j));
    s[0] = _mm512_xor_si512(_mm512_xor_si512(s[0], s[1]), _mm512_xor_si512(s[2], s[3]));
    sink_i = _mm512_cvtsi512_si32(s[0]);
}

AVX512BF16_TARGET static void bf16_avx512(long rounds)
{
    const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(seed_f), _mm512_set1_ps(seed_f)), b = a;
    CHAIN_LOOP(__m512, "v", _mm512_set1_ps(seed_f), _mm512_dpbf16_ps(acc[i], a, b))
    UNROLL for (int i = 1; i < CHAINS; i++) acc[0] = _mm512_add_ps(acc[0], acc[i]);
    sink_f = _mm512_cvtss_f32(acc[0]);
}
#endif

/* The loops by probe and rising instruction set; the last one that a processor has is taken. */
static const struct loop {
    probe kind;
    unsigned isa;
    arithmetic compute;
    reading read;
    int ops; /* of one step of one chain */
} loops[] = {
    {PROBE_F32, MM__ISA_C, f32_c, NULL, 8},
    {PROBE_L2, MM__ISA_C, NULL, read_c, 0},
    {PROBE_DRAM, MM__ISA_C, NULL, read_c, 0},
#if defined(__x86_64__)
    {PROBE_F32, MM__ISA_AVX2, f32_avx2, NULL, 16},
    {PROBE_INT16, MM__ISA_AVX2, int16_avx2, NULL, 32},
    {PROBE_INT8, MM__ISA_AVX2, int8_avx2, NULL, 64},
    {PROBE_INT8, MM__ISA_AVXVNNI, int8_avxvnni, NULL, 64},
    {PROBE_L2, MM__ISA_AVX2, NULL, read_avx2, 0},
    {PROBE_DRAM, MM__ISA_AVX2, NULL, read_avx2, 0},
    {PROBE_F32, MM__ISA_AVX512, f32_avx512, NULL, 32},
    {PROBE_INT16, MM__ISA_AVX512, int16_avx512, NULL, 64},
    {PROBE_INT8, MM__ISA_AVX512, int8_avx512, NULL, 128},
    {PROBE_L2, MM__ISA_AVX512, NULL, read_avx512, 0},
    {PROBE_DRAM, MM__ISA_AVX512, NULL, read_avx512, 0},
    {PROBE_BF16, MM__ISA_AVX512BF16, bf16_avx512, NULL, 64},
#endif
};

static const char *const names[PROBES] = {"F32 FMA", "BF16 dot", "INT16 dot", "INT8 dot", "L2 read", "DRAM read"};

const char *probe_name(probe p) { return names[p]; }
const char *probe_unit(probe p) { return p <= PROBE_BF16 ? "GFLOP/s" : p <= PROBE_INT8 ? "GOP/s" : "GB/s"; }

static const struct loop *best_loop(unsigned isa, probe p)
{
    const struct loop *best = NULL;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++)
        if (loops[i].kind == p && (loops[i].isa & ~isa) == 0) best = &loops[i];
    return best;
}

typedef struct job {
    const struct loop *loop;
    long rounds;                /* arithmetic: of every thread; reading from L2: passes of every thread */
    const unsigned char *bytes; /* reading: DRAM_RUN, dealt to the threads, or L2_BYTES for each of them */
} job;

static void work(void *arg, int ith, int nth)
{
    const job *j = arg;
    if (j->loop->compute) {
        j->loop->compute(j->rounds);
    } else if (j->loop->kind == PROBE_L2) {
        for (long i = 0; i < j->rounds; i++) j->loop->read(j->bytes + (size_t)ith * L2_BYTES, L2_BYTES);
    } else {
        const size_t kib = DRAM_RUN >> 10, from = kib * (size_t)ith / (size_t)nth, to = kib * (size_t)(ith + 1) / (size_t)nth;
        j->loop->read(j->bytes + (from << 10), (to - from) << 10);
    }
}

/* Units done by one run of all threads. */
static double units(const job *j, int threads)
{
    if (j->loop->compute) return (double)j->rounds * CHAINS * j->loop->ops * threads;
    return j->loop->kind == PROBE_L2 ? (double)j->rounds * L2_BYTES * threads : DRAM_RUN;
}

static double seconds(mm__pool *pool, job *j)
{
    const int threads = mm__pool_size(pool);
    const double start = machine_clock(threads);
    mm__pool_run(pool, work, j, NULL, NULL);
    return machine_clock(threads) - start;
}

static double fastest(mm__pool *pool, job *j, int reps)
{
    double best = seconds(pool, j);
    for (int i = 1; i < reps; i++) {
        const double s = seconds(pool, j);
        if (s < best) best = s;
    }
    return best;
}

static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

/* Touched memory in huge pages where the system has them, so that the figure is that of memory and not of page tables. */
static unsigned char *touched(mm__mem *mem, size_t n)
{
    unsigned char *p = mm__alloc(mem, n);
    const uintptr_t page = 4096, from = ((uintptr_t)p + page - 1) & ~(page - 1);
    if (!p) return NULL;
    (void)madvise((void *)from, (n - (from - (uintptr_t)p)) & ~(page - 1), MADV_HUGEPAGE);
    memset(p, 0x5a, n);
    return p;
}

double probe_run(mm__pool *pool, mm__mem *mem, unsigned isa, probe p, int reps, double *median)
{
    double rate[MOST_RUNS];
    const int threads = mm__pool_size(pool);
    job j = {.loop = best_loop(isa, p), .rounds = 1};
    unsigned char *bytes = NULL;
    if (median) *median = 0;
    if (!j.loop) return 0;
    if (j.loop->read) {
        j.bytes = bytes = touched(mem, p == PROBE_DRAM ? DRAM_BYTES : (size_t)threads * L2_BYTES);
        if (!bytes) return 0;
    }
    if (reps > MOST_RUNS) reps = MOST_RUNS;
    while (p != PROBE_DRAM && fastest(pool, &j, 5) < SHORTEST) j.rounds *= 2;
    for (int i = 0; i < reps; i++) {
        if (p == PROBE_DRAM) j.bytes = bytes + (size_t)i * DRAM_RUN % DRAM_BYTES;
        rate[i] = units(&j, threads) / seconds(pool, &j);
    }
    mm__free(mem, bytes);
    qsort(rate, (size_t)reps, sizeof *rate, by_value);
    if (median) *median = rate[reps / 2];
    return rate[reps - 1];
}
