/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "api/call.h"
#include "api/forward.h"
#include "api/fresh.h"
#include "api/lists.h"
#include "api/routes_gen.h"
#include "api/stream_write.h"
#include "base/cleanup.h"
#include "model/stream_check.h"
#include "orchestrator/orchestrator.h"

static void show(const struct api_call *call, const struct registry_stream *stream, struct stream *ret) {
    *ret = (struct stream){};
    orchestrator_show_stream(call->orchestrator, stream, ret);
}

static const struct registry_stream *find(struct api_call *call) {
    const struct registry_stream *stream = orchestrator_stream(call->orchestrator, call->uid);
    if (!stream)
        call_refuse(call, ERR_NOT_FOUND, "there is no stream %s: /streams lists those there are", call->uid);
    return stream;
}

static void show_write(const struct api_call *call, struct api_write *write, const char *uid, int status) {
    struct stream stream;
    show(call, orchestrator_stream(call->orchestrator, uid), &stream);
    call_write_object(write, &(struct call_object){.status = status,
                                                   .schema = &stream_schema,
                                                   .object = &stream,
                                                   .generation = stream.generation,
                                                   .location = status == 201 ? stream.stream_uri : nullptr});
}

/* A peer gives no grant with a change that leaves the sides alone: the present one goes on. Without one there is nothing
 * to tell the source's peer who wants this. */
static bool keep_grant(struct api_call *call, const struct registry_stream *present, const struct stream_spec *spec,
                       struct grant *ret, bool *ret_has) {
    if (present && connection_equal(&present->spec.source, &spec->source) &&
        connection_equal(&present->spec.destination, &spec->destination)) {
        *ret = present->grant;
        *ret_has = present->has_grant;
        return true;
    }
    if (!call->request->principal.peer_uid[0] || spec->source.connection_type != CONNECTION_TYPE_ENDPOINT)
        return true;
    call_refuse(call, ERR_FORBIDDEN, "a change of a stream's source or destination needs a grant, and none was sent");
    return false;
}

/* `names_side`: the request says what source or destination shall be, and so is a command over them. */
static void put(struct api_call *call, const char *uid, const struct registry_stream *present,
                const struct stream_spec *spec, bool names_side, int64_t if_generation, int status) {
    struct grant grant;
    bool has_grant = false;
    int64_t generation = present ? present->generation + 1 : 1;
    if (names_side && !stream_write_grant(call, uid, generation, spec, &grant, &has_grant))
        return;
    if (!has_grant && !keep_grant(call, present, spec, &grant, &has_grant))
        return;
    struct api_write *write = call_write(call);
    if (!write)
        return;
    char stored_uid[UID_SIZE] = "";
    struct err_info info = {};
    if (orchestrator_put_stream(call->orchestrator, uid, spec, has_grant ? &grant : nullptr, if_generation, stored_uid,
                                call_write_done, write, &info) != ERR_OK)
        call_write_refused(call, write, &info);
    else
        show_write(call, write, stored_uid, status);
}

/* The stream is there, and the request that made it may have come again: then it gets the same answer, once it is durable.
 * What was changed since is another stream by now. */
static void repeat(struct api_call *call, const struct registry_stream *present, const struct stream_spec *spec) {
    if (!stream_spec_equal(&present->spec, spec)) {
        call_refuse(call, ERR_IDEMPOTENCY,
                    "the Idempotency-Key '%s' stands for stream %s, which is another than the one asked for now: use a "
                    "new key for a new stream",
                    call->request->idempotency_key, present->uid);
        return;
    }
    struct api_write *write = call_write(call);
    if (!write)
        return;
    struct err_info info = {};
    if (orchestrator_confirm_stream(call->orchestrator, present->uid, call_write_done, write, &info) != ERR_OK)
        call_write_refused(call, write, &info);
    else
        show_write(call, write, present->uid, 201);
}

static void answer_list(struct api_call *call, const char *peer_uid) {
    struct buf buf = {};
    buf_append(&buf, "[", 1);
    lists_append_streams(call->orchestrator, peer_uid, &buf);
    buf_append(&buf, "]", 1);
    lists_reply(call, &buf);
}

void api_list_streams(struct api_call *call) {
    fresh_call(call, "", answer_list);
}

void api_create_stream(struct api_call *call) {
    struct stream_spec spec;
    char uid[UID_SIZE];
    if (!stream_write_spec(call, &spec))
        return;
    stream_write_uid(call, uid);
    const struct registry_stream *present = orchestrator_stream(call->orchestrator, uid);
    if (present)
        repeat(call, present, &spec);
    else
        put(call, uid, nullptr, &spec, true, ANY_GENERATION, 201);
}

void api_get_stream(struct api_call *call) {
    orchestrator_refresh(call->orchestrator);
    const struct registry_stream *found = find(call);
    if (!found)
        return;
    struct stream stream;
    show(call, found, &stream);
    call_reply_object(call,
                      &(struct call_object){
                          .status = 200, .schema = &stream_schema, .object = &stream, .generation = stream.generation});
}

void api_list_stream_glitches(struct api_call *call) {
    orchestrator_refresh(call->orchestrator);
    if (!find(call))
        return;
    struct buf buf = {};
    buf_append(&buf, "[", 1);
    struct stream_glitch glitch = {};
    for (size_t i = 0; orchestrator_show_glitch(call->orchestrator, call->uid, i, &glitch); i++)
        call_append_object(&buf, &stream_glitch_schema, &glitch);
    buf_append(&buf, "]", 1);
    lists_reply(call, &buf);
}

void api_put_stream(struct api_call *call) {
    const struct registry_stream *present = orchestrator_stream(call->orchestrator, call->uid);
    struct stream_spec spec;
    if (present && call->must_not_exist && call->request->idempotency_key) {
        if (stream_write_spec(call, &spec))
            repeat(call, present, &spec);
    } else if (present && call->must_not_exist) {
        call_refuse(call, ERR_GENERATION, "stream %s exists already: leave out If-None-Match to replace it", call->uid);
    } else if (!present && !call->must_not_exist) {
        call_refuse(call, ERR_NOT_FOUND, "there is no stream %s: send If-None-Match: * to make it", call->uid);
    } else if ((!present || call_check_generation(call, present->generation)) && stream_write_spec(call, &spec)) {
        put(call, call->uid, present, &spec, true,
            present && call->if_match.given ? present->generation : ANY_GENERATION, present ? 200 : 201);
    }
}

void api_patch_stream(struct api_call *call) {
    const struct registry_stream *present = find(call);
    if (!present || !call_check_generation(call, present->generation))
        return;
    struct stream_spec spec = present->spec;
    if (!call_patch(call, &spec))
        return;
    stream_resolve_self(&spec, orchestrator_self(call->orchestrator)->uid);
    const struct api_request *request = call->request;
    _cleanup_(freep) char *unused = nullptr;
    size_t len;
    struct forward_sides named = {};
    struct err_info info = {};
    if (forward_resolve_patch(request->body, request->body_len, "", &unused, &len, &named, &info) != ERR_OK)
        call_problem(call, &info, nullptr);
    else
        put(call, call->uid, present, &spec, named.any, present->generation, 200);
}

void api_delete_stream(struct api_call *call) {
    const struct registry_stream *present = find(call);
    if (!present || !call_check_generation(call, present->generation))
        return;
    struct api_write *write = call_write(call);
    if (!write)
        return;
    struct err_info info = {};
    call_write_no_content(write);
    if (orchestrator_remove_stream(call->orchestrator, call->uid, present->generation, call_write_done, write, &info) !=
        ERR_OK)
        call_write_refused(call, write, &info);
}
