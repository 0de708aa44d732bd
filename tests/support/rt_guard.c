/* SPDX-License-Identifier: MPL-2.0 */
#include "support/rt_guard.h"

#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "media/media_thread.h"

static thread_local int depth;

void rt_guard_enter(void) {
    depth++;
}

void rt_guard_leave(void) {
    depth--;
}

/* Those that report must not be policed. */
ssize_t __real_write(int fd, const void *data, size_t size);

static void police(const char *function) {
    if (depth == 0)
        return;
    depth = 0;
    char text[128];
    void *frames[32];
    int n = snprintf(text, sizeof text, "rt_guard: %s() in real-time code, called from:\n", function);
    (void)!__real_write(STDERR_FILENO, text, (size_t)n);
    backtrace_symbols_fd(frames, backtrace(frames, sizeof frames / sizeof *frames), STDERR_FILENO);
    abort();
}

/* The names must be those in rt_guard's list in src/media/meson.build. */
#define POLICED(type, name, parameters, arguments) \
    type __real_##name parameters; \
    type __wrap_##name parameters; \
    type __wrap_##name parameters { \
        police(#name); \
        return __real_##name arguments; \
    }

POLICED(void *, malloc, (size_t size), (size))
POLICED(void *, calloc, (size_t n, size_t size), (n, size))
POLICED(void *, realloc, (void *memory, size_t size), (memory, size))
POLICED(void *, aligned_alloc, (size_t alignment, size_t size), (alignment, size))
POLICED(int, posix_memalign, (void **ret, size_t alignment, size_t size), (ret, alignment, size))
POLICED(void, free, (void *memory), (memory))
POLICED(char *, strdup, (const char *text), (text))

POLICED(int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
POLICED(int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
POLICED(int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
POLICED(int, sem_wait, (sem_t * semaphore), (semaphore))
POLICED(int, pthread_cond_wait, (pthread_cond_t * cond, pthread_mutex_t *mutex), (cond, mutex))
POLICED(int, pthread_join, (pthread_t thread, void **ret), (thread, ret))
POLICED(int, nanosleep, (const struct timespec *time, struct timespec *rest), (time, rest))
POLICED(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, struct timespec *rest),
        (clock, flags, time, rest))
POLICED(int, usleep, (useconds_t us), (us))
POLICED(int, poll, (struct pollfd * fds, nfds_t n, int timeout_ms), (fds, n, timeout_ms))

POLICED(FILE *, fopen64, (const char *path, const char *mode), (path, mode))
POLICED(int, close, (int fd), (fd))
POLICED(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
POLICED(size_t, fwrite, (const void *data, size_t size, size_t n, FILE *file), (data, size, n, file))
POLICED(int, fflush, (FILE * file), (file))
POLICED(int, fsync, (int fd), (fd))

POLICED(void, log_emit,
        (struct log log, enum log_level level, const char *message, const struct log_field *fields, size_t n),
        (log, level, message, fields, n))

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) {
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
    va_end(args);
    police("open");
    return __real_open64(path, flags, mode);
}

int __real_epoll_wait(int set, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int max, int timeout_ms);
int __wrap_epoll_wait(int set, struct epoll_event *events, int max, int timeout_ms) {
    if (timeout_ms != 0)
        police("epoll_wait that waits");
    return __real_epoll_wait(set, events, max, timeout_ms);
}

void __real_media_thread_run(struct media_thread *thread, int64_t now_ns);
void __wrap_media_thread_run(struct media_thread *thread, int64_t now_ns);
void __wrap_media_thread_run(struct media_thread *thread, int64_t now_ns) {
    rt_guard_enter();
    __real_media_thread_run(thread, now_ns);
    rt_guard_leave();
}
