/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "signaling/links_priv.h"

/*
 * Reading endless replies. Events are numbered; what does not follow the last one ends the reply, and the reader asks
 * again from where it was, which is simpler than asking for what is missing, and happens only when a line broke. The last
 * event of all could be lost without another after it: beats tell the number of the last one.
 */

static struct links_call *find(const struct link *link, uint64_t id) {
    struct links_call *call;
    list_for_each(call, &link->readings, link) {
        if (call->id == id)
            return call;
    }
    return nullptr;
}

static bool is_waiting(const struct link *link, uint64_t id) {
    const struct links_call *call;
    list_for_each(call, &link->calls, link) {
        if (call->id == id)
            return true;
    }
    return false;
}

void link_send_cancel(struct link *link, uint64_t id) {
    struct frame frame = {.type = FRAME_CANCEL, .id = id};
    (void)link_send(link, &frame);
}

static void send_ack(struct links_call *call) {
    struct frame frame = {.type = FRAME_ACK, .id = call->id, .seq = call->next_seq - 1};
    if (link_send(call->peer, &frame) == ERR_OK)
        call->acked = frame.seq;
}

static void end(struct links_call *call, const char *why) {
    struct err_info info;
    (void)err_set(&info, ERR_UNAVAILABLE, "the events of peer %s ended: %s", call->peer->member->uid, why);
    struct links_caller caller = call->caller;
    void *arg = call->arg;
    link_call_free(call);
    if (caller.ended)
        caller.ended(arg, &info);
}

static void lose(struct links_call *call, const char *why) {
    link_send_cancel(call->peer, call->id);
    end(call, why);
}

void link_take_event(struct link *link, const struct frame *f) {
    struct links_call *call = find(link, f->id);
    if (!call) {
        /* Where the reply itself is on its way, or was lost, it will be asked for again. */
        if (!is_waiting(link, f->id) && bucket_take(&link->control, link_now(link), 20, 50))
            link_send_cancel(link, f->id);
        return;
    }
    uint64_t expected = f->name ? call->next_seq : call->next_seq - 1;
    if (f->seq > expected) {
        lose(call, "some were lost; ask again");
        return;
    }
    call->heard_ns = link_now(link);
    if (!f->name)
        send_ack(call);
    if (!f->name || f->seq < expected)
        return;
    const struct links_event event = {.name = f->name, .cursor = f->cursor, .json = f->body, .json_len = f->body_len};
    call->next_seq++;
    if (call->next_seq - 1 - call->acked >= LINK_ACK_EVERY)
        send_ack(call);
    if (call->caller.event)
        call->caller.event(call->arg, &event); /* which may cancel: the call may be gone */
}

void link_take_end(struct link *link, const struct frame *f) {
    struct links_call *call = find(link, f->id);
    if (call)
        end(call, f->seq >= call->next_seq ? "some were lost; ask again" : "it closed them");
}

void link_readings_end(struct link *link, const char *why) {
    struct list all;
    list_init(&all);
    while (!list_empty(&link->readings)) {
        struct links_call *call = list_first(&link->readings, struct links_call, link);
        list_remove(&call->link);
        list_append(&all, &call->link);
    }
    while (!list_empty(&all))
        end(list_first(&all, struct links_call, link), why);
}

static struct links_call *next_silent(const struct link *link) {
    struct links_call *call;
    list_for_each(call, &link->readings, link) {
        if (link_now(link) - call->heard_ns >= LINK_READER_SILENT_NS)
            return call;
    }
    return nullptr;
}

void link_readings_run(struct link *link) {
    struct links_call *call;
    while ((call = next_silent(link)))
        lose(call, "nothing was heard for too long; ask again");
}

int64_t link_readings_due(const struct link *link) {
    int64_t due_ns = INT64_MAX;
    const struct links_call *call;
    list_for_each(call, &link->readings, link) {
        due_ns = link_min(due_ns, call->heard_ns + LINK_READER_SILENT_NS);
    }
    return due_ns;
}
