/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "api/api.h"

#include <stddef.h>

/*
 * One row of the route table, which tools/gen-api makes from api/openapi.yaml. What a handler is given (struct api_call) and
 * how a request finds its row is the business of the rest of this folder.
 *
 * Threads: constant data, any thread.
 */

struct api_call;
struct schema;

typedef void api_handler(struct api_call *call);

enum {
    API_ROUTE_BODY = 1u << 0, /* needs a JSON body; without this flag a body is refused */
    /* The body is a merge patch of `body`, application/merge-patch+json or application/json. */
    API_ROUTE_PATCH = 1u << 1,
    API_ROUTE_WRITE = 1u << 2,         /* changes something: Origin and content-type guards apply */
    API_ROUTE_STREAMING = 1u << 3,     /* the reply does not end by itself (Server-Sent Events) */
    API_ROUTE_IF_MATCH = 1u << 4,      /* honours If-Match */
    API_ROUTE_IF_NONE_MATCH = 1u << 5, /* honours If-None-Match: * */
    API_ROUTE_PEERS = 1u << 6,         /* peers may call it, each for itself, and nobody else */
};

struct api_route {
    const char *method;       /* "GET" */
    const char *path;         /* "/peers/{peer_uid}" */
    const char *operation_id; /* "get_peer" */
    const char *summary;
    enum api_privilege privilege; /* the least that may call it */
    unsigned flags;               /* API_ROUTE_… */
    size_t max_body;              /* bytes; 0 where there is no body */
    const struct schema *body;    /* of the body, or what a patch patches; nullptr where there is none */
    const char *const *query;     /* names of the query parameters it knows, ended by nullptr */
    api_handler *handler;
};
