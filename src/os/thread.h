/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <pthread.h>
#include <stdbool.h>

/*
 * Threads with what differs by system: a name people see in top, and real-time priority.
 *
 * Life cycle: thread_start → thread_join. Threads: start and join the owner; the rest the thread itself.
 */
struct thread {
    pthread_t id; // Private state
    bool started;
};

/* `name`: at most 15 characters. All signals are blocked in the new thread: they belong to the program's own threads.
 * 0 or an errno. */
int thread_start(struct thread *thread, const char *name, void *(*run)(void *arg), void *arg);
/* Harmless on a thread that was never started. */
void thread_join(struct thread *thread);

/* Asks for real-time scheduling of the calling thread, below that of sound servers; false where the system refuses. */
bool thread_become_realtime(void);
/* Would it be granted? Tried by a thread of its own. */
bool thread_may_become_realtime(void);
/* Processors that this process may use; at least 1. */
unsigned thread_n_processors(void);
