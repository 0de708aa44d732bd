/* SPDX-License-Identifier: MPL-2.0 */
#include "app/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "store/state_dir.h"

static enum err read_key(int fd, const char *path, struct identity *identity, struct err_info *reterr) {
    struct stat st;
    if (fstat(fd, &st))
        return err_set_errno(reterr, errno, "reading the key of this peer, %s", path);
    if (st.st_mode & (S_IRWXG | S_IRWXO))
        return err_set(reterr, ERR_DENIED,
                       "%s can be read by others (mode %03o): whoever has it can pose as this peer; run 'chmod 600 %s'",
                       path, st.st_mode & 0777u, path);
    uint8_t bytes[CRYPTO_SECRET_KEY_SIZE + 1];
    ssize_t n = read(fd, bytes, sizeof bytes);
    if (n < 0)
        return err_set_errno(reterr, errno, "reading the key of this peer, %s", path);
    if (n != (ssize_t)CRYPTO_SECRET_KEY_SIZE)
        return err_set(
            reterr, ERR_INVALID,
            "%s is not a peer key (%zd bytes instead of %zu): restore it from a copy, or move it away and the "
            "peer gets a new identity",
            path, n, CRYPTO_SECRET_KEY_SIZE);
    memcpy(identity->key.secret_key, bytes, CRYPTO_SECRET_KEY_SIZE);
    memcpy(identity->key.public_key, bytes + CRYPTO_SECRET_KEY_SIZE - CRYPTO_PUBLIC_KEY_SIZE, CRYPTO_PUBLIC_KEY_SIZE);
    crypto_wipe(bytes, sizeof bytes);
    return ERR_OK;
}

static enum err sync_dir(const char *dir, struct err_info *reterr) {
    _cleanup_(closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd))
        return err_set_errno(reterr, errno, "writing to the state directory %s", dir);
    return ERR_OK;
}

static enum err make_key(const char *dir, const char *path, struct identity *identity, struct err_info *reterr) {
    crypto_sign_key_make(&identity->key);
    char aside[PATH_MAX];
    snprintf(aside, sizeof aside, "%s.new", path);
    _cleanup_(closep) int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_set_errno(reterr, errno, "making the key of this peer, %s", aside);
    ssize_t n = write(fd, identity->key.secret_key, CRYPTO_SECRET_KEY_SIZE);
    if (n != (ssize_t)CRYPTO_SECRET_KEY_SIZE || fsync(fd) || rename(aside, path))
        return err_set_errno(reterr, n >= 0 && n != (ssize_t)CRYPTO_SECRET_KEY_SIZE ? ENOSPC : errno,
                             "making the key of this peer, %s", path);
    return sync_dir(dir, reterr);
}

static enum err load(const char *state_dir, bool may_make, struct identity *ret, struct err_info *reterr) {
    char path[PATH_MAX];
    if (snprintf(path, sizeof path, "%s/peer.key", state_dir) >= (int)sizeof path - 8)
        return err_set(reterr, ERR_INVALID, "the name of the state directory is too long");
    struct identity identity = {};
    enum err e;
    _cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        e = read_key(fd, path, &identity, reterr);
    else if (errno == ENOENT && may_make)
        e = make_key(state_dir, path, &identity, reterr);
    else
        e = err_set_errno(reterr, errno, "reading the key of this peer, %s", path);
    if (e == ERR_OK) {
        uid_reproducible(identity.peer_uid, UID_TAG_PEER, identity.key.public_key, CRYPTO_PUBLIC_KEY_SIZE);
        node_id_format(identity.node_id, identity.key.public_key);
        *ret = identity;
    }
    crypto_wipe(&identity, sizeof identity);
    return e;
}

enum err identity_load(const char *state_dir, struct identity *ret, struct err_info *reterr) {
    return load(state_dir, true, ret, reterr);
}

enum err identity_tell(const char *state_dir, char ret_node_id[static NODE_ID_SIZE], struct err_info *reterr) {
    struct identity identity = {};
    struct err_info info = {};
    _cleanup_(closep) int lock = -1;
    enum err e = state_dir_make(state_dir, &info);
    if (e == ERR_OK)
        e = state_dir_lock(state_dir, &lock, &info);
    if (e == ERR_OK) {
        e = load(state_dir, true, &identity, &info);
    } else if (e == ERR_BUSY) { /* who has it has made the key, or will in a moment */
        struct err_info busy = info;
        e = load(state_dir, false, &identity, &info);
        if (e == ERR_NOT_FOUND) {
            e = ERR_BUSY;
            info = busy;
        }
    }
    if (e == ERR_OK)
        memcpy(ret_node_id, identity.node_id, NODE_ID_SIZE);
    else
        e = err_set(reterr, e, "%s", info.message);
    identity_finish(&identity);
    return e;
}

void identity_finish(struct identity *identity) {
    crypto_wipe(identity, sizeof *identity);
}
