/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "signaling/links_priv.h"

/*
 * Writing endless replies. The reader acknowledges what it has got, and no more than LINK_UNREAD_MAX events are on their
 * way: a slow reader is noticed here and not by memory that grows, and what the carrier has queued stays small.
 */

static bool has_room(const struct links_serving *s) {
    return s->seq - s->acked < LINK_UNREAD_MAX;
}

void link_writing_begin(struct links_serving *s, void *stream) {
    struct link *link = s->peer;
    list_remove(&s->link);
    list_append(&link->writings, &s->link);
    link->n_writings++;
    s->state = SERVING_WRITING;
    s->stream = stream;
    s->heard_ns = s->beat_ns = link_now(link);
    s->is_wanting = true;
    link_wake(link, link_now(link));
}

/* ---- ends ---- */

static void take_out(struct links_serving *s) {
    list_remove(&s->link);
    if (s->peer && s->state == SERVING_WRITING)
        s->peer->n_writings--;
}

void link_writing_close(struct links_serving *s) {
    struct links *links = s->links;
    void *stream = s->stream;
    take_out(s);
    if (links->server->closed)
        links->server->closed(links->server_arg, s, stream);
    link_serving_free(s);
}

void link_writing_close_later(struct links_serving *s) {
    struct links *links = s->links;
    take_out(s);
    if (s->peer)
        s->peer->reply_bytes -= s->n_texts;
    s->peer = nullptr;
    list_append(&links->closing, &s->link);
    loop_timer_start(links->loop, &links->close_timer, 0);
}

static void send_end(struct links_serving *s) {
    struct frame frame = {.type = FRAME_END, .id = s->id, .seq = s->seq};
    if (s->peer)
        (void)link_send(s->peer, &frame);
}

void links_end(struct links_serving *s) {
    send_end(s);
    take_out(s);
    link_serving_free(s);
}

void link_writings_end(struct link *link) {
    while (!list_empty(&link->writings)) {
        struct links_serving *s = list_first(&link->writings, struct links_serving, link);
        send_end(s);
        link_writing_close(s);
    }
}

/* ---- events ---- */

bool links_push(struct links_serving *s, const struct links_event *event) {
    struct link *link = s->peer;
    if (!link)
        return false; /* `closed` is on its way */
    if (s->parts || !has_room(s)) {
        s->is_wanting = true;
        return false;
    }
    struct frame frame = {
        .type = FRAME_EVT,
        .id = s->id,
        .seq = s->seq + 1,
        .name = event->name,
        .cursor = event->cursor,
        .body = event->json,
        .body_len = event->json_len,
    };
    enum err err = link_send(link, &frame);
    if (err == ERR_OK) {
        s->seq++;
        s->beat_ns = link_now(link);
        return true;
    }
    if (err == ERR_LIMIT || err == ERR_UNAVAILABLE) {
        s->is_wanting = true;
        link_wake(link, link_now(link) + LINK_PUMP_NS);
        return false;
    }
    send_end(s);
    link_writing_close_later(s);
    return false;
}

static void tell_writable(struct links_serving *s) {
    const struct links *links = s->links;
    s->is_wanting = false;
    s->round = s->peer->round;
    if (links->server->writable)
        links->server->writable(links->server_arg, s, s->stream);
}

static struct links_serving *find(const struct link *link, uint64_t id) {
    struct links_serving *s;
    list_for_each(s, &link->writings, link) {
        if (s->id == id)
            return s;
    }
    return nullptr;
}

void link_take_ack(struct link *link, const struct frame *f) {
    struct links_serving *s = find(link, f->id);
    if (!s)
        return;
    s->heard_ns = link_now(link);
    if (f->seq > s->acked && f->seq <= s->seq)
        s->acked = f->seq;
    if (s->is_wanting && !s->parts && has_room(s))
        tell_writable(s);
}

/* ---- time ---- */

static int64_t beat_every(const struct link *link) {
    return link->is_close ? LINK_BEAT_NS / 5 : LINK_BEAT_NS;
}

static void beat(struct links_serving *s) {
    struct frame frame = {.type = FRAME_EVT, .id = s->id, .seq = s->seq};
    s->beat_ns = link_now(s->peer);
    (void)link_send(s->peer, &frame);
}

static bool is_due(const struct links_serving *s) {
    int64_t now_ns = link_now(s->peer);
    return now_ns - s->heard_ns >= LINK_WRITER_SILENT_NS ||
           (s->is_wanting && !s->parts && has_room(s) && s->round != s->peer->round);
}

static struct links_serving *next_due(const struct link *link) {
    struct links_serving *s;
    list_for_each(s, &link->writings, link) {
        if (is_due(s))
            return s;
    }
    return nullptr;
}

void link_writings_run(struct link *link) {
    struct links_serving *s;
    list_for_each(s, &link->writings, link) {
        link_send_parts(s);
        if (link_now(link) - s->beat_ns >= beat_every(link))
            beat(s);
    }
    /* Each once a run: one that is wanting again has met a full line. A callback may change the list, so the search
     * begins anew every time. */
    link->round++;
    while ((s = next_due(link))) {
        if (link_now(link) - s->heard_ns >= LINK_WRITER_SILENT_NS)
            link_writing_close(s);
        else
            tell_writable(s);
    }
}

int64_t link_writings_due(const struct link *link) {
    int64_t due_ns = INT64_MAX;
    const struct links_serving *s;
    list_for_each(s, &link->writings, link) {
        due_ns = link_min(due_ns, link_min(s->beat_ns + beat_every(link), s->heard_ns + LINK_WRITER_SILENT_NS));
        if (s->parts || (s->is_wanting && has_room(s)))
            due_ns = link_min(due_ns, link_now(link) + LINK_PUMP_NS);
    }
    return due_ns;
}
