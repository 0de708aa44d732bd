/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>
#include <sys/socket.h>

/*
 * TCP sockets that are listened on by us or by a library, and the file descriptors that run out. Who accepts in a loop
 * that is told of every waiting connection spins when accept() has no descriptor to give: then nobody may wait. A held
 * listener lets nobody in and has nobody waiting; who dials meanwhile tries again by TCP's own doing, and comes through
 * once it is released. Linux: a socket filter.
 *
 * Functions return -1 and leave the reason in errno, as libc does.
 * Threads: any; a listener is held and released by one thread at a time, whoever accepts.
 */

/* Bound and listening, non-blocking, close-on-exec. IPv6 sockets take IPv4 too, in mapped addresses. */
int os_listener_open(const struct sockaddr *at, socklen_t len, int backlog);
/* The port it has, which the system may have chosen; 0: it is none of TCP. */
uint16_t os_listener_port(int fd);
/* Who waits already is turned away, which needs no free descriptor. */
int os_listener_hold(int fd);
int os_listener_release(int fd);

/* Did accept() fail for want of a descriptor, or of memory for one? Who waits is still there then. */
bool os_accept_is_short(int error);
/* Are at most `reserve` descriptors left to this process? `fd`: any that is open. */
bool os_is_short_of_files(int fd, unsigned reserve);
