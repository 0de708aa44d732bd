/* SPDX-License-Identifier: MPL-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include "media/engine_priv.h"

struct node_record *engine_find_node(struct engine *engine, uint32_t id) {
    struct node_record *record;
    list_for_each(record, &engine->nodes, in_engine) if (record->id == id) return record;
    return nullptr;
}

static struct media_thread *least_loaded(struct engine *engine) {
    struct media_thread *best = &engine->threads[0];
    for (unsigned i = 1; i < engine->n_threads; i++)
        if (engine->threads[i].load < best->load)
            best = &engine->threads[i];
    return best;
}

static unsigned load_of(const struct node_record *record) {
    return record->links_load > record->least_load ? record->links_load : record->least_load;
}

static unsigned load_of_link(bool receiving) {
    return receiving ? ENGINE_LOAD_RECEIVE : ENGINE_LOAD_SEND;
}

static void set_links_load(struct node_record *record, unsigned load) {
    record->thread->load -= load_of(record);
    record->links_load = load;
    record->thread->load += load_of(record);
}

void engine_node_add_link(struct node_record *record, bool receiving) {
    set_links_load(record, record->links_load + load_of_link(receiving));
    record->n_links++;
}

static enum err make_record(struct engine *engine, struct audio_stream *stream, enum audio_direction direction,
                            struct node_record **ret, struct err_info *reterr) {
    if (engine->n_objects == ENGINE_OBJECTS_MAX)
        return err_set(reterr, ERR_LIMIT, "%zu endpoints and streams are in use; no more can be", ENGINE_OBJECTS_MAX);
    struct node_record *record = calloc(1, sizeof *record);
    if (!record)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the endpoint cannot be used");
    enum err e =
        node_create(stream, direction, engine->config.tick_ns, engine->config.clock, record, &record->node, reterr);
    if (e != ERR_OK) {
        free(record);
        return e;
    }
    *ret = record;
    return ERR_OK;
}

enum err engine_add_node_take(struct engine *engine, struct audio_stream *stream, enum audio_direction direction,
                              uint32_t *ret_node, struct err_info *reterr) {
    struct node_record *record = nullptr;
    enum err e = make_record(engine, stream, direction, &record, reterr);
    if (e != ERR_OK) {
        stream->ops->close(stream); /* rare enough to wait for it here */
        return e;
    }
    record->engine = engine;
    record->id = engine_new_id(engine);
    record->state = RECORD_LIVE;
    record->least_load = load_of_link(direction == AUDIO_OUTPUT);
    record->thread = least_loaded(engine);
    record->thread->load += load_of(record);
    engine->n_objects++;
    list_append(&engine->nodes, &record->in_engine);
    media_thread_command(record->thread, &(struct command){.kind = COMMAND_ADD_NODE, .node = record->node});
    *ret_node = record->id;
    return ERR_OK;
}

enum err engine_set_delay(struct engine *engine, uint32_t node, int64_t delay_ns, struct err_info *reterr) {
    struct node_record *record = engine_find_node(engine, node);
    if (!record || record->state != RECORD_LIVE || record->node->direction != AUDIO_OUTPUT)
        return ERR_OK;
    struct audio_format format = record->node->stream->format;
    if (!record->delay && delay_ns <= 0)
        return ERR_OK;
    if (!record->delay) {
        record->delay = delay_create(ENGINE_DELAY_MAX_NS, format.rate_hz, format.n_channels, record->node->n_max);
        if (!record->delay)
            return err_set(reterr, ERR_NO_MEMORY, "out of memory: the sound of the endpoint cannot be held back");
        struct command command = {.kind = COMMAND_SET_DELAY, .node = record->node, .delay = record->delay};
        media_thread_command(record->thread, &command);
    }
    record->delay_ns = delay_ns;
    delay_set(record->delay, delay_ns > 0 ? (size_t)(delay_ns / 1000 * format.rate_hz / 1'000'000) : 0);
    return ERR_OK;
}

int64_t engine_node_delay_ns(const struct node_record *record) {
    return record->delay ? record->delay_ns : 0;
}

static void leave_without_links(struct node_record *record) {
    if (record->state != RECORD_LEAVING || record->n_links > 0 || record->told_to_go)
        return;
    record->told_to_go = true;
    media_thread_command(record->thread, &(struct command){.kind = COMMAND_REMOVE_NODE, .node = record->node});
}

void engine_node_link_closed(struct node_record *record, bool receiving) {
    set_links_load(record, record->links_load - load_of_link(receiving));
    record->n_links--;
    leave_without_links(record);
}

void engine_remove_node(struct engine *engine, uint32_t node, void (*done)(void *arg), void *arg) {
    struct node_record *record = engine_find_node(engine, node);
    if (!record || record->removed) {
        engine_call_later(engine, done, arg);
        return;
    }
    record->removed = done;
    record->removed_arg = arg;
    if (record->state != RECORD_LIVE)
        return;
    record->state = RECORD_LEAVING;
    struct link_record *link;
    list_for_each(link, &engine->links, in_engine) if (link->node == record) engine_link_remove(link, nullptr, nullptr);
    leave_without_links(record);
}

static void close_work(void *arg) {
    struct node_record *record = arg;
    node_destroy(record->node);
    record->node = nullptr;
}

static void on_closed(void *arg) {
    struct node_record *record = arg;
    if (record->engine) {
        record->thread->load -= load_of(record);
        record->engine->n_objects--;
        list_remove(&record->in_engine);
        if (record->removed)
            record->removed(record->removed_arg);
    }
    free(record);
}

void engine_node_notice(struct engine *engine, const struct notice *notice) {
    struct node_record *record = notice->owner;
    struct err_info reason = {};
    if (notice->kind == NOTICE_NODE_GONE) {
        record->state = RECORD_CLOSING;
        engine_job_start(engine, &record->close, close_work, on_closed, record);
    } else if (notice->kind == NOTICE_NODE_ENDED) {
        engine_tell(engine, ENGINE_NODE_ENDED, record->id, 0, nullptr);
    } else if (notice->kind == NOTICE_NODE_FAILED) {
        const struct audio_stream *stream = record->node->stream;
        if (stream->ops->failure)
            stream->ops->failure(stream, &reason);
        else
            (void)err_set(&reason, ERR_IO, "the endpoint failed and does not tell why");
        engine_tell(engine, ENGINE_NODE_FAILED, record->id, 0, &reason);
    }
}

void engine_node_destroy_now(struct node_record *record) {
    node_destroy(record->node);
    record->node = nullptr;
    list_remove(&record->in_engine);
    record->engine = nullptr;
    if (!record->close.active)
        free(record);
}

static uint32_t count_encoders(struct node_record *record) {
    uint32_t n = 0;
    uint64_t round = ++record->engine->n_counts;
    const struct link_record *link;
    list_for_each(link, &record->engine->links, in_engine) {
        if (link->node != record || link->config.receiving || link->state > RECORD_LIVE || link->remove_wanted)
            continue;
        n += !link->share || link->share->counted != round;
        if (link->share)
            link->share->counted = round;
    }
    return n;
}

bool engine_node_status(struct engine *engine, uint32_t id, struct engine_node_status *ret) {
    struct node_record *record = engine_find_node(engine, id);
    if (!record || record->state == RECORD_CLOSING)
        return false;
    struct node *node = record->node;
    const struct audio_stream *stream = node->stream;
    *ret = (struct engine_node_status){
        .state = stream->ops->state(stream),
        .frames = atomic_load_explicit(&node->frames_moved, memory_order_relaxed),
        .position_frames = stream->ops->position_frames ? stream->ops->position_frames(stream) : -1,
        .started_wall_ns = atomic_load_explicit(&node->started_wall_ns, memory_order_relaxed),
        .late_ticks = atomic_load_explicit(&node->late_ticks, memory_order_relaxed),
        .worst_late_ns = atomic_load_explicit(&node->worst_late_ns, memory_order_relaxed),
        .late_ns = atomic_exchange_explicit(&node->late_ns, 0, memory_order_relaxed),
        .stands_still = atomic_load_explicit(&node->stands_still, memory_order_relaxed),
        .has_xruns = stream->ops->xruns,
        .xruns = stream->ops->xruns ? stream->ops->xruns(stream) : 0,
        .period_ns = node_period_ns(node),
        .latency_ns = stream->ops->latency_ns ? stream->ops->latency_ns(stream) : -1,
        .n_encoders = record->n_links > 0 ? count_encoders(record) : 0,
        .n_channels = stream->format.n_channels,
    };
    meter_read(&node->meter, ret->level_dbfs, ret->n_channels);
    return true;
}
