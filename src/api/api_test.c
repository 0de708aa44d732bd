/* SPDX-License-Identifier: MPL-2.0 */
#include "api/api_test.h"

#include <stdlib.h>
#include <string.h>

/* ---- routes ---- */

static void paths_are_trimmed_and_matched(void **state) {
    struct bench *bench = *state;
    static const struct {
        const char *path;
        int status;
    } CASES[] = {
        {"/streams", 200},
        {"//streams", 200},
        {"///streams//", 200},
        {"/streams/", 200},
        {"/peers/self", 200},
        {"/peers/6uibwb-h3z9nn-1nwaw6/endpoints/", 200},
        {"/openapi", 200},
        {"/openapi/openapi.json", 200},
        {"/", 404},
        {"", 404},
        {"streams", 404},
        {"/stream", 404},
        {"/streamss", 404},
        {"/peers//self", 404},
        {"/peers/self/endpoints//x", 404},
        {"/peers/self/nothing", 404},
        {"/peers/6uibwb-h3z9nn-1nwaw7", 404},
        {"/streams/aaaaaa-aaaaaa-aaaaaa", 404},
        {"/streams/x", 400},
        {"/streams/self", 400},
        {"/streams/AAAAAA-aaaaaa-aaaaaa", 400},
        {"/peers/Self", 400},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        CALL("GET", CASES[i].path);
        if (bench->reply.status != CASES[i].status)
            fail_msg("%s: want %d, got %d", CASES[i].path, CASES[i].status, bench->reply.status);
    }
}

static void methods_are_known_by_path(void **state) {
    struct bench *bench = *state;
    CALL("DELETE", "/streams");
    assert_problem(bench, 405, "method_not_allowed", "GET, HEAD, POST");
    assert_string_equal(header(bench, "Allow"), "GET, HEAD, POST");
    CALL("TRACE", STREAMS);
    assert_string_equal(header(bench, "Allow"), "GET, HEAD, PUT, PATCH, DELETE");
    CALL("BREW", "/coffee");
    assert_problem(bench, 404, "not_found", "/coffee");
    CALL("HEAD", "/version");
    assert_int_equal(bench->reply.status, 200);
    assert_true(bench->reply.body_len > 0); /* its length is what HEAD is about */
}

static void rights_are_checked_before_anything_else(void **state) {
    struct bench *bench = *state;
    struct api_principal viewer = {.privilege = API_VIEWER, .name = "tcp:192.0.2.1"};
    CALL("GET", "/streams", .principal = viewer);
    assert_int_equal(bench->reply.status, 200);
    CALL("POST", "/streams", .principal = viewer, .body = "not even JSON");
    assert_problem(bench, 403, "forbidden", "tcp:192.0.2.1 has those of viewer");
    CALL("PATCH", "/peers/self", .body = "{}", .principal = {.privilege = API_OPERATOR, .name = "x"});
    assert_problem(bench, 403, "forbidden", "admin");
    CALL("GET", "/version", .principal = {.privilege = API_NOBODY, .name = "x"});
    assert_problem(bench, 403, "forbidden", "nobody");
}

static void bodies_have_a_type_and_a_size(void **state) {
    struct bench *bench = *state;
    CALL("POST", "/streams");
    assert_problem(bench, 415, "unsupported_media_type", "application/json");
    CALL("POST", "/streams", .body = STREAM, .content_type = "text/plain");
    assert_problem(bench, 415, "unsupported_media_type", "application/json");
    CALL("POST", "/streams", .body = STREAM, .content_type = "application/jsonx");
    assert_problem(bench, 415, "unsupported_media_type", "application/json");
    CALL("POST", "/streams", .body = STREAM, .content_type = "application/merge-patch+json");
    assert_problem(bench, 415, "unsupported_media_type", "application/json");
    CALL("POST", "/streams", .content_type = "application/json");
    assert_problem(bench, 400, "malformed_json", "empty");
    CALL("GET", "/streams", .body = "{}");
    assert_problem(bench, 400, "invalid_request", "no body");
    char *large = malloc(65'538);
    memset(large, ' ', 65'537);
    large[65'537] = 0;
    CALL("POST", "/streams", .body = large);
    assert_problem(bench, 413, "too_large", "65536");
    free(large);
    CALL("PUT", STREAMS, .if_none_match = "*", .body = STREAM, .content_type = "Application/JSON; charset=UTF-8");
    assert_int_equal(bench->n_replies, 0);
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 201);
    CALL("PATCH", STREAMS, .body = "{\"enabled\":false}", .content_type = "application/merge-patch+json");
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 200);
}

static void unknown_query_parameters_are_refused(void **state) {
    struct bench *bench = *state;
    CALL("GET", "/streams", .query = "limit=3");
    assert_problem(bench, 400, "invalid_request", "'limit' is unknown: this resource has none");
    CALL("GET", "/events", .query = "sinze=3");
    assert_problem(bench, 400, "invalid_request", "since, types, peer, stream");
    CALL("GET", "/streams", .query = "");
    assert_int_equal(bench->reply.status, 200);
    CALL("GET", "/streams", .query = "&&");
    assert_int_equal(bench->reply.status, 200);
}

/* ---- problems ---- */

static void problems_list_what_is_wrong(void **state) {
    struct bench *bench = *state;
    CALL("POST", "/peers/self/endpoints", .body = "{\"kind\":\"tone\",\"rate_hz\":1,\"nonsense\":true}");
    assert_problem(bench, 400, "invalid_request", "\"pointer\":\"/rate_hz\"");
    assert_holds(bench, "\"pointer\":\"/nonsense\"");
    assert_holds(bench, "\"instance\":\"/peers/self/endpoints\"");
    assert_holds(bench, "\"type\":\"urn:rocd:problem:invalid_request\"");
    CALL("POST", "/peers/self/endpoints", .body = "{");
    assert_problem(bench, 400, "malformed_json", "\"errors\":[");
    (void)err_set_at(&bench->fake->refuse, ERR_CONFLICT, "/source/media_uri", "port 1 is taken by stream %s", "x");
    CALL("POST", "/streams", .body = STREAM);
    assert_problem(bench, 409, "conflict", "{\"pointer\":\"/source/media_uri\",\"detail\":\"port 1 is taken by");
}

static void retrying_makes_sense_where_it_says_so(void **state) {
    struct bench *bench = *state;
    (void)err_set(&bench->fake->refuse, ERR_BUSY, "busy");
    CALL("POST", "/streams", .body = STREAM);
    assert_problem(bench, 503, "busy", "busy");
    assert_string_equal(header(bench, "Retry-After"), "1");
    (void)err_set(&bench->fake->refuse, ERR_LIMIT, "streams_max (256) is reached");
    CALL("POST", "/streams", .body = STREAM);
    assert_problem(bench, 429, "limit_reached", "streams_max");
    assert_string_equal(header(bench, "Retry-After"), "1");
    struct err_info info = {};
    (void)err_set(&info, ERR_MISDIRECTED, "Host names evil.example");
    struct api_reply reply;
    api_problem(&reply, &info);
    assert_int_equal(reply.status, 421);
    assert_non_null(strstr(reply.body, "evil.example"));
    assert_null(strstr(reply.body, "instance"));
    api_reply_finish(&reply);
    api_reply_finish(nullptr);
}

/* ---- writes ---- */

static void a_write_is_answered_when_it_is_durable(void **state) {
    struct bench *bench = *state;
    CALL("POST", "/peers/self/endpoints", .body = TONE);
    assert_int_equal(bench->n_replies, 0);
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->n_replies, 1);
    assert_int_equal(bench->reply.status, 201);
    assert_string_equal(header(bench, "Location"), "/peers/6uibwb-h3z9nn-1nwaw6/endpoints/aaaaaa-aaaaaa-aaaaaa");
    assert_string_equal(header(bench, "ETag"), "\"1\"");
    assert_holds(bench, "\"rate_hz\":48000");

    CALL("DELETE", "/peers/self/endpoints/aaaaaa-aaaaaa-aaaaaa");
    fake_store_answers(bench->fake, ERR_STORAGE);
    assert_problem(bench, 507, "storage_failed", "the disk is full");
}

static void the_answer_shows_the_object_as_this_write_left_it(void **state) {
    struct bench *bench = *state;
    CALL("PUT", STREAMS, .if_none_match = "*", .body = STREAM);
    CALL("DELETE", STREAMS);
    assert_int_equal(bench->n_replies, 0);
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->n_replies, 2);
    assert_int_equal(bench->reply.status, 204);
    assert_int_equal(bench->reply.body_len, 0);
    assert_null(bench->reply.content_type);
    CALL("DELETE", STREAMS);
    assert_problem(bench, 404, "not_found", "aaaaaa-aaaaaa-aaaaaa");
}

static void who_still_waits_at_the_end_is_answered(void **) {
    struct bench *bench;
    setup((void **)&bench);
    CALL("POST", "/streams", .body = STREAM);
    api_destroy(bench->api);
    assert_problem(bench, 503, "unavailable", "ending");
    fake_store_answers(bench->fake, ERR_OK); /* comes late, finds nobody */
    assert_int_equal(bench->n_replies, 1);
    api_reply_finish(&bench->reply);
    fake_destroy(bench->fake);
    free(bench);
    api_destroy(nullptr);
}

static void generations_guard_changes(void **state) {
    struct bench *bench = *state;
    CALL("PUT", STREAMS, .if_none_match = "*", .body = STREAM);
    fake_store_answers(bench->fake, ERR_OK);
    CALL("GET", STREAMS);
    assert_string_equal(header(bench, "ETag"), "\"1\"");
    static const struct {
        const char *if_match;
        int status;
    } CASES[] = {
        {"\"1\"", 200}, /* and then the generation is 2 */
        {"\"1\"", 412},
        {"\"1\", \"2\"", 200},
        {"*", 200},
        {nullptr, 200},
        {"W/\"5\"", 412},
        {"\"05\"", 412},
        {"\"elsewhere\"", 412},
        {"\"\"", 412},
        {"\"99999999999999999999999\"", 412},
        {"5", 400},
        {"\"5", 400},
        {"\"5\" \"6\"", 400},
        {"", 400},
        {"\"5\"", 200},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        CALL("PATCH", STREAMS, .body = "{\"display_name\":\"x\"}", .if_match = CASES[i].if_match);
        fake_store_answers(bench->fake, ERR_OK);
        if (bench->reply.status != CASES[i].status)
            fail_msg("%zu: If-Match %s: want %d, got %d", i, CASES[i].if_match, CASES[i].status, bench->reply.status);
    }
    CALL("DELETE", STREAMS, .if_match = "\"1\"");
    assert_problem(bench, 412, "generation_mismatch", "generation 6");
    CALL("PUT", STREAMS, .body = STREAM, .if_match = "\"1\"");
    assert_problem(bench, 412, "generation_mismatch", "generation 6");
    CALL("PATCH", "/peers/self", .body = "{\"name\":\"x\"}", .if_match = "\"2\"");
    assert_problem(bench, 412, "generation_mismatch", "generation 1");
}

static void put_makes_only_when_told_to(void **state) {
    struct bench *bench = *state;
    CALL("PUT", "/streams/zzzzzz-zzzzzz-zzzzzz", .body = STREAM);
    assert_problem(bench, 404, "not_found", "If-None-Match: *");
    CALL("PUT", "/streams/zzzzzz-zzzzzz-zzzzzz", .body = STREAM, .if_none_match = "*");
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 201);
    assert_string_equal(header(bench, "Location"), "/streams/zzzzzz-zzzzzz-zzzzzz");
    CALL("PUT", "/streams/zzzzzz-zzzzzz-zzzzzz", .body = STREAM, .if_none_match = "*");
    assert_problem(bench, 412, "generation_mismatch", "exists already");
    CALL("PUT", "/streams/zzzzzz-zzzzzz-zzzzzz", .body = STREAM);
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 200);
    assert_string_equal(header(bench, "ETag"), "\"2\"");
    assert_string_equal(header(bench, "Location"), "");
    CALL("PUT", "/streams/zzzzzz-zzzzzz-zzzzzz", .body = STREAM, .if_none_match = "\"1\"");
    assert_problem(bench, 400, "invalid_request", "takes only *");
    CALL("PUT", "/peers/self/endpoints/zzzzzz-zzzzzz-zzzzzz", .body = TONE, .if_none_match = " * ");
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->reply.status, 201);
    CALL("PUT", "/peers/self/endpoints/zzzzzz-zzzzzz-zzzzzz", .body = "{\"kind\":\"null\"}");
    assert_problem(bench, 400, "invalid_request", "\"pointer\":\"/kind\"");
}

static void patches_are_merged_into_the_present_spec(void **state) {
    struct bench *bench = *state;
    CALL("PUT", STREAMS, .if_none_match = "*", .body = STREAM);
    CALL("PATCH", STREAMS, .body = "{\"display_name\":\"Radio\",\"settings\":{\"gain_db\":-6}}");
    CALL("PATCH", STREAMS, .body = "{\"display_name\":null}");
    fake_store_answers(bench->fake, ERR_OK);
    assert_int_equal(bench->n_replies, 3);
    assert_holds(bench, "\"gain_db\":-6");
    assert_holds(bench, "\"display_name\":\"\"");
    CALL("PATCH", STREAMS, .body = "{\"source\":null}");
    assert_problem(bench, 400, "invalid_request", "/source");
    CALL("PATCH", "/peers/self", .body = "{\"name\":\"Kitchen\"}");
    fake_store_answers(bench->fake, ERR_OK);
    assert_holds(bench, "\"name\":\"Kitchen\"");
    assert_string_equal(header(bench, "ETag"), "\"2\"");
}

/* ---- reading ---- */

static void lists_are_sorted_by_uid(void **state) {
    struct bench *bench = *state;
    CALL("GET", "/streams");
    assert_string_equal(body(bench), "[]");
    CALL("PUT", "/streams/zzzzzz-zzzzzz-zzzzzz", .body = STREAM, .if_none_match = "*");
    CALL("PUT", "/streams/bbbbbb-zzzzzz-zzzzzz", .body = STREAM, .if_none_match = "*");
    fake_store_answers(bench->fake, ERR_OK);
    CALL("GET", "/streams");
    const char *b = strstr(body(bench), "\"stream_uid\":\"bbbbbb");
    const char *z = strstr(body(bench), "\"stream_uid\":\"zzzzzz");
    assert_true(b && z && b < z);
    CALL("GET", "/peers");
    assert_holds(bench, "[{\"peer_uri\"");
    CALL("GET", "/peers/self/drivers");
    assert_holds(bench, "\"name\":\"file\"");
    assert_holds(bench, "\"name\":\"tone\"");
}

static void state_tells_the_cursor_it_stands_at(void **state) {
    struct bench *bench = *state;
    fake_event(bench->fake, EVENT_STREAM_ADDED, "aaaaaa-aaaaaa-aaaaaa", "{}");
    CALL("GET", "/state");
    assert_holds(bench, "{\"cursor\":\"abc-1\",\"peers\":[{");
    assert_holds(bench, "\"endpoints\":[],\"streams\":[]}");
}

static void readiness_and_versions(void **state) {
    struct bench *bench = *state;
    CALL("GET", "/readyz");
    assert_int_equal(bench->reply.status, 200);
    assert_holds(bench, "{\"ready\":true,\"reasons\":[]}");
    bench->fake->not_ready = true;
    CALL("GET", "/readyz");
    assert_int_equal(bench->reply.status, 503);
    assert_string_equal(bench->reply.content_type, "application/json");
    assert_string_equal(header(bench, "Retry-After"), "1");
    assert_holds(bench, "\"name\":\"store\"");
    CALL("GET", "/healthz");
    assert_string_equal(body(bench), "{\"status\":\"ok\"}");
    CALL("GET", "/version");
    assert_holds(bench, "\"version\":\"0.1.0\",\"api\":\"0.1.0\",\"libroc\":\"0.4.0\"");
}

static void metrics_escape_what_people_write(void **state) {
    struct bench *bench = *state;
    CALL("PUT", "/peers/self/endpoints/zzzzzz-zzzzzz-zzzzzz", .if_none_match = "*",
         .body = "{\"kind\":\"tone\",\"display_name\":\"a\\\"b\\\\c\"}");
    fake_store_answers(bench->fake, ERR_OK);
    CALL("PUT", STREAMS, .if_none_match = "*", .body = STREAM);
    bench->fake->streams[0].status.latency_ms.has_target = PRESENCE_VALUE;
    bench->fake->streams[0].status.latency_ms.target = 100;
    CALL("GET", "/metrics");
    assert_string_equal(bench->reply.content_type, "text/plain; version=0.0.4; charset=utf-8");
    assert_holds(bench,
                 "rocd_endpoint_state{endpoint=\"zzzzzz-zzzzzz-zzzzzz\",name=\"a\\\"b\\\\c\",state=\"available\"} 1\n");
    assert_holds(bench,
                 "rocd_stream_latency_seconds{stream=\"aaaaaa-aaaaaa-aaaaaa\",name=\"\",stage=\"target\"} 0.1\n");
    assert_null(strstr(body(bench), "stage=\"network\""));
    assert_holds(bench, "rocd_api_replies_total{operation=\"put_endpoint\",code=\"201\"} 1\n");
    assert_holds(bench, "\nprocess_open_fds ");
    fake_store_answers(bench->fake, ERR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T(paths_are_trimmed_and_matched),
        T(methods_are_known_by_path),
        T(rights_are_checked_before_anything_else),
        T(bodies_have_a_type_and_a_size),
        T(unknown_query_parameters_are_refused),
        T(problems_list_what_is_wrong),
        T(retrying_makes_sense_where_it_says_so),
        T(a_write_is_answered_when_it_is_durable),
        T(the_answer_shows_the_object_as_this_write_left_it),
        cmocka_unit_test(who_still_waits_at_the_end_is_answered),
        T(generations_guard_changes),
        T(put_makes_only_when_told_to),
        T(patches_are_merged_into_the_present_spec),
        T(lists_are_sorted_by_uid),
        T(state_tells_the_cursor_it_stands_at),
        T(readiness_and_versions),
        T(metrics_escape_what_people_write),
    };
    return cmocka_run_group_tests_name("api", tests, nullptr, nullptr);
}
