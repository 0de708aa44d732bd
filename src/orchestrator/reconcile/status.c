/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>

#include "orchestrator/reconcile/attachments.h"
#include "orchestrator/reconcile/reasons.h"
#include "orchestrator/reconcile/reconcile.h"
#include "orchestrator/registry/show.h"

/* ---- state and conditions ---- */

enum stream_state status_state_of(enum plan_state state) {
    static const enum stream_state STATES[] = {
        [PLAN_PENDING] = STREAM_STATE_PENDING, [PLAN_CONNECTING] = STREAM_STATE_CONNECTING,
        [PLAN_RUNNING] = STREAM_STATE_RUNNING, [PLAN_DEGRADED] = STREAM_STATE_DEGRADED,
        [PLAN_STOPPED] = STREAM_STATE_STOPPED, [PLAN_FAILED] = STREAM_STATE_FAILED,
    };
    return STATES[state];
}

static bool set_condition(struct stream_status *status, bool any, const struct condition *condition, const char *now) {
    struct condition *shown = &status->conditions[0];
    if (!any) {
        bool changed = status->n_conditions > 0;
        status->n_conditions = 0;
        return changed;
    }
    bool changed = status->n_conditions == 0 || strcmp(shown->type, condition->type) != 0 ||
                   strcmp(shown->reason, condition->reason) != 0;
    char since[sizeof shown->since];
    memcpy(since, shown->since, sizeof since);
    *shown = *condition;
    if (changed)
        snprintf(shown->since, sizeof shown->since, "%s", now);
    else
        memcpy(shown->since, since, sizeof since);
    status->n_conditions = 1;
    return changed;
}

static bool set_local_uris(struct stream_status *status, const struct stream_local_uris *uris) {
    bool changed = !stream_local_uris_equal(&status->local_uris, uris);
    status->local_uris = *uris;
    return changed;
}

void status_publish(struct run *run, const struct plan *plan) {
    struct reconcile *r = run->reconcile;
    struct stream_entry *entry = run_stream(run);
    if (run->attachment)
        attachments_publish(run, plan);
    if (!entry || !run->exists || r->is_stopping)
        return;
    struct stream_status *status = &entry->object.status;
    char now[CLOCK_TEXT_SIZE];
    clock_format(now, clock_wall_ns(r->loop->clock));
    struct condition condition;
    bool any = reasons_describe(run, plan, &condition);
    bool changed = set_condition(status, any, &condition, now);
    changed |= set_local_uris(status, &run->local_uris);
    enum stream_state state = status_state_of(plan->state);
    if (state != status->state) {
        status->state = state;
        snprintf(status->since, sizeof status->since, "%s", now);
        changed = true;
        log_info(r->log, "stream changed", LOG_STR("stream", run->uid), LOG_STR("state", stream_state_name(state)),
                 LOG_STR("reason", any ? condition.reason : ""));
    }
    status_poll_run(run);
    if (changed && !r->in_write)
        registry_announce_stream(r->registry, entry, EVENT_STREAM_UPDATED);
}

/* ---- figures of streams ---- */

static double ms(int64_t ns) {
    return (double)ns / (double)NS_PER_MS;
}

static void set_known(enum presence *has, double *value, int64_t ns) {
    *has = ns > 0 ? PRESENCE_VALUE : PRESENCE_NULL;
    *value = ns > 0 ? ms(ns) : 0;
}

/* Received figures where there is a receiver here, else those of the sender. */
static void show_counts(struct stream_status *status, const struct engine_link_status *sender,
                        const struct engine_link_status *receiver) {
    struct stream_packets *packets = &status->packets;
    double bitrate_kbps = packets->bitrate_kbps;
    *packets = (struct stream_packets){.bitrate_kbps = bitrate_kbps};
    status->samples = (struct stream_samples){};
    status->ledger.stalls = 0;
    if (sender) {
        packets->sent = (int64_t)sender->packets_sent;
        packets->bytes = (int64_t)sender->bytes_sent;
        packets->lost = (int64_t)sender->send_dropped;
        packets->rejected = (int64_t)sender->rejected;
    }
    if (!receiver)
        return;
    packets->received = (int64_t)receiver->packets_received;
    packets->bytes = (int64_t)receiver->bytes_received;
    packets->lost = (int64_t)receiver->lost;
    packets->repaired = (int64_t)receiver->repaired;
    packets->late = (int64_t)receiver->late;
    packets->reordered = (int64_t)receiver->reordered;
    packets->rejected = (int64_t)receiver->rejected;
    packets->jitter_ms = ms(receiver->jitter_ns);
    status->samples = (struct stream_samples){.lost = (int64_t)receiver->lost_frames,
                                              .lost_network = (int64_t)receiver->lost_network,
                                              .lost_machine = (int64_t)receiver->lost_machine,
                                              .lost_sender = (int64_t)receiver->lost_sender};
    status->ledger.stalls = (int64_t)receiver->stalls;
}

/* The figures of a path that is gone are not those of the next. */
static void show_nothing(struct stream_status *status) {
    status->latency_ms = (struct stream_latency){.has_end_to_end = PRESENCE_NULL,
                                                 .has_target = PRESENCE_NULL,
                                                 .has_network = PRESENCE_NULL,
                                                 .has_queue = PRESENCE_NULL};
    status->packets = (struct stream_packets){};
    status->has_latency_change = PRESENCE_ABSENT;
    status->samples = (struct stream_samples){};
    status->has_glitches = PRESENCE_ABSENT;
    status->ledger = (struct stream_ledger){};
    status->n_level_dbfs = 0;
    status->uptime_s = 0;
}

/* Auto has taken another target latency: it is in the status, an event, and in the log. */
void status_latency_changed(struct run *run, const struct engine_event *event) {
    struct reconcile *r = run->reconcile;
    run->settings.target_latency_ns = event->to_ns;
    log_info(r->log, "latency changed", LOG_STR("stream", run->uid), LOG_INT("from_ms", event->from_ns / NS_PER_MS),
             LOG_INT("to_ms", event->to_ns / NS_PER_MS), LOG_STR("cause", adapt_cause_name(event->cause)));
    struct stream_entry *entry = run_stream(run);
    if (!entry || !run->exists || r->is_stopping)
        return;
    struct stream_status *status = &entry->object.status;
    struct stream_latency_change *change = &status->latency_change;
    int64_t changes = status->has_latency_change == PRESENCE_VALUE ? change->changes + 1 : 1;
    *change =
        (struct stream_latency_change){.from_ms = ms(event->from_ns), .to_ms = ms(event->to_ns), .changes = changes};
    char now[CLOCK_TEXT_SIZE];
    clock_format(now, clock_wall_ns(r->loop->clock));
    snprintf(change->at, sizeof change->at, "%s", now);
    snprintf(change->cause, sizeof change->cause, "%s", adapt_cause_name(event->cause));
    snprintf(change->message, sizeof change->message, "%s", adapt_cause_text(event->cause));
    status->has_latency_change = PRESENCE_VALUE;
    status_poll_run(run);
    if (!r->in_write)
        registry_announce_stream(r->registry, entry, EVENT_STREAM_UPDATED);
}

static const struct node *clock_node(const struct run *run) {
    return run->destination.node ? run->destination.node : run->source.node;
}

static void show_ledger(const struct run *run, struct stream_status *status) {
    const struct node *node = clock_node(run);
    const struct endpoint_entry *endpoint =
        node ? registry_endpoint(run->reconcile->registry, node->endpoint_uid) : nullptr;
    status->ledger.late_ticks = endpoint ? endpoint->object.status.ledger.late_ticks : 0;
    status->ledger.worst_late_ms = endpoint ? endpoint->object.status.ledger.worst_late_ms : 0;
}

/* Packets that come after a silence end it, whether or not the sender is a new one. */
static void follow_flow(struct run *run, const struct engine_link_status *main) {
    int64_t now_ns = loop_now_ns(run->reconcile->loop);
    if (run->silent && main->receiving && main->packets_received > run->silent_packets) {
        run->silent = false;
        run->silent_ns = 0;
        run_kick(run);
    }
    if (!run->flowing && !run->silent && main->playing) {
        run->flowing = true;
        run->flowing_ns = now_ns;
        run_kick(run);
    }
}

static bool get_link(const struct run_end *end, struct engine_link_status *ret) {
    return end->part == PLAN_PART_UP && engine_link_status(end->run->reconcile->engine, end->link, ret);
}

/* What a window of samples needs to know. */
struct totals {
    uint64_t lost_frames, bytes, sent, dropped;
};

/* Within one peer there is no network: it takes 0 ms, which is known. */
static void show_stages(struct stream_latency *latency, const struct engine_link_status *link) {
    latency->has_network = latency->has_queue = PRESENCE_NULL;
    latency->has_stages = PRESENCE_ABSENT;
    latency->has_method = link->end_to_end_ns > 0 ? PRESENCE_VALUE : PRESENCE_ABSENT;
    latency->method = link->latency_is_measured ? LATENCY_METHOD_MEASURED : LATENCY_METHOD_ESTIMATED;
    if (!link->latency_is_measured)
        return;
    struct stream_latency_stages *shown = &latency->stages;
    struct stream_latency_stage *const stages[] = {
        [LATENCY_CAPTURE] = &shown->capture,
        [LATENCY_ENCODE] = &shown->encode,
        [LATENCY_FEC_BLOCK] = &shown->fec_block,
        [LATENCY_NETWORK] = &shown->network,
        [LATENCY_JITTER_BUFFER] = &shown->jitter_buffer,
        [LATENCY_RESAMPLER] = &shown->resampler,
        [LATENCY_PLAYBACK] = &shown->playback,
    };
    for (enum latency_stage i = 0; i < LATENCY_N_STAGES; i++) {
        stages[i]->ms = ms(link->stages.ns[i]);
        stages[i]->method = latency_stage_is_measured(i) ? LATENCY_METHOD_MEASURED : LATENCY_METHOD_COMPUTED;
    }
    latency->has_stages = latency->has_network = latency->has_queue = PRESENCE_VALUE;
    latency->network = shown->network.ms;
    latency->queue = shown->fec_block.ms + shown->jitter_buffer.ms;
}

static void follow_glitches(struct run *run, struct stream_status *status) {
    struct reconcile *r = run->reconcile;
    const struct node *node = run->destination.node;
    int64_t wall_ns = clock_wall_ns(r->loop->clock) - loop_now_ns(r->loop);
    struct glitch glitch;
    while (node && node->format.rate_hz && engine_take_glitches(r->engine, run->receiver.link, &glitch, 1) == 1)
        glitch_log_add(&run->glitches, glitch.kind, wall_ns + glitch.at_ns,
                       (int64_t)glitch.frames * NS_PER_S / node->format.rate_hz, 1);
    status->has_glitches = PRESENCE_VALUE;
    glitch_log_show_counts(&run->glitches, &status->glitches);
}

static bool poll(struct run *run, struct totals *ret) {
    struct reconcile *r = run->reconcile;
    struct stream_entry *entry = run_stream(run);
    struct engine_link_status sender, receiver;
    bool has_sender = r->engine && get_link(&run->sender, &sender);
    bool has_receiver = r->engine && get_link(&run->receiver, &receiver);
    if (!entry)
        return false;
    struct stream_status *status = &entry->object.status;
    if (!has_sender && !has_receiver) {
        show_nothing(status);
        return false;
    }
    const struct engine_link_status *main = has_receiver ? &receiver : &sender;
    if (has_receiver)
        follow_glitches(run, status);
    show_counts(status, has_sender ? &sender : nullptr, has_receiver ? &receiver : nullptr);
    show_ledger(run, status);
    set_known(&status->latency_ms.has_end_to_end, &status->latency_ms.end_to_end, main->end_to_end_ns);
    set_known(&status->latency_ms.has_target, &status->latency_ms.target, run->settings.target_latency_ns);
    show_stages(&status->latency_ms, main);
    level_add(&run->level, main->n_channels, main->level_dbfs, loop_now_ns(r->loop));
    status->n_level_dbfs = level_show(&run->level, status->level_dbfs, ENGINE_CHANNELS_MAX);
    status->uptime_s = run->built_ns ? (double)(loop_now_ns(r->loop) - run->built_ns) / (double)NS_PER_S : 0;
    if (has_receiver || !stream_side_is_here(&run->sides.destination))
        follow_flow(run, main);
    *ret = (struct totals){.bytes = has_receiver ? receiver.bytes_received : sender.bytes_sent};
    if (has_receiver)
        ret->lost_frames = receiver.lost_network + receiver.lost_machine;
    if (has_sender) {
        ret->sent = sender.packets_sent;
        ret->dropped = sender.send_dropped;
    }
    return true;
}

void status_poll_run(struct run *run) {
    struct totals unused;
    (void)poll(run, &unused);
}

/* ---- the last seconds ---- */

static bool is_losing(const struct run *run, const struct run_sample *oldest, const struct run_sample *newest) {
    double seconds = (double)(newest->at_ns - oldest->at_ns) / (double)NS_PER_S;
    uint64_t sent = newest->sent - oldest->sent, dropped = newest->dropped - oldest->dropped;
    const struct node *node = run->destination.node;
    double due_frames = node ? seconds * node->format.rate_hz : 0;
    return (due_frames > 0 && (double)(newest->lost_frames - oldest->lost_frames) > due_frames / 100) ||
           (dropped > 0 && dropped * 100 > sent + dropped);
}

/* Two seconds at least: one hole in the first sound is no verdict. */
static void follow_losses(struct run *run, const struct totals *totals) {
    const struct run_sample *oldest = run->n_samples < RUN_SAMPLES ? &run->samples[0] : &run->samples[run->next_sample];
    const struct run_sample newest = {.at_ns = loop_now_ns(run->reconcile->loop),
                                      .lost_frames = totals->lost_frames,
                                      .bytes = totals->bytes,
                                      .sent = totals->sent,
                                      .dropped = totals->dropped};
    struct stream_entry *entry = run_stream(run);
    if (run->n_samples > 0 && newest.at_ns > oldest->at_ns) {
        int64_t span_ns = newest.at_ns - oldest->at_ns;
        if (entry)
            entry->object.status.packets.bitrate_kbps =
                (double)(newest.bytes - oldest->bytes) * 8 * (double)NS_PER_MS / (double)span_ns;
        bool losing = span_ns >= 2 * NS_PER_S && is_losing(run, oldest, &newest);
        if (losing != run->losing) {
            run->losing = losing;
            run_kick(run);
        }
    }
    run->samples[run->next_sample] = newest;
    run->next_sample = (run->next_sample + 1) % RUN_SAMPLES;
    if (run->n_samples < RUN_SAMPLES)
        run->n_samples++;
}

/* ---- devices that move much at a time ---- */

/* A device takes a shorter period a moment after it was asked to. */
constexpr int64_t STARVED_AFTER_NS = 2 * NS_PER_S;

/* By devices of this peer: each end of a stream between peers tells of its own. What others do with what we send is theirs. */
static void follow_periods(struct run *run) {
    bool is_starved = false;
    enum plan_part part = run->attachment ? run->sender.part : run->receiver.part;
    if (run->built_link && part == PLAN_PART_UP)
        is_starved = reasons_longest_period(run) > reasons_most_latency(run);
    int64_t now_ns = loop_now_ns(run->reconcile->loop);
    if (!is_starved)
        run->starved_ns = 0;
    else if (!run->starved_ns)
        run->starved_ns = now_ns;
    is_starved = is_starved && now_ns - run->starved_ns >= STARVED_AFTER_NS;
    if (is_starved == run->starved)
        return;
    run->starved = is_starved;
    run_kick(run);
}

/* ---- figures of endpoints ---- */

/* Other devices that stand still are broken, or about to be: a virtual loudspeaker does when no program plays into it. */
static void follow_idle(struct node *node, const struct engine_node_status *now) {
    bool is_idle = node->spec.kind == ENDPOINT_KIND_VIRTUAL_SPEAKER && now->stands_still &&
                   (node->spec.has_virtual != PRESENCE_VALUE || node->spec.virtual.idle != VIRTUAL_IDLE_ALWAYS);
    if (is_idle == node->is_idle)
        return;
    node->is_idle = is_idle;
    struct node_use *use;
    list_for_each(use, &node->users, link) run_kick(use->run);
}

/* What an xrun cost is not known. A device that was not served in time is not to blame: xruns are judged one status later, since
 * the device tells of them while our thread still stands, and the thread tells when it goes on. */
static void judge_xruns(struct reconcile *r, struct node *node) {
    constexpr int64_t LATE_MIN_NS = 10 * NS_PER_MS;
    int64_t room_ns = node->real_period_ns / 2 > LATE_MIN_NS ? node->real_period_ns / 2 : LATE_MIN_NS;
    bool was_late = node->late_ns >= room_ns || node->late_before_ns >= room_ns;
    struct node_use *use;
    list_for_each(use, &node->users, link) {
        if (node->n_dry > 0)
            glitch_log_add(&use->run->glitches, was_late ? GLITCH_STALL : GLITCH_DEVICE_XRUN,
                           clock_wall_ns(r->loop->clock), 0, node->n_dry);
    }
    node->n_dry = node->knows_xruns && node->xruns > node->judged_xruns ? node->xruns - node->judged_xruns : 0;
    node->knows_xruns = node->has_xruns;
    node->judged_xruns = node->xruns;
    node->late_before_ns = node->late_ns;
    node->late_ns = 0;
}

/* What is hardware moves sound as long as it is open, or it is broken, suspended, or its sound server is stuck; opened anew
 * it may move again. */
constexpr int64_t STUCK_NS = 5 * NS_PER_S;

static void follow_stuck(struct reconcile *r, struct node *node, const struct endpoint_entry *entry,
                         const struct engine_node_status *now) {
    int64_t now_ns = loop_now_ns(r->loop);
    bool is_hardware = node->spec.kind == ENDPOINT_KIND_DEVICE || node->spec.kind == ENDPOINT_KIND_DEFAULT;
    if (!is_hardware || !now->stands_still || node->is_stale) {
        node->still_ns = 0;
        return;
    }
    if (node->still_ns == 0)
        node->still_ns = now_ns;
    if (now_ns - node->still_ns < STUCK_NS)
        return;
    node->still_ns = 0;
    char name[LIMIT_NAME + 1];
    show_endpoint_name(entry, name);
    struct err_info reason = {};
    (void)err_set(
        &reason, ERR_UNAVAILABLE,
        "'%s' is open and has moved no sound for %d s: it is suspended, its sound server does not answer, or it is "
        "broken. It is opened anew",
        name, (int)(STUCK_NS / NS_PER_S));
    nodes_failed(node, &reason);
}

void status_poll_node(struct reconcile *r, struct node *node) {
    struct engine_node_status now;
    struct endpoint_entry *entry = registry_endpoint(r->registry, node->endpoint_uid);
    if (!entry || node->state != NODE_UP || !engine_node_status(r->engine, node->id, &now))
        return;
    follow_idle(node, &now);
    struct endpoint_status *status = &entry->object.status;
    node->has_xruns = now.has_xruns;
    node->xruns = now.xruns;
    node->late_ns = now.late_ns > node->late_ns ? now.late_ns : node->late_ns;
    follow_stuck(r, node, entry, &now);
    status->frames = now.frames > 0 ? now.frames : 0;
    status->has_position_ms = now.position_frames >= 0 && node->format.rate_hz ? PRESENCE_VALUE : PRESENCE_NULL;
    if (status->has_position_ms == PRESENCE_VALUE)
        status->position_ms = now.position_frames * 1000 / node->format.rate_hz;
    status->has_started_at = now.started_wall_ns > 0 ? PRESENCE_VALUE : PRESENCE_NULL;
    if (now.started_wall_ns > 0) {
        char text[CLOCK_TEXT_SIZE];
        clock_format(text, now.started_wall_ns);
        snprintf(status->started_at, sizeof status->started_at, "%s", text);
    }
    status->ledger.late_ticks = (int64_t)now.late_ticks;
    status->ledger.worst_late_ms = ms(now.worst_late_ns);
    status->has_xruns = now.has_xruns ? PRESENCE_VALUE : PRESENCE_ABSENT;
    status->xruns = (int64_t)now.xruns;
    node->real_period_ns = now.period_ns;
    status->has_period_ms = now.period_ns > 0 ? PRESENCE_VALUE : PRESENCE_ABSENT;
    status->period_ms = ms(now.period_ns);
    status->has_encoders = node->direction == AUDIO_OUTPUT ? PRESENCE_ABSENT : PRESENCE_VALUE;
    status->encoders = (int32_t)now.n_encoders;
    level_add(&entry->level, now.n_channels, now.level_dbfs, loop_now_ns(r->loop));
    status->n_level_dbfs = level_show(&entry->level, status->level_dbfs, ENGINE_CHANNELS_MAX);
}

static void poll_endpoints(struct reconcile *r) {
    for (struct endpoint_entry *e = nullptr; (e = registry_next_endpoint(r->registry, e));) {
        e->object.status.active_streams = 0;
        e->object.status.has_encoders = PRESENCE_ABSENT; /* until its node says otherwise */
    }
    struct node *node;
    list_for_each(node, &r->nodes, link) {
        struct endpoint_entry *entry = registry_endpoint(r->registry, node->endpoint_uid);
        if (entry)
            entry->object.status.active_streams += (int32_t)list_count(&node->users);
        status_poll_node(r, node);
    }
}

void status_poll_all(struct reconcile *r) {
    if (!r->engine)
        return;
    poll_endpoints(r);
    struct run *run;
    list_for_each(run, &r->runs, link) {
        status_poll_run(run);
    }
}

/* ---- timers ---- */

/* A stream that was silent for so long is no longer degraded: it waits for a sender. */
constexpr int64_t GIVE_UP_SILENT_NS = 5'000'000'000;

void status_tick(void *arg) {
    struct reconcile *r = arg;
    loop_timer_start(r->loop, &r->status, RECONCILE_STATUS_NS);
    for (struct stream_entry *s = nullptr; (s = registry_next_stream(r->registry, s));)
        if (!map_get(&r->runs_by_uid, s->object.uid)) /* memory ran out when it came */
            reconcile_listener.stream_changed(r, s->object.uid);
    if (!r->engine)
        return;
    poll_endpoints(r);
    struct node *node;
    list_for_each(node, &r->nodes, link) judge_xruns(r, node);
    struct run *run;
    list_for_each(run, &r->runs, link) {
        struct totals totals;
        if (poll(run, &totals))
            follow_losses(run, &totals);
        follow_periods(run);
        remote_source_wonder(run);
        if (run->silent && run->flowing && loop_now_ns(r->loop) - run->silent_ns >= GIVE_UP_SILENT_NS) {
            run->flowing = false;
            run->flowing_ns = 0;
            run_kick(run);
        }
    }
}

static void meter_event(struct reconcile *r, const char *uid, const char *prefix, struct level *level) {
    struct meter meter = {};
    meter.n_level_dbfs = level_take_meter(level, meter.level_dbfs, ENGINE_CHANNELS_MAX);
    if (meter.n_level_dbfs == 0)
        return;
    snprintf(meter.uri, sizeof meter.uri, "%s%s", prefix, uid);
    snprintf(meter.uid, sizeof meter.uid, "%s", uid);
    registry_announce(r->registry, EVENT_METER, uid, &meter_schema, &meter);
}

void status_meter(void *arg) {
    struct reconcile *r = arg;
    loop_timer_start(r->loop, &r->meter, RECONCILE_METER_NS);
    status_poll_all(r);
    struct run *run;
    list_for_each(run, &r->runs, link) {
        if (run->exists && !run->attachment)
            meter_event(r, run->uid, "/streams/", &run->level);
    }
    char prefix[64];
    snprintf(prefix, sizeof prefix, "/peers/%s/endpoints/", r->registry->self.uid);
    for (struct endpoint_entry *e = nullptr; (e = registry_next_endpoint(r->registry, e));)
        if (e->in_use)
            meter_event(r, e->object.uid, prefix, &e->level);
}
