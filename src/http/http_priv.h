/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <microhttpd.h>
#include <uv.h>

#include "api/api.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/loop_uv.h"
#include "http/http.h"

/* Shared by the files of this folder: the server's objects. Threads: core. */

constexpr size_t HTTP_BODY_MAX = 64 * 1024;
/* A refused body up to this size is read and dropped, so that the client reads the answer instead of a reset. */
constexpr size_t HTTP_DROP_MAX = 1024 * 1024;

struct http_listener {
    struct http *http;
    struct MHD_Daemon *daemon;
    int fd;           /* owned: where clients knock */
    uv_poll_t door;   /* of fd, while there is room */
    uv_poll_t poll;   /* of the daemon's epoll set */
    uv_timer_t timer; /* its time-outs, and "run soon" */
    int n_open;       /* uv handles not yet closed; freed with the last */
    unsigned n_connections, connections_max;
    bool is_unix;
    bool is_short; /* of descriptors, when it last accepted: until the next tick nobody is let in */
};

/* Of one TCP or unix connection, from accept to close. */
struct http_connection {
    struct list_link link; /* http.connections */
    int fd;
    /* ARRIVING begins with the request line, ANSWERING when the request is whole */
    enum http_connection_state { CONNECTION_IDLE, CONNECTION_ARRIVING, CONNECTION_ANSWERING } state;
    bool has_asked;      /* a whole request has come */
    int64_t idle_ns;     /* idle since */
    int64_t deadline_ns; /* INT64_MAX: none, the request is whole and the reply is ours to give */
    struct http_listener *listener;
    struct api_principal principal;
};

struct http {
    struct log log;
    struct loop_uv *loop;
    struct api *api;
    struct http_listener *tcp, *unix_socket;
    char *socket_path; /* owned; ours to unlink while it is this inode */
    dev_t socket_dev;
    ino_t socket_ino;
    uint16_t port;
    unsigned connections_max, n_subscribers;
    int64_t request_timeout_ns, idle_timeout_ns, heartbeat_ns;
    struct loop_timer tick;  /* deadlines and heartbeats */
    struct list connections; /* struct http_connection::link, owned */
    struct list subscribers; /* struct subscriber::link in events.c, owned by their replies */
    struct list waiting;     /* struct request::link in request.c: suspended until their answer comes */
    bool stopping;
};

/* Runs the daemon at the loop's next turn: safe from anywhere, libmicrohttpd's own callbacks included. */
void http_listener_run_soon(struct http_listener *listener);

/* request.c: libmicrohttpd's callbacks. */
void *request_on_target(void *cls, const char *target, struct MHD_Connection *mhd);
enum MHD_Result request_on_call(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                const char *version, const char *upload, size_t *upload_size, void **context);
void request_on_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode why);
/* Resumes what waits for an answer, as libmicrohttpd wants before it stops; the answers then find nobody. */
void requests_release(struct http *http);
struct http_connection *request_connection(struct MHD_Connection *mhd);
int64_t http_now_ns(const struct http *http);
void http_add_common_headers(struct MHD_Response *response);

/* events.c: the reply of a subscriber; takes `events`. nullptr: out of memory. */
struct MHD_Response *subscriber_response(struct http *http, struct http_listener *listener, struct MHD_Connection *mhd,
                                         struct api_events *events);
/* There is news, or the server stops. */
void subscribers_wake(struct http *http);
/* Now and then: wakes those whose heartbeat is due, drops those that are gone or have long stopped reading. */
void subscribers_check(struct http *http);
/* Event streams may not take every connection: the API must stay reachable. */
unsigned subscribers_max(const struct http *http);
