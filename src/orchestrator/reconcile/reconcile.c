/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "orchestrator/registry/endpoints.h"

/* ---- desired and observed ---- */

static struct plan_desired desired(const struct run *run) {
    return (struct plan_desired){
        .exists = run->exists,
        .enabled = run->spec.enabled && !run->reconcile->is_stopping,
        .generation = run->wanted_link,
        .source = run->sides.source.is_endpoint ? PLAN_SIDE_ENDPOINT : PLAN_SIDE_EXTERNAL,
        .destination = run->sides.destination.is_endpoint ? PLAN_SIDE_ENDPOINT : PLAN_SIDE_EXTERNAL,
    };
}

static enum plan_availability availability(const struct run *run, const struct stream_side *side, bool as_source) {
    if (!side->is_endpoint)
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
    return nodes_is_stale(use, side->is_endpoint ? side->endpoint.endpoint_uid : "");
}

static struct plan_observed observed(const struct run *run) {
    const struct stream_side *source = &run->sides.source, *destination = &run->sides.destination;
    return (struct plan_observed){
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
        .silent = run->silent,
        .losing = run->losing,
        .port_in_use = run->port_in_use,
        .retry_waiting = run->retry_waiting,
    };
}

/* ---- runs ---- */

static void run_destroy(struct run *run) {
    struct reconcile *r = run->reconcile;
    loop_timer_stop(r->loop, &run->retry);
    loop_timer_stop(r->loop, &run->drain);
    map_remove(&r->runs_by_uid, run->uid);
    list_remove(&run->link);
    free(run);
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

static void on_sweep(void *arg) {
    struct reconcile *r = arg;
    struct run *run;
    list_for_each_safe(run, &r->runs, link) {
        if (run->is_dirty)
            run_reconcile(run);
    }
}

void run_kick(struct run *run) {
    run->is_dirty = true;
    if (!run->reconcile->sweep.armed)
        loop_timer_start(run->reconcile->loop, &run->reconcile->sweep, 0);
}

/* ---- failures ---- */

static void on_retry(void *arg) {
    struct run *run = arg;
    run->retry_waiting = false;
    run_kick(run);
}

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

static void on_drained(void *arg) {
    struct run *run = arg;
    run->source_ended = true;
    run_kick(run);
}

/* What was read last is still in the encoder, on the way and in the queue of the receiver. */
static void begin_drain(struct run *run) {
    constexpr int64_t MARGIN_NS = 300 * NS_PER_MS;
    if (run->drain.armed || run->source_ended)
        return;
    loop_timer_start(run->reconcile->loop, &run->drain, run->settings.target_latency_ns + MARGIN_NS);
}

/* Written anew: a source that has ended begins again. */
static void begin_again(struct run *run) {
    loop_timer_stop(run->reconcile->loop, &run->drain);
    run->source_ended = false;
    if (run->source.node && run->source.node->has_ended)
        run->source.is_stale = true;
}

/* ---- news from the registry ---- */

/* Can the change be made on the link there is? */
static bool is_same_link(const struct stream_spec *a, const struct stream_spec *b) {
    struct stream_spec copy = *a;
    memcpy(copy.display_name, b->display_name, sizeof copy.display_name);
    copy.enabled = b->enabled;
    copy.settings.gain_db = b->settings.gain_db;
    copy.settings.muted = b->settings.muted;
    return stream_spec_equal(&copy, b);
}

static struct run *run_create(struct reconcile *r, const char *uid) {
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
    apply_links_gone(run);
    if (!map_put(&r->runs_by_uid, uid, run)) {
        free(run);
        return nullptr;
    }
    list_append(&r->runs, &run->link);
    return run;
}

static void take_spec(struct run *run, const struct stream_entry *entry) {
    bool revived = !run->exists;
    if (revived || !is_same_link(&run->spec, &entry->object.spec)) {
        run->wanted_link++;
        memset(run->ports, 0, sizeof run->ports);
    }
    bool enabled = entry->object.spec.enabled && !run->spec.enabled;
    run->exists = true;
    run->spec = entry->object.spec;
    run->sides = entry->sides;
    if (revived || enabled || run->source_ended || run->drain.armed)
        begin_again(run);
    run->port_in_use = false;
    run_forgive(run);
    if (run->reconcile->engine)
        apply_gain(run);
}

static void stream_changed(void *arg, const char *uid) {
    struct reconcile *r = arg;
    const struct stream_entry *entry = registry_stream(r->registry, uid);
    struct run *run = map_get(&r->runs_by_uid, uid);
    if (entry && !run)
        run = run_create(r, uid);
    if (!run) {
        if (entry)
            log_error(r->log, "no memory to run stream; it is tried again", LOG_STR("stream", uid));
        return;
    }
    if (entry)
        take_spec(run, entry);
    else
        run->exists = false;
    /* At once, so that the event of the change and the answer to it show what came of it. */
    r->in_write = true;
    run_reconcile(run);
    r->in_write = false;
}

static bool uses(const struct run *run, const char *endpoint_uid) {
    const struct stream_side *source = &run->sides.source, *destination = &run->sides.destination;
    return (source->is_endpoint && strcmp(source->endpoint.endpoint_uid, endpoint_uid) == 0) ||
           (destination->is_endpoint && strcmp(destination->endpoint.endpoint_uid, endpoint_uid) == 0);
}

static void endpoint_changed(void *arg, const char *uid) {
    struct reconcile *r = arg;
    nodes_endpoint_changed(r, uid);
    struct run *run;
    list_for_each(run, &r->runs, link) {
        if (!uses(run, uid))
            continue;
        if (run->source_ended || run->drain.armed)
            begin_again(run);
        run_forgive(run);
    }
}

static void endpoint_availability_changed(void *arg, const char *uid) {
    struct reconcile *r = arg;
    const struct endpoint_entry *entry = registry_endpoint(r->registry, uid);
    bool is_back = entry && entry->object.status.state == ENDPOINT_STATE_AVAILABLE;
    struct run *run;
    list_for_each(run, &r->runs, link) {
        if (!uses(run, uid))
            continue;
        if (is_back && strcmp(run->failure.type, "Path") != 0)
            run_forgive(run); /* the pause was for the endpoint */
        run_kick(run);
    }
}

const struct registry_listener reconcile_listener = {
    .endpoint_changed = endpoint_changed,
    .stream_changed = stream_changed,
    .endpoint_availability_changed = endpoint_availability_changed,
};

/* ---- news from the engine ---- */

static struct run_end *find_end(struct reconcile *r, uint32_t link) {
    struct run *run;
    list_for_each(run, &r->runs, link) {
        if (run->sender.link == link)
            return &run->sender;
        if (run->receiver.link == link)
            return &run->receiver;
    }
    return nullptr;
}

static void on_link_event(struct run_end *end, const struct engine_event *event) {
    struct run *run = end->run;
    int64_t now_ns = loop_now_ns(run->reconcile->loop);
    bool counts = !end->is_sender || !run->sides.destination.is_endpoint;
    if (event->kind == ENGINE_LINK_FAILED) {
        if (run->link_failed)
            return;
        run->link_failed = true;
        run_failed(run, "Path", "PathFailed", &event->reason);
    } else if (event->kind == ENGINE_LINK_STARTED && counts) {
        if (!run->flowing)
            run->flowing_ns = now_ns;
        run->flowing = true;
        run->silent = false;
        run->silent_ns = 0;
    } else if (event->kind == ENGINE_LINK_SILENT && counts && !run->silent) {
        struct engine_link_status status;
        run->silent = true;
        run->silent_ns = now_ns;
        run->silent_packets =
            engine_link_status(run->reconcile->engine, end->link, &status) ? status.packets_received : 0;
    }
    run_kick(run);
}

static void on_node_event(struct reconcile *r, const struct engine_event *event) {
    struct node *node = nodes_find(r, event->node);
    if (!node)
        return;
    if (event->kind == ENGINE_NODE_FAILED) {
        nodes_failed(node, &event->reason);
        return;
    }
    nodes_ended(node);
    struct node_use *use;
    list_for_each(use, &node->users, link) {
        if (use->as_source)
            begin_drain(use->run);
    }
}

void reconcile_on_engine_event(struct reconcile *r, const struct engine_event *event) {
    switch (event->kind) {
    case ENGINE_NODE_ENDED:
    case ENGINE_NODE_FAILED:
        on_node_event(r, event);
        return;
    case ENGINE_LINK_STARTED:
    case ENGINE_LINK_SILENT:
    case ENGINE_LINK_FAILED:
        break;
    }
    struct run_end *end = event->link ? find_end(r, event->link) : nullptr;
    if (end && end->part != PLAN_PART_STOPPING)
        on_link_event(end, event);
}

/* ---- life ---- */

void reconcile_init(struct reconcile *r, const struct orchestrator_config *config, struct registry *registry) {
    *r = (struct reconcile){.log = config->log,
                            .loop = config->loop,
                            .engine = config->engine,
                            .registry = registry,
                            .port_min = config->roc_port_min,
                            .port_max = config->roc_port_max,
                            .next_port = config->roc_port_min};
    r->log.topic = "streams";
    list_init(&r->runs);
    list_init(&r->nodes);
    r->sweep = (struct loop_timer){.fire = on_sweep, .arg = r};
    r->status = (struct loop_timer){.fire = status_tick, .arg = r};
    r->meter = (struct loop_timer){.fire = status_meter, .arg = r};
}

void reconcile_start(struct reconcile *r) {
    for (struct stream_entry *s = nullptr; (s = registry_next_stream(r->registry, s));)
        stream_changed(r, s->object.uid);
    loop_timer_start(r->loop, &r->status, RECONCILE_STATUS_NS);
}

void reconcile_stop(struct reconcile *r) {
    r->is_stopping = true;
    loop_timer_stop(r->loop, &r->status);
    loop_timer_stop(r->loop, &r->meter);
    struct run *run;
    list_for_each(run, &r->runs, link) {
        loop_timer_stop(r->loop, &run->drain);
        run_forgive(run);
    }
}

bool reconcile_is_still(const struct reconcile *r) {
    const struct run *run;
    list_for_each(run, &r->runs, link) {
        if (run->sender.part != PLAN_PART_NONE || run->receiver.part != PLAN_PART_NONE || run->source.node ||
            run->destination.node)
            return false;
    }
    return r->n_jobs == 0 && list_empty(&r->nodes);
}

void reconcile_watch_meters(struct reconcile *r, bool watched) {
    if (!watched || r->is_stopping)
        loop_timer_stop(r->loop, &r->meter);
    else if (!r->meter.armed)
        loop_timer_start(r->loop, &r->meter, RECONCILE_METER_NS);
}

void reconcile_finish(struct reconcile *r) {
    if (!r->loop)
        return;
    loop_timer_stop(r->loop, &r->sweep);
    loop_timer_stop(r->loop, &r->status);
    loop_timer_stop(r->loop, &r->meter);
    while (!list_empty(&r->runs))
        run_destroy(list_first(&r->runs, struct run, link));
    map_finish(&r->runs_by_uid);
    *r = (struct reconcile){};
}
