/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "os/poller.h"
#include "transport/path.h"

/*
 * Lets a media thread's poller tell a path where packets wait, so that a tick costs no system call for a socket that has
 * nothing. A path without descriptors, or without a place in the poller, is asked in every tick instead.
 *
 * Threads: the media thread that owns the path; unwatch before the path is closed.
 */
void path_watch(struct path *path, struct poller *poller);
void path_unwatch(struct path *path, struct poller *poller);
