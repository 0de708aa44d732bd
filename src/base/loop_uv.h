/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/loop.h"

typedef struct uv_loop_s uv_loop_t;

/*
 * The loop on libuv. Only base/loop_uv, http and the adaptors of zmq, drivers and os may see the uv_loop_t.
 *
 * Life cycle: create → run (returns after loop_uv_stop()) → destroy. Before destroy every user has closed its own
 * handles; destroy runs the loop until those closings are through and waits for work under way.
 * Threads: create, run and destroy on one thread; loop_uv_stop() and loop_post() from any.
 */
struct loop_uv;

enum err loop_uv_create(struct loop_uv **ret, struct err_info *reterr);
void loop_uv_destroy(struct loop_uv *loop);
struct loop *loop_uv_loop(struct loop_uv *loop);
uv_loop_t *loop_uv_handle(struct loop_uv *loop);
void loop_uv_run(struct loop_uv *loop);
void loop_uv_stop(struct loop_uv *loop);
