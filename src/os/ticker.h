/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

/*
 * What a thread sleeps on that has periodic work and can be woken: a timer and a wake-up, in one wait.
 * It keeps no account of time: whoever wakes looks at the clock and finds out what is due.
 *
 * ticker_wake() never waits: also threads of devices may call it.
 *
 * Life cycle: ticker_init → start/stop, wait … → ticker_finish. Threads: ticker_wake() any; the rest the one thread that
 * waits (init and finish while no thread uses it).
 */
struct ticker {
    int epoll_fd, timer_fd, wake_fd; // Private state; -1: not open
};

/* 0 or an errno. */
int ticker_init(struct ticker *ticker);
void ticker_finish(struct ticker *ticker);

/* Wakes at first_ns (CLOCK_MONOTONIC) and every period_ns after it. */
void ticker_start(struct ticker *ticker, int64_t first_ns, int64_t period_ns);
void ticker_stop(struct ticker *ticker);

/* Sleeps until a period is over or somebody woke us; what happened in between counts. May wake for nothing. */
void ticker_wait(struct ticker *ticker);
void ticker_wake(struct ticker *ticker);
