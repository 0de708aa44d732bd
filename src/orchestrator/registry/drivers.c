/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/drivers.h"

#include <stdio.h>
#include <string.h>

#include "model/endpoint_kinds.h"

static bool is_named(const struct audio_driver *driver, const char *const *names) {
    if (!names)
        return true;
    for (; *names; names++)
        if (strcmp(*names, driver->name) == 0)
            return true;
    return false;
}

static enum err check_names(const char *const *names, struct err_info *reterr) {
    for (; names && *names; names++)
        if (!audio_driver_by_name(*names)) {
            char known[128] = "";
            for (const struct audio_driver *const *d = audio_drivers; *d; d++) {
                size_t used = strlen(known);
                snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", (*d)->name);
            }
            return err_set(reterr, ERR_INVALID, "there is no audio driver '%s' in this build: there are %s", *names,
                           known);
        }
    return ERR_OK;
}

enum err drivers_init(struct drivers *drivers, const struct audio_host *host, const char *const *names,
                      struct err_info *reterr) {
    *drivers = (struct drivers){.host = host};
    enum err err = check_names(names, reterr);
    if (err)
        return err;
    for (const struct audio_driver *const *d = audio_drivers; *d && drivers->n < DRIVERS_MAX; d++) {
        if (!is_named(*d, names))
            continue;
        struct drivers_entry *entry = &drivers->all[drivers->n++];
        *entry = (struct drivers_entry){.driver = *d};
        enum err failed = ERR_OK;
        if ((*d)->create && host)
            failed = (*d)->create(host, &entry->state, &entry->failure);
        if (!failed && (*d)->probe)
            failed = (*d)->probe(entry->state, &entry->failure);
        entry->failure.code = failed;
    }
    return ERR_OK;
}

void drivers_finish(struct drivers *drivers) {
    for (size_t i = drivers->n; i-- > 0;)
        if (drivers->all[i].driver->destroy && drivers->all[i].state)
            drivers->all[i].driver->destroy(drivers->all[i].state);
    *drivers = (struct drivers){};
}

struct drivers_entry *drivers_for(struct drivers *drivers, const struct endpoint_spec *spec) {
    for (size_t i = 0; i < drivers->n; i++) {
        const struct audio_driver *driver = drivers->all[i].driver;
        bool is_meant = !kind_is_of(spec->kind, KINDS_FOUND) || strcmp(driver->name, spec->device.driver) == 0;
        if (kind_is_of(spec->kind, driver->kinds) && is_meant)
            return &drivers->all[i];
    }
    return nullptr;
}

bool drivers_show(const struct drivers *drivers, size_t index, struct driver *ret) {
    if (index >= drivers->n)
        return false;
    const struct drivers_entry *entry = &drivers->all[index];
    *ret = (struct driver){.available = entry->failure.code == ERR_OK,
                           .has_reason = entry->failure.code == ERR_OK ? PRESENCE_NULL : PRESENCE_VALUE,
                           .limits = {.max_channels = 16, .min_rate_hz = 8000, .max_rate_hz = 192000}};
    snprintf(ret->name, sizeof ret->name, "%s", entry->driver->name);
    snprintf(ret->summary, sizeof ret->summary, "%s", entry->driver->summary);
    snprintf(ret->reason, sizeof ret->reason, "%s", entry->failure.message);
    for (int kind = 0; kind < ENDPOINT_KIND_N; kind++)
        if (entry->driver->kinds & 1u << kind)
            ret->kinds[ret->n_kinds++] = (enum endpoint_kind)kind;
    if (entry->driver->kinds & 1u << ENDPOINT_KIND_FILE)
        for (int format = 0; format < FILE_FORMAT_N; format++)
            snprintf(ret->limits.formats[ret->limits.n_formats++], sizeof *ret->limits.formats, "%s",
                     file_format_name((enum file_format)format));
    return true;
}
