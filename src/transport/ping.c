/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/ping.h"

#include <string.h>

#include "base/clock.h"

enum { FORMAT = 1, HAS_ECHO = 1, HAS_CAPTURE = 2 };

constexpr unsigned N_QUICK = 10;
constexpr int64_t QUICK_NS = 50 * NS_PER_MS;
constexpr int64_t USUAL_NS = 250 * NS_PER_MS;
constexpr int64_t UNANSWERED_NS = 5 * NS_PER_S;
constexpr unsigned UNANSWERED_MAX = 40;
/* A longer way than this, or an answer to something older, tells nothing. */
constexpr int64_t ROUND_TRIP_MAX_NS = 5 * NS_PER_S;
/* Clocks that are read at nearly the same time are not quite the same. */
constexpr int64_t NEGATIVE_MAX_NS = NS_PER_MS / 10;
constexpr int64_t SMOOTHED_OVER = 8;

/* ---- on the wire ---- */

static void put(uint8_t **at, uint64_t value, unsigned n_bytes) {
    while (n_bytes-- > 0)
        *(*at)++ = (uint8_t)(value >> (8 * n_bytes));
}

static uint64_t get(const uint8_t **at, unsigned n_bytes) {
    uint64_t value = 0;
    while (n_bytes-- > 0)
        value = value << 8 | *(*at)++;
    return value;
}

static bool is_time(int64_t ns) {
    return ns >= 0 && ns < PING_TIME_MAX_NS;
}

void ping_write(const struct ping *ping, uint8_t ret_payload[static PING_SIZE]) {
    bool echo = ping->has_echo && is_time(ping->echo_ns), capture = ping->has_capture && is_time(ping->captured_ns);
    uint8_t *at = ret_payload;
    put(&at, FORMAT, 1);
    put(&at, (echo ? HAS_ECHO : 0) | (capture ? HAS_CAPTURE : 0), 1);
    put(&at, is_time(ping->sent_ns) ? (uint64_t)ping->sent_ns : 0, 8);
    put(&at, echo ? (uint64_t)ping->echo_ns : 0, 8);
    put(&at, echo ? ping->held_ns : 0, 4);
    put(&at, capture ? (uint64_t)ping->captured_ns : 0, 8);
    put(&at, capture ? ping->rtp : 0, 4);
    put(&at, capture ? ping->source_ns : 0, 4);
}

bool ping_read(const uint8_t *payload, size_t len, struct ping *ret) {
    if (len != PING_SIZE || payload[0] != FORMAT || (payload[1] & ~(HAS_ECHO | HAS_CAPTURE)))
        return false;
    const uint8_t *at = payload + 2;
    struct ping ping = {.has_echo = payload[1] & HAS_ECHO, .has_capture = payload[1] & HAS_CAPTURE};
    uint64_t sent = get(&at, 8), echo = get(&at, 8);
    ping.held_ns = (uint32_t)get(&at, 4);
    uint64_t captured = get(&at, 8);
    ping.rtp = (uint32_t)get(&at, 4);
    ping.source_ns = (uint32_t)get(&at, 4);
    if ((sent | echo | captured) >= (uint64_t)PING_TIME_MAX_NS)
        return false;
    if ((!ping.has_echo && (echo || ping.held_ns)) || (!ping.has_capture && (captured || ping.rtp || ping.source_ns)))
        return false;
    ping.sent_ns = (int64_t)sent;
    ping.echo_ns = (int64_t)echo;
    ping.captured_ns = (int64_t)captured;
    *ret = ping;
    return true;
}

/* ---- the exchange ---- */

bool ping_exchange_has_other(const struct ping_exchange *exchange) {
    return exchange->has_other;
}

bool ping_exchange_is_due(const struct ping_exchange *exchange, int64_t now_ns) {
    return now_ns >= exchange->next_ns;
}

struct ping ping_exchange_next(struct ping_exchange *exchange, int64_t now_ns) {
    struct ping ping = {.sent_ns = now_ns};
    int64_t held_ns = now_ns - exchange->other_came_ns;
    if (exchange->has_other && held_ns >= 0 && held_ns <= UINT32_MAX) {
        ping.has_echo = true;
        ping.echo_ns = exchange->other_sent_ns;
        ping.held_ns = (uint32_t)held_ns;
    }
    int64_t pause_ns = exchange->n_sent < N_QUICK ? QUICK_NS : USUAL_NS;
    exchange->n_sent += exchange->n_sent < N_QUICK;
    if (exchange->n_unanswered < UNANSWERED_MAX)
        exchange->n_unanswered++;
    else
        pause_ns = UNANSWERED_NS;
    exchange->next_ns = now_ns + pause_ns;
    return ping;
}

static void measure_one_way(struct ping_exchange *exchange, const struct ping *ping, int64_t came_ns) {
    int64_t sent_ns = ping->sent_ns - clock_offset_at(&exchange->clock, came_ns);
    int64_t took_ns = came_ns > sent_ns ? came_ns - sent_ns : 0;
    if (took_ns > ROUND_TRIP_MAX_NS)
        return;
    if (exchange->one_way_ns == 0)
        exchange->one_way_ns = took_ns;
    else
        exchange->one_way_ns += (took_ns - exchange->one_way_ns) / SMOOTHED_OVER;
}

void ping_exchange_take(struct ping_exchange *exchange, const struct ping *ping, int64_t came_ns) {
    if (!is_time(came_ns))
        return;
    bool overtaken = exchange->has_other && ping->sent_ns < exchange->other_sent_ns &&
                     exchange->other_sent_ns - ping->sent_ns < ROUND_TRIP_MAX_NS;
    if (!overtaken) {
        exchange->has_other = true;
        exchange->other_sent_ns = ping->sent_ns;
        exchange->other_came_ns = came_ns;
    }
    exchange->n_unanswered = 0;
    if (exchange->next_ns - came_ns > USUAL_NS)
        exchange->next_ns = came_ns; /* somebody is there, after all */
    if (!ping->has_echo)
        return;
    int64_t there_ns = (ping->sent_ns - ping->held_ns) - ping->echo_ns, back_ns = ping->sent_ns - came_ns;
    int64_t round_trip_ns = (came_ns - ping->echo_ns) - ping->held_ns;
    if (came_ns - ping->echo_ns > 2 * ROUND_TRIP_MAX_NS || round_trip_ns > ROUND_TRIP_MAX_NS ||
        round_trip_ns < -NEGATIVE_MAX_NS)
        return;
    clock_offset_add(&exchange->clock, came_ns, there_ns / 2 + back_ns / 2, round_trip_ns > 0 ? round_trip_ns : 0);
    if (clock_offset_is_known(&exchange->clock, came_ns))
        measure_one_way(exchange, ping, came_ns);
}
