/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/registry/events.h"
#include "store/store.h"
#include "support/fake_site.h"

/*
 * The owner of a stream, B in the failure table of docs/protocol.md: the world is B, the test answers as the peer of the
 * source, A. Tests of a row name it.
 */

static const char SINK[] = "{\"kind\":\"null\"}";
static const char STREAM[] = "stream-000000-000001";
static const char MIC[] = "mic000-mic000-mic000";

struct fixture {
    struct fake_world world;
    struct fake_site site;
    struct fake_peer *source, *other, *commander;
    char sink[UID_SIZE];
    struct attachment_spec asked; /* the last request that was looked at */
    uint32_t answer_link;
    char answer_key[65];
};

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(crypto_init(nullptr), ERR_OK);
    fake_world_init(&f->world);
    f->world.mute = true;
    fake_site_init(&f->site);
    f->source = fake_site_add(&f->site, ROSTER_VIEWER);
    f->other = fake_site_add(&f->site, ROSTER_VIEWER);
    f->commander = fake_site_add(&f->site, ROSTER_OPERATOR);
    fake_site_join(&f->site, &f->world);
    fake_world_start(&f->world);
    fake_put_endpoint(&f->world, "", SINK, f->sink);
    fake_peer_up(&f->site, f->source, 0xa1);
    f->answer_link = 500;
    memset(f->answer_key, 'a', 64);
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

static struct stream_spec stream_from(const struct fixture *f, const char *peer_uid) {
    char json[512];
    snprintf(json, sizeof json,
             "{\"source\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/%s/endpoints/%s\"},"
             "\"destination\":{\"connection_type\":\"endpoint\",\"endpoint_uri\":\"/peers/self/endpoints/%s\"}}",
             peer_uid, MIC, f->sink);
    return fake_stream_spec(json);
}

static void run_ms(struct fixture *f, int64_t ms) {
    fake_world_run_ms(&f->world, ms);
}

static void put(struct fixture *f, const struct stream_spec *spec) {
    char uid[UID_SIZE];
    fake_put_stream(&f->world, STREAM, spec, uid);
    run_ms(f, 0);
}

static void make(struct fixture *f) {
    const struct stream_spec spec = stream_from(f, f->source->uid);
    put(f, &spec);
}

static void remove_stream(struct fixture *f) {
    struct fake_answer answer = {};
    assert_int_equal(
        orchestrator_remove_stream(f->world.orchestrator, STREAM, ANY_GENERATION, fake_done, &answer, nullptr), ERR_OK);
    run_ms(f, 10);
    assert_int_equal(answer.result, ERR_OK);
}

/* "running", "pending SourceUnreachable" */
static const char *state_of(struct fixture *f) {
    static char text[96];
    const struct registry_stream *stream = orchestrator_stream(f->world.orchestrator, STREAM);
    assert_non_null(stream);
    const struct stream_status *status = &stream->status;
    snprintf(text, sizeof text, "%s%s%s", stream_state_name(status->state), status->n_conditions ? " " : "",
             status->n_conditions ? status->conditions[0].reason : "");
    if (status->n_conditions)
        assert_true(strlen(status->conditions[0].message) > 10);
    return text;
}

static const char *message_of(struct fixture *f) {
    const struct stream_status *status = &orchestrator_stream(f->world.orchestrator, STREAM)->status;
    return status->n_conditions ? status->conditions[0].message : "";
}

/* ---- the other side ---- */

static struct links_call *call_at(struct fixture *f, const struct fake_peer *peer, const char *method) {
    char path[128];
    snprintf(path, sizeof path, "/peers/%s/attachments/%s", peer->uid, STREAM);
    struct links_call *call = fake_links_call(f->site.links, peer->uid, path);
    return call && strcmp(call->request.method, method) == 0 ? call : nullptr;
}

static bool is_asked(struct fixture *f) {
    return call_at(f, f->source, "PUT");
}

/* The request that waits, read as the source reads it. */
static struct links_call *read_put(struct fixture *f, const struct fake_peer *peer) {
    struct links_call *call = call_at(f, peer, "PUT");
    assert_non_null(call);
    assert_null(call->request.user); /* a peer asks for itself */
    const char *body = call->request.body;
    assert_null(strstr(body, "member")); /* peers that do not know them yet refuse them */
    assert_null(strstr(body, "latency_min"));
    assert_null(strstr(body, "latency_max"));
    assert_int_equal(schema_decode_text(&attachment_spec_schema, body, strlen(body), 0, &f->asked, nullptr, nullptr),
                     ERR_OK);
    return call;
}

struct said {
    enum stream_state state;
    const char *reason;
    bool renew;
};

static void answer_from(struct fixture *f, const struct fake_peer *peer, struct said said) {
    struct links_call *call = read_put(f, peer);
    struct attachment attachment = {.generation = f->asked.generation,
                                    .link_generation = f->asked.link_generation,
                                    .lease_s = 15,
                                    .state = said.state,
                                    .has_reason = said.reason ? PRESENCE_VALUE : PRESENCE_NULL,
                                    .renew = said.renew,
                                    .answer = {.link = f->answer_link}};
    memcpy(attachment.stream_uid, STREAM, sizeof STREAM);
    snprintf(attachment.reason, sizeof attachment.reason, "%s", said.reason ? said.reason : "");
    snprintf(attachment.message, sizeof attachment.message, "%s", said.reason ? "The source says why." : "");
    memcpy(attachment.answer.public_key, f->answer_key, 65);
    char *json;
    assert_int_equal(schema_encode_text(&attachment_schema, &attachment, &json, nullptr, nullptr), ERR_OK);
    fake_links_reply(call, 200, json);
    free(json);
    run_ms(f, 0);
}

static void answer(struct fixture *f, enum stream_state state, const char *reason) {
    answer_from(f, f->source, (struct said){.state = state, .reason = reason});
}

/* The source makes a new key and link id. */
static void new_answer(struct fixture *f) {
    f->answer_link++;
    f->answer_key[0]++;
}

static void refuse(struct fixture *f, int status, const char *detail) {
    char json[512];
    snprintf(json, sizeof json,
             "{\"type\":\"urn:rocd:problem:x\",\"title\":\"x\",\"status\":%d,\"detail\":\"%s\",\"error_code\":\"x\","
             "\"error_text\":\"x\",\"errors\":[]}",
             status, detail);
    fake_links_reply(read_put(f, f->source), status, json);
    run_ms(f, 0);
}

static void flow(struct fixture *f, enum engine_event_kind kind) {
    const struct fake_link *link = fake_world_link(&f->world, true);
    assert_non_null(link);
    fake_world_link_event(&f->world, link, kind);
    run_ms(f, 0);
}

static void make_running(struct fixture *f) {
    make(f);
    answer(f, STREAM_STATE_CONNECTING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

/* Time passes, and the source answers well. */
static void go_on_ms(struct fixture *f, int64_t ms) {
    for (; ms > 0; ms -= 500) {
        run_ms(f, 500);
        if (is_asked(f))
            answer(f, STREAM_STATE_RUNNING, nullptr);
    }
}

/* ---- all goes well ---- */

static void test_the_receiver_first_then_the_source_is_asked(void **state) {
    struct fixture *f = *state;
    make(f);
    assert_string_equal(f->world.trace, "+destination +receiver");
    read_put(f, f->source);
    const struct fake_sealed *sealed = fake_site_sealed(&f->site);
    assert_false(sealed->config.sending);
    assert_int_equal(sealed->config.remote.sa.sa_family, AF_UNSPEC);
    assert_true(sealed->config.settings != nullptr); /* there is room for what will come */
    assert_int_equal(sealed->config.settings->fec, CODEC_FEC_RS8M);
    assert_int_equal(f->asked.offer.link, sealed->config.own_link);
    assert_int_equal(f->asked.offer.port, FAKE_MEDIA_PORT);
    assert_int_equal(f->asked.generation, 1);
    assert_int_equal(f->asked.lease_s, 15);
    assert_string_equal(f->asked.grant.stream, STREAM);
    assert_string_equal(f->asked.source, f->asked.grant.source);
    assert_string_equal(f->asked.grant.commander, orchestrator_self(f->world.orchestrator)->uid);
    assert_string_equal(state_of(f), "connecting Starting");
    assert_int_equal(sealed->n_answers, 0);
    answer(f, STREAM_STATE_CONNECTING, nullptr);
    assert_int_equal(sealed->n_answers, 1);
    assert_int_equal(sealed->answer_link, 500);
    char text[65];
    crypto_hex(text, sealed->keys.to_receiver, 32);
    assert_string_equal(text + 2, f->answer_key + 2);
    crypto_hex(text, sealed->keys.to_sender, 32);
    assert_string_equal(text, f->asked.offer.public_key);
    assert_string_equal(state_of(f), "connecting NoMedia");
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    const struct engine_link_config *config = &fake_world_link(&f->world, true)->config;
    assert_int_equal(config->settings.fec, CODEC_FEC_RS8M);
    assert_true(config->settings.control);
    run_ms(f, 500);
    assert_true(f->site.links->watched[0]);
    assert_false(f->site.links->watched[1]);
}

static void test_it_is_asked_again_every_five_seconds(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const int64_t link = f->asked.link_generation;
    for (int i = 0; i < 20; i++) {
        run_ms(f, 4990);
        assert_false(is_asked(f));
        run_ms(f, 10);
        answer(f, STREAM_STATE_RUNNING, nullptr);
        assert_int_equal(f->asked.link_generation, link);
    }
    assert_string_equal(f->world.trace, "+destination +receiver");
    assert_string_equal(state_of(f), "running");
}

static void test_the_gain_is_ours_and_a_new_name_is_told(void **state) {
    struct fixture *f = *state;
    make_running(f);
    struct stream_spec spec = orchestrator_stream(f->world.orchestrator, STREAM)->spec;
    spec.settings.gain_db = -7;
    put(f, &spec);
    assert_true(f->world.gain_db == -7.0);
    answer(f, STREAM_STATE_RUNNING, nullptr); /* the grant is a new one, so it is asked again */
    assert_int_equal(f->asked.generation, 2);
    assert_int_equal(f->asked.grant.generation, 2);
    assert_string_equal(f->world.trace, "+destination +receiver");
}

static void test_other_settings_need_the_next_link(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const struct attachment_spec before = f->asked;
    struct stream_spec spec = orchestrator_stream(f->world.orchestrator, STREAM)->spec;
    spec.settings.has_target_latency_ms = PRESENCE_VALUE;
    spec.settings.target_latency_ms = 400;
    put(f, &spec);
    read_put(f, f->source);
    assert_true(f->asked.link_generation > before.link_generation);
    assert_int_not_equal(f->asked.offer.link, before.offer.link);
    assert_string_not_equal(f->asked.offer.public_key, before.offer.public_key);
    assert_int_equal(f->asked.settings.target_latency_ms, 400);
    assert_int_equal(fake_site_open_sealed(&f->site), 1);
    assert_string_equal(f->world.trace, "+destination +receiver -receiver +receiver");
    new_answer(f);
    answer(f, STREAM_STATE_CONNECTING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    assert_string_equal(fake_world_link(&f->world, true)->config.member, f->source->uid);
}

static void test_what_auto_does_is_no_matter_of_the_source(void **state) {
    struct fixture *f = *state;
    struct stream_spec spec = stream_from(f, f->source->uid);
    spec.settings.has_latency_min_ms = spec.settings.has_latency_max_ms = PRESENCE_VALUE;
    spec.settings.latency_min_ms = 40;
    spec.settings.latency_max_ms = 300;
    put(f, &spec);
    answer(f, STREAM_STATE_CONNECTING, nullptr);
    assert_int_equal(f->asked.settings.has_target_latency_ms, PRESENCE_VALUE);
    assert_int_equal(f->asked.settings.target_latency_ms, 40); /* packets for the least */
    flow(f, ENGINE_LINK_STARTED);
    const struct fake_link *link = fake_world_link(&f->world, true);
    assert_int_equal(link->config.latency_min_ns, 40 * NS_PER_MS);
    assert_int_equal(link->config.latency_max_ns, 300 * NS_PER_MS);
    const struct attachment_spec before = f->asked;
    fake_world_latency_event(&f->world, link, 100, 250, ADAPT_LATE);
    run_ms(f, 5000);
    answer(f, STREAM_STATE_RUNNING, nullptr); /* a renewal, the same as before */
    assert_true(attachment_spec_equal(&f->asked, &before));
    assert_string_equal(f->world.trace, "+destination +receiver");
    assert_string_equal(state_of(f), "running");
    assert_true(orchestrator_stream(f->world.orchestrator, STREAM)->status.latency_ms.target == 250);
}

static void test_another_source_is_asked_and_the_first_is_told(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const int64_t first = f->asked.link_generation;
    fake_peer_up(&f->site, f->other, 0xb1);
    const struct stream_spec spec = stream_from(f, f->other->uid);
    put(f, &spec);
    struct links_call *farewell = call_at(f, f->source, "DELETE");
    assert_non_null(farewell);
    char tag[32];
    snprintf(tag, sizeof tag, "\"%d\"", (int)first);
    assert_string_equal(farewell->request.if_match, tag);
    new_answer(f);
    answer_from(f, f->other, (struct said){.state = STREAM_STATE_RUNNING});
    flow(f, ENGINE_LINK_STARTED);
    fake_links_reply(farewell, 204, nullptr);
    assert_string_equal(state_of(f), "running");
}

/* ---- the failure table ---- */

static void test_row_reply_lost(void **state) {
    struct fixture *f = *state;
    make(f);
    fake_links_fail(read_put(f, f->source), ERR_UNAVAILABLE, "no reply within 4 s; it may have been done");
    const struct attachment_spec first = f->asked;
    run_ms(f, 0);
    assert_string_equal(state_of(f), "pending SourceUnreachable");
    assert_non_null(strstr(message_of(f), "no reply within 4 s"));
    run_ms(f, 1300);
    read_put(f, f->source);
    assert_true(attachment_spec_equal(&f->asked, &first)); /* nothing new: it may have been done */
    answer(f, STREAM_STATE_RUNNING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

static void test_row_source_unreachable(void **state) {
    struct fixture *f = *state;
    fake_peer_down(&f->site, f->source);
    make(f);
    run_ms(f, 60'000);
    assert_string_equal(state_of(f), "pending SourceUnreachable");
    assert_non_null(strstr(message_of(f), "the test cut it"));
    assert_non_null(strstr(message_of(f), f->source->uid));
    assert_string_equal(f->world.trace, ""); /* no device is opened in vain */
    fake_peer_up(&f->site, f->source, 0xa2);
    run_ms(f, 0);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

static void test_row_source_refuses_for_now(void **state) {
    struct fixture *f = *state;
    make(f);
    int64_t last_ns = loop_now_ns(&f->world.sim.loop);
    for (int i = 0; i < 8; i++) {
        refuse(f, i % 2 ? 503 : 429, "256 streams take sound from here");
        assert_string_equal(state_of(f), "pending SourceRefused");
        assert_non_null(strstr(message_of(f), "256 streams"));
        while (!is_asked(f))
            run_ms(f, 100);
        int64_t pause_ms = (loop_now_ns(&f->world.sim.loop) - last_ns) / NS_PER_MS;
        int64_t wanted_ms = i > 4 ? 30'000 : 1000 << i;
        assert_in_range(pause_ms, wanted_ms * 8 / 10, wanted_ms * 12 / 10 + 100);
        last_ns = loop_now_ns(&f->world.sim.loop);
    }
    answer(f, STREAM_STATE_RUNNING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    assert_string_equal(f->world.trace, "+destination +receiver");
}

static void test_row_no_right_at_the_source(void **state) {
    struct fixture *f = *state;
    make_running(f);
    run_ms(f, 5000);
    refuse(f, 403, "peer C has the rights of viewer");
    assert_string_equal(state_of(f), "failed Forbidden");
    assert_non_null(strstr(message_of(f), "rights of viewer"));
    run_ms(f, 10);
    assert_int_equal(fake_site_open_sealed(&f->site), 0);
    fake_links_reply(call_at(f, f->source, "DELETE"), 404, nullptr);
    run_ms(f, 600'000);
    assert_false(is_asked(f));
    assert_string_equal(state_of(f), "failed Forbidden");
    /* Until somebody with the right writes it again, who thereby signs. */
    const struct stream_spec spec = orchestrator_stream(f->world.orchestrator, STREAM)->spec;
    put(f, &spec);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_int_equal(f->asked.grant.generation, 2);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

static void test_row_role_of_the_commander_is_revoked_here(void **state) {
    struct fixture *f = *state;
    struct stream_spec spec = stream_from(f, f->source->uid);
    struct grant grant = {.generation = 1, .issued_ms = 1};
    memcpy(grant.stream, STREAM, sizeof STREAM);
    snprintf(grant.source, sizeof grant.source, "/peers/%s/endpoints/%s", f->source->uid, MIC);
    snprintf(grant.destination, sizeof grant.destination, "/peers/%s/endpoints/%s",
             orchestrator_self(f->world.orchestrator)->uid, f->sink);
    memcpy(grant.commander, f->commander->uid, UID_SIZE);
    grant_sign(&grant, &f->commander->key);
    struct fake_answer done = {};
    char uid[UID_SIZE];
    assert_int_equal(orchestrator_put_stream(f->world.orchestrator, STREAM, &spec, &grant, ANY_GENERATION, uid,
                                             fake_done, &done, nullptr),
                     ERR_OK);
    run_ms(f, 0);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_string_equal(f->asked.grant.commander, f->commander->uid);
    fake_site_member(&f->site, f->commander)->role = ROSTER_VIEWER;
    run_ms(f, 5000);
    assert_string_equal(state_of(f), "failed Forbidden");
    assert_non_null(strstr(message_of(f), f->commander->uid));
    assert_false(is_asked(f));
    fake_links_reply(call_at(f, f->source, "DELETE"), 204, nullptr); /* the source need not wait for the lease */
    run_ms(f, 10);
    assert_int_equal(fake_site_open_sealed(&f->site), 0);
}

static void test_row_source_restarts(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const struct attachment_spec before = f->asked;
    fake_peer_down(&f->site, f->source);
    run_ms(f, 1000);
    assert_string_equal(state_of(f), "degraded SourceUnreachable");
    fake_peer_up(&f->site, f->source, 0xa2);
    run_ms(f, 0);
    read_put(f, f->source); /* at once */
    assert_true(f->asked.link_generation > before.link_generation);
    assert_string_not_equal(f->asked.offer.public_key, before.offer.public_key);
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    assert_string_equal(f->world.trace, "+destination +receiver -receiver +receiver"); /* the recording goes on */
}

/* The link was down for so short a time that only the answer tells. */
static void test_row_source_restarts_unnoticed(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const int64_t before = f->asked.link_generation;
    run_ms(f, 5000);
    new_answer(f);
    answer(f, STREAM_STATE_CONNECTING, nullptr);
    run_ms(f, 0);
    read_put(f, f->source);
    assert_true(f->asked.link_generation > before);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_int_equal(fake_site_sealed(&f->site)->answer_link, f->answer_link);
}

static void test_row_partition(void **state) {
    struct fixture *f = *state;
    make_running(f);
    go_on_ms(f, 20'000);
    const int64_t before = f->asked.link_generation;
    fake_peer_down(&f->site, f->source);
    run_ms(f, 2000);
    assert_string_equal(state_of(f), "degraded SourceUnreachable");
    flow(f, ENGINE_LINK_SILENT);
    run_ms(f, 8000);
    assert_string_equal(state_of(f), "degraded SourceUnreachable");
    run_ms(f, 10'000);
    assert_string_equal(state_of(f), "pending SourceUnreachable");
    assert_int_equal(fake_site_open_sealed(&f->site), 0); /* nothing half-open */
    run_ms(f, 3600'000);
    fake_peer_up(&f->site, f->source, 0xa1); /* the same run: it was there all the time */
    run_ms(f, 0);
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_true(f->asked.link_generation > before);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

static void test_row_short_partition_loses_nothing(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const int64_t before = f->asked.link_generation;
    fake_peer_down(&f->site, f->source);
    run_ms(f, 9000);
    fake_peer_up(&f->site, f->source, 0xa1);
    run_ms(f, 0);
    answer(f, STREAM_STATE_RUNNING, nullptr); /* at once */
    assert_int_equal(f->asked.link_generation, before);
    assert_string_equal(state_of(f), "running");
    assert_string_equal(f->world.trace, "+destination +receiver");
}

static void test_row_delete_lost(void **state) {
    struct fixture *f = *state;
    make_running(f);
    remove_stream(f);
    assert_null(orchestrator_stream(f->world.orchestrator, STREAM));
    assert_int_equal(f->world.open_streams, 0); /* nothing here waits for the other side */
    assert_int_equal(fake_site_open_sealed(&f->site), 0);
    for (int i = 0; i < 3; i++) {
        fake_links_fail(call_at(f, f->source, "DELETE"), ERR_UNAVAILABLE, "lost");
        run_ms(f, 1000);
    }
    fake_peer_down(&f->site, f->source);
    run_ms(f, 2000);
    fake_peer_up(&f->site, f->source, 0xa1);
    run_ms(f, 1000);
    fake_links_reply(call_at(f, f->source, "DELETE"), 204, nullptr);
    run_ms(f, 5000);
    assert_null(call_at(f, f->source, "DELETE"));
    /* A late copy of the request that made it. */
    const struct stream_spec spec = stream_from(f, f->source->uid);
    char uid[UID_SIZE];
    assert_int_equal(orchestrator_put_stream(f->world.orchestrator, STREAM, &spec, nullptr, ANY_GENERATION, uid,
                                             nullptr, nullptr, nullptr),
                     ERR_CONFLICT);
}

static void test_row_delete_lost_until_the_lease_is_over(void **state) {
    struct fixture *f = *state;
    make_running(f);
    remove_stream(f);
    int n = 0;
    for (int i = 0; i < 60; i++) {
        if (call_at(f, f->source, "DELETE")) {
            fake_links_fail(call_at(f, f->source, "DELETE"), ERR_UNAVAILABLE, "lost");
            n++;
        }
        run_ms(f, 1000);
    }
    assert_in_range(n, 15, 20);
}

/* It answers, but not now: it is told again. */
static void test_row_delete_refused_for_now(void **state) {
    struct fixture *f = *state;
    static const int NOT_NOW[] = {503, 429, 500};
    make_running(f);
    remove_stream(f);
    for (size_t i = 0; i < sizeof NOT_NOW / sizeof *NOT_NOW; i++) {
        fake_links_reply(call_at(f, f->source, "DELETE"), NOT_NOW[i], nullptr);
        assert_null(call_at(f, f->source, "DELETE"));
        run_ms(f, 1000);
    }
    fake_links_reply(call_at(f, f->source, "DELETE"), 404, nullptr); /* it is gone already */
    run_ms(f, 20'000);
    assert_null(call_at(f, f->source, "DELETE"));
}

/* Nor does the end of rocd wait for one that does not answer, or is to be told later. */
static void test_row_delete_not_answered_when_stopping(void **state) {
    struct fixture *f = *state;
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        const struct stream_spec spec = stream_from(f, f->source->uid);
        char uid[UID_SIZE];
        fake_put_stream(&f->world, "", &spec, uid);
        run_ms(f, 0);
        char path[128];
        snprintf(path, sizeof path, "/peers/%s/attachments/%s", f->source->uid, uid);
        struct fake_answer answer = {};
        assert_int_equal(
            orchestrator_remove_stream(f->world.orchestrator, uid, ANY_GENERATION, fake_done, &answer, nullptr),
            ERR_OK);
        run_ms(f, 10);
        struct links_call *call = fake_links_call(f->site.links, f->source->uid, path);
        assert_non_null(call);
        assert_string_equal(call->request.method, "DELETE");
        if (is_refused)
            fake_links_reply(call, 503, nullptr);
        fake_world_stop(&f->world);
        assert_null(fake_links_call(f->site.links, f->source->uid, path));
        fake_site_join(&f->site, &f->world);
        fake_world_start(&f->world);
        fake_peer_up(&f->site, f->source, 0xa2);
    }
}

/* Its link stands, but what is asked over it fails: the lease ends all the same, and not a moment later. */
static void test_renewals_that_fail_end_with_the_lease(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const int64_t first = f->asked.link_generation;
    int64_t ms = 0, over_ms = 0;
    for (; ms < 60'000; ms += 100) {
        if (!over_ms && strcmp(state_of(f), "pending SourceUnreachable") == 0)
            over_ms = ms;
        struct links_call *call = call_at(f, f->source, "PUT");
        if (call && read_put(f, f->source) && f->asked.link_generation != first)
            break;
        if (call)
            fake_links_fail(call, ERR_UNAVAILABLE, "lost");
        run_ms(f, 100);
    }
    assert_in_range(over_ms, 14'500, 15'500);
    assert_true(f->asked.link_generation > first); /* the next one is built when the pause is over */
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

/* "B dies after": what is stored runs again, with another epoch; before that nothing is known of the old links. */
static void test_row_owner_restarts(void **state) {
    struct fixture *f = *state;
    make_running(f);
    char epoch[17];
    memcpy(epoch, f->asked.epoch, sizeof epoch);
    const struct attachment_grant grant = f->asked.grant;
    fake_world_stop(&f->world);
    fake_site_join(&f->site, &f->world);
    fake_world_start(&f->world);
    run_ms(f, 0);
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_string_not_equal(f->asked.epoch, epoch);
    assert_true(attachment_grant_equal(&f->asked.grant, &grant)); /* stored with the stream */
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

/* "B dies before fsync": the store has nothing, so there is nothing; C's retry creates it. */
static void test_row_owner_could_not_store_it(void **state) {
    struct fixture *f = *state;
    const struct stream_spec spec = stream_from(f, f->source->uid);
    struct fake_answer done = {};
    char uid[UID_SIZE];
    store_memory_fail_next(f->world.store, ERR_STORAGE);
    assert_int_equal(orchestrator_put_stream(f->world.orchestrator, STREAM, &spec, nullptr, ANY_GENERATION, uid,
                                             fake_done, &done, nullptr),
                     ERR_OK);
    run_ms(f, 10);
    assert_int_equal(done.result, ERR_STORAGE);
    assert_null(orchestrator_stream(f->world.orchestrator, STREAM));
    assert_int_equal(f->world.open_streams, 0);
    struct links_call *farewell = call_at(f, f->source, "DELETE");
    if (farewell)
        fake_links_reply(farewell, 404, nullptr);
    const int64_t before = f->asked.link_generation;
    make(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_true(f->asked.link_generation > before); /* of one run of the owner, whatever stream it was */
}

/* "two commanders": the second must have seen what the first wrote; whoever wrote last has signed. */
static void test_row_two_commanders(void **state) {
    struct fixture *f = *state;
    make_running(f);
    struct stream_spec spec = stream_from(f, f->source->uid);
    char uid[UID_SIZE];
    struct err_info info = {};
    spec.settings.gain_db = -3;
    assert_int_equal(
        orchestrator_put_stream(f->world.orchestrator, STREAM, &spec, nullptr, 1, uid, nullptr, nullptr, &info),
        ERR_OK);
    spec.settings.gain_db = -9;
    assert_int_equal(
        orchestrator_put_stream(f->world.orchestrator, STREAM, &spec, nullptr, 1, uid, nullptr, nullptr, &info),
        ERR_GENERATION);
    run_ms(f, 0);
    assert_true(f->world.gain_db == -3.0);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_int_equal(f->asked.grant.generation, 2);
}

/* "clock wrong": renewals and leases go by monotonic time. */
static void test_row_clock_is_wrong(void **state) {
    struct fixture *f = *state;
    make_running(f);
    f->world.sim.clock.wall_offset_ns -= 400 * 24 * 3600 * NS_PER_S;
    go_on_ms(f, 60'000);
    f->world.sim.clock.wall_offset_ns += 800 * 24 * 3600 * NS_PER_S;
    go_on_ms(f, 60'000);
    assert_string_equal(state_of(f), "running");
    assert_string_equal(f->world.trace, "+destination +receiver");
}

/* ---- what the source says ---- */

static void test_why_nothing_comes_is_told(void **state) {
    struct fixture *f = *state;
    make(f);
    answer(f, STREAM_STATE_PENDING, "DeviceMissing");
    assert_string_equal(state_of(f), "pending DeviceMissing");
    assert_string_equal(message_of(f), "The source says why.");
    run_ms(f, 5000);
    answer(f, STREAM_STATE_FAILED, "FormatMismatch");
    assert_string_equal(state_of(f), "failed FormatMismatch");
    /* It works again: sound is quicker than the next answer, and makes us ask. */
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_string_equal(f->world.trace, "+destination +receiver");
}

static void test_a_period_that_the_latency_does_not_hold_is_told(void **state) {
    struct fixture *f = *state;
    struct stream_spec spec = stream_from(f, f->source->uid);
    spec.settings.has_target_latency_ms = PRESENCE_VALUE;
    spec.settings.target_latency_ms = 30;
    put(f, &spec);
    answer(f, STREAM_STATE_DEGRADED, "PeriodTooLong");
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "degraded PeriodTooLong");
    assert_string_equal(message_of(f), "The source says why.");
    go_on_ms(f, 6000);
    assert_string_equal(state_of(f), "running");
    /* the source knows the least latency only, and here there is a longer one */
    spec.settings.has_target_latency_ms = PRESENCE_ABSENT;
    spec.settings.has_latency_min_ms = spec.settings.has_latency_max_ms = PRESENCE_VALUE;
    spec.settings.latency_min_ms = 30;
    spec.settings.latency_max_ms = 300;
    put(f, &spec);
    run_ms(f, 500);
    answer(f, STREAM_STATE_DEGRADED, "PeriodTooLong");
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

static void test_silence_makes_us_ask(void **state) {
    struct fixture *f = *state;
    make_running(f);
    run_ms(f, 1000);
    flow(f, ENGINE_LINK_SILENT);
    assert_string_equal(state_of(f), "running"); /* the source may know better: for a second it is waited for */
    run_ms(f, 1500);
    assert_string_equal(state_of(f), "degraded NoMedia");
    answer_from(f, f->source, (struct said){.state = STREAM_STATE_PENDING, .reason = "DeviceMissing", .renew = true});
    /* Its device is gone, and its keys with it: the next link is ready for when it is back. */
    run_ms(f, 0);
    const int64_t before = f->asked.link_generation;
    new_answer(f);
    answer(f, STREAM_STATE_PENDING, "DeviceMissing");
    assert_true(f->asked.link_generation > before);
    assert_string_equal(state_of(f), "pending DeviceMissing");
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    answer(f, STREAM_STATE_RUNNING, nullptr);
}

/* It said so before any sound came, and again when a program has stopped. */
static void test_a_source_may_be_idle(void **state) {
    struct fixture *f = *state;
    make(f);
    answer(f, STREAM_STATE_CONNECTING, nullptr);
    assert_string_equal(state_of(f), "connecting NoMedia");
    assert_false(is_asked(f));
    run_ms(f, 2000);
    answer(f, STREAM_STATE_RUNNING, "SourceIdle");
    assert_string_equal(state_of(f), "running SourceIdle");
    assert_string_equal(message_of(f), "The source says why.");
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    answer(f, STREAM_STATE_RUNNING, nullptr);
    struct events *events = orchestrator_events(f->world.orchestrator);
    uint64_t before = events_last(events);
    flow(f, ENGINE_LINK_SILENT);
    answer(f, STREAM_STATE_RUNNING, "SourceIdle");
    assert_string_equal(state_of(f), "running SourceIdle");
    assert_int_equal(events_last(events), before + 1); /* it was never said to be degraded */
    run_ms(f, 4000);
    assert_false(is_asked(f));
    for (int i = 0; i < 10; i++) {
        run_ms(f, 5000);
        answer(f, STREAM_STATE_RUNNING, "SourceIdle");
        assert_string_equal(state_of(f), "running SourceIdle");
    }
    run_ms(f, 5000);
    answer(f, STREAM_STATE_RUNNING, nullptr); /* a program plays, and nothing comes */
    assert_string_equal(state_of(f), "connecting NoMedia");
}

/* A reason that is not known is no harm: so it is for peers older than this one. */
static void test_a_source_that_sends_may_have_reasons(void **state) {
    struct fixture *f = *state;
    make(f);
    answer(f, STREAM_STATE_RUNNING, "SourceDreams");
    assert_string_equal(state_of(f), "connecting NoMedia");
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

static void test_a_source_that_always_wants_the_next_link_is_not_run_after(void **state) {
    struct fixture *f = *state;
    make(f);
    int n = 0;
    for (int i = 0; i < 600; i++) {
        if (is_asked(f)) {
            new_answer(f);
            answer_from(f, f->source, (struct said){.state = STREAM_STATE_CONNECTING, .renew = true});
            n++;
        }
        run_ms(f, 100);
    }
    assert_in_range(n, 5, 8); /* 0 1 2 4 8 16 s */
}

static void test_a_source_that_has_ended_is_left_alone(void **state) {
    struct fixture *f = *state;
    make_running(f);
    flow(f, ENGINE_LINK_SILENT);
    answer(f, STREAM_STATE_STOPPED, "SourceEnded");
    run_ms(f, 10);
    assert_string_equal(state_of(f), "stopped SourceEnded");
    assert_int_equal(f->world.open_streams, 0); /* what was recorded is finished */
    fake_links_reply(call_at(f, f->source, "DELETE"), 204, nullptr);
    fake_peer_down(&f->site, f->source);
    fake_peer_up(&f->site, f->source, 0xa1);
    run_ms(f, 60'000);
    assert_false(is_asked(f));
    const struct stream_spec spec = orchestrator_stream(f->world.orchestrator, STREAM)->spec;
    put(f, &spec); /* written again: once more */
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

static void test_it_knows_a_newer_link(void **state) {
    struct fixture *f = *state;
    make(f);
    refuse(f, 409, "link 1 is over");
    run_ms(f, 0);
    const int64_t before = f->asked.link_generation;
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_true(f->asked.link_generation > before);
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
}

/* A listed peer that lies. */
static void test_answers_without_sense(void **state) {
    struct fixture *f = *state;
    make(f);
    fake_links_reply(read_put(f, f->source), 200, "{\"stream_uid\":\"");
    run_ms(f, 0);
    assert_string_equal(state_of(f), "pending SourceRefused");
    run_ms(f, 1300);
    fake_links_reply(read_put(f, f->source), 500, "<html>");
    run_ms(f, 0);
    assert_string_equal(state_of(f), "pending SourceRefused");
    run_ms(f, 2600);
    memset(f->answer_key, 'x', 64);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_string_equal(state_of(f), "pending SourceRefused");
    run_ms(f, 5200);
    memset(f->answer_key, '0', 64);
    answer(f, STREAM_STATE_RUNNING, nullptr); /* of small order */
    assert_string_equal(state_of(f), "pending SourceRefused");
    assert_int_equal(fake_site_sealed(&f->site)->n_answers, 0);
    run_ms(f, 10'000);
    memset(f->answer_key, 'a', 64);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_int_equal(fake_site_sealed(&f->site)->n_answers, 1);
    run_ms(f, 5200); /* it answers of another link than was asked about: ours is of no use */
    (void)read_put(f, f->source);
    const int64_t link = f->asked.link_generation;
    char json[512];
    snprintf(json, sizeof json,
             "{\"stream_uid\":\"%s\",\"generation\":1,\"link_generation\":%lld,\"lease_s\":15,\"state\":\"running\","
             "\"reason\":null,\"message\":\"\",\"renew\":false,\"answer\":{\"link\":7,\"public_key\":\"%s\"}}",
             STREAM, (long long)link + 1, f->answer_key);
    fake_links_reply(read_put(f, f->source), 200, json);
    run_ms(f, 20'000);
    (void)read_put(f, f->source);
    assert_true(f->asked.link_generation > link);
}

/* ---- what happens here ---- */

static void test_a_receiver_that_breaks_needs_the_next_link(void **state) {
    struct fixture *f = *state;
    make_running(f);
    const int64_t before = f->asked.link_generation;
    flow(f, ENGINE_LINK_FAILED);
    assert_string_equal(state_of(f), "failed PathFailed");
    run_ms(f, 1000);
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    assert_true(f->asked.link_generation > before);
    assert_null(call_at(f, f->source, "DELETE")); /* the next takes its place */
    flow(f, ENGINE_LINK_STARTED);
    assert_string_equal(state_of(f), "running");
    assert_int_equal(orchestrator_stream(f->world.orchestrator, STREAM)->status.restarts, 1);
}

static void test_switched_off_the_source_is_told(void **state) {
    struct fixture *f = *state;
    make_running(f);
    struct stream_spec spec = orchestrator_stream(f->world.orchestrator, STREAM)->spec;
    spec.enabled = false;
    put(f, &spec);
    assert_string_equal(state_of(f), "stopped Disabled");
    struct links_call *farewell = call_at(f, f->source, "DELETE");
    assert_non_null(farewell);
    spec.enabled = true;
    put(f, &spec); /* before it is acknowledged */
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
    fake_links_reply(farewell, 412, nullptr); /* it is of the link before */
    flow(f, ENGINE_LINK_STARTED);
    run_ms(f, 3000);
    assert_string_equal(state_of(f), "running");
    assert_null(call_at(f, f->source, "DELETE"));
}

static void test_a_destination_that_goes_ends_it(void **state) {
    struct fixture *f = *state;
    make_running(f);
    fake_put_endpoint(&f->world, f->sink, "{\"kind\":\"null\",\"enabled\":false}", f->sink);
    run_ms(f, 10);
    assert_string_equal(state_of(f), "pending EndpointDisabled");
    fake_links_reply(call_at(f, f->source, "DELETE"), 204, nullptr);
    fake_put_endpoint(&f->world, f->sink, SINK, f->sink);
    run_ms(f, 10);
    new_answer(f);
    answer(f, STREAM_STATE_RUNNING, nullptr);
}

static void test_a_full_media_port_is_told(void **state) {
    struct fixture *f = *state;
    f->site.port_is_full = true;
    make(f);
    run_ms(f, 100);
    assert_string_equal(state_of(f), "failed PathFailed");
    assert_non_null(strstr(message_of(f), "media port"));
    f->site.port_is_full = false;
    run_ms(f, 20'000);
    answer(f, STREAM_STATE_RUNNING, nullptr);
}

static void test_a_peer_that_left_the_site(void **state) {
    struct fixture *f = *state;
    make_running(f);
    fake_peer_down(&f->site, f->source);
    fake_world_stop(&f->world);
    char uid[UID_SIZE];
    memcpy(uid, f->site.roster.members[0].uid, UID_SIZE);
    memset(f->site.roster.members[0].uid, 'x', 6);
    fake_site_join(&f->site, &f->world);
    fake_world_start(&f->world);
    run_ms(f, 1000);
    assert_string_equal(state_of(f), "pending SourceUnreachable");
    assert_non_null(strstr(message_of(f), "not of this site any more"));
    assert_non_null(strstr(message_of(f), uid));
}

static void test_stop_at_any_step(void **state) {
    struct fixture *f = *state;
    struct stream_spec spec = stream_from(f, f->source->uid);
    for (int steps = 0; steps < 24; steps++) {
        char uid[UID_SIZE];
        spec.settings.has_target_latency_ms = PRESENCE_VALUE;
        spec.settings.target_latency_ms = 100 + steps;
        assert_int_equal(orchestrator_put_stream(f->world.orchestrator, STREAM, &spec, nullptr, ANY_GENERATION, uid,
                                                 nullptr, nullptr, nullptr),
                         ERR_OK);
        for (int i = 0; i < steps; i++)
            fake_world_step(&f->world);
        if (steps % 2) /* with and without somebody to tell */
            fake_peer_down(&f->site, f->source);
        fake_world_stop(&f->world);
        assert_int_equal(fake_site_open_sealed(&f->site), 0);
        fake_site_join(&f->site, &f->world);
        fake_world_start(&f->world);
        fake_peer_up(&f->site, f->source, 0xa2 + (uint64_t)steps);
        run_ms(f, 10);
    }
    fake_peer_down(&f->site, f->source);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(test_the_receiver_first_then_the_source_is_asked),
        T(test_it_is_asked_again_every_five_seconds),
        T(test_the_gain_is_ours_and_a_new_name_is_told),
        T(test_other_settings_need_the_next_link),
        T(test_what_auto_does_is_no_matter_of_the_source),
        T(test_another_source_is_asked_and_the_first_is_told),
        T(test_row_reply_lost),
        T(test_row_source_unreachable),
        T(test_row_source_refuses_for_now),
        T(test_row_no_right_at_the_source),
        T(test_row_role_of_the_commander_is_revoked_here),
        T(test_row_source_restarts),
        T(test_row_source_restarts_unnoticed),
        T(test_row_partition),
        T(test_row_short_partition_loses_nothing),
        T(test_row_delete_lost),
        T(test_row_delete_lost_until_the_lease_is_over),
        T(test_row_delete_refused_for_now),
        T(test_row_delete_not_answered_when_stopping),
        T(test_renewals_that_fail_end_with_the_lease),
        T(test_row_owner_restarts),
        T(test_row_owner_could_not_store_it),
        T(test_row_two_commanders),
        T(test_row_clock_is_wrong),
        T(test_why_nothing_comes_is_told),
        T(test_a_period_that_the_latency_does_not_hold_is_told),
        T(test_silence_makes_us_ask),
        T(test_a_source_may_be_idle),
        T(test_a_source_that_sends_may_have_reasons),
        T(test_a_source_that_always_wants_the_next_link_is_not_run_after),
        T(test_a_source_that_has_ended_is_left_alone),
        T(test_it_knows_a_newer_link),
        T(test_answers_without_sense),
        T(test_a_receiver_that_breaks_needs_the_next_link),
        T(test_switched_off_the_source_is_told),
        T(test_a_destination_that_goes_ends_it),
        T(test_a_full_media_port_is_told),
        T(test_a_peer_that_left_the_site),
        T(test_stop_at_any_step),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
