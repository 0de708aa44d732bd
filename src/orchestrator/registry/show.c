/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/registry/show.h"

#include <stdio.h>
#include <string.h>

#include "model/endpoint_kinds.h"
#include "model/maxima.h"

/* A name is cut before a character that does not fit, never within it. */
static void set_name(char name[static LIMIT_NAME + 1], const char *text) {
    size_t len = strlen(text);
    if (len > LIMIT_NAME) {
        len = LIMIT_NAME;
        while (len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80)
            len--;
    }
    memmove(name, text, len);
    name[len] = '\0';
}

void show_endpoint_name(const struct endpoint_entry *entry, char name[static LIMIT_NAME + 1]) {
    const struct endpoint_spec *spec = &entry->object.spec;
    if (*spec->display_name) {
        set_name(name, spec->display_name);
        return;
    }
    char text[320];
    if (spec->kind == ENDPOINT_KIND_FILE)
        snprintf(text, sizeof text, "%s", spec->file.name);
    else if (spec->kind == ENDPOINT_KIND_TONE && spec->tone.waveform == TONE_WAVEFORM_SINE)
        snprintf(text, sizeof text, "tone %g Hz", spec->tone.frequency_hz);
    else if (spec->kind == ENDPOINT_KIND_TONE)
        snprintf(text, sizeof text, "%s", tone_waveform_name(spec->tone.waveform));
    else if (spec->kind == ENDPOINT_KIND_NULL)
        snprintf(text, sizeof text, "null %s", null_direction_name(spec->null.direction));
    else if (*entry->found_name)
        snprintf(text, sizeof text, "%s", entry->found_name);
    else if (spec->has_device == PRESENCE_VALUE)
        snprintf(text, sizeof text, "%s", spec->device.system_name);
    else
        snprintf(text, sizeof text, "%s", endpoint_kind_name(spec->kind));
    set_name(name, text);
}

void show_name_of(const struct registry *registry, const char *uid, char name[static LIMIT_NAME + 1]) {
    const struct endpoint_entry *entry = registry_endpoint(registry, uid);
    if (entry)
        show_endpoint_name(entry, name);
    else
        set_name(name, uid);
}

static void side_name(const struct registry *registry, const struct stream_side *side, char ret[static 320]) {
    char name[LIMIT_NAME + 1];
    const struct uri_endpoint *uri = &side->endpoint;
    const struct endpoint_entry *endpoint =
        stream_side_is_here(side) ? registry_endpoint(registry, uri->endpoint_uid) : nullptr;
    const struct remote_endpoint *other =
        side->is_remote ? remote_endpoint(registry->remote, uri->peer_uid, uri->endpoint_uid) : nullptr;
    if (endpoint) {
        show_endpoint_name(endpoint, name);
        snprintf(ret, 320, "%s", name);
    } else if (other) {
        snprintf(ret, 320, "%s", other->display_name);
    } else if (side->is_endpoint) {
        snprintf(ret, 320, "%s", side->endpoint.endpoint_uid);
    } else {
        const struct uri_roc *media = &side->uri[URI_MEDIA];
        snprintf(ret, 320, media->is_ipv6 ? "[%s]:%u" : "%s:%u", media->host, (unsigned)media->port);
    }
}

static void stream_name(const struct registry *registry, const struct stream_entry *entry,
                        char name[static LIMIT_NAME + 1]) {
    if (*entry->object.spec.display_name)
        return;
    char source[320], destination[320], text[700];
    side_name(registry, &entry->sides.source, source);
    side_name(registry, &entry->sides.destination, destination);
    snprintf(text, sizeof text, "%s → %s", source, destination);
    set_name(name, text);
}

void show_endpoint(const struct registry *registry, const struct endpoint_entry *entry, struct endpoint *ret) {
    const struct registry_endpoint *object = &entry->object;
    bool is_of_system = kind_is_of(object->spec.kind, KINDS_FOUND);
    *ret =
        (struct endpoint){.endpoint_type = is_of_system ? ENDPOINT_TYPE_SYSTEM_DEVICE : ENDPOINT_TYPE_STREAMING_DEVICE,
                          .stream_direction = entry->direction,
                          .generation = object->generation,
                          .spec = object->spec,
                          .status = object->status};
    snprintf(ret->endpoint_uri, sizeof ret->endpoint_uri, "/peers/%s/endpoints/%s", registry->self.uid, object->uid);
    snprintf(ret->endpoint_uid, sizeof ret->endpoint_uid, "%s", object->uid);
    snprintf(ret->peer_uid, sizeof ret->peer_uid, "%s", registry->self.uid);
    snprintf(ret->driver, sizeof ret->driver, "%s", object->driver);
    snprintf(ret->system_name, sizeof ret->system_name, "%s", object->system_name);
    show_endpoint_name(entry, ret->spec.display_name);
}

void show_stream(const struct registry *registry, const struct stream_entry *entry, struct stream *ret) {
    const struct registry_stream *object = &entry->object;
    *ret = (struct stream){.generation = object->generation, .spec = object->spec, .status = object->status};
    snprintf(ret->stream_uri, sizeof ret->stream_uri, "/streams/%s", object->uid);
    snprintf(ret->stream_uid, sizeof ret->stream_uid, "%s", object->uid);
    stream_name(registry, entry, ret->spec.display_name);
}

void show_peer(const struct registry *registry, struct peer *ret) {
    *ret = registry->self.info;
    ret->uptime_s = (double)(loop_now_ns(registry->loop) - registry->started_ns) / (double)NS_PER_S;
}
