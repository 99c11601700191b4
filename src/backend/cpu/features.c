/* What the processor and the operating system offer, by CPUID and XCR0 (Intel SDM volume 2A, CPUID leaves 1, 7, 0xD; AMD
 * APM volume 3). An instruction set counts only when the system saves its registers. Other architectures have none. */
#include "cpu.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool bit(uint32_t word, int i) { return word >> i & 1; }

unsigned mm__cpu_features(void)
{
    uint32_t a, b, c, d, a7, b7, c7, d7, a71 = 0, c1;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return MM__ISA_C; /* OSXSAVE */
    const uint64_t saved = xcr0();
    if ((saved & 0x6) != 0x6 || !__get_cpuid_count(7, 0, &a7, &b7, &c7, &d7)) return MM__ISA_C;
    if (!bit(c, 12) || !bit(c, 29) || !bit(b7, 5)) return MM__ISA_C; /* FMA, F16C, AVX2 */
    unsigned isa = MM__ISA_AVX2;
    if (a7 >= 1) __cpuid_count(7, 1, a71, b, c1, d);
    if (bit(a71, 4)) isa |= MM__ISA_AVXVNNI;
    const bool avx512 = bit(b7, 16) && bit(b7, 17) && bit(b7, 30) && bit(b7, 31) && bit(c7, 11); /* F DQ BW VL VNNI */
    if (!avx512 || (saved & 0xe6) != 0xe6) return isa;
    isa |= MM__ISA_AVX512;
    if (bit(a71, 5)) isa |= MM__ISA_AVX512BF16;
    return isa;
}

static void read_brand(char out[49])
{
    uint32_t word[12] = {0};
    if ((unsigned)__get_cpuid_max(0x80000000u, NULL) >= 0x80000004u)
        for (unsigned i = 0; i < 3; i++) __get_cpuid(0x80000002u + i, &word[4 * i], &word[4 * i + 1], &word[4 * i + 2], &word[4 * i + 3]);
    memcpy(out, word, 48);
    out[48] = 0;
    for (size_t n = strlen(out); n > 0 && out[n - 1] == ' '; n--) out[n - 1] = 0;
}

#else

unsigned mm__cpu_features(void) { return MM__ISA_C; }
static void read_brand(char out[49]) { out[0] = 0; }

#endif

void mm__cpu_brand(char out[49])
{
    read_brand(out);
    if (!out[0]) memcpy(out, "processor", sizeof "processor");
}

void mm__cpu_describe(unsigned isa, int n_threads, char *buf, size_t cap)
{
    char name[49], threads[32] = "";
    const char *tier = isa & MM__ISA_AVX512BF16 ? "avx512-bf16" : isa & MM__ISA_AVX512 ? "avx512" : isa & MM__ISA_AVXVNNI ? "avxvnni" : isa & MM__ISA_AVX2 ? "avx2" : "portable C";
    mm__cpu_brand(name);
    if (n_threads > 0) snprintf(threads, sizeof threads, ", %d thread%s", n_threads, n_threads == 1 ? "" : "s");
    snprintf(buf, cap, "cpu  %s, %s%s", name, tier, threads);
}
