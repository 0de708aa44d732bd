/* SPDX-License-Identifier: MPL-2.0 */
#include "api/forward.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/api_priv.h"
#include "api/stream_write.h"
#include "base/cleanup.h"
#include "base/json.h"
#include "model/uri.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/remote.h"
#include "signaling/links.h"

/* A request on its way; the links call back until it is answered. */
struct forward {
    struct api *api;
    struct list_link link; /* api::forwards */
    struct links_call *call;
    const struct api_route *route;
    api_reply_fn reply;
    void *arg;
    char owner[UID_SIZE];
    char path[256]; /* as it was asked for here */
    char principal[64];
};

/* What may take the place of the call's own parts. */
struct parts {
    const char *method;
    char path[256];
    char *body; /* owned; nullptr: that of the call */
    size_t body_len;
    const char *if_none_match, *key;
    char uid[UID_SIZE]; /* of a new stream */
    char *grant;        /* owned; nullptr: none */
    bool is_repeatable;
};

static void parts_finish(struct parts *parts) {
    free(parts->body);
    free(parts->grant);
}

/* ---- answers ---- */

static void finish(struct forward *forward, struct api_reply *reply) {
    api_count_reply(forward->api, forward->route, reply->status);
    list_remove(&forward->link);
    forward->reply(forward->arg, reply);
    free(forward);
}

static void fail(struct forward *forward, const struct err_info *info) {
    struct api_reply reply;
    problem_reply(&reply, info, nullptr, forward->path);
    log_warn(forward->api->log, "request to another peer failed", LOG_STR("operation", forward->route->operation_id),
             LOG_STR("peer", forward->owner), LOG_STR("path", forward->path), LOG_STR("by", forward->principal),
             LOG_STR("reason", info->message));
    finish(forward, &reply);
}

/* Who cannot be reached, why, since when, and what to do. */
static void describe(const struct api *api, const char *owner, const struct err_info *why, struct err_info *ret) {
    struct peer peer = {};
    const struct remote_peer *remote = orchestrator_remote_peer(api->orchestrator, owner);
    if (remote)
        orchestrator_show_remote_peer(api->orchestrator, remote, &peer);
    bool is_named = strcmp(peer.spec.name, owner) != 0;
    const char *open = is_named ? "'" : "", *close = is_named ? "' (" : "", *end = is_named ? ")" : "";
    const char *reason = why && *why->message ? why->message : peer.message;
    if (remote && peer.state == PEER_STATE_ONLINE)
        (void)err_set(
            ret, ERR_PEER_UNREACHABLE,
            "peer %s%s%s%s%s, which owns this, has not answered: %s. Look at it again before you repeat a change", open,
            is_named ? peer.spec.name : "", close, owner, end, reason);
    else
        (void)err_set(
            ret, ERR_PEER_UNREACHABLE,
            "peer %s%s%s%s%s, which owns this, cannot be reached %s %s: %s. Nothing is kept for it: try again "
            "when it is back (GET /peers/%s tells)",
            open, is_named ? peer.spec.name : "", close, owner, end,
            peer.state == PEER_STATE_PENDING ? "and has not been seen since" : "since", peer.since, reason, owner);
}

/* Content types are those of our own contract: what a peer writes there is not passed on. */
static const char *known_type(const char *type) {
    static const char *const TYPES[] = {"application/json", "application/problem+json",
                                        "text/plain; version=0.0.4; charset=utf-8"};
    for (size_t i = 0; type && i < sizeof TYPES / sizeof *TYPES; i++)
        if (strcasecmp(TYPES[i], type) == 0)
            return TYPES[i];
    return nullptr;
}

static bool is_plain(const char *text) {
    size_t n = 0;
    while (text[n] >= 0x20 && text[n] < 0x7f)
        n++;
    return !text[n] && n < sizeof((struct api_header *)nullptr)->value;
}

static void take_headers(struct api_reply *to, const struct links_reply *from) {
    static const char *const NAMES[] = {"ETag", "Location", "Allow", "Retry-After"};
    for (size_t i = 0; i < from->n_headers && i < LINKS_HEADERS_MAX; i++)
        for (size_t k = 0; k < sizeof NAMES / sizeof *NAMES; k++)
            if (strcasecmp(from->headers[i].name, NAMES[k]) == 0 && is_plain(from->headers[i].value))
                reply_add_header(to, NAMES[k], from->headers[i].value);
}

static enum err take_reply(const struct links_reply *from, struct api_reply *ret, struct err_info *reterr) {
    const char *type = from->body_len ? known_type(from->content_type) : nullptr;
    if (from->streaming || from->status < 200 || from->status > 599 || (from->body_len && !type))
        return err_set(
            reterr, ERR_PEER_UNREACHABLE,
            "the peer that owns this gave an answer that makes no sense: its rocd may be of another version");
    struct api_reply reply = {.status = from->status, .content_type = type};
    if (from->body_len) {
        reply.body = malloc(from->body_len + 1);
        if (!reply.body)
            return err_set(reterr, ERR_NO_MEMORY, "rocd is out of memory");
        memcpy(reply.body, from->body, from->body_len);
        reply.body[from->body_len] = 0;
        reply.body_len = from->body_len;
    }
    take_headers(&reply, from);
    *ret = reply;
    return ERR_OK;
}

static void on_reply(void *arg, const struct links_reply *reply, const struct err_info *info) {
    struct forward *forward = arg;
    struct err_info why = {};
    struct api_reply answer = {};
    if (!reply && info->code != ERR_LIMIT && info->code != ERR_UNAVAILABLE) { /* it was not even sent */
        fail(forward, info);
    } else if (!reply && info->code == ERR_LIMIT) {
        (void)err_set(&why, ERR_LIMIT, "too much is asked of peer %s at once: %s", forward->owner, info->message);
        fail(forward, &why);
    } else if (!reply) {
        describe(forward->api, forward->owner, info, &why);
        fail(forward, &why);
    } else if (take_reply(reply, &answer, &why) != ERR_OK) {
        if (reply->streaming)
            links_cancel(forward->call);
        fail(forward, &why);
    } else {
        if (forward->route->flags & API_ROUTE_WRITE && answer.status < 300)
            log_info(forward->api->log, "change made by another peer",
                     LOG_STR("operation", forward->route->operation_id), LOG_STR("peer", forward->owner),
                     LOG_STR("path", forward->path), LOG_STR("by", forward->principal));
        finish(forward, &answer);
    }
}

/* An endless reply is cancelled at once, so these two never come. */
static void on_event(void *, const struct links_event *) {
}

static void on_ended(void *, const struct err_info *) {
}

void forward_end_all(struct api *api) {
    struct forward *forward;
    list_for_each_safe(forward, &api->forwards, link) {
        links_cancel(forward->call);
        struct err_info info = {};
        (void)err_set(&info, ERR_UNAVAILABLE,
                      "rocd is ending, and it is not known yet what peer %s made of the request", forward->owner);
        fail(forward, &info);
    }
}

/* ---- patches ---- */

static bool resolve_member(yyjson_mut_doc *doc, yyjson_mut_val *side, const char *self_uid) {
    yyjson_mut_val *value = yyjson_mut_obj_get(side, "endpoint_uri");
    const char *text = yyjson_mut_get_str(value);
    struct uri_endpoint uri;
    if (!text || strlen(text) != yyjson_mut_get_len(value) || uri_parse_endpoint(text, &uri, nullptr) != ERR_OK ||
        !uri.is_self)
        return true;
    char real[GRANT_URI_SIZE];
    int n = snprintf(real, sizeof real, "/peers/%s/endpoints/%s", self_uid, uri.endpoint_uid);
    yyjson_mut_val *key = yyjson_mut_str(doc, "endpoint_uri"), *made = yyjson_mut_strncpy(doc, real, (size_t)n);
    return key && made && yyjson_mut_obj_replace(side, key, made);
}

static void doc_freep(yyjson_doc **doc) {
    yyjson_doc_free(*doc);
}

static void mut_doc_freep(yyjson_mut_doc **doc) {
    yyjson_mut_doc_free(*doc);
}

enum err forward_resolve_patch(const char *body, size_t len, const char *self_uid, char **ret_text, size_t *ret_len,
                               struct forward_sides *ret_named, struct err_info *reterr) {
    _cleanup_(doc_freep) yyjson_doc *read = nullptr;
    enum err err = json_parse(body, len, &JSON_LIMITS, &read, reterr);
    if (err)
        return err;
    _cleanup_(mut_doc_freep) yyjson_mut_doc *doc = yyjson_doc_mut_copy(read, nullptr);
    yyjson_mut_val *root = doc ? yyjson_mut_doc_get_root(doc) : nullptr;
    struct forward_sides named = {};
    bool ok = root;
    static const char *const SIDES[] = {"source", "destination"};
    for (size_t i = 0; ok && i < 2; i++) {
        yyjson_mut_val *side = yyjson_mut_obj_get(root, SIDES[i]);
        named.any |= side != nullptr;
        named.source |= i == 0 && yyjson_mut_is_str(yyjson_mut_obj_get(side, "endpoint_uri"));
        ok = !side || resolve_member(doc, side, self_uid);
    }
    char *text = ok ? yyjson_mut_write(doc, 0, ret_len) : nullptr;
    if (!text)
        return err_set(reterr, ERR_NO_MEMORY, "rocd is out of memory");
    *ret_text = text;
    *ret_named = named;
    return ERR_OK;
}

/* ---- requests ---- */

static bool add_grant(struct api_call *call, const char *uid, int64_t generation, const struct stream_spec *spec,
                      struct parts *parts) {
    struct grant grant;
    bool has_grant;
    if (!stream_write_grant(call, uid, generation, spec, &grant, &has_grant))
        return false;
    if (has_grant && !(parts->grant = grant_format(&grant))) {
        call_refuse(call, ERR_NO_MEMORY, "rocd is out of memory");
        return false;
    }
    return true;
}

static bool take_spec(struct api_call *call, const struct stream_spec *spec, struct parts *parts) {
    struct err_info info = {};
    if (schema_encode_text(&stream_spec_schema, spec, &parts->body, &parts->body_len, &info) == ERR_OK)
        return true;
    call_problem(call, &info, nullptr);
    return false;
}

/* The stream's spec as it was last heard of. */
static enum err read_spec(const struct remote_stream *stream, struct stream_spec *ret, struct err_info *reterr) {
    _cleanup_(freep) struct stream *shown = malloc(sizeof *shown);
    if (!shown)
        return err_set(reterr, ERR_NO_MEMORY, "rocd is out of memory");
    enum err err = schema_decode_text(&stream_schema, stream->object.json, stream->object.json_len,
                                      SCHEMA_IGNORE_UNKNOWN, shown, nullptr, reterr);
    if (!err)
        *ret = shown->spec;
    return err;
}

static bool prepare_create(struct api_call *call, struct parts *parts) {
    struct stream_spec spec;
    if (!stream_write_spec(call, &spec))
        return false;
    stream_write_uid(call, parts->uid);
    parts->method = "PUT";
    snprintf(parts->path, sizeof parts->path, "/streams/%s", parts->uid);
    parts->if_none_match = "*";
    /* Without a key of the client's the uid itself tells a repetition from another request. */
    parts->key = call->request->idempotency_key ? call->request->idempotency_key : parts->uid;
    parts->is_repeatable = true;
    return take_spec(call, &spec, parts) && add_grant(call, parts->uid, 1, &spec, parts);
}

static bool prepare_put(struct api_call *call, struct parts *parts) {
    const struct remote_stream *present = orchestrator_remote_stream(call->orchestrator, call->uid);
    struct stream_spec spec;
    if (!stream_write_spec(call, &spec))
        return false;
    int64_t generation = present && !call->must_not_exist ? present->object.generation + 1 : 1;
    return take_spec(call, &spec, parts) && add_grant(call, call->uid, generation, &spec, parts);
}

/* A grant goes with a patch that names a side: then it is a new command over the source. Others keep the one there is. The
 * source must be named by the user then: what the owner says it is would be signed with the user's right otherwise. */
static bool prepare_patch(struct api_call *call, struct parts *parts) {
    const struct api_request *request = call->request;
    const struct remote_stream *present = orchestrator_remote_stream(call->orchestrator, call->uid);
    struct err_info info = {};
    struct schema_errors errors = {};
    struct stream_spec spec;
    struct forward_sides named = {};
    enum err err = forward_resolve_patch(request->body, request->body_len, orchestrator_self(call->orchestrator)->uid,
                                         &parts->body, &parts->body_len, &named, &info);
    if (!err && named.any && present) {
        err = read_spec(present, &spec, &info);
        if (!err)
            err = schema_patch_text(&stream_spec_schema, parts->body, parts->body_len, 0, &spec, &errors, &info);
        if (!err && spec.source.connection_type == CONNECTION_TYPE_ENDPOINT && !named.source)
            err =
                err_set_at(&info, ERR_INVALID, "/source/endpoint_uri",
                           "say what source is meant, too: with a change of a stream's sides this peer signs that its "
                           "source may be heard there, and the stream belongs to another");
        if (!err)
            return add_grant(call, call->uid, present->object.generation + 1, &spec, parts);
    }
    if (err)
        call_problem(call, &info, errors.n_errors ? &errors : nullptr);
    return !err;
}

static bool prepare(struct api_call *call, struct parts *parts) {
    const struct api_request *request = call->request;
    api_handler *handler = call->route->handler;
    const char *path = request->path;
    while (path[0] == '/' && path[1] == '/')
        path++;
    parts->method = call->route->method;
    snprintf(parts->path, sizeof parts->path, "%s", path);
    for (size_t len = strlen(parts->path); len > 1 && parts->path[len - 1] == '/';)
        parts->path[--len] = 0;
    parts->if_none_match = request->if_none_match;
    parts->key = request->idempotency_key;
    parts->is_repeatable = strcmp(parts->method, "GET") == 0 || (call->must_not_exist && parts->key);
    if (handler == api_create_stream)
        return prepare_create(call, parts);
    if (handler == api_put_stream)
        return prepare_put(call, parts);
    return handler != api_patch_stream || prepare_patch(call, parts);
}

void forward_call(struct api_call *call, const char *owner) {
    static const struct links_caller CALLER = {on_reply, on_event, on_ended};
    struct api *api = call->api;
    const struct api_request *request = call->request;
    _cleanup_(parts_finish) struct parts parts = {};
    if (!prepare(call, &parts))
        return;
    struct links_peer link;
    if (!api->links || !links_peer(api->links, owner, &link) || link.state != LINKS_UP) {
        struct err_info info = {};
        describe(api, owner, nullptr, &info);
        call_problem(call, &info, nullptr);
        return;
    }
    struct forward *forward = calloc(1, sizeof *forward);
    if (!forward) {
        call_refuse(call, ERR_NO_MEMORY, "rocd is out of memory");
        return;
    }
    *forward = (struct forward){.api = api, .route = call->route, .reply = call->reply, .arg = call->arg};
    snprintf(forward->owner, sizeof forward->owner, "%s", owner);
    snprintf(forward->path, sizeof forward->path, "%s", request->path);
    snprintf(forward->principal, sizeof forward->principal, "%s", request->principal.name);
    list_append(&api->forwards, &forward->link);
    const struct links_request sent = {
        .method = parts.method,
        .path = parts.path,
        .query = request->query && *request->query ? request->query : nullptr,
        .body = parts.body ? parts.body : request->body,
        .body_len = parts.body ? parts.body_len : request->body_len,
        .content_type = request->body_len ? request->content_type : nullptr,
        .if_match = request->if_match,
        .if_none_match = parts.if_none_match,
        .idempotency_key = parts.key,
        .last_event_id = request->last_event_id,
        .grant = parts.grant,
        .user = request->principal.name,
        .role = (enum roster_role)request->principal.privilege,
        .deadline_ns = LINKS_DEADLINE_NS,
        .repeatable = parts.is_repeatable,
    };
    forward->call = links_ask(api->links, owner, &sent, &CALLER, forward);
    if (!forward->call) {
        struct err_info info = {};
        (void)err_set(&info, ERR_NO_MEMORY, "rocd is out of memory");
        fail(forward, &info);
    }
}
