/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/maxima.h"
#include "store/store.h"
#include "support/fake_site.h"

/* Writes of streams: what is remembered of those that are gone, and whose sources may be named. No engine, nothing runs. */

static const char TONE[] = "{\"kind\":\"tone\"}";
static const char SINK[] = "{\"kind\":\"null\"}";

static int set_up(void **state) {
    struct fake_world *w = calloc(1, sizeof *w);
    fake_world_init(w);
    w->without_engine = true;
    fake_world_start(w);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    fake_world_finish(*state);
    free(*state);
    return 0;
}

static enum err put_stream(struct fake_world *w, const char *uid, const struct stream_spec *spec,
                           const struct grant *grant, struct err_info *info) {
    struct fake_answer answer = {};
    char unused[UID_SIZE];
    enum err err =
        orchestrator_put_stream(w->orchestrator, uid, spec, grant, ANY_GENERATION, unused, fake_done, &answer, info);
    loop_sim_settle(&w->sim);
    return err ? err : answer.result;
}

static enum err remove_stream(struct fake_world *w, const char *uid) {
    struct fake_answer answer = {};
    enum err err = orchestrator_remove_stream(w->orchestrator, uid, ANY_GENERATION, fake_done, &answer, nullptr);
    loop_sim_settle(&w->sim);
    return err ? err : answer.result;
}

static void count(void *arg, enum store_kind kind, const char *, int64_t, const char *, size_t) {
    if (kind == STORE_STREAM)
        ++*(int *)arg;
}

static int stored_streams(struct fake_world *w) {
    int n = 0;
    assert_int_equal(w->store->ops->load(w->store, count, &n, nullptr), ERR_OK);
    return n;
}

static const char STREAM[] = "stream-000000-000001";

static struct stream_spec made_stream(struct fake_world *w) {
    char source[UID_SIZE], sink[UID_SIZE];
    fake_put_endpoint(w, "", TONE, source);
    fake_put_endpoint(w, "", SINK, sink);
    const struct stream_spec spec = fake_stream_between(source, sink);
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, nullptr), ERR_OK);
    return spec;
}

/* ---- rings ---- */

static enum err lead(struct fake_world *w, const char *uid, const char *from, const char *to, struct err_info *info) {
    const struct stream_spec spec = fake_stream_between(from, to);
    return put_stream(w, uid, &spec, nullptr, info);
}

/* Endpoints that are not made yet may become buses. */
static void test_a_ring_is_refused_and_shown(void **state) {
    struct fake_world *w = *state;
    static const char A[] = "aaaaaa-aaaaaa-aaaaaa", B[] = "bbbbbb-bbbbbb-bbbbbb", C[] = "cccccc-cccccc-cccccc";
    struct err_info info = {};
    assert_int_equal(lead(w, "stream-000000-00000a", A, B, nullptr), ERR_OK);
    assert_int_equal(lead(w, "stream-000000-00000b", B, C, nullptr), ERR_OK);
    assert_int_equal(lead(w, "stream-000000-00000c", A, C, nullptr), ERR_OK);
    assert_int_equal(lead(w, "stream-000000-00000d", C, A, &info), ERR_CONFLICT);
    assert_non_null(strstr(info.message, "cccccc-cccccc-cccccc → aaaaaa-aaaaaa-aaaaaa → cccccc-cccccc-cccccc"));
    assert_string_equal(info.pointer, "/destination/endpoint_uri");
    assert_int_equal(lead(w, "stream-000000-00000c", C, A, &info), ERR_CONFLICT); /* its own old way is none */
    assert_non_null(strstr(info.message, "aaaaaa-aaaaaa-aaaaaa → bbbbbb-bbbbbb-bbbbbb → cccccc-cccccc-cccccc"));
    assert_int_equal(remove_stream(w, "stream-000000-00000b"), ERR_OK);
    assert_int_equal(lead(w, "stream-000000-00000c", C, A, &info), ERR_OK);
}

static void test_a_long_ring_is_shown_in_part(void **state) {
    struct fake_world *w = *state;
    char from[UID_SIZE], to[UID_SIZE], uid[UID_SIZE];
    struct err_info info = {};
    for (int i = 0; i < 200; i++) {
        snprintf(from, sizeof from, "aaaaaa-aaaaaa-%06d", i);
        snprintf(to, sizeof to, "aaaaaa-aaaaaa-%06d", i + 1);
        snprintf(uid, sizeof uid, "stream-000000-%06d", i);
        assert_int_equal(lead(w, uid, from, to, nullptr), ERR_OK);
    }
    assert_int_equal(lead(w, "stream-000000-00000a", to, "aaaaaa-aaaaaa-000000", &info), ERR_CONFLICT);
    assert_non_null(strstr(info.message, "…"));
    assert_non_null(strstr(info.message, "aaaaaa-aaaaaa-000200."));
}

/* ---- removed streams ---- */

/* A request to make a stream may come after the one that removes it. */
static void test_a_removed_stream_stays_removed_for_a_day(void **state) {
    struct fake_world *w = *state;
    const struct stream_spec spec = made_stream(w);
    assert_int_equal(remove_stream(w, STREAM), ERR_OK);
    struct err_info info = {};
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, &info), ERR_CONFLICT);
    assert_non_null(strstr(info.message, STREAM));
    fake_world_stop(w);
    fake_world_start(w);
    assert_null(orchestrator_stream(w->orchestrator, STREAM));
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, nullptr), ERR_CONFLICT);
    assert_int_equal(stored_streams(w), 1);
    w->sim.clock.wall_offset_ns += 23 * 3600 * NS_PER_S;
    fake_world_run_ms(w, 3500'000);
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, nullptr), ERR_CONFLICT);
    fake_world_run_ms(w, 3700'000);
    assert_int_equal(stored_streams(w), 0);
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, nullptr), ERR_OK);
}

static void test_a_failed_removal_leaves_no_tombstone(void **state) {
    struct fake_world *w = *state;
    const struct stream_spec spec = made_stream(w);
    store_memory_fail_next(w->store, ERR_STORAGE);
    assert_int_equal(remove_stream(w, STREAM), ERR_STORAGE);
    assert_non_null(orchestrator_stream(w->orchestrator, STREAM));
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, nullptr), ERR_OK);
    store_memory_fail_next(w->store, ERR_STORAGE);
    assert_int_equal(put_stream(w, "stream-000000-000002", &spec, nullptr, nullptr), ERR_STORAGE);
    assert_int_equal(put_stream(w, "stream-000000-000002", &spec, nullptr, nullptr), ERR_OK); /* it never was */
}

static void test_the_oldest_tombstone_makes_room(void **state) {
    struct fake_world *w = *state;
    const struct stream_spec spec = made_stream(w);
    char uid[UID_SIZE];
    for (size_t i = 0; i <= LIMIT_TOMBSTONES; i++) {
        snprintf(uid, sizeof uid, "stream-removd-%06zu", i);
        assert_int_equal(put_stream(w, uid, &spec, nullptr, nullptr), ERR_OK);
        assert_int_equal(remove_stream(w, uid), ERR_OK);
    }
    assert_int_equal(stored_streams(w), 1 + LIMIT_TOMBSTONES);
    assert_int_equal(put_stream(w, uid, &spec, nullptr, nullptr), ERR_CONFLICT);
    assert_int_equal(put_stream(w, "stream-removd-000000", &spec, nullptr, nullptr), ERR_OK);
}

/* ---- streams across peers ---- */

/* The site has an operator, who commands, and a viewer, who has the source. */
struct site {
    struct fake_site fake;
    struct fake_peer *operator, * viewer;
};

static void join_site(struct fake_world *w, struct site *site) {
    fake_site_init(&site->fake);
    site->operator= fake_site_add(&site->fake, ROSTER_OPERATOR);
    site->viewer = fake_site_add(&site->fake, ROSTER_VIEWER);
    fake_world_stop(w);
    fake_site_join(&site->fake, w);
    fake_world_start(w);
}

static void leave_site(struct fake_world *w, struct site *site) {
    fake_world_stop(w);
    fake_site_finish(&site->fake);
}

static struct stream_spec stream_from(const char *peer_uid, const char *sink) {
    char json[512];
    snprintf(
        json, sizeof json,
        "{\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/%s/endpoints/abcdef-abcdef-abcdef\"},"
        "\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/%s\"}}",
        peer_uid, sink);
    return fake_stream_spec(json);
}

static void test_a_source_must_be_of_the_site_and_a_destination_ours(void **state) {
    struct fake_world *w = *state;
    struct site site;
    struct err_info info = {};
    char sink[UID_SIZE];
    fake_put_endpoint(w, "", SINK, sink);
    struct stream_spec spec = stream_from("aaaaaa-bbbbbb-cccccc", sink);
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, &info), ERR_INVALID); /* a site of one */
    join_site(w, &site);
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/source/endpoint_uri");
    assert_non_null(strstr(info.message, "aaaaaa-bbbbbb-cccccc"));
    spec = stream_from(site.viewer->uid, sink);
    spec.settings.encryption = ENCRYPTION_MODE_OFF;
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, &info), ERR_UNSUPPORTED);
    assert_string_equal(info.pointer, "/settings/encryption");
    spec.settings.encryption = ENCRYPTION_MODE_REQUIRED;
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, nullptr), ERR_OK);
    snprintf(spec.destination.endpoint.endpoint_uri, sizeof spec.destination.endpoint.endpoint_uri,
             "/peers/%s/endpoints/%s", site.operator->uid, sink);
    assert_int_equal(put_stream(w, "stream-000000-000002", &spec, nullptr, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/destination/endpoint_uri");
    assert_non_null(strstr(info.message, site.operator->uid));
    leave_site(w, &site);
}

static struct grant grant_of(struct fake_world *w, const struct site *site, const char *source_peer, const char *sink) {
    struct grant grant = {.generation = 1, .issued_ms = 1};
    snprintf(grant.stream, sizeof grant.stream, "%s", STREAM);
    snprintf(grant.source, sizeof grant.source, "/peers/%s/endpoints/abcdef-abcdef-abcdef", source_peer);
    snprintf(grant.destination, sizeof grant.destination, "/peers/%s/endpoints/%s",
             orchestrator_self(w->orchestrator)->uid, sink);
    snprintf(grant.commander, sizeof grant.commander, "%s", site->operator->uid);
    grant_sign(&grant, &site->operator->key);
    return grant;
}

static void test_a_stream_across_peers_is_signed_for(void **state) {
    struct fake_world *w = *state;
    struct site site;
    char sink[UID_SIZE];
    join_site(w, &site);
    fake_put_endpoint(w, "", SINK, sink);
    const struct stream_spec spec = stream_from(site.viewer->uid, sink);
    const struct grant good = grant_of(w, &site, site.viewer->uid, sink);
    struct err_info info = {};

    struct grant bad = good;
    bad.signature[5] ^= 1;
    assert_int_equal(put_stream(w, STREAM, &spec, &bad, &info), ERR_FORBIDDEN);
    bad = good;
    snprintf(bad.commander, sizeof bad.commander, "%s", site.viewer->uid);
    grant_sign(&bad, &site.viewer->key);
    assert_int_equal(put_stream(w, STREAM, &spec, &bad, &info), ERR_FORBIDDEN);
    assert_non_null(strstr(info.message, "viewer"));
    snprintf(bad.commander, sizeof bad.commander, "aaaaaa-bbbbbb-cccccc");
    assert_int_equal(put_stream(w, STREAM, &spec, &bad, &info), ERR_FORBIDDEN);
    bad = good;
    bad.generation = 2;
    grant_sign(&bad, &site.operator->key);
    assert_int_equal(put_stream(w, STREAM, &spec, &bad, &info), ERR_FORBIDDEN);
    bad = grant_of(w, &site, site.operator->uid, sink);
    assert_int_equal(put_stream(w, STREAM, &spec, &bad, &info), ERR_FORBIDDEN);
    bad = grant_of(w, &site, site.viewer->uid, "abcdef-abcdef-abcdef");
    assert_int_equal(put_stream(w, STREAM, &spec, &bad, &info), ERR_FORBIDDEN);
    assert_int_equal(put_stream(w, "stream-000000-000002", &spec, &good, &info), ERR_FORBIDDEN);
    assert_null(orchestrator_stream(w->orchestrator, STREAM));

    assert_int_equal(put_stream(w, STREAM, &spec, &good, nullptr), ERR_OK);
    assert_memory_equal(&orchestrator_stream(w->orchestrator, STREAM)->grant, &good, sizeof good);
    /* Who writes here, without a grant, is one of ours: this peer signs. */
    assert_int_equal(put_stream(w, STREAM, &spec, nullptr, nullptr), ERR_OK);
    const struct registry_stream *stream = orchestrator_stream(w->orchestrator, STREAM);
    assert_string_equal(stream->grant.commander, orchestrator_self(w->orchestrator)->uid);
    assert_int_equal(stream->grant.generation, 2);
    assert_int_equal(grant_verify(&stream->grant, site.fake.own.public_key, nullptr), ERR_OK);
    leave_site(w, &site);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_ring_is_refused_and_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_ring_is_shown_in_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_removed_stream_stays_removed_for_a_day, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_removal_leaves_no_tombstone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_oldest_tombstone_makes_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_source_must_be_of_the_site_and_a_destination_ours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_stream_across_peers_is_signed_for, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
