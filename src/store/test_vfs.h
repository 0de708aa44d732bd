/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * For tests: a disk that can lose power. It passes everything on to the real VFS of SQLite and remembers for each file
 * what was synced and what was written since. test_vfs_crash() writes to another directory what a disk might hold if the
 * power went away now: of what is not synced any sectors may be there, torn and out of order, or not.
 *
 * Threads: any.
 */
extern const char *const TEST_VFS_NAME;

void test_vfs_init(void);
void test_vfs_finish(void);
/* Forgets all files. */
void test_vfs_reset(void);
void test_vfs_crash(const char *to_dir, uint32_t *seed);
/* Syncs since the last reset. */
uint64_t test_vfs_syncs(void);
/* From now on writes fail with this code of SQLite; 0: no more. */
void test_vfs_fail_writes(int code);
/* From now on the disk is full for a file of this size; SIZE_MAX: no more. */
void test_vfs_limit(size_t max_size);
