/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <yyjson.h>

#include "base/err.h"

struct buf;

/*
 * Finds the object a person means: by its uid, by its name, by the beginning of its uid. Pure.
 * Threads: any.
 */
struct resolve {
    yyjson_val *list;            /* an array of objects */
    const char *what;            /* "stream", for messages */
    const char *uid_member;      /* "stream_uid" */
    const char *name_members[2]; /* texts that name it, the usual one first; the second may be nullptr */
    const char *peer_uid;        /* only those whose `peer_uid` this is; nullptr: all */
    const char *peer_name;       /* of that peer, for messages; nullptr with peer_uid */
    /* Its name for messages; nullptr: the first of the name members. */
    void (*show)(const void *arg, struct buf *out, yyjson_val *object);
    const void *arg;
};

/* ERR_NOT_FOUND, or ERR_CONFLICT when several may be meant: the message lists them. */
enum err resolve_object(const struct resolve *resolve, const char *typed, yyjson_val **ret, struct err_info *reterr);
/* The list of GET /streams. */
enum err resolve_stream(yyjson_val *streams, const char *typed, yyjson_val **ret, struct err_info *reterr);
