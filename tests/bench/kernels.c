/* Every CPU kernel alone, through the backend that models use: GFLOP/s or GB/s on one thread and on all, as a fraction of the
 * roofline probe taken around it, with its error against the scalar oracle.
 *
 * Usage: bench_kernels [--json] [--threads N] [--reps N] [--tier NAME] [--shape TxNxK] [PATTERN]
 *   PATTERN  only the workloads whose name holds it ("linear Q4_K", "fast", "one row")
 *   --shape  T rows of x, weights [N, K], for LINEAR in place of 512x4096x4096
 *   --reps   runs that are timed (default 10; one is made before)
 *
 * Matrices: 512 rows make a prefill; one row walks through tensors of more than half a gigabyte in turn, so that memory is
 * read, and counts the bytes that the file holds (a form that takes fewer, as BF16 for F32 in "fast", can pass the limit). One
 * thread is measured by its processor time, so those figures hold on a busy machine, too. The list of workloads is in work.c. */
#include "common/machine.h"
#include "common/work.h"
#include "../../src/base/os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_REPS 20

typedef struct options {
    bool json;
    int threads, reps;
    const char *tier, *pattern;
    int64_t t, n, k;
} options;

typedef struct place {
    mm__mem *mem;
    mm__backend *one, *all;   /* a thread; all threads. Tensors are made by `all` and read by both */
    mm__pool *one_pool, *all_pool; /* of the probes */
    mm__cpu_table table;      /* to name the kernel that is taken */
    unsigned isa;
} place;

typedef struct result { double best, median, probe; } result; /* units per second */

static int by_value(const void *a, const void *b) { return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b); }

/* The workload on one backend, between two looks at the probe. */
static result measure(const place *p, mm__backend *b, mm__pool *pool, const work *w, int reps)
{
    result r = {0};
    double *rate = mm__calloc(p->mem, (size_t)reps, sizeof *rate);
    void *scratch = mm__alloc(p->mem, work_scratch(b, w));
    if (!rate || !scratch) abort();
    r.probe = probe_run(pool, p->mem, p->isa, w->limit, PROBE_REPS, NULL);
    for (int i = -1; i < reps; i++) {
        const double start = machine_clock(b->threads);
        if (b->ops->run(b, w->calls, w->n, scratch, NULL, NULL) < 0) abort();
        if (i >= 0) rate[i] = w->units / (machine_clock(b->threads) - start);
    }
    const double again = probe_run(pool, p->mem, p->isa, w->limit, PROBE_REPS, NULL);
    if (again > r.probe) r.probe = again;
    qsort(rate, (size_t)reps, sizeof *rate, by_value);
    r.best = rate[reps - 1];
    r.median = rate[reps / 2];
    mm__free(p->mem, scratch);
    mm__free(p->mem, rate);
    return r;
}

static void print_text(const place *p, const work *w, const char *kernel, const result *one, const result *all, double nmse)
{
    printf("%-34s %-28s %8.1f %8.1f %6.1f%%  %8.1f %8.1f %6.1f%%  %5.2f  %9.2e\n", w->name, kernel, one->best * 1e-9, one->median * 1e-9,
           100 * one->best / one->probe, all->best * 1e-9, all->median * 1e-9, 100 * all->best / all->probe, all->best / one->best, nmse);
}

static void print_json(const work *w, const char *kernel, const result *one, const result *all, double nmse, bool first)
{
    printf("%s\n{\"name\":\"%s\",\"kernel\":\"%s\",\"unit\":\"%s\",\"probe\":\"%s\",\"nmse\":%.3e", first ? "" : ",", w->name, kernel,
           probe_unit(w->limit), probe_name(w->limit), nmse);
    for (int i = 0; i < 2; i++) {
        const result *r = i ? all : one;
        printf(",\"%s\":{\"best\":%.2f,\"median\":%.2f,\"probe\":%.2f,\"fraction\":%.4f}", i ? "all" : "one", r->best * 1e-9,
               r->median * 1e-9, r->probe * 1e-9, r->best / r->probe);
    }
    printf(",\"scaling\":%.3f}", all->best / one->best);
}

/* One line of the report. */
static void report(const place *p, const options *o, work *w, bool first)
{
    const mm__kern *k = mm__cpu_pick(&p->table, w->calls);
    const double nmse = work_error(p->all, w);
    const result one = measure(p, p->one, p->one_pool, w, o->reps);
    const result all = p->all == p->one ? one : measure(p, p->all, p->all_pool, w, o->reps);
    if (o->json) print_json(w, k ? k->name : "oracle", &one, &all, nmse, first);
    else print_text(p, w, k ? k->name : "oracle", &one, &all, nmse);
    fflush(stdout);
}

static mm__backend *backend(mm__mem *mem, const char *tier, int threads, bool exact)
{
    char device[64];
    mm_error err = {.size = sizeof err};
    mm__backend *b = NULL;
    snprintf(device, sizeof device, "cpu%s%s", tier ? ":" : "", tier ? tier : "");
    if (mm__backend_create(mem, NULL, device, threads, NULL, exact, &b, &err) < 0) {
        fprintf(stderr, "bench_kernels: %s\n", err.text);
        exit(2);
    }
    return b;
}

static unsigned isa_of(const char *tier)
{
    unsigned isa;
    const char *name;
    for (unsigned i = 0; tier && (name = mm__cpu_tier(i, &isa)); i++)
        if (!strcmp(name, tier)) return isa;
    return mm__cpu_features();
}

/* All workloads of one precision; how many were measured. */
static int run_all(mm__mem *mem, const options *o, bool exact, int done)
{
    place p = {.mem = mem, .isa = isa_of(o->tier)};
    work w;
    p.one = backend(mem, o->tier, 1, exact);
    p.all = o->threads > 1 ? backend(mem, o->tier, o->threads, exact) : p.one;
    if (mm__pool_create(mem, 1, &p.one_pool, NULL) < 0 || mm__pool_create(mem, o->threads, &p.all_pool, NULL) < 0 ||
        !mm__cpu_table_init(mem, p.isa, &p.table))
        abort();
    for (int i = 0; i < work_count(); i++) {
        char name[WORK_NAME];
        if (!work_name(i, exact, name) || (o->pattern && !strstr(name, o->pattern))) continue;
        if (!work_make(i, p.all, p.isa, o->t, o->n, o->k, &w)) {
            fprintf(stderr, "bench_kernels: %s: not enough memory, left out\n", name);
            continue;
        }
        report(&p, o, &w, !done++);
        work_free(&w);
    }
    mm__cpu_table_free(mem, &p.table);
    mm__pool_destroy(p.one_pool);
    mm__pool_destroy(p.all_pool);
    if (p.all != p.one) mm__backend_destroy(p.all);
    mm__backend_destroy(p.one);
    return done;
}

static void parse(int argc, char **argv, options *o)
{
    *o = (options){.threads = mm__os_cores(), .reps = 10, .t = 512, .n = 4096, .k = 4096};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--json")) o->json = true;
        else if (!strcmp(argv[i], "--threads")) o->threads = atoi(value), i++;
        else if (!strcmp(argv[i], "--reps")) o->reps = atoi(value), i++;
        else if (!strcmp(argv[i], "--tier")) o->tier = value, i++;
        else if (!strcmp(argv[i], "--shape")) i++, o->t = 0, (void)sscanf(value, "%ldx%ldx%ld", &o->t, &o->n, &o->k);
        else o->pattern = argv[i];
    }
    if (o->threads >= 1 && o->reps >= 1 && o->t >= 1 && o->n >= 1 && o->k >= 256 && o->k % 256 == 0) return;
    fputs("usage: bench_kernels [--json] [--threads N] [--reps N] [--tier NAME] [--shape TxNxK] [PATTERN]; K a multiple of 256\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    options o;
    machine before, after;
    char cpu[160];
    parse(argc, argv, &o);
    mm__mem *mem = mm__mem_create(NULL, 0);
    if (!mem) return 1;
    machine_look(&before);
    mm__cpu_describe(isa_of(o.tier), o.threads, cpu, sizeof cpu);
    if (o.json) printf("{\"cpu\":\"%s\",\"threads\":%d,\"kernels\":[", cpu, o.threads);
    else printf("%s; GFLOP/s or GB/s\n%-34s %-28s %8s %8s %7s  %8s %8s %7s  %5s  %9s\n", cpu, "", "kernel", "1 thread", "median", "probe",
                "all", "median", "probe", "scale", "NMSE");
    const int done = run_all(mem, &o, false, 0);
    run_all(mem, &o, true, done);
    machine_look(&after);
    if (o.json)
        printf("\n],\"load\":[%.2f,%.2f],\"stolen\":%.4f,\"others\":%.4f}\n", before.load, after.load, machine_stolen(&before, &after),
               machine_others(&before, &after));
    else
        printf("load %.2f before, %.2f after; %.2f%% of the time stolen, %.1f%% used by others\n", before.load, after.load,
               100 * machine_stolen(&before, &after), 100 * machine_others(&before, &after));
    mm__mem_destroy(mem);
    return 0;
}
