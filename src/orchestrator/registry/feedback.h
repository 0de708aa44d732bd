/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "orchestrator/registry/registry.h"

/*
 * Sound that would go round and round: from a bus, over the streams of this peer, into itself. Streams that are switched off
 * count, as they can be switched on, and so do endpoints that are not made yet. A default endpoint is the device that it follows:
 * a default input that listens to a loudspeaker does not go to that loudspeaker, nor a virtual one to a default output that is it.
 *
 * Not seen are rings that the system closes later, by another choice, and those that lead through other peers, through a
 * loudspeaker and a microphone, or through other programs.
 *
 * Threads: core.
 */

/* Would a stream `uid` ("" or a new one's) between these sides close a ring? ERR_CONFLICT shows the way round. */
enum err feedback_check(const struct registry *registry, const char *uid, const struct stream_sides *sides,
                        struct err_info *reterr);
