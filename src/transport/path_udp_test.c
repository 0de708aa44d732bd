/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/path_test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

/* Real sockets on the loopback, all ports chosen by the system; nothing waits but on a socket. */

constexpr int DEADLINE_MS = 30'000;

/* ---- two ends ---- */

struct ends {
    struct path *sender, *receiver;
    struct path_udp_config local, remote;
};

static const char *const hosts[] = {"127.0.0.1", "::1"};
constexpr size_t N_HOSTS = sizeof hosts / sizeof hosts[0];

static struct path *receiver_at(const char *host, struct path_udp_config *local) {
    struct path *path;
    struct err_info info;
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        local->address[i] = address_of(host, 0);
    if (path_udp_open_receiver(local, &path, &info) != ERR_OK)
        fail_msg("%s", info.message);
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        local->address[i] = address_of(host, path->ops->local_port(path, i));
    return path;
}

static struct path *sender_to(const struct path_udp_config *remote) {
    struct path *path;
    struct err_info info;
    if (path_udp_open_sender(remote, &path, &info) != ERR_OK)
        fail_msg("%s", info.message);
    return path;
}

static struct ends open_ends(const char *host) {
    struct ends ends = {};
    ends.receiver = receiver_at(host, &ends.local);
    ends.remote = ends.local;
    ends.sender = sender_to(&ends.remote);
    return ends;
}

static void close_ends(struct ends *ends) {
    ends->sender->ops->close(ends->sender);
    ends->receiver->ops->close(ends->receiver);
}

static bool is_readable_within(const struct path *path, int ms) {
    struct pollfd fds[MEDIA_N_IFACES];
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        fds[i] = (struct pollfd){.fd = path->ops->poll_fd(path, i), .events = POLLIN};
    return poll(fds, MEDIA_N_IFACES, ms) > 0;
}

static bool is_readable(const struct path *path) {
    return is_readable_within(path, 0);
}

/* n packets, however long they take. */
static void receive(struct path *path, struct packet *packets, size_t n) {
    for (size_t got = 0; got < n;) {
        if (!is_readable_within(path, DEADLINE_MS))
            fail_msg("%zu of %zu packets have come", got, n);
        got += path->ops->receive(path, packets + got, n - got);
    }
}

static size_t n_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    size_t n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* A socket that is no path: for datagrams that a path does not send. */
static int stranger_at(const char *host, union path_address *ret) {
    *ret = address_of(host, 0);
    socklen_t len = sizeof *ret;
    int fd = socket(ret->sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, &ret->sa, path_address_len(ret)), 0);
    assert_int_equal(getsockname(fd, &ret->sa, &len), 0);
    return fd;
}

static void throw(int fd, const union path_address *to, const void *data, size_t len) {
    assert_int_equal(sendto(fd, data, len, 0, &to->sa, path_address_len(to)), len);
}

/* ---- to and fro ---- */

static void a_watched_path_asks_only_where_packets_are_said_to_wait(void **) {
    struct ends ends = open_ends("127.0.0.1");
    struct packet sent[2] = {packet_of(1, MEDIA_SOURCE, 100), packet_of(2, MEDIA_REPAIR, 100)}, got[2];
    ends.receiver->watched = true;
    ends.sender->ops->send(ends.sender, sent, 2);
    for (enum media_iface i = MEDIA_SOURCE; i <= MEDIA_REPAIR; i++) {
        struct pollfd fd = {.fd = ends.receiver->ops->poll_fd(ends.receiver, i), .events = POLLIN};
        assert_int_equal(poll(&fd, 1, DEADLINE_MS), 1);
    }
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got, 2), 0);
    ends.receiver->ready[MEDIA_REPAIR] = true;
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got, 2), 1);
    assert_packet(&got[0], 2, MEDIA_REPAIR, 100);
    assert_false(ends.receiver->ready[MEDIA_REPAIR]);
    ends.receiver->ready[MEDIA_SOURCE] = true;
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got, 1), 1);
    assert_packet(&got[0], 1, MEDIA_SOURCE, 100);
    assert_true(ends.receiver->ready[MEDIA_SOURCE]); /* its end has not been seen */
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got, 1), 0);
    assert_false(ends.receiver->ready[MEDIA_SOURCE]);
    close_ends(&ends);
}

static void each_interface_has_a_port(void **) {
    for (size_t h = 0; h < N_HOSTS; h++) {
        struct ends ends = open_ends(hosts[h]);
        struct packet sent[MEDIA_N_IFACES], got;
        for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++) {
            assert_true(path_address_port(&ends.local.address[i]) != 0);
            for (enum media_iface j = 0; j < i; j++)
                assert_false(path_address_equal(&ends.local.address[i], &ends.local.address[j]));
            sent[i] = packet_of(i, i, (uint16_t)(100 + i));
        }
        assert_false(is_readable(ends.receiver));
        int64_t before_ns = clock_now_ns(clock_system());
        ends.sender->ops->send(ends.sender, sent, MEDIA_N_IFACES);
        unsigned seen = 0;
        for (int n = 0; n < 3; n++) {
            receive(ends.receiver, &got, 1);
            assert_packet(&got, got.iface, got.iface, (uint16_t)(100 + got.iface));
            seen |= 1u << got.iface;
            /* One socket sends them all. */
            union path_address from = address_of(hosts[h], ends.sender->ops->local_port(ends.sender, MEDIA_SOURCE));
            assert_true(path_address_equal(&got.from, &from));
            /* The kernel's time, turned into ours: it may be a little off. */
            assert_in_range(got.received_ns, before_ns - NS_PER_S, clock_now_ns(clock_system()));
        }
        assert_int_equal(seen, 7);
        assert_false(is_readable(ends.receiver));
        assert_int_equal(ends.sender->counters.packets_sent, 3);
        assert_int_equal(ends.sender->counters.bytes_sent, 303);
        assert_int_equal(ends.receiver->counters.packets_received, 3);
        assert_int_equal(ends.receiver->counters.bytes_received, 303);
        close_ends(&ends);
    }
}

static void feedback_comes_back(void **) {
    for (size_t h = 0; h < N_HOSTS; h++) {
        struct ends ends = open_ends(hosts[h]);
        struct packet report = packet_of(1, MEDIA_CONTROL, 80), got;
        /* Nobody has spoken yet: there is nowhere to send it, and nothing is wrong with that. */
        ends.receiver->ops->send(ends.receiver, &report, 1);
        assert_int_equal(ends.receiver->counters.packets_sent + ends.receiver->counters.send_dropped, 0);

        ends.sender->ops->send(ends.sender, &report, 1);
        receive(ends.receiver, &got, 1);
        ends.receiver->ops->set_feedback_address(ends.receiver, &got.from);
        report = packet_of(2, MEDIA_CONTROL, 60);
        ends.receiver->ops->send(ends.receiver, &report, 1);
        receive(ends.sender, &got, 1);
        assert_packet(&got, 2, MEDIA_CONTROL, 60);
        assert_true(path_address_equal(&got.from, &ends.local.address[MEDIA_CONTROL]));
        close_ends(&ends);
    }
}

static void a_sender_hears_only_whom_it_sends_to(void **) {
    struct ends ends = open_ends("127.0.0.1");
    union path_address to = address_of("127.0.0.1", ends.sender->ops->local_port(ends.sender, MEDIA_SOURCE)), from;
    int stranger = stranger_at("127.0.0.2", &from);
    struct packet report = packet_of(5, MEDIA_CONTROL, 60), got;
    throw(stranger, &to, "psst", 4);
    ends.receiver->ops->set_feedback_address(ends.receiver, &to);
    ends.receiver->ops->send(ends.receiver, &report, 1);
    receive(ends.sender, &got, 1);
    assert_packet(&got, 5, MEDIA_CONTROL, 60);
    assert_int_equal(ends.sender->counters.packets_received, 2);
    close(stranger);
    close_ends(&ends);
}

static void more_than_a_batch_goes_at_once(void **) {
    static struct packet sent[100], got[100];
    for (size_t h = 0; h < N_HOSTS; h++) {
        struct ends ends = open_ends(hosts[h]);
        for (uint32_t i = 0; i < 100; i++)
            sent[i] = packet_of(i, MEDIA_SOURCE, (uint16_t)(1 + 2 * i));
        ends.sender->ops->send(ends.sender, sent, 100);
        receive(ends.receiver, got, 100);
        for (uint32_t i = 0; i < 100; i++)
            assert_packet(&got[i], i, MEDIA_SOURCE, (uint16_t)(1 + 2 * i));
        assert_int_equal(ends.sender->counters.send_dropped, 0);
        ends.sender->ops->send(ends.sender, sent, 0);
        assert_int_equal(ends.sender->counters.packets_sent, 100);
        close_ends(&ends);
    }
}

static void a_flooded_port_does_not_starve_the_others(void **) {
    static struct packet sent[100], got[4];
    struct ends ends = open_ends("127.0.0.1");
    for (uint32_t i = 0; i < 100; i++)
        sent[i] = packet_of(i, MEDIA_SOURCE, 20);
    sent[98].iface = MEDIA_REPAIR;
    sent[99].iface = MEDIA_CONTROL;
    ends.sender->ops->send(ends.sender, sent, 100);
    unsigned seen = 0;
    for (int i = 0; i < 6; i++) {
        size_t n = ends.receiver->ops->receive(ends.receiver, got, 4);
        assert_int_equal(n, 4);
        for (size_t k = 0; k < n; k++)
            seen |= 1u << got[k].iface;
    }
    assert_int_equal(seen, 7);
    close_ends(&ends);
}

/* ---- odd datagrams ---- */

static void only_what_fits_a_packet_is_taken(void **) {
    static uint8_t big[60'000];
    for (size_t h = 0; h < N_HOSTS; h++) {
        struct ends ends = open_ends(hosts[h]);
        union path_address from;
        int stranger = stranger_at(hosts[h], &from);
        const union path_address *to = &ends.local.address[MEDIA_SOURCE];
        struct packet whole = packet_of(1, MEDIA_SOURCE, PACKET_MAX), last = packet_of(2, MEDIA_SOURCE, 1), got[2];
        throw(stranger, to, big, sizeof big);
        throw(stranger, to, whole.data, PACKET_MAX);
        throw(stranger, to, big, 0);
        throw(stranger, to, big, PACKET_MAX + 1);
        throw(stranger, to, last.data, 1);
        receive(ends.receiver, got, 2);
        assert_packet(&got[0], 1, MEDIA_SOURCE, PACKET_MAX);
        assert_packet(&got[1], 2, MEDIA_SOURCE, 1);
        assert_true(path_address_equal(&got[0].from, &from));
        assert_int_equal(ends.receiver->counters.packets_received, 5);
        close(stranger);
        close_ends(&ends);
    }
}

static void a_closed_port_fails_nothing(void **) {
    for (size_t h = 0; h < N_HOSTS; h++) {
        struct ends ends = open_ends(hosts[h]);
        struct path_udp_config gone;
        struct path *closed = receiver_at(hosts[h], &gone);
        closed->ops->close(closed);
        ends.sender->ops->close(ends.sender);
        ends.remote.address[MEDIA_SOURCE] = gone.address[MEDIA_SOURCE];
        ends.sender = sender_to(&ends.remote);
        static struct packet sent[50];
        for (int round = 0; round < 3; round++) {
            struct packet got[10];
            for (uint32_t i = 0; i < 50; i++)
                sent[i] = packet_of(i, i % 5 ? MEDIA_SOURCE : MEDIA_REPAIR, 30);
            ends.sender->ops->send(ends.sender, sent, 50);
            receive(ends.receiver, got, 10);
            for (uint32_t i = 0; i < 10; i++)
                assert_packet(&got[i], 5 * i, MEDIA_REPAIR, 30);
            assert_int_equal(ends.sender->ops->receive(ends.sender, got, 10), 0);
        }
        assert_int_equal(ends.sender->counters.packets_sent, 150);
        assert_int_equal(ends.sender->counters.send_dropped, 0);
        close_ends(&ends);
    }
}

/* No way leads there: each datagram is refused by itself, and the others go. */
static void what_cannot_be_sent_is_dropped_alone(void **) {
    struct ends ends = open_ends("127.0.0.1");
    ends.sender->ops->close(ends.sender);
    ends.remote.address[MEDIA_SOURCE] = address_of("255.255.255.255", 9); /* without SO_BROADCAST */
    ends.sender = sender_to(&ends.remote);
    static struct packet sent[90], got[30];
    for (uint32_t i = 0; i < 90; i++)
        sent[i] = packet_of(i, i % 3 == 1 ? MEDIA_REPAIR : MEDIA_SOURCE, 40);
    ends.sender->ops->send(ends.sender, sent, 90);
    receive(ends.receiver, got, 30);
    for (uint32_t i = 0; i < 30; i++)
        assert_packet(&got[i], 3 * i + 1, MEDIA_REPAIR, 40);
    assert_int_equal(ends.sender->counters.packets_sent, 30);
    assert_int_equal(ends.sender->counters.send_dropped, 60);
    close_ends(&ends);
}

/* ---- opening ---- */

static void interfaces_may_be_left_out(void **) {
    struct path_udp_config local = {.address = {[MEDIA_SOURCE] = address_of("127.0.0.1", 0)}};
    struct path *receiver, *sender;
    struct packet sent[3] = {packet_of(0, MEDIA_REPAIR, 9), packet_of(1, MEDIA_CONTROL, 9),
                             packet_of(2, MEDIA_SOURCE, 9)};
    struct packet got;
    assert_int_equal(path_udp_open_receiver(&local, &receiver, nullptr), ERR_OK);
    assert_int_equal(receiver->ops->local_port(receiver, MEDIA_REPAIR), 0);
    local.address[MEDIA_SOURCE] = address_of("127.0.0.1", receiver->ops->local_port(receiver, MEDIA_SOURCE));
    sender = sender_to(&local);
    sender->ops->send(sender, sent, 3);
    receive(receiver, &got, 1);
    assert_packet(&got, 2, MEDIA_SOURCE, 9);
    assert_int_equal(sender->counters.packets_sent, 1);
    assert_int_equal(sender->counters.send_dropped, 0);
    const struct path_ops *ops = sender->ops;
    ops->close(sender);
    ops->close(nullptr);
    receiver->ops->close(receiver);
}

static void a_port_that_is_taken_is_named(void **) {
    for (size_t h = 0; h < N_HOSTS; h++) {
        struct path_udp_config taken, wanted;
        struct path *first = receiver_at(hosts[h], &taken), *second;
        size_t n_open = n_descriptors();
        for (enum media_iface iface = 0; iface < MEDIA_N_IFACES; iface++) {
            for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
                wanted.address[i] = i == iface ? taken.address[MEDIA_SOURCE] : address_of(hosts[h], 0);
            struct err_info info;
            char text[PATH_ADDRESS_TEXT_SIZE], port[32];
            path_address_format(text, &wanted.address[iface]);
            snprintf(port, sizeof port, "UDP port %u is in use", path_address_port(&wanted.address[iface]));
            assert_int_equal(path_udp_open_receiver(&wanted, &second, &info), ERR_BUSY);
            assert_non_null(strstr(info.message, port));
            assert_non_null(strstr(info.message, text));
            assert_non_null(strstr(info.message, (const char *[]){"source", "repair", "control"}[iface]));
            assert_non_null(strstr(info.message, "choose another port, or 0"));
        }
        assert_int_equal(n_descriptors(), n_open);
        first->ops->close(first);
    }
}

static void impossible_addresses_are_refused(void **) {
    struct path_udp_config good = {.address = {[MEDIA_SOURCE] = address_of("127.0.0.1", 9)}}, bad;
    struct path *path;
    struct err_info info;
    size_t n_open = n_descriptors();

    bad = good;
    bad.address[MEDIA_SOURCE] = (union path_address){};
    assert_int_equal(path_udp_open_sender(&bad, &path, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "needs an address for source packets"));
    assert_int_equal(path_udp_open_receiver(&bad, &path, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "needs an address for source packets"));

    bad = good;
    bad.address[MEDIA_REPAIR] = address_of("::1", 9);
    assert_int_equal(path_udp_open_sender(&bad, &path, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "source and repair packets cannot go to an IPv4 and an IPv6 address"));

    bad = good;
    bad.address[MEDIA_CONTROL] = address_of("127.0.0.1", 0);
    assert_int_equal(path_udp_open_sender(&bad, &path, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "port for control packets is 0"));

    bad = good;
    bad.address[MEDIA_SOURCE] = address_of("192.0.2.1", 0); /* of documentation: nobody has it */
    assert_int_equal(path_udp_open_receiver(&bad, &path, &info), ERR_UNAVAILABLE);
    assert_non_null(strstr(info.message, "this machine has no address 192.0.2.1:0; bind one it has"));
    assert_int_equal(n_descriptors(), n_open);
}

static void a_flood_of_bad_datagrams_does_not_hold_the_thread(void **) {
    struct ends ends = open_ends("127.0.0.1");
    union path_address from;
    int stranger = stranger_at("127.0.0.1", &from);
    for (int i = 0; i < 100; i++)
        throw(stranger, &ends.local.address[MEDIA_SOURCE], "", 0);
    struct packet sent = packet_of(1, MEDIA_SOURCE, 100), got[4];
    ends.sender->ops->send(ends.sender, &sent, 1);
    assert_true(is_readable_within(ends.receiver, DEADLINE_MS));
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got, 4), 0);
    assert_in_range(ends.receiver->counters.packets_received, 16, 19);
    receive(ends.receiver, got, 1);
    assert_packet(&got[0], 1, MEDIA_SOURCE, 100);
    close(stranger);
    close_ends(&ends);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flood_of_bad_datagrams_does_not_hold_the_thread),
        cmocka_unit_test(a_watched_path_asks_only_where_packets_are_said_to_wait),
        cmocka_unit_test(each_interface_has_a_port),
        cmocka_unit_test(feedback_comes_back),
        cmocka_unit_test(a_sender_hears_only_whom_it_sends_to),
        cmocka_unit_test(more_than_a_batch_goes_at_once),
        cmocka_unit_test(a_flooded_port_does_not_starve_the_others),
        cmocka_unit_test(only_what_fits_a_packet_is_taken),
        cmocka_unit_test(a_closed_port_fails_nothing),
        cmocka_unit_test(what_cannot_be_sent_is_dropped_alone),
        cmocka_unit_test(interfaces_may_be_left_out),
        cmocka_unit_test(a_port_that_is_taken_is_named),
        cmocka_unit_test(impossible_addresses_are_refused),
    };
    return cmocka_run_group_tests_name("transport-path-udp", tests, nullptr, nullptr);
}
