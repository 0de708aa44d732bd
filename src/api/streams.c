/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "api/call.h"
#include "api/lists.h"
#include "api/routes_gen.h"
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

static void put(struct api_call *call, const char *uid, const struct stream_spec *spec, int64_t if_generation,
                int status) {
    struct api_write *write = call_write(call);
    if (!write)
        return;
    char stored_uid[UID_SIZE] = "";
    struct err_info info = {};
    if (orchestrator_put_stream(call->orchestrator, uid, spec, nullptr, if_generation, stored_uid, call_write_done,
                                write, &info) != ERR_OK) {
        call_write_refused(call, write, &info);
        return;
    }
    struct stream stream;
    show(call, orchestrator_stream(call->orchestrator, stored_uid), &stream);
    call_write_object(write, &(struct call_object){.status = status,
                                                   .schema = &stream_schema,
                                                   .object = &stream,
                                                   .generation = stream.generation,
                                                   .location = status == 201 ? stream.stream_uri : nullptr});
}

void api_list_streams(struct api_call *call) {
    struct buf buf = {};
    buf_append(&buf, "[", 1);
    lists_append_streams(call->orchestrator, &buf);
    buf_append(&buf, "]", 1);
    lists_reply(call, &buf);
}

void api_create_stream(struct api_call *call) {
    struct stream_spec spec;
    if (call_decode(call, &spec))
        put(call, "", &spec, ANY_GENERATION, 201);
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

void api_put_stream(struct api_call *call) {
    const struct registry_stream *present = orchestrator_stream(call->orchestrator, call->uid);
    struct stream_spec spec;
    if (present && call->must_not_exist) {
        call_refuse(call, ERR_GENERATION, "stream %s exists already: leave out If-None-Match to replace it", call->uid);
    } else if (!present && !call->must_not_exist) {
        call_refuse(call, ERR_NOT_FOUND, "there is no stream %s: send If-None-Match: * to make it", call->uid);
    } else if ((!present || call_check_generation(call, present->generation)) && call_decode(call, &spec)) {
        put(call, call->uid, &spec, present && call->if_match.given ? present->generation : ANY_GENERATION,
            present ? 200 : 201);
    }
}

void api_patch_stream(struct api_call *call) {
    const struct registry_stream *present = find(call);
    if (!present || !call_check_generation(call, present->generation))
        return;
    struct stream_spec spec = present->spec;
    if (call_patch(call, &spec))
        put(call, call->uid, &spec, present->generation, 200);
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
