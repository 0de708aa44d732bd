/* SPDX-License-Identifier: MPL-2.0 */
#include "model/grant.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "model/schema_priv.h"
#include "model/uri.h"

/* ---- what a member may be ---- */

static bool is_uid(const char *text) {
    return uid_is_valid(text);
}

/* With real uids: what `self` means depends on who reads it. */
static bool is_endpoint(const char *text) {
    struct uri_endpoint uri;
    return uri_parse_endpoint(text, &uri, nullptr) == ERR_OK && !uri.is_self;
}

static bool is_destination(const char *text) {
    return strcmp(text, "external") == 0 || is_endpoint(text);
}

/* A newline in it could make the signed text read otherwise. */
static bool is_user(const char *text) {
    return !schema_format_check(SCHEMA_FORMAT_NAME, text);
}

static bool is_signature(const char *text) {
    uint8_t bytes[CRYPTO_SIGNATURE_SIZE];
    return crypto_unhex(bytes, sizeof bytes, text);
}

#define TEXT(m)   offsetof(struct grant, m), sizeof((struct grant *)nullptr)->m
#define NUMBER(m) offsetof(struct grant, m), 0

enum { STREAM, GENERATION, SOURCE, DESTINATION, COMMANDER, USER, ISSUED, SIGNATURE, N_MEMBERS };

static const struct {
    const char *name;
    size_t offset, size;           /* size 0: an int64_t */
    int64_t min;                   /* of a number */
    bool (*is_good)(const char *); /* of a text */
    const char *wanted;
} MEMBERS[N_MEMBERS] = {
    [STREAM] = {"stream", TEXT(stream), 0, is_uid, "the uid of a stream"},
    [GENERATION] = {"generation", NUMBER(generation), 1, nullptr, "a whole number from 1"},
    [SOURCE] = {"source", TEXT(source), 0, is_endpoint, "the URI of an endpoint, with real uids"},
    [DESTINATION] = {"destination", TEXT(destination), 0, is_destination,
                     "the URI of an endpoint, with real uids, or 'external'"},
    [COMMANDER] = {"commander", TEXT(commander), 0, is_uid, "the uid of a peer"},
    [USER] = {"user", TEXT(user), 0, is_user, "a text of at most 63 bytes without control characters"},
    [ISSUED] = {"issued", NUMBER(issued_ms), 0, nullptr, "milliseconds since 1970"},
    [SIGNATURE] = {"signature", offsetof(struct grant, signature), 2 * CRYPTO_SIGNATURE_SIZE + 1, 0, is_signature,
                   "128 hexadecimal digits"},
};
static_assert(GRANT_USER_SIZE == 64);

static enum err refuse(size_t i, const char *problem, struct err_info *reterr) {
    char pointer[32];
    snprintf(pointer, sizeof pointer, "/%s", MEMBERS[i].name);
    return err_set_at(reterr, ERR_INVALID, pointer, "the member '%s' of the grant %s: want %s", MEMBERS[i].name,
                      problem, MEMBERS[i].wanted);
}

static int64_t number_of(const struct grant *grant, size_t i) {
    return *(const int64_t *)(const void *)((const char *)grant + MEMBERS[i].offset);
}

static const char *text_of(const struct grant *grant, size_t i) {
    return (const char *)grant + MEMBERS[i].offset;
}

static enum err check_members(const struct grant *grant, struct err_info *reterr) {
    for (size_t i = 0; i < SIGNATURE; i++) {
        bool good = MEMBERS[i].size == 0
                        ? number_of(grant, i) >= MEMBERS[i].min
                        : memchr(text_of(grant, i), 0, MEMBERS[i].size) && MEMBERS[i].is_good(text_of(grant, i));
        if (!good)
            return refuse(i, "is not right", reterr);
    }
    return ERR_OK;
}

/* ---- the signature ---- */

/* The names, the two numbers and eight newlines besides the texts. */
constexpr size_t SIGNED_SIZE = sizeof(struct grant) + 64;

static size_t signed_text(const struct grant *g, char text[static SIGNED_SIZE]) {
    return (size_t)snprintf(text, SIGNED_SIZE, "rocd-grant-1\n%s\n%" PRId64 "\n%s\n%s\n%s\n%s\n%" PRId64 "\n",
                            g->stream, g->generation, g->source, g->destination, g->commander, g->user, g->issued_ms);
}

void grant_sign(struct grant *grant, const struct crypto_sign_key *commander) {
    memset(grant->signature, 0, sizeof grant->signature);
    if (check_members(grant, nullptr) != ERR_OK)
        return;
    char text[SIGNED_SIZE];
    size_t len = signed_text(grant, text);
    crypto_sign_message(grant->signature, commander, text, len);
}

enum err grant_verify(const struct grant *grant, const uint8_t public_key[static CRYPTO_PUBLIC_KEY_SIZE],
                      struct err_info *reterr) {
    struct err_info info;
    if (check_members(grant, &info) != ERR_OK)
        return err_set_at(reterr, ERR_FORBIDDEN, info.pointer, "%s", info.message);
    char text[SIGNED_SIZE];
    size_t len = signed_text(grant, text);
    if (!crypto_verify_message(grant->signature, public_key, text, len))
        return err_set(reterr, ERR_FORBIDDEN,
                       "the grant for the stream %s is not signed by the key of the peer %s, which it names as its "
                       "commander",
                       grant->stream, grant->commander);
    return ERR_OK;
}

/* ---- JSON ---- */

char *grant_format(const struct grant *grant) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    if (!doc)
        return nullptr;
    char signature[2 * CRYPTO_SIGNATURE_SIZE + 1];
    crypto_hex(signature, grant->signature, sizeof grant->signature);
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, object);
    bool good = true;
    for (size_t i = 0; i < N_MEMBERS; i++) {
        if (MEMBERS[i].size == 0)
            good &= yyjson_mut_obj_add_int(doc, object, MEMBERS[i].name, number_of(grant, i));
        else
            good &=
                yyjson_mut_obj_add_str(doc, object, MEMBERS[i].name, i == SIGNATURE ? signature : text_of(grant, i));
    }
    char *text = good ? yyjson_mut_write(doc, YYJSON_WRITE_NOFLAG, nullptr) : nullptr;
    yyjson_mut_doc_free(doc);
    return text;
}

static enum err read_member(yyjson_val *value, size_t i, struct grant *grant, struct err_info *reterr) {
    if (MEMBERS[i].size == 0) {
        if (!yyjson_is_int(value))
            return refuse(i, "is no whole number", reterr);
        int64_t number = yyjson_get_sint(value); /* one above 2^63 is negative here */
        if (number < MEMBERS[i].min)
            return refuse(i, "is out of range", reterr);
        *(int64_t *)(void *)((char *)grant + MEMBERS[i].offset) = number;
        return ERR_OK;
    }
    if (!yyjson_is_str(value))
        return refuse(i, "is no text", reterr);
    const char *text = yyjson_get_str(value);
    size_t len = yyjson_get_len(value);
    if (len >= MEMBERS[i].size || strlen(text) != len || !MEMBERS[i].is_good(text))
        return refuse(i, "is not right", reterr);
    if (i == SIGNATURE)
        return crypto_unhex(grant->signature, sizeof grant->signature, text) ? ERR_OK : ERR_INTERNAL;
    memcpy((char *)grant + MEMBERS[i].offset, text, len + 1);
    return ERR_OK;
}

static size_t find_member(yyjson_val *key) {
    size_t i = 0;
    while (i < N_MEMBERS && !yyjson_equals_str(key, MEMBERS[i].name))
        i++;
    return i;
}

static enum err read_object(yyjson_val *object, struct grant *ret, struct err_info *reterr) {
    if (!yyjson_is_obj(object))
        return err_set(reterr, ERR_INVALID, "a grant is a JSON object");
    struct grant grant = {};
    bool given[N_MEMBERS] = {};
    size_t at, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(object, at, n, key, value) {
        size_t i = find_member(key);
        if (i == N_MEMBERS)
            return err_set(reterr, ERR_INVALID, "a grant has no member '%s'",
                           yyjson_get_len(key) <= 40 ? yyjson_get_str(key) : "…");
        if (given[i])
            return refuse(i, "is given twice", reterr);
        given[i] = true;
        enum err e = read_member(value, i, &grant, reterr);
        if (e != ERR_OK)
            return e;
    }
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (!given[i])
            return refuse(i, "is missing", reterr);
    *ret = grant;
    return ERR_OK;
}

enum err grant_parse(const char *json, size_t len, struct grant *ret, struct err_info *reterr) {
    static constexpr struct json_limits LIMITS = {.max_bytes = GRANT_JSON_MAX, .max_depth = 2};
    yyjson_doc *doc = nullptr;
    enum err e = json_parse(json, len, &LIMITS, &doc, reterr);
    if (e != ERR_OK)
        return e;
    e = read_object(yyjson_doc_get_root(doc), ret, reterr);
    yyjson_doc_free(doc);
    return e;
}
