/* The roofline probes of this machine, on one thread and on all, for each instruction set it has. Usage: bench_probe
 * [threads [repetitions]]; "best (median)" of the repetitions. Load and stolen time say how much the figures are worth. */
#include "common/machine.h"
#include "common/probe.h"
#include "../../src/base/os/os.h"
#include <stdio.h>
#include <stdlib.h>

static void row(mm__mem *mem, unsigned isa, const char *tier, int threads, int reps)
{
    mm__pool *pool = NULL;
    if (mm__pool_create(mem, threads, &pool, NULL)) return;
    printf("%-11s %7d", tier, threads);
    for (int p = 0; p < PROBES; p++) {
        double median, best = probe_run(pool, mem, isa, (probe)p, reps, &median);
        if (best > 0) printf("  %7.1f (%7.1f)", best * 1e-9, median * 1e-9);
        else printf("  %17s", "-");
        fflush(stdout);
    }
    printf("\n");
    mm__pool_destroy(pool);
}

int main(int argc, char **argv)
{
    const int threads = argc > 1 ? atoi(argv[1]) : mm__os_cores(), reps = argc > 2 ? atoi(argv[2]) : 60;
    const unsigned all = mm__cpu_features();
    char cpu[160];
    mm__mem *mem = mm__mem_create(NULL, 0);
    machine before, after;
    if (!mem || threads < 1 || reps < 1) return 2;
    machine_look(&before);
    mm__cpu_describe(all, 0, cpu, sizeof cpu);
    printf("%s\n%-11s %7s", cpu, "tier", "threads");
    for (int p = 0; p < PROBES; p++) {
        char title[40];
        snprintf(title, sizeof title, "%s, %s", probe_name((probe)p), probe_unit((probe)p));
        printf("  %17s", title);
    }
    printf("\n");
    unsigned isa;
    const char *tier;
    for (unsigned i = 0; (tier = mm__cpu_tier(i, &isa)); i++) {
        if (isa & ~all) continue;
        row(mem, isa, tier, 1, reps);
        if (threads > 1) row(mem, isa, tier, threads, reps);
    }
    machine_look(&after);
    printf("load %.2f before, %.2f after; %.2f%% of the time stolen, %.1f%% used by others\n", before.load, after.load,
           100 * machine_stolen(&before, &after), 100 * machine_others(&before, &after));
    mm__mem_destroy(mem);
    return 0;
}
