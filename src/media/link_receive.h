/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"
#include "base/ring.h"
#include "media/arrivals.h"
#include "media/crossfade.h"
#include "media/drift.h"
#include "media/gain.h"
#include "media/latency.h"
#include "media/ledger.h"
#include "media/meter.h"
#include "media/remap.h"
#include "media/tick.h"
#include "transport/gate.h"

/*
 * The receiving end of a stream's sound path: path → gate → decoder → gain, channel map → node frames, and feedback the
 * other way.
 *
 * When the gate sees a new sender, the decoder in use stays with the old one (libroc never leaves it), so the core is
 * asked for a new decoder; packets wait in a small queue until it comes. What the old one still has to play is faded out.
 *
 * Where the latency adapts, arrivals are measured and a policy (adapt.h) is asked. What it wants is asked of the core, too:
 * a second decoder, which takes the place of the first by a crossfade. So it is where libroc's tuning is the responsive one,
 * and the clocks of both ends are found to differ (drift.h), and where time was left out: then the second has the same
 * latency.
 *
 * Life cycle: link_receive_create (worker) → tick, swap_decoder (media thread) → link_receive_destroy (worker).
 * Threads: as said; counters, meter and gain are shared with the core.
 * Ownership: path, gate and decoder are owned, once created.
 */
constexpr size_t LINK_GLITCHES_MAX = 128; /* between two looks of the core */
constexpr size_t LINK_HELD_MAX = 64;      /* packets: at 48 kHz stereo with FEC, a fifth of a second */

struct link_receive {
    struct list_link in_node; /* struct node::links */
    void *owner;              /* the core's record */
    struct path *path;
    struct gate *gate;
    struct codec_decoder *decoder;
    struct remap remap;
    struct gain gain;
    struct meter meter;
    struct ledger ledger;
    struct ring glitches; /* struct glitch; read by the core */
    struct latency_receive latency;
    int64_t target_latency_ns, silent_after_ns;
    char member[ENGINE_MEMBER_MAX + 1];
    /* What NOTICE_LINK_LATENCY is about; the media thread leaves it alone until that has been answered. */
    struct adapt_decision wanted; /* ADAPT_STAY: it is about the clocks alone */
    int32_t wanted_sender_ppm;
    // media thread
    bool adapts, follows_drift;
    int32_t sender_ppm; /* that the decoder was built for */
    enum codec_fec fec;
    bool latency_asked; /* and not answered yet */
    int64_t ask_again_ns;
    int64_t settle_ns; /* time was left out: after then a second decoder puts the queue right; 0: it is */
    struct adapt adapt;
    struct arrivals arrivals;
    struct drift drift;
    struct crossfade crossfade;
    uint64_t seen_lost, seen_late, seen_holes; /* of the counters, at the end of the last window */
    size_t n_popped, n_portion;                /* frames: in this tick; the least in one of this window, 0: none yet */
    int64_t portion_ns;                        /* of the last window */
    bool leaving;                              /* fades out, then it is let go */
    bool faded;                                /* … and has */
    int64_t leaving_ns;
    bool fed; /* the decoder has been given packets */
    bool awaiting_decoder, told_new_session;
    bool begins;                    /* of a second sender nothing has been heard yet */
    struct codec_decoder *outgoing; /* owned: the last one, while it fades */
    struct gain outgoing_gain;
    bool feedback_known;
    bool told_playing;
    int64_t quota_ns;        /* while catching up: time whose packets may be taken */
    int64_t first_packet_ns; /* of the playing session */
    int64_t silence_sent_ns; /* when the last packet came that had silence in it; 0: none has */
    size_t silence_run;      /* frames of the wire: half of what the ledger suspects, since it may lie in two packets */
    union path_address feedback_address;
    struct packet *held; /* owned: LINK_HELD_MAX */
    size_t n_held;
    float *decoded, *fading; /* owned: n_max frames of the wire's channels */
    float *frames;           /* owned: n_max frames of the node's */
    const float *out;        // for the node: what link_receive_pop() gave last, and its peaks
    float out_peaks[ENGINE_CHANNELS_MAX];
    size_t n_max;
    // shared
    _Atomic bool failed;
    _Atomic bool playing;
    _Atomic int64_t started_ns;
};

struct link_receive_config {
    struct codec *codec;
    struct codec_settings settings;
    struct gate_config gate;
    uint32_t node_rate_hz, node_channels;
    size_t n_max; /* frames in a tick at most */
    double gain_db;
    bool muted;
    uint32_t n_map;
    const int *map;
    int64_t silent_after_ns;
    int64_t latency_min_ns, latency_max_ns; /* the target adapts between them; the same: it does not */
    const char *member;                     /* nullptr: none */
    struct path *path;                      /* taken on success */
};

enum err link_receive_create(const struct link_receive_config *config, void *owner, struct link_receive **ret,
                             struct err_info *reterr);
void link_receive_destroy(struct link_receive *link);

/* Takes the packets that have come. */
void link_receive_tick(struct link_receive *link, const struct tick *tick);
/* n frames for the node, n ≤ n_max and any number of times a tick, and their peaks per channel; or nullptr where there is
 * nothing to mix. Valid until it is called again. */
const float *link_receive_pop(struct link_receive *link, const struct tick *tick, size_t n, float *ret_peaks);
void link_receive_leave(struct link_receive *link, const struct tick *tick);
/* The answer to NOTICE_LINK_NEW_SESSION; the old decoder goes back to the core. */
void link_receive_swap_decoder(struct link_receive *link, const struct tick *tick, struct codec_decoder *decoder);
/* The answer to NOTICE_LINK_LATENCY: a decoder of the wanted latency, or nullptr if there is none to be had. One of the two
 * decoders goes back to the core: the old one when the new one is heard, or the new one. */
void link_receive_offer_decoder(struct link_receive *link, const struct tick *tick, struct codec_decoder *decoder);
/* Time that nobody will ever ask sound for. Where the decoder's queue is afterwards is chance, as nobody knows how much of
 * what came meanwhile found room in the path, and libroc would take a minute to get it right: a second decoder does. */
void link_receive_skip(struct link_receive *link, uint64_t frames, int64_t from_ns, int64_t now_ns);
