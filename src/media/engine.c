/* SPDX-License-Identifier: MPL-2.0 */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "media/engine_priv.h"

constexpr int64_t TICK_DEFAULT_NS = 5 * NS_PER_MS;
constexpr unsigned THREADS_MAX = 4;
/* Codec queries take locks: no more often than this. */
constexpr int64_t QUERY_NS = NS_PER_S / 2;

/* ---- jobs ---- */

static void job_work(void *arg) {
    struct job *job = arg;
    struct engine *engine = job->engine;
    job->work(job->object);
    pthread_mutex_lock(&engine->works_lock);
    if (--engine->n_works == 0)
        pthread_cond_signal(&engine->works_over);
    pthread_mutex_unlock(&engine->works_lock);
}

static void job_done(void *arg) {
    struct job *job = arg;
    job->active = false;
    job->done(job->object);
}

static void job_submit(struct engine *engine, struct job *job) {
    pthread_mutex_lock(&engine->works_lock);
    engine->n_works++;
    pthread_mutex_unlock(&engine->works_lock);
    if (loop_work(engine->config.loop, job_work, job_done, job) == ERR_OK)
        return;
    pthread_mutex_lock(&engine->works_lock);
    engine->n_works--;
    pthread_mutex_unlock(&engine->works_lock);
    list_append(&engine->retry, &job->in_retry);
}

void engine_job_start(struct engine *engine, struct job *job, loop_fn work, loop_fn done, void *object) {
    *job = (struct job){.engine = engine, .work = work, .done = done, .object = object, .active = true};
    job_submit(engine, job);
}

static void retry_jobs(struct engine *engine) {
    for (size_t n = list_count(&engine->retry); n > 0; n--) {
        struct job *job = list_first(&engine->retry, struct job, in_retry);
        list_remove(&job->in_retry);
        job_submit(engine, job);
    }
}

static void wait_for_works(struct engine *engine) {
    pthread_mutex_lock(&engine->works_lock);
    while (engine->n_works > 0)
        pthread_cond_wait(&engine->works_over, &engine->works_lock);
    pthread_mutex_unlock(&engine->works_lock);
}

/* ---- news ---- */

void engine_tell(struct engine *engine, enum engine_event_kind kind, uint32_t node, uint32_t link,
                 const struct err_info *reason) {
    struct engine_event event = {.kind = kind, .node = node, .link = link};
    if (reason)
        event.reason = *reason;
    if (engine->on_event)
        engine->on_event(engine->event_arg, &event);
}

void engine_call_later(struct engine *engine, void (*done)(void *arg), void *arg) {
    if (done && loop_post(engine->config.loop, done, arg) != ERR_OK)
        done(arg);
}

uint32_t engine_new_id(struct engine *engine) {
    if (++engine->next_id == 0)
        engine->next_id = 1;
    return engine->next_id;
}

static void take_notice(struct engine *engine, const struct notice *notice) {
    switch (notice->kind) {
    case NOTICE_NODE_GONE:
    case NOTICE_NODE_ENDED:
    case NOTICE_NODE_FAILED:
        engine_node_notice(engine, notice);
        break;
    case NOTICE_LINK_GONE:
    case NOTICE_LINK_STARTED:
    case NOTICE_LINK_SILENT:
    case NOTICE_LINK_FAILED:
    case NOTICE_LINK_NEW_SESSION:
    case NOTICE_LINK_LATENCY:
    case NOTICE_DECODER_OUT:
        engine_link_notice(engine, notice);
        break;
    }
}

static void on_notices(void *arg) {
    struct engine *engine = arg;
    for (unsigned i = 0; i < engine->n_threads; i++)
        for (struct notice notice; media_thread_take_notice(&engine->threads[i], &notice);)
            take_notice(engine, &notice);
}

static void on_timer(void *arg) {
    struct engine *engine = arg;
    loop_timer_start(engine->config.loop, &engine->timer, QUERY_NS);
    on_notices(engine); /* in case a wake was refused */
    retry_jobs(engine);
    struct link_record *link;
    list_for_each(link, &engine->links, in_engine) engine_link_query(link);
}

/* ---- life ---- */

static unsigned threads_wanted(const struct engine_config *config) {
    if (config->stepped)
        return 1;
    unsigned n = config->n_threads ? config->n_threads : thread_n_processors();
    return n < THREADS_MAX ? n : THREADS_MAX;
}

static enum err start_threads(struct engine *engine, unsigned n_threads, struct err_info *reterr) {
    struct media_thread_config config = {
        .clock = engine->config.clock,
        .loop = engine->config.loop,
        .tick_ns = engine->config.tick_ns,
        .realtime = engine->config.realtime,
        .stepped = engine->config.stepped,
        .stalls = &engine->stalls,
        .on_notices = on_notices,
        .arg = engine,
    };
    for (unsigned i = 0; i < n_threads; i++) {
        engine->n_threads = i + 1;
        enum err e = media_thread_init(&engine->threads[i], &config, reterr);
        if (e == ERR_OK && !config.stepped)
            e = media_thread_start(&engine->threads[i], i, reterr);
        if (e != ERR_OK)
            return e;
    }
    return ERR_OK;
}

enum err engine_create(const struct engine_config *config, engine_event_fn on_event, void *arg, struct engine **ret,
                       struct err_info *reterr) {
    unsigned n_threads = threads_wanted(config);
    /* the rings of a media thread are aligned to cache lines */
    size_t size = sizeof(struct engine) + n_threads * sizeof(struct media_thread);
    constexpr size_t ALIGN = alignof(struct engine);
    struct engine *engine = aligned_alloc(ALIGN, (size + ALIGN - 1) / ALIGN * ALIGN);
    if (!engine)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the media engine could not be made");
    *engine = (struct engine){.config = *config, .on_event = on_event, .event_arg = arg};
    if (engine->config.tick_ns <= 0)
        engine->config.tick_ns = TICK_DEFAULT_NS;
    list_init(&engine->nodes);
    list_init(&engine->links);
    list_init(&engine->retry);
    pthread_mutex_init(&engine->works_lock, nullptr);
    pthread_cond_init(&engine->works_over, nullptr);
    engine->timer = (struct loop_timer){.fire = on_timer, .arg = engine};
    enum err e = start_threads(engine, n_threads, reterr);
    if (e != ERR_OK) {
        engine_destroy(engine);
        return e;
    }
    loop_timer_start(config->loop, &engine->timer, QUERY_NS);
    *ret = engine;
    return ERR_OK;
}

/* Decoders and delay lines that were on their way between core and media thread. */
static void take_back_what_is_under_way(struct media_thread *thread) {
    for (struct command command; ring_read(&thread->commands, &command, 1) == 1;)
        if ((command.kind == COMMAND_SWAP_DECODER || command.kind == COMMAND_OFFER_DECODER) && command.decoder)
            command.decoder->ops->close(command.decoder);
        else if (command.kind == COMMAND_SET_DELAY)
            node_set_delay_take(command.node, command.delay);
    for (struct notice notice; media_thread_take_notice(thread, &notice);)
        if (notice.kind == NOTICE_DECODER_OUT) {
            struct codec_decoder *decoder = notice.payload;
            decoder->ops->close(decoder);
        }
}

void engine_destroy(struct engine *engine) {
    if (!engine)
        return;
    loop_timer_stop(engine->config.loop, &engine->timer);
    for (unsigned i = 0; i < engine->n_threads; i++)
        media_thread_stop(&engine->threads[i]);
    wait_for_works(engine);
    for (size_t n = list_count(&engine->retry); n > 0; n--) {
        struct job *job = list_first(&engine->retry, struct job, in_retry);
        list_remove(&job->in_retry);
        job->active = false; /* it will never report */
    }
    for (unsigned i = 0; i < engine->n_threads; i++)
        if (engine->threads[i].commands.items)
            take_back_what_is_under_way(&engine->threads[i]);
    struct link_record *link;
    list_for_each_safe(link, &engine->links, in_engine) engine_link_destroy_now(link);
    struct node_record *node;
    list_for_each_safe(node, &engine->nodes, in_engine) engine_node_destroy_now(node);
    for (unsigned i = 0; i < engine->n_threads; i++)
        media_thread_finish(&engine->threads[i]);
    pthread_cond_destroy(&engine->works_over);
    pthread_mutex_destroy(&engine->works_lock);
    free(engine);
}

void engine_step(struct engine *engine, int64_t now_ns) {
    for (unsigned i = 0; i < engine->n_threads; i++)
        media_thread_run(&engine->threads[i], now_ns);
}
