/* SPDX-License-Identifier: MPL-2.0 */
#include "app/settings.h"

#include <stdlib.h>
#include <string.h>

#include "app/site.h"
#include "rocd/rocd.h"

static bool keep(char **to, const char *text) {
    *to = text ? strdup(text) : nullptr;
    return !text || *to;
}

static enum log_level parse_level(const char *name) {
    for (int level = LOG_LEVEL_ERROR; level < LOG_LEVEL_TRACE; level++)
        if (strcmp(log_level_name((enum log_level)level), name) == 0)
            return (enum log_level)level;
    return LOG_LEVEL_TRACE; /* config_set has checked the word */
}

/* All that can be known without the key of this peer. */
static enum err check_site(const struct config *config, struct err_info *reterr) {
    struct roster roster = {};
    enum err e = crypto_init(reterr);
    if (e == ERR_OK)
        e = site_roster(config, nullptr, &roster, reterr);
    roster_finish(&roster);
    return e;
}

/* From config_path and flags, which are there. */
static enum err build(struct settings *s, struct err_info *reterr) {
    enum err e = config_defaults(&s->config, reterr);
    if (e == ERR_OK && s->config_path)
        e = config_load(&s->config, s->config_path, reterr);
    for (int key = 0; e == ERR_OK && key < CONFIG_N_KEYS; key++)
        if (s->flags[key])
            e = config_set(&s->config, (enum config_key)key, s->flags[key], reterr);
    if (e == ERR_OK)
        e = config_check(&s->config, reterr);
    if (e == ERR_OK)
        e = check_site(&s->config, reterr);
    if (e == ERR_OK)
        s->log_level = parse_level(s->config.log.level);
    return e;
}

enum err settings_load(const struct rocd_options *options, struct settings *ret, struct err_info *reterr) {
    if (options->size < sizeof *options)
        return err_set(
            reterr, ERR_INVALID,
            "rocd_options.size is %zu, less than this library knows (%zu): set it to sizeof(struct rocd_options)",
            options->size, sizeof *options);
    const char *level = options->log_level > 0 && options->log_level <= LOG_LEVEL_TRACE + 1
                            ? log_level_name((enum log_level)(options->log_level - 1))
                            : nullptr;
    *ret = (struct settings){};
    bool kept = keep(&ret->config_path, options->config_path) &&
                keep(&ret->flags[CONFIG_STATE_DIR], options->state_dir) &&
                keep(&ret->flags[CONFIG_MEDIA_DIR], options->media_dir) &&
                keep(&ret->flags[CONFIG_HTTP_ADDRESS], options->http_address) &&
                keep(&ret->flags[CONFIG_HTTP_SOCKET], options->http_socket) &&
                keep(&ret->flags[CONFIG_SIGNALING_ADDRESS], options->signaling_address) &&
                keep(&ret->flags[CONFIG_MEDIA_ADDRESS], options->media_address) &&
                keep(&ret->flags[CONFIG_AUDIO_DRIVER], options->driver) && keep(&ret->flags[CONFIG_LOG_LEVEL], level);
    return kept ? build(ret, reterr) : err_set(reterr, ERR_NO_MEMORY, "out of memory while starting");
}

enum err settings_reload(const struct settings *before, struct settings *ret, struct err_info *reterr) {
    *ret = (struct settings){};
    bool kept = keep(&ret->config_path, before->config_path);
    for (int key = 0; kept && key < CONFIG_N_KEYS; key++)
        kept = keep(&ret->flags[key], before->flags[key]);
    enum err e = kept ? build(ret, reterr) : err_set(reterr, ERR_NO_MEMORY, "out of memory while reloading");
    if (e != ERR_OK)
        settings_finish(ret);
    return e;
}

void settings_finish(struct settings *settings) {
    config_finish(&settings->config);
    for (int key = 0; key < CONFIG_N_KEYS; key++)
        free(settings->flags[key]);
    free(settings->config_path);
    *settings = (struct settings){};
}

static bool same(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool same_peers(const struct config *a, const struct config *b) {
    if (a->site.n_peers != b->site.n_peers)
        return false;
    for (size_t i = 0; i < a->site.n_peers; i++) {
        const struct config_peer *x = &a->site.peers[i], *y = &b->site.peers[i];
        if (!same(x->id, y->id) || !same(x->address, y->address) || !same(x->role, y->role))
            return false;
    }
    return true;
}

bool settings_need_restart(const struct settings *a, const struct settings *b) {
    const struct config *x = &a->config, *y = &b->config;
    return !same(x->name, y->name) || !same(x->state_dir, y->state_dir) || !same(x->media_dir, y->media_dir) ||
           !same(x->http.address, y->http.address) || !same(x->http.socket, y->http.socket) ||
           !same(x->audio.driver, y->audio.driver) || x->audio.threads != y->audio.threads ||
           x->audio.realtime != y->audio.realtime || x->roc.port_min != y->roc.port_min ||
           x->roc.port_max != y->roc.port_max || !same(x->signaling.address, y->signaling.address) ||
           !same(x->media.address, y->media.address) || !same_peers(x, y);
}
