/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "model_gen.h"

/*
 * The drivers that need no hardware, and what they have in common. For registry.c and builtin/ alone.
 */
extern const struct audio_driver audio_driver_file;
extern const struct audio_driver audio_driver_tone;
extern const struct audio_driver audio_driver_null;

/* Refuses the members of other kinds: "tone" on an endpoint of kind file. */
enum err builtin_check_members(const struct endpoint_spec *spec, struct err_info *reterr);

/* The spec's own rate and channel count, for endpoints that have no other. */
struct audio_format builtin_format(const struct endpoint_spec *spec);
