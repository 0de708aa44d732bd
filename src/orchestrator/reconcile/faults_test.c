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
#include "support/fake_world.h"

/* What comes between the steps of building a stream, and what the way to and from elsewhere can do. */

static const char TONE[] = "{\"kind\":\"tone\"}";
static const char SINK[] = "{\"kind\":\"null\"}";

struct fixture {
    struct fake_world world;
    char source[UID_SIZE], sink[UID_SIZE], stream[UID_SIZE];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    fake_world_init(&f->world);
    fake_world_start(&f->world);
    fake_put_endpoint(&f->world, "", TONE, f->source);
    fake_put_endpoint(&f->world, "", SINK, f->sink);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    fake_world_finish(&f->world);
    free(f);
    return 0;
}

static void run_ms(struct fixture *f, int64_t ms) {
    fake_world_run_ms(&f->world, ms);
}

static void put(struct fixture *f, const char *json, char ret_uid[static UID_SIZE]) {
    const struct stream_spec spec = fake_stream_spec(json);
    fake_put_stream(&f->world, "", &spec, ret_uid);
    run_ms(f, 0);
}

static void put_from_elsewhere(struct fixture *f, unsigned port, const char *more, char ret_uid[static UID_SIZE]) {
    char json[600];
    snprintf(json, sizeof json,
             "{\"settings\":{\"fec\":\"none\"},\"source\":{\"connection_type\":\"external\",\"media_uri\":"
             "\"rtp://0.0.0.0:%u\"%s},\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":"
             "\"/peers/self/endpoints/%s\"}}",
             port, more, f->sink);
    put(f, json, ret_uid);
}

static void put_to_elsewhere(struct fixture *f) {
    char json[600];
    snprintf(json, sizeof json,
             "{\"settings\":{\"fec\":\"none\"},\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":"
             "\"/peers/self/endpoints/%s\"},\"destination\":{\"connection_type\":\"external\",\"media_uri\":"
             "\"rtp://10.0.0.9:10001\"}}",
             f->source);
    put(f, json, f->stream);
}

static void put_within(struct fixture *f) {
    const struct stream_spec spec = fake_stream_between(f->source, f->sink);
    fake_put_stream(&f->world, "", &spec, f->stream);
    run_ms(f, 0);
}

/* "running", "pending FileMissing" */
static const char *state_of(struct fixture *f, const char *uid) {
    static char text[96];
    const struct registry_stream *stream = orchestrator_stream(f->world.orchestrator, uid);
    assert_non_null(stream);
    const struct stream_status *status = &stream->status;
    snprintf(text, sizeof text, "%s%s%s", stream_state_name(status->state), status->n_conditions ? " " : "",
             status->n_conditions ? status->conditions[0].reason : "");
    return text;
}

static void remove_stream(struct fixture *f) {
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_stream(f->world.orchestrator, f->stream, ANY_GENERATION, fake_done, &answer, nullptr),
        ERR_OK);
    run_ms(f, 10);
    assert_int_equal(answer.result, ERR_OK);
}

/* ---- between the steps ---- */

static void write_stream(struct fixture *f, const struct stream_spec *spec) {
    char uid[UID_SIZE];
    assert_int_equal(orchestrator_put_stream(f->world.orchestrator, f->stream, spec, nullptr, ANY_GENERATION, uid,
                                             nullptr, nullptr, nullptr),
                     ERR_OK);
}

static void write_source(struct fixture *f, int frequency_hz) {
    char json[96], uid[UID_SIZE];
    snprintf(json, sizeof json, "{\"kind\":\"tone\",\"tone\":{\"frequency_hz\":%d}}", frequency_hz);
    const struct endpoint_spec spec = fake_endpoint_spec(json);
    assert_int_equal(orchestrator_put_endpoint(f->world.orchestrator, f->source, &spec, ANY_GENERATION, uid, nullptr,
                                               nullptr, nullptr),
                     ERR_OK);
}

static struct stream_spec spec_of(struct fixture *f) {
    return orchestrator_stream(f->world.orchestrator, f->stream)->spec;
}

static void link_fails(struct fixture *f, bool receiving) {
    const struct fake_link *link = fake_world_link(&f->world, receiving);
    if (!link)
        return;
    fake_world_link_event(&f->world, link, ENGINE_LINK_FAILED);
    if (link->is_open) /* it says so as often as it likes */
        fake_world_link_event(&f->world, link, ENGINE_LINK_FAILED);
}

static void receiver_fails(struct fixture *f) {
    link_fails(f, true);
}

static void sender_fails(struct fixture *f) {
    link_fails(f, false);
}

static void node_event(struct fixture *f, enum audio_direction direction, enum engine_event_kind kind) {
    for (size_t i = 0; i < f->world.n_nodes; i++)
        if (f->world.nodes[i].is_open && f->world.nodes[i].direction == direction) {
            fake_world_node_event(&f->world, direction, kind);
            return;
        }
}

static void source_fails(struct fixture *f) {
    node_event(f, AUDIO_INPUT, ENGINE_NODE_FAILED);
}

static void destination_fails(struct fixture *f) {
    node_event(f, AUDIO_OUTPUT, ENGINE_NODE_FAILED);
}

/* What ends just as it is written again begins again. */
static void source_ends_and_is_written(struct fixture *f) {
    node_event(f, AUDIO_INPUT, ENGINE_NODE_ENDED);
    const struct stream_spec spec = spec_of(f);
    write_stream(f, &spec);
}

static void source_is_written(struct fixture *f) {
    write_source(f, 500);
}

static void source_is_written_twice(struct fixture *f) {
    write_source(f, 500);
    fake_world_step(&f->world);
    write_source(f, 600);
}

static void source_is_made_anew(struct fixture *f) {
    assert_int_equal(
        orchestrator_remove_endpoint(f->world.orchestrator, f->source, ANY_GENERATION, true, nullptr, nullptr, nullptr),
        ERR_OK);
    for (int i = 0; i < 3; i++)
        fake_world_step(&f->world);
    write_source(f, 500);
}

static void is_switched_off_and_on(struct fixture *f) {
    struct stream_spec spec = spec_of(f);
    spec.enabled = false;
    write_stream(f, &spec);
    for (int i = 0; i < 3; i++)
        fake_world_step(&f->world);
    spec.enabled = true;
    write_stream(f, &spec);
}

static void goes_elsewhere_and_back(struct fixture *f) {
    char other[UID_SIZE];
    const struct stream_spec before = spec_of(f);
    fake_put_endpoint(&f->world, "", SINK, other);
    const struct stream_spec spec = fake_stream_between(f->source, other);
    write_stream(f, &spec);
    for (int i = 0; i < 5; i++)
        fake_world_step(&f->world);
    write_stream(f, &before);
    run_ms(f, 1000);
    assert_int_equal(
        orchestrator_remove_endpoint(f->world.orchestrator, other, ANY_GENERATION, true, nullptr, nullptr, nullptr),
        ERR_OK);
}

/* What was said of links and nodes that are gone meanwhile. */
static void old_news_come(struct fixture *f) {
    for (uint32_t id = 1; id < 4; id++)
        for (int kind = ENGINE_NODE_ENDED; kind <= ENGINE_LINK_FAILED; kind++) {
            const struct engine_event event = {
                .kind = (enum engine_event_kind)kind, .node = FAKE_NODES_MAX + id, .link = FAKE_LINKS_MAX + id};
            orchestrator_on_engine_event(f->world.orchestrator, &event);
        }
}

static size_t n_open_links(const struct fixture *f) {
    size_t n = 0;
    for (size_t i = 0; i < f->world.n_links; i++)
        n += f->world.links[i].is_open;
    return n;
}

/* A stream that is being built anew for two reasons at once, and at some step of that something else: in the end it runs,
 * and there is one of everything. */
static void test_whatever_comes_at_any_step(void **state) {
    static const struct {
        const char *what;
        void (*comes)(struct fixture *f);
    } NEWS[] = {
        {"the receiver fails", receiver_fails},
        {"the sender fails", sender_fails},
        {"the source fails", source_fails},
        {"the destination fails", destination_fails},
        {"the source ends and is written again", source_ends_and_is_written},
        {"the source is another", source_is_written},
        {"the source is another, twice", source_is_written_twice},
        {"the source is removed and made anew", source_is_made_anew},
        {"off and on", is_switched_off_and_on},
        {"elsewhere and back", goes_elsewhere_and_back},
        {"old news", old_news_come},
    };
    struct fixture *f = *state;
    for (size_t n = 0; n < sizeof NEWS / sizeof *NEWS; n++)
        for (int steps = 0; steps < 25; steps++) {
            put_within(f);
            struct stream_spec spec = spec_of(f);
            assert_string_equal(state_of(f, f->stream), "running");
            spec.settings.has_target_latency_ms = PRESENCE_VALUE;
            spec.settings.target_latency_ms = 300;
            write_stream(f, &spec);
            write_source(f, 300 + steps);
            for (int i = 0; i < steps; i++)
                fake_world_step(&f->world);
            NEWS[n].comes(f);
            run_ms(f, 30'000);
            if (strcmp(state_of(f, f->stream), "running") != 0 || f->world.open_streams != 2 || n_open_links(f) != 2)
                fail_msg("%s after %d steps: %s, %u streams, %zu links", NEWS[n].what, steps, state_of(f, f->stream),
                         f->world.open_streams, n_open_links(f));
            remove_stream(f);
            assert_int_equal(f->world.open_streams, 0);
            assert_int_equal(f->world.open_paths, 0);
            f->world.n_nodes = f->world.n_links = 0;
            fake_world_clear_trace(&f->world);
        }
}

static void write_file_source(struct fixture *f, const char *uid, const char *name) {
    char json[96];
    snprintf(json, sizeof json, "{\"kind\":\"file\",\"file\":{\"name\":\"%s\"}}", name);
    fake_put_endpoint(&f->world, uid, json, f->source);
    run_ms(f, 0);
}

/* Whether its last sound is still on its way or all is over. */
static void test_a_source_that_has_ended_plays_again_when_it_is_written(void **state) {
    struct fixture *f = *state;
    for (int is_over = 0; is_over < 2; is_over++) {
        write_file_source(f, "", "a.wav");
        put_within(f);
        fake_world_node_event(&f->world, AUDIO_INPUT, ENGINE_NODE_ENDED);
        run_ms(f, is_over ? 2000 : 100);
        assert_string_equal(state_of(f, f->stream), is_over ? "stopped SourceEnded" : "running");
        write_file_source(f, f->source, "b.wav");
        run_ms(f, 2000);
        assert_string_equal(state_of(f, f->stream), "running");
        remove_stream(f);
    }
}

/* ---- to and from elsewhere ---- */

static unsigned port_of(struct fixture *f, const char *uid) {
    unsigned port = 0;
    const struct stream_status *status = &orchestrator_stream(f->world.orchestrator, uid)->status;
    assert_int_equal(status->local_uris.has_media, PRESENCE_VALUE);
    assert_int_equal(sscanf(status->local_uris.media, "rtp://0.0.0.0:%u", &port), 1);
    return port;
}

/* The range is 20000 to 20009: what others name or have is passed over until nothing is left. */
static void test_ports_of_other_streams_are_not_taken(void **state) {
    struct fixture *f = *state;
    char uids[10][UID_SIZE];
    bool is_used[10] = {};
    for (unsigned i = 0; i < 4; i++) {
        put_from_elsewhere(f, 20000 + i, "", uids[i]);
        is_used[i] = true;
    }
    for (int i = 4; i < 10; i++) {
        put_from_elsewhere(f, 0, "", uids[i]);
        assert_string_equal(state_of(f, uids[i]), "running");
        unsigned port = port_of(f, uids[i]);
        assert_in_range(port, 20004, 20009);
        assert_false(is_used[port - 20000]);
        is_used[port - 20000] = true;
    }
    put_from_elsewhere(f, 0, "", f->stream);
    assert_string_equal(state_of(f, f->stream), "pending PortInUse");
    const struct stream_status *status = &orchestrator_stream(f->world.orchestrator, f->stream)->status;
    assert_non_null(strstr(status->conditions[0].message, "roc.port_min"));
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_stream(f->world.orchestrator, uids[7], ANY_GENERATION, fake_done, &answer, nullptr),
        ERR_OK);
    run_ms(f, 12'001);
    assert_string_equal(state_of(f, f->stream), "running");
}

static void test_only_whom_the_stream_names_is_heard(void **state) {
    struct fixture *f = *state;
    put_from_elsewhere(f, 10001, ",\"allowed_sources\":[\"10.0.0.7\",\"10.0.0.8\"]", f->stream);
    assert_string_equal(state_of(f, f->stream), "running");
    const struct gate_config *gate = &fake_world_link(&f->world, true)->config.gate;
    assert_int_equal(gate->n_allowed, 2);
    assert_int_equal(ntohl(gate->allowed[0].v4.sin_addr.s_addr), 0x0a000007);
    assert_int_equal(ntohl(gate->allowed[1].v4.sin_addr.s_addr), 0x0a000008);
}

static void test_a_sender_to_elsewhere(void **state) {
    struct fixture *f = *state;
    put_to_elsewhere(f);
    assert_string_equal(state_of(f, f->stream), "running");
    assert_string_equal(f->world.trace, "+source +sender");
    struct fake_link *link = fake_world_link(&f->world, false);
    link->status.packets_sent = 1000;
    run_ms(f, 1000);
    for (int i = 0; i < 6; i++) { /* the system takes 98 of a hundred */
        link->status.packets_sent += 98;
        link->status.send_dropped += 2;
        run_ms(f, 500);
    }
    assert_string_equal(state_of(f, f->stream), "degraded PacketLoss");
    run_ms(f, 6000);
    assert_string_equal(state_of(f, f->stream), "running");
}

static void test_an_elsewhere_that_is_not_there(void **state) {
    struct fixture *f = *state;
    f->world.path_error = ERR_NOT_FOUND;
    put_to_elsewhere(f);
    assert_string_equal(state_of(f, f->stream), "failed DestinationUnreachable");
    f->world.path_error = ERR_OK;
    run_ms(f, 12'001);
    assert_string_equal(state_of(f, f->stream), "running");
}

/* ---- what the engine is told, and tells ---- */

/* By the end that has the channels of the source, and by no other. */
static void test_channels_are_mapped_once(void **state) {
    struct fixture *f = *state;
    for (int is_elsewhere = 0; is_elsewhere < 2; is_elsewhere++) {
        if (is_elsewhere)
            put_from_elsewhere(f, 10001, "", f->stream);
        else
            put_within(f);
        struct stream_spec spec = spec_of(f);
        spec.settings.has_channel_map = PRESENCE_VALUE;
        spec.settings.n_channel_map = 2;
        spec.settings.channel_map[0] = 1;
        spec.settings.channel_map[1] = -1;
        write_stream(f, &spec);
        run_ms(f, 0);
        const struct engine_link_config *config = &fake_world_link(&f->world, is_elsewhere)->config;
        assert_int_equal(config->n_map, 2);
        assert_int_equal(config->map[0], 1);
        assert_int_equal(config->map[1], -1);
        if (!is_elsewhere)
            assert_int_equal(fake_world_link(&f->world, true)->config.n_map, 0);
        remove_stream(f);
    }
}

static void test_sound_counts_even_if_nobody_says_that_it_began(void **state) {
    struct fixture *f = *state;
    f->world.mute = true;
    put_from_elsewhere(f, 10001, "", f->stream);
    assert_string_equal(state_of(f, f->stream), "connecting NoMedia");
    fake_world_link(&f->world, true)->status.playing = true;
    run_ms(f, 600);
    assert_string_equal(state_of(f, f->stream), "running");
}

static void test_where_a_node_is_can_be_seen(void **state) {
    struct fixture *f = *state;
    put_within(f);
    const struct endpoint_status *status = &orchestrator_endpoint(f->world.orchestrator, f->source)->status;
    assert_int_equal(status->has_position_ms, PRESENCE_NULL);
    for (size_t i = 0; i < f->world.n_nodes; i++)
        f->world.nodes[i].status = (struct engine_node_status){
            .frames = 96'000, .position_frames = 72'000, .started_wall_ns = 1'700'000'000 * NS_PER_S, .late_ticks = 3};
    run_ms(f, 1000);
    status = &orchestrator_endpoint(f->world.orchestrator, f->source)->status;
    assert_int_equal(status->frames, 96'000);
    assert_int_equal(status->has_position_ms, PRESENCE_VALUE);
    assert_int_equal(status->position_ms, 1500);
    assert_int_equal(status->has_started_at, PRESENCE_VALUE);
    assert_string_equal(status->started_at, "2023-11-14T22:13:20.000Z");
    assert_int_equal(status->ledger.late_ticks, 3);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_whatever_comes_at_any_step),
        TEST(test_a_source_that_has_ended_plays_again_when_it_is_written),
        TEST(test_ports_of_other_streams_are_not_taken),
        TEST(test_only_whom_the_stream_names_is_heard),
        TEST(test_a_sender_to_elsewhere),
        TEST(test_an_elsewhere_that_is_not_there),
        TEST(test_channels_are_mapped_once),
        TEST(test_sound_counts_even_if_nobody_says_that_it_began),
        TEST(test_where_a_node_is_can_be_seen),
    };
#undef TEST
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
