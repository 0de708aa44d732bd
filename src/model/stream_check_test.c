/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "model/stream_check.h"

#define UID_A    "aaaaaa-aaaaaa-aaaaaa"
#define UID_B    "bbbbbb-bbbbbb-bbbbbb"
#define SIDE_A   "{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/" UID_A "\"}"
#define SIDE_B   "{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/" UID_B "\"}"
#define EXT(...) "{\"connection_type\":\"external\"," __VA_ARGS__ "}"
#define PLAIN    EXT("\"media_uri\":\"rtp://192.0.2.1:10001\"")
#define RS8M     EXT("\"media_uri\":\"rtp+rs8m://192.0.2.1:10001\",\"repair_uri\":\"rs8m://192.0.2.1:10002\"")

static struct stream_spec spec(const char *source, const char *destination, const char *settings) {
    char text[2048];
    int n = snprintf(text, sizeof text, "{\"source\":%s,\"destination\":%s,\"settings\":{%s}}", source, destination,
                     settings);
    assert_in_range(n, 1, sizeof text - 1);
    struct stream_spec made;
    struct err_info info = {};
    if (schema_decode_text(&stream_spec_schema, text, (size_t)n, 0, &made, nullptr, &info) != ERR_OK)
        fail_msg("%s: %s", text, info.message);
    return made;
}

static struct stream_sides check(const char *source, const char *destination, const char *settings) {
    struct stream_spec s = spec(source, destination, settings);
    struct stream_sides sides;
    struct err_info info = {};
    if (stream_check(&s, &sides, &info) != ERR_OK)
        fail_msg("%s → %s: %s: %s", source, destination, info.pointer, info.message);
    return sides;
}

static void good_streams_are_taken_apart(void **) {
    struct stream_sides sides = check(SIDE_A, RS8M, "");
    assert_true(sides.source.is_endpoint);
    assert_true(sides.source.endpoint.is_self);
    assert_string_equal(sides.source.endpoint.endpoint_uid, UID_A);
    assert_false(sides.destination.is_endpoint);
    assert_true(sides.destination.has_uri[URI_MEDIA]);
    assert_true(sides.destination.has_uri[URI_REPAIR]);
    assert_false(sides.destination.has_uri[URI_CONTROL]);
    assert_int_equal(sides.destination.uri[URI_REPAIR].port, 10002);
    check(SIDE_A, SIDE_B, "");
    check(SIDE_A, SIDE_B, "\"fec\":\"none\",\"encryption\":\"required\""); /* within rocd any code will do */
    check(SIDE_A, PLAIN, "\"fec\":\"none\"");
    check(PLAIN, SIDE_A, "\"fec\":\"none\",\"transport\":\"direct\",\"encryption\":\"off\"");
    /* ports that rocd chooses never clash */
    check(EXT("\"media_uri\":\"rtp+ldpc://[::]:0\",\"repair_uri\":\"ldpc://[::]:0\",\"control_uri\":\"rtcp://[::]:0\","
              "\"allowed_sources\":[\"192.0.2.9\",\"2001:db8::9\"]"),
          SIDE_A, "\"fec\":\"ldpc\"");
}

static void what_does_not_fit_is_refused(void **) {
    static const struct {
        const char *source, *destination, *settings;
        enum err err;
        const char *pointer, *part;
    } CASES[] = {
        {"{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/endpoints/x\"}", SIDE_B, "", ERR_INVALID,
         "/source/endpoint_uri", "/peers/self/endpoints/"},
        {SIDE_A, "{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"x\"}", "", ERR_INVALID,
         "/destination/endpoint_uri", "no path of an endpoint"},
        {SIDE_A, SIDE_A, "", ERR_INVALID, "/destination/endpoint_uri", "are the same endpoint"},
        {RS8M, RS8M, "", ERR_INVALID, "/destination", "both sides are external"},
        {SIDE_A, EXT("\"media_uri\":\"udp://192.0.2.1:1\""), "", ERR_INVALID, "/destination/media_uri",
         "the scheme 'udp' cannot stand here"},
        {SIDE_A, EXT("\"media_uri\":\"rtp://192.0.2.1:0\""), "\"fec\":\"none\"", ERR_INVALID, "/destination/media_uri",
         "port 0"},
        {SIDE_A, EXT("\"media_uri\":\"rtp://192.0.2.1:1\",\"control_uri\":\"rtp://192.0.2.1:2\""), "", ERR_INVALID,
         "/destination/control_uri", "want rtcp"},
        /* media and repair */
        {SIDE_A, EXT("\"media_uri\":\"rtp+rs8m://192.0.2.1:1\""), "", ERR_INVALID, "/destination/repair_uri",
         "rtp+rs8m:// needs a repair_uri, as in rs8m://"},
        {SIDE_A, EXT("\"media_uri\":\"rtp://192.0.2.1:1\",\"repair_uri\":\"rs8m://192.0.2.1:2\""), "\"fec\":\"none\"",
         ERR_INVALID, "/destination/repair_uri", "rtp:// has no repair packets"},
        {EXT("\"media_uri\":\"rtp+ldpc://0.0.0.0:1\",\"repair_uri\":\"rs8m://0.0.0.0:2\""), SIDE_A, "\"fec\":\"ldpc\"",
         ERR_INVALID, "/source/repair_uri", "media_uri is rtp+ldpc:// and repair_uri is rs8m://"},
        /* ports of its own */
        {SIDE_A, EXT("\"media_uri\":\"rtp+rs8m://192.0.2.1:1\",\"repair_uri\":\"rs8m://192.0.2.1:1\""), "", ERR_INVALID,
         "/destination/repair_uri", "media_uri and repair_uri name the same port 1"},
        {EXT("\"media_uri\":\"rtp://127.0.0.1:5\",\"control_uri\":\"rtcp://0.0.0.0:5\""), SIDE_A, "\"fec\":\"none\"",
         ERR_INVALID, "/source/control_uri", "media_uri and control_uri name the same port 5"},
        {SIDE_A, EXT("\"media_uri\":\"rtp://192.0.2.1:1\",\"allowed_sources\":[\"192.0.2.1\"]"), "\"fec\":\"none\"",
         ERR_INVALID, "/destination/allowed_sources", "external sources only"},
        /* settings */
        {SIDE_A, PLAIN, "", ERR_INVALID, "/settings/fec",
         "settings.fec is rs8m and destination.media_uri is rtp://: set fec to none, or media_uri to rtp+rs8m://"},
        {RS8M, SIDE_A, "\"fec\":\"none\"", ERR_INVALID, "/settings/fec",
         "settings.fec is none and source.media_uri is rtp+rs8m://: set fec to rs8m, or media_uri to rtp://"},
        {RS8M, SIDE_A, "\"fec\":\"ldpc\"", ERR_INVALID, "/settings/fec", "or media_uri to rtp+ldpc://"},
        {SIDE_A, SIDE_B, "\"transport\":\"p2p\"", ERR_UNSUPPORTED, "/settings/transport",
         "transport 'p2p' is not built yet"},
        {SIDE_A, RS8M, "\"transport\":\"relay\"", ERR_UNSUPPORTED, "/settings/transport", "'relay' is not built"},
        {SIDE_A, RS8M, "\"encryption\":\"required\"", ERR_UNSUPPORTED, "/settings/encryption", "use auto or off"},
        {SIDE_A, SIDE_B, "\"encoding\":\"opus/48000/2\"", ERR_UNSUPPORTED, "/settings/encoding",
         "the encoding 'opus/48000/2' is not built yet"},
        {SIDE_A, SIDE_B, "\"encoding\":\"l16\"", ERR_UNSUPPORTED, "/settings/encoding", "as in l16/48000/2"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct stream_spec s = spec(CASES[i].source, CASES[i].destination, CASES[i].settings);
        struct stream_sides sides, before;
        memset(&sides, 0x5A, sizeof sides);
        memset(&before, 0x5A, sizeof before);
        struct err_info info = {};
        enum err err = stream_check(&s, &sides, &info);
        if (err != CASES[i].err || strcmp(info.pointer, CASES[i].pointer) != 0 || !strstr(info.message, CASES[i].part))
            fail_msg("%zu: want %s at '%s': '%s', got %s at '%s': '%s'", i, err_name(CASES[i].err), CASES[i].pointer,
                     CASES[i].part, err_name(err), info.pointer, info.message);
        assert_int_equal(info.code, err);
        assert_memory_equal(&sides, &before, sizeof sides);
        assert_int_equal(stream_check(&s, &sides, nullptr), err);
    }
}

/* A spec made by code, not by the decoder, may hold what the format would have refused. */
static void addresses_are_checked_here_as_well(void **) {
    struct stream_spec s = spec(EXT("\"media_uri\":\"rtp://0.0.0.0:0\",\"allowed_sources\":[\"::1\",\"::2\"]"), SIDE_A,
                                "\"fec\":\"none\"");
    memcpy(s.source.external.allowed_sources[1], "host", 5);
    struct stream_sides sides;
    struct err_info info;
    assert_int_equal(stream_check(&s, &sides, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/source/allowed_sources/1");
}

static void sound_goes_one_way(void **) {
    static const struct {
        bool as_source;
        enum stream_direction direction;
        enum err err;
    } CASES[] = {
        {true, STREAM_DIRECTION_INPUT, ERR_OK},   {true, STREAM_DIRECTION_OUTPUT, ERR_INVALID},
        {true, STREAM_DIRECTION_DUPLEX, ERR_OK},  {false, STREAM_DIRECTION_INPUT, ERR_INVALID},
        {false, STREAM_DIRECTION_OUTPUT, ERR_OK}, {false, STREAM_DIRECTION_DUPLEX, ERR_OK},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct err_info info = {};
        assert_int_equal(stream_check_direction(CASES[i].as_source, UID_A, CASES[i].direction, &info), CASES[i].err);
        if (CASES[i].err == ERR_OK)
            continue;
        assert_non_null(strstr(info.message, UID_A));
        assert_string_equal(info.pointer, CASES[i].as_source ? "/source/endpoint_uri" : "/destination/endpoint_uri");
    }
}

static void two_streams_do_not_listen_at_one_port(void **) {
    static const char NONE[] = "\"fec\":\"none\"";
    struct stream_sides mine =
        check(EXT("\"media_uri\":\"rtp://127.0.0.1:7\",\"control_uri\":\"rtcp://127.0.0.1:8\""), SIDE_A, NONE);
    struct err_info info = {};
    static const struct {
        const char *other, *pointer;
    } CASES[] = {
        {EXT("\"media_uri\":\"rtp://127.0.0.1:7\""), "/source/media_uri"},
        {EXT("\"media_uri\":\"rtp://0.0.0.0:8\""), "/source/control_uri"},
        {EXT("\"media_uri\":\"rtp://[::]:9\",\"control_uri\":\"rtcp://[::]:7\""), "/source/media_uri"},
        {EXT("\"media_uri\":\"rtp://127.0.0.2:7\""), nullptr},
        {EXT("\"media_uri\":\"rtp://127.0.0.1:0\""), nullptr},
        {EXT("\"media_uri\":\"rtp://127.0.0.1:9\""), nullptr},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct stream_sides theirs = check(CASES[i].other, SIDE_B, NONE);
        enum err err = stream_check_ports(&mine, UID_B, "Radio", &theirs, &info);
        assert_int_equal(err, CASES[i].pointer ? ERR_CONFLICT : ERR_OK);
        if (!CASES[i].pointer)
            continue;
        assert_string_equal(info.pointer, CASES[i].pointer);
        assert_non_null(strstr(info.message, "stream " UID_B " (Radio) listens at port "));
        assert_int_equal(stream_check_ports(&theirs, UID_B, "", &mine, &info), ERR_CONFLICT); /* either way round */
        assert_non_null(strstr(info.message, "stream " UID_B " listens"));
    }
    /* where somebody else listens there is nothing to clash with */
    struct stream_sides sends = check(SIDE_B, EXT("\"media_uri\":\"rtp://127.0.0.1:7\""), NONE);
    assert_int_equal(stream_check_ports(&mine, UID_B, "", &sends, &info), ERR_OK);
    assert_int_equal(stream_check_ports(&sends, UID_B, "", &mine, &info), ERR_OK);
}

#define OWN           "peer00-peer00-peer00"
#define AT(peer, uid) "{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/" peer "/endpoints/" uid "\"}"

static void self_becomes_a_real_uid(void **) {
    struct stream_spec s = spec(SIDE_A, AT(UID_B, UID_B), "");
    stream_resolve_self(&s, OWN);
    assert_string_equal(s.source.endpoint.endpoint_uri, "/peers/" OWN "/endpoints/" UID_A);
    assert_string_equal(s.destination.endpoint.endpoint_uri, "/peers/" UID_B "/endpoints/" UID_B);
    s = spec(PLAIN, SIDE_B, "");
    struct connection before = s.source;
    stream_resolve_self(&s, OWN);
    assert_memory_equal(&s.source, &before, sizeof before);
    s = spec(AT("nobody", UID_A), SIDE_B, "");
    stream_resolve_self(&s, OWN);
    assert_string_equal(s.source.endpoint.endpoint_uri, "/peers/nobody/endpoints/" UID_A);
}

static void the_owner_is_the_peer_of_the_destination(void **) {
    static const struct {
        const char *source, *destination, *owner;
    } CASES[] = {
        {SIDE_A, SIDE_B, OWN},
        {AT(UID_A, UID_A), SIDE_B, OWN},
        {SIDE_A, AT(UID_B, UID_B), UID_B},
        {AT(UID_A, UID_A), AT(UID_B, UID_B), UID_B},
        {AT(UID_A, UID_A), PLAIN, UID_A},
        {SIDE_A, PLAIN, OWN},
        {PLAIN, AT(UID_B, UID_B), UID_B},
        {PLAIN, PLAIN, OWN}, /* to be refused there */
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct stream_spec s = spec(CASES[i].source, CASES[i].destination, "");
        char owner[UID_SIZE];
        assert_int_equal(stream_owner(&s, OWN, owner, nullptr), ERR_OK);
        assert_string_equal(owner, CASES[i].owner);
    }
    struct stream_spec s = spec(SIDE_A, AT("nobody", UID_B), "");
    char owner[UID_SIZE];
    struct err_info info = {};
    assert_int_equal(stream_owner(&s, OWN, owner, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/destination/endpoint_uri");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(self_becomes_a_real_uid),
        cmocka_unit_test(the_owner_is_the_peer_of_the_destination),
        cmocka_unit_test(good_streams_are_taken_apart),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(addresses_are_checked_here_as_well),
        cmocka_unit_test(sound_goes_one_way),
        cmocka_unit_test(two_streams_do_not_listen_at_one_port),
    };
    return cmocka_run_group_tests_name("stream-check", tests, nullptr, nullptr);
}
