/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/fake_site.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- sealed.h ---- */

uint16_t media_port_number(const struct media_port *) {
    return FAKE_MEDIA_PORT;
}

uint32_t media_port_reserve_link(struct media_port *port) {
    struct fake_site *site = port->site;
    for (size_t i = 0; i < FAKE_SEALED_MAX && !site->port_is_full; i++)
        if (!site->reserved[i])
            return site->reserved[i] = ++site->last_link;
    return 0;
}

void media_port_release_link(struct media_port *port, uint32_t link) {
    for (size_t i = 0; i < FAKE_SEALED_MAX; i++)
        if (port->site->reserved[i] == link) {
            port->site->reserved[i] = 0;
            return;
        }
    fail_msg("link %u is not reserved", (unsigned)link);
}

/* No secret, but the same at both ends and another for each pair of keys. */
enum err seal_keys_derive(struct seal_keys *ret, const struct crypto_dh_key *own, const uint8_t other[static 32],
                          bool own_is_sender, const char *, int64_t generation, struct err_info *reterr) {
    uint8_t all = 0;
    for (size_t i = 0; i < 32; i++) {
        all |= other[i];
        ret->to_receiver[i] = own_is_sender ? own->public_key[i] : other[i];
        ret->to_sender[i] = own_is_sender ? other[i] : own->public_key[i];
    }
    ret->to_receiver[0] = (uint8_t)generation;
    return all ? ERR_OK : err_set(reterr, ERR_INVALID, "the key of the other side is of small order");
}

static void sealed_close(struct path *path) {
    struct fake_sealed *sealed = (struct fake_sealed *)path;
    assert_true(sealed->is_open);
    sealed->is_open = false;
    media_port_release_link(&sealed->site->port, sealed->config.own_link);
}

enum err path_sealed_open(const struct path_sealed_config *config, struct path **ret, struct err_info *) {
    static const struct path_ops OPS = {.close = sealed_close};
    struct fake_site *site = config->port->site;
    struct fake_sealed *sealed = calloc(1, sizeof *sealed);
    assert_non_null(sealed);
    assert_true(site->n_sealed < FAKE_SEALED_MAX);
    *sealed = (struct fake_sealed){.path = {.ops = &OPS}, .site = site, .is_open = true, .config = *config};
    /* Nothing is sealed from the start twice with one key. */
    for (size_t i = 0; config->sending && i < site->n_sealed; i++)
        assert_memory_not_equal(&site->sealed[i]->config.keys, &config->keys, sizeof config->keys);
    site->sealed[site->n_sealed++] = sealed;
    *ret = &sealed->path;
    return ERR_OK;
}

void path_sealed_answer(struct path *path, uint32_t other_link, const struct seal_keys *keys) {
    struct fake_sealed *sealed = (struct fake_sealed *)path;
    assert_true(sealed->is_open);
    assert_int_equal(sealed->n_answers++, 0);
    sealed->answer_link = other_link;
    sealed->keys = *keys;
}

struct fake_sealed *fake_site_sealed(struct fake_site *site) {
    for (size_t i = site->n_sealed; i-- > 0;)
        if (site->sealed[i]->is_open)
            return site->sealed[i];
    return nullptr;
}

size_t fake_site_open_sealed(const struct fake_site *site) {
    size_t n = 0;
    for (size_t i = 0; i < site->n_sealed; i++)
        n += site->sealed[i]->is_open;
    return n;
}

/* ---- peers ---- */

void fake_site_init(struct fake_site *site) {
    *site = (struct fake_site){.last_link = 1000};
    site->port.site = site;
    site->links = fake_links_create(&site->roster);
    crypto_sign_key_make(&site->own);
}

struct fake_peer *fake_site_add(struct fake_site *site, enum roster_role role) {
    struct fake_peer *peer = &site->peers[site->n_peers++];
    char id[NODE_ID_SIZE];
    crypto_sign_key_make(&peer->key);
    node_id_format(id, peer->key.public_key);
    assert_int_equal(roster_add(&site->roster, id, "", role, nullptr, nullptr), ERR_OK);
    memcpy(peer->uid, site->roster.members[site->roster.n - 1].uid, UID_SIZE);
    return peer;
}

void fake_site_join(struct fake_site *site, struct fake_world *world) {
    world->peer_links = site->links;
    world->roster = &site->roster;
    world->media_port = &site->port;
    world->key = &site->own;
    site->links->n_handlers = 0; /* of an earlier run */
}

struct roster_member *fake_site_member(struct fake_site *site, const struct fake_peer *peer) {
    return &site->roster.members[peer - site->peers];
}

void fake_peer_up(struct fake_site *site, struct fake_peer *peer, uint64_t epoch) {
    size_t i = (size_t)(peer - site->peers);
    peer->is_up = true;
    fake_links_set(site->links, peer->uid, LINKS_UP, epoch, ERR_OK, nullptr);
    snprintf(site->links->peers[i].host, sizeof site->links->peers[i].host, "10.0.0.%zu", i + 1);
}

void fake_peer_down(struct fake_site *site, struct fake_peer *peer) {
    struct links_call *call;
    peer->is_up = false;
    list_for_each_safe(call, &site->links->calls, link) {
        if (strcmp(call->peer_uid, peer->uid) == 0)
            fake_links_fail(call, ERR_UNAVAILABLE, "the link went down; it may have been done");
    }
    fake_links_set(site->links, peer->uid, LINKS_DIALING, 0, ERR_UNAVAILABLE, "the test cut it");
}

void fake_site_finish(struct fake_site *site) {
    assert_int_equal(fake_site_open_sealed(site), 0);
    for (size_t i = 0; i < FAKE_SEALED_MAX; i++)
        assert_int_equal(site->reserved[i], 0);
    for (size_t i = 0; i < site->n_sealed; i++)
        free(site->sealed[i]);
    fake_links_destroy(site->links);
    roster_finish(&site->roster);
}
