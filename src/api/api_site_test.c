/* SPDX-License-Identifier: MPL-2.0 */
#include "api/api_test.h"

#include "api/forward.h"
#include "base/crypto.h"
#include "model/grant.h"
#include "support/fake_links.h"

/*
 * An api in a site of two: what belongs to the other peer leaves over its link, and what that peer may not do is refused.
 */
#define KITCHEN  "peer00-peer00-peer01"
#define MIC      "endpnt-000000-000001"
#define THEIRS   "stream-000000-000001"
#define AT(p, e) "{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/" p "/endpoints/" e "\"}"
#define TO(d)    "{\"source\":" AT("self", "aaaaaa-aaaaaa-aaaaaa") ",\"destination\":" d "}"
#define OWN_URI  "/peers/6uibwb-h3z9nn-1nwaw6/endpoints/aaaaaa-aaaaaa-aaaaaa"

struct site {
    struct bench bench; /* first member */
    struct roster_member member;
    struct roster roster;
    struct links *links;
    struct crypto_sign_key key, kitchen_key;
    struct remote_peer *kitchen;
};

static char *remote_json; /* a stream of the kitchen, as it shows it */

static int site_setup(void **state) {
    struct site *site = calloc(1, sizeof *site);
    assert_int_equal(crypto_init(nullptr), ERR_OK);
    crypto_sign_key_make(&site->key);
    crypto_sign_key_make(&site->kitchen_key);
    snprintf(site->member.uid, UID_SIZE, "%s", KITCHEN);
    site->member.role = ROSTER_OPERATOR;
    memcpy(site->member.public_key, site->kitchen_key.public_key, sizeof site->member.public_key);
    site->roster = (struct roster){&site->member, 1};
    site->links = fake_links_create(&site->roster);
    site->bench.fake = fake_create();
    site->bench.fake->links = site->links;
    site->kitchen = fake_remote_peer(site->bench.fake, KITCHEN, "Kitchen");
    fake_remote_endpoint(site->bench.fake, site->kitchen, MIC, "{\"endpoint_uid\":\"" MIC "\"}");
    struct stream shown = {.generation = 5};
    stream_spec_defaults(&shown.spec);
    snprintf(shown.stream_uid, sizeof shown.stream_uid, THEIRS);
    snprintf(shown.stream_uri, sizeof shown.stream_uri, "/streams/" THEIRS);
    snprintf(shown.status.since, sizeof shown.status.since, "2026-11-25T06:00:00.000Z");
    snprintf(shown.spec.source.endpoint.endpoint_uri, 321, "/peers/" KITCHEN "/endpoints/" MIC);
    snprintf(shown.spec.destination.endpoint.endpoint_uri, 321, "/peers/" KITCHEN "/endpoints/endpnt-000000-000002");
    shown.status.latency_ms = (struct stream_latency){.has_end_to_end = PRESENCE_NULL,
                                                      .has_target = PRESENCE_NULL,
                                                      .has_network = PRESENCE_NULL,
                                                      .has_queue = PRESENCE_NULL};
    shown.status.local_uris = (struct stream_local_uris){
        .has_media = PRESENCE_NULL, .has_repair = PRESENCE_NULL, .has_control = PRESENCE_NULL};
    assert_int_equal(schema_encode_text(&stream_schema, &shown, &remote_json, nullptr, nullptr), ERR_OK);
    fake_remote_stream(site->bench.fake, site->kitchen, THEIRS, remote_json);
    struct api_config config = {.orchestrator = site->bench.fake, .libroc_version = "0.4.0", .key = &site->key};
    assert_int_equal(api_create(&config, &site->bench.api, nullptr), ERR_OK);
    fake_links_set(site->links, KITCHEN, LINKS_UP, 1, ERR_OK, nullptr);
    site->kitchen->info.state = PEER_STATE_ONLINE;
    *state = site;
    return 0;
}

static int site_teardown(void **state) {
    struct site *site = *state;
    struct links *links = site->links;
    api_reply_finish(&site->bench.reply);
    api_destroy(site->bench.api);
    fake_store_answers(site->bench.fake, ERR_OK);
    fake_destroy(site->bench.fake);
    fake_links_destroy(links);
    free(remote_json);
    free(site);
    return 0;
}

#define KITCHEN_USER {.privilege = API_OPERATOR, .name = "peer:Kitchen/unix:1000", .peer_uid = KITCHEN}

static const struct links_request *sent(const struct bench *bench, const char *path, struct links_call **ret) {
    *ret = fake_links_call(bench->fake->links, KITCHEN, path);
    if (!*ret)
        fail_msg("nothing was sent to %s; the answer is %d: %s", path, bench->reply.status, body(bench));
    return &(*ret)->request;
}

/* ---- what is known here ---- */

static void lists_tell_of_the_whole_site(void **state) {
    struct bench *bench = *state;
    CALL("GET", "/peers");
    assert_holds(bench, FAKE_PEER);
    assert_holds(bench, "\"name\":\"Kitchen\"");
    CALL("GET", "/peers/" KITCHEN);
    assert_holds(bench, "\"name\":\"Kitchen\"");
    assert_string_equal(header(bench, "ETag"), "\"7\"");
    CALL("GET", "/peers/" KITCHEN "/endpoints");
    assert_string_equal(body(bench), "[{\"endpoint_uid\":\"" MIC "\"}]");
    CALL("GET", "/peers/self/endpoints");
    assert_string_equal(body(bench), "[]");
    CALL("PUT", STREAMS, .if_none_match = "*", .body = STREAM);
    fake_store_answers(bench->fake, ERR_OK);
    CALL("GET", "/streams");
    const char *own = strstr(body(bench), "aaaaaa-aaaaaa-aaaaaa"), *theirs = strstr(body(bench), THEIRS);
    assert_true(own && theirs && own < theirs);
    CALL("GET", "/state", .query = "peer=self");
    assert_holds(bench, "aaaaaa-aaaaaa-aaaaaa");
    assert_null(strstr(body(bench), KITCHEN));
    CALL("GET", "/state", .query = "peer=" KITCHEN);
    assert_holds(bench, THEIRS);
    assert_holds(bench, MIC);
    assert_null(strstr(body(bench), FAKE_PEER));
    CALL("GET", "/state");
    assert_holds(bench, FAKE_PEER);
    assert_holds(bench, THEIRS);
    CALL("GET", "/state", .query = "peer=zzzzzz-zzzzzz-zzzzzz");
    assert_problem(bench, 404, "not_found", "/peers lists");
    CALL("GET", "/state", .query = "peer=x");
    assert_problem(bench, 400, "invalid_request", "not a uid");
}

/* The answer waits for the figures of others, and is written when they are there; a peer does not wait. */
static void lists_wait_for_figures(void **state) {
    struct bench *bench = *state;
    static const struct {
        const char *path, *query, *of;
    } LISTS[] = {{"/streams", nullptr, ""},
                 {"/state", nullptr, ""},
                 {"/state", "peer=" KITCHEN, KITCHEN},
                 {"/peers/" KITCHEN "/endpoints", nullptr, KITCHEN}};
    struct remote_stream *stream = &bench->fake->remote_streams[0];
    struct remote_endpoint *endpoint = &bench->fake->remote_endpoints[0];
    char *stream_json = stream->object.json, *endpoint_json = endpoint->object.json;
    for (size_t i = 0; i < sizeof LISTS / sizeof *LISTS; i++) {
        bench->fake->is_stale = true;
        CALL("GET", LISTS[i].path, .query = LISTS[i].query);
        assert_int_equal(bench->n_replies, 0);
        assert_string_equal(bench->fake->refreshed_peer, LISTS[i].of);
        stream->object.json = endpoint->object.json = (char *)(uintptr_t)"{\"fresh\":1}";
        stream->object.json_len = endpoint->object.json_len = 11;
        fake_refreshed(bench->fake);
        assert_int_equal(bench->n_replies, 1);
        assert_int_equal(bench->reply.status, 200);
        assert_holds(bench, "{\"fresh\":1}");
        CALL("GET", LISTS[i].path, .query = LISTS[i].query);
        assert_int_equal(bench->n_replies, 1);
        stream->object.json = stream_json;
        stream->object.json_len = strlen(stream_json);
        endpoint->object.json = endpoint_json;
        endpoint->object.json_len = strlen(endpoint_json);
    }
    bench->fake->n_refreshes = 0;
    CALL("GET", "/state", .query = "peer=self", .principal = KITCHEN_USER);
    assert_int_equal(bench->n_replies, 1);
    assert_int_equal(bench->fake->n_refreshes, 0);

    /* The end of the api answers who still waits. */
    bench->fake->is_stale = true;
    CALL("GET", "/streams");
    assert_int_equal(bench->n_replies, 0);
    api_destroy(bench->api);
    bench->api = nullptr;
    assert_int_equal(bench->n_replies, 1);
    assert_holds(bench, THEIRS);
}

static void events_of_peers_are_filtered_by_peer(void **state) {
    struct bench *bench = *state;
    CALL("GET", "/events", .query = "peer=" KITCHEN);
    struct api_events *events = bench->reply.events;
    bench->reply.events = nullptr;
    fake_event(bench->fake, EVENT_STREAM_ADDED, "own", "{\"own\":1}");
    fake_event_of(bench->fake, KITCHEN, EVENT_STREAM_ADDED, "theirs", "{\"theirs\":1}");
    struct api_event event;
    assert_true(api_events_peek(events, &event));
    assert_true(api_events_peek(events, &event)); /* the same again */
    assert_string_equal(event.json, "{\"theirs\":1}");
    assert_string_equal(event.name, "stream_added");
    assert_string_equal(event.cursor, "abc-2");
    api_events_advance(events);
    assert_false(api_events_peek(events, &event));
    bench->fake->events.forgotten = bench->fake->events.last + 1;
    bench->fake->events.last += 2;
    assert_true(api_events_peek(events, &event));
    assert_string_equal(event.name, "reset");
    assert_non_null(strstr(event.json, "too_slow"));
    api_events_advance(events);
    assert_false(api_events_peek(events, &event));
    api_events_destroy(events);
}

static void meters_of_others_are_watched_for_our_users_only(void **state) {
    struct bench *bench = *state;
    static const struct {
        const char *query;
        bool is_peer, own, others;
    } CASES[] = {
        {"types=meter", false, true, true},
        {"types=meter&peer=self", false, true, false},
        {"types=meter&peer=" KITCHEN, false, false, true},
        {"types=meter", true, true, false},
        {"types=meter&peer=self", true, true, false},
        {"types=meter&peer=" KITCHEN, true, false, false},
        {"types=stream_updated", false, false, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct api_principal kitchen = KITCHEN_USER, user = {.privilege = API_VIEWER, .name = "u"};
        CALL("GET", "/events", .query = CASES[i].query, .principal = CASES[i].is_peer ? kitchen : user);
        assert_int_equal(bench->fake->watched, CASES[i].own);
        assert_int_equal(bench->fake->watched_remote, CASES[i].others);
        api_events_destroy(bench->reply.events);
        bench->reply.events = nullptr;
        assert_false(bench->fake->watched || bench->fake->watched_remote);
    }
}

/* ---- what leaves ---- */

static void what_is_owned_elsewhere_leaves(void **state) {
    struct bench *bench = *state;
    static const struct {
        const char *method, *path, *query, *body;
    } CASES[] = {
        {"GET", "/streams/" THEIRS, nullptr, nullptr},
        {"DELETE", "/streams/" THEIRS, nullptr, nullptr},
        {"GET", "/peers/" KITCHEN "/endpoints/" MIC, nullptr, nullptr},
        {"PATCH", "/peers/" KITCHEN "/endpoints/" MIC, nullptr, "{\"enabled\":false}"},
        {"DELETE", "/peers/" KITCHEN "/endpoints/" MIC, nullptr, nullptr},
        {"POST", "/peers/" KITCHEN "/endpoints", nullptr, "{\"kind\":\"tone\"}"},
        {"PATCH", "/peers/" KITCHEN, nullptr, "{\"name\":\"x\"}"},
        {"GET", "/peers/" KITCHEN "/drivers", nullptr, nullptr},
        {"GET", "/metrics", "peer=" KITCHEN, nullptr},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char spelled[128];
        snprintf(spelled, sizeof spelled, "/%s/", CASES[i].path);
        CALL(CASES[i].method, spelled, .query = CASES[i].query, .body = CASES[i].body, .if_match = "\"5\"");
        assert_int_equal(bench->n_replies, 0);
        struct links_call *asked;
        const struct links_request *request = sent(bench, CASES[i].path, &asked);
        assert_string_equal(request->method, CASES[i].method);
        assert_string_equal(request->user, "test");
        assert_int_equal(request->role, ROSTER_ADMIN);
        assert_string_equal(request->if_match, "\"5\"");
        assert_true(CASES[i].body ? strcmp(request->body, CASES[i].body) == 0 : !request->body_len);
        if (CASES[i].query)
            assert_string_equal(request->query, CASES[i].query);
        assert_int_equal(request->repeatable, strcmp(CASES[i].method, "GET") == 0);
        const struct links_header headers[] = {
            {"etag", "\"6\""}, {"Location", "/x"}, {"Set-Cookie", "no"}, {"Allow", "a\nb"}};
        fake_links_reply_headers(asked, 207, "application/json", "{\"n\":1}", headers, 4);
        assert_int_equal(bench->n_replies, 1);
        assert_int_equal(bench->reply.status, 207);
        assert_string_equal(bench->reply.content_type, "application/json");
        assert_string_equal(body(bench), "{\"n\":1}");
        assert_string_equal(header(bench, "ETag"), "\"6\"");
        assert_string_equal(header(bench, "Location"), "/x");
        assert_int_equal(bench->reply.n_headers, 2);
    }
    CALL("HEAD", "/streams/" THEIRS);
    struct links_call *asked;
    assert_string_equal(sent(bench, "/streams/" THEIRS, &asked)->method, "GET");
    fake_links_reply(asked, 204, nullptr);
    assert_int_equal(bench->reply.status, 204);
    assert_null(bench->reply.content_type);
}

/* The rights are checked here first, and travel. */
static void rights_are_those_of_the_user(void **state) {
    struct bench *bench = *state;
    struct api_principal viewer = {.privilege = API_VIEWER, .name = "tcp:192.0.2.1"};
    CALL("DELETE", "/streams/" THEIRS, .principal = viewer);
    assert_problem(bench, 403, "forbidden", "operator");
    CALL("GET", "/streams/" THEIRS, .principal = viewer);
    struct links_call *asked;
    const struct links_request *request = sent(bench, "/streams/" THEIRS, &asked);
    assert_int_equal(request->role, ROSTER_VIEWER);
    assert_string_equal(request->user, "tcp:192.0.2.1");
    fake_links_reply(asked, 200, "{}");
}

static const char *new_stream_path(const struct bench *bench) {
    struct links_call *asked = list_first(&bench->fake->links->calls, struct links_call, link);
    assert_non_null(asked);
    return asked->request.path;
}

static void a_post_leaves_as_a_put(void **state) {
    struct site *site = *state;
    struct bench *bench = &site->bench;
    CALL("POST", "/streams", .body = TO(AT(KITCHEN, MIC)));
    struct links_call *asked;
    const struct links_request *request = sent(bench, new_stream_path(bench), &asked);
    const char *uid = request->path + strlen("/streams/");
    assert_true(uid_is_valid(uid));
    assert_string_equal(request->method, "PUT");
    assert_string_equal(request->if_none_match, "*");
    assert_string_equal(request->idempotency_key, uid);
    assert_true(request->repeatable);
    assert_non_null(strstr(request->body, OWN_URI));
    assert_null(strstr(request->body, "self"));
    struct grant grant;
    assert_int_equal(grant_parse(request->grant, strlen(request->grant), &grant, nullptr), ERR_OK);
    assert_int_equal(grant_verify(&grant, site->key.public_key, nullptr), ERR_OK);
    assert_string_equal(grant.stream, uid);
    assert_string_equal(grant.commander, FAKE_PEER);
    assert_string_equal(grant.user, "test");
    assert_string_equal(grant.source, OWN_URI);
    assert_string_equal(grant.destination, "/peers/" KITCHEN "/endpoints/" MIC);
    assert_int_equal(grant.generation, 1);
    fake_links_reply(asked, 201, "{\"made\":true}");
    assert_int_equal(bench->reply.status, 201);

    /* With a key the same request names the same stream, another one another. */
    char first[64];
    for (int i = 0; i < 3; i++) {
        CALL("POST", "/streams", .body = TO(AT(KITCHEN, MIC)), .idempotency_key = i < 2 ? "k1" : "k2");
        request = sent(bench, new_stream_path(bench), &asked);
        assert_string_equal(request->idempotency_key, i < 2 ? "k1" : "k2");
        if (i == 0)
            snprintf(first, sizeof first, "%s", request->path);
        else
            assert_int_equal(strcmp(first, request->path) == 0, i == 1);
        fake_links_reply(asked, 201, "{}");
    }
    CALL("POST", "/streams", .body = TO(AT("zzzzzz-zzzzzz-zzzzzz", MIC)));
    assert_problem(bench, 400, "invalid_request", "\"pointer\":\"/destination/endpoint_uri\"");
    CALL("POST", "/streams", .body = TO(AT(KITCHEN, MIC)), .idempotency_key = "");
    assert_problem(bench, 400, "invalid_request", "Idempotency-Key");
    CALL("POST", "/streams", .body = TO(AT(KITCHEN, MIC)), .idempotency_key = "\xc3\xa4");
    assert_problem(bench, 400, "invalid_request", "printable");
}

static void other_writes_of_streams_leave_with_a_grant_where_they_name_a_side(void **state) {
    struct site *site = *state;
    struct bench *bench = &site->bench;
    static const struct {
        const char *method, *body, *if_none_match, *source;
        int64_t generation; /* 0: no grant */
    } CASES[] = {
        {"PATCH", "{\"settings\":{\"gain_db\":-3}}", nullptr, nullptr, 0},
        {"PATCH", "{\"source\":{\"endpoint_uri\":\"/peers/self/endpoints/aaaaaa-aaaaaa-aaaaaa\"}}", nullptr, OWN_URI,
         6},
        {"PATCH", "{\"source\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://0.0.0.0:1\"}}", nullptr, nullptr,
         0},
        {"PUT", TO(AT(KITCHEN, MIC)), nullptr, OWN_URI, 6},
        {"PUT", TO(AT(KITCHEN, MIC)), "*", OWN_URI, 1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        CALL(CASES[i].method, "/streams/" THEIRS, .body = CASES[i].body, .if_none_match = CASES[i].if_none_match);
        struct links_call *asked;
        const struct links_request *request = sent(bench, "/streams/" THEIRS, &asked);
        assert_null(strstr(request->body, "self"));
        assert_true(!request->grant == !CASES[i].generation);
        if (CASES[i].generation) {
            struct grant grant;
            assert_int_equal(grant_parse(request->grant, strlen(request->grant), &grant, nullptr), ERR_OK);
            assert_int_equal(grant_verify(&grant, site->key.public_key, nullptr), ERR_OK);
            assert_string_equal(grant.source, CASES[i].source);
            assert_int_equal(grant.generation, CASES[i].generation);
            assert_non_null(strstr(request->body, CASES[i].source));
        }
        fake_links_reply(asked, 200, "{}");
    }
    CALL("PATCH", "/streams/" THEIRS, .body = "{\"source\":");
    assert_problem(bench, 400, "malformed_json", "line 1");
    CALL("PATCH", "/streams/" THEIRS, .body = "{\"source\":{\"nonsense\":1}}");
    assert_problem(bench, 400, "invalid_request", "/source/nonsense");
    /* What the owner says of the source is not signed: a user must have named it. */
    CALL("PATCH", "/streams/" THEIRS,
         .body = "{\"destination\":{\"endpoint_uri\":\"/peers/" KITCHEN "/endpoints/" MIC "\"}}");
    assert_problem(bench, 400, "invalid_request", "/source/endpoint_uri");
    CALL("PUT", "/streams/bbbbbb-bbbbbb-bbbbbb", .body = TO(AT(KITCHEN, MIC)), .if_none_match = "*");
    struct links_call *asked;
    sent(bench, "/streams/bbbbbb-bbbbbb-bbbbbb", &asked); /* not known yet: whose it will be decides */
    fake_links_reply(asked, 201, "{}");
}

static void who_cannot_be_reached_is_named(void **state) {
    struct site *site = *state;
    struct bench *bench = &site->bench;
    CALL("GET", "/streams/" THEIRS);
    struct links_call *asked;
    sent(bench, "/streams/" THEIRS, &asked);
    fake_links_fail(asked, ERR_UNAVAILABLE, "it went down before it answered");
    assert_problem(bench, 503, "peer_unreachable", "it went down before it answered");
    assert_holds(bench, "'Kitchen' (" KITCHEN ")");
    assert_string_equal(header(bench, "Retry-After"), "1");

    CALL("GET", "/streams/" THEIRS);
    sent(bench, "/streams/" THEIRS, &asked);
    fake_links_fail(asked, ERR_LIMIT, "512 requests are under way");
    assert_problem(bench, 429, "limit_reached", "512 requests");

    fake_links_set(site->links, KITCHEN, LINKS_DOWN, 1, ERR_UNAVAILABLE, "no answer");
    site->kitchen->info.state = PEER_STATE_OFFLINE;
    snprintf(site->kitchen->info.message, sizeof site->kitchen->info.message, "192.0.2.1:4041 does not answer");
    CALL("POST", "/streams", .body = TO(AT(KITCHEN, MIC)));
    assert_problem(bench, 503, "peer_unreachable", "since 2026-11-25T06:00:00.000Z: 192.0.2.1:4041 does not answer");
    assert_int_equal(fake_links_n_calls(site->links), 0);
    CALL("GET", "/streams");
    assert_holds(bench, THEIRS); /* still known */
}

static void nonsense_from_a_peer_is_not_passed_on(void **state) {
    struct bench *bench = *state;
    static const struct {
        int status;
        const char *type, *body;
    } CASES[] = {
        {200, "text/html", "<script>"}, {200, nullptr, "x"}, {42, "application/json", "{}"}, {999, nullptr, nullptr}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        CALL("GET", "/streams/" THEIRS);
        struct links_call *asked;
        sent(bench, "/streams/" THEIRS, &asked);
        fake_links_reply_headers(asked, CASES[i].status, CASES[i].type, CASES[i].body, nullptr, 0);
        assert_problem(bench, 503, "peer_unreachable", "makes no sense");
    }
    CALL("GET", "/streams/" THEIRS);
    struct links_call *asked;
    sent(bench, "/streams/" THEIRS, &asked);
    fake_links_stream(asked);
    assert_problem(bench, 503, "peer_unreachable", "makes no sense");
    assert_int_equal(fake_links_n_calls(bench->fake->links), 0);
}

static void who_waits_for_a_peer_at_the_end_is_answered(void **) {
    struct site *site;
    site_setup((void **)&site);
    struct bench *bench = &site->bench;
    CALL("GET", "/streams/" THEIRS);
    assert_int_equal(bench->n_replies, 0);
    api_destroy(bench->api);
    assert_problem(bench, 503, "unavailable", KITCHEN);
    bench->api = nullptr;
    site_teardown((void **)&site);
}

/* ---- what comes from a peer ---- */

static void what_a_peer_asks_is_not_passed_on(void **state) {
    struct bench *bench = *state;
    CALL("GET", "/streams/" THEIRS, .principal = KITCHEN_USER);
    assert_problem(bench, 421, "misdirected_request", "is not passed on");
    CALL("POST", "/streams", .body = TO(AT(KITCHEN, MIC)), .principal = KITCHEN_USER);
    assert_problem(bench, 421, "misdirected_request", KITCHEN);
    CALL("GET", "/peers/" KITCHEN, .principal = KITCHEN_USER);
    assert_int_equal(bench->reply.status, 200);
}

#define MADE "cccccc-cccccc-cccccc"

static char *kitchen_grant(const struct site *site, const char *change) {
    struct grant grant = {.generation = 1, .issued_ms = 5};
    bool is = change != nullptr;
    snprintf(grant.stream, sizeof grant.stream, "%s", is && strcmp(change, "stream") == 0 ? THEIRS : MADE);
    snprintf(grant.source, sizeof grant.source, "/peers/" KITCHEN "/endpoints/%s",
             is && strcmp(change, "source") == 0 ? "zzzzzz-zzzzzz-zzzzzz" : MIC);
    snprintf(grant.destination, sizeof grant.destination, "%s",
             is && strcmp(change, "destination") == 0 ? "external" : OWN_URI);
    snprintf(grant.commander, sizeof grant.commander, "%s",
             is && strcmp(change, "commander") == 0 ? FAKE_PEER : KITCHEN);
    snprintf(grant.user, sizeof grant.user, "unix:1000");
    if (is && strcmp(change, "generation") == 0)
        grant.generation = 2;
    grant_sign(&grant, is && strcmp(change, "signature") == 0 ? &site->key : &site->kitchen_key);
    return grant_format(&grant);
}

static void a_grant_is_checked_before_it_is_kept(void **state) {
    struct site *site = *state;
    struct bench *bench = &site->bench;
    static const char SPEC[] =
        "{\"source\":" AT(KITCHEN, MIC) ",\"destination\":" AT("self", "aaaaaa-aaaaaa-aaaaaa") "}";
    static const char *const LIES[] = {"stream", "source", "destination", "commander", "generation", "signature"};
    for (size_t i = 0; i < sizeof LIES / sizeof *LIES; i++) {
        char *grant = kitchen_grant(site, LIES[i]);
        CALL("PUT", "/streams/" MADE, .body = SPEC, .if_none_match = "*", .grant = grant, .principal = KITCHEN_USER);
        assert_problem(bench, 403, "forbidden", "grant");
        free(grant);
    }
    CALL("PUT", "/streams/" MADE, .body = SPEC, .if_none_match = "*", .principal = KITCHEN_USER);
    assert_problem(bench, 403, "forbidden", "needs a grant");
    CALL("PUT", "/streams/" MADE, .body = SPEC, .if_none_match = "*", .grant = "{}", .principal = KITCHEN_USER);
    assert_problem(bench, 400, "invalid_request", "");
    char *grant = kitchen_grant(site, nullptr);
    CALL("PUT", "/streams/" MADE, .body = SPEC, .if_none_match = "*", .grant = grant, .principal = KITCHEN_USER);
    free(grant);
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 201);
    assert_true(bench->fake->has_grant);
    assert_string_equal(bench->fake->grant.commander, KITCHEN);

    /* A change that leaves the sides alone keeps it; one that names them needs another. */
    CALL("PATCH", "/streams/" MADE, .body = "{\"enabled\":false}", .principal = KITCHEN_USER);
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 200);
    assert_string_equal(bench->fake->grant.commander, KITCHEN);
    CALL("PATCH", "/streams/" MADE,
         .body = "{\"source\":{\"endpoint_uri\":\"/peers/" KITCHEN "/endpoints/endpnt-000000-000002\"}}",
         .principal = KITCHEN_USER);
    assert_problem(bench, 403, "forbidden", "needs a grant");
    CALL("PATCH", "/streams/" MADE, .body = "{\"enabled\":true}");
    fake_store_answers(bench->fake, ERR_OK);
    assert_string_equal(bench->fake->grant.commander, KITCHEN); /* ours did not command the source */
    CALL("PUT", "/streams/" MADE, .body = SPEC);
    fake_store_answers(bench->fake, ERR_OK);
    assert_string_equal(bench->fake->grant.commander, FAKE_PEER);
    assert_int_equal(bench->fake->grant.generation, 4);
}

static void a_key_makes_one_stream(void **state) {
    struct bench *bench = *state;
    CALL("POST", "/streams", .body = STREAM, .idempotency_key = "once");
    CALL("POST", "/streams", .body = STREAM, .idempotency_key = "once");
    assert_int_equal(bench->n_replies, 0); /* the repetition, too, waits for the store */
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->n_replies, 2);
    assert_int_equal(bench->reply.status, 201);
    assert_int_equal(bench->fake->n_streams, 1);
    assert_int_equal(bench->fake->n_confirmed, 1);
    char location[160];
    snprintf(location, sizeof location, "%s", header(bench, "Location"));
    assert_string_equal(header(bench, "ETag"), "\"1\"");
    CALL("POST", "/streams", .body = TO("{\"connection_type\":\"external\",\"media_uri\":\"rtp://127.0.0.1:2\"}"),
         .idempotency_key = "once");
    assert_problem(bench, 422, "idempotency_mismatch", "once");
    /* Even where the other one would belong to another peer. */
    CALL("POST", "/streams", .body = TO(AT(KITCHEN, MIC)), .idempotency_key = "once");
    assert_problem(bench, 422, "idempotency_mismatch", "once");
    CALL("POST", "/streams", .body = STREAM, .idempotency_key = "twice");
    fake_store_answers(bench->fake, ERR_OK);
    assert_string_not_equal(header(bench, "Location"), location);
    CALL("PUT", STREAMS, .body = STREAM, .if_none_match = "*", .idempotency_key = "k");
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 201);
    CALL("PUT", STREAMS, .body = STREAM, .if_none_match = "*", .idempotency_key = "k");
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 201);
    assert_string_equal(header(bench, "ETag"), "\"1\"");
    assert_holds(bench, OWN_URI);
}

static void patches_lose_self(void **) {
    static const struct {
        const char *from, *to;
        bool names_side;
    } CASES[] = {
        {"{}", "{}", false},
        {"{\"enabled\":true}", "{\"enabled\":true}", false},
        {"{\"source\":null}", "{\"source\":null}", true},
        {"{\"source\":3,\"destination\":[]}", "{\"source\":3,\"destination\":[]}", true},
        {"{\"source\":{\"endpoint_uri\":7}}", "{\"source\":{\"endpoint_uri\":7}}", true},
        {"{\"a\":1,\"source\":{\"x\":1,\"endpoint_uri\":\"/peers/self/endpoints/" MIC "\",\"y\":2},\"b\":2}",
         "{\"a\":1,\"source\":{\"x\":1,\"endpoint_uri\":\"/peers/"
         "6uibwb-h3z9nn-1nwaw6"
         "/endpoints/" MIC "\",\"y\":2},\"b\":2}",
         true},
        {"{\"destination\":{\"endpoint_uri\":\"/peers/self/endpoints/" MIC "\\u0000\"}}",
         "{\"destination\":{\"endpoint_uri\":\"/peers/self/endpoints/" MIC "\\u0000\"}}", true},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = nullptr;
        size_t len = 0;
        struct forward_sides named = {};
        assert_int_equal(
            forward_resolve_patch(CASES[i].from, strlen(CASES[i].from), FAKE_PEER, &text, &len, &named, nullptr),
            ERR_OK);
        assert_string_equal(text, CASES[i].to);
        assert_int_equal(len, strlen(text));
        assert_int_equal(named.any, CASES[i].names_side);
        free(text);
    }
}

int main(void) {
#define SITE(f) cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        SITE(lists_tell_of_the_whole_site),
        SITE(lists_wait_for_figures),
        SITE(events_of_peers_are_filtered_by_peer),
        SITE(meters_of_others_are_watched_for_our_users_only),
        SITE(what_is_owned_elsewhere_leaves),
        SITE(rights_are_those_of_the_user),
        SITE(a_post_leaves_as_a_put),
        SITE(other_writes_of_streams_leave_with_a_grant_where_they_name_a_side),
        SITE(who_cannot_be_reached_is_named),
        SITE(nonsense_from_a_peer_is_not_passed_on),
        cmocka_unit_test(who_waits_for_a_peer_at_the_end_is_answered),
        SITE(what_a_peer_asks_is_not_passed_on),
        SITE(a_grant_is_checked_before_it_is_kept),
        SITE(a_key_makes_one_stream),
        cmocka_unit_test(patches_lose_self),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
