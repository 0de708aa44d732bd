/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/loop_sim.h"
#include "media/engine.h"
#include "media/profile.h"
#include "model_gen.h"
#include "support/fake_device.h"
#include "support/lossy_path.h"
#include "support/wifi_trace.h"

/*
 * One stream with auto through the whole engine, with the real codec, on virtual time: a tone or a steady signal, a network
 * that the test makes worse and better (`lossy`), and a sink that hears everything and keeps nothing but figures. Losses and
 * delays are seeded.
 *
 * Life cycle: adapt_rig_set_up and adapt_rig_tear_down of cmocka; adapt_rig_start as often as one likes.
 * Threads: one.
 */
constexpr uint32_t ADAPT_RIG_RATE_HZ = 48'000;
constexpr double ADAPT_RIG_TONE_HZ = 440;
constexpr double ADAPT_RIG_TONE_PEAK = 0.5;

/* On the system's clock. */
struct adapt_ear {
    struct audio_stream stream; /* first member */
    int64_t n_frames;
    int64_t first_frame, last_sound; /* -1: none */
    uint64_t zero_run, lost;         /* silent frames, in runs of a millisecond and more */
    float before, worst_step;
};

struct adapt_tone {
    struct audio_stream stream; /* first member */
    int64_t n_frames;
    bool is_tone; /* else steady */
};

struct adapt_rig {
    struct loop_sim sim;
    struct codec *codec;
    struct engine *engine;
    struct adapt_tone tone;
    struct adapt_ear ear;
    size_t quantum; /* before start; not 0: `card`, of this quantum, hears in place of the ear */
    struct fake_device card;
    struct lossy_path *lossy;
    struct wifi_trace *wifi; /* nullptr: the test turns the knobs of `lossy` itself */
    uint32_t source_node, sink_node, send, receive;
    struct stream_settings settings;
    struct profile_latency latency;
    int n_changes, n_raises, n_started, n_failed, n_removed;
    int64_t target_ns, least_ns, most_ns; /* in use */
    enum adapt_cause cause;
};

int adapt_rig_set_up(void **state);
int adapt_rig_tear_down(void **state);

/* Milliseconds; 0: not given. */
void adapt_rig_choose(struct adapt_rig *rig, int32_t target_ms, int32_t min_ms, int32_t max_ms);
/* The stream from its beginning; a second call begins anew. */
void adapt_rig_start(struct adapt_rig *rig, bool is_tone, double loss);
/* Ends it at once. */
void adapt_rig_end(struct adapt_rig *rig);
void adapt_rig_run(struct adapt_rig *rig, double seconds);
/* Runs until auto has changed the latency, or fails. */
void adapt_rig_run_to_change(struct adapt_rig *rig, double most_s);
/* In use, as the status says, too. */
int64_t adapt_rig_target_ms(const struct adapt_rig *rig);
/* Another encoder, as when the peer has restarted. */
void adapt_rig_restart_sender(struct adapt_rig *rig, double pause_s);
void adapt_rig_remove_receiver(struct adapt_rig *rig);
