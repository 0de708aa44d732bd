/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <yyjson.h>

#include "base/buf.h"
#include "cli/text.h"

/*
 * How objects of the API are written for people; shared by the listing commands and `watch`. Pure.
 * Threads: any.
 */

/* "running" is green, "failed" red, … */
enum text_color show_state_color(const char *state);
/* "-18.2 -19.0", "-" where there is no sound */
void show_level(struct buf *out, yyjson_val *level_dbfs);
/* The message of the first condition, or "". */
const char *show_reason(yyjson_val *stream_status);
/* "3 h 05 min", "12 s" */
void show_duration(struct buf *out, double seconds);
