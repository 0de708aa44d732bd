/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "orchestrator/registry/registry.h"

/*
 * Sound that would go round and round: from a bus, over the streams of this peer, into itself. Streams that are switched off
 * count, as they can be switched on, and so do endpoints that are not made yet: nothing but a bus can be in such a ring.
 *
 * Not seen are rings that lead through other peers, through a loudspeaker and a microphone, or through other programs.
 *
 * Threads: core.
 */

/* Would a stream `uid` ("" or a new one's) between these sides close a ring? ERR_CONFLICT shows the way round. */
enum err feedback_check(const struct registry *registry, const char *uid, const struct stream_sides *sides,
                        struct err_info *reterr);
