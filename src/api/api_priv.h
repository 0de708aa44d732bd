/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/api.h"
#include "api/routes_gen.h"
#include "base/list.h"
#include "model/roster.h"

/*
 * The inside of `struct api`, for the files of this folder that keep something in it.
 *
 * Threads: core.
 */
constexpr size_t API_SUBSCRIBERS_MAX = 256;
constexpr size_t API_IDEMPOTENCY_KEY_MAX = 128;

/* The privileges of our users and the roles of peers are the same ladder. */
static_assert((int)API_VIEWER == (int)ROSTER_VIEWER && (int)API_OPERATOR == (int)ROSTER_OPERATOR &&
              (int)API_ADMIN == (int)ROSTER_ADMIN);

/* The statuses that are counted apart; others count as the last, 0. */
#define API_COUNTED_STATUSES {200, 201, 204, 400, 403, 404, 405, 409, 412, 413, 415, 421, 422, 429, 500, 503, 507, 0}
constexpr size_t API_COUNTED_STATUSES_N = 18;

struct links;

struct api {
    struct orchestrator *orchestrator;
    struct links *links; /* nullptr: a site of one */
    struct log log;
    const struct crypto_sign_key *key;
    const struct clock *clock;
    const char *libroc_version;
    struct list writes;      // struct api_write::link, owned by the orchestrator's callback
    struct list forwards;    // struct forward::link, owned
    struct list waiting;     // struct fresh::link, owned
    struct list subscribers; // struct api_events::link, owned by whoever reads them
    size_t n_subscribers;
    size_t n_meter_watchers, n_remote_meter_watchers;
    struct {
        void (*wake)(void *arg);
        void *arg;
    } wakers[API_WAKERS_MAX];
    /* Replies by route (the last row: no route) and status. */
    uint64_t replies[API_ROUTES_N + 1][API_COUNTED_STATUSES_N];
};

void api_count_reply(struct api *api, const struct api_route *route, int status);
void api_events_orphan_all(struct api *api);
