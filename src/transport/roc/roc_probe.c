/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/roc/roc_probe.h"

#include <string.h>

#include "base/clock.h"
#include "transport/rtp.h"

/* Our reports are about a time so long ago that the latency is positive whatever happens meanwhile; on virtual time, whose
 * seconds are shorter or longer than those of the wall clock, they are now and then about another one. */
constexpr int64_t AGO_NS = 60 * NS_PER_S;
constexpr int64_t AGO_MIN_NS = 5 * NS_PER_S;
constexpr int64_t AGO_MAX_NS = 600 * NS_PER_S;
/* Between reports: libroc forgets them when it begins a session anew. */
constexpr uint32_t REPORTS_PER_S = 1;
/* By the wall clock; libroc's default timeout is five seconds, and one more comes with the sound. */
constexpr int64_t REPEAT_NS = 2 * NS_PER_S;
/* libroc gives out frames in pieces of a millisecond, and its latency is that of the beginning of the last one. */
constexpr uint32_t PIECES_PER_S = 1000;
/* What is played takes its time from reports that came at least one packet before. */
constexpr uint32_t UNSURE_PER_S = 20;

enum { RTCP_SR = 200, RTCP_RR = 201, RTCP_SDES = 202, RTCP_XR = 207 };
enum { XR_DELAY_METRICS = 16 };               /* RFC 6843 */
constexpr int64_t NTP_UNIX_S = 2'208'988'800; /* from 1900 to 1970 */

enum { POPPED_NS, POPPED_WALL_NS, REPORT_RTP, REPORT_WALL_NS, LAST_PIECE_NS, IS_SURE, HAS_PEER, AHEAD_NS, N_VALUES };
static_assert(N_VALUES <= PUBLISHED_MAX);

static uint32_t get32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put32(uint8_t *p, uint32_t value) {
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Seconds and their 2^-32ths. */
static void put_fixed(uint8_t *p, int64_t ns) {
    put32(p, (uint32_t)(ns / NS_PER_S));
    put32(p + 4, (uint32_t)(((uint64_t)(ns % NS_PER_S) << 32) / (uint64_t)NS_PER_S));
}

static int64_t get_fixed(const uint8_t *p) {
    return (int64_t)get32(p) * NS_PER_S + (int64_t)((uint64_t)get32(p + 4) * (uint64_t)NS_PER_S >> 32);
}

static int64_t ticks_ns(const struct roc_probe *probe, int32_t ticks) {
    return (int64_t)ticks * NS_PER_S / probe->rate_hz;
}

/* What we say of an RTP timestamp. */
static int64_t said_ns(const struct roc_probe *probe, uint32_t rtp) {
    return probe->wall_ns + ticks_ns(probe, (int32_t)(rtp - probe->rtp));
}

void roc_probe_init(struct roc_probe *probe, const struct codec_settings *settings, uint32_t frame_rate_hz) {
    *probe = (struct roc_probe){
        .rate_hz = settings->wire_rate_hz,
        .frame_rate = frame_rate_hz,
        .resampler_ns = codec_resampler_ns(settings, frame_rate_hz),
    };
}

/* ---- reports to libroc ---- */

static void choose(struct roc_probe *probe, uint32_t ssrc, uint32_t rtp, int64_t wall_ns) {
    probe->is_set = true;
    probe->ssrc = ssrc;
    probe->rtp = rtp;
    probe->wall_ns = wall_ns - AGO_NS;
    probe->has_peer = false; /* it was in relation to the choice before */
    probe->n_unsure = probe->frame_rate / UNSURE_PER_S;
}

/* A sender report without report blocks, and the CNAME that RFC 3550 demands. */
static void write_report(const struct roc_probe *probe, uint8_t report[static ROC_PROBE_REPORT_SIZE]) {
    static const uint8_t HEAD[] = {0x80, RTCP_SR, 0, 6}, NAME[] = {0x81, RTCP_SDES, 0, 3};
    static const uint8_t CNAME[] = {1, 4, 'r', 'o', 'c', 'd', 0, 0};
    memset(report, 0, ROC_PROBE_REPORT_SIZE);
    memcpy(report, HEAD, sizeof HEAD);
    put32(report + 4, probe->ssrc);
    put_fixed(report + 8, probe->wall_ns + NTP_UNIX_S * NS_PER_S);
    put32(report + 16, probe->rtp);
    memcpy(report + 28, NAME, sizeof NAME);
    put32(report + 32, probe->ssrc);
    memcpy(report + 36, CNAME, sizeof CNAME);
}

static size_t report(struct roc_probe *probe, int64_t wall_ns, uint8_t ret_report[static ROC_PROBE_REPORT_SIZE]) {
    write_report(probe, ret_report);
    probe->told_ns = wall_ns;
    return ROC_PROBE_REPORT_SIZE;
}

size_t roc_probe_report(struct roc_probe *probe, const uint8_t *packet, size_t len, int64_t wall_ns,
                        uint8_t ret_report[static ROC_PROBE_REPORT_SIZE]) {
    if (len < RTP_HEADER_SIZE)
        return 0;
    uint32_t rtp = get32(packet + 4), ssrc = get32(packet + 8);
    int32_t ahead = (int32_t)(rtp - probe->rtp);
    bool is_other = !probe->is_set || ssrc != probe->ssrc;
    if (!is_other && ahead >= 0 && ahead < (int32_t)(probe->rate_hz / REPORTS_PER_S))
        return 0;
    if (!is_other && ahead < 0 && ahead > -(int32_t)probe->rate_hz)
        return 0; /* it has been overtaken */
    int64_t ago_ns = wall_ns - said_ns(probe, rtp);
    if (is_other || ago_ns < AGO_MIN_NS || ago_ns > AGO_MAX_NS) {
        choose(probe, ssrc, rtp, wall_ns);
    } else {
        probe->wall_ns = said_ns(probe, rtp);
        probe->rtp = rtp;
    }
    return report(probe, wall_ns, ret_report);
}

size_t roc_probe_repeat(struct roc_probe *probe, int64_t wall_ns, uint8_t ret_report[static ROC_PROBE_REPORT_SIZE]) {
    if (!probe->is_set || wall_ns - probe->told_ns < REPEAT_NS)
        return 0;
    return report(probe, wall_ns, ret_report);
}

/* ---- reports of the sender, and to it ---- */

void roc_probe_take_control(struct roc_probe *probe, const uint8_t *packet, size_t len, int64_t wall_ns) {
    if (!probe->is_set || len < 28 || packet[1] != RTCP_SR || get32(packet + 4) != probe->ssrc)
        return;
    int64_t ntp_ns = get_fixed(packet + 8) - NTP_UNIX_S * NS_PER_S;
    probe->has_peer = true;
    probe->ahead_ns = ntp_ns - said_ns(probe, get32(packet + 16));
    probe->peer_lsr = get32(packet + 10);
    probe->peer_wall_ns = wall_ns;
}

static void mend_report_block(const struct roc_probe *probe, uint8_t *block, int64_t wall_ns) {
    int64_t delay_ns = probe->has_peer ? wall_ns - probe->peer_wall_ns : -1;
    bool is_known = delay_ns >= 0 && delay_ns < 65'535 * NS_PER_S;
    put32(block + 16, is_known ? probe->peer_lsr : 0);
    put32(block + 20, is_known ? (uint32_t)((delay_ns << 16) / NS_PER_S) : 0);
}

static void mend_delay(const struct roc_probe *probe, uint8_t *block) {
    int64_t latency_ns = get_fixed(block + 20) - probe->ahead_ns;
    if (get32(block + 20) == UINT32_MAX || !probe->has_peer || latency_ns <= 0)
        memset(block + 20, 0xff, 8); /* not known */
    else
        put_fixed(block + 20, latency_ns);
}

static size_t words(const uint8_t *p) {
    return 4 * (((size_t)p[2] << 8 | p[3]) + 1);
}

void roc_probe_mend_feedback(struct roc_probe *probe, uint8_t *packet, size_t len, int64_t wall_ns) {
    for (size_t at = 0; at + 8 <= len;) {
        uint8_t *p = packet + at;
        size_t size = words(p) <= len - at ? words(p) : len - at;
        if (p[1] == RTCP_RR)
            for (size_t block = 8; block + 24 <= size; block += 24)
                mend_report_block(probe, p + block, wall_ns);
        if (p[1] == RTCP_XR)
            for (size_t block = 8; block + 4 <= size; block += words(p + block))
                if (p[block] == XR_DELAY_METRICS && block + 28 <= size)
                    mend_delay(probe, p + block);
        at += size;
    }
}

/* ---- what is played ---- */

void roc_probe_before_pop(struct roc_probe *probe) {
    published_begin(&probe->popped);
}

void roc_probe_after_pop(struct roc_probe *probe, size_t n, int64_t now_ns, int64_t wall_ns) {
    probe->n_unsure -= n < probe->n_unsure ? n : probe->n_unsure;
    size_t piece = probe->frame_rate / PIECES_PER_S, last = piece > 0 && n % piece > 0 ? n % piece : piece;
    const int64_t values[] = {
        [POPPED_NS] = now_ns,
        [POPPED_WALL_NS] = wall_ns,
        [REPORT_RTP] = probe->rtp,
        [REPORT_WALL_NS] = probe->wall_ns,
        [LAST_PIECE_NS] = (int64_t)last * NS_PER_S / probe->frame_rate,
        [IS_SURE] = probe->is_set && probe->n_unsure == 0,
        [HAS_PEER] = probe->has_peer,
        [AHEAD_NS] = probe->ahead_ns,
    };
    published_end(&probe->popped, values, N_VALUES);
}

bool roc_probe_begin_read(const struct roc_probe *probe, struct roc_probe_reading *reading) {
    reading->turn = published_read(&probe->popped, reading->values, N_VALUES);
    return reading->turn != 0;
}

bool roc_probe_end_read(const struct roc_probe *probe, const struct roc_probe_reading *reading, int64_t latency_ns,
                        struct codec_query *ret) {
    if (!published_is(&probe->popped, reading->turn))
        return false;
    const int64_t *v = reading->values;
    if (!v[IS_SURE] || latency_ns <= 0)
        return true;
    /* of the last frame: what is heard with it, which is what went into the resampler a little before */
    latency_ns += probe->resampler_ns - v[LAST_PIECE_NS];
    ret->has_position = true;
    ret->popped_ns = v[POPPED_NS];
    ret->rtp = (uint32_t)v[REPORT_RTP];
    ret->after_rtp_ns = v[POPPED_WALL_NS] - latency_ns - v[REPORT_WALL_NS];
    if (v[HAS_PEER] && latency_ns > v[AHEAD_NS])
        ret->end_to_end_ns = latency_ns - v[AHEAD_NS];
    return true;
}
