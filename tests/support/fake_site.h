/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "model/roster.h"
#include "support/fake_links.h"
#include "support/fake_world.h"
#include "transport/sealed.h"

/*
 * The site that the orchestrator of a fake_world is one of: peers with keys and roles, the links of fake_links.h, and sealed
 * media, which is defined here at link time and carries nothing.
 *
 * Life cycle: fake_site_init → fake_site_add … → fake_site_join (the world is not started yet) → … the world stops →
 * fake_site_finish, which asserts that no link id, path or request is left. Threads: one.
 */
constexpr size_t FAKE_PEERS_MAX = 4;
constexpr size_t FAKE_SEALED_MAX = MEDIA_LINKS_MAX;
constexpr uint16_t FAKE_MEDIA_PORT = 4042;

struct media_port {
    struct fake_site *site;
};

struct fake_sealed {
    struct path path; /* first member */
    struct fake_site *site;
    bool is_open;
    struct path_sealed_config config;
    unsigned n_answers;
    uint32_t answer_link;
    struct seal_keys keys;
};

struct fake_peer {
    char uid[UID_SIZE];
    struct crypto_sign_key key;
    bool is_up;
};

struct fake_site {
    struct media_port port;
    struct roster roster;
    struct links *links;
    struct crypto_sign_key own;
    struct fake_peer peers[FAKE_PEERS_MAX]; /* as the members of the roster */
    size_t n_peers;
    uint32_t reserved[FAKE_SEALED_MAX]; /* 0: free */
    uint32_t last_link;
    struct fake_sealed *sealed[FAKE_SEALED_MAX]; /* owned, of all time, oldest first */
    size_t n_sealed;
    bool port_is_full;
};

void fake_site_init(struct fake_site *site);
void fake_site_finish(struct fake_site *site);
struct fake_peer *fake_site_add(struct fake_site *site, enum roster_role role);
void fake_site_join(struct fake_site *site, struct fake_world *world);
struct roster_member *fake_site_member(struct fake_site *site, const struct fake_peer *peer);

/* Its link is up, its run has this epoch, it is at 10.0.0.N. */
void fake_peer_up(struct fake_site *site, struct fake_peer *peer, uint64_t epoch);
/* "the test cut it": what is asked fails, all hear of it. */
void fake_peer_down(struct fake_site *site, struct fake_peer *peer);

/* The newest sealed path that is open, or nullptr. */
struct fake_sealed *fake_site_sealed(struct fake_site *site);
size_t fake_site_open_sealed(const struct fake_site *site);
