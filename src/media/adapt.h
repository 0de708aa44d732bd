/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/*
 * Which target latency a stream with `auto` should have: the statistics of a short window of arrivals go in, a decision
 * comes out. A pure policy: no clock, no I/O, no memory of its own; it knows time only as the length of the windows.
 *
 * What a target must hold is *need*: how much later than usual the latest packets come, a margin, and, while the
 * network loses packets and FEC brings them back, the sound of a FEC block, because a lost packet is back only when
 * its block is. Where a device takes its sound in portions, a portion more: a decoder starts when the target is
 * reached, and that moment may be just before one is taken. Need above the target raises it at once, to the next rung
 * of a ladder of latencies (about a quarter apart). It is lowered by one or two rungs after need has been well below
 * them for the whole of a hold time, two minutes at first. A raise that follows a lowering says that the lowering was
 * a mistake: the hold time doubles, up to a limit; a long time in which less would have been enough forgives. So
 * trouble that comes back now and then is paid for ever more rarely, and nothing oscillates.
 *
 * Latency helps against delay and against what FEC can repair. Holes that it does not help against (breaks of the network,
 * bursts longer than a block repairs) change nothing.
 *
 * Life cycle: adapt_init → adapt_decide each window, adapt_changed when a decision has been carried out. Threads: one.
 */

enum adapt_cause {
    ADAPT_STAY,
    ADAPT_JITTER,   /* packets come so unevenly that some would soon be too late */
    ADAPT_LATE,     /* packets came too late */
    ADAPT_LOSS,     /* packets are lost, and FEC brings them back too late */
    ADAPT_DEVICE,   /* the endpoint takes so much sound at once that some would not be there yet */
    ADAPT_GLITCHES, /* sound is missing though all figures look good */
    ADAPT_CALM,     /* less is enough */
};

struct adapt_config {
    int64_t start_ns, min_ns, max_ns; /* targets */
    int64_t packet_ns;                /* sound in a packet */
    int64_t block_ns;                 /* sound in a FEC block; 0: no FEC */
    int64_t repair_ns;                /* the longest burst of losses that a block can repair */
};

struct adapt_window {
    int64_t length_ns;
    uint32_t n_packets; /* sound packets that came */
    uint32_t n_lost;    /* that did not come in time, before repair */
    uint32_t n_late;    /* that came after they had been given up */
    uint32_t n_burst;   /* the most that were missing in a row */
    int64_t jitter_ns;  /* RFC 3550 */
    /* Arrival less the time on the packet, from any origin that stays the same: the mean, and a high quantile. */
    int64_t transit_ns, transit_high_ns;
    int64_t hole_ns;    /* silence in the sound for which the network is to blame */
    int64_t portion_ns; /* sound that the endpoint takes at once; 0: no more than that of a tick */
};

struct adapt_decision {
    enum adapt_cause cause; /* ADAPT_STAY: nothing is to be done */
    int64_t target_ns;
};

struct adapt {
    struct adapt_config config;
    int64_t target_ns;
    // Private state
    int64_t reference_ns; /* the usual transit */
    bool has_reference;
    int64_t hold_ns;
    int64_t calm_ns;       /* for so long less would have been enough: */
    int64_t most_need_ns;  /* the most of it */
    int64_t lossy_ns;      /* for so long losses are still expected */
    int64_t late_ns;       /* … and late packets taken for the cause of holes */
    int64_t burst_ns;      /* … and holes put down to a burst that nothing repairs */
    int64_t unchanged_ns;  /* since the last change */
    int64_t since_need_ns; /* since the target was last made use of */
    bool lowered;          /* by the last change */
};

void adapt_init(struct adapt *adapt, const struct adapt_config *config);
struct adapt_decision adapt_decide(struct adapt *adapt, const struct adapt_window *window);
/* The decision has been carried out: this target is in use from now on. */
void adapt_changed(struct adapt *adapt, int64_t target_ns);
/* Another sender: its clock has another origin. What was learnt of the network stays. */
void adapt_new_session(struct adapt *adapt);

/* "Jitter", "Late", …: stable words for programs. */
const char *adapt_cause_name(enum adapt_cause cause);
/* "packets come unevenly": for people. */
const char *adapt_cause_text(enum adapt_cause cause);
