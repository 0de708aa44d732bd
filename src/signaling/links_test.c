/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signaling/links_priv.h"
#include "signaling/links_test_site.h"

/* Links as a whole: coming up, asking, being asked, endless replies, in good and in bad weather. */

static struct test_site site;
static struct test_peer *const A = &site.peers[0];
static struct test_peer *const B = &site.peers[1];

static int set_up_two(void **) {
    test_site_init(&site, 2, 1);
    test_site_connect(&site, 0, 1);
    return 0;
}

static int tear_down(void **) {
    test_site_finish(&site);
    return 0;
}

static void set_weather(int loss, int duplicate, int reorder, int64_t delay_max_ms) {
    const struct fake_weather weather = {.loss_permille = loss,
                                         .duplicate_permille = duplicate,
                                         .reorder_permille = reorder,
                                         .delay_min_ns = NS_PER_MS,
                                         .delay_max_ns = delay_max_ms * NS_PER_MS};
    fake_network_set_weather(site.network, &weather);
}

/* It does not know where the other is. */
static void forget_address(struct test_peer *p) {
    p->roster.members[0].address[0] = 0;
    p->links->members[0].dial_ns = INT64_MAX;
}

static size_t n_lines(const struct test_peer *p) {
    const struct link *link = &p->links->members[0];
    return (size_t)link->lines[0].is_up + (size_t)link->lines[1].is_up;
}

/* ---- coming up ---- */

static void both_know_each_other(void **) {
    struct links_peer now;
    assert_true(links_peer(A->links, B->uid, &now));
    assert_int_equal(now.state, LINKS_UP);
    assert_true(now.epoch == B->epoch + 1);
    assert_int_equal(now.proto, LINKS_PROTO_MAX);
    assert_string_equal(now.version, "0.1.0");
    assert_true(strncmp(now.host, "10.", 3) == 0);
    assert_int_equal(A->n_changed[LINKS_UP], 1);
    assert_int_equal(B->n_changed[LINKS_UP], 1);
    assert_false(links_peer(A->links, "zzzzzz-zzzzzz-zzzzzz", &now));
    test_site_run(&site, 3600 * NS_PER_S);
    assert_int_equal(A->n_changed[LINKS_UP], 1); /* and stays up */
    assert_int_equal(B->n_changed[LINKS_UP], 1);
}

static void a_quiet_link_costs_a_few_frames(void **) {
    struct fake_stats before, after;
    test_site_run(&site, 10 * NS_PER_S);
    fake_network_stats(site.network, &before);
    test_site_run(&site, 100 * NS_PER_S);
    fake_network_stats(site.network, &after);
    assert_in_range(after.sent - before.sent, 20, 90);
}

static void greetings_get_lost_and_it_comes_up(void **) {
    for (uint64_t seed = 1; seed < 30; seed++) {
        test_site_init(&site, 2, seed);
        set_weather(500, 200, 200, 50);
        test_site_connect(&site, 0, 1);
        set_weather(0, 0, 0, 1);
        test_site_run(&site, 5 * NS_PER_S);
        test_site_connect(&site, 0, 1);
        test_site_finish(&site);
    }
}

static void the_second_dials_when_the_first_does_not(void **) {
    test_site_init(&site, 2, 1);
    forget_address(A);
    test_site_connect(&site, 0, 1);
    assert_true(B->links->members[0].lines[CARRIER_DIALED].is_up);
    test_site_finish(&site);
}

static void of_two_lines_the_one_of_the_first_stays(void **) {
    for (int both_at_once = 0; both_at_once < 2; both_at_once++) {
        test_site_init(&site, 2, 1);
        B->links->members[0].dial_ns = 0;
        link_wake(&B->links->members[0], 0);
        if (!both_at_once)
            A->links->members[0].dial_ns = link_now(&A->links->members[0]) + 500 * NS_PER_MS;
        test_site_connect(&site, 0, 1);
        if (!both_at_once) { /* the second's was first: now the first dials too */
            A->carrier->ops->dial(A->carrier, A->links->members[0].member);
            test_site_run(&site, 100 * NS_PER_MS);
            assert_int_equal(n_lines(A), 2);
        }
        test_site_run(&site, 3 * NS_PER_S);
        assert_int_equal(n_lines(A), 1);
        assert_int_equal(n_lines(B), 1);
        assert_true(A->links->members[0].lines[CARRIER_DIALED].is_up);
        assert_true(B->links->members[0].lines[CARRIER_ACCEPTED].is_up);
        assert_int_equal(A->n_changed[LINKS_UP], 1);
        struct test_caller c = {};
        test_get(B, 0, "/echo", &c);
        test_site_run(&site, NS_PER_S);
        assert_int_equal(c.status, 200);
        test_site_finish(&site);
    }
}

/* Attempts grow apart: 0.2 s, doubled up to 30 s, ± 20 %. */
static void nobody_there_is_dialed_less_and_less(void **) {
    test_site_init(&site, 2, 1);
    test_peer_kill(B);
    unsigned tries[3] = {};
    for (int i = 0; i < 3; i++) {
        unsigned before = A->n_changed[LINKS_DIALING];
        test_site_run(&site, i == 0 ? 10 * NS_PER_S : i == 1 ? 50 * NS_PER_S : 600 * NS_PER_S);
        tries[i] = A->n_changed[LINKS_DIALING] - before;
    }
    assert_in_range(tries[0], 4, 8);
    assert_in_range(tries[1], 1, 4);
    assert_in_range(tries[2], 600 / 37, 600 / 23);
    struct links_peer now;
    assert_true(links_peer(A->links, B->uid, &now));
    assert_int_equal(now.reason.code, ERR_UNAVAILABLE);
    test_peer_start(B); /* which waits two seconds, then dials */
    test_site_run(&site, 5 * NS_PER_S);
    assert_true(test_is_up(A, 1));
    test_site_finish(&site);
}

static void refusals_are_told_and_tried_again_slowly(void **) {
    test_site_init(&site, 2, 1);
    size_t n = B->roster.n;
    B->roster.n = 0; /* as if a were not listed at b */
    forget_address(B);
    test_site_run(&site, 10 * NS_PER_S);
    struct links_peer now;
    assert_true(links_peer(A->links, B->uid, &now));
    assert_int_equal(now.state, LINKS_REFUSED);
    assert_int_equal(now.reason.code, ERR_FORBIDDEN);
    unsigned before = A->n_changed[LINKS_DIALING];
    test_site_run(&site, 300 * NS_PER_S);
    assert_int_equal(A->n_changed[LINKS_DIALING], before);
    B->roster.n = n;
    test_site_run(&site, 40 * NS_PER_S);
    assert_true(test_is_up(A, 1));
    test_site_finish(&site);

    test_site_init(&site, 2, 1);
    const uint8_t other[CRYPTO_DH_KEY_SIZE] = {1};
    forget_address(B);
    fake_carrier_set_key(B->carrier, other);
    test_site_run(&site, 10 * NS_PER_S);
    assert_true(links_peer(A->links, B->uid, &now));
    assert_int_equal(now.state, LINKS_REFUSED);
    assert_int_equal(now.reason.code, ERR_INVALID);
    test_site_finish(&site);
}

/* ---- versions ---- */

static void start_with_versions(size_t i, int proto_min, int proto_max) {
    test_peer_kill(&site.peers[i]);
    site.peers[i].proto_min = proto_min;
    site.peers[i].proto_max = proto_max;
    test_peer_start(&site.peers[i]);
}

static void an_older_and_a_newer_neighbour(void **) {
    static const struct {
        int min[2], max[2], want;
    } CASES[] = {{{1, 1}, {1, 1}, 1}, {{1, 1}, {1, 4}, 1}, {{2, 1}, {5, 3}, 3}, {{1, 2}, {2, 9}, 2}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        test_site_init(&site, 2, 1);
        start_with_versions(0, CASES[i].min[0], CASES[i].max[0]);
        start_with_versions(1, CASES[i].min[1], CASES[i].max[1]);
        test_site_connect(&site, 0, 1);
        for (size_t p = 0; p < 2; p++) {
            struct links_peer now;
            assert_true(links_peer(site.peers[p].links, site.peers[1 - p].uid, &now));
            assert_int_equal(now.proto, CASES[i].want);
        }
        struct test_caller c = {};
        test_get(A, 1, "/echo", &c);
        test_site_run(&site, NS_PER_S);
        assert_int_equal(c.status, 200);
        test_site_finish(&site);
    }
}

static void no_common_version_is_told_to_both(void **) {
    test_site_init(&site, 2, 1);
    start_with_versions(0, 1, 2);
    start_with_versions(1, 3, 4);
    test_site_run(&site, 5 * NS_PER_S);
    for (size_t p = 0; p < 2; p++) {
        struct links_peer now;
        assert_true(links_peer(site.peers[p].links, site.peers[1 - p].uid, &now));
        assert_int_equal(now.state, LINKS_REFUSED);
        assert_int_equal(now.reason.code, ERR_UNSUPPORTED);
        assert_non_null(strstr(now.reason.message, "update the older one"));
    }
    struct fake_stats before, after;
    fake_network_stats(site.network, &before);
    test_site_run(&site, 300 * NS_PER_S);
    fake_network_stats(site.network, &after);
    assert_in_range(after.sent - before.sent, 1, 600); /* two hellos a second at most, no storm */
    start_with_versions(0, 1, 3);
    test_site_connect(&site, 0, 1);
    test_site_finish(&site);
}

/* ---- asking ---- */

static void a_request_arrives_as_it_was_sent(void **) {
    const struct links_request request = {
        .method = "PUT",
        .path = "/streams/x",
        .query = "12",
        .body = "{\"a\":\"b\"}",
        .body_len = 9,
        .content_type = "application/json",
        .if_none_match = "*",
        .grant = "{\"stream\":\"x\"}",
        .user = "unix:1000",
        .role = ROSTER_OPERATOR,
        .deadline_ns = 3 * NS_PER_S,
    };
    struct test_caller c = {};
    test_ask(A, 1, &request, &c);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(c.n_replies, 1);
    assert_int_equal(c.status, 200);
    assert_string_equal(c.body, "{\"a\":\"b\"}");
    assert_string_equal(c.etag, "\"7\"");
    assert_string_equal(B->method, "PUT");
    assert_string_equal(B->path, "/streams/x");
    assert_int_equal(B->served[12], 1);
    assert_string_equal(B->if_none_match, "*");
    assert_string_equal(B->grant, "{\"stream\":\"x\"}");
    assert_string_equal(B->user, "unix:1000");
    assert_int_equal(B->role, ROSTER_OPERATOR);
    assert_in_range(B->deadline_ns, 2900 * NS_PER_MS, 3000 * NS_PER_MS);
}

static void big_replies_travel_in_parts(void **) {
    static const size_t SIZES[] = {0, 1, FRAME_PART_MAX - 1, FRAME_PART_MAX, FRAME_PART_MAX + 1, LINKS_REPLY_MAX};
    for (int bad_weather = 0; bad_weather < 2; bad_weather++) {
        for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
            char path[32];
            struct test_caller c = {};
            snprintf(path, sizeof path, "/big/%zu", SIZES[i]);
            test_get(A, 1, path, &c);
            test_site_run(&site, 10 * NS_PER_S);
            assert_int_equal(c.n_replies, 1);
            assert_int_equal(c.body_len, SIZES[i]);
            assert_true(c.body_is_right);
        }
        set_weather(50, 100, 200, 5);
    }
    assert_int_equal(A->links->members[0].part_bytes, 0);
    set_weather(0, 0, 0, 1);
    struct test_caller c = {};
    test_get(A, 1, "/big/8388609", &c);
    test_site_run(&site, NS_PER_S);
    assert_int_equal(c.status, 500);
}

/* "messages in a dying TCP connection": whatever is lost or doubled, each request is done once and answered once. */
static void each_request_is_done_once_in_any_weather(void **) {
    enum { N = 300 };
    static struct test_caller callers[N];
    for (uint64_t seed = 1; seed <= 10; seed++) {
        memset(callers, 0, sizeof callers);
        test_site_init(&site, 2, seed);
        test_site_connect(&site, 0, 1);
        set_weather(200, 200, 200, 300);
        for (unsigned i = 0; i < N; i++) {
            char query[16];
            snprintf(query, sizeof query, "%u", i);
            const struct links_request request = {.method = "POST",
                                                  .path = "/echo",
                                                  .query = query,
                                                  .role = ROSTER_ADMIN,
                                                  .deadline_ns = 120 * NS_PER_S,
                                                  .body = query,
                                                  .body_len = strlen(query)};
            test_ask(A, 1, &request, &callers[i]);
            test_site_run(&site, 40 * NS_PER_MS);
            if (i % 100 == 50)
                fake_network_break(site.network, A->uid, B->uid);
        }
        test_site_run(&site, 130 * NS_PER_S); /* until nobody can be waiting */
        unsigned n_answered = 0;
        for (unsigned i = 0; i < N; i++) {
            char query[16];
            snprintf(query, sizeof query, "%u", i);
            assert_int_equal(callers[i].n_replies + callers[i].n_failures, 1);
            assert_true(B->served[i] <= 1);
            if (callers[i].n_replies) {
                assert_int_equal(callers[i].status, 200);
                assert_string_equal(callers[i].body, query);
                assert_int_equal(B->served[i], 1);
                n_answered++;
            }
        }
        assert_in_range(n_answered, N / 4, N); /* those asked while the link was down are not */
        assert_int_equal(A->links->members[0].n_calls, 0);
        assert_true(list_empty(&B->links->members[0].servings));
        test_site_finish(&site);
    }
}

static void a_broken_line_does_not_lose_a_request(void **) {
    struct test_caller c = {};
    test_get(A, 1, "/later", &c);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(B->n_later, 1);
    fake_network_break(site.network, A->uid, B->uid);
    test_site_run(&site, 10 * NS_PER_MS);
    assert_false(test_is_up(A, 1));
    test_answer_later(B); /* goes nowhere */
    test_site_connect(&site, 0, 1);
    test_site_run(&site, 2 * NS_PER_S);
    assert_int_equal(c.n_replies, 1);
    assert_int_equal(c.status, 204);
    assert_int_equal(B->n_served, 1);
}

static void what_is_asked_of_a_peer_that_is_down_fails_soon(void **) {
    struct test_caller pending = {}, later = {};
    test_get(A, 1, "/later", &pending);
    test_site_run(&site, 100 * NS_PER_MS);
    test_peer_kill(B);
    test_site_run(&site, 3 * NS_PER_S);
    assert_int_equal(pending.n_failures, 1);
    assert_int_equal(pending.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(pending.why, "may have been done"));
    test_get(A, 1, "/echo", &later);
    test_site_run(&site, NS_PER_MS);
    assert_int_equal(later.n_failures, 1);
    assert_int_equal(later.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(later.why, "not done"));
    assert_null(links_ask(A->links, "zzzzzz-zzzzzz-zzzzzz", &(struct links_request){.method = "GET", .path = "/"},
                          &(struct links_caller){}, nullptr));
}

/* "peer kill -9, back": the restarted side is known as another run at once; "messages sent while the peer is dead" are
 * for the old run, and the new one never does them. */
static void a_restart_is_noticed(void **) {
    struct test_caller once = {}, repeated = {};
    struct links_request request = {.method = "PUT", .path = "/later", .query = "1", .role = ROSTER_ADMIN};
    test_ask(A, 1, &request, &once);
    request.repeatable = true;
    request.query = "2";
    test_ask(A, 1, &request, &repeated);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(B->n_served, 2);
    test_peer_kill(B);
    memset(B->served, 0, sizeof B->served);
    test_peer_start(B);
    test_site_connect(&site, 0, 1);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(once.n_failures, 1);
    assert_non_null(strstr(once.why, "restarted"));
    assert_int_equal(B->served[1], 0);
    assert_int_equal(B->served[2], 1);
    test_answer_later(B);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(repeated.status, 204);
    struct links_peer now;
    assert_true(links_peer(A->links, B->uid, &now));
    assert_true(now.epoch == B->epoch + 1);
}

static void a_restart_of_the_asker_forgets_its_requests(void **) {
    struct test_caller before = {}, after = {};
    test_get(A, 1, "/later", &before);
    test_site_run(&site, 100 * NS_PER_MS);
    test_peer_kill(A);
    assert_int_equal(before.n_failures, 1);
    test_peer_start(A);
    test_site_connect(&site, 0, 1);
    test_get(A, 1, "/later", &after); /* the same number in the new run */
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(B->n_later, 2);
    test_answer_later(B);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(after.n_replies, 1);
    assert_int_equal(before.n_replies, 0);
}

static void deadlines_hold(void **) {
    struct test_caller c = {};
    const struct links_request request = {
        .method = "GET", .path = "/later", .role = ROSTER_VIEWER, .deadline_ns = 1500 * NS_PER_MS};
    test_ask(A, 1, &request, &c);
    test_site_run(&site, 1499 * NS_PER_MS);
    assert_int_equal(c.n_failures, 0);
    test_site_run(&site, 2 * NS_PER_MS);
    assert_int_equal(c.n_failures, 1);
    assert_int_equal(c.code, ERR_UNAVAILABLE);
    assert_int_equal(B->n_served, 1);
    test_answer_later(B); /* nobody waits */
    test_site_run(&site, 20 * NS_PER_S);
    assert_true(list_empty(&B->links->members[0].servings));
}

static void a_cancelled_request_has_no_reply(void **) {
    struct test_caller c = {};
    test_get(A, 1, "/later", &c);
    test_site_run(&site, 100 * NS_PER_MS);
    links_cancel(c.call);
    test_site_run(&site, 100 * NS_PER_MS);
    test_answer_later(B);
    test_site_run(&site, NS_PER_S);
    assert_int_equal(c.n_replies + c.n_failures, 0);
    test_get(A, 1, "/echo", &c);
    links_cancel(c.call);
    test_site_run(&site, NS_PER_S);
    assert_int_equal(c.n_replies + c.n_failures, 0);
    assert_int_equal(A->links->members[0].n_calls, 0);
}

static void too_many_at_once_are_refused(void **) {
    enum { N = LINKS_CALLS_MAX + 20 };
    static struct test_caller callers[N];
    memset(callers, 0, sizeof callers);
    for (size_t i = 0; i < N; i++)
        test_get(A, 1, "/echo", &callers[i]);
    test_site_run(&site, 30 * NS_PER_S);
    unsigned n_ok = 0, n_limit = 0, n_429 = 0;
    for (size_t i = 0; i < N; i++) {
        assert_int_equal(callers[i].n_replies + callers[i].n_failures, 1);
        n_ok += callers[i].status == 200;
        n_429 += callers[i].status == 429;
        n_limit += callers[i].code == ERR_LIMIT;
    }
    assert_int_equal(n_limit, 20);
    assert_in_range(n_ok, 200, 400);
    assert_int_equal(n_ok + n_429, LINKS_CALLS_MAX);
}

/* A flood of requests does not end streams: attachments are renewed all the same. */
static void renewals_get_through_a_flood(void **) {
    static struct test_caller flood[400];
    memset(flood, 0, sizeof flood);
    for (int second = 0; second < 5; second++) {
        for (size_t i = 0; i < 80; i++)
            test_get(A, 1, "/echo", &flood[(size_t)second * 80 + i]);
        struct test_caller renewal = {};
        const struct links_request request = {
            .method = "PUT", .path = "/peers/bbbbbb-bbbbbb-bbbbbb/attachments/x", .role = ROSTER_ADMIN};
        test_ask(A, 1, &request, &renewal);
        test_site_run(&site, 200 * NS_PER_MS);
        assert_int_equal(renewal.status, 200);
    }
    test_site_run(&site, 20 * NS_PER_S);
    unsigned n_429 = 0;
    const char *refusal = "";
    for (size_t i = 0; i < 400; i++)
        if (flood[i].status == 429) {
            n_429++;
            refusal = flood[i].body;
        }
    assert_in_range(n_429, 50, 200);
    assert_string_equal(refusal, /* as the contract has problems */
                        "{\"type\":\"urn:rocd:problem:limit_reached\",\"title\":\"A limit is reached\",\"status\":429,"
                        "\"detail\":\"More requests a second than a peer may make\",\"error_code\":\"limit_reached\","
                        "\"error_text\":\"More requests a second than a peer may make\",\"errors\":[]}");
}

/* A hundred objects shown at another peer, twice a second: no 429. What costs more is not let in by that door. */
static void objects_are_looked_at_often(void **) {
    enum { N = 100, ROUNDS = 20 };
    static const char *const PATHS[] = {"/streams/echo", "/peers/bbbbbb-bbbbbb-bbbbbb/endpoints/echo"};
    static const char *const DEAR[] = {"/state", "/metrics", "/streams", "/peers/self/endpoints"};
    static struct test_caller looks[ROUNDS][N], others[ROUNDS][N], writes[ROUNDS][N];
    memset(looks, 0, sizeof looks);
    memset(others, 0, sizeof others);
    memset(writes, 0, sizeof writes);
    for (size_t round = 0; round < ROUNDS; round++) {
        const struct links_request write = {.method = "PATCH", .path = PATHS[0], .role = ROSTER_OPERATOR};
        for (size_t i = 0; i < N; i++) {
            test_get(A, 1, PATHS[i % 2], &looks[round][i]);
            test_get(A, 1, DEAR[i % 4], &others[round][i]);
            test_ask(A, 1, &write, &writes[round][i]);
        }
        test_site_run(&site, 500 * NS_PER_MS);
    }
    test_site_run(&site, 20 * NS_PER_S);
    size_t n_others = 0, n_writes = 0;
    for (size_t i = 0; i < ROUNDS * N; i++) {
        assert_int_equal(looks[i / N][i % N].status, 200);
        n_others += others[i / N][i % N].status == 429;
        n_writes += writes[i / N][i % N].status == 429;
    }
    /* In ten seconds 200 + 50 × 10 of them get through. */
    assert_in_range(n_others + n_writes, 2 * ROUNDS * N - 800, 2 * ROUNDS * N - 600);
    assert_true(n_others > 0 && n_writes > 0);
}

static void requests_go_both_ways(void **) {
    struct test_caller a = {}, b = {};
    test_get(A, 1, "/echo", &a);
    test_get(B, 0, "/echo", &b);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(a.status, 200);
    assert_int_equal(b.status, 200);
}

static void what_cannot_be_written_fails(void **) {
    struct test_caller c = {};
    test_get(A, 1, "no slash", &c);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(c.n_failures, 1);
    assert_int_equal(c.code, ERR_INVALID);
}

/* ---- silence ---- */

static void silence_is_noticed(void **) {
    for (int closely = 0; closely < 2; closely++) {
        test_site_init(&site, 2, 1);
        test_site_connect(&site, 0, 1);
        links_watch_closely(A->links, B->uid, closely);
        test_site_run(&site, 7 * NS_PER_S);
        fake_network_cut(site.network, A->uid, B->uid, true);
        int64_t limit_ns = closely ? 3 * NS_PER_S : 15 * NS_PER_S;
        test_site_run(&site, limit_ns - NS_PER_S - 100 * NS_PER_MS - (closely ? 0 : 4 * NS_PER_S));
        assert_true(test_is_up(A, 1));
        test_site_run(&site, 6 * NS_PER_S);
        assert_false(test_is_up(A, 1));
        test_site_run(&site, 15 * NS_PER_S);
        assert_false(test_is_up(B, 0));
        fake_network_cut(site.network, A->uid, B->uid, false);
        test_site_run(&site, 40 * NS_PER_S);
        assert_true(test_is_up(A, 1));
        assert_true(test_is_up(B, 0));
        test_site_finish(&site);
    }
}

/* It had dialed, and nothing it said had come through: that line is there no more than it is. */
static void a_peer_that_lost_its_power_before_it_was_heard_comes_back(void **) {
    test_site_init(&site, 2, 1);
    struct test_peer *dialer = strcmp(A->uid, B->uid) < 0 ? A : B;
    struct test_peer *other = dialer == A ? B : A;
    const struct fake_weather deaf = {.loss_permille = 1000};
    fake_network_set_weather_from(site.network, dialer->uid, other->uid, &deaf);
    test_site_run(&site, NS_PER_S);
    fake_carrier_lose_power(dialer->carrier);
    test_peer_stop(dialer);
    const struct fake_weather fine = {.delay_min_ns = NS_PER_MS, .delay_max_ns = NS_PER_MS};
    fake_network_set_weather_from(site.network, dialer->uid, other->uid, &fine);
    test_peer_start(dialer);
    test_site_run(&site, 5 * NS_PER_S);
    assert_true(test_is_up(dialer, other->index));
    assert_true(test_is_up(other, dialer->index));
    test_site_finish(&site);
}

static void a_peer_that_lost_its_power_comes_back(void **) {
    fake_carrier_lose_power(B->carrier);
    test_peer_stop(B);
    test_site_run(&site, 5 * NS_PER_S);
    test_peer_start(B);
    test_site_run(&site, 10 * NS_PER_S);
    assert_true(test_is_up(A, 1));
    assert_true(test_is_up(B, 0));
    struct test_caller c = {};
    test_get(A, 1, "/echo", &c);
    test_site_run(&site, NS_PER_S);
    assert_int_equal(c.status, 200);
}

/* ---- endless replies ---- */

static void follow(struct test_caller *c) {
    test_get(A, 1, "/events", c);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_true(c->is_streaming);
    assert_non_null(B->stream);
    assert_int_equal(B->n_writable, 1);
}

static void events_come_in_order(void **) {
    struct test_caller c = {};
    follow(&c);
    test_push(B, 1000);
    assert_in_range(B->n_pushed, 1, LINK_UNREAD_MAX); /* not all at once */
    test_site_run(&site, NS_PER_S);
    assert_int_equal(c.n_events, 1000);
    assert_true(c.in_order);
    test_site_run(&site, 600 * NS_PER_S); /* beats keep it */
    assert_int_equal(c.n_ended, 0);
    test_push(B, 1);
    test_site_run(&site, NS_PER_S);
    assert_int_equal(c.n_events, 1001);
    links_cancel(c.call);
    test_site_run(&site, NS_PER_S);
    assert_int_equal(B->n_closed, 1);
    assert_null(B->stream);
    assert_int_equal(c.n_ended, 0);
}

static void on_unwanted(void *arg, const struct links_reply *reply, const struct err_info *info) {
    assert_null(reply);
    assert_non_null(strstr(info->message, "endless"));
    ++*(unsigned *)arg;
}

/* Who asked for one reply keeps nothing of one that never ends. */
static void an_endless_reply_that_was_not_wanted_is_ended(void **) {
    static const struct links_caller ONE_REPLY = {.reply = on_unwanted};
    const struct links_request request = {.method = "GET", .path = "/events", .role = ROSTER_VIEWER};
    unsigned n = 0;
    assert_non_null(links_ask(A->links, B->uid, &request, &ONE_REPLY, &n));
    test_site_run(&site, NS_PER_S);
    assert_int_equal(n, 1);
    assert_true(list_empty(&A->links->members[0].readings));
    assert_int_equal(B->n_closed, 1);
    assert_null(B->stream);
}

/* A new epoch costs the other side much: a peer that draws one after the other is heard once a second. */
static void restarts_are_not_for_free(void **) {
    for (int i = 0; i < 40; i++) {
        test_peer_stop(B);
        test_peer_start(B);
        test_site_run(&site, 50 * NS_PER_MS);
    }
    unsigned n_known = 0;
    for (size_t i = 0; i < LINK_PAST_EPOCHS; i++)
        n_known += A->links->members[0].past[i].epoch != 0;
    assert_in_range(n_known, 1, LINK_PAST_EPOCHS);
    assert_true(A->links->members[0].runs.debt_ns > 0);
    test_site_run(&site, 30 * NS_PER_S);
    assert_true(test_is_up(A, 1)); /* and still it gets its turn */
    assert_true(test_is_up(B, 0));
}

static void the_writer_can_end_it(void **) {
    struct test_caller c = {};
    follow(&c);
    test_push(B, 3);
    links_end(B->stream);
    B->stream = nullptr;
    test_site_run(&site, NS_PER_S);
    assert_int_equal(c.n_events, 3);
    assert_int_equal(c.n_ended, 1);
    assert_int_equal(B->n_closed, 0);
}

static void an_event_that_is_too_large_ends_it(void **) {
    struct test_caller c = {};
    follow(&c);
    char *json = calloc(1, LINKS_EVENT_MAX + 1);
    const struct links_event event = {.name = "x", .cursor = "e-1", .json = json, .json_len = LINKS_EVENT_MAX + 1};
    assert_false(links_push(B->stream, &event));
    assert_int_equal(B->n_closed, 0); /* not from inside */
    test_site_run(&site, NS_PER_S);
    assert_int_equal(B->n_closed, 1);
    assert_int_equal(c.n_ended, 1);
    free(json);
}

/* The writer stops where the reader does not follow. */
static void a_reader_that_is_not_heard_holds_up_the_writer(void **) {
    struct test_caller c = {};
    follow(&c);
    const struct fake_weather deaf = {.loss_permille = 1000, .delay_min_ns = NS_PER_MS, .delay_max_ns = NS_PER_MS};
    fake_network_set_weather_from(site.network, A->uid, B->uid, &deaf);
    test_push(B, 1000);
    test_site_run(&site, NS_PER_S);
    assert_int_equal(B->n_pushed, LINK_UNREAD_MAX);
    assert_int_equal(c.n_events, LINK_UNREAD_MAX);
    const struct fake_weather fine = {.delay_min_ns = NS_PER_MS, .delay_max_ns = NS_PER_MS};
    fake_network_set_weather_from(site.network, A->uid, B->uid, &fine);
    test_site_run(&site, 10 * NS_PER_S); /* a beat is acknowledged, and it goes on */
    assert_int_equal(c.n_events, 1000);
    assert_true(c.in_order);
    links_cancel(c.call);
}

static void lost_events_are_noticed(void **) {
    const struct fake_weather deaf = {.loss_permille = 1000, .delay_min_ns = NS_PER_MS, .delay_max_ns = NS_PER_MS};
    const struct fake_weather fine = {.delay_min_ns = NS_PER_MS, .delay_max_ns = NS_PER_MS};
    for (int is_last = 0; is_last < 2; is_last++) {
        struct test_caller c = {};
        unsigned n_closed = B->n_closed;
        test_get(A, 1, "/events", &c);
        test_site_run(&site, 100 * NS_PER_MS);
        test_push(B, 2);
        test_site_run(&site, 10 * NS_PER_MS);
        fake_network_set_weather_from(site.network, B->uid, A->uid, &deaf);
        test_push(B, 1);
        fake_network_set_weather_from(site.network, B->uid, A->uid, &fine);
        if (!is_last)
            test_push(B, 1);
        test_site_run(&site, is_last ? 6 * NS_PER_S : 10 * NS_PER_MS); /* a beat tells of the last one */
        assert_int_equal(c.n_events, 2);
        assert_int_equal(c.n_ended, 1);
        assert_non_null(strstr(c.why, "lost"));
        assert_int_equal(B->n_closed, n_closed + 1);
    }
}

static void a_link_that_goes_down_ends_them_on_both_sides(void **) {
    struct test_caller c = {};
    follow(&c);
    fake_network_break(site.network, A->uid, B->uid);
    test_site_run(&site, 10 * NS_PER_MS);
    assert_int_equal(c.n_ended, 1);
    assert_int_equal(B->n_closed, 1);
    assert_null(B->stream);
}

/* However bad the weather: no event twice, none out of order, and an end for every one that is not whole. */
static void endless_replies_in_any_weather(void **) {
    for (uint64_t seed = 1; seed <= 20; seed++) {
        test_site_init(&site, 2, seed);
        test_site_connect(&site, 0, 1);
        set_weather(10, 50, 10, 20);
        struct test_caller c = {};
        unsigned n_followed = 0;
        for (int i = 0; i < 200; i++) {
            if (!c.call) {
                c = (struct test_caller){};
                test_get(A, 1, "/events", &c);
                n_followed++;
            }
            test_site_run(&site, 200 * NS_PER_MS);
            if (B->stream)
                test_push(B, 2);
            assert_true(c.in_order || !c.n_events);
        }
        set_weather(0, 0, 0, 1);
        test_site_run(&site, 30 * NS_PER_S);
        if (c.call) {
            assert_non_null(B->stream);
            assert_int_equal(c.last_event, B->n_pushed);
        }
        assert_true(n_followed > 1);
        assert_true(A->links->members[0].n_calls <= 1);
        assert_true(list_count(&B->links->members[0].writings) <= 2);
        if (c.call)
            links_cancel(c.call);
        test_site_finish(&site);
    }
}

/* ---- the end ---- */

static void the_end_answers_everybody(void **) {
    struct test_caller waiting = {}, reading = {}, served = {};
    test_get(A, 1, "/later", &waiting);
    test_get(A, 1, "/events", &reading);
    test_get(B, 0, "/later", &served);
    test_site_run(&site, 100 * NS_PER_MS);
    test_peer_stop(A);
    assert_int_equal(waiting.n_failures, 1);
    assert_int_equal(reading.n_ended, 1);
    test_site_run(&site, 100 * NS_PER_MS);
    assert_int_equal(B->n_closed, 1);
    test_site_run(&site, 5 * NS_PER_S);
    assert_int_equal(served.n_failures, 1);
    test_answer_later(B);
}

#define TEST(name)     cmocka_unit_test(name)
#define WITH_TWO(name) cmocka_unit_test_setup_teardown(name, set_up_two, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_TWO(both_know_each_other),
        WITH_TWO(a_quiet_link_costs_a_few_frames),
        TEST(greetings_get_lost_and_it_comes_up),
        TEST(the_second_dials_when_the_first_does_not),
        TEST(of_two_lines_the_one_of_the_first_stays),
        TEST(nobody_there_is_dialed_less_and_less),
        TEST(refusals_are_told_and_tried_again_slowly),
        TEST(an_older_and_a_newer_neighbour),
        TEST(no_common_version_is_told_to_both),
        WITH_TWO(a_request_arrives_as_it_was_sent),
        WITH_TWO(big_replies_travel_in_parts),
        TEST(each_request_is_done_once_in_any_weather),
        WITH_TWO(a_broken_line_does_not_lose_a_request),
        WITH_TWO(what_is_asked_of_a_peer_that_is_down_fails_soon),
        WITH_TWO(a_restart_is_noticed),
        WITH_TWO(a_restart_of_the_asker_forgets_its_requests),
        WITH_TWO(deadlines_hold),
        WITH_TWO(a_cancelled_request_has_no_reply),
        WITH_TWO(too_many_at_once_are_refused),
        WITH_TWO(renewals_get_through_a_flood),
        WITH_TWO(objects_are_looked_at_often),
        WITH_TWO(requests_go_both_ways),
        WITH_TWO(what_cannot_be_written_fails),
        TEST(silence_is_noticed),
        TEST(a_peer_that_lost_its_power_before_it_was_heard_comes_back),
        WITH_TWO(a_peer_that_lost_its_power_comes_back),
        WITH_TWO(events_come_in_order),
        WITH_TWO(the_writer_can_end_it),
        WITH_TWO(an_endless_reply_that_was_not_wanted_is_ended),
        WITH_TWO(restarts_are_not_for_free),
        WITH_TWO(an_event_that_is_too_large_ends_it),
        WITH_TWO(a_reader_that_is_not_heard_holds_up_the_writer),
        WITH_TWO(lost_events_are_noticed),
        WITH_TWO(a_link_that_goes_down_ends_them_on_both_sides),
        TEST(endless_replies_in_any_weather),
        WITH_TWO(the_end_answers_everybody),
    };
    return cmocka_run_group_tests_name("links", tests, nullptr, nullptr);
}
