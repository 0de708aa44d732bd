/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/miniaudio/miniaudio_driver.h"

#include <stdlib.h>

#include "audio/miniaudio/miniaudio_priv.h"
#include "audio/spec.h"
#include "base/loop.h"
#include "model_gen.h"

/* None of the systems but Core Audio and WASAPI tells of new devices: they are listed again and again, on a worker. */
constexpr int64_t LOOK_NS = 3 * NS_PER_S;

struct look;

struct miniaudio {
    const struct backend *backend;
    const struct audio_host *host;
    const struct audio_watcher *watcher; /* nullptr: nobody watches */
    void *arg;
    struct loop_timer timer;
    struct look *look; /* under way, or nullptr */
    struct found known;
    bool has_verdict; /* the watcher was told how the driver is */
    struct err_info failure;
};

/* One listing of the devices. While it is under way it belongs to the worker, and may outlive the driver. */
struct look {
    struct miniaudio *driver; /* nullptr: destroyed in the meantime; core thread */
    const struct backend *backend;
    struct found known; /* a copy */
    struct found now;
    enum err result;
    struct err_info failure;
};

static bool copy_found(const struct found *from, struct found *to) {
    for (size_t i = 0; i < from->n; i++)
        if (!found_add(to, &from->devices[i]))
            return false;
    return true;
}

static void look_free(struct look *look) {
    if (!look)
        return;
    found_finish(&look->known);
    found_finish(&look->now);
    free(look);
}

/* Worker thread. */
static void look_work(void *arg) {
    struct look *look = arg;
    struct backend_context *context = nullptr;
    look->result = backend_open(look->backend, &context, &look->failure);
    if (look->result == ERR_OK)
        look->result = backend_list(context, &look->known, &look->now, &look->failure);
    if (look->result != ERR_OK)
        found_finish(&look->now);
    backend_close(context);
}

static void tell_driver(struct miniaudio *m, const struct err_info *failure) {
    bool is_news = !m->has_verdict || m->failure.code != failure->code;
    m->has_verdict = true;
    m->failure = *failure;
    if (is_news)
        m->watcher->driver(m->arg, &m->failure);
}

static void look_done(void *arg) {
    struct look *look = arg;
    struct miniaudio *m = look->driver;
    if (m) {
        m->look = nullptr;
        struct err_info failure = look->result == ERR_OK ? (struct err_info){} : look->failure;
        found_update(&m->known, &look->now, m->watcher, m->arg);
        tell_driver(m, &failure);
        loop_timer_start(m->host->loop, &m->timer, LOOK_NS);
    }
    look_free(look);
}

static void look_now(void *arg) {
    struct miniaudio *m = arg;
    struct look *look = calloc(1, sizeof *look);
    if (look)
        *look = (struct look){.driver = m, .backend = m->backend};
    if (!look || !copy_found(&m->known, &look->known) ||
        loop_work(m->host->loop, look_work, look_done, look) != ERR_OK) {
        look_free(look);
        loop_timer_start(m->host->loop, &m->timer, LOOK_NS);
        return;
    }
    m->look = look;
}

/* The first look is left to the timer: the watcher is not called from inside. */
static void miniaudio_watch(struct audio_driver_state *state, const struct audio_watcher *watcher, void *arg) {
    struct miniaudio *m = (struct miniaudio *)state;
    m->watcher = watcher;
    m->arg = arg;
    loop_timer_start(m->host->loop, &m->timer, 0);
}

enum err miniaudio_create(const struct audio_host *host, const struct backend *backend, struct audio_driver_state **ret,
                          struct err_info *reterr) {
    struct miniaudio *m = calloc(1, sizeof *m);
    if (!m)
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: the driver for %s could not be made", backend->title);
    m->backend = backend;
    m->host = host;
    m->timer = (struct loop_timer){.fire = look_now, .arg = m};
    *ret = (struct audio_driver_state *)m;
    return ERR_OK;
}

static enum err native_create(const struct audio_host *host, struct audio_driver_state **ret, struct err_info *reterr) {
    return miniaudio_create(host, &backend_native, ret, reterr);
}

static void miniaudio_destroy(struct audio_driver_state *state) {
    struct miniaudio *m = (struct miniaudio *)state;
    if (!m)
        return;
    if (m->watcher)
        loop_timer_stop(m->host->loop, &m->timer);
    if (m->look)
        m->look->driver = nullptr;
    found_finish(&m->known);
    free(m);
}

static enum err miniaudio_check(const struct endpoint_spec *spec, struct err_info *reterr) {
    enum err e = audio_spec_check_members(spec, reterr);
    if (e != ERR_OK)
        return e;
    if (spec->has_device != PRESENCE_VALUE)
        return err_set_at(reterr, ERR_INVALID, "/device",
                          "an endpoint of kind '%s' needs {\"system_name\": …}: rocd lists what there is",
                          endpoint_kind_name(spec->kind));
    if (spec->has_volume == PRESENCE_VALUE || spec->has_muted == PRESENCE_VALUE)
        return err_set_at(reterr, ERR_UNSUPPORTED, spec->has_volume == PRESENCE_VALUE ? "/volume" : "/muted",
                          "rocd does not set the mixer of this device: use a mixer of the system, or the gain of the "
                          "stream");
    enum audio_direction direction;
    bool is_default;
    ma_device_id id;
    bool is_input = spec->device.direction == DEVICE_DIRECTION_INPUT;
    if (!backend_parse(&backend_native, spec->device.system_name, &direction, &is_default, &id) ||
        is_default != (spec->kind == ENDPOINT_KIND_DEFAULT) || is_input != (direction == AUDIO_INPUT))
        return err_set_at(reterr, ERR_INVALID, "/device/system_name",
                          "'%s' is no name of an %s of kind '%s': there are 'default.output' and 'default.input', and "
                          "devices like 'output:hw:CARD=PCH,DEV=0'",
                          spec->device.system_name, is_input ? "input" : "output", endpoint_kind_name(spec->kind));
    return ERR_OK;
}

static enum audio_direction miniaudio_direction(const struct endpoint_spec *spec) {
    return spec->device.direction == DEVICE_DIRECTION_INPUT ? AUDIO_INPUT : AUDIO_OUTPUT;
}

static enum err miniaudio_open(struct audio_driver_state *state, const struct audio_host *host,
                               const struct audio_endpoint *endpoint, struct audio_stream **ret,
                               struct err_info *reterr) {
    return miniaudio_stream_open(((const struct miniaudio *)state)->backend, host, endpoint, ret, reterr);
}

const struct audio_driver audio_driver_alsa = {
    .name = "alsa",
    .summary = "loudspeakers and microphones where no PipeWire runs",
    .kinds = 1u << ENDPOINT_KIND_DEVICE | 1u << ENDPOINT_KIND_DEFAULT,
    .create = native_create,
    .destroy = miniaudio_destroy,
    .check = miniaudio_check,
    .direction = miniaudio_direction,
    .open = miniaudio_open,
    .watch = miniaudio_watch,
};
