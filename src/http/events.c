/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "http/http_priv.h"

/*
 * Event streams are pulled: libmicrohttpd asks for bytes when the socket takes some; where there are none the connection
 * is suspended until news or a heartbeat wakes it. So a slow reader costs one buffer, and is overtaken by the ring of
 * events rather than fed from a growing queue. Suspended connections do not notice that the client has gone; the
 * heartbeat's write does.
 */

constexpr size_t CHUNK = 16 * 1024;

struct subscriber {
    struct list_link link; /* http.subscribers */
    struct http *http;
    struct http_listener *listener;
    struct MHD_Connection *mhd;
    struct api_events *events; /* owned */
    struct buf pending;
    int64_t heartbeat_ns; /* when the next one is due */
    bool suspended;
};

static ssize_t subscriber_read(void *cls, uint64_t, char *to, size_t max) {
    struct subscriber *s = cls;
    if (s->http->stopping)
        return MHD_CONTENT_READER_END_OF_STREAM;
    int64_t now = loop_now_ns(loop_uv_loop(s->http->loop));
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
        .heartbeat_ns = loop_now_ns(loop_uv_loop(http->loop)) + http->heartbeat_ns,
    };
    list_append(&http->subscribers, &s->link);
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK, subscriber_read, s, subscriber_free);
    if (!response)
        subscriber_free(s);
    return response;
}

void subscribers_wake(struct http *http, bool heartbeat_only) {
    int64_t now = loop_now_ns(loop_uv_loop(http->loop));
    struct subscriber *s;
    list_for_each(s, &http->subscribers, link) {
        if (!s->suspended || (heartbeat_only && now < s->heartbeat_ns))
            continue;
        s->suspended = false;
        MHD_resume_connection(s->mhd);
        http_listener_run_soon(s->listener);
    }
}
