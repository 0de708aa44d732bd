/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/crypto.h"
#include "base/err.h"
#include "base/id.h"
#include "model/node_id.h"

/*
 * Who this peer is: an Ed25519 key in the state directory (`peer.key`, mode 0600, made on the first start), and the uid
 * that follows from its public half. The file holds the seed and the public key as 64 bytes of libsodium's secret key.
 *
 * Threads: any; one at a time on one directory (the store's lock sees to it).
 */
struct identity {
    struct crypto_sign_key key;
    char peer_uid[UID_SIZE];
    char node_id[NODE_ID_SIZE];
};

/* Loads the key, or makes one durably (written aside, synced, renamed). A file that is there and not a key is an error:
 * it is never replaced, since the peer would become another one. */
enum err identity_load(const char *state_dir, struct identity *ret, struct err_info *reterr);
/* The node id alone, of a directory that a rocd may be using at this moment: the directory and the key are made if they are
 * not there, by whoever holds the lock. ERR_BUSY: a rocd has it and has no key there yet. */
enum err identity_tell(const char *state_dir, char ret_node_id[static NODE_ID_SIZE], struct err_info *reterr);
void identity_finish(struct identity *identity);
