/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

/*
 * What is refused before a request is looked at. Pure functions; the messages say what to do.
 * Threads: any.
 */

/* The longest request target taken. */
constexpr size_t GUARD_TARGET_MAX = 2048;

/* Host must name this machine's loopback, whatever the port (it may be forwarded): a page that points its own name at
 * 127.0.0.1 (DNS rebinding) is kept out. nullptr = no header. ERR_MISDIRECTED. */
enum err guard_host(const char *host, struct err_info *reterr);

/* Browsers say where a request comes from; only pages served by ourselves may ask. nullptr = no header. ERR_FORBIDDEN.
 * A person may follow a link to us (`is_navigation`: a GET for a whole page, which the page with the link cannot read). */
enum err guard_origin(const char *host, const char *origin, const char *sec_fetch_site, bool is_navigation,
                      struct err_info *reterr);

/* Splits a raw request target into the path (decoded once, doubled leading and all trailing slashes removed, always
 * beginning with a slash) and the raw query (nullptr: none; points into `target`). NUL, control characters, bytes that
 * are not UTF-8, and broken percent signs are refused. */
enum err guard_target(const char *target, char path[static GUARD_TARGET_MAX + 1], const char **ret_query,
                      struct err_info *reterr);
