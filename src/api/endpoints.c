/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/fresh.h"
#include "api/lists.h"
#include "api/routes_gen.h"
#include "orchestrator/orchestrator.h"

static void show(const struct api_call *call, const struct registry_endpoint *endpoint, struct endpoint *ret) {
    *ret = (struct endpoint){};
    orchestrator_show_endpoint(call->orchestrator, endpoint, ret);
}

static const struct registry_endpoint *find(struct api_call *call) {
    const struct registry_endpoint *endpoint = orchestrator_endpoint(call->orchestrator, call->uid);
    if (!endpoint)
        call_refuse(call, ERR_NOT_FOUND, "there is no endpoint %s: /peers/self/endpoints lists those there are",
                    call->uid);
    return endpoint;
}

static void put(struct api_call *call, const char *uid, const struct endpoint_spec *spec, int64_t if_generation,
                int status) {
    struct api_write *write = call_write(call);
    if (!write)
        return;
    char stored_uid[UID_SIZE] = "";
    struct err_info info = {};
    if (orchestrator_put_endpoint(call->orchestrator, uid, spec, if_generation, stored_uid, call_write_done, write,
                                  &info) != ERR_OK) {
        call_write_refused(call, write, &info);
        return;
    }
    struct endpoint endpoint;
    show(call, orchestrator_endpoint(call->orchestrator, stored_uid), &endpoint);
    call_write_object(write, &(struct call_object){.status = status,
                                                   .schema = &endpoint_schema,
                                                   .object = &endpoint,
                                                   .generation = endpoint.generation,
                                                   .location = status == 201 ? endpoint.endpoint_uri : nullptr});
}

/* A patch is held to this by the contract's x-immutable; a PUT brings a whole new spec. */
static bool keeps_kind(struct api_call *call, const struct registry_endpoint *present,
                       const struct endpoint_spec *spec) {
    if (!present || present->spec.kind == spec->kind)
        return true;
    struct err_info info = {};
    (void)err_set_at(&info, ERR_INVALID, "/kind",
                     "the kind of an endpoint cannot change from %s to %s: make another endpoint",
                     endpoint_kind_name(present->spec.kind), endpoint_kind_name(spec->kind));
    call_problem(call, &info, nullptr);
    return false;
}

static void answer_list(struct api_call *call, const char *peer_uid) {
    struct buf buf = {};
    buf_append(&buf, "[", 1);
    lists_append_endpoints(call->orchestrator, peer_uid, &buf);
    buf_append(&buf, "]", 1);
    lists_reply(call, &buf);
}

void api_list_endpoints(struct api_call *call) {
    fresh_call(call, call->peer_uid, answer_list);
}

void api_create_endpoint(struct api_call *call) {
    struct endpoint_spec spec;
    if (call_decode(call, &spec))
        put(call, "", &spec, ANY_GENERATION, 201);
}

void api_get_endpoint(struct api_call *call) {
    orchestrator_refresh(call->orchestrator);
    const struct registry_endpoint *found = find(call);
    if (!found)
        return;
    struct endpoint endpoint;
    show(call, found, &endpoint);
    call_reply_object(
        call, &(struct call_object){
                  .status = 200, .schema = &endpoint_schema, .object = &endpoint, .generation = endpoint.generation});
}

void api_put_endpoint(struct api_call *call) {
    const struct registry_endpoint *present = orchestrator_endpoint(call->orchestrator, call->uid);
    struct endpoint_spec spec;
    if (present && call->must_not_exist) {
        call_refuse(call, ERR_GENERATION, "endpoint %s exists already: leave out If-None-Match to replace it",
                    call->uid);
    } else if (!present && !call->must_not_exist) {
        call_refuse(call, ERR_NOT_FOUND, "there is no endpoint %s: send If-None-Match: * to make it", call->uid);
    } else if ((!present || call_check_generation(call, present->generation)) && call_decode(call, &spec) &&
               keeps_kind(call, present, &spec)) {
        put(call, call->uid, &spec, present && call->if_match.given ? present->generation : ANY_GENERATION,
            present ? 200 : 201);
    }
}

void api_patch_endpoint(struct api_call *call) {
    const struct registry_endpoint *present = find(call);
    if (!present || !call_check_generation(call, present->generation))
        return;
    struct endpoint_spec spec = present->spec;
    if (call_patch(call, &spec))
        put(call, call->uid, &spec, present->generation, 200);
}

/* false: answered */
static bool read_force(struct api_call *call, bool *ret) {
    const char *text = query_get(&call->query, "force");
    *ret = text && strcmp(text, "true") == 0;
    if (!text || *ret || strcmp(text, "false") == 0)
        return true;
    call_refuse(call, ERR_INVALID, "force is true or false, not '%.40s'", text);
    return false;
}

void api_delete_endpoint(struct api_call *call) {
    const struct registry_endpoint *present = find(call);
    if (!present || !call_check_generation(call, present->generation))
        return;
    bool is_forced = false;
    if (!read_force(call, &is_forced))
        return;
    struct api_write *write = call_write(call);
    if (!write)
        return;
    struct err_info info = {};
    call_write_no_content(write);
    if (orchestrator_remove_endpoint(call->orchestrator, call->uid, present->generation, is_forced, call_write_done,
                                     write, &info) != ERR_OK)
        call_write_refused(call, write, &info);
}
