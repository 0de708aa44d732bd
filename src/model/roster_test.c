/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "model/roster.h"

/* RFC 8032, 7.1, tests 1 and 2 */
static const char KEY_A[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
static const char ID_A[] = "25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g";
static const char UID_A[] = "i379q7-04m0tk-hn7kmo";
static const char ID_B[] = "hvabpq7-iioevve-vxbktu2-g36xsoj-qlgpf3c-jndgazv-k7ckxum-ygaly5n";
static const char UID_B[] = "zzrpk4-rwi9wx-p1z05h";
/* the negative of A: the sign of x is another, the point on the curve of X25519 is the same */
static const char ID_MINUS_A[] = "25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-gna3nl6";
static const char CURVE_A[] = "d85e07ec22b0ad881537c2f44d662d1a143cf830c57aca4305d85c7a90f6b62e";

static void assert_refused(struct roster *roster, const char *id, const char *address, enum roster_role role,
                           const uint8_t *own, enum err err, const char *pointer, const char *complaint) {
    struct err_info info = {};
    size_t n = roster->n;
    assert_int_equal(roster_add(roster, id, address, role, own, &info), err);
    assert_int_equal(info.code, err);
    assert_string_equal(info.pointer, pointer);
    if (!strstr(info.message, complaint))
        fail_msg("no '%s' in: %s", complaint, info.message);
    assert_int_equal(roster->n, n);
    assert_int_equal(roster_add(roster, id, address, role, own, nullptr), err);
}

static void members_are_found(void **) {
    struct roster roster = {};
    uint8_t key_a[CRYPTO_PUBLIC_KEY_SIZE], curve_a[CRYPTO_DH_KEY_SIZE];
    assert_true(crypto_unhex(key_a, sizeof key_a, KEY_A));
    assert_true(crypto_unhex(curve_a, sizeof curve_a, CURVE_A));
    assert_null(roster_find(&roster, UID_A));
    assert_null(roster_find_curve_key(&roster, curve_a));

    assert_int_equal(roster_add(&roster, "25NJQAM cweflpv kl73j4s zahhiho c4xt3kt cgjnpai ngr5yhk enaan5g",
                                "kitchen.example:4041", ROSTER_OPERATOR, nullptr, nullptr),
                     ERR_OK);
    assert_int_equal(roster_add(&roster, ID_B, nullptr, ROSTER_ADMIN, key_a, nullptr), ERR_OK);
    assert_int_equal(roster.n, 2);

    const struct roster_member *a = roster_find(&roster, UID_A);
    assert_non_null(a);
    assert_string_equal(a->node_id, ID_A);
    assert_string_equal(a->uid, UID_A);
    assert_string_equal(a->address, "kitchen.example:4041");
    assert_int_equal(a->role, ROSTER_OPERATOR);
    assert_memory_equal(a->public_key, key_a, sizeof key_a);
    assert_memory_equal(a->curve_key, curve_a, sizeof curve_a);
    assert_ptr_equal(roster_find_curve_key(&roster, curve_a), a);

    const struct roster_member *b = roster_find(&roster, UID_B);
    assert_non_null(b);
    assert_string_equal(b->address, "");
    assert_int_equal(b->role, ROSTER_ADMIN);
    curve_a[0] ^= 1;
    assert_null(roster_find_curve_key(&roster, curve_a));
    assert_null(roster_find(&roster, "jgn1af-pyh72a-yu37yt"));
    assert_null(roster_find(&roster, ""));
    roster_finish(&roster);
    assert_null(roster_find(&roster, UID_A));
    roster_finish(&roster);
}

static void one_key_is_one_member(void **) {
    struct roster roster = {};
    uint8_t key_a[CRYPTO_PUBLIC_KEY_SIZE];
    assert_true(crypto_unhex(key_a, sizeof key_a, KEY_A));
    assert_refused(&roster, ID_A, nullptr, ROSTER_VIEWER, key_a, ERR_INVALID, "id", "this peer itself");
    assert_refused(&roster, ID_MINUS_A, nullptr, ROSTER_VIEWER, key_a, ERR_INVALID, "id", "this peer itself");
    assert_int_equal(roster_add(&roster, ID_A, "", ROSTER_VIEWER, nullptr, nullptr), ERR_OK);
    assert_refused(&roster, ID_A, nullptr, ROSTER_ADMIN, nullptr, ERR_CONFLICT, "id", "listed twice");
    assert_refused(&roster, ID_MINUS_A, nullptr, ROSTER_ADMIN, nullptr, ERR_CONFLICT, "id", "listed twice");
    assert_int_equal(roster.members[0].role, ROSTER_VIEWER);
    roster_finish(&roster);
}

static void bad_members_are_refused(void **) {
    struct roster roster = {};
    char longest[400];
    assert_refused(&roster, "kitchen", nullptr, ROSTER_VIEWER, nullptr, ERR_INVALID, "id", "this has 7");
    assert_refused(&roster, "", nullptr, ROSTER_VIEWER, nullptr, ERR_INVALID, "id", "this has 0");
    assert_refused(&roster, ID_A, nullptr, ROSTER_NOBODY, nullptr, ERR_INVALID, "role", "viewer");
    assert_refused(&roster, ID_A, nullptr, (enum roster_role)4, nullptr, ERR_INVALID, "role", "viewer");
    static const char *const ADDRESSES[] = {
        "kitchen",
        "kitchen:",
        ":4041",
        "kitchen:0",
        "kitchen:65536",
        "kitchen:04041",
        "kitchen:4041/x",
        "a b:4041",
        "2001:db8::1:1",
        "[::1]",
        "[::1:4041",
        "[127.0.0.1]:4041",
        "tcp://kitchen:1",
        "me@kitchen:1",
        "kitchen:4041 ",
        " kitchen:4041",
        "kitchen:4041:4041",
        "1.2.3:4041",
        "kitchen:+4041",
        "-kitchen:4041",
        "kitchen..x:4041",
        "*:4041",
        "[fe80::1%eth0]:4041",
        "kitchen\n:4041",
    };
    for (size_t i = 0; i < sizeof ADDRESSES / sizeof *ADDRESSES; i++)
        assert_refused(&roster, ID_A, ADDRESSES[i], ROSTER_VIEWER, nullptr, ERR_INVALID, "address", "want host:port");
    memset(longest, 'a', sizeof longest);
    snprintf(longest + sizeof longest - 6, 6, ":4041");
    assert_refused(&roster, ID_A, longest, ROSTER_VIEWER, nullptr, ERR_INVALID, "address", "want host:port");
    static const char *const GOOD[] = {"192.0.2.10:1", "[::1]:65535", "kitchen:4041", "Kitchen-2.local.:4041"};
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        assert_int_equal(roster_add(&roster, ID_A, GOOD[i], ROSTER_VIEWER, nullptr, nullptr), ERR_OK);
        assert_string_equal(roster.members[0].address, GOOD[i]);
        roster_finish(&roster);
    }
}

static void one_address_is_of_one_member(void **) {
    struct roster roster = {};
    static const struct {
        const char *taken, *again[3];
    } CASES[] = {
        {"192.0.2.10:4041", {"192.0.2.10:4041"}},
        {"kitchen.example:4041", {"kitchen.example:4041", "Kitchen.Example:4041"}},
        {"[2001:db8::10]:4041", {"[2001:db8::10]:4041", "[2001:DB8:0::10]:4041"}},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        assert_int_equal(roster_add(&roster, ID_A, CASES[i].taken, ROSTER_VIEWER, nullptr, nullptr), ERR_OK);
        for (size_t k = 0; CASES[i].again[k]; k++) {
            assert_refused(&roster, ID_B, CASES[i].again[k], ROSTER_VIEWER, nullptr, ERR_CONFLICT, "address", ID_A);
            assert_refused(&roster, ID_B, CASES[i].again[k], ROSTER_VIEWER, nullptr, ERR_CONFLICT, "address",
                           CASES[i].taken);
        }
        roster_finish(&roster);
    }
    /* Another port is another rocd, and several may have no address. */
    assert_int_equal(roster_add(&roster, ID_A, "192.0.2.10:4041", ROSTER_VIEWER, nullptr, nullptr), ERR_OK);
    assert_int_equal(roster_add(&roster, ID_B, "192.0.2.10:4051", ROSTER_VIEWER, nullptr, nullptr), ERR_OK);
    roster_finish(&roster);
    assert_int_equal(roster_add(&roster, ID_A, "", ROSTER_VIEWER, nullptr, nullptr), ERR_OK);
    assert_int_equal(roster_add(&roster, ID_B, nullptr, ROSTER_VIEWER, nullptr, nullptr), ERR_OK);
    roster_finish(&roster);
}

static void a_site_is_not_endless(void **) {
    struct roster roster = {};
    char id[NODE_ID_SIZE];
    struct crypto_sign_key key;
    for (size_t i = 0; i <= ROSTER_MAX; i++) {
        crypto_sign_key_make(&key);
        node_id_format(id, key.public_key);
        if (i < ROSTER_MAX)
            assert_int_equal(roster_add(&roster, id, "", ROSTER_OPERATOR, nullptr, nullptr), ERR_OK);
    }
    assert_refused(&roster, id, "", ROSTER_OPERATOR, nullptr, ERR_LIMIT, "", "at most 64");
    for (size_t i = 0; i < ROSTER_MAX; i++) {
        assert_ptr_equal(roster_find(&roster, roster.members[i].uid), &roster.members[i]);
        assert_ptr_equal(roster_find_curve_key(&roster, roster.members[i].curve_key), &roster.members[i]);
    }
    roster_finish(&roster);
}

static void roles_have_names(void **) {
    static const char *const NAMES[] = {"nobody", "viewer", "operator", "admin"};
    for (int role = ROSTER_NOBODY; role <= ROSTER_ADMIN; role++) {
        enum roster_role read = ROSTER_NOBODY;
        assert_string_equal(roster_role_name((enum roster_role)role), NAMES[role]);
        assert_int_equal(roster_role_parse(NAMES[role], &read), role != ROSTER_NOBODY);
        assert_int_equal(read, role);
    }
    enum roster_role read = ROSTER_VIEWER;
    static const char *const OTHERS[] = {"", "Admin", "admin ", "root", "oper"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        assert_false(roster_role_parse(OTHERS[i], &read));
    assert_int_equal(read, ROSTER_VIEWER);
    static_assert(ROSTER_VIEWER < ROSTER_OPERATOR && ROSTER_OPERATOR < ROSTER_ADMIN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_found),
        cmocka_unit_test(one_key_is_one_member),
        cmocka_unit_test(one_address_is_of_one_member),
        cmocka_unit_test(bad_members_are_refused),
        cmocka_unit_test(a_site_is_not_endless),
        cmocka_unit_test(roles_have_names),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
