/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/call.h"

/*
 * Lists of the site are written from memory. What they tell of other peers' figures is asked for first, so that they show
 * what GET of a single object would; who does not answer soon is shown as it last was. A peer that asks wants our own
 * objects, and waits for nobody.
 *
 * Life cycle: fresh_call … → fresh_end_all, which answers what still waits. Threads: core.
 */
typedef void fresh_answer_fn(struct api_call *call, const char *peer_uid);

/* answer(), now or later; then the call's request is no more than its method and path. peer_uid: whose objects it is going
 * to show, "": all. */
void fresh_call(struct api_call *call, const char *peer_uid, fresh_answer_fn *answer);
void fresh_end_all(struct api *api);
