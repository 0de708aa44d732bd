/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/reasons.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "orchestrator/link_settings.h"
#include "orchestrator/registry/show.h"

static const struct {
    const char *reason, *type, *message;
} REASONS[] = {
    {"Starting", "Stream", "The sound path is being built."},
    {"Disabled", "Stream", "The stream is switched off: set enabled to true to start it."},
    {"NoEndpoint", "Stream", "Both sides are external: one of them must be an endpoint of this peer."},
    {"SourceEnded", "Source",
     "The source has given all its sound. Write the stream again to play it once more, or set file.loop of the endpoint."},
    {"NoMedia", "Sound", "Everything is built, and no sound has come yet."},
    {"PacketLoss", "Sound",
     "More than 1 % of the sound of the last seconds was lost. A longer target latency or more repair packets help against "
     "a bad network; status.samples tells who is to blame."},
};

static void set(struct condition *ret, const char *type, const char *reason, const char *message) {
    snprintf(ret->type, sizeof ret->type, "%s", type);
    snprintf(ret->reason, sizeof ret->reason, "%s", reason);
    snprintf(ret->message, sizeof ret->message, "%s", message);
}

/* An endpoint is the reason: what it says itself is the best answer. */
static bool describe_side(const struct run *run, const struct stream_side *side, bool as_source,
                          struct condition *ret) {
    if (!stream_side_is_here(side))
        return false;
    const char *type = as_source ? "Source" : "Destination", *member = as_source ? "source" : "destination";
    const char *uid = side->endpoint.endpoint_uid;
    const struct endpoint_entry *entry = registry_endpoint(run->reconcile->registry, uid);
    char text[sizeof ret->message];
    if (!entry) {
        snprintf(
            text, sizeof text,
            "There is no endpoint %s: make it, or name another in %s.endpoint_uri. The stream starts by itself then.",
            uid, member);
        set(ret, type, "EndpointMissing", text);
        return true;
    }
    const struct endpoint_status *status = &entry->object.status;
    if (status->state == ENDPOINT_STATE_DISABLED) {
        snprintf(text, sizeof text, "The %s endpoint %s is switched off: set its enabled to true.", member, uid);
        set(ret, type, "EndpointDisabled", text);
        return true;
    }
    struct err_info info = {};
    if (stream_check_direction(as_source, uid, entry->direction, &info) != ERR_OK) {
        set(ret, type, "WrongDirection", info.message);
        return true;
    }
    if (status->state != ENDPOINT_STATE_AVAILABLE) {
        set(ret, type, status->reason, status->message);
        return true;
    }
    return false;
}

static void describe_idle(const struct run *run, struct condition *ret) {
    const struct stream_side *source = &run->sides.source;
    char text[sizeof ret->message], name[LIMIT_NAME + 1];
    if (source->is_remote && run->remote.told == PLAN_REMOTE_IDLE) { /* it knows the name of its endpoint */
        set(ret, "Source", "SourceIdle", run->remote.message);
        return;
    }
    show_name_of(run->reconcile->registry, source->endpoint.endpoint_uid, name);
    snprintf(text, sizeof text, "Nobody plays into %.128s/%.128s: the stream is silent until a program does.",
             run->reconcile->registry->self.info.spec.name, name);
    set(ret, "Source", "SourceIdle", text);
}

/* ---- a device that moves more sound at a time than the target holds ---- */

static const struct node_use *longest_use(const struct run *run) {
    const struct node *source = run->source.node, *destination = run->destination.node;
    if (source && (!destination || source->real_period_ns > destination->real_period_ns))
        return &run->source;
    return &run->destination;
}

int64_t reasons_longest_period(const struct run *run) {
    const struct node *node = longest_use(run)->node;
    return node ? node->real_period_ns : 0;
}

int64_t reasons_most_latency(const struct run *run) {
    int64_t min_ns, max_ns;
    link_settings_bounds(&run->spec, &run->sides, &min_ns, &max_ns);
    return max_ns;
}

static void describe_period(const struct run *run, struct condition *ret) {
    if (!run->starved) { /* the peer of the source has said it */
        set(ret, "Source", "PeriodTooLong", run->remote.message);
        return;
    }
    /* what a queue has to hold beside: the tick of a media thread, and a packet */
    constexpr int64_t ROOM_NS = 10 * NS_PER_MS;
    const struct node_use *use = longest_use(run);
    const char *uid =
        use->as_source ? run->sides.source.endpoint.endpoint_uid : run->sides.destination.endpoint.endpoint_uid;
    char text[sizeof ret->message], name[LIMIT_NAME + 1];
    const char *peer = run->attachment ? run->reconcile->registry->self.info.spec.name : "";
    show_name_of(run->reconcile->registry, uid, name);
    int64_t period_ns = reasons_longest_period(run);
    int least_ms = (int)((period_ns + ROOM_NS + NS_PER_MS - 1) / NS_PER_MS);
    bool is_fixed = run->spec.settings.has_target_latency_ms == PRESENCE_VALUE;
    snprintf(
        text, sizeof text,
        "The device %.128s%s%.128s moves %.1f ms of sound at a time, and a %s of %d ms does not hold that: sound is missing every "
        "time. %d ms is the least that works; or see what makes its period so long (another program, or PipeWire's "
        "clock.force-quantum).",
        peer, run->attachment ? "/" : "", name, (double)period_ns / (double)NS_PER_MS,
        is_fixed ? "target latency" : "latency_max_ms", (int)(reasons_most_latency(run) / NS_PER_MS), least_ms);
    set(ret, use->as_source ? "Source" : "Destination", "PeriodTooLong", text);
}

bool reasons_describe(const struct run *run, const struct plan *plan, struct condition *ret) {
    *ret = (struct condition){};
    if (!plan->reason)
        return false;
    static const char *const OF_ENDPOINTS[] = {"DeviceMissing", "EndpointDisabled", "EndpointUnusable"};
    for (size_t i = 0; i < sizeof OF_ENDPOINTS / sizeof *OF_ENDPOINTS; i++)
        if (strcmp(plan->reason, OF_ENDPOINTS[i]) == 0 && (describe_side(run, &run->sides.source, true, ret) ||
                                                           describe_side(run, &run->sides.destination, false, ret)))
            return true;
    if (strcmp(plan->reason, "PathFailed") == 0 || strcmp(plan->reason, "PortInUse") == 0) {
        if (run->failure.reason[0])
            set(ret, run->failure.type, run->failure.reason, run->failure.info.message);
        else
            set(ret, "Path", "PathFailed", "The sender of this link is gone: its owner has to ask with the next.");
        return true;
    }
    if (strcmp(plan->reason, "PeriodTooLong") == 0) {
        describe_period(run, ret);
        return true;
    }
    if (strcmp(plan->reason, "SourceIdle") == 0) {
        describe_idle(run, ret);
        return true;
    }
    static const char *const OF_PEERS[] = {"SourceUnreachable", "SourceRefused", "SourceMissing",
                                           "SourceUnusable",    "SourceEnded",   "Forbidden"};
    for (size_t i = 0; run->sides.source.is_remote && i < sizeof OF_PEERS / sizeof *OF_PEERS; i++)
        if (strcmp(plan->reason, OF_PEERS[i]) == 0) {
            const char *reason;
            char message[ERR_MESSAGE_MAX];
            remote_source_describe(run, plan, &reason, message);
            set(ret, "Source", reason, message);
            return true;
        }
    if (strcmp(plan->reason, "NoMedia") == 0 && run->sides.source.is_remote) {
        char text[sizeof ret->message];
        snprintf(
            text, sizeof text,
            "Peer %s says that it sends, and nothing comes: does a firewall stop UDP to the media port of this peer?",
            run->sides.source.endpoint.peer_uid);
        set(ret, "Sound", "NoMedia", text);
        return true;
    }
    if (strcmp(plan->reason, "NoMedia") == 0 && !run->sides.source.is_endpoint) {
        set(ret, "Sound", "NoMedia",
            plan->state == PLAN_DEGRADED
                ? "The sender has stopped sending, or its packets do not come through any more."
                : "No sound comes in: is the other side sending, to the addresses in "
                  "status.local_uris, and does no firewall stop it?");
        return true;
    }
    for (size_t i = 0; i < sizeof REASONS / sizeof *REASONS; i++)
        if (strcmp(plan->reason, REASONS[i].reason) == 0) {
            set(ret, REASONS[i].type, REASONS[i].reason, REASONS[i].message);
            return true;
        }
    set(ret, "Stream", plan->reason, "");
    return true;
}
