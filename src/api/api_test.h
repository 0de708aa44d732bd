/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/fake_orchestrator.h"

/*
 * What the unit tests of the API share: an api over the fake orchestrator, and a transport that keeps the last reply.
 *
 * Life cycle: setup → CALL … → teardown, one a test.  Threads: one.
 */

/* What a transport would send, kept until the test has looked at it. */
struct bench {
    struct orchestrator *fake;
    struct api *api;
    struct api_reply reply;
    int n_replies;
    int n_wakes;
};

static inline void on_reply(void *arg, struct api_reply *reply) {
    struct bench *bench = arg;
    api_reply_finish(&bench->reply);
    bench->reply = *reply;
    bench->n_replies++;
}

static inline int setup(void **state) {
    struct bench *bench = calloc(1, sizeof *bench);
    bench->fake = fake_create();
    struct api_config config = {.orchestrator = bench->fake, .libroc_version = "0.4.0"};
    assert_int_equal(api_create(&config, &bench->api, nullptr), ERR_OK);
    *state = bench;
    return 0;
}

static inline int teardown(void **state) {
    struct bench *bench = *state;
    api_reply_finish(&bench->reply);
    api_destroy(bench->api);
    fake_store_answers(bench->fake, ERR_OK);
    fake_destroy(bench->fake);
    free(bench);
    return 0;
}

static inline void call(struct bench *bench, struct api_request request) {
    if (!request.principal.name[0])
        request.principal = (struct api_principal){.privilege = API_ADMIN, .name = "test"};
    if (request.body) {
        request.body_len = request.body_len ? request.body_len : strlen(request.body);
        if (!request.content_type)
            request.content_type = "application/json";
    }
    bench->n_replies = 0;
    api_dispatch(bench->api, &request, on_reply, bench);
}

#define CALL(m, p, ...) call(bench, (struct api_request){.method = (m), .path = (p)__VA_OPT__(, ) __VA_ARGS__})

static inline const char *body(const struct bench *bench) {
    const char *text = bench->reply.static_body ? bench->reply.static_body : bench->reply.body;
    return text ? text : "";
}

static inline const char *header(const struct bench *bench, const char *name) {
    for (size_t i = 0; i < bench->reply.n_headers; i++)
        if (strcmp(bench->reply.headers[i].name, name) == 0)
            return bench->reply.headers[i].value;
    return "";
}

static inline void assert_holds(const struct bench *bench, const char *part) {
    if (!strstr(body(bench), part))
        fail_msg("'%s' is not in: %s", part, body(bench));
}

static inline void assert_problem(const struct bench *bench, int status, const char *code, const char *part) {
    char text[96];
    assert_int_equal(bench->n_replies, 1);
    if (bench->reply.status != status)
        fail_msg("want status %d, got %d: %s", status, bench->reply.status, body(bench));
    assert_string_equal(bench->reply.content_type, "application/problem+json");
    snprintf(text, sizeof text, "\"error_code\":\"%s\"", code);
    assert_holds(bench, text);
    assert_holds(bench, part);
}

static const char TONE[] = "{\"kind\":\"tone\",\"display_name\":\"A\"}";
static const char STREAM[] = "{\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/"
                             "aaaaaa-aaaaaa-aaaaaa\"},\"destination\":{\"connection_type\":\"external\","
                             "\"media_uri\":\"rtp://127.0.0.1:1\"}}";
#define STREAMS "/streams/aaaaaa-aaaaaa-aaaaaa"

/* A test with a bench of its own. */
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
