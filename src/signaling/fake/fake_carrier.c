/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/roster.h"
#include "signaling/fake/fake_priv.h"

/* ---- what is on its way ---- */

static void wake(struct fake_carrier *c) {
    const struct fake_event *first = list_first(&c->inbox, struct fake_event, link);
    if (first && !(c->timer.armed && c->timer.due_ns <= first->due_ns)) {
        int64_t now_ns = loop_now_ns(c->loop);
        loop_timer_start(c->loop, &c->timer, first->due_ns > now_ns ? first->due_ns - now_ns : 0);
    }
}

static void post(struct fake_carrier *c, struct fake_event *event) {
    event->seq = ++c->network->next_seq;
    if (event->line)
        event->line->n_events++;
    if (event->kind == FAKE_FRAME)
        event->line->n_queued[event->end]++;
    struct list_link *at = &c->inbox.head;
    while (at->prev != &c->inbox.head && container_of(at->prev, struct fake_event, link)->due_ns > event->due_ns)
        at = at->prev;
    list_insert_before(at, &event->link);
    wake(c);
}

static void discard(struct fake_event *event) {
    list_remove(&event->link);
    if (event->line) {
        event->line->n_events--;
        if (event->kind == FAKE_FRAME)
            event->line->n_queued[event->end]--;
        fake_line_release(event->line);
    }
    free(event);
}

static int64_t in_order(struct fake_line *line, enum carrier_line end, int64_t due_ns) {
    if (due_ns < line->last_due_ns[end])
        due_ns = line->last_due_ns[end];
    line->last_due_ns[end] = due_ns;
    return due_ns;
}

void fake_tell_fall(struct fake_line *line, enum carrier_line end, const char *why, bool now) {
    struct fake_carrier *c = line->ends[end];
    struct fake_event *event = c ? calloc(1, sizeof *event) : nullptr;
    if (!event)
        return;
    struct fake_network *n = c->network;
    const char *other = line->uids[fake_other(end)];
    event->kind = FAKE_FALL;
    event->line = line;
    event->end = end;
    event->due_ns = loop_now_ns(c->loop);
    if (!now)
        event->due_ns = in_order(line, end, event->due_ns + fake_delay(n, fake_weather_of(n, other, c->uid)));
    (void)err_set(&event->info, ERR_UNAVAILABLE, "%s", why);
    post(c, event);
}

/* ---- arriving ---- */

static void announce(struct fake_carrier *c, struct fake_line *line) {
    const char *peer = line->uids[CARRIER_DIALED];
    struct fake_line *old;
    line->is_announced = true;
    list_for_each_safe(old, &c->network->lines, link) {
        if (old == line || !old->is_announced || old->ends[CARRIER_ACCEPTED] != c ||
            strcmp(old->uids[CARRIER_DIALED], peer) != 0)
            continue;
        struct err_info info;
        (void)err_set(&info, ERR_UNAVAILABLE, "it has made another line");
        fake_tell_fall(old, CARRIER_DIALED, "the other side has taken another line", /* now= */ false);
        fake_line_leave(old, CARRIER_ACCEPTED);
        c->handler->line(c->arg, peer, CARRIER_ACCEPTED, false, &info);
    }
    c->handler->line(c->arg, peer, CARRIER_ACCEPTED, true, nullptr);
}

static void arrive_frame(struct fake_carrier *c, struct fake_event *event) {
    struct fake_line *line = event->line;
    const char *peer = line->uids[fake_other(event->end)];
    if (line->ends[event->end] != c)
        return; /* hung up meanwhile */
    if (fake_is_cut(c->network, c->uid, peer)) {
        c->network->stats.lost++;
        return;
    }
    if (event->end == CARRIER_ACCEPTED && !line->is_announced)
        announce(c, line);
    if (line->ends[event->end] != c)
        return;
    c->network->stats.delivered++;
    c->handler->frame(c->arg, peer, event->end, event->bytes, event->len);
}

static void arrive_fall(struct fake_carrier *c, struct fake_event *event) {
    struct fake_line *line = event->line;
    if (line->ends[event->end] != c)
        return;
    bool is_known = event->end == CARRIER_DIALED || line->is_announced;
    fake_line_leave(line, event->end); /* the event still points here */
    if (is_known)
        c->handler->line(c->arg, line->uids[fake_other(event->end)], event->end, false, &event->info);
}

static bool has_key(const struct fake_carrier *c, const uint8_t *key) {
    return !c->has_key || memcmp(c->curve_key, key, CRYPTO_DH_KEY_SIZE) == 0;
}

static void arrive_dial(struct fake_carrier *c, struct fake_event *event) {
    const char *peer = event->peer_uid;
    struct fake_carrier *other = fake_find(c->network, peer);
    struct err_info info = {};
    if (fake_is_cut(c->network, c->uid, peer))
        return; /* no answer */
    const struct roster_member *us = other ? roster_find(other->roster, c->uid) : nullptr;
    if (!other)
        (void)err_set(&info, ERR_UNAVAILABLE, "nobody answers where peer %s should be", peer);
    else if (!has_key(other, event->curve_key))
        (void)err_set(&info, ERR_INVALID, "where peer %s should be is another key", peer);
    else if (!us || !has_key(c, us->curve_key))
        (void)err_set(&info, ERR_FORBIDDEN, "peer %s does not list us", peer);
    else if (!fake_line_create(c, other))
        (void)err_set(&info, ERR_NO_MEMORY, "no memory for a line");
    c->handler->line(c->arg, peer, CARRIER_DIALED, info.code == ERR_OK, info.code ? &info : nullptr);
}

static void arrive(struct fake_carrier *c, struct fake_event *event) {
    switch (event->kind) {
    case FAKE_FRAME:
        arrive_frame(c, event);
        break;
    case FAKE_FALL:
        arrive_fall(c, event);
        break;
    case FAKE_DIAL:
        arrive_dial(c, event);
        break;
    }
}

static void on_timer(void *arg) {
    struct fake_carrier *c = arg;
    int64_t now_ns = loop_now_ns(c->loop);
    struct fake_event *event;
    while (!c->is_dead && (event = list_first(&c->inbox, struct fake_event, link)) && event->due_ns <= now_ns) {
        list_remove(&event->link); /* a callback may hang up, or end us */
        arrive(c, event);
        discard(event);
    }
    if (!c->is_dead)
        wake(c);
}

/* ---- the vtable ---- */

static enum err fake_start(struct carrier *carrier, const struct carrier_handler *handler, void *arg,
                           struct err_info *reterr) {
    struct fake_carrier *c = (struct fake_carrier *)carrier;
    if (fake_find(c->network, c->uid))
        return err_set(reterr, ERR_BUSY, "peer %s is on the network already", c->uid);
    c->handler = handler;
    c->arg = arg;
    c->is_started = true;
    return ERR_OK;
}

static void forget_dial(struct fake_carrier *c, const char *peer_uid) {
    struct fake_event *event;
    list_for_each_safe(event, &c->inbox, link) {
        if (event->kind == FAKE_DIAL && strcmp(event->peer_uid, peer_uid) == 0)
            discard(event);
    }
}

static void fake_dial(struct carrier *carrier, const struct roster_member *member) {
    struct fake_carrier *c = (struct fake_carrier *)carrier;
    if (!c->is_started || c->is_dead || fake_line_of(c, member->uid, CARRIER_DIALED))
        return;
    forget_dial(c, member->uid);
    struct fake_event *event = calloc(1, sizeof *event);
    if (!event)
        return;
    struct fake_network *n = c->network;
    event->kind = FAKE_DIAL;
    event->due_ns = loop_now_ns(c->loop) + fake_delay(n, fake_weather_of(n, c->uid, member->uid)) +
                    fake_delay(n, fake_weather_of(n, member->uid, c->uid));
    snprintf(event->peer_uid, sizeof event->peer_uid, "%s", member->uid);
    memcpy(event->curve_key, member->curve_key, CRYPTO_DH_KEY_SIZE);
    post(c, event);
}

/* The other side hears of it, if anything passes. */
static void leave(struct fake_carrier *c, struct fake_line *line, enum carrier_line end) {
    enum carrier_line other = fake_other(end);
    if (!fake_is_cut(c->network, c->uid, line->uids[other]))
        fake_tell_fall(line, other, "the other side has closed the line", /* now= */ false);
    fake_line_leave(line, end);
}

static void fake_hang_up(struct carrier *carrier, const char *peer_uid, enum carrier_line end) {
    struct fake_carrier *c = (struct fake_carrier *)carrier;
    if (c->is_dead)
        return;
    if (end == CARRIER_DIALED)
        forget_dial(c, peer_uid);
    struct fake_line *line;
    while ((line = fake_line_of(c, peer_uid, end)))
        leave(c, line, end);
}

static bool put(struct fake_carrier *c, struct fake_line *line, enum carrier_line to, const void *frame, size_t len) {
    struct fake_network *n = c->network;
    struct fake_carrier *receiver = line->ends[to];
    const struct fake_weather *weather = fake_weather_of(n, c->uid, receiver->uid);
    struct fake_event *event = calloc(1, sizeof *event + len);
    if (!event)
        return false;
    event->kind = FAKE_FRAME;
    event->line = line;
    event->end = to;
    event->len = len;
    memcpy(event->bytes, frame, len);
    event->due_ns = loop_now_ns(receiver->loop) + fake_delay(n, weather);
    if (fake_happens(n, weather->reorder_permille))
        event->due_ns += fake_delay(n, weather) + fake_delay(n, weather);
    else
        event->due_ns = in_order(line, to, event->due_ns);
    post(receiver, event);
    return true;
}

/* Nobody is there any more: what is sent is answered by a reset, if there is a system that could. */
static void send_to_nobody(struct fake_carrier *c, struct fake_line *line, enum carrier_line end) {
    enum carrier_line other = fake_other(end);
    bool is_answered = !fake_is_cut(c->network, c->uid, line->uids[other]) &&
                       (!line->is_silent || fake_find(c->network, line->uids[other]));
    c->network->stats.lost++;
    if (is_answered)
        fake_tell_fall(line, end, "the other side has closed the line", /* now= */ false);
}

static enum err fake_send(struct carrier *carrier, const char *peer_uid, enum carrier_line end, const void *frame,
                          size_t len) {
    struct fake_carrier *c = (struct fake_carrier *)carrier;
    struct fake_line *line = c->is_dead ? nullptr : fake_line_of(c, peer_uid, end);
    if (!line || (end == CARRIER_ACCEPTED && !line->is_announced))
        return ERR_UNAVAILABLE;
    struct fake_network *n = c->network;
    enum carrier_line to = fake_other(end);
    const struct fake_weather *weather = fake_weather_of(n, c->uid, peer_uid);
    if (line->n_queued[to] >= CARRIER_QUEUE_MAX)
        return ERR_LIMIT;
    n->stats.sent++;
    if (!line->ends[to]) {
        send_to_nobody(c, line, end);
        return ERR_OK;
    }
    if (fake_is_cut(n, c->uid, peer_uid) || fake_happens(n, weather->loss_permille)) {
        n->stats.lost++;
        return ERR_OK;
    }
    if (!put(c, line, to, frame, len))
        return ERR_LIMIT;
    if (fake_happens(n, weather->duplicate_permille) && put(c, line, to, frame, len))
        n->stats.doubled++;
    return ERR_OK;
}

void fake_network_host(const char *peer_uid, char ret[static 64]) {
    uint32_t sum = 2166136261U; /* FNV-1a */
    for (const char *p = peer_uid; *p; p++)
        sum = (sum ^ (uint8_t)*p) * 16777619U;
    snprintf(ret, 64, "10.%u.%u.%u", sum >> 16 & 255, sum >> 8 & 255, sum & 255);
}

static void fake_host(const struct carrier *carrier, const char *peer_uid, enum carrier_line end, char ret[static 64]) {
    ret[0] = 0;
    if (fake_line_of((const struct fake_carrier *)carrier, peer_uid, end))
        fake_network_host(peer_uid, ret);
}

static uint16_t fake_port(const struct carrier *) {
    return 4041;
}

static void leave_all(struct fake_carrier *c, bool with_a_word) {
    for (int i = 0; i < 2; i++) {
        enum carrier_line end = (enum carrier_line)i;
        struct fake_line *line;
        list_for_each_safe(line, &c->network->lines, link) {
            if (line->ends[end] != c)
                continue;
            line->is_silent = !with_a_word;
            if (with_a_word)
                leave(c, line, end);
            else
                fake_line_leave(line, end);
        }
    }
    while (!list_empty(&c->inbox))
        discard(list_first(&c->inbox, struct fake_event, link));
    loop_timer_stop(c->loop, &c->timer);
}

static void die(struct fake_carrier *c, bool with_a_word) {
    if (!c->is_dead)
        leave_all(c, with_a_word);
    c->is_dead = true;
}

void fake_carrier_crash(struct carrier *carrier) {
    die((struct fake_carrier *)carrier, /* with_a_word= */ true);
}

void fake_carrier_lose_power(struct carrier *carrier) {
    die((struct fake_carrier *)carrier, /* with_a_word= */ false);
}

static void fake_close(struct carrier *carrier) {
    struct fake_carrier *c = (struct fake_carrier *)carrier;
    if (!c)
        return;
    die(c, /* with_a_word= */ true);
    list_remove(&c->link);
    free(c);
}

void fake_carrier_set_key(struct carrier *carrier, const uint8_t curve_key[static CRYPTO_DH_KEY_SIZE]) {
    struct fake_carrier *c = (struct fake_carrier *)carrier;
    memcpy(c->curve_key, curve_key, CRYPTO_DH_KEY_SIZE);
    c->has_key = true;
}

enum err fake_carrier_create(struct fake_network *network, struct loop *loop, const char *own_uid,
                             const struct roster *roster, struct carrier **ret, struct err_info *reterr) {
    static const struct carrier_ops OPS = {
        .start = fake_start,
        .dial = fake_dial,
        .hang_up = fake_hang_up,
        .send = fake_send,
        .host = fake_host,
        .port = fake_port,
        .close = fake_close,
    };
    struct fake_carrier *c = calloc(1, sizeof *c);
    if (!c)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for a carrier");
    c->carrier.ops = &OPS;
    c->network = network;
    c->loop = loop;
    c->roster = roster;
    snprintf(c->uid, sizeof c->uid, "%s", own_uid);
    c->timer = (struct loop_timer){.fire = on_timer, .arg = c};
    list_init(&c->inbox);
    list_append(&network->carriers, &c->link);
    *ret = &c->carrier;
    return ERR_OK;
}
