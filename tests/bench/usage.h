/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

/*
 * What the calling process has used so far, for the programs in tests/bench.
 *
 * Threads: any. CPU time is that of all threads, kernel included.
 */
int64_t usage_cpu_ns(void);
/* Memory that nobody shares with this process; -1: the kernel does not tell. Resident memory would count the pages of
 * shared libraries, and its peak says nothing of growth. */
long usage_private_kb(void);
/* Without the pages of files: they are shared as soon as another process runs the same program. */
long usage_written_kb(void);
