/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/*
 * One side of a stream as it is typed: an endpoint's name, or Roc URIs: media[,repair[,control]]. Where a FEC scheme is
 * used and only the media URI is given, the usual neighbours are taken: repair on the next port, control on the one after.
 * Pure; rocd judges the URIs, this only takes them apart far enough.
 * Threads: any.
 */
constexpr size_t CONNECTION_URI_SIZE = 321;

struct connection {
    const char *endpoint;            /* nullptr: external */
    char media[CONNECTION_URI_SIZE]; /* "": not given */
    char repair[CONNECTION_URI_SIZE];
    char control[CONNECTION_URI_SIZE];
    bool repair_derived, control_derived;
};

/* Reads one argument into a side. */
enum err connection_parse(struct connection *ret, const char *typed, struct err_info *reterr);
/* Whether the argument is a repair or control URI, which belongs to the side before it. */
bool connection_is_companion(const char *typed);
enum err connection_add(struct connection *connection, const char *typed, struct err_info *reterr);
/* Fills repair and control where the media scheme asks for them; no_control leaves that one out. */
enum err connection_derive(struct connection *connection, bool no_control, struct err_info *reterr);
/* "rs8m", "ldpc", "none" as the media URI says; nullptr for an endpoint. */
const char *connection_fec(const struct connection *connection);
