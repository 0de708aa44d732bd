/* SPDX-License-Identifier: MPL-2.0 */
#include "os/ticker.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

/*
 * Both descriptors are watched edge-triggered. A wake never needs to be read; the timer does, since the kernel arms its
 * next period only then.
 */

static int watch(int epoll_fd, int fd) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int ticker_init(struct ticker *ticker) {
    *ticker = (struct ticker){
        .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
        .timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC),
        .wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
    };
    if (ticker->epoll_fd >= 0 && ticker->timer_fd >= 0 && ticker->wake_fd >= 0 &&
        watch(ticker->epoll_fd, ticker->timer_fd) == 0 && watch(ticker->epoll_fd, ticker->wake_fd) == 0)
        return 0;
    int error_number = errno;
    ticker_finish(ticker);
    return error_number ? error_number : EIO;
}

static void close_fd(int *fd) {
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void ticker_finish(struct ticker *ticker) {
    if (!ticker)
        return;
    close_fd(&ticker->wake_fd);
    close_fd(&ticker->timer_fd);
    close_fd(&ticker->epoll_fd);
}

static struct timespec to_timespec(int64_t ns) {
    return (struct timespec){.tv_sec = ns / 1'000'000'000, .tv_nsec = ns % 1'000'000'000};
}

void ticker_start(struct ticker *ticker, int64_t first_ns, int64_t period_ns) {
    struct itimerspec spec = {.it_value = to_timespec(first_ns), .it_interval = to_timespec(period_ns)};
    timerfd_settime(ticker->timer_fd, TFD_TIMER_ABSTIME, &spec, nullptr);
}

void ticker_stop(struct ticker *ticker) {
    struct itimerspec never = {};
    timerfd_settime(ticker->timer_fd, 0, &never, nullptr);
}

void ticker_wait(struct ticker *ticker) {
    struct epoll_event events[2];
    /* an interrupted wait is a wake for nothing, which is allowed */
    (void)epoll_wait(ticker->epoll_fd, events, 2, -1);
    uint64_t n_periods;
    ssize_t got = read(ticker->timer_fd, &n_periods, sizeof n_periods); /* does not block */
    (void)got;
}

void ticker_wake(struct ticker *ticker) {
    /* fails only when 2^64-2 wakes were never read: then the edge has long been there */
    (void)eventfd_write(ticker->wake_fd, 1);
}
