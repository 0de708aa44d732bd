/* SPDX-License-Identifier: MPL-2.0 */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "http/http_priv.h"

/*
 * Event streams are pulled: libmicrohttpd asks for bytes when the socket takes some; where there are none the connection
 * is suspended until news or a heartbeat wakes it. So a slow reader costs one buffer, and is overtaken by the ring of
 * events rather than fed from a growing queue. Suspended connections do not notice that the client has gone: the
 * heartbeat's write provokes a reset, and we look for it.
 */

constexpr size_t CHUNK = 4 * 1024;

struct subscriber {
    struct list_link link; /* http.subscribers */
    struct http *http;
    struct http_listener *listener;
    struct MHD_Connection *mhd;
    struct api_events *events; /* owned */
    struct buf pending;
    int fd;
    int64_t heartbeat_ns; /* when the next one is due */
    int64_t moved_ns;     /* when the socket last took something */
    bool suspended;
    bool gone;
};

static ssize_t subscriber_read(void *cls, uint64_t, char *to, size_t max) {
    struct subscriber *s = cls;
    if (s->http->stopping)
        return MHD_CONTENT_READER_END_OF_STREAM;
    if (s->gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    int64_t now = s->moved_ns = http_now_ns(s->http);
    if (!s->pending.len)
        api_events_read(s->events, &s->pending, CHUNK);
    if (!s->pending.len && now >= s->heartbeat_ns)
        buf_append_str(&s->pending, ": still here\n\n");
    if (buf_failed(&s->pending))
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (!s->pending.len) {
        s->suspended = true;
        MHD_suspend_connection(s->mhd);
        return 0;
    }
    s->heartbeat_ns = now + s->http->heartbeat_ns;
    size_t n = s->pending.len < max ? s->pending.len : max;
    memcpy(to, s->pending.data, n);
    buf_consume(&s->pending, n);
    return (ssize_t)n;
}

static void subscriber_free(void *cls) {
    struct subscriber *s = cls;
    list_remove(&s->link);
    s->http->n_subscribers--;
    api_events_destroy(s->events);
    buf_finish(&s->pending);
    free(s);
}

struct MHD_Response *subscriber_response(struct http *http, struct http_listener *listener, struct MHD_Connection *mhd,
                                         struct api_events *events) {
    struct subscriber *s = calloc(1, sizeof *s);
    if (!s) {
        api_events_destroy(events);
        return nullptr;
    }
    *s = (struct subscriber){
        .http = http,
        .listener = listener,
        .mhd = mhd,
        .events = events,
        .fd = request_connection(mhd)->fd,
        .heartbeat_ns = http_now_ns(http) + http->heartbeat_ns,
        .moved_ns = http_now_ns(http),
    };
    list_append(&http->subscribers, &s->link);
    http->n_subscribers++;
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK, subscriber_read, s, subscriber_free);
    if (!response)
        subscriber_free(s);
    return response;
}

static void wake(struct subscriber *s) {
    if (!s->suspended)
        return;
    s->suspended = false;
    MHD_resume_connection(s->mhd);
    http_listener_run_soon(s->listener);
}

void subscribers_wake(struct http *http) {
    struct subscriber *s;
    list_for_each(s, &http->subscribers, link) wake(s);
}

/* Reset, or closed on both sides. A client that has only closed its sending side may still be reading. */
static bool is_gone(const struct subscriber *s) {
    struct pollfd p = {.fd = s->fd};
    return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLHUP));
}

void subscribers_check(struct http *http) {
    int64_t now = http_now_ns(http);
    struct subscriber *s;
    list_for_each(s, &http->subscribers, link) {
        if (s->suspended) {
            s->gone = is_gone(s);
            if (s->gone || now >= s->heartbeat_ns)
                wake(s);
        } else if (now - s->moved_ns > http->idle_timeout_ns) {
            shutdown(s->fd, SHUT_RDWR); /* it does not read, and its socket is full */
        }
    }
}

unsigned subscribers_max(const struct http *http) {
    return http->connections_max - http->connections_max / 4;
}
