/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/maxima.h"
#include "orchestrator/registry/events.h"
#include "support/fake_world.h"

/* What becomes of devices that a driver tells of, and of the virtual ones it is asked to keep up. */

static int set_up(void **state) {
    struct fake_world *w = calloc(1, sizeof *w);
    fake_world_init(w);
    fake_world_start(w);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    fake_world_finish(*state);
    free(*state);
    return 0;
}

static struct audio_device speaker(void) {
    return (struct audio_device){.system_name = "speaker",
                                 .display_name = "The speaker",
                                 .kind = ENDPOINT_KIND_DEVICE,
                                 .direction = AUDIO_OUTPUT,
                                 .format = {44100, 2},
                                 .is_default = true,
                                 .has_volume = true,
                                 .volume = 0.4};
}

static void tell(struct fake_world *w, const struct audio_device *device) {
    w->watcher->device(w->watcher_arg, device);
    loop_sim_settle(&w->sim);
}

static void tell_gone(struct fake_world *w, const struct audio_device *device) {
    w->watcher->device_gone(w->watcher_arg, device);
    loop_sim_settle(&w->sim);
}

/* The only endpoint of this kind, or nullptr. */
static const struct registry_endpoint *only(const struct fake_world *w, enum endpoint_kind kind) {
    const struct registry_endpoint *found = nullptr, *e = nullptr;
    while ((e = orchestrator_next_endpoint(w->orchestrator, e)))
        if (e->spec.kind == kind) {
            assert_null(found);
            found = e;
        }
    return found;
}

static struct endpoint shown(const struct fake_world *w, const char *uid) {
    struct endpoint endpoint = {};
    const struct registry_endpoint *e = orchestrator_endpoint(w->orchestrator, uid);
    assert_non_null(e);
    orchestrator_show_endpoint(w->orchestrator, e, &endpoint);
    return endpoint;
}

static enum err put(struct fake_world *w, const char *uid, const struct endpoint_spec *spec, char ret[static UID_SIZE],
                    struct err_info *reterr) {
    struct fake_answer answer = {};
    enum err err =
        orchestrator_put_endpoint(w->orchestrator, uid, spec, ANY_GENERATION, ret, fake_done, &answer, reterr);
    if (!err) {
        loop_sim_settle(&w->sim);
        assert_true(answer.is_done);
        assert_int_equal(answer.result, ERR_OK);
    }
    return err;
}

static enum err drop(struct fake_world *w, const char *uid, struct err_info *reterr) {
    struct fake_answer answer = {};
    enum err err =
        orchestrator_remove_endpoint(w->orchestrator, uid, ANY_GENERATION, false, fake_done, &answer, reterr);
    loop_sim_settle(&w->sim);
    return err;
}

/* Its PATCH of one member. */
static void change(struct fake_world *w, const char *uid, const struct endpoint_spec *spec) {
    char stored[UID_SIZE];
    struct err_info info = {};
    if (put(w, uid, spec, stored, &info) != ERR_OK)
        fail_msg("%s", info.message);
    assert_string_equal(stored, uid);
}

static void remove_stream(struct fake_world *w, const char *uid) {
    struct fake_answer answer = {};
    assert_int_equal(orchestrator_remove_stream(w->orchestrator, uid, ANY_GENERATION, fake_done, &answer, nullptr),
                     ERR_OK);
    fake_world_run_ms(w, 1000);
}

static enum stream_state state_of(const struct fake_world *w, const char *uid) {
    return orchestrator_stream(w->orchestrator, uid)->status.state;
}

/* The device is found, and there is a tone for it. */
static void find_and_tune(struct fake_world *w, const struct audio_device *device, char ret_uid[static UID_SIZE],
                          char ret_tone[static UID_SIZE]) {
    tell(w, device);
    memcpy(ret_uid, only(w, ENDPOINT_KIND_DEVICE)->uid, UID_SIZE);
    fake_put_endpoint(w, "", "{\"kind\":\"tone\"}", ret_tone);
}

static void play_to(struct fake_world *w, const char *source, const char *device, int latency_ms,
                    char ret_uid[static UID_SIZE]) {
    struct stream_spec spec = fake_stream_between(source, device);
    spec.settings.has_target_latency_ms = PRESENCE_VALUE;
    spec.settings.target_latency_ms = latency_ms;
    fake_put_stream(w, "", &spec, ret_uid);
    fake_world_run_ms(w, 0);
}

/* ---- found ---- */

static void what_is_found_is_listed_as_long_as_it_is_there(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    uint64_t before = fake_world_last_event(w);
    tell(w, &device);
    assert_string_equal(fake_world_news(w, before), "endpoint_added");
    const struct registry_endpoint *e = only(w, ENDPOINT_KIND_DEVICE);
    assert_non_null(e);
    struct endpoint endpoint = shown(w, e->uid);
    assert_string_equal(endpoint.spec.display_name, "The speaker");
    assert_string_equal(endpoint.system_name, "speaker");
    assert_string_equal(endpoint.driver, "card");
    assert_int_equal(endpoint.endpoint_type, ENDPOINT_TYPE_SYSTEM_DEVICE);
    assert_int_equal(endpoint.stream_direction, STREAM_DIRECTION_OUTPUT);
    assert_int_equal(endpoint.spec.rate_hz, 44100);
    assert_int_equal(endpoint.status.state, ENDPOINT_STATE_AVAILABLE);
    assert_true(endpoint.status.is_default);
    assert_float_equal(endpoint.status.volume, 0.4, 1e-9);
    before = fake_world_last_event(w);
    tell(w, &device); /* nothing new */
    assert_string_equal(fake_world_news(w, before), "");
    device.volume = 0.5;
    tell(w, &device);
    assert_string_equal(fake_world_news(w, before), "endpoint_updated");
    char uid[UID_SIZE];
    memcpy(uid, e->uid, sizeof uid);
    tell_gone(w, &device);
    assert_string_equal(fake_world_news(w, before), "endpoint_updated endpoint_updated endpoint_removed");
    assert_null(only(w, ENDPOINT_KIND_DEVICE));
    tell(w, &device);
    assert_string_equal(only(w, ENDPOINT_KIND_DEVICE)->uid, uid); /* the same as before */
}

static void each_change_of_what_is_shown_is_an_event(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    tell(w, &device);
    for (int i = 0; i < 5; i++) {
        uint64_t before = fake_world_last_event(w);
        switch (i) {
        case 0:
            device.is_default = false;
            break;
        case 1:
            device.is_muted = true;
            break;
        case 2:
            device.display_name = "The other name";
            break;
        case 3:
            device.format.rate_hz = 96000;
            break;
        case 4:
            device.has_volume = false;
            break;
        }
        tell(w, &device);
        if (strcmp(fake_world_news(w, before), "endpoint_updated") != 0)
            fail_msg("change %d: '%s'", i, fake_world_news(w, before));
    }
    struct endpoint endpoint = shown(w, only(w, ENDPOINT_KIND_DEVICE)->uid);
    assert_false(endpoint.status.is_default);
    assert_string_equal(endpoint.spec.display_name, "The other name");
    assert_int_equal(endpoint.status.rate_hz, 96000);
    assert_int_equal(endpoint.status.has_volume, PRESENCE_NULL);
}

static void uids_tell_devices_apart(void **state) {
    struct fake_world *w = *state;
    char uids[3][UID_SIZE];
    static const char *const NAMES[] = {"a", "ab", "b"};
    for (size_t i = 0; i < 3; i++) {
        struct audio_device device = speaker();
        device.system_name = NAMES[i];
        tell(w, &device);
    }
    size_t n = 0;
    const struct registry_endpoint *e = nullptr;
    while ((e = orchestrator_next_endpoint(w->orchestrator, e)))
        memcpy(uids[n++], e->uid, UID_SIZE);
    assert_int_equal(n, 3);
    assert_string_not_equal(uids[0], uids[1]);
    assert_string_not_equal(uids[1], uids[2]);
    /* of the peer, too, as machines may be alike, and of the driver */
    static const char SEED[] = "peer00-peer00-peer00\0card\0a";
    char expected[UID_SIZE];
    uid_reproducible(expected, UID_TAG_ENDPOINT, SEED, sizeof SEED - 1);
    assert_non_null(orchestrator_endpoint(w->orchestrator, expected));
}

static void what_has_settings_stays_listed(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    tell(w, &device);
    char uid[UID_SIZE];
    memcpy(uid, only(w, ENDPOINT_KIND_DEVICE)->uid, sizeof uid);
    struct endpoint_spec spec = only(w, ENDPOINT_KIND_DEVICE)->spec;
    snprintf(spec.display_name, sizeof spec.display_name, "Kitchen");
    change(w, uid, &spec);
    struct err_info info = {};
    assert_int_equal(drop(w, uid, &info), ERR_CONFLICT); /* it is there */
    tell_gone(w, &device);
    struct endpoint endpoint = shown(w, uid);
    assert_int_equal(endpoint.status.state, ENDPOINT_STATE_UNAVAILABLE);
    assert_string_equal(endpoint.status.reason, "DeviceMissing");
    assert_string_equal(endpoint.spec.display_name, "Kitchen");
    assert_false(endpoint.status.is_default);
    fake_world_stop(w);
    fake_world_start(w);
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_UNAVAILABLE);
    tell(w, &device);
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_AVAILABLE);
    assert_string_equal(shown(w, uid).spec.display_name, "Kitchen");
    tell_gone(w, &device);
    assert_int_equal(drop(w, uid, &info), ERR_OK); /* forgets it */
    assert_null(orchestrator_endpoint(w->orchestrator, uid));
}

static void what_a_stream_names_stays_listed_and_comes_back(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    char uid[UID_SIZE], tone[UID_SIZE], stream[UID_SIZE];
    find_and_tune(w, &device, uid, tone);
    const struct stream_spec between = fake_stream_between(tone, uid);
    fake_put_stream(w, "", &between, stream);
    fake_world_run_ms(w, 500);
    assert_int_equal(state_of(w, stream), STREAM_STATE_RUNNING);
    fake_world_node_event(w, AUDIO_OUTPUT, ENGINE_NODE_FAILED); /* as its audio_stream sees it */
    tell_gone(w, &device);
    fake_world_run_ms(w, 500);
    assert_int_equal(state_of(w, stream), STREAM_STATE_PENDING);
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_UNAVAILABLE);
    tell(w, &device);
    fake_world_run_ms(w, 100); /* at once, not after a pause */
    assert_int_equal(state_of(w, stream), STREAM_STATE_RUNNING);
    tell_gone(w, &device);
    remove_stream(w, stream);
    assert_null(orchestrator_endpoint(w->orchestrator, uid));
}

static struct fake_node *open_sink(struct fake_world *w) {
    struct fake_node *found = nullptr;
    for (size_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].is_open && w->nodes[i].direction == AUDIO_OUTPUT)
            found = &w->nodes[i];
    return found;
}

/* Else a stream would be said to run, and nobody would hear it. */
static void what_does_not_move_is_opened_anew(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    char uid[UID_SIZE], tone[UID_SIZE], stream[UID_SIZE];
    find_and_tune(w, &device, uid, tone);
    const struct stream_spec between = fake_stream_between(tone, uid);
    fake_put_stream(w, "", &between, stream);
    fake_world_run_ms(w, 500);
    struct fake_node *stuck = open_sink(w);
    stuck->status.stands_still = true;
    fake_world_run_ms(w, 4000);
    stuck->status.stands_still = false; /* for a moment */
    fake_world_run_ms(w, 1000);
    stuck->status.stands_still = true;
    fake_world_run_ms(w, 4000);
    assert_int_equal(state_of(w, stream), STREAM_STATE_RUNNING);
    for (int i = 0; state_of(w, stream) == STREAM_STATE_RUNNING && i < 20; i++)
        fake_world_run_ms(w, 100);
    const struct stream_status *status = &orchestrator_stream(w->orchestrator, stream)->status;
    assert_string_equal(status->conditions[0].reason, "DeviceFailed");
    assert_non_null(strstr(status->conditions[0].message, "'The speaker' is open and has moved no sound for 5 s"));
    fake_world_run_ms(w, 5000);
    assert_ptr_not_equal(open_sink(w), stuck);
    assert_int_equal(state_of(w, stream), STREAM_STATE_RUNNING);
}

static const char *reason_of(const struct fake_world *w, const char *uid) {
    const struct stream_status *status = &orchestrator_stream(w->orchestrator, uid)->status;
    return status->n_conditions > 0 ? status->conditions[0].reason : "";
}

/* Whatever it was asked for: another program may want more at a time, or the user. */
static void what_moves_more_than_the_target_holds_is_told(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    char uid[UID_SIZE], tone[UID_SIZE], fixed[UID_SIZE], automatic[UID_SIZE];
    find_and_tune(w, &device, uid, tone);
    struct stream_spec between = fake_stream_between(tone, uid);
    between.settings.has_target_latency_ms = PRESENCE_NULL;
    fake_put_stream(w, "", &between, automatic);
    play_to(w, tone, uid, 30, fixed);
    fake_world_run_ms(w, 500);
    struct fake_node *node = open_sink(w);
    node->status.period_ns = 30 * NS_PER_MS;
    fake_world_run_ms(w, 5000);
    assert_int_equal(state_of(w, fixed), STREAM_STATE_RUNNING);
    assert_int_equal(shown(w, uid).status.has_period_ms, PRESENCE_VALUE);
    assert_true(shown(w, uid).status.period_ms == 30);
    node->status.period_ns = 170'666'667;
    fake_world_run_ms(w, 1900);
    assert_string_equal(reason_of(w, fixed), ""); /* it may be about to change */
    fake_world_run_ms(w, 1200);
    assert_string_equal(reason_of(w, fixed), "PeriodTooLong");
    assert_int_equal(state_of(w, fixed), STREAM_STATE_DEGRADED);
    const struct condition *told = &orchestrator_stream(w->orchestrator, fixed)->status.conditions[0];
    assert_string_equal(told->type, "Destination");
    assert_non_null(strstr(told->message, "The speaker moves 170.7 ms"));
    assert_non_null(strstr(told->message, "target latency of 30 ms"));
    assert_non_null(strstr(told->message, "181 ms is the least"));
    assert_string_equal(reason_of(w, automatic), ""); /* it may have 500 ms */
    node->status.period_ns = 10 * NS_PER_MS;
    fake_world_run_ms(w, 1100);
    assert_int_equal(state_of(w, fixed), STREAM_STATE_RUNNING);
}

static void volume_and_mute_are_set_when_it_appears_and_when_they_change(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    fake_world_clear_trace(w);
    tell(w, &device);
    assert_string_equal(w->trace, "");
    char uid[UID_SIZE];
    memcpy(uid, only(w, ENDPOINT_KIND_DEVICE)->uid, sizeof uid);
    struct endpoint_spec spec = only(w, ENDPOINT_KIND_DEVICE)->spec;
    spec.has_volume = PRESENCE_VALUE;
    spec.volume = 0.7;
    change(w, uid, &spec);
    assert_string_equal(w->trace, "speaker:0.70");
    snprintf(spec.display_name, sizeof spec.display_name, "Other");
    fake_world_clear_trace(w);
    change(w, uid, &spec); /* not the volume: what others did to it in the meantime stays */
    assert_string_equal(w->trace, "");
    device.volume = 0.2; /* somebody else's doing: it is shown, and not fought over */
    tell(w, &device);
    assert_string_equal(w->trace, "");
    assert_float_equal(shown(w, uid).status.volume, 0.2, 1e-9);
    assert_float_equal(shown(w, uid).spec.volume, 0.7, 1e-9);
    tell_gone(w, &device);
    spec.has_muted = PRESENCE_VALUE;
    spec.muted = true;
    change(w, uid, &spec); /* nobody is there to be told */
    assert_string_equal(w->trace, "");
    tell(w, &device);
    assert_string_equal(w->trace, "speaker:0.70:mute");
    fake_world_clear_trace(w);
    tell(w, &device);
    assert_string_equal(w->trace, "");
    device.has_returned = true; /* too fast for its going to be told */
    tell(w, &device);
    assert_string_equal(w->trace, "speaker:0.70:mute");
}

static void a_driver_without_its_sound_server(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    tell(w, &device);
    char uid[UID_SIZE];
    memcpy(uid, only(w, ENDPOINT_KIND_DEVICE)->uid, sizeof uid);
    struct endpoint_spec spec = only(w, ENDPOINT_KIND_DEVICE)->spec;
    spec.channels = 1;
    change(w, uid, &spec);
    tell_gone(w, &device);
    struct err_info failure = {};
    (void)err_set(&failure, ERR_UNAVAILABLE, "the sound server is not there");
    w->watcher->driver(w->watcher_arg, &failure);
    assert_string_equal(shown(w, uid).status.reason, "DriverUnavailable");
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_UNAVAILABLE);
    struct ready ready;
    orchestrator_ready(w->orchestrator, &ready);
    assert_true(ready.ready); /* everything else is served */
    assert_int_equal(ready.n_reasons, 1);
    w->watcher->driver(w->watcher_arg, &(struct err_info){});
    assert_string_equal(shown(w, uid).status.reason, "DeviceMissing");
    tell(w, &device);
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_AVAILABLE);
}

static void thousands_that_come_and_go(void **state) {
    struct fake_world *w = *state;
    char name[32];
    struct audio_device device = speaker();
    device.system_name = name;
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "usb-%d", i);
        tell(w, &device);
    }
    size_t n = 0;
    for (const struct registry_endpoint *e = nullptr; (e = orchestrator_next_endpoint(w->orchestrator, e));)
        n++;
    assert_int_equal(n, LIMIT_ENDPOINTS);
    for (int i = 0; i < 3000; i++) {
        snprintf(name, sizeof name, "usb-%d", i);
        tell_gone(w, &device);
    }
    assert_null(orchestrator_next_endpoint(w->orchestrator, nullptr));
}

static void what_a_write_may_not_do(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    tell(w, &device);
    const struct registry_endpoint *e = only(w, ENDPOINT_KIND_DEVICE);
    char uid[UID_SIZE], stored[UID_SIZE];
    memcpy(uid, e->uid, sizeof uid);
    struct endpoint_spec spec = e->spec;
    struct err_info info = {};
    assert_int_equal(put(w, "", &spec, stored, &info), ERR_CONFLICT); /* it is in the list */
    snprintf(spec.device.system_name, sizeof spec.device.system_name, "another");
    assert_int_equal(put(w, uid, &spec, stored, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/device");
    assert_int_equal(put(w, "zzzzzz-zzzzzz-zzzzzz", &spec, stored, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/device/system_name");
    assert_int_equal(put(w, "", &spec, stored, &info), ERR_OK); /* settings for one that may come */
    assert_int_equal(shown(w, stored).status.state, ENDPOINT_STATE_UNAVAILABLE);
    spec.has_device = PRESENCE_NULL;
    assert_int_equal(put(w, "", &spec, stored, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/device");
}

/* ---- defaults ---- */

static void find_default(struct fake_world *w, enum audio_direction direction, const char *follows,
                         char ret_uid[static UID_SIZE]) {
    bool is_input = direction == AUDIO_INPUT;
    struct audio_device device = {.system_name = is_input ? "default.input" : "default.output",
                                  .display_name = is_input ? "Default input" : "Default output",
                                  .kind = ENDPOINT_KIND_DEFAULT,
                                  .direction = direction,
                                  .is_default = true,
                                  .follows = follows};
    tell(w, &device);
    for (const struct registry_endpoint *e = nullptr; (e = orchestrator_next_endpoint(w->orchestrator, e));)
        if (strcmp(e->system_name, device.system_name) == 0)
            memcpy(ret_uid, e->uid, UID_SIZE);
}

static enum err try_stream(struct fake_world *w, const char *uid, const struct stream_spec *spec,
                           char ret[static UID_SIZE], struct err_info *reterr) {
    struct fake_answer answer = {};
    enum err err =
        orchestrator_put_stream(w->orchestrator, uid, spec, nullptr, ANY_GENERATION, ret, fake_done, &answer, reterr);
    loop_sim_settle(&w->sim);
    return err;
}

static void refuse_ring(struct fake_world *w, const char *source, const char *destination, const char *way) {
    struct err_info info = {};
    char stored[UID_SIZE];
    const struct stream_spec spec = fake_stream_between(source, destination);
    assert_int_equal(try_stream(w, "", &spec, stored, &info), ERR_CONFLICT);
    if (!strstr(info.message, way))
        fail_msg("%s", info.message);
}

static void a_default_does_not_lead_a_device_into_itself(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    char loud[UID_SIZE], tone[UID_SIZE], in[UID_SIZE], out[UID_SIZE], attic[UID_SIZE], stream[UID_SIZE];
    find_and_tune(w, &device, loud, tone);
    find_default(w, AUDIO_INPUT, "speaker", in); /* its monitor, where there is no microphone */
    find_default(w, AUDIO_OUTPUT, "speaker", out);
    refuse_ring(w, in, loud, ": Default input → The speaker → Default input.");
    refuse_ring(w, in, out, ": The speaker → Default input → Default output → The speaker.");
    struct endpoint_spec virtual = fake_endpoint_spec("{\"kind\":\"virtual_speaker\",\"display_name\":\"Attic\"}");
    assert_int_equal(put(w, "", &virtual, attic, nullptr), ERR_OK);
    tell(w, &(struct audio_device){.uid = attic,
                                   .system_name = "rocd.attic",
                                   .display_name = "Attic",
                                   .kind = ENDPOINT_KIND_VIRTUAL_SPEAKER,
                                   .direction = AUDIO_INPUT});
    struct stream_spec spec = fake_stream_between(attic, out);
    fake_put_stream(w, "", &spec, stream);
    find_default(w, AUDIO_OUTPUT, "rocd.attic", out);
    refuse_ring(w, attic, out, ": Attic → Default output → Attic.");
    struct err_info info = {};
    spec.enabled = false; /* what has become a ring since can be ended */
    assert_int_equal(try_stream(w, stream, &spec, stream, &info), ERR_OK);
    find_default(w, AUDIO_OUTPUT, nullptr, out);
    spec = fake_stream_between(in, out);
    assert_int_equal(try_stream(w, "", &spec, stream, &info), ERR_OK);
}

/* ---- virtual ---- */

static void a_virtual_device_is_kept_up(void **state) {
    struct fake_world *w = *state;
    struct endpoint_spec spec = fake_endpoint_spec("{\"kind\":\"virtual_speaker\",\"display_name\":\"To the office\"}");
    char uid[UID_SIZE];
    fake_world_clear_trace(w);
    assert_int_equal(put(w, "", &spec, uid, nullptr), ERR_OK);
    assert_string_equal(w->trace, "expose");
    assert_string_equal(w->exposed, uid);
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_UNAVAILABLE);
    struct audio_device device = speaker();
    device.uid = uid;
    device.system_name = "rocd.x";
    device.kind = ENDPOINT_KIND_VIRTUAL_SPEAKER;
    tell(w, &device);
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_AVAILABLE);
    assert_int_equal(shown(w, uid).stream_direction, STREAM_DIRECTION_INPUT);
    assert_int_equal(shown(w, uid).endpoint_type, ENDPOINT_TYPE_STREAMING_DEVICE);
    assert_string_equal(shown(w, uid).system_name, "rocd.x");
    spec.has_volume = PRESENCE_VALUE;
    spec.volume = 0.3;
    fake_world_clear_trace(w);
    change(w, uid, &spec);
    assert_string_equal(w->trace, "expose rocd.x:0.30");
    /* after a restart of rocd it is there again, without being asked for, and as loud as it was */
    fake_world_stop(w);
    *w->exposed = 0;
    fake_world_clear_trace(w);
    fake_world_start(w);
    assert_string_equal(w->exposed, uid);
    tell(w, &device);
    assert_string_equal(w->trace, "expose rocd.x:0.30");
    /* somebody takes it away: it is reported and not fought over */
    (void)err_set(&device.failure, ERR_NOT_FOUND, "somebody has removed it");
    fake_world_clear_trace(w);
    tell_gone(w, &device);
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_UNAVAILABLE);
    assert_string_equal(shown(w, uid).status.message, "somebody has removed it");
    assert_string_equal(w->trace, "");
    spec.enabled = false;
    change(w, uid, &spec);
    assert_string_equal(w->exposed, "");
    tell(w, &device); /* late news of what is switched off */
    assert_int_equal(shown(w, uid).status.state, ENDPOINT_STATE_DISABLED);
    spec.enabled = true;
    change(w, uid, &spec);
    assert_string_equal(w->exposed, uid);
    assert_int_equal(drop(w, uid, nullptr), ERR_OK);
    assert_string_equal(w->exposed, "");
}

static void virtual_devices_have_names_of_their_own(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    tell(w, &device);
    struct endpoint_spec first =
        fake_endpoint_spec("{\"kind\":\"virtual_speaker\",\"display_name\":\"To the office\"}");
    struct endpoint_spec second = fake_endpoint_spec("{\"kind\":\"virtual_microphone\"}");
    struct endpoint_spec tone = fake_endpoint_spec("{\"kind\":\"tone\",\"display_name\":\"To the office\"}");
    char one[UID_SIZE], two[UID_SIZE], beep[UID_SIZE];
    struct err_info info = {};
    assert_int_equal(put(w, "", &tone, beep, nullptr), ERR_OK); /* no program sees this one */
    assert_int_equal(put(w, "", &first, one, nullptr), ERR_OK);
    assert_int_equal(put(w, "", &second, two, nullptr), ERR_OK);
    assert_int_equal(put(w, "", &first, two, &info), ERR_CONFLICT);
    assert_string_equal(info.pointer, "/display_name");
    assert_non_null(strstr(info.message, one));
    snprintf(second.display_name, sizeof second.display_name, "%s", first.display_name);
    assert_int_equal(put(w, two, &second, two, &info), ERR_CONFLICT);
    snprintf(second.display_name, sizeof second.display_name, "%s", device.display_name);
    assert_int_equal(put(w, two, &second, two, &info), ERR_CONFLICT);
    snprintf(second.display_name, sizeof second.display_name, "Mic");
    assert_int_equal(put(w, two, &second, two, nullptr), ERR_OK);
    first.has_muted = PRESENCE_VALUE;
    first.muted = true;
    assert_int_equal(put(w, one, &first, one, nullptr), ERR_OK); /* its own name is no collision */
}

/* ---- how much it moves at a time ---- */

static void its_streams_say_how_much_it_moves_at_a_time(void **state) {
    struct fake_world *w = *state;
    struct audio_device device = speaker();
    char tone[UID_SIZE], uid[UID_SIZE], slow[UID_SIZE], usual[UID_SIZE], quick[UID_SIZE];
    find_and_tune(w, &device, uid, tone);
    play_to(w, tone, uid, 1000, slow);
    assert_int_equal(w->period_ns, 21'333'334); /* not ever longer */
    play_to(w, tone, uid, 100, usual);
    assert_int_equal(w->period_ns, 12'500'000);
    play_to(w, tone, uid, 10, quick);
    assert_int_equal(w->period_ns, 2'666'667);
    assert_int_equal(w->n_periods, 2);
    /* it stays so while it plays: a longer one would be heard */
    remove_stream(w, quick);
    assert_int_equal(w->n_periods, 2);
    /* unless somebody says so */
    struct endpoint_spec spec = orchestrator_endpoint(w->orchestrator, uid)->spec;
    spec.has_period_ms = PRESENCE_VALUE;
    spec.period_ms = 30;
    change(w, uid, &spec);
    assert_int_equal(w->period_ns, 30 * NS_PER_MS);
    assert_int_equal(w->n_periods, 3);
    assert_int_equal(w->open_streams, 1 + 1); /* none was opened anew */
    remove_stream(w, slow);
    remove_stream(w, usual);
    assert_int_equal(w->open_streams, 0);
    play_to(w, tone, uid, 10, quick);
    assert_int_equal(w->period_ns, 30 * NS_PER_MS);
    assert_int_equal(w->n_periods, 3);
    struct err_info info = {};
    struct endpoint_spec other = fake_endpoint_spec("{\"kind\":\"tone\",\"period_ms\":5}");
    assert_int_equal(put(w, "", &other, tone, &info), ERR_INVALID);
    assert_string_equal(info.pointer, "/period_ms");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(what_is_found_is_listed_as_long_as_it_is_there),
        TEST(each_change_of_what_is_shown_is_an_event),
        TEST(uids_tell_devices_apart),
        TEST(what_has_settings_stays_listed),
        TEST(what_a_stream_names_stays_listed_and_comes_back),
        TEST(volume_and_mute_are_set_when_it_appears_and_when_they_change),
        TEST(a_driver_without_its_sound_server),
        TEST(thousands_that_come_and_go),
        TEST(what_does_not_move_is_opened_anew),
        TEST(what_moves_more_than_the_target_holds_is_told),
        TEST(what_a_write_may_not_do),
        TEST(a_default_does_not_lead_a_device_into_itself),
        TEST(a_virtual_device_is_kept_up),
        TEST(virtual_devices_have_names_of_their_own),
        TEST(its_streams_say_how_much_it_moves_at_a_time),
    };
    return cmocka_run_group_tests_name("devices", tests, nullptr, nullptr);
}
