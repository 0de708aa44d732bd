/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "base/clock.h"
#include "fuzz/gate_script.h"
#include "fuzz/target.h"
#include "transport/rtp.h"

/*
 * The story of a link (gate_script.h) before the gate, which must keep the promises of transport/gate.h at every packet:
 * who may send, what passes, and that each packet is counted once. Of a sender that behaves, the losses must be exact.
 */
struct counts {
    uint64_t packets, bytes, source_packets, rejected, lost, repaired, late, reordered, duplicate, sessions;
};

/* What an observer knows of the latch. */
struct latched {
    bool known;
    uint32_t ssrc;
    union path_address from;
    int64_t last_ns;
};

/* Of a sender that behaves: what came in time, by sequence number from the first that came. */
constexpr size_t SEQ_MAX = 8192;
struct arrivals {
    bool exact; /* nothing came that the gate may take for a jump */
    uint16_t first;
    size_t n_seqs; /* up to the last that came */
    bool came[SEQ_MAX];
    uint16_t newest;
    bool refused; /* the newest was */
};

static struct counts read_counts(const struct gate *gate) {
    const struct gate_counters *c = gate_counters(gate);
    return (struct counts){c->packets,  c->bytes, c->source_packets, c->rejected,  c->lost,
                           c->repaired, c->late,  c->reordered,      c->duplicate, c->sessions};
}

static struct counts difference(const struct counts *before, const struct counts *after) {
    struct counts d = {
        after->packets - before->packets,
        after->bytes - before->bytes,
        after->source_packets - before->source_packets,
        after->rejected - before->rejected,
        after->lost - before->lost,
        after->repaired - before->repaired,
        after->late - before->late,
        after->reordered - before->reordered,
        after->duplicate - before->duplicate,
        after->sessions - before->sessions,
    };
    /* Counters only grow; and a few packets do not make thousands lost. */
    FUZZ_CHECK(d.lost < 100'000 && d.repaired < 100'000);
    return d;
}

/* So large as it says and not a byte more, so that reading behind it is seen. */
static struct packet *copy_packet(const struct packet *packet) {
    size_t size = offsetof(struct packet, data) + packet->len;
    struct packet *copy = malloc(size);
    memcpy(copy, packet, size);
    return copy;
}

static bool is_same_host(const struct gate_script *script, const struct latched *latched, const struct packet *packet) {
    return script->config.trusted_path || path_address_same_host(&latched->from, &packet->from);
}

static bool is_allowed(const struct gate_script *script, const struct packet *packet) {
    return script->config.trusted_path || script->config.n_allowed == 0 ||
           path_address_same_host(&script->config.allowed[0], &packet->from);
}

static void check_good_source(const struct gate_script *script, struct latched *latched, const struct packet *packet,
                              const struct counts *d) {
    const struct codec_settings *s = &script->config.settings;
    struct rtp_source source;
    FUZZ_CHECK(rtp_parse_source(packet->data, packet->len, s->fec, &source));
    FUZZ_CHECK(source.payload_type == s->payload_type);
    FUZZ_CHECK(source.payload_len > 0 && source.payload_len % (2 * s->wire_channels) == 0);
    FUZZ_CHECK(is_allowed(script, packet));
    bool same = latched->known && source.ssrc == latched->ssrc && is_same_host(script, latched, packet);
    FUZZ_CHECK(same == (d->sessions == 0));
    if (latched->known && !same) { /* a new sender: the old one has been silent */
        int64_t silence_ns = script->now_ns - latched->last_ns;
        FUZZ_CHECK(silence_ns >= (is_same_host(script, latched, packet) ? 60 * NS_PER_MS : 2 * NS_PER_S));
    }
    if (!same)
        *latched = (struct latched){.known = true, .ssrc = source.ssrc, .from = packet->from};
    latched->last_ns = script->now_ns;
}

static void check_good(const struct gate_script *script, const struct gate *gate, struct latched *latched,
                       bool was_latched, const struct packet *packet, const struct counts *d) {
    enum codec_fec fec = script->config.settings.fec;
    struct rtp_repair repair;
    uint32_t ssrc;
    switch (packet->iface) {
    case MEDIA_SOURCE:
        check_good_source(script, latched, packet, d);
        FUZZ_CHECK(gate_is_latched(gate) && gate_last_packet_ns(gate) == script->now_ns);
        break;
    case MEDIA_REPAIR:
        FUZZ_CHECK(rtp_parse_repair(packet->data, packet->len, fec, &repair));
        FUZZ_CHECK(was_latched && is_same_host(script, latched, packet));
        break;
    case MEDIA_CONTROL:
        FUZZ_CHECK(script->config.settings.control && gate_rtcp_is_sound(packet->data, packet->len));
        FUZZ_CHECK(rtcp_parse(packet->data, packet->len, &ssrc) && ssrc == latched->ssrc);
        FUZZ_CHECK(was_latched && is_same_host(script, latched, packet));
        FUZZ_CHECK(path_address_equal(gate_feedback_address(gate), &packet->from));
        break;
    case MEDIA_N_IFACES:
        FUZZ_CHECK(packet->iface < MEDIA_N_IFACES); /* none of them is good */
    }
}

/* A packet of the sender that behaves. */
static void note_arrival(struct arrivals *arrivals, const struct packet *packet, const struct counts *d) {
    uint16_t seq = (uint16_t)(packet->data[2] << 8 | packet->data[3]);
    if (arrivals->n_seqs == 0)
        arrivals->first = arrivals->newest = seq;
    if ((int16_t)(seq - arrivals->newest) < 0) {
        /* So old that it was taken for a jump itself: it is the one that is remembered. */
        arrivals->refused = arrivals->refused && !d->rejected;
    } else {
        /* A jump is believed when the next packet follows it. */
        FUZZ_CHECK(!d->rejected || !arrivals->refused || seq != (uint16_t)(arrivals->newest + 1));
        arrivals->refused = d->rejected;
        arrivals->newest = seq;
    }
    int32_t n_seqs = (int32_t)arrivals->n_seqs;
    int32_t ahead = (int16_t)(seq - arrivals->first - n_seqs + 1);
    int32_t at = n_seqs - 1 + ahead;
    arrivals->exact = arrivals->exact && !d->rejected && ahead <= 50 && ahead >= -50 && at < (int32_t)SEQ_MAX;
    if (!arrivals->exact || at < 0) /* older than the first: nobody waits for it */
        return;
    if (at >= n_seqs)
        arrivals->n_seqs = (size_t)at + 1;
    if (d->packets && d->late == 0)
        arrivals->came[at] = true;
}

static void give(struct gate *gate, const struct gate_script *script, const struct packet *from,
                 struct latched *latched, struct arrivals *arrivals) {
    struct packet *packet = copy_packet(from);
    struct counts before = read_counts(gate);
    bool was_latched = gate_is_latched(gate);
    enum gate_verdict verdict = gate_check(gate, packet, script->now_ns);
    struct counts after = read_counts(gate);
    struct counts d = difference(&before, &after);

    /* Each packet is counted once: as a good one, as refused, as a copy, as too late; one that only waits for its sound
     * packet is not counted at all. */
    FUZZ_CHECK(d.packets <= 1 && d.bytes == d.packets * packet->len);
    FUZZ_CHECK(d.packets + d.rejected + d.duplicate + (d.packets == 0 && d.late) <= 1);
    FUZZ_CHECK(d.late + d.reordered + d.duplicate <= 1);
    FUZZ_CHECK(d.source_packets == (d.packets && packet->iface == MEDIA_SOURCE));
    FUZZ_CHECK(verdict == GATE_DROP || d.packets == 1);
    /* What is good and dropped is what FEC has no need of. */
    FUZZ_CHECK(verdict != GATE_DROP || d.packets == 0 ||
               (script->config.settings.fec != CODEC_FEC_NONE && packet->iface != MEDIA_CONTROL));
    FUZZ_CHECK(d.sessions <= 1 && (d.sessions == 0 || (verdict != GATE_DROP && packet->iface == MEDIA_SOURCE)));
    /* A new decoder for a new sender, and for one that has jumped. */
    FUZZ_CHECK(verdict != GATE_NEW_SESSION || (before.sessions > 0 && packet->iface == MEDIA_SOURCE));
    FUZZ_CHECK(verdict == GATE_NEW_SESSION || d.sessions == 0 || before.sessions == 0);
    if (d.packets)
        check_good(script, gate, latched, was_latched, packet, &d);
    if (script->honest && packet->iface == MEDIA_SOURCE)
        note_arrival(arrivals, packet, &d);
    free(packet);
}

static void check_end(const struct gate *gate, const struct gate_script *script, const struct arrivals *arrivals) {
    struct counts c = read_counts(gate);
    FUZZ_CHECK(!gate_is_latched(gate));
    if (!arrivals->exact || !script->honest)
        return;
    uint64_t n_lost = 0;
    for (size_t i = 0; i < arrivals->n_seqs; i++)
        n_lost += !arrivals->came[i];
    /* Behind the last that came, only repair packets tell that there was more. */
    uint16_t n_behind = (uint16_t)(script->sender.seq - arrivals->first - arrivals->n_seqs);
    FUZZ_CHECK(c.lost >= n_lost && c.lost - n_lost <= (c.repaired > 0 ? n_behind : 0));
    FUZZ_CHECK(c.repaired <= c.lost && c.late <= c.lost);
    FUZZ_CHECK(gate_missing(gate) == c.lost - c.repaired);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct gate_script *script = malloc(sizeof *script);
    gate_script_begin(script, data, size);
    struct gate *gate = gate_create(&script->config);
    FUZZ_CHECK(gate);
    struct latched latched = {};
    struct arrivals *arrivals = calloc(1, sizeof *arrivals);
    arrivals->exact = true;
    for (const struct packet *packet; gate_script_next(script, &packet);) {
        gate_tick(gate, script->now_ns);
        if (packet)
            give(gate, script, packet, &latched, arrivals);
    }
    gate_tick(gate, script->now_ns + 3 * NS_PER_S);
    check_end(gate, script, arrivals);
    free(arrivals);
    gate_destroy(gate);
    free(script);
    return 0;
}
