/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "model/maxima.h"
#include "model/stream_check.h"
#include "orchestrator/registry/remote_priv.h"

/*
 * Reading what a peer says it has. Two kinds of trouble are told apart: what cannot be read at all (ERR_INVALID,
 * ERR_MALFORMED), and what reads well and may not be claimed (ERR_FORBIDDEN, ERR_LIMIT), which is logged and passed over.
 */

enum thing { THING_ENDPOINT, THING_STREAM };

static const struct thing_info {
    const char *name;
    size_t max; /* of one peer */
    enum event_type added, updated, removed;
} THINGS[] = {
    [THING_ENDPOINT] = {"endpoint", LIMIT_ENDPOINTS, EVENT_ENDPOINT_ADDED, EVENT_ENDPOINT_UPDATED,
                        EVENT_ENDPOINT_REMOVED},
    [THING_STREAM] = {"stream", LIMIT_STREAMS, EVENT_STREAM_ADDED, EVENT_STREAM_UPDATED, EVENT_STREAM_REMOVED},
};

static struct map *map_of(struct remote_peer *peer, enum thing thing) {
    return thing == THING_ENDPOINT ? &peer->endpoints_by_uid : &peer->streams_by_uid;
}

static struct list *list_of(struct remote *remote, enum thing thing) {
    return thing == THING_ENDPOINT ? &remote->endpoints : &remote->streams;
}

static size_t *count_of(struct remote_peer *peer, enum thing thing) {
    return thing == THING_ENDPOINT ? &peer->n_endpoints : &peer->n_streams;
}

static void tell_listener(struct remote_peer *peer, enum thing thing, const char *uid) {
    const struct registry *registry = peer->remote->registry;
    if (thing == THING_ENDPOINT && registry->listener->remote_endpoint_changed)
        registry->listener->remote_endpoint_changed(registry->listener_arg, peer->uid, uid);
}

static void append_event(struct remote_peer *peer, enum event_type type, const char *uid, const char *json,
                         size_t len) {
    char *copy = malloc(len + 1);
    if (copy) {
        memcpy(copy, json, len);
        copy[len] = 0;
    }
    events_append_take(peer->remote->registry->events, type, peer->uid, uid, copy, len);
}

/* ---- objects ---- */

static void object_free(struct remote_object *object) {
    free(object->json);
    free(object);
}

static void announce(const struct remote_object *object, enum event_type type) {
    append_event(object->peer, type, object->uid, object->json, object->json_len);
}

static void announce_removed(const struct remote_object *object, enum thing thing) {
    const struct remote_peer *peer = object->peer;
    struct removed removed = {};
    if (thing == THING_ENDPOINT)
        snprintf(removed.uri, sizeof removed.uri, "/peers/%s/endpoints/%s", peer->uid, object->uid);
    else
        snprintf(removed.uri, sizeof removed.uri, "/streams/%s", object->uid);
    snprintf(removed.uid, sizeof removed.uid, "%s", object->uid);
    char *json = nullptr;
    size_t len = 0;
    if (schema_encode_text(&removed_schema, &removed, &json, &len, nullptr) != ERR_OK)
        json = nullptr;
    events_append_take(peer->remote->registry->events, THINGS[thing].removed, peer->uid, object->uid, json, len);
}

/* ---- streams of one uid ---- */

/* Shown, if no other is. ERR_FORBIDDEN: another is, and this one waits; ERR_NO_MEMORY: so it does. */
static enum err stream_show(struct remote_stream *stream, struct err_info *reterr) {
    const char *uid = stream->object.uid;
    struct remote *remote = stream->object.peer->remote;
    const struct remote_stream *shown = map_get(&remote->shown_streams, uid);
    if (registry_stream(remote->registry, uid))
        return err_set(reterr, ERR_FORBIDDEN, "it claims the uid of stream %s, which belongs to this peer", uid);
    if (shown)
        return err_set(reterr, ERR_FORBIDDEN,
                       "it claims the uid of stream %s, of which peer %s told first: that one is shown until it goes",
                       uid, shown->object.peer->uid);
    if (!map_put(&remote->shown_streams, uid, stream))
        return err_set(reterr, ERR_NO_MEMORY, "no memory for stream %s", uid);
    stream->is_shown = true;
    announce(&stream->object, EVENT_STREAM_ADDED);
    return ERR_OK;
}

static void stream_hide(struct remote_stream *stream) {
    struct remote_object *object = &stream->object;
    map_remove(&object->peer->remote->shown_streams, object->uid);
    stream->is_shown = false;
    announce_removed(object, THING_STREAM);
}

/* Nobody's is shown any more: the turn of the one that was heard of next. */
static void show_next_of(struct remote *remote, const char *uid) {
    struct remote_stream *next = nullptr, *stream;
    const struct remote_peer *peer;
    list_for_each(peer, &remote->peers, link) {
        stream = map_get(&peer->streams_by_uid, uid);
        if (stream && (!next || stream->object.order < next->object.order))
            next = stream;
    }
    struct err_info info = {};
    if (next && stream_show(next, &info) != ERR_OK)
        remote_complain(next->object.peer, THINGS[THING_STREAM].name, &info);
}

void remote_stream_is_ours(struct remote *remote, const char *uid) {
    struct remote_stream *stream = remote ? map_get(&remote->shown_streams, uid) : nullptr;
    if (stream)
        stream_hide(stream);
}

void remote_stream_was_ours(struct remote *remote, const char *uid) {
    if (remote)
        show_next_of(remote, uid);
}

/* ---- objects of a peer ---- */

static void object_remove(struct remote_object *object, enum thing thing) {
    struct remote_peer *peer = object->peer;
    struct remote_stream *stream = thing == THING_STREAM ? (struct remote_stream *)object : nullptr;
    bool was_hidden = stream && !stream->is_shown;
    map_remove(map_of(peer, thing), object->uid);
    list_remove(&object->link);
    --*count_of(peer, thing);
    tell_listener(peer, thing, object->uid);
    if (stream && !was_hidden) {
        stream_hide(stream);
        show_next_of(peer->remote, object->uid);
    } else if (!stream) {
        announce_removed(object, thing);
    }
    object_free(object);
}

/* What the peer has under this uid already, nullptr: nothing, and there is room for it. */
static enum err find_present(struct remote_peer *peer, enum thing thing, const char *uid,
                             struct remote_object **ret_object, struct err_info *reterr) {
    struct remote_object *object = map_get(map_of(peer, thing), uid);
    if (!object && *count_of(peer, thing) >= THINGS[thing].max)
        return err_set(reterr, ERR_LIMIT, "it has more than %zu %ss, and no more are taken", THINGS[thing].max,
                       THINGS[thing].name);
    *ret_object = object;
    return ERR_OK;
}

/* What is said now of the object; `made` is a new one (for its size), given back or kept. */
static enum err object_put(struct remote_peer *peer, enum thing thing, struct remote_object *present, const char *uid,
                           int64_t generation, size_t size, const struct schema *schema, const void *shown,
                           struct remote_object **ret, struct err_info *reterr) {
    _cleanup_(freep) char *json = nullptr;
    size_t len;
    enum err err = schema_encode_text(schema, shown, &json, &len, reterr);
    if (err)
        return err;
    if (present && present->json_len == len && memcmp(present->json, json, len) == 0) {
        present->is_seen = true;
        *ret = nullptr; /* nothing is new */
        return ERR_OK;
    }
    struct remote_object *object = present;
    if (!object) {
        object = calloc(1, size);
        if (!object || !map_put(map_of(peer, thing), uid, object)) {
            free(object);
            return err_set(reterr, ERR_NO_MEMORY, "no memory for %s %s", THINGS[thing].name, uid);
        }
        snprintf(object->uid, sizeof object->uid, "%s", uid);
        object->peer = peer;
        object->order = ++peer->remote->last_order;
        list_append(list_of(peer->remote, thing), &object->link);
        ++*count_of(peer, thing);
    }
    free(object->json);
    object->json = TAKE_PTR(json);
    object->json_len = len;
    object->generation = generation;
    object->is_seen = true;
    *ret = object;
    return ERR_OK;
}

static enum err take_endpoint(struct remote_peer *peer, yyjson_val *value, struct err_info *reterr) {
    _cleanup_(freep) struct endpoint *shown = calloc(1, sizeof *shown);
    if (!shown)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for an endpoint");
    enum err err = schema_decode(&endpoint_schema, value, SCHEMA_IGNORE_UNKNOWN, shown, nullptr, reterr);
    if (err)
        return err;
    if (strcmp(shown->peer_uid, peer->uid) != 0)
        return err_set(reterr, ERR_FORBIDDEN, "it tells of endpoint %s, which it says is that of peer %s",
                       shown->endpoint_uid, shown->peer_uid);
    struct remote_object *object = nullptr;
    err = find_present(peer, THING_ENDPOINT, shown->endpoint_uid, &object, reterr);
    if (err)
        return err;
    snprintf(shown->endpoint_uri, sizeof shown->endpoint_uri, "/peers/%s/endpoints/%s", peer->uid, shown->endpoint_uid);
    bool is_new = !object;
    err = object_put(peer, THING_ENDPOINT, object, shown->endpoint_uid, shown->generation,
                     sizeof(struct remote_endpoint), &endpoint_schema, shown, &object, reterr);
    if (err || !object)
        return err;
    struct remote_endpoint *endpoint = (struct remote_endpoint *)object;
    endpoint->direction = shown->stream_direction;
    endpoint->kind = shown->spec.kind;
    endpoint->state = shown->status.state;
    memcpy(endpoint->reason, shown->status.reason, sizeof endpoint->reason);
    memcpy(endpoint->display_name, shown->spec.display_name, sizeof endpoint->display_name);
    tell_listener(peer, THING_ENDPOINT, object->uid);
    announce(object, is_new ? EVENT_ENDPOINT_ADDED : EVENT_ENDPOINT_UPDATED);
    return ERR_OK;
}

/* The endpoint of one side; empty strings where it is external. */
static enum err read_side(const struct connection *connection, char ret_uid[static UID_SIZE],
                          char ret_peer_uid[static UID_SIZE], struct err_info *reterr) {
    ret_uid[0] = ret_peer_uid[0] = 0;
    if (connection->connection_type != CONNECTION_TYPE_ENDPOINT)
        return ERR_OK;
    struct uri_endpoint uri;
    enum err err = uri_parse_endpoint(connection->endpoint.endpoint_uri, &uri, reterr);
    if (err)
        return err;
    if (uri.is_self)
        return err_set(reterr, ERR_FORBIDDEN, "it tells of a stream whose endpoint is called that of 'self'");
    memcpy(ret_uid, uri.endpoint_uid, UID_SIZE);
    memcpy(ret_peer_uid, uri.peer_uid, UID_SIZE);
    return ERR_OK;
}

static enum err take_stream(struct remote_peer *peer, yyjson_val *value, struct err_info *reterr) {
    _cleanup_(freep) struct stream *shown = calloc(1, sizeof *shown);
    if (!shown)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a stream");
    struct remote_stream sides = {};
    enum err err = schema_decode(&stream_schema, value, SCHEMA_IGNORE_UNKNOWN, shown, nullptr, reterr);
    if (!err)
        err = read_side(&shown->spec.source, sides.source_uid, sides.source_peer_uid, reterr);
    if (!err)
        err = read_side(&shown->spec.destination, sides.destination_uid, sides.destination_peer_uid, reterr);
    if (err)
        return err;
    const char *owner = *sides.destination_peer_uid ? sides.destination_peer_uid : sides.source_peer_uid;
    if (strcmp(owner, peer->uid) != 0)
        return err_set(reterr, ERR_FORBIDDEN, "it tells of stream %s, which belongs to %s%s", shown->stream_uid,
                       *owner ? "peer " : "nobody", owner);
    struct remote_object *object = nullptr;
    err = find_present(peer, THING_STREAM, shown->stream_uid, &object, reterr);
    if (err)
        return err;
    snprintf(shown->stream_uri, sizeof shown->stream_uri, "/streams/%s", shown->stream_uid);
    bool is_new = !object;
    err = object_put(peer, THING_STREAM, object, shown->stream_uid, shown->generation, sizeof(struct remote_stream),
                     &stream_schema, shown, &object, reterr);
    if (err || !object)
        return err;
    struct remote_stream *stream = (struct remote_stream *)object;
    memcpy(stream->source_uid, sides.source_uid, UID_SIZE);
    memcpy(stream->source_peer_uid, sides.source_peer_uid, UID_SIZE);
    memcpy(stream->destination_uid, sides.destination_uid, UID_SIZE);
    memcpy(stream->destination_peer_uid, sides.destination_peer_uid, UID_SIZE);
    if (stream->is_shown)
        announce(object, EVENT_STREAM_UPDATED);
    else
        err = stream_show(stream, is_new ? reterr : nullptr);
    if (err == ERR_NO_MEMORY)
        object_remove(object, THING_STREAM);
    return is_new || err == ERR_NO_MEMORY ? err : ERR_OK; /* said once */
}

static enum err take_peer(struct remote_peer *peer, yyjson_val *value, struct err_info *reterr) {
    _cleanup_(freep) struct peer *said = calloc(1, sizeof *said);
    if (!said)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a peer");
    enum err err = schema_decode(&peer_schema, value, SCHEMA_IGNORE_UNKNOWN, said, nullptr, reterr);
    if (err)
        return err;
    if (strcmp(said->peer_uid, peer->uid) != 0)
        return err_set(reterr, ERR_FORBIDDEN, "it tells of peer %s as if it were that one", said->peer_uid);
    struct peer now = peer->info; /* what is the business of this side stays */
    now.spec = said->spec;
    now.generation = said->generation;
    now.has_address = said->has_address;
    memcpy(now.address, said->address, sizeof now.address);
    memcpy(now.version, said->version, sizeof now.version);
    now.n_drivers = said->n_drivers;
    memcpy(now.drivers, said->drivers, sizeof now.drivers);
    memcpy(now.platform, said->platform, sizeof now.platform);
    bool is_same = schema_equal(&peer_schema, &peer->info, &now);
    now.uptime_s = said->uptime_s;
    peer->info = now;
    peer->info_ns = loop_now_ns(peer->remote->registry->loop);
    peer->was_seen = true;
    if (!is_same)
        remote_announce_peer(peer);
    return ERR_OK;
}

/* ---- snapshots ---- */

static enum err take_all(struct remote_peer *peer, yyjson_val *state, const char *name,
                         enum err (*take)(struct remote_peer *peer, yyjson_val *value, struct err_info *reterr),
                         struct err_info *reterr) {
    yyjson_val *array = yyjson_obj_get(state, name);
    if (!yyjson_is_arr(array))
        return err_set(reterr, ERR_INVALID, "its state has no list of %s", name);
    size_t i, n;
    yyjson_val *value;
    yyjson_arr_foreach(array, i, n, value) {
        struct err_info info = {};
        enum err err = take(peer, value, &info);
        if (err == ERR_NO_MEMORY)
            return err_set(reterr, err, "%s", info.message);
        if (err)
            remote_complain(peer, name, &info);
    }
    return ERR_OK;
}

static void set_unseen(struct remote_peer *peer, enum thing thing) {
    struct list *list = list_of(peer->remote, thing);
    for (struct list_link *l = list->head.next; l != &list->head; l = l->next) {
        struct remote_object *object = container_of(l, struct remote_object, link);
        if (object->peer == peer)
            object->is_seen = false;
    }
}

static void remove_unseen(struct remote_peer *peer, enum thing thing) {
    struct list *list = list_of(peer->remote, thing);
    struct remote_object *object;
    list_for_each_safe(object, list, link) {
        if (object->peer == peer && !object->is_seen)
            object_remove(object, thing);
    }
}

static void doc_freep(yyjson_doc **doc) {
    yyjson_doc_free(*doc);
}

enum err remote_take_state(struct remote_peer *peer, const char *json, size_t len, struct err_info *reterr) {
    constexpr struct json_limits LIMITS = {.max_bytes = LINKS_REPLY_MAX, .max_depth = 16};
    _cleanup_(doc_freep) yyjson_doc *doc = nullptr;
    enum err err = json_parse(json, len, &LIMITS, &doc, reterr);
    if (err)
        return err;
    yyjson_val *state = yyjson_doc_get_root(doc);
    const char *cursor = yyjson_get_str(yyjson_obj_get(state, "cursor"));
    if (!cursor || !*cursor || strlen(cursor) >= sizeof peer->cursor ||
        strspn(cursor, "0123456789abcdef-") != strlen(cursor))
        return err_set(reterr, ERR_INVALID, "its state has no cursor");
    snprintf(peer->cursor, sizeof peer->cursor, "%s", cursor);
    set_unseen(peer, THING_ENDPOINT);
    set_unseen(peer, THING_STREAM);
    err = take_all(peer, state, "peers", take_peer, reterr);
    if (!err)
        err = take_all(peer, state, "endpoints", take_endpoint, reterr);
    if (!err)
        err = take_all(peer, state, "streams", take_stream, reterr);
    if (err)
        return err;
    remove_unseen(peer, THING_STREAM);
    remove_unseen(peer, THING_ENDPOINT);
    return ERR_OK;
}

/* ---- events ---- */

static enum err take_removed(struct remote_peer *peer, enum thing thing, yyjson_val *value, struct err_info *reterr) {
    struct removed removed;
    enum err err = schema_decode(&removed_schema, value, SCHEMA_IGNORE_UNKNOWN, &removed, nullptr, reterr);
    if (err)
        return err;
    struct remote_object *object = map_get(map_of(peer, thing), removed.uid);
    if (object) /* if not, it was one that was not taken */
        object_remove(object, thing);
    return ERR_OK;
}

static int find_type(const char *name) {
    int type = 0;
    while (type < EVENT_N_TYPES && strcmp(event_type_name((enum event_type)type), name) != 0)
        type++;
    return type;
}

enum err remote_take_event(struct remote_peer *peer, const struct links_event *event, struct err_info *reterr) {
    if (strcmp(event->name, "reset") == 0)
        return err_set(reterr, ERR_GENERATION, "its events have been reset");
    int type = find_type(event->name);
    if (type == EVENT_N_TYPES || type == EVENT_METER || type == EVENT_LOG)
        return ERR_OK; /* of a later version, or not for the mirror */
    _cleanup_(doc_freep) yyjson_doc *doc = nullptr;
    enum err err = json_parse(event->json, event->json_len, &JSON_LIMITS, &doc, reterr);
    if (err)
        return err;
    yyjson_val *value = yyjson_doc_get_root(doc);
    struct err_info info = {};
    if (type == EVENT_ENDPOINT_ADDED || type == EVENT_ENDPOINT_UPDATED)
        err = take_endpoint(peer, value, &info);
    else if (type == EVENT_STREAM_ADDED || type == EVENT_STREAM_UPDATED)
        err = take_stream(peer, value, &info);
    else if (type == EVENT_ENDPOINT_REMOVED || type == EVENT_STREAM_REMOVED)
        err = take_removed(peer, type == EVENT_ENDPOINT_REMOVED ? THING_ENDPOINT : THING_STREAM, value, &info);
    else if (type == EVENT_PEER_ADDED || type == EVENT_PEER_UPDATED)
        err = take_peer(peer, value, &info);
    if (err == ERR_NO_MEMORY)
        return err_set(reterr, err, "%s cannot be read: %s", event->name, info.message);
    if (err) /* it claims what is not its own, or is of a later version: as in a snapshot, the others go on */
        remote_complain(peer, event->name, &info);
    return ERR_OK;
}

void remote_take_meter(struct remote_peer *peer, const struct links_event *event) {
    struct meter meter;
    struct err_info info = {};
    if (find_type(event->name) != EVENT_METER)
        return;
    enum err err =
        schema_decode_text(&meter_schema, event->json, event->json_len, SCHEMA_IGNORE_UNKNOWN, &meter, nullptr, &info);
    if (err) {
        remote_complain(peer, event->name, &info);
        return;
    }
    const struct remote_stream *stream = map_get(&peer->streams_by_uid, meter.uid);
    bool is_stream = stream && stream->is_shown;
    if (!is_stream && !map_get(&peer->endpoints_by_uid, meter.uid))
        return; /* not known (yet), hidden, or not its own */
    if (is_stream)
        snprintf(meter.uri, sizeof meter.uri, "/streams/%s", meter.uid);
    else
        snprintf(meter.uri, sizeof meter.uri, "/peers/%s/endpoints/%s", peer->uid, meter.uid);
    char *json = nullptr;
    size_t len = 0;
    if (schema_encode_text(&meter_schema, &meter, &json, &len, nullptr) == ERR_OK)
        events_append_take(peer->remote->registry->events, EVENT_METER, peer->uid, meter.uid, json, len);
}

void remote_objects_finish(struct remote *remote) {
    for (enum thing thing = THING_ENDPOINT; thing <= THING_STREAM; thing++) {
        struct remote_object *object;
        list_for_each_safe(object, list_of(remote, thing), link) {
            list_remove(&object->link);
            object_free(object);
        }
        struct remote_peer *peer;
        list_for_each(peer, &remote->peers, link) {
            map_finish(map_of(peer, thing));
        }
    }
    map_finish(&remote->shown_streams);
}
