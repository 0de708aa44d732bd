/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * What this process takes of the machine, as the system sees it (Linux: /proc/self). Threads: any.
 */
struct os_process {
    double cpu_s; /* user and system */
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t n_threads;
    uint64_t n_fds;
    uint64_t max_fds;
};

/* false: the system does not tell. */
bool os_process_read(struct os_process *ret);

/* So many files may be open, if the system lets us; never less than before. */
void os_process_raise_files(uint64_t wanted);
