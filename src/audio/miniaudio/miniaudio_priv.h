/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/device_ring.h"
#include "audio/miniaudio/backend.h"

/*
 * What the files of this folder share:
 *   miniaudio_driver.c  the driver: its life, what it checks, the watch for devices
 *   miniaudio_stream.c  an endpoint in use
 *   backend.c           the systems below, their names of devices and formats
 *   found.c             which devices are new, changed, gone
 *   miniaudio_lib.c     miniaudio itself
 */

/* As the vtable says, with another backend: for tests. */
enum err miniaudio_create(const struct audio_host *host, const struct backend *backend, struct audio_driver_state **ret,
                          struct err_info *reterr);

/* An endpoint in use. Frames go through a ring between the thread of the device and the media thread. */
struct miniaudio_stream {
    struct audio_stream stream; /* first member */
    struct device_ring ring;
    struct device_end end;
    struct backend_context *context; /* its own, so that whatever miniaudio says there is about this device */
    ma_device device;
    bool has_device;
    bool wants_realtime;
    char system_name[FOUND_SYSTEM_NAME_SIZE];
    uint32_t period_frames; /* what the device moves at once */
    uint32_t device_frames; /* what it holds in all */

    /* The media thread's: what does the device move at once, and is it running away? */
    uint32_t most_frames;
    int64_t pace_ns; /* 0: not yet measured */
    uint64_t pace_frames;

    /* The thread of the device's. */
    uint64_t warned_at; /* callbacks, at the last complaint */
    unsigned n_warnings;

    _Atomic bool is_closing;
    _Atomic int loss; /* enum miniaudio_loss */
};

enum miniaudio_loss { LOSS_NONE, LOSS_STOPPED, LOSS_TROUBLE, LOSS_RUNAWAY };

/* Worker thread. */
enum err miniaudio_stream_open(const struct backend *backend, const struct audio_host *host,
                               const struct audio_endpoint *endpoint, struct audio_stream **ret,
                               struct err_info *reterr);
