/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/log.h"
#include "config/config.h"

struct loop_uv;

/*
 * The application: all objects of one instance, made in order and taken down in reverse. This file and app.c are the one
 * place that knows every concrete part (SQLite, libroc, libmicrohttpd).
 *
 * Life cycle: app_create → (loop runs) → app_stop → (loop runs until done) → app_destroy. app_destroy accepts a
 * half-built app, so that it is also how a failed app_create cleans up.
 * Threads: all on the loop's thread.
 */
struct app;

enum err app_create(const struct config *config, struct loop_uv *loop, struct log_sink *sink, struct app **ret,
                    struct err_info *reterr);
/* Ends connections and streams; done(arg) when nothing is left that needs the loop. */
void app_stop(struct app *app, void (*done)(void *arg), void *arg);
void app_destroy(struct app *app);

const char *app_peer_uid(const struct app *app);
uint16_t app_http_port(const struct app *app);
