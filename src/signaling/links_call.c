/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "signaling/links_priv.h"

/*
 * Asking. A request keeps its id however often it is sent; the receiver does it once. Ids count up in a run of ours, and
 * every request tells the lowest that still waits, so that the receiver can forget the rest.
 */
constexpr int64_t REPEAT_FIRST_NS = 1 * NS_PER_S;
constexpr int64_t REPEAT_MAX_NS = 4 * NS_PER_S;

/* ---- a call's own copy of the request ---- */

static size_t size_of(const char *text) {
    return text ? strlen(text) + 1 : 0;
}

static const char *put(char **at, const char *text) {
    size_t n = size_of(text);
    char *copy = *at;
    if (!n)
        return nullptr;
    memcpy(copy, text, n);
    *at += n;
    return copy;
}

static bool copy_request(struct links_call *call, const struct links_request *r) {
    size_t n = size_of(r->method) + size_of(r->path) + size_of(r->query) + size_of(r->content_type) +
               size_of(r->if_match) + size_of(r->if_none_match) + size_of(r->idempotency_key) +
               size_of(r->last_event_id) + size_of(r->grant) + size_of(r->user) + r->body_len;
    char *at = call->texts = malloc(n + 1);
    if (!at)
        return false;
    call->request = *r;
    call->request.method = put(&at, r->method);
    call->request.path = put(&at, r->path);
    call->request.query = put(&at, r->query);
    call->request.content_type = put(&at, r->content_type);
    call->request.if_match = put(&at, r->if_match);
    call->request.if_none_match = put(&at, r->if_none_match);
    call->request.idempotency_key = put(&at, r->idempotency_key);
    call->request.last_event_id = put(&at, r->last_event_id);
    call->request.grant = put(&at, r->grant);
    call->request.user = put(&at, r->user);
    if (r->body_len)
        memcpy(at, r->body, r->body_len);
    call->request.body = at;
    return true;
}

static void drop_parts(struct links_call *call) {
    if (call->body)
        call->peer->part_bytes -= (size_t)call->size;
    free(call->body);
    call->body = nullptr;
    call->parts = 0;
}

void link_call_free(struct links_call *call) {
    drop_parts(call);
    list_remove(&call->link);
    free(call->texts);
    free(call);
}

/* ---- ends ---- */

static bool may_be_done(const struct links_call *call) {
    return call->epoch != 0;
}

/* The call is no longer among those that wait. */
static void take_out(struct links_call *call) {
    list_remove(&call->link);
    call->peer->n_calls--;
}

static void fail(struct links_call *call, enum err code, const char *why) {
    struct err_info info;
    const struct roster_member *member = call->peer->member;
    (void)err_set(&info, code, "%s %s was not answered by peer %s: %s%s", call->request.method, call->request.path,
                  member->uid, why, may_be_done(call) ? "; it may have been done" : "; it was not done");
    struct links_caller caller = call->caller;
    void *arg = call->arg;
    take_out(call);
    link_call_free(call);
    caller.reply(arg, nullptr, &info);
}

/* At the next run: not from inside a call of ours. */
static void fail_later(struct links_call *call, enum err code, const char *why) {
    call->failed = code;
    call->why = why;
    link_wake(call->peer, link_now(call->peer));
}

/* ---- sending ---- */

static uint64_t lowest(const struct link *link) {
    struct links_call *call;
    list_for_each(call, &link->calls, link) {
        if (!call->failed || call->epoch)
            return call->id;
    }
    return link->last_id + 1;
}

static void send_request(struct links_call *call) {
    struct link *link = call->peer;
    int64_t left_ns = call->deadline_ns - link_now(link);
    struct frame frame = {
        .type = FRAME_REQ,
        .id = call->id,
        .low = lowest(link),
        .request = call->request,
        .body = call->request.body,
        .body_len = call->request.body_len,
    };
    frame.request.deadline_ns = left_ns > NS_PER_MS ? left_ns : NS_PER_MS;
    enum err err = link_send(link, &frame);
    if (err == ERR_OK)
        call->epoch = link->now.epoch;
    if (err == ERR_LIMIT) {
        call->repeat_ns = link_now(link) + LINK_PUMP_NS;
    } else if (err == ERR_OK || err == ERR_UNAVAILABLE) {
        call->repeat_ns = link_now(link) + call->pause_ns;
        call->pause_ns = link_min(call->pause_ns * 2, REPEAT_MAX_NS);
    } else {
        fail_later(call, err, "it cannot be put into a frame");
    }
    link_wake(link, call->repeat_ns);
}

static void begin(struct links_call *call) {
    struct link *link = call->peer;
    call->id = ++link->last_id;
    call->epoch = 0;
    call->pause_ns = REPEAT_FIRST_NS;
    list_append(&link->calls, &call->link);
}

static void check_and_send(struct links_call *call) {
    struct link *link = call->peer;
    if (link->n_calls > LINKS_CALLS_MAX || call->id - lowest(link) >= LINK_WINDOW)
        fail_later(call, ERR_LIMIT, "too many requests to it are under way");
    else if (!link_is_up(link))
        fail_later(call, ERR_UNAVAILABLE, "it is not reached");
    else
        send_request(call);
}

struct links_call *links_ask(struct links *links, const char *peer_uid, const struct links_request *request,
                             const struct links_caller *caller, void *arg) {
    struct link *link = links_find(links, peer_uid);
    struct links_call *call = link ? calloc(1, sizeof *call) : nullptr;
    if (!call || !copy_request(call, request)) {
        free(call);
        return nullptr;
    }
    int64_t patience_ns = request->deadline_ns > 0 ? request->deadline_ns : LINKS_DEADLINE_NS;
    call->peer = link;
    call->caller = *caller;
    call->arg = arg;
    call->deadline_ns = link_now(link) + link_min(patience_ns, FRAME_DEADLINE_MAX_NS);
    link->n_calls++;
    begin(call);
    check_and_send(call);
    link_wake(link, link_min(call->deadline_ns, call->failed ? 0 : call->repeat_ns));
    return call;
}

void links_cancel(struct links_call *call) {
    struct link *link = call->peer;
    if (call->epoch && call->epoch == link->now.epoch)
        link_send_cancel(link, call->id);
    if (!call->next_seq)
        link->n_calls--;
    link_call_free(call);
}

/* ---- the reply ---- */

static struct links_call *find(const struct link *link, uint64_t id) {
    struct links_call *call;
    list_for_each(call, &link->calls, link) {
        if (call->id == id)
            return call->failed ? nullptr : call;
    }
    return nullptr;
}

/* true: `call->body` is whole */
static bool add_part(struct links_call *call, const struct frame *f) {
    struct link *link = call->peer;
    size_t size = (size_t)f->size;
    if (call->body && call->size != f->size)
        drop_parts(call); /* a peer that does not stand by its word: the last one counts */
    if (!call->body) {
        if (link->part_bytes + size > LINK_PARTS_MAX)
            return false; /* it will be asked for again */
        call->body = malloc(size);
        if (!call->body)
            return false;
        call->size = f->size;
        link->part_bytes += size;
    }
    memcpy(call->body + f->part * (int64_t)FRAME_PART_MAX, f->body, f->body_len);
    call->parts |= 1ULL << f->part;
    call->repeat_ns = link_now(link) + REPEAT_FIRST_NS; /* it is coming */
    return __builtin_popcountll(call->parts) == (int)frame_parts(f->size);
}

void link_take_reply(struct link *link, const struct frame *f) {
    struct links_call *call = find(link, f->id);
    if (!call)
        return;
    bool is_whole = frame_parts(f->size) == 1;
    if (!is_whole && !add_part(call, f))
        return;
    struct links_reply reply = {
        .status = (int)f->status,
        .streaming = f->is_streaming,
        .content_type = f->content_type,
        .body = is_whole ? f->body : call->body,
        .body_len = (size_t)f->size,
        .n_headers = f->n_headers,
    };
    memcpy(reply.headers, f->headers, sizeof reply.headers);
    struct links_caller caller = call->caller;
    void *arg = call->arg;
    take_out(call);
    if (f->is_streaming && !caller.ended) { /* nobody would ever end it */
        struct err_info info = {};
        (void)err_set(&info, ERR_UNAVAILABLE, "it gave an endless reply where none was asked for");
        link_send_cancel(link, call->id);
        caller.reply(arg, nullptr, &info);
        link_call_free(call);
        return;
    }
    if (f->is_streaming) {
        _cleanup_(freep) char *body = call->body; /* the caller may cancel: then the call is gone at once */
        if (body)
            link->part_bytes -= (size_t)call->size;
        call->body = nullptr;
        call->next_seq = 1;
        call->heard_ns = link_now(link);
        list_append(&link->readings, &call->link);
        link_wake(link, link_readings_due(link));
        caller.reply(arg, &reply, nullptr);
        return;
    }
    caller.reply(arg, &reply, nullptr);
    link_call_free(call);
}

/* ---- the link comes and goes ---- */

void link_calls_resume(struct link *link) {
    struct links_call *call;
    link->grace_ns = INT64_MAX;
    list_for_each(call, &link->calls, link) {
        if (!call->failed)
            send_request(call);
    }
}

void link_calls_suspend(struct link *link) {
    link->grace_ns = link_now(link) + LINK_GRACE_NS;
    link_wake(link, link->grace_ns);
}

void link_calls_restarted(struct link *link) {
    struct list again;
    list_init(&again);
    struct links_call *call;
    list_for_each_safe(call, &link->calls, link) {
        if (call->failed || !call->epoch)
            continue;
        if (call->request.repeatable) {
            drop_parts(call);
            list_remove(&call->link);
            list_append(&again, &call->link);
        } else {
            fail_later(call, ERR_UNAVAILABLE, "it was restarted");
        }
    }
    /* A new run counts them anew: an old id could be taken for one that it has already done. */
    while (!list_empty(&again)) {
        call = list_first(&again, struct links_call, link);
        list_remove(&call->link);
        begin(call);
        call->repeat_ns = link_now(link) + call->pause_ns;
    }
}

/* ---- time ---- */

static struct links_call *next_due(const struct link *link) {
    int64_t now_ns = link_now(link);
    struct links_call *call;
    list_for_each(call, &link->calls, link) {
        if (call->failed || now_ns >= call->deadline_ns || now_ns >= link->grace_ns)
            return call;
    }
    return nullptr;
}

void link_calls_run(struct link *link) {
    struct links_call *call;
    /* One after the other from the start: a callback may change the list. */
    while ((call = next_due(link))) {
        if (call->failed)
            fail(call, call->failed, call->why);
        else if (link_is_up(link))
            fail(call, ERR_UNAVAILABLE, "it did not answer in time");
        else
            fail(call, ERR_UNAVAILABLE, "the link went down");
    }
    list_for_each(call, &link->calls, link) {
        if (link_is_up(link) && link_now(link) >= call->repeat_ns)
            send_request(call);
    }
}

int64_t link_calls_due(const struct link *link) {
    int64_t due_ns = INT64_MAX;
    struct links_call *call;
    list_for_each(call, &link->calls, link) {
        due_ns = link_min(due_ns, call->failed ? link_now(link) : link_min(call->deadline_ns, link->grace_ns));
        if (link_is_up(link))
            due_ns = link_min(due_ns, call->repeat_ns);
    }
    return due_ns;
}

void link_calls_finish(struct link *link) {
    while (!list_empty(&link->calls))
        fail(list_first(&link->calls, struct links_call, link), ERR_UNAVAILABLE, "this rocd stops");
    link_readings_end(link, "this rocd stops");
}
