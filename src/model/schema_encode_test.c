/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/schema_priv.h"
#include "model_gen.h"

/* Writing, defaults, comparison and formats. */

static void assert_encodes(const struct schema *schema, const void *object, const char *want) {
    char *text = nullptr;
    size_t length = 0;
    assert_int_equal(schema_encode_text(schema, object, &text, &length, nullptr), ERR_OK);
    assert_int_equal(strlen(text), length);
    assert_string_equal(text, want);
    free(text);
}

static void members_are_written_in_the_order_of_the_contract(void **) {
    struct endpoint_spec endpoint;
    endpoint_spec_defaults(&endpoint);
    endpoint.kind = ENDPOINT_KIND_NULL;
    memcpy(endpoint.display_name, "a\"b\\/ü", sizeof "a\"b\\/ü");
    assert_encodes(
        &endpoint_spec_schema, &endpoint,
        "{\"display_name\":\"a\\\"b\\\\/ü\",\"kind\":\"null\",\"enabled\":true,\"rate_hz\":48000,\"channels\":2,\"volume\":null,\"muted\":null,\"delay_ms\":0,\"period_ms\":null}");
    endpoint.has_null = PRESENCE_VALUE;
    endpoint.null.direction = NULL_DIRECTION_INPUT;
    assert_encodes(
        &endpoint_spec_schema, &endpoint,
        "{\"display_name\":\"a\\\"b\\\\/ü\",\"kind\":\"null\",\"enabled\":true,\"rate_hz\":48000,\"channels\":2,"
        "\"null\":{\"direction\":\"input\"},\"volume\":null,\"muted\":null,\"delay_ms\":0,\"period_ms\":null}");
    struct connection connection = {
        .connection_type = CONNECTION_TYPE_EXTERNAL,
        .external = {.media_uri = "rtp://a:1", .n_allowed_sources = 2, .allowed_sources = {"192.0.2.1", "::1"}}};
    assert_encodes(
        &connection_schema, &connection,
        "{\"connection_type\":\"external\",\"media_uri\":\"rtp://a:1\",\"allowed_sources\":[\"192.0.2.1\",\"::1\"]}");
}

static void settings_come_back_as_they_were(void **) {
    struct stream_settings settings, again;
    stream_settings_defaults(&settings);
    settings.has_packet_length_ms = PRESENCE_VALUE;
    for (int step = 0; step < 200; step++) {
        settings.gain_db = -60 + step * 0.1 * 3.6;
        settings.packet_length_ms = 0.5 + step / 3.0;
        settings.has_channel_map = step % 3 ? PRESENCE_VALUE : PRESENCE_NULL;
        settings.n_channel_map = settings.has_channel_map == PRESENCE_VALUE ? (uint32_t)step % 17 : 0;
        for (uint32_t i = 0; i < settings.n_channel_map; i++)
            settings.channel_map[i] = (int32_t)i - 1;
        settings.fec = (enum fec_code)(step % FEC_CODE_N);
        char *text;
        size_t length;
        assert_int_equal(schema_encode_text(&stream_settings_schema, &settings, &text, &length, nullptr), ERR_OK);
        assert_int_equal(schema_decode_text(&stream_settings_schema, text, length, 0, &again, nullptr, nullptr),
                         ERR_OK);
        free(text);
        assert_true(settings.gain_db == again.gain_db); /* to the last bit */
        assert_true(stream_settings_equal(&settings, &again));
    }
}

/* What a driver or a file system hands us must not spoil a whole list. */
static void bytes_that_are_no_text_are_replaced(void **) {
    static const struct {
        const char *bytes, *want;
    } CASES[] = {
        {"plain", "plain"},
        {"\xFF", "\uFFFD"},
        {"a\x80z", "a\uFFFDz"},
        {"\xC0\xAF", "\uFFFD\uFFFD"},                     /* overlong '/' */
        {"\xE0\x80\x80", "\uFFFD\uFFFD\uFFFD"},           /* overlong NUL */
        {"\xED\xA0\x80", "\uFFFD\uFFFD\uFFFD"},           /* a surrogate */
        {"\xF4\x90\x80\x80", "\uFFFD\uFFFD\uFFFD\uFFFD"}, /* above U+10FFFF */
        {"\xF5x", "\uFFFDx"},
        {"ab\xC3", "ab\uFFFD"}, /* cut at the end */
        {"\xE2\x82", "\uFFFD\uFFFD"},
        {"\xF0\x9F\x98z", "\uFFFD\uFFFD\uFFFDz"},
        {"\xC3\xA9\xFF€\U0001F600\uFFFF", "é\uFFFD€\U0001F600\uFFFF"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct peer_spec peer = {};
        memcpy(peer.name, CASES[i].bytes, strlen(CASES[i].bytes));
        char want[512];
        snprintf(want, sizeof want, "{\"name\":\"%s\"}", CASES[i].want);
        assert_encodes(&peer_spec_schema, &peer, want);
    }
    /* no NUL at the end, and all of it bad: three bytes for each */
    struct peer_spec peer;
    memset(&peer, 0xFF, sizeof peer);
    char *text;
    size_t length;
    assert_int_equal(schema_encode_text(&peer_spec_schema, &peer, &text, &length, nullptr), ERR_OK);
    assert_int_equal(length, strlen("{\"name\":\"\"}") + 3 * sizeof peer.name);
    free(text);
}

static void numbers_are_written_as_people_do(void **) {
    static const double EXACT = 9007199254740992.0;
    static const struct {
        double number;
        const char *want;
    } CASES[] = {
        {0, "0"},
        {-0.0, "0"},
        {-6, "-6"},
        {0.1, "0.1"},
        {-59.5, "-59.5"},
        {EXACT, "9007199254740992"},
        {1e300, "1e300"},
        {(double)NAN, "-60"},
        {(double)INFINITY, "12"},
        {-(double)INFINITY, "-60"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct stream_settings settings;
        stream_settings_defaults(&settings);
        settings.gain_db = CASES[i].number;
        char *text;
        char want[64];
        assert_int_equal(schema_encode_text(&stream_settings_schema, &settings, &text, nullptr, nullptr), ERR_OK);
        snprintf(want, sizeof want, "\"gain_db\":%s,", CASES[i].want);
        if (!strstr(text, want))
            fail_msg("%zu: no %s in %s", i, want, text);
        free(text);
    }
}

/* Code may miscount; the tables are never left. */
static void structs_that_lie_are_read_within_their_bounds(void **) {
    struct connection connection = {.connection_type = (enum connection_type)77, .endpoint = {.endpoint_uri = "/x"}};
    assert_encodes(&connection_schema, &connection, "{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/x\"}");
    struct endpoint_spec endpoint;
    endpoint_spec_defaults(&endpoint);
    endpoint.kind = (enum endpoint_kind) - 1;
    char *text;
    assert_int_equal(schema_encode_text(&endpoint_spec_schema, &endpoint, &text, nullptr, nullptr), ERR_OK);
    assert_non_null(strstr(text, "\"kind\":\"?\""));
    free(text);
    struct stream_settings settings;
    stream_settings_defaults(&settings);
    settings.has_channel_map = PRESENCE_VALUE;
    settings.n_channel_map = 4000;
    assert_int_equal(schema_encode_text(&stream_settings_schema, &settings, &text, nullptr, nullptr), ERR_OK);
    assert_non_null(strstr(text, "\"channel_map\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]"));
    free(text);
}

static void equal_is_what_looks_equal(void **) {
    struct stream_spec a, b;
    memset(&a, 0x11, sizeof a);
    memset(&b, 0xEE, sizeof b); /* what no member covers does not count */
    stream_spec_defaults(&a);
    stream_spec_defaults(&b);
    assert_true(stream_spec_equal(&a, &b));
    memcpy(a.display_name, "x\0y", 4); /* nor what stands behind the end */
    memcpy(b.display_name, "x\0z", 4);
    assert_true(stream_spec_equal(&a, &b));
    b.settings.target_latency_ms = 7; /* nor a value that is null or absent */
    b.settings.channel_map[0] = 3;
    assert_true(stream_spec_equal(&a, &b));
    b.settings.has_target_latency_ms = PRESENCE_VALUE;
    assert_false(stream_spec_equal(&a, &b));
    b = a;
    b.settings.gain_db = nextafter(0, 1);
    assert_false(stream_spec_equal(&a, &b));
    b = a;
    b.source.connection_type = CONNECTION_TYPE_EXTERNAL;
    assert_false(stream_spec_equal(&a, &b));
    b = a;
    a.settings.has_channel_map = b.settings.has_channel_map = PRESENCE_VALUE;
    a.settings.n_channel_map = 1;
    assert_false(stream_spec_equal(&a, &b));
    b.settings.n_channel_map = 1;
    assert_true(stream_spec_equal(&a, &b));
    b.settings.channel_map[0] = 9;
    assert_false(stream_spec_equal(&a, &b));
    struct connection one = {.connection_type = CONNECTION_TYPE_EXTERNAL, .external.media_uri = "a"}, two = one;
    assert_true(connection_equal(&one, &two));
    two.external.has_repair_uri = PRESENCE_VALUE;
    assert_false(connection_equal(&one, &two));
}

static void enums_have_names_and_values(void **) {
    enum fec_code fec;
    assert_true(fec_code_from_name("ldpc", &fec));
    assert_int_equal(fec, FEC_CODE_LDPC);
    assert_false(fec_code_from_name("LDPC", &fec));
    assert_false(fec_code_from_name("", &fec));
    assert_string_equal(fec_code_name(FEC_CODE_NONE), "none");
    assert_string_equal(fec_code_name((enum fec_code)FEC_CODE_N), "?");
    assert_string_equal(fec_code_name((enum fec_code) - 1), "?");
}

static void formats_say_what_they_want(void **) {
    static const struct {
        enum schema_format format;
        bool good;
        const char *text;
    } CASES[] = {
        {SCHEMA_FORMAT_NONE, true, "\n\x7F"},
        {SCHEMA_FORMAT_UID, true, "6uibwb-h3z9nn-1nwaw6"},
        {SCHEMA_FORMAT_UID, false, "6uibwb-h3z9nn-1nwaw"},
        {SCHEMA_FORMAT_UID, false, "6UIBWB-h3z9nn-1nwaw6"},
        {SCHEMA_FORMAT_UID, false, "self"},
        {SCHEMA_FORMAT_NAME, true, ""},
        {SCHEMA_FORMAT_NAME, true, "Küche, 1. Stock \U0001F600"},
        {SCHEMA_FORMAT_NAME, true, "\u00A0"}, /* the first behind C1 */
        {SCHEMA_FORMAT_NAME, false, "a\tb"},
        {SCHEMA_FORMAT_NAME, false, "\x1B[2J"},
        {SCHEMA_FORMAT_NAME, false, "\x7F"},
        {SCHEMA_FORMAT_NAME, false, "\xC2\x80"},
        {SCHEMA_FORMAT_NAME, false, "a\xC2\x9F"},
        {SCHEMA_FORMAT_FILE_NAME, true, "a.wav"},
        {SCHEMA_FORMAT_FILE_NAME, true, "a/b/.c/..d/e.. .wav"},
        {SCHEMA_FORMAT_FILE_NAME, false, ""},
        {SCHEMA_FORMAT_FILE_NAME, false, "/a"},
        {SCHEMA_FORMAT_FILE_NAME, false, "a/"},
        {SCHEMA_FORMAT_FILE_NAME, false, "a//b"},
        {SCHEMA_FORMAT_FILE_NAME, false, "."},
        {SCHEMA_FORMAT_FILE_NAME, false, "a/./b"},
        {SCHEMA_FORMAT_FILE_NAME, false, ".."},
        {SCHEMA_FORMAT_FILE_NAME, false, "../a"},
        {SCHEMA_FORMAT_FILE_NAME, false, "a/.."},
        {SCHEMA_FORMAT_FILE_NAME, false, "a\\b"},
        {SCHEMA_FORMAT_FILE_NAME, false, "a\nb"},
        {SCHEMA_FORMAT_IP, true, "192.0.2.1"},
        {SCHEMA_FORMAT_IP, true, "2001:db8::1"},
        {SCHEMA_FORMAT_IP, true, "::ffff:192.0.2.1"},
        {SCHEMA_FORMAT_IP, false, "192.0.2"},
        {SCHEMA_FORMAT_IP, false, "192.0.2.256"},
        {SCHEMA_FORMAT_IP, false, "192.0.2.1/24"},
        {SCHEMA_FORMAT_IP, false, "fe80::1%eth0"},
        {SCHEMA_FORMAT_IP, false, "[::1]"},
        {SCHEMA_FORMAT_IP, false, ""},
        {SCHEMA_FORMAT_DATE_TIME, true, "2026-11-25T06:00:00.000Z"},
        {SCHEMA_FORMAT_DATE_TIME, false, "2026-11-25T06:00:00Z"},
        {SCHEMA_FORMAT_DATE_TIME, false, "2026-11-25 06:00:00.000Z"},
        {SCHEMA_FORMAT_DATE_TIME, false, "2026-11-25T06:00:00.000+"},
        {SCHEMA_FORMAT_DATE_TIME, false, "2026-11-25T06:00:00.000Z "},
        {SCHEMA_FORMAT_DATE_TIME, false, "2026"},
        {SCHEMA_FORMAT_DATE_TIME, false, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        /* the text ends where its memory ends, for the sanitizer */
        char *text = strdup(CASES[i].text);
        const char *want = schema_format_check(CASES[i].format, text);
        free(text);
        if ((want == nullptr) != CASES[i].good)
            fail_msg("'%s' is %s", CASES[i].text, want ? want : "taken");
        if (want)
            assert_memory_equal(want, "want ", 5);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_written_in_the_order_of_the_contract),
        cmocka_unit_test(settings_come_back_as_they_were),
        cmocka_unit_test(bytes_that_are_no_text_are_replaced),
        cmocka_unit_test(numbers_are_written_as_people_do),
        cmocka_unit_test(structs_that_lie_are_read_within_their_bounds),
        cmocka_unit_test(equal_is_what_looks_equal),
        cmocka_unit_test(enums_have_names_and_values),
        cmocka_unit_test(formats_say_what_they_want),
    };
    return cmocka_run_group_tests_name("schema-encode", tests, nullptr, nullptr);
}
