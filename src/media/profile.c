/* SPDX-License-Identifier: MPL-2.0 */
#include "media/profile.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "model_gen.h"

/*
 * A FEC block can only repair what the decoder still waits for: its sound must be shorter than the target latency by the
 * time that packets and frames take themselves. Of a block of k + r packets any k give back the whole; r is such that at
 * 5 % random loss more than r are lost less than once in ten hours. Short blocks need more of them for that, as few
 * packets are more easily hit together. Measured so with libroc 0.4 over lossy links (make bench).
 */
constexpr double FEC_MARGIN_MS = 10;
constexpr double PACKET_MIN_MS = 1;
constexpr double PACKET_MAX_MS = 20;
constexpr int32_t BLOCK_MAX = 255;     /* symbols; Reed-Solomon over GF(2^8) */
constexpr int32_t LDPC_REPAIR_MIN = 7; /* OpenFEC cannot build a smaller LDPC-Staircase matrix */
constexpr int32_t LDPC_LATENCY_MIN_MS = 50;
constexpr int32_t FEC_LATENCY_MIN_MS = 20;

/* Below it, no packet and no block of any kind can be kept in a queue. */
constexpr int32_t PLAIN_LATENCY_MIN_MS = 5;

struct shape {
    int32_t from_ms; /* least target */
    double packet_ms;
    uint32_t source, repair;
};

static const struct shape FEC_SHAPES[] = {
    {100, 5, 18, 10},
    {50, 2.5, 10, 7},
    {30, 2.5, 6, 7},
    {FEC_LATENCY_MIN_MS, 2.5, 4, 6},
};
static const struct shape *const FEC_SHORTEST = &FEC_SHAPES[sizeof FEC_SHAPES / sizeof *FEC_SHAPES - 1];
static const struct shape PLAIN_SHAPES[] = {{40, 5, 0, 0}, {20, 2.5, 0, 0}, {10, 2, 0, 0}, {0, 1, 0, 0}};

static const struct shape *shape_for(const struct shape *shapes, int32_t target_ms) {
    while (shapes->from_ms > target_ms)
        shapes++;
    return shapes;
}

static enum err derive_packet(const struct stream_settings *s, const struct shape *shape, int32_t target_ms,
                              struct codec_settings *c, struct err_info *reterr) {
    double frame_bytes = 2.0 * c->wire_channels;
    double most_ms = floor((double)CODEC_PAYLOAD_MAX / frame_bytes) * 1000 / c->wire_rate_hz;
    double ms = shape->packet_ms;
    if (s->has_packet_length_ms == PRESENCE_VALUE) {
        ms = s->packet_length_ms;
        if (ms < PACKET_MIN_MS || ms > PACKET_MAX_MS)
            return err_set_at(reterr, ERR_INVALID, "/settings/packet_length_ms",
                              "a packet of %g ms is not possible: want %g to %g, or null for what fits the latency", ms,
                              PACKET_MIN_MS, PACKET_MAX_MS);
        if (ms > most_ms)
            return err_set_at(reterr, ERR_INVALID, "/settings/packet_length_ms",
                              "%g ms of %s do not fit into one packet: %.1f ms is the most, null chooses", ms,
                              s->encoding, floor(most_ms * 10) / 10);
        if (ms * 2 > target_ms)
            return err_set_at(reterr, ERR_INVALID, "/settings/packet_length_ms",
                              "packets of %g ms are too long for a target latency of %d ms: %g ms is the most", ms,
                              (int)target_ms, target_ms / 2.0);
    }
    while (ms > most_ms)
        ms /= 2;
    c->packet_length_ns = llround(ms * NS_PER_MS);
    return ERR_OK;
}

static enum err derive_block(const struct stream_settings *s, const struct shape *shape, int32_t target_ms,
                             struct codec_settings *c, struct err_info *reterr) {
    bool has_source = s->has_fec_block_source_packets == PRESENCE_VALUE;
    bool has_repair = s->has_fec_block_repair_packets == PRESENCE_VALUE;
    if (has_source != has_repair)
        return err_set_at(
            reterr, ERR_INVALID,
            has_source ? "/settings/fec_block_repair_packets" : "/settings/fec_block_source_packets",
            "fec_block_source_packets and fec_block_repair_packets belong together: give both or neither");
    double packet_ms = (double)c->packet_length_ns / NS_PER_MS;
    /* packets that are longer than those of the table: fewer of them */
    while (shape < FEC_SHORTEST && shape->source * packet_ms > target_ms - FEC_MARGIN_MS)
        shape++;
    int32_t source = has_source ? s->fec_block_source_packets : (int32_t)shape->source;
    int32_t repair = has_repair ? s->fec_block_repair_packets : (int32_t)shape->repair;
    if (!has_repair && c->fec == CODEC_FEC_LDPC && repair < LDPC_REPAIR_MIN)
        repair = LDPC_REPAIR_MIN;
    if (source < 1 || repair < 1 || source + repair > BLOCK_MAX)
        return err_set_at(reterr, ERR_INVALID, "/settings/fec_block_source_packets",
                          "a FEC block of %d + %d packets is not possible: want at least 1 + 1 and at most %d in all",
                          (int)source, (int)repair, (int)BLOCK_MAX);
    if (c->fec == CODEC_FEC_LDPC && repair < LDPC_REPAIR_MIN)
        return err_set_at(reterr, ERR_INVALID, "/settings/fec_block_repair_packets",
                          "LDPC needs at least %d repair packets in a block, not %d: raise it, or use fec rs8m",
                          (int)LDPC_REPAIR_MIN, (int)repair);
    if (!has_source && source * packet_ms > target_ms - FEC_MARGIN_MS)
        return err_set_at(reterr, ERR_INVALID, "/settings/packet_length_ms",
                          "no FEC block of packets of %g ms repairs anything in time at a target latency of %d ms: use "
                          "packets of %g ms, a target of %d ms, or fec none",
                          packet_ms, (int)target_ms, floor((target_ms - FEC_MARGIN_MS) / source * 10) / 10,
                          (int)ceil(source * packet_ms + FEC_MARGIN_MS));
    if (source * packet_ms > target_ms - FEC_MARGIN_MS)
        return err_set_at(
            reterr, ERR_INVALID, "/settings/fec_block_source_packets",
            "a FEC block of %d packets of %g ms repairs nothing in time at a target latency of %d ms: use a target of "
            "%d ms, at most %d packets, or fec none",
            (int)source, packet_ms, (int)target_ms, (int)ceil(source * packet_ms + FEC_MARGIN_MS),
            (int)floor((target_ms - FEC_MARGIN_MS) / packet_ms));
    c->fec_source_packets = (uint32_t)source;
    c->fec_repair_packets = (uint32_t)repair;
    return ERR_OK;
}

static int32_t least_latency_ms(enum fec_code fec) {
    switch (fec) {
    case FEC_CODE_NONE:
        return PLAIN_LATENCY_MIN_MS;
    case FEC_CODE_LDPC:
        return LDPC_LATENCY_MIN_MS;
    case FEC_CODE_RS8M:
        break;
    }
    return FEC_LATENCY_MIN_MS;
}

static enum err check_latency(const struct stream_settings *s, int32_t ms, const char *pointer,
                              struct err_info *reterr) {
    int32_t least = least_latency_ms(s->fec);
    if (ms >= least)
        return ERR_OK;
    if (s->fec == FEC_CODE_NONE)
        return err_set_at(reterr, ERR_INVALID, pointer, "%d ms is too short: %d ms is the least", (int)ms, (int)least);
    return err_set_at(reterr, ERR_INVALID, pointer, "%d ms is too short for fec %s: %d ms is the least, or use fec %s",
                      (int)ms, fec_code_name(s->fec), (int)least,
                      s->fec == FEC_CODE_LDPC && ms >= FEC_LATENCY_MIN_MS ? "rs8m" : "none");
}

static int32_t least_of(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static int32_t most_of(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* A bound that is not given gives way to the one that is. */
static enum err derive_bounds(const struct stream_settings *s, struct profile_latency *l, struct err_info *reterr) {
    bool has_min = s->has_latency_min_ms == PRESENCE_VALUE, has_max = s->has_latency_max_ms == PRESENCE_VALUE;
    l->min_ms = has_min ? s->latency_min_ms : (int32_t)PROFILE_DEFAULT_LATENCY_MS;
    l->max_ms = has_max ? s->latency_max_ms : (int32_t)PROFILE_CEILING_MS;
    if (has_min && has_max && l->min_ms > l->max_ms)
        return err_set_at(reterr, ERR_INVALID, "/settings/latency_min_ms",
                          "latency_min_ms (%d) is above latency_max_ms (%d): %d is the most", (int)l->min_ms,
                          (int)l->max_ms, (int)l->max_ms);
    if (!has_min)
        l->min_ms = least_of(l->min_ms, l->max_ms);
    if (!has_max)
        l->max_ms = most_of(l->min_ms, l->max_ms);
    return check_latency(s, l->min_ms, has_min ? "/settings/latency_min_ms" : "/settings/latency_max_ms", reterr);
}

enum err profile_latency(const struct stream_settings *settings, struct profile_latency *ret, struct err_info *reterr) {
    struct profile_latency l = {};
    enum err e = derive_bounds(settings, &l, reterr);
    if (settings->has_target_latency_ms == PRESENCE_VALUE) {
        l.start_ms = l.min_ms = l.max_ms = settings->target_latency_ms;
        e = check_latency(settings, l.start_ms, "/settings/target_latency_ms", reterr);
    } else {
        l.adapts = l.min_ms < l.max_ms;
        l.start_ms = most_of(l.min_ms, least_of((int32_t)PROFILE_DEFAULT_LATENCY_MS, l.max_ms));
    }
    if (e == ERR_OK)
        *ret = l;
    return e;
}

static enum codec_latency_profile latency_profile(enum latency_profile profile, int32_t target_ms) {
    switch (profile) {
    case LATENCY_PROFILE_INTACT:
        return CODEC_LATENCY_INTACT;
    case LATENCY_PROFILE_RESPONSIVE:
        return CODEC_LATENCY_RESPONSIVE;
    case LATENCY_PROFILE_GRADUAL:
        break;
    }
    /* below 30 ms gradual cannot hold the latency */
    return target_ms < 30 ? CODEC_LATENCY_RESPONSIVE : CODEC_LATENCY_GRADUAL;
}

enum err profile_derive(const struct stream_settings *settings, struct codec_settings *ret, struct err_info *reterr) {
    static const enum codec_fec FEC[] = {
        [FEC_CODE_RS8M] = CODEC_FEC_RS8M, [FEC_CODE_LDPC] = CODEC_FEC_LDPC, [FEC_CODE_NONE] = CODEC_FEC_NONE};
    static const enum codec_resampler RESAMPLER[] = {[RESAMPLER_PROFILE_LOW] = CODEC_RESAMPLER_LOW,
                                                     [RESAMPLER_PROFILE_MEDIUM] = CODEC_RESAMPLER_MEDIUM,
                                                     [RESAMPLER_PROFILE_HIGH] = CODEC_RESAMPLER_HIGH};
    const struct codec_encoding *encoding = codec_encoding_by_name(settings->encoding);
    if (!encoding)
        return err_set_at(reterr, ERR_UNSUPPORTED, "/settings/encoding",
                          "the encoding '%s' is not built: l16/48000/2, l16/44100/2 and other l16/RATE/CHANNELS are",
                          settings->encoding);
    struct profile_latency latency;
    enum err e = profile_latency(settings, &latency, reterr);
    if (e != ERR_OK)
        return e;
    int32_t target_ms = latency.min_ms; /* what works with the least works with all that it may grow to */
    struct codec_settings c = {
        .wire_rate_hz = encoding->rate_hz,
        .wire_channels = encoding->n_channels,
        .payload_type = encoding->payload_type,
        .fec = FEC[settings->fec],
        .target_latency_ns = latency.start_ms * NS_PER_MS,
        .latency_profile = latency_profile(settings->latency_profile, target_ms),
        .resampler = RESAMPLER[settings->resampler_profile],
        .control = true,
    };
    const struct shape *shape = shape_for(c.fec == CODEC_FEC_NONE ? PLAIN_SHAPES : FEC_SHAPES, target_ms);
    e = derive_packet(settings, shape, target_ms, &c, reterr);
    if (e == ERR_OK && c.fec != CODEC_FEC_NONE)
        e = derive_block(settings, shape, target_ms, &c, reterr);
    if (e == ERR_OK)
        *ret = c;
    return e;
}
