/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "transport/media_inbox.h"
#include "transport/sealed.h"

/*
 * What the port does for its paths.
 *
 * Threads: attach and detach: the one that opens or closes the path; fd and map: any.
 */

/* From now on, what carries its link id goes there. The link has been reserved; it passes to the inbox. */
void media_port_attach(struct media_port *port, struct media_inbox *inbox);
/* Releases the link. When it returns, the port's thread has left the inbox for good: waits for it, some microseconds. */
void media_port_detach(struct media_port *port, struct media_inbox *inbox);

int media_port_fd(const struct media_port *port);
/* Turns an address into one that the port's socket can send to. false: it cannot reach that family. */
bool media_port_map(const struct media_port *port, union path_address *address);
