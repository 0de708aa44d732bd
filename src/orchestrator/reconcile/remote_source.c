/* SPDX-License-Identifier: MPL-2.0 */
#include "orchestrator/reconcile/remote_source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "orchestrator/link_settings.h"
#include "orchestrator/reconcile/farewell.h"
#include "orchestrator/reconcile/reconcile.h"
#include "orchestrator/registry/grants.h"
#include "orchestrator/registry/stored_stream.h"
#include "signaling/links.h"
#include "transport/sealed.h"

static_assert(sizeof((struct remote_source *)nullptr)->reason >= sizeof((struct attachment *)nullptr)->reason);
static_assert(sizeof((struct remote_source *)nullptr)->message >= sizeof((struct attachment *)nullptr)->message);

static const char *source_peer(const struct run *run) {
    return run->sides.source.endpoint.peer_uid;
}

static bool get_peer(const struct run *run, const char *peer_uid, struct links_peer *ret) {
    return run->reconcile->links && links_peer(run->reconcile->links, peer_uid, ret);
}

static bool is_up(const struct run *run, const char *peer_uid) {
    struct links_peer peer;
    return get_peer(run, peer_uid, &peer) && peer.state == LINKS_UP;
}

static int64_t now_ns(const struct run *run) {
    return loop_now_ns(run->reconcile->loop);
}

/* ---- what is known ---- */

/* It stays so until somebody does something about it. */
static bool is_final(const struct remote_source *remote) {
    return remote->told == PLAN_REMOTE_FORBIDDEN || remote->told == PLAN_REMOTE_ENDED;
}

void remote_source_observe(const struct run *run, struct plan_observed *o) {
    const struct remote_source *remote = &run->remote;
    bool reachable = is_up(run, source_peer(run));
    o->source_peer = reachable || is_final(remote) ? remote->told : PLAN_REMOTE_UNREACHABLE;
    o->attachment_lost = remote->is_lost;
    o->attachment_waiting = !reachable || remote->is_pausing;
}

static void describe_unreachable(const struct run *run, char message[static ERR_MESSAGE_MAX]) {
    struct links_peer peer;
    const char *uid = source_peer(run);
    if (!get_peer(run, uid, &peer)) {
        snprintf(message, ERR_MESSAGE_MAX,
                 "Peer %s, which has the source, is not of this site any more: add it to site.peers of the "
                 "configuration, or name another source.",
                 uid);
    } else if (peer.state == LINKS_UP) {
        snprintf(message, ERR_MESSAGE_MAX, "Peer %s, which has the source, does not answer: %s", uid,
                 run->remote.message);
    } else {
        char since[CLOCK_TEXT_SIZE];
        const struct clock *clock = run->reconcile->loop->clock;
        clock_format(since, clock_wall_ns(clock) - (clock_now_ns(clock) - peer.since_ns));
        snprintf(
            message, ERR_MESSAGE_MAX,
            "Peer %s, which has the source, cannot be reached since %s%s%.300s. The stream starts by itself when it "
            "is back.",
            uid, since, peer.reason.message[0] ? ": " : "", peer.reason.message);
    }
}

void remote_source_describe(const struct run *run, const struct plan *plan, const char **ret_reason,
                            char message[static ERR_MESSAGE_MAX]) {
    const struct remote_source *remote = &run->remote;
    bool has_own_word = strcmp(plan->reason, "SourceMissing") == 0 || strcmp(plan->reason, "SourceUnusable") == 0;
    *ret_reason = has_own_word && remote->reason[0] ? remote->reason : plan->reason;
    if (strcmp(plan->reason, "SourceUnreachable") == 0)
        describe_unreachable(run, message);
    else
        snprintf(message, ERR_MESSAGE_MAX, "%s", remote->message);
}

static void say(struct remote_source *remote, enum plan_remote told, const char *reason, const char *message) {
    remote->told = told;
    snprintf(remote->reason, sizeof remote->reason, "%s", reason);
    snprintf(remote->message, sizeof remote->message, "%s", message);
}

/* ---- pauses ---- */

static void begin_pause(struct run *run) {
    struct remote_source *remote = &run->remote;
    int64_t pause_ns = REMOTE_SOURCE_RETRY_MIN_NS;
    for (unsigned i = 1; i < remote->attempts && pause_ns < REMOTE_SOURCE_RETRY_MAX_NS; i++)
        pause_ns *= 2;
    if (pause_ns > REMOTE_SOURCE_RETRY_MAX_NS)
        pause_ns = REMOTE_SOURCE_RETRY_MAX_NS;
    uint16_t random; /* ± 20 %, so that many streams do not ask together */
    crypto_random(&random, sizeof random);
    pause_ns = pause_ns * 8 / 10 + pause_ns * 4 / 10 * random / UINT16_MAX;
    int64_t left_ns = remote->lease_end_ns - now_ns(run);
    if (remote->part == PLAN_PART_UP && !remote->is_lost && pause_ns > left_ns)
        pause_ns = left_ns;
    remote->is_pausing = true;
    loop_timer_start(run->reconcile->loop, &remote->timer, pause_ns);
}

/* The link is of no use any more. The first time the next is built at once. */
static void lose(struct run *run) {
    struct remote_source *remote = &run->remote;
    remote->is_lost = remote->link_generation != 0;
    if (remote->attempts++ > 0)
        begin_pause(run);
    run_kick(run);
}

/* ---- asking ---- */

static void ask(struct run *run);

static void fail(struct run *run, enum plan_remote told, const char *message) {
    struct remote_source *remote = &run->remote;
    say(remote, told, "", message);
    remote->attempts++;
    if (remote->part == PLAN_PART_UP && now_ns(run) >= remote->lease_end_ns)
        lose(run);
    else
        begin_pause(run);
    run_kick(run);
}

static void forbid(struct run *run, const char *message) {
    say(&run->remote, PLAN_REMOTE_FORBIDDEN, "Forbidden", message);
    loop_timer_stop(run->reconcile->loop, &run->remote.timer);
    log_warn(run->reconcile->log, "stream is forbidden", LOG_STR("stream", run->uid), LOG_STR("reason", message));
    run_kick(run);
}

/* An idle source runs, with a reason: a peer that does not know the word takes it for one that sends. A source whose device moves
 * much sound at a time knows the least latency only; where there is a longer one, that is found by itself. */
static enum plan_remote told_by(const struct run *run, enum stream_state state, const char *reason) {
    int64_t min_ns, max_ns;
    link_settings_bounds(&run->spec, &run->sides, &min_ns, &max_ns);
    if (state == STREAM_STATE_RUNNING && strcmp(reason, "SourceIdle") == 0)
        return PLAN_REMOTE_IDLE;
    if (state == STREAM_STATE_DEGRADED && strcmp(reason, "PeriodTooLong") == 0 && min_ns == max_ns)
        return PLAN_REMOTE_STARVED;
    static const enum plan_remote TOLD[] = {
        [STREAM_STATE_PENDING] = PLAN_REMOTE_WAITING, [STREAM_STATE_CONNECTING] = PLAN_REMOTE_READY,
        [STREAM_STATE_RUNNING] = PLAN_REMOTE_READY,   [STREAM_STATE_DEGRADED] = PLAN_REMOTE_READY,
        [STREAM_STATE_STOPPED] = PLAN_REMOTE_ENDED,   [STREAM_STATE_FAILED] = PLAN_REMOTE_UNUSABLE,
    };
    return TOLD[state];
}

/* The first answer of this link: now it can open what comes. */
static bool take_answer(struct run *run, const struct attachment_answer *answer) {
    struct remote_source *remote = &run->remote;
    uint8_t other[CRYPTO_DH_KEY_SIZE];
    struct seal_keys keys;
    struct err_info info = {};
    if (!crypto_unhex(other, sizeof other, answer->public_key))
        (void)err_set(&info, ERR_INVALID, "its key is no key");
    else
        info.code = seal_keys_derive(&keys, &remote->key, other, false, run->uid, remote->link_generation, &info);
    if (info.code != ERR_OK) {
        fail(run, PLAN_REMOTE_REFUSING, info.message);
        return false;
    }
    remote->is_answered = true;
    remote->other_link = (uint32_t)answer->link;
    snprintf(remote->other_key, sizeof remote->other_key, "%s", answer->public_key);
    path_sealed_answer(remote->path, remote->other_link, &keys);
    crypto_wipe(&keys, sizeof keys);
    return true;
}

static bool is_same_answer(const struct remote_source *remote, const struct attachment_answer *answer) {
    return answer->link == remote->other_link && strcmp(answer->public_key, remote->other_key) == 0;
}

static void take_attachment(struct run *run, const struct attachment *said) {
    struct remote_source *remote = &run->remote;
    struct links_peer peer;
    if (said->link_generation != remote->link_generation || run->receiver.part != PLAN_PART_UP) {
        lose(run);
        return;
    }
    if (!remote->is_answered && !take_answer(run, &said->answer))
        return;
    remote->part = PLAN_PART_UP;
    remote->epoch = get_peer(run, remote->peer_uid, &peer) ? peer.epoch : 0;
    remote->lease_end_ns = remote->asked_ns + REMOTE_SOURCE_LEASE_NS;
    /* A failure of the link that is over is no word about the next. */
    if (!said->renew || said->state != STREAM_STATE_FAILED) {
        const char *reason = said->has_reason == PRESENCE_VALUE ? said->reason : "";
        say(remote, told_by(run, said->state, reason), reason, said->message);
    }
    if (said->renew || !is_same_answer(remote, &said->answer)) {
        lose(run);
        return;
    }
    remote->attempts = 0;
    remote->is_pausing = false;
    loop_timer_start(run->reconcile->loop, &remote->timer, REMOTE_SOURCE_RENEW_NS);
    run_kick(run);
}

static void take_problem(struct run *run, const struct links_reply *reply) {
    struct problem problem;
    char message[ERR_MESSAGE_MAX];
    if (schema_decode_text(&problem_schema, reply->body, reply->body_len, SCHEMA_IGNORE_UNKNOWN, &problem, nullptr,
                           nullptr) == ERR_OK)
        snprintf(message, sizeof message, "%s", problem.detail);
    else
        snprintf(message, sizeof message, "Peer %s refuses with status %d.", run->remote.peer_uid, reply->status);
    if (reply->status == 403) {
        forbid(run, message);
    } else if (reply->status == 409) { /* it knows a newer link, or has ended this one */
        say(&run->remote, PLAN_REMOTE_REFUSING, "", message);
        lose(run);
    } else {
        fail(run, PLAN_REMOTE_REFUSING, message);
    }
}

static void on_reply(void *arg, const struct links_reply *reply, const struct err_info *info) {
    struct run *run = arg;
    struct remote_source *remote = &run->remote;
    struct attachment said;
    struct err_info unread = {};
    remote->call = nullptr;
    bool again = remote->ask_again;
    remote->ask_again = false;
    remote->asks_why &= again;
    if (!reply)
        fail(run, PLAN_REMOTE_UNREACHABLE, info ? info->message : "there was no reply");
    else if (reply->status != 200)
        take_problem(run, reply);
    else if (schema_decode_text(&attachment_schema, reply->body, reply->body_len, SCHEMA_IGNORE_UNKNOWN, &said, nullptr,
                                &unread) != ERR_OK)
        fail(run, PLAN_REMOTE_REFUSING, unread.message);
    else
        take_attachment(run, &said);
    if (again)
        remote_source_renew(run);
    remote->asks_why &= remote->call != nullptr;
}

/* The source makes packets, which are those of the least latency; how late they are played is decided here, and a peer that
 * does not know these bounds yet refuses them. */
static void show_packets_only(const struct run *run, struct stream_settings *settings) {
    int64_t min_ns, max_ns;
    link_settings_bounds(&run->spec, &run->sides, &min_ns, &max_ns);
    if (settings->has_latency_min_ms == PRESENCE_VALUE || settings->has_latency_max_ms == PRESENCE_VALUE) {
        settings->has_target_latency_ms = PRESENCE_VALUE;
        settings->target_latency_ms = (int32_t)(min_ns / NS_PER_MS);
    }
    settings->has_latency_min_ms = settings->has_latency_max_ms = PRESENCE_ABSENT;
}

static void fill_spec(const struct run *run, const struct stream_entry *stream, const struct grants_case *wanted,
                      struct attachment_spec *ret) {
    const struct remote_source *remote = &run->remote;
    *ret = (struct attachment_spec){
        .generation = stream->object.generation,
        .link_generation = remote->link_generation,
        .settings = run->spec.settings,
        .lease_s = (int32_t)(REMOTE_SOURCE_LEASE_NS / NS_PER_S),
        .offer = {.port = media_port_number(run->reconcile->media_port), .link = remote->link}};
    /* A peer that does not know a member yet refuses it, null too; to be left out it means the same. */
    if (ret->settings.has_member != PRESENCE_VALUE)
        ret->settings.has_member = PRESENCE_ABSENT;
    show_packets_only(run, &ret->settings);
    snprintf(ret->epoch, sizeof ret->epoch, "%s", run->reconcile->epoch);
    snprintf(ret->source, sizeof ret->source, "%s", wanted->source);
    crypto_hex(ret->offer.public_key, remote->key.public_key, CRYPTO_DH_KEY_SIZE);
    stored_stream_show_grant(&stream->object.grant, &ret->grant);
}

static void put_attachment(struct run *run, const char *json, size_t len) {
    struct remote_source *remote = &run->remote;
    char path[96];
    snprintf(path, sizeof path, "/peers/%s/attachments/%s", remote->peer_uid, run->uid);
    const struct links_request request = {.method = "PUT",
                                          .path = path,
                                          .body = json,
                                          .body_len = len,
                                          .content_type = "application/json",
                                          .role = ROSTER_ADMIN, /* it asks for itself: its own role counts */
                                          .deadline_ns = REMOTE_SOURCE_DEADLINE_NS,
                                          .repeatable = true};
    static const struct links_caller CALLER = {.reply = on_reply};
    remote->asked_ns = now_ns(run);
    remote->is_pausing = false;
    loop_timer_stop(run->reconcile->loop, &remote->timer);
    remote->call = links_ask(run->reconcile->links, remote->peer_uid, &request, &CALLER, run);
    if (!remote->call)
        fail(run, PLAN_REMOTE_UNREACHABLE, "out of memory");
}

static void ask(struct run *run) {
    const struct reconcile *r = run->reconcile;
    const struct stream_entry *stream = run_stream(run);
    _cleanup_(freep) char *json = nullptr;
    size_t len;
    struct err_info info = {};
    if (!stream || run->remote.call || run->built_link != run->wanted_link)
        return; /* or another link is wanted already */
    if (!stream->object.has_grant) {
        forbid(run, "Nobody has signed for this stream: write it again.");
        return;
    }
    const struct grants_case wanted =
        grants_case_of(run->uid, stream->object.generation, &run->sides, r->registry->self.uid);
    if (grants_check(&stream->object.grant, &wanted, r->roster, r->registry->self.uid, r->key, &info) != ERR_OK) {
        forbid(run, info.message);
        return;
    }
    struct attachment_spec spec;
    fill_spec(run, stream, &wanted, &spec);
    if (schema_encode_text(&attachment_spec_schema, &spec, &json, &len, &info) != ERR_OK)
        fail(run, PLAN_REMOTE_UNREACHABLE, info.message);
    else
        put_attachment(run, json, len);
}

/* A renewal is due, a pause is over, or the lease is. */
static void on_timer(void *arg) {
    struct run *run = arg;
    struct remote_source *remote = &run->remote;
    remote->is_pausing = false;
    run_kick(run);
    if (remote->part == PLAN_PART_NONE || remote->is_lost)
        return;
    bool is_over = remote->part == PLAN_PART_UP && now_ns(run) >= remote->lease_end_ns;
    if (is_over)
        lose(run);
    else if (is_up(run, remote->peer_uid))
        ask(run);
    else if (remote->part == PLAN_PART_UP)
        loop_timer_start(run->reconcile->loop, &remote->timer, remote->lease_end_ns - now_ns(run));
}

/* ---- actions ---- */

enum err remote_source_open_path(struct run *run, struct path **ret, struct err_info *reterr) {
    struct remote_source *remote = &run->remote;
    struct reconcile *r = run->reconcile;
    uint32_t link = r->media_port ? media_port_reserve_link(r->media_port) : 0;
    if (!link)
        return err_set(reterr, r->media_port ? ERR_LIMIT : ERR_UNAVAILABLE,
                       "the media port of this peer has no room for the sound of stream %s", run->uid);
    const struct path_sealed_config config = {.port = r->media_port, .own_link = link, .settings = &run->settings};
    enum err err = path_sealed_open(&config, ret, reterr);
    if (err)
        return err;
    crypto_dh_key_make(&remote->key);
    remote->link = link;
    remote->path = *ret;
    remote->link_generation = ++r->last_link_generation;
    remote->is_lost = remote->is_answered = remote->has_wondered = false;
    snprintf(remote->peer_uid, sizeof remote->peer_uid, "%s", source_peer(run));
    return ERR_OK;
}

void remote_source_path_gone(struct run *run) {
    struct remote_source *remote = &run->remote;
    remote->path = nullptr;
    remote->link_generation = 0;
    remote->is_lost = remote->is_answered = false;
    crypto_wipe(&remote->key, sizeof remote->key);
}

void remote_source_attach(struct run *run) {
    run->remote.part = PLAN_PART_STARTING;
    run->remote.asked_ns = 0;
    ask(run);
}

static void forget(struct run *run) {
    struct remote_source *remote = &run->remote;
    if (remote->call)
        links_cancel(remote->call);
    remote->call = nullptr;
    remote->ask_again = remote->asks_why = false;
    remote->part = PLAN_PART_NONE;
    if (!remote->is_pausing)
        loop_timer_stop(run->reconcile->loop, &remote->timer);
}

void remote_source_detach(struct run *run) {
    struct remote_source *remote = &run->remote;
    forget(run);
    /* It may have been taken as late as its deadline, and then lasts for a lease. */
    int64_t until_ns = remote->asked_ns + REMOTE_SOURCE_DEADLINE_NS + REMOTE_SOURCE_LEASE_NS;
    if (remote->asked_ns && now_ns(run) < until_ns)
        farewell_say(run->reconcile, remote->peer_uid, run->uid, remote->link_generation, until_ns);
    remote->asked_ns = 0;
    if (!is_final(remote))
        remote->told = PLAN_REMOTE_READY;
}

void remote_source_drop(struct run *run) {
    if (strcmp(run->remote.peer_uid, source_peer(run)) != 0)
        remote_source_detach(run);
    else
        forget(run);
}

/* ---- news ---- */

void remote_source_renew(struct run *run) {
    struct remote_source *remote = &run->remote;
    if (remote->call)
        remote->ask_again = true;
    else if (remote->part != PLAN_PART_NONE && !remote->is_lost && is_up(run, remote->peer_uid))
        ask(run);
}

static void forgive(struct run *run) {
    struct remote_source *remote = &run->remote;
    if (remote->is_pausing && remote->part == PLAN_PART_NONE)
        loop_timer_stop(run->reconcile->loop, &remote->timer);
    if (remote->part == PLAN_PART_NONE)
        remote->is_pausing = false;
    remote->attempts = 0;
    if (remote->told == PLAN_REMOTE_FORBIDDEN || remote->told == PLAN_REMOTE_REFUSING)
        remote->told = PLAN_REMOTE_READY;
    remote_source_renew(run);
    run_kick(run);
}

void remote_source_forgive(struct run *run) {
    if (run->remote.told == PLAN_REMOTE_ENDED)
        run->remote.told = PLAN_REMOTE_READY;
    forgive(run);
}

void remote_source_ask_why(struct run *run) {
    remote_source_renew(run);
    run->remote.asks_why = run->remote.call != nullptr;
}

void remote_source_wonder(struct run *run) {
    struct remote_source *remote = &run->remote;
    if (remote->asks_why && now_ns(run) - run->silent_ns >= REMOTE_SOURCE_WONDER_NS) {
        remote->asks_why = false;
        run_kick(run);
    }
    if (remote->has_wondered || remote->part != PLAN_PART_UP || run->flowing ||
        now_ns(run) - run->built_ns < REMOTE_SOURCE_WONDER_NS)
        return;
    remote->has_wondered = true;
    remote_source_renew(run);
}

void remote_source_flows(struct run *run) {
    run->remote.attempts = 0;
    if (run->remote.told != PLAN_REMOTE_READY)
        remote_source_renew(run);
}

void remote_source_peer_changed(struct reconcile *r, const char *peer_uid) {
    struct links_peer peer;
    bool is_known = r->links && links_peer(r->links, peer_uid, &peer);
    struct run *run;
    list_for_each(run, &r->runs, link) {
        struct remote_source *remote = &run->remote;
        if (!run->sides.source.is_remote || strcmp(source_peer(run), peer_uid) != 0)
            continue;
        if (!is_known || peer.state != LINKS_UP) {
            /* From now on nobody asks: the end of the lease must be noticed all the same. */
            if (remote->part == PLAN_PART_UP && !remote->is_lost && !remote->call)
                loop_timer_start(r->loop, &remote->timer, remote->lease_end_ns - now_ns(run));
        } else if (remote->part == PLAN_PART_UP && remote->epoch != peer.epoch && !remote->is_lost) {
            remote->attempts = 0;
            lose(run); /* what it had taken is gone with its run */
        } else if (remote->epoch != peer.epoch) {
            remote_source_forgive(run);
        } else {
            forgive(run);
        }
        run_kick(run);
    }
}

/* A source that has ended plays again when it was written, but not each time its status changes. */
void remote_source_endpoint_changed(struct reconcile *r, const char *peer_uid, const char *endpoint_uid) {
    const struct remote_endpoint *endpoint = remote_endpoint(r->registry->remote, peer_uid, endpoint_uid);
    int64_t generation = endpoint ? endpoint->object.generation : 0;
    bool works = endpoint && endpoint->state == ENDPOINT_STATE_AVAILABLE;
    struct run *run;
    list_for_each(run, &r->runs, link) {
        struct remote_source *remote = &run->remote;
        if (!run->sides.source.is_remote || strcmp(source_peer(run), peer_uid) != 0 ||
            strcmp(run->sides.source.endpoint.endpoint_uid, endpoint_uid) != 0)
            continue;
        bool was_written = generation != remote->endpoint_generation && remote->endpoint_generation != 0;
        bool worked = remote->endpoint_works;
        remote->endpoint_generation = generation;
        remote->endpoint_works = works;
        if (was_written)
            remote_source_forgive(run);
        else if (works != worked)
            forgive(run);
    }
}

/* ---- life ---- */

void remote_source_init(struct run *run) {
    run->remote.timer = (struct loop_timer){.fire = on_timer, .arg = run};
}

void remote_source_finish(struct run *run) {
    forget(run);
    loop_timer_stop(run->reconcile->loop, &run->remote.timer);
    crypto_wipe(&run->remote.key, sizeof run->remote.key);
}
