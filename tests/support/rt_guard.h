/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

/*
 * Ends the process, and says who did it, when real-time code allocates, locks, waits, logs, opens or closes. Only for test
 * programs that are linked with dep_rt_guard: their calls of such functions are sent here by the linker (--wrap), those
 * that a shared library makes are not. So our own code is policed, and libroc, which locks and may allocate when packets
 * are lost, is not: media threads may enter it.
 *
 * Non-blocking input and output is allowed: sendmmsg, recvmmsg, reading and setting timers, epoll_wait that does not wait.
 *
 * Every media_thread_run() that another file calls is a real-time section; a test may mark more.
 *
 * Threads: any; a section belongs to the thread that is in it.
 */
void rt_guard_enter(void);
void rt_guard_leave(void);
