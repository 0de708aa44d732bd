/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/log.h"

struct clock;
struct endpoint_spec; /* generated: model_gen.h */
struct loop;

/*
 * The driver vtable: where endpoints come from. A driver is one const struct, listed in audio/registry.c. Built-in ones
 * (tone, null, file, bus) make endpoints on request; others also find devices by themselves and tell a watcher of them
 * (`watch`), or keep virtual devices up that programs see (`expose`).
 *
 * An endpoint in use is an `audio_stream`: a source of frames (input) or a place for them (output), in the endpoint's
 * own rate and channel count. Frames are interleaved 32-bit floats, native endian, full scale ±1.
 */

struct audio_format {
    uint32_t rate_hz;
    uint32_t n_channels;
};

/* The stream's view: an input is read, an output is written. A bus is both: what is written into it can be read. */
enum audio_direction { AUDIO_INPUT, AUDIO_OUTPUT, AUDIO_DUPLEX };

/* Who decides when frames move. */
enum audio_clock {
    AUDIO_CLOCK_TICKED, /* the media thread moves as many frames as time has passed */
    AUDIO_CLOCK_DEVICE, /* the device's own callback moves frames to or from a ring; `due` says how many wait there */
};

/* Answer of `due`: the device stands still (suspended, unplugged, nobody listens) and gives no clock. */
constexpr ptrdiff_t AUDIO_STANDS_STILL = -1;

/* What a device's thread is asked to do. fn neither waits, locks, allocates nor logs. */
struct audio_call {
    void (*fn)(void *arg);
    void *arg;
};

enum audio_state {
    AUDIO_RUNNING,
    AUDIO_ENDED,  /* a source has nothing more to give: a file that plays once */
    AUDIO_FAILED, /* see audio_stream_ops.failure */
};

/* One endpoint in use.
 * Life cycle: driver.open (worker) → read/write (media thread, any number) → close (worker).
 * Threads: as said at each function. `state` and `position` may be asked by any thread at any time in between. */
struct audio_stream {
    const struct audio_stream_ops *ops;
    struct audio_format format;
    enum audio_clock clock;
    bool never_idle; /* an input that stands still gives silence by the system's clock; else nothing at all */
    bool mix_minus;  /* AUDIO_DUPLEX: what a member of the mix hears of it is without its own sound */
};

struct audio_stream_ops {
    /* Media thread; never blocks, allocates, logs or makes a system call that can wait. Fills exactly n frames; what
     * is not there is silence. Returns how many frames were real. Inputs only. */
    size_t (*read)(struct audio_stream *stream, float *frames, size_t n);
    /* Media thread; same rules. Takes n frames; returns how many it could keep. Outputs only. */
    size_t (*write)(struct audio_stream *stream, const float *frames, size_t n);
    /* Media thread; same rules. AUDIO_CLOCK_DEVICE only: how many frames the input has now, or the output wants now (so
     * many that its ring holds what the next callbacks will take, and no more), or AUDIO_STANDS_STILL. All of them are
     * then moved in this tick, however many. While an output stands still its sound is thrown away. */
    ptrdiff_t (*due)(struct audio_stream *stream);
    /* Media thread; same rules. After `due` has said AUDIO_STANDS_STILL: `call` shall be made, once, from the device's
     * thread, when the device moves. `call` is copied, and not made any more when `close` has returned. false: nobody may
     * count on a call (one is being made, or the device has moved meanwhile), though one may come. Optional: without it
     * `due` is asked again and again. */
    bool (*call_when_moving)(struct audio_stream *stream, const struct audio_call *call);
    /* How long a frame takes between the ring and the air, ring included; -1: not known. Any thread. Optional. */
    int64_t (*latency_ns)(const struct audio_stream *stream);
    /* Times the device's callback found too few frames, or no room, since the start. Any thread. Optional. */
    uint64_t (*xruns)(const struct audio_stream *stream);
    /* How many frames the device moves at a time, as of late; 0: not known. Any thread. Optional. */
    uint32_t (*period_frames)(const struct audio_stream *stream);
    enum audio_state (*state)(const struct audio_stream *stream);
    /* Position in the file in frames of its own rate, or -1 where that means nothing. Optional (nullptr). */
    int64_t (*position_frames)(const struct audio_stream *stream);
    /* Why it failed, in a sentence; valid once state says AUDIO_FAILED. Any thread. Optional. */
    void (*failure)(const struct audio_stream *stream, struct err_info *ret);
    /* Worker thread; may block: flushes and closes. Accepts nullptr. */
    void (*close)(struct audio_stream *stream);
};

/* What a driver is given. Lives as long as the drivers. */
struct audio_host {
    struct log log;
    const struct clock *clock;
    struct loop *loop;
    const char *media_dir; /* where file endpoints live; nullptr: none configured */
    bool realtime;         /* threads of devices ask the system for real-time scheduling */
    bool inline_io;        /* tests on virtual time: files are read and written inside read/write, without a thread */
};

/* What is to be opened. */
struct audio_endpoint {
    const char *uid;
    const struct endpoint_spec *spec;
    int64_t period_ns; /* how much sound a device shall move at a time; 0: as the driver likes */
};

/* Something that a driver has found, or a virtual device that it keeps up. Borrowed for the time of the call. */
struct audio_device {
    const char *uid;          /* nullptr: found; else the endpoint that was exposed */
    const char *system_name;  /* what never changes of it: the endpoint's uid is made of it; at most 255 bytes */
    const char *display_name; /* UTF-8, for people */
    int kind;                 /* enum endpoint_kind */
    enum audio_direction direction;
    struct audio_format format; /* 0: not known */
    bool is_default;            /* the system's choice for its direction */
    bool has_volume;
    double volume; /* the cubic scale that mixers show: 1 is 0 dB, gain = volume³ */
    bool is_muted;
    const char *follows;     /* of a default: the system_name of the device that it is at present; nullptr: of none */
    bool has_returned;       /* it went and came since it was told of last, and may have forgotten what was set */
    struct err_info failure; /* ERR_OK: usable */
};

/* Who is told. Core thread, never from inside a call of the driver. */
struct audio_watcher {
    void (*device)(void *arg, const struct audio_device *device); /* new, or something of it has changed */
    /* `uid` or `system_name` as above. An exposed one was removed by somebody else: `failure` says how. */
    void (*device_gone)(void *arg, const struct audio_device *device);
    /* The driver as a whole: ERR_OK, or why it is of no use now; then its devices have been told to be gone. */
    void (*driver)(void *arg, const struct err_info *failure);
};

struct audio_driver_state; /* each driver's own */

struct audio_driver {
    const char *name;    /* "file" */
    const char *summary; /* one line for people: "plays and records sound files in the media directory" */
    uint32_t kinds;      /* bit (1u << enum endpoint_kind) of each kind it can make */

    /* Core thread, at start; may not block for long. Optional: nullptr where a driver has no state of its own. */
    enum err (*create)(const struct audio_host *host, struct audio_driver_state **ret, struct err_info *reterr);
    void (*destroy)(struct audio_driver_state *state);

    /* Core thread: is this driver usable here? Otherwise ERR_UNAVAILABLE and the reason. Optional. */
    enum err (*probe)(struct audio_driver_state *state, struct err_info *reterr);

    /* Core thread, does not touch the disk: are the kind's own members of a new or changed endpoint right? Pointers in
     * reterr are those of the request ("/file/name"). */
    enum err (*check)(const struct endpoint_spec *spec, struct err_info *reterr);

    /* Which way an endpoint of this spec goes. Core thread. */
    enum audio_direction (*direction)(const struct endpoint_spec *spec);

    /* Worker thread; may block. ERR_NOT_FOUND: the file (device) is missing: the stream waits for it. Other errors
     * say why, and the stream is tried again with growing pauses. */
    enum err (*open)(struct audio_driver_state *state, const struct audio_host *host,
                     const struct audio_endpoint *endpoint, struct audio_stream **ret, struct err_info *reterr);

    /* Worker thread; may block: could it be opened now? ERR_OK, or what open would say. Used for the endpoint's
     * status, without side effects. Optional: nullptr means always, or that the watcher is told. */
    enum err (*available)(struct audio_driver_state *state, const struct audio_host *host,
                          const struct audio_endpoint *endpoint, struct err_info *reterr);

    /* ---- drivers that find devices by themselves; all on the core thread, without waiting ---- */

    /* From now on until `destroy` the watcher is told of what there is. */
    void (*watch)(struct audio_driver_state *state, const struct audio_watcher *watcher, void *arg);

    /* Wishes for a device that is there; nullptr leaves a value as it is. What comes of it the watcher is told. */
    void (*set_volume)(struct audio_driver_state *state, const char *system_name, const double *volume,
                       const bool *is_muted);

    /* Keeps a virtual device up from now on, whatever becomes of the sound server, or brings the one of this uid up to
     * date. The spec is copied. */
    void (*expose)(struct audio_driver_state *state, const struct audio_endpoint *endpoint);
    void (*withdraw)(struct audio_driver_state *state, const char *uid);

    /* An endpoint that is open shall move so much at a time from now on. Optional: it stays as it was opened. */
    void (*set_period)(struct audio_driver_state *state, const char *uid, int64_t period_ns);
};

/* Every driver of this build, nullptr-terminated (audio/registry.c). */
extern const struct audio_driver *const audio_drivers[];

/* The driver that makes endpoints of this kind, or nullptr. */
const struct audio_driver *audio_driver_for_kind(int endpoint_kind);
const struct audio_driver *audio_driver_by_name(const char *name);
