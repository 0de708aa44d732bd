/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "model/stream_check.h"
#include "model/uri.h"

/* ---- URIs ---- */

static void test_roc_uris(void **) {
    static const struct {
        const char *text;
        enum uri_role role;
        bool local;
        const char *complaint; /* nullptr: right */
    } CASES[] = {
        {"rtp://192.0.2.1:10001", URI_MEDIA, false, nullptr},
        {"rtp+rs8m://192.0.2.1:1", URI_MEDIA, false, nullptr},
        {"rtp+ldpc://[::1]:65535", URI_MEDIA, false, nullptr},
        {"rs8m://[2001:db8::1]:10002", URI_REPAIR, false, nullptr},
        {"ldpc://a-b.example.:5", URI_REPAIR, false, nullptr},
        {"rtcp://localhost:10003", URI_CONTROL, false, nullptr},
        {"rtp://0.0.0.0:0", URI_MEDIA, true, nullptr},
        {"rtp://0.0.0.0:0", URI_MEDIA, false, "port 0"},
        {"rtp://192.0.2.1", URI_MEDIA, false, "port is missing"},
        {"rtp://192.0.2.1:", URI_MEDIA, false, "port is missing"},
        {"rtp://192.0.2.1:65536", URI_MEDIA, false, "65535"},
        {"rtp://192.0.2.1:99999999999999999999", URI_MEDIA, false, "65535"},
        {"rtp://192.0.2.1:0123", URI_MEDIA, false, "leading zeros"},
        {"rtp://192.0.2.1:+5", URI_MEDIA, false, "port is missing"},
        {"rtp://192.0.2.1:5x", URI_MEDIA, false, "not a number"},
        {"rtp://192.0.2.1:5/", URI_MEDIA, false, "follow the port"},
        {"rtp://192.0.2.1:5?x=1", URI_MEDIA, false, "follow the port"},
        {"rtp://192.0.2.1/a:5", URI_MEDIA, false, "port is missing"},
        {"rtp://me@192.0.2.1:5", URI_MEDIA, false, "no user"},
        {"rtp://:5", URI_MEDIA, false, "host is missing"},
        {"rtp://:::5", URI_MEDIA, false, "host is missing"},
        {"rtp://::1:5", URI_MEDIA, false, "host is missing"},
        {"rtp://2001:db8::1:5", URI_MEDIA, false, "brackets"},
        {"rtp://[::1:5", URI_MEDIA, false, "not closed"},
        {"rtp://[::1]", URI_MEDIA, false, "port is missing"},
        {"rtp://[127.0.0.1]:5", URI_MEDIA, false, "no IPv6"},
        {"rtp://[fe80::1%eth0]:5", URI_MEDIA, false, "no IPv6"},
        {"rtp://1.2.3:5", URI_MEDIA, false, "neither"},
        {"rtp://256.2.3.4:5", URI_MEDIA, false, "neither"},
        {"rtp://a_b:5", URI_MEDIA, false, "neither"},
        {"rtp://-a:5", URI_MEDIA, false, "neither"},
        {"rtp://a..b:5", URI_MEDIA, false, "neither"},
        {"rtp://a b:5", URI_MEDIA, false, "neither"},
        {"RTP://192.0.2.1:5", URI_MEDIA, false, "cannot stand here"},
        {"rtsp://192.0.2.1:5", URI_MEDIA, false, "cannot stand here"},
        {"rs8m://192.0.2.1:5", URI_MEDIA, false, "cannot stand here"},
        {"rtp://192.0.2.1:5", URI_CONTROL, false, "want rtcp"},
        {"rtp:192.0.2.1:5", URI_MEDIA, false, "no Roc URI"},
        {"", URI_MEDIA, false, "no Roc URI"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct uri_roc uri = {};
        struct err_info info = {};
        enum err err = uri_parse_roc(CASES[i].text, CASES[i].role, CASES[i].local, &uri, &info);
        if (CASES[i].complaint ? err != ERR_INVALID || !strstr(info.message, CASES[i].complaint) : err != ERR_OK)
            fail_msg("%s: %s", CASES[i].text, info.message);
        if (!err) {
            char text[URI_SIZE];
            uri_format_roc(text, &uri);
            assert_string_equal(text, CASES[i].text);
        }
    }
}

static struct uri_roc roc(const char *text) {
    struct uri_roc uri;
    assert_int_equal(uri_parse_roc(text, URI_MEDIA, true, &uri, nullptr), ERR_OK);
    return uri;
}

static void test_clash(void **) {
    struct uri_roc a = roc("rtp://127.0.0.1:5"), any = roc("rtp://0.0.0.0:5"), any6 = roc("rtp://[::]:5"),
                   long6 = roc("rtp://[0:0:0:0:0:0:0:1]:5"), six = roc("rtp://[::1]:5"),
                   other = roc("rtp://127.0.0.2:5"), zero = roc("rtp://0.0.0.0:0"), port = roc("rtp://127.0.0.1:6");
    assert_true(uri_roc_clash(&a, &a));
    assert_true(uri_roc_clash(&a, &any));
    assert_true(uri_roc_clash(&any6, &a));
    assert_true(uri_roc_clash(&six, &long6));
    assert_false(uri_roc_clash(&a, &other));
    assert_false(uri_roc_clash(&a, &six));
    assert_false(uri_roc_clash(&a, &port));
    assert_false(uri_roc_clash(&zero, &zero));
}

static void test_endpoint_uris(void **) {
    struct uri_endpoint uri;
    assert_int_equal(uri_parse_endpoint("/peers/self/endpoints/a0f2c1-77h3kz-pq8w2d", &uri, nullptr), ERR_OK);
    assert_true(uri.is_self);
    assert_string_equal(uri.endpoint_uid, "a0f2c1-77h3kz-pq8w2d");
    assert_int_equal(uri_parse_endpoint("/peers/6uibwb-h3z9nn-1nwaw6/endpoints/a0f2c1-77h3kz-pq8w2d", &uri, nullptr),
                     ERR_OK);
    assert_false(uri.is_self);
    assert_string_equal(uri.peer_uid, "6uibwb-h3z9nn-1nwaw6");
    static const char *const BAD[] = {"",
                                      "/peers/self",
                                      "peers/self/endpoints/a0f2c1-77h3kz-pq8w2d",
                                      "/peers/me/endpoints/a0f2c1-77h3kz-pq8w2d",
                                      "/peers/self/endpoints/a0f2c1-77h3kz-pq8w2",
                                      "/peers/self/endpoints/a0f2c1-77h3kz-pq8w2d/",
                                      "/peers/self/streams/a0f2c1-77h3kz-pq8w2d",
                                      "/peers/6uibwb-h3z9nn-1nwaw6a/endpoints/a0f2c1-77h3kz-pq8w2d",
                                      "/peers/self/endpoints/A0f2c1-77h3kz-pq8w2d"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++)
        assert_int_equal(uri_parse_endpoint(BAD[i], &uri, nullptr), ERR_INVALID);
}

/* ---- streams ---- */

static const char A[] = "/peers/self/endpoints/aaaaaa-aaaaaa-aaaaaa",
                  B[] = "/peers/self/endpoints/bbbbbb-bbbbbb-bbbbbb";

static void endpoint(struct connection *ret, const char *uri) {
    *ret = (struct connection){.connection_type = CONNECTION_TYPE_ENDPOINT};
    snprintf(ret->endpoint.endpoint_uri, sizeof ret->endpoint.endpoint_uri, "%s", uri);
}

static void external(struct connection *ret, const char *media, const char *repair, const char *control) {
    *ret = (struct connection){.connection_type = CONNECTION_TYPE_EXTERNAL};
    struct external_connection *e = &ret->external;
    snprintf(e->media_uri, sizeof e->media_uri, "%s", media);
    snprintf(e->repair_uri, sizeof e->repair_uri, "%s", repair ? repair : "");
    snprintf(e->control_uri, sizeof e->control_uri, "%s", control ? control : "");
    e->has_repair_uri = repair ? PRESENCE_VALUE : PRESENCE_ABSENT;
    e->has_control_uri = control ? PRESENCE_VALUE : PRESENCE_ABSENT;
}

static void expect(const struct stream_spec *spec, enum err wanted, const char *pointer) {
    struct stream_sides sides;
    struct err_info info = {};
    enum err err = stream_check(spec, &sides, &info);
    if (err != wanted || (wanted && strcmp(info.pointer, pointer) != 0))
        fail_msg("want %s at %s, have %s at %s: %s", err_name(wanted), pointer, err_name(err), info.pointer,
                 info.message);
}

static void test_streams(void **) {
    struct stream_spec spec;
    stream_spec_defaults(&spec);
    endpoint(&spec.source, A);
    endpoint(&spec.destination, B);
    expect(&spec, ERR_OK, "");
    endpoint(&spec.destination, A);
    expect(&spec, ERR_INVALID, "/destination/endpoint_uri");
    external(&spec.destination, "rtp+rs8m://h:1", "rs8m://h:2", "rtcp://h:3");
    expect(&spec, ERR_OK, "");
    external(&spec.destination, "rtp+rs8m://h:1", nullptr, nullptr);
    expect(&spec, ERR_INVALID, "/destination/repair_uri");
    external(&spec.destination, "rtp+rs8m://h:1", "ldpc://h:2", nullptr);
    expect(&spec, ERR_INVALID, "/destination/repair_uri");
    external(&spec.destination, "rtp+rs8m://h:1", "rs8m://h:1", nullptr);
    expect(&spec, ERR_INVALID, "/destination/repair_uri");
    external(&spec.destination, "rtp+rs8m://h:0", "rs8m://h:2", nullptr);
    expect(&spec, ERR_INVALID, "/destination/media_uri");
    external(&spec.destination, "rtp+ldpc://h:1", "ldpc://h:2", nullptr);
    expect(&spec, ERR_INVALID, "/settings/fec");
    external(&spec.destination, "rtp://h:1", nullptr, nullptr);
    expect(&spec, ERR_INVALID, "/settings/fec");
    spec.settings.fec = FEC_CODE_NONE;
    expect(&spec, ERR_OK, "");
    external(&spec.destination, "rtp://h:1", "rs8m://h:2", nullptr);
    expect(&spec, ERR_INVALID, "/destination/repair_uri");
    external(&spec.destination, "rtp://h:1", nullptr, nullptr);
    spec.destination.external.n_allowed_sources = 1;
    expect(&spec, ERR_INVALID, "/destination/allowed_sources");

    external(&spec.source, "rtp://0.0.0.0:0", nullptr, "rtcp://0.0.0.0:0");
    expect(&spec, ERR_INVALID, "/destination/allowed_sources");
    external(&spec.destination, "rtp://h:1", nullptr, nullptr);
    expect(&spec, ERR_INVALID, "/destination");
    endpoint(&spec.destination, B);
    expect(&spec, ERR_OK, "");
    spec.source.external.n_allowed_sources = 2;
    snprintf(spec.source.external.allowed_sources[0], 46, "192.0.2.1");
    snprintf(spec.source.external.allowed_sources[1], 46, "example.org");
    expect(&spec, ERR_INVALID, "/source/allowed_sources/1");
    snprintf(spec.source.external.allowed_sources[1], 46, "2001:db8::1");
    expect(&spec, ERR_OK, "");

    spec.settings.encryption = ENCRYPTION_MODE_REQUIRED;
    expect(&spec, ERR_UNSUPPORTED, "/settings/encryption");
    spec.settings.encryption = ENCRYPTION_MODE_OFF;
    spec.settings.transport = TRANSPORT_MODE_RELAY;
    expect(&spec, ERR_UNSUPPORTED, "/settings/transport");
    spec.settings.transport = TRANSPORT_MODE_DIRECT;
    snprintf(spec.settings.encoding, sizeof spec.settings.encoding, "opus/48000/2");
    expect(&spec, ERR_UNSUPPORTED, "/settings/encoding");
}

static void test_ports_of_two_streams(void **) {
    struct stream_spec spec;
    stream_spec_defaults(&spec);
    endpoint(&spec.destination, A);
    external(&spec.source, "rtp+rs8m://0.0.0.0:1", "rs8m://0.0.0.0:2", "rtcp://0.0.0.0:3");
    struct stream_sides first, second;
    assert_int_equal(stream_check(&spec, &first, nullptr), ERR_OK);
    external(&spec.source, "rtp+rs8m://127.0.0.1:4", "rs8m://127.0.0.1:1", nullptr);
    assert_int_equal(stream_check(&spec, &second, nullptr), ERR_OK);
    struct err_info info = {};
    assert_int_equal(stream_check_ports(&second, "cccccc-cccccc-cccccc", "Radio", &first, &info), ERR_CONFLICT);
    assert_string_equal(info.pointer, "/source/repair_uri");
    assert_non_null(strstr(info.message, "cccccc-cccccc-cccccc (Radio)"));
    external(&spec.source, "rtp+rs8m://127.0.0.1:4", "rs8m://127.0.0.1:0", nullptr);
    assert_int_equal(stream_check(&spec, &second, nullptr), ERR_OK);
    assert_int_equal(stream_check_ports(&second, "x", "", &first, &info), ERR_OK);

    assert_int_equal(stream_check_direction(true, "x", STREAM_DIRECTION_OUTPUT, &info), ERR_INVALID);
    assert_int_equal(stream_check_direction(true, "x", STREAM_DIRECTION_INPUT, &info), ERR_OK);
    assert_int_equal(stream_check_direction(false, "x", STREAM_DIRECTION_DUPLEX, &info), ERR_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roc_uris),
        cmocka_unit_test(test_clash),
        cmocka_unit_test(test_endpoint_uris),
        cmocka_unit_test(test_streams),
        cmocka_unit_test(test_ports_of_two_streams),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
