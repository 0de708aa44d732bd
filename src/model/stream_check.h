/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/err.h"
#include "model/uri.h"
#include "model_gen.h"

/*
 * What the contract's tables cannot say about a stream: whether its members fit one another. Pure: looks at the spec and
 * at what it is told of other objects, asks nobody. What is right but not built yet is ERR_UNSUPPORTED, by name.
 *
 * `reterr` gets the JSON Pointer of the member that is wrong ("/source/media_uri").
 * Threads: any.
 */

/* A spec taken apart; valid once stream_check() has said ERR_OK. */
struct stream_side {
    bool is_endpoint;
    bool is_remote; /* of another peer; set by stream_sides_locate() */
    struct uri_endpoint endpoint;
    /* external: */
    struct uri_roc uri[URI_N_ROLES];
    bool has_uri[URI_N_ROLES];
};

struct stream_sides {
    struct stream_side source, destination;
};

enum err stream_check(const struct stream_spec *spec, struct stream_sides *ret, struct err_info *reterr);

/* Puts the real uid in the place of `self` in the URIs of both sides; what is no URI of an endpoint stays as it is. */
void stream_resolve_self(struct stream_spec *spec, const char *self_uid);
/* The peer that owns the stream: that of the destination endpoint, or of the source where the destination is external.
 * `self_uid` stands for `self`, and owns what has no endpoint. ERR_INVALID: a URI is none. */
enum err stream_owner(const struct stream_spec *spec, const char *self_uid, char ret_peer_uid[static UID_SIZE],
                      struct err_info *reterr);

/* Tells which endpoints are those of other peers. */
void stream_sides_locate(struct stream_sides *sides, const char *self_uid);
/* An endpoint of this peer? */
static inline bool stream_side_is_here(const struct stream_side *side) {
    return side->is_endpoint && !side->is_remote;
}
/* Is this endpoint of this peer one of the sides? Sides that were located. */
bool stream_sides_name(const struct stream_sides *sides, const char *endpoint_uid);

/* Which way an endpoint goes that a stream names: what is a source must give sound, what is a destination take it.
 * ERR_INVALID. */
enum err stream_check_direction(bool as_source, const char *endpoint_uid, enum stream_direction direction,
                                struct err_info *reterr);

/* Would both listen at one local port? ERR_CONFLICT names the other stream. */
enum err stream_check_ports(const struct stream_sides *sides, const char *other_uid, const char *other_name,
                            const struct stream_sides *other, struct err_info *reterr);
