/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/id.h"
#include "model/node_id.h"

/*
 * The roster: the peers of this site that this instance trusts, each with its key, its role and where it may be dialed.
 * Today it is what the configuration lists; a key that is not in it is refused before it says a word. The trust is
 * mutual: each side lists the other.
 *
 * Roles: viewer (reads, events, metrics) < operator (and streams, volumes, virtual devices) < admin (and settings). What a
 * peer asks for is held against its role at both ends.
 *
 * No two members have the same key on a link, the X25519 form, and none has ours: a link is known by this key alone. It
 * is not enough that node ids differ, for a point of Ed25519 and its negative are one there. Nor do two have the same
 * address: what a carrier hears of a connection that it dialed, it hears by address.
 *
 * Life cycle: zeroed → roster_add … → roster_finish. Members do not move once all are added.
 * Threads: any; constant once filled.
 */
enum roster_role { ROSTER_NOBODY, ROSTER_VIEWER, ROSTER_OPERATOR, ROSTER_ADMIN };

constexpr size_t ROSTER_MAX = 64; /* members: a full mesh of links is good for so many */
constexpr size_t ROSTER_ADDRESS_MAX = 255;

struct roster_member {
    char uid[UID_SIZE];
    char node_id[NODE_ID_SIZE];                 /* as node_id_format() writes it, however it was given */
    uint8_t public_key[CRYPTO_PUBLIC_KEY_SIZE]; /* Ed25519 */
    uint8_t curve_key[CRYPTO_DH_KEY_SIZE];      /* the same as X25519: what a link proves */
    char address[ROSTER_ADDRESS_MAX + 1];       /* host:port of its signaling; "": not known, it dials us */
    enum roster_role role;
};

struct roster {
    struct roster_member *members; /* owned */
    size_t n;
};

/* `address` may be nullptr or "": not known. Names are not looked up here. `own_public_key` may be nullptr: then nobody is
 * ourselves. ERR_INVALID, with the pointer "id" (no node id; our own), "address" or "role"; ERR_CONFLICT (listed twice:
 * "id"; another is listed at this address: "address"), ERR_LIMIT, ERR_NO_MEMORY. On failure the roster is as it was. */
enum err roster_add(struct roster *roster, const char *node_id, const char *address, enum roster_role role,
                    const uint8_t *own_public_key, struct err_info *reterr);
/* Accepts a zeroed one, and leaves one. */
void roster_finish(struct roster *roster);

/* nullptr: not a member */
const struct roster_member *roster_find(const struct roster *roster, const char *uid);
const struct roster_member *roster_find_curve_key(const struct roster *roster,
                                                  const uint8_t curve_key[static CRYPTO_DH_KEY_SIZE]);

const char *roster_role_name(enum roster_role role); /* "viewer"; "nobody" */
/* false: no role is called so, or it is nobody's */
bool roster_role_parse(const char *text, enum roster_role *ret);
