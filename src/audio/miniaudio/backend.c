/* SPDX-License-Identifier: MPL-2.0 */
#include "audio/miniaudio/backend.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(MA_ENABLE_ALSA)
#include <dlfcn.h>
#endif

#include "model/maxima.h"
#include "model_gen.h"

/* ---- the rows ---- */

static const char *const NONE[] = {nullptr};

#if defined(MA_ENABLE_ALSA) || defined(MA_ENABLE_COREAUDIO)
static void text_name(const ma_device_id *id, char *ret, size_t size) {
    snprintf(ret, size, "%s", id->custom.s);
}

static bool text_parse(const char *name, ma_device_id *ret) {
    int len = snprintf(ret->custom.s, sizeof ret->custom.s, "%s", name);
    return len > 0 && (size_t)len < sizeof ret->custom.s;
}
#endif

#if defined(MA_ENABLE_WASAPI)
/* "{0.0.0.00000000}.{…}": all of it is ASCII. */
static void wide_name(const ma_device_id *id, char *ret, size_t size) {
    size_t n = 0;
    while (n + 1 < size && id->wasapi[n] > 0x20 && id->wasapi[n] < 0x7f) {
        ret[n] = (char)id->wasapi[n];
        n++;
    }
    ret[n] = 0;
}

static bool wide_parse(const char *name, ma_device_id *ret) {
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof ret->wasapi / sizeof *ret->wasapi)
        return false;
    for (size_t i = 0; i <= n; i++)
        ret->wasapi[i] = (ma_wchar_win32)name[i];
    return true;
}
#endif

/* Ids that are numbers: AAudio's, and that of the null device. */
static void number_name(const ma_device_id *id, char *ret, size_t size) {
    snprintf(ret, size, "%d", id->custom.i);
}

static bool number_parse(const char *name, ma_device_id *ret) {
    char *end = nullptr;
    long value = strtol(name, &end, 10);
    ret->custom.i = (int)value;
    return end != name && *end == 0 && value >= 0 && value <= INT32_MAX;
}

#if defined(MA_ENABLE_ALSA)
/* What alsa.conf and the plugins of distributions list beside devices: converters, doors to sound servers, and the default,
 * which has an endpoint of its own. "null" has no clock: a device thread that plays to it takes all of a processor. */
static const char *const ALSA_SKIP[] = {"null",      "default", "sysdefault", "lavrate",  "samplerate",
                                        "speexrate", "speex",   "upmix",      "vdownmix", "jack",
                                        "oss",       "pulse",   "pipewire",   "cards",    nullptr};

/* A card is listed a dozen times, by the plugins in front of it: the device itself is "hw:CARD=…,DEV=…". Names without
 * arguments are PCMs that somebody has set up. */
static bool alsa_is_device(const char *name) {
    return strncmp(name, "hw:", 3) == 0 || !strchr(name, ':');
}

static void alsa_say_nothing(const char *, int, const char *, int, const char *, va_list) {
}

/* alsa-lib says on stderr why a device cannot be opened, each time. Its handler for one thread leaves those of a program
 * that embeds us as they are. */
static void alsa_hush(ma_context *context) {
    typedef void (*handler_fn)(const char *, int, const char *, int, const char *, va_list);
    typedef handler_fn (*set_local_fn)(handler_fn);
    set_local_fn set_local = (set_local_fn)dlsym(context->alsa.asoundSO, "snd_lib_error_set_local");
    if (set_local)
        set_local(alsa_say_nothing);
}

const struct backend backend_native = {
    .id = ma_backend_alsa,
    .title = "ALSA",
    .what_to_do = "its library, libasound.so.2, is not installed (package libasound2)",
    .skip = ALSA_SKIP,
    .is_device = alsa_is_device,
    .name = text_name,
    .parse = text_parse,
    .noise = " (Direct hardware device without any conversions)",
    .hush = alsa_hush,
};
#elif defined(MA_ENABLE_COREAUDIO)
const struct backend backend_native = {.id = ma_backend_coreaudio,
                                       .title = "Core Audio",
                                       .what_to_do = "its frameworks could not be loaded",
                                       .skip = NONE,
                                       .name = text_name,
                                       .parse = text_parse};
#elif defined(MA_ENABLE_WASAPI)
const struct backend backend_native = {.id = ma_backend_wasapi,
                                       .title = "WASAPI",
                                       .what_to_do = "the Windows Audio service does not run",
                                       .skip = NONE,
                                       .name = wide_name,
                                       .parse = wide_parse};
#elif defined(MA_ENABLE_AAUDIO)
const struct backend backend_native = {.id = ma_backend_aaudio,
                                       .title = "AAudio",
                                       .what_to_do = "this Android is older than 8.1",
                                       .skip = NONE,
                                       .name = number_name,
                                       .parse = number_parse};
#endif

const struct backend backend_null = {.id = ma_backend_null,
                                     .title = "miniaudio's null device",
                                     .what_to_do = "that should not be possible",
                                     .skip = NONE,
                                     .name = number_name,
                                     .parse = number_parse};

/* ---- contexts ---- */

/* The text is for the sentence that tells of a failure. */
static void keep_said(struct backend_context *c, const char *message) {
    const char *text = message;
    if (*text == '[' && strchr(text, ']')) /* "[ALSA] snd_pcm_open() failed." */
        text = strchr(text, ']') + 1;
    snprintf(c->said, sizeof c->said, "%s", text + strspn(text, " "));
    c->said[strcspn(c->said, "\n")] = 0;
}

static void on_log(void *arg, ma_uint32 level, const char *message) {
    struct backend_context *c = arg;
    if (level > MA_LOG_LEVEL_WARNING)
        return;
    if (atomic_load_explicit(&c->is_live, memory_order_acquire))
        c->on_trouble(c->arg, message);
    else
        keep_said(c, message);
}

enum err backend_open(const struct backend *backend, struct backend_context **ret, struct err_info *reterr) {
    struct backend_context *c = calloc(1, sizeof *c);
    if (!c || ma_log_init(nullptr, &c->log) != MA_SUCCESS) {
        free(c);
        return err_set(reterr, ERR_NO_MEMORY, "out of memory: %s could not be asked for its devices", backend->title);
    }
    c->backend = backend;
    (void)ma_log_register_callback(&c->log, ma_log_callback_init(on_log, c));
    ma_context_config config = ma_context_config_init();
    config.pLog = &c->log;
    config.threadPriority = ma_thread_priority_normal; /* the driver raises it where it may */
    config.alsa.useVerboseDeviceEnumeration = MA_TRUE; /* names that stay the same, not numbers of cards */
    ma_result result = ma_context_init(&backend->id, 1, &config, &c->context);
    if (result != MA_SUCCESS) {
        ma_log_uninit(&c->log);
        free(c);
        return err_set(reterr, ERR_UNAVAILABLE, "%s cannot be reached: %s", backend->title, backend->what_to_do);
    }
    backend_hush(c);
    *ret = c;
    return ERR_OK;
}

void backend_close(struct backend_context *c) {
    if (!c)
        return;
    (void)ma_context_uninit(&c->context);
    ma_log_uninit(&c->log);
    free(c);
}

void backend_hush(struct backend_context *c) {
    if (c->backend->hush)
        c->backend->hush(&c->context);
}

enum err backend_error(const struct backend_context *c, ma_result result, const char *system_name,
                       struct err_info *reterr) {
    static const struct {
        ma_result result;
        enum err code;
        const char *sentence;
    } ROWS[] = {
        {MA_NO_DEVICE, ERR_NOT_FOUND, "it is not there: plug it in, or switch it on"},
        {MA_DOES_NOT_EXIST, ERR_NOT_FOUND, "it is not there: plug it in, or switch it on"},
        {MA_BUSY, ERR_BUSY, "another program uses it"},
        {MA_ACCESS_DENIED, ERR_DENIED, "the system refuses it to this user: is it in the group 'audio'?"},
        {MA_OUT_OF_MEMORY, ERR_NO_MEMORY, "out of memory"},
        {MA_FORMAT_NOT_SUPPORTED, ERR_UNSUPPORTED, "it knows no sample format that can be used"},
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++)
        if (ROWS[i].result == result)
            return err_set(reterr, ROWS[i].code, "'%s' cannot be opened: %s", system_name, ROWS[i].sentence);
    return err_set(reterr, ERR_IO, "'%s' cannot be opened: %s; %s says: %s", system_name, ma_result_description(result),
                   c->backend->title, c->said[0] ? c->said : "nothing");
}

/* ---- names ---- */

static const char *const PREFIX[] = {[AUDIO_INPUT] = "input:", [AUDIO_OUTPUT] = "output:"};
static const char *const DEFAULT_NAME[] = {[AUDIO_INPUT] = "default.input", [AUDIO_OUTPUT] = "default.output"};
static const char *const DEFAULT_TITLE[] = {[AUDIO_INPUT] = "Default input", [AUDIO_OUTPUT] = "Default output"};

bool backend_parse(const struct backend *backend, const char *system_name, enum audio_direction *ret_direction,
                   bool *ret_is_default, ma_device_id *ret_id) {
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++) {
        *ret_direction = (enum audio_direction)d;
        *ret_is_default = strcmp(system_name, DEFAULT_NAME[d]) == 0;
        if (*ret_is_default)
            return true;
        if (strncmp(system_name, PREFIX[d], strlen(PREFIX[d])) == 0)
            return backend->parse(system_name + strlen(PREFIX[d]), ret_id);
    }
    return false;
}

/* ---- devices ---- */

constexpr uint32_t PERIOD_MS = 10;
constexpr uint32_t N_PERIODS = 3;

ma_device_config backend_config(enum audio_direction direction, ma_device_id *id, struct audio_format format) {
    bool is_input = direction == AUDIO_INPUT;
    ma_device_config config = ma_device_config_init(is_input ? ma_device_type_capture : ma_device_type_playback);
    if (is_input) {
        config.capture.pDeviceID = id;
        config.capture.format = ma_format_f32;
        config.capture.channels = format.n_channels;
    } else {
        config.playback.pDeviceID = id;
        config.playback.format = ma_format_f32;
        config.playback.channels = format.n_channels;
    }
    config.sampleRate = format.rate_hz;
    config.periodSizeInFrames = format.rate_hz * PERIOD_MS / 1000;
    config.periods = N_PERIODS;
    config.noPreSilencedOutputBuffer = MA_TRUE;
    config.noClip = MA_TRUE;
    config.noFixedSizedCallback = MA_TRUE;
    config.performanceProfile = ma_performance_profile_low_latency;
    return config;
}

enum err backend_open_device(struct backend_context *c, const ma_device_config *config, const char *system_name,
                             ma_device *ret, struct audio_format *ret_format, struct err_info *reterr) {
    sigset_t all, before;
    sigfillset(&all); /* threads of a device get no signals: they belong to the program's own threads */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    ma_result result = ma_device_init(&c->context, config, ret);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (result != MA_SUCCESS)
        return backend_error(c, result, system_name, reterr);
    if (config->deviceType == ma_device_type_capture)
        *ret_format = (struct audio_format){ret->capture.internalSampleRate, ret->capture.internalChannels};
    else
        *ret_format = (struct audio_format){ret->playback.internalSampleRate, ret->playback.internalChannels};
    return ERR_OK;
}

/* ---- listing ---- */

struct listing {
    struct backend_context *c;
    const struct found *known;
    struct found *ret;
    bool has_default[2]; /* by enum audio_direction */
};

static bool is_shown(const struct backend *backend, const char *name) {
    for (const char *const *s = backend->skip; *s; s++)
        if (strcmp(*s, name) == 0)
            return false;
    return name[0] && (!backend->is_device || backend->is_device(name));
}

static void tidy(char *name, const char *noise) {
    size_t len = strlen(name), end = noise ? strlen(noise) : 0;
    if (end > 0 && len > end && strcmp(name + len - end, noise) == 0)
        name[len - end] = 0;
}

static ma_bool32 on_listed(ma_context *, ma_device_type type, const ma_device_info *info, void *arg) {
    struct listing *l = arg;
    const struct backend *backend = l->c->backend;
    char name[FOUND_SYSTEM_NAME_SIZE];
    struct found_device device = {.kind = ENDPOINT_KIND_DEVICE,
                                  .direction = type == ma_device_type_capture ? AUDIO_INPUT : AUDIO_OUTPUT};
    if (info->isDefault)
        l->has_default[device.direction] = true;
    backend->name(&info->id, name, sizeof name);
    int len = snprintf(device.system_name, sizeof device.system_name, "%s%s", PREFIX[device.direction], name);
    if (!is_shown(backend, name) || len < 0 || (size_t)len >= sizeof device.system_name)
        return MA_TRUE;
    device.is_default = info->isDefault;
    found_copy_name(device.display_name, info->name[0] ? info->name : name);
    tidy(device.display_name, backend->noise);
    bool has_room = l->ret->n + 2 < FOUND_MAX; /* the system's choices are not crowded out */
    return has_room && found_add(l->ret, &device) ? MA_TRUE : MA_FALSE;
}

/* What a device says that it can do is more than it can do itself: plugins of ALSA would resample, badly. So it is opened,
 * and not started, to see what comes nearest to what most sound is. A device that is busy exists; another one that cannot
 * be opened is shown with the reason. */
static void ask_format(struct backend_context *c, struct found_device *found, ma_device_id *id) {
    ma_device_config config = backend_config(found->direction, id, (struct audio_format){48000, 2});
    ma_device *device = calloc(1, sizeof *device);
    struct audio_format format = {};
    enum err e = ERR_NO_MEMORY;
    if (device)
        e = backend_open_device(c, &config, found->system_name, device, &format, &found->failure);
    if (e == ERR_OK)
        ma_device_uninit(device);
    if (e == ERR_BUSY || e == ERR_NO_MEMORY)
        found->failure = (struct err_info){};
    if (e == ERR_OK && format.n_channels <= LIMIT_CHANNELS && format.rate_hz >= 8000 && format.rate_hz <= 192'000)
        found->format = format;
    free(device);
}

/* What is known of a device is believed: to ask it again would be to open it again. */
static void complete(struct listing *l, struct found_device *device, bool may_have_changed) {
    const struct found_device *was = found_by_name(l->known, device->system_name);
    enum audio_direction direction;
    bool is_default;
    ma_device_id id = {};
    bool is_known = was && was->format.rate_hz > 0;
    if ((!is_known || may_have_changed) &&
        backend_parse(l->c->backend, device->system_name, &direction, &is_default, &id))
        ask_format(l->c, device, is_default ? nullptr : &id);
    if (is_known && device->format.rate_hz == 0 && device->failure.code == ERR_OK)
        device->format = was->format;
}

/* The system's choice is there if it can be opened, or somebody has it open. What it is may change with the devices. */
static void add_default(struct listing *l, enum audio_direction direction, bool may_have_changed) {
    struct found_device device = {.kind = ENDPOINT_KIND_DEFAULT, .direction = direction, .is_default = true};
    snprintf(device.system_name, sizeof device.system_name, "%s", DEFAULT_NAME[direction]);
    snprintf(device.display_name, sizeof device.display_name, "%s", DEFAULT_TITLE[direction]);
    complete(l, &device, may_have_changed);
    if (device.failure.code == ERR_OK)
        (void)found_add(l->ret, &device);
}

static bool are_other_devices(const struct found *a, const struct found *b) {
    for (size_t i = 0; i < a->n; i++)
        if (a->devices[i].kind == ENDPOINT_KIND_DEVICE && !found_by_name(b, a->devices[i].system_name))
            return true;
    return false;
}

enum err backend_list(struct backend_context *c, const struct found *known, struct found *ret,
                      struct err_info *reterr) {
    struct listing l = {.c = c, .known = known, .ret = ret};
    ma_result result = ma_context_enumerate_devices(&c->context, on_listed, &l);
    if (result != MA_SUCCESS)
        return err_set(reterr, ERR_UNAVAILABLE, "%s does not list its devices: %s", c->backend->title,
                       ma_result_description(result));
    for (size_t i = 0; i < ret->n; i++)
        complete(&l, &ret->devices[i], false);
    bool have_changed = are_other_devices(ret, known) || are_other_devices(known, ret);
    for (int d = AUDIO_INPUT; d <= AUDIO_OUTPUT; d++)
        if (l.has_default[d])
            add_default(&l, (enum audio_direction)d, have_changed);
    return ERR_OK;
}
