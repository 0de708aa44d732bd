/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/loop_sim.h"
#include "fuzz/target.h"
#include "model/maxima.h"
#include "model/roster.h"
#include "orchestrator/registry/events.h"
#include "orchestrator/registry/registry.h"
#include "orchestrator/registry/remote_priv.h"

/*
 * What a listed peer says it has, line by line: "state JSON", "figures JSON", "meter JSON", or the name of an event and its
 * JSON; lines that begin with '2' come from another peer. Whatever is said, each keeps to its own: its number of objects is
 * bounded, all of them are found by their uid and can be read again, and no event speaks for somebody else.
 */
#define KITCHEN "peer00-peer00-peer01"
#define OFFICE  "peer00-peer00-peer02"

static void say(struct remote_peer *peer, const char *line, size_t len) {
    const char *space = memchr(line, ' ', len);
    char name[64] = "";
    if (!space || (size_t)(space - line) >= sizeof name || memchr(line, 0, (size_t)(space - line)))
        return;
    memcpy(name, line, (size_t)(space - line));
    const char *json = space + 1;
    const struct links_event event = {
        .name = name, .cursor = "1-1", .json = json, .json_len = len - (size_t)(json - line)};
    struct err_info info = {};
    enum err err = ERR_OK;
    if (strcmp(name, "state") == 0)
        err = remote_take_state(peer, json, event.json_len, &info);
    else if (strcmp(name, "figures") == 0)
        remote_take_figures(peer, json, event.json_len);
    else if (strcmp(name, "meter") == 0)
        remote_take_meter(peer, &event);
    else
        err = remote_take_event(peer, &event, &info);
    FUZZ_CHECK(!err || info.message[0]);
}

static void check_object(const struct remote *remote, const struct remote_object *object, const struct schema *schema) {
    _Alignas(max_align_t) static char read[16384];
    FUZZ_CHECK(schema->size <= sizeof read && uid_is_valid(object->uid));
    FUZZ_CHECK(schema_decode_text(schema, object->json, object->json_len, 0, read, nullptr, nullptr) == ERR_OK);
    FUZZ_CHECK(remote_peer(remote, object->peer->uid) == object->peer);
}

static void check(const struct remote *remote) {
    size_t n_endpoints = 0, n_shown = 0, n_told = 0;
    for (const struct remote_endpoint *e = nullptr; (e = remote_next_endpoint(remote, e)); n_endpoints++) {
        check_object(remote, &e->object, &endpoint_schema);
        FUZZ_CHECK(remote_endpoint(remote, e->object.peer->uid, e->object.uid) == e);
    }
    for (const struct remote_stream *s = nullptr; (s = remote_next_stream(remote, s)); n_shown++)
        FUZZ_CHECK(remote_stream(remote, s->object.uid) == s);
    const struct remote_stream *s;
    size_t n_streams = 0;
    list_for_each(s, &remote->streams, object.link) {
        n_streams++;
        n_shown -= s->is_shown;
        check_object(remote, &s->object, &stream_schema);
        const struct remote_stream *shown = remote_stream(remote, s->object.uid);
        FUZZ_CHECK(shown && s->is_shown == (shown == s) && shown->object.order <= s->object.order);
        const char *owner = *s->destination_peer_uid ? s->destination_peer_uid : s->source_peer_uid;
        FUZZ_CHECK(strcmp(owner, s->object.peer->uid) == 0);
    }
    for (const struct remote_peer *p = nullptr; (p = remote_next_peer(remote, p));) {
        FUZZ_CHECK(p->n_endpoints <= LIMIT_ENDPOINTS && p->n_streams <= LIMIT_STREAMS);
        FUZZ_CHECK(strcmp(p->info.peer_uid, p->uid) == 0 && !p->info.self && p->info.state == PEER_STATE_PENDING);
        n_told += p->n_endpoints + p->n_streams;
    }
    FUZZ_CHECK(n_told == n_endpoints + n_streams && n_shown == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct registry_listener LISTENER = {};
    struct roster_member members[2] = {{.uid = KITCHEN, .role = ROSTER_ADMIN}, {.uid = OFFICE, .role = ROSTER_VIEWER}};
    const struct roster roster = {members, 2};
    struct loop_sim sim;
    loop_sim_init(&sim);
    struct registry *registry = calloc(1, sizeof *registry);
    struct events *events = events_create(&sim.loop, 1);
    registry->loop = &sim.loop;
    registry->events = events;
    registry->listener = &LISTENER;
    struct remote *remote = remote_create(registry, nullptr, &roster);
    FUZZ_CHECK(remote && events);
    struct remote_peer *peers[2] = {map_get(&remote->peers_by_uid, KITCHEN), map_get(&remote->peers_by_uid, OFFICE)};
    for (const char *at = (const char *)data, *end = at + size; at < end;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline ? newline : end;
        bool is_other = *at == '2';
        const char *line = is_other ? at + 1 : at;
        if (line < line_end)
            say(peers[is_other], line, (size_t)(line_end - line));
        at = line_end + 1;
    }
    check(remote);
    for (uint64_t n = 1; n <= events_last(events); n++) {
        const struct event *event = events_get(events, n);
        FUZZ_CHECK(!event || remote_peer(remote, event->peer_uid));
    }
    remote_destroy(remote);
    events_destroy(events);
    free(registry);
    loop_sim_finish(&sim);
    return 0;
}
