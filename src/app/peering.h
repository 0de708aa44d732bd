/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "app/identity.h"
#include "base/err.h"
#include "base/log.h"
#include "config/config.h"
#include "model/roster.h"

struct carrier;
struct links;
struct loop_uv;
struct media_port;

/*
 * What an instance needs to be one of several: links to the members of the roster, and the port for sound between them.
 * Where the roster is empty nothing is opened, and a second rocd on a machine needs no ports of its own.
 *
 * Life cycle: zeroed → peering_open → peering_start (the API and the orchestrator listen by then) → peering_close, which
 * accepts a zeroed one; between its two halves whoever uses the links is destroyed. Threads: core.
 */
struct peering {
    struct media_port *port; /* nullptr, as the links are: a site of one */
    struct carrier *carrier;
    struct links *links;
};

/* `roster` and `identity` are borrowed until peering_close(). */
enum err peering_open(const struct config *config, const struct identity *identity, const struct roster *roster,
                      struct loop_uv *loop, struct log_sink *sink, struct peering *ret, struct err_info *reterr);
enum err peering_start(struct peering *peering, struct err_info *reterr);
/* Ends all links; what was under way is answered. */
void peering_close_links(struct peering *peering);
/* When nothing uses the port any more. */
void peering_close(struct peering *peering);
