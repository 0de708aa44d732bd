/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

struct reconcile;

/*
 * Telling the peer of a source that its sound is not wanted any more: DELETE of the attachment, repeated until it is
 * acknowledged or its lease must be over. It has a life of its own, for the stream may be gone, or have another source.
 * The generation of the link goes with it, so that what was asked for since is not ended.
 *
 * Threads: core.
 */
constexpr int64_t FAREWELL_RETRY_NS = 1'000'000'000;
constexpr int64_t FAREWELL_DEADLINE_NS = 3'000'000'000;
constexpr int64_t FAREWELL_LAST_NS = 500'000'000; /* when rocd ends, nobody waits for longer */

/* What is lost when there is no memory, or rocd ends: the lease ends the attachment. */
void farewell_say(struct reconcile *reconcile, const char *peer_uid, const char *stream_uid, int64_t link_generation,
                  int64_t until_ns);
/* From now on each has a single, short try, and none where the link is down. */
void farewell_stop(struct reconcile *reconcile);
void farewell_finish(struct reconcile *reconcile);
