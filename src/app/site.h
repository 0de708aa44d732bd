/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "config/config.h"
#include "model/roster.h"

/*
 * The site as the configuration has it: `site.peers` becomes the roster. What is wrong with an entry is told with its line.
 *
 * Threads: any.
 */

/* `own_public_key` may be nullptr: it is not known yet who we are. ERR_INVALID, with the key as pointer
 * ("site.peers[1].id"), ERR_CONFLICT (the same peer twice), ERR_NO_MEMORY. On failure *ret is untouched. */
enum err site_roster(const struct config *config, const uint8_t *own_public_key, struct roster *ret,
                     struct err_info *reterr);
