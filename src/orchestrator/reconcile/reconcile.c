/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/reconcile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crypto.h"
#include "orchestrator/reconcile/attachments.h"
#include "orchestrator/reconcile/farewell.h"
#include "orchestrator/registry/endpoints.h"
#include "signaling/links.h"

static void on_sweep(void *arg) {
    struct reconcile *r = arg;
    struct run *run;
    list_for_each_safe(run, &r->runs, link) {
        if (run->is_dirty)
            run_reconcile(run);
    }
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

static struct run *create_for_stream(struct reconcile *r, const char *uid) {
    struct run *run = run_create(r, uid);
    if (run && !map_put(&r->runs_by_uid, uid, run)) {
        run_destroy(run);
        return nullptr;
    }
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
        run_begin_again(run);
    run->port_in_use = false;
    run_forgive(run);
    remote_source_forgive(run);
    if (run->reconcile->engine)
        apply_gain(run);
}

static void stream_changed(void *arg, const char *uid) {
    struct reconcile *r = arg;
    const struct stream_entry *entry = registry_stream(r->registry, uid);
    struct run *run = map_get(&r->runs_by_uid, uid);
    if (entry && !run)
        run = create_for_stream(r, uid);
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

static void endpoint_changed(void *arg, const char *uid) {
    struct reconcile *r = arg;
    nodes_endpoint_changed(r, uid);
    struct run *run;
    list_for_each(run, &r->runs, link) {
        if (!stream_sides_name(&run->sides, uid))
            continue;
        if (run->source_ended || run->drain.armed)
            run_begin_again(run);
        run_forgive(run);
    }
}

static void endpoint_availability_changed(void *arg, const char *uid) {
    struct reconcile *r = arg;
    const struct endpoint_entry *entry = registry_endpoint(r->registry, uid);
    bool is_back = entry && entry->object.status.state == ENDPOINT_STATE_AVAILABLE;
    struct run *run;
    list_for_each(run, &r->runs, link) {
        if (!stream_sides_name(&run->sides, uid))
            continue;
        if (is_back && strcmp(run->failure.type, "Path") != 0)
            run_forgive(run); /* the pause was for the endpoint */
        run_kick(run);
    }
}

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
    bool counts = !end->is_sender || !stream_side_is_here(&run->sides.destination);
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
        remote_source_flows(run);
    } else if (event->kind == ENGINE_LINK_SILENT && counts && !run->silent) {
        struct engine_link_status status;
        run->silent = true;
        run->silent_ns = now_ns;
        run->silent_packets =
            engine_link_status(run->reconcile->engine, end->link, &status) ? status.packets_received : 0;
        remote_source_ask_why(run);
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
            run_begin_drain(use->run);
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
    case ENGINE_LINK_LATENCY:
    case ENGINE_LINK_FAILED:
        break;
    }
    struct run_end *end = event->link ? find_end(r, event->link) : nullptr;
    if (end && event->kind == ENGINE_LINK_LATENCY)
        status_latency_changed(end->run, event);
    else if (end && end->part != PLAN_PART_STOPPING)
        on_link_event(end, event);
}

/* ---- news from other peers ---- */

static void peer_changed(void *arg, const char *peer_uid, const struct links_peer *) {
    remote_source_peer_changed(arg, peer_uid);
}

static const struct links_handler LINKS_HANDLER = {.changed = peer_changed};

static void remote_endpoint_changed(void *arg, const char *peer_uid, const char *endpoint_uid) {
    remote_source_endpoint_changed(arg, peer_uid, endpoint_uid);
}

static bool endpoint_is_used(void *arg, const char *uid) {
    const struct reconcile *r = arg;
    const struct run *run;
    list_for_each(run, &r->runs, link) {
        if (stream_sides_name(&run->sides, uid))
            return true;
    }
    return false;
}

const struct registry_listener reconcile_listener = {
    .endpoint_changed = endpoint_changed,
    .stream_changed = stream_changed,
    .endpoint_availability_changed = endpoint_availability_changed,
    .remote_endpoint_changed = remote_endpoint_changed,
    .endpoint_is_used = endpoint_is_used,
};

static bool has_sound_with(const struct reconcile *r, const char *peer_uid) {
    const struct run *run;
    list_for_each(run, &r->runs, link) {
        if (run->remote.part != PLAN_PART_NONE && strcmp(run->remote.peer_uid, peer_uid) == 0)
            return true;
        if (run->attachment && strcmp(attachments_owner(run->attachment), peer_uid) == 0)
            return true;
    }
    return false;
}

/* Links with sound on them are watched more closely. */
static void watch_peers(struct reconcile *r) {
    for (size_t i = 0; r->links && r->roster && i < r->roster->n && i < ROSTER_MAX; i++) {
        const char *uid = r->roster->members[i].uid;
        bool watched = has_sound_with(r, uid);
        if (watched != r->watched[i])
            links_watch_closely(r->links, uid, watched);
        r->watched[i] = watched;
    }
}

static void on_status(void *arg) {
    status_tick(arg);
    watch_peers(arg);
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
    r->links = config->links;
    r->roster = config->roster;
    r->media_port = config->media_port;
    r->key = config->key;
    uint8_t epoch[(sizeof r->epoch - 1) / 2];
    crypto_random(epoch, sizeof epoch);
    crypto_hex(r->epoch, epoch, sizeof epoch);
    list_init(&r->attachments);
    list_init(&r->farewells);
    if (r->links)
        links_listen(r->links, &LINKS_HANDLER, r);
    list_init(&r->runs);
    list_init(&r->nodes);
    r->sweep = (struct loop_timer){.fire = on_sweep, .arg = r};
    r->status = (struct loop_timer){.fire = on_status, .arg = r};
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
    attachments_stop(r);
    farewell_stop(r);
}

bool reconcile_is_still(const struct reconcile *r) {
    const struct run *run;
    list_for_each(run, &r->runs, link) {
        if (run->sender.part != PLAN_PART_NONE || run->receiver.part != PLAN_PART_NONE || run->source.node ||
            run->destination.node)
            return false;
    }
    return r->n_jobs == 0 && list_empty(&r->nodes) && list_empty(&r->farewells);
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
    nodes_finish(r);
    attachments_finish(r);
    farewell_finish(r);
    map_finish(&r->runs_by_uid);
    *r = (struct reconcile){};
}
