/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/devices.h"

#include <stdio.h>
#include <string.h>

#include "model/endpoint_kinds.h"
#include "model/maxima.h"
#include "orchestrator/registry/endpoints.h"

/* The parts are parted by a byte that none of them holds. */
static void device_uid(const struct registry *registry, const char *driver, const char *system_name,
                       char ret[static UID_SIZE]) {
    char seed[UID_LEN + 32 + 256 + 2];
    int len = snprintf(seed, sizeof seed, "%s%c%s%c%s", registry->self.uid, 0, driver, 0, system_name);
    uid_reproducible(ret, UID_TAG_ENDPOINT, seed, (size_t)len);
}

/* ---- to the driver ---- */

static bool is_another_wish(const struct endpoint_spec *a, const struct endpoint_spec *b) {
    bool has_volume = a->has_volume == PRESENCE_VALUE, has_muted = a->has_muted == PRESENCE_VALUE;
    return has_volume != (b->has_volume == PRESENCE_VALUE) || has_muted != (b->has_muted == PRESENCE_VALUE) ||
           (has_volume && (a->volume < b->volume || a->volume > b->volume)) || (has_muted && a->muted != b->muted);
}

static void set_volume(const struct endpoint_entry *entry) {
    const struct endpoint_spec *spec = &entry->object.spec;
    const struct drivers_entry *driver = entry->driver;
    if (!driver || !driver->driver->set_volume || !entry->is_present)
        return;
    const double *volume = spec->has_volume == PRESENCE_VALUE ? &spec->volume : nullptr;
    const bool *is_muted = spec->has_muted == PRESENCE_VALUE ? &spec->muted : nullptr;
    if (volume || is_muted)
        driver->driver->set_volume(driver->state, entry->object.system_name, volume, is_muted);
}

static void expose_or_withdraw(const struct registry *registry, struct endpoint_entry *entry) {
    const struct drivers_entry *driver = entry->driver;
    if (!driver || !driver->driver->expose || !registry->has_watches)
        return;
    const struct registry_endpoint *object = &entry->object;
    if (object->spec.enabled) {
        driver->driver->expose(driver->state, &(struct audio_endpoint){object->uid, &object->spec});
        entry->is_exposed = true;
    } else if (entry->is_exposed) {
        driver->driver->withdraw(driver->state, object->uid);
        entry->is_exposed = entry->is_present = false;
    }
}

/* ---- what is known of it ---- */

static void set_absent(struct endpoint_entry *entry) {
    entry->is_present = false;
    *entry->follows = 0;
    struct endpoint_status *status = &entry->object.status;
    status->is_default = false;
    status->has_is_default = PRESENCE_VALUE;
    status->has_volume = status->has_muted = PRESENCE_NULL;
    if (kind_is_of(entry->object.spec.kind, KINDS_FOUND))
        (void)err_set(&entry->probe, ERR_NOT_FOUND, "the device is not there: plug it in, or switch it on");
    else
        (void)err_set(&entry->probe, ERR_NOT_FOUND,
                      "the sound server has not made the device yet; if that lasts, see /readyz");
}

static void set_present(struct endpoint_entry *entry, const struct audio_device *device) {
    struct endpoint_status *status = &entry->object.status;
    entry->is_present = true;
    entry->probe = device->failure;
    status->has_is_default = PRESENCE_VALUE;
    status->is_default = device->is_default;
    status->has_volume = status->has_muted = device->has_volume ? PRESENCE_VALUE : PRESENCE_NULL;
    status->volume = device->has_volume ? device->volume : 0;
    status->muted = device->has_volume && device->is_muted;
    if (!entry->in_use && device->format.rate_hz > 0)
        status->rate_hz = (int32_t)device->format.rate_hz;
    if (!entry->in_use && device->format.n_channels > 0)
        status->channels = (int32_t)device->format.n_channels;
    snprintf(entry->found_name, sizeof entry->found_name, "%s", device->display_name ? device->display_name : "");
    snprintf(entry->follows, sizeof entry->follows, "%s", device->follows ? device->follows : "");
}

static bool looks_the_same(const struct endpoint_status *a, const struct endpoint_status *b) {
    return a->is_default == b->is_default && a->has_volume == b->has_volume &&
           !(a->volume < b->volume || a->volume > b->volume) && a->muted == b->muted && a->rate_hz == b->rate_hz &&
           a->channels == b->channels;
}

/* ---- news of drivers ---- */

static int32_t within(uint32_t value, int32_t least, int32_t most, int32_t otherwise) {
    return value == 0 ? otherwise : value<(uint32_t)least ? least : value>(uint32_t) most ? most : (int32_t)value;
}

static void found_spec(const struct drivers_entry *driver, const struct audio_device *device,
                       struct endpoint_spec *ret) {
    endpoint_spec_defaults(ret);
    ret->kind = (enum endpoint_kind)device->kind;
    ret->rate_hz = within(device->format.rate_hz, 8000, 192000, ret->rate_hz);
    ret->channels = within(device->format.n_channels, 1, (int32_t)LIMIT_CHANNELS, ret->channels);
    ret->has_device = PRESENCE_VALUE;
    snprintf(ret->device.driver, sizeof ret->device.driver, "%s", driver->driver->name);
    snprintf(ret->device.system_name, sizeof ret->device.system_name, "%s", device->system_name);
    ret->device.direction = device->direction == AUDIO_INPUT ? DEVICE_DIRECTION_INPUT : DEVICE_DIRECTION_OUTPUT;
}

/* nullptr: no room for it */
static struct endpoint_entry *list_found(struct registry *registry, const struct drivers_entry *driver, const char *uid,
                                         const struct audio_device *device) {
    struct err_info info = {};
    if (registry->n_endpoints >= LIMIT_ENDPOINTS) {
        if (!registry->told_of_limit)
            log_warn(registry->log,
                     "there are more devices than LIMIT_ENDPOINTS allows: this one and those after it are not listed",
                     LOG_STR("device", device->system_name), LOG_UINT("limit", LIMIT_ENDPOINTS));
        registry->told_of_limit = true;
        return nullptr;
    }
    struct endpoint_spec spec;
    found_spec(driver, device, &spec);
    registry->finding = device; /* so that the event shows it as it is */
    enum err err = registry_set_endpoint(registry, uid, 1, &spec, &info);
    registry->finding = nullptr;
    if (err) {
        log_error(registry->log, "device could not be listed", LOG_STR("device", device->system_name),
                  LOG_STR("reason", info.message));
        return nullptr;
    }
    return registry_endpoint(registry, uid);
}

static void uid_of(const struct registry_watch *watch, const struct audio_device *device, char ret[static UID_SIZE]) {
    if (device->uid)
        snprintf(ret, UID_SIZE, "%s", device->uid);
    else
        device_uid(watch->registry, watch->driver->driver->name, device->system_name, ret);
}

static void on_device(void *arg, const struct audio_device *device) {
    const struct registry_watch *watch = arg;
    struct registry *registry = watch->registry;
    char uid[UID_SIZE];
    if (!registry->has_watches)
        return;
    uid_of(watch, device, uid);
    struct endpoint_entry *entry = registry_endpoint(registry, uid);
    if (!entry && !device->uid)
        entry = list_found(registry, watch->driver, uid, device);
    if (!entry || (device->uid && !entry->is_exposed)) /* removed or switched off in the meantime */
        return;
    struct endpoint_status before = entry->object.status;
    char name_before[sizeof entry->found_name];
    memcpy(name_before, entry->found_name, sizeof name_before);
    bool was_present = entry->is_present;
    if (device->uid)
        snprintf(entry->object.system_name, sizeof entry->object.system_name, "%s", device->system_name);
    set_present(entry, device);
    if (!was_present || device->has_returned) {
        entry->open = (struct err_info){};
        set_volume(entry);
    }
    bool is_told = endpoints_told(registry, entry);
    bool is_other = !looks_the_same(&before, &entry->object.status) || strcmp(name_before, entry->found_name) != 0;
    if (!is_told && is_other)
        registry_announce_endpoint(registry, entry, EVENT_ENDPOINT_UPDATED);
}

static void on_device_gone(void *arg, const struct audio_device *device) {
    const struct registry_watch *watch = arg;
    struct registry *registry = watch->registry;
    char uid[UID_SIZE];
    uid_of(watch, device, uid);
    struct endpoint_entry *entry = registry->has_watches ? registry_endpoint(registry, uid) : nullptr;
    if (!entry)
        return;
    set_absent(entry);
    if (device->failure.code != ERR_OK)
        entry->probe = device->failure;
    (void)endpoints_told(registry, entry);
    devices_sweep(registry);
}

static void on_driver(void *arg, const struct err_info *failure) {
    const struct registry_watch *watch = arg;
    struct registry *registry = watch->registry;
    struct drivers_entry *driver = watch->driver;
    if (!registry->has_watches)
        return;
    if (driver->failure.code == ERR_OK && failure->code != ERR_OK)
        log_warn(registry->log, "sound devices are out of reach", LOG_STR("driver", driver->driver->name),
                 LOG_STR("reason", failure->message));
    else if (driver->failure.code != ERR_OK && failure->code == ERR_OK)
        log_info(registry->log, "sound devices are within reach", LOG_STR("driver", driver->driver->name));
    driver->failure = *failure;
    for (struct endpoint_entry *e = nullptr; (e = registry_next_endpoint(registry, e));)
        if (e->driver == driver)
            (void)endpoints_told(registry, e);
}

/* ---- life ---- */

void devices_start(struct registry *registry) {
    static const struct audio_watcher WATCHER = {
        .device = on_device, .device_gone = on_device_gone, .driver = on_driver};
    registry->has_watches = registry->drivers->host != nullptr;
    for (size_t i = 0; i < registry->drivers->n && registry->has_watches; i++) {
        struct drivers_entry *driver = &registry->drivers->all[i];
        registry->watches[i] = (struct registry_watch){registry, driver};
        if (driver->driver->watch && driver->failure.code == ERR_OK)
            driver->driver->watch(driver->state, &WATCHER, &registry->watches[i]);
    }
    for (struct endpoint_entry *e = nullptr; (e = registry_next_endpoint(registry, e));)
        if (kind_is_of(e->object.spec.kind, KINDS_VIRTUAL))
            expose_or_withdraw(registry, e);
}

void devices_stop(struct registry *registry) {
    registry->has_watches = false;
}

/* ---- the registry's own news ---- */

void devices_changed(struct registry *registry, struct endpoint_entry *entry, const struct endpoint_spec *before) {
    const struct endpoint_spec *spec = &entry->object.spec;
    if (kind_is_of(spec->kind, KINDS_FOUND))
        snprintf(entry->object.system_name, sizeof entry->object.system_name, "%s", spec->device.system_name);
    if (registry->finding)
        set_present(entry, registry->finding);
    else if (!entry->is_present)
        set_absent(entry);
    if (kind_is_of(spec->kind, KINDS_VIRTUAL))
        expose_or_withdraw(registry, entry);
    if (is_another_wish(spec, before))
        set_volume(entry);
}

void devices_dropped(struct registry *registry, struct endpoint_entry *entry) {
    const struct drivers_entry *driver = entry->driver;
    if (entry->is_exposed && driver && registry->has_watches)
        driver->driver->withdraw(driver->state, entry->object.uid);
    entry->is_exposed = entry->is_present = false;
}

static bool is_used(const struct registry *registry, const char *uid) {
    const struct registry_listener *listener = registry->listener;
    return listener->endpoint_is_used && listener->endpoint_is_used(registry->listener_arg, uid);
}

void devices_sweep(struct registry *registry) {
    if (!registry->has_watches)
        return;
    for (struct endpoint_entry *e = registry_next_endpoint(registry, nullptr), *next; e; e = next) {
        next = registry_next_endpoint(registry, e);
        if (kind_is_of(e->object.spec.kind, KINDS_FOUND) && !e->is_present && !e->is_stored && !e->in_use &&
            !is_used(registry, e->object.uid))
            registry_drop_endpoint(registry, e);
    }
}

bool devices_reset(struct registry *registry, struct endpoint_entry *entry) {
    if (!kind_is_of(entry->object.spec.kind, KINDS_FOUND) || !entry->is_present)
        return false;
    struct endpoint_spec spec;
    endpoint_spec_defaults(&spec);
    spec.kind = entry->object.spec.kind;
    spec.has_device = PRESENCE_VALUE;
    spec.device = entry->object.spec.device;
    (void)registry_set_endpoint(registry, entry->object.uid, 1, &spec,
                                nullptr); /* it is there, so it needs no memory */
    entry->is_stored = false;
    return true;
}

/* ---- writes ---- */

enum err devices_check(const struct registry *registry, const char *uid, const struct endpoint_entry *present,
                       const struct endpoint_spec *spec, char ret_uid[static UID_SIZE], struct err_info *reterr) {
    if (!kind_is_of(spec->kind, KINDS_FOUND))
        return ERR_OK;
    if (spec->has_device != PRESENCE_VALUE)
        return err_set_at(reterr, ERR_INVALID, "/device",
                          "an endpoint of kind '%s' needs a member 'device' that says which one; those that are there "
                          "are in the list by themselves",
                          endpoint_kind_name(spec->kind));
    if (present && !endpoint_device_equal(&present->object.spec.device, &spec->device))
        return err_set_at(reterr, ERR_INVALID, "/device", "which device an endpoint stands for cannot change");
    device_uid(registry, spec->device.driver, spec->device.system_name, ret_uid);
    if (*uid && strcmp(uid, ret_uid) != 0)
        return err_set_at(reterr, ERR_INVALID, "/device/system_name",
                          "the endpoint of device '%s' has the uid %s, not %.40s", spec->device.system_name, ret_uid,
                          uid);
    if (!*uid && registry_endpoint(registry, ret_uid))
        return err_set(reterr, ERR_CONFLICT, "device '%s' is in the list already, as %s: change it there (PATCH)",
                       spec->device.system_name, ret_uid);
    return ERR_OK;
}

enum err devices_check_removal(const struct endpoint_entry *entry, struct err_info *reterr) {
    if (!kind_is_of(entry->object.spec.kind, KINDS_FOUND) || !entry->is_present)
        return ERR_OK;
    return err_set(reterr, ERR_CONFLICT,
                   "endpoint %s is a device of the system that is there now, so it cannot be removed: set enabled to "
                   "false to switch it off",
                   entry->object.uid);
}
