/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "os/udp.h"
#include "transport/path.h"

/*
 * What the paths over UDP share: sending to a socket that may be full.
 *
 * Threads: the one that sends on the path; a socket may be used by several paths, each on its own thread.
 */

/* Sends them in order and counts what went out and what had to be dropped. n <= OS_UDP_BATCH. */
void path_send_batch(struct path *path, int fd, const struct os_datagram *datagrams, size_t n);
