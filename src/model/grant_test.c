/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/grant.h"

/* RFC 8032, 7.1: test 1 signs, test 2 is somebody else. */
static const char SEED_A[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
static const char KEY_A[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
static const char KEY_B[] = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";

#define SOURCE      "/peers/zzrpk4-rwi9wx-p1z05h/endpoints/a0f2c1-77h3kz-pq8w2d"
#define DESTINATION "/peers/bfn4ak-50jheb-c4t4d2/endpoints/b1g3d2-88i4la-qr9x3e"
#define SIGNATURE \
    "6eb2d86a980aac950e8add01a0b0fd73d1de4d6ca5344ef393af3740faec5b20" \
    "2e6543d2c7b8153122099e848004c787ce3b0da2ecd0e0b93eb983a7b55ac003" /* made with another library (OpenSSL) */
static const char JSON[] =
    "{\"stream\":\"jgn1af-pyh72a-yu37yt\",\"generation\":7,\"source\":\"" SOURCE "\",\"destination\":\"" DESTINATION
    "\",\"commander\":\"i379q7-04m0tk-hn7kmo\",\"user\":\"anna\","
    "\"issued\":1767225600007,\"signature\":\"" SIGNATURE "\"}";

static const struct grant GRANT = {
    .stream = "jgn1af-pyh72a-yu37yt",
    .generation = 7,
    .source = SOURCE,
    .destination = DESTINATION,
    .commander = "i379q7-04m0tk-hn7kmo",
    .user = "anna",
    .issued_ms = 1767225600007,
};

static struct crypto_sign_key key_a(void) {
    struct crypto_sign_key key;
    assert_true(crypto_unhex(key.public_key, sizeof key.public_key, KEY_A));
    assert_true(crypto_unhex(key.secret_key, 32, SEED_A)); /* the secret key is the seed and the public key */
    memcpy(key.secret_key + 32, key.public_key, sizeof key.public_key);
    return key;
}

static struct grant signed_grant(void) {
    struct crypto_sign_key key = key_a();
    struct grant grant = GRANT;
    grant_sign(&grant, &key);
    return grant;
}

static void assert_forbidden(const struct grant *grant) {
    struct crypto_sign_key key = key_a();
    struct err_info info = {};
    assert_int_equal(grant_verify(grant, key.public_key, &info), ERR_FORBIDDEN);
    assert_int_equal(info.code, ERR_FORBIDDEN);
    assert_true(info.message[0]);
    assert_int_equal(grant_verify(grant, key.public_key, nullptr), ERR_FORBIDDEN);
}

static void a_known_grant_has_a_known_signature(void **) {
    struct crypto_sign_key key = key_a();
    struct grant grant = signed_grant();
    char hex[2 * CRYPTO_SIGNATURE_SIZE + 1];
    crypto_hex(hex, grant.signature, sizeof grant.signature);
    assert_string_equal(hex, SIGNATURE);
    assert_int_equal(grant_verify(&grant, key.public_key, nullptr), ERR_OK);
    char *json = grant_format(&grant);
    assert_string_equal(json, JSON);
    struct grant read;
    struct err_info info = {};
    if (grant_parse(json, strlen(json), &read, &info) != ERR_OK)
        fail_msg("%s", info.message);
    assert_memory_equal(&read, &grant, sizeof grant); /* both zeroed before */
    assert_int_equal(grant_verify(&read, key.public_key, nullptr), ERR_OK);
    free(json);
}

static void what_was_signed_cannot_be_changed(void **) {
    struct grant grant = signed_grant();
    struct grant changed = grant;
    changed.stream[0] = 'k';
    assert_forbidden(&changed);
    changed = grant;
    changed.generation--; /* a grant for later generations is none for earlier ones */
    assert_forbidden(&changed);
    changed = grant;
    changed.source[7] = 'a';
    assert_forbidden(&changed);
    changed = grant;
    changed.destination[7] = 'a';
    assert_forbidden(&changed);
    changed = grant;
    snprintf(changed.destination, sizeof changed.destination, "external");
    assert_forbidden(&changed);
    changed = grant;
    changed.commander[0] = 'a';
    assert_forbidden(&changed);
    changed = grant;
    changed.user[0] = 'A';
    assert_forbidden(&changed);
    changed = grant;
    changed.issued_ms++;
    assert_forbidden(&changed);
    for (size_t bit = 0; bit < 8 * sizeof grant.signature; bit++) {
        changed = grant;
        changed.signature[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_forbidden(&changed);
    }
    changed = grant;
    memset(changed.signature, 0, sizeof changed.signature);
    assert_forbidden(&changed);

    uint8_t key_b[CRYPTO_PUBLIC_KEY_SIZE];
    assert_true(crypto_unhex(key_b, sizeof key_b, KEY_B));
    assert_int_equal(grant_verify(&grant, key_b, nullptr), ERR_FORBIDDEN);
}

/* RFC 8032, 5.1.7: S + L verifies in some libraries, so that a signature would have two forms. */
static void a_signature_has_one_form(void **) {
    static const uint8_t L[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                  0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    struct grant grant = signed_grant();
    unsigned carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += (unsigned)grant.signature[32 + i] + L[i];
        grant.signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
    assert_forbidden(&grant);
    /* nor is there one that every key has made: R and the key of small order, S zero */
    uint8_t identity[CRYPTO_PUBLIC_KEY_SIZE] = {1};
    grant = GRANT;
    grant.signature[0] = 1;
    assert_int_equal(grant_verify(&grant, identity, nullptr), ERR_FORBIDDEN);
}

static void bad_members_are_neither_signed_nor_believed(void **) {
    static const uint8_t ZERO[CRYPTO_SIGNATURE_SIZE];
    struct crypto_sign_key key = key_a();
    struct grant bad[11];
    size_t n = sizeof bad / sizeof *bad;
    for (size_t i = 0; i < n; i++) {
        bad[i] = GRANT;
        memset(bad[i].signature, 1, sizeof bad[i].signature);
    }
    bad[0].stream[0] = 0;
    bad[1].generation = 0;
    snprintf(bad[2].source, sizeof bad[2].source, "/peers/self/endpoints/a0f2c1-77h3kz-pq8w2d");
    snprintf(bad[3].source, sizeof bad[3].source, "external");
    bad[4].destination[0] = 0;
    snprintf(bad[5].commander, sizeof bad[5].commander, "self");
    snprintf(bad[6].user, sizeof bad[6].user, "anna\n1767225600007");
    snprintf(bad[7].user, sizeof bad[7].user, "anna\xc2\x85");
    bad[8].issued_ms = -1;
    memset(bad[9].user, 'a', sizeof bad[9].user);
    memset(bad[10].source, 'a', sizeof bad[10].source);
    for (size_t i = 0; i < n; i++) {
        grant_sign(&bad[i], &key);
        assert_memory_equal(bad[i].signature, ZERO, sizeof ZERO);
        assert_forbidden(&bad[i]);
    }
}

static void any_user_travels(void **) {
    static const char *const USERS[] = {
        "",     "anna",      "Zoë \"the boss\" \\o/",
        "日本", "peer:1000", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    struct crypto_sign_key key = key_a();
    for (size_t i = 0; i < sizeof USERS / sizeof *USERS; i++) {
        struct grant grant = GRANT, read;
        grant.generation = INT64_MAX;
        grant.issued_ms = INT64_MAX;
        snprintf(grant.destination, sizeof grant.destination, "external");
        snprintf(grant.user, sizeof grant.user, "%s", USERS[i]);
        grant_sign(&grant, &key);
        char *json = grant_format(&grant);
        assert_non_null(json);
        assert_true(strlen(json) <= GRANT_JSON_MAX);
        assert_int_equal(grant_parse(json, strlen(json), &read, nullptr), ERR_OK);
        assert_string_equal(read.user, USERS[i]);
        assert_int_equal(grant_verify(&read, key.public_key, nullptr), ERR_OK);
        free(json);
    }
}

/* The text of a good grant with one part replaced. */
static char *with(const char *part, const char *replacement) {
    char *text = nullptr;
    const char *at = strstr(JSON, part);
    assert_non_null(at);
    assert_true(asprintf(&text, "%.*s%s%s", (int)(at - JSON), JSON, replacement, at + strlen(part)) > 0);
    return text;
}

static void assert_unreadable(const char *json, size_t len, enum err err, const char *pointer) {
    struct grant grant, before;
    memset(&grant, 0x55, sizeof grant);
    before = grant;
    struct err_info info = {};
    enum err got = grant_parse(json, len, &grant, &info);
    if (got != err || strcmp(info.pointer, pointer) != 0 || !info.message[0])
        fail_msg("%s: error %d at '%s': %s", json, (int)got, info.pointer, info.message);
    assert_memory_equal(&grant, &before, sizeof grant);
    assert_int_equal(grant_parse(json, len, &grant, nullptr), err);
}

static void bad_text_is_refused(void **) {
    static const struct {
        const char *part, *replacement;
        enum err err;
        const char *pointer;
    } CASES[] = {
        {"{\"stream\"", "[\"stream\"", ERR_MALFORMED, ""},
        {"\"stream\"", "\"Stream\"", ERR_INVALID, ""},
        {"\"stream\"", "\"extra\":1,\"stream\"", ERR_INVALID, ""},
        {"\"stream\"", "\"str\\u0000eam\"", ERR_INVALID, ""},
        {"\"generation\":7", "\"generation\":7,\"generation\":7", ERR_INVALID, "/generation"},
        {"\"generation\":7", "\"generation\":7,\"\\u0067eneration\":7", ERR_INVALID, "/generation"},
        {"\"generation\":7,", "", ERR_INVALID, "/generation"},
        {":7,", ":0,", ERR_INVALID, "/generation"},
        {":7,", ":-7,", ERR_INVALID, "/generation"},
        {":7,", ":7.0,", ERR_INVALID, "/generation"},
        {":7,", ":7e0,", ERR_INVALID, "/generation"},
        {":7,", ":\"7\",", ERR_INVALID, "/generation"},
        {":7,", ":null,", ERR_INVALID, "/generation"},
        {":7,", ":[7],", ERR_INVALID, "/generation"},
        {":7,", ":[[7]],", ERR_MALFORMED, ""},
        {":7,", ":07,", ERR_MALFORMED, ""},
        {":7,", ":NaN,", ERR_MALFORMED, ""},
        {":7,", ":9223372036854775808,", ERR_INVALID, "/generation"},
        {":7,", ":18446744073709551615,", ERR_INVALID, "/generation"},
        {":7,", ":18446744073709551616,", ERR_INVALID, "/generation"},
        {":1767225600007", ":-1", ERR_INVALID, "/issued"},
        {":1767225600007", ":true", ERR_INVALID, "/issued"},
        {"jgn1af", "Jgn1af", ERR_INVALID, "/stream"},
        {"yu37yt\"", "yu37yt \"", ERR_INVALID, "/stream"},
        {"yu37yt\"", "yu37yt\\u0000\"", ERR_INVALID, "/stream"},
        {"\"jgn1af-pyh72a-yu37yt\"", "17", ERR_INVALID, "/stream"},
        {SOURCE, "external", ERR_INVALID, "/source"},
        {SOURCE, "/peers/self/endpoints/a0f2c1-77h3kz-pq8w2d", ERR_INVALID, "/source"},
        {SOURCE, SOURCE "/", ERR_INVALID, "/source"},
        {SOURCE, "rtp://192.0.2.1:5", ERR_INVALID, "/source"},
        {DESTINATION, "External", ERR_INVALID, "/destination"},
        {DESTINATION, "", ERR_INVALID, "/destination"},
        {"i379q7", "self", ERR_INVALID, "/commander"},
        {"anna", "anna\\n1", ERR_INVALID, "/user"},
        {"anna", "\\u007f", ERR_INVALID, "/user"},
        {"anna", "\\u0085", ERR_INVALID, "/user"},
        {"anna", "a\\u0000", ERR_INVALID, "/user"},
        {"anna", "\xff", ERR_MALFORMED, ""},
        {"anna", "\\ud800", ERR_MALFORMED, ""},
        {"anna", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ERR_INVALID, "/user"},
        {"55ac003", "55ac00", ERR_INVALID, "/signature"},
        {"55ac003", "55ac0033", ERR_INVALID, "/signature"},
        {"55ac003", "55ac003 ", ERR_INVALID, "/signature"},
        {"55ac003", "55ac00g", ERR_INVALID, "/signature"},
        {"55ac003", "55ac00\\u0000", ERR_INVALID, "/signature"},
        {"\"}", "\"},", ERR_MALFORMED, ""},
        {"\"}", "\"}{}", ERR_MALFORMED, ""},
        {"\"}", "\",}", ERR_MALFORMED, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        char *text = with(CASES[i].part, CASES[i].replacement);
        assert_unreadable(text, strlen(text), CASES[i].err, CASES[i].pointer);
        free(text);
    }
    assert_unreadable("", 0, ERR_MALFORMED, "");
    assert_unreadable("{}", 2, ERR_INVALID, "/stream");
    assert_unreadable("[]", 2, ERR_INVALID, "");
    assert_unreadable("null", 4, ERR_INVALID, "");
    for (size_t len = 1; len < strlen(JSON); len++)
        assert_unreadable(JSON, len, ERR_MALFORMED, "");
}

/* The cap holds before anything is read: a text that is far too large is not even looked at. */
static void large_text_is_refused_at_once(void **) {
    char text[GRANT_JSON_MAX + 2];
    memset(text, ' ', sizeof text);
    memcpy(text, JSON, strlen(JSON));
    struct grant grant;
    assert_int_equal(grant_parse(text, GRANT_JSON_MAX, &grant, nullptr), ERR_OK);
    assert_unreadable(text, GRANT_JSON_MAX + 1, ERR_TOO_LARGE, "");
    assert_unreadable(text, SIZE_MAX, ERR_TOO_LARGE, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_grant_has_a_known_signature),
        cmocka_unit_test(what_was_signed_cannot_be_changed),
        cmocka_unit_test(a_signature_has_one_form),
        cmocka_unit_test(bad_members_are_neither_signed_nor_believed),
        cmocka_unit_test(any_user_travels),
        cmocka_unit_test(bad_text_is_refused),
        cmocka_unit_test(large_text_is_refused_at_once),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
