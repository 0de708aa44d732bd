/* SPDX-License-Identifier: MPL-2.0 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/api_priv.h"
#include "api/call.h"
#include "api/forward.h"
#include "api/stream_write.h"
#include "model/stream_check.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/remote.h"

constexpr size_t PATH_PARAMS_MAX = 2;

struct span {
    const char *text;
    size_t len;
};

struct path_params {
    size_t n;
    struct {
        struct span name; /* "peer_uid" */
        struct span value;
    } params[PATH_PARAMS_MAX];
};

/* Leading doubled and trailing slashes are trimmed, so that what people type and what programs glue together works. */
static struct span trim(const char *path) {
    while (path[0] == '/' && path[1] == '/')
        path++;
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    return (struct span){path, len};
}

/* The part of *rest up to the next slash; *rest begins with a slash and moves to it. */
static struct span next_segment(struct span *rest) {
    struct span segment = {rest->text + 1, 0};
    while (segment.len + 1 < rest->len && segment.text[segment.len] != '/')
        segment.len++;
    rest->text += segment.len + 1;
    rest->len -= segment.len + 1;
    return segment;
}

static bool span_is(struct span span, const char *text) {
    return strlen(text) == span.len && memcmp(span.text, text, span.len) == 0;
}

static bool path_matches(const char *pattern, struct span path, struct path_params *ret) {
    struct span rest = {pattern, strlen(pattern)};
    ret->n = 0;
    while (rest.len && path.len) {
        if (path.text[0] != '/')
            return false;
        struct span want = next_segment(&rest);
        struct span have = next_segment(&path);
        if (want.len && want.text[0] == '{') {
            if (!have.len || ret->n == PATH_PARAMS_MAX)
                return false;
            ret->params[ret->n].name = (struct span){want.text + 1, want.len - 2};
            ret->params[ret->n++].value = have;
        } else if (want.len != have.len || memcmp(want.text, have.text, want.len) != 0) {
            return false;
        }
    }
    return !rest.len && !path.len;
}

/* The row for method and path. Without one, *ret_allow tells the methods the path knows ("" when it is no path). */
static const struct api_route *find_route(const char *method, struct span path, struct path_params *ret_params,
                                          char *ret_allow, size_t allow_size) {
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;
    ret_allow[0] = 0;
    for (size_t i = 0; i < API_ROUTES_N; i++) {
        const struct api_route *route = &api_routes[i];
        if (!path_matches(route->path, path, ret_params))
            continue;
        if (strcmp(route->method, wanted) == 0)
            return route;
        size_t used = strlen(ret_allow);
        snprintf(ret_allow + used, allow_size - used, "%s%s%s", used ? ", " : "", route->method,
                 strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
    }
    return nullptr;
}

static void refuse_route(struct api_call *call, const char *allow) {
    if (!allow[0]) {
        call_refuse(call, ERR_NOT_FOUND, "there is no resource %s: /openapi lists what there is", call->request->path);
        return;
    }
    struct err_info info;
    (void)err_set(&info, ERR_METHOD, "%s does not know the method %s: it knows %s", call->request->path,
                  call->request->method, allow);
    struct api_reply reply;
    problem_reply(&reply, &info, nullptr, call->request->path);
    reply_add_header(&reply, "Allow", allow);
    call_reply(call, &reply);
}

static bool is_member(const struct api_call *call, const char *uid) {
    return strcmp(uid, orchestrator_self(call->orchestrator)->uid) == 0 ||
           orchestrator_remote_peer(call->orchestrator, uid);
}

/* The uids of the path: `self` or a known peer, and the object, whose existence is the handler's business. */
static enum err check_params(struct api_call *call, const struct path_params *params, struct err_info *reterr) {
    for (size_t i = 0; i < params->n; i++) {
        struct span name = params->params[i].name;
        struct span value = params->params[i].value;
        bool is_peer = span_is(name, "peer_uid");
        if (is_peer && span_is(value, "self")) {
            snprintf(call->peer_uid, sizeof call->peer_uid, "%s", orchestrator_self(call->orchestrator)->uid);
            continue;
        }
        char uid[UID_SIZE] = "";
        if (value.len == UID_LEN)
            memcpy(uid, value.text, UID_LEN);
        if (value.len != UID_LEN || !uid_is_valid(uid))
            return err_set(reterr, ERR_INVALID, "'%.*s' is not a %.*s: want three groups like ab12cd-ef34gh-ij56kl%s",
                           (int)(value.len < 64 ? value.len : 64), value.text, (int)name.len, name.text,
                           is_peer ? ", or self" : "");
        memcpy(is_peer ? call->peer_uid : call->uid, uid, sizeof uid);
        if (is_peer && !is_member(call, uid))
            return err_set(reterr, ERR_NOT_FOUND, "there is no peer %s here: /peers lists those there are", uid);
    }
    return ERR_OK;
}

static const char *const PRIVILEGES[] = {
    [API_NOBODY] = "nobody", [API_VIEWER] = "viewer", [API_OPERATOR] = "operator", [API_ADMIN] = "admin"};

static enum err check_privilege(const struct api_call *call, struct err_info *reterr) {
    const struct api_principal *principal = &call->request->principal;
    if (call->route->flags & API_ROUTE_PEERS && (!principal->peer_uid[0] || !principal->is_peer_itself))
        return err_set(reterr, ERR_FORBIDDEN,
                       "%s %s is what peers of the site say to each other, each for itself: make a stream at /streams, "
                       "and its owner will ask for what it needs",
                       call->route->method, call->route->path);
    if (principal->privilege >= call->route->privilege)
        return ERR_OK;
    return err_set(reterr, ERR_FORBIDDEN, "this needs the rights of %s, and %s has those of %s",
                   PRIVILEGES[call->route->privilege], principal->name[0] ? principal->name : "the caller",
                   PRIVILEGES[principal->privilege]);
}

/* "application/json; charset=utf-8" */
static bool media_type_is(const char *content_type, const char *wanted) {
    size_t len = strlen(wanted);
    if (strncasecmp(content_type, wanted, len) != 0)
        return false;
    const char *rest = content_type + len;
    rest += strspn(rest, " \t");
    if (!*rest)
        return true;
    if (*rest++ != ';')
        return false;
    rest += strspn(rest, " \t;");
    return !*rest || strcasecmp(rest, "charset=utf-8") == 0 || strcasecmp(rest, "charset=\"utf-8\"") == 0;
}

static enum err check_body(const struct api_call *call, struct err_info *reterr) {
    const struct api_request *request = call->request;
    const struct api_route *route = call->route;
    if (!(route->flags & API_ROUTE_BODY)) {
        if (request->body_len)
            return err_set(reterr, ERR_INVALID, "%s %s takes no body: send none", request->method, request->path);
        return ERR_OK;
    }
    if (request->body_len > route->max_body)
        return err_set(reterr, ERR_TOO_LARGE, "the body has %zu bytes, and at most %zu are taken", request->body_len,
                       route->max_body);
    bool patch = route->flags & API_ROUTE_PATCH;
    if (!request->content_type || (!media_type_is(request->content_type, "application/json") &&
                                   !(patch && media_type_is(request->content_type, "application/merge-patch+json"))))
        return err_set(reterr, ERR_MEDIA_TYPE, "send the body as Content-Type: application/json%s",
                       patch ? " or application/merge-patch+json" : "");
    if (!request->body_len)
        return err_set(reterr, ERR_MALFORMED, "%s %s needs a JSON object as its body, and it is empty", request->method,
                       request->path);
    return ERR_OK;
}

static enum err check_key(const struct api_call *call, struct err_info *reterr) {
    const char *key = call->request->idempotency_key;
    if (!key)
        return ERR_OK;
    size_t len = strlen(key);
    if (len == 0 || len > API_IDEMPOTENCY_KEY_MAX)
        return err_set(reterr, ERR_INVALID, "Idempotency-Key has %zu bytes: want 1 to %zu", len,
                       API_IDEMPOTENCY_KEY_MAX);
    for (; *key; key++)
        if (*key < 0x20 || *key > 0x7e)
            return err_set(reterr, ERR_INVALID, "Idempotency-Key holds something else than printable ASCII");
    return ERR_OK;
}

static enum err check_preconditions(struct api_call *call, struct err_info *reterr) {
    unsigned flags = call->route->flags;
    enum err err = ERR_OK;
    if (flags & API_ROUTE_IF_MATCH)
        err = if_match_parse(call->request->if_match, &call->if_match, reterr);
    if (!err && flags & API_ROUTE_IF_NONE_MATCH)
        err = if_none_match_parse(call->request->if_none_match, &call->must_not_exist, reterr);
    return err ? err : check_key(call, reterr);
}

static enum err check(struct api_call *call, const struct path_params *params, struct err_info *reterr) {
    enum err err = check_privilege(call, reterr);
    if (!err)
        err = check_params(call, params, reterr);
    if (!err)
        err = query_parse(call->request->query, call->route->query, &call->query, reterr);
    if (!err)
        err = check_preconditions(call, reterr);
    if (!err)
        err = check_body(call, reterr);
    return err;
}

/* ---- whose it is ---- */

/* The peer that will own the stream in the body. */
static bool owner_of_body(struct api_call *call, char ret[static UID_SIZE]) {
    struct stream_spec spec;
    struct err_info info = {};
    if (!stream_write_spec(call, &spec))
        return false;
    enum err err = stream_owner(&spec, orchestrator_self(call->orchestrator)->uid, ret, &info);
    if (!err && !is_member(call, ret))
        err = err_set_at(&info, ERR_INVALID,
                         spec.destination.connection_type == CONNECTION_TYPE_ENDPOINT ? "/destination/endpoint_uri"
                                                                                      : "/source/endpoint_uri",
                         "there is no peer %s here: /peers lists those there are", ret);
    if (err)
        call_problem(call, &info, nullptr);
    return !err;
}

/* The peer that has a stream; "": nobody that is known. */
static const char *owner_of_stream(const struct api_call *call, const char *uid) {
    if (orchestrator_stream(call->orchestrator, uid))
        return orchestrator_self(call->orchestrator)->uid;
    const struct remote_stream *stream = orchestrator_remote_stream(call->orchestrator, uid);
    return stream ? stream->object.peer->uid : "";
}

/* The one place that decides whose an object is: ours, and the handler gets the call, or another peer's, and the call
 * goes there. What is known of the whole site is answered here, from memory. false: the call has been answered. */
static bool find_owner(struct api_call *call, char ret[static UID_SIZE]) {
    const char *self = orchestrator_self(call->orchestrator)->uid;
    api_handler *handler = call->route->handler;
    char uid[UID_SIZE] = "";
    const char *owner = self;
    if (handler == api_get_metrics) {
        if (!call_query_peer(call, uid))
            return false;
        owner = *uid ? uid : self;
    } else if (handler == api_create_stream) {
        stream_write_uid(call, uid); /* with a key it may be a repetition */
        owner = call->request->idempotency_key ? owner_of_stream(call, uid) : "";
        if (!*owner)
            return owner_of_body(call, ret);
    } else if (handler == api_get_peer || handler == api_list_endpoints) {
        owner = self;
    } else if (*call->peer_uid) {
        owner = call->peer_uid;
    } else if (*call->uid) {
        owner = owner_of_stream(call, call->uid);
        if (!*owner && call->must_not_exist)
            return owner_of_body(call, ret);
        owner = *owner ? owner : self;
    }
    snprintf(ret, UID_SIZE, "%s", owner);
    return true;
}

static void send_on(struct api_call *call, const char *owner) {
    const char *asker = call->request->principal.peer_uid;
    if (*asker)
        call_refuse(call, ERR_MISDIRECTED,
                    "this belongs to peer %s, and what peer %s asks is not passed on: ask that one itself", owner,
                    asker);
    else
        forward_call(call, owner);
}

void api_dispatch(struct api *api, const struct api_request *request, api_reply_fn reply, void *arg) {
    struct api_call call = {
        .api = api, .orchestrator = api->orchestrator, .request = request, .reply = reply, .arg = arg};
    struct path_params params;
    char allow[64];
    call.route = find_route(request->method, trim(request->path), &params, allow, sizeof allow);
    log_debug(api->log, "request", LOG_STR("method", request->method), LOG_STR("path", request->path),
              LOG_STR("by", request->principal.name));
    if (!call.route) {
        refuse_route(&call, allow);
        return;
    }
    struct err_info info = {};
    char owner[UID_SIZE];
    if (check(&call, &params, &info) != ERR_OK)
        call_problem(&call, &info, nullptr);
    else if (!find_owner(&call, owner))
        return;
    else if (strcmp(owner, orchestrator_self(api->orchestrator)->uid) == 0)
        call.route->handler(&call);
    else
        send_on(&call, owner);
}
