/* SPDX-License-Identifier: MPL-2.0 */
#include "media/latency.h"

#include <string.h>

#include "base/clock.h"

constexpr int64_t WINDOW_NS = NS_PER_S;
/* The source has left out time. */
constexpr int64_t LEAP_NS = 100 * NS_PER_MS;
/* A packet that came longer ago than the first tells nothing: we stood still. Longer ago than the second, it was stamped by
 * another clock than ours, as a socket's is on virtual time. (os/udp.c takes what is older than 5 s for just come; then the
 * way is too long for ping.c to believe.) */
constexpr int64_t STAMP_AGE_MAX_NS = NS_PER_S;
constexpr int64_t STAMP_ABSURD_NS = 60 * NS_PER_S;
constexpr int64_t KNOWN_MAX_NS = 15 * NS_PER_S;
constexpr int64_t LATENCY_MAX_NS = 60 * NS_PER_S;

enum { KNOWN_AT, CAPTURED, RTP, SOURCE, NETWORK, ROUND_TRIP, JUMPS, N_KNOWN };
static_assert(N_KNOWN <= PUBLISHED_MAX);

/* n may be of years. */
static int64_t ns_of(int64_t n, uint32_t rate_hz) {
    return n / rate_hz * NS_PER_S + n % rate_hz * NS_PER_S / rate_hz;
}

static int64_t now_of(const struct tick *tick) {
    return tick->clock ? clock_now_ns(tick->clock) : tick->now_ns;
}

/* ---- pings ---- */

static void send_ping(struct path *path, const struct tick *tick, const struct ping *ping) {
    struct packet *packet = &tick->packets[0];
    packet->iface = MEDIA_PING;
    packet->len = PING_SIZE;
    ping_write(ping, packet->data);
    path->ops->send(path, packet, 1);
}

static bool take_ping(struct ping_exchange *pings, const struct packet *packet, const struct tick *tick,
                      struct ping *ret) {
    if (!ping_read(packet->data, packet->len, ret))
        return false;
    int64_t now_ns = now_of(tick), came_ns = packet->received_ns;
    if (!came_ns || came_ns > now_ns || came_ns < now_ns - STAMP_ABSURD_NS)
        came_ns = now_ns;
    else if (came_ns < now_ns - STAMP_AGE_MAX_NS)
        return false;
    ping_exchange_take(pings, ret, came_ns);
    return true;
}

/* ---- the sending end ---- */

void latency_send_init(struct latency_send *latency, const struct codec_settings *settings, uint32_t node_rate_hz) {
    *latency = (struct latency_send){
        .node_rate_hz = node_rate_hz,
        .wire_rate_hz = settings->wire_rate_hz,
        .packet_samples = (uint32_t)codec_packet_samples(settings),
    };
}

void latency_send_frames(struct latency_send *latency, size_t n) {
    latency->n_frames += (int64_t)n;
    int64_t at_ns = latency->captured.at_ns, zero_ns = at_ns - ns_of(latency->n_frames, latency->node_rate_hz);
    bool begins = latency->zero_until_ns == 0 || zero_ns > latency->zero_ns + LEAP_NS;
    if (begins)
        latency->zero_ns = latency->zero_before_ns = zero_ns;
    if (begins || at_ns >= latency->zero_until_ns) {
        latency->zero_before_ns = latency->zero_ns;
        latency->zero_ns = zero_ns;
        latency->zero_until_ns = at_ns + WINDOW_NS;
    } else if (zero_ns < latency->zero_ns) {
        latency->zero_ns = zero_ns;
    }
}

void latency_send_packet(struct latency_send *latency, const uint8_t *packet, size_t len) {
    if (len < 8)
        return;
    int64_t zero_ns = latency->zero_ns < latency->zero_before_ns ? latency->zero_ns : latency->zero_before_ns;
    latency->packet_ns = zero_ns + ns_of(latency->n_samples, latency->wire_rate_hz);
    /* RFC 3550, 5.1 */
    latency->rtp = (uint32_t)packet[4] << 24 | (uint32_t)packet[5] << 16 | (uint32_t)packet[6] << 8 | packet[7];
    latency->known = true;
    latency->n_samples += latency->packet_samples;
}

void latency_send_follow(struct latency_send *latency, const struct latency_send *other) {
    latency->captured = other->captured;
    latency->packet_ns = other->packet_ns;
    latency->rtp = other->rtp;
    latency->known = other->known;
}

void latency_send_ping(struct latency_send *latency, struct path *path, const struct tick *tick) {
    if (!path->carries_pings || !latency->known)
        return;
    int64_t now_ns = now_of(tick);
    if (!ping_exchange_is_due(&latency->pings, now_ns))
        return;
    struct ping ping = ping_exchange_next(&latency->pings, now_ns);
    int64_t source_ns = latency->captured.source_ns;
    ping.has_capture = true;
    ping.captured_ns = latency->packet_ns;
    ping.rtp = latency->rtp;
    ping.source_ns = source_ns < 0 ? 0 : source_ns > UINT32_MAX ? UINT32_MAX : (uint32_t)source_ns;
    send_ping(path, tick, &ping);
}

void latency_send_take_ping(struct latency_send *latency, const struct packet *packet, const struct tick *tick) {
    struct ping ping;
    take_ping(&latency->pings, packet, tick, &ping);
}

/* ---- the receiving end ---- */

void latency_receive_ping(struct latency_receive *latency, struct path *path, const struct tick *tick) {
    if (!path->carries_pings || path->same_clock || !ping_exchange_has_other(&latency->pings))
        return;
    int64_t now_ns = now_of(tick);
    if (!ping_exchange_is_due(&latency->pings, now_ns))
        return;
    struct ping ping = ping_exchange_next(&latency->pings, now_ns);
    send_ping(path, tick, &ping);
}

void latency_receive_take_ping(struct latency_receive *latency, const struct path *path, const struct packet *packet,
                               const struct tick *tick) {
    struct ping ping;
    if (!take_ping(&latency->pings, packet, tick, &ping) || !ping.has_capture)
        return;
    int64_t now_ns = now_of(tick);
    const struct clock_offset *clock = &latency->pings.clock;
    if (!path->same_clock && !clock_offset_is_known(clock, now_ns))
        return;
    const int64_t values[] = {
        [KNOWN_AT] = now_ns,
        [CAPTURED] = ping.captured_ns - (path->same_clock ? 0 : clock_offset_at(clock, now_ns)),
        [RTP] = ping.rtp,
        [SOURCE] = ping.source_ns,
        [NETWORK] = path->same_clock ? 0 : latency->pings.one_way_ns,
        [ROUND_TRIP] = path->same_clock ? 0 : clock_offset_round_trip_ns(clock),
        [JUMPS] = (int64_t)clock->n_jumps,
    };
    published_write(&latency->known, values, N_KNOWN);
}

bool latency_receive_read(const struct latency_receive *latency, int64_t now_ns, struct latency_known *ret) {
    int64_t v[PUBLISHED_MAX];
    bool is_read = false;
    for (int i = 0; i < 3 && !is_read; i++)
        is_read = published_read(&latency->known, v, N_KNOWN) != 0;
    if (!is_read || now_ns - v[KNOWN_AT] > KNOWN_MAX_NS)
        return false;
    *ret = (struct latency_known){
        .captured_ns = v[CAPTURED],
        .rtp = (uint32_t)v[RTP],
        .source_ns = v[SOURCE],
        .network_ns = v[NETWORK],
        .round_trip_ns = v[ROUND_TRIP],
        .n_jumps = (uint64_t)v[JUMPS],
    };
    return true;
}

int64_t latency_of(const struct latency_known *known, uint32_t rtp, int64_t after_rtp_ns, uint32_t wire_rate_hz,
                   int64_t heard_ns) {
    int64_t since_ns = (int64_t)(int32_t)(rtp - known->rtp) * NS_PER_S / wire_rate_hz + after_rtp_ns;
    /* a difference of times that may be anything, as a peer said one of them */
    double latency_ns = (double)heard_ns - (double)known->captured_ns - (double)since_ns;
    if (!(latency_ns > 0 && latency_ns < (double)LATENCY_MAX_NS))
        return -1;
    return heard_ns - known->captured_ns - since_ns;
}

int64_t latency_median_add(struct latency_median *median, int64_t reading) {
    median->readings[median->next] = reading;
    median->next = (median->next + 1) % LATENCY_READINGS;
    median->n += median->n < LATENCY_READINGS;
    int64_t sorted[LATENCY_READINGS];
    for (size_t i = 0; i < median->n; i++) {
        size_t at = i;
        for (; at > 0 && sorted[at - 1] > median->readings[i]; at--)
            sorted[at] = sorted[at - 1];
        sorted[at] = median->readings[i];
    }
    return sorted[median->n / 2];
}
