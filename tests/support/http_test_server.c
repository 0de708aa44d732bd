/* SPDX-License-Identifier: MPL-2.0 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/loop_uv.h"
#include "http/http.h"

/*
 * The HTTP server alone, over an api that is a fake linked in its place: answers that come late, bodies of any size,
 * events on demand. tests/api/test_http_abuse.py is its user. Says "ready PORT", ends on SIGTERM or when its input ends.
 *
 *   /later?ms=N    answers after N ms        /big?bytes=N    a body of N bytes
 *   /never         answers when all ends     /emit?n=N&size=S  publishes N events of S bytes
 *   /stats         what is under way         /events         the event stream
 *   anything else  an echo of the request
 */

constexpr uint64_t RING = 256; /* events kept */

struct later {
    struct list_link link; /* api.later */
    struct loop_timer timer;
    struct api *api;
    api_reply_fn reply;
    void *arg;
};

struct api {
    struct loop *loop;
    void (*wake)(void *arg);
    void *wake_arg;
    struct list later;  /* struct later::link, owned */
    uint64_t n_events;  /* published; numbered from 1 */
    size_t event_bytes; /* of each */
    unsigned n_later, n_subscribers;
};

struct api_events {
    struct api *api;
    uint64_t seen;
};

static void answer_take(api_reply_fn reply, void *arg, int status, char *body, size_t len) {
    struct api_reply r = {.status = status, .content_type = "application/json", .body = body, .body_len = len};
    if (!body)
        r.content_type = nullptr;
    reply(arg, &r);
}

static void answer_later(void *arg) {
    struct later *l = arg;
    list_remove(&l->link);
    l->api->n_later--;
    loop_timer_stop(l->api->loop, &l->timer);
    answer_take(l->reply, l->arg, 200, strdup("\"late\""), 6);
    free(l);
}

/* The number behind "name=" in the query. */
static size_t number(const char *query, const char *name, size_t otherwise) {
    const char *at = query ? strstr(query, name) : nullptr;
    return at && at[strlen(name)] == '=' ? strtoull(at + strlen(name) + 1, nullptr, 10) : otherwise;
}

static void echo(const struct api_request *q, api_reply_fn reply, void *arg) {
    struct buf b = {};
    buf_printf(&b, "{\"method\":\"%s\",\"path\":\"%s\",\"query\":\"%s\",\"body\":%zu,\"name\":\"%s\",\"admin\":%d}",
               q->method, q->path, q->query ? q->query : "", q->body_len, q->principal.name,
               q->principal.privilege == API_ADMIN);
    size_t len;
    char *text = buf_take(&b, &len);
    answer_take(reply, arg, 200, text, len);
}

static void stats(struct api *api, api_reply_fn reply, void *arg) {
    struct buf b = {};
    buf_printf(&b, "{\"later\":%u,\"subscribers\":%u,\"events\":%llu}", api->n_later, api->n_subscribers,
               (unsigned long long)api->n_events);
    size_t len;
    char *text = buf_take(&b, &len);
    answer_take(reply, arg, 200, text, len);
}

static void subscribe(struct api *api, const struct api_request *q, api_reply_fn reply, void *arg) {
    struct api_reply r = {.kind = API_REPLY_EVENTS, .status = 200, .content_type = "text/event-stream"};
    r.events = calloc(1, sizeof *r.events);
    *r.events = (struct api_events){.api = api, .seen = api->n_events};
    if (q->last_event_id)
        r.events->seen = strtoull(q->last_event_id, nullptr, 10);
    api->n_subscribers++;
    reply(arg, &r);
}

void api_dispatch(struct api *api, const struct api_request *q, api_reply_fn reply, void *arg) {
    const char *path = q->path;
    if (strcmp(path, "/later") == 0 || strcmp(path, "/never") == 0) {
        struct later *l = calloc(1, sizeof *l);
        *l = (struct later){.api = api, .reply = reply, .arg = arg, .timer = {.fire = answer_later, .arg = l}};
        list_append(&api->later, &l->link);
        api->n_later++;
        if (path[1] == 'l')
            loop_timer_start(api->loop, &l->timer, (int64_t)number(q->query, "ms", 0) * NS_PER_MS);
    } else if (strcmp(path, "/big") == 0) {
        size_t n = number(q->query, "bytes", 1);
        char *body = malloc(n);
        memset(body, 'x', n);
        answer_take(reply, arg, 200, body, n);
    } else if (strcmp(path, "/emit") == 0) {
        api->n_events += number(q->query, "n", 1);
        api->event_bytes = number(q->query, "size", 8);
        if (api->wake)
            api->wake(api->wake_arg);
        answer_take(reply, arg, 204, nullptr, 0);
    } else if (strcmp(path, "/stats") == 0) {
        stats(api, reply, arg);
    } else if (strcmp(path, "/events") == 0) {
        subscribe(api, q, reply, arg);
    } else {
        echo(q, reply, arg);
    }
}

void api_problem(struct api_reply *ret, const struct err_info *info) {
    struct buf b = {};
    int status = err_http_status(info->code);
    buf_printf(&b, "{\"status\":%d,\"error_code\":\"%s\",\"detail\":\"%s\"}", status, err_name(info->code),
               info->message);
    *ret = (struct api_reply){.status = status, .content_type = "application/problem+json"};
    ret->body = buf_take(&b, &ret->body_len);
}

void api_reply_finish(struct api_reply *reply) {
    free(reply->body);
    api_events_destroy(reply->events);
    *reply = (struct api_reply){};
}

size_t api_events_read(struct api_events *events, struct buf *to, size_t max) {
    const struct api *api = events->api;
    size_t before = to->len;
    if (api->n_events > RING && events->seen < api->n_events - RING) {
        events->seen = api->n_events - RING;
        buf_printf(to, "event: reset\ndata: {}\n\n");
    }
    while (events->seen < api->n_events && to->len - before < max) {
        buf_printf(to, "id: %llu\ndata: ", (unsigned long long)++events->seen);
        for (size_t i = 0; i < api->event_bytes; i++)
            buf_append(to, "x", 1);
        buf_append_str(to, "\n\n");
    }
    return to->len - before;
}

void api_events_destroy(struct api_events *events) {
    if (events)
        events->api->n_subscribers--;
    free(events);
}

void api_on_events(struct api *api, void (*wake)(void *arg), void *arg) {
    api->wake = wake;
    api->wake_arg = arg;
}

struct server {
    struct loop_uv *loop;
    struct http *http;
    uv_signal_t sigterm;
    uv_pipe_t input;
    char unused[64]; /* of the input */
    bool stopping;
};

static void stop(struct server *server) {
    if (server->stopping)
        return;
    server->stopping = true;
    uv_close((uv_handle_t *)&server->sigterm, nullptr);
    uv_close((uv_handle_t *)&server->input, nullptr);
    http_stop(server->http);
    loop_uv_stop(server->loop);
}

static void on_signal(uv_signal_t *handle, int) {
    stop(handle->data);
}

static void on_alloc(uv_handle_t *handle, size_t, uv_buf_t *ret) {
    struct server *server = handle->data;
    *ret = uv_buf_init(server->unused, sizeof server->unused);
}

static void on_input(uv_stream_t *handle, ssize_t n, const uv_buf_t *) {
    if (n < 0)
        stop(handle->data);
}

static void on_log(void *arg, enum log_level level, const char *line, size_t len) {
    log_write_stderr(arg, level, line, len);
}

int main(int argc, char **argv) {
    struct http_config config = {.address = "127.0.0.1:0"};
    int option;
    while ((option = getopt(argc, argv, "a:s:c:r:i:h:")) != -1) {
        switch (option) {
        case 'a':
            config.address = optarg;
            break;
        case 's':
            config.socket_path = optarg;
            break;
        case 'c':
            config.connections_max = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        case 'r':
            config.request_timeout_ms = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        case 'i':
            config.idle_timeout_ms = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        case 'h':
            config.heartbeat_ms = (unsigned)strtoul(optarg, nullptr, 10);
            break;
        default:
            return 2;
        }
    }
    struct log_sink sink;
    log_sink_init(&sink, LOG_LEVEL_DEBUG, on_log, nullptr);
    struct err_info info;
    struct server server = {};
    struct api api = {};
    list_init(&api.later);
    if (loop_uv_create(&server.loop, &info) != ERR_OK)
        return 1;
    api.loop = loop_uv_loop(server.loop);
    if (http_start(&config, server.loop, &api, (struct log){&sink, "http"}, &server.http, &info) != ERR_OK) {
        fprintf(stderr, "refused: %s: %s\n", err_name(info.code), info.message);
        loop_uv_destroy(server.loop);
        log_sink_finish(&sink);
        return 1;
    }
    uv_loop_t *uv = loop_uv_handle(server.loop);
    server.sigterm.data = server.input.data = &server;
    uv_signal_init(uv, &server.sigterm);
    uv_signal_start(&server.sigterm, on_signal, SIGTERM);
    uv_pipe_init(uv, &server.input, 0);
    uv_pipe_open(&server.input, 0);
    uv_read_start((uv_stream_t *)&server.input, on_alloc, on_input);
    printf("ready %u\n", (unsigned)http_port(server.http));
    fflush(stdout);
    loop_uv_run(server.loop);
    struct later *l; /* the answers that come after everybody has gone */
    list_for_each_safe(l, &api.later, link) answer_later(l);
    loop_uv_destroy(server.loop);
    log_sink_finish(&sink);
    return api.n_subscribers ? 3 : 0; /* left behind */
}
