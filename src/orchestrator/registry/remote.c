/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/roster.h"
#include "orchestrator/registry/remote_priv.h"

constexpr int64_t STEADY_NS = 10 * NS_PER_S; /* in step for so long, the next failure is a first one */
constexpr int64_t COMPLAINTS_NS = 10 * NS_PER_S;

static int64_t now_ns(const struct remote_peer *peer) {
    return loop_now_ns(peer->remote->registry->loop);
}

static void wall_text(const struct remote_peer *peer, int64_t age_ns, char ret[static 25]) {
    char text[CLOCK_TEXT_SIZE];
    clock_format(text, clock_wall_ns(peer->remote->registry->loop->clock) - age_ns);
    snprintf(ret, 25, "%.24s", text);
}

void remote_complain(struct remote_peer *peer, const char *uid, const struct err_info *info) {
    int64_t now = now_ns(peer);
    if (peer->complained_ns && now - peer->complained_ns < COMPLAINTS_NS) {
        peer->n_unsaid++;
        return;
    }
    log_warn(peer->remote->log, "what another peer says is not taken", LOG_STR("peer", peer->uid), LOG_STR("of", uid),
             LOG_STR("at", info->pointer), LOG_STR("reason", info->message), LOG_UINT("more", peer->n_unsaid));
    peer->complained_ns = now;
    peer->n_unsaid = 0;
}

void remote_announce_peer(struct remote_peer *peer) {
    struct peer shown;
    remote_show_peer(peer, &shown);
    char *json = nullptr;
    size_t len = 0;
    if (schema_encode_text(&peer_schema, &shown, &json, &len, nullptr) != ERR_OK)
        json = nullptr;
    events_append_take(peer->remote->registry->events, EVENT_PEER_UPDATED, peer->uid, peer->uid, json, len);
}

void remote_show_peer(const struct remote_peer *peer, struct peer *ret) {
    *ret = peer->info;
    ret->uptime_s = peer->is_up && peer->was_seen
                        ? peer->info.uptime_s + (double)(now_ns(peer) - peer->info_ns) / (double)NS_PER_S
                        : 0;
}

/* ---- asking ---- */

/* The mirror asks for itself: the other side takes the lesser of this and the role it gives this peer. */
static struct links_call *ask(struct remote_peer *peer, const char *path, const char *query,
                              const struct links_caller *caller) {
    const struct links_request request = {
        .method = "GET", .path = path, .query = query, .role = ROSTER_ADMIN, .repeatable = true};
    return links_ask(peer->remote->links, peer->uid, &request, caller, peer);
}

static void stop_asking(struct remote_peer *peer) {
    loop_timer_stop(peer->remote->registry->loop, &peer->retry);
    loop_timer_stop(peer->remote->registry->loop, &peer->retry_meters);
    if (peer->call)
        links_cancel(peer->call);
    if (peer->meters)
        links_cancel(peer->meters);
    peer->call = peer->meters = nullptr;
    peer->is_in_step = false;
    remote_figures_stop(peer);
}

static void ask_state_later(struct remote_peer *peer, const struct err_info *why) {
    if (peer->is_in_step && now_ns(peer) - peer->in_step_ns >= STEADY_NS)
        peer->attempts = 0;
    peer->is_in_step = false;
    if (!peer->is_up)
        return; /* asked when it is back */
    log_debug(peer->remote->log, "asking a peer for its state again", LOG_STR("peer", peer->uid),
              LOG_STR("reason", why->message));
    int64_t pause_ns = REMOTE_RETRY_MIN_NS;
    for (unsigned i = 0; i < peer->attempts && pause_ns < REMOTE_RETRY_MAX_NS; i++)
        pause_ns *= 2;
    peer->attempts++;
    loop_timer_start(peer->remote->registry->loop, &peer->retry,
                     pause_ns < REMOTE_RETRY_MAX_NS ? pause_ns : REMOTE_RETRY_MAX_NS);
}

/* nullptr: a reply of the wanted kind. */
static const char *reply_trouble(const struct links_reply *reply, bool streaming) {
    if (reply->status != 200)
        return "it answered with another status than 200";
    return reply->streaming == streaming ? nullptr : "its answer is of another kind than was asked for";
}

static bool is_good(const struct links_reply *reply, bool streaming, const struct err_info *info,
                    struct err_info *ret_why) {
    const char *trouble = reply ? reply_trouble(reply, streaming) : nullptr;
    if (trouble)
        (void)err_set(ret_why, ERR_INVALID, "%s", trouble);
    else if (!reply)
        *ret_why = *info;
    return reply && !trouble;
}

static void on_events_reply(void *arg, const struct links_reply *reply, const struct err_info *info) {
    struct remote_peer *peer = arg;
    struct err_info why = {};
    if (is_good(reply, true, info, &why)) {
        peer->is_in_step = true;
        peer->in_step_ns = now_ns(peer);
        return;
    }
    if (reply && reply->streaming && peer->call)
        links_cancel(peer->call);
    peer->call = nullptr;
    ask_state_later(peer, &why);
}

static void on_event(void *arg, const struct links_event *event) {
    struct remote_peer *peer = arg;
    struct err_info why = {};
    if (remote_take_event(peer, event, &why) == ERR_OK)
        return;
    links_cancel(peer->call);
    peer->call = nullptr;
    ask_state_later(peer, &why);
}

static void on_events_ended(void *arg, const struct err_info *info) {
    struct remote_peer *peer = arg;
    peer->call = nullptr;
    ask_state_later(peer, info);
}

static void ask_events(struct remote_peer *peer) {
    static const struct links_caller CALLER = {on_events_reply, on_event, on_events_ended};
    char query[128];
    snprintf(query, sizeof query, "peer=%s&since=%s", peer->uid, peer->cursor);
    peer->call = ask(peer, "/events", query, &CALLER);
    if (!peer->call) {
        const struct err_info why = {.code = ERR_NO_MEMORY, .message = "out of memory"};
        ask_state_later(peer, &why);
    }
}

static void on_state_reply(void *arg, const struct links_reply *reply, const struct err_info *info) {
    struct remote_peer *peer = arg;
    struct err_info why = {};
    peer->call = nullptr;
    if (is_good(reply, false, info, &why) &&
        remote_take_state(peer, reply->body ? reply->body : "", reply->body_len, &why) == ERR_OK) {
        ask_events(peer);
        return;
    }
    if (why.code != ERR_UNAVAILABLE)
        remote_complain(peer, "state", &why);
    ask_state_later(peer, &why);
}

static void ask_state(void *arg) {
    static const struct links_caller CALLER = {.reply = on_state_reply};
    struct remote_peer *peer = arg;
    if (!peer->is_up || peer->call)
        return;
    char query[64];
    snprintf(query, sizeof query, "peer=%s", peer->uid);
    peer->call = ask(peer, "/state", query, &CALLER);
    if (!peer->call) {
        const struct err_info why = {.code = ERR_NO_MEMORY, .message = "out of memory"};
        ask_state_later(peer, &why);
    }
}

/* ---- meters ---- */

static void ask_meters(void *arg);

static void ask_meters_later(struct remote_peer *peer) {
    peer->meters = nullptr;
    if (peer->is_up && peer->remote->watched)
        loop_timer_start(peer->remote->registry->loop, &peer->retry_meters, REMOTE_RETRY_MAX_NS / 10);
}

static void on_meters_reply(void *arg, const struct links_reply *reply, const struct err_info *info) {
    struct remote_peer *peer = arg;
    struct err_info why = {};
    if (is_good(reply, true, info, &why))
        return;
    if (reply && reply->streaming && peer->meters)
        links_cancel(peer->meters);
    ask_meters_later(peer);
}

static void on_meter(void *arg, const struct links_event *event) {
    remote_take_meter(arg, event);
}

static void on_meters_ended(void *arg, const struct err_info *) {
    ask_meters_later(arg);
}

static void ask_meters(void *arg) {
    static const struct links_caller CALLER = {on_meters_reply, on_meter, on_meters_ended};
    struct remote_peer *peer = arg;
    if (!peer->is_up || !peer->remote->watched || peer->meters)
        return;
    char query[64];
    snprintf(query, sizeof query, "peer=%s&types=meter", peer->uid);
    peer->meters = ask(peer, "/events", query, &CALLER);
    if (!peer->meters)
        ask_meters_later(peer);
}

void remote_watch_meters(struct remote *remote, bool watched) {
    remote->watched = watched;
    struct remote_peer *peer;
    list_for_each(peer, &remote->peers, link) {
        loop_timer_stop(remote->registry->loop, &peer->retry_meters);
        if (watched) {
            ask_meters(peer);
        } else if (peer->meters) {
            links_cancel(peer->meters);
            peer->meters = nullptr;
        }
    }
}

/* ---- links that come and go ---- */

static const char *reason_word(enum err code) {
    switch ((int)code) {
    case ERR_OK:
        return "NotReached";
    case ERR_FORBIDDEN:
        return "Refused";
    case ERR_INVALID:
        return "WrongKey";
    case ERR_UNSUPPORTED:
        return "VersionMismatch";
    default:
        return "Unreachable";
    }
}

static void set_reason(struct remote_peer *peer, enum err code, const char *message) {
    struct peer *info = &peer->info;
    const char *address = peer->member->address;
    info->has_reason = PRESENCE_VALUE;
    snprintf(info->reason, sizeof info->reason, "%s", reason_word(code));
    if (*message)
        snprintf(info->message, sizeof info->message, "%s", message);
    else if (*address)
        snprintf(info->message, sizeof info->message, "It has not been reached yet at %s.", address);
    else
        snprintf(
            info->message, sizeof info->message,
            "It has not come yet, and no address of it is known here: give it one in site.peers to have it dialed.");
}

static void set_view(struct remote_peer *peer, const struct links_peer *link) {
    struct peer *info = &peer->info;
    enum peer_state before = info->state;
    if (link->state == LINKS_UP) {
        info->state = PEER_STATE_ONLINE;
        info->has_last_seen = info->has_reason = PRESENCE_NULL;
        info->last_seen[0] = info->reason[0] = info->message[0] = 0;
    } else {
        if (before == PEER_STATE_ONLINE) {
            info->state = PEER_STATE_OFFLINE;
            info->has_last_seen = PRESENCE_VALUE;
            int64_t now = now_ns(peer);
            wall_text(peer, link->heard_ns > 0 && link->heard_ns < now ? now - link->heard_ns : 0, info->last_seen);
        }
        set_reason(peer, link->reason.code, link->reason.message);
    }
    if (info->state != before)
        wall_text(peer, 0, info->since);
}

static void on_changed(void *arg, const char *peer_uid, const struct links_peer *link) {
    struct remote *remote = arg;
    struct remote_peer *peer = map_get(&remote->peers_by_uid, peer_uid);
    if (!peer)
        return;
    bool was_up = peer->is_up, is_up = link->state == LINKS_UP;
    bool is_other_run = is_up && was_up && link->epoch != peer->epoch;
    enum peer_state state_before = peer->info.state;
    char reason_before[sizeof peer->info.reason];
    memcpy(reason_before, peer->info.reason, sizeof reason_before);
    if (was_up && (!is_up || is_other_run))
        stop_asking(peer);
    peer->is_up = is_up;
    if (link->epoch)
        peer->epoch = link->epoch;
    set_view(peer, link);
    bool is_turn = was_up != is_up || is_other_run;
    const struct registry *registry = remote->registry;
    if (is_turn)
        log_info(remote->log, "peer changed", LOG_STR("peer", peer->uid),
                 LOG_STR("state", peer_state_name(peer->info.state)), LOG_STR("reason", peer->info.message));
    if (is_turn && registry->listener->peer_changed)
        registry->listener->peer_changed(registry->listener_arg, peer->uid);
    if (state_before != peer->info.state || strcmp(reason_before, peer->info.reason) != 0)
        remote_announce_peer(peer);
    if (is_turn && is_up) {
        peer->attempts = 0;
        ask_state(peer);
        ask_meters(peer);
    }
}

/* ---- life ---- */

static bool add_peer(struct remote *remote, const struct roster_member *member) {
    struct remote_peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        return false;
    peer->remote = remote;
    peer->member = member;
    memcpy(peer->uid, member->uid, UID_SIZE);
    peer->retry = (struct loop_timer){.fire = ask_state, .arg = peer};
    peer->retry_meters = (struct loop_timer){.fire = ask_meters, .arg = peer};
    struct peer *info = &peer->info;
    snprintf(info->peer_uri, sizeof info->peer_uri, "/peers/%s", peer->uid);
    memcpy(info->peer_uid, peer->uid, UID_SIZE);
    info->has_role = PRESENCE_VALUE;
    snprintf(info->role, sizeof info->role, "%s", roster_role_name(member->role));
    snprintf(info->spec.name, sizeof info->spec.name, "%s", peer->uid); /* until it says its own */
    info->state = PEER_STATE_PENDING;
    wall_text(peer, 0, info->since);
    info->has_last_seen = info->has_address = PRESENCE_NULL;
    info->has_signaling_address = *member->address ? PRESENCE_VALUE : PRESENCE_NULL;
    snprintf(info->signaling_address, sizeof info->signaling_address, "%s", member->address);
    info->has_node_id = PRESENCE_VALUE;
    snprintf(info->node_id, sizeof info->node_id, "%s", member->node_id);
    set_reason(peer, ERR_OK, "");
    if (!map_put(&remote->peers_by_uid, peer->uid, peer)) {
        free(peer);
        return false;
    }
    list_append(&remote->peers, &peer->link);
    return true;
}

struct remote *remote_create(struct registry *registry, struct links *links, const struct roster *roster) {
    struct remote *remote = calloc(1, sizeof *remote);
    if (!remote)
        return nullptr;
    remote->log = registry->log;
    remote->log.topic = "mirror";
    remote->registry = registry;
    remote->links = links;
    list_init(&remote->peers);
    list_init(&remote->endpoints);
    list_init(&remote->streams);
    list_init(&remote->waits);
    for (size_t i = 0; i < roster->n; i++) {
        if (!add_peer(remote, &roster->members[i])) {
            remote_destroy(remote);
            return nullptr;
        }
    }
    static const struct links_handler HANDLER = {.changed = on_changed};
    if (links)
        links_listen(links, &HANDLER, remote);
    return remote;
}

void remote_destroy(struct remote *remote) {
    if (!remote)
        return;
    while (!list_empty(&remote->waits))
        remote_refresh_cancel(list_first(&remote->waits, struct remote_wait, link));
    remote_objects_finish(remote);
    struct remote_peer *peer;
    list_for_each_safe(peer, &remote->peers, link) {
        stop_asking(peer);
        list_remove(&peer->link);
        free(peer);
    }
    map_finish(&remote->peers_by_uid);
    free(remote);
}

/* ---- looking ---- */

const struct remote_peer *remote_peer(const struct remote *remote, const char *uid) {
    return remote ? map_get(&remote->peers_by_uid, uid) : nullptr;
}

const struct remote_endpoint *remote_endpoint(const struct remote *remote, const char *peer_uid, const char *uid) {
    const struct remote_peer *peer = remote_peer(remote, peer_uid);
    return peer ? map_get(&peer->endpoints_by_uid, uid) : nullptr;
}

const struct remote_stream *remote_stream(const struct remote *remote, const char *uid) {
    return remote ? map_get(&remote->shown_streams, uid) : nullptr;
}

/* The list's links are not const behind a const mirror either. */
static struct list_link *next_link(const struct list *list, const struct list_link *previous) {
    struct list_link *next = previous ? previous->next : list->head.next;
    return next == &list->head ? nullptr : next;
}

const struct remote_peer *remote_next_peer(const struct remote *remote, const struct remote_peer *previous) {
    struct list_link *next = remote ? next_link(&remote->peers, previous ? &previous->link : nullptr) : nullptr;
    return next ? container_of(next, struct remote_peer, link) : nullptr;
}

const struct remote_endpoint *remote_next_endpoint(const struct remote *remote,
                                                   const struct remote_endpoint *previous) {
    struct list_link *next =
        remote ? next_link(&remote->endpoints, previous ? &previous->object.link : nullptr) : nullptr;
    return next ? container_of(next, struct remote_endpoint, object.link) : nullptr;
}

const struct remote_stream *remote_next_stream(const struct remote *remote, const struct remote_stream *previous) {
    const struct remote_stream *stream = previous;
    do {
        struct list_link *next =
            remote ? next_link(&remote->streams, stream ? &stream->object.link : nullptr) : nullptr;
        stream = next ? container_of(next, struct remote_stream, object.link) : nullptr;
    } while (stream && !stream->is_shown);
    return stream;
}
