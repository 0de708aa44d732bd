/* SPDX-License-Identifier: MPL-2.0 */
#include "media/ledger.h"

#include <stdatomic.h>

#include "base/clock.h"
#include "base/ring.h"

/* Trouble on arrival is heard one target latency later; sessions that restart take somewhat longer. */
constexpr int64_t SLACK_NS = 150 * NS_PER_MS;
/* How long a suspicion waits at least, and how many of them there are in that time. */
constexpr int64_t WAIT_MIN_NS = 300 * NS_PER_MS;
constexpr int64_t GRAINS = 48;

static void count(_Atomic uint64_t *counter, uint64_t n) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

void ledger_init(struct ledger *ledger, const struct ledger_config *config) {
    *ledger = (struct ledger){.config = *config};
}

static const enum ledger_blame who_by_kind[GLITCH_N_KINDS] = {
    [GLITCH_NETWORK_LOSS] = LEDGER_NETWORK,  [GLITCH_LATE] = LEDGER_NETWORK,
    [GLITCH_STALL] = LEDGER_MACHINE,         [GLITCH_DEVICE_XRUN] = LEDGER_MACHINE,
    [GLITCH_SENDER_STOPPED] = LEDGER_SENDER, [GLITCH_CLOCK_JUMP] = LEDGER_SENDER,
    [GLITCH_RESYNC] = LEDGER_MACHINE,
};

static void blame(struct ledger *ledger, enum glitch_kind why, uint64_t frames, uint64_t stalls, int64_t at_ns) {
    if (!frames)
        return;
    struct ledger_counters *c = &ledger->counters;
    _Atomic uint64_t *const by_whom[] = {
        [LEDGER_NETWORK] = &c->lost_network, [LEDGER_MACHINE] = &c->lost_machine, [LEDGER_SENDER] = &c->lost_sender};
    count(&c->lost_frames, frames);
    count(by_whom[who_by_kind[why]], frames);
    count(&c->stalls, stalls);
    struct glitch glitch = {at_ns, why, (uint32_t)frames};
    if (ledger->config.glitches)
        ring_write(ledger->config.glitches, &glitch, 1);
}

static int64_t echo_ns(const struct ledger *ledger) {
    return ledger->config.target_latency_ns + SLACK_NS;
}

static int64_t wait_ns(const struct ledger *ledger) {
    int64_t half = ledger->config.target_latency_ns / 2;
    return half > WAIT_MIN_NS ? half : WAIT_MIN_NS;
}

/* ---- trouble ---- */

/* A pause of the sender: so long that scattered losses do not look like it, and that the queue feels it. A sender whose
 * sound comes from a device has a pause between any two quanta. */
static int64_t pause_ns(const struct ledger *ledger) {
    int64_t shortest = 20 * NS_PER_MS, four_packets = 4 * ledger->config.packet_length_ns;
    int64_t half = ledger->config.target_latency_ns / 2;
    if (four_packets > shortest)
        shortest = four_packets;
    return half > shortest ? half : shortest;
}

/* Has most of what was not heard been sent all the same? */
static bool was_held_up(const struct ledger *ledger, int64_t now_ns) {
    int64_t sent_ns = (int64_t)(ledger->packets - ledger->pause_packets) * ledger->config.packet_length_ns;
    int64_t hole_ns = (int64_t)ledger->pause_frames * NS_PER_S / ledger->config.rate_hz;
    return now_ns - ledger->pause_begin_ns - sent_ns < hole_ns / 2;
}

static void judge_pause(struct ledger *ledger, int64_t now_ns) {
    bool packets_missing = ledger->missing_ns && ledger->missing_ns >= ledger->pause_begin_ns;
    enum glitch_kind why = packets_missing               ? GLITCH_NETWORK_LOSS
                           : was_held_up(ledger, now_ns) ? GLITCH_LATE
                                                         : GLITCH_SENDER_STOPPED;
    blame(ledger, why, ledger->pause_frames, ledger->pause_stalls, ledger->pause_hole_ns);
    ledger->pause_frames = ledger->pause_stalls = 0;
    ledger->pause_begin_ns = ledger->pause_end_ns = 0;
}

static void watch_pause(struct ledger *ledger, int64_t last_packet_ns, int64_t now_ns) {
    bool paused = last_packet_ns && now_ns - last_packet_ns >= pause_ns(ledger);
    if (paused && !ledger->pause_begin_ns) {
        ledger->pause_begin_ns = last_packet_ns;
        ledger->pause_packets = ledger->packets;
    }
    if (paused) {
        ledger->pause_end_ns = 0; /* pauses that follow each other closely are one */
    } else if (ledger->pause_begin_ns && !ledger->pause_end_ns) {
        ledger->pause_end_ns = now_ns;
    } else if (ledger->pause_end_ns && now_ns > ledger->pause_end_ns + echo_ns(ledger) + wait_ns(ledger)) {
        judge_pause(ledger, now_ns);
    }
}

/* The lowest figure of the last target latency and a quarter; 0 while less time has been seen. */
static uint64_t missing_for_good(struct ledger *ledger, uint64_t missing, int64_t now_ns) {
    int64_t bucket_ns = ledger->config.target_latency_ns / 4 + 1;
    if (now_ns >= ledger->bucket_end_ns) {
        for (size_t i = LEDGER_BUCKETS - 1; i > 0; i--)
            ledger->lowest[i] = ledger->lowest[i - 1];
        ledger->lowest[0] = missing;
        ledger->bucket_end_ns = now_ns + bucket_ns;
        if (ledger->n_buckets < LEDGER_BUCKETS)
            ledger->n_buckets++;
    }
    if (missing < ledger->lowest[0])
        ledger->lowest[0] = missing;
    if (ledger->n_buckets < LEDGER_BUCKETS)
        return 0;
    uint64_t lowest = missing;
    for (size_t i = 0; i < LEDGER_BUCKETS; i++)
        lowest = ledger->lowest[i] < lowest ? ledger->lowest[i] : lowest;
    return lowest;
}

static double packets_frames(const struct ledger *ledger, uint64_t n) {
    return (double)n * (double)ledger->config.packet_length_ns * 1e-9 * ledger->config.rate_hz;
}

static void watch_packets(struct ledger *ledger, uint64_t missing_now, int64_t now_ns) {
    uint64_t missing = missing_for_good(ledger, missing_now, now_ns);
    if (missing <= ledger->missing)
        return;
    uint64_t n_new = missing - ledger->missing;
    ledger->missing = missing;
    if (now_ns - ledger->missing_ns > echo_ns(ledger) + wait_ns(ledger))
        ledger->network_frames = 0;
    ledger->missing_ns = now_ns;
    ledger->network_frames += packets_frames(ledger, n_new);
}

/* Of packets that come late some may have been repaired: they explain a part of what is missing, never more. */
static void watch_late_packets(struct ledger *ledger, uint64_t late, int64_t now_ns) {
    if (late == ledger->late)
        return;
    if (now_ns - ledger->late_ns > echo_ns(ledger) + wait_ns(ledger))
        ledger->late_frames = 0;
    ledger->late_ns = now_ns;
    ledger->late_frames += packets_frames(ledger, late - ledger->late);
    ledger->late = late;
}

void ledger_trouble(struct ledger *ledger, const struct ledger_news *news, int64_t now_ns) {
    watch_packets(ledger, news->missing, now_ns);
    watch_late_packets(ledger, news->late, now_ns);
    ledger->packets = news->packets;
    ledger->silence_sent_ns = news->silence_sent_ns;
    watch_pause(ledger, news->last_packet_ns, now_ns);
    if (news->stall_end_ns > ledger->stall_end_ns && news->stall_ns >= ledger->config.target_latency_ns / 2) {
        ledger->stall_begin_ns = news->stall_end_ns - news->stall_ns;
        ledger->stall_end_ns = news->stall_end_ns;
    }
}

/* ---- holes ---- */

static double take(double *left, double wanted) {
    double taken = wanted < *left ? wanted : *left;
    *left -= taken;
    return taken;
}

/* Returns how many frames the network does not explain. */
static uint64_t blame_network(struct ledger *ledger, const struct ledger_hole *hole) {
    if (!ledger->missing_ns || ledger->missing_ns < hole->at_ns - echo_ns(ledger) || ledger->network_frames < 1)
        return hole->frames;
    uint64_t explained = (uint64_t)take(&ledger->network_frames, hole->frames);
    bool some_were_late = ledger->late_ns && ledger->late_ns >= hole->at_ns - echo_ns(ledger);
    uint64_t late = some_were_late ? (uint64_t)take(&ledger->late_frames, (double)explained) : 0;
    blame(ledger, GLITCH_LATE, late, late == explained ? hole->stalls : 0, hole->at_ns);
    blame(ledger, GLITCH_NETWORK_LOSS, explained - late, hole->stalls, hole->at_ns);
    return hole->frames - explained;
}

static void judge(struct ledger *ledger, const struct ledger_hole *hole) {
    int64_t echo = echo_ns(ledger);
    if (ledger->stall_end_ns && hole->at_ns >= ledger->stall_begin_ns && hole->at_ns <= ledger->stall_end_ns + echo) {
        blame(ledger, GLITCH_STALL, hole->frames, hole->stalls, hole->at_ns);
        return;
    }
    if (ledger->pause_begin_ns && hole->at_ns >= ledger->pause_begin_ns &&
        (!ledger->pause_end_ns || hole->at_ns <= ledger->pause_end_ns + echo)) {
        if (ledger->pause_frames == 0)
            ledger->pause_hole_ns = hole->at_ns;
        ledger->pause_frames += hole->frames;
        ledger->pause_stalls += hole->stalls;
        return;
    }
    uint64_t left = blame_network(ledger, hole);
    uint64_t stalls = left == hole->frames ? hole->stalls : 0;
    if (ledger->restart_ns && hole->at_ns >= ledger->restart_ns && hole->at_ns <= ledger->restart_ns + echo)
        blame(ledger, ledger->restart, left, stalls, hole->at_ns);
    else if (hole->was_sent)
        blame(ledger, GLITCH_RESYNC, left, stalls, hole->at_ns);
}

static void judge_until(struct ledger *ledger, int64_t until_ns) {
    while (ledger->n_holes && ledger->holes[ledger->first_hole].at_ns <= until_ns) {
        judge(ledger, &ledger->holes[ledger->first_hole]);
        ledger->first_hole = (ledger->first_hole + 1) % LEDGER_HOLES_MAX;
        ledger->n_holes--;
    }
}

static void suspect(struct ledger *ledger, uint64_t frames, uint32_t stalls, int64_t now_ns) {
    size_t last = (ledger->first_hole + ledger->n_holes - 1) % LEDGER_HOLES_MAX;
    bool is_near = ledger->n_holes && now_ns - ledger->holes[last].at_ns < wait_ns(ledger) / GRAINS;
    if (!is_near && ledger->n_holes == LEDGER_HOLES_MAX)
        judge_until(ledger, ledger->holes[ledger->first_hole].at_ns);
    if (!is_near) {
        last = (ledger->first_hole + ledger->n_holes++) % LEDGER_HOLES_MAX;
        ledger->holes[last] = (struct ledger_hole){.at_ns = now_ns, .was_sent = true};
    }
    bool is_silence_sent = ledger->silence_sent_ns && now_ns - ledger->silence_sent_ns <= echo_ns(ledger);
    ledger->holes[last].was_sent &= !is_silence_sent;
    ledger->holes[last].frames += (uint32_t)frames;
    ledger->holes[last].stalls += stalls;
}

static bool is_silent(const float *frame, size_t n_channels) {
    for (size_t c = 0; c < n_channels; c++)
        if (frame[c] != 0)
            return false;
    return true;
}

/* The usual case: sound everywhere. A run of silence that matters would hold one of the frames looked at; all that is
 * left to find is how the frames end. */
static bool is_all_sound(struct ledger *ledger, const float *frames, size_t n, size_t n_channels, uint64_t shortest) {
    for (size_t i = 0; i < n; i += shortest)
        if (is_silent(frames + i * n_channels, n_channels))
            return false;
    uint64_t run = 0;
    while (run < n && is_silent(frames + (n - 1 - run) * n_channels, n_channels))
        run++;
    ledger->zero_run = run;
    return true;
}

bool ledger_sound(struct ledger *ledger, const float *frames, size_t n, size_t n_channels, bool due, int64_t now_ns) {
    uint64_t shortest = (uint64_t)LEDGER_SILENCE_NS * ledger->config.rate_hz / NS_PER_S;
    uint64_t suspicious = 0;
    uint32_t stalls = 0;
    bool all_sound = n > 0 && is_all_sound(ledger, frames, n, n_channels, shortest);
    bool any_sound = all_sound;
    for (size_t i = 0; i < n && !all_sound; i++) {
        if (!is_silent(frames + i * n_channels, n_channels)) {
            ledger->zero_run = 0;
            any_sound = true;
            continue;
        }
        ledger->zero_run++;
        if (ledger->zero_run == shortest) {
            suspicious += shortest;
            stalls++;
        } else if (ledger->zero_run > shortest) {
            suspicious++;
        }
    }
    if (due && suspicious)
        suspect(ledger, suspicious, stalls, now_ns);
    judge_until(ledger, now_ns - wait_ns(ledger));
    return any_sound;
}

void ledger_sender_gone(struct ledger *ledger) {
    judge_until(ledger, INT64_MAX);
    blame(ledger, GLITCH_SENDER_STOPPED, ledger->pause_frames, ledger->pause_stalls, ledger->pause_hole_ns);
    ledger->pause_frames = ledger->pause_stalls = 0;
    ledger->pause_begin_ns = ledger->pause_end_ns = 0;
    ledger->network_frames = 0;
}

void ledger_sender_restarted(struct ledger *ledger, enum glitch_kind why, int64_t now_ns) {
    ledger->restart = why;
    ledger->restart_ns = now_ns;
}

void ledger_skipped(struct ledger *ledger, uint64_t frames, int64_t from_ns) {
    blame(ledger, GLITCH_STALL, frames, 1, from_ns);
}
