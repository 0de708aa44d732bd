/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/pipewire/pipewire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "audio/pipewire/pipewire_priv.h"
#include "audio/spec.h"

enum command_kind { COMMAND_WATCH, COMMAND_VOLUME, COMMAND_EXPOSE, COMMAND_WITHDRAW, COMMAND_PERIOD };

/* What the core wants. It is carried out by PipeWire's thread, in order. */
struct command {
    struct list_link link;
    enum command_kind kind;
    char name[NEWS_SYSTEM_NAME_SIZE]; /* a uid or a system_name */
    struct volume_wish wish;
    struct endpoint_spec spec;
    int64_t period_ns;
};

/* Cuts at a character's boundary; what is no UTF-8 or no text for one line becomes '?'. */
void copy_text(char *to, size_t size, const char *from) {
    size_t len = 0;
    for (const unsigned char *p = (const unsigned char *)(from ? from : ""); *p;) {
        size_t n = *p < 0x80                 ? 1
                   : *p >= 0xc2 && *p < 0xe0 ? 2
                   : *p >= 0xe0 && *p < 0xf0 ? 3
                   : *p >= 0xf0 && *p < 0xf5 ? 4
                                             : 0;
        size_t more = 1;
        while (more < n && (p[more] & 0xc0) == 0x80)
            more++;
        bool is_good = n > 0 && more == n && *p >= 0x20 && *p != 0x7f && !(*p == 0xe0 && p[1] < 0xa0) &&
                       !(*p == 0xed && p[1] >= 0xa0) && !(*p == 0xf0 && p[1] < 0x90) && !(*p == 0xf4 && p[1] >= 0x90);
        size_t step = is_good ? n : 1;
        if (len + step >= size)
            break;
        if (is_good)
            memcpy(to + len, p, n);
        else
            to[len] = '?';
        len += step;
        p += step;
    }
    memset(to + len, 0, size - len);
}

/* ---- commands ---- */

static void run_command(struct pipewire *pw, const struct command *c) {
    struct graph_node *node;
    struct line *line;
    enum audio_direction direction;
    switch (c->kind) {
    case COMMAND_WATCH:
        pw->is_watched = true;
        connection_tell(pw);
        graph_tell_all(pw);
        break;
    case COMMAND_VOLUME:
        node = defaults_find(c->name, &direction) ? defaults_node(pw, direction) : graph_find(pw, c->name);
        line = strncmp(c->name, "rocd.", 5) == 0 ? virtual_find(pw, c->name + 5) : nullptr;
        if (line && (!node || node->is_ours))
            virtual_set_volume(line, &c->wish);
        else if (node)
            volume_wish(node, &c->wish);
        break;
    case COMMAND_EXPOSE:
        virtual_expose(pw, c->name, &c->spec);
        break;
    case COMMAND_WITHDRAW:
        virtual_withdraw(pw, c->name);
        break;
    case COMMAND_PERIOD:
        list_for_each(line, &pw->lines, link) {
            if (line->is_open && strcmp(line->opened_uid, c->name) == 0)
                line_set_period(line, c->period_ns);
        }
        break;
    }
}

void pipewire_run_commands(struct pipewire *pw) {
    for (;;) {
        pthread_mutex_lock(&pw->commands_lock);
        struct command *c = list_first(&pw->commands, struct command, link);
        if (c)
            list_remove(&c->link);
        pthread_mutex_unlock(&pw->commands_lock);
        if (!c)
            break;
        run_command(pw, c);
        free(c);
    }
    news_retry(pw->news);
}

static void on_commands(void *arg, uint64_t) {
    pipewire_run_commands(arg);
}

static void post(struct audio_driver_state *state, const struct command *command) {
    struct pipewire *pw = (struct pipewire *)state;
    struct command *c = malloc(sizeof *c);
    if (!c) {
        log_error(pw->log, "out of memory: a wish has been lost", LOG_STR("device", command->name));
        return;
    }
    *c = *command;
    c->link = (struct list_link){};
    pthread_mutex_lock(&pw->commands_lock);
    list_append(&pw->commands, &c->link);
    pthread_mutex_unlock(&pw->commands_lock);
    pw_loop_signal_event(pw->loop, pw->command_event);
}

static void pipewire_watch(struct audio_driver_state *state, const struct audio_watcher *watcher, void *arg) {
    news_watch(((struct pipewire *)state)->news, watcher, arg);
    post(state, &(struct command){.kind = COMMAND_WATCH});
}

static void pipewire_set_volume(struct audio_driver_state *state, const char *system_name, const double *volume,
                                const bool *is_muted) {
    struct command c = {.kind = COMMAND_VOLUME,
                        .wish = {.has_volume = volume != nullptr, .has_muted = is_muted != nullptr}};
    if (volume)
        c.wish.volume = *volume;
    if (is_muted)
        c.wish.is_muted = *is_muted;
    snprintf(c.name, sizeof c.name, "%s", system_name);
    post(state, &c);
}

static void pipewire_expose(struct audio_driver_state *state, const struct audio_endpoint *endpoint) {
    struct command c = {.kind = COMMAND_EXPOSE, .spec = *endpoint->spec};
    snprintf(c.name, sizeof c.name, "%s", endpoint->uid);
    post(state, &c);
}

static void pipewire_withdraw(struct audio_driver_state *state, const char *uid) {
    struct command c = {.kind = COMMAND_WITHDRAW};
    snprintf(c.name, sizeof c.name, "%s", uid);
    post(state, &c);
}

static void pipewire_set_period(struct audio_driver_state *state, const char *uid, int64_t period_ns) {
    struct command c = {.kind = COMMAND_PERIOD, .period_ns = period_ns};
    snprintf(c.name, sizeof c.name, "%s", uid);
    post(state, &c);
}

/* ---- life ---- */

static void pipewire_destroy(struct audio_driver_state *state) {
    struct pipewire *pw = (struct pipewire *)state;
    if (!pw)
        return;
    if (pw->thread) {
        pw_thread_loop_stop(pw->thread); /* without its lock: the thread may be waiting for it */
        pw->is_watched = false;
        struct line *line;
        connection_stop(pw);
        list_for_each_safe(line, &pw->lines, link) line_unref(line);
        if (pw->command_event)
            pw_loop_destroy_source(pw->loop, pw->command_event);
        pw_thread_loop_destroy(pw->thread);
    }
    struct command *command;
    list_for_each_safe(command, &pw->commands, link) free(command);
    pthread_mutex_destroy(&pw->commands_lock);
    map_finish(&pw->node_keys);
    news_destroy(pw->news);
    free(pw);
    pw_deinit();
}

static enum err pipewire_create(const struct audio_host *host, struct audio_driver_state **ret,
                                struct err_info *reterr) {
    pw_init(nullptr, nullptr); /* counted, as is pw_deinit() */
    struct pipewire *pw = calloc(1, sizeof *pw);
    if (!pw) {
        pw_deinit();
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the PipeWire driver could not be made");
    }
    pw->host = host;
    pw->log = (struct log){.sink = host->log.sink, .topic = "pipewire"};
    uid_random(pw->instance);
    list_init(&pw->commands);
    list_init(&pw->nodes);
    list_init(&pw->graph_waiting);
    list_init(&pw->cards);
    list_init(&pw->lines);
    pthread_mutex_init(&pw->commands_lock, nullptr);
    pw->news = news_create(host);
    pw->thread = pw_thread_loop_new("rocd-pipewire", nullptr);
    if (pw->thread) {
        pw->loop = pw_thread_loop_get_loop(pw->thread);
        pw->command_event = pw_loop_add_event(pw->loop, on_commands, pw);
    }
    if (!pw->news || !pw->thread || !pw->command_event) {
        pipewire_destroy((struct audio_driver_state *)pw);
        return err_set(
            reterr, ERR_UNAVAILABLE,
            "PipeWire's library could not be started: are its plugins installed (package libpipewire-0.3-modules)?");
    }
    connection_start(pw);
    if (pw_thread_loop_start(pw->thread) < 0) {
        pipewire_destroy((struct audio_driver_state *)pw);
        return err_set(reterr, ERR_NO_MEMORY, "the system gave no thread to PipeWire");
    }
    *ret = (struct audio_driver_state *)pw;
    return ERR_OK;
}

static enum err pipewire_check(const struct endpoint_spec *spec, struct err_info *reterr) {
    enum err e = audio_spec_check_members(spec, reterr);
    if (e != ERR_OK)
        return e;
    bool is_found = spec->kind == ENDPOINT_KIND_DEVICE || spec->kind == ENDPOINT_KIND_DEFAULT;
    if (is_found && spec->has_device != PRESENCE_VALUE)
        return err_set_at(reterr, ERR_INVALID, "/device",
                          "an endpoint of kind %s needs {\"system_name\": …}: rocd lists "
                          "what there is",
                          endpoint_kind_name(spec->kind));
    enum audio_direction direction;
    if (spec->kind == ENDPOINT_KIND_DEFAULT &&
        (!defaults_find(spec->device.system_name, &direction) ||
         (direction == AUDIO_INPUT) != (spec->device.direction == DEVICE_DIRECTION_INPUT)))
        return err_set_at(reterr, ERR_INVALID, "/device/system_name",
                          "there are 'default.output' for the direction output, and 'default.input' for input");
    return ERR_OK;
}

static enum audio_direction pipewire_direction(const struct endpoint_spec *spec) {
    if (spec->kind == ENDPOINT_KIND_VIRTUAL_SPEAKER)
        return AUDIO_INPUT; /* what programs play to it can be streamed */
    if (spec->kind == ENDPOINT_KIND_VIRTUAL_MICROPHONE)
        return AUDIO_OUTPUT;
    return spec->device.direction == DEVICE_DIRECTION_INPUT ? AUDIO_INPUT : AUDIO_OUTPUT;
}

const struct audio_driver audio_driver_pipewire = {
    .name = "pipewire",
    .summary = "loudspeakers and microphones of the desktop, and virtual ones that its programs see",
    .kinds = 1u << ENDPOINT_KIND_DEVICE | 1u << ENDPOINT_KIND_DEFAULT | 1u << ENDPOINT_KIND_VIRTUAL_SPEAKER |
             1u << ENDPOINT_KIND_VIRTUAL_MICROPHONE,
    .create = pipewire_create,
    .destroy = pipewire_destroy,
    .check = pipewire_check,
    .direction = pipewire_direction,
    .open = pipewire_open,
    .watch = pipewire_watch,
    .set_volume = pipewire_set_volume,
    .expose = pipewire_expose,
    .withdraw = pipewire_withdraw,
    .set_period = pipewire_set_period,
};
