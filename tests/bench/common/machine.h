/* How disturbed a measurement was: load average, time stolen by the hypervisor, processor time that others used. */
#ifndef MM__BENCH_MACHINE_H
#define MM__BENCH_MACHINE_H

typedef struct machine {
    double load;          /* average of the last minute */
    double total, stolen; /* processor seconds of all processors since the start of the system */
    double busy;          /* of these: not idle, not stolen */
    double own;           /* processor seconds of this process */
} machine;

void machine_look(machine *m); /* what the system does not tell stays 0 */
/* Between two looks: the fraction of all processor time that was stolen, and that other processes took. */
double machine_stolen(const machine *before, const machine *after);
double machine_others(const machine *before, const machine *after);

/* Seconds of a clock to measure work of `threads` threads by: of one thread its processor time, which what else runs on the
 * machine does not lengthen; of several the time that passes. */
double machine_clock(int threads);

#endif
