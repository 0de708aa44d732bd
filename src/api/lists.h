/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>

#include "base/buf.h"

struct api_call;
struct orchestrator;
struct registry_endpoint;
struct registry_stream;

/*
 * Lists of objects, for the resources that show them and for /state. Items are encoded one by one into the text that is
 * sent, so that a long list costs no tree of values. Sorted by uid, whatever the order of creation.
 *
 * Failure (memory) is sticky in the buffer and answered by lists_reply(). Threads: core.
 */
/* Of the whole site, from memory; `peer_uid`: only what belongs to this peer, "": to any. */
bool lists_append_peers(const struct orchestrator *orchestrator, const char *peer_uid, struct buf *buf);
bool lists_append_endpoints(const struct orchestrator *orchestrator, const char *peer_uid, struct buf *buf);
bool lists_append_streams(const struct orchestrator *orchestrator, const char *peer_uid, struct buf *buf);
/* Takes what the buffer holds. */
void lists_reply(struct api_call *call, struct buf *buf);

/* The objects of this peer sorted by uid, in an array to be freed; nullptr when there are none or memory ran out (which
 * *reterr_failed tells). */
const struct registry_endpoint **lists_endpoints(const struct orchestrator *orchestrator, size_t *ret_n,
                                                 bool *reterr_failed);
const struct registry_stream **lists_streams(const struct orchestrator *orchestrator, size_t *ret_n,
                                             bool *reterr_failed);
