/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/crypto.h"
#include "base/err.h"
#include "base/loop.h"
#include "signaling/carrier.h"

struct roster;

/*
 * A made-up network in one process, and carriers on it, for tests and the simulator. It loses, doubles, delays and
 * reorders frames, is cut without a word and breaks with one; instances die on it. The same seed and the same calls give
 * the same order of events every time.
 *
 * Whom a carrier dials it finds by uid; addresses are not looked at. Keys are compared, not used: who dials a key that is
 * not the one there is told so, and who is not listed is not let in.
 *
 * Life cycle: fake_network_create → fake_carrier_create … → close of every carrier → fake_network_destroy.
 * Threads: one, on which all the loops run. The loops may be several, and their clocks may differ: what is on its way to a
 * carrier arrives by a timer of that carrier's loop, and so does every callback.
 */
struct fake_network;

/* Of what travels from one peer to another. */
struct fake_weather {
    int loss_permille;      /* of frames; a real line loses none unless it breaks */
    int duplicate_permille; /* likewise */
    int reorder_permille;   /* frames that may be overtaken by others; a real line keeps the order */
    int64_t delay_min_ns, delay_max_ns;
};

struct fake_network *fake_network_create(uint64_t seed); /* nullptr: out of memory */
void fake_network_destroy(struct fake_network *network);

/* From now on, between all. At first: 1 ms, nothing lost. */
void fake_network_set_weather(struct fake_network *network, const struct fake_weather *weather);
/* From now on, from one peer to another, whatever is said of all. */
void fake_network_set_weather_from(struct fake_network *network, const char *from_uid, const char *to_uid,
                                   const struct fake_weather *weather);
/* Between two peers, both ways: nothing passes, and nobody is told. What is sent meanwhile is lost. */
void fake_network_cut(struct fake_network *network, const char *uid, const char *other_uid, bool is_cut);
/* The lines between two peers fall, both sides are told, and what was under way is lost. */
void fake_network_break(struct fake_network *network, const char *uid, const char *other_uid);

/* Where a peer is: an address that stays the same for a uid, whatever runs there. */
void fake_network_host(const char *peer_uid, char ret[static 64]);

struct fake_stats {
    uint64_t sent, delivered, lost, doubled; /* frames */
};
void fake_network_stats(const struct fake_network *network, struct fake_stats *ret);

/* ERR_NO_MEMORY. The roster is borrowed and constant: whom it lets in. */
enum err fake_carrier_create(struct fake_network *network, struct loop *loop, const char *own_uid,
                             const struct roster *roster, struct carrier **ret, struct err_info *reterr);
/* It proves this key to who dials it. Without one it has the key that they expect. */
void fake_carrier_set_key(struct carrier *carrier, const uint8_t curve_key[static CRYPTO_DH_KEY_SIZE]);

/* The instance is killed: its system closes the lines, and the others are told. No callback comes any more, and every call
 * does nothing. What is on its way to it is lost. It still wants its close. */
void fake_carrier_crash(struct carrier *carrier);
/* The same, but the others are told nothing, until it is back and they send something. */
void fake_carrier_lose_power(struct carrier *carrier);
