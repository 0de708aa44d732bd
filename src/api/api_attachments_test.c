/* SPDX-License-Identifier: MPL-2.0 */
#include "api/api_test.h"

#include <stdlib.h>
#include <string.h>

/* What peers say to each other goes through the same door as all else; nobody else may say it. */

#define ATTACHMENT "/peers/self/attachments/aaaaaa-aaaaaa-aaaaaa"
#define KEY        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ENDPOINT   "/peers/6uibwb-h3z9nn-1nwaw6/endpoints/aaaaaa-aaaaaa-aaaaaa"

static const char SPEC[] =
    "{\"generation\":3,\"link_generation\":7,\"epoch\":\"0011223344556677\",\"source\":\"" ENDPOINT
    "\",\"settings\":{},\"lease_s\":15,\"offer\":{\"port\":4042,\"link\":4294967295,\"public_key\":\"" KEY
    "\"},\"grant\":{\"stream\":\"aaaaaa-aaaaaa-aaaaaa\",\"generation\":1,\"source\":\"" ENDPOINT
    "\",\"destination\":\"external\",\"commander\":\"aaaaaa-aaaaaa-aaaaaa\",\"user\":\"\",\"issued\":1,\"signature\":\"" KEY KEY
    "\"}}";

#define PEER \
    .principal = {.privilege = API_VIEWER, .name = "peer", .peer_uid = "peer00-peer00-peer01", .is_peer_itself = true}

static void a_peer_is_served(void **state) {
    struct bench *bench = *state;
    CALL("PUT", ATTACHMENT, .body = SPEC, PEER);
    assert_int_equal(bench->reply.status, 200);
    assert_string_equal(header(bench, "ETag"), "\"7\"");
    assert_holds(bench, "\"answer\":{\"link\":77,\"public_key\":\"aaaa");
    assert_holds(bench, "\"state\":\"connecting\",\"reason\":null");
    assert_string_equal(bench->fake->owner, "peer00-peer00-peer01");
    CALL("DELETE", ATTACHMENT, .if_match = "\"6\"", PEER);
    assert_problem(bench, 412, "generation_mismatch", "another link");
    CALL("DELETE", ATTACHMENT, .if_match = "\"seven\"", PEER);
    assert_problem(bench, 412, "generation_mismatch", "another link");
    CALL("DELETE", ATTACHMENT, .if_match = "\"7\"", PEER);
    assert_int_equal(bench->reply.status, 204);
    CALL("DELETE", ATTACHMENT, PEER);
    assert_problem(bench, 404, "not_found", "takes nothing");
}

static void nobody_else_is(void **state) {
    struct bench *bench = *state;
    CALL("PUT", ATTACHMENT, .body = SPEC);
    assert_problem(bench, 403, "forbidden", "what peers of the site say to each other");
    /* A user of another peer, whose request was passed on. */
    CALL("PUT", ATTACHMENT, .body = SPEC,
         .principal = {.privilege = API_ADMIN, .name = "peer", .peer_uid = "peer00-peer00-peer01"});
    assert_problem(bench, 403, "forbidden", "each for itself");
    CALL("DELETE", ATTACHMENT);
    assert_problem(bench, 403, "forbidden", "peers");
    CALL("PUT", ATTACHMENT, .body = SPEC,
         .principal = {.name = "peer", .peer_uid = "peer00-peer00-peer01", .is_peer_itself = true});
    assert_problem(bench, 403, "forbidden", "viewer");
    assert_int_equal(bench->fake->attached_link, 0);
}

static void a_refusal_is_told_with_its_reason(void **state) {
    struct bench *bench = *state;
    (void)err_set(&bench->fake->refuse, ERR_FORBIDDEN, "the commander has no right here");
    CALL("PUT", ATTACHMENT, .body = SPEC, PEER);
    assert_problem(bench, 403, "forbidden", "the commander has no right here");
}

/* One member after the other is spoilt. */
static void what_is_not_right_is_refused(void **state) {
    struct bench *bench = *state;
    static const struct {
        const char *good, *bad, *pointer;
    } CASES[] = {
        {"\"generation\":3", "\"generation\":0", "/generation"},
        {"\"link_generation\":7", "\"link_generation\":\"7\"", "/link_generation"},
        {"\"epoch\":\"0011223344556677\"", "\"epoch\":\"1\"", "/epoch"},
        {"\"lease_s\":15", "\"lease_s\":61", "/lease_s"},
        {"\"lease_s\":15", "\"lease_s\":0", "/lease_s"},
        {"\"port\":4042", "\"port\":65536", "/offer/port"},
        {"\"link\":4294967295", "\"link\":4294967296", "/offer/link"},
        {"\"link\":4294967295", "\"link\":0", "/offer/link"},
        {"\"public_key\":\"0", "\"public_key\":\"", "/offer/public_key"},
        {"\"signature\":\"0", "\"signature\":\"", "/grant/signature"},
        {"\"issued\":1", "\"issued\":\"now\"", "/grant/issued"},
        {"\"settings\":{}", "\"settings\":{\"fec\":\"magic\"}", "/settings/fec"},
        {"\"settings\":{}", "\"setting\":{}", "/settings"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char text[2048];
        const char *at = strstr(SPEC, CASES[i].good);
        assert_non_null(at);
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - SPEC), SPEC, CASES[i].bad, at + strlen(CASES[i].good));
        CALL("PUT", ATTACHMENT, .body = text, PEER);
        assert_problem(bench, 400, "invalid_request", CASES[i].pointer);
    }
    assert_int_equal(bench->fake->attached_link, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        T(a_peer_is_served),
        T(nobody_else_is),
        T(a_refusal_is_told_with_its_reason),
        T(what_is_not_right_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
