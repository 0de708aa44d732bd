/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "http/guards.h"

static void only_loopback_names_are_hosts(void **) {
    static const struct {
        const char *host;
        enum err want;
    } ROWS[] = {
        {"localhost", ERR_OK},
        {"LOCALHOST:4040", ERR_OK},
        {"127.0.0.1:4040", ERR_OK},
        {"127.9.9.9", ERR_OK},
        {"[::1]:4040", ERR_OK},
        {"[::1]", ERR_OK},
        {"evil.example", ERR_MISDIRECTED},
        {"localhost.evil.example", ERR_MISDIRECTED},
        {"10.0.0.1", ERR_MISDIRECTED},
        {"[::1", ERR_MISDIRECTED},
        {"[::1]x", ERR_MISDIRECTED},
        {"", ERR_MISDIRECTED},
        {":4040", ERR_MISDIRECTED},
        {"127.0.0.1.nip.io", ERR_MISDIRECTED},
        {nullptr, ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        assert_int_equal(guard_host(ROWS[i].host, nullptr), ROWS[i].want);
}

static void only_our_own_pages_may_ask(void **) {
    static const struct {
        const char *host, *origin, *site;
        enum err want;
        bool navigation;
    } ROWS[] = {
        {"localhost:4040", nullptr, nullptr, ERR_OK},
        {"localhost:4040", "http://localhost:4040", "same-origin", ERR_OK},
        {"localhost:4040", nullptr, "none", ERR_OK},
        {"localhost:4040", "http://localhost:3000", nullptr, ERR_FORBIDDEN},
        {"localhost:4040", "https://localhost:4040", nullptr, ERR_FORBIDDEN},
        {"localhost:4040", "null", nullptr, ERR_FORBIDDEN},
        {"localhost:4040", nullptr, "cross-site", ERR_FORBIDDEN},
        {"localhost:4040", nullptr, "same-site", ERR_FORBIDDEN},
        {nullptr, "http://x", nullptr, ERR_FORBIDDEN},
        {"localhost:4040", nullptr, "cross-site", ERR_OK, true},
        {"localhost:4040", "http://evil.example", "cross-site", ERR_FORBIDDEN, true},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        assert_int_equal(guard_origin(ROWS[i].host, ROWS[i].origin, ROWS[i].site, ROWS[i].navigation, nullptr),
                         ROWS[i].want);
}

static void targets_are_decoded_once_and_trimmed(void **) {
    static const struct {
        const char *target, *path, *query;
    } ROWS[] = {
        {"/", "/", nullptr},
        {"///streams/x//", "/streams/x", nullptr},
        {"/a//b", "/a//b", nullptr},
        {"//", "/", nullptr},
        {"/streams?a=%41&b", "/streams", "a=%41&b"},
        {"/a%2fb%252f", "/a/b%2f", nullptr},
        {"/%c3%a4?", "/ä", ""},
        {"/a%00b", nullptr, nullptr},
        {"/a%0ab", nullptr, nullptr},
        {"/a%4", nullptr, nullptr},
        {"/a%zz", nullptr, nullptr},
        {"/%ff", nullptr, nullptr},
        {"/%c0%af", nullptr, nullptr},
        {"/%ed%a0%80", nullptr, nullptr},
        {"http://x/", nullptr, nullptr},
        {"*", nullptr, nullptr},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        char path[GUARD_TARGET_MAX + 1];
        const char *query = nullptr;
        enum err e = guard_target(ROWS[i].target, path, &query, nullptr);
        assert_int_equal(e, ROWS[i].path ? ERR_OK : ERR_INVALID);
        if (e == ERR_OK) {
            assert_string_equal(path, ROWS[i].path);
            if (ROWS[i].query)
                assert_string_equal(query, ROWS[i].query);
            else
                assert_null(query);
        }
    }
    char longest[GUARD_TARGET_MAX + 3];
    char path[GUARD_TARGET_MAX + 1];
    const char *query;
    memset(longest, 'a', sizeof longest);
    longest[0] = '/';
    longest[GUARD_TARGET_MAX] = 0;
    assert_int_equal(guard_target(longest, path, &query, nullptr), ERR_OK);
    longest[GUARD_TARGET_MAX] = 'a';
    longest[GUARD_TARGET_MAX + 1] = 0;
    assert_int_equal(guard_target(longest, path, &query, nullptr), ERR_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_loopback_names_are_hosts),
        cmocka_unit_test(only_our_own_pages_may_ask),
        cmocka_unit_test(targets_are_decoded_once_and_trimmed),
    };
    return cmocka_run_group_tests_name("http guards", tests, nullptr, nullptr);
}
