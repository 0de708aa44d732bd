/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/plan.h"

/* What a stream of these sides is made of. */
struct parts {
    bool source_node, destination_node, sender, receiver, attachment;
};

static struct parts parts_of(const struct plan_desired *d) {
    bool source = d->source == PLAN_SIDE_ENDPOINT, destination = d->destination == PLAN_SIDE_ENDPOINT;
    return (struct parts){.source_node = source,
                          .destination_node = destination,
                          .sender = source,
                          .receiver = destination,
                          .attachment = d->source == PLAN_SIDE_REMOTE && destination};
}

static bool is_available(const struct plan_desired *d, const struct plan_observed *o) {
    return (d->source != PLAN_SIDE_ENDPOINT || o->source_availability == PLAN_AVAILABLE) &&
           (d->source != PLAN_SIDE_REMOTE ||
            (o->source_peer != PLAN_REMOTE_FORBIDDEN && o->source_peer != PLAN_REMOTE_ENDED)) &&
           (d->destination != PLAN_SIDE_ENDPOINT || o->destination_availability == PLAN_AVAILABLE);
}

static bool is_linked(const struct plan_observed *o) {
    return o->sender != PLAN_PART_NONE || o->receiver != PLAN_PART_NONE || o->attachment != PLAN_PART_NONE;
}

/* Links that must go: nobody wants them, they are of an older spec, broken, or hang on a node that must go. */
static bool links_must_go(const struct plan_desired *d, const struct plan_observed *o, const struct parts *parts,
                          bool wanted) {
    return !wanted || o->link_failed || o->link_generation != d->generation || o->source_node_stale ||
           o->destination_node_stale || (o->sender != PLAN_PART_NONE && !parts->sender) ||
           (o->receiver != PLAN_PART_NONE && !parts->receiver) ||
           (o->attachment != PLAN_PART_NONE && !parts->attachment) || (parts->attachment && o->attachment_lost);
}

static uint32_t close_links(const struct plan_observed *o, bool wanted) {
    uint32_t actions = 0;
    if (o->attachment != PLAN_PART_NONE)
        actions |= wanted ? PLAN_DROP_ATTACHMENT : PLAN_DETACH;
    if (o->sender == PLAN_PART_UP)
        actions |= PLAN_CLOSE_SENDER;
    if (o->receiver == PLAN_PART_UP && o->sender == PLAN_PART_NONE)
        actions |= PLAN_CLOSE_RECEIVER;
    return actions;
}

static bool is_held(enum plan_part part) {
    return part == PLAN_PART_UP || part == PLAN_PART_STARTING;
}

/* Nodes nobody here needs any more. A node that is kept through a change of settings goes on playing or recording. */
static uint32_t release_nodes(const struct plan_observed *o, const struct parts *parts, bool wanted) {
    uint32_t actions = 0;
    if (o->sender == PLAN_PART_NONE && is_held(o->source_node) &&
        (!wanted || !parts->source_node || o->source_node_stale))
        actions |= PLAN_RELEASE_SOURCE_NODE;
    if (o->receiver == PLAN_PART_NONE && is_held(o->destination_node) &&
        (!wanted || !parts->destination_node || o->destination_node_stale))
        actions |= PLAN_RELEASE_DESTINATION_NODE;
    return actions;
}

static uint32_t open_parts(const struct plan_observed *o, const struct parts *parts) {
    uint32_t actions = 0;
    if (parts->source_node && o->source_node == PLAN_PART_NONE)
        actions |= PLAN_OPEN_SOURCE_NODE;
    if (parts->destination_node && o->destination_node == PLAN_PART_NONE)
        actions |= PLAN_OPEN_DESTINATION_NODE;
    /* Both nodes first: a receiver whose source does not open would only be taken down again. */
    if ((parts->source_node && o->source_node != PLAN_PART_UP) ||
        (parts->destination_node && o->destination_node != PLAN_PART_UP))
        return actions;
    if (parts->receiver && o->receiver == PLAN_PART_NONE)
        actions |= PLAN_OPEN_RECEIVER;
    if (parts->sender && o->sender == PLAN_PART_NONE && (!parts->receiver || o->receiver == PLAN_PART_UP))
        actions |= PLAN_OPEN_SENDER;
    if (parts->attachment && o->attachment == PLAN_PART_NONE && o->receiver == PLAN_PART_UP)
        actions |= PLAN_ATTACH;
    return actions;
}

static uint32_t choose_actions(const struct plan_desired *d, const struct plan_observed *o) {
    const struct parts parts = parts_of(d);
    bool wanted = d->exists && d->enabled && is_available(d, o) && (parts.sender || parts.receiver);
    bool sends = (parts.sender && o->sender != PLAN_PART_NONE) || o->attachment != PLAN_PART_NONE;
    bool half = wanted && parts.receiver && sends && o->receiver != PLAN_PART_UP;
    bool waits = o->retry_waiting || (parts.attachment && o->attachment_waiting);
    uint32_t actions = 0;
    if (is_linked(o) && (half || links_must_go(d, o, &parts, wanted)))
        actions |= close_links(o, wanted);
    else if (wanted && !waits && !o->source_node_stale && !o->destination_node_stale)
        actions |= open_parts(o, &parts);
    actions |= release_nodes(o, &parts, wanted);
    bool nothing_left = !is_linked(o) && o->source_node == PLAN_PART_NONE && o->destination_node == PLAN_PART_NONE;
    if (!d->exists && nothing_left)
        actions |= PLAN_FORGET;
    return actions;
}

/* ---- what to tell people ---- */

static struct plan told(enum plan_state state, const char *reason) {
    return (struct plan){.state = state, .reason = reason};
}

/* true: the side is why the stream does not run */
static bool blocks(enum plan_side_kind kind, enum plan_availability availability, struct plan *ret) {
    if (kind != PLAN_SIDE_ENDPOINT)
        return false;
    switch (availability) {
    case PLAN_AVAILABLE:
        return false;
    case PLAN_MISSING:
        *ret = told(PLAN_PENDING, "DeviceMissing");
        return true;
    case PLAN_DISABLED:
        *ret = told(PLAN_PENDING, "EndpointDisabled");
        return true;
    case PLAN_UNUSABLE:
        *ret = told(PLAN_FAILED, "EndpointUnusable");
        return true;
    case PLAN_ENDED:
        *ret = told(PLAN_STOPPED, "SourceEnded");
        return true;
    }
    return false;
}

static bool is_built(const struct plan_desired *d, const struct plan_observed *o) {
    const struct parts parts = parts_of(d);
    return o->link_generation == d->generation && (!parts.sender || o->sender == PLAN_PART_UP) &&
           (!parts.receiver || o->receiver == PLAN_PART_UP) && (!parts.attachment || o->attachment == PLAN_PART_UP);
}

/* The same for the peer of a remote source. What it said last is older news than the sound that comes. */
static bool blocks_remotely(const struct plan_observed *o, struct plan *ret) {
    bool sounds = o->flowing && !o->silent;
    switch (o->source_peer) {
    case PLAN_REMOTE_READY:
    case PLAN_REMOTE_IDLE:
    case PLAN_REMOTE_STARVED:
        return false;
    case PLAN_REMOTE_UNREACHABLE: /* until the lease is over, sound may go on or come back */
        *ret = told(o->attachment == PLAN_PART_UP ? PLAN_DEGRADED : PLAN_PENDING, "SourceUnreachable");
        return true;
    case PLAN_REMOTE_REFUSING:
        *ret = told(PLAN_PENDING, "SourceRefused");
        return !sounds;
    case PLAN_REMOTE_FORBIDDEN:
        *ret = told(PLAN_FAILED, "Forbidden");
        return true;
    case PLAN_REMOTE_WAITING:
        *ret = told(PLAN_PENDING, "SourceMissing");
        return !sounds;
    case PLAN_REMOTE_UNUSABLE:
        *ret = told(PLAN_FAILED, "SourceUnusable");
        return !sounds;
    case PLAN_REMOTE_ENDED:
        *ret = told(PLAN_STOPPED, "SourceEnded");
        return true;
    }
    return false;
}

/* Silence is right then. */
static bool is_idle(const struct plan_desired *d, const struct plan_observed *o) {
    if (d->source == PLAN_SIDE_REMOTE)
        return o->source_peer == PLAN_REMOTE_IDLE && (!o->flowing || o->silent);
    return d->source == PLAN_SIDE_ENDPOINT && o->source_idle;
}

static bool is_starved(const struct plan_desired *d, const struct plan_observed *o) {
    return o->starved || (d->source == PLAN_SIDE_REMOTE && o->source_peer == PLAN_REMOTE_STARVED);
}

static struct plan describe(const struct plan_desired *d, const struct plan_observed *o) {
    struct plan blocked;
    if (!d->exists)
        return told(PLAN_STOPPED, "Deleted");
    if (!d->enabled)
        return told(PLAN_STOPPED, "Disabled");
    if (d->source == PLAN_SIDE_EXTERNAL && d->destination == PLAN_SIDE_EXTERNAL)
        return told(PLAN_FAILED, "NoEndpoint");
    if (d->destination != PLAN_SIDE_ENDPOINT && d->source != PLAN_SIDE_ENDPOINT)
        return told(PLAN_FAILED, "NotOurs");
    if (blocks(d->source, o->source_availability, &blocked) ||
        blocks(d->destination, o->destination_availability, &blocked) ||
        (d->source == PLAN_SIDE_REMOTE && blocks_remotely(o, &blocked)))
        return blocked;
    if (o->retry_waiting || o->link_failed)
        return o->port_in_use ? told(PLAN_PENDING, "PortInUse") : told(PLAN_FAILED, "PathFailed");
    if (!is_built(d, o))
        return told(PLAN_CONNECTING, "Starting");
    if (is_idle(d, o))
        return told(PLAN_RUNNING, "SourceIdle");
    if (!o->flowing)
        return told(PLAN_CONNECTING, "NoMedia");
    if (o->silent)
        return told(PLAN_DEGRADED, "NoMedia");
    if (is_starved(d, o)) /* before what comes of it */
        return told(PLAN_DEGRADED, "PeriodTooLong");
    if (o->losing)
        return told(PLAN_DEGRADED, "PacketLoss");
    return told(PLAN_RUNNING, nullptr);
}

struct plan plan(const struct plan_desired *desired, const struct plan_observed *observed) {
    struct plan plan = describe(desired, observed);
    plan.actions = choose_actions(desired, observed);
    return plan;
}
