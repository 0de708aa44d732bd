/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/attachments.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "model/maxima.h"
#include "orchestrator/link_settings.h"
#include "orchestrator/reconcile/reasons.h"
#include "orchestrator/reconcile/reconcile.h"
#include "orchestrator/registry/grants.h"
#include "orchestrator/registry/stored_stream.h"
#include "signaling/links.h"
#include "transport/sealed.h"

/* How long one that has ended is remembered, so that a request that comes late does not begin it anew. */
constexpr int64_t REMEMBERED_NS = 30'000'000'000;

struct attachments_entry {
    struct reconcile *reconcile;
    struct list_link link;
    char owner[UID_SIZE], stream[UID_SIZE];
    char epoch[17], epoch_before[17]; /* of the runs of the owner; "": none */
    int64_t generation, link_generation;
    struct attachment_offer offer;
    uint32_t own_link;
    bool is_reserved; /* own_link is ours to give back */
    uint8_t public_key[CRYPTO_DH_KEY_SIZE];
    struct seal_keys keys;
    char host[sizeof((struct links_peer *)nullptr)->host]; /* of the owner */
    bool is_opened;                                        /* a path has been, under these keys */
    bool has_moved;                                        /* the owner is elsewhere now */
    bool is_ended;
    struct run *run;         /* nullptr: gone */
    struct loop_timer lease; /* ended: how long it is remembered */
    enum stream_state state;
    bool has_condition;
    struct condition condition;
};

/* ---- life ---- */

static struct attachments_entry *find(const struct reconcile *r, const char *owner, const char *stream) {
    struct attachments_entry *entry;
    list_for_each(entry, &r->attachments, link) {
        if (strcmp(entry->owner, owner) == 0 && strcmp(entry->stream, stream) == 0)
            return entry;
    }
    return nullptr;
}

static void give_link_back(struct attachments_entry *entry) {
    if (entry->is_reserved)
        media_port_release_link(entry->reconcile->media_port, entry->own_link);
    entry->is_reserved = false;
    crypto_wipe(&entry->keys, sizeof entry->keys);
}

static void end(struct attachments_entry *entry, const char *why) {
    if (entry->is_ended)
        return;
    log_info(entry->reconcile->log, "attachment ends", LOG_STR("stream", entry->stream), LOG_STR("owner", entry->owner),
             LOG_STR("why", why));
    entry->is_ended = true;
    give_link_back(entry);
    loop_timer_start(entry->reconcile->loop, &entry->lease, REMEMBERED_NS);
    if (entry->run) {
        entry->run->exists = false;
        run_kick(entry->run);
    }
}

static void entry_free(struct attachments_entry *entry) {
    loop_timer_stop(entry->reconcile->loop, &entry->lease);
    give_link_back(entry);
    list_remove(&entry->link);
    free(entry);
}

static void on_lease(void *arg) {
    struct attachments_entry *entry = arg;
    if (!entry->is_ended)
        end(entry, "the lease is over");
    else if (entry->run)
        loop_timer_start(entry->reconcile->loop, &entry->lease, REMEMBERED_NS);
    else
        entry_free(entry);
}

/* Of those that are kept; the owner is one of the roster. */
static size_t share_of_each(const struct reconcile *r) {
    return LIMIT_ATTACHMENTS_KEPT / r->roster->n;
}
static_assert(LIMIT_ATTACHMENTS_KEPT >= ROSTER_MAX && LIMIT_ATTACHMENTS - LIMIT_ATTACHMENTS_KEPT >= LIMIT_STREAMS);
static_assert(LIMIT_ATTACHMENTS + LIMIT_STREAMS <= MEDIA_LINKS_MAX);

/* What the owner has, those that have ended included; the oldest of these that can be forgotten. */
static size_t count_of(const struct reconcile *r, const char *owner, struct attachments_entry **ret_oldest) {
    struct attachments_entry *entry;
    size_t n = 0;
    *ret_oldest = nullptr;
    list_for_each(entry, &r->attachments, link) {
        if (strcmp(entry->owner, owner) != 0)
            continue;
        n++;
        *ret_oldest = !*ret_oldest && entry->is_ended && !entry->run ? entry : *ret_oldest;
    }
    return n;
}

/* How many more there can be if each of the other owners is to have its share. */
static size_t n_left(const struct reconcile *r, const char *owner) {
    size_t share = share_of_each(r), n = 0;
    for (size_t i = 0; i < r->roster->n; i++) {
        struct attachments_entry *unused;
        size_t own = count_of(r, r->roster->members[i].uid, &unused);
        bool is_other = strcmp(r->roster->members[i].uid, owner) != 0;
        n += is_other && own < share ? share : own;
    }
    return n < LIMIT_ATTACHMENTS ? LIMIT_ATTACHMENTS - n : 0;
}

/* An owner always gets its share, and more as long as the shares of the others are not touched. At its limit, its oldest
 * one that has ended is forgotten for the next. */
static enum err make_room(struct reconcile *r, const char *owner, struct err_info *reterr) {
    struct attachments_entry *oldest;
    size_t n = count_of(r, owner, &oldest);
    if (n < share_of_each(r) || n_left(r, owner) > 0)
        return ERR_OK;
    if (!oldest)
        return err_set(reterr, ERR_LIMIT,
                       "%zu streams of peer %s take sound from here, and there is no room for another: of %zu in all "
                       "(LIMIT_ATTACHMENTS), %zu (LIMIT_ATTACHMENTS_KEPT) are kept in equal shares, %zu for each peer",
                       n, owner, LIMIT_ATTACHMENTS, LIMIT_ATTACHMENTS_KEPT, share_of_each(r));
    entry_free(oldest);
    return ERR_OK;
}

static enum err entry_create(struct reconcile *r, const char *owner, const char *stream, struct attachments_entry **ret,
                             struct err_info *reterr) {
    enum err err = make_room(r, owner, reterr);
    if (err)
        return err;
    struct attachments_entry *entry = calloc(1, sizeof *entry);
    if (!entry)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the attachment of stream %s", stream);
    entry->reconcile = r;
    entry->is_ended = true;
    snprintf(entry->owner, sizeof entry->owner, "%s", owner);
    snprintf(entry->stream, sizeof entry->stream, "%s", stream);
    entry->lease = (struct loop_timer){.fire = on_lease, .arg = entry};
    loop_timer_start(r->loop, &entry->lease, REMEMBERED_NS);
    list_append(&r->attachments, &entry->link);
    *ret = entry;
    return ERR_OK;
}

void attachments_stop(struct reconcile *r) {
    struct attachments_entry *entry;
    list_for_each(entry, &r->attachments, link) {
        end(entry, "rocd stops");
    }
}

void attachments_finish(struct reconcile *r) {
    while (!list_empty(&r->attachments))
        entry_free(list_first(&r->attachments, struct attachments_entry, link));
}

/* ---- checks ---- */

struct request {
    const char *owner, *stream;
    const struct attachment_spec *spec;
    struct grant grant;
    struct stream_spec stream_spec; /* what the run is made of */
    struct stream_sides sides;
};

static void name_endpoint(struct connection *connection, const char *uri) {
    *connection = (struct connection){.connection_type = CONNECTION_TYPE_ENDPOINT};
    snprintf(connection->endpoint.endpoint_uri, sizeof connection->endpoint.endpoint_uri, "%s", uri);
}

static enum err read_sides(const struct reconcile *r, struct request *request, struct err_info *reterr) {
    const char *self_uid = r->registry->self.uid;
    name_endpoint(&request->stream_spec.source, request->spec->source);
    name_endpoint(&request->stream_spec.destination, request->grant.destination);
    request->stream_spec.enabled = true;
    request->stream_spec.settings = request->spec->settings;
    enum err err = stream_check(&request->stream_spec, &request->sides, reterr);
    if (err)
        return err;
    stream_sides_locate(&request->sides, self_uid);
    if (!stream_side_is_here(&request->sides.source))
        return err_set_at(reterr, ERR_INVALID, "/source", "this is no endpoint of peer %s, which is asked for it",
                          self_uid);
    struct codec_settings unused;
    return link_settings_derive(&request->stream_spec, &request->sides, &unused, reterr);
}

/* Whoever commanded the stream must have the right here; the owner's word is not enough. */
static enum err check_right(const struct reconcile *r, const struct request *request, struct err_info *reterr) {
    const struct stream_side *destination = &request->sides.destination;
    if (strcmp(destination->endpoint.peer_uid, request->owner) != 0)
        return err_set(reterr, ERR_FORBIDDEN,
                       "the grant of stream %s is for an endpoint of peer %s, and peer %s asks for the sound",
                       request->stream, destination->endpoint.peer_uid, request->owner);
    const struct grants_case wanted =
        grants_case_of(request->stream, request->spec->generation, &request->sides, r->registry->self.uid);
    return grants_check(&request->grant, &wanted, r->roster, r->registry->self.uid, r->key, reterr);
}

static enum err check_order(const struct attachments_entry *entry, const struct attachment_spec *spec,
                            bool *ret_is_next, struct err_info *reterr) {
    bool same_run = entry && strcmp(entry->epoch, spec->epoch) == 0;
    if (entry && !same_run && strcmp(entry->epoch_before, spec->epoch) == 0)
        return err_set(reterr, ERR_CONFLICT,
                       "the run of the owner that asks this is over: a later one has asked since");
    *ret_is_next = !same_run || spec->link_generation > entry->link_generation;
    if (*ret_is_next)
        return ERR_OK;
    if (spec->link_generation < entry->link_generation)
        return err_set(reterr, ERR_CONFLICT,
                       "link %" PRId64 " of stream %s is over: this peer knows link %" PRId64 " of it",
                       spec->link_generation, entry->stream, entry->link_generation);
    if (entry->is_ended)
        return err_set(reterr, ERR_CONFLICT, "link %" PRId64 " of stream %s has ended: ask with the next",
                       spec->link_generation, entry->stream);
    if (!attachment_offer_equal(&spec->offer, &entry->offer))
        return err_set(reterr, ERR_CONFLICT, "link %" PRId64 " of stream %s was offered otherwise: ask with the next",
                       spec->link_generation, entry->stream);
    return ERR_OK;
}

/* Where the sound goes: to where the owner's link comes from. */
static enum err find_owner(const struct reconcile *r, const char *owner, struct links_peer *ret,
                           struct err_info *reterr) {
    if (!links_peer(r->links, owner, ret) || !ret->host[0])
        return err_set(reterr, ERR_UNAVAILABLE, "it is not known where peer %s is", owner);
    return ERR_OK;
}

/* ---- the next link ---- */

struct next_link {
    uint32_t own_link; /* reserved */
    struct crypto_dh_key key;
    struct seal_keys keys;
};

static void next_link_wipe(struct next_link *next) {
    crypto_wipe(next, sizeof *next);
}

static enum err make_link(const struct reconcile *r, const struct request *request, struct next_link *ret,
                          struct err_info *reterr) {
    uint8_t other[CRYPTO_DH_KEY_SIZE];
    if (!crypto_unhex(other, sizeof other, request->spec->offer.public_key))
        return err_set_at(reterr, ERR_INVALID, "/offer/public_key", "this is no key: want 64 hexadecimal digits");
    crypto_dh_key_make(&ret->key);
    enum err err =
        seal_keys_derive(&ret->keys, &ret->key, other, true, request->stream, request->spec->link_generation, reterr);
    if (!err && !(ret->own_link = media_port_reserve_link(r->media_port)))
        err = err_set(reterr, ERR_LIMIT, "the media port has no room for the sound of another stream");
    return err;
}

static enum err begin_link(struct attachments_entry *entry, const struct request *request, const char *host,
                           struct err_info *reterr) {
    struct reconcile *r = entry->reconcile;
    _cleanup_(next_link_wipe) struct next_link next = {};
    enum err err = make_link(r, request, &next, reterr);
    if (!err && !entry->run && !(entry->run = run_create(r, entry->stream)))
        err = err_set(reterr, ERR_NO_MEMORY, "no memory for the attachment of stream %s", entry->stream);
    if (err) {
        if (next.own_link)
            media_port_release_link(r->media_port, next.own_link);
        return err;
    }
    give_link_back(entry);
    entry->own_link = next.own_link;
    entry->is_reserved = true;
    entry->keys = next.keys;
    memcpy(entry->public_key, next.key.public_key, sizeof entry->public_key);
    entry->offer = request->spec->offer;
    snprintf(entry->host, sizeof entry->host, "%s", host);
    entry->link_generation = request->spec->link_generation;
    entry->is_opened = entry->has_moved = entry->is_ended = false;
    struct run *run = entry->run;
    bool is_other_source = !run->exists || strcmp(run->sides.source.endpoint.endpoint_uid,
                                                  request->sides.source.endpoint.endpoint_uid) != 0;
    run->attachment = entry;
    run->exists = true;
    run->spec = request->stream_spec;
    run->sides = request->sides;
    run->wanted_link++;
    if (is_other_source || run->source_ended || run->drain.armed) {
        run_begin_again(run);
        run_forgive(run);
    }
    return ERR_OK;
}

/* ---- requests ---- */

static void show(const struct attachments_entry *entry, int32_t lease_s, struct attachment *ret) {
    bool renew = entry->has_moved || attachments_is_spent(entry);
    *ret = (struct attachment){.generation = entry->generation,
                               .link_generation = entry->link_generation,
                               .lease_s = lease_s,
                               .state = entry->state,
                               .has_reason = entry->has_condition ? PRESENCE_VALUE : PRESENCE_NULL,
                               .renew = renew && entry->state != STREAM_STATE_STOPPED,
                               .answer = {.link = entry->own_link}};
    snprintf(ret->stream_uid, sizeof ret->stream_uid, "%s", entry->stream);
    crypto_hex(ret->answer.public_key, entry->public_key, sizeof entry->public_key);
    if (!entry->has_condition)
        return;
    snprintf(ret->reason, sizeof ret->reason, "%s", entry->condition.reason);
    snprintf(ret->message, sizeof ret->message, "%s", entry->condition.message);
}

static void take_epoch(struct attachments_entry *entry, const char *epoch) {
    if (strcmp(entry->epoch, epoch) == 0)
        return;
    memcpy(entry->epoch_before, entry->epoch, sizeof entry->epoch_before);
    snprintf(entry->epoch, sizeof entry->epoch, "%s", epoch);
}

static enum err put(struct reconcile *r, struct request *request, struct attachments_entry *entry,
                    struct attachment *ret, struct err_info *reterr) {
    bool is_next = true;
    struct links_peer owner;
    enum err err = check_order(entry, request->spec, &is_next, reterr);
    if (!err)
        err = check_right(r, request, reterr);
    if (err == ERR_FORBIDDEN && entry)
        end(entry, "its commander has no right to it");
    if (!err)
        err = find_owner(r, request->owner, &owner, reterr);
    if (!err && !entry)
        err = entry_create(r, request->owner, request->stream, &entry, reterr);
    if (!err && is_next)
        err = begin_link(entry, request, owner.host, reterr);
    if (err)
        return err;
    take_epoch(entry, request->spec->epoch);
    entry->generation = request->spec->generation;
    entry->has_moved |= strcmp(entry->host, owner.host) != 0;
    loop_timer_start(r->loop, &entry->lease, request->spec->lease_s * NS_PER_S);
    if (entry->run->source.node) /* whether it is idle, as of now: sound has just stopped, and the owner asks why */
        status_poll_node(r, entry->run->source.node);
    run_reconcile(entry->run);
    show(entry, request->spec->lease_s, ret);
    return ERR_OK;
}

enum err attachments_put(struct reconcile *r, const char *owner_uid, const char *stream_uid,
                         const struct attachment_spec *spec, struct attachment *ret, struct err_info *reterr) {
    if (r->is_stopping)
        return err_set(reterr, ERR_UNAVAILABLE, "rocd is stopping and gives no sound any more");
    if (!r->links || !r->media_port || !r->engine)
        return err_set(reterr, ERR_UNAVAILABLE, "this rocd has no media port, so no sound can go to other peers");
    if (!r->roster || !roster_find(r->roster, owner_uid))
        return err_set(reterr, ERR_FORBIDDEN, "peer %.40s is none of the site as peer %s knows it", owner_uid,
                       r->registry->self.uid);
    struct request request = {.owner = owner_uid, .stream = stream_uid, .spec = spec};
    enum err err = stored_stream_read_grant(&spec->grant, &request.grant, reterr);
    if (!err)
        err = read_sides(r, &request, reterr);
    return err ? err : put(r, &request, find(r, owner_uid, stream_uid), ret, reterr);
}

enum err attachments_remove(struct reconcile *r, const char *owner_uid, const char *stream_uid,
                            int64_t if_link_generation, struct err_info *reterr) {
    struct attachments_entry *entry = find(r, owner_uid, stream_uid);
    if (!entry || entry->is_ended)
        return err_set(reterr, ERR_NOT_FOUND, "stream %s of peer %s takes no sound from here", stream_uid, owner_uid);
    if (if_link_generation != ANY_GENERATION && if_link_generation != entry->link_generation)
        return err_set(reterr, ERR_GENERATION, "stream %s is at its link %" PRId64 ", not %" PRId64, stream_uid,
                       entry->link_generation, if_link_generation);
    end(entry, "its owner says so");
    return ERR_OK;
}

/* ---- for the run ---- */

const char *attachments_owner(const struct attachments_entry *entry) {
    return entry->owner;
}

bool attachments_is_spent(const struct attachments_entry *entry) {
    return entry->is_opened && (!entry->run || entry->run->sender.part == PLAN_PART_NONE);
}

enum err attachments_open_path(struct attachments_entry *entry, struct path **ret, struct err_info *reterr) {
    struct path_sealed_config config = {.port = entry->reconcile->media_port,
                                        .sending = true,
                                        .own_link = entry->own_link,
                                        .other_link = (uint32_t)entry->offer.link,
                                        .keys = entry->keys};
    enum err err = path_address_resolve(entry->host, (uint16_t)entry->offer.port, &config.remote, reterr);
    if (!err) {
        /* Whatever comes of it, nothing may be sealed with these keys from the start again. */
        entry->is_opened = true;
        entry->is_reserved = false;
        err = path_sealed_open(&config, ret, reterr);
    }
    crypto_wipe(&config.keys, sizeof config.keys);
    return err;
}

void attachments_publish(struct run *run, const struct plan *plan) {
    struct attachments_entry *entry = run->attachment;
    struct condition condition;
    enum stream_state state = status_state_of(plan->state);
    bool any = reasons_describe(run, plan, &condition);
    bool changed = state != entry->state || any != entry->has_condition ||
                   (any && strcmp(condition.reason, entry->condition.reason) != 0);
    entry->state = state;
    entry->has_condition = any;
    entry->condition = condition;
    if (changed)
        log_info(entry->reconcile->log, "attachment changed", LOG_STR("stream", entry->stream),
                 LOG_STR("owner", entry->owner), LOG_STR("state", stream_state_name(state)),
                 LOG_STR("reason", any ? condition.reason : ""));
}

void attachments_run_gone(struct attachments_entry *entry) {
    entry->run = nullptr;
}
