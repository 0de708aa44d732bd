/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/*
 * HTTP to one rocd, over its unix socket or TCP. libcurl is fenced here.
 *
 * Life cycle: client_create → requests, one at a time → client_destroy. Threads: one.
 */
struct client;

/* One of both is given, the other nullptr. */
enum err client_create(const char *addr, const char *socket, struct client **ret, struct err_info *reterr);
void client_destroy(struct client *client); /* accepts nullptr */
/* "/run/rocd.sock" or "127.0.0.1:4040" */
const char *client_where(const struct client *client);

/* ERR_OK: there was an answer, whatever its status. ERR_UNAVAILABLE: nobody answers there. */
enum err client_request(struct client *client, const char *method, const char *path, const char *body, long *ret_status,
                        struct buf *ret_body, struct err_info *reterr);

/* Called with the bytes of a stream as they come; false ends it. */
typedef bool (*client_bytes_fn)(void *arg, const char *bytes, size_t len);
/* GET of an endless answer. Returns ERR_OK when either side ended it. With a status that is not 200, the body is in
 * *ret_body and `on_bytes` was not called. `last_event_id` may be "". */
enum err client_stream(struct client *client, const char *path, const char *last_event_id, client_bytes_fn on_bytes,
                       void *arg, long *ret_status, struct buf *ret_body, struct err_info *reterr);
