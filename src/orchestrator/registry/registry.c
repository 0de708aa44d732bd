/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "model/roster.h"
#include "orchestrator/registry/devices.h"
#include "orchestrator/registry/endpoints.h"
#include "orchestrator/registry/show.h"
#include "orchestrator/registry/stored_stream.h"

static struct endpoint_entry *endpoint_of(struct list_link *link) {
    return container_of(link, struct endpoint_entry, object.link);
}

static struct stream_entry *stream_of(struct list_link *link) {
    return container_of(link, struct stream_entry, object.link);
}

struct endpoint_entry *registry_endpoint(const struct registry *registry, const char *uid) {
    return map_get(&registry->endpoints_by_uid, uid);
}

struct stream_entry *registry_stream(const struct registry *registry, const char *uid) {
    return map_get(&registry->streams_by_uid, uid);
}

struct endpoint_entry *registry_next_endpoint(const struct registry *registry, const struct endpoint_entry *previous) {
    struct list_link *next = previous ? previous->object.link.next : registry->endpoints.head.next;
    return !next || next == &registry->endpoints.head ? nullptr : endpoint_of(next);
}

struct stream_entry *registry_next_stream(const struct registry *registry, const struct stream_entry *previous) {
    struct list_link *next = previous ? previous->object.link.next : registry->streams.head.next;
    return !next || next == &registry->streams.head ? nullptr : stream_of(next);
}

/* ---- events ---- */

void registry_announce(struct registry *registry, enum event_type type, const char *uid, const struct schema *schema,
                       const void *object) {
    char *json = nullptr;
    size_t len = 0;
    struct err_info info;
    if (schema_encode_text(schema, object, &json, &len, &info) != ERR_OK)
        json = nullptr; /* the log of events knows how to say that something was lost */
    events_append_take(registry->events, type, registry->self.uid, uid, json, len);
}

void registry_announce_endpoint(struct registry *registry, const struct endpoint_entry *entry, enum event_type type) {
    if (!registry->is_loaded)
        return;
    struct endpoint shown;
    show_endpoint(registry, entry, &shown);
    registry_announce(registry, type, entry->object.uid, &endpoint_schema, &shown);
}

void registry_announce_stream(struct registry *registry, const struct stream_entry *entry, enum event_type type) {
    if (!registry->is_loaded)
        return;
    struct stream shown;
    show_stream(registry, entry, &shown);
    registry_announce(registry, type, entry->object.uid, &stream_schema, &shown);
}

void registry_announce_peer(struct registry *registry) {
    struct peer shown;
    show_peer(registry, &shown);
    registry_announce(registry, EVENT_PEER_UPDATED, registry->self.uid, &peer_schema, &shown);
}

static void announce_removed(struct registry *registry, enum event_type type, const char *uid, const char *prefix) {
    struct removed removed = {};
    snprintf(removed.uri, sizeof removed.uri, "%s%s", prefix, uid);
    snprintf(removed.uid, sizeof removed.uid, "%s", uid);
    registry_announce(registry, type, uid, &removed_schema, &removed);
}

/* ---- changes in memory ---- */

static void bury(void *arg) {
    struct registry *registry = arg;
    struct list_link *link;
    while ((link = registry->dead_endpoints.head.next) != &registry->dead_endpoints.head) {
        list_remove(link);
        free(endpoint_of(link));
    }
    while ((link = registry->dead_streams.head.next) != &registry->dead_streams.head) {
        list_remove(link);
        free(stream_of(link));
    }
}

static void now_text(const struct registry *registry, char text[static CLOCK_TEXT_SIZE]) {
    clock_format(text, clock_wall_ns(registry->loop->clock));
}

static struct endpoint_entry *new_endpoint(struct registry *registry, const char *uid,
                                           const struct endpoint_spec *spec) {
    struct endpoint_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return nullptr;
    struct registry_endpoint *object = &entry->object;
    snprintf(object->uid, sizeof object->uid, "%s", uid);
    snprintf(object->system_name, sizeof object->system_name, "%s-%s", endpoint_kind_name(spec->kind), uid);
    level_clear(&entry->level);
    char now[CLOCK_TEXT_SIZE];
    now_text(registry, now);
    snprintf(object->status.since, sizeof object->status.since, "%s", now);
    if (!map_put(&registry->endpoints_by_uid, uid, entry)) {
        free(entry);
        return nullptr;
    }
    list_append(&registry->endpoints, &object->link);
    registry->n_endpoints++;
    return entry;
}

enum err registry_set_endpoint(struct registry *registry, const char *uid, int64_t generation,
                               const struct endpoint_spec *spec, struct err_info *reterr) {
    struct endpoint_entry *entry = registry_endpoint(registry, uid);
    enum event_type type = entry ? EVENT_ENDPOINT_UPDATED : EVENT_ENDPOINT_ADDED;
    if (!entry)
        entry = new_endpoint(registry, uid, spec);
    if (!entry)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for endpoint %s", uid);
    struct registry_endpoint *object = &entry->object;
    object->generation = generation;
    entry->is_stored = !registry->finding;
    const struct endpoint_spec before = object->spec;
    object->spec = *spec;
    endpoints_changed(registry, entry, &before);
    if (registry->is_loaded)
        registry->listener->endpoint_changed(registry->listener_arg, uid);
    registry_announce_endpoint(registry, entry, type);
    return ERR_OK;
}

void registry_drop_endpoint(struct registry *registry, struct endpoint_entry *entry) {
    devices_dropped(registry, entry);
    map_remove(&registry->endpoints_by_uid, entry->object.uid);
    list_remove(&entry->object.link);
    list_append(&registry->dead_endpoints, &entry->object.link);
    loop_timer_start(registry->loop, &registry->bury, 0);
    registry->n_endpoints--;
    registry->listener->endpoint_changed(registry->listener_arg, entry->object.uid);
    char prefix[64];
    snprintf(prefix, sizeof prefix, "/peers/%s/endpoints/", registry->self.uid);
    announce_removed(registry, EVENT_ENDPOINT_REMOVED, entry->object.uid, prefix);
}

static struct stream_entry *new_stream(struct registry *registry, const char *uid) {
    struct stream_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return nullptr;
    snprintf(entry->object.uid, sizeof entry->object.uid, "%s", uid);
    entry->object.status.latency_ms = (struct stream_latency){.has_end_to_end = PRESENCE_NULL,
                                                              .has_target = PRESENCE_NULL,
                                                              .has_network = PRESENCE_NULL,
                                                              .has_queue = PRESENCE_NULL};
    entry->object.status.local_uris = (struct stream_local_uris){
        .has_media = PRESENCE_NULL, .has_repair = PRESENCE_NULL, .has_control = PRESENCE_NULL};
    char now[CLOCK_TEXT_SIZE];
    now_text(registry, now);
    snprintf(entry->object.status.since, sizeof entry->object.status.since, "%s", now);
    if (!map_put(&registry->streams_by_uid, uid, entry)) {
        free(entry);
        return nullptr;
    }
    list_append(&registry->streams, &entry->object.link);
    registry->n_streams++;
    return entry;
}

enum err registry_set_stream(struct registry *registry, const char *uid, int64_t generation,
                             const struct stream_spec *spec, const struct grant *grant, struct err_info *reterr) {
    struct stream_sides sides;
    enum err err = stream_check(spec, &sides, reterr);
    if (err)
        return err;
    struct stream_entry *entry = registry_stream(registry, uid);
    enum event_type type = entry ? EVENT_STREAM_UPDATED : EVENT_STREAM_ADDED;
    if (!entry)
        entry = new_stream(registry, uid);
    if (!entry)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for stream %s", uid);
    entry->object.generation = generation;
    entry->object.spec = *spec;
    entry->object.has_grant = grant;
    entry->object.grant = grant ? *grant : (struct grant){};
    stream_sides_locate(&sides, registry->self.uid);
    entry->sides = sides;
    if (registry->is_loaded)
        registry->listener->stream_changed(registry->listener_arg, uid);
    if (type == EVENT_STREAM_ADDED)
        remote_stream_is_ours(registry->remote, uid);
    registry_announce_stream(registry, entry, type);
    return ERR_OK;
}

void registry_drop_stream(struct registry *registry, struct stream_entry *entry) {
    map_remove(&registry->streams_by_uid, entry->object.uid);
    list_remove(&entry->object.link);
    list_append(&registry->dead_streams, &entry->object.link);
    loop_timer_start(registry->loop, &registry->bury, 0);
    registry->n_streams--;
    registry->listener->stream_changed(registry->listener_arg, entry->object.uid);
    announce_removed(registry, EVENT_STREAM_REMOVED, entry->object.uid, "/streams/");
    remote_stream_was_ours(registry->remote, entry->object.uid);
}

/* ---- from the store ---- */

static enum err set_peer(struct registry *registry, int64_t generation, const char *json, size_t len,
                         struct err_info *reterr) {
    struct peer_spec spec;
    enum err err = schema_decode_text(&peer_spec_schema, json, len, SCHEMA_IGNORE_UNKNOWN, &spec, nullptr, reterr);
    if (err)
        return err;
    registry->self.info.spec = spec;
    registry->self.generation = registry->self.info.generation = generation;
    return ERR_OK;
}

static enum err set_stream(struct registry *registry, const char *uid, int64_t generation,
                           const struct stored_stream *stored, struct err_info *reterr) {
    struct stream_entry *present = registry_stream(registry, uid);
    if (!stored->is_removed) {
        tombstones_forget(&registry->tombstones, uid);
        return registry_set_stream(registry, uid, generation, &stored->spec,
                                   stored->has_grant ? &stored->grant : nullptr, reterr);
    }
    if (present)
        registry_drop_stream(registry, present);
    if (!tombstones_add(&registry->tombstones, uid, stored->removed_ms))
        return err_set(reterr, ERR_NO_MEMORY, "no memory to remember that stream %s was removed", uid);
    return ERR_OK;
}

static enum err set_from_json(struct registry *registry, enum store_kind kind, const char *uid, int64_t generation,
                              const char *json, size_t len, struct err_info *reterr) {
    struct endpoint_spec endpoint;
    struct stored_stream stream;
    enum err err = ERR_OK;
    switch (kind) {
    case STORE_PEER:
        return strcmp(uid, registry->self.uid) == 0 ? set_peer(registry, generation, json, len, reterr) : ERR_OK;
    case STORE_ENDPOINT:
        err = schema_decode_text(&endpoint_spec_schema, json, len, SCHEMA_IGNORE_UNKNOWN, &endpoint, nullptr, reterr);
        return err ? err : registry_set_endpoint(registry, uid, generation, &endpoint, reterr);
    case STORE_STREAM:
        err = stored_stream_decode(json, len, &stream, reterr);
        if (!err) /* earlier versions kept `self` as it was given */
            stream_resolve_self(&stream.spec, registry->self.uid);
        return err ? err : set_stream(registry, uid, generation, &stream, reterr);
    case STORE_N_KINDS:
        break;
    }
    return err_set(reterr, ERR_INTERNAL, "unknown kind of object in the store");
}

static void on_loaded(void *arg, enum store_kind kind, const char *uid, int64_t generation, const char *json,
                      size_t len) {
    struct registry *registry = arg;
    struct err_info info = {};
    if (set_from_json(registry, kind, uid, generation, json, len, &info) != ERR_OK)
        log_error(registry->log, "stored object cannot be read; it is left as it is", LOG_STR("uid", uid),
                  LOG_STR("at", info.pointer), LOG_STR("reason", info.message));
}

/* A write failed: memory follows the store. */
static void on_read_back(void *arg, enum store_kind kind, const char *uid, const char *json, size_t len,
                         int64_t generation) {
    struct registry *registry = arg;
    struct err_info info = {};
    struct endpoint_entry *endpoint = kind == STORE_ENDPOINT ? registry_endpoint(registry, uid) : nullptr;
    struct stream_entry *stream = kind == STORE_STREAM ? registry_stream(registry, uid) : nullptr;
    if (json && set_from_json(registry, kind, uid, generation, json, len, &info) != ERR_OK)
        log_error(registry->log, "stored object cannot be read", LOG_STR("uid", uid), LOG_STR("reason", info.message));
    else if (!json && endpoint && !devices_reset(registry, endpoint))
        registry_drop_endpoint(registry, endpoint);
    else if (!json && stream)
        registry_drop_stream(registry, stream);
    else if (kind == STORE_PEER) {
        if (!json) {
            registry->self.info.spec = registry->configured;
            registry->self.generation = registry->self.info.generation = 1;
        }
        registry_announce_peer(registry);
    }
}

enum err registry_load(struct registry *registry, struct err_info *reterr) {
    enum err err = registry->store->ops->load(registry->store, on_loaded, registry, reterr);
    if (err)
        return err;
    registry->is_loaded = true;
    endpoints_start(registry);
    devices_start(registry);
    tombstones_start(&registry->tombstones);
    log_info(registry->log, "loaded", LOG_UINT("endpoints", registry->n_endpoints),
             LOG_UINT("streams", registry->n_streams));
    return ERR_OK;
}

/* ---- life ---- */

static void fill_peer(struct registry *registry, const struct orchestrator_config *config) {
    struct registry_peer *self = &registry->self;
    struct peer *info = &self->info;
    snprintf(self->uid, sizeof self->uid, "%s", config->peer_uid);
    self->generation = 1;
    snprintf(info->peer_uri, sizeof info->peer_uri, "/peers/%s", self->uid);
    snprintf(info->peer_uid, sizeof info->peer_uid, "%s", self->uid);
    info->generation = 1;
    snprintf(info->spec.name, sizeof info->spec.name, "%s",
             config->peer_name && *config->peer_name ? config->peer_name : "rocd");
    registry->configured = info->spec;
    info->self = true;
    info->has_role = info->has_last_seen = info->has_reason = info->has_signaling_address = PRESENCE_NULL;
    info->state = PEER_STATE_ONLINE;
    char now[CLOCK_TEXT_SIZE];
    now_text(registry, now);
    snprintf(info->since, sizeof info->since, "%s", now);
    info->has_address = config->address && *config->address ? PRESENCE_VALUE : PRESENCE_NULL;
    snprintf(info->address, sizeof info->address, "%s", config->address ? config->address : "");
    info->has_node_id = config->node_id ? PRESENCE_VALUE : PRESENCE_NULL;
    snprintf(info->node_id, sizeof info->node_id, "%s", config->node_id ? config->node_id : "");
    snprintf(info->version, sizeof info->version, "%s", config->version ? config->version : "");
    struct utsname system;
    if (uname(&system) == 0)
        snprintf(info->platform, sizeof info->platform, "%.32s %.48s %.32s", system.sysname, system.release,
                 system.machine);
    for (size_t i = 0; i < registry->drivers->n && info->n_drivers < DRIVERS_MAX; i++)
        snprintf(info->drivers[info->n_drivers++], sizeof *info->drivers, "%s", registry->drivers->all[i].driver->name);
}

enum err registry_init(struct registry *registry, const struct orchestrator_config *config, struct events *events,
                       struct drivers *drivers, const struct registry_listener *listener, void *arg,
                       struct err_info *reterr) {
    *registry = (struct registry){.log = config->log,
                                  .loop = config->loop,
                                  .store = config->store,
                                  .events = events,
                                  .drivers = drivers,
                                  .roster = config->roster,
                                  .key = config->key,
                                  .listener = listener,
                                  .listener_arg = arg,
                                  .started_ns = loop_now_ns(config->loop)};
    registry->log.topic = "registry";
    list_init(&registry->endpoints);
    list_init(&registry->streams);
    list_init(&registry->dead_endpoints);
    list_init(&registry->dead_streams);
    registry->bury = (struct loop_timer){.fire = bury, .arg = registry};
    endpoints_init(registry);
    writes_init(&registry->writes, registry->log, config->loop, config->store, on_read_back, registry);
    tombstones_init(&registry->tombstones, config->loop, &registry->writes);
    if (!uid_is_valid(config->peer_uid))
        return err_set(reterr, ERR_INTERNAL, "the uid of this peer is not valid");
    fill_peer(registry, config);
    if (config->roster && config->roster->n > 0 &&
        !(registry->remote = remote_create(registry, config->links, config->roster)))
        return err_set(reterr, ERR_NO_MEMORY, "no memory for what other peers have");
    return ERR_OK;
}

void registry_finish(struct registry *registry) {
    if (!registry->loop)
        return;
    remote_destroy(registry->remote);
    loop_timer_stop(registry->loop, &registry->bury);
    endpoints_stop(registry);
    devices_stop(registry);
    tombstones_finish(&registry->tombstones);
    bury(registry);
    struct list_link *link;
    while ((link = registry->endpoints.head.next) != &registry->endpoints.head) {
        list_remove(link);
        free(endpoint_of(link));
    }
    while ((link = registry->streams.head.next) != &registry->streams.head) {
        list_remove(link);
        free(stream_of(link));
    }
    map_finish(&registry->endpoints_by_uid);
    map_finish(&registry->streams_by_uid);
    writes_finish(&registry->writes);
    *registry = (struct registry){};
}
