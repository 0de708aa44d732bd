/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"
#include "media/gain.h"
#include "media/latency.h"
#include "media/meter.h"
#include "media/mixer.h"
#include "media/remap.h"
#include "media/share.h"
#include "media/tick.h"

/*
 * The sending end of a stream's sound path: node frames → gain, channel map → encoder → path, and feedback the other way.
 *
 * Life cycle: link_send_create (worker) → tick (media thread) → link_send_destroy (worker).
 * Threads: as said; counters, meter and gain are shared with the core.
 * Ownership: path, encoder and the reference to the share are owned, once created.
 */
struct link_send {
    struct list_link in_node; /* struct node::links */
    void *owner;              /* the core's record */
    struct path *path;
    struct codec_encoder *encoder; // the share's, if it has one
    struct share *share;           // nullptr: it has an encoder of its own
    struct list_link in_share;     // struct share::members
    struct remap remap;
    struct gain gain;
    struct meter meter;
    struct latency_send latency;
    int64_t target_latency_ns;
    int64_t start_delay_ns;
    int64_t begin_ns; // media thread: sends from here on
    bool begun;       // media thread: has been given frames
    bool leaving;     // media thread: fades out, then it is let go
    bool faded;       // media thread: … and has, and what it faded is in packets
    int64_t leaving_ns;
    size_t n_flush; // frames of silence that push the end of the fade out of the encoder
    bool told_started;
    _Atomic bool failed;
    _Atomic bool playing;
    _Atomic int64_t started_ns;
    _Atomic uint64_t skipped_packets; /* too old to be sent after a stall */
    float *frames;                    /* owned: n_max frames of the wire's channels */
    char member[ENGINE_MEMBER_MAX + 1];
    // for a bus: its member's own mix; without memory where it needs none
    struct mixer mixer;
    const float *mixed; // what this tick sends
    float mixed_peaks[ENGINE_CHANNELS_MAX];
    size_t n_max;
};

struct link_send_config {
    struct codec *codec;
    struct codec_settings settings;
    uint32_t node_rate_hz, node_channels;
    size_t n_max; /* frames in a tick at most */
    double gain_db;
    bool muted;
    uint32_t n_map;
    const int *map;
    int64_t start_delay_ns;
    const char *member;  /* nullptr: none */
    bool mixes;          /* may need a mix of its own */
    struct path *path;   /* taken on success */
    struct share *share; /* likewise; nullptr: an encoder of its own */
};

enum err link_send_create(const struct link_send_config *config, void *owner, struct link_send **ret,
                          struct err_info *reterr);
void link_send_destroy(struct link_send *link);

/* n frames of the node, n ≤ n_max and any number of times a tick; at least once, for feedback. `peaks`: of these frames,
 * per node channel. `in_the_middle`: the node has given frames before, to others. */
void link_send_tick(struct link_send *link, const struct tick *tick, const float *frames, const float *peaks, size_t n,
                    bool in_the_middle);
void link_send_leave(struct link_send *link, const struct tick *tick);
