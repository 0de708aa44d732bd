/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/call.h"

/*
 * Requests that leave for the peer that owns what they name. They go over its link as REST requests with real uids, carry
 * the name and the right of who asks, and are answered with that peer's answer; or with 503 and the reason, when it cannot
 * be reached or says nothing in time. A request that came from a peer never gets here (dispatch.c).
 *
 * A POST of a stream leaves as a PUT with a uid chosen here and If-None-Match: *, so that it can be repeated.
 *
 * Life cycle: forward_call … → forward_end_all, which answers what is under way. Threads: core.
 */

/* Answers the call, now or later. `owner` is another peer of the site. */
void forward_call(struct api_call *call, const char *owner);
void forward_end_all(struct api *api);

/* What a patch of a stream names. */
struct forward_sides {
    bool any;    /* has a member "source" or "destination" */
    bool source; /* says which endpoint the source is */
};

/* The merge patch of a stream with the uid of `self` resolved in the URIs of its sides. The text is malloc'd.
 * ERR_MALFORMED, ERR_TOO_LARGE, ERR_NO_MEMORY. */
enum err forward_resolve_patch(const char *body, size_t len, const char *self_uid, char **ret_text, size_t *ret_len,
                               struct forward_sides *ret_named, struct err_info *reterr);
