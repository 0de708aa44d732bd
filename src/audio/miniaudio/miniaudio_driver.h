/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"

/*
 * Loudspeakers and microphones where no PipeWire runs, by miniaudio: ALSA here; Core Audio, WASAPI and AAudio are rows of
 * the table in backend.c. They have no volume: this driver does not touch the mixers of cards.
 */
extern const struct audio_driver audio_driver_alsa;
