/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/maxima.h"
#include "orchestrator/registry/events.h"
#include "orchestrator/registry/remote.h"
#include "support/fake_links.h"
#include "support/fake_world.h"

#define OWN     "peer00-peer00-peer00"
#define KITCHEN "peer00-peer00-peer01"
#define OFFICE  "peer00-peer00-peer02"
#define MIC     "endpnt-000000-000001"
#define SPEAKER "endpnt-000000-000002"
#define STREAM  "stream-000000-000001"

struct fixture {
    struct fake_world world;
    struct roster_member members[2];
    struct roster roster;
    char text[64][16384];
    size_t n_texts;
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    f->world.without_engine = true;
    f->members[0] = (struct roster_member){.uid = KITCHEN, .address = "192.0.2.1:4041", .role = ROSTER_OPERATOR};
    f->members[1] = (struct roster_member){.uid = OFFICE, .role = ROSTER_VIEWER};
    f->roster = (struct roster){f->members, 2};
    f->world.roster = &f->roster;
    f->world.peer_links = fake_links_create(&f->roster);
    fake_world_start(&f->world);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_world_finish(&f->world);
    fake_links_destroy(f->world.peer_links);
    free(f);
    return 0;
}

/* ---- what peers say ---- */

static const char *keep(struct fixture *f, const struct schema *schema, const void *object) {
    char *json = nullptr;
    assert_int_equal(schema_encode_text(schema, object, &json, nullptr, nullptr), ERR_OK);
    char *to = f->text[f->n_texts++ % 64];
    assert_true(strlen(json) < sizeof f->text[0]);
    snprintf(to, sizeof f->text[0], "%s", json);
    free(json);
    return to;
}

#define SINCE "2026-11-25T06:00:00.000Z"

static const char *endpoint(struct fixture *f, const char *peer, const char *uid, const char *name, int generation) {
    struct endpoint e = {.generation = generation, .stream_direction = STREAM_DIRECTION_INPUT};
    endpoint_spec_defaults(&e.spec);
    e.spec.kind = ENDPOINT_KIND_TONE;
    snprintf(e.spec.display_name, sizeof e.spec.display_name, "%s", name);
    snprintf(e.endpoint_uid, sizeof e.endpoint_uid, "%s", uid);
    snprintf(e.peer_uid, sizeof e.peer_uid, "%s", peer);
    snprintf(e.endpoint_uri, sizeof e.endpoint_uri, "/peers/%s/endpoints/%s", peer, uid);
    e.status.has_reason = e.status.has_position_ms = e.status.has_started_at = PRESENCE_NULL;
    snprintf(e.status.since, sizeof e.status.since, SINCE);
    return keep(f, &endpoint_schema, &e);
}

static const char *stream(struct fixture *f, const char *uid, const char *source, const char *destination) {
    struct stream s = {.generation = 1};
    stream_spec_defaults(&s.spec);
    snprintf(s.stream_uid, sizeof s.stream_uid, "%s", uid);
    snprintf(s.stream_uri, sizeof s.stream_uri, "/streams/%s", uid);
    s.spec.source.connection_type = CONNECTION_TYPE_ENDPOINT;
    snprintf(s.spec.source.endpoint.endpoint_uri, 321, "%s", source);
    if (*destination == '/') {
        snprintf(s.spec.destination.endpoint.endpoint_uri, 321, "%s", destination);
    } else {
        s.spec.destination.connection_type = CONNECTION_TYPE_EXTERNAL;
        snprintf(s.spec.destination.external.media_uri, 321, "%s", destination);
    }
    struct stream_latency unknown = {PRESENCE_NULL, 0, PRESENCE_NULL, 0, PRESENCE_NULL, 0, PRESENCE_NULL, 0};
    s.status.latency_ms = unknown;
    s.status.local_uris.has_media = s.status.local_uris.has_repair = s.status.local_uris.has_control = PRESENCE_NULL;
    snprintf(s.status.since, sizeof s.status.since, SINCE);
    return keep(f, &stream_schema, &s);
}

static const char *peer(struct fixture *f, const char *uid, const char *name) {
    struct peer p = {.generation = 3, .self = true, .uptime_s = 10};
    p.has_role = p.has_last_seen = p.has_reason = p.has_signaling_address = p.has_address = p.has_node_id =
        PRESENCE_NULL;
    snprintf(p.peer_uid, sizeof p.peer_uid, "%s", uid);
    snprintf(p.peer_uri, sizeof p.peer_uri, "/peers/%s", uid);
    snprintf(p.spec.name, sizeof p.spec.name, "%s", name);
    snprintf(p.since, sizeof p.since, SINCE);
    return keep(f, &peer_schema, &p);
}

static const char *state_of(struct fixture *f, const char *peers, const char *endpoints, const char *streams) {
    char *text = nullptr;
    assert_true(asprintf(&text, "{\"cursor\":\"a-7\",\"peers\":[%s],\"endpoints\":[%s],\"streams\":[%s]}", peers,
                         endpoints, streams) > 0);
    char *to = f->text[f->n_texts++ % 64];
    assert_true(strlen(text) < sizeof f->text[0]);
    strcpy(to, text);
    free(text);
    return to;
}

static const char *both(struct fixture *f, const char *a, const char *b) {
    char *to = f->text[f->n_texts++ % 64];
    int n = snprintf(to, sizeof f->text[0], "%s,%s", a, b);
    assert_true(n > 0 && (size_t)n < sizeof f->text[0]);
    return to;
}

/* ---- what is seen here ---- */

static uint64_t last_event(const struct fixture *f) {
    return events_last(orchestrator_events(f->world.orchestrator));
}

/* The events after this number: "type of object at peer", with the last two figures of the uids. */
static const char *events_after(const struct fixture *f, uint64_t number) {
    static char text[2048];
    text[0] = 0;
    const struct events *events = orchestrator_events(f->world.orchestrator);
    for (uint64_t n = number + 1; n <= events_last(events); n++) {
        const struct event *event = events_get(events, n);
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s %s@%s", used ? ", " : "", event_type_name(event->type),
                 event->object_uid + 18, event->peer_uid + 18);
    }
    return text;
}

static struct peer shown(const struct fixture *f, const char *uid) {
    struct peer ret;
    const struct remote_peer *p = orchestrator_remote_peer(f->world.orchestrator, uid);
    assert_non_null(p);
    orchestrator_show_remote_peer(f->world.orchestrator, p, &ret);
    return ret;
}

static void link_up(struct fixture *f, const char *uid, uint64_t epoch) {
    fake_links_set(f->world.peer_links, uid, LINKS_UP, epoch, ERR_OK, nullptr);
}

static void link_down(struct fixture *f, const char *uid) {
    fake_links_set(f->world.peer_links, uid, LINKS_DOWN, 1, ERR_UNAVAILABLE, "192.0.2.1:4041 does not answer");
}

static struct links_call *asked(struct fixture *f, const char *uid, const char *path) {
    struct links_call *call = fake_links_call(f->world.peer_links, uid, path);
    if (!call)
        fail_msg("%s was not asked for %s", uid, path);
    return call;
}

static bool is_asked(struct fixture *f, const char *uid, const char *path) {
    return fake_links_call(f->world.peer_links, uid, path) != nullptr;
}

/* Up, and in step with this state. */
static struct links_call *follow(struct fixture *f, const char *uid, const char *state) {
    link_up(f, uid, 1);
    fake_links_reply(asked(f, uid, "/state"), 200, state);
    struct links_call *call = asked(f, uid, "/events");
    fake_links_stream(call);
    assert_true(orchestrator_remote_peer(f->world.orchestrator, uid)->is_in_step);
    return call;
}

#define AT(peer, uid) "/peers/" peer "/endpoints/" uid

/* ---- tests ---- */

static void members_are_pending_from_the_start(void **arg) {
    struct fixture *f = *arg;
    struct peer kitchen = shown(f, KITCHEN), office = shown(f, OFFICE);
    assert_int_equal(kitchen.state, PEER_STATE_PENDING);
    assert_false(kitchen.self);
    assert_string_equal(kitchen.role, "operator");
    assert_string_equal(kitchen.signaling_address, "192.0.2.1:4041");
    assert_string_equal(kitchen.reason, "NotReached");
    assert_int_equal(kitchen.has_last_seen, PRESENCE_NULL);
    assert_string_equal(office.role, "viewer");
    assert_int_equal(office.has_signaling_address, PRESENCE_NULL);
    assert_non_null(strstr(office.message, "site.peers"));
    assert_int_equal(last_event(f), 0);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 0);
}

static void a_link_that_comes_up_is_followed(void **arg) {
    struct fixture *f = *arg;
    link_up(f, KITCHEN, 1);
    assert_string_equal(events_after(f, 0), "peer_updated 01@01");
    struct links_call *call = asked(f, KITCHEN, "/state");
    assert_string_equal(call->request.method, "GET");
    assert_string_equal(call->request.query, "peer=" KITCHEN);
    assert_int_equal(call->request.role, ROSTER_ADMIN);
    fake_links_reply(call, 200,
                     state_of(f, peer(f, KITCHEN, "Kitchen"), endpoint(f, KITCHEN, MIC, "Mic", 4),
                              stream(f, STREAM, AT(KITCHEN, MIC), "rtp://192.0.2.9:1")));
    assert_string_equal(events_after(f, 1), "peer_updated 01@01, endpoint_added 01@01, stream_added 01@01");
    assert_string_equal(shown(f, KITCHEN).spec.name, "Kitchen");
    const struct remote_endpoint *mic = orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC);
    assert_non_null(mic);
    assert_string_equal(mic->display_name, "Mic");
    assert_int_equal(mic->object.generation, 4);
    assert_int_equal(mic->direction, STREAM_DIRECTION_INPUT);
    const struct remote_stream *s = orchestrator_remote_stream(f->world.orchestrator, STREAM);
    assert_non_null(s);
    assert_string_equal(s->source_uid, MIC);
    assert_string_equal(s->destination_uid, "");
    call = asked(f, KITCHEN, "/events");
    assert_string_equal(call->request.query, "peer=" KITCHEN "&since=a-7");
    fake_links_stream(call);

    uint64_t before = last_event(f);
    fake_links_event(call, "endpoint_updated", endpoint(f, KITCHEN, MIC, "Michael", 5));
    fake_links_event(call, "endpoint_updated", endpoint(f, KITCHEN, MIC, "Michael", 5)); /* nothing new */
    fake_links_event(call, "endpoint_added", endpoint(f, KITCHEN, SPEAKER, "Speaker", 1));
    fake_links_event(call, "stream_removed", "{\"uri\":\"/streams/" STREAM "\",\"uid\":\"" STREAM "\"}");
    fake_links_event(call, "stream_removed", "{\"uri\":\"/streams/" STREAM "\",\"uid\":\"" STREAM "\"}");
    fake_links_event(call, "peer_updated", peer(f, KITCHEN, "Küche"));
    fake_links_event(call, "of_a_later_version", "{}");
    assert_string_equal(events_after(f, before),
                        "endpoint_updated 01@01, endpoint_added 02@01, stream_removed 01@01, peer_updated 01@01");
    assert_string_equal(orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC)->display_name, "Michael");
    assert_null(orchestrator_remote_stream(f->world.orchestrator, STREAM));
    assert_string_equal(shown(f, KITCHEN).spec.name, "Küche");
    assert_true(is_asked(f, KITCHEN, "/events")); /* still the same */
}

static void what_is_offline_stays_with_its_age(void **arg) {
    struct fixture *f = *arg;
    follow(f, KITCHEN, state_of(f, peer(f, KITCHEN, "Kitchen"), endpoint(f, KITCHEN, MIC, "Mic", 1), ""));
    assert_true(shown(f, KITCHEN).uptime_s >= 10);
    fake_world_run_ms(&f->world, 5000);
    assert_true(shown(f, KITCHEN).uptime_s >= 15);
    uint64_t before = last_event(f);
    link_down(f, KITCHEN);
    assert_string_equal(events_after(f, before), "peer_updated 01@01");
    struct peer kitchen = shown(f, KITCHEN);
    assert_int_equal(kitchen.state, PEER_STATE_OFFLINE);
    assert_int_equal(kitchen.has_last_seen, PRESENCE_VALUE);
    assert_string_equal(kitchen.last_seen, kitchen.since);
    assert_string_equal(kitchen.reason, "Unreachable");
    assert_non_null(strstr(kitchen.message, "does not answer"));
    assert_string_equal(kitchen.spec.name, "Kitchen");
    assert_true(kitchen.uptime_s == 0.0);
    assert_non_null(orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC));
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 0);
    fake_world_run_ms(&f->world, 20000);
    link_down(f, KITCHEN); /* another try that failed is no news */
    assert_int_equal(last_event(f), before + 1);
    assert_string_equal(shown(f, KITCHEN).last_seen, kitchen.last_seen);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 0);

    /* It comes back with another endpoint: the difference is news. */
    before = last_event(f);
    follow(f, KITCHEN, state_of(f, peer(f, KITCHEN, "Kitchen"), endpoint(f, KITCHEN, SPEAKER, "Speaker", 1), ""));
    assert_string_equal(events_after(f, before), "peer_updated 01@01, endpoint_added 02@01, endpoint_removed 01@01");
    assert_int_equal(shown(f, KITCHEN).has_last_seen, PRESENCE_NULL);
    assert_int_equal(shown(f, KITCHEN).has_reason, PRESENCE_NULL);
}

static void another_run_is_asked_anew(void **arg) {
    struct fixture *f = *arg;
    follow(f, KITCHEN, state_of(f, peer(f, KITCHEN, "Kitchen"), endpoint(f, KITCHEN, MIC, "Mic", 1), ""));
    link_up(f, KITCHEN, 1); /* nothing new about it */
    assert_false(is_asked(f, KITCHEN, "/state"));
    link_up(f, KITCHEN, 2);
    assert_false(is_asked(f, KITCHEN, "/events"));
    assert_int_equal(f->world.peer_links->n_cancelled, 1);
    assert_false(orchestrator_remote_peer(f->world.orchestrator, KITCHEN)->is_in_step);
    fake_links_reply(asked(f, KITCHEN, "/state"), 200, state_of(f, peer(f, KITCHEN, "Kitchen"), "", ""));
    assert_null(orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC));
    assert_true(is_asked(f, KITCHEN, "/events"));
}

/* Each breaks the news in its way, and is mended by asking for the state again after a pause. */
static void gaps_are_healed(void **arg) {
    struct fixture *f = *arg;
    static const char *const BREAKS[] = {"reset", "ended", "not JSON", "refused", "no stream", "failed"};
    for (size_t i = 0; i < sizeof BREAKS / sizeof *BREAKS; i++) {
        const char *way = BREAKS[i];
        link_up(f, KITCHEN, 10 + i);
        fake_links_reply(asked(f, KITCHEN, "/state"), 200, state_of(f, "", endpoint(f, KITCHEN, MIC, "Mic", 1), ""));
        struct links_call *call = asked(f, KITCHEN, "/events");
        if (i < 3)
            fake_links_stream(call);
        if (i == 0)
            fake_links_event(call, "reset", "{\"reason\":\"too_slow\",\"message\":\"\"}");
        else if (i == 1)
            fake_links_fail(call, ERR_UNAVAILABLE, "gone");
        else if (i == 2)
            fake_links_event(call, "endpoint_updated", "{\"endpoint_uid\":");
        else if (i == 3)
            fake_links_reply(call, 403, "{}");
        else if (i == 4)
            fake_links_reply(call, 200, "{}");
        else
            fake_links_fail(call, ERR_LIMIT, "too much");
        if (is_asked(f, KITCHEN, "/events") || is_asked(f, KITCHEN, "/state"))
            fail_msg("%s: asked at once", way);
        assert_false(orchestrator_remote_peer(f->world.orchestrator, KITCHEN)->is_in_step);
        fake_world_run_ms(&f->world, 501);
        if (!is_asked(f, KITCHEN, "/state"))
            fail_msg("%s: not asked again", way);
        assert_non_null(orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC)); /* stays meanwhile */
        link_down(f, KITCHEN);
    }
}

/* An object of a later version that cannot be read hides no other, in news as in a snapshot. */
static void what_cannot_be_read_is_passed_over(void **arg) {
    struct fixture *f = *arg;
    link_up(f, KITCHEN, 1);
    fake_links_reply(asked(f, KITCHEN, "/state"), 200, state_of(f, "", endpoint(f, KITCHEN, MIC, "Mic", 1), ""));
    struct links_call *call = asked(f, KITCHEN, "/events");
    fake_links_stream(call);
    fake_links_event(call, "endpoint_updated", "{\"endpoint_uid\":\"" MIC "\"}");
    assert_true(orchestrator_remote_peer(f->world.orchestrator, KITCHEN)->is_in_step);
    fake_links_event(call, "endpoint_updated", endpoint(f, KITCHEN, MIC, "Mike", 2));
    assert_int_equal(orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC)->object.generation, 2);
}

static void pauses_grow_up_to_ten_seconds(void **arg) {
    struct fixture *f = *arg;
    link_up(f, KITCHEN, 1);
    static const int64_t PAUSES_MS[] = {500, 1000, 2000, 4000, 8000, 10000, 10000};
    for (size_t i = 0; i < sizeof PAUSES_MS / sizeof *PAUSES_MS; i++) {
        fake_links_reply(asked(f, KITCHEN, "/state"), i % 2 ? 200 : 500, "nonsense");
        fake_world_run_ms(&f->world, PAUSES_MS[i] - 1);
        assert_false(is_asked(f, KITCHEN, "/state"));
        fake_world_run_ms(&f->world, 2);
        assert_true(is_asked(f, KITCHEN, "/state"));
    }
    /* Ten good seconds make the next failure a first one. */
    fake_links_reply(asked(f, KITCHEN, "/state"), 200, state_of(f, "", "", ""));
    fake_links_stream(asked(f, KITCHEN, "/events"));
    fake_world_run_ms(&f->world, 10000);
    fake_links_fail(asked(f, KITCHEN, "/events"), ERR_UNAVAILABLE, "gone");
    fake_world_run_ms(&f->world, 501);
    assert_true(is_asked(f, KITCHEN, "/state"));
}

/* A listed peer lies: about others' objects, about ours, about who it is. */
static void liars_are_believed_about_their_own_only(void **arg) {
    struct fixture *f = *arg;
    follow(
        f, OFFICE,
        state_of(f, "", endpoint(f, OFFICE, MIC, "Mic", 1), stream(f, STREAM, AT(OFFICE, MIC), "rtp://192.0.2.9:1")));
    uint64_t before = last_event(f);
    const char *peers = both(f, peer(f, OFFICE, "I am the office"), peer(f, OWN, "I am you"));
    const char *streams = stream(f, "stream-000000-000002", AT(KITCHEN, SPEAKER), AT(OFFICE, MIC));
    struct links_call *call =
        follow(f, KITCHEN, state_of(f, peers, endpoint(f, OFFICE, SPEAKER, "Not mine", 1), streams));
    fake_links_event(call, "stream_added",
                     stream(f, "stream-000000-000003", "/peers/self/endpoints/" SPEAKER, "rtp://192.0.2.9:1"));
    fake_links_event(call, "endpoint_removed", "{\"uri\":\"/x\",\"uid\":\"" MIC "\"}");
    fake_links_event(call, "stream_removed", "{\"uri\":\"/x\",\"uid\":\"" STREAM "\"}");
    fake_links_event(call, "peer_updated", peer(f, OFFICE, "Liar"));
    assert_string_equal(events_after(f, before), "peer_updated 01@01"); /* that its link is up, and nothing else */
    assert_string_equal(shown(f, OFFICE).spec.name, OFFICE);
    assert_string_equal(orchestrator_remote_endpoint(f->world.orchestrator, OFFICE, MIC)->display_name, "Mic");
    assert_null(orchestrator_remote_endpoint(f->world.orchestrator, OFFICE, SPEAKER));
    assert_string_equal(orchestrator_remote_stream(f->world.orchestrator, STREAM)->object.peer->uid, OFFICE);
    assert_null(orchestrator_remote_stream(f->world.orchestrator, "stream-000000-000002"));
    assert_null(orchestrator_remote_stream(f->world.orchestrator, "stream-000000-000003"));
    assert_true(orchestrator_remote_peer(f->world.orchestrator, KITCHEN)->is_in_step);
}

/* Whoever says a uid first: the endpoint of the other is there all the same, and what becomes of one is nothing to the
 * other. Ours has nothing to do with either. */
static void endpoints_of_one_uid_are_apart(void **arg) {
    struct fixture *f = *arg;
    struct orchestrator *o = f->world.orchestrator;
    char own[UID_SIZE];
    fake_put_endpoint(&f->world, "", "{\"kind\":\"tone\",\"display_name\":\"Ours\"}", own);
    struct links_call *liar = follow(f, KITCHEN, state_of(f, "", endpoint(f, KITCHEN, MIC, "Squatter", 1), ""));
    struct links_call *owner = follow(f, OFFICE, state_of(f, "", endpoint(f, OFFICE, MIC, "Mic", 1), ""));
    uint64_t before = last_event(f);
    fake_links_event(liar, "endpoint_added", endpoint(f, KITCHEN, own, "Yours", 1));
    assert_string_equal(orchestrator_remote_endpoint(o, KITCHEN, own)->display_name, "Yours");
    assert_non_null(orchestrator_endpoint(o, own));
    fake_links_event(owner, "endpoint_updated", endpoint(f, OFFICE, MIC, "Michael", 2));
    assert_string_equal(orchestrator_remote_endpoint(o, OFFICE, MIC)->display_name, "Michael");
    assert_string_equal(orchestrator_remote_endpoint(o, KITCHEN, MIC)->display_name, "Squatter");
    assert_non_null(strstr(orchestrator_remote_endpoint(o, OFFICE, MIC)->object.json, AT(OFFICE, MIC)));
    fake_links_event(liar, "endpoint_removed", "{\"uri\":\"/x\",\"uid\":\"" MIC "\"}");
    assert_null(orchestrator_remote_endpoint(o, KITCHEN, MIC));
    assert_non_null(orchestrator_remote_endpoint(o, OFFICE, MIC));
    char wanted[128];
    snprintf(wanted, sizeof wanted, "endpoint_added %s@01, endpoint_updated 01@02, endpoint_removed 01@01", own + 18);
    assert_string_equal(events_after(f, before), wanted);
}

static size_t count_shown(const struct fixture *f) {
    size_t n = 0;
    for (const struct remote_stream *s = nullptr; (s = orchestrator_next_remote_stream(f->world.orchestrator, s));)
        n++;
    return n;
}

static const char *shown_of(const struct fixture *f, const char *uid) {
    const struct remote_stream *stream = orchestrator_remote_stream(f->world.orchestrator, uid);
    return stream ? stream->object.peer->uid : "";
}

/* One is shown, that of which was told first; when it goes, the other is there at once. */
static void streams_of_one_uid_wait_for_each_other(void **arg) {
    struct fixture *f = *arg;
    static const char GONE[] = "{\"uri\":\"/x\",\"uid\":\"" STREAM "\"}";
    const char *squatted = stream(f, STREAM, AT(OFFICE, MIC), AT(KITCHEN, SPEAKER));
    const char *true_one = stream(f, STREAM, AT(KITCHEN, MIC), AT(OFFICE, SPEAKER));
    struct links_call *liar = follow(f, KITCHEN, state_of(f, "", "", squatted));
    uint64_t before = last_event(f);
    struct links_call *owner = follow(f, OFFICE, state_of(f, "", "", true_one));
    assert_string_equal(events_after(f, before), "peer_updated 02@02");
    assert_string_equal(shown_of(f, STREAM), KITCHEN);
    assert_int_equal(count_shown(f), 1);

    before = last_event(f);
    fake_links_event(liar, "stream_removed", GONE);
    assert_string_equal(events_after(f, before), "stream_removed 01@01, stream_added 01@02");
    assert_string_equal(shown_of(f, STREAM), OFFICE);
    assert_int_equal(count_shown(f), 1);

    /* From now on the liar comes too late, in news and in snapshots. */
    before = last_event(f);
    fake_links_event(liar, "stream_added", squatted);
    fake_links_event(liar, "stream_updated", stream(f, STREAM, AT(OFFICE, SPEAKER), AT(KITCHEN, SPEAKER)));
    fake_links_event(liar, "stream_removed", GONE);
    fake_links_event(liar, "stream_added", squatted);
    assert_string_equal(events_after(f, before), "");
    assert_string_equal(shown_of(f, STREAM), OFFICE);

    /* A snapshot that does not name it lets go as well. */
    fake_links_event(owner, "reset", "{\"reason\":\"too_slow\",\"message\":\"\"}");
    fake_world_run_ms(&f->world, 501);
    before = last_event(f);
    fake_links_reply(asked(f, OFFICE, "/state"), 200, state_of(f, "", "", ""));
    assert_string_equal(events_after(f, before), "stream_removed 01@02, stream_added 01@01");
    assert_string_equal(shown_of(f, STREAM), KITCHEN);
}

/* Ours is always the one: also when it comes last. */
static void a_stream_of_ours_hides_others_of_its_uid(void **arg) {
    struct fixture *f = *arg;
    char source[UID_SIZE], sink[UID_SIZE], uid[UID_SIZE] = STREAM;
    fake_put_endpoint(&f->world, "", "{\"kind\":\"tone\"}", source);
    fake_put_endpoint(&f->world, "", "{\"kind\":\"null\"}", sink);
    struct links_call *liar =
        follow(f, KITCHEN, state_of(f, "", "", stream(f, STREAM, AT(OFFICE, MIC), AT(KITCHEN, SPEAKER))));
    uint64_t before = last_event(f);
    struct stream_spec spec = fake_stream_between(source, sink);
    fake_put_stream(&f->world, STREAM, &spec, uid);
    assert_string_equal(uid, STREAM);
    assert_string_equal(shown_of(f, STREAM), "");
    assert_int_equal(count_shown(f), 0);
    assert_true(strncmp(events_after(f, before), "stream_removed 01@01, stream_added 01@00", 40) == 0);
    before = last_event(f);
    fake_links_event(liar, "stream_updated", stream(f, STREAM, AT(OFFICE, SPEAKER), AT(KITCHEN, SPEAKER)));
    assert_null(strstr(events_after(f, before), "@01"));

    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_stream(f->world.orchestrator, STREAM, ANY_GENERATION, fake_done, &answer, nullptr), ERR_OK);
    assert_string_equal(shown_of(f, STREAM), KITCHEN);
    fake_world_run_ms(&f->world, 1000);
    assert_true(answer.is_done);
}

static void a_peer_has_so_many_objects_and_no_more(void **arg) {
    struct fixture *f = *arg;
    struct links_call *call = follow(f, KITCHEN, state_of(f, "", "", ""));
    char uid[UID_SIZE];
    for (size_t i = 0; i < LIMIT_ENDPOINTS + 3; i++) {
        snprintf(uid, sizeof uid, "endpnt-000000-%06zu", i);
        fake_links_event(call, "endpoint_added", endpoint(f, KITCHEN, uid, "x", 1));
    }
    for (size_t i = 0; i < LIMIT_STREAMS + 3; i++) {
        snprintf(uid, sizeof uid, "stream-000000-%06zu", i);
        fake_links_event(call, "stream_added", stream(f, uid, AT(OFFICE, MIC), AT(KITCHEN, SPEAKER)));
    }
    const struct remote_peer *kitchen = orchestrator_remote_peer(f->world.orchestrator, KITCHEN);
    assert_int_equal(kitchen->n_endpoints, LIMIT_ENDPOINTS);
    assert_int_equal(kitchen->n_streams, LIMIT_STREAMS);
    size_t n = 0;
    for (const struct remote_endpoint *e = nullptr; (e = orchestrator_next_remote_endpoint(f->world.orchestrator, e));)
        n++;
    assert_int_equal(n, LIMIT_ENDPOINTS);
    assert_true(kitchen->is_in_step);
}

/* What is kept is written anew, so unknown members of a later version and odd spacing do not get through. */
static void objects_are_written_anew(void **arg) {
    struct fixture *f = *arg;
    const char *plain = endpoint(f, KITCHEN, MIC, "Mic", 1);
    char odd[4096];
    snprintf(odd, sizeof odd, " {\t\"of_a_later_version\": [1, {\"deep\": true}], %s", plain + 1);
    struct links_call *call = follow(f, KITCHEN, state_of(f, "", "", ""));
    fake_links_event(call, "endpoint_added", odd);
    const struct remote_endpoint *mic = orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC);
    assert_non_null(mic);
    assert_string_equal(mic->object.json, plain);
}

static void meters_come_while_somebody_watches(void **arg) {
    struct fixture *f = *arg;
    struct links_call *news = follow(f, KITCHEN, state_of(f, "", endpoint(f, KITCHEN, MIC, "Mic", 1), ""));
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 1);
    orchestrator_watch_remote_meters(f->world.orchestrator, true);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 2);
    struct links_call *meters = asked(f, KITCHEN, "/events");
    assert_ptr_not_equal(meters, news);
    assert_string_equal(meters->request.query, "peer=" KITCHEN "&types=meter");
    fake_links_stream(meters);
    uint64_t before = last_event(f);
    fake_links_event(meters, "meter", "{\"uri\":\"/forged\",\"uid\":\"" MIC "\",\"level_dbfs\":[-3.5]}");
    fake_links_event(meters, "meter", "{\"uri\":\"/x\",\"uid\":\"" SPEAKER "\",\"level_dbfs\":[-3.5]}");
    fake_links_event(meters, "meter", "{\"level_dbfs\":[]}");
    fake_links_event(meters, "stream_removed", "{\"uri\":\"/x\",\"uid\":\"" STREAM "\"}");
    assert_string_equal(events_after(f, before), "meter 01@01");
    const struct event *event = events_get(orchestrator_events(f->world.orchestrator), before + 1);
    assert_non_null(strstr(event->json, AT(KITCHEN, MIC)));
    fake_links_fail(meters, ERR_UNAVAILABLE, "gone");
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 1);
    fake_world_run_ms(&f->world, 1001);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 2);
    orchestrator_watch_remote_meters(f->world.orchestrator, false);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 1);
    link_down(f, KITCHEN);
    orchestrator_watch_remote_meters(f->world.orchestrator, true);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 0);
    link_up(f, KITCHEN, 2);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 2);
}

/* ---- figures ---- */

/* A running stream into the kitchen's speaker, after so many packets. */
static const char *running(struct fixture *f, int64_t packets, int generation, const char *since) {
    struct stream s;
    const char *plain = stream(f, STREAM, AT(OFFICE, MIC), AT(KITCHEN, SPEAKER));
    assert_int_equal(schema_decode_text(&stream_schema, plain, strlen(plain), 0, &s, nullptr, nullptr), ERR_OK);
    s.generation = generation;
    s.status.state = STREAM_STATE_RUNNING;
    s.status.packets.received = packets;
    s.status.n_level_dbfs = 1;
    s.status.level_dbfs[0] = -(double)packets;
    snprintf(s.status.since, sizeof s.status.since, "%s", since);
    return keep(f, &stream_schema, &s);
}

static int64_t packets_shown(const struct fixture *f) {
    struct stream s;
    const struct remote_stream *shown = orchestrator_remote_stream(f->world.orchestrator, STREAM);
    assert_int_equal(
        schema_decode_text(&stream_schema, shown->object.json, shown->object.json_len, 0, &s, nullptr, nullptr),
        ERR_OK);
    assert_int_equal((int64_t)s.status.level_dbfs[0], -s.status.packets.received);
    return s.status.packets.received;
}

static void count(void *arg) {
    ++*(int *)arg;
}

static bool refresh(struct fixture *f, struct remote_wait *wait, int *n) {
    return orchestrator_refresh_remote(f->world.orchestrator, "", wait, count, n);
}

static void figures_are_asked_for_once_a_second(void **arg) {
    struct fixture *f = *arg;
    struct remote_wait waits[3];
    int n = 0;
    assert_false(refresh(f, &waits[0], &n)); /* nobody is up */
    follow(f, KITCHEN, state_of(f, "", endpoint(f, KITCHEN, SPEAKER, "Speaker", 1), running(f, 5, 1, SINCE)));
    follow(f, OFFICE, state_of(f, "", "", "")); /* has nothing */
    uint64_t before = last_event(f);
    assert_true(refresh(f, &waits[0], &n));
    assert_false(is_asked(f, OFFICE, "/state"));
    struct links_call *call = asked(f, KITCHEN, "/state");
    assert_string_equal(call->request.query, "peer=" KITCHEN);
    assert_true(refresh(f, &waits[1], &n)); /* waits for the same */
    assert_false(orchestrator_refresh_remote(f->world.orchestrator, OFFICE, &waits[2], count, &n));
    assert_true(orchestrator_refresh_remote(f->world.orchestrator, KITCHEN, &waits[2], count, &n));
    orchestrator_refresh_cancel(&waits[2]);
    orchestrator_refresh_cancel(&waits[2]);
    assert_int_equal(n, 0);
    fake_links_reply(call, 200, state_of(f, "", endpoint(f, KITCHEN, SPEAKER, "Speaker", 1), running(f, 99, 1, SINCE)));
    assert_int_equal(n, 2);
    assert_int_equal(packets_shown(f), 99);
    assert_int_equal(last_event(f), before); /* no news */
    assert_false(refresh(f, &waits[0], &n));
    assert_false(is_asked(f, KITCHEN, "/state"));
    fake_world_run_ms(&f->world, 1000);
    assert_true(refresh(f, &waits[0], &n));
    fake_links_fail(asked(f, KITCHEN, "/state"), ERR_UNAVAILABLE, "gone");
    assert_int_equal(n, 3);
    assert_int_equal(packets_shown(f), 99);
}

/* What comes late, or makes no sense, undoes nothing. */
static void figures_are_all_that_is_taken(void **arg) {
    struct fixture *f = *arg;
    static const char LATER[] = "2026-11-25T07:00:00.000Z";
    struct links_call *events = follow(f, KITCHEN, state_of(f, "", "", running(f, 5, 2, LATER)));
    const char *others[] = {
        state_of(f, "", "", running(f, 7, 1, LATER)),
        state_of(f, "", "", running(f, 7, 2, SINCE)),
        state_of(f, "", "", stream(f, STREAM, AT(OFFICE, MIC), AT(KITCHEN, SPEAKER))),
        state_of(f, "", "", stream(f, "stream-000000-000002", AT(OFFICE, MIC), AT(KITCHEN, SPEAKER))),
        state_of(f, peer(f, KITCHEN, "x"), endpoint(f, KITCHEN, MIC, "x", 1), "{\"stream_uid\":\"" STREAM "\"},7,null"),
        "{\"streams\":7}",
        "[]",
        "not JSON",
        "",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct remote_wait wait;
        int n = 0;
        char before[4096];
        const struct remote_stream *held = orchestrator_remote_stream(f->world.orchestrator, STREAM);
        snprintf(before, sizeof before, "%s", held->object.json);
        fake_world_run_ms(&f->world, 1000);
        uint64_t event = last_event(f);
        assert_true(refresh(f, &wait, &n));
        fake_links_reply(asked(f, KITCHEN, "/state"), 200, others[i]);
        assert_int_equal(n, 1);
        assert_string_equal(held->object.json, before);
        assert_int_equal(count_shown(f), 1);
        assert_int_equal(last_event(f), event);
        assert_null(orchestrator_remote_endpoint(f->world.orchestrator, KITCHEN, MIC));
    }
    fake_links_event(events, "stream_updated", running(f, 8, 3, LATER));
    assert_int_equal(packets_shown(f), 8);
}

static void nobody_waits_long_for_figures(void **arg) {
    struct fixture *f = *arg;
    struct remote_wait wait;
    int n = 0;
    follow(f, KITCHEN, state_of(f, "", "", running(f, 5, 1, SINCE)));
    assert_true(refresh(f, &wait, &n));
    fake_world_run_ms(&f->world, 499);
    assert_int_equal(n, 0);
    fake_world_run_ms(&f->world, 2);
    assert_int_equal(n, 1);
    fake_world_run_ms(&f->world, 5000);
    assert_false(refresh(f, &wait, &n)); /* the question is still open, and is not put again */
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 2);
    fake_links_reply(asked(f, KITCHEN, "/state"), 200, state_of(f, "", "", running(f, 6, 1, SINCE)));
    assert_int_equal(packets_shown(f), 6);
    assert_true(refresh(f, &wait, &n));
    link_down(f, KITCHEN);
    assert_int_equal(n, 2);
    assert_int_equal(fake_links_n_calls(f->world.peer_links), 0);
    assert_false(refresh(f, &wait, &n));
    /* One that still waits when all ends hears no more of it. */
    follow(f, KITCHEN, state_of(f, "", "", running(f, 5, 1, SINCE)));
    int n_stopped = 0;
    orchestrator_stop(f->world.orchestrator, count, &n_stopped);
    fake_world_run_ms(&f->world, 1000);
    assert_int_equal(n_stopped, 1);
    assert_true(refresh(f, &wait, &n));
    orchestrator_destroy(f->world.orchestrator);
    f->world.orchestrator = nullptr;
    assert_int_equal(n, 2);
    orchestrator_refresh_cancel(&wait);
}

static void refusals_are_told_apart(void **arg) {
    struct fixture *f = *arg;
    static const struct {
        enum err code;
        const char *word;
    } CASES[] = {{ERR_FORBIDDEN, "Refused"},
                 {ERR_INVALID, "WrongKey"},
                 {ERR_UNSUPPORTED, "VersionMismatch"},
                 {ERR_UNAVAILABLE, "Unreachable"}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        uint64_t before = last_event(f);
        fake_links_set(f->world.peer_links, KITCHEN, LINKS_REFUSED, 0, CASES[i].code, "because");
        struct peer kitchen = shown(f, KITCHEN);
        assert_int_equal(kitchen.state, PEER_STATE_PENDING); /* it was never seen */
        assert_string_equal(kitchen.reason, CASES[i].word);
        assert_string_equal(kitchen.message, "because");
        assert_string_equal(events_after(f, before), "peer_updated 01@01");
    }
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(members_are_pending_from_the_start),
        TEST(a_link_that_comes_up_is_followed),
        TEST(what_is_offline_stays_with_its_age),
        TEST(another_run_is_asked_anew),
        TEST(gaps_are_healed),
        TEST(what_cannot_be_read_is_passed_over),
        TEST(pauses_grow_up_to_ten_seconds),
        TEST(liars_are_believed_about_their_own_only),
        TEST(endpoints_of_one_uid_are_apart),
        TEST(streams_of_one_uid_wait_for_each_other),
        TEST(a_stream_of_ours_hides_others_of_its_uid),
        TEST(a_peer_has_so_many_objects_and_no_more),
        TEST(objects_are_written_anew),
        TEST(meters_come_while_somebody_watches),
        TEST(figures_are_asked_for_once_a_second),
        TEST(figures_are_all_that_is_taken),
        TEST(nobody_waits_long_for_figures),
        TEST(refusals_are_told_apart),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
