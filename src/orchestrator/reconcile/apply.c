/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/link_settings.h"
#include "orchestrator/reconcile/reconcile.h"

/*
 * Carries out what plan() says about links and paths. Every action changes what is observed before it returns (a part is
 * then "starting" or "stopping"), and ends in a callback that changes it again and kicks the run.
 */

/* ---- paths on workers ---- */

constexpr size_t PORT_TRIES = 16;

struct path_job {
    struct run_end *end;
    struct uri_roc uri[URI_N_ROLES];
    bool has_uri[URI_N_ROLES];
    uint16_t ports[PORT_TRIES][URI_N_ROLES]; /* instead of port 0 */
    size_t n_ports;
    char allowed[LIMIT_ALLOWED_SOURCES][46];
    size_t n_allowed;
    /* results */
    struct path *path; /* owned */
    size_t used;       /* index into ports */
    struct gate_config gate;
    struct err_info failure;
};

static enum media_iface iface_of(int role) {
    static const enum media_iface IFACES[] = {
        [URI_MEDIA] = MEDIA_SOURCE, [URI_REPAIR] = MEDIA_REPAIR, [URI_CONTROL] = MEDIA_CONTROL};
    return IFACES[role];
}

static enum err resolve(struct path_job *job, size_t try, struct path_udp_config *config) {
    *config = (struct path_udp_config){}; /* AF_UNSPEC is 0 */
    for (int role = 0; role < URI_N_ROLES; role++) {
        if (!job->has_uri[role])
            continue;
        uint16_t port = job->uri[role].port ? job->uri[role].port : job->ports[try][role];
        enum err err = path_address_resolve(job->uri[role].host, port, &config->address[iface_of(role)], &job->failure);
        if (err)
            return err;
    }
    return ERR_OK;
}

static enum err open_receiver_path(struct path_job *job) {
    for (size_t i = 0; i < job->n_allowed; i++) {
        enum err err = path_address_resolve(job->allowed[i], 0, &job->gate.allowed[i], &job->failure);
        if (err)
            return err;
    }
    job->gate.n_allowed = job->n_allowed;
    enum err err = ERR_BUSY;
    for (job->used = 0; job->used < job->n_ports; job->used++) {
        struct path_udp_config config;
        err = resolve(job, job->used, &config);
        if (!err)
            err = path_udp_open_receiver(&config, &job->path, &job->failure);
        if (err != ERR_BUSY)
            break;
    }
    return err;
}

static void path_work(void *arg) {
    struct path_job *job = arg;
    if (job->end->is_sender) {
        struct path_udp_config config;
        job->failure.code = resolve(job, 0, &config);
        if (job->failure.code == ERR_OK)
            job->failure.code = path_udp_open_sender(&config, &job->path, &job->failure);
    } else {
        job->failure.code = open_receiver_path(job);
    }
}

struct close_job {
    struct reconcile *reconcile;
    struct path *path;
};

static void close_work(void *arg) {
    struct close_job *job = arg;
    job->path->ops->close(job->path);
}

static void close_done(void *arg) {
    struct close_job *job = arg;
    job->reconcile->n_jobs--;
    free(job);
}

void apply_close_waiting_path(struct run *run) {
    if (!run->waiting_path)
        return;
    struct path *path = run->waiting_path;
    run->waiting_path = nullptr;
    struct close_job *job = calloc(1, sizeof *job);
    if (job) {
        *job = (struct close_job){.reconcile = run->reconcile, .path = path};
        run->reconcile->n_jobs++;
        if (loop_work(run->reconcile->loop, close_work, close_done, job) == ERR_OK)
            return;
        run->reconcile->n_jobs--;
        free(job);
    }
    path->ops->close(path);
}

/* ---- links ---- */

/* Both ends are gone: nothing of the link is left to be known. */
void apply_links_gone(struct run *run) {
    if (run->sender.part != PLAN_PART_NONE || run->receiver.part != PLAN_PART_NONE)
        return;
    apply_close_waiting_path(run);
    run->built_link = 0;
    run->link_failed = run->flowing = run->silent = run->losing = false;
    run->built_ns = run->flowing_ns = run->silent_ns = 0;
    run->n_samples = run->next_sample = 0;
    run->local_uris = (struct stream_local_uris){
        .has_media = PRESENCE_NULL, .has_repair = PRESENCE_NULL, .has_control = PRESENCE_NULL};
    level_clear(&run->level);
}

static void end_failed(struct run_end *end, const char *reason, const struct err_info *info) {
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
        end_failed(end, "PathFailed", info ? info : &unknown);
        return;
    }
    end->link = link;
    end->part = PLAN_PART_UP;
    bool whole = (!run->sides.source.is_endpoint || run->sender.part == PLAN_PART_UP) &&
                 (!run->sides.destination.is_endpoint || run->receiver.part == PLAN_PART_UP);
    if (whole) {
        run->built_ns = loop_now_ns(run->reconcile->loop);
        run->port_in_use = false;
        struct stream_entry *entry = registry_stream(run->reconcile->registry, run->uid);
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

static void add_link(struct run_end *end, struct path *path, const struct gate_config *gate) {
    struct run *run = end->run;
    struct reconcile *r = run->reconcile;
    struct engine_link_config config = {.settings = run->settings, .receiving = !end->is_sender};
    if (carries_gain(end)) {
        config.gain_db = run->spec.settings.gain_db;
        config.muted = run->spec.settings.muted;
    }
    set_map(end, &config);
    if (end->is_sender) {
        /* Encoders of the same age would all work on their FEC blocks in the same tick. */
        constexpr int64_t SPREAD_NS = 20 * NS_PER_MS;
        constexpr int64_t STEP_NS = 7 * NS_PER_MS;
        config.start_delay_ns = (int64_t)(r->next_start++) * STEP_NS % SPREAD_NS;
    } else {
        config.gate = *gate;
        config.gate.trusted_path = run->sides.source.is_endpoint;
        int64_t release_ns = run->settings.target_latency_ns * 2;
        config.gate.release_ns = release_ns > NS_PER_S ? release_ns : NS_PER_S;
    }
    const struct node *node = end->is_sender ? run->source.node : run->destination.node;
    if (!node || node->state != NODE_UP) { /* it failed while the path was opened */
        struct err_info info = {.code = ERR_UNAVAILABLE, .message = "The endpoint went away while the stream started."};
        run->waiting_path = run->waiting_path ? run->waiting_path : path;
        if (run->waiting_path != path)
            path->ops->close(path);
        end_failed(end, "PathFailed", &info);
        apply_close_waiting_path(run);
        return;
    }
    end->link = engine_add_link_take(r->engine, node->id, &config, path, on_link_added, end);
}

static void set_local_uri(const struct path *path, const struct uri_roc *uri, int role, uint16_t tried,
                          enum presence *has, char text[static URI_SIZE]) {
    struct uri_roc local = *uri;
    if (local.port == 0)
        local.port = tried;
    if (path->ops->local_port)
        local.port = path->ops->local_port(path, iface_of(role));
    uri_format_roc(text, &local);
    *has = PRESENCE_VALUE;
}

static void note_local_ports(struct run *run, const struct path_job *job) {
    struct stream_local_uris *uris = &run->local_uris;
    struct {
        enum presence *has;
        char *text;
    } const members[URI_N_ROLES] = {[URI_MEDIA] = {&uris->has_media, uris->media},
                                    [URI_REPAIR] = {&uris->has_repair, uris->repair},
                                    [URI_CONTROL] = {&uris->has_control, uris->control}};
    for (int role = 0; role < URI_N_ROLES; role++) {
        run->ports[role] = job->uri[role].port ? 0 : job->ports[job->used][role];
        if (job->has_uri[role])
            set_local_uri(job->path, &job->uri[role], role, run->ports[role], members[role].has, members[role].text);
    }
}

static void path_done(void *arg) {
    struct path_job *job = arg;
    struct run_end *end = job->end;
    end->run->reconcile->n_jobs--;
    if (job->failure.code != ERR_OK) {
        memset(end->run->ports, 0, sizeof end->run->ports);
        end_failed(end,
                   job->failure.code == ERR_BUSY ? "PortInUse"
                   : end->is_sender              ? "DestinationUnreachable"
                                                 : "PathFailed",
                   &job->failure);
    } else {
        if (!end->is_sender)
            note_local_ports(end->run, job);
        add_link(end, job->path, &job->gate);
    }
    free(job);
}

static void open_external(struct run_end *end, const struct stream_side *side) {
    struct run *run = end->run;
    struct err_info info = {};
    struct path_job *job = calloc(1, sizeof *job);
    if (!job) {
        (void)err_set(&info, ERR_NO_MEMORY, "no memory for the sound path of stream %s", run->uid);
        end_failed(end, "PathFailed", &info);
        return;
    }
    job->end = end;
    memcpy(job->uri, side->uri, sizeof job->uri);
    memcpy(job->has_uri, side->has_uri, sizeof job->has_uri);
    if (!end->is_sender) {
        const struct external_connection *external = &run->spec.source.external;
        job->n_ports = ports_candidates(run, PORT_TRIES, job->ports);
        job->n_allowed = external->n_allowed_sources;
        memcpy(job->allowed, external->allowed_sources, sizeof job->allowed);
        (void)err_set(&job->failure, ERR_BUSY,
                      "no local port from %u to %u is free: widen roc.port_min … roc.port_max, or name one",
                      (unsigned)run->reconcile->port_min, (unsigned)run->reconcile->port_max);
    }
    run->reconcile->n_jobs++;
    if (loop_work(run->reconcile->loop, path_work, path_done, job) == ERR_OK)
        return;
    run->reconcile->n_jobs--;
    free(job);
    (void)err_set(&info, ERR_LIMIT, "the sound path of stream %s could not be opened: too much work is waiting",
                  run->uid);
    end_failed(end, "PathFailed", &info);
}

static void open_internal_receiver(struct run *run) {
    struct path *sender, *receiver;
    struct err_info info = {};
    apply_close_waiting_path(run);
    if (path_memory_open(&sender, &receiver, &info) != ERR_OK) {
        end_failed(&run->receiver, "PathFailed", &info);
        return;
    }
    run->waiting_path = sender;
    add_link(&run->receiver, receiver, &(struct gate_config){});
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
    if (info.code == ERR_OK)
        return true;
    end_failed(end, "FormatMismatch", &info);
    return false;
}

static void open_receiver(struct run *run) {
    if (!begin_link(&run->receiver))
        return;
    if (run->sides.source.is_endpoint)
        open_internal_receiver(run);
    else
        open_external(&run->receiver, &run->sides.source);
}

static void open_sender(struct run *run) {
    if (!begin_link(&run->sender))
        return;
    if (!run->sides.destination.is_endpoint) {
        open_external(&run->sender, &run->sides.destination);
    } else if (run->waiting_path) {
        struct path *path = run->waiting_path;
        run->waiting_path = nullptr;
        add_link(&run->sender, path, nullptr);
    } else {
        struct err_info info = {};
        (void)err_set(&info, ERR_INTERNAL, "the sender of stream %s was lost", run->uid);
        end_failed(&run->sender, "PathFailed", &info);
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
}
