/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "audio/miniaudio/miniaudio_driver.h"
#include "audio/miniaudio/miniaudio_priv.h"
#include "base/loop_sim.h"
#include "model_gen.h"

/*
 * The driver on the real alsa-lib, with a configuration that the tests write: PCMs of type "file" whose files are pipes. So
 * the test is the device: what is played comes out of a pipe, what is captured is put into one, and the device moves when
 * the test does.
 */

/* Some systems have no alsa-lib: this one has none while the name stands here. */
static _Atomic(const char *) hidden_library;

[[gnu::visibility("default")]] void *dlopen(const char *name, int flags) {
    void *(*next)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    return name && hidden_library && strstr(name, hidden_library) ? nullptr : next(name, flags);
}

struct place {
    char dir[64], config[96], in[96], out[96];
    int in_fd, out_fd;
    struct loop_sim sim;
    struct audio_host host;
    struct audio_driver_state *driver;
    char told[2048]; /* what the watcher was told, in order */
};

static const char PCMS[] =
    "pcm.null { type null hint { show on description \"Null PCM\" } }\n"
    "pcm.speaker { type file slave.pcm null file \"%1$s/out\" format raw\n"
    "  hint { show on description \"A pipe\" } }\n"
    "pcm.microphone { type file slave.pcm null file \"/dev/null\" infile \"%1$s/in\" format raw\n"
    "  hint { show on description \"Another pipe\" } }\n";

static const char FIXED[] = "pcm.fixed { type plug slave { pcm null rate 44100 channels 2 } hint { show on } }\n"
                            "pcm.two { type multi slaves.a { pcm null channels 2 }\n"
                            "  bindings.0 { slave a channel 0 } bindings.1 { slave a channel 1 } hint { show on } }\n";

static void configure(struct place *p, const char *more) {
    FILE *f = fopen(p->config, "w");
    assert_non_null(f);
    fprintf(f, PCMS, p->dir);
    fprintf(f, "%s", more);
    assert_int_equal(fclose(f), 0);
}

static int setup(void **state) {
    struct place *p = calloc(1, sizeof *p);
    strcpy(p->dir, "/tmp/rocd-alsa-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    snprintf(p->config, sizeof p->config, "%s/asound.conf", p->dir);
    snprintf(p->in, sizeof p->in, "%s/in", p->dir);
    snprintf(p->out, sizeof p->out, "%s/out", p->dir);
    assert_int_equal(mkfifo(p->in, 0600), 0);
    assert_int_equal(mkfifo(p->out, 0600), 0);
    p->in_fd = open(p->in, O_RDWR | O_CLOEXEC);
    p->out_fd = open(p->out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    assert_true(p->in_fd >= 0 && p->out_fd >= 0);
    configure(p, "");
    setenv("ALSA_CONFIG_PATH", p->config, 1);
    loop_sim_init(&p->sim);
    p->host = (struct audio_host){.loop = &p->sim.loop, .clock = clock_system()};
    assert_int_equal(audio_driver_alsa.create(&p->host, &p->driver, nullptr), ERR_OK);
    hidden_library = nullptr;
    *state = p;
    return 0;
}

static void close_pipes(struct place *p) {
    if (p->in_fd >= 0)
        close(p->in_fd);
    if (p->out_fd >= 0)
        close(p->out_fd);
    p->in_fd = p->out_fd = -1;
}

static int teardown(void **state) {
    struct place *p = *state;
    audio_driver_alsa.destroy(p->driver);
    loop_sim_finish(&p->sim);
    close_pipes(p);
    unlink(p->config);
    unlink(p->in);
    unlink(p->out);
    assert_int_equal(rmdir(p->dir), 0);
    free(p);
    return 0;
}

/* ---- what there is ---- */

static void on_device(void *arg, const struct audio_device *d) {
    struct place *p = arg;
    size_t len = strlen(p->told);
    snprintf(p->told + len, sizeof p->told - len, "+%s '%s' %u/%u%s%s\n", d->system_name, d->display_name,
             d->format.rate_hz, d->format.n_channels, d->is_default ? " default" : "",
             d->failure.code ? " broken" : "");
    assert_false(d->has_volume);
    assert_int_equal(d->direction == AUDIO_INPUT, strstr(d->system_name, "input") != nullptr);
    assert_int_equal(d->kind == ENDPOINT_KIND_DEFAULT, strncmp(d->system_name, "default.", 8) == 0);
}

static void on_gone(void *arg, const struct audio_device *d) {
    struct place *p = arg;
    size_t len = strlen(p->told);
    snprintf(p->told + len, sizeof p->told - len, "-%s\n", d->system_name);
}

static void on_driver(void *arg, const struct err_info *failure) {
    struct place *p = arg;
    size_t len = strlen(p->told);
    snprintf(p->told + len, sizeof p->told - len, "driver %s\n", failure->code ? failure->message : "ok");
}

static const struct audio_watcher WATCHER = {on_device, on_gone, on_driver};

/* Until the next look, and what it told. */
static void expect_told(struct place *p, const char *text) {
    p->told[0] = 0;
    loop_sim_run_until(&p->sim, loop_now_ns(&p->sim.loop) + 3 * NS_PER_S);
    assert_string_equal(p->told, text);
}

static void devices_are_told_as_they_come_change_and_go(void **state) {
    struct place *p = *state;
    audio_driver_alsa.watch(p->driver, &WATCHER, p);
    assert_string_equal(p->told, ""); /* not from inside */
    /* type "file" plays and captures: both are listed twice; "null" never is */
    expect_told(p, "+output:speaker 'A pipe' 48000/2\n+input:speaker 'A pipe' 48000/2\n"
                   "+output:microphone 'Another pipe' 48000/2\n+input:microphone 'Another pipe' 48000/2\ndriver ok\n");
    expect_told(p, "");
    configure(p, "pcm.!default { type null hint { show on description \"Nothing\" } }\n"
                 "pcm.fixed { type plug slave { pcm null rate 44100 channels 2 }\n"
                 "  hint { show on description \"Fixed\" } }\n");
    expect_told(p,
                "+output:fixed 'Fixed' 44100/2\n+input:fixed 'Fixed' 44100/2\n"
                "+default.input 'Default input' 48000/2 default\n+default.output 'Default output' 48000/2 default\n");
    configure(p, "pcm.fixed { type plug slave { pcm null rate 44100 channels 2 }\n"
                 "  hint { show on description \"Renamed\" } }\n"
                 "pcm.broken { type plug slave.pcm nowhere hint { show on description \"Broken\" } }\n");
    expect_told(p, "-default.input\n-default.output\n+output:fixed 'Renamed' 44100/2\n+input:fixed 'Renamed' 44100/2\n"
                   "+output:broken 'Broken' 0/0 broken\n+input:broken 'Broken' 0/0 broken\n");
    expect_told(p, "");
}

static void without_its_library_the_driver_says_so_until_it_is_there(void **state) {
    struct place *p = *state;
    hidden_library = "libasound";
    audio_driver_alsa.watch(p->driver, &WATCHER, p);
    expect_told(p,
                "driver ALSA cannot be reached: its library, libasound.so.2, is not installed (package libasound2)\n");
    expect_told(p, "");
    hidden_library = nullptr;
    expect_told(p, "+output:speaker 'A pipe' 48000/2\n+input:speaker 'A pipe' 48000/2\n"
                   "+output:microphone 'Another pipe' 48000/2\n+input:microphone 'Another pipe' 48000/2\ndriver ok\n");
    hidden_library = "libasound";
    expect_told(p,
                "-output:speaker\n-input:speaker\n-output:microphone\n-input:microphone\n"
                "driver ALSA cannot be reached: its library, libasound.so.2, is not installed (package libasound2)\n");
}

/* ---- what is asked of them ---- */

static struct endpoint_spec spec_of(const char *system_name, int rate_hz, int channels) {
    struct endpoint_spec spec;
    endpoint_spec_defaults(&spec);
    spec.kind = strncmp(system_name, "default.", 8) == 0 ? ENDPOINT_KIND_DEFAULT : ENDPOINT_KIND_DEVICE;
    spec.rate_hz = rate_hz;
    spec.channels = channels;
    spec.has_device = PRESENCE_VALUE;
    strcpy(spec.device.driver, "alsa");
    snprintf(spec.device.system_name, sizeof spec.device.system_name, "%s", system_name);
    spec.device.direction = strstr(system_name, "input") ? DEVICE_DIRECTION_INPUT : DEVICE_DIRECTION_OUTPUT;
    return spec;
}

static enum err open_spec(struct place *p, const struct endpoint_spec *spec, struct audio_stream **ret,
                          struct err_info *reterr) {
    assert_int_equal(audio_driver_alsa.check(spec, reterr), ERR_OK);
    return audio_driver_alsa.open(p->driver, &p->host, &(struct audio_endpoint){"", spec}, ret, reterr);
}

static struct audio_stream *open_ok(struct place *p, const char *system_name, int rate_hz, int channels) {
    struct endpoint_spec spec = spec_of(system_name, rate_hz, channels);
    struct err_info info = {};
    struct audio_stream *stream = nullptr;
    if (open_spec(p, &spec, &stream, &info) != ERR_OK)
        fail_msg("%s: %s", system_name, info.message);
    assert_int_equal(stream->clock, AUDIO_CLOCK_DEVICE);
    return stream;
}

static void specs_are_checked(void **) {
    struct err_info info;
    struct endpoint_spec spec = spec_of("output:hw:CARD=PCH,DEV=0", 48000, 2);
    assert_int_equal(audio_driver_alsa.check(&spec, &info), ERR_OK);
    assert_int_equal(audio_driver_alsa.direction(&spec), AUDIO_OUTPUT);
    spec.device.direction = DEVICE_DIRECTION_INPUT;
    assert_int_equal(audio_driver_alsa.check(&spec, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/device/system_name");
    static const char *const BAD[] = {"hw:0", "", "output:", "default.duplex"};
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        spec = spec_of(BAD[i], 48000, 2);
        assert_int_equal(audio_driver_alsa.check(&spec, &info), ERR_INVALID);
    }
    spec = spec_of("default.input", 48000, 2);
    assert_int_equal(audio_driver_alsa.check(&spec, &info), ERR_OK);
    assert_int_equal(audio_driver_alsa.direction(&spec), AUDIO_INPUT);
    spec.has_volume = PRESENCE_VALUE;
    assert_int_equal(audio_driver_alsa.check(&spec, &info), ERR_UNSUPPORTED);
    assert_string_equal(info.pointer, "/volume");
    spec = spec_of("default.input", 48000, 2);
    spec.has_device = PRESENCE_ABSENT;
    assert_int_equal(audio_driver_alsa.check(&spec, &info), ERR_INVALID);
}

static void what_a_device_cannot_do_is_refused_with_what_it_can(void **state) {
    struct place *p = *state;
    configure(p, FIXED);
    struct audio_stream *stream = nullptr;
    struct err_info info = {};
    struct endpoint_spec spec = spec_of("output:fixed", 48000, 2);
    assert_int_equal(open_spec(p, &spec, &stream, &info), ERR_UNSUPPORTED);
    assert_string_equal(info.pointer, "/rate_hz");
    assert_non_null(strstr(info.message, "nearest that it can do is 44100 Hz with 2:"));
    spec = spec_of("input:two", 48000, 6);
    assert_int_equal(open_spec(p, &spec, &stream, &info), ERR_UNSUPPORTED);
    assert_string_equal(info.pointer, "/channels");
    assert_non_null(strstr(info.message, "48000 Hz with 2:"));
    spec = spec_of("output:nowhere", 48000, 2);
    assert_int_equal(open_spec(p, &spec, &stream, &info), ERR_NOT_FOUND);
    spec = spec_of("default.output", 48000, 2); /* this configuration has none */
    assert_true(open_spec(p, &spec, &stream, &info) != ERR_OK);
    hidden_library = "libasound";
    spec = spec_of("output:speaker", 48000, 2);
    assert_int_equal(open_spec(p, &spec, &stream, &info), ERR_UNAVAILABLE);
    assert_null(stream);
}

/* ---- sound ---- */

static void pause_ms(int ms) {
    poll(nullptr, 0, ms);
}

/* Gives up after a minute. */
#define WAIT_UNTIL(condition) \
    do { \
        int64_t end_ns = clock_now_ns(clock_system()) + 60 * NS_PER_S; \
        while (!(condition)) { \
            assert_true(clock_now_ns(clock_system()) < end_ns); \
            pause_ms(1); \
        } \
    } while (false)

/* The device plays n frames, or as many as it has got. */
static size_t played(struct place *p, float *frames, size_t n) {
    ssize_t got = read(p->out_fd, frames, n * 2 * sizeof *frames);
    return got < 0 ? 0 : (size_t)got / sizeof *frames / 2;
}

/* A pipe that has no other end keeps no thread waiting. */
static void close_device(struct place *p, struct audio_stream *stream) {
    close_pipes(p);
    stream->ops->close(stream);
}

static float sample(size_t i) {
    return (float)(1 + i % 8191) / 8192.0f;
}

static void what_is_written_is_played_sample_by_sample(void **state) {
    struct place *p = *state;
    struct audio_stream *s = open_ok(p, "output:speaker", 48000, 2);
    struct miniaudio_stream *m = (struct miniaudio_stream *)s;
    constexpr size_t N = 48000;
    static float frames[2 * N];
    size_t n_written = 0, n_heard = 0, max_due = 0;
    while (n_heard < N) {
        ptrdiff_t due = s->ops->due(s);
        if (due > 0 && n_written < N) {
            size_t n = (size_t)due < N - n_written ? (size_t)due : N - n_written;
            for (size_t i = 0; i < 2 * n; i++)
                frames[i] = sample(2 * n_written + i);
            assert_int_equal(s->ops->write(s, frames, n), n);
            n_written += n;
            max_due = n > max_due ? n : max_due;
        }
        size_t n = played(p, frames, 480);
        for (size_t i = 0; i < n; i++) {
            if (frames[2 * i] == 0.0f && frames[2 * i + 1] == 0.0f) /* nothing was due yet */
                continue;
            assert_true(frames[2 * i] == sample(2 * n_heard) && frames[2 * i + 1] == sample(2 * n_heard + 1));
            n_heard++;
        }
        assert_int_equal(s->ops->state(s), AUDIO_RUNNING);
        if (n == 0)
            pause_ms(1);
    }
    /* one period, one tick, one millisecond */
    assert_true(m->period_frames >= 240 && m->period_frames <= 4096);
    uint32_t burst = m->most_frames > m->period_frames ? m->most_frames : m->period_frames;
    assert_true(max_due > 0 && max_due <= burst + 288);
    assert_true(s->ops->latency_ns(s) > 0);
    close_device(p, s);
}

static void what_is_captured_is_read_sample_by_sample(void **state) {
    struct place *p = *state;
    struct audio_stream *s = open_ok(p, "input:microphone", 48000, 2);
    constexpr size_t N = 48000;
    static float frames[2 * N];
    size_t n_read = 0, n_given = 0;
    while (n_read < N) {
        if (n_given < N + 4800 && n_given < n_read + 960) { /* never more than is read at once */
            for (size_t i = 0; i < 2 * 480; i++)
                frames[i] = sample(2 * n_given + i);
            assert_int_equal(write(p->in_fd, frames, 480 * 8), 480 * 8);
            n_given += 480;
        }
        ptrdiff_t due = s->ops->due(s);
        if (due <= 0) {
            pause_ms(1);
            continue;
        }
        assert_int_equal(s->ops->read(s, frames, (size_t)due), due);
        for (size_t i = 0; i < 2 * (size_t)due; i++)
            assert_true(frames[i] == sample(2 * n_read + i));
        n_read += (size_t)due;
    }
    assert_int_equal(s->ops->xruns(s), 0);
    assert_true(s->ops->latency_ns(s) >= 0);
    close_device(p, s);
}

static void a_device_that_stands_still_gives_no_clock(void **state) {
    struct place *p = *state;
    static float frames[2 * 4800];
    struct audio_stream *s = open_ok(p, "output:speaker", 48000, 2);
    struct miniaudio_stream *m = (struct miniaudio_stream *)s;
    struct clock_virtual clock; /* so that nothing depends on how busy this machine is */
    clock_virtual_init(&clock, NS_PER_S, 0);
    m->end.clock = &clock.clock;
    WAIT_UNTIL(m->ring.n_callbacks > 0);
    uint64_t n;
    do { /* until the pipe is full, and the device waits */
        n = m->ring.n_callbacks;
        pause_ms(100);
    } while (m->ring.n_callbacks != n);
    assert_true(s->ops->due(s) > 0);
    clock.now_ns += 150 * NS_PER_MS;
    assert_true(s->ops->due(s) > 0);
    size_t written = s->ops->write(s, frames, 100);
    assert_int_equal(written, 100);
    clock.now_ns += 51 * NS_PER_MS;
    assert_int_equal(s->ops->due(s), AUDIO_STANDS_STILL);
    assert_int_equal(s->ops->state(s), AUDIO_RUNNING);
    /* it goes on, and what was left in the ring is too old */
    WAIT_UNTIL(((void)played(p, frames, 4800), m->ring.n_callbacks > n));
    WAIT_UNTIL(((void)played(p, frames, 4800), !m->ring.drop_stale));
    WAIT_UNTIL(((void)played(p, frames, 4800), s->ops->due(s) > 0));
    assert_int_equal(ring_readable(&m->ring.ring), 0);
    close_device(p, s);
}

static void what_an_input_gathers_unread_is_dropped_at_once(void **state) {
    struct place *p = *state;
    static float frames[2 * 9600];
    struct audio_stream *s = open_ok(p, "input:microphone", 48000, 2);
    struct miniaudio_stream *m = (struct miniaudio_stream *)s;
    for (size_t given = 0; given < 9600; given += 480)
        assert_int_equal(write(p->in_fd, frames, 480 * 8), 480 * 8);
    WAIT_UNTIL(ring_readable(&m->ring.ring) >= 8000);
    ptrdiff_t due = s->ops->due(s);
    assert_true(due > 0 && due <= (ptrdiff_t)m->most_frames + 480 + 480);
    assert_int_equal(s->ops->xruns(s), 1);
    close_device(p, s);
}

static void what_is_no_device_is_recognised_by_its_pace(void **state) {
    struct place *p = *state;
    struct audio_stream *s = open_ok(p, "output:null", 48000, 2);
    struct miniaudio_stream *m = (struct miniaudio_stream *)s;
    struct clock_virtual clock;
    clock_virtual_init(&clock, NS_PER_S, 0);
    m->end.clock = &clock.clock;
    WAIT_UNTIL(m->ring.n_callbacks > 0);
    (void)s->ops->due(s);
    uint64_t n = m->ring.n_frames;
    WAIT_UNTIL(m->ring.n_frames - n > 5 * 2 * 48000);
    clock.now_ns += 2 * NS_PER_S;
    (void)s->ops->due(s);
    assert_int_equal(s->ops->state(s), AUDIO_FAILED);
    struct err_info info = {};
    s->ops->failure(s, &info);
    assert_int_equal(info.code, ERR_UNSUPPORTED);
    assert_non_null(strstr(info.message, "output:null"));
    s->ops->close(s);
}

static void a_device_that_only_complains_is_lost(void **state) {
    struct place *p = *state;
    struct audio_stream *s = open_ok(p, "output:speaker", 48000, 2);
    struct miniaudio_stream *m = (struct miniaudio_stream *)s;
    WAIT_UNTIL(m->ring.n_callbacks > 0);
    uint64_t n;
    do {
        n = m->ring.n_callbacks;
        pause_ms(100);
    } while (m->ring.n_callbacks != n);
    /* as miniaudio's thread does for an unplugged card, which is at rest here */
    for (int i = 0; i < 7; i++)
        ma_log_post(&m->context->log, MA_LOG_LEVEL_WARNING, "[ALSA] POLLERR detected. status = 8\n");
    assert_int_equal(s->ops->state(s), AUDIO_RUNNING);
    ma_log_post(&m->context->log, MA_LOG_LEVEL_WARNING, "[ALSA] POLLERR detected. status = 8\n");
    assert_int_equal(s->ops->state(s), AUDIO_FAILED);
    struct err_info info = {};
    s->ops->failure(s, &info);
    assert_int_equal(info.code, ERR_NOT_FOUND);
    close_device(p, s);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(devices_are_told_as_they_come_change_and_go),
        TEST(without_its_library_the_driver_says_so_until_it_is_there),
        TEST(specs_are_checked),
        TEST(what_a_device_cannot_do_is_refused_with_what_it_can),
        TEST(what_is_written_is_played_sample_by_sample),
        TEST(what_is_captured_is_read_sample_by_sample),
        TEST(a_device_that_stands_still_gives_no_clock),
        TEST(what_an_input_gathers_unread_is_dropped_at_once),
        TEST(what_is_no_device_is_recognised_by_its_pace),
        TEST(a_device_that_only_complains_is_lost),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
