/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/list.h"

struct loop;

/*
 * Brings finished jobs back to the core thread, in order, and calls their callbacks there. However many wait, there is
 * at most one posted job in the loop's queue.
 *
 * Life cycle: create → … → close. The object lives on until the loop has let go of a job posted before the close.
 * Threads: delivery_add() any, the rest on the core.
 * Ownership: takes the jobs it is given.
 */
struct delivery;

/* nullptr: out of memory. */
struct delivery *delivery_create(struct loop *loop);
/* Takes all of `jobs` (struct store_job::link), which is empty afterwards. When the loop's queue is full a worker waits
 * for room (may_wait); the core, which would wait for itself, leaves the delivery to the next call. */
void delivery_add(struct delivery *delivery, struct list *jobs, bool may_wait);
/* Calls now what the loop would call later. */
void delivery_drain(struct delivery *delivery);
/* What was not delivered is dropped, its callbacks are never called. Accepts nullptr. */
void delivery_close(struct delivery *delivery);
