/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "api/api_priv.h"
#include "api/call.h"
#include "api/forward.h"
#include "api/fresh.h"
#include "base/clock.h"
#include "orchestrator/orchestrator.h"
#include "orchestrator/registry/events.h"

static void wake_all(void *arg) {
    struct api *api = arg;
    for (size_t i = 0; i < API_WAKERS_MAX; i++)
        if (api->wakers[i].wake)
            api->wakers[i].wake(api->wakers[i].arg);
}

enum err api_create(const struct api_config *config, struct api **ret, struct err_info *reterr) {
    struct api *api = calloc(1, sizeof *api);
    if (!api)
        return err_set(reterr, ERR_NO_MEMORY, "rocd is out of memory");
    api->orchestrator = config->orchestrator;
    api->log = config->log;
    api->libroc_version = config->libroc_version ? config->libroc_version : "";
    list_init(&api->writes);
    api->links = orchestrator_links(config->orchestrator);
    api->key = config->key;
    api->clock = config->clock ? config->clock : clock_system();
    list_init(&api->forwards);
    list_init(&api->waiting);
    list_init(&api->subscribers);
    events_on_append(orchestrator_events(api->orchestrator), wake_all, api);
    *ret = api;
    return ERR_OK;
}

void api_destroy(struct api *api) {
    if (!api)
        return;
    struct api_write *write;
    list_for_each_safe(write, &api->writes, link) {
        list_remove(&write->link);
        write->api = nullptr;
        struct api_reply reply;
        struct err_info info = {};
        (void)err_set(&info, ERR_UNAVAILABLE, "rocd is ending, and it is not known yet whether the change is stored");
        problem_reply(&reply, &info, nullptr, write->path);
        write->reply(write->arg, &reply);
    }
    forward_end_all(api);
    fresh_end_all(api);
    events_on_append(orchestrator_events(api->orchestrator), nullptr, nullptr);
    api_events_orphan_all(api);
    free(api);
}

void api_on_events(struct api *api, void (*wake)(void *arg), void *arg) {
    size_t i = 0;
    while (i < API_WAKERS_MAX && api->wakers[i].wake)
        i++;
    assert(i < API_WAKERS_MAX);
    if (i == API_WAKERS_MAX)
        return;
    api->wakers[i].wake = wake;
    api->wakers[i].arg = arg;
}

void api_off_events(struct api *api, void *arg) {
    for (size_t i = 0; i < API_WAKERS_MAX; i++)
        if (api->wakers[i].arg == arg)
            api->wakers[i].wake = nullptr;
}

void api_count_reply(struct api *api, const struct api_route *route, int status) {
    static const int STATUSES[API_COUNTED_STATUSES_N] = API_COUNTED_STATUSES;
    size_t row = route ? (size_t)(route - api_routes) : API_ROUTES_N;
    size_t column = 0;
    while (column < API_COUNTED_STATUSES_N - 1 && STATUSES[column] != status)
        column++;
    api->replies[row][column]++;
}
