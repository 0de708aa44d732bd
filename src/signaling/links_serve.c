/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "signaling/links_priv.h"

/*
 * Being asked. A request is done once: its id is marked, and its reply is kept until the asker says that it has it (`low`)
 * or nobody can be waiting any more. All is bounded by peer: ids by a window of bits, replies by bytes, requests under way
 * by number and by rate.
 */
enum pace { PACE_REQUESTS, PACE_LOOKS, PACE_RENEWALS };
static const struct {
    int64_t per_s, burst;
} PACES[] = {
    /* Writes, which cost a commit each, and whatever tells of many objects at once. */
    [PACE_REQUESTS] = {50, 200},
    /* One object is looked at. All users of the peer that asks share this: a page that shows a hundred of ours, or five that
     * show some, each second. Measured: 0.3 ms of processor time each where it is served, so 8 % of a core at most. */
    [PACE_LOOKS] = {250, 500},
    /* Of attachments: a stream ends when these fail for long. Twice what LIMIT_STREAMS of them need, each every 5 s and all
     * of them when a link comes up. */
    [PACE_RENEWALS] = {110, 512},
};

/* ---- ids ---- */

static bool is_seen(const struct link *link, uint64_t id) {
    return link->seen[id % LINK_WINDOW / 64] >> (id % 64) & 1;
}

static void mark_seen(struct link *link, uint64_t id) {
    link->seen[id % LINK_WINDOW / 64] |= 1ULL << (id % 64);
}

static struct links_serving *find(const struct link *link, uint64_t id) {
    struct links_serving *s;
    list_for_each(s, &link->servings, link) {
        if (s->id == id)
            return s;
    }
    list_for_each(s, &link->writings, link) {
        if (s->id == id)
            return s;
    }
    return nullptr;
}

void link_serving_free(struct links_serving *s) {
    if (s->counted)
        s->counted->n_servings--;
    if (s->peer && s->texts)
        s->peer->reply_bytes -= s->n_texts;
    list_remove(&s->link);
    free(s->texts);
    free(s);
}

static void settle_below(struct link *link, uint64_t low) {
    if (low <= link->low)
        return;
    if (low - link->low >= LINK_WINDOW) {
        memset(link->seen, 0, sizeof link->seen);
    } else {
        for (uint64_t id = link->low; id < low; id++)
            link->seen[id % LINK_WINDOW / 64] &= ~(1ULL << (id % 64));
    }
    link->low = low;
    struct links_serving *s;
    list_for_each_safe(s, &link->servings, link) {
        if (s->id < low && s->state == SERVING_ANSWERED)
            link_serving_free(s);
    }
}

/* ---- replies ---- */

static void fill(const struct links_serving *s, int64_t part, struct frame *ret) {
    const struct links_reply *r = &s->reply;
    int64_t from = part * (int64_t)FRAME_PART_MAX;
    *ret = (struct frame){
        .type = FRAME_RES,
        .id = s->id,
        .status = r->status,
        .is_streaming = r->streaming,
        .content_type = r->content_type,
        .n_headers = r->n_headers,
        .part = part,
        .size = (int64_t)r->body_len,
        .body = (const char *)r->body + from,
        .body_len = (size_t)link_min((int64_t)r->body_len - from, (int64_t)FRAME_PART_MAX),
    };
    memcpy(ret->headers, r->headers, sizeof ret->headers);
}

void link_send_parts(struct links_serving *s) {
    while (s->parts) {
        int part = __builtin_ctzll(s->parts);
        struct frame frame;
        fill(s, part, &frame);
        enum err err = link_send(s->peer, &frame);
        if (err == ERR_LIMIT) {
            link_wake(s->peer, link_now(s->peer) + LINK_PUMP_NS);
            return;
        }
        if (err) {
            s->parts = 0; /* no line: it will be asked for again */
            return;
        }
        s->parts &= ~(1ULL << part);
    }
}

static uint64_t all_parts(const struct links_serving *s) {
    int64_t n = frame_parts((int64_t)s->reply.body_len);
    return n >= 64 ? UINT64_MAX : (1ULL << n) - 1;
}

/* What links themselves have to say. Not kept: a repeat is looked at anew. */
static void refuse(struct link *link, uint64_t id, enum err code, const char *why) {
    char body[512];
    int n = snprintf(body, sizeof body,
                     "{\"type\":\"urn:rocd:problem:%s\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\","
                     "\"error_code\":\"%s\",\"error_text\":\"%s\",\"errors\":[]}",
                     err_name(code), err_title(code), err_http_status(code), why, err_name(code), why);
    struct frame frame = {
        .type = FRAME_RES,
        .id = id,
        .status = err_http_status(code),
        .content_type = "application/problem+json",
        .headers = {{"Retry-After", "1"}},
        .n_headers = 1,
        .size = n,
        .body = body,
        .body_len = (size_t)n,
    };
    (void)link_send(link, &frame);
}

/* Room for one more: the oldest that have been sent go first. */
static void make_room(struct link *link, size_t bytes) {
    struct links_serving *s;
    list_for_each_safe(s, &link->servings, link) {
        if (link->reply_bytes + bytes <= LINK_REPLIES_MAX)
            return;
        if (s->state == SERVING_ANSWERED && !s->parts)
            link_serving_free(s);
    }
}

static const char *put(char **at, const char *text) {
    size_t n = text ? strlen(text) + 1 : 0;
    char *copy = *at;
    if (n)
        memcpy(copy, text, n);
    *at += n;
    return n ? copy : nullptr;
}

static bool copy_reply(struct links_serving *s, const struct links_reply *r) {
    size_t n = r->body_len + (r->content_type ? strlen(r->content_type) + 1 : 0) + 1;
    for (size_t i = 0; i < r->n_headers; i++)
        n += strlen(r->headers[i].name) + strlen(r->headers[i].value) + 2;
    make_room(s->peer, n);
    char *at = s->texts = s->peer->reply_bytes + n > LINK_REPLIES_MAX ? nullptr : malloc(n);
    if (!at)
        return false;
    s->n_texts = n;
    s->peer->reply_bytes += n;
    s->reply = *r;
    s->reply.content_type = put(&at, r->content_type);
    for (size_t i = 0; i < r->n_headers; i++)
        s->reply.headers[i] = (struct links_header){put(&at, r->headers[i].name), put(&at, r->headers[i].value)};
    if (r->body_len)
        memcpy(at, r->body, r->body_len);
    s->reply.body = at;
    return true;
}

static void answer_nobody(struct links_serving *s, const struct links_reply *reply, void *stream) {
    if (s->links && reply->streaming) {
        s->stream = stream;
        link_writing_close_later(s);
    } else {
        link_serving_free(s);
    }
}

void links_answer(struct links_serving *s, const struct links_reply *reply, void *stream) {
    if (s->counted)
        s->counted->n_servings--;
    s->counted = nullptr;
    struct link *link = s->peer;
    if (!link) {
        answer_nobody(s, reply, stream);
        return;
    }
    bool is_refused = reply->body_len > LINKS_REPLY_MAX || reply->n_headers > LINKS_HEADERS_MAX ||
                      (reply->streaming && link->n_writings >= LINK_STREAMS_MAX);
    if (is_refused || !copy_reply(s, reply)) {
        uint64_t id = s->id;
        s->peer = nullptr;
        answer_nobody(s, reply, stream);
        if (reply->body_len > LINKS_REPLY_MAX)
            refuse(link, id, ERR_INTERNAL, "The reply is larger than a link carries");
        else
            refuse(link, id, ERR_LIMIT, "Too many replies to this peer are under way");
        return;
    }
    s->state = SERVING_ANSWERED;
    s->parts = all_parts(s);
    link_send_parts(s);
    if (reply->streaming)
        link_writing_begin(s, stream);
    link_wake(link, s->until_ns);
}

/* ---- requests ---- */

static enum pace pace_of(const struct links_request *r) {
    static const char STREAM[] = "/streams/";
    if (strcmp(r->method, "PUT") == 0 && strstr(r->path, "/attachments/"))
        return PACE_RENEWALS;
    bool is_object = strncmp(r->path, STREAM, sizeof STREAM - 1) == 0 || strstr(r->path, "/endpoints/");
    return strcmp(r->method, "GET") == 0 && is_object ? PACE_LOOKS : PACE_REQUESTS;
}

static bool is_too_fast(struct link *link, const struct links_request *r) {
    enum pace pace = pace_of(r);
    return !bucket_take(&link->paces[pace], link_now(link), PACES[pace].per_s, PACES[pace].burst);
}

static void take_repeat(struct link *link, uint64_t id) {
    struct links_serving *s = find(link, id);
    if (!s)
        refuse(link, id, ERR_UNAVAILABLE, "It has been done, and its reply is no longer held");
    else if (s->state != SERVING_ASKED) {
        s->parts = all_parts(s);
        link_send_parts(s);
    }
}

static struct links_serving *serve(struct link *link, const struct frame *f) {
    struct links_serving *s = calloc(1, sizeof *s);
    if (!s)
        return nullptr;
    *s = (struct links_serving){
        .links = link->links,
        .peer = link,
        .counted = link,
        .id = f->id,
        .state = SERVING_ASKED,
        .until_ns = link_now(link) + f->request.deadline_ns + LINK_REPLY_KEPT_NS,
    };
    list_append(&link->servings, &s->link);
    link->n_servings++;
    return s;
}

void link_take_request(struct link *link, const struct frame *f) {
    struct links *links = link->links;
    settle_below(link, f->low);
    if (f->id < link->low)
        return; /* settled: a late copy */
    if (f->id - link->low >= LINK_WINDOW) {
        refuse(link, f->id, ERR_LIMIT, "Too many requests are under way");
        return;
    }
    if (is_seen(link, f->id)) {
        take_repeat(link, f->id);
        return;
    }
    if (is_too_fast(link, &f->request)) {
        refuse(link, f->id, ERR_LIMIT, "More requests a second than a peer may make");
        return;
    }
    struct links_serving *s = nullptr;
    if (!links->server || link->n_servings >= LINK_SERVINGS_MAX || !(s = serve(link, f))) {
        refuse(link, f->id, links->server ? ERR_LIMIT : ERR_UNAVAILABLE, "Not now");
        return;
    }
    mark_seen(link, f->id);
    struct links_request request = f->request;
    request.body = f->body;
    request.body_len = f->body_len;
    links->server->request(links->server_arg, link->member->uid, &request, s);
}

/* Whoever works on it goes on, and nobody waits. */
static void orphan(struct links_serving *s) {
    list_remove(&s->link);
    list_append(&s->links->orphans, &s->link);
    s->peer = nullptr;
}

static void drop(struct links_serving *s) {
    if (s->state == SERVING_ASKED)
        orphan(s);
    else if (s->state == SERVING_WRITING)
        link_writing_close(s);
    else
        link_serving_free(s);
}

void link_take_cancel(struct link *link, const struct frame *f) {
    struct links_serving *s = find(link, f->id);
    if (s)
        drop(s);
}

void link_servings_forget(struct link *link) {
    while (!list_empty(&link->servings))
        drop(list_first(&link->servings, struct links_serving, link));
    memset(link->seen, 0, sizeof link->seen);
    link->low = 0; /* the buckets stay: a new epoch buys no new requests */
}

void link_servings_finish(struct link *link) {
    link_servings_forget(link);
    link_writings_end(link);
}

/* ---- time ---- */

void link_servings_run(struct link *link) {
    struct links_serving *s;
    list_for_each_safe(s, &link->servings, link) {
        if (s->state == SERVING_ANSWERED && link_now(link) >= s->until_ns)
            link_serving_free(s);
        else if (s->state == SERVING_ANSWERED)
            link_send_parts(s);
    }
}

int64_t link_servings_due(const struct link *link) {
    int64_t due_ns = INT64_MAX;
    const struct links_serving *s;
    list_for_each(s, &link->servings, link) {
        if (s->state == SERVING_ANSWERED)
            due_ns = link_min(due_ns, s->parts ? link_now(link) + LINK_PUMP_NS : s->until_ns);
    }
    return due_ns;
}
