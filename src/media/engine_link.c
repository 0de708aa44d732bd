/* SPDX-License-Identifier: MPL-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "media/engine_priv.h"

static struct link_record *find_link(struct engine *engine, uint32_t id) {
    struct link_record *record;
    list_for_each(record, &engine->links, in_engine) if (record->id == id) return record;
    return nullptr;
}

static bool has_job(const struct link_record *record) {
    return record->main.active || record->build.active || record->dispose.active;
}

/* The engine is gone, and this was its last report? */
static bool is_orphan(struct link_record *record) {
    if (record->engine)
        return false;
    if (!has_job(record))
        free(record);
    return true;
}

/* From now on nobody joins because of this one. */
static void leave_share(struct link_record *record) {
    if (record->has_joined)
        record->share->n_joined--;
    record->has_joined = false;
}

static void close_path(struct link_record *record) {
    if (record->path)
        record->path->ops->close(record->path);
    record->path = nullptr;
}

/* The record leaves the engine. What the callbacks below are told about is not found any more. */
static void forget(struct link_record *record) {
    list_remove(&record->in_engine);
    record->engine->n_objects--;
    if (record->node)
        engine_node_link_closed(record->node, record->config.receiving);
    record->node = nullptr;
}

/* ---- opening ---- */

static void open_receive(struct link_record *record) {
    const struct engine_link_config *config = &record->config;
    const struct node *node = record->node->node;
    struct link_receive_config link = {
        .codec = record->engine->config.codec,
        .settings = config->settings,
        .gate = config->gate,
        .node_rate_hz = node->stream->format.rate_hz,
        .node_channels = node->stream->format.n_channels,
        .n_max = node->n_max,
        .gain_db = config->gain_db,
        .muted = config->muted,
        .n_map = config->n_map,
        .map = config->map,
        .silent_after_ns = config->silent_after_ns,
        .member = config->member,
        .latency_min_ns = config->latency_min_ns,
        .latency_max_ns = config->latency_max_ns,
        .path = record->path,
    };
    record->result = link_receive_create(&link, record, &record->receive, &record->info);
}

static void open_send(struct link_record *record) {
    const struct engine_link_config *config = &record->config;
    const struct node *node = record->node->node;
    struct link_send_config link = {
        .codec = record->engine->config.codec,
        .settings = config->settings,
        .node_rate_hz = node->stream->format.rate_hz,
        .node_channels = node->stream->format.n_channels,
        .n_max = node->n_max,
        .gain_db = config->gain_db,
        .muted = config->muted,
        .n_map = config->n_map,
        .map = config->map,
        .start_delay_ns = config->start_delay_ns,
        .member = config->member,
        .mixes = node->stream->mix_minus,
        .path = record->path,
        .share = record->share,
    };
    record->result = link_send_create(&link, record, &record->send, &record->info);
}

static void open_work(void *arg) {
    struct link_record *record = arg;
    if (record->result == ERR_OK && record->config.receiving)
        open_receive(record);
    else if (record->result == ERR_OK)
        open_send(record);
    if (record->result == ERR_OK)
        record->path = nullptr; /* the link has it */
    else
        close_path(record);
}

static void begin_closing(struct link_record *record);

static void apply_gain(struct link_record *record) {
    gain_set(record->send ? &record->send->gain : &record->receive->gain, record->gain_db, record->muted);
}

static void on_opened(void *arg) {
    struct link_record *record = arg;
    if (is_orphan(record))
        return;
    if (record->remove_wanted) {
        begin_closing(record);
        return;
    }
    if (record->result != ERR_OK) {
        leave_share(record);
        share_unref(record->share);
        forget(record);
        if (record->added)
            record->added(record->added_arg, record->id, record->result, &record->info);
        free(record);
        return;
    }
    record->state = RECORD_LIVE;
    apply_gain(record); /* it may have changed meanwhile */
    record->encoder = record->send ? record->send->encoder : nullptr;
    record->decoder = record->receive ? record->receive->decoder : nullptr;
    media_thread_command(record->node->thread, &(struct command){
                                                   .kind = COMMAND_ADD_LINK,
                                                   .receiving = record->config.receiving,
                                                   .node = record->node->node,
                                                   .send = record->send,
                                                   .receive = record->receive,
                                               });
    if (record->added)
        record->added(record->added_arg, record->id, ERR_OK, nullptr);
}

/* What can be said before a worker looks at it. */
static enum err check(struct engine *engine, uint32_t id, struct node_record *node,
                      const struct engine_link_config *config, struct err_info *reterr) {
    if (!node || node->state != RECORD_LIVE)
        return err_set(reterr, ERR_NOT_FOUND, "the endpoint of this stream (node %u) is not in use any more", id);
    if (node->node->direction == (config->receiving ? AUDIO_INPUT : AUDIO_OUTPUT))
        return err_set(reterr, ERR_INVALID,
                       "an endpoint that gives sound can only send it, one that takes it only "
                       "receive it");
    if (config->n_map > ENGINE_CHANNELS_MAX)
        return err_set(reterr, ERR_INVALID, "a channel map has at most %zu entries", ENGINE_CHANNELS_MAX);
    if (engine->n_objects >= ENGINE_OBJECTS_MAX)
        return err_set(reterr, ERR_LIMIT, "%zu endpoints and streams are in use; no more can be", ENGINE_OBJECTS_MAX);
    return ERR_OK;
}

/* Out of memory it has an encoder of its own. */
static void join_share(struct link_record *record) {
    const struct engine_link_config *config = &record->config;
    struct node_record *node = record->node;
    if (config->receiving || !config->may_share || node->node->stream->mix_minus)
        return;
    const struct link_record *other;
    list_for_each(other, &record->engine->links, in_engine) {
        if (other->node != node || !other->has_joined || !share_fits(other->share, config))
            continue;
        record->share = share_ref(other->share);
        record->share->n_joined++;
        record->has_joined = true;
        return;
    }
    record->share = share_create(config, node->node->stream->format.rate_hz);
    record->has_joined = record->share;
}

uint32_t engine_add_link_take(struct engine *engine, uint32_t node, const struct engine_link_config *config,
                              struct path *path, engine_link_done_fn done, void *arg) {
    struct link_record *record = calloc(1, sizeof *record);
    if (!record) {
        path->ops->close(path);
        return 0;
    }
    record->engine = engine;
    record->id = engine_new_id(engine);
    record->state = RECORD_OPENING;
    record->config = *config;
    record->gain_db = config->gain_db;
    record->muted = config->muted;
    record->path = path;
    record->added = done;
    record->added_arg = arg;
    struct node_record *node_record = engine_find_node(engine, node);
    record->result = check(engine, node, node_record, config, &record->info);
    if (record->result == ERR_OK) {
        record->node = node_record;
        engine_node_add_link(node_record, config->receiving);
        join_share(record);
    }
    engine->n_objects++;
    list_append(&engine->links, &record->in_engine);
    engine_job_start(engine, &record->main, open_work, on_opened, record);
    return record->id;
}

/* ---- closing ---- */

static void close_all(struct link_record *record) {
    if (!record->send)
        share_unref(record->share);
    record->share = nullptr;
    link_send_destroy(record->send);
    link_receive_destroy(record->receive);
    if (record->built)
        record->built->ops->close(record->built);
    if (record->old)
        record->old->ops->close(record->old);
    for (; record->n_next_old > 0; record->n_next_old--) {
        struct codec_decoder *old = record->next_old[record->n_next_old - 1];
        old->ops->close(old);
    }
    close_path(record);
    record->send = nullptr;
    record->receive = nullptr;
    record->built = record->old = nullptr;
}

static void close_work(void *arg) {
    close_all(arg);
}

static void on_closed(void *arg) {
    struct link_record *record = arg;
    if (is_orphan(record))
        return;
    forget(record);
    if (record->removed)
        record->removed(record->removed_arg);
    free(record);
}

static void begin_closing(struct link_record *record) {
    record->state = RECORD_CLOSING;
    engine_job_start(record->engine, &record->main, close_work, on_closed, record);
}

/* Once the media thread and all workers have let go. */
static void close_if_free(struct link_record *record) {
    if (record->state == RECORD_LEAVING && record->gone && !has_job(record))
        begin_closing(record);
}

void engine_link_remove(struct link_record *record, void (*done)(void *arg), void *arg) {
    if (record->removed) {
        engine_call_later(record->engine, done, arg);
        return;
    }
    record->removed = done;
    record->removed_arg = arg;
    leave_share(record);
    if (record->state == RECORD_OPENING) {
        record->remove_wanted = true;
    } else if (record->state == RECORD_LIVE) {
        record->state = RECORD_LEAVING;
        record->encoder = nullptr;
        record->decoder = nullptr;
        media_thread_command(record->node->thread, &(struct command){
                                                       .kind = COMMAND_REMOVE_LINK,
                                                       .receiving = record->config.receiving,
                                                       .send = record->send,
                                                       .receive = record->receive,
                                                   });
    }
}

void engine_remove_link(struct engine *engine, uint32_t link, void (*done)(void *arg), void *arg) {
    struct link_record *record = find_link(engine, link);
    if (record)
        engine_link_remove(record, done, arg);
    else
        engine_call_later(engine, done, arg);
}

void engine_link_destroy_now(struct link_record *record) {
    close_all(record);
    list_remove(&record->in_engine);
    record->engine = nullptr;
    if (!has_job(record))
        free(record);
}

/* ---- another decoder: for a new sender, another latency, or clocks that differ ---- */

static void build_work(void *arg) {
    struct link_record *record = arg;
    const struct node *node = record->node->node;
    struct codec *codec = record->engine->config.codec;
    struct codec_settings settings = record->config.settings;
    if (record->builds_latency)
        settings.target_latency_ns = record->offer.target_ns;
    struct codec_frame_format format = {
        .rate_hz = node->stream->format.rate_hz,
        .n_channels = settings.wire_channels,
        .sender_ppm = record->builds_latency ? record->offer_sender_ppm : record->sender_ppm,
    };
    record->result = codec->ops->open_decoder(codec, &settings, format, &record->built, &record->info);
}

static void build_what_is_wanted(struct link_record *record);

static void send_decoder(struct link_record *record, enum command_kind kind, struct codec_decoder *decoder) {
    media_thread_command(
        record->node->thread,
        &(struct command){.kind = kind, .receiving = true, .receive = record->receive, .decoder = decoder});
}

static void on_built(void *arg) {
    struct link_record *record = arg;
    if (is_orphan(record))
        return;
    if (record->state != RECORD_LIVE) {
        close_if_free(record);
        return;
    }
    struct codec_decoder *built = record->built;
    record->built = nullptr;
    if (record->builds_latency) {
        if (record->result != ERR_OK)
            log_warn(record->engine->config.log, "a decoder of another latency could not be built",
                     LOG_UINT("link", record->id), LOG_STR("detail", record->info.message));
        record->offered = record->result == ERR_OK ? built : nullptr;
        send_decoder(record, COMMAND_OFFER_DECODER, record->offered);
        build_what_is_wanted(record);
        return;
    }
    if (record->result != ERR_OK) {
        engine_tell(record->engine, ENGINE_LINK_FAILED, record->node->id, record->id, &record->info);
        return;
    }
    record->decoder = built;
    send_decoder(record, COMMAND_SWAP_DECODER, built);
    build_what_is_wanted(record);
}

/* One thing at a time; a new sender first, as its sound waits. Asked again whenever something has ended. */
static void build_what_is_wanted(struct link_record *record) {
    if (record->state != RECORD_LIVE || record->build.active || record->dispose.active || record->offered)
        return;
    if (!record->decoder_wanted && !record->latency_wanted)
        return;
    record->builds_latency = !record->decoder_wanted;
    *(record->builds_latency ? &record->latency_wanted : &record->decoder_wanted) = false;
    record->result = ERR_OK;
    engine_job_start(record->engine, &record->build, build_work, on_built, record);
}

static void dispose_work(void *arg) {
    struct link_record *record = arg;
    record->old->ops->close(record->old);
    record->old = nullptr;
}

static void on_disposed(void *arg);

static void dispose(struct link_record *record, struct codec_decoder *decoder) {
    if (record->dispose.active) {
        record->next_old[record->n_next_old++] = decoder; /* the one that faded, and one of the two of a change */
        return;
    }
    record->old = decoder;
    engine_job_start(record->engine, &record->dispose, dispose_work, on_disposed, record);
}

static void on_disposed(void *arg) {
    struct link_record *record = arg;
    if (is_orphan(record))
        return;
    if (record->n_next_old > 0) {
        dispose(record, record->next_old[--record->n_next_old]);
        return;
    }
    build_what_is_wanted(record);
    close_if_free(record);
}

/* The offered decoder is the one in use now. */
static void tell_latency(struct link_record *record) {
    struct engine *engine = record->engine;
    struct engine_event event = {
        .kind = ENGINE_LINK_LATENCY,
        .node = record->node->id,
        .link = record->id,
        .from_ns = record->config.settings.target_latency_ns,
        .to_ns = record->offer.target_ns,
        .cause = record->offer.cause,
    };
    record->config.settings.target_latency_ns = event.to_ns;
    if (engine->on_event && record->state == RECORD_LIVE)
        engine->on_event(engine->event_arg, &event);
}

static void take_back(struct link_record *record, struct codec_decoder *decoder) {
    dispose(record, decoder);
    struct codec_decoder *offered = record->offered;
    if (!offered || (decoder != offered && decoder != record->decoder))
        return; /* that of the sender before */
    record->offered = nullptr;
    if (decoder == offered)
        return;
    record->decoder = offered;
    record->sender_ppm = record->offer_sender_ppm;
    record->latency_readings = (struct latency_median){}; /* those were of the other latency */
    if (record->offer.cause != ADAPT_STAY)
        tell_latency(record);
}

/* ---- news ---- */

void engine_link_notice(struct engine *engine, const struct notice *notice) {
    struct link_record *record = notice->owner;
    bool live = record->state == RECORD_LIVE;
    struct err_info reason;
    if (notice->kind == NOTICE_LINK_GONE) {
        record->gone = true;
        close_if_free(record);
    } else if (notice->kind == NOTICE_DECODER_OUT) {
        take_back(record, notice->payload);
    } else if (notice->kind == NOTICE_LINK_NEW_SESSION && live) {
        record->decoder_wanted = true;
        build_what_is_wanted(record);
    } else if (notice->kind == NOTICE_LINK_LATENCY && live) {
        record->offer = record->receive->wanted;
        record->offer_sender_ppm = record->receive->wanted_sender_ppm;
        record->latency_wanted = true;
        build_what_is_wanted(record);
    } else if (notice->kind == NOTICE_LINK_STARTED && live) {
        engine_tell(engine, ENGINE_LINK_STARTED, record->node->id, record->id, nullptr);
    } else if (notice->kind == NOTICE_LINK_SILENT && live) {
        engine_tell(engine, ENGINE_LINK_SILENT, record->node->id, record->id, nullptr);
    } else if (notice->kind == NOTICE_LINK_FAILED && live) {
        record->encoder = nullptr; /* never asked again */
        leave_share(record);
        record->decoder = nullptr;
        (void)err_set(&reason, ERR_INTERNAL, "the %s refused to work on; the stream must be built anew",
                      record->config.receiving ? "decoder" : "encoder");
        engine_tell(engine, ENGINE_LINK_FAILED, record->node->id, record->id, &reason);
    }
}

static bool has_failed(const struct link_record *record) {
    const _Atomic bool *failed = record->send ? &record->send->failed : &record->receive->failed;
    return atomic_load_explicit(failed, memory_order_acquire);
}

/* What the sink adds to the way of the sound, from the tick in which it is decoded. */
static int64_t sink_latency_ns(const struct link_record *record) {
    if (!record->config.receiving)
        return 0;
    const struct node_record *node = record->node;
    return atomic_load_explicit(&node->node->playback_ns, memory_order_relaxed) + engine_node_delay_ns(node);
}

/* false: there are no pings, or nothing to measure yet. */
static bool measure_latency(struct link_record *record, const struct codec_query *query) {
    struct latency_known known;
    int64_t now_ns = clock_now_ns(record->engine->config.clock);
    if (!record->receive || !query->has_position || !latency_receive_read(&record->receive->latency, now_ns, &known))
        return false;
    int64_t latency_ns = latency_of(&known, query->rtp, query->after_rtp_ns, record->config.settings.wire_rate_hz,
                                    query->popped_ns + sink_latency_ns(record));
    if (latency_ns < 0)
        return false;
    record->latency = known;
    record->end_to_end_ns = latency_median_add(&record->latency_readings, latency_ns);
    return true;
}

void engine_link_query(struct link_record *record) {
    if (record->state != RECORD_LIVE || (!record->encoder && !record->decoder) || has_failed(record))
        return;
    struct codec_query query = {};
    enum err e = record->encoder ? record->encoder->ops->query(record->encoder, &query)
                                 : record->decoder->ops->query(record->decoder, &query);
    bool connected = e == ERR_OK && query.connected;
    if (connected && measure_latency(record, &query)) {
        record->latency_is_measured = true;
        return;
    }
    if (connected && record->latency_is_measured && !query.has_position)
        return; /* that comes and goes: what was measured holds */
    record->latency_is_measured = false;
    record->latency_readings = (struct latency_median){};
    /* the codec's figure begins with the end of the frames it was given, and is short of a tick of them */
    bool known = connected && query.end_to_end_ns > 0;
    /* of several receivers, the codec does not say which one it means */
    known &= !record->share || record->share->n_joined == 1;
    record->end_to_end_ns = known ? query.end_to_end_ns + record->engine->config.tick_ns + sink_latency_ns(record) : 0;
}

/* ---- orders and status ---- */

void engine_set_gain(struct engine *engine, uint32_t link, double gain_db, bool muted) {
    struct link_record *record = find_link(engine, link);
    if (!record)
        return;
    record->gain_db = gain_db;
    record->muted = muted;
    /* while a worker builds or closes the link it is not ours; the new gain is set when it is live */
    if (record->state == RECORD_LIVE || record->state == RECORD_LEAVING)
        apply_gain(record);
}

#define LOAD(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

static void status_of_path(const struct path *path, struct engine_link_status *ret) {
    ret->packets_sent = LOAD(path->counters.packets_sent);
    ret->bytes_sent = LOAD(path->counters.bytes_sent);
    ret->send_dropped = LOAD(path->counters.send_dropped);
}

static void status_of_send(struct link_send *link, struct engine_link_status *ret) {
    ret->n_sharing = link->share ? (uint32_t)link->share->n_joined : 1;
    status_of_path(link->path, ret);
    ret->send_dropped += LOAD(link->skipped_packets);
    ret->playing = LOAD(link->playing);
    ret->started_ns = LOAD(link->started_ns);
    meter_read(&link->meter, ret->level_dbfs, ret->n_channels);
}

static void status_of_receive(struct link_receive *link, struct engine_link_status *ret) {
    status_of_path(link->path, ret);
    const struct gate_counters *gate = gate_counters(link->gate);
    ret->packets_received = LOAD(gate->packets); /* what strangers send is not received but rejected */
    ret->bytes_received = LOAD(gate->bytes);
    ret->rejected = LOAD(gate->rejected);
    ret->lost = LOAD(gate->lost);
    ret->repaired = LOAD(gate->repaired);
    ret->late = LOAD(gate->late);
    ret->reordered = LOAD(gate->reordered);
    ret->jitter_ns = (int64_t)LOAD(gate->jitter_ns);
    ret->sessions = LOAD(gate->sessions);
    const struct ledger_counters *ledger = &link->ledger.counters;
    ret->lost_frames = LOAD(ledger->lost_frames);
    ret->lost_network = LOAD(ledger->lost_network);
    ret->lost_machine = LOAD(ledger->lost_machine);
    ret->lost_sender = LOAD(ledger->lost_sender);
    ret->stalls = LOAD(ledger->stalls);
    ret->playing = LOAD(link->playing);
    ret->started_ns = LOAD(link->started_ns);
    meter_read(&link->meter, ret->level_dbfs, ret->n_channels);
}

static void show_stages(const struct link_record *record, struct latency_stages *ret) {
    struct latency_parts parts = {
        .end_to_end_ns = record->end_to_end_ns,
        .capture_ns = record->latency.source_ns,
        .network_ns = record->latency.network_ns,
        .playback_ns = sink_latency_ns(record),
        .frame_rate_hz = record->node->node->stream->format.rate_hz,
    };
    latency_stages(&parts, &record->config.settings, ret);
}

size_t engine_take_glitches(struct engine *engine, uint32_t link, struct glitch *ret, size_t max) {
    struct link_record *record = find_link(engine, link);
    if (!record || record->state == RECORD_CLOSING || !record->receive)
        return 0;
    return ring_read(&record->receive->glitches, ret, max);
}

bool engine_link_status(struct engine *engine, uint32_t link, struct engine_link_status *ret) {
    struct link_record *record = find_link(engine, link);
    if (!record || record->state == RECORD_CLOSING)
        return false;
    *ret = (struct engine_link_status){
        .receiving = record->config.receiving,
        .target_latency_ns = record->config.settings.target_latency_ns,
        .end_to_end_ns = record->end_to_end_ns,
        .latency_is_measured = record->latency_is_measured,
        .network_ns = record->latency_is_measured ? record->latency.network_ns : 0,
        .round_trip_ns = record->latency_is_measured ? record->latency.round_trip_ns : 0,
    };
    if (record->latency_is_measured)
        show_stages(record, &ret->stages);
    if (record->state == RECORD_OPENING)
        return true;
    if (record->send) {
        ret->n_channels = record->send->remap.n_to;
        status_of_send(record->send, ret);
    } else {
        ret->n_channels = record->receive->remap.n_to;
        status_of_receive(record->receive, ret);
    }
    return true;
}
