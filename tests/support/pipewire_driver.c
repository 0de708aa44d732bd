/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <pthread.h>
#include <yyjson.h>

#include "audio/pipewire/pipewire.h"
#include "base/crypto.h"
#include "base/log.h"
#include "base/loop_uv.h"
#include "model_gen.h"

/*
 * The PipeWire driver without the rest of rocd, for tests/scenario/test_pipewire_driver.py: what a watcher is told goes to the
 * standard output, one JSON object a line, and lines from the standard input say what to do (see COMMANDS). Each open stream
 * has a thread that moves frames as a media thread does.
 */

constexpr int OPENED_MAX = 16;
constexpr int64_t TICK_NS = 5'000'000;
constexpr size_t CHUNK_FRAMES = 4096;

enum duty { DUTY_NOTHING, DUTY_SINE, DUTY_PLAY, DUTY_RECORD };

struct opened {
    char tag[16];
    struct endpoint_spec spec;
    char uid[64];
    struct audio_stream *stream;
    struct err_info failure;
    pthread_t thread;
    pthread_mutex_t lock; /* protects what follows */
    enum duty duty;
    FILE *file;
    double phase, step;
    uint64_t n_moved, n_still;
    ptrdiff_t max_due;
    bool is_stopping;
};

struct program {
    struct loop_uv *uv;
    struct loop *loop;
    struct log_sink sink;
    struct audio_host host;
    struct audio_driver_state *driver;
    struct opened opened[OPENED_MAX];
};

static struct program program;

/* ---- what is printed ---- */

static void print_line(yyjson_mut_doc *doc) {
    char *text = yyjson_mut_write(doc, 0, nullptr);
    puts(text ? text : "{}");
    fflush(stdout);
    free(text);
    yyjson_mut_doc_free(doc);
}

static yyjson_mut_doc *new_line(const char *event, yyjson_mut_val **ret) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(nullptr);
    *ret = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, *ret);
    yyjson_mut_obj_add_strcpy(doc, *ret, "event", event);
    return doc;
}

static void add_failure(yyjson_mut_doc *doc, yyjson_mut_val *o, const struct err_info *failure) {
    yyjson_mut_obj_add_strcpy(doc, o, "failure", err_name(failure->code));
    yyjson_mut_obj_add_strcpy(doc, o, "message", failure->code ? failure->message : "");
}

static void print_device(const char *event, const struct audio_device *d) {
    yyjson_mut_val *o;
    yyjson_mut_doc *doc = new_line(event, &o);
    if (d->uid)
        yyjson_mut_obj_add_strcpy(doc, o, "uid", d->uid);
    yyjson_mut_obj_add_strcpy(doc, o, "system_name", d->system_name);
    yyjson_mut_obj_add_strcpy(doc, o, "display_name", d->display_name);
    yyjson_mut_obj_add_strcpy(doc, o, "kind", endpoint_kind_name((enum endpoint_kind)d->kind));
    yyjson_mut_obj_add_strcpy(doc, o, "direction", d->direction == AUDIO_INPUT ? "input" : "output");
    yyjson_mut_obj_add_uint(doc, o, "rate_hz", d->format.rate_hz);
    yyjson_mut_obj_add_uint(doc, o, "channels", d->format.n_channels);
    yyjson_mut_obj_add_bool(doc, o, "is_default", d->is_default);
    yyjson_mut_obj_add_bool(doc, o, "has_volume", d->has_volume);
    yyjson_mut_obj_add_real(doc, o, "volume", d->volume);
    yyjson_mut_obj_add_bool(doc, o, "muted", d->is_muted);
    add_failure(doc, o, &d->failure);
    print_line(doc);
}

static void on_device(void *, const struct audio_device *device) {
    print_device("device", device);
}

static void on_gone(void *, const struct audio_device *device) {
    print_device("gone", device);
}

static void on_driver(void *, const struct err_info *failure) {
    yyjson_mut_val *o;
    yyjson_mut_doc *doc = new_line("driver", &o);
    add_failure(doc, o, failure);
    print_line(doc);
}

static const struct audio_watcher WATCHER = {.device = on_device, .device_gone = on_gone, .driver = on_driver};

/* ---- media threads ---- */

static void fill(struct opened *s, float *frames, size_t n) {
    uint32_t n_channels = s->stream->format.n_channels;
    memset(frames, 0, n * n_channels * sizeof *frames);
    if (s->duty == DUTY_PLAY && s->file) {
        size_t got = fread(frames, n_channels * sizeof *frames, n, s->file);
        memset(frames + got * n_channels, 0, (n - got) * n_channels * sizeof *frames);
    }
    for (size_t i = 0; s->duty == DUTY_SINE && i < n; i++, s->phase += s->step)
        for (uint32_t c = 0; c < n_channels; c++)
            frames[i * n_channels + c] = (float)(0.25 * sin(2 * M_PI * s->phase));
}

static void move(struct opened *s, float *frames) {
    ptrdiff_t due = s->stream->ops->due(s->stream);
    if (due == AUDIO_STANDS_STILL) {
        s->n_still++;
        return;
    }
    s->max_due = due > s->max_due ? due : s->max_due;
    for (size_t left = (size_t)due; left > 0;) {
        size_t n = left < CHUNK_FRAMES ? left : CHUNK_FRAMES;
        if (s->stream->ops->read && audio_driver_pipewire.direction(&s->spec) == AUDIO_INPUT) {
            s->stream->ops->read(s->stream, frames, n);
            if (s->duty == DUTY_RECORD && s->file)
                fwrite(frames, s->stream->format.n_channels * sizeof *frames, n, s->file);
        } else {
            fill(s, frames, n);
            s->stream->ops->write(s->stream, frames, n);
        }
        s->n_moved += n;
        left -= n;
    }
}

static void *run_media(void *arg) {
    struct opened *s = arg;
    float *frames = calloc(CHUNK_FRAMES * s->stream->format.n_channels, sizeof *frames);
    for (bool is_stopping = false; frames && !is_stopping;) {
        pthread_mutex_lock(&s->lock);
        move(s, frames);
        is_stopping = s->is_stopping;
        pthread_mutex_unlock(&s->lock);
        nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, nullptr);
    }
    free(frames);
    return nullptr;
}

/* ---- commands ---- */

static struct opened *find(const char *tag) {
    for (int i = 0; i < OPENED_MAX; i++)
        if (strcmp(program.opened[i].tag, tag) == 0)
            return &program.opened[i];
    return nullptr;
}

static void print_result(const char *event, const char *tag, const struct err_info *failure) {
    yyjson_mut_val *o;
    yyjson_mut_doc *doc = new_line(event, &o);
    yyjson_mut_obj_add_strcpy(doc, o, "tag", tag);
    add_failure(doc, o, failure);
    print_line(doc);
}

static void work_open(void *arg) {
    struct opened *s = arg;
    const struct audio_endpoint endpoint = {.uid = s->uid, .spec = &s->spec};
    s->failure = (struct err_info){};
    s->failure.code = audio_driver_pipewire.open(program.driver, &program.host, &endpoint, &s->stream, &s->failure);
    if (s->failure.code == ERR_OK)
        pthread_create(&s->thread, nullptr, run_media, s);
}

static void done_open(void *arg) {
    struct opened *s = arg;
    print_result("opened", s->tag, &s->failure);
    if (s->failure.code != ERR_OK)
        *s = (struct opened){};
}

static void work_close(void *arg) {
    struct opened *s = arg;
    pthread_mutex_lock(&s->lock);
    s->is_stopping = true;
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->thread, nullptr);
    s->stream->ops->close(s->stream);
    if (s->file)
        fclose(s->file);
}

static void done_close(void *arg) {
    struct opened *s = arg;
    print_result("closed", s->tag, &(struct err_info){});
    *s = (struct opened){};
}

static enum endpoint_kind kind_of(const char *name) {
    return strcmp(name, "device") == 0        ? ENDPOINT_KIND_DEVICE
           : strcmp(name, "default") == 0     ? ENDPOINT_KIND_DEFAULT
           : strncmp(name, "speaker", 7) == 0 ? ENDPOINT_KIND_VIRTUAL_SPEAKER
                                              : ENDPOINT_KIND_VIRTUAL_MICROPHONE;
}

static void do_watch(const char *) {
    audio_driver_pipewire.watch(program.driver, &WATCHER, nullptr);
}

/* NAME VOLUME MUTED; "-" leaves a value as it is */
static void do_volume(const char *args) {
    char name[256], volume_text[32], muted_text[8];
    if (sscanf(args, "%255s %31s %7s", name, volume_text, muted_text) != 3)
        return;
    double volume = strtod(volume_text, nullptr);
    bool is_muted = muted_text[0] == '1';
    audio_driver_pipewire.set_volume(program.driver, name, volume_text[0] == '-' ? nullptr : &volume,
                                     muted_text[0] == '-' ? nullptr : &is_muted);
}

/* UID speaker|microphone RATE CHANNELS NAME… */
static void do_expose(const char *args) {
    char uid[64], kind[16];
    int rate, channels, at = 0;
    struct endpoint_spec spec;
    if (sscanf(args, "%63s %15s %d %d %n", uid, kind, &rate, &channels, &at) < 4)
        return;
    endpoint_spec_defaults(&spec);
    spec.kind = kind_of(kind);
    spec.rate_hz = rate;
    spec.channels = channels;
    snprintf(spec.display_name, sizeof spec.display_name, "%s", args + at);
    audio_driver_pipewire.expose(program.driver, &(struct audio_endpoint){.uid = uid, .spec = &spec});
}

static void do_withdraw(const char *args) {
    audio_driver_pipewire.withdraw(program.driver, args);
}

/* TAG device|default|speaker|speaker-always|microphone input|output RATE CHANNELS NAME, of a device or a uid */
static void do_open(const char *args) {
    char tag[16], kind[16], direction[16], name[256];
    int rate, channels;
    struct opened *s = find("");
    if (!s || sscanf(args, "%15s %15s %15s %d %d %255s", tag, kind, direction, &rate, &channels, name) != 6)
        return;
    *s = (struct opened){};
    pthread_mutex_init(&s->lock, nullptr);
    endpoint_spec_defaults(&s->spec);
    snprintf(s->tag, sizeof s->tag, "%s", tag);
    snprintf(s->uid, sizeof s->uid, "%.63s", name);
    s->spec.kind = kind_of(kind);
    s->spec.rate_hz = rate;
    s->spec.channels = channels;
    s->spec.has_virtual = strcmp(kind, "speaker-always") == 0 ? PRESENCE_VALUE : PRESENCE_ABSENT;
    s->spec.virtual.idle = VIRTUAL_IDLE_ALWAYS;
    s->spec.has_device = PRESENCE_VALUE;
    s->spec.device.direction = strcmp(direction, "input") == 0 ? DEVICE_DIRECTION_INPUT : DEVICE_DIRECTION_OUTPUT;
    snprintf(s->spec.device.system_name, sizeof s->spec.device.system_name, "%s", name);
    if (loop_work(program.loop, work_open, done_open, s) != ERR_OK)
        *s = (struct opened){};
}

static void do_close(const char *args) {
    struct opened *s = find(args);
    if (s && s->stream && loop_work(program.loop, work_close, done_close, s) != ERR_OK)
        fprintf(stderr, "%s was not closed\n", args);
}

static void set_duty(const char *args, enum duty duty, const char *mode) {
    char tag[16], what[512];
    if (sscanf(args, "%15s %511s", tag, what) != 2)
        return;
    struct opened *s = find(tag);
    if (!s || !s->stream)
        return;
    FILE *file = mode ? fopen(what, mode) : nullptr;
    pthread_mutex_lock(&s->lock);
    FILE *before = s->file;
    s->file = file;
    s->duty = duty;
    s->step = mode ? 0 : strtod(what, nullptr) / s->stream->format.rate_hz;
    pthread_mutex_unlock(&s->lock);
    if (before)
        fclose(before);
    print_result("set", tag, &(struct err_info){});
}

/* TAG HZ */
static void do_sine(const char *args) {
    set_duty(args, DUTY_SINE, nullptr);
}

/* TAG FILE, of 32-bit floats */
static void do_play(const char *args) {
    set_duty(args, DUTY_PLAY, "rb");
}

static void do_record(const char *args) {
    set_duty(args, DUTY_RECORD, "wb");
}

/* "-": only the program */
static void do_stat(const char *args) {
    struct opened *s = find(args);
    struct rusage usage;
    yyjson_mut_val *o;
    yyjson_mut_doc *doc = new_line("stat", &o);
    yyjson_mut_obj_add_strcpy(doc, o, "tag", args);
    if (s && s->stream) {
        struct err_info failure = {};
        pthread_mutex_lock(&s->lock);
        yyjson_mut_obj_add_uint(doc, o, "moved", s->n_moved);
        yyjson_mut_obj_add_uint(doc, o, "still", s->n_still);
        yyjson_mut_obj_add_bool(doc, o, "never_idle", s->stream->never_idle);
        yyjson_mut_obj_add_int(doc, o, "max_due", s->max_due);
        s->max_due = 0;
        if (s->file)
            fflush(s->file);
        pthread_mutex_unlock(&s->lock);
        yyjson_mut_obj_add_int(doc, o, "latency_ns", s->stream->ops->latency_ns(s->stream));
        yyjson_mut_obj_add_uint(doc, o, "xruns", s->stream->ops->xruns(s->stream));
        if (s->stream->ops->state(s->stream) == AUDIO_FAILED)
            s->stream->ops->failure(s->stream, &failure);
        add_failure(doc, o, &failure);
    }
    getrusage(RUSAGE_SELF, &usage);
    yyjson_mut_obj_add_int(doc, o, "cpu_us",
                           (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1'000'000 + usage.ru_utime.tv_usec +
                               usage.ru_stime.tv_usec);
    yyjson_mut_obj_add_int(doc, o, "wakes", usage.ru_nvcsw);
    print_line(doc);
}

/* TAG MILLISECONDS that its media thread is kept away */
static void do_stall(const char *args) {
    char tag[16];
    long ms;
    if (sscanf(args, "%15s %ld", tag, &ms) != 2)
        return;
    struct opened *s = find(tag);
    if (!s || !s->stream)
        return;
    pthread_mutex_lock(&s->lock);
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1'000'000}, nullptr);
    pthread_mutex_unlock(&s->lock);
    print_result("stalled", tag, &(struct err_info){});
}

/* MILLISECONDS that the core is busy for */
static void do_block(const char *args) {
    long ms = strtol(args, nullptr, 10);
    print_result("blocked", "", &(struct err_info){});
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1'000'000}, nullptr);
}

static void do_quit(const char *) {
    loop_uv_stop(program.uv);
}

static const struct {
    const char *name;
    void (*run)(const char *args);
} COMMANDS[] = {{"watch", do_watch},   {"volume", do_volume}, {"expose", do_expose}, {"withdraw", do_withdraw},
                {"open", do_open},     {"close", do_close},   {"sine", do_sine},     {"play", do_play},
                {"record", do_record}, {"stat", do_stat},     {"block", do_block},   {"stall", do_stall},
                {"quit", do_quit}};

static void run_line(void *arg) {
    char *line = arg;
    line[strcspn(line, "\n")] = '\0';
    size_t len = strcspn(line, " ");
    const char *args = line[len] ? line + len + 1 : line + len;
    line[len] = '\0';
    for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
        if (strcmp(COMMANDS[i].name, line) == 0)
            COMMANDS[i].run(args);
    free(line);
}

static void *run_stdin(void *) {
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        char *copy = strdup(line);
        if (loop_post(program.loop, run_line, copy) != ERR_OK)
            free(copy);
    }
    (void)loop_post(program.loop, run_line, strdup("quit"));
    return nullptr;
}

static void close_all(void) {
    for (int i = 0; i < OPENED_MAX; i++)
        if (program.opened[i].stream)
            work_close(&program.opened[i]);
}

int main(void) {
    pthread_t reader;
    struct err_info failure = {};
    if (crypto_init(&failure) != ERR_OK || loop_uv_create(&program.uv, &failure) != ERR_OK)
        return 1;
    program.loop = loop_uv_loop(program.uv);
    log_sink_init(&program.sink, LOG_LEVEL_DEBUG, log_write_stderr, nullptr);
    program.host = (struct audio_host){
        .log = {.sink = &program.sink, .topic = "audio"}, .clock = clock_system(), .loop = program.loop};
    if (audio_driver_pipewire.create(&program.host, &program.driver, &failure) != ERR_OK) {
        fprintf(stderr, "%s\n", failure.message);
        return 1;
    }
    pthread_create(&reader, nullptr, run_stdin, nullptr);
    pthread_detach(reader);
    loop_uv_run(program.uv);
    close_all();
    audio_driver_pipewire.destroy(program.driver);
    loop_uv_destroy(program.uv);
    log_sink_finish(&program.sink);
    return 0;
}
