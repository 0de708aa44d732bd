/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/path_test.h"

#include <arpa/inet.h>
#include <string.h>

static void addresses_are_read_and_written(void **) {
    static const struct {
        const char *host;
        uint16_t port;
        const char *text;
    } cases[] = {
        {"127.0.0.1", 4040, "127.0.0.1:4040"},
        {"0.0.0.0", 0, "0.0.0.0:0"},
        {"255.255.255.255", 65535, "255.255.255.255:65535"},
        {"::1", 1, "[::1]:1"},
        {"[::1]", 65535, "[::1]:65535"},
        {"[::]", 0, "[::]:0"},
        {"2001:DB8:0:0:0:0:0:1", 7, "[2001:db8::1]:7"},
        {"[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]", 65535, "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535"},
        {"::ffff:192.0.2.1", 8, "[::ffff:192.0.2.1]:8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union path_address address = address_of(cases[i].host, cases[i].port);
        char text[PATH_ADDRESS_TEXT_SIZE];
        path_address_format(text, &address);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(path_address_port(&address), cases[i].port);
        bool v6 = strchr(cases[i].host, ':');
        assert_int_equal(address.sa.sa_family, v6 ? AF_INET6 : AF_INET);
        assert_int_equal(path_address_len(&address), v6 ? sizeof address.v6 : sizeof address.v4);
    }
}

static void names_are_looked_up(void **) {
    union path_address address = address_of("localhost", 9);
    assert_int_equal(path_address_port(&address), 9);
    assert_true(path_address_len(&address) > 0);
}

static void no_address_is_none(void **) {
    union path_address none = {};
    char text[PATH_ADDRESS_TEXT_SIZE];
    path_address_format(text, &none);
    assert_string_equal(text, "none");
    assert_int_equal(path_address_port(&none), 0);
    assert_int_equal(path_address_len(&none), 0);
    assert_false(path_address_is_multicast(&none));
}

static void what_is_no_host_is_refused(void **) {
    static char long_name[300];
    memset(long_name, 'a', sizeof long_name - 1);
    const struct {
        const char *host, *text;
        enum err err;
    } cases[] = {
        {"", "empty or longer than 255", ERR_INVALID},
        {"[]", "empty or longer than 255", ERR_INVALID},
        {long_name, "empty or longer than 255", ERR_INVALID},
        {"[127.0.0.1]", "cannot resolve the host '127.0.0.1'", ERR_UNAVAILABLE},
        {"[localhost]", "cannot resolve the host 'localhost'", ERR_UNAVAILABLE},
        {"[::1::2]", "cannot resolve the host '::1::2'", ERR_UNAVAILABLE},
        {"[2001:db8::g]", "cannot resolve the host '2001:db8::g'", ERR_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union path_address address = {};
        struct err_info info;
        assert_int_equal(path_address_resolve(cases[i].host, 1, &address, &info), cases[i].err);
        assert_non_null(strstr(info.message, cases[i].text));
        assert_int_equal(address.sa.sa_family, AF_UNSPEC);
    }
}

static void hosts_and_ports_are_compared(void **) {
    union path_address a = address_of("192.0.2.1", 1), b = address_of("192.0.2.1", 2), c = address_of("192.0.2.2", 1);
    union path_address d = address_of("2001:db8::1", 1), e = address_of("2001:db8::1", 2);
    union path_address mapped = address_of("::ffff:192.0.2.1", 1), none = {}, other_none = {};
    assert_true(path_address_same_host(&a, &b) && !path_address_equal(&a, &b) && path_address_equal(&a, &a));
    assert_false(path_address_same_host(&a, &c) || path_address_equal(&a, &c));
    assert_true(path_address_same_host(&d, &e) && !path_address_equal(&d, &e) && path_address_equal(&e, &e));
    assert_false(path_address_same_host(&a, &d) || path_address_same_host(&a, &mapped));
    assert_false(path_address_same_host(&a, &none) || path_address_same_host(&none, &d));
    assert_true(path_address_equal(&none, &other_none));
}

/* A link-local address means another host on each link; the kernel names the link, people often do not. */
static void links_are_told_apart(void **) {
    union path_address a = address_of("fe80::1", 1), b = a, unnamed = a;
    a.v6.sin6_scope_id = 2;
    b.v6.sin6_scope_id = 3;
    assert_false(path_address_same_host(&a, &b));
    assert_true(path_address_same_host(&a, &unnamed) && path_address_same_host(&unnamed, &b));
}

static void groups_are_known(void **) {
    static const struct {
        const char *host;
        bool is_group;
    } cases[] = {{"223.255.255.255", false}, {"224.0.0.1", true}, {"239.1.2.3", true}, {"240.0.0.1", false},
                 {"ff02::1", true},          {"fe80::1", false},  {"::1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        union path_address address = address_of(cases[i].host, 1);
        assert_int_equal(path_address_is_multicast(&address), cases[i].is_group);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_read_and_written),
        cmocka_unit_test(names_are_looked_up),
        cmocka_unit_test(no_address_is_none),
        cmocka_unit_test(what_is_no_host_is_refused),
        cmocka_unit_test(hosts_and_ports_are_compared),
        cmocka_unit_test(links_are_told_apart),
        cmocka_unit_test(groups_are_known),
    };
    return cmocka_run_group_tests_name("transport-path-address", tests, nullptr, nullptr);
}
