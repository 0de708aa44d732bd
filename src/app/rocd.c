/* SPDX-License-Identifier: MPL-2.0 */
#include "rocd/rocd.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "app/app.h"
#include "app/identity.h"
#include "app/settings.h"
#include "app/version.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/loop_uv.h"
#include "transport/codec.h"

/*
 * The embedding API: one thread per instance that makes the loop and the app, runs the loop, and takes both down. The
 * caller's threads only wait for it or post to it.
 */
struct rocd {
    struct settings settings;
    struct log_sink sink;
    rocd_log_fn log;
    void *log_arg;

    pthread_t thread;
    pthread_mutex_t lock; /* started, result, info */
    pthread_cond_t changed;
    bool started; /* the outcome of starting is known */
    enum err result;
    struct err_info info;

    struct loop_uv *loop; /* lives on the thread; loop_post() from others while started and not joined */
    struct app *app;
    char peer_uid[UID_SIZE];
    uint16_t http_port;
};

static void give_error(struct rocd_error *error, const struct err_info *info) {
    if (!error)
        return;
    error->code = err_name(info->code);
    size_t n = strnlen(info->message, sizeof error->message - 1);
    memcpy(error->message, info->message, n);
    error->message[n] = 0;
}

static void write_line(void *arg, enum log_level level, const char *line, size_t len) {
    struct rocd *rocd = arg;
    if (rocd->log)
        rocd->log(rocd->log_arg, (enum rocd_log_level)level, line, len);
    else
        log_write_stderr(nullptr, level, line, len);
}

static void announce(struct rocd *rocd, enum err result, const struct err_info *info) {
    pthread_mutex_lock(&rocd->lock);
    rocd->result = result;
    rocd->info = *info;
    rocd->started = true;
    pthread_cond_signal(&rocd->changed);
    pthread_mutex_unlock(&rocd->lock);
}

static void on_stopped(void *arg) {
    struct rocd *rocd = arg;
    loop_uv_stop(rocd->loop);
}

static void begin_stop(void *arg) {
    struct rocd *rocd = arg;
    app_stop(rocd->app, on_stopped, rocd);
}

static void *run(void *arg) {
    struct rocd *rocd = arg;
    struct err_info info = {};
    enum err e = loop_uv_create(&rocd->loop, &info);
    if (e == ERR_OK)
        e = app_create(&rocd->settings.config, rocd->loop, &rocd->sink, &rocd->app, &info);
    if (e == ERR_OK) {
        memcpy(rocd->peer_uid, app_peer_uid(rocd->app), UID_SIZE);
        rocd->http_port = app_http_port(rocd->app);
    }
    announce(rocd, e, &info);
    if (e == ERR_OK)
        loop_uv_run(rocd->loop);
    app_destroy(rocd->app);
    loop_uv_destroy(rocd->loop);
    return nullptr;
}

/* The instance's thread takes no signals: they are the program's. */
static int start_thread(struct rocd *rocd) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&rocd->thread, nullptr, run, rocd);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return r;
}

static void destroy(struct rocd *rocd) {
    settings_finish(&rocd->settings);
    log_sink_finish(&rocd->sink);
    pthread_cond_destroy(&rocd->changed);
    pthread_mutex_destroy(&rocd->lock);
    free(rocd);
}

struct rocd *rocd_start(const struct rocd_options *options, struct rocd_error *error) {
    struct err_info info = {};
    struct rocd *rocd = calloc(1, sizeof *rocd);
    if (!rocd) {
        (void)err_set(&info, ERR_NO_MEMORY, "out of memory while starting");
        give_error(error, &info);
        return nullptr;
    }
    rocd->log = options->log;
    rocd->log_arg = options->log_arg;
    pthread_mutex_init(&rocd->lock, nullptr);
    pthread_cond_init(&rocd->changed, nullptr);
    log_sink_init(&rocd->sink, LOG_LEVEL_INFO, write_line, rocd);

    enum err e = settings_load(options, &rocd->settings, &info);
    if (e == ERR_OK) {
        rocd->sink.level = rocd->settings.log_level;
        if (start_thread(rocd)) {
            e = err_set(&info, ERR_NO_MEMORY, "the system gave no thread to run in");
        } else {
            pthread_mutex_lock(&rocd->lock);
            while (!rocd->started)
                pthread_cond_wait(&rocd->changed, &rocd->lock);
            e = rocd->result;
            info = rocd->info;
            pthread_mutex_unlock(&rocd->lock);
            if (e != ERR_OK)
                pthread_join(rocd->thread, nullptr);
        }
    }
    if (e != ERR_OK) {
        info.code = e;
        give_error(error, &info);
        destroy(rocd);
        return nullptr;
    }
    return rocd;
}

void rocd_stop(struct rocd *rocd) {
    if (!rocd)
        return;
    while (loop_post(loop_uv_loop(rocd->loop), begin_stop, rocd) == ERR_LIMIT)
        sched_yield();
    pthread_join(rocd->thread, nullptr);
    destroy(rocd);
}

/* ---- reload ---- */

struct reload {
    struct rocd *rocd;
    struct settings settings; /* taken */
};

static void apply_reload(void *arg) {
    struct reload *reload = arg;
    struct rocd *rocd = reload->rocd;
    struct log log = {&rocd->sink, "app"};
    rocd->sink.level = reload->settings.log_level;
    if (settings_need_restart(&rocd->settings, &reload->settings))
        log_warn(log, "other settings than the log level have changed: they take effect at the next start");
    log_info(log, "configuration reloaded", LOG_STR("level", log_level_name(reload->settings.log_level)));
    settings_finish(&reload->settings);
    free(reload);
}

bool rocd_reload(struct rocd *rocd, struct rocd_error *error) {
    struct err_info info = {};
    struct reload *reload = calloc(1, sizeof *reload);
    enum err e = ERR_OK;
    if (!reload)
        e = err_set(&info, ERR_NO_MEMORY, "out of memory while reloading");
    if (e == ERR_OK)
        e = settings_reload(&rocd->settings, &reload->settings, &info);
    if (e == ERR_OK) {
        reload->rocd = rocd;
        e = loop_post(loop_uv_loop(rocd->loop), apply_reload, reload);
        if (e != ERR_OK) {
            e = err_set(&info, e, "the instance is too busy to reload: try again");
            settings_finish(&reload->settings);
        }
    }
    if (e == ERR_OK)
        return true;
    free(reload);
    give_error(error, &info);
    return false;
}

bool rocd_check_config(const struct rocd_options *options, void (*write)(void *arg, const char *text, size_t len),
                       void *arg, struct rocd_error *error) {
    struct err_info info = {};
    struct settings settings = {};
    enum err e = settings_load(options, &settings, &info);
    struct buf report = {};
    if (e == ERR_OK && !config_print(&settings.config, &report))
        e = err_set(&info, ERR_NO_MEMORY, "out of memory while printing the configuration");
    if (e == ERR_OK)
        write(arg, report.data, report.len);
    else
        give_error(error, &info);
    buf_finish(&report);
    settings_finish(&settings);
    return e == ERR_OK;
}

bool rocd_node_id(const struct rocd_options *options, char node_id[ROCD_NODE_ID_SIZE], struct rocd_error *error) {
    static_assert(ROCD_NODE_ID_SIZE == NODE_ID_SIZE);
    struct err_info info = {};
    struct settings settings = {};
    enum err e = settings_load(options, &settings, &info);
    if (e == ERR_OK)
        e = identity_tell(settings.config.state_dir, node_id, &info);
    if (e != ERR_OK)
        give_error(error, &info);
    settings_finish(&settings);
    return e == ERR_OK;
}

const char *rocd_peer_uid(const struct rocd *rocd) {
    return rocd->peer_uid;
}

uint16_t rocd_http_port(const struct rocd *rocd) {
    return rocd->http_port;
}

const char *rocd_version(void) {
    return ROCD_VERSION;
}

const char *rocd_roc_version(void) {
    return roc_codec_version();
}
