/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "model_gen.h"

/*
 * The drivers this peer uses, with their states: those of the build that the configuration enables.
 *
 * Life cycle: drivers_init → … → drivers_finish (after all their streams are closed).
 * Threads: core; what a driver's functions say.
 */
constexpr size_t DRIVERS_MAX = 16;

struct drivers {
    const struct audio_host *host; /* borrowed; nullptr: no sound, only writes and reads */
    size_t n;
    struct drivers_entry {
        const struct audio_driver *driver;
        struct audio_driver_state *state; /* owned through driver->destroy */
        struct err_info failure;          /* ERR_OK: works */
    } all[DRIVERS_MAX];
};

/* `names`: nullptr-terminated; nullptr: all. A name that is not of this build is ERR_INVALID. */
enum err drivers_init(struct drivers *drivers, const struct audio_host *host, const char *const *names,
                      struct err_info *reterr);
void drivers_finish(struct drivers *drivers);

/* nullptr: none that is enabled. A device names its driver, for there may be several. */
struct drivers_entry *drivers_for(struct drivers *drivers, const struct endpoint_spec *spec);

/* What the API says of it. false: past the end. */
bool drivers_show(const struct drivers *drivers, size_t index, struct driver *ret);
