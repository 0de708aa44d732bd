/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/fake_links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static char *copy(const char *text) {
    return text ? strdup(text) : nullptr;
}

static void drop(const char *text) {
    free((void *)(uintptr_t)text);
}

struct links *fake_links_create(const struct roster *roster) {
    struct links *links = calloc(1, sizeof *links);
    links->roster = roster;
    list_init(&links->calls);
    return links;
}

static void call_free(struct links_call *call) {
    list_remove(&call->link);
    const struct links_request *r = &call->request;
    drop(r->method);
    drop(r->path);
    drop(r->query);
    drop(r->body);
    drop(r->content_type);
    drop(r->if_match);
    drop(r->if_none_match);
    drop(r->idempotency_key);
    drop(r->last_event_id);
    drop(r->grant);
    drop(r->user);
    free(call);
}

void fake_links_destroy(struct links *links) {
    assert_true(list_empty(&links->calls));
    free(links);
}

static size_t index_of(const struct links *links, const char *peer_uid) {
    size_t i = 0;
    while (i < links->roster->n && strcmp(links->roster->members[i].uid, peer_uid) != 0)
        i++;
    return i;
}

void fake_links_set(struct links *links, const char *peer_uid, enum links_state state, uint64_t epoch, enum err code,
                    const char *reason) {
    size_t i = index_of(links, peer_uid);
    assert_true(i < links->roster->n);
    links->peers[i] = (struct links_peer){.state = state, .epoch = epoch, .proto = 1, .reason = {.code = code}};
    snprintf(links->peers[i].reason.message, sizeof links->peers[i].reason.message, "%s", reason ? reason : "");
    for (size_t h = 0; h < links->n_handlers; h++)
        if (links->handlers[h]->changed)
            links->handlers[h]->changed(links->args[h], peer_uid, &links->peers[i]);
}

/* ---- asking ---- */

struct links_call *links_ask(struct links *links, const char *peer_uid, const struct links_request *request,
                             const struct links_caller *caller, void *arg) {
    struct links_call *call = calloc(1, sizeof *call);
    call->links = links;
    snprintf(call->peer_uid, sizeof call->peer_uid, "%s", peer_uid);
    call->request = *request;
    struct links_request *r = &call->request;
    r->method = copy(request->method);
    r->path = copy(request->path);
    r->query = copy(request->query);
    char *body = request->body ? strndup(request->body, request->body_len) : nullptr;
    r->body = body;
    r->content_type = copy(request->content_type);
    r->if_match = copy(request->if_match);
    r->if_none_match = copy(request->if_none_match);
    r->idempotency_key = copy(request->idempotency_key);
    r->last_event_id = copy(request->last_event_id);
    r->grant = copy(request->grant);
    r->user = copy(request->user);
    call->caller = caller;
    call->arg = arg;
    list_append(&links->calls, &call->link);
    return call;
}

void links_cancel(struct links_call *call) {
    call->links->n_cancelled++;
    call_free(call);
}

struct links_call *fake_links_call(struct links *links, const char *peer_uid, const char *path) {
    struct links_call *found = nullptr, *call;
    list_for_each(call, &links->calls, link) {
        if (strcmp(call->peer_uid, peer_uid) == 0 && strcmp(call->request.path, path) == 0)
            found = call;
    }
    return found;
}

size_t fake_links_n_calls(const struct links *links) {
    return list_count(&links->calls);
}

void fake_links_reply_headers(struct links_call *call, int status, const char *content_type, const char *body,
                              const struct links_header *headers, size_t n_headers) {
    struct links_reply reply = {.status = status,
                                .content_type = content_type,
                                .body = body,
                                .body_len = body ? strlen(body) : 0,
                                .n_headers = n_headers};
    for (size_t i = 0; i < n_headers; i++)
        reply.headers[i] = headers[i];
    const struct links_caller *caller = call->caller;
    void *arg = call->arg;
    call_free(call);
    caller->reply(arg, &reply, nullptr);
}

void fake_links_reply(struct links_call *call, int status, const char *body) {
    fake_links_reply_headers(call, status, body ? "application/json" : nullptr, body, nullptr, 0);
}

void fake_links_stream(struct links_call *call) {
    const struct links_reply reply = {.status = 200, .streaming = true, .content_type = "text/event-stream"};
    call->is_streaming = true;
    call->caller->reply(call->arg, &reply, nullptr);
}

void fake_links_event(struct links_call *call, const char *name, const char *json) {
    assert_true(call->is_streaming);
    const struct links_event event = {.name = name, .cursor = "1-1", .json = json, .json_len = strlen(json)};
    call->caller->event(call->arg, &event);
}

void fake_links_fail(struct links_call *call, enum err code, const char *message) {
    struct err_info info = {};
    (void)err_set(&info, code, "%s", message);
    const struct links_caller *caller = call->caller;
    void *arg = call->arg;
    bool is_streaming = call->is_streaming;
    call_free(call);
    if (is_streaming)
        caller->ended(arg, &info);
    else
        caller->reply(arg, nullptr, &info);
}

/* ---- being asked ---- */

void fake_links_request(struct links *links, const char *peer_uid, const struct links_request *request,
                        struct links_serving *ret) {
    *ret = (struct links_serving){.links = links};
    snprintf(ret->peer_uid, sizeof ret->peer_uid, "%s", peer_uid);
    for (size_t h = 0; h < links->n_handlers; h++) {
        if (links->handlers[h]->request) {
            links->handlers[h]->request(links->args[h], peer_uid, request, ret);
            return;
        }
    }
    fail_msg("nobody takes requests");
}

void links_answer(struct links_serving *serving, const struct links_reply *reply, void *stream) {
    serving->n_answers++;
    serving->status = reply->status;
    serving->is_streaming = reply->streaming;
    serving->stream = stream;
    serving->body = reply->body_len ? strndup(reply->body, reply->body_len) : nullptr;
    serving->body_len = reply->body_len;
    for (size_t i = 0; i < reply->n_headers; i++) {
        const struct links_header *h = &reply->headers[i];
        if (strcasecmp(h->name, "ETag") == 0)
            snprintf(serving->etag, sizeof serving->etag, "%s", h->value);
        else if (strcasecmp(h->name, "Location") == 0)
            snprintf(serving->location, sizeof serving->location, "%s", h->value);
        else if (strcasecmp(h->name, "Retry-After") == 0)
            snprintf(serving->retry_after, sizeof serving->retry_after, "%s", h->value);
        else if (strcasecmp(h->name, "Allow") == 0)
            snprintf(serving->allow, sizeof serving->allow, "%s", h->value);
        else
            fail_msg("header %s", h->name);
    }
}

bool links_push(struct links_serving *serving, const struct links_event *event) {
    assert_true(serving->is_streaming);
    if (serving->is_full)
        return false;
    char *before = serving->events;
    int n = asprintf(&serving->events, "%s%s %s %.*s\n", before ? before : "", event->name, event->cursor,
                     (int)event->json_len, event->json);
    assert_true(n > 0);
    free(before);
    return true;
}

static void tell_serving(struct links_serving *serving, bool closed) {
    struct links *links = serving->links;
    for (size_t h = 0; h < links->n_handlers; h++) {
        if (!links->handlers[h]->request)
            continue;
        if (closed)
            links->handlers[h]->closed(links->args[h], serving, serving->stream);
        else
            links->handlers[h]->writable(links->args[h], serving, serving->stream);
        return;
    }
}

void fake_links_writable(struct links_serving *serving) {
    tell_serving(serving, false);
}

void fake_links_close(struct links_serving *serving) {
    tell_serving(serving, true);
    serving->is_streaming = false;
}

void fake_links_serving_finish(struct links_serving *serving) {
    free(serving->body);
    free(serving->events);
    *serving = (struct links_serving){};
}

/* ---- life ---- */

void links_listen(struct links *links, const struct links_handler *handler, void *arg) {
    assert_true(links->n_handlers < FAKE_LISTENERS_MAX);
    links->handlers[links->n_handlers] = handler;
    links->args[links->n_handlers++] = arg;
}

bool links_peer(const struct links *links, const char *peer_uid, struct links_peer *ret) {
    size_t i = index_of(links, peer_uid);
    if (i == links->roster->n)
        return false;
    *ret = links->peers[i];
    return true;
}

void links_watch_closely(struct links *links, const char *peer_uid, bool closely) {
    links->watched[index_of(links, peer_uid)] = closely;
}

const struct roster *links_roster(const struct links *links) {
    return links->roster;
}
