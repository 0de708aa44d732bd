/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/sealed_test.h"

#include <poll.h>
#include <stdlib.h>

#include "transport/seal/seal.h"

/* Paths over two ports on the loopback, some with a relay between them that plays all the tricks of a hostile network. */

struct rig {
    struct media_port *from, *to;
    struct sealed_link link;
};

static struct rig rig_at(const char *from, const char *to, const char *remote) {
    struct rig rig = {.from = port_at(from), .to = port_at(to)};
    rig.link = sealed_link_open(rig.from, rig.to, address_of(remote, media_port_number(rig.to)));
    return rig;
}

static void rig_close(struct rig *rig) {
    sealed_link_close(&rig->link);
    media_port_close(rig->from);
    media_port_close(rig->to);
}

/* ---- to and fro ---- */

static void packets_come_as_they_were_sent(void **) {
    static const char *const cases[][3] = {
        {"127.0.0.1", "127.0.0.1", "127.0.0.1"}, {"::1", "::1", "::1"},     {"::", "127.0.0.1", "127.0.0.1"},
        {"127.0.0.1", "::", "127.0.0.1"},        {"::", "::", "127.0.0.1"}, {"::", "::", "::1"},
        {"0.0.0.0", "0.0.0.0", "127.0.0.1"},     {"::1", "::", "::1"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        struct rig rig = rig_at(cases[c][0], cases[c][1], cases[c][2]);
        struct path *sender = rig.link.sender, *receiver = rig.link.receiver;
        struct packet sent[MEDIA_N_IFACES], got[MEDIA_N_IFACES];
        union path_address source = address_of(cases[c][2], media_port_number(rig.from));
        for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
            sent[i] = packet_of(i, i, (uint16_t)(100 + i));
        int64_t before_ns = clock_now_ns(clock_system());
        sender->ops->send(sender, sent, MEDIA_N_IFACES);
        receive_all(receiver, got, MEDIA_N_IFACES);
        for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++) {
            assert_packet(&got[i], i, i, (uint16_t)(100 + i));
            assert_true(path_address_equal(&got[i].from, &source));
            assert_in_range(got[i].received_ns, before_ns - NS_PER_S, clock_now_ns(clock_system()));
        }
        send_one(receiver, 9, MEDIA_CONTROL, 80);
        receive_one(sender, 9, MEDIA_CONTROL, 80);
        assert_int_equal(sender->counters.packets_sent, 3);
        assert_int_equal(sender->counters.bytes_sent, 303 + 3 * SEAL_OVERHEAD);
        assert_int_equal(receiver->counters.packets_received, 3);
        assert_int_equal(receiver->counters.bytes_received, 303 + 3 * SEAL_OVERHEAD);
        assert_int_equal(sender->counters.send_dropped + receiver->counters.send_dropped, 0);
        assert_int_equal(receiver->ops->local_port(receiver, MEDIA_REPAIR), media_port_number(rig.to));
        assert_null(receiver->ops->poll_fd);
        rig_close(&rig);
    }
}

static void more_than_a_batch_goes_at_once(void **) {
    static struct packet sent[100], got[100];
    struct rig rig = rig_at("127.0.0.1", "127.0.0.1", "127.0.0.1");
    struct path *sender = rig.link.sender, *receiver = rig.link.receiver;
    for (uint32_t i = 0; i < 100; i++)
        sent[i] = packet_of(i, i % 2 ? MEDIA_REPAIR : MEDIA_SOURCE, (uint16_t)(1 + 14 * i));
    sender->ops->send(sender, sent, 100);
    receive_all(receiver, got, 100);
    for (uint32_t i = 0; i < 100; i++)
        assert_packet(&got[i], i, i % 2 ? MEDIA_REPAIR : MEDIA_SOURCE, (uint16_t)(1 + 14 * i));
    sender->ops->send(sender, sent, 0);
    assert_int_equal(sender->counters.packets_sent, 100);
    assert_int_equal(receiver->ops->receive(receiver, got, 100), 0);
    rig_close(&rig);
}

static void what_does_not_fit_is_dropped_alone(void **) {
    struct rig rig = rig_at("127.0.0.1", "127.0.0.1", "127.0.0.1");
    struct packet sent[] = {packet_of(1, MEDIA_SOURCE, SEAL_PAYLOAD_MAX),
                            packet_of(2, MEDIA_SOURCE, SEAL_PAYLOAD_MAX + 1), packet_of(3, MEDIA_SOURCE, PACKET_MAX),
                            packet_of(4, MEDIA_SOURCE, 1)};
    rig.link.sender->ops->send(rig.link.sender, sent, 4);
    receive_one(rig.link.receiver, 1, MEDIA_SOURCE, SEAL_PAYLOAD_MAX);
    receive_one(rig.link.receiver, 4, MEDIA_SOURCE, 1);
    assert_int_equal(rig.link.sender->counters.send_dropped, 2);
    assert_int_equal(rig.link.sender->counters.packets_sent, 2);
    rig_close(&rig);
}

/* A receiving end is open before the other side has answered. */
static void what_comes_before_the_answer_is_kept(void **) {
    struct media_port *from = port_at("127.0.0.1"), *to = port_at("127.0.0.1");
    struct sealed_link link = {.to_receiver = media_port_reserve_link(to), .to_sender = media_port_reserve_link(from)};
    crypto_random(&link.keys, sizeof link.keys);
    link.receiver = sealed_path(&(struct path_sealed_config){.port = to, .own_link = link.to_receiver});
    link.sender = sealed_path(&(struct path_sealed_config){.port = from,
                                                           .sending = true,
                                                           .own_link = link.to_sender,
                                                           .other_link = link.to_receiver,
                                                           .keys = link.keys,
                                                           .remote = address_of("127.0.0.1", media_port_number(to))});
    struct packet got[4];
    for (uint32_t i = 0; i < 3; i++)
        send_one(link.sender, i, MEDIA_SOURCE, 1000);
    UNTIL(counters_of(to).received == 3);
    assert_int_equal(link.receiver->ops->receive(link.receiver, got, 4), 0);
    send_one(link.receiver, 7, MEDIA_CONTROL, 50); /* there is no key yet, and nowhere to send it */
    path_sealed_answer(link.receiver, link.to_sender, &link.keys);
    send_one(link.receiver, 8, MEDIA_CONTROL, 50);
    assert_int_equal(link.receiver->ops->receive(link.receiver, got, 4), 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_packet(&got[i], i, MEDIA_SOURCE, 1000);
    send_one(link.receiver, 9, MEDIA_CONTROL, 50);
    receive_one(link.sender, 9, MEDIA_CONTROL, 50);
    assert_int_equal(link.receiver->counters.packets_sent, 1);
    sealed_link_close(&link);
    media_port_close(from);
    media_port_close(to);
}

/* About 400 ms of a stream are kept, whatever it is, and not many times as much. */
static void assert_room(const char *encoding_name, int64_t packet_length_ns, uint32_t n_source, uint32_t n_repair) {
    const struct codec_encoding *encoding = codec_encoding_by_name(encoding_name);
    struct codec_settings settings = {.wire_rate_hz = encoding->rate_hz,
                                      .wire_channels = encoding->n_channels,
                                      .fec_source_packets = n_source,
                                      .fec_repair_packets = n_repair,
                                      .packet_length_ns = packet_length_ns};
    bool is_default = strcmp(encoding_name, "l16/48000/2") == 0;
    struct rig rig = {.from = port_at("127.0.0.1"), .to = port_at("127.0.0.1")};
    struct path_sealed_config config = {
        .port = rig.to, .own_link = media_port_reserve_link(rig.to), .settings = is_default ? nullptr : &settings};
    crypto_random(&config.keys, sizeof config.keys);
    config.other_link = 1;
    struct path *receiver = sealed_path(&config);
    config.other_link = config.own_link;
    config.own_link = media_port_reserve_link(rig.from);
    config.port = rig.from;
    config.sending = true;
    config.remote = address_of("127.0.0.1", media_port_number(rig.to));
    struct path *sender = sealed_path(&config);
    struct packet got;
    uint16_t len = (uint16_t)(codec_payload_bytes(&settings) + 18);
    uint32_t n = 0;
    while (counters_of(rig.to).overflowed < 5) {
        uint64_t received = counters_of(rig.to).received;
        send_one(sender, n++, MEDIA_SOURCE, len);
        UNTIL(counters_of(rig.to).received == received + 1);
    }
    uint32_t n_kept = n - 5;
    int64_t kept_ns = n_kept * packet_length_ns * n_source / (n_source + n_repair);
    assert_in_range(kept_ns, 380 * NS_PER_MS, 900 * NS_PER_MS);
    assert_int_equal(seal_counters_of(receiver).overflowed, 5);
    for (uint32_t i = 0; i < n_kept; i++) {
        assert_int_equal(receiver->ops->receive(receiver, &got, 1), 1);
        assert_packet(&got, i, MEDIA_SOURCE, len);
    }
    assert_int_equal(receiver->ops->receive(receiver, &got, 1), 0);
    send_one(sender, n, MEDIA_SOURCE, len);
    receive_one(receiver, n, MEDIA_SOURCE, len);
    sender->ops->close(sender);
    receiver->ops->close(receiver);
    media_port_close(rig.from);
    media_port_close(rig.to);
}

static void the_newest_are_dropped_when_nobody_fetches_them(void **) {
    assert_room("l16/48000/2", 5 * NS_PER_MS, 18, 10);
    assert_room("l16/48000/2", 5 * NS_PER_MS / 2, 10, 5);
    assert_room("l16/48000/1", 5 * NS_PER_MS, 18, 10);
    assert_room("l16/48000/16", 5 * NS_PER_MS / 8, 18, 10);
    assert_room("l16/8000/1", 10 * NS_PER_MS, 18, 0);
}

/* ---- a relay in between ---- */

struct datagram {
    uint8_t data[PACKET_MAX];
    size_t len;
};

struct relay {
    struct media_port *from, *to;
    struct sealed_link link;
    int fd;                                   /* which both ends take for the other */
    union path_address own, sender, receiver; /* the ports' */
};

static struct relay relay_open(void) {
    struct relay relay = {.from = port_at("127.0.0.1"), .to = port_at("127.0.0.1")};
    relay.fd = socket_at("127.0.0.1", &relay.own);
    relay.sender = address_of("127.0.0.1", media_port_number(relay.from));
    relay.receiver = address_of("127.0.0.1", media_port_number(relay.to));
    relay.link = sealed_link_open(relay.from, relay.to, relay.own);
    return relay;
}

static void relay_close(struct relay *relay) {
    sealed_link_close(&relay->link);
    media_port_close(relay->from);
    media_port_close(relay->to);
    close(relay->fd);
}

static struct datagram caught_at(int fd) {
    struct datagram datagram;
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&ready, 1, (int)(SEALED_DEADLINE_NS / NS_PER_MS)), 1);
    ssize_t len = recv(fd, datagram.data, sizeof datagram.data, 0);
    assert_true(len > 0);
    datagram.len = (size_t)len;
    return datagram;
}

/* What the sender sends, in the relay's hands. */
static struct datagram caught(struct relay *relay, uint32_t number) {
    send_one(relay->link.sender, number, MEDIA_SOURCE, 200);
    return caught_at(relay->fd);
}

static void pass(struct relay *relay, const struct datagram *datagram) {
    throw_at(relay->fd, &relay->receiver, datagram->data, datagram->len);
}

/* Everything that was thrown has arrived and been looked at; returns how many packets it gave. */
static size_t harvest(struct relay *relay, uint64_t n_thrown, struct packet *packets, size_t max) {
    UNTIL(counters_of(relay->to).received == n_thrown);
    size_t n = 0;
    for (struct packet spare[8];;) {
        size_t got = relay->link.receiver->ops->receive(relay->link.receiver, n < max ? packets + n : spare,
                                                        n < max ? max - n : 8);
        n += got;
        if (got == 0 && relay->link.receiver->counters.packets_received + counters_of(relay->to).malformed +
                                counters_of(relay->to).unknown_link + counters_of(relay->to).overflowed ==
                            n_thrown)
            return n;
    }
}

static void nothing_on_the_wire_is_the_sound(void **) {
    struct relay relay = relay_open();
    struct packet silence = {.iface = MEDIA_SOURCE, .len = 1000};
    struct datagram before = {};
    size_t histogram[256] = {}, n_bytes = 0;
    for (int i = 0; i < 200; i++) {
        relay.link.sender->ops->send(relay.link.sender, &silence, 1);
        struct datagram now = caught_at(relay.fd);
        assert_int_equal(now.len, silence.len + SEAL_OVERHEAD);
        for (size_t k = SEAL_HEADER_SIZE; k < now.len; k++, n_bytes++)
            histogram[now.data[k]]++;
        if (i > 0) /* the same packet is another datagram */
            assert_memory_not_equal(now.data + SEAL_HEADER_SIZE, before.data + SEAL_HEADER_SIZE, 16);
        before = now;
    }
    /* All bytes are equally frequent: 794 of each, and 5 standard deviations are 141. */
    for (size_t i = 0; i < 256; i++)
        assert_in_range(histogram[i], n_bytes / 256 * 4 / 5, n_bytes / 256 * 6 / 5);
    relay_close(&relay);
}

static void replays_are_dropped(void **) {
    struct relay relay = relay_open();
    struct packet got[16];
    struct datagram all[10];
    for (uint32_t i = 0; i < 10; i++) {
        all[i] = caught(&relay, i);
        for (uint32_t k = 0; k <= i; k++) /* and again all that came before */
            pass(&relay, &all[k]);
    }
    assert_int_equal(harvest(&relay, 55, got, 16), 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_packet(&got[i], i, MEDIA_SOURCE, 200);
    assert_int_equal(seal_counters_of(relay.link.receiver).replayed, 45);
    assert_int_equal(seal_counters_of(relay.link.receiver).forged, 0);
    relay_close(&relay);
}

/* Sent back to where they come from, as they are and with the other link's name on them. */
static void reflections_are_dropped(void **) {
    struct relay relay = relay_open();
    struct packet got[16];
    struct datagram sound = caught(&relay, 1), renamed = sound;
    throw_at(relay.fd, &relay.sender, sound.data, sound.len);
    disguise(renamed.data, relay.link.to_sender, 1);
    throw_at(relay.fd, &relay.sender, renamed.data, renamed.len);
    UNTIL(counters_of(relay.from).received == 2);
    assert_int_equal(relay.link.sender->ops->receive(relay.link.sender, got, 16), 0);
    assert_int_equal(counters_of(relay.from).unknown_link, 1);
    assert_int_equal(seal_counters_of(relay.link.sender).forged, 1);
    pass(&relay, &sound);
    assert_int_equal(harvest(&relay, 1, got, 16), 1);

    send_one(relay.link.receiver, 2, MEDIA_CONTROL, 60);
    struct datagram report = caught_at(relay.fd);
    disguise(report.data, relay.link.to_receiver, 2);
    pass(&relay, &report);
    assert_int_equal(harvest(&relay, 2, got, 16), 0);
    assert_int_equal(seal_counters_of(relay.link.receiver).forged, 1);
    relay_close(&relay);
}

static void reordering_by_thousands_loses_nothing(void **) {
    constexpr uint32_t N = 3000;
    static struct datagram all[N];
    static bool seen[N];
    struct relay relay = relay_open();
    struct packet got;
    uint64_t n_thrown = 0, n_got = 0;
    for (uint32_t i = 0; i < N; i++)
        all[i] = caught(&relay, i);
    for (uint32_t i = N; i-- > 0;) { /* the last one first */
        pass(&relay, &all[i]);
        n_got += harvest(&relay, ++n_thrown, &got, 1);
        uint32_t number;
        memcpy(&number, got.data, sizeof number);
        assert_int_equal(number, i);
        seen[number] = true;
    }
    assert_int_equal(n_got, N);
    for (uint32_t i = 0; i < N; i++)
        assert_true(seen[i]);
    relay_close(&relay);
}

/* Any bit and any cut: nothing of it comes through, and what is good does. */
static void what_was_changed_is_dropped(void **) {
    struct relay relay = relay_open();
    struct packet got;
    struct datagram good = caught(&relay, 1);
    uint64_t n_thrown = 0;
    for (size_t bit = 0; bit < 8 * good.len; bit += bit < 8 * SEAL_HEADER_SIZE ? 1 : 13) {
        struct datagram bad = good;
        bad.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        pass(&relay, &bad);
        assert_int_equal(harvest(&relay, ++n_thrown, &got, 1), 0);
    }
    for (size_t len = 1; len < good.len; len++) {
        struct datagram part = good;
        part.len = len;
        pass(&relay, &part);
        assert_int_equal(harvest(&relay, ++n_thrown, &got, 1), 0);
    }
    pass(&relay, &good);
    assert_int_equal(harvest(&relay, ++n_thrown, &got, 1), 1);
    assert_packet(&got, 1, MEDIA_SOURCE, 200);
    relay_close(&relay);
}

/* Whoever sees the link id on the wire can send as much as he likes. */
static void a_flood_of_wrong_tags_does_not_disturb(void **) {
    struct relay relay = relay_open();
    struct packet got[64];
    uint64_t n_thrown = 0;
    size_t n_got = 0;
    for (uint32_t i = 0; i < 200; i++) {
        struct datagram forged = {.len = SEAL_OVERHEAD + i};
        for (uint32_t k = 0; k < 100; k++, n_thrown++) {
            crypto_random(forged.data, forged.len);
            disguise(forged.data, relay.link.to_receiver, k % 2 ? i + k : (uint32_t)(n_thrown * 77'777'777));
            pass(&relay, &forged);
        }
        struct datagram good = caught(&relay, i);
        pass(&relay, &good);
        size_t n = harvest(&relay, ++n_thrown, got, 64);
        n_got += n;
        if (n > 0)
            assert_packet(&got[n - 1], i, MEDIA_SOURCE, 200);
    }
    assert_int_equal(n_got, 200);
    assert_int_equal(counters_of(relay.to).overflowed, 0);
    struct path_sealed_counters counters = seal_counters_of(relay.link.receiver);
    assert_int_equal(counters.forged + counters.replayed, 20'000);
    assert_true(counters.forged > 10'000);
    relay_close(&relay);
}

/* One call does not take for ever, whatever has come. */
static void a_flood_is_looked_at_in_portions(void **) {
    struct relay relay = relay_open();
    struct packet got[8];
    struct datagram forged = {.len = SEAL_OVERHEAD};
    for (uint32_t i = 0; i < 1000; i++) {
        disguise(forged.data, relay.link.to_receiver, i + 1);
        pass(&relay, &forged);
        UNTIL(counters_of(relay.to).received == i + 1);
    }
    struct datagram good = caught(&relay, 1);
    pass(&relay, &good);
    UNTIL(counters_of(relay.to).received == 1001);
    assert_int_equal(relay.link.receiver->ops->receive(relay.link.receiver, got, 8), 0);
    assert_int_equal(relay.link.receiver->counters.packets_received, 512);
    assert_int_equal(relay.link.receiver->ops->receive(relay.link.receiver, got, 8), 1);
    assert_packet(&got[0], 1, MEDIA_SOURCE, 200);
    relay_close(&relay);
}

/* ---- who moves is followed ---- */

static void either_end_may_change_its_address(void **) {
    struct relay relay = relay_open();
    struct packet got;
    union path_address other_address;
    int other = socket_at("127.0.0.1", &other_address);
    struct datagram first = caught(&relay, 1), second = caught(&relay, 2), third = caught(&relay, 3);
    pass(&relay, &first);
    assert_int_equal(harvest(&relay, 1, &got, 1), 1);
    assert_true(path_address_equal(&got.from, &relay.own));
    send_one(relay.link.receiver, 1, MEDIA_CONTROL, 60);
    caught_at(relay.fd);

    throw_at(other, &relay.receiver, third.data, third.len); /* the sender speaks from elsewhere */
    assert_int_equal(harvest(&relay, 2, &got, 1), 1);
    assert_true(path_address_equal(&got.from, &other_address));
    send_one(relay.link.receiver, 2, MEDIA_CONTROL, 60);
    struct datagram report = caught_at(other);

    /* what is older, seen already or forged moves nothing */
    pass(&relay, &second);
    pass(&relay, &third);
    third.data[5] ^= 1;
    pass(&relay, &third);
    assert_int_equal(harvest(&relay, 5, &got, 1), 1);
    send_one(relay.link.receiver, 3, MEDIA_CONTROL, 60);
    caught_at(other);

    /* and the other way round */
    throw_at(other, &relay.sender, report.data, report.len);
    receive_one(relay.link.sender, 2, MEDIA_CONTROL, 60);
    send_one(relay.link.sender, 4, MEDIA_SOURCE, 200);
    caught_at(other);
    close(other);
    relay_close(&relay);
}

/* And what it says besides is for whoever knows pings; one without anything is as good as another. */
static void a_ping_says_where_one_is(void **) {
    struct relay relay = relay_open();
    struct packet got;
    struct seal_out out;
    struct datagram ping = {};
    static const uint8_t nothing[PACKET_MAX];
    seal_out_init(&out, relay.link.keys.to_receiver, relay.link.to_receiver);
    out.count = 100;
    ping.len = seal_close(&out, SEAL_PING, nothing, 0, ping.data);
    pass(&relay, &ping);
    assert_int_equal(harvest(&relay, 1, &got, 1), 0);
    assert_int_equal(seal_counters_of(relay.link.receiver).forged, 0);
    send_one(relay.link.receiver, 1, MEDIA_CONTROL, 60);
    caught_at(relay.fd);
    ping.len = seal_close(&out, SEAL_PING, nothing, 20, ping.data);
    pass(&relay, &ping);
    assert_int_equal(harvest(&relay, 2, &got, 1), 1);
    assert_int_equal(got.iface, MEDIA_PING);
    assert_int_equal(got.len, 20);
    ping.len = seal_close(&out, SEAL_SOURCE, nothing, 0, ping.data); /* a packet without anything is none */
    pass(&relay, &ping);
    assert_int_equal(harvest(&relay, 3, &got, 1), 0);
    relay_close(&relay);
}

/* No way leads there: nothing goes, and nothing fails. */
static void what_cannot_be_sent_is_dropped(void **) {
    struct rig rig = rig_at("127.0.0.1", "127.0.0.1", "127.0.0.1");
    struct sealed_link lost = sealed_link_open(rig.from, rig.to, address_of("255.255.255.255", 9));
    static struct packet sent[40];
    for (uint32_t i = 0; i < 40; i++)
        sent[i] = packet_of(i, MEDIA_SOURCE, 40);
    lost.sender->ops->send(lost.sender, sent, 40);
    assert_int_equal(lost.sender->counters.send_dropped, 40);
    send_one(rig.link.sender, 1, MEDIA_SOURCE, 40); /* the socket is as good as before */
    receive_one(rig.link.receiver, 1, MEDIA_SOURCE, 40);
    sealed_link_close(&lost);
    rig_close(&rig);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_come_as_they_were_sent),
        cmocka_unit_test(more_than_a_batch_goes_at_once),
        cmocka_unit_test(what_does_not_fit_is_dropped_alone),
        cmocka_unit_test(what_comes_before_the_answer_is_kept),
        cmocka_unit_test(the_newest_are_dropped_when_nobody_fetches_them),
        cmocka_unit_test(nothing_on_the_wire_is_the_sound),
        cmocka_unit_test(replays_are_dropped),
        cmocka_unit_test(reflections_are_dropped),
        cmocka_unit_test(reordering_by_thousands_loses_nothing),
        cmocka_unit_test(what_was_changed_is_dropped),
        cmocka_unit_test(a_flood_of_wrong_tags_does_not_disturb),
        cmocka_unit_test(a_flood_is_looked_at_in_portions),
        cmocka_unit_test(either_end_may_change_its_address),
        cmocka_unit_test(a_ping_says_where_one_is),
        cmocka_unit_test(what_cannot_be_sent_is_dropped),
    };
    if (crypto_init(nullptr) != ERR_OK)
        return 99;
    return cmocka_run_group_tests_name("path-sealed", tests, nullptr, nullptr);
}
