/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "orchestrator/registry/registry.h"

/*
 * How the endpoints fare: are they there, can they be used, and if not, why. What takes time (is the file there?) is asked
 * on a worker: at start, after each change, every two seconds while the answer is no, and now and then for the idle ones.
 *
 * Threads: core.
 */
constexpr int64_t ENDPOINTS_PROBE_NS = 2'000'000'000;

void endpoints_init(struct registry *registry);
void endpoints_start(struct registry *registry);
void endpoints_stop(struct registry *registry);

enum stream_direction endpoints_direction(enum audio_direction direction);

/* The spec is new: forgets what was known and asks again. `before`: the one that it had; zeroed: none. */
void endpoints_changed(struct registry *registry, struct endpoint_entry *entry, const struct endpoint_spec *before);

/* What its user, the media engine, has found out. */
void endpoints_opened(struct registry *registry, struct endpoint_entry *entry, struct audio_format format);
void endpoints_failed(struct registry *registry, struct endpoint_entry *entry, const struct err_info *reason);
void endpoints_released(struct endpoint_entry *entry);
/* The driver has told something of it, which is in the entry. true: its state or reason is another, and that was announced. */
bool endpoints_told(struct registry *registry, struct endpoint_entry *entry);

/* Its state is "error" because of the last use only: using it again may mend it. */
bool endpoints_may_retry(const struct endpoint_entry *entry);
