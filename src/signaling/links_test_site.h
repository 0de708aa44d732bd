/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/loop_sim.h"
#include "signaling/fake/fake.h"
#include "signaling/links.h"

/*
 * A site of a few peers on a made-up network and virtual time, each with links and a small server behind them, for the
 * tests of links. Peers are 0, 1, …, and their uids sort in this order.
 *
 * What the server does goes by the path: /echo answers the body, /big/<bytes> as many bytes, /later when
 * test_site_answer() says so, /events an endless reply.
 *
 * Life cycle: test_site_init → … → test_site_finish. Threads: one.
 */
constexpr size_t TEST_PEERS_MAX = 4;
constexpr size_t TEST_SERVED_MAX = 4096;

struct test_site;

struct test_peer {
    struct test_site *site;
    size_t index;
    const char *uid;
    struct roster roster; /* all others; owned */
    struct carrier *carrier;
    struct links *links;
    uint64_t epoch;
    int proto_min, proto_max;

    unsigned n_changed[4]; /* by enum links_state */

    /* the server */
    unsigned n_served;
    unsigned served[TEST_SERVED_MAX]; /* how often the request with this number in its query was done */
    char method[16], path[600], user[64], if_none_match[64], grant[1100], body[256]; /* of the last request */
    enum roster_role role;
    int64_t deadline_ns;
    struct links_serving *later[64];
    size_t n_later;
    struct links_serving *stream; /* the last endless reply; nullptr: closed */
    unsigned n_writable, n_closed;
    unsigned to_push; /* events that `writable` pushes */
    unsigned n_pushed;
};

struct test_site {
    struct loop_sim sim;
    struct fake_network *network;
    struct test_peer peers[TEST_PEERS_MAX];
    size_t n;
};

/* Somebody who asks. */
struct test_caller {
    unsigned n_replies, n_failures, n_events, n_ended;
    int status;
    enum err code;
    char why[ERR_MESSAGE_MAX];
    size_t body_len;
    bool body_is_right; /* of /big: every byte as it should be; else the text below */
    char body[256];
    char etag[32];
    bool is_streaming;
    unsigned last_event; /* the number in the last one */
    bool in_order;
    struct links_call *call; /* nullptr: gone */
};

void test_site_init(struct test_site *site, size_t n, uint64_t seed);
void test_site_finish(struct test_site *site);
/* Moves time. */
void test_site_run(struct test_site *site, int64_t ns);
/* Links and carrier of a peer, with the next epoch. */
void test_peer_start(struct test_peer *peer);
void test_peer_stop(struct test_peer *peer);
/* kill -9: without a word of its own */
void test_peer_kill(struct test_peer *peer);
/* Runs until both sides say up; fails the test after a minute of virtual time. */
void test_site_connect(struct test_site *site, size_t a, size_t b);
bool test_is_up(const struct test_peer *peer, size_t other);

void test_ask(struct test_peer *peer, size_t other, const struct links_request *request, struct test_caller *ret);
void test_get(struct test_peer *peer, size_t other, const char *path, struct test_caller *ret);
void test_answer_later(struct test_peer *peer);
void test_push(struct test_peer *peer, unsigned n);
