/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "app/site.h"

#define ID_A "25njqam-cweflpv-kl73j4s-zahhiho-c4xt3kt-cgjnpai-ngr5yhk-enaan5g" /* RFC 8032, 7.1, test 1 */
#define ID_B "hvabpq7-iioevve-vxbktu2-g36xsoj-qlgpf3c-jndgazv-k7ckxum-ygaly5n"
static const char KEY_A[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

static struct config config_of(const char *text) {
    struct config config;
    struct err_info info = {};
    assert_int_equal(config_defaults(&config, &info), ERR_OK);
    if (config_load_text(&config, "site.yaml", text, strlen(text), &info) != ERR_OK)
        fail_msg("%s", info.message);
    return config;
}

static void listed_peers_are_members(void **) {
    struct config config = config_of("site:\n  peers:\n"
                                     "    - {id: " ID_A ", address: 'kitchen:4041'}\n"
                                     "    - {id: " ID_B ", role: viewer}\n");
    struct roster roster = {};
    assert_int_equal(site_roster(&config, nullptr, &roster, nullptr), ERR_OK);
    assert_int_equal(roster.n, 2);
    const struct roster_member *a = roster_find(&roster, "i379q7-04m0tk-hn7kmo");
    assert_non_null(a);
    assert_string_equal(a->address, "kitchen:4041");
    assert_int_equal(a->role, ROSTER_OPERATOR);
    assert_int_equal(roster.members[1].role, ROSTER_VIEWER);
    assert_string_equal(roster.members[1].address, "");
    roster_finish(&roster);
    config_finish(&config);
}

static void a_site_of_one_has_no_members(void **) {
    struct config config = config_of("name: alone\n");
    struct roster roster = {};
    assert_int_equal(site_roster(&config, nullptr, &roster, nullptr), ERR_OK);
    assert_int_equal(roster.n, 0);
    roster_finish(&roster);
    config_finish(&config);
}

static void mistakes_are_told_with_their_place(void **) {
    static const struct {
        const char *text;
        enum err err;
        const char *message;
    } CASES[] = {
        {"site:\n  peers:\n    - id: kitchen\n", ERR_INVALID, "site.yaml:3:11: site.peers[0].id: a node id has 56 "},
        {"site:\n  peers:\n    - id: " ID_B "\n      address: kitchen\n", ERR_INVALID,
         "site.yaml:4:16: site.peers[0].address: 'kitchen' is no address of a peer: want host:port"},
        {"site:\n  peers:\n    - id: " ID_B "\n    - id: " ID_B "\n", ERR_CONFLICT,
         "site.yaml:4:11: site.peers[1].id: the peer " ID_B " is listed twice"},
        {"site:\n  peers:\n    - id: " ID_B "\n    - role: admin\n      id: " ID_A "\n", ERR_INVALID,
         "site.yaml:5:11: site.peers[1].id: this is the node id of this peer itself"},
    };
    uint8_t own[CRYPTO_PUBLIC_KEY_SIZE];
    assert_true(crypto_unhex(own, sizeof own, KEY_A));
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        struct config config = config_of(CASES[i].text);
        struct roster roster = {.n = 7};
        struct err_info info = {};
        assert_int_equal(site_roster(&config, own, &roster, &info), CASES[i].err);
        if (strncmp(info.message, CASES[i].message, strlen(CASES[i].message)))
            fail_msg("case %zu: %s", i, info.message);
        assert_int_equal(strncmp(info.pointer, "site.peers[", 11), 0);
        assert_int_equal(roster.n, 7);
        config_finish(&config);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(listed_peers_are_members),
        cmocka_unit_test(a_site_of_one_has_no_members),
        cmocka_unit_test(mistakes_are_told_with_their_place),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 1;
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
