/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <pthread.h>

#include "base/loop_uv.h"
#include "model/roster.h"
#include "signaling/links.h"

/*
 * Peers with links over real ZeroMQ on loopback, all in one loop on the test's thread, and what attacks them: raw ZeroMQ
 * clients with keys of their choice, raw TCP, and a wire in between that can go dead.
 *
 * Life cycle: test_site_init → … → test_site_finish. Threads: one; a wire has its own.
 */
constexpr size_t TEST_PEERS_MAX = 3;

struct test_site;

struct test_peer {
    struct test_site *site;
    struct crypto_sign_key key;
    char node_id[NODE_ID_SIZE], uid[UID_SIZE];
    struct roster roster; /* owned */
    struct carrier *carrier;
    struct links *links;
    uint64_t epoch;
    uint16_t port; /* where it listens; kept when it is started again */
    unsigned n_up, n_served;
    char served[64];             /* query of the last request */
    struct links_serving *later; /* of a request for /later */
};

struct test_site {
    struct loop_uv *loop;
    struct loop_timer deadline, tick;
    bool (*wanted)(void *arg);
    void *arg;
    bool is_late;
    struct test_peer peers[TEST_PEERS_MAX];
};

struct test_caller {
    bool is_done;
    int status; /* 0: no reply */
    enum err code;
    char why[ERR_MESSAGE_MAX];
};

void test_site_init(struct test_site *site);
void test_site_finish(struct test_site *site);
/* Runs the loop until it holds; fails the test after 30 s. */
void test_wait(struct test_site *site, bool (*wanted)(void *arg), void *arg);
/* Runs the loop for a while: to see that something does not happen. */
void test_run(struct test_site *site, int64_t ns);

void test_peer_make(struct test_peer *peer);
/* `port` 0: its address is not known */
void test_list(struct test_peer *peer, const struct test_peer *other, uint16_t port);
void test_start(struct test_peer *peer);
void test_stop(struct test_peer *peer);
bool test_is_up(const struct test_peer *peer, const struct test_peer *other);
/* b listens, a dials it. */
void test_connect(struct test_peer *a, struct test_peer *b);
void test_wait_up(struct test_peer *a, struct test_peer *b);
/* The next attempt comes now, not in half a minute. */
void test_dial_now(struct test_peer *peer, const struct test_peer *other);
void test_ask(struct test_peer *peer, const struct test_peer *other, const char *path, const char *query,
              struct test_caller *ret);
void test_wait_done(struct test_site *site, struct test_caller *caller);

/* ---- attackers ---- */

/* A client of ZeroMQ that says what the test wants. */
struct raw_client {
    void *context, *socket;
};
void raw_client_open(struct raw_client *client, const struct crypto_sign_key *key,
                     const uint8_t server_public_key[static CRYPTO_PUBLIC_KEY_SIZE], uint16_t port,
                     const char *routing_id);
/* false: its queue is full */
bool raw_client_send(struct raw_client *client, const void *frame, size_t len);
/* The next frame, NUL-terminated and cut to size; -1: nothing there */
int raw_client_receive(struct raw_client *client, char *ret, size_t size);
void raw_client_close(struct raw_client *client);

int raw_tcp_connect(uint16_t port); /* file descriptor */
long rss_kb(void);

/* Carries bytes from its own port to another, and counts connections. */
struct wire {
    uint16_t port, to;
    int listener;
    _Atomic bool is_dead; /* takes nothing and says nothing */
    _Atomic bool is_ending;
    _Atomic unsigned n_connections;
    pthread_t thread;
};
void wire_open(struct wire *wire, uint16_t to);
void wire_close(struct wire *wire);
