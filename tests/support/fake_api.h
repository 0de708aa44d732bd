/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "api/api.h"
#include "base/list.h"

struct loop;

/*
 * An api that is linked in the place of the real one, to try the HTTP server alone: answers that come late, bodies of any
 * size, events on demand.
 *
 *   /later?ms=N    answers after N ms        /big?bytes=N    a body of N bytes
 *   /never         answers when all ends     /emit?n=N&size=S  publishes N events of S bytes
 *   /stats         what is under way         /events         the event stream
 *   anything else  an echo of the request; HEAD as GET
 *
 * Life cycle: fake_api_init → http_start … http_stop → the loop has ended → fake_api_finish. Threads: core.
 */
struct api {
    struct loop *loop;
    void (*wake)(void *arg);
    void *wake_arg;
    struct list later;  /* requests not yet answered, owned */
    uint64_t n_events;  /* published; numbered from 1 */
    size_t event_bytes; /* of each */
    unsigned n_later, n_subscribers;
};

void fake_api_init(struct api *api, struct loop *loop);
/* Gives the answers that come after everybody has gone. Returns how many subscribers were left behind. */
unsigned fake_api_finish(struct api *api);
void fake_api_publish(struct api *api, uint64_t n, size_t event_bytes);
