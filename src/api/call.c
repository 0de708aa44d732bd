/* SPDX-License-Identifier: MPL-2.0 */
#include "api/call.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"
#include "base/cleanup.h"
#include "orchestrator/orchestrator.h"

/* ---- replies ---- */

void call_reply(struct api_call *call, struct api_reply *reply) {
    api_count_reply(call->api, call->route, reply->status);
    call->reply(call->arg, reply);
}

void call_reply_take(struct api_call *call, int status, const char *content_type, char *body, size_t body_len) {
    if (!body) {
        call_refuse(call, ERR_NO_MEMORY, "rocd is out of memory");
        return;
    }
    struct api_reply reply = {.status = status, .content_type = content_type, .body = body, .body_len = body_len};
    call_reply(call, &reply);
}

void call_reply_static(struct api_call *call, const char *content_type, const void *body, size_t body_len) {
    struct api_reply reply = {.status = 200, .content_type = content_type, .static_body = body, .body_len = body_len};
    call_reply(call, &reply);
}

bool reply_set_object(struct api_reply *reply, const struct call_object *object) {
    struct api_reply made = {.status = object->status, .content_type = "application/json"};
    struct err_info info;
    if (schema_encode_text(object->schema, object->object, &made.body, &made.body_len, &info) != ERR_OK) {
        problem_reply(reply, &info, nullptr, nullptr);
        return false;
    }
    if (object->generation > 0) {
        char tag[32];
        snprintf(tag, sizeof tag, "\"%" PRId64 "\"", object->generation);
        reply_add_header(&made, "ETag", tag);
    }
    if (object->location)
        reply_add_header(&made, "Location", object->location);
    *reply = made;
    return true;
}

void call_reply_object(struct api_call *call, const struct call_object *object) {
    struct api_reply reply;
    reply_set_object(&reply, object);
    call_reply(call, &reply);
}

void call_problem(struct api_call *call, const struct err_info *info, const struct schema_errors *errors) {
    struct api_reply reply;
    problem_reply(&reply, info, errors, call->request->path);
    if (reply.status >= 500)
        log_warn(call->api->log, "request failed", LOG_STR("method", call->request->method),
                 LOG_STR("path", call->request->path), LOG_STR("reason", info->message));
    call_reply(call, &reply);
}

void call_refuse(struct api_call *call, enum err code, const char *format, ...) {
    struct err_info info = {.code = code};
    va_list args;
    va_start(args, format);
    char message[ERR_MESSAGE_MAX];
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    /* Again through err_set, which cuts at a character boundary. */
    (void)err_set(&info, code, "%s", message);
    call_problem(call, &info, nullptr);
}

bool call_append_object(struct buf *buf, const struct schema *schema, const void *object) {
    _cleanup_(freep) char *text = nullptr;
    size_t len;
    if (schema_encode_text(schema, object, &text, &len, nullptr) != ERR_OK) {
        buf->failed = true;
        return false;
    }
    bool first = buf->len == 0 || buf->data[buf->len - 1] == '[';
    return (first || buf_append(buf, ",", 1)) && buf_append(buf, text, len);
}

/* ---- bodies and preconditions ---- */

bool call_decode(struct api_call *call, void *ret_object) {
    struct schema_errors errors = {};
    struct err_info info;
    const struct api_request *request = call->request;
    if (schema_decode_text(call->route->body, request->body, request->body_len, 0, ret_object, &errors, &info) ==
        ERR_OK)
        return true;
    call_problem(call, &info, &errors);
    return false;
}

bool call_patch(struct api_call *call, void *object) {
    struct schema_errors errors = {};
    struct err_info info;
    const struct api_request *request = call->request;
    if (schema_patch_text(call->route->body, request->body, request->body_len, 0, object, &errors, &info) == ERR_OK)
        return true;
    call_problem(call, &info, &errors);
    return false;
}

bool call_query_peer(struct api_call *call, char ret_uid[static UID_SIZE]) {
    const char *peer = query_get(&call->query, "peer");
    const char *own = orchestrator_self(call->orchestrator)->uid;
    ret_uid[0] = 0;
    if (peer && strcmp(peer, "self") == 0)
        peer = own;
    if (peer && !uid_is_valid(peer))
        call_refuse(call, ERR_INVALID, "peer: '%.64s' is not a uid, like ab12cd-ef34gh-ij56kl, and not self", peer);
    else if (peer && strcmp(peer, own) != 0 && !orchestrator_remote_peer(call->orchestrator, peer))
        call_refuse(call, ERR_NOT_FOUND, "peer: there is no peer %s here: /peers lists those there are", peer);
    else if (peer)
        snprintf(ret_uid, UID_SIZE, "%s", peer);
    return !peer || *ret_uid;
}

bool call_check_generation(struct api_call *call, int64_t generation) {
    if (if_match_holds(&call->if_match, generation))
        return true;
    call_refuse(call, ERR_GENERATION,
                "%s has changed: it is at generation %" PRId64
                ", and If-Match asks for another. Read it again and repeat the change",
                call->request->path, generation);
    return false;
}

/* ---- writes ---- */

struct api_write *call_write(struct api_call *call) {
    struct api_write *write = calloc(1, sizeof *write);
    if (!write) {
        call_refuse(call, ERR_NO_MEMORY, "rocd is out of memory");
        return nullptr;
    }
    write->api = call->api;
    write->route = call->route;
    write->reply = call->reply;
    write->arg = call->arg;
    snprintf(write->path, sizeof write->path, "%s", call->request->path);
    snprintf(write->principal, sizeof write->principal, "%s", call->request->principal.name);
    list_append(&call->api->writes, &write->link);
    return write;
}

static void write_free(struct api_write *write) {
    list_remove(&write->link);
    api_reply_finish(&write->done);
    free(write);
}

void call_write_refused(struct api_call *call, struct api_write *write, const struct err_info *info) {
    write_free(write);
    call_problem(call, info, nullptr);
}

void call_write_object(struct api_write *write, const struct call_object *object) {
    reply_set_object(&write->done, object);
}

void call_write_no_content(struct api_write *write) {
    write->done = (struct api_reply){.status = 204};
}

void call_write_done(void *arg, enum err result, const struct err_info *info) {
    struct api_write *write = arg;
    struct api *api = write->api;
    if (!api) {
        write_free(write);
        return;
    }
    struct api_reply reply = write->done;
    write->done = (struct api_reply){};
    if (result != ERR_OK) {
        api_reply_finish(&reply);
        struct err_info unknown = {.code = result};
        problem_reply(&reply, info ? info : &unknown, nullptr, write->path);
        log_error(api->log, "change not stored", LOG_STR("operation", write->route->operation_id),
                  LOG_STR("path", write->path), LOG_STR("by", write->principal),
                  LOG_STR("reason", info ? info->message : err_title(result)));
    } else {
        log_info(api->log, "change made", LOG_STR("operation", write->route->operation_id),
                 LOG_STR("path", write->path), LOG_STR("by", write->principal));
    }
    api_count_reply(api, write->route, reply.status);
    api_reply_fn fn = write->reply;
    void *fn_arg = write->arg;
    write_free(write);
    fn(fn_arg, &reply);
}
