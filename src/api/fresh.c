/* SPDX-License-Identifier: MPL-2.0 */
#include "api/fresh.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/remote.h"

struct fresh {
    struct api *api;
    struct list_link link; /* api::waiting */
    struct remote_wait wait;
    const struct api_route *route;
    api_reply_fn reply;
    void *arg;
    fresh_answer_fn *answer;
    char peer_uid[UID_SIZE];
    char path[256];
};

static void finish(void *arg) {
    struct fresh *fresh = arg;
    list_remove(&fresh->link);
    const struct api_request request = {.method = "GET", .path = fresh->path};
    struct api_call call = {.api = fresh->api,
                            .orchestrator = fresh->api->orchestrator,
                            .request = &request,
                            .route = fresh->route,
                            .reply = fresh->reply,
                            .arg = fresh->arg};
    fresh->answer(&call, fresh->peer_uid);
    free(fresh);
}

void fresh_call(struct api_call *call, const char *peer_uid, fresh_answer_fn *answer) {
    bool is_local = !call->request->principal.peer_uid[0];
    struct fresh *fresh = is_local ? calloc(1, sizeof *fresh) : nullptr;
    if (!fresh || !orchestrator_refresh_remote(call->orchestrator, peer_uid, &fresh->wait, finish, fresh)) {
        free(fresh);
        answer(call, peer_uid);
        return;
    }
    fresh->api = call->api;
    fresh->route = call->route;
    fresh->reply = call->reply;
    fresh->arg = call->arg;
    fresh->answer = answer;
    snprintf(fresh->peer_uid, sizeof fresh->peer_uid, "%s", peer_uid);
    snprintf(fresh->path, sizeof fresh->path, "%s", call->request->path);
    list_append(&call->api->waiting, &fresh->link);
}

void fresh_end_all(struct api *api) {
    while (!list_empty(&api->waiting)) {
        struct fresh *fresh = list_first(&api->waiting, struct fresh, link);
        orchestrator_refresh_cancel(&fresh->wait);
        finish(fresh);
    }
}
