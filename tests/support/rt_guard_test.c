/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "base/ring.h"
#include "os/ticker.h"
#include "support/rt_guard.h"

/* The guard bites: each kind of sin, in a process of its own. */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static struct ring ring;
static struct ticker ticker;
static void *volatile memory;
static int set = -1;

static void allocate(void) {
    memory = malloc(10);
}

static void allocate_zeros(void) {
    memory = calloc(1, 10);
}

static void set_free(void) {
    free(memory);
}

static void allocate_within_our_code(void) {
    struct ring other;
    (void)!ring_init(&other, 1, 10);
}

static void lock(void) {
    pthread_mutex_lock(&mutex);
}

static void allocate_aligned(void) {
    void *aligned = nullptr;
    (void)!posix_memalign(&aligned, 64, 64);
    memory = aligned;
}

static void lock_to_read(void) {
    pthread_rwlock_rdlock(&rwlock);
}

static void lock_to_write(void) {
    pthread_rwlock_wrlock(&rwlock);
}

static void wait_for_a_semaphore(void) {
    sem_t semaphore;
    sem_init(&semaphore, 0, 1);
    sem_wait(&semaphore);
}

static void sleep_until(void) {
    clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1}, nullptr);
}

static void sleep_for_a_microsecond(void) {
    usleep(1);
}

static void open_something(void) {
    (void)!open("/dev/null", O_RDONLY);
}

static void sleep_a_little(void) {
    nanosleep(&(struct timespec){.tv_nsec = 1}, nullptr);
}

static void wait_for_nothing(void) {
    poll(nullptr, 0, 1);
}

static void wait_for_events(void) {
    struct epoll_event event;
    epoll_wait(set, &event, 1, 1);
}

static void close_something(void) {
    close(-1);
}

static void write_something(void) {
    (void)!write(-1, "", 1);
}

static void log_something(void) {
    log_info((struct log){}, "something");
}

static void ask_for_events(void) {
    struct epoll_event event;
    epoll_wait(set, &event, 1, 0);
}

static void use_a_ring(void) {
    char byte = 1;
    ring_write(&ring, &byte, 1);
    ring_read(&ring, &byte, 1);
}

static void wake_a_thread(void) {
    ticker_wake(&ticker);
}

/* Runs it as real-time code; what the process said, and how it ended. */
static int end_of(void (*act)(void), char *said, size_t size) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        rt_guard_enter();
        act();
        rt_guard_leave();
        _exit(7);
    }
    close(ends[1]);
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(ends[0], said + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    said[n] = 0;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void what_real_time_code_may_not_do_ends_the_process(void **) {
    static const struct {
        void (*act)(void);
        const char *name;
    } sins[] = {
        {allocate, "malloc()"},
        {allocate_zeros, "calloc()"},
        {set_free, "free()"},
        {allocate_within_our_code, "alloc()"},
        {lock, "pthread_mutex_lock()"},
        {sleep_a_little, "nanosleep()"},
        {wait_for_nothing, "poll()"},
        {wait_for_events, "epoll_wait that waits()"},
        {close_something, "close()"},
        {write_something, "write()"},
        {log_something, "log_emit()"},
        {allocate_aligned, "posix_memalign()"},
        {lock_to_read, "pthread_rwlock_rdlock()"},
        {lock_to_write, "pthread_rwlock_wrlock()"},
        {wait_for_a_semaphore, "sem_wait()"},
        {sleep_until, "clock_nanosleep()"},
        {sleep_for_a_microsecond, "usleep()"},
        {open_something, "open()"},
    };
    for (size_t i = 0; i < sizeof sins / sizeof sins[0]; i++) {
        static char said[4096];
        int status = end_of(sins[i].act, said, sizeof said);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT || !strstr(said, sins[i].name) ||
            !strstr(said, "in real-time code"))
            fail_msg("%s was not noticed: status %d, %s", sins[i].name, status, said);
    }
}

static void what_it_may_do_does_not(void **) {
    static char said[4096];
    assert_int_equal(WEXITSTATUS(end_of(use_a_ring, said, sizeof said)), 7);
    assert_int_equal(WEXITSTATUS(end_of(ask_for_events, said, sizeof said)), 7);
    assert_int_equal(WEXITSTATUS(end_of(wake_a_thread, said, sizeof said)), 7);
    assert_string_equal(said, "");
}

static void outside_all_is_allowed(void **) {
    rt_guard_enter();
    rt_guard_leave();
    allocate();
    set_free();
    lock();
    pthread_mutex_unlock(&mutex);
    log_something();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_real_time_code_may_not_do_ends_the_process),
        cmocka_unit_test(what_it_may_do_does_not),
        cmocka_unit_test(outside_all_is_allowed),
    };
    set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0 || !ring_init(&ring, 1, 16) || ticker_init(&ticker) != 0)
        return 99;
    return cmocka_run_group_tests_name("rt-guard", tests, nullptr, nullptr);
}
