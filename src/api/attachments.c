/* SPDX-License-Identifier: MPL-2.0 */
#include "api/call.h"
#include "api/routes_gen.h"
#include "orchestrator/orchestrator.h"

void api_put_attachment(struct api_call *call) {
    struct attachment_spec spec;
    if (!call_decode(call, &spec))
        return;
    struct attachment attachment;
    struct err_info info = {};
    if (orchestrator_put_attachment(call->orchestrator, call->request->principal.peer_uid, call->uid, &spec,
                                    &attachment, &info) != ERR_OK) {
        call_problem(call, &info, nullptr);
        return;
    }
    call_reply_object(call, &(struct call_object){.status = 200,
                                                  .schema = &attachment_schema,
                                                  .object = &attachment,
                                                  .generation = attachment.link_generation});
}

void api_delete_attachment(struct api_call *call) {
    struct err_info info = {};
    const struct if_match *wanted = &call->if_match;
    int64_t generation = ANY_GENERATION;
    if (wanted->given && !wanted->any)
        generation = wanted->n_generations > 0 ? wanted->generations[0] : 0;
    if (orchestrator_remove_attachment(call->orchestrator, call->request->principal.peer_uid, call->uid, generation,
                                       &info) != ERR_OK) {
        call_problem(call, &info, nullptr);
        return;
    }
    struct api_reply reply = {.status = 204};
    call_reply(call, &reply);
}
