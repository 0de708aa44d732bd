/* SPDX-License-Identifier: MPL-2.0 */
#include "app/app.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "api/api.h"
#include "api/serve.h"
#include "app/driver_choice.h"
#include "app/identity.h"
#include "app/peering.h"
#include "app/site.h"
#include "app/version.h"
#include "audio/driver.h"
#include "base/crypto.h"
#include "base/loop_uv.h"
#include "http/http.h"
#include "media/engine.h"
#include "orchestrator/orchestrator.h"
#include "os/thread.h"
#include "store/store.h"
#include "transport/codec.h"

struct app {
    struct log log;
    struct loop_uv *loop; /* borrowed */
    struct identity identity;
    struct peering peering;
    struct roster roster; /* the other peers of the site */
    struct audio_host host;
    const char *drivers[DRIVER_CHOICE_MAX + 1];
    struct store *store;
    struct codec *codec;
    struct engine *engine;
    struct orchestrator *orchestrator;
    struct api *api;
    struct serve *serve; /* nullptr: a site of one */
    struct http *http;
    char address[128];

    void (*stopped)(void *arg);
    void *stopped_arg;
};

/* mkdir -p, the last part 0700 where it holds secrets. */
static enum err make_dir(const char *path, mode_t mode, const char *what, struct err_info *reterr) {
    char part[4096];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return err_set(reterr, ERR_INVALID, "the name of %s is empty or too long", what);
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, i == n ? mode : 0755) && errno != EEXIST)
            return err_set_errno(reterr, errno, "making %s, %s", what, part);
    }
    struct stat st;
    if (stat(path, &st))
        return err_set_errno(reterr, errno, "%s, %s", what, path);
    if (!S_ISDIR(st.st_mode))
        return err_set(reterr, ERR_INVALID, "%s, %s, is a file: name a directory", what, path);
    return ERR_OK;
}

static void on_engine_event(void *arg, const struct engine_event *event);

/* What must survive, and who we are and with whom. */
static enum err open_store(struct app *app, const struct config *config, struct err_info *reterr) {
    enum err e = make_dir(config->state_dir, 0700, "the state directory", reterr);
    if (e == ERR_OK)
        e = make_dir(config->media_dir, 0755, "the media directory", reterr);
    if (e == ERR_OK) /* its lock also guards the key */
        e = store_sqlite_open(config->state_dir, loop_uv_loop(app->loop), (struct log){app->log.sink, "store"},
                              &app->store, reterr);
    if (e == ERR_OK)
        e = identity_load(config->state_dir, &app->identity, reterr);
    if (e == ERR_OK)
        e = site_roster(config, app->identity.key.public_key, &app->roster, reterr);
    return e;
}

static enum err open_sound(struct app *app, const struct config *config, struct err_info *reterr) {
    struct loop *loop = loop_uv_loop(app->loop);
    app->host = (struct audio_host){.log = {app->log.sink, "audio"},
                                    .clock = loop->clock,
                                    .loop = loop,
                                    .media_dir = config->media_dir,
                                    .realtime = config->audio.realtime};
    enum err e = driver_choice(config->audio.driver, audio_drivers, driver_choice_has_pipewire(), app->drivers, reterr);
    if (e == ERR_OK)
        e = roc_codec_create((struct log){app->log.sink, "roc"}, &app->codec, reterr);
    if (e != ERR_OK)
        return e;
    const struct engine_config engine = {
        .log = {app->log.sink, "media"},
        .clock = loop->clock,
        .loop = loop,
        .codec = app->codec,
        .n_threads = config->audio.threads,
        .realtime = config->audio.realtime,
    };
    return engine_create(&engine, on_engine_event, app, &app->engine, reterr);
}

static enum err open_orchestrator(struct app *app, const struct config *config, struct err_info *reterr) {
    const struct orchestrator_config orchestrator = {
        .log = {app->log.sink, "streams"},
        .loop = loop_uv_loop(app->loop),
        .store = app->store,
        .engine = app->engine,
        .host = &app->host,
        .peer_uid = app->identity.peer_uid,
        .node_id = app->identity.node_id,
        .peer_name = config->name,
        .address = config->http.address,
        .version = ROCD_VERSION,
        .roc_port_min = (uint16_t)config->roc.port_min,
        .roc_port_max = (uint16_t)config->roc.port_max,
        .drivers = app->drivers,
        .links = app->peering.links,
        .roster = &app->roster,
        .media_port = app->peering.port,
        .key = &app->identity.key,
        .lacks_realtime = config->audio.realtime && !thread_may_become_realtime(),
    };
    if (orchestrator.lacks_realtime)
        log_info(orchestrator.log,
                 "audio threads run without real-time scheduling, which the system refuses; see /readyz");
    enum err e = orchestrator_create(&orchestrator, &app->orchestrator, reterr);
    if (e == ERR_OK)
        e = orchestrator_start(app->orchestrator, reterr);
    return e;
}

/* As it was given, with the port that is really open. */
static void tell_address(struct app *app, const char *address) {
    char text[sizeof((struct peer *)nullptr)->address];
    const char *colon = strrchr(address, ':');
    if (colon) {
        snprintf(text, sizeof text, "%.*s:%u", (int)(colon - address), address, (unsigned)http_port(app->http));
        orchestrator_set_address(app->orchestrator, text);
    }
}

static enum err open_face(struct app *app, const struct config *config, struct err_info *reterr) {
    const struct api_config api = {.orchestrator = app->orchestrator,
                                   .log = {app->log.sink, "api"},
                                   .libroc_version = roc_codec_version(),
                                   .key = &app->identity.key};
    enum err e = api_create(&api, &app->api, reterr);
    if (e != ERR_OK)
        return e;
    const struct http_config http = {.address = config->http.address, .socket_path = config->http.socket};
    e = http_start(&http, app->loop, app->api, (struct log){app->log.sink, "http"}, &app->http, reterr);
    if (e == ERR_OK)
        tell_address(app, config->http.address);
    const struct serve_config serve = {.log = {app->log.sink, "links"}, .api = app->api, .links = app->peering.links};
    if (e == ERR_OK && serve.links)
        e = serve_create(&serve, &app->serve, reterr);
    if (e == ERR_OK)
        e = peering_start(&app->peering, reterr);
    return e;
}

enum err app_create(const struct config *config, struct loop_uv *loop, struct log_sink *sink, struct app **ret,
                    struct err_info *reterr) {
    struct app *app = calloc(1, sizeof *app);
    if (!app)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory while starting");
    *app = (struct app){.log = {sink, "app"}, .loop = loop};
    enum err e = crypto_init(reterr);
    if (e == ERR_OK)
        e = open_store(app, config, reterr);
    if (e == ERR_OK)
        e = open_sound(app, config, reterr);
    if (e == ERR_OK)
        e = peering_open(config, &app->identity, &app->roster, app->loop, app->log.sink, &app->peering, reterr);
    if (e == ERR_OK)
        e = open_orchestrator(app, config, reterr);
    if (e == ERR_OK)
        e = open_face(app, config, reterr);
    if (e != ERR_OK) {
        app_destroy(app);
        return e;
    }
    log_info(app->log, "rocd is up", LOG_STR("version", ROCD_VERSION), LOG_STR("libroc", roc_codec_version()),
             LOG_STR("peer", app->identity.peer_uid), LOG_STR("name", config->name),
             LOG_STR("state", config->state_dir), LOG_STR("media", config->media_dir));
    *ret = app;
    return ERR_OK;
}

static void on_engine_event(void *arg, const struct engine_event *event) {
    struct app *app = arg;
    if (app->orchestrator)
        orchestrator_on_engine_event(app->orchestrator, event);
}

static void on_orchestrator_stopped(void *arg) {
    struct app *app = arg;
    app->stopped(app->stopped_arg);
}

void app_stop(struct app *app, void (*done)(void *arg), void *arg) {
    log_info(app->log, "stopping");
    app->stopped = done;
    app->stopped_arg = arg;
    http_stop(app->http);
    app->http = nullptr;
    orchestrator_stop(app->orchestrator, on_orchestrator_stopped, app);
}

void app_destroy(struct app *app) {
    if (!app)
        return;
    http_stop(app->http);
    if (app->store) /* the answers to what is under way come while there is still somebody to hear them */
        app->store->ops->flush(app->store);
    api_destroy(app->api);
    orchestrator_destroy(app->orchestrator);
    app->orchestrator = nullptr;
    peering_close_links(&app->peering);
    serve_destroy(app->serve);
    engine_destroy(app->engine);
    peering_close(&app->peering);
    if (app->codec)
        app->codec->ops->close(app->codec);
    if (app->store)
        app->store->ops->close(app->store);
    roster_finish(&app->roster);
    identity_finish(&app->identity);
    free(app);
}

const char *app_peer_uid(const struct app *app) {
    return app->identity.peer_uid;
}

uint16_t app_http_port(const struct app *app) {
    return http_port(app->http);
}
