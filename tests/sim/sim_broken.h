/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

/*
 * A reconciler that is broken on purpose, so that it is known that the simulator would notice: plan() is replaced at link
 * time by one that asks the real one and then, if a way of breaking is set, leaves something out.
 */
void sim_broken_set(const char *name); /* nullptr: as it should be */
