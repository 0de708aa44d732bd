/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>

/*
 * A set of descriptors that can be asked, in one system call and without waiting, which of them have something to read.
 * A descriptor stays ready until it has been read empty.
 *
 * Life cycle: poller_init → add/remove/ask → poller_finish. Threads: one owner.
 */
struct poller {
    int epoll_fd; // Private state
};

/* 0 or an errno. */
int poller_init(struct poller *poller);
void poller_finish(struct poller *poller);
/* 0 or an errno. */
int poller_add(struct poller *poller, int fd, void *arg);
void poller_remove(struct poller *poller, int fd);
/* Up to max of the `arg`s whose descriptors are ready. Those left out come first the next time. */
size_t poller_ask(struct poller *poller, void **ready, size_t max);
