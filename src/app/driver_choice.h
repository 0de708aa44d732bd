/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct audio_driver;

/*
 * Which audio drivers an instance uses, by `audio.driver`: a list of names with commas between them, among which `auto`
 * stands for what suits the system, or `none`.
 *
 * Threads: any; driver_choice_has_pipewire() asks the file system.
 */
constexpr size_t DRIVER_CHOICE_MAX = 16;

/* Is there a socket of PipeWire where its clients look for it? */
bool driver_choice_has_pipewire(void);

/* Names from `all`, in its order, nullptr-terminated; they are those of the drivers.
 * ERR_INVALID: there is no such driver; the message names those there are. */
enum err driver_choice(const char *wanted, const struct audio_driver *const *all, bool has_pipewire,
                       const char *ret[static DRIVER_CHOICE_MAX + 1], struct err_info *reterr);
