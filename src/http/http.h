/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/log.h"

struct api;
struct loop_uv;

/*
 * The HTTP server: libmicrohttpd inside the core's loop, on TCP (loopback) and on a unix socket. It carries requests to
 * api_dispatch() and replies back, streams events, and refuses what a browser or a stranger might try: foreign Host,
 * foreign Origin, bodies that are not JSON, bodies and headers that are too large, clients that are too slow.
 *
 * Life cycle: http_start → http_stop (replies under way are finished or cut; event streams end) → gone.
 * Threads: core.
 */
struct http_config {
    const char *address;         /* "127.0.0.1:4040", "[::1]:4040"; port 0 picks one; nullptr or "": no TCP */
    const char *socket_path;     /* unix socket; nullptr or "": none */
    unsigned connections_max;    /* 0: 512 */
    unsigned request_timeout_ms; /* 0: 10 s for a whole request to arrive */
    unsigned idle_timeout_ms;    /* 0: 60 s between requests */
    unsigned heartbeat_ms;       /* 0: 15 s between comments on an event stream */
};

struct http;

enum err http_start(const struct http_config *config, struct loop_uv *loop, struct api *api, struct log log,
                    struct http **ret, struct err_info *reterr);
void http_stop(struct http *http);
/* The TCP port really bound; 0: no TCP. */
uint16_t http_port(const struct http *http);
