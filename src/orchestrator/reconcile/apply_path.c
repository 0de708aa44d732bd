/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/reconcile/reconcile.h"

/*
 * Paths to and from the outside: names are looked up and ports bound on a worker. Closing is for workers, too.
 */

/* ---- on a worker ---- */

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

void apply_close_path(struct reconcile *reconcile, struct path *path) {
    struct close_job *job = calloc(1, sizeof *job);
    if (job) {
        *job = (struct close_job){.reconcile = reconcile, .path = path};
        reconcile->n_jobs++;
        if (loop_work(reconcile->loop, close_work, close_done, job) == ERR_OK)
            return;
        reconcile->n_jobs--;
        free(job);
    }
    path->ops->close(path);
}

void apply_close_waiting_path(struct run *run) {
    if (run->waiting_path)
        apply_close_path(run->reconcile, run->waiting_path);
    run->waiting_path = nullptr;
}

/* ---- on the core ---- */

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
        apply_end_failed(end,
                         job->failure.code == ERR_BUSY ? "PortInUse"
                         : end->is_sender              ? "DestinationUnreachable"
                                                       : "PathFailed",
                         &job->failure);
    } else {
        if (!end->is_sender)
            note_local_ports(end->run, job);
        apply_add_link_take(end, job->path, &job->gate);
    }
    free(job);
}

void apply_open_external(struct run_end *end, const struct stream_side *side) {
    struct run *run = end->run;
    struct err_info info = {};
    struct path_job *job = calloc(1, sizeof *job);
    if (!job) {
        (void)err_set(&info, ERR_NO_MEMORY, "no memory for the sound path of stream %s", run->uid);
        apply_end_failed(end, "PathFailed", &info);
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
    apply_end_failed(end, "PathFailed", &info);
}
