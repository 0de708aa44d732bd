/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "media/glitch.h"

struct ring;

/*
 * Holes in the sound of one receiving link, and whom to blame for each.
 *
 * A decoder gives exact zeros where sound is missing, and also where the sender sends silence. So zeros in all channels
 * for a millisecond are a *suspicion* only; it becomes a loss when there was trouble near it:
 *   machine  some media thread of ours came late by half the target latency or more, or skipped time
 *   network  the gate says that packets never came, and were not repaired
 *   sender   no packets at all for a while, and none turned out to be missing afterwards, nor did they come in a bundle: then
 *            the network has held them up
 *   machine  too, where the decoder has lost its place: nothing is missing, and there was no silence in the packets
 * Suspicions wait for a moment before they are judged, because the gate needs time to know whether a packet is lost;
 * holes in a pause of the sender wait until the pause is over. Silence without trouble is no loss. What plainly missing
 * packets can explain is limited to their length.
 *
 * Each loss is a glitch, too, which says a little more: of what the network did, whether packets came late or not at all; of
 * what the sender did, whether it stopped or went on elsewhere.
 *
 * Life cycle: ledger_init → (ledger_trouble, ledger_sound) each tick. Threads: one media thread; the counters any.
 */

/* Below this a run of zeros is part of the sound. */
constexpr int64_t LEDGER_SILENCE_NS = NS_PER_MS;

struct ledger_config {
    uint32_t rate_hz; /* of the frames */
    int64_t target_latency_ns;
    int64_t packet_length_ns;
    struct ring
        *glitches; /* of struct glitch, borrowed: where they go; what has no room there is left out. nullptr: nowhere */
};

struct ledger_counters {
    _Atomic uint64_t lost_frames, lost_network, lost_machine, lost_sender, stalls;
};

enum ledger_blame { LEDGER_NETWORK, LEDGER_MACHINE, LEDGER_SENDER };

/* What the gate and the threads tell, as of now. */
struct ledger_news {
    uint64_t missing;        /* packets that have not come and cannot be repaired so far; falls when they do or can */
    uint64_t late;           /* packets that came after their time */
    uint64_t packets;        /* source packets that came */
    int64_t last_packet_ns;  /* when the last source packet came */
    int64_t silence_sent_ns; /* when the last source packet came that had silence in it; 0: none has */
    int64_t stall_end_ns;    /* the last stall of a media thread of ours, 0: none */
    int64_t stall_ns;        /* and how long it was */
};

struct ledger_hole {
    int64_t at_ns;
    uint32_t frames, stalls;
    bool was_sent; /* as sound */
};
constexpr size_t LEDGER_HOLES_MAX = 64; /* suspicions under way */
constexpr size_t LEDGER_BUCKETS = 5;

struct ledger {
    struct ledger_config config;
    struct ledger_counters counters;
    // Private state
    struct ledger_hole holes[LEDGER_HOLES_MAX];
    size_t first_hole, n_holes;
    uint64_t zero_run; /* frames of silence up to now */
    int64_t silence_sent_ns;
    /* Lowest number of missing packets in each fifth of somewhat more than the target latency: what never fell below that
     * in all of it, is missing for good. */
    uint64_t lowest[LEDGER_BUCKETS];
    size_t n_buckets;
    int64_t bucket_end_ns;
    uint64_t missing;                     /* for good; only grows */
    double network_frames;                /* what missing packets still explain */
    uint64_t late;                        /* packets, seen so far */
    double late_frames;                   /* how much of what is missing came late */
    int64_t late_ns;                      /* when the last one did */
    int64_t missing_ns;                   /* when the last one was found missing for good */
    int64_t pause_begin_ns, pause_end_ns; /* no packets; end 0 while it lasts; begin 0: none */
    uint64_t pause_frames, pause_stalls;  /* holes in it, not yet judged */
    int64_t pause_hole_ns;                /* the first of them */
    uint64_t pause_packets, packets;      /* that had come when it began, and now */
    int64_t restart_ns;                   /* the sender has begun anew; 0: it has not */
    enum glitch_kind restart;
    int64_t stall_begin_ns, stall_end_ns; /* of ours, the last one that mattered */
};

void ledger_init(struct ledger *ledger, const struct ledger_config *config);
/* Before the frames of the tick. */
void ledger_trouble(struct ledger *ledger, const struct ledger_news *news, int64_t now_ns);
/* The frames that came out of the decoder in this tick. `due`: a session is playing, so that silence is suspicious.
 * Returns whether there was any sound in them. */
bool ledger_sound(struct ledger *ledger, const float *frames, size_t n, size_t n_channels, bool due, int64_t now_ns);
/* The sender is considered gone: what is open was its doing, and packets are no longer expected. */
void ledger_sender_gone(struct ledger *ledger);
/* The sender's packets have nothing to do with those before, and it may be heard only after a hole. GLITCH_SENDER_STOPPED: it
 * is another sender. GLITCH_CLOCK_JUMP: the same, elsewhere. */
void ledger_sender_restarted(struct ledger *ledger, enum glitch_kind why, int64_t now_ns);
/* Frames that were never asked for, because this machine stood still. */
void ledger_skipped(struct ledger *ledger, uint64_t frames, int64_t from_ns);
