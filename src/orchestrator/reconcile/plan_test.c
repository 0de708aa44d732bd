/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "orchestrator/reconcile/plan.h"

/* ---- scenarios as text ---- */

/*
 * One line each: sides, what is desired, what is observed → state reason actions. Letters of the parts: '-' none,
 * '>' starting, '+' up, '<' stopping, in the order source node, destination node, sender, receiver, attachment (which may be
 * left out).
 */
struct scenario {
    const char *sides;    /* "ee", "ex" (to outside), "xe" (from outside), "re" (from another peer), "er" (to one) */
    const char *desired;  /* words: on off gone */
    const char *parts;    /* "--++" */
    const char *observed; /* words: old, src-missing …; links are of the wanted generation unless "old" */
    const char *wanted;   /* "pending DeviceMissing: actions" */
};

static const struct scenario SCENARIOS[] = {
    /* building, in order */
    {"ee", "on", "----", "", "connecting Starting: +src +dst"},
    {"ee", "on", ">>--", "", "connecting Starting:"},
    {"ee", "on", "+>--", "", "connecting Starting:"},
    {"ee", "on", "++--", "", "connecting Starting: +recv"},
    {"ee", "on", "++->", "", "connecting Starting:"},
    {"ee", "on", "++-+", "", "connecting Starting: +send"},
    {"ee", "on", "++>+", "", "connecting Starting:"},
    {"ee", "on", "++++", "", "connecting NoMedia:"},
    {"ee", "on", "++++", "flowing", "running:"},
    {"ee", "on", "++++", "flowing losing", "degraded PacketLoss:"},
    {"ee", "on", "++++", "flowing starved", "degraded PeriodTooLong:"},
    {"ee", "on", "++++", "flowing starved losing", "degraded PeriodTooLong:"},
    {"ee", "on", "++++", "flowing starved silent", "degraded NoMedia:"},
    {"ee", "on", "++++", "flowing silent", "degraded NoMedia:"},
    /* nobody plays into it: silence is right */
    {"ee", "on", "++++", "idle", "running SourceIdle:"},
    {"ee", "on", "++++", "idle flowing silent", "running SourceIdle:"},
    {"ex", "on", "+-+-", "idle flowing", "running SourceIdle:"},
    {"ee", "on", "++>+", "idle", "connecting Starting:"},
    {"ee", "on", "----", "idle dst-missing", "pending DeviceMissing:"},
    {"ex", "on", "----", "", "connecting Starting: +src"},
    {"ex", "on", "+---", "", "connecting Starting: +send"},
    {"ex", "on", "+-+-", "flowing", "running:"},
    {"xe", "on", "----", "", "connecting Starting: +dst"},
    {"xe", "on", "-+--", "", "connecting Starting: +recv"},
    {"xe", "on", "-+-+", "", "connecting NoMedia:"},
    /* taking down: sender, receiver, nodes */
    {"ee", "off", "++++", "flowing", "stopped Disabled: -send"},
    {"ee", "off", "++<+", "", "stopped Disabled:"},
    {"ee", "off", "++-+", "", "stopped Disabled: -recv -src"},
    {"ee", "off", "-+-<", "", "stopped Disabled:"},
    {"ee", "off", "-+--", "", "stopped Disabled: -dst"},
    {"ee", "off", "----", "", "stopped Disabled:"},
    {"ee", "gone", "++++", "", "stopped Deleted: -send"},
    {"ee", "gone", "++>+", "", "stopped Deleted:"},
    {"ee", "gone", "----", "", "stopped Deleted: forget"},
    /* the same change twice meets a part that is under way */
    {"ee", "off", "++->", "", "stopped Disabled: -src"},
    {"ee", "off", ">---", "", "stopped Disabled: -src"},
    /* a change of settings keeps the nodes, a change of endpoint does not */
    {"ee", "on", "++++", "old flowing", "connecting Starting: -send"},
    {"ee", "on", "++-+", "old", "connecting Starting: -recv"},
    {"ee", "on", "++--", "old", "connecting Starting: +recv"},
    {"ee", "on", "++++", "old src-stale", "connecting Starting: -send"},
    {"ee", "on", "++-+", "old src-stale", "connecting Starting: -recv -src"},
    {"ee", "on", "-+-+", "old", "connecting Starting: -recv"},
    /* now external, was an endpoint */
    {"xe", "on", "++++", "old src-stale", "connecting Starting: -send"},
    {"xe", "on", "++--", "old src-stale", "connecting Starting: -src"},
    /* waiting for what is not there */
    {"ee", "on", "----", "src-missing", "pending DeviceMissing:"},
    {"ee", "on", "----", "dst-disabled", "pending EndpointDisabled:"},
    {"ee", "on", "----", "src-unusable", "failed EndpointUnusable:"},
    {"ee", "on", "++++", "src-missing flowing", "pending DeviceMissing: -send"},
    {"ee", "on", "++++", "src-ended flowing", "stopped SourceEnded: -send"},
    {"ex", "on", "+-+-", "src-disabled", "pending EndpointDisabled: -send"},
    /* failures */
    {"ee", "on", "++++", "failed flowing", "failed PathFailed: -send"},
    {"ee", "on", "++--", "retry", "failed PathFailed:"},
    {"xe", "on", "-+--", "retry port", "pending PortInUse:"},
    {"xe", "on", "-+--", "port", "connecting Starting: +recv"},
    {"ee", "on", "+++-", "", "connecting Starting: -send"},
    {"xx", "on", "----", "", "failed NoEndpoint:"},
    /* from another peer: the receiver first, then it is asked */
    {"re", "on", "-----", "", "connecting Starting: +dst"},
    {"re", "on", "->---", "", "connecting Starting:"},
    {"re", "on", "-+---", "", "connecting Starting: +recv"},
    {"re", "on", "-+->-", "", "connecting Starting:"},
    {"re", "on", "-+-+-", "", "connecting Starting: attach"},
    {"re", "on", "-+-+>", "", "connecting Starting:"},
    {"re", "on", "-+-++", "", "connecting NoMedia:"},
    {"re", "on", "-+-++", "flowing", "running:"},
    {"re", "on", "-+-++", "flowing losing", "degraded PacketLoss:"},
    {"re", "on", "-+-++", "flowing silent", "degraded NoMedia:"},
    {"re", "on", "-+-++", "peer-idle", "running SourceIdle:"},
    {"re", "on", "-+-++", "peer-idle flowing silent", "running SourceIdle:"},
    {"re", "on", "-+-++", "peer-idle flowing", "running:"},
    {"re", "on", "-+-++", "peer-starved", "connecting NoMedia:"},
    {"re", "on", "-+-++", "peer-starved flowing", "degraded PeriodTooLong:"},
    {"re", "on", "-+-++", "peer-starved flowing losing", "degraded PeriodTooLong:"},
    {"re", "on", "-+-++", "peer-starved flowing silent", "degraded NoMedia:"},
    {"ee", "on", "++++", "peer-starved flowing", "running:"},
    {"re", "on", "-+-++", "peer-idle old", "connecting Starting: -recv drop"},
    {"er", "on", "+-+--", "idle flowing", "running SourceIdle:"},
    /* … and taken down at once: the other peer is told, and nobody waits for it */
    {"re", "off", "-+-++", "flowing", "stopped Disabled: -recv detach"},
    {"re", "off", "-+-+>", "", "stopped Disabled: -recv detach"},
    {"re", "off", "-+-<-", "", "stopped Disabled:"},
    {"re", "off", "-+---", "", "stopped Disabled: -dst"},
    {"re", "gone", "-+-++", "", "stopped Deleted: -recv detach"},
    {"re", "gone", "-----", "", "stopped Deleted: forget"},
    /* the next link: after a change of settings, when the source was restarted, when the receiver broke */
    {"re", "on", "-+-++", "old flowing", "connecting Starting: -recv drop"},
    {"re", "on", "-+-++", "lost flowing", "running: -recv drop"},
    {"re", "on", "-+-+-", "lost", "connecting Starting: -recv"},
    {"re", "on", "-+-++", "failed flowing", "failed PathFailed: -recv drop"},
    {"re", "on", "-+--+", "", "connecting Starting: drop"},
    {"re", "on", "-+-<-", "lost", "connecting Starting:"},
    {"re", "on", "-+---", "", "connecting Starting: +recv"},
    /* its link is down: nothing is begun, and what is there stays as long as the lease does */
    {"re", "on", "-----", "peer-unreachable wait", "pending SourceUnreachable:"},
    {"re", "on", "-+-+-", "peer-unreachable wait", "pending SourceUnreachable:"},
    {"re", "on", "-+-+>", "peer-unreachable wait", "pending SourceUnreachable:"},
    {"re", "on", "-+-++", "peer-unreachable wait flowing", "degraded SourceUnreachable:"},
    {"re", "on", "-+-++", "peer-unreachable wait flowing silent", "degraded SourceUnreachable:"},
    {"re", "on", "-+-++", "peer-unreachable wait lost silent", "degraded SourceUnreachable: -recv drop"},
    {"re", "on", "-+---", "peer-unreachable wait", "pending SourceUnreachable:"},
    /* it says no */
    {"re", "on", "-+-+>", "peer-refusing", "pending SourceRefused:"},
    {"re", "on", "-+-++", "peer-refusing flowing", "running:"},
    {"re", "on", "-+-++", "peer-forbidden flowing", "failed Forbidden: -recv detach"},
    {"re", "on", "-+-+-", "peer-forbidden", "failed Forbidden: -recv"},
    {"re", "on", "-----", "peer-forbidden", "failed Forbidden:"},
    /* it says why nothing comes */
    {"re", "on", "-+-++", "peer-waiting", "pending SourceMissing:"},
    {"re", "on", "-+-++", "peer-waiting flowing", "running:"},
    {"re", "on", "-+-++", "peer-waiting flowing silent", "pending SourceMissing:"},
    {"re", "on", "-+-++", "peer-unusable", "failed SourceUnusable:"},
    {"re", "on", "-+-++", "peer-ended flowing silent", "stopped SourceEnded: -recv detach"},
    {"re", "on", "-----", "peer-ended", "stopped SourceEnded:"},
    /* the destination is why: nobody is asked for sound */
    {"re", "on", "-----", "dst-missing", "pending DeviceMissing:"},
    {"re", "on", "-+-++", "dst-missing flowing", "pending DeviceMissing: -recv detach"},
    /* a source of ours took its place, or it that of ours */
    {"ee", "on", "-+-++", "old", "connecting Starting: -recv drop"},
    {"re", "on", "++++-", "old src-stale", "connecting Starting: -send"},
    {"re", "on", "++-+-", "old src-stale", "connecting Starting: -recv -src"},
    {"re", "on", "-+-+-", "old", "connecting Starting: -recv"},
    {"xe", "on", "-+-++", "old", "connecting Starting: -recv drop"},
    /* to another peer: a sender like one to the outside */
    {"er", "on", "-----", "", "connecting Starting: +src"},
    {"er", "on", "+----", "", "connecting Starting: +send"},
    {"er", "on", "+-+--", "flowing", "running:"},
    {"er", "on", "+-+--", "flowing starved", "degraded PeriodTooLong:"},
    {"er", "on", "-----", "src-missing", "pending DeviceMissing:"},
    {"er", "on", "+----", "retry", "failed PathFailed:"},
    {"er", "gone", "+-+--", "flowing", "stopped Deleted: -send"},
    /* neither end is ours */
    {"rx", "on", "-----", "", "failed NotOurs:"},
    {"rr", "on", "-----", "", "failed NotOurs:"},
};

static bool has_word(const char *words, const char *word) {
    size_t len = strlen(word);
    for (const char *at = words; (at = strstr(at, word)); at += len)
        if ((at == words || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

static enum plan_part part_of(char c) {
    return (enum plan_part)(strchr("->+<", c) - "->+<");
}

static enum plan_availability availability(const char *words, const char *side) {
    static const char *const NAMES[] = {"available", "missing", "disabled", "unusable", "ended"};
    for (int i = 1; i < 5; i++) {
        char word[32];
        snprintf(word, sizeof word, "%s-%s", side, NAMES[i]);
        if (has_word(words, word))
            return (enum plan_availability)i;
    }
    return PLAN_AVAILABLE;
}

static enum plan_remote peer_word(const char *words) {
    static const char *const NAMES[] = {"",          "idle",    "starved",  "unreachable", "refusing",
                                        "forbidden", "waiting", "unusable", "ended"};
    for (size_t i = 1; i < sizeof NAMES / sizeof *NAMES; i++) {
        char word[32];
        snprintf(word, sizeof word, "peer-%s", NAMES[i]);
        if (has_word(words, word))
            return (enum plan_remote)i;
    }
    return PLAN_REMOTE_READY;
}

static enum plan_side_kind side_of(char c) {
    return c == 'e' ? PLAN_SIDE_ENDPOINT : c == 'r' ? PLAN_SIDE_REMOTE : PLAN_SIDE_EXTERNAL;
}

static void write_plan(char text[static 128], const struct plan *p) {
    static const char *const STATES[] = {"pending", "connecting", "running", "degraded", "stopped", "failed"};
    static const struct {
        uint32_t action;
        const char *name;
    } ACTIONS[] = {
        {PLAN_OPEN_SOURCE_NODE, "+src"},
        {PLAN_OPEN_DESTINATION_NODE, "+dst"},
        {PLAN_OPEN_RECEIVER, "+recv"},
        {PLAN_OPEN_SENDER, "+send"},
        {PLAN_CLOSE_SENDER, "-send"},
        {PLAN_CLOSE_RECEIVER, "-recv"},
        {PLAN_RELEASE_SOURCE_NODE, "-src"},
        {PLAN_RELEASE_DESTINATION_NODE, "-dst"},
        {PLAN_FORGET, "forget"},
        {PLAN_ATTACH, "attach"},
        {PLAN_DETACH, "detach"},
        {PLAN_DROP_ATTACHMENT, "drop"},
    };
    int n = snprintf(text, 128, "%s%s%s:", STATES[p->state], p->reason ? " " : "", p->reason ? p->reason : "");
    for (size_t i = 0; i < sizeof ACTIONS / sizeof *ACTIONS; i++)
        if (p->actions & ACTIONS[i].action)
            n += snprintf(text + n, (size_t)(128 - n), " %s", ACTIONS[i].name);
}

static void test_scenarios(void **) {
    for (size_t i = 0; i < sizeof SCENARIOS / sizeof *SCENARIOS; i++) {
        const struct scenario *s = &SCENARIOS[i];
        const struct plan_desired d = {
            .exists = !has_word(s->desired, "gone"),
            .enabled = has_word(s->desired, "on"),
            .generation = 2,
            .source = side_of(s->sides[0]),
            .destination = side_of(s->sides[1]),
        };
        const struct plan_observed o = {
            .source_availability = availability(s->observed, "src"),
            .destination_availability = availability(s->observed, "dst"),
            .source_node = part_of(s->parts[0]),
            .destination_node = part_of(s->parts[1]),
            .source_node_stale = has_word(s->observed, "src-stale"),
            .destination_node_stale = has_word(s->observed, "dst-stale"),
            .sender = part_of(s->parts[2]),
            .receiver = part_of(s->parts[3]),
            .link_generation = has_word(s->observed, "old") ? 1 : 2,
            .link_failed = has_word(s->observed, "failed"),
            .flowing = has_word(s->observed, "flowing"),
            .silent = has_word(s->observed, "silent"),
            .losing = has_word(s->observed, "losing"),
            .starved = has_word(s->observed, "starved"),
            .source_idle = has_word(s->observed, "idle"),
            .port_in_use = has_word(s->observed, "port"),
            .retry_waiting = has_word(s->observed, "retry"),
            .source_peer = peer_word(s->observed),
            .attachment = s->parts[4] ? part_of(s->parts[4]) : PLAN_PART_NONE,
            .attachment_lost = has_word(s->observed, "lost"),
            .attachment_waiting = has_word(s->observed, "wait"),
        };
        struct plan p = plan(&d, &o);
        char text[128];
        write_plan(text, &p);
        if (strcmp(text, s->wanted) != 0)
            fail_msg("%s %s %s %s: want '%s', have '%s'", s->sides, s->desired, s->parts, s->observed, s->wanted, text);
    }
}

/* ---- every combination ---- */

static bool internal(const struct plan_desired *d) {
    return d->source == PLAN_SIDE_ENDPOINT && d->destination == PLAN_SIDE_ENDPOINT;
}

static void check_actions(const struct plan_desired *d, const struct plan_observed *o, uint32_t a) {
    /* nothing is opened that is not absent, nothing closed that is not there */
    assert_true(!(a & PLAN_OPEN_SOURCE_NODE) || o->source_node == PLAN_PART_NONE);
    assert_true(!(a & PLAN_OPEN_DESTINATION_NODE) || o->destination_node == PLAN_PART_NONE);
    assert_true(!(a & PLAN_OPEN_RECEIVER) || (o->receiver == PLAN_PART_NONE && o->destination_node == PLAN_PART_UP));
    assert_true(!(a & PLAN_OPEN_SENDER) || (o->sender == PLAN_PART_NONE && o->source_node == PLAN_PART_UP));
    assert_true(!(a & PLAN_CLOSE_SENDER) || o->sender == PLAN_PART_UP);
    assert_true(!(a & PLAN_CLOSE_RECEIVER) || o->receiver == PLAN_PART_UP);
    /* contradictions */
    assert_false((a & PLAN_OPEN_RECEIVER) && (a & PLAN_RELEASE_DESTINATION_NODE));
    assert_false((a & PLAN_OPEN_SENDER) && (a & PLAN_RELEASE_SOURCE_NODE));
    assert_false((a & (PLAN_OPEN_RECEIVER | PLAN_OPEN_SENDER)) && (a & (PLAN_CLOSE_RECEIVER | PLAN_CLOSE_SENDER)));
    assert_true(!(a & PLAN_FORGET) || a == PLAN_FORGET);
    /* order */
    if (internal(d)) {
        assert_true(!(a & PLAN_OPEN_SENDER) || o->receiver == PLAN_PART_UP);
        assert_true(!(a & PLAN_CLOSE_RECEIVER) || o->sender == PLAN_PART_NONE);
    }
    assert_true(!(a & PLAN_RELEASE_SOURCE_NODE) || o->sender == PLAN_PART_NONE);
    assert_true(!(a & PLAN_RELEASE_DESTINATION_NODE) || o->receiver == PLAN_PART_NONE);
    /* no new link of a mixed generation, none on what must go */
    if (a & PLAN_OPEN_SENDER && o->receiver != PLAN_PART_NONE)
        assert_int_equal(o->link_generation, d->generation);
    constexpr uint32_t OPENING =
        PLAN_OPEN_SOURCE_NODE | PLAN_OPEN_DESTINATION_NODE | PLAN_OPEN_RECEIVER | PLAN_OPEN_SENDER | PLAN_ATTACH;
    bool waits = o->retry_waiting || (d->source == PLAN_SIDE_REMOTE && o->attachment_waiting);
    if (!d->exists || !d->enabled || waits)
        assert_false(a & OPENING);
    /* another peer is asked when there is something to send to, and told when nobody wants it */
    if (a & PLAN_ATTACH) {
        assert_int_equal(d->source, PLAN_SIDE_REMOTE);
        assert_true(o->attachment == PLAN_PART_NONE && o->receiver == PLAN_PART_UP && !o->attachment_lost);
        assert_int_equal(o->link_generation, d->generation);
    }
    assert_false((a & PLAN_ATTACH) && (a & (PLAN_DETACH | PLAN_DROP_ATTACHMENT)));
    assert_false((a & PLAN_DETACH) && (a & PLAN_DROP_ATTACHMENT));
    assert_true(!(a & (PLAN_DETACH | PLAN_DROP_ATTACHMENT)) || o->attachment != PLAN_PART_NONE);
    if (o->attachment != PLAN_PART_NONE && (!d->exists || !d->enabled))
        assert_true(a & PLAN_DETACH);
    assert_true(!(a & PLAN_CLOSE_RECEIVER) || o->attachment == PLAN_PART_NONE ||
                a & (PLAN_DETACH | PLAN_DROP_ATTACHMENT));
}

/* Carries the actions out as the real world does when nothing fails. */
static void carry_out(const struct plan_desired *d, struct plan_observed *o, uint32_t a) {
    enum plan_part *const parts[] = {&o->source_node, &o->destination_node, &o->sender, &o->receiver, &o->attachment};
    if (a & PLAN_ATTACH)
        o->attachment = PLAN_PART_STARTING;
    if (a & (PLAN_DETACH | PLAN_DROP_ATTACHMENT))
        o->attachment = PLAN_PART_NONE;
    if (a & (PLAN_OPEN_RECEIVER | PLAN_OPEN_SENDER))
        o->link_generation = d->generation;
    if (a & PLAN_OPEN_SOURCE_NODE)
        o->source_node = PLAN_PART_STARTING;
    if (a & PLAN_OPEN_DESTINATION_NODE)
        o->destination_node = PLAN_PART_STARTING;
    if (a & PLAN_OPEN_RECEIVER)
        o->receiver = PLAN_PART_STARTING;
    if (a & PLAN_OPEN_SENDER)
        o->sender = PLAN_PART_STARTING;
    if (a & PLAN_CLOSE_SENDER)
        o->sender = PLAN_PART_STOPPING;
    if (a & PLAN_CLOSE_RECEIVER)
        o->receiver = PLAN_PART_STOPPING;
    if (a & PLAN_RELEASE_SOURCE_NODE) {
        o->source_node = PLAN_PART_NONE;
        o->source_node_stale = false;
    }
    if (a & PLAN_RELEASE_DESTINATION_NODE) {
        o->destination_node = PLAN_PART_NONE;
        o->destination_node_stale = false;
    }
    if (a)
        return;
    /* nothing to do: what is under way ends */
    for (int i = 0; i < 5; i++)
        *parts[i] = *parts[i] == PLAN_PART_STARTING   ? PLAN_PART_UP
                    : *parts[i] == PLAN_PART_STOPPING ? PLAN_PART_NONE
                                                      : *parts[i];
    if (o->sender == PLAN_PART_NONE && o->receiver == PLAN_PART_NONE)
        o->link_failed = o->attachment_lost = false;
    if (o->source_node == PLAN_PART_NONE)
        o->source_node_stale = false;
    if (o->destination_node == PLAN_PART_NONE)
        o->destination_node_stale = false;
    o->retry_waiting = o->attachment_waiting = false;
}

static void check_end(const struct plan_desired *d, const struct plan_observed *o) {
    bool source = d->source == PLAN_SIDE_ENDPOINT, destination = d->destination == PLAN_SIDE_ENDPOINT;
    bool remote = d->source == PLAN_SIDE_REMOTE;
    bool runs = d->exists && d->enabled && (source || destination) &&
                (!remote || (o->source_peer != PLAN_REMOTE_FORBIDDEN && o->source_peer != PLAN_REMOTE_ENDED)) &&
                (!source || o->source_availability == PLAN_AVAILABLE) &&
                (!destination || o->destination_availability == PLAN_AVAILABLE);
    assert_int_equal(o->source_node, runs && source ? PLAN_PART_UP : PLAN_PART_NONE);
    assert_int_equal(o->sender, runs && source ? PLAN_PART_UP : PLAN_PART_NONE);
    assert_int_equal(o->destination_node, runs && destination ? PLAN_PART_UP : PLAN_PART_NONE);
    assert_int_equal(o->receiver, runs && destination ? PLAN_PART_UP : PLAN_PART_NONE);
    assert_int_equal(o->attachment, runs && remote ? PLAN_PART_UP : PLAN_PART_NONE);
    if (runs)
        assert_int_equal(o->link_generation, d->generation);
}

static bool under_way(const struct plan_observed *o) {
    const enum plan_part parts[] = {o->source_node, o->destination_node, o->sender, o->receiver, o->attachment};
    for (int i = 0; i < 5; i++)
        if (parts[i] == PLAN_PART_STARTING || parts[i] == PLAN_PART_STOPPING)
            return true;
    return o->retry_waiting || o->attachment_waiting ||
           ((o->link_failed || o->attachment_lost) && o->sender == PLAN_PART_NONE && o->receiver == PLAN_PART_NONE) ||
           (o->source_node_stale && o->source_node == PLAN_PART_NONE) ||
           (o->destination_node_stale && o->destination_node == PLAN_PART_NONE);
}

static void converge(const struct plan_desired *d, struct plan_observed o) {
    for (int step = 0; step < 40; step++) {
        struct plan p = plan(d, &o);
        check_actions(d, &o, p.actions);
        assert_int_equal(plan(d, &o).actions, p.actions);
        if (p.actions & PLAN_FORGET || (!p.actions && !under_way(&o))) {
            check_end(d, &o);
            return;
        }
        carry_out(d, &o, p.actions);
    }
    fail_msg("no end: parts %d %d %d %d", o.source_node, o.destination_node, o.sender, o.receiver);
}

static unsigned take(unsigned *number, unsigned n) {
    unsigned digit = *number % n;
    *number /= n;
    return digit;
}

static void test_every_combination(void **) {
    constexpr unsigned N_DESIRED = 3 * 4;
    constexpr unsigned N_OBSERVED = 5 * 5 * 4 * 4 * 4 * 4 * 3 * 2 * 2 * 2 * 2 * 2;
    for (unsigned i = 0; i < N_DESIRED; i++) {
        unsigned n = i, how = take(&n, 3);
        struct plan_desired d = {.exists = how > 0, .enabled = how > 1, .generation = 2};
        d.source = (enum plan_side_kind)take(&n, 2);
        d.destination = (enum plan_side_kind)take(&n, 2);
        for (unsigned j = 0; j < N_OBSERVED; j++) {
            unsigned m = j;
            struct plan_observed o = {};
            o.source_availability = (enum plan_availability)take(&m, 5);
            o.destination_availability = (enum plan_availability)take(&m, 5);
            o.source_node = (enum plan_part)take(&m, 4);
            o.destination_node = (enum plan_part)take(&m, 4);
            o.sender = (enum plan_part)take(&m, 4);
            o.receiver = (enum plan_part)take(&m, 4);
            o.link_generation = (int64_t)take(&m, 3);
            o.link_failed = take(&m, 2);
            o.retry_waiting = take(&m, 2);
            o.source_node_stale = take(&m, 2);
            o.destination_node_stale = take(&m, 2);
            o.flowing = take(&m, 2);
            converge(&d, o);
        }
    }
}

/* With a side at another peer, and with what is left of a source that was one of ours. */
static void test_every_combination_across_peers(void **) {
    static const enum plan_side_kind SIDES[][2] = {{PLAN_SIDE_REMOTE, PLAN_SIDE_ENDPOINT},
                                                   {PLAN_SIDE_ENDPOINT, PLAN_SIDE_REMOTE},
                                                   {PLAN_SIDE_ENDPOINT, PLAN_SIDE_ENDPOINT}};
    constexpr unsigned N_DESIRED = 3 * 3;
    constexpr unsigned N_OBSERVED = 5 * 2 * 4 * 4 * 4 * 3 * 3 * 2 * 2 * 2 * 2 * 7;
    for (unsigned i = 0; i < N_DESIRED; i++) {
        unsigned n = i, how = take(&n, 3);
        struct plan_desired d = {.exists = how > 0, .enabled = how > 1, .generation = 2};
        d.source = SIDES[n][0];
        d.destination = SIDES[n][1];
        for (unsigned j = 0; j < N_OBSERVED; j++) {
            unsigned m = j;
            struct plan_observed o = {};
            o.destination_availability = (enum plan_availability)take(&m, 5);
            o.source_node = take(&m, 2) ? PLAN_PART_UP : PLAN_PART_NONE;
            o.destination_node = (enum plan_part)take(&m, 4);
            o.sender = (enum plan_part)take(&m, 4);
            o.receiver = (enum plan_part)take(&m, 4);
            o.attachment = (enum plan_part)take(&m, 3);
            o.link_generation = (int64_t)take(&m, 3);
            o.link_failed = take(&m, 2);
            o.attachment_lost = take(&m, 2);
            o.attachment_waiting = take(&m, 2);
            o.destination_node_stale = take(&m, 2);
            o.source_peer = (enum plan_remote)take(&m, 8);
            converge(&d, o);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_scenarios), cmocka_unit_test(test_every_combination),
                                       cmocka_unit_test(test_every_combination_across_peers)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
