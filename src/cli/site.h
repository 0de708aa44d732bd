/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <yyjson.h>

#include "base/buf.h"
#include "cli/cli.h"

/*
 * The site as rocd tells it, at one moment: its peers, endpoints and streams, and how endpoints are called in it. With one
 * peer they go by their names; with several by the name of the peer, a slash and theirs: "kitchen/melody". For the peer its
 * uid does as well, or `self` for the one that is asked.
 *
 * Life cycle: site_load → … → site_finish, which accepts a zeroed one. Threads: one.
 */
struct site {
    yyjson_doc *doc; /* owned; the others point into it */
    yyjson_val *peers, *endpoints, *streams;
    yyjson_val *self; /* the peer that answers; nullptr: it does not tell */
};

/* The problem has been printed if it is not CLI_OK. */
enum cli_exit site_load(struct cli *cli, struct site *ret);
void site_finish(struct site *site);

/* Loads the site and hands over the stream that is meant, or says why there is none. */
enum cli_exit site_with_stream(struct cli *cli, const char *typed,
                               enum cli_exit (*use)(struct cli *cli, yyjson_val *stream));

/* Of GET /peers: the one that answers; nullptr: it does not tell. */
yyjson_val *site_self(yyjson_val *peers);
bool site_has_several(const struct site *site);
/* What a peer is called: its name, or its uid where that is none of its own. "" for an unknown uid. */
const char *site_peer_name(yyjson_val *peers, const char *uid);

/* `self`, a name, a uid or the beginning of one. ERR_NOT_FOUND, ERR_CONFLICT. */
enum err site_find_peer(yyjson_val *peers, const char *typed, yyjson_val **ret, struct err_info *reterr);
/* "melody", "kitchen/melody", a uid, the URI. A name without a peer may be that of any peer's endpoint, if of one only.
 * ERR_NOT_FOUND, ERR_CONFLICT. */
enum err site_find_endpoint(const struct site *site, const char *typed, yyjson_val **ret, struct err_info *reterr);

/* As it can be typed again. */
void site_show_endpoint(const struct site *site, struct buf *out, yyjson_val *endpoint);
/* A side of a stream: the endpoint, or its uid if it is not known; or the URI. */
void site_show_connection(const struct site *site, struct buf *out, yyjson_val *connection);
