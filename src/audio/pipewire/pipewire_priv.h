/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <pipewire/extensions/metadata.h>
#include <pipewire/pipewire.h>
#include <pthread.h>

#include "audio/driver.h"
#include "audio/pipewire/device_rt.h"
#include "audio/pipewire/news.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/map.h"
#include "model_gen.h"

/*
 * What the files of this folder share:
 *   pipewire.c    the driver: its life, and commands from the core
 *   connection.c  connected, lost, connected again
 *   graph.c       what the server has: nodes, cards, defaults; and what the watcher is told of it
 *   graph_node.c  one node: its properties, formats, volume
 *   volume.c      where a volume lives, reading and setting it
 *   line.c        one pw_stream that is wished for: of a virtual device, or of an endpoint in use
 *   virtual.c     virtual devices
 *   stream.c      endpoints in use, as the media threads see them
 *   device_rt.c   what PipeWire's data thread does
 *   news.c        the way to the core
 *
 * Threads: PipeWire has a thread of its own (pw_thread_loop), which holds the loop's lock whenever it works. Everything here
 * belongs to whoever holds that lock: that thread, or a worker that opens or closes a stream. The core never takes it: it
 * puts commands into a queue. Sound moves on PipeWire's data thread (device_rt.c) and on media threads (stream.c).
 */

constexpr size_t VOLUME_CHANNELS_MAX = 64;

/* One of the two places where the volume of a device lives. */
struct volume {
    bool is_known;
    bool is_muted;
    uint32_t n; /* of `linear`; may be 0 (no format yet) or 1 for any number of channels */
    float linear[VOLUME_CHANNELS_MAX];
};

struct volume_wish {
    bool has_volume, has_muted;
    bool is_muted;
    double volume; /* cubic */
};

/* A sink or a source of the server. */
struct graph_node {
    struct list_link link;
    struct list_link waiting_link; /* in graph_waiting until what was asked of it has been answered */
    struct pipewire *pw;
    uint32_t id;
    struct pw_proxy *proxy;
    struct spa_hook proxy_hook, node_hook;
    uint64_t serial;
    char name[NEWS_SYSTEM_NAME_SIZE]; /* node.name */
    char
        key[NEWS_SYSTEM_NAME_SIZE]; /* what the core knows it by: node.name, or with a number where two have one name */
    char description[NEWS_DISPLAY_NAME_SIZE];
    enum audio_direction direction;
    int64_t card_id, card_device; /* -1: none */
    bool is_old;                  /* it was there before us, and the session manager had done with it */
    bool has_asked, is_ready, is_running;
    int ready_seq;
    bool is_ours; /* a virtual device of this driver: virtual_of_node() */
    uint32_t n_ports;
    struct audio_format format;
    struct volume props;
    double seen_volume; /* what it said last, wherever it lives */
    bool is_seen_muted;
    int n_looks;             /* since it came: see graph_look_again() */
    int n_insisted;          /* times that a volume was sent again */
    struct volume_wish wish; /* not yet sent: it is not known where the volume lives */
    struct volume_wish sent; /* sent, and not yet seen: a suspended device shows it only when it runs again */
    bool is_told;
    struct news_device told;
};

constexpr size_t CARD_ROUTES_MAX = 16;

struct card_route {
    int index, device;
    struct volume volume;
};

struct graph_card {
    struct list_link link;
    struct pipewire *pw;
    uint32_t id;
    struct pw_proxy *proxy;
    struct spa_hook proxy_hook, device_hook;
    bool has_info, has_route;
    size_t n_routes;
    struct card_route routes[CARD_ROUTES_MAX]; /* the active ones */
};

/* Of one whose user has no wish, or that has none: what PipeWire does by itself, 1024 frames at 48 kHz. */
constexpr int64_t LINE_PERIOD_NS = 21'333'334;

enum line_kind { LINE_DEVICE, LINE_DEFAULT, LINE_VIRTUAL };

/* One pw_stream that shall be there whenever the server is.
 * Ownership: of a device or default, the open stream's; of a virtual device, counted: that it is exposed and that a stream is open
 * each count. */
struct line {
    struct list_link link;
    struct pipewire *pw;
    enum line_kind kind;
    int n_refs;
    char uid[UID_SIZE];                 /* virtual */
    char target[NEWS_SYSTEM_NAME_SIZE]; /* device: target.object */
    char display_name[NEWS_DISPLAY_NAME_SIZE];
    enum audio_direction direction;
    struct audio_format format;
    bool is_open;              /* by a stream: a ring has two ends only */
    char opened_uid[UID_SIZE]; /* of the endpoint as which it is open */
    int64_t period_ns;         /* asked of the server, which takes the least of all that is running in its cycle */
    bool is_told;              /* virtual: what the core was last told is in `told` */
    struct news_device told;
    struct volume volume;     /* virtual: put back when the server returns */
    struct pw_stream *stream; /* nullptr: not connected */
    struct spa_hook stream_hook, rt_hook;
    char ended_why[128];
    int ended_seq;           /* the stream ended: once the server has answered this, it was not the connection; 0: no */
    bool is_blocked;         /* virtual: another node has its name */
    _Atomic bool has_failed; /* for open streams; `failure` was written before */
    struct err_info failure;
    struct device_rt rt;
};

struct default_device {
    char node_name[NEWS_SYSTEM_NAME_SIZE]; /* the system's choice; "": none */
    bool is_said;                          /* since it was asked for last */
    bool is_told;
    struct news_device told;
};

struct pipewire {
    const struct audio_host *host;
    struct log log;
    struct news *news;
    char instance[UID_SIZE]; /* marks our own nodes */

    pthread_mutex_t commands_lock;
    struct list commands; /* struct command::link, owned */

    struct pw_thread_loop *thread;
    struct pw_loop *loop;
    struct spa_source *command_event;
    bool is_watched;

    /* connection.c */
    struct pw_context *context;
    struct spa_source *retry_timer, *socket_watch, *lost_event;
    char socket_dir[256]; /* where the server's socket is, or will be */
    int n_retries;        /* since something has changed */
    struct pw_core *core; /* nullptr: not connected */
    struct spa_hook core_hook;
    bool is_lost;
    int listed_seq, n_answers;
    bool is_listed;   /* the server has said all that it had at the beginning */
    bool has_verdict; /* the core may be told how the driver is */
    struct err_info driver_failure;

    /* graph.c */
    struct pw_registry *registry;
    struct spa_hook registry_hook;
    struct spa_source *look_timer;
    bool is_look_timer_armed;
    struct list nodes;         /* struct graph_node::link, owned */
    struct list graph_waiting; /* struct graph_node::waiting_link, in the order of their ready_seq */
    struct list cards;         /* struct graph_card::link, owned */
    struct map node_keys;      /* key → struct graph_node, of those that can be told of */

    /* defaults.c */
    struct pw_proxy *metadata; /* of the session manager; nullptr: there is none */
    uint32_t metadata_id;
    struct spa_hook metadata_hook, metadata_proxy_hook;
    int defaults_seq;
    bool is_asking_defaults;           /* until the server has answered `defaults_seq` */
    struct default_device defaults[2]; /* by enum audio_direction */

    struct list lines; /* struct line::link: what shall be connected */
};

/* ---- pipewire.c ---- */
void pipewire_run_commands(struct pipewire *pw);
void copy_text(char *to, size_t size, const char *from);

/* ---- connection.c ---- */
void connection_start(struct pipewire *pw);
void connection_stop(struct pipewire *pw);
/* Tells the watcher how the driver is. */
void connection_tell(struct pipewire *pw);
/* Asks the server for an answer; what it says before it is the past. */
int connection_sync(struct pipewire *pw);

/* ---- graph.c ---- */
void graph_start(struct pipewire *pw);
/* The connection is gone: so are all devices. */
void graph_stop(struct pipewire *pw);
void graph_on_done(struct pipewire *pw, int seq);
void graph_tell_all(struct pipewire *pw);
struct graph_node *graph_find(const struct pipewire *pw, const char *key);
struct graph_card *graph_find_card(const struct pipewire *pw, int64_t id);
/* Looks in a second at the nodes that have come lately, and at the system's choice. */
void graph_look_again(struct pipewire *pw);

/* ---- defaults.c ---- */
void defaults_metadata_add(struct pipewire *pw, uint32_t id, const struct spa_dict *props);
/* Asks for them anew, unless that is under way. */
void defaults_look(struct pipewire *pw);
void defaults_on_done(struct pipewire *pw, int seq);
/* The connection is gone. */
void defaults_stop(struct pipewire *pw);
/* Tells the watcher if there is something new. */
void defaults_tell(struct pipewire *pw);
/* The direction of "default.output" or "default.input"; false: the name is none of them. */
bool defaults_find(const char *system_name, enum audio_direction *ret);
/* nullptr: the system has chosen none, or it is not there. */
struct graph_node *defaults_node(const struct pipewire *pw, enum audio_direction direction);
enum err defaults_no_session(const struct pipewire *pw, struct err_info *ret);

/* ---- graph_node.c ---- */
void graph_node_add(struct pipewire *pw, uint32_t id, const char *media_class, const struct spa_dict *props);
void graph_node_remove(struct graph_node *node);
/* What was asked of it at first has been answered. */
void graph_node_is_ready(struct graph_node *node);
/* Tells the watcher if there is something new. */
void graph_node_tell(struct graph_node *node);
/* It has been there for some seconds. */
bool graph_node_is_settled(const struct graph_node *node);

/* ---- volume.c ---- */
void volume_read(struct volume *volume, const struct spa_pod *props);
void volume_read_route(struct graph_card *card, const struct spa_pod *route);
/* What people are shown; false: not known (yet). */
bool volume_of(const struct graph_node *node, double *ret_volume, bool *ret_is_muted);
/* Loudest channel, as people are shown it. */
double volume_cubic(const struct volume *volume);
void volume_set(struct volume *volume, uint32_t n_channels, const struct volume_wish *wish);
void volume_wish(struct graph_node *node, const struct volume_wish *wish);
/* For a device that has just come: sends what is wished once more, as a suspended one tells nobody that another program has
 * undone it. To be followed by volume_changed(). */
void volume_insist(struct graph_node *node);
/* It may have become known where the volume lives, or what it is: `source` has told its value. */
enum volume_source { VOLUME_SOURCE_NONE, VOLUME_SOURCE_NODE, VOLUME_SOURCE_ROUTE };
void volume_changed(struct graph_node *node, enum volume_source source);

/* ---- line.c ---- */
struct line *line_create(struct pipewire *pw, enum line_kind kind, enum audio_direction direction,
                         struct audio_format format);
void line_unref(struct line *line);
/* If there is a server and nothing is in the way. */
void line_connect(struct line *line);
/* 0: LINE_PERIOD_NS. With the loop's lock. */
void line_set_period(struct line *line, int64_t period_ns);
void line_disconnect(struct line *line);
/* Open streams are told. */
void line_fail(struct line *line, const struct err_info *failure);
/* After a (re)connection, or before the connection goes. */
void lines_connect(struct pipewire *pw);
void lines_disconnect(struct pipewire *pw);
void lines_on_done(struct pipewire *pw, int seq);

/* ---- virtual.c ---- */
void virtual_expose(struct pipewire *pw, const char *uid, const struct endpoint_spec *spec);
void virtual_withdraw(struct pipewire *pw, const char *uid);
struct line *virtual_find(const struct pipewire *pw, const char *uid);
/* The virtual device that this node is; nullptr: it is none of ours, or has been withdrawn. */
struct line *virtual_of_node(const struct graph_node *node);
/* The name programs know it by. */
void virtual_node_name(const struct line *line, char name[static NEWS_SYSTEM_NAME_SIZE]);
/* Before it is connected: is its name free, and what shall people read? false: it must wait. */
bool virtual_prepare(struct line *line, char description[static NEWS_DISPLAY_NAME_SIZE]);
/* Tells the watcher if there is something new. */
void virtual_tell(struct line *line);
void virtual_set_volume(struct line *line, const struct volume_wish *wish);
/* Props that somebody has set, or that are so from now on. */
void virtual_on_props(struct line *line, const struct spa_pod *props);
void virtual_restore_volume(struct line *line);
/* Somebody else removed it. */
void virtual_was_removed(struct line *line, const char *why);
/* A node went: it may have had the name that one of ours waits for. */
void virtual_on_name_free(struct pipewire *pw, const char *node_name);

/* ---- stream.c ---- */
enum err pipewire_open(struct audio_driver_state *state, const struct audio_host *host,
                       const struct audio_endpoint *endpoint, struct audio_stream **ret, struct err_info *reterr);
