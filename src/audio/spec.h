/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "model_gen.h"

/*
 * What all drivers ask of an endpoint's spec.
 *
 * Threads: any.
 */

/* Refuses the members of other kinds: "tone" on an endpoint of kind file, a volume on what has none, a delay on a source. */
enum err audio_spec_check_members(const struct endpoint_spec *spec, struct err_info *reterr);

/* The spec's own rate and channel count, for endpoints that have no other. */
struct audio_format audio_spec_format(const struct endpoint_spec *spec);
