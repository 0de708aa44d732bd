/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/endpoint_kinds.h"
#include "model/maxima.h"
#include "orchestrator/link_settings.h"
#include "orchestrator/registry/devices.h"
#include "orchestrator/registry/endpoints.h"
#include "orchestrator/registry/feedback.h"
#include "orchestrator/registry/grants.h"
#include "orchestrator/registry/registry.h"
#include "orchestrator/registry/stored_stream.h"

/*
 * Writes: check, change memory, store, tell. All that can fail does so before memory changes.
 */

struct change {
    char uid[UID_SIZE];
    int64_t generation; /* of the object after the change */
    struct write *write;
    char *json; /* owned */
    size_t len;
};

static enum err check_serving(const struct registry *registry, struct err_info *reterr) {
    if (registry->is_stopping)
        return err_set(reterr, ERR_UNAVAILABLE,
                       "rocd is stopping and takes no changes any more: try again when it is back");
    if (!registry->is_loaded)
        return err_set(reterr, ERR_UNAVAILABLE, "rocd is starting and takes no changes yet: try again in a moment");
    return ERR_OK;
}

/* `present`: generation of the object, 0: there is none. */
static enum err check_generation(const char *what, const char *uid, int64_t present, int64_t wanted,
                                 struct err_info *reterr) {
    if (wanted == ANY_GENERATION || wanted == present)
        return ERR_OK;
    if (present == 0)
        return err_set(reterr, ERR_GENERATION, "there is no %s %s any more: read again what there is", what, uid);
    return err_set(reterr, ERR_GENERATION,
                   "%s %s is at generation %" PRId64 ", not %" PRId64 ": read it again and repeat the change", what,
                   uid, present, wanted);
}

static enum err choose_uid(const char *what, const char *uid, char ret[static UID_SIZE], struct err_info *reterr) {
    if (!*uid) {
        uid_random(ret);
        return ERR_OK;
    }
    if (!uid_is_valid(uid))
        return err_set(reterr, ERR_INVALID,
                       "'%.40s' is no uid of a %s: want three groups of six of a–z and 0–9, as in ab12cd-ef34gh-ij56kl",
                       uid, what);
    memcpy(ret, uid, UID_SIZE);
    return ERR_OK;
}

static void change_finish(struct change *change) {
    write_cancel(change->write);
    free(change->json);
}

static enum err change_begin(struct change *change, struct registry *registry, enum store_kind kind,
                             orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    change->write = write_create(&registry->writes, kind, change->uid, done, arg);
    return change->write ? ERR_OK : err_set(reterr, ERR_NO_MEMORY, "no memory for the change of %s", change->uid);
}

static enum err change_prepare(struct change *change, struct registry *registry, enum store_kind kind,
                               const struct schema *schema, const void *spec, orchestrator_done_fn done, void *arg,
                               struct err_info *reterr) {
    if (schema) {
        enum err err = schema_encode_text(schema, spec, &change->json, &change->len, reterr);
        if (err)
            return err;
    }
    return change_begin(change, registry, kind, done, arg, reterr);
}

static void change_store(struct change *change) {
    if (change->json)
        write_put(TAKE_PTR(change->write), change->generation, change->json, change->len);
    else
        write_remove(TAKE_PTR(change->write));
}

/* ---- endpoints ---- */

static enum err check_kind(const struct registry *registry, const struct endpoint_spec *spec,
                           const struct drivers_entry **ret, struct err_info *reterr) {
    const struct drivers_entry *driver = drivers_for(registry->drivers, spec);
    if (!driver && audio_driver_for_kind(spec->kind))
        return err_set_at(
            reterr, ERR_UNSUPPORTED, "/kind",
            "the driver '%s', which makes endpoints of kind '%s', is switched off here: /peers/self/drivers "
            "lists those in use",
            audio_driver_for_kind(spec->kind)->name, endpoint_kind_name(spec->kind));
    if (!driver)
        return err_set_at(reterr, ERR_UNSUPPORTED, "/kind",
                          "endpoints of kind '%s' are not built yet: /peers/self/drivers lists the kinds there are",
                          endpoint_kind_name(spec->kind));
    *ret = driver;
    return ERR_OK;
}

/* A source that becomes a destination under a stream would leave that stream without sense. */
static enum err check_turn(const struct registry *registry, const struct endpoint_entry *present,
                           enum stream_direction direction, struct err_info *reterr) {
    if (!present || present->direction == direction || direction == STREAM_DIRECTION_DUPLEX)
        return ERR_OK;
    const char *uid = present->object.uid;
    for (const struct stream_entry *s = nullptr; (s = registry_next_stream(registry, s));) {
        if (stream_sides_name(&s->sides, uid))
            return err_set(reterr, ERR_CONFLICT,
                           "endpoint %s cannot turn from %s to %s while stream %s uses it: remove the stream first, or "
                           "make another endpoint",
                           uid, stream_direction_name(present->direction), stream_direction_name(direction),
                           s->object.uid);
    }
    return ERR_OK;
}

static void fill_endpoint_defaults(struct endpoint_spec *spec) {
    if (spec->kind == ENDPOINT_KIND_TONE && spec->has_tone != PRESENCE_VALUE) {
        endpoint_tone_defaults(&spec->tone);
        spec->has_tone = PRESENCE_VALUE;
    }
    if (spec->kind == ENDPOINT_KIND_NULL && spec->has_null != PRESENCE_VALUE) {
        endpoint_null_defaults(&spec->null);
        spec->has_null = PRESENCE_VALUE;
    }
    if (spec->kind == ENDPOINT_KIND_BUS && spec->has_bus != PRESENCE_VALUE) {
        endpoint_bus_defaults(&spec->bus);
        spec->has_bus = PRESENCE_VALUE;
    }
    if (kind_is_of(spec->kind, KINDS_VIRTUAL) && spec->has_virtual != PRESENCE_VALUE) {
        endpoint_virtual_defaults(&spec->virtual);
        spec->has_virtual = PRESENCE_VALUE;
    }
}

static enum err check_endpoint(const struct registry *registry, const struct endpoint_entry *present,
                               const struct endpoint_spec *spec, struct err_info *reterr) {
    const struct drivers_entry *driver = nullptr;
    enum err err = check_kind(registry, spec, &driver, reterr);
    if (err)
        return err;
    if (present && present->object.spec.kind != spec->kind)
        return err_set_at(reterr, ERR_INVALID, "/kind",
                          "the kind of an endpoint cannot change from %s to %s: make another endpoint",
                          endpoint_kind_name(present->object.spec.kind), endpoint_kind_name(spec->kind));
    if (driver->driver->check)
        err = driver->driver->check(spec, reterr);
    if (err)
        return err;
    enum stream_direction direction = endpoints_direction(driver->driver->direction(spec));
    if (spec->delay_ms > 0 && direction != STREAM_DIRECTION_OUTPUT)
        return err_set_at(reterr, ERR_INVALID, "/delay_ms",
                          "only what takes sound and plays or keeps it can be delayed: set delay_ms of the endpoint "
                          "where it is heard");
    return check_turn(registry, present, direction, reterr);
}

enum err registry_put_endpoint(struct registry *registry, const char *uid, const struct endpoint_spec *wanted,
                               int64_t if_generation, char ret_uid[static UID_SIZE], orchestrator_done_fn done,
                               void *arg, struct err_info *reterr) {
    const struct endpoint_entry *present = *uid ? registry_endpoint(registry, uid) : nullptr;
    _cleanup_(change_finish) struct change change = {.generation = present ? present->object.generation + 1 : 1};
    struct endpoint_spec spec = *wanted;
    fill_endpoint_defaults(&spec);
    enum err err = check_serving(registry, reterr);
    if (!err)
        err = choose_uid("endpoint", uid, change.uid, reterr);
    if (!err)
        err = devices_check(registry, uid, present, &spec, change.uid, reterr);
    if (!err)
        err = check_generation("endpoint", uid, change.generation - 1, if_generation, reterr);
    if (!err && !present && registry->n_endpoints >= LIMIT_ENDPOINTS)
        err = err_set(reterr, ERR_LIMIT,
                      "there are %zu endpoints already, as many as LIMIT_ENDPOINTS allows: remove one first",
                      LIMIT_ENDPOINTS);
    if (!err)
        err = check_endpoint(registry, present, &spec, reterr);
    if (!err)
        err = change_prepare(&change, registry, STORE_ENDPOINT, &endpoint_spec_schema, &spec, done, arg, reterr);
    if (!err)
        err = registry_set_endpoint(registry, change.uid, change.generation, &spec, reterr);
    if (err)
        return err;
    memcpy(ret_uid, change.uid, UID_SIZE);
    change_store(&change);
    return ERR_OK;
}

static void add_user(char streams[static 160], size_t *n, const char *uid) {
    size_t used = strlen(streams);
    if ((*n)++ < 5)
        snprintf(streams + used, 160 - used, "%s%s", used ? ", " : "", uid);
}

/* Of other peers' streams those count that their owners still name: an attachment may end a moment later. */
static enum err check_unused(const struct registry *registry, const char *uid, struct err_info *reterr) {
    char streams[160] = "";
    size_t n = 0;
    for (const struct stream_entry *s = nullptr; (s = registry_next_stream(registry, s));)
        if (stream_sides_name(&s->sides, uid))
            add_user(streams, &n, s->object.uid);
    for (const struct remote_stream *s = nullptr; registry->remote && (s = remote_next_stream(registry->remote, s));)
        if (strcmp(s->source_peer_uid, registry->self.uid) == 0 && strcmp(s->source_uid, uid) == 0)
            add_user(streams, &n, s->object.uid);
    if (n == 0)
        return ERR_OK;
    return err_set(reterr, ERR_CONFLICT,
                   "endpoint %s is used by stream%s %s%s: remove %s first, or force it (force=true), which stops %s",
                   uid, n > 1 ? "s" : "", streams, n > 5 ? " and more" : "", n > 1 ? "them" : "it",
                   n > 1 ? "them" : "it");
}

enum err registry_remove_endpoint(struct registry *registry, const char *uid, int64_t if_generation, bool is_forced,
                                  orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    enum err err = check_serving(registry, reterr);
    if (err)
        return err;
    struct endpoint_entry *entry = registry_endpoint(registry, uid);
    if (!entry)
        return err_set(reterr, ERR_NOT_FOUND, "there is no endpoint %.40s: /peers/self/endpoints lists those there are",
                       uid);
    _cleanup_(change_finish) struct change change = {};
    snprintf(change.uid, sizeof change.uid, "%s", entry->object.uid);
    err = check_generation("endpoint", uid, entry->object.generation, if_generation, reterr);
    if (!err)
        err = devices_check_removal(entry, reterr);
    if (!err && !is_forced)
        err = check_unused(registry, entry->object.uid, reterr);
    if (!err)
        err = change_prepare(&change, registry, STORE_ENDPOINT, nullptr, nullptr, done, arg, reterr);
    if (err)
        return err;
    registry_drop_endpoint(registry, entry);
    change_store(&change);
    return ERR_OK;
}

/* ---- streams ---- */

/* A stream belongs to the peer of its destination, or of its source where the destination is external. */
static enum err check_owner(const struct stream_sides *sides, struct err_info *reterr) {
    const struct stream_side *owner = sides->destination.is_endpoint ? &sides->destination : &sides->source;
    if (!owner->is_remote)
        return ERR_OK;
    return err_set_at(reterr, ERR_INVALID,
                      owner == &sides->source ? "/source/endpoint_uri" : "/destination/endpoint_uri",
                      "the stream belongs to peer %s, whose endpoint this is, and not to this peer: make it there",
                      owner->endpoint.peer_uid);
}

static enum err check_remote(const struct registry *registry, const struct stream_spec *spec,
                             const struct stream_side *source, struct err_info *reterr) {
    const char *peer_uid = source->endpoint.peer_uid;
    if (!registry->roster || !roster_find(registry->roster, peer_uid))
        return err_set_at(reterr, ERR_INVALID, "/source/endpoint_uri",
                          "peer %s is not of this site: /peers lists those that are, and site.peers of the "
                          "configuration adds one",
                          peer_uid);
    if (spec->settings.encryption == ENCRYPTION_MODE_OFF)
        return err_set_at(reterr, ERR_UNSUPPORTED, "/settings/encryption",
                          "sound between peers always travels sealed: leave encryption at auto");
    return ERR_OK;
}

static enum err check_side(const struct registry *registry, const struct stream_side *side, bool as_source,
                           struct err_info *reterr) {
    if (!stream_side_is_here(side))
        return ERR_OK;
    const char *uid = side->endpoint.endpoint_uid;
    const struct endpoint_entry *endpoint = registry_endpoint(registry, uid);
    return endpoint ? stream_check_direction(as_source, uid, endpoint->direction, reterr) : ERR_OK;
}

static enum err check_stream(const struct registry *registry, const char *uid, const struct stream_spec *spec,
                             struct stream_sides *ret, struct err_info *reterr) {
    struct stream_sides sides;
    enum err err = stream_check(spec, &sides, reterr);
    if (err)
        return err;
    stream_sides_locate(&sides, registry->self.uid);
    err = check_owner(&sides, reterr);
    if (!err && sides.source.is_remote)
        err = check_remote(registry, spec, &sides.source, reterr);
    if (!err)
        err = check_side(registry, &sides.source, true, reterr);
    if (!err)
        err = check_side(registry, &sides.destination, false, reterr);
    if (!err)
        err = feedback_check(registry, uid, &sides, reterr);
    struct codec_settings unused;
    if (!err)
        err = link_settings_derive(spec, &sides, &unused, reterr);
    for (const struct stream_entry *s = nullptr; !err && (s = registry_next_stream(registry, s));)
        if (strcmp(s->object.uid, uid) != 0)
            err = stream_check_ports(&sides, s->object.uid, s->object.spec.display_name, &s->sides, reterr);
    if (!err)
        *ret = sides;
    return err;
}

/* What another peer's endpoint shall give needs the signature of who wants it. A writer who brings none is one of ours. */
static enum err choose_grant(const struct registry *registry, const struct change *change,
                             const struct stream_entry *present, const struct stream_sides *sides,
                             const struct grant *given, struct grant *own, const struct grant **ret,
                             struct err_info *reterr) {
    *ret = given;
    if (!sides->source.is_remote)
        return ERR_OK;
    /* The grant that stands goes on, even one that is good for nothing any more: to switch such a stream off must not need
     * the right that was lost. Whoever is asked for sound looks at it each time. */
    if (given && present && present->object.has_grant &&
        memcmp(given->signature, present->object.grant.signature, sizeof given->signature) == 0)
        return ERR_OK;
    const struct grants_case wanted = grants_case_of(change->uid, change->generation, sides, registry->self.uid);
    if (given)
        return grants_check(given, &wanted, registry->roster, registry->self.uid, registry->key, reterr);
    if (!registry->key)
        return err_set(reterr, ERR_UNAVAILABLE, "this peer has no key to sign with: it is none of a site");
    int64_t now_ms = clock_wall_ns(registry->loop->clock) / NS_PER_MS;
    grants_make(own, &wanted, registry->self.uid, now_ms, registry->key);
    *ret = own;
    return ERR_OK;
}

static enum err check_tombstone(const struct registry *registry, const char *uid, struct err_info *reterr) {
    if (!tombstones_has(&registry->tombstones, uid))
        return ERR_OK;
    return err_set(
        reterr, ERR_CONFLICT,
        "stream %s was removed a short while ago, and a request that comes late must not bring it back: take "
        "another uid",
        uid);
}

enum err registry_put_stream(struct registry *registry, const char *uid, const struct stream_spec *wanted,
                             const struct grant *grant, int64_t if_generation, char ret_uid[static UID_SIZE],
                             orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    const struct stream_entry *present = *uid ? registry_stream(registry, uid) : nullptr;
    _cleanup_(change_finish) struct change change = {.generation = present ? present->object.generation + 1 : 1};
    struct stream_spec spec = *wanted;
    stream_resolve_self(&spec, registry->self.uid);
    enum err err = check_serving(registry, reterr);
    if (!err)
        err = choose_uid("stream", uid, change.uid, reterr);
    if (!err)
        err = check_generation("stream", uid, change.generation - 1, if_generation, reterr);
    if (!err && !present && registry->n_streams >= LIMIT_STREAMS)
        err =
            err_set(reterr, ERR_LIMIT,
                    "there are %zu streams already, as many as LIMIT_STREAMS allows: remove one first", LIMIT_STREAMS);
    if (!err && !present)
        err = check_tombstone(registry, change.uid, reterr);
    struct stream_sides sides;
    if (!err)
        err = check_stream(registry, change.uid, &spec, &sides, reterr);
    struct grant own;
    if (!err)
        err = choose_grant(registry, &change, present, &sides, grant, &own, &grant, reterr);
    if (!err)
        err = stored_stream_encode(&spec, grant, &change.json, &change.len, reterr);
    if (!err)
        err = change_begin(&change, registry, STORE_STREAM, done, arg, reterr);
    if (!err)
        err = registry_set_stream(registry, change.uid, change.generation, &spec, grant, reterr);
    if (err)
        return err;
    memcpy(ret_uid, change.uid, UID_SIZE);
    change_store(&change);
    return ERR_OK;
}

/* Stored once more, as it is: its end tells that all that came before is durable. */
enum err registry_confirm_stream(struct registry *registry, const char *uid, orchestrator_done_fn done, void *arg,
                                 struct err_info *reterr) {
    enum err err = check_serving(registry, reterr);
    if (err)
        return err;
    const struct stream_entry *entry = registry_stream(registry, uid);
    if (!entry)
        return err_set(reterr, ERR_NOT_FOUND, "there is no stream %.40s: /streams lists those there are", uid);
    const struct registry_stream *stream = &entry->object;
    _cleanup_(change_finish) struct change change = {.generation = stream->generation};
    memcpy(change.uid, stream->uid, UID_SIZE);
    err = stored_stream_encode(&stream->spec, stream->has_grant ? &stream->grant : nullptr, &change.json, &change.len,
                               reterr);
    if (!err)
        err = change_begin(&change, registry, STORE_STREAM, done, arg, reterr);
    if (err)
        return err;
    change_store(&change);
    return ERR_OK;
}

enum err registry_remove_stream(struct registry *registry, const char *uid, int64_t if_generation,
                                orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    enum err err = check_serving(registry, reterr);
    if (err)
        return err;
    struct stream_entry *entry = registry_stream(registry, uid);
    if (!entry)
        return err_set(reterr, ERR_NOT_FOUND, "there is no stream %.40s: /streams lists those there are", uid);
    _cleanup_(change_finish) struct change change = {.generation = entry->object.generation + 1};
    snprintf(change.uid, sizeof change.uid, "%s", entry->object.uid);
    int64_t now_ms = clock_wall_ns(registry->loop->clock) / NS_PER_MS;
    err = check_generation("stream", uid, entry->object.generation, if_generation, reterr);
    if (!err)
        err = stored_stream_encode_removed(now_ms, &change.json, &change.len, reterr);
    if (!err)
        err = change_begin(&change, registry, STORE_STREAM, done, arg, reterr);
    if (!err && !tombstones_add(&registry->tombstones, change.uid, now_ms))
        err = err_set(reterr, ERR_NO_MEMORY, "no memory for the change of %s", change.uid);
    if (err)
        return err;
    registry_drop_stream(registry, entry);
    change_store(&change);
    return ERR_OK;
}

/* ---- the peer ---- */

enum err registry_rename_peer(struct registry *registry, const char *name, int64_t if_generation,
                              orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    enum err err = check_serving(registry, reterr);
    if (err)
        return err;
    size_t len = strnlen(name, LIMIT_NAME + 1);
    if (len == 0 || len > LIMIT_NAME)
        return err_set_at(reterr, ERR_INVALID, "/name", "the name of a peer has 1 to %zu bytes", LIMIT_NAME);
    struct registry_peer *self = &registry->self;
    _cleanup_(change_finish) struct change change = {.generation = self->generation + 1};
    memcpy(change.uid, self->uid, UID_SIZE);
    struct peer_spec spec = {};
    memcpy(spec.name, name, len);
    err = check_generation("peer", self->uid, self->generation, if_generation, reterr);
    if (!err)
        err = change_prepare(&change, registry, STORE_PEER, &peer_spec_schema, &spec, done, arg, reterr);
    if (err)
        return err;
    self->info.spec = spec;
    self->generation = self->info.generation = change.generation;
    registry_announce_peer(registry);
    change_store(&change);
    return ERR_OK;
}
