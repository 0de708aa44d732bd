/* SPDX-License-Identifier: MPL-2.0 */
#include "signaling/links.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "signaling/links_priv.h"

/* ---- news ---- */

static const char *state_name(enum links_state state) {
    static const char *const NAMES[] = {
        [LINKS_DOWN] = "down", [LINKS_DIALING] = "dialing", [LINKS_UP] = "up", [LINKS_REFUSED] = "refused"};
    return NAMES[state];
}

static void log_news(const struct link *link, enum links_state before) {
    struct log log = link->links->log;
    const char *peer = link->member->uid;
    if (link->now.state == LINKS_UP)
        log_info(log, "link up", LOG_STR("peer", peer), LOG_STR("host", link->now.host),
                 LOG_INT("proto", link->now.proto));
    else if (link->now.state == LINKS_REFUSED && before != LINKS_REFUSED)
        log_warn(log, "link refused", LOG_STR("peer", peer), LOG_STR("reason", link->now.reason.message));
    else if (before == LINKS_UP)
        log_info(log, "link down", LOG_STR("peer", peer), LOG_STR("reason", link->now.reason.message));
    else
        log_debug(log, "link", LOG_STR("peer", peer), LOG_STR("state", state_name(link->now.state)),
                  LOG_STR("reason", link->now.reason.message));
}

void link_set_state(struct link *link, enum links_state state, const struct err_info *reason) {
    struct links *links = link->links;
    enum links_state before = link->now.state;
    if (reason)
        link->now.reason = *reason;
    if (state == LINKS_UP)
        link->now.reason = (struct err_info){};
    if (state == before)
        return;
    link->now.state = state;
    link->now.since_ns = link_now(link);
    log_news(link, before);
    for (size_t i = 0; i < links->n_listeners; i++)
        if (links->listeners[i].handler->changed)
            links->listeners[i].handler->changed(links->listeners[i].arg, link->member->uid, &link->now);
}

/* ---- time ---- */

void link_wake(struct link *link, int64_t at_ns) {
    if (at_ns == INT64_MAX || (link->timer.armed && link->timer.due_ns <= at_ns))
        return;
    int64_t now_ns = link_now(link);
    loop_timer_start(link->links->loop, &link->timer, at_ns > now_ns ? at_ns - now_ns : 0);
}

static void link_run(void *arg) {
    struct link *link = arg;
    link_line_run(link);
    link_hello_run(link);
    link_calls_run(link);
    link_readings_run(link);
    link_servings_run(link);
    link_writings_run(link);
    link_wake(link, link_line_due(link));
    link_wake(link, link_hello_due(link));
    link_wake(link, link_calls_due(link));
    link_wake(link, link_readings_due(link));
    link_wake(link, link_servings_due(link));
    link_wake(link, link_writings_due(link));
}

/* SplitMix64: enough for jitter, and the same for the same seed. */
static uint64_t random_next(struct links *links) {
    uint64_t z = links->random += 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return z ^ z >> 31;
}

int64_t links_jitter(struct links *links, int64_t ns) {
    return ns / 10 * 8 + (int64_t)(random_next(links) % (uint64_t)(ns / 10 * 4 + 1));
}

/* ---- members ---- */

struct link *links_find(struct links *links, const char *peer_uid) {
    for (size_t i = 0; i < links->n_members; i++)
        if (strcmp(links->members[i].member->uid, peer_uid) == 0)
            return &links->members[i];
    return nullptr;
}

bool links_peer(const struct links *links, const char *peer_uid, struct links_peer *ret) {
    for (size_t i = 0; i < links->n_members; i++) {
        const struct link *link = &links->members[i];
        if (strcmp(link->member->uid, peer_uid) != 0)
            continue;
        *ret = link->now;
        return true;
    }
    return false;
}

void links_watch_closely(struct links *links, const char *peer_uid, bool closely) {
    struct link *link = links_find(links, peer_uid);
    if (!link || link->is_close == closely)
        return;
    link->is_close = closely;
    /* What was last heard counts from now: a link is not lost by being looked at. */
    for (int i = 0; closely && i < 2; i++)
        link->lines[i].heard_ns = link_now(link);
    link_wake(link, link_now(link));
}

const struct roster *links_roster(const struct links *links) {
    return links->roster;
}

static void link_init(struct link *link, struct links *links, const struct roster_member *member) {
    *link = (struct link){
        .links = links,
        .member = member,
        .is_first = strcmp(links->own_uid, member->uid) < 0,
        .timer = {.fire = link_run, .arg = link},
        .now = {.state = LINKS_DOWN, .since_ns = loop_now_ns(links->loop)},
        .dial_ns = INT64_MAX,
        .two_lines_ns = INT64_MAX,
        .hello_ns = INT64_MAX,
        .grace_ns = INT64_MAX,
        .greeting_ns = INT64_MAX,
    };
    list_init(&link->calls);
    list_init(&link->readings);
    list_init(&link->servings);
    list_init(&link->writings);
}

/* ---- life ---- */

static void close_all(void *arg) {
    struct links *links = arg;
    while (!list_empty(&links->closing))
        link_writing_close(list_first(&links->closing, struct links_serving, link));
}

enum err links_create(const struct links_config *config, struct links **ret, struct err_info *reterr) {
    struct links *links = calloc(1, sizeof *links);
    struct link *members = calloc(config->roster->n + 1, sizeof *members);
    if (!links || !members) {
        free(links);
        free(members);
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the links to %zu peers", config->roster->n);
    }
    *links = (struct links){
        .log = config->log,
        .loop = config->loop,
        .carrier = config->carrier,
        .roster = config->roster,
        .epoch = config->epoch,
        .version = config->version,
        .proto_min = config->proto_min ? config->proto_min : LINKS_PROTO_MIN,
        .proto_max = config->proto_max ? config->proto_max : LINKS_PROTO_MAX,
        .random = config->seed,
        .members = members,
        .n_members = config->roster->n,
        .close_timer = {.fire = close_all, .arg = links},
        .scratch = {.max = CARRIER_FRAME_MAX},
    };
    snprintf(links->own_uid, sizeof links->own_uid, "%s", config->own_uid);
    if (!config->seed)
        crypto_random(&links->random, sizeof links->random);
    list_init(&links->orphans);
    list_init(&links->closing);
    for (size_t i = 0; i < links->n_members; i++)
        link_init(&members[i], links, &config->roster->members[i]);
    *ret = links;
    return ERR_OK;
}

void links_listen(struct links *links, const struct links_handler *handler, void *arg) {
    if (links->n_listeners == LINKS_LISTENERS_MAX)
        return;
    links->listeners[links->n_listeners].handler = handler;
    links->listeners[links->n_listeners++].arg = arg;
    if (handler->request && !links->server) {
        links->server = handler;
        links->server_arg = arg;
    }
}

enum err links_start(struct links *links, struct err_info *reterr) {
    enum err err = links->carrier->ops->start(links->carrier, &links_carrier_handler, links, reterr);
    for (size_t i = 0; !err && i < links->n_members; i++) {
        link_dial_soon(&links->members[i]);
        link_wake(&links->members[i], link_line_due(&links->members[i]));
    }
    return err;
}

void links_destroy(struct links *links) {
    if (!links)
        return;
    for (size_t i = 0; i < links->n_members; i++) {
        struct link *link = &links->members[i];
        loop_timer_stop(links->loop, &link->timer);
        link_calls_finish(link);
        link_servings_finish(link);
        loop_timer_stop(links->loop, &link->timer);
    }
    close_all(links);
    loop_timer_stop(links->loop, &links->close_timer);
    /* Who has not answered yet will, or not: these live until then. */
    while (!list_empty(&links->orphans)) {
        struct links_serving *serving = list_first(&links->orphans, struct links_serving, link);
        list_remove(&serving->link);
        serving->links = nullptr;
        serving->counted = nullptr;
    }
    for (size_t i = 0; i < links->n_members; i++)
        for (int line = 0; line < 2; line++)
            if (links->members[i].lines[line].is_up || links->members[i].is_dialing)
                links->carrier->ops->hang_up(links->carrier, links->members[i].member->uid, (enum carrier_line)line);
    buf_finish(&links->scratch);
    free(links->members);
    free(links);
}
