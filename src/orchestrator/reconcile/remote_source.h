/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/crypto.h"
#include "base/err.h"
#include "base/id.h"
#include "base/loop.h"
#include "orchestrator/reconcile/plan.h"

struct links_call;
struct path;
struct reconcile;
struct run;

/*
 * The source of a stream that is an endpoint of another peer, as the owner of the stream sees it. Where a source of ours
 * has a node and a sender, this has an *attachment*: that peer has been asked to send, by PUT
 * /peers/{peer}/attachments/{stream}, with a lease of 15 s, and is asked again every 5 s. What it answers is how the
 * source fares.
 *
 * The receiving end stands before it is asked. Its offer (link id, key) belongs to one link generation, and what is asked
 * with it may be asked again and again: lost requests and replies need no care. A link generation is of no use any more
 * (`lost`) when the lease is over, when the source has been restarted or has lost its sender, for no key is used twice;
 * then the next one is built.
 *
 * Threads: core.
 */
constexpr int64_t REMOTE_SOURCE_LEASE_NS = 15'000'000'000;
constexpr int64_t REMOTE_SOURCE_RENEW_NS = 5'000'000'000;
/* A source that has sent nothing for so long is asked whether there is anything to send. */
constexpr int64_t REMOTE_SOURCE_WONDER_NS = 1'000'000'000;
constexpr int64_t REMOTE_SOURCE_DEADLINE_NS = 4'000'000'000;
constexpr int64_t REMOTE_SOURCE_RETRY_MIN_NS = 1'000'000'000;
constexpr int64_t REMOTE_SOURCE_RETRY_MAX_NS = 30'000'000'000;

struct remote_source {
    enum plan_part part; /* NONE, STARTING: asked, or about to be again; UP: has answered */

    /* the offer */
    char peer_uid[UID_SIZE];
    int64_t link_generation; /* 0: no receiving end stands */
    uint32_t link;
    struct crypto_dh_key key;
    struct path *path; /* the engine's, as long as the receiver stands */
    bool is_lost;

    /* the answer */
    bool is_answered;
    uint32_t other_link;
    char other_key[2 * CRYPTO_DH_KEY_SIZE + 1];
    uint64_t epoch;       /* of the run that answered */
    int64_t lease_end_ns; /* at the earliest */

    /* asking */
    struct links_call *call;
    int64_t asked_ns;
    bool ask_again;          /* something has changed since it was asked */
    bool asks_why;           /* … why no sound comes any more */
    bool has_wondered;       /* … why none has come yet; once for each link */
    struct loop_timer timer; /* the next renewal, or the end of a pause */
    bool is_pausing;
    unsigned attempts; /* that failed in a row */

    /* what it tells everybody of the endpoint; 0: nothing heard yet */
    int64_t endpoint_generation;
    bool endpoint_works;

    /* what it said last */
    enum plan_remote told;
    char reason[49];
    char message[ERR_MESSAGE_MAX];
};

void remote_source_init(struct run *run);
void remote_source_finish(struct run *run);
void remote_source_observe(const struct run *run, struct plan_observed *observed);
/* Why a stream whose plan names the source's peer does not run. */
void remote_source_describe(const struct run *run, const struct plan *plan, const char **ret_reason,
                            char message[static ERR_MESSAGE_MAX]);

/* Actions. The path is that of the receiving end. */
enum err remote_source_open_path(struct run *run, struct path **ret, struct err_info *reterr);
void remote_source_attach(struct run *run);
/* Not needed any more: the source is told. */
void remote_source_detach(struct run *run);
/* Another link takes its place: the source will see. */
void remote_source_drop(struct run *run);
/* The receiving end is gone. */
void remote_source_path_gone(struct run *run);

/* News. The stream was written: asks again at once, whatever was said before. */
void remote_source_forgive(struct run *run);
/* Something has changed: ask now instead of in a few seconds. */
void remote_source_renew(struct run *run);
/* Sound has stopped. Until the source has answered, for a second at most, nothing is said of it. */
void remote_source_ask_why(struct run *run);
/* Now and then. No sound has come yet: asks once, where it has had the time to come. */
void remote_source_wonder(struct run *run);
void remote_source_flows(struct run *run);
/* Its link is up or down, or it has been restarted. */
void remote_source_peer_changed(struct reconcile *reconcile, const char *peer_uid);
/* The source itself, as that peer tells everybody. */
void remote_source_endpoint_changed(struct reconcile *reconcile, const char *peer_uid, const char *endpoint_uid);
