/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/ring.h"
#include "media/ledger.h"

/* The ledger alone, fed by hand: 48 kHz mono, 5 ms ticks, 100 ms target, 5 ms packets. */

constexpr size_t TICK = 240;

struct scene {
    struct ring glitches;
    struct ledger ledger;
    struct ledger_news news;
    int64_t now_ns;
    bool sends_silence; /* some packets are of silence, so that silence may be the sender's own */
};

static struct scene scene_new(void) {
    struct scene scene = {.now_ns = NS_PER_S, .sends_silence = true};
    ledger_init(&scene.ledger, &(struct ledger_config){.rate_hz = 48000,
                                                       .target_latency_ns = 100 * NS_PER_MS,
                                                       .packet_length_ns = 5 * NS_PER_MS});
    return scene;
}

/* The same with a place for its glitches. */
static struct scene *scene_with_glitches(void) {
    struct scene *s = alloc_aligned(struct scene);
    assert_non_null(s);
    *s = scene_new();
    assert_true(ring_init(&s->glitches, sizeof(struct glitch), 8));
    s->ledger.config.glitches = &s->glitches;
    return s;
}

static void scene_free(struct scene *s) {
    struct glitch more;
    assert_int_equal(ring_read(&s->glitches, &more, 1), 0);
    ring_finish(&s->glitches);
    free(s);
}

static void next_is(struct scene *s, enum glitch_kind kind, uint32_t frames, int64_t at_ns) {
    struct glitch glitch = {};
    assert_int_equal(ring_read(&s->glitches, &glitch, 1), 1);
    assert_int_equal(glitch.kind, kind);
    assert_int_equal(glitch.frames, frames);
    assert_int_equal(glitch.at_ns, at_ns);
}

/* Some ticks, with sound or without, with packets coming in or not. */
static void pass(struct scene *scene, int n_ticks, bool sound, bool packets) {
    float frames[TICK];
    for (size_t i = 0; i < TICK; i++)
        frames[i] = sound ? 0.1f : 0;
    for (; n_ticks > 0; n_ticks--) {
        scene->now_ns += 5 * NS_PER_MS;
        if (packets) {
            scene->news.last_packet_ns = scene->now_ns;
            scene->news.packets++;
            if (scene->sends_silence)
                scene->news.silence_sent_ns = scene->now_ns;
        }
        ledger_trouble(&scene->ledger, &scene->news, scene->now_ns);
        ledger_sound(&scene->ledger, frames, TICK, 1, true, scene->now_ns);
    }
}

static void lost_is(const struct scene *scene, uint64_t network, uint64_t machine, uint64_t sender) {
    const struct ledger_counters *c = &scene->ledger.counters;
    assert_int_equal(c->lost_network, network);
    assert_int_equal(c->lost_machine, machine);
    assert_int_equal(c->lost_sender, sender);
    assert_int_equal(c->lost_frames, network + machine + sender);
}

static void silence_without_trouble_is_no_loss(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    pass(&s, 1000, false, true);
    pass(&s, 200, true, true);
    lost_is(&s, 0, 0, 0);
}

static void silence_that_nobody_sent_is_the_decoder_s(void **) {
    struct scene *s = scene_with_glitches();
    s->sends_silence = false;
    pass(s, 200, true, true);
    int64_t begin_ns = s->now_ns;
    pass(s, 10, false, true);
    pass(s, 200, true, true);
    lost_is(s, 0, 10 * TICK, 0);
    assert_int_equal(s->ledger.counters.stalls, 1);
    for (int64_t i = 0; i < 10; i += 2) /* what is near is one suspicion */
        next_is(s, GLITCH_RESYNC, 2 * TICK, begin_ns + (i + 1) * 5 * NS_PER_MS);
    scene_free(s);
}

/* What is heard came a target latency ago, and more. */
static void silence_that_was_sent_lately_is_the_sender_s(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    s.sends_silence = false;
    pass(&s, 40, true, true);
    pass(&s, 10, false, true);
    pass(&s, 200, true, true);
    lost_is(&s, 0, 0, 0);
}

static void missing_packets_explain_as_much_as_they_held(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    s.news.missing = 2;
    pass(&s, 20, true, true);
    pass(&s, 2, false, true); /* a target latency later */
    pass(&s, 200, true, true);
    lost_is(&s, 2 * TICK, 0, 0);
    assert_int_equal(s.ledger.counters.stalls, 1);
    /* one more, and a pause in the music of two seconds just then */
    s.news.missing = 3;
    pass(&s, 20, true, true);
    pass(&s, 400, false, true);
    pass(&s, 200, true, true);
    lost_is(&s, 3 * TICK, 0, 0);
}

static void repaired_packets_explain_nothing(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    for (int i = 0; i < 50; i++) { /* a gap, and its repair 90 ms later */
        s.news.missing = 1;
        pass(&s, 18, false, true);
        s.news.missing = 0;
        pass(&s, 4, false, true);
    }
    lost_is(&s, 0, 0, 0);
}

static void pause_of_the_sender_is_its_fault(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    pass(&s, 20, true, false);
    pass(&s, 20, false, false);
    pass(&s, 10, false, true);
    pass(&s, 200, true, true);
    lost_is(&s, 0, 0, 30 * TICK);
    assert_int_equal(s.ledger.counters.stalls, 1);
}

static void pause_with_packets_missing_is_the_network(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    pass(&s, 20, true, false);
    pass(&s, 20, false, false);
    s.news.missing = 40;
    pass(&s, 10, false, true);
    pass(&s, 200, true, true);
    lost_is(&s, 30 * TICK, 0, 0);
}

static void gone_sender_settles_the_account(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    pass(&s, 20, true, false);
    pass(&s, 100, false, false);
    ledger_sender_gone(&s.ledger);
    lost_is(&s, 0, 0, 100 * TICK);
}

static void stall_of_ours_is_ours(void **) {
    struct scene s = scene_new();
    pass(&s, 200, true, true);
    s.news.stall_end_ns = s.now_ns;
    s.news.stall_ns = 40 * NS_PER_MS; /* less than half the target: it cannot have cost anything */
    pass(&s, 4, false, true);
    pass(&s, 200, true, true);
    lost_is(&s, 0, 0, 0);
    s.news.stall_end_ns = s.now_ns;
    s.news.stall_ns = 150 * NS_PER_MS;
    pass(&s, 10, false, true);
    pass(&s, 200, true, true);
    lost_is(&s, 0, 10 * TICK, 0);
    ledger_skipped(&s.ledger, 1000, s.now_ns);
    lost_is(&s, 0, 10 * TICK + 1000, 0);
}

static void short_zeros_belong_to_the_sound(void **) {
    struct scene s = scene_new();
    s.news.stall_ns = NS_PER_S;
    s.news.stall_end_ns = s.now_ns;
    float frames[TICK] = {};
    for (size_t i = 0; i < TICK; i += 40) /* less than a millisecond of zeros each */
        frames[i] = 0.5f;
    ledger_trouble(&s.ledger, &s.news, s.now_ns);
    assert_true(ledger_sound(&s.ledger, frames, TICK, 1, true, s.now_ns));
    pass(&s, 200, true, true);
    lost_is(&s, 0, 0, 0);
}

/* ---- glitches: what each is called, how long it was and when ---- */

static void packets_that_never_come(void **) {
    struct scene *s = scene_with_glitches();
    pass(s, 200, true, true);
    s->news.missing = 1;
    pass(s, 20, true, true);
    int64_t at_ns = s->now_ns + 5 * NS_PER_MS;
    pass(s, 1, false, true);
    pass(s, 200, true, true);
    next_is(s, GLITCH_NETWORK_LOSS, TICK, at_ns);
    scene_free(s);
}

static void packets_that_come_late(void **) {
    struct scene *s = scene_with_glitches();
    pass(s, 200, true, true);
    s->news.missing = 3;
    pass(s, 20, true, true);
    s->news.late = 1; /* two never come */
    int64_t at_ns = s->now_ns + 5 * NS_PER_MS;
    pass(s, 1, false, true);
    pass(s, 20, true, true);
    pass(s, 2, false, true);
    pass(s, 200, true, true);
    next_is(s, GLITCH_LATE, TICK, at_ns);
    next_is(s, GLITCH_NETWORK_LOSS, 2 * TICK, at_ns + 21 * 5 * NS_PER_MS); /* two that touch are one */
    lost_is(s, 3 * TICK, 0, 0);
    /* what came late then says nothing of what does not come now */
    s->news.late = 2;
    pass(s, 200, true, true);
    s->news.missing = 4;
    s->news.late = 2;
    pass(s, 20, true, true);
    pass(s, 1, false, true);
    pass(s, 200, true, true);
    next_is(s, GLITCH_NETWORK_LOSS, TICK, s->now_ns - 200 * 5 * NS_PER_MS);
    scene_free(s);
}

static void a_stall(void **) {
    struct scene *s = scene_with_glitches();
    pass(s, 200, true, true);
    s->news.stall_end_ns = s->now_ns;
    s->news.stall_ns = 150 * NS_PER_MS;
    int64_t at_ns = s->now_ns + 5 * NS_PER_MS;
    pass(s, 1, false, true);
    pass(s, 200, true, true);
    next_is(s, GLITCH_STALL, TICK, at_ns);
    ledger_skipped(&s->ledger, 1000, s->now_ns);
    next_is(s, GLITCH_STALL, 1000, s->now_ns);
    scene_free(s);
}

static void a_sender_that_stops(void **) {
    struct scene *s = scene_with_glitches();
    pass(s, 200, true, true);
    pass(s, 20, true, false);
    int64_t at_ns = s->now_ns + 5 * NS_PER_MS;
    pass(s, 20, false, false);
    pass(s, 10, false, true);
    pass(s, 200, true, true);
    next_is(s, GLITCH_SENDER_STOPPED, 30 * TICK, at_ns);
    /* … or is another one, at once */
    ledger_sender_restarted(&s->ledger, GLITCH_SENDER_STOPPED, s->now_ns);
    pass(s, 1, false, true);
    at_ns = s->now_ns;
    pass(s, 200, true, true);
    next_is(s, GLITCH_SENDER_STOPPED, TICK, at_ns);
    scene_free(s);
}

/* As Wi-Fi does: nothing, and then all that was sent meanwhile. */
static void packets_that_are_held_up(void **) {
    struct scene *s = scene_with_glitches();
    pass(s, 200, true, true);
    pass(s, 20, true, false);
    int64_t at_ns = s->now_ns + 5 * NS_PER_MS;
    pass(s, 10, false, false);
    s->news.packets += 30;
    pass(s, 200, true, true);
    next_is(s, GLITCH_LATE, 10 * TICK, at_ns);
    lost_is(s, 10 * TICK, 0, 0);
    scene_free(s);
}

static void a_clock_that_jumps(void **) {
    struct scene *s = scene_with_glitches();
    pass(s, 200, true, true);
    ledger_sender_restarted(&s->ledger, GLITCH_CLOCK_JUMP, s->now_ns);
    pass(s, 1, false, true);
    int64_t at_ns = s->now_ns;
    pass(s, 200, true, true);
    next_is(s, GLITCH_CLOCK_JUMP, TICK, at_ns);
    lost_is(s, 0, 0, TICK);
    pass(s, 1, false, true); /* long after it: silence in the sound */
    pass(s, 200, true, true);
    /* where packets were lost in between, the network explains its part */
    ledger_sender_restarted(&s->ledger, GLITCH_CLOCK_JUMP, s->now_ns);
    s->news.missing = 1;
    pass(s, 25, true, true);
    at_ns = s->now_ns + 5 * NS_PER_MS;
    pass(s, 1, false, true);
    pass(s, 3, true, true);
    pass(s, 1, false, true);
    pass(s, 200, true, true);
    next_is(s, GLITCH_NETWORK_LOSS, TICK, at_ns);
    next_is(s, GLITCH_CLOCK_JUMP, TICK, at_ns + 4 * 5 * NS_PER_MS);
    scene_free(s);
}

static void more_than_fit_are_left_out(void **) {
    struct scene *s = scene_with_glitches();
    for (uint32_t i = 0; i < 20; i++)
        ledger_skipped(&s->ledger, 100 + i, i);
    for (uint32_t i = 0; i < 8; i++)
        next_is(s, GLITCH_STALL, 100 + i, i);
    lost_is(s, 0, 20 * 100 + 190, 0);
    scene_free(s);
}

/* Holes of every length at every place, across ticks: the quick look and the slow one must find the same. */
static void holes_are_found_wherever_they_are(void **) {
    for (size_t len = 1; len < 300; len += 7)
        for (size_t at = 0; at < TICK; at += 11) {
            struct scene s = scene_new();
            s.news.stall_ns = NS_PER_S;
            s.news.stall_end_ns = s.now_ns + 10 * NS_PER_MS;
            float frames[4 * TICK];
            for (size_t i = 0; i < 4 * TICK; i++)
                frames[i] = i >= TICK + at && i < TICK + at + len ? 0 : 0.1f;
            for (size_t tick = 0; tick < 4; tick++) {
                s.now_ns += 5 * NS_PER_MS;
                ledger_trouble(&s.ledger, &s.news, s.now_ns);
                (void)ledger_sound(&s.ledger, frames + tick * TICK, TICK, 1, true, s.now_ns);
            }
            pass(&s, 200, true, true);
            lost_is(&s, 0, len >= 48 ? len : 0, 0);
            assert_int_equal(s.ledger.counters.stalls, len >= 48);
        }
}

static void nothing_is_due_before_the_session_plays(void **) {
    struct scene s = scene_new();
    float frames[TICK] = {};
    s.news.missing = 100;
    for (int i = 0; i < 100; i++) {
        s.now_ns += 5 * NS_PER_MS;
        ledger_trouble(&s.ledger, &s.news, s.now_ns);
        assert_false(ledger_sound(&s.ledger, frames, TICK, 1, false, s.now_ns));
    }
    pass(&s, 200, true, true);
    lost_is(&s, 0, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_without_trouble_is_no_loss),
        cmocka_unit_test(silence_that_nobody_sent_is_the_decoder_s),
        cmocka_unit_test(silence_that_was_sent_lately_is_the_sender_s),
        cmocka_unit_test(missing_packets_explain_as_much_as_they_held),
        cmocka_unit_test(repaired_packets_explain_nothing),
        cmocka_unit_test(pause_of_the_sender_is_its_fault),
        cmocka_unit_test(pause_with_packets_missing_is_the_network),
        cmocka_unit_test(gone_sender_settles_the_account),
        cmocka_unit_test(stall_of_ours_is_ours),
        cmocka_unit_test(short_zeros_belong_to_the_sound),
        cmocka_unit_test(holes_are_found_wherever_they_are),
        cmocka_unit_test(nothing_is_due_before_the_session_plays),
        cmocka_unit_test(packets_that_never_come),
        cmocka_unit_test(packets_that_come_late),
        cmocka_unit_test(a_stall),
        cmocka_unit_test(a_sender_that_stops),
        cmocka_unit_test(packets_that_are_held_up),
        cmocka_unit_test(a_clock_that_jumps),
        cmocka_unit_test(more_than_fit_are_left_out),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
