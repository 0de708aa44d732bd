/* SPDX-License-Identifier: MPL-2.0 */
#include "api/call.h"
#include "api/lists.h"
#include "api/routes_gen.h"
#include "orchestrator/orchestrator.h"

void api_list_drivers(struct api_call *call) {
    struct buf buf = {};
    buf_append(&buf, "[", 1);
    struct driver driver = {};
    for (size_t i = 0; orchestrator_show_driver(call->orchestrator, i, &driver); i++) {
        call_append_object(&buf, &driver_schema, &driver);
        driver = (struct driver){};
    }
    buf_append(&buf, "]", 1);
    lists_reply(call, &buf);
}
