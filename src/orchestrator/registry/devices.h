/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "audio/driver.h"
#include "orchestrator/registry/registry.h"

/*
 * Devices as endpoints: those that drivers find by themselves, and the virtual ones that drivers keep up for us.
 *
 * A found device is listed while it is there; it stays listed, as unavailable, when it has settings of its own or a stream
 * names it. Its uid is made of this peer, the driver and the device's system name, so that it is the same after a restart,
 * an unplugging, and on a machine that has never seen it. Nothing of it is stored before the user sets something.
 *
 * What the user wants of volume and mute is told to the driver when the device appears and when the wish changes; what
 * other programs do to it afterwards is shown (status) and not fought.
 *
 * Life cycle: devices_start (when the store has been read) → … → devices_stop. Threads: core.
 */
void devices_start(struct registry *registry);
/* Nothing is heard any more of what drivers tell. */
void devices_stop(struct registry *registry);

/* The spec of one whose driver tells of it (KINDS_TOLD_OF) is new: tells the driver, and says what is known of the device.
 * `before`: the spec that it had; zeroed: none. */
void devices_changed(struct registry *registry, struct endpoint_entry *entry, const struct endpoint_spec *before);
/* It is being dropped. */
void devices_dropped(struct registry *registry, struct endpoint_entry *entry);
/* A stream or a use has gone: absent devices that nothing holds on to any more are dropped. */
void devices_sweep(struct registry *registry);

/* The record is gone and the device may be there: as it was found. false: it is not there. */
bool devices_reset(struct registry *registry, struct endpoint_entry *entry);

/* Checks of a write. `ret_uid`: of a device without uid so far. */
enum err devices_check(const struct registry *registry, const char *uid, const struct endpoint_entry *present,
                       const struct endpoint_spec *spec, char ret_uid[static UID_SIZE], struct err_info *reterr);
enum err devices_check_removal(const struct endpoint_entry *entry, struct err_info *reterr);
