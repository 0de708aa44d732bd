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
#include "support/fake_site.h"

/*
 * The peer of the source, A in the failure table of docs/protocol.md: the world is A, the test asks as the owner B, and the
 * commander C has signed. Tests of a row name it.
 */

static const char STREAM[] = "stream-000000-000001";
static const char TONE[] = "{\"kind\":\"tone\"}";
static const char FILE_ONCE[] = "{\"kind\":\"file\",\"file\":{\"name\":\"a.wav\"}}";
static const char KEY[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char EPOCH[] = "00000000000000b1";

struct fixture {
    struct fake_world world;
    struct fake_site site;
    struct fake_peer *owner, *commander, *other;
    char source[UID_SIZE];
    struct attachment_spec spec; /* what the owner asks for */
    struct attachment said;      /* what was answered */
    struct err_info info;
};

static void sign(struct fixture *f, const struct grant *grant, const struct crypto_sign_key *key) {
    struct grant copy = *grant;
    grant_sign(&copy, key);
    struct attachment_grant *shown = &f->spec.grant;
    *shown = (struct attachment_grant){.generation = copy.generation, .issued = copy.issued_ms};
    memcpy(shown->stream, copy.stream, sizeof shown->stream);
    memcpy(shown->source, copy.source, sizeof shown->source);
    memcpy(shown->destination, copy.destination, sizeof shown->destination);
    memcpy(shown->commander, copy.commander, sizeof shown->commander);
    memcpy(shown->user, copy.user, sizeof shown->user);
    crypto_hex(shown->signature, copy.signature, sizeof copy.signature);
}

static struct grant good_grant(const struct fixture *f) {
    struct grant grant = {.generation = 1, .issued_ms = 1};
    memcpy(grant.stream, STREAM, sizeof STREAM);
    snprintf(grant.source, sizeof grant.source, "/peers/%s/endpoints/%s", orchestrator_self(f->world.orchestrator)->uid,
             f->source);
    snprintf(grant.destination, sizeof grant.destination, "/peers/%s/endpoints/speakr-speakr-speakr", f->owner->uid);
    memcpy(grant.commander, f->commander->uid, sizeof grant.commander);
    return grant;
}

static void want(struct fixture *f, const char *endpoint) {
    fake_put_endpoint(&f->world, "", endpoint, f->source);
    f->spec = (struct attachment_spec){
        .generation = 1, .link_generation = 1, .lease_s = 15, .offer = {.port = 4242, .link = 5}};
    stream_settings_defaults(&f->spec.settings);
    snprintf(f->spec.epoch, sizeof f->spec.epoch, "%s", EPOCH);
    snprintf(f->spec.offer.public_key, sizeof f->spec.offer.public_key, "%s", KEY);
    const struct grant grant = good_grant(f);
    snprintf(f->spec.source, sizeof f->spec.source, "%s", grant.source);
    sign(f, &grant, &f->commander->key);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(crypto_init(nullptr), ERR_OK);
    fake_world_init(&f->world);
    fake_site_init(&f->site);
    f->owner = fake_site_add(&f->site, ROSTER_VIEWER);
    f->commander = fake_site_add(&f->site, ROSTER_OPERATOR);
    f->other = fake_site_add(&f->site, ROSTER_ADMIN);
    fake_site_join(&f->site, &f->world);
    fake_world_start(&f->world);
    fake_peer_up(&f->site, f->owner, 0xb1);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    if (f->world.orchestrator)
        fake_world_stop(&f->world);
    fake_site_finish(&f->site);
    fake_world_finish(&f->world);
    free(f);
    return 0;
}

static enum err ask_as(struct fixture *f, const char *owner_uid) {
    enum err err = orchestrator_put_attachment(f->world.orchestrator, owner_uid, STREAM, &f->spec, &f->said, &f->info);
    if (err)
        assert_true(strlen(f->info.message) > 20);
    fake_world_run_ms(&f->world, 0);
    return err;
}

static enum err ask(struct fixture *f) {
    return ask_as(f, f->owner->uid);
}

/* Asks, which must go well, and what was answered: "running", "pending EndpointMissing", "failed PathFailed renew" */
static const char *state_of(struct fixture *f) {
    static char text[96];
    assert_int_equal(ask(f), ERR_OK);
    const struct attachment *said = &f->said;
    snprintf(text, sizeof text, "%s%s%s%s", stream_state_name(said->state),
             said->has_reason == PRESENCE_VALUE ? " " : "", said->has_reason == PRESENCE_VALUE ? said->reason : "",
             said->renew ? " renew" : "");
    if (said->has_reason == PRESENCE_VALUE)
        assert_true(strlen(said->message) > 10);
    return text;
}

static enum err let_go(struct fixture *f, int64_t link_generation) {
    enum err err =
        orchestrator_remove_attachment(f->world.orchestrator, f->owner->uid, STREAM, link_generation, &f->info);
    fake_world_run_ms(&f->world, 0);
    return err;
}

static bool sends(struct fixture *f) {
    bool is_open = fake_world_link(&f->world, false);
    assert_int_equal(fake_site_open_sealed(&f->site), is_open ? 1 : 0);
    return is_open;
}

static void next_link(struct fixture *f) {
    f->spec.link_generation++;
    f->spec.offer.link++;
}

/* ---- sound goes ---- */

static void test_asked_it_sends_to_where_the_owner_is(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    const struct attachment first = f->said;
    assert_string_equal(first.stream_uid, STREAM);
    assert_int_equal(first.lease_s, 15);
    assert_string_equal(f->world.trace, "+source +sender");
    const struct fake_sealed *sealed = fake_site_sealed(&f->site);
    assert_non_null(sealed);
    assert_true(sealed->config.sending);
    assert_int_equal(sealed->config.other_link, 5);
    assert_int_equal(sealed->config.own_link, first.answer.link);
    assert_int_equal(sealed->config.remote.v4.sin_port, htons(4242));
    assert_int_equal(sealed->config.remote.v4.sin_addr.s_addr, htonl(0x0a000001));
    /* The owner comes to the same keys from what it was answered. */
    char text[65];
    crypto_hex(text, sealed->config.keys.to_sender, 32);
    assert_string_equal(text, KEY);
    crypto_hex(text, sealed->config.keys.to_receiver, 32);
    assert_string_equal(text + 2, first.answer.public_key + 2);
    /* What runs here is no stream of this peer. */
    assert_null(orchestrator_next_stream(f->world.orchestrator, nullptr));
    assert_string_equal(state_of(f), "running");
    fake_world_run_ms(&f->world, 1000);
    assert_int_equal(orchestrator_endpoint(f->world.orchestrator, f->source)->status.active_streams, 1);
    assert_true(f->site.links->watched[0]);
}

static void test_the_settings_are_those_of_the_stream(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    f->spec.settings.has_target_latency_ms = PRESENCE_VALUE;
    f->spec.settings.target_latency_ms = 77;
    f->spec.settings.gain_db = -6;
    assert_int_equal(ask(f), ERR_OK);
    const struct fake_link *link = fake_world_link(&f->world, false);
    assert_int_equal(link->config.settings.target_latency_ns, 77 * NS_PER_MS);
    assert_true(link->config.settings.control);
    assert_int_equal(link->config.settings.fec, CODEC_FEC_RS8M); /* as over any network */
    assert_true(link->config.gain_db == 0.0);                    /* the destination's business */
    assert_string_equal(link->config.member, f->owner->uid);     /* who it goes to, for a bus */
}

static void test_asking_again_renews_and_changes_nothing(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    const struct attachment first = f->said;
    for (int i = 0; i < 10; i++) {
        fake_world_run_ms(&f->world, 5000);
        f->spec.generation++; /* a name was changed, or the gain */
        assert_string_equal(state_of(f), "running");
        assert_true(attachment_answer_equal(&f->said.answer, &first.answer));
    }
    assert_string_equal(f->world.trace, "+source +sender");
}

/* ---- the failure table ---- */

/* "B dies after": nobody asks again. "delete lost" and "partition A–B" look the same from here. */
static void test_row_owner_dies_the_lease_ends(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    fake_world_run_ms(&f->world, 14'900);
    assert_true(sends(f));
    fake_world_run_ms(&f->world, 200);
    assert_false(sends(f));
    assert_int_equal(f->world.open_streams, 0);
    fake_world_run_ms(&f->world, 1000);
    assert_false(f->site.links->watched[0]);
}

static void test_row_owner_restarts_and_begins_anew(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    f->spec.link_generation = 9;
    assert_int_equal(ask(f), ERR_OK);
    struct attachment_spec old = f->spec;
    snprintf(f->spec.epoch, sizeof f->spec.epoch, "00000000000000b2");
    f->spec.link_generation = 1;
    f->spec.offer.link = 50;
    assert_int_equal(ask(f), ERR_OK);
    assert_int_equal(f->said.link_generation, 1);
    assert_string_equal(f->world.trace, "+source +sender -sender +sender"); /* the source went on */
    assert_int_equal(fake_site_sealed(&f->site)->config.other_link, 50);
    /* What the run before had sent comes late. */
    f->spec = old;
    assert_int_equal(ask(f), ERR_CONFLICT);
    assert_int_equal(fake_site_sealed(&f->site)->config.other_link, 50);
}

static void test_row_source_restarts_and_knows_nothing(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    const struct attachment first = f->said;
    fake_world_stop(&f->world);
    fake_site_join(&f->site, &f->world);
    fake_world_start(&f->world);
    fake_world_run_ms(&f->world, 1000);
    assert_false(sends(f)); /* nothing of it was stored */
    assert_int_equal(let_go(f, 1), ERR_NOT_FOUND);
    assert_string_equal(state_of(f), "connecting Starting");
    assert_false(attachment_answer_equal(&f->said.answer, &first.answer)); /* so that the owner sees it */
    assert_true(sends(f));
}

static void test_row_partition_heals_with_the_next_link(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    fake_peer_down(&f->site, f->owner);
    fake_world_run_ms(&f->world, 16'000);
    assert_false(sends(f));
    fake_peer_up(&f->site, f->owner, 0xb1);
    assert_int_equal(ask(f), ERR_CONFLICT); /* its keys are used up */
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
    assert_true(sends(f));
}

static void test_row_role_of_the_commander_is_revoked(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    fake_site_member(&f->site, f->commander)->role = ROSTER_VIEWER;
    fake_world_run_ms(&f->world, 5000);
    assert_true(sends(f));
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    assert_non_null(strstr(f->info.message, f->commander->uid));
    assert_false(sends(f));
    fake_site_member(&f->site, f->commander)->role = ROSTER_OPERATOR;
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
}

/* "clock wrong": only monotonic time counts, and not that of the commander. */
static void test_row_clock_is_wrong(void **state) {
    struct fixture *f = *state;
    constexpr int64_t YEAR_NS = 365 * 24 * 3600 * NS_PER_S;
    want(f, TONE);
    struct grant grant = good_grant(f);
    grant.issued_ms = 4'102'444'800'000; /* the year 2100 */
    sign(f, &grant, &f->commander->key);
    assert_int_equal(ask(f), ERR_OK);
    f->world.sim.clock.wall_offset_ns += YEAR_NS;
    fake_world_run_ms(&f->world, 7000);
    assert_true(sends(f));
    f->world.sim.clock.wall_offset_ns -= 2 * YEAR_NS;
    assert_string_equal(state_of(f), "running");
    fake_world_run_ms(&f->world, 14'900);
    assert_true(sends(f));
    fake_world_run_ms(&f->world, 200);
    assert_false(sends(f));
}

/* ---- rights ---- */

static void test_only_a_good_grant_opens_the_source(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    const struct attachment_spec good = f->spec;
    const struct grant grant = good_grant(f);

    f->spec.grant.signature[7] = f->spec.grant.signature[7] == '0' ? '1' : '0';
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    struct grant bad = grant;
    snprintf(bad.stream, sizeof bad.stream, "stream-000000-000002");
    sign(f, &bad, &f->commander->key);
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    bad = grant;
    bad.source[50] ^= 1;
    sign(f, &bad, &f->commander->key);
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    bad = grant;
    bad.generation = 2;
    sign(f, &bad, &f->commander->key);
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    f->spec.generation = 2;
    assert_int_equal(ask(f), ERR_OK);
    assert_int_equal(let_go(f, ANY_GENERATION), ERR_OK);
    f->spec = good;
    next_link(f);

    /* Signed by somebody else in the commander's name, by one who is none of us, by one who may only look. */
    sign(f, &grant, &f->other->key);
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    bad = grant;
    snprintf(bad.commander, sizeof bad.commander, "abcdef-abcdef-abcdef");
    sign(f, &bad, &f->other->key);
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    bad = grant;
    memcpy(bad.commander, f->owner->uid, UID_SIZE);
    sign(f, &bad, &f->owner->key);
    assert_int_equal(ask(f), ERR_FORBIDDEN);
    /* A grant for the owner is of no use to another peer, however much it may do here. */
    sign(f, &grant, &f->commander->key);
    fake_peer_up(&f->site, f->other, 0xd1);
    assert_int_equal(ask_as(f, f->other->uid), ERR_FORBIDDEN);
    assert_int_equal(ask_as(f, "abcdef-abcdef-abcdef"), ERR_FORBIDDEN);
    assert_false(sends(f));

    /* Signed by this peer itself: its own users commanded. */
    bad = grant;
    memcpy(bad.commander, orchestrator_self(f->world.orchestrator)->uid, UID_SIZE);
    sign(f, &bad, &f->site.own);
    assert_int_equal(orchestrator_self(f->world.orchestrator)->uid[0], 'p');
    assert_int_equal(ask(f), ERR_OK);
    assert_true(sends(f));
}

/* Two owners may name their streams alike; neither touches the other's. */
static void test_owners_are_apart(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    struct grant grant = good_grant(f);
    snprintf(grant.destination, sizeof grant.destination, "/peers/%s/endpoints/speakr-speakr-speakr", f->other->uid);
    sign(f, &grant, &f->commander->key);
    fake_peer_up(&f->site, f->other, 0xd1);
    f->spec.link_generation = 100;
    assert_int_equal(ask_as(f, f->other->uid), ERR_OK);
    assert_int_equal(fake_site_open_sealed(&f->site), 2);
    assert_int_equal(
        orchestrator_remove_attachment(f->world.orchestrator, f->other->uid, STREAM, ANY_GENERATION, nullptr), ERR_OK);
    fake_world_run_ms(&f->world, 0);
    assert_int_equal(fake_site_open_sealed(&f->site), 1);
    assert_string_equal(f->world.trace, "+source +sender +sender -sender");
}

/* ---- order ---- */

static void test_the_newest_link_wins(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    const struct attachment_spec first = f->spec;
    assert_int_equal(ask(f), ERR_OK);
    const struct attachment answered = f->said;
    next_link(f);
    f->spec.settings.has_target_latency_ms = PRESENCE_VALUE;
    f->spec.settings.target_latency_ms = 300;
    assert_int_equal(ask(f), ERR_OK);
    assert_false(attachment_answer_equal(&f->said.answer, &answered.answer));
    assert_string_equal(f->world.trace, "+source +sender -sender +sender");
    f->spec = first;
    f->spec.generation = 50; /* of the stream: it does not count */
    assert_int_equal(ask(f), ERR_CONFLICT);
    f->spec.link_generation = 2; /* the same link, offered otherwise */
    assert_int_equal(ask(f), ERR_CONFLICT);
    assert_true(sends(f));
}

static void test_what_was_ended_stays_so(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    f->spec.link_generation = 4;
    assert_int_equal(ask(f), ERR_OK);
    assert_int_equal(let_go(f, 3), ERR_GENERATION);
    assert_true(sends(f));
    assert_int_equal(let_go(f, 4), ERR_OK);
    assert_false(sends(f));
    assert_int_equal(let_go(f, 4), ERR_NOT_FOUND); /* acknowledged twice does no harm */
    assert_int_equal(ask(f), ERR_CONFLICT);
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
    assert_true(sends(f));
    assert_int_equal(let_go(f, 5), ERR_OK);
    fake_world_run_ms(&f->world, 31'000);
    assert_int_equal(ask(f), ERR_OK); /* long forgotten */
}

static void test_asked_again_while_it_is_being_ended(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    assert_int_equal(orchestrator_remove_attachment(f->world.orchestrator, f->owner->uid, STREAM, 1, nullptr), ERR_OK);
    fake_world_step(&f->world);
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
    assert_true(sends(f));
    assert_string_equal(state_of(f), "running");
}

/* ---- the endpoint ---- */

static void test_a_missing_endpoint_is_waited_for(void **state) {
    struct fixture *f = *state;
    f->world.file_error = ERR_NOT_FOUND;
    want(f, FILE_ONCE);
    fake_world_run_ms(&f->world, 10);
    assert_string_equal(state_of(f), "pending FileMissing");
    assert_false(sends(f));
    f->world.file_error = ERR_OK;
    fake_world_run_ms(&f->world, 5000);
    assert_true(sends(f)); /* without being asked */
    assert_string_equal(state_of(f), "running");
}

static void test_an_endpoint_that_goes_takes_the_keys_with_it(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    fake_put_endpoint(&f->world, f->source, "{\"kind\":\"tone\",\"enabled\":false}", f->source);
    fake_world_run_ms(&f->world, 10);
    assert_false(sends(f));
    assert_string_equal(state_of(f), "pending EndpointDisabled renew");
    next_link(f);
    assert_string_equal(state_of(f), "pending EndpointDisabled");
    fake_put_endpoint(&f->world, f->source, TONE, f->source);
    fake_world_run_ms(&f->world, 10);
    assert_true(sends(f));
    /* Away and back before anybody asks: no second sender under the same keys. */
    fake_put_endpoint(&f->world, f->source, "{\"kind\":\"tone\",\"enabled\":false}", f->source);
    fake_world_run_ms(&f->world, 10);
    fake_put_endpoint(&f->world, f->source, TONE, f->source);
    fake_world_run_ms(&f->world, 10);
    assert_false(sends(f));
    assert_true(strstr(state_of(f), "renew") != nullptr);
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
    assert_true(sends(f));
}

/* Asked the moment that sound has stopped, it knows already. */
static void test_an_idle_speaker_says_so(void **state) {
    struct fixture *f = *state;
    struct fake_world *w = &f->world;
    want(f, "{\"kind\":\"virtual_speaker\",\"display_name\":\"kitchen\"}");
    w->watcher->device(w->watcher_arg, &(struct audio_device){.uid = f->source,
                                                              .system_name = "rocd.kitchen",
                                                              .display_name = "kitchen",
                                                              .kind = ENDPOINT_KIND_VIRTUAL_SPEAKER,
                                                              .direction = AUDIO_INPUT});
    assert_int_equal(ask(f), ERR_OK);
    fake_world_run_ms(w, 10);
    assert_string_equal(state_of(f), "running");
    w->nodes[0].status.stands_still = true;
    assert_string_equal(state_of(f), "running SourceIdle");
    assert_non_null(strstr(f->said.message, "/kitchen"));
    assert_true(sends(f));
    w->nodes[0].status.stands_still = false;
    assert_string_equal(state_of(f), "running");
    assert_string_equal(w->trace, "expose +source +sender");
}

static void test_a_sender_that_breaks_asks_for_the_next_link(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    fake_world_link_event(&f->world, fake_world_link(&f->world, false), ENGINE_LINK_FAILED);
    fake_world_run_ms(&f->world, 20'000 - 5001);
    assert_false(sends(f));
    assert_string_equal(state_of(f), "failed PathFailed renew");
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
    fake_world_run_ms(&f->world, 1000);
    assert_true(sends(f));
    assert_string_equal(state_of(f), "running");
}

static void test_a_source_that_ends_says_so_and_plays_again_with_the_next_link(void **state) {
    struct fixture *f = *state;
    want(f, FILE_ONCE);
    fake_world_run_ms(&f->world, 10);
    assert_int_equal(ask(f), ERR_OK);
    fake_world_node_event(&f->world, AUDIO_INPUT, ENGINE_NODE_ENDED);
    fake_world_run_ms(&f->world, 5000);
    assert_string_equal(state_of(f), "stopped SourceEnded");
    assert_false(sends(f));
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
    fake_world_run_ms(&f->world, 10);
    assert_true(sends(f));
}

static void test_what_takes_sound_gives_none(void **state) {
    struct fixture *f = *state;
    want(f, "{\"kind\":\"null\"}");
    assert_string_equal(state_of(f), "failed WrongDirection");
    assert_false(sends(f));
}

/* ---- the owner moves ---- */

static void test_an_owner_that_is_elsewhere_needs_the_next_link(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    snprintf(f->site.links->peers[0].host, sizeof f->site.links->peers[0].host, "10.9.9.9");
    assert_string_equal(state_of(f), "running renew");
    next_link(f);
    assert_int_equal(ask(f), ERR_OK);
    assert_int_equal(fake_site_sealed(&f->site)->config.remote.v4.sin_addr.s_addr, htonl(0x0a090909));
}

/* ---- bad requests and limits ---- */

static void test_what_cannot_be_is_refused(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    const struct attachment_spec good = f->spec;
    snprintf(f->spec.source, sizeof f->spec.source, "/peers/%s/endpoints/%s", f->other->uid, f->source);
    assert_int_equal(ask(f), ERR_INVALID);
    assert_string_equal(f->info.pointer, "/source");
    f->spec = good;
    memset(f->spec.offer.public_key, '0', 64);
    assert_int_equal(ask(f), ERR_INVALID);
    memset(f->spec.offer.public_key, 'z', 64);
    assert_int_equal(ask(f), ERR_INVALID);
    f->spec = good;
    snprintf(f->spec.settings.encoding, sizeof f->spec.settings.encoding, "opus/48000/2");
    assert_int_equal(ask(f), ERR_UNSUPPORTED);
    f->spec = good;
    f->site.port_is_full = true;
    assert_int_equal(ask(f), ERR_LIMIT);
    f->site.port_is_full = false;
    fake_peer_down(&f->site, f->owner);
    assert_int_equal(ask(f), ERR_UNAVAILABLE); /* where would the sound go? */
    assert_false(sends(f));
}

static void test_a_site_of_one_gives_nothing(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    fake_world_stop(&f->world);
    f->world.peer_links = nullptr;
    f->world.media_port = nullptr;
    fake_world_start(&f->world);
    assert_int_equal(ask(f), ERR_UNAVAILABLE);
}

/* One more of this owner, with this number. */
static enum err attach_number(struct fixture *f, const struct fake_peer *owner, size_t number) {
    struct grant grant = good_grant(f);
    char uid[UID_SIZE];
    snprintf(uid, sizeof uid, "stream-limits-%06zu", number);
    memcpy(grant.stream, uid, sizeof uid);
    snprintf(grant.destination, sizeof grant.destination, "/peers/%s/endpoints/speakr-speakr-speakr", owner->uid);
    sign(f, &grant, &f->commander->key);
    return orchestrator_put_attachment(f->world.orchestrator, owner->uid, uid, &f->spec, &f->said, &f->info);
}

static size_t attach_all(struct fixture *f, const struct fake_peer *owner) {
    size_t n = 0;
    enum err err;
    while ((err = attach_number(f, owner, n)) == ERR_OK)
        n++;
    assert_int_equal(err, ERR_LIMIT);
    assert_non_null(strstr(f->info.message, "(LIMIT_ATTACHMENTS)"));
    assert_non_null(strstr(f->info.message, "(LIMIT_ATTACHMENTS_KEPT)"));
    assert_non_null(strstr(f->info.message, owner->uid));
    return n;
}

static void detach_number(struct fixture *f, const struct fake_peer *owner, size_t number) {
    char uid[UID_SIZE];
    snprintf(uid, sizeof uid, "stream-limits-%06zu", number);
    assert_int_equal(orchestrator_remove_attachment(f->world.orchestrator, owner->uid, uid, ANY_GENERATION, &f->info),
                     ERR_OK);
    fake_world_run_ms(&f->world, 0);
}

/* However much one owner asks for, the others get their shares. */
static void test_there_are_only_so_many_and_each_owner_has_a_share(void **state) {
    struct fixture *f = *state;
    constexpr size_t SHARE = LIMIT_ATTACHMENTS_KEPT / 3;
    fake_peer_up(&f->site, f->other, 0xb2);
    want(f, TONE);
    fake_put_endpoint(&f->world, f->source, "{\"kind\":\"tone\",\"enabled\":false}", f->source);
    size_t n = attach_all(f, f->owner);
    assert_int_equal(n, LIMIT_ATTACHMENTS - 2 * SHARE);
    assert_true(n >= LIMIT_STREAMS);
    assert_int_equal(attach_all(f, f->other), SHARE);

    /* One that has ended makes room: for its owner, and not at the cost of another's. */
    detach_number(f, f->other, 7);
    assert_int_equal(attach_number(f, f->owner, n), ERR_LIMIT);
    assert_int_equal(attach_number(f, f->other, SHARE), ERR_OK);
    assert_int_equal(attach_number(f, f->other, SHARE + 1), ERR_LIMIT);
    detach_number(f, f->owner, 7);
    assert_int_equal(attach_number(f, f->owner, n), ERR_OK);
}

static void is_stopped(void *arg) {
    *(bool *)arg = true;
}

static void test_who_is_stopping_gives_nothing_more(void **state) {
    struct fixture *f = *state;
    bool stopped = false;
    want(f, TONE);
    assert_int_equal(ask(f), ERR_OK);
    assert_true(sends(f));
    orchestrator_stop(f->world.orchestrator, is_stopped, &stopped);
    assert_false(stopped);
    next_link(f);
    assert_int_equal(
        orchestrator_put_attachment(f->world.orchestrator, f->owner->uid, STREAM, &f->spec, &f->said, &f->info),
        ERR_UNAVAILABLE);
    fake_world_run_ms(&f->world, 1000);
    assert_true(stopped);
    assert_int_equal(f->world.open_streams, 0);
    assert_int_equal(fake_site_open_sealed(&f->site), 0);
    orchestrator_destroy(f->world.orchestrator);
    f->world.orchestrator = nullptr;
}

static void test_stop_at_any_step(void **state) {
    struct fixture *f = *state;
    want(f, TONE);
    for (int steps = 0; steps < 12; steps++) {
        next_link(f);
        assert_int_equal(
            orchestrator_put_attachment(f->world.orchestrator, f->owner->uid, STREAM, &f->spec, &f->said, &f->info),
            ERR_OK);
        for (int i = 0; i < steps; i++)
            fake_world_step(&f->world);
        fake_world_stop(&f->world);
        assert_int_equal(fake_site_open_sealed(&f->site), 0);
        fake_site_join(&f->site, &f->world);
        fake_world_start(&f->world);
        fake_world_run_ms(&f->world, 10);
    }
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_asked_it_sends_to_where_the_owner_is),
        T(test_the_settings_are_those_of_the_stream),
        T(test_asking_again_renews_and_changes_nothing),
        T(test_row_owner_dies_the_lease_ends),
        T(test_row_owner_restarts_and_begins_anew),
        T(test_row_source_restarts_and_knows_nothing),
        T(test_row_partition_heals_with_the_next_link),
        T(test_row_role_of_the_commander_is_revoked),
        T(test_row_clock_is_wrong),
        T(test_only_a_good_grant_opens_the_source),
        T(test_owners_are_apart),
        T(test_the_newest_link_wins),
        T(test_what_was_ended_stays_so),
        T(test_asked_again_while_it_is_being_ended),
        T(test_a_missing_endpoint_is_waited_for),
        T(test_an_endpoint_that_goes_takes_the_keys_with_it),
        T(test_an_idle_speaker_says_so),
        T(test_a_sender_that_breaks_asks_for_the_next_link),
        T(test_a_source_that_ends_says_so_and_plays_again_with_the_next_link),
        T(test_what_takes_sound_gives_none),
        T(test_an_owner_that_is_elsewhere_needs_the_next_link),
        T(test_what_cannot_be_is_refused),
        T(test_a_site_of_one_gives_nothing),
        T(test_there_are_only_so_many_and_each_owner_has_a_share),
        T(test_who_is_stopping_gives_nothing_more),
        T(test_stop_at_any_step),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
