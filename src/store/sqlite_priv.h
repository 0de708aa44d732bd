/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "store/store.h"

/* store_sqlite_open() on another VFS of SQLite, for tests that break disks. */
enum err store_sqlite_open_vfs(const char *state_dir, const char *vfs, struct loop *loop, struct log log,
                               struct store **ret, struct err_info *reterr);
