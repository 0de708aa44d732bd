/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "orchestrator/reconcile/attachments.h"
#include "orchestrator/reconcile/reconcile.h"
#include "orchestrator/registry/devices.h"
#include "orchestrator/registry/endpoints.h"

/* ---- desired and observed ---- */

static enum plan_side_kind kind_of(const struct stream_side *side) {
    if (side->is_remote)
        return PLAN_SIDE_REMOTE;
    return side->is_endpoint ? PLAN_SIDE_ENDPOINT : PLAN_SIDE_EXTERNAL;
}

static struct plan_desired desired(const struct run *run) {
    return (struct plan_desired){
        .exists = run->exists,
        .enabled = run->spec.enabled && !run->reconcile->is_stopping,
        .generation = run->wanted_link,
        .source = kind_of(&run->sides.source),
        .destination = kind_of(&run->sides.destination),
    };
}

static enum plan_availability availability(const struct run *run, const struct stream_side *side, bool as_source) {
    if (!stream_side_is_here(side))
        return PLAN_AVAILABLE;
    const struct endpoint_entry *entry = registry_endpoint(run->reconcile->registry, side->endpoint.endpoint_uid);
    if (!entry)
        return PLAN_MISSING;
    if (entry->object.status.state == ENDPOINT_STATE_DISABLED)
        return PLAN_DISABLED;
    if (stream_check_direction(as_source, entry->object.uid, entry->direction, nullptr) != ERR_OK)
        return PLAN_UNUSABLE;
    if (entry->object.status.state != ENDPOINT_STATE_AVAILABLE && !endpoints_may_retry(entry))
        return entry->object.status.state == ENDPOINT_STATE_UNAVAILABLE ? PLAN_MISSING : PLAN_UNUSABLE;
    return as_source && run->source_ended ? PLAN_ENDED : PLAN_AVAILABLE;
}

static bool is_stale(const struct node_use *use, const struct stream_side *side) {
    return nodes_is_stale(use, stream_side_is_here(side) ? side->endpoint.endpoint_uid : "");
}

static struct plan_observed observed(const struct run *run) {
    const struct stream_side *source = &run->sides.source, *destination = &run->sides.destination;
    struct plan_observed o = {
        .source_availability = availability(run, source, true),
        .destination_availability = availability(run, destination, false),
        .source_node = nodes_part(&run->source),
        .destination_node = nodes_part(&run->destination),
        .source_node_stale = is_stale(&run->source, source),
        .destination_node_stale = is_stale(&run->destination, destination),
        .sender = run->sender.part,
        .receiver = run->receiver.part,
        .link_generation = run->built_link,
        .link_failed = run->link_failed,
        .flowing = run->flowing,
        .silent = run->silent && !run->remote.asks_why,
        .losing = run->losing,
        .starved = run->starved,
        .source_idle = run->source.node && run->source.node->is_idle,
        .port_in_use = run->port_in_use,
        .retry_waiting = run->retry_waiting || (run->attachment && attachments_is_spent(run->attachment)),
    };
    if (source->is_remote)
        remote_source_observe(run, &o);
    o.attachment = run->remote.part;
    return o;
}

struct stream_entry *run_stream(const struct run *run) {
    return run->attachment ? nullptr : registry_stream(run->reconcile->registry, run->uid);
}

/* ---- runs ---- */

static void on_retry(void *arg) {
    struct run *run = arg;
    run->retry_waiting = false;
    run_kick(run);
}

static void on_drained(void *arg) {
    struct run *run = arg;
    run->source_ended = true;
    run_kick(run);
}

struct run *run_create(struct reconcile *r, const char *uid) {
    struct run *run = calloc(1, sizeof *run);
    if (!run)
        return nullptr;
    run->reconcile = r;
    snprintf(run->uid, sizeof run->uid, "%s", uid);
    run->source = (struct node_use){.run = run, .as_source = true};
    run->destination = (struct node_use){.run = run};
    run->sender = (struct run_end){.run = run, .is_sender = true};
    run->receiver = (struct run_end){.run = run};
    run->retry = (struct loop_timer){.fire = on_retry, .arg = run};
    run->drain = (struct loop_timer){.fire = on_drained, .arg = run};
    remote_source_init(run);
    apply_links_gone(run);
    list_append(&r->runs, &run->link);
    return run;
}

void run_destroy(struct run *run) {
    struct reconcile *r = run->reconcile;
    loop_timer_stop(r->loop, &run->retry);
    loop_timer_stop(r->loop, &run->drain);
    remote_source_finish(run);
    if (run->attachment)
        attachments_run_gone(run->attachment);
    else
        map_remove(&r->runs_by_uid, run->uid);
    list_remove(&run->link);
    free(run);
    devices_sweep(r->registry);
}

void run_reconcile(struct run *run) {
    run->is_dirty = false;
    if (!run->reconcile->engine) {
        if (!run->exists)
            run_destroy(run);
        return;
    }
    /* Every action changes what is observed at once, so this ends; the bound is for what nobody has thought of. */
    for (int i = 0; i < 16; i++) {
        const struct plan_desired d = desired(run);
        const struct plan_observed o = observed(run);
        const struct plan p = plan(&d, &o);
        if (p.actions & PLAN_FORGET) {
            run_destroy(run);
            return;
        }
        if (!p.actions) {
            status_publish(run, &p);
            return;
        }
        apply_actions(run, p.actions);
    }
    run_kick(run);
}

void run_kick(struct run *run) {
    run->is_dirty = true;
    if (!run->reconcile->sweep.armed)
        loop_timer_start(run->reconcile->loop, &run->reconcile->sweep, 0);
}

/* ---- failures ---- */

/* 0.5 s, doubled each time up to 10 s, ± 20 % so that many that failed together do not all come back together. */
static int64_t pause_ns(unsigned attempt) {
    int64_t pause = RECONCILE_RETRY_MIN_NS;
    for (unsigned i = 1; i < attempt && pause < RECONCILE_RETRY_MAX_NS; i++)
        pause *= 2;
    if (pause > RECONCILE_RETRY_MAX_NS)
        pause = RECONCILE_RETRY_MAX_NS;
    uint16_t random;
    crypto_random(&random, sizeof random);
    return pause * 8 / 10 + pause * 4 / 10 * random / UINT16_MAX;
}

void run_failed(struct run *run, const char *type, const char *reason, const struct err_info *info) {
    struct reconcile *r = run->reconcile;
    if (run->flowing_ns && loop_now_ns(r->loop) - run->flowing_ns >= RECONCILE_STEADY_NS)
        run->attempts = 0;
    run->attempts++;
    snprintf(run->failure.type, sizeof run->failure.type, "%s", type);
    snprintf(run->failure.reason, sizeof run->failure.reason, "%s", reason);
    run->failure.info = *info;
    run->rebuilds = true;
    run->retry_waiting = true;
    loop_timer_start(r->loop, &run->retry, pause_ns(run->attempts));
    log_warn(r->log, "stream failed; it is tried again", LOG_STR("stream", run->uid), LOG_STR("reason", reason),
             LOG_STR("detail", info->message), LOG_UINT("attempt", run->attempts));
    run_kick(run);
}

void run_forgive(struct run *run) {
    loop_timer_stop(run->reconcile->loop, &run->retry);
    run->retry_waiting = false;
    run->attempts = 0;
    run_kick(run);
}

/* ---- the end of a source ---- */

/* What was read last is still in the encoder, on the way and in the queue of the receiver. */
void run_begin_drain(struct run *run) {
    constexpr int64_t MARGIN_NS = 300 * NS_PER_MS;
    if (run->drain.armed || run->source_ended)
        return;
    loop_timer_start(run->reconcile->loop, &run->drain, run->settings.target_latency_ns + MARGIN_NS);
}

/* Written anew: a source that has ended begins again. */
void run_begin_again(struct run *run) {
    loop_timer_stop(run->reconcile->loop, &run->drain);
    run->source_ended = false;
    if (run->source.node && run->source.node->has_ended)
        run->source.is_stale = true;
}
