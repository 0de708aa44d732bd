/* SPDX-License-Identifier: MPL-2.0 */
#include "signaling/links_test_site.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const UIDS[TEST_PEERS_MAX] = {"aaaaaa-aaaaaa-aaaaaa", "bbbbbb-bbbbbb-bbbbbb", "cccccc-cccccc-cccccc",
                                                 "dddddd-dddddd-dddddd"};

/* ---- the server ---- */

static void copy(char *to, size_t size, const char *text) {
    snprintf(to, size, "%s", text ? text : "");
}

static void note(struct test_peer *p, const struct links_request *r) {
    copy(p->method, sizeof p->method, r->method);
    copy(p->path, sizeof p->path, r->path);
    copy(p->user, sizeof p->user, r->user);
    copy(p->grant, sizeof p->grant, r->grant);
    copy(p->if_none_match, sizeof p->if_none_match, r->if_none_match);
    snprintf(p->body, sizeof p->body, "%.*s", (int)r->body_len, r->body_len ? (const char *)r->body : "");
    p->role = r->role;
    p->deadline_ns = r->deadline_ns;
    p->n_served++;
    unsigned long n = r->query ? strtoul(r->query, nullptr, 10) : 0;
    if (n < TEST_SERVED_MAX)
        p->served[n]++;
}

static void on_request(void *arg, const char *, const struct links_request *r, struct links_serving *serving) {
    struct test_peer *p = arg;
    note(p, r);
    if (strcmp(r->path, "/later") == 0) {
        assert_true(p->n_later < 64);
        p->later[p->n_later++] = serving;
        return;
    }
    struct links_reply reply = {
        .status = 200, .content_type = "application/json", .body = r->body, .body_len = r->body_len};
    char *big = nullptr;
    if (strncmp(r->path, "/big/", 5) == 0) {
        reply.body_len = strtoul(r->path + 5, nullptr, 10);
        reply.body = big = malloc(reply.body_len + 1);
        for (size_t i = 0; i < reply.body_len; i++)
            big[i] = (char)(i * 7 / 3);
    } else if (strcmp(r->path, "/events") == 0) {
        reply = (struct links_reply){.status = 200, .streaming = true};
        p->stream = serving;
        p->n_pushed = 0;
    } else {
        reply.headers[0] = (struct links_header){"ETag", "\"7\""};
        reply.n_headers = 1;
    }
    links_answer(serving, &reply, reply.streaming ? p : nullptr);
    free(big);
}

static void push_some(struct test_peer *p) {
    while (p->stream && p->to_push) {
        char json[32], cursor[32];
        int n = snprintf(json, sizeof json, "%u", p->n_pushed + 1);
        snprintf(cursor, sizeof cursor, "e-%u", p->n_pushed + 1);
        const struct links_event event = {
            .name = "stream_updated", .cursor = cursor, .json = json, .json_len = (size_t)n};
        if (!links_push(p->stream, &event))
            return;
        p->n_pushed++;
        p->to_push--;
    }
}

static void on_writable(void *arg, struct links_serving *serving, void *stream) {
    struct test_peer *p = arg;
    assert_ptr_equal(stream, p);
    p->n_writable++;
    if (serving == p->stream)
        push_some(p);
}

static void on_closed(void *arg, struct links_serving *serving, void *stream) {
    struct test_peer *p = arg;
    assert_ptr_equal(stream, p);
    p->n_closed++;
    if (serving == p->stream)
        p->stream = nullptr;
}

static void on_changed(void *arg, const char *, const struct links_peer *now) {
    struct test_peer *p = arg;
    p->n_changed[now->state]++;
}

void test_answer_later(struct test_peer *p) {
    const struct links_reply reply = {.status = 204};
    for (size_t i = 0; i < p->n_later; i++)
        links_answer(p->later[i], &reply, nullptr);
    p->n_later = 0;
}

void test_push(struct test_peer *p, unsigned n) {
    p->to_push += n;
    push_some(p);
}

/* ---- asking ---- */

static void on_reply(void *arg, const struct links_reply *reply, const struct err_info *info) {
    struct test_caller *c = arg;
    if (!reply || !reply->streaming)
        c->call = nullptr;
    if (!reply) {
        c->n_failures++;
        c->code = info->code;
        copy(c->why, sizeof c->why, info->message);
        return;
    }
    c->n_replies++;
    c->status = reply->status;
    c->is_streaming = reply->streaming;
    c->in_order = true;
    c->body_len = reply->body_len;
    snprintf(c->body, sizeof c->body, "%.*s", (int)(reply->body_len < 255 ? reply->body_len : 255),
             reply->body_len ? (const char *)reply->body : "");
    c->body_is_right = true;
    for (size_t i = 0; i < reply->body_len; i++)
        c->body_is_right &= ((const char *)reply->body)[i] == (char)(i * 7 / 3);
    for (size_t i = 0; i < reply->n_headers; i++)
        if (strcmp(reply->headers[i].name, "ETag") == 0)
            copy(c->etag, sizeof c->etag, reply->headers[i].value);
}

static void on_event(void *arg, const struct links_event *event) {
    struct test_caller *c = arg;
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)event->json_len, event->json);
    unsigned n = (unsigned)strtoul(text, nullptr, 10);
    c->in_order &= n == c->last_event + 1;
    c->last_event = n;
    c->n_events++;
}

static void on_ended(void *arg, const struct err_info *info) {
    struct test_caller *c = arg;
    c->n_ended++;
    c->call = nullptr;
    copy(c->why, sizeof c->why, info->message);
}

void test_ask(struct test_peer *p, size_t other, const struct links_request *request, struct test_caller *ret) {
    static const struct links_caller CALLER = {.reply = on_reply, .event = on_event, .ended = on_ended};
    unsigned before = ret->n_replies + ret->n_failures;
    ret->call = links_ask(p->links, UIDS[other], request, &CALLER, ret);
    assert_non_null(ret->call);
    assert_int_equal(ret->n_replies + ret->n_failures, before); /* never from inside the call */
}

void test_get(struct test_peer *p, size_t other, const char *path, struct test_caller *ret) {
    const struct links_request request = {.method = "GET", .path = path, .role = ROSTER_VIEWER};
    test_ask(p, other, &request, ret);
}

/* ---- peers ---- */

void test_peer_start(struct test_peer *p) {
    static const struct links_handler HANDLER = {
        .request = on_request, .writable = on_writable, .closed = on_closed, .changed = on_changed};
    struct test_site *site = p->site;
    struct err_info info = {};
    assert_int_equal(fake_carrier_create(site->network, &site->sim.loop, p->uid, &p->roster, &p->carrier, &info),
                     ERR_OK);
    p->epoch += 0x1000;
    const struct links_config config = {
        .loop = &site->sim.loop,
        .carrier = p->carrier,
        .roster = &p->roster,
        .own_uid = p->uid,
        .epoch = p->epoch + p->index,
        .version = "0.1.0",
        .proto_min = p->proto_min,
        .proto_max = p->proto_max,
        .seed = p->index + 1,
    };
    assert_int_equal(links_create(&config, &p->links, &info), ERR_OK);
    links_listen(p->links, &HANDLER, p);
    assert_int_equal(links_start(p->links, &info), ERR_OK);
}

void test_peer_stop(struct test_peer *p) {
    if (!p->links)
        return;
    links_destroy(p->links);
    p->carrier->ops->close(p->carrier);
    p->links = nullptr;
    p->carrier = nullptr;
    test_answer_later(p);
    p->stream = nullptr;
}

void test_peer_kill(struct test_peer *p) {
    fake_carrier_crash(p->carrier);
    test_peer_stop(p);
}

bool test_is_up(const struct test_peer *p, size_t other) {
    struct links_peer now;
    assert_true(links_peer(p->links, UIDS[other], &now));
    return now.state == LINKS_UP;
}

void test_site_run(struct test_site *site, int64_t ns) {
    loop_sim_run_until(&site->sim, site->sim.clock.now_ns + ns);
}

void test_site_connect(struct test_site *site, size_t a, size_t b) {
    for (int i = 0; i < 6000; i++) {
        test_site_run(site, 10 * NS_PER_MS);
        if (test_is_up(&site->peers[a], b) && test_is_up(&site->peers[b], a))
            return;
    }
    fail_msg("the link between %zu and %zu did not come up", a, b);
}

static void fill_roster(struct test_site *site, struct test_peer *p) {
    p->roster.members = calloc(site->n, sizeof *p->roster.members);
    for (size_t i = 0; i < site->n; i++) {
        if (i == p->index)
            continue;
        struct roster_member *m = &p->roster.members[p->roster.n++];
        copy(m->uid, sizeof m->uid, UIDS[i]);
        copy(m->address, sizeof m->address, "peer.example:4041");
        m->role = ROSTER_ADMIN;
    }
}

void test_site_init(struct test_site *site, size_t n, uint64_t seed) {
    *site = (struct test_site){.n = n};
    loop_sim_init(&site->sim);
    site->network = fake_network_create(seed);
    for (size_t i = 0; i < n; i++) {
        struct test_peer *p = &site->peers[i];
        *p = (struct test_peer){.site = site, .index = i, .uid = UIDS[i]};
        fill_roster(site, p);
    }
    for (size_t i = 0; i < n; i++)
        test_peer_start(&site->peers[i]);
}

void test_site_finish(struct test_site *site) {
    for (size_t i = 0; i < site->n; i++) {
        test_peer_stop(&site->peers[i]);
        roster_finish(&site->peers[i].roster);
    }
    fake_network_destroy(site->network);
    assert_int_equal(site->sim.loop.n_timers, 0);
    loop_sim_finish(&site->sim);
}
