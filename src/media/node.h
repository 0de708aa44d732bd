/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "base/list.h"
#include "media/delay.h"
#include "media/link_receive.h"
#include "media/link_send.h"
#include "media/mixer.h"

struct clock;
struct poller;

/*
 * An endpoint in use as its media thread sees it: the stream of frames, the clock that says how many are due, and the
 * links. What is read goes to the sending links; the mix of the receiving links is written, or, where the endpoint is a bus,
 * goes to the sending links in the same tick.
 *
 * The clock is the system's, counted from a start time so that it never drifts against it, or the device's own. A device
 * that stands still leaves its sink to the system's clock: what would have been played is thrown away, so that nothing piles
 * up in front of it. Its source gives nothing meanwhile, or silence, as the stream wants it. The same is done with the sound
 * of a stall, where a sink's device has run dry: it is not played later.
 *
 * A source starts with its first link: nobody would hear what it gave before. A sink or bus starts at once.
 *
 * Life cycle: node_create (core) → node_tick (media thread) → node_destroy (worker), when its links are gone.
 * Ownership: owns the audio_stream. Links are owned by the core's records.
 */
struct node {
    struct list_link in_thread; /* struct media_thread::nodes */
    void *owner;                /* the core's record */
    struct audio_stream *stream;
    enum audio_direction direction;
    const struct clock *clock;
    struct list sends;    /* struct link_send::in_node */
    struct list receives; /* struct link_receive::in_node */
    size_t n_max;         /* frames moved at once at most */
    struct meter meter;
    // media thread
    bool started, told_end;
    bool will_call; /* device's clock: it stands still, and wakes the thread when it moves */
    int64_t start_ns;
    int64_t moved;       /* frames since start_ns, skipped ones included */
    int64_t covered_ns;  /* device's clock: the time up to which frames have been moved, by the system's */
    int64_t portion_ns;  /* … and the length of the last portion that the device asked for */
    float *frames;       /* owned: what a source gave */
    struct mixer mixer;  /* of a sink or bus */
    struct delay *delay; /* owned, of a sink; nullptr: it never had one */
    // shared
    _Atomic int64_t frames_moved, started_wall_ns;
    _Atomic uint64_t late_ticks;
    _Atomic int64_t worst_late_ns, late_ns; /* in all, and since the core has asked last */
    _Atomic bool stands_still;
    _Atomic int64_t playback_ns; /* of a sink: from a tick until its last frame is heard; delay line not included */
};

enum err node_create(struct audio_stream *stream, enum audio_direction direction, int64_t tick_ns,
                     const struct clock *clock, void *owner, struct node **ret, struct err_info *reterr);
/* Closes the stream too, unless told to leave it. */
void node_destroy(struct node *node);

/* Frames moved at once at most, for buffers: those of a tick of the system's clock. */
size_t node_frames_max(uint32_t rate_hz, int64_t tick_ns);

/* How much sound its device moves at a time, as of late; 0: not known, or it is no device. Any thread. */
int64_t node_period_ns(const struct node *node);

/* All of these on the media thread. */
void node_add_send(struct node *node, struct link_send *link, int64_t now_ns);
void node_add_receive(struct node *node, struct link_receive *link);
/* Takes the line, which stays. */
void node_set_delay_take(struct node *node, struct delay *delay);
void node_tick(struct node *node, const struct tick *tick, struct poller *poller);
/* How rarely it has to be ticked now; 0: at every tick. A device that is a source gives whole periods, and nothing between them;
 * one that stands still has only its feedback to look after, and may wake the thread when it moves. An eighth of the least
 * target latency is how unevenly its sound may come. */
int64_t node_rest_ns(const struct node *node);
/* Time that has passed from then on and will not be caught up. It is now_ns, by the clock. */
void node_skip(struct node *node, int64_t from_ns, int64_t skipped_ns, int64_t now_ns);
void node_was_late(struct node *node, int64_t late_ns, bool whole_ticks);
