/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/maxima.h"
#include "orchestrator/link_settings.h"
#include "orchestrator/registry/feedback.h"
#include "orchestrator/registry/grants.h"
#include "orchestrator/registry/put_priv.h"
#include "orchestrator/registry/stored_stream.h"

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
static enum err choose_grant(const struct registry *registry, const struct put_change *change,
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
    _cleanup_(put_change_finish) struct put_change change = {.generation =
                                                                 present ? present->object.generation + 1 : 1};
    struct stream_spec spec = *wanted;
    stream_resolve_self(&spec, registry->self.uid);
    enum err err = put_check_serving(registry, reterr);
    if (!err)
        err = put_choose_uid("stream", uid, change.uid, reterr);
    if (!err)
        err = put_check_generation("stream", uid, change.generation - 1, if_generation, reterr);
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
        err = put_change_begin(&change, registry, STORE_STREAM, done, arg, reterr);
    if (!err)
        err = registry_set_stream(registry, change.uid, change.generation, &spec, grant, reterr);
    if (err)
        return err;
    memcpy(ret_uid, change.uid, UID_SIZE);
    put_change_store(&change);
    return ERR_OK;
}

/* Stored once more, as it is: its end tells that all that came before is durable. */
enum err registry_confirm_stream(struct registry *registry, const char *uid, orchestrator_done_fn done, void *arg,
                                 struct err_info *reterr) {
    enum err err = put_check_serving(registry, reterr);
    if (err)
        return err;
    const struct stream_entry *entry = registry_stream(registry, uid);
    if (!entry)
        return err_set(reterr, ERR_NOT_FOUND, "there is no stream %.40s: /streams lists those there are", uid);
    const struct registry_stream *stream = &entry->object;
    _cleanup_(put_change_finish) struct put_change change = {.generation = stream->generation};
    memcpy(change.uid, stream->uid, UID_SIZE);
    err = stored_stream_encode(&stream->spec, stream->has_grant ? &stream->grant : nullptr, &change.json, &change.len,
                               reterr);
    if (!err)
        err = put_change_begin(&change, registry, STORE_STREAM, done, arg, reterr);
    if (err)
        return err;
    put_change_store(&change);
    return ERR_OK;
}

enum err registry_remove_stream(struct registry *registry, const char *uid, int64_t if_generation,
                                orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    enum err err = put_check_serving(registry, reterr);
    if (err)
        return err;
    struct stream_entry *entry = registry_stream(registry, uid);
    if (!entry)
        return err_set(reterr, ERR_NOT_FOUND, "there is no stream %.40s: /streams lists those there are", uid);
    _cleanup_(put_change_finish) struct put_change change = {.generation = entry->object.generation + 1};
    snprintf(change.uid, sizeof change.uid, "%s", entry->object.uid);
    int64_t now_ms = clock_wall_ns(registry->loop->clock) / NS_PER_MS;
    err = put_check_generation("stream", uid, entry->object.generation, if_generation, reterr);
    if (!err)
        err = stored_stream_encode_removed(now_ms, &change.json, &change.len, reterr);
    if (!err)
        err = put_change_begin(&change, registry, STORE_STREAM, done, arg, reterr);
    if (!err && !tombstones_add(&registry->tombstones, change.uid, now_ms))
        err = err_set(reterr, ERR_NO_MEMORY, "no memory for the change of %s", change.uid);
    if (err)
        return err;
    registry_drop_stream(registry, entry);
    put_change_store(&change);
    return ERR_OK;
}
