/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/loop.h"
#include "support/fake_api.h"

constexpr uint64_t RING = 256; /* events kept */

struct later {
    struct list_link link; /* api.later */
    struct loop_timer timer;
    struct api *api;
    api_reply_fn reply;
    void *arg;
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
    buf_printf(&b, "{\"path\":\"%s\",\"query\":\"%s\",\"body\":%zu,\"name\":\"%s\",\"admin\":%d}", q->path,
               q->query ? q->query : "", q->body_len, q->principal.name, q->principal.privilege == API_ADMIN);
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

void fake_api_publish(struct api *api, uint64_t n, size_t event_bytes) {
    api->n_events += n;
    api->event_bytes = event_bytes;
    if (api->wake)
        api->wake(api->wake_arg);
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
        fake_api_publish(api, number(q->query, "n", 1), number(q->query, "size", 8));
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

void api_off_events(struct api *api, void *) {
    api->wake = nullptr;
}

void fake_api_init(struct api *api, struct loop *loop) {
    *api = (struct api){.loop = loop};
    list_init(&api->later);
}

unsigned fake_api_finish(struct api *api) {
    struct later *l;
    list_for_each_safe(l, &api->later, link) answer_later(l);
    return api->n_subscribers;
}
