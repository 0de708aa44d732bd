/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>

#include "base/err.h"

/*
 * Opens files of the media directory by name, and nothing else: the kernel resolves the name beneath the directory and
 * follows no symbolic link; what is not a regular file is refused without having been waited for.
 * Threads: any; blocks.
 */
enum file_name_mode { FILE_NAME_READ, FILE_NAME_CREATE, FILE_NAME_CREATE_NEW };

/* ret_fd: the caller closes it. FILE_NAME_CREATE truncates; FILE_NAME_CREATE_NEW gives ERR_CONFLICT if the file is there. */
enum err file_name_open(const char *media_dir, const char *name, enum file_name_mode mode, int *ret_fd,
                        struct err_info *reterr);
/* Could it be created now, as far as can be told without doing it? */
enum err file_name_can_create(const char *media_dir, const char *name, struct err_info *reterr);
/* "take.wav", 2 → "take-2.wav". false: it does not fit. */
bool file_name_numbered(const char *name, int number, char *ret, size_t size);
