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
#include "orchestrator/registry/events.h"
#include "store/store.h"
#include "support/fake_world.h"

/* Reads and writes alone: no engine, so nothing is built. */

static const char TONE[] = "{\"kind\":\"tone\",\"display_name\":\"A\"}";
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

static enum err put_endpoint(struct fake_world *w, const char *uid, const char *json, int64_t if_generation,
                             char ret_uid[static UID_SIZE], struct fake_answer *answer, struct err_info *reterr) {
    struct endpoint_spec spec = fake_endpoint_spec(json);
    return orchestrator_put_endpoint(w->orchestrator, uid, &spec, if_generation, ret_uid, fake_done, answer, reterr);
}

static bool is_ready(struct fake_world *w, const char *reason) {
    struct ready ready;
    orchestrator_ready(w->orchestrator, &ready);
    for (uint32_t i = 0; i < ready.n_reasons; i++)
        if (strcmp(ready.reasons[i].reason, reason) == 0)
            return false;
    return true;
}

static void test_create_applies_then_waits(void **state) {
    struct fake_world *w = *state;
    uint64_t before = fake_world_last_event(w);
    struct fake_answer answer = {};
    char uid[UID_SIZE];
    assert_int_equal(put_endpoint(w, "", TONE, ANY_GENERATION, uid, &answer, nullptr), ERR_OK);
    assert_true(uid_is_valid(uid));
    const struct registry_endpoint *endpoint = orchestrator_endpoint(w->orchestrator, uid);
    assert_non_null(endpoint);
    assert_int_equal(endpoint->generation, 1);
    assert_string_equal(endpoint->driver, "tone");
    assert_string_equal(fake_world_news(w, before), "endpoint_added");
    assert_false(answer.is_done);
    loop_sim_settle(&w->sim);
    assert_true(answer.is_done);
    assert_int_equal(answer.result, ERR_OK);
    assert_string_equal(fake_world_news(w, before), "endpoint_added");
}

static void test_what_is_stored_is_there_after_a_restart(void **state) {
    struct fake_world *w = *state;
    char a[UID_SIZE], b[UID_SIZE], s[UID_SIZE];
    fake_put_endpoint(w, "", TONE, a);
    fake_put_endpoint(w, "", SINK, b);
    fake_put_endpoint(w, a, "{\"kind\":\"tone\",\"display_name\":\"B\"}", a);
    struct stream_spec spec = fake_stream_between(a, b);
    fake_put_stream(w, "", &spec, s);
    struct fake_answer answer = {};
    assert_int_equal(orchestrator_rename_peer(w->orchestrator, "Attic", ANY_GENERATION, fake_done, &answer, nullptr),
                     ERR_OK);
    loop_sim_settle(&w->sim);
    uint64_t epoch = events_epoch(orchestrator_events(w->orchestrator));
    fake_world_stop(w);
    fake_world_start(w);
    const struct registry_endpoint *endpoint = orchestrator_endpoint(w->orchestrator, a);
    assert_non_null(endpoint);
    assert_string_equal(endpoint->spec.display_name, "B");
    assert_int_equal(endpoint->generation, 2);
    const struct registry_stream *stream = orchestrator_stream(w->orchestrator, s);
    assert_non_null(stream);
    assert_true(stream_spec_equal(&stream->spec, &spec));
    assert_string_equal(orchestrator_self(w->orchestrator)->info.spec.name, "Attic");
    assert_int_equal(orchestrator_self(w->orchestrator)->generation, 2);
    /* A cursor of the last run must not look like one of this. */
    assert_true(events_epoch(orchestrator_events(w->orchestrator)) != epoch);
}

static void test_generations_guard_writes(void **state) {
    struct fake_world *w = *state;
    char uid[UID_SIZE], other[UID_SIZE];
    fake_put_endpoint(w, "", TONE, uid);
    fake_put_endpoint(w, uid, TONE, other);
    assert_string_equal(uid, other);
    assert_int_equal(orchestrator_endpoint(w->orchestrator, uid)->generation, 2);
    uint64_t before = fake_world_last_event(w);
    struct fake_answer answer = {};
    struct err_info info = {};
    /* 0: it must not exist */
    for (int64_t wrong = 0; wrong < 4; wrong++) {
        if (wrong == 2)
            continue;
        assert_int_equal(put_endpoint(w, uid, TONE, wrong, other, &answer, &info), ERR_GENERATION);
        assert_non_null(strstr(info.message, uid));
        assert_int_equal(orchestrator_remove_endpoint(w->orchestrator, uid, wrong, false, fake_done, &answer, &info),
                         ERR_GENERATION);
    }
    assert_int_equal(put_endpoint(w, "aaaaaa-aaaaaa-aaaaaa", TONE, 3, other, &answer, &info), ERR_GENERATION);
    assert_null(orchestrator_endpoint(w->orchestrator, "aaaaaa-aaaaaa-aaaaaa"));
    assert_int_equal(put_endpoint(w, "no uid", TONE, ANY_GENERATION, other, &answer, &info), ERR_INVALID);
    loop_sim_settle(&w->sim);
    assert_false(answer.is_done); /* what was refused is not answered again */
    assert_string_equal(fake_world_news(w, before), "");
    assert_int_equal(put_endpoint(w, uid, TONE, 2, other, &answer, &info), ERR_OK);
    loop_sim_settle(&w->sim);
    assert_int_equal(answer.result, ERR_OK);
    assert_string_equal(fake_world_news(w, before), "endpoint_updated");
}

static void test_a_failed_create_leaves_nothing(void **state) {
    struct fake_world *w = *state;
    uint64_t before = fake_world_last_event(w);
    struct fake_answer answer = {};
    char uid[UID_SIZE];
    store_memory_fail_next(w->store, ERR_STORAGE);
    assert_int_equal(put_endpoint(w, "", TONE, ANY_GENERATION, uid, &answer, nullptr), ERR_OK);
    assert_non_null(orchestrator_endpoint(w->orchestrator, uid));
    loop_sim_settle(&w->sim);
    assert_true(answer.is_done);
    assert_int_equal(answer.result, ERR_STORAGE);
    assert_int_equal(err_http_status(answer.result), 507);
    assert_true(strlen(answer.info.message) > 0);
    assert_null(orchestrator_endpoint(w->orchestrator, uid));
    assert_string_equal(fake_world_news(w, before), "endpoint_added endpoint_removed");
    assert_false(is_ready(w, "StorageFailed"));
    /* The next that is stored says that all is well again. */
    fake_put_endpoint(w, "", TONE, uid);
    assert_true(is_ready(w, "StorageFailed"));
}

static void test_a_failed_change_is_taken_back(void **state) {
    struct fake_world *w = *state;
    char uid[UID_SIZE], same[UID_SIZE];
    fake_put_endpoint(w, "", TONE, uid);
    uint64_t before = fake_world_last_event(w);
    struct fake_answer answer = {};
    store_memory_fail_next(w->store, ERR_STORAGE);
    assert_int_equal(put_endpoint(w, uid, "{\"kind\":\"tone\",\"display_name\":\"B\"}", 1, same, &answer, nullptr),
                     ERR_OK);
    assert_string_equal(orchestrator_endpoint(w->orchestrator, uid)->spec.display_name, "B");
    loop_sim_settle(&w->sim);
    assert_int_equal(answer.result, ERR_STORAGE);
    const struct registry_endpoint *endpoint = orchestrator_endpoint(w->orchestrator, uid);
    assert_string_equal(endpoint->spec.display_name, "A");
    assert_int_equal(endpoint->generation, 1);
    assert_string_equal(fake_world_news(w, before), "endpoint_updated endpoint_updated");
}

static void test_a_failed_removal_is_taken_back(void **state) {
    struct fake_world *w = *state;
    char a[UID_SIZE], b[UID_SIZE], s[UID_SIZE];
    fake_put_endpoint(w, "", TONE, a);
    fake_put_endpoint(w, "", SINK, b);
    struct stream_spec spec = fake_stream_between(a, b);
    fake_put_stream(w, "", &spec, s);
    uint64_t before = fake_world_last_event(w);
    struct fake_answer answer = {};
    store_memory_fail_next(w->store, ERR_STORAGE);
    assert_int_equal(orchestrator_remove_stream(w->orchestrator, s, 1, fake_done, &answer, nullptr), ERR_OK);
    assert_null(orchestrator_stream(w->orchestrator, s));
    loop_sim_settle(&w->sim);
    assert_int_equal(answer.result, ERR_STORAGE);
    assert_non_null(orchestrator_stream(w->orchestrator, s));
    assert_string_equal(fake_world_news(w, before), "stream_removed stream_added");
}

static void test_a_failed_rename_is_taken_back(void **state) {
    struct fake_world *w = *state;
    for (int i = 0; i < 2; i++) { /* to the configured name, then to the stored one */
        const struct registry_peer *self = orchestrator_self(w->orchestrator);
        struct peer_spec before = self->info.spec;
        int64_t generation = self->generation;
        struct fake_answer answer = {};
        store_memory_fail_next(w->store, ERR_STORAGE);
        assert_int_equal(orchestrator_rename_peer(w->orchestrator, "X", ANY_GENERATION, fake_done, &answer, nullptr),
                         ERR_OK);
        loop_sim_settle(&w->sim);
        assert_int_equal(answer.result, ERR_STORAGE);
        assert_string_equal(self->info.spec.name, before.name);
        assert_int_equal(self->generation, generation);
        struct fake_answer well = {};
        assert_int_equal(orchestrator_rename_peer(w->orchestrator, "Y", generation, fake_done, &well, nullptr), ERR_OK);
        loop_sim_settle(&w->sim);
        assert_int_equal(well.result, ERR_OK);
    }
    struct fake_answer answer = {};
    struct err_info info = {};
    assert_int_equal(orchestrator_rename_peer(w->orchestrator, "", ANY_GENERATION, fake_done, &answer, &info),
                     ERR_INVALID);
    assert_string_equal(info.pointer, "/name");
}

/* Of two changes of one object that are under way the later one decides, whatever became of the first. */
static void test_a_later_write_settles_it(void **state) {
    struct fake_world *w = *state;
    char uid[UID_SIZE];
    fake_put_endpoint(w, "", TONE, uid);
    struct fake_answer first = {}, second = {};
    store_memory_fail_next(w->store, ERR_STORAGE);
    assert_int_equal(put_endpoint(w, uid, "{\"kind\":\"tone\",\"display_name\":\"B\"}", 1, uid, &first, nullptr),
                     ERR_OK);
    assert_int_equal(put_endpoint(w, uid, "{\"kind\":\"tone\",\"display_name\":\"C\"}", 2, uid, &second, nullptr),
                     ERR_OK);
    loop_sim_settle(&w->sim);
    assert_int_equal(first.result, ERR_STORAGE);
    assert_int_equal(second.result, ERR_OK);
    assert_string_equal(orchestrator_endpoint(w->orchestrator, uid)->spec.display_name, "C");
    fake_world_stop(w);
    fake_world_start(w);
    assert_string_equal(orchestrator_endpoint(w->orchestrator, uid)->spec.display_name, "C");
    assert_int_equal(orchestrator_endpoint(w->orchestrator, uid)->generation, 3);
}

static void test_limits_are_named(void **state) {
    struct fake_world *w = *state;
    char uid[UID_SIZE], sink[UID_SIZE];
    fake_put_endpoint(w, "", SINK, sink);
    for (size_t i = 1; i < LIMIT_ENDPOINTS; i++)
        fake_put_endpoint(w, "", TONE, uid);
    struct fake_answer answer = {};
    struct err_info info = {};
    char none[UID_SIZE];
    assert_int_equal(put_endpoint(w, "", TONE, ANY_GENERATION, none, &answer, &info), ERR_LIMIT);
    assert_non_null(strstr(info.message, "LIMIT_ENDPOINTS"));
    fake_put_endpoint(w, uid, TONE, uid); /* a change of what there is is no new one */
    struct stream_spec spec = fake_stream_between(uid, sink);
    for (size_t i = 0; i < LIMIT_STREAMS; i++)
        fake_put_stream(w, "", &spec, none);
    assert_int_equal(
        orchestrator_put_stream(w->orchestrator, "", &spec, nullptr, ANY_GENERATION, none, fake_done, &answer, &info),
        ERR_LIMIT);
    assert_non_null(strstr(info.message, "LIMIT_STREAMS"));
}

static void test_what_cannot_be_is_refused_whole(void **state) {
    struct fake_world *w = *state;
    char a[UID_SIZE], b[UID_SIZE], s[UID_SIZE];
    fake_put_endpoint(w, "", TONE, a);
    fake_put_endpoint(w, "", SINK, b);
    struct stream_spec spec = fake_stream_between(a, b);
    fake_put_stream(w, "", &spec, s);
    uint64_t before = fake_world_last_event(w);
    struct fake_answer answer = {};
    struct err_info info = {};
    char none[UID_SIZE];
    struct stream_spec turned = fake_stream_between(b, a);
    assert_int_equal(
        orchestrator_put_stream(w->orchestrator, "", &turned, nullptr, ANY_GENERATION, none, fake_done, &answer, &info),
        ERR_INVALID);
    assert_string_equal(info.pointer, "/source/endpoint_uri");
    assert_int_equal(put_endpoint(w, a, SINK, ANY_GENERATION, none, &answer, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/kind");
    assert_int_equal(put_endpoint(w, b, "{\"kind\":\"null\",\"null\":{\"direction\":\"input\"}}", ANY_GENERATION, none,
                                  &answer, &info),
                     ERR_CONFLICT);
    assert_int_equal(put_endpoint(w, "", "{\"kind\":\"bus\"}", ANY_GENERATION, none, &answer, &info), ERR_UNSUPPORTED);
    assert_int_equal(
        orchestrator_remove_stream(w->orchestrator, "aaaaaa-aaaaaa-aaaaaa", ANY_GENERATION, fake_done, &answer, &info),
        ERR_NOT_FOUND);
    loop_sim_settle(&w->sim);
    assert_false(answer.is_done);
    assert_string_equal(fake_world_news(w, before), "");
}

static void test_one_port_belongs_to_one_stream(void **state) {
    struct fake_world *w = *state;
    char sink[UID_SIZE], first[UID_SIZE], none[UID_SIZE];
    fake_put_endpoint(w, "", SINK, sink);
    char json[512];
    snprintf(json, sizeof json,
             "{\"display_name\":\"Radio\",\"settings\":{\"fec\":\"none\"},"
             "\"source\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://0.0.0.0:10001\"},"
             "\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/%s\"}}",
             sink);
    struct stream_spec spec = fake_stream_spec(json);
    fake_put_stream(w, "", &spec, first);
    struct fake_answer answer = {};
    struct err_info info = {};
    assert_int_equal(
        orchestrator_put_stream(w->orchestrator, "", &spec, nullptr, ANY_GENERATION, none, fake_done, &answer, &info),
        ERR_CONFLICT);
    assert_non_null(strstr(info.message, "10001"));
    assert_non_null(strstr(info.message, first));
    fake_put_stream(w, first, &spec, first); /* not with itself */
}

static void test_no_writes_before_and_after(void **state) {
    struct fake_world *w = *state;
    struct err_info info = {};
    struct fake_answer answer = {};
    char none[UID_SIZE];
    orchestrator_stop(w->orchestrator, nullptr, nullptr);
    assert_int_equal(put_endpoint(w, "", TONE, ANY_GENERATION, none, &answer, &info), ERR_UNAVAILABLE);
    assert_false(is_ready(w, "Stopping"));
    loop_sim_settle(&w->sim);
    assert_false(answer.is_done);
}

/* Stop waits for what was promised to be stored. */
static void test_stop_waits_for_writes(void **state) {
    struct fake_world *w = *state;
    struct fake_answer answer = {};
    char uid[UID_SIZE];
    assert_int_equal(put_endpoint(w, "", TONE, ANY_GENERATION, uid, &answer, nullptr), ERR_OK);
    fake_world_stop(w);
    assert_true(answer.is_done);
    assert_int_equal(answer.result, ERR_OK);
    fake_world_start(w);
    assert_non_null(orchestrator_endpoint(w->orchestrator, uid));
}

/* A grant is stored with the stream in one object, and goes when somebody without one writes the stream. */
static void test_a_grant_is_kept_with_its_stream(void **state) {
    struct fake_world *w = *state;
    char source[UID_SIZE], sink[UID_SIZE], uid[UID_SIZE] = "";
    fake_put_endpoint(w, "", TONE, source);
    fake_put_endpoint(w, "", "{\"kind\":\"null\"}", sink);
    const struct stream_spec spec = fake_stream_between(source, sink);
    struct grant grant = {.stream = "stream-000000-000001",
                          .generation = 1,
                          .source = "/peers/peer00-peer00-peer01/endpoints/abcdef-abcdef-abcdef",
                          .destination = "external",
                          .commander = "peer00-peer00-peer02",
                          .user = "\xc3\x84nne",
                          .issued_ms = 1764000000123};
    memset(grant.signature, 0xa5, sizeof grant.signature);
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_put_stream(w->orchestrator, "", &spec, &grant, ANY_GENERATION, uid, fake_done, &answer, nullptr),
        ERR_OK);
    fake_world_stop(w);
    fake_world_start(w);
    const struct registry_stream *stream = orchestrator_stream(w->orchestrator, uid);
    assert_non_null(stream);
    assert_true(stream->has_grant);
    assert_memory_equal(&stream->grant, &grant, sizeof grant);
    assert_true(stream_spec_equal(&stream->spec, &spec));
    fake_put_stream(w, uid, &spec, uid);
    assert_false(orchestrator_stream(w->orchestrator, uid)->has_grant);
    fake_world_stop(w);
    fake_world_start(w);
    assert_false(orchestrator_stream(w->orchestrator, uid)->has_grant);
}

/* What a version stored that knew no grants. */
static void test_streams_of_older_versions_are_read(void **state) {
    struct fake_world *w = *state;
    char source[UID_SIZE], sink[UID_SIZE], json[512];
    fake_put_endpoint(w, "", TONE, source);
    fake_put_endpoint(w, "", "{\"kind\":\"null\"}", sink);
    fake_world_stop(w);
    int len = snprintf(json, sizeof json,
                       "{\"display_name\":\"Old\",\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":"
                       "\"/peers/self/endpoints/%s\"},\"destination\":{\"connection_type\":\"endpoint\","
                       "\"endpoint_uri\":\"/peers/self/endpoints/%s\"}}",
                       source, sink);
    struct fake_answer answer = {};
    w->store->ops->put(w->store, STORE_STREAM, "stream-000000-000001", 3, json, (size_t)len, fake_done, &answer);
    loop_sim_settle(&w->sim);
    assert_true(answer.is_done);
    fake_world_start(w);
    const struct registry_stream *stream = orchestrator_stream(w->orchestrator, "stream-000000-000001");
    assert_non_null(stream);
    assert_string_equal(stream->spec.display_name, "Old");
    char uri[64]; /* `self` is not kept any more */
    snprintf(uri, sizeof uri, "/peers/peer00-peer00-peer00/endpoints/%s", source);
    assert_string_equal(stream->spec.source.endpoint.endpoint_uri, uri);
    assert_int_equal(stream->generation, 3);
    assert_false(stream->has_grant);
}

static void test_iteration_in_order_of_creation(void **state) {
    struct fake_world *w = *state;
    char uids[5][UID_SIZE];
    for (int i = 0; i < 5; i++)
        fake_put_endpoint(w, "", TONE, uids[i]);
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_endpoint(w->orchestrator, uids[2], ANY_GENERATION, false, fake_done, &answer, nullptr),
        ERR_OK);
    int i = 0;
    for (const struct registry_endpoint *e = nullptr; (e = orchestrator_next_endpoint(w->orchestrator, e)); i++)
        assert_string_equal(e->uid, uids[i < 2 ? i : i + 1]);
    assert_int_equal(i, 4);
    loop_sim_settle(&w->sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_create_applies_then_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_stored_is_there_after_a_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_generations_guard_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_create_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_change_is_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_removal_is_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_failed_rename_is_taken_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_later_write_settles_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_is_refused_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_port_belongs_to_one_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_writes_before_and_after, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop_waits_for_writes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_grant_is_kept_with_its_stream, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_streams_of_older_versions_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_iteration_in_order_of_creation, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
