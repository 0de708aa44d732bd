/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spa/param/audio/format-utils.h>
#include <spa/param/audio/type-info.h>

#include "audio/pipewire/pipewire_priv.h"
#include "base/alloc.h"
#include "base/clock.h"

/*
 * One pw_stream that is wished for. It is made anew whenever the server returns; the ring and the counters stay, so that
 * whoever has the endpoint open only sees it stand still for a while.
 *
 * A stream of a device is pinned to it by name: if the device is missing it waits, and plays nowhere else. (Without
 * `node.linger` the session manager would end it, without `node.dont-fallback` it would play on the default device.) The
 * stream of a default endpoint has no target: the session manager connects it to its choice, and moves it.
 */

static const uint32_t LAYOUTS[][8] = {
    {SPA_AUDIO_CHANNEL_MONO},
    {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR},
    {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR, SPA_AUDIO_CHANNEL_LFE},
    {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR, SPA_AUDIO_CHANNEL_RL, SPA_AUDIO_CHANNEL_RR},
    {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR, SPA_AUDIO_CHANNEL_FC, SPA_AUDIO_CHANNEL_RL, SPA_AUDIO_CHANNEL_RR},
    {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR, SPA_AUDIO_CHANNEL_FC, SPA_AUDIO_CHANNEL_LFE, SPA_AUDIO_CHANNEL_RL,
     SPA_AUDIO_CHANNEL_RR},
    {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR, SPA_AUDIO_CHANNEL_FC, SPA_AUDIO_CHANNEL_LFE, SPA_AUDIO_CHANNEL_RC,
     SPA_AUDIO_CHANNEL_SL, SPA_AUDIO_CHANNEL_SR},
    {SPA_AUDIO_CHANNEL_FL, SPA_AUDIO_CHANNEL_FR, SPA_AUDIO_CHANNEL_FC, SPA_AUDIO_CHANNEL_LFE, SPA_AUDIO_CHANNEL_RL,
     SPA_AUDIO_CHANNEL_RR, SPA_AUDIO_CHANNEL_SL, SPA_AUDIO_CHANNEL_SR},
};

static uint32_t position(uint32_t n_channels, uint32_t channel) {
    return n_channels <= sizeof LAYOUTS / sizeof *LAYOUTS ? LAYOUTS[n_channels - 1][channel]
                                                          : SPA_AUDIO_CHANNEL_AUX0 + channel;
}

/* "FL,FR" */
static void position_text(uint32_t n_channels, char *text, size_t size) {
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t c = 0; c < n_channels && len < size; c++)
        len += (size_t)snprintf(text + len, size - len, "%s%s", c > 0 ? "," : "",
                                spa_type_audio_channel_to_short_name(position(n_channels, c)));
}

static const struct spa_pod *build_format(struct spa_pod_builder *b, struct audio_format format) {
    struct spa_audio_info_raw info = {
        .format = SPA_AUDIO_FORMAT_F32, .rate = format.rate_hz, .channels = format.n_channels};
    for (uint32_t c = 0; c < format.n_channels && c < SPA_AUDIO_MAX_CHANNELS; c++)
        info.position[c] = position(format.n_channels, c);
    return spa_format_audio_raw_build(b, SPA_PARAM_EnumFormat, &info);
}

/* ---- what the server says of it ---- */

/* The stream ended: removed by somebody, refused, or the connection is lost. Which of them shows when the server answers. */
static void on_state(void *arg, enum pw_stream_state, enum pw_stream_state state, const char *error) {
    struct line *line = arg;
    if (state != PW_STREAM_STATE_ERROR && state != PW_STREAM_STATE_UNCONNECTED)
        return;
    if (line->ended_seq != 0 || line->pw->is_lost)
        return;
    copy_text(line->ended_why, sizeof line->ended_why, error ? error : "");
    line->ended_seq = connection_sync(line->pw);
}

static void on_param(void *arg, uint32_t id, const struct spa_pod *param) {
    struct line *line = arg;
    if (line->kind == LINE_VIRTUAL && id == SPA_PARAM_Props && param)
        virtual_on_props(line, param);
}

static const struct pw_stream_events STREAM_EVENTS = {
    .version = PW_VERSION_STREAM_EVENTS, .state_changed = on_state, .param_changed = on_param};
static const struct pw_stream_events RT_EVENTS = {.version = PW_VERSION_STREAM_EVENTS, .process = device_rt_process};

static void has_ended(struct line *line) {
    struct err_info failure = {};
    char why[sizeof line->ended_why];
    memcpy(why, line->ended_why, sizeof why);
    line_disconnect(line);
    if (line->kind == LINE_VIRTUAL) {
        virtual_was_removed(line, why);
        return;
    }
    (void)err_set(&failure, ERR_UNAVAILABLE, "PipeWire has ended the stream to or from '%s'%s%s",
                  line->kind == LINE_DEFAULT ? "the default device" : line->target, why[0] ? ": " : "", why);
    line_fail(line, &failure);
}

void lines_on_done(struct pipewire *pw, int seq) {
    struct line *line;
    list_for_each_safe(line, &pw->lines, link) if (line->ended_seq != 0 && seq - line->ended_seq >= 0) has_ended(line);
}

/* ---- connecting ---- */

static struct pw_properties *stream_properties(const struct line *line) {
    bool is_input = line->direction == AUDIO_INPUT;
    struct pw_properties *p = pw_properties_new(
        PW_KEY_MEDIA_TYPE, "Audio", PW_KEY_MEDIA_CATEGORY, is_input ? "Capture" : "Playback", PW_KEY_NODE_NAME,
        is_input ? "rocd-capture" : "rocd-playback", PW_KEY_NODE_DESCRIPTION, "rocd", "node.linger", "true", nullptr);
    if (p && line->kind == LINE_DEVICE)
        pw_properties_update(p, &SPA_DICT_INIT_ARRAY(((struct spa_dict_item[]){{PW_KEY_TARGET_OBJECT, line->target},
                                                                               {"node.dont-fallback", "true"}})));
    return p;
}

static struct pw_properties *virtual_properties(const struct line *line, const char *description) {
    char name[NEWS_SYSTEM_NAME_SIZE], positions[128];
    virtual_node_name(line, name);
    position_text(line->format.n_channels, positions, sizeof positions);
    /* A stream whose class is Audio/Source/Virtual would be given the wrong ports by the session manager. */
    struct pw_properties *p =
        pw_properties_new(PW_KEY_NODE_NAME, name, PW_KEY_NODE_DESCRIPTION, description, PW_KEY_MEDIA_CLASS,
                          line->direction == AUDIO_INPUT ? "Audio/Sink" : "Audio/Source", PW_KEY_NODE_VIRTUAL, "true",
                          "rocd.instance", line->pw->instance, "audio.position", positions, nullptr);
    if (p)
        pw_properties_setf(p, "audio.channels", "%u", line->format.n_channels);
    return p;
}

static uint32_t period_frames(const struct line *line) {
    return (uint32_t)((line->period_ns * line->format.rate_hz + NS_PER_S / 2) / NS_PER_S);
}

static struct pw_stream *make_stream(struct line *line, struct pw_properties *p) {
    if (!p)
        return nullptr;
    /* The session manager keeps volumes by the application's name: all of ours would get the same. */
    pw_properties_set(p, "state.restore-props", "false");
    pw_properties_set(p, "state.restore-target", "false");
    pw_properties_setf(p, PW_KEY_NODE_LATENCY, "%u/%u", period_frames(line), line->format.rate_hz);
    return pw_stream_new(line->pw->core, "rocd", p);
}

void line_connect(struct line *line) {
    char description[NEWS_DISPLAY_NAME_SIZE];
    bool is_virtual = line->kind == LINE_VIRTUAL;
    if (!line->pw->is_listed || line->stream || (is_virtual && !virtual_prepare(line, description)))
        return;
    uint8_t room[1024];
    struct spa_pod_builder b = SPA_POD_BUILDER_INIT(room, sizeof room);
    const struct spa_pod *params[] = {build_format(&b, line->format)};
    struct pw_stream *stream =
        make_stream(line, is_virtual ? virtual_properties(line, description) : stream_properties(line));
    struct err_info failure = {};
    if (!stream) {
        (void)err_set(&failure, ERR_NO_MEMORY, "out of memory: a stream of PipeWire could not be made");
        line_fail(line, &failure);
        return;
    }
    line->stream = line->rt.stream = stream;
    line->ended_seq = 0;
    pw_stream_add_listener(stream, &line->rt_hook, &RT_EVENTS, &line->rt);
    pw_stream_add_listener(stream, &line->stream_hook, &STREAM_EVENTS, line);
    /* rocd reads from what programs play to: PipeWire's direction is the stream's, as rocd's is. */
    int r =
        pw_stream_connect(stream, line->direction == AUDIO_INPUT ? PW_DIRECTION_INPUT : PW_DIRECTION_OUTPUT, PW_ID_ANY,
                          (is_virtual ? PW_STREAM_FLAG_NONE : PW_STREAM_FLAG_AUTOCONNECT) | PW_STREAM_FLAG_MAP_BUFFERS |
                              PW_STREAM_FLAG_RT_PROCESS,
                          params, 1);
    if (r < 0) {
        line_disconnect(line);
        (void)err_set_errno(&failure, -r, "PipeWire refused a stream of %u channels at %u Hz", line->format.n_channels,
                            line->format.rate_hz);
        line_fail(line, &failure);
    }
}

void line_set_period(struct line *line, int64_t period_ns) {
    line->period_ns = period_ns > 0 ? period_ns : LINE_PERIOD_NS;
    if (!line->stream)
        return;
    char text[32];
    snprintf(text, sizeof text, "%u/%u", period_frames(line), line->format.rate_hz);
    pw_stream_update_properties(line->stream,
                                &SPA_DICT_INIT_ARRAY(((struct spa_dict_item[]){{PW_KEY_NODE_LATENCY, text}})));
}

void line_disconnect(struct line *line) {
    if (!line->stream)
        return;
    spa_hook_remove(&line->stream_hook);
    pw_stream_destroy(line->stream); /* waits for the data thread; its callback is in rt_hook until then */
    line->stream = line->rt.stream = nullptr;
    line->ended_seq = 0;
}

void lines_connect(struct pipewire *pw) {
    struct line *line;
    for (int pass = 0; pass < 2; pass++)
        list_for_each(line, &pw->lines, link) if ((line->kind == LINE_VIRTUAL) == (pass == 0) && !line->has_failed)
            line_connect(line);
}

void lines_disconnect(struct pipewire *pw) {
    struct line *line;
    list_for_each(line, &pw->lines, link) {
        line_disconnect(line);
        if (line->kind == LINE_VIRTUAL)
            virtual_tell(line);
    }
}

/* ---- life ---- */

void line_fail(struct line *line, const struct err_info *failure) {
    if (line->has_failed)
        return;
    line->failure = *failure;
    line->has_failed = true;
}

struct line *line_create(struct pipewire *pw, enum line_kind kind, enum audio_direction direction,
                         struct audio_format format) {
    struct line *line = alloc_aligned(struct line);
    if (!line || !device_rt_init(&line->rt, direction, format)) {
        free(line);
        return nullptr;
    }
    line->pw = pw;
    line->kind = kind;
    line->n_refs = 1;
    line->direction = direction;
    line->format = format;
    line->period_ns = LINE_PERIOD_NS;
    list_append(&pw->lines, &line->link);
    return line;
}

void line_unref(struct line *line) {
    if (!line || --line->n_refs > 0)
        return;
    line_disconnect(line);
    list_remove(&line->link);
    device_rt_finish(&line->rt);
    free(line);
}
