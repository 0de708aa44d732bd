/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/loop.h"
#include "media/node.h"
#include "os/poller.h"
#include "os/thread.h"
#include "os/ticker.h"

/*
 * One media thread: takes commands, ticks its nodes on a fixed grid of times, gives notices. The same function serves
 * the real thread (woken by a timer) and an owner who steps it with times of its own.
 *
 * While all its nodes rest (node_rest_ns) it leaves out ticks, and does not make up for those that are late. Commands, and
 * devices that move again, wake it.
 *
 * It never waits for the core, logs, opens, closes or allocates.
 *
 * Life cycle: media_thread_init → start (or: media_thread_run at will) → media_thread_stop → drain → finish.
 * Threads: media_thread_command() and taking notices: the core. media_thread_run(): the thread, or the owner.
 */
enum command_kind {
    COMMAND_ADD_NODE,
    COMMAND_REMOVE_NODE,
    COMMAND_ADD_LINK,
    COMMAND_REMOVE_LINK,
    COMMAND_SWAP_DECODER,
    COMMAND_SET_DELAY,
    COMMAND_OFFER_DECODER, /* of another latency; the decoder may be nullptr */
};

struct command {
    enum command_kind kind;
    bool receiving; /* which of the two */
    struct node *node;
    struct link_send *send;
    struct link_receive *receive;
    struct codec_decoder *decoder;
    struct delay *delay;
};

/* Called on the core when there are notices to take. Memory of its own, because it may be under way when the engine
 * goes: then `arg` is nullptr and it frees itself. */
struct core_wake {
    _Atomic bool under_way;
    void (*fn)(void *arg);
    void *arg;
};

struct media_thread_config {
    const struct clock *clock;
    struct loop *loop;
    int64_t tick_ns;
    bool realtime;
    bool stepped;               /* media_thread_run() is called by the owner; there is no thread */
    struct stall_board *stalls; /* shared by the threads of an engine */
    void (*on_notices)(void *arg);
    void *arg;
};

struct media_thread {
    struct media_thread_config config;
    struct ring commands; /* struct command */
    struct notices notices;
    struct core_wake *wake; /* owned, see there */
    struct thread thread;
    struct ticker ticker;
    struct poller poller;
    _Atomic bool stopping;
    _Atomic bool is_called; /* by a device that moves again */
    struct audio_call when_moving;
    unsigned load; // core: of the nodes and links on it, see engine_priv.h
    // media thread
    struct list nodes; /* struct node::in_thread */
    struct packet *packets;
    bool ticking;              /* there are nodes */
    int64_t epoch_ns, n_ticks; /* the grid: tick k is at epoch + k × tick */
    int64_t n_rest;            /* only every so many of them are needed, while all nodes rest; else 1 */
};

enum err media_thread_init(struct media_thread *thread, const struct media_thread_config *config,
                           struct err_info *reterr);
enum err media_thread_start(struct media_thread *thread, unsigned number, struct err_info *reterr);
/* Waits for the thread to end; nodes stay as they are. */
void media_thread_stop(struct media_thread *thread);
void media_thread_finish(struct media_thread *thread);

/* There is room for all commands that ENGINE_OBJECTS_MAX objects can have under way. */
void media_thread_command(struct media_thread *thread, const struct command *command);
bool media_thread_take_notice(struct media_thread *thread, struct notice *ret);

/* Does what is due at now_ns. */
void media_thread_run(struct media_thread *thread, int64_t now_ns);
