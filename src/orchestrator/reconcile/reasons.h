/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "orchestrator/reconcile/reconcile.h"

/*
 * Why a stream is in its state, for programs (a stable word) and for people (a sentence, and what to do). Words never
 * change their meaning; new ones may come.
 *
 * Source of another peer: SourceUnreachable SourceRefused Forbidden, and what that peer says of its endpoint, in the words
 * below. Source, Destination: EndpointMissing EndpointDisabled WrongDirection SourceEnded SourceIdle PeriodTooLong, and what the endpoint's own status says
 * (FileMissing FormatMismatch DeviceMissing AccessDenied …). Path: PortInUse DestinationUnreachable PathFailed
 * FormatMismatch. Sound: NoMedia PacketLoss. Stream: Starting Disabled.
 *
 * Threads: any.
 */

/* false: all is well, there is nothing to say. `since` is not filled in. */
bool reasons_describe(const struct run *run, const struct plan *plan, struct condition *ret);

/* PeriodTooLong: the first is more than the second. Of the devices of this peer that the stream uses, in ns; 0: none. */
int64_t reasons_longest_period(const struct run *run);
/* The latency that the stream may have at most. */
int64_t reasons_most_latency(const struct run *run);
