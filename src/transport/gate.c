/* SPDX-License-Identifier: MPL-2.0 */
#include "transport/gate.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "transport/rtp.h"

/*
 * Sequence numbers are extended to 64 bits. A window of the last WINDOW of them says which came; what is more than
 * `expiry` packets (the target latency) behind the newest and did not come is counted as lost. FEC blocks are kept in a
 * ring by block number: which symbols came, and so how many of its missing source packets FEC gives back.
 */

constexpr uint32_t WINDOW = 1024; /* packets, a power of two */
constexpr uint32_t BLOCKS = 32;   /* FEC blocks, a power of two */
/* libroc ends its session at larger jumps (its defaults). */
constexpr int32_t SEQ_JUMP_MAX = 100;
constexpr int32_t BLOCK_JUMP_MAX = 24; /* below BLOCKS and far below libroc's 100 */
constexpr int32_t REPAIR_AHEAD_MAX = 8;
constexpr int64_t RESTART_SILENCE_NS = 60 * NS_PER_MS;
constexpr int64_t BUNDLE_NS = 100 * NS_PER_MS;
constexpr int64_t DEFAULT_RELEASE_NS = 2 * NS_PER_S;

struct block {
    bool used;
    uint32_t sbn, k, n; /* n: 0 = not known */
    size_t symbol_len;
    uint64_t base;                         /* sequence number of its first packet; 0 = not known yet */
    uint32_t n_there;                      /* source packets that need no repair */
    uint32_t given;                        /* symbols that the decoder has to repair with */
    uint32_t credited;                     /* missing source packets that it gives back */
    uint32_t settled;                      /* of these, the ones counted as repaired; the rest still may come */
    uint64_t seen[RTP_FEC_BLOCK_MAX / 64]; /* repair packets, by symbol */
};

struct gate {
    struct gate_config config;
    struct gate_counters counters;

    bool known;   /* a sender has been latched since creation: the members below mean something */
    bool latched; /* it has not been silent for release_ns */
    uint32_t ssrc;
    union path_address from;
    union path_address feedback; /* AF_UNSPEC: none yet */
    int64_t last_ns;

    uint64_t first_seq; /* what came before it is nobody's loss */
    uint64_t max_seq;   /* extended; starts high enough to go backwards */
    uint64_t expired;   /* everything below is settled */
    uint64_t expiry;    /* packets */
    int64_t packet_ns;  /* of this sender; 0: none yet */
    uint64_t gaps;      /* missing now, settled or not */
    uint64_t came[WINDOW / 64];
    uint32_t max_timestamp;
    uint16_t jump_seq; /* the packet after one that jumped */
    bool jumped;

    int64_t arrival_ns; /* of the packet before, for the jitter */
    uint32_t timestamp;
    int64_t jitter_16;

    bool started; /* libroc repairs from the first block on whose first packet it sees: */
    uint32_t start_sbn;
    uint64_t start_seq;

    uint32_t max_sbn;
    uint64_t repairable; /* sum of `credited`, settled blocks included */
    struct block blocks[BLOCKS];
};

static void add(_Atomic uint64_t *counter, uint64_t n) {
    /* One writer: no read-modify-write is needed. */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

/* ---- sequence numbers ---- */

static bool has_come(const struct gate *gate, uint64_t seq) {
    return gate->came[seq % WINDOW / 64] >> (seq % 64) & 1;
}

static void set_come(struct gate *gate, uint64_t seq, bool came) {
    uint64_t bit = (uint64_t)1 << (seq % 64);
    uint64_t *word = &gate->came[seq % WINDOW / 64];
    *word = came ? *word | bit : *word & ~bit;
}

/* Settles everything below `end`: what has not come is lost. */
static void expire_until(struct gate *gate, uint64_t end) {
    uint64_t n_lost = 0;
    for (; gate->expired < end; gate->expired++)
        n_lost += !has_come(gate, gate->expired);
    add(&gate->counters.lost, n_lost);
}

/* None of the packets up to `seq` has come, as far as is known. */
static void advance(struct gate *gate, uint64_t seq) {
    gate->gaps += seq - gate->max_seq;
    for (uint64_t s = gate->max_seq + 1; s <= seq; s++) {
        if (s >= gate->expired + WINDOW)
            expire_until(gate, s - WINDOW + 1);
        set_come(gate, s, false);
    }
    gate->max_seq = seq;
    if (seq > gate->expiry)
        expire_until(gate, seq - gate->expiry);
}

/* ---- FEC blocks ---- */

static void settle_block(struct gate *gate, struct block *block) {
    if (!block->used || block->credited <= block->settled)
        return;
    add(&gate->counters.repaired, block->credited - block->settled);
    block->settled = block->credited;
}

static void settle_all(struct gate *gate) {
    /* The sound of a block is sent before its repair packets: what they gave back behind the last that came was lost. */
    for (uint32_t i = 0; i < BLOCKS; i++) {
        const struct block *block = &gate->blocks[i];
        if (block->used && block->credited > 0 && block->base + block->k - 1 > gate->max_seq)
            advance(gate, block->base + block->k - 1);
    }
    expire_until(gate, gate->max_seq + 1);
    for (uint32_t i = 0; i < BLOCKS; i++)
        settle_block(gate, &gate->blocks[i]);
}

/* The block of this packet, opened if need be; nullptr: the packet does not agree with what is known of it, or the block
 * is long gone. */
static struct block *find_block(struct gate *gate, const struct rtp_fec_id *id, size_t symbol_len) {
    struct block *block = &gate->blocks[id->sbn % BLOCKS];
    if (block->used && block->sbn == id->sbn) {
        bool agrees =
            block->k == id->k && block->symbol_len == symbol_len && (block->n == 0 || id->n == 0 || block->n == id->n);
        return agrees ? block : nullptr;
    }
    if (block->used && rtp_sbn_diff(block->sbn, id->sbn) < 0)
        return nullptr;
    settle_block(gate, block);
    *block = (struct block){.used = true, .sbn = id->sbn, .k = id->k, .symbol_len = symbol_len};
    return block;
}

static bool is_repairable(const struct gate *gate, uint32_t sbn) {
    /* Long after the start, block numbers may have wrapped, and no block from before is taken any more. */
    return gate->started && (gate->max_seq - gate->start_seq > BLOCK_JUMP_MAX * RTP_FEC_BLOCK_MAX ||
                             rtp_sbn_diff(gate->start_sbn, sbn) >= 0);
}

/* May the decoder have one more symbol of this block? libroc 0.4 tries again to repair whenever a packet of the block comes
 * after a first attempt, and that ends the process if the first one gave back only some of the missing packets.
 * Reed-Solomon gives back nothing before as many symbols came as the block has source packets, and then all: what comes
 * later is not needed. (It is some when the symbols are forged and what they give back is not RTP.) Any symbol of LDPC may
 * give back some, so the decoder sees none of its repair packets. */
static bool give_symbol(struct block *block) {
    if (block->given >= block->k)
        return false;
    block->given++;
    return true;
}

static void credit(struct gate *gate, struct block *block) {
    uint32_t credited = 0;
    if (block->given >= block->k && block->base != 0) {
        uint64_t missing = block->k - block->n_there;
        uint64_t early = gate->first_seq > block->base ? gate->first_seq - block->base : 0;
        credited = (uint32_t)(missing > early ? missing - early : 0);
    }
    gate->repairable += (uint64_t)credited - block->credited; /* may shrink: unsigned wrap is meant */
    block->credited = credited;
}

/* A source packet of the block has been taken. May the decoder have it? */
static bool take_source(struct gate *gate, struct block *block, const struct rtp_fec_id *id, uint64_t seq,
                        bool is_late) {
    if (!gate->started && id->esi == 0) {
        gate->started = true;
        gate->start_sbn = id->sbn;
        gate->start_seq = seq;
    }
    if (rtp_sbn_diff(gate->max_sbn, id->sbn) > 0)
        gate->max_sbn = id->sbn;
    block->base = seq - id->esi;
    /* What comes too late may have been given back before. */
    block->n_there += seq >= gate->first_seq && (!is_late || block->given < block->k);
    bool given = give_symbol(block);
    credit(gate, block);
    return given;
}

static bool take_repair(struct gate *gate, struct block *block, const struct rtp_fec_id *id) {
    uint64_t bit = (uint64_t)1 << (id->esi % 64);
    bool seen = block->seen[id->esi / 64] & bit;
    block->seen[id->esi / 64] |= bit;
    if (id->n != 0)
        block->n = id->n;
    if (seen || gate->config.settings.fec == CODEC_FEC_LDPC || !is_repairable(gate, block->sbn) || !give_symbol(block))
        return false;
    credit(gate, block);
    return true;
}

/* Does the packet fit its block, its sequence number and the blocks before? Changes nothing but a block's opening. */
static struct block *check_source_block(struct gate *gate, const struct rtp_source *source, uint64_t seq) {
    if (rtp_sbn_diff(gate->max_sbn, source->fec.sbn) < -BLOCK_JUMP_MAX)
        return nullptr;
    struct block *block = find_block(gate, &source->fec, RTP_HEADER_SIZE + source->payload_len);
    if (!block || (block->base != 0 && block->base != seq - source->fec.esi))
        return nullptr;
    return block;
}

/* ---- latch ---- */

static bool is_allowed(const struct gate *gate, const union path_address *from) {
    if (gate->config.trusted_path || gate->config.n_allowed == 0)
        return true;
    for (size_t i = 0; i < gate->config.n_allowed; i++)
        if (path_address_same_host(&gate->config.allowed[i], from))
            return true;
    return false;
}

static bool is_latched_host(const struct gate *gate, const struct packet *packet) {
    return gate->config.trusted_path || path_address_same_host(&gate->from, &packet->from);
}

static void set_expiry(struct gate *gate) {
    int64_t expiry = gate->config.settings.target_latency_ns / gate->packet_ns + 1;
    gate->expiry = (uint64_t)(expiry < WINDOW / 2 ? expiry : WINDOW / 2);
}

/* Starts counting at this packet. */
static void restart_counting(struct gate *gate, const struct rtp_source *source, int64_t arrival_ns) {
    if (gate->known)
        settle_all(gate); /* before the first sender there is nothing to settle, and no packet 0 that was lost */
    memset(gate->blocks, 0, sizeof gate->blocks);
    gate->first_seq = gate->max_seq = ((uint64_t)1 << 32) + source->seq;
    gate->expired = gate->max_seq + 1;
    memset(gate->came, 0, sizeof gate->came);
    set_come(gate, gate->max_seq, true);
    gate->max_timestamp = gate->timestamp = source->timestamp;
    gate->arrival_ns = arrival_ns;
    gate->jumped = gate->started = false;
    gate->max_sbn = source->fec.sbn;

    const struct codec_settings *s = &gate->config.settings;
    int64_t samples = (int64_t)(source->payload_len / (2 * s->wire_channels));
    gate->packet_ns = samples * NS_PER_S / s->wire_rate_hz;
    set_expiry(gate);
}

static void latch(struct gate *gate, const struct rtp_source *source, const struct packet *packet) {
    gate->known = gate->latched = true;
    gate->ssrc = source->ssrc;
    gate->from = packet->from;
    gate->feedback = (union path_address){};
    gate->jitter_16 = 0;
    add(&gate->counters.sessions, 1);
}

static void count_jitter(struct gate *gate, const struct rtp_source *source, int64_t arrival_ns) {
    int64_t sent =
        (int64_t)(int32_t)(source->timestamp - gate->timestamp) * NS_PER_S / gate->config.settings.wire_rate_hz;
    int64_t d = arrival_ns - gate->arrival_ns - sent;
    gate->arrival_ns = arrival_ns;
    gate->timestamp = source->timestamp;
    gate->jitter_16 += (d < 0 ? -d : d) - gate->jitter_16 / 16; /* RFC 3550 A.8, kept times 16 */
    atomic_store_explicit(&gate->counters.jitter_ns, (uint64_t)gate->jitter_16 / 16, memory_order_relaxed);
}

/* ---- verdicts ---- */

static enum gate_verdict pass(struct gate *gate, const struct packet *packet, enum gate_verdict verdict) {
    add(&gate->counters.packets, 1);
    add(&gate->counters.bytes, packet->len);
    return verdict;
}

/* Good, and of no use to the decoder. */
static enum gate_verdict pass_by(struct gate *gate, const struct packet *packet) {
    return pass(gate, packet, GATE_DROP);
}

static enum gate_verdict reject(struct gate *gate) {
    add(&gate->counters.rejected, 1);
    return GATE_DROP;
}

/* Sound repair and control packets of a sender whose first sound packet is still on its way are nobody's fault. */
static enum gate_verdict wait_for_source(struct gate *gate, const struct packet *packet) {
    return is_allowed(gate, &packet->from) ? GATE_DROP : reject(gate);
}

static enum gate_verdict begin_session(struct gate *gate, const struct rtp_source *source, const struct packet *packet,
                                       int64_t now_ns, int64_t arrival_ns, bool same) {
    bool first = !gate->known;
    restart_counting(gate, source, arrival_ns);
    if (!same)
        latch(gate, source, packet);
    gate->latched = true;
    gate->last_ns = now_ns;
    if (gate->config.settings.fec != CODEC_FEC_NONE) {
        struct block *block = find_block(gate, &source->fec, RTP_HEADER_SIZE + source->payload_len);
        take_source(gate, block, &source->fec, gate->max_seq, /* is_late= */ false);
    }
    add(&gate->counters.source_packets, 1);
    return pass(gate, packet, first ? GATE_PASS : GATE_NEW_SESSION);
}

/* Packets have been lost in between, and it was not the sender that went on elsewhere: backwards, or so far ahead that there
 * was no time to send them. Twice the time is allowed for, as what was held up comes in a bundle. */
static bool is_break(const struct gate *gate, int16_t ahead, int64_t now_ns) {
    return ahead > 1 && (ahead - 1) * gate->packet_ns <= 2 * (now_ns - gate->last_ns) + BUNDLE_NS;
}

/* A packet far from the last one. libroc would end its session: believe it only if the next packet follows it. The decoder
 * must be a new one, because the symbols of its blocks are counted anew. */
static enum gate_verdict check_jump(struct gate *gate, const struct rtp_source *source, const struct packet *packet,
                                    int64_t now_ns, int64_t arrival_ns) {
    if (gate->jumped && source->seq == gate->jump_seq) {
        int16_t ahead = (int16_t)(source->seq - (uint16_t)gate->max_seq);
        uint64_t n_lost = is_break(gate, ahead, now_ns) ? (uint64_t)ahead - 1 : 0;
        gate->gaps += n_lost;
        add(&gate->counters.lost, n_lost);
        return begin_session(gate, source, packet, now_ns, arrival_ns, true);
    }
    gate->jumped = true;
    gate->jump_seq = (uint16_t)(source->seq + 1);
    return reject(gate);
}

/* So many blocks from the last one that it is not known any more what came of them. Late packets are no jump back. */
static bool is_block_jump(const struct gate *gate, const struct rtp_source *source, int16_t ahead) {
    if (gate->config.settings.fec == CODEC_FEC_NONE)
        return false;
    int32_t jump = rtp_sbn_diff(gate->max_sbn, source->fec.sbn);
    return jump > BLOCK_JUMP_MAX || (ahead > 0 && jump < -BLOCK_JUMP_MAX);
}

static enum gate_verdict check_sequence(struct gate *gate, const struct rtp_source *source, const struct packet *packet,
                                        int64_t now_ns, int64_t arrival_ns) {
    int16_t ahead = (int16_t)(source->seq - (uint16_t)gate->max_seq);
    int32_t time_jump = (int32_t)(source->timestamp - gate->max_timestamp);
    int32_t time_max = (int32_t)gate->config.settings.wire_rate_hz; /* 1 s, as libroc */
    if (ahead > SEQ_JUMP_MAX || ahead < -SEQ_JUMP_MAX || time_jump > time_max || time_jump < -time_max ||
        is_block_jump(gate, source, ahead))
        return check_jump(gate, source, packet, now_ns, arrival_ns);

    uint64_t seq = gate->max_seq + (uint64_t)(int64_t)ahead;
    bool is_early = seq < gate->first_seq; /* the first ones changed places: nobody waited for it */
    bool is_late = seq < gate->expired && !is_early;
    if (ahead <= 0 && has_come(gate, seq)) {
        add(&gate->counters.duplicate, 1);
        return GATE_DROP;
    }
    bool given = true;
    if (gate->config.settings.fec != CODEC_FEC_NONE) {
        struct block *block = check_source_block(gate, source, seq);
        if (!block)
            return is_late ? (add(&gate->counters.late, 1), GATE_DROP) : reject(gate);
        given = take_source(gate, block, &source->fec, seq, is_late);
    }
    if (ahead > 0) {
        advance(gate, seq);
        gate->max_timestamp = source->timestamp;
        gate->jumped = false; /* an older one says nothing of it */
    } else {
        add(is_late ? &gate->counters.late : &gate->counters.reordered, 1);
    }
    set_come(gate, seq, true);
    gate->gaps -= !is_late && !is_early;
    count_jitter(gate, source, arrival_ns);
    gate->latched = true;
    gate->last_ns = now_ns;
    add(&gate->counters.source_packets, 1);
    return given ? pass(gate, packet, GATE_PASS) : pass_by(gate, packet);
}

static enum gate_verdict check_source(struct gate *gate, const struct packet *packet, int64_t now_ns) {
    const struct codec_settings *s = &gate->config.settings;
    struct rtp_source source;
    if (!rtp_parse_source(packet->data, packet->len, s->fec, &source))
        return reject(gate);
    if (source.payload_type != s->payload_type) {
        atomic_store_explicit(&gate->counters.foreign_payload_type, source.payload_type, memory_order_relaxed);
        return reject(gate);
    }
    if (source.payload_len % (2 * s->wire_channels) != 0 || !is_allowed(gate, &packet->from))
        return reject(gate);

    int64_t arrival_ns = packet->received_ns ? packet->received_ns : now_ns;
    int64_t silence_ns = now_ns - gate->last_ns;
    bool same_host = gate->known && is_latched_host(gate, packet);
    if (same_host && source.ssrc == gate->ssrc)
        return check_sequence(gate, &source, packet, now_ns, arrival_ns);
    if (!gate->known || silence_ns >= gate->config.release_ns || (same_host && silence_ns >= RESTART_SILENCE_NS))
        return begin_session(gate, &source, packet, now_ns, arrival_ns, false);
    return reject(gate);
}

static enum gate_verdict check_repair(struct gate *gate, const struct packet *packet) {
    enum codec_fec fec = gate->config.settings.fec;
    struct rtp_repair repair;
    if (!rtp_parse_repair(packet->data, packet->len, fec, &repair))
        return reject(gate);
    if (!gate->latched)
        return wait_for_source(gate, packet);
    if (!is_latched_host(gate, packet))
        return reject(gate);
    if ((repair.symbol_len - RTP_HEADER_SIZE) % (2 * gate->config.settings.wire_channels) != 0)
        return reject(gate);
    int32_t jump = rtp_sbn_diff(gate->max_sbn, repair.fec.sbn);
    if (jump > REPAIR_AHEAD_MAX || jump < -BLOCK_JUMP_MAX)
        return reject(gate);
    struct block *block = find_block(gate, &repair.fec, repair.symbol_len);
    if (!block)
        return reject(gate);
    return take_repair(gate, block, &repair.fec) ? pass(gate, packet, GATE_PASS) : pass_by(gate, packet);
}

static enum gate_verdict check_control(struct gate *gate, const struct packet *packet) {
    uint32_t ssrc;
    if (!gate->config.settings.control || !rtcp_parse(packet->data, packet->len, &ssrc))
        return reject(gate);
    if (!gate->latched)
        return wait_for_source(gate, packet);
    if (ssrc != gate->ssrc || !is_latched_host(gate, packet))
        return reject(gate);
    gate->feedback = packet->from;
    return pass(gate, packet, GATE_PASS);
}

enum gate_verdict gate_check(struct gate *gate, const struct packet *packet, int64_t now_ns) {
    if (packet->len > PACKET_MAX)
        return reject(gate);
    switch (packet->iface) {
    case MEDIA_SOURCE:
        return check_source(gate, packet, now_ns);
    case MEDIA_REPAIR:
        return check_repair(gate, packet);
    case MEDIA_CONTROL:
        return check_control(gate, packet);
    case MEDIA_N_IFACES:
        break;
    }
    return reject(gate);
}

void gate_tick(struct gate *gate, int64_t now_ns) {
    if (!gate->known)
        return;
    int64_t silence_ns = now_ns - gate->last_ns;
    if (silence_ns > gate->config.settings.target_latency_ns)
        settle_all(gate);
    if (silence_ns > gate->config.release_ns)
        gate->latched = false;
}

/* ---- life, questions ---- */

struct gate *gate_create(const struct gate_config *config) {
    struct gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return nullptr;
    gate->config = *config;
    if (gate->config.release_ns <= 0)
        gate->config.release_ns = DEFAULT_RELEASE_NS;
    if (gate->config.n_allowed > GATE_ALLOWED_MAX)
        gate->config.n_allowed = GATE_ALLOWED_MAX;
    return gate;
}

void gate_destroy(struct gate *gate) {
    free(gate);
}

void gate_set_target_latency(struct gate *gate, int64_t target_latency_ns) {
    gate->config.settings.target_latency_ns = target_latency_ns;
    if (gate->packet_ns > 0)
        set_expiry(gate);
}

bool gate_is_latched(const struct gate *gate) {
    return gate->latched;
}

int64_t gate_last_packet_ns(const struct gate *gate) {
    return gate->last_ns;
}

const union path_address *gate_feedback_address(const struct gate *gate) {
    return gate->feedback.sa.sa_family == AF_UNSPEC ? nullptr : &gate->feedback;
}

const struct gate_counters *gate_counters(const struct gate *gate) {
    return &gate->counters;
}

uint64_t gate_missing(const struct gate *gate) {
    return gate->gaps > gate->repairable ? gate->gaps - gate->repairable : 0;
}

bool gate_rtcp_is_sound(const uint8_t *packet, size_t len) {
    uint32_t ssrc;
    return rtcp_parse(packet, len, &ssrc);
}
