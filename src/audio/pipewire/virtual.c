/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spa/param/props.h>

#include "audio/pipewire/pipewire_priv.h"
#include "audio/spec.h"

/*
 * Virtual devices: a pw_stream that says it is a sink or a source. Programs play to it or record from it as if it were
 * hardware; PipeWire applies its volume before we see the sound, so we only report it. While no program uses it its callback
 * does not run and it costs nothing.
 *
 * The node's name holds the uid, so that what users have chosen finds it again after every restart. One that somebody removed
 * with other tools stays away until it is exposed again.
 */

void virtual_node_name(const struct line *line, char name[static NEWS_SYSTEM_NAME_SIZE]) {
    snprintf(name, NEWS_SYSTEM_NAME_SIZE, "rocd.%s", line->uid);
}

struct line *virtual_find(const struct pipewire *pw, const char *uid) {
    struct line *line;
    list_for_each(line, &pw->lines, link) if (line->kind == LINE_VIRTUAL && strcmp(line->uid, uid) == 0) return line;
    return nullptr;
}

struct line *virtual_of_node(const struct graph_node *node) {
    return node->is_ours && strncmp(node->name, "rocd.", 5) == 0 ? virtual_find(node->pw, node->name + 5) : nullptr;
}

/* ---- its names ---- */

static bool is_taken(const struct line *line, const char *name, const char *description) {
    const struct graph_node *node;
    list_for_each(node, &line->pw->nodes,
                  link) if (strcmp(node->name, name) != 0 && strcmp(node->description, description) == 0) return true;
    return false;
}

/* What people read. Where another device is called so already, "Desk" becomes "Desk (rocd)", then "Desk (rocd 2)". */
static void choose_description(const struct line *line, const char *name,
                               char description[static NEWS_DISPLAY_NAME_SIZE]) {
    constexpr int TRIES = 100;
    copy_text(description, NEWS_DISPLAY_NAME_SIZE, line->display_name);
    for (int i = 1; i <= TRIES && is_taken(line, name, description); i++) {
        char suffix[24], begin[NEWS_DISPLAY_NAME_SIZE];
        int len =
            i == 1 ? snprintf(suffix, sizeof suffix, " (rocd)") : snprintf(suffix, sizeof suffix, " (rocd %d)", i);
        copy_text(begin, sizeof begin - (size_t)len, line->display_name);
        snprintf(description, NEWS_DISPLAY_NAME_SIZE, "%s%s", begin, suffix);
    }
}

bool virtual_prepare(struct line *line, char description[static NEWS_DISPLAY_NAME_SIZE]) {
    char name[NEWS_SYSTEM_NAME_SIZE];
    virtual_node_name(line, name);
    const struct graph_node *other = graph_find(line->pw, name);
    line->is_blocked = other && !other->is_ours;
    if (line->is_blocked) {
        virtual_tell(line);
        return false;
    }
    choose_description(line, name, description);
    return true;
}

void virtual_on_name_free(struct pipewire *pw, const char *node_name) {
    struct line *line = strncmp(node_name, "rocd.", 5) == 0 ? virtual_find(pw, node_name + 5) : nullptr;
    if (line && line->is_blocked)
        line_connect(line);
}

/* ---- telling ---- */

/* false: it is on its way, and nothing can be said yet. */
static bool describe(const struct line *line, struct news_device *ret) {
    const struct pipewire *pw = line->pw;
    memset(ret, 0, sizeof *ret);
    memcpy(ret->uid, line->uid, sizeof ret->uid);
    virtual_node_name(line, ret->system_name);
    memcpy(ret->display_name, line->display_name, sizeof ret->display_name);
    ret->direction = line->direction;
    ret->kind = line->direction == AUDIO_INPUT ? ENDPOINT_KIND_VIRTUAL_SPEAKER : ENDPOINT_KIND_VIRTUAL_MICROPHONE;
    ret->format = line->format;
    ret->has_volume = true;
    ret->volume = volume_cubic(&line->volume);
    ret->is_muted = line->volume.is_muted;
    const struct graph_node *node = graph_find(pw, ret->system_name);
    if (line->has_failed) {
        ret->failure = line->failure;
    } else if (!pw->is_listed) {
        ret->failure = pw->driver_failure;
        if (pw->has_verdict && ret->failure.code == ERR_OK)
            (void)err_set(&ret->failure, ERR_UNAVAILABLE, "PipeWire has ended; the device returns with it");
        return pw->has_verdict;
    } else if (line->is_blocked) {
        (void)err_set(
            &ret->failure, ERR_CONFLICT,
            "another program has a device with the name '%s': is a second rocd running with a copy of this one's "
            "state?",
            ret->system_name);
    } else if (!line->stream || !node || !node->is_ours || !node->is_ready) {
        return false;
    } else {
        memcpy(ret->display_name, node->description, sizeof ret->display_name);
        ret->is_default = strcmp(pw->defaults[line->direction == AUDIO_INPUT ? AUDIO_OUTPUT : AUDIO_INPUT].node_name,
                                 ret->system_name) == 0;
        (void)defaults_no_session(pw, &ret->failure);
    }
    return true;
}

void virtual_tell(struct line *line) {
    struct news_device now;
    if (!line->pw->is_watched || !describe(line, &now))
        return;
    if (line->is_told && memcmp(&now, &line->told, sizeof now) == 0)
        return;
    line->told = now;
    line->is_told = true;
    news_say_device(line->pw->news, &now);
}

void virtual_was_removed(struct line *line, const char *why) {
    struct err_info failure = {};
    (void)err_set(
        &failure, ERR_UNAVAILABLE,
        "another program has removed this device from PipeWire%s%s: change it, or disable and enable it, to have "
        "it back",
        why[0] ? ": " : "", why);
    line_fail(line, &failure);
    log_info(line->pw->log, "a virtual device was removed by another program", LOG_STR("endpoint", line->uid));
    struct news_device now;
    (void)describe(line, &now);
    line->is_told = false;
    if (line->pw->is_watched)
        news_say_gone(line->pw->news, &now);
}

/* ---- volume ---- */

void virtual_restore_volume(struct line *line) {
    float mute = line->volume.is_muted ? 1 : 0;
    if (!line->stream || !line->volume.is_known)
        return;
    if (line->volume.n > 0)
        pw_stream_set_control(line->stream, SPA_PROP_channelVolumes, line->volume.n, line->volume.linear, 0);
    pw_stream_set_control(line->stream, SPA_PROP_mute, 1, &mute, 0);
}

static void volume_is_new(struct line *line) {
    virtual_tell(line);
    defaults_tell(line->pw);
}

void virtual_set_volume(struct line *line, const struct volume_wish *wish) {
    volume_set(&line->volume, line->format.n_channels, wish);
    virtual_restore_volume(line);
    volume_is_new(line);
}

void virtual_on_props(struct line *line, const struct spa_pod *props) {
    struct volume before = line->volume;
    volume_read(&line->volume, props);
    if (line->volume.n == 1)
        volume_set(&line->volume, line->format.n_channels,
                   &(struct volume_wish){.has_volume = true, .volume = volume_cubic(&line->volume)});
    if (line->volume.n == 0) { /* no format yet: what was known stays */
        line->volume.n = before.n;
        memcpy(line->volume.linear, before.linear, sizeof before.linear);
    }
    volume_is_new(line);
}

/* ---- exposing ---- */

/* Streams that have it open keep it until they are closed. */
static void retire(struct line *line, const struct err_info *failure) {
    line_disconnect(line);
    line_fail(line, failure);
    list_remove(&line->link);
    line_unref(line);
}

void virtual_withdraw(struct pipewire *pw, const char *uid) {
    struct err_info failure = {};
    struct line *line = virtual_find(pw, uid);
    if (!line)
        return;
    news_forget(pw->news, uid);
    (void)err_set(&failure, ERR_NOT_FOUND, "the virtual device has been withdrawn");
    retire(line, &failure);
}

static struct line *make(struct pipewire *pw, const char *uid, enum audio_direction direction,
                         struct audio_format format) {
    struct line *line = line_create(pw, LINE_VIRTUAL, direction, format);
    if (!line)
        log_error(pw->log, "out of memory: a virtual device could not be made", LOG_STR("endpoint", uid));
    else
        copy_text(line->uid, sizeof line->uid, uid);
    return line;
}

static void rename_line(struct line *line) {
    char name[NEWS_SYSTEM_NAME_SIZE], description[NEWS_DISPLAY_NAME_SIZE];
    virtual_node_name(line, name);
    choose_description(line, name, description);
    pw_stream_update_properties(
        line->stream, &SPA_DICT_INIT_ARRAY(((struct spa_dict_item[]){{PW_KEY_NODE_DESCRIPTION, description}})));
}

void virtual_expose(struct pipewire *pw, const char *uid, const struct endpoint_spec *spec) {
    enum audio_direction direction = spec->kind == ENDPOINT_KIND_VIRTUAL_SPEAKER ? AUDIO_INPUT : AUDIO_OUTPUT;
    struct audio_format format = audio_spec_format(spec);
    struct line *line = virtual_find(pw, uid);
    struct volume volume = {};
    if (line && (line->direction != direction || line->format.rate_hz != format.rate_hz ||
                 line->format.n_channels != format.n_channels)) {
        struct err_info failure = {};
        (void)err_set(&failure, ERR_UNAVAILABLE, "the virtual device was changed to %u channels at %u Hz",
                      format.n_channels, format.rate_hz);
        volume = line->volume;
        retire(line, &failure);
        line = nullptr;
    }
    if (!line) {
        line = make(pw, uid, direction, format);
        if (!line)
            return;
        line->volume = volume;
    }
    bool is_renamed = strcmp(line->display_name, spec->display_name) != 0;
    copy_text(line->display_name, sizeof line->display_name, spec->display_name[0] ? spec->display_name : "rocd");
    line->has_failed = false;
    if (line->stream && is_renamed)
        rename_line(line);
    else
        line_connect(line);
    virtual_tell(line);
}
