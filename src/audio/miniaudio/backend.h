/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "audio/miniaudio/found.h"
#include "audio/miniaudio/miniaudio_lib.h"

/*
 * The ways of sound that miniaudio knows and rocd uses: a row of a table for each system, with what is special to it, that is
 * how devices are named and which of those it lists are devices.
 *
 * The system_name of a device is its direction and its name in that system ("output:hw:CARD=PCH,DEV=0"), because one name may
 * stand for a loudspeaker and a microphone. The system's choice is "default.output" or "default.input".
 *
 * Life cycle of a context: backend_open() → listing, devices of miniaudio → backend_close().
 * Threads: rows are constant. A context is used by one thread at a time, a worker: all of this takes its time. Once `is_live`,
 * the thread of its device complains to `on_trouble`.
 */
struct backend {
    ma_backend id;
    const char *title;                   /* "ALSA" */
    const char *what_to_do;              /* where it cannot be reached: a sentence */
    const char *const *skip;             /* names that are listed and are no devices; nullptr-terminated */
    bool (*is_device)(const char *name); /* and the others? Optional. */
    void (*name)(const ma_device_id *id, char *ret, size_t size); /* empty: none that can be written */
    bool (*parse)(const char *name, ma_device_id *ret);
    const char *noise; /* what the system adds to names for people, and they need not read; or nullptr */
    void (*hush)(ma_context *context); /* keeps its library from writing to stderr, on the calling thread. Optional. */
};

/* This system's, and miniaudio's device that is none, which a timer paces, for tests. */
extern const struct backend backend_native;
extern const struct backend backend_null;

struct backend_context {
    const struct backend *backend;
    ma_context context;
    ma_log log;
    char said[256]; /* what miniaudio complained of last */
    _Atomic bool is_live;
    void (*on_trouble)(void *arg, const char *message);
    void *arg;
};

/* ERR_UNAVAILABLE: the system's sound cannot be reached. */
enum err backend_open(const struct backend *backend, struct backend_context **ret, struct err_info *reterr);
/* Accepts nullptr. All its devices are closed. */
void backend_close(struct backend_context *context);
void backend_hush(struct backend_context *context);

/* Looks at all devices. A device whose format `known` tells is not asked for it: it would have to be opened. */
enum err backend_list(struct backend_context *context, const struct found *known, struct found *ret,
                      struct err_info *reterr);

/* The device that a system_name means; *ret_is_default: the system's choice, which has no id. False: it means none. */
bool backend_parse(const struct backend *backend, const char *system_name, enum audio_direction *ret_direction,
                   bool *ret_is_default, ma_device_id *ret_id);
/* A device that is opened with a rate or a number of channels that it cannot do has the nearest that it can; nothing is
 * resampled by the system. `id` is nullptr for the system's choice. */
ma_device_config backend_config(enum audio_direction direction, ma_device_id *id, struct audio_format format);
/* Opened, not started. *ret_format: what it really does; miniaudio converts to it from what was asked for. */
enum err backend_open_device(struct backend_context *context, const ma_device_config *config, const char *system_name,
                             ma_device *ret, struct audio_format *ret_format, struct err_info *reterr);
/* What miniaudio's result means for that device. */
enum err backend_error(const struct backend_context *context, ma_result result, const char *system_name,
                       struct err_info *reterr);
