/* SPDX-License-Identifier: MPL-2.0 */
#include "os/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static int close_failed(int fd) {
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int os_listener_open(const struct sockaddr *at, socklen_t len, int backlog) {
    int fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (at->sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    return bind(fd, at, len) || listen(fd, backlog) ? close_failed(fd) : fd;
}

uint16_t os_listener_port(int fd) {
    struct sockaddr_storage at = {};
    socklen_t len = sizeof at;
    if (getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        return 0;
    if (at.ss_family == AF_INET)
        return ntohs(((struct sockaddr_in *)&at)->sin_port);
    return at.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&at)->sin6_port) : 0;
}

/* A thread with a table of descriptors of its own: what it accepts takes none of the others'. ThreadSanitizer knows one
 * table only, and would take the numbers for those of that one: it does not see bare system calls. */
static void *turn_away(void *arg) {
    int fd = *(int *)arg;
    if (unshare(CLONE_FILES) != 0)
        return nullptr;
    if (fd > 0)
        (void)close_range(0, (unsigned)fd - 1, 0);
    (void)close_range((unsigned)fd + 1, ~0u, 0);
    for (;;) {
        long waiting = syscall(SYS_accept4, fd, nullptr, nullptr, SOCK_CLOEXEC);
        if (waiting >= 0)
            syscall(SYS_close, waiting);
        else if (errno != ECONNABORTED && errno != EINTR)
            return nullptr;
    }
}

int os_listener_hold(int fd) {
    struct sock_filter drop = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = {.len = 1, .filter = &drop};
    if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0)
        return -1;
    pthread_t thread;
    int error = pthread_create(&thread, nullptr, turn_away, &fd);
    if (error == 0)
        error = pthread_join(thread, nullptr);
    errno = error;
    return error ? -1 : 0;
}

int os_listener_release(int fd) {
    int unused = 0;
    return setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

bool os_accept_is_short(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

bool os_is_short_of_files(int fd, unsigned reserve) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return false;
    /* The lowest number that is free: all below it are taken. */
    int lowest = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (lowest < 0)
        return errno == EMFILE || errno == ENFILE;
    close(lowest);
    return (rlim_t)lowest + reserve >= limit.rlim_cur;
}
