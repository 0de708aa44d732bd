/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/miniaudio/found.h"

#include <stdlib.h>
#include <string.h>

bool found_add(struct found *found, const struct found_device *device) {
    if (found_by_name(found, device->system_name))
        return true;
    if (found->n >= FOUND_MAX)
        return false;
    if (!found->devices && !(found->devices = calloc(FOUND_MAX, sizeof *found->devices)))
        return false;
    found->devices[found->n++] = *device;
    return true;
}

const struct found_device *found_by_name(const struct found *found, const char *system_name) {
    for (size_t i = 0; i < found->n; i++)
        if (strcmp(found->devices[i].system_name, system_name) == 0)
            return &found->devices[i];
    return nullptr;
}

void found_finish(struct found *found) {
    free(found->devices);
    *found = (struct found){};
}

static struct audio_device shown(const struct found_device *device) {
    return (struct audio_device){
        .system_name = device->system_name,
        .display_name = device->display_name,
        .kind = device->kind,
        .direction = device->direction,
        .format = device->format,
        .is_default = device->is_default,
        .failure = device->failure,
    };
}

static bool is_same(const struct found_device *a, const struct found_device *b) {
    return strcmp(a->display_name, b->display_name) == 0 && a->kind == b->kind && a->direction == b->direction &&
           a->format.rate_hz == b->format.rate_hz && a->format.n_channels == b->format.n_channels &&
           a->is_default == b->is_default && a->failure.code == b->failure.code &&
           strcmp(a->failure.message, b->failure.message) == 0;
}

/* What is gone comes first: a device that has got another name is not there twice. */
void found_update(struct found *known, struct found *now, const struct audio_watcher *watcher, void *arg) {
    struct found before = *known;
    *known = *now;
    *now = (struct found){};
    for (size_t i = 0; i < before.n; i++)
        if (!found_by_name(known, before.devices[i].system_name)) {
            struct audio_device gone = shown(&before.devices[i]);
            gone.failure = (struct err_info){};
            watcher->device_gone(arg, &gone);
        }
    for (size_t i = 0; i < known->n; i++) {
        const struct found_device *was = found_by_name(&before, known->devices[i].system_name);
        if (was && is_same(was, &known->devices[i]))
            continue;
        struct audio_device device = shown(&known->devices[i]);
        watcher->device(arg, &device);
    }
    found_finish(&before);
}

void found_copy_name(char to[static FOUND_DISPLAY_NAME_SIZE], const char *from) {
    size_t len = strnlen(from, FOUND_DISPLAY_NAME_SIZE);
    if (len == FOUND_DISPLAY_NAME_SIZE) {
        len--;
        while (len > 0 && ((unsigned char)from[len] & 0xc0) == 0x80) /* in the middle of a character */
            len--;
    }
    for (size_t i = 0; i < len; i++)
        to[i] = (unsigned char)from[i] < 0x20 || from[i] == 0x7f ? ' ' : from[i];
    to[len] = 0;
}
