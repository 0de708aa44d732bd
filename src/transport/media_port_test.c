/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/sealed_test.h"

#include <dirent.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/thread.h"

static size_t n_descriptors(void) {
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    size_t n = 0;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* ---- opening ---- */

static void a_port_is_chosen_and_named(void **) {
    static const char *const addresses[] = {"127.0.0.1", "::1", "0.0.0.0", "::"};
    size_t n_open = n_descriptors();
    for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++) {
        struct media_port *port = port_at(addresses[i]), *second = nullptr;
        struct err_info info;
        char text[32];
        assert_int_not_equal(media_port_number(port), 0);
        struct media_port_config config = {.address = addresses[i], .port = media_port_number(port)};
        assert_int_equal(media_port_open(&config, &second, &info), ERR_BUSY);
        snprintf(text, sizeof text, "UDP port %u is in use", media_port_number(port));
        assert_non_null(strstr(info.message, text));
        media_port_close(port);
        assert_int_equal(media_port_open(&config, &second, nullptr), ERR_OK); /* now it is free */
        assert_int_equal(media_port_number(second), config.port);
        media_port_close(second);
    }
    media_port_close(nullptr);
    assert_int_equal(n_descriptors(), n_open);
}

static void other_addresses_are_refused(void **) {
    static const struct {
        const char *address;
        enum err err;
    } cases[] = {
        {"", ERR_INVALID},
        {"localhost", ERR_INVALID},
        {"127.0.0.1:4000", ERR_INVALID},
        {"1.2.3", ERR_INVALID},
        {"[::1]", ERR_INVALID},
        {"192.0.2.1", ERR_UNAVAILABLE},
        {"2001:db8::1", ERR_UNAVAILABLE},
    };
    size_t n_open = n_descriptors();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct media_port *port = nullptr;
        struct err_info info = {};
        assert_int_equal(media_port_open(&(struct media_port_config){.address = cases[i].address}, &port, &info),
                         cases[i].err);
        assert_null(port);
        assert_non_null(strstr(info.message, cases[i].address));
    }
    assert_int_equal(n_descriptors(), n_open);
}

/* ---- links ---- */

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void links_are_random_and_each_is_another(void **) {
    static uint32_t links[MEDIA_LINKS_MAX], sorted[MEDIA_LINKS_MAX];
    struct media_port *port = port_at("127.0.0.1");
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < MEDIA_LINKS_MAX; i++) {
            links[i] = sorted[i] = media_port_reserve_link(port);
            assert_int_not_equal(links[i], 0);
        }
        assert_int_equal(media_port_reserve_link(port), 0);
        qsort(sorted, MEDIA_LINKS_MAX, sizeof *sorted, by_number);
        for (size_t i = 1; i < MEDIA_LINKS_MAX; i++)
            assert_int_not_equal(sorted[i - 1], sorted[i]);
        /* no bit of them is always the same */
        for (int bit = 0; bit < 32; bit++) {
            size_t n_set = 0;
            for (size_t i = 0; i < MEDIA_LINKS_MAX; i++)
                n_set += links[i] >> bit & 1;
            assert_in_range(n_set, MEDIA_LINKS_MAX / 4, MEDIA_LINKS_MAX * 3 / 4);
        }
        media_port_release_link(port, 0);
        media_port_release_link(port, links[0] ^ 0x8000'0000); /* nobody's */
        assert_int_equal(media_port_reserve_link(port), 0);
        media_port_release_link(port, links[0]);
        media_port_release_link(port, links[0]);
        links[0] = media_port_reserve_link(port);
        assert_int_not_equal(links[0], 0);
        assert_int_equal(media_port_reserve_link(port), 0);
        for (size_t i = 0; i < MEDIA_LINKS_MAX; i++)
            media_port_release_link(port, links[i]);
    }
    media_port_close(port);
}

static void a_path_takes_its_link_along(void **) {
    struct media_port *port = port_at("127.0.0.1");
    struct path_sealed_config config = {.port = port};
    struct err_info info;
    struct path *path = nullptr;
    static uint32_t links[MEDIA_LINKS_MAX];
    for (size_t i = 0; i < MEDIA_LINKS_MAX; i++)
        links[i] = media_port_reserve_link(port);
    config.own_link = media_port_reserve_link(port);
    assert_int_equal(path_sealed_open(&config, &path, &info), ERR_LIMIT);
    assert_non_null(strstr(info.message, "1024 links"));

    config.own_link = links[0];
    path = sealed_path(&config);
    media_port_release_link(port, links[0]); /* too late: it is the path's */
    assert_int_equal(media_port_reserve_link(port), 0);
    const struct path_ops *ops = path->ops;
    ops->close(path);
    ops->close(nullptr);
    links[0] = media_port_reserve_link(port);
    assert_int_not_equal(links[0], 0);
    /* also when it cannot be opened */
    config = (struct path_sealed_config){
        .port = port, .sending = true, .own_link = links[1], .remote = address_of("::1", 9)};
    assert_int_equal(path_sealed_open(&config, &path, &info), ERR_INVALID);
    assert_non_null(strstr(info.message, "[::1]:9"));
    links[1] = media_port_reserve_link(port);
    assert_int_not_equal(links[1], 0);
    media_port_close(port); /* links that no path has may be left */
}

/* ---- what comes ---- */

static void strangers_are_counted(void **) {
    struct media_port *port = port_at("127.0.0.1");
    union path_address to = address_of("127.0.0.1", media_port_number(port)), from;
    int stranger = socket_at("127.0.0.1", &from);
    uint32_t reserved = media_port_reserve_link(port);
    static uint8_t datagram[4000];
    throw_at(stranger, &to, datagram, 0);
    throw_at(stranger, &to, datagram, 100); /* a first byte of 0: STUN */
    disguise(datagram, reserved, 1);
    throw_at(stranger, &to, datagram, 24);
    throw_at(stranger, &to, datagram, PACKET_MAX + 1);
    throw_at(stranger, &to, datagram, sizeof datagram);
    UNTIL(counters_of(port).received == 5);
    assert_int_equal(counters_of(port).malformed, 5);
    throw_at(stranger, &to, datagram, 25); /* nobody has opened its path */
    throw_at(stranger, &to, datagram, PACKET_MAX);
    disguise(datagram, reserved ^ 0x8000'0000, 1); /* the same place in the table */
    throw_at(stranger, &to, datagram, 100);
    UNTIL(counters_of(port).received == 8);
    struct media_port_counters counters = counters_of(port);
    assert_int_equal(counters.malformed, 5);
    assert_int_equal(counters.unknown_link, 3);
    assert_int_equal(counters.overflowed, 0);

    struct path *path = sealed_path(&(struct path_sealed_config){.port = port, .own_link = reserved});
    throw_at(stranger, &to, datagram, 100); /* a neighbour's */
    disguise(datagram, reserved, 1);
    throw_at(stranger, &to, datagram, 100);
    UNTIL(counters_of(port).received == 10);
    assert_int_equal(counters_of(port).unknown_link, 4);
    path->ops->close(path);
    close(stranger);
    media_port_close(port);
}

static void many_links_share_a_port(void **) {
    constexpr size_t N = 200;
    static struct sealed_link links[N];
    struct media_port *from = port_at("127.0.0.1"), *to = port_at("127.0.0.1");
    union path_address remote = address_of("127.0.0.1", media_port_number(to));
    for (size_t i = 0; i < N; i++)
        links[i] = sealed_link_open(from, to, remote);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t i = 0; i < N; i++)
            send_one(links[i].sender, 1000 * round + i, MEDIA_SOURCE, (uint16_t)(100 + i));
        for (uint32_t i = 0; i < N; i++) {
            receive_one(links[i].receiver, 1000 * round + i, MEDIA_SOURCE, (uint16_t)(100 + i));
            send_one(links[i].receiver, 5000 * round + i, MEDIA_CONTROL, 60);
        }
        for (uint32_t i = 0; i < N; i++)
            receive_one(links[i].sender, 5000 * round + i, MEDIA_CONTROL, 60);
    }
    /* of those that go, the others hear nothing */
    for (uint32_t i = 0; i < N; i += 2)
        sealed_link_close(&links[i]);
    for (uint32_t i = 1; i < N; i += 2) {
        send_one(links[i].sender, i, MEDIA_REPAIR, 500);
        receive_one(links[i].receiver, i, MEDIA_REPAIR, 500);
        sealed_link_close(&links[i]);
    }
    assert_int_equal(counters_of(to).received, 5 * N + N / 2);
    assert_int_equal(counters_of(to).unknown_link + counters_of(to).malformed + counters_of(to).overflowed, 0);
    media_port_close(from);
    media_port_close(to);
}

/* ---- paths come and go while datagrams fly ---- */

constexpr size_t N_TARGETS = 64;

struct flood {
    union path_address to;
    int fd;
    _Atomic uint32_t links[N_TARGETS];
    _Atomic bool over;
    struct thread thread;
};

static void *throw_all_the_time(void *arg) {
    struct flood *flood = arg;
    uint8_t datagram[200] = {};
    for (uint32_t i = 0; !atomic_load(&flood->over); i++) {
        disguise(datagram, atomic_load(&flood->links[i % N_TARGETS]), i);
        (void)!sendto(flood->fd, datagram, 30 + i % 170, 0, &flood->to.sa, path_address_len(&flood->to));
    }
    return nullptr;
}

static void a_path_may_be_closed_under_fire(void **) {
    struct media_port *port = port_at("127.0.0.1");
    struct flood flood = {.to = address_of("127.0.0.1", media_port_number(port))};
    union path_address from;
    flood.fd = socket_at("127.0.0.1", &from);
    struct path *paths[N_TARGETS] = {};
    struct path_sealed_config config = {.port = port, .other_link = 1};
    crypto_random(&config.keys, sizeof config.keys);
    assert_int_equal(thread_start(&flood.thread, "flood", throw_all_the_time, &flood), 0);
    uint64_t n_refused = 0;
    struct packet packets[16];
    uint32_t i = 0;
    for (; i < 5000 || n_refused < 1000; i++) {
        struct path **path = &paths[i * 7 % N_TARGETS];
        if (*path) {
            assert_int_equal((*path)->ops->receive(*path, packets, 16), 0);
            n_refused += seal_counters_of(*path).forged;
            (*path)->ops->close(*path);
        }
        config.own_link = media_port_reserve_link(port);
        *path = sealed_path(&config);
        atomic_store(&flood.links[i * 7 % N_TARGETS], config.own_link);
        if (i >= 5000)
            sched_yield();
    }
    for (size_t k = 0; k < N_TARGETS; k++)
        paths[k]->ops->close(paths[k]);
    media_port_close(port); /* while they still come */
    atomic_store(&flood.over, true);
    thread_join(&flood.thread);
    close(flood.fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_is_chosen_and_named),
        cmocka_unit_test(other_addresses_are_refused),
        cmocka_unit_test(links_are_random_and_each_is_another),
        cmocka_unit_test(a_path_takes_its_link_along),
        cmocka_unit_test(strangers_are_counted),
        cmocka_unit_test(many_links_share_a_port),
        cmocka_unit_test(a_path_may_be_closed_under_fire),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 99;
    return cmocka_run_group_tests_name("media-port", tests, nullptr, nullptr);
}
