/* SPDX-License-Identifier: MPL-2.0 */
#pragma once

#include "base/crypto.h"
#include "base/err.h"
#include "base/log.h"
#include "signaling/carrier.h"

struct loop_uv;
struct roster;

/*
 * The carrier on ZeroMQ: two ROUTER sockets for any number of peers, one that is dialed and one that dials, both under
 * CURVE (RFC 26/ZMTP-CURVE) with the peer's own key. Who calls is let in by ZAP (RFC 27) only if the roster lists the key.
 *
 * Life cycle: create → ops->start → … → ops->close; what belongs to libuv is gone when the loop has been run to its end
 * (loop_uv_destroy). Threads: core; libzmq has one of its own.
 */
struct zmq_carrier_config {
    struct log log;
    struct loop_uv *loop;        /* borrowed */
    const struct roster *roster; /* borrowed, constant */
    const struct crypto_sign_key *key;
    const char *address; /* "0.0.0.0:4041"; port 0: the system chooses; "": only dials */
};

enum err zmq_carrier_create(const struct zmq_carrier_config *config, struct carrier **ret, struct err_info *reterr);
