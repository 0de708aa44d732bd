/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/*
 * Who is at the other end of a unix socket, as the kernel says.
 * Threads: any.
 */
[[nodiscard]] bool peercred_uid(int fd, uid_t *ret);
