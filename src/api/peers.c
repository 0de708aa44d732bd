/* SPDX-License-Identifier: MPL-2.0 */
#include "api/call.h"
#include "api/lists.h"
#include "api/routes_gen.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/remote.h"

static struct call_object show(const struct api_call *call, struct peer *peer) {
    *peer = (struct peer){};
    orchestrator_show_peer(call->orchestrator, peer);
    return (struct call_object){.status = 200, .schema = &peer_schema, .object = peer, .generation = peer->generation};
}

void api_list_peers(struct api_call *call) {
    struct buf buf = {};
    buf_append(&buf, "[", 1);
    lists_append_peers(call->orchestrator, "", &buf);
    buf_append(&buf, "]", 1);
    lists_reply(call, &buf);
}

/* Any peer as it is known here: whether it can be reached is the business of this side. */
void api_get_peer(struct api_call *call) {
    struct peer peer;
    const struct remote_peer *remote = orchestrator_remote_peer(call->orchestrator, call->peer_uid);
    struct call_object object = show(call, &peer);
    if (remote) {
        orchestrator_show_remote_peer(call->orchestrator, remote, &peer);
        object.generation = peer.generation;
    }
    call_reply_object(call, &object);
}

void api_patch_peer(struct api_call *call) {
    const struct registry_peer *self = orchestrator_self(call->orchestrator);
    if (!call_check_generation(call, self->generation))
        return;
    struct peer_spec spec = self->info.spec;
    if (!call_patch(call, &spec))
        return;
    struct api_write *write = call_write(call);
    if (!write)
        return;
    struct err_info info = {};
    if (orchestrator_rename_peer(call->orchestrator, spec.name, self->generation, call_write_done, write, &info) !=
        ERR_OK) {
        call_write_refused(call, write, &info);
        return;
    }
    struct peer peer;
    struct call_object object = show(call, &peer);
    call_write_object(write, &object);
}
