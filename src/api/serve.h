/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "base/log.h"

struct api;
struct links;

/*
 * The door of other peers: what comes over a link enters api_dispatch() as what comes over HTTP does, with the lesser of
 * the right that the roster gives the peer and the one that the peer gives its user. Endless replies are pushed as events,
 * one by one, as fast as the link takes them.
 *
 * Life cycle: serve_create (before links_start) → … → api_destroy → links_destroy → serve_destroy. Threads: core.
 */
struct serve;

constexpr size_t SERVE_STREAMS_MAX = 8; /* endless replies of one peer */

struct serve_config {
    struct log log;
    struct api *api;     /* borrowed, as is the next */
    struct links *links; /* not started yet */
};

enum err serve_create(const struct serve_config *config, struct serve **ret, struct err_info *reterr);
void serve_destroy(struct serve *serve);
