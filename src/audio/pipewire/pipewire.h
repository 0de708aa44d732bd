/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"

/*
 * The driver of desktops: loudspeakers and microphones of a PipeWire server, the endpoints that follow the system's choice,
 * and virtual devices that every program of the desktop sees. For audio/registry.c and tests alone.
 */
extern const struct audio_driver audio_driver_pipewire;
