/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/loop_uv.h"
#include "http/http.h"
#include "support/fake_api.h"

/*
 * The real server in a real loop on a thread of its own, over the fake api; the tests are
 * clients with plain sockets.
 */

constexpr int DEADLINE_MS = 30'000;

struct bench {
    struct loop_uv *loop;
    struct http *http;
    struct api api;
    pthread_t thread;
    uint16_t port;
};

static void *run(void *arg) {
    loop_uv_run(((struct bench *)arg)->loop);
    return nullptr;
}

static void publish(void *arg) {
    struct bench *b = arg;
    fake_api_publish(&b->api, 1, 8);
}

static void stop(void *arg) {
    struct bench *b = arg;
    http_stop(b->http);
    loop_uv_stop(b->loop);
}

static int setup(void **state) {
    struct bench *b = calloc(1, sizeof *b);
    struct err_info info;
    assert_int_equal(loop_uv_create(&b->loop, &info), ERR_OK);
    fake_api_init(&b->api, loop_uv_loop(b->loop));
    const struct http_config config = {.address = "127.0.0.1:0", .request_timeout_ms = 700, .heartbeat_ms = 600};
    assert_int_equal(http_start(&config, b->loop, &b->api, (struct log){}, &b->http, &info), ERR_OK);
    b->port = http_port(b->http);
    assert_int_equal(pthread_create(&b->thread, nullptr, run, b), 0);
    *state = b;
    return 0;
}

static int teardown(void **state) {
    struct bench *b = *state;
    assert_int_equal(loop_post(loop_uv_loop(b->loop), stop, b), ERR_OK);
    pthread_join(b->thread, nullptr);
    assert_int_equal(fake_api_finish(&b->api), 0);
    loop_uv_destroy(b->loop);
    free(b);
    return 0;
}

static int dial(const struct bench *b) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(b->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `want` stands in the text, or the other side closes. */
static bool hear(int fd, const char *want, char *text, size_t size) {
    size_t n = 0;
    text[0] = 0;
    while (!strstr(text, want) && n + 1 < size) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, DEADLINE_MS) != 1)
            return false;
        ssize_t got = recv(fd, text + n, size - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        text[n] = 0;
    }
    return strstr(text, want) != nullptr;
}

static void expect(const struct bench *b, const char *request, const char *want) {
    char text[4096];
    int fd = dial(b);
    say(fd, request);
    if (!hear(fd, want, text, sizeof text))
        fail_msg("asked %.60s…, wanted %s, got %.300s", request, want, text);
    close(fd);
}

#define HOST "Host: localhost\r\n"

static void requests_are_carried_and_answered(void **state) {
    struct bench *b = *state;
    expect(b, "GET //a%20b/ HTTP/1.1\r\n" HOST "\r\n", "\"path\":\"/a b\"");
    expect(b, "POST /x HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhello", "\"body\":5");
    expect(b, "PUT /x HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nyou\r\n0\r\n\r\n",
           "\"body\":8");
    expect(b, "GET /later?ms=20 HTTP/1.1\r\n" HOST "\r\n", "\"late\"");
    expect(b, "GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "\r\n", "\"/b\"");
    expect(b, "GET /a HTTP/1.1\r\n" HOST "\r\n", "X-Content-Type-Options: nosniff");
}

static void what_must_be_refused_is(void **state) {
    struct bench *b = *state;
    expect(b, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "HTTP/1.1 421");
    expect(b, "GET / HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n", "HTTP/1.1 403");
    expect(b, "GET / HTTP/1.1\r\n" HOST "Sec-Fetch-Site: cross-site\r\n\r\n", "HTTP/1.1 403");
    expect(b, "GET / HTTP/1.1\r\n" HOST HOST "\r\n", "HTTP/1.1 400");
    expect(b, "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "HTTP/1.1 400");
    expect(b, "GET /%00 HTTP/1.1\r\n" HOST "\r\n", "HTTP/1.1 400");
    expect(b, "POST / HTTP/1.1\r\n" HOST "Content-Length: 70000\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 413");
    expect(b, "POST / HTTP/1.1\r\n" HOST "Content-Length: 70000000\r\n\r\n", "HTTP/1.1 413");
    /* the same without saying so beforehand */
    char *body = calloc(1, 70000 + 200);
    assert_non_null(body);
    int n = sprintf(body, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%x\r\n", 70000);
    assert_in_range(n, 1, 150);
    memset(body + n, 'x', 70000);
    strcpy(body + n + 70000, "\r\n0\r\n\r\n");
    expect(b, body, "HTTP/1.1 413");
    free(body);
}

static void events_flow_and_beat(void **state) {
    struct bench *b = *state;
    char text[4096];
    int fd = dial(b);
    say(fd, "GET /events HTTP/1.1\r\n" HOST "\r\n");
    assert_true(hear(fd, "text/event-stream", text, sizeof text));
    assert_int_equal(loop_post(loop_uv_loop(b->loop), publish, b), ERR_OK);
    assert_true(hear(fd, "id: 1", text, sizeof text));
    assert_true(hear(fd, ": still here", text, sizeof text));
    assert_int_equal(loop_post(loop_uv_loop(b->loop), publish, b), ERR_OK);
    assert_true(hear(fd, "id: 2", text, sizeof text));
    close(fd);
}

static void slow_and_silent_clients_are_cut(void **state) {
    struct bench *b = *state;
    char text[4096];
    int silent = dial(b), half = dial(b);
    say(half, "GET / HTTP/1.1\r\nHost: loc");
    assert_false(hear(silent, "HTTP", text, sizeof text));
    hear(half, "never", text, sizeof text);
    close(silent);
    close(half);
    expect(b, "GET /after HTTP/1.1\r\n" HOST "\r\n", "\"/after\"");
}

static void clients_that_leave_and_answers_that_stay_out_do_no_harm(void **state) {
    struct bench *b = *state;
    for (int i = 0; i < 50; i++) {
        int fd = dial(b);
        say(fd, "GET /later?ms=20 HTTP/1.1\r\n" HOST "\r\n");
        close(fd);
    }
    char text[4096];
    int waits = dial(b), hears = dial(b);
    say(waits, "GET /never HTTP/1.1\r\n" HOST "\r\n"); /* still waiting when the server stops */
    say(hears, "GET /events HTTP/1.1\r\n" HOST "\r\n");
    assert_true(hear(hears, "text/event-stream", text, sizeof text));
    expect(b, "GET /after HTTP/1.1\r\n" HOST "\r\n", "\"/after\"");
    close(hears);
    close(waits);
}

static void other_addresses_than_loopback_are_refused(void **state) {
    struct bench *b = *state;
    struct http *http = nullptr;
    struct err_info info;
    static const struct {
        const char *address;
        enum err want;
    } ROWS[] = {
        {"0.0.0.0:0", ERR_UNSUPPORTED}, {"[::]:0", ERR_UNSUPPORTED},  {"10.1.2.3:4040", ERR_UNSUPPORTED},
        {"127.0.0.1", ERR_INVALID},     {"127.0.0.1:x", ERR_INVALID}, {"127.0.0.1:70000", ERR_INVALID},
        {"nowhere:1", ERR_INVALID},     {":4040", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const struct http_config config = {.address = ROWS[i].address};
        struct api api = {};
        assert_int_equal(http_start(&config, b->loop, &api, (struct log){}, &http, &info), ROWS[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_are_carried_and_answered, setup, teardown),
        cmocka_unit_test_setup_teardown(what_must_be_refused_is, setup, teardown),
        cmocka_unit_test_setup_teardown(events_flow_and_beat, setup, teardown),
        cmocka_unit_test_setup_teardown(slow_and_silent_clients_are_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(clients_that_leave_and_answers_that_stay_out_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(other_addresses_than_loopback_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests_name("http", tests, nullptr, nullptr);
}
