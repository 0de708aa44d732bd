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

#include "api/api.h"
#include "base/loop_uv.h"
#include "http/http.h"

/*
 * The real server in a real loop on a thread of its own, over an api that is a fake linked in its place; the tests are
 * clients with plain sockets.
 */

constexpr int DEADLINE_MS = 30'000;

struct later {
    struct loop_timer timer;
    struct loop *loop;
    api_reply_fn reply;
    void *arg;
};

struct api {
    struct loop *loop;
    void (*wake)(void *arg);
    void *wake_arg;
    int n_events; /* published */
    struct later *never;
};

struct api_events {
    struct api *api;
    int seen;
};

static void answer(api_reply_fn reply, void *arg, int status, const char *body) {
    struct api_reply r = {.kind = API_REPLY_BODY, .status = status, .content_type = "application/json"};
    r.body = strdup(body);
    r.body_len = strlen(body);
    reply(arg, &r);
}

static void answer_later(void *arg) {
    struct later *l = arg;
    answer(l->reply, l->arg, 200, "\"late\"");
    free(l);
}

void api_dispatch(struct api *api, const struct api_request *request, api_reply_fn reply, void *arg) {
    if (strcmp(request->path, "/later") == 0 || strcmp(request->path, "/never") == 0) {
        struct later *l = calloc(1, sizeof *l);
        *l = (struct later){.loop = api->loop, .reply = reply, .arg = arg, .timer = {.fire = answer_later, .arg = l}};
        if (request->path[1] == 'l')
            loop_timer_start(api->loop, &l->timer, 20 * NS_PER_MS);
        else
            api->never = l;
    } else if (strcmp(request->path, "/events") == 0) {
        struct api_reply r = {.kind = API_REPLY_EVENTS, .status = 200, .content_type = "text/event-stream"};
        r.events = calloc(1, sizeof *r.events);
        r.events->api = api;
        reply(arg, &r);
    } else {
        char text[256];
        snprintf(text, sizeof text, "{\"method\":\"%s\",\"path\":\"%s\",\"body\":%zu}", request->method, request->path,
                 request->body_len);
        answer(reply, arg, 200, text);
    }
}

void api_problem(struct api_reply *ret, const struct err_info *info) {
    *ret = (struct api_reply){.status = err_http_status(info->code),
                              .content_type = "application/problem+json",
                              .body = strdup("{}"),
                              .body_len = 2};
}

void api_reply_finish(struct api_reply *reply) {
    free(reply->body);
    free(reply->events);
    *reply = (struct api_reply){};
}

size_t api_events_read(struct api_events *events, struct buf *to, size_t) {
    size_t before = to->len;
    for (; events->seen < events->api->n_events; events->seen++)
        buf_printf(to, "id: %d\n\n", events->seen + 1);
    return to->len - before;
}

void api_events_destroy(struct api_events *events) {
    free(events);
}

void api_on_events(struct api *api, void (*wake)(void *arg), void *arg) {
    api->wake = wake;
    api->wake_arg = arg;
}

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
    b->api.n_events++;
    if (b->api.wake)
        b->api.wake(b->api.wake_arg);
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
    b->api.loop = loop_uv_loop(b->loop);
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
    if (b->api.never) /* the answer that comes after everybody has gone */
        answer_later(b->api.never);
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
    expect(b, "GET /later HTTP/1.1\r\n" HOST "\r\n", "\"late\"");
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
    int n = sprintf(body, "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n%x\r\n", 70000);
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
        say(fd, "GET /later HTTP/1.1\r\n" HOST "\r\n");
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
