/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "os/listener.h"

/* Over loopback: what waits is turned away, what comes later waits unseen, and comes through. */

enum { N_FILES = 64, N_WAITING = 8, DEADLINE_MS = 30'000 };

static struct rlimit before;
static int taken[N_FILES], n_taken;

static int set_up(void **) {
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit few = {.rlim_cur = N_FILES, .rlim_max = before.rlim_max};
    n_taken = 0;
    return setrlimit(RLIMIT_NOFILE, &few);
}

static void give_back(void) {
    while (n_taken > 0)
        close(taken[--n_taken]);
}

static int tear_down(void **) {
    give_back();
    return setrlimit(RLIMIT_NOFILE, &before);
}

static void take_all(void) {
    for (int fd; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;)
        taken[n_taken++] = fd;
    assert_int_equal(errno, EMFILE);
}

static int listener_at(struct sockaddr_in *ret) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = os_listener_open((const struct sockaddr *)&at, len, N_WAITING);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *ret = at;
    return fd;
}

static int dial(const struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 || errno == EINPROGRESS);
    return fd;
}

static bool is_ready(int fd, short events, int wait_ms) {
    struct pollfd one = {.fd = fd, .events = events};
    int n = poll(&one, 1, wait_ms);
    assert_true(n >= 0);
    return n > 0;
}

static void a_held_listener_has_nobody_waiting(void **) {
    struct sockaddr_in at;
    int fd = listener_at(&at), waiting[N_WAITING];
    for (int i = 0; i < N_WAITING; i++) {
        waiting[i] = dial(&at);
        assert_true(is_ready(waiting[i], POLLOUT, DEADLINE_MS));
    }
    take_all();
    assert_true(is_ready(fd, POLLIN, DEADLINE_MS));
    assert_int_equal(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC), -1);
    assert_int_equal(errno, EMFILE);
    assert_int_equal(os_listener_hold(fd), 0);
    assert_false(is_ready(fd, POLLIN, 0));
    for (int i = 0; i < N_WAITING; i++) {
        char byte;
        assert_true(is_ready(waiting[i], POLLIN, DEADLINE_MS));
        assert_true(recv(waiting[i], &byte, 1, 0) <= 0);
        close(waiting[i]);
    }
    give_back();
    close(fd);
}

static void who_dials_a_held_listener_comes_through_when_it_is_released(void **) {
    struct sockaddr_in at;
    int fd = listener_at(&at);
    assert_int_equal(os_listener_hold(fd), 0);
    int late = dial(&at);
    assert_false(is_ready(late, POLLOUT, 50));
    assert_false(is_ready(fd, POLLIN, 0));
    assert_int_equal(os_listener_hold(fd), 0); /* twice does no harm */
    assert_int_equal(os_listener_release(fd), 0);
    assert_true(is_ready(late, POLLOUT, DEADLINE_MS));
    assert_true(is_ready(fd, POLLIN, DEADLINE_MS));
    int accepted = accept4(fd, nullptr, nullptr, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    char byte = 0;
    assert_int_equal(send(late, "x", 1, MSG_NOSIGNAL), 1); /* nothing of the filter is left on it */
    assert_true(is_ready(accepted, POLLIN, DEADLINE_MS));
    assert_int_equal(recv(accepted, &byte, 1, 0), 1);
    close(accepted);
    close(late);
    close(fd);
}

static void what_is_left_is_known(void **) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_false(os_is_short_of_files(fd, 8));
    take_all();
    assert_true(os_is_short_of_files(fd, 0));
    assert_true(os_is_short_of_files(fd, 8));
    for (int i = 0; i < 9; i++)
        close(taken[--n_taken]);
    assert_false(os_is_short_of_files(fd, 8));
    assert_true(os_is_short_of_files(fd, 9));
    close(fd);
}

static void errors_are_told(void **) {
    struct sockaddr_in at;
    int fd = listener_at(&at);
    assert_int_equal(os_listener_open((const struct sockaddr *)&at, sizeof at, 1), -1);
    assert_int_equal(errno, EADDRINUSE);
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(os_listener_hold(file), -1);
    assert_int_equal(errno, ENOTSOCK);
    close(file);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_held_listener_has_nobody_waiting),
        TEST(who_dials_a_held_listener_comes_through_when_it_is_released),
        TEST(what_is_left_is_known),
        TEST(errors_are_told),
    };
    return cmocka_run_group_tests_name("listener", tests, nullptr, nullptr);
}
