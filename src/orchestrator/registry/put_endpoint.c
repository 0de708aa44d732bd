/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/endpoint_kinds.h"
#include "model/maxima.h"
#include "orchestrator/registry/devices.h"
#include "orchestrator/registry/endpoints.h"
#include "orchestrator/registry/put_priv.h"
#include "orchestrator/registry/show.h"

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

/* Other programs of the desktop tell devices apart by their names alone. */
static enum err check_name(const struct registry *registry, const char *uid, const struct endpoint_entry *present,
                           const struct endpoint_spec *spec, struct err_info *reterr) {
    constexpr uint32_t KINDS_SEEN = KINDS_VIRTUAL | 1u << ENDPOINT_KIND_DEVICE;
    const char *name = spec->display_name;
    if (!kind_is_of(spec->kind, KINDS_VIRTUAL) || !*name ||
        (present && strcmp(present->object.spec.display_name, name) == 0))
        return ERR_OK;
    for (const struct endpoint_entry *e = nullptr; (e = registry_next_endpoint(registry, e));) {
        char other[LIMIT_NAME + 1];
        show_endpoint_name(e, other);
        if (kind_is_of(e->object.spec.kind, KINDS_SEEN) && strcmp(e->object.uid, uid) != 0 && strcmp(other, name) == 0)
            return err_set_at(reterr, ERR_CONFLICT, "/display_name",
                              "endpoint %s, a %s, is called '%s' already, and programs could not tell the two apart: "
                              "choose another name",
                              e->object.uid, endpoint_kind_name(e->object.spec.kind), name);
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

static enum err check_endpoint(const struct registry *registry, const char *uid, const struct endpoint_entry *present,
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
    if (spec->has_period_ms == PRESENCE_VALUE && !kind_is_of(spec->kind, KINDS_TOLD_OF))
        return err_set_at(reterr, ERR_INVALID, "/period_ms",
                          "only devices, real and virtual, have a period: leave period_ms out");
    err = check_name(registry, uid, present, spec, reterr);
    return err ? err : check_turn(registry, present, direction, reterr);
}

enum err registry_put_endpoint(struct registry *registry, const char *uid, const struct endpoint_spec *wanted,
                               int64_t if_generation, char ret_uid[static UID_SIZE], orchestrator_done_fn done,
                               void *arg, struct err_info *reterr) {
    const struct endpoint_entry *present = *uid ? registry_endpoint(registry, uid) : nullptr;
    _cleanup_(put_change_finish) struct put_change change = {.generation =
                                                                 present ? present->object.generation + 1 : 1};
    struct endpoint_spec spec = *wanted;
    fill_endpoint_defaults(&spec);
    enum err err = put_check_serving(registry, reterr);
    if (!err)
        err = put_choose_uid("endpoint", uid, change.uid, reterr);
    if (!err)
        err = devices_check(registry, uid, present, &spec, change.uid, reterr);
    if (!err)
        err = put_check_generation("endpoint", uid, change.generation - 1, if_generation, reterr);
    if (!err && !present && registry->n_endpoints >= LIMIT_ENDPOINTS)
        err = err_set(reterr, ERR_LIMIT,
                      "there are %zu endpoints already, as many as LIMIT_ENDPOINTS allows: remove one first",
                      LIMIT_ENDPOINTS);
    if (!err)
        err = check_endpoint(registry, change.uid, present, &spec, reterr);
    if (!err)
        err = put_change_prepare(&change, registry, STORE_ENDPOINT, &endpoint_spec_schema, &spec, done, arg, reterr);
    if (!err)
        err = registry_set_endpoint(registry, change.uid, change.generation, &spec, reterr);
    if (err)
        return err;
    memcpy(ret_uid, change.uid, UID_SIZE);
    put_change_store(&change);
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
    enum err err = put_check_serving(registry, reterr);
    if (err)
        return err;
    struct endpoint_entry *entry = registry_endpoint(registry, uid);
    if (!entry)
        return err_set(reterr, ERR_NOT_FOUND, "there is no endpoint %.40s: /peers/self/endpoints lists those there are",
                       uid);
    _cleanup_(put_change_finish) struct put_change change = {};
    snprintf(change.uid, sizeof change.uid, "%s", entry->object.uid);
    err = put_check_generation("endpoint", uid, entry->object.generation, if_generation, reterr);
    if (!err)
        err = devices_check_removal(entry, reterr);
    if (!err && !is_forced)
        err = check_unused(registry, entry->object.uid, reterr);
    if (!err)
        err = put_change_prepare(&change, registry, STORE_ENDPOINT, nullptr, nullptr, done, arg, reterr);
    if (err)
        return err;
    registry_drop_endpoint(registry, entry);
    put_change_store(&change);
    return ERR_OK;
}
