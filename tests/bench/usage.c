/* SPDX-License-Identifier: MPL-2.0 */
#include "bench/usage.h"

#include <stdio.h>
#include <time.h>

int64_t usage_cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

long usage_private_kb(void) {
    FILE *file = fopen("/proc/self/smaps_rollup", "re");
    if (!file)
        return -1;
    char line[256];
    long sum_kb = 0, kb;
    while (fgets(line, sizeof line, file))
        if (sscanf(line, "Private_Clean: %ld kB", &kb) == 1 || sscanf(line, "Private_Dirty: %ld kB", &kb) == 1)
            sum_kb += kb;
    fclose(file);
    return sum_kb;
}
