/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/api.h"
#include "api/routes_gen.h"
#include "base/list.h"

/*
 * The inside of `struct api`, for the files of this folder that keep something in it.
 *
 * Threads: core.
 */
constexpr size_t API_SUBSCRIBERS_MAX = 256;

/* The statuses that are counted apart; others count as the last, 0. */
#define API_COUNTED_STATUSES {200, 201, 204, 400, 403, 404, 405, 409, 412, 413, 415, 421, 422, 429, 500, 503, 507, 0}
constexpr size_t API_COUNTED_STATUSES_N = 18;

struct api {
    struct orchestrator *orchestrator;
    struct log log;
    const char *libroc_version;
    struct list writes;      // struct api_write::link, owned by the orchestrator's callback
    struct list subscribers; // struct api_events::link, owned by whoever reads them
    size_t n_subscribers;
    size_t n_meter_watchers;
    /* Replies by route (the last row: no route) and status. */
    uint64_t replies[API_ROUTES_N + 1][API_COUNTED_STATUSES_N];
};

void api_count_reply(struct api *api, const struct api_route *route, int status);
void api_events_orphan_all(struct api *api);
