/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "os/notify.h"
#include "os/peercred.h"
#include "os/poller.h"
#include "os/process.h"
#include "os/thread.h"
#include "os/udp.h"

/* ---- the service manager ---- */

/* Plays the service manager at `path`; an '@' stands for the abstract name space. */
static int listen_at(const char *path) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    size_t n = strlen(path);
    memcpy(at.sun_path, path, n);
    if (path[0] == '@')
        at.sun_path[0] = 0;
    assert_int_equal(bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", path, 1), 0);
    return fd;
}

static void readiness_is_told_where_somebody_listens(void **) {
    char dir[] = "/tmp/rocd-notify-XXXXXX";
    assert_non_null(mkdtemp(dir));
    for (int abstract = 0; abstract < 2; abstract++) {
        char path[64];
        char got[64];
        if (abstract)
            snprintf(path, sizeof path, "@rocd-notify-test-%d", (int)getpid());
        else
            snprintf(path, sizeof path, "%s/s", dir);
        int fd = listen_at(path);
        notify_service_manager("READY=1");
        notify_service_manager("STOPPING=1\nSTATUS=x");
        assert_int_equal(recv(fd, got, sizeof got, 0), 7);
        assert_memory_equal(got, "READY=1", 7);
        assert_int_equal(recv(fd, got, sizeof got, 0), 19);
        assert_memory_equal(got, "STOPPING=1\nSTATUS=x", 19);
        close(fd);
        notify_service_manager("READY=1"); /* nobody is there any more: no harm */
        if (!abstract)
            unlink(path);
    }
    rmdir(dir);
}

static void odd_names_of_the_service_manager_do_no_harm(void **) {
    char name[300];
    memset(name, 'a', sizeof name);
    name[0] = '/';
    name[sizeof name - 1] = 0;
    const char *const odd[] = {"", "relative", "/nowhere/at/all", "@", "/", name, "vsock:2:1234"};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        setenv("NOTIFY_SOCKET", odd[i], 1);
        notify_service_manager("READY=1");
    }
    unsetenv("NOTIFY_SOCKET");
    notify_service_manager("READY=1");
    struct os_process before, after;
    assert_true(os_process_read(&before));
    setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1);
    notify_service_manager("READY=1");
    assert_true(os_process_read(&after));
    assert_int_equal(before.n_fds, after.n_fds);
    unsetenv("NOTIFY_SOCKET");
}

/* ---- who is there, and what we take ---- */

static void the_kernel_says_who_is_at_the_other_end(void **) {
    int pair[2];
    uid_t uid = (uid_t)-2;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_true(peercred_uid(pair[0], &uid));
    assert_int_equal(uid, getuid());
    close(pair[1]);
    close(pair[0]);
    uid = 4711;
    assert_false(peercred_uid(-1, &uid));
    int fd = open("/dev/null", O_RDONLY);
    assert_false(peercred_uid(fd, &uid));
    close(fd);
    assert_int_equal(uid, 4711);
}

static void *wait_for_it(void *arg) {
    uint64_t n;
    assert_int_equal(read(*(int *)arg, &n, sizeof n), sizeof n);
    return nullptr;
}

static void the_process_knows_its_size(void **) {
    struct os_process before, after;
    assert_true(os_process_read(&before));
    assert_true(before.resident_bytes > 100'000 && before.resident_bytes <= before.virtual_bytes);
    assert_true(before.n_threads >= 1);
    assert_true(before.cpu_s >= 0);
    assert_true(before.max_fds >= before.n_fds);
    int fd = eventfd(0, 0);
    struct thread thread = {};
    assert_int_equal(thread_start(&thread, "waits", wait_for_it, &fd), 0);
    assert_true(os_process_read(&after));
    assert_int_equal(after.n_fds, before.n_fds + 1);
    assert_true(after.n_threads > before.n_threads); /* a sanitizer may start one of its own */
    assert_true(after.cpu_s >= before.cpu_s);
    assert_int_equal(write(fd, &(uint64_t){1}, 8), 8);
    thread_join(&thread);
    close(fd);
}

/* ---- threads ---- */

struct seen {
    char name[16];
    sigset_t blocked;
};

static void *look_around(void *arg) {
    struct seen *seen = arg;
    pthread_getname_np(pthread_self(), seen->name, sizeof seen->name);
    pthread_sigmask(SIG_BLOCK, nullptr, &seen->blocked);
    return nullptr;
}

static void threads_take_no_signals(void **) {
    struct thread thread = {};
    struct seen seen = {};
    sigset_t before, after;
    thread_join(&thread); /* never started */
    pthread_sigmask(SIG_BLOCK, nullptr, &before);
    assert_int_equal(thread_start(&thread, "x", look_around, &seen), 0);
    thread_join(&thread);
    thread_join(&thread);
    static const int SIGNALS[] = {SIGTERM, SIGINT, SIGHUP, SIGCHLD, SIGUSR1, SIGPIPE};
    for (size_t i = 0; i < sizeof SIGNALS / sizeof *SIGNALS; i++)
        assert_int_equal(sigismember(&seen.blocked, SIGNALS[i]), 1);
    pthread_sigmask(SIG_BLOCK, nullptr, &after); /* ours are as they were */
    for (int s = 1; s < 32; s++)
        assert_int_equal(sigismember(&before, s), sigismember(&after, s));
    assert_true(thread_n_processors() >= 1);
    assert_true(thread_n_processors() <= (unsigned)sysconf(_SC_NPROCESSORS_CONF));
}

/* ---- many descriptors ---- */

static void the_poller_tells_who_has_something(void **) {
    struct poller poller;
    int fds[100];
    void *ready[100];
    assert_int_equal(poller_init(&poller), 0);
    for (size_t i = 0; i < 100; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK);
        assert_int_equal(poller_add(&poller, fds[i], &fds[i]), 0);
    }
    assert_int_equal(poller_add(&poller, fds[0], nullptr), EEXIST);
    assert_int_equal(poller_add(&poller, -1, nullptr), EBADF);
    assert_int_equal(poller_ask(&poller, ready, 100), 0);
    assert_int_equal(write(fds[7], &(uint64_t){1}, 8), 8);
    assert_int_equal(poller_ask(&poller, ready, 100), 1);
    assert_ptr_equal(ready[0], &fds[7]);
    assert_int_equal(poller_ask(&poller, ready, 100), 1); /* until it is read empty */
    uint64_t n;
    assert_int_equal(read(fds[7], &n, sizeof n), sizeof n);
    assert_int_equal(poller_ask(&poller, ready, 100), 0);
    /* with more ready than asked for, all have their turn */
    bool seen[100] = {};
    size_t n_seen = 0;
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(write(fds[i], &(uint64_t){1}, 8), 8);
    for (int round = 0; round < 1000 && n_seen < 100; round++) {
        size_t got = poller_ask(&poller, ready, 7);
        assert_in_range(got, 1, 7);
        for (size_t i = 0; i < got; i++) {
            size_t at = (size_t)((int *)ready[i] - fds);
            n_seen += !seen[at];
            seen[at] = true;
        }
    }
    assert_int_equal(n_seen, 100);
    poller_remove(&poller, fds[0]);
    poller_remove(&poller, fds[0]);
    for (size_t i = 0; i < 100; i++)
        close(fds[i]);
    poller_finish(&poller);
    poller_finish(&poller);
    poller_finish(nullptr);
}

/* ---- UDP ---- */

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1'000'000'000LL + t.tv_nsec;
}

/* A socket at any port of loopback, and its address. */
static int bound(struct sockaddr_in *ret) {
    int fd = os_udp_open(AF_INET, 1 << 16);
    assert_true(fd >= 0);
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof *ret;
    assert_int_equal(bind(fd, (struct sockaddr *)ret, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &len), 0);
    return fd;
}

static void wait_readable(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 30'000), 1);
}

static void datagrams_travel_in_batches(void **) {
    struct sockaddr_in a_at, b_at;
    int a = bound(&a_at), b = bound(&b_at);
    assert_int_equal(fcntl(a, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(a, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
    char texts[40][8];
    struct os_datagram out[40];
    for (size_t i = 0; i < 40; i++) {
        snprintf(texts[i], sizeof texts[i], "%zu", i);
        out[i] = (struct os_datagram){
            .data = texts[i], .size = strlen(texts[i]), .addr = (struct sockaddr *)&b_at, .addr_len = sizeof b_at};
    }
    struct os_datagram in[40];
    char room[40][4];
    struct sockaddr_in6 from[40];
    for (size_t i = 0; i < 40; i++)
        in[i] = (struct os_datagram){
            .data = room[i], .size = sizeof room[i], .addr = (struct sockaddr *)&from[i], .addr_len = sizeof from[i]};
    assert_int_equal(os_udp_receive(b, in, 40), 0);
    int64_t before = now_ns();
    assert_int_equal(os_udp_send(a, out, 40), OS_UDP_BATCH); /* one batch at a time */
    size_t n = 0;
    while (n < OS_UDP_BATCH) {
        wait_readable(b);
        n += os_udp_receive(b, in + n, OS_UDP_BATCH - n);
    }
    int64_t after = now_ns();
    for (size_t i = 0; i < OS_UDP_BATCH; i++) {
        assert_int_equal(in[i].len, strlen(texts[i]));
        assert_memory_equal(room[i], texts[i], in[i].len);
        assert_false(in[i].truncated);
        /* the wall clock, in which the kernel stamps, may be set meanwhile: then the time of reading stands */
        assert_in_range(in[i].received_ns, before - 5'000'000'000, after);
        assert_int_equal(in[i].addr_len, sizeof(struct sockaddr_in));
        assert_int_equal(((struct sockaddr_in *)&from[i])->sin_port, a_at.sin_port);
    }
    assert_int_equal(os_udp_receive(b, in, 40), 0);
    close(a);
    close(b);
}

static void what_is_too_long_is_told(void **) {
    struct sockaddr_in a_at, b_at;
    int a = bound(&a_at), b = bound(&b_at);
    char text[] = "0123456789";
    char room[12] = "............";
    struct os_datagram out[] = {
        {.data = text, .size = 10, .addr = (struct sockaddr *)&b_at, .addr_len = sizeof b_at},
        {.data = text,
         .size = 0,
         .addr = (struct sockaddr *)&b_at,
         .addr_len = sizeof b_at}, /* empty is a datagram, too */
        {.data = text, .size = 4, .addr = (struct sockaddr *)&b_at, .addr_len = sizeof b_at},
    };
    assert_int_equal(os_udp_send(a, out, 3), 3);
    struct os_datagram in = {.data = room, .size = 4};
    for (int i = 0; i < 3; i++) {
        wait_readable(b);
        assert_int_equal(os_udp_receive(b, &in, 1), 1);
        assert_int_equal(in.truncated, i == 0);
        assert_int_equal(in.len, i == 1 ? 0 : 4);
        assert_memory_equal(room, "0123....", 8);
    }
    close(a);
    close(b);
}

static void sending_tells_how_far_it_came(void **) {
    struct sockaddr_in a_at;
    int a = bound(&a_at);
    static char large[70'000];
    struct os_datagram out[] = {
        {.data = large, .size = 10, .addr = (struct sockaddr *)&a_at, .addr_len = sizeof a_at},
        {.data = large, .size = sizeof large, .addr = (struct sockaddr *)&a_at, .addr_len = sizeof a_at},
        {.data = large, .size = 10, .addr = (struct sockaddr *)&a_at, .addr_len = sizeof a_at},
    };
    assert_int_equal(os_udp_send(a, out, 3), 1);
    errno = 0;
    assert_int_equal(os_udp_send(a, out + 1, 1), 0);
    assert_int_equal(errno, EMSGSIZE);
    assert_int_equal(os_udp_send(a, out, 0), 0);
    close(a);
    errno = 0;
    assert_int_equal(os_udp_send(-1, out, 1), 0);
    assert_int_equal(errno, EBADF);
    assert_int_equal(os_udp_receive(-1, out, 1), 0);
    assert_int_equal(os_udp_open(12345, 0), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readiness_is_told_where_somebody_listens),
        cmocka_unit_test(odd_names_of_the_service_manager_do_no_harm),
        cmocka_unit_test(the_kernel_says_who_is_at_the_other_end),
        cmocka_unit_test(the_process_knows_its_size),
        cmocka_unit_test(threads_take_no_signals),
        cmocka_unit_test(the_poller_tells_who_has_something),
        cmocka_unit_test(datagrams_travel_in_batches),
        cmocka_unit_test(what_is_too_long_is_told),
        cmocka_unit_test(sending_tells_how_far_it_came),
    };
    return cmocka_run_group_tests_name("os", tests, nullptr, nullptr);
}
