/* SPDX-License-Identifier: MPL-2.0 */
#include "api/fake_orchestrator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct orchestrator *fake_create(void) {
    struct orchestrator *fake = calloc(1, sizeof *fake);
    snprintf(fake->self.uid, sizeof fake->self.uid, "%s", FAKE_PEER);
    fake->self.generation = 1;
    struct peer *info = &fake->self.info;
    snprintf(info->peer_uri, sizeof info->peer_uri, "/peers/%s", FAKE_PEER);
    snprintf(info->peer_uid, sizeof info->peer_uid, "%s", FAKE_PEER);
    snprintf(info->spec.name, sizeof info->spec.name, "Fake");
    snprintf(info->version, sizeof info->version, "0.1.0");
    fake->events.epoch = 0xabc;
    return fake;
}

void fake_destroy(struct orchestrator *fake) {
    for (size_t i = 0; i < FAKE_EVENTS_MAX; i++)
        free(fake->events.events[i].json);
    free(fake);
}

void fake_store_answers(struct orchestrator *fake, enum err result) {
    struct err_info info = {};
    (void)err_set(&info, result, "the disk is full");
    size_t n = fake->n_pending;
    fake->n_pending = 0;
    for (size_t i = 0; i < n; i++)
        fake->pending[i].done(fake->pending[i].arg, result, result ? &info : nullptr);
}

static enum err promise(struct orchestrator *fake, orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    if (fake->refuse.code) {
        *reterr = fake->refuse;
        fake->refuse = (struct err_info){};
        return reterr->code;
    }
    if (fake->n_pending == FAKE_MAX)
        return err_set(reterr, ERR_BUSY, "the fake store is full");
    fake->pending[fake->n_pending++] = (struct fake_pending){done, arg};
    return ERR_OK;
}

/* ---- events ---- */

const char *event_type_name(enum event_type type) {
    static const char *const NAMES[EVENT_N_TYPES] = {"peer_added",
                                                     "peer_updated",
                                                     "peer_removed",
                                                     "endpoint_added",
                                                     "endpoint_updated",
                                                     "endpoint_removed",
                                                     "stream_added",
                                                     "stream_updated",
                                                     "stream_removed",
                                                     "meter",
                                                     "log"};
    return NAMES[type];
}

void fake_event(struct orchestrator *fake, enum event_type type, const char *uid, const char *json) {
    fake_event_of(fake, FAKE_PEER, type, uid, json);
}

void fake_event_of(struct orchestrator *fake, const char *peer_uid, enum event_type type, const char *uid,
                   const char *json) {
    struct events *events = &fake->events;
    struct event *event = &events->events[++events->last % FAKE_EVENTS_MAX];
    free(event->json);
    *event = (struct event){.number = events->last, .type = type, .json = strdup(json), .json_len = strlen(json)};
    snprintf(event->peer_uid, sizeof event->peer_uid, "%s", peer_uid);
    snprintf(event->object_uid, sizeof event->object_uid, "%s", uid);
    if (events->wake)
        events->wake(events->wake_arg);
}

struct events *orchestrator_events(const struct orchestrator *fake) {
    /* The registry's own is not const either behind a const orchestrator. */
    return (struct events *)(uintptr_t)&fake->events;
}

uint64_t events_last(const struct events *events) {
    return events->last;
}

uint64_t events_epoch(const struct events *events) {
    return events->epoch;
}

const struct event *events_get(const struct events *events, uint64_t number) {
    bool there = number > events->forgotten && number <= events->last && number + FAKE_EVENTS_MAX > events->last;
    return there ? &events->events[number % FAKE_EVENTS_MAX] : nullptr;
}

bool events_match(const struct event_filter *filter, const struct event *event) {
    uint32_t types = filter->types ? filter->types : ~(1u << EVENT_METER | 1u << EVENT_LOG);
    return types & 1u << event->type && (!filter->peer_uid[0] || strcmp(filter->peer_uid, event->peer_uid) == 0) &&
           (!filter->stream_uid[0] || strcmp(filter->stream_uid, event->object_uid) == 0);
}

void events_on_append(struct events *events, void (*wake)(void *arg), void *arg) {
    events->wake = wake;
    events->wake_arg = arg;
}

/* ---- what is ---- */

const struct registry_peer *orchestrator_self(const struct orchestrator *fake) {
    return &fake->self;
}

const struct registry_endpoint *orchestrator_endpoint(const struct orchestrator *fake, const char *uid) {
    for (size_t i = 0; i < fake->n_endpoints; i++)
        if (strcmp(fake->endpoints[i].uid, uid) == 0)
            return &fake->endpoints[i];
    return nullptr;
}

const struct registry_stream *orchestrator_stream(const struct orchestrator *fake, const char *uid) {
    for (size_t i = 0; i < fake->n_streams; i++)
        if (strcmp(fake->streams[i].uid, uid) == 0)
            return &fake->streams[i];
    return nullptr;
}

const struct registry_endpoint *orchestrator_next_endpoint(const struct orchestrator *fake,
                                                           const struct registry_endpoint *previous) {
    size_t next = previous ? (size_t)(previous - fake->endpoints) + 1 : 0;
    return next < fake->n_endpoints ? &fake->endpoints[next] : nullptr;
}

const struct registry_stream *orchestrator_next_stream(const struct orchestrator *fake,
                                                       const struct registry_stream *previous) {
    size_t next = previous ? (size_t)(previous - fake->streams) + 1 : 0;
    return next < fake->n_streams ? &fake->streams[next] : nullptr;
}

void orchestrator_refresh(struct orchestrator *) {
}

void orchestrator_watch_meters(struct orchestrator *fake, bool watched) {
    fake->watched = watched;
}

void orchestrator_watch_remote_meters(struct orchestrator *fake, bool watched) {
    fake->watched_remote = watched;
}

/* ---- other peers ---- */

struct remote_peer *fake_remote_peer(struct orchestrator *fake, const char *uid, const char *name) {
    struct remote_peer *peer = &fake->remote_peers[fake->n_remote_peers++];
    snprintf(peer->uid, sizeof peer->uid, "%s", uid);
    struct peer *info = &peer->info;
    snprintf(info->peer_uid, sizeof info->peer_uid, "%s", uid);
    snprintf(info->peer_uri, sizeof info->peer_uri, "/peers/%s", uid);
    snprintf(info->spec.name, sizeof info->spec.name, "%s", name);
    snprintf(info->since, sizeof info->since, "2026-11-25T06:00:00.000Z");
    info->generation = 7;
    return peer;
}

static void fill_remote(struct remote_object *object, struct remote_peer *peer, const char *uid, const char *json) {
    object->peer = peer;
    object->generation = 5;
    snprintf(object->uid, sizeof object->uid, "%s", uid);
    object->json = (char *)(uintptr_t)json;
    object->json_len = strlen(json);
}

void fake_remote_endpoint(struct orchestrator *fake, struct remote_peer *peer, const char *uid, const char *json) {
    fill_remote(&fake->remote_endpoints[fake->n_remote_endpoints++].object, peer, uid, json);
}

void fake_remote_stream(struct orchestrator *fake, struct remote_peer *peer, const char *uid, const char *json) {
    fill_remote(&fake->remote_streams[fake->n_remote_streams++].object, peer, uid, json);
}

struct links *orchestrator_links(const struct orchestrator *fake) {
    return fake->links;
}

const struct remote_peer *orchestrator_remote_peer(const struct orchestrator *fake, const char *uid) {
    for (size_t i = 0; i < fake->n_remote_peers; i++)
        if (strcmp(fake->remote_peers[i].uid, uid) == 0)
            return &fake->remote_peers[i];
    return nullptr;
}

const struct remote_endpoint *orchestrator_remote_endpoint(const struct orchestrator *fake, const char *peer_uid,
                                                           const char *uid) {
    for (size_t i = 0; i < fake->n_remote_endpoints; i++)
        if (strcmp(fake->remote_endpoints[i].object.peer->uid, peer_uid) == 0 &&
            strcmp(fake->remote_endpoints[i].object.uid, uid) == 0)
            return &fake->remote_endpoints[i];
    return nullptr;
}

const struct remote_stream *orchestrator_remote_stream(const struct orchestrator *fake, const char *uid) {
    for (size_t i = 0; i < fake->n_remote_streams; i++)
        if (strcmp(fake->remote_streams[i].object.uid, uid) == 0)
            return &fake->remote_streams[i];
    return nullptr;
}

const struct remote_peer *orchestrator_next_remote_peer(const struct orchestrator *fake,
                                                        const struct remote_peer *previous) {
    size_t next = previous ? (size_t)(previous - fake->remote_peers) + 1 : 0;
    return next < fake->n_remote_peers ? &fake->remote_peers[next] : nullptr;
}

const struct remote_endpoint *orchestrator_next_remote_endpoint(const struct orchestrator *fake,
                                                                const struct remote_endpoint *previous) {
    size_t next = previous ? (size_t)(previous - fake->remote_endpoints) + 1 : 0;
    return next < fake->n_remote_endpoints ? &fake->remote_endpoints[next] : nullptr;
}

const struct remote_stream *orchestrator_next_remote_stream(const struct orchestrator *fake,
                                                            const struct remote_stream *previous) {
    size_t next = previous ? (size_t)(previous - fake->remote_streams) + 1 : 0;
    return next < fake->n_remote_streams ? &fake->remote_streams[next] : nullptr;
}

void orchestrator_show_remote_peer(const struct orchestrator *, const struct remote_peer *peer, struct peer *ret) {
    *ret = peer->info;
}

bool orchestrator_refresh_remote(struct orchestrator *fake, const char *peer_uid, struct remote_wait *wait,
                                 void (*done)(void *arg), void *arg) {
    fake->n_refreshes++;
    snprintf(fake->refreshed_peer, sizeof fake->refreshed_peer, "%s", peer_uid);
    if (!fake->is_stale)
        return false;
    fake->is_stale = false;
    *wait = (struct remote_wait){.done = done, .arg = arg};
    fake->wait = wait;
    return true;
}

void orchestrator_refresh_cancel(struct remote_wait *wait) {
    wait->done = nullptr;
}

void fake_refreshed(struct orchestrator *fake) {
    struct remote_wait *wait = fake->wait;
    fake->wait = nullptr;
    wait->done(wait->arg);
}

/* ---- ready ---- */

void orchestrator_ready(const struct orchestrator *fake, struct ready *ret) {
    *ret = (struct ready){.ready = !fake->not_ready, .n_reasons = fake->not_ready};
    snprintf(ret->reasons[0].name, sizeof ret->reasons[0].name, "store");
}

void orchestrator_show_endpoint(const struct orchestrator *, const struct registry_endpoint *endpoint,
                                struct endpoint *ret) {
    *ret = (struct endpoint){.generation = endpoint->generation, .spec = endpoint->spec, .status = endpoint->status};
    snprintf(ret->endpoint_uid, sizeof ret->endpoint_uid, "%s", endpoint->uid);
    snprintf(ret->peer_uid, sizeof ret->peer_uid, "%s", FAKE_PEER);
    snprintf(ret->endpoint_uri, sizeof ret->endpoint_uri, "/peers/%s/endpoints/%s", FAKE_PEER, endpoint->uid);
}

void orchestrator_show_stream(const struct orchestrator *, const struct registry_stream *stream, struct stream *ret) {
    *ret = (struct stream){.generation = stream->generation, .spec = stream->spec, .status = stream->status};
    snprintf(ret->stream_uid, sizeof ret->stream_uid, "%s", stream->uid);
    snprintf(ret->stream_uri, sizeof ret->stream_uri, "/streams/%s", stream->uid);
}

bool orchestrator_show_glitch(const struct orchestrator *, const char *, size_t i, struct stream_glitch *ret) {
    *ret =
        (struct stream_glitch){.cause = GLITCH_CAUSE_LATE, .pieces = 2 - (int64_t)i, .at = "2026-03-01T12:00:00.123Z"};
    return i < 2;
}

void orchestrator_show_peer(const struct orchestrator *fake, struct peer *ret) {
    *ret = fake->self.info;
    ret->generation = fake->self.generation;
}

bool orchestrator_show_driver(const struct orchestrator *, size_t index, struct driver *ret) {
    if (index > 1)
        return false;
    *ret = (struct driver){.available = index == 0, .has_reason = PRESENCE_NULL};
    snprintf(ret->name, sizeof ret->name, "%s", index ? "file" : "tone");
    return true;
}

/* ---- writes ---- */

/* Uids in the order of making: aaaaaa-…, baaaaa-…; so that lists sorted by uid differ from a test that makes them by PUT. */
static void make_uid(char ret[static UID_SIZE], size_t number) {
    snprintf(ret, UID_SIZE, "%caaaaa-aaaaaa-aaaaaa", (char)('a' + number % 26));
}

enum err orchestrator_put_endpoint(struct orchestrator *fake, const char *uid, const struct endpoint_spec *spec,
                                   int64_t, char ret_uid[static UID_SIZE], orchestrator_done_fn done, void *arg,
                                   struct err_info *reterr) {
    size_t i = 0;
    while (i < fake->n_endpoints && strcmp(fake->endpoints[i].uid, uid) != 0)
        i++;
    if (i == FAKE_MAX)
        return err_set(reterr, ERR_LIMIT, "endpoints_max is reached");
    enum err err = promise(fake, done, arg, reterr);
    if (err)
        return err;
    struct registry_endpoint *endpoint = &fake->endpoints[i];
    if (i == fake->n_endpoints) {
        *endpoint = (struct registry_endpoint){};
        fake->n_endpoints++;
        if (uid[0])
            snprintf(endpoint->uid, UID_SIZE, "%s", uid);
        else
            make_uid(endpoint->uid, i);
    }
    endpoint->generation++;
    endpoint->spec = *spec;
    snprintf(ret_uid, UID_SIZE, "%s", endpoint->uid);
    return ERR_OK;
}

enum err orchestrator_put_stream(struct orchestrator *fake, const char *uid, const struct stream_spec *spec,
                                 const struct grant *grant, int64_t, char ret_uid[static UID_SIZE],
                                 orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    size_t i = 0;
    while (i < fake->n_streams && strcmp(fake->streams[i].uid, uid) != 0)
        i++;
    if (i == FAKE_MAX)
        return err_set(reterr, ERR_LIMIT, "streams_max is reached");
    enum err err = promise(fake, done, arg, reterr);
    if (err)
        return err;
    fake->has_grant = grant;
    fake->grant = grant ? *grant : (struct grant){};
    struct registry_stream *stream = &fake->streams[i];
    if (i == fake->n_streams) {
        *stream = (struct registry_stream){};
        fake->n_streams++;
        if (uid[0])
            snprintf(stream->uid, UID_SIZE, "%s", uid);
        else
            make_uid(stream->uid, i);
    }
    stream->generation++;
    stream->spec = *spec;
    stream->has_grant = grant;
    stream->grant = fake->grant;
    snprintf(ret_uid, UID_SIZE, "%s", stream->uid);
    return ERR_OK;
}

enum err orchestrator_confirm_stream(struct orchestrator *fake, const char *, orchestrator_done_fn done, void *arg,
                                     struct err_info *reterr) {
    fake->n_confirmed++;
    return promise(fake, done, arg, reterr);
}

enum err orchestrator_remove_endpoint(struct orchestrator *fake, const char *uid, int64_t, bool,
                                      orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    enum err err = promise(fake, done, arg, reterr);
    for (size_t i = 0; !err && i < fake->n_endpoints; i++)
        if (strcmp(fake->endpoints[i].uid, uid) == 0)
            fake->endpoints[i--] = fake->endpoints[--fake->n_endpoints];
    return err;
}

enum err orchestrator_remove_stream(struct orchestrator *fake, const char *uid, int64_t, orchestrator_done_fn done,
                                    void *arg, struct err_info *reterr) {
    enum err err = promise(fake, done, arg, reterr);
    for (size_t i = 0; !err && i < fake->n_streams; i++)
        if (strcmp(fake->streams[i].uid, uid) == 0)
            fake->streams[i--] = fake->streams[--fake->n_streams];
    return err;
}

enum err orchestrator_rename_peer(struct orchestrator *fake, const char *name, int64_t, orchestrator_done_fn done,
                                  void *arg, struct err_info *reterr) {
    enum err err = promise(fake, done, arg, reterr);
    if (!err) {
        snprintf(fake->self.info.spec.name, sizeof fake->self.info.spec.name, "%s", name);
        fake->self.generation++;
    }
    return err;
}

enum err orchestrator_put_attachment(struct orchestrator *fake, const char *owner_uid, const char *stream_uid,
                                     const struct attachment_spec *spec, struct attachment *ret,
                                     struct err_info *reterr) {
    if (fake->refuse.code) {
        *reterr = fake->refuse;
        fake->refuse = (struct err_info){};
        return reterr->code;
    }
    snprintf(fake->owner, sizeof fake->owner, "%s", owner_uid);
    fake->attached_link = spec->link_generation;
    *ret = (struct attachment){.generation = spec->generation,
                               .link_generation = spec->link_generation,
                               .lease_s = spec->lease_s,
                               .state = STREAM_STATE_CONNECTING,
                               .has_reason = PRESENCE_NULL,
                               .answer = {.link = 77}};
    snprintf(ret->stream_uid, sizeof ret->stream_uid, "%s", stream_uid);
    memset(ret->answer.public_key, 'a', sizeof ret->answer.public_key - 1);
    return ERR_OK;
}

enum err orchestrator_remove_attachment(struct orchestrator *fake, const char *owner_uid, const char *stream_uid,
                                        int64_t if_link_generation, struct err_info *reterr) {
    if (!fake->attached_link || strcmp(fake->owner, owner_uid) != 0)
        return err_set(reterr, ERR_NOT_FOUND, "stream %s takes nothing from here", stream_uid);
    if (if_link_generation != ANY_GENERATION && if_link_generation != fake->attached_link)
        return err_set(reterr, ERR_GENERATION, "stream %s is at another link", stream_uid);
    fake->attached_link = 0;
    return ERR_OK;
}
