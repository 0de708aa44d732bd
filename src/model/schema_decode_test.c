/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model_gen.h"

/* What came of one text. */
struct result {
    enum err err;
    struct err_info info;
    struct schema_errors errors;
    union {
        struct endpoint_spec endpoint;
        struct stream_spec stream;
        struct stream_settings settings;
        struct connection connection;
        struct meter meter;
    };
};

static struct result decode(const struct schema *schema, const char *text, size_t length, unsigned flags) {
    struct result r = {};
    assert_true(schema->size <= sizeof r - offsetof(struct result, endpoint));
    r.err = schema_decode_text(schema, text, length, flags, &r.endpoint, &r.errors, &r.info);
    return r;
}

#define DECODE(schema, text) decode(&(schema), (text), strlen(text), 0)

static void assert_good(const struct result *r, const char *text) {
    if (r->err != ERR_OK)
        fail_msg("%s: %s", text, r->info.message);
}

/* The only error, or the first. */
static void assert_bad(const struct result *r, const char *text, const char *pointer, const char *part) {
    if (r->err != ERR_INVALID)
        fail_msg("%s: want ERR_INVALID, got %s", text, err_name(r->err));
    assert_true(r->errors.n_errors >= 1);
    if (strcmp(r->errors.errors[0].pointer, pointer) != 0 || !strstr(r->errors.errors[0].detail, part))
        fail_msg("%s: want '%s' '%s', got '%s' '%s'", text, pointer, part, r->errors.errors[0].pointer,
                 r->errors.errors[0].detail);
    assert_int_equal(r->info.code, ERR_INVALID);
    assert_string_equal(r->info.pointer, pointer);
    assert_non_null(strstr(r->info.message, r->errors.errors[0].detail));
}

/* ---- what is right ---- */

static void what_is_left_out_has_its_default(void **) {
    struct result r = DECODE(endpoint_spec_schema, "{\"kind\":\"tone\"}");
    assert_good(&r, "tone");
    assert_int_equal(r.endpoint.kind, ENDPOINT_KIND_TONE);
    assert_string_equal(r.endpoint.display_name, "");
    assert_true(r.endpoint.enabled);
    assert_int_equal(r.endpoint.rate_hz, 48000);
    assert_int_equal(r.endpoint.channels, 2);
    assert_int_equal(r.endpoint.has_file, PRESENCE_ABSENT);
    assert_int_equal(r.endpoint.has_tone, PRESENCE_ABSENT);
    r = DECODE(stream_settings_schema, "{}");
    assert_good(&r, "settings");
    assert_int_equal(r.settings.has_target_latency_ms, PRESENCE_NULL);
    assert_int_equal(r.settings.has_channel_map, PRESENCE_NULL);
    assert_int_equal(r.settings.fec, FEC_CODE_RS8M);
    assert_string_equal(r.settings.encoding, "l16/48000/2");
    assert_true(r.settings.gain_db == 0);
}

static void every_kind_of_value_is_read(void **) {
    struct result r =
        DECODE(stream_spec_schema,
               "{\"display_name\":\"Küche \\u00e9\\ud83d\\ude00\",\"enabled\":false,"
               "\"source\":{\"endpoint_uri\":\"/peers/self/endpoints/x\",\"connection_type\":\"endpoint\"},"
               "\"destination\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://a:1\","
               "\"control_uri\":\"rtcp://a:3\",\"allowed_sources\":[\"192.0.2.1\",\"2001:db8::1\"]},"
               "\"settings\":{\"target_latency_ms\":200,\"packet_length_ms\":2.5,\"gain_db\":-6,"
               "\"channel_map\":[1,-1,0],\"muted\":true,\"fec\":\"ldpc\"}}");
    assert_good(&r, "all");
    assert_string_equal(r.stream.display_name, "Küche é\U0001F600");
    assert_false(r.stream.enabled);
    assert_int_equal(r.stream.source.connection_type, CONNECTION_TYPE_ENDPOINT);
    assert_string_equal(r.stream.source.endpoint.endpoint_uri, "/peers/self/endpoints/x");
    const struct external_connection *external = &r.stream.destination.external;
    assert_int_equal(r.stream.destination.connection_type, CONNECTION_TYPE_EXTERNAL);
    assert_int_equal(external->has_repair_uri, PRESENCE_ABSENT);
    assert_int_equal(external->has_control_uri, PRESENCE_VALUE);
    assert_int_equal(external->n_allowed_sources, 2);
    assert_string_equal(external->allowed_sources[1], "2001:db8::1");
    const struct stream_settings *settings = &r.stream.settings;
    assert_int_equal(settings->has_target_latency_ms, PRESENCE_VALUE);
    assert_int_equal(settings->target_latency_ms, 200);
    assert_true(settings->packet_length_ms == 2.5);
    assert_true(settings->gain_db == -6);
    assert_int_equal(settings->n_channel_map, 3);
    assert_int_equal(settings->channel_map[1], -1);
    assert_true(settings->muted);
    assert_int_equal(settings->fec, FEC_CODE_LDPC);
}

static void limits_belong_to_what_is_allowed(void **) {
    static const char *const GOOD[] = {
        "{\"target_latency_ms\":5}",
        "{\"target_latency_ms\":5000}",
        "{\"target_latency_ms\":null}",
        "{\"target_latency_ms\":2e2}",
        "{\"target_latency_ms\":50.0}",
        "{\"packet_length_ms\":0.5}",
        "{\"packet_length_ms\":100}",
        "{\"gain_db\":-60}",
        "{\"gain_db\":12.0}",
        "{\"channel_map\":[]}",
        "{\"channel_map\":null}",
        "{\"channel_map\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}",
        "{\"channel_map\":[-1,15]}",
        "{\"encoding\":\"x\"}",
        "{\"encoding\":\"12345678901234567890123456789012\"}",
        "{\"gain_db\":-0.0,\"muted\":true}",
        " {\n} ",
    };
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        struct result r = DECODE(stream_settings_schema, GOOD[i]);
        assert_good(&r, GOOD[i]);
    }
}

static void members_may_come_in_any_order_and_escaped(void **) {
    struct result r =
        DECODE(connection_schema, "{\"media_uri\":\"rtp:\\/\\/a:1\",\"connection\\u005ftype\":\"external\"}");
    assert_good(&r, "escaped");
    assert_string_equal(r.connection.external.media_uri, "rtp://a:1");
}

/* ---- what is wrong ---- */

static void endpoints_are_refused(void **) {
    static const struct {
        const char *text, *pointer, *detail;
    } CASES[] = {
        {"null", "", "want an object"},
        {"[]", "", "want an object"},
        {"17", "", "want an object"},
        {"\"tone\"", "", "want an object"},
        {"{}", "/kind", "is missing"},
        {"{\"kind\":\"tone\",\"Kind\":\"tone\"}", "/Kind",
         "is unknown here; known are: display_name, kind, enabled, rate_hz"},
        {"{\"kind\":\"tone\",\"kind\":\"tone\"}", "/kind", "is given twice"},
        {"{\"kind\":\"tone\",\"enabled\":true,\"enabled\":7}", "/enabled", "is given twice"},
        {"{\"kind\":\"tone\",\"endpoint_uid\":\"x\"}", "/endpoint_uid", "is read-only: rocd sets it"},
        {"{\"kind\":\"tone\",\"status\":{}}", "/status", "is read-only"},
        {"{\"kind\":\"tone\",\"\":1}", "/", "is unknown here"},
        {"{\"kind\":\"tone\",\"a/b~c\":1}", "/a~1b~0c", "is unknown here"},
        {"{\"kind\":\"tone\\u0000\"}", "/kind", "want one of: device, virtual_speaker"},
        {"{\"kind\":\"TONE\"}", "/kind", "want one of: "},
        {"{\"kind\":\"\"}", "/kind", "want one of: "},
        {"{\"kind\":5}", "/kind", "want one of: "},
        {"{\"kind\":null}", "/kind", "want one of: "},
        {"{\"kind\":\"tone\",\"enabled\":1}", "/enabled", "want true or false"},
        {"{\"kind\":\"tone\",\"enabled\":\"true\"}", "/enabled", "want true or false"},
        {"{\"kind\":\"tone\",\"enabled\":null}", "/enabled", "want true or false"},
        {"{\"kind\":\"tone\",\"rate_hz\":\"48000\"}", "/rate_hz", "want an integer from 8000 to 192000"},
        {"{\"kind\":\"tone\",\"rate_hz\":7999}", "/rate_hz", "want an integer from 8000 to 192000"},
        {"{\"kind\":\"tone\",\"rate_hz\":192001}", "/rate_hz", "want an integer"},
        {"{\"kind\":\"tone\",\"rate_hz\":48000.5}", "/rate_hz", "want an integer"},
        {"{\"kind\":\"tone\",\"rate_hz\":true}", "/rate_hz", "want an integer"},
        {"{\"kind\":\"tone\",\"rate_hz\":4294972096}", "/rate_hz", "want an integer"}, /* 2^32 + 48000 */
        {"{\"kind\":\"tone\",\"rate_hz\":18446744073709551615}", "/rate_hz", "want an integer"},
        {"{\"kind\":\"tone\",\"rate_hz\":1e300}", "/rate_hz", "want an integer"},
        {"{\"kind\":\"tone\",\"rate_hz\":-1}", "/rate_hz", "want an integer"},
        {"{\"kind\":\"tone\",\"rate_hz\":[48000]}", "/rate_hz", "want an integer"},
        {"{\"kind\":\"tone\",\"display_name\":1}", "/display_name", "want a string"},
        {"{\"kind\":\"tone\",\"display_name\":null}", "/display_name", "want a string"},
        {"{\"kind\":\"tone\",\"display_name\":\"a\\u0000b\"}", "/display_name", "must not hold a NUL character"},
        {"{\"kind\":\"tone\",\"display_name\":\"a\\nb\"}", "/display_name", "want no control characters in it"},
        {"{\"kind\":\"tone\",\"display_name\":\"a\\u009bb\"}", "/display_name", "want no control characters in it"},
        {"{\"kind\":\"file\",\"file\":[]}", "/file", "want an object"},
        {"{\"kind\":\"file\",\"file\":null}", "/file", "want an object"},
        {"{\"kind\":\"file\",\"file\":{}}", "/file/name", "is missing"},
        {"{\"kind\":\"file\",\"file\":{\"name\":\"../x.wav\"}}", "/file/name", "want a file name relative to"},
        {"{\"kind\":\"tone\",\"tone\":{\"frequency\":440}}", "/tone/frequency", "is unknown here; known are: "},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct result r = DECODE(endpoint_spec_schema, CASES[i].text);
        assert_bad(&r, CASES[i].text, CASES[i].pointer, CASES[i].detail);
        assert_int_equal(r.errors.n_errors, 1);
        assert_false(r.errors.more);
        assert_null(strstr(r.info.message, "there is more"));
    }
}

static void settings_are_refused(void **) {
    static const struct {
        const char *text, *pointer, *detail;
    } CASES[] = {
        {"{\"target_latency_ms\":4}", "/target_latency_ms", "want an integer from 5 to 5000, or null"},
        {"{\"packet_length_ms\":0.49}", "/packet_length_ms", "want a number from 0.5 to 100, or null"},
        {"{\"packet_length_ms\":\"5\"}", "/packet_length_ms", "want a number"},
        {"{\"gain_db\":12.0000001}", "/gain_db", "want a number from -60 to 12"},
        {"{\"channel_map\":{}}", "/channel_map", "want an array of at most 16 items, or null"},
        {"{\"channel_map\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}", "/channel_map", "want an array of at most 16 items"},
        {"{\"channel_map\":[0,1,16]}", "/channel_map/2", "want an integer from -1 to 15"},
        {"{\"channel_map\":[null]}", "/channel_map/0", "want an integer from -1 to 15"},
        {"{\"channel_map\":[[0]]}", "/channel_map/0", "want an integer from -1 to 15"},
        {"{\"encoding\":\"\"}", "/encoding", "want at least 1 bytes, and this has 0"},
        {"{\"encoding\":\"123456789012345678901234567890123\"}", "/encoding", "want at most 32 bytes, and this has 33"},
        {"{\"encryption\":false}", "/encryption", "want one of: auto, required, off"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct result r = DECODE(stream_settings_schema, CASES[i].text);
        assert_bad(&r, CASES[i].text, CASES[i].pointer, CASES[i].detail);
        assert_int_equal(r.errors.n_errors, 1);
    }
}

static void one_of_several_forms_is_chosen_by_its_tag(void **) {
    static const struct {
        const char *text, *pointer, *detail;
    } CASES[] = {
        {"{}", "/connection_type", "is missing; want one of: endpoint, external"},
        {"{\"endpoint_uri\":\"x\"}", "/connection_type", "is missing; want one of"},
        {"{\"connection_type\":\"both\"}", "/connection_type", "want one of: endpoint, external"},
        {"{\"connection_type\":null}", "/connection_type", "want one of: endpoint, external"},
        {"{\"connection_type\":0}", "/connection_type", "want one of: endpoint, external"},
        {"{\"connection_type\":\"endpoint\\u0000\"}", "/connection_type", "want one of"},
        {"{\"connection_type\":\"endpoint\"}", "/endpoint_uri", "is missing"},
        {"{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"x\",\"connection_type\":\"external\"}",
         "/connection_type", "is given twice"},
        {"{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"x\",\"media_uri\":\"rtp://a:1\"}", "/media_uri",
         "is unknown here; known are: connection_type, endpoint_uri"},
        {"{\"connection_type\":\"external\",\"media_uri\":\"x\",\"allowed_sources\":[\"::1\",\"localhost\"]}",
         "/allowed_sources/1", "want an IPv4 or IPv6 address"},
        {"{\"connection_type\":\"external\",\"media_uri\":\"x\",\"repair_uri\":null}", "/repair_uri", "want a string"},
        {"7", "", "want an object"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct result r = DECODE(connection_schema, CASES[i].text);
        assert_bad(&r, CASES[i].text, CASES[i].pointer, CASES[i].detail);
    }
}

static void lengths_are_counted_in_bytes(void **) {
    char text[512] = "{\"kind\":\"tone\",\"display_name\":\"";
    size_t n = strlen(text);
    for (size_t i = 0; i < 128; i += 2)
        memcpy(text + n + i, "ü", 2);
    memcpy(text + n + 128, "\"}", 3);
    struct result r = DECODE(endpoint_spec_schema, text);
    assert_good(&r, text);
    assert_int_equal(strlen(r.endpoint.display_name), 128);
    memcpy(text + n + 128, "x\"}", 4);
    r = DECODE(endpoint_spec_schema, text);
    assert_bad(&r, text, "/display_name", "want at most 128 bytes, and this has 129");
}

static void all_errors_are_told_in_the_order_of_the_text(void **) {
    struct result r =
        DECODE(stream_spec_schema, "{\"settings\":{\"gain_db\":99,\"channel_map\":[0,-2,0,-3]},\"enabled\":0,"
                                   "\"source\":{\"connection_type\":\"endpoint\"}}");
    static const char *const POINTERS[] = {"/settings/gain_db", "/settings/channel_map/1", "/settings/channel_map/3",
                                           "/enabled",          "/source/endpoint_uri",    "/destination"};
    assert_int_equal(r.errors.n_errors, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(r.errors.errors[i].pointer, POINTERS[i]);
    assert_false(r.errors.more);
    assert_string_equal(r.info.pointer, "/settings/gain_db");
    assert_string_equal(r.info.message, "/settings/gain_db: want a number from -60 to 12 (and there is more)");
}

static void errors_are_capped(void **) {
    for (int n = 15; n <= 18; n++) {
        struct buf text = {};
        assert_true(buf_append_str(&text, "{\"kind\":\"tone\""));
        for (int i = 0; i < n; i++)
            assert_true(buf_printf(&text, ",\"x%d\":0", i));
        assert_true(buf_append_str(&text, "}"));
        struct result r = DECODE(endpoint_spec_schema, text.data);
        assert_int_equal(r.err, ERR_INVALID);
        assert_int_equal(r.errors.n_errors, n < 16 ? n : 16);
        assert_int_equal(r.errors.more, n > 16);
        buf_finish(&text);
    }
}

/* A pointer that is too long is cut, but never inside of a character, or the problem would not be JSON. */
static void long_names_are_cut_at_a_character(void **) {
    static const char *const PARTS[] = {"x", "ü", "€", "\U0001F600", "/", "~"};
    for (size_t p = 0; p < sizeof PARTS / sizeof *PARTS; p++) {
        for (int shift = 0; shift < 4; shift++) {
            struct buf text = {};
            assert_true(buf_append_str(&text, "{\"kind\":\"file\",\"file\":{\"name\":\"a.wav\",\""));
            for (int i = 0; i < shift; i++)
                assert_true(buf_append_str(&text, "a"));
            for (int i = 0; i < 200; i++)
                assert_true(buf_append_str(&text, PARTS[p]));
            assert_true(buf_append_str(&text, "\":{}}}"));
            struct result r = DECODE(endpoint_spec_schema, text.data);
            buf_finish(&text);
            assert_int_equal(r.errors.n_errors, 1);
            const char *pointer = r.errors.errors[0].pointer;
            size_t length = strlen(pointer);
            assert_memory_equal(pointer, "/file/", 6);
            assert_in_range(length, ERR_POINTER_MAX - 6, ERR_POINTER_MAX - 1);
            size_t unit = strlen(PARTS[p]) + (p >= 4); /* '/' and '~' become two bytes */
            assert_int_equal((length - 6 - (size_t)shift) % unit, 0);
        }
    }
}

static void failure_leaves_the_object_alone(void **) {
    struct endpoint_spec before, object;
    memset(&before, 0x5A, sizeof before);
    memset(&object, 0x5A, sizeof object);
    static const char TEXT[] = "{\"kind\":\"tone\",\"rate_hz\":44100,\"channels\":99}";
    assert_int_equal(schema_decode_text(&endpoint_spec_schema, TEXT, sizeof TEXT - 1, 0, &object, nullptr, nullptr),
                     ERR_INVALID);
    assert_memory_equal(&object, &before, sizeof object);
}

static void later_versions_may_say_more(void **) {
    static const char TEXT[] = "{\"kind\":\"tone\",\"colour\":\"red\",\"tone\":{\"shape\":{\"a\":[1]}},\"colour\":1}";
    struct result r = decode(&endpoint_spec_schema, TEXT, sizeof TEXT - 1, SCHEMA_IGNORE_UNKNOWN);
    assert_good(&r, TEXT);
    assert_int_equal(r.endpoint.has_tone, PRESENCE_VALUE);
    static const char TWICE[] = "{\"kind\":\"tone\",\"colour\":1,\"kind\":\"tone\"}";
    r = decode(&endpoint_spec_schema, TWICE, sizeof TWICE - 1, SCHEMA_IGNORE_UNKNOWN);
    assert_bad(&r, TWICE, "/kind", "is given twice");
}

static void text_that_is_no_json_has_no_pointers(void **) {
    struct result r = {};
    r.errors.n_errors = 7;
    r.errors.more = true;
    r.err = schema_decode_text(&endpoint_spec_schema, "{\"kind\":", 8, 0, &r.endpoint, &r.errors, &r.info);
    assert_int_equal(r.err, ERR_MALFORMED);
    assert_int_equal(r.errors.n_errors, 0);
    assert_false(r.errors.more);
    assert_string_equal(r.info.pointer, "");
}

static void deep_text_is_refused_before_it_is_built(void **) {
    for (size_t depth = 14; depth <= 20; depth++) {
        struct buf text = {};
        assert_true(buf_append_str(&text, "{\"kind\":\"tone\",\"x\":"));
        for (size_t i = 1; i < depth; i++)
            assert_true(buf_append_str(&text, "["));
        for (size_t i = 1; i < depth; i++)
            assert_true(buf_append_str(&text, "]"));
        assert_true(buf_append_str(&text, "}"));
        struct result r = DECODE(endpoint_spec_schema, text.data);
        buf_finish(&text);
        if (depth <= 16) {
            assert_bad(&r, "deep", "/x", "is unknown here");
        } else {
            assert_int_equal(r.err, ERR_MALFORMED);
            assert_non_null(strstr(r.info.message, "nested deeper than 16"));
        }
    }
}

/* Numbers without limits of their own: a table by hand, for the contract has none. */
static void numbers_fit_their_types(void **) {
    struct numbers {
        int32_t small;
        int64_t large;
        double real;
    };
    static const struct schema_member MEMBERS[] = {
        {.name = "small",
         .kind = SCHEMA_INT32,
         .offset = offsetof(struct numbers, small),
         .size = sizeof(int32_t),
         .presence_offset = SCHEMA_NO_OFFSET,
         .count_offset = SCHEMA_NO_OFFSET},
        {.name = "large",
         .kind = SCHEMA_INT64,
         .offset = offsetof(struct numbers, large),
         .size = sizeof(int64_t),
         .presence_offset = SCHEMA_NO_OFFSET,
         .count_offset = SCHEMA_NO_OFFSET},
        {.name = "real",
         .kind = SCHEMA_NUMBER,
         .offset = offsetof(struct numbers, real),
         .size = sizeof(double),
         .presence_offset = SCHEMA_NO_OFFSET,
         .count_offset = SCHEMA_NO_OFFSET},
    };
    static const struct schema SCHEMA = {
        .name = "Numbers", .size = sizeof(struct numbers), .n_members = 3, .members = MEMBERS};
    static const struct {
        const char *text;
        enum err err;
        int64_t small, large;
    } CASES[] = {
        {"{\"small\":2147483647,\"large\":9223372036854775807}", ERR_OK, INT32_MAX, INT64_MAX},
        {"{\"small\":-2147483648,\"large\":-9223372036854775808}", ERR_OK, INT32_MIN, INT64_MIN},
        {"{\"small\":-2.147483648e9,\"large\":9007199254740992.0}", ERR_OK, INT32_MIN, 9007199254740992},
        {"{\"small\":2147483648}", ERR_INVALID, 0, 0},
        {"{\"small\":-2147483649}", ERR_INVALID, 0, 0},
        {"{\"small\":4294967296}", ERR_INVALID, 0, 0},
        {"{\"large\":9223372036854775808}", ERR_INVALID, 0, 0},
        {"{\"large\":-9223372036854775809}", ERR_INVALID, 0, 0},
        {"{\"large\":9007199254740994.0}", ERR_INVALID, 0, 0}, /* doubles skip integers from here on */
        {"{\"large\":0.5}", ERR_INVALID, 0, 0},
        {"{\"real\":\"0.5\"}", ERR_INVALID, 0, 0},
        {"{\"real\":1.7976931348623157e308}", ERR_OK, 0, 0},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        struct numbers n = {};
        struct err_info info = {};
        enum err err = schema_decode_text(&SCHEMA, CASES[i].text, strlen(CASES[i].text), 0, &n, nullptr, &info);
        if (err != CASES[i].err)
            fail_msg("%s: %s", CASES[i].text, info.message);
        assert_true(n.small == CASES[i].small && n.large == CASES[i].large);
    }
}

/* ---- anything ---- */

static uint32_t draw(uint64_t *seed) {
    *seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*seed >> 33);
}

/* Whatever a text becomes by chance: refused with words, or read, written and read again as the same. */
static void mutated_texts_are_read_or_refused(void **) {
    static const char *const TEXTS[] = {
        "{\"display_name\":\"K\",\"source\":{\"endpoint_uri\":\"/peers/self/endpoints/x\",\"connection_type\":\"endpoint\"},"
        "\"destination\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://a:1\",\"allowed_sources\":[\"192.0.2.1\"]},"
        "\"settings\":{\"target_latency_ms\":200,\"packet_length_ms\":2.5,\"channel_map\":[1,-1],\"fec\":\"ldpc\"}}",
        "{\"kind\":\"file\",\"file\":{\"name\":\"a/b.wav\",\"loop\":true},\"rate_hz\":44100,\"display_name\":\"\\u00e9\"}",
    };
    static const char SPICE[] = "{}[]\",:\\u0019eE.-+~/nulltrue \xC3\xA9\x80";
    const struct schema *const schemas[] = {&stream_spec_schema, &endpoint_spec_schema};
    uint64_t seed = 1;
    int n_good = 0, n_invalid = 0;
    for (int i = 0; i < 20000; i++) {
        char text[1024];
        size_t n = strlen(TEXTS[i % 2]);
        memcpy(text, TEXTS[i % 2], n);
        for (uint32_t k = draw(&seed) % 4 + 1; k > 0; k--) {
            size_t at = draw(&seed) % n;
            text[at] = draw(&seed) % 2 ? SPICE[draw(&seed) % (sizeof SPICE - 1)] : TEXTS[i % 2][draw(&seed) % n];
        }
        const struct schema *schema = schemas[i % 2];
        struct result r = decode(schema, text, n, 0);
        if (r.err != ERR_OK) {
            assert_true(r.err == ERR_INVALID || r.err == ERR_MALFORMED);
            assert_true(r.info.message[0]);
            n_invalid += r.err == ERR_INVALID;
            continue;
        }
        n_good++;
        char *again;
        size_t length;
        assert_int_equal(schema_encode_text(schema, &r.endpoint, &again, &length, nullptr), ERR_OK);
        struct result r2 = decode(schema, again, length, 0);
        assert_good(&r2, again);
        assert_true(schema_equal(schema, &r.endpoint, &r2.endpoint));
        free(again);
    }
    assert_true(n_good > 500 && n_invalid > 500); /* it looked at both sides */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_out_has_its_default),
        cmocka_unit_test(every_kind_of_value_is_read),
        cmocka_unit_test(limits_belong_to_what_is_allowed),
        cmocka_unit_test(members_may_come_in_any_order_and_escaped),
        cmocka_unit_test(endpoints_are_refused),
        cmocka_unit_test(settings_are_refused),
        cmocka_unit_test(one_of_several_forms_is_chosen_by_its_tag),
        cmocka_unit_test(lengths_are_counted_in_bytes),
        cmocka_unit_test(all_errors_are_told_in_the_order_of_the_text),
        cmocka_unit_test(errors_are_capped),
        cmocka_unit_test(long_names_are_cut_at_a_character),
        cmocka_unit_test(failure_leaves_the_object_alone),
        cmocka_unit_test(later_versions_may_say_more),
        cmocka_unit_test(text_that_is_no_json_has_no_pointers),
        cmocka_unit_test(deep_text_is_refused_before_it_is_built),
        cmocka_unit_test(numbers_fit_their_types),
        cmocka_unit_test(mutated_texts_are_read_or_refused),
    };
    return cmocka_run_group_tests_name("schema-decode", tests, nullptr, nullptr);
}
