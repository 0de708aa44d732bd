/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "signaling/links_priv.h"

/* ---- frames out ---- */

/* Of two lines the one that the peer with the lesser uid made. */
static enum carrier_line preferred(const struct link *link) {
    enum carrier_line better = link->is_first ? CARRIER_DIALED : CARRIER_ACCEPTED;
    enum carrier_line other = link->is_first ? CARRIER_ACCEPTED : CARRIER_DIALED;
    return link->lines[better].is_up || !link->lines[other].is_up ? better : other;
}

static bool has_line(const struct link *link) {
    return link->lines[CARRIER_DIALED].is_up || link->lines[CARRIER_ACCEPTED].is_up;
}

enum err link_send_on(struct link *link, enum carrier_line line, struct frame *frame) {
    struct links *links = link->links;
    struct err_info info = {};
    if (!link->lines[line].is_up)
        return ERR_UNAVAILABLE;
    frame->from = links->epoch;
    frame->to = link->now.epoch;
    frame->version = link->now.proto;
    buf_clear(&links->scratch);
    enum err err = frame_encode(frame, &links->scratch, &info);
    if (err) {
        log_warn(links->log, "a frame cannot be written", LOG_STR("type", frame_type_name(frame->type)),
                 LOG_STR("reason", info.message));
        return err == ERR_LIMIT || err == ERR_UNAVAILABLE ? ERR_INVALID : err;
    }
    return links->carrier->ops->send(links->carrier, link->member->uid, line, links->scratch.data, links->scratch.len);
}

enum err link_send(struct link *link, struct frame *frame) {
    return link_is_up(link) ? link_send_on(link, preferred(link), frame) : ERR_UNAVAILABLE;
}

/* ---- dialing ---- */

static void dial_after(struct link *link, int64_t pause_ns) {
    bool can_dial = link->member->address[0] != 0;
    if (!link->is_first && pause_ns < LINK_PAUSE_SECOND_NS)
        pause_ns = LINK_PAUSE_SECOND_NS;
    link->is_dialing = false;
    link->dial_ns = can_dial ? link_now(link) + (pause_ns ? links_jitter(link->links, pause_ns) : 0) : INT64_MAX;
    link_wake(link, link->dial_ns);
}

void link_dial_soon(struct link *link) {
    if (!link->member->address[0])
        (void)err_set(&link->now.reason, ERR_UNAVAILABLE, "its address is not known here: it has to dial");
    dial_after(link, 0);
}

static void dial_again(struct link *link, bool slowly) {
    if (slowly)
        link->pause_ns = LINK_PAUSE_MAX_NS;
    else if (!link->pause_ns)
        link->pause_ns = LINK_PAUSE_MIN_NS;
    else
        link->pause_ns = link_min(link->pause_ns * 2, LINK_PAUSE_MAX_NS);
    dial_after(link, link->pause_ns);
}

/* No line is left. */
static void fall(struct link *link, const struct err_info *reason, bool slowly) {
    bool was_up = link_is_up(link);
    if (was_up && link_now(link) - link->now.since_ns >= LINK_SETTLED_NS)
        link->pause_ns = 0;
    link->hello_ns = link->greeting_ns = link->two_lines_ns = INT64_MAX;
    link->is_refused = false;
    link->now.host[0] = 0;
    dial_again(link, slowly);
    link_set_state(link, slowly ? LINKS_REFUSED : LINKS_DOWN, reason);
    if (was_up) {
        link_calls_suspend(link);
        link_readings_end(link, "the link went down");
        link_writings_end(link);
    }
}

void link_give_up(struct link *link, const struct err_info *reason, bool slowly) {
    struct carrier *carrier = link->links->carrier;
    for (int i = 0; i < 2; i++) {
        if (link->lines[i].is_up || (i == CARRIER_DIALED && link->is_dialing))
            carrier->ops->hang_up(carrier, link->member->uid, (enum carrier_line)i);
        link->lines[i].is_up = false;
    }
    fall(link, reason, slowly);
}

static void dial(struct link *link) {
    struct carrier *carrier = link->links->carrier;
    link->is_dialing = true;
    link->dial_ns = link_now(link) + LINK_GREETING_NS;
    if (link->now.state != LINKS_REFUSED)
        link_set_state(link, LINKS_DIALING, nullptr);
    carrier->ops->dial(carrier, link->member);
}

/* ---- lines come and go ---- */

static void line_up(struct link *link, enum carrier_line line) {
    int64_t now_ns = link_now(link);
    link->lines[line] = (struct line){.is_up = true, .up_ns = now_ns, .heard_ns = now_ns};
    if (line == CARRIER_DIALED)
        link->is_dialing = false;
    if (!link->is_dialing)
        link->dial_ns = INT64_MAX;
    if (link->lines[CARRIER_DIALED].is_up && link->lines[CARRIER_ACCEPTED].is_up)
        link->two_lines_ns = now_ns + LINK_TWO_LINES_NS;
    if (!link_is_up(link)) {
        link->hello_ns = now_ns + LINK_HELLO_NS;
        link->greeting_ns = now_ns + LINK_GREETING_NS;
        if (link->now.state != LINKS_REFUSED)
            link_set_state(link, LINKS_DIALING, nullptr);
    }
    link_send_hello(link, line);
    link_wake(link, now_ns);
}

static void line_down(struct link *link, enum carrier_line line, const struct err_info *info) {
    bool was_known = link->lines[line].is_up || (line == CARRIER_DIALED && link->is_dialing);
    link->lines[line].is_up = false;
    link->two_lines_ns = INT64_MAX;
    if (line == CARRIER_DIALED)
        link->is_dialing = false;
    if (!was_known || has_line(link))
        return;
    bool slowly = link->is_refused || (info && (info->code == ERR_FORBIDDEN || info->code == ERR_INVALID));
    if (link->is_dialing) { /* the accepted one fell while ours is on its way */
        int64_t dial_ns = link->dial_ns;
        fall(link, info, slowly);
        link->is_dialing = true;
        link->dial_ns = dial_ns;
    } else {
        fall(link, link->is_refused ? nullptr : info, slowly);
    }
}

static void on_line(void *arg, const char *peer_uid, enum carrier_line line, bool is_up, const struct err_info *info) {
    struct link *link = links_find(arg, peer_uid);
    if (!link)
        return;
    if (is_up)
        line_up(link, line);
    else
        line_down(link, line, info);
}

/* ---- frames in ---- */

static void take(struct link *link, enum carrier_line line, const struct frame *frame) {
    struct frame pong = {.type = FRAME_PONG};
    switch (frame->type) {
    case FRAME_HELLO:
        break; /* not here */
    case FRAME_PING:
        if (bucket_take(&link->control, link_now(link), 20, 50))
            (void)link_send_on(link, line, &pong);
        break;
    case FRAME_PONG:
        break; /* it was heard */
    case FRAME_REQ:
        link_take_request(link, frame);
        break;
    case FRAME_RES:
        link_take_reply(link, frame);
        break;
    case FRAME_EVT:
        link_take_event(link, frame);
        break;
    case FRAME_ACK:
        link_take_ack(link, frame);
        break;
    case FRAME_END:
        link_take_end(link, frame);
        break;
    case FRAME_CANCEL:
        link_take_cancel(link, frame);
        break;
    }
}

/* Somebody who knows how to reach us talks nonsense: a fault, or an attempt. */
static void refuse_frame(struct link *link, const struct err_info *info) {
    struct links *links = link->links;
    log_debug(links->log, "a frame was refused", LOG_STR("peer", link->member->uid), LOG_STR("member", info->pointer),
              LOG_STR("reason", info->message));
    if (bucket_take(&link->bad, link_now(link), 5, 50))
        return;
    struct err_info reason;
    (void)err_set(&reason, ERR_UNAVAILABLE, "it sent too many frames that are not valid; the last: %s", info->message);
    log_warn(links->log, "a peer was hung up on", LOG_STR("peer", link->member->uid),
             LOG_STR("reason", reason.message));
    link_give_up(link, &reason, /* slowly= */ false);
}

static void on_frame(void *arg, const char *peer_uid, enum carrier_line line, const void *bytes, size_t len) {
    struct link *link = links_find(arg, peer_uid);
    struct frame frame;
    struct err_info info = {};
    if (!link || !link->lines[line].is_up || !bucket_take(&link->frames, link_now(link), 5'000, 10'000))
        return;
    if (frame_decode(bytes, len, &frame, &info) != ERR_OK) {
        refuse_frame(link, &info);
        return;
    }
    link->lines[line].heard_ns = link->now.heard_ns = link_now(link);
    if (frame.type == FRAME_HELLO)
        link_take_hello(link, line, &frame);
    else if (!link_is_up(link) || frame.to != link->links->epoch || frame.from != link->now.epoch ||
             frame.version != link->now.proto)
        link_greet_stranger(link, line);
    else
        take(link, line, &frame);
    frame_finish(&frame);
}

const struct carrier_handler links_carrier_handler = {.frame = on_frame, .line = on_line};

/* ---- time ---- */

static int64_t ping_every(const struct link *link) {
    return link->is_close ? NS_PER_S : 5 * NS_PER_S;
}

static int64_t silence_max(const struct link *link) {
    return 3 * ping_every(link);
}

static int64_t ping_due(const struct link *link, const struct line *line) {
    int64_t last_ns = line->heard_ns > line->pinged_ns ? line->heard_ns : line->pinged_ns;
    return last_ns + ping_every(link);
}

static void watch_line(struct link *link, enum carrier_line which) {
    struct line *line = &link->lines[which];
    struct carrier *carrier = link->links->carrier;
    int64_t now_ns = link_now(link);
    if (!line->is_up || !link_is_up(link))
        return;
    if (now_ns - line->heard_ns >= silence_max(link)) {
        struct err_info info;
        (void)err_set(&info, ERR_UNAVAILABLE, "nothing was heard from it for %lld s",
                      (long long)((now_ns - line->heard_ns) / NS_PER_S));
        carrier->ops->hang_up(carrier, link->member->uid, which);
        line_down(link, which, &info);
    } else if (now_ns >= ping_due(link, line)) {
        struct frame ping = {.type = FRAME_PING};
        line->pinged_ns = now_ns;
        (void)link_send_on(link, which, &ping);
    }
}

void link_line_run(struct link *link) {
    struct carrier *carrier = link->links->carrier;
    int64_t now_ns = link_now(link);
    if (now_ns >= link->dial_ns && link->is_dialing) {
        struct err_info info;
        (void)err_set(&info, ERR_UNAVAILABLE, "%s did not answer", link->member->address);
        carrier->ops->hang_up(carrier, link->member->uid, CARRIER_DIALED);
        link->dial_ns = INT64_MAX;
        line_down(link, CARRIER_DIALED, &info);
    } else if (now_ns >= link->dial_ns) {
        dial(link);
    }
    if (now_ns >= link->two_lines_ns) {
        enum carrier_line worse = preferred(link) == CARRIER_DIALED ? CARRIER_ACCEPTED : CARRIER_DIALED;
        link->two_lines_ns = INT64_MAX;
        carrier->ops->hang_up(carrier, link->member->uid, worse);
        link->lines[worse].is_up = false;
    }
    watch_line(link, CARRIER_DIALED);
    watch_line(link, CARRIER_ACCEPTED);
}

int64_t link_line_due(const struct link *link) {
    int64_t due_ns = link_min(link->dial_ns, link->two_lines_ns);
    for (int i = 0; i < 2 && link_is_up(link); i++) {
        const struct line *line = &link->lines[i];
        if (line->is_up)
            due_ns = link_min(due_ns, link_min(ping_due(link, line), line->heard_ns + silence_max(link)));
    }
    return due_ns;
}
