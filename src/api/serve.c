/* SPDX-License-Identifier: MPL-2.0 */
#include "api/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/list.h"
#include "model/roster.h"
#include "signaling/links.h"

struct serve {
    struct log log;
    struct api *api;
    struct links *links;
    struct list streams; // struct stream_reply::link, owned
};

/* A request that waits for its reply. */
struct served {
    struct serve *serve;
    struct links_serving *serving;
    char peer_uid[UID_SIZE];
};

/* An endless reply. */
struct stream_reply {
    struct serve *serve;
    struct list_link link;
    struct links_serving *serving;
    struct api_events *events; /* owned */
    char peer_uid[UID_SIZE];
};

/* ---- endless replies ---- */

static void pump(struct stream_reply *stream) {
    struct api_event event;
    while (api_events_peek(stream->events, &event)) {
        const struct links_event pushed = {
            .name = event.name, .cursor = event.cursor, .json = event.json, .json_len = event.json_len};
        if (!links_push(stream->serving, &pushed))
            return; /* `writable` follows, or `closed` */
        api_events_advance(stream->events);
    }
}

static void on_news(void *arg) {
    struct serve *serve = arg;
    struct stream_reply *stream;
    list_for_each_safe(stream, &serve->streams, link) pump(stream);
}

static void on_writable(void *, struct links_serving *, void *arg) {
    pump(arg);
}

static void on_closed(void *, struct links_serving *, void *arg) {
    struct stream_reply *stream = arg;
    list_remove(&stream->link);
    api_events_destroy(stream->events);
    free(stream);
}

static size_t count_streams(const struct serve *serve, const char *peer_uid) {
    size_t n = 0;
    const struct stream_reply *stream;
    list_for_each(stream, &serve->streams, link) n += strcmp(stream->peer_uid, peer_uid) == 0;
    return n;
}

/* ---- replies ---- */

static void answer(struct links_serving *serving, const struct api_reply *reply, void *stream) {
    struct links_reply sent = {.status = reply->status,
                               .streaming = stream != nullptr,
                               .content_type = reply->content_type,
                               .body = reply->static_body ? reply->static_body : reply->body,
                               .body_len = reply->body_len};
    for (size_t i = 0; i < reply->n_headers && sent.n_headers < LINKS_HEADERS_MAX; i++)
        sent.headers[sent.n_headers++] = (struct links_header){reply->headers[i].name, reply->headers[i].value};
    links_answer(serving, &sent, stream);
}

[[gnu::format(printf, 3, 4)]] static void refuse(struct links_serving *serving, enum err code, const char *format,
                                                 ...) {
    char message[ERR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    struct err_info info = {};
    (void)err_set(&info, code, "%s", message);
    struct api_reply reply;
    api_problem(&reply, &info);
    answer(serving, &reply, nullptr);
    api_reply_finish(&reply);
}

static void begin_stream(const struct served *served, struct api_reply *reply) {
    struct serve *serve = served->serve;
    if (count_streams(serve, served->peer_uid) >= SERVE_STREAMS_MAX) {
        refuse(served->serving, ERR_LIMIT, "this peer reads %zu streams of events already (SERVE_STREAMS_MAX): end one",
               SERVE_STREAMS_MAX);
        return;
    }
    struct stream_reply *stream = calloc(1, sizeof *stream);
    if (!stream) {
        refuse(served->serving, ERR_NO_MEMORY, "rocd is out of memory");
        return;
    }
    *stream = (struct stream_reply){.serve = serve, .serving = served->serving, .events = reply->events};
    reply->events = nullptr;
    memcpy(stream->peer_uid, served->peer_uid, UID_SIZE);
    list_append(&serve->streams, &stream->link);
    answer(served->serving, reply, stream); /* `writable` follows */
}

static void on_reply(void *arg, struct api_reply *reply) {
    struct served *served = arg;
    if (reply->kind == API_REPLY_EVENTS)
        begin_stream(served, reply);
    else if (reply->body_len > LINKS_REPLY_MAX)
        refuse(served->serving, ERR_TOO_LARGE, "the reply has %zu bytes, and a link carries %zu: ask for a part of it",
               reply->body_len, LINKS_REPLY_MAX);
    else
        answer(served->serving, reply, nullptr);
    api_reply_finish(reply);
    free(served);
}

/* ---- requests ---- */

static struct api_principal principal_of(const struct serve *serve, const char *peer_uid,
                                         const struct links_request *request) {
    const struct roster_member *member = roster_find(links_roster(serve->links), peer_uid);
    enum roster_role role = member ? member->role : ROSTER_NOBODY;
    if (request->role < role)
        role = request->role;
    struct api_principal principal = {.privilege = (enum api_privilege)role, .is_peer_itself = !request->user};
    snprintf(principal.peer_uid, sizeof principal.peer_uid, "%s", peer_uid);
    snprintf(principal.name, sizeof principal.name, "peer:%s%s%s", peer_uid, request->user ? "/" : "",
             request->user ? request->user : "");
    return principal;
}

static void on_request(void *arg, const char *peer_uid, const struct links_request *request,
                       struct links_serving *serving) {
    struct serve *serve = arg;
    struct served *served = calloc(1, sizeof *served);
    if (!served) {
        refuse(serving, ERR_NO_MEMORY, "rocd is out of memory");
        return;
    }
    served->serve = serve;
    served->serving = serving;
    snprintf(served->peer_uid, sizeof served->peer_uid, "%s", peer_uid);
    const struct api_request asked = {
        .method = request->method,
        .path = request->path,
        .query = request->query,
        .body = request->body,
        .body_len = request->body_len,
        .content_type = request->content_type,
        .if_match = request->if_match,
        .if_none_match = request->if_none_match,
        .last_event_id = request->last_event_id,
        .idempotency_key = request->idempotency_key,
        .grant = request->grant,
        .principal = principal_of(serve, peer_uid, request),
    };
    api_dispatch(serve->api, &asked, on_reply, served);
}

/* ---- life ---- */

enum err serve_create(const struct serve_config *config, struct serve **ret, struct err_info *reterr) {
    static const struct links_handler HANDLER = {.request = on_request, .writable = on_writable, .closed = on_closed};
    struct serve *serve = calloc(1, sizeof *serve);
    if (!serve)
        return err_set(reterr, ERR_NO_MEMORY, "rocd is out of memory");
    serve->log = config->log;
    serve->api = config->api;
    serve->links = config->links;
    list_init(&serve->streams);
    links_listen(serve->links, &HANDLER, serve);
    api_on_events(serve->api, on_news, serve);
    *ret = serve;
    return ERR_OK;
}

void serve_destroy(struct serve *serve) {
    if (!serve)
        return;
    struct stream_reply *stream;
    list_for_each_safe(stream, &serve->streams, link) on_closed(serve, stream->serving, stream);
    free(serve);
}
