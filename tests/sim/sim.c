/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "sim/sim_run.h"

static const char USAGE[] =
    "usage: sim [--peers N] [--seed N] [--runs N] [--jobs N] [--broken WAY] [--trace]\n"
    "\n"
    "Runs sites of simulated peers through storms of faults and checks what must hold afterwards.\n"
    "\n"
    "  --peers N     peers of a site, 2 to 10 (default 5)\n"
    "  --seed N      of the first run; the next ones count up (default 1)\n"
    "  --runs N      how many (default 100)\n"
    "  --jobs N      processes that share the runs (default 1)\n"
    "  --broken WAY  break the reconciler first: then a violation is what is wanted, and its absence a failure\n"
    "  --trace       print all that happens in the run that is violated, or in the only one\n"
    "\n"
    "Ends with 0 if everything held, 1 if not. A violation is printed with the command that shows it again.\n";

struct options {
    int peers, jobs;
    uint64_t seed, runs;
    const char *broken;
    bool is_traced;
};

struct totals {
    uint64_t runs, violations, steps, faults, writes, acknowledged, refused, unanswered, streams;
};

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *ret) {
    char *end;
    *ret = strtoull(text, &end, 10);
    return *text && !*end && *ret >= min && *ret <= max;
}

static bool parse(int argc, char **argv, struct options *ret) {
    *ret = (struct options){.peers = 5, .jobs = 1, .seed = 1, .runs = 100};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        uint64_t n = 0;
        if (strcmp(argv[i], "--trace") == 0) {
            ret->is_traced = true;
            continue;
        }
        if (strcmp(argv[i], "--peers") == 0 && number(value, 2, 10, &n))
            ret->peers = (int)n;
        else if (strcmp(argv[i], "--seed") == 0 && number(value, 0, UINT64_MAX / 2, &n))
            ret->seed = n;
        else if (strcmp(argv[i], "--runs") == 0 && number(value, 1, 100'000'000, &n))
            ret->runs = n;
        else if (strcmp(argv[i], "--jobs") == 0 && number(value, 1, 64, &n))
            ret->jobs = (int)n;
        else if (strcmp(argv[i], "--broken") == 0 && *value)
            ret->broken = value;
        else
            return false;
        i++;
    }
    return true;
}

static void add(struct totals *totals, const struct sim_result *result) {
    totals->runs++;
    totals->violations += result->is_violated;
    totals->steps += result->steps;
    totals->faults += result->faults;
    totals->writes += result->writes;
    totals->acknowledged += result->acknowledged;
    totals->refused += result->refused;
    totals->unanswered += result->unanswered;
    totals->streams += result->streams_wanted;
}

static struct totals run_share(const struct options *options, uint64_t first) {
    struct totals totals = {};
    for (uint64_t i = first; i < options->runs; i += (uint64_t)options->jobs) {
        struct sim_settings settings = {.n_peers = options->peers,
                                        .seed = options->seed + i,
                                        .is_traced = options->is_traced && options->runs == 1,
                                        .broken = options->broken};
        struct sim_result result;
        sim_run(&settings, &result);
        add(&totals, &result);
        if (!result.is_violated)
            continue;
        printf("seed %" PRIu64 ": %s\n  again: sim --peers %d --seed %" PRIu64 " --runs 1 --trace%s%s\n", settings.seed,
               result.violation, options->peers, settings.seed, options->broken ? " --broken " : "",
               options->broken ? options->broken : "");
        fflush(stdout);
        if (options->broken || totals.violations == 5)
            break;
    }
    return totals;
}

static bool run_all(const struct options *options, struct totals *ret) {
    *ret = (struct totals){};
    if (options->jobs == 1) {
        *ret = run_share(options, 0);
        return true;
    }
    int ends[2];
    if (pipe(ends))
        return false;
    fflush(stdout);
    for (int i = 0; i < options->jobs; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return false;
        if (pid == 0) {
            struct totals share = run_share(options, (uint64_t)i);
            _exit(write(ends[1], &share, sizeof share) == sizeof share ? 0 : 1);
        }
    }
    close(ends[1]);
    bool is_well = true;
    struct totals share;
    for (int i = 0; i < options->jobs; i++) {
        int status;
        is_well &= wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    while (read(ends[0], &share, sizeof share) == sizeof share)
        for (size_t i = 0; i < sizeof share / sizeof(uint64_t); i++)
            ((uint64_t *)ret)[i] += ((const uint64_t *)&share)[i];
    close(ends[0]);
    return is_well;
}

int main(int argc, char **argv) {
    struct options options;
    if (!parse(argc, argv, &options)) {
        fputs(USAGE, argc == 2 && strcmp(argv[1], "--help") == 0 ? stdout : stderr);
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    int64_t begin_ns = clock_now_ns(clock_system());
    struct totals totals;
    if (!run_all(&options, &totals)) {
        fputs("sim: a process that ran a share of the runs ended badly\n", stderr);
        return 1;
    }
    double seconds = (double)(clock_now_ns(clock_system()) - begin_ns) / (double)NS_PER_S;
    printf("%" PRIu64 " runs of %d peers in %.1f s (%.0f a second): %" PRIu64 " steps, %" PRIu64 " faults, %" PRIu64
           " writes (%" PRIu64 " acknowledged, %" PRIu64 " refused, %" PRIu64 " unanswered), %" PRIu64
           " streams wanted at the end\n%" PRIu64 " violations\n",
           totals.runs, options.peers, seconds, (double)totals.runs / seconds, totals.steps, totals.faults,
           totals.writes, totals.acknowledged, totals.refused, totals.unanswered, totals.streams, totals.violations);
    return (totals.violations > 0) == (options.broken != nullptr) ? 0 : 1;
}
