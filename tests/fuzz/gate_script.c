/* SPDX-License-Identifier: MPL-2.0 */
#include "fuzz/gate_script.h"

#include <string.h>

#include "base/clock.h"

enum step {
    STEP_WAIT,        /* for one of wait_ns[] */
    STEP_SOUND,       /* the next 1 to 16 packets, each at its time */
    STEP_LOSE,        /* the next 1 to 16 packets do not come */
    STEP_HOLD,        /* the next packet does not come yet */
    STEP_OLD,         /* one of those that were sent comes (again) */
    STEP_REPAIR,      /* a repair packet of the block that is being sent */
    STEP_REPAIR_LAST, /* … of the one before */
    STEP_REPORT,      /* RTCP */
    /* From here on the sender does not behave. */
    STEP_JUMP,       /* + 2 bytes: sequence number and time go on elsewhere */
    STEP_RESTART,    /* another SSRC, + 2 bytes: sequence number */
    STEP_OTHER_HOST, /* sends the next packet */
    STEP_CHANGE,     /* + 3 bytes: a byte of the next packet is changed */
    STEP_CUT,        /* + 2 bytes: the next packet is of another length */
    STEP_BYTES,      /* + 2 bytes and as many as they say: a packet for interface 0 to 3 */
    STEP_BLOCK_JUMP, /* + 2 bytes: number of the block, symbol */
    STEP_BLOCK_SIZE, /* + 1 byte */
};

constexpr unsigned N_PACKETS_MAX = 400;
constexpr int64_t PACKET_NS = 5 * NS_PER_MS; /* roc_packets_settings() */

static const int64_t wait_ns[16] = {
    0,
    NS_PER_MS / 10,
    NS_PER_MS,
    PACKET_NS,
    2 * PACKET_NS,
    20 * NS_PER_MS,
    40 * NS_PER_MS,
    59 * NS_PER_MS,
    60 * NS_PER_MS,
    100 * NS_PER_MS,
    101 * NS_PER_MS,
    250 * NS_PER_MS,
    NS_PER_S,
    2 * NS_PER_S,
    2 * NS_PER_S + 1,
    10 * NS_PER_S,
};

static uint8_t next8(struct gate_script *script) {
    return script->at < script->end ? *script->at++ : 0;
}

static uint16_t next16(struct gate_script *script) {
    uint8_t high = next8(script);
    return (uint16_t)(high << 8 | next8(script));
}

void gate_script_begin(struct gate_script *script, const uint8_t *data, size_t size) {
    *script = (struct gate_script){.honest = true, .now_ns = 1000 * NS_PER_S, .at = data, .end = data + size};
    uint8_t options = next8(script);
    struct codec_settings settings = roc_packets_settings((enum codec_fec)((options & 3) % 3));
    uint8_t n_source = next8(script), n_repair = next8(script);
    if (settings.fec != CODEC_FEC_NONE) {
        settings.fec_source_packets = 1 + n_source % 40;
        settings.fec_repair_packets = 7 + n_repair % 20; /* LDPC wants seven */
    }
    settings.control = !(options & 4);
    script->config = (struct gate_config){.settings = settings, .trusted_path = options & 8};
    if (options & 16) {
        script->config.n_allowed = 1;
        script->config.allowed[0] = roc_packets_host(1, 0);
    }
    roc_sender_init(&script->sender, &settings, 0xc0ffee, 1);
    uint8_t before_wrap = next8(script);
    if (before_wrap) {
        script->sender.seq = (uint16_t)-before_wrap;
        script->sender.sbn = (uint16_t)-(before_wrap & 7);
        script->sender.timestamp = (uint32_t)-before_wrap * 240;
    }
}

static void remember(struct gate_script *script) {
    script->backlog[script->n_sent++ % GATE_SCRIPT_BACKLOG] = script->packet;
}

static const struct packet *deliver(struct gate_script *script) {
    struct packet *packet = &script->packet;
    if (script->cut) {
        if (script->cut_to > packet->len)
            memset(packet->data + packet->len, 0x40, script->cut_to - packet->len);
        packet->len = script->cut_to;
    }
    if (script->change && packet->len > 0)
        packet->data[script->change_at % packet->len] ^= script->change_by;
    if (script->from_other)
        packet->from = roc_packets_host(script->other_host, 5000);
    script->cut = script->change = script->from_other = false;
    return packet;
}

static const struct packet *sound(struct gate_script *script) {
    script->now_ns += PACKET_NS;
    roc_sender_source(&script->sender, &script->packet);
    remember(script);
    return deliver(script);
}

static const struct packet *repair(struct gate_script *script, uint32_t sbn, unsigned index) {
    const struct codec_settings *s = &script->sender.settings;
    if (s->fec == CODEC_FEC_NONE)
        return nullptr;
    roc_sender_repair(&script->sender, sbn & 0xffff, index % s->fec_repair_packets, &script->packet);
    remember(script);
    return deliver(script);
}

static const struct packet *any_bytes(struct gate_script *script, unsigned iface) {
    script->packet = (struct packet){.iface = (enum media_iface)(iface & 3), .from = script->sender.from};
    size_t len = next16(script) % (PACKET_MAX + 1);
    size_t left = (size_t)(script->end - script->at);
    script->packet.len = (uint16_t)(len < left ? len : left);
    memcpy(script->packet.data, script->at, script->packet.len);
    script->at += script->packet.len;
    return deliver(script);
}

static const struct packet *take_step(struct gate_script *script, enum step step, unsigned arg) {
    struct roc_sender *sender = &script->sender;
    uint16_t by;
    switch (step) {
    case STEP_WAIT:
        script->now_ns += wait_ns[arg];
        return nullptr;
    case STEP_SOUND:
        script->n_again = arg;
        return sound(script);
    case STEP_LOSE:
        roc_sender_lose(sender, arg + 1);
        return nullptr;
    case STEP_HOLD:
        roc_sender_source(sender, &script->packet);
        remember(script);
        return nullptr;
    case STEP_OLD:
        if (arg >= script->n_sent)
            return nullptr;
        script->packet = script->backlog[(script->n_sent - 1 - arg) % GATE_SCRIPT_BACKLOG];
        return deliver(script);
    case STEP_REPAIR:
        script->honest = script->honest && sender->settings.fec == CODEC_FEC_NONE; /* its sound is still to come */
        return repair(script, sender->sbn, arg);
    case STEP_REPAIR_LAST:
        return repair(script, sender->sbn - 1, arg);
    case STEP_REPORT:
        roc_sender_report(sender, &script->packet);
        return deliver(script);
    case STEP_JUMP:
        by = next16(script);
        sender->seq = (uint16_t)(sender->seq + by);
        sender->timestamp += arg * (uint32_t)(int16_t)by;
        return nullptr;
    case STEP_RESTART:
        sender->ssrc += arg;
        sender->seq = next16(script);
        return nullptr;
    case STEP_OTHER_HOST:
        script->from_other = true;
        script->other_host = (uint8_t)arg;
        return nullptr;
    case STEP_CHANGE:
        script->change = true;
        script->change_at = next16(script);
        script->change_by = next8(script);
        return nullptr;
    case STEP_CUT:
        script->cut = true;
        script->cut_to = (uint16_t)(next16(script) % (PACKET_MAX + 1));
        return nullptr;
    case STEP_BYTES:
        return any_bytes(script, arg);
    case STEP_BLOCK_JUMP:
        if (sender->settings.fec == CODEC_FEC_NONE)
            return nullptr;
        sender->sbn = (sender->sbn + (uint32_t)(int8_t)next8(script)) & 0xffff;
        sender->esi = next8(script) % sender->settings.fec_source_packets;
        return nullptr;
    case STEP_BLOCK_SIZE:
        if (sender->settings.fec == CODEC_FEC_NONE)
            return nullptr;
        sender->settings.fec_source_packets = 1 + next8(script);
        sender->esi %= sender->settings.fec_source_packets;
        return nullptr;
    }
    return nullptr;
}

bool gate_script_next(struct gate_script *script, const struct packet **ret) {
    if (script->n_packets > N_PACKETS_MAX || (script->n_again == 0 && script->at >= script->end))
        return false;
    if (script->n_again > 0) {
        script->n_again--;
        *ret = sound(script);
    } else {
        uint8_t byte = next8(script);
        enum step step = (enum step)(byte & 15);
        script->honest = script->honest && step < STEP_JUMP;
        *ret = take_step(script, step, byte >> 4);
    }
    script->n_packets += *ret != nullptr;
    return true;
}
