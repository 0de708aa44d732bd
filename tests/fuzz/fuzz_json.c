/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/json.h"
#include "fuzz/target.h"
#include "model/model_gen.h"
#include "model/schema.h"

/*
 * Any text as the JSON of an object, and as a merge patch of one: what is taken comes back the same from what the encoder
 * makes of it, what is refused changes nothing and says what is wrong. The first byte chooses the schema and whether
 * unknown members are taken.
 */
#define ENDPOINT "{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/aaaaaa-aaaaaa-aaaaaa\"}"
#define EXTERNAL "{\"connection_type\":\"external\",\"media_uri\":\"rtp://127.0.0.1:1\"}"

static const struct {
    const struct schema *schema;
    const char *object; /* to be patched */
} cases[] = {
    {&endpoint_spec_schema, "{\"kind\":\"tone\",\"tone\":{}}"},
    {&stream_spec_schema, "{\"source\":" ENDPOINT ",\"destination\":" EXTERNAL "}"},
    {&stream_settings_schema, "{}"},
    {&peer_spec_schema, "{\"name\":\"x\"}"},
    {&connection_schema, EXTERNAL},
    {&endpoint_tone_schema, "{}"},
};
constexpr size_t N_CASES = sizeof cases / sizeof cases[0];

static void check_refusal(const struct err_info *info, const struct schema_errors *errors) {
    FUZZ_CHECK(info->message[0]);
    FUZZ_CHECK(errors->n_errors <= SCHEMA_ERRORS_MAX);
    for (size_t i = 0; i < errors->n_errors; i++)
        FUZZ_CHECK(errors->errors[i].detail[0]);
}

static void check_round_trip(const struct schema *schema, const void *object) {
    struct err_info info = {};
    char *text;
    size_t length;
    void *again = calloc(1, schema->size);
    FUZZ_CHECK(schema_encode_text(schema, object, &text, &length, &info) == ERR_OK);
    FUZZ_CHECK(strlen(text) == length);
    FUZZ_CHECK(schema_decode_text(schema, text, length, 0, again, nullptr, &info) == ERR_OK);
    FUZZ_CHECK(schema_equal(schema, object, again));
    /* An object is its own patch, and nothing is the patch that changes nothing. */
    FUZZ_CHECK(schema_patch_text(schema, text, length, 0, again, nullptr, &info) == ERR_OK);
    FUZZ_CHECK(schema_equal(schema, object, again));
    FUZZ_CHECK(schema_patch_text(schema, "{}", 2, 0, again, nullptr, &info) == ERR_OK);
    FUZZ_CHECK(schema_equal(schema, object, again));
    free(again);
    free(text);
}

static void check_patch(const struct schema *schema, const char *text, size_t length, unsigned flags, void *object) {
    struct err_info info = {};
    struct schema_errors errors = {};
    void *before = malloc(schema->size);
    memcpy(before, object, schema->size);
    if (schema_patch_text(schema, text, length, flags, object, &errors, &info) == ERR_OK) {
        check_round_trip(schema, object);
    } else {
        check_refusal(&info, &errors);
        FUZZ_CHECK(memcmp(before, object, schema->size) == 0);
    }
    free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    const struct schema *schema = cases[data[0] % N_CASES].schema;
    const char *other = cases[data[0] % N_CASES].object;
    unsigned flags = data[0] & 0x80 ? SCHEMA_IGNORE_UNKNOWN : 0;
    const char *text = (const char *)data + 1;
    size_t length = size - 1;
    struct err_info info = {};
    struct schema_errors errors = {};
    void *object = calloc(1, schema->size);
    if (schema_decode_text(schema, text, length, flags, object, &errors, &info) == ERR_OK) {
        check_round_trip(schema, object);
        check_patch(schema, text, length, flags, object);
    } else {
        check_refusal(&info, &errors);
    }
    FUZZ_CHECK(schema_decode_text(schema, other, strlen(other), 0, object, nullptr, &info) == ERR_OK);
    check_patch(schema, text, length, flags, object);
    free(object);
    return 0;
}
