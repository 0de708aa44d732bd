/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

/*
 * Tells the service manager how things stand ("READY=1", "STOPPING=1"), in systemd's protocol: a datagram to the unix
 * socket named by $NOTIFY_SOCKET. Does nothing where there is none.
 * Threads: any.
 */
void notify_service_manager(const char *state);
