/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/serve.h"
#include "base/crypto.h"
#include "orchestrator/registry/remote.h"
#include "signaling/fake/fake.h"
#include "signaling/links.h"
#include "store/store.h"
#include "support/fake_world.h"
#include "transport/sealed.h"

/*
 * Three instances in one process, on virtual time and a made-up network: api, orchestrator, links and the door between them
 * are real. What is asked of one reaches the others. There is no sound: nothing is built.
 */
/* ---- sealed.h, of which nothing is used without an engine ---- */

uint16_t media_port_number(const struct media_port *) {
    return 0;
}

uint32_t media_port_reserve_link(struct media_port *) {
    return 0;
}

void media_port_release_link(struct media_port *, uint32_t) {
}

enum err seal_keys_derive(struct seal_keys *, const struct crypto_dh_key *, const uint8_t[static 32], bool,
                          const char *, int64_t, struct err_info *reterr) {
    return err_set(reterr, ERR_UNSUPPORTED, "no sealed media in this test");
}

enum err path_sealed_open(const struct path_sealed_config *, struct path **, struct err_info *reterr) {
    return err_set(reterr, ERR_UNSUPPORTED, "no sealed media in this test");
}

void path_sealed_answer(struct path *, uint32_t, const struct seal_keys *) {
}

/* ---- three instances ---- */

enum { A, B, C, N };
constexpr int64_t SECOND = 1'000'000'000;

static const char *const UIDS[N] = {"peer00-peer00-peer01", "peer00-peer00-peer02", "peer00-peer00-peer03"};

struct instance {
    struct crypto_sign_key key;
    struct roster roster;
    struct roster_member members[N - 1];
    struct store *store;
    struct carrier *carrier;
    struct links *links;
    struct orchestrator *orchestrator;
    struct api *api;
    struct serve *serve;
    uint64_t epoch;
    bool is_running;
};

struct site {
    struct fake_world world; /* its loop, and what stands in for drivers */
    struct fake_network *network;
    struct instance all[N];
    struct api_reply reply; /* the last */
    int n_replies;
};

static void start(struct site *site, int i) {
    struct instance *in = &site->all[i];
    struct loop *loop = &site->world.sim.loop;
    struct err_info info = {};
    assert_int_equal(fake_carrier_create(site->network, loop, UIDS[i], &in->roster, &in->carrier, nullptr), ERR_OK);
    const struct links_config links = {.loop = loop,
                                       .carrier = in->carrier,
                                       .roster = &in->roster,
                                       .own_uid = UIDS[i],
                                       .epoch = ++in->epoch,
                                       .version = "1",
                                       .seed = (uint64_t)i + 1};
    assert_int_equal(links_create(&links, &in->links, nullptr), ERR_OK);
    char name[2] = {(char)('a' + i), 0};
    const struct orchestrator_config orchestrator = {.loop = loop,
                                                     .store = in->store,
                                                     .host = &site->world.host,
                                                     .peer_uid = UIDS[i],
                                                     .peer_name = name,
                                                     .version = "1",
                                                     .links = in->links,
                                                     .roster = &in->roster,
                                                     .key = &in->key};
    if (orchestrator_create(&orchestrator, &in->orchestrator, &info) != ERR_OK ||
        orchestrator_start(in->orchestrator, &info) != ERR_OK)
        fail_msg("%s", info.message);
    const struct api_config api = {
        .orchestrator = in->orchestrator, .libroc_version = "0", .key = &in->key, .clock = loop->clock};
    assert_int_equal(api_create(&api, &in->api, nullptr), ERR_OK);
    const struct serve_config serve = {.api = in->api, .links = in->links};
    assert_int_equal(serve_create(&serve, &in->serve, nullptr), ERR_OK);
    assert_int_equal(links_start(in->links, nullptr), ERR_OK);
    in->is_running = true;
}

static void on_stopped(void *arg) {
    *(bool *)arg = true;
}

/* The order of a daemon that ends. */
static void stop(struct site *site, int i) {
    struct instance *in = &site->all[i];
    bool is_stopped = false;
    orchestrator_stop(in->orchestrator, on_stopped, &is_stopped);
    fake_world_run_ms(&site->world, 1000);
    assert_true(is_stopped);
    api_destroy(in->api);
    links_destroy(in->links);
    serve_destroy(in->serve);
    orchestrator_destroy(in->orchestrator);
    in->carrier->ops->close(in->carrier);
    in->is_running = false;
}

static int set_up(void **state) {
    struct site *site = calloc(1, sizeof *site);
    assert_int_equal(crypto_init(nullptr), ERR_OK);
    fake_world_init(&site->world);
    site->network = fake_network_create(1);
    for (int i = 0; i < N; i++)
        crypto_sign_key_make(&site->all[i].key);
    for (int i = 0; i < N; i++) {
        struct instance *in = &site->all[i];
        assert_int_equal(store_memory_open(&site->world.sim.loop, &in->store, nullptr), ERR_OK);
        in->roster = (struct roster){in->members, 0};
        for (int other = 0; other < N; other++) {
            if (other == i)
                continue;
            struct roster_member *member = &in->members[in->roster.n++];
            snprintf(member->uid, sizeof member->uid, "%s", UIDS[other]);
            snprintf(member->address, sizeof member->address, "192.0.2.%d:4041", other + 1);
            member->role = ROSTER_ADMIN;
            memcpy(member->public_key, site->all[other].key.public_key, sizeof member->public_key);
            assert_true(crypto_dh_public_from_sign(member->curve_key, member->public_key));
        }
    }
    for (int i = 0; i < N; i++)
        start(site, i);
    fake_world_run_ms(&site->world, 5000);
    *state = site;
    return 0;
}

static int tear_down(void **state) {
    struct site *site = *state;
    api_reply_finish(&site->reply);
    for (int i = 0; i < N; i++) {
        if (site->all[i].is_running)
            stop(site, i);
        site->all[i].store->ops->close(site->all[i].store);
    }
    fake_network_destroy(site->network);
    fake_world_finish(&site->world);
    free(site);
    return 0;
}

/* ---- asking ---- */

static void on_reply(void *arg, struct api_reply *reply) {
    struct site *site = arg;
    api_reply_finish(&site->reply);
    site->reply = *reply;
    site->n_replies++;
}

/* Until it is answered; the text of the answer. */
static const char *call(struct site *site, int at, int status, struct api_request request) {
    if (!request.principal.name[0])
        request.principal = (struct api_principal){.privilege = API_ADMIN, .name = "tester"};
    request.body_len = request.body ? strlen(request.body) : 0;
    request.content_type = request.body ? "application/json" : nullptr;
    site->n_replies = 0;
    api_dispatch(site->all[at].api, &request, on_reply, site);
    for (int i = 0; i < 300 && !site->n_replies; i++)
        fake_world_run_ms(&site->world, 50);
    assert_int_equal(site->n_replies, 1);
    const char *text = site->reply.body ? site->reply.body : "";
    if (site->reply.status != status)
        fail_msg("%s %s: want %d, got %d: %s", request.method, request.path, status, site->reply.status, text);
    return text;
}

#define CALL(at, status, m, p, ...) \
    call(site, at, status, (struct api_request){.method = (m), .path = (p)__VA_OPT__(, ) __VA_ARGS__})

static const char *header(const struct site *site, const char *name) {
    for (size_t i = 0; i < site->reply.n_headers; i++)
        if (strcmp(site->reply.headers[i].name, name) == 0)
            return site->reply.headers[i].value;
    return "";
}

static void assert_holds(const char *text, const char *part) {
    if (!strstr(text, part))
        fail_msg("'%s' is not in: %s", part, text);
}

static const char *endpoints_of(int i) {
    static char path[N][64];
    snprintf(path[i], sizeof path[i], "/peers/%s/endpoints", UIDS[i]);
    return path[i];
}

/* At another, whoever is asked. */
static void make_endpoint(struct site *site, int at, int of, const char *json, char ret_uri[static 64]) {
    CALL(at, 201, "POST", endpoints_of(of), .body = json);
    snprintf(ret_uri, 64, "%s", header(site, "Location"));
    assert_memory_equal(ret_uri, endpoints_of(of), strlen(endpoints_of(of)));
    fake_world_run_ms(&site->world, 100);
}

static const char *spec_of(const char *source, const char *destination) {
    static char text[512];
    snprintf(text, sizeof text,
             "{\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"%s\"},"
             "\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"%s\"}}",
             source, destination);
    return text;
}

/* Both ends at A, made at B. */
static void make_stream(struct site *site, char ret_path[static 64]) {
    char tone[64], sink[64];
    make_endpoint(site, C, A, "{\"kind\":\"tone\",\"display_name\":\"Tone\"}", tone);
    make_endpoint(site, A, A, "{\"kind\":\"null\",\"display_name\":\"Sink\"}", sink);
    const char *text = CALL(B, 201, "POST", "/streams", .body = spec_of(tone, sink));
    assert_holds(text, "Tone → Sink");
    snprintf(ret_path, 64, "%s", header(site, "Location"));
    fake_world_run_ms(&site->world, 100);
}

/* ---- tests ---- */

static void everybody_sees_everybody(void **state) {
    struct site *site = *state;
    for (int i = 0; i < N; i++) {
        const char *text = CALL(i, 200, "GET", "/peers");
        size_t n = 0;
        for (const char *at = text; (at = strstr(at, "\"state\":\"online\"")); at++)
            n++;
        assert_int_equal(n, N);
        assert_holds(text, "\"name\":\"a\"");
        assert_holds(text, "\"name\":\"b\"");
        assert_holds(text, "\"name\":\"c\"");
    }
    CALL(B, 200, "PATCH", "/peers/peer00-peer00-peer01", .body = "{\"name\":\"Kitchen\"}");
    fake_world_run_ms(&site->world, 100);
    assert_holds(CALL(C, 200, "GET", "/peers/peer00-peer00-peer01"), "\"name\":\"Kitchen\"");
}

static void what_is_made_anywhere_is_seen_everywhere(void **state) {
    struct site *site = *state;
    char stream[64];
    make_stream(site, stream);
    char list[N][16384];
    for (int i = 0; i < N; i++) {
        assert_holds(CALL(i, 200, "GET", "/streams"), strrchr(stream, '/') + 1);
        snprintf(list[i], sizeof list[i], "%s", CALL(i, 200, "GET", endpoints_of(A)));
        assert_holds(list[i], "\"display_name\":\"Tone\"");
        assert_holds(list[i], "\"display_name\":\"Sink\"");
        assert_string_equal(list[i], list[0]);
    }
    CALL(C, 200, "PATCH", stream, .body = "{\"settings\":{\"gain_db\":-6}}");
    assert_string_equal(header(site, "ETag"), "\"2\"");
    CALL(B, 412, "PATCH", stream, .body = "{}", .if_match = "\"1\"");
    assert_holds(CALL(A, 200, "GET", stream), "\"gain_db\":-6");
    assert_holds(CALL(B, 200, "GET", stream), "\"gain_db\":-6");
    CALL(B, 400, "PATCH", stream, .body = "{\"settings\":{\"gain_db\":1000}}");
    CALL(B, 200, "GET", "/metrics", .query = "peer=peer00-peer00-peer01");
    assert_string_equal(site->reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_holds(site->reply.body, "rocd_stream_state");
    CALL(C, 204, "DELETE", stream);
    fake_world_run_ms(&site->world, 100);
    for (int i = 0; i < N; i++) {
        assert_string_equal(CALL(i, 200, "GET", "/streams"), "[]");
        CALL(i, 404, "GET", stream);
    }
}

static void news_of_all_come_to_each(void **state) {
    struct site *site = *state;
    CALL(C, 200, "GET", "/events");
    struct api_events *events = site->reply.events;
    site->reply.events = nullptr;
    char stream[64];
    make_stream(site, stream);
    CALL(B, 204, "DELETE", stream);
    fake_world_run_ms(&site->world, 100);
    char names[512] = "";
    struct api_event event;
    for (; api_events_peek(events, &event); api_events_advance(events)) {
        size_t used = strlen(names);
        if (strstr(event.name, "added") || strstr(event.name, "removed"))
            snprintf(names + used, sizeof names - used, "%s ", event.name);
    }
    assert_string_equal(names, "endpoint_added endpoint_added stream_added stream_removed ");
    api_events_destroy(events);
}

static void a_post_may_be_repeated(void **state) {
    struct site *site = *state;
    char tone[64], sink[64], location[64];
    make_endpoint(site, A, A, "{\"kind\":\"tone\"}", tone);
    make_endpoint(site, A, A, "{\"kind\":\"null\"}", sink);
    for (int i = 0; i < 3; i++) {
        CALL(C, 201, "POST", "/streams", .body = spec_of(tone, sink), .idempotency_key = "k");
        if (i == 0)
            snprintf(location, sizeof location, "%s", header(site, "Location"));
        assert_string_equal(header(site, "Location"), location);
        assert_string_equal(header(site, "ETag"), "\"1\"");
        if (i == 1)
            fake_world_run_ms(&site->world, 1000);
    }
    CALL(C, 422, "POST", "/streams",
         .body = spec_of(tone, "/peers/peer00-peer00-peer01/endpoints/zzzzzz-zzzzzz-zzzzzz"), .idempotency_key = "k");
    /* Lost, doubled and late frames make no second stream either. */
    const struct fake_weather bad = {.loss_permille = 200,
                                     .duplicate_permille = 200,
                                     .reorder_permille = 200,
                                     .delay_min_ns = SECOND / 100,
                                     .delay_max_ns = SECOND / 4};
    fake_network_set_weather(site->network, &bad);
    for (int i = 0; i < 10; i++)
        CALL(B, 201, "POST", "/streams", .body = spec_of(tone, sink));
    const struct fake_weather good = {.delay_min_ns = SECOND / 1000, .delay_max_ns = SECOND / 1000};
    fake_network_set_weather(site->network, &good);
    fake_world_run_ms(&site->world, 30000);
    for (int i = 0; i < N; i++) {
        size_t n = 0;
        for (const char *at = CALL(i, 200, "GET", "/streams"); (at = strstr(at, "\"stream_uid\"")); at++)
            n++;
        assert_int_equal(n, 11);
    }
}

static void who_is_away_is_told_apart_and_comes_back(void **state) {
    struct site *site = *state;
    char stream[64], sink[64];
    make_stream(site, stream);
    stop(site, A);
    fake_world_run_ms(&site->world, 20000);
    assert_holds(CALL(C, 200, "GET", "/peers/peer00-peer00-peer01"), "\"state\":\"offline\"");
    assert_holds(CALL(C, 200, "GET", "/streams"), strrchr(stream, '/') + 1); /* as it was last seen */
    assert_holds(CALL(C, 200, "GET", endpoints_of(A)), "\"display_name\":\"Sink\"");
    const char *text = CALL(C, 503, "DELETE", stream);
    assert_holds(text, "peer_unreachable");
    assert_holds(text, "peer 'a' (peer00-peer00-peer01), which owns this, cannot be reached since");
    assert_string_equal(header(site, "Retry-After"), "1");
    start(site, A);
    make_endpoint(site, A, A, "{\"kind\":\"null\",\"display_name\":\"Later\"}", sink);
    fake_world_run_ms(&site->world, 40000);
    assert_holds(CALL(C, 200, "GET", "/peers/peer00-peer00-peer01"), "\"state\":\"online\"");
    assert_holds(CALL(C, 200, "GET", endpoints_of(A)), "\"display_name\":\"Later\"");
    CALL(C, 204, "DELETE", stream);
}

/* A cut that nobody is told of, and what happened meanwhile. */
static void a_gap_is_healed(void **state) {
    struct site *site = *state;
    char sink[64];
    fake_network_cut(site->network, UIDS[A], UIDS[C], true);
    make_endpoint(site, A, A, "{\"kind\":\"null\",\"display_name\":\"Meanwhile\"}", sink);
    assert_string_equal(CALL(C, 200, "GET", endpoints_of(A)), "[]");
    assert_holds(CALL(B, 200, "GET", endpoints_of(A)), "Meanwhile");
    fake_world_run_ms(&site->world, 60000);
    assert_holds(CALL(C, 200, "GET", "/peers/peer00-peer00-peer01"), "\"state\":\"offline\"");
    fake_network_cut(site->network, UIDS[A], UIDS[C], false);
    fake_world_run_ms(&site->world, 60000);
    assert_holds(CALL(C, 200, "GET", endpoints_of(A)), "Meanwhile");
    fake_network_break(site->network, UIDS[A], UIDS[C]);
    fake_world_run_ms(&site->world, 10000);
    make_endpoint(site, A, A, "{\"kind\":\"null\",\"display_name\":\"Afterwards\"}", sink);
    assert_holds(CALL(C, 200, "GET", endpoints_of(A)), "Afterwards");
}

static void rights_hold_at_both_ends(void **state) {
    struct site *site = *state;
    char stream[64];
    make_stream(site, stream);
    site->all[A].members[1].role = ROSTER_VIEWER; /* C, as A sees it */
    CALL(C, 200, "GET", stream);
    assert_holds(CALL(C, 403, "DELETE", stream), "peer:peer00-peer00-peer03/tester has those of viewer");
    CALL(B, 403, "DELETE", stream, .principal = {.privilege = API_VIEWER, .name = "guest"});
    CALL(B, 204, "DELETE", stream);
}

int main(void) {
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(everybody_sees_everybody), TEST(what_is_made_anywhere_is_seen_everywhere), TEST(news_of_all_come_to_each),
        TEST(a_post_may_be_repeated),   TEST(who_is_away_is_told_apart_and_comes_back), TEST(a_gap_is_healed),
        TEST(rights_hold_at_both_ends),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
