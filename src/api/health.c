/* SPDX-License-Identifier: MPL-2.0 */
#include "api/call.h"
#include "api/routes_gen.h"
#include "orchestrator/orchestrator.h"

/* That this runs at all says that the core loop turns. */
void api_get_health(struct api_call *call) {
    struct health health = {.status = HEALTH_STATUS_OK};
    call_reply_object(call, &(struct call_object){.status = 200, .schema = &health_schema, .object = &health});
}

void api_get_ready(struct api_call *call) {
    struct ready ready = {};
    orchestrator_ready(call->orchestrator, &ready);
    struct api_reply reply;
    bool good = reply_set_object(
        &reply, &(struct call_object){.status = ready.ready ? 200 : 503, .schema = &ready_schema, .object = &ready});
    if (good && !ready.ready)
        reply_add_header(&reply, "Retry-After", "1");
    call_reply(call, &reply);
}
