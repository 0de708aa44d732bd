/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/loop_uv.h"
#include "media/engine_priv.h"
#include "support/fake_audio.h"

/*
 * The engine with real threads, in real time: hand-over between the core, workers and media threads. For the thread
 * sanitizer above all; what the sound must be like is tested on virtual time.
 */

constexpr size_t N_STREAMS = 6;
constexpr int64_t DEADLINE_NS = 60 * NS_PER_S;
constexpr int ROUNDS = 3;

struct stream {
    struct bed *bed;
    struct fake_source source;
    struct fake_sink sink;
    uint32_t source_node, sink_node, send, receive;
    int n_started;
};

struct bed {
    struct loop_uv *uv;
    struct codec *codec;
    struct engine *engine;
    struct stream streams[N_STREAMS];
    int n_removed, n_wanted;
    int round;
    bool timed_out;
    struct loop_timer deadline, poll;
};

static void on_deadline(void *arg) {
    struct bed *bed = arg;
    bed->timed_out = true;
    loop_uv_stop(bed->uv);
}

static void run_until_stopped(struct bed *bed) {
    loop_uv_run(bed->uv);
    assert_false(bed->timed_out);
}

static struct codec_settings settings(void) {
    const struct codec_encoding *encoding = codec_encoding_by_name("l16/48000/2");
    return (struct codec_settings){
        .wire_rate_hz = 48000,
        .wire_channels = 2,
        .payload_type = encoding->payload_type,
        .fec = CODEC_FEC_RS8M,
        .fec_source_packets = 10,
        .fec_repair_packets = 5,
        .packet_length_ns = 5 * NS_PER_MS / 2,
        .target_latency_ns = 50 * NS_PER_MS,
        .latency_profile = CODEC_LATENCY_GRADUAL,
        .resampler = CODEC_RESAMPLER_MEDIUM,
        .control = true,
    };
}

static void on_added(void *, uint32_t, enum err result, const struct err_info *) {
    assert_int_equal(result, ERR_OK);
}

static void add_link_pair(struct bed *bed, struct stream *s) {
    struct path *sending = nullptr, *receiving = nullptr;
    assert_int_equal(path_memory_open(&sending, &receiving, nullptr), ERR_OK);
    struct engine_link_config config = {
        .settings = settings(), .receiving = true, .gate = {.trusted_path = true, .release_ns = 100 * NS_PER_MS}};
    s->receive = engine_add_link_take(bed->engine, s->sink_node, &config, receiving, on_added, bed);
    config.receiving = false;
    s->send = engine_add_link_take(bed->engine, s->source_node, &config, sending, on_added, bed);
    engine_set_gain(bed->engine, s->send, -1, false);
}

static struct stream *stream_of(struct bed *bed, uint32_t link) {
    for (size_t i = 0; i < N_STREAMS; i++)
        if (bed->streams[i].receive == link)
            return &bed->streams[i];
    return nullptr;
}

static void ask_everything(struct bed *bed) {
    for (size_t i = 0; i < N_STREAMS; i++) {
        struct engine_link_status link;
        struct engine_node_status node;
        (void)engine_link_status(bed->engine, bed->streams[i].receive, &link);
        (void)engine_link_status(bed->engine, bed->streams[i].send, &link);
        (void)engine_node_status(bed->engine, bed->streams[i].sink_node, &node);
        (void)engine_node_status(bed->engine, bed->streams[i].source_node, &node);
        engine_set_gain(bed->engine, bed->streams[i].receive, -3, i % 2);
    }
}

static void on_poll(void *arg) {
    struct bed *bed = arg;
    ask_everything(bed);
    loop_timer_start(loop_uv_loop(bed->uv), &bed->poll, 20 * NS_PER_MS);
}

static void on_removed(void *arg) {
    struct bed *bed = arg;
    if (++bed->n_removed == bed->n_wanted)
        loop_uv_stop(bed->uv);
}

/* Each receiving link that has started is taken down and set up again, a few times. */
static void on_event(void *arg, const struct engine_event *event) {
    struct bed *bed = arg;
    struct stream *s = stream_of(bed, event->link);
    assert_int_not_equal(event->kind, ENGINE_LINK_FAILED);
    assert_int_not_equal(event->kind, ENGINE_NODE_FAILED);
    if (event->kind != ENGINE_LINK_STARTED || !s)
        return;
    if (++s->n_started < ROUNDS) {
        engine_remove_link(bed->engine, s->receive, nullptr, nullptr);
        engine_remove_link(bed->engine, s->send, nullptr, nullptr);
        add_link_pair(bed, s);
        return;
    }
    for (size_t i = 0; i < N_STREAMS; i++)
        if (bed->streams[i].n_started < ROUNDS)
            return;
    loop_uv_stop(bed->uv);
}

static void add_nodes(struct bed *bed, struct stream *s) {
    s->bed = bed;
    fake_source_init(&s->source, 48000, 2, fake_steady);
    fake_sink_init(&s->sink, 48000, 2, 48000);
    assert_int_equal(engine_add_node_take(bed->engine, &s->source.stream, AUDIO_INPUT, &s->source_node, nullptr),
                     ERR_OK);
    assert_int_equal(engine_add_node_take(bed->engine, &s->sink.stream, AUDIO_OUTPUT, &s->sink_node, nullptr), ERR_OK);
}

static int bed_setup(void **state) {
    struct bed *bed = calloc(1, sizeof *bed);
    assert_int_equal(loop_uv_create(&bed->uv, nullptr), ERR_OK);
    assert_int_equal(roc_codec_create((struct log){}, &bed->codec, nullptr), ERR_OK);
    struct engine_config config = {
        .clock = clock_system(), .loop = loop_uv_loop(bed->uv), .codec = bed->codec, .n_threads = 3, .realtime = true};
    assert_int_equal(engine_create(&config, on_event, bed, &bed->engine, nullptr), ERR_OK);
    for (size_t i = 0; i < N_STREAMS; i++) {
        add_nodes(bed, &bed->streams[i]);
        add_link_pair(bed, &bed->streams[i]);
    }
    bed->deadline = (struct loop_timer){.fire = on_deadline, .arg = bed};
    bed->poll = (struct loop_timer){.fire = on_poll, .arg = bed};
    loop_timer_start(loop_uv_loop(bed->uv), &bed->deadline, DEADLINE_NS);
    loop_timer_start(loop_uv_loop(bed->uv), &bed->poll, NS_PER_MS);
    *state = bed;
    return 0;
}

static int bed_teardown(void **state) {
    struct bed *bed = *state;
    loop_timer_stop(loop_uv_loop(bed->uv), &bed->deadline);
    loop_timer_stop(loop_uv_loop(bed->uv), &bed->poll);
    engine_destroy(bed->engine);
    bed->codec->ops->close(bed->codec);
    loop_uv_destroy(bed->uv);
    for (size_t i = 0; i < N_STREAMS; i++) {
        assert_true(bed->streams[i].sink.closed && bed->streams[i].source.closed);
        fake_sink_finish(&bed->streams[i].sink);
    }
    free(bed);
    return 0;
}

static void links_come_and_go(void **state) {
    struct bed *bed = *state;
    run_until_stopped(bed);
    bed->n_wanted = 2 * N_STREAMS;
    for (size_t i = 0; i < N_STREAMS; i++) { /* nodes take their links along */
        engine_remove_node(bed->engine, bed->streams[i].sink_node, on_removed, bed);
        engine_remove_node(bed->engine, bed->streams[i].source_node, on_removed, bed);
    }
    run_until_stopped(bed);
    for (size_t i = 0; i < N_STREAMS; i++) {
        assert_true(bed->streams[i].sink.closed && bed->streams[i].source.closed);
        if (i % 2 == 0) /* the others may have been muted before their first sound */
            assert_true(fake_sink_find(&bed->streams[i].sink, 0, 0.01f) < bed->streams[i].sink.n);
    }
}

static void engine_goes_while_everything_plays(void **state) {
    struct bed *bed = *state;
    run_until_stopped(bed);
}

/* ---- a sender that starts anew: a decoder is built and swapped in while the link plays ---- */

struct restart {
    struct bed bed;
    struct path_udp_config remote;
    uint32_t source, receive, send;
    struct fake_source source_stream;
    struct fake_sink sink_stream;
};

static void restart_send(struct restart *r) {
    struct path *sender = nullptr;
    struct engine_link_config config = {.settings = settings()};
    assert_int_equal(path_udp_open_sender(&r->remote, &sender, nullptr), ERR_OK);
    r->send = engine_add_link_take(r->bed.engine, r->source, &config, sender, on_added, r);
}

static void on_sender_gone(void *arg) {
    restart_send(arg);
}

static void on_restart_event(void *arg, const struct engine_event *event) {
    struct restart *r = arg;
    assert_int_not_equal(event->kind, ENGINE_LINK_FAILED);
    if (event->kind == ENGINE_LINK_STARTED && event->link == r->receive && r->bed.round++ == 0)
        engine_remove_link(r->bed.engine, r->send, on_sender_gone, r);
}

static void on_restart_poll(void *arg) {
    struct restart *r = arg;
    struct engine_link_status status;
    assert_true(engine_link_status(r->bed.engine, r->receive, &status));
    if (status.sessions == 2 && status.level_dbfs[0] > -60 && ++r->bed.n_wanted > 10)
        loop_uv_stop(r->bed.uv);
    loop_timer_start(loop_uv_loop(r->bed.uv), &r->bed.poll, 20 * NS_PER_MS);
}

static void open_receiver(struct restart *r, uint32_t sink) {
    struct path *receiver = nullptr;
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        assert_int_equal(path_address_resolve("127.0.0.1", 0, &r->remote.address[i], nullptr), ERR_OK);
    assert_int_equal(path_udp_open_receiver(&r->remote, &receiver, nullptr), ERR_OK);
    for (enum media_iface i = 0; i < MEDIA_N_IFACES; i++)
        r->remote.address[i].v4.sin_port = htons(receiver->ops->local_port(receiver, i));
    struct engine_link_config config = {.settings = settings(), .receiving = true};
    r->receive = engine_add_link_take(r->bed.engine, sink, &config, receiver, on_added, r);
}

static void sender_that_starts_anew_is_heard(void **) {
    struct restart *r = calloc(1, sizeof *r);
    struct bed *bed = &r->bed;
    assert_int_equal(loop_uv_create(&bed->uv, nullptr), ERR_OK);
    assert_int_equal(roc_codec_create((struct log){}, &bed->codec, nullptr), ERR_OK);
    struct engine_config config = {
        .clock = clock_system(), .loop = loop_uv_loop(bed->uv), .codec = bed->codec, .n_threads = 2};
    assert_int_equal(engine_create(&config, on_restart_event, r, &bed->engine, nullptr), ERR_OK);
    fake_source_init(&r->source_stream, 48000, 2, fake_steady);
    fake_sink_init(&r->sink_stream, 48000, 2, 48000);
    uint32_t sink = 0;
    assert_int_equal(engine_add_node_take(bed->engine, &r->source_stream.stream, AUDIO_INPUT, &r->source, nullptr),
                     ERR_OK);
    assert_int_equal(engine_add_node_take(bed->engine, &r->sink_stream.stream, AUDIO_OUTPUT, &sink, nullptr), ERR_OK);
    open_receiver(r, sink);
    restart_send(r);
    bed->deadline = (struct loop_timer){.fire = on_deadline, .arg = bed};
    bed->poll = (struct loop_timer){.fire = on_restart_poll, .arg = r};
    loop_timer_start(loop_uv_loop(bed->uv), &bed->deadline, DEADLINE_NS);
    loop_timer_start(loop_uv_loop(bed->uv), &bed->poll, NS_PER_MS);
    run_until_stopped(bed);
    loop_timer_stop(loop_uv_loop(bed->uv), &bed->deadline);
    loop_timer_stop(loop_uv_loop(bed->uv), &bed->poll);
    engine_destroy(bed->engine);
    bed->codec->ops->close(bed->codec);
    loop_uv_destroy(bed->uv);
    fake_sink_finish(&r->sink_stream);
    free(r);
}

static unsigned work_of(const struct engine *engine, const struct media_thread *thread) {
    unsigned n = 0;
    const struct node_record *node;
    list_for_each(node, &engine->nodes, in_engine) if (node->thread == thread) n +=
        node->node->direction == AUDIO_OUTPUT ? ENGINE_LOAD_RECEIVE : ENGINE_LOAD_SEND;
    return n;
}

/* As streams come: a source, a destination, their links, and so on. With a decoder for each of the destinations, a thread that
 * had all of these would have two thirds of the work. */
static void threads_share_the_work(void **) {
    struct bed *bed = calloc(1, sizeof *bed);
    assert_int_equal(loop_uv_create(&bed->uv, nullptr), ERR_OK);
    assert_int_equal(roc_codec_create((struct log){}, &bed->codec, nullptr), ERR_OK);
    struct engine_config config = {
        .clock = clock_system(), .loop = loop_uv_loop(bed->uv), .codec = bed->codec, .n_threads = 2};
    assert_int_equal(engine_create(&config, on_event, bed, &bed->engine, nullptr), ERR_OK);
    const struct media_thread *threads = bed->engine->threads;
    for (size_t i = 0; i < N_STREAMS; i++) {
        add_nodes(bed, &bed->streams[i]);
        add_link_pair(bed, &bed->streams[i]);
        unsigned first = work_of(bed->engine, &threads[0]), second = work_of(bed->engine, &threads[1]);
        assert_true(first <= second + ENGINE_LOAD_RECEIVE && second <= first + ENGINE_LOAD_RECEIVE);
        assert_int_equal(threads[0].load, first);
        assert_int_equal(threads[1].load, second);
    }
    bed->n_wanted = 2 * N_STREAMS;
    for (size_t i = 0; i < N_STREAMS; i++) {
        engine_remove_node(bed->engine, bed->streams[i].sink_node, on_removed, bed);
        engine_remove_node(bed->engine, bed->streams[i].source_node, on_removed, bed);
    }
    bed->deadline = (struct loop_timer){.fire = on_deadline, .arg = bed};
    loop_timer_start(loop_uv_loop(bed->uv), &bed->deadline, DEADLINE_NS);
    run_until_stopped(bed);
    assert_int_equal(threads[0].load + threads[1].load, 0);
    bed_teardown((void *[]){bed});
}

static void engine_goes_while_links_are_opened(void **) {
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(links_come_and_go, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(engine_goes_while_everything_plays, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(engine_goes_while_links_are_opened, bed_setup, bed_teardown),
        cmocka_unit_test(sender_that_starts_anew_is_heard),
        cmocka_unit_test(threads_share_the_work),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
