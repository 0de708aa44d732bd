/* SPDX-License-Identifier: MPL-2.0 */
#include "app/site.h"

#include <string.h>

static_assert(CONFIG_PEERS_MAX == ROSTER_MAX);

/* The key that the roster means by its pointer. */
static enum config_peer_key key_of(const char *pointer) {
    static const char *const POINTERS[] = {
        [CONFIG_PEER_ID] = "id", [CONFIG_PEER_ADDRESS] = "address", [CONFIG_PEER_ROLE] = "role"};
    for (int key = 0; key < CONFIG_PEER_N_KEYS; key++)
        if (strcmp(POINTERS[key], pointer) == 0)
            return (enum config_peer_key)key;
    return CONFIG_PEER_ID;
}

static enum err add(const struct config *config, size_t i, const uint8_t *own_public_key, struct roster *roster,
                    struct err_info *reterr) {
    const struct config_peer *peer = &config->site.peers[i];
    enum roster_role role = ROSTER_NOBODY; /* and so it stays if the role is none, which the roster refuses */
    (void)roster_role_parse(peer->role, &role);
    struct err_info info = {};
    enum err e = roster_add(roster, peer->id, peer->address, role, own_public_key, &info);
    if (e == ERR_OK)
        return ERR_OK;
    char whence[CONFIG_WHENCE_SIZE];
    const char *key;
    config_peer_whence(config, i, key_of(info.pointer), whence, &key);
    return err_set_at(reterr, e, key, "%s: %s", whence, info.message);
}

enum err site_roster(const struct config *config, const uint8_t *own_public_key, struct roster *ret,
                     struct err_info *reterr) {
    struct roster roster = {};
    for (size_t i = 0; i < config->site.n_peers; i++) {
        enum err e = add(config, i, own_public_key, &roster, reterr);
        if (e != ERR_OK) {
            roster_finish(&roster);
            return e;
        }
    }
    *ret = roster;
    return ERR_OK;
}
