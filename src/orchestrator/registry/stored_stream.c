/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/stored_stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

static_assert(sizeof((struct attachment_grant *)nullptr)->source == GRANT_URI_SIZE);
static_assert(sizeof((struct attachment_grant *)nullptr)->user == GRANT_USER_SIZE);
static_assert(sizeof((struct attachment_grant *)nullptr)->signature == 2 * CRYPTO_SIGNATURE_SIZE + 1);

/* What stands beside the members of the spec. It is no part of the contract, so its table is written by hand. */
struct extras {
    enum presence has_grant;
    struct attachment_grant grant;
    enum presence has_removed;
    int64_t removed_ms;
};

static const struct schema_member EXTRAS_MEMBERS[] = {
    {.name = "grant",
     .kind = SCHEMA_OBJECT,
     .offset = offsetof(struct extras, grant),
     .presence_offset = offsetof(struct extras, has_grant),
     .count_offset = SCHEMA_NO_OFFSET,
     .size = sizeof(((struct extras *)nullptr)->grant),
     .nested = &attachment_grant_schema},
    {.name = "removed",
     .kind = SCHEMA_INT64,
     .offset = offsetof(struct extras, removed_ms),
     .presence_offset = offsetof(struct extras, has_removed),
     .count_offset = SCHEMA_NO_OFFSET,
     .size = sizeof(((struct extras *)nullptr)->removed_ms)},
};
static const struct schema EXTRAS = {.name = "StoredStream",
                                     .size = sizeof(struct extras),
                                     .n_members = sizeof EXTRAS_MEMBERS / sizeof *EXTRAS_MEMBERS,
                                     .members = EXTRAS_MEMBERS};

void stored_stream_show_grant(const struct grant *grant, struct attachment_grant *ret) {
    *ret = (struct attachment_grant){.generation = grant->generation, .issued = grant->issued_ms};
    memcpy(ret->stream, grant->stream, UID_SIZE);
    memcpy(ret->source, grant->source, GRANT_URI_SIZE);
    memcpy(ret->destination, grant->destination, GRANT_URI_SIZE);
    memcpy(ret->commander, grant->commander, UID_SIZE);
    memcpy(ret->user, grant->user, GRANT_USER_SIZE);
    crypto_hex(ret->signature, grant->signature, CRYPTO_SIGNATURE_SIZE);
}

enum err stored_stream_read_grant(const struct attachment_grant *shown, struct grant *ret, struct err_info *reterr) {
    struct grant grant = {.generation = shown->generation, .issued_ms = shown->issued};
    if (!crypto_unhex(grant.signature, CRYPTO_SIGNATURE_SIZE, shown->signature))
        return err_set_at(reterr, ERR_INVALID, "/grant/signature", "this is no signature: want 128 hexadecimal digits");
    memcpy(grant.stream, shown->stream, UID_SIZE);
    memcpy(grant.source, shown->source, GRANT_URI_SIZE);
    memcpy(grant.destination, shown->destination, GRANT_URI_SIZE);
    memcpy(grant.commander, shown->commander, UID_SIZE);
    memcpy(grant.user, shown->user, GRANT_USER_SIZE);
    *ret = grant;
    return ERR_OK;
}

enum err stored_stream_encode(const struct stream_spec *spec, const struct grant *grant, char **ret_json,
                              size_t *ret_len, struct err_info *reterr) {
    _cleanup_(freep) char *json = nullptr;
    _cleanup_(freep) char *beside = nullptr;
    size_t len, beside_len;
    enum err err = schema_encode_text(&stream_spec_schema, spec, &json, &len, reterr);
    if (err || !grant) {
        if (!err) {
            *ret_json = TAKE_PTR(json);
            *ret_len = len;
        }
        return err;
    }
    struct extras extras = {.has_grant = PRESENCE_VALUE};
    stored_stream_show_grant(grant, &extras.grant);
    err = schema_encode_text(&EXTRAS, &extras, &beside, &beside_len, reterr);
    if (err)
        return err;
    /* Two objects become one: "{…}" and "{…}", neither of them empty. */
    char *both = malloc(len + beside_len + 1);
    if (!both)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a stream");
    memcpy(both, json, len - 1);
    both[len - 1] = ',';
    memcpy(both + len, beside + 1, beside_len);
    *ret_json = both;
    *ret_len = len + beside_len - 1;
    return ERR_OK;
}

enum err stored_stream_encode_removed(int64_t removed_ms, char **ret_json, size_t *ret_len, struct err_info *reterr) {
    const struct extras extras = {.has_removed = PRESENCE_VALUE, .removed_ms = removed_ms};
    return schema_encode_text(&EXTRAS, &extras, ret_json, ret_len, reterr);
}

enum err stored_stream_decode(const char *json, size_t len, struct stored_stream *ret, struct err_info *reterr) {
    struct stored_stream stream = {};
    struct extras extras;
    enum err err = schema_decode_text(&EXTRAS, json, len, SCHEMA_IGNORE_UNKNOWN, &extras, nullptr, reterr);
    if (err)
        return err;
    stream.is_removed = extras.has_removed == PRESENCE_VALUE;
    stream.removed_ms = extras.removed_ms;
    if (!stream.is_removed)
        err = schema_decode_text(&stream_spec_schema, json, len, SCHEMA_IGNORE_UNKNOWN, &stream.spec, nullptr, reterr);
    if (!err && extras.has_grant == PRESENCE_VALUE) {
        stream.has_grant = true;
        err = stored_stream_read_grant(&extras.grant, &stream.grant, reterr);
    }
    if (!err)
        *ret = stream;
    return err;
}
