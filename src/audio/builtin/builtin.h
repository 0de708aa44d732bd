/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"

/*
 * The drivers that need no hardware. For registry.c and builtin/ alone.
 */
extern const struct audio_driver audio_driver_bus;
extern const struct audio_driver audio_driver_file;
extern const struct audio_driver audio_driver_tone;
extern const struct audio_driver audio_driver_null;
