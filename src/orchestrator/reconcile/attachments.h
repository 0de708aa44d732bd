/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "model_gen.h"
#include "orchestrator/reconcile/plan.h"

struct attachments_entry;
struct path;
struct reconcile;
struct run;

/*
 * Attachments: other peers' streams that take the sound of our endpoints. The owner of a stream asks, with a lease; we
 * check that the commander who signed for it may do that here, now; then a run is made as for a stream of our own, whose
 * sender goes into a sealed path to the owner. Where the endpoint is missing, the run waits for it, and the answer says so.
 *
 * All of it is soft state: nothing is stored, everything ends with its lease, which is counted by the monotonic clock of
 * this peer. There is one attachment for an owner and a stream. A greater generation of the link replaces the one before;
 * the same again renews the lease and has the same answer; a lesser one is refused, but that a new run of the owner begins
 * anew. A sealed path is opened once under the keys of a link: when its sender is gone, the answer asks for the next link.
 *
 * Threads: core.
 */

/* ERR_INVALID (a member, with its pointer), ERR_FORBIDDEN (no right, and what was attached ends), ERR_CONFLICT (older than
 * what is known, or ended), ERR_LIMIT, ERR_UNAVAILABLE (stopping, no media port). */
enum err attachments_put(struct reconcile *reconcile, const char *owner_uid, const char *stream_uid,
                         const struct attachment_spec *spec, struct attachment *ret, struct err_info *reterr);
/* ERR_NOT_FOUND, ERR_GENERATION (it is of another link; ANY_GENERATION: whichever). */
enum err attachments_remove(struct reconcile *reconcile, const char *owner_uid, const char *stream_uid,
                            int64_t if_link_generation, struct err_info *reterr);
void attachments_stop(struct reconcile *reconcile);
void attachments_finish(struct reconcile *reconcile);

/* ---- for the run of an attachment ---- */

const char *attachments_owner(const struct attachments_entry *entry);
/* Its keys are used up: no sender may be opened any more until the owner asks with the next link. */
bool attachments_is_spent(const struct attachments_entry *entry);
enum err attachments_open_path(struct attachments_entry *entry, struct path **ret, struct err_info *reterr);
void attachments_publish(struct run *run, const struct plan *plan);
void attachments_run_gone(struct attachments_entry *entry);
