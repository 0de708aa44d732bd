/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "model_gen.h"

/* Merge patches (RFC 7396) of the objects that the contract knows. */

static const char STREAM[] =
    "{\"display_name\":\"Radio\",\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/a\"},"
    "\"destination\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://a:1\","
    "\"control_uri\":\"rtcp://a:3\",\"allowed_sources\":[\"192.0.2.1\",\"192.0.2.2\"]},"
    "\"settings\":{\"target_latency_ms\":200,\"channel_map\":[0,1],\"gain_db\":-6}}";

static const char ENDPOINT[] =
    "{\"kind\":\"file\",\"file\":{\"name\":\"a.wav\",\"mode\":\"record\"},\"rate_hz\":44100}";

static void make(const struct schema *schema, const char *text, void *to) {
    struct err_info info = {};
    if (schema_decode_text(schema, text, strlen(text), 0, to, nullptr, &info) != ERR_OK)
        fail_msg("%s: %s", text, info.message);
}

static void patch(const struct schema *schema, void *object, const char *text) {
    struct err_info info = {};
    if (schema_patch_text(schema, text, strlen(text), 0, object, nullptr, &info) != ERR_OK)
        fail_msg("%s: %s", text, info.message);
}

static void assert_shows(const struct schema *schema, const void *object, const char *part, bool there) {
    char *text;
    assert_int_equal(schema_encode_text(schema, object, &text, nullptr, nullptr), ERR_OK);
    if ((strstr(text, part) != nullptr) != there)
        fail_msg("'%s' is %s: %s", part, there ? "not in" : "in", text);
    free(text);
}

static void what_is_not_named_stays(void **) {
    struct stream_spec before, after;
    make(&stream_spec_schema, STREAM, &before);
    after = before;
    patch(&stream_spec_schema, &after, "{}");
    assert_true(stream_spec_equal(&before, &after));
    patch(&stream_spec_schema, &after, "{\"settings\":{},\"source\":{},\"destination\":{}}");
    assert_true(stream_spec_equal(&before, &after));
    patch(&stream_spec_schema, &after, "{\"settings\":{\"muted\":true}}");
    assert_false(stream_spec_equal(&before, &after));
    assert_true(after.settings.muted);
    assert_int_equal(after.settings.target_latency_ms, 200);
    assert_string_equal(after.display_name, "Radio");
    patch(&stream_spec_schema, &after, "{\"settings\":{\"muted\":false}}");
    assert_true(stream_spec_equal(&before, &after));
}

static void null_takes_away(void **) {
    struct stream_spec stream;
    make(&stream_spec_schema, STREAM, &stream);
    patch(&stream_spec_schema, &stream,
          "{\"display_name\":null,\"destination\":{\"control_uri\":null,\"allowed_sources\":null},"
          "\"settings\":{\"target_latency_ms\":null,\"channel_map\":null,\"gain_db\":null}}");
    assert_string_equal(stream.display_name, "");
    assert_int_equal(stream.destination.external.has_control_uri, PRESENCE_ABSENT);
    assert_string_equal(stream.destination.external.control_uri, "");
    assert_int_equal(stream.destination.external.n_allowed_sources, 0);
    assert_string_equal(stream.destination.external.media_uri, "rtp://a:1");
    assert_int_equal(stream.settings.has_target_latency_ms, PRESENCE_NULL);
    assert_int_equal(stream.settings.has_channel_map, PRESENCE_NULL);
    assert_int_equal(stream.settings.n_channel_map, 0);
    assert_true(stream.settings.gain_db == 0);
    patch(&stream_spec_schema, &stream, "{\"settings\":null}");
    struct stream_settings defaults;
    stream_settings_defaults(&defaults);
    assert_true(stream_settings_equal(&stream.settings, &defaults));
}

static void arrays_are_replaced_whole(void **) {
    struct stream_spec stream;
    make(&stream_spec_schema, STREAM, &stream);
    patch(&stream_spec_schema, &stream,
          "{\"destination\":{\"allowed_sources\":[\"::1\"]},\"settings\":{\"channel_map\":[1,0,-1]}}");
    assert_int_equal(stream.destination.external.n_allowed_sources, 1);
    assert_string_equal(stream.destination.external.allowed_sources[0], "::1");
    assert_string_equal(stream.destination.external.allowed_sources[1], "");
    assert_int_equal(stream.settings.n_channel_map, 3);
    assert_int_equal(stream.settings.channel_map[2], -1);
}

static void another_form_replaces_the_side(void **) {
    struct stream_spec stream;
    make(&stream_spec_schema, STREAM, &stream);
    patch(&stream_spec_schema, &stream, "{\"destination\":{\"media_uri\":\"rtp://b:1\"}}"); /* the same form: merged */
    assert_string_equal(stream.destination.external.control_uri, "rtcp://a:3");
    patch(&stream_spec_schema, &stream,
          "{\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/b\"},"
          "\"source\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://c:1\",\"control_uri\":null}}");
    assert_int_equal(stream.destination.connection_type, CONNECTION_TYPE_ENDPOINT);
    assert_string_equal(stream.destination.endpoint.endpoint_uri, "/b");
    assert_int_equal(stream.source.connection_type, CONNECTION_TYPE_EXTERNAL);
    assert_int_equal(stream.source.external.has_control_uri, PRESENCE_ABSENT);
    assert_shows(&stream_spec_schema, &stream, "control_uri", false);
}

static void what_was_not_there_is_made_with_defaults(void **) {
    struct endpoint_spec endpoint;
    make(&endpoint_spec_schema, "{\"kind\":\"tone\"}", &endpoint);
    patch(&endpoint_spec_schema, &endpoint, "{\"tone\":{\"waveform\":\"noise\"}}");
    assert_int_equal(endpoint.has_tone, PRESENCE_VALUE);
    assert_int_equal(endpoint.tone.waveform, TONE_WAVEFORM_NOISE);
    assert_shows(&endpoint_spec_schema, &endpoint, "\"tone\":{\"waveform\":\"noise\",", true);
    patch(&endpoint_spec_schema, &endpoint, "{\"tone\":null}");
    assert_int_equal(endpoint.has_tone, PRESENCE_ABSENT);
    assert_shows(&endpoint_spec_schema, &endpoint, "waveform", false);
    /* once taken away, nothing of it comes back */
    patch(&endpoint_spec_schema, &endpoint, "{\"tone\":{}}");
    assert_int_equal(endpoint.tone.waveform, TONE_WAVEFORM_SINE);
}

static void what_cannot_be_is_refused_and_nothing_changes(void **) {
    static const struct {
        bool endpoint;
        const char *text, *pointer, *detail;
    } CASES[] = {
        {false, "[]", "", "want an object"},
        {false, "null", "", "want an object"},
        {false, "{\"source\":null}", "/source", "is required, so it cannot be taken away"},
        {false, "{\"source\":{\"endpoint_uri\":null}}", "/source/endpoint_uri",
         "is required, so it cannot be taken away"},
        {false, "{\"source\":{\"connection_type\":null}}", "/source/connection_type",
         "want one of: endpoint, external"},
        {false, "{\"source\":{\"connection_type\":\"external\"}}", "/source/media_uri", "is missing"},
        {false, "{\"source\":{\"media_uri\":\"rtp://a:1\"}}", "/source/media_uri", "is unknown here"},
        {false, "{\"source\":7}", "/source", "want an object"},
        {false, "{\"settings\":{\"gain_db\":1,\"gain_db\":2}}", "/settings/gain_db", "is given twice"},
        {false, "{\"enabled\":false,\"settings\":{\"gain_db\":13}}", "/settings/gain_db",
         "want a number from -60 to 12"},
        {false, "{\"settings\":{\"channel_map\":[0,null]}}", "/settings/channel_map/1", "want an integer"},
        {false, "{\"status\":{}}", "/status", "is read-only"},
        {true, "{\"kind\":\"tone\"}", "/kind", "cannot change: make a new object instead"},
        {true, "{\"kind\":null}", "/kind", "is required, so it cannot be taken away"},
        {true, "{\"file\":{\"name\":\"/etc/passwd\"}}", "/file/name", "want a file name"},
        {true, "{\"file\":{\"name\":null}}", "/file/name", "is required, so it cannot be taken away"},
        {true, "{\"file\":null,\"file\":{}}", "/file", "is given twice"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        const struct schema *schema = CASES[i].endpoint ? &endpoint_spec_schema : &stream_spec_schema;
        union {
            struct stream_spec stream;
            struct endpoint_spec endpoint;
        } before, after;
        memset(&before, 0, sizeof before);
        make(schema, CASES[i].endpoint ? ENDPOINT : STREAM, &before);
        memcpy(&after, &before, sizeof after);
        struct schema_errors errors = {};
        struct err_info info = {};
        const char *text = CASES[i].text;
        if (schema_patch_text(schema, text, strlen(text), 0, &after, &errors, &info) != ERR_INVALID)
            fail_msg("%s is taken", text);
        if (strcmp(info.pointer, CASES[i].pointer) != 0 || !strstr(errors.errors[0].detail, CASES[i].detail))
            fail_msg("%s: want '%s' '%s', got '%s' '%s'", text, CASES[i].pointer, CASES[i].detail, info.pointer,
                     errors.errors[0].detail);
        assert_memory_equal(&before, &after, sizeof after);
    }
}

static void what_cannot_change_may_be_repeated(void **) {
    struct endpoint_spec endpoint;
    make(&endpoint_spec_schema, ENDPOINT, &endpoint);
    patch(&endpoint_spec_schema, &endpoint, "{\"kind\":\"file\",\"rate_hz\":48000}");
    assert_int_equal(endpoint.rate_hz, 48000);
}

/* A patch of what is not there is a value: a required member cannot be missing in it. */
static void a_new_part_must_be_whole(void **) {
    struct endpoint_spec endpoint;
    struct err_info info;
    make(&endpoint_spec_schema, "{\"kind\":\"tone\"}", &endpoint);
    static const char TEXT[] = "{\"file\":{\"loop\":true}}";
    assert_int_equal(schema_patch_text(&endpoint_spec_schema, TEXT, sizeof TEXT - 1, 0, &endpoint, nullptr, &info),
                     ERR_INVALID);
    assert_string_equal(info.message, "/file/name: is missing");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_named_stays),
        cmocka_unit_test(null_takes_away),
        cmocka_unit_test(arrays_are_replaced_whole),
        cmocka_unit_test(another_form_replaces_the_side),
        cmocka_unit_test(what_was_not_there_is_made_with_defaults),
        cmocka_unit_test(what_cannot_be_is_refused_and_nothing_changes),
        cmocka_unit_test(what_cannot_change_may_be_repeated),
        cmocka_unit_test(a_new_part_must_be_whole),
    };
    return cmocka_run_group_tests_name("schema-patch", tests, nullptr, nullptr);
}
