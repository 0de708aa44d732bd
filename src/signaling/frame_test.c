/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signaling/frame.h"

#define FROM "\"from\":\"00000000000000aa\","
#define ENDS FROM "\"to\":\"00000000000000bb\","
#define HEAD "\"v\":1," ENDS "\"id\":7"
#define REQ \
    "{\"t\":\"req\"," HEAD \
    ",\"method\":\"PUT\",\"path\":\"/streams/x\",\"role\":\"operator\",\"deadline_ms\":10000,\"low\":5"

static void expect(const char *text, size_t len, enum err want, const char *complaint) {
    struct frame frame;
    struct err_info info = {};
    enum err err = frame_decode(text, len, &frame, &info);
    bool is_right = want ? err != ERR_OK && strstr(info.message, complaint) : err == ERR_OK;
    if (!is_right || err != want)
        fail_msg("%.200s: %s %s (wanted: %s)", text, err_name(err), info.message,
                 complaint ? complaint : "no complaint");
    frame_finish(&frame);
}

static void what_is_right_is_taken(void **) {
    static const char *const RIGHT[] = {
        "{\"t\":\"hello\"," FROM "\"proto\":[1,3]}\n",
        "{\"t\":\"hello\"," ENDS "\"proto\":[1,1],\"version\":\"0.1.0\",\"up\":true}\n",
        "{\"t\":\"ping\",\"v\":1," ENDS "\"later\":{\"a\":[1]}}\n",
        "{\"t\":\"pong\",\"v\":2," ENDS "\"id\":\"a member of others\",\"id\":true}\n",
        REQ "}\n{\"body\":\n1}",
        REQ ",\"grant\":{\"stream\":\"x\"},\"query\":\"\",\"user\":\"\xc3\xa9va\",\"if_none_match\":\"*\"}\n",
        "{\"t\":\"res\"," HEAD ",\"status\":204,\"size\":0}\n",
        "{\"t\":\"res\"," HEAD
        ",\"status\":200,\"size\":2,\"content_type\":\"text/x\",\"headers\":{\"ETag\":\"\\\"1\\\"\"}}\n\0\n",
        "{\"t\":\"evt\"," HEAD ",\"seq\":0}\n",
        "{\"t\":\"evt\"," HEAD ",\"seq\":1,\"name\":\"x\",\"cursor\":\"e-1\"}\n{}",
        "{\"t\":\"ack\"," HEAD ",\"seq\":9007199254740991}\n",
        "{\"t\":\"end\"," HEAD ",\"seq\":3}\n",
        "{\"t\":\"cancel\"," HEAD "}\n",
    };
    for (size_t i = 0; i < sizeof RIGHT / sizeof *RIGHT; i++) {
        size_t nul_in_body = strstr(RIGHT[i], "\"size\":2") ? 2 : 0;
        expect(RIGHT[i], strlen(RIGHT[i]) + nul_in_body, ERR_OK, nullptr);
    }
}

/* The examples of docs/protocol.md. */
static void the_documented_examples_are_taken(void **) {
    static const char *const EXAMPLES[] = {
        "{\"t\":\"hello\",\"from\":\"00000000000000a1\",\"proto\":[1,1],\"version\":\"0.1.0\"}\n",
        "{\"t\":\"req\",\"v\":1,\"from\":\"00000000000000a1\",\"to\":\"00000000000000b2\",\"id\":1,\"method\":\"GET\","
        "\"path\":\"/version\",\"role\":\"viewer\",\"deadline_ms\":10000,\"low\":1}\n",
        "{\"t\":\"res\",\"v\":1,\"from\":\"00000000000000b2\",\"to\":\"00000000000000a1\",\"id\":1,\"status\":200,"
        "\"content_type\":\"application/json\",\"size\":16}\n{\"rocd\":\"0.1.0\"}",
    };
    for (size_t i = 0; i < sizeof EXAMPLES / sizeof *EXAMPLES; i++)
        expect(EXAMPLES[i], strlen(EXAMPLES[i]), ERR_OK, nullptr);
}

static void what_is_wrong_is_refused(void **) {
    static const struct {
        const char *text;
        enum err want;
        const char *complaint;
    } WRONG[] = {
        {"", ERR_MALFORMED, "newline"},
        {"{}", ERR_MALFORMED, "newline"},
        {"\n", ERR_MALFORMED, "empty"},
        {"{\n}", ERR_MALFORMED, "not JSON"},
        {"[]\n", ERR_INVALID, "no object"},
        {"{}\n", ERR_INVALID, "type is missing"},
        {"{\"t\":1}\n", ERR_INVALID, "type of frame"},
        {"{\"t\":\"bye\"}\n", ERR_INVALID, "type of frame"},
        {"{\"t\":\"ping\",\"t\":\"ping\",\"v\":1," ENDS "\"x\":1}\n", ERR_INVALID, "twice"},
        {"{\"t\":\"ping\",\"v\":1,\"v\":1," ENDS "\"x\":1}\n", ERR_INVALID, "twice"},
        {"{\"t\":\"ping\",\"v\":1," FROM "\"x\":1}\n", ERR_INVALID, "missing"},
        {"{\"t\":\"ping\"," ENDS "\"x\":1}\n", ERR_INVALID, "missing"},
        {"{\"t\":\"ping\",\"v\":0," ENDS "\"x\":1}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"ping\",\"v\":-1," ENDS "\"x\":1}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"ping\",\"v\":1.0," ENDS "\"x\":1}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"ping\",\"v\":18446744073709551615," ENDS "\"x\":1}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"ping\",\"v\":1," ENDS "\"x\":1}\nbody", ERR_TOO_LARGE, "body"},
        {"{\"t\":\"ping\",\"v\":1," ENDS "\"x\":[[[1]]]}\n", ERR_MALFORMED, "nested"},
        {"{\"t\":\"hello\",\"from\":\"00000000000000AA\",\"proto\":[1,1]}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\",\"from\":\"0000000000000000\",\"proto\":[1,1]}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\",\"from\":\"000000000000000a0\",\"proto\":[1,1]}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\",\"from\":170,\"proto\":[1,1]}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\"," FROM "\"proto\":[2,1]}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\"," FROM "\"proto\":[1]}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\"," FROM "\"proto\":1}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\"," FROM "\"proto\":[1,1],\"up\":1}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"hello\"," FROM "\"proto\":[1,1],\"version\":\"012345678901234567890123456789012\"}\n", ERR_INVALID,
         "not valid"},
        {"{\"t\":\"cancel\",\"v\":1," ENDS "\"id\":0}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"cancel\",\"v\":1," ENDS "\"id\":9007199254740992}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"cancel\",\"v\":1," ENDS "\"id\":\"7\"}\n", ERR_INVALID, "not valid"},
        {REQ ",\"low\":8}\n", ERR_INVALID, "twice"},
        {REQ ",\"user\":\"a\\nb\"}\n", ERR_INVALID, "not valid"},
        {REQ ",\"user\":\"a\\u0000b\"}\n", ERR_INVALID, "not valid"},
        {REQ ",\"user\":null}\n", ERR_INVALID, "not valid"},
        {REQ ",\"grant\":\"x\"}\n", ERR_INVALID, "not valid"},
        {REQ ",\"grant\":[]}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"req\"," HEAD ",\"method\":\"put\",\"path\":\"/\",\"role\":\"admin\",\"deadline_ms\":1,\"low\":7}\n",
         ERR_INVALID, "not valid"},
        {"{\"t\":\"req\"," HEAD ",\"method\":\"PUT\",\"path\":\"x\",\"role\":\"admin\",\"deadline_ms\":1,\"low\":7}\n",
         ERR_INVALID, "not valid"},
        {"{\"t\":\"req\"," HEAD ",\"method\":\"PUT\",\"path\":\"/\",\"role\":\"god\",\"deadline_ms\":1,\"low\":7}\n",
         ERR_INVALID, "not valid"},
        {"{\"t\":\"req\"," HEAD ",\"method\":\"PUT\",\"path\":\"/\",\"role\":\"admin\",\"deadline_ms\":0,\"low\":7}\n",
         ERR_INVALID, "not valid"},
        {"{\"t\":\"req\"," HEAD
         ",\"method\":\"PUT\",\"path\":\"/\",\"role\":\"admin\",\"deadline_ms\":300001,\"low\":7}\n",
         ERR_INVALID, "not valid"},
        {"{\"t\":\"req\"," HEAD ",\"method\":\"PUT\",\"path\":\"/\",\"role\":\"admin\",\"deadline_ms\":1,\"low\":8}\n",
         ERR_INVALID, "settled"},
        {"{\"t\":\"res\"," HEAD ",\"status\":99,\"size\":0}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200}\n", ERR_INVALID, "missing"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200,\"size\":8388609}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200,\"size\":2}\nx", ERR_INVALID, "instead of 2"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200,\"size\":1}\nxx", ERR_INVALID, "instead of 1"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200,\"size\":1,\"part\":1}\nx", ERR_INVALID, "part 1"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200,\"size\":0,\"headers\":{\"E Tag\":\"\"}}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200,\"size\":0,\"headers\":{\"A\":\"\",\"A\":\"\"}}\n", ERR_INVALID,
         "not valid"},
        {"{\"t\":\"res\"," HEAD ",\"status\":200,\"size\":0,\"headers\":{\"A\":\"\\r\"}}\n", ERR_INVALID, "not valid"},
        {"{\"t\":\"res\"," HEAD
         ",\"status\":200,\"size\":0,\"headers\":{\"A\":\"\",\"B\":\"\",\"C\":\"\",\"D\":\"\",\"E\":\"\",\"F\":\"\","
         "\"G\":\"\"}}\n",
         ERR_INVALID, "not valid"},
        {"{\"t\":\"evt\"," HEAD ",\"seq\":0,\"name\":\"x\"}\n{}", ERR_INVALID, "from 1"},
        {"{\"t\":\"evt\"," HEAD ",\"seq\":1}\n{}", ERR_TOO_LARGE, "body"},
        {"{\"t\":\"ack\"," HEAD ",\"seq\":-1}\n", ERR_INVALID, "not valid"},
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof *WRONG; i++)
        expect(WRONG[i].text, strlen(WRONG[i].text), WRONG[i].want, WRONG[i].complaint);
}

static void what_is_too_large_is_refused_before_it_is_built(void **) {
    char *frame = malloc(CARRIER_FRAME_MAX + 1);
    memset(frame, ' ', CARRIER_FRAME_MAX + 1);
    expect(frame, CARRIER_FRAME_MAX + 1, ERR_TOO_LARGE, "bytes");
    /* a header that is one byte too long, and one that is not */
    int n = snprintf(frame, 200, "{\"t\":\"cancel\"," HEAD "}");
    memset(frame + n, ' ', FRAME_HEADER_MAX);
    frame[FRAME_HEADER_MAX + 1] = '\n';
    expect(frame, FRAME_HEADER_MAX + 2, ERR_MALFORMED, "newline");
    frame[FRAME_HEADER_MAX] = '\n';
    expect(frame, FRAME_HEADER_MAX + 1, ERR_OK, nullptr);
    /* depth */
    memset(frame, '[', FRAME_HEADER_MAX);
    expect(frame, FRAME_HEADER_MAX + 1, ERR_MALFORMED, "nested");
    /* the body of a request */
    n = snprintf(frame, 400, REQ "}\n");
    memset(frame + n, '\n', LINKS_BODY_MAX + 1);
    expect(frame, (size_t)n + LINKS_BODY_MAX, ERR_OK, nullptr);
    expect(frame, (size_t)n + LINKS_BODY_MAX + 1, ERR_TOO_LARGE, "body");
    free(frame);
}

static void a_request_comes_back_as_it_was(void **) {
    const struct frame frame = {
        .type = FRAME_REQ,
        .from = UINT64_MAX,
        .to = 1,
        .version = 3,
        .id = FRAME_ID_MAX,
        .low = 1,
        .request = {.method = "PATCH",
                    .path = "/peers/ab12cd-ef34gh-ij56kl",
                    .query = "a=%20",
                    .content_type = "application/merge-patch+json",
                    .if_match = "\"3\"",
                    .if_none_match = "*",
                    .idempotency_key = "k",
                    .last_event_id = "e-1",
                    .grant = "{\"stream\":\"x\",\"generation\":1}",
                    .user = "unix:1000",
                    .role = ROSTER_ADMIN,
                    .deadline_ns = 1'234'000'000},
        .body = "{\"name\":\"\\n\"}\n",
        .body_len = 14,
    };
    struct buf bytes = {};
    struct frame back;
    assert_int_equal(frame_encode(&frame, &bytes, nullptr), ERR_OK);
    assert_int_equal(frame_decode(bytes.data, bytes.len, &back, nullptr), ERR_OK);
    assert_true(back.from == UINT64_MAX && back.to == 1 && back.version == 3 && back.id == FRAME_ID_MAX &&
                back.low == 1);
    assert_string_equal(back.request.method, "PATCH");
    assert_string_equal(back.request.path, frame.request.path);
    assert_string_equal(back.request.query, "a=%20");
    assert_string_equal(back.request.content_type, frame.request.content_type);
    assert_string_equal(back.request.if_match, "\"3\"");
    assert_string_equal(back.request.if_none_match, "*");
    assert_string_equal(back.request.idempotency_key, "k");
    assert_string_equal(back.request.last_event_id, "e-1");
    assert_string_equal(back.request.grant, frame.request.grant);
    assert_string_equal(back.request.user, "unix:1000");
    assert_int_equal(back.request.role, ROSTER_ADMIN);
    assert_int_equal(back.request.deadline_ns, 1'234'000'000);
    assert_int_equal(back.body_len, 14);
    assert_memory_equal(back.body, frame.body, 14);
    frame_finish(&back);
    buf_finish(&bytes);
}

static void a_reply_comes_back_part_by_part(void **) {
    size_t size = FRAME_PART_MAX + 3;
    char *body = malloc(size);
    memset(body, 'x', size);
    for (int64_t part = 0; part < frame_parts((int64_t)size); part++) {
        const struct frame frame = {
            .type = FRAME_RES,
            .from = 1,
            .to = 2,
            .version = 1,
            .id = 3,
            .status = 200,
            .content_type = "application/json",
            .headers = {{"ETag", "\"1\""}, {"Location", "/x"}},
            .n_headers = 2,
            .part = part,
            .size = (int64_t)size,
            .body = body,
            .body_len = part ? 3 : FRAME_PART_MAX,
        };
        struct buf bytes = {};
        struct frame back;
        assert_int_equal(frame_encode(&frame, &bytes, nullptr), ERR_OK);
        assert_int_equal(frame_decode(bytes.data, bytes.len, &back, nullptr), ERR_OK);
        assert_int_equal(back.part, part);
        assert_int_equal(back.n_headers, 2);
        assert_string_equal(back.headers[1].name, "Location");
        frame_finish(&back);
        buf_finish(&bytes);
    }
    free(body);
}

static void what_would_be_refused_is_not_written(void **) {
    char long_path[600];
    memset(long_path, '/', sizeof long_path);
    long_path[sizeof long_path - 1] = 0;
    const struct frame right = {
        .type = FRAME_REQ,
        .from = 1,
        .to = 2,
        .version = 1,
        .id = 1,
        .low = 1,
        .request = {.method = "GET", .path = "/", .role = ROSTER_VIEWER, .deadline_ns = 1'000'000},
    };
    struct frame wrong[7];
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        wrong[i] = right;
    wrong[0].request.path = long_path;
    wrong[1].request.path = nullptr;
    wrong[2].request.role = ROSTER_NOBODY;
    wrong[3].request.user = "a\nb";
    wrong[4].request.grant = "{";
    wrong[5].to = 0;
    wrong[6].request.user = "\xff";
    struct buf bytes = {};
    assert_int_equal(frame_encode(&right, &bytes, nullptr), ERR_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(frame_encode(&wrong[i], &bytes, nullptr), ERR_INVALID);
    buf_finish(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_right_is_taken),
        cmocka_unit_test(the_documented_examples_are_taken),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(what_is_too_large_is_refused_before_it_is_built),
        cmocka_unit_test(a_request_comes_back_as_it_was),
        cmocka_unit_test(a_reply_comes_back_part_by_part),
        cmocka_unit_test(what_would_be_refused_is_not_written),
    };
    return cmocka_run_group_tests_name("frame", tests, nullptr, nullptr);
}
