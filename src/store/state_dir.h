/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"

/*
 * The state directory: made with mode 0700 where it is missing, and held by one process at a time by a lock on
 * `rocd.lock`, which also holds the pid for people and messages. The kernel drops the lock when the process ends, in
 * whatever way.
 *
 * Threads: any.
 */

/* *ret_fd is the lock; closing it gives the directory free. ERR_BUSY: another rocd has it. */
enum err state_dir_lock(const char *path, int *ret_fd, struct err_info *reterr);
/* Makes `path` and its parents; what is there already keeps its mode. */
enum err state_dir_make(const char *path, struct err_info *reterr);
/* Makes the entries of a directory durable. Failure is not worth a message: some file systems cannot. */
void state_dir_sync(const char *path);
