/* Reads /proc/loadavg and the first line of /proc/stat (proc(5): user nice system idle iowait irq softirq steal, in ticks). */
#include "machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double seconds(struct timeval t) { return (double)t.tv_sec + 1e-6 * (double)t.tv_usec; }

void machine_look(machine *m)
{
    double t[8] = {0};
    struct rusage use;
    FILE *f = fopen("/proc/loadavg", "r");
    memset(m, 0, sizeof *m);
    if (f) {
        if (fscanf(f, "%lf", &m->load) != 1) m->load = 0;
        fclose(f);
    }
    f = fopen("/proc/stat", "r");
    if (f) {
        if (fscanf(f, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) == 8) {
            const double tick = 1.0 / (double)sysconf(_SC_CLK_TCK);
            for (int i = 0; i < 8; i++) m->total += tick * t[i];
            m->stolen = tick * t[7];
            m->busy = m->total - m->stolen - tick * (t[3] + t[4]);
        }
        fclose(f);
    }
    if (getrusage(RUSAGE_SELF, &use) == 0) m->own = seconds(use.ru_utime) + seconds(use.ru_stime);
}

double machine_stolen(const machine *before, const machine *after)
{
    const double total = after->total - before->total;
    return total > 0 ? (after->stolen - before->stolen) / total : 0;
}

double machine_others(const machine *before, const machine *after)
{
    const double total = after->total - before->total, others = after->busy - before->busy - (after->own - before->own);
    return total > 0 && others > 0 ? others / total : 0;
}

double machine_clock(int threads)
{
    struct timespec t;
    clock_gettime(threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
