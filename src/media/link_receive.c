/* SPDX-License-Identifier: MPL-2.0 */
#include "media/link_receive.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "transport/rtp.h"

constexpr int64_t SILENT_AFTER_DEFAULT_NS = NS_PER_S;
/* A session that has been latched so long beyond its target latency plays, even if all it plays is silence. */
constexpr int64_t QUIET_START_NS = 250 * NS_PER_MS;
/* After a change that came to nothing. */
constexpr int64_t ASK_AGAIN_NS = 10 * NS_PER_S;
/* Whoever floods a port costs us no more than this a tick; the rest is dropped by the system. */
constexpr size_t PACKETS_PER_TICK_MAX = 4 * TICK_PACKETS;

static enum err allocate(struct link_receive *link, const struct link_receive_config *config, struct err_info *reterr) {
    struct gate_config gate = config->gate;
    gate.settings = config->settings;
    link->n_max = config->n_max;
    link->gate = gate_create(&gate);
    link->held = calloc(LINK_HELD_MAX, sizeof *link->held);
    link->decoded = calloc(config->n_max * config->settings.wire_channels, sizeof *link->decoded);
    link->fading = calloc(config->n_max * config->settings.wire_channels, sizeof *link->fading);
    link->frames = calloc(config->n_max * config->node_channels, sizeof *link->frames);
    link->adapts = config->latency_min_ns < config->latency_max_ns;
    link->follows_drift = config->settings.latency_profile == CODEC_LATENCY_RESPONSIVE;
    if (!ring_init(&link->glitches, sizeof(struct glitch), LINK_GLITCHES_MAX))
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the stream cannot be received");
    if (!crossfade_init(&link->crossfade, config->n_max, &config->settings))
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the stream cannot be received");
    if (!link->gate || !link->held || !link->decoded || !link->fading || !link->frames)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the stream cannot be received");
    return ERR_OK;
}

static void init_adapting(struct link_receive *link, const struct link_receive_config *config) {
    const struct codec_settings *s = &config->settings;
    bool has_fec = s->fec != CODEC_FEC_NONE;
    arrivals_init(&link->arrivals, s->wire_rate_hz, has_fec);
    drift_init(&link->drift, config->node_rate_hz, s->wire_rate_hz, s->packet_length_ns);
    adapt_init(&link->adapt, &(struct adapt_config){
                                 .start_ns = s->target_latency_ns,
                                 .min_ns = config->latency_min_ns,
                                 .max_ns = config->latency_max_ns,
                                 .packet_ns = s->packet_length_ns,
                                 .block_ns = has_fec ? s->fec_source_packets * s->packet_length_ns : 0,
                                 .repair_ns = has_fec ? s->fec_repair_packets * s->packet_length_ns : 0,
                             });
}

enum err link_receive_create(const struct link_receive_config *config, void *owner, struct link_receive **ret,
                             struct err_info *reterr) {
    struct link_receive *link = alloc_aligned(struct link_receive);
    if (!link)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the stream cannot be received");
    struct remap_config remap = {
        .node_channels = config->node_channels,
        .wire_channels = config->settings.wire_channels,
        .to_node = true,
        .n_map = config->n_map,
        .map = config->map,
    };
    enum err e = remap_init(&link->remap, &remap, reterr);
    if (e == ERR_OK)
        e = allocate(link, config, reterr);
    struct codec_frame_format format = {.rate_hz = config->node_rate_hz, .n_channels = config->settings.wire_channels};
    if (e == ERR_OK)
        e = config->codec->ops->open_decoder(config->codec, &config->settings, format, &link->decoder, reterr);
    if (e != ERR_OK) {
        link_receive_destroy(link);
        return e;
    }
    link->fec = config->settings.fec;
    link->silence_run = LEDGER_SILENCE_NS * config->settings.wire_rate_hz / NS_PER_S / 2;
    link->owner = owner;
    link->path = config->path;
    snprintf(link->member, sizeof link->member, "%s", config->member ? config->member : "");
    link->target_latency_ns = config->settings.target_latency_ns;
    link->silent_after_ns = config->silent_after_ns > 0 ? config->silent_after_ns : SILENT_AFTER_DEFAULT_NS;
    gain_init(&link->gain, config->gain_db, config->muted, config->node_rate_hz);
    gain_init(&link->outgoing_gain, 0, false, config->node_rate_hz);
    ledger_init(&link->ledger, &(struct ledger_config){
                                   .rate_hz = config->node_rate_hz,
                                   .target_latency_ns = config->settings.target_latency_ns,
                                   .packet_length_ns = config->settings.packet_length_ns,
                                   .glitches = &link->glitches,
                               });
    init_adapting(link, config);
    *ret = link;
    return ERR_OK;
}

void link_receive_destroy(struct link_receive *link) {
    if (!link)
        return;
    if (link->decoder)
        link->decoder->ops->close(link->decoder);
    if (link->outgoing)
        link->outgoing->ops->close(link->outgoing);
    if (link->path)
        link->path->ops->close(link->path);
    crossfade_finish(&link->crossfade);
    gate_destroy(link->gate);
    ring_finish(&link->glitches);
    free(link->held);
    free(link->decoded);
    free(link->fading);
    free(link->frames);
    free(link);
}

static bool has_failed(const struct link_receive *link) {
    return atomic_load_explicit(&link->failed, memory_order_relaxed);
}

static void fail(struct link_receive *link, const struct tick *tick) {
    atomic_store_explicit(&link->failed, true, memory_order_release);
    atomic_store_explicit(&link->playing, false, memory_order_relaxed);
    notices_put(tick->notices, NOTICE_LINK_FAILED, link->owner, nullptr);
}

/* ---- packets ---- */

static void feed(struct link_receive *link, const struct tick *tick, const struct packet *packet) {
    link->fed = true;
    if (link->decoder->ops->push_packet(link->decoder, packet->iface, packet->data, packet->len) != ERR_OK)
        fail(link, tick);
    if (link->crossfade.decoder)
        crossfade_feed(&link->crossfade, packet, tick->now_ns);
}

static void hold(struct link_receive *link, const struct packet *packet) {
    if (link->n_held == LINK_HELD_MAX)
        return; /* the gate has counted it; its sound is lost, as the decoder took too long to come */
    struct packet *kept = &link->held[link->n_held++];
    memcpy(kept, packet, offsetof(struct packet, data) + packet->len);
}

static void look_into(struct link_receive *link, const struct tick *tick, const struct packet *packet) {
    struct rtp_source source;
    if (packet->iface != MEDIA_SOURCE || !rtp_parse_source(packet->data, packet->len, link->fec, &source))
        return;
    if (rtp_has_silence(packet->data, &source, link->remap.n_from, link->silence_run))
        link->silence_sent_ns = tick->now_ns;
    if (link->adapts)
        arrivals_packet(&link->arrivals, source.seq, source.timestamp, tick->now_ns);
    if (link->follows_drift)
        drift_packet(&link->drift, source.timestamp, tick->now_ns);
}

/* The second decoder goes back unheard. */
static void call_off_change(struct link_receive *link, const struct tick *tick) {
    if (!link->crossfade.decoder)
        return;
    notices_put(tick->notices, NOTICE_DECODER_OUT, link->owner, crossfade_take(&link->crossfade));
    link->latency_asked = false;
}

/* The gate lets the same sender begin anew only when its numbers have jumped. */
static void note_restart(struct link_receive *link, const struct tick *tick, uint64_t sessions_before) {
    bool is_other = atomic_load_explicit(&gate_counters(link->gate)->sessions, memory_order_relaxed) != sessions_before;
    ledger_sender_restarted(&link->ledger, is_other ? GLITCH_SENDER_STOPPED : GLITCH_CLOCK_JUMP, tick->now_ns);
}

static void take_packet(struct link_receive *link, const struct tick *tick, const struct packet *packet) {
    uint64_t sessions = atomic_load_explicit(&gate_counters(link->gate)->sessions, memory_order_relaxed);
    switch (gate_check(link->gate, packet, tick->now_ns)) {
    case GATE_DROP:
        return;
    case GATE_NEW_SESSION:
        link->first_packet_ns = tick->now_ns;
        link->n_held = 0;
        arrivals_new_session(&link->arrivals);
        drift_restart(&link->drift);
        adapt_new_session(&link->adapt);
        call_off_change(link, tick);
        note_restart(link, tick, sessions);
        if (link->fed && !link->awaiting_decoder) {
            link->awaiting_decoder = true;
            link->told_new_session = false;
        }
        break;
    case GATE_PASS:
        if (!link->first_packet_ns)
            link->first_packet_ns = tick->now_ns;
        break;
    }
    look_into(link, tick, packet);
    if (link->awaiting_decoder)
        hold(link, packet);
    else
        feed(link, tick, packet);
}

/* How many source packets may be taken in this tick. When several ticks are caught up at once, everything that came
 * meanwhile waits in the path; it is taken little by little, as it would have been taken in time: all at once, the
 * decoder would see its queue overflow and start anew. */
static size_t source_quota(struct link_receive *link, const struct tick *tick) {
    if (tick->n_behind == 0) {
        link->quota_ns = 0;
        return PACKETS_PER_TICK_MAX;
    }
    int64_t packet_ns = link->ledger.config.packet_length_ns;
    link->quota_ns += tick->length_ns;
    size_t quota = (size_t)(link->quota_ns / packet_ns);
    link->quota_ns %= packet_ns;
    return quota;
}

static void take_packets(struct link_receive *link, const struct tick *tick) {
    size_t n_taken = 0;
    for (size_t quota = source_quota(link, tick); quota > 0 && n_taken < PACKETS_PER_TICK_MAX && !has_failed(link);) {
        size_t wanted = quota < TICK_PACKETS ? quota : TICK_PACKETS;
        size_t n = link->path->ops->receive(link->path, tick->packets, wanted);
        for (size_t i = 0; i < n && !has_failed(link); i++) {
            quota -= tick->packets[i].iface == MEDIA_SOURCE;
            if (tick->packets[i].iface == MEDIA_PING)
                latency_receive_take_ping(&link->latency, link->path, &tick->packets[i], tick);
            else
                take_packet(link, tick, &tick->packets[i]);
        }
        n_taken += n;
        if (n < wanted)
            break;
    }
}

static bool same_bytes(const union path_address *a, const union path_address *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

static void send_feedback(struct link_receive *link, const struct tick *tick) {
    const union path_address *to = gate_feedback_address(link->gate);
    if (to && (!link->feedback_known || !same_bytes(to, &link->feedback_address))) {
        link->feedback_address = *to;
        link->feedback_known = true;
        if (link->path->ops->set_feedback_address)
            link->path->ops->set_feedback_address(link->path, to);
    }
    size_t n = 0;
    for (; n < TICK_PACKETS; n++) {
        struct packet *packet = &tick->packets[n];
        size_t len = link->decoder->ops->pop_feedback(link->decoder, packet->data);
        if (len == 0)
            break;
        packet->iface = MEDIA_CONTROL;
        packet->len = (uint16_t)len;
    }
    if (n > 0 && (link->feedback_known || !link->path->ops->set_feedback_address))
        link->path->ops->send(link->path, tick->packets, n);
}

void link_receive_swap_decoder(struct link_receive *link, const struct tick *tick, struct codec_decoder *decoder) {
    link->outgoing = link->decoder;
    gain_settle(&link->outgoing_gain);
    link->decoder = decoder;
    link->fed = false;
    link->begins = true;
    link->awaiting_decoder = false;
    for (size_t i = 0; i < link->n_held && !has_failed(link); i++)
        feed(link, tick, &link->held[i]);
    link->n_held = 0;
}

/* ---- latency ---- */

static uint64_t grown(uint64_t *seen, const _Atomic uint64_t *counter) {
    uint64_t now = atomic_load_explicit(counter, memory_order_relaxed), by = now - *seen;
    *seen = now;
    return by;
}

/* What the endpoint takes at once; the least of a window, since after a stall it is more. */
static void note_portion(struct link_receive *link) {
    if (link->n_popped > 0 && (link->n_portion == 0 || link->n_popped < link->n_portion))
        link->n_portion = link->n_popped;
    link->n_popped = 0;
}

static int64_t take_portion_ns(struct link_receive *link, const struct tick *tick) {
    int64_t portion_ns = (int64_t)link->n_portion * NS_PER_S / link->ledger.config.rate_hz;
    if (link->n_portion > 0)
        link->portion_ns = portion_ns > tick->length_ns ? portion_ns : 0;
    link->n_portion = 0;
    return link->portion_ns;
}

/* false: not now. */
static bool ask_for_second_decoder(struct link_receive *link, const struct tick *tick, struct adapt_decision wanted,
                                   int32_t sender_ppm) {
    if (link->latency_asked || link->awaiting_decoder || link->leaving || tick->now_ns < link->ask_again_ns)
        return false;
    link->wanted = wanted;
    link->wanted_sender_ppm = sender_ppm;
    link->latency_asked = true;
    notices_put(tick->notices, NOTICE_LINK_LATENCY, link->owner, nullptr);
    return true;
}

/* One that is as the present one. */
static bool ask_for_another(struct link_receive *link, const struct tick *tick, int32_t sender_ppm) {
    struct adapt_decision same = {.cause = ADAPT_STAY, .target_ns = link->target_latency_ns};
    return ask_for_second_decoder(link, tick, same, sender_ppm);
}

/* Asks for another latency where the arrivals of the last window call for it. */
static void adapt(struct link_receive *link, const struct tick *tick) {
    struct adapt_window window;
    if (!link->adapts || !arrivals_window(&link->arrivals, tick->now_ns, &window))
        return;
    const struct gate_counters *gate = gate_counters(link->gate);
    window.n_lost = (uint32_t)grown(&link->seen_lost, &gate->lost);
    window.n_late = (uint32_t)grown(&link->seen_late, &gate->late);
    window.jitter_ns = (int64_t)atomic_load_explicit(&gate->jitter_ns, memory_order_relaxed);
    uint64_t hole_frames = grown(&link->seen_holes, &link->ledger.counters.lost_network);
    window.hole_ns = (int64_t)hole_frames * NS_PER_S / link->ledger.config.rate_hz;
    window.portion_ns = take_portion_ns(link, tick);
    struct adapt_decision decision = adapt_decide(&link->adapt, &window);
    if (decision.cause != ADAPT_STAY)
        (void)ask_for_second_decoder(link, tick, decision, link->sender_ppm);
}

/* Asks for a decoder that knows how the clocks differ, where the one in use does not. */
static void follow_drift(struct link_receive *link, const struct tick *tick) {
    int64_t ppm = 0;
    if (!link->follows_drift)
        return;
    if (tick->n_behind > 0)
        drift_restart(&link->drift); /* packets and frames of this time are made up for later */
    else if (drift_tick(&link->drift, tick->now_ns, &ppm))
        (void)ask_for_another(link, tick, (int32_t)ppm);
}

static void settle(struct link_receive *link, const struct tick *tick) {
    if (!link->settle_ns || tick->now_ns < link->settle_ns)
        return;
    bool is_playing = link->fed && atomic_load_explicit(&link->playing, memory_order_relaxed);
    if (!is_playing || ask_for_another(link, tick, link->sender_ppm))
        link->settle_ns = 0;
}

void link_receive_offer_decoder(struct link_receive *link, const struct tick *tick, struct codec_decoder *decoder) {
    if (!decoder || link->awaiting_decoder || link->crossfade.decoder || link->leaving || has_failed(link)) {
        if (decoder)
            notices_put(tick->notices, NOTICE_DECODER_OUT, link->owner, decoder);
        link->latency_asked = false;
        link->ask_again_ns = decoder ? 0 : tick->now_ns + ASK_AGAIN_NS;
        return;
    }
    int64_t target_ns = link->wanted.target_ns;
    bool is_urgent = target_ns > link->target_latency_ns || link->wanted.cause == ADAPT_STAY;
    crossfade_begin(&link->crossfade, decoder, target_ns, is_urgent);
}

static void take_second_decoder(struct link_receive *link, const struct tick *tick) {
    notices_put(tick->notices, NOTICE_DECODER_OUT, link->owner, link->decoder);
    link->decoder = crossfade_take(&link->crossfade);
    link->latency_asked = false;
    link->target_latency_ns = link->ledger.config.target_latency_ns = link->wanted.target_ns;
    gate_set_target_latency(link->gate, link->target_latency_ns);
    if (link->wanted.cause == ADAPT_STAY)
        adapt_new_session(&link->adapt); /* another queue, and nothing else */
    else
        adapt_changed(&link->adapt, link->target_latency_ns);
    link->sender_ppm = link->wanted_sender_ppm;
    drift_corrected(&link->drift, link->sender_ppm);
}

static void mix_second_decoder(struct link_receive *link, const struct tick *tick, size_t n) {
    switch (crossfade_mix(&link->crossfade, link->decoded, n, link->remap.n_from, link->ledger.config.rate_hz,
                          gate_missing(link->gate) > 0, tick->now_ns)) {
    case CROSSFADE_UNDER_WAY:
        break;
    case CROSSFADE_DONE:
        take_second_decoder(link, tick);
        break;
    case CROSSFADE_GIVEN_UP:
        link->ask_again_ns = tick->now_ns + ASK_AGAIN_NS;
        call_off_change(link, tick);
        break;
    }
}

/* ---- sound ---- */

static void tell_ledger(struct link_receive *link, const struct tick *tick) {
    struct ledger_news news = {
        .missing = gate_missing(link->gate),
        .late = atomic_load_explicit(&gate_counters(link->gate)->late, memory_order_relaxed),
        .packets = atomic_load_explicit(&gate_counters(link->gate)->source_packets, memory_order_relaxed),
        .last_packet_ns = gate_last_packet_ns(link->gate),
        .silence_sent_ns = link->silence_sent_ns,
        .stall_end_ns = atomic_load_explicit(&tick->stalls->end_ns, memory_order_relaxed),
        .stall_ns = atomic_load_explicit(&tick->stalls->length_ns, memory_order_relaxed),
    };
    ledger_trouble(&link->ledger, &news, tick->now_ns);
}

static void set_playing(struct link_receive *link, bool playing) {
    atomic_store_explicit(&link->playing, playing, memory_order_relaxed);
}

/* Is the session playing? From its first sound until the sender has been silent for long. */
static void follow_session(struct link_receive *link, const struct tick *tick, bool any_sound) {
    bool playing = atomic_load_explicit(&link->playing, memory_order_relaxed);
    int64_t last = gate_last_packet_ns(link->gate);
    bool sender_is_there = link->first_packet_ns && tick->now_ns - last < link->silent_after_ns;
    if (!playing && sender_is_there &&
        (any_sound || tick->now_ns - link->first_packet_ns >= link->target_latency_ns + QUIET_START_NS)) {
        set_playing(link, true);
        if (!atomic_load_explicit(&link->started_ns, memory_order_relaxed))
            atomic_store_explicit(&link->started_ns, tick->now_ns, memory_order_relaxed);
    } else if (!sender_is_there && link->first_packet_ns) {
        set_playing(link, false);
        ledger_sender_gone(&link->ledger);
        link->first_packet_ns = 0;
    }
    playing = atomic_load_explicit(&link->playing, memory_order_relaxed);
    if (playing != link->told_playing &&
        notices_try_put(tick->notices, playing ? NOTICE_LINK_STARTED : NOTICE_LINK_SILENT, link->owner))
        link->told_playing = playing;
}

static const float *shape(struct link_receive *link, size_t n, float *ret_peaks) {
    float *out = link->decoded;
    size_t n_channels = link->remap.n_to;
    if (!link->remap.identity) {
        remap_run(&link->remap, link->frames, link->decoded, n);
        out = link->frames;
    }
    if (link->leaving)
        gain_fade_out(&link->gain, out, n, n_channels);
    else if (!gain_is_unity(&link->gain))
        gain_run(&link->gain, out, n, n_channels);
    meter_peaks(ret_peaks, out, n, n_channels);
    meter_add(&link->meter, ret_peaks, n_channels);
    return out;
}

/* A new decoder is asked for only when the one before the present is back with the core: one at a time. */
static void ask_for_decoder(struct link_receive *link, const struct tick *tick) {
    if (!link->awaiting_decoder || link->told_new_session || link->outgoing)
        return;
    link->told_new_session = true;
    notices_put(tick->notices, NOTICE_LINK_NEW_SESSION, link->owner, nullptr);
}

void link_receive_tick(struct link_receive *link, const struct tick *tick) {
    if (has_failed(link))
        return;
    take_packets(link, tick);
    ask_for_decoder(link, tick);
    gate_tick(link->gate, tick->now_ns);
    if (has_failed(link))
        return;
    tell_ledger(link, tick);
    follow_session(link, tick, false);
    note_portion(link);
    adapt(link, tick);
    follow_drift(link, tick);
    settle(link, tick);
    latency_receive_ping(&link->latency, link->path, tick);
}

/* The end of the sender before, under the beginning of this one. */
static void add_outgoing(struct link_receive *link, const struct tick *tick, size_t n) {
    size_t n_channels = link->remap.n_from;
    bool works = link->outgoing->ops->pop_frames(link->outgoing, link->fading, n) == ERR_OK;
    if (works) {
        gain_fade_out(&link->outgoing_gain, link->fading, n, n_channels);
        for (size_t i = 0; i < n * n_channels; i++)
            link->decoded[i] += link->fading[i];
    }
    if (works && !gain_is_out(&link->outgoing_gain))
        return;
    notices_put(tick->notices, NOTICE_DECODER_OUT, link->owner, link->outgoing);
    link->outgoing = nullptr;
}

static bool decode(struct link_receive *link, const struct tick *tick, size_t n) {
    if (!link->fed) {
        memset(link->decoded, 0, n * link->remap.n_from * sizeof *link->decoded);
        return true;
    }
    link->decoder->now_ns = tick->now_ns;
    if (link->decoder->ops->pop_frames(link->decoder, link->decoded, n) != ERR_OK) {
        fail(link, tick);
        return false;
    }
    send_feedback(link, tick);
    if (link->crossfade.decoder)
        mix_second_decoder(link, tick, n);
    return true;
}

const float *link_receive_pop(struct link_receive *link, const struct tick *tick, size_t n, float *ret_peaks) {
    if (n == 0 || has_failed(link) || !decode(link, tick, n))
        return nullptr;
    link->n_popped += n;
    drift_played(&link->drift, n);
    bool due = atomic_load_explicit(&link->playing, memory_order_relaxed);
    bool any_sound = ledger_sound(&link->ledger, link->decoded, n, link->remap.n_from, due, tick->now_ns);
    follow_session(link, tick, any_sound);
    if (any_sound && link->begins) {
        gain_begin_silent(&link->gain);
        link->begins = false;
    }
    if (link->outgoing) {
        add_outgoing(link, tick, n);
        any_sound = true;
    }
    if (!any_sound)
        gain_settle(&link->gain);
    const float *out = any_sound ? shape(link, n, ret_peaks) : nullptr;
    link->faded = link->leaving && (!any_sound || gain_is_out(&link->gain));
    return out;
}

void link_receive_leave(struct link_receive *link, const struct tick *tick) {
    link->leaving = true;
    link->leaving_ns = tick->now_ns;
}

void link_receive_skip(struct link_receive *link, uint64_t frames, int64_t from_ns, int64_t now_ns) {
    /* when what has gathered has been taken, and the session has begun anew if it had to */
    constexpr int64_t SETTLES_NS = NS_PER_S;
    link->settle_ns = now_ns + link->target_latency_ns + SETTLES_NS;
    if (atomic_load_explicit(&link->playing, memory_order_relaxed))
        ledger_skipped(&link->ledger, frames, from_ns);
}
