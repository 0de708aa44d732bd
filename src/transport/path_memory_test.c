/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/path_test.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

struct ends {
    struct path *sender, *receiver;
};

static struct ends ends; /* of the test that runs */

static int setup(void **state) {
    struct err_info info;
    if (path_memory_open(&ends.sender, &ends.receiver, &info) != ERR_OK)
        fail_msg("%s", info.message);
    *state = &ends;
    return 0;
}

static void close_end(struct path **path) {
    if (*path)
        (*path)->ops->close(*path);
    *path = nullptr;
}

static int teardown(void **) {
    close_end(&ends.sender);
    close_end(&ends.receiver);
    return 0;
}

/* Nobody has received it, and it comes from nowhere. */
static void assert_own_packet(const struct packet *packet, uint32_t number, enum media_iface iface, uint16_t len) {
    assert_packet(packet, number, iface, len);
    assert_int_equal(packet->received_ns, 0);
    assert_int_equal(packet->from.sa.sa_family, AF_UNSPEC);
}

static void packets_arrive_whole_and_in_order(void **) {
    static struct packet sent[40], got[41];
    for (uint32_t i = 0; i < 40; i++)
        sent[i] = packet_of(i, (enum media_iface)(i % 3), (uint16_t)(i == 39 ? PACKET_MAX : 29 * i));
    ends.sender->ops->send(ends.sender, sent, 40);
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got, 15), 15);
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got + 15, 26), 25);
    for (uint32_t i = 0; i < 40; i++)
        assert_own_packet(&got[i], i, (enum media_iface)(i % 3), sent[i].len);
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, got, 1), 0);
    assert_int_equal(ends.sender->ops->receive(ends.sender, got, 1), 0);
    assert_int_equal(ends.sender->counters.packets_sent, 40);
    assert_int_equal(ends.receiver->counters.packets_received, 40);
    assert_int_equal(ends.sender->counters.bytes_sent, ends.receiver->counters.bytes_received);
    assert_int_equal(ends.sender->counters.send_dropped, 0);
}

static void feedback_goes_the_other_way(void **) {
    struct packet there = packet_of(1, MEDIA_SOURCE, 100), back = packet_of(2, MEDIA_CONTROL, 60), got;
    ends.sender->ops->send(ends.sender, &there, 1);
    ends.receiver->ops->send(ends.receiver, &back, 1);
    assert_int_equal(ends.sender->ops->receive(ends.sender, &got, 1), 1);
    assert_own_packet(&got, 2, MEDIA_CONTROL, 60);
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, &got, 1), 1);
    assert_own_packet(&got, 1, MEDIA_SOURCE, 100);
}

static void what_does_not_fit_is_dropped_whole(void **) {
    uint32_t n_sent = 0, n_got = 0;
    struct packet packet, got;
    for (uint32_t i = 0; i < 1000; i++) { /* nobody reads */
        packet = packet_of(i, MEDIA_SOURCE, 972);
        ends.sender->ops->send(ends.sender, &packet, 1);
    }
    n_sent = (uint32_t)ends.sender->counters.packets_sent;
    assert_in_range(n_sent, 40, 999);
    assert_int_equal(ends.sender->counters.send_dropped, 1000 - n_sent);
    for (; ends.receiver->ops->receive(ends.receiver, &got, 1) == 1; n_got++)
        assert_own_packet(&got, n_got, MEDIA_SOURCE, 972);
    assert_int_equal(n_got, n_sent);

    packet = packet_of(7, MEDIA_REPAIR, PACKET_MAX + 1);
    ends.sender->ops->send(ends.sender, &packet, 1);
    assert_int_equal(ends.sender->counters.packets_sent, n_sent);
    packet = packet_of(8, MEDIA_REPAIR, 972);
    ends.sender->ops->send(ends.sender, &packet, 1);
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, &got, 1), 1);
    assert_own_packet(&got, 8, MEDIA_REPAIR, 972);
}

static void either_end_may_close_first(void **) {
    struct packet packet = packet_of(3, MEDIA_SOURCE, 50), got;
    ends.sender->ops->send(ends.sender, &packet, 1);
    close_end(&ends.sender);
    assert_int_equal(ends.receiver->ops->receive(ends.receiver, &got, 1), 1);
    assert_own_packet(&got, 3, MEDIA_SOURCE, 50);
    ends.receiver->ops->send(ends.receiver, &packet, 1);
    const struct path_ops *ops = ends.receiver->ops;
    close_end(&ends.receiver);
    ops->close(nullptr);

    setup((void *[]){nullptr});
    close_end(&ends.receiver);
    ends.sender->ops->send(ends.sender, &packet, 1);
    assert_int_equal(ends.sender->ops->receive(ends.sender, &got, 1), 0);
}

/* ---- two threads ---- */

constexpr uint32_t N_THREADED = 100'000;

static uint16_t threaded_len(uint32_t number) {
    return (uint16_t)(4 + number * 7919 % (PACKET_MAX - 3));
}

static void *send_many(void *) {
    for (uint32_t i = 0; i < N_THREADED;) {
        struct packet packet = packet_of(i, (enum media_iface)(i % 3), threaded_len(i));
        uint64_t before = ends.sender->counters.packets_sent;
        ends.sender->ops->send(ends.sender, &packet, 1);
        if (ends.sender->counters.packets_sent > before)
            i++;
        else
            sched_yield(); /* full */
    }
    return nullptr;
}

static void the_ends_may_be_on_two_threads(void **) {
    pthread_t thread;
    static struct packet got[16];
    assert_int_equal(pthread_create(&thread, nullptr, send_many, nullptr), 0);
    for (uint32_t number = 0; number < N_THREADED;) {
        size_t n = ends.receiver->ops->receive(ends.receiver, got, 16);
        for (size_t i = 0; i < n; i++, number++)
            assert_own_packet(&got[i], number, (enum media_iface)(number % 3), threaded_len(number));
        if (n == 0)
            sched_yield();
    }
    pthread_join(thread, nullptr);
    assert_int_equal(ends.receiver->counters.bytes_received, ends.sender->counters.bytes_sent);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(packets_arrive_whole_and_in_order),  TEST(feedback_goes_the_other_way),
        TEST(what_does_not_fit_is_dropped_whole), TEST(either_end_may_close_first),
        TEST(the_ends_may_be_on_two_threads),
    };
    return cmocka_run_group_tests_name("transport-path-memory", tests, nullptr, nullptr);
}
