/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "audio/miniaudio/miniaudio_driver.h"
#include "audio/miniaudio/miniaudio_priv.h"
#include "base/loop_uv.h"
#include "model_gen.h"

/* The driver on miniaudio's null device: threads and time are real, so the test asks for order and bounds, not for speed. */

struct place {
    struct loop_uv *uv;
    struct audio_host host;
    struct audio_driver_state *driver;
    int n_devices, n_verdicts;
};

static int setup(void **state) {
    struct place *p = calloc(1, sizeof *p);
    assert_int_equal(loop_uv_create(&p->uv, nullptr), ERR_OK);
    p->host = (struct audio_host){.loop = loop_uv_loop(p->uv), .clock = clock_system()};
    assert_int_equal(miniaudio_create(&p->host, &backend_null, &p->driver, nullptr), ERR_OK);
    *state = p;
    return 0;
}

static int teardown(void **state) {
    struct place *p = *state;
    audio_driver_alsa.destroy(p->driver);
    loop_uv_destroy(p->uv);
    free(p);
    return 0;
}

static void on_device(void *arg, const struct audio_device *device) {
    struct place *p = arg;
    p->n_devices++;
    assert_true(device->format.rate_hz > 0);
}

static void on_gone(void *, const struct audio_device *) {
    fail();
}

static void on_driver(void *arg, const struct err_info *failure) {
    struct place *p = arg;
    p->n_verdicts++;
    assert_int_equal(failure->code, ERR_OK);
    loop_uv_stop(p->uv);
}

static const struct audio_watcher WATCHER = {on_device, on_gone, on_driver};

static void devices_are_listed_on_a_worker(void **state) {
    struct place *p = *state;
    audio_driver_alsa.watch(p->driver, &WATCHER, p);
    assert_int_equal(p->n_devices, 0);
    loop_uv_run(p->uv);
    assert_int_equal(p->n_devices, 4); /* a loudspeaker and a microphone, and the defaults that they are */
    assert_int_equal(p->n_verdicts, 1);
}

static void stop(void *arg) {
    loop_uv_stop(arg);
}

static void a_driver_may_go_while_it_looks(void **state) {
    struct place *p = *state;
    audio_driver_alsa.watch(p->driver, &WATCHER, p);
    struct loop_timer timer = {.fire = stop, .arg = p->uv}; /* armed later: it fires when the look has just begun */
    loop_timer_start(p->host.loop, &timer, 0);
    loop_uv_run(p->uv);
    int n_told = p->n_devices + p->n_verdicts; /* normally none: the worker has only begun */
    audio_driver_alsa.destroy(p->driver);
    p->driver = nullptr;
    loop_uv_destroy(p->uv); /* waits for the worker, and runs what it has left */
    assert_int_equal(p->n_devices + p->n_verdicts, n_told);
    assert_int_equal(loop_uv_create(&p->uv, nullptr), ERR_OK);
}

static struct miniaudio_stream *open_ok(struct place *p, const char *system_name) {
    struct endpoint_spec spec;
    endpoint_spec_defaults(&spec);
    spec.kind = ENDPOINT_KIND_DEVICE;
    spec.rate_hz = 48000;
    spec.channels = 2;
    spec.has_device = PRESENCE_VALUE;
    snprintf(spec.device.system_name, sizeof spec.device.system_name, "%s", system_name);
    struct audio_stream *stream = nullptr;
    struct err_info info = {};
    if (audio_driver_alsa.open(p->driver, &p->host, &(struct audio_endpoint){"", &spec}, &stream, &info) != ERR_OK)
        fail_msg("%s: %s", system_name, info.message);
    return (struct miniaudio_stream *)stream;
}

/* Moves what is due, as a media thread does. */
static size_t tick(struct miniaudio_stream *m) {
    static float frames[2 * 48000];
    struct audio_stream *s = &m->stream;
    ptrdiff_t due = s->ops->due(s);
    if (due <= 0)
        return 0;
    assert_true(due <= 48000);
    return m->ring.direction == AUDIO_INPUT ? s->ops->read(s, frames, (size_t)due)
                                            : s->ops->write(s, frames, (size_t)due);
}

static void moves(struct place *p, const char *system_name) {
    struct miniaudio_stream *m = open_ok(p, system_name);
    struct audio_stream *s = &m->stream;
    size_t n_moved = 0;
    int64_t end_ns = clock_now_ns(clock_system()) + 60 * NS_PER_S;
    while (n_moved < 9600) {
        n_moved += tick(m);
        size_t usual = m->most_frames > m->period_frames ? m->most_frames : m->period_frames;
        if (m->ring.direction == AUDIO_OUTPUT)
            assert_true(ring_readable(&m->ring.ring) <= usual + 288);
        assert_int_equal(s->ops->state(s), AUDIO_RUNNING);
        assert_true(clock_now_ns(clock_system()) < end_ns);
        poll(nullptr, 0, 5);
    }
    int64_t latency_ns = s->ops->latency_ns(s);
    assert_true(latency_ns > 0 && latency_ns < NS_PER_S);

    assert_int_equal(ma_device_stop(&m->device), MA_SUCCESS); /* by itself, as far as the driver knows */
    assert_int_equal(s->ops->state(s), AUDIO_FAILED);
    struct err_info info = {};
    s->ops->failure(s, &info);
    assert_int_equal(info.code, ERR_NOT_FOUND);
    assert_non_null(strstr(info.message, system_name));
    s->ops->close(s);
}

static void an_output_and_an_input_move_at_their_own_pace(void **state) {
    moves(*state, "output:0");
    moves(*state, "input:0");
    moves(*state, "default.output");
}

static void streams_open_and_close_at_any_time(void **state) {
    for (int i = 0; i < 20; i++) {
        struct miniaudio_stream *a = open_ok(*state, "output:0"), *b = open_ok(*state, "input:0");
        (void)tick(a);
        a->stream.ops->close(&a->stream);
        (void)tick(b);
        b->stream.ops->close(&b->stream);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(devices_are_listed_on_a_worker),
        TEST(a_driver_may_go_while_it_looks),
        TEST(an_output_and_an_input_move_at_their_own_pace),
        TEST(streams_open_and_close_at_any_time),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
