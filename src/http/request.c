/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "http/guards.h"
#include "http/http_priv.h"

/*
 * One request: the raw target comes first (request_on_target makes the object), then the headers, then the body in
 * pieces, then a call without a body: the request is whole and goes to api_dispatch(). If the answer does not come at
 * once the connection is suspended; libmicrohttpd calls again after it is resumed. A client that leaves while its answer
 * is awaited leaves the object behind (`orphaned`), which goes when the answer comes.
 */

struct request {
    struct list_link link; /* http.waiting, while suspended */
    struct http *http;
    struct http_listener *listener;
    struct MHD_Connection *mhd;
    char *target; /* owned, raw */
    struct buf body;
    size_t received; /* of the body */
    enum request_state { REQUEST_NEW, REQUEST_BODY, REQUEST_ASKED, REQUEST_ANSWERED } state;
    bool refused; /* for `why`; said when the body is through, so that it is read */
    bool is_last; /* close the connection: where the next request begins is not sure */
    struct err_info why;
    bool suspended;
    bool orphaned;
    bool have_reply;
    struct api_reply reply; /* owned while have_reply */
};

static void request_destroy(struct request *r) {
    if (!r)
        return;
    if (r->have_reply)
        api_reply_finish(&r->reply);
    buf_finish(&r->body);
    free(r->target);
    free(r);
}

struct http_connection *request_connection(struct MHD_Connection *mhd) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : nullptr;
}

void *request_on_target(void *cls, const char *target, struct MHD_Connection *mhd) {
    struct http_listener *listener = cls;
    struct http *http = listener->http;
    struct http_connection *connection = request_connection(mhd);
    if (connection) {
        connection->state = CONNECTION_ARRIVING;
        if (connection->has_asked) /* the first has its time from the accept on */
            connection->deadline_ns = http_now_ns(http) + http->request_timeout_ns;
    }
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return nullptr;
    *r = (struct request){.http = http, .listener = listener, .mhd = mhd, .body = {.max = HTTP_BODY_MAX}};
    r->target = strdup(target);
    return r;
}

/* ---- replies ---- */

void http_add_common_headers(struct MHD_Response *response) {
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "Cache-Control", "no-store");
}

static struct MHD_Response *body_response(struct api_reply *reply) {
    if (reply->static_body) {
        union {
            const void *in;
            void *out;
        } embedded = {reply->static_body}; /* libmicrohttpd takes void * and only reads */
        return MHD_create_response_from_buffer(reply->body_len, embedded.out, MHD_RESPMEM_PERSISTENT);
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer_with_free_callback(reply->body_len, reply->body, free);
    if (response)
        reply->body = nullptr;
    return response;
}

static enum MHD_Result queue_reply(struct request *r) {
    struct api_reply *reply = &r->reply;
    struct MHD_Response *response;
    struct http_connection *connection = request_connection(r->mhd);
    if (reply->kind == API_REPLY_EVENTS && r->http->n_subscribers >= subscribers_max(r->http)) {
        struct err_info info;
        (void)err_set(&info, ERR_LIMIT, "there are %u event streams already (subscribers_max): close some of them",
                      r->http->n_subscribers);
        api_reply_finish(reply);
        api_problem(reply, &info);
    }
    if (connection)
        connection->deadline_ns =
            reply->kind == API_REPLY_EVENTS ? INT64_MAX : http_now_ns(r->http) + r->http->idle_timeout_ns;
    if (reply->kind == API_REPLY_EVENTS) {
        response = subscriber_response(r->http, r->listener, r->mhd, reply->events);
        reply->events = nullptr;
    } else {
        response = body_response(reply);
    }
    if (!response)
        return MHD_NO;
    http_add_common_headers(response);
    if (reply->content_type) {
        MHD_add_response_header(response, "Content-Type", reply->content_type);
        if (strncmp(reply->content_type, "text/html", 9) == 0)
            MHD_add_response_header(
                response, "Content-Security-Policy",
                "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
                "frame-ancestors 'none'");
    }
    for (size_t i = 0; i < reply->n_headers; i++)
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    if (r->is_last)
        MHD_add_response_header(response, "Connection", "close");
    enum MHD_Result result = MHD_queue_response(r->mhd, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    r->state = REQUEST_ANSWERED;
    return result;
}

static enum MHD_Result refuse(struct request *r, const struct err_info *info) {
    api_problem(&r->reply, info);
    r->have_reply = true;
    return queue_reply(r);
}

static void resume(struct request *r) {
    list_remove(&r->link);
    r->suspended = false;
    MHD_resume_connection(r->mhd);
}

static void on_reply(void *arg, struct api_reply *reply) {
    struct request *r = arg;
    if (r->orphaned) {
        api_reply_finish(reply);
        request_destroy(r);
        return;
    }
    r->reply = *reply;
    *reply = (struct api_reply){};
    r->have_reply = true;
    if (r->suspended) {
        resume(r);
        http_listener_run_soon(r->listener);
    }
}

void requests_release(struct http *http) {
    struct request *r;
    list_for_each_safe(r, &http->waiting, link) resume(r);
}

/* ---- checks of the head ---- */

struct header_counts {
    int host, length, encoding;
};

static enum MHD_Result count_header(void *cls, enum MHD_ValueKind, const char *key, const char *) {
    struct header_counts *counts = cls;
    counts->host += strcasecmp(key, "Host") == 0;
    counts->length += strcasecmp(key, "Content-Length") == 0;
    counts->encoding += strcasecmp(key, "Transfer-Encoding") == 0;
    return MHD_YES;
}

static const char *header(struct request *r, const char *name) {
    return MHD_lookup_connection_value(r->mhd, MHD_HEADER_KIND, name);
}

static bool is_navigation(struct request *r, const char *method) {
    const char *mode = header(r, "Sec-Fetch-Mode"), *destination = header(r, "Sec-Fetch-Dest");
    return strcmp(method, "GET") == 0 && mode && strcmp(mode, "navigate") == 0 && destination &&
           strcmp(destination, "document") == 0;
}

static enum err check_head(struct request *r, const char *method, struct err_info *reterr) {
    struct header_counts counts = {};
    MHD_get_connection_values(r->mhd, MHD_HEADER_KIND, count_header, &counts);
    /* servers and proxies that disagree on which of two counts are how requests get smuggled */
    r->is_last = counts.host > 1 || counts.length > 1 || counts.encoding > 1 || (counts.length && counts.encoding);
    if (r->is_last)
        return err_set(reterr, ERR_INVALID,
                       "a Host, Content-Length or Transfer-Encoding header is given twice, or both "
                       "of the latter: send one");
    const struct http_connection *connection = request_connection(r->mhd);
    if (!connection)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the request could not be taken");
    if (connection->principal.privilege == API_NOBODY)
        return err_set(reterr, ERR_FORBIDDEN, "this socket takes requests of its own user and of root: you are %s",
                       connection->principal.name);
    const char *host = header(r, "Host");
    if (!r->listener->is_unix) { /* a unix socket is no web origin: browsers cannot reach it */
        enum err e = guard_host(host, reterr);
        if (e != ERR_OK)
            return e;
    }
    enum err e = guard_origin(host, header(r, "Origin"), header(r, "Sec-Fetch-Site"), is_navigation(r, method), reterr);
    if (e != ERR_OK)
        return e;
    const char *length = header(r, "Content-Length");
    if (length && strtoull(length, nullptr, 10) > HTTP_BODY_MAX)
        return err_set(reterr, ERR_TOO_LARGE, "the body is larger than %zu bytes (body_bytes_max)", HTTP_BODY_MAX);
    return ERR_OK;
}

static enum MHD_Result take_head(struct request *r, const char *method) {
    r->state = REQUEST_BODY;
    if (check_head(r, method, &r->why) == ERR_OK)
        return MHD_YES;
    r->refused = true;
    const char *length = header(r, "Content-Length");
    if (r->is_last || header(r, "Expect") || (length && strtoull(length, nullptr, 10) > HTTP_DROP_MAX))
        return refuse(r, &r->why);
    return MHD_YES;
}

/* MHD_NO: the connection is cut. */
static enum MHD_Result take_body(struct request *r, const char *bytes, size_t *len) {
    r->received += *len;
    if (!r->refused && !buf_append(&r->body, bytes, *len)) {
        r->refused = true;
        if (r->received > HTTP_BODY_MAX)
            (void)err_set(&r->why, ERR_TOO_LARGE, "the body is larger than %zu bytes (body_bytes_max)", HTTP_BODY_MAX);
        else
            (void)err_set(&r->why, ERR_NO_MEMORY, "out of memory: the body could not be taken");
    }
    *len = 0;
    return r->received > HTTP_DROP_MAX ? MHD_NO : MHD_YES;
}

/* ---- the whole request ---- */

static enum MHD_Result dispatch(struct request *r, const char *method) {
    char path[GUARD_TARGET_MAX + 1];
    const char *query = nullptr;
    if (!r->refused && !r->target) {
        (void)err_set(&r->why, ERR_NO_MEMORY, "out of memory: the request could not be taken");
        r->refused = true;
    }
    if (r->refused || guard_target(r->target, path, &query, &r->why) != ERR_OK)
        return refuse(r, &r->why);
    struct http_connection *connection = request_connection(r->mhd);
    connection->state = CONNECTION_ANSWERING;
    connection->has_asked = true;
    connection->deadline_ns = INT64_MAX;
    const struct api_request request = {
        .method = method,
        .path = path,
        .query = query,
        .body = r->body.len ? r->body.data : nullptr,
        .body_len = r->body.len,
        .content_type = header(r, "Content-Type"),
        .if_match = header(r, "If-Match"),
        .if_none_match = header(r, "If-None-Match"),
        .last_event_id = header(r, "Last-Event-ID"),
        .idempotency_key = header(r, "Idempotency-Key"),
        .principal = connection->principal,
    };
    r->state = REQUEST_ASKED;
    api_dispatch(r->http->api, &request, on_reply, r);
    if (r->have_reply)
        return queue_reply(r);
    r->suspended = true;
    list_append(&r->http->waiting, &r->link);
    MHD_suspend_connection(r->mhd);
    return MHD_YES;
}

enum MHD_Result request_on_call(void *, struct MHD_Connection *, const char *, const char *method, const char *,
                                const char *upload, size_t *upload_size, void **context) {
    struct request *r = *context;
    if (!r)
        return MHD_NO; /* no memory for it */
    switch (r->state) {
    case REQUEST_NEW:
        return take_head(r, method);
    case REQUEST_BODY:
        return *upload_size ? take_body(r, upload, upload_size) : dispatch(r, method);
    case REQUEST_ASKED:
        return r->have_reply ? queue_reply(r) : r->http->stopping ? MHD_NO : MHD_YES;
    case REQUEST_ANSWERED:
        *upload_size = 0;
        return MHD_YES;
    }
    return MHD_NO;
}

void request_on_completed(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode) {
    struct http_listener *listener = cls;
    struct request *r = *context;
    struct http_connection *connection = request_connection(mhd);
    if (connection) {
        connection->state = CONNECTION_IDLE;
        connection->idle_ns = http_now_ns(listener->http);
        connection->deadline_ns = connection->idle_ns + listener->http->idle_timeout_ns;
    }
    *context = nullptr;
    if (r && r->state == REQUEST_ASKED && !r->have_reply)
        r->orphaned = true;
    else
        request_destroy(r);
}
