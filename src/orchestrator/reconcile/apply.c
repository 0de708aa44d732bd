/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/link_settings.h"
#include "orchestrator/reconcile/attachments.h"
#include "orchestrator/reconcile/reconcile.h"

/*
 * Carries out what plan() says about links and paths. Every action changes what is observed before it returns (a part is
 * then "starting" or "stopping"), and ends in a callback that changes it again and kicks the run.
 */

/* ---- links ---- */

/* Both ends are gone: nothing of the link is left to be known. */
void apply_links_gone(struct run *run) {
    if (run->sender.part != PLAN_PART_NONE || run->receiver.part != PLAN_PART_NONE)
        return;
    apply_close_waiting_path(run);
    remote_source_path_gone(run);
    run->built_link = 0;
    run->link_failed = run->flowing = run->silent = run->losing = run->starved = false;
    run->built_ns = run->flowing_ns = run->silent_ns = run->starved_ns = 0;
    run->n_samples = run->next_sample = 0;
    run->local_uris = (struct stream_local_uris){
        .has_media = PRESENCE_NULL, .has_repair = PRESENCE_NULL, .has_control = PRESENCE_NULL};
    level_clear(&run->level);
}

void apply_end_failed(struct run_end *end, const char *reason, const struct err_info *info) {
    struct run *run = end->run;
    end->part = PLAN_PART_NONE;
    end->link = 0;
    run->port_in_use = info->code == ERR_BUSY;
    if (run->sender.part != PLAN_PART_NONE || run->receiver.part != PLAN_PART_NONE)
        run->link_failed = true; /* the other end goes too */
    if (!end->is_sender)
        apply_close_waiting_path(run);
    run_failed(run, "Path", reason, info);
    apply_links_gone(run);
}

void apply_gain(struct run *run) {
    const struct run_end *end = run->sides.destination.is_endpoint ? &run->receiver : &run->sender;
    if (end->part == PLAN_PART_UP)
        engine_set_gain(run->reconcile->engine, end->link, run->spec.settings.gain_db, run->spec.settings.muted);
}

static void on_link_added(void *arg, uint32_t link, enum err result, const struct err_info *info) {
    struct run_end *end = arg;
    struct run *run = end->run;
    if (result != ERR_OK) {
        struct err_info unknown = {.code = result, .message = "The sound path could not be built."};
        apply_end_failed(end, "PathFailed", info ? info : &unknown);
        return;
    }
    end->link = link;
    end->part = PLAN_PART_UP;
    bool whole = (!stream_side_is_here(&run->sides.source) || run->sender.part == PLAN_PART_UP) &&
                 (!stream_side_is_here(&run->sides.destination) || run->receiver.part == PLAN_PART_UP);
    if (whole) {
        run->built_ns = loop_now_ns(run->reconcile->loop);
        run->port_in_use = false;
        struct stream_entry *entry = run_stream(run);
        if (run->rebuilds && entry)
            entry->object.status.restarts++;
        run->rebuilds = false;
    }
    apply_gain(run); /* it may have been changed while the link was built */
    run_kick(run);
}

static bool carries_gain(const struct run_end *end) {
    return !end->is_sender || !end->run->sides.destination.is_endpoint;
}

static void set_map(const struct run_end *end, struct engine_link_config *config) {
    const struct stream_settings *settings = &end->run->spec.settings;
    bool here = end->is_sender || !end->run->sides.source.is_endpoint;
    if (!here || settings->has_channel_map != PRESENCE_VALUE)
        return;
    config->n_map = settings->n_channel_map;
    for (uint32_t i = 0; i < settings->n_channel_map; i++)
        config->map[i] = settings->channel_map[i];
}

static void set_member(const struct run_end *end, struct engine_link_config *config) {
    const struct run *run = end->run;
    link_settings_member(&run->spec, end->is_sender ? &run->sides.destination : &run->sides.source, !end->is_sender,
                         run->reconcile->registry->self.uid, config->member);
}

void apply_add_link_take(struct run_end *end, struct path *path, const struct gate_config *gate) {
    struct run *run = end->run;
    struct reconcile *r = run->reconcile;
    struct engine_link_config config = {.settings = run->settings, .receiving = !end->is_sender};
    if (carries_gain(end)) {
        config.gain_db = run->spec.settings.gain_db;
        config.muted = run->spec.settings.muted;
    }
    set_map(end, &config);
    set_member(end, &config);
    if (end->is_sender) {
        config.may_share = !carries_gain(end); /* then it goes to an endpoint, whose end of the link fades */
        /* Encoders of the same age would all work on their FEC blocks in the same tick. */
        constexpr int64_t SPREAD_NS = 20 * NS_PER_MS;
        constexpr int64_t STEP_NS = 7 * NS_PER_MS;
        config.start_delay_ns = (int64_t)(r->next_start++) * STEP_NS % SPREAD_NS;
    } else {
        config.gate = *gate;
        link_settings_bounds(&run->spec, &run->sides, &config.latency_min_ns, &config.latency_max_ns);
        config.gate.trusted_path = run->sides.source.is_endpoint;
        int64_t release_ns = config.latency_max_ns * 2;
        config.gate.release_ns = release_ns > NS_PER_S ? release_ns : NS_PER_S;
    }
    const struct node *node = end->is_sender ? run->source.node : run->destination.node;
    if (!node || node->state != NODE_UP) { /* it failed while the path was opened */
        struct err_info info = {.code = ERR_UNAVAILABLE, .message = "The endpoint went away while the stream started."};
        apply_close_path(r, path);
        apply_end_failed(end, "PathFailed", &info);
        return;
    }
    end->link = engine_add_link_take(r->engine, node->id, &config, path, on_link_added, end);
    if (!end->link) {
        struct err_info info = {.code = ERR_NO_MEMORY, .message = "There is no memory for the sound path."};
        apply_end_failed(end, "PathFailed", &info);
    }
}

static void open_internal_receiver(struct run *run) {
    struct path *sender, *receiver;
    struct err_info info = {};
    apply_close_waiting_path(run);
    if (path_memory_open(&sender, &receiver, &info) != ERR_OK) {
        apply_end_failed(&run->receiver, "PathFailed", &info);
        return;
    }
    run->waiting_path = sender;
    apply_add_link_take(&run->receiver, receiver, &(struct gate_config){});
}

static void open_sealed_receiver(struct run *run) {
    struct path *path;
    struct err_info info = {};
    if (remote_source_open_path(run, &path, &info) != ERR_OK)
        apply_end_failed(&run->receiver, "PathFailed", &info);
    else
        apply_add_link_take(&run->receiver, path, &(struct gate_config){});
}

static void open_sealed_sender(struct run *run) {
    struct path *path;
    struct err_info info = {};
    if (attachments_open_path(run->attachment, &path, &info) != ERR_OK)
        apply_end_failed(&run->sender, "PathFailed", &info);
    else
        apply_add_link_take(&run->sender, path, nullptr);
}

/* The first end of a link fixes what it is built from. */
static bool begin_link(struct run_end *end) {
    struct run *run = end->run;
    end->part = PLAN_PART_STARTING;
    if (run->built_link == run->wanted_link)
        return true;
    struct err_info info = {};
    info.code = link_settings_derive(&run->spec, &run->sides, &run->settings, &info);
    run->built_link = run->wanted_link;
    nodes_take_period(&run->source);
    nodes_take_period(&run->destination);
    if (info.code == ERR_OK)
        return true;
    apply_end_failed(end, "FormatMismatch", &info);
    return false;
}

static void open_receiver(struct run *run) {
    if (!begin_link(&run->receiver))
        return;
    if (run->sides.source.is_remote)
        open_sealed_receiver(run);
    else if (run->sides.source.is_endpoint)
        open_internal_receiver(run);
    else
        apply_open_external(&run->receiver, &run->sides.source);
}

static void open_sender(struct run *run) {
    if (!begin_link(&run->sender))
        return;
    if (run->attachment) {
        open_sealed_sender(run);
    } else if (!run->sides.destination.is_endpoint) {
        apply_open_external(&run->sender, &run->sides.destination);
    } else if (run->waiting_path) {
        struct path *path = run->waiting_path;
        run->waiting_path = nullptr;
        apply_add_link_take(&run->sender, path, nullptr);
    } else {
        struct err_info info = {};
        (void)err_set(&info, ERR_INTERNAL, "the sender of stream %s was lost", run->uid);
        apply_end_failed(&run->sender, "PathFailed", &info);
    }
}

static void on_link_removed(void *arg) {
    struct run_end *end = arg;
    end->part = PLAN_PART_NONE;
    end->link = 0;
    apply_links_gone(end->run);
    run_kick(end->run);
}

static void close_end(struct run_end *end) {
    end->part = PLAN_PART_STOPPING;
    engine_remove_link(end->run->reconcile->engine, end->link, on_link_removed, end);
}

/* ---- nodes ---- */

static void acquire(struct run *run, struct node_use *use, const struct stream_side *side) {
    struct err_info info = {};
    if (nodes_acquire(run->reconcile, side->endpoint.endpoint_uid, use, &info) != ERR_OK)
        run_failed(run, use->as_source ? "Source" : "Destination", "DeviceFailed", &info);
}

void apply_actions(struct run *run, uint32_t actions) {
    if (actions & PLAN_DETACH)
        remote_source_detach(run);
    if (actions & PLAN_DROP_ATTACHMENT)
        remote_source_drop(run);
    if (actions & PLAN_CLOSE_SENDER)
        close_end(&run->sender);
    if (actions & PLAN_CLOSE_RECEIVER)
        close_end(&run->receiver);
    if (actions & PLAN_RELEASE_SOURCE_NODE)
        nodes_release(&run->source);
    if (actions & PLAN_RELEASE_DESTINATION_NODE)
        nodes_release(&run->destination);
    if (actions & PLAN_OPEN_SOURCE_NODE)
        acquire(run, &run->source, &run->sides.source);
    if (actions & PLAN_OPEN_DESTINATION_NODE)
        acquire(run, &run->destination, &run->sides.destination);
    if (actions & PLAN_OPEN_RECEIVER)
        open_receiver(run);
    if (actions & PLAN_OPEN_SENDER)
        open_sender(run);
    if (actions & PLAN_ATTACH)
        remote_source_attach(run);
}
