/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "signaling/links_priv.h"

/*
 * Greeting. Each side says hello with its epoch and, once it has heard it, the other's. Who hears its own epoch knows that
 * both know both: the link is up for it, and it says so. A hello of somebody who is not up is always answered, so that a
 * lost one does no harm; one of somebody who is up and knows us needs no answer, so that greeting ends.
 */

void link_send_hello(struct link *link, enum carrier_line line) {
    struct links *links = link->links;
    struct frame hello = {
        .type = FRAME_HELLO,
        .proto_min = links->proto_min,
        .proto_max = links->proto_max,
        .rocd_version = links->version,
        .is_up = link_is_up(link),
    };
    (void)link_send_on(link, line, &hello);
}

void link_greet_stranger(struct link *link, enum carrier_line line) {
    if (bucket_take(&link->control, link_now(link), 20, 50))
        link_send_hello(link, line);
}

/* Not for ever: of two peers that were given one key by mistake, the one that stays must get its turn. */
static bool is_over(const struct link *link, uint64_t epoch) {
    for (size_t i = 0; i < LINK_PAST_EPOCHS; i++)
        if (link->past[i].epoch == epoch && link_now(link) - link->past[i].since_ns < LINK_PAST_NS)
            return true;
    return false;
}

static void take_new_run(struct link *link, uint64_t epoch) {
    bool was_up = link_is_up(link);
    if (link->now.epoch) {
        size_t i = link->n_past++ % LINK_PAST_EPOCHS;
        link->past[i].epoch = link->now.epoch;
        link->past[i].since_ns = link_now(link);
        struct err_info info;
        (void)err_set(&info, ERR_UNAVAILABLE, "it was restarted");
        link->now.epoch = epoch;
        link->now.proto = 0;
        link->now.version[0] = 0;
        if (was_up) {
            link->hello_ns = link_now(link) + LINK_HELLO_NS;
            link->greeting_ns = link_now(link) + LINK_GREETING_NS;
            link_set_state(link, LINKS_DIALING, &info);
            link_calls_suspend(link);
            link_readings_end(link, "it was restarted");
            link_writings_end(link);
        }
        link_calls_restarted(link);
        link_servings_forget(link);
    }
    link->now.epoch = epoch;
}

/* The greatest version that both know; 0: none. */
static int64_t agree(const struct links *links, const struct frame *hello) {
    int64_t best = link_min(links->proto_max, hello->proto_max);
    return best >= links->proto_min && best >= hello->proto_min ? best : 0;
}

static void refuse(struct link *link, const struct frame *hello) {
    const struct links *links = link->links;
    struct err_info info;
    (void)err_set(
        &info, ERR_UNSUPPORTED,
        "it speaks versions %lld to %lld of the protocol (rocd %s) and this rocd %d to %d: update the older one",
        (long long)hello->proto_min, (long long)hello->proto_max, hello->rocd_version ? hello->rocd_version : "?",
        links->proto_min, links->proto_max);
    link->is_refused = true;
    if (!link_is_up(link))
        link_set_state(link, LINKS_REFUSED, &info);
}

static void come_up(struct link *link, int64_t version, enum carrier_line line) {
    struct links *links = link->links;
    link->now.proto = (int)version;
    link->is_refused = false;
    link->hello_ns = link->greeting_ns = INT64_MAX;
    links->carrier->ops->host(links->carrier, link->member->uid, line, link->now.host);
    for (int i = 0; i < 2; i++)
        link->lines[i].heard_ns = link_now(link);
    link_set_state(link, LINKS_UP, nullptr);
    link_calls_resume(link);
    link_wake(link, link_now(link));
}

void link_take_hello(struct link *link, enum carrier_line line, const struct frame *frame) {
    struct links *links = link->links;
    if (is_over(link, frame->from) || !bucket_take(&link->control, link_now(link), 20, 50))
        return;
    if (frame->from != link->now.epoch) {
        /* Each costs much here: nobody restarts faster than that, and a hello is said again. */
        if (link->now.epoch && !bucket_take(&link->runs, link_now(link), 1, 10))
            return;
        take_new_run(link, frame->from);
    }
    bool knows_us = frame->to == links->epoch;
    int64_t version = agree(links, frame);
    if (frame->rocd_version)
        snprintf(link->now.version, sizeof link->now.version, "%s", frame->rocd_version);
    if (!version)
        refuse(link, frame);
    else if (knows_us && !link_is_up(link))
        come_up(link, version, line);
    /* Without a common version nobody comes up: who knows us has heard all there is to say. */
    if (!knows_us || (version && !frame->is_up))
        link_send_hello(link, line);
}

void link_hello_run(struct link *link) {
    int64_t now_ns = link_now(link);
    if (now_ns >= link->greeting_ns) {
        struct err_info info;
        (void)err_set(&info, ERR_UNAVAILABLE, "it did not answer our greeting");
        link_give_up(link, link->is_refused ? nullptr : &info, link->is_refused);
    } else if (now_ns >= link->hello_ns) {
        link->hello_ns = now_ns + LINK_HELLO_NS;
        for (int line = 0; line < 2; line++)
            link_send_hello(link, (enum carrier_line)line);
    }
}

int64_t link_hello_due(const struct link *link) {
    return link_min(link->hello_ns, link->greeting_ns);
}
