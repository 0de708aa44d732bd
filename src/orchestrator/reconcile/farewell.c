/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/farewell.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/reconcile/reconcile.h"
#include "signaling/links.h"

struct farewell {
    struct reconcile *reconcile;
    struct list_link link;
    char peer_uid[UID_SIZE], stream_uid[UID_SIZE];
    int64_t link_generation, until_ns;
    struct links_call *call;
    struct loop_timer timer;
};

static void farewell_end(struct farewell *farewell) {
    struct reconcile *r = farewell->reconcile;
    loop_timer_stop(r->loop, &farewell->timer);
    if (farewell->call)
        links_cancel(farewell->call);
    list_remove(&farewell->link);
    free(farewell);
}

static void try_again(struct farewell *farewell) {
    struct reconcile *r = farewell->reconcile;
    if (r->is_stopping || loop_now_ns(r->loop) + FAREWELL_RETRY_NS >= farewell->until_ns)
        farewell_end(farewell);
    else
        loop_timer_start(r->loop, &farewell->timer, FAREWELL_RETRY_NS);
}

/* Whatever the other side says but that it cannot answer now: the attachment is not there, or is a newer one. */
static void on_reply(void *arg, const struct links_reply *reply, const struct err_info *) {
    struct farewell *farewell = arg;
    farewell->call = nullptr;
    if (reply && reply->status < 500 && reply->status != 429)
        farewell_end(farewell);
    else
        try_again(farewell);
}

static bool is_up(const struct farewell *farewell) {
    struct links_peer peer;
    return links_peer(farewell->reconcile->links, farewell->peer_uid, &peer) && peer.state == LINKS_UP;
}

static void say(void *arg) {
    struct farewell *farewell = arg;
    if (farewell->call) { /* rocd is ending, and has waited long enough */
        farewell_end(farewell);
        return;
    }
    if (!is_up(farewell)) {
        try_again(farewell);
        return;
    }
    char path[96], tag[32];
    snprintf(path, sizeof path, "/peers/%s/attachments/%s", farewell->peer_uid, farewell->stream_uid);
    snprintf(tag, sizeof tag, "\"%" PRId64 "\"", farewell->link_generation);
    const struct links_request request = {.method = "DELETE",
                                          .path = path,
                                          .if_match = tag,
                                          .role = ROSTER_ADMIN,
                                          .deadline_ns = FAREWELL_DEADLINE_NS,
                                          .repeatable = true};
    static const struct links_caller CALLER = {.reply = on_reply};
    farewell->call = links_ask(farewell->reconcile->links, farewell->peer_uid, &request, &CALLER, farewell);
    if (!farewell->call)
        try_again(farewell);
    else if (farewell->reconcile->is_stopping)
        loop_timer_start(farewell->reconcile->loop, &farewell->timer, FAREWELL_LAST_NS);
}

void farewell_say(struct reconcile *r, const char *peer_uid, const char *stream_uid, int64_t link_generation,
                  int64_t until_ns) {
    struct farewell *farewell = r->links ? calloc(1, sizeof *farewell) : nullptr;
    if (!farewell)
        return;
    *farewell = (struct farewell){.reconcile = r, .link_generation = link_generation, .until_ns = until_ns};
    snprintf(farewell->peer_uid, sizeof farewell->peer_uid, "%s", peer_uid);
    snprintf(farewell->stream_uid, sizeof farewell->stream_uid, "%s", stream_uid);
    farewell->timer = (struct loop_timer){.fire = say, .arg = farewell};
    list_append(&r->farewells, &farewell->link);
    say(farewell);
}

void farewell_stop(struct reconcile *r) {
    struct farewell *farewell;
    list_for_each_safe(farewell, &r->farewells, link) {
        if (farewell->call)
            loop_timer_start(r->loop, &farewell->timer, FAREWELL_LAST_NS);
        else
            farewell_end(farewell);
    }
}

void farewell_finish(struct reconcile *r) {
    while (!list_empty(&r->farewells))
        farewell_end(list_first(&r->farewells, struct farewell, link));
}
