/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "audio/driver.h"
#include "base/err.h"
#include "base/log.h"
#include "media/adapt.h"
#include "media/glitch.h"
#include "media/latency_stages.h"
#include "transport/codec.h"
#include "transport/gate.h"
#include "transport/path.h"

struct clock;
struct loop;

/*
 * The media engine: the whole sound path of a peer, on a few media threads.
 *
 * A *node* is an endpoint in use: one audio_stream and the links on it. A *link* is one end of a stream's sound path:
 *   sending    node (input)  → meter → gain, channel map → encoder → path
 *   receiving  path → gate → decoder → gain, channel map → meter, loss → mix → node (output)
 * A node that is both, a bus, gives its sending links the mix of its receiving ones, of the same tick.
 * All links of a node run on the node's thread, one tick after another; every tick moves as many frames as time has
 * passed on the node's own clock, which starts when the node does.
 *
 * The core talks in ids. Building (sockets, codec objects, files) happens on workers, handing over by pointer through
 * single-producer rings, and what a media thread has let go is closed on a worker.
 *
 * Life cycle: engine_create → add nodes, add links … remove links, remove nodes → engine_destroy (which removes what is
 * left; callbacks of what is under way then do not come any more). Threads: all functions on the core thread, unless
 * said otherwise. Callbacks come on the core thread; they may call any function here but engine_destroy.
 */
struct engine;

struct engine_config {
    struct log log;
    const struct clock *clock;
    struct loop *loop;
    struct codec *codec; /* borrowed; outlives the engine */
    unsigned n_threads;  /* 0: one per core, at most 4. Ignored when stepped */
    int64_t tick_ns;     /* 0: 5 ms */
    bool realtime;       /* ask for SCHED_FIFO; refused quietly */
    bool stepped;        /* no threads: the owner calls engine_step() (tests, virtual time) */
};

enum engine_event_kind {
    ENGINE_LINK_STARTED, /* sending: first packet sent; receiving: first sound of a session came out of the decoder */
    ENGINE_LINK_SILENT,  /* receiving: no packets for a while (the sender stopped or is cut off) */
    ENGINE_LINK_LATENCY, /* receiving: another target latency is in use from now on */
    ENGINE_LINK_FAILED,  /* a codec object refused work: it is closed and never asked again; remove the link */
    ENGINE_NODE_ENDED,   /* a source has nothing more to give */
    ENGINE_NODE_FAILED,
};

struct engine_event {
    enum engine_event_kind kind;
    uint32_t node;          /* id */
    uint32_t link;          /* id, 0 for node events */
    struct err_info reason; /* of failures */
    /* ENGINE_LINK_LATENCY: */
    int64_t from_ns, to_ns;
    enum adapt_cause cause;
};

typedef void (*engine_event_fn)(void *arg, const struct engine_event *event);

enum err engine_create(const struct engine_config *config, engine_event_fn on_event, void *arg, struct engine **ret,
                       struct err_info *reterr);
void engine_destroy(struct engine *engine);

/* Stepped engines: does everything that is due at now_ns (ticks of all nodes). */
void engine_step(struct engine *engine, int64_t now_ns);

/* ---- nodes ---- */

/* Takes the stream (also on failure). */
enum err engine_add_node_take(struct engine *engine, struct audio_stream *stream, enum audio_direction direction,
                              uint32_t *ret_node, struct err_info *reterr);
/* Its links go with it, if they have not gone. The stream is closed on a worker, then done(arg) on the core; done may be
 * nullptr, and comes for a node that does not exist as well. */
void engine_remove_node(struct engine *engine, uint32_t node, void (*done)(void *arg), void *arg);

constexpr size_t ENGINE_CHANNELS_MAX = 16;
constexpr size_t ENGINE_MEMBER_MAX = 255;
constexpr int64_t ENGINE_DELAY_MAX_NS = 2'000'000'000;

/* Sound is held back so long before it goes to the endpoint. A change cross-fades. Sinks only; others ignore it. */
enum err engine_set_delay(struct engine *engine, uint32_t node, int64_t delay_ns, struct err_info *reterr);

struct engine_node_status {
    enum audio_state state;
    int64_t frames;          /* moved since the start */
    int64_t position_frames; /* -1: none */
    int64_t started_wall_ns; /* wall time of frame 0 */
    uint64_t late_ticks;     /* ticks that came more than one period late */
    int64_t worst_late_ns;
    int64_t late_ns;   /* the worst since the last call of this function */
    bool stands_still; /* a device that gives no clock now: its source gives nothing, its sink loses what it is given */
    bool has_xruns;    /* it is a device that counts them */
    uint64_t xruns;    /* times it found too few frames or no room */
    int64_t period_ns; /* of a device: how much sound it moves at a time; 0: not known */
    int64_t latency_ns;  /* of a device: between its ring and the air, ring included; -1: not known */
    uint32_t n_encoders; /* of its sending links, those that are being opened included */
    uint32_t n_channels;
    float level_dbfs[ENGINE_CHANNELS_MAX]; /* peak since the last call of this function; floor -120 */
};
/* false: no such node. */
bool engine_node_status(struct engine *engine, uint32_t node, struct engine_node_status *ret);

/* ---- links ---- */

struct engine_link_config {
    struct codec_settings settings;
    bool receiving;
    double gain_db;
    bool muted;
    uint32_t n_map; /* 0: the default map; else entries of `map` used: wire channel → node channel, -1 = silence */
    int map[ENGINE_CHANNELS_MAX];
    struct gate_config gate; /* receiving: its settings are filled in from above */
    /* sending: may use one encoder with others of its node that want the same packets; its gain stays 0 dB, and its receiving
     * end fades by itself */
    bool may_share;
    int64_t start_delay_ns; /* sending: encoders start staggered by at most 20 ms */
    /* receiving: the target latency adapts between them; the same: it does not */
    int64_t latency_min_ns, latency_max_ns;
    /* On a bus with mix_minus: what a link sends leaves out what comes in over those of the same member. "": none. */
    char member[ENGINE_MEMBER_MAX + 1];
    int64_t silent_after_ns; /* receiving: ENGINE_LINK_SILENT after this long without packets; 0: 1 s */
};

/* Takes the path (also on failure). Opens encoder or decoder on a worker and puts the link on its node; done() tells on
 * the core how that went (never from inside this call); after a failure the link is gone. engine_remove_link before that
 * cancels done(). 0 and no done(): out of memory. */
typedef void (*engine_link_done_fn)(void *arg, uint32_t link, enum err result, const struct err_info *info);
uint32_t engine_add_link_take(struct engine *engine, uint32_t node, const struct engine_link_config *config,
                              struct path *path, engine_link_done_fn done, void *arg);
/* The link falls silent at once (its last frames fade); everything of it is closed on a worker, then done(arg). */
void engine_remove_link(struct engine *engine, uint32_t link, void (*done)(void *arg), void *arg);

/* Without a new link. Smoothed over one tick. */
void engine_set_gain(struct engine *engine, uint32_t link, double gain_db, bool muted);

struct engine_link_status {
    bool receiving;
    bool playing;       /* receiving: a session is latched and gives sound; sending: packets go out */
    int64_t started_ns; /* monotonic, 0: not yet */
    uint32_t n_sharing; /* sending: links that use its encoder, itself included; receiving: 0 */
    uint64_t packets_sent, bytes_sent, send_dropped;
    uint64_t packets_received, bytes_received; /* that passed the gate */
    uint64_t rejected, lost, repaired, late, reordered;
    int64_t jitter_ns;
    int64_t end_to_end_ns;             /* 0: not known */
    bool latency_is_measured;          /* whatever the wall clocks say; else an estimate by those of both ends */
    int64_t network_ns, round_trip_ns; /* where it is measured; within one peer 0 */
    struct latency_stages stages;      /* where it is measured; their sum is end_to_end_ns */
    int64_t target_latency_ns;
    /* Frames of silence that stand where sound was due, in all and by cause: packets that never came (network), a late
     * tick here (machine), a sender that stopped sending (sender). */
    uint64_t lost_frames, lost_network, lost_machine, lost_sender;
    uint64_t stalls;   /* holes in the sound */
    uint64_t sessions; /* receiving: senders so far */
    uint32_t n_channels;
    float level_dbfs[ENGINE_CHANNELS_MAX]; /* peak since the last call; floor -120 */
};
bool engine_link_status(struct engine *engine, uint32_t link, struct engine_link_status *ret);
/* What a receiving link has had to do without since the last call, oldest first; how many of at most `max`. */
size_t engine_take_glitches(struct engine *engine, uint32_t link, struct glitch *ret, size_t max);

/* Codec queries take locks: the engine asks at 2 Hz on the core and caches (end_to_end_ns). */
