/* SPDX-License-Identifier: MPL-2.0 */
#include "signaling/zmq/zmq_test_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "signaling/links_priv.h"
#include "signaling/zmq/zmq_carrier.h"

constexpr int64_t DEADLINE_NS = 30 * NS_PER_S;

/* ---- time ---- */

static void on_tick(void *arg) {
    struct test_site *s = arg;
    if (s->wanted(s->arg))
        loop_uv_stop(s->loop);
    else
        loop_timer_start(loop_uv_loop(s->loop), &s->tick, NS_PER_MS);
}

static void on_deadline(void *arg) {
    struct test_site *s = arg;
    s->is_late = true;
    loop_uv_stop(s->loop);
}

static void run(struct test_site *s, int64_t ns) {
    loop_timer_start(loop_uv_loop(s->loop), &s->deadline, ns);
    loop_timer_start(loop_uv_loop(s->loop), &s->tick, 0);
    loop_uv_run(s->loop);
    loop_timer_stop(loop_uv_loop(s->loop), &s->deadline);
    loop_timer_stop(loop_uv_loop(s->loop), &s->tick);
}

void test_wait(struct test_site *s, bool (*wanted)(void *arg), void *arg) {
    s->wanted = wanted;
    s->arg = arg;
    s->is_late = false;
    run(s, DEADLINE_NS);
    assert_false(s->is_late);
}

static bool never(void *) {
    return false;
}

void test_run(struct test_site *s, int64_t ns) {
    s->wanted = never;
    run(s, ns);
}

/* ---- peers ---- */

static void on_request(void *arg, const char *, const struct links_request *r, struct links_serving *serving) {
    struct test_peer *p = arg;
    p->n_served++;
    snprintf(p->served, sizeof p->served, "%s", r->query ? r->query : "");
    if (strcmp(r->path, "/later") == 0)
        p->later = serving;
    else
        links_answer(serving, &(struct links_reply){.status = 204}, nullptr);
}

static void on_changed(void *arg, const char *, const struct links_peer *now) {
    struct test_peer *p = arg;
    p->n_up += now->state == LINKS_UP;
}

void test_peer_make(struct test_peer *p) {
    crypto_sign_key_make(&p->key);
    node_id_format(p->node_id, p->key.public_key);
    uid_reproducible(p->uid, UID_TAG_PEER, p->key.public_key, CRYPTO_PUBLIC_KEY_SIZE);
}

void test_list(struct test_peer *p, const struct test_peer *other, uint16_t port) {
    char address[32] = "";
    if (port)
        snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
    assert_int_equal(roster_add(&p->roster, other->node_id, address, ROSTER_ADMIN, p->key.public_key, nullptr), ERR_OK);
}

void test_start(struct test_peer *p) {
    static const struct links_handler HANDLER = {.request = on_request, .changed = on_changed};
    struct err_info info = {};
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)p->port);
    const struct zmq_carrier_config carrier = {
        .loop = p->site->loop, .roster = &p->roster, .key = &p->key, .address = address};
    p->epoch += 0x1000;
    struct links_config config = {
        .loop = loop_uv_loop(p->site->loop),
        .roster = &p->roster,
        .own_uid = p->uid,
        .epoch = p->epoch,
        .version = "0.1.0",
    };
    if (zmq_carrier_create(&carrier, &p->carrier, &info) != ERR_OK)
        fail_msg("%s", info.message);
    config.carrier = p->carrier;
    assert_int_equal(links_create(&config, &p->links, &info), ERR_OK);
    links_listen(p->links, &HANDLER, p);
    if (links_start(p->links, &info) != ERR_OK)
        fail_msg("%s", info.message);
    p->port = p->carrier->ops->port(p->carrier);
}

void test_stop(struct test_peer *p) {
    if (!p->links)
        return;
    links_destroy(p->links);
    p->carrier->ops->close(p->carrier);
    p->links = nullptr;
    p->carrier = nullptr;
    if (p->later)
        links_answer(p->later, &(struct links_reply){.status = 204}, nullptr);
    p->later = nullptr;
}

bool test_is_up(const struct test_peer *p, const struct test_peer *other) {
    struct links_peer now;
    return links_peer(p->links, other->uid, &now) && now.state == LINKS_UP;
}

static bool both_are_up(void *arg) {
    struct test_peer **pair = arg;
    return test_is_up(pair[0], pair[1]) && test_is_up(pair[1], pair[0]);
}

void test_wait_up(struct test_peer *a, struct test_peer *b) {
    struct test_peer *pair[2] = {a, b};
    test_wait(a->site, both_are_up, pair);
}

void test_dial_now(struct test_peer *p, const struct test_peer *other) {
    struct link *link = links_find(p->links, other->uid);
    assert_non_null(link);
    link->dial_ns = link_now(link);
    link_wake(link, link->dial_ns);
}

void test_connect(struct test_peer *a, struct test_peer *b) {
    test_list(b, a, 0);
    test_start(b);
    test_list(a, b, b->port);
    test_start(a);
    test_dial_now(a, b);
    test_wait_up(a, b);
}

void test_site_init(struct test_site *s) {
    *s = (struct test_site){};
    assert_int_equal(crypto_init(nullptr), ERR_OK);
    assert_int_equal(loop_uv_create(&s->loop, nullptr), ERR_OK);
    s->deadline = (struct loop_timer){.fire = on_deadline, .arg = s};
    s->tick = (struct loop_timer){.fire = on_tick, .arg = s};
    for (size_t i = 0; i < TEST_PEERS_MAX; i++) {
        s->peers[i].site = s;
        test_peer_make(&s->peers[i]);
    }
}

void test_site_finish(struct test_site *s) {
    for (size_t i = 0; i < TEST_PEERS_MAX; i++)
        test_stop(&s->peers[i]);
    loop_uv_destroy(s->loop);
    for (size_t i = 0; i < TEST_PEERS_MAX; i++)
        roster_finish(&s->peers[i].roster);
}

/* ---- asking ---- */

static void on_reply(void *arg, const struct links_reply *reply, const struct err_info *info) {
    struct test_caller *c = arg;
    c->is_done = true;
    c->status = reply ? reply->status : 0;
    c->code = reply ? ERR_OK : info->code;
    snprintf(c->why, sizeof c->why, "%s", reply ? "" : info->message);
}

void test_ask(struct test_peer *p, const struct test_peer *other, const char *path, const char *query,
              struct test_caller *ret) {
    static const struct links_caller CALLER = {.reply = on_reply};
    const struct links_request request = {.method = "PUT", .path = path, .query = query, .role = ROSTER_ADMIN};
    *ret = (struct test_caller){};
    assert_non_null(links_ask(p->links, other->uid, &request, &CALLER, ret));
}

static bool is_done(void *arg) {
    return ((struct test_caller *)arg)->is_done;
}

void test_wait_done(struct test_site *s, struct test_caller *c) {
    test_wait(s, is_done, c);
}

/* ---- attackers ---- */

void raw_client_open(struct raw_client *c, const struct crypto_sign_key *key,
                     const uint8_t server_public_key[static CRYPTO_PUBLIC_KEY_SIZE], uint16_t port,
                     const char *routing_id) {
    struct crypto_dh_key own;
    uint8_t server[CRYPTO_DH_KEY_SIZE];
    char endpoint[64];
    int linger = 0, queue = 1000;
    crypto_dh_key_from_sign(&own, key);
    assert_true(crypto_dh_public_from_sign(server, server_public_key));
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%u", (unsigned)port);
    c->context = zmq_ctx_new();
    c->socket = zmq_socket(c->context, ZMQ_DEALER);
    assert_int_equal(zmq_setsockopt(c->socket, ZMQ_LINGER, &linger, sizeof linger), 0);
    assert_int_equal(zmq_setsockopt(c->socket, ZMQ_SNDHWM, &queue, sizeof queue), 0);
    assert_int_equal(zmq_setsockopt(c->socket, ZMQ_CURVE_PUBLICKEY, own.public_key, 32), 0);
    assert_int_equal(zmq_setsockopt(c->socket, ZMQ_CURVE_SECRETKEY, own.secret_key, 32), 0);
    assert_int_equal(zmq_setsockopt(c->socket, ZMQ_CURVE_SERVERKEY, server, 32), 0);
    if (routing_id)
        assert_int_equal(zmq_setsockopt(c->socket, ZMQ_ROUTING_ID, routing_id, strlen(routing_id)), 0);
    assert_int_equal(zmq_connect(c->socket, endpoint), 0);
}

bool raw_client_send(struct raw_client *c, const void *frame, size_t len) {
    return zmq_send(c->socket, frame, len, ZMQ_DONTWAIT) >= 0;
}

int raw_client_receive(struct raw_client *c, char *ret, size_t size) {
    int n = zmq_recv(c->socket, ret, size - 1, ZMQ_DONTWAIT);
    if (n >= 0)
        ret[(size_t)n < size - 1 ? (size_t)n : size - 1] = 0;
    return n;
}

void raw_client_close(struct raw_client *c) {
    zmq_close(c->socket);
    zmq_ctx_term(c->context);
}

int raw_tcp_connect(uint16_t port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

long rss_kb(void) {
    FILE *file = fopen("/proc/self/statm", "re");
    long pages[2] = {};
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &pages[0], &pages[1]), 2);
    fclose(file);
    return pages[1] * (sysconf(_SC_PAGESIZE) / 1024);
}

/* ---- the wire ---- */

constexpr size_t WIRE_FDS = 64; /* 0: the listener; then pairs */

static bool carry(int from, int to) {
    char bytes[16 * 1024];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    for (ssize_t at = 0; at < n;) {
        ssize_t sent = send(to, bytes + at, (size_t)(n - at), MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
    }
    return n > 0;
}

static void drop_pair(struct pollfd *fds, size_t i) {
    close(fds[i].fd);
    close(fds[i ^ 1].fd);
    fds[i].fd = fds[i ^ 1].fd = -1;
}

static void *wire_run(void *arg) {
    struct wire *w = arg;
    struct pollfd fds[WIRE_FDS];
    for (size_t i = 0; i < WIRE_FDS; i++)
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    size_t next = 2;
    fds[0].fd = w->listener;
    while (!w->is_ending) {
        poll(fds, w->is_dead ? 0 : WIRE_FDS, 5);
        if (w->is_dead)
            continue;
        for (size_t i = 2; i < WIRE_FDS; i++)
            if (fds[i].fd >= 0 && fds[i].revents && !carry(fds[i].fd, fds[i ^ 1].fd))
                drop_pair(fds, i);
        if (fds[0].revents) {
            int in = accept4(w->listener, nullptr, nullptr, SOCK_CLOEXEC);
            w->n_connections++;
            if (fds[next].fd >= 0)
                drop_pair(fds, next);
            fds[next].fd = in;
            fds[next + 1].fd = raw_tcp_connect(w->to);
            fds[next].revents = fds[next + 1].revents = 0;
            next = next + 2 < WIRE_FDS ? next + 2 : 2;
        }
    }
    for (size_t i = 2; i < WIRE_FDS; i += 2)
        if (fds[i].fd >= 0)
            drop_pair(fds, i);
    return nullptr;
}

void wire_open(struct wire *w, uint16_t to) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    *w = (struct wire){.to = to, .listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_int_equal(bind(w->listener, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(w->listener, 64), 0);
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&at, &size), 0);
    w->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&w->thread, nullptr, wire_run, w), 0);
}

void wire_close(struct wire *w) {
    w->is_ending = true;
    pthread_join(w->thread, nullptr);
    close(w->listener);
}
