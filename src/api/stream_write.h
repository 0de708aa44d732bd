/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/call.h"
#include "model/grant.h"

/*
 * What a change of a stream needs wherever it is made, here or at the peer that owns the stream: a spec with real uids, a
 * uid for a new stream, and the grant of whoever commands it.
 *
 * Threads: core.
 */

/* The spec in the body, `self` resolved. false: the call has been answered. */
bool stream_write_spec(struct api_call *call, struct stream_spec *ret);

/* For a POST: random, or from who asks and the Idempotency-Key, so that the same request names the same stream. */
void stream_write_uid(const struct api_call *call, char ret[static UID_SIZE]);

/* The grant for what the stream will be at `generation`. A request of ours is signed here; that of a peer has brought one,
 * which must be that peer's and for exactly this. *ret_has is false where there is none to be had: the source is external,
 * or this is a site of one, or a peer has brought none. false: the call has been answered. */
bool stream_write_grant(struct api_call *call, const char *uid, int64_t generation, const struct stream_spec *spec,
                        struct grant *ret, bool *ret_has);
