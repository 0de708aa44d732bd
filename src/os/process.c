/* SPDX-License-Identifier: MPL-2.0 */
#include "os/process.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static bool read_memory(struct os_process *process) {
    unsigned long long size, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return false;
    bool good = fscanf(file, "%llu %llu", &size, &resident) == 2;
    fclose(file);
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (good) {
        process->virtual_bytes = size * page;
        process->resident_bytes = resident * page;
    }
    return good;
}

/* Counts the entries of a directory of /proc, without itself where it holds its own descriptor. */
static bool count_entries(const char *path, uint64_t *ret) {
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    uint64_t n = 0;
    for (const struct dirent *entry; (entry = readdir(dir));)
        n += entry->d_name[0] != '.';
    closedir(dir);
    *ret = n;
    return true;
}

bool os_process_read(struct os_process *ret) {
    struct os_process process = {};
    struct rusage usage;
    struct rlimit limit;
    if (getrusage(RUSAGE_SELF, &usage) != 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0 || !read_memory(&process) ||
        !count_entries("/proc/self/fd", &process.n_fds) || !count_entries("/proc/self/task", &process.n_threads))
        return false;
    process.n_fds--; /* the one that counted them */
    process.cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                    (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
    process.max_fds = limit.rlim_cur;
    *ret = process;
    return true;
}

void os_process_raise_files(uint64_t wanted) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}
