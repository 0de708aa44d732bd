/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/usage.h"

#include <stdio.h>
#include <time.h>

int64_t usage_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

static long sum_kb(bool with_clean) {
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    if (!file)
        return -1;
    char line[256];
    long sum = 0, kb;
    while (fgets(line, sizeof line, file))
        if ((with_clean && sscanf(line, "Private_Clean: %ld kB", &kb) == 1) ||
            sscanf(line, "Private_Dirty: %ld kB", &kb) == 1)
            sum += kb;
    fclose(file);
    return sum;
}

long usage_private_kb(void) {
    return sum_kb(true);
}

long usage_written_kb(void) {
    return sum_kb(false);
}
