/* SPDX-License-Identifier: MPL-2.0 */
#include "os/poller.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

int poller_init(struct poller *poller) {
    poller->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return poller->epoll_fd >= 0 ? 0 : errno;
}

void poller_finish(struct poller *poller) {
    if (!poller || poller->epoll_fd < 0)
        return;
    close(poller->epoll_fd);
    poller->epoll_fd = -1;
}

int poller_add(struct poller *poller, int fd, void *arg) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = arg};
    return epoll_ctl(poller->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : errno;
}

void poller_remove(struct poller *poller, int fd) {
    epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, fd, nullptr);
}

size_t poller_ask(struct poller *poller, void **ready, size_t max) {
    struct epoll_event events[64];
    if (max > sizeof events / sizeof *events)
        max = sizeof events / sizeof *events;
    int n = epoll_wait(poller->epoll_fd, events, (int)max, 0);
    for (int i = 0; i < n; i++)
        ready[i] = events[i].data.ptr;
    return n > 0 ? (size_t)n : 0;
}
