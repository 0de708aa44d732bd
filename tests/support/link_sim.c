/* SPDX-License-Identifier: MPL-2.0 */
#include "support/link_sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "support/heap.h"

/* Tests may end the process. */
#define MUST(what) \
    do { \
        if (!(what)) { \
            fprintf(stderr, "link_sim: %s failed\n", #what); \
            exit(99); \
        } \
    } while (0)

struct wire_packet {
    int64_t due_ns;
    struct packet packet;
};

/* The network, one way. */
struct wire {
    uint64_t random[MEDIA_N_IFACES]; /* one each: how many RTCP packets come depends on the wall clock */
    struct wire_packet *queue;
    size_t n, cap;
};

struct run {
    const struct link_sim *sim;
    struct codec *codec;
    struct codec_frame_format format;
    struct link_sim_result *result;
    struct codec_encoder *encoder;
    struct codec_decoder *decoder;
    struct gate *gate;
    struct wire wire;
    float *frames; /* of a tick */
    size_t n;      /* frames in a tick */
    uint32_t n_channels;
    uint64_t position; /* frames sent */
    int64_t restart_ns;
};

/* ---- sound ---- */

int16_t link_sim_sample(uint64_t position, uint32_t channel) {
    uint64_t x = (position * 16 + channel + 1) * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 31) * 0xbf58476d1ce4e5b9;
    return (int16_t)(16384 - 512 + (x >> 54));
}

static void make_sound(struct run *run) {
    for (size_t i = 0; i < run->n * run->n_channels; i++)
        run->frames[i] =
            (float)link_sim_sample(run->position + i / run->n_channels, (uint32_t)(i % run->n_channels)) / 32768;
    run->position += run->n;
}

uint64_t link_sim_position(const struct link_sim_result *result, uint32_t n_channels, size_t at) {
    constexpr size_t PROBE = 16;
    for (uint64_t position = 0; at + PROBE <= result->n_frames && position <= at; position++) {
        size_t i = 0;
        while (i < PROBE && lrintf(result->sound[(at + i) * n_channels] * 32768) == link_sim_sample(position + i, 0))
            i++;
        if (i == PROBE)
            return position;
    }
    return UINT64_MAX;
}

/* ---- network ---- */

static double random_of(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (double)(*state >> 11) / 9007199254740992.0;
}

static void wire_put(struct run *run, const struct packet *packet, int64_t now_ns) {
    struct wire *wire = &run->wire;
    double luck = random_of(&wire->random[packet->iface]), delay = random_of(&wire->random[packet->iface]);
    run->result->sent += packet->iface == MEDIA_SOURCE;
    if (luck < run->sim->loss) {
        run->result->dropped += packet->iface == MEDIA_SOURCE;
        return;
    }
    if (wire->n == wire->cap) {
        wire->cap = wire->cap ? 2 * wire->cap : 256;
        MUST(wire->queue = realloc(wire->queue, wire->cap * sizeof *wire->queue));
    }
    wire->queue[wire->n++] = (struct wire_packet){now_ns + (int64_t)(delay * run->sim->jitter_ms * 1e6), *packet};
}

/* The packet that is due first, in the order of sending where several are. */
static bool wire_get(struct wire *wire, int64_t now_ns, struct packet *ret) {
    size_t best = wire->n;
    for (size_t i = 0; i < wire->n; i++)
        if (wire->queue[i].due_ns <= now_ns && (best == wire->n || wire->queue[i].due_ns < wire->queue[best].due_ns))
            best = i;
    if (best == wire->n)
        return false;
    *ret = wire->queue[best].packet;
    ret->received_ns = wire->queue[best].due_ns;
    memmove(&wire->queue[best], &wire->queue[best + 1], (wire->n - best - 1) * sizeof *wire->queue);
    wire->n--;
    return true;
}

/* ---- both ends ---- */

static void open_encoder(struct run *run) {
    struct err_info info;
    if (run->codec->ops->open_encoder(run->codec, &run->sim->settings, run->format, &run->encoder, &info) != ERR_OK) {
        fprintf(stderr, "link_sim: %s\n", info.message);
        exit(99);
    }
}

static void open_decoder(struct run *run) {
    struct err_info info;
    if (run->codec->ops->open_decoder(run->codec, &run->sim->settings, run->format, &run->decoder, &info) != ERR_OK) {
        fprintf(stderr, "link_sim: %s\n", info.message);
        exit(99);
    }
}

static bool is_restarting(struct run *run, int64_t now_ns) {
    if (run->sim->restart_at_s <= 0 || now_ns < run->restart_ns)
        return false;
    if (run->encoder)
        run->encoder->ops->close(run->encoder);
    run->encoder = nullptr;
    if (now_ns < run->restart_ns + LINK_SIM_PAUSE_NS)
        return true;
    open_encoder(run);
    run->restart_ns = INT64_MAX;
    return false;
}

static void send_tick(struct run *run, int64_t now_ns) {
    struct packet packet = {};
    make_sound(run);
    if (is_restarting(run, now_ns))
        return;
    MUST(run->encoder->ops->push_frames(run->encoder, run->frames, run->n) == ERR_OK);
    for (packet.iface = MEDIA_SOURCE; packet.iface < MEDIA_N_IFACES; packet.iface++)
        while ((packet.len = (uint16_t)run->encoder->ops->pop_packet(run->encoder, packet.iface, packet.data)) > 0)
            wire_put(run, &packet, now_ns);
}

static void take_packets(struct run *run, int64_t now_ns) {
    struct packet packet;
    while (wire_get(&run->wire, now_ns, &packet)) {
        enum gate_verdict verdict = gate_check(run->gate, &packet, now_ns);
        if (verdict == GATE_NEW_SESSION) {
            run->decoder->ops->close(run->decoder);
            open_decoder(run);
        }
        if (verdict != GATE_DROP)
            MUST(run->decoder->ops->push_packet(run->decoder, packet.iface, packet.data, packet.len) == ERR_OK);
    }
    gate_tick(run->gate, now_ns);
}

static void receive_tick(struct run *run, int64_t now_ns) {
    struct link_sim_result *result = run->result;
    struct packet packet;
    take_packets(run, now_ns);
    MUST(run->decoder->ops->pop_frames(run->decoder, &result->sound[result->n_frames * run->n_channels], run->n) ==
         ERR_OK);
    result->n_frames += run->n;
    for (size_t len; (len = run->decoder->ops->pop_feedback(run->decoder, packet.data)) > 0; result->feedback++)
        if (gate_rtcp_is_sound(packet.data, len) && run->encoder)
            MUST(run->encoder->ops->push_feedback(run->encoder, packet.data, len) == ERR_OK);
        else
            result->rejected += run->encoder != nullptr;
}

static void listen_to(struct link_sim_result *result, uint32_t n_channels) {
    result->first = result->n_frames;
    for (size_t i = 0; i < result->n_frames; i++) {
        bool silent = result->sound[i * n_channels] < 0.3f;
        if (!silent && result->first == result->n_frames)
            result->first = i;
        result->n_lost += silent && i > result->first;
    }
}

static void ask(struct run *run) {
    struct codec_query query;
    MUST(run->encoder->ops->query(run->encoder, &query) == ERR_OK);
    run->result->encoder_connected = query.connected;
    MUST(run->decoder->ops->query(run->decoder, &query) == ERR_OK);
    run->result->decoder_connected = query.connected;
    run->result->end_to_end_ns = query.end_to_end_ns;
    const struct gate_counters *counters = gate_counters(run->gate);
    run->result->rejected += counters->rejected;
    run->result->lost = counters->lost;
    run->result->repaired = counters->repaired;
    run->result->reordered = counters->reordered;
    run->result->late = counters->late;
    run->result->sessions = counters->sessions;
    run->result->missing = gate_missing(run->gate);
}

void link_sim_run(struct codec *codec, const struct link_sim *sim, struct link_sim_result *ret) {
    const struct codec_settings *s = &sim->settings;
    uint32_t rate = sim->frame_rate_hz ? sim->frame_rate_hz : s->wire_rate_hz;
    int64_t tick_ns = sim->tick_ns ? sim->tick_ns : 5 * NS_PER_MS, end_ns = (int64_t)(sim->seconds * 1e9);
    struct run run = {.sim = sim, .result = ret, .n_channels = s->wire_channels};
    run.n = (size_t)((int64_t)rate * tick_ns / NS_PER_S);
    *ret = (struct link_sim_result){};
    for (unsigned i = 0; i < MEDIA_N_IFACES; i++)
        run.wire.random[i] = 88172645463325252U * (sim->seed * 6 + 2 * i + 1);

    run.codec = codec;
    run.format = (struct codec_frame_format){rate, run.n_channels};
    run.restart_ns = (int64_t)(sim->restart_at_s * 1e9);
    open_encoder(&run);
    open_decoder(&run);
    MUST(run.gate = gate_create(&(struct gate_config){.settings = *s, .trusted_path = true}));
    MUST(run.frames = calloc(run.n * run.n_channels, sizeof *run.frames));
    MUST(ret->sound = calloc((size_t)(end_ns / tick_ns + 1) * run.n * run.n_channels, sizeof *ret->sound));
    double drift = 0; /* in ticks */
    for (int64_t now_ns = 0; now_ns < end_ns; now_ns += tick_ns) {
        int n_ticks = 1;
        drift += sim->drift_ppm * 1e-6;
        if (drift >= 1 || drift <= -1) {
            n_ticks += drift >= 1 ? 1 : -1;
            drift -= drift >= 1 ? 1 : -1;
        }
        for (; n_ticks > 0; n_ticks--)
            send_tick(&run, now_ns);
        receive_tick(&run, now_ns);
        if (!ret->heap_settled && now_ns >= end_ns / 2)
            ret->heap_settled = heap_in_use();
    }
    ret->heap_end = heap_in_use();
    take_packets(&run, end_ns + NS_PER_S);       /* those on their way are not lost, though nobody hears them */
    gate_tick(run.gate, end_ns + 10 * NS_PER_S); /* settles the counters */
    ask(&run);
    listen_to(ret, run.n_channels);
    free(run.frames);
    free(run.wire.queue);
    gate_destroy(run.gate);
    run.encoder->ops->close(run.encoder);
    run.decoder->ops->close(run.decoder);
}

void link_sim_finish(struct link_sim_result *result) {
    free(result->sound);
    result->sound = nullptr;
}
