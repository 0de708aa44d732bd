/* SPDX-License-Identifier: MPL-2.0 */
#include "api/events.h"
#include "api/fresh.h"
#include "api/lists.h"
#include "api/routes_gen.h"
#include "orchestrator/orchestrator.h"

/* One consistent snapshot: nothing changes between the first and the last byte, since all of it is written in one turn
 * of the loop. */
static void answer(struct api_call *call, const char *peer) {
    const struct orchestrator *orchestrator = call->orchestrator;
    char cursor[CURSOR_SIZE];
    cursor_now(orchestrator_events(orchestrator), cursor);
    struct buf buf = {};
    buf_printf(&buf, "{\"cursor\":\"%s\",\"peers\":[", cursor);
    lists_append_peers(orchestrator, peer, &buf);
    buf_append_str(&buf, "],\"endpoints\":[");
    lists_append_endpoints(orchestrator, peer, &buf);
    buf_append_str(&buf, "],\"streams\":[");
    lists_append_streams(orchestrator, peer, &buf);
    buf_append_str(&buf, "]}");
    lists_reply(call, &buf);
}

void api_get_state(struct api_call *call) {
    char peer[UID_SIZE];
    if (call_query_peer(call, peer))
        fresh_call(call, peer, answer);
}
