/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/orchestrator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/crypto.h"
#include "orchestrator/reconcile/attachments.h"
#include "orchestrator/reconcile/reconcile.h"
#include "orchestrator/registry/devices.h"
#include "orchestrator/registry/endpoints.h"
#include "orchestrator/registry/registry.h"
#include "orchestrator/registry/show.h"

/* Figures younger than this are good enough for whoever asks. */
constexpr int64_t FRESH_NS = 50 * NS_PER_MS;
constexpr int64_t STOP_POLL_NS = 5 * NS_PER_MS;

struct orchestrator {
    struct log log;
    struct loop *loop;
    struct links *links; /* borrowed; nullptr: a site of one */
    struct drivers drivers;
    struct events *events; /* owned */
    struct registry registry;
    struct reconcile reconcile;
    int64_t refreshed_ns;
    bool lacks_realtime;
    struct loop_timer stop;
    void (*stopped)(void *arg);
    void *stopped_arg;
};

enum err orchestrator_create(const struct orchestrator_config *config, struct orchestrator **ret,
                             struct err_info *reterr) {
    struct orchestrator *o = calloc(1, sizeof *o);
    if (!o)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the orchestrator");
    o->log = config->log;
    o->log.topic = "core";
    o->loop = config->loop;
    o->links = config->links;
    o->lacks_realtime = config->lacks_realtime;
    uint32_t epoch; /* tells cursors of this run from those of the last */
    crypto_random(&epoch, sizeof epoch);
    enum err err = drivers_init(&o->drivers, config->host, config->drivers, reterr);
    if (!err && !(o->events = events_create(config->loop, epoch)))
        err = err_set(reterr, ERR_NO_MEMORY, "no memory for the log of events");
    if (!err)
        err = registry_init(&o->registry, config, o->events, &o->drivers, &reconcile_listener, &o->reconcile, reterr);
    if (err) {
        orchestrator_destroy(o);
        return err;
    }
    reconcile_init(&o->reconcile, config, &o->registry);
    *ret = o;
    return ERR_OK;
}

enum err orchestrator_start(struct orchestrator *o, struct err_info *reterr) {
    enum err err = registry_load(&o->registry, reterr);
    if (!err)
        reconcile_start(&o->reconcile);
    return err;
}

static void check_stopped(void *arg) {
    struct orchestrator *o = arg;
    if (!reconcile_is_still(&o->reconcile) || o->registry.n_probes > 0 || o->registry.writes.n_pending > 0) {
        loop_timer_start(o->loop, &o->stop, STOP_POLL_NS);
        return;
    }
    log_debug(o->log, "stopped");
    if (o->stopped)
        o->stopped(o->stopped_arg);
}

void orchestrator_stop(struct orchestrator *o, void (*done)(void *arg), void *arg) {
    o->stopped = done;
    o->stopped_arg = arg;
    o->registry.is_stopping = true;
    endpoints_stop(&o->registry);
    devices_stop(&o->registry);
    reconcile_stop(&o->reconcile);
    o->stop = (struct loop_timer){.fire = check_stopped, .arg = o};
    loop_timer_start(o->loop, &o->stop, 0);
}

void orchestrator_destroy(struct orchestrator *o) {
    if (!o)
        return;
    loop_timer_stop(o->loop, &o->stop);
    reconcile_finish(&o->reconcile);
    registry_finish(&o->registry);
    events_destroy(o->events);
    drivers_finish(&o->drivers);
    free(o);
}

void orchestrator_set_address(struct orchestrator *o, const char *address) {
    struct peer *info = &o->registry.self.info;
    info->has_address = address && *address ? PRESENCE_VALUE : PRESENCE_NULL;
    snprintf(info->address, sizeof info->address, "%s", address ? address : "");
}

void orchestrator_on_engine_event(struct orchestrator *o, const struct engine_event *event) {
    reconcile_on_engine_event(&o->reconcile, event);
}

/* ---- what is ---- */

const struct registry_peer *orchestrator_self(const struct orchestrator *o) {
    return &o->registry.self;
}

struct events *orchestrator_events(const struct orchestrator *o) {
    return o->events;
}

const struct registry_endpoint *orchestrator_endpoint(const struct orchestrator *o, const char *uid) {
    const struct endpoint_entry *entry = registry_endpoint(&o->registry, uid);
    return entry ? &entry->object : nullptr;
}

const struct registry_stream *orchestrator_stream(const struct orchestrator *o, const char *uid) {
    const struct stream_entry *entry = registry_stream(&o->registry, uid);
    return entry ? &entry->object : nullptr;
}

/* Entries begin with what others see of them. */
static const struct endpoint_entry *endpoint_of(const struct registry_endpoint *endpoint) {
    return (const struct endpoint_entry *)endpoint;
}

static const struct stream_entry *stream_of(const struct registry_stream *stream) {
    return (const struct stream_entry *)stream;
}

const struct registry_endpoint *orchestrator_next_endpoint(const struct orchestrator *o,
                                                           const struct registry_endpoint *previous) {
    const struct endpoint_entry *entry = registry_next_endpoint(&o->registry, endpoint_of(previous));
    return entry ? &entry->object : nullptr;
}

const struct registry_stream *orchestrator_next_stream(const struct orchestrator *o,
                                                       const struct registry_stream *previous) {
    const struct stream_entry *entry = registry_next_stream(&o->registry, stream_of(previous));
    return entry ? &entry->object : nullptr;
}

void orchestrator_refresh(struct orchestrator *o) {
    int64_t now_ns = loop_now_ns(o->loop);
    if (o->refreshed_ns && now_ns - o->refreshed_ns < FRESH_NS)
        return;
    o->refreshed_ns = now_ns;
    status_poll_all(&o->reconcile);
}

void orchestrator_watch_meters(struct orchestrator *o, bool watched) {
    reconcile_watch_meters(&o->reconcile, watched);
}

void orchestrator_watch_remote_meters(struct orchestrator *o, bool watched) {
    if (o->registry.remote)
        remote_watch_meters(o->registry.remote, watched);
}

static void add_reason(struct ready *ready, const char *name, const char *reason, const char *message) {
    if (ready->n_reasons == sizeof ready->reasons / sizeof *ready->reasons)
        return;
    struct ready_reason *r = &ready->reasons[ready->n_reasons++];
    snprintf(r->name, sizeof r->name, "%s", name);
    snprintf(r->reason, sizeof r->reason, "%s", reason);
    snprintf(r->message, sizeof r->message, "%s", message);
}

void orchestrator_ready(const struct orchestrator *o, struct ready *ret) {
    *ret = (struct ready){};
    const struct registry *registry = &o->registry;
    if (registry->is_stopping)
        add_reason(ret, "core", "Stopping", "rocd is stopping.");
    else if (!registry->is_loaded)
        add_reason(ret, "core", "Starting", "rocd is starting.");
    if (registry->writes.failing != ERR_OK)
        add_reason(ret, "store", "StorageFailed", registry->writes.failure.message);
    ret->ready = ret->n_reasons == 0;
    /* Told, but no reason to send work elsewhere: everything else is served. */
    if (o->lacks_realtime)
        add_reason(
            ret, "media", "NotRealtime",
            "The system refuses real-time scheduling to audio threads, so sound may break up when the machine is busy. "
            "Allow a real-time priority of 60 (LimitRTPRIO= of a systemd unit, rtprio in limits.conf, or CAP_SYS_NICE), "
            "or set audio.realtime to false.");
    for (size_t i = 0; i < o->drivers.n; i++)
        if (o->drivers.all[i].failure.code != ERR_OK)
            add_reason(ret, o->drivers.all[i].driver->name, "DriverUnavailable", o->drivers.all[i].failure.message);
}

void orchestrator_show_endpoint(const struct orchestrator *o, const struct registry_endpoint *endpoint,
                                struct endpoint *ret) {
    show_endpoint(&o->registry, endpoint_of(endpoint), ret);
}

void orchestrator_show_stream(const struct orchestrator *o, const struct registry_stream *stream, struct stream *ret) {
    show_stream(&o->registry, stream_of(stream), ret);
}

bool orchestrator_show_glitch(const struct orchestrator *o, const char *stream_uid, size_t i,
                              struct stream_glitch *ret) {
    const struct run *run = map_get(&o->reconcile.runs_by_uid, stream_uid);
    const struct glitch_entry *entry = run ? glitch_log_at(&run->glitches, i) : nullptr;
    if (entry)
        glitch_log_show(entry, ret);
    return entry != nullptr;
}

void orchestrator_show_peer(const struct orchestrator *o, struct peer *ret) {
    show_peer(&o->registry, ret);
}

bool orchestrator_show_driver(const struct orchestrator *o, size_t index, struct driver *ret) {
    return drivers_show(&o->drivers, index, ret);
}

/* ---- what other peers have ---- */

struct links *orchestrator_links(const struct orchestrator *o) {
    return o->links;
}

const struct remote_peer *orchestrator_remote_peer(const struct orchestrator *o, const char *uid) {
    return remote_peer(o->registry.remote, uid);
}

const struct remote_endpoint *orchestrator_remote_endpoint(const struct orchestrator *o, const char *peer_uid,
                                                           const char *uid) {
    return remote_endpoint(o->registry.remote, peer_uid, uid);
}

const struct remote_stream *orchestrator_remote_stream(const struct orchestrator *o, const char *uid) {
    return remote_stream(o->registry.remote, uid);
}

const struct remote_peer *orchestrator_next_remote_peer(const struct orchestrator *o,
                                                        const struct remote_peer *previous) {
    return remote_next_peer(o->registry.remote, previous);
}

const struct remote_endpoint *orchestrator_next_remote_endpoint(const struct orchestrator *o,
                                                                const struct remote_endpoint *previous) {
    return remote_next_endpoint(o->registry.remote, previous);
}

const struct remote_stream *orchestrator_next_remote_stream(const struct orchestrator *o,
                                                            const struct remote_stream *previous) {
    return remote_next_stream(o->registry.remote, previous);
}

bool orchestrator_refresh_remote(struct orchestrator *o, const char *peer_uid, struct remote_wait *wait,
                                 void (*done)(void *arg), void *arg) {
    return remote_refresh(o->registry.remote, peer_uid, wait, done, arg);
}

void orchestrator_refresh_cancel(struct remote_wait *wait) {
    remote_refresh_cancel(wait);
}

void orchestrator_show_remote_peer(const struct orchestrator *, const struct remote_peer *peer, struct peer *ret) {
    remote_show_peer(peer, ret);
}

/* ---- writes ---- */

enum err orchestrator_put_endpoint(struct orchestrator *o, const char *uid, const struct endpoint_spec *spec,
                                   int64_t if_generation, char ret_uid[static UID_SIZE], orchestrator_done_fn done,
                                   void *arg, struct err_info *reterr) {
    return registry_put_endpoint(&o->registry, uid, spec, if_generation, ret_uid, done, arg, reterr);
}

enum err orchestrator_remove_endpoint(struct orchestrator *o, const char *uid, int64_t if_generation, bool is_forced,
                                      orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    return registry_remove_endpoint(&o->registry, uid, if_generation, is_forced, done, arg, reterr);
}

enum err orchestrator_put_stream(struct orchestrator *o, const char *uid, const struct stream_spec *spec,
                                 const struct grant *grant, int64_t if_generation, char ret_uid[static UID_SIZE],
                                 orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    return registry_put_stream(&o->registry, uid, spec, grant, if_generation, ret_uid, done, arg, reterr);
}

enum err orchestrator_confirm_stream(struct orchestrator *o, const char *uid, orchestrator_done_fn done, void *arg,
                                     struct err_info *reterr) {
    return registry_confirm_stream(&o->registry, uid, done, arg, reterr);
}

enum err orchestrator_remove_stream(struct orchestrator *o, const char *uid, int64_t if_generation,
                                    orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    return registry_remove_stream(&o->registry, uid, if_generation, done, arg, reterr);
}

enum err orchestrator_rename_peer(struct orchestrator *o, const char *name, int64_t if_generation,
                                  orchestrator_done_fn done, void *arg, struct err_info *reterr) {
    return registry_rename_peer(&o->registry, name, if_generation, done, arg, reterr);
}

/* ---- what other peers ask for ---- */

enum err orchestrator_put_attachment(struct orchestrator *o, const char *owner_uid, const char *stream_uid,
                                     const struct attachment_spec *spec, struct attachment *ret,
                                     struct err_info *reterr) {
    return attachments_put(&o->reconcile, owner_uid, stream_uid, spec, ret, reterr);
}

enum err orchestrator_remove_attachment(struct orchestrator *o, const char *owner_uid, const char *stream_uid,
                                        int64_t if_link_generation, struct err_info *reterr) {
    return attachments_remove(&o->reconcile, owner_uid, stream_uid, if_link_generation, reterr);
}
