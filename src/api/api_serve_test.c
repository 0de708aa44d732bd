/* SPDX-License-Identifier: MPL-2.0 */
#include "api/api_test.h"

#include "api/serve.h"
#include "support/fake_links.h"

/* Requests of a peer as they come over a link, and what leaves in answer. */
#define KITCHEN "peer00-peer00-peer01"

struct site {
    struct bench bench; /* first member */
    struct roster_member member;
    struct roster roster;
    struct links *links;
    struct serve *serve;
    struct links_serving serving[SERVE_STREAMS_MAX + 1];
};

static int site_setup(void **state) {
    struct site *site = calloc(1, sizeof *site);
    snprintf(site->member.uid, UID_SIZE, "%s", KITCHEN);
    site->member.role = ROSTER_OPERATOR;
    site->roster = (struct roster){&site->member, 1};
    site->links = fake_links_create(&site->roster);
    site->bench.fake = fake_create();
    site->bench.fake->links = site->links;
    fake_remote_peer(site->bench.fake, KITCHEN, "Kitchen");
    struct api_config config = {.orchestrator = site->bench.fake, .libroc_version = "0.4.0"};
    assert_int_equal(api_create(&config, &site->bench.api, nullptr), ERR_OK);
    const struct serve_config serve = {.api = site->bench.api, .links = site->links};
    assert_int_equal(serve_create(&serve, &site->serve, nullptr), ERR_OK);
    *state = site;
    return 0;
}

static int site_teardown(void **state) {
    struct site *site = *state;
    api_destroy(site->bench.api);
    for (size_t i = 0; i < sizeof site->serving / sizeof *site->serving; i++) {
        if (site->serving[i].is_streaming)
            fake_links_close(&site->serving[i]);
        fake_links_serving_finish(&site->serving[i]);
    }
    fake_links_destroy(site->links);
    serve_destroy(site->serve);
    fake_store_answers(site->bench.fake, ERR_OK);
    fake_destroy(site->bench.fake);
    free(site);
    return 0;
}

/* The reply, nullptr while it is waited for; the next request overwrites it. */
static struct links_serving *ask(struct site *site, struct links_request request) {
    struct links_serving *serving = &site->serving[0];
    fake_links_serving_finish(serving);
    if (request.body) {
        request.body_len = strlen(request.body);
        request.content_type = "application/json";
    }
    fake_links_request(site->links, KITCHEN, &request, serving);
    return serving->n_answers ? serving : nullptr;
}

static void the_role_is_the_lesser_of_both(void **state) {
    struct site *site = *state;
    static const struct {
        enum roster_role peer, user;
        int status; /* of what an operator may do */
    } CASES[] = {
        {ROSTER_OPERATOR, ROSTER_ADMIN, 404}, {ROSTER_ADMIN, ROSTER_OPERATOR, 404}, {ROSTER_VIEWER, ROSTER_ADMIN, 403},
        {ROSTER_ADMIN, ROSTER_VIEWER, 403},   {ROSTER_ADMIN, ROSTER_NOBODY, 403},   {ROSTER_NOBODY, ROSTER_ADMIN, 403},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        site->member.role = CASES[i].peer;
        struct links_serving *serving =
            ask(site, (struct links_request){.method = "DELETE", .path = STREAMS, .role = CASES[i].user, .user = "u"});
        assert_int_equal(serving->status, CASES[i].status);
        if (CASES[i].status == 403)
            assert_non_null(strstr(serving->body, "peer:" KITCHEN "/u has those of"));
    }
}

static void a_write_is_answered_when_it_is_durable(void **state) {
    struct site *site = *state;
    static const char SPEC[] = "{\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/"
                               "6uibwb-h3z9nn-1nwaw6"
                               "/endpoints/aaaaaa-aaaaaa-aaaaaa\"},\"source\":{\"connection_type\":\"external\","
                               "\"media_uri\":\"rtp://127.0.0.1:1\"}}";
    struct links_request request = {.method = "PUT",
                                    .path = STREAMS,
                                    .role = ROSTER_ADMIN,
                                    .user = "unix:1000",
                                    .body = SPEC,
                                    .if_none_match = "*",
                                    .idempotency_key = "k"};
    assert_null(ask(site, request));
    fake_store_answers(site->bench.fake, ERR_OK);
    struct links_serving *serving = &site->serving[0];
    assert_int_equal(serving->n_answers, 1);
    assert_int_equal(serving->status, 201);
    assert_string_equal(serving->etag, "\"1\"");
    assert_string_equal(serving->location, STREAMS);
    assert_non_null(strstr(serving->body, "\"stream_uid\":\"aaaaaa-aaaaaa-aaaaaa\""));
    assert_null(ask(site, request));
    fake_store_answers(site->bench.fake, ERR_STORAGE);
    assert_int_equal(serving->status, 507);
    request.if_match = "\"9\"";
    request.if_none_match = nullptr;
    assert_int_equal(ask(site, request)->status, 412);
    request.method = "BREW";
    assert_int_equal(ask(site, request)->status, 405);
    assert_non_null(strstr(serving->allow, "PUT"));
}

static void who_waits_at_the_end_is_answered(void **state) {
    struct site *site = *state;
    struct links_request request = {.method = "POST", .path = "/streams", .role = ROSTER_ADMIN, .body = STREAM};
    site->member.role = ROSTER_ADMIN;
    struct links_serving *serving = ask(site, request);
    assert_int_equal(serving->status, 403); /* its source needs a grant */
    request = (struct links_request){
        .method = "PATCH", .path = "/peers/self", .role = ROSTER_ADMIN, .body = "{\"name\":\"x\"}"};
    assert_null(ask(site, request));
    api_destroy(site->bench.api);
    assert_int_equal(site->serving[0].n_answers, 1);
    assert_int_equal(site->serving[0].status, 503);
    struct api_config config = {.orchestrator = site->bench.fake, .libroc_version = "0.4.0"};
    assert_int_equal(api_create(&config, &site->bench.api, nullptr), ERR_OK); /* for the teardown */
}

static void events_are_pushed_as_fast_as_the_link_takes_them(void **state) {
    struct site *site = *state;
    struct orchestrator *fake = site->bench.fake;
    fake_event(fake, EVENT_STREAM_ADDED, "s", "{\"n\":1}");
    struct links_serving *serving =
        ask(site, (struct links_request){
                      .method = "GET", .path = "/events", .query = "peer=self&since=abc-0", .role = ROSTER_VIEWER});
    assert_true(serving->is_streaming);
    assert_null(serving->events);
    fake_links_writable(serving);
    assert_string_equal(serving->events, "stream_added abc-1 {\"n\":1}\n");
    fake_event_of(fake, KITCHEN, EVENT_STREAM_ADDED, "s", "{\"theirs\":1}");
    fake_event(fake, EVENT_STREAM_UPDATED, "s", "{\"n\":2}");
    assert_string_equal(serving->events, "stream_added abc-1 {\"n\":1}\nstream_updated abc-3 {\"n\":2}\n");
    serving->is_full = true;
    fake_event(fake, EVENT_STREAM_UPDATED, "s", "{\"n\":3}");
    fake_event(fake, EVENT_STREAM_REMOVED, "s", "{\"n\":4}");
    assert_null(strstr(serving->events, "abc-4"));
    serving->is_full = false;
    fake_links_writable(serving);
    assert_non_null(strstr(serving->events, "stream_updated abc-4 {\"n\":3}\nstream_removed abc-5 {\"n\":4}\n"));
    fake->events.forgotten = fake->events.last = fake->events.last + 2;
    fake->events.last++;
    fake_links_writable(serving);
    assert_non_null(strstr(serving->events, "reset abc-8 {\"reason\":\"too_slow\""));
    fake_links_close(serving);
    fake_event(fake, EVENT_STREAM_ADDED, "s", "{}"); /* nobody listens any more */
}

static void a_peer_reads_so_many_streams_and_no_more(void **state) {
    struct site *site = *state;
    const struct links_request request = {.method = "GET", .path = "/events", .role = ROSTER_VIEWER};
    for (size_t i = 0; i <= SERVE_STREAMS_MAX; i++) {
        fake_links_request(site->links, KITCHEN, &request, &site->serving[i]);
        assert_int_equal(site->serving[i].status, i < SERVE_STREAMS_MAX ? 200 : 429);
    }
    assert_string_equal(site->serving[SERVE_STREAMS_MAX].retry_after, "1");
    fake_links_close(&site->serving[0]);
    fake_links_serving_finish(&site->serving[SERVE_STREAMS_MAX]);
    fake_links_request(site->links, KITCHEN, &request, &site->serving[SERVE_STREAMS_MAX]);
    assert_int_equal(site->serving[SERVE_STREAMS_MAX].status, 200);
}

/* A peer asks for itself or for a user; only the first may say what peers say to each other. */
static void a_user_of_a_peer_is_not_the_peer(void **state) {
    struct site *site = *state;
    struct links_request request = {
        .method = "DELETE", .path = "/peers/self/attachments/aaaaaa-aaaaaa-aaaaaa", .role = ROSTER_ADMIN, .user = "u"};
    assert_int_equal(ask(site, request)->status, 403);
    request.user = nullptr;
    assert_int_equal(ask(site, request)->status, 404);
}

int main(void) {
#define SITE(f) cmocka_unit_test_setup_teardown(f, site_setup, site_teardown)
    const struct CMUnitTest tests[] = {
        SITE(the_role_is_the_lesser_of_both),           SITE(a_write_is_answered_when_it_is_durable),
        SITE(who_waits_at_the_end_is_answered),         SITE(events_are_pushed_as_fast_as_the_link_takes_them),
        SITE(a_peer_reads_so_many_streams_and_no_more), SITE(a_user_of_a_peer_is_not_the_peer),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
