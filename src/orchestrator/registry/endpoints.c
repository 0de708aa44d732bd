/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/endpoint_kinds.h"
#include "orchestrator/registry/devices.h"

/* ---- status ---- */

/* The stable word for what a driver said. */
static const char *reason_word(enum endpoint_kind kind, enum err code) {
    if (code == ERR_NOT_FOUND)
        return kind == ENDPOINT_KIND_FILE ? "FileMissing" : "DeviceMissing";
    if (code == ERR_DENIED || code == ERR_FORBIDDEN)
        return "AccessDenied";
    if (code == ERR_CONFLICT)
        return kind == ENDPOINT_KIND_FILE ? "FileExists" : "Conflict";
    if (code == ERR_BUSY)
        return "DeviceBusy";
    if (code == ERR_STORAGE)
        return "DiskFull";
    if (code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_MALFORMED)
        return "FormatMismatch";
    return kind == ENDPOINT_KIND_FILE ? "FileFailed" : "DeviceFailed";
}

static void set_reason(struct endpoint_status *status, enum endpoint_state state, const char *reason,
                       const char *message) {
    status->state = state;
    status->has_reason = reason ? PRESENCE_VALUE : PRESENCE_NULL;
    snprintf(status->reason, sizeof status->reason, "%s", reason ? reason : "");
    snprintf(status->message, sizeof status->message, "%s", message);
}

static void set_failure(const struct endpoint_entry *entry, struct endpoint_status *status,
                        const struct err_info *failure) {
    set_reason(status, failure->code == ERR_NOT_FOUND ? ENDPOINT_STATE_UNAVAILABLE : ENDPOINT_STATE_ERROR,
               reason_word(entry->object.spec.kind, failure->code), failure->message);
}

static void judge(const struct endpoint_entry *entry, struct endpoint_status *status) {
    if (!entry->object.spec.enabled)
        set_reason(status, ENDPOINT_STATE_DISABLED, "Disabled", "The endpoint is switched off: set enabled to true.");
    else if (!entry->driver)
        set_reason(status, ENDPOINT_STATE_ERROR, "DriverMissing",
                   "The driver that makes endpoints of this kind is not in use here: see /peers/self/drivers.");
    else if (entry->driver->failure.code != ERR_OK)
        set_reason(status, entry->driver->driver->watch ? ENDPOINT_STATE_UNAVAILABLE : ENDPOINT_STATE_ERROR,
                   "DriverUnavailable", entry->driver->failure.message);
    else if (entry->probe.code != ERR_OK)
        set_failure(entry, status, &entry->probe);
    else if (entry->open.code != ERR_OK)
        set_failure(entry, status, &entry->open);
    else
        set_reason(status, ENDPOINT_STATE_AVAILABLE, nullptr, "");
}

/* true: it is another state or reason than before */
static bool update(struct registry *registry, struct endpoint_entry *entry) {
    struct endpoint_status *status = &entry->object.status, before = *status;
    judge(entry, status);
    bool changed = before.state != status->state || strcmp(before.reason, status->reason) != 0;
    if (before.state != status->state) {
        char now[CLOCK_TEXT_SIZE];
        clock_format(now, clock_wall_ns(registry->loop->clock));
        snprintf(status->since, sizeof status->since, "%s", now);
    }
    return changed;
}

static bool update_and_tell(struct registry *registry, struct endpoint_entry *entry) {
    if (!update(registry, entry))
        return false;
    const struct endpoint_status *status = &entry->object.status;
    log_info(registry->log, "endpoint changed", LOG_STR("endpoint", entry->object.uid),
             LOG_STR("state", endpoint_state_name(status->state)), LOG_STR("reason", status->reason));
    registry_announce_endpoint(registry, entry, EVENT_ENDPOINT_UPDATED);
    registry->listener->endpoint_availability_changed(registry->listener_arg, entry->object.uid);
    return true;
}

bool endpoints_may_retry(const struct endpoint_entry *entry) {
    return entry->object.spec.enabled && entry->driver && entry->driver->failure.code == ERR_OK &&
           entry->probe.code == ERR_OK;
}

/* ---- asking ---- */

struct probe_job {
    struct registry *registry;
    char uid[UID_SIZE];
    int64_t revision;
    const struct audio_host *host;
    const struct drivers_entry *driver;
    struct endpoint_spec spec;
    struct err_info answer;
};

static void probe_work(void *arg) {
    struct probe_job *job = arg;
    job->answer.code = job->driver->driver->available(job->driver->state, job->host,
                                                      &(struct audio_endpoint){job->uid, &job->spec}, &job->answer);
}

static void probe_done(void *arg) {
    struct probe_job *job = arg;
    struct registry *registry = job->registry;
    struct endpoint_entry *entry = registry_endpoint(registry, job->uid);
    registry->n_probes--;
    if (entry && entry->revision == job->revision) {
        entry->is_probe_under_way = false;
        if (!entry->in_use) { /* what uses it knows better */
            entry->is_probed = true;
            entry->probe = job->answer;
            (void)update_and_tell(registry, entry);
        }
    }
    free(job);
}

static bool can_ask(const struct registry *registry, const struct endpoint_entry *entry) {
    return registry->is_loaded && !registry->is_stopping && registry->drivers->host && entry->object.spec.enabled &&
           entry->driver && entry->driver->driver->available && entry->driver->failure.code == ERR_OK &&
           !entry->is_probe_under_way && !entry->in_use;
}

static void probe_start(struct registry *registry, struct endpoint_entry *entry) {
    if (!can_ask(registry, entry))
        return;
    struct probe_job *job = calloc(1, sizeof *job);
    if (!job)
        return; /* the timer asks again */
    *job = (struct probe_job){.registry = registry,
                              .revision = entry->revision,
                              .host = registry->drivers->host,
                              .driver = entry->driver,
                              .spec = entry->object.spec};
    snprintf(job->uid, sizeof job->uid, "%s", entry->object.uid);
    entry->is_probe_under_way = true;
    registry->n_probes++;
    if (loop_work(registry->loop, probe_work, probe_done, job) != ERR_OK) {
        entry->is_probe_under_way = false;
        registry->n_probes--;
        free(job);
    }
}

static void on_probe_timer(void *arg) {
    struct registry *registry = arg;
    loop_timer_start(registry->loop, &registry->probe_timer, ENDPOINTS_PROBE_NS);
    uint64_t position = 0, turn = registry->n_endpoints ? registry->next_probe++ % registry->n_endpoints : 0;
    for (struct endpoint_entry *e = nullptr; (e = registry_next_endpoint(registry, e)); position++)
        if (e->probe.code != ERR_OK || !e->is_probed || position == turn)
            probe_start(registry, e);
}

void endpoints_init(struct registry *registry) {
    registry->probe_timer = (struct loop_timer){.fire = on_probe_timer, .arg = registry};
}

void endpoints_start(struct registry *registry) {
    on_probe_timer(registry);
}

void endpoints_stop(struct registry *registry) {
    loop_timer_stop(registry->loop, &registry->probe_timer);
}

/* ---- news ---- */

static void clear_run(struct endpoint_entry *entry) {
    struct endpoint_status *status = &entry->object.status;
    status->has_position_ms = status->has_started_at = PRESENCE_NULL;
    status->frames = 0;
    status->n_level_dbfs = 0;
    status->ledger = (struct endpoint_ledger){};
    level_clear(&entry->level);
}

enum stream_direction endpoints_direction(enum audio_direction direction) {
    switch (direction) {
    case AUDIO_INPUT:
        return STREAM_DIRECTION_INPUT;
    case AUDIO_OUTPUT:
        return STREAM_DIRECTION_OUTPUT;
    case AUDIO_DUPLEX:
        break;
    }
    return STREAM_DIRECTION_DUPLEX;
}

void endpoints_changed(struct registry *registry, struct endpoint_entry *entry, const struct endpoint_spec *before) {
    const struct endpoint_spec *spec = &entry->object.spec;
    entry->driver = drivers_for(registry->drivers, spec);
    entry->object.driver = entry->driver ? entry->driver->driver->name : "";
    if (entry->driver)
        entry->direction = endpoints_direction(entry->driver->driver->direction(spec));
    entry->open = (struct err_info){};
    bool is_told_of = kind_is_of(spec->kind, KINDS_TOLD_OF);
    if (!is_told_of)
        entry->probe = (struct err_info){};
    entry->is_probed = entry->is_probe_under_way = false;
    entry->revision++;
    if (!entry->in_use) {
        /* A file that plays has a rate of its own, known once it is opened. */
        bool plays = spec->kind == ENDPOINT_KIND_FILE && spec->file.mode == FILE_MODE_PLAY;
        entry->object.status.rate_hz = plays ? 0 : spec->rate_hz;
        entry->object.status.channels = plays ? 0 : spec->channels;
        clear_run(entry);
    }
    if (is_told_of)
        devices_changed(registry, entry, before);
    (void)update(registry, entry);
    probe_start(registry, entry);
}

void endpoints_opened(struct registry *registry, struct endpoint_entry *entry, struct audio_format format) {
    entry->in_use = true;
    entry->is_probed = true;
    entry->probe = entry->open = (struct err_info){};
    entry->object.status.rate_hz = (int32_t)format.rate_hz;
    entry->object.status.channels = (int32_t)format.n_channels;
    (void)update_and_tell(registry, entry);
}

void endpoints_failed(struct registry *registry, struct endpoint_entry *entry, const struct err_info *reason) {
    bool is_asked = entry->driver && entry->driver->driver->available;
    if (reason->code == ERR_NOT_FOUND && is_asked)
        entry->probe = *reason; /* asked again until it is there */
    else
        entry->open = *reason;
    (void)update_and_tell(registry, entry);
}

bool endpoints_told(struct registry *registry, struct endpoint_entry *entry) {
    entry->is_probed = true;
    return update_and_tell(registry, entry);
}

void endpoints_released(struct endpoint_entry *entry) {
    entry->in_use = false;
    clear_run(entry);
}
