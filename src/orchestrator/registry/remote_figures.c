/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "orchestrator/registry/remote_priv.h"

/*
 * Figures of other peers, on demand: one GET /state for all that a peer has, once a second at most however many look. Only
 * figures are taken, and only where the object is otherwise as it is known here: what else has changed comes as an event,
 * and a reply that was late must not undo it. So no event is made either.
 */

/* ---- taking ---- */

union shown {
    struct stream stream;
    struct endpoint endpoint;
};

struct pair {
    union shown held, said;
};

static bool merge_stream(const struct stream *from, struct stream *to) {
    const struct stream_status *said = &from->status;
    struct stream_status *status = &to->status;
    if (from->generation != to->generation || said->state != status->state || strcmp(said->since, status->since) != 0)
        return false;
    status->latency_ms = said->latency_ms;
    status->packets = said->packets;
    status->samples = said->samples;
    status->has_glitches = said->has_glitches;
    status->glitches = said->glitches;
    status->ledger = said->ledger;
    status->n_level_dbfs = said->n_level_dbfs;
    memcpy(status->level_dbfs, said->level_dbfs, sizeof status->level_dbfs);
    status->uptime_s = said->uptime_s;
    return true;
}

static bool merge_endpoint(const struct endpoint *from, struct endpoint *to) {
    const struct endpoint_status *said = &from->status;
    struct endpoint_status *status = &to->status;
    if (from->generation != to->generation || said->state != status->state || strcmp(said->since, status->since) != 0)
        return false;
    status->active_streams = said->active_streams;
    status->has_position_ms = said->has_position_ms;
    status->position_ms = said->position_ms;
    status->frames = said->frames;
    status->has_xruns = said->has_xruns;
    status->xruns = said->xruns;
    status->has_period_ms = said->has_period_ms;
    status->period_ms = said->period_ms;
    status->has_encoders = said->has_encoders;
    status->encoders = said->encoders;
    status->ledger = said->ledger;
    status->n_level_dbfs = said->n_level_dbfs;
    memcpy(status->level_dbfs, said->level_dbfs, sizeof status->level_dbfs);
    return true;
}

static bool merge(struct pair *pair, bool is_stream) {
    return is_stream ? merge_stream(&pair->said.stream, &pair->held.stream)
                     : merge_endpoint(&pair->said.endpoint, &pair->held.endpoint);
}

/* What cannot be read is passed over, as in a snapshot. */
static void take_one(struct remote_peer *peer, yyjson_val *value, bool is_stream, struct pair *pair) {
    const struct schema *schema = is_stream ? &stream_schema : &endpoint_schema;
    const char *uid = yyjson_get_str(yyjson_obj_get(value, is_stream ? "stream_uid" : "endpoint_uid"));
    struct remote_object *object =
        uid ? map_get(is_stream ? &peer->streams_by_uid : &peer->endpoints_by_uid, uid) : nullptr;
    char *json = nullptr;
    size_t len = 0;
    if (!object || schema_decode(schema, value, SCHEMA_IGNORE_UNKNOWN, &pair->said, nullptr, nullptr) != ERR_OK ||
        schema_decode_text(schema, object->json, object->json_len, 0, &pair->held, nullptr, nullptr) != ERR_OK ||
        !merge(pair, is_stream) || schema_encode_text(schema, &pair->held, &json, &len, nullptr) != ERR_OK)
        return;
    free(object->json);
    object->json = json;
    object->json_len = len;
}

static void doc_freep(yyjson_doc **doc) {
    yyjson_doc_free(*doc);
}

void remote_take_figures(struct remote_peer *peer, const char *json, size_t len) {
    constexpr struct json_limits LIMITS = {.max_bytes = LINKS_REPLY_MAX, .max_depth = 16};
    static const char *const NAMES[] = {"endpoints", "streams"};
    _cleanup_(doc_freep) yyjson_doc *doc = nullptr;
    _cleanup_(freep) struct pair *pair = malloc(sizeof *pair);
    struct err_info info = {};
    if (!pair)
        return;
    if (json_parse(json, len, &LIMITS, &doc, &info) != ERR_OK) {
        remote_complain(peer, "figures", &info);
        return;
    }
    for (size_t is_stream = 0; is_stream < 2; is_stream++) {
        size_t i, n;
        yyjson_val *value;
        yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), NAMES[is_stream]), i, n, value) {
            take_one(peer, value, is_stream, pair);
        }
    }
}

/* ---- waiting ---- */

static int64_t now_ns(const struct remote *remote) {
    return loop_now_ns(remote->registry->loop);
}

static bool is_wanted(const struct remote_wait *wait, const struct remote_peer *peer) {
    return !*wait->peer_uid || strcmp(wait->peer_uid, peer->uid) == 0;
}

/* One that takes too long is not waited for again until it has answered. */
static bool is_awaited(const struct remote_peer *peer) {
    return peer->figures && now_ns(peer->remote) - peer->figures_asked_ns < REMOTE_FIGURES_WAIT_NS;
}

static bool is_over(const struct remote_wait *wait) {
    const struct remote_peer *peer;
    list_for_each(peer, &wait->remote->peers, link) {
        if (is_wanted(wait, peer) && is_awaited(peer))
            return false;
    }
    return true;
}

void remote_refresh_cancel(struct remote_wait *wait) {
    if (!wait->remote)
        return;
    loop_timer_stop(wait->remote->registry->loop, &wait->timer);
    list_remove(&wait->link);
    wait->remote = nullptr;
}

static void end(void *arg) {
    struct remote_wait *wait = arg;
    remote_refresh_cancel(wait);
    wait->done(wait->arg);
}

/* Whoever is told may come back at once, or make others go. */
static void end_those_that_are_over(struct remote *remote) {
    struct remote_wait *wait, *next;
    do {
        next = nullptr;
        list_for_each(wait, &remote->waits, link) {
            if (!next && is_over(wait))
                next = wait;
        }
        if (next)
            end(next);
    } while (next);
}

/* ---- asking ---- */

static void on_reply(void *arg, const struct links_reply *reply, const struct err_info *) {
    struct remote_peer *peer = arg;
    peer->figures = nullptr;
    if (reply && reply->status == 200 && !reply->streaming)
        remote_take_figures(peer, reply->body ? reply->body : "", reply->body_len);
    end_those_that_are_over(peer->remote);
}

/* The call outlives the patience of those who wait, so that one that is slow is not asked ever more. */
static void ask(struct remote_peer *peer) {
    static const struct links_caller CALLER = {.reply = on_reply};
    char query[64];
    snprintf(query, sizeof query, "peer=%s", peer->uid);
    const struct links_request request = {
        .method = "GET", .path = "/state", .query = query, .role = ROSTER_ADMIN, .repeatable = true};
    peer->figures_asked_ns = now_ns(peer->remote);
    peer->figures = links_ask(peer->remote->links, peer->uid, &request, &CALLER, peer);
}

static bool is_due(const struct remote_peer *peer) {
    return peer->is_up && peer->is_in_step && !peer->figures && peer->n_streams + peer->n_endpoints > 0 &&
           (peer->figures_asked_ns == 0 || now_ns(peer->remote) - peer->figures_asked_ns >= REMOTE_FIGURES_NS);
}

bool remote_refresh(struct remote *remote, const char *peer_uid, struct remote_wait *wait, void (*done)(void *arg),
                    void *arg) {
    *wait = (struct remote_wait){.remote = remote, .done = done, .arg = arg};
    if (!remote)
        return false;
    snprintf(wait->peer_uid, sizeof wait->peer_uid, "%s", peer_uid);
    struct remote_peer *peer;
    list_for_each(peer, &remote->peers, link) {
        if (is_wanted(wait, peer) && is_due(peer))
            ask(peer);
    }
    if (is_over(wait)) {
        wait->remote = nullptr;
        return false;
    }
    list_append(&remote->waits, &wait->link);
    wait->timer = (struct loop_timer){.fire = end, .arg = wait};
    loop_timer_start(remote->registry->loop, &wait->timer, REMOTE_FIGURES_WAIT_NS);
    return true;
}

void remote_figures_stop(struct remote_peer *peer) {
    if (peer->figures)
        links_cancel(peer->figures);
    peer->figures = nullptr;
    peer->figures_asked_ns = 0; /* a new run has figures of its own */
    end_those_that_are_over(peer->remote);
}
