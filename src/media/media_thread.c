/* SPDX-License-Identifier: MPL-2.0 */
#include "media/media_thread.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "media/path_watch.h"

/* After a stall longer than this, time is skipped instead of caught up. */
constexpr int64_t CATCH_UP_MAX_NS = NS_PER_S;

static void on_wake(void *arg) {
    struct core_wake *wake = arg;
    atomic_store(&wake->under_way, false);
    if (wake->arg)
        wake->fn(wake->arg);
    else
        free(wake);
}

/* The thread of a device. */
static void on_device_moves(void *arg) {
    struct media_thread *thread = arg;
    atomic_store_explicit(&thread->is_called, true, memory_order_release);
    if (!thread->config.stepped)
        ticker_wake(&thread->ticker);
}

enum err media_thread_init(struct media_thread *thread, const struct media_thread_config *config,
                           struct err_info *reterr) {
    *thread = (struct media_thread){
        .config = *config, .ticker = {-1, -1, -1}, .poller = {-1}, .when_moving = {on_device_moves, thread}};
    list_init(&thread->nodes);
    thread->packets = calloc(TICK_PACKETS, sizeof *thread->packets);
    thread->wake = calloc(1, sizeof *thread->wake);
    bool rings = ring_init(&thread->commands, sizeof(struct command), COMMANDS_CAPACITY) &&
                 ring_init(&thread->notices.ring, sizeof(struct notice), NOTICES_CAPACITY);
    if (!thread->packets || !thread->wake || !rings)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: a media thread could not be made");
    thread->wake->fn = config->on_notices;
    thread->wake->arg = config->arg;
    int error_number = ticker_init(&thread->ticker);
    if (!error_number)
        error_number = poller_init(&thread->poller);
    if (error_number)
        return err_set_errno(reterr, error_number, "a media thread could not be made");
    return ERR_OK;
}

void media_thread_finish(struct media_thread *thread) {
    if (thread->wake) {
        thread->wake->arg = nullptr;
        if (!atomic_load(&thread->wake->under_way))
            free(thread->wake);
        thread->wake = nullptr;
    }
    poller_finish(&thread->poller);
    ticker_finish(&thread->ticker);
    ring_finish(&thread->commands);
    ring_finish(&thread->notices.ring);
    free(thread->packets);
    thread->packets = nullptr;
}

/* ---- core side ---- */

void media_thread_command(struct media_thread *thread, const struct command *command) {
    ring_write(&thread->commands, command, 1);
    if (!thread->config.stepped)
        ticker_wake(&thread->ticker);
}

bool media_thread_take_notice(struct media_thread *thread, struct notice *ret) {
    return ring_read(&thread->notices.ring, ret, 1) == 1;
}

/* ---- media side ---- */

static void wake_core(struct media_thread *thread) {
    if (!thread->notices.fresh)
        return;
    if (atomic_exchange(&thread->wake->under_way, true)) {
        thread->notices.fresh = false; /* the wake that is under way will see them */
        return;
    }
    if (loop_post(thread->config.loop, on_wake, thread->wake) == ERR_OK)
        thread->notices.fresh = false;
    else
        atomic_store(&thread->wake->under_way, false); /* again in the next tick */
}

static void obey(struct media_thread *thread, const struct command *command, const struct tick *tick) {
    switch (command->kind) {
    case COMMAND_ADD_NODE:
        list_append(&thread->nodes, &command->node->in_thread);
        break;
    case COMMAND_REMOVE_NODE:
        list_remove(&command->node->in_thread);
        notices_put(&thread->notices, NOTICE_NODE_GONE, command->node->owner, nullptr);
        break;
    case COMMAND_ADD_LINK:
        if (command->receiving) {
            node_add_receive(command->node, command->receive);
            path_watch(command->receive->path, &thread->poller);
        } else {
            node_add_send(command->node, command->send, tick->now_ns);
            path_watch(command->send->path, &thread->poller);
        }
        break;
    case COMMAND_REMOVE_LINK:
        if (command->receiving)
            link_receive_leave(command->receive, tick);
        else
            link_send_leave(command->send, tick);
        break;
    case COMMAND_SET_DELAY:
        node_set_delay_take(command->node, command->delay);
        break;
    case COMMAND_SWAP_DECODER:
        link_receive_swap_decoder(command->receive, tick, command->decoder);
        break;
    case COMMAND_OFFER_DECODER:
        link_receive_offer_decoder(command->receive, tick, command->decoder);
        break;
    }
}

/* Whether there was anything to obey. */
static bool obey_all(struct media_thread *thread, const struct tick *tick) {
    bool any = false;
    for (struct command command; ring_read(&thread->commands, &command, 1) == 1; any = true)
        obey(thread, &command, tick);
    return any;
}

static void mark_ready(struct media_thread *thread) {
    void *ready[64];
    constexpr size_t MAX = sizeof ready / sizeof *ready;
    /* a second question would be answered with the same descriptors, unless there are more than fit; epoll then gives
     * the others first, so a few rounds see them all */
    for (int round = 0; round < 16; round++) {
        size_t n = poller_ask(&thread->poller, ready, MAX);
        for (size_t i = 0; i < n; i++)
            *(bool *)ready[i] = true;
        if (n < MAX)
            break;
    }
}

static void note_lateness(struct media_thread *thread, int64_t late_ns, int64_t n_due, int64_t now_ns) {
    struct node *node;
    list_for_each(node, &thread->nodes, in_thread) node_was_late(node, late_ns, n_due > 1);
    if (n_due < 2)
        return;
    struct stall_board *stalls = thread->config.stalls;
    atomic_store_explicit(&stalls->length_ns, late_ns, memory_order_relaxed);
    atomic_store_explicit(&stalls->end_ns, now_ns, memory_order_relaxed);
}

static int64_t skip_what_is_too_much(struct media_thread *thread, int64_t n_due, int64_t now_ns) {
    int64_t n_most = CATCH_UP_MAX_NS / thread->config.tick_ns;
    if (n_due <= n_most)
        return n_due;
    int64_t n_skipped = n_due - n_most, tick_ns = thread->config.tick_ns;
    int64_t from_ns = thread->epoch_ns + (thread->n_ticks + 1) * tick_ns;
    thread->n_ticks += n_skipped;
    struct node *node;
    list_for_each(node, &thread->nodes, in_thread) node_skip(node, from_ns, n_skipped * tick_ns, now_ns);
    return n_most;
}

static void begin_ticking(struct media_thread *thread, int64_t now_ns) {
    thread->ticking = true;
    thread->epoch_ns = now_ns;
    thread->n_ticks = -1; /* the first tick is due at once */
    thread->n_rest = 1;
    if (!thread->config.stepped)
        ticker_start(&thread->ticker, now_ns + thread->config.tick_ns, thread->config.tick_ns);
}

static void end_ticking(struct media_thread *thread) {
    thread->ticking = false;
    if (!thread->config.stepped)
        ticker_stop(&thread->ticker);
}

/* How many ticks may pass until somebody needs one. */
static int64_t ticks_of_rest(const struct media_thread *thread) {
    int64_t n_rest = list_empty(&thread->nodes) ? 1 : INT64_MAX;
    const struct node *node;
    list_for_each(node, &thread->nodes, in_thread) {
        int64_t n = node_rest_ns(node) / thread->config.tick_ns;
        n_rest = n < n_rest ? n : n_rest;
    }
    return n_rest > 1 ? n_rest : 1;
}

static void take_pace(struct media_thread *thread, int64_t n_rest) {
    int64_t tick_ns = thread->config.tick_ns;
    if (n_rest == thread->n_rest)
        return;
    thread->n_rest = n_rest;
    if (!thread->config.stepped)
        ticker_start(&thread->ticker, thread->epoch_ns + (thread->n_ticks + n_rest) * tick_ns, n_rest * tick_ns);
}

static void run_ticks(struct media_thread *thread, struct tick *tick, int64_t now_ns) {
    int64_t tick_ns = thread->config.tick_ns;
    int64_t n_due = (now_ns - thread->epoch_ns) / tick_ns - thread->n_ticks;
    if (n_due < thread->n_rest)
        return;
    thread->n_ticks += thread->n_rest - 1; /* those were not needed */
    n_due -= thread->n_rest - 1;
    note_lateness(thread, now_ns - (thread->epoch_ns + (thread->n_ticks + 1) * tick_ns), n_due, now_ns);
    if (thread->n_rest > 1) { /* nor is any of what was late */
        thread->n_ticks += n_due - 1;
        n_due = 1;
    }
    n_due = skip_what_is_too_much(thread, n_due, now_ns);
    mark_ready(thread);
    while (n_due-- > 0) {
        thread->n_ticks++;
        tick->now_ns = thread->epoch_ns + thread->n_ticks * tick_ns;
        tick->n_behind = (unsigned)n_due;
        struct node *node;
        list_for_each(node, &thread->nodes, in_thread) node_tick(node, tick, &thread->poller);
    }
    take_pace(thread, ticks_of_rest(thread));
}

void media_thread_run(struct media_thread *thread, int64_t now_ns) {
    struct tick tick = {
        .now_ns = now_ns,
        .length_ns = thread->config.tick_ns,
        .packets = thread->packets,
        .notices = &thread->notices,
        .stalls = thread->config.stalls,
        .wake = &thread->when_moving,
        .clock = thread->config.clock,
    };
    bool is_woken = atomic_exchange_explicit(&thread->is_called, false, memory_order_acquire);
    is_woken |= obey_all(thread, &tick);
    if (is_woken && thread->ticking && thread->n_rest > 1) {
        int64_t n_before = (now_ns - thread->epoch_ns) / thread->config.tick_ns - 1; /* those were not needed */
        thread->n_ticks = n_before > thread->n_ticks ? n_before : thread->n_ticks;
        take_pace(thread, 1);
    }
    if (!thread->ticking && !list_empty(&thread->nodes))
        begin_ticking(thread, now_ns);
    else if (thread->ticking && list_empty(&thread->nodes))
        end_ticking(thread);
    if (thread->ticking)
        run_ticks(thread, &tick, now_ns);
    wake_core(thread);
}

static void *thread_main(void *arg) {
    struct media_thread *thread = arg;
    if (thread->config.realtime)
        (void)thread_become_realtime(); /* refused: then we run as everybody else */
    while (!atomic_load_explicit(&thread->stopping, memory_order_acquire)) {
        media_thread_run(thread, clock_now_ns(thread->config.clock));
        ticker_wait(&thread->ticker);
    }
    return nullptr;
}

enum err media_thread_start(struct media_thread *thread, unsigned number, struct err_info *reterr) {
    char name[16];
    snprintf(name, sizeof name, "media-%u", number);
    int error_number = thread_start(&thread->thread, name, thread_main, thread);
    if (error_number)
        return err_set_errno(reterr, error_number, "a media thread could not be started");
    return ERR_OK;
}

void media_thread_stop(struct media_thread *thread) {
    if (!thread->thread.started)
        return;
    atomic_store_explicit(&thread->stopping, true, memory_order_release);
    ticker_wake(&thread->ticker);
    thread_join(&thread->thread);
}
