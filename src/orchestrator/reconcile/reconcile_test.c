/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/reconcile/reconcile.h"
#include "orchestrator/registry/events.h"
#include "support/fake_world.h"

/* Whatever happens, the engine is driven to what is wanted, in the right order, and people are told. */

static const char TONE[] = "{\"kind\":\"tone\"}";
static const char SINK[] = "{\"kind\":\"null\"}";
static const char FILE_ONCE[] = "{\"kind\":\"file\",\"file\":{\"name\":\"a.wav\"}}";

struct fixture {
    struct fake_world world;
    char source[UID_SIZE], sink[UID_SIZE], stream[UID_SIZE];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    fake_world_start(&f->world);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_world_finish(&f->world);
    free(f);
    return 0;
}

/* source → null, within the peer */
static void make_stream(struct fixture *f, const char *source) {
    fake_put_endpoint(&f->world, "", source, f->source);
    fake_put_endpoint(&f->world, "", SINK, f->sink);
    struct stream_spec spec = fake_stream_between(f->source, f->sink);
    fake_put_stream(&f->world, "", &spec, f->stream);
    fake_world_run_ms(&f->world, 0);
}

static void make_external(struct fixture *f, unsigned port) {
    fake_put_endpoint(&f->world, "", SINK, f->sink);
    char json[512];
    snprintf(json, sizeof json,
             "{\"settings\":{\"fec\":\"none\"},"
             "\"source\":{\"connection_type\":\"external\",\"media_uri\":\"rtp://0.0.0.0:%u\"},"
             "\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/%s\"}}",
             port, f->sink);
    struct stream_spec spec = fake_stream_spec(json);
    fake_put_stream(&f->world, "", &spec, f->stream);
    fake_world_run_ms(&f->world, 0);
}

/* "running", "pending FileMissing" */
static const char *state_of(struct fixture *f) {
    static char text[96];
    const struct registry_stream *stream = orchestrator_stream(f->world.orchestrator, f->stream);
    assert_non_null(stream);
    const struct stream_status *status = &stream->status;
    snprintf(text, sizeof text, "%s%s%s", stream_state_name(status->state), status->n_conditions ? " " : "",
             status->n_conditions ? status->conditions[0].reason : "");
    if (status->n_conditions)
        assert_true(strlen(status->conditions[0].message) > 10); /* a word alone helps nobody */
    return text;
}

static struct stream_spec spec_of(struct fixture *f) {
    return orchestrator_stream(f->world.orchestrator, f->stream)->spec;
}

static void change(struct fixture *f, const struct stream_spec *spec) {
    fake_put_stream(&f->world, f->stream, spec, f->stream);
    fake_world_run_ms(&f->world, 0);
}

static void remove_endpoint(struct fixture *f, const char *uid) {
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_endpoint(f->world.orchestrator, uid, ANY_GENERATION, true, fake_done, &answer, nullptr),
        ERR_OK);
    fake_world_run_ms(&f->world, 0);
    assert_int_equal(answer.result, ERR_OK);
}

/* ---- up and down ---- */

static void test_up_and_down_in_order(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    assert_string_equal(state_of(f), "running");
    assert_string_equal(f->world.trace, "+source +destination +receiver +sender");
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_stream(f->world.orchestrator, f->stream, ANY_GENERATION, fake_done, &answer, nullptr),
        ERR_OK);
    fake_world_clear_trace(&f->world);
    fake_world_run_ms(&f->world, 10);
    assert_int_equal(answer.result, ERR_OK);
    assert_int_equal(f->world.open_streams, 0);
    assert_int_equal(f->world.open_paths, 0);
    assert_null(fake_world_link(&f->world, true));
    assert_null(fake_world_link(&f->world, false));
}

static void test_enabled_is_a_switch(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    struct stream_spec spec = spec_of(f);
    fake_world_clear_trace(&f->world);
    spec.enabled = false;
    change(f, &spec);
    assert_string_equal(state_of(f), "stopped Disabled");
    assert_string_equal(f->world.trace, "-sender -receiver -source -destination");
    spec.enabled = true;
    change(f, &spec);
    assert_string_equal(state_of(f), "running");
}

static void test_everything_is_back_after_a_restart(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    fake_world_stop(&f->world);
    fake_world_start(&f->world);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "running");
}

static void test_two_streams_share_a_source(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    char sink[UID_SIZE], stream[UID_SIZE];
    fake_put_endpoint(&f->world, "", SINK, sink);
    struct stream_spec spec = fake_stream_between(f->source, sink);
    fake_put_stream(&f->world, "", &spec, stream);
    fake_world_run_ms(&f->world, 600);
    assert_int_equal(f->world.open_streams, 3); /* one source, two destinations */
    assert_int_equal(orchestrator_endpoint(f->world.orchestrator, f->source)->status.active_streams, 2);
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_stream(f->world.orchestrator, stream, ANY_GENERATION, fake_done, &answer, nullptr), ERR_OK);
    fake_world_run_ms(&f->world, 600);
    assert_int_equal(f->world.open_streams, 2);
    assert_string_equal(state_of(f), "running");
    assert_int_equal(orchestrator_endpoint(f->world.orchestrator, f->source)->status.active_streams, 1);
}

/* ---- changes ---- */

static void test_gain_needs_no_new_link(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    uint32_t link = fake_world_link(&f->world, true)->id;
    fake_world_clear_trace(&f->world);
    struct stream_spec spec = spec_of(f);
    spec.settings.gain_db = -6;
    spec.settings.muted = true;
    snprintf(spec.display_name, sizeof spec.display_name, "another name");
    change(f, &spec);
    assert_string_equal(f->world.trace, "");
    assert_int_equal(fake_world_link(&f->world, true)->id, link);
    assert_true(f->world.gain_db == -6 && f->world.muted);
    assert_string_equal(state_of(f), "running");
}

static void test_members_of_a_bus_are_the_far_ends(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    const char *self = orchestrator_self(f->world.orchestrator)->uid;
    assert_string_equal(fake_world_link(&f->world, true)->config.member, self);
    assert_string_equal(fake_world_link(&f->world, false)->config.member, self);
    struct stream_spec spec = spec_of(f);
    spec.settings.has_member = PRESENCE_VALUE;
    snprintf(spec.settings.member, sizeof spec.settings.member, "recorder");
    change(f, &spec);
    assert_string_equal(fake_world_link(&f->world, true)->config.member, "recorder");
    assert_string_equal(fake_world_link(&f->world, false)->config.member, "recorder");
    assert_string_equal(state_of(f), "running");
}

static void test_who_sends_to_an_open_port_is_no_member(void **state) {
    struct fixture *f = *state;
    make_external(f, 10001);
    assert_string_equal(fake_world_link(&f->world, true)->config.member, "");
    struct stream_spec spec = spec_of(f);
    spec.source.external.n_allowed_sources = 1;
    snprintf(spec.source.external.allowed_sources[0], sizeof spec.source.external.allowed_sources[0], "192.0.2.7");
    change(f, &spec);
    assert_string_equal(fake_world_link(&f->world, true)->config.member, "192.0.2.7");
}

static void test_delay_is_set_while_it_plays(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    fake_world_clear_trace(&f->world);
    fake_put_endpoint(&f->world, f->sink, "{\"kind\":\"null\",\"delay_ms\":12.5}", f->sink);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(f->world.trace, "");
    assert_int_equal(f->world.nodes[1].delay_ns, 12'500'000);
    /* and it is there from the start after a restart */
    fake_world_stop(&f->world);
    fake_world_start(&f->world);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "running");
    assert_int_equal(f->world.nodes[3].delay_ns, 12'500'000);
    struct endpoint_spec tone = orchestrator_endpoint(f->world.orchestrator, f->source)->spec;
    char uid[UID_SIZE];
    struct err_info info = {};
    tone.delay_ms = 1;
    assert_int_equal(orchestrator_put_endpoint(f->world.orchestrator, f->source, &tone, ANY_GENERATION, uid, fake_done,
                                               &(struct fake_answer){}, &info),
                     ERR_INVALID);
    assert_string_equal(info.pointer, "/delay_ms");
}

static void test_another_latency_is_another_link(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    fake_world_clear_trace(&f->world);
    struct stream_spec spec = spec_of(f);
    spec.settings.has_target_latency_ms = PRESENCE_VALUE;
    spec.settings.target_latency_ms = 300;
    change(f, &spec);
    /* The nodes stay: a file goes on playing. */
    assert_string_equal(f->world.trace, "-sender -receiver +receiver +sender");
    assert_int_equal(fake_world_link(&f->world, true)->config.settings.target_latency_ns, 300 * NS_PER_MS);
    assert_string_equal(state_of(f), "running");
    assert_int_equal(orchestrator_stream(f->world.orchestrator, f->stream)->status.restarts, 0); /* it was asked for */
}

static void test_another_destination(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    char sink[UID_SIZE];
    fake_put_endpoint(&f->world, "", SINK, sink);
    fake_world_clear_trace(&f->world);
    struct stream_spec spec = fake_stream_between(f->source, sink);
    change(f, &spec);
    assert_string_equal(state_of(f), "running");
    assert_int_equal(f->world.open_streams, 2);
    assert_null(strstr(f->world.trace, "source")); /* it goes on */
}

/* ---- what is missing ---- */

static void test_waits_for_a_file_and_starts_by_itself(void **state) {
    struct fixture *f = *state;
    f->world.file_error = ERR_NOT_FOUND;
    make_stream(f, FILE_ONCE);
    assert_string_equal(state_of(f), "pending FileMissing");
    const struct registry_stream *stream = orchestrator_stream(f->world.orchestrator, f->stream);
    assert_non_null(strstr(stream->status.conditions[0].message, "a.wav"));
    assert_string_equal(stream->status.conditions[0].type, "Source");
    fake_world_run_ms(&f->world, 60'000);
    assert_string_equal(state_of(f), "pending FileMissing");
    uint64_t before = events_last(orchestrator_events(f->world.orchestrator));
    fake_world_run_ms(&f->world, 60'000);
    /* Nothing has changed: nobody is told anything. */
    assert_int_equal(events_last(orchestrator_events(f->world.orchestrator)), before);
    f->world.file_error = ERR_OK;
    fake_world_run_ms(&f->world, 2000);
    assert_string_equal(state_of(f), "running");
}

static void test_waits_for_a_recording_to_be_possible(void **state) {
    struct fixture *f = *state;
    f->world.file_error = ERR_DENIED;
    fake_put_endpoint(&f->world, "", "{\"kind\":\"file\",\"file\":{\"name\":\"b.wav\",\"mode\":\"record\"}}", f->sink);
    fake_put_endpoint(&f->world, "", TONE, f->source);
    struct stream_spec spec = fake_stream_between(f->source, f->sink);
    fake_put_stream(&f->world, "", &spec, f->stream);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "failed AccessDenied");
    f->world.file_error = ERR_OK;
    fake_world_run_ms(&f->world, 2000);
    assert_string_equal(state_of(f), "running");
}

static void test_an_endpoint_goes_and_comes_back(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    remove_endpoint(f, f->source);
    assert_string_equal(state_of(f), "pending EndpointMissing");
    assert_int_equal(f->world.open_streams, 0);
    char same[UID_SIZE];
    fake_put_endpoint(&f->world, f->source, TONE, same);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "running");
    fake_put_endpoint(&f->world, f->source, "{\"kind\":\"tone\",\"enabled\":false}", same);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "pending EndpointDisabled");
    fake_put_endpoint(&f->world, f->source, TONE, same);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "running");
}

static void test_a_changed_endpoint_is_opened_anew(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    size_t nodes = f->world.n_nodes;
    char same[UID_SIZE];
    fake_put_endpoint(&f->world, f->source, "{\"kind\":\"tone\",\"display_name\":\"only a name\"}", same);
    fake_world_run_ms(&f->world, 0);
    assert_int_equal(f->world.n_nodes, nodes);
    fake_put_endpoint(&f->world, f->source, "{\"kind\":\"tone\",\"tone\":{\"frequency_hz\":880}}", same);
    fake_world_run_ms(&f->world, 0);
    assert_int_equal(f->world.n_nodes, nodes + 1);
    assert_string_equal(state_of(f), "running");
}

/* ---- the end of a source ---- */

static void test_a_file_that_ends_and_is_written_again(void **state) {
    struct fixture *f = *state;
    make_stream(f, FILE_ONCE);
    assert_string_equal(state_of(f), "running");
    fake_world_node_event(&f->world, AUDIO_INPUT, ENGINE_NODE_ENDED);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "running"); /* its last sound is on its way */
    fake_world_run_ms(&f->world, 2000);
    assert_string_equal(state_of(f), "stopped SourceEnded");
    assert_int_equal(f->world.open_streams, 0);
    fake_world_run_ms(&f->world, 60'000);
    assert_string_equal(state_of(f), "stopped SourceEnded");
    struct stream_spec spec = spec_of(f);
    change(f, &spec);
    assert_string_equal(state_of(f), "running");
}

/* ---- failures ---- */

/* Attempts come at 0, 0.5, 1, 2, 4, 8, 10, 10 … seconds after each other, ± 20 %. */
static void test_failures_are_tried_again_with_growing_pauses(void **state) {
    struct fixture *f = *state;
    f->world.path_error = ERR_IO;
    make_external(f, 10001);
    assert_string_equal(state_of(f), "failed PathFailed");
    fake_world_run_ms(&f->world, 100'000);
    assert_true(f->world.n_path_opened >= 8);
    double wanted_ms = 500;
    for (size_t i = 1; i < f->world.n_path_opened; i++) {
        double pause_ms = (double)(f->world.path_opened_ns[i] - f->world.path_opened_ns[i - 1]) / NS_PER_MS;
        if (pause_ms < wanted_ms * 0.8 || pause_ms > wanted_ms * 1.2)
            fail_msg("attempt %zu after %.0f ms, not about %.0f", i, pause_ms, wanted_ms);
        wanted_ms = wanted_ms * 2 > 10'000 ? 10'000 : wanted_ms * 2;
    }
    assert_int_equal(f->world.open_paths, 0);
    f->world.path_error = ERR_OK;
    fake_world_run_ms(&f->world, 12'001);
    assert_string_equal(state_of(f), "running");
}

static void test_a_write_ends_the_pause(void **state) {
    struct fixture *f = *state;
    f->world.path_error = ERR_IO;
    make_external(f, 10001);
    fake_world_run_ms(&f->world, 60'000);
    f->world.path_error = ERR_OK;
    struct stream_spec spec = spec_of(f);
    change(f, &spec);
    assert_string_equal(state_of(f), "running");
}

static void test_a_taken_port_is_waited_for(void **state) {
    struct fixture *f = *state;
    f->world.path_error = ERR_BUSY;
    make_external(f, 10001);
    assert_string_equal(state_of(f), "pending PortInUse");
    const struct registry_stream *stream = orchestrator_stream(f->world.orchestrator, f->stream);
    assert_non_null(strstr(stream->status.conditions[0].message, "10001"));
    f->world.path_error = ERR_OK;
    fake_world_run_ms(&f->world, 12'001);
    assert_string_equal(state_of(f), "running");
}

static void test_chosen_ports_are_from_the_range(void **state) {
    struct fixture *f = *state;
    make_external(f, 0);
    assert_string_equal(state_of(f), "running");
    const struct registry_stream *stream = orchestrator_stream(f->world.orchestrator, f->stream);
    assert_int_equal(stream->status.local_uris.has_media, PRESENCE_VALUE);
    unsigned port = 0;
    assert_int_equal(sscanf(stream->status.local_uris.media, "rtp://0.0.0.0:%u", &port), 1);
    assert_true(port >= 20000 && port <= 20009);
    /* Taken, all of them: it says what to do. */
    f->world.path_error = ERR_BUSY;
    struct stream_spec spec = spec_of(f);
    spec.settings.has_target_latency_ms = PRESENCE_VALUE;
    spec.settings.target_latency_ms = 150;
    change(f, &spec);
    assert_string_equal(state_of(f), "pending PortInUse");
}

static void test_a_broken_link_is_built_anew(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    fake_world_link_event(&f->world, fake_world_link(&f->world, true), ENGINE_LINK_FAILED);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "failed PathFailed");
    assert_null(fake_world_link(&f->world, true)); /* and never asked again */
    assert_null(fake_world_link(&f->world, false));
    fake_world_run_ms(&f->world, 1000);
    assert_string_equal(state_of(f), "running");
    assert_int_equal(orchestrator_stream(f->world.orchestrator, f->stream)->status.restarts, 1);
}

static bool receiver_is_up(struct fixture *f, int32_t target_latency_ms) {
    const struct fake_link *receiver = fake_world_link(&f->world, true);
    return receiver && receiver->is_up && !fake_world_link(&f->world, false) &&
           receiver->config.settings.target_latency_ns == target_latency_ms * NS_PER_MS;
}

/* Either end may refuse to be built; nothing of the other may be left. */
static void test_half_a_link_is_taken_down(void **state) {
    struct fixture *f = *state;
    for (int sender_fails = 0; sender_fails <= 1; sender_fails++) {
        make_stream(f, TONE);
        struct stream_spec spec = spec_of(f);
        spec.settings.has_target_latency_ms = PRESENCE_VALUE;
        spec.settings.target_latency_ms = 200;
        char uid[UID_SIZE];
        assert_int_equal(orchestrator_put_stream(f->world.orchestrator, f->stream, &spec, nullptr, ANY_GENERATION, uid,
                                                 nullptr, nullptr, nullptr),
                         ERR_OK);
        for (int i = 0; sender_fails && !receiver_is_up(f, 200); i++) {
            assert_true(i < 1000);
            fake_world_step(&f->world);
        }
        f->world.link_error = ERR_INTERNAL;
        f->world.n_link_errors = 1;
        fake_world_run_ms(&f->world, 0);
        assert_int_equal(f->world.n_link_errors, 0);
        assert_string_equal(state_of(f), "failed PathFailed");
        assert_int_equal(f->world.open_paths, 0);
        fake_world_run_ms(&f->world, 1000);
        assert_string_equal(state_of(f), "running");
        assert_int_equal(
            orchestrator_remove_stream(f->world.orchestrator, f->stream, ANY_GENERATION, nullptr, nullptr, nullptr),
            ERR_OK);
        fake_world_run_ms(&f->world, 10);
        assert_int_equal(f->world.open_streams, 0);
    }
}

/* How long until it runs again, in steps of 100 ms. */
static int64_t fail_and_wait_ms(struct fixture *f) {
    fake_world_link_event(&f->world, fake_world_link(&f->world, true), ENGINE_LINK_FAILED);
    for (int64_t ms = 0; ms < 20'000; ms += 100) {
        if (strcmp(state_of(f), "running") == 0 && fake_world_link(&f->world, true) && ms > 0)
            return ms;
        fake_world_run_ms(&f->world, 100);
    }
    fail_msg("it did not come back");
    return 0;
}

static void test_steady_sound_makes_the_next_failure_a_first_one(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    int64_t wait_ms = 0;
    for (int i = 0; i < 6; i++) /* one right after the other: pauses grow */
        wait_ms = fail_and_wait_ms(f);
    assert_true(wait_ms > 7'900);
    fake_world_run_ms(&f->world, RECONCILE_STEADY_NS / NS_PER_MS);
    assert_true(fail_and_wait_ms(f) <= 700);
}

static void test_a_node_that_fails(void **state) {
    struct fixture *f = *state;
    make_stream(f, FILE_ONCE);
    f->world.file_error = ERR_IO;
    fake_world_node_event(&f->world, AUDIO_INPUT, ENGINE_NODE_FAILED);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "failed FileFailed");
    assert_int_equal(f->world.open_streams, 1); /* the destination is kept for the next attempt */
    f->world.file_error = ERR_OK;
    fake_world_run_ms(&f->world, 12'001);
    assert_string_equal(state_of(f), "running");
}

static void test_a_device_that_does_not_open(void **state) {
    struct fixture *f = *state;
    f->world.open_error = ERR_BUSY;
    make_stream(f, TONE);
    assert_string_equal(state_of(f), "failed DeviceBusy");
    f->world.open_error = ERR_OK;
    fake_world_run_ms(&f->world, 1300); /* both sides have failed */
    assert_string_equal(state_of(f), "running");
}

/* ---- sound ---- */

static void test_silence_degrades_and_sound_heals(void **state) {
    struct fixture *f = *state;
    make_external(f, 10001);
    assert_string_equal(state_of(f), "running");
    struct fake_link *link = fake_world_link(&f->world, true);
    link->status.playing = false;
    fake_world_link_event(&f->world, link, ENGINE_LINK_SILENT);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "degraded NoMedia");
    link->status.packets_received = 10; /* the same sender goes on */
    link->status.playing = true;
    fake_world_run_ms(&f->world, 600);
    assert_string_equal(state_of(f), "running");
    link->status.playing = false;
    fake_world_link_event(&f->world, link, ENGINE_LINK_SILENT);
    fake_world_run_ms(&f->world, 6000);
    assert_string_equal(state_of(f), "connecting NoMedia"); /* it waits for a sender */
    assert_non_null(fake_world_link(&f->world, true));
    fake_world_link_event(&f->world, link, ENGINE_LINK_STARTED);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "running");
}

static void test_a_speaker_nobody_plays_into_is_idle(void **state) {
    struct fixture *f = *state;
    struct fake_world *w = &f->world;
    make_stream(f, "{\"kind\":\"virtual_speaker\",\"display_name\":\"kitchen\"}");
    w->mute = true;
    w->watcher->device(w->watcher_arg, &(struct audio_device){.uid = f->source,
                                                              .system_name = "rocd.kitchen",
                                                              .display_name = "kitchen",
                                                              .kind = ENDPOINT_KIND_VIRTUAL_SPEAKER,
                                                              .direction = AUDIO_INPUT});
    fake_world_run_ms(w, 100);
    assert_string_equal(state_of(f), "connecting NoMedia");
    struct fake_node *node = nullptr;
    for (size_t i = 0; i < w->n_nodes; i++)
        node = w->nodes[i].direction == AUDIO_INPUT ? &w->nodes[i] : node;
    assert_non_null(node);
    node->status.stands_still = true;
    fake_world_run_ms(w, 600);
    assert_string_equal(state_of(f), "running SourceIdle");
    const struct registry_stream *stream = orchestrator_stream(w->orchestrator, f->stream);
    assert_non_null(strstr(stream->status.conditions[0].message, "/kitchen"));
    assert_string_equal(stream->status.conditions[0].type, "Source");
    node->status.stands_still = false;
    fake_world_link_event(w, fake_world_link(w, true), ENGINE_LINK_STARTED);
    fake_world_run_ms(w, 600);
    assert_string_equal(state_of(f), "running");
    node->status.stands_still = true;
    fake_world_link_event(w, fake_world_link(w, true), ENGINE_LINK_SILENT);
    fake_world_run_ms(w, 20'000);
    assert_string_equal(state_of(f), "running SourceIdle");
}

/* Of any other device that is a fault, or will be one. */
static void test_a_microphone_that_stands_still_is_not_idle(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    struct fake_link *link = fake_world_link(&f->world, true);
    for (size_t i = 0; i < f->world.n_nodes; i++)
        f->world.nodes[i].status.stands_still = true;
    link->status.playing = false;
    fake_world_link_event(&f->world, link, ENGINE_LINK_SILENT);
    fake_world_run_ms(&f->world, 2000);
    assert_string_equal(state_of(f), "degraded NoMedia");
}

/* Told with the wall time at which it was heard, whatever the clock of the engine says. */
static void test_lost_sound_is_kept_with_its_cause(void **state) {
    struct fixture *f = *state;
    struct fake_world *w = &f->world;
    make_stream(f, TONE);
    struct fake_link *link = fake_world_link(w, true);
    struct stream_glitch shown;
    assert_false(orchestrator_show_glitch(w->orchestrator, f->stream, 0, &shown));
    int64_t now_ns = w->sim.clock.now_ns;
    link->glitches[0] = (struct glitch){now_ns - 1'000'000'000, GLITCH_NETWORK_LOSS, 480};
    link->glitches[1] = (struct glitch){now_ns - 900'000'000, GLITCH_NETWORK_LOSS, 240};
    link->glitches[2] = (struct glitch){now_ns - 100'000'000, GLITCH_CLOCK_JUMP, 4800};
    link->n_glitches = 3;
    fake_world_run_ms(w, 600);
    char at[CLOCK_TEXT_SIZE];
    clock_format(at, w->sim.clock.wall_offset_ns + now_ns - 100'000'000);
    assert_true(orchestrator_show_glitch(w->orchestrator, f->stream, 0, &shown));
    assert_int_equal(shown.cause, GLITCH_CAUSE_CLOCK_JUMP);
    assert_string_equal(shown.at, at);
    assert_true(shown.lost_ms == 100);
    assert_true(orchestrator_show_glitch(w->orchestrator, f->stream, 1, &shown));
    assert_true(shown.cause == GLITCH_CAUSE_NETWORK_LOSS && shown.pieces == 2 && shown.lost_ms == 15);
    assert_false(orchestrator_show_glitch(w->orchestrator, f->stream, 2, &shown));
    const struct stream_status *status = &orchestrator_stream(w->orchestrator, f->stream)->status;
    assert_int_equal(status->has_glitches, PRESENCE_VALUE);
    assert_int_equal(status->glitches.network_loss, 2);
    /* xruns of the device, from what it had when it was opened on */
    struct fake_node *node = &w->nodes[w->nodes[0].direction == AUDIO_OUTPUT ? 0 : 1];
    node->status.has_xruns = true;
    node->status.xruns = 7;
    fake_world_run_ms(w, 600);
    assert_int_equal(status->glitches.device_xrun, 0);
    node->status.xruns = 10;
    fake_world_run_ms(w, 1100);
    assert_int_equal(status->glitches.device_xrun, 3);
    assert_true(orchestrator_show_glitch(w->orchestrator, f->stream, 0, &shown));
    assert_true(shown.cause == GLITCH_CAUSE_DEVICE_XRUN && shown.has_lost_ms == PRESENCE_NULL && shown.pieces == 3);
    /* it was not served, because we stood still */
    node->status.xruns = 12;
    fake_world_run_ms(w, 500);
    node->status.late_ns = 200'000'000; /* told when it is over */
    fake_world_run_ms(w, 600);
    node->status.late_ns = 0;
    fake_world_run_ms(w, 600);
    assert_int_equal(status->glitches.device_xrun, 3);
    assert_int_equal(status->glitches.stall, 2);
}

/* What goes to endpoints may share an encoder; what goes outside has a gain there, and a fade. */
static void test_streams_to_endpoints_may_share_an_encoder(void **state) {
    struct fixture *f = *state;
    struct fake_world *w = &f->world;
    make_stream(f, TONE);
    assert_true(fake_world_link(w, false)->config.may_share);
    assert_false(fake_world_link(w, true)->config.may_share);
    for (size_t i = 0; i < w->n_nodes; i++)
        w->nodes[i].status.n_encoders = 3;
    fake_world_run_ms(w, 600);
    const struct endpoint_status *source = &orchestrator_endpoint(w->orchestrator, f->source)->status;
    assert_int_equal(source->has_encoders, PRESENCE_VALUE);
    assert_int_equal(source->encoders, 3);
    assert_int_equal(orchestrator_endpoint(w->orchestrator, f->sink)->status.has_encoders, PRESENCE_ABSENT);
    char json[512];
    snprintf(json, sizeof json,
             "{\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/%s\"},"
             "\"destination\":{\"connection_type\":\"external\",\"media_uri\":\"rtp+rs8m://192.0.2.1:10001\","
             "\"repair_uri\":\"rs8m://192.0.2.1:10002\"}}",
             f->source);
    struct stream_spec spec = fake_stream_spec(json);
    fake_put_stream(w, "", &spec, f->stream);
    fake_world_run_ms(w, 100);
    assert_false(fake_world_link(w, false)->config.may_share);
}

static void test_xruns_are_those_of_devices(void **state) {
    struct fixture *f = *state;
    struct fake_world *w = &f->world;
    make_stream(f, TONE);
    const struct endpoint_status *source = &orchestrator_endpoint(w->orchestrator, f->source)->status;
    const struct endpoint_status *sink = &orchestrator_endpoint(w->orchestrator, f->sink)->status;
    for (size_t i = 0; i < w->n_nodes; i++)
        if (w->nodes[i].direction == AUDIO_OUTPUT) {
            w->nodes[i].status.has_xruns = true;
            w->nodes[i].status.xruns = 7;
        }
    fake_world_run_ms(w, 600);
    assert_int_equal(source->has_xruns, PRESENCE_ABSENT);
    assert_int_equal(sink->has_xruns, PRESENCE_VALUE);
    assert_int_equal(sink->xruns, 7);
}

static void test_losses_degrade(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    struct fake_link *link = fake_world_link(&f->world, true);
    fake_world_run_ms(&f->world, 1000);
    for (int i = 0; i < 6; i++) { /* 2 % of 48000 a second */
        link->status.lost_network += 480;
        fake_world_run_ms(&f->world, 500);
    }
    assert_string_equal(state_of(f), "degraded PacketLoss");
    fake_world_run_ms(&f->world, 6000);
    assert_string_equal(state_of(f), "running");
}

static const struct stream_status *status_of(struct fixture *f) {
    const struct registry_stream *stream = orchestrator_stream(f->world.orchestrator, f->stream);
    assert_non_null(stream);
    return &stream->status;
}

static void test_auto_tells_which_latency_it_took_and_why(void **state) {
    struct fixture *f = *state;
    make_external(f, 10001);
    struct fake_link *link = fake_world_link(&f->world, true);
    assert_int_equal(link->config.latency_min_ns, 100 * NS_PER_MS);
    assert_int_equal(link->config.latency_max_ns, 500 * NS_PER_MS);
    assert_int_equal(status_of(f)->has_latency_change, PRESENCE_ABSENT);
    struct events *events = orchestrator_events(f->world.orchestrator);
    uint64_t before = events_last(events);
    fake_world_latency_event(&f->world, link, 100, 250, ADAPT_LATE);
    assert_int_equal(events_last(events), before + 1);
    fake_world_latency_event(&f->world, link, 250, 200, ADAPT_CALM);
    assert_int_equal(events_last(events), before + 2);
    const struct stream_status *status = status_of(f);
    assert_int_equal(status->has_latency_change, PRESENCE_VALUE);
    assert_string_equal(status->latency_change.cause, "Calm");
    assert_true(status->latency_change.from_ms == 250 && status->latency_change.to_ms == 200);
    assert_int_equal(status->latency_change.changes, 2);
    assert_true(status->latency_ms.target == 200);
    assert_string_equal(state_of(f), "running");
    /* the next path knows nothing of it */
    fake_world_link_event(&f->world, link, ENGINE_LINK_FAILED);
    fake_world_run_ms(&f->world, 2000);
    assert_string_equal(state_of(f), "running");
    assert_int_equal(status_of(f)->has_latency_change, PRESENCE_ABSENT);
    assert_true(status_of(f)->latency_ms.target == 100);
}

static void test_no_sound_yet(void **state) {
    struct fixture *f = *state;
    f->world.mute = true;
    make_external(f, 10001);
    assert_string_equal(state_of(f), "connecting NoMedia");
    fake_world_link_event(&f->world, fake_world_link(&f->world, true), ENGINE_LINK_STARTED);
    fake_world_run_ms(&f->world, 0);
    assert_string_equal(state_of(f), "running");
}

static void test_meters_only_while_somebody_watches(void **state) {
    struct fixture *f = *state;
    make_stream(f, TONE);
    struct fake_link *link = fake_world_link(&f->world, true);
    link->status.n_channels = 2;
    link->status.level_dbfs[0] = link->status.level_dbfs[1] = -20;
    struct events *events = orchestrator_events(f->world.orchestrator);
    uint64_t before = events_last(events);
    fake_world_run_ms(&f->world, 2000);
    assert_int_equal(events_last(events), before);
    orchestrator_watch_meters(f->world.orchestrator, true);
    fake_world_run_ms(&f->world, 1000);
    uint64_t n = events_last(events) - before;
    assert_true(n >= 9 && n <= 11);
    orchestrator_watch_meters(f->world.orchestrator, false);
    before = events_last(events);
    fake_world_run_ms(&f->world, 2000);
    assert_int_equal(events_last(events), before);
}

/* ---- the end ---- */

/* Stopping in the middle of anything, at any step, leaves nothing: fake_world_stop() asserts it. */
static void test_stop_at_any_step(void **state) {
    struct fixture *f = *state;
    for (int steps = 0; steps < 40; steps++) {
        char source[UID_SIZE], sink[UID_SIZE], uid[UID_SIZE];
        fake_put_endpoint(&f->world, "", TONE, source);
        fake_put_endpoint(&f->world, "", SINK, sink);
        struct stream_spec spec = fake_stream_between(source, sink);
        assert_int_equal(orchestrator_put_stream(f->world.orchestrator, "", &spec, nullptr, ANY_GENERATION, uid,
                                                 nullptr, nullptr, nullptr),
                         ERR_OK);
        for (int i = 0; i < steps; i++)
            fake_world_step(&f->world);
        fake_world_stop(&f->world);
        f->world.n_nodes = f->world.n_links = 0;
        fake_world_clear_trace(&f->world);
        fake_world_start(&f->world);
        assert_int_equal(
            orchestrator_remove_stream(f->world.orchestrator, uid, ANY_GENERATION, nullptr, nullptr, nullptr), ERR_OK);
        fake_world_run_ms(&f->world, 10);
    }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_up_and_down_in_order),
        TEST(test_enabled_is_a_switch),
        TEST(test_everything_is_back_after_a_restart),
        TEST(test_two_streams_share_a_source),
        TEST(test_gain_needs_no_new_link),
        TEST(test_delay_is_set_while_it_plays),
        TEST(test_members_of_a_bus_are_the_far_ends),
        TEST(test_who_sends_to_an_open_port_is_no_member),
        TEST(test_another_latency_is_another_link),
        TEST(test_another_destination),
        TEST(test_waits_for_a_file_and_starts_by_itself),
        TEST(test_waits_for_a_recording_to_be_possible),
        TEST(test_an_endpoint_goes_and_comes_back),
        TEST(test_a_changed_endpoint_is_opened_anew),
        TEST(test_a_file_that_ends_and_is_written_again),
        TEST(test_failures_are_tried_again_with_growing_pauses),
        TEST(test_a_write_ends_the_pause),
        TEST(test_a_taken_port_is_waited_for),
        TEST(test_chosen_ports_are_from_the_range),
        TEST(test_a_broken_link_is_built_anew),
        TEST(test_half_a_link_is_taken_down),
        TEST(test_steady_sound_makes_the_next_failure_a_first_one),
        TEST(test_a_node_that_fails),
        TEST(test_a_device_that_does_not_open),
        TEST(test_silence_degrades_and_sound_heals),
        TEST(test_a_speaker_nobody_plays_into_is_idle),
        TEST(test_a_microphone_that_stands_still_is_not_idle),
        TEST(test_lost_sound_is_kept_with_its_cause),
        TEST(test_streams_to_endpoints_may_share_an_encoder),
        TEST(test_xruns_are_those_of_devices),
        TEST(test_losses_degrade),
        TEST(test_auto_tells_which_latency_it_took_and_why),
        TEST(test_no_sound_yet),
        TEST(test_meters_only_while_somebody_watches),
        TEST(test_stop_at_any_step),
    };
#undef TEST
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
