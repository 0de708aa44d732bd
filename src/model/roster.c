/* SPDX-License-Identifier: MPL-2.0 */
#include "model/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/uri.h"

static const char *const ROLES[] = {
    [ROSTER_NOBODY] = "nobody",
    [ROSTER_VIEWER] = "viewer",
    [ROSTER_OPERATOR] = "operator",
    [ROSTER_ADMIN] = "admin",
};
constexpr size_t N_ROLES = sizeof ROLES / sizeof *ROLES;

const char *roster_role_name(enum roster_role role) {
    return ROLES[role];
}

bool roster_role_parse(const char *text, enum roster_role *ret) {
    for (size_t role = ROSTER_VIEWER; role < N_ROLES; role++) {
        if (strcmp(ROLES[role], text) == 0) {
            *ret = (enum roster_role)role;
            return true;
        }
    }
    return false;
}

/* host:port as in a Roc URI, whose complaints would speak of schemes, though */
static bool read_address(const char *address, struct uri_roc *ret) {
    char uri[URI_SIZE];
    if (strlen(address) > ROSTER_ADDRESS_MAX)
        return false;
    snprintf(uri, sizeof uri, "%s://%s", uri_scheme_name(URI_RTP), address);
    return uri_parse_roc(uri, URI_MEDIA, false, ret, nullptr) == ERR_OK;
}

static enum err check_address(const struct roster *roster, const char *address, struct err_info *reterr) {
    struct uri_roc own, other;
    if (!read_address(address, &own))
        return err_set_at(
            reterr, ERR_INVALID, "address",
            "'%.100s' is no address of a peer: want host:port, such as 192.0.2.10:4041, [2001:db8::10]:4041 or "
            "kitchen.example:4041",
            address);
    for (size_t i = 0; i < roster->n; i++) {
        const struct roster_member *member = &roster->members[i];
        if (*member->address && read_address(member->address, &other) && uri_roc_clash(&own, &other))
            return err_set_at(reterr, ERR_CONFLICT, "address",
                              "peer %s is listed at %s already, and only one can answer there: give each its own "
                              "address, or leave it out for the one that dials this peer",
                              member->node_id, member->address);
    }
    return ERR_OK;
}

/* Who the key belongs to already, if to anybody. */
static enum err check_key(const struct roster *roster, const struct roster_member *member,
                          const uint8_t *own_public_key, struct err_info *reterr) {
    uint8_t own[CRYPTO_DH_KEY_SIZE];
    if (own_public_key && crypto_dh_public_from_sign(own, own_public_key) &&
        memcmp(own, member->curve_key, sizeof own) == 0)
        return err_set_at(reterr, ERR_INVALID, "id",
                          "this is the node id of this peer itself: list the others here, and this one there");
    for (size_t i = 0; i < roster->n; i++)
        if (memcmp(roster->members[i].curve_key, member->curve_key, sizeof member->curve_key) == 0)
            return err_set_at(reterr, ERR_CONFLICT, "id", "the peer %s is listed twice: remove one of the two",
                              member->node_id);
    return ERR_OK;
}

enum err roster_add(struct roster *roster, const char *node_id, const char *address, enum roster_role role,
                    const uint8_t *own_public_key, struct err_info *reterr) {
    struct roster_member member = {.role = role};
    struct err_info info;
    if (role <= ROSTER_NOBODY || role > ROSTER_ADMIN)
        return err_set_at(reterr, ERR_INVALID, "role", "a peer of the site is a viewer, an operator or an admin");
    if (node_id_parse(node_id, member.public_key, &info) != ERR_OK)
        return err_set_at(reterr, ERR_INVALID, "id", "%s", info.message);
    node_id_format(member.node_id, member.public_key);
    uid_reproducible(member.uid, UID_TAG_PEER, member.public_key, sizeof member.public_key);
    if (!crypto_dh_public_from_sign(member.curve_key, member.public_key))
        return err_set_at(reterr, ERR_INVALID, "id", "this node id is of no key that can be used");
    enum err e = check_key(roster, &member, own_public_key, reterr);
    if (e == ERR_OK && address && address[0])
        e = check_address(roster, address, reterr);
    if (e != ERR_OK)
        return e;
    if (address)
        snprintf(member.address, sizeof member.address, "%s", address);
    if (roster->n >= ROSTER_MAX)
        return err_set(reterr, ERR_LIMIT, "a site has at most %zu peers besides this one", ROSTER_MAX);
    struct roster_member *members = realloc(roster->members, (roster->n + 1) * sizeof *members);
    if (!members)
        return err_set(reterr, ERR_NO_MEMORY, "no memory for the peers of the site");
    members[roster->n++] = member;
    roster->members = members;
    return ERR_OK;
}

void roster_finish(struct roster *roster) {
    free(roster->members);
    *roster = (struct roster){};
}

const struct roster_member *roster_find(const struct roster *roster, const char *uid) {
    for (size_t i = 0; i < roster->n; i++)
        if (strcmp(roster->members[i].uid, uid) == 0)
            return &roster->members[i];
    return nullptr;
}

const struct roster_member *roster_find_curve_key(const struct roster *roster,
                                                  const uint8_t curve_key[static CRYPTO_DH_KEY_SIZE]) {
    for (size_t i = 0; i < roster->n; i++)
        if (memcmp(roster->members[i].curve_key, curve_key, CRYPTO_DH_KEY_SIZE) == 0)
            return &roster->members[i];
    return nullptr;
}
